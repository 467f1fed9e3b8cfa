"""What answers let expect of all labels: how many are right now, and whether asking on is worth it.

Answers are about suspicious, large masks, so no share of them is carried over to the others. A logistic regression
learns from them how far the probabilities of `Suspicion` can be believed: it starts from these, and answers move it by
size and by whether the label is a correction. Of very small masks, which are never asked about, they say next to
nothing; numbers of masks are therefore of the larger ones, which hold all but `SMALL` of the pixels.

How well it holds on VOC, CamVid and the toy scenes: docs/instant.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from a2lc.instant.regressions import SURE, Instant, Suspicion

NEXT = 20  # questions that are looked ahead
WORTH = 0.1  # share of them that must be expected to find a wrong label, for asking on to be worth it
SMALL = 0.05  # share of the pixels that the smallest masks hold, which are not counted
PRIOR = np.array([1.0, 0.5, 0.5, 1.0])  # standard deviations: intercept, slope, size, being a correction
LEAST = 1e-3  # probabilities are taken for at least this, and at most 1 less this
DRAWS, QUANTILES = 100, (0.05, 0.95)
AT_MOST = 10_000  # masks that are looked at; of more, a part


@dataclass(frozen=True)
class Outlook:
    """What is expected of the labels as they are now, corrections included; bounds are 5 and 95 % quantiles.

    Attributes:
        answers: their number.
        right, right_low, right_high: share of the masks' pixels whose mask has the right label, in [0, 1].
        wrong, wrong_low, wrong_high: how many of the larger masks without an answer have a wrong label.
        larger: number of these masks.
        next: number of questions that come next, `NEXT` or as many as are left.
        next_wrong: how many of them are expected to be about a wrong label.
        next_pixels: share of the masks' pixels that they are expected to put right, in [0, 1].
    """

    answers: int
    right: float
    right_low: float
    right_high: float
    wrong: float
    wrong_low: float
    wrong_high: float
    larger: int
    next: int
    next_wrong: float
    next_pixels: float

    @property
    def worth_asking(self) -> bool:
        """Whether at least `WORTH` of the next questions are expected to be about a wrong label."""
        return self.next_wrong >= WORTH * self.next > 0

    def __str__(self) -> str:
        right, low, high = (f"{100 * share:.0f}" for share in (self.right, self.right_low, self.right_high))
        wrong = f"{self.wrong:,.0f} ({self.wrong_low:,.0f} to {self.wrong_high:,.0f})"
        ahead = f"about {self.next_wrong:.0f} of the next {self.next} questions find one"
        text = (
            f"Expected: {right} % of the pixels have the right label ({low} to {high} %); of {self.larger:,} larger "
            f"masks without an answer {wrong} are wrong; {ahead}, with {100 * self.next_pixels:.1f} % of the pixels."
        )
        return text if self.worth_asking else f"{text} Asking on is hardly worth it."


def look_ahead(
    instant: Instant, labels: np.ndarray, answers: np.ndarray, answered: np.ndarray, found: Suspicion
) -> Outlook:
    """What is expected of all labels: label l of mask m is wrong with log-odds -logit p_m(l) + b . (1, -logit p_m(l),
    size, changed), where b is normal with deviations `PRIOR` and learnt from the answers.

    Args:
        instant: suspicion and corrections of the M masks.
        labels: (M,) uint8 present labels with corrections, the ignore index = void.
        answers: (M,) uint8 labels without corrections: those of answered masks are the annotator's.
        answered: (M,) bool.
        found: what is suspicious about `labels`.

    Raises:
        ValueError: nothing was answered, or nothing is left to ask.
    """
    rows, left = np.flatnonzero(answered), np.flatnonzero(~answered)
    if not len(rows) or not len(left):
        raise ValueError(f"expected masks with and without an answer, found {len(rows)} and {len(left)}")
    now, truth, area = instant.classes(labels), instant.classes(answers[rows]), instant.area
    size = np.log(area)
    size = (size - size.mean()) / max(float(size.std()), 1e-12)

    def covariates(masks: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """(n, 4): intercept, log-odds that the class is wrong, size, whether it is another than the first label."""
        likely = np.clip(found.probabilities[masks, classes].astype(np.float64), LEAST, 1 - LEAST)
        changed = classes != instant.first[masks]
        return np.column_stack([np.ones(len(masks)), -logit(likely), size[masks], changed])

    # Two things that each answer judges: the label that the mask came with, and what others would have made of it.
    said, sure = instant.held_out(rows, answers[rows])
    tried = (said >= 0) & (said < instant.void) & (said != instant.first[rows]) & (sure >= SURE[0])
    seen = np.vstack([covariates(rows, instant.first[rows]), covariates(rows[tried], said[tried])])
    wrong = np.concatenate([instant.first[rows] != truth, said[tried] != truth[tried]])
    mean, covariance = _learn(seen, wrong.astype(float))

    large = area >= smallest_counted(area)
    ahead = left[np.argsort(-found.scores[left], kind="stable")[:NEXT]]
    of_next = _probabilities(covariates(ahead, now[ahead]), mean[:, None])[:, 0]
    step = -(-len(left) // AT_MOST)
    part = left[np.argsort(area[left], kind="stable")[::step]]  # of all sizes
    times = len(left) / len(part)
    seen = covariates(part, now[part])
    expected = _probabilities(seen, mean[:, None])[:, 0]
    drawn = _probabilities(seen, np.random.default_rng(0).multivariate_normal(mean, covariance, DRAWS).T)
    chance = np.random.default_rng(1).standard_normal(DRAWS)

    def range_of(weights: np.ndarray) -> tuple[float, float, float]:
        """The expected sum of weights of all wrong masks, and quantiles of what it can be."""
        spread = np.sqrt(times * (weights**2 @ (drawn * (1 - drawn))))  # each mask of the part stands for others, too
        sums = np.clip(times * (weights @ drawn) + spread * chance, 0, times * weights.sum())
        middle = times * float(weights @ expected)
        low, high = np.quantile(sums, QUANTILES)
        return middle, min(middle, float(low)), max(middle, float(high))

    share, share_low, share_high = range_of(area[part] / area.sum())
    number, number_low, number_high = range_of(large[part].astype(float))
    return Outlook(
        answers=len(rows),
        right=1 - share,
        right_low=1 - share_high,
        right_high=1 - share_low,
        wrong=number,
        wrong_low=number_low,
        wrong_high=number_high,
        larger=int(large[left].sum()),
        next=len(ahead),
        next_wrong=float(of_next.sum()),
        next_pixels=float(of_next @ area[ahead] / area.sum()),
    )


def smallest_counted(area: np.ndarray) -> float:
    """The area from which on masks are counted: all that are smaller hold less than `SMALL` of the pixels."""
    ordered = np.sort(area)
    return float(ordered[np.searchsorted(np.cumsum(ordered), SMALL * ordered.sum())])


def _learn(seen: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression around the log-odds of the second column, by Laplace's approximation: (4,) coefficients with
    `PRIOR` around 0, and their (4, 4) covariance."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = seen[:, 1] + seen @ w
        value = np.logaddexp(0, z).sum() - wrong @ z + 0.5 * ((w / PRIOR) ** 2).sum()
        return float(value), seen.T @ (expit(z) - wrong) + w / PRIOR**2

    w = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B").x
    p = expit(seen[:, 1] + seen @ w)
    return w, np.linalg.inv((seen * (p * (1 - p))[:, None]).T @ seen + np.diag(1 / PRIOR**2))


def _probabilities(seen: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """(n, d) that a label is wrong, of (n, 4) covariates and (4, d) coefficients."""
    return expit(seen[:, 1:2] + seen @ coefficients)
