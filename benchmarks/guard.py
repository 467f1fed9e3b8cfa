"""Published against guarded LCM over budgets: `python benchmarks/guard.py runs/<run> [runs/<run> ...] --out FOLDER`.

Takes finished A²LC runs (one per seed), replays their first round with budgets from 1 % to 15 % of the masks, and
applies to the same answers no LCM, the published LCM and the guarded one. Nothing is retrained: what is compared is
what the LCM does to the labels in the round in which it corrects most. Writes lcm_guard.{csv,md,tex,png,pdf,json}.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from a2lc.acquisition import class_weights, gather_statistics
from a2lc.correction import propose_corrections, train_lcm
from a2lc.correction.guard import guard_corrections
from a2lc.datasets import load_dataset
from a2lc.figures import save_figure
from a2lc.metrics import truth_histogram
from a2lc.rounds import round_seeds, select_queries
from a2lc.runs import Run
from a2lc.tables import caption, save_table

BUDGETS = (0.01, 0.03, 0.06, 0.09, 0.15)
STYLE = {"no LCM": ("#666666", "o", "--"), "published": ("#0072B2", "s", "-"), "guarded": ("#D55E00", "^", "-.")}


def first_round(run: Run) -> list[dict[str, object]]:
    """One row per budget and variant."""
    config, seed = run.config, round_seeds(run.config.seed, 1)["lcm"]
    train, masks = load_dataset(config.dataset, config.root).train, run.masks(0)
    truth, k = truth_histogram(masks, train), len(masks.classes)
    weights = class_weights(masks).weights
    statistics, _ = gather_statistics(run.segmenter(0), train, masks, weights)
    feature, scores = statistics.feature, run.scores(1)["score"].to_numpy()
    rows_out = []
    for budget in tqdm(BUDGETS, desc=f"seed {config.seed}", leave=False):
        rows = select_queries(masks, scores, config.model_copy(update={"budget": budget}), 0)
        answered = masks.relabel(rows, truth.majority[rows], source="annotator", round=1)
        known = rows[truth.majority[rows] < k]
        labels = truth.majority[known]
        lcm = train_lcm(feature[known], labels, k, config.correction, seed)
        published = propose_corrections(lcm, feature, answered, labels, config.correction, 1)
        guarded, report = guard_corrections(published, feature, masks, answered, known, config.correction, 1, seed)
        nothing = np.zeros(len(masks), dtype=bool)
        variants = {"no LCM": nothing, "published": published.accepted, "guarded": guarded.accepted}
        for name, accepted in variants.items():
            chosen = np.flatnonzero(accepted)
            corrected = answered.relabel(chosen, published.predicted[chosen], source="lcm", round=1)
            before = masks.table["label"].to_numpy()[chosen] == truth.majority[chosen]
            after = published.predicted[chosen] == truth.majority[chosen]
            rows_out.append(
                {
                    "seed": config.seed,
                    "budget": 100 * budget,
                    "variant": name,
                    "clicks": len(rows),
                    "n_auto": len(chosen),
                    "oa_before": 100 * before.mean() if len(chosen) else np.nan,
                    "oa_after": 100 * after.mean() if len(chosen) else np.nan,
                    "oa_estimated": 100 * (report.estimated_accuracy or np.nan) if name == "guarded" else np.nan,
                    "data_miou": 100 * truth.data_score(corrected).miou,
                }
            )
    return rows_out


def main() -> None:
    """Replay, tabulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="finished run folders of method a2lc")
    parser.add_argument("--out", type=Path, required=True, help="e.g. paper_figures/camvid")
    arguments = parser.parse_args()
    runs = [Run.open(path) for path in arguments.runs]
    every = pd.DataFrame([row for run in tqdm(runs, desc="runs") for row in first_round(run)])
    numbers = ["clicks", "n_auto", "oa_before", "oa_after", "oa_estimated", "data_miou"]
    table = every.groupby(["budget", "variant"], sort=False)[numbers].mean().reset_index()
    table["data_miou_std"] = every.groupby(["budget", "variant"], sort=False)["data_miou"].std().to_numpy()
    about = f"First round only, budgets varied, nothing retrained. {caption(runs)}"
    save_table(table, "lcm_guard", arguments.out, about)
    fig, axis = plt.subplots(figsize=(5, 3))
    for name, (colour, marker, style) in STYLE.items():
        part = table[table["variant"] == name]
        axis.errorbar(
            part["budget"], part["data_miou"], part["data_miou_std"], color=colour, marker=marker, ls=style, label=name
        )
    axis.set(xlabel="masks queried (%)", ylabel="Data mIoU after round 1 (%)")
    axis.set_title(about.replace("; ", ";\n"), fontsize=7)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(fig, "lcm_guard", arguments.out, {"caption": about, "rows": every.to_dict("records")})
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
