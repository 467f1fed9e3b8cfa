"""Tables that a person fills in: written so that a spreadsheet computes nothing, read as spreadsheets save them; every
bad row is named before anything is done with the good ones."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pandas as pd

from a2lc.files import check_limit, check_size

Row = dict[str, str]
T = TypeVar("T")
BOM = "\ufeff"
DIGITS = 18  # of a number that 64 bits hold
_COMPUTED = re.compile(r"'*[=+\-@\t\r]")  # spreadsheets take such a cell for a formula, without the ' at least
_WHOLE = re.compile(r"0*(\d+)(?:[.,]0+)?")


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, with commas. Texts that a spreadsheet would take for a formula have a ``'`` before them, which
    `read_rows` takes away; where there are letters beyond ASCII, a byte order mark lets Excel read them."""
    safe = table.map(lambda cell: "'" + cell if isinstance(cell, str) and _COMPUTED.match(cell) else cell)
    text = safe.to_csv(index=False, lineterminator="\n")
    return text if text.isascii() else BOM + text


def read_rows(path: str | os.PathLike[str], columns: Sequence[str]) -> list[tuple[int, Row | ValueError]]:
    """The rows of a CSV file: the line in which each ends, and its cells by column or, where it is damaged, why.

    Cells are separated by commas or, as some spreadsheets do, by semicolons or tabs; the text is UTF-8, or UTF-16 with
    a byte order mark. Empty rows and columns at the end are left out; a row may lack empty cells at its end.

    Args:
        path: the file.
        columns: names that must be in its first line; a row may lack the last of them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no text, a quote is not closed, or a column is missing or there twice.
    """
    check_size(path)
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        remedy = "save it as 'CSV UTF-8'"
        raise ValueError(f"{path}: expected a CSV file in UTF-8, found other bytes ({error}): {remedy}") from error
    first = next(iter(text.splitlines()), "")
    with _long_cells():
        rows = _read(path, text, max(",;\t", key=first.count), columns)
    return rows


@contextmanager
def _long_cells() -> Iterator[None]:
    """Cells are as long as they are: what is too long is told by whose they are."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read(
    path: str | os.PathLike[str], text: str, delimiter: str, columns: Sequence[str]
) -> list[tuple[int, Row | ValueError]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() for name in next(reader, [])]
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"{path}: misses the columns {', '.join(missing)}, expected {', '.join(columns)}")
    if twice := sorted({name for name in columns if names.count(name) > 1}):
        raise ValueError(f"{path}: expected each column once, found {', '.join(twice)} more than once")
    needed, width = 1 + max(map(names.index, columns[:-1]), default=0), len(names)
    rows: list[tuple[int, Row | ValueError]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            check_limit("rows", len(rows) + 1, path)
            for at, cell in enumerate(cells):
                column = names[at] if at < len(names) else f"cell {at + 1}"
                check_limit(
                    "characters", len(cell), f"{path}, line {reader.line_num}, {column} (is a quote not closed?)"
                )
            row: Row | ValueError = ValueError(f"damaged row, expected {width} cells, found {len(cells)}")
            if needed <= len(cells) and not any(cell.strip() for cell in cells[width:]):
                padded = [*cells[:width], *[""] * (width - len(cells))]
                row = {name: _filled(name, cell) for name, cell in zip(names, padded, strict=True)}
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(f"{path}: damaged after line {reader.line_num} ({error}); is a quote not closed?") from error
    return rows


def check_rows(
    path: str | os.PathLike[str], rows: Iterable[tuple[int, Row | ValueError]], check: Callable[[Row], T]
) -> list[T]:
    """What `check` makes of the rows of a file.

    Args:
        path: the file.
        rows: its rows, as `read_rows` finds them.
        check: turns a row into what is wanted, or raises `ValueError`.

    Raises:
        ValueError: rows are bad: each is named by its line.
    """
    made, problems = [], []
    for line, row in rows:
        try:
            if isinstance(row, ValueError):
                raise row
            made.append(check(row))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        raise ValueError(f"{path}: {len(problems)} bad rows, so none was taken:\n  " + "\n  ".join(problems))
    return made


def _filled(column: str, cell: str) -> str:
    """A cell without spaces around it, but for names of files, which may have them; see `csv_text`."""
    cell = cell if column == "image" else cell.strip()
    return cell[1:] if cell.startswith("'") and _COMPUTED.match(cell) else cell


def plain_number(cell: str) -> str:
    """What is left of a cell where a spreadsheet has taken it for a number: 007 and 7.0 are 7. Other texts lose the
    spaces around them."""
    found = _WHOLE.fullmatch(text := cell.strip())
    return found[1] if found else text


def whole_number(text: str, what: str) -> int:
    """An integer >= 0 in a cell; a spreadsheet may have made 7.0 of 7.

    Raises:
        ValueError: it is none.
    """
    if not (found := plain_number(text)).isdecimal():
        raise ValueError(f"{what}: expected a whole number, found {text!r:.60}")
    if len(found) > DIGITS:
        raise ValueError(f"{what}: expected a whole number, found one of {len(found)} digits")
    return int(found)


def images_meant(cells: Iterable[str], names: Sequence[str]) -> dict[str, list[str]]:
    """The images that each cell may mean: the one of this name; else those that differ in spaces around it or, as
    spreadsheets take names for numbers, in zeros before it. Where no cell of the table has such zeros they may be
    lost, and even a cell that is a name may mean another."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(plain_number(name), []).append(name)
    cells, known = set(cells), set(names)
    zeros = any(cell in known and cell.startswith("0") and plain_number(cell) != cell for cell in cells)
    meant = {}
    for cell in cells:
        numeric = plain_number(cell).isdecimal()
        exact = cell in known and (zeros or not numeric)
        meant[cell] = [cell] if exact else alike.get(plain_number(cell), [])
    return meant
