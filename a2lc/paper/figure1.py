"""Figure 1: round by round to saturation, and what the paper reads from it: ours, and recomputed from its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2lc.figures import METRIC_TITLE, style_of
from a2lc.paper.tables import METRICS, paper_table, paper_values, reference_results, rounds_table
from a2lc.runs import Run

NAN = float("nan")
STATEMENTS = {
    "saturation_round": "round in which A²LC saturates",
    "miou": "mIoU there, %",
    "over_alc": "points above ALC there",
    "alc_round": "ALC's round compared with",
    "share_of_full": "% of full supervision there",
    "clicks_to_pass": "% of ALC's clicks to pass its last level",
    "relative_gain": "% above ALC after equally many rounds",
}
"""What `effectiveness` computes, in words."""

STATED: dict[str, dict[str, dict[str, float]]] = {
    "cityscapes": {
        "model_miou": {"saturation_round": 6, "over_alc": 11.81, "share_of_full": 94, "clicks_to_pass": 20},
        "data_miou": {"clicks_to_pass": 20, "relative_gain": 27.23},
    },
    "voc2012": {
        "model_miou": {"saturation_round": 5, "over_alc": 4.44, "share_of_full": 95, "clicks_to_pass": 60},
        "data_miou": {"clicks_to_pass": 60, "relative_gain": 14.30},
    },
}
"""The paper's statements: dataset -> metric -> statement -> number. From the caption of Figure 1, which must be about
Model mIoU, as it compares with full supervision; and from the text to Table 1, which names no metric: by Table 1 the
shares of clicks hold for both, the gains for Data mIoU."""

UPPER = {"model_miou": "full supervision", "data_miou": "every mask answered"}
"""What a level above the curves is, by metric."""

_COLUMNS = ["dataset", "metric", "method", "round", "clicks", "mean", "std", "n_seeds", "played"]


def released_results(dataset: str) -> pd.DataFrame:
    """Data and Model mIoU of the runs whose results the authors released (ngbrjyj/A2LC): A²LC, ten rounds of seed 1 and
    five of seeds 2 and 3, which are behind Table 1. There are none of ALC or full supervision.

    Args:
        dataset: ``cityscapes`` or ``voc2012``.

    Returns:
        Columns metric (data_miou or model_miou), seed, round (0: before any correction; missing for some seeds), value
        in percent.

    Raises:
        ValueError: nothing was released for this dataset.
    """
    table = reference_results("a2lc_released_results")
    if dataset not in set(table["dataset"]):
        raise ValueError(f"dataset: expected one of {', '.join(sorted(set(table['dataset'])))}, found {dataset!r}")
    table = table[(table["dataset"] == dataset) & (table["metric"] == "mean_iou")]
    table = table.assign(metric=table["split"] + "_miou", value=100 * table["value"])
    return table[["metric", "seed", "round", "value"]].sort_values(["metric", "seed", "round"], ignore_index=True)


def published_curves(dataset: str, a2lc: Literal["table1", "released"] = "released") -> pd.DataFrame:
    """The curves of `round_curves` from published numbers; ``clicks`` counts budgets of one round.

    Args:
        dataset: ``cityscapes`` or ``voc2012``.
        a2lc: A²LC's curve: Table 1's mean of three seeds over five rounds, or the authors' released seed 1 over ten
            (`released_results`). ALC's is Table 1's: nothing beyond is published.

    Raises:
        ValueError: nothing was released for this dataset.
    """
    released = released_results(dataset)
    table = paper_table("table1").assign(n_seeds=3)
    table = table[table["dataset"] == dataset].rename(columns={"value": "mean"})
    if a2lc == "released":
        seed = released[released["seed"] == 1].rename(columns={"value": "mean"})
        seed = seed.assign(method="a2lc", std=NAN, n_seeds=1)
        table = pd.concat([table[table["method"] == "alc"], seed], ignore_index=True)
    table = table.astype({"round": int}).assign(dataset=dataset, clicks=table["round"], played=True)
    return table[_COLUMNS].sort_values("metric", kind="stable", ignore_index=True)


def full_supervision(dataset: str) -> float:
    """The paper's Model mIoU of full supervision in percent (Table 2); NaN where it prints none (PASCAL VOC)."""
    return paper_values("table2", "model_miou", dataset).get("fully_supervised", NAN)


