"""What makes `method: instant` good? `python benchmarks/instant.py voc --out paper_figures/voc`.

Plays the rounds of a profile's masks with an oracle, from memory and without run folders, with one thing changed at a
time, and writes instant_variants.{csv,md,tex}: Data mIoU after each fifth of the answers (five rounds of 9 % of the
masks), its mean over all numbers of answers (area under the curve), and how many answers bring 80 and 85 %. Means over
seeds of the folds. All constants were chosen on PASCAL VOC; CamVid and toy judge them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from instant_variants import LITE0, VARIANTS, pooled
from profiles import profile_arguments, profile_masks

from a2lc.datasets import Split
from a2lc.instant import Instant, mask_features
from a2lc.machine import MissingExtraError
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table

SHARE, ROUNDS, STEPS = 0.09, 5, 50  # of the masks in a round; new orders in all rounds together
CONSTANTS = "a2lc.instant.regressions"
PLAYED = {"steps", "corrects", "judge", "explore", "tuned"}  # what `play` takes


def play(
    masks: MaskSet,
    truth: TruthHistogram,
    features: np.ndarray,
    seed: int,
    steps: int,
    corrects: bool,
    judge: type[Instant] = Instant,
    explore: float = 0.0,
    tuned: Callable[[MaskSet, int], np.ndarray] | None = None,
) -> tuple[np.ndarray, float]:
    """Five rounds in `steps` parts, each asked in a new order of `judge`, a share `explore` of it at random; after the
    first round with the features that `tuned` gives.

    Returns:
        (steps + 1, 2) answers and Data mIoU in [0, 1] before and after each part; the processor seconds without
        measuring.
    """
    instant, given, total = judge(features, masks, seed), masks, round(ROUNDS * SHARE * len(masks))
    rng = np.random.default_rng(seed)
    corrected, seconds = masks, 0.0  # seconds without measuring
    curve = [(0, truth.data_metrics(masks).miou)]
    for stop in np.linspace(0, total, steps + 1).round().astype(int)[1:]:
        start = time.process_time()
        found = instant.suspicion(corrected.table["label"].to_numpy(), given.queried)
        count, left = stop - curve[-1][0], np.flatnonzero(~given.queried)
        explored = rng.choice(left, round(explore * count), replace=False)
        left = left[~np.isin(left, explored)]
        rows = np.concatenate([explored, left[np.argsort(-found.scores[left], kind="stable")]])[:count]
        given = corrected = given.relabel(rows, truth.majority[rows], source="annotator", round=1)
        if corrects:
            proposed = instant.corrections(given, found)
            at = np.flatnonzero(proposed.accepted)
            corrected = given.relabel(at, proposed.predicted[at], source="lcm", round=1, confidence=1.0)
        if tuned is not None and curve[-1][0] < total / ROUNDS <= stop:
            instant = judge(tuned(corrected, seed), masks, seed)
        seconds += time.process_time() - start
        curve.append((int(stop), truth.data_metrics(corrected).miou))
    return np.array(curve), seconds


def variant(masks: MaskSet, truth: TruthHistogram, features: np.ndarray, seed: int, **changed: Any) -> dict[str, Any]:
    """A row of the table for one seed."""
    how = {"steps": STEPS, "corrects": True, **{key: changed[key] for key in changed if key in PLAYED}}
    with ExitStack() as stack:
        for name in changed.keys() - PLAYED:
            stack.enter_context(patch(f"{CONSTANTS}.{name}", changed[name]))
        curve, seconds = play(masks, truth, features, seed, **how)
    answers, miou = curve[:, 0], 100 * curve[:, 1]
    row = {f"answers_{i}": float(np.interp(i * answers[-1] / ROUNDS, answers, miou)) for i in range(ROUNDS + 1)}
    row |= {"mean": float(np.trapezoid(miou, answers) / answers[-1])}
    for level in (80, 85):
        reached = answers[miou >= level]
        row[f"to_{level}"] = float(reached[0]) if len(reached) else float("nan")
    return row | {"seconds": seconds}


def tuning(
    tuned: Callable[..., np.ndarray], features: np.ndarray, split: Split, shared: Path
) -> Callable[[MaskSet, int], np.ndarray]:
    """What gives features from masks with their labels, and a seed."""
    return lambda masks, seed: tuned(features, masks, split, shared, seed)


def main() -> None:
    parser = profile_arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    config, dataset, masks, kept = profile_masks(arguments.profile, arguments.root, arguments.runs, method="instant")
    truth, rows = truth_histogram(masks, dataset.train), []
    for name in arguments.only:
        changed = dict(VARIANTS[name])
        try:
            chosen, pool = changed.pop("features", LITE0), changed.pop("pool", None)
            if pool is not None:
                features = pooled(pool, masks, dataset.train, kept.parent, changed.pop("random", False))
            else:
                features = mask_features(chosen, masks, dataset.train, shared=kept.parent, kept=kept)
        except (FileNotFoundError, MissingExtraError) as error:
            print(f"{name}: left out, {error}")
            continue
        if "tuned" in changed:
            changed["tuned"] = tuning(changed["tuned"], features, dataset.train, kept.parent)
        of_seeds = pd.DataFrame([variant(masks, truth, features, seed, **changed) for seed in range(arguments.seeds)])
        rows.append({"variant": name, **of_seeds.mean().round(2), "mean_std": round(of_seeds["mean"].std(), 2)})
        print(rows[-1], flush=True)
    caption = (
        f"Method instant, one thing changed at a time: {arguments.profile}, {len(masks.names)} images, "
        f"{len(masks)} masks; pseudo-labels {origin(config)}; mean of {arguments.seeds} seeds of the folds."
    )
    save_table(pd.DataFrame(rows), "instant_variants", arguments.out, caption)


if __name__ == "__main__":
    main()
