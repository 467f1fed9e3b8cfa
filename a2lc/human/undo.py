"""Undoing the LCM's automatic corrections, in any later round (`a2lc.runs.decisions` says what becomes of it)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from a2lc.files import locked, timestamp
from a2lc.masks import AUTOMATIC, label_names
from a2lc.runs import Run
from a2lc.runs.decisions import undone_log


def automatic_corrections(run: Run) -> pd.DataFrame:
    """The labels that the LCM has set and that stand at present.

    Returns:
        By image and mask: image, mask_id, row, area (pixels), before and label (class names or void), round, and
        confidence in [0, 1].

    Raises:
        FileNotFoundError: the run has no labels yet.
        ValueError: a file is damaged.
    """
    masks, names = run.masks(run.last_labels), label_names(run.masks(0).classes)
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
        last = run.last_labels
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
        undone_log(run.path).append(records)
    return len(records)


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
