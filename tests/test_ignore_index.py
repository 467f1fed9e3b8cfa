"""Void has any value from K to 255: the same numbers everywhere, and the same value back in the files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scripted import ByColour

import a2lc
from a2lc.acquisition import ACQUISITION_FUNCTIONS, class_weights, explain_mask, gather_statistics, score_masks
from a2lc.correction import Oracle
from a2lc.datasets import load_dataset
from a2lc.files import read_label_png, write_label_png
from a2lc.human import Queue, next_round
from a2lc.human.exports import export_folder, export_voc
from a2lc.human.write_back import apply_changes, revert_changes, write_back, write_changes
from a2lc.masks import MaskSet
from a2lc.metrics import data_miou, truth_histogram
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.segmenter import IGNORE, build_segmenter, ignoring_void
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.stages.names import data_hash, masks_name

NAMES = ("grass", "rock", "water")
K = len(NAMES)
SIZE = (24, 32)
OWN = {"kind": "own_labels"}
VOIDS = st.integers(K, 255)
FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def draw(root: Path, void: int) -> Path:
    """Three images with a void stripe; labels to correct with void regions, ground truth with void regions."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    colours = {name: rng.integers(0, 256, 3).tolist() for name in NAMES}
    (root / "classes.json").write_text(json.dumps({"classes": colours, "ignore_index": void}), encoding="utf-8")
    for name in ("a", "b", "c"):
        truth = rng.integers(0, K, (3, 4)).repeat(8, 0).repeat(8, 1)
        truth[:8, :8] = void
        labels = (truth + 1) % K
        labels[truth == void] = 0
        labels[16:, 24:] = void
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(root / "images" / f"{name}.png")
        write_label_png(root / "labels" / f"{name}.png", labels)
        write_label_png(root / "ground_truth" / f"{name}.png", truth)
    return root


def masks_of(root: Path) -> tuple[a2lc.Dataset, MaskSet]:
    """Twelve masks an image, a quarter of the pixels covered by none."""
    data = load_dataset("folder", root)
    objects = np.arange(1, 13).reshape(3, 4).repeat(8, 0).repeat(8, 1)
    objects[:, ::4] = 0
    labels = {name: data.train.pseudo_labels(name) for name in data.train.names}
    of_mask = {name: {i: int(labels[name][objects == i][0]) for i in range(1, 13)} for name in labels}
    return data, MaskSet.from_maps(data.classes, data.train.names, dict.fromkeys(labels, objects), of_mask)


@pytest.fixture(scope="module")
def at_255() -> Iterator[tuple[a2lc.Dataset, MaskSet]]:
    with TemporaryDirectory() as folder:
        yield masks_of(draw(Path(folder) / "data", 255))


def same(labels: np.ndarray, void: int) -> np.ndarray:
    """Labels with another void, as they are with 255."""
    return np.where(labels == void, 255, labels)


@FEW
@given(VOIDS)
def test_everything_that_is_measured_is_the_same(at_255: tuple[a2lc.Dataset, MaskSet], void: int) -> None:
    wanted_data, wanted = at_255
    with TemporaryDirectory() as folder:
        data, masks = masks_of(draw(Path(folder) / "data", void))
        assert data.classes.ignore_index == void and masks.uncovered == void
        for name in masks.names:
            for read in ("ground_truth", "pseudo_labels"):
                found = getattr(data.train, read)(name)
                assert (same(found, void) == getattr(wanted_data.train, read)(name)).all() and void in found
            assert (same(masks.label_map(name), void) == wanted.label_map(name)).all()
        truth, wanted_truth = truth_histogram(masks, data.train), truth_histogram(wanted, wanted_data.train)
        assert (truth.counts == wanted_truth.counts).all() and (truth.uncovered == wanted_truth.uncovered).all()
        assert (same(truth.majority, void) == wanted_truth.majority).all() and void in truth.majority
        assert truth.ceiling(masks).miou == wanted_truth.ceiling(wanted).miou
        assert data_miou(masks, data.train) == data_miou(wanted, wanted_data.train)
        rows = np.arange(len(masks))
        answers = Oracle(data.train, truth).answer(rows, masks, np.full(len(masks), -1))
        answered = masks.relabel(rows[::2], answers[::2], source="annotator", round=1)
        assert (answered.table["label"].to_numpy()[::2] == truth.majority[::2]).all()
        weights = class_weights(answered)
        assert weights.kl >= 0 and weights.pixel_counts.sum() < answered.table["area"].sum()
        with pytest.raises(ValueError, match="outside the class list"):
            masks.relabel(rows, np.full(len(rows), K if void > K else K + 1), source="annotator", round=1)
        masks.save(Path(folder) / "saved")
        assert (MaskSet.load(Path(folder) / "saved").table == masks.table).drop(columns="confidence").all(axis=None)


