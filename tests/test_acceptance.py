"""Which corrections to trust: the bandit, its rivals, audits and estimates, on worlds whose truth is known."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scripted import lcm_of, nearest
from small_runs import seeded

from a2lc.acceptance import (
    BayesianLogistic,
    Outcomes,
    Payoffs,
    audit_weights,
    draw_audits,
    exact_gradient,
    learn_policy,
    miou_payoffs,
    sampled_gradient,
    self_normalised,
)
from a2lc.acceptance.audits import propensities
from a2lc.correction import (
    Corrections,
    Evidence,
    LCMSettings,
    accept_corrections,
    choose_audits,
    every_change,
    guard_corrections,
    lcm_inputs,
    propose_corrections,
    train_lcm,
    train_lcms,
)
from a2lc.correction.acceptance import audited_accuracy, share_of_worlds
from a2lc.correction.evidence import QUANTILE, expected_accuracy, tried_corrections
from a2lc.correction.inputs import places
from a2lc.correction.lcm import predict
from a2lc.datasets import Classes
from a2lc.masks import MaskSet
from a2lc.metrics import segmentation_metrics

BANDIT = LCMSettings(acceptance="bandit", epochs=3)


# ------------------------------------------------------------------------------------------------ payoff
@pytest.mark.parametrize("area", [1000, 10, 1])
def test_payoffs_are_exact_differences_of_miou_where_masks_are_small(area: int) -> None:
    rng, k, worst = np.random.default_rng(seeded()), 4, 0.0
    for _ in range(50):
        confusion = rng.integers(2_000, 20_000, (k, k)) + np.eye(k, dtype=int) * 50_000  # rows: truth
        before = segmentation_metrics(confusion)
        union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        old, new, neither = rng.permutation(k)[:3]
        for truth, name in ((new, "new"), (old, "old"), (neither, "neither")):
            after = confusion.copy()
            after[truth, old] -= area
            after[truth, new] += area
            exact = 100 * (segmentation_metrics(after).miou - before.miou)
            found = miou_payoffs(*(np.array([v]) for v in (old, new, area)), union, before.per_class)
            worst = max(worst, abs(getattr(found, name)[0] - exact) * union.min() / (100 * area))
    assert worst < 5 * area / union.min()  # an error of second order


def test_payoff_of_a_void_label_takes_nothing_from_any_class() -> None:
    found = miou_payoffs(np.array([2]), np.array([0]), np.array([10]), np.array([100.0, 100.0]))
    assert found.new == pytest.approx([5.0]) and found.old == pytest.approx([-2.5]) == found.neither


# ------------------------------------------------------------------------------------------------ bandit
def linear_world(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, whether the new or the old label is right, and the chance of the new one."""
    x = rng.standard_normal((n, 3))
    chance = expit(x @ [3.0, -2.0, 1.0])
    new = rng.random(n) < chance
    return x, new, ~new, chance


def test_regret_in_a_known_world_is_small_and_without_data_everything_is_rejected() -> None:
    rng = np.random.default_rng(seeded())
    x, new, old, _ = linear_world(300, rng)
    wanted, _, _, chance = linear_world(20_000, rng)
    payoffs, expected = Payoffs.of_labels(len(wanted)), 2 * chance - 1
    good = Outcomes.learn(x, new, old, wanted).accept(payoffs, q=0.0)
    best = expected[expected > 0].sum()
    assert expected[good].sum() > 0.95 * best
    careful = Outcomes.learn(x, new, old, wanted).accept(payoffs, QUANTILE)
    assert 0.8 * best < expected[careful].sum() and (careful <= good).all()
    nothing = Outcomes.learn(x[:0], new[:0], old[:0], wanted)
    assert not nothing.accept(payoffs, QUANTILE).any()


