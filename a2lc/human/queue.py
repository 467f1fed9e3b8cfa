"""A person instead of the oracle: the queue of one round.

A run with ``annotator="human"`` stops when it has chosen its queries. `Queue` shows them in order and takes the
answers; each is a line of ``answers.jsonl`` (`a2lc.runs.answers`) before the call returns, so nothing is lost when
a tab is closed or a process dies. Two queues of the same round, in two tabs, see each other's answers; the later one
about a mask wins. As a table to fill in: `a2lc.human.queue_csv`.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from a2lc.files import AppendLog, Record, timestamp
from a2lc.human.query import MIXED_MASK, SKIP, VOID_IMAGE, Query, label_meant
from a2lc.human.queue_order import QueueOrder
from a2lc.human.sessions import announce, is_elsewhere, this_session
from a2lc.masks import VOID, label_names
from a2lc.masks.cuts import Cut
from a2lc.runs.answers import Answer, answers_table, kept, standing
from a2lc.runs.stage_folder import AUDITED

if TYPE_CHECKING:
    from a2lc.runs import Run


class Queue:
    """The queries of the round that a run waits in, and the answers so far.

    Args:
        run: a run that waits for answers.
        source: who answers; written with every answer.

    Attributes:
        round: the round.
        masks: all masks with the labels before this round.
        classes: the class list.
        meanwhile: what others had said, between the last look and the last answer that was recorded here.

    Raises:
        ValueError: the run does not wait for answers; or ``answers.jsonl`` holds a line that is damaged (but for the
            last one, which a warning names), or about a mask that is not asked about.
    """

    def __init__(self, run: Run, source: str = "person") -> None:
        self.run = run
        self.source = source
        self.round = run.finished_rounds + 1
        self._folder = run.folder(self.round)  # read once: another process may go on at any moment
        if run.finished or self._folder.state.waits_for != "answers":
            raise ValueError(f"{run.path}: expected a run that waits for answers, found: {run.status}")
        self.masks = run.masks(self.round - 1)
        self.classes = self.masks.classes
        self._stage = AUDITED if self._folder.done("answered") else "answered"
        self._log = AppendLog(self._folder.path / "answers.jsonl")
        rows, scores = self._folder.queried_rows(), self._folder.scores()
        self._order = QueueOrder(self.masks, scores, rows, moves=run.config.is_instant)
        self._since = time.monotonic()
        self.meanwhile: list[Answer] = []
        self._read: list[tuple[Record, Answer]] = []
        self.refresh()

    @property
    def queries(self) -> tuple[Query, ...]:
        """All queries, in order."""
        return self._order.queries

    def __len__(self) -> int:
        return len(self.queries)

    def __repr__(self) -> str:
        left = f"{self.answered} answered, {self.skipped} skipped, {len(self.pending)} left"
        audits = f", {number} of them about what the LCM wants to change" if (number := self.audits) else ""
        return f"Queue(round {self.round}: {len(self)} masks{audits}, {left})"

    # ---------------------------------------------------------------------------------------------- looking
    def refresh(self) -> None:
        """Read the answers again: another tab may have added some. Raises `ValueError` as `Queue`."""
        self._set(self._log.read())

    @property
    def pending(self) -> list[Query]:
        """The queries that are neither answered nor skipped, in order; none of an image that is void as a whole."""
        left = (query for query in self.queries if query.image not in self._discarded)
        return [query for query in left if (query.image, query.mask_id) not in self._standing]

    @property
    def current(self) -> Query | None:
        """The first of those; None when the queue is empty."""
        return next(iter(self.pending), None)

    @property
    def answered(self) -> int:
        """Number of masks answered of those asked about: the clicks of this round."""
        return sum(answer.label is not None for answer in self._asked.values())

    @property
    def skipped(self) -> int:
        """Number of masks skipped; they cost no click and stay in the pool."""
        return len(self._asked) - self.answered

    @property
    def found(self) -> dict[tuple[str, int], int]:
        """Image and mask id -> label of the masks that nobody asked about (`relabel`)."""
        return {mask: a.label for mask, a in self._standing.items() if mask not in self._asked and a.label is not None}

    @property
    def labels(self) -> dict[int, int]:
        """Row of the mask table -> label of all masks answered, `found` ones included."""
        return {self.masks.row(*mask): a.label for mask, a in self._standing.items() if a.label is not None}

    @property
    def discarded_rows(self) -> np.ndarray:
        """(n,) int64 row numbers of the masks of which it was said that no label of their image is of use."""
        said = [self.masks.row(*answer.mask) for answer in self._standing.values() if answer.whole_image]
        return np.array(said, dtype=np.int64)

    @property
    def mixed_rows(self) -> np.ndarray:
        """(n,) int64 row numbers of the masks in which several classes were found."""
        said = [self.masks.row(*answer.mask) for answer in self._standing.values() if answer.mixed]
        return np.array(said, dtype=np.int64)

    @property
    def cuts(self) -> dict[int, Cut]:
        """Row of the mask table -> how it was cut."""
        return {self.masks.row(*answer.mask): answer.cut for answer in self._standing.values() if answer.cut}

    @property
    def others(self) -> int:
        """How many answers of this round are from other processes that are still there, such as that of another tab."""
        said = [*self._standing.values()]
        elsewhere = self._elsewhere(said)
        return sum(answer.session in elsewhere for answer in said)

    @property
    def audits(self) -> int:
        """Number of masks that are asked about because the LCM wants to change them (`LCMSettings.audit`)."""
        return len(self._folder.audits()[0])

    @property
    def clicks_left(self) -> int:
        """What is left of the round's budget; skipped masks do not use it up."""
        return len(self) - self.answered

    @property
    def seconds_per_answer(self) -> float:
        """Median over the answers whose time was measured, skips left out; NaN where there is none."""
        seconds = [a.seconds for a in self._asked.values() if a.label is not None and a.seconds is not None]
        return float(np.median(seconds)) if seconds else float("nan")

    @property
    def table(self) -> pd.DataFrame:
        """A row per query: position, image, mask_id, row, area, score, label and answer (class names, void,
        void image or mixed mask; empty where there is none), state (pending, answered, skipped; void: its image is),
        source and seconds of the answer."""
        names, rows = label_names(self.classes), []
        for query in self.queries:
            answer = self.answer_to(query)
            said = "" if answer is None or answer.label is None else names[answer.label]
            if answer is not None and (answer.whole_image or answer.mixed):
                said = VOID_IMAGE if answer.whole_image else MIXED_MASK
            waits = VOID if query.image in self._discarded else "pending"
            state = waits if answer is None else "skipped" if answer.label is None else "answered"
            about = (answer.source, answer.seconds) if answer else ("", None)
            mask = (query.position, query.image, query.mask_id, query.row, query.area, query.score)
            rows.append((*mask, names[query.label], said, state, *about))
        columns = ["position", "image", "mask_id", "row", "area", "score", "label", "answer", "state"]
        return pd.DataFrame(rows, columns=[*columns, "source", "seconds"])

    def answer_to(self, query: Query) -> Answer | None:
        """The answer or skip (label None) that stands for a query."""
        return self._standing.get((query.image, query.mask_id))

    def stands(self, query: Query, said: str | int) -> bool:
        """Whether this answer to a query stands already. Raises `ValueError` where it is none."""
        label, answer = self.label_of(said, query), self.answer_to(query)
        if answer is None:
            return False
        return answer.label == label and all(getattr(answer, name) == flag for name, flag in _flags(said).items())

    def find(self, image: str, mask_id: int) -> Query | None:
        """The query about a mask. Where the order changes, every mask that was not asked about in an earlier round may
        be answered, one that is not in the queue as if it came last; None: this one may not.
        """
        return self._order.find(image, mask_id)

    def top_classes(self, query: Query, most: int = 3) -> list[tuple[str, float]]:
        """The `most` classes that the model of the last round finds likeliest, with its mean probability over the mask,
        in [0, 1]; empty where the features kept are no probabilities (``scoring.features``).

        Raises:
            FileNotFoundError, ValueError: as `RoundFolder.working`.
        """
        if self.run.config.scoring.features != "probabilities":
            return []
        probs = self._features[query.row]
        return [(self.classes.names[k], float(probs[k])) for k in np.argsort(-probs, kind="stable")[:most]]

    def features(self) -> np.ndarray:
        """(M, C) float what corrections know of all masks: features of `method: instant`, else mean probabilities, or
        what ``scoring.features`` names.

        Raises:
            FileNotFoundError, ValueError: they are gone or damaged.
        """
        if not self.run.config.is_instant:
            return self._features
        from a2lc.instant import kept_features  # needs PyTorch, which a look at a queue does not

        return kept_features(self.run.initial, self.run.config.instant.features)

    def reorder(self, rows: np.ndarray) -> None:
        """Ask about these masks next, in this order, as far as they are not answered or skipped and clicks are left.

        Args:
            rows: (n,) row numbers of the mask table.

        Raises:
            ValueError: the run's method asks about the masks that it chose when the round began.
        """
        if not self.run.config.is_instant:
            raise ValueError(f"{self.run.path}: its queue has one order, only `method: instant` changes it")
        self._order.put_first(rows.tolist())
        self._arrange()

    # ---------------------------------------------------------------------------------------------- answering
    def answer(self, said: str | int, position: Query | int | None = None, *, seconds: float | None = None) -> Query:
        """Record an answer; it is on disk when this returns.

        Args:
            said: a class (name or number), ``confirm``, ``void``, ``void image``, ``mixed mask`` or ``skip``.
            position: which query, or its position; the current one by default. One answered or skipped before gets a
                new answer. Where the order changes, a position may be another mask's by now: give the query.
            seconds: how long it took; by default the time since the last answer, or since this queue was opened.

        Returns:
            The query that was answered.

        Raises:
            ValueError: an unknown class (the nearest is suggested), no such position, an empty queue, a round that has
                gone on meanwhile, or `seconds` that are no time.
            PermissionError: the run's folder cannot be written; nothing was recorded.
            OSError: the disk is full; nothing was recorded.
        """
        query = self.current if position is None else self._at(position)
        if query is None:
            raise ValueError(f"round {self.round}: the queue is empty; a position gives a mask a new answer")
        took = time.monotonic() - self._since if seconds is None else seconds
        self.answer_many([(query, said)], took)
        self._since = time.monotonic()
        return query

    def answer_many(
        self,
        said: Iterable[tuple[Query | int, str | int]],
        seconds: float | None = None,
        *,
        together: bool = False,
        again: bool = True,
    ) -> int:
        """Record several answers at once: (query or position, class or word) each; all of them or none. Arguments and
        errors are those of `answer`; `seconds`, of each, None where nobody measured. Those given `together` are one
        decision: `undo` takes all of them back. What stands already is recorded `again`, or left out.

        Returns:
            How many were recorded.
        """
        took = _measured(seconds)
        given = [(query := self._at(position), self.label_of(word, query), word) for position, word in said]
        batch = f"{timestamp()} {secrets.token_hex(3)}" if together else ""

        def answers(records: list[Record]) -> list[Answer]:
            if not again:
                self._set(records)
            new = (one for one in given if again or not self.stands(one[0], one[2]))
            return [self._answer(query, label, took, **_flags(word), batch=batch) for query, label, word in new]

        return self._record(answers)

    def cut(
        self, query: Query, pieces: np.ndarray, labels: Sequence[str | int], *, seconds: float | None = None
    ) -> None:
        """Answer that a mask is of several classes, and of which: like ``mixed mask``, it costs one click, and nothing
        is learnt from it; but its pieces are labelled, trained on, and written out as masks of their own.

        Args:
            query: the mask.
            pieces: (H, W) integers: of each of its pixels the piece, counted from 0; other pixels are not looked at.
            labels: of each piece: a class (name or number), ``confirm``, the label that the mask has, or ``void``.
            seconds: how long it took; None: nobody measured.

        Raises:
            ValueError: one piece only, a piece without pixels or label, an unknown class; or as `answer`.
            PermissionError, OSError: as `answer`.
        """
        asked = self._at(query)
        inside = self.masks.object_map(asked.image) == asked.mask_id
        if (pieces := np.asarray(pieces)).shape != inside.shape:
            raise ValueError(f"pieces: expected {inside.shape}, as the image has, found {pieces.shape}")
        if said := {SKIP, VOID_IMAGE, MIXED_MASK} & {word for word in labels if isinstance(word, str)}:
            raise ValueError(f"labels: expected classes, confirm or void, found {min(said)}")
        meant = [self.label_of(word, asked) for word in labels]
        found = Cut.of(pieces[inside], [label for label in meant if label is not None])
        took = _measured(seconds)
        self._record(lambda _: [self._answer(asked, asked.label, took, mixed=True, cut=found)])
        self._since = time.monotonic()

    def relabel(self, image: str, mask_id: int, said: str | int) -> Query:
        """Say what a mask is that one happens to see, whether it is asked about or not. If not, it costs nothing of the
        budget; the label counts when the round goes on, the LCM learns from it, and nobody is asked about the mask.

        Args:
            image, mask_id: the mask.
            said: a class (name or number), ``confirm``, ``void`` or ``mixed mask``.

        Returns:
            The mask.

        Raises:
            ValueError: no such mask, or it was answered in an earlier round; an unknown class; corrections are
                audited, and it is not asked about; or the round has gone on.
            PermissionError, OSError: as `answer`.
        """
        if (asked := self._order.asked(image, mask_id)) is not None:
            self.answer_many([(asked, said)])
            return asked
        if self._stage == AUDITED:
            what = "corrections are audited now, and only what is asked about can be answered"
            raise ValueError(f"round {self.round}: {what}")
        self.masks.row(image, mask_id)  # raises where there is none
        if (query := self._order.free(image, mask_id, position=len(self.found))) is None:
            raise ValueError(f"image {image!r}, mask {mask_id}: was answered in an earlier round")
        if said in (SKIP, VOID_IMAGE):
            raise ValueError(
                f"image {image!r}, mask {mask_id}: expected a class, confirm, void or mixed mask, found {said}"
            )
        self._record(lambda _: [self._answer(query, self.label_of(said, query), None, **_flags(said), found=True)])
        return query

    def undo(self) -> Query | None:
        """Take back the last answer or skip of this source, or all that it gave together with it; what was said of the
        masks before, by whomever, then counts. What another process has said that is still there, as in another tab, is
        its own to take back.

        Returns:
            The query it was about, the first of several; None where there is nothing to take back.

        Raises:
            ValueError, PermissionError, OSError: as `answer`.
        """
        taken: list[tuple[Query, Answer]] = []

        def last(records: list[Record]) -> list[Record]:
            self._check_open()
            left = kept(self._answers(records))
            mine = [answer for answer in left if answer.source == self.source and self._about(answer)]
            elsewhere = self._elsewhere(mine)
            mine = [answer for answer in mine if answer.session not in elsewhere]
            if not mine:
                return []
            together = [answer for answer in mine if answer.batch and answer.batch == mine[-1].batch] or mine[-1:]
            taken.extend((query, answer) for answer in together if (query := self._about(answer)))
            return [
                self._answer(query, None, None, undo=True, found=back.found, session=back.session).record()
                for query, back in taken
            ]

        records = self._log.update(last)
        self._order.put_first([query.row for query, back in taken if not back.found])
        self._set(records)
        self._since = time.monotonic()
        return next((self.find(query.image, query.mask_id) or query for query, _ in taken), None)

    def label_of(self, said: str | int, query: Query) -> int | None:
        """The label that an answer to `query` means: 0..K-1, the ignore index = void, or None = skip.

        Raises:
            ValueError: an unknown class.
        """
        return label_meant(said, query, self.classes)

    def close(self, enough: bool = False) -> None:
        """End the queue: masks without an answer go back to the pool, and the round may go on.

        Args:
            enough: although some are neither answered nor skipped.

        Raises:
            ValueError: some are left, or the round has gone on already.
            PermissionError: the run's folder cannot be written.
        """

        def close(records: list[Record]) -> list[Record]:
            self._check_open()
            self._set(records)
            if self.pending and not enough:
                left = f"{len(self.pending)} of {len(self)} masks are not answered"
                how = "answer or skip them, or give them back to the pool with --enough (in Python enough=True)"
                raise ValueError(f"round {self.round}: {left}: {how}")
            final = answers_table(self._answers(records))
            masks = zip(final["image"], final["mask_id"], strict=True)
            rows = np.array([self.masks.row(*mask) for mask in masks], dtype=np.int64)
            self._folder.write_queries(rows, self._folder.audits())
            took = sum(answer.seconds or 0.0 for answer in self._standing.values())
            earlier = self._folder.state.finished.get("answered", 0.0)  # before audits
            self._folder.end(self._stage, seconds=max(0.0, took - earlier))
            return []

        self._log.update(close)

    # ---------------------------------------------------------------------------------------------- inside
    @cached_property
    def _features(self) -> np.ndarray:
        """(M, K) float32 mean probabilities of all masks."""
        return self._folder.working("feature")

    def _arrange(self) -> None:
        self._order.arrange(self._standing, self._discarded)
        self._asked = {mask: answer for mask, answer in self._standing.items() if self._order.asked(*mask)}

    def _at(self, position: Query | int) -> Query:
        if isinstance(position, Query):
            if (query := self.find(position.image, position.mask_id)) is None:
                what = f"image {position.image!r}, mask {position.mask_id} is not asked about"
                raise ValueError(f"round {self.round}: {what}")
            return query
        if not 0 <= position < len(self):
            raise ValueError(f"round {self.round}: expected a position in 0..{len(self) - 1}, found {position}")
        return self.queries[position]

    def _about(self, answer: Answer) -> Query | None:
        """The mask of an answer; None: this one may not be answered."""
        asked = self.find(*answer.mask)
        return asked if asked is not None or not answer.found else self._order.free(*answer.mask, answer.position)

    def _answer(self, query: Query, label: int | None, seconds: float | None, **more: Any) -> Answer:
        more = {"session": this_session()} | more
        return Answer(query.image, query.mask_id, label, query.position, timestamp(), seconds, self.source, **more)

    def _elsewhere(self, answers: Iterable[Answer]) -> set[str]:
        """The sessions of these answers that are those of other processes which are still there."""
        sessions = {answer.session for answer in answers}
        return {session for session in sessions if is_elsewhere(self._folder.path, session)}

    def _record(self, answers: Callable[[list[Record]], list[Answer]]) -> int:
        """Write answers, all of them or none, which are made of what others have said while nobody else writes; how
        many there were."""
        made: list[Answer] = []
        announce(self._folder.path)

        def add(records: list[Record]) -> list[Record]:
            self._check_open()
            self.meanwhile = kept(self._answers(records)[self._known :])
            made.extend(answers(records))
            lines = [answer.record() for answer in made]
            for line in lines:
                Answer.of(line)  # what cannot be read again is never written
            return lines

        self._set(self._log.update(add))
        return len(made)

    def _check_open(self) -> None:
        now = self.run.folder(self.round)
        if now.done(self._stage) or now.state.waits_for != "answers":
            raise ValueError(f"{self._folder.path}: this round has gone on, its queue takes no more answers")

    def _check_cut(self, answer: Answer, where: str) -> None:
        """Raise `ValueError` where a mask cannot be in these pieces."""
        row, labels = self.masks.row(*answer.mask), answer.cut.labels if answer.cut else ()
        area = int(self.masks.table["area"].iloc[row])
        if answer.cut is None or answer.cut.area != area:
            raise ValueError(f"{where}: expected a cut of {area} pixels, found {answer.cut and answer.cut.area}")
        if wrong := {*labels} - {*range(len(self.classes)), self.classes.ignore_index}:
            raise ValueError(f"{where}: label {min(wrong)} is no class")

    def _set(self, records: list[Record]) -> None:
        answers = []
        for number, answer in enumerate(self._answers(records), start=1):
            where = f"{self._log.path}, line {number}"
            known = self._about(answer) is not None
            if answer.label is not None and not known:
                raise ValueError(f"{where}: image {answer.image!r}, mask {answer.mask_id} is not asked about")
            if known:
                if answer.cut is not None:
                    self._check_cut(answer, where)
                answers.append(answer)
        self._known, self._standing = len(records), standing(answers)
        self._discarded = {answer.image for answer in self._standing.values() if answer.whole_image}
        self._arrange()

    def _answers(self, records: list[Record]) -> list[Answer]:
        """The records' answers, those that were read before without another look. Raises `ValueError` as `Queue`."""
        pairs = zip(self._read, records, strict=False)
        read = [before for before, _ in takewhile(lambda pair: pair[0][0] is pair[1], pairs)]
        for number, record in enumerate(records[len(read) :], start=len(read) + 1):
            where = f"{self._log.path}, line {number}"
            try:
                answer = Answer.of(record)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{where}: expected an answer of a person, found {str(record):.200} ({error})"
                ) from error
            if answer.label is not None and len(self.classes) <= answer.label != self.classes.ignore_index:
                raise ValueError(f"{where}: label {answer.label} is no class")
            read.append((record, answer))
        self._read = read
        return [answer for _, answer in read]


def _measured(seconds: float | None) -> float | None:
    """How long an answer took, as it is kept. Raises `ValueError` where that is no time."""
    if not (seconds is None or 0 <= seconds < math.inf):
        raise ValueError(f"seconds: expected a time >= 0, found {seconds}")
    return None if seconds is None else round(float(seconds), 3)


def _flags(said: str | int) -> dict[str, bool]:
    """What an answer says beside its label."""
    return {"whole_image": said == VOID_IMAGE, "mixed": said == MIXED_MASK}
