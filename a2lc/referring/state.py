"""What a decision about a pseudo-label may look at: twelve numbers of a pair, none of which needs its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from a2lc.referring.data import is_relational, words_of

NAMES = (
    "sure_fused",
    "sure_teacher",
    "agreement_prior",
    "entropy",
    "agreement_views",
    "prior_score",
    "prior_agreement",
    "prior_quality",
    "log_area",
    "largest_part",
    "words",
    "relation",
)
"""The numbers, in their order."""
OF_PRIORS = tuple(NAMES.index(name) for name in ("agreement_prior", "prior_score", "prior_agreement", "prior_quality"))


@dataclass(frozen=True)
class PriorLooks:
    """What a prior says of itself: its score, the agreement of its askings, how good its maker thinks it is."""

    score: float
    agreement: float
    quality: float


def state_of(
    fused: np.ndarray, teacher: np.ndarray, views: float, prior: np.ndarray, looks: PriorLooks, sentence: str
) -> np.ndarray:
    """(12,) numbers of a pair, `NAMES`.

    Args:
        fused, teacher, prior: (h, w) in [0, 1], the fused map, what the teacher says, and the prior.
        views: IoU of what the teacher says of a weak and of a strong view.
        looks: of the prior.
        sentence: the sentence.
    """
    there = fused > 0.5
    some = bool(there.any())
    q = np.clip(teacher, 1e-4, 1 - 1e-4)
    entropy = float(-(q * np.log(q) + (1 - q) * np.log(1 - q)).mean() / np.log(2))
    parts, count = ndimage.label(there)
    largest = float(np.bincount(parts.ravel())[1:].max() / there.sum()) if count else 0.0
    return np.array(
        [
            float(np.abs(2 * fused - 1)[there].mean()) if some else 0.0,
            float(np.abs(2 * teacher - 1)[there].mean()) if some else 0.0,
            soft_iou(teacher, prior),
            entropy,
            views,
            looks.score,
            looks.agreement,
            looks.quality,
            float(np.log(max(there.mean(), 1e-4))),
            largest,
            min(len(words_of(sentence)), 20) / 20,
            float(is_relational(sentence)),
        ]
    )


def soft_iou(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two (h, w) maps at one half; 0 where both are empty."""
    a, b = one > 0.5, other > 0.5
    return float((a & b).sum() / max((a | b).sum(), 1))


def fuse(prior: np.ndarray, teacher: np.ndarray, weight: float) -> np.ndarray:
    """The map whose log-odds are the weighed mean of the prior's and the teacher's.

    Args:
        prior: (h, w) in [0, 1]; never taken for surer than 0.02 or 0.98.
        teacher: (h, w) in [0, 1].
        weight: of the prior, in [0, 1].
    """
    p, q = np.clip(prior, 0.02, 0.98), np.clip(teacher, 1e-4, 1 - 1e-4)
    odds = weight * np.log(p / (1 - p)) + (1 - weight) * np.log(q / (1 - q))
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


@dataclass(frozen=True)
class Standard:
    """Shifts and scales states so that those it was made from have mean 0 and deviation 1; what never varied is 0."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, states: np.ndarray) -> Standard:
        """From (n, d) states; of none, nothing is shifted."""
        if not len(states):
            return cls(np.zeros(states.shape[1]), np.ones(states.shape[1]))
        deviation = states.std(0)
        return cls(states.mean(0), np.where(deviation > 1e-9, deviation, np.inf))

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """(n, d) states on this scale, cut at five deviations."""
        return np.clip((states - self.mean) / self.deviation, -5, 5)
