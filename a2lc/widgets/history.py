"""What happened to the masks of a run, round by round, and which of them a filter asks for. No widget here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from a2lc.baselines.merging import members_of
from a2lc.files import read_parquet
from a2lc.masks import AUTOMATIC, MIXED, MaskSet
from a2lc.runs import Run

SET_BY = {"annotator": ("annotator",), "LCM": AUTOMATIC, "nobody": ("initial",), "mixed": (MIXED,)}
"""Who set a label, and the sources in the table of masks that say so."""

VERDICTS = ("wrong", "mended", "spoilt")
"""A label against the mask's most frequent ground truth: ``wrong`` is another class; ``mended`` is right, and the first
label was not; ``spoilt`` is not right, and the first label was. Masks whose ground truth is void are not judged."""


@dataclass(frozen=True)
class Event:
    """What a round did to one mask.

    Attributes:
        round: 0 for the first label.
        source: ``initial``, ``annotator``, ``lcm``, ``overruled`` (the LCM after an annotator), ``discarded``
            (with its whole image), or ``undone``: a person
            took a correction of the LCM back, after this round.
        before: label before, the ignore index = void; None for the first label.
        after: label after.
        score: the mask's score in this round, NaN where it was not scored.
        rank: its place among the masks that could be asked about, 1 = the highest score; None where it could not.
        of: how many could be.
        asked: whether this mask was queried itself; else the LCM set its label, or an answer about a region around it.
        answer: what the annotator said where `asked`: class numbers, K or the ignore index = void.
        confidence: of the LCM, in [0, 1]; NaN elsewhere.
    """

    round: int
    source: str
    before: int | None
    after: int
    score: float = float("nan")
    rank: int | None = None
    of: int = 0
    asked: bool = False
    answer: tuple[int, ...] = ()
    confidence: float = float("nan")


@dataclass(frozen=True)
class Filters:
    """Which masks to look for; None, everywhere, for no choice.

    Attributes:
        before: first label, a class number or the ignore index = void.
        after: label after the round that is shown.
        set_by: a key of `SET_BY`.
        changed_in: the round in which the label was last set.
        verdict: one of `VERDICTS`; needs ground truth.

    Raises:
        ValueError: an unknown `set_by` or `verdict`.
    """

    before: int | None = None
    after: int | None = None
    set_by: str | None = None
    changed_in: int | None = None
    verdict: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("set_by", tuple(SET_BY)), ("verdict", VERDICTS)):
            if (value := getattr(self, name)) is not None and value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)} or None, found {value!r}")

    @property
    def active(self) -> bool:
        """Whether anything is asked for."""
        return any(getattr(self, field.name) is not None for field in fields(self))


def fitting(masks: MaskSet, filters: Filters, truth: np.ndarray | None = None) -> np.ndarray:
    """(M,) bool: the masks that a filter asks for, by the table of the round that is shown.

    Args:
        masks: M masks with the labels of that round.
        filters: what to look for; conditions add up.
        truth: (M,) most frequent ground truth, the ignore index = void or unknown; needed for a verdict.

    Raises:
        ValueError: a verdict without ground truth.
    """
    table, found = masks.table, np.ones(len(masks), dtype=bool)
    for column, wanted in (("initial_label", filters.before), ("label", filters.after), ("round", filters.changed_in)):
        if wanted is not None:
            found &= table[column].to_numpy() == wanted
    if filters.changed_in is not None:  # round 0 is the first label, which nobody set
        found &= table["round"].to_numpy() > 0
    if filters.set_by is not None:
        found &= table["source"].isin(SET_BY[filters.set_by]).to_numpy()
    if filters.verdict is not None:
        if truth is None:
            raise ValueError(f"verdict {filters.verdict!r}: needs ground truth, and this dataset has none")
        found &= verdict(masks, truth, filters.verdict)
    return found


def verdict(masks: MaskSet, truth: np.ndarray, name: str) -> np.ndarray:
    """(M,) bool: the masks with the verdict `name`, one of `VERDICTS`; `masks` and `truth` as in `fitting`."""
    k, table = len(masks.classes), masks.table
    label, known = table["label"].to_numpy(), truth < k
    right, was_right = label == truth, table["initial_label"].to_numpy() == truth
    return known & {"wrong": ~right & (label < k), "mended": right & ~was_right, "spoilt": ~right & was_right}[name]


@dataclass(frozen=True)
class RoundLog:
    """What a round scored, asked and set: its masks as it left them, (M,) scores, the masks that could be asked about
    with their sorted scores, and for each queried row its answer."""

    masks: MaskSet
    scores: np.ndarray
    pool: np.ndarray  # bool
    ranked: np.ndarray
    answers: dict[int, tuple[int, ...]]
    regions: dict[int, int]  # row of a mask -> row that was asked about, where these differ

    def place(self, row: int) -> int | None:
        """1 for the highest score of the pool; None outside it."""
        if not self.pool[row]:
            return None
        return len(self.ranked) - int(np.searchsorted(self.ranked, self.scores[row], side="right")) + 1


class RunHistory:
    """The tables of masks after every round of a run, read when asked for.

    Args:
        run: finished or not; the rounds that have corrected labels are shown.

    Attributes:
        rounds: these rounds, 0 = before any correction.

    Raises:
        ValueError: not even round 0 is there.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        present = [run.folder(number).path / "masks.parquet" for number in range(run.config.rounds + 1)]
        self.rounds = tuple(range(next((i for i, path in enumerate(present) if not path.is_file()), len(present))))
        if not self.rounds:
            raise ValueError(f"{run.path}: no round is there yet to look at; start it with a2lc.run")
        self._masks = {0: run.masks(0)}
        self._logs: dict[int, RoundLog] = {}

    def masks(self, round: int) -> MaskSet:
        """The masks after a round, less what was undone since.

        Raises:
            ValueError: no such round, or a damaged file.
        """
        if round not in self.rounds:
            raise ValueError(f"round: expected 0 to {self.rounds[-1]}, found {round}")
        if round not in self._masks:
            self._masks[round] = self.run.masks(round)
        return self._masks[round]

    def refresh(self) -> None:
        """Read the masks again when they are next asked for: corrections may have been undone."""
        self._masks = {0: self._masks[0]}

    def log(self, round: int) -> RoundLog:
        """Scores, queries and answers of a round >= 1.

        Raises:
            FileNotFoundError: a file of the round is missing; of round 0, always.
            ValueError: no such round, or a damaged file.
        """
        if round not in self._logs:
            self.masks(round)
            self._logs[round] = self._read_log(round)
        return self._logs[round]

    def events(self, row: int) -> list[Event]:
        """All that happened to one mask, first label first: every label set, every answer, also one that confirms the
        label or, for merged superpixels, a void one that is not applied, and every correction undone.

        Raises:
            FileNotFoundError, ValueError: a round's file is missing or damaged; the message names it.
        """
        first = self.masks(0).table["initial_label"].to_numpy()
        found = [Event(0, "initial", None, int(first[row]))]
        for number in self.rounds[1:]:
            log, before = self.log(number), int(_cells(self.masks(number - 1), row)["label"])
            set_now, now = _cells(log.masks, row), _cells(self.masks(number), row)
            if (changed := set_now["round"] == number) or row in log.answers:
                scored = log.regions.get(row, row)
                found.append(
                    Event(
                        number,
                        str(set_now["source"]) if changed else "annotator",
                        before,
                        int(set_now["label"]),
                        score=float(log.scores[scored]),
                        rank=log.place(scored),
                        of=len(log.ranked),
                        asked=row in log.answers,
                        answer=log.answers.get(row, ()),
                        confidence=float(set_now["confidence"]) if changed else float("nan"),
                    )
                )
            if (set_now["source"], set_now["round"]) != (now["source"], now["round"]):
                found.append(Event(number, "undone", int(set_now["label"]), int(now["label"])))
        return found

    def _read_log(self, round: int) -> RoundLog:
        folder, before = self.run.folder(round), self.masks(round - 1)
        table = read_parquet(folder.path / "scores.parquet")
        scores, rows, answers = table["score"].to_numpy(np.float64), folder.queried_rows(), folder.read_answers()
        pool = (scores > -np.inf) & ~(before.queried & self.run.config.non_redundant)
        said = answers["classes"] if "classes" in answers else [[label] for label in answers["label"]]
        regions: dict[int, int] = {}
        if "region" in table:
            members, position = members_of(rows, folder.regions())
            roots = rows[position]
            regions = {int(m): int(root) for m, root in zip(members, roots, strict=True) if m != root}
        by_row = {int(row): tuple(map(int, labels)) for row, labels in zip(rows, said, strict=True)}
        masks = self._masks[0].with_state(folder.path / "masks.parquet")  # with what was undone later
        return RoundLog(masks, scores, pool, np.sort(scores[pool]), by_row, regions)


def _cells(masks: MaskSet, row: int) -> dict[str, Any]:
    return {name: masks.table[name].array[row] for name in ("label", "source", "round", "confidence")}
