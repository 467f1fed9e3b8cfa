"""The keys of an Annotator."""

from __future__ import annotations

import string

from a2lc.human import CONFIRM, MIXED_MASK, SKIP, VOID_IMAGE
from a2lc.masks import VOID

KEYS = {CONFIRM: "Enter", VOID: "v", VOID_IMAGE: "i", MIXED_MASK: "m", SKIP: "s"} | {
    "undo": "u",
    "outline": "h",
    "tint": "t",
    "neighbours": "n",
    "alike": "g",
    "find": "/",
    "best 1": ",",
    "best 2": ".",
    "best 3": "-",
    "back": "ArrowLeft",
    "on": "ArrowRight",
}
"""What can be done, beside naming a class -> its key. The looks outline, tint and neighbours, and find, are the page's
alone; best 1 to 3 are the classes that the model finds likeliest."""

ALSO = {" ": CONFIRM, "z": "undo", "Backspace": "undo"}
"""Other keys for some of it."""


def class_keys(k: int) -> list[str]:
    """A key for each of k classes: digits from 1 on, then the letters that `KEYS` and `ALSO` leave free, small and
    capital; "" where there are no more."""
    taken = {*KEYS.values(), *ALSO}
    letters = (letter for letter in string.ascii_letters if letter.lower() not in taken)
    return [*"1234567890", *letters, *[""] * k][:k]
