"""The superpixel baselines of Table 2 against the slow versions of tests/oracles_baselines.py, and whole small runs."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Mask, balanced_scores, iou
from oracles_baselines import dominant, localised, losses, named_inside, pixbal_scores, queries_paid
from oracles_superpixels import merged_map, sieved
from scripted import ByColour
from small_runs import contents, network, seeded
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment
from a2lc.acquisition import mask_statistics
from a2lc.baselines import multiclass
from a2lc.baselines import rounds as module
from a2lc.baselines.regions import SuperpixelStatistics, merged_regions, superpixel_statistics
from a2lc.cli import app
from a2lc.correction import Oracle
from a2lc.datasets import Classes, Dataset, Split, load_dataset
from a2lc.files import read_label_png
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.paper.tables import beside_paper, rounds_table
from a2lc.runs import STAGES, RoundFolder, Run, find_runs
from a2lc.segmenter import build_segmenter
from a2lc.stages.context import Context, SegmenterFactory, evaluate, model_miou, round_seeds

pytest.importorskip("cv2")
BASELINES = ("spx", "merspx", "mulspx")


# ---------------------------------------------------------------------------------------------------- MulSpx: queries
@st.composite
def partitions(draw: st.DrawFn, most: int = 14) -> tuple[np.ndarray, np.random.Generator]:
    """An index map of rough blocks in which 0..n-1 occur, and a generator for the rest."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width, side = draw(st.integers(1, most)), draw(st.integers(1, most)), draw(st.integers(1, 9))
    ys, xs = np.mgrid[:height, :width] + rng.integers(0, 2, (2, height, width))
    return np.unique(ys // side * 99 + xs // side, return_inverse=True)[1].reshape(height, width), rng


@settings(max_examples=60, deadline=None)
@given(partitions(), st.integers(1, 6))
def test_classes_named_equal_the_slow_version(drawn: tuple[np.ndarray, np.random.Generator], k: int) -> None:
    index, rng = drawn
    truth = np.repeat(np.repeat(rng.choice([*range(k), 255], (5, 5)), 3, 0), 3, 1)[: len(index), : index.shape[1]]
    found = multiclass.classes_inside(index, truth.astype(np.uint8), k)
    assert found.dtype == bool and found.shape == (index.max() + 1, k + 1)
    assert [set(np.flatnonzero(row)) for row in found] == named_inside(index, truth, k)


@given(st.lists(st.integers(1, 5), max_size=12), st.integers(1, 30))
def test_the_query_that_exceeds_the_budget_is_the_last(costs: list[int], budget: int) -> None:
    assert multiclass.within_budget(np.array(costs, int), budget) == queries_paid(costs, budget)


# ----------------------------------------------------------------------------------------------------- MulSpx: losses
@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, targets and the classes named: superpixels cut into several images, images that come twice, superpixels
    outside the crop, images or whole batches without any."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, c, h, w = (draw(st.integers(1, most)) for most in (3, 5, 4, 5))
    rows, c = draw(st.integers(1, 5)), c + 1
    logits = rng.normal(size=(n, c, h, w)) * draw(st.sampled_from([0.0, 1.0, 10.0]))
    targets = rng.choice([255, *range(256, 256 + rows)], (n, h, w))
    targets[rng.random(n) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = 255
    if draw(st.booleans()):
        targets[-1] = targets[0]  # the same crop of the same image, augmented in another way
    named = rng.random((rows, c)) < draw(st.sampled_from([0.0, 0.4, 1.0]))
    named[np.arange(rows), rng.integers(0, c, rows)] = True
    return logits.astype(np.float32), targets, named


def sets(named: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in named]


@settings(max_examples=120, deadline=None)
@given(batches())
def test_losses_equal_the_slow_version(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    logits, targets, named = batch
    tensor = torch.from_numpy(logits).requires_grad_()
    parts = multiclass.loss_parts(tensor, torch.from_numpy(targets.astype(np.int32)), torch.from_numpy(named))
    wanted = losses(logits, targets, sets(named))
    assert [part.item() for part in parts] == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    loss = multiclass.multiclass_loss(named)(tensor, torch.from_numpy(targets.astype(np.int32)))
    assert loss.item() == pytest.approx(16 * wanted[0] + 8 * wanted[1] + wanted[2], rel=1e-4, abs=1e-4)
    loss.backward()
    assert tensor.grad is not None and tensor.grad.isfinite().all()
    assert (tensor.grad[torch.from_numpy(targets == 255)[:, None].expand_as(tensor)] == 0).all()


def test_one_class_each_leaves_plain_cross_entropy_at_temperature_a_tenth() -> None:
    """Anchor 9 of methods.md: only the denominator is one larger; clicks are as many as superpixels."""
    torch.manual_seed(0)
    cosine, targets = torch.rand(2, 4, 5, 6) - 0.5, torch.randint(256, 263, (2, 5, 6))  # p far above epsilon
    classes = torch.tensor([0, 3, 1, 1, 2, 0, 3])
    ce, merged, prototypical = multiclass.loss_parts(cosine / 0.1, targets, F.one_hot(classes, 4).bool())
    plain = F.cross_entropy(cosine / 0.1, classes[targets - 256], reduction="sum")
    assert merged == prototypical == 0 and ce.item() == pytest.approx(plain.item() / 61, rel=1e-5)
    truth = np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(8, 0)
    assert multiclass.classes_inside(truth.astype(np.int64), truth, 4).sum() == 4


def test_nothing_selected_or_nothing_named_likely() -> None:
    logits = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = multiclass.multiclass_loss(np.eye(3, dtype=bool))(logits, torch.full((2, 4, 4), 255, dtype=torch.int32))
    loss.backward()
    assert loss == 0 and logits.grad is not None and not logits.grad.any()
    sure = torch.tensor([100.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
    loss = multiclass.multiclass_loss(np.array([[False, True, True]]))(sure, torch.full((1, 2, 2), 256))
    loss.backward()
    assert loss.item() == pytest.approx(-8 * math.log(1e-8) * 4 / 5 - math.log(1e-8) * 2 / 3, rel=1e-4)
    assert sure.grad is not None and sure.grad.isfinite().all()


def test_larger_targets_are_read_at_the_centres_of_the_cells() -> None:
    rng = np.random.default_rng(0)
    named = rng.random((300, 4)) < 0.4
    named[:, 0] |= ~named.any(1)
    logits, targets = rng.normal(size=(2, 4, 3, 5)).astype(np.float32), rng.integers(255, 556, (2, 12, 11))
    rows, columns = [2, 6, 10], [int((j + 0.5) * 11 / 5) for j in range(5)]
    wanted = losses(logits, targets[:, rows][:, :, columns], sets(named))
    found = multiclass.multiclass_loss(named)(torch.from_numpy(logits), torch.from_numpy(targets.astype(np.int32)))
    assert found.item() == pytest.approx(16 * wanted[0] + 8 * wanted[1] + wanted[2], rel=1e-4)


# ------------------------------------------------------------------------------------------------- MulSpx: prototypes
@settings(max_examples=60, deadline=None)
@given(partitions(most=8), st.integers(2, 5), st.booleans())
def test_prototypes_label_pixels_as_the_slow_version(
    drawn: tuple[np.ndarray, np.random.Generator], num: int, alike: bool
) -> None:
    index, rng = drawn
    n = int(index.max()) + 1
    probs = rng.dirichlet(np.ones(num), index.shape).transpose(2, 0, 1)
    features = rng.normal(size=(3, *index.shape))
    if alike:  # superpixels that look like one another, so that labels spread
        features = 0.2 * features + np.eye(3)[rng.integers(0, 3, n)].T[:, index]
    selected = rng.permutation(n)[: rng.integers(1, n + 1)]
    named = rng.random((len(selected), num)) < 0.4
    named[np.arange(len(selected)), rng.integers(0, num, len(selected))] = True
    found = multiclass.localise(torch.from_numpy(probs), torch.from_numpy(features), index, selected, named)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, localised(probs, features, index, selected.tolist(), sets(named)))


def test_prototypes_spread_beyond_the_median_and_lose_against_answers() -> None:
    """Five superpixels of two pixels in a row. Answered are 0 (class 2) and 4 (class 1); 1 and 3 touch them."""
    index = np.repeat(np.arange(5), 2)[None]
    angle = np.array([0, 10, 5, 11, 0, 90, 80, 89, 90, 88.0])  # degrees of the features
    features = np.stack([np.cos(np.radians(angle)), np.sin(np.radians(angle))])[:, None]
    probs = np.full((3, 1, 10), 1 / 3)  # prototypes are the first pixels: 0 and 90 degrees
    answers = np.eye(3, dtype=bool)[[1, 2]]
    labels = multiclass.localise(torch.from_numpy(probs), torch.from_numpy(features), index, np.array([4, 0]), answers)
    assert labels[0].tolist() == [2, 2, 2, 255, 255, 255, 255, 1, 1, 1]  # the lower median: 10 and 2 degrees
    both = multiclass.localise(
        torch.from_numpy(probs), torch.from_numpy(features), index, np.array([1, 0]), np.eye(3, dtype=bool)[[1, 2]]
    )
    assert both[0].tolist() == [2, 2, 1, 1, 1, 255, 255, 255, 255, 255]  # 0 would have given pixel 2 its class


# ----------------------------------------------------------------------------------------- a small world with a fake θ
class Tiles(Split):
    """Three images of noise; ground truth in stripes, with void."""

    def __init__(self) -> None:
        super().__init__("train", ("b", "a", "c"))
        rng = np.random.default_rng(5)
        self.images = {name: rng.integers(0, 256, (12, 15, 3), dtype=np.uint8) for name in self.names}
        stripes = {name: rng.choice([0, 0, 1, 2, 255], (4, 5)) for name in self.names}
        self.truth = {name: np.kron(s, np.ones((3, 3), int)).astype(np.uint8) for name, s in stripes.items()}

    def image(self, name: str) -> np.ndarray:
        return self.images[name]

    def ground_truth(self, name: str) -> np.ndarray:
        return self.truth[name]


class Fake:
    """Probabilities and features of a pixel by its colour, blocks of pixels alike."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def predict(self, image: np.ndarray) -> torch.Tensor:
        colours = torch.from_numpy(np.kron(image[::4, ::4], np.ones((4, 4, 1)))[: len(image), : image.shape[1]])
        mixed = colours + 0.2 * torch.from_numpy(image.astype(float))
        weights = torch.from_numpy(np.random.default_rng(7).normal(size=(3, self.num_classes)))
        return (mixed @ weights / 60).float().softmax(2).permute(2, 0, 1)


TILES = Tiles()
CLASSES = Classes(("road", "sky", "tree"), np.zeros((3, 3), np.uint8))


def blocks() -> MaskSet:
    """Superpixels of about 3 x 4 pixels, ids with gaps, no labels."""
    rng, maps = np.random.default_rng(11), {}
    for name in TILES.names:
        ys, xs = np.mgrid[:12, :15] + rng.integers(0, 2, (2, 12, 15))
        maps[name] = (ys // 4 * 10 + xs // 4 + 1).astype(np.int32)
    return MaskSet.from_maps(CLASSES, TILES.names, maps, dict.fromkeys(TILES.names, dict.fromkeys(range(1, 99), 255)))


MASKS = blocks()


def context_of(method: str, budget: int = 9, **fields: Any) -> Context:
    config = Experiment(method=method, budget=budget, **fields)
    truth = truth_histogram(MASKS, TILES)
    dataset = Dataset("toy", CLASSES, TILES, TILES)
    return Context(config, dataset, truth, Oracle(TILES, truth), Fake, progress=False)  # type: ignore[arg-type]


def pixels_of(rows: np.ndarray, name: str) -> np.ndarray:
    """(H, W) bool: where superpixels of these rows lie in an image."""
    return np.isin(MASKS.index_map(name) + MASKS.rows(name).start, rows)


def image_of(row: int) -> str:
    return str(MASKS.table["image"].iloc[row])


def slow_masks(model: Fake, regions: np.ndarray) -> dict[int, Mask]:
    """Every region's pixels, by the row of its root."""
    found = {}
    for name in TILES.names:
        region_map = regions[MASKS.rows(name)][MASKS.index_map(name)] + 1
        probs, nothing = model.predict(TILES.image(name)).numpy(), np.zeros((12, 15), int)
        found |= {int(i) - 1: Mask(probs, region_map, nothing, i) for i in np.unique(region_map)}
    return found


@pytest.mark.parametrize("outputs", [3, 4])
def test_superpixel_statistics_are_those_of_masks(outputs: int) -> None:
    model = Fake(outputs)
    found = superpixel_statistics(model, TILES, MASKS, progress=False)
    assert isinstance(found, SuperpixelStatistics) and found.probs.shape == (len(MASKS), outputs)
    assert found.area.tolist() == MASKS.table["area"].tolist()
    nothing = np.zeros((12, 15), np.uint8)
    parts = [mask_statistics(model.predict(TILES.image(n)), MASKS.index_map(n), nothing) for n in MASKS.names]
    for name in ("area", "dominant", "entropy", "margin", "bvsb", "feature"):
        wanted = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(getattr(found.as_masks(), name), wanted, rtol=1e-5, atol=1e-6)
    assert all(np.isnan(getattr(found.as_masks(), name)).all() for name in ("label", "lcil", "cil", "sim", "abc"))


def test_merged_statistics_are_those_of_the_merged_map() -> None:
    model = Fake(3)
    base = superpixel_statistics(model, TILES, MASKS, progress=False)
    regions = merged_regions(base, MASKS, 0.3, progress=False)
    roots = np.unique(regions)
    assert 3 < len(roots) < len(MASKS) / 2 and (regions[roots] == roots).all()
    for name in MASKS.names:  # merged as the slow version does
        rows, index = MASKS.rows(name), MASKS.index_map(name)
        statistics = base.as_masks().take(np.arange(rows.start, rows.stop))
        slow = merged_map(index, statistics.feature, statistics.bvsb, 0.3, np.random.default_rng(0))
        np.testing.assert_array_equal(regions[rows][index], slow + rows.start)
    maps = {name: (regions[MASKS.rows(name)][MASKS.index_map(name)] + 1).astype(np.int32) for name in MASKS.names}
    labels = dict.fromkeys(MASKS.names, dict.fromkeys(range(1, len(MASKS) + 1), 255))
    merged = MaskSet.from_maps(CLASSES, MASKS.names, maps, labels)
    wanted = superpixel_statistics(model, TILES, merged, progress=False)
    for name in [field.name for field in dataclasses.fields(wanted)]:
        found = getattr(base.merged(regions), name)
        np.testing.assert_allclose(found[merged.table["mask_id"] - 1], getattr(wanted, name), rtol=1e-5, atol=1e-5)
        assert not np.delete(found, roots, axis=0).any()


def scored(folder: Path, number: int, method: str, seed: int = 0, **fields: Any) -> tuple[np.ndarray, np.ndarray]:
    context, written = context_of(method, **fields), RoundFolder(folder, number)
    module.score(context, MASKS, Fake(context.config.outputs(3)), written, seed)  # type: ignore[arg-type]
    return written.scores(), written.regions()


@pytest.mark.parametrize("method", BASELINES)
def test_the_first_round_is_random(method: str, tmp_path: Path) -> None:
    scores, regions = scored(tmp_path, 1, method)
    by_name = np.lexsort((MASKS.table["mask_id"], MASKS.table["image"].astype(str)))
    assert regions.tolist() == list(range(len(MASKS)))
    assert scores[by_name].tolist() == np.random.default_rng(0).random(len(MASKS)).astype(np.float32).tolist()
    assert (scores != scored(tmp_path, 1, method, seed=1)[0]).all()


def test_random_scores_do_not_depend_on_the_order_of_images(tmp_path: Path) -> None:
    scores, _ = scored(tmp_path, 2, "spx", acquisition="random")
    assert scores[MASKS.canonical_order].tolist() == scored(tmp_path, 1, "spx")[0][MASKS.canonical_order].tolist()


def test_spx_scores_as_classbal_over_superpixels(tmp_path: Path) -> None:
    scores, regions = scored(tmp_path, 2, "spx")
    wanted = balanced_scores("clsbal", slow_masks(Fake(3), np.arange(len(MASKS))))
    assert dict(enumerate(scores)) == {row: pytest.approx(score, rel=1e-4) for row, score in wanted.items()}
    assert regions.tolist() == list(range(len(MASKS)))


@pytest.mark.parametrize("shares", ["whole", "quarter"])
def test_merspx_scores_merged_regions(shares: str, tmp_path: Path) -> None:
    scores, regions = scored(tmp_path, 2, "merspx", baseline={"epsilon": 0.3}, scoring={"merspx_shares": shares})
    wanted = balanced_scores("merspx" if shares == "whole" else "merspx_quarter", slow_masks(Fake(3), regions))
    assert 3 < len(wanted) < len(MASKS)
    found = {row: score for row, score in enumerate(scores) if score > -np.inf}
    assert found == {row: pytest.approx(score, rel=1e-4) for row, score in wanted.items()}


@pytest.mark.parametrize("nu", [6.0, 12.0])
def test_mulspx_scores_by_pixbal(nu: float, tmp_path: Path) -> None:
    scores, _ = scored(tmp_path, 2, "mulspx", baseline={"nu": nu})
    images = [(Fake(4).predict(TILES.image(name)).numpy(), MASKS.index_map(name)) for name in MASKS.names]
    wanted = pixbal_scores(images, nu)
    assert scores == pytest.approx(np.array(wanted), rel=1e-4) and 0 < np.count_nonzero(scores) < len(scores)


def answered(folder: Path, method: str, rows: np.ndarray, regions: np.ndarray, **fields: Any) -> RoundFolder:
    """A round in which these superpixels, or roots of regions, were asked about."""
    written = RoundFolder(folder, 1)
    scores = np.linspace(1, 0, len(MASKS), dtype=np.float32)
    written.write_table("scores.parquet", pd.DataFrame({"score": scores, "region": regions.astype(np.int32)}))
    written.write_queries(rows)
    module.answer(context_of(method, **fields), MASKS, written)
    return written


def neighbours_in_pairs() -> np.ndarray:
    """Regions of two superpixels of the same image each, one alone where their number is odd."""
    return np.concatenate([r.start + np.arange(r.stop - r.start) // 2 * 2 for r in map(MASKS.rows, MASKS.names)])


@pytest.mark.parametrize("method", ["spx", "merspx"])
def test_one_click_tells_the_most_frequent_class_of_a_region(method: str, tmp_path: Path) -> None:
    regions = np.arange(len(MASKS)) if method == "spx" else neighbours_in_pairs()
    rows = np.random.default_rng(2).permutation(np.unique(regions))[:20]
    folder = answered(tmp_path, method, rows, regions)
    assert folder.queried_rows().tolist() == rows.tolist() and folder.clicks() == 20
    answers = folder.read_answers()
    for row, image, mask_id, label in zip(rows, answers["image"], answers["mask_id"], answers["label"], strict=True):
        inside = pixels_of(np.flatnonzero(regions == row), image)
        assert label == dominant(TILES.truth[image], inside, 3)
        assert (image, mask_id) == tuple(MASKS.table.iloc[row][["image", "mask_id"]])
    assert 255 in set(answers["label"])
    table = module.apply_answers(MASKS, folder).table
    said = dict(zip(rows.tolist(), folder.answered_labels().tolist(), strict=True))
    assert table["label"].tolist() == [said.get(int(r), 255) for r in regions]
    assert (table["source"] == "annotator").tolist() == np.isin(regions, rows).tolist()


def test_mulspx_asks_for_all_classes_until_the_budget_is_exceeded(tmp_path: Path) -> None:
    rows = np.random.default_rng(8).permutation(len(MASKS))[:10]
    folder = answered(tmp_path, "mulspx", rows, np.arange(len(MASKS)), budget=9)
    named = {}
    for name in MASKS.names:
        sets_here = named_inside(MASKS.index_map(name), TILES.truth[name], 3)
        named |= {MASKS.rows(name).start + i: classes for i, classes in enumerate(sets_here)}
    costs = [len(named[row]) for row in rows]
    paid = queries_paid(costs, 9)
    assert 2 < paid < 10 and folder.clicks() == sum(costs[:paid]) > 9
    assert folder.queried_rows().tolist() == rows[:paid].tolist()
    assert sets(folder.named_classes(3)) == [named[row] for row in rows[:paid]]
    wanted = [min(named[r]) if len(named[r]) == 1 and 3 not in named[r] else 255 for r in rows[:paid]]
    assert folder.answered_labels().tolist() == wanted and {255} < set(wanted)
    before = (folder.path / "answers.jsonl").read_text()
    module.answer(context_of("mulspx"), MASKS, folder)  # interrupted before its end was noted: the queries are cut
    assert (folder.path / "answers.jsonl").read_text() == before and len(folder.queried_rows()) == paid
    table = module.apply_answers(MASKS, folder).table
    assert set(np.flatnonzero(table["source"] == "annotator")) == set(rows[:paid])


def test_later_answers_win_but_void_says_nothing(tmp_path: Path) -> None:
    """MerSpx: a region whose answer is void is not used, so labels of earlier rounds stay."""
    every = np.arange(len(MASKS))
    masks = MASKS.relabel(every[:9], np.array([0, 1, 2] * 3), source="annotator", round=1)
    regions = np.where(every < 12, every // 4 * 4, every)  # 0..3, 4..7 and 8..11
    folder = RoundFolder(tmp_path, 2)
    folder.write_table("scores.parquet", pd.DataFrame({"score": np.zeros(len(MASKS)), "region": regions}))
    folder.write_queries(np.array([8, 0, 4]))
    folder.write_answers(MASKS.table.iloc[[8, 0, 4]][["image", "mask_id"]].assign(label=[255, 255, 1]))
    table = module.apply_answers(masks, folder).table
    assert table["label"][:13].tolist() == [0, 1, 2, 0, 1, 1, 1, 1, 2, 255, 255, 255, 255]
    assert (table["source"] == "annotator").tolist() == (every < 12).tolist()


def test_sieving_redoes_all_rounds_and_later_rounds_win(tmp_path: Path) -> None:
    """Two rounds on the tiles: superpixels first, then merged regions, one of them void."""
    rng, context = np.random.default_rng(4), context_of("merspx", baseline={"merged_area": 25})
    rounds = [np.arange(len(MASKS)), neighbours_in_pairs()]
    asked = [rng.permutation(np.unique(regions))[:16] for regions in rounds]
    for number, (regions, rows) in enumerate(zip(rounds, asked, strict=True), start=1):
        folder = RoundFolder(tmp_path, number)
        folder.write_table("scores.parquet", pd.DataFrame({"score": np.zeros(len(MASKS)), "region": regions}))
        folder.write_queries(rows)
        module.answer(context, MASKS, folder)
    names = module.write_sieved(context, MASKS, Fake(3), folder)  # type: ignore[arg-type]
    assert names == [n for n in MASKS.names if n in {image_of(row) for row in np.concatenate(asked)}]
    removed = 0
    for name in names:
        probs, wanted = Fake(3).predict(TILES.image(name)).numpy(), np.full((12, 15), 255)
        for regions, rows in zip(rounds, asked, strict=True):
            for row in rows[[image_of(r) == name for r in rows]]:
                inside = pixels_of(np.flatnonzero(regions == row), name)
                label = dominant(TILES.truth[name], inside, 3)
                if label != 255:
                    keep = np.array(sieved(probs[label][inside].tolist(), 25))
                    removed += int((~keep).sum())
                    wanted[tuple(np.argwhere(inside)[keep].T)] = label
        np.testing.assert_array_equal(read_label_png(folder.path / "targets" / f"{name}.png"), wanted)
    assert removed


def test_model_miou_never_predicts_void() -> None:
    model, dataset = Fake(4), Dataset("toy", CLASSES, TILES, TILES)
    probs = {name: model.predict(TILES.image(name)) for name in TILES.names}
    assert any((p.argmax(0) == 3).any() for p in probs.values())
    predicted = np.stack([p[:3].argmax(0).numpy() for p in probs.values()])
    found = evaluate(model, dataset)  # type: ignore[arg-type]
    wanted = iou(predicted, np.stack([TILES.truth[name] for name in TILES.names]), 3)
    assert found is not None and found.per_class.tolist() == pytest.approx(wanted)
    miou = model_miou(dataset)
    assert miou is not None and miou(model) == pytest.approx(np.mean(wanted))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["spx", "merspx"])
def test_images_without_an_answer_are_left_out(method: str, tmp_path: Path) -> None:
    """Answered are two superpixels of one image, one of them with void; images stay in the order of the dataset."""
    rows, trained = MASKS.rows("a").start + np.array([0, 3]), []

    class Trained(Fake):
        def fit(self, split: Split, labels: Callable[[str], np.ndarray], **more: Any) -> None:
            trained.extend((name, labels(name)) for name in split.names)

        def save(self, path: Path) -> None:
            pass

    masks = MASKS.relabel(rows, np.array([1, 255]), source="annotator", round=1)
    context, folder = context_of(method), RoundFolder(tmp_path, 1)
    module.train(context, masks, Fake(3), Trained(3), folder, 0)  # type: ignore[arg-type]
    [(name, labels)] = trained
    assert name == "a" and (labels == np.where(pixels_of(rows[:1], "a"), 1, 255)).all()


def test_answers_of_two_kinds_in_one_file_are_refused(tmp_path: Path) -> None:
    one = '{"image": "a", "mask_id": 1, "label": 0}'
    folder = RoundFolder(tmp_path, 1)
    folder.path.mkdir()
    (folder.path / "answers.jsonl").write_text(f'{one}\n{{"classes": [1], {one[1:]}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 2: expected image, mask_id and label"):
        folder.read_answers()


# --------------------------------------------------------------------------------------------------------- whole runs
SMALL = load_dataset("toy", n_train=5, n_val=1, height=48, width=64)
FIELDS: dict[str, dict[str, Any]] = {
    "spx": {"pseudo_labels": {"superpixels": {"side": 8}}},
    "merspx": {
        "pseudo_labels": {"superpixels": {"side": 4}},
        "baseline": {"epsilon": 0.0, "merged_area": 32},  # merging shall not leave fewer than are asked about
    },
    "mulspx": {"pseudo_labels": {"superpixels": {"side": 8}}},
}


def play(folder: Path, method: str, model: SegmenterFactory | None = None, **fields: Any) -> Run:
    """Two rounds on five small scenes."""
    tiny = {"seed": seeded(), "rounds": 2, "budget": 0.1}
    tiny |= {"segmenter": network(iterations=4, batch_size=2, lr=0.05)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2lc.rounds.load_dataset", lambda name, root: SMALL)
        config = Experiment(method=method, **{**tiny, **FIELDS.get(method, {}), **fields})
        return a2lc.run(config, folder, device="cpu", segmenter=model, progress=False)


@contextmanager
def targets_kept(folder: Path) -> Iterator[None]:
    """The label maps that models are trained on are copied to ``kept``."""
    fit = module.fit

    def keep(model: Any, context: Context, names: list[str], round_folder: RoundFolder, seed: int) -> None:
        fit(model, context, names, round_folder, seed)
        for name in names:
            kept = folder / "kept" / context.config.method / round_folder.path.name / f"{name}.png"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes((round_folder.path / "targets" / f"{name}.png").read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", keep)
        yield


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three baselines, two rounds each."""
    folder = tmp_path_factory.mktemp("baselines")
    with targets_kept(folder):
        for method in BASELINES:
            play(folder, method)
    return folder


def the_run(runs_dir: Path, method: str) -> Run:
    return Run.open(next(runs_dir.glob(f"toy-{method}-*")))


@pytest.mark.parametrize("method", BASELINES)
def test_what_a_run_leaves_behind(method: str, runs_dir: Path) -> None:
    run = the_run(runs_dir, method)
    total, summary = len(run.masks(0)), run.summary
    assert run.finished and summary["round"].tolist() == [0, 1, 2]
    assert summary[["data_miou", "model_miou"]].iloc[0].isna().all()
    assert summary[["data_miou", "model_miou"]].iloc[1:].apply(lambda c: c.between(0, 1)).all(axis=None)
    files = {"scores.parquet", "queries.parquet", "answers.jsonl", "masks.parquet", "metrics.json", "state.json"}
    files |= {"segmenter.safetensors"} | ({"segmenter_stage1.safetensors"} if method == "mulspx" else set())
    assert {p.name for p in (run.path / "round_02").iterdir()} == files
    assert {p.name for p in (run.path / "round_00").iterdir()} == {"masks.parquet", "metrics.json", "state.json"}
    budget = round(0.1 * total)
    if method == "mulspx":
        costs = [[len(classes) for classes in run.queries(number)["classes"]] for number in (1, 2)]
        assert summary["clicks"].tolist() == [0, sum(costs[0]), sum(costs[0]) + sum(costs[1])]
        assert all(budget < sum(of_round) <= budget + of_round[-1] for of_round in costs)
        assert summary["queried"].tolist() == [0, *map(len, costs)] and summary["queried"][1] < budget
        assert summary["classes_per_query"][1:].tolist() == pytest.approx([np.mean(of_round) for of_round in costs])
    else:
        assert summary["clicks"].tolist() == [0, budget, 2 * budget]
        assert "classes" not in run.queries(1)


@pytest.mark.parametrize("method", BASELINES)
def test_queries_masks_and_models_of_a_run(method: str, runs_dir: Path) -> None:
    run = the_run(runs_dir, method)
    assert set(run.masks(0).table["label"]) == {255}
    for number in (1, 2):
        queries, table = run.queries(number), run.masks(number).table
        scores = run.scores(number)["score"].to_numpy()
        assert (np.diff(queries["score"]) <= 0).all() and (queries["score"] == scores[queries["row"]]).all()
        assert (table["source"].iloc[queries["row"]] == "annotator").all()
        known = queries[queries["answer"] < 14]
        assert len(known) and (table["label"].to_numpy()[known["row"]] == known["answer"]).all()
        probs = run.segmenter(number, device="cpu").predict(SMALL.val.image("val_0000"))
        assert probs.shape == (15 if method == "mulspx" else 14, 48, 64)
        assert torch.allclose(probs.sum(0), torch.ones(48, 64), atol=1e-4)
    with pytest.raises(FileNotFoundError, match=r"round 0 has no segmenter\.safetensors"):
        run.segmenter(0)
    asked = [set(run.queries(number)["row"]) for number in (1, 2)]
    assert method == "merspx" or not asked[0] & asked[1]


def test_spx_trains_on_all_answers_so_far(runs_dir: Path) -> None:
    """Nothing but the table: the second model, trained again from it."""
    run = the_run(runs_dir, "spx")
    masks = run.masks(2)
    model = build_segmenter(run.config.segmenter, 14, "cpu")
    names = [n for n in masks.names if n in set(masks.table["image"][masks.queried])]
    model.fit(SMALL.train.subset(names), masks.label_map, seed=round_seeds(seeded(), 2)["training"], progress=False)
    image = SMALL.val.image("val_0000")
    assert torch.equal(model.predict(image), run.segmenter(2, "cpu").predict(image))


def test_merspx_trains_on_what_the_last_model_sieves(tmp_path: Path) -> None:
    """With a segmenter that is not trained: regions merge, and pixels are sieved."""
    with targets_kept(tmp_path):
        run = play(tmp_path, "merspx", ByColour, baseline={"epsilon": 0.01, "merged_area": 32})
    model, masks, removed = ByColour(14), run.masks(0), 0
    model.load(run.path / "round_01" / "segmenter.safetensors")
    regions = {number: run.folder(number).regions() for number in (1, 2)}
    assert len(np.unique(regions[1])) == len(masks) > len(np.unique(regions[2])) > 100
    kept = {path.stem: read_label_png(path) for path in (tmp_path / "kept" / "merspx" / "round_02").glob("*.png")}
    asked = pd.concat([run.queries(number) for number in (1, 2)])
    assert kept.keys() == set(asked["image"]) and not (tmp_path / "kept" / "merspx" / "round_01").exists()
    for name, found in kept.items():
        probs, wanted = model.predict(SMALL.train.image(name)).numpy(), np.full((48, 64), 255)
        region_of = {number: regions[number][masks.rows(name)][masks.index_map(name)] for number in (1, 2)}
        for number in (1, 2):
            queries = run.queries(number)
            for row, answer in queries[queries["image"] == name][["row", "answer"]].itertuples(index=False):
                inside = region_of[number] == row
                assert answer == dominant(SMALL.train.ground_truth(name), inside, 14)
                if answer != 255:
                    keep = np.array(sieved(probs[answer][inside].tolist(), 32))
                    removed += int((~keep).sum())
                    wanted[tuple(np.argwhere(inside)[keep].T)] = answer
        np.testing.assert_array_equal(found, wanted)
    assert removed


def test_mulspx_asks_with_the_model_of_stage_1(runs_dir: Path) -> None:
    run = the_run(runs_dir, "mulspx")
    masks, found = run.masks(0), run.scores(2)["score"].to_numpy()
    for file, same in (("segmenter_stage1.safetensors", True), ("segmenter.safetensors", False)):
        model = build_segmenter(run.config.segmenter, 15, "cpu")
        model.load(run.path / "round_01" / file)
        images = [(model.predict(SMALL.train.image(n)).numpy(), masks.index_map(n)) for n in masks.names]
        assert np.allclose(found, pixbal_scores(images, 6.0), rtol=1e-3, atol=1e-6) == same


def test_mulspx_trains_stage_2_on_prototypes_of_stage_1(runs_dir: Path) -> None:
    run = the_run(runs_dir, "mulspx")
    masks, model = run.masks(0), build_segmenter(run.config.segmenter, 15, "cpu")
    model.load(run.path / "round_02" / "segmenter_stage1.safetensors")
    asked = pd.concat([run.queries(1), run.queries(2)])
    folder = runs_dir / "kept" / "mulspx" / "round_02"
    assert {path.stem for path in folder.glob("*.png")} == set(asked["image"])
    name = asked["image"].iloc[0]
    here = asked[asked["image"] == name]
    pixels = torch.from_numpy(SMALL.train.image(name))
    scaled = (model.predict(pixels.numpy()).log() * 0.1).softmax(0).numpy()  # the temperature taken back
    wanted = localised(
        scaled.astype(float),
        model.features(pixels.numpy()).numpy().astype(float),
        masks.index_map(name),
        (here["row"] - masks.rows(name).start).tolist(),
        [set(classes) for classes in here["classes"]],
    )
    found = read_label_png(folder / f"{name}.png")
    assert (found != wanted).mean() < 0.01  # float32 here and there
    inside = np.isin(masks.index_map(name), here["row"] - masks.rows(name).start)
    assert (found[inside] != 255).all()


def test_prototypes_are_sought_without_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(*arguments: Any) -> None:
        seen.extend(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(multiclass, "localise", look)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, "mulspx", rounds=1)
    run = Run.open(next(tmp_path.glob("toy-*")))
    name = min(run.queries(1)["image"])  # images come in the order of the dataset
    model = build_segmenter(run.config.segmenter, 15, "cpu")
    model.load(run.path / "round_01" / "segmenter_stage1.safetensors")
    with torch.inference_mode():
        logits = F.interpolate(model.network(model._input(SMALL.train.image(name))), (48, 64), mode="bilinear")[0]
    assert torch.allclose(seen[0], (0.1 * logits.float()).softmax(0), atol=2e-3)  # the network may run in bfloat16
    assert not torch.allclose(seen[0], logits.float().softmax(0), atol=2e-2)
    assert torch.allclose(seen[1], model.features(SMALL.train.image(name)), atol=1e-6)


def test_one_class_each_makes_as_many_queries_as_clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "named_classes", lambda split, masks, rows: np.eye(15, dtype=bool)[rows % 14])
    run = play(tmp_path, "mulspx", rounds=1, budget=7)
    assert run.summary["clicks"][1] == run.summary["queried"][1] == 8  # the one that exceeds the budget is the last
    assert (run.queries(1)["answer"] == run.queries(1)["row"] % 14).all()


# ------------------------------------------------------------------------------------------------ interrupted, finished
@pytest.mark.parametrize("method", BASELINES)
def test_a_finished_run_returns_at_once(method: str, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(the_run(runs_dir, method).path)
    monkeypatch.setattr("a2lc.rounds.play_superpixel_round", lambda *a: pytest.fail("played again"))
    assert contents(play(runs_dir, method).path) == before


def after_round_1(runs_dir: Path, method: str, folder: Path) -> None:
    """Copy a run as it was after its first round."""
    run = the_run(runs_dir, method)
    shutil.copytree(runs_dir / "shared", folder / "shared")
    shutil.copytree(run.path, folder / run.path.name, ignore=shutil.ignore_patterns("round_02"))


def stop_at(patch: pytest.MonkeyPatch, owner: object, name: str, when: Callable[..., bool]) -> None:
    """Interrupt the first call of a function that fits."""
    inner = getattr(owner, name)

    def stopping(*arguments: Any, **more: Any) -> Any:
        if when(*arguments, **more):
            raise KeyboardInterrupt
        return inner(*arguments, **more)

    patch.setattr(owner, name, stopping)


def after(calls: int) -> Callable[..., bool]:
    left = iter(range(calls))
    return lambda *a, **more: next(left, None) is None


@pytest.mark.parametrize(
    ("method", "stage"), list(zip(("spx", "merspx", "mulspx", "mulspx", "merspx"), STAGES, strict=True))
)
def test_interrupted_between_stages(
    method: str, stage: str, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped just before a stage of round 2 is recorded as finished; continued, every file is the same."""
    after_round_1(runs_dir, method, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, RoundFolder, "end", lambda folder, end: end == stage)
        play(tmp_path, method)
    assert Run.open(next(tmp_path.glob("toy-*"))).finished_rounds == 1
    assert contents(play(tmp_path, method).path) == contents(the_run(runs_dir, method).path)


@pytest.mark.parametrize(
    ("method", "name", "calls"),
    [
        ("spx", "measure", 0),
        ("merspx", "sieve", 9),
        ("mulspx", "fit", 0),
    ],
)
def test_interrupted_within_a_stage(
    method: str, name: str, calls: int, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_round_1(runs_dir, method, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, module, name, after(calls))
        play(tmp_path, method)
    again = play(tmp_path, method)
    assert contents(again.path) == contents(the_run(runs_dir, method).path)
    assert not list(again.path.rglob("targets"))


def test_interrupted_between_the_two_files_of_an_answer(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MulSpx cuts the queries to those that were paid for, then writes the answers."""
    after_round_1(runs_dir, "mulspx", tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, RoundFolder, "write_answers", lambda *a: True)
        play(tmp_path, "mulspx")
    assert contents(play(tmp_path, "mulspx").path) == contents(the_run(runs_dir, "mulspx").path)


def test_stage_1_is_not_trained_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, multiclass, "localise", after(2))
        play(tmp_path, "mulspx", rounds=1)
    monkeypatch.setattr(multiclass, "multiclass_loss", lambda answers: pytest.fail("stage 1 was trained again"))
    assert play(tmp_path, "mulspx", rounds=1).finished


# --------------------------------------------------------------------------------------------------------- exhaustion
@pytest.mark.parametrize(("method", "unit"), [("spx", "masks"), ("mulspx", "clicks")])
def test_more_budget_than_there_is_to_ask(method: str, unit: str, tmp_path: Path) -> None:
    ending = pytest.warns(UserWarning, match="every mask was queried: the run ends after round 1")
    with ending, pytest.warns(UserWarning, match=rf"the budget asks for 5000 {unit}, \d+ are left"):
        run = play(tmp_path, method, budget=5000)
    assert run.finished and run.finished_rounds == 1 and run.masks(1).queried.all()
    assert run.summary["queried"][1] == len(run.masks(0)) <= run.summary["clicks"][1]


def test_merging_may_leave_fewer_regions_than_the_budget(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the budget asks for \d+ masks, \d+ are left"):
        short = network(iterations=2, batch_size=2)
        run = play(tmp_path, "merspx", baseline={"epsilon": 0.9}, segmenter=short)
    assert run.summary["queried"][2] == len(run.masks(0).names)  # everything that touches is one region


# --------------------------------------------------------------------------------------- tables, command line, refusals
def test_tables_status_and_export(runs_dir: Path, tmp_path: Path) -> None:
    runs = find_runs(runs_dir)
    table = rounds_table(runs)
    first = table[table["round"] == 0]
    assert len(table) == 2 * 3 * 3 and first["mean"].isna().all() and (first["n_seeds"] == 0).all()
    assert beside_paper(table, "table2", "cityscapes").loc[("model_miou", "spx", "ours"), 0] in ("", "–")
    status = CliRunner().invoke(app, ["status", "--runs-dir", str(runs_dir)])
    assert status.exit_code == 0 and status.output.count(" 2/2 ") == 3
    run = the_run(runs_dir, "mulspx")
    for options, number in (([], 2), (["--round", "0"], 0)):
        out = tmp_path / str(number)
        result = CliRunner().invoke(app, ["export", str(run.path), str(out), *options])
        assert result.exit_code == 0
        written = {name: read_label_png(out / "mask_jpg" / f"{name}.png") for name in SMALL.train.names}
        for name, labels in written.items():
            np.testing.assert_array_equal(labels, run.masks(number).label_map(name))
        assert any((labels < 14).any() for labels in written.values()) == (number == 2)


def test_status_of_a_run_without_a_finished_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, RoundFolder, "end", lambda folder, end: end == "scored")
        play(tmp_path, "spx")
    status = CliRunner().invoke(app, ["status", "--runs-dir", str(tmp_path)])
    assert status.exit_code == 0 and "0/2" in status.output
    assert status.output.split()[-7:] == ["-", "-", "goes", "on", "when", "started", "again"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "mulspx", "acquisition": "bvsb"}, r"acquisition: query 'classes' and 'pixbal' belong together"),
        ({"method": "spx", "acquisition": "pixbal"}, r"acquisition: query 'classes' and 'pixbal' belong together"),
        ({"method": "spx", "query": "classes"}, r"acquisition: query 'classes' and 'pixbal' belong together"),
        ({"method": "spx", "lcm": True}, r"superpixels take no lcm and no query 'pixel'"),
        ({"method": "spx", "query": "pixel"}, r"superpixels take no lcm and no query 'pixel'"),
        ({"method": "spx", "acquisition": "abc"}, r"acquisition: superpixels take pixbal, random, .*, found 'abc'"),
        ({"method": "merspx", "acquisition": "aiou"}, r"acquisition: superpixels take .*, found 'aiou'"),
        ({"query": "merged"}, r"query: 'merged' needs pseudo_labels of kind 'superpixels'"),
        ({"query": "classes", "acquisition": "pixbal"}, r"query: 'classes' needs pseudo_labels of kind 'superpixels'"),
        ({"method": "spx", "pseudo_labels": {"kind": "simulated"}}, r"\.kind: 'simulated' takes no superpixels"),
        ({"pseudo_labels": {"kind": "superpixels"}}, r"pseudo_labels\.kind: 'superpixels' needs superpixels"),
        ({"method": "mulspx", "segmenter": {"head": "linear"}}, r"segmenter\.head: .*'cosine', found 'linear'"),
        ({"method": "spx", "segmenter": {"start": "previous"}}, r"segmenter\.start: .*'initial', found 'previous'"),
        ({"method": "spx", "scoring": {"ref_squash": True}}, r"scoring: superpixels take merspx_shares only"),
        ({"method": "spx", "pseudo_labels": {"superpixels": {"side": 3}}}, r"side: .*found 3"),
        ({"method": "merspx", "baseline": {"epsilon": -1}}, r"baseline\.epsilon: .*found -1"),
    ],
)
def test_wrong_configurations_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(**fields)


def test_presets_are_overridden_field_by_field() -> None:
    config = Experiment(method="merspx", pseudo_labels={"superpixels": {"algorithm": "slic"}})
    assert config.pseudo_labels.superpixels is not None and config.pseudo_labels.superpixels.side == 16
    assert Experiment(method="mulspx", segmenter={"iterations": 7}).segmenter.head == "cosine"
    assert Experiment(**json.loads(json.dumps(config.model_dump(mode="json")))) == config


# ------------------------------------------------------------------------------------- D17 and D22: best and previous
@pytest.mark.parametrize("method", ["a2lc", "mulspx"])
def test_the_best_validation_is_kept_as_it_is_reported(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Model mIoU of the round is the best one seen while training: over classes, without void."""
    seen: list[float] = []

    def watched(dataset: Dataset) -> Callable[[Any], float]:
        def miou(model: Any) -> float:
            seen.append(inner(model))
            return seen[-1]

        inner = model_miou(dataset)
        assert inner is not None
        return miou

    monkeypatch.setattr("a2lc.stages.context.model_miou", watched)
    segmenter = network(iterations=4, batch_size=2, lr=0.05, keep="best", validate_every=1)
    run = play(tmp_path, method, rounds=1, lcm=False, segmenter=segmenter)
    assert len(seen) == 8  # of round 0 and 1, or of stages 1 and 2
    assert run.metrics(1)["model_miou"] == max(seen[4:])
    assert run.segmenter(1, "cpu").num_classes == (15 if method == "mulspx" else 14)


def test_going_on_from_the_previous_rounds_weights(tmp_path: Path) -> None:
    segmenter = network(iterations=4, batch_size=2, lr=0.05, start="previous")
    run = play(tmp_path, "a2lc", lcm=False, segmenter=segmenter)
    image = SMALL.val.image("val_0000")
    for number in (1, 2):
        model = build_segmenter(run.config.segmenter, 14, "cpu")
        model.load(run.path / f"round_{number - 1:02d}" / "segmenter.safetensors")
        seed = round_seeds(seeded(), number)["training"]
        model.fit(SMALL.train, run.masks(number).label_map, seed=seed, progress=False)
        assert torch.equal(model.predict(image), run.segmenter(number, "cpu").predict(image))
