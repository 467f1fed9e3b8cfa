"""What other programs' files may also hold: ids as text or twice, objects that only one of two files knows, colours,
values and names that are missing, pictures that are turned. It is read rightly, told, or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_formats import LABELS, SIZE, VOC_LINES, label_studio, maps, parquet, picture, png, same_files, voc, yolo
from test_formats_coco import dataset as coco_dataset
from test_formats_coco import exported, panoptic

from a2lc.datasets import load_dataset
from a2lc.files import LabelFile, read_image, read_json, read_label_png, write_label_png
from a2lc.formats import export_source, import_dataset
from a2lc.human.inspection.looks import look_at_picture

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools


def changed_json(file: Path, change: Callable[[Any], object]) -> Path:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


# ------------------------------------------------------------------------------------------------ COCO
SQUARE = {"image_id": 30, "category_id": 5, "segmentation": [[2, 2, 30, 2, 30, 30, 2, 30]]}
INNER = {"image_id": 30, "category_id": 7, "segmentation": [[5, 5, 20, 5, 20, 20, 5, 20]]}


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (
            SQUARE | {"image_id": "30"},
            "image_id: expected ids of one kind, found '30' in annotations and 30 in",
        ),
        (SQUARE | {"category_id": "5"}, r"annotations\[0\]: expected the id of a category, found '5'"),
        (SQUARE | {"category_id": 6}, r"annotations\[0\]: expected the id of a category, found 6"),
        (SQUARE | {"iscrowd": "no"}, r"annotations\[0\].iscrowd: expected 0 or 1, found 'no'"),
        (SQUARE | {"iscrowd": 2}, r"annotations\[0\].iscrowd: expected 0 or 1, found '2'"),
    ],
)
def test_ids_of_coco_that_fit_no_other_are_refused(annotation: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        import_dataset(coco_dataset(tmp_path / "coco", [annotation]), tmp_path / "plain")


def test_an_image_of_coco_without_an_id_is_refused(tmp_path: Path) -> None:
    file = changed_json(coco_dataset(tmp_path / "coco"), lambda content: content["images"][1].pop("id"))
    with pytest.raises(ValueError, match=r"images\[1\]: expected an id, found"):
        import_dataset(file, tmp_path / "plain")


def test_a_crowd_written_as_text_is_one_only_if_it_says_so(tmp_path: Path) -> None:
    """A crowd lies under all others."""
    for number, (said, on_top) in enumerate((("0", 2), ("1", 1), (0, 2), (None, 2), (True, 1))):
        file = coco_dataset(tmp_path / f"coco{number}", [SQUARE, INNER | {"iscrowd": said}])
        import_dataset(file, tmp_path / f"plain{number}")
        assert maps(tmp_path / f"plain{number}", "train__a")[0][10, 10] == on_top


def test_annotations_of_one_id_are_two_objects_and_told(tmp_path: Path) -> None:
    file = coco_dataset(tmp_path / "coco", [SQUARE | {"id": 1}, INNER | {"id": 1}])
    notes = import_dataset(file, tmp_path / "plain")
    assert any("1 annotations have the id of another" in note for note in notes)
    exported(tmp_path / "plain", {("train__a", 1): 1}, tmp_path / "new.json")
    assert [a["category_id"] for a in read_json(tmp_path / "new.json")["annotations"]] == [90, 7]


def test_a_part_of_the_name_of_the_file_does_not_choose_a_folder(tmp_path: Path) -> None:
    """Both folders have such an image, and the letter a occurs in instances.json."""
    file = coco_dataset(tmp_path / "coco", [], images=[{"id": 1, "file_name": "x.png", "height": 40, "width": 60}])
    for folder in ("a", "z"):
        picture(tmp_path / "coco" / folder / "x.png")
    with pytest.raises(ValueError, match=r"expected one file x.png, found .*a/x.png and .*z/x.png"):
        import_dataset(file, tmp_path / "plain")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda c: c["annotations"].append(c["annotations"][0]),
            r"annotations\[1\]: .*found image_id 4 in .*\[0\]",
        ),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id=768), r"\[1\]: expected an id of its own.* 768"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id="65543"), "expected an id of its own.*'65543'"),
        (lambda c: c["annotations"][0]["segments_info"][1].pop("id"), "expected an id of its own.* found None"),
        (lambda c: c["annotations"][0]["segments_info"][1].update(category_id=4), "expected the id of a category"),
        (lambda c: c["annotations"][0]["segments_info"].pop(), r"a.png: expected the segments of .*, found 65543"),
        (lambda c: c["annotations"][0].update(image_id="4"), "image_id: expected ids of one kind"),
    ],
)
def test_segments_of_panoptic_that_only_one_file_knows_are_refused(
    change: Callable[[Any], object], why: str, tmp_path: Path
) -> None:
    file = changed_json(panoptic(tmp_path / "coco"), change)
    with pytest.raises(ValueError, match=why):
        import_dataset(file, tmp_path / "plain")


def test_what_panoptic_has_beyond_pictures_and_segments_is_told(tmp_path: Path) -> None:
    """A segment without pixels, segments of an image that is not listed; and a second export is the same."""
    file = panoptic(tmp_path / "coco")

    def change(content: Any) -> None:
        content["annotations"][0]["segments_info"].append({"id": 9, "category_id": 3})
        content["annotations"].append({"image_id": 77, "file_name": "z.png", "segments_info": []})

    notes = "\n".join(import_dataset(changed_json(file, change), tmp_path / "plain"))
    assert "1 objects have no pixels" in notes and "1 annotations are of images that the file does not list" in notes
    for number in (1, 2):
        exported(tmp_path / "plain", {("a", 2): 0}, tmp_path / f"out{number}")
    assert not same_files(tmp_path / "out1", tmp_path / "out2")
    with pytest.raises(FileExistsError, match="is there already"):
        exported(tmp_path / "plain", {}, tmp_path / "out1")
    with pytest.raises(FileExistsError, match="is there already"):
        import_dataset(tmp_path / "coco", tmp_path / "plain")


def test_a_blurred_picture_of_segments_is_refused(tmp_path: Path) -> None:
    file = panoptic(tmp_path / "coco")
    place = tmp_path / "coco" / "panoptic_val" / "a.png"
    Image.open(place).convert("RGB").save(place, "JPEG")
    with pytest.raises(ValueError, match="found a JPEG picture, which blurs"):
        import_dataset(file, tmp_path / "plain")


# ------------------------------------------------------------------------------------------------ VOC
@pytest.mark.parametrize(
    "lines",
    [
        "car : 10, 20, 30 : : \nbackground: 0,0,0 ::\n\ntree:oak:1,2,3::a,b\nvoid:9,9,9::\n",
        "# label:color_rgb:parts:actions\nbackground:0,0,0\ncar:10,20,30\ntree:oak:1,2,3:\nvoid:9,9,9\n",
        "\ufeffbackground:0,0,0:head,hand:\r\ncar:10,20,30::run\r\ntree:oak:1,2,3::\r\nVoid:9,9,9::\r\n",
    ],
)
def test_lines_of_a_labelmap_in_other_hands(lines: str, tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", "RGB")
    (root / "labelmap.txt").write_bytes(lines.encode())
    import_dataset(root, tmp_path / "plain")
    names = read_json(tmp_path / "plain" / "source.json")["names"]
    assert sorted(names) == ["background", "car", "tree:oak"]
    labels = maps(tmp_path / "plain", "a")[1]
    assert names[labels[0, 0]] == "car" and names[labels[35, 50]] == "tree:oak" and labels[27, 0] == 255


def test_a_class_that_is_called_as_an_answer_is_no_void(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", "RGB")
    (root / "labelmap.txt").write_text(VOC_LINES.replace("car:", "skip:") + "Ignore:8,8,8::\n")
    notes = import_dataset(root, tmp_path / "plain")
    assert any("'Ignore' of labelmap.txt is read as void" in note for note in notes)
    assert any("class 'skip' is called 'skip (1)' here" in note for note in notes)
    objects, labels = maps(tmp_path / "plain", "a")
    assert (labels[:20] == 1).all()
    exported(tmp_path / "plain", {("a", objects[0, 0]): 255}, tmp_path / "new")
    with Image.open(tmp_path / "new" / "SegmentationClass" / "a.png") as image:
        assert image.getpixel((0, 0)) == (9, 9, 9), "the first that is void"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            "tree:oak:1,2,3::a,b",
            "tree:oak:::a,b",
            "expected a colour for every name, or for none, .* for 'tree",
        ),
        ("tree:oak:1,2,3::a,b", "tree:oak:10,20,30::", "expected each name and colour .* once, found 'tree:oak:10"),
        ("tree:oak:1,2,3::a,b", "car:1,2,3::", "expected each name and colour .* once, found 'car:1"),
        ("tree:oak:1,2,3::a,b", "tree:oak:1,2,300::", "expected each name and colour .* once, found 'tree:oak:1,2,300"),
        ("tree:oak:1,2,3::a,b", "tree 1 2 3", "expected lines name:r,g,b:parts:actions, found 'tree 1 2 3'"),
    ],
)
def test_wrong_lines_of_a_labelmap_are_named(old: str, new: str, why: str, tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", "RGB")
    (root / "labelmap.txt").write_text(VOC_LINES.replace(old, new))
    with pytest.raises(ValueError, match=why):
        import_dataset(root, tmp_path / "plain")


def test_pictures_of_one_name_in_two_folders_of_voc_stay_two(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", "RGB")
    for folder in ("x", "y"):
        picture(root / "JPEGImages" / folder / "a.png")
        (root / "SegmentationClass" / folder).mkdir()
        shutil.copy(root / "SegmentationClass" / "a.png", root / "SegmentationClass" / folder)
    import_dataset(root, tmp_path / "plain")
    assert {path.name for path in (tmp_path / "plain" / "labels").iterdir()} == {
        "a.png",
        "b.png",
        "x__a.png",
        "y__a.png",
    }
    objects = maps(tmp_path / "plain", "y__a")[0]
    exported(tmp_path / "plain", {("y__a", objects[0, 0]): 0}, tmp_path / "new")
    assert same_files(root, tmp_path / "new") == ["SegmentationClass/y/a.png"]


# ------------------------------------------------------------------------------------------------ Hugging Face
def test_a_value_without_a_name_is_refused_and_one_of_void_told(tmp_path: Path) -> None:
    root = parquet(tmp_path / "hf")
    for names, why in (
        ({"0": "wall", "3": "car"}, "train-0.parquet#0: id2label.json has no name for 8: give them names"),
        ({"0": "wall", "3": "car", "08": "a", "8": "b"}, "expected every id once"),
    ):
        (root / "id2label.json").write_text(json.dumps(names))
        with pytest.raises(ValueError, match=why):
            import_dataset(root, tmp_path / "other")
    (root / "id2label.json").write_text('{"8": "tree", "3": "car", "255": "glass"}')
    notes = import_dataset(root, tmp_path / "plain")
    assert any("'glass', id 255 of id2label.json, is read as void" in note for note in notes)
    assert any("no name for 0, which is read as void" in note for note in notes)
    assert read_json(tmp_path / "plain" / "source.json")["names"] == ["car", "tree"]
    labels = maps(tmp_path / "plain", "data__train-0__1")[1]
    assert (labels == np.select([LABELS == 3, LABELS == 8], [0, 1], 255)).all()


def test_void_is_written_as_the_label_pictures_have_it(tmp_path: Path) -> None:
    """Where 0 is no class, it is 0."""
    root = tmp_path / "hf"
    picture(root / "a.png")
    (root / "m.png").write_bytes(png(np.where(LABELS == 255, 0, LABELS)))
    (root / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "label_file_name": "m.png"}) + "\n")
    for names, void in (({"3": "car", "8": "tree"}, 0), ({"0": "wall", "3": "car", "8": "tree"}, 255)):
        (root / "id2label.json").write_text(json.dumps(names))
        import_dataset(root, tmp_path / f"plain{void}")
        export_source(
            tmp_path / f"plain{void}",
            lambda _: np.full(SIZE, 255, np.uint8),
            ["a"],
            [*names.values()],
            tmp_path / f"{void}",
        )
        assert (read_label_png(tmp_path / f"{void}" / "m.png") == void).all()


# ------------------------------------------------------------------------------------------------ YOLO
def test_lines_of_yolo_may_end_in_any_way(tmp_path: Path) -> None:
    """Taken for one line, three of them would be one outline with their classes as coordinates."""
    lines = [b"1 0.1 0.1 0.5 0.1 0.5 0.5", b"0 0.6 0.1 0.9 0.1 0.9 0.5", b"1 0.1 0.6 0.5 0.6 0.5 0.9"]
    for number, end in enumerate((b"\n", b"\r\n", b"\r")):
        root, plain = yolo(tmp_path / f"yolo{number}", end.join([*lines, b""])), tmp_path / f"plain{number}"
        import_dataset(root, plain)
        objects = maps(plain, "images__train__a")[0]
        assert [objects[row, column] for row, column in ((6, 25), (6, 50), (26, 25))] == [1, 2, 3]
        exported(plain, {("images__train__a", 2): 1}, tmp_path / f"new{number}")
        new = (tmp_path / f"new{number}" / "labels" / "train" / "a.txt").read_bytes()
        assert new == end.join([lines[0], b"1" + lines[1][1:], lines[2], b""])


def test_lists_of_classes_that_contradict_or_have_gaps_are_refused(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    (root / "a.yaml").write_text("names: [tree, car]\n")
    with pytest.raises(ValueError, match=r"expected one list of classes, found others in a.yaml and data.yaml"):
        import_dataset(root, tmp_path / "plain")
    (root / "a.yaml").unlink()
    (root / "data.yaml").unlink()
    for line, text in ((2, "car\n\ntree\n"), (1, "\ncar\ntree\n")):
        (root / "classes.txt").write_text(text)
        with pytest.raises(ValueError, match=f"classes.txt, line {line}: expected a class in every line, found an emp"):
            import_dataset(root, tmp_path / "plain")


def test_label_files_of_yolo_without_an_image_are_told(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    (root / "labels" / "train" / "gone.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    notes = import_dataset(root, tmp_path / "plain")
    assert any(note.startswith("1 label files have no image and are left out: labels") for note in notes)


# ------------------------------------------------------------------------------------------------ Label Studio
def test_results_of_label_studio_that_are_of_no_single_upright_image_are_refused(tmp_path: Path) -> None:
    def turned(content: Any) -> None:
        content[0]["annotations"][1]["result"][0]["image_rotation"] = 90

    def of_two(content: Any) -> None:
        content[0]["annotations"][1]["result"][0]["to_name"] = "other"

    def two_images(content: Any) -> None:
        content[0]["data"]["other"] = "/data/upload/3/b.png"

    for number, (change, why) in enumerate(
        (
            (turned, "task 0: expected an image that is not turned, found image_rotation 90: turn it back"),
            (of_two, r"task 0: expected results of one image, found those of image, other \(to_name\)"),
            (two_images, "task 0: expected one image, found .*a.png and .*b.png in its data"),
        )
    ):
        root = label_studio(tmp_path / str(number))
        picture(root / "media" / "b.png")
        changed_json(root / "project.json", change)
        with pytest.raises(ValueError, match=why):
            import_dataset(root, tmp_path / "plain")


def test_predictions_are_told_and_ground_truth_comes_first(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        first, second = content[0]["annotations"]
        first |= {"was_cancelled": False, "result": second["result"][:1]}
        second["ground_truth"] = True
        content[1]["predictions"] = [{"result": second["result"]}]

    root = label_studio(tmp_path / "ls")
    changed_json(root / "project.json", change)
    notes = import_dataset(root, tmp_path / "plain")
    assert notes[0].startswith("label-studio: 2 objects") and "1 further annotations of the same images" in notes[1]
    assert any("1 images have predictions only, which are not read" in note for note in notes)
    exported(tmp_path / "plain", {("1a2b3c4d-a", 1): 1}, tmp_path / "new.json")
    new = read_json(tmp_path / "new.json")[0]["annotations"]
    found = [[result["value"].get("brushlabels") for result in given["result"]] for given in new]
    assert found == [[["Car"]], [["Tree"], None, None]]


def test_an_image_of_label_studio_is_found_by_its_folder_and_by_no_part_of_its_name(tmp_path: Path) -> None:
    root = label_studio(tmp_path / "ls")
    for number, folder in enumerate(("one", "two")):
        (root / folder).mkdir()
        Image.fromarray(np.full((*SIZE, 3), number, np.uint8)).save(root / folder / "c.png")

    def change(content: Any) -> None:
        content[0]["data"]["image"] = "/data/local-files/?d=ls%2Ftwo%2Fc.png"
        content[1]["data"]["image"] = "s3://bucket/my-a.png"  # is not a.png

    changed_json(root / "project.json", change)
    notes = import_dataset(root, tmp_path / "plain")
    assert any("1 of 2 images have no file and are left out, such as my-a.png" in note for note in notes)
    (path,) = (tmp_path / "plain" / "images").iterdir()
    assert np.asarray(Image.open(path)).max() == 1


# ------------------------------------------------------------------------------------------------ all
def turned(path: Path, orientation: int) -> None:
    """Save a picture with an EXIF orientation, which says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.load()
        image.save(path, exif=exif)


