"""RPLE's decisions: a gate for every unlabelled pair, learnt from what gates were worth on reward images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from a2lc.acceptance.actions import learn_actions
from a2lc.acceptance.rewards import RewardModels
from a2lc.acceptance.value import mean_with_bounds
from a2lc.referring.config import FEW_IMAGES, Experiment
from a2lc.referring.gates import ACTIONS
from a2lc.referring.state import NAMES

DRAWS = 200  # worlds behind a probability of exploration
FOLDS = 5  # in which a policy is judged on images it has not learnt from
RULE_AGREES, RULE_GATE = 0.6, 2  # without rewards: this gate where prior and teacher agree so much
NEAR_FIXED = 0.6  # how often the policy that a gradient starts from takes the fixed gate

Decide = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rewarded:
    """Pairs of reward images.

    Attributes:
        states: (n, d) standardised.
        rewards: (n, ACTIONS) what each gate is worth.
        images: (n,) names.
    """

    states: np.ndarray
    rewards: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class Decisions:
    """Of m pairs.

    Attributes:
        gates: (m,) int64, 0 = rejected.
        propensity: (m,) with which probability this gate was to be taken.
        value: (m,) what the best gate was thought to be worth, by the bounds that decided; NaN where nobody said.
        notes: numbers for ``policy.json``.
    """

    gates: np.ndarray
    propensity: np.ndarray
    value: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)


def decide(
    config: Experiment,
    states: np.ndarray,
    raw: np.ndarray,
    rewarded: Rewarded,
    labelled: int,
    explore: float,
    seed: int,
) -> Decisions:
    """Choose the gates of m pairs, with brakes (3) and (5).

    Args:
        config: who decides, and how.
        states: (m, d) standardised.
        raw: (m, d) the same as they were.
        rewarded: what is known.
        labelled: number of labelled images.
        explore: share of pairs whose gate is drawn.
        seed: of the draws.
    """
    count = len(states)
    certain, unsaid = np.ones(count), np.full(count, np.nan)
    fixed = np.full(count, config.fixed_gate)
    if config.acceptance == "fixed":
        return Decisions(fixed, certain, unsaid, {"acted": "fixed"})
    if labelled < FEW_IMAGES:
        agree = raw[:, NAMES.index("agreement_prior")] > RULE_AGREES
        return Decisions(np.where(agree, RULE_GATE, 0), certain, unsaid, {"acted": "rule"})
    if config.compares_fixed and (worth := worth_less(config, rewarded, seed)):
        return Decisions(fixed, certain, unsaid, {"acted": "fixed", **worth})
    if config.acceptance != "bandit":
        policy = learn_actions(*_for_gradient(config, rewarded), kind=_kind(config), seed=seed)
        chances = policy.chances(states)
        gates = chances.argmax(1)
        notes: dict[str, Any] = {"acted": config.acceptance, "rewarded": len(rewarded.states)}
        gates, chance = _explored(gates, chances, explore, seed)
        return Decisions(gates, chance, unsaid, notes)
    models, q = RewardModels.fit(rewarded.states, rewarded.rewards), pessimism(config, rewarded)
    gates, value = models.decide(states, q)
    gates, flags = coverage_band(config, models, states, gates, value)
    gates, chance = _explored(gates, models.chances(states, DRAWS, seed) if explore else None, explore, seed)
    notes = {"acted": "bandit", "rewarded": len(rewarded.states), "pessimism": q, "noise": models.noise, **flags}
    return Decisions(gates, chance, value, notes)


def pessimism(config: Experiment, rewarded: Rewarded) -> float:
    """Standard deviations that count against a gate."""
    return min(config.pessimism, 1.0) if len(rewarded.states) < config.few else config.pessimism


def coverage_band(
    config: Experiment, models: RewardModels, states: np.ndarray, gates: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Brake (3): where too few or too many pairs are accepted, move the threshold on their value to the band's edge;
    but never accept one that is not even expected to pay.

    Args:
        config: the band.
        models: the bandit's.
        states: (m, d).
        gates, value: (m,) as `RewardModels.decide` returns them.

    Returns:
        (m,) gates, and which edge was met, if any.
    """
    count = len(gates)
    least, most = int(np.ceil(config.least_accepted * count)), int(np.floor(config.most_accepted * count))
    taken, order = gates > 0, np.argsort(-value, kind="stable")
    if taken.sum() > most:
        kept = np.zeros(count, bool)
        kept[order[:most]] = True
        return np.where(kept, gates, 0), {"band": "most"}
    if taken.sum() < least:
        mean, _ = models.expected(states)
        pays = mean.max(1) > 0
        added = [row for row in order if pays[row] and not taken[row]][: least - int(taken.sum())]
        gates = gates.copy()
        gates[added] = mean[added].argmax(1) + 1 if len(added) else gates[added]
        return gates, {"band": "least"}
    return gates, {}


def worth_less(config: Experiment, rewarded: Rewarded, seed: int) -> dict[str, Any]:
    """Brake (5): what policy and fixed gate are worth on reward images, each pair judged by a policy that has not
    learnt from its image; empty where the policy's lower bound of 90 % is not below that of the fixed gate."""
    images = np.unique(rewarded.images)
    if len(images) < 2:
        return {}
    fold = np.random.default_rng([seed, 5]).permutation(len(images))[np.searchsorted(images, rewarded.images)] % FOLDS
    gates = np.zeros(len(rewarded.states), np.int64)
    for one in np.unique(fold):
        held = fold == one
        known = Rewarded(rewarded.states[~held], rewarded.rewards[~held], rewarded.images[~held])
        gates[held] = _policy(config, known, seed)(rewarded.states[held])
    all_ = np.column_stack([np.zeros(len(gates)), rewarded.rewards])
    value, low, _ = mean_with_bounds(all_[np.arange(len(gates)), gates])
    fixed, fixed_low, _ = mean_with_bounds(rewarded.rewards[:, config.fixed_gate - 1])
    return {"value": value, "value_low": low, "fixed": fixed, "fixed_low": fixed_low} if low < fixed_low else {}


def _policy(config: Experiment, known: Rewarded, seed: int) -> Decide:
    if config.acceptance == "bandit":
        models, q = RewardModels.fit(known.states, known.rewards), pessimism(config, known)
        return lambda states: models.decide(states, q)[0]
    return learn_actions(*_for_gradient(config, known), kind=_kind(config), seed=seed).decide


def _kind(config: Experiment) -> Any:
    return "exact" if config.acceptance == "policy_gradient" else "reinforce"


def _for_gradient(config: Experiment, known: Rewarded) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fixed = np.full(ACTIONS + 1, (1 - NEAR_FIXED) / ACTIONS)
    fixed[config.fixed_gate] = NEAR_FIXED
    return known.states, np.column_stack([np.zeros(len(known.states)), known.rewards]), fixed


def _explored(
    gates: np.ndarray, chances: np.ndarray | None, explore: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """On a share of pairs, the gate that is drawn instead of the one that was chosen; and how likely each was."""
    if chances is None or not explore:
        return gates, np.ones(len(gates))
    rng = np.random.default_rng([seed, 7])
    drawn = (rng.random((len(gates), 1)) > chances.cumsum(1)[:, :-1]).sum(1)
    taken = np.where(rng.random(len(gates)) < explore, drawn, gates)
    likely = explore * chances[np.arange(len(gates)), taken] + (1 - explore) * (taken == gates)
    return taken, likely
