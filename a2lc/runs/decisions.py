"""What people have decided about the LCM's corrections, as far as rounds must know it.

``undone.jsonl`` in the run's folder holds a line per undo: the mask, how it was before the correction (label, source,
round, confidence), and after which round that holds (``after_round``). ``approvals.jsonl`` of a round holds what was
approved and rejected there. Files of rounds never change: `labels_after` reads a round's labels and puts back what was
undone after it, and the next round starts from there. The LCM never touches a mask again whose correction was undone or
rejected (`vetoed`); it may still be asked about. People decide by `a2lc.human`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.files import AppendLog, Record
from a2lc.masks import SOURCES, MaskSet
from a2lc.runs.round_folder import RoundFolder

DECISIONS = "approvals.jsonl"
_FIELDS = {"image": str, "mask_id": int, "label": int, "source": str, "round": int, "after_round": int} | {
    "confidence": (int, float, type(None))
}


def labels_after(masks: MaskSet, folder: RoundFolder) -> MaskSet:
    """The masks with the labels of a round, less the corrections that were undone after it.

    Raises:
        FileNotFoundError: the round's masks are missing.
        ValueError: they or ``undone.jsonl`` are damaged, or it is about masks that are not there; the message names it.
    """
    number = folder.number
    state = masks.with_state(folder.path / "masks.parquet")
    log = undone_log(folder.run)
    undone = [record for record in log.read() if record["after_round"] == number]
    if not undone:
        return state
    last = dict(zip(_rows(log, undone, state), undone, strict=True))
    earlier = pd.DataFrame([*last.values()], columns=[*_FIELDS])
    wrong = ~earlier["label"].isin([*range(len(masks.classes)), masks.classes.ignore_index])
    wrong |= ~earlier["source"].isin(SOURCES) | ~earlier["round"].isin(range(number + 1))
    if wrong.any():
        raise ValueError(f"{log.path}: expected how a mask was before, found {[*last.values()][int(wrong.argmax())]}")
    types = {"label": np.uint8, "round": np.int16, "confidence": np.float32}
    return state.restored(np.array([*last]), earlier.astype(types))


def vetoed(run_folder: Path, masks: MaskSet) -> np.ndarray:
    """(M,) bool: masks that the LCM must leave alone for ever, because one of its corrections of them was undone or
    rejected.

    Raises:
        ValueError: ``undone.jsonl`` or a round's ``approvals.jsonl`` is damaged, or about masks that are not there; the
            message names it.
    """
    found = np.zeros(len(masks), dtype=bool)
    log = undone_log(run_folder)
    found[_rows(log, log.read(), masks)] = True
    for path in sorted(run_folder.glob(f"round_*/{DECISIONS}")):
        log = decisions_log(path)
        records = log.read()
        last = {row: r["decision"] for row, r in zip(_rows(log, records, masks), records, strict=True)}
        found[[row for row, decision in last.items() if decision == "rejected"]] = True
    return found


def decisions_log(path: Path) -> AppendLog:
    """What a person said of proposed corrections: ``approvals.jsonl`` of a round."""
    return AppendLog(path, image=str, mask_id=int, decision=str)


def last_decisions(records: list[Record]) -> dict[tuple[str, int], str]:
    """Image and mask -> what was decided last."""
    return {(record["image"], record["mask_id"]): record["decision"] for record in records}


def acts_of(records: list[Record]) -> dict[int, list[int]]:
    """``act`` -> the lines of what was decided at once, in their order. Earlier versions wrote none, and the first of
    their lines stands for it: what they decided at once has one time."""
    acts: dict[int, list[int]] = {}
    first, time = 0, None
    for number, record in enumerate(records):
        act = record.get("act")
        if isinstance(act, int) or time is None or record.get("time") != time:
            first = act if isinstance(act, int) else number
        time = None if isinstance(act, int) else record.get("time")
        acts.setdefault(first, []).append(number)
    return acts


def new_act(records: list[Record]) -> int:
    """A number that no ``act`` has, also where somebody has removed a damaged line."""
    return max([len(records), *(act + 1 for act in acts_of(records))])


def undone_log(run_folder: Path) -> AppendLog:
    """What was undone in a run: ``undone.jsonl``."""
    return AppendLog(run_folder / "undone.jsonl", **_FIELDS)


def _rows(log: AppendLog, records: list[Record], masks: MaskSet) -> list[int]:
    """The row of the mask that each record is about."""
    try:
        return [masks.row(record["image"], record["mask_id"]) for record in records]
    except (ValueError, OverflowError) as error:  # an id that is too large
        raise ValueError(f"{log.path}: {error}; mend or remove this line") from error
