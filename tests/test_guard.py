"""The guard of the LCM: it lets through what held-out answers support, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import lcm_of, nearest
from small_runs import seeded

from a2lc.acceptance import BayesianLogistic
from a2lc.correction import Evidence, LCMSettings, guard_corrections, propose_corrections, train_lcm
from a2lc.datasets import Classes
from a2lc.masks import MaskSet

CLASSES = Classes(("road", "car", "sign", "sky"), np.zeros((4, 3), np.uint8))
SETTINGS = LCMSettings(thresholds=(0.4,), tail_ratio=0.0, epochs=60, learning_rate=3e-3)


def scene(wrong_share: float) -> tuple[np.ndarray, MaskSet, np.ndarray, np.ndarray]:
    """120 masks labelled car, most of them road; 40 that are cars; 60 that are sky and labelled so.

    Of the first two groups 40 each were asked about, of the sky none; it resembles road a little. (Criterion J3
    protects the single rarest class from relabelling: sign, not sky.)
    """
    rng = np.random.default_rng(0)
    base = np.array([[0.9, 0.05, 0.05, 0]] * 120 + [[0.05, 0.9, 0.05, 0]] * 40 + [[0.45, 0, 0, 0.55]] * 60)
    feature = (base + 0.02 * rng.random(base.shape)).astype(np.float32)
    labels = np.array([1] * 160 + [3] * 60)
    truth = np.array([0] * 120 + [1] * 40 + [3] * 60)
    truth[:120][rng.random(120) > wrong_share] = 1
    objects = np.arange(1, 221, dtype=np.int32)[None]
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": objects}, {"a": {i + 1: int(v) for i, v in enumerate(labels)}})
    return feature, masks, truth, np.concatenate([np.arange(40), np.arange(120, 160)])


@pytest.mark.parametrize(("wrong_share", "kept"), [(1.0, True), (0.2, False)])
def test_corrects_only_where_answers_say_that_it_helps(wrong_share: float, kept: bool) -> None:
    feature, masks, truth, rows = scene(wrong_share)
    answered = masks.relabel(rows, truth[rows], source="annotator", round=1)
    proposed = propose_corrections(nearest(feature[rows], truth[rows], 4), feature, answered, truth[rows], SETTINGS, 1)
    unasked = proposed.accepted[160:]
    assert unasked.all(), "the published criteria relabel a class that nobody was asked about"
    with lcm_of(nearest):  # of those held out
        guarded, report = guard_corrections(proposed, Evidence(feature, masks, answered, rows, SETTINGS, seed=seeded()))
    assert not guarded.accepted[160:].any()
    assert guarded.accepted[40:120].all() == kept and guarded.accepted[40:120].any() == kept
    assert report.proposed == proposed.accepted.sum() and report.kept == guarded.accepted.sum()
    if kept:
        assert report.estimated_accuracy > 0.9 > 0.1 > report.estimated_before
    else:
        assert report.estimated_accuracy is None and report.estimated_before is None


def test_is_seeded() -> None:
    feature, masks, truth, rows = scene(0.8)
    answered = masks.relabel(rows, truth[rows], source="annotator", round=1)
    model = train_lcm(feature[rows], truth[rows], 4, SETTINGS, seed=seeded())
    proposed = propose_corrections(model, feature, answered, truth[rows], SETTINGS, 1)
    learnt = Evidence(feature, masks, answered, rows, SETTINGS, seed=seeded(3))
    reports = [guard_corrections(proposed, learnt)[1] for _ in range(2)]
    assert reports[0] == reports[1]


def logistic(seen: np.ndarray, right: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = BayesianLogistic.fit(seen, right).log_odds(wanted)
    return found.mean, found.sd


def test_log_odds_of_a_share_and_their_standard_deviation() -> None:
    right = np.array([True] * 3000 + [False] * 1000)
    odds, deviation = logistic(np.zeros((4000, 0)), right, np.zeros((2, 0)))
    assert odds == pytest.approx([np.log(3)] * 2, rel=2e-3)
    assert deviation == pytest.approx([np.sqrt(1 / 3000 + 1 / 1000)] * 2, rel=2e-3)


def test_what_was_never_seen_has_the_prior_s_uncertainty() -> None:
    rng = np.random.default_rng(0)
    seen = np.column_stack([rng.integers(0, 2, 200), np.zeros(200)]).astype(float)
    right = rng.random(200) < np.where(seen[:, 0] == 1, 0.9, 0.2)
    odds, deviation = logistic(seen, right, np.array([[1.0, 0], [0, 0], [1, 1]]))
    assert odds[0] > 1 > -0.3 > odds[1] and odds[2] == pytest.approx(odds[0], abs=1e-6)
    assert deviation[2] == pytest.approx(np.hypot(deviation[0], 1), rel=1e-6)
