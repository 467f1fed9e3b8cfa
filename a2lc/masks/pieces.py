"""Masks that a person has cut, as masks of their own: what is written out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from a2lc.masks.mask_set import MaskSet
from a2lc.masks.table import SOURCES, TYPES, categorical

LARGEST = 65535
"""The largest id of a mask that is written as PNG."""


def in_pieces(masks: MaskSet) -> MaskSet:
    """The masks, and instead of each that was cut its pieces. Their ids follow the largest of their image, piece after
    piece, or are free ones below it where they would exceed `LARGEST`; their source is ``annotator``. Where nothing is
    cut, it is the same mask set.

    Raises:
        FileNotFoundError, ValueError: as `MaskSet.object_map`; or an image has more masks and pieces than ids.
    """
    maps, frames, pieces = {}, [], []
    kept = np.ones(len(masks), dtype=bool)
    for name in sorted({image for image, _ in masks.cuts}, key=lambda name: masks.rows(name).start):
        maps[name] = objects = masks.object_map(name).copy()
        taken = masks.table["mask_id"].to_numpy()[masks.rows(name)]
        number = sum(len(cut.labels) for cut in masks.cuts_of(name).values())
        free = int(taken.max()) + 1 + np.arange(number)
        if number and int(free[-1]) > LARGEST:  # more than a PNG holds: those between
            free = np.setdiff1d(np.arange(1, LARGEST + 1), taken)[:number]
        if len(free) < number:
            raise ValueError(f"{name}: expected at most {LARGEST} masks and pieces, found {len(taken) + number}")
        for mask_id, cut in masks.cuts_of(name).items():
            kept[row := masks.row(name, mask_id)] = False
            ids, free = free[: len(cut.labels)], free[len(cut.labels) :]
            of_pixels = cut.pieces()
            objects[objects == mask_id] = ids[of_pixels]
            same = masks.table.iloc[[row] * len(ids)]
            frames.append(same.assign(mask_id=ids, area=np.bincount(of_pixels), label=cut.labels, source="annotator"))
            pieces += [(name, int(piece)) for piece in ids]
    if kept.all():
        return masks
    table = pd.concat([masks.table[kept], *frames], ignore_index=True)
    table = table.astype({name: TYPES[name] for name in ("mask_id", "area", "label")})
    table["source"] = categorical(pd.Categorical(table["source"], categories=SOURCES).codes, SOURCES)
    table = table.sort_values(["image", "mask_id"], ignore_index=True)
    return masks.of_other_masks(table, maps, pieces)
