"""Pictures of what a correction is worth and how sure one can be of it, for the tutorial on acceptance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from a2lc.acceptance.value import Estimate
from a2lc.paper.teaching import COLOURS

EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)  # of confidence
_BLUE, _ORANGE, _GREEN, _GREY = COLOURS
_RED = "#D55E00"


def by_confidence(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """How often proposals of about the same confidence are right: a row for each part of `EDGES` in which there are
    some, with their ``number``, mean ``confidence`` and share that is ``right``, both in [0, 1].

    Args:
        confidence: (n,) of the LCM, in [0, 1].
        right: (n,) bool.
    """
    rows = []
    for low, high in pairwise(EDGES):
        inside = (confidence >= low) & ((confidence < high) | (high == EDGES[-1]))
        if inside.any():
            rows.append((int(inside.sum()), float(confidence[inside].mean()), float(right[inside].mean())))
    return pd.DataFrame(rows, columns=["number", "confidence", "right"])


def show_confidence(parts: pd.DataFrame, by_threshold: pd.DataFrame) -> Figure:
    """Whether confidence is honest, and what comes of accepting all proposals above a threshold.

    Args:
        parts: of `by_confidence`.
        by_threshold: index: thresholds; ``masks`` mended and ``points`` of Data mIoU.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot([0, 1], [0, 1], color="black", lw=0.6)
    left.plot(parts["confidence"], parts["right"], marker="o", color=_BLUE)
    for _, part in parts.iterrows():
        at = (part["confidence"], part["right"])
        left.annotate(f"{part['number']:.0f}", at, (5, 5), fontsize=7, textcoords="offset points")
    left.set(xlabel="confidence of the LCM", ylabel="share of right new labels", xlim=(0, 1.03), ylim=(0, 1.03))
    where = np.arange(len(by_threshold))
    right.plot(where, by_threshold["points"], marker="o", color=_BLUE)
    right.axhline(0, color="black", lw=0.6)
    right.set_xticks(where, [str(tau) for tau in by_threshold.index], fontsize=7)
    right.set_xlabel("accepted: proposals of at least this confidence")
    right.set_ylabel("points of Data mIoU", color=_BLUE)
    other = right.twinx()
    other.plot(where, by_threshold["masks"], marker="s", color=_ORANGE)
    other.set_ylabel("masks mended", color=_ORANGE)
    return fig


def show_payoffs(payoff: np.ndarray, change: np.ndarray, new_right: np.ndarray, old_right: np.ndarray) -> Figure:
    """Payoffs beside what corrections change when each is made alone.

    Args:
        payoff, change: (n,) points of mIoU.
        new_right, old_right: (n,) bool.
    """
    fig, axis = plt.subplots(figsize=(4.8, 3.6), layout="constrained")
    kinds = {"new label right": (new_right, _BLUE), "old label right": (old_right, _ORANGE)}
    kinds["neither"] = (~(new_right | old_right), _GREY)
    for name, (those, colour) in kinds.items():
        axis.scatter(payoff[those], change[those], s=8, color=colour, label=f"{name} ({those.sum()})")
    axis.axline((0, 0), slope=1, color="black", lw=0.6)
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set_yscale("symlog", linthresh=0.01)
    axis.set(xlabel="payoff by the formula (points)", ylabel="change of Data mIoU (points)")
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=7)
    return fig


def show_pessimism(table: pd.DataFrame) -> Figure:
    """A panel per column over the index, standard deviations against a correction."""
    fig, axes = plt.subplots(1, len(table.columns), figsize=(3 * len(table.columns), 2.6), layout="constrained")
    for axis, column in zip(np.atleast_1d(axes), table, strict=True):
        axis.plot(table.index, table[column], marker="o", color=_BLUE)
        axis.set_xlabel("pessimism (standard deviations)", fontsize=8)
        axis.set_title(column, fontsize=9)
        if table[column].min() < 0:
            axis.axhline(0, color="black", lw=0.6)
    return fig


def show_bounds(estimates: Mapping[str, Estimate | None], found: Sequence[float]) -> Figure:
    """Shares with their bounds of 90 %, from 0 to 1, beside the share that was found; a row each.

    Args:
        estimates: name -> share; None: there is no estimate.
        found: as many shares; NaN: nothing was found.
    """
    fig, axis = plt.subplots(figsize=(6.5, 0.9 + 0.3 * len(estimates)), layout="constrained")
    for i, (estimate, truth) in enumerate(zip(estimates.values(), found, strict=True)):
        if estimate is not None:
            axis.plot([estimate.low, estimate.high], [i, i], color=_GREEN, lw=4, alpha=0.5)
            axis.plot(estimate.share, i, "o", color="black", ms=4)
        axis.plot(truth, i, "x", color=_RED, ms=8, mew=2)
    axis.set_yticks(range(len(estimates)), list(estimates), fontsize=8)
    axis.set(xlim=(0, 1.02), xlabel="share of right corrections: expected (dot, bounds of 90 %) and found (cross)")
    axis.invert_yaxis()
    return fig
