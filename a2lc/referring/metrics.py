"""How well masks fit what sentences name: overall IoU, mean IoU, and the share of sentences that come near enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class ReferringMetrics:
    """Of n sentences.

    Attributes:
        overall_iou: oIoU, the sum of all intersections over the sum of all unions; large objects count more.
        mean_iou: mIoU, the mean over sentences.
        precision: t -> Pr@t, the share of sentences whose IoU is at least t.
        number: n.
    """

    overall_iou: float
    mean_iou: float
    precision: Mapping[float, float]
    number: int

    @classmethod
    def of(cls, intersections: np.ndarray, unions: np.ndarray) -> ReferringMetrics:
        """From (n,) pixels in intersection and union of each sentence. Of an object that is not there the IoU is 0, or
        1 where nothing was found: the union is then empty. Class names have such objects, RefCOCO has none.

        Raises:
            ValueError: no sentence; or numbers that cannot be such pixels.
        """
        i, u = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
        if i.shape != u.shape or i.ndim != 1 or not len(i):
            raise ValueError(f"expected pixels of n >= 1 sentences, found {i.shape} and {u.shape}")
        if not ((i >= 0) & (i <= u)).all():
            raise ValueError("expected 0 <= intersection <= union, found otherwise")
        iou = np.where(u > 0, i / np.maximum(u, 1), 1.0)
        shares = {level: float((iou >= level).mean()) for level in LEVELS}
        overall = float(i.sum() / u.sum()) if u.any() else 1.0
        return cls(overall, float(iou.mean()), shares, len(i))

    def numbers(self) -> dict[str, float]:
        """As one flat mapping: ``oiou``, ``miou``, ``pr50`` ... ``pr90``, in [0, 1]."""
        shares = {f"pr{round(100 * level)}": share for level, share in self.precision.items()}
        return {"oiou": self.overall_iou, "miou": self.mean_iou, **shares}


def overlap(predicted: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Pixels in the intersection and in the union of two (H, W) bool masks.

    Raises:
        ValueError: they differ in size.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"expected masks of one size, found {predicted.shape} and {truth.shape}")
    return int((predicted & truth).sum()), int((predicted | truth).sum())


def score_masks(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> ReferringMetrics:
    """Metrics of pairs of a predicted and a true mask, (H, W) bool each, one pair per sentence.

    Raises:
        ValueError: as `overlap` and `ReferringMetrics.of`.
    """
    counts = np.array([overlap(predicted, truth) for predicted, truth in pairs], np.int64).reshape(-1, 2)
    return ReferringMetrics.of(counts[:, 0], counts[:, 1])
