"""A pessimistic bandit with several actions: one Bayesian ridge regression of the reward per action, rejecting is 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from a2lc.acceptance.regression import with_intercept

LEAST_NOISE, MOST_NOISE = 1e-3, 10.0  # standard deviations of a reward around what its state explains


@dataclass(frozen=True)
class RewardModels:
    """Fitted regressions of A actions: a standard normal prior on every coefficient and the intercept, so that an
    action nobody has tried is worth 0 on average and less than nothing to a pessimist.

    Attributes:
        weights: (A, d + 1) posterior means, the intercept first.
        covariance: (d + 1, d + 1) of the posterior of each action's; they share it, as they share states and noise.
        noise: standard deviation of a reward around its mean, by maximum likelihood.
    """

    weights: np.ndarray
    covariance: np.ndarray
    noise: float

    @classmethod
    def fit(cls, seen: np.ndarray, rewards: np.ndarray) -> RewardModels:
        """Learn from n states whose rewards are known for every action; of none, it is the prior.

        Args:
            seen: (n, d) standardised covariates.
            rewards: (n, A).

        Raises:
            ValueError: another number of rewards than of states, or numbers that are NaN or infinite.
        """
        if seen.ndim != 2 or rewards.ndim != 2 or len(seen) != len(rewards):
            raise ValueError(f"rewards: expected a row per state, found {seen.shape} and {rewards.shape}")
        if not (np.isfinite(seen).all() and np.isfinite(rewards).all()):
            raise ValueError("rewards: expected finite states and rewards, found NaN or infinity")
        x = with_intercept(seen)
        noise = _noise(x, rewards) if len(x) else 1.0
        covariance = np.linalg.inv(x.T @ x / noise**2 + np.eye(x.shape[1]))
        return cls((covariance @ x.T @ rewards / noise**2).T, covariance, noise)

    def expected(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(m, A) mean rewards of m states (m, d), and (m,) their standard deviation, alike for all actions."""
        x = with_intercept(wanted)
        return x @ self.weights.T, np.sqrt(((x @ self.covariance) * x).sum(1))

    def decide(self, wanted: np.ndarray, q: float) -> tuple[np.ndarray, np.ndarray]:
        """The best action by bounds of `q` standard deviations against it.

        Returns:
            (m,) actions 1..A, 0 = reject: no action is expected to be worth anything; and (m,) the best bound.
        """
        mean, sd = self.expected(wanted)
        low = mean - q * sd[:, None]
        best = low.argmax(1)
        value = low[np.arange(len(low)), best]
        return np.where(value > 0, best + 1, 0), value

    def chances(self, wanted: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """(m, A + 1) with which probability each action, 0 = reject, is the best one in a world drawn from the
        posterior (Thompson 1933), from that many draws; each row adds up to 1."""
        rng = np.random.default_rng(seed)
        x, half = with_intercept(wanted), np.linalg.cholesky(self.covariance)
        counts = np.zeros((len(x), len(self.weights) + 1))
        for _ in range(draws):
            world = self.weights + rng.standard_normal(self.weights.shape) @ half.T  # (A, d + 1)
            worth = np.column_stack([np.zeros(len(x)), x @ world.T])
            counts[np.arange(len(x)), worth.argmax(1)] += 1
        return np.asarray(counts / draws)


def _noise(x: np.ndarray, y: np.ndarray) -> float:
    """The noise under which (n, A) rewards of (n, d + 1) states are likeliest, whatever the coefficients."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    along = (u.T @ y) ** 2  # (rank, A)
    rest = np.maximum((y**2).sum(0) - along.sum(0), 0)  # (A,)
    count, actions = y.shape

    def loss(log_noise: float) -> float:
        variance = float(np.exp(2 * log_noise))
        known = s**2 + variance
        size = actions * (np.log(known).sum() + (count - len(s)) * np.log(variance))
        return float(size + (along / known[:, None]).sum() + rest.sum() / variance)

    found = minimize_scalar(loss, bounds=(np.log(LEAST_NOISE), np.log(MOST_NOISE)), method="bounded")
    return float(np.exp(found.x))
