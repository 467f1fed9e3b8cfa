"""A question about one mask, and what may be answered."""

from __future__ import annotations

from dataclasses import dataclass

from a2lc.datasets import Classes
from a2lc.files import is_whole, nearest
from a2lc.masks import VOID

CONFIRM = "confirm"
"""Answer: the current label is right."""
SKIP = "skip"
"""Answer: ask somebody else, or later. It costs no click."""
VOID_IMAGE = "void image"
"""Answer: no label of this image is of use. One click makes all its masks void that were not answered."""
MIXED_MASK = "mixed mask"
"""Answer: there are several classes in it. Its label stays, and tells nothing of other masks."""
WORDS = (CONFIRM, VOID, VOID_IMAGE, MIXED_MASK, SKIP)
"""What one may answer beside a class: the current label is right; no class is; no label of the image is of use; there
are several classes in the mask; ask somebody else, or later."""


@dataclass(frozen=True)
class Query:
    """One mask that is asked about.

    Attributes:
        position: in the queue, counted from 0; the most suspicious mask comes first.
        row: of the mask table.
        image, mask_id: the mask.
        label: its current label, the ignore index = void.
        score: of the acquisition function.
        area: pixels.
    """

    position: int
    row: int
    image: str
    mask_id: int
    label: int
    score: float
    area: int


def label_meant(said: str | int, query: Query, classes: Classes) -> int | None:
    """The label that an answer to `query` means: 0..K-1, the ignore index = void, or None = skip.

    Raises:
        ValueError: an unknown class.
    """
    if not isinstance(said, str):
        if is_whole(said) and 0 <= said < len(classes):
            return int(said)
        known = f"a name, 0..{len(classes) - 1} or {', '.join(WORDS)}"
        raise ValueError(f"unknown class {said} (expected {known})")
    words = {CONFIRM: query.label, MIXED_MASK: query.label, SKIP: None}
    words |= dict.fromkeys((VOID, VOID_IMAGE), classes.ignore_index)
    if said in words:
        return words[said]
    if said in classes.names:
        return classes.index(said)
    raise ValueError(f"unknown class {said!r}{nearest(said, (*classes.names, *WORDS))}")
