"""`method: instant`: features of masks, which labels are suspicious, what answers correct, and its rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_world import World
from PIL import Image
from skimage.color import rgb2lab
from small_runs import contents, dataset_folder, seeded
from tiny_backbones import NAME, save_weights
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment, MaskSet, Run
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.files import read_arrays, read_json, write_arrays
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.human.own_dataset import own_experiment
from a2lc.human.queue_csv import read_queue, write_queue
from a2lc.human.undo import undo_corrections
from a2lc.instant import Instant, InstantSettings, features_key, kept_features, mask_features
from a2lc.instant.colour import BINS, colour_features
from a2lc.instant.regressions import FOLDS, SURE, _Regression
from a2lc.pseudo_labels.sources import make_masks
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.frozen_parts import FrozenBackbone
from a2lc.widgets import Annotator
from a2lc.widgets.annotator import PAUSE
from a2lc.widgets.annotator_state import AnnotatorState

VOID = 255
COLOUR = {"instant": {"features": "colour"}}
TOY: dict[str, Any] = {"method": "instant", "seed": seeded(), "rounds": 2, "budget": 60, **COLOUR}


def test_what_does_not_fit_is_suspicious() -> None:
    world = World()
    found = world.instant().suspicion(world.labels, np.zeros(len(world.labels), bool))
    assert found.probabilities.shape == (240, 4) and found.probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    wrong = 1 - found.probabilities[np.arange(240), world.labels]
    assert np.median(wrong[world.wrong]) > 2 * np.median(wrong[~world.wrong])
    size = np.bincount(world.labels, world.masks.table["area"])
    assert found.scores == pytest.approx(world.masks.table["area"] / np.sqrt(size[world.labels]) * wrong, rel=1e-5)


def test_nothing_is_learnt_from_a_discarded_image() -> None:
    world = World()
    rows = np.arange(0, 240, 3)
    answered = world.answered(rows)
    image = answered.table["image"] == "image0"
    first = int(np.flatnonzero(image & ~answered.queried)[0])
    masks = answered.discard(np.array([first]), 1)
    assert (masks.silent == image & ~answered.queried).all()
    assert (masks.table["label"][masks.silent] == VOID).all()

    instant, labels = world.instant(), masks.table["label"].to_numpy().copy()
    present = instant.suspicion(labels, masks.queried, masks.silent)
    proposed = instant.corrections(masks, present)
    assert not proposed.accepted[masks.queried].any()
    labels[masks.silent] = 0
    instant.forget()
    assert (instant.suspicion(labels, masks.queried, masks.silent).probabilities == present.probabilities).all()
    instant.forget()
    given, said = np.flatnonzero(masks.queried & ~masks.silent), world.truth[masks.queried & ~masks.silent]
    sure = instant.predictions(given, said)[np.arange(240), instant.classes(proposed.predicted)]
    assert (given == rows).all() and (proposed.confidence == sure).all()


def test_no_model_judges_an_image_that_it_has_seen() -> None:
    """One image has labels of its own, which none of the others knows: they are suspicious however often it repeats
    them."""
    world = World(share=0.0)
    rows = world.masks.rows("image3")
    labels = world.labels.copy()
    labels[rows] = (labels[rows] + 1) % 3
    found = world.instant().suspicion(labels, np.zeros(len(labels), bool)).probabilities
    inside = np.zeros(len(labels), bool)
    inside[rows] = True
    of_label = found[np.arange(len(labels)), labels]
    assert of_label[inside].mean() < 0.3 < of_label[~inside].mean()
    fold = world.instant()._fold.reshape(8, -1)
    assert (fold == fold[:, :1]).all() and set(fold[:, 0]) == set(range(FOLDS))


def test_answers_weigh_more_than_labels() -> None:
    """Two kinds of masks with the same label; answers about some of one kind make the rest of it suspicious."""
    world = World(share=0.0, k=2)
    labels, kind = np.zeros(240, np.uint8), world.truth == 1
    nobody = np.zeros(240, bool)
    before = world.instant().suspicion(labels, nobody).probabilities
    assert (before[:, 0] == 1).all()  # one class is certain
    asked = nobody.copy()
    asked[np.flatnonzero(kind)[::4]] = True
    labels[asked] = 1
    after = world.instant().suspicion(labels, asked).probabilities[:, 0]
    assert after[kind & ~asked].mean() < 0.5 < after[~kind].mean()


def test_corrections_come_from_answers_and_are_made_anew() -> None:
    world = World(share=0.3)
    instant, nobody = world.instant(), np.zeros(240, bool)
    present = instant.suspicion(world.labels, nobody)
    nothing = instant.corrections(world.masks, present)
    assert not nothing.accepted.any() and (nothing.predicted == world.labels).all()
    asked = np.arange(0, 240, 2)
    masks = world.answered(asked)
    found = instant.corrections(masks, present)
    changed = np.flatnonzero(found.accepted)
    assert len(changed) > 20 and not set(changed) & set(asked)
    assert (found.predicted[changed] == world.truth[changed]).mean() > 0.9
    assert (found.confidence[changed] >= SURE[0]).all()
    both = present.probabilities
    assert (both[changed, found.predicted[changed]] > both[changed, world.labels[changed]]).all()
    assert not instant.corrections(masks, replace(present, probabilities=np.zeros_like(both))).accepted.any()
    # the same once more: nothing is left to do; a label from nowhere is put back
    corrected = masks.relabel(changed, found.predicted[changed], source="lcm", round=1, confidence=0.9)
    assert not instant.corrections(corrected, present).accepted.any()
    unsure = np.flatnonzero((found.predicted == world.labels) & ~masks.queried)
    if len(unsure):
        moved = corrected.relabel(unsure[:1], [(world.labels[unsure[0]] + 1) % 3], source="lcm", round=1, confidence=1)
        back = instant.corrections(moved, present)
        assert np.flatnonzero(back.accepted).tolist() == [unsure[0]]
        assert back.predicted[unsure[0]] == world.labels[unsure[0]]


def test_where_labels_are_right_nothing_is_corrected() -> None:
    """Answers that say that labels are right, and a few that do not, are no reason to change others."""
    world = World(share=0.0)
    rng = np.random.default_rng(seeded())
    world.features[:] = rng.normal(size=world.features.shape)  # they say nothing
    answers = world.truth[:120].copy()
    answers[::20] = (answers[::20] + 1) % 3
    masks = world.masks.relabel(np.arange(120), answers, source="annotator", round=1)
    instant = world.instant()
    present = instant.suspicion(masks.table["label"].to_numpy(), masks.queried)
    assert not instant.corrections(masks, present).accepted.any()


def test_enough_is_what_held_out_answers_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    world, rows = World(share=0.0), np.arange(12)
    instant, nobody = world.instant(), np.zeros(240, bool)
    present = instant.suspicion(world.labels, nobody)
    likely = np.full_like(present.probabilities, 0.5)
    likely[np.arange(240), instant.first] = 0  # present labels agree to everything
    present = replace(present, probabilities=likely)
    answers = ((instant.first[:12] + 1) % 3).astype(np.uint8)  # all first labels are wrong

    def enough(right: int, sure: float) -> float:
        said = np.where(rows < right, answers, (answers + 1) % 3)
        monkeypatch.setattr(instant, "held_out", lambda *_: (said.astype(np.int64), np.full(12, sure)))
        return instant._enough(rows, answers, present)

    assert enough(12, 0.95) == 0.7  # 12 - 2 sqrt(12) > 0; of equals the lowest
    assert enough(6, 0.95) == np.inf  # 6 - 2 sqrt(12) < 0
    assert enough(12, 0.6) == np.inf  # none was tried
    assert enough(7, 0.75) == 0.7
    present.probabilities[:, :] = likely[:, ::-1] * 0
    assert enough(12, 0.95) == np.inf  # present labels do not agree


def test_void_is_an_answer_but_never_a_correction() -> None:
    world = World(share=0.0)
    asked = np.arange(0, 240, 2)
    masks = world.masks.relabel(asked, np.full(120, VOID), source="annotator", round=1)
    instant = world.instant()
    assert (instant.predictions(asked, np.full(120, VOID, np.uint8))[:, 3] == 1).all()
    suspicious = instant.suspicion(masks.table["label"].to_numpy(), masks.queried)
    assert not instant.corrections(masks, suspicious).accepted.any()
    assert np.isfinite(suspicious.scores).all() and (suspicious.scores >= 0).all()


def test_held_out_predictions_do_not_know_the_answer() -> None:
    """Of an image that is unlike all others the others know nothing."""
    world = World(share=0.0)
    answers, every = world.truth.astype(np.uint8), np.arange(240)
    said, sure = world.instant().held_out(every, answers)
    assert (said == world.truth).mean() > 0.9 and (sure > 1 / 3).all() and (sure <= 1).all()
    rows = world.masks.rows("image3")
    answers[rows] = (answers[rows] + 1) % 3
    said, _ = world.instant().held_out(every, answers)
    assert (said[rows] == answers[rows]).mean() < 0.2
    alone = world.instant().held_out(every[:1], answers[:1])
    assert (alone[0] == -1).all() and (alone[1] == 0).all()


def test_forgetting_makes_it_depend_on_labels_alone() -> None:
    world, other = World(), World(share=0.5, seed=1)
    nobody, fresh = np.zeros(240, bool), World().instant()
    wanted = fresh.suspicion(world.labels, nobody).scores
    used = world.instant()
    used.suspicion(other.labels, nobody)
    used.forget()
    assert (used.suspicion(world.labels, nobody).scores == wanted).all()


@pytest.mark.parametrize("k", [2, 4])
def test_predictions_without_standardised_features_are_those_of_scikit_learn(k: int) -> None:
    """The weights are scaled instead of the features; these are far from 0, as a network's are."""
    world = World(k=k)
    world.features = (world.features * np.arange(1, world.features.shape[1] + 1) + 20).astype(np.float16)
    instant, rows = world.instant(), np.arange(0, 240, 2)
    for with_label in (False, True):
        inputs = (instant._with_label if with_label else instant._inputs)(np.arange(240))
        regression = _Regression(0.02)
        regression.fit(inputs[rows], world.truth[rows], None)
        found = np.zeros((240, k + 1), np.float32)
        instant._predict(regression, np.arange(240), found, with_label)
        assert found[:, regression.classes] == pytest.approx(regression.probabilities(inputs), abs=1e-4)
        assert (found.max(1) < 0.999).any() and (found[:, k] == 0).all()


