"""Beyond the paper: which of all changes that the LCM would make are made (`correction.acceptance`).

The published criteria keep what the LCM is sure of, whatever that is worth. Here its answers say when it is right
(`a2lc.correction.evidence`), and `a2lc.acceptance` weighs what a correction would bring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from a2lc.acceptance import Payoffs, audit_weights, draw_audits, learn_policy, miou_payoffs, self_normalised
from a2lc.acceptance.payoff import pixels_of
from a2lc.acceptance.value import Estimate
from a2lc.correction.evidence import (
    Evidence,
    ExpectedAccuracy,
    State,
    covariates,
    expected_accuracy,
    tried_corrections,
)
from a2lc.correction.lcm import Corrections
from a2lc.correction.settings import FEWEST_AUDITS
from a2lc.masks import MaskSet

WORLDS = 400  # in which corrections may turn out right or wrong
AUDIT_FOLDS = 5


@dataclass(frozen=True)
class AcceptanceReport:
    """What was decided, and what is expected of it.

    Attributes:
        proposed: number of changes that the LCM would make.
        kept: number of those that are accepted.
        estimated_before: share of the kept masks whose old label is expected to be right; None when none is kept.
        accuracy: of the kept corrections, the share expected to be right, with its bounds; None when none is kept.
        audited: the same from audits of what would be kept, each judged without its own answer; None without any.
        why: why nothing could be decided; None where something could.
    """

    proposed: int
    kept: int
    estimated_before: float | None = None
    accuracy: Estimate | None = None
    audited: Estimate | None = None
    why: str | None = None

    def numbers(self) -> dict[str, float | None]:
        """As they are noted in a round's metrics; the names of bounds end in ``_low`` and ``_high``."""
        found = {"lcm_proposed": self.proposed, "lcm_oa_before_estimated": self.estimated_before}
        for name, estimate in (("lcm_oa_after_estimated", self.accuracy), ("lcm_oa_after_audited", self.audited)):
            bounds = (estimate.share, estimate.low, estimate.high) if estimate else (None, None, None)
            found |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds, strict=True))
        return found


def every_change(proposed: Corrections, masks: MaskSet) -> Corrections:
    """All that the LCM would change of masks that nobody was ever asked about: neither tau nor tail classes count."""
    k, labels = len(masks.classes), masks.table["label"].to_numpy()
    accepted = (proposed.predicted < k) & (proposed.predicted != labels) & ~masks.queried
    return replace(proposed, accepted=accepted)


def state_of(evidence: Evidence) -> State:
    """What regressions read of a correction: `LCMSettings.state`, of which ``auto`` hangs on the number of audits."""
    if evidence.settings.state != "auto":
        return evidence.settings.state
    return "full" if len(evidence.audits) >= FEWEST_AUDITS else "stable"


def accept_corrections(proposed: Corrections, evidence: Evidence) -> tuple[Corrections, AcceptanceReport]:
    """Keep the corrections that pay, by bandit or policy gradient as the settings say.

    Args:
        proposed: what the LCM would change (`every_change`).
        evidence: what it has learnt from.

    Returns:
        The corrections with fewer of them accepted, and what was found. Where the answers allow no decision, nothing is
        accepted and the report says why.
    """
    kept, candidates = np.zeros(len(evidence.before), dtype=bool), np.flatnonzero(proposed.accepted)
    number = len(candidates)
    if (why := undecidable(evidence)) is not None:
        return replace(proposed, accepted=kept), AcceptanceReport(number, 0, why=why)
    expected = expected_accuracy(proposed, evidence, state_of(evidence))
    if expected is None:
        why = "there is no answered mask whose label an LCM without its answer would change"
        return replace(proposed, accepted=kept), AcceptanceReport(number, 0, why=why if number else None)
    good = _accepted(proposed, evidence, expected, candidates)
    kept[candidates[good]] = True
    audited = audited_accuracy(proposed, evidence)
    if not good.any():
        return replace(proposed, accepted=kept), AcceptanceReport(number, 0, audited=audited)
    chosen = replace(proposed, accepted=kept)
    told = expected_accuracy(chosen, evidence, state_of(evidence), to_tell=True)
    assert told is not None  # as before
    before = float(told.outcomes.before.chance().mean())
    accuracy = share_of_worlds(told.outcomes.worlds(WORLDS, evidence.seed))
    return chosen, AcceptanceReport(number, int(good.sum()), before, accuracy, audited)


