"""Figures: drawing what the notebooks show, and one exit for all of them (`save_figure`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from a2lc.datasets import Classes
from a2lc.files import atomic, write_json

METHOD_STYLE = {  # label, colour (colour-blind safe), marker, line
    "alc": ("ALC", "#666666", "o", "--"),
    "a2lc_no_lcm": ("A²LC without LCM", "#E69F00", "^", "-."),
    "a2lc": ("A²LC", "#0072B2", "s", "-"),
}
METRIC_TITLE = {"data_miou": "Data mIoU (%)", "model_miou": "Model mIoU (%)"}


def save_figure(fig: Figure, name: str, folder: str | os.PathLike[str], numbers: Any) -> Figure:
    """Write ``<name>.png``, ``<name>.pdf`` and ``<name>.json``, the numbers that are plotted.

    Args:
        fig: the figure; it is closed in pyplot and returned, so that a notebook cell that ends with this call shows it.
        name: file name without suffix.
        folder: made where it does not exist.
        numbers: JSON values, for instance ``table.to_dict("records")``.
    """
    for suffix in ("png", "pdf"):
        with atomic(Path(folder) / f"{name}.{suffix}") as temporary:
            fig.savefig(temporary, bbox_inches="tight", dpi=150)
    write_json(Path(folder) / f"{name}.json", numbers)
    plt.close(fig)
    return fig


def colour(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """(H, W, 3) uint8 picture of a label map in the dataset's palette; void and unlabelled pixels are white."""
    lookup = np.full((256, 3), 255, dtype=np.uint8)
    lookup[: len(classes)] = classes.palette
    return lookup[labels]


def show_maps(panels: Mapping[str, np.ndarray], classes: Classes, title: str = "", columns: int = 4) -> Figure:
    """Images and label maps side by side with a legend of the classes that occur.

    Args:
        panels: title -> (H, W, 3) uint8 image or (H, W) uint8 label map.
        classes: names and palette.
        title: over the whole figure.
        columns: panels per row.
    """
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    height, width = next(iter(panels.values())).shape[:2]
    fig, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 3.2 * height / width * rows + 0.9), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    present: set[int] = set()
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        axis.imshow(panel if panel.ndim == 3 else colour(panel, classes), interpolation="nearest")
        axis.set_title(name, fontsize=9)
        if panel.ndim == 2:
            present |= {int(label) for label in np.unique(panel) if label < len(classes)}
    patches = [Patch(color=classes.palette[label] / 255, label=classes.names[label]) for label in sorted(present)]
    fig.legend(handles=patches, loc="lower center", ncols=min(8, max(1, len(patches))), fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 40 * columns)), fontsize=9)
    fig.tight_layout(rect=(0, 0.05 + 0.05 * (len(patches) > 8), 1, 1))
    return fig


def mask_borders(object_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) uint8 with the borders of its masks in yellow and pixels of no mask darkened."""
    border = np.zeros(object_map.shape, dtype=bool)
    border[:, 1:] |= object_map[:, 1:] != object_map[:, :-1]
    border[1:] |= object_map[1:] != object_map[:-1]
    picture = np.where(object_map[..., None] > 0, image, image // 3)
    picture[border] = (255, 220, 0)
    return picture.astype(np.uint8)


def learning_curves(
    table: pd.DataFrame, title: str, ceiling: float | None = None, clicks: Mapping[int, float] | None = None
) -> Figure:
    """Data and Model mIoU against rounds, a line per method with a band of one standard deviation (Table 1 drawn).

    Args:
        table: what `tables.rounds_table` returns.
        title: over the whole figure; says so when data are simulated.
        ceiling: Data mIoU in [0, 1] if every mask were answered (`tables.ceiling`), drawn as a line.
        clicks: share of masks queried after each round, in [0, 1], for a second axis on top.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.2))
    for axis, metric in zip(axes, METRIC_TITLE, strict=True):
        for method, rows in table[table["metric"] == metric].groupby("method"):
            label, line_colour, marker, style = METHOD_STYLE.get(str(method), (str(method), "#D55E00", "^", ":"))
            axis.plot(rows["round"], rows["mean"], color=line_colour, marker=marker, linestyle=style, label=label)
            low, high = rows["mean"] - rows["std"].fillna(0), rows["mean"] + rows["std"].fillna(0)
            axis.fill_between(rows["round"], low, high, color=line_colour, alpha=0.15, linewidth=0)
        axis.set(xlabel="round", ylabel=METRIC_TITLE[metric], xticks=sorted(table["round"].unique()))
        axis.grid(alpha=0.3)
        if clicks:
            top = axis.secondary_xaxis("top")
            top.set_xticks(list(clicks), [f"{100 * share:.0f} %" for share in clicks.values()])
            top.set_xlabel("masks queried", fontsize=8)
            top.tick_params(labelsize=7)
    if ceiling is not None:
        axes[0].axhline(100 * ceiling, color="black", linewidth=0.8, linestyle=":", label="every mask answered")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 100)), fontsize=8)
    fig.tight_layout(rect=(0, 0.06, 1, 1))
    return fig


def bars(values: Mapping[str, Sequence[float]], names: Sequence[str], ylabel: str, title: str) -> Figure:
    """Grouped bars: one group per name, one colour per key of `values`."""
    fig, axis = plt.subplots(figsize=(7, 2.8))
    width = 0.8 / len(values)
    for i, (label, heights) in enumerate(values.items()):
        axis.bar(
            np.arange(len(names)) + (i - (len(values) - 1) / 2) * width,
            heights,
            width,
            label=label,
            color=("#999999", "#0072B2", "#E69F00")[i % 3],
        )
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axis.set(ylabel=ylabel, title=title)
    axis.title.set_fontsize(9)
    if len(values) > 1:
        axis.legend(fontsize=8)
    fig.tight_layout()
    return fig
