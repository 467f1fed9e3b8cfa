"""Real Grounded-SAM masks beside simulated ones: `python benchmarks/calibration.py --root ../shared/data`.

Measures the 5,670 real masks of 752 VOC images, simulates masks for CamVid and toy (seed 0), prints both and writes
paper_figures/calibration.{png,pdf,json}. The constants of `a2lc.pseudo_labels` are read off its real rows.
About two minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2lc.datasets import Classes, Split, load_dataset
from a2lc.figures import save_figure
from a2lc.masks import MaskSet
from a2lc.metrics import data_miou, truth_histogram
from a2lc.pseudo_labels import (
    coverage,
    error_structure,
    learnable,
    mask_appearance,
    mask_records,
    mask_statistics_table,
    simulate_pseudo_labels,
)
from a2lc.pseudo_labels.regions import LOG_AREA_SHARE
from a2lc.pseudo_labels.simulated import COLOUR_FEATURES
from a2lc.pseudo_labels.statistics import SIZE_NAMES

TITLE = (
    "Calibration: real Grounded-SAM masks (VOC) beside SIMULATED masks (CamVid, toy). "
    "The simulation is a noise model that reads the ground truth."
)
COLOURS = {"real (VOC)": "black", "simulated (CamVid)": "#0072B2", "simulated (toy)": "#D55E00"}
STRUCTURE = {
    "top_confusion": "most common\nwrong label\nof a class",
    "alike_in_image": "same wrong\nlabel, same\nimage + class",
    "alike_anywhere": "same wrong\nlabel, same\nclass",
    "label_follows_size": "wrong label\nexplained\nby size",
    "label": "truth\nexplained\nby label",
}


@dataclass(frozen=True)
class Measured:
    """One set of masks and everything that is measured on it."""

    name: str
    classes: Classes
    records: pd.DataFrame  # every mask
    table: pd.DataFrame  # by size
    numbers: dict[str, Any]

    @property
    def on_class(self) -> pd.DataFrame:
        """The masks whose majority is a class, neither void nor background: those a fully labelled scene has, too."""
        return self.records[_on_class(self.records, self.classes)]


def _on_class(records: pd.DataFrame, classes: Classes) -> np.ndarray:
    return ~records["truth"].isin([len(classes), classes.background]).to_numpy()


def measure(name: str, masks: MaskSet, split: Split, with_images: bool) -> Measured:
    """Measure a set of masks; without images only size, place and shape count as appearance."""
    records, classes = mask_records(masks, split), masks.classes
    keep = _on_class(records, classes)
    features = appearance(masks, split, with_images)[keep]
    geometry = features[:, len(COLOUR_FEATURES) * with_images :]
    subset = records[keep]
    right = (subset["label"] == subset["truth"]).groupby(subset["size_bin"]).mean().reindex(range(len(SIZE_NAMES)))
    learned = {"label": np.zeros((len(subset), 0)), "label_geometry": geometry}
    if with_images:
        learned["label_geometry_colour"] = features
    table, best = mask_statistics_table(masks, split), truth_histogram(masks, split).ceiling(masks)
    numbers = {
        "images": len(masks.names),
        "masks": len(masks),
        "masks_per_image": len(masks) / len(masks.names),
        "area_share_quantiles": dict(
            zip(
                ("5%", "25%", "50%", "75%", "95%"),
                np.quantile(records["share"], [0.05, 0.25, 0.5, 0.75, 0.95]),
                strict=True,
            )
        ),
        "log10_area_share_by_5_percent": np.quantile(
            np.log10(records["share"]), np.linspace(0, 1, len(LOG_AREA_SHARE))
        ).tolist(),
        "coverage": coverage(masks, split),
        "by_size": table.reset_index().to_dict("records"),
        "right_by_size_on_a_class": right.tolist(),
        "all_masks": error_structure(records),
        "masks_on_a_class": error_structure(subset),
        "truth_of_wrong_masks_learned_from": {key: learnable(value, subset) for key, value in learned.items()},
        "data_miou": data_miou(masks, split),
        "data_miou_if_every_mask_were_right": best.miou,
        "pixel_accuracy_if_every_mask_were_right": best.accuracy,
    }
    return Measured(name, classes, records, table, _plain(numbers))


def appearance(masks: MaskSet, split: Split, with_images: bool) -> np.ndarray:
    """(M, 11) appearance of every mask, or (M, 6) without its colour and texture."""
    parts = []
    for name in masks.names:
        objects = masks.index_map(name).astype(np.int32) + 1
        image = split.image(name) if with_images else np.zeros((*objects.shape, 3), dtype=np.uint8)
        parts.append(mask_appearance(image, objects))
    features = np.concatenate(parts)
    return features if with_images else features[:, len(COLOUR_FEATURES) :]


def _plain(value: Any) -> Any:
    """JSON values rounded to five digits; NaN becomes None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(f"{value:.5g}")
    return int(value) if isinstance(value, np.integer) else value


