"""Policy gradients over several actions, to compare `a2lc.acceptance.rewards` with: a softmax policy that is pulled
towards what was rewarded, and not too far from a fixed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from a2lc.acceptance.regression import with_intercept

NEAR, SPREAD = 0.1, 0.01  # weight of the distance from the fixed policy (KL), and of entropy
GROUP = 8  # joint decisions that a sampled gradient compares
STEPS, RATE = 400, 0.05  # of Adam


@dataclass(frozen=True)
class ActionPolicy:
    """Takes action a with probability softmax(W x)_a.

    Attributes:
        weights: (A + 1, d + 1), action 0 = reject, the intercept first.
    """

    weights: np.ndarray

    def chances(self, wanted: np.ndarray) -> np.ndarray:
        """(m, A + 1) probabilities, from (m, d) states."""
        return np.asarray(softmax(with_intercept(wanted) @ self.weights.T, axis=1))

    def decide(self, wanted: np.ndarray) -> np.ndarray:
        """(m,) likeliest action of each state."""
        return np.asarray(self.chances(wanted).argmax(1))


def learn_actions(
    seen: np.ndarray,
    rewards: np.ndarray,
    fixed: np.ndarray,
    kind: Literal["exact", "reinforce"] = "exact",
    seed: int = 0,
) -> ActionPolicy:
    """The policy of the largest expected reward, less `NEAR` times its distance from a fixed one and half the squared
    size of its weights, and with `SPREAD` times its entropy.

    Args:
        seen: (n, d) standardised states.
        rewards: (n, A + 1) of every action, 0 of rejecting; scaled to a mean size of 1.
        fixed: (A + 1,) probabilities > 0 of the fixed policy, whatever it sees.
        kind: by the exact gradient (L-BFGS), or by sampled ones (REINFORCE, with Adam).
        seed: of the samples.
    """
    x = with_intercept(seen)
    r = rewards / max(float(np.abs(rewards[:, 1:]).mean()) if len(rewards) else 0.0, 1e-12)
    start = np.zeros((len(fixed), x.shape[1]))
    start[:, 0] = np.log(fixed)
    if kind == "exact":

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w = flat.reshape(start.shape)
            return -objective(w, x, r, fixed, start), -exact_actions_gradient(w, x, r, fixed, start).ravel()

        return ActionPolicy(minimize(loss, start.ravel(), jac=True, method="L-BFGS-B").x.reshape(start.shape))
    rng = np.random.default_rng(seed)
    weights = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=RATE)
    for _ in range(STEPS):
        w = weights.detach().numpy()
        pulled = exact_actions_gradient(w, x, np.zeros_like(r), fixed, start)
        weights.grad = torch.from_numpy(-pulled - sampled_actions_gradient(w, x, r, rng))
        optimizer.step()
    return ActionPolicy(weights.detach().numpy())


def objective(w: np.ndarray, x: np.ndarray, rewards: np.ndarray, fixed: np.ndarray, start: np.ndarray) -> float:
    """What `learn_actions` makes as large as it can, of weights (A + 1, d + 1) and states with intercept (n, d + 1)."""
    logs = log_softmax(x @ w.T, axis=1)
    p = np.exp(logs)
    near, spread = (p * (logs - np.log(fixed))).sum(), -(p * logs).sum()
    return float((p * rewards).sum() - NEAR * near + SPREAD * spread - 0.5 * ((w - start) ** 2).sum())


def exact_actions_gradient(
    w: np.ndarray, x: np.ndarray, rewards: np.ndarray, fixed: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """(A + 1, d + 1) gradient of `objective`."""
    logs = log_softmax(x @ w.T, axis=1)
    p = np.exp(logs)
    worth = rewards - NEAR * (logs - np.log(fixed)) - SPREAD * logs
    return np.asarray((p * (worth - (p * worth).sum(1, keepdims=True))).T @ x - (w - start))


def sampled_actions_gradient(
    w: np.ndarray, x: np.ndarray, rewards: np.ndarray, rng: np.random.Generator, group: int = GROUP
) -> np.ndarray:
    """The gradient of the expected reward from `group` >= 2 joint decisions that are drawn, each compared with the mean
    of the others (REINFORCE with a leave-one-out baseline): right on average."""
    p = softmax(x @ w.T, axis=1)
    edges = p.cumsum(1)[None, :, :-1]  # (1, n, A)
    actions = (rng.random((group, len(x), 1)) > edges).sum(2)  # (group, n)
    rows = np.arange(len(x))
    totals = rewards[rows[None], actions].sum(1)
    advantage = (totals - totals.mean()) * group / (group - 1)
    taken = np.eye(w.shape[0])[actions]  # (group, n, A + 1)
    return np.asarray(np.einsum("g,gna,nd->ad", advantage, taken - p, x) / group)
