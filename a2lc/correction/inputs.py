"""What the LCM reads of a mask (`correction.features`)."""

from __future__ import annotations

import numpy as np

from a2lc.correction.settings import LCMSettings
from a2lc.masks import MaskSet


def lcm_inputs(feature: np.ndarray, before: MaskSet, pooled: np.ndarray | None, settings: LCMSettings) -> np.ndarray:
    """Inputs of the LCM: the segmentation model's features as they are; or pooled ones, standardised over all masks,
    size and present label, with or without them.

    Args:
        feature: (M, C) float32 mask features of the segmentation model.
        before: the M masks before this round's answers: the present label of an answered mask must not be its answer.
        pooled: (M, P) features of a frozen backbone, and what else is known of a mask without a label.
        settings: of the LCM.

    Returns:
        (M, C') float32.

    Raises:
        ValueError: pooled features are wanted, and there are none, or of another number of masks.
    """
    if settings.features == "probabilities":
        return feature
    if pooled is None or len(pooled) != len(before):
        found = "none" if pooled is None else f"those of {len(pooled)} masks"
        raise ValueError(
            f"correction.features: {settings.features!r} needs features of {len(before)} masks, found {found}"
        )
    k = len(before.classes)
    size = np.log(before.table["area"].to_numpy())[:, None]
    numbers = np.column_stack([pooled, size]).astype(np.float32)
    numbers = (numbers - numbers.mean(0)) / np.maximum(numbers.std(0), 1e-6)
    label = np.eye(k + 1, dtype=np.float32)[np.minimum(before.table["label"].to_numpy(), k)]
    parts = [numbers, label] if settings.features == "pooled" else [numbers, label, feature]
    return np.column_stack(parts)


def places(masks: MaskSet) -> np.ndarray:
    """(M, 2) float32: how far down and right the middle of each mask is, in [0, 1]."""
    found = np.zeros((len(masks), 2), np.float32)
    for name in masks.names:
        index, rows = masks.index_map(name), masks.rows(name)
        inside, size = index >= 0, rows.stop - rows.start
        y, x = np.nonzero(inside)
        counts = np.maximum(np.bincount(index[inside], minlength=size), 1)
        for axis, (at, length) in enumerate(zip((y, x), index.shape, strict=True)):
            found[rows, axis] = np.bincount(index[inside], weights=(at + 0.5) / length, minlength=size) / counts
    return found