def draw(sets: list[Measured]) -> Figure:
    """All panels."""
    fig, axes = plt.subplots(3, 3, figsize=(15, 13.5))
    _areas(axes[0, 0], sets)
    _by_size(axes[0, 1], sets)
    _purity(axes[0, 2], sets)
    covered = {kind: [m.numbers["coverage"][kind] for m in sets] for kind in ("foreground", "void", "all")}
    _bars(axes[1, 0], sets, covered, "share of pixels that masks cover")
    best = "  ".join(
        f"{m.numbers['data_miou']:.2f} → {m.numbers['data_miou_if_every_mask_were_right']:.2f}" for m in sets
    )
    per_image = "  ".join(f"{m.numbers['masks_per_image']:.1f}" for m in sets)
    axes[1, 0].set_xlabel(
        f"masks per image: {per_image}\nData mIoU, now → if every mask were right: {best}", fontsize=8
    )
    structure = {
        text: [(m.numbers["masks_on_a_class"] | _explained(m)).get(key) for m in sets]
        for key, text in STRUCTURE.items()
    }
    _bars(axes[1, 1], sets, structure, "how systematic wrong labels are (masks on a class)")
    relabel = {
        "as they are": [m.numbers["all_masks"]["right"] for m in sets],
        "most common\ntruth": [m.numbers["all_masks"]["relabel_none"] for m in sets],
        "… of the\nlabel": [m.numbers["all_masks"]["relabel_label"] for m in sets],
        "… of label\nand size": [m.numbers["all_masks"]["relabel_label_size"] for m in sets],
    }
    _bars(axes[1, 2], sets, relabel, "share of right masks after relabelling (all masks)")
    for axis, measured in zip(axes[2], sets, strict=True):
        _confusion(axis, measured)
    fig.suptitle(TITLE, fontsize=12)
    fig.tight_layout(rect=(0, 0, 1, 0.98))
    return fig


def _explained(measured: Measured) -> dict[str, float]:
    return {"label": measured.numbers["truth_of_wrong_masks_learned_from"]["label"]["explained"]}


def _areas(axis: Axes, sets: list[Measured]) -> None:
    for m in sets:
        weights = np.full(len(m.records), 1 / len(m.records))
        axis.hist(
            np.log10(m.records["share"]),
            np.arange(-5.5, 0.26, 0.25),
            weights=weights,
            histtype="step",
            color=COLOURS[m.name],
            label=m.name,
        )
    axis.set(title="size of masks", xlabel="log10 of the share of the image", ylabel="share of masks")
    axis.legend(loc="upper left", fontsize=8)


def _by_size(axis: Axes, sets: list[Measured]) -> None:
    for m in sets:
        values = [np.nan if v is None else v for v in m.numbers["right_by_size_on_a_class"]]
        axis.plot(SIZE_NAMES, values, "o-", color=COLOURS[m.name], label=f"{m.name}, masks on a class")
    real = sets[0]
    axis.plot(
        SIZE_NAMES, real.table["right"].iloc[:-1], "o:", color=COLOURS[real.name], label=f"{real.name}, all masks"
    )
    axis.set(title="right masks by size", ylim=(0, 1), xlabel="share of the image")
    axis.tick_params(axis="x", labelsize=7)
    axis.legend(fontsize=8)


