"""Cityscapes: 19 classes, in the layout of the official download.

    root/leftImg8bit/{train,val}/<city>/<name>_leftImg8bit.png
    root/gtFine/{train,val}/<city>/<name>_gtFine_labelIds.png      ids 0..33, mapped here to the 19 train ids

A name is "aachen_000000_000019". Ids and colours: `helpers/labels.py` of the official cityscapesscripts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2lc.datasets.base import Classes, Dataset, FileSplit
from a2lc.datasets.listing import Root, check_listed, check_root

LAYOUT = "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png, gtFine/{train,val}/<city>/*_gtFine_labelIds.png"
IMAGE_END = "_leftImg8bit.png"
LABEL_END = "_gtFine_labelIds.png"
LABEL_IDS = 34  # label files hold 0..33
# class: (id in the label files, colour); the position is the train id
CLASSES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}


def load(root: Root = None) -> Dataset:
    """List the images of both splits; images and annotations follow on demand.

    Raises:
        ValueError: no root, a split without images.
        FileNotFoundError: root, a folder or the annotation of an image is missing.
    """
    folder = check_root(root, "cityscapes", LAYOUT)
    classes = Classes(tuple(CLASSES), np.array([colour for _, colour in CLASSES.values()], dtype=np.uint8))
    return Dataset("cityscapes", classes, _split(folder, "train", classes), _split(folder, "val", classes))


def _split(root: Path, split: str, classes: Classes) -> FileSplit:
    image_folder, label_folder = root / "leftImg8bit" / split, root / "gtFine" / split
    images, labels = _find(image_folder, IMAGE_END), _find(label_folder, LABEL_END)
    if not images:
        raise ValueError(f"{image_folder}: expected at least one <city>/*{IMAGE_END}, found none")
    names = tuple(images)
    check_listed(names, labels, image_folder, label_folder)
    table = dict.fromkeys(range(LABEL_IDS), classes.ignore_index)
    table |= {label_id: train_id for train_id, (label_id, _) in enumerate(CLASSES.values())}
    return FileSplit(split, names, classes, images, labels, lookup=classes.lookup(table))


def _find(folder: Path, end: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected <city>/*{end} in it")
    files = sorted(folder.glob(f"*/*{end}"), key=lambda path: path.parts)  # the same order on every system
    return {path.name.removesuffix(end): path for path in files}
