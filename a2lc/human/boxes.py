"""Boxes around masks."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects

from a2lc.masks import MaskSet


def boxes_of(masks: MaskSet, rows: np.ndarray) -> np.ndarray:
    """(n, 4) int64 left, top, right, bottom of masks, in pixels; right and bottom are the first outside.

    Args:
        masks: where the masks are.
        rows: (n,) row numbers of the table; each image's object map is read once.
    """
    boxes = np.zeros((len(rows), 4), dtype=np.int64)
    images = masks.table["image"].cat.codes.to_numpy()[rows]
    for image in np.unique(images):
        name = masks.names[image]
        found = find_objects(masks.index_map(name) + 1)
        for i in np.flatnonzero(images == image):
            down, across = found[rows[i] - masks.rows(name).start]
            boxes[i] = across.start, down.start, across.stop, down.stop
    return boxes
