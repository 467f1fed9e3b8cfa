"""VOC with labelmap.txt, as CVAT ("Segmentation mask") and Datumaro write it, and VOC 2012 itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from a2lc.datasets.base import RESERVED, bit_palette
from a2lc.datasets.listing import LABEL_SUFFIXES, index_files, read_lines
from a2lc.datasets.voc2012 import NAMES
from a2lc.files import colour_of, file_bytes
from a2lc.files.label_file import number_of
from a2lc.formats.rasters import check_size, read_values, regions
from a2lc.formats.source import Colour, Files, Found, Picture, Source, Values, found_pictures

CLASSES, OBJECTS, LABELMAP = "SegmentationClass", "SegmentationObject", "labelmap.txt"
VOID_COLOUR = (224, 224, 192)  # of pixels that are ignored, in VOC's own files
LINE = re.compile(r"(?P<name>.+?)\s*:\s*(?:(?P<r>\d{1,3}),(?P<g>\d{1,3}),(?P<b>\d{1,3}))?\s*:[^:]*:[^:]*")
VOID_NAMES = ("void", "ignore", "ignored", "unlabeled", "unlabelled")


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
    classes = [name for name in named if name not in RESERVED and name.lower() not in VOID_NAMES]
    values = {number_of(colour): k for k, name in enumerate(classes) if (colour := named[name])}
    void = next((colour for name, colour in named.items() if name not in classes), None)
    if number_of(VOID_COLOUR) not in values and void is None:
        void = VOID_COLOUR
    known = {*values, number_of(VOID_COLOUR), *([] if void is None else [number_of(void)])}
    meaning = Values(values, None if void is None else number_of(void), coloured=True)
    images, listed = Files(root), []
    instances = index_files(root / OBJECTS, LABEL_SUFFIXES) if (root / OBJECTS).is_dir() else {}
    for name, png in index_files(root / CLASSES, LABEL_SUFFIXES).items():
        path = next(
            (p for end in (".jpg", ".jpeg", ".png", ".JPG") if (p := root / "JPEGImages" / f"{name}{end}").is_file()),
            None,
        )
        path = path or images.find(f"images/{name}.jpg") or images.find(f"images/{name}.png")
        kept = f"{CLASSES}/{png.name}"
        files[kept] = png
        if name in instances:
            files[f"{OBJECTS}/{png.name}"] = instances[name]
        picture = None
        if path is not None:
            picture = Picture(path.name, path, _objects(png, instances.get(name), meaning, known), labels=kept)
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


def _labelmap(root: Path, notes: list[str]) -> tuple[dict[str, Colour | None], dict[str, Path]]:
    """Classes with their colours, and the list's file."""
    path = root / LABELMAP
    if not path.is_file():
        notes.append(f"no {LABELMAP}: the classes are those of VOC 2012")
        return dict(zip(NAMES, _of_voc(len(NAMES)), strict=True)), {}
    found: dict[str, Colour | None] = {}
    for line in read_lines(path, "classes"):
        if line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}: expected lines name:r,g,b:parts:actions, found {line!r}")
        colour = None if match["r"] is None else (int(match["r"]), int(match["g"]), int(match["b"]))
        wrong = colour is not None and (max(colour) > 255 or colour in found.values())
        if wrong or match["name"] in found:
            raise ValueError(f"{path}: expected each name and colour (0..255) once, found {line!r}")
        found[match["name"]] = colour
    if not any(found.values()):  # no class has a colour: they are VOC's, in order
        found = dict(zip(found, _of_voc(len(found)), strict=True))
    return found, {LABELMAP: path}


def _of_voc(count: int) -> list[Colour]:
    """The colours of VOC's ids 0..count-1."""
    return [(r, g, b) for r, g, b in bit_palette(count).tolist()]
