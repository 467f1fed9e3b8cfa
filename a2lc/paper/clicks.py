"""What the clicks of a run were spent on, and what they were worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc.datasets import load_dataset
from a2lc.files import read_json
from a2lc.masks import AUTOMATIC, MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.runs import SHARED, Run


def answers_only(run: Run) -> float:
    """Data mIoU in [0, 1] of the first labels with every answer of this run and none of the LCM's corrections: what the
    clicks are worth by themselves.

    Raises:
        ValueError: a run of superpixels, which has no first labels; or an image has no ground truth.
    """
    check_starts_from_labels(run)
    masks = run.masks(0)
    for number in range(1, run.finished_rounds + 1):
        folder = run.folder(number)
        masks = masks.relabel(folder.queried_rows(), folder.answered_labels(), source="annotator", round=number)
    return truth_of(run).data_metrics(masks).miou


def check_answers(run: Run) -> None:
    """Whether every round asked for its budget, or for all that was left, and every answer became its mask's label.

    Args:
        run: a run that starts from labels, whatever its budget and number of rounds.

    Raises:
        ValueError: names the round and what was expected and found; or a run of superpixels.
    """
    check_starts_from_labels(run)
    config, masks, clicks = run.config, run.masks(0), 0
    for number in range(1, run.finished_rounds + 1):
        folder, after, where = run.folder(number), run.masks(number), f"{run.path}: round {number}"
        rows, answers, table = folder.queried_rows(), folder.answered_labels(masks.table), after.table
        can_be_asked = (folder.scores() > -np.inf) & ~(masks.queried & config.non_redundant)
        budget = min(config.masks_per_round(len(masks)), int(can_be_asked.sum()))
        if not len(rows) == len(np.unique(rows)) == can_be_asked[rows].sum() == budget:
            raise ValueError(f"{where}: expected {budget} masks that can be asked about, found {len(rows)} queries")
        overruled = (table["source"].isin(AUTOMATIC) & (table["round"] == number)).to_numpy()[rows]
        if lost := int((~after.queried[rows] | ((table["label"].to_numpy()[rows] != answers) & ~overruled)).sum()):
            raise ValueError(f"{where}: expected every answer as its mask's label, found {lost} others")
        clicks, masks = clicks + len(rows), after
    if (noted := int(run.summary["clicks"].iloc[-1])) != clicks:
        raise ValueError(f"{run.path}: expected a click per query, {clicks}, found {noted}")


def check_starts_from_labels(run: Run) -> None:
    """Raise ValueError for a run of superpixels."""
    if run.config.from_superpixels:
        raise ValueError(f"{run.path}: expected a run that starts from labels, found one of superpixels")


def truth_of(run: Run) -> TruthHistogram:
    """Ground truth counted per mask of a run; counted once for runs of the same masks.

    Raises:
        ValueError: an image has no ground truth.
    """
    shared = run.path.parent / SHARED / read_json(run.path / "provenance.json")["masks"]
    return _truth_of(shared, run.config.dataset, run.config.root)


@lru_cache(maxsize=4)
def _truth_of(shared: Path, dataset: str, root: Path | None) -> TruthHistogram:
    return truth_histogram(MaskSet.load(shared), load_dataset(dataset, root).train)


def asked_masks(runs: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """What each row asked about, over all rounds.

    Args:
        runs: row name -> finished runs that start from labels (`experiments.run_rows`).

    Returns:
        Columns row, seed; wrong: percent of the queried masks whose label the answer changed; median_area of the
        queried masks in pixels; first, answers and last: Data mIoU in percent of the first labels, with all answers and
        no correction of the LCM (`answers_only`), and of the last labels.

    Raises:
        ValueError: as `answers_only`.
    """
    rows = []
    for name, of_row in runs.items():
        for run in of_row:
            nothing = pd.DataFrame(columns=["row", "label", "answer"], dtype=int)  # of a run without rounds
            rounds = range(1, run.finished_rounds + 1)
            queries = pd.concat([run.queries(number) for number in rounds]) if rounds else nothing
            area = run.masks(0).table["area"].iloc[queries["row"]]
            row: dict[str, Any] = {"row": name, "seed": run.config.seed}
            row |= {"wrong": 100 * (queries["label"] != queries["answer"]).mean(), "median_area": area.median()}
            first, last = run.summary["data_miou"].iloc[[0, -1]]
            rows.append(row | {"first": 100 * first, "answers": 100 * answers_only(run), "last": 100 * last})
    return pd.DataFrame(rows)


def click_costs(runs: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """How many clicks became how many answers about how many pixels.

    Args:
        runs: row name -> finished runs of any method (`experiments.run_rows`); those without a click are left out.

    Returns:
        Columns row, seed, clicks, answers; classes_per_answer: the mean number of classes named (|Y|, void counts), 1
        where one is asked for; pixels_per_click: pixels of all masks or superpixels asked about, per click.
    """
    rows = []
    for name, of_row in runs.items():
        for run in of_row:
            clicks, answers = int(run.summary["clicks"].iloc[-1]), int(run.summary["queried"].sum())
            if not clicks:
                continue
            masks = run.masks()
            area = int(masks.table["area"][masks.queried].sum())
            row: dict[str, Any] = {"row": name, "seed": run.config.seed, "clicks": clicks, "answers": answers}
            rows.append(row | {"classes_per_answer": _classes_named(run), "pixels_per_click": area / clicks})
    return pd.DataFrame(rows)


def _classes_named(run: Run) -> float:
    if run.config.query != "classes":
        return 1.0
    k = len(run.masks(0).classes)
    counts = [run.folder(number).named_classes(k).sum(1) for number in range(1, run.finished_rounds + 1)]
    return float(sum(map(sum, counts)) / sum(map(len, counts)))
