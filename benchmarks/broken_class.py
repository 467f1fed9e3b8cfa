"""Which network finds the masks that are wrong in a data set of one's own that is otherwise right?
`python benchmarks/broken_class.py --root ../shared/data --out paper_figures`.

Every fourth training image of CamVid with its true labels, cut into their connected regions. Ten masks of one class,
drawn at random, get the label of another class; then `a2lc correct` chooses its first 100 questions. Writes
broken_class.{csv,md,tex}: how many of the ten are among the first 20, 40, 60 and 100. About a minute per network, seed
and pair of classes on one core that is free; --runs keeps what was played.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from skimage.measure import label as connected_regions

import a2lc
from a2lc.datasets import Classes, Split, load_dataset
from a2lc.files import write_label_png
from a2lc.human.exports import export_folder
from a2lc.human.own_dataset import own_experiment
from a2lc.masks import MaskSet
from a2lc.paper.tables import save_table
from a2lc.pseudo_labels.own_labels import cut

NETWORKS: dict[str, dict[str, Any]] = {  # what `a2lc correct` takes without and with ImageNet's weights
    "light": {"network": "light"},
    "frozen": {"network": "frozen", "offline": True},
}
BROKEN = ("car:building", "car:bicyclist")  # called what very many masks are, and what very few are
WRONG, MIN_AREA, EVERY, QUESTIONS = 10, 200, 4, (20, 40, 60, 100)


def true_masks(split: Split, classes: Classes) -> MaskSet:
    """The connected regions of the ground truth, each with its true label."""
    maps, labels = {}, {}
    for name in split.names:
        truth = split.ground_truth(name)
        assert truth is not None
        regions = connected_regions(truth, background=classes.ignore_index, connectivity=2)
        maps[name], labels[name] = cut(truth, regions, classes, min_area=16)
    masks = MaskSet.from_maps(classes, split.names, maps, labels)
    masks.uncovered = classes.ignore_index
    return masks


def broken(masks: MaskSet, old: str, new: str, seed: int) -> np.ndarray:
    """(WRONG,) rows, in order, of masks of class `old` of at least MIN_AREA pixels, drawn at random.

    Raises:
        ValueError: there are fewer, or no such class.
    """
    names = list(masks.classes.names)
    if old not in names or new not in names or old == new:
        raise ValueError(f"expected two of {', '.join(names)}, found {old!r} and {new!r}")
    table = masks.table
    rows = np.flatnonzero((table["label"] == names.index(old)) & (table["area"] >= MIN_AREA))
    return np.sort(np.random.default_rng(seed).choice(rows, WRONG, replace=False))


def make_dataset(masks: MaskSet, rows: np.ndarray, new: str, split: Split, folder: Path) -> None:
    """A folder as somebody's own, with the masks of `rows` labelled `new`, and then the object maps beside it."""
    label = masks.classes.names.index(new)
    export_folder(masks.relabel(rows, np.full(len(rows), label), source="lcm", round=1), split, folder)
    for name in masks.names:
        write_label_png(folder / "objects" / f"{name}.png", masks.object_map(name))


def found(folder: Path, wrong: set[tuple[str, int]], network: str, seed: int, runs: Path) -> list[int]:
    """How many of the wrong masks, (image, mask id) each, are among the first questions, for each of QUESTIONS."""
    fields = {"method": "a2lc", "budget": max(QUESTIONS), "rounds": 1, "seed": seed, "segmenter": NETWORKS[network]}
    run = a2lc.run(own_experiment(folder, str(folder / "objects"), **fields), runs, progress=False)
    asked = run.masks(0).table.iloc[run.folder(1).queried_rows()]  # the most suspicious first
    hits = [pair in wrong for pair in zip(asked["image"], asked["mask_id"], strict=True)]
    return [sum(hits[:count]) for count in QUESTIONS]


def rows_of(
    split: Split, masks: MaskSet, old: str, new: str, arguments: argparse.Namespace, runs: Path
) -> list[dict[str, Any]]:
    """A row per seed and network: what was broken, and how many of these masks are among the first questions."""
    rows = []
    for seed in arguments.seeds:
        chosen, folder = broken(masks, old, new, seed), runs / f"data-{seed}"
        if len(list((folder / "objects").glob("*.png"))) < len(split):
            make_dataset(masks, chosen, new, split, folder)
        table = masks.table.iloc[chosen]
        wrong = set(zip(table["image"], table["mask_id"], strict=True))
        for network in arguments.networks:
            counts = found(folder, wrong, network, seed, runs)
            after = {f"first {questions}": count for questions, count in zip(QUESTIONS, counts, strict=True)}
            rows.append({"wrong": f"{old} called {new}", "network": network, "seed": seed} | after)
            print(rows[-1], flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows in order, and the mean over seeds below each network's."""
    every = pd.DataFrame(rows)
    parts = []
    for _, part in every.groupby(["wrong", "network"], sort=False):
        mean = part.drop(columns="seed").groupby(["wrong", "network"], as_index=False).mean().round(1)
        parts += [part.sort_values("seed"), mean.assign(seed="mean")]
    return pd.concat(parts, ignore_index=True)[list(every)]


def main() -> None:
    """Break, ask, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds CamVid")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="where data sets and runs are kept; else they are removed")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the wrong masks and of the run")
    parser.add_argument("--broken", nargs="+", default=BROKEN, metavar="CLASS:LABEL")
    arguments, rows = parser.parse_args(), []
    dataset = load_dataset("camvid", arguments.root / "CamVid")
    split = dataset.train.subset(dataset.train.names[::EVERY])
    masks = true_masks(split, dataset.classes)
    with tempfile.TemporaryDirectory() as temporary:
        for pair in arguments.broken:
            old, _, new = pair.partition(":")
            rows += rows_of(split, masks, old, new, arguments, (arguments.runs or Path(temporary)) / f"{old}-{new}")
    caption = (
        f"CamVid, {len(split)} training images, {len(masks):,} regions of their true labels; {WRONG} regions of one "
        f"class, each of at least {MIN_AREA} pixels, got the label of another: how many of these {WRONG} are among the "
        "first 20, 40, 60 and 100 questions of the first round."
    )
    table = summary(rows)
    print(table.to_string(index=False))
    save_table(table, "broken_class", arguments.out, caption)


if __name__ == "__main__":
    main()
