"""L2L's proposals as A²LC's first labels, beside the simulated ones they are made from:
`python benchmarks/class_names.py --dataset toy --out paper_figures`.

Class names are the sentences ("the car"), the simulated masks' labels the frozen model. A tenth of the images is
labelled; as that is work, every row but the first has their masks right. The other masks have the simulated label, or
the one that a run of `a2lc.referring` proposes. Then A²LC's rounds, with the same clicks. Writes
class_names_<dataset>.{csv,md,tex}. Also: --dataset camvid --root ../shared/data/CamVid.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc import referring
from a2lc.config import Experiment
from a2lc.datasets import Dataset, load_dataset
from a2lc.metrics import truth_histogram
from a2lc.paper.tables import save_table
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.pseudo_labels.sources import make_masks
from a2lc.rounds import run

SEGMENTER: Mapping[str, Mapping[str, Any]] = {"toy": {"scale": 2.0, "iterations": 50}, "camvid": {"network": "frozen"}}
SIZE = (96, 128)  # that the network of `a2lc.referring` sees images at
PRESETS = ("supervised", "fixed_prior", "full")
BATCH = 8  # labelled pairs of a step of `a2lc.referring`
SIMULATED = "simulated"


def first_labels(dataset: Dataset, arguments: argparse.Namespace, seed: int, runs: Path) -> dict[str, PseudoLabels]:
    """Row of the table -> masks with their first labels."""
    masks = make_masks(PseudoLabels(), dataset, progress=False)
    others = make_masks(PseudoLabels(), replace(dataset, train=dataset.val), progress=False)
    locator, data = referring.MaskLocator(masks, others), referring.by_class_names(dataset)
    labelled = referring.labelled_images(data.train, arguments.rate, seed)
    known = masks.table["image"].isin(labelled).to_numpy()
    right = truth_histogram(masks, dataset.train).majority
    found = {SIMULATED: masks.table["label"].to_numpy()}
    found[f"{SIMULATED}, labelled images right"] = np.where(known, right, found[SIMULATED])
    for name in PRESETS:
        fields = {
            "rate": arguments.rate,
            "seed": seed,
            "training": {"size": SIZE, "steps": arguments.steps, "batch": BATCH},
        }
        rounds = {} if "rounds" in referring.METHODS[name] else {"rounds": arguments.proposing_rounds}
        config = referring.Experiment(dataset="given", method=name, **fields, **rounds)
        played = referring.run(config, runs, data=data, locator=locator, progress=arguments.progress)
        labels = referring.proposed_labels(played, data, masks)
        found[f"proposed, {name}"] = np.where(known, right, labels)
    return {
        name: referring.write_first_labels(masks, labels, runs / "first" / f"{seed}-{name.replace(', ', '-')}")
        for name, labels in found.items()
    }


def main() -> None:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=[*SEGMENTER], default="toy")
    parser.add_argument("--root", type=Path, help="folder of the images, for camvid")
    parser.add_argument("--rate", type=float, default=0.1, help="share of the images that is labelled")
    parser.add_argument("--steps", type=int, default=300, help="of each training of a2lc.referring")
    parser.add_argument("--proposing-rounds", type=int, default=2, help="of a2lc.referring")
    parser.add_argument("--rounds", type=int, default=3, help="of A²LC")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="runs are kept here and reused")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--progress", action="store_true")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset, arguments.root)
    runs, rows = arguments.runs / f"class_names_{arguments.dataset}", []
    for seed in arguments.seeds:
        for name, given in first_labels(dataset, arguments, seed, runs).items():
            masks = make_masks(given, dataset, progress=False)
            truth = truth_histogram(masks, dataset.train)
            sure = truth.majority != masks.classes.ignore_index
            same = (masks.table["label"].to_numpy() == truth.majority)[sure].mean()
            config = Experiment(
                dataset=arguments.dataset,
                root=arguments.root,
                method="a2lc",
                seed=seed,
                rounds=arguments.rounds,
                pseudo_labels=given,
                segmenter=SEGMENTER[arguments.dataset],
            )
            assert given.labels is not None
            place = given.labels.parent / "runs"  # where labels lie is no part of a run's name
            summary = run(config, place, progress=arguments.progress).summary.set_index("round")["data_miou"]
            after = {f"round {number}": 100 * float(summary[number]) for number in range(1, arguments.rounds + 1)}
            rows.append(
                {
                    "first labels": name,
                    "seed": seed,
                    "masks right": 100 * float(same),
                    "start": 100 * float(summary[0]),
                    **after,
                }
            )
            print(rows[-1], flush=True)
    each = pd.DataFrame(rows).drop(columns="seed").groupby("first labels", sort=False)
    table = each.mean().reset_index()
    if len(arguments.seeds) > 1:
        last = f"round {arguments.rounds}"
        table = table.assign(**{f"{name} sd": each[name].std().to_numpy() for name in ("start", last)})
    seeded = f"seed{'s' * (len(arguments.seeds) > 1)} {', '.join(map(str, arguments.seeds))}"
    caption = (
        f"{arguments.dataset}, {len(dataset.train)} training images, simulated masks and labels. Share of masks "
        f"with their most frequent class, and Data mIoU (%) at the start and after A²LC's rounds, {seeded}. Proposed: "
        f"by a2lc.referring from class names, {arguments.rate:.0%} of the images labelled, "
        f"{arguments.proposing_rounds} rounds of {arguments.steps} steps of {BATCH}, {SIZE[0]}×{SIZE[1]}, the "
        "simulated labels as its frozen model; after the published description of Learning to Label, not the authors' "
        "method. Nobody has published this combination."
    )
    print(table.round(1).to_string())
    save_table(table, f"class_names_{arguments.dataset}", arguments.out, caption)


if __name__ == "__main__":
    main()
