"""Bringing corrections back into a dataset: a list of changes that can be looked at, applied and reverted, and a
corrected copy.

A folder of changes stands for itself:

    changes.csv           a row per mask whose label changed; delete the rows that you do not want, or mend ``after``
    overlays/<name>.png   each image with these masks, before and after
    masks/<name>.png      which pixels they are (object map with their ids, 0 elsewhere)
    before/<name>.png     the label files as they were, byte for byte
    about.json            the run, the round and the classes

Only pixels of these masks are written, into a file that is otherwise as it was (`a2lc.human.png`). A label file that
is not the one the list was made from is never touched: its SHA-256 is in the list.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.datasets import Classes, load_dataset
from a2lc.datasets.base import bit_palette
from a2lc.datasets.class_list import DATASET, written_values
from a2lc.datasets.listing import LABEL_SUFFIXES, index_files
from a2lc.files import atomic, atomic_folder, below, read_json, read_label_png, write_json, write_label_png, write_text
from a2lc.human.boxes import boxes_of
from a2lc.human.change_pictures import draw_changes
from a2lc.human.checked_csv import Row, read_checked, whole_number
from a2lc.human.moving import dataset_of
from a2lc.human.png import read_ids, with_ids
from a2lc.masks import VOID, MaskSet, label_names
from a2lc.runs import Run
from a2lc.stages.names import masks_name

LABELS, CHANGES = "labels", "changes.csv"
COLUMNS = ("image", "mask_id", "box", "area", "before", "after", "source", "round", "confidence", "sha256")
PathLike = str | os.PathLike[str]


def write_changes(run: Run, out: PathLike, round: int | None = None) -> pd.DataFrame:
    """Write the folder of changes of a run on one's own labels.

    Args:
        run: a run with ``pseudo_labels`` of kind ``own_labels``.
        out: the folder; it must be empty or not exist.
        round: which round's labels; by default the last finished one's.

    Returns:
        ``changes.csv``: image, mask_id, box (left top right bottom), area (pixels), before and after (class names or
        void), source (annotator, lcm, overruled), round and confidence (of the LCM) of the change, sha256 of the label
        file.

    Raises:
        ValueError: a run on other labels, label files that have changed since it began, or `out` is not empty.
        FileNotFoundError: the round has no labels yet, or an image is missing.
    """
    if Path(out).exists() and any(Path(out).iterdir()):
        raise ValueError(f"{out}: expected an empty folder for the changes")
    root, masks = _own_labels(run), run.masks(round)
    changes = _changes_of(masks)
    files = index_files(root / LABELS, LABEL_SUFFIXES)
    split = load_dataset(run.config.dataset, root).train
    hashes = {}
    with atomic_folder(out) as partial:
        for name, part in changes.groupby("image", sort=False):
            data = files[str(name)].read_bytes()
            hashes[name] = hashlib.sha256(data).hexdigest()
            with atomic(partial / "before" / f"{name}.png") as temporary:
                temporary.write_bytes(data)
            objects = masks.object_map(str(name))
            changed = np.where(np.isin(objects, part["mask_id"]), objects, 0)
            write_label_png(partial / "masks" / f"{name}.png", changed)
            overlay = draw_changes(split.image(str(name)), objects, part, masks.classes)
            with atomic(partial / "overlays" / f"{name}.png") as temporary:
                overlay.save(temporary)
        about = {"run": run.path.name, "round": run.finished_rounds if round is None else round}
        about |= {"made": datetime.now(UTC).isoformat(timespec="seconds")}
        values = written_values(root, masks.classes)
        classes: dict[str, object] = {"classes": list(masks.classes.names), "void": values.get(VOID)}
        of_classes = [values[name] for name in masks.classes.names]
        if VOID not in values or of_classes != [*range(len(of_classes))]:
            classes["values"] = of_classes
        if VOID not in values and (changes["after"] == VOID).any():
            raise ValueError(f"{root / DATASET}: ids: expected a value for void, the answer to some masks, found none")
        write_json(partial / "about.json", about | classes)
        changes["sha256"] = changes["image"].map(hashes)
        write_text(partial / CHANGES, changes.to_csv(index=False, columns=list(COLUMNS), lineterminator="\n"))
    return changes


def apply_changes(changes: PathLike, root: PathLike) -> int:
    """Write the changes into the label files of a dataset folder. Once applied, applying again changes nothing.

    Args:
        changes: the folder of changes.
        root: the dataset's folder, or a copy of it.

    Returns:
        The number of files written.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a bad row in ``changes.csv``, or a label file that the list was not made from; each is named, and
            nothing is written.
    """
    return _replace(changes, root, apply=True)


def revert_changes(changes: PathLike, root: PathLike) -> int:
    """Put the label files back as they were, byte for byte; arguments, number returned and errors are those of
    `apply_changes`. A file that holds something else than these changes is never touched."""
    return _replace(changes, root, apply=False)


def write_back(run: Run, out: PathLike, round: int | None = None) -> pd.DataFrame:
    """Copy the dataset of a run on one's own labels, with the labels corrected, and the changes in ``changes/``.

    Files of images without changes are byte for byte those of the dataset; label files keep mode, bit depth, palette
    and size, unless an id does not fit (`a2lc.human.png.with_ids`). A folder of runs in the dataset is not copied.

    Args:
        run: a run with ``pseudo_labels`` of kind ``own_labels``.
        out: the copy; it must not exist.
        round: which round's labels; by default the last finished one's.

    Returns:
        The changes, see `write_changes`.

    Raises:
        ValueError: `out` exists or lies in the dataset; or as `write_changes`.
        FileNotFoundError: as `write_changes`.
        OSError: `out` cannot be written.
    """
    root, target = _own_labels(run), Path(out)
    if target.exists():
        raise ValueError(f"{target}: exists already; expected a new folder for the corrected copy")
    if target.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{target}: lies in the dataset {root}; expected a folder elsewhere")
    runs_dir = run.path.parent.resolve()

    def runs(at: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(at, name).resolve() == runs_dir]

    with atomic_folder(target) as partial:
        shutil.copytree(root, partial, ignore=runs, dirs_exist_ok=True)
        if (partial / "changes" / CHANGES).is_file():  # the dataset is itself a corrected copy
            shutil.rmtree(partial / "changes")
        found = write_changes(run, partial / "changes", round)
        apply_changes(partial / "changes", partial)
    return found


# ------------------------------------------------------------------------------------------------ inside
def _own_labels(run: Run) -> Path:
    """The dataset's folder, whose labels are those that the run began with."""
    config = run.config
    if config.pseudo_labels.kind != "own_labels" or config.root is None:
        kind = config.pseudo_labels.kind
        raise ValueError(f"{run.path}: expected a run with pseudo_labels of kind 'own_labels', found {kind!r}")
    began = read_json(run.path / "provenance.json")["masks"]
    if masks_name(config.pseudo_labels, dataset_of(run)) != began:
        raise ValueError(f"{config.root / LABELS}: these are not the labels that {run.path.name} began with")
    return config.root


