"""The way back: the source's own files, with other classes where a person or a correction says so."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.datasets.listing import some_of
from a2lc.files import atomic, atomic_folder, atomic_new, below, file_bytes, read_json, read_label_png
from a2lc.formats import coco, hugging_face, label_studio, labelme, yolo
from a2lc.formats.json_text import replaced
from a2lc.formats.plain import KEPT, OBJECTS
from a2lc.formats.rasters import with_labels
from a2lc.formats.source import INDEX, VOID_ID, Edit, Values

EDITS: Mapping[str, Callable[[str, Any, Any], list[Edit]]] = {
    "coco": coco.edits_of_instances,
    "panoptic": coco.edits_of_panoptic,
    "labelme": labelme.edits,
    "yolo": yolo.edits,
    "label-studio": label_studio.edits,
}
Labels = Callable[[str], np.ndarray]


def imported_format(root: Path | None) -> str | None:
    """The format that a dataset was imported from; None: it was not."""
    if root is None or not (root / INDEX).is_file():
        return None
    return str(read_json(root / INDEX, "format")["format"])


def export_source(
    root: str | os.PathLike[str],
    labels: Labels,
    names: Sequence[str],
    classes: Sequence[str],
    out: str | os.PathLike[str],
) -> list[str]:
    """Write the annotation files that a dataset was imported from, with the classes that its objects have now.

    An object has the class that most of its visible pixels have. All else in the files stays as it was, and files
    without changes are the same bytes.

    Args:
        root: the imported dataset.
        labels: image name -> (H, W) uint8, positions in `classes`, or more for void.
        names: the images that `labels` knows; all others stay.
        classes: the names of the classes.
        out: a new folder; of formats of one file, a new file.

    Returns:
        What a person should know, a sentence each; the first says how much was changed.

    Raises:
        FileExistsError: there is something already.
        FileNotFoundError, ValueError: files of the dataset are missing or damaged, or a class is not one of the
            source's.
    """
    folder, target = Path(root), Path(out)
    index = read_json(folder / INDEX, "format", "classes", "names", "files", "images")
    known = {name: k for k, name in enumerate(index["names"])}
    lookup = np.full(256, VOID_ID, np.int64)
    for k, name in enumerate(classes):
        lookup[k] = known.get(name, -1)

    def labels_now(name: str) -> np.ndarray:
        found = lookup[labels(name)]
        if (found < 0).any():
            strange = [other for other in classes if other not in known]
            raise ValueError(
                f"{name}: expected classes of the source, found {', '.join(strange)}: {INDEX} has {[*known]}"
            )
        return found.astype(np.uint8)

    listed = {name: entry for name, entry in index["images"].items() if name in set(names)}
    try:
        if "values" in index:
            changed, notes = _label_pictures(folder, index, listed, labels_now)
        else:
            changed, notes = _annotations(folder, index, listed, labels_now)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX}: damaged, or not of these files ({error!r})") from error
    kept = {file: below(folder / KEPT, file) for file in index["files"]}
    if len(kept) == 1 and index["format"] in ("coco", "label-studio"):
        ((file, path),) = kept.items()
        with atomic_new(target) as temporary:
            _write(temporary, path, changed.get(file))
    else:
        with atomic_folder(target) as partial:
            for file, path in kept.items():
                _write(below(partial, file), path, changed.get(file))
    return notes


# ------------------------------------------------------------------------------------------------ inside
New = bytes | Callable[[Path], None] | None  # content, or what writes it


def _annotations(
    folder: Path, index: dict[str, Any], images: dict[str, Any], labels: Labels
) -> tuple[dict[str, New], list[str]]:
    """Content of each file that changes, and what a person should know."""
    edits: dict[str, list[tuple[tuple[str | int, ...], Any]]] = defaultdict(list)
    objects = partly = 0
    void: list[str] = []
    for name, entry in images.items():
        now = _majorities(read_label_png(folder / OBJECTS / f"{name}.png"), labels(name))
        for mask_id, (label, whole) in now.items():
            key, before = entry["masks"][mask_id - 1]
            if label == before:
                continue
            if label == VOID_ID:
                void.append(f"{entry['file']}: {key}")
                continue
            objects += 1
            partly += not whole
            for edit in EDITS[index["format"]](index["files"][0], key, index["classes"][label]):
                edits[edit.file].append((edit.place, edit.value))
    rewrite = yolo.replaced if index["format"] == "yolo" else replaced
    changed: dict[str, New] = {
        file: rewrite(file_bytes(below(folder / KEPT, file)), of_file) for file, of_file in edits.items()
    }
    notes = [f"{objects} objects have another class, in {len(changed)} of {len(index['files'])} files"]
    if partly:
        notes.append(f"{partly} of them were changed in part: they have the class that most of their pixels have")
    if void:
        notes.append(f"{len(void)} objects are void, which the format has no word for; they stay: {some_of(void)}")
    return changed, notes


def _majorities(objects: np.ndarray, labels: np.ndarray) -> dict[int, tuple[int, bool]]:
    """Mask id -> the label that most of its pixels have, and whether all have it."""
    if objects.shape != labels.shape:
        raise ValueError(f"expected object maps of the labels' size {labels.shape}, found {objects.shape}")
    ids, inverse = np.unique(objects, return_inverse=True)
    counts = np.bincount(inverse.ravel() * 256 + labels.ravel(), minlength=256 * len(ids)).reshape(-1, 256)
    most = counts.argmax(axis=1).tolist()
    whole = (counts.max(axis=1) == counts.sum(axis=1)).tolist()
    return {mask_id: (most[k], whole[k]) for k, mask_id in enumerate(ids.tolist()) if mask_id}


def _label_pictures(
    folder: Path, index: dict[str, Any], images: dict[str, Any], labels: Labels
) -> tuple[dict[str, New], list[str]]:
    """As `_annotations`, of formats that are label pictures."""
    values = Values.from_json(index["values"])
    changed: dict[str, New] = {}
    rows: dict[str, dict[int, bytes]] = defaultdict(dict)
    count = 0
    for name, entry in images.items():
        file, _, row = entry["labels"].partition("#")
        path = below(folder / KEPT, file)
        data = hugging_face.label_data(path, int(row)) if row else file_bytes(path)
        if (new := with_labels(data, entry["labels"], labels(name), values)) is None:
            continue
        count += 1
        if row:
            rows[file][int(row)] = new
        else:
            changed[file] = new
    for file, of_file in rows.items():
        changed[file] = _parquet(below(folder / KEPT, file), of_file)
    return changed, [f"{count} of {len(images)} label pictures have other pixels"]


def _parquet(path: Path, labels: dict[int, bytes]) -> Callable[[Path], None]:
    return lambda out: hugging_face.replaced(path, labels, out)


def _write(file: Path, kept: Path, new: New) -> None:
    """A file as it was kept, or with new content."""
    if callable(new):
        new(file)
        return
    with atomic(file) as temporary:
        if new is None:
            shutil.copyfile(kept, temporary)
        else:
            temporary.write_bytes(new)
