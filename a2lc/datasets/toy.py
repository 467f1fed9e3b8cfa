"""Toy: drawn street scenes with 14 classes, made in milliseconds from a seed, the same on every platform.

The class shares have a long tail like Cityscapes' (road 29 % ... traffic light and rider 0.5 %), and some
classes look alike: traffic light and traffic sign, rider and person, bus and truck, sidewalk and road. About
2.5 % of the pixels are void.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from a2lc.datasets.base import Classes, Dataset, Split
from a2lc.datasets.toy_canvas import CLASSES
from a2lc.datasets.toy_scene import draw

MIN_HEIGHT, MIN_WIDTH = 48, 64


def load(*, seed: int = 0, n_train: int = 96, n_val: int = 32, height: int = 96, width: int = 128) -> Dataset:
    """Street scenes, drawn when asked for.

    Args:
        seed: another seed draws other scenes; >= 0.
        n_train: images in the training split, at least 1; its first images do not depend on this number.
        n_val: images in the validation split, at least 1.
        height: rows of every image, at least 48.
        width: columns of every image, at least 64.

    Raises:
        ValueError: an argument that is no integer or too small.
    """
    limits = {"seed": 0, "n_train": 1, "n_val": 1, "height": MIN_HEIGHT, "width": MIN_WIDTH}
    found = {"seed": seed, "n_train": n_train, "n_val": n_val, "height": height, "width": width}
    for option, value in found.items():
        if type(value) is not int or value < limits[option]:
            raise ValueError(f"toy: {option} must be an integer >= {limits[option]}, found {value!r}")
    classes = Classes(tuple(CLASSES), np.array(list(CLASSES.values()), dtype=np.uint8))
    train = ToySplit("train", 0, n_train, seed, (height, width))
    return Dataset("toy", classes, train, ToySplit("val", 1, n_val, seed, (height, width)))


class ToySplit(Split):
    """Scenes number 0..count-1 of one split; names are "train_0000", "train_0001", ... or "val_0000", ..."""

    def __init__(self, name: str, number: int, count: int, seed: int, size: tuple[int, int]) -> None:
        super().__init__(name, [f"{name}_{index:04d}" for index in range(count)])
        self._index = {name: index for index, name in enumerate(self.names)}
        self._seed, self._number, self._size = seed, number, size

    def image(self, name: str) -> np.ndarray:
        """Draw the picture; see `Split.image`."""
        return self._scene(name)[0].copy()

    def ground_truth(self, name: str) -> np.ndarray:
        """The classes the picture was drawn from; see `Split.ground_truth`."""
        return self._scene(name)[1].copy()

    def _scene(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        self._check_name(name)
        return _cached(self._seed, self._number, self._index[name], *self._size)


@lru_cache(maxsize=256)
def _cached(seed: int, split: int, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return draw((seed, split, index), height, width)
