"""Table 3: how many of the masks that the LCM corrected are right, and what else a user must know to trust it.

A correction always changes a label. So the labels that were right before it are those it spoils, those right after it
are those it mends, and the rest were wrong and stay wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from a2lc.correction.confidence import confidence_intervals
from a2lc.masks import AUTOMATIC, VOID, label_names
from a2lc.paper.clicks import answers_only, truth_of
from a2lc.paper.tables import paper_table
from a2lc.runs import Run

ALL = "all"
PAPER_DATASETS = {"cityscapes": "Cityscapes", "voc2012": "PASCAL VOC"}


# --------------------------------------------------------------------------------------------------------- numbers
def corrections_of(run: Run) -> pd.DataFrame:
    """Every correction of the LCM in the finished rounds of a run, read from the masks before and after each round.

    A mask is right when its label is its most frequent ground truth (`TruthHistogram.majority`). Where that is void no
    class is right.

    Args:
        run: a run with the LCM.

    Returns:
        A row per correction, by round and row: seed, round, row (of the mask table), image, mask_id, area (pixels),
        old and new label and truth (class names, or void), confidence in [0, 1], right_before and right_after (bool).
        A mask corrected in two rounds has two rows.

    Raises:
        ValueError: a run without the LCM, or an image has no ground truth.
    """
    if not run.config.lcm:
        raise ValueError(f"{run.path}: expected a run with the LCM, found method {run.config.method!r} without it")
    before, truth = run.masks(0), truth_of(run).majority
    names = label_names(before.classes)
    parts = []
    for number in range(1, run.finished_rounds + 1):
        after = run.masks(number)
        corrected = after.table["source"].isin(AUTOMATIC) & (after.table["round"] == number)
        rows = np.flatnonzero(corrected)
        old, new = (masks.table["label"].to_numpy()[rows] for masks in (before, after))
        found = after.table.iloc[rows][["image", "mask_id", "area", "confidence"]].astype({"image": object})
        labels = {name: names[values] for name, values in (("old", old), ("new", new), ("truth", truth[rows]))}
        right = {"right_before": old == truth[rows], "right_after": new == truth[rows]}
        parts.append(found.assign(seed=run.config.seed, round=number, row=rows, **labels, **right))
        before = after
    columns = ["seed", "round", "row", "image", "mask_id", "area", "old", "new", "truth", "confidence"]
    columns += ["right_before", "right_after"]
    if not parts:
        return pd.DataFrame(columns=columns).astype({"right_before": bool, "right_after": bool, "confidence": float})
    return pd.concat(parts, ignore_index=True)[columns]


def lcm_accuracy(runs: Iterable[Run]) -> pd.DataFrame:
    """Table 3 per run, round and in total.

    Args:
        runs: finished runs with the LCM.

    Returns:
        Columns seed; round ("1", "2", ... and "all", the sum over rounds); n_corrected; n_masks, how many different
        masks these are; n_clean_before and n_clean_after, how many were right; oa_before and oa_after, the same in
        percent, NaN where nothing was corrected; n_void, how many are mostly void, so that no class is right.

    Raises:
        ValueError: as `corrections_of`.
    """
    rows = []
    for run in runs:
        found = corrections_of(run)
        parts = {str(r): found[found["round"] == r] for r in range(1, run.finished_rounds + 1)} | {ALL: found}
        for name, part in parts.items():
            counts = {"n_corrected": len(part), "n_masks": part["row"].nunique()}
            counts |= {f"n_clean_{when}": int(part[f"right_{when}"].sum()) for when in ("before", "after")}
            rows.append(
                {"seed": run.config.seed, "round": name, **counts, "n_void": int((part["truth"] == VOID).sum())}
            )
    return _with_shares(pd.DataFrame(rows))


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """`lcm_accuracy` over seeds: mean counts, and shares of the corrections of all seeds together."""
    counts = [name for name in table if str(name).startswith("n_")]
    return _with_shares(table.groupby("round", sort=False)[counts].mean().reset_index())


def _with_shares(table: pd.DataFrame) -> pd.DataFrame:
    n = table["n_corrected"].where(table["n_corrected"] > 0)
    return table.assign(**{f"oa_{when}": 100 * table[f"n_clean_{when}"] / n for when in ("before", "after")})


def lcm_beside_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Our total, over seeds, and both rows of the paper's Table 3.

    Args:
        table: what `lcm_accuracy` returns.

    Returns:
        Rows ours, and for each dataset of the paper its numbers and the difference, ours minus the paper's. Columns
        numbers (which of these), n_corrected, oa_before, oa_after (percent), gain (points), n_clean_before and
        n_clean_after; counts are rounded means over seeds.
    """
    quantities = ["n_corrected", "oa_before", "oa_after", "n_clean_before", "n_clean_after"]
    rows = {"ours": over_seeds(table).set_index("round").loc[ALL, quantities].astype(float)}
    for dataset, label in PAPER_DATASETS.items():
        rows[f"paper, {label}"] = _printed(dataset)[quantities]
        rows[f"difference to {label}"] = rows["ours"] - rows[f"paper, {label}"]
    wide = pd.DataFrame(rows).T.rename_axis("numbers").reset_index()
    wide.insert(4, "gain", wide["oa_after"] - wide["oa_before"])
    counts = [name for name in quantities if name.startswith("n_")]
    return wide.round(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


def _printed(dataset: str) -> pd.Series:
    """The paper's row of Table 3."""
    table = paper_table("table3")
    return table[table["dataset"] == dataset].set_index("metric")["value"]


def label_flows(corrections: pd.DataFrame, by: Sequence[str] = ("old", "new")) -> pd.DataFrame:
    """From which class to which the LCM moved masks, and how often rightly.

    Args:
        corrections: what `corrections_of` returns, of one or more runs.
        by: what makes a flow; ``("new",)`` counts by the class given.

    Returns:
        The columns of `by`, n, share (percent of all corrections), right_before and right_after (percent of the flow);
        the largest flow first.
    """
    groups = corrections.groupby(list(by))
    flows = groups.agg(n=("row", "size"), right_before=("right_before", "mean"), right_after=("right_after", "mean"))
    flows = flows.reset_index().astype({"n": int, "right_before": float, "right_after": float})
    flows[["right_before", "right_after"]] *= 100
    flows.insert(len(by) + 1, "share", 100 * flows["n"] / max(1, len(corrections)))
    return flows.sort_values(["n", *by], ascending=[False, *[True] * len(by)], ignore_index=True)


def right_by_confidence(corrections: pd.DataFrame) -> pd.DataFrame:
    """Whether the LCM's confidence is honest: of corrections made with a confidence of 0.99, 99 % should be right.

    Args:
        corrections: what `corrections_of` returns, of one or more runs.

    Returns:
        A row per interval that occurs: interval (`confidence_intervals`), n, confidence (its mean), right_before and
        right_after, and the 95 % Wilson interval of right_after as right_low and right_high; shares in
        percent. Masks of one image are alike, so the interval is rather too narrow.
    """
    intervals = pd.CategoricalIndex(confidence_intervals(corrections["confidence"].to_numpy()))
    rows = []
    for interval, part in corrections.groupby(intervals, observed=True):
        claimed, before, after = (
            float(part[name].astype(float).mean()) for name in ("confidence", "right_before", "right_after")
        )
        shares = [100 * share for share in (claimed, before, after, *_wilson(after, len(part)))]
        rows.append([interval, len(part), *shares])
    names = ["interval", "n", "confidence", "right_before", "right_after", "right_low", "right_high"]
    return pd.DataFrame(rows, columns=names)


def _wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    centre, spread = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)