def undecidable(evidence: Evidence) -> str | None:
    """Why these answers allow no decision; None: they do."""
    said = evidence.truth[evidence.rows]
    if len(said) < 2:
        return f"{len(said)} answers tell nothing of what they do not show"
    if len(np.unique(said)) == 1:
        return "all answers are alike, so none could have shown the LCM wrong"
    if not np.isfinite(evidence.feature).all():
        return "features: expected finite numbers, found NaN or infinity"
    return None


def share_of_worlds(worlds: np.ndarray) -> Estimate:
    """The share of n corrections that is right, from (n, W) bools, n > 0: its mean over the worlds, and the bounds that
    nine tenths of them keep."""
    shares = worlds.mean(0)
    mean = float(shares.mean())
    low, high = (float(value) for value in np.quantile(shares, (0.05, 0.95)))
    return Estimate(mean, min(low, mean), max(high, mean), len(worlds))


def payoffs_of(evidence: Evidence, rows: np.ndarray, new: np.ndarray) -> Payoffs:
    """What it is worth to relabel masks (n,) to classes (n,), see `LCMSettings.payoff`."""
    if evidence.settings.payoff == "masks":
        return Payoffs.of_labels(len(rows))
    area = evidence.before.table["area"].to_numpy()
    union = pixels_of(evidence.truth, area, len(evidence.before.classes))
    return miou_payoffs(evidence.old[rows], new, area[rows], union)


def _accepted(
    proposed: Corrections, evidence: Evidence, expected: ExpectedAccuracy, candidates: np.ndarray
) -> np.ndarray:
    """(n,) bool of n candidates."""
    settings = evidence.settings
    if settings.acceptance == "bandit":
        payoffs = payoffs_of(evidence, candidates, proposed.predicted[candidates])
        return expected.outcomes.accept(payoffs, settings.pessimism)
    tried = tried_corrections(proposed, evidence)
    rewards = payoffs_of(evidence, tried.rows, tried.new).received(tried.new_right, tried.old_right)
    seen = covariates(evidence, tried.rows, tried.new, tried.said, state_of(evidence))
    policy = learn_policy(seen, rewards, settings.gradient, evidence.seed)
    return policy.chances(expected.outcomes.wanted) > 0.5


# ------------------------------------------------------------------------------------------------ audits
def choose_audits(proposed: Corrections, evidence: Evidence, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw which of the proposed corrections are audited.

    Args:
        proposed: what the LCM would change (`every_change`).
        evidence: what it has learnt from, without audits.
        number: how many; fewer where there are not so many to choose from, none where the answers allow no decision.

    Returns:
        (a,) row numbers and (a,) the probability with which each was to be drawn.
    """
    candidates = np.flatnonzero(proposed.accepted)
    expected = None if undecidable(evidence) else expected_accuracy(proposed, evidence)
    if expected is None:
        return np.empty(0, np.int64), np.empty(0)
    stakes = payoffs_of(evidence, candidates, proposed.predicted[candidates]).stakes()
    weights = audit_weights(evidence.settings.audit_choice, expected.outcomes, stakes)
    chosen, propensity = draw_audits(weights, number, evidence.seed)
    return candidates[chosen], propensity


def audited_accuracy(proposed: Corrections, evidence: Evidence) -> Estimate | None:
    """How many of the corrections that are accepted are right, as audits say: of those that would have been accepted.
    Each is judged by regressions that have not learnt from it, five folds in turn. None where there is none."""
    rows, folds = evidence.audits, np.arange(len(evidence.audits)) % AUDIT_FOLDS
    if len(rows) < AUDIT_FOLDS or evidence.propensity is None:
        return None
    would = np.zeros(len(rows), bool)
    for fold in range(AUDIT_FOLDS):
        held = folds == fold
        mine = np.zeros(len(evidence.before), bool)
        mine[rows[held]] = True
        others = replace(evidence, audited=rows[~held], held_out=evidence.tried)
        here = replace(proposed, accepted=mine)
        if (expected := expected_accuracy(here, others, state_of(evidence))) is not None:
            accepted = np.zeros(len(mine), bool)
            accepted[np.flatnonzero(mine)] = _accepted(here, others, expected, np.flatnonzero(mine))
            would[held] = accepted[rows[held]]
    right = proposed.predicted[rows] == evidence.truth[rows]
    return self_normalised(right[would], evidence.propensity[would])
