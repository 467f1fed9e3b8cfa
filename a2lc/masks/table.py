"""The table of a `MaskSet`: one row per mask, and what its columns may hold."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.datasets.base import VOID, Classes
from a2lc.files import below, damaged, is_whole, missing, read_json, read_parquet, write_json

SOURCES = ("initial", "annotator", "lcm", "overruled", DISCARDED := "discarded", MIXED := "mixed")
"""Who set a mask's label. Tables keep positions in this list, so new names come last. ``overruled``: the LCM, after an
annotator had answered in an earlier round. ``discarded``: an annotator, who found no label of the image of use.
``mixed``: an annotator, who found several classes in the mask, so that its label stays as it was."""

ANSWERED = ("annotator", "overruled", DISCARDED, MIXED)
"""Sources of masks that an annotator has answered at some time, be it with their whole image."""

SILENT = (DISCARDED, MIXED)
"""Sources of masks whose answer tells nothing of other masks."""

AUTOMATIC = ("lcm", "overruled")
"""Sources of labels that the LCM has set."""

TYPES = {"mask_id": "int32", "area": "int64", "label": "uint8", "initial_label": "uint8", "round": "int16"} | {
    "confidence": "float32"
}
"""Of the columns that hold numbers."""

DENSE = 2**22  # up to this id a table of all numbers is looked up, which is faster
LAST_ROUND = 32767  # the largest int16

STATE = ("label", "source", "round", "confidence")
"""The columns that change from round to round."""


def label_names(classes: Classes) -> np.ndarray:
    """(256,) object: the name of every label, `VOID` for those that are no class."""
    names = np.full(256, VOID, dtype=object)
    names[: len(classes)] = classes.names
    return names


def categorical(codes: np.ndarray, categories: Iterable[str]) -> pd.Categorical[str]:
    """Categories by code: (n,) integers, an index into `categories` each."""
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(categories)))


def areas_of(objects: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids > 0 of an object map (H, W) and their pixel counts, (n,) int64 each.

    Raises:
        ValueError: not two-dimensional, not integers, or a negative id; the message begins with `name`.
    """
    if objects.ndim != 2 or objects.dtype.kind not in "iu":
        raise ValueError(f"{name}: an object map is (H, W) integers, found {objects.shape} {objects.dtype}")
    if objects.size and int(objects.min()) < 0:
        raise ValueError(f"{name}: mask ids must be >= 0, found {int(objects.min())}")
    if int(objects.max(initial=0)) > DENSE:
        ids, counts = np.unique(objects, return_counts=True)
        return ids[ids > 0].astype(np.int64), counts[ids > 0]
    counts = np.bincount(objects.ravel())
    ids = np.flatnonzero(counts)
    ids = ids[ids > 0]
    return ids, counts[ids]


