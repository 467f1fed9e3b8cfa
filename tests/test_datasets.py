"""Datasets: what all of them promise, their layouts on disk, bad input, the drawn one, and real data."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2lc.datasets import DATASETS, Classes, Dataset, Split, load_dataset
from a2lc.datasets.base import bit_palette
from a2lc.datasets.class_list import read_classes

SIZE = (6, 8)  # (H, W) of the images in the small trees
ORIENTATION = 0x112  # the EXIF field


def write_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), (200, 60, 30), dtype=np.uint8)).save(path)


def write_labels(path: Path, ids: list[int], size: tuple[int, int] = SIZE) -> None:
    """A label PNG that repeats `ids` over its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(ids, dtype=np.uint8), size)).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def camvid_tree(root: Path, suffix: str = ".png") -> Path:
    for split, names in (("train", ["b", "a"]), ("val", ["c"])):
        for name in names:
            write_image(root / split / f"{name}{suffix}")
            write_labels(root / f"{split}annot" / f"{name}.png", [*range(12)])
        write_text(root / f"{split}.txt", "\n".join(names) + "\n")
    return root


def voc_tree(root: Path) -> Path:
    for split, name in (("train", "2007_000032"), ("val", "2007_000033")):
        write_image(root / "JPEGImages" / f"{name}.jpg")
        write_labels(root / "SegmentationClass" / f"{name}.png", [*range(21), 255])
        write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", f"{name}\n")
    return root


