"""Shapes of objects as COCO writes them, polygons or run-length codes: checked, and brought to one form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from a2lc.referring.safe_refs import brief


def run_lengths(where: str, shape: Any, size: tuple[int, int]) -> Any:
    """The run-length code, as pycocotools has it, of polygons or of a list of counts.

    Args:
        where: begins the message of an error.
        shape: a list of polygons x y x y ... in pixels, or ``{"size": [height, width], "counts": [...]}``.
        size: height and width of the image.

    Raises:
        ValueError: it is neither. Polygons may leave the image, but not by more than its size; a run-length code must
            be as long as the image.
    """
    from pycocotools import mask as coco

    if isinstance(shape, dict):
        _check_counts(where, shape, size)
    elif isinstance(shape, list) and shape:
        for polygon in shape:
            _check_polygon(where, polygon, size)
    else:
        raise ValueError(f"{where}: segmentation: expected polygons or RLE, found {brief(shape)}")
    with _no_complaint():
        parts = coco.frPyObjects(shape, *size)
        return coco.merge(parts) if isinstance(parts, list) else parts


def pixels_of(code: Any) -> np.ndarray:
    """(H, W) bool of what `run_lengths` returns, rasterised as published IoUs are (pycocotools)."""
    from pycocotools import mask as coco

    with _no_complaint():
        return np.asarray(coco.decode(code), bool)


@contextmanager
def _no_complaint() -> Iterator[None]:
    """The arrays of pycocotools know nothing of NumPy 2's ``copy``, of which NumPy warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _check_counts(where: str, shape: dict[str, Any], size: tuple[int, int]) -> None:
    counts, found, pixels = shape.get("counts"), shape.get("size"), size[0] * size[1]
    if not isinstance(found, list) or [(type(side), side) for side in found] != [(int, side) for side in size]:
        what = ", ".join(map(brief, found[:2])) if isinstance(found, list) else brief(found)
        raise ValueError(f"{where}: RLE of size {what}, expected {list(size)}")
    if not isinstance(counts, list):
        raise ValueError(f"{where}: RLE: expected a list of counts, found {type(counts).__name__}")
    if not all(type(count) is int and 0 <= count <= pixels for count in counts) or sum(counts) != pixels:
        raise ValueError(f"{where}: RLE: expected counts that add up to {pixels} pixels")


def _check_polygon(where: str, polygon: Any, size: tuple[int, int]) -> None:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"{where}: polygon: expected at least three points x, y")
    for values, side in ((polygon[::2], size[1]), (polygon[1::2], size[0])):
        for value in values:
            if type(value) not in (int, float) or not -side <= value <= 2 * side:
                what = f"expected points in or near an image of {size}, found {brief(value)}"
                raise ValueError(f"{where}: polygon: {what}")
