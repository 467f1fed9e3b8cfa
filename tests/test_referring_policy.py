"""RPLE: gates and their rewards, the bandit of several actions and gradients, exploration, brakes against collapse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from a2lc.acceptance import ActionPolicy, RewardModels, learn_actions, mean_with_bounds
from a2lc.acceptance.actions import exact_actions_gradient, objective, sampled_actions_gradient
from a2lc.referring.config import Experiment
from a2lc.referring.gates import (
    ACTIONS,
    CERTAINTY,
    accepted,
    cell_weights,
    gate_rewards,
    is_balanced,
    near,
    pseudo_weights,
)
from a2lc.referring.policy import Rewarded, coverage_band, decide, worth_less
from a2lc.referring.state import NAMES, PriorLooks, Standard, fuse, soft_iou, state_of

RNG = np.random.default_rng
BANDIT = Experiment(compares_fixed=False, explore=0.0)


def world(count: int, seed: int, weights: np.ndarray, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, rewards with noise, and what they are on average, in a world that is linear."""
    rng = RNG(seed)
    states = rng.standard_normal((count, weights.shape[1] - 1))
    mean = np.column_stack([np.ones(count), states]) @ weights.T
    return states, mean + noise * rng.standard_normal(mean.shape), mean


WEIGHTS = np.array([[0.1, 0.8, 0.0], [-0.1, 0.0, 0.9], [0.0, -0.7, 0.4], [-0.5, 0.1, 0.1]])

# --- gates and rewards


def slow_rewards(fused: np.ndarray, truth: np.ndarray, box: np.ndarray, needed: float) -> list[float]:
    """The formula, cell by cell."""
    high, wide = fused.shape
    cells = [(y, x) for y in range(high) for x in range(wide)]
    object_ = [c for c in cells if truth[c]]
    background = [c for c in cells if not truth[c] and box[c]]
    price, total, found = needed / (1 - needed), 0.0, []
    for c in cells:
        total += 1 / (2 * len(object_)) if truth[c] else 1 / (2 * len(background)) if box[c] else 0
    for least in CERTAINTY:
        worth = 0.0
        for c in cells:
            if abs(2 * fused[c] - 1) >= least - 1e-6:
                v = 1 / (2 * len(object_)) if truth[c] else 1 / (2 * len(background)) if box[c] else 0
                worth += v if (fused[c] > 0.5) == truth[c] else -price * v
        found.append(worth / total)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_rewards_are_the_formula_cell_by_cell(seed: int) -> None:
    rng = RNG(seed)
    fused, truth = rng.random((7, 9)), np.zeros((7, 9), bool)
    truth[2:5, 3:6] = True
    box = near(fused, truth)
    assert gate_rewards(fused, truth, box, 0.8) == pytest.approx(slow_rewards(fused, truth, box, 0.8))


def test_what_a_perfect_and_a_wrong_map_are_worth() -> None:
    truth = np.zeros((8, 8), bool)
    truth[2:4, 2:4] = True
    box = near(truth)
    assert box.sum() == 16 and cell_weights(truth, box).sum() == pytest.approx(1)
    assert gate_rewards(truth.astype(float), truth, box) == pytest.approx([1] * ACTIONS)
    assert gate_rewards(1.0 - truth, truth, box) == pytest.approx([-4] * ACTIONS)
    assert gate_rewards(np.zeros((8, 8)), truth, box) == pytest.approx([0.5 - 4 * 0.5] * ACTIONS)
    unsure = np.where(truth, 0.5, 0.0)  # background alone
    assert gate_rewards(unsure, truth, box) == pytest.approx([0.5] * ACTIONS)
    nothing = np.zeros((8, 8), bool)
    assert gate_rewards(np.zeros((8, 8)), nothing, near(nothing)) == pytest.approx([0.5] * ACTIONS)  # and no more
    assert near(np.zeros((3, 4))).all()