def cityscapes_tree(root: Path) -> Path:
    for split, city in (("train", "aachen"), ("val", "ulm")):
        name = f"{city}_000000_000019"
        write_image(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
        write_labels(root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png", [*range(34)])
    return root


def folder_tree(root: Path, suffixes: tuple[str, str] = (".jpg", ".png")) -> Path:
    write_text(root / "classes.txt", "cat\ngarden chair 10 20 30\n")
    for name, suffix in zip(("one", "two"), suffixes, strict=True):
        write_image(root / "images" / f"{name}{suffix}")
        write_labels(root / "labels" / f"{name}.png", [0, 1, 255])
    write_labels(root / "ground_truth" / "one.png", [1])
    return root


TREES = {"camvid": camvid_tree, "voc2012": voc_tree, "cityscapes": cityscapes_tree, "folder": folder_tree}


def first_label_file(root: Path, name: str) -> Path:
    where = {
        "camvid": "trainannot/b",
        "voc2012": "SegmentationClass/2007_000032",
        "folder": "ground_truth/one",
    }
    city = "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds"
    return root / f"{where.get(name, city)}.png"


# --- every dataset keeps the same promises


@pytest.fixture(params=sorted(DATASETS))
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    if request.param == "toy":
        return load_dataset("toy", n_train=2, n_val=1)
    return load_dataset(request.param, TREES[request.param](tmp_path))


def test_images_and_ground_truth_have_the_promised_form(dataset: Dataset) -> None:
    for split in (dataset.train, dataset.val):
        assert len(split) == len(split.names)
        for name in split.names:
            image, truth = split.image(name), split.ground_truth(name)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            if truth is not None:
                assert truth.dtype == np.uint8 and truth.shape == image.shape[:2]
                assert np.all((truth < len(dataset.classes)) | (truth == dataset.classes.ignore_index))
    assert len(dataset.train) > 0


def test_an_unknown_image_is_refused_with_the_nearest_name(dataset: Dataset) -> None:
    name = dataset.train.names[0]
    for read in (dataset.train.image, dataset.train.ground_truth, dataset.train.pseudo_labels):
        with pytest.raises(ValueError, match=f"has no image '{name}x'"):
            read(name + "x")


def test_a_subset_has_fewer_images(dataset: Dataset) -> None:
    names = dataset.train.names[::-1][:1]
    fewer = dataset.train.subset(names)
    assert fewer.names == names and len(fewer) == 1 and len(dataset.train) > 0
    assert np.array_equal(fewer.image(names[0]), dataset.train.image(names[0]))
    with pytest.raises(ValueError, match="has no image 'nobody'"):
        dataset.train.subset(["nobody"])
    for name in set(dataset.train.names) - set(names):
        with pytest.raises(ValueError, match="has no image"):
            fewer.image(name)


def test_datasets_travel_to_worker_processes(dataset: Dataset) -> None:
    copy = pickle.loads(pickle.dumps(dataset))
    name = dataset.train.names[0]
    assert copy.classes == dataset.classes
    assert np.array_equal(copy.train.image(name), dataset.train.image(name))


# --- classes and palettes


def test_classes_know_their_ids_and_what_uncovered_pixels_are() -> None:
    classes = Classes(("road", "car"), np.zeros((2, 3), dtype=np.uint8))
    assert len(classes) == 2 and classes.index("car") == 1 and classes.uncovered == 255
    assert Classes(("road", "car"), classes.palette, background=0).uncovered == 0
    with pytest.raises(ValueError, match=r"unknown class 'cra'; did you mean 'car'"):
        classes.index("cra")


@pytest.mark.parametrize(
    ("names", "palette", "options", "message"),
    [
        ((), np.zeros((0, 3), np.uint8), {}, "1 to 255 names, found 0"),
        (("a", "a"), np.zeros((2, 3), np.uint8), {}, "distinct names, found .'a'."),
        (("a", "b"), np.zeros((3, 3), np.uint8), {}, r"palette: expected \(2, 3\) uint8, found \(3, 3\)"),
        (("a", "b"), np.zeros((2, 3)), {}, "float64"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"ignore_index": 1}, r"2\.\.255, found 1"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"background": 2}, r"0\.\.1 or None, found 2"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"background": True}, r"0\.\.1 or None, found True"),
        (("a",), np.zeros((1, 3), np.uint8), {"ignore_index": True}, r"ignore_index: expected 1\.\.255, found True"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"ignore_index": 200.5}, r"2\.\.255, found 200\.5"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"ignore_index": "200"}, r"2\.\.255, found '200'"),
        (("a", "b"), np.zeros((2, 3), np.uint8), {"ignore_index": 300}, r"found 300 \(labels are kept in 8 bits\)"),
        (("a", " "), np.zeros((2, 3), np.uint8), {}, "classes: expected names not empty, .*, found ' '"),
    ],
)
def test_impossible_classes_are_refused(names, palette, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        Classes(names, palette, **options)


@pytest.mark.parametrize(
    ("names", "palette", "message"),
    [
        ("abc", np.zeros((3, 3), np.uint8), "classes.names: expected a tuple of texts, found 'abc'"),
        ((1, 2), np.zeros((2, 3), np.uint8), r"classes.names: expected a tuple of texts, found \(1, 2\)"),
        (("a",), [[0, 0, 0]], "classes.palette: expected an array, found list"),
    ],
)
def test_classes_of_other_types_are_refused(names, palette, message) -> None:
    with pytest.raises(TypeError, match=message):
        Classes(names, palette)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({300: 1}, "table: expected ids of label files in 0..255, found 300"),
        ({-1: 1}, "table: expected ids of label files in 0..255, found -1"),
        ({1: 77}, "table: expected classes 0..1 or 255, found 77"),
        ({1: 0.5}, "table: expected classes 0..1 or 255, found 0.5"),
    ],
)
def test_a_lookup_table_holds_ids_and_classes(table, message) -> None:
    classes = Classes(("a", "b"), np.zeros((2, 3), np.uint8))
    assert classes.lookup({7: 1, 8: 255}).tolist() == [*[-1] * 7, 1, 255, *[-1] * 246, 255]
    with pytest.raises(ValueError, match=message):
        classes.lookup(table)


def test_voc_colours_are_those_of_the_development_kit() -> None:
    palette = bit_palette(21)
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        4: (0, 0, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
    }
    assert {k: tuple(palette[k].tolist()) for k in known} == known


# --- layouts


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_camvid_maps_void_and_keeps_the_order_of_its_list(tmp_path: Path, suffix: str) -> None:
    dataset = load_dataset("camvid", camvid_tree(tmp_path, suffix))
    assert dataset.train.names == ("b", "a") and dataset.val.names == ("c",)
    truth = dataset.train.ground_truth("a")
    assert truth is not None and truth.ravel()[:12].tolist() == [*range(11), 255]
    assert np.abs(dataset.train.image("a").astype(int) - (200, 60, 30)).max() < 4  # RGB order, also after JPEG


