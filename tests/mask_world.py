"""Masks with features that say what they are, for what learns from masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_runs import seeded

from a2lc import MaskSet
from a2lc.datasets import Classes
from a2lc.datasets.base import bit_palette
from a2lc.instant import Instant


class World:
    """Masks whose features say what they are: `images` strips of `masks` masks of 2 x 5 pixels and, each, one more of
    a single pixel; `truth` is their class, `wrong` of them have another label."""

    def __init__(self, images: int = 8, masks: int = 30, k: int = 3, share: float = 0.1, seed: int = 0) -> None:
        rng = np.random.default_rng(seeded(seed))
        self.k, names = k, [f"image{i}" for i in range(images)]
        self.truth = rng.integers(0, k, images * masks)
        self.wrong = rng.random(len(self.truth)) < share
        labels = np.where(self.wrong, (self.truth + 1) % k, self.truth)
        objects = np.repeat(np.arange(1, masks + 1), 10).reshape(masks, 2, 5).transpose(1, 0, 2).reshape(2, -1)
        objects[:, 1:5] = 0  # the first mask of an image is narrow, the last a single pixel
        objects[:, -5:] = 0
        objects[0, -1] = masks
        classes = Classes(tuple(f"class{i}" for i in range(k)), bit_palette(k))
        given = {name: dict(enumerate(labels[i * masks : (i + 1) * masks].tolist(), 1)) for i, name in enumerate(names)}
        self.masks = MaskSet.from_maps(classes, names, dict.fromkeys(names, objects.astype(np.int32)), given)
        means = np.repeat(np.eye(k)[self.truth] * 3, 40, axis=1)
        self.features = (means + rng.normal(0, 0.5, means.shape)).astype(np.float16)

    @property
    def labels(self) -> np.ndarray:
        return self.masks.table["label"].to_numpy()

    def instant(self, **more: Any) -> Instant:
        return Instant(self.features, self.masks, **more)

    def answered(self, rows: Any, masks: MaskSet | None = None) -> MaskSet:
        rows = np.asarray(rows)
        return (masks or self.masks).relabel(rows, self.truth[rows], source="annotator", round=1)
