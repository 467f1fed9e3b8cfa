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


def mean_with_bounds(rewards: np.ndarray, propensity: np.ndarray | None = None) -> tuple[float, float, float]:
    """The mean of rewards that were drawn with known probabilities, self-normalised, with bounds of 90 % by its
    standard error; of none, 0 between minus and plus infinity.

    Args:
        rewards: (n,) finite numbers.
        propensity: (n,) with which probability each was to be drawn, in (0, 1]; None: all alike.

    Raises:
        ValueError: a probability outside (0, 1].
    """
    if len(rewards) == 0:
        return 0.0, -np.inf, np.inf
    chance = np.ones(len(rewards)) if propensity is None else propensity
    if not ((chance > 0) & (chance <= 1 + 1e-9)).all():
        raise ValueError(f"propensity: expected numbers in (0, 1], found {chance.min()}..{chance.max()}")
    weights = np.minimum(1 / chance, LARGEST * (1 / chance).mean())
    weights = weights / weights.sum()
    mean = float(weights @ rewards)
    if len(rewards) == 1:
        return mean, -np.inf, np.inf
    correction = len(rewards) / (len(rewards) - 1)
    error = float(np.sqrt(correction * (weights**2 @ (rewards - mean) ** 2)))
    return mean, mean - BOUND * error, mean + BOUND * error