def test_many_masks_are_learnt_from_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2lc.instant.regressions.FIT_MASKS", 60)
    monkeypatch.setattr("a2lc.instant.regressions.AT_ONCE", 7)
    world = World(images=20)
    asked = np.zeros(600, bool)
    asked[::30] = True
    instant = world.instant()
    learnt = instant._at_most(np.arange(600), asked)
    assert len(learnt) == 60 and asked[learnt].sum() == 20 and (np.diff(learnt) > 0).all()
    wrong = 1 - instant.suspicion(world.labels, asked).probabilities[np.arange(600), world.labels]
    assert np.median(wrong[world.wrong]) > 2 * np.median(wrong[~world.wrong])


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 4),
    masks=st.integers(2, 5),
    k=st.integers(2, 4),
    share=st.sampled_from([0.0, 0.5, 1.0]),
    data=st.data(),
)
def test_the_smallest_worlds(images: int, masks: int, k: int, share: float, data: st.DataObject) -> None:
    """One image, fewer masks than folds, one class, all wrong, contradictory answers, void, constant features."""
    world = World(images, masks, k, share)
    if data.draw(st.booleans(), label="constant features"):
        world.features[:] = 1
    total = images * masks
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, total - 1)))), dtype=np.int64)
    answers = np.array([data.draw(st.sampled_from([*range(k), VOID])) for _ in rows], dtype=np.int64)
    masked = world.masks.relabel(rows, answers, source="annotator", round=1) if len(rows) else world.masks
    instant, labels = world.instant(), masked.table["label"].to_numpy()
    found = instant.suspicion(labels, masked.queried)
    proposed = instant.corrections(masked, found)
    assert np.isfinite(found.scores).all() and (found.scores >= -1e-6).all()
    assert found.probabilities.sum(1) == pytest.approx(1, abs=1e-4)
    assert not (proposed.accepted & masked.queried).any()
    assert ((proposed.predicted < k) | (proposed.predicted == VOID)).all()
    assert all(len(part) == len(rows) for part in instant.held_out(rows, answers))


