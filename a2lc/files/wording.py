"""Sentences that help: what a misspelt name may have meant, which number was expected, and in what two configurations
differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


def nearest(name: object, options: Iterable[str]) -> str:
    """Suggest the options closest to a misspelt name.

    Args:
        name: what the user wrote.
        options: the names that exist.

    Returns:
        ``"; did you mean 'camvid'?"`` or, when nothing is close, an empty string: made to end an error message.
    """
    close = difflib.get_close_matches(str(name).lower(), list(options), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def not_one_of(name: object, options: Iterable[str]) -> str:
    """``expected one of camvid, toy, found 'camvit'; did you mean 'camvid'?`` of a name that is none of the options."""
    known = list(options)
    return f"expected one of {', '.join(known)}, found {name!r}{nearest(name, known)}"


def one_line(message: object) -> str:
    """A message without line breaks: other libraries' are of several lines."""
    return " ".join(str(message).split())


def is_whole(value: object) -> bool:
    """Whether it is a whole number, of Python or NumPy; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def check_whole(value: object, name: str, low: int = 0) -> None:
    """Refuse what is no whole number >= `low`.

    Args:
        value: what was given.
        name: of the argument.
        low: the smallest that is allowed.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small.
    """
    if not is_whole(value):
        raise TypeError(f"{name}: expected a whole number >= {low}, found {value!r}")
    if int(value) < low:  # type: ignore[call-overload]
        raise ValueError(f"{name}: expected a whole number >= {low}, found {value!r}")


def differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """Sentences ``field: wanted X, found Y`` for every field in which two configurations differ."""
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: wanted {a!r}, found {b!r}")
    return lines