def test_gates_accept_more_and_more() -> None:
    fused = np.linspace(0, 1, 101)[None]
    shares = [accepted(fused, gate).mean() for gate in range(ACTIONS + 1)]
    assert shares[0] == 0 and shares == sorted(shares) and len(set(shares)) == ACTIONS + 1
    with pytest.raises(ValueError, match=r"gate: expected 0\.\.4, found 5"):
        accepted(fused, 5)


def test_brake_4_rejects_background_alone_and_objects_alone() -> None:
    fused = np.zeros((6, 6))
    fused[1:3, 1:3] = 0.7  # the object, unsure: the surest gate accepts background alone
    assert not is_balanced(fused, accepted(fused, 1)) and is_balanced(fused, accepted(fused, 4))
    assert not is_balanced(fused, fused > 0.5)
    weights = pseudo_weights(fused, accepted(fused, 4))
    assert weights[fused > 0.5].sum() == pytest.approx(0.5) == weights[fused < 0.5].sum()


# --- states and fusion


def test_fusing_equal_maps_and_extreme_weights() -> None:
    rng = RNG(0)
    p, q = 0.02 + 0.96 * rng.random((2, 4, 5))
    assert fuse(p, p, 0.3) == pytest.approx(p, abs=1e-5)
    assert fuse(p, q, 1.0) == pytest.approx(p, abs=1e-5)
    assert fuse(p, q, 0.0) == pytest.approx(q, abs=1e-5)
    assert fuse(np.zeros((1, 1)), np.full((1, 1), 0.5), 1.0) == pytest.approx(0.02)


def test_a_state_is_finite_and_says_what_it_says() -> None:
    fused = np.zeros((6, 6), np.float32)
    fused[0, 0], fused[3:5, 3:5] = 0.9, 0.9
    state = state_of(fused, fused, 0.5, fused, PriorLooks(0.7, 0.8, 0.9), "the car left of the bus")
    found = dict(zip(NAMES, state, strict=True))
    assert found["sure_fused"] == pytest.approx(0.8) and found["largest_part"] == pytest.approx(0.8)
    assert (found["agreement_prior"], found["agreement_views"], found["relation"]) == (1, 0.5, 1)
    assert (found["prior_score"], found["prior_agreement"], found["prior_quality"]) == (0.7, 0.8, 0.9)
    empty = state_of(np.zeros((2, 2)), np.zeros((2, 2)), 0.0, np.zeros((2, 2)), PriorLooks(0, 0, 0), "")
    assert np.isfinite(empty).all() and soft_iou(np.zeros((2, 2)), np.zeros((2, 2))) == 0


def test_standard_states_have_mean_0_and_what_never_varies_stays_0() -> None:
    states = np.column_stack([RNG(0).normal(3, 2, 50), np.full(50, 7.0)])
    found = Standard.of(states)(states)
    assert found.mean(0) == pytest.approx([0, 0], abs=1e-9) and found[:, 0].std() == pytest.approx(1)
    assert (found[:, 1] == 0).all()
    assert (Standard.of(np.zeros((0, 2)))(np.ones((1, 2))) == 1).all()


# --- the bandit


def test_nothing_known_means_nothing_accepted() -> None:
    models = RewardModels.fit(np.zeros((0, 2)), np.zeros((0, 4)))
    gates, value = models.decide(RNG(0).standard_normal((50, 2)), 1.645)
    assert (gates == 0).all() and (value < 0).all()


def test_regret_in_a_linear_world_is_small() -> None:
    states, rewards, _ = world(300, 0, WEIGHTS)
    new, _, mean = world(2000, 1, WEIGHTS)
    gates, _ = RewardModels.fit(states, rewards).decide(new, 0.0)
    with_reject = np.column_stack([np.zeros(len(mean)), mean])
    best = with_reject.max(1).mean()
    assert with_reject[np.arange(len(mean)), gates].mean() > 0.95 * best > 0


