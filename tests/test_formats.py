"""Formats of other programs, in and out: labelme, YOLO, VOC of CVAT, Label Studio, Hugging Face, Cityscapes. What the
libraries of these programs make of it is checked by `benchmarks/formats_check.py`."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import binary_fill_holes
from skimage.measure import label as connected_regions
from test_formats_coco import dataset as coco_dataset
from test_formats_coco import exported, panoptic

from a2lc.datasets import load_dataset
from a2lc.files import read_json, read_label_png, write_label_png
from a2lc.formats import export_source, import_dataset
from a2lc.formats.label_studio import decoded_brush, encoded_brush
from a2lc.formats.shapes import filled_polygon
from a2lc.formats.writers import (
    outline,
    write_cityscapes,
    write_hugging_face,
    write_label_studio,
    write_labelme,
    write_panoptic,
    write_yolo,
)
from a2lc.human.exports import export_coco, export_voc
from a2lc.masks import MaskSet

SIZE = (40, 60)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)


def png(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def maps(plain: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(read_label_png(plain / kind / f"{name}.png") for kind in ("objects", "labels"))  # type: ignore


def same_files(a: Path, b: Path) -> list[str]:
    """The files of `b`, which differ from those of `a`."""
    return [
        str(p.relative_to(b))
        for p in sorted(b.rglob("*"))
        if p.is_file() and p.read_bytes() != (a / p.relative_to(b)).read_bytes()
    ]


# ------------------------------------------------------------------------------------------------ labelme
def shape(
    label: str, points: Any, kind: str | None = "polygon", group: int | None = None, **more: Any
) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}, **more}


def labelme(root: Path) -> Path:
    picture(root / "a.png")
    picture(root / "sub" / "b.png")
    stored = np.zeros((11, 6), np.uint8)
    stored[2:5] = 255
    shapes = [
        shape("car", [[1.5, 1], [20, 1.25], [20, 20]]),
        shape("car", [[30, 2], [35, 2], [35, 8], [30, 8]], None, 4),
        shape("tree: oak", [[50, 20], [40, 30]], "rectangle"),
        shape("car", [[40, 2], [45, 2], [45, 8], [40, 8]], "polygon", 4, mine=1),
        shape("sky", [[10, 30], [14, 33]], "circle"),
        shape("sky", [[20, 25], [25, 35]], "mask", mask=base64.b64encode(png(stored)).decode()),
        shape("sky", [[3, 3]], "point"),
    ]
    for file, name, found in (("a.json", "a.png", shapes), ("sub/b.json", "C:\\x\\b.png", [])):
        content = {"version": "5.4.1", "flags": {}, "shapes": found, "imagePath": name, "imageData": None}
        (root / file).write_text(json.dumps(content | {"imageHeight": 40, "imageWidth": 60}, indent=2))
    return root


def test_labelme(tmp_path: Path) -> None:
    root, plain = labelme(tmp_path / "labelme"), tmp_path / "plain"
    notes = import_dataset(root, plain)
    assert notes[0] == "labelme: 5 objects in 2 images, 3 classes" and "1 shapes are no areas" in notes[1]
    objects, labels = maps(plain, "a")
    expected = Image.new("L", (60, 40))
    draw = ImageDraw.Draw(expected)
    draw.polygon([(1.5, 1), (20, 1.25), (20, 20)], 1)
    for x in (30, 40):  # one object: the two have a group
        draw.rectangle([x, 2, x + 5, 8], 2)
    draw.rectangle([40, 20, 50, 30], 3)
    draw.ellipse([5, 25, 15, 35], 4)
    draw.rectangle([20, 27, 25, 29], 5)
    assert (objects == np.array(expected)).all()
    assert (labels == np.array([255, 0, 0, 2, 1, 1])[objects]).all()  # car, sky, tree: oak

    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    exported(plain, {("a", 2): 2}, tmp_path / "new")
    assert same_files(root, tmp_path / "new") == ["a.json"]
    old, new = (read_json(folder / "a.json")["shapes"] for folder in (root, tmp_path / "new"))
    assert [s["label"] for s in new] == ["car", "tree: oak", "tree: oak", "tree: oak", "sky", "sky", "sky"]
    assert [s | {"label": 0} for s in new] == [s | {"label": 0} for s in old]


def test_the_folder_in_the_path_of_labelme_counts(tmp_path: Path) -> None:
    """Two files beside one another, of images of one name elsewhere, and an image of that name beside them."""
    root = tmp_path / "labelme"
    picture(root / "s" / "a.png")
    for k, camera in enumerate(("one", "two")):
        (root / camera).mkdir()
        Image.fromarray(np.full((*SIZE, 3), k, np.uint8)).save(root / camera / "a.png")
        content = {
            "shapes": [shape("car", [[1, 1], [9, 1], [9, 9]])],
            "imagePath": f"..\\{camera}\\a.png",
            "imageData": None,
        }
        (root / "s" / f"{camera}.json").write_text(json.dumps(content | {"imageHeight": 40, "imageWidth": 60}))
    import_dataset(root, tmp_path / "plain")
    read = {path.name: int(np.asarray(Image.open(path)).max()) for path in (tmp_path / "plain" / "images").iterdir()}
    assert read == {"one__a.png": 0, "two__a.png": 1}


def test_an_image_that_lies_in_the_file_of_labelme_is_taken_from_it(tmp_path: Path) -> None:
    root = labelme(tmp_path / "labelme")
    content = read_json(root / "a.json")
    data = (root / "a.png").read_bytes()
    (root / "a.png").unlink()
    (root / "a.json").write_text(json.dumps(content | {"imageData": base64.b64encode(data).decode()}))
    import_dataset(root, tmp_path / "plain")
    assert (tmp_path / "plain" / "images" / "a.png").read_bytes() == data
    (root / "a.json").write_text(json.dumps(content | {"imageData": "%"}))
    with pytest.raises(ValueError, match="imageData: expected an image in base64, found '%'"):
        import_dataset(root, tmp_path / "other")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (shape("car", [[1, 1], [float("nan"), 2], [3, 3]]), "finite numbers, found nan"),
        (shape("car", [[1, 1]], "circle"), "two points of a circle, found 1"),
        (shape("car", [[50, 20], [80, 25]], "mask", mask="%"), "an image in base64"),
        (
            shape(
                "car", [[50, 20], [80, 25]], "mask", mask=base64.b64encode(png(np.zeros((6, 31), np.uint8))).decode()
            ),
            "its box",
        ),
        (shape("car", "x"), "finite numbers, found None"),
    ],
)
def test_damaged_shapes_of_labelme_are_named(wrong: dict[str, Any], why: str, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.json").write_text(json.dumps({"shapes": [wrong], "imagePath": "a.png"}))
    with pytest.raises(ValueError, match=rf"a.json: shapes\[0\]: .*{why}"):
        import_dataset(tmp_path / "in", tmp_path / "plain")


# ------------------------------------------------------------------------------------------------ YOLO
def yolo(root: Path, text: bytes = b"") -> Path:
    for name in ("train/a.png", "val/a.png", "val/none.png"):
        picture(root / "images" / name)
    text = text or b"1 0.1 0.1 0.5 0.1 0.5 0.50\r\n\r\n  0\t0.75 0.75 0.5 0.5\r\n"
    for name, content in (("train/a", text), ("val/a", b"1 0 0 1 0 1 1 0 1")):
        (root / "labels" / name).parent.mkdir(parents=True)
        (root / "labels" / f"{name}.txt").write_bytes(content)
    (root / "data.yaml").write_text("path: ../elsewhere\ntrain: images/train\nnames:\n  0: car\n  1: tree\n")
    return root


def test_yolo(tmp_path: Path) -> None:
    root, plain = yolo(tmp_path / "yolo"), tmp_path / "plain"
    notes = import_dataset(root, plain)
    assert notes[0] == "yolo: 3 objects in 3 images, 2 classes" and "1 lines are boxes" in notes[1]
    objects, _ = maps(plain, "images__train__a")
    expected = Image.new("L", (60, 40))
    draw = ImageDraw.Draw(expected)
    draw.polygon([(30, 20), (60, 20), (60, 40), (30, 40)], 2)
    draw.polygon([(6, 4), (30, 4), (30, 20)], 1)
    assert (objects == np.array(expected)).all()
    assert (maps(plain, "images__val__a")[1] == 1).all() and not maps(plain, "images__val__none")[0].any()

    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    exported(plain, {("images__train__a", 2): 1}, tmp_path / "new")
    assert same_files(root, tmp_path / "new") == ["labels/train/a.txt"]
    new = (tmp_path / "new" / "labels" / "train" / "a.txt").read_bytes()
    assert new == b"1 0.1 0.1 0.5 0.1 0.5 0.50\r\n\r\n  1\t0.75 0.75 0.5 0.5\r\n"


def test_what_would_be_two_objects_or_none_in_yolo_is_refused(tmp_path: Path) -> None:
    root = yolo(tmp_path / "two")
    image = next(path for path in sorted((root / "images").rglob("*.*")) if path.is_file())
    picture(image.with_suffix(".bmp"))
    with pytest.raises(ValueError, match=r"\.txt: expected the objects of one image, found .* as another"):
        import_dataset(root, tmp_path / "plain")
    root = yolo(tmp_path / "poses")
    (said,) = root.glob("*.yaml")
    said.write_text(said.read_text() + "\nkpt_shape: [2, 3]\n")
    with pytest.raises(ValueError, match=r"expected segments or boxes, found poses"):
        import_dataset(root, tmp_path / "plain")


def test_yolo_with_a_list_of_classes_beside_the_labels(tmp_path: Path) -> None:
    root = yolo(tmp_path / "yolo")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("car\ntree\n")
    assert import_dataset(root, tmp_path / "plain")[0] == "yolo: 3 objects in 3 images, 2 classes"
    exported(tmp_path / "plain", {}, tmp_path / "same")
    assert (tmp_path / "same" / "classes.txt").read_text() == "car\ntree\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"2 0 0 1 0 1 1", r"a class 0..1, found '2'"),
        (b"0 0 0 1 0 1 nan", "finite numbers, found nan"),
        (b"0 0 0 1 0 1 x", "could not convert"),
        (b"0 0 0 1 0 1", "pairs"),
        (b"0 10 10 500 10 500 500", "found 10: are these pixels"),
        (b"0 1 1 9 1 9 7", "found 9: are these pixels"),
        (b"0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.5 0.5 2", "key points of a pose"),
        (b"\xff", "bytes that are none"),
    ],
)
def test_damaged_lines_of_yolo_are_named(text: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"a.txt.*{why}"):
        import_dataset(yolo(tmp_path / "yolo", text), tmp_path / "plain")


# ------------------------------------------------------------------------------------------------ VOC, as CVAT has it
VOC_LINES = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:10,20,30::\ntree:oak:1,2,3::a,b\nvoid:9,9,9::\n"


def voc(root: Path, mode: str) -> Path:
    colours = np.array([[0, 0, 0], [10, 20, 30], [1, 2, 3], [9, 9, 9]], np.uint8)
    ids, instances = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    ids[:20], ids[30:, 40:], ids[25:30] = 1, 2, 3
    instances[:20, :30], instances[:20, 30:] = 1, 2  # two cars that touch
    image = Image.fromarray(colours[ids])
    if mode == "P":
        image = Image.fromarray(ids)
        image.putpalette(colours.tobytes())
    for name in ("a", "b"):
        picture(root / "JPEGImages" / f"{name}.png")
        (root / "SegmentationClass").mkdir(exist_ok=True)
        image.save(root / "SegmentationClass" / f"{name}.png")
    write_label_png(
        root / "SegmentationObject" / "a.png", instances, np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
    )
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("a\nb\n")
    (root / "labelmap.txt").write_text(VOC_LINES)
    return root


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_voc_by_its_colours(mode: str, tmp_path: Path) -> None:
    root, plain = voc(tmp_path / "voc", mode), tmp_path / "plain"
    assert import_dataset(root, plain)[0].startswith("voc: 9 objects in 2 images, 3 classes")
    classes = load_dataset("folder", plain).classes
    assert classes.names == ("background", "car", "tree:oak") and classes.palette[1].tolist() == [10, 20, 30]
    objects, labels = maps(plain, "a")
    assert (labels[:20] == 1).all() and (labels[25:30] == 255).all() and labels[35, 50] == 2 and labels[22, 0] == 0
    left, right = objects[0, 0], objects[0, 59]
    assert left != right and (objects[:20, :30] == left).all() and (objects[:20, 30:] == right).all()

    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    exported(plain, {("a", left): 2, ("a", right): 255}, tmp_path / "new")
    file = Path("SegmentationClass", "a.png")
    assert same_files(root, tmp_path / "new") == [str(file)]
    with Image.open(tmp_path / "new" / file) as new, Image.open(root / file) as old:
        assert new.mode == old.mode == mode
        after, before = (np.array(image.convert("RGB")) for image in (new, old))
    assert (after[:20, :30] == [1, 2, 3]).all() and (after[:20, 30:] == [9, 9, 9]).all()
    assert (after[20:] == before[20:]).all()


def test_a_colour_that_no_class_has_is_refused(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", "RGB")
    (root / "labelmap.txt").write_text(VOC_LINES.replace("10,20,30", "10,20,31"))
    with pytest.raises(ValueError, match=r"a.png: expected the colours of labelmap.txt, found \(10, 20, 30\)"):
        import_dataset(root, tmp_path / "plain")


def test_an_export_in_voc_has_every_colour_in_its_list_and_comes_back(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "images" / "a.png")
    names = {
        "sky": [0, 0, 0],
        "traffic light: red": [5, 5, 5],
        "car": [5, 5, 5],
        "a-b": [224, 224, 192],
        "a:b": [1, 1, 1],
    }
    (tmp_path / "data" / "classes.json").write_text(json.dumps(names))
    classes = load_dataset("folder", tmp_path / "data").classes
    objects = np.zeros(SIZE, np.int32)
    objects[:8], objects[8:16], objects[16:24], objects[24:30], objects[30:35] = 1, 2, 300, 4, 5
    masks = MaskSet.from_maps(classes, ["a"], {"a": objects}, {"a": {1: 0, 2: 1, 300: 2, 4: 3, 5: 4}})
    out = tmp_path / "voc"
    notes = export_voc(masks, out, masks.label_map)
    assert notes[0].startswith("class 'traffic light: red' is called 'traffic light- red'") and len(notes) == 2
    lines = [line.split(":") for line in (out / "labelmap.txt").read_text().splitlines()[1:]]
    assert all(len(line) == 4 for line in lines) and lines[-1][0] == "void"
    listed = {tuple(map(int, line[1].split(","))) for line in lines}
    with Image.open(out / "SegmentationClass" / "a.png") as image:
        drawn = set(map(tuple, np.array(image.convert("RGB")).reshape(-1, 3).tolist()))
    assert drawn == listed and len(listed) == 6

    picture(out / "JPEGImages" / "a.png")
    import_dataset(out, tmp_path / "again")
    again, labels = maps(tmp_path / "again", "a")
    assert (labels == masks.label_map("a")).all()
    assert all(len(np.unique(again[objects == k])) == 1 for k in (1, 2, 300, 4, 5))


# ------------------------------------------------------------------------------------------------ Label Studio
@pytest.mark.parametrize("seed", range(8))
def test_brushes_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 30), rng.integers(1, 2000))) < rng.choice([0, 0.001, 0.5, 1])
    assert (decoded_brush(encoded_brush(mask)) == np.repeat(mask.ravel(), 4) * 255).all()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0, 0, 0, 9], "early end"),
        ([256], "a list of bytes"),
        ("x", "a list of bytes"),
        ([255] * 40, "at most 400,000,000"),
        (encoded_brush(np.ones((4, 4), bool))[:-2], "early end"),
    ],
)
def test_damaged_brushes_are_refused(values: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded_brush(values)


def label_studio(root: Path) -> Path:
    picture(root / "media" / "a.png")
    brush = np.zeros(SIZE, bool)
    brush[5:15, 10:20] = True
    size = {"original_width": 60, "original_height": 40, "image_rotation": 0, "to_name": "image"}
    polygon = [[50, 50], [100, 50], [100, 100.0], [50, 100]]
    result = [
        {
            **size,
            "id": "x1",
            "type": "brushlabels",
            "value": {"format": "rle", "rle": encoded_brush(brush), "brushlabels": ["Car"]},
        },
        {
            **size,
            "id": "x2",
            "type": "polygonlabels",
            "value": {"points": polygon, "polygonlabels": ["Tree"], "closed": True},
        },
        {"id": "x3", "type": "choices", "value": {"choices": ["good"]}},
    ]
    annotations = [{"id": 5, "was_cancelled": True, "result": []}, {"id": 6, "was_cancelled": False, "result": result}]
    tasks = [
        {"id": 1, "data": {"text": "hello", "image": "/data/upload/3/1a2b3c4d-a.png"}, "annotations": annotations},
        {"id": 2, "data": {"image": "/data/local-files/?d=media%2Fmissing.png"}, "annotations": []},
    ]
    (root / "project.json").write_text(json.dumps(tasks))
    return root


def test_label_studio(tmp_path: Path) -> None:
    root, plain = label_studio(tmp_path / "ls"), tmp_path / "plain"
    notes = import_dataset(root, plain)
    assert notes[0] == "label-studio: 2 objects in 1 images, 2 classes" and "1 of 2 images have no file" in notes[2]
    objects, labels = maps(plain, "1a2b3c4d-a")
    expected = np.zeros(SIZE, int)
    expected[20:, 30:], expected[5:15, 10:20] = 2, 1
    assert (objects == expected).all() and (labels == np.array([255, 0, 1])[expected]).all()
    exported(plain, {}, tmp_path / "same.json")
    assert (tmp_path / "same.json").read_bytes() == (root / "project.json").read_bytes()
    exported(plain, {("1a2b3c4d-a", 1): 1, ("1a2b3c4d-a", 2): 0}, tmp_path / "new.json")
    text = (root / "project.json").read_text()
    text = text.replace('"brushlabels": ["Car"]', '"brushlabels": ["Tree"]').replace(
        'labels": ["Tree"], "c', 'labels": ["Car"], "c'
    )
    assert (tmp_path / "new.json").read_text() == text


# ------------------------------------------------------------------------------------------------ Hugging Face
LABELS = np.zeros(SIZE, np.uint8)
LABELS[:10], LABELS[10:20], LABELS[30:] = 3, 8, 255


def parquet(root: Path) -> Path:
    picture(root / "a.jpg")
    image = {"bytes": (root / "a.jpg").read_bytes(), "path": "a.jpg"}
    (root / "a.jpg").unlink()
    (root / "data").mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    about = {
        b"huggingface": json.dumps(
            {"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "Image"}}}}
        ).encode()
    }
    schema = pa.schema([("image", kind), ("label", kind), ("note", pa.string())], about)
    for shard in range(2):
        rows = [{"image": image, "label": {"bytes": png(LABELS), "path": f"{k}.png"}, "note": f"{k}"} for k in range(3)]
        pq.write_table(pa.Table.from_pylist(rows, schema), root / "data" / f"train-{shard}.parquet", row_group_size=2)
    (root / "id2label.json").write_text('{"0": "wall", "3": "car", "8": "tree"}')
    return root


def test_hugging_face_parquet(tmp_path: Path) -> None:
    root, plain = parquet(tmp_path / "hf"), tmp_path / "plain"
    assert import_dataset(root, plain)[0] == "hugging-face: 18 objects in 6 images, 3 classes"
    name = "data__train-1__2"
    objects, labels = maps(plain, name)
    assert (labels == np.select([LABELS == 3, LABELS == 8, LABELS == 0], [1, 2, 0], 255)).all()
    assert (plain / "images" / f"{name}.jpg").is_file()
    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    exported(plain, {(name, objects[0, 0]): 2}, tmp_path / "new")
    changed = str(Path("data", "train-1.parquet"))
    assert same_files(root, tmp_path / "new") == [changed]
    old, new = pq.read_table(root / changed), pq.read_table(tmp_path / "new" / changed)
    assert (
        new.schema.equals(old.schema, check_metadata=True)
        and pq.ParquetFile(tmp_path / "new" / changed).num_row_groups == 2
    )
    expected = old.to_pylist()
    for row in expected:
        row["label"]["bytes"] = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"]))).tolist()
    expected[2]["label"]["bytes"] = np.where(LABELS == 3, 8, LABELS).tolist()
    found = new.to_pylist()
    for row in found:
        row["label"]["bytes"] = np.asarray(Image.open(io.BytesIO(row["label"]["bytes"]))).tolist()
    assert found == expected


def test_hugging_face_image_folder(tmp_path: Path) -> None:
    root, plain = tmp_path / "hf", tmp_path / "plain"
    picture(root / "train" / "a.png")
    (root / "train" / "masks").mkdir()
    (root / "train" / "masks" / "a.png").write_bytes(png(LABELS))
    row = {"file_name": "a.png", "label_file_name": "masks/a.png", "more": 1}
    (root / "train" / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    notes = import_dataset(root, plain)
    assert notes[0] == "hugging-face: 3 objects in 1 images, 3 classes" and "called by their values" in notes[1]
    assert read_json(plain / "source.json")["names"] == ["0", "3", "8"]
    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    export_source(plain, lambda name: np.full(SIZE, 7, np.uint8), ["a"], ["0", "3", "8"], tmp_path / "void")
    assert (read_label_png(tmp_path / "void" / "train" / "masks" / "a.png") == 255).all()
    row["label_file_name"] = "../../secret.png"
    (root / "train" / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="found '../../secret.png'"):
        import_dataset(root, tmp_path / "other")


# ------------------------------------------------------------------------------------------------ Cityscapes
def test_cityscapes(tmp_path: Path) -> None:
    root, plain, city = tmp_path / "cs", tmp_path / "plain", Path("train", "aachen")
    picture(root / "leftImg8bit" / city / "aachen_000000_000019_leftImg8bit.png")
    ids = np.full(SIZE, 7, np.uint8)
    ids[:20], ids[30:], ids[:, :5] = 26, 4, 10  # cars; static and rail track are no classes of the 19
    instances = ids.astype(np.int32)
    instances[:20, 5:30], instances[:20, 30:] = 26000, 26001
    ground = root / "gtFine" / city
    write_label_png(ground / "aachen_000000_000019_gtFine_labelIds.png", ids)
    write_label_png(ground / "aachen_000000_000019_gtFine_instanceIds.png", instances)
    notes = import_dataset(root, plain)
    assert notes[0] == "cityscapes: 3 objects in 1 images, 19 classes" and "instanceIds" in notes[1]
    name = "aachen_000000_000019_leftImg8bit"
    objects, labels = maps(plain, name)
    assert (labels == np.select([ids == 7, ids == 26], [0, 13], 255)).all()
    assert objects[0, 10] != objects[0, 40]
    exported(plain, {}, tmp_path / "same")
    assert not same_files(root, tmp_path / "same")
    exported(plain, {(name, objects[0, 10]): 14}, tmp_path / "new")
    new = read_label_png(tmp_path / "new" / "gtFine" / city / "aachen_000000_000019_gtFine_labelIds.png")
    expected = ids.copy()
    expected[:20, 5:30] = 27  # a truck
    assert (new == expected).all()


# ------------------------------------------------------------------------------------------------ written from nothing
FROM_NOTHING = ["panoptic", "labelme", "yolo", "label-studio", "hugging-face", "cityscapes", "coco", "voc"]


@pytest.mark.parametrize("format", FROM_NOTHING)
def test_every_format_comes_back_as_it_was_written(format: str, tmp_path: Path) -> None:
    """Masks with a hole, of several parts and of a pixel; one of them void, and pixels in no mask."""
    folder, classes = tmp_path / "data", ["road", "car", "truck"]
    picture(folder / "images" / "bern_0_1.png")
    (folder / "classes.json").write_text(json.dumps(classes))
    objects = np.zeros(SIZE, np.int32)
    objects[2:20, 2:30], objects[6:12, 8:20], objects[9, 9:12] = 1, 2, 7
    objects[25:35, 3:9] = objects[25:30, 20:25] = 300
    objects[38, 58], objects[30:40, 40:50] = 9, 4
    labels = {1: 0, 2: 1, 7: 2, 300: 1, 9: 0, 4: 255}
    known = load_dataset("folder", folder).classes
    masks = MaskSet.from_maps(known, ["bern_0_1"], {"bern_0_1": objects}, {"bern_0_1": labels})
    out = tmp_path / ("out.json" if format in ("coco", "label-studio") else "out")
    split = load_dataset("folder", folder).train
    {
        "panoptic": lambda: write_panoptic(masks, out, {}),
        "labelme": lambda: write_labelme(masks, out, {}),
        "yolo": lambda: write_yolo(masks, out, {}),
        "label-studio": lambda: write_label_studio(masks, out, {}),
        "hugging-face": lambda: write_hugging_face(masks, out, split, masks.label_map),
        "cityscapes": lambda: write_cityscapes(masks, out, masks.label_map),
        "coco": lambda: export_coco(masks, out),
        "voc": lambda: export_voc(masks, out, masks.label_map),
    }[format]()
    source = tmp_path / "source"
    if out.is_file():
        source.mkdir()
        out.rename(source / "all.json")
    else:
        out.rename(source)
    target = source / "leftImg8bit" / "train" / "bern" / "bern_0_1_leftImg8bit.png" if format == "cityscapes" else None
    if format == "voc":
        target = source / "JPEGImages" / "bern_0_1.png"
    if format != "hugging-face":
        picture(target or source / "images" / "bern_0_1.png")
    import_dataset(source, tmp_path / "plain")
    (name,) = read_json(tmp_path / "plain" / "source.json")["images"]
    again, label_map = maps(tmp_path / "plain", name)
    now = [read_json(tmp_path / "plain" / "source.json")["names"].index(name) for name in classes]
    expected = np.append(now, [255] * 253).astype(np.uint8)[masks.label_map("bern_0_1")]
    assert (label_map == expected).all()
    if format not in ("yolo", "hugging-face", "cityscapes"):  # which know parts of classes, not objects
        for mask_id, label in labels.items():
            found = np.unique(again[objects == mask_id])
            assert len(found) == 1 and ((again == found[0]) == (objects == mask_id)).all() or label == 255


@pytest.mark.parametrize("seed", range(30))
def test_an_outline_that_is_filled_is_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbered = np.asarray(connected_regions(rng.random((12, 15)) < rng.uniform(0.2, 0.9), connectivity=2))
    for k in range(1, numbered.max() + 1):
        mask = binary_fill_holes(numbered == k)
        assert (filled_polygon(outline(mask), 12, 15) == mask).all()


STRANGE: list[Any] = [None, -1, 1e999, "x", [], {}, [[]], True, "../../x", 10**30, [None], {"counts": 1}]


def mutations(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a JSON document, but of one of each kind."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from mutations(item, (*path, key))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
@pytest.mark.parametrize("format", ["coco", "panoptic", "labelme", "label-studio"])
def test_whatever_stands_in_a_file_is_read_or_refused_with_a_sentence(format: str, tmp_path: Path) -> None:
    make = {"coco": coco_dataset, "panoptic": panoptic, "labelme": labelme, "label-studio": label_studio}[format]
    made = make(tmp_path / "in")
    file = {"labelme": tmp_path / "in" / "a.json", "label-studio": tmp_path / "in" / "project.json"}.get(format, made)
    text = file.read_text()
    rng = np.random.default_rng(0)
    places = [place for place in mutations(json.loads(text)) if place and "rle" not in place[:-1]]
    chosen = [places[k] for k in rng.permutation(len(places))[:60]]
    for number, place in enumerate(chosen):
        content = json.loads(text)
        node = content
        for key in place[:-1]:
            node = node[key]
        for strange in rng.choice(len(STRANGE), 2, replace=False):
            node[place[-1]] = STRANGE[strange]
            file.write_text(json.dumps(content))
            try:
                import_dataset(tmp_path / "in", tmp_path / f"out{number}-{strange}", format)
                exported(tmp_path / f"out{number}-{strange}", {}, tmp_path / f"new{number}-{strange}")
            except (ValueError, FileNotFoundError) as error:
                assert "\n" not in str(error)
