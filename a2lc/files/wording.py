"""Sentences that help: what a misspelt name may have meant, and in what two configurations differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


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
