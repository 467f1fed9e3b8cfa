"""The class list of your own data, classes.txt or classes.json.

A line of classes.txt is ``name`` or ``name r g b``; its position is the class id. Lines that begin with ``#`` say
nothing. Also read, where every line is of the kind: ``name,r,g,b``, ``r g b name`` (CamVid), ``name:r,g,b::`` (CVAT's
labelmap.txt) and ``0 name``, ``1 name``, ... What could be meant in two ways is refused: every id behind a heading that
were taken for a class would be wrong.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from a2lc.datasets.base import VOID, Classes, bit_palette
from a2lc.datasets.layout import DATASET, ids_line
from a2lc.datasets.listing import read_lines
from a2lc.files import read_json
from a2lc.files.label_file import Colour

WITH_VOID = ("classes", "ignore_index")  # fields of a classes.json that says what void is
RGB = r"(?P<r>\d+)%s(?P<g>\d+)%s(?P<b>\d+)"
LABELMAP_LINE = re.compile(rf"(?P<name>.+?)\s*:\s*(?:{RGB % (' *, *', ' *, *')}\s*(?::[^:]*){{0,2}}|:[^:]*:[^:]*)")
"""Of a labelmap.txt, as CVAT and Datumaro have it: name:r,g,b:parts:actions; the name may hold colons, and a colour,
or parts and actions, may be missing."""
FORMS = (
    LABELMAP_LINE,
    re.compile(rf"(?P<name>.+?)\s*,\s*{RGB % (', *', ', *')}"),
    re.compile(rf"{RGB % (' +', ' +')} +(?P<name>\D.*)"),
    re.compile(r"(?P<id>\d+)[ :,]+(?P<name>.+?)"),
)
"""Of a list's lines; all of them have to be of one."""
HEADING = {"name", "names", "class", "classes", "label", "labels", "category"}  # one of these, and of those
BESIDE = {"id", "rgb", "color", "colour", "r", "g", "b"}


def read_classes(root: Path, background: str | None = None) -> tuple[Classes, dict[int, Colour]]:
    """The class list of `root`: classes.txt or classes.json.

    Args:
        root: the dataset's folder.
        background: name of the class of pixels that no mask covers; None: they have no label.

    Returns:
        The classes; and class id -> (r, g, b), each in 0..255, of those whose colour stands in the list.

    Raises:
        ValueError: the list is damaged or has a class void, or both files exist, or `background` is none of the
            classes.
        FileNotFoundError: neither file exists.
    """
    text, as_json = root / "classes.txt", root / "classes.json"
    if text.is_file() and as_json.is_file():
        raise ValueError(f"{root}: expected one class list, found classes.txt and classes.json; remove or rename one")
    if not text.is_file() and not as_json.is_file():
        above = [path for path in (root.parent / text.name, root.parent / as_json.name) if path.is_file()]
        meant = f"; did you mean {root.parent}?" if above else ""
        raise FileNotFoundError(f"{text}: no such file; expected a class list, there or in classes.json{meant}")
    path = text if text.is_file() else as_json
    entries, ignore_index = (_from_text(path), 255) if path == text else _from_json(path)
    if VOID in (listed := [name for name, _ in entries]):
        what, ids = "void, no label, is no class: take it out of the list", ids_line(dict(enumerate(listed)))
        raise ValueError(f"{path}: {what}, and say in {DATASET} beside it what the values in the files mean: {ids}")
    given = {k: colour for k, (_, colour) in enumerate(entries) if colour is not None}
    palette = bit_palette(len(entries) + 1)[1:]  # colour 0 is black, which would look like nothing
    for k, colour in given.items():
        palette[k] = colour
    try:
        names = tuple(name for name, _ in entries)
        "".join(names).encode()  # JSON can hold half characters, which no file can
        classes = Classes(names, palette, ignore_index)
        if background is not None:
            classes = replace(classes, background=classes.index(background))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return classes, given


def _from_text(path: Path) -> list[tuple[str, Colour | None]]:
    lines = [" ".join(line.split()) for line in read_lines(path, "classes")]
    lines = [line for line in lines if not line.startswith("#")]
    words = set(re.findall(r"[a-z]+", re.sub(r"\w*\d\w*", "", lines[0].lower()))) if lines else set()  # not class_0
    heading = bool(words & HEADING) and words <= HEADING | BESIDE
    remedy = 'remove it, or use classes.json: ["name", ...]'
    for form in FORMS:
        found = [form.fullmatch(line) for line in lines]
        if len(lines) > 2 and not found[0] and not heading and all(found[1:]):
            why = "found one that is written otherwise than all others"
            raise ValueError(f"{path}: expected the first class in the first line, {why}, {lines[0]!r}: {remedy}")
        if lines[heading:] and all(found[heading:]):
            return [_entry(match.groupdict(), number, path) for number, match in enumerate(found[heading:]) if match]
    if heading:
        expected = "expected the name of class 0 in the first line"
        raise ValueError(f"{path}: {expected}, found what looks like a heading, {lines[0]!r}; {remedy}")
    for line in lines:
        if re.search(r"[,;\[\]{}]|(?: \d+){4}$|^names:|^nc:", line):
            what = "expected a class a line, as 'name' or 'name r g b'"
            raise ValueError(f'{path}: {what}, found {line!r}; names with commas go into classes.json: ["name", ...]')
    numbers = [int(last[1]) for line in lines if (last := re.fullmatch(r"\D.*? (\d{1,3})", line))]
    if len(numbers) == len(lines) > 1 and sorted(numbers) == [*range(len(lines))] != numbers:
        wrong = f"found {lines[0]!r} as number 0"
        raise ValueError(f"{path}: expected the classes in the order of the ids behind them, {wrong}: sort the lines")
    stems = {line.rpartition(" ")[0] for line in lines}
    if numbers == [*range(1, len(lines) + 1)] and len(stems) == len(lines) > 1:
        wrong = f"found {lines[0]!r} as number 0; say in {DATASET} what the values in the files mean"
        raise ValueError(f"{path}: expected the classes in the order of their ids from 0 on, without them, {wrong}")
    return [_plain(line, path) for line in lines]


def _entry(found: dict[str, str | None], number: int, path: Path) -> tuple[str, Colour | None]:
    """A class of a line in one of `FORMS`."""
    name, of_line = str(found["name"]), found.get("id")
    if of_line is not None:
        if int(of_line) != number:
            wrong = f"found {of_line} {name!r} as number {number}"
            meant = 'where it is part of the name, give the names in classes.json as ["name", ...]'
            raise ValueError(f"{path}: expected ids 0, 1, 2 ... in order, or none, {wrong}; {meant}")
        return _plain(name, path)
    if found["r"] is None:
        return name, None
    return name, _colour([int(str(found[channel])[:9]) for channel in "rgb"], path)


def _plain(line: str, path: Path) -> tuple[str, Colour | None]:
    """``name`` or ``name r g b``."""
    words = line.split()
    if len(words) > 3 and all(word.isdecimal() for word in words[-3:]):
        return " ".join(words[:-3]), _colour([int(word[:9]) for word in words[-3:]], path)
    return line, None


def _from_json(path: Path) -> tuple[list[tuple[str, Colour | None]], int]:
    """Names and colours, and the value of void."""
    value, ignore_index = read_json(path, distinct=True), 255
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
