"""What rounds on referring expressions come to: Tables 6 and 7, Figures 7 to 9."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from a2lc.paper.referring import NUMBERS, Runs, last_rounds, play_presets, results
from a2lc.paper.tables import shared_and_own
from a2lc.referring import Look, ReferringDataset, ReferringRun, look

SHARES = {"accepted": "sentences accepted (%)", "iou": "IoU of accepted maps (%)", "precision": "right cells (%)"}
"""What `acceptance` measures -> how figures call it."""


# --------------------------------------------------------------------------------------------------- shares of labels
def play_rates(
    fields: Mapping[str, Any],
    percents: Iterable[float],
    presets: Sequence[str],
    seeds: Sequence[int],
    runs_dir: str,
    data: ReferringDataset | None = None,
    progress: bool = False,
) -> dict[float, dict[str, list[ReferringRun]]]:
    """Play presets where so many percent of the images are labelled; arguments and errors of
    `a2lc.paper.referring.play_presets`. A preset that has a rate of its own is the same run for all."""
    return {
        percent: play_presets({**fields, "rate": percent / 100}, presets, seeds, runs_dir, data, progress)
        for percent in percents
    }


def rates_table(by_percent: Mapping[float, Runs]) -> pd.DataFrame:
    """Rows of `a2lc.paper.referring.results` for each share, after ``percent`` and ``images``: how many were labelled,
    which is all of them for a preset with a rate of its own."""
    parts = []
    for percent, runs in by_percent.items():
        images = {name: len(of[0].labelled) for name, of in runs.items()}
        found = results(runs)
        parts.append(found.assign(percent=percent, images=found["method"].map(images)))
    table = pd.concat(parts, ignore_index=True)
    return table[["percent", "images", *table.columns.drop(["percent", "images"])]]


def draw_rates(by_percent: Mapping[float, Runs], number: str, splits: Sequence[str], title: str) -> Figure:
    """One of `NUMBERS`' labels against the share of labelled images: a panel per split, a line per preset with a band
    of one standard deviation over seeds."""
    every = pd.concat([last_rounds(runs).assign(percent=percent) for percent, runs in by_percent.items()])
    fig, axes = plt.subplots(1, len(splits), figsize=(4.4 * len(splits), 3.4), squeeze=False, layout="constrained")
    for axis, split in zip(axes[0], splits, strict=True):
        _lines(every[every["split"] == split], "percent", number, "method", axis)
        axis.set(xscale="log", xlabel="images labelled (%)", ylabel=f"{number} (%)", title=split)
        axis.set_xticks([*by_percent], [f"{percent:g}" for percent in by_percent])
        axis.minorticks_off()
    return _titled(fig, title)


def draw_presets(runs: Runs, number: str, splits: Sequence[str], title: str) -> Figure:
    """One of `NUMBERS`' labels after the last round: a group of bars per preset, a bar per split, over seeds the mean
    and one standard deviation."""
    table = last_rounds(runs)
    fig, axis = plt.subplots(figsize=(7, 0.5 * len(runs) + 1), layout="constrained")
    table = table[table["split"].isin(splits)]
    seaborn.barplot(table, x=number, y="method", hue="split", hue_order=splits, errorbar="sd", palette="muted", ax=axis)
    axis.set(xlabel=f"{number} (%)", ylabel="")
    axis.legend(fontsize=8, title=None)
    return _titled(fig, title)


# ------------------------------------------------------------------------------------------------------ round by round
def learning(runs: Runs) -> pd.DataFrame:
    """A row per run and round: ``method``, ``seed``, ``round``, ``accepted`` (share of sentences) and each of
    `NUMBERS` on ``val``, in percent."""
    rows = []
    for name, of in runs.items():
        for one in of:
            for _, found in one.summary.iterrows():
                numbers = {label: 100 * float(found[f"val_{key}"]) for key, label in NUMBERS.items()}
                about = {"method": name, "seed": one.config.seed, "round": int(found["round"])}
                rows.append({**about, "accepted": 100 * float(found["accepted"]), **numbers})
    return pd.DataFrame(rows)


def draw_learning(table: pd.DataFrame, number: str, title: str) -> Figure:
    """Of what `learning` returns: one number on ``val`` and the share of accepted sentences against rounds, a line per
    preset with a band of one standard deviation over seeds."""
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    _lines(table, "round", number, "method", axes[0])
    axes[0].set(ylabel=f"{number} on val (%)")
    _lines(table[table["round"] > 0], "round", "accepted", "method", axes[1])
    axes[1].set(ylabel=SHARES["accepted"], ylim=(0, 100))
    for axis in axes:
        axis.set_xticks(sorted(set(table["round"])))
    return _titled(fig, title)


def acceptance(runs: Runs) -> pd.DataFrame:
    """A row per run and round of pseudo-labels: ``method``, ``seed``, ``round``, ``sentences`` that are not labelled;
    in percent those ``accepted``, the ``share`` of their cells that was, mean ``iou`` of their fused maps and mean
    ``precision`` of the cells; and ``iou_rejected`` of the others' maps. NaN where there are none.

    Raises:
        KeyError: a run has noted no truth (``reports_truth``).
    """
    rows = []
    for name, of in runs.items():
        for one in of:
            for number in range(1, one.config.rounds + 1):
                found = one.decisions(number)
                taken, left = found[found["gate"] > 0], found[found["gate"] == 0]
                row: dict[str, Any] = {"method": name, "seed": one.config.seed, "round": number}
                row |= {
                    "sentences": len(found),
                    "accepted": 100 * len(taken) / len(found) if len(found) else float("nan"),
                }
                row |= {mean: 100 * float(taken[mean].mean()) for mean in ("share", "iou", "precision")}
                rows.append(row | {"iou_rejected": 100 * float(left["iou"].mean())})
    return pd.DataFrame(rows)


def draw_acceptance(table: pd.DataFrame, title: str) -> Figure:
    """Of what `acceptance` returns: each of `SHARES` against rounds, a line per preset."""
    fig, axes = plt.subplots(1, len(SHARES), figsize=(4.2 * len(SHARES), 3.4), layout="constrained")
    for axis, (column, label) in zip(axes, SHARES.items(), strict=True):
        _lines(table, "round", column, "method", axis)
        axis.set(ylabel=label)
        axis.set_xticks(sorted(set(table["round"])))
    return _titled(fig, title)


# ------------------------------------------------------------------------------------------------------------ pictures
def chosen_sentences(run: ReferringRun, round: int) -> dict[str, int]:
    """Sentences to look at, by a rule: of those accepted in a round the best, the middle and the worst fused map, and
    of those rejected the middle one, each once and as far as there are any: what it is called -> ``sentence_id``."""
    table = run.decisions(round).sort_values(["iou", "sentence_id"], ignore_index=True)
    taken, left = table[table["gate"] > 0]["sentence_id"], table[table["gate"] == 0]["sentence_id"]
    found: dict[str, int] = {}
    for name, place in (("best", len(taken) - 1), ("middle", len(taken) // 2), ("worst", 0)):
        if 0 <= place < len(taken) and int(taken.iloc[place]) not in found.values():
            found[name] = int(taken.iloc[place])
    if len(left):
        found["rejected"] = int(left.iloc[len(left) // 2])
    return found


def looks_at(run: ReferringRun, data: ReferringDataset, sentences: Mapping[str, int], round: int) -> dict[str, Look]:
    """What there is to see of sentences of ``train`` in the decisions of a round: of each its `Look`, by its name and
    what it says."""
    found = {name: look(run, data, "train", number, round - 1) for name, number in sentences.items()}
    return {f"{name}: {seen.sentence}": seen for name, seen in found.items()}


# ---------------------------------------------------------------------------------------------------------- provenance
def provenance(runs: Iterable[ReferringRun], caption: str) -> dict[str, Any]:
    """What stands behind a table, as JSON values: as `a2lc.paper.tables.provenance`."""
    every = {one.path.name: one for one in runs}
    about = {
        name: {"config": one.config.model_dump(mode="json", exclude={"root"}), "computed": one.provenance}
        for name, one in every.items()
    }
    seconds = sum(one.seconds for one in every.values())
    return {"caption": caption, "minutes": round(seconds / 60, 1), **shared_and_own(about)}


def _lines(table: pd.DataFrame, x: str, y: str, hue: str, axis: Any) -> None:
    seaborn.lineplot(
        table, x=x, y=y, hue=hue, style=hue, markers=True, errorbar="sd", palette="colorblind", ax=axis, legend="full"
    )
    axis.legend(fontsize=7, title=None)


def _titled(fig: Figure, title: str) -> Figure:
    fig.suptitle(title, fontsize=9, wrap=True)
    return fig
