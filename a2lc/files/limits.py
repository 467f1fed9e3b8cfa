"""How large a thing may be that is read: it is looked at before memory is taken. One option raises all limits."""

from __future__ import annotations

import os
from typing import Literal

OPTION = "A2LC_LIMITS"
"""Environment variable: how many times the limits."""

Limit = Literal["pixels", "bytes", "rows", "characters", "levels"]
LIMITS: dict[Limit, tuple[int, str]] = {
    "pixels": (2**27, "pixels in one picture"),  # 11,585 x 11,585
    "bytes": (2**32, "bytes"),  # of a file, or of what it holds when it is unpacked
    "rows": (50_000_000, "rows in one table"),
    "characters": (2**17 - 1, "characters in one cell"),
    "levels": (50, "levels of values in values"),
}
"""The largest that is taken, and what it counts."""


class TooLargeError(ValueError):
    """Something is larger than is taken."""


def limit_of(kind: Limit) -> int:
    """The largest that is taken, as often as the option says.

    Raises:
        ValueError: the option is no number > 0.
    """
    said = os.environ.get(OPTION) or "1"
    try:
        times = float(said)
        if not 0 < times < 1e9:
            raise ValueError
    except ValueError:
        raise ValueError(f"{OPTION}: expected how many times the limits, such as 4, found {said!r}") from None
    return int(LIMITS[kind][0] * times)


def check_limit(kind: Limit, found: int, where: object = None) -> None:
    """Refuse what is larger than a limit.

    Args:
        kind: which limit.
        found: how large it is.
        where: what the message begins with, such as a file.

    Raises:
        TooLargeError: it is too large; says how to raise the limit.
    """
    if found > (most := limit_of(kind)):
        begins = "" if where is None else f"{where}: "
        times = -(-found // max(LIMITS[kind][0], 1))
        what = f"expected at most {most:,} {LIMITS[kind][1]}, found {found:,}"
        raise TooLargeError(f"{begins}{what}; where that is right, raise all limits: {OPTION}={times}")
