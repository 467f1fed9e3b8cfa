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
        """(n,) uint8 for one image's masks, the ignore index = void or unknown; as `metrics.truth_histogram` counts.

        Raises:
            FileNotFoundError: the image's file is missing.
            ValueError: no such image, or its file is damaged or does not fit the masks; the message names it.
        """
        if name not in self._by_image:
            truth = None if self._split is None or not self.available else self._split.ground_truth(name)
            if truth is None:
                self._by_image[name] = self._unknown(name)
            else:
                self._by_image[name] = image_histogram(self._masks, name, truth).majority
        return self._by_image[name]

    def of_readable(self, name: str) -> np.ndarray:
        """The same; a file that is missing or damaged counts as unknown."""
        try:
            return self.of_image(name)
        except (OSError, ValueError):
            return self._unknown(name)

    def of_all(self, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """(M,) uint8 for all masks. Files that are missing or damaged count as unknown.

        Args:
            progress: called with the images counted and their number, now and then.
        """
        names = self._masks.names
        for done, name in enumerate(names):
            if progress is not None and done % 50 == 0:
                progress(done, len(names))
            self._by_image[name] = self.of_readable(name)
        return np.concatenate([self._by_image[name] for name in names])

    def _unknown(self, name: str) -> np.ndarray:
        rows = self._masks.rows(name)
        return np.full(rows.stop - rows.start, self._masks.classes.ignore_index, dtype=np.uint8)


def _has_truth(split: Split, name: str) -> bool:
    try:
        return split.ground_truth(name) is not None
    except (OSError, ValueError):
        return True  # there is a file, and `Truth.of_image` says what is wrong with it
