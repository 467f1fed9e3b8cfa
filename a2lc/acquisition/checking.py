"""What statistics and scores are made from, looked at where it comes in."""

from __future__ import annotations

import numpy as np
import torch

from a2lc.files import is_whole

_ROUNDING = 1e-2  # of probabilities in half precision, after interpolation


def checked_weights(class_weights: np.ndarray | None, k: int) -> np.ndarray:
    """(K,) float64 weights of the classes, 1 each where none are given.

    Raises:
        ValueError: another shape, or a weight that is negative or not finite.
    """
    weights = np.ones(k) if class_weights is None else np.asarray(class_weights, dtype=np.float64)
    if weights.shape != (k,):
        raise ValueError(f"class_weights: expected ({k},), a weight per class, found {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"class_weights: expected finite weights >= 0, found {weights.tolist()}")
    return weights


def check_probabilities(probs: torch.Tensor) -> None:
    """Raise `ValueError` where probabilities lie outside [0, 1] by more than rounding, or are NaN."""
    low, high = (float(end) for end in probs.detach().aminmax()) if probs.numel() else (0.0, 1.0)
    if not (low >= 0 and high <= 1 + _ROUNDING):
        raise ValueError(f"probs: expected probabilities in [0, 1], found {low:g}..{high:g}")


def check_label_map(label_map: np.ndarray, k: int, ignore_index: int) -> None:
    """Raise `ValueError` when labels are no integers, or neither in 0..K-1 nor `ignore_index`, or that is not in
    K..255."""
    if not (is_whole(ignore_index) and k <= ignore_index <= 255):
        raise ValueError(f"ignore_index: expected {k}..255, found {ignore_index!r}")
    if label_map.dtype.kind not in "iu":
        raise ValueError(f"label_map: expected integers, found {label_map.dtype}")
    wrong = label_map[((label_map < 0) | (label_map >= k)) & (label_map != ignore_index)]
    if wrong.size:
        raise ValueError(f"labels must lie in 0..{k - 1} or be {ignore_index}, found {int(wrong[0])}")