def _purity(axis: Axes, sets: list[Measured]) -> None:
    for m in sets:
        axis.plot(
            SIZE_NAMES,
            m.table["purity_without_void"].iloc[:-1],
            "o-",
            color=COLOURS[m.name],
            label=f"{m.name}, void not counted",
        )
    real = sets[0]
    axis.plot(
        SIZE_NAMES, real.table["purity"].iloc[:-1], "o:", color=COLOURS[real.name], label=f"{real.name}, void counted"
    )
    axis.set(title="purity by size (share of the majority truth)", ylim=(0.5, 1.01), xlabel="share of the image")
    axis.legend(fontsize=8, loc="lower right")
    axis.tick_params(axis="x", labelsize=7)


def _bars(axis: Axes, sets: list[Measured], groups: dict[str, list[float | None]], title: str) -> None:
    for i, m in enumerate(sets):
        values = [group[i] or 0 for group in groups.values()]
        bars = axis.bar(np.arange(len(groups)) + 0.27 * (i - 1), values, 0.25, color=COLOURS[m.name])
        axis.bar_label(bars, [f"{v:.2f}" for v in values], fontsize=6.5)
    axis.set_xticks(range(len(groups)), list(groups), fontsize=7.5)
    axis.set(title=title, ylim=(0, 1.05))


def _confusion(axis: Axes, measured: Measured) -> None:
    classes, records = measured.classes, measured.records
    k = len(classes)
    counts = np.zeros((k + 1, k))
    np.add.at(counts, (records["truth"], records["label"]), 1)
    axis.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), vmin=0, vmax=1, cmap="viridis")
    axis.set_xticks(range(k), classes.names, rotation=90, fontsize=6.5)
    axis.set_yticks(range(k + 1), [*classes.names, "void"], fontsize=6.5)
    axis.set(title=f"{measured.name}: masks, rows sum to 1", xlabel="pseudo-label", ylabel="majority truth")


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", type=Path, default=Path("../shared/data"), help="folder with CamVid, VOCdevkit, grounded_sam_voc"
    )
    parser.add_argument("--out", type=Path, default=Path("paper_figures"), help="folder of the figure")
    arguments = parser.parse_args()
    voc = load_dataset("voc2012", arguments.root / "VOCdevkit", train_list="train_labels_only", labels_only=True)
    real = arguments.root / "grounded_sam_voc"
    masks = MaskSet.from_folders(real / "obj_jpg", real / "mask_jpg", voc.classes, voc.train.names)
    sets = [measure("real (VOC)", masks, voc.train, with_images=False)]
    seconds = {}
    for name, title, root in (
        ("camvid", "simulated (CamVid)", arguments.root / "CamVid"),
        ("toy", "simulated (toy)", None),
    ):
        dataset = load_dataset(name, root)
        start = time.perf_counter()
        simulated = simulate_pseudo_labels(dataset.train, dataset.classes, progress=False)
        seconds[title] = time.perf_counter() - start
        sets.append(measure(title, simulated, dataset.train, with_images=True))
    for m in sets:
        print(
            f"\n{m.name}: {m.numbers['masks']} masks, Data mIoU {100 * m.numbers['data_miou']:.1f} %, "
            f"if every mask were right {100 * m.numbers['data_miou_if_every_mask_were_right']:.1f} % "
            f"(pixel accuracy {100 * m.numbers['pixel_accuracy_if_every_mask_were_right']:.1f} %)"
        )
        print(m.table.round(3).to_string())
        print(
            "right by size, masks on a class:",
            np.round(np.array(m.numbers["right_by_size_on_a_class"], dtype=float), 3),
        )
        for key in (
            "area_share_quantiles",
            "coverage",
            "all_masks",
            "masks_on_a_class",
            "truth_of_wrong_masks_learned_from",
        ):
            print(f"{key}: {m.numbers[key]}")
    print("\nseconds to simulate:", {key: round(value, 1) for key, value in seconds.items()})
    save_figure(draw(sets), "calibration", arguments.out, {"title": TITLE, "sets": {m.name: m.numbers for m in sets}})


if __name__ == "__main__":
    main()
