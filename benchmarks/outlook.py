"""How far can the expected accuracy be believed? `python benchmarks/outlook.py voc --out paper_figures/voc`.

Plays `method: instant` on a profile's masks with an oracle, from memory, with a new order after every few answers, and
writes outlook.{csv,md,tex}: after so many answers, what `a2lc.instant.look_ahead` expects of all labels, and the truth.
`python benchmarks/outlook.py right --root ../shared/data --out paper_figures` does so where nearly all labels are
right: every fourth picture of CamVid with its true labels, ten cars of which have another (`broken_class.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from broken_class import BROKEN, broken, true_masks
from profiles import profile_masks

from a2lc.datasets import load_dataset
from a2lc.instant import Instant, look_ahead, mask_features
from a2lc.instant.outlook import smallest_counted
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table

LITE0 = "tf_efficientnet_lite0"
STOPS = (20, 50, 100, 250, 500, 1000)  # answers
STEPS = 10  # new orders between two of them, and as many at least before the first


def play(masks: MaskSet, truth: np.ndarray, features: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """A row per stop; (M,) uint8 truth."""
    instant, given, labels, done = Instant(features, masks, seed), masks, masks.table["label"].to_numpy(), 0
    area, found = instant.area, instant.suspicion(labels, masks.queried)
    for stop in (stop for stop in STOPS if stop < len(masks)):
        for number in np.linspace(done, stop, STEPS + 1).round().astype(int)[1:]:
            rows = np.argsort(-np.where(given.queried, -np.inf, found.scores), kind="stable")[: number - done]
            given, done = given.relabel(rows, truth[rows], source="annotator", round=1), number
            proposed = instant.corrections(given, found)
            labels = np.where(proposed.accepted, proposed.predicted, given.table["label"].to_numpy())
            found = instant.suspicion(labels, given.queried)
        said = look_ahead(instant, labels, given.table["label"].to_numpy(), given.queried, found)
        left = ~given.queried
        large = area >= smallest_counted(area)
        wrong = left & (labels != truth)
        ahead = np.argsort(-np.where(left, found.scores, -np.inf), kind="stable")[: said.next]
        yield {
            "seed": seed,
            "answers": stop,
            "right": 1 - area[wrong].sum() / area.sum(),
            "right_expected": said.right,
            "right_low": said.right_low,
            "right_high": said.right_high,
            "larger": said.larger,
            "wrong": int((wrong & large).sum()),
            "wrong_expected": said.wrong,
            "wrong_low": said.wrong_low,
            "wrong_high": said.wrong_high,
            "next_wrong": int(wrong[ahead].sum()),
            "next_wrong_expected": said.next_wrong,
            "worth": said.worth_asking,
        }


def nearly_right(root: Path, runs: Path, seeds: int) -> Iterator[dict[str, Any]]:
    """Rows of CamVid's true labels with ten wrong ones."""
    dataset = load_dataset("camvid", root / "CamVid")
    split = dataset.train.subset(dataset.train.names[::4])
    masks = true_masks(split, dataset.classes)
    features = mask_features(LITE0, masks, split, shared=runs / "shared")
    truth = masks.table["label"].to_numpy()
    for pair in BROKEN:
        old, _, new = pair.partition(":")
        for seed in range(seeds):
            labels = truth.copy()
            labels[broken(masks, old, new, seed)] = masks.classes.index(new)
            spoilt = MaskSet.from_maps(
                masks.classes,
                masks.names,
                {name: masks.object_map(name) for name in masks.names},
                {
                    name: dict(zip(masks.table["mask_id"][masks.rows(name)], labels[masks.rows(name)], strict=True))
                    for name in masks.names
                },
            )
            for row in play(spoilt, truth, features, seed):
                yield {"labels": pair, **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="toy, camvid or voc: a profile; or right")
    parser.add_argument("--root", type=Path, default=None, help="of the data")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where masks and features are kept")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    name = "outlook"
    if arguments.data == "right":
        found = pd.DataFrame(nearly_right(arguments.root, arguments.runs, arguments.seeds))
        name, about = "outlook_right", "CamVid, 92 images, true labels but for ten cars; simulated errors"
    else:
        config, dataset, masks, kept = profile_masks(arguments.data, arguments.root, arguments.runs, method="instant")
        truth = truth_histogram(masks, dataset.train).majority
        features = mask_features(LITE0, masks, dataset.train, shared=kept.parent, kept=kept)
        found = pd.DataFrame(row for seed in range(arguments.seeds) for row in play(masks, truth, features, seed))
        about = f"{arguments.data}, {len(masks.names)} images, {len(masks)} masks; pseudo-labels {origin(config)}"
    inside = {
        what: found[what].between(found[f"{what}_low"], found[f"{what}_high"]).mean() for what in ("right", "wrong")
    }
    above = (found["wrong"] > found["wrong_high"]).mean()
    caption = (
        f"What answers let expect of all labels, and what is true: {about}; {arguments.seeds} seeds of the folds. "
        f"Of the ranges, {100 * inside['right']:.0f} % (pixels right) and {100 * inside['wrong']:.0f} % (larger masks "
        f"wrong) hold the truth; {100 * above:.0f} % of the latter lie below it."
    )
    save_table(found.round(4), name, arguments.out, caption)
    print(found.round(3).to_string(index=False), caption, sep="\n")


if __name__ == "__main__":
    main()
