"""Undoing automatic corrections, in any later round.

``undone.jsonl`` in the run's folder holds a line per undo: the mask, how it was before the correction (label, source,
round, confidence), and after which round that holds (``after_round``). Files of rounds never change: `labels_after`
reads a round's labels and puts back what was undone after it, and the next round starts from there. The LCM never
touches such a mask again (`vetoed`); it may still be asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from a2lc.append_log import AppendLog, Record, timestamp
from a2lc.locks import locked
from a2lc.mask_table import AUTOMATIC, SOURCES, label_names
from a2lc.masks import MaskSet
from a2lc.round_folder import RoundFolder

if TYPE_CHECKING:
    from a2lc.runs import Run

UNDONE = "undone.jsonl"
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
    number = int(folder.path.name.removeprefix("round_"))
    state = masks.with_state(folder.path / "masks.parquet")
    log = _undone(folder.path.parent)
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
    log = _undone(run_folder)
    found[_rows(log, log.read(), masks)] = True
    for path in sorted(run_folder.glob(f"round_*/{DECISIONS}")):
        log = decisions(path)
        records = log.read()
        last = {row: r["decision"] for row, r in zip(_rows(log, records, masks), records, strict=True)}
        found[[row for row, decision in last.items() if decision == "rejected"]] = True
    return found


def decisions(path: Path) -> AppendLog:
    """What a person said of proposed corrections: ``approvals.jsonl`` of a round."""
    return AppendLog(path, image=str, mask_id=int, decision=str)


def automatic_corrections(run: Run) -> pd.DataFrame:
    """The labels that the LCM has set and that stand at present.

    Returns:
        By image and mask: image, mask_id, row, area (pixels), before and label (class names), round, confidence.
    """
    masks, names = run.masks(_last(run)), label_names(run.masks(0).classes)
    rows = np.flatnonzero(masks.table["source"].isin(AUTOMATIC))
    table = masks.table.iloc[rows][["image", "mask_id", "area", "label", "round", "confidence"]].assign(row=rows)
    before = np.empty(len(rows), dtype=object)
    for number in np.unique(table["round"]):
        of_round = (table["round"] == number).to_numpy()
        before[of_round] = names[run.masks(int(number) - 1).table["label"].to_numpy()[rows[of_round]]]
    table = table.assign(before=before, label=names[table["label"]]).astype({"image": object})
    return table[["image", "mask_id", "row", "area", "before", "label", "round", "confidence"]].reset_index(drop=True)


def undo_corrections(run: Run, masks: Iterable[tuple[str, int]]) -> int:
    """Undo the latest automatic correction of each mask: the label goes back to what it was before, and the LCM never
    touches the mask again.

    Metrics and models of finished rounds stay what they were; the next round starts from the label put back. A mask
    that was corrected twice can be undone twice.

    Args:
        run: any run with the LCM.
        masks: image and mask id of each.

    Returns:
        The number of labels put back.

    Raises:
        ValueError: no such mask, or its label was not set by the LCM; or the run has more rounds than `run` sees. Then
            nothing is undone.
        PermissionError: the run's folder cannot be written.
    """
    with locked(run.path):  # nobody plays a round meanwhile
        if (played := type(run).open(run.path).finished_rounds) > run.finished_rounds:
            raise ValueError(f"{run.path}: has {played} rounds, not {run.finished_rounds}; open it by Run.open")
        last = _last(run)
        now = run.masks(last)
        rows = dict.fromkeys(now.row(image, int(mask_id)) for image, mask_id in masks)
        earlier: dict[int, pd.DataFrame] = {}
        records = []
        for row in rows:
            mask = now.table.iloc[row]
            if mask["source"] not in AUTOMATIC:
                where = f"image {mask['image']!r}, mask {mask['mask_id']}"
                raise ValueError(f"{where}: no automatic correction to undo, its label comes from: {mask['source']}")
            number = int(mask["round"]) - 1
            if number not in earlier:
                earlier[number] = run.masks(number).table
            records.append(_record(earlier[number].iloc[row], last))
        _undone(run.path).append(records)
    return len(records)


def _last(run: Run) -> int:
    """The last round whose labels are there; its model may still have to be trained."""
    following = run.finished_rounds + 1
    return following if following <= run.config.rounds and run.folder(following).done("corrected") else following - 1


def _record(before: Any, after_round: int) -> dict[str, Any]:
    confidence = float(before["confidence"])
    return {
        "image": str(before["image"]),
        "mask_id": int(before["mask_id"]),
        "label": int(before["label"]),
        "source": str(before["source"]),
        "round": int(before["round"]),
        "confidence": None if math.isnan(confidence) else confidence,
        "after_round": after_round,
        "time": timestamp(),
    }


def _undone(run_folder: Path) -> AppendLog:
    return AppendLog(run_folder / UNDONE, **_FIELDS)


def _rows(log: AppendLog, records: list[Record], masks: MaskSet) -> list[int]:
    """The row of the mask that each record is about."""
    try:
        return [masks.row(record["image"], record["mask_id"]) for record in records]
    except (ValueError, OverflowError) as error:  # an id that is too large
        raise ValueError(f"{log.path}: {error}; mend or remove this line") from error
