"""Bringing corrections back into a dataset: a list of changes that can be looked at, applied and reverted, and a
corrected copy.

A folder of changes stands for itself:

    changes.csv             a row per mask whose label changed, and per piece of one that was cut; delete the rows
                            that you do not want, or mend ``after``
    overlays/<name>.png     each image with these masks, before and after
    masks/<name>.png        which pixels they are (object map with their ids, 0 elsewhere)
    before/<name>.<suffix>  the label files as they were, byte for byte
    about.json              the run, the round, the classes, and what is written for each

Only pixels of these masks are written, into a file that is otherwise as it was (`a2lc.files.LabelFile`). A label file
that is not the one the list was made from is never touched: its SHA-256 is in the list. It is named, and the others are
written.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.datasets.class_list import read_classes
from a2lc.datasets.label_values import LabelValues, WrittenValues
from a2lc.datasets.layout import read_layout
from a2lc.datasets.listing import LABEL_SUFFIXES, index_files
from a2lc.datasets.own_files import own_files
from a2lc.files import (
    LabelFile,
    alone,
    atomic,
    atomic_folder,
    below,
    read_json,
    read_label_png,
    remove_leftovers_of,
    write_json,
    write_label_png,
    write_text,
)
from a2lc.human.boxes import boxes_of
from a2lc.human.change_pictures import draw_changes
from a2lc.human.checked_csv import Row, check_rows, csv_text, images_meant, read_rows, whole_number
from a2lc.human.dataset_copy import copy_dataset
from a2lc.human.moving import check_not_moved, dataset_of
from a2lc.masks import VOID, MaskSet, label_names
from a2lc.masks.pieces import in_pieces
from a2lc.pseudo_labels.own_labels import hash_of
from a2lc.runs import SHARED, Run
from a2lc.stages.names import LABEL_HASHES, masks_name

CHANGES, LOCK = "changes.csv", ".a2lc.lock"
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
        void), source (annotator, lcm, overruled, discarded, mixed), round and confidence (of the LCM) of the change,
        sha256 of the label file.

    Raises:
        ValueError: a run on other labels, a label file that cannot hold an answer, or `out` is not empty; and, when
            everything else is written, label files that have changed since the run began, which are left alone.
        FileNotFoundError: the round has no labels yet, or an image is missing.
        BlockingIOError: another process is writing there.
    """
    if Path(out).exists() and any(Path(out).iterdir()):
        raise ValueError(f"{out}: expected an empty folder for the changes")
    changes, left = _write_changes(run, out, round)
    _tell(run, left, f"changes of {changes['image'].nunique()} others are in {out}")
    return changes


def apply_changes(changes: PathLike, root: PathLike) -> int:
    """Write the changes into the label files of a dataset folder. Once applied, applying again changes nothing.

    Args:
        changes: the folder of changes.
        root: the dataset's folder, or a copy of it.

    Returns:
        The number of files written.

    Raises:
        ValueError: a bad row in ``changes.csv``, each is named, and nothing is written; or, when all others are
            written, label files that are missing or that the list was not made from: they are left alone.
        FileNotFoundError: a file of the list is missing.
        BlockingIOError: another process is writing there.
        OSError: a file could not be written; the same again goes on.
    """
    return _replace(Path(changes), Path(root), apply=True)


def revert_changes(changes: PathLike, root: PathLike) -> int:
    """Put the label files back as they were, byte for byte; arguments, number returned and errors are those of
    `apply_changes`. A file that holds something else than these changes is never touched."""
    return _replace(Path(changes), Path(root), apply=False)


def write_back(run: Run, out: PathLike, round: int | None = None) -> pd.DataFrame:
    """Copy the dataset of a run on one's own labels, with the labels corrected, and the changes in ``changes/``.

    Files of images without changes are byte for byte those of the dataset; label files keep format, mode, bit depth,
    palette, size and permissions (`a2lc.files.LabelFile`). What is no image, label or list is not copied.

    Args:
        run: a run with ``pseudo_labels`` of kind ``own_labels``.
        out: the copy; it must not exist.
        round: which round's labels; by default the last finished one's.

    Returns:
        The changes, see `write_changes`.

    Raises:
        ValueError: `out` exists or lies in the dataset; or as `write_changes`.
        FileNotFoundError: as `write_changes`.
        BlockingIOError: another process is writing there.
        OSError: `out` cannot be written.
    """
    root, target = _root(run), Path(out)
    if target.exists():
        raise ValueError(f"{target}: exists already; expected a new folder for the corrected copy")
    if target.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{target}: lies in the dataset {root}; expected a folder elsewhere")
    with atomic_folder(target) as partial:
        copy_dataset(root, partial, besides=[run.path.parent])
        if (partial / "changes").exists():
            raise ValueError(
                f"{root / 'changes'}: the copy keeps its changes in a folder of this name; name it otherwise"
            )
        found, left = _write_changes(run, partial / "changes", round)
        apply_changes(partial / "changes", partial)
    _tell(run, left, f"changes of {found['image'].nunique()} others are in {out}")
    return found


