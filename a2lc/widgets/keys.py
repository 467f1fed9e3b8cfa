"""The keys of an Annotator."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from a2lc.files import read_json, write_json
from a2lc.human import CONFIRM, MIXED_MASK, SKIP, VOID_IMAGE
from a2lc.masks import VOID

KEYS = {CONFIRM: "Enter", VOID: "v", VOID_IMAGE: "i", MIXED_MASK: "m", SKIP: "s"} | {
    "undo": "u",
    "outline": "h",
    "tint": "t",
    "neighbours": "n",
    "alike": "g",
    "cut": "c",
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


LETTERS = "1234567890" + string.ascii_letters
"""The keys of classes, in this order."""


def class_keys(k: int) -> list[str]:
    """A key for each of k classes where nobody has set any: digits from 1 on, then the letters that `KEYS` and `ALSO`
    leave free, small and capital; "" where there are no more."""
    return _free({*KEYS.values(), *ALSO}, k)


@dataclass(frozen=True)
class Keys:
    """Who presses what.

    Attributes:
        classes: the key of each class; "" where it has none.
        acts: what can be done beside naming a class -> its key; as in `KEYS`.
        also: other keys for some of it; as in `ALSO`.
    """

    classes: list[str]
    acts: dict[str, str]
    also: dict[str, str]


def keys_of(names: Sequence[str]) -> Keys:
    """The keys of classes of these names and of all acts: those that `set_keys` has kept, and others that these leave
    free.

    Raises:
        ValueError: the file of kept keys is damaged.
    """
    own = _kept()
    acts = KEYS | {what: key for what, key in own.items() if what in KEYS}
    mine = {name: own[name] for name in names if name in own}
    chosen = {own[what] for what in own.keys() & {*KEYS, *names}}
    acts |= {what: "" for what, key in acts.items() if key in chosen and own.get(what) != key}
    also = {key: what for key, what in ALSO.items() if key not in chosen}
    rest = iter(_free({*acts.values(), *also, *mine.values()}, len(names)))
    return Keys([mine[name] if name in mine else next(rest) for name in names], acts, also)


def set_keys(keys: Mapping[str, str]) -> Path:
    """Keep keys of one's own, for every dataset from now on; an `Annotator` or `MaskBrowser` made afterwards has them.

    Args:
        keys: the name of a class, or one of `KEYS` (``confirm``, ``void``, ``void image``, ``mixed mask``, ``skip``,
            ``undo``, ...) -> one sign, as in ``{"car": "c", "confirm": "e"}``; "" forgets its key. What had the sign
            before gets another one, or, if it is no class, none.

    Returns:
        The file in which all of them are kept: ``$A2LC_KEYS``, by default ``~/.config/a2lc/keys.json``.

    Raises:
        ValueError: no single sign that can be seen, or one sign twice; or the file is damaged.
        OSError: it cannot be written.
    """
    for what, key in keys.items():
        if key and not (len(key) == 1 and key.isprintable() and key != " "):
            raise ValueError(f"{what}: expected one sign that a key has, found {key!r}")
    kept = {what: key for what, key in _kept().items() if what not in keys and key not in keys.values()}
    kept |= {what: key for what, key in keys.items() if key}
    for what, key in kept.items():
        if [*kept.values()].count(key) > 1:
            raise ValueError(f"{what}: expected a key of its own, found {key!r}, which another one has, too")
    write_json(_file(), kept)
    return _file()


def _file() -> Path:
    return Path(os.environ.get("A2LC_KEYS") or Path.home() / ".config" / "a2lc" / "keys.json")


def _kept() -> dict[str, str]:
    file = _file()
    found = read_json(file) if file.is_file() else {}
    if not isinstance(found, dict) or not all(isinstance(key, str) and len(key) == 1 for key in found.values()):
        raise ValueError(f"{file}: expected names with a sign each, found {str(found):.60}; remove it")
    return found


def _free(taken: set[str], k: int) -> list[str]:
    """k keys that are not taken, of letters neither small nor capital; "" where there are no more."""
    small = {key.lower() for key in taken if len(key) == 1}
    return [*(key for key in LETTERS if key.lower() not in small), *[""] * k][:k]
