"""Reading ``refs(unc).p``: the one pickle that this package reads, and only as data.

The annotations of RefCOCO are published as pickles, which in general may run anything. Here the file's opcodes are
looked at first: whatever could import, call or build an object is refused before anything is loaded, and the loader
itself knows no class.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, NoReturn

_DATA_ONLY = """
PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 EMPTY_LIST APPEND APPENDS LIST
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT
MEMOIZE
"""
DATA_ONLY = frozenset(_DATA_ONLY.split())
"""Opcodes that make numbers, texts, lists, tuples and dicts, and nothing else."""


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
        ValueError: the file is no pickle of data alone, is damaged, or a record is not as expected; the message names
            file and record.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; it is in the archives of lichengunc/refer")
    content = file.read_bytes()
    try:
        for opcode, argument, offset in pickletools.genops(content):
            if opcode.name not in DATA_ONLY:
                what = f"found the instruction {opcode.name} at byte {offset}, which could run a program"
                raise _NotData(f"{file}: expected a pickle of numbers, texts, lists and dicts only, {what}")
            if (
                "PUT" in opcode.name and argument is not None and int(argument) > len(content)
            ):  # memory is laid out for all numbers below it
                raise _NotData(f"{file}: damaged pickle (place {argument} at byte {offset} is beyond the file)")
    except _NotData:
        raise
    except Exception as error:  # pickletools raises what it comes across
        raise ValueError(f"{file}: damaged or no pickle ({error})") from error
    try:
        records = _DataOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a pickle of data that does not fit together may raise anything
        raise ValueError(f"{file}: damaged pickle ({error})") from error
    if not isinstance(records, list):
        raise ValueError(f"{file}: expected a list of records, found {type(records).__name__}")
    checked = [_record(file, number, record) for number, record in enumerate(records)]
    _refuse_twice(file, "ref_id", [record["ref_id"] for record in checked])
    _refuse_twice(file, "sent_id", [number for record in checked for number, _ in record["sentences"]])
    return checked


def _record(file: Path, number: int, record: Any) -> dict[str, Any]:
    where = f"{file}, record {number}"
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected a dict, found {type(record).__name__}")
    found: dict[str, Any] = {}
    for field, kind in {"ref_id": int, "ann_id": int, "image_id": int, "split": str, "sentences": list}.items():
        value = record.get(field)
        if type(value) is not kind:
            raise ValueError(f"{where}: {field}: expected {kind.__name__}, found {_brief(value)}")
        found[field] = value
    said = [_sentence(where, sentence) for sentence in found["sentences"]]
    return found | {"sentences": [(number, text) for number, text in said if text]}


def _sentence(where: str, sentence: Any) -> tuple[int, str]:
    if not isinstance(sentence, dict) or type(sentence.get("sent_id")) is not int:
        raise ValueError(f"{where}: expected sentences with sent_id, found {_brief(sentence)}")
    if not isinstance(text := sentence.get("sent"), str):
        raise ValueError(f"{where}: sentence {sentence['sent_id']}: expected a text, found {_brief(text)}")
    return sentence["sent_id"], " ".join(text.split())


def _brief(value: Any) -> str:
    """Lists inside lists inside lists are never written out: a few bytes can mean billions."""
    return repr(value)[:60] if isinstance(value, str | int | float | None) else type(value).__name__


def _refuse_twice(file: Path, what: str, numbers: list[int]) -> None:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            raise ValueError(f"{file}: expected every {what} once, found {number} twice")
        seen.add(number)
