"""The benchmarks' functions at tiny sizes, so that the scripts do not rot; no speed is judged here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from a2lc.acquisition import class_weights, gather_statistics
from a2lc.config import Experiment
from a2lc.datasets import Dataset, load_dataset
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.pseudo_labels.sources import make_masks
from a2lc.runs import Run
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.frozen_parts import FrozenBackbone

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ROUND = {"scored", "queried", "answered", "corrected", "trained"}


@pytest.fixture(scope="module")
def scripts() -> Any:
    """benchmarks/ is no package: its scripts are imported as they import each other."""
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    import broken_class
    import find_compared
    import generated
    import heads
    import instant
    import instant_variants
    import lcm_inputs
    import lcm_neighbours
    import look_alikes
    import measuring
    import scale
    import scale_fit
    import speed
    import speed_training
    import within_rounds

    every = (broken_class, find_compared, generated, heads, instant, instant_variants, look_alikes, measuring, scale)
    more = (lcm_inputs, lcm_neighbours, scale_fit, speed, speed_training, within_rounds)
    modules = {module.__name__: module for module in (*every, *more)}
    yield modules
    sys.path[:] = before
    for name in modules:
        del sys.modules[name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Where the rounds of `measured` are kept."""
    return [tmp_path_factory.mktemp("case") / "runs" for _ in range(2)]


@pytest.fixture(scope="module")
def measured(scripts: dict[str, ModuleType], runs: list[Path]) -> list[dict[str, Any]]:
    """Rounds on 2 and 4 images, in this process."""
    generated, found = scripts["generated"], []
    for folder, (images, masks) in zip(runs, ((2, 4), (4, 9)), strict=True):
        case = generated.Case(images, masks=masks, budget=0.2)
        generated.make_dataset(case, folder.parent / "data")
        found.append(generated.one_round(case, folder.parent / "data", folder, 1, "cpu"))
    return found


def test_a_round_is_measured_stage_by_stage(measured: list[dict[str, Any]]) -> None:
    for found, masks in zip(measured, (8, 36), strict=True):
        assert found["case"]["total_masks"] == masks
        assert set(found["seconds"]) == ROUND | {"prepare", "start", "predicted", "training"}
        assert all(seconds >= 0 for seconds in found["seconds"].values())
        assert set(found["peak_mib"]) == ROUND | {"process", "prepare", "start"}
        assert all(size > 0 for size in found["bytes"].values())