def lcm_effect(runs: Iterable[Run]) -> pd.DataFrame:
    """What the corrections did to Data mIoU, apart from the answers of the same round.

    Args:
        runs: finished runs with the LCM.

    Returns:
        Columns seed, round; before: Data mIoU in percent of the labels that the round starts with; answers: with its
        answers applied; corrected: with the LCM's corrections as well; by_answers and by_lcm: points gained. In the row
        ``all`` the first labels, the answers of all rounds without any correction (`clicks.answers_only`), and the last
        labels.

    Raises:
        ValueError: a run of superpixels, or an image has no ground truth.
    """
    rows = []
    for run in runs:
        truth, masks = truth_of(run), run.masks(0)
        for number in range(1, run.finished_rounds + 1):
            folder, after = run.folder(number), run.masks(number)
            answered = masks.relabel(folder.queried_rows(), folder.answered_labels(), source="annotator", round=number)
            mious = [truth.data_metrics(each).miou for each in (masks, answered, after)]
            rows.append((run.config.seed, str(number), *mious))
            masks = after
        mious = [truth.data_metrics(run.masks(0)).miou, answers_only(run), truth.data_metrics(masks).miou]
        rows.append((run.config.seed, ALL, *mious))
    table = pd.DataFrame(rows, columns=["seed", "round", "before", "answers", "corrected"])
    table[["before", "answers", "corrected"]] *= 100
    return table.assign(by_answers=table["answers"] - table["before"], by_lcm=table["corrected"] - table["answers"])


