"""Training a segmentation network on a split and the label maps of the moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.segmenter.samples import IGNORE, Labels, load_batches
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.threads import one_thread

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOG_POINTS = 50
WEIGHT_DECAY = 0.05  # of muon_onecycle
ADAMW_SHARE = 0.1  # learning rate of AdamW as a share of Muon's


@dataclass(frozen=True)
class TrainingLog:
    """What happened during training.

    Attributes:
        iterations: some fifty iterations, counted from 1; the last is always among them.
        losses: cross-entropy at those iterations, in nats per labelled pixel.
        seconds: wall-clock time of the whole training.
        images_per_second: crops per second.
        kept: iteration whose weights were kept, the last one unless ``settings.keep`` is ``best``.
    """

    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    seconds: float
    images_per_second: float
    kept: int = 0


def train(
    network: nn.Module,
    settings: SegmenterSettings,
    num_classes: int,
    split: Split,
    labels: Labels,
    device: torch.device,
    progress: bool,
    loss_of: Loss | None = None,
    validate: Callable[[], float] | None = None,
) -> TrainingLog:
    """Train `network` in place; random numbers come from torch's global generator.

    Args:
        network: normalised images (N, 3, H, W) -> logits (N, K, h, w); labels are compared at the logits' resolution.
        settings: sizes, optimiser and augmentation.
        num_classes: K.
        split: the images.
        labels: image name -> (H, W) uint8, 0..K-1 or 255 (ignored), as large as the image.
        device: where to train.
        progress: whether to show a bar.
        loss_of: (logits, targets) -> loss, in place of `pixel_loss`; then labels may be any int32 targets.
        validate: Model mIoU of the network as it is, for ``settings.keep == "best"``.

    Raises:
        ValueError: a label map differs from its image in size or holds another id.
        FloatingPointError: the loss is no longer finite.
    """
    start, points = time.perf_counter(), [round(p) for p in np.linspace(1, settings.iterations, LOG_POINTS)]
    recipe = RECIPES[settings.optimizer](network, settings)
    losses: dict[int, float] = {}
    best = Best(network, validate if settings.keep == "best" else None)
    network.train()
    batches = load_batches(settings, num_classes if loss_of is None else None, split, labels)
    options = {"desc": "training", "unit": "batch", "leave": False, "mininterval": 1, "disable": not progress}
    with tqdm(batches, total=settings.iterations, **options) as bar:
        for iteration, (images, targets) in enumerate(bar, start=1):
            with autocast(settings, device):
                logits = network(normalise(images.to(device), settings))
            loss = (loss_of or pixel_loss)(logits.float(), targets.to(device))
            loss.backward()
            recipe.step()
            if iteration in points:
                losses[iteration] = loss.item()
                bar.set_postfix(loss=f"{losses[iteration]:.3f}", refresh=False)
                if not math.isfinite(losses[iteration]):
                    found = f"found loss {losses[iteration]} at iteration {iteration} of {settings.iterations}"
                    raise FloatingPointError(f"training diverged: {found}, expected a number; lower segmenter.lr")
            if iteration % settings.validate_every == 0 or iteration == settings.iterations:
                best.look(iteration)
    network.eval()
    best.restore()
    seconds = time.perf_counter() - start
    return TrainingLog(
        tuple(losses),
        tuple(losses.values()),
        seconds,
        settings.iterations * settings.batch_size / seconds,
        best.iteration or settings.iterations,
    )


class Best:
    """The weights of the best validation so far; without `validate` it does nothing."""

    def __init__(self, network: nn.Module, validate: Callable[[], float] | None) -> None:
        self.network, self.validate = network, validate
        self.iteration, self.miou = 0, -math.inf
        self.state: dict[str, torch.Tensor] = {}

    def look(self, iteration: int) -> None:
        """Validate, and keep a copy of the weights when they are better than all before."""
        if self.validate is None:
            return
        self.network.eval()
        miou = self.validate()
        self.network.train()
        if miou > self.miou:
            self.iteration, self.miou = iteration, miou
            self.state = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def restore(self) -> None:
        """Give the network the weights kept."""
        if self.state:
            self.network.load_state_dict(self.state)


def pixel_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits (N, K, h, w) over the labelled pixels; 0 when there is none.

    Labels (N, H, W) uint8 of another size are read at the centres of the logits' cells.
    """
    if labels.shape[-2:] != logits.shape[-2:]:
        labels = F.interpolate(labels[:, None], logits.shape[-2:], mode="nearest-exact")[:, 0]
    total = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE, reduction="sum")
    return total / (labels != IGNORE).sum().clamp(min=1)


def normalise(images: torch.Tensor, settings: SegmenterSettings) -> torch.Tensor:
    """(N, 3, H, W) uint8 -> float32 of zero mean and unit deviation, channels last in memory."""
    mean = torch.tensor(settings.mean, device=images.device).view(3, 1, 1) * 255
    std = torch.tensor(settings.std, device=images.device).view(3, 1, 1) * 255
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


def autocast(settings: SegmenterSettings, device: torch.device) -> torch.autocast:
    """Context in which convolutions run in the precision of the settings."""
    precision = settings.precision
    if precision == "auto":
        precision = "bfloat16" if _has_fast_bfloat16(device) else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


class SgdPoly:
    """SGD with polynomial decay, a tenth of the learning rate in the backbone (methods.md 3.1)."""

    def __init__(self, network: nn.Module, settings: SegmenterSettings) -> None:
        slow: set[nn.Parameter] = set()
        for name, part in network.named_children():
            if name == "backbone":
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
        muon = torch.optim.Muon(self.matrices, settings.lr, weight_decay=WEIGHT_DECAY, momentum=0.9, ns_steps=3)
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


RECIPES: dict[str, type[SgdPoly] | type[MuonOneCycle]] = {
    "sgd_poly": SgdPoly,
    "adamw_poly": AdamWPoly,
    "muon_onecycle": MuonOneCycle,
}


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False
