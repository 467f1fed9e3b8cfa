"""For the tutorials: maps of numbers, rows of bars, a figure that follows sliders, and who answers where nobody is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from ipywidgets import SelectionSlider, interactive
from matplotlib.figure import Figure

from a2lc.acquisition import Explanation
from a2lc.datasets import Classes, Dataset, load_dataset
from a2lc.human import Query, Queue
from a2lc.human.live_order import LiveOrder
from a2lc.masks import VOID, MaskSet, label_names
from a2lc.metrics import TruthHistogram
from a2lc.paper.clicks import truth_of

REAL_MASKS = "grounded_sam_voc"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#999999")
"""Of things side by side: blue, orange and green of Okabe and Ito, which the colour-blind tell apart, and grey."""


def real_data(given: str = "") -> Path | None:
    """The folder of real masks, with ``grounded_sam_voc`` and ``VOCdevkit`` in it.

    Args:
        given: a folder; empty: the one that the environment variable ``A2LC_DATA`` names, else ``../shared/data``.

    Returns:
        The folder; None where none was given and there are no such masks.

    Raises:
        FileNotFoundError: there are none in the folder that was given.
    """
    folder = Path(given or os.environ.get("A2LC_DATA") or "../shared/data")
    if (folder / REAL_MASKS).is_dir():
        return folder
    if given:
        wanted = f"{REAL_MASKS} and VOCdevkit"
        raise FileNotFoundError(f"data: expected a folder with {wanted}, found no {REAL_MASKS} in {given}")
    return None


def real_images(folder: Path, image_list: str) -> tuple[Dataset, bool]:
    """PASCAL VOC below the folder that `real_data` found, and whether its pictures are at hand; without them, labels
    alone are read.

    Args:
        folder: with ``VOCdevkit`` in it.
        image_list: the training images, a list in ``ImageSets/Segmentation``.

    Raises:
        FileNotFoundError, ValueError: as `a2lc.load_dataset`, for the labels.
    """
    root = folder / "VOCdevkit"
    try:
        return load_dataset("voc2012", root, train_list=image_list), True
    except FileNotFoundError:
        return load_dataset("voc2012", root, train_list=image_list, labels_only=True), False


def window(inside: np.ndarray, margin: int = 8) -> tuple[slice, slice]:
    """Rows and columns around the True pixels of an (H, W) bool map, `margin` pixels wider on each side, or as far as
    the map reaches.

    Raises:
        ValueError: no pixel is True.
    """
    if not inside.any():
        raise ValueError("window: expected at least one True pixel, found none")
    found = (np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0)))
    rows, columns = (slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin) for at in found)
    return rows, columns


def highlight(image: np.ndarray, inside: np.ndarray, paint: tuple[int, int, int] | None = None) -> np.ndarray:
    """(H, W, 3) uint8 `image`, pale where (H, W) `inside` is False; `paint` is the colour of the True pixels, which
    otherwise stay as they are."""
    return np.where(inside[..., None], image if paint is None else paint, 190 + image * 0.25).astype(np.uint8)


def image_accuracy(masks: MaskSet, truth: TruthHistogram) -> np.ndarray:
    """(N,) share of each image's mask pixels whose label is the ground truth, in [0, 1]; void is never right, and an
    image without masks has 0."""
    label, k = masks.table["label"].to_numpy(), len(masks.classes)
    hits = np.where(label < k, truth.counts[np.arange(len(masks)), np.minimum(label, k)], 0)
    image, n = masks.table["image"].cat.codes.to_numpy(), len(masks.names)
    return np.bincount(image, hits, n) / np.maximum(np.bincount(image, masks.table["area"], n), 1)


def shuffled(labels: np.ndarray, where: np.ndarray, seed: int) -> np.ndarray:
    """(M,) labels with those at `where` ((M,) bool or row numbers) dealt out among them at random."""
    dealt = labels.copy()
    dealt[where] = np.random.default_rng(seed).permutation(labels[where])
    return dealt


def verdicts(masks: MaskSet, name: str, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 picture of one image's masks: green where (M,) `right` is True, red where `wrong` is, else
    grey."""
    rows = masks.rows(name)
    colours = np.full((rows.stop - rows.start + 1, 3), 230, dtype=np.uint8)  # the last is for pixels of no mask, -1
    colours[:-1][right[rows]], colours[:-1][wrong[rows]] = (0, 150, 60), (220, 30, 30)
    return colours[masks.index_map(name)]


def show_explanation(why: Explanation, image: np.ndarray, classes: Classes, name: str = "mask") -> Figure:
    """The factors of one mask's score beside the mask, cut out of its (H, W, 3) uint8 image."""
    inside = ~np.isnan(why.cil)
    box = window(inside)
    maps = {"CIL": why.cil, "weight": why.weight, "similarity": why.similarity, "product": why.contribution}
    panels = {"mask": highlight(image, inside)} | maps
    row = why.row
    factors = f"{row['area']} pixels × CIL {row['cil']:.2f} × weight {row['weight']:.2f}"
    label = label_names(classes)[int(row["label"])]
    title = f"{name}, labelled {label}: score {row['score']:.1f} ≈ {factors} × similarity {row['similarity']:.2f}"
    limits = {"product": (0.0, float(np.nanmax(why.contribution)))}
    return show_numbers({what: values[box] for what, values in panels.items()}, title, limits=limits)


