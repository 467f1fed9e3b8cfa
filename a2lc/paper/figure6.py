"""Figure 6: the labels of two runs beside the ground truth, on images that a rule chooses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from PIL import Image

from a2lc.datasets import Classes, Dataset, load_dataset
from a2lc.figures import colour, style_of
from a2lc.files import nearest, read_json
from a2lc.metrics import confusion_matrix, segmentation_metrics
from a2lc.paper.figure5 import ranked_classes
from a2lc.runs import Run

FIRST = "first"  # the labels before any correction
_BETTER, _WORSE = "#009E73", "#E69F00"
_MINUS = "\N{MINUS SIGN}"


def compare_images(pair: Mapping[str, Run]) -> pd.DataFrame:
    """Labels of every image against its ground truth: the first ones, and those after the last round of two runs.

    Args:
        pair: name -> run, the baseline and then the other; of the same dataset and the same masks.

    Returns:
        A row per image, in the dataset's order. Columns image; ``<name>_miou`` and ``<name>_right`` for `FIRST` and
        both runs: Data mIoU of this image alone, and the share of its pixels with a class that carry this class (void
        and unlabelled are never right); ``better`` and ``worse``: the share of pixels that are right in the other run
        only, and in the baseline only; ``gain``: mIoU of the other run minus that of the baseline. All in percent; NaN
        where an image has no class.

    Raises:
        ValueError: not two runs, one is called `FIRST`, their masks differ, or an image has no ground truth.
    """
    base, other = _check_pair(pair)
    data, masks = _dataset(pair[base]), {FIRST: pair[base].masks(0)} | {name: run.masks() for name, run in pair.items()}
    k, rows = len(data.classes), []
    for image in masks[FIRST].names:
        truth, index = _truth(data, image), masks[FIRST].index_map(image)
        known, right = truth < k, {}
        row: dict[str, Any] = {"image": image}
        for name, of_run in masks.items():
            labels = of_run.label_map(image, index)
            right[name] = (labels == truth)[known]
            row |= {
                f"{name}_miou": segmentation_metrics(confusion_matrix(labels, truth, k)).miou,
                f"{name}_right": _mean(right[name]),
            }
        row |= {"better": _mean(right[other] & ~right[base]), "worse": _mean(right[base] & ~right[other])}
        rows.append(row | {"gain": row[f"{other}_miou"] - row[f"{base}_miou"]})
    table = pd.DataFrame(rows)
    return table.assign(**100 * table.drop(columns="image"))


def choose_images(scores: pd.DataFrame, images: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of `compare_images` to show: largest gain, median gain and largest loss, so that the choice cannot
    flatter, or the images named.

    Of equal gains the first in the dataset's order comes first; of an even number the lower median is taken. Fewer
    than three images are shown once each.

    Args:
        scores: what `compare_images` returns.
        images: names to show in place of the rule.

    Returns:
        The rows with a column ``rule``, the reason for which an image is here.

    Raises:
        ValueError: an image is unknown, or none has a class.
    """
    for name in images:
        if name not in set(scores["image"]):
            raise ValueError(f"images: no image {name!r}{nearest(name, scores['image'])}")
    if images:
        return scores.set_index("image").loc[list(images)].reset_index().assign(rule="named by hand")
    ranked = scores.dropna(subset="gain").sort_values("gain", ascending=False, kind="stable", ignore_index=True)
    if ranked.empty:
        raise ValueError("choose_images: no image has labels and ground truth of any class in both runs")
    last = len(ranked) - 1
    places = {(last + 1) // 2: "median gain", last: "largest loss" if ranked["gain"][last] < 0 else "smallest gain"}
    places[0] = "largest gain" if ranked["gain"][0] >= 0 else "smallest loss"
    return ranked.loc[sorted(places)].assign(rule=[places[i] for i in sorted(places)]).reset_index(drop=True)


def compare_classes(runs: Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """Data IoU of every class, the first labels beside those after the last round: means over seeds.

    Args:
        runs: row -> finished runs of the same masks, two rows: the baseline and then the other.

    Returns:
        Columns class; share: of the labelled pixels of the first labels; tail: whether it is among the rarer half of
        the classes by that share (alpha = 0.5 in Eq. 5, pixels as in Eq. 7); `FIRST` and a column per row: IoU;
        difference: other minus baseline. In percent, NaN where a class occurs in neither labels nor ground truth; the
        most frequent class comes first.

    Raises:
        ValueError: not two rows, one is called `FIRST`, or their masks differ.
    """
    every = {row: list(of_row) for row, of_row in runs.items()}
    base, other = _check_pair({row: of_row[0] for row, of_row in every.items()})
    first = every[base][0].masks(0)
    classes = ranked_classes(first).iloc[:-1].sort_values("rank")  # without void
    ious = {FIRST: _data_iou(every[base], round=0)} | {row: _data_iou(found) for row, found in every.items()}
    share = 100 * classes["pixels"] / max(classes["pixels"].sum(), 1)
    table = classes[["class", "tail"]].assign(
        share=share, **{row: 100 * iou[classes.index] for row, iou in ious.items()}
    )
    table = table.assign(difference=table[other] - table[base])
    return table[["class", "share", "tail", *ious, "difference"]].reset_index(drop=True)


def show_comparison(pair: Mapping[str, Run], chosen: pd.DataFrame, title: str) -> Figure:
    """Figure 6 of the paper: a row per image with (a) the image, (b) and (c) the labels after the last round of both
    runs, (d) the ground truth, and (e) where one of the runs is right and the other is not.

    Args:
        pair: as in `compare_images`.
        chosen: what `choose_images` returns.
        title: over the whole figure; says so when data are simulated.

    Raises:
        ValueError: as `compare_images`.
    """
    base, other = _check_pair(pair)
    data, masks = _dataset(pair[base]), [run.masks() for run in pair.values()]
    names = list(chosen["image"])
    pictures = [data.train.image(name) for name in names]
    maps = [[*(of_run.label_map(name) for of_run in masks), _truth(data, name)] for name in names]
    present = {int(label) for of_image in maps for labels in of_image for label in np.unique(labels)}
    patches = _patches(data.classes, present, pair)
    lines = wrap(title, 125, break_on_hyphens=False)
    heights = [1.33 * picture.shape[0] / picture.shape[1] + 0.41 for picture in pictures]  # inches: panels and texts
    heights[0] += 0.16  # titles of the columns
    height = sum(heights) + 0.12 * len(lines) + 0.15 * -(-len(patches) // 7) + 0.25
    fig = plt.figure(figsize=(7, height), layout="constrained")
    parts = fig.subfigures(len(names), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, picture, of_image, row in zip(parts, pictures, maps, chosen.to_dict("records"), strict=True):
        axes = part.subplots(1, 5)
        labels = [colour(shrink(found), data.classes) for found in of_image]
        panels = [shrink(picture, smooth=True), *labels, _changes(picture, of_image, len(data.classes))]
        for axis, panel in zip(axes, panels, strict=True):
            axis.imshow(panel, interpolation="nearest")
        _write(part, axes, row, base, other, titles=part is parts[0])
    fig.legend(handles=patches, loc="outside lower center", ncols=7, fontsize=6.5, frameon=False)
    fig.suptitle("\n".join(lines), fontsize=7)
    return fig


def show_classes(table: pd.DataFrame, title: str) -> Figure:
    """IoU of every class as a row of marks, the tail classes shaded: one column of a page wide.

    Args:
        table: what `compare_classes` returns.
        title: over the figure; says so when data are simulated.
    """
    where = np.arange(len(table))
    fig, axis = plt.subplots(figsize=(3.5, 1.4 + 0.17 * len(table)), layout="constrained")
    rows = [str(name) for name in table.columns.difference(["class", "share", "tail", "difference"], sort=False)]
    for i, name in enumerate(rows):  # of equal ones all are seen
        label, paint, marker, _ = ("first labels", "#000000", "|", "") if name == FIRST else style_of(name, i)
        size, order = {0: (6, 4), 1: (6.5, 2)}.get(i, (4.5, 3))
        axis.plot(table[name], where, marker, color=paint, label=label, markersize=size, zorder=order)
    for y in np.flatnonzero(table["tail"]):
        axis.axhspan(y - 0.5, y + 0.5, color="#F0E442", alpha=0.18, linewidth=0, zorder=0)
    axis.set_yticks(where, [f"{row['class']}, {row['share']:.2g} %" for row in table.to_dict("records")], fontsize=6.5)
    axis.set(xlim=(-2, 102), ylim=(len(table) - 0.5, -0.5))
    axis.set_xlabel("Data IoU (%)", fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(alpha=0.3)
    fig.legend(loc="outside lower center", ncols=3, fontsize=6.5, frameon=False)
    fig.suptitle("\n".join(wrap(title, 68, break_on_hyphens=False)), fontsize=6.5)
    return fig


def shrink(picture: np.ndarray, width: int = 480, smooth: bool = False) -> np.ndarray:
    """A picture at most `width` pixels wide: (H, W) or (H, W, 3) uint8, nearest pixels, or means of areas if smooth."""
    if picture.shape[1] <= width:
        return picture
    size = (width, max(1, round(picture.shape[0] * width / picture.shape[1])))
    how = Image.Resampling.BOX if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize(size, how))


def _changes(picture: np.ndarray, maps: Sequence[np.ndarray], k: int) -> np.ndarray:
    """(H, W, 3) uint8: the picture, pale, its better pixels dark and its worse ones light with stripes; from the labels
    of baseline, other and truth."""
    base, other, truth = (shrink(labels) for labels in maps)
    painted = np.repeat(200 + 0.2 * shrink(picture, smooth=True).mean(-1, keepdims=True), 3, axis=-1)
    better = (truth < k) & (other == truth) & (base != truth)
    worse = (truth < k) & (base == truth) & (other != truth)
    height, width = truth.shape
    stripe = np.add.outer(np.arange(height), np.arange(width)) % (width / 20) < width / 60
    painted[better], painted[worse] = (255 * np.array(to_rgb(paint)) for paint in (_BETTER, _WORSE))
    painted[worse & stripe] = 0
    return painted.astype(np.uint8)


def _write(part: SubFigure, axes: Sequence[Axes], row: Mapping[Any, Any], base: str, other: str, titles: bool) -> None:
    """What stands over and under the panels of one row."""
    gain = f"{row['gain']:+.1f}".replace("-", _MINUS)
    head = f"{row['rule']}: {row['image']}, mIoU {gain}"
    part.suptitle(f"{head[0].upper()}{head[1:]}", fontsize=7, x=0.01, ha="left")
    labels = [f"({letter}) {style_of(name)[0]}" for letter, name in (("b", base), ("c", other))]
    under = [f"mIoU {row[f'{name}_miou']:.1f}, right {row[f'{name}_right']:.1f}" for name in (FIRST, base, other)]
    under = [f"first: {under[0]}", *under[1:], "", f"+ {row['better']:.1f}, {_MINUS} {row['worse']:.1f}"]
    heads = ["(a) image", *labels, "(d) ground truth", "(e) difference"]
    for axis, title, text in zip(axes, heads, under, strict=True):
        axis.set(xticks=[], yticks=[])
        axis.set_xlabel(text, fontsize=6)
        if titles:
            axis.set_title(title, fontsize=7)
        for spine in axis.spines.values():
            spine.set(linewidth=0.4, color="#888888")


def _patches(classes: Classes, present: set[int], pair: Iterable[str]) -> list[Patch]:
    """The legend: classes that occur, void, and the two signs of the last column."""
    found = [label for label in sorted(present) if label < len(classes)]
    patches = [Patch(color=classes.palette[label] / 255, label=classes.names[label]) for label in found]
    if len(found) < len(present):
        patches.append(Patch(facecolor="white", edgecolor="#888888", linewidth=0.6, label="void, no mask"))
    base, other = (style_of(name)[0] for name in pair)
    patches.append(Patch(color=_BETTER, label=f"+ only {other} right"))
    return [*patches, Patch(facecolor=_WORSE, hatch="//////", label=f"{_MINUS} only {base} right")]


def _check_pair(pair: Mapping[str, Run]) -> tuple[str, str]:
    """The two names: the baseline and the other."""
    if len(pair) != 2:
        raise ValueError(f"expected two runs to compare, the baseline and the other, found {len(pair)}")
    if FIRST in pair:
        raise ValueError(f"a run cannot be called {FIRST!r}: these are the labels before any correction")
    (base, first), (other, second) = pair.items()
    kept = [read_json(run.path / "provenance.json")["data"]["masks"] for run in (first, second)]
    if kept[0] != kept[1]:
        raise ValueError(f"{first.path} and {second.path}: expected runs of the same masks, found {' and '.join(kept)}")
    return base, other


def _dataset(run: Run) -> Dataset:
    return load_dataset(run.config.dataset, run.config.root)


def _truth(data: Dataset, image: str) -> np.ndarray:
    truth = data.train.ground_truth(image)
    if truth is None:
        raise ValueError(f"{image}: has no ground truth to compare labels with")
    return truth


def _mean(right: np.ndarray) -> float:
    return float(right.mean()) if right.size else float("nan")


def _data_iou(runs: Iterable[Run], round: int | None = None) -> np.ndarray:
    """(K,) Data IoU in [0, 1] after a round (None: the last), the mean over runs; NaN where a class does not occur."""
    every = [run.metrics(run.finished_rounds if round is None else round)["data_iou"] for run in runs]
    return np.array(every, dtype=float).mean(0)