def test_masks_are_a_grid(scripts: dict[str, ModuleType]) -> None:
    cells = scripts["generated"].grid(scripts["generated"].Case(1, height=6, width=9, masks=9))
    np.testing.assert_array_equal(cells[::2, ::3], [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert (np.bincount(cells.ravel())[1:] == 6).all()


def test_a_fit_finds_the_cost_it_was_made_from(scripts: dict[str, ModuleType]) -> None:
    scale, fitting = scripts["scale"], scripts["scale_fit"]
    sizes = [fitting.sizes_of(case) for sweep in ("images", "masks", "classes") for case in scale.SWEEPS[sweep]]
    seconds = np.array([0.2 + 3e-3 * s["N"] + 5e-6 * s["M"] for s in sizes])
    terms = ("1", "N", "NP", "M", "MK")
    found = fitting.fit(sizes, seconds, terms, 0.005)
    np.testing.assert_allclose(found, [0.2, 3e-3, 0, 5e-6, 0], rtol=1e-6, atol=1e-12)
    assert fitting.predicted(found, terms, {"N": 10.0, "P": 1.0, "M": 1e6, "K": 2.0, "B": 1.0}) == pytest.approx(5.23)


def test_fits_and_figure(scripts: dict[str, ModuleType], measured: list[dict[str, Any]]) -> None:
    scale = scripts["scale"]
    fitted = scripts["scale_fit"].fits(measured, scale.TARGET)
    assert set(fitted) == {"seconds", "peak_mib", "bytes"} and set(fitted["seconds"]) == set(scale.STAGE_STYLE)
    low, high = fitted["bytes"]["object_maps"]["target_range"]
    assert 0 <= low <= high
    scale.report(fitted, scale.TARGET)
    no_more = [m | {"peak_mib": dict.fromkeys(m["peak_mib"], 700.0)} for m in measured]  # than importing
    for found in (measured, no_more):
        fig = scale.figure(dict.fromkeys(("images", "sizes", "masks", "classes"), found), fitted)
        assert len(fig.axes) == 6 and all(axis.get_xlabel() for axis in fig.axes)


def test_every_mask_costs_what_its_arrays_hold(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    scale, k = scripts["scale"], 19
    found = scale.held_per_mask(scripts["generated"].Case(2, masks=4, classes=k), tmp_path)
    assert found["of_these_features_bytes_per_mask"] == 4 * k
    assert found["ground_truth_counts_bytes_per_mask"] == 4 * (k + 1) + 1


def test_units_that_people_read(scripts: dict[str, ModuleType]) -> None:
    scale = scripts["scale"]
    assert [scale.duration(v) for v in (0.002, 30, 120, 86_400 * 3)] == ["2 ms", "30 s", "2 min", "3 days"]
    assert [scale.volume(v) for v in (10, 2048, 3 * 2**40)] == ["10 B", "2 KiB", "3 TiB"]


def test_training_speed(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    training = scripts["speed_training"]
    tiny = {"network": "light", "crop": (48, 64), "batch_size": 2, "iterations": 1}
    monkeypatch.setitem(training.CASES, "tiny", (tiny, tiny))
    found = training.training(torch.device("cpu"), ["tiny"])
    rates = [found[f"tiny_{way}_images_s"] for way in ("ours", "plain", "loading", "resident")]
    assert all(rate > 0 for rate in rates)
    assert found["tiny_over_plain"] == pytest.approx(rates[0] / rates[1])


@pytest.mark.usefixtures("one_thread")  # on two, sums are split otherwise
def test_the_plain_lcm_learns_what_ours_does(scripts: dict[str, ModuleType]) -> None:
    found = scripts["speed_training"].lcm(answers=20, epochs=2)
    assert found["lcm_largest_difference_from_plain"] == 0
    assert found["lcm_plain_over_ours"] > 0


def test_a_process_of_its_own(scripts: dict[str, ModuleType]) -> None:
    assert scripts["measuring"].in_child(dict, [("answer", 42)]) == {"answer": 42}


def test_scoring_is_compared(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("HEIGHT", 128), ("WIDTH", 150), ("CELL", 64)):
        monkeypatch.setattr(scripts["speed"], name, size)
    found = scripts["speed"].scoring(torch.device("cpu"))
    assert found["masks"] == 6 and found["loop_over_score"] > 1 and found["score_over_forward"] > 0


def test_a_finished_run(scripts: dict[str, ModuleType], measured: list[dict[str, Any]], runs: list[Path]) -> None:
    found = scripts["speed"].finished_run(next(runs[0].glob("0/*/config.json")).parent)
    assert 0 < found["overhead_over_round"] <= 1
    assert found["run_without_weights_kib"] > 1


def test_pairs_are_of_equal_truth_and_different_images(scripts: dict[str, ModuleType]) -> None:
    """By hand: truth 0 has images a, a, b, truth 1 has a, b; pairs of one image are left out."""
    records = pd.DataFrame({"image": list("aabab"), "truth": [0, 0, 0, 1, 1], "label": [1, 2, 1, 0, 2]})
    found = np.array([[1.0, 0], [0, 1], [1, 0], [1, 1], [-1, 1]])
    pairs = scripts["look_alikes"].pairs(records, found)
    assert pairs["cosine"].round(6).tolist() == [1, 0, 0]  # rows 0 and 2; 1 and 2; 3 and 4
    assert pairs["same"].tolist()[0] and not pairs["same"][1:].any()


def test_masks_of_one_class_are_broken(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    script, dataset = scripts["broken_class"], load_dataset("toy")
    split = dataset.train.subset(dataset.train.names[:6])
    masks = script.true_masks(split, dataset.classes)
    assert (truth_histogram(masks, split).majority == masks.table["label"]).all()
    rows = script.broken(masks, "building", "sky", seed=0)
    assert len(set(rows)) == script.WRONG and (masks.table["area"].to_numpy()[rows] >= script.MIN_AREA).all()
    assert (rows != script.broken(masks, "building", "sky", seed=1)).any()
    script.make_dataset(masks, rows, "sky", split, tmp_path)
    mine = load_dataset("folder", tmp_path).train
    for name in split.names:
        written, true = mine.pseudo_labels(name), mine.ground_truth(name)
        wrong = np.isin(masks.index_map(name), rows - masks.rows(name).start) & (masks.index_map(name) >= 0)
        covered = masks.index_map(name) >= 0
        assert (written[wrong] == dataset.classes.names.index("sky")).all()
        assert (written[covered & ~wrong] == true[covered & ~wrong]).all()
    with pytest.raises(ValueError, match="expected two of"):
        script.broken(masks, "building", "castle", seed=0)
    rows = [{"wrong": "a", "network": "n", "seed": seed, "first 20": count} for seed, count in ((1, 4), (0, 1))]
    assert script.summary(rows)[["seed", "first 20"]].to_numpy().tolist() == [[0, 1], [1, 4], ["mean", 2.5]]


def test_variants_of_instant_change_what_they_name(scripts: dict[str, ModuleType]) -> None:
    script, dataset = scripts["instant"], load_dataset("toy")
    masks = make_masks(Experiment(dataset="toy").pseudo_labels, dataset, False)
    truth = truth_histogram(masks, dataset.train)
    features = np.random.default_rng(0).normal(size=(len(masks), 5)).astype(np.float16)
    row = script.variant(masks, truth, features, 0, steps=2)
    total = round(0.45 * len(masks))
    assert row["answers_0"] == pytest.approx(100 * truth.data_metrics(masks).miou)
    assert row["answers_5"] > row["answers_0"] and row["seconds"] > 0
    curve, _ = script.play(masks, truth, features, 0, 2, False)
    assert curve[:, 0].tolist() == [0, round(total / 2), total] and (np.diff(curve[:, 1]) >= 0).all()
    never = script.variant(masks, truth, features, 0, steps=2, SURE=(1.1,))
    assert never["answers_5"] == pytest.approx(100 * curve[-1, 1])  # the constant is changed, and put back afterwards
    assert script.variant(masks, truth, features, 0, steps=2)["answers_5"] == pytest.approx(row["answers_5"])
    for changed in script.VARIANTS.values():
        constants = changed.keys() - {"features", "pool", "random", *script.PLAYED}
        assert constants <= vars(sys.modules[script.CONSTANTS]).keys()


def test_a_run_is_measured_within_its_rounds(
    scripts: dict[str, ModuleType], measured: list[dict[str, Any]], runs: list[Path]
) -> None:
    result = Run.open(next(runs[1].glob("0/*/config.json")).parent)
    first, rows = result.masks(0), result.folder(1).queried_rows()
    truth = truth_histogram(first, load_dataset(result.config.dataset, result.config.root).train)
    found = scripts["within_rounds"].within_rounds(result, truth, 2)
    assert len(rows) > 2 and found.index.tolist() == [*range(0, len(rows), 2), len(rows)]
    labels = first.table["label"].to_numpy().copy()
    labels[rows[:2]] = truth.majority[rows[:2]]
    wanted = [first, first.relabel(np.arange(len(labels)), labels, source="annotator", round=1), result.masks(1)]
    assert found[[0, 2, len(rows)]].tolist() == [truth.data_metrics(masks).miou for masks in wanted]


HEADS = ["as it is", "mean of the 3×3 cells around", "mirrored images too", "whole images, 3×3 depthwise"]


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_judged_by_the_masks_that_it_finds(scripts: dict[str, ModuleType], name: str, tmp_path: Path) -> None:
    script, whole = scripts["heads"], load_dataset("toy")
    dataset = Dataset(
        "toy", whole.classes, whole.train.subset(whole.train.names[:2]), whole.val.subset(whole.val.names[:1])
    )
    masks = make_masks(Experiment(dataset="toy").pseudo_labels, whole, False)
    wrong = truth_histogram(masks, whole.train).majority != masks.table["label"].to_numpy()
    settings = SegmenterSettings(network="frozen", iterations=2)
    backbone = FrozenBackbone(settings, torch.device("cpu"), tmp_path)
    how = script.HEADS[name] | {"steps": 2}
    model, seconds = script.trained(backbone, dataset, masks.label_map, 0, **how)
    assert seconds > 0 and model.predict(dataset.val.image(dataset.val.names[0])).sum(0).allclose(torch.ones(96, 128))
    measured = script.found(model, masks, dataset.train, wrong)
    doubt, mine = [], []
    for image in dataset.train.names:
        labels, probabilities = masks.label_map(image), model.predict(dataset.train.image(image)).numpy()
        for row in range(*masks.rows(image).indices(len(masks))):
            inside = masks.object_map(image) == masks.table["mask_id"].iloc[row]
            if (label := labels[inside][0]) < len(masks.classes):
                doubt.append(1 - probabilities[label][inside].mean())
                mine.append(wrong[row])
    assert measured["AUROC of wrong masks (%)"] == pytest.approx(100 * roc_auc_score(mine, doubt), abs=0.5)


def test_mirrored_images_have_mirrored_labels(scripts: dict[str, ModuleType]) -> None:
    script, split = scripts["heads"], load_dataset("toy").train.subset(["train_0000"])
    both = script.Both(split)
    assert list(both.names) == ["train_0000", "train_0000 flipped"]
    assert (both.image("train_0000 flipped") == both.image("train_0000")[:, ::-1]).all()
    assert (both.image("train_0000") == split.image("train_0000")).all()


@pytest.mark.parametrize("judge", ["ByNeighbours", "ByRidge", "Calibrated", "ByPayoff", "WithAnswersOfImage"])
def test_other_judges_find_labels_that_their_features_contradict(scripts: dict[str, ModuleType], judge: str) -> None:
    """Features that give the true class away: whoever judges by them is better than the order of the masks."""
    script, dataset = scripts["instant"], load_dataset("toy")
    masks = make_masks(Experiment(dataset="toy").pseudo_labels, dataset, False)
    truth = truth_histogram(masks, dataset.train)
    known = np.eye(256, dtype=np.float16)[truth.majority][:, : len(masks.classes)]
    features = known + np.random.default_rng(0).normal(scale=0.1, size=known.shape).astype(np.float16)
    row = script.variant(masks, truth, features, 0, steps=4, judge=getattr(scripts["instant_variants"], judge))
    plain = script.variant(masks, truth, np.zeros_like(features), 0, steps=4, corrects=False)
    assert row["mean"] > plain["mean"] + 5
    assert script.variant(masks, truth, features, 0, steps=4, explore=1.0)["mean"] < row["mean"]


def test_features_are_pooled_over_borders_rings_and_images(scripts: dict[str, ModuleType]) -> None:
    """By hand: a map at the image's own size whose value is the column."""
    script = scripts["instant_variants"]
    index = np.full((40, 40), -1)
    index[5:35, 5:35], index[0, 0] = 0, 1
    maps = [np.broadcast_to(np.arange(40, dtype=np.float32), (1, 40, 40))]
    assert script.mean(maps, index, 2) == pytest.approx(np.array([[19.5], [0]]))
    deviation = np.arange(5, 35).std()
    assert script.with_deviation(maps, index, 2) == pytest.approx(np.array([[19.5, deviation], [0, 0]]), abs=1e-3)
    assert script.border_and_inside(maps + [stage**2 for stage in maps], index, 2)[1] == pytest.approx([0, 0, 0, 0])
    inside = script.border_and_inside([stage**2 for stage in maps], index, 2)[0, 1]
    assert inside == pytest.approx((np.arange(5 + script.BORDER, 35 - script.BORDER) ** 2).mean())
    assert script.with_image(maps, index, 2) == pytest.approx(np.array([[19.5, 19.5], [0, 19.5]]))
    around = np.where((index != 1) & (np.indices(index.shape).max(0) <= script.RING), 1, 0)
    expected = (around * np.arange(40)).sum() / around.sum()
    assert script.with_ring(maps, index, 2)[1] == pytest.approx([0, expected])


def test_an_order_is_judged_by_masks_pixels_and_labels(scripts: dict[str, ModuleType]) -> None:
    """By hand: rows 0, 2 and 3 are wrong, of labels 1, 1 and 2, with 4, 1 and 5 pixels."""
    script = scripts["find_compared"]
    labels, truth, area = np.array([1, 1, 1, 2]), np.array([0, 1, 255, 0]), np.array([4, 9, 1, 5])
    found = script.curves(np.array([2, 1, 3, 0]), labels, truth, area)
    assert found["precision"].tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])
    assert found["recall"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert found["recall_area"].tolist() == pytest.approx([0.1, 0.1, 0.6, 1])
    assert found["recall_class"].tolist() == pytest.approx([1 / 4, 1 / 4, 3 / 4, 1])
    value = script.average_precision(found["precision"], found["recall"])
    assert value == pytest.approx(average_precision_score(labels != truth, [1, 3, 4, 2]))
    precision, recall = script.tables({("mine", ""): [found], ("other", "all images"): [found]})
    assert precision["first 30"].tolist() == pytest.approx([75, 75]) and precision["its std"].isna().all()
    assert precision["θ learnt"].tolist() == ["–", "all images"] and recall["labels, 1255"].tolist() == [100, 100]
    fig = script.drawn(script.plotted(dict.fromkeys(script.DRAWN, [found])), "title")
    assert [len(axis.lines) for axis in fig.axes] == [len(script.DRAWN)] * 2
    assert fig.axes[1].lines[0].get_ydata()[-1] == 100
    assert sorted(script.ordered(np.zeros(5), 0)) == list(range(5))
    assert script.ordered(np.array([0, 2, 1.0]), 0).tolist() == [1, 2, 0]


def test_cleanlab_sees_the_pixels_of_each_mask(scripts: dict[str, ModuleType]) -> None:
    """The scores led over the images one by one are those of cleanlab and of this package on all at once."""
    pytest.importorskip("cleanlab")
    from cleanlab.internal.multilabel_scorer import softmin
    from cleanlab.segmentation.filter import find_label_issues

    script, dataset, rng = scripts["find_compared"], load_dataset("toy"), np.random.default_rng(0)
    names, k = dataset.train.names[:3], len(dataset.classes)
    height, width = dataset.train.image(names[0]).shape[:2]
    objects = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((height // 3, width // 4), np.int32)).astype(np.int32)
    labels = {name: {i: int(rng.integers(k)) for i in range(1, 13)} for name in names}
    masks = MaskSet.from_maps(dataset.classes, names, dict.fromkeys(names, objects), labels)
    probs = rng.dirichlet(np.full(k, 0.3), (3, *objects.shape)).transpose(0, 3, 1, 2).astype(np.float32)
    given = np.stack([masks.label_map(name) for name in names]).astype(np.int64)
    predict = dict(zip(names, torch.from_numpy(probs), strict=True)).__getitem__
    found = script.network_scores(predict, masks)
    issues = find_label_issues(given, probs, n_jobs=1, verbose=False)
    counted = np.stack([np.bincount(objects.ravel(), image.ravel(), 13)[1:] for image in issues]).ravel()
    assert found["cleanlab.segmentation, number of issues"].tolist() == counted.tolist() and counted.sum() > 0
    of_label = np.take_along_axis(probs, given[:, None], 1)[:, 0].astype(float)  # (3, H, W)
    inside = of_label[1][objects == 5][None]
    assert found["cleanlab.segmentation, softmin"][16] == pytest.approx(1 - softmin(inside, axis=1, temperature=0.1)[0])
    assert found["cleanlab on θ's mean, self-confidence"][16] == pytest.approx(1 - inside.mean(), abs=1e-6)

    class Known:
        """Predicts in the order in which it is asked."""

        rest = list(torch.from_numpy(probs))

        def predict(self, image: np.ndarray) -> torch.Tensor:
            return self.rest.pop(0)

    of_package, _ = gather_statistics(Known(), dataset.train, masks, class_weights(masks).weights, (), progress=False)
    np.testing.assert_array_equal(found["ABC"], of_package.abc)
    items = script.item_scores(rng.normal(size=(36, 4)), masks.table["label"].to_numpy(), np.arange(36), np.ones(36), 0)
    assert all(len(scores) == 36 for scores in items.values())


def test_labels_of_neighbours_are_counted_along_the_border(scripts: dict[str, ModuleType]) -> None:
    """By hand: mask 1 has two edges beside mask 2, one beside mask 3, which is void, and one beside no mask."""
    objects = np.array([[1, 1, 2], [1, 1, 2], [0, 3, 2]], np.int32)
    classes = load_dataset("toy").classes
    masks = MaskSet.from_maps(classes, ["a"], {"a": objects}, {"a": {1: 0, 2: 4, 3: 255}})
    found, k = scripts["lcm_neighbours"].neighbours(masks), len(classes)
    assert found.shape == (3, k + 2) and found.sum(1) == pytest.approx([1, 1, 1])
    assert found[0, [4, k, k + 1]] == pytest.approx([2 / 4, 1 / 4, 1 / 4])
    assert found[1, [0, k]] == pytest.approx([2 / 3, 1 / 3])
    assert found[2, [0, 4, k + 1]] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_lcms_of_one_round_are_compared_on_the_same_answers(scripts: dict[str, ModuleType]) -> None:
    """With features that give the true class away, every right proposal is best, and answers of both rounds teach."""
    script, dataset = scripts["lcm_inputs"], load_dataset("toy")
    masks = make_masks(Experiment(dataset="toy").pseudo_labels, dataset, False)
    truth, rng = truth_histogram(masks, dataset.train), np.random.default_rng(0)
    known = np.eye(256, dtype=np.float32)[truth.majority][:, : len(masks.classes)]
    feature = 0.9 * known + 0.1 / known.shape[1]
    found = [(feature, rng.random(len(masks)))] * 2
    first = script.asked(masks, truth, 0.05, found, None)
    second = script.asked(first.answered, truth, 0.05, found, first)
    assert len(first.rows) == len(second.rows) and not np.isin(second.rows, first.rows).any()
    settings = Experiment(dataset="toy").correction.model_copy(update={"acceptance": "bandit"})
    around, rows = scripts["lcm_neighbours"].neighbours(masks), {}
    for name in ("pooled, logistic", "the same, answers of both rounds"):
        proposed, evidence = script.lcm_of(second, known, around, 0, script.VARIANTS[name], settings)
        rows[name] = {row["accepted"]: row for row in script.rows_of(second, truth, proposed, evidence)}
        assert not proposed.accepted[np.concatenate([first.rows, second.rows])].any()
        best = rows[name]["every right one"]
        assert best["right"] == 100 and best["points"] > 10
    earlier = evidence.before.table["label"].to_numpy()[first.rows]
    assert len(evidence.rows) == 2 * len(second.rows)
    assert (earlier == masks.table["label"].to_numpy()[first.rows]).all()