def test_label_pictures_that_are_to_be_turned_are_refused(tmp_path: Path) -> None:
    roots = {"voc": voc(tmp_path / "voc", "P"), "hf": tmp_path / "hf"}
    turned(roots["voc"] / "SegmentationClass" / "a.png", 3)
    picture(roots["hf"] / "a.png")
    (roots["hf"] / "m.png").write_bytes(png(LABELS))
    turned(roots["hf"] / "m.png", 2)
    (roots["hf"] / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "label_file_name": "m.png"}))
    for name, root in roots.items():
        with pytest.raises(ValueError, match=r"\.png: expected labels that are shown as they are stored, found the or"):
            import_dataset(root, tmp_path / f"plain-{name}")


def test_photographs_that_were_annotated_in_two_ways_are_refused(tmp_path: Path) -> None:
    file = coco_dataset(tmp_path / "coco", [])
    for name in ("train/a.png", "val/a.png"):
        turned(tmp_path / "coco" / "images" / name, 6)
    changed_json(file, lambda content: content["images"][0].update(height=60, width=40))
    with pytest.raises(ValueError, match=r"annotated in the same way, found val/a.png as it is stored and train/a.png"):
        import_dataset(file, tmp_path / "plain")


def test_images_whose_names_differ_in_little_stay_apart(tmp_path: Path) -> None:
    names = ["x/q.png", "x/Q.png", "x__q.png", "x/q.jpg", ".q.png"]
    root = tmp_path / "coco"
    images = [{"id": k, "file_name": name, "height": 40, "width": 60} for k, name in enumerate(names)]
    annotations = [{"id": k, "image_id": k, "category_id": 5 + 2 * (k % 2), **OUTLINE} for k in range(len(names))]
    file = coco_dataset(root, annotations, images=images)
    for k, name in enumerate(names):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 20 * k, np.uint8)).save(root / "images" / name)
    notes = import_dataset(file, tmp_path / "plain")
    assert notes[0].startswith("coco: 4 objects in 4 images"), "a name that begins with a dot is hidden"
    index = read_json(tmp_path / "plain" / "source.json")["images"]
    assert len({name.lower() for name in index}) == 4
    for name, entry in index.items():
        shade = 20 * names.index(entry["file"])
        (path,) = (tmp_path / "plain" / "images").glob(f"{name}.*")
        assert abs(int(np.asarray(Image.open(path)).mean()) - shade) <= 2


