"""Do masks that look alike carry the same wrong label? Real Grounded-SAM masks beside simulated ones, same pictures:
`python benchmarks/look_alikes.py --root ../shared/data --out paper_figures`.

On the 464 PASCAL VOC images that come with picture, ground truth and released masks. A mask's look is the mean of the
frozen features (strides 8, 16 and 32) over its pixels, each channel standardised. Of wrong masks whose most frequent
ground truth is a class, pairs of equal truth from different images are ordered by the cosine of their looks. Writes
look_alikes.{csv,md,tex} and look_alikes_curve.{png,pdf,json}. A few minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from a2lc.datasets import Split, load_dataset
from a2lc.figures import save_figure
from a2lc.instant import mask_features
from a2lc.instant.features import image_features
from a2lc.masks import MaskSet
from a2lc.paper.tables import save_table
from a2lc.pseudo_labels import error_structure, learnable, mask_records, simulate_pseudo_labels

BACKBONE = "tf_efficientnet_lite0"
NEAREST = (0.01, 0.05, 0.2, 1.0)  # the most similar share of pairs
COMPONENTS = 32  # principal components of the looks, from which the truth is learnt


def looks(masks: MaskSet, split: Split, shared: Path | None) -> np.ndarray:
    """(M, C) float32: mean features of each mask over its pixels, standardised per channel."""
    found = mask_features(BACKBONE, masks, split, shared=shared, progress=False).astype(np.float32)
    return (found - found.mean(0)) / np.maximum(found.std(0), 1e-6)


def pairs(records: pd.DataFrame, found: np.ndarray) -> pd.DataFrame:
    """Pairs of wrong masks of equal truth from different images: cosine of their looks, and whether labels agree."""
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    image, label = pd.factorize(records["image"])[0], records["label"].to_numpy()
    parts = []
    for rows in records.reset_index(drop=True).groupby("truth").indices.values():
        one, other = np.triu_indices(len(rows), 1)
        one, other = rows[one], rows[other]
        keep = image[one] != image[other]
        one, other = one[keep], other[keep]
        cosine = np.einsum("ij,ij->i", unit[one], unit[other])
        parts.append(pd.DataFrame({"cosine": cosine, "same": label[one] == label[other]}))
    return pd.concat(parts).sort_values("cosine", ascending=False, ignore_index=True)


def measured(masks: MaskSet, split: Split, shared: Path | None) -> tuple[dict[str, Any], pd.DataFrame]:
    """One row of the table, and its pairs."""
    records, found = mask_records(masks, split), looks(masks, split, shared)
    background, k = masks.classes.background, len(masks.classes)
    on_class = ~records["truth"].isin([k, background]).to_numpy()
    wrong = on_class & (records["label"] != records["truth"]).to_numpy()
    similar = pairs(records[wrong], found[wrong])
    centred = found[on_class] - found[on_class].mean(0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:COMPONENTS]
    learnt = learnable((centred @ components.T).astype(float), records[on_class])
    structure = error_structure(records[on_class])
    row: dict[str, Any] = {"masks": len(masks), "on a class": int(on_class.sum()), "wrong of these": int(wrong.sum())}
    for share in NEAREST:
        count = max(1, round(share * len(similar)))
        name = "all pairs" if share == 1 else f"most similar {share:.0%}"
        row[f"same wrong label, {name} (%)"] = 100 * similar["same"][:count].mean()
    row["same wrong label, same image (%)"] = 100 * structure["alike_in_image"]
    row["truth of a wrong mask learnt from its look and label (%)"] = 100 * learnt["accuracy"]
    row["most common truth (%)"] = 100 * learnt["accuracy_of_most_common"]
    return row, similar


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds VOCdevkit and grounded_sam_voc")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", type=Path, help="folder of kept features, runs/shared; else computed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset, given = load_dataset("voc2012", arguments.root / "VOCdevkit"), arguments.root / "grounded_sam_voc"
    split, classes = dataset.train, dataset.classes
    sets = {
        "real": MaskSet.from_folders(given / "obj_jpg", given / "mask_jpg", classes, split.names),
        "simulated": simulate_pseudo_labels(split, classes, progress=False),
        "simulated, looks of a network": simulate_pseudo_labels(
            split, classes, looks=image_features(BACKBONE, shared=arguments.features)[0], progress=False
        ),
    }
    rows, fig = [], plt.figure(figsize=(6, 4))
    axis = fig.add_subplot()
    for name, masks in sets.items():
        row, similar = measured(masks, split, arguments.features)
        rows.append({"masks are": name} | row)
        share = np.arange(1, len(similar) + 1) / len(similar)
        same = similar["same"].cumsum() / np.arange(1, len(similar) + 1)
        shown = np.unique(np.geomspace(max(30, len(similar) // 1000), len(similar), 100).astype(int)) - 1
        axis.plot(100 * share[shown], 100 * same[shown], label=name)
    axis.set(xscale="log", xlabel="most similar pairs (%)", ylabel="with the same wrong label (%)", ylim=(0, 100))
    axis.legend()
    table = pd.DataFrame(rows)
    print(table.T.to_string())
    caption = (
        f"voc2012, {len(split)} training images: wrong masks of equal truth in different images, real Grounded-SAM "
        f"masks and simulated ones (seed 0). Looks are frozen features of {BACKBONE}."
    )
    save_table(table, "look_alikes", arguments.out, caption)
    numbers = {"caption": caption, "rows": table.to_dict("records")}
    alt = "Share of pairs with the same wrong label against the share of most similar pairs, real and simulated masks"
    save_figure(fig, "look_alikes_curve", arguments.out, numbers, alt)


if __name__ == "__main__":
    main()
