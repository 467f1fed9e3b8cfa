"""Masks that a person has cut, as masks of their own: what is written out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from a2lc.masks.mask_set import MaskSet
from a2lc.masks.table import SOURCES, TYPES, categorical


def in_pieces(masks: MaskSet) -> MaskSet:
    """The masks, and instead of each that was cut its pieces. Their ids follow the largest of their image, piece after
    piece; their source is ``annotator``. Where nothing is cut, it is the same mask set.

    Raises:
        FileNotFoundError, ValueError: as `MaskSet.object_map`.
    """
    maps, frames, pieces = {}, [], []
    kept = np.ones(len(masks), dtype=bool)
    for name in sorted({image for image, _ in masks.cuts}, key=masks.names.index):
        maps[name] = objects = masks.object_map(name).copy()
        last = int(masks.table["mask_id"].iloc[masks.rows(name)].max())
        for mask_id, cut in masks.cuts_of(name).items():
            kept[row := masks.row(name, mask_id)] = False
            ids, of_pixels = last + 1 + np.arange(len(cut.labels)), cut.pieces()
            last = int(ids[-1])
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
