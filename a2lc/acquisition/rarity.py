"""The adaptive class weight of Eq. 7-9: how rare a class is, to the power of how imbalanced the dataset is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from a2lc.files import nearest
from a2lc.masks import MaskSet


@dataclass(frozen=True)
class ClassWeights:
    """The adaptive class weights of one round.

    Attributes:
        weights: (K,) float64 in [0, 1]; the rarest class present has 1, absent classes have 0.
        rarity: (K,) float64 class rarity scores of Eq. 7, in [0, 1].
        kl: imbalance score of Eq. 8, natural logarithm, >= 0; 0 when the classes of the uniform distribution cover
            equally many pixels.
        pixel_counts: (K,) int64 pixels of the counted masks, by pseudo-label.
    """

    weights: np.ndarray
    rarity: np.ndarray
    kl: float
    pixel_counts: np.ndarray


def class_weights(
    masks: MaskSet, exclude: np.ndarray | None = None, uniform_over: Literal["present", "all"] = "present"
) -> ClassWeights:
    """Adaptive class weights ``w_c = rarity_c ** KL^3`` from the current pseudo-labels (Eq. 7-9).

    Counted are the pixels of masks, not uncovered pixels and not void masks. As in the released code
    (``a2lc/abc.py:24-80`` of ngbrjyj/A2LC) the minimum runs over the classes that are present; the paper says all
    classes, but then one absent class would make every weight 0.

    Args:
        masks: M masks with their current labels.
        exclude: masks that no longer count, those queried in earlier rounds: (M,) bool or row numbers. None counts all.
        uniform_over: classes of the uniform distribution of Eq. 8, those ``present`` (code) or ``all`` K (paper).

    When no counted mask carries a class, all weights and the imbalance are 0.

    Raises:
        ValueError: another `uniform_over`, or an `exclude` that is neither (M,) bool nor row numbers in 0..M-1.
    """
    if uniform_over not in (known := ("present", "all")):
        raise ValueError(f"uniform_over: expected present or all, found {uniform_over!r}{nearest(uniform_over, known)}")
    k = len(masks.classes)
    keep = np.ones(len(masks), dtype=bool)
    if exclude is not None:
        keep[_checked(np.asarray(exclude), len(masks))] = False
    labels = masks.table["label"].to_numpy()
    keep &= labels < k
    counts = np.bincount(labels[keep], weights=masks.table["area"].to_numpy()[keep], minlength=k).astype(np.int64)
    return _weights(counts, int((counts > 0).sum()) if uniform_over == "present" else k)


def _checked(exclude: np.ndarray, masks: int) -> np.ndarray:
    if exclude.dtype == bool and exclude.shape == (masks,):
        return exclude
    if exclude.ndim != 1 or (exclude.size and exclude.dtype.kind not in "iu"):
        expected = f"({masks},) bool or (n,) row numbers"
        raise ValueError(f"exclude: expected {expected}, found {exclude.shape} {exclude.dtype}")
    if ((exclude < 0) | (exclude >= masks)).any():
        raise ValueError(f"exclude: expected row numbers in 0..{masks - 1}, found {exclude.min()}..{exclude.max()}")
    return exclude.astype(np.int64)  # of an empty list, too


def _weights(counts: np.ndarray, uniform: int) -> ClassWeights:
    present = counts > 0
    rarest = counts[present].min(initial=counts.max())
    rarity = np.divide(rarest, counts, out=np.zeros(len(counts)), where=present)  # Eq. 7
    share = counts[present] / max(counts.sum(), 1)
    kl = max(0.0, float(np.sum(share * np.log(share * uniform))))  # Eq. 8, U(c) = 1 / uniform
    weights = np.where(present, rarity ** (kl**3), 0.0)  # Eq. 9
    return ClassWeights(weights, rarity, kl, counts)
