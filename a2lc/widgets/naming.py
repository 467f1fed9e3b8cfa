"""Saying what a mask is while one browses: answers of the round that a run waits in."""

from __future__ import annotations

import numpy as np

from a2lc.human import CONFIRM, MIXED_MASK, Queue
from a2lc.masks import VOID, MaskSet
from a2lc.runs import Run
from a2lc.widgets.history import Event
from a2lc.widgets.keys import keys_of
from a2lc.widgets.panels import class_name

SOURCE = "browser"
"""Who answers: `undo` takes back what was said here, and no answer of an Annotator."""

SAID = {VOID: "void", MIXED_MASK: "several classes", CONFIRM: "as it is"}
"""What can be said beside a class, in words."""


class Naming:
    """The answers of the round that a run waits in, those of an Annotator among them.

    Args:
        run: of another run than one that waits for answers nothing can be said.

    Attributes:
        labels: row of the mask table -> label of every mask answered in this round.

    Raises:
        ValueError: the answers are damaged.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._queue: Queue | None = None
        self._shown: tuple[MaskSet, dict[int, int], MaskSet] | None = None  # of which masks and labels, and `masks`
        self.refresh()

    @property
    def possible(self) -> bool:
        """Whether the run waits for answers."""
        return self._queue is not None

    def refresh(self) -> None:
        """Read the answers again. Raises `ValueError` where they are damaged."""
        if self._run.waits_for != "answers":
            self._queue = None
        elif self._queue is None or self._queue.round != self._run.finished_rounds + 1:
            self._queue = Queue(self._run, SOURCE)
        else:
            self._queue.refresh()
        self.labels = {} if self._queue is None else self._queue.labels

    def say(self, image: str, mask_id: int, said: str | int) -> str:
        """Answer; `Queue.relabel` has arguments and errors.

        Returns:
            What was recorded, in words.

        Raises:
            ValueError: the run does not wait for answers; or as `Queue.relabel`.
        """
        queue = self._open()
        query = queue.relabel(image, mask_id, said)
        self.labels = queue.labels
        mixed = query.row in queue.mixed_rows
        name = "of several classes" if mixed else class_name(queue.classes, self.labels[query.row])
        return f"Mask {mask_id} is {name}: this counts when round {queue.round} goes on. U takes it back"

    def undo(self) -> str:
        """Take back the last answer given here; what was done, in words. Raises as `Queue.undo`."""
        queue = self._open()
        query = queue.undo()
        self.labels = queue.labels
        return (
            "Nothing was said here that is left" if query is None else f"Mask {query.mask_id} of {query.image}: undone"
        )

    def masks(self, masks: MaskSet) -> MaskSet:
        """The masks after the last round with these answers."""
        if self._queue is None or not self.labels:
            return masks
        if self._shown is not None and self._shown[0] is masks and self._shown[1] is self.labels:
            return self._shown[2]
        rows, labels = (np.array([*part], np.int64) for part in (self.labels.keys(), self.labels.values()))
        answered = masks.relabel(rows, labels, source="annotator", round=self._queue.round)
        self._shown = masks, self.labels, answered
        return answered

    def event(self, masks: MaskSet, row: int) -> list[Event]:
        """What was said of a mask, as the last of its events; nothing where nothing was."""
        if self._queue is None or row not in self.labels:
            return []
        before, label = int(masks.table["label"].array[row]), self.labels[row]
        return [Event(self._queue.round, "annotator", before, label, asked=True, answer=(label,))]

    def _open(self) -> Queue:
        self.refresh()
        if self._queue is None:
            raise ValueError(f"labels can be said while a run waits for answers; this one: {self._run.status}")
        return self._queue


def meant(key: str, names: tuple[str, ...]) -> str:
    """The answer that a key means; a class by its name.

    Raises:
        ValueError: no answer has this key.
    """
    own = keys_of(names)
    keys = dict(zip(own.classes, names, strict=True)) | {own.acts[said]: said for said in SAID}
    if not key or key not in keys:
        raise ValueError(f"{key}: no class has this key; the list beside the history has all classes")
    return keys[key]


def keys_told(names: tuple[str, ...]) -> str:
    """The keys of all answers, in words."""
    own = keys_of(names)
    classes = [f"{key} {name}" for key, name in zip(own.classes, names, strict=True) if key]
    return ", ".join(
        [*classes, *(f"{own.acts[said]} {words}" for said, words in SAID.items() if own.acts[said]), "Esc nothing"]
    )
