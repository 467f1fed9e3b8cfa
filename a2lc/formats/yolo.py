"""YOLO's segments: a text file per image, a line per object, ``class x y x y ...`` as shares of width and height."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.datasets.listing import IMAGE_SUFFIXES, read_lines, some_of
from a2lc.files import file_bytes, read_yaml
from a2lc.formats.shapes import corners, filled_polygon
from a2lc.formats.source import Edit, Found, Picture, Source

SLACK = 0.01  # of shares that were rounded, as Ultralytics allows
LINE_ENDS = rb"(\r\n|\n|\r)"


def find(root: Path) -> Path | None:
    """The file with the classes in a folder: a YAML with ``names``, or classes.txt beside labels/*.txt; None: it is no
    YOLO dataset.

    Raises:
        ValueError: several YAML files have other names.
    """
    paths = sorted((*root.glob("*.yaml"), *root.glob("*.yml")))
    found = [
        path
        for path in paths
        if re.search(r"^names\s*:", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    ]
    if others := [path for path in found if _names(path) != _names(found[0])]:
        raise ValueError(f"{root}: expected one list of classes, found others in {found[0].name} and {others[0].name}")
    if found:
        return found[0]
    listed = root / "classes.txt"
    return listed if listed.is_file() and any((root / "labels").rglob("*.txt")) else None


def read(file: Path, root: Path) -> Source:
    """All images below the folder with their label files: ``images`` in the path becomes ``labels``, or beside them.

    Args:
        file: the file with the classes.
        root: the dataset's folder; what the YAML calls ``path`` is not asked for.

    Raises:
        ValueError: a damaged file; the message names the line.
        FileNotFoundError: there is no image.
    """
    names = _names(file)
    pictures, files, notes, boxes = [], {file.name: file}, list[str](), 0
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    for path in paths:
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        labels = root / _label_file(relative)
        lines = _lines(labels) if labels.is_file() else []
        if labels.is_file():
            if (kept := _label_file(relative).as_posix()) in files:
                raise ValueError(f"{labels}: expected the objects of one image, found {relative} as another")
            files[kept] = labels
        boxes += sum(len(words) == 5 for _, words in lines)
        pictures.append(_picture(relative, path, _label_file(relative).as_posix(), lines, len(names), labels))
    if not pictures:
        raise FileNotFoundError(f"{root}: expected images, such as images/train/a.jpg, found none")
    if boxes:
        notes.append(f"{boxes} lines are boxes (class x y width height): each is a mask as it stands")
    texts = [path.relative_to(root) for path in sorted(root.rglob("*.txt")) if path.name != "classes.txt"]
    if alone := [str(path) for path in texts if "labels" in path.parts and path.as_posix() not in files]:
        notes.append(f"{len(alone)} label files have no image and are left out: {some_of(alone)}")
    keys = list(range(len(names)))
    return Source("yolo", names, keys, pictures, files, None, notes)


def edits(file: str, key: Any, value: Any) -> list[Edit]:
    """What changes where object `key`, its file and the number of its line from 0, has class `value`."""
    return [Edit(key[0], (key[1],), value)]


def replaced(data: bytes, edits: list[tuple[tuple[str | int, ...], Any]]) -> bytes:
    """The text with other classes in some lines; everything else, numbers and line ends, stays."""
    lines = re.split(LINE_ENDS, data)  # and between them what ends them
    for (line,), value in edits:
        at = 2 * int(line)
        lines[at] = re.sub(rb"^(\s*)\S+", rb"\g<1>" + str(value).encode(), lines[at], count=1)
    return b"".join(lines)


# ------------------------------------------------------------------------------------------------ inside
def _names(file: Path) -> list[str]:
    if file.suffix == ".txt":
        listed = read_lines(file, "classes")
        if "" in (lines := [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]):
            raise ValueError(f"{file}, line {lines.index('') + 1}: expected a class in every line, found an empty one")
        return listed
    content = read_yaml(file)
    if "kpt_shape" in content:
        raise ValueError(f"{file}: expected segments or boxes, found poses (kpt_shape), which are no masks")
    names = content.get("names")
    if isinstance(names, dict) and names.keys() == {*range(len(names))}:
        names = [names[k] for k in range(len(names))]
    if not (isinstance(names, list) and names):
        raise ValueError(f"{file}: names: expected a list of classes, or ids 0, 1, 2 ... with names, found {names!r}")
    if wrong := [name for name in names if type(name) not in (str, int)]:  # what YAML makes of no, null and 1.50
        raise ValueError(f"{file}: names: expected texts, found {wrong[0]!r}: put it in quotes, as it is to be called")
    return [str(name) for name in names]


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[-2::-1].index("images")
        parts[at] = "labels"
    return Path(*parts).with_suffix(".txt")


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    """Number from 0 and words of each line that is not empty."""
    try:
        lines = [line.decode("ascii") for line in re.split(LINE_ENDS, file_bytes(file))[::2]]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected numbers as text, found bytes that are none") from error
    return [(number, words) for number, line in enumerate(lines) if (words := line.split())]


def _picture(
    relative: Path, path: Path, kept: str, lines: list[tuple[int, list[str]]], classes: int, file: Path
) -> Picture:
    def objects(height: int, width: int) -> Iterator[Found]:
        for number, words in lines:
            try:
                label, points = _object(words, classes)
            except ValueError as error:
                raise ValueError(f"{file}, line {number + 1}: {error}") from error
            yield Found([kept, number], label, filled_polygon((points * (width, height)).round(2), height, width))

    return Picture(relative.as_posix(), path, objects)


def _object(words: list[str], classes: int) -> tuple[int, np.ndarray]:
    """Class, and (n, 2) corners as shares."""
    if not (words[0].isdecimal() and int(words[0][:9]) < classes):
        raise ValueError(f"expected a class 0..{classes - 1}, found {words[0]!r}")
    try:
        points = corners([float(word) for word in words[1:]])
    except ValueError as error:
        raise ValueError(f"expected x y x y ..., {error}") from error
    if len(points) and not (points.min() >= -SLACK and points.max() <= 1 + SLACK):
        wrong = points[(points < -SLACK) | (points > 1 + SLACK)][0]
        what = "expected shares of width and height, 0..1, found"
        raise ValueError(f"{what} {wrong:g}: are these pixels, or key points of a pose?")
    if len(points) == 2:
        (x, y), (w, h) = points
        points = np.array(
            [[x - w / 2, y - h / 2], [x + w / 2, y - h / 2], [x + w / 2, y + h / 2], [x - w / 2, y + h / 2]]
        )
    return int(words[0]), points
