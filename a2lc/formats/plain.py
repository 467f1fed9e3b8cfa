"""A dataset of another program as a plain one (`a2lc.datasets.folder`), and the way back.

images/<name>.<suffix>   links to the source's images, copies where there are no links
labels/<name>.png        class ids, 255 = no object
objects/<name>.png       object map: each object of the source is one mask, 0 = none
classes.json             the classes with colours
source/                  the source's annotation files, byte for byte
source.json              format; key of each class; for each image its name and [key, class] of masks 1, 2, ...
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import UnidentifiedImageError
from tqdm.auto import tqdm

from a2lc.datasets.base import RESERVED, VOID, Classes, bit_palette
from a2lc.datasets.layout import DATASET
from a2lc.datasets.listing import some_of
from a2lc.files import (
    atomic_folder,
    below,
    linked,
    one_line,
    opened,
    orientation_of,
    stored_size,
    write_json,
    write_label_png,
    write_text,
)
from a2lc.formats.source import INDEX, VOID_ID, Found, Picture, Source
from a2lc.machine import show_bars

KEPT, OBJECTS = "source", "objects"
SMALL = 16  # pixels: `a2lc.pseudo_labels.own_labels` asks about no smaller mask


def write_plain(source: Source, folder: str | os.PathLike[str], progress: bool = True) -> list[str]:
    """Write the plain dataset.

    Args:
        source: what was read.
        folder: new or empty; it is whole or not there.
        progress: show a bar.

    Returns:
        What a person should know: counts, and what is hidden, too small or changed.

    Raises:
        FileExistsError: there is something in the folder.
        ValueError: more than 255 classes, a damaged image, one of another size than the source says, or an object
            that cannot be drawn; the message names it.
    """
    notes = [*source.notes]
    classes = _classes(source, notes)
    counts: Counter[str] = Counter()
    hidden: list[str] = []
    seen: dict[bool, str] = {}  # of photographs with an orientation: as stored, or as it says
    images: dict[str, Any] = {}
    with atomic_folder(folder) as target:
        pictures = _plain_names(source.pictures)
        for name, picture in tqdm(
            pictures.items(), "import", unit="image", leave=False, disable=not show_bars(progress)
        ):
            data = None if picture.data is None else picture.data()
            height, width, suffix, as_stored = _size(picture, data)
            if as_stored is not None:
                seen.setdefault(as_stored, picture.name)
                if len(seen) > 1:
                    what = "expected all photographs with an EXIF orientation to be annotated in the same way"
                    raise ValueError(f"{what}, found {seen[True]} as it is stored and {seen[False]} as it is shown")
            try:
                found = [thing.cropped() for thing in picture.objects(height, width)]
                objects, labels, visible = painted(found, height, width)
            except ValueError as error:
                raise ValueError(f"{picture.name}: {error}") from error
            if data is None:
                _link(picture.file, target / "images" / f"{name}{picture.file.suffix}")
            else:
                _write(target / "images" / f"{name}{suffix}", data)
            write_label_png(target / "labels" / f"{name}.png", labels, classes.palette)
            write_label_png(target / OBJECTS / f"{name}.png", objects)
            images[name] = {"file": picture.name}
            if source.values is None:
                images[name]["masks"] = [[thing.key, thing.label] for thing in found]
            else:
                images[name]["labels"] = picture.labels
            drawn = [int(thing.mask.sum()) for thing in found]
            counts += Counter(
                objects=len(found),
                empty=sum(area == 0 for area in drawn),
                small=sum(0 < area < SMALL for area in visible),
                partly=sum(0 < area < before for area, before in zip(visible, drawn, strict=True)),
            )
            hidden += [
                f"{picture.name}: {json.dumps(thing.key)}"
                for thing, area, before in zip(found, visible, drawn, strict=True)
                if before and not area
            ]
        rows = dict(zip(classes.names, classes.palette.tolist(), strict=True))
        write_json(target / "classes.json", {"classes": rows, "ignore_index": VOID_ID})
        settings: dict[str, Any] = {"orientation": "stored"} if True in seen else {}
        if len(classes) == 2:  # of two classes one may not occur, which looks like black and white masks
            settings["ids"] = {**dict(enumerate(classes.names)), VOID_ID: VOID}
        if settings:
            write_text(target / DATASET, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        for file, path in source.files.items():
            kept = below(target / KEPT, file)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
        index: dict[str, Any] = {"format": source.format, "classes": list(source.keys), "names": list(classes.names)}
        if source.values is not None:
            index["values"] = source.values.as_json()
        index |= {"files": list(source.files), "images": images}
        write_text(target / INDEX, json.dumps(index, ensure_ascii=False, separators=(",", ":")) + "\n")
    notes.insert(0, f"{counts['objects']} objects in {len(images)} images, {len(classes)} classes")
    if counts["partly"]:
        notes.append(f"{counts['partly']} objects lie partly under smaller ones: their masks are what is seen of them")
    if hidden:
        notes.append(f"{len(hidden)} objects are hidden by others and stay as they are: {some_of(hidden)}")
    if counts["empty"]:
        notes.append(f"{counts['empty']} objects have no pixels and stay as they are")
    if counts["small"]:
        notes.append(f"{counts['small']} masks have fewer than {SMALL} pixels: nobody is asked about them")
    return notes


def painted(found: Sequence[Found], height: int, width: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """One map of objects that may overlap: crowds lie lowest, then larger under smaller, of equal ones the later on
    top.

    Args:
        found: n objects.
        height: H.
        width: W.

    Returns:
        (H, W) int32 object map, mask k + 1 is object k; (H, W) uint8 labels, `VOID_ID` where there is no object; and
        the n numbers of pixels that are seen.

    Raises:
        ValueError: more than 65,535 objects.
    """
    if len(found) > 65_535:
        raise ValueError(f"expected at most 65,535 objects in an image, found {len(found)}")
    objects = np.zeros((height, width), np.int32)
    order = sorted(range(len(found)), key=lambda k: (not found[k].under, -int(found[k].mask.sum()), k))
    for k in order:
        (top, left), mask = found[k].corner, found[k].mask
        objects[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = k + 1
    labels = np.array([VOID_ID, *(thing.label for thing in found)], np.uint8)
    visible = np.bincount(objects.ravel(), minlength=len(found) + 1)[1:]
    return objects, labels[objects], visible.tolist()


def _classes(source: Source, notes: list[str]) -> Classes:
    """Names that a person can answer with; those of the source are changed where they have to be."""
    if not 1 <= len(source.names) <= VOID_ID:
        raise ValueError(f"{source.format}: expected 1 to {VOID_ID} classes, found {len(source.names)}")
    names: list[str] = []
    for k, given in enumerate(source.names):
        name = one_line(given)
        if name in ("", *RESERVED) or name in names or (name != given and name in source.names):
            name = next(new for i in range(k, 999_999) if (new := f"{name or 'class'} ({i})") not in source.names)
        if name != given:
            notes.append(f"class {given!r} is called {name!r} here, and {given!r} again in what is exported")
        names.append(name)
    palette = bit_palette(len(names) + 1)[1:].copy()
    for k, colour in enumerate(source.colours or []):
        if colour is not None:
            palette[k] = colour
    return Classes(tuple(names), palette, VOID_ID)


def _plain_names(pictures: Iterable[Picture]) -> dict[str, Picture]:
    """Name of each image without folders and suffix; with them where others have the same name."""
    given = list(pictures)
    paths = [Path(picture.name.replace("\\", "/")) for picture in given]
    for name_of in (
        lambda path: path.stem,
        lambda path: "__".join(path.with_suffix("").parts),
        lambda path: "__".join(path.parts).replace(".", "_"),
    ):
        names = [name_of(path).lstrip(".") or "_" for path in paths]
        if len({name.lower() for name in names}) == len(names):  # some systems do not tell a from A
            return dict(zip(names, given, strict=True))
    counts = Counter(picture.name for picture in given)
    if repeated := [name for name, number in counts.items() if number > 1]:
        raise ValueError(f"expected every image once, found {repeated[0]!r} twice")
    found: dict[str, Picture] = {}
    used: set[str] = set()
    taken = {name.lower() for name in names}
    for name, picture in zip(names, given, strict=True):
        if name.lower() in used:  # the first of equal ones keeps its name
            name = next(new for k in count(2) if (new := f"{name}__{k}").lower() not in taken | used)
        used.add(name.lower())
        found[name] = picture
    return found


def _size(picture: Picture, data: bytes | None) -> tuple[int, int, str, bool | None]:
    """H, W of an image as the source sees it, its suffix, and whether it is seen as stored although it should be
    turned; None: this cannot be told, or there is nothing to turn."""
    try:
        with opened(picture.file if data is None else data) as image:
            (height, width), turned = stored_size(image), orientation_of(image) >= 5
            suffix = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}.get(str(image.format), f".{image.format}".lower())
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{picture.file}: {picture.name}: damaged image, or none ({one_line(error)})") from error
    upright = (width, height) if turned else (height, width)
    if picture.size in (None, upright):
        return *upright, suffix, False if turned and width != height else None
    if turned and picture.size == (height, width):
        return height, width, suffix, True
    wanted = f"expected {picture.size}, height and width of its annotations"
    raise ValueError(f"{picture.file}: {wanted}, found {upright}")


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def _link(file: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    if not linked(at, file.resolve()):
        shutil.copyfile(file, at)
