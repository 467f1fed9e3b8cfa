"""What generated text says about boxes, read strictly: JSON or location marks; anything else is nothing found."""

from __future__ import annotations

import json
import re
from itertools import groupby

import numpy as np

from a2lc.referring.priors.base import MOST, Located

LARGEST = 1e6  # pixels: numbers beyond are no places
BINS = 1000  # Florence-2 writes places in thousandths of a side
_FENCED = re.compile(r"\A\s*```(?:json)?\s*(.*?)\s*```\s*\Z", re.DOTALL)


def read_json_boxes(text: str, shown: tuple[float, float], size: tuple[int, int], score: float) -> Located:
    """Boxes in an answer such as ``[{"bbox_2d": [12, 8, 60, 40], "label": "..."}]``, fenced or not.

    Args:
        text: all that was generated.
        shown: height and width of the image as the model saw it, which its numbers refer to.
        size: H, W of the image.
        score: how sure the model was of what it wrote, in [0, 1].

    Returns:
        The boxes; nothing, unread, where an entry is no box of four numbers of at most `LARGEST`.
    """
    fenced = _FENCED.match(text)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return Located.nothing(unread=True)
    entries = found if isinstance(found, list) else [found]
    boxes = []
    for entry in entries[:MOST]:
        box = entry.get("bbox_2d") if isinstance(entry, dict) else None
        if not (isinstance(box, list) and len(box) == 4 and all(_is_place(value) for value in box)):
            return Located.nothing(unread=True)
        boxes.append(box)
    if not boxes:
        return Located.nothing()
    scale = np.array([size[1] / shown[1], size[0] / shown[0]] * 2)
    return Located.of(np.array(boxes) * scale, np.full(len(boxes), score), size)


def _is_place(value: object) -> bool:
    """Whether it is a number of pixels; infinite ones, those that are none and whole ones of any length are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def read_location_marks(text: str, size: tuple[int, int], score: float) -> Located:
    """The polygon in an answer such as ``<loc_12><loc_8>...``: points x, y in thousandths; other marks part polygons.

    Returns:
        The box around each polygon of at least three points, and all of them as a map.
    """
    marks = re.findall(r"<loc_(\d{1,4})>|(<[^<>]*>|[^<>]+)", text)
    runs = [[int(m[0]) for m in run] for is_place, run in groupby(marks, key=lambda m: bool(m[0])) if is_place]
    if not runs or any(len(run) < 6 or len(run) % 2 or max(run) >= BINS for run in runs):
        return Located.nothing(unread=bool(text.strip()))
    from skimage.draw import polygon2mask

    heat, boxes = np.zeros(size, bool), []
    for run in runs[:MOST]:
        points = (np.array(run, np.float64).reshape(-1, 2) + 0.5) / BINS * [size[1], size[0]]  # x, y
        boxes.append([*points.min(0), *points.max(0)])
        heat |= polygon2mask(size, points[:, ::-1])
    return Located.of(np.array(boxes), np.full(len(boxes), score), size, score * heat.astype(np.float32))
