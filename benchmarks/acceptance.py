"""Who accepts corrections: whole rounds with retraining, for every way to decide, budget and seed.

    python benchmarks/acceptance.py toy                     # all of it; or parts, by several processes:
    python benchmarks/acceptance.py voc --variants bandit "bandit, both" --budgets 0.03 --seeds 0
    python benchmarks/acceptance.py toy --table             # what is missing; or acceptance.{csv,md,tex,png,pdf,json}

Finished runs are found again, and one that was stopped goes on, so parts may be played in any order. A table is written
only when every run of it is there. "every right proposal" corrects what is right of all that the LCM would change, as
the ground truth says.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml

import a2lc
from a2lc.config import read_fields
from a2lc.figures import save_figure
from a2lc.human import next_round
from a2lc.human.approval import Approval
from a2lc.paper.clicks import truth_of
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table
from a2lc.runs import Run

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = (0.01, 0.03, 0.05, 0.09, 0.15)
SEEDS = {"toy": (0, 1, 2, 3, 4), "camvid": (0, 1, 2), "voc": (0, 1, 2)}
SIMULATED = {"toy": 20, "camvid": 0}  # pseudo-labels of seed s are those of seed 20 + s: others than were looked at
ROUNDS = 3
BOTH = {"features": "both", "model": "logistic", "void": "outcome"}
RIGHT = "every right proposal"
PUBLISHED, GUARD, NOBODY = "published", "guard", "no LCM"
VARIANTS: dict[str, dict[str, Any]] = {
    NOBODY: {"method": "a2lc_no_lcm"},
    PUBLISHED: {},
    GUARD: {"correction": {"guard": True}},
    "bandit": {"method": "a2lc_bandit"},
    "bandit, audits": {"method": "a2lc_bandit_audit"},
    "bandit, q = 1": {"method": "a2lc_bandit", "correction": {"pessimism": 1.0}},
    "policy gradient": {"correction": {"acceptance": "policy_gradient"}},
    "published, pooled": {"correction": {"features": "pooled"}},
    "bandit, pooled": {"method": "a2lc_bandit", "correction": {"features": "pooled"}},
    "bandit, both": {"method": "a2lc_bandit", "correction": {"features": "both"}},
    "bandit, logistic": {"method": "a2lc_bandit", "correction": {"features": "both", "model": "logistic"}},
    "bandit, logistic, void": {"method": "a2lc_bandit", "correction": BOTH},
    RIGHT: {"approval": True, "correction": {"thresholds": [0.0], "tail_ratio": 0.0}},
}
MAIN = (NOBODY, PUBLISHED, GUARD, "bandit", "bandit, audits", RIGHT)
SHARES = ["right_before", "right", "expected", "low", "high", "audited", "audited_low", "audited_high"]
KEYS = ["budget", "variant", "round"]


def experiment(arguments: argparse.Namespace, variant: str, budget: float, seed: int) -> a2lc.Experiment:
    """The configuration of a run."""
    fields = read_fields(ROOT / "notebooks" / "params" / f"{arguments.dataset}.yaml")
    fields |= {"rounds": arguments.rounds, "seed": seed, "budget": budget}
    fields["segmenter"] = fields.get("segmenter", {}) | arguments.segmenter
    if arguments.dataset in SIMULATED:
        fields["pseudo_labels"] = fields.get("pseudo_labels", {}) | {"seed": SIMULATED[arguments.dataset] + seed}
    chosen = VARIANTS[variant]
    correction = fields.get("correction", {}) | chosen.get("correction", {})
    return a2lc.Experiment(**fields | chosen | {"correction": correction})


def played(config: a2lc.Experiment, runs_dir: str) -> Run:
    """The run, finished. Where somebody has to approve, what is right is approved of and the rest left undecided."""
    run = a2lc.run(config, runs_dir, progress=False)
    while run.waits_for == "approval":
        approval, truth = Approval(run), truth_of(run).majority
        labels, names = truth[approval.table["row"]], [*run.masks(0).classes.names, *[""] * 256]
        right = approval.table[approval.table["new"] == np.array(names, dtype=object)[labels]]
        if len(right):
            approval.approve(masks=zip(right["image"], right["mask_id"], strict=True))
        run = next_round(run, enough=True, progress=False)
    return run


def rows_of(run: Run, variant: str, budget: float) -> pd.DataFrame:
    """A row per round; shares and mIoU in percent."""
    names = {"right_before": "lcm_oa_before", "right": "lcm_oa_after", "expected": "lcm_oa_after_estimated"}
    names |= {bound: f"lcm_oa_after_estimated_{bound}" for bound in ("low", "high")}
    names |= {f"audited{bound}": f"lcm_oa_after_audited{bound}" for bound in ("", "_low", "_high")}
    rows = []
    for number in range(1, run.config.rounds + 1):
        m = run.metrics(number)
        row = {"variant": variant, "budget": 100 * budget, "seed": run.config.seed, "round": number}
        row |= {"clicks": m["clicks"], "n_auto": m["n_auto"]}
        row |= {name: m.get(key) for name, key in names.items()}
        rows.append(row | {"data_miou": m["data_miou"], "model_miou": m["model_miou"]})
    table = pd.DataFrame(rows)
    table[[*SHARES, "data_miou", "model_miou"]] = 100 * table[[*SHARES, "data_miou", "model_miou"]].astype(float)
    return table


def summarise(every: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, the standard deviation of Data mIoU, differences to the guard paired by seed with theirs, and
    the share of clicks saved to reach the Data mIoU that the guard ends with."""
    groups = every.groupby(KEYS, sort=False)
    table = groups.mean(numeric_only=True).drop(columns="seed")
    at = table.columns.get_loc("data_miou") + 1
    table.insert(at, "data_miou_std", groups["data_miou"].std())
    guard = every[every["variant"] == GUARD].set_index(["budget", "round", "seed"])["data_miou"]
    paired = every.set_index(["budget", "round", "seed"])
    paired = paired.assign(gain=paired["data_miou"] - guard.reindex(paired.index)).reset_index()
    gains = paired.groupby(KEYS, sort=False)["gain"]
    table.insert(at + 1, "over_guard", gains.mean())
    table.insert(at + 2, "over_guard_std", gains.std())
    table["clicks_saved"] = [100 * saved(table, *key) for key in table.index]
    return table.reset_index()


