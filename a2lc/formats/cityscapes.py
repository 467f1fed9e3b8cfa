"""Cityscapes: gtFine's labelIds, with instanceIds where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from a2lc.datasets.cityscapes import CLASSES, IMAGE_END, LABEL_END
from a2lc.files import read_label_png
from a2lc.formats.rasters import check_size, regions
from a2lc.formats.source import Found, Picture, Source, Values, found_pictures

INSTANCE_END = "_gtFine_instanceIds.png"
GROUND, IMAGES = "gtFine", "leftImg8bit"


def read(root: Path) -> Source:
    """The 19 classes; of a labelIds file all else is void and stays. An instance is an object, else a connected
    region.

    Args:
        root: holds gtFine/ and leftImg8bit/.

    Raises:
        ValueError: a damaged picture.
        FileNotFoundError: no image is there.
    """
    meaning = Values({label_id: k for k, (label_id, _) in enumerate(CLASSES.values())}, 0)
    files, listed, notes = {}, [], list[str]()
    for png in sorted((root / GROUND).glob(f"*/*/*{LABEL_END}")):
        kept = png.relative_to(root).as_posix()
        files[kept] = png
        name = png.name.removesuffix(LABEL_END)
        path = root / IMAGES / png.parent.relative_to(root / GROUND) / f"{name}{IMAGE_END}"
        picture = Picture(path.name, path, _objects(png, meaning), labels=kept) if path.is_file() else None
        listed.append((name, picture))
    if any((root / GROUND).glob(f"*/*/*{INSTANCE_END}")):
        notes.append("labelIds are written back; instanceIds, colours and polygons of the same images are not")
    pictures = found_pictures(listed, root / GROUND, notes)
    names, colours = list(CLASSES), [colour for _, colour in CLASSES.values()]
    return Source("cityscapes", names, names, pictures, files, colours, notes, meaning)


def _objects(png: Path, meaning: Values) -> Callable[[int, int], Iterator[Found]]:
    def objects(height: int, width: int) -> Iterator[Found]:
        values = read_label_png(png)
        check_size(values, height, width, png)
        told = None
        if (file := png.with_name(png.name.removesuffix(LABEL_END) + INSTANCE_END)).is_file():
            told = read_label_png(file)
            check_size(told, height, width, file)
            told = told * (told >= 1000)  # below: a class without instances, or a group of them
        yield from regions(meaning.labels(values), told, png.name)

    return objects
