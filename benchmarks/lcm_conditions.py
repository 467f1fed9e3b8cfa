"""Why the LCM corrects so little on PASCAL VOC: its first round anew with more answers, a sharper θ and a better one:
`python benchmarks/lcm_conditions.py runs/voc2012-a2lc-s0-aaaf1419 --out paper_figures/voc`.

Takes a finished run whose masks have ground truth, and of it the first labels, the scores of round 1 and the model of
round 0. The masks with the highest scores are answered, the LCM learns from these answers and corrects (Eq. 1-6), as
in `a2lc.rounds`; nothing is trained after that. Varied are the number of answers; θ, the run's own or one trained on
the ground truth of the same images; and the temperature of its probabilities, p^(1/T) made to sum to 1. Numbers are
means over seeds of the LCM. Writes lcm_conditions.{csv,md,tex}. About five minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from a2lc.acquisition import gather_statistics
from a2lc.correction.lcm import propose_corrections, train_lcm
from a2lc.datasets import Split, load_dataset
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.paper.origin import origin, other_network
from a2lc.paper.tables import save_table
from a2lc.runs import Run
from a2lc.segmenter import Segmenter, build_segmenter
from a2lc.segmenter.samples import ignoring_void

ANSWERS = (1, 2, 4)  # times the run's own
TEMPERATURES = (1.0, 0.5)


@dataclass(frozen=True)
class Tempered:
    """A segmenter whose probabilities are sharper (T < 1) or softer."""

    model: Segmenter
    temperature: float

    def predict(self, image: np.ndarray) -> torch.Tensor:
        """(K, H, W) float32, see `Segmenter.predict`."""
        power = self.model.predict(image).clamp_min(1e-30).pow(1 / self.temperature)
        return power / power.sum(0)


def ground_truth(split: Split, name: str) -> np.ndarray:
    """(H, W) uint8 classes of an image, to train on."""
    found = split.ground_truth(name)
    if found is None:
        raise ValueError(f"{name}: has no ground truth")
    return found


def corrected(
    run: Run, masks: MaskSet, truth: TruthHistogram, feature: np.ndarray, rows: np.ndarray, seeds: int
) -> dict[str, float]:
    """What the LCM does after these answers, mean over its seeds."""
    settings, found = run.config.correction, []
    answered = masks.relabel(rows, truth.majority[rows], source="annotator", round=1)
    before = truth.data_metrics(answered).miou
    known = rows[truth.majority[rows] < len(masks.classes)]
    labels, old = truth.majority[known].astype(np.int64), answered.table["label"].to_numpy()
    for seed in range(seeds):
        lcm = train_lcm(feature[known], labels, len(masks.classes), settings, seed)
        proposed = propose_corrections(lcm, feature, answered, labels, settings, 1)
        chosen = np.flatnonzero(proposed.accepted)
        new = proposed.predicted[chosen]
        after = answered.relabel(chosen, new, source="lcm", round=1, confidence=proposed.confidence[chosen])
        right = (old[chosen] == truth.majority[chosen]).sum(), (new == truth.majority[chosen]).sum()
        found.append((len(chosen), *right, truth.data_metrics(after).miou - before))
    n, right_before, right_after, gain = np.mean(found, 0)
    return {
        "answers": len(rows),
        "corrected": n,
        "right before (%)": 100 * right_before / n if n else np.nan,
        "right after (%)": 100 * right_after / n if n else np.nan,
        "Data mIoU (points)": 100 * gain,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run with an oracle")
    parser.add_argument("--seeds", type=int, default=3, help="of the LCM (default 3)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(arguments.run)
    config, masks = run.config, run.masks(0)
    split = load_dataset(config.dataset, config.root).train
    truth = truth_histogram(masks, split)
    order, own = np.argsort(-run.folder(1).scores(), kind="stable"), len(run.queries(1))
    taught = build_segmenter(config.segmenter, len(masks.classes), "cpu", shared=arguments.run.parent / "shared")
    taught.fit(split, ignoring_void(partial(ground_truth, split), masks.classes), seed=config.seed)
    models: dict[str, Segmenter] = {"of the run": run.segmenter(0, "cpu"), "trained on ground truth": taught}
    rows = []
    for name, model in models.items():
        for temperature in tqdm(TEMPERATURES, desc=f"θ {name}"):
            tempered = cast(Segmenter, Tempered(model, temperature))  # only its predictions are asked for
            statistics, _ = gather_statistics(tempered, split, masks, np.ones(len(masks.classes)), ())
            for share in ANSWERS:
                of = corrected(run, masks, truth, statistics.feature, order[: round(share * own)], arguments.seeds)
                rows.append({"θ": name, "T": temperature} | of)
    table = pd.DataFrame(rows)
    print(table.round(1).to_string(index=False))
    caption = (
        f"{config.dataset}, {len(split)} training images: the LCM after the first answers of run seed {config.seed}, "
        f"τ = {config.correction.threshold(1):g}, mean over {arguments.seeds} seeds of the LCM; corrections that were "
        "right before and are after, and what they add to Data mIoU; "
        f"pseudo-labels {origin(config)}{other_network(config)}."
    )
    save_table(table, "lcm_conditions", arguments.out, caption)


if __name__ == "__main__":
    main()
