"""Annotators: who answers what a queried mask really is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from a2lc.datasets.base import Split
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram


class Waiting(Exception):
    """A run has to wait for a person and goes on when it is started again.

    Attributes:
        what: for what, ``answers`` or ``approval``.
    """

    def __init__(self, what: Literal["answers", "approval"]) -> None:
        super().__init__(what)
        self.what = what


class Person:
    """A person, who answers in their own time: the run stops, and `a2lc.human.Queue` takes the answers."""

    def answer(self, rows: np.ndarray, masks: MaskSet, representative: np.ndarray) -> np.ndarray:
        """Raises `Waiting`; see `Oracle.answer`."""
        raise Waiting("answers")


@dataclass(frozen=True)
class Oracle:
    """An annotator who looks at the ground truth, one click per query.

    Attributes:
        split: where the ground truth is read.
        truth: ground truth counted per mask, M rows.
        query: ``mask``: the mask's most frequent ground truth, void included (A²LC; ``gen_masks_with_acq.py:149-171``
            of ngbrjyj/A2LC). ``pixel``: the ground truth of the representative pixel, spread over the mask (ALC, Kim
            et al. 2024).
        keep_if_mostly_right: at pixel level, leave the mask alone when more than half of its pixels already carry
            their ground truth. The released ALC code does so, although an annotator who sees one pixel cannot know
            it; False answers by the pixel alone.
    """

    split: Split
    truth: TruthHistogram
    query: Literal["mask", "pixel"] = "mask"
    keep_if_mostly_right: bool = True

    def answer(self, rows: np.ndarray, masks: MaskSet, representative: np.ndarray) -> np.ndarray:
        """Answer by the ground truth.

        Args:
            rows: (B,) row numbers of the queried masks.
            masks: all masks with their current labels.
            representative: (M,) flat index y * W + x of each mask's representative pixel, for queries at pixel level;
                -1 where unknown.

        Returns:
            (B,) uint8 labels, 0..K-1 or the ignore index for void.

        Raises:
            ValueError: at pixel level, an image has no ground truth.
        """
        if self.query == "mask":
            return self.truth.majority[rows]
        labels = self._pixel_truth(rows, masks, representative[rows])
        if self.keep_if_mostly_right:
            table = masks.table.iloc[rows]
            current = table["label"].to_numpy()
            k = len(masks.classes)
            agreeing = np.where(
                current < k, self.truth.counts[rows, np.minimum(current, k)], 0
            )  # void never counts as right
            labels = np.where(agreeing > 0.5 * table["area"].to_numpy(), current, labels)
        return labels.astype(np.uint8)

    def _pixel_truth(self, rows: np.ndarray, masks: MaskSet, pixels: np.ndarray) -> np.ndarray:
        images = masks.table["image"].cat.codes.to_numpy()[rows]
        labels = np.empty(len(rows), dtype=np.uint8)
        for image in np.unique(images):  # each ground truth is read once
            truth = self.split.ground_truth(masks.names[image])
            if truth is None:
                raise ValueError(f"{masks.names[image]}: has no ground truth for the oracle to look at")
            labels[images == image] = truth.ravel()[pixels[images == image]]
        return labels