def test_wrong_features_are_named() -> None:
    world = World()
    with pytest.raises(ValueError, match=r"features: expected \(240, C\), a row per mask, found \(239, 120\)"):
        Instant(world.features[1:], world.masks)
    world.features[5, 1] = np.nan
    with pytest.raises(ValueError, match="features: expected finite numbers, found NaN or infinity"):
        world.instant()


# ------------------------------------------------------------------------------------------------ features of masks
def test_features_are_averages_over_cells(tmp_path: Path) -> None:
    weights = save_weights(tmp_path)
    dataset_folder(tmp_path / "data", (48, 64))
    dataset = load_dataset("folder", tmp_path / "data")
    masks = make_masks(Experiment(dataset="folder", root=tmp_path / "data").pseudo_labels, dataset, False)
    places = SegmenterSettings(network="frozen", backbone=NAME, weights=weights)
    found = mask_features(NAME, masks, dataset.train, segmenter=places, progress=False)
    name = masks.names[1]
    index, rows = masks.index_map(name), masks.rows(name)
    backbone = FrozenBackbone(places, torch.device("cpu"), None)
    for row in range(rows.start, rows.stop):
        ys, xs = np.nonzero(index == row - rows.start)
        wanted = []
        for stage in backbone.maps(dataset.train.image(name)):
            stage = stage[0].numpy()
            h, w = stage.shape[1:]
            wanted += [np.mean([stage[:, y * h // 48, x * w // 64] for y, x in zip(ys, xs, strict=True)], axis=0)]
        assert found[row] == pytest.approx(np.concatenate(wanted), abs=2e-3)
    assert found.dtype == np.float16 and len(found) == len(masks)


def test_colours_are_those_of_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    index = rng.integers(-1, 3, (9, 12))
    found = colour_features(image, index, 3)
    lab = rgb2lab(image) / 100
    for mask in range(3):
        inside = index == mask
        of_mask, ys = lab[inside], np.nonzero(inside)[0] / 9
        assert found[mask, :3] == pytest.approx(of_mask.mean(0), abs=1e-4)
        assert found[mask, 7:10] == pytest.approx(of_mask.std(0), abs=1e-3)
        assert found[mask, 5] == pytest.approx(ys.mean(), abs=1e-5)
        light = np.histogram(of_mask[:, 0], BINS, (0, 1))[0] / inside.sum()
        assert found[mask, 14 : 14 + BINS] == pytest.approx(light, abs=1e-5)
        assert found[mask, -2] == pytest.approx(np.log(inside.sum() / 108), abs=1e-5)
    assert found.shape == (3, 33) and np.isfinite(found).all()
    one = colour_features(np.zeros((5, 5, 3), np.uint8), np.where(np.eye(5) == 1, 0, -1) * 1, 1)
    assert np.isfinite(one).all()


def test_colours_of_strips_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    image, index = rng.integers(0, 256, (70, 20, 3)).astype(np.uint8), rng.integers(-1, 4, (70, 20))
    whole = colour_features(image, index, 4)
    for rows in (1, 11, 35):
        monkeypatch.setattr("a2lc.instant.colour.STRIP", 20 * rows)
        assert colour_features(image, index, 4) == pytest.approx(whole, abs=1e-5)


def test_kept_features_are_used_only_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset_folder(tmp_path / "data")
    root, kept = tmp_path / "data", tmp_path / "kept"
    counted: list[int] = []

    def count(image: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
        counted.append(n)
        return colour_features(image, index, n)

    monkeypatch.setattr("a2lc.instant.features.colour_features", count)

    dataset = load_dataset("folder", root)
    masks = make_masks(Experiment(dataset="folder", root=root).pseudo_labels, dataset, False)

    def get() -> np.ndarray:
        return mask_features("colour", masks, load_dataset("folder", root).train, kept=kept, progress=False)

    first = get()
    assert (get() == first).all() and (kept_features(kept, "colour") == first).all()
    n = len(counted)
    file = kept / "mask_features-colour.safetensors"
    file.write_bytes(file.read_bytes()[:-10])  # damaged
    assert (get() == first).all() and len(counted) == 2 * n
    write_arrays(file, read_arrays(file) | {"key": np.zeros(32, np.uint8)})  # foreign
    assert (get() == first).all() and len(counted) == 3 * n
    picture = next((root / "images").glob("a.*"))
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)  # another image of the same name and size
    assert (get() != first).any() and len(counted) == 4 * n
    write_arrays(file, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match="expected an array 'features', found other"):
        kept_features(kept, "colour")
    with pytest.raises(ValueError, match="expected an array 'key', found other"):
        features_key(kept, "colour")
    with pytest.raises(FileNotFoundError):
        kept_features(tmp_path, "colour")


# ------------------------------------------------------------------------------------------------ rounds
@pytest.fixture
def eager() -> Iterator[None]:
    """Masks are corrected, sure or not."""
    with corrects_eagerly():
        yield


@contextmanager
def corrects_eagerly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("a2lc.instant.regressions.SURE", (0.0,))
        patched.setattr("a2lc.instant.regressions.DOUBT", -1e6)
        yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with corrects_eagerly():
        return a2lc.run(Experiment(**TOY), tmp_path_factory.mktemp("runs"), progress=False)


def test_a_run_without_a_network(toy: Run) -> None:
    assert toy.finished
    summary = toy.summary
    assert summary["clicks"].tolist() == [0, 60, 120] and summary["model_miou"].isna().all()
    first, second = toy.queries(1), toy.queries(2)
    assert not set(first["row"]) & set(second["row"])
    truth = a2lc.metrics.truth_histogram(toy.masks(0), a2lc.load_dataset("toy").train).majority
    assert (first["answer"].to_numpy() == truth[first["row"]]).all()
    table = toy.masks(2).table
    assert (table["label"].to_numpy()[second["row"]] == second["answer"]).all()
    auto = (table["source"] == "lcm").to_numpy()
    assert auto.any() and (table["confidence"][auto] >= 0).all()
    with pytest.raises(FileNotFoundError, match="round 2 has no segmenter.safetensors"):
        toy.segmenter(2)
    assert Run.open(toy.path).config == toy.config and not (toy.path / "round_01" / "working.safetensors").exists()


def test_the_order_changes_within_a_round(toy: Run, tmp_path: Path) -> None:
    """The first `reorder_every` are those of the first order, the others need not be; in one piece, all are."""
    order = np.argsort(-toy.folder(1).scores(), kind="stable")
    asked = toy.queries(1)["row"].to_numpy()
    assert (asked[:25] == order[:25]).all()
    fields = TOY | {"rounds": 1, "instant": {"features": "colour", "reorder_every": 60}}
    whole = a2lc.run(Experiment(**fields), tmp_path, progress=False)
    assert (whole.queries(1)["row"].to_numpy() == np.argsort(-whole.folder(1).scores(), kind="stable")[:60]).all()


def test_without_corrections_only_answers_change_labels(tmp_path: Path) -> None:
    run = a2lc.run(Experiment(**TOY | {"rounds": 1, "lcm": False}), tmp_path, progress=False)
    assert run.summary["n_auto"].tolist() == [0, 0] and (run.masks().table["source"] != "lcm").all()


def test_the_last_round_may_train(tmp_path: Path) -> None:
    fields = TOY | {"instant": {"features": "colour", "train": "last"}, "segmenter": {"iterations": 2}}
    run = a2lc.run(Experiment(**fields), tmp_path, progress=False)
    assert run.summary["model_miou"].notna().tolist() == [False, False, True]
    assert run.segmenter(2).predict(np.zeros((32, 32, 3), np.uint8)).shape == (14, 32, 32)
    again = a2lc.run(Experiment(**fields | {"rounds": 3}), tmp_path, progress=False)  # goes on
    assert again.path == run.path and again.summary["model_miou"].notna().tolist() == [False, False, True, True]


def test_a_run_that_ends_before_its_last_round_says_that_no_model_is_trained(tmp_path: Path) -> None:
    fields = TOY | {
        "instant": {"features": "colour", "train": "last", "reorder_every": 1_000},
        "budget": 9_999,
        "segmenter": {"iterations": 2},
    }
    ends = "the run ends after round 1, without a model: `rounds: 1` in another runs_dir trains one"
    with pytest.warns(UserWarning, match=ends), pytest.warns(UserWarning, match="are left: all of them are queried"):
        run = a2lc.run(Experiment(**fields), tmp_path, progress=False)
    assert run.finished and run.summary["model_miou"].isna().all()


def test_without_a_round_the_first_labels_are_the_last(tmp_path: Path) -> None:
    fields = TOY | {"instant": {"features": "colour", "train": "last"}, "rounds": 0, "segmenter": {"iterations": 2}}
    run = a2lc.run(Experiment(**fields), tmp_path, progress=False)
    assert run.summary["model_miou"].notna().tolist() == [True]


@pytest.mark.usefixtures("eager")
def test_the_same_run_gives_the_same_files(toy: Run, tmp_path: Path) -> None:
    again = a2lc.run(Experiment(**TOY), tmp_path, progress=False)
    assert contents(again.path) == contents(toy.path)


def test_a_run_goes_on_with_the_features_that_it_began_with(waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = read_json(waiting.path / "provenance.json")["features"]
    assert kept == features_key(waiting.initial, "colour") and len(kept) == 16
    a2lc.run(waiting.config, waiting.path.parent, progress=False)
    queue = Queue(waiting)
    while queue.current:
        queue.answer("confirm")
    monkeypatch.setattr("a2lc.instant.features.VERSION", 0)  # as with other weights: another key
    with pytest.raises(
        ValueError, match=f"began with features {kept} of colour, and these are .*put the former images"
    ):
        next_round(waiting, progress=False)
    monkeypatch.undo()
    assert a2lc.run(waiting.config, waiting.path.parent, progress=False).finished_rounds <= 1


def test_missing_weights_say_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    fields = TOY | {"instant": {"features": "resnet18.a1_in1k"}, "segmenter": {"offline": True, "weights": tmp_path}}
    with pytest.raises((FileNotFoundError, ValueError), match="resnet18.a1_in1k"):
        a2lc.run(Experiment(**fields), tmp_path / "runs", progress=False)
    places = SegmenterSettings(offline=True, weights=tmp_path)
    dataset = load_dataset("toy")
    with pytest.raises(FileNotFoundError, match="`features: colour` needs none"):
        mask_features(NAME, MaskSet.load(_masks_of(tmp_path)), dataset.train, segmenter=places, progress=False)


def _masks_of(tmp_path: Path) -> Path:
    return a2lc.run(Experiment(**TOY | {"rounds": 0}), tmp_path / "other", progress=False).initial


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instant": {"features": "../x"}}, r"instant.features: .*'\.\./x'"),
        ({"instant": {"reorder_every": 0}}, "instant.reorder_every: .*found 0"),
        ({"instant": {"train": "first"}}, "instant.train: .*'first'"),
        ({"query": "pixel"}, "query: acquisition 'instant' takes 'mask', found 'pixel'"),
        ({"correction": {"guard": True}}, "correction.guard: belongs to the LCM"),
        ({"method": "a2lc"}, "instant: belongs to acquisition 'instant', found 'abc'"),
        ({"pseudo_labels": {"kind": "superpixels", "superpixels": {"side": 32}}}, "acquisition: superpixels take"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(**TOY | fields)


def test_runs_of_other_methods_keep_their_names() -> None:
    assert Experiment(dataset="toy").name == "toy-a2lc-s0-b3569362"
    assert InstantSettings().reorder_every == 25


# ------------------------------------------------------------------------------------------------ a person
@pytest.fixture
def waiting(tmp_path: Path) -> Run:
    fields = TOY | {"annotator": "human", "budget": 8, "instant": {"features": "colour", "reorder_every": 1}}
    return a2lc.run(Experiment(**fields), tmp_path, progress=False)


def right(queue: Queue) -> str:
    truth = a2lc.load_dataset("toy").train.ground_truth(queue.current.image)  # type: ignore[union-attr]
    inside = queue.masks.object_map(queue.current.image) == queue.current.mask_id  # type: ignore[union-attr]
    label = int(np.bincount(truth[inside]).argmax())
    return "void" if label == VOID else queue.classes.names[label]


def test_a_person_is_asked_in_a_new_order_after_each_answer(waiting: Run) -> None:
    state = AnnotatorState(waiting)
    first = [query.row for query in state.queue.queries]
    shown: list[int] = []
    while state.query is not None:
        assert state.query == state.queue.queries[len(shown)]
        assert len(state.view()["query"]["model"]) == 3
        shown.append(state.query.row)
        state.answer("skip" if len(shown) == 3 else right(state.queue))
    assert len(set(shown)) == 8 and shown[0] == first[0] and state.queue.answered == 7
    again = Queue(waiting)
    assert [query.row for query in again.queries] == shown and not again.pending
    back = AnnotatorState(waiting)
    back.undo()
    assert back.query is not None and back.query.row == shown[-1]
    back.answer("confirm")
    assert {query.row for query in Queue(waiting).queries} == set(shown)
    run = next_round(waiting, progress=False)
    assert run.waits_for in ("approval", "answers") and run.queries(1)["row"].tolist() == [*shown[:2], *shown[3:]]
    table = run.masks(0).table.iloc[run.queries(1)["row"]]
    assert run.queries(1)["image"].tolist() == table["image"].tolist()


def test_answers_that_come_quickly_renew_the_order_once(waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel: after a pause, or when as many have come as questions keep their order. What the page was told to
    come does come."""
    annotator = Annotator(waiting, live=True)
    renewed: list[int] = []
    really = annotator.state.renew
    monkeypatch.setattr(annotator.state, "renew", lambda: (renewed.append(annotator.state.queue.answered), really())[1])

    async def press(times: int) -> None:
        for _ in range(times):
            query = annotator.widget.view["query"]
            ahead = [(one["image"], one["mask_id"]) for one in annotator.widget.view["ahead"]]
            of, number = [query["image"], query["mask_id"]], annotator.widget.heard.get("page", 0) + 1
            annotator._on_message({"client": "page", "id": number, "do": 1, "of": of, "view": 0})
            shown = annotator.widget.view["query"]
            assert (shown["image"], shown["mask_id"]) == ahead[0]
        replies = annotator.widget.replies
        await asyncio.sleep(2 * PAUSE)
        assert annotator.widget.replies == replies + 1 and annotator.state.queue.answered == renewed[-1]

    with ThreadPoolExecutor(1) as another:  # in this thread, a browser's loop may be running
        another.submit(asyncio.run, press(3)).result()
        assert renewed == [3]
        monkeypatch.setattr("a2lc.widgets.annotator.AHEAD", 2)
        another.submit(asyncio.run, press(3)).result()
    assert renewed == [3, 5, 6]


def test_after_some_answers_a_line_says_what_to_expect(waiting: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2lc.human.live_order.FEWEST", 3)
    state = AnnotatorState(waiting)
    assert state.view()["outlook"] == "After 20 answers, what to expect of all labels stands here."
    said = [state.answer("confirm") and state.view()["outlook"] for _ in range(4)]
    assert [line.startswith("Expected: ") for line in said] == [False, False, True, True] and said[2] != said[3]
    printed = CliRunner().invoke(app, ["queue", str(waiting.path)]).stdout.splitlines()
    assert printed[0] == "round 1: 8 masks, 4 answered, 0 skipped, 4 left" and printed[1].startswith("Expected: ")
    assert "Expected: " in Annotator(waiting, live=False)._drawn().get_suptitle()


def test_a_queue_goes_on_with_the_answers_of_another_process(waiting: Run) -> None:
    state = AnnotatorState(waiting)
    for _ in range(3):
        state.answer("confirm")
    asked = [query.row for query in state.queue.queries[:3]]
    other = AnnotatorState(waiting)
    assert [query.row for query in other.queue.queries[:3]] == asked and other.query == other.queue.queries[3]
    assert len(other.queue) == 8
    other.answer("confirm")
    state.answer("confirm")  # what it shows is answered, whoever else has answered meanwhile
    assert Queue(waiting).answered in (4, 5)


@pytest.mark.usefixtures("eager")
def test_corrections_wait_for_approval_with_an_estimate(tmp_path: Path) -> None:
    fields = TOY | {"annotator": "human", "budget": 150}
    run = a2lc.run(Experiment(**fields), tmp_path, progress=False)
    queue = Queue(run)
    truth = a2lc.metrics.truth_histogram(queue.masks, a2lc.load_dataset("toy").train).majority
    names = [*queue.classes.names]
    queue.answer_many((q.position, "void" if truth[q.row] == VOID else names[truth[q.row]]) for q in queue.queries)
    run = next_round(run, progress=False)
    assert run.waits_for == "approval"
    approval = Approval(run)
    assert len(approval.table) and approval.table["right"].between(0, 1).all()
    rejected = approval.table.iloc[0]  # there is one: all answers name classes, and any is sure enough
    approval.reject(masks=[(rejected["image"], rejected["mask_id"])])
    approval.close(enough=True)
    run = next_round(run, progress=False) if run.waits_for == "approval" else a2lc.run(run.config, tmp_path)
    row = run.masks(0).row(rejected["image"], rejected["mask_id"])
    assert run.masks(1).table["source"][row] == "initial"


@pytest.mark.usefixtures("eager")
def test_what_was_undone_stays_undone(toy: Run, tmp_path: Path) -> None:
    run = a2lc.run(Experiment(**TOY | {"rounds": 1}), tmp_path, progress=False)
    auto = run.masks().table[lambda t: t["source"] == "lcm"].iloc[0]
    undo_corrections(run, [(auto["image"], int(auto["mask_id"]))])
    run = a2lc.run(Experiment(**TOY), tmp_path, progress=False)
    row = run.masks(0).row(auto["image"], int(auto["mask_id"]))
    assert run.masks(2).table["source"][row] != "lcm"


def test_only_instant_runs_change_their_order(tmp_path: Path) -> None:
    fields = {"annotator": "human", "rounds": 1, "budget": 3, "segmenter": {"iterations": 1}}
    queue = Queue(a2lc.run(Experiment(**fields), tmp_path, progress=False))
    with pytest.raises(ValueError, match="its queue has one order, only `method: instant` changes it"):
        queue.reorder(np.arange(3))
    assert replace(queue.queries[0], position=1) != queue.queries[0]


# ------------------------------------------------------------------------------------------------ several at once
@pytest.fixture
def asked(tmp_path: Path) -> Run:
    """Waits for 40 answers, so many that something is said of all labels."""
    fields = TOY | {"annotator": "human", "budget": 40, "instant": {"features": "colour", "reorder_every": 1}}
    return a2lc.run(Experiment(**fields), tmp_path, progress=False)


def test_a_widget_that_is_opened_anew_expects_the_same(asked: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks that look alike and answers that are all the same, so that answers correct nearly all masks; up to where
    the fits stop."""
    alike = np.random.default_rng(0).normal(0, 0.5, (len(asked.masks(0)), 10)).astype(np.float16)
    monkeypatch.setattr(a2lc.instant, "kept_features", lambda *_: alike)
    state = AnnotatorState(asked)
    for _ in range(35):
        state.answer(0)
    again = AnnotatorState(asked)
    assert state._order is not None and again._order is not None
    live, reopened = state._order.outlook, again._order.outlook
    assert live is not None and reopened is not None and live.answers == reopened.answers == 35
    assert reopened.right == pytest.approx(live.right, abs=0.05)
    assert reopened.next_wrong == pytest.approx(live.next_wrong, abs=3)


def test_answers_taken_back_or_changed_change_what_is_expected(asked: Run) -> None:
    state = AnnotatorState(asked)
    for _ in range(22):
        state.answer("confirm")
    confirmed = state.outlook
    for position in range(22):
        state._show(state.queue.queries[position])
        state.answer("void")
    assert state.outlook != confirmed and state.queue.answered == 22
    for _ in range(3):
        state.undo()
    state.queue.refresh()
    while state.queue.undo():
        pass
    state.answer("confirm")
    assert state.outlook == "After 20 answers, what to expect of all labels stands here."


def test_an_answer_goes_to_the_mask_that_is_shown(asked: Run) -> None:
    """Another process answers other masks meanwhile, which moves the rest of the queue."""
    state = AnnotatorState(asked)
    state.step(8)
    shown = state.query
    assert shown is not None
    other = Queue(asked, "another")
    for query in other.queries[-3:]:
        other.answer("confirm", query)
    state.enough()
    assert state.query is not None and state.query.row == shown.row and state.query.position == 11
    state.answer("void")
    assert Queue(asked).answer_to(shown).label == VOID  # type: ignore[union-attr]
    assert Queue(asked).answered == 4


def test_undo_takes_back_what_was_answered_elsewhere(asked: Run) -> None:
    here, there = Queue(asked), Queue(asked)
    here.answer("confirm")
    far = next(row for row in range(len(here.masks)) if row not in {query.row for query in here.queries})
    table = here.masks.table.iloc[far]
    query = there.find(table["image"], table["mask_id"])
    assert query is not None and query.position == len(there)
    there.answer("void", query)
    back = here.undo()
    assert back is not None and back.row == far and here.answered == 1


def test_a_table_of_an_earlier_order_is_read(asked: Run, tmp_path: Path) -> None:
    """It names masks that other answers have put out of the queue; none of its answers is lost."""
    write_queue(Queue(asked), path := tmp_path / "q.csv")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[table.index[-2:], "answer"] = "void"
    table.to_csv(path, index=False)
    queue, inside = Queue(asked), {query.row for query in Queue(asked).queries}
    outside = [row for row in range(len(queue.masks)) if row not in inside][:5]
    queue.reorder(np.array(outside))
    for query in queue.queries[:5]:
        queue.answer("confirm", query)
    last = {(row.image, int(row.mask_id)) for row in table.iloc[-2:].itertuples()}
    assert not last & {(query.image, query.mask_id) for query in queue.queries}
    with pytest.raises(ValueError, match="holds 2 answers that are not in the queue"):
        write_queue(queue, path)
    assert read_queue(queue, path) == 2 and queue.answered == 7
    write_queue(queue, path)
    run = next_round(asked, enough=True, progress=False)
    said = run.queries(1)
    assert last <= set(zip(said["image"], said["mask_id"], strict=True)) and len(said) == 7


def test_features_that_are_gone_are_made_anew(asked: Run) -> None:
    file = asked.initial / "mask_features-colour.safetensors"
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(
        FileNotFoundError, match="features of masks are gone: a2lc next RUN or a2lc.run makes them anew"
    ):
        AnnotatorState(asked)
    a2lc.run(asked.config, asked.path.parent, progress=False)
    assert file.read_bytes() == kept
    AnnotatorState(asked)
    arrays = read_arrays(file)
    write_arrays(file, arrays | {"key": arrays["key"][::-1].copy()})  # another run has made them of other pictures
    with pytest.raises(ValueError, match="began with features .* and these are .* put the former images"):
        AnnotatorState(asked)
    file.write_bytes(kept)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instant": "colour"}, "instant"),
        ({"instant": False}, "instant"),
        ({"acquisition": "sim"}, "acquisition: method 'instant', the default, takes none of these; name the method"),
        ({"scoring": {}, "correction": {}}, "correction, scoring: method 'instant'"),
    ],
)
def test_fields_that_the_default_has_no_use_for_are_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        own_experiment(tmp_path, **fields)
    assert "\n" not in str(refused.value)
    assert own_experiment(tmp_path, instant=None).is_instant