def test_camvid_reads_the_two_column_lists_of_segnet(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path)
    lines = "".join(f"/SegNet/CamVid/train/{n}.png /SegNet/CamVid/trainannot/{n}.png\n" for n in ("a", "b"))
    write_text(root / "train.txt", lines)
    assert load_dataset("camvid", root).train.names == ("a", "b")


def test_voc_opens_from_the_devkit_or_from_voc2012(tmp_path: Path) -> None:
    voc_tree(tmp_path / "VOCdevkit" / "VOC2012")
    for root in (tmp_path / "VOCdevkit", str(tmp_path / "VOCdevkit" / "VOC2012")):
        dataset = load_dataset("voc2012", root)
        assert dataset.train.names == ("2007_000032",) and dataset.classes.uncovered == 0
        truth = dataset.train.ground_truth("2007_000032")
        assert truth is not None and np.unique(truth).tolist() == [*range(21), 255]


def test_voc_labels_only_needs_no_images_and_uses_none(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    for path in (root / "JPEGImages").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"2007_000032\.\*: no such file, but .*train\.txt lists it"):
        load_dataset("voc2012", root)
    split = load_dataset("voc2012", root, labels_only=True).train
    assert split.ground_truth("2007_000032") is not None
    with pytest.raises(FileNotFoundError, match="'2007_000032' has labels only"):
        split.image("2007_000032")


def test_cityscapes_maps_label_ids_to_train_ids(tmp_path: Path) -> None:
    dataset = load_dataset("cityscapes", cityscapes_tree(tmp_path))
    assert dataset.train.names == ("aachen_000000_000019",) and dataset.val.names == ("ulm_000000_000019",)
    truth = dataset.train.ground_truth("aachen_000000_000019")
    assert truth is not None
    by_label_id = truth.ravel()[:34].tolist()
    of_names = {
        7: "road",
        8: "sidewalk",
        11: "building",
        19: "traffic light",
        25: "rider",
        31: "train",
        33: "bicycle",
    }
    assert {k: dataset.classes.names[by_label_id[k]] for k in of_names} == of_names
    assert sorted(k for k in by_label_id if k != 255) == [*range(19)]
    assert [k for k, v in enumerate(by_label_id) if v == 255] == [*range(7), 9, 10, 14, 15, 16, 18, 29, 30]


def test_folder_without_lists_trains_on_everything(tmp_path: Path) -> None:
    dataset = load_dataset("folder", folder_tree(tmp_path))
    assert dataset.train.names == ("one", "two") and dataset.val.names == ()
    assert dataset.classes.names == ("cat", "garden chair") and dataset.classes.background is None
    assert dataset.classes.palette[1].tolist() == [10, 20, 30]
    truth, labels = dataset.train.ground_truth("one"), dataset.train.pseudo_labels("two")
    assert truth is not None and np.all(truth == 1)
    assert labels is not None and np.unique(labels).tolist() == [0, 1, 255]
    assert dataset.train.ground_truth("two") is None


def test_folder_lists_json_classes_and_background(tmp_path: Path) -> None:
    root = folder_tree(tmp_path)
    (root / "classes.txt").unlink()
    write_text(root / "classes.json", json.dumps({"cat": [1, 2, 3], "ground": [4, 5, 6]}))
    write_text(root / "val.txt", "two.png\n\n")
    with pytest.warns(UserWarning, match=r"1 images of val\.txt have labels that are not corrected: two; say in"):
        dataset = load_dataset("folder", root, background="ground")
    write_text(root / "dataset.yaml", "correct: train")
    assert dataset.train.names == ("one",) and dataset.val.names == ("two",)
    assert dataset.classes.palette.tolist() == [[1, 2, 3], [4, 5, 6]] and dataset.classes.uncovered == 1
    write_text(root / "classes.json", json.dumps(["cat", "dog"]))
    colours = load_dataset("folder", root).classes.palette
    assert len(np.unique(colours, axis=0)) == 2 and colours.any(axis=1).all()


def test_folder_without_any_labels(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "cat\n")
    write_image(tmp_path / "images" / "a b.JPG")
    train = load_dataset("folder", tmp_path).train
    assert train.names == ("a b",) and train.image("a b").shape == (*SIZE, 3)
    assert train.ground_truth("a b") is None and train.pseudo_labels("a b") is None


# --- bad input


