"""What is known of each mask: every number that any acquisition function, the annotator or the LCM needs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class MaskStatistics:
    """Per-mask statistics, one row per mask in table order; numbers as defined in Eq. 1 and 10-12 and methods of the
    baselines, float64 where nothing else is said.

    Attributes:
        area: (n,) int64 pixels.
        label: (n,) uint8 current label, of several the most frequent one; the ignore index = void.
        dominant: (n,) int64 most frequent predicted class D(m); ties go to the lowest class.
        entropy: (n,) mean over the mask of the Shannon entropy divided by log K, in [0, 1]; NaN when not asked for, as
            margin and bvsb.
        margin: (n,) mean of 1 - (largest - second largest probability), in [0, 1].
        bvsb: (n,) mean of second largest / largest probability, in [0, 1].
        lcil: (n,) mean of the pixel CIL 1 - p[label], in [0, 1] (Eq. 10); void masks take each pixel's own prediction
            as label.
        cil: (n,) 1 - mu[label], mu the mean probability over m' = pixels that predict D(m), whose most frequent label
            counts, D(m) where that is void; in [0, 1].
        sim: (n,) sum of CIL x cosine similarity to mu, in [0, area] (Eq. 12 with w = 1).
        abc: (n,) the same with each pixel's class weight, in [0, area] (Eq. 12).
        feature: (n, K) float32 mean probability over the mask: the LCM's input (Eq. 1); or (n, C), see
            `with_penultimate_features`.
        representative: (n,) int64 flat index y * W + x of the pixel of m' most similar to mu (ALC's queried pixel); -1
            when not asked for.
        cil_pixel: (n,) CIL at the representative pixel; NaN when not asked for.
        sim_pixel: (n,) sum of CIL x cosine similarity to the representative pixel (SIM as in ALC); NaN when not asked
            for.
        adjusted_iou: (n,) adjusted IoU of the mask with the predicted components of its label, in [0, 1]; NaN when
            not asked for.
        lcil_softmin: (n,) mean of the pixel CIL weighted by exp(CIL / 0.1), in [0, 1]; NaN when not asked for.
    """

    area: np.ndarray
    label: np.ndarray
    dominant: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray
    bvsb: np.ndarray
    lcil: np.ndarray
    cil: np.ndarray
    sim: np.ndarray
    abc: np.ndarray
    feature: np.ndarray
    representative: np.ndarray
    cil_pixel: np.ndarray
    sim_pixel: np.ndarray
    adjusted_iou: np.ndarray
    lcil_softmin: np.ndarray

    def __len__(self) -> int:
        return len(self.area)

    def with_representative_similarity(self) -> MaskStatistics:
        """The same with SIM and CIL taken at the representative pixel, as in ALC (Kim et al. 2024); NaN where it was
        not asked for."""
        return replace(self, sim=self.sim_pixel, cil=self.cil_pixel)

    def take(self, rows: np.ndarray) -> MaskStatistics:
        """The statistics of some masks, (m,) row numbers; of all in order, these themselves and no copy."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return MaskStatistics(*(getattr(self, f.name)[rows] for f in fields(MaskStatistics)))

    @staticmethod
    def like(part: MaskStatistics, n: int) -> MaskStatistics:
        """Statistics of n masks, not yet filled, whose columns have the dtypes and widths of those of `part`."""
        columns = (getattr(part, f.name) for f in fields(MaskStatistics))
        return MaskStatistics(*(np.empty((n, *column.shape[1:]), column.dtype) for column in columns))

    def put(self, rows: slice, part: MaskStatistics) -> None:
        """Fill in the statistics of one image's masks, which are these rows."""
        for f in fields(MaskStatistics):
            getattr(self, f.name)[rows] = getattr(part, f.name)
