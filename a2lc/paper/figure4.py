"""Figure 4: masks that the LCM corrected, chosen by a rule, as pictures."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2lc.datasets import Classes, load_dataset
from a2lc.figures import confidence_text
from a2lc.human.mask_pictures import crop_around
from a2lc.runs import Run

_RIGHT, _WRONG = ("✓", "#56B4E9"), ("✗", "#E69F00")  # a sign, and the colour of the outline


def gallery_classes(
    corrections: pd.DataFrame, classes: Classes, wanted: Iterable[str] = (), most: int = 4
) -> list[str]:
    """The classes shown, by the label that the LCM gave: those wanted, else the `most` it gave most often.

    Args:
        corrections: what `table3.corrections_of` returns.
        classes: the class list.
        wanted: class names.
        most: how many where none are wanted; equal counts in the order of names.

    Raises:
        ValueError: an unknown class name; the nearest are suggested.
    """
    wanted = list(dict.fromkeys(wanted))
    for name in wanted:
        classes.index(name)
    counts = corrections.groupby("new").size().sort_index().sort_values(ascending=False, kind="stable")
    return wanted or [str(name) for name in counts.index[:most]]


def gallery_tiles(corrections: pd.DataFrame, names: Iterable[str], per_class: int) -> pd.DataFrame:
    """Of each class the LCM gave, corrections evenly spaced in the order of its confidence, the least and the most
    confident included. Nobody chooses by eye.

    Args:
        corrections: what `table3.corrections_of` returns, of one run.
        names: the classes, in order.
        per_class: corrections of each; all of them where there are fewer.

    Returns:
        Rows of `corrections`, class after class, by rising confidence (ties by image, mask and round).

    Raises:
        ValueError: `per_class` is not positive.
    """
    if per_class < 1:
        raise ValueError(f"per_class: expected at least 1 tile, found {per_class}")
    ordered = corrections.sort_values(["confidence", "image", "mask_id", "round"])
    parts = [corrections.iloc[:0]]
    for name in names:
        part = ordered[ordered["new"] == name]
        shown = min(per_class, len(part))
        parts.append(part.iloc[np.linspace(0, len(part) - 1, shown).round().astype(int)])
    return pd.concat(parts, ignore_index=True)


def gallery_caption(corrections: pd.DataFrame, names: Iterable[str], per_class: int) -> str:
    """How the tiles were chosen, and the share of *all* corrections that is right, so that a gallery cannot flatter.
    Arguments as in `gallery_tiles`."""

    def share(part: pd.DataFrame) -> str:
        return f"{100 * part['right_after'].mean():.0f} % of {len(part):,}"

    if corrections.empty:
        return "The LCM corrected no mask."
    parts = {name: corrections[corrections["new"] == name] for name in names}
    shares = [f"{name} {'none' if part.empty else share(part)}" for name, part in parts.items()]
    return (
        f"Up to {per_class} corrections per class that the LCM gave, evenly spaced in the order of its confidence, the "
        "least confident on the left. ✓ (blue): the new label is the mask's most frequent ground truth; ✗ (orange): it "
        f"is not. Right of all corrections: {', '.join(shares)}; of every class {share(corrections)}."
    )


def correction_gallery(run: Run, tiles: pd.DataFrame, names: Iterable[str], title: str) -> Figure:
    """Figure 4: a row per class that the LCM gave, a tile per correction: the image around the mask with the mask's
    outline, old and new label, ✓ or ✗ and the ground truth, confidence and round.

    Args:
        run: the run that the corrections are from.
        tiles: what `gallery_tiles` returns.
        names: the classes, a row each; one without a correction says so.
        title: over the figure; says so when data are simulated.
    """
    masks, split = run.masks(0), load_dataset(run.config.dataset, run.config.root).train
    parts = {f" to {name}": tiles[tiles["new"] == name] for name in names} or {"": tiles}
    columns = max(4, *map(len, parts.values())) if len(tiles) else 4
    heights = [7 / columns + 0.55 if len(part) else 0.35 for part in parts.values()]
    size = (7, 0.8 + sum(heights))
    fig, axes = plt.subplots(
        len(heights), columns, figsize=size, height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for row, (to, part) in zip(axes, parts.items(), strict=True):
        for axis, tile in zip(row, part.to_dict("records"), strict=False):
            inside = masks.object_map(tile["image"]) == tile["mask_id"]
            _draw_tile(axis, split.image(tile["image"]), inside, tile, characters=125 // columns)
        if part.empty:
            message = row[0].text(0, 0.5, f"the LCM corrected no mask{to}", fontsize=8, va="center")
            message.set_in_layout(False)  # reaches over the next tiles
    fig.suptitle("\n".join(wrap(title, 125)), fontsize=7.5)
    return fig


def _draw_tile(axis: Axes, image: np.ndarray, inside: np.ndarray, tile: dict[Any, Any], characters: int) -> None:
    rows, columns = crop_around(inside)
    crop = np.pad(inside[rows, columns], 1).astype(float)  # the outline closes at the border of the crop
    sign, outline = _RIGHT if tile["right_after"] else _WRONG
    height, width = crop.shape
    axis.imshow(image[rows, columns], interpolation="nearest")
    for colour, linewidth in (("black", 2.4), (outline, 1.2)):
        axis.contour(
            np.arange(-1, width - 1), np.arange(-1, height - 1), crop, [0.5], colors=colour, linewidths=linewidth
        )
    axis.set(xlim=(-0.5, width - 2.5), ylim=(height - 2.5, -0.5))
    lines = [
        *wrap(f"{tile['old']} → {tile['new']}", characters),
        f"{sign} {'right' if tile['right_after'] else 'truth: ' + tile['truth']}",
        f"{confidence_text(tile['confidence'])}, round {tile['round']}",
    ]
    axis.set_title("\n".join(lines), fontsize=6.5)
