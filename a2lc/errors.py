"""Sentences that help: what a misspelt name may have meant, and in what two configurations differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


def nearest(name: object, options: Iterable[str]) -> str:
    """Suggest the options closest to a misspelt name.

    Args:
        name: what the user wrote.
        options: the names that exist.

    Returns:
        ``"; did you mean 'camvid'?"`` or, when nothing is close, an empty string: made to end an error message.
    """
    close = difflib.get_close_matches(str(name).lower(), list(options), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


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


def explained(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong with the fields of a configuration, in one line: every field with what was expected and found."""
    lines = []
    for problem in error.errors():
        where = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, problem["loc"][:-1])
            message = f"no such field{nearest(problem['loc'][-1], known)} (known: {', '.join(known)})"
        found = "" if "found" in message or problem["type"] == "extra_forbidden" else f", found {problem['input']!r}"
        lines.append(f"{where}: {message}{found}" if where else message)
    return "; ".join(dict.fromkeys(lines))


def _fields_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        kind = model.model_fields[part].annotation
        model = next(k for k in (*get_args(kind), kind) if k is not type(None))  # of X | None: X
    return list(model.model_fields)
