"""What audits say of all that was proposed: self-normalised estimates with their bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 10.0  # times the mean weight: no audit counts more
BOUND = 1.645  # standard deviations of bounds of 90 %


@dataclass(frozen=True)
class Estimate:
    """A share in [0, 1] with its bounds of 90 %.

    Attributes:
        share: of what is right.
        low, high: its bounds.
        number: of outcomes behind it.
    """

    share: float
    low: float
    high: float
    number: int


def self_normalised(right: np.ndarray, propensity: np.ndarray) -> Estimate | None:
    """How many of all proposals are right, from those that were drawn (Hájek 1971); bounds as Wilson's (1927) of as
    many outcomes as the weights are worth. None of no outcome.

    Args:
        right: (n,) bool, those drawn.
        propensity: (n,) with which probability each was to be drawn, in (0, 1].

    Raises:
        ValueError: a probability outside (0, 1].
    """
    if len(right) == 0:
        return None
    if not ((propensity > 0) & (propensity <= 1 + 1e-9)).all():
        raise ValueError(f"propensity: expected numbers in (0, 1], found {propensity.min()}..{propensity.max()}")
    weights = 1 / propensity
    weights = np.minimum(weights, LARGEST * weights.mean())
    share = float(weights @ right / weights.sum())
    worth = float(weights.sum() ** 2 / (weights @ weights))
    middle = (share + BOUND**2 / (2 * worth)) / (1 + BOUND**2 / worth)
    margin = BOUND / (1 + BOUND**2 / worth) * np.sqrt(share * (1 - share) / worth + (BOUND / (2 * worth)) ** 2)
    return Estimate(share, max(0.0, middle - float(margin)), min(1.0, middle + float(margin)), len(right))
