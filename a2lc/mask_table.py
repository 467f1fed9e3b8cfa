"""The table of a `MaskSet`: one row per mask, and what its columns may hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from a2lc.datasets.base import Classes

SOURCES = ("initial", "annotator", "lcm", "overruled")
"""Who set a mask's label. Tables keep positions in this list, so new names come last. ``overruled``: the LCM, after an
annotator had answered in an earlier round."""

ANSWERED = ("annotator", "overruled")
"""Sources of masks that an annotator has answered at some time."""

AUTOMATIC = ("lcm", "overruled")
"""Sources of labels that the LCM has set."""

VOID = "void"
"""What people read where a label is no class."""


def label_names(classes: Classes) -> np.ndarray:
    """(256,) object: the name of every label, `VOID` for those that are no class."""
    names = np.full(256, VOID, dtype=object)
    names[: len(classes)] = classes.names
    return names


def categorical(codes: np.ndarray, categories: Iterable[str]) -> pd.Categorical[str]:
    """Categories by code: (n,) integers, an index into `categories` each."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(categories)))


def areas_of(objects: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids > 0 of an object map (H, W) and their pixel counts, (n,) each.

    Raises:
        ValueError: not two-dimensional, not integers, or a negative id; the message begins with `name`.
    """
    if objects.ndim != 2 or objects.dtype.kind not in "iu":
        raise ValueError(f"{name}: an object map is (H, W) integers, found {objects.shape} {objects.dtype}")
    if objects.size and int(objects.min()) < 0:
        raise ValueError(f"{name}: mask ids must be >= 0, found {int(objects.min())}")
    counts = np.bincount(objects.ravel())
    ids = np.flatnonzero(counts)
    ids = ids[ids > 0]
    return ids, counts[ids]


def check_labels(labels: np.ndarray, classes: Classes, where: str) -> None:
    """Raise `ValueError`, beginning with `where`, when a label is neither a class nor the ignore index."""
    wrong = labels[((labels < 0) | (labels >= len(classes))) & (labels != classes.ignore_index)]
    if wrong.size:
        allowed = f"0..{len(classes) - 1} or {classes.ignore_index}"
        raise ValueError(f"{where}: label {int(wrong[0])} is outside the class list (expected {allowed})")


def new_table(
    classes: Classes, names: tuple[str, ...], frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """The table of masks that nobody has corrected yet; per image ids, areas and labels, (n,) each.

    Raises:
        ValueError: a label is outside the class list.
    """
    for name, (_, _, labels) in zip(names, frames, strict=True):
        check_labels(labels, classes, name)
    counts = [len(ids) for ids, _, _ in frames]
    ids, sizes, labels = (np.concatenate([frame[k] for frame in frames]) for k in range(3))
    return pd.DataFrame(
        {
            "image": categorical(np.repeat(np.arange(len(names)), counts), names),
            "mask_id": ids.astype(np.int32),
            "area": sizes.astype(np.int64),
            "label": labels.astype(np.uint8),
            "initial_label": labels.astype(np.uint8),
            "source": categorical(np.zeros(len(ids), dtype=np.int8), SOURCES),
            "round": np.zeros(len(ids), dtype=np.int16),
            "confidence": np.full(len(ids), np.nan, dtype=np.float32),
        }
    )
