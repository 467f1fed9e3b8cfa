"""Figure 5: of which classes the queried masks are, from the most frequent class to the rarest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from a2lc.acquisition import class_weights
from a2lc.figures import style_of
from a2lc.masks import MaskSet
from a2lc.paper.clicks import check_starts_from_labels
from a2lc.paper.tables import check_finished
from a2lc.runs import Run

COUNTS = {"by_label": "By the label when asked", "by_answer": "By the answer"}
"""The two ways to say of which class a queried mask is, and their titles."""


def class_distribution(runs: Mapping[str, Iterable[Run]], tail_ratio: float = 0.5) -> pd.DataFrame:
    """Queried masks of every class in every round.

    Classes are ranked by the **pixels** of their masks in the first labels, which is what ABC weighs (`class_weights`,
    Eq. 7); the paper says "pseudo-label frequency" only. A class of many small masks is rare by this measure.

    Args:
        runs: row name -> finished runs that start from the same labels (`experiments.run_rows`).
        tail_ratio: share of the K classes that count as tail, in [0, 1], rounded down: alpha of Eq. 5, but for classes
            ranked by frequency in the first labels.

    Returns:
        Columns row, seed, round (from 1), class, rank (0: most frequent; ties in class order), pixels and masks of the
        class in the first labels, tail; by_label: masks queried that carried the class just before; by_answer: masks
        whose answer was the class. A row for every class, and one with rank K for ``void``.

    Raises:
        ValueError: no runs; a run is not finished, has no queries, or starts from superpixels; runs that start from
            different labels.
    """
    parts, first = [], None
    for name, run in [(name, run) for name, of_row in runs.items() for run in of_row]:
        _check(run)
        classes = ranked_classes(run.masks(0), tail_ratio)
        if first is not None and not classes.equals(first):
            raise ValueError(f"{run.path}: expected runs that start from the same labels, found others")
        first = classes
        for number in range(1, run.finished_rounds + 1):
            queries = run.queries(number)
            counts = {f"by_{what}": _count(queries[what], len(classes) - 1) for what in ("label", "answer")}
            part = classes.assign(row=name, seed=run.config.seed, round=number, **counts)
            parts.append(part.sort_values("rank"))
    if not parts:
        raise ValueError("a distribution needs at least one finished run, found none")
    columns = ["row", "seed", "round", "class", "rank", "pixels", "masks", "tail", *COUNTS]
    return pd.concat(parts, ignore_index=True)[columns]


def _check(run: Run) -> None:
    check_starts_from_labels(run)
    check_finished(run)
    if run.finished_rounds == 0:
        raise ValueError(f"{run.path}: expected at least one round of queries, found none")


def ranked_classes(masks: MaskSet, tail_ratio: float = 0.5) -> pd.DataFrame:
    """The classes by frequency, counted in pixels of the masks' present labels (Eq. 7).

    Args:
        masks: M masks.
        tail_ratio: as in `class_distribution`.

    Returns:
        A row per class id, void last: class, rank (0: most frequent; void K), pixels (0 of void), masks, tail.
    """
    k, pixels = len(masks.classes), class_weights(masks).pixel_counts
    rank = np.append(np.argsort(np.argsort(-pixels, kind="stable")), k)
    columns = {"class": [*masks.classes.names, "void"], "rank": rank, "pixels": np.append(pixels, 0)}
    columns |= {"masks": _count(masks.table["label"], k), "tail": (rank >= k - int(tail_ratio * k)) & (rank < k)}
    return pd.DataFrame(columns)


def _count(labels: pd.Series, k: int) -> np.ndarray:
    """(K + 1,) masks of each class id, the last entry void."""
    return np.bincount(np.minimum(labels.to_numpy(np.int64), k), minlength=k + 1)


def tail_shares(distribution: pd.DataFrame, by_round: bool = False) -> pd.DataFrame:
    """Percent of the queries that went to tail classes.

    Args:
        distribution: what `class_distribution` returns.
        by_round: a row per round instead of one over all rounds.

    Returns:
        Columns row, round where asked for, queries (mean over seeds, rounded), n_seeds; by_label and by_answer: percent
        of all queries, void ones included, mean over seeds, and their sample standard deviation ``_std`` where there
        are several seeds.
    """
    keys = ["row", "round"] if by_round else ["row"]
    groups = [*keys, "seed"]
    total = distribution.groupby(groups, sort=False)[list(COUNTS)].sum()
    tail = distribution[distribution["tail"]].groupby(groups, sort=False)[list(COUNTS)].sum()
    shares = (100 * tail.reindex(total.index, fill_value=0) / total).assign(queries=total["by_label"])
    by_row = shares.groupby(keys, sort=False)
    queries = by_row["queries"].mean().round().astype(int)
    columns: dict[str, Any] = {"queries": queries, "n_seeds": by_row.size()}
    for name in COUNTS:
        columns |= {name: by_row[name].mean(), f"{name}_std": by_row[name].std()}
    return pd.DataFrame(columns).reset_index().dropna(axis=1, how="all")


def distribution_figure(distribution: pd.DataFrame, title: str, log: bool = False) -> Figure:
    """Figure 5: masks queried over all rounds, a group of bars per class from frequent to rare, a bar per row; above by
    the label that they carried when asked about, below by the answer; as wide as two columns of a page.

    Args:
        distribution: what `class_distribution` returns; means over seeds are drawn.
        title: over the figure; says so when data are simulated.
        log: whether the number of masks has a logarithmic scale.
    """
    totals = distribution.groupby(["row", "seed", "rank"], sort=False)[list(COUNTS)].sum()
    means = totals.groupby(["row", "rank"], sort=False).mean()
    classes = _drawn_classes(distribution, [*COUNTS])
    shares = tail_shares(distribution).set_index("row")
    names, where = list(distribution["row"].unique()), np.arange(len(classes))
    width = 0.84 / len(names)
    fig, axes = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True, layout="constrained")
    for axis, (counts, heading) in zip(axes, COUNTS.items(), strict=True):
        for i, name in enumerate(names):
            label, colour, *_ = style_of(name, i)
            heights = means[counts].loc[name].reindex(classes["rank"]).to_numpy()
            left = where + (i - len(names) / 2) * width
            axis.bar(left, heights, width * 0.92, align="edge", color=colour, alpha=0.85, label=label)
        in_tail = ", ".join(f"{style_of(name, i)[0]} {shares.loc[name, counts]:.0f} %" for i, name in enumerate(names))
        axis.set_title(f"{heading}. To the tail classes: {in_tail}", fontsize=8, loc="left")
        axis.set_ylabel("queried masks" + (" (log scale)" if log else ""), fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
        if log:
            axis.set_yscale("log")
            axis.set_ylim(bottom=0.5)  # a bar of one mask is seen
        if edges := _tail_edges(classes):
            axis.axvspan(*edges, color="#F0E442", alpha=0.18, linewidth=0, zorder=0)
    axes[1].set_xticks(where, list(classes["class"]), rotation=40, ha="right", rotation_mode="anchor")
    axes[1].set_xlabel("classes by pixels in the first labels, most frequent first; shaded: tail", fontsize=8)
    axes[1].set_xlim(-0.6, len(classes) - 0.4)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 100, break_on_hyphens=False)), fontsize=8)
    return fig


def _drawn_classes(distribution: pd.DataFrame, counts: list[str]) -> pd.DataFrame:
    """Class, rank and tail of the classes from frequent to rare, and of void where one of `counts` has it."""
    classes = distribution.groupby(["rank", "class", "tail"], as_index=False)[counts].sum()
    return classes[(classes["rank"] < len(classes) - 1) | (classes[counts].sum(axis=1) > 0)]


def _tail_edges(classes: pd.DataFrame) -> list[float]:
    """Where the tail begins and ends between positions 0, 1, ...; nothing without tail classes."""
    inside = np.flatnonzero(classes["tail"])
    return [inside[0] - 0.5, inside[-1] + 0.5] if len(inside) else []


def rounds_figure(distribution: pd.DataFrame, title: str) -> Figure:
    """The same round by round: percent of a round's queries that went to each class by the label that they carried, a
    panel per row with classes from frequent to rare and rounds. In round 1 all functions see one model.

    Args:
        distribution: what `class_distribution` returns; means over seeds are drawn.
        title: over the figure.
    """
    names, classes = list(distribution["row"].unique()), _drawn_classes(distribution, ["by_label"])
    per_round = distribution.groupby(["row", "round", "seed"])["by_label"].transform("sum")
    shares = distribution.assign(share=100 * distribution["by_label"] / per_round)
    top = shares.groupby(["row", "round", "rank"])["share"].mean().max()
    size = (7, 1.2 + 0.19 * len(classes))
    fig, axes = plt.subplots(1, len(names), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for i, (axis, name) in enumerate(zip(axes[0], names, strict=True)):
        cells = shares[shares["row"] == name].pivot_table(index="rank", columns="round", values="share")
        values = cells.reindex(classes["rank"]).to_numpy()
        image = axis.imshow(values, aspect="auto", cmap="viridis", vmin=0, vmax=top)
        for (y, x), value in np.ndenumerate(values):
            colour = "white" if value < 0.6 * top else "black"
            axis.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=6.5, color=colour)
        axis.set_xticks(range(len(cells.columns)), cells.columns, fontsize=7)
        axis.set_xlabel("round", fontsize=8)
        axis.set_title(style_of(name, i)[0], fontsize=8)
        for edge in [edge for edge in _tail_edges(classes) if edge < len(classes) - 0.5]:
            axis.axhline(edge, color="#D55E00", linewidth=1.2)
    axes[0, 0].set_yticks(range(len(classes)), list(classes["class"]), fontsize=7)
    bar = fig.colorbar(image, ax=axes[0], pad=0.01)
    bar.set_label("% of the round's queries", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    fig.suptitle("\n".join(wrap(f"{title} Below the line: tail classes.", 100, break_on_hyphens=False)), fontsize=8)
    return fig
