"""Statistics of superpixels and of regions merged from them: one forward pass per image, then sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from tqdm.auto import tqdm

from a2lc.acquisition.pixels import Pixels
from a2lc.acquisition.statistics import MaskStatistics
from a2lc.acquisition.sums import segment_sums
from a2lc.baselines.merging import adjacency, merge
from a2lc.datasets import Split
from a2lc.ending import Born, end_with, this_process
from a2lc.machine import JOBLIB, require
from a2lc.masks import MaskSet
from a2lc.segmenter import Segmenter

MANY = 500_000  # superpixels: starting processes takes longer than merging fewer


@dataclass(frozen=True)
class SuperpixelStatistics:
    """Sums over the pixels of M superpixels, C = outputs of the model.

    Attributes:
        probs: (M, C) float32 sums of probabilities.
        counts: (M, C) float32 pixels by predicted class.
        bvsb: (M, C) float32 sums of second largest / largest probability, by predicted class.
        entropy: (M,) float32 sums of the entropy divided by log C.
        margin: (M,) float32 sums of 1 - (largest - second largest probability).
    """

    probs: np.ndarray
    counts: np.ndarray
    bvsb: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """(M,) float32 pixels."""
        return self.counts.sum(1)

    def merged(self, regions: np.ndarray) -> SuperpixelStatistics:
        """Sums over regions: row r holds the region whose root is superpixel r, rows of other superpixels are 0.

        Args:
            regions: (M,) root of each superpixel's region.
        """
        parts = []
        for field in fields(self):
            values = getattr(self, field.name)
            total = np.zeros(values.shape, dtype=np.float64)
            np.add.at(total, regions, values)
            parts.append(total.astype(np.float32))
        return SuperpixelStatistics(*parts)

    def as_masks(self) -> MaskStatistics:
        """What acquisition functions read, as means over pixels; everything that needs a label is NaN."""
        area = self.area
        per_pixel = 1 / np.maximum(area, 1)
        missing = np.full(len(area), np.nan)
        known = {
            "area": area.astype(np.int64),
            "dominant": self.counts.argmax(1),
            "entropy": self.entropy * per_pixel,
            "margin": self.margin * per_pixel,
            "bvsb": self.bvsb.sum(1) * per_pixel,
            "feature": self.probs * per_pixel[:, None],
        }
        return MaskStatistics(**{field.name: known.get(field.name, missing) for field in fields(MaskStatistics)})


def superpixel_statistics(
    model: Segmenter, split: Split, masks: MaskSet, progress: bool = True
) -> SuperpixelStatistics:
    """Predict every image once and sum over its superpixels.

    Args:
        model: the segmenter of the last round.
        split: where the images are read.
        masks: M superpixels of N images.
        progress: whether to show a bar.
    """
    parts = []
    for name in tqdm(masks.names, desc="scoring", leave=False, unit="image", mininterval=1, disable=not progress):
        index = masks.index_map(name)
        n = masks.rows(name).stop - masks.rows(name).start
        nothing = np.zeros(n + 1, dtype=np.uint8)  # no labels: only what depends on predictions is used
        pixels = Pixels.of_masks(model.predict(split.image(name)), index, nothing)
        sums, _ = segment_sums(pixels, uncertainty=True)  # C + 3 columns
        c, total = len(pixels.probs), sums.by_mask(n)
        columns = (total[:, :c], pixels.counts[:n], sums.spread(c + 2, n, c), total[:, c], total[:, c + 1])
        parts.append([column.astype(np.float32) for column in columns])
    return SuperpixelStatistics(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def merged_regions(
    statistics: SuperpixelStatistics, masks: MaskSet, epsilon: float, progress: bool = True
) -> np.ndarray:
    """Merge neighbouring superpixels that the model sees alike (MerSpx), images in parallel processes where they are
    many.

    Args:
        statistics: of M superpixels.
        masks: the same superpixels, of N images.
        epsilon: as in `a2lc.baselines.merge`.
        progress: whether to show a bar.

    Returns:
        (M,) int64 row of the superpixel that is the root of each superpixel's region.

    Raises:
        MissingExtraError: joblib is missing.
    """
    require(JOBLIB)
    from joblib import Parallel, delayed

    feature = statistics.probs / np.maximum(statistics.area, 1)[:, None]
    uncertainty = statistics.bvsb.sum(1) / np.maximum(statistics.area, 1)

    me = this_process()

    def jobs() -> Iterator[object]:
        for name in masks.names:
            rows = masks.rows(name)
            yield delayed(_merge_image)(
                masks.index_map(name).astype(np.int32), feature[rows], uncertainty[rows], epsilon, me
            )

    found = Parallel(n_jobs=-1 if len(masks) > MANY else 1, return_as="generator")(jobs())
    bar = tqdm(found, total=len(masks.names), desc="merging", leave=False, unit="image", disable=not progress)
    starts = [masks.rows(name).start for name in masks.names]
    return np.concatenate([start + roots for start, roots in zip(starts, bar, strict=True)])


def _merge_image(
    index_map: np.ndarray, feature: np.ndarray, uncertainty: np.ndarray, epsilon: float, parent: Born
) -> np.ndarray:
    end_with(parent)
    return merge(feature, uncertainty, adjacency(index_map), epsilon)