OUTLINE = {"segmentation": [[2, 2, 30, 2, 30, 30, 2, 30]]}


def test_an_instance_map_of_another_size_or_turned_is_refused(tmp_path: Path) -> None:
    root, city = tmp_path / "cs", Path("train", "bern")
    picture(root / "leftImg8bit" / city / "bern_0_1_leftImg8bit.png")
    ground = root / "gtFine" / city
    write_label_png(ground / "bern_0_1_gtFine_labelIds.png", np.full(SIZE, 26, np.uint8))
    write_label_png(ground / "bern_0_1_gtFine_instanceIds.png", np.full(SIZE, 26001, np.int32))
    turned(ground / "bern_0_1_gtFine_instanceIds.png", 3)
    with pytest.raises(ValueError, match="instanceIds.png: expected labels that are shown as they are stored"):
        import_dataset(root, tmp_path / "plain")


def test_an_image_of_another_split_is_not_taken_for_one_that_is_missing(tmp_path: Path) -> None:
    """Of validation only the annotations are there; training has an image of the same name."""
    images = [{"id": k, "file_name": name, "height": 40, "width": 60} for k, name in enumerate(("p.png", "q.png"))]
    file = coco_dataset(tmp_path / "coco", [], images=images)
    for place in ("train2017/p.png", "val2017/q.png", "training/q.png"):
        Image.fromarray(np.full((*SIZE, 3), 10 * len(place), np.uint8)).save(picture_at(tmp_path / "coco" / place))
    notes = import_dataset(file.rename(file.with_name("instances_val.json")), tmp_path / "plain")
    assert any("1 of 2 images have no file and are left out, such as p.png" in note for note in notes)
    (path,) = (tmp_path / "plain" / "images").iterdir()
    assert np.asarray(Image.open(path)).max() == 10 * len("val2017/q.png")


