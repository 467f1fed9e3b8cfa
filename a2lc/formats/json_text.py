"""JSON of other programs: read with care, and changed in place: the text around a replaced value stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from a2lc.files import one_line

Place = tuple[str | int, ...]
"""Keys and positions on the way to a value: ``("annotations", 5, "category_id")``."""
_DECODER = json.JSONDecoder()
_BLANK = " \t\n\r"


def parsed(data: bytes, path: Path) -> Any:
    """What a JSON file says; a byte order mark is allowed.

    Raises:
        ValueError: no JSON, no UTF-8, or brackets in brackets without end; the message names the file.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged JSON ({one_line(error)})") from error


def replaced(data: bytes, edits: Iterable[tuple[Place, Any]]) -> bytes:
    """The same text with other values in some places; every other character stays.

    Args:
        data: JSON in UTF-8, which `parsed` has read.
        edits: place and new JSON value, each place once and none within another.

    Raises:
        ValueError: there is no such place.
    """
    tree: dict[str | int, Any] = {}
    for place, value in edits:
        node = tree
        for step in place[:-1]:
            node = node.setdefault(step, {})
        node[place[-1]] = json.dumps(value, ensure_ascii=False)
    text = data.decode()
    found: list[str] = []
    at = 0
    for start, end, new in sorted(_spans(text, 1 if text.startswith("\ufeff") else 0, tree)):
        found += [text[at:start], new]
        at = end
    return "".join([*found, text[at:]]).encode()


def _spans(text: str, at: int, wanted: dict[str | int, Any]) -> Iterator[tuple[int, int, str]]:
    """Start, end and new text of the wanted values in the object or array that begins at `at`."""
    places = {key: span for key, *span in _members(text, _skip(text, at)) if key in wanted}  # of equal keys the last
    for key, new in wanted.items():
        if key not in places:
            raise ValueError(f"expected {key!r} in the text, found none")
        start, end = places[key]
        if isinstance(new, str):
            yield start, end, new
        else:
            yield from _spans(text, start, new)


def _members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """Key or position, start and end of each value of the object or array that begins at `at`."""
    is_object, position = text[at] == "{", 0
    if text[at] not in "{[":
        return
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = position
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(text, at)
        yield key, at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
        position += 1


def _skip(text: str, at: int) -> int:
    while text[at] in _BLANK:
        at += 1
    return at
