"""Class names as sentences: a segmentation dataset in the loop of Learning to Label, and back as labels of masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from a2lc import referring
from a2lc.datasets import Dataset, toy
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.pseudo_labels.sources import make_masks, true_labels
from a2lc.referring.class_names import SURE, ClassSplit, sentence_of
from a2lc.referring.priors import Request, ask
from tests.small_runs import seeded

FIELDS = {"dataset": "given", "rate": 0.5, "rounds": 1, "seed": seeded()}
TRAINING = {"size": (32, 48), "steps": 2, "batch": 4}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy.load(n_train=4, n_val=2, height=48, width=64)


@pytest.fixture(scope="module")
def masks(dataset: Dataset) -> MaskSet:
    return make_masks(PseudoLabels(), dataset, progress=False)


@pytest.fixture(scope="module")
def locator(dataset: Dataset, masks: MaskSet) -> referring.MaskLocator:
    others = make_masks(PseudoLabels(), replace(dataset, train=dataset.val), progress=False)
    return referring.MaskLocator(masks, others)


def test_every_image_has_a_sentence_of_every_class(dataset: Dataset) -> None:
    data, k = referring.by_class_names(dataset), len(dataset.classes)
    assert set(data.splits) == {"train", "val"} and len(data.train) == 4 * k
    truth = dataset.train.ground_truth(dataset.train.names[2])
    assert truth is not None
    for label, name in enumerate(dataset.classes.names):
        row = data.train.table.iloc[2 * k + label]
        assert row["sentence"] == f"the {name}" and row["image"] == dataset.train.names[2]
        mask = data.train.mask(int(row["ref_id"]))
        assert (mask == (truth == label)).all() and row["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]
        assert row[["x0", "y0", "x1", "y1"]].tolist() == box
    assert (data.train.table["area"] == 0).any() and (data.train.table["area"] > 0).any()
    assert (data.train.image(dataset.train.names[2]) == dataset.train.image(dataset.train.names[2])).all()
    one = data.train.of_images([dataset.train.names[3]])
    assert len(one) == k and (one.mask(3 * k) == data.train.mask(3 * k)).all()
    with pytest.raises(KeyError):
        data.train.mask(4 * k)
    with pytest.raises(KeyError):
        data.train.image("another")


def test_class_names_with_left_and_right_mean_the_same_when_mirrored(dataset: Dataset, masks: MaskSet) -> None:
    names = ("left hand", "right hand", *dataset.classes.names[2:])
    locator = referring.MaskLocator(masks)
    locator._classes = {sentence_of(name): label for label, name in enumerate(names)}
    image = dataset.train.names[0]
    prior = ask(locator, dataset.train.image(image), [(0, "the left hand")], image)[0]
    assert prior.agreement == 1


def test_first_labels_are_as_many_as_masks(masks: MaskSet, tmp_path: Path) -> None:
    labels = masks.table["label"].to_numpy().astype(np.int64)
    for wrong, said in ((labels[1:], "expected"), (labels / 1, "found float64"), (labels - 300, "0 to 255")):
        with pytest.raises(ValueError, match=f"labels: .*{said}"):
            referring.write_first_labels(masks, wrong, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_images_whose_truth_nobody_knows_may_be_among_the_unlabelled(
    dataset: Dataset, locator: referring.MaskLocator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = referring.labelled_images(referring.by_class_names(dataset).train, 0.5, seeded())
    truth = type(dataset.train).ground_truth
    known = {*labelled, *dataset.val.names}
    monkeypatch.setattr(
        type(dataset.train), "ground_truth", lambda self, name: truth(self, name) if name in known else None
    )
    config = referring.Experiment(method="full", training=TRAINING, **FIELDS)
    run = referring.run(config, tmp_path, data=referring.by_class_names(dataset), locator=locator, progress=False)
    assert run.finished and "iou" not in run.decisions(1)


def test_the_frozen_model_says_what_the_masks_say(
    dataset: Dataset, masks: MaskSet, locator: referring.MaskLocator
) -> None:
    name = masks.names[0]
    labels, image = masks.label_map(name), dataset.train.image(name)
    k = len(dataset.classes)
    priors = ask(locator, image, [(label, sentence_of(dataset.classes.names[label])) for label in range(k)], name)
    for label, prior in enumerate(priors):
        there = labels == label
        if not there.any():
            assert not len(prior.boxes) and not prior.proposal.any()
            continue
        rows, columns = np.nonzero(there)
        assert prior.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert prior.agreement == 1 and np.isclose(prior.scores, SURE).all()
        cells = there[: 4 * (there.shape[0] // 4), : 4 * (there.shape[1] // 4)].reshape(12, 4, 16, 4)
        full, empty = cells.all((1, 3)), ~cells.any((1, 3))
        assert (prior.proposal[full] >= 128).all() and (prior.proposal[empty] <= 127).all()
    with pytest.raises(KeyError):
        locator.locate([Request(image, "the unicorn", name, 0)])


def test_another_label_is_another_frozen_model(masks: MaskSet, locator: referring.MaskLocator) -> None:
    label = (int(masks.table["label"].iloc[0]) + 1) % len(masks.classes)
    other = masks.relabel(np.array([0]), np.array([label]), source="annotator", round=1)
    first = referring.MaskLocator(masks)
    assert first.identity() == referring.MaskLocator(masks).identity() != referring.MaskLocator(other).identity()
    with pytest.raises(ValueError, match="class list"):
        referring.MaskLocator()


@pytest.mark.parametrize("method", ["full", "supervised"])
def test_a_run_proposes_labels_that_a2lc_begins_with(
    method: str, dataset: Dataset, masks: MaskSet, locator: referring.MaskLocator, tmp_path: Path
) -> None:
    data = referring.by_class_names(dataset)
    fields = {**FIELDS, "rounds": 1 if method == "full" else 0}
    config = referring.Experiment(method=method, training=TRAINING, **fields)
    run = referring.run(config, tmp_path / "runs", data=data, locator=locator, progress=False)
    assert run.frozen_model == ("labels of masks" if method == "full" else None)
    labels = referring.proposed_labels(run, data, masks)
    assert labels.shape == (len(masks),) and labels.dtype == np.uint8 and labels.max() < len(masks.classes)
    labelled = referring.labelled_images(data.train, 0.5, seeded())
    kept = masks.table["image"].isin(labelled).to_numpy()
    assert (labels[kept] == masks.table["label"].to_numpy()[kept]).all() and 0 < kept.mean() < 1

    given = referring.write_first_labels(masks, labels, tmp_path / "first")
    again = make_masks(given, dataset, progress=False)
    assert (again.table["label"].to_numpy() == labels).all()
    assert (again.object_map(masks.names[1]) == masks.object_map(masks.names[1])).all()


def test_labels_are_those_of_the_highest_map(
    dataset: Dataset, masks: MaskSet, locator: referring.MaskLocator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow oracle: maps that are known, averaged mask by mask."""
    from a2lc.referring import class_names

    config = referring.Experiment(method="supervised", training=TRAINING, **{**FIELDS, "rounds": 0})
    data = referring.by_class_names(dataset)
    run = referring.run(config, tmp_path, data=data, locator=locator, progress=False)
    k, name = len(masks.classes), masks.names[0]
    maps = np.random.default_rng(seeded()).random((k, 48, 64)).astype(np.float32)
    monkeypatch.setattr(class_names, "_last_maps", lambda *_: iter([(name, maps)]))
    labels = referring.proposed_labels(run, data, masks)
    ids, rows = masks.table["mask_id"].to_numpy(), masks.rows(name)
    for row in range(rows.start, rows.stop):
        inside = masks.object_map(name) == ids[row]
        assert labels[row] == np.argmax([one[inside].mean() for one in maps])