def picture_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_names_that_yaml_takes_for_something_else_and_labels_of_two_images_are_refused(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    (root / "data.yaml").write_text("names: {0: car, b: tree}\n")
    with pytest.raises(ValueError, match=r"names: expected a list of classes, or ids 0, 1, 2"):
        import_dataset(root, tmp_path / "plain")
    (root / "data.yaml").write_text("names: [car, no]\n")
    with pytest.raises(ValueError, match="data.yaml: names: expected texts, found False: put it in quotes"):
        import_dataset(root, tmp_path / "plain")
    root = tmp_path / "hf"
    rows = [{"file_name": f"{name}.png", "label_file_name": "m.png"} for name in "ab"]
    for row in rows:
        picture(root / row["file_name"])
    (root / "m.png").write_bytes(png(LABELS))
    (root / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(ValueError, match="metadata.jsonl: expected a label file for each image, found .*for two"):
        import_dataset(root, tmp_path / "plain")


def test_a_tiff_with_an_orientation_is_seen_as_it_is_shown(tmp_path: Path) -> None:
    """Pillow turns TIFFs, and no other files, when it reads them: sizes are not to be turned once more."""
    file = coco_dataset(tmp_path / "coco", [], images=[{"id": 1, "file_name": "p.tif", "height": 40, "width": 60}])
    shown = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    at = tmp_path / "coco" / "images" / "p.tif"
    Image.fromarray(np.rot90(shown)).save(at, tiffinfo={0x0112: 6})  # turned to the right it is upright
    import_dataset(file, tmp_path / "plain")
    assert not (tmp_path / "plain" / "dataset.yaml").exists(), "nothing is said to be stored otherwise"
    assert (load_dataset("folder", tmp_path / "plain").train.image("p") == shown).all()
    for thorough in (False, True):
        look = look_at_picture(at, thorough)
        assert (look.size, look.shown_size(True), look.orientation) == ((60, 40), SIZE, 6)
    with pytest.raises(ValueError, match="p.tif: .*orientation: expected a TIFF without one where images are shown as"):
        read_image(at, upright=False)
    label = tmp_path / "label.tif"
    Image.fromarray(LABELS).save(label, tiffinfo={0x0112: 3})
    with pytest.raises(ValueError, match=r"label: expected labels that are shown as they are stored, .* orientation 3"):
        LabelFile(label.read_bytes(), "label")
