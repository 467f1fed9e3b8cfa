"""Reading ``refs(unc).p``: the one pickle that this package reads, and only as data.

The annotations of RefCOCO are published as pickles, which in general may run anything. Here the file's opcodes are
looked at first: whatever could import, call or build an object is refused before anything is loaded, and the loader
itself knows no class. Tuples, which the published files do not hold, are refused too: nested, as a key, they would end
the interpreter. A few bytes can name one list or text many times, so numbers are compared and texts counted before
anything is written out.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, NoReturn

from a2lc.files import check_size

_DATA_ONLY = """
PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST APPEND APPENDS LIST
EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE
"""
DATA_ONLY = frozenset(_DATA_ONLY.split())
"""Opcodes that make numbers, texts, lists and dicts, and nothing else."""
LARGEST = 2**63 - 1
"""The largest number of a record: tables hold them in 64 bits."""
LONGEST = 2**17 - 1
"""Characters of a text."""


class _NotData(ValueError):
    """What the file holds is refused."""


class _DataOnly(pickle.Unpickler):
    """An unpickler without classes."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse."""
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse."""
        raise pickle.UnpicklingError("it names something outside")


def read_refs(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a refs file.

    Returns:
        A dict per referent with ``ref_id``, ``ann_id``, ``image_id`` (int), ``split`` (str) and ``sentences``, a list
        of (sent_id, text), each checked; empty texts are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is too large, no pickle of data alone, is damaged, has no sentence, or a record is not as
            expected; the message names file and record.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; it is in the archives of lichengunc/refer")
    check_size(file)
    content = file.read_bytes()
    _refuse_programs(file, content)
    try:
        records = _DataOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a pickle of data that does not fit together may raise anything
        raise ValueError(f"{file}: damaged pickle ({error})") from error
    if not isinstance(records, list):
        raise ValueError(f"{file}: expected a list of records, found {type(records).__name__}")
    seen = _Seen(len(content))
    checked = [_record(f"{file}, record {number}", record, seen) for number, record in enumerate(records)]
    if not any(record["sentences"] for record in checked):
        raise ValueError(f"{file}: expected records with sentences, found {len(checked)} records without any")
    return checked


def _refuse_programs(file: Path, content: bytes) -> None:
    try:
        for opcode, argument, offset in pickletools.genops(content):
            if opcode.name not in DATA_ONLY:
                why = "makes a tuple" if "TUPLE" in opcode.name else "could run a program"
                what = f"found the instruction {opcode.name} at byte {offset}, which {why}"
                raise _NotData(f"{file}: expected a pickle of numbers, texts, lists and dicts only, {what}")
            if (
                "PUT" in opcode.name and argument is not None and int(argument) > len(content)
            ):  # memory is laid out for all numbers below it
                raise _NotData(f"{file}: damaged pickle (place {argument} at byte {offset} is beyond the file)")
    except _NotData:
        raise
    except Exception as error:  # pickletools raises what it comes across
        raise ValueError(f"{file}: damaged or no pickle ({error})") from error


class _Seen:
    """The numbers of all records so far, and how many characters are left: a file holds no more than it has bytes."""

    def __init__(self, left: int) -> None:
        self.numbers: dict[str, set[int]] = {"ref_id": set(), "sent_id": set()}
        self.left = left

    def refuse_twice(self, where: str, what: str, number: int) -> None:
        if number in self.numbers[what]:
            raise ValueError(f"{where}: expected every {what} once, found {number} twice")
        self.numbers[what].add(number)

    def count(self, where: str, text: str) -> None:
        self.left -= len(text)
        if self.left < 0:
            raise ValueError(f"{where}: expected no more text than the file has bytes, found texts used many times")


def _record(where: str, record: Any, seen: _Seen) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected a dict, found {brief(record)}")
    found: dict[str, Any] = {name: whole(where, name, record.get(name)) for name in ("ref_id", "ann_id", "image_id")}
    seen.refuse_twice(where, "ref_id", found["ref_id"])
    if not isinstance(said := record.get("sentences"), list):
        raise ValueError(f"{where}: sentences: expected list, found {brief(said)}")
    kept = []
    for sentence in said:
        if not isinstance(sentence, dict):
            raise ValueError(f"{where}: expected sentences with sent_id, found {brief(sentence)}")
        number = whole(where, "sent_id", sentence.get("sent_id"))
        seen.refuse_twice(where, "sent_id", number)
        text = text_of(where, f"sentence {number}", sentence.get("sent"))
        seen.count(where, text)
        if text := " ".join(text.split()):
            kept.append((number, text))
    return found | {"split": text_of(where, "split", record.get("split")), "sentences": kept}


def whole(where: str, field: str, value: Any, low: int = 0, high: int = LARGEST) -> int:
    """A whole number in [low, high].

    Raises:
        ValueError: it is none; the message begins with `where` and `field`.
    """
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{where}: {field}: expected a whole number from {low} to {high}, found {brief(value)}")
    return value


def number_of(where: str, field: str, value: Any, low: float, high: float) -> float:
    """A number in [low, high]; errors as of `whole`."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"{where}: {field}: expected a number from {low:g} to {high:g}, found {brief(value)}")
    return float(value)


def text_of(where: str, field: str, value: Any, longest: int = LONGEST) -> str:
    """A text that can be written as UTF-8, of at most `longest` characters; errors as of `whole`."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: {field}: expected a text, found {brief(value)}")
    if len(value) > longest:
        raise ValueError(f"{where}: {field}: expected at most {longest:,} characters, found {len(value):,}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"found half of one in {brief(value)}"
        raise ValueError(f"{where}: {field}: expected whole letters of Unicode, {what}") from error
    return value


def brief(value: Any) -> str:
    """A value in a message: lists inside lists inside lists are never written out, as a few bytes can mean billions;
    nor are endless digits."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of about {round(value.bit_length() * 0.30103):,} digits"
    if isinstance(value, str):
        return repr(value[:60])
    return repr(value) if isinstance(value, int | float | None) else type(value).__name__