def test_what_cannot_be_is_refused(dataset: Dataset, masks: MaskSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="by_class_names"):
        referring.load_dataset("given")
    with pytest.raises(ValueError, match="size"):
        referring.Experiment(dataset="given")
    config = referring.Experiment(training=TRAINING, **FIELDS)
    with pytest.raises(ValueError, match="by_class_names"):
        referring.run(config, tmp_path, progress=False)
    data = referring.by_class_names(dataset)
    with pytest.raises(TypeError, match="drawn"):
        referring.run(config, tmp_path, data=data, progress=False)
    only = referring.Experiment(method="prior_only", training=TRAINING, **{**FIELDS, "rounds": 0})
    with pytest.raises(ValueError, match="finished"):
        referring.proposed_labels(referring.ReferringRun(tmp_path / only.name, only), data, masks)


def test_without_a_ground_truth_there_is_no_referent(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    split = ClassSplit(dataset.train, dataset.classes.names)
    monkeypatch.setattr(type(dataset.train), "ground_truth", lambda *_: None)
    assert not referring.by_class_names(dataset).train.table[["area", "x1"]].any(axis=None)
    with pytest.raises(ValueError, match="ground truth"):
        split.mask(0)


def test_true_masks_lead_to_true_maps(dataset: Dataset) -> None:
    truth = true_labels(dataset)
    locator = referring.MaskLocator(truth)
    name = dataset.train.names[0]
    label = int(truth.table["label"].iloc[0])
    found = locator.locate([Request(dataset.train.image(name), sentence_of(dataset.classes.names[label]), name, 0)])[0]
    assert found.heat is not None and (found.heat == (dataset.train.ground_truth(name) == label)).all()