def test_unknown_dataset_and_option_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown dataset 'camvd', expected one of toy, .*did you mean 'camvid'"):
        load_dataset("camvd")
    with pytest.raises(ValueError, match=r"dataset 'toy' has no option 'heigth'.*did you mean 'height'"):
        load_dataset("toy", heigth=3)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_root_is_needed_and_must_exist(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"dataset '{name}' is read from disk: give root=..., a folder with .*/"):
        load_dataset(name)
    with pytest.raises(FileNotFoundError, match=f"nowhere: no such folder; dataset '{name}' expects one with"):
        load_dataset(name, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        load_dataset(name, tmp_path)  # the folder is there, and empty


def test_toy_refuses_a_root(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'toy' is drawn, not read: expected no root"):
        load_dataset("toy", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_train": 0}, "n_train must be an integer >= 1, found 0"), ({"seed": 1.0}, "seed .* found 1.0"),
     ({"height": 47}, ">= 48"), ({"width": "128"}, "found '128'"), ({"n_val": True}, "found True")],
)  # fmt: skip
def test_toy_refuses_impossible_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset("toy", **options)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_label_of_another_size_names_both_files_and_sizes(name: str, tmp_path: Path) -> None:
    split = load_dataset(name, TREES[name](tmp_path)).train
    path = first_label_file(tmp_path, name)
    write_labels(path, [1], size=(5, 8))
    with pytest.raises(ValueError, match=rf"{split.names[0]}.* is 6x8, {re.escape(str(path))} is 5x8"):
        split.image(split.names[0])


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [("camvid", 12, "0..11, 255"), ("voc2012", 21, "0..20, 255"), ("cityscapes", 34, "0..33, 255"),
     ("folder", 2, "0..1, 255")],
)  # fmt: skip
def test_an_id_outside_the_class_list_names_file_id_and_range(
    name: str, wrong: int, allowed: str, tmp_path: Path
) -> None:
    split = load_dataset(name, TREES[name](tmp_path)).train
    path = first_label_file(tmp_path, name)
    write_labels(path, [1, 1, wrong])
    with pytest.raises(
        ValueError, match=re.escape(f"{path}: expected label ids in {allowed}") + rf".* found {wrong}\b"
    ):
        split.ground_truth(split.names[0])


def test_a_16_bit_id_does_not_wrap_around(tmp_path: Path) -> None:
    split = load_dataset("camvid", camvid_tree(tmp_path)).train
    Image.fromarray(np.full(SIZE, 256, dtype=np.uint16)).save(tmp_path / "trainannot" / "a.png")
    with pytest.raises(ValueError, match="found 256"):
        split.ground_truth("a")


@pytest.mark.parametrize("name", sorted(TREES))
def test_truncated_files_are_named(name: str, tmp_path: Path) -> None:
    split = load_dataset(name, TREES[name](tmp_path)).train
    path = first_label_file(tmp_path, name)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 2, SIZE, dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-24])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        split.ground_truth(split.names[0])


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    split = load_dataset("camvid", camvid_tree(tmp_path)).train
    path = tmp_path / "train" / "a.png"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        split.image("a")