def test_never_right_accepts_nothing_always_right_nearly_all_and_noise_little() -> None:
    rng = np.random.default_rng(seeded())
    x, wanted = rng.standard_normal((50, 3)), rng.standard_normal((2000, 3))
    yes, no, payoffs = np.ones(50, bool), np.zeros(50, bool), Payoffs.of_labels(2000)
    assert not Outcomes.learn(x, no, yes, wanted).accept(payoffs, QUANTILE).any()
    assert Outcomes.learn(x, yes, no, wanted).accept(payoffs, QUANTILE).mean() > 0.9
    shares = []
    for _ in range(20):
        coin = rng.random(50) < 0.5
        shares.append(Outcomes.learn(x, coin, ~coin, wanted).accept(payoffs, QUANTILE).mean())
    assert np.mean(shares) < 0.1


def test_a_correction_must_pay_and_be_likelier_right() -> None:
    rng = np.random.default_rng(seeded())
    x, new, old, _ = linear_world(300, rng)
    found = Outcomes.learn(x, new, old, x)
    free = Payoffs(np.ones(300), np.zeros(300), np.zeros(300))  # nothing is lost when it is wrong
    dear = Payoffs(np.zeros(300), -np.ones(300), np.zeros(300))  # nothing is won when it is right
    assert (found.accept(free, QUANTILE) == found.better(QUANTILE)).all() and found.better(QUANTILE).any()
    assert not found.accept(dear, QUANTILE).any()
    assert (found.better(1.0) == (found.after.low(1.0) > found.before.high(1.0))).all()
    labels = Payoffs.of_labels(300)
    assert (found.value(labels, QUANTILE) < found.value(labels, 0.0)).all()


def test_the_posterior_is_that_of_a_standard_normal_prior() -> None:
    rng = np.random.default_rng(seeded())
    x, new, _, _ = linear_world(30, rng)
    model = BayesianLogistic.fit(x, new)
    with_one = np.column_stack([np.ones(30), x])
    chance = expit(with_one @ model.weights)
    assert with_one.T @ (new - chance) == pytest.approx(model.weights, abs=1e-3)  # where its slope is 0
    precision = np.eye(4) + sum(p * (1 - p) * np.outer(v, v) for p, v in zip(chance, with_one, strict=True))
    assert model.covariance @ precision == pytest.approx(np.eye(4), abs=1e-8)
    prior = BayesianLogistic.fit(x[:0], new[:0]).log_odds(np.array([[3.0, 4.0, 0.0]]))
    assert prior.mean == pytest.approx([0.0]) and prior.sd == pytest.approx([np.sqrt(26)])


# ------------------------------------------------------------------------------------------------ gradients
def test_exact_gradient_is_that_of_the_expected_reward() -> None:
    rng = np.random.default_rng(seeded())
    x, r, w = rng.standard_normal((40, 4)), rng.standard_normal(40), rng.standard_normal(4)
    steps = 1e-6 * np.eye(4)
    numeric = [(r @ expit(x @ (w + d)) - r @ expit(x @ (w - d))) / 2e-6 for d in steps]
    assert exact_gradient(w, x, r) == pytest.approx(numeric, abs=1e-6)


def test_sampled_gradients_are_right_on_average() -> None:
    rng = np.random.default_rng(seeded())
    x, r, w = rng.standard_normal((20, 3)), rng.standard_normal(20), rng.standard_normal(3)
    drawn = np.array([sampled_gradient(w, x, r, rng) for _ in range(4000)])
    error = drawn.std(0, ddof=1) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - exact_gradient(w, x, r)) < 4 * error).all()


@pytest.mark.parametrize("kind", ["exact", "reinforce"])
def test_a_policy_accepts_what_was_rewarded(kind: str) -> None:
    rng = np.random.default_rng(seeded())
    x, new, _, _ = linear_world(300, rng)
    policy = learn_policy(x, np.where(new, 1.0, -1.0), kind, seeded())  # type: ignore[arg-type]
    wanted, right, _, _ = linear_world(2000, rng)
    assert right[policy.chances(wanted) > 0.5].mean() > 0.8 > 0.6 > right.mean()