# ------------------------------------------------------------------------------------------------ inside
def _root(run: Run) -> Path:
    """The folder of the dataset, whose labels are those that the run corrects."""
    config = run.config
    if config.pseudo_labels.kind != "own_labels" or config.root is None:
        kind = config.pseudo_labels.kind
        raise ValueError(f"{run.path}: expected a run with pseudo_labels of kind 'own_labels', found {kind!r}")
    check_not_moved(run)
    return config.root


def _write_changes(run: Run, out: PathLike, round: int | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Write the folder; the changes in it, and the images that were left alone, with the reason."""
    root, masks = _root(run), in_pieces(run.masks(round))
    changes, began = _changes_of(masks), _as_it_began(run, root)
    split, files = dataset_of(run).train, own_files(root, read_layout(root)).labels
    classes, listed = read_classes(root)
    written = LabelValues.of(read_layout(root, classes.names), classes, listed).written
    hashes: dict[str, str] = {}
    left: dict[str, str] = {}
    kept: list[int] = []
    refused: ValueError | None = None
    with atomic_folder(out) as partial:
        for name, part in changes.groupby("image", sort=False):
            try:
                labels = split.pseudo_labels(str(name))
            except (ValueError, FileNotFoundError) as error:
                left[str(name)] = str(error)
                continue
            if labels is None or began.get(str(name), "") not in ("", hash_of(labels)):
                left[str(name)] = f"{files.get(str(name), name)}: {'is gone' if labels is None else 'has other labels'}"
                continue
            objects = masks.object_map(str(name))
            part = _differing(part, objects, labels, masks)
            kept += [*part.index]
            if part.empty:
                continue
            data, file = (
                (path := files[str(name)]).read_bytes(),
                partial / "before" / f"{name}{files[str(name)].suffix}",
            )
            answers = dict(zip(part["mask_id"].tolist(), part["after"], strict=True))
            try:
                _corrected(LabelFile(data, path), objects, answers, written)
            except ValueError as error:  # they cannot be written into this file
                left[str(name)] = str(error)
                refused = refused or error
                continue
            hashes[str(name)] = hashlib.sha256(data).hexdigest()
            with atomic(file) as temporary:
                temporary.write_bytes(data)
            shutil.copymode(path, file)
            changed = np.where(np.isin(objects, part["mask_id"]), objects, 0)
            write_label_png(partial / "masks" / f"{name}.png", changed)
            overlay = draw_changes(split.image(str(name)), objects, part, masks.classes)
            with atomic(partial / "overlays" / f"{name}.png") as temporary:
                overlay.save(temporary)
        if refused is not None and not hashes:  # into none: one thing is wrong with all of them
            raise refused
        about = {"run": run.path.name, "round": run.finished_rounds if round is None else round}
        about |= {"made": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(partial / "about.json", about | written.to_json(masks.classes.names))
        changes = changes.loc[kept]
        changes = changes[changes["image"].isin(hashes)].assign(sha256=changes["image"].map(hashes))
        write_text(partial / CHANGES, csv_text(changes[list(COLUMNS)]))
    return changes, left


def _as_it_began(run: Run, root: Path) -> dict[str, str]:
    """Image name -> hash of the labels that the run began with; of a run that has not kept them, nothing, where all
    labels together are those.

    Raises:
        ValueError: they are not, and which ones cannot be said.
    """
    began = read_json(run.path / "provenance.json", "masks")["masks"]
    if (kept := run.path.parent / SHARED / began / LABEL_HASHES).is_file():
        return {str(name): str(found) for name, found in read_json(kept).items()}
    if masks_name(run.config.pseudo_labels, dataset_of(run)) != began:
        raise ValueError(f"{root}: these are not the labels that {run.path.name} began with")
    return {}


def _tell(run: Run, left: Mapping[str, str], others: str) -> None:
    """What was left alone is an error, after everything else is done."""
    if left:
        what = f"{len(left)} label files cannot take the changes, or have changed since {run.path.name} began"
        raise ValueError(f"{what}, so they were left alone, and {others}: {'; '.join(left.values())}")


def _changes_of(masks: MaskSet) -> pd.DataFrame:
    names = label_names(masks.classes)
    rows = np.flatnonzero(masks.changed)
    table = masks.table.iloc[rows].astype({"image": object, "source": object}).reset_index(drop=True)
    boxes = [" ".join(map(str, box)) for box in boxes_of(masks, rows).tolist()]
    labels = {"before": names[table["initial_label"]], "after": names[table["label"]]}
    return table.assign(box=boxes, **labels)[list(COLUMNS[:-1])]


def _differing(changes: pd.DataFrame, objects: np.ndarray, labels: np.ndarray, masks: MaskSet) -> pd.DataFrame:
    """The changes of an image, less pieces of a mask that have the label that all their pixels had."""
    number = {name: k for k, name in enumerate(masks.classes.names)} | {VOID: masks.classes.ignore_index}
    same = [
        before == after and (labels[objects == mask_id] == number[after]).all()
        for mask_id, before, after in zip(changes["mask_id"], changes["before"], changes["after"], strict=True)
    ]
    return changes[~np.array(same, dtype=bool)]


def _replace(source: Path, root: Path, apply: bool) -> int:
    """Replace every label file that is what it should be by what it is to be; then name the others."""
    files, wrong = own_files(root, read_layout(root)).labels, []
    pending: dict[Path, tuple[bytes, bytes]] = {}
    labels_in = defaultdict[str, list[str]](list)
    for name, path in files.items():
        labels_in[os.path.realpath(path)].append(name)
    for name, before, after in _versions(source):
        old, new = (before, after) if apply else (after, before)
        real = Path(os.path.realpath(files.get(name, root / name)))  # a link stays one
        found = real.read_bytes() if real.is_file() else b""
        if found == new:
            continue
        if others := [other for other in labels_in[str(real)] if other != name]:
            wrong.append(f"{files[name]}, a link to the labels of {others[0]!r}, too")
        elif found == old and real not in pending:
            pending[real] = old, new
        else:
            wrong.append(str(files.get(name, f"{name}, which has no label file")))
    with alone(root / LOCK):
        remove_leftovers_of(Path(os.path.realpath(file)) for file in files.values())
        for file, (old, new) in pending.items():
            if file.read_bytes() != old:  # somebody was faster
                raise BlockingIOError(f"{file}: has just been changed by another process; begin again")
            with atomic(file) as temporary:
                temporary.write_bytes(new)
    if wrong:
        what = "the label files that the list was made from" if apply else "what these changes make of the label files"
        done = f"{len(pending)} others were {'changed' if apply else 'put back'}"
        raise ValueError(f"{len(wrong)} files are not {what}, so they were left alone, and {done}: {', '.join(wrong)}")
    return len(pending)


def _versions(source: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Name and content, before and after, of every label file in the list."""
    about = read_json(source / "about.json", "classes", "void")
    try:
        written = WrittenValues.from_json(about)
        known = {*map(str, about["classes"]), VOID}
    except (TypeError, ValueError) as error:  # no list, no number
        raise ValueError(f"{source / 'about.json'}: {error}") from error
    wanted: dict[str, dict[int, str]] = defaultdict(dict)
    rows = read_rows(source / CHANGES, ("image", "mask_id", "after", "sha256"))
    images = [*index_files(source / "masks", (".png",))] if rows else []
    files = index_files(source / "before", LABEL_SUFFIXES) if rows else {}
    meant = images_meant((row["image"] for _, row in rows if isinstance(row, dict)), images)
    listed = {name for named in meant.values() for name in named}
    if gone := sorted(listed - files.keys()):
        raise FileNotFoundError(f"{source / 'before' / gone[0]}.*: no such file, but {source / CHANGES} lists it")
    hashes = {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in listed}

    def check(row: Row) -> None:
        cell = row["image"]
        if not (named := meant[cell]):
            below(source / "masks", f"{cell}.png")  # says where a name leads out
            raise ValueError(f"unknown image {cell!r}")
        if not (fitting := [name for name in named if hashes[name] == row["sha256"]]):
            raise ValueError(f"image {cell!r}: sha256 is not that of {files[named[0]]}")
        if len(fitting) > 1:
            both = f"{' and '.join(map(repr, fitting))}, which have equal files"
            raise ValueError(f"image {cell!r}: expected one, found {both}; its name may have lost zeros")
        if row["after"] not in known:
            raise ValueError(f"unknown class {row['after']!r}")
        name, mask_id = fitting[0], whole_number(row["mask_id"], "mask_id")
        if mask_id in wanted[name]:
            raise ValueError(f"image {name!r}, mask {mask_id}: expected one change, found two")
        wanted[name][mask_id] = row["after"]

    check_rows(source / CHANGES, rows, check)
    for name, new in wanted.items():
        before = files[name].read_bytes()
        objects = read_label_png(source / "masks" / f"{name}.png")
        yield name, before, _corrected(LabelFile(before, files[name]), objects, new, written)


def _corrected(file: LabelFile, objects: np.ndarray, new: Mapping[int, str], written: WrittenValues) -> bytes:
    """A label file with other labels in some masks: mask id -> class or void."""
    if missing := sorted(new.keys() - set(np.unique(objects).tolist())):
        raise ValueError(f"{file.name}: {CHANGES} has changes for mask {missing[0]}, which this image does not have")
    if objects.shape != file.size:
        raise ValueError(f"{file.name}: is {file.size}, its masks are {objects.shape} (height, width)")
    masks_of: dict[str, list[int]] = defaultdict(list)
    for mask_id, name in new.items():
        masks_of[name].append(mask_id)
    return written.with_names(file, {name: np.isin(objects, ids) for name, ids in masks_of.items()})
