"""No LCM, the published and the guarded one over budgets: `python benchmarks/guard.py notebooks/params/camvid.yaml`.

Plays whole rounds, with retraining, for every budget, variant and seed; finished runs are reused, so several processes
may share the work by seeds and a last call tabulates. Writes lcm_guard.{csv,md,tex,png,pdf,json}.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from tqdm.auto import tqdm

import a2lc
from a2lc.config import read_fields
from a2lc.figures import save_figure
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table
from a2lc.runs import Run

VARIANTS: dict[str, dict[str, Any]] = {
    "no LCM": {"method": "a2lc_no_lcm"},
    "published": {"method": "a2lc"},
    "guarded": {"method": "a2lc", "correction": {"guard": True}},
}
STYLE = {"no LCM": ("#666666", "o", "--"), "published": ("#0072B2", "s", "-"), "guarded": ("#D55E00", "^", "-.")}


def rows_of(run: Run, variant: str, budget: float) -> pd.DataFrame:
    """One row per round: masks corrected, right before and after, as found and as the guard expected; Data mIoU."""
    rows = []
    for number in range(run.config.rounds + 1):
        m = run.metrics(number)
        rows.append(
            {
                "variant": variant,
                "budget": 100 * budget,
                "seed": run.config.seed,
                "round": number,
                "n_auto": m["n_auto"],
                "right_before": m["lcm_oa_before"],
                "right_after": m["lcm_oa_after"],
                "expected_before": m.get("lcm_oa_before_estimated"),
                "expected_after": m.get("lcm_oa_after_estimated"),
                "data_miou": m["data_miou"],
                "model_miou": m["model_miou"],
            }
        )
    table = pd.DataFrame(rows)
    shares = ["right_before", "right_after", "expected_before", "expected_after", "data_miou", "model_miou"]
    table[shares] = 100 * table[shares].astype(float)
    return table


def summarise(every: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of every number, and the standard deviation of Data mIoU."""
    keys = ["budget", "variant", "round"]
    groups = every.groupby(keys, sort=False)
    table = groups.mean(numeric_only=True).drop(columns="seed")
    table.insert(table.columns.get_loc("data_miou") + 1, "data_miou_std", groups["data_miou"].std())
    return table.reset_index()


def draw(table: pd.DataFrame, about: str) -> plt.Figure:
    """Data mIoU after the first and the last round against the budget; what the guard expected against what it got."""
    last = int(table["round"].max())
    fig, axes = plt.subplots(1, 3, figsize=(9, 3))
    for axis, number in zip(axes, (1, last), strict=False):
        for name, (colour, marker, style) in STYLE.items():
            part = table[(table["variant"] == name) & (table["round"] == number)]
            values = (part["budget"], part["data_miou"], part["data_miou_std"])
            axis.errorbar(*values, color=colour, marker=marker, ls=style, label=name, capsize=2, markersize=4)
        axis.set(xlabel="masks queried per round (%)", ylabel=f"Data mIoU after round {number} (%)")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    guarded = table[(table["variant"] == "guarded") & (table["n_auto"] > 0)]
    for kind, marker, colour in (("after", "^", "#D55E00"), ("before", "v", "#666666")):
        label = "corrections" if kind == "after" else "labels replaced"
        axes[2].scatter(
            guarded[f"expected_{kind}"], guarded[f"right_{kind}"], s=14, c=colour, marker=marker, label=label
        )
    axes[2].plot([0, 100], [0, 100], color="black", lw=0.6)
    axes[2].set(xlabel="right, as the guard expects (%)", ylabel="right, found (%)", xlim=(0, 100), ylim=(0, 100))
    axes[2].legend(fontsize=7)
    fig.suptitle(about, fontsize=7)
    fig.tight_layout()
    return fig


def main() -> None:
    """Run, tabulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", type=Path, help="dataset and segmenter, for instance notebooks/params/toy.yaml")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.03, 0.06, 0.09, 0.15], help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--segmenter", type=yaml.safe_load, default={}, help="fields that replace those of the file")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--out", type=Path, help="e.g. paper_figures/camvid; without it nothing is tabulated")
    arguments = parser.parse_args()
    fields = read_fields(arguments.params) | {"rounds": arguments.rounds}
    fields["segmenter"] = fields.get("segmenter", {}) | arguments.segmenter
    jobs = [(s, b, v) for s in arguments.seeds for b in arguments.budgets for v in VARIANTS]
    runs, parts = [], []
    for seed, budget, variant in tqdm(jobs, desc="runs"):
        experiment = a2lc.Experiment(**{**fields, **VARIANTS[variant], "seed": seed, "budget": budget})
        runs.append(a2lc.run(experiment, arguments.runs_dir, progress=False))
        parts.append(rows_of(runs[-1], variant, budget))
    if arguments.out is None:
        return
    every = pd.concat(parts, ignore_index=True)
    table = summarise(every)
    low, high = 100 * np.min(arguments.budgets), 100 * np.max(arguments.budgets)
    config, total = runs[0].config, len(runs[0].masks(0))
    about = (
        f"{config.dataset}: {config.rounds} rounds of {low:.0f} to {high:.0f} % of {total} masks each, "
        f"{len(set(arguments.seeds))} seeds, network at scale {config.segmenter.scale}, {config.segmenter.iterations} "
        f"iterations; pseudo-labels {origin(config)}."
    )
    save_table(table, "lcm_guard", arguments.out, about)
    numbers = every.astype(object).where(every.notna(), None).to_dict("records")
    save_figure(draw(table, about), "lcm_guard", arguments.out, {"caption": about, "rows": numbers})
    print(table[table["round"] > 0].round(1).to_string(index=False))


if __name__ == "__main__":
    main()
