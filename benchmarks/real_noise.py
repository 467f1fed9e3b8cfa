"""Real Grounded-SAM masks, without a model: `python benchmarks/real_noise.py --root ../shared/data --out FOLDER`.

Two questions on 5,670 masks of 752 VOC images, from ground truth and masks alone. What does the annotator's rule change
when every mask is answered? How fast does Data mIoU rise when an oracle chooses the order? Writes
annotator_rules, oracle_orders and oracle_budgets. About half a minute on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from second_opinion import (
    ORDERS,
    absolute_majority,
    answered_score,
    class_plurality,
    every_pixel_right,
    innermost_pixels,
    keep_if_mostly_right,
    oracle_curves,
    random_pixel_answers,
)

from a2lc.correction import Oracle
from a2lc.datasets import Split, load_dataset
from a2lc.figures import save_figure
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.paper.tables import paper_table, save_table

ROUNDS, SHARE = 5, 1_000 / 11_257  # the paper's budget on VOC: 1,000 of 11,257 masks a round
SEEDS = 5
INITIAL, PLURALITY, PERFECT = "initial labels", "plurality, void allowed (paper)", "every pixel right"
SCORES = ["data_miou", "pixel_accuracy", "miou_void_wrong", "accuracy_void_wrong"]
STYLE = {  # colour (colour-blind safe), marker, line
    "greedy": ("#000000", "*", "-"),
    "pixels": ("#0072B2", "s", "-"),
    "pixels_per_truth": ("#D55E00", "^", "--"),
    "pixels_per_label": ("#009E73", "v", "-."),
    "random_wrong": ("#CC79A7", "D", "--"),
    "random": ("#666666", "o", ":"),
}


def answers_by_rule(masks: MaskSet, truth: TruthHistogram, split: Split) -> dict[str, list[np.ndarray]]:
    """The answer to every mask under each rule, (M,); several where pixels are drawn at random."""
    every = np.arange(len(masks))
    inner = Oracle(split, truth, "pixel", keep_if_mostly_right=False).answer(every, masks, innermost_pixels(masks))
    drawn = [random_pixel_answers(truth, seed) for seed in range(SEEDS)]
    kept = keep_if_mostly_right(masks, truth, truth.majority)
    assert (kept == truth.majority).all()  # a mask that is more than half right already carries its plurality
    return {
        INITIAL: [masks.table["label"].to_numpy()],
        PLURALITY: [truth.majority],
        "plurality unless > half right (code)": [kept],
        "absolute majority, else as it is": [absolute_majority(masks, truth)],
        "plurality among classes, never void": [class_plurality(masks, truth)],
        "innermost pixel unless > half right": [keep_if_mostly_right(masks, truth, inner)],
        "innermost pixel, honest": [inner],
        "random pixel unless > half right": [keep_if_mostly_right(masks, truth, answers) for answers in drawn],
        "random pixel, honest": drawn,
    }


def rules_table(masks: MaskSet, truth: TruthHistogram, rules: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    """One row per rule, scores in percent; means over seeds where pixels are drawn at random."""
    rows = []
    for name, answers in rules.items():
        every = pd.DataFrame([answered_score(masks, truth, a) for a in answers])
        std = 100 * every["data_miou"].std() if len(every) > 1 else np.nan
        rows.append({"rule": name, "clicks": 0 if name == INITIAL else len(masks), **every.mean(), "std": std})
    rows.append({"rule": PERFECT, **every_pixel_right(masks, truth)})
    table = pd.DataFrame(rows)
    table[SCORES] *= 100
    counts = ["clicks", "changed", "made_void", "void_pixels", "void_pixels_with_class"]
    table[counts] = table[counts].round().astype("Int64")
    return table[["rule", *counts, "data_miou", "std", *SCORES[1:]]]


def click_counts(total: int, steps: int = 57) -> np.ndarray:
    """Numbers of clicks to look at, dense at the start, the paper's budgets among them."""
    spread = total * np.linspace(0, 1, steps) ** 2
    return np.unique(np.concatenate([spread, budgets(total)]).round().astype(int))


