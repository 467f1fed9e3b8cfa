"""The paper's protocols: which runs make which table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.config import METHODS, Experiment
from a2lc.datasets import load_dataset
from a2lc.instant.settings import COLOUR
from a2lc.machine import show_bars
from a2lc.paper.many import run_many
from a2lc.runs import Run
from a2lc.stages.initial import initial_masks

if TYPE_CHECKING:
    from distributed import Client

Rows = Mapping[str, Mapping[str, Any]]

TABLE4: Rows = {name: {"method": "a2lc", "acquisition": name} for name in ACQUISITION_FUNCTIONS}
"""Table 4: all of A²LC with another acquisition function (methods.md 2.11)."""

TABLE5: Rows = {
    "baseline": {"method": "alc_non_redundant"},
    "lcm": {"method": "alc_lcm"},
    "abc": {"method": "alc_abc"},
    "lcm+abc": {"method": "alc_lcm_abc"},
    "lcm+abc+mask": {"method": "a2lc"},
}
"""Table 5: from ALC without repetition to A²LC, one component after the other."""

INSTANT_ROWS: Rows = {
    "instant": {"method": "instant", "instant": {"train": "last"}},
    "instant_colour": {"method": "instant", "instant": {"train": "last", "features": COLOUR}},
}
"""Beside Tables 1, 4 and 5, and not in the paper: corrections without training (`a2lc.instant`), with the features of a
network that knows ImageNet, and with colours and edges, which need no weights. A model is trained on the last labels
only, so that its Model mIoU is known."""

TABLE1: Rows = {**{name: {"method": name} for name in METHODS}, **INSTANT_ROWS}
"""What Table 1 can compare: all methods."""

WITHOUT_LCM: Rows = {name: {**fields, "method": "a2lc_no_lcm"} for name, fields in TABLE4.items()}
"""Beside Table 4: the same acquisition functions, and nobody but the annotator corrects."""

QUICKSTART = ("alc", "a2lc_no_lcm", "a2lc")
"""The first notebook's methods."""

ALC_AND_A2LC: Rows = {"alc": {"method": "alc"}, "a2lc": {"method": "a2lc"}}
"""Figures 1 and 6: the baseline and the method."""

FULL: Rows = {"fully_supervised": {"method": "full_supervision", "rounds": 0}}
"""Table 2 and Figure 1: trained on all of the ground truth."""

CITYSCAPES_SHARE = 100_000 / (2975 * 2048)
"""Table 2's budget as a share of Cityscapes' superpixels: a click for 1.64 % of them."""


def table2(clicks: int, superpixel_rounds: int = 2) -> Rows:
    """Table 2's rows under one budget (methods.md 6.4).

    ALC and A²LC spend it in one round. Spx and MerSpx ask about random superpixels with the first half, so that there
    is a model to choose the second; MulSpx' own protocol spends all of it at random; ``mulspx_halves`` is its control.

    Args:
        clicks: the whole budget, >= 1.
        superpixel_rounds: rounds in which Spx, MerSpx and the control spend it, in equal parts rounded down.
    """
    once = {"rounds": 1, "budget": clicks}
    halves = {"rounds": superpixel_rounds, "budget": max(1, clicks // superpixel_rounds)}
    return {
        **FULL,
        "spx": {"method": "spx", **halves},
        "merspx": {"method": "merspx", **halves},
        "mulspx": {"method": "mulspx", **once},
        "mulspx_halves": {"method": "mulspx", **halves},
        "alc": {"method": "alc", **once},
        "a2lc": {"method": "a2lc", **once},
    }


def table2_clicks(
    fields: Mapping[str, Any], runs_dir: str | os.PathLike[str] = "runs", share: float = CITYSCAPES_SHARE
) -> int:
    """Table 2's budget for another dataset: clicks for the same share of its superpixels of 32 x 32 pixels, at least 2.

    Args:
        fields: names dataset and root.
        runs_dir: the superpixels are kept in its subfolder ``shared``.
        share: of the superpixels, in (0, 1).
    """
    experiment = Experiment(dataset=fields["dataset"], root=fields.get("root"), method="spx")
    dataset = load_dataset(experiment.dataset, experiment.root)
    masks, _ = initial_masks(experiment, dataset, Path(runs_dir), progress=show_bars(True))
    return max(2, round(share * len(masks)))


def run_rows(
    fields: Mapping[str, Any],
    rows: Rows,
    seeds: Iterable[int] = (0,),
    *,
    runs_dir: str | os.PathLike[str] = "runs",
    client: Client | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, list[Run]]:
    """Every row of a table with every seed; from the same pseudo-labels, and per seed the same round-0 model.

    Args:
        fields: the fields of `Experiment` that all runs share; a row's own win. Rows that bring their own
            `pseudo_labels` (superpixels, ground truth) do not take these, nor `scoring`.
        rows: row name -> fields.
        seeds: one run per row and seed.
        runs_dir, device, progress: as in `a2lc.run`.
        client: of a cluster that plays them, as in `run_many`; None: the cluster that ``A2LC_SCHEDULER`` names; where
            it is unset, one run after the other in this process.

    Returns:
        Row name -> its runs, one per seed.

    Raises:
        ValueError: a field is unknown or wrong; nothing is started then.
        FailedRuns: some runs failed, the others are finished; or what else `run_many` raises.
    """
    seeds = list(seeds)
    jobs = [(row, experiment_of(fields, own, seed)) for seed in seeds for row, own in rows.items()]
    experiments = [experiment for _, experiment in jobs]
    runs = run_many(experiments, runs_dir, client, workers=0, device=device, progress=progress)
    found: dict[str, list[Run]] = {row: [] for row in rows}
    for (row, _), run in zip(jobs, runs, strict=True):
        found[row].append(run)
    return found


def experiment_of(fields: Mapping[str, Any], own: Mapping[str, Any], seed: int) -> Experiment:
    """The run of one row and seed; arguments as in `run_rows`.

    Raises:
        ValueError: a field is unknown or wrong.
    """
    shared = dict(fields)
    if "pseudo_labels" in METHODS.get(own.get("method", ""), {}):
        for name in ("pseudo_labels", "scoring"):
            shared.pop(name, None)
    return Experiment(**{**shared, **own, "seed": seed})


def run_all(
    fields: dict[str, Any],
    methods: Iterable[str] = ("alc", "a2lc"),
    seeds: Iterable[int] = (0, 1, 2),
    *,
    runs_dir: str | os.PathLike[str] = "runs",
    client: Client | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Run]:
    """Table 1's protocol: `run_rows` with a row per method.

    Args:
        fields: as in `run_rows`.
        methods: presets of ``a2lc.config.METHODS``.
        seeds, runs_dir, client, device, progress: as in `run_rows`.

    Returns:
        The runs, method after method, one per seed.

    Raises:
        ValueError, FailedRuns: as `run_rows`.
    """
    rows = {method: {"method": method} for method in methods}
    runs = run_rows(fields, rows, seeds, runs_dir=runs_dir, client=client, device=device, progress=progress)
    return [run for of_row in runs.values() for run in of_row]