def show_numbers(
    panels: Mapping[str, np.ndarray],
    title: str = "",
    columns: int = 5,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Maps of numbers side by side, a colour bar under each; NaN is light grey.

    Args:
        panels: title -> (H, W) float map, or (H, W, 3) uint8 image, which gets no colour bar.
        title: over the whole figure.
        columns: panels per row.
        limits: title -> (lowest, highest) value of the colours; 0 to 1 where a panel is not named.
    """
    rows, columns = -(-len(panels) // columns), min(columns, len(panels))
    height, width = next(iter(panels.values())).shape[:2]
    bars = any(panel.ndim == 2 for panel in panels.values())
    size = (2.5 * columns, rows * (2.5 * min(height / width, 2) + (0.75 if bars else 0.3)) + 0.4 * bool(title))
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    colours = plt.get_cmap("viridis").with_extremes(bad="#e8e8e8")
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        axis.set_title(name, fontsize=9)
        low, high = (limits or {}).get(name, (0.0, 1.0))
        picture = axis.imshow(panel, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        if bars:
            bar = fig.colorbar(picture, ax=axis, orientation="horizontal", shrink=0.8, pad=0.03)
            bar.ax.tick_params(labelsize=7)
            if panel.ndim == 3 and bar.solids is not None:  # keeps its room, so that all panels are of one size
                bar.ax.tick_params(colors="none")
                bar.outline.set_visible(False)
                bar.solids.set_visible(False)
    fig.suptitle("\n".join(wrap(title, 32 * columns)), fontsize=9)
    return fig


def show_matrices(
    matrices: Mapping[str, np.ndarray],
    rows: Sequence[object],
    columns: Sequence[object],
    axes_names: tuple[str, str],
    digits: int | None = None,
) -> Figure:
    """Tables of numbers drawn as colours, side by side; each has colours of its own.

    Args:
        matrices: title -> (n, m) numbers.
        rows, columns: n and m names.
        axes_names: what the rows are, what the columns are.
        digits: writes the numbers into the cells, with so many digits after the point where a matrix has any; None:
            colours only.
    """
    wide, high = 0.36 * len(columns) + 1.6, 0.26 * len(rows) + 1.3
    if digits is not None:
        wide, high = 0.6 * len(columns) + 1.4, 0.3 * len(rows) + 1.0
    fig, axes = plt.subplots(
        1, len(matrices), figsize=(wide * len(matrices), high), squeeze=False, sharey=True, layout="constrained"
    )
    for axis, (title, matrix) in zip(axes.flat, matrices.items(), strict=True):
        table = pd.DataFrame(matrix, list(map(str, rows)), list(map(str, columns)))
        form: dict[str, Any] = {"xticklabels": True, "yticklabels": True}
        if digits is not None:
            after = 0 if np.array_equal(matrix, np.round(matrix)) else digits
            form |= {"annot": True, "fmt": f".{after}f", "annot_kws": {"size": 7}, "cbar": False}
        seaborn.heatmap(table, cmap="cividis", ax=axis, **form)
        axis.set_xlabel(axes_names[1], fontsize=8)
        axis.tick_params(axis="x", labelsize=7, rotation=90 if digits is None else 0)
        axis.tick_params(axis="y", labelsize=7, rotation=0)
        axis.set_title(title, fontsize=9)
    axes[0, 0].set_ylabel(axes_names[0], fontsize=8)
    return fig


def bar_rows(groups: Mapping[str, Mapping[str, float]], xlabel: str, title: str = "", digits: int = 1) -> Figure:
    """Horizontal bars with their values written beside them.

    Args:
        groups: label of a colour -> name of a row -> length; all groups have the same rows. NaN: no bar.
        xlabel: what the length is.
        title: over the whole figure.
        digits: of the values after the point.
    """
    names = list(next(iter(groups.values())))
    thick = 0.8 / len(groups)
    fig, axis = plt.subplots(figsize=(6.5, 1.1 + 0.13 * len(names) * (len(groups) + 0.7)), layout="constrained")
    for i, (label, lengths) in enumerate(groups.items()):
        where = np.arange(len(names)) + (i - (len(groups) - 1) / 2) * thick
        values = [lengths[name] for name in names]
        drawn = axis.barh(where, np.nan_to_num(values), thick, label=label, color=COLOURS[i % len(COLOURS)])
        texts = ["" if np.isnan(value) else f"{value:.{digits}f}" for value in values]
        axis.bar_label(drawn, texts, fontsize=7, padding=2)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(xlabel, fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.margins(x=0.1)
    axis.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        fig.legend(loc="outside lower center", ncols=len(groups), fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 90)), fontsize=9)
    return fig


def answer_by_truth(queue: Queue) -> None:
    """Stand for a person where nobody is: answer all that is left of a queue with the most frequent ground truth of
    each mask, void where that is void; where the method changes the order, in that which each answer brings.

    Raises:
        ValueError: an image has no ground truth, the round has gone on, or a class is called void
            (`Queue.label_of`).
    """
    said = truth_of(queue.run).majority

    def answer_to(query: Query) -> int | str:
        return int(said[query.row]) if said[query.row] < len(queue.classes) else VOID

    if not queue.run.config.is_instant:
        queue.answer_many((query, answer_to(query)) for query in queue.pending)
        return
    order = LiveOrder(queue)
    while queue.current is not None:
        queue.answer(answer_to(queue.current))
        order.renew()


def sliders(draw: Callable[..., Figure], **choices: Sequence[Any]) -> interactive:
    """A widget with one slider per name in `choices`; the figure `draw(**chosen)` follows them.

    For a notebook in a browser. Where there is none, call `draw` once instead and save its figure.

    Args:
        draw: takes one value per name and returns a figure.
        choices: name -> the values of its slider, in order; it starts at the first.

    Raises:
        ValueError: a slider without a value.
    """
    if empty := [name for name, values in choices.items() if not len(values)]:
        raise ValueError(f"sliders: expected at least one value, found none for {', '.join(empty)}")
    made = {
        name: SelectionSlider(options=list(values), description=name, continuous_update=False)
        for name, values in choices.items()
    }
    return interactive(draw, {"auto_display": True}, **made)