def budgets(total: int) -> np.ndarray:
    """Clicks after each of the paper's rounds at its share of the masks."""
    return np.round(total * SHARE * np.arange(1, ROUNDS + 1)).astype(int)


def budgets_table(curves: pd.DataFrame, total: int) -> pd.DataFrame:
    """One row per order, one column per round, Data mIoU in percent; the paper's two methods below."""
    columns = dict(zip([0, *budgets(total), total], [f"round {r}" for r in range(ROUNDS + 1)] + ["all"], strict=True))
    wide = curves.pivot(index="order", columns="clicks", values="data_miou")[list(columns)].rename(columns=columns)
    wide = wide.loc[list(ORDERS)].rename(index=ORDERS)
    paper = paper_table("table1").query("dataset == 'voc2012' and metric == 'data_miou'")
    paper = paper.assign(round=[f"round {int(r)}" for r in paper["round"]])
    for method, name in (("a2lc", "A²LC"), ("alc", "ALC")):
        wide.loc[f"paper: {name}, 1,464 images"] = paper[paper["method"] == method].set_index("round")["value"]
    return wide.rename_axis(index="order", columns=None).reset_index()


def draw_rules(table: pd.DataFrame, title: str) -> Figure:
    """Data mIoU of each rule as a dot, and as a diamond when void pixels count as wrong."""
    fig, axis = plt.subplots(figsize=(6, 3.2))
    table = table[table["rule"] != INITIAL]  # far below the rest: named in the title instead
    y = np.arange(len(table))[::-1]
    axis.hlines(y, table["miou_void_wrong"], table["data_miou"], color="#999999", linewidth=1.2)
    axis.errorbar(
        table["data_miou"], y, xerr=table["std"], fmt="o", color="#0072B2", capsize=3, label="Data mIoU", zorder=3
    )
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.3, "markersize": 8, "zorder": 4}
    axis.plot(table["miou_void_wrong"], y, "D", color="#D55E00", label="the same, void pixels counted as wrong", **ring)
    right = table[["data_miou", "miou_void_wrong"]].max(axis=1) + table["std"].fillna(0)
    for height, value, end in zip(y, table["data_miou"], right, strict=True):
        axis.annotate(f"{value:.1f}", (end, height), (8, 0), textcoords="offset points", fontsize=8, va="center")
    axis.set_yticks(y, table["rule"], fontsize=8)
    axis.set_xlabel("mIoU of the labels, every mask answered (%)", fontsize=8)
    axis.set_title(title, fontsize=8)
    axis.margins(x=0.13)
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(axis="x", labelsize=8)
    handles, labels = axis.get_legend_handles_labels()
    fig.legend(handles[::-1], labels[::-1], fontsize=8, loc="upper center", ncols=2, bbox_to_anchor=(0.4, -0.03))
    return fig


def draw_orders(curves: pd.DataFrame, ceiling: float, total: int, title: str) -> Figure:
    """Data mIoU against clicks, a line per order."""
    fig, axis = plt.subplots(figsize=(5.2, 3.6))
    for order, label in ORDERS.items():
        rows = curves[curves["order"] == order]
        x, mean, std = rows["clicks"], rows["data_miou"], rows["std"].fillna(0)
        colour, marker, line = STYLE[order]
        axis.plot(x, mean, color=colour, marker=marker, ls=line, lw=1.2, ms=4, markevery=4, label=label)
        axis.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    axis.axhline(ceiling, color="black", linewidth=0.8, ls=(0, (1, 3)))
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": 8}
    axis.annotate(f"every mask answered: {ceiling:.1f} %", (total, ceiling), (0, 4), **place)
    for clicks in budgets(total):
        axis.axvline(clicks, color="#999999", linewidth=0.8, zorder=0)
    top = axis.secondary_xaxis("top")
    top.set_xticks(budgets(total), [f"{number}" for number in range(1, ROUNDS + 1)], fontsize=8)
    top.set_xlabel(f"after round, at the paper's {100 * SHARE:.1f} % of the masks each", fontsize=8, loc="left")
    axis.set(ylim=(53, 94))
    axis.set_xlabel("clicks (masks answered)", fontsize=8)
    axis.set_ylabel("Data mIoU (%)", fontsize=8)
    axis.set_title(title, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.2)
    fig.legend(
        *axis.get_legend_handles_labels(), fontsize=8, loc="upper center", ncols=2, bbox_to_anchor=(0.5, -0.01),
        title="order in which an oracle asks about the masks, by", title_fontsize=8,
    )  # fmt: skip
    return fig


