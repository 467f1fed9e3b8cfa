"""Reading a table that a person has filled in: every bad row is named before anything is done with the good ones."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Row = dict[str, str]
T = TypeVar("T")


def read_checked(path: str | os.PathLike[str], columns: Iterable[str], check: Callable[[Row], T]) -> list[T]:
    """Read a CSV file, separated by commas or, as some spreadsheets do, by semicolons.

    Args:
        path: the file, UTF-8.
        columns: names that must be in its first line; others are passed on, too.
        check: turns a row into what is wanted, or raises `ValueError`.

    Returns:
        What `check` made of each row.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no text, a column is missing or there twice, or rows are bad: each is named by its line.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, found other bytes ({error})") from error
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",")
    names = [name.strip() for name in next(reader, [])]
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"{path}: misses the columns {', '.join(missing)}, expected {', '.join(columns)}")
    if twice := sorted({name for name in columns if names.count(name) > 1}):
        raise ValueError(f"{path}: expected each column once, found {', '.join(twice)} more than once")
    rows, problems = [], []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            try:
                if len(cells) != len(names):
                    raise ValueError(f"damaged row, expected {len(names)} cells, found {len(cells)}")
                rows.append(check({name: _filled(name, cell) for name, cell in zip(names, cells, strict=True)}))
            except ValueError as error:
                problems.append(f"line {reader.line_num}: {error}")
    except csv.Error as error:
        raise ValueError(f"{path}: damaged after line {reader.line_num} ({error}); is a quote not closed?") from error
    if problems:
        raise ValueError(f"{path}: {len(problems)} bad rows, so none was taken:\n  " + "\n  ".join(problems))
    return rows


def _filled(column: str, cell: str) -> str:
    """A cell without spaces around it, but for names of files, which may have them."""
    return cell if column == "image" else cell.strip()


def whole_number(text: str, what: str) -> int:
    """An integer >= 0 in a cell.

    Raises:
        ValueError: it is none.
    """
    if not text.isdecimal():
        raise ValueError(f"{what}: expected a whole number, found {text!r}")
    return int(text)
