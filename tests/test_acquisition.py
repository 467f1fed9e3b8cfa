"""Acquisition functions, statistics and class weights against the slow versions of tests/oracles.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Mask, adaptive_class_weights, all_scores, bilinear, cosine, mask_score

from a2lc.acquisition import (
    ACQUISITION_FUNCTIONS,
    ScoringSettings,
    acquisition_function,
    class_weights,
    compiled,
    explain_mask,
    gather_statistics,
    get_acquisition_function,
    mask_statistics,
    predict_squashed,
    score_masks,
)
from a2lc.acquisition.one_pass import statistics_of_masks
from a2lc.acquisition.pixels import Pixels
from a2lc.acquisition.sums import segment_sums, sums_of
from a2lc.datasets import Classes, load_dataset
from a2lc.masks import MaskSet

NAMES = ["random", "entropy", "margin", "cil", "lcil", "aiou", "bvsb", "clsbal", "merspx", "sim", "abc"]


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Softmax maps with ties, one-pixel masks, ids beyond 255, void labels, uncovered pixels, absent classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, height, width = draw(st.integers(2, 21)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    logits = rng.normal(size=(k, height, width)) * draw(st.sampled_from([0.0, 0.3, 3.0, 30.0]))
    if draw(st.booleans()):
        logits = np.round(logits)  # ties
    probs = np.exp(logits - logits.max(0))
    probs = (probs / probs.sum(0)).astype(np.float32)
    ids = rng.choice([0, 1, 2, 3, 255, 256, 300, 70000], size=draw(st.integers(1, 6)), replace=False)
    object_map = ids[rng.integers(0, len(ids), (height, width))].astype(np.int32)
    labels = {int(i): int(rng.choice([*range(k), 255])) for i in ids}
    label_map = np.vectorize(labels.get)(object_map).astype(np.uint8)
    return probs, object_map, label_map, rng.random(k)


def test_exactly_the_eleven_functions_of_table_4() -> None:
    assert sorted(ACQUISITION_FUNCTIONS) == sorted(NAMES)


@settings(max_examples=60, deadline=None)
@given(images(), st.sampled_from([name for name in NAMES if name != "random"]), st.booleans())
def test_equals_the_slow_version(image: tuple[np.ndarray, ...], name: str, loops: bool) -> None:
    """With compiled loops and, where numba is missing, with tensors."""
    probs, object_map, label_map, weights = image
    wanted = all_scores(name, probs, object_map, label_map, weights)
    with patch.object(compiled, "available", loops and compiled.available):
        found = score_masks(torch.from_numpy(probs), object_map, label_map, name, weights)
    assert found.keys() == wanted.keys()
    for mask_id, value in wanted.items():
        assert found[mask_id] == pytest.approx(value, rel=1e-4, abs=2e-6)


@settings(max_examples=60, deadline=None)
@given(images(), st.sampled_from([("lcil", "lcil_softmin"), ("merspx", "merspx_quarter")]))
def test_alternatives_equal_the_slow_versions(image: tuple[np.ndarray, ...], names: tuple[str, str]) -> None:
    probs, object_map, label_map, weights = image
    wanted = all_scores(names[1], probs, object_map, label_map, weights)
    scoring = ScoringSettings(lcil_pooling="softmin", merspx_shares="quarter")
    found = score_masks(torch.from_numpy(probs), object_map, label_map, names[0], weights, scoring=scoring)
    assert found == {mask_id: pytest.approx(value, rel=1e-4, abs=2e-6) for mask_id, value in wanted.items()}


def test_softmin_asks_the_worst_pixels_and_agrees_with_the_mean_where_all_are_alike() -> None:
    """Nine pixels sure of the label and one sure of another: the mean is 0.1, the softmin 1 / (1 + 9 exp(-10))."""
    objects, labels, softmin = (
        np.ones((1, 10), int),
        np.zeros((1, 10), np.uint8),
        ScoringSettings(lcil_pooling="softmin"),
    )
    alike = score_masks(
        torch.tensor([0.7, 0.3])[:, None, None].expand(2, 1, 10), objects, labels, "lcil", scoring=softmin
    )
    assert alike[1] == pytest.approx(0.3, rel=1e-5)
    sure = torch.tensor([1.0] * 9 + [0.0])
    probs = torch.stack([sure, 1 - sure])[:, None]  # (2, 1, 10)
    assert score_masks(probs, objects, labels, "lcil")[1] == pytest.approx(0.1)
    worst = score_masks(probs, objects, labels, "lcil", scoring=softmin)[1]
    assert worst == pytest.approx(1 / (1 + 9 * np.exp(-10)), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(images(), st.sampled_from([name for name in NAMES if name != "random"]))
def test_masks_that_labels_cross_equal_the_slow_version(image: tuple[np.ndarray, ...], name: str) -> None:
    """Each pixel has a label of its own, and counts with it."""
    probs, object_map, label_map, weights = image
    label_map = np.random.default_rng(len(label_map)).permuted(label_map)
    wanted = all_scores(name, probs, object_map, label_map, weights)
    found = score_masks(torch.from_numpy(probs), object_map, label_map, name, weights)
    assert found == {mask_id: pytest.approx(value, rel=1e-4, abs=2e-6) for mask_id, value in wanted.items()}


def test_as_many_parts_as_masks_and_one_are_no_proof_that_each_mask_is_one() -> None:
    """Of three masks that cover all, one carries two labels: four parts, of which the last is a mask's."""
    object_map, label_map = np.array([[1, 2, 3, 1, 1]]), np.array([[0, 0, 1, 1, 0]], np.uint8)
    probs, weights = np.array([0.7, 0.3], np.float32)[:, None, None] * np.ones((2, 1, 5), np.float32), np.ones(2)
    for name in set(NAMES) - {"random"}:
        wanted = all_scores(name, probs, object_map, label_map, weights)
        assert score_masks(torch.from_numpy(probs), object_map, label_map, name, weights) == pytest.approx(wanted)


