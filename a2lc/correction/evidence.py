"""What the answers of a round say of the LCM: what it would have made of masks whose answer it has not learnt from.

The published LCM cannot know whether it is right: its confidence comes from a softmax trained through a second
softmax, and it learns from suspicious, large masks only but corrects unsuspicious, small ones. The answers can tell.
They are held out in turn, and what the LCM would have made of each is compared with the answer and with leaving the
label alone. Queried masks are no random sample of all masks, so no share of them is carried over: two logistic
regressions learn when a change is right, and when the old label was, from what queried and other masks have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from a2lc.acceptance import Outcomes
from a2lc.correction.lcm import Corrections, probabilities_of, train_lcms
from a2lc.correction.settings import LCMSettings
from a2lc.masks import MaskSet

FOLDS = 5
QUANTILE = 1.645  # one-sided bounds of 95 %
ODDS, COUNTS = 4.0, 3.0  # what log-odds and logarithms of counts are divided by, so that a prior of 1 fits them

State = Literal["stable", "full"]


@dataclass(frozen=True)
class Evidence:
    """What the LCM of one round has learnt from.

    Attributes:
        feature: (M, C) float32 mask features, mean probabilities of the segmentation model.
        before: the M masks before this round's answers.
        answered: the same with the answers applied, those to audits, too.
        rows: (n,) row numbers of the masks whose answers the LCM has learnt from.
        settings: of the LCM.
        seed: of folds and trainings.
        probabilities: whether the features are class probabilities (C = K), as the estimates below need them.
        held_out: (n,) class of each of `rows` as a model says that has not learnt from it, or (n, K or K + 1) what it
            says; None: of LCMs, which are then trained.
        inputs: (M, C') float32 what the LCM reads of each mask; None: the features.
        said: (M, K or K + 1) float32 what the LCM says of each mask, void last; None: not known.
        audited: (a,) row numbers of masks whose correction was audited; the LCM has not learnt from them.
        propensity: (a,) probability with which each was to be audited.
        void: (v,) row numbers of masks answered void from which the LCM has not learnt: neither label of theirs is
            right, whatever it says.
    """

    feature: np.ndarray
    before: MaskSet
    answered: MaskSet
    rows: np.ndarray
    settings: LCMSettings
    seed: int
    probabilities: bool = True
    held_out: np.ndarray | None = None
    inputs: np.ndarray | None = None
    said: np.ndarray | None = None
    audited: np.ndarray | None = None
    propensity: np.ndarray | None = None
    void: np.ndarray | None = None

    @property
    def audits(self) -> np.ndarray:
        """(a,) row numbers of the audited masks."""
        return np.empty(0, np.int64) if self.audited is None else self.audited

    @cached_property
    def old(self) -> np.ndarray:
        """(M,) int64 labels before the answers, K = void."""
        return classes_of(self.before)

    @cached_property
    def truth(self) -> np.ndarray:
        """(M,) int64 labels with the answers, K = void."""
        return classes_of(self.answered)

    @cached_property
    def tried(self) -> np.ndarray:
        """(n, K or K + 1) what LCMs say of `rows` that have not learnt from them; all 0 where there is none."""
        k = len(self.before.classes)
        if self.held_out is not None and self.held_out.ndim == 2:
            return self.held_out
        if self.held_out is not None:
            return np.eye(k)[np.maximum(self.held_out, 0)] * (self.held_out >= 0)[:, None]
        inputs = self.feature if self.inputs is None else self.inputs
        outputs = k + self.settings.outputs_void
        return held_out_probabilities(inputs[self.rows], self.truth[self.rows], outputs, self.settings, self.seed)


def classes_of(masks: MaskSet) -> np.ndarray:
    """(M,) int64 labels of all masks, K = void."""
    return np.minimum(masks.table["label"].to_numpy(), len(masks.classes)).astype(np.int64)


@dataclass(frozen=True)
class Tried:
    """Corrections of answered masks: what became of them.

    Attributes:
        rows: (t,) row numbers.
        new: (t,) what an LCM would have made of them that had not learnt from the answer.
        said: (t, K or K + 1) what it says.
        new_right, old_right: (t,) bool.
    """

    rows: np.ndarray
    new: np.ndarray
    said: np.ndarray
    new_right: np.ndarray
    old_right: np.ndarray


def tried_corrections(proposed: Corrections, evidence: Evidence, void: bool = False) -> Tried:
    """What the answers and audits say: the answered masks whose label an LCM would change that has not learnt from
    them; those answered void, if wanted, too."""
    rows, said = evidence.rows, evidence.tried
    new = np.where(said.any(1), said.argmax(1), -1)
    others = evidence.audits
    if void and evidence.void is not None:
        others = np.concatenate([others, evidence.void])
    if len(others):
        rows, new = np.concatenate([rows, others]), np.concatenate([new, proposed.predicted[others]])
        of_others = np.zeros((len(others), said.shape[1])) if evidence.said is None else evidence.said[others]
        said = np.concatenate([said, of_others])
    changed = (new != evidence.old[rows]) & (new >= 0) & (new < len(evidence.before.classes))
    rows, new = rows[changed], new[changed]
    truth = evidence.truth[rows]
    return Tried(rows, new, said[changed], new == truth, evidence.old[rows] == truth)


@dataclass(frozen=True)
class ExpectedAccuracy:
    """What answers say of n corrections.

    Attributes:
        outcomes: whether they, and the labels that they replace, are right.
        tried: number of answered masks whose label an LCM that has not learnt from them would change: what this is
            learnt from.
        right: number of those for which it says what the annotator said.
    """

    outcomes: Outcomes
    tried: int
    right: int


def expected_accuracy(
    proposed: Corrections, evidence: Evidence, state: State = "stable", to_tell: bool = False
) -> ExpectedAccuracy | None:
    """How likely the accepted corrections and the labels they replace are right, in order of rows; None where there
    is no correction, no answered mask whose label an LCM without its answer would change, or features that are no
    probabilities.

    Args:
        proposed: of all masks, some accepted.
        evidence: what the LCM has learnt from.
        state: what the regressions read: see `covariates`.
        to_tell: not to decide but to tell a person how many are right. Then answers void, of which neither label is
            right, count, too; to mIoU they are all one. And the regressions read if a mask was asked about for its
            score: corrections and audits were not, and what that means no such query can tell, so that the prior's
            doubt of it is in all bounds until audits do.

    Raises:
        ValueError: features that are NaN or infinite.
    """
    candidates = np.flatnonzero(proposed.accepted)
    if not evidence.probabilities or len(candidates) == 0:
        return None
    tried = tried_corrections(proposed, evidence, void=to_tell)
    if len(tried.rows) == 0:
        return None
    said = None if evidence.said is None else evidence.said[candidates]
    state = "stable" if said is None else state
    seen = covariates(evidence, tried.rows, tried.new, tried.said, state)
    wanted = covariates(evidence, candidates, proposed.predicted[candidates], said, state)
    if to_tell:
        seen = np.column_stack([seen, np.isin(tried.rows, evidence.audits)])
        wanted = np.column_stack([wanted, np.ones(len(wanted))])
    outcomes = Outcomes.learn(seen, tried.new_right, tried.old_right, wanted)
    return ExpectedAccuracy(outcomes, len(tried.rows), int(tried.new_right.sum()))


def covariates(
    evidence: Evidence, rows: np.ndarray, new: np.ndarray, said: np.ndarray | None, state: State = "stable"
) -> np.ndarray:
    """(n, 3 + 2K + 1) what a correction is judged by: size and the segmentation model's probabilities of new and old
    label, standardised over all masks; the two classes, the old one possibly void. The ``full`` state has six more: the
    LCM's log-odds of the two classes, the entropy of the segmentation model, whether it, too, finds the new class the
    likeliest, and the logarithms of how often both were answered. They tell more, and carry over less well from
    suspicious masks to others.

    Args:
        evidence: of the round.
        rows: (n,) masks.
        new: (n,) their new classes.
        said: (n, K or K + 1) what the LCM says of them; the full state needs it.
        state: ``stable`` or ``full``.
    """
    feature, masks = evidence.feature, evidence.before
    k, every = len(masks.classes), np.arange(len(masks))
    size = np.log(masks.table["area"].to_numpy())
    padded = np.column_stack([feature, np.zeros(len(feature))])  # nobody finds void likely
    old = evidence.old[rows]
    stable = [
        _standard(size[rows], size),
        _standard(feature[rows, new], feature.max(1)),
        _standard(padded[rows, old], padded[every, evidence.old]),
        np.eye(k)[new],
        np.eye(k + 1)[old],
    ]
    if state == "stable" or said is None:
        return np.column_stack(stable)
    sure = np.column_stack([said[:, :k], np.zeros(len(said))])  # nor does an LCM that does not know void
    chances = (sure[np.arange(len(rows)), classes] for classes in (new, old))
    odds = [np.log(np.maximum(p, 1e-6) / np.maximum(1 - p, 1e-6)) for p in chances]
    entropy = -(feature * np.log(np.maximum(feature, 1e-12))).sum(1)
    counts = np.log1p(np.bincount(evidence.truth[evidence.rows], minlength=k + 1))
    agrees = (feature[rows].argmax(1) == new).astype(float)
    more = [*(value / ODDS for value in odds), _standard(entropy[rows], entropy), agrees]
    return np.column_stack([*stable, *more, *(counts[classes] / COUNTS for classes in (new, old))])


def _standard(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.asarray((values - of.mean()) / max(of.std(), 1e-12))


def held_out_probabilities(
    inputs: np.ndarray, labels: np.ndarray, outputs: int, settings: LCMSettings, seed: int
) -> np.ndarray:
    """What an LCM says of each answered mask that it has not learnt from: cross-validation in five folds, whose LCMs
    are trained side by side.

    Args:
        inputs: (n, C) float32 of the answered masks.
        labels: (n,) answers in 0..outputs-1.
        outputs: K, or K + 1 where void is an outcome.
        settings: as for the LCM.
        seed: of folds and trainings.

    Returns:
        (n, outputs) float32; all 0 for a single mask, which leaves nothing to learn from.

    Raises:
        ValueError: a label outside 0..outputs-1.
    """
    said = np.zeros((len(labels), outputs), np.float32)
    fold = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    helds = [held for i in range(min(FOLDS, len(labels))) if not (held := fold == i).all()]
    parts = [np.flatnonzero(~held) for held in helds]
    for held, model in zip(helds, train_lcms(inputs, labels, outputs, settings, seed, parts), strict=True):
        said[held] = probabilities_of(model, inputs[held])
    return said
