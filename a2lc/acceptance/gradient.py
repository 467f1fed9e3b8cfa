"""Policy gradients, to compare the bandit with: a logistic policy that is pulled towards what was rewarded.

It has no notion of doubt: where nothing seen forbids it, it accepts (docs/guard.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit

from a2lc.acceptance.regression import with_intercept

START = -1.0  # log-odds of accepting before anything is learnt
GROUP = 8  # joint decisions that a sampled gradient compares
STEPS, RATE = 400, 0.05  # of Adam


@dataclass(frozen=True)
class Policy:
    """Accepts with probability sigmoid(w x).

    Attributes:
        weights: (d + 1,) the intercept first.
    """

    weights: np.ndarray

    def chances(self, wanted: np.ndarray) -> np.ndarray:
        """(n,) probabilities of accepting, from (n, d) covariates."""
        return np.asarray(expit(self.weights[0] + wanted @ self.weights[1:]))


def learn_policy(
    seen: np.ndarray, rewards: np.ndarray, kind: Literal["exact", "reinforce"] = "exact", seed: int = 0
) -> Policy:
    """The policy of the largest expected reward, less half the squared distance of its weights from those that accept
    with log-odds `START` whatever they see.

    Args:
        seen: (t, d) covariates of decisions whose rewards are known.
        rewards: (t,) what accepting brings; rejecting brings 0. Scaled to a mean size of 1.
        kind: by the exact gradient (L-BFGS), or by sampled ones (REINFORCE, with Adam).
        seed: of the samples.
    """
    x = with_intercept(seen)
    r = rewards / max(float(np.abs(rewards).mean()) if len(rewards) else 0.0, 1e-12)
    start = np.zeros(x.shape[1])
    start[0] = START
    if kind == "exact":

        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            pulled = w - start
            return float(0.5 * pulled @ pulled - r @ expit(x @ w)), pulled - exact_gradient(w, x, r)

        return Policy(minimize(loss, start, jac=True, method="L-BFGS-B").x)
    rng = np.random.default_rng(seed)
    weights = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=RATE)
    for _ in range(STEPS):
        w = weights.detach().numpy()
        weights.grad = torch.from_numpy(w - start - sampled_gradient(w, x, r, rng))
        optimizer.step()
    return Policy(weights.detach().numpy())


def exact_gradient(w: np.ndarray, x: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """(d,) gradient of the expected reward, sum of sigmoid(w x) r, of weights (d,), states (t, d) and rewards (t,)."""
    chances = expit(x @ w)
    return np.asarray(x.T @ (rewards * chances * (1 - chances)))


def sampled_gradient(
    w: np.ndarray, x: np.ndarray, rewards: np.ndarray, rng: np.random.Generator, group: int = GROUP
) -> np.ndarray:
    """The same from `group` >= 2 joint decisions that are drawn, each compared with the mean reward of the others
    (REINFORCE with a leave-one-out baseline): right on average."""
    chances = expit(x @ w)
    actions = rng.random((group, len(x))) < chances
    totals = actions @ rewards
    advantage = (totals - totals.mean()) * group / (group - 1)
    return np.asarray(advantage @ ((actions - chances) @ x) / group)