def saved(table: pd.DataFrame, budget: float, variant: str, number: int) -> float:
    """Share of clicks that a variant saves to reach what the guard reaches with this budget, between budgets on a
    straight line; NaN where it never does."""
    part = table.reset_index()
    part = part[part["round"] == number]
    wanted = part[(part["variant"] == GUARD) & (part["budget"] == budget)]
    curve = part[part["variant"] == variant].sort_values("clicks")
    if wanted.empty or not (curve["data_miou"] >= (reached := wanted["data_miou"].iloc[0])).any():
        return float("nan")
    first = int(np.argmax(curve["data_miou"].to_numpy() >= reached))
    some = curve.iloc[max(0, first - 1) : first + 1]
    clicks = float(np.interp(reached, some["data_miou"], some["clicks"]))
    return 1 - clicks / float(wanted["clicks"].iloc[0])


def verdict(table: pd.DataFrame, every: pd.DataFrame) -> str:
    """Whether the bandit passes the bars that were set before, and how often bounds held."""
    last = table[table["round"] == table["round"].max()].pivot(index="budget", columns="variant", values="data_miou")
    bandit, best = last["bandit"], last[[NOBODY, GUARD]].max(axis=1)
    loses = last[PUBLISHED] < last[NOBODY]
    bars = {
        "at no budget worse than the better of no LCM and guard by more than 0.3 points": (bandit >= best - 0.3).all(),
        "better than published wherever that loses": (bandit > last[PUBLISHED])[loses].all(),
        "better than the guard by more than 0.5 points in a third of the budgets": (bandit > last[GUARD] + 0.5).mean()
        >= 1 / 3,
    }
    known = every.dropna(subset=["right", "low", "high"])
    held = known["right"].between(known["low"] - 1e-9, known["high"] + 1e-9).mean()
    coverage = f"; its bounds of 90 % held in {100 * held:.0f} % of {len(known)} rounds" if len(known) else ""
    return "; ".join(f"{'yes' if passed else 'no'}: {bar}" for bar, passed in bars.items()) + coverage


