"""How far the estimate that is shown before automatic corrections are approved can be trusted: expected and true
accuracy of all that the LCM proposes in round 1, with fewer and fewer answers.

    python benchmarks/approval_estimate.py runs/camvid-a2lc-s0-...

Takes a finished run on data with ground truth. The first answers of its round 1 stand for a smaller budget.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from a2lc.acquisition import class_weights, gather_statistics
from a2lc.correction import Evidence, expected_accuracy, propose_corrections, train_lcm
from a2lc.correction.acceptance import WORLDS, share_of_worlds
from a2lc.datasets import load_dataset
from a2lc.paper.clicks import truth_of
from a2lc.runs import Run


def estimates(run: Run, shares: list[float], seeds: int) -> pd.DataFrame:
    """A row per share of masks answered and seed of the LCM; accuracies in percent."""
    masks, truth, settings = run.masks(0), truth_of(run).majority, run.config.correction
    split, weights = load_dataset(run.config.dataset, run.config.root).train, class_weights(masks).weights
    model = run.segmenter(0)
    feature = gather_statistics(model, split, masks, weights, needs=())[0].feature
    queries, old, rows = run.queries(1), masks.table["label"].to_numpy(), []
    for share_of_masks in shares:
        asked = queries.iloc[: round(share_of_masks * len(masks))]
        asked = asked[asked["answer"] < len(masks.classes)]
        at, said = asked["row"].to_numpy(), asked["answer"].to_numpy(np.int64)
        answered = masks.relabel(at, said, source="annotator", round=1)
        for seed in range(seeds):
            lcm = train_lcm(feature[at], said, len(masks.classes), settings, seed)
            proposed = propose_corrections(lcm, feature, answered, said, settings, 1)
            found = expected_accuracy(proposed, Evidence(feature, masks, answered, at, settings, seed), to_tell=True)
            if found is None:
                continue
            chosen = np.flatnonzero(proposed.accepted)
            share = share_of_worlds(found.outcomes.worlds(WORLDS, seed))
            row = {"share": 100 * share_of_masks, "seed": seed, "corrections": len(chosen)}
            row |= {"expected": 100 * share.share, "low": 100 * share.low, "high": 100 * share.high}
            row |= {"right": 100 * (proposed.predicted[chosen] == truth[chosen]).mean()}
            row |= {"before expected": 100 * found.outcomes.before.chance().mean()}
            rows.append(row | {"before right": 100 * (old[chosen] == truth[chosen]).mean()})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.03, 0.05, 0.09])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    table = estimates(Run.open(given.run), given.shares, given.seeds)
    print(table.round(0).to_string(index=False))
    print(table.groupby("share").mean().drop(columns="seed").round(0).to_string())
