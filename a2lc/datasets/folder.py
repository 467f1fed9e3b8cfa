"""Your own data: a folder of images, a class list, and labels to correct.

    root/classes.txt          a class per line, "name" or "name r g b"; the line's position is the class id
      or classes.json         ["name", ...] or {"name": [r, g, b], ...}, or {"classes": either, "ignore_index": 200}
                              where label files have another value than 255 for no label
    root/images/              *.jpg, *.png
    root/labels/              optional: PNGs of class ids, of the image's size, the ignore index (255) = no label: the
                              labels to correct (`Split.pseudo_labels`)
    root/ground_truth/        optional: the same for the truth, for some or all images (`Split.ground_truth`)
    root/train.txt, val.txt   optional: image names, one per line

Without train.txt, all images that val.txt does not list are for training; without val.txt, val is empty.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from a2lc.datasets.base import Classes, Dataset, FileSplit, bit_palette
from a2lc.datasets.listing import (
    LABEL_SUFFIXES,
    Root,
    check_listed,
    check_root,
    index_files,
    read_lines,
    read_names,
)
from a2lc.files import read_json

LAYOUT = "images/, classes.txt or classes.json, and optionally labels/, ground_truth/, train.txt, val.txt"
WITH_VOID = ("classes", "ignore_index")  # fields of a classes.json that says what void is
Colour = tuple[int, int, int]


def load(root: Root = None, *, background: str | None = None) -> Dataset:
    """List your images; images and labels follow on demand.

    Args:
        root: the folder described above.
        background: name of the class of pixels that no mask covers; None: such pixels have no label.

    Raises:
        ValueError: no root, no image, none left to train on, a damaged class list, an unknown background, an empty list
            or an image listed twice, a label file without image.
        FileNotFoundError: root, the class list, images/ or a listed image is missing.
    """
    folder = check_root(root, "folder", LAYOUT)
    classes = read_classes(folder, background)
    images = index_files(folder / "images")
    if not images:
        raise ValueError(f"{folder / 'images'}: expected at least one jpg or png image, found none")
    ground_truth = _label_files(folder / "ground_truth", images)
    labels = _label_files(folder / "labels", images)
    train, val = _listed(folder, "train", images), _listed(folder, "val", images) or ()
    if train is None:
        train = tuple(name for name in images if name not in set(val))
        if not train:
            raise ValueError(f"{folder / 'val.txt'}: lists every image, expected some left to train on")
    return Dataset(
        "folder",
        classes,
        FileSplit("train", train, classes, images, ground_truth, labels),
        FileSplit("val", val, classes, images, ground_truth, labels),
    )


def read_classes(root: Path, background: str | None = None) -> Classes:
    """The class list of `root`: classes.txt or classes.json.

    Raises:
        ValueError: the list is damaged, or both files exist, or `background` is none of the classes.
        FileNotFoundError: neither file exists.
    """
    text, as_json = root / "classes.txt", root / "classes.json"
    if text.is_file() and as_json.is_file():
        raise ValueError(f"{root}: expected one class list, found classes.txt and classes.json")
    if not text.is_file() and not as_json.is_file():
        above = [path for path in (root.parent / text.name, root.parent / as_json.name) if path.is_file()]
        meant = f"; did you mean {root.parent}?" if above else ""
        raise FileNotFoundError(f"{text}: no such file; expected a class list, there or in classes.json{meant}")
    path = text if text.is_file() else as_json
    entries, ignore_index = (_from_text(path), 255) if path == text else _from_json(path)
    palette = bit_palette(len(entries) + 1)[1:]  # colour 0 is black, which would look like nothing
    for k, (_, colour) in enumerate(entries):
        if colour is not None:
            palette[k] = colour
    try:
        names = tuple(name for name, _ in entries)
        "".join(names).encode()  # JSON can hold half characters, which no file can
        classes = Classes(names, palette, ignore_index)
        return classes if background is None else replace(classes, background=classes.index(background))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _from_text(path: Path) -> list[tuple[str, Colour | None]]:
    entries: list[tuple[str, Colour | None]] = []
    for line in read_lines(path, "classes"):
        words = line.split()
        if len(words) > 3 and all(word.isdecimal() for word in words[-3:]):
            entries.append((" ".join(words[:-3]), _colour([int(word[:9]) for word in words[-3:]], path)))
        else:
            entries.append((" ".join(words), None))
    return entries


def _from_json(path: Path) -> tuple[list[tuple[str, Colour | None]], int]:
    """Names and colours, and the value of void."""
    value, ignore_index = read_json(path), 255
    if isinstance(value, dict) and any(name in value and not _is_colour(value[name]) for name in WITH_VOID):
        if value.keys() != set(WITH_VOID):
            raise ValueError(f"{path}: expected the fields {' and '.join(WITH_VOID)}, found {', '.join(value)}")
        value, ignore_index = value["classes"], value["ignore_index"]  # Classes looks at the number
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return [(name, None) for name in value], ignore_index
    if isinstance(value, dict):
        return [(name, _colour(colour, path)) for name, colour in value.items()], ignore_index
    forms = '["name", ...], {"name": [r, g, b], ...} or {"classes": either, "ignore_index": 200}'
    raise ValueError(f"{path}: expected {forms}, found {str(value)[:60]}")


def _is_colour(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v < 256 for v in value)


def _colour(value: object, path: Path) -> Colour:
    if not (isinstance(value, list) and _is_colour(value)):
        raise ValueError(f"{path}: expected a colour of three integers in 0..255, found {value}")
    return value[0], value[1], value[2]


def _label_files(folder: Path, images: dict[str, Path]) -> dict[str, Path]:
    """Label files by image name; none where the folder does not exist."""
    files = index_files(folder, LABEL_SUFFIXES) if folder.is_dir() else {}
    stray = [path for name, path in files.items() if name not in images]
    if stray:
        raise ValueError(f"{stray[0]}: expected an image of that name in images/, found none ({len(stray)} such)")
    return files


def _listed(root: Path, split: str, images: dict[str, Path]) -> tuple[str, ...] | None:
    path = root / f"{split}.txt"
    if not path.exists():
        return None
    names = read_names(path)
    check_listed(names, images, path, root / "images")
    return names