def draw(table: pd.DataFrame, every: pd.DataFrame, about: str) -> plt.Figure:
    """Data mIoU after the first and the last round over budgets, and expected against found accuracy."""
    last = int(table["round"].max())
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.2))
    for axis, number in zip(axes, (1, last), strict=False):
        for i, name in enumerate(name for name in MAIN if (table["variant"] == name).any()):
            part = table[(table["variant"] == name) & (table["round"] == number)]
            values = (part["budget"], part["data_miou"], part["data_miou_std"].fillna(0))
            axis.errorbar(*values, color=f"C{i}", marker="osv^D*"[i], label=name, capsize=2, markersize=4)
        axis.set(xlabel="masks queried per round (%)", ylabel=f"Data mIoU after round {number} (%)")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    known = every.dropna(subset=["expected", "low", "right"])
    margins = abs(known[["low", "high"]].to_numpy().T - known["expected"].to_numpy())
    axes[2].errorbar(known["expected"], known["right"], xerr=margins, fmt=".", ms=4, lw=0.5, color="C3")
    axes[2].plot([0, 100], [0, 100], color="black", lw=0.6)
    axes[2].set(xlabel="right, as expected, 90 % (%)", ylabel="right, found (%)", xlim=(0, 100), ylim=(0, 100))
    fig.suptitle(about, fontsize=7)
    fig.tight_layout()
    return fig


def tabulate(arguments: argparse.Namespace, jobs: list[tuple[str, float, int]]) -> None:
    """Write the table where every run is finished, else say what is missing."""
    configs = [experiment(arguments, *job) for job in jobs]
    runs = [Run(Path(arguments.runs_dir) / config.name, config) for config in configs]
    if missing := [job for job, run in zip(jobs, runs, strict=True) if not run.finished]:
        print(f"{len(missing)} of {len(jobs)} runs are missing, the first is {missing[0]}; nothing is written")
        return
    pairs = zip(jobs, runs, strict=True)
    every = pd.concat([rows_of(run, variant, budget) for (variant, budget, _), run in pairs], ignore_index=True)
    table, config = summarise(every), runs[0].config
    about = (
        f"{config.dataset}: {config.rounds} rounds, {len(arguments.seeds)} seeds, {len(runs[0].masks(0))} masks; "
        f"network {config.segmenter.network}, pseudo-labels {origin(config)}."
    )
    about = f"{about} Bandit: {verdict(table, every)}." if {"bandit", *MAIN[:3]} <= {*table["variant"]} else about
    save_table(table, "acceptance", arguments.out, about)
    numbers = every.astype(object).where(every.notna(), None).to_dict("records")
    figure = {"caption": about, "rows": numbers, "alt": "Data mIoU over budgets by who accepts corrections"}
    save_figure(draw(table, every, about), "acceptance", arguments.out, figure)
    print(table.round(1).to_string(index=False))
    print(about)


def main() -> None:
    """Play what is asked for, and tabulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=SEEDS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS), help="masks per round, as shares")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--segmenter", type=yaml.safe_load, default={}, help="fields in place of the profile's")
    parser.add_argument("--runs-dir", default="runs")
    parser.add_argument("--out", type=Path, help="default: paper_figures/DATASET")
    parser.add_argument("--table", action="store_true", help="play nothing")
    arguments = parser.parse_args()
    arguments.seeds = arguments.seeds or list(SEEDS[arguments.dataset])
    arguments.out = arguments.out or ROOT / "paper_figures" / arguments.dataset
    jobs = list(itertools.product(arguments.variants, arguments.budgets, arguments.seeds))
    for variant, budget, seed in [] if arguments.table else sorted(jobs, key=lambda job: (job[2], job[1])):
        start, config = time.perf_counter(), experiment(arguments, variant, budget, seed)
        run = played(config, arguments.runs_dir)
        miou = 100 * run.metrics(config.rounds)["data_miou"]
        print(f"{variant}, {budget:.0%}, seed {seed}: {miou:.2f} in {time.perf_counter() - start:.0f} s", flush=True)
    tabulate(arguments, jobs)


if __name__ == "__main__":
    main()
