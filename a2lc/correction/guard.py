"""Beyond the paper: a guard that lets the LCM correct only where its own answers say that it helps.

A special case of `a2lc.acceptance`: the corrections that the published criteria accept, judged by the bounds of two
regressions (`a2lc.correction.evidence`) and by nothing else. Where the answers say little, the bounds are far apart and
nothing is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from a2lc.correction.evidence import QUANTILE, Evidence, expected_accuracy
from a2lc.correction.lcm import Corrections


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
    good = expected.outcomes.better(QUANTILE)
    kept[candidates[good]] = True
    if not good.any():
        return replace(proposed, accepted=kept), nothing
    odds = (expected.outcomes.before, expected.outcomes.after)
    estimates = (float(expit(of.mean[good]).mean()) for of in odds)
    return replace(proposed, accepted=kept), GuardReport(len(candidates), int(good.sum()), *estimates)