@settings(max_examples=20, deadline=None)
@given(images(), st.integers(1, 300))
def test_compiled_loops_and_tensors_agree_in_all_statistics(image: tuple[np.ndarray, ...], block: int) -> None:
    """What the loops say of probabilities is the same bit by bit, but for the length of a pixel's vector."""
    probs, object_map, label_map, weights = image
    index = np.unique(object_map, return_inverse=True)[1].reshape(object_map.shape).astype(np.int32)
    found = {}
    with patch("a2lc.acquisition.pixels.CPU_BLOCK", block):
        for loops in {False, compiled.available}:
            with patch.object(compiled, "available", loops):
                found[loops] = vars(mask_statistics(torch.from_numpy(probs), index, label_map, weights, EVERYTHING))
    for name, column in found[False].items():
        of_lengths = 1e-6 if name in ("sim", "abc", "sim_pixel") else 0
        np.testing.assert_allclose(found[compiled.available][name], column, of_lengths, of_lengths, err_msg=name)


EVERYTHING = {"uncertainty", "representative", "components", "softmin"}


@settings(max_examples=40, deadline=None)
@given(images())
def test_a_label_per_mask_says_what_its_map_says(image: tuple[np.ndarray, ...]) -> None:
    probs, object_map, label_map, weights = image
    ids, index = np.unique(object_map, return_inverse=True)
    first = int(ids[0] == 0)
    index = (index.reshape(object_map.shape) - first).astype(np.int32)
    labels = [label_map[index == position][0] for position in range(len(ids) - first)]
    labels.append(label_map[index < 0][0] if first else 0)
    found = statistics_of_masks(torch.from_numpy(probs), index, np.array(labels), weights, EVERYTHING)
    wanted = mask_statistics(torch.from_numpy(probs), index, label_map, weights, EVERYTHING)
    for name, column in vars(wanted).items():
        np.testing.assert_array_equal(getattr(found, name), column, err_msg=name)


