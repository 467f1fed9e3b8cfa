"""Beyond the paper: a guard that lets the LCM correct only where its own answers say that it helps.

The published LCM cannot know whether it is right: its confidence comes from a softmax trained through a second
softmax, and it learns from suspicious, large masks only but corrects unsuspicious, small ones. The answers can tell.
They are held out in turn, and what the LCM would have made of each is compared with the answer and with leaving the
label alone. Queried masks are no random sample of all masks, so no share of them is carried over: two logistic
regressions learn when a change is right, and when the old label was, from what queried and other masks have in common
(size, how likely the model finds the new and the old label, the two classes). Where the answers say little, their
bounds are far apart and nothing is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from a2lc.correction.lcm import Corrections, predict, train_lcm
from a2lc.correction.settings import LCMSettings
from a2lc.masks import MaskSet

FOLDS = 5
QUANTILE = 1.645  # one-sided bounds of 95 %


@dataclass(frozen=True)
class GuardReport:
    """What the guard found.

    Attributes:
        proposed: number of corrections that the published criteria accept.
        kept: number of those that the guard lets through.
        estimated_before: share of the kept masks whose old label is expected to be right, in [0, 1]; None when none is
            kept.
        estimated_accuracy: share of the kept corrections expected to be right, in [0, 1]; None when none is kept.
    """

    proposed: int
    kept: int
    estimated_before: float | None
    estimated_accuracy: float | None


@dataclass(frozen=True)
class Evidence:
    """What the LCM of one round has learnt from.

    Attributes:
        feature: (M, C) float32 mask features.
        before: the M masks before this round's answers.
        answered: the same with the answers applied.
        rows: (n,) row numbers of the masks answered in this round with a class.
        settings: of the LCM.
        seed: of folds and trainings.
        probabilities: whether the features are class probabilities (C = K), as the estimate below needs them.
        held_out: (n,) class of each of `rows` as a model says that has not learnt from it; None: of LCMs, which are
            then trained.
    """

    feature: np.ndarray
    before: MaskSet
    answered: MaskSet
    rows: np.ndarray
    settings: LCMSettings
    seed: int
    probabilities: bool = True
    held_out: np.ndarray | None = None


def guard_corrections(proposed: Corrections, evidence: Evidence) -> tuple[Corrections, GuardReport]:
    """Keep only corrections that are right more often than the old label, both by the 95 % bound against them.

    Args:
        proposed: what the published criteria accept.
        evidence: what the LCM has learnt from.

    Returns:
        The corrections with fewer of them accepted, and what was found.
    """
    kept, candidates = np.zeros(len(evidence.before), dtype=bool), np.flatnonzero(proposed.accepted)
    nothing = GuardReport(len(candidates), 0, None, None)
    expected = expected_accuracy(proposed, evidence)
    if expected is None:
        return replace(proposed, accepted=kept), nothing
    good = expected.after - QUANTILE * expected.after_sd > expected.before + QUANTILE * expected.before_sd  # log-odds
    kept[candidates[good]] = True
    if not good.any():
        return replace(proposed, accepted=kept), nothing
    estimates = (float(expit(values[good]).mean()) for values in (expected.before, expected.after))
    return replace(proposed, accepted=kept), GuardReport(len(candidates), int(good.sum()), *estimates)


@dataclass(frozen=True)
class ExpectedAccuracy:
    """What held-out answers say of n corrections, in log-odds.

    Attributes:
        before, before_sd: (n,) that the old label is right, and the standard deviation.
        after, after_sd: (n,) that the correction is right, and the standard deviation.
        tried: number of answered masks whose label an LCM that has not learnt from them would change: what this is
            learnt from.
        right: number of those for which it says what the annotator said.
    """

    before: np.ndarray
    before_sd: np.ndarray
    after: np.ndarray
    after_sd: np.ndarray
    tried: int
    right: int


def expected_accuracy(proposed: Corrections, evidence: Evidence) -> ExpectedAccuracy | None:
    """How likely the accepted corrections and the labels they replace are right, in order of rows; None where there
    is no correction, no answered mask whose label an LCM without its answer would change, or features that are no
    probabilities. Arguments as in `guard_corrections`."""
    masks, rows = evidence.before, evidence.rows
    old, truth = (m.table["label"].to_numpy() for m in (masks, evidence.answered))
    candidates = np.flatnonzero(proposed.accepted)
    if not evidence.probabilities or len(candidates) == 0:
        return None
    held_out = evidence.held_out
    if held_out is None:
        held_out = held_out_predictions(
            evidence.feature[rows], truth[rows], len(masks.classes), evidence.settings, evidence.seed
        )
    changed = (held_out != old[rows]) & (held_out >= 0)
    rows, held_out = rows[changed], held_out[changed]
    if len(rows) == 0:
        return None
    seen, right = _covariates(evidence.feature, masks, rows, held_out), held_out == truth[rows]
    wanted = _covariates(evidence.feature, masks, candidates, proposed.predicted[candidates])
    after, before = logistic(seen, right, wanted), logistic(seen, old[rows] == truth[rows], wanted)
    return ExpectedAccuracy(*before, *after, len(rows), int(right.sum()))


def logistic(seen: np.ndarray, right: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bayesian logistic regression by Laplace's approximation: a standard normal prior on every coefficient and the
    intercept, so that outcomes without any exception leave some doubt.

    Args:
        seen: (n, d) covariates.
        right: (n,) bool outcomes.
        wanted: (m, d) covariates to predict for.

    Returns:
        (m,) log-odds and (m,) their standard deviation.
    """
    x, y = np.column_stack([np.ones(len(seen)), seen]), right.astype(float)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        value = np.logaddexp(0, z).sum() - y @ z + 0.5 * w @ w
        return float(value), x.T @ (expit(z) - y) + w

    w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    p = expit(x @ w)
    covariance = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + np.eye(x.shape[1]))
    new = np.column_stack([np.ones(len(wanted)), wanted])
    return new @ w, np.sqrt(np.einsum("ij,jk,ik->i", new, covariance, new))