def test_noise_is_found_by_maximum_likelihood() -> None:
    states, rewards, _ = world(400, 2, WEIGHTS, noise=0.5)
    assert RewardModels.fit(states, rewards).noise == pytest.approx(0.5, rel=0.05)


def test_posterior_is_bayes_rule() -> None:
    states, rewards, _ = world(6, 3, WEIGHTS)
    models = RewardModels.fit(states, rewards)
    x = np.column_stack([np.ones(6), states])
    precision = np.eye(3) + x.T @ x / models.noise**2
    assert models.covariance @ precision == pytest.approx(np.eye(3), abs=1e-8)
    assert precision @ models.weights.T == pytest.approx(x.T @ rewards / models.noise**2)


def test_permuting_pairs_permutes_decisions() -> None:
    states, rewards, _ = world(60, 4, WEIGHTS)
    new = RNG(5).standard_normal((40, 2))
    order = RNG(6).permutation(40)
    models = RewardModels.fit(states, rewards)
    assert (models.decide(new, 1.0)[0][order] == models.decide(new[order], 1.0)[0]).all()


def test_thompson_chances_add_up_and_find_the_better_action() -> None:
    states, rewards, _ = world(300, 7, WEIGHTS)
    models = RewardModels.fit(states, rewards)
    chances = models.chances(np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]]), 400, seed=0)
    assert chances.sum(1) == pytest.approx([1, 1, 1]) and chances.shape == (3, 5)
    assert chances[0].argmax() == 1 and chances[1].argmax() == 2


def test_rewards_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite states and rewards"):
        RewardModels.fit(np.full((2, 1), np.nan), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="a row per state"):
        RewardModels.fit(np.zeros((2, 1)), np.zeros((3, 4)))


# --- gradients


def gradient_case() -> tuple[np.ndarray, ...]:
    states, rewards, _ = world(12, 8, WEIGHTS)
    x = np.column_stack([np.ones(12), states])
    r = np.column_stack([np.zeros(12), rewards])
    fixed = np.array([0.1, 0.6, 0.1, 0.1, 0.1])
    w = 0.5 * RNG(9).standard_normal((5, 3))
    return w, x, r, fixed, np.zeros_like(w)


def test_exact_gradient_is_the_slope_of_its_objective() -> None:
    w, x, r, fixed, start = gradient_case()
    slope = approx_fprime(w.ravel(), lambda f: objective(f.reshape(w.shape), x, r, fixed, start), 1e-6)
    assert exact_actions_gradient(w, x, r, fixed, start).ravel() == pytest.approx(slope, abs=1e-4)


def test_sampled_gradients_are_right_on_average() -> None:
    w, x, r, _, _ = gradient_case()
    p = np.exp(x @ w.T)
    p /= p.sum(1, keepdims=True)
    wanted = (p * (r - (p * r).sum(1, keepdims=True))).T @ x
    rng = RNG(10)
    drawn = np.array([sampled_actions_gradient(w, x, r, rng) for _ in range(4000)])
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(0) - wanted) < 4 * error + 1e-9).all()


@pytest.mark.parametrize("kind", ["exact", "reinforce"])
def test_a_gradient_learns_what_pays(kind: str) -> None:
    states, rewards, _ = world(200, 11, WEIGHTS)
    fixed = np.array([0.1, 0.6, 0.1, 0.1, 0.1])
    r = np.column_stack([np.zeros(200), rewards])
    policy = learn_actions(states, r, fixed, kind=kind, seed=0)  # type: ignore[arg-type]
    assert isinstance(policy, ActionPolicy)
    taken = r[np.arange(200), policy.decide(states)].mean()
    assert taken > max(0.0, r[:, 1].mean()) + 0.2
    assert policy.chances(states).sum(1) == pytest.approx(np.ones(200))


# --- values


