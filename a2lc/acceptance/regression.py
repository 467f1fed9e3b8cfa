"""Bayesian logistic regression by Laplace's approximation: what answers say of an outcome, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


@dataclass(frozen=True)
class LogOdds:
    """What is expected of n outcomes.

    Attributes:
        mean: (n,) log-odds.
        sd: (n,) their standard deviation.
    """

    mean: np.ndarray
    sd: np.ndarray

    def low(self, q: float) -> np.ndarray:
        """(n,) probabilities `q` standard deviations below the mean, in [0, 1]."""
        return np.asarray(expit(self.mean - q * self.sd))

    def high(self, q: float) -> np.ndarray:
        """(n,) probabilities `q` standard deviations above the mean, in [0, 1]."""
        return np.asarray(expit(self.mean + q * self.sd))

    def chance(self) -> np.ndarray:
        """(n,) probabilities with their doubt: the mean over the posterior (MacKay 1992), nearer to 1/2 the larger the
        standard deviation is."""
        return np.asarray(expit(self.mean / np.sqrt(1 + np.pi * self.sd**2 / 8)))


@dataclass(frozen=True)
class BayesianLogistic:
    """A fitted regression: a standard normal prior on every coefficient and the intercept, so that outcomes without any
    exception leave some doubt.

    Attributes:
        weights: (d + 1,) posterior mean, the intercept first.
        covariance: (d + 1, d + 1) of the posterior.
    """

    weights: np.ndarray
    covariance: np.ndarray

    @classmethod
    def fit(cls, seen: np.ndarray, right: np.ndarray) -> BayesianLogistic:
        """Learn from n outcomes; of none, it is the prior.

        Args:
            seen: (n, d) covariates, finite.
            right: (n,) bool outcomes.

        Raises:
            ValueError: another number of outcomes than of rows; or covariates that are NaN or infinite.
        """
        if seen.ndim != 2 or len(seen) != len(right):
            raise ValueError(f"covariates: expected ({len(right)}, d), a row per outcome, found {seen.shape}")
        if not np.isfinite(seen).all():
            raise ValueError("covariates: expected finite numbers, found NaN or infinity")
        x, y = with_intercept(seen), right.astype(float)

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            z = x @ w
            value = np.logaddexp(0, z).sum() - y @ z + 0.5 * w @ w
            return float(value), x.T @ (expit(z) - y) + w

        w = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
        p = expit(x @ w)
        return cls(w, np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + np.eye(x.shape[1])))

    def log_odds(self, wanted: np.ndarray) -> LogOdds:
        """What is expected of m other outcomes, from (m, d) covariates."""
        x = with_intercept(wanted)
        return LogOdds(x @ self.weights, np.sqrt(((x @ self.covariance) * x).sum(1)))

    def worlds(self, wanted: np.ndarray, number: int, seed: int) -> np.ndarray:
        """(m, number) bool: how m outcomes with (m, d) covariates may turn out, in equally likely worlds. In each the
        weights are another draw of the posterior, so that errors of the regression go the same way there."""
        rng = np.random.default_rng(seed)
        half = np.linalg.cholesky(self.covariance)
        weights = self.weights[:, None] + half @ rng.standard_normal((len(half), number))
        chances = expit((with_intercept(wanted) @ weights).astype(np.float32))
        return np.asarray(rng.random(chances.shape, dtype=np.float32) < chances)


def with_intercept(covariates: np.ndarray) -> np.ndarray:
    """(n, d + 1) float64: a column of ones before (n, d) covariates."""
    return np.column_stack([np.ones(len(covariates)), covariates])
