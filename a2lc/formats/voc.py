"""VOC with labelmap.txt, as CVAT ("Segmentation mask") and Datumaro write it, and VOC 2012 itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from a2lc.datasets.base import VOID, bit_palette
from a2lc.datasets.class_list import LABELMAP_LINE
from a2lc.datasets.listing import IMAGE_SUFFIXES, LABEL_SUFFIXES, index_files, read_lines
from a2lc.datasets.voc2012 import NAMES
from a2lc.files import colour_of, file_bytes
from a2lc.files.label_file import number_of
from a2lc.formats.rasters import check_size, read_values, regions
from a2lc.formats.source import Colour, Files, Found, Picture, Source, Values, found_pictures

IMAGES, CLASSES, OBJECTS, LABELMAP = "JPEGImages", "SegmentationClass", "SegmentationObject", "labelmap.txt"
VOID_COLOUR = (224, 224, 192)  # of pixels that are ignored, in VOC's own files
VOID_NAMES = (VOID, "ignore", "ignored", "unlabeled", "unlabelled")


def read(root: Path) -> Source:
    """Label pictures by their colours; an instance of SegmentationObject is an object, else a connected region.

    Args:
        root: holds SegmentationClass/, JPEGImages/ and labelmap.txt; without that the classes are VOC's 20 and
            background.

    Raises:
        ValueError: a damaged list or picture, or a colour that no class has.
        FileNotFoundError: no image is there.
    """
    notes: list[str] = []
    named, files = _labelmap(root, notes)
    classes = [name for name in named if name.lower() not in VOID_NAMES]
    values = {number_of(named[name]): k for k, name in enumerate(classes)}
    voids = [colour for name, colour in named.items() if name not in classes]
    notes += [f"{name!r} of {LABELMAP} is read as void" for name in named if name not in (*classes, VOID)]
    if number_of(VOID_COLOUR) not in values and VOID_COLOUR not in voids:
        voids.append(VOID_COLOUR)
    known = {*values, *map(number_of, voids)}
    meaning = Values(values, number_of(voids[0]) if voids else None, coloured=True)
    images, listed = Files(root), []
    within = index_files(root / IMAGES) if (root / IMAGES).is_dir() else {}
    instances = index_files(root / OBJECTS, LABEL_SUFFIXES) if (root / OBJECTS).is_dir() else {}
    for name, png in index_files(root / CLASSES, LABEL_SUFFIXES).items():
        elsewhere = (images.find(f"images/{name}{suffix}") for suffix in IMAGE_SUFFIXES)
        path = within.get(name) or next(filter(None, elsewhere), None)
        kept = png.relative_to(root).as_posix()
        files[kept] = png
        if name in instances:
            files[instances[name].relative_to(root).as_posix()] = instances[name]
        picture = None
        if path is not None:
            objects = _objects(png, instances.get(name), meaning, known)
            picture = Picture(f"{name}{path.suffix}", path, objects, labels=kept)
        listed.append((name, picture))
    for path in sorted((root / "ImageSets").rglob("*.txt")):
        files[path.relative_to(root).as_posix()] = path
    pictures = found_pictures(listed, root / CLASSES, notes)
    return Source("voc", classes, classes, pictures, files, [named[name] for name in classes], notes, meaning)


def _objects(
    png: Path, instances: Path | None, meaning: Values, known: set[int]
) -> Callable[[int, int], Iterator[Found]]:
    def objects(height: int, width: int) -> Iterator[Found]:
        values = read_values(file_bytes(png), png, True)
        check_size(values, height, width, png)
        if stray := sorted(set(np.unique(values).tolist()) - known):
            raise ValueError(f"{png}: expected the colours of {LABELMAP}, found {colour_of(stray[0])}")
        told = None
        if instances is not None:
            told = read_values(file_bytes(instances), instances, True)
            told[told == number_of(VOID_COLOUR)] = 0
            check_size(told, height, width, instances)
        yield from regions(meaning.labels(values), told, png.name)

    return objects


def _labelmap(root: Path, notes: list[str]) -> tuple[dict[str, Colour], dict[str, Path]]:
    """Classes with their colours, and the list's file."""
    path = root / LABELMAP
    if not path.is_file():
        notes.append(f"no {LABELMAP}: the classes are those of VOC 2012")
        return dict(zip(NAMES, _of_voc(len(NAMES)), strict=True)), {}
    listed: dict[str, Colour | None] = {}
    for line in read_lines(path, "classes"):
        if line.startswith("#"):
            continue
        match = LABELMAP_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}: expected lines name:r,g,b:parts:actions, found {line!r}")
        colour = None if match["r"] is None else (int(match["r"][:9]), int(match["g"][:9]), int(match["b"][:9]))
        wrong = colour is not None and (max(colour) > 255 or colour in listed.values())
        if wrong or match["name"] in listed:
            raise ValueError(f"{path}: expected each name and colour (0..255) once, found {line!r}")
        listed[match["name"]] = colour
    found = {name: colour for name, colour in listed.items() if colour is not None}
    if not found:  # they are VOC's, in order
        found = dict(zip(listed, _of_voc(len(listed)), strict=True))
    if without := [name for name in listed if name not in found]:
        raise ValueError(f"{path}: expected a colour for every name, or for none, found none for {without[0]!r}")
    return found, {LABELMAP: path}


def _of_voc(count: int) -> list[Colour]:
    """The colours of VOC's ids 0..count-1."""
    return [(r, g, b) for r, g, b in bit_palette(count).tolist()]
