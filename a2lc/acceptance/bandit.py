"""The pessimistic contextual bandit: accept a correction where it pays, even if all errors go against it.

There is one step and both actions' rewards are known where an answer is, so nothing has to be explored to learn from
it: two regressions, one of the new and one of the old label being right, and bounds of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2lc.acceptance.payoff import Payoffs
from a2lc.acceptance.regression import BayesianLogistic, LogOdds


@dataclass(frozen=True)
class Outcomes:
    """What is expected of n corrections.

    Attributes:
        after: that the new label is right.
        before: that the old label was right.
        model: the regression behind `after`.
        wanted: (n, d) what it has read of them.
    """

    after: LogOdds
    before: LogOdds
    model: BayesianLogistic
    wanted: np.ndarray

    @classmethod
    def learn(cls, seen: np.ndarray, new_right: np.ndarray, old_right: np.ndarray, wanted: np.ndarray) -> Outcomes:
        """Expect n corrections to come out as tried ones have.

        Args:
            seen: (t, d) covariates of corrections that were tried.
            new_right: (t,) bool, whether the new label was right.
            old_right: (t,) bool, whether the old one was.
            wanted: (n, d) covariates of the corrections in question.

        Raises:
            ValueError: as `BayesianLogistic.fit`.
        """
        after, before = (BayesianLogistic.fit(seen, right) for right in (new_right, old_right))
        return cls(after.log_odds(wanted), before.log_odds(wanted), after, wanted)

    def better(self, q: float) -> np.ndarray:
        """(n,) bool: the new label is likelier right than the old one, by bounds of `q` standard deviations against
        it."""
        return np.asarray(self.after.mean - q * self.after.sd > self.before.mean + q * self.before.sd)

    def value(self, payoffs: Payoffs, q: float) -> np.ndarray:
        """(n,) payoff that is expected by the same bounds."""
        new = self.after.low(q)
        old = np.minimum(self.before.high(q), 1 - new)
        return np.asarray(payoffs.new * new + payoffs.old * old + payoffs.neither * (1 - new - old))

    def worlds(self, number: int, seed: int) -> np.ndarray:
        """(n, number) bool: which new labels are right, in equally likely worlds; see `BayesianLogistic.worlds`."""
        return self.model.worlds(self.wanted, number, seed)

    def accept(self, payoffs: Payoffs, q: float) -> np.ndarray:
        """(n,) bool: the corrections that pay and are likelier right than the labels they replace, both by bounds."""
        return np.asarray((self.value(payoffs, q) > 0) & self.better(q))
