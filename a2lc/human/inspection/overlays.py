"""Labels drawn on their pictures: the quickest way to see whether they belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation

from a2lc.datasets.base import VOID, bit_palette
from a2lc.files import colour_of, read_image
from a2lc.files.label_file import Colour
from a2lc.human.inspection.found import Found, Row
from a2lc.human.inspection.inspection import Inspection
from a2lc.human.inspection.looks import LabelLook, label_pixels
from a2lc.human.inspection.suspicion import shown
from a2lc.human.mask_pictures import edges, nearest_pixels, smooth

SIDE = 640  # pixels: the longest side
OPACITY = 0.55  # of labels
UNKNOWN: Colour = (255, 0, 255)  # of values that mean nothing
DARKER = 0.4  # brightness of what is void


@dataclass(frozen=True)
class Overlay:
    """A picture with its labels.

    Attributes:
        name: of the image.
        picture: (h, w, 3) uint8.
        labelled: (h, w, 3) uint8, the picture in the colours of the labels, with outlines, darker where void; of labels
            of another size the labels alone.
        legend: what is in it -> its colour, None for void; the most frequent first.
    """

    name: str
    picture: np.ndarray
    labelled: np.ndarray
    legend: Mapping[str, Colour | None]


def overlays(inspection: Inspection, count: int = 3) -> list[Overlay]:
    """Pictures that together show as many classes as possible.

    Args:
        inspection: what `a2lc.inspect` returned.
        count: how many at most; those that cannot be read any more are left out.
    """
    drawn = []
    for row in _chosen(inspection.found, count):
        try:
            drawn.append(_overlay(inspection.found, row))
        except (ValueError, OSError):  # the file has changed since, or the picture is damaged: a suspicion says so
            continue
    return drawn


def _chosen(found: Found, count: int) -> list[Row]:
    upright = found.told.layout.upright
    left = [(row, look) for row, look in found.labelled if not row.picture.trouble]
    chosen: list[Row] = []
    seen: set[tuple[bool, int]] = set()
    while left and len(chosen) < count:
        best = max(left, key=lambda item: _worth(item[0], item[1], seen, upright))
        left.remove(best)
        row, look = best
        seen = seen | {(look.is_colour, value) for value in look.values}
        chosen.append(row)
    return chosen


def _worth(row: Row, look: LabelLook, seen: set[tuple[bool, int]], upright: bool) -> tuple[bool, int]:
    """Whether label and picture lie on each other, and how many values are new."""
    return row.picture.shown_size(upright) == look.size, len({(look.is_colour, value) for value in look.values} - seen)


def _overlay(found: Found, row: Row) -> Overlay:
    layout, look = found.told.layout, row.label or LabelLook()
    picture = read_image(row.file, layout.upright, layout.window)
    values = label_pixels(Path(row.label_file or row.file), found.told.values)
    fits = picture.shape[:2] == values.shape
    picture = smooth(picture, _fitting(picture.shape))
    values = nearest_pixels(values, picture.shape[:2] if fits else _fitting(values.shape))
    labelled = picture.copy() if fits else np.full((*values.shape, 3), 255, dtype=np.uint8)
    legend: dict[str, Colour | None] = {}
    for value in look.values:
        name, colour = _drawn(found, look, value)
        legend.setdefault(name, colour)
        inside = values == value
        if colour is None:
            labelled[inside] = labelled[inside] * DARKER
        else:
            labelled[inside] = (1 - OPACITY) * labelled[inside] + OPACITY * np.array(colour)
    labelled[binary_dilation(edges(values), np.ones((2, 2)))] = 255  # seen in half the size, too
    return Overlay(row.name, picture, labelled, legend)


def _drawn(found: Found, look: LabelLook, value: int) -> tuple[str, Colour | None]:
    """What a value is called, and its colour; None: void."""
    classes, label = found.told.classes, found.meaning(look, value)
    if classes is None:
        colour = colour_of(value) if look.is_colour else look.palette.get(value)
        red, green, blue = bit_palette(256)[(value + 1) % 256].tolist() if colour is None else colour
        return shown(value, look.is_colour), (red, green, blue)
    if label is None:
        return f"{shown(value, look.is_colour)}, no class", UNKNOWN
    if label == classes.ignore_index:
        return VOID, None
    red, green, blue = classes.palette[label].tolist()
    return classes.names[label], (red, green, blue)


def _fitting(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width with a longest side of `SIDE` pixels."""
    scale = SIDE / max(size[:2])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