def test_bounds_of_a_mean() -> None:
    values = RNG(12).normal(1, 2, 400)
    mean, low, high = mean_with_bounds(values)
    assert mean == pytest.approx(values.mean())
    assert high - mean == pytest.approx(1.645 * values.std(ddof=1) / 20) == mean - low
    assert mean_with_bounds(np.array([3.0])) == (3.0, -np.inf, np.inf)
    assert mean_with_bounds(np.zeros(0))[1:] == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="propensity"):
        mean_with_bounds(np.ones(2), np.array([0.0, 1.0]))


def test_self_normalised_means_of_a_log_are_unbiased() -> None:
    rng = RNG(13)
    rewards = rng.random(500)
    chance = 0.2 + 0.6 * rewards  # what is worth more is drawn more often
    means = []
    for _ in range(300):
        drawn = rng.random(500) < chance
        means.append(mean_with_bounds(rewards[drawn], chance[drawn])[0])
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - rewards.mean()) < 4 * error + 2e-3


# --- decisions and brakes


def rewarded(states: np.ndarray, rewards: np.ndarray, images: int = 8) -> Rewarded:
    return Rewarded(states, rewards, np.array([f"image {row % images}" for row in range(len(states))]))


def decided(config: Experiment, known: Rewarded, states: np.ndarray, labelled: int = 40) -> np.ndarray:
    raw = np.zeros((len(states), len(NAMES)))
    return decide(config, states, raw, known, labelled, config.explore, seed=0).gates


def test_rewards_of_minus_one_accept_nothing_and_of_one_nearly_all() -> None:
    rng = RNG(14)
    states, new = rng.standard_normal((60, 3)), rng.standard_normal((200, 3))
    assert (decided(BANDIT, rewarded(states, np.full((60, 4), -1.0)), new) == 0).all()
    free = BANDIT.model_copy(update={"most_accepted": 1.0})
    assert (decided(free, rewarded(states, np.ones((60, 4))), new) > 0).mean() > 0.9


def test_brake_1_rejecting_is_worth_exactly_nothing() -> None:
    """Rewards around 0 that mean nothing: without a zero to compare with, every pair would get its least bad gate."""
    rng = RNG(15)
    states, noise = rng.standard_normal((100, 3)), rng.normal(-0.5, 0.5, (100, 4))
    models = RewardModels.fit(states, noise)
    mean, _ = models.expected(states)
    assert (mean.argmax(1) >= 0).all() and (models.decide(states, 0.0)[0] == 0).mean() > 0.9


def test_brake_2_far_from_what_is_known_a_pessimist_rejects() -> None:
    rng = RNG(16)
    states = np.tile(0.1 * rng.standard_normal((20, 3)), (2, 1))  # each state twice, with noise that cancels
    known = rewarded(states, np.repeat([[0.2], [0.6]], 20, axis=0) * np.ones(4))
    far = np.array([[5.0, -5.0, 5.0], [-5.0, 5.0, -5.0]])
    models = RewardModels.fit(known.states, known.rewards)
    assert (models.expected(far)[0].max(1) > 0).all()  # without pessimism both would be accepted
    assert (models.decide(far, 1.645)[0] == 0).all()
    assert (models.decide(states, 1.645)[0] > 0).all()


def test_brake_3_keeps_coverage_inside_its_band() -> None:
    rng = RNG(17)
    states = rng.standard_normal((100, 3))
    models = RewardModels.fit(states, np.ones((100, 4)) + 0.1 * rng.standard_normal((100, 4)))
    gates, value = models.decide(states, 0.5)
    assert (gates > 0).mean() > 0.9
    kept, flags = coverage_band(BANDIT, models, states, gates, value)
    assert (kept > 0).sum() == 90 and flags == {"band": "most"}
    assert value[kept > 0].min() >= value[kept == 0].max()
    doubtful = RewardModels(np.tile([0.2, 0, 0, 0], (4, 1)), np.eye(4), 1.0)
    gates, value = doubtful.decide(states, 5.0)
    assert (gates == 0).all()
    kept, flags = coverage_band(BANDIT, doubtful, states, gates, value)
    assert (kept > 0).sum() == 2 and flags == {"band": "least"}
    bad = RewardModels.fit(states, np.full((100, 4), -1.0))
    assert (coverage_band(BANDIT, bad, states, *bad.decide(states, 1.0))[0] == 0).all()  # nothing is expected to pay


