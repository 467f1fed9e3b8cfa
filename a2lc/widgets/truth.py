"""The most frequent ground truth of masks, counted image by image when somebody asks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from a2lc.datasets.base import Split
from a2lc.masks import MaskSet
from a2lc.metrics import image_histogram


class Truth:
    """The most frequent ground truth of masks, counted image by image when asked for.

    Args:
        masks: M masks.
        split: where the ground truth is read; None: there is none.

    Attributes:
        available: whether any image has ground truth.
    """

    def __init__(self, masks: MaskSet, split: Split | None) -> None:
        self._masks, self._split = masks, split
        self._by_image: dict[str, np.ndarray] = {}
        self.available = split is not None and any(_has_truth(split, name) for name in masks.names)

    def of_image(self, name: str) -> np.ndarray:
        """(n,) uint8 for one image's masks, 255 = void or unknown; as `metrics.truth_histogram` counts."""
        if name not in self._by_image:
            truth = None if self._split is None or not self.available else self._split.ground_truth(name)
            rows = self._masks.rows(name)
            majority = np.full(rows.stop - rows.start, 255, dtype=np.uint8)
            if truth is not None:
                majority = image_histogram(self._masks, name, truth).majority
            self._by_image[name] = majority
        return self._by_image[name]

    @property
    def counted(self) -> bool:
        """Whether all images are counted, so that `of_all` takes no time."""
        return len(self._by_image) == len(self._masks.names)

    def of_all(self, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """(M,) uint8 for all masks. Files that are missing or damaged count as unknown.

        Args:
            progress: called with the images counted and their number, now and then.
        """
        names = self._masks.names
        for done, name in enumerate(names):
            if progress is not None and done % 50 == 0:
                progress(done, len(names))
            try:
                self.of_image(name)
            except (OSError, ValueError):
                rows = self._masks.rows(name)
                self._by_image[name] = np.full(rows.stop - rows.start, 255, dtype=np.uint8)
        return np.concatenate([self._by_image[name] for name in names])


def _has_truth(split: Split, name: str) -> bool:
    try:
        return split.ground_truth(name) is not None
    except (OSError, ValueError):
        return True  # there is a file, and `Truth.of_image` says what is wrong with it