def report_rules(masks: MaskSet, truth: TruthHistogram, split: Split, data: str, out: Path) -> None:
    """The first question: save and print table and figure."""
    table = rules_table(masks, truth, answers_by_rule(masks, truth, split))
    about = (
        f"{data}, every mask answered from the ground truth; scores in percent. Pixels labelled void leave Data mIoU "
        "and pixel accuracy, so that answering void can raise both: the last two columns count them as wrong where "
        "the ground truth has a class. No model is involved: the innermost pixel stands in for ALC's representative "
        f"pixel; random pixels are means over {SEEDS} seeds (std: of Data mIoU). What no mask covers stays background."
    )
    save_table(table, "annotator_rules", out, about)
    initial = table.loc[table["rule"] == INITIAL, "data_miou"].item()
    fig = draw_rules(table, f"{data}:\nwhat the annotator's rule changes ({initial:.1f} % before)")
    save_figure(fig, "annotator_rules", out, {"caption": about, "rows": records(table)})
    print(about, table.round(2).to_string(index=False), sep="\n", end="\n\n")


def report_orders(masks: MaskSet, truth: TruthHistogram, data: str, out: Path) -> None:
    """The second question: save and print tables and figure."""
    total, ceiling = len(masks), 100 * truth.ceiling(masks).miou
    curves = oracle_curves(masks, truth, truth.majority, click_counts(total), seeds=SEEDS)
    about = (
        f"{data}; Data mIoU in percent when masks get their most frequent ground truth, void allowed, in an order "
        f"that an oracle chooses; no LCM. Random orders: mean and std of {SEEDS} seeds. A round is the paper's "
        f"share of the masks, {100 * SHARE:.1f} percent ({budgets(total)[0]} clicks)."
    )
    save_table(curves, "oracle_orders", out, about)
    table = budgets_table(curves, total)
    beside = f"{about} The paper's rows start from other images and other labels: compare gains, not levels."
    save_table(table, "oracle_budgets", out, beside)
    title = f"{data}:\nhow fast an oracle could correct them (bands: std of {SEEDS} seeds)"
    numbers = {"caption": about, "ceiling": ceiling, "budgets": budgets(total).tolist(), "rows": records(curves)}
    save_figure(draw_orders(curves, ceiling, total, title), "oracle_orders", out, numbers)
    print(beside, table.round(2).to_string(index=False), sep="\n")


def records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows as JSON values; what is missing becomes null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def main() -> None:
    """Read the masks and answer both questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("../shared/data"), help="VOCdevkit and grounded_sam_voc")
    parser.add_argument("--out", type=Path, default=Path("paper_figures/real_noise"), help="folder of the results")
    arguments = parser.parse_args()
    voc = load_dataset("voc2012", arguments.root / "VOCdevkit", train_list="train_labels_only", labels_only=True)
    real = arguments.root / "grounded_sam_voc"
    masks = MaskSet.from_folders(real / "obj_jpg", real / "mask_jpg", voc.classes, voc.train.names)
    truth = truth_histogram(masks, voc.train)
    data = f"PASCAL VOC 2012, {len(masks.names)} images, {len(masks):,} real Grounded-SAM masks"
    report_rules(masks, truth, voc.train, data, arguments.out)
    report_orders(masks, truth, data, arguments.out)


if __name__ == "__main__":
    main()
