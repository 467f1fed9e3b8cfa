"""Your own data: a folder of images, a class list, and labels to correct.

    root/classes.txt          a class per line, "name" or "name r g b"; the line's position is the class id;
                              lists of other programs are read as well: `a2lc.datasets.class_list`
      or classes.json         ["name", ...] or {"name": [r, g, b], ...}, or {"classes": either, "ignore_index": 200}
                              where label files have another value than 255 for no label
    root/images/              jpg, png, tif, bmp or webp, also in folders: the name of images/a/b.jpg is a/b
    root/labels/              optional: png, tif, bmp or lossless webp, of the image's size; ids of classes with the
                              ignore index (255) for no label, or pictures in the colours of the class list: the labels
                              to correct (`Split.pseudo_labels`)
    root/ground_truth/        optional: the same for the truth, for some or all images (`Split.ground_truth`)
    root/train.txt, val.txt   optional: image names, one per line
    root/dataset.yaml         optional: other places, other values, other colours: `a2lc.datasets.layout`

Without train.txt, all images that val.txt does not list are for training, of those only the ones with a label where
there are labels; without val.txt, val is empty. With `correct: all` in dataset.yaml, images of val.txt are for training
as well, and val is empty.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from a2lc.datasets.base import Dataset, FileSplit
from a2lc.datasets.class_list import read_classes
from a2lc.datasets.label_values import LabelValues
from a2lc.datasets.layout import DATASET, Layout, read_layout
from a2lc.datasets.listing import IMAGE_SUFFIXES, Root, check_listed, check_root, is_there, read_names, some_of
from a2lc.datasets.own_files import OwnFiles, own_files
from a2lc.files import LabelFile, file_bytes, read_image

LAYOUT = "images/, classes.txt or classes.json, and optionally labels/, ground_truth/, train.txt, val.txt"


class OwnSplit(FileSplit):
    """A split of your own data: dataset.yaml says how its files are read.

    Args:
        layout: how pictures are shown.
        values: what the values in label files mean.
        given: as for `FileSplit`.
    """

    def __init__(self, layout: Layout, values: LabelValues, *given: Any) -> None:
        super().__init__(*given)
        self._layout, self._values = layout, values
        self.ids_are_told = values.told

    def _read_image(self, path: Path) -> np.ndarray:
        return read_image(path, self._layout.upright, self._layout.window)

    def _read_labels(self, path: Path) -> np.ndarray:
        return self._values.labels(LabelFile(file_bytes(path), path))


def load(root: Root = None, *, background: str | None = None, whole: bool = True) -> Dataset:
    """List your images; images and labels follow on demand. Warnings say what is left out.

    Args:
        root: the folder described above.
        background: name of the class of pixels that no mask covers; None: such pixels have no label.
        whole: whether images that are missing, of labels or lists, are an error; else the others are to be looked at.

    Raises:
        ValueError: no root, no image, none left to train on, a damaged class list or dataset.yaml, an unknown
            background, an empty list or an image listed twice, a label file without image.
        FileNotFoundError: root, the class list, images/ or a listed image is missing.
    """
    folder = check_root(root, "folder", LAYOUT)
    classes, colours = read_classes(folder, background)
    layout = read_layout(folder, classes.names)
    files = own_files(folder, layout)
    if not files.images and "images" not in layout.said and not (folder / layout.images).is_dir():
        raise FileNotFoundError(
            f"{folder / layout.images}: no such folder; expected {', '.join(IMAGE_SUFFIXES)} files in it"
        )
    if not files.images:
        found = f"; {files.notes[0]}" if files.notes else ""
        kinds = ", ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
        raise ValueError(f"{layout.where(folder, 'images')}: expected at least one image ({kinds}), found none{found}")
    for note in files.notes:
        warnings.warn(note, stacklevel=2)
    for labels in (files.ground_truth, files.labels):
        if whole and (stray := [path for name, path in labels.items() if name not in files.images]):
            expected = f"expected an image of that name in {layout.pairs or layout.images}"
            alike = {normalize("NFC", name) for name in files.images} & {normalize("NFC", path.stem) for path in stray}
            twice = "; names that look the same are written in two ways (Unicode NFC and NFD)" if alike else ""
            raise ValueError(f"{stray[0]}: {expected}, found none ({len(stray)} such{twice})")
    train, val = _splits(folder, layout, files, whole)
    values = LabelValues.of(layout, classes, colours)

    def split(name: str, names: tuple[str, ...]) -> OwnSplit:
        return OwnSplit(layout, values, name, names, classes, files.images, files.ground_truth, files.labels)

    return Dataset("folder", classes, split("train", train), split("val", val))


def _splits(root: Path, layout: Layout, files: OwnFiles, whole: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the images for training and for validation; warns of labels that are not corrected, and of images
    without a label."""
    train, val = (_listed(root, split, layout, files, whole) for split in ("train", "val"))
    val = val or ()
    if layout.correct == "all":
        train, val = None if train is None else tuple(dict.fromkeys((*train, *val))), ()
    if train is None:
        train = tuple(name for name in files.images if name not in set(val))
        if not train:
            raise ValueError(f"{root / 'val.txt'}: lists every image, expected some left to train on")
        if files.labels and (bare := [name for name in train if name not in files.labels]):
            found = f"{len(bare)} images have no label and are left out: {some_of(bare)}"
            warnings.warn(f"{layout.where(root, 'labels')}: {found}; train.txt may list them", stacklevel=3)
            train = tuple(name for name in train if name in files.labels)
    if layout.correct is None and (kept := [name for name in val if name in files.labels]):
        told = f"{len(kept)} images of val.txt have labels that are not corrected: {some_of(kept)}"
        warnings.warn(f"{root}: {told}; say in {DATASET} `correct: all`, or `correct: train`", stacklevel=3)
    return train, val


def _listed(root: Path, split: str, layout: Layout, files: OwnFiles, whole: bool) -> tuple[str, ...] | None:
    path = root / f"{split}.txt"
    if not is_there(path):
        return None
    names = read_names(path)
    if whole:
        check_listed(names, files.images, path, root / layout.images)
    return tuple(name for name in names if name in files.images)
