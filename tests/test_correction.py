"""Annotators and the Label Correction Module."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import lcm_corrects, lcm_tail
from test_masks import CLASSES, Truth

from a2lc.correction import LabelCorrectionModule, LCMSettings, Oracle, propose_corrections, tail_ranking, train_lcm
from a2lc.correction.confidence import confidence_intervals
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram


def oracle(truth: list, labels: dict[int, int], query: str, **options: bool) -> np.ndarray:
    """Answers for one image whose object map is [[1, 1, 1, 2, 2]]; the queried pixels are the first of each mask."""
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": np.array([[1, 1, 1, 2, 2]])}, {"a": labels})
    split = Truth({"a": np.array([truth], np.uint8)})
    asked = Oracle(split, truth_histogram(masks, split), query, **options)
    return asked.answer(np.array([1, 0]), masks, np.array([0, 3])).tolist()


def test_mask_query_answers_the_plurality_and_void_counts() -> None:
    assert oracle([0, 1, 1, 255, 255], {1: 2, 2: 2}, "mask") == [255, 1]
    assert oracle([0, 1, 2, 2, 0], {1: 2, 2: 2}, "mask") == [2, 0]  # ties: first in raster order


def test_pixel_query_spreads_one_pixel_unless_the_mask_is_mostly_right() -> None:
    truth = [0, 1, 1, 2, 2]
    assert oracle(truth, {1: 1, 2: 0}, "pixel") == [2, 1]  # mask 1 is 2/3 right: kept
    assert oracle(truth, {1: 1, 2: 0}, "pixel", keep_if_mostly_right=False) == [2, 0]  # its first pixel says 0
    assert oracle([255, 255, 1, 2, 0], {1: 255, 2: 1}, "pixel") == [2, 255]  # void never counts as right


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=5, max_size=5), st.sampled_from([0, 1, 2]))
def test_plurality_equals_the_rule_of_the_released_code(truth: list[int], label: int) -> None:
    """Keep the label when more than half of the mask agrees, else take the most frequent truth: the same thing."""
    answers = []
    for inside in (truth[3:], truth[:3]):
        agree = sum(g == label for g in inside) / len(inside)
        counts = Counter(inside)
        answers.append(label if agree > 0.5 else max(counts, key=lambda g: (counts[g], -inside.index(g))))
    assert oracle(truth, {1: label, 2: label}, "mask") == answers


@given(st.lists(st.integers(0, 8), max_size=40), st.integers(9, 21), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_tail_classes(labels: list[int], num_classes: int, alpha: float) -> None:
    ranking = tail_ranking(np.array(labels, dtype=np.int64), num_classes)
    tail, rarest = lcm_tail(labels, num_classes, alpha)
    assert set(ranking[: int(alpha * num_classes)].tolist()) == tail and ranking[0] == rarest


class Confident(torch.nn.Module):
    """Stands in for a trained LCM: says exactly what it is told."""

    def __init__(self, output: list[list[float]]) -> None:
        super().__init__()
        self.output = torch.tensor(output)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return self.output


def test_each_selection_criterion_blocks_alone() -> None:
    sure = [0.0, 0.995, 0.005]
    labels = {1: 0, 2: 0, 3: 1, 4: 2, 5: 0, 6: 0}
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": np.arange(1, 7)[None]}, {"a": labels})
    masks = masks.relabel(np.array([5]), np.array([0]), source="annotator", round=1)
    output = [sure, [0.5, 0.5, 0.0], sure, sure, [0.0, 0.0, 1.0], sure]
    answered = np.array([0, 1, 1, 1, 0])  # class 2 was never answered: it is tail (1 of 3) and the rarest
    settings_ = LCMSettings(thresholds=(0.99,))
    found = propose_corrections(Confident(output), np.zeros((6, 3)), masks, answered, settings_, 1)
    assert found.tail.tolist() == [2]
    assert found.accepted.tolist() == [
        True,
        False,  # below tau
        False,  # already so
        False,  # carries the rarest class
        False,  # predicts a tail class
        False,  # a person has answered it
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 255]), st.integers(0, 2), st.booleans(), st.sampled_from([None, 1, 2, 3])),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 2), max_size=8),
    st.sampled_from(["rarest", "tail"]),
    st.sampled_from(["ever", "round"]),
    st.sampled_from([0.0, 0.4, 0.7]),
)
def test_selection_equals_the_slow_version(
    masks_: list[tuple], answers: list[int], labels_rule: str, answers_rule: str, alpha: float
) -> None:
    """Round 3, masks given as (label, prediction, sure or not, round of an answer), under all rules."""
    labels, predicted, sure, answered_in = zip(*masks_, strict=True)
    objects = np.arange(1, len(labels) + 1)[None]
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": objects}, {"a": {i + 1: v for i, v in enumerate(labels)}})
    for round in (1, 2, 3):
        rows = np.array([i for i, r in enumerate(answered_in) if r == round], dtype=int)
        masks = masks.relabel(rows, np.array(labels)[rows], source="annotator", round=round)
    output = np.full((len(labels), 3), 0.1)
    output[np.arange(len(labels)), predicted] = np.where(sure, 0.9, 0.5)
    rules = {"protected_labels": labels_rule, "protected_answers": answers_rule}
    settings_ = LCMSettings(thresholds=(0.8,), tail_ratio=alpha, **rules)
    found = propose_corrections(
        Confident(output), np.zeros((len(labels), 3)), masks, np.array(answers, int), settings_, 3
    )
    tail, rarest = lcm_tail(answers, 3, alpha)
    assert found.accepted.tolist() == [lcm_corrects(*mask, 3, tail, rarest, rules) for mask in masks_]


def test_an_overruled_answer_still_counts_as_answered(tmp_path: Path) -> None:
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": np.array([[1, 2, 3]])}, {"a": {1: 0, 2: 0, 3: 0}})
    masks = masks.relabel(np.array([0, 1]), np.array([1, 1]), source="annotator", round=1)
    masks = masks.relabel(np.array([1, 2]), np.array([2, 2]), source="lcm", round=2, confidence=0.9)
    masks.save_state(tmp_path / "masks.parquet")
    masks = masks.with_state(tmp_path / "masks.parquet")
    assert masks.table["source"].tolist() == ["annotator", "overruled", "lcm"]
    assert masks.queried.tolist() == [True, True, False]
    masks = masks.relabel(np.array([1]), np.array([0]), source="lcm", round=3)
    assert masks.table["source"].tolist()[1] == "overruled"
    asked_again = masks.relabel(np.array([1]), np.array([1]), source="annotator", round=4)
    assert asked_again.table["source"].tolist()[1] == "annotator"


def test_threshold_schedule_holds_its_last_value() -> None:
    taus = LCMSettings().thresholds
    assert [LCMSettings().threshold(r) for r in range(1, 8)] == [*taus, taus[-1], taus[-1]]
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": np.array([[1, 2]])}, {"a": {1: 0, 2: 0}})
    one_below = float(np.nextafter(np.float32(1), np.float32(0)))  # 0.99999994 passes 0.9999999 ...
    two_below = float(np.nextafter(np.float32(one_below), np.float32(0)))  # ... and 0.9999999 - 2e-8 does not
    output = [[0, one_below, 0], [0, two_below, 0]]
    found = propose_corrections(Confident(output), np.zeros((2, 3)), masks, np.array([0, 1]), LCMSettings(), 5)
    assert found.accepted.tolist() == [True, False]


def test_lcm_learns_and_is_seeded() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    features = (np.eye(3)[(labels + 1) % 3] * 0.8 + rng.dirichlet(np.ones(3), 60) * 0.2).astype(np.float32)
    fast = LCMSettings(learning_rate=1e-3, epochs=30)
    before = torch.random.get_rng_state()
    first = train_lcm(features, labels, 3, fast, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (first(torch.from_numpy(features)).argmax(1).numpy() == labels).mean() > 0.95
    again, other = train_lcm(features, labels, 3, fast, seed=1), train_lcm(features, labels, 3, fast, seed=2)
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("loss", ["double_softmax", "nll"])
def test_first_step_follows_the_named_loss(loss: str) -> None:
    """One step of Adam on one batch against the loss written out by hand, class weights included."""
    features = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]], np.float32)
    labels = np.array([0, 1, 1])
    found = train_lcm(features, labels, 3, LCMSettings(loss=loss, epochs=1), seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LabelCorrectionModule(3)
        order = torch.randperm(3)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        output = model(torch.from_numpy(features)[order])
        y = torch.from_numpy(labels)[order]
        chosen = (output.softmax(1) if loss == "double_softmax" else output)[torch.arange(3), y].log()
        weight = torch.tensor([3 / 1, 3 / 2, 0.0])[y]
        (-(weight * chosen).sum() / weight.sum()).backward()
        optimizer.step()
    for a, b in zip(found.parameters(), model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="at least one answered mask"):
        train_lcm(np.zeros((0, 3)), np.zeros(0, dtype=int), 3, LCMSettings(), seed=0)


X, Y = np.full((4, 3), 0.5, np.float32), np.array([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("features", "labels", "seed", "error", "message"),
    [
        (X[:3], Y, 0, ValueError, r"features: expected \(4, C\), a row per label, found \(3, 3\)"),
        (X[0], Y[:3], 0, ValueError, r"features: expected \(3, C\), a row per label, found \(3,\)"),
        (np.where(np.eye(4, 3) > 0, np.nan, X), Y, 0, ValueError, "features: expected finite numbers, found NaN"),
        (X, Y.astype(float), 0, ValueError, r"labels: expected \(n,\) integers, found \(4,\) float64"),
        (X, Y[:, None], 0, ValueError, r"labels: expected \(n,\) integers, found \(4, 1\) int64"),
        (X, Y + 1, 0, ValueError, "labels: the LCM learns classes 0..2, found 3; leave void answers out"),
        (X, Y, "0", TypeError, "seed: expected a whole number, found '0'"),
    ],
)
def test_lessons_that_do_not_fit(features, labels, seed, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train_lcm(features, labels, 3, LCMSettings(epochs=1), seed=seed)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([9], "labels: the LCM learns classes 0..2, found 9"),
        ([-1], "found -1"),
        ([0.5], r"labels: expected \(n,\) integers"),
    ],
)
def test_a_ranking_of_other_classes_is_refused(labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tail_ranking(np.array(labels), 3)


@pytest.mark.parametrize(("masks", "width"), [(3, 3), (4, 2), (5, 3)])
def test_features_of_other_masks_or_width_are_refused(masks: int, width: int) -> None:
    objects = np.arange(1, 5).reshape(2, 2)
    every = MaskSet.from_maps(CLASSES, ["a"], {"a": objects}, {"a": dict.fromkeys(range(1, 5), 0)})
    lcm = train_lcm(X, Y, 3, LCMSettings(epochs=1), seed=0)
    assert len(propose_corrections(lcm, X, every, Y, LCMSettings(), 1).predicted) == 4
    expected = r"\(n, 3\)" if masks == 4 else r"\(4, C\), a row per mask"
    with pytest.raises(ValueError, match=rf"features: expected {expected}, found \({masks}, {width}\)"):
        propose_corrections(lcm, np.zeros((masks, width)), every, Y, LCMSettings(), 1)


def test_rounds_of_thresholds_are_counted_from_1() -> None:
    assert [LCMSettings(thresholds=(0.5, 0.9)).threshold(round) for round in (1, 2, 3)] == [0.5, 0.9, 0.9]
    with pytest.raises(ValueError, match="round: expected a whole number >= 1, found 0"):
        LCMSettings().threshold(0)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_what_is_no_confidence_has_no_interval(wrong: float) -> None:
    assert list(confidence_intervals(np.array([0.0, 0.5, 1.0]))) == ["0 to 0.5", "0.5 to 0.9", "0.99999 to 1"]
    with pytest.raises(ValueError, match=r"confidence: expected numbers in \[0, 1\], found"):
        confidence_intervals(np.array([0.5, wrong]))