def test_brake_5_the_fixed_gate_acts_where_the_policy_is_worth_less() -> None:
    rng = RNG(18)
    states = rng.standard_normal((40, 3))
    rewards = np.full((40, 4), -1.0)
    rewards[:, 0] = np.where(rng.random(40) < 0.5, 0.05, 0.6)  # the fixed gate always pays
    known = rewarded(states, rewards, images=40)
    timid = Experiment(pessimism=50.0, few=0, explore=0.0)
    found = decide(timid, states, np.zeros((40, len(NAMES))), known, 40, 0.0, seed=0)
    assert (found.gates == 1).all() and found.notes["acted"] == "fixed"
    assert found.notes["value_low"] < found.notes["fixed_low"]
    alone = timid.model_copy(update={"compares_fixed": False, "least_accepted": 0.0})
    assert (decided(alone, known, states) == 0).all()
    good = Experiment(explore=0.0)
    assert worth_less(good, rewarded(states, np.where(rewards > 0, rewards, 0.9), 40), 0) == {}


def test_with_three_labelled_images_a_rule_decides() -> None:
    raw = np.zeros((4, len(NAMES)))
    raw[:, NAMES.index("agreement_prior")] = (0.1, 0.59, 0.61, 1.0)
    nothing = rewarded(np.zeros((0, len(NAMES))), np.zeros((0, 4)))
    found = decide(Experiment(), raw, raw, nothing, 3, 0.1, seed=0)
    assert found.gates.tolist() == [0, 0, 2, 2] and found.notes == {"acted": "rule"}


def test_propensities_are_how_often_a_gate_is_taken() -> None:
    states, rewards, _ = world(80, 19, WEIGHTS)
    known, new = rewarded(states, rewards), RNG(20).standard_normal((5, 2))
    config = BANDIT.model_copy(update={"explore": 0.5})
    raw = np.zeros((5, len(NAMES)))
    greedy = decide(config, new, raw, known, 40, 0.0, seed=0)
    assert (greedy.propensity == 1).all()
    times = np.zeros((5, ACTIONS + 1))
    likely = np.zeros((5, ACTIONS + 1))
    for seed in range(300):
        found = decide(config, new, raw, known, 40, 0.5, seed=seed)
        times[np.arange(5), found.gates] += 1
        likely[np.arange(5), found.gates] = found.propensity
    assert np.abs(times / 300 - likely).max() < 0.15
    assert (found.propensity > 0).all() and (found.propensity <= 1).all()


@pytest.mark.parametrize("acceptance", ["policy_gradient", "reinforce"])
def test_gradients_decide_too(acceptance: str) -> None:
    states, rewards, _ = world(60, 21, WEIGHTS)
    config = Experiment(acceptance=acceptance, compares_fixed=False)
    found = decide(config, states, np.zeros((60, len(NAMES))), rewarded(states, rewards), 40, 0.0, seed=0)
    assert found.notes["acted"] == acceptance and set(found.gates.tolist()) <= set(range(ACTIONS + 1))
    all_ = np.column_stack([np.zeros(60), rewards])
    assert all_[np.arange(60), found.gates].mean() > 0


def test_fixed_accepts_at_one_gate() -> None:
    nothing = rewarded(np.zeros((0, 2)), np.zeros((0, 4)))
    found = decide(Experiment(method="fixed"), np.zeros((3, 2)), np.zeros((3, len(NAMES))), nothing, 9, 0.1, 0)
    assert found.gates.tolist() == [2, 2, 2]