def test_shared_masks_of_another_void_are_not_taken(tmp_path: Path) -> None:
    names, hashes = [], []
    for void in (255, 200, 201):
        data = load_dataset("folder", draw(tmp_path / str(void) / "data", void))
        names.append(masks_name(PseudoLabels(**OWN), data))
        hashes.append(data_hash(data))
    assert len(set(names)) == len(set(hashes)) == 3
    assert hashes[0] == "ca35f39c55bda9e4"  # the usual one is no part of it: runs of earlier versions keep their names


@FEW
@given(VOIDS, st.sampled_from(sorted(ACQUISITION_FUNCTIONS)))
def test_scores_are_the_same(at_255: tuple[a2lc.Dataset, MaskSet], void: int, function: str) -> None:
    _, masks = at_255
    objects, labels = masks.object_map("a"), masks.label_map("a")
    probs = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(K), size=SIZE).transpose(2, 0, 1).copy())
    other = np.where(labels == 255, void, labels).astype(np.uint8)
    weights = np.array([0.2, 1.0, 0.5])
    wanted = score_masks(probs, objects, labels, function, weights)
    assert score_masks(probs, objects, other, function, weights, ignore_index=void) == wanted
    for mask_id in (1, 12):
        rows = [
            explain_mask(probs, objects, each, mask_id, weights, value).row
            for each, value in ((labels, 255), (other, void))
        ]
        assert rows[0]["score"] == rows[1]["score"]
    if void != 255:
        with pytest.raises(ValueError, match=f"or be {void}, found 255"):
            score_masks(probs, objects, labels, function, weights, ignore_index=void)


@pytest.mark.parametrize("void", [K, 77, 254])
def test_a_network_learns_the_same(void: int, tmp_path: Path) -> None:
    networks = []
    for value in (255, void):
        data, masks = masks_of(draw(tmp_path / str(value), value))
        labels = ignoring_void(masks.label_map, masks.classes)
        assert all((labels(name) == IGNORE).any() for name in masks.names)
        model = build_segmenter(SegmenterSettings(iterations=2, batch_size=2, precision="float32"), K, "cpu")
        model.fit(data.train, labels, seed=0, progress=False)
        networks.append(model.predict(data.train.image("a")))
        statistics, _ = gather_statistics(model, data.train, masks, np.ones(K), progress=False)
        assert np.isfinite(statistics.abc).all()
    assert torch.equal(*networks)


@pytest.mark.parametrize("void", [K, 200])
def test_a_whole_run_from_reading_to_write_back(void: int, tmp_path: Path) -> None:
    root = draw(tmp_path / "data", void)
    config = a2lc.Experiment(
        dataset="folder",
        root=root,
        annotator="human",
        lcm=False,
        rounds=1,
        budget=4,
        pseudo_labels={"kind": "own_labels"},
    )
    run = a2lc.run(config, tmp_path / "runs", segmenter=ByColour, device="cpu", progress=False)
    queue = Queue(run)
    for position in range(4):
        queue.answer("void" if position < 2 else "rock", position=position)
    run = next_round(run, segmenter=ByColour, device="cpu", progress=False)
    assert run.queries(1)["answer"].tolist() == [void, void, 1, 1]
    changes = write_back(run, tmp_path / "corrected")
    assert "void" in set(changes["after"]) and len(changes)
    for name in ("a", "b", "c"):
        found = read_label_png(tmp_path / "corrected" / "labels" / f"{name}.png")
        assert set(np.unique(found)) <= {*range(K), void}
        assert (found == run.masks().label_map(name))[run.masks().object_map(name) > 0].all()
    write_changes(run, tmp_path / "changes")
    before = {path.name: path.read_bytes() for path in (root / "labels").iterdir()}
    assert apply_changes(tmp_path / "changes", root) == changes["image"].nunique()
    revert_changes(tmp_path / "changes", root)
    assert {path.name: path.read_bytes() for path in (root / "labels").iterdir()} == before
    export_voc(run.masks(), tmp_path / "voc", run.masks().label_map)
    assert 255 in read_label_png(tmp_path / "voc" / "SegmentationClass" / "a.png")
    data = load_dataset("folder", root)
    export_folder(run.masks(), data.train, tmp_path / "exported")
    again = load_dataset("folder", tmp_path / "exported")
    assert again.classes == data.classes and again.classes.ignore_index == void
    assert (again.train.pseudo_labels("a") == run.masks().label_map("a")).all()


@pytest.mark.parametrize("void", [-1, 0, K - 1, 256])
def test_values_that_cannot_be_void_are_refused(void: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"ignore_index: expected {K}..255, found {void}"):
        draw_only_classes = {"classes": list(NAMES), "ignore_index": void}
        (tmp_path / "images").mkdir()
        (tmp_path / "classes.json").write_text(json.dumps(draw_only_classes), encoding="utf-8")
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a.png")
        load_dataset("folder", tmp_path)
