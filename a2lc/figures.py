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
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from a2lc.datasets import Classes
from a2lc.files import atomic, check_whole, write_json

METHOD_STYLE = {  # label, colour (colour-blind safe), marker, line
    "alc": ("ALC", "#666666", "o", "--"),
    "a2lc_no_lcm": ("A²LC without LCM", "#E69F00", "^", "-."),
    "a2lc": ("A²LC", "#0072B2", "s", "-"),
    # beside the paper's
    "instant": ("instant", "#882255", "*", "-"),
    "instant_colour": ("instant, colour", "#882255", "p", ":"),
    # Table 5
    "baseline": ("ALC, no repetition", "#666666", "o", "--"),
    "lcm": ("LCM", "#009E73", "^", "-."),
    "lcm+abc": ("LCM, ABC", "#CC79A7", "v", "-"),
    "lcm+abc+mask": ("LCM, ABC, mask: A²LC", "#0072B2", "s", "-"),
    # Table 4: dashed where no label is read
    "random": ("Random", "#000000", "x", ":"),
    "entropy": ("Entropy", "#E69F00", "v", "--"),
    "margin": ("Margin", "#56B4E9", "^", "--"),
    "bvsb": ("BvSB", "#009E73", "P", "--"),
    "clsbal": ("ClassBal", "#CC79A7", "X", "--"),
    "merspx": ("MerSpx", "#999999", "d", "--"),
    "cil": ("CIL", "#E69F00", "<", "-"),
    "lcil": ("LCIL", "#56B4E9", ">", "-"),
    "aiou": ("AIoU", "#CC79A7", "*", "-"),
    "sim": ("SIM", "#0072B2", "o", "-"),
    "abc": ("ABC", "#D55E00", "D", "-"),
    # Table 2
    "fully_supervised": ("Full supervision", "#000000", "*", ":"),
    "spx": ("Spx", "#E69F00", "v", "-"),
    "mulspx": ("MulSpx", "#CC79A7", "P", "-"),
    "mulspx_halves": ("MulSpx, by halves", "#CC79A7", "X", "--"),
}
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#666666")
_MARKERS, _LINES = "^osvDPX<>*d", ("-", "--", ":", "-.")
METRIC_TITLE = {"data_miou": "Data mIoU (%)", "model_miou": "Model mIoU (%)"}


def save_figure(fig: Figure, name: str, folder: str | os.PathLike[str], numbers: Any, alt: str = "") -> Figure:
    """Write ``<name>.png``, ``<name>.pdf`` and ``<name>.json``, the numbers that are plotted.

    Args:
        fig: the figure; it is closed in pyplot and returned, so that a notebook cell that ends with this call shows it.
        name: file name without suffix.
        folder: made where it does not exist.
        numbers: JSON values, for instance ``table.to_dict("records")``.
        alt: what the picture shows, for those who do not see it; a notebook keeps it beside the picture. Empty: the
            figure's title.
    """
    for suffix, about in (("png", {}), ("pdf", {"CreationDate": None})):  # the same figure is the same file
        with atomic(Path(folder) / f"{name}.{suffix}") as temporary:
            fig.savefig(temporary, bbox_inches="tight", dpi=150, metadata=about)
    write_json(Path(folder) / f"{name}.json", numbers)
    plt.close(fig)
    return with_alt(fig, alt or fig.get_suptitle())


def with_alt(fig: Figure, alt: str) -> Figure:
    """The figure, shown in a notebook with this alternative text (``metadata["image/png"]["alt"]`` of the output)."""
    about = {"image/png": {"alt": " ".join(alt.split())}}
    setattr(fig, "_repr_mimebundle_", lambda **_: ({}, about))  # noqa: B010  IPython adds the picture itself
    return fig


def colour(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """(H, W, 3) uint8 picture of a label map, (H, W) uint8, in the dataset's palette; what is no class is white."""
    lookup = np.full((256, 3), 255, dtype=np.uint8)
    lookup[: len(classes)] = classes.palette
    return lookup[labels]


def show_maps(panels: Mapping[str, np.ndarray], classes: Classes, title: str = "", columns: int = 4) -> Figure:
    """Images and label maps side by side with a legend of the classes that occur.

    Args:
        panels: title -> (H, W, 3) uint8 image or (H, W) uint8 label map; at least one.
        classes: names and palette.
        title: over the whole figure.
        columns: panels per row, >= 1.

    Raises:
        ValueError: no panel, or no column.
        TypeError: `columns` is no whole number.
    """
    if not panels:
        raise ValueError("panels: expected at least one image or label map, found none")
    check_whole(columns, "columns", 1)
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    height, width = next(iter(panels.values())).shape[:2]
    size = (3.2 * columns, (3.2 * height / width + 0.25) * rows + 0.65)
    fig, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    present: set[int] = set()
    for axis, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        axis.imshow(panel if panel.ndim == 3 else colour(panel, classes), interpolation="nearest")
        axis.set_title(name, fontsize=9)
        if panel.ndim == 2:
            present |= {int(label) for label in np.unique(panel) if label < len(classes)}
    patches = [Patch(color=classes.palette[label] / 255, label=classes.names[label]) for label in sorted(present)]
    ncols = min(8, max(1, len(patches)))
    fig.legend(handles=patches, loc="outside lower center", ncols=ncols, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 40 * columns)), fontsize=9)
    return fig


def confidence_text(confidence: float) -> str:
    """A confidence in [0, 1] with two digits behind its nines, so that it is not rounded up to 1."""
    return "1" if confidence >= 1 else f"{confidence:.{int(-np.log10(1 - confidence)) + 2}f}"


