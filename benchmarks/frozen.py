"""Frozen features beside the light network, under full supervision:
`python benchmarks/frozen.py --root ../shared/data --out FOLDER`.

Val mIoU of CamVid and PASCAL VOC when everything is labelled right, against the seconds of one core: features once per
image, one training, one prediction per image. A row whose weights are not on this machine is left out and named;
`--data` and `--models` take some rows only.
Writes frozen_backbones.{csv,md,tex}.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import clock, machine

import a2lc
from a2lc.datasets import Dataset, Split
from a2lc.paper.tables import save_table
from a2lc.segmenter import SegmenterSettings, build_segmenter, resolve_device
from a2lc.segmenter.frozen import FrozenSegmenter
from a2lc.segmenter.pretrained import PACKAGES, find_backbone
from a2lc.stages.context import evaluate

ROOTS = {"camvid": "CamVid", "voc2012": "VOCdevkit"}
LIGHT = {"iterations": 300, "lr": 0.04, "crop": (360, 360)}  # as in profile camvid, but for the crops


def cases(models: Collection[str]) -> dict[str, SegmenterSettings]:
    """Name of a row -> its settings; those of `models` that are frozen backbones whose weights are on this machine, and
    `light`."""
    found = {}
    for name in (name for name in PACKAGES if name in models):
        try:
            find_backbone(name, offline=True)
        except (FileNotFoundError, ValueError) as error:
            print(f"left out: {error}")
            continue
        found[f"frozen, {name}"] = SegmenterSettings(network="frozen", backbone=name, offline=True)
    return found | ({"light": SegmenterSettings(**LIGHT)} if "light" in models else {})


def every(dataset: Dataset, step: int) -> Dataset:
    """Every `step`-th image of both splits."""
    train, val = (split.subset(split.names[::step]) for split in (dataset.train, dataset.val))
    return Dataset(dataset.name, dataset.classes, train, val)


def measured(dataset: Dataset, settings: SegmenterSettings, device: torch.device, seed: int = 0) -> dict[str, Any]:
    """One row: seconds of each part, bytes on disk and val mIoU."""
    with tempfile.TemporaryDirectory() as folder:
        model = build_segmenter(settings, len(dataset.classes), str(device), shared=Path(folder))
        row: dict[str, Any] = {}
        if isinstance(model, FrozenSegmenter):
            images = [(split, name) for split in (dataset.train, dataset.val) for name in split.names]
            start, pixels = clock(), 0
            for split, name in images:
                image = split.image(name)
                pixels += image.shape[0] * image.shape[1]
                model.extractor.maps(image)
            row["features, s an image"] = (clock() - start) / len(images)
            size = sum(file.stat().st_size for file in model.extractor.store.path.iterdir())
            row["bytes per 1,000 pixels"] = 1000 * size / pixels
        start = clock()
        model.fit(dataset.train, truth(dataset.train), seed=seed, progress=False)
        row["training, s"] = clock() - start
        start = clock()
        score = evaluate(model, dataset)
        row["prediction, s an image"] = (clock() - start) / len(dataset.val)
        row["val mIoU (%)"] = np.nan if score is None else 100 * score.miou
    return row


def truth(split: Split) -> Any:
    """Labels of a split: its ground truth, 255 where there is none."""

    def labels(name: str) -> np.ndarray:
        found = split.ground_truth(name)
        assert found is not None
        return found

    return labels


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds CamVid and VOCdevkit")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", nargs="+", choices=ROOTS, default=list(ROOTS))
    parser.add_argument("--models", nargs="+", choices=["light", *PACKAGES], default=["light", *PACKAGES])
    parser.add_argument("--every", type=int, default=1, help="take every N-th image only, for a quick look")
    arguments = parser.parse_args()
    device, rows = resolve_device("auto"), []
    for data in arguments.data:
        dataset = every(a2lc.load_dataset(data, arguments.root / ROOTS[data]), arguments.every)
        for name, settings in cases(arguments.models).items():
            rows.append({"data": data, "model": name} | measured(dataset, settings, device))
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    caption = (
        f"Full supervision, seed 0, {machine(device)}"
        f"{f', one image in {arguments.every}' if arguments.every > 1 else ''}: val mIoU against seconds."
    )
    if "voc2012" in arguments.data:
        caption += " VOC are 464 of 1,464 train and 485 of 1,449 val images, half of them animals."
    save_table(pd.DataFrame(rows), "frozen_backbones", arguments.out, caption)


if __name__ == "__main__":
    main()
