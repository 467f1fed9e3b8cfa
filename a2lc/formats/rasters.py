"""Formats that are label pictures: VOC with labelmap.txt (CVAT, Datumaro), Cityscapes, Hugging Face's folders.

A pixel's value is its id, or its colour as one number (`a2lc.files.LabelFile`). What is written back are the pixels
that have another class now, in a file of the same mode; pixels of the same class keep their value, also where several
values mean one class.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import find_objects
from skimage.measure import label as connected_regions

from a2lc.files import LabelFile
from a2lc.formats.source import VOID_ID, Found, Values


def read_values(data: bytes, name: object, coloured: bool) -> np.ndarray:
    """(H, W) int32 values of a label picture.

    Raises:
        ValueError: damaged, or of a mode that has no such values; the message begins with `name`.
    """
    file = LabelFile(data, name)
    return file.colours() if coloured else file.ids()


def check_size(values: np.ndarray, height: int, width: int, name: object) -> None:
    """Refuse a label picture of another size than its image; the message begins with `name`."""
    if values.shape != (height, width):
        found = f"found {values.shape[0]} x {values.shape[1]}"
        raise ValueError(f"{name}: expected {height} x {width} pixels, its image's, {found}")


def with_labels(data: bytes, name: object, labels: np.ndarray, values: Values) -> bytes | None:
    """A label picture with the values of other labels; None: nothing would change.

    Args:
        data: the picture.
        name: for messages.
        labels: (H, W) uint8, classes or `VOID_ID`.
        values: what its values mean.

    Raises:
        ValueError: another size, void where it has no value, or a colour that the palette has not.
    """
    before = read_values(data, name, values.coloured)
    if labels.shape != before.shape:
        raise ValueError(f"{name}: expected labels of its size {before.shape}, found {labels.shape}")
    changed = values.labels(before) != labels
    if not changed.any():
        return None
    value_of = {label: value for value, label in reversed([*values.classes.items()])}  # the first of several values
    if values.void is not None:
        value_of[VOID_ID] = values.void
    after = before.copy()
    for label in np.unique(labels[changed]).tolist():
        if label not in value_of:
            raise ValueError(f"{name}: expected a class that these files have a value for, found {label} of void 255")
        after[changed & (labels == label)] = value_of[label]
    file = LabelFile(data, name)
    return file.with_colours(after) if values.coloured else file.with_ids(after)


def regions(labels: np.ndarray, instances: np.ndarray | None, key: str) -> Iterator[Found]:
    """The objects of a label picture: its instances where they are told, else connected regions of one class; what an
    instance has of further classes is an object of its own.

    Args:
        labels: (H, W) uint8, classes or `VOID_ID`.
        instances: (H, W) integers, 0 = none; None: nobody has told.
        key: the file.
    """
    parts = connected_regions(labels, background=VOID_ID, connectivity=2).astype(np.int64)
    if instances is not None:
        told = (instances > 0) & (labels != VOID_ID)
        parts[told] = parts.max(initial=0) + 1 + instances[told].astype(np.int64) * 256 + labels[told]
    parts[labels == VOID_ID] = 0
    different, inverse = np.unique(parts, return_inverse=True)
    numbered = (inverse.reshape(parts.shape) + (different[0] > 0)).astype(np.int32)
    for k, place in enumerate(find_objects(numbered), start=1):
        mask = numbered[place] == k
        yield Found(key, int(labels[place][mask][0]), mask, corner=(place[0].start, place[1].start))