def test_a_missing_file_or_list_is_named(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path)
    split = load_dataset("camvid", root).train
    (root / "train" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such file"):
        split.image("a")
    with pytest.raises(FileNotFoundError, match=r"a\.\*: no such file, but .*train\.txt lists it \(1 of 2 missing\)"):
        load_dataset("camvid", root)
    (root / "val.txt").unlink()
    write_image(root / "train" / "a.png")
    with pytest.raises(FileNotFoundError, match=r"val\.txt: no such file; expected a list of image names"):
        load_dataset("camvid", root)


def test_a_missing_cityscapes_annotation_is_named(tmp_path: Path) -> None:
    root = cityscapes_tree(tmp_path)
    first_label_file(root, "cityscapes").unlink()
    with pytest.raises(FileNotFoundError, match="aachen_000000_000019"):
        load_dataset("cityscapes", root)


def test_empty_splits_and_repeated_names_are_refused(tmp_path: Path) -> None:
    root = camvid_tree(tmp_path / "camvid")
    write_text(root / "train.txt", "\n\n")
    with pytest.raises(ValueError, match=r"train\.txt: expected at least one image name, found none"):
        load_dataset("camvid", root)
    write_text(root / "train.txt", "a\na\n")
    with pytest.raises(ValueError, match="distinct image names, found 'a' twice"):
        load_dataset("camvid", root)
    root = cityscapes_tree(tmp_path / "cityscapes")
    next((root / "leftImg8bit" / "val" / "ulm").iterdir()).unlink()
    with pytest.raises(ValueError, match="val: expected at least one"):
        load_dataset("cityscapes", root)


def test_a_folder_inside_a_dataset_is_told_from_it(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "cat\n")
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"or in classes\.json; did you mean {tmp_path}\?$"):
        load_dataset("folder", tmp_path / "images")


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("classes.txt", None, FileNotFoundError, "classes.txt: no such file; expected a class list"),
        ("classes.txt", "", ValueError, "classes.txt: classes: expected 1 to 255 names, found 0"),
        ("classes.txt", "cat\ncat\n", ValueError, "classes.txt: .*distinct names"),
        ("classes.txt", "cat 1 2 256\n", ValueError, r"classes.txt: expected a colour .*found \[1, 2, 256\]"),
        (
            "classes.txt",
            "name\ncat\ndog\n",
            ValueError,
            "found what looks like a heading, 'name'; remove it",
        ),
        (
            "classes.txt",
            "1 cat\n2 dog\n",
            ValueError,
            "expected ids 0, 1, 2 .* found 1 'cat' as number 0",
        ),
        (
            "classes.txt",
            "Pixel Value, Class\n0, cat\n1, dog\n",
            ValueError,
            "otherwise than all others",
        ),
        ("classes.txt", "Kind,Red,Green,Blue\ncat,1,2,3\ndog,4,5,6\n", ValueError, "otherwise than all others"),
        (
            "classes.txt",
            "name,id,category\ncat,7,pet\n",
            ValueError,
            "found what looks like a heading, .name,id,category.; remove",
        ),
        ("classes.txt", '["cat", "dog"]\n', ValueError, r"expected a class a line, .* found '\["),
        (
            "classes.txt",
            "cat, dog, sky\n",
            ValueError,
            "found 'cat, dog, sky'; names with commas",
        ),
        ("classes.txt", "nc: 2\nnames: [cat, dog]\n", ValueError, "expected a class a line, .* found 'nc: 2'"),
        (
            "classes.txt",
            "cat 1 2 3 255\ndog 4 5 6 255\n",
            ValueError,
            "a class a line, .* found 'cat 1 2 3 255'",
        ),
        ("classes.txt", "cat 1\ndog 2\n", ValueError, "ids from 0 on, without them, found 'cat 1' as number 0"),
        ("classes.txt", "c\0a\0t\0\n\0", ValueError, "found zero bytes: is it in UTF-16"),
        ("classes.txt", "cat 1\ndog 0\n", ValueError, "in the order of the ids behind them, found 'cat 1' as number 0"),
        ("classes.txt", "2 wheeler\n4 wheeler\n", ValueError, r"part of the name, .* in classes\.json as \["),
        ("classes.txt", "a:300,0,0::\n", ValueError, r"classes.txt: expected a colour .*found \[300, 0, 0\]"),
        ("classes.json", "[]", ValueError, "expected one class list, found classes.txt and classes.json"),
        ("train.txt", "one\nthree\n", FileNotFoundError, "three.*train.txt lists it"),
        ("val.txt", "one\ntwo\n", ValueError, "val.txt: lists every image"),
    ],
)
def test_a_damaged_folder_is_refused(
    file: str, text: str | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    root = folder_tree(tmp_path)
    if text is None:
        (root / file).unlink()
    else:
        write_text(root / file, text)
    with pytest.raises(error, match=message):
        load_dataset("folder", root)


@pytest.mark.parametrize(
    ("text", "names", "colour"),
    [
        ("# mine\ncat\ngarden chair\n", ("cat", "garden chair"), None),
        ("\ufeffcat\r\ngarden  chair\r\n", ("cat", "garden chair"), None),  # Windows' Notepad
        ("0 cat\n1: garden chair\n", ("cat", "garden chair"), None),
        ("id name\n0,cat\n1,garden chair\n", ("cat", "garden chair"), None),
        ("name,r,g,b\ncat,1,2,3\ngarden chair, 10, 20, 30\n", ("cat", "garden chair"), (1, 2, 3)),
        ("1 2 3\tcat\n10 20 30\tgarden chair\n", ("cat", "garden chair"), (1, 2, 3)),  # CamVid's label_colors.txt
        ("0 cat 1 2 3\n1 garden chair 10 20 30\n", ("cat", "garden chair"), (1, 2, 3)),
        (
            "# label:color_rgb\ncat:1,2,3::\ntraffic light: red:::\n",
            ("cat", "traffic light: red"),
            (1, 2, 3),
        ),
        ("2 wheeler\ncat\n", ("2 wheeler", "cat"), None),
        ("b\ng\n", ("b", "g"), None),
    ],
)
def test_a_class_list_as_others_write_it(
    text: str, names: tuple[str, ...], colour: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    (tmp_path / "classes.txt").write_bytes(text.encode())
    classes, colours = read_classes(tmp_path)
    assert classes.names == names
    assert classes.palette[0].tolist() == list(colour or (128, 0, 0)) and colours.get(0) == colour


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("width", [6, 8])  # square, and not
def test_a_photograph_is_read_upright(orientation: int, width: int, tmp_path: Path) -> None:
    """As browsers, OpenCV and labelling tools show it, where the label is drawn."""
    root, exif = folder_tree(tmp_path, (".png", ".png")), Image.Exif()
    upright = np.random.default_rng(0).integers(0, 256, (6, width, 3), dtype=np.uint8)
    exif[ORIENTATION] = orientation
    stored = stored_as(upright, orientation)
    Image.fromarray(stored).save(root / "images" / "one.png", exif=exif)
    for folder in ("labels", "ground_truth"):
        Image.fromarray(np.zeros((6, width), np.uint8)).save(root / folder / "one.png")
    split = load_dataset("folder", root).train
    assert (split.image("one") == upright).all()
    if stored.shape != upright.shape:
        Image.fromarray(np.zeros(stored.shape[:2], np.uint8)).save(root / "labels" / "one.png")
        with pytest.raises(ValueError, match=r"the same size: .* shown turned \(EXIF orientation\), turn the label"):
            split.image("one")


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores: turned and mirrored so that a viewer who follows the field sees `upright`. Rows and columns
    of the field's table (EXIF 2.32, 4.6.4) name where row 0 and column 0 of the stored picture are seen."""
    ways = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(ways[orientation])


def test_stray_and_ambiguous_files_are_refused(tmp_path: Path) -> None:
    root = folder_tree(tmp_path)
    write_labels(root / "labels" / "three.png", [0])
    with pytest.raises(ValueError, match=r"three\.png: expected an image of that name in images, found none"):
        load_dataset("folder", root)
    write_image(root / "images" / "one.png")
    with pytest.raises(ValueError, match=r"one\.png: expected one file per name, found one\.jpg as well"):
        load_dataset("folder", root)


def test_pictures_in_folders_of_runs_and_changes_are_told(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        for name in ("a", "night/b"):
            (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / kind / f"{name}.png")
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    made = (("provenance.json", "config.json"), ("masks.json", "masks.parquet"), ("changes.csv", "about.json"))
    for said in ("", "images: 'images/{name}.png'\nlabels: 'labels/{name}.png'"):
        (tmp_path / "dataset.yaml").write_text(said)
        for files in made:
            for number, file in enumerate(files):
                for kind in ("images", "labels"):
                    (tmp_path / kind / "night" / file).write_text("{}")
                with pytest.warns(UserWarning) as told:
                    names = load_dataset("folder", tmp_path).train.names
                assert names == (("a",) if number else ("a", "night/b")), "one of them alone may be anybody's"
                assert len(told) == 2 and all(str(one.message).endswith("night/") == bool(number) for one in told)
            for file in files:
                for kind in ("images", "labels"):
                    (tmp_path / kind / "night" / file).unlink()


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Files of other kinds and folders in images/ and labels/ took no part without a word."""
    root = folder_tree(tmp_path)
    for name in ("images/.DS_Store", "images/Thumbs.db", "labels/.gitkeep"):
        write_text(root / name, "")
    (root / "images" / "empty").mkdir()
    load_dataset("folder", root)  # a warning would be an error
    for name in ("three.gif", "four.HEIC", "night/five.mp4", "night/six.npy"):
        write_text(root / "images" / name, "")
    told = r"images: left out, as they are no jpg or .* files: four\.HEIC, night/five\.mp4, night/six\.npy and 1 more$"
    with pytest.warns(UserWarning, match=told):
        assert set(load_dataset("folder", root).train.names) == {"one", "two"}
    for name in ("seven.tif", "night/eight.WEBP"):
        write_text(root / "images" / name, "")
    bare = "labels: 2 images have no label and are left out: night/eight, seven; train.txt may list them"
    with pytest.warns(UserWarning, match=told), pytest.warns(UserWarning, match=bare):
        assert load_dataset("folder", root).train.names == ("one", "two")
    for path in (*(root / "images").rglob("*.*"), *(root / "labels").glob("*.png"), root / "ground_truth" / "one.png"):
        if path.suffix not in (".gif", ".HEIC", ".mp4", ".npy"):
            path.unlink()
    with pytest.raises(ValueError, match=r"at least one image \(jpg, .*\), found none; .*images: left out"):
        load_dataset("folder", root)


def test_a_wrong_json_class_list_is_refused(tmp_path: Path) -> None:
    root = folder_tree(tmp_path)
    (root / "classes.txt").unlink()
    for text, message in (
        ("[1]", "expected ..name"),
        ("{", "damaged JSON"),
        ('{"a": [1, 2]}', "three integers"),
        ('{"classes": ["a"], "ignore_index": "200"}', "ignore_index: expected 1..255, found '200'"),
        ('{"classes": ["a"]}', "expected the fields classes and ignore_index, found classes"),
        ('{"classes": ["a"], "void": 200}', "expected the fields classes and ignore_index, found classes, void"),
        (
            '{"a": [1, 2, 3], "ignore_index": 200}',
            "expected the fields classes and ignore_index, found a, ignore_index",
        ),
        ('{"classes": 3, "ignore_index": 200}', "or {.classes.: either, .ignore_index.: 200}, found 3"),
    ):
        write_text(root / "classes.json", text)
        with pytest.raises(ValueError, match=f"classes.json: .*{message}"):
            load_dataset("folder", root)


# --- toy


def fingerprint(split: Split, count: int) -> str:
    digest = hashlib.sha256()
    for name in split.names[:count]:
        digest.update(split.image(name).tobytes())
        digest.update(split.ground_truth(name).tobytes())  # type: ignore[union-attr]
    return digest.hexdigest()


def test_toy_is_the_same_on_every_platform() -> None:
    toy = load_dataset("toy")
    assert fingerprint(toy.train, 8) == "e6b42311b027c90ae08882ae097e08df7ca1ac7cdb612cdde771f37dd737d90e"
    assert fingerprint(toy.val, 4) == "8b7fe1488b7fc9ec569c071ac63ca17a44363e58ea3b185458d3e9aff6007f6c"
    assert (
        fingerprint(load_dataset("toy", seed=3, height=200, width=320).train, 2)
        == "7c431bc2a942b6c2f6d43841469f83ed79e55900e5bb60db4c5175bc1e6e11a2"
    )


def test_toy_scenes_depend_on_seed_split_and_index_only() -> None:
    toy = load_dataset("toy")
    few = load_dataset("toy", n_train=1, n_val=1)
    assert fingerprint(few.train, 1) == fingerprint(toy.train, 1)
    prints = {fingerprint(s, 1) for s in (toy.train, toy.val, load_dataset("toy", seed=1).train)}
    assert len(prints) == 3
    assert (len(toy.train), len(toy.val)) == (96, 32)


def test_toy_hands_out_copies() -> None:
    train = load_dataset("toy").train
    before = fingerprint(train, 1)
    train.image(train.names[0])[:] = 0
    train.ground_truth(train.names[0])[:] = 0  # type: ignore[index]
    assert fingerprint(train, 1) == before


def test_toy_has_a_long_tail() -> None:
    toy = load_dataset("toy")
    counts = np.zeros(256)
    for name in toy.train.names:
        counts += np.bincount(toy.train.ground_truth(name).ravel(), minlength=256)  # type: ignore[union-attr]
    share = dict(zip(toy.classes.names, 100 * counts[: len(toy.classes)] / counts.sum(), strict=True))
    assert len(share) >= 10 and share["road"] == max(share.values()) and share["road"] > 25
    for tail in ("traffic light", "rider"):
        assert 0.2 < share[tail] < 0.6
    assert sum(value < 1 for value in share.values()) >= 5
    assert 1 < 100 * counts[255] / counts.sum() < 4


@pytest.mark.parametrize("size", [(48, 64), (70, 300), (256, 80)])
def test_toy_draws_any_size(size: tuple[int, int]) -> None:
    train = load_dataset("toy", n_train=10, height=size[0], width=size[1]).train
    for name in train.names:
        assert train.image(name).shape == (*size, 3)
        assert np.isin([0, 1, 2], train.ground_truth(name)).all()  # type: ignore[arg-type]


# --- real data


def test_real_camvid(data_root: Path) -> None:
    camvid = load_dataset("camvid", data_root / "CamVid")
    assert (len(camvid.train), len(camvid.val)) == (367, 101)
    assert camvid.train.image(camvid.train.names[0]).shape == (360, 480, 3)
    counts = np.zeros(256)
    for name in camvid.train.names:
        counts += np.bincount(camvid.train.ground_truth(name).ravel(), minlength=256)  # type: ignore[union-attr]
    share = 100 * counts / counts.sum()
    tail = {"sign": 1.2, "pole": 1.0, "pedestrian": 0.6, "bicyclist": 0.3}
    assert {name: round(share[camvid.classes.index(name)], 1) for name in tail} == tail


def test_real_voc_fits_its_masks(data_root: Path) -> None:
    """Every picture has the size of its ground truth and, on the training images, of its Grounded-SAM output."""
    root = data_root / "VOCdevkit"
    voc = load_dataset("voc2012", root)
    assert (len(voc.train), len(voc.val)) == (464, 485)
    small = load_dataset("voc2012", root, train_list="train38").train
    assert len(small) == 38 and set(small.names) <= set(voc.train.names)
    for split in (voc.train, voc.val):
        for name in split.names:
            truth = split.ground_truth(name)
            sizes = [root / "VOC2012" / "JPEGImages" / f"{name}.jpg"]
            if split is voc.train:
                sizes.append(data_root / "grounded_sam_voc" / "obj_jpg" / f"{name}.png")
            for path in sizes:
                with Image.open(path) as image:  # reads no pixels
                    assert truth is not None and truth.shape == (image.height, image.width), path
    assert voc.train.image(voc.train.names[0]).shape == (281, 500, 3)


def test_real_voc_ground_truth_alone(data_root: Path) -> None:
    root = data_root / "VOCdevkit"
    labels = load_dataset("voc2012", root, train_list="train_labels_only", labels_only=True).train
    with_picture = load_dataset("voc2012", root).train
    assert len(labels) == 752 and len({*labels.names, *with_picture.names}) == 957
    with pytest.raises(FileNotFoundError, match="JPEGImages"):
        load_dataset("voc2012", root, train_list="train_labels_only")


def test_a_class_list_is_read_as_it_stands(tmp_path: Path) -> None:
    """Signs that end a line elsewhere may stand in a name; names of one kind may count from 1; no name twice."""
    write_text(tmp_path / "classes.txt", "garden\u2028chair\nro\x85ad\n")
    assert len(read_classes(tmp_path)[0]) == 2
    write_text(tmp_path / "classes.txt", "zone 1\nzone 2\n")
    assert read_classes(tmp_path)[0].names == ("zone 1", "zone 2")
    (tmp_path / "classes.txt").unlink()
    write_text(tmp_path / "classes.json", '{"cat": [1, 2, 3], "dog": [3, 2, 1], "cat": [4, 5, 6]}')
    with pytest.raises(ValueError, match=r"classes\.json: .*names once each, found 'cat' twice"):
        read_classes(tmp_path)


def test_names_that_look_the_same_are_told_apart_in_words(tmp_path: Path) -> None:
    root = folder_tree(tmp_path)
    (root / "ground_truth" / "one.png").unlink()
    for folder, form in (("images", "NFC"), ("labels", "NFD")):
        old = next((root / folder).glob("one.*"))
        old.rename(old.with_stem(unicodedata.normalize(form, "\u00e9")))
    with pytest.raises(ValueError, match=r"found none \(1 such; names that look the same are written in two ways"):
        load_dataset("folder", root)