def mask_borders(object_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) uint8 with the borders of its masks, (H, W) ids, in yellow and pixels of no mask darkened."""
    border = np.zeros(object_map.shape, dtype=bool)
    border[:, 1:] |= object_map[:, 1:] != object_map[:, :-1]
    border[1:] |= object_map[1:] != object_map[:-1]
    picture = np.where(object_map[..., None] > 0, image, image // 3)
    picture[border] = (255, 220, 0)
    return picture.astype(np.uint8)


def style_of(name: str, position: int = 0) -> tuple[str, str, str, str]:
    """Label, colour, marker and line of a row: its own in `METHOD_STYLE`, else those of its position in a cycle that
    repeats after many rows."""
    cycle = (_COLOURS[position % 7], _MARKERS[position % 11], _LINES[position // 7 % 4])
    return METHOD_STYLE.get(name, (name, *cycle))


def learning_curves(
    table: pd.DataFrame, title: str, ceiling: float | None = None, clicks: Mapping[int, float] | None = None
) -> Figure:
    """Data and Model mIoU against rounds, a line per method with a band of one standard deviation (Table 1 drawn).

    Args:
        table: what `tables.rounds_table` returns; any names of methods or rows.
        title: over the whole figure; says so when data are simulated.
        ceiling: Data mIoU in [0, 1] if every mask were answered (`tables.ceiling`), drawn as a line.
        clicks: share of masks queried after each round, in [0, 1], for a second axis on top.
    """
    methods = list(table["method"].unique())
    size = {"markersize": 6, "linewidth": 1.5} if len(methods) < 4 else {"markersize": 4, "linewidth": 1.2}
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.2 if len(methods) < 8 else 3.8))
    fig.set_layout_engine("constrained", wspace=0.06)
    for axis, metric in zip(axes, METRIC_TITLE, strict=True):
        for i, method in enumerate(methods):
            rows = table[(table["metric"] == metric) & (table["method"] == method)]
            label, line_colour, marker, style = style_of(method, i)
            line = {"color": line_colour, "marker": marker, "linestyle": style, "label": label}
            axis.plot(rows["round"], rows["mean"], **line, **size)
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
    handles = axes[0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=4 if len(methods) < 8 else 6, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 100)), fontsize=8)
    return fig


def rows_beside_paper(
    table: pd.DataFrame,
    metric: str,
    title: str,
    paper: Mapping[str, Mapping[str, float]],
    lines: Mapping[str, float] | None = None,
) -> Figure:
    """A horizontal bar per row of a table, and the paper's numbers as open markers: one column of a page wide.

    Args:
        table: what `tables.final_table` returns.
        metric: data_miou or model_miou.
        title: over the figure; says so when data are simulated.
        paper: label -> row -> the paper's number in percent (`tables.paper_values`); not every row needs one.
        lines: label -> percent, drawn across all rows.
    """
    names, where = list(table["row"]), np.arange(len(table))
    stds = table.get(f"{metric}_std", pd.Series(0.0, table.index)).fillna(0)
    fig, axis = plt.subplots(figsize=(3.5, 1.7 + 0.19 * len(table)), layout="constrained")
    axis.barh(where, table[metric], 0.72, color="#9DC3E0", xerr=stds, error_kw={"linewidth": 0.8}, label="ours")
    for y, mean in enumerate(table[metric]):
        axis.text(1, y, f"{mean:.1f}", va="center", fontsize=6.5)
    for i, (label, printed) in enumerate(paper.items()):
        if not (rows := [y for y, name in enumerate(names) if name in printed]):
            continue
        axis.plot(
            [printed[names[y]] for y in rows],
            rows,
            "Do^s"[i % 4],
            label=label,
            markersize=4.5,
            markerfacecolor="white",
            markeredgecolor=("#D55E00", "#000000")[i % 2],
        )
    for i, (label, percent) in enumerate((lines or {}).items()):
        axis.axvline(percent, color="#444444", linewidth=0.9, linestyle=(":", "--", "-.")[i % 3], label=label)
    axis.set_yticks(where, [style_of(name)[0] for name in names], fontsize=7)
    axis.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
    axis.set_xlabel(METRIC_TITLE[metric], fontsize=7.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    handles, labels = axis.get_legend_handles_labels()  # bars come last
    fig.legend(
        handles[-1:] + handles[:-1],
        labels[-1:] + labels[:-1],
        loc="outside lower center",
        ncols=2,
        fontsize=6.5,
        frameon=False,
    )
    fig.suptitle("\n".join(wrap(title, 70)), fontsize=6.5)
    return fig


def bars(values: Mapping[str, Sequence[float]], names: Sequence[str], ylabel: str, title: str) -> Figure:
    """Grouped bars: one group per name, one colour per key of `values`.

    Args:
        values: label -> a height for each name; three labels at most.
        names: of the groups.
        ylabel: of the axis.
        title: over the figure.
    """
    table = pd.DataFrame(values).assign(name=names).melt("name", var_name="what")
    fig, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
    palette = ["#999999", "#0072B2", "#E69F00"][: len(values)]
    seaborn.barplot(table, x="name", y="value", hue="what", palette=palette, saturation=1, legend=False, ax=axis)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right"} if len(names) > 6 else {}
    axis.set_xticks(range(len(names)), names, fontsize=8, **slanted)
    axis.set(xlabel="", ylabel=ylabel)
    patches = [Patch(color=shade, label=label) for label, shade in zip(values, palette, strict=True)]
    fig.legend(handles=patches, loc="outside lower center", ncols=len(values), fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 100)), fontsize=9)
    return fig
