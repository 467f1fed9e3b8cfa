"""Beyond the paper: a guard that lets the LCM correct only where its own answers say that it helps.

The published LCM cannot know whether it is right: its confidence comes from a softmax trained through a second
softmax, and it learns from suspicious masks only but corrects unsuspicious ones. The answers can tell. They are held
out in turn; what the LCM would have done to each is compared with the answer and with leaving the label alone.
Queried masks are no random sample, so this is done within strata in which queried and unqueried masks can be
compared: by predicted class and by how suspicious the old label is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from a2lc.correction.lcm import Corrections, LCMSettings, propose_corrections, train_lcm
from a2lc.masks import MaskSet

FOLDS = 5
SUSPICION_EDGES = (0.25, 0.5, 0.75, 0.9)  # of 1 - mean probability of the old label


@dataclass(frozen=True)
class GuardReport:
    """What the guard found.

    Attributes:
        proposed: corrections that the published criteria accept.
        kept: those that the guard lets through.
        estimated_accuracy: share of the kept corrections expected to be right, in [0, 1], from held-out answers; None
            when none is kept.
    """

    proposed: int
    kept: int
    estimated_accuracy: float | None


def guard_corrections(
    proposed: Corrections,
    feature: np.ndarray,
    masks: MaskSet,
    answered: MaskSet,
    rows: np.ndarray,
    settings: LCMSettings,
    round: int,
    seed: int,
) -> tuple[Corrections, GuardReport]:
    """Keep only corrections in strata where held-out answers say that correcting beats leaving the label alone.

    A stratum is a predicted class and a range of suspicion 1 - feature[label]. Its gain is the share of held-out
    answers that are right after correction minus the share that were right before, with one failure added, so that a
    stratum without answers is never corrected.

    Args:
        proposed: what the published criteria accept.
        feature: (M, K) float32 mask features.
        masks: the masks before this round's answers.
        answered: the same with the answers applied.
        rows: (n,) row numbers of the masks answered in this round with a class.
        settings: as for the LCM.
        round: counted from 1.
        seed: of folds and trainings.
    """
    truth = answered.table["label"].to_numpy()[rows]
    old = masks.table["label"].to_numpy()
    k = len(masks.classes)
    stratum = _strata(proposed.predicted, feature, old, k)
    gains, right, counts = (np.zeros(k * (len(SUSPICION_EDGES) + 1)) for _ in range(3))
    for fold in _folds(len(rows), seed):
        if fold.all() or not fold.any():
            continue
        model = train_lcm(feature[rows[~fold]], truth[~fold], k, settings, seed)
        held = rows[fold]
        said = propose_corrections(model, feature, masks, truth[~fold], settings, round)
        would = held[said.accepted[held]]
        after = said.predicted[would] == answered.table["label"].to_numpy()[would]
        before = old[would] == answered.table["label"].to_numpy()[would]
        where = _strata(said.predicted, feature, old, k)[would]
        np.add.at(gains, where, after.astype(float) - before)
        np.add.at(right, where, after)
        np.add.at(counts, where, 1)
    good = (gains - 1) / (counts + 1) > 0
    kept = proposed.accepted & good[stratum]
    estimate = float((right[stratum[kept]] / counts[stratum[kept]]).mean()) if kept.any() else None
    report = GuardReport(int(proposed.accepted.sum()), int(kept.sum()), estimate)
    return replace(proposed, accepted=kept), report


def _strata(predicted: np.ndarray, feature: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """(M,) number of each mask's stratum; a void label is as suspicious as can be."""
    given = np.minimum(labels, k - 1).astype(np.int64)
    suspicion = np.where(labels < k, 1 - feature[np.arange(len(labels)), given], 1.0)
    return predicted * (len(SUSPICION_EDGES) + 1) + np.digitize(suspicion, SUSPICION_EDGES)


def _folds(n: int, seed: int) -> list[np.ndarray]:
    """Boolean (n,) masks of FOLDS parts of about equal size, in random order."""
    part = np.random.default_rng(seed).permutation(n) % FOLDS
    return [part == fold for fold in range(FOLDS)]
