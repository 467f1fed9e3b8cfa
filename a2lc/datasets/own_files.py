"""Which files belong to your own dataset: images, labels and ground truth by image name, where dataset.yaml says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from a2lc.datasets.layout import DATASET, NAME, Layout
from a2lc.datasets.listing import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    by_name,
    files_below,
    read_lines,
    some_of,
)

LISTS = (DATASET, "classes.txt", "classes.json", "train.txt", "val.txt")
KINDS = {"images": IMAGE_SUFFIXES, "labels": LABEL_SUFFIXES, "ground_truth": LABEL_SUFFIXES}
MADE = (("provenance.json", "config.json"), ("masks.json", "masks.parquet"), ("changes.csv", "about.json"))
"""Files that are together in folders of runs, of their masks, and of changes, which hold pictures, too."""
Named = list[tuple[str, str]]
"""Image names and files."""


@dataclass(frozen=True)
class OwnFiles:
    """The files of a dataset.

    Attributes:
        images, labels, ground_truth: image name -> file, sorted by name.
        lists: dataset.yaml, class list, lists of images.
        notes: what was left out, a sentence per folder.
    """

    images: dict[str, Path]
    labels: dict[str, Path]
    ground_truth: dict[str, Path]
    lists: tuple[Path, ...]
    notes: tuple[str, ...]


def own_files(root: Path, layout: Layout) -> OwnFiles:
    """Find them.

    Args:
        root: the dataset's folder.
        layout: its dataset.yaml.

    Raises:
        FileNotFoundError: a folder or list that dataset.yaml names is missing, or a file in such a list.
        ValueError: two files of one name, or a line of `Layout.pairs` is no image with its label.
    """
    found: dict[str, Named] = {kind: [] for kind in KINDS}
    others: dict[str, list[str]] = {}
    notes: list[str] = []
    places = {kind: getattr(layout, kind) for kind in KINDS}
    if layout.pairs is not None:
        found["images"], found["labels"] = _pairs(root, layout)
        del places["images"], places["labels"]
    forms = {kind: _form(place) for kind, place in places.items()}
    bases = sorted({base for base, _ in forms.values()})
    for base in bases:
        kinds = [kind for kind in forms if forms[kind][0] == base]
        # the longest pattern wins: in one folder, {name}_mask.png is no image of {name}.png
        files, made = _below(root, base, kinds, layout)
        if made and base:
            notes.append(f"{root / base}: left out, as runs or changes lie there: {some_of(made)}")
        for file in files:
            at, path = f"{base}{file}", PurePosixPath(file)
            fitting = [kind for kind, (_, form) in forms.items() if form.fullmatch(at) and _may_be(path, kind)]
            best = max(fitting, key=lambda kind: len(places[kind]), default=None)
            match = forms[best][1].fullmatch(at) if best in kinds else None
            if match is not None:
                found[str(best)].append((match["name"], at))
            elif (
                best is None and base and not any(at.startswith(deeper) for deeper in bases if len(deeper) > len(base))
            ):
                others.setdefault(base, []).append(file)
    lists = [root / name for name in (*LISTS, layout.pairs) if name is not None and (root / name).is_file()]
    images, labels, truth = (by_name(root, sorted(found[kind], key=lambda pair: pair[1])) for kind in KINDS)
    notes += [_note(root, layout, base, files) for base, files in others.items()]
    return OwnFiles(images, labels, truth, tuple(lists), tuple(notes))


def _form(place: str) -> tuple[str, re.Pattern[str]]:
    """Of a folder or pattern: what it begins with, up to the last slash before the name; and files that fit."""
    if NAME not in place:
        base = "" if place == "." else f"{place}/"
        return base, re.compile(rf"{re.escape(base)}(?P<name>.+)\.\w+")
    first, *rest = (re.escape(part) for part in place.split(NAME))
    stem, suffix = "(?P=name)".join(rest).rsplit(r"\.", 1)
    folder, slash, _ = place.partition(NAME)[0].rpartition("/")
    return folder + slash, re.compile(rf"{first}(?P<name>.+){stem}(?i:\.{suffix})")


def _may_be(file: PurePosixPath, kind: str) -> bool:
    return file.suffix.lower() in KINDS[kind]


def _below(root: Path, base: str, kinds: list[str], layout: Layout) -> tuple[list[str], list[str]]:
    """The files below a folder, and the folders of runs and of changes in it, ``a/b/``, whose pictures are none of the
    dataset's."""
    if not (root / base).is_dir():
        if needed := [kind for kind in kinds if kind in layout.said]:
            where = layout.where(root, needed[0])
            raise FileNotFoundError(
                f"{where}: no such folder, {root / base}; expected {', '.join(KINDS[needed[0]])} files"
            )
        return [], []
    files = files_below(root / base)
    there, folders = set(files), sorted({str(PurePosixPath(file).parent) for file in files})
    made = [f"{folder}/" for folder in folders if any({f"{folder}/{name}" for name in both} <= there for both in MADE)]
    return [file for file in files if not file.startswith(tuple(made))], made


def _note(root: Path, layout: Layout, base: str, files: list[str]) -> str:
    """What lies in a folder of images or labels and is none."""
    kinds = [kind for kind in KINDS if _form(getattr(layout, kind))[0] == base]
    suffixes = dict.fromkeys(suffix.removeprefix(".") for kind in kinds for suffix in KINDS[kind])
    patterns = [getattr(layout, kind) for kind in kinds if NAME in getattr(layout, kind)]
    what = f"do not fit {' or '.join(patterns)}" if patterns else f"are no {' or '.join(suffixes)} files"
    return f"{root / base}: left out, as they {what}: {some_of(files)}"


def _pairs(root: Path, layout: Layout) -> tuple[Named, Named]:
    """Images and labels of a list; an image's name is its path without suffix."""
    images: Named = []
    labels: Named = []
    path = root / str(layout.pairs)
    if not path.is_file():
        raise FileNotFoundError(f"{layout.where(root, 'pairs')}: no such file, {path}")
    for line in read_lines(path, "images with their labels"):
        found = next((parts for by in ("\t", ",", None) if len(parts := line.split(by)) == 2), [line])
        files = [PurePosixPath(part.strip()) for part in found]
        for file, kind in zip(files, KINDS, strict=False):
            if file.is_absolute() or ".." in file.parts or not _may_be(file, kind):
                known = f"{kind} ({', '.join(KINDS[kind])}) by their path from {root}"
                raise ValueError(f"{path}: expected 'image label' in every line, {known}, found {line!r}")
            if not (root / file).is_file():
                raise FileNotFoundError(f"{root / file}: no such file, but {path} lists it")
        name = str(files[0].with_suffix(""))
        images.append((name, str(files[0])))
        if len(files) == 2:
            if str(files[1]) in [file for _, file in labels]:
                raise ValueError(f"{path}: expected a label for each image, found {files[1]} twice")
            labels.append((name, str(files[1])))
    return images, labels
