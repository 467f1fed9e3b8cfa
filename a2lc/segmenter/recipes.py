"""Optimisers with their learning rate schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from a2lc.machine import one_thread
from a2lc.segmenter.muon import Float32Muon
from a2lc.segmenter.processes import in_bfloat16
from a2lc.segmenter.settings import SegmenterSettings

WEIGHT_DECAY = 0.05  # of muon_onecycle
ADAMW_SHARE = 0.1  # learning rate of AdamW as a share of Muon's


class SgdPoly:
    """SGD with polynomial decay, a tenth of the learning rate in the backbone (methods.md 3.1)."""

    def __init__(self, network: nn.Module, settings: SegmenterSettings) -> None:
        slow: set[nn.Parameter] = set()
        if isinstance(part := getattr(network, "backbone", None), nn.Module):
            slow.update(part.parameters())
            for norm in part.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.momentum = 0.01
        groups = [
            {"params": [p for p in network.parameters() if (p in slow) == is_slow], "lr": lr}
            for is_slow, lr in ((True, settings.lr * 0.1), (False, settings.lr))
        ]
        self.optimizer = self._optimizer([g for g in groups if g["params"]])

        def decay(base: float) -> Callable[[int], float]:
            return lambda t: max((1 - t / settings.iterations) ** 0.9, 1e-6 / base)

        self.schedule = LambdaLR(self.optimizer, [decay(group["lr"]) for group in self.optimizer.param_groups])

    def step(self) -> None:
        """One update from the gradients, which are then cleared."""
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4)


class AdamWPoly(SgdPoly):
    """The same with AdamW (MulSpx; ``utils/common.py:316-327`` of sehyun03/MulActSeg)."""

    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, weight_decay=1e-5)


class MuonOneCycle:
    """Muon (Jordan et al. 2024) for convolution weights as (C_out, C_in * k * k) matrices; AdamW for the classifier,
    biases and batch norm; one cycle of the learning rate for both."""

    def __init__(self, network: nn.Module, settings: SegmenterSettings) -> None:
        *self.kernels, classifier = [p for p in network.parameters() if p.ndim == 4]
        self.matrices = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self.kernels]  # same memory
        kind = torch.optim.Muon if in_bfloat16(settings, classifier.device) else Float32Muon
        muon = kind(self.matrices, lr=settings.lr, weight_decay=WEIGHT_DECAY, momentum=0.9, ns_steps=3)
        groups = [
            {"params": [classifier], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in network.parameters() if p.ndim < 4], "weight_decay": 0.0},
        ]
        self.optimizers = [muon, torch.optim.AdamW(groups, settings.lr * ADAMW_SHARE)]
        self.schedules: list[LRScheduler] = [
            OneCycleLR(
                optimizer,
                max_lr=optimizer.param_groups[0]["lr"],
                total_steps=settings.iterations + 1,
                pct_start=0.15,
                div_factor=10,
                final_div_factor=100,
                cycle_momentum=False,
            )
            for optimizer in self.optimizers
        ]

    def step(self) -> None:
        """One update from the gradients, which are then cleared."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            if kernel.grad is not None:
                matrix.grad, kernel.grad = kernel.grad.flatten(1), None
        with one_thread():
            for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()


Recipe = SgdPoly | MuonOneCycle
RECIPES: dict[str, type[SgdPoly] | type[MuonOneCycle]] = {
    "sgd_poly": SgdPoly,
    "adamw_poly": AdamWPoly,
    "muon_onecycle": MuonOneCycle,
}
