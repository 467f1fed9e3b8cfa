"""Muon in the precision of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Float32Muon(torch.optim.Muon):
    """PyTorch's Muon with the Newton-Schulz iteration in float32.

    PyTorch always iterates in bfloat16 (``torch/optim/_muon.py``). A processor without it multiplies bfloat16 some 25
    times as slowly as float32, and five sixths of the training of a small network went there.

    Args:
        params: matrices.
        options: of `torch.optim.Muon`, but for ``nesterov`` and ``adjust_lr_fn``, which keep their defaults.

    Raises:
        ValueError: one of these two is not its default; or as `torch.optim.Muon`.
    """

    def __init__(self, params: Iterable[nn.Parameter], **options: Any) -> None:
        super().__init__(params, **options)
        for group in self.param_groups:
            if not group["nesterov"] or group["adjust_lr_fn"] is not None:
                raise ValueError("Float32Muon: nesterov and adjust_lr_fn keep their defaults")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all matrices that have a gradient; `closure` is not called."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                buffer = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix.grad))
                buffer.lerp_(matrix.grad, 1 - group["momentum"])
                ahead = matrix.grad.lerp(buffer, group["momentum"])  # Nesterov
                update = orthogonalised(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonalised(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """Towards the nearest matrix with singular values of 1, by the quintic Newton-Schulz iteration of Jordan et al.
    (2024): X <- a X + (b X X' + c (X X')^2) X.

    Args:
        matrix: (n, m) float.
        coefficients: a, b and c.
        steps: how many.
        eps: the least norm that `matrix` is divided by.

    Returns:
        (n, m) of the same type.
    """
    a, b, c = coefficients
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T  # the smaller product
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
