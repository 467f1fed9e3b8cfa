"""Your own data: a folder of images, a class list, and labels to correct.

    root/classes.txt          a class per line, "name" or "name r g b"; the line's position is the class id;
                              lists of other programs are read as well: `a2lc.datasets.class_list`
      or classes.json         ["name", ...] or {"name": [r, g, b], ...}, or {"classes": either, "ignore_index": 200}
                              where label files have another value than 255 for no label
    root/dataset.yaml         optional: what the values in label files mean, "ids: {0: background, 255: object}"
    root/images/              *.jpg, *.png
    root/labels/              optional: PNGs of class ids, of the image's size, the ignore index (255) = no label: the
                              labels to correct (`Split.pseudo_labels`)
    root/ground_truth/        optional: the same for the truth, for some or all images (`Split.ground_truth`)
    root/train.txt, val.txt   optional: image names, one per line

Without train.txt, all images that val.txt does not list are for training; without val.txt, val is empty.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from a2lc.datasets.base import Dataset, FileSplit
from a2lc.datasets.class_list import read_classes, read_ids
from a2lc.datasets.listing import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    Root,
    check_listed,
    check_root,
    index_files,
    left_out,
    read_names,
)

LAYOUT = "images/, classes.txt or classes.json, and optionally labels/, ground_truth/, train.txt, val.txt"


def load(root: Root = None, *, background: str | None = None, whole: bool = True) -> Dataset:
    """List your images; images and labels follow on demand.

    Args:
        root: the folder described above.
        background: name of the class of pixels that no mask covers; None: such pixels have no label.
        whole: whether images that are missing, of labels or lists, are an error; else the others are to be looked at.

    Raises:
        ValueError: no root, no image, none left to train on, a damaged class list, an unknown background, an empty list
            or an image listed twice, a label file without image.
        FileNotFoundError: root, the class list, images/ or a listed image is missing.
    """
    folder = check_root(root, "folder", LAYOUT)
    classes, colours = read_classes(folder, background)
    images = index_files(folder / "images")
    kinds = {"images": IMAGE_SUFFIXES, "labels": LABEL_SUFFIXES, "ground_truth": LABEL_SUFFIXES}
    notes = [note for name, suffixes in kinds.items() if (note := left_out(folder / name, suffixes))]
    if not images:
        found = f"; {notes[0]}" if notes else ""
        raise ValueError(f"{folder / 'images'}: expected at least one jpg or png image, found none{found}")
    for note in notes:
        warnings.warn(note, stacklevel=2)
    ground_truth = _label_files(folder / "ground_truth", images, whole)
    labels = _label_files(folder / "labels", images, whole)
    train, val = _listed(folder, "train", images, whole), _listed(folder, "val", images, whole) or ()
    if train is None:
        train = tuple(name for name in images if name not in set(val))
        if not train:
            raise ValueError(f"{folder / 'val.txt'}: lists every image, expected some left to train on")
    ids = read_ids(folder, classes)
    lookup = None if ids is None else classes.lookup(ids)

    def split(name: str, names: tuple[str, ...]) -> FileSplit:
        return FileSplit(name, names, classes, images, ground_truth, labels, lookup, colours)

    return Dataset("folder", classes, split("train", train), split("val", val))


def _label_files(folder: Path, images: dict[str, Path], whole: bool) -> dict[str, Path]:
    """Label files by image name; none where the folder does not exist."""
    files = index_files(folder, LABEL_SUFFIXES) if folder.is_dir() else {}
    stray = [path for name, path in files.items() if name not in images]
    if stray and whole:
        raise ValueError(f"{stray[0]}: expected an image of that name in images/, found none ({len(stray)} such)")
    return files


def _listed(root: Path, split: str, images: dict[str, Path], whole: bool) -> tuple[str, ...] | None:
    path = root / f"{split}.txt"
    if not path.exists():
        return None
    names = read_names(path)
    if whole:
        check_listed(names, images, path, root / "images")
    return tuple(name for name in names if name in images)