# ------------------------------------------------------------------------------------------------ audits and estimates
def test_propensities_are_in_proportion_at_most_1_and_those_of_the_draw() -> None:
    weights = np.array([50.0, 4, 3, 2, 1, 0])
    chances = propensities(weights, 3)
    assert chances == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    counts = np.zeros(6)
    for seed in range(2000):
        rows, given = draw_audits(weights, 3, seed)
        assert len(np.unique(rows)) == 3 and (given == chances[rows]).all()
        counts[rows] += 1
    error = np.sqrt(chances * (1 - chances) / 2000)
    assert (abs(counts / 2000 - chances) <= 4 * error).all()
    assert [len(draw_audits(weights, n, 0)[0]) for n in (0, 5, 9)] == [0, 5, 5]


def test_audits_lie_where_they_are_wanted() -> None:
    rng = np.random.default_rng(seeded())
    x, new, old, _ = linear_world(300, rng)
    found, stakes = Outcomes.learn(x, new, old, x), rng.random(300)
    frontier, stake, uniform = (audit_weights(choice, found, stakes) for choice in ("frontier", "stake", "uniform"))
    assert ((frontier > 0) == (found.after.mean > found.before.mean)).all()
    order = np.argsort(stakes)
    assert (np.diff(stake[order]) >= 0).all() and stake.min() > 0 and np.ptp(uniform) == 0


def test_self_normalised_estimates_are_right_on_average_and_bounds_hold() -> None:
    rng = np.random.default_rng(seeded())
    n = 2000
    weights = rng.random(n) + 0.2
    right = rng.random(n) < weights / weights.max()  # what is drawn more often is right more often
    shares, held = [], 0
    for seed in range(400):
        rows, propensity = draw_audits(weights, 100, seed)
        found = self_normalised(right[rows], propensity)
        assert found is not None
        shares.append(found.share)
        held += found.low <= right.mean() <= found.high
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - right.mean()) < 4 * error + 2e-3  # a ratio's bias is of order 1/n
    assert 0.85 < held / 400 < 0.97
    assert self_normalised(right[:0], weights[:0]) is None
    with pytest.raises(ValueError, match=r"propensity: expected numbers in \(0, 1\]"):
        self_normalised(right[:2], np.array([0.5, 0.0]))


def test_worlds_hold_the_true_share_as_often_as_they_say() -> None:
    held, shares = 0, []
    for trial in range(200):
        rng = np.random.default_rng(1000 * seeded(1) + trial)
        weights = rng.standard_normal(4)  # as the prior says
        x, wanted = rng.standard_normal((40, 3)), rng.standard_normal((60, 3))
        right, truth = (rng.random(len(v)) < expit(weights[0] + v @ weights[1:]) for v in (x, wanted))
        model = BayesianLogistic.fit(x, right)
        worlds = model.worlds(wanted, 400, trial)
        found = share_of_worlds(worlds)
        held += found.low <= truth.mean() <= found.high
        shares.append(found.share - model.log_odds(wanted).chance().mean())
    assert 0.83 < held / 200 < 0.97 and abs(np.mean(shares)) < 0.01


