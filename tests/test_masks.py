"""MaskSet, its files, and the metrics computed from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import iou

import a2lc
from a2lc.datasets import Classes
from a2lc.files import write_label_png
from a2lc.human.exports import export_png
from a2lc.masks import MaskSet
from a2lc.metrics import confusion_matrix, segmentation_metrics, truth_histogram

CLASSES = Classes(("road", "car", "sign"), np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8))


class Truth:
    """A split that holds its ground truth in memory."""

    def __init__(self, maps: dict[str, np.ndarray]) -> None:
        self.maps, self.names = maps, tuple(maps)

    def ground_truth(self, name: str) -> np.ndarray:
        return self.maps[name]


def example() -> MaskSet:
    """Two images; ids beyond 255, an uncovered column, a void mask."""
    first = np.array([[0, 1, 1, 300], [0, 1, 2, 300]], np.int32)
    second = np.array([[0, 5], [5, 5]], np.int32)
    labels = {"a": {1: 0, 2: 1, 300: 2}, "b": {5: 255}}
    return MaskSet.from_maps(CLASSES, ["a", "b"], {"a": first, "b": second}, labels)


def test_label_map_is_a_lookup() -> None:
    masks = example()
    assert masks.label_map("a").tolist() == [[255, 0, 0, 2], [255, 0, 1, 2]]
    assert masks.label_map("b").tolist() == [[255, 255], [255, 255]]
    assert masks.label_map("a").dtype == np.uint8 and masks.object_map("a").dtype == np.int32
    assert masks.table["area"].tolist() == [3, 1, 2, 3]
    assert masks.rows("b") == slice(3, 4)


def test_relabel_changes_a_copy() -> None:
    masks = example()
    changed = masks.relabel(np.array([0, 3]), np.array([2, 1]), source="lcm", round=4, confidence=np.array([0.5, 1.0]))
    assert changed.label_map("a").tolist() == [[255, 2, 2, 2], [255, 2, 1, 2]]
    assert changed.table["source"].tolist() == ["lcm", "initial", "initial", "lcm"]
    assert changed.table["round"].tolist() == [4, 0, 0, 4]
    assert masks.table["label"].tolist() == [0, 1, 2, 255] and masks.table["round"].tolist() == [0] * 4
    assert changed.table["initial_label"].tolist() == [0, 1, 2, 255]


def test_save_load_and_state(tmp_path: Path) -> None:
    masks = example()
    masks.save(tmp_path / "m")
    loaded = MaskSet.load(tmp_path / "m")
    assert loaded.table.equals(masks.table) and loaded.names == masks.names
    assert (loaded.object_map("a") == masks.object_map("a")).all()
    changed = masks.relabel(np.array([1]), np.array([0]), source="annotator", round=1)
    changed.save_state(tmp_path / "state.parquet")
    assert loaded.with_state(tmp_path / "state.parquet").table.equals(changed.table)


def test_export_and_import_of_the_released_layout(tmp_path: Path) -> None:
    masks = example()
    export_png(masks, tmp_path, masks.label_map)
    again = MaskSet.from_folders(tmp_path / "obj_jpg", tmp_path / "mask_jpg", classes=CLASSES)
    assert again.table.equals(masks.table)
    for name in masks.names:
        assert (again.label_map(name) == masks.label_map(name)).all()


def test_background_class_on_uncovered_pixels(tmp_path: Path) -> None:
    """As on PASCAL VOC: what no mask covers is class 0."""
    write_label_png(tmp_path / "o" / "x.png", np.array([[0, 1]]))
    write_label_png(tmp_path / "l" / "x.png", np.array([[0, 2]]))
    masks = MaskSet.from_folders(tmp_path / "o", tmp_path / "l", classes=CLASSES)
    assert masks.uncovered == 0 and masks.label_map("x").tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("objects", "labels", "message"),
    [
        ([[1, 1]], [[0, 1]], "mask 1 carries several labels"),
        ([[1, 2]], [[0, 7]], "label 7 is outside the class list"),
        ([[1, 2]], [[0], [1]], "object map is"),
        ([[0, 0]], [[0, 1]], "uncovered pixels"),
        ([[0, 1]], [[7, 1]], "uncovered pixels: label 7 is outside the class list"),
        ([[0, 1]], [[300, 1]], "uncovered pixels: label 300 is outside the class list"),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, objects: list, labels: list, message: str) -> None:
    write_label_png(tmp_path / "o" / "x.png", np.array(objects))
    write_label_png(tmp_path / "l" / "x.png", np.array(labels))
    with pytest.raises(ValueError, match=message):
        MaskSet.from_folders(tmp_path / "o", tmp_path / "l", classes=CLASSES)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MaskSet.from_folders(tmp_path / "nowhere", tmp_path, classes=CLASSES)
    with pytest.raises(FileNotFoundError, match="no saved masks"):
        MaskSet.load(tmp_path)
    write_label_png(tmp_path / "o" / "x.png", np.ones((4, 4)))
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "x.png").write_bytes((tmp_path / "o" / "x.png").read_bytes()[:40])
    with pytest.raises(ValueError, match="x.png: damaged or truncated"):
        MaskSet.from_folders(tmp_path / "o", tmp_path / "l", classes=CLASSES)
    masks = example()
    masks.save(tmp_path / "m")
    (tmp_path / "m" / "masks.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match=r"masks\.parquet: damaged"):
        MaskSet.load(tmp_path / "m")
    with pytest.raises(ValueError, match="image 'z' is not among"):
        masks.label_map("z")
    with pytest.raises(ValueError, match=r"masks \[2\] of the object map have no label"):
        MaskSet.from_maps(CLASSES, ["a"], {"a": np.array([[1, 2]])}, {"a": {1: 0}})


def test_what_is_missing_is_named() -> None:
    objects = {"a": np.array([[1, 2]])}
    with pytest.raises(ValueError, match=r"a: masks \[1, 2\] of the object map have no label"):
        MaskSet.from_maps(CLASSES, ["a"], objects, {})
    with pytest.raises(ValueError, match="b: expected an object map, found none"):
        MaskSet.from_maps(CLASSES, ["a", "b"], objects, {"a": {1: 0, 2: 0}})
    with pytest.raises(ValueError, match="expected at least one image, found none"):
        MaskSet.from_maps(CLASSES, [], objects, {})


@pytest.mark.parametrize("source", ["initial", "overruled", "nobody"])
def test_only_annotator_and_lcm_change_labels(source: str) -> None:
    with pytest.raises(ValueError, match=f"source: expected annotator or lcm, found '{source}'"):
        example().relabel(np.array([0]), np.array([1]), source=source, round=1)


def test_ids_that_are_no_class_are_not_counted() -> None:
    labels, truth = np.array([[-1, 0, 1, 3, 2]]), np.array([[0, -1, 1, 0, 2]])
    assert confusion_matrix(labels, truth, 3).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("kind", [np.uint64, np.int8])
def test_labels_of_any_integers_are_counted(kind: type) -> None:
    labels, truth = np.array([[0, 1, 2, 100]]), np.array([[0, 1, 1, 0]])
    assert confusion_matrix(labels.astype(kind), truth.astype(kind), 3).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("name", ["labels", "truth"])
def test_labels_that_are_no_integers_are_refused(name: str) -> None:
    both = {"labels": np.zeros((2, 2), int), "truth": np.zeros((2, 2), int)}
    with pytest.raises(ValueError, match=f"{name}: expected integers, found float64"):
        confusion_matrix(**both | {name: np.zeros((2, 2))}, num_classes=3)


def test_a_dataset_is_no_split() -> None:
    dataset = a2lc.load_dataset("toy")
    with pytest.raises(TypeError, match="split: expected a Split such as dataset.train, found a Dataset"):
        a2lc.data_miou(example(), dataset)


maps = hnp.arrays(np.uint8, st.just((5, 6)), elements=st.sampled_from([0, 1, 2, 255]))


@settings(max_examples=50, deadline=None)
@given(maps, maps)
def test_iou_equals_the_slow_version(labels: np.ndarray, truth: np.ndarray) -> None:
    found = segmentation_metrics(confusion_matrix(labels, truth, 3))
    wanted = iou(labels, truth, 3)
    assert found.per_class == pytest.approx(wanted, nan_ok=True)
    if not np.isnan(wanted).all():
        assert found.miou == pytest.approx(np.nanmean(wanted))


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.int32, st.just((5, 6)), elements=st.sampled_from([0, 1, 2, 400])), maps, st.integers(0, 10**6))
def test_data_score_without_images_equals_pixel_counting(objects: np.ndarray, truth: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = {int(i): int(rng.choice([0, 1, 2, 255])) for i in np.unique(objects) if i}
    masks = MaskSet.from_maps(CLASSES, ["a"], {"a": objects}, {"a": labels})
    histogram = truth_histogram(masks, Truth({"a": truth}))
    found = histogram.data_metrics(masks)
    assert found.per_class == pytest.approx(iou(masks.label_map("a"), truth, 3), nan_ok=True)
    for row, mask_id in enumerate(masks.table["mask_id"]):
        inside = truth[objects == mask_id].tolist()
        assert histogram.majority[row] == max(set(inside), key=lambda v: (inside.count(v), -inside.index(v)))


def test_real_grounded_sam_masks(data_root: Path) -> None:
    """Released pseudo-label maps: counts and Data mIoU as measured on them before."""
    folders = {"object_maps": data_root / "grounded_sam_voc/obj_jpg", "labels": data_root / "grounded_sam_voc/mask_jpg"}
    for listed, count, miou in (("train", 2792, 0.504156), ("train38", 410, 0.605133)):
        voc = a2lc.load_dataset("voc2012", data_root / "VOCdevkit", train_list=listed)
        masks = MaskSet.from_folders(**folders, classes=voc.classes, names=voc.train.names)
        assert len(masks) == count
        assert a2lc.data_miou(masks, voc.train) == pytest.approx(miou, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1]}, r"labels: expected \(2,\), a label per row, found \(1,\)"),
        ({"labels": 1}, r"labels: expected \(2,\), a label per row, found \(\)"),
        ({"rows": [0, -1]}, r"rows: expected row numbers in 0..3, found -1..0"),
        ({"rows": [0, 4]}, r"rows: expected row numbers in 0..3, found 0..4"),
        ({"rows": [1, 1]}, "rows: expected each row once, found 1 rows in 2 numbers"),
        ({"rows": [True, False]}, r"rows: expected \(n,\) row numbers, found \(2,\) bool"),
        ({"labels": [1.5, 0]}, "labels: expected labels as integers, found float64"),
        ({"labels": [7, 0]}, "labels: label 7 is outside the class list"),
        ({"confidence": [0.5, 3]}, r"confidence: expected 0..1 or NaN, found 0\.5..3\.0"),
        ({"confidence": [0.5]}, r"confidence: expected \(2,\) or one for all, found \(1,\)"),
        ({"round": 40000}, "round: expected the round of the change, 1..32767, found 40000"),
        ({"round": 0}, "round: expected the round of the change, 1..32767, found 0"),
    ],
)
def test_changes_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        example().relabel(**{"rows": [0, 3], "labels": [2, 1], "source": "lcm", "round": 1} | change)


def test_no_change_is_a_change() -> None:
    assert example().relabel([], [], source="lcm", round=1).table.equals(example().table)


@pytest.mark.parametrize(
    ("names", "objects", "label", "message"),
    [
        (["a", "a"], [[1]], 0, "names: expected distinct images, found 'a' more than once"),
        (["a"], [[1.0]], 0, r"a: an object map is \(H, W\) integers, found \(1, 1\) float64"),
        (["a"], [[1]], 1.5, "a: expected labels as integers, found float64"),
    ],
)
def test_maps_that_do_not_fit_are_refused(names: list, objects: list, label: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskSet.from_maps(CLASSES, names, {"a": np.array(objects)}, {"a": {1: label}})
