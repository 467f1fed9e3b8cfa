"""Rules of answering and oracle orders, against closed forms and pixel loops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import iou
from second_opinion import (
    ORDERS,
    absolute_majority,
    answered_score,
    class_plurality,
    data_miou_curve,
    every_pixel_right,
    innermost_pixels,
    keep_if_mostly_right,
    oracle_curves,
    oracle_order,
    random_pixel_answers,
    wrong_pixels_removed,
)
from test_masks import CLASSES, Truth

from a2lc.correction import Oracle
from a2lc.datasets import Classes, Split, load_dataset
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram

WITH_BACKGROUND = Classes(CLASSES.names, CLASSES.palette, background=0)
OBJECTS = {
    "a": np.array([[1, 1, 1, 2, 2], [1, 1, 3, 3, 0]], np.int32),
    "b": np.array([[4, 4, 4, 5, 0]], np.int32),
}
TRUTHS = {
    # mask 1: 2 2 255 255 255 (void), 2: 1 1, 3: 0 1 (tie, first in raster order 0)
    "a": np.array([[2, 2, 255, 1, 1], [255, 255, 0, 1, 2]], np.uint8),
    # mask 4: 0 1 2 (tie), 5: 255
    "b": np.array([[0, 1, 2, 255, 0]], np.uint8),
}
LABELS = {"a": {1: 2, 2: 0, 3: 1}, "b": {4: 1, 5: 2}}


def example(classes: Classes = WITH_BACKGROUND) -> tuple[MaskSet, TruthHistogram]:
    masks = MaskSet.from_maps(classes, ["a", "b"], OBJECTS, LABELS)
    return masks, truth_histogram(masks, Truth(TRUTHS))


# ------------------------------------------------------------------------------------------------- rules of answering
def test_each_rule_on_five_masks() -> None:
    masks, truth = example()
    assert truth.majority.tolist() == [255, 1, 0, 0, 255]
    assert class_plurality(masks, truth).tolist() == [2, 1, 0, 0, 2]  # all void: keeps its label
    assert absolute_majority(masks, truth).tolist() == [255, 1, 1, 1, 255]  # no majority: keeps its label
    assert keep_if_mostly_right(masks, truth, truth.majority).tolist() == [255, 1, 0, 0, 255]
    pixels = np.array([2, 1, 1, 2, 0], np.uint8)
    assert keep_if_mostly_right(masks, truth, pixels).tolist() == pixels.tolist()  # exactly half right is not enough
    right = masks.relabel(np.array([1]), np.array([1]), source="lcm", round=1)
    assert keep_if_mostly_right(right, truth, pixels * 0).tolist() == [0, 1, 0, 0, 0]
    void = masks.relabel(np.array([4]), np.array([255]), source="lcm", round=1)
    assert keep_if_mostly_right(void, truth, pixels * 0).tolist() == [0] * 5  # void never counts as right


def test_innermost_pixel_first_of_equals_and_the_image_edge_is_a_border() -> None:
    square = np.zeros((7, 8), np.int32)
    square[1:6, 2:7] = 9  # its centre lies at (3, 4)
    square[0, :2] = 300
    edge = np.full((3, 4), 1, np.int32)  # the middle row is deepest, columns 1 and 2 alike
    masks = MaskSet.from_maps(CLASSES, ["a", "b"], {"a": square, "b": edge}, {"a": {9: 0, 300: 1}, "b": {1: 2}})
    assert innermost_pixels(masks).tolist() == [3 * 8 + 4, 0, 1 * 4 + 1]


def test_innermost_pixel_of_a_ring_lies_on_the_ring() -> None:
    ring = np.ones((5, 5), np.int32)
    ring[1:4, 1:4] = 2
    ring[2, 2] = 0
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": ring}, {"a": {1: 0, 2: 0}})
    assert [ring.ravel()[i] for i in innermost_pixels(masks)] == [1, 2]


def test_random_pixels_are_seeded_and_follow_the_ground_truth() -> None:
    counts = np.tile(np.array([[1, 0, 2, 1]]), (8000, 1))
    truth = TruthHistogram(counts, np.full(8000, 2, np.uint8), np.zeros(4, np.int64))
    answers = random_pixel_answers(truth, 0)
    assert (answers == random_pixel_answers(truth, 0)).all()
    assert (answers != random_pixel_answers(truth, 1)).any()
    shares = [np.mean(answers == label) for label in (0, 1, 2, 255)]
    assert shares == pytest.approx([0.25, 0, 0.5, 0.25], abs=0.02)


# ---------------------------------------------------------------------------------------------------------- scores
def test_scores_in_closed_form() -> None:
    masks, truth = example()
    found = answered_score(masks, truth, truth.majority)
    # counted: mask 2 (1 1 as 1), mask 3 (0 1 as 0), mask 4 (0 1 2 as 0), uncovered (2 0 as 0): 5 of 9 right
    assert found["pixel_accuracy"] == pytest.approx(5 / 9)
    assert found["data_miou"] == pytest.approx((3 / 7 + 2 / 4 + 0 / 2) / 3)
    # the two pixels of class 2 in the void mask now count as missed
    assert found["accuracy_void_wrong"] == pytest.approx(5 / 11)
    assert found["miou_void_wrong"] == pytest.approx((3 / 7 + 2 / 4 + 0 / 4) / 3)
    counts = [found[key] for key in ("changed", "made_void", "void_pixels", "void_pixels_with_class")]
    assert counts == [5, 2, 6, 2]
    best = every_pixel_right(masks, truth)  # only the uncovered 2 is wrong
    assert best["data_miou"] == best["miou_void_wrong"] == pytest.approx((3 / 4 + 1 + 3 / 4) / 3)
    assert best["pixel_accuracy"] == pytest.approx(10 / 11)


def test_unlabelled_pixels_outside_masks_are_wrong_only_where_void_is() -> None:
    masks, truth = example(CLASSES)  # no background class: uncovered pixels are unlabelled
    best = every_pixel_right(masks, truth)
    assert best["data_miou"] == best["pixel_accuracy"] == 1
    assert best["accuracy_void_wrong"] == pytest.approx(9 / 11)
    assert answered_score(masks, truth, truth.majority)["pixel_accuracy"] == pytest.approx(4 / 7)


def test_everything_void_has_no_score() -> None:
    masks, truth = example(CLASSES)
    found = answered_score(masks, truth, np.full(5, 255))
    assert np.isnan(found["data_miou"]) and np.isnan(found["pixel_accuracy"])
    assert found["miou_void_wrong"] == found["accuracy_void_wrong"] == 0
    order = oracle_order(masks, truth, np.full(5, 255), "greedy")
    assert sorted(order) == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------------------------------------------------- orders
def test_orders_in_closed_form() -> None:
    masks, truth = example()
    # wrong before: mask 1 none (2 2), 2 both, 3 one (0), 4 two (0 2), 5 none; after: none, none, one, two, none
    assert wrong_pixels_removed(masks, truth, truth.majority).tolist() == [0, 2, 0, 0, 0]
    answers = np.array([2, 1, 0, 0, 0], np.uint8)  # masks 1 keeps its label
    assert oracle_order(masks, truth, answers, "pixels").tolist() == [1, 0, 2, 3, 4]
    gains = np.array([255, 1, 255, 2, 255], np.uint8)  # void: one wrong pixel of mask 3 goes away; mask 4 stays at two
    assert wrong_pixels_removed(masks, truth, gains).tolist() == [0, 2, 1, 0, 0]
    # ground truth: void 4 times, class 1 4 times: 2/4 against 1/4; labels: 0 on 2 pixels, 1 on 5: 2/2 against 1/5
    for by in ("pixels_per_truth", "pixels_per_label"):
        assert oracle_order(masks, truth, gains, by).tolist() == [1, 2, 0, 3, 4]
    random, wrong_first = (oracle_order(masks, truth, answers, by, seed=3) for by in ("random", "random_wrong"))
    assert sorted(random) == [0, 1, 2, 3, 4] and wrong_first[-1] == 0
    assert wrong_first[:-1].tolist() == [row for row in random if row != 0]
    assert any((oracle_order(masks, truth, answers, "random", seed) != random).any() for seed in range(5))


def test_frequencies_turn_the_order() -> None:
    """Two pixels gained on a frequent class or one on a rare one."""
    objects, given = np.array([[1, 1, 2, 3, 3, 3, 3, 3]], np.int32), np.array([[0, 0, 2, 0, 0, 0, 0, 0]], np.uint8)
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": objects}, {"a": {1: 1, 2: 1, 3: 0}})
    truth = truth_histogram(masks, Truth({"a": given}))
    orders = {by: oracle_order(masks, truth, truth.majority, by).tolist() for by in ORDERS}
    assert orders["pixels"] == orders["pixels_per_label"] == [0, 1, 2]
    assert orders["pixels_per_truth"] == orders["greedy"] == [1, 0, 2]


def test_curve_starts_at_the_labels_and_ends_at_the_ceiling() -> None:
    masks, truth = example()
    for by in ORDERS:
        curve = data_miou_curve(masks, truth, truth.majority, oracle_order(masks, truth, truth.majority, by), [0, 5])
        assert curve.tolist() == pytest.approx([truth.data_metrics(masks).miou, truth.ceiling(masks).miou])
    table = oracle_curves(masks, truth, truth.majority, np.array([0, 2, 5]), seeds=3)
    assert table.columns.tolist() == ["order", "clicks", "share", "data_miou", "std"]
    assert table["share"].tolist() == [0, 40, 100] * len(ORDERS)
    assert table["std"].isna().tolist() == [not by.startswith("random") for by in table["order"]]
    assert table.loc[table["clicks"] == 5, "data_miou"].tolist() == pytest.approx(
        [100 * truth.ceiling(masks).miou] * len(ORDERS)
    )


def test_what_does_not_fit_is_named() -> None:
    masks, truth = example()
    rows = np.arange(5)
    with pytest.raises(ValueError, match=r"answers: expected one per mask, \(5,\), found \(4,\)"):
        answered_score(masks, truth, truth.majority[:4])
    with pytest.raises(ValueError, match="by: expected one of greedy, .* found 'abc'"):
        oracle_order(masks, truth, truth.majority, "abc")
    for order in ([0, 0], [5], [-1]):
        with pytest.raises(ValueError, match=r"distinct row numbers in 0\.\.4"):
            data_miou_curve(masks, truth, truth.majority, np.array(order), np.array([0]))
    for clicks in ([6], [-1]):
        with pytest.raises(ValueError, match=r"clicks: expected 0\.\.5"):
            data_miou_curve(masks, truth, truth.majority, rows, np.array(clicks))


# ------------------------------------------------------------------------------------------------------ pixel loops
def slow_answers(objects: np.ndarray, truth: np.ndarray, label: int, mask_id: int) -> dict[str, int]:
    """What each rule says about one mask, pixel by pixel."""
    inside = truth[objects == mask_id].tolist()
    counts, known = Counter(inside), Counter(v for v in inside if v != 255)
    most = max(counts, key=lambda v: (counts[v], -inside.index(v)))
    classes = max(sorted(known), key=lambda v: known[v]) if known else label
    right = sum(v == label for v in inside if v != 255)
    return {
        "plurality": most,
        "classes": most if most != 255 else classes,
        "absolute": most if counts[most] > len(inside) / 2 else label,
        "kept": label if right > len(inside) / 2 else most,
        "gain": sum(v != label for v in inside if v != 255 and label != 255)
        - sum(v != most for v in inside if v != 255 and most != 255),
    }


def strict_miou(labels: np.ndarray, truth: np.ndarray) -> float:
    """Mean IoU where a pixel that has a class but no label is wrong."""
    pairs = [(a, b) for a, b in zip(labels.ravel(), truth.ravel(), strict=True) if b != 255]
    values = []
    for c in range(3):
        union = sum(a == c or b == c for a, b in pairs)
        values += [sum(a == c and b == c for a, b in pairs) / union] if union else []
    return float(np.mean(values)) if values else float("nan")


def slow_miou(masks: MaskSet, truths: dict[str, np.ndarray]) -> float:
    labels = np.stack([masks.label_map(name) for name in masks.names])
    values = np.array(iou(labels, np.stack(list(truths.values())), 3))
    return float(np.mean(values[~np.isnan(values)])) if not np.isnan(values).all() else float("nan")


@st.composite
def small_datasets(draw: st.DrawFn) -> tuple[MaskSet, dict[str, np.ndarray]]:
    """Two images of 4 by 5 pixels with up to four masks each."""
    objects, truths, labels = {}, {}, {}
    for name in ("a", "b"):
        objects[name] = draw(hnp.arrays(np.int32, (4, 5), elements=st.sampled_from([0, 1, 2, 7, 300])))
        truths[name] = draw(hnp.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255])))
        ids = [int(i) for i in np.unique(objects[name]) if i]
        labels[name] = {i: draw(st.sampled_from([0, 1, 2, 255])) for i in ids}
    classes = draw(st.sampled_from([CLASSES, WITH_BACKGROUND]))
    return MaskSet.from_maps(classes, ["a", "b"], objects, labels), truths


@settings(max_examples=100, deadline=None)
@given(small_datasets())
def test_rules_equal_pixel_loops(data: tuple[MaskSet, dict[str, np.ndarray]]) -> None:
    masks, truths = data
    truth = truth_histogram(masks, Truth(truths))
    wanted = [
        slow_answers(masks.object_map(name), truths[name], int(label), int(mask_id))
        for name, mask_id, label in masks.table[["image", "mask_id", "label"]].itertuples(index=False)
    ]
    found = {
        "plurality": truth.majority,
        "classes": class_plurality(masks, truth),
        "absolute": absolute_majority(masks, truth),
        "kept": keep_if_mostly_right(masks, truth, truth.majority),
        "gain": wrong_pixels_removed(masks, truth, truth.majority),
    }
    for rule, answers in found.items():
        assert answers.tolist() == [row[rule] for row in wanted], rule
    assert (found["kept"] == truth.majority).all()  # one label per mask: the released code's rule is plurality


@settings(max_examples=100, deadline=None)
@given(small_datasets(), st.integers(0, 10**6))
def test_pixel_rules_equal_the_oracle_and_the_loop(data: tuple[MaskSet, dict[str, np.ndarray]], seed: int) -> None:
    masks, truths = data
    truth, every, pixels = truth_histogram(masks, Truth(truths)), np.arange(len(masks)), innermost_pixels(masks)
    for row, (name, mask_id) in enumerate(masks.table[["image", "mask_id"]].itertuples(index=False)):
        objects = np.pad(masks.object_map(name), 1)  # beyond the edge lies no mask
        outside = np.argwhere(objects != mask_id)
        inside = np.argwhere(objects == mask_id)  # in raster order
        depth = [((outside - position) ** 2).sum(1).min() for position in inside]
        y, x = inside[int(np.argmax(depth))] - 1
        assert pixels[row] == y * 5 + x
    honest = Oracle(Truth(truths), truth, "pixel", keep_if_mostly_right=False).answer(every, masks, pixels)
    kept = Oracle(Truth(truths), truth, "pixel").answer(every, masks, pixels)
    assert keep_if_mostly_right(masks, truth, honest).tolist() == kept.tolist()
    drawn = random_pixel_answers(truth, seed)
    columns = np.where(drawn == 255, 3, drawn)
    assert (truth.counts[every, columns] > 0).all()


@settings(max_examples=100, deadline=None)
@given(small_datasets(), st.sampled_from(sorted(ORDERS)), st.integers(0, 10**6))
def test_curve_and_scores_equal_pixel_counting(data: tuple[MaskSet, dict[str, np.ndarray]], by: str, seed: int) -> None:
    masks, truths = data
    truth = truth_histogram(masks, Truth(truths))
    answers = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), len(masks))
    order = oracle_order(masks, truth, answers, by, seed)
    assert sorted(order) == list(range(len(masks)))
    curve = data_miou_curve(masks, truth, answers, order, np.arange(len(masks) + 1))
    for clicks, found in enumerate(curve):
        asked = order[:clicks]
        answered = masks.relabel(asked, answers[asked], source="annotator", round=1)
        assert found == pytest.approx(slow_miou(answered, truths), nan_ok=True)
    scores = answered_score(masks, truth, answers)
    labels = np.stack([answered.label_map(name) for name in masks.names])
    assert scores["data_miou"] == pytest.approx(curve[-1], nan_ok=True)
    assert scores["miou_void_wrong"] == pytest.approx(strict_miou(labels, np.stack(list(truths.values()))), nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(small_datasets())
def test_each_greedy_step_is_the_best_one(data: tuple[MaskSet, dict[str, np.ndarray]]) -> None:
    masks, truths = data
    truth = truth_histogram(masks, Truth(truths))
    order = oracle_order(masks, truth, truth.majority, "greedy")
    for step, row in enumerate(order):
        reached = []
        for chosen in (row, *order[step:]):
            asked = np.append(order[:step], chosen)
            answered = masks.relabel(asked, truth.majority[asked], source="annotator", round=1)
            reached.append(np.nan_to_num(slow_miou(answered, truths), nan=-1))  # nothing counted: the worst
        assert reached[0] >= max(reached) - 1e-12


# -------------------------------------------------------------------------------------------------------- real data
def read_real(data_root: Path, listed: str) -> tuple[MaskSet, Split]:
    voc = load_dataset("voc2012", data_root / "VOCdevkit", train_list=listed, labels_only=True)
    folder = data_root / "grounded_sam_voc"
    return MaskSet.from_folders(folder / "obj_jpg", folder / "mask_jpg", voc.classes, voc.train.names), voc.train


def test_real_grounded_sam_masks(data_root: Path) -> None:
    """752 images: the anchors, the ceiling, and what benchmarks/real_noise.py reports."""
    masks, split = read_real(data_root, "train_labels_only")
    truth = truth_histogram(masks, split)
    initial = answered_score(masks, truth, masks.table["label"].to_numpy())
    assert len(masks) == 5670
    assert initial["data_miou"] == initial["miou_void_wrong"] == pytest.approx(0.551675, abs=5e-7)
    rules = {  # percent, as in paper_figures/real_noise/annotator_rules.csv; then with void pixels counted as wrong
        "plurality": (truth.majority, 90.2120, 89.7671),
        "absolute majority": (absolute_majority(masks, truth), 90.1316, 89.8496),
        "plurality among classes": (class_plurality(masks, truth), 90.1300, 90.1300),
    }
    for name, (answers, *wanted) in rules.items():
        found = answered_score(masks, truth, answers)
        assert [100 * found[key] for key in ("data_miou", "miou_void_wrong")] == pytest.approx(wanted, abs=1e-4), name
    assert (keep_if_mostly_right(masks, truth, truth.majority) == truth.majority).all()
    assert every_pixel_right(masks, truth)["data_miou"] == pytest.approx(0.9401, abs=1e-4)
    order = oracle_order(masks, truth, truth.majority, "pixels")
    curve = data_miou_curve(masks, truth, truth.majority, order, np.array([0, 504, len(masks)]))
    assert curve.tolist() == pytest.approx([initial["data_miou"], 0.8288, truth.ceiling(masks).miou], abs=5e-5)


def test_innermost_pixels_of_real_masks(data_root: Path) -> None:
    """38 images: a pixel inside answers nearly as well as the whole mask."""
    masks, split = read_real(data_root, "train38")
    truth, pixels = truth_histogram(masks, split), innermost_pixels(masks)
    inner = Oracle(split, truth, "pixel", keep_if_mostly_right=False).answer(np.arange(len(masks)), masks, pixels)
    found = [answered_score(masks, truth, answers)["data_miou"] for answers in (truth.majority, inner)]
    assert 100 * np.array(found) == pytest.approx([90.5317, 90.3991], abs=1e-4)