def round_curves(runs: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """The curves of Figure 1 from finished runs.

    A run that has queried every mask ends early and stays where it is: its last numbers are carried on to the last
    round asked for, with ``played`` False.

    Args:
        runs: row name -> finished runs (`experiments.run_rows`); `effectiveness` reads the rows ``alc`` and ``a2lc``.

    Returns:
        Columns dataset, metric, method (the row), round, clicks (after the round, mean over seeds), mean, std (percent;
        `tables.rounds_table`), n_seeds, played.

    Raises:
        ValueError: no runs, or one of them is not finished.
    """
    listed = {name: list(of_row) for name, of_row in runs.items()}
    table = rounds_table(listed)
    parts: list[pd.DataFrame] = []
    for name, of_row in listed.items():
        clicks = pd.concat([run.summary for run in of_row]).groupby("round")["clicks"].mean()
        rounds = pd.RangeIndex(max(run.config.rounds for run in of_row) + 1, name="round")
        for metric in METRICS:
            played = table[(table["method"] == name) & (table["metric"] == metric)].set_index("round")
            curve = played.assign(clicks=clicks).reindex(rounds, method="ffill")
            parts.append(curve.assign(played=rounds.isin(played.index)).reset_index())
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def saturation(means: pd.Series, tolerance: float = 0.5) -> int | None:
    """The first round after which no later one is more than `tolerance` points higher; None where only the last round
    is such a one, for nobody knows what would follow it. The paper does not say what it calls saturated.

    Args:
        means: mIoU in percent by round, ascending.
        tolerance: points of mIoU, >= 0.
    """
    best_later = means[::-1].cummax()[::-1].shift(-1)
    saturated = means.index[best_later - means <= tolerance]  # NaN in the last round: not saturated
    return int(saturated[0]) if len(saturated) else None


def effectiveness(
    curves: pd.DataFrame, full: float = NAN, tolerance: float = 0.5, at: Mapping[str, int] | None = None
) -> pd.Series:
    """What the paper reads from Figure 1 and Table 1, computed from curves.

    Args:
        curves: what `round_curves` or `published_curves` returns, with rows ``alc`` and ``a2lc``.
        full: Model mIoU of full supervision in percent, NaN where unknown.
        tolerance: of `saturation`, in points.
        at: metric -> round to read at instead of where A²LC saturates.

    Returns:
        Numbers by (metric, statement), the latter in the order of `STATEMENTS`. Where A²LC saturates after ALC's last
        round, ALC's last is compared with, and ``alc_round`` says so. A²LC passes ALC's last level in the first round
        in which it is higher. NaN where something is unknown or does not happen.

    Raises:
        ValueError: a row is missing; A²LC has no round `at`.
    """
    if missing := {"alc", "a2lc"} - set(curves["method"]):
        raise ValueError(f"curves: expected the rows alc and a2lc, {' and '.join(sorted(missing))} missing")
    found: dict[tuple[str, str], float] = {}
    for metric in METRICS:
        rows = curves[curves["metric"] == metric]
        alc, a2lc = (rows[rows["method"] == name].set_index("round") for name in ("alc", "a2lc"))
        read = (at or {}).get(metric, saturation(a2lc["mean"], tolerance))
        if read is not None and read not in a2lc.index:
            raise ValueError(f"at: expected a round of A²LC's, {a2lc.index[0]} to {a2lc.index[-1]}, found {read}")
        numbers = _at_round(alc["mean"], a2lc["mean"], read, full if metric == "model_miou" else NAN)
        last, common = alc.iloc[-1], min(alc.index[-1], a2lc.index[-1])
        numbers["clicks_to_pass"] = 100 * a2lc["clicks"][a2lc["mean"] > last["mean"]].min() / last["clicks"]
        numbers["relative_gain"] = 100 * (a2lc["mean"][common] / alc["mean"][common] - 1)
        found |= {(metric, name): float(numbers[name]) for name in STATEMENTS}
    return pd.Series(found)


def _at_round(alc: pd.Series, a2lc: pd.Series, read: int | None, full: float) -> dict[str, float]:
    """The statements about one round, `read`."""
    if read is None:
        return dict.fromkeys(("saturation_round", "miou", "over_alc", "alc_round", "share_of_full"), NAN)
    alc_round = min(read, alc.index[-1])
    there = {"saturation_round": read, "miou": a2lc[read], "alc_round": alc_round}
    return there | {"over_alc": a2lc[read] - alc[alc_round], "share_of_full": 100 * a2lc[read] / full}


def stated(dataset: str) -> pd.Series:
    """The paper's own numbers by (metric, statement), see `STATED`; empty for other datasets."""
    numbers = {(metric, name): v for metric, of in STATED.get(dataset, {}).items() for name, v in of.items()}
    return pd.Series(numbers, dtype=float)


def effectiveness_figure(
    sources: Mapping[str, pd.DataFrame],
    upper: Mapping[str, Mapping[str, float]],
    title: str,
    tolerance: float = 0.5,
) -> Figure:
    """Figure 1: Model and Data mIoU round by round, two panels a source, each with axes of its own; as wide as two
    columns of a page.

    Args:
        sources: title of its panels -> curves (`round_curves`, `published_curves`).
        upper: the same titles -> metric -> percent of a line above the curves (`UPPER`); NaN or nothing draws none.
        title: over the figure; says so when data are simulated.
        tolerance: of `saturation`, in points.
    """
    size = (7, 0.9 + 2.15 * len(sources))
    fig, axes = plt.subplots(len(sources), 2, figsize=size, squeeze=False, layout="constrained")
    handles: dict[str, Artist] = {}
    for row, (source, curves) in zip(axes, sources.items(), strict=True):
        for axis, metric in zip(row, UPPER, strict=True):
            rows = curves[curves["metric"] == metric]
            _draw_panel(axis, rows, tolerance)
            level = upper.get(source, {}).get(metric, NAN)
            if level == level:
                line = ":" if metric == "model_miou" else (0, (1, 3))
                axis.axhline(level, color="black", linewidth=1.1, linestyle=line, label=UPPER[metric])
            axis.set_title(source, fontsize=8, loc="left")
            axis.set_xlabel("round", fontsize=8)
            axis.set_ylabel(METRIC_TITLE[metric], fontsize=8)
            axis.set_xticks(sorted(rows["round"].unique()))
            axis.tick_params(labelsize=7)
            axis.grid(alpha=0.3)
            handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=7.5, frameon=False)
    carried = any(not curves["played"].all() for curves in sources.values())
    title += " Without markers: no mask was left to ask about." * carried
    fig.suptitle("\n".join(wrap(title, 105, break_on_hyphens=False)), fontsize=8)
    return fig


