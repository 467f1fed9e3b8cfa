"""COCO in and out: masks are those of pycocotools, and what is written is the source with other category ids only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.files import read_json, read_label_png
from a2lc.formats import export_source, import_dataset
from a2lc.formats.json_text import parsed, replaced
from a2lc.formats.shapes import coco_polygons, run_lengths_as_mask
from a2lc.human import Queue, next_round
from a2lc.human.own_dataset import own_experiment
from a2lc.machine import MissingExtraError
from a2lc.pseudo_labels.own_labels import labels_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
SIZE = (40, 60)
TWO_PARTS = [[1, 1, 20, 1, 20, 20.25], [30.5, 30, 40, 30, 40, 38]]


def ring() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[4:30, 28:55] = 1
    mask[10:20, 35:45] = 0
    return mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    found = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def plain_counts(mask: np.ndarray) -> dict[str, Any]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


ANNOTATIONS: list[dict[str, Any]] = [
    {"id": 70, "image_id": 30, "category_id": 5, "segmentation": TWO_PARTS, "area": 200.50, "bbox": [1, 1, 2e1, 20.0]},
    {"id": 9, "image_id": 30, "category_id": 90, "segmentation": compressed(ring()), "extra": {"a": None}},
    {"id": 10, "image_id": 31, "category_id": 90, "segmentation": plain_counts(ring()), "iscrowd": 1},
    {"id": 11, "image_id": 31, "category_id": 5, "segmentation": [], "area": 0, "iscrowd": 0},
    {"id": 12, "image_id": 31, "category_id": 7, "segmentation": [[-5, -5, 70, -5, 70, 12, -5, 12]], "iscrowd": 0},
    {"id": 13, "image_id": 31, "category_id": 5, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "iscrowd": 0},
    {"id": 14, "image_id": 31, "category_id": 7, "segmentation": [[3, 3, 8, 3, 8, 8, 3, 8]], "iscrowd": 0},
    {"id": 15, "image_id": 31, "category_id": 5, "segmentation": [[3, 3, 8, 3, 8, 8, 3, 8]], "iscrowd": 0},
    {"id": 16, "image_id": 99, "category_id": 5, "segmentation": [[3, 3, 8, 3, 8, 8]], "iscrowd": 0},
]


def dataset(root: Path, annotations: list[dict[str, Any]] = ANNOTATIONS, **more: Any) -> Path:
    """A JSON file with odd spacing, category ids with gaps and an image without annotations; two images called a."""
    names = {30: "train/a.png", 31: "val/a.png", 32: "c.png"}
    rng = np.random.default_rng(0)
    for name in names.values():
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(root / "images" / name)
    images = [{"id": i, "file_name": name, "height": 40, "width": 60, "flickr_url": "u"} for i, name in names.items()]
    categories = [{"id": 5, "name": "cat", "color": [1, 2, 3]}, {"id": 90, "name": "void"}, {"id": 7, "name": "a: dog"}]
    content = {"info": {"v": 1.50}, "images": images, "annotations": annotations, "categories": categories} | more
    (root / "annotations").mkdir()
    text = json.dumps(content, indent=3, ensure_ascii=False).replace("200.5,", "2.0050e2 ,")
    (root / "annotations" / "instances.json").write_text(text, encoding="utf-8")
    return root / "annotations" / "instances.json"


def relabelled(folder: Path, changes: dict[tuple[str, int], int]) -> Any:
    """Labels of an imported dataset, and of some masks, (image, id), other ones."""

    def labels(name: str) -> np.ndarray:
        found, objects = (read_label_png(folder / kind / f"{name}.png") for kind in ("labels", "objects"))
        for (image, mask_id), label in changes.items():
            if image == name:
                found[objects == mask_id] = label
        return found

    return labels


def exported(folder: Path, changes: dict[tuple[str, int], int], out: Path) -> list[str]:
    names = [path.stem for path in sorted((folder / "labels").iterdir())]
    return export_source(folder, relabelled(folder, changes), names, read_json(folder / "source.json")["names"], out)


def test_masks_are_those_of_pycocotools_and_each_object_is_one(tmp_path: Path, capsys: Any) -> None:
    file = dataset(tmp_path / "coco")
    notes = import_dataset(file, tmp_path / "plain")
    reference = COCO(str(file))
    objects = read_label_png(tmp_path / "plain" / "objects" / "train__a.png")
    labels = read_label_png(tmp_path / "plain" / "labels" / "train__a.png")
    for mask_id, annotation in enumerate(reference.loadAnns([70, 9]), start=1):
        assert (reference.annToMask(annotation).astype(bool) == (objects == mask_id)).all()
    assert (labels == np.array([255, 0, 1])[objects]).all()

    crowd, behind, front = (reference.annToMask(a).astype(bool) for a in reference.loadAnns([10, 12, 13]))
    objects = read_label_png(tmp_path / "plain" / "objects" / "val__a.png")
    hidden = reference.annToMask(reference.loadAnns([15])[0]).astype(bool)
    assert (objects[crowd & ~behind] == 1).all() and (objects[behind & ~front] == 3).all()
    assert (objects[front & ~hidden] == 4).all() and (objects[hidden] == 6).all() and not (objects == 5).any()
    assert not read_label_png(tmp_path / "plain" / "objects" / "c.png").any()

    text = "\n".join(notes)
    assert "8 objects in 3 images, 3 classes" in notes[0]
    assert "1 annotations are of images that the file does not list" in text
    assert "1 objects are hidden" in text and "val/a.png: 6" in text and "1 objects have no pixels" in text
    classes = load_dataset("folder", tmp_path / "plain").classes
    assert classes.names == ("cat", "void (1)", "a: dog") and classes.palette[0].tolist() == [1, 2, 3]


def test_an_export_without_answers_is_the_same_bytes_and_with_answers_differs_in_them_alone(tmp_path: Path) -> None:
    file = dataset(tmp_path / "coco")
    import_dataset(tmp_path / "coco", tmp_path / "plain")
    exported(tmp_path / "plain", {}, tmp_path / "same.json")
    assert (tmp_path / "same.json").read_bytes() == file.read_bytes()

    changes = {("train__a", 1): 2, ("val__a", 4): 1, ("val__a", 1): 255}
    notes = exported(tmp_path / "plain", changes, tmp_path / "new.json")
    before, after = file.read_text().splitlines(), (tmp_path / "new.json").read_text().splitlines()
    changed = [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [('"category_id": 5,', '"category_id": 7,'), ('"category_id": 5,', '"category_id": 90,')]
    new = read_json(tmp_path / "new.json")["annotations"]
    ids = {annotation["id"]: annotation["category_id"] for annotation in new}
    assert ids == {annotation["id"]: annotation["category_id"] for annotation in ANNOTATIONS} | {70: 7, 13: 90}
    assert "2 objects have another class" in notes[0] and "1 objects are void" in notes[1]
    with pytest.raises(FileExistsError, match="is there already"):
        exported(tmp_path / "plain", {}, tmp_path / "new.json")


def test_the_commands_go_from_coco_to_coco(tmp_path: Path) -> None:
    file = dataset(tmp_path / "coco")
    plain = tmp_path / "plain"
    done = CliRunner().invoke(app, ["import", str(file), str(plain)])
    assert done.exit_code == 0 and done.stdout.splitlines()[-1] == f"a2lc correct {plain} --masks {plain / 'objects'}"
    config = own_experiment(plain, str(plain / "objects"), budget=2, rounds=1, instant={"features": "colour"})
    run = a2lc.run(config, tmp_path / "runs", progress=False)
    queue = Queue(run)
    asked = {(query.image, query.mask_id): query.label for query in queue.queries}
    for query in queue.queries:
        queue.answer("a: dog" if query.label != 2 else "cat", query.position)
    while (run := next_round(run, True, progress=False)).waits_for:
        pass
    out = tmp_path / "out.json"
    done = CliRunner().invoke(app, ["export", str(run.path), str(out), "--format", "coco"])
    assert done.exit_code == 0, done.output
    index = read_json(plain / "source.json")
    new = [annotation["category_id"] for annotation in read_json(out)["annotations"]]
    old = [annotation["category_id"] for annotation in ANNOTATIONS]
    positions = {index["images"][image]["masks"][mask_id - 1][0] for image, mask_id in asked}
    assert len(asked) == 2
    assert {k for k in range(len(old)) if new[k] != old[k]} >= positions
    assert all(new[k] == (5 if old[k] == 7 else 7) for k in positions)


@pytest.mark.parametrize(
    ("segmentation", "why"),
    [
        ({"size": [40, 60], "counts": [5, 5]}, "add up to 2400 pixels, found 10"),
        ({"size": [40, 60], "counts": [3000, -600]}, "expected counts >= 0"),
        ({"size": [60, 40], "counts": [2400]}, r"size \[40, 60\], the image's"),
        ({"size": [40, 60], "counts": "~~"}, "the character"),
        ([[0, 0, float("nan"), 5, 9, 9]], "finite numbers, found nan"),
        ([[0, 0, 1e300, 5, 9, 9]], "finite numbers, found 1e"),
        ([[0, 0, 5, 5, 9]], "pairs of coordinates"),
        ([[0, 0, 1e8, 5, 9, 9]], "outline of at most"),
        ([[0, 0, "1", 5, 9, 9]], "finite numbers, found '1'"),
    ],
)
def test_damaged_shapes_give_a_sentence_with_the_annotation(segmentation: Any, why: str, tmp_path: Path) -> None:
    annotation = {"id": 1, "image_id": 30, "category_id": 5, "segmentation": segmentation}
    file = dataset(tmp_path / "coco", [annotation])
    with pytest.raises(ValueError, match=rf"train/a.png: annotations\[0\].segmentation: .*{why}"):
        import_dataset(file, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_an_image_id_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = dataset(tmp_path / "coco")
    path.write_text(path.read_text().replace('"id": 31,\n', '"id": 30,\n'))
    with pytest.raises(ValueError, match=r"images\[1\]: expected every id once, found 30 twice"):
        import_dataset(path, tmp_path / "plain")


def test_a_file_name_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "secret.png")
    image = {"id": 30, "file_name": "../secret.png", "height": 40, "width": 60}
    file = dataset(tmp_path / "coco", [], images=[image])
    with pytest.raises(ValueError, match="expected the name of a file in it, found '../secret.png'"):
        import_dataset(file, tmp_path / "plain")


def test_brackets_without_end_and_other_json_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.json"
    bomb.write_text("[" * 200_000)
    with pytest.raises(ValueError, match="bomb.json: damaged JSON"):
        import_dataset(bomb, tmp_path / "plain")
    bomb.write_text("{}")
    with pytest.raises(ValueError, match="known format, found none; say which with --format"):
        import_dataset(bomb, tmp_path / "plain")
    with pytest.raises(ValueError, match="did you mean 'coco'"):
        import_dataset(bomb, tmp_path / "plain", "coko")


def test_an_image_of_another_size_is_refused_and_one_as_stored_is_told(tmp_path: Path) -> None:
    file = dataset(tmp_path / "coco")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "coco" / "images" / "c.png", exif=turned)
    import_dataset(file, tmp_path / "plain")
    assert yaml.safe_load((tmp_path / "plain" / "dataset.yaml").read_text()) == {"orientation": "stored"}
    Image.new("RGB", (61, 40)).save(tmp_path / "coco" / "images" / "c.png")
    with pytest.raises(ValueError, match=r"c.png: expected \(40, 60\), height and width of its annotations"):
        import_dataset(file, tmp_path / "other")


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_and_polygons_agree_with_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 50, 2).tolist()
    mask = (rng.random((height, width)) < rng.random()).astype(np.uint8)
    for form in (compressed(mask), plain_counts(mask)):
        assert (run_lengths_as_mask(form, height, width) == mask).all()
    polygons = [(rng.random(2 * n) * 80 - 15).tolist() for n in rng.integers(3, 8, 2)]
    reference = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    assert (coco_polygons(polygons, height, width) == reference).all()


def test_values_are_replaced_in_the_text_as_it_stands() -> None:
    data = '\ufeff{"a" :[ {"b":1.50, "b": 2},\r\n\t{"é\\"": [NaN, "x"]} ] , "c":{}}'.encode()
    new = replaced(data, [(("a", 0, "b"), 7), (("a", 1, 'é"', 1), "ü")])
    assert new == '\ufeff{"a" :[ {"b":1.50, "b": 7},\r\n\t{"é\\"": [NaN, "ü"]} ] , "c":{}}'.encode()
    assert parsed(new, Path("x"))["a"][0] == {"b": 7}
    with pytest.raises(ValueError, match="expected 'z' in the text"):
        replaced(data, [(("c", "z"), 1)])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.data(), JSON, st.sampled_from([None, 0, 3]), st.booleans())
def test_any_value_can_be_replaced_and_put_back(
    content: Any, data: st.DataObject, new: Any, indent: int | None, as_ascii: bool
) -> None:
    node, place = content, ()
    while isinstance(node, (list, dict)) and node and (not place or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        node, place = node[key], (*place, key)
    assume(place)
    text = json.dumps(content, indent=indent, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass")
    changed = replaced(text, [(place, new)])
    expected = json.loads(text)
    inner = expected
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    assert json.loads(changed) == expected
    assert parsed(replaced(changed, [(place, node)]), Path("x")) == content


def panoptic(root: Path) -> Path:
    """Two segments and void in one image, none in another."""
    ids = np.zeros((*SIZE, 3), np.uint8)
    ids[:20, :, 0], ids[:20, :, 2] = 7, 1  # 7 + 65536
    ids[25:, 10:] = (0, 3, 0)  # 768
    folder = root / "panoptic_val"
    folder.mkdir(parents=True)
    Image.fromarray(ids).save(folder / "a.png")
    segments = [
        {"id": 768, "category_id": 200, "iscrowd": 0, "area": 750, "bbox": [10, 25, 50, 15]},
        {"id": 65543, "category_id": 3, "iscrowd": 0, "area": 1200, "bbox": [0, 0, 60, 20], "mine": 1e3},
    ]
    images = [{"id": k, "file_name": f"{name}.jpg", "height": 40, "width": 60} for k, name in ((4, "a"), (5, "b"))]
    (root / "val").mkdir()
    for image in images:
        Image.new("RGB", (60, 40)).save(root / "val" / image["file_name"])
    categories = [{"id": 200, "name": "rug", "isthing": 0}, {"id": 3, "name": "car", "isthing": 1}]
    annotations = [{"image_id": 4, "file_name": "a.png", "segments_info": segments}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (root / "panoptic_val.json").write_text(text.replace("1000.0", "1e3"))
    return root / "panoptic_val.json"


def test_panoptic_segments_come_and_go(tmp_path: Path) -> None:
    file = panoptic(tmp_path / "coco")
    plain = tmp_path / "plain"
    assert import_dataset(tmp_path / "coco", plain)[0].startswith("panoptic: 2 objects in 2 images")
    objects, labels = read_label_png(plain / "objects" / "a.png"), read_label_png(plain / "labels" / "a.png")
    expected = np.zeros(SIZE, int)
    expected[:20], expected[25:, 10:] = 2, 1
    assert (objects == expected).all() and (labels == np.array([255, 0, 1])[expected]).all()

    exported(plain, {("a", 2): 0}, tmp_path / "out")
    new = (tmp_path / "out" / "panoptic_val.json").read_text()
    assert new == file.read_text().replace('"category_id": 3,', '"category_id": 200,')
    png = Path("panoptic_val", "a.png")
    assert (tmp_path / "out" / png).read_bytes() == (tmp_path / "coco" / png).read_bytes()


def test_labels_of_a_plain_dataset_are_read_as_they_are(tmp_path: Path) -> None:
    import_dataset(dataset(tmp_path / "coco"), tmp_path / "plain")
    split = load_dataset("folder", tmp_path / "plain").train
    assert split.names == ("c", "train__a", "val__a")
    assert set(np.unique(labels_of(split, "train__a"))) == {0, 1, 255}


def test_without_pycocotools_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = dataset(tmp_path / "coco")
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(MissingExtraError, match=r"polygons of COCO need pycocotools: .*install.*a2lc\[formats\]"):
        import_dataset(file, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
