"""Audits: clicks spent on corrections that are proposed rather than on suspicious labels, and how they are drawn.

Answers come from suspicious masks, proposals are about ordinary ones. An audit shows what becomes of a proposal; as the
probability with which it was drawn is kept, audits also say how good all proposals are (`a2lc.acceptance.value`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from a2lc.acceptance.bandit import Outcomes

EVEN = 0.3  # share of the weight that all have alike

Choice = Literal["frontier", "stake", "uniform"]


def audit_weights(choice: Choice, outcomes: Outcomes, stakes: np.ndarray) -> np.ndarray:
    """How often each of n proposals is audited, relative to the others.

    Args:
        choice: ``frontier``: those whose new label is likelier right than the old one, by what is at stake; ``stake``:
            all by what is at stake; ``uniform``: all alike.
        outcomes: what is expected of them.
        stakes: (n,) the largest payoff or loss of each, >= 0.

    Returns:
        (n,) floats >= 0.
    """
    if choice == "uniform":
        return np.ones(len(stakes))
    eligible = outcomes.after.mean > outcomes.before.mean if choice == "frontier" else np.ones(len(stakes), bool)
    if not eligible.any():
        return np.zeros(len(stakes))
    root = np.sqrt(stakes)
    return np.where(eligible, EVEN * root[eligible].mean() + (1 - EVEN) * root, 0.0)


def draw_audits(weights: np.ndarray, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw without replacement, each with a probability in proportion to its weight, at most 1: systematic sampling in
    a random order (Madow 1949), whose probabilities are exact.

    Args:
        weights: (n,) floats >= 0.
        number: how many; all of positive weight where there are not so many.
        seed: of the draw.

    Returns:
        Their positions, ascending, and (number,) the probability with which each was to be drawn.
    """
    chances = propensities(weights, number)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(weights))
    ends = np.cumsum(chances[order])
    drawn = round(float(ends[-1])) if len(ends) else 0
    marks = rng.random() + np.arange(drawn)
    chosen = np.sort(order[np.minimum(np.searchsorted(ends, marks, side="right"), len(order) - 1)])
    return chosen, chances[chosen]


def propensities(weights: np.ndarray, number: int) -> np.ndarray:
    """(n,) probabilities that add up to `number`, in proportion to weights (n,) >= 0 as far as none is above 1."""
    chances = np.zeros(len(weights))
    left, certain = number, np.zeros(len(weights), bool)
    if number >= (weights > 0).sum():
        return np.where(weights > 0, 1.0, 0.0)
    while True:
        rest = np.where(certain, 0.0, weights)
        chances = np.where(certain, 1.0, left * rest / max(rest.sum(), 1e-300))
        if not (over := (chances >= 1) & ~certain).any():
            return chances
        certain |= over
        left = number - int(certain.sum())
