"""``figure_instant``, which is not in the paper: Data mIoU against clicks, and against seconds of computing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from a2lc.figures import METRIC_TITLE, style_of
from a2lc.paper.tables import rounds_table
from a2lc.runs import STAGES, Run

CLOCK = (
    "Seconds: by the clock, as the runs noted them, until a round's labels were there; without the features, which are "
    "computed once for all runs."
)
"""What a caption says of the seconds."""


def seconds_until_labels(run: Run) -> pd.Series:
    """Wall-clock seconds that a run computed until the labels of a round were there: all stages up to and with this
    round, less the training that ends it, which only the next one needs.

    Args:
        run: any run.

    Returns:
        Of every finished round, round 0 first, which is 0.
    """
    stages = run.summary[[f"seconds_{stage}" for stage in STAGES]].fillna(0)
    return stages.sum(axis=1).cumsum() - stages["seconds_trained"]


def cost_curves(runs: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """Data mIoU, clicks and seconds of every round.

    Args:
        runs: row name -> finished runs (`experiments.run_rows`).

    Returns:
        Columns method (the row), round, clicks (mean over seeds), mean and std (Data mIoU in percent), n_seeds, seconds
        (`seconds_until_labels`, mean over seeds).

    Raises:
        ValueError: no runs, or one of them is not finished.
    """
    listed = {name: list(of_row) for name, of_row in runs.items()}
    table = rounds_table(listed)
    table = table[table["metric"] == "data_miou"].drop(columns=["dataset", "metric"])
    spent = pd.concat(
        run.summary[["round", "clicks"]].assign(method=name, seconds=seconds_until_labels(run))
        for name, of_row in listed.items()
        for run in of_row
    )
    spent = spent.groupby(["method", "round"], sort=False)[["clicks", "seconds"]].mean().reset_index()
    columns = ["method", "round", "clicks", "mean", "std", "n_seeds", "seconds"]
    return table.merge(spent, on=["method", "round"])[columns]


def draw_costs(table: pd.DataFrame, title: str, ceiling: float) -> Figure:
    """Data mIoU against clicks and, from the first answers on, against seconds, a line per row.

    Args:
        table: what `cost_curves` returns.
        title: over the figure; says so when data are simulated.
        ceiling: Data mIoU in [0, 1] if every mask were answered (`tables.ceiling`).
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True, layout="constrained")
    for axis, column in zip(axes, ("clicks", "seconds"), strict=True):
        for i, method in enumerate(table["method"].unique()):
            rows = table[(table["method"] == method) & ((table["round"] > 0) | (column == "clicks"))]
            label, colour, marker, line = style_of(method, i)
            axis.plot(rows[column], rows["mean"], color=colour, marker=marker, linestyle=line, label=label)
            low, high = (rows["mean"] + sign * rows["std"].fillna(0) for sign in (-1, 1))
            axis.fill_between(rows[column], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.axhline(100 * ceiling, color="black", linewidth=0.8, linestyle=":", label="every mask answered")
        axis.grid(alpha=0.3)
    axes[0].set(xlabel="clicks", ylabel=METRIC_TITLE["data_miou"])
    axes[1].set(xlabel="seconds of computing", xscale="log")
    axes[1].xaxis.set_major_formatter("{x:g}")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 100)), fontsize=8)
    return fig