def positions_of(objects: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The position of each pixel's id in a list of ids, -1 where it is not in it.

    Args:
        objects: (H, W) integers >= 0.
        ids: (n,) integers > 0, ascending.

    Returns:
        (H, W) int64.
    """
    largest = max(int(objects.max(initial=0)), int(ids.max(initial=0)))
    if largest > DENSE:  # a table of all numbers up to it would take gigabytes
        at = np.minimum(np.searchsorted(ids, objects), max(len(ids) - 1, 0))
        return np.where(ids[at] == objects, at, -1) if len(ids) else np.full(objects.shape, -1, np.int64)
    lookup = np.full(largest + 1, -1, dtype=np.int64)
    lookup[ids] = np.arange(len(ids))
    return lookup[objects]


def labels_of(ids: np.ndarray, objects: np.ndarray, label_map: np.ndarray, name: str) -> np.ndarray:
    """The label of each mask of an object map, (n,).

    Args:
        ids: (n,) all ids > 0 of `objects`, ascending.
        objects: (H, W) integers >= 0.
        label_map: (H, W) labels; each mask carries one.
        name: of the label map.

    Raises:
        ValueError: a mask carries several labels; the message begins with `name`.
    """
    index = positions_of(objects, ids)
    values = np.zeros(len(ids) + 1, dtype=label_map.dtype)  # the last one of what is in no mask
    values[index] = label_map
    mixed = objects[(values[index] != label_map) & (objects > 0)]
    if mixed.size:
        raise ValueError(f"{name}: mask {int(mixed[0])} carries several labels instead of one")
    return values[:-1]


def check_labels(labels: np.ndarray, classes: Classes, where: str) -> None:
    """Raise `ValueError`, beginning with `where`, when one of (n,) labels is no integer, or neither a class nor the
    ignore index."""
    if labels.size and labels.dtype.kind not in "iu":
        raise ValueError(f"{where}: expected labels as integers, found {labels.dtype}")
    wrong = labels[((labels < 0) | (labels >= len(classes))) & (labels != classes.ignore_index)]
    if wrong.size:
        allowed = f"0..{len(classes) - 1} or {classes.ignore_index}"
        raise ValueError(f"{where}: label {int(wrong[0])} is outside the class list (expected {allowed})")


def check_changes(
    rows: np.ndarray, labels: np.ndarray, round: int, confidence: np.ndarray, classes: Classes, masks: int
) -> None:
    """Raise `ValueError` when changes of a table of so many masks are not what `MaskSet.relabel` says."""
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise ValueError(f"rows: expected (n,) row numbers, found {rows.shape} {rows.dtype}")
    if ((rows < 0) | (rows >= masks)).any():
        raise ValueError(f"rows: expected row numbers in 0..{masks - 1}, found {rows.min()}..{rows.max()}")
    if len(found := np.unique(rows)) < len(rows):
        raise ValueError(f"rows: expected each row once, found {len(found)} rows in {len(rows)} numbers")
    if labels.shape != rows.shape:
        raise ValueError(f"labels: expected ({len(rows)},), a label per row, found {labels.shape}")
    check_labels(labels, classes, "labels")
    if not (is_whole(round) and 1 <= round <= LAST_ROUND):
        raise ValueError(f"round: expected the round of the change, 1..{LAST_ROUND}, found {round!r}")
    if confidence.shape not in ((), rows.shape):
        raise ValueError(f"confidence: expected ({len(rows)},) or one for all, found {confidence.shape}")
    if ((confidence < 0) | (confidence > 1)).any():
        raise ValueError(f"confidence: expected 0..1 or NaN, found {confidence.min()}..{confidence.max()}")


def new_table(
    classes: Classes, names: tuple[str, ...], frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """The table of masks that nobody has corrected yet (`MaskSet.table`).

    Args:
        classes: the class list.
        names: the images.
        frames: per image ids, areas and labels, (n,) each.

    Raises:
        ValueError: no image, an image twice, or a label is no integer or outside the class list.
    """
    if not names:
        raise ValueError("names: expected at least one image, found none")
    if len(set(names)) < len(names):
        raise ValueError(f"names: expected distinct images, found {max(names, key=names.count)!r} more than once")
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


# ------------------------------------------------------------------------------------------------ files
def write_description(path: Path, names: Iterable[str], classes: Classes, uncovered: int) -> None:
    """Write what `read_description` reads."""
    description = {
        "names": list(names),
        "uncovered": uncovered,
        "class_names": list(classes.names),
        "palette": classes.palette.tolist(),
        "ignore_index": classes.ignore_index,
        "background": classes.background,
    }
    write_json(path, description)


def read_description(path: Path) -> tuple[tuple[str, ...], Classes, int]:
    """Image names, classes and the label of uncovered pixels, of the ``masks.json`` of `MaskSet.save`.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged; the message names it.
    """
    about = read_json(path, "names", "class_names", "palette", "ignore_index", "background", "uncovered")
    names, class_names, uncovered = about["names"], about["class_names"], about["uncovered"]
    try:
        for texts in (names, class_names):
            if not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
                raise ValueError(f"expected a list of names, found {str(texts)[:60]}")
        if len(set(names)) < len(names):
            raise ValueError("expected distinct names of images")
        for name in names:
            below(path.parent, name)
        palette = np.array(about["palette"], np.uint8)
        classes = Classes(tuple(class_names), palette, about["ignore_index"], about["background"])
        check_labels(np.array([uncovered]), classes, "uncovered")
    except (TypeError, ValueError, OverflowError) as error:  # text where a number belongs, a number too large
        raise damaged(path, f"damaged ({error})") from error
    return tuple(names), classes, uncovered


def read_table(path: Path, names: tuple[str, ...], classes: Classes) -> pd.DataFrame:
    """The table of these images that `MaskSet.save` wrote.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or the table of other images; the message names it.
    """
    table = read_columns(path, classes, "image", "source", *TYPES)
    wrong = (table["mask_id"] <= 0).any()
    for name, categories in (("image", names), ("source", SOURCES)):
        known = table[name].isin(categories)
        wrong |= not known.all()
        table[name] = pd.Categorical(table[name].where(known), categories=categories)
    place = table["image"].cat.codes.to_numpy(np.int64) << 32 | table["mask_id"].to_numpy(np.int64)
    if wrong or (np.diff(place) <= 0).any():
        raise damaged(path, f"expected masks with ids > 0 of {len(names)} images, in order")
    return table


def read_state(path: str | os.PathLike[str], classes: Classes, masks: int) -> dict[str, np.ndarray]:
    """The columns `STATE`, (M,) each, that `MaskSet.save_state` wrote; sources as positions in `SOURCES`.

    Args:
        path: the file.
        classes: what labels may be.
        masks: M.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or has another number of masks than `masks`; the message names it.
    """
    if not Path(path).is_file():
        raise missing(path)
    state = read_columns(path, classes, *STATE)
    if len(state) != masks:
        raise damaged(path, f"expected {masks} masks, found {len(state)}")
    if not state["source"].isin(range(len(SOURCES))).all():
        raise damaged(path, f"expected sources in 0..{len(SOURCES) - 1}")
    return {name: state[name].to_numpy() for name in STATE}


def read_columns(path: str | os.PathLike[str], classes: Classes, *columns: str) -> pd.DataFrame:
    """A table that has these columns, of their types, and labels of these classes.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or another table; the message names it.
    """
    table = read_parquet(path, *columns)
    for name in set(columns) & TYPES.keys():
        if table[name].dtype != TYPES[name]:
            raise damaged(path, f"expected the column {name} of type {TYPES[name]}, found {table[name].dtype}")
    try:
        for name in {"label", "initial_label"} & set(columns):
            check_labels(table[name].to_numpy(), classes, name)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return table