def _draw_panel(axis: Axes, curves: pd.DataFrame, tolerance: float) -> None:
    """ALC and A²LC, ALC's last level, where A²LC passes it and where it saturates."""
    for i, (name, rows) in enumerate(curves.groupby("method", sort=False)):
        label, colour, marker, line = style_of(str(name), i)
        played, std = np.flatnonzero(rows["played"]).tolist(), rows["std"].fillna(0)
        look: dict[str, Any] = {
            "color": colour,
            "linestyle": line,
            "marker": marker,
            "markersize": 4.5,
            "linewidth": 1.4,
        }
        axis.plot(rows["round"], rows["mean"], markevery=played, label=label, **look)
        low, high = rows["mean"] - std, rows["mean"] + std
        axis.fill_between(rows["round"], low, high, color=colour, alpha=0.15, linewidth=0)
    alc, a2lc = (curves[curves["method"] == name].set_index("round")["mean"] for name in ("alc", "a2lc"))
    colour = style_of("alc")[1]
    axis.axhline(alc.iloc[-1], color=colour, linewidth=0.9, linestyle=(0, (5, 3)), label="ALC's last level")
    above = a2lc[a2lc > alc.iloc[-1]][:1]
    ring: dict[str, Any] = {
        "marker": "o",
        "markersize": 10,
        "markerfacecolor": "none",
        "color": "#D55E00",
        "linestyle": "",
    }
    if len(above):
        axis.plot(above.index, above, label="A²LC passes it", **ring)
    if (end := saturation(a2lc, tolerance)) is not None:
        axis.axvline(end, color="#0072B2", linewidth=0.9, linestyle="-.", label="A²LC saturates")
