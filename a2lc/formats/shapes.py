"""Shapes as pixels: polygons and run lengths, of files that nobody has checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from a2lc.machine import PYCOCO, require

LONGEST = 10_000_000  # outline in pixels: what is longer would take all memory, and comes from no person


def coco_polygons(polygons: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool: the pixels of an object of several polygons, as pycocotools draws them; parts that lie outside the
    picture are cut off, and polygons of fewer than three corners have no pixels.

    Args:
        polygons: lists x0, y0, x1, y1, ... in pixels.
        height: H.
        width: W.

    Raises:
        ValueError: no such lists, coordinates that are no finite numbers, or an endless outline.
        MissingExtraError: pycocotools is missing.
    """
    if not isinstance(polygons, list):
        raise ValueError(f"expected a list of polygons, found {_short(polygons)}")
    checked = [corners(polygon).ravel().tolist() for polygon in polygons]
    if not (checked := [numbers for numbers in checked if len(numbers) >= 6]):
        return np.zeros((height, width), bool)
    require(PYCOCO)
    from pycocotools import mask

    drawn = mask.decode(mask.merge(mask.frPyObjects(checked, height, width)))
    return np.asarray(drawn, bool)


def filled_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool: the pixels of one polygon with its outline, as Pillow (and labelme with it) draws them.

    Args:
        points: (n, 2) x, y in pixels; fewer than three have no pixels.
        height: H.
        width: W.
    """
    image = Image.new("1", (width, height))
    if len(points) >= 3:
        ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in points], fill=1, outline=1)
    return np.array(image)


def corners(value: Any) -> np.ndarray:
    """(n, 2) float64 of a flat list x0, y0, x1, y1, ... or a list of pairs.

    Raises:
        ValueError: no such list, coordinates that are no finite numbers, or an outline longer than `LONGEST`.
    """
    flat: list[Any] = []
    for item in value if isinstance(value, list) else [None]:
        flat += item if isinstance(item, list) else [item]
    if not all(type(number) in (int, float) and abs(number) < 1e9 for number in flat):  # NaN is not smaller either
        wrong = next(number for number in flat if not (type(number) in (int, float) and abs(number) < 1e9))
        raise ValueError(f"expected coordinates that are finite numbers, found {_short(wrong)}")
    if len(flat) % 2:
        raise ValueError(f"expected pairs of coordinates, found {len(flat)} numbers")
    points = np.array(flat, float).reshape(-1, 2)
    if len(points) and np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum() > LONGEST:
        raise ValueError(f"expected an outline of at most {LONGEST:,} pixels, found a longer one")
    return points


def run_lengths_as_mask(value: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool of COCO's run lengths, ``{"size": [H, W], "counts": [...]}`` or counts as text.

    Raises:
        ValueError: another size, or counts that are no such numbers or do not add up to H W.
    """
    if not isinstance(value, dict) or value.get("size") != [height, width]:
        found = value.get("size") if isinstance(value, dict) else value
        raise ValueError(f"expected run lengths of size [{height}, {width}], the image's, found {_short(found)}")
    counts = value.get("counts")
    if isinstance(counts, str):
        counts = _counts_of(counts)
    if not (isinstance(counts, list) and all(type(n) is int and 0 <= n <= height * width for n in counts)):
        raise ValueError(f"expected counts >= 0 or their text, found {_short(counts)}")
    if sum(counts) != height * width:
        raise ValueError(f"expected run lengths that add up to {height * width} pixels, found {sum(counts)}")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def _counts_of(text: str) -> list[int]:
    """Run lengths of COCO's text: five bits a character, the sixth says that more follow; from the fourth on each is
    the difference to the one before the last."""
    found: list[int] = []
    number = bits = 0
    for character in text:
        value = ord(character) - 48
        if not 0 <= value < 64 or bits > 60:
            raise ValueError(f"expected counts in COCO's text, found the character {character!r}")
        number |= (value & 31) << bits
        bits += 5
        if not value & 32:
            number -= (value & 16) << (bits - 4)
            found.append(number + (found[-2] if len(found) > 2 else 0))
            number = bits = 0
    return found


def filled_rectangle(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool of two opposite corners, (2, 2) x, y in pixels, as Pillow (and labelme with it) draws it."""
    image = Image.new("1", (width, height))
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    ImageDraw.Draw(image).rectangle([left, top, right, bottom], fill=1, outline=1)
    return np.array(image)


def circle(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool of labelme's circle: its centre and a point on it."""
    image = Image.new("1", (width, height))
    (x, y), (x1, y1) = points.tolist()
    radius = math.hypot(x - x1, y - y1)
    ImageDraw.Draw(image).ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)
    return np.array(image)


def _short(value: Any) -> str:
    return repr(value)[:60]