@pytest.mark.parametrize("k", [150, 1000])
def test_many_classes_equal_the_slow_version_and_keep_few_sums(k: int) -> None:
    """ADE20K's number of classes, and more than a byte tells apart; one mask is void. What is kept is a row per class
    that occurs in a mask, not K."""
    rng = np.random.default_rng(k)
    probs = rng.dirichlet(np.full(k, 0.01), size=(6, 8)).transpose(2, 0, 1).astype(np.float32)
    index = np.kron(np.arange(4).reshape(2, 2), np.ones((3, 4), int)).astype(np.int32) - 1
    labels = np.array([k - 1, int(probs[:, 4, 1].argmax()), k, 0])  # k is void; the last of what no mask covers
    pixels, weights = Pixels.of_masks(torch.from_numpy(probs), index, labels), rng.random(k)
    by_predicted, by_given = segment_sums(pixels, uncertainty=True)
    assert len(by_given.values) <= len(by_predicted.values) <= 3 * 12
    mean, cil, weighted = by_predicted.by_mask(3) / 12, by_given.by_mask(3), by_given.by_mask(3, weights)
    for position in range(3):
        mask = Mask(probs, index + 1, np.where(labels == k, 255, labels)[index], position + 1)
        assert pixels.most_predicted[position] == mask.dominant
        mu = by_predicted.of(pixels.most_predicted)[position, :k] / len(mask.inner)
        assert mu == pytest.approx(mask.mu, rel=1e-4, abs=1e-7)
        assert mean[position, k:] == pytest.approx(
            [mask_score(n, mask, weights) for n in ("entropy", "margin", "bvsb")], rel=1e-4
        )
        assert cil[position, k] == pytest.approx(12 * mask_score("lcil", mask, weights), rel=1e-4)
        direction = mu / np.linalg.norm(mu)
        assert cil[position, :k] @ direction == pytest.approx(mask_score("sim", mask, weights), rel=1e-4)
        assert weighted[position, :k] @ direction == pytest.approx(mask_score("abc", mask, weights), rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(images())
def test_representative_pixel(image: tuple[np.ndarray, ...]) -> None:
    """The pixel found is as similar to mu as any, agrees with D(m), and SIM and CIL refer to it."""
    probs, object_map, label_map, _ = image
    ids = [i for i in np.unique(object_map) if i != 0]
    index = np.full(object_map.shape, -1, dtype=np.int64)
    for position, mask_id in enumerate(ids):
        index[object_map == mask_id] = position
    statistics = mask_statistics(torch.from_numpy(probs), index, label_map, needs={"representative", "uncertainty"})
    for row, mask_id in enumerate(ids):
        mask = Mask(probs, object_map, label_map, mask_id)
        found = mask.positions.index(divmod(int(statistics.representative[row]), object_map.shape[1]))
        assert mask.predicted[found] == mask.dominant
        best = mask.representative()
        assert cosine(mask.p[found], mask.mu) == pytest.approx(cosine(mask.p[best], mask.mu), abs=1e-6)
        assert statistics.cil_pixel[row] == pytest.approx(mask.cil_of(found), abs=1e-6)
        cil = get_acquisition_function("cil").score(statistics.with_representative_similarity(), None)
        assert cil[row] == statistics.cil_pixel[row]
        sim = sum(cosine(p, mask.p[found]) * mask.cil_of(i) for i, p in enumerate(mask.p))
        assert statistics.sim_pixel[row] == pytest.approx(sim, rel=1e-4, abs=2e-6)
        assert statistics.feature[row] == pytest.approx(np.mean(mask.p, axis=0), rel=1e-4, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(images())
def test_explanation_adds_up_to_the_score(image: tuple[np.ndarray, ...]) -> None:
    probs, object_map, label_map, weights = image
    scores = score_masks(torch.from_numpy(probs), object_map, label_map, "abc", weights)
    for mask_id, score in scores.items():
        why = explain_mask(probs, object_map, label_map, mask_id, weights)
        assert why.row["score"] == pytest.approx(score, rel=1e-4, abs=2e-6)
        assert np.nansum(why.contribution) == pytest.approx(why.row["score"], abs=1e-9)
        assert (np.isnan(why.contribution) == (object_map != mask_id)).all()
        assert why.row["area"] == (object_map == mask_id).sum() and 0 <= why.row["similarity"] <= 1 + 1e-9
    with pytest.raises(ValueError, match="mask_id: expected an id > 0 of the object map, found 12345"):
        explain_mask(probs, object_map, label_map, 12345)
    with pytest.raises(
        ValueError, match=r"expected probs \(K, H, W\), object map \(H, W\) and label map \(H, W\), found"
    ):
        explain_mask(probs, object_map, label_map[:, 1:], 12345)
    with pytest.raises(ValueError, match=r"probs: expected probabilities in \[0, 1\], found"):
        explain_mask(probs - 1.5, object_map, label_map, next(iter(scores), 1))


def test_entropy_of_even_odds_is_one() -> None:
    scores = score_masks(torch.full((2, 3, 3), 0.5), np.ones((3, 3), int), np.zeros((3, 3), np.uint8), "entropy")
    assert scores == {1: pytest.approx(1.0)}


def test_nothing_is_second_best_to_certainty() -> None:
    probs = torch.zeros(2, 3, 3).index_fill_(0, torch.tensor(0), 1.0)
    assert score_masks(probs, np.ones((3, 3), int), np.zeros((3, 3), np.uint8), "bvsb") == {1: 0.0}


def test_large_masks_add_up_exactly() -> None:
    """More pixels than a block: sums over the mask agree with double precision."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(5), size=(300, 400)).transpose(2, 0, 1).astype(np.float32)
    label_map = np.full((300, 400), 3, np.uint8)
    found = score_masks(torch.from_numpy(probs), np.ones((300, 400), int), label_map, "lcil")[1]
    assert found == pytest.approx(float((1 - probs[3].astype(float)).mean()), rel=1e-5)


def test_doubling_pixels_doubles_sums_and_keeps_means() -> None:
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(4), size=(2, 5)).transpose(2, 0, 1).astype(np.float32)
    labels, objects = np.ones((2, 5), np.uint8), np.full((2, 5), 7)
    probs2, objects2, labels2 = (np.concatenate([a, a], axis=-1) for a in (probs, objects, labels))
    for name, factor in {"sim": 2, "abc": 2, "lcil": 1, "entropy": 1, "bvsb": 1, "cil": 1}.items():
        once = score_masks(torch.from_numpy(probs), objects, labels, name)[7]
        twice = score_masks(torch.from_numpy(probs2), objects2, labels2, name)[7]
        assert twice == pytest.approx(factor * once, rel=1e-5)


def test_random_is_seeded() -> None:
    arguments = (torch.full((2, 4, 4), 0.5), np.arange(16).reshape(4, 4), np.zeros((4, 4), np.uint8), "random")
    assert score_masks(*arguments, seed=1) == score_masks(*arguments, seed=1) != score_masks(*arguments, seed=2)


def mask_set(areas_by_class: list[int]) -> MaskSet:
    """One mask per class, `areas_by_class` pixels each, in one image of one row."""
    classes = Classes(tuple(f"c{i}" for i in range(len(areas_by_class))), np.zeros((len(areas_by_class), 3), np.uint8))
    objects = np.repeat(np.arange(1, len(areas_by_class) + 1), areas_by_class)[None].astype(np.int32)
    labels = {i + 1: i for i in range(len(areas_by_class)) if areas_by_class[i]}
    return MaskSet.from_maps(classes, ["a"], {"a": objects}, {"a": labels})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=2, max_size=12).filter(any), st.sampled_from(["present", "all"]))
def test_class_weights_equal_the_slow_version(areas: list[int], uniform_over: str) -> None:
    found = class_weights(mask_set(areas), uniform_over=uniform_over)
    wanted, kl = adaptive_class_weights(areas, uniform_over)
    assert found.weights == pytest.approx(wanted)
    assert found.kl == pytest.approx(kl, abs=1e-9)
    assert found.pixel_counts.tolist() == areas


def test_equal_classes_make_abc_equal_sim() -> None:
    assert class_weights(mask_set([30, 30, 30])).weights.tolist() == [1, 1, 1]


def test_absent_classes_count_as_imbalance_when_all_classes_are_compared() -> None:
    """Half of the classes are absent: KL is log 2, and the weights of those present stay above 0."""
    found = class_weights(mask_set([30, 30, 0, 0]), uniform_over="all")
    assert found.kl == pytest.approx(np.log(2)) and found.weights.tolist() == [1, 1, 0, 0]
    assert class_weights(mask_set([30, 30, 0, 0])).kl == 0


def test_queried_masks_and_void_do_not_count() -> None:
    masks = mask_set([10, 20, 70])
    answered = masks.relabel(np.array([2]), np.array([255]), source="annotator", round=1)
    assert class_weights(answered).pixel_counts.tolist() == [10, 20, 0]
    assert class_weights(masks, exclude=np.array([True, False, False])).pixel_counts.tolist() == [0, 20, 70]
    assert class_weights(masks, exclude=np.array([True] * 3)).weights.tolist() == [0, 0, 0]


class Pointwise:
    """A stand-in for a model: class probabilities from each pixel's colour and place; remembers what it was shown."""

    num_classes = 3

    def predict(self, image: np.ndarray) -> torch.Tensor:
        self.seen = image
        ramp = np.linspace(0, 3, image.shape[0] * image.shape[1]).reshape(image.shape[:2])
        return torch.from_numpy((image / 40.0 + np.sin(ramp)[..., None]).transpose(2, 0, 1)).float().softmax(0)


def test_squashed_prediction_equals_the_slow_version() -> None:
    """Wide image: what the model sees, and every probability interpolated one by one."""
    image, model = np.random.default_rng(0).integers(0, 256, (9, 40, 3), dtype=np.uint8), Pointwise()
    image[:, 20:] = (250, 0, 0)
    found = predict_squashed(model, image)
    inner, outer = model.seen[192:576, 192:576], model.seen.copy()
    outer[192:576, 192:576] = 0
    assert model.seen.shape == (768, 768, 3) and not outer.any()
    assert (inner[:, 200:] == (250, 0, 0)).all()  # half of 40 columns is half of 384
    inside = model.predict(model.seen)[:, 192:576, 192:576].numpy()
    wanted = np.stack([bilinear(channel, 9, 40) for channel in inside])
    assert found.shape == (3, 9, 40) and found.dtype == torch.float32
    assert found.numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_squashed_scores_keep_the_features_of_the_image_itself() -> None:
    masks, model = mask_set([12, 20, 8]), Pointwise()
    image = np.random.default_rng(1).integers(0, 256, (1, 40, 3), dtype=np.uint8)
    split = SimpleNamespace(image=lambda name: image)
    native, _ = gather_statistics(model, split, masks, np.ones(3), progress=False)
    squashed, _ = gather_statistics(
        model, split, masks, np.ones(3), ref_squash=True, needs={"representative", "uncertainty"}, progress=False
    )
    index, labels = masks.index_map("a"), masks.label_map("a")
    wanted = mask_statistics(
        predict_squashed(model, image), index, labels, np.ones(3), needs={"representative", "uncertainty"}
    )
    assert (squashed.feature == native.feature).all() and (squashed.feature != wanted.feature).any()
    for name in ("sim", "abc", "cil", "lcil", "entropy", "dominant", "representative", "sim_pixel"):
        assert (getattr(squashed, name) == getattr(wanted, name)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": "abcd"}, "did you mean 'abc'"),
        ({"label_map": np.full((3, 3), 9, np.uint8)}, "labels must lie in 0..1 or be 255, found 9"),
        ({"object_map": np.ones((2, 3), int)}, "expected probs"),
        ({"object_map": np.full((3, 3), -1)}, "object_map: expected ids >= 0, found -1"),
        ({"class_weights": np.ones(3)}, r"class_weights: expected \(2,\), a weight per class, found \(3,\)"),
        ({"object_map": np.ones((3, 3))}, "object_map: expected integers, found float64"),
        ({"probs": torch.full((2, 3, 3), 1.5)}, r"probs: expected probabilities in \[0, 1\], found 1.5..1.5"),
        ({"probs": torch.full((2, 3, 3), -0.5)}, r"probs: expected probabilities in \[0, 1\], found -0.5"),
        ({"probs": torch.full((2, 3, 3), torch.nan)}, r"probs: expected probabilities in \[0, 1\], found nan"),
    ],
)
def test_bad_input_is_named(change: dict, message: str) -> None:
    arguments = {
        "probs": torch.full((2, 3, 3), 0.5),
        "object_map": np.ones((3, 3), int),
        "label_map": np.zeros((3, 3), np.uint8),
    }
    with pytest.raises(ValueError, match=message):
        score_masks(**(arguments | change))


def test_real_grounded_sam_masks_give_the_known_weights(data_root: Path) -> None:
    """957 of the 1,464 images; on all of them KL = 0.3127 with 20 classes present."""
    classes = load_dataset("voc2012", data_root / "VOCdevkit").classes
    masks = MaskSet.from_folders(
        data_root / "grounded_sam_voc/obj_jpg", data_root / "grounded_sam_voc/mask_jpg", classes=classes
    )
    found = class_weights(masks)
    assert (found.pixel_counts > 0).sum() == 20 and found.pixel_counts[0] == 0  # background is never detected
    assert 0.2 < found.kl < 0.45
    assert found.weights[found.pixel_counts > 0].min() > 0.85 and found.weights.max() == 1


def test_sums_of_equal_keys_are_those_of_index_add() -> None:
    """The sparse product on the CPU against what other devices do."""
    generator = torch.Generator().manual_seed(0)
    key = torch.randint(7, (500,), generator=generator)
    weight, values = torch.rand(500, generator=generator), torch.rand(500, 3, generator=generator)
    wanted = torch.zeros(9, 3).index_add_(0, key, values * weight[:, None])
    assert torch.allclose(sums_of(key, weight, values, 9), wanted, rtol=1e-5)


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = dict(ACQUISITION_FUNCTIONS)
    yield
    for name in ACQUISITION_FUNCTIONS.keys() - before.keys():
        del ACQUISITION_FUNCTIONS[name]


IMAGE = (torch.full((3, 2, 2), 1 / 3), np.array([[1, 1], [2, 0]]), np.array([[0, 0], [1, 255]], np.uint8))


@pytest.mark.parametrize(
    ("needs", "error", "message"),
    [
        (
            {"uncertanty"},
            ValueError,
            "needs: expected some of uncertainty, .*found 'uncertanty'; did you mean 'uncertainty'",
        ),
        ("uncertainty", TypeError, "needs: expected a set of names, found the text 'uncertainty'"),
    ],
)
def test_needs_that_do_not_exist_are_refused(needs: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        acquisition_function("mine", needs=needs)


def test_a_name_is_registered_once(registry: None) -> None:
    first, second = acquisition_function("mine"), acquisition_function("mine")
    first(lambda statistics, rng: statistics.abc)
    with pytest.raises(ValueError, match="acquisition function 'mine': this name is taken"):
        second(lambda statistics, rng: statistics.sim)
    assert score_masks(*IMAGE, "mine") == score_masks(*IMAGE, "abc")
    with pytest.raises(ValueError, match="acquisition function 'pixbal': this name is taken"):
        acquisition_function("pixbal")


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda statistics, rng: statistics.entropy, "expected numbers, found NaN for 2 of 2 masks; `needs` must name"),
        (
            lambda statistics, rng: statistics.abc[:1],
            r"expected \(2,\) numbers, a score per mask, found \(1,\) float64",
        ),
        (lambda statistics, rng: 1.0, r"expected \(2,\) numbers, a score per mask, found \(\) float64"),
        (lambda statistics, rng: ["a", "b"], r"expected \(2,\) numbers, a score per mask, found \(2,\) <U1"),
    ],
)
def test_wrong_scores_name_their_function(score, message: str, registry: None) -> None:
    acquisition_function("mine")(score)
    with pytest.raises(ValueError, match=f"acquisition function 'mine': {message}"):
        score_masks(*IMAGE, "mine")


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"class_weights": np.array([1, np.nan, 1])}, None, "class_weights: expected finite weights >= 0, found .*nan"),
        ({"class_weights": np.array([1, -0.5, 1])}, None, "class_weights: expected finite weights >= 0, found .*-0.5"),
        ({"ignore_index": 2}, None, "ignore_index: expected 3..255, found 2"),
        ({"ignore_index": 256}, None, "ignore_index: expected 3..255, found 256"),
        ({}, np.array([[0.0, 0.0], [1.5, 255.0]]), "label_map: expected integers, found float64"),
        ({}, np.array([[0, 0], [7, 255]]), "labels must lie in 0..2 or be 255, found 7"),
    ],
)
def test_what_a_score_is_made_from_is_looked_at(options: dict, labels: np.ndarray | None, message: str) -> None:
    probs, objects, label_map = IMAGE
    for function in (lambda *a, **o: score_masks(*a, **o), lambda *a, **o: explain_mask(*a, 1, **o)):
        with pytest.raises(ValueError, match=message):
            function(probs, objects, label_map if labels is None else labels, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"needs": ("uncertanty",)}, "needs: expected some of .*, found 'uncertanty'; did you mean 'uncertainty'"),
        ({"index_map": np.zeros((3, 3))}, "index_map: expected integers, found float64"),
        ({"index_map": np.full((3, 3), 2)}, "index_map: expected positions 0..2, found 0 nowhere"),
    ],
)
def test_statistics_of_bad_input_are_refused(change: dict, message: str) -> None:
    arguments = {
        "probs": torch.full((2, 3, 3), 0.5),
        "index_map": np.zeros((3, 3), int),
        "label_map": np.zeros((3, 3), np.uint8),
    }
    assert len(mask_statistics(**arguments)) == 1
    with pytest.raises(ValueError, match=message):
        mask_statistics(**(arguments | change))


def test_a_mask_to_explain_is_a_number() -> None:
    with pytest.raises(TypeError, match="mask_id: expected a whole number, found '1'"):
        explain_mask(*IMAGE, mask_id="1")


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([True, False], r"exclude: expected \(3,\) bool or \(n,\) row numbers, found \(2,\) bool"),
        ([0.0, 1.0], r"exclude: expected \(3,\) bool or \(n,\) row numbers, found \(2,\) float64"),
        ([0, 3], "exclude: expected row numbers in 0..2, found 0..3"),
        ([-1], "exclude: expected row numbers in 0..2, found -1..-1"),
    ],
)
def test_masks_to_leave_out_that_are_not_there(exclude: list, message: str) -> None:
    masks = mask_set([10, 20, 70])
    assert class_weights(masks, exclude=np.array([])).pixel_counts.tolist() == [10, 20, 70]
    with pytest.raises(ValueError, match=message):
        class_weights(masks, exclude=np.array(exclude))


def test_a_misspelt_choice_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="uniform_over: expected present or all, found 'al'; did you mean 'all'"):
        class_weights(mask_set([1, 2]), uniform_over="al")
