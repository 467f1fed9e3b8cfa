"""A person looks at the corrections that are proposed, before anything is corrected (`a2lc.stages.proposals`).

Decisions are lines of ``approvals.jsonl``, the later one about a mask wins; ``act`` is a number
of what was decided at once, and ``undoes`` that of what such a line takes back. `Approval.close` writes
``approved.parquet``, and the round goes on with these. Corrections made can be undone at any time:
`a2lc.human.undo_corrections`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc.correction.confidence import confidence_intervals
from a2lc.files import Record, damaged, read_arrays, read_json, read_parquet, timestamp
from a2lc.masks import VOID, label_names
from a2lc.runs import Run
from a2lc.runs.decisions import DECISIONS, acts_of, decisions_log, last_decisions, new_act

UNDECIDED, APPROVED, REJECTED = "", "approved", "rejected"
CAVEAT = (
    "Estimated from answers held out in turn, and from audits where there are some. Masks that were asked about are "
    "larger and more suspicious than those corrected, so without audits the estimate may be too high; the bounds are "
    "wide to allow for that. How many of the labels that are replaced were right, it does not say. Look at examples "
    "before you approve."
)


@dataclass(frozen=True)
class Expected:
    """How many of some corrections are expected to be right; shares in [0, 1], NaN where the answers say nothing.

    Attributes:
        corrections: their number.
        right: share that is right.
        low, high: between these the share lies in nine tenths of the worlds that the answers allow.
        tried: answered masks that an LCM that had not learnt from them would have corrected.
        tried_right: how many of them as the annotator did.
        audited: what audits say of all corrections: how many are right, with bounds of 90 %; None without audits, and
            of a part.
    """

    corrections: int
    right: float
    low: float
    high: float
    tried: int
    tried_right: int
    audited: tuple[float, float, float] | None = None

    def __str__(self) -> str:
        if not self.tried:
            return f"{self.corrections} corrections; the answers do not say how many are right."
        right, low, high = (f"{100 * share:.0f}" for share in (self.right, self.low, self.high))
        text = (
            f"{self.corrections} corrections, of which {right} % are expected to be right (90 %: {low} to {high} %). "
            f"Of {self.tried} answered masks that would have been corrected without their answer, {self.tried_right} "
            "would have been right."
        )
        if self.audited is None:
            return text
        right, low, high = (f"{100 * share:.0f}" for share in self.audited)
        return f"{text} Audits say {right} % (90 %: {low} to {high} %)."


class Approval:
    """The corrections that are proposed in the round that the run waits in, and what a person says of them.

    Args:
        run: a run that waits for approval.

    Attributes:
        round: the round.
        classes: the class list.
        table: a row per correction, most confident last: image, mask_id, row (of the mask table), area (pixels), old
            and new (class names or void), confidence (of the LCM, in [0, 1]), right, low, high (expected, see
            `Expected`), decision (approved, rejected or empty).

    Raises:
        ValueError: the run waits for nothing, or for answers; or a file of the round is damaged, which is named.
    """

    def __init__(self, run: Run) -> None:
        if run.waits_for != "approval":
            raise ValueError(f"{run.path}: expected a run that waits for approval, found: {run.status}")
        self.round = run.finished_rounds + 1
        self._folder = run.folder(self.round)
        self._log = decisions_log(self._folder.path / DECISIONS)
        self._about = read_json(self._folder.path / "proposals.json", "tried", "tried_right")
        masks = run.masks(self.round - 1)
        self.classes, names = masks.classes, label_names(masks.classes)
        numbers = ["confidence", "right", "low", "high"]
        found = read_parquet(self._folder.path / "proposals.parquet", "row", "label", *numbers)
        of_mask = masks.table.iloc[found["row"]].reset_index(drop=True)
        table = of_mask[["image", "mask_id", "area"]].astype({"image": object}).assign(row=found["row"])
        table = table.assign(old=names[of_mask["label"]], new=names[found["label"]])
        self.table = pd.concat([table, found[numbers].astype(float)], axis=1)
        order = np.lexsort((self.table["mask_id"], self.table["image"], self.table["confidence"]))
        self.table = self.table.iloc[order].reset_index(drop=True)
        self._worlds = _worlds(self._folder.path / "worlds.safetensors", order)
        self._labels = dict(zip(found["row"], found["label"], strict=True))
        self.refresh()

    def __repr__(self) -> str:
        return f"Approval(round {self.round}: {self.table['decision'].value_counts().to_dict()})"

    def refresh(self) -> None:
        """Read the decisions again: another process may have added some."""
        self._set(self._log.read())

    def expected(self, part: pd.DataFrame | None = None) -> Expected:
        """How many corrections are expected to be right, of all or of some rows of `table`; NaN of none. Read
        `CAVEAT`."""
        whole = part is None
        part = self.table if part is None else part
        shares = dict(zip(("right", "low", "high"), self._shares(part), strict=True))
        about, names = self._about, ("audited", "audited_low", "audited_high")
        audited = tuple(about[name] for name in names) if whole and names[0] in about else None
        return Expected(len(part), **shares, tried=about["tried"], tried_right=about["tried_right"], audited=audited)

    def _shares(self, part: pd.DataFrame) -> tuple[float, float, float]:
        """Expected share that is right, and its bounds, of some rows of `table`. Rounds that were proposed by earlier
        versions have no worlds: all errors go the same way there."""
        right, low, high = (float(part[name].mean()) for name in ("right", "low", "high"))
        if self._worlds is not None and len(part):
            shares = self._worlds[part.index].mean(0)
            low, high = (float(bound) for bound in np.quantile(shares, (0.05, 0.95)))
        return right, min(low, right), max(high, right)

    def _with_bounds(self, groups: Any) -> pd.DataFrame:
        """Corrections and expected right, low and high of each group of rows of `table`, in order of the groups."""
        found = [(len(part), *self._shares(part)) for _, part in groups]
        return pd.DataFrame(found, columns=["corrections", "right", "low", "high"])

    def flows(self) -> pd.DataFrame:
        """Which class to which: old, new, corrections, undecided, pixels, mean confidence and expected right, low and
        high; most frequent first."""
        groups = self.table.assign(undecided=self.table["decision"] == UNDECIDED).groupby(
            ["old", "new"], as_index=False
        )
        found = groups.agg(
            corrections=("row", "size"),
            undecided=("undecided", "sum"),
            pixels=("area", "sum"),
            confidence=("confidence", "mean"),
        )
        found = found.join(self._with_bounds(groups)[["right", "low", "high"]])
        return found.sort_values(["corrections", "old", "new"], ascending=[False, True, True], ignore_index=True)

    def by_confidence(self) -> pd.DataFrame:
        """The same by the confidence of the LCM: confidence (an interval, see `confidence_intervals`), corrections,
        expected right, low and high; the least confident first."""
        bins = pd.Series(confidence_intervals(self.table["confidence"].to_numpy()), index=self.table.index)
        groups = self.table.drop(columns="confidence").groupby(bins.rename("confidence"), observed=True)
        found = self._with_bounds(groups)
        found.insert(0, "confidence", [str(name) for name, _ in groups])
        return found

    # -------------------------------------------------------------------------------------------- deciding
    def approve(
        self, old: str | None = None, new: str | None = None, masks: Iterable[tuple[str, int]] | None = None
    ) -> int:
        """Approve corrections: all of them, those from class `old`, to class `new`, or of single masks (image, id);
        where several are given, those that fit all.

        Returns:
            How many were chosen.

        Raises:
            ValueError: an unknown class, a mask that the LCM does not want to correct, no such correction; or the round
                has gone on meanwhile.
            PermissionError: the run's folder cannot be written.
        """
        return self._decide(APPROVED, old, new, masks)

    def reject(
        self, old: str | None = None, new: str | None = None, masks: Iterable[tuple[str, int]] | None = None
    ) -> int:
        """Reject corrections, see `approve`: these masks are never corrected again."""
        return self._decide(REJECTED, old, new, masks)

    def leave(
        self, old: str | None = None, new: str | None = None, masks: Iterable[tuple[str, int]] | None = None
    ) -> int:
        """Take decisions back, see `approve`."""
        return self._decide(UNDECIDED, old, new, masks)

    def undo(self) -> int:
        """Take back what was decided last and not taken back yet, by whomever and however long ago: all corrections
        that one call of `approve`, `reject` or `leave` was about are decided as before it.

        Returns:
            How many corrections that were.

        Raises:
            ValueError: nothing is left to take back, or the round has gone on meanwhile.
            PermissionError: the run's folder cannot be written.
        """
        count, time = 0, timestamp()

        def add(records: list[Record]) -> list[Record]:
            nonlocal count
            self._check_open()
            acts = acts_of(records)
            undone = [records[lines[0]].get("undoes") for lines in acts.values()]
            left = [first for first, what in zip(acts, undone, strict=True) if what is None and first not in undone]
            if not left:
                raise ValueError("nothing is left to take back")
            lines = acts[left[-1]]
            before = last_decisions(records[: lines[0]])
            masks = [(records[number]["image"], records[number]["mask_id"]) for number in lines]
            about: Record = {"time": time, "act": new_act(records), "undoes": left[-1]}
            count = len(masks)
            return [{"image": i, "mask_id": m, "decision": before.get((i, m), UNDECIDED), **about} for i, m in masks]

        self._set(self._log.update(add))
        return count

    def close(self, enough: bool = False) -> None:
        """Let the round go on with what was approved.

        Args:
            enough: although something is undecided; that is not corrected now.

        Raises:
            ValueError: something is undecided, or the round has gone on already.
            PermissionError: the run's folder cannot be written.
        """

        def close(records: list[Record]) -> list[Record]:
            self._check_open()
            self._set(records)
            undecided = int((self.table["decision"] == UNDECIDED).sum())
            if undecided and not enough:
                raise ValueError(
                    f"{undecided} of {len(self.table)} corrections are neither approved nor rejected; enough=True "
                    "(--enough) goes on without them"
                )
            chosen = self.table[self.table["decision"] == APPROVED].sort_values("row")
            rows, confidence = chosen["row"].to_numpy(np.int32), chosen["confidence"].to_numpy(np.float32)
            labels = np.array([self._labels[row] for row in rows], dtype=np.uint8)
            approved = pd.DataFrame({"row": rows, "label": labels, "confidence": confidence})
            self._folder.write_table("approved.parquet", approved)
            self._folder.change(approved=True, waits_for=None)
            return []

        self._log.update(close)

    def _decide(self, decision: str, old: str | None, new: str | None, masks: Iterable[tuple[str, int]] | None) -> int:
        chosen = pd.Series(True, index=self.table.index)
        for column, name in (("old", old), ("new", new)):
            if name is not None:
                if name != VOID:
                    self.classes.index(name)
                chosen &= self.table[column] == name
        if masks is not None:
            chosen &= self._are(masks)
        if not chosen.any():
            raise ValueError(f"no such correction is proposed (from {old or 'any class'} to {new or 'any class'})")
        time = timestamp()

        def add(records: list[Record]) -> list[Record]:
            self._check_open()
            self._set(records)
            new_ones = self.table[chosen & (self.table["decision"] != decision)]
            about = zip(new_ones["image"], new_ones["mask_id"], strict=True)
            how: Record = {"decision": decision, "time": time, "act": new_act(records)}
            return [{"image": str(i), "mask_id": int(m), **how} for i, m in about]

        self._set(self._log.update(add))
        return int(chosen.sum())

    def _are(self, masks: Iterable[tuple[str, int]]) -> pd.Series:
        wanted = {(image, int(mask_id)) for image, mask_id in masks}
        known = pd.Series(list(zip(self.table["image"], self.table["mask_id"], strict=True)), index=self.table.index)
        if unknown := sorted(wanted - set(known)):
            raise ValueError(f"no correction of image {unknown[0][0]!r}, mask {unknown[0][1]} is proposed")
        return known.isin(wanted)

    def _check_open(self) -> None:
        if self._folder.sibling(self.round).state.approved:  # another process may have closed it
            raise ValueError(f"{self._folder.path}: this round has gone on; `a2lc undo` takes single corrections back")

    def _set(self, records: list[Record]) -> None:
        last = last_decisions(records)
        if wrong := set(last.values()) - {UNDECIDED, APPROVED, REJECTED}:
            raise ValueError(f"{self._log.path}: expected {APPROVED}, {REJECTED} or nothing, found {min(wrong)!r}")
        about = zip(self.table["image"], self.table["mask_id"], strict=True)
        self.table["decision"] = pd.Series(
            [last.get(m, UNDECIDED) for m in about], index=self.table.index, dtype=object
        )


def _worlds(path: Path, order: np.ndarray) -> np.ndarray | None:
    """(n, W) bool, which of n corrections are right in each world, in this order; None where there are none."""
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    right = arrays.get("right", np.empty((0, 0), np.uint8))
    if right.dtype != np.uint8 or right.ndim != 2 or len(right) != len(order):
        raise damaged(path, f"expected worlds of {len(order)} corrections, found {right.dtype} {right.shape}")
    return np.unpackbits(right, axis=1)[order].astype(bool)
