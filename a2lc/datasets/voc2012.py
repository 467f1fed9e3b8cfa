"""PASCAL VOC 2012: 20 object classes and background, in the layout of the VOC development kit.

root/JPEGImages/*.jpg                               root: VOC2012, or the VOCdevkit that holds it
root/SegmentationClass/*.png                        class ids 0..20, the ignore index = void
root/ImageSets/Segmentation/train.txt, val.txt      image names, one per line
"""

from __future__ import annotations

from pathlib import Path

from a2lc.datasets.base import Classes, Dataset, FileSplit, bit_palette
from a2lc.datasets.listing import LABEL_SUFFIXES, Root, check_listed, check_root, index_files, read_names

LAYOUT = "JPEGImages/, SegmentationClass/, ImageSets/Segmentation/{train,val}.txt (VOC2012 or VOCdevkit above it)"
NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)


def load(root: Root = None, *, train_list: str = "train", labels_only: bool = False) -> Dataset:
    """Read VOC's lists; images and annotations follow on demand.

    Args:
        root: the VOC2012 folder, or the VOCdevkit folder above it.
        train_list: name of the training list in ImageSets/Segmentation, such as "train" or "trainaug".
        labels_only: True: use no images and require none; the ground truth alone is enough for Data mIoU.

    Raises:
        ValueError: no root, an empty list.
        FileNotFoundError: root, a list, a folder or a listed file is missing.
    """
    folder = check_root(root, "voc2012", LAYOUT)
    if (folder / "VOC2012").is_dir():
        folder = folder / "VOC2012"
    classes = Classes(NAMES, bit_palette(len(NAMES)), background=0)
    train = _split(folder, "train", train_list, classes, labels_only)
    val = _split(folder, "val", "val", classes, labels_only)
    return Dataset("voc2012", classes, train, val)


def _split(root: Path, split: str, listed: str, classes: Classes, labels_only: bool) -> FileSplit:
    list_file = root / "ImageSets" / "Segmentation" / f"{listed}.txt"
    names = read_names(list_file)
    images = {} if labels_only else index_files(root / "JPEGImages")
    labels = index_files(root / "SegmentationClass", LABEL_SUFFIXES)
    if not labels_only:
        check_listed(names, images, list_file, root / "JPEGImages")
    check_listed(names, labels, list_file, root / "SegmentationClass")
    return FileSplit(split, names, classes, images, labels)