def _changes_of(masks: MaskSet) -> pd.DataFrame:
    names = label_names(masks.classes)
    rows = np.flatnonzero(masks.table["label"] != masks.table["initial_label"])
    table = masks.table.iloc[rows].astype({"image": object, "source": object}).reset_index(drop=True)
    boxes = [" ".join(map(str, box)) for box in boxes_of(masks, rows).tolist()]
    labels = {"before": names[table["initial_label"]], "after": names[table["label"]]}
    return table.assign(box=boxes, **labels)[list(COLUMNS[:-1])]


def _replace(changes: PathLike, root: PathLike, apply: bool) -> int:
    """Replace every label file by what it is to be, when all of them are what they should be."""
    source, target = Path(changes), Path(root) / LABELS
    wrong, pending = [], []
    for name, before, after in _versions(source):
        file = target / f"{name}.png"
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such label file, but {source / CHANGES} has changes for it")
        old, new = (before, after) if apply else (after, before)
        if (found := file.read_bytes()) == old != new:
            pending.append((file, new))
        elif found != new:
            wrong.append(str(file))
    if wrong:
        what = "the label files that the list was made from" if apply else "what these changes make of the label files"
        raise ValueError(f"{len(wrong)} files are not {what}, so none was touched: {', '.join(wrong)}")
    for file, content in pending:
        with atomic(file) as temporary:
            temporary.write_bytes(content)
    return len(pending)


def _versions(source: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Name and content, before and after, of every label file in the list."""
    about = read_json(source / "about.json", "classes", "void")
    try:
        void = 255 if "values" in about else about["void"]  # beside values, what stands for void may be any
        classes = Classes(tuple(map(str, about["classes"])), bit_palette(len(about["classes"])), void)
        values = about.get("values", [*range(len(classes))])
        labels = dict(zip(classes.names, map(int, values), strict=True))
        labels |= {} if about["void"] is None else {VOID: int(about["void"])}
        if not all(0 <= value <= 255 for value in labels.values()):
            raise ValueError(f"expected values in 0..255, found {values}")
    except (TypeError, ValueError) as error:  # no list, no number
        raise ValueError(f"{source / 'about.json'}: {error}") from error
    wanted: dict[str, dict[int, int]] = defaultdict(dict)
    hashes: dict[str, str] = {}

    def check(row: Row) -> tuple[str, int, int, str]:
        if not below(source / "masks", f"{row['image']}.png").is_file():
            raise ValueError(f"unknown image {row['image']!r}")
        if row["after"] not in labels:
            raise ValueError(f"unknown class {row['after']!r}")
        return row["image"], whole_number(row["mask_id"], "mask_id"), labels[row["after"]], row["sha256"]

    for name, mask_id, label, sha256 in read_checked(source / CHANGES, ("image", "mask_id", "after", "sha256"), check):
        wanted[name][mask_id] = label
        hashes[name] = sha256
    for name, new in wanted.items():
        file = source / "before" / f"{name}.png"
        before = file.read_bytes()
        if hashlib.sha256(before).hexdigest() != hashes[name]:
            raise ValueError(f"{file}: its SHA-256 is not the one in {source / CHANGES}")
        yield name, before, _corrected(before, read_label_png(source / "masks" / f"{name}.png"), new, file)


def _corrected(before: bytes, objects: np.ndarray, new: dict[int, int], file: Path) -> bytes:
    """A label file with other labels in some masks."""
    lookup = np.full(max(int(objects.max()), *new) + 1, -1, dtype=np.int32)
    lookup[[*new]] = [*new.values()]
    if missing := sorted(set(new) - set(np.unique(objects).tolist())):
        raise ValueError(f"{file}: {CHANGES} has changes for mask {missing[0]}, which this image does not have")
    try:
        ids = read_ids(before)
        ids = np.where(lookup[objects] < 0, ids, lookup[objects])
        after = with_ids(before, ids)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    assert (read_ids(after) == ids).all(), f"{file}: was not written as intended"
    return after
