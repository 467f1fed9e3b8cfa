"""What an Annotator shows and does: the question, the answers, the end of the queue. No widget here."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from a2lc.datasets import Dataset
from a2lc.human import VOID_IMAGE, Query, Queue
from a2lc.human.cutting import Cutting
from a2lc.human.live_order import LiveOrder
from a2lc.human.look_alikes import LookAlikes
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.instant.settings import FEWEST
from a2lc.runs import Run
from a2lc.runs.answers import Answer
from a2lc.widgets.cards import Cards
from a2lc.widgets.panels import class_name

AHEAD = 6
"""Questions after the one that is shown whose order stays, so that the page can have their pictures ready."""


class AnnotatorState:
    """The queue of a run's round, one question at a time.

    Args:
        run: a run that waits for answers.
        dataset: where images are read; None: the run's own. Where they are missing, `notes` says so.
        source: who answers; written with every answer.

    Attributes:
        queue: the questions and the answers so far.
        query: the one that is asked; None when all are answered or skipped.
        group: questions that are answered at once, the one that is shown first; empty: it is asked alone.
        cutting: the mask that is being cut in pieces; None: none is.
        cards: pictures of questions, for the page.
        closed: whether this round's queue has been ended here.
        notes: what is missing, in words.
        follows: what to do when the queue has ended, in words.

    Raises:
        ValueError: the run does not wait for answers, or ``answers.jsonl`` is damaged; see `a2lc.human.Queue`.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, source: str = "person") -> None:
        self.queue = Queue(run, source)
        split, self.notes = training_images(run, dataset)
        self._pictures = MaskPictures(self.queue.masks, split)
        self.cards = Cards(self.queue.masks, self._pictures)
        self._alike = LookAlikes(self.queue)
        self._order = LiveOrder(self.queue) if run.config.is_instant else None
        self.closed, self.follows = False, "Go on with a2lc.human.next_round(run) in the next cell."
        self._ending = False  # whether "enough" was said once
        self.query: Query | None
        self.group: list[Query]
        self.cutting: Cutting | None
        self._show(self.queue.current)

    # ---------------------------------------------------------------------------------------------- doing
    def answer(
        self, said: str | int, query: Query | None = None, *, seconds: float | None = None, renew: bool = True
    ) -> str:
        """Answer a question, and go on to the next one without an answer.

        Args:
            said: as `a2lc.human.Queue.answer`.
            query: which; None: the one that is shown.
            seconds: how long that took; None: since it was shown.
            renew: whether to `renew` the order of the questions; if not, that is left for a moment with time for it.

        Returns:
            What was recorded, in words.

        Raises:
            ValueError: nothing is asked, or `said` is no class; or the round has gone on.
            PermissionError: the run's folder cannot be written; nothing was recorded.
        """
        if (query := query or self.query) is None:
            raise ValueError("nothing is asked: all masks are answered or skipped")
        took = time.monotonic() - self._since if seconds is None else seconds
        done = self.queue.answer(said, query, seconds=took)
        self._show(self._next(done))
        if renew:
            self.renew()
        return f"Mask {done.position + 1}: {self._said(done)}{self._instead(done)}"

    def renew(self) -> None:
        """Where the run's method does so, put the questions into a new order by the answers so far: all but those that
        the page was told to come.

        Raises:
            FileNotFoundError, ValueError: features of masks are gone or damaged.
        """
        if self._order is None:
            return
        coming = [query for query in (self.query, *self.ahead) if query]
        self._order.renew()
        self._keep(coming)
        if (shown := self.query) is not None:
            self.query = self.queue.find(shown.image, shown.mask_id)  # its place may be another

    def look_alikes(self, query: Query | None = None) -> str:
        """Show questions like one, by default the one that is shown, to be answered at once, or no longer; in words
        what is to be done.

        Raises:
            FileNotFoundError, ValueError: the features of masks are gone or damaged.
        """
        if self.group or (query := query or self.query) is None:
            self.group = []
            return ""
        self._show(query)
        self.group = self._alike.of(query)
        if len(self.group) == 1:
            self.group = []
            return "No other question is about such a mask"
        return f"{len(self.group)} masks with this label: take out those that differ, then one key answers the rest"

    def answer_group(self, said: str | int, queries: list[Query], *, seconds: float | None = None) -> str:
        """Answer several questions alike; each is recorded as an answer of its own, and one `undo` takes all back.

        Args:
            said: as `a2lc.human.Queue.answer`, but no ``void image``.
            queries: which, at least one.
            seconds: how long all of them took; None: since they were shown.

        Returns:
            What was recorded, in words.

        Raises:
            ValueError, PermissionError: as `answer`; nothing was recorded then.
        """
        if said == VOID_IMAGE or not queries:
            raise ValueError("expected masks and a class, confirm, void or skip; whole images are answered one by one")
        took = time.monotonic() - self._since if seconds is None else seconds
        first = self.query or queries[0]
        self.queue.answer_many([(query, said) for query in queries], took / len(queries), together=True)
        here = first if self.queue.answer_to(first) is None else None  # it was taken out: asked on its own
        self._show(here or self._next(first))
        self.renew()
        return f"{len(queries)} masks at once: {self._said(queries[-1])}{self._instead(*queries)}"

    def cut(self, query: Query, pieces: int = 0, line: Sequence[tuple[float, float]] = ()) -> str:
        """Begin to cut a mask in pieces, or go on with it.

        Args:
            query: the mask.
            pieces: about how many, along borders in the picture.
            line: points of a line to cut along, x and y as shares of `Cutting.picture`, instead of that.

        Returns:
            What is to be done, in words.

        Raises:
            ValueError: the mask cannot be cut in this way; or as `a2lc.human.cutting.Cutting`.
            FileNotFoundError: as there.
        """
        now = self.cutting
        cutting = now if now is not None and now.query.row == query.row else Cutting(self._pictures, query)
        if line:
            cutting.along_line(line)
        else:
            cutting.along_borders(pieces)
        self._show(query)
        self.cutting = cutting
        return f"{cutting.count} pieces: a key for each"

    def answer_pieces(self, labels: list[str | int], number: int | None = None, *, seconds: float | None = None) -> str:
        """Record the pieces of the mask that is being cut, a label each, as the answer to its question.

        Args:
            labels: a class (name or number), ``confirm`` or ``void`` each.
            number: of the pieces that were seen (`Cutting.number`); None: those of now.
            seconds: how long that took; None: since the last pieces were shown.

        Returns:
            What was recorded, in words.

        Raises:
            ValueError: no mask is being cut, or in other pieces by now; another number of labels than pieces; or
                as `a2lc.human.Queue.cut`.
            PermissionError: as `answer`.
        """
        if (cutting := self.cutting) is None:
            raise ValueError("no mask is being cut")
        if number not in (None, cutting.number):
            raise ValueError("the mask is cut in other pieces by now")
        took = time.monotonic() - self._since if seconds is None else seconds
        self.queue.cut(cutting.query, cutting.in_image(), labels, seconds=took)
        done = self.queue.find(cutting.query.image, cutting.query.mask_id) or cutting.query
        self._show(self._next(done))
        self.renew()
        return f"Mask {done.position + 1}: {self._said(done)}{self._instead(done)}"

    def leave_whole(self) -> str:
        """Cut no mask."""
        self.cutting = None
        return ""

    def undo(self) -> str:
        """Take the last answer or skip back and ask again; in words what was done.

        Raises:
            ValueError, PermissionError: as `a2lc.human.Queue.undo`.
        """
        coming = [query for query in (self.query, *self.ahead) if query]
        self.queue.refresh()
        before = self.queue.answered + self.queue.skipped
        back = self.queue.undo()
        if back is None:
            return "There is nothing to undo"
        if self._order is not None:
            self._order.renew()
            self._keep([back, *coming])  # it is asked again now, whatever the new order
            back = self.queue.find(back.image, back.mask_id) or back
        self._show(back)
        said, freed = self._said(back), before - self.queue.answered - self.queue.skipped
        if freed > 1:
            return f"{freed} masks: taken back together"
        return f"Mask {back.position + 1}: taken back" + (f"; what stood before stands again: {said}" if said else "")

    def step(self, steps: int) -> str:
        """Look at another question, answered or not; in words when there is none."""
        at = len(self.queue) if self.query is None else self.query.position
        if not 0 <= at + steps < len(self.queue):
            return f"This is the {'last' if steps > 0 else 'first'} question"
        self._show(self.queue.queries[at + steps])
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
        return f"The queue is closed. {self.follows}"

    # ---------------------------------------------------------------------------------------------- looking
    @property
    def of_round(self) -> Queue:
        """The queue."""
        return self.queue

    @property
    def left(self) -> int:
        """How many questions are neither answered nor skipped."""
        return len(self.queue.pending)

    @property
    def ahead(self) -> list[Query]:
        """The questions that follow if the one that is shown is answered, at most `AHEAD`."""
        if (shown := self.query) is None:
            return []
        left = [query for query in self.queue.pending if query.row != shown.row]
        if self._order is None:  # what is left behind comes when the end is reached
            left.sort(key=lambda query: query.position < shown.position)
        return left[:AHEAD]

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
            "left": self.left,
            "clicks_left": queue.clicks_left,
            "seconds": None if math.isnan(seconds) else seconds,
            "closed": self.closed,
            "follows": self.follows,
            "outlook": self.outlook,
            "query": None,
            "notes": self.notes,
        }
        view["others"] = queue.others
        view["group"] = [self._about(query) for query in self.group]
        view["cut"] = None if self.cutting is None else [self.cutting.number, self.cutting.count]
        view["ahead"] = [self._about(query) for query in self.ahead]
        if query is not None:
            view["query"] = self._about(query)
            if not self.notes and query.image in self._pictures.notes:
                view["notes"] = [self._pictures.notes[query.image]]
        return view

    def pictures(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The mask in its image, and close up, (h, w, 3) uint8 each; None when nothing is asked."""
        if self.query is None:
            return None
        mask = self.query.image, self.query.mask_id
        return self._pictures.context(*mask), self._pictures.close_up(*mask)

    # ---------------------------------------------------------------------------------------------- inside
    def _show(self, query: Query | None) -> None:
        self.query, self.group, self.cutting, self._ending = query, [], None, False
        self._since = time.monotonic()

    def _next(self, done: Query) -> Query | None:
        """What is asked after an answer."""
        if self._order is not None:
            return self.queue.current
        left = self.queue.pending
        return next((query for query in left if query.position > done.position), left[0] if left else None)

    def _keep(self, coming: list[Query]) -> None:
        self.queue.reorder(np.array([query.row for query in coming], dtype=np.int64))

    def _about(self, query: Query) -> dict[str, Any]:
        """A question, as JSON values."""
        queue = self.queue
        return {
            "position": query.position,
            "image": query.image,
            "mask_id": query.mask_id,
            "area": query.area,
            "label": query.label,
            "name": class_name(queue.classes, query.label),
            "said": self._said(query),
            "model": [[queue.classes.index(name), share] for name, share in queue.top_classes(query)],
        }

    def _instead(self, *queries: Query) -> str:
        """What somebody else had just said of these masks, in words."""
        masks = {(query.image, query.mask_id) for query in queries}
        theirs = [a for a in self.queue.meanwhile if a.mask in masks]
        if not theirs:
            return ""
        return f". Somebody else had just said: {self._words(theirs[-1])}; yours, the later answer, counts"

    def _said(self, query: Query) -> str:
        """The answer that stands, in words; empty where there is none."""
        answer = self.queue.answer_to(query)
        if answer is None:
            return ""
        confirmed = answer.label == query.label and not (answer.whole_image or answer.mixed)
        return self._words(answer) + (", confirmed" if confirmed else "")

    def _words(self, answer: Answer) -> str:
        """An answer, in words."""
        if answer.label is None:
            return "skipped"
        if answer.whole_image:
            return "no label of this image is of use"
        if answer.mixed:
            return f"cut in {len(answer.cut.labels)} pieces" if answer.cut else "several classes in it"
        return class_name(self.queue.classes, answer.label)
