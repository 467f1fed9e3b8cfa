"""What lies around a mask, for `lcm_inputs.py`."""

from __future__ import annotations

import numpy as np

from a2lc.masks import MaskSet


def neighbours(masks: MaskSet) -> np.ndarray:
    """(M, K + 2) float32 in [0, 1]: the share of each mask's border that lies beside masks of each present label, void,
    and no mask. All 0 for a mask that fills its image. Masks are neighbours where pixels share an edge."""
    k, labels = len(masks.classes), np.minimum(masks.table["label"].to_numpy(), len(masks.classes)).astype(np.int64)
    found = np.zeros((len(masks), k + 2))
    for name in masks.names:
        index, rows = masks.index_map(name), masks.rows(name)
        label = np.append(labels[rows], k + 1)[index]  # of each pixel; -1 = no mask
        for a, b in (((slice(None), slice(1, None)), (slice(None), slice(-1))), ((slice(1, None),), (slice(-1),))):
            for here, there in ((a, b), (b, a)):
                at, beside = index[here], label[there]
                border = (at != index[there]) & (at >= 0)
                np.add.at(found, (rows.start + at[border], beside[border]), 1.0)
    return (found / np.maximum(found.sum(1, keepdims=True), 1)).astype(np.float32)