# ------------------------------------------------------------------------------------------------ the LCM's part
def scene(k: int = 4, n: int = 240, seed: int = 0) -> tuple[np.ndarray, MaskSet, np.ndarray, np.ndarray]:
    """Masks of k classes, a third of them with a wrong label: features, masks, their truth, and who is asked."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    feature = (0.8 * np.eye(k)[truth] + 0.2 * rng.dirichlet(np.ones(k), n)).astype(np.float32)
    labels = np.where(rng.random(n) < 0.35, (truth + 1) % k, truth)
    classes = Classes(tuple(f"c{i}" for i in range(k)), np.zeros((k, 3), np.uint8))
    objects = np.repeat(np.arange(1, n + 1, dtype=np.int32), rng.integers(1, 40, n))[None]
    masks = MaskSet.from_maps(classes, ["a"], {"a": objects}, {"a": {i + 1: int(v) for i, v in enumerate(labels)}})
    return feature, masks, truth, rng.permutation(n)[: n // 3]


def evidence_of(
    feature: np.ndarray, masks: MaskSet, truth: np.ndarray, rows: np.ndarray, settings: LCMSettings = BANDIT
) -> tuple[Corrections, Evidence]:
    answered = masks.relabel(rows, truth[rows], source="annotator", round=1)
    model = nearest(feature[rows], truth[rows], len(masks.classes))
    proposed = every_change(propose_corrections(model, feature, answered, truth[rows], settings, 1), answered)  # type: ignore[arg-type]
    said = (0.9 * np.eye(len(masks.classes))[proposed.predicted] + 0.02).astype(np.float32)
    return proposed, Evidence(feature, masks, answered, rows, settings, seeded(), said=said)


def test_the_bandit_corrects_what_is_wrong_and_knows_how_well() -> None:
    feature, masks, truth, rows = scene()
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows)
        found, report = accept_corrections(proposed, evidence)
    labels, accepted = masks.table["label"].to_numpy(), np.flatnonzero(found.accepted)
    wrong = np.setdiff1d(np.flatnonzero(labels != truth), rows)
    assert len(np.intersect1d(accepted, wrong)) > 0.8 * len(wrong) and not np.isin(accepted, rows).any()
    assert report.accuracy is not None and report.kept == len(accepted) == report.accuracy.number
    right = (found.predicted[accepted] == truth[accepted]).mean()
    assert report.accuracy.low <= right <= report.accuracy.high and report.why is None


def test_what_a_person_has_said_is_no_change_to_propose() -> None:
    feature, masks, truth, rows = scene()
    answered = masks.relabel(rows, (truth[rows] + 1) % 4, source="annotator", round=1)  # against all features
    proposed = Corrections(truth, np.ones(len(truth)), np.zeros(len(truth), bool), np.empty(0, np.int64))
    found = every_change(proposed, answered).accepted
    assert found.any() and not found[rows].any()


def test_the_guard_is_the_bandit_without_payoffs() -> None:
    feature, masks, truth, rows = scene(seed=1)
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows)
        guarded, _ = guard_corrections(proposed, evidence)
        expected = expected_accuracy(proposed, evidence)
    assert expected is not None
    chosen = np.flatnonzero(proposed.accepted)[expected.outcomes.better(QUANTILE)]
    assert guarded.accepted.any() and np.flatnonzero(guarded.accepted).tolist() == chosen.tolist()


@pytest.mark.parametrize("what", ["masks", "classes"])
def test_other_orders_of_masks_or_classes_give_the_same_decisions(what: str) -> None:
    feature, masks, truth, rows = scene(seed=2)
    held = np.where(np.arange(len(rows)) % 5 == 0, (truth[rows] + 2) % 4, truth[rows])
    k, labels = len(masks.classes), masks.table["label"].to_numpy().astype(int)
    sizes = masks.table["area"].to_numpy()
    kept = []
    ways = {
        "masks": (np.random.default_rng(9).permutation(len(truth)), np.arange(k)),
        "classes": (np.arange(len(truth)), np.roll(np.arange(k), 1)),
    }
    for order, names in ((np.arange(len(truth)), np.arange(k)), ways[what]):
        position = np.argsort(order)
        objects = np.repeat(np.arange(1, len(truth) + 1, dtype=np.int32), sizes[order])[None]
        given = {"a": {i + 1: int(names[v]) for i, v in enumerate(labels[order])}}
        other = MaskSet.from_maps(masks.classes, ["a"], {"a": objects}, given)
        moved = np.empty_like(feature)
        moved[:, names] = feature
        moved, at = moved[order], position[rows]
        answered = other.relabel(at, names[truth[rows]], source="annotator", round=1)
        predicted = names[truth[order]]
        accepted = (predicted != other.table["label"].to_numpy()) & ~answered.queried
        proposed = Corrections(predicted, np.ones(len(truth)), accepted, np.empty(0, np.int64))
        found, _ = accept_corrections(proposed, Evidence(moved, other, answered, at, BANDIT, 0, held_out=names[held]))
        kept.append(np.sort(order[found.accepted]).tolist())
    assert kept[0] == kept[1] and kept[0]


def test_audits_are_answers_that_the_policy_learns_from_and_the_lcm_does_not() -> None:
    feature, masks, truth, rows = scene(n=900, seed=3)
    settings = LCMSettings(acceptance="bandit", audit=0.25)
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows, settings)
        audited, propensity = choose_audits(proposed, evidence, 60)
        assert len(audited) == 60 and proposed.accepted[audited].all() and ((propensity > 0) & (propensity <= 1)).all()
        answered = evidence.answered.relabel(audited, truth[audited], source="annotator", round=1)
        more = replace(evidence, answered=answered, audited=audited, propensity=propensity)
        found, report = accept_corrections(every_change(proposed, answered), more)
        few = choose_audits(proposed, evidence, 10_000)[0]
    assert not found.accepted[audited].any() and found.accepted.any()
    assert report.audited is not None and report.audited.number <= 60
    others = ~answered.queried & proposed.accepted
    found_right = (proposed.predicted == truth)[others].mean()
    assert report.audited.low - 0.05 <= found_right <= report.audited.high + 0.05  # bounds of 90 % only
    assert 60 < len(few) <= proposed.accepted.sum()
    assert audited_accuracy(proposed, evidence) is None
    assert [settings.audits(budget) for budget in (100, 196, 200, 400)] == [0, 0, 50, 100]


# ------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("one answer", "1 answers tell nothing"),
        ("alike", "all answers are alike"),
        ("nan", "expected finite numbers, found NaN"),
        ("agrees", "no answered mask whose label an LCM without its answer would change"),
    ],
)
def test_what_cannot_be_learnt_from_is_named_and_nothing_is_accepted(case: str, why: str) -> None:
    feature, masks, truth, rows = scene()
    if case == "one answer":
        rows = rows[:1]
    if case == "alike":
        rows = rows[truth[rows] == 2]
    if case == "agrees":
        rows = rows[truth[rows] == masks.table["label"].to_numpy()[rows]]
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows)
        if case == "nan":
            evidence.feature[3, 1] = np.nan
        found, report = accept_corrections(proposed, evidence)
        assert not found.accepted.any() and report.kept == 0 and report.why is not None and why in report.why
        assert len(choose_audits(proposed, evidence, 60)[0]) == 0


def test_void_answers_tell_that_neither_label_was_right() -> None:
    feature, masks, truth, rows = scene(n=400, seed=7)
    void, k = rows[::4], len(masks.classes)
    settings = LCMSettings(acceptance="guard", void="outcome", model="logistic")
    proposed, evidence = evidence_of(feature, masks, truth, rows, settings)
    answered = evidence.answered.relabel(
        void, np.full(len(void), masks.classes.ignore_index), source="annotator", round=1
    )
    with_void = replace(evidence, answered=answered)
    tried = tried_corrections(proposed, with_void)
    assert with_void.tried.shape == (len(rows), k + 1) and (tried.new < k).all()
    of_void = np.isin(tried.rows, void)
    assert of_void.any() and not tried.new_right[of_void].any() and not tried.old_right[of_void].any()
    assert guard_corrections(proposed, with_void)[1].proposed == proposed.accepted.sum()


def test_what_no_query_can_tell_is_in_the_bounds_until_audits_do() -> None:
    feature, masks, truth, rows = scene(n=900, seed=9)
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows)
        audited = np.flatnonzero(proposed.accepted)[::4]
        answered = evidence.answered.relabel(audited, truth[audited], source="annotator", round=1)
        more = replace(evidence, answered=answered, audited=audited, propensity=np.full(len(audited), 0.25))
        doubts = []
        for some in (evidence, more):
            known, told = (expected_accuracy(proposed, some, to_tell=to_tell) for to_tell in (False, True))
            assert known is not None and told is not None
            doubts.append((told.outcomes.after.sd**2 - known.outcomes.after.sd**2).mean())
    assert doubts[0] == pytest.approx(1.0, abs=0.05) and doubts[1] < 0.6


def test_void_answers_that_the_lcm_did_not_learn_lower_what_is_expected() -> None:
    feature, masks, truth, rows = scene(n=600, seed=8)
    with lcm_of(nearest):
        proposed, evidence = evidence_of(feature, masks, truth, rows)
        void = np.flatnonzero(proposed.accepted)[::3]
        others = np.setdiff1d(np.flatnonzero(proposed.accepted), void)
        proposed.accepted[:] = np.isin(np.arange(len(masks)), others)
        answered = evidence.answered.relabel(void, np.full(len(void), 255), source="annotator", round=1)
        more = replace(evidence, answered=answered, void=void)
        tried = tried_corrections(proposed, more, void=True)
        before, after = (expected_accuracy(proposed, some, to_tell=True) for some in (evidence, more))
        decided = [accept_corrections(proposed, some)[0].accepted for some in (evidence, more)]
        assert not (tried.new_right | tried.old_right)[np.isin(tried.rows, void)].any()
        assert len(tried.rows) == len(tried_corrections(proposed, evidence).rows) + len(void)
        assert before is not None and after is not None
        assert after.outcomes.after.chance().mean() < before.outcomes.after.chance().mean() - 0.1
        reports = [guard_corrections(proposed, some)[1] for some in (evidence, more)]
    assert reports[0] == reports[1] and (decided[0] == decided[1]).all() and decided[0].any()


def test_a_class_without_an_answer_is_doubted_more() -> None:
    feature, masks, truth, rows = scene(n=900, seed=4)
    unknown = rows[truth[rows] != 3]
    with lcm_of(nearest):
        both = [evidence_of(feature, masks, truth, asked) for asked in (rows, unknown)]
        odds = []
        for proposed, evidence in both:
            wanted = (truth == 3) & ~evidence.answered.queried & (masks.table["label"].to_numpy() != 3)
            changed = proposed.predicted.copy()
            changed[wanted] = 3
            these = Corrections(changed, proposed.confidence, wanted, proposed.tail)
            expected = expected_accuracy(these, evidence)
            assert expected is not None
            odds.append(expected.outcomes.after)
    assert odds[1].sd.mean() > odds[0].sd.mean() and odds[1].low(QUANTILE).mean() < odds[0].low(QUANTILE).mean()


@pytest.mark.parametrize(("k", "limit"), [(19, 2.0), (255, 5.0)])  # 0.1 and 0.4 s; machines are slow at times
def test_ten_thousand_masks_take_no_time(k: int, limit: float) -> None:
    feature, masks, truth, rows = scene(k, n=10_000)
    rng, rows = np.random.default_rng(0), rows[:900]
    said = np.where(rng.random(900) < 0.7, truth[rows], rng.integers(0, k, 900))
    answered = masks.relabel(rows, truth[rows], source="annotator", round=1)
    proposed = Corrections(truth, np.ones(len(truth)), np.ones(len(truth), bool), np.empty(0, np.int64))
    start = time.process_time()
    found, _ = accept_corrections(
        every_change(proposed, answered), Evidence(feature, masks, answered, rows, BANDIT, 0, held_out=said)
    )
    assert time.process_time() - start < limit and found.accepted.any()


# ------------------------------------------------------------------------------------------------ what the LCM sees
@pytest.mark.parametrize("loss", ["double_softmax", "nll"])
def test_lcms_side_by_side_are_those_trained_alone(loss: str) -> None:
    rng = np.random.default_rng(seeded())
    features, labels = rng.random((43, 5)).astype(np.float32), rng.integers(0, 4, 43)
    settings = LCMSettings(epochs=6, learning_rate=3e-3, loss=loss)  # type: ignore[arg-type]
    parts = [np.flatnonzero(np.arange(43) % 5 != i) for i in range(5)] + [np.arange(8), np.arange(9)]
    for part, together in zip(parts, train_lcms(features, labels, 4, settings, 3, parts), strict=True):
        alone = train_lcm(features[part], labels[part], 4, settings, 3)
        for a, b in zip(alone.parameters(), together.parameters(), strict=True):
            assert abs(a - b).max() < 2e-5
    with pytest.raises(ValueError, match="at least one answered mask"):
        train_lcms(features, labels, 4, settings, 3, [np.arange(3), np.arange(0)])


def test_a_logistic_lcm_learns_and_never_says_what_it_has_not_seen() -> None:
    feature, masks, truth, rows = scene(seed=5)
    rows = rows[truth[rows] != 1]
    for some in (rows, rows[truth[rows] == 2], rows[np.isin(truth[rows], (0, 2))]):
        inputs = 5 * (feature - feature.mean(0)) / feature.std(0)
        model = train_lcm(inputs[some], truth[some], 4, LCMSettings(model="logistic"), 0)
        said, sure = predict(model, inputs)
        assert (said[some] == truth[some]).all() and set(said) <= set(truth[some]) and sure.max() <= 1


def test_pooled_inputs_hold_the_label_before_the_answer_and_no_other() -> None:
    feature, masks, truth, rows = scene()
    pooled = np.column_stack([np.random.default_rng(0).random((len(masks), 6)), places(masks)])
    assert lcm_inputs(feature, masks, pooled, LCMSettings()) is feature
    for features, width in (("pooled", 6 + 2 + 1 + 5), ("both", 6 + 2 + 1 + 5 + 4)):
        inputs = lcm_inputs(feature, masks, pooled, LCMSettings(features=features))  # type: ignore[arg-type]
        assert inputs.shape == (len(masks), width) and inputs.dtype == np.float32
        assert abs(inputs[:, :7].mean(0)).max() < 1e-4 and inputs[:, :6].std(0) == pytest.approx(np.ones(6), abs=1e-3)
        assert (inputs[:, 9:14].argmax(1) == masks.table["label"]).all()
    with pytest.raises(ValueError, match=r"correction\.features: 'both' needs features of 240 masks, found none"):
        lcm_inputs(feature, masks, None, LCMSettings(features="both"))


def test_places_are_the_middles_of_masks() -> None:
    classes = Classes(("a", "b"), np.zeros((2, 3), np.uint8))
    objects = np.zeros((4, 10), np.int32)
    objects[:2, :5], objects[3, 9] = 1, 2
    found = places(MaskSet.from_maps(classes, ["x"], {"x": objects}, {"x": {1: 0, 2: 1}}))
    assert found == pytest.approx(np.array([[0.25, 0.25], [0.875, 0.95]]))


def test_a_mask_of_which_the_lcm_says_void_keeps_its_label() -> None:
    feature, masks, truth, rows = scene(seed=6)
    answered = masks.relabel(rows, np.full(len(rows), masks.classes.ignore_index), source="annotator", round=1)
    model = train_lcm(feature[rows], np.full(len(rows), 4), 5, LCMSettings(model="logistic", void="outcome"), 0)
    settings = LCMSettings(thresholds=(0.0,), tail_ratio=0.0, void="outcome")
    proposed = propose_corrections(model, feature, answered, np.empty(0, np.int64), settings, 1)
    assert (proposed.predicted == 4).all() and not proposed.accepted.any()
    assert not every_change(proposed, answered).accepted.any()