def held_out_predictions(
    features: np.ndarray, labels: np.ndarray, num_classes: int, settings: LCMSettings, seed: int
) -> np.ndarray:
    """What an LCM says of each answered mask that it has not learnt from: cross-validation in five folds.

    Args:
        features: (n, C) float32 features of the answered masks.
        labels: (n,) answers in 0..K-1.
        num_classes: K.
        settings: as for the LCM.
        seed: of folds and trainings.

    Returns:
        (n,) int64 classes; -1 for a single mask, which leaves nothing to learn from.

    Raises:
        ValueError: a label outside 0..K-1.
    """
    said = np.full(len(labels), -1)
    fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    for held in (fold == i for i in range(min(FOLDS, len(labels)))):
        if not held.all():
            model = train_lcm(features[~held], labels[~held], num_classes, settings, seed)
            said[held], _ = predict(model, features[held])
    return said


def _covariates(feature: np.ndarray, masks: MaskSet, rows: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(n, 3 + 2K + 1): size and probabilities of new and old label, standardised over all masks; the two classes, the
    old one possibly void."""
    k, every = len(masks.classes), np.arange(len(masks))
    old = np.minimum(masks.table["label"].to_numpy(), k).astype(np.int64)  # K = void
    size = np.log(masks.table["area"].to_numpy())
    padded = np.column_stack([feature, np.zeros(len(feature))])  # nobody finds void likely

    def standard(values: np.ndarray, of: np.ndarray) -> np.ndarray:
        return (values - of.mean()) / max(of.std(), 1e-12)

    return np.column_stack(
        [
            standard(size[rows], size),
            standard(feature[rows, predicted], feature.max(1)),
            standard(padded[rows, old[rows]], padded[every, old]),
            np.eye(k)[predicted],
            np.eye(k + 1)[old[rows]],
        ]
    )
