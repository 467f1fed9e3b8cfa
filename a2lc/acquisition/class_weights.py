"""The adaptive class weight of Eq. 7-9: how rare a class is, to the power of how imbalanced the dataset is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2lc.masks import MaskSet


@dataclass(frozen=True)
class ClassWeights:
    """The adaptive class weights of one round.

    Attributes:
        weights: (K,) float64 in [0, 1]; the rarest class present has 1, absent classes have 0.
        rarity: (K,) class rarity scores of Eq. 7, in [0, 1].
        kl: imbalance score of Eq. 8, natural logarithm, >= 0; 0 when all classes present cover equally many pixels.
        pixel_counts: (K,) int64 pixels of the counted masks, by pseudo-label.
    """

    weights: np.ndarray
    rarity: np.ndarray
    kl: float
    pixel_counts: np.ndarray


def class_weights(masks: MaskSet, exclude: np.ndarray | None = None) -> ClassWeights:
    """Adaptive class weights ``w_c = rarity_c ** KL^3`` from the current pseudo-labels (Eq. 7-9).

    Counted are the pixels of masks, not uncovered pixels and not void masks; the uniform distribution and the minimum
    run over the classes that are present, as in the released code (``a2lc/abc.py:24-80`` of ngbrjyj/A2LC), where the
    paper says all classes.

    Args:
        masks: M masks with their current labels.
        exclude: masks that no longer count, those queried in earlier rounds: (M,) bool or row numbers. None counts all.

    When no counted mask carries a class, all weights and the imbalance are 0.
    """
    k = len(masks.classes)
    keep = np.ones(len(masks), dtype=bool)
    if exclude is not None:
        keep[np.asarray(exclude)] = False
    labels = masks.table["label"].to_numpy()
    keep &= labels < k
    counts = np.bincount(labels[keep], weights=masks.table["area"].to_numpy()[keep], minlength=k).astype(np.int64)
    return _weights(counts)


def _weights(counts: np.ndarray) -> ClassWeights:
    present = counts > 0
    rarity = np.divide(
        counts[present].min(initial=counts.max()), counts, out=np.zeros(len(counts)), where=present
    )  # Eq. 7
    share = counts[present] / max(counts.sum(), 1)
    kl = max(0.0, float(np.sum(share * np.log(share * present.sum()))))  # Eq. 8 over the classes present
    weights = np.where(present, rarity ** (kl**3), 0.0)  # Eq. 9
    return ClassWeights(weights, rarity, kl, counts)