# --------------------------------------------------------------------------------------------------------- figures
def accuracy_bars(table: pd.DataFrame, title: str) -> Figure:
    """Right before and right after, a pair of bars per round, in total, and for the paper's two datasets (hatched).

    Args:
        table: what `lcm_accuracy` returns; several seeds are taken together (`over_seeds`).
        title: over the figure; says so when data are simulated.
    """
    ours = over_seeds(table).rename(columns={"round": "group"})
    names = ["n_corrected", "oa_before", "oa_after"]
    printed = [
        {"group": f"paper:\n{label}"} | _printed(dataset)[names].to_dict() for dataset, label in PAPER_DATASETS.items()
    ]
    groups = pd.concat([ours[["group", *names]], pd.DataFrame(printed)], ignore_index=True)
    where = np.arange(len(groups)) + 0.4 * (np.arange(len(groups)) >= len(ours) - 1)
    where += 0.4 * (np.arange(len(groups)) >= len(ours))
    fig, axis = plt.subplots(figsize=(7, 2.7), layout="constrained")
    for name, label, bar_colour, side in (
        ("oa_before", "right before", "#999999", -0.2),
        ("oa_after", "right after", "#0072B2", 0.2),
    ):
        bars = axis.bar(where + side, groups[name].fillna(0), 0.4, label=label, color=bar_colour, edgecolor="white")
        for bar in bars[len(ours) :]:
            bar.set_hatch("///")
        texts = ["" if np.isnan(value) else f"{value:.2f}" for value in groups[name]]
        axis.bar_label(bars, texts, fontsize=6.5, padding=1)
    counts = [f"{group}\n{n:,.0f}" for group, n in zip(groups["group"], groups["n_corrected"], strict=True)]
    axis.set_xticks(where, counts, fontsize=7)
    axis.set(ylim=(0, 100))
    axis.set_ylabel("share of corrections (%)", fontsize=8)
    axis.set_xlabel("round, and the number of corrections", fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    axis.legend(fontsize=7, ncols=2, loc="upper left", frameon=False)
    fig.suptitle("\n".join(wrap(title, 122)), fontsize=7.5)
    return fig


def reliability(table: pd.DataFrame, title: str) -> Figure:
    """Share of right corrections against the confidence they were made with: one column of a page wide.

    Args:
        table: what `right_by_confidence` returns.
        title: over the figure; says so when data are simulated.
    """
    fig, axis = plt.subplots(figsize=(3.5, 2.9), layout="constrained")
    where = np.arange(len(table))
    spread = np.abs(table[["right_low", "right_high"]].to_numpy(float) - table[["right_after"]].to_numpy(float)).T
    axis.plot(where, table["confidence"], "D", markerfacecolor="white", color="#D55E00", label="claimed: confidence")
    axis.errorbar(
        where,
        table["right_after"],
        yerr=spread,
        fmt="o",
        markersize=5,
        capsize=3,
        color="#0072B2",
        label="right after (95 % interval)",
    )
    axis.plot(where, table["right_before"], "x", color="#666666", label="right before")
    labels = table["interval"].astype(str).str.replace(" to ", "\nto ")
    ticks = [f"{label}\n({n:,})" for label, n in zip(labels, table["n"], strict=True)]
    axis.set_xticks(where, ticks, fontsize=6.5)
    axis.set(xlim=(-0.5, max(1, len(table)) - 0.5), ylim=(-3, 105))
    axis.set_xlabel("confidence, and the number of corrections", fontsize=7.5)
    axis.set_ylabel("share of corrections (%)", fontsize=7.5)
    axis.tick_params(axis="y", labelsize=7)
    axis.grid(alpha=0.3)
    if table.empty:
        axis.text(0, 50, "the LCM corrected no mask", fontsize=7.5, ha="center")
    fig.legend(loc="outside lower center", ncols=2, fontsize=6.5, frameon=False)
    fig.suptitle("\n".join(wrap(title, 68)), fontsize=6.5)
    return fig
