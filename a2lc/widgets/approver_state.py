"""What an Approver shows and does: groups of corrections, a gallery by confidence, the decisions. No widget here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from a2lc.datasets import Dataset
from a2lc.figures import confidence_text
from a2lc.human.approval import APPROVED, CAVEAT, REJECTED, UNDECIDED, Approval
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.runs import Run

KEYS = {
    "approve": "a",
    "reject": "r",
    "leave": "u",
    "approve_group": "A",
    "reject_group": "R",
    "leave_group": "U",
    "undo": "z",
    "back": "ArrowLeft",
    "on": "ArrowRight",
    "page_back": "PageUp",
    "page_on": "PageDown",
}
"""What can be done -> its key."""

TILES, SIDE = 12, 200  # on a page of the gallery, and their side in pixels


class ApproverState:
    """The corrections that are proposed in the round that a run waits in.

    Args:
        run: a run that waits for approval.
        dataset: where images are read; None: the run's own. Where they are missing, `notes` says so.

    Attributes:
        approval: the corrections and what was decided.
        group: the corrections that are shown, old and new class name; None: all.
        at: place of the selected correction among them, the least confident first.
        to: place of the other end, where several in a row are selected; else None.
        closed: whether the round was let go on from here.
        notes: what is missing, in words.
        follows: what to do when all is decided, in words.

    Raises:
        ValueError: the run does not wait for approval.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None) -> None:
        self.run, self.approval = run, Approval(run)
        split, self.notes = training_images(run, dataset)
        self._pictures = MaskPictures(run.masks(self.approval.round - 1), split)
        self.group: tuple[str, str] | None = None
        self.at, self.closed = 0, False
        self.to: int | None = None
        self.follows = "Go on with a2lc.human.next_round(run) in the next cell."
        self._said: str | None = None  # what has to be said twice, and was said once

    # ---------------------------------------------------------------------------------------------- doing
    def show_group(self, old: str | None = None, new: str | None = None) -> str:
        """Show the corrections from one class to another, or all where one of the two is not named.

        Raises:
            ValueError: there is no such correction.
        """
        group = None if old is None or new is None else (old, new)
        if not self._part(group).any():
            raise ValueError(f"no correction from {old} to {new} is proposed")
        self.group, self.at, self.to, self._said = group, 0, None, None
        return ""

    def decide(self, decision: str) -> str:
        """Approve or reject the selected correction and go on to the next; `UNDECIDED` takes its decision back. Of
        several that are selected, as `decide_group` of all that are shown.

        Returns:
            What was decided, in words.

        Raises:
            ValueError: the round has gone on.
            PermissionError: the run's folder cannot be written.
        """
        if self.to is not None:
            self.approval.refresh()
            chosen = self.chosen
            told = self._decide_all(self.shown.iloc[chosen], decision, "leave")
            if self._said is None:
                self.select(chosen.stop if decision else chosen.start)
            return told
        row = self.shown.iloc[self.at]
        self._act(decision, [(row["image"], int(row["mask_id"]))])
        self.at = min(self.at + (decision != UNDECIDED), len(self.shown) - 1)
        return f"{row['old']} → {row['new']}: {decision or 'undecided'}"

    def decide_group(self, decision: str) -> str:
        """Approve or reject those of the shown corrections that are undecided. `UNDECIDED` takes the decisions about
        all that are shown back; it must be said twice.

        Returns:
            What was decided, in words.

        Raises:
            ValueError, PermissionError: as `decide`.
        """
        self.approval.refresh()
        return self._decide_all(self.shown, decision, "leave_group")

    def _decide_all(self, shown: pd.DataFrame, decision: str, act: str) -> str:
        part = shown[(shown["decision"] == UNDECIDED) == (decision != UNDECIDED)]
        others = len(shown) - len(part)
        if part.empty:
            return "Nothing to do: of those " + ("none is undecided." if decision else "none is decided.")
        if not decision and self._said != act:
            self._said = act
            return f"{len(part)} decisions would be taken back. Press the same again to do it."
        self._act(decision, zip(part["image"], part["mask_id"].astype(int), strict=True))
        stay = f"; {others} decided before stay as they are" if others and decision else ""
        return f"{len(part)} corrections {decision or 'undecided'}{stay}. Z takes that back."

    def undo(self) -> str:
        """Take back what was decided last, one correction or many at once; also after a restart.

        Raises:
            ValueError: nothing is left to take back, or the round has gone on.
            PermissionError: the run's folder cannot be written.
        """
        self._said = None
        return f"{self.approval.undo()} corrections are as before the last decision, which is taken back."

    def select(self, place: int) -> str:
        """Select a correction by its place; the nearest one where there is none."""
        self.at, self.to, self._said = min(max(place, 0), len(self.shown) - 1), None, None
        return ""

    def select_to(self, place: int) -> str:
        """Select all corrections from the selected one to another one."""
        self.to, self._said = min(max(place, 0), len(self.shown) - 1), None
        return f"{len(range(*self.chosen.indices(len(self.shown))))} corrections are selected."

    @property
    def chosen(self) -> slice:
        """The places of the selected corrections."""
        to = self.at if self.to is None else self.to
        return slice(min(self.at, to), max(self.at, to) + 1)

    def enough(self) -> str:
        """Let the round go on with what is approved. Where something is undecided it must be said twice.

        Raises:
            ValueError: the round has gone on.
            PermissionError: the run's folder cannot be written.
        """
        self.approval.refresh()
        left = self.left
        if left and self._said != "enough":
            self._said = "enough"
            return f"{left} corrections are undecided and would not be made. Press “Go on” again to leave them."
        self.approval.close(enough=True)
        self.closed = True
        return f"{self._count(APPROVED)} corrections will be made. {self.follows}"

    # ---------------------------------------------------------------------------------------------- looking
    @property
    def of_round(self) -> Approval:
        """The corrections and what was decided."""
        return self.approval

    @property
    def left(self) -> int:
        """How many corrections are undecided."""
        return self._count(UNDECIDED)

    @property
    def shown(self) -> pd.DataFrame:
        """The rows of `Approval.table` that are shown, the least confident first."""
        return self.approval.table[self._part(self.group)]

    @property
    def page(self) -> slice:
        """The places of `shown` that are on the page of the gallery."""
        start = self.at // TILES * TILES
        return slice(start, min(start + TILES, len(self.shown)))

    def tiles(self) -> list[np.ndarray]:
        """(h, w, 3) uint8 each: the corrections of the page, close up."""
        rows = self.shown.iloc[self.page]
        about = zip(rows["image"], rows["mask_id"], strict=True)
        return [self._pictures.close_up(image, int(mask_id), side=SIDE) for image, mask_id in about]

    def context(self) -> np.ndarray:
        """(h, w, 3) uint8: the selected correction in its image."""
        row = self.shown.iloc[self.at]
        return self._pictures.context(row["image"], int(row["mask_id"]))

    def view(self) -> dict[str, Any]:
        """What is shown, as JSON values; shares in [0, 1], None where they are unknown."""
        shown, page = self.shown, self.page
        images = dict.fromkeys(shown["image"].iloc[page]) if not self.notes else {}
        return {
            "round": self.approval.round,
            "counts": {name or "undecided": self._count(name) for name in (UNDECIDED, APPROVED, REJECTED)},
            "expected": str(self.approval.expected(shown)),
            "caveat": CAVEAT,
            "confidence": _records(self.approval.by_confidence()),
            "groups": _records(self.approval.flows()),
            "group": list(self.group) if self.group else None,
            "total": len(shown),
            "at": self.at,
            "chosen": [self.chosen.start, self.chosen.stop],
            "first": page.start,
            "tiles": [self._tile(row) for row in shown.iloc[page].to_dict("records")],
            "closed": self.closed,
            "notes": [*self.notes, *(self._pictures.notes[name] for name in images if name in self._pictures.notes)],
        }

    # ---------------------------------------------------------------------------------------------- inside
    def _act(self, decision: str, masks: Iterable[tuple[str, int]]) -> None:
        acts = {APPROVED: self.approval.approve, REJECTED: self.approval.reject, UNDECIDED: self.approval.leave}
        self._said = None
        acts[decision](masks=masks)

    def _part(self, group: tuple[str, str] | None) -> pd.Series:
        table = self.approval.table
        if group is None:
            return pd.Series(True, index=table.index)
        return (table["old"] == group[0]) & (table["new"] == group[1])

    def _count(self, decision: str) -> int:
        return int((self.approval.table["decision"] == decision).sum())

    def _tile(self, row: dict[Any, Any]) -> dict[str, Any]:
        words = {name: row[name] for name in ("image", "old", "new", "decision")}
        numbers = {name: None if np.isnan(row[name]) else float(row[name]) for name in ("right", "low", "high")}
        sizes = {name: int(row[name]) for name in ("mask_id", "area")}
        return words | numbers | sizes | {"confidence": confidence_text(row["confidence"])}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values; None where there is no number."""
    return list(json.loads(table.to_json(orient="records")))
