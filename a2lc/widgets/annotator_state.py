"""What an Annotator shows and does: the question, the answers, the end of the queue. No widget here."""

from __future__ import annotations

import math
import string
import time
from typing import Any

import numpy as np

from a2lc.datasets import Dataset
from a2lc.human import CONFIRM, SKIP, VOID_IMAGE, Query, Queue
from a2lc.human.live_order import LiveOrder
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.instant.settings import FEWEST
from a2lc.masks import VOID
from a2lc.runs import Run
from a2lc.widgets.panels import class_name

KEYS = {CONFIRM: "Enter", VOID: "v", VOID_IMAGE: "i", SKIP: "s"} | {
    "undo": "u",
    "outline": "h",
    "back": "ArrowLeft",
    "on": "ArrowRight",
}
"""What can be done, beside naming a class -> its key."""


def class_keys(k: int) -> list[str]:
    """A key for each of k classes: digits from 1 on, then the letters that `KEYS` leaves free, small and capital; ""
    where there are no more."""
    taken = set(KEYS.values())
    letters = (letter for letter in string.ascii_letters if letter.lower() not in taken)
    return [*"1234567890", *letters, *[""] * k][:k]


class AnnotatorState:
    """The queue of a run's round, one question at a time.

    Args:
        run: a run that waits for answers.
        dataset: where images are read; None: the run's own. Where they are missing, `notes` says so.
        source: who answers; written with every answer.

    Attributes:
        queue: the questions and the answers so far.
        query: the one that is asked; None when all are answered or skipped.
        outlined: whether the mask's outline is drawn.
        closed: whether this round's queue has been ended here.
        notes: what is missing, in words.

    Raises:
        ValueError: the run does not wait for answers, or ``answers.jsonl`` is damaged; see `a2lc.human.Queue`.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, source: str = "person") -> None:
        self.queue = Queue(run, source)
        split, self.notes = training_images(run, dataset)
        self._pictures = MaskPictures(self.queue.masks, split)
        self._order = LiveOrder(self.queue) if run.config.is_instant else None
        self.outlined, self.closed = True, False
        self._ending = False  # whether "enough" was said once
        self.query: Query | None
        self._show(self.queue.current)

    # ---------------------------------------------------------------------------------------------- doing
    def answer(self, said: str | int) -> str:
        """Answer the question that is shown, and go on to the next one without an answer.

        Args:
            said: as `a2lc.human.Queue.answer`.

        Returns:
            What was recorded, in words.

        Raises:
            ValueError: nothing is asked, or `said` is no class; or the round has gone on.
            PermissionError: the run's folder cannot be written; nothing was recorded.
        """
        if self.query is None:
            raise ValueError("nothing is asked: all masks are answered or skipped")
        done = self.queue.answer(said, self.query, seconds=time.monotonic() - self._since)
        if self._order is not None:
            self._order.renew()
            self._show(self.queue.current)
        else:
            left = self.queue.pending
            self._show(next((query for query in left if query.position > done.position), left[0] if left else None))
        return f"Mask {done.position + 1}: {self._said(done)}"

    def undo(self) -> str:
        """Take the last answer or skip back and ask again; in words what was done.

        Raises:
            ValueError, PermissionError: as `a2lc.human.Queue.undo`.
        """
        back = self.queue.undo()
        if back is None:
            return "There is nothing to undo"
        if self._order is not None:
            self._order.renew()
            self.queue.reorder(np.array([back.row]))  # it is asked again now, whatever the new order
            back = self.queue.find(back.image, back.mask_id) or back
        self._show(back)
        said = self._said(back)
        return f"Mask {back.position + 1}: taken back" + (f"; what stood before stands again: {said}" if said else "")

    def step(self, steps: int) -> str:
        """Look at another question, answered or not; in words when there is none."""
        at = len(self.queue) if self.query is None else self.query.position
        if not 0 <= at + steps < len(self.queue):
            return f"This is the {'last' if steps > 0 else 'first'} question"
        self._show(self.queue.queries[at + steps])
        return ""

    def toggle_outline(self) -> str:
        """Hide the mask's outline, or show it again."""
        self.outlined = not self.outlined
        return ""

    def enough(self) -> str:
        """End this round's queue. Where something is not answered it must be said twice.

        Raises:
            ValueError: the round has gone on.
            PermissionError: the run's folder cannot be written.
        """
        self.queue.refresh()
        self.query = self.query and self.queue.find(self.query.image, self.query.mask_id)  # it may have moved
        left = len(self.queue.pending)
        if left and not self._ending:
            self._ending = True
            return (
                f"{left} masks without an answer go back to the pool. Press “Enough” again to end this round's queue."
            )
        self.queue.close(enough=True)
        self.query, self.closed = None, True
        return "The queue is closed. Go on with a2lc.human.next_round(run) in the next cell."

    # ---------------------------------------------------------------------------------------------- looking
    @property
    def outlook(self) -> str:
        """What is expected of all labels by now, in words; empty where the run's method does not say."""
        if self._order is None:
            return ""
        if self._order.outlook is not None:
            return str(self._order.outlook)
        if self.queue.answered + int(self.queue.masks.queried.sum()) >= FEWEST:
            return ""  # the next answers bring it, or no mask is left
        return f"After {FEWEST} answers, what to expect of all labels stands here."

    def view(self) -> dict[str, Any]:
        """What is shown, as JSON values; classes are numbers, the ignore index = void, and names."""
        queue, query = self.queue, self.query
        seconds = queue.seconds_per_answer
        counts = {"total": len(queue), "answered": queue.answered, "skipped": queue.skipped}
        view: dict[str, Any] = counts | {
            "round": queue.round,
            "left": len(queue.pending),
            "clicks_left": queue.clicks_left,
            "seconds": None if math.isnan(seconds) else seconds,
            "closed": self.closed,
            "outlook": self.outlook,
            "query": None,
            "notes": self.notes,
        }
        if query is not None:
            view["query"] = {
                "position": query.position,
                "image": query.image,
                "mask_id": query.mask_id,
                "area": query.area,
                "label": query.label,
                "name": class_name(queue.classes, query.label),
                "said": self._said(query),
                "model": [[queue.classes.index(name), share] for name, share in queue.top_classes(query)],
            }
            if not self.notes and query.image in self._pictures.notes:
                view["notes"] = [self._pictures.notes[query.image]]
        return view

    def pictures(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The mask in its image, and close up, (h, w, 3) uint8 each; None when nothing is asked."""
        if self.query is None:
            return None
        mask = self.query.image, self.query.mask_id
        return self._pictures.context(*mask, self.outlined), self._pictures.close_up(*mask, self.outlined)

    # ---------------------------------------------------------------------------------------------- inside
    def _show(self, query: Query | None) -> None:
        self.query, self.outlined, self._ending = query, True, False
        self._since = time.monotonic()

    def _said(self, query: Query) -> str:
        """The answer that stands, in words; empty where there is none."""
        answer = self.queue.answer_to(query)
        if answer is None:
            return ""
        if answer.label is None:
            return "skipped"
        if answer.whole_image:
            return "no label of this image is of use"
        name = class_name(self.queue.classes, answer.label)
        return f"{name}, confirmed" if answer.label == query.label else name
