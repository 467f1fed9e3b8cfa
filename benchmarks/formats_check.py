"""Do other programs agree? Each format is written by the library of its own world, imported, changed in one object,
exported, and read by that library again: `python benchmarks/formats_check.py`.

Needs `pip install datumaro supervision pycocotools datasets cityscapesscripts`, and with `--no-deps` labelme and
label-studio-sdk, of which two modules are read that need NumPy and Pillow alone: best in an environment of its own.
Prints a line per check; ends with status 1 where one fails.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import distribution, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from a2lc.datasets import load_dataset
from a2lc.files import read_json, read_label_png
from a2lc.formats import export_source, import_dataset, writers
from a2lc.formats.label_studio import decoded_brush, encoded_brush
from a2lc.formats.labelme import shape_mask
from a2lc.human.exports import export_coco, export_voc
from a2lc.masks import MaskSet

SIZE = (40, 60)
CLASSES = ("sky", "car", "tree")


def scene(seed: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """An image, and objects that do not overlap: class and mask; one has a hole, one two parts."""
    rng = np.random.default_rng(seed)
    masks = [np.zeros(SIZE, bool) for _ in range(4)]
    masks[0][2:18, 2:25] = True
    masks[0][6:12, 8:16] = False
    masks[1][22:38, 3:20] = masks[1][22:30, 40:50] = True
    masks[2][3:15, 30:52] = True
    masks[3][32:39, 30:58] = True
    return rng.integers(0, 256, (*SIZE, 3), np.uint8), [(k % 3, mask) for k, mask in enumerate(masks)]


def labels_with(plain: Path, name: str, mask_id: int, label: int) -> Callable[[str], np.ndarray]:
    """Labels of an imported dataset with another class in one object."""

    def labels(image: str) -> np.ndarray:
        found = read_label_png(plain / "labels" / f"{image}.png")
        if image == name:
            found[read_label_png(plain / "objects" / f"{image}.png") == mask_id] = label
        return found

    return labels


def there_and_back(source: Path, folder: Path, label: str, single: str = "") -> tuple[Path, str, np.ndarray]:
    """Import, give an object of the first image another class, export: where, which image, and which pixels."""
    plain, out = folder / "plain", folder / (single or "out")
    import_dataset(source, plain)
    index: dict[str, Any] = read_json(plain / "source.json")
    name = next(iter(index["images"]))
    names, classes = list(index["images"]), index["names"]
    before = read_label_png(plain / "labels" / f"{name}.png")
    objects = read_label_png(plain / "objects" / f"{name}.png")
    mask_id = next(
        k
        for k in range(1, int(objects.max()) + 1)
        if (objects == k).any() and classes[before[objects == k][0]] not in (label, "background")
    )
    labels = labels_with(plain, name, mask_id, classes.index(label))
    print("   ", export_source(plain, labels, names, classes, out)[0])
    return out, name, objects == mask_id


def check_pycocotools(folder: Path) -> None:
    from pycocotools.coco import COCO

    image, objects = scene(0)
    data = folder / "data"
    plain_dataset(data, image)
    maps = np.zeros(SIZE, np.int32)
    for k, (_, mask) in enumerate(objects, start=1):
        maps[mask] = k
    classes = load_dataset("folder", data).classes
    masks = MaskSet.from_maps(
        classes, ["a"], {"a": maps}, {"a": {k + 1: label for k, (label, _) in enumerate(objects)}}
    )
    (folder / "coco").mkdir()
    export_coco(masks, folder / "coco" / "all.json")
    Image.fromarray(image).save(folder / "coco" / "a.png")
    out, _, changed = there_and_back(folder / "coco", folder, "tree", "new.json")
    reference = COCO(str(out))
    for annotation in reference.loadAnns(reference.getAnnIds()):
        mask = reference.annToMask(annotation).astype(bool)
        label, _ = next(pair for pair in objects if (pair[1] == mask).all())
        expected = "tree" if (mask == changed).all() else CLASSES[label]
        assert reference.loadCats(annotation["category_id"])[0]["name"] == expected


def check_datumaro_coco(folder: Path) -> None:
    import datumaro as dm

    datumaro_dataset(dm, "mask").export(str(folder / "coco"), "coco_instances", save_media=True)
    out, name, changed = there_and_back(folder / "coco", folder, "tree", "instances_train.json")
    (source,) = (folder / "coco").rglob("instances_train.json")
    source.write_bytes(out.read_bytes())
    assert_datumaro_sees(dm, folder / "coco", "coco_instances", name, changed)


def check_datumaro_panoptic(folder: Path) -> None:
    import datumaro as dm

    datumaro_dataset(dm, "mask").export(str(folder / "coco"), "coco_panoptic", save_media=True)
    out, name, changed = there_and_back(folder / "coco", folder, "tree")
    (source,) = (folder / "coco").rglob("panoptic_train.json")
    source.write_bytes((out / "panoptic_train.json").read_bytes())
    assert_datumaro_sees(dm, folder / "coco", "coco_panoptic", name, changed)


def check_datumaro_voc(folder: Path) -> None:
    """CVAT's "Segmentation mask" is what Datumaro writes."""
    import datumaro as dm

    datumaro_dataset(dm, "mask").export(str(folder / "voc"), "voc_segmentation", save_media=True, label_map="source")
    out, name, changed = there_and_back(folder / "voc", folder, "tree")
    for file in out.rglob("*.*"):
        (folder / "voc" / file.relative_to(out)).write_bytes(file.read_bytes())
    assert_datumaro_sees(dm, folder / "voc", "voc_segmentation", name, changed)


def check_datumaro_reads_our_voc(folder: Path) -> None:
    """Void pixels, a class name with a colon, and more than 255 masks."""
    import datumaro as dm

    image, _ = scene(0)
    plain_dataset(folder / "data", image, ("sky", "traffic light: red", "car"))
    maps = np.zeros(SIZE, np.int32)
    maps[:9], maps[9:20], maps[20:30] = 1, 2, 300
    classes = load_dataset("folder", folder / "data").classes
    masks = MaskSet.from_maps(classes, ["a"], {"a": maps}, {"a": {1: 0, 2: 1, 300: 2}})
    export_voc(masks, folder / "voc", masks.label_map)
    dataset = dm.Dataset.import_from(str(folder / "voc"), "voc_segmentation")
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label]]
    (item,) = dataset
    for mask_id, label in ((1, "sky"), (2, "traffic light- red"), (300, "car")):
        found = [a for a in item.annotations if names[a.label] == label]
        assert (np.asarray(found[0].image).astype(bool) == (maps == mask_id)).all(), label


def check_what_is_written_from_nothing(folder: Path) -> None:
    """Panoptic for Datumaro, brushes for Label Studio, outlines for supervision, Parquet for datasets."""
    import datumaro as dm
    import supervision as sv
    from datasets import load_dataset as hugging_face

    image, objects = scene(0)
    plain_dataset(folder / "data", image)
    maps = np.zeros(SIZE, np.int32)
    for k, (_, mask) in enumerate(objects, start=1):
        maps[mask] = k
    data = load_dataset("folder", folder / "data")
    labels = {k: label for k, (label, _) in enumerate(objects, start=1)}
    masks = MaskSet.from_maps(data.classes, ["a"], {"a": maps}, {"a": labels})

    writers.write_panoptic(masks, folder / "panoptic", {})
    (folder / "coco" / "annotations").mkdir(parents=True)
    (folder / "coco" / "images" / "train").mkdir(parents=True)
    Image.fromarray(image).save(folder / "coco" / "images" / "train" / "a.png")
    (folder / "panoptic" / "panoptic.json").rename(folder / "coco" / "annotations" / "panoptic_train.json")
    (folder / "panoptic" / "panoptic").rename(folder / "coco" / "annotations" / "panoptic_train")
    assert_datumaro_sees(dm, folder / "coco", "coco_panoptic", "", np.zeros(SIZE, bool))

    writers.write_label_studio(masks, folder / "ls.json", {})
    theirs = module("label-studio-sdk", "label_studio_sdk/converter/brush.py")
    (task,) = read_json(folder / "ls.json")
    for result, (_, mask) in zip(task["annotations"][0]["result"], objects, strict=True):
        assert ((theirs.decode_rle(result["value"]["rle"]).reshape(*SIZE, 4)[..., 3] > 0) == mask).all()

    writers.write_yolo(masks, folder / "yolo", {})
    paths = [str(folder / "data" / "images"), str(folder / "yolo" / "labels"), str(folder / "yolo" / "data.yaml")]
    ((_, _, found),) = list(sv.DetectionDataset.from_yolo(*paths, force_masks=True))
    assert found.class_id.tolist() == [0, 1, 1, 2, 0]  # the second has two parts
    for label, mask in ((0, objects[3][1]), (2, objects[2][1])):
        assert (
            max((seen == mask).mean() for seen, k in zip(found.mask, found.class_id, strict=True) if k == label) > 0.98
        )

    writers.write_hugging_face(masks, folder / "hf", data.train, masks.label_map)
    file = str(folder / "hf" / "train.parquet")
    (row,) = hugging_face("parquet", data_files=file, split="train", cache_dir=str(folder / "cache"))
    assert (np.asarray(row["label"]) == masks.label_map("a")).all() and (np.asarray(row["image"]) == image).all()


def check_supervision_yolo(folder: Path) -> None:
    import supervision as sv

    square = np.zeros(SIZE, bool)
    square[5:20, 5:30] = True
    image, _ = scene(1)
    detections = sv.Detections(np.array([[5, 5, 29, 19]], float), mask=square[None], class_id=np.array([1]))
    (folder / "yolo" / "images").mkdir(parents=True)
    file = str(folder / "yolo" / "images" / "a.png")
    Image.fromarray(image).save(file)
    data = sv.DetectionDataset(list(CLASSES), [file], {file: detections})
    paths = {
        "annotations_directory_path": str(folder / "yolo" / "labels"),
        "data_yaml_path": str(folder / "yolo" / "data.yaml"),
    }
    data.as_yolo(**paths)
    out, _, changed = there_and_back(folder / "yolo", folder, "tree")
    read = sv.DetectionDataset.from_yolo(
        str(folder / "yolo" / "images"), str(out / "labels"), str(out / "data.yaml"), force_masks=True
    )
    ((_, _, found),) = list(read)
    assert found.class_id.tolist() == [2]
    overlap = (found.mask[0] & changed).sum() / (found.mask[0] | changed).sum()
    assert overlap > 0.9, overlap  # supervision and Pillow draw outlines differently


def check_labelme(folder: Path) -> None:
    sys.modules |= {name: ModuleType(name) for name in ("labelme", "labelme._label_file")}  # they ask for Qt
    sys.modules["labelme._label_file"].ShapeDict = dict  # type: ignore[attr-defined]
    theirs = module("labelme", "labelme/utils/shape.py")
    rng = np.random.default_rng(0)
    for kind, count in (("polygon", 7), ("rectangle", 2), ("circle", 2)):
        for _ in range(50):
            points = (rng.random((count, 2)) * 70 - 5).tolist()
            ours = shape_mask({"shape_type": kind, "points": points}, *SIZE)
            assert (ours == theirs.shape_to_mask(SIZE, points, kind)).all(), (kind, points)


def check_label_studio(folder: Path) -> None:
    theirs = module("label-studio-sdk", "label_studio_sdk/converter/brush.py")
    rng = np.random.default_rng(0)
    for share in (0, 0.01, 0.5, 1):
        mask = rng.random(SIZE) < share
        channels = np.repeat(mask.ravel(), 4).astype(np.uint8) * 255
        assert (decoded_brush(theirs.encode_rle(channels)) == channels).all()
        assert (theirs.decode_rle(encoded_brush(mask)) == channels).all()


def check_hugging_face(folder: Path) -> None:
    from datasets import Dataset, Features, load_dataset
    from datasets import Image as Picture

    image, objects = scene(2)
    labels = np.full(SIZE, 255, np.uint8)
    for label, mask in objects:
        labels[mask] = label
    rows = {"image": [Image.fromarray(image)] * 3, "label": [Image.fromarray(labels)] * 3}
    features = Features({"image": Picture(), "label": Picture()})
    (folder / "hf").mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(str(folder / "hf" / "train.parquet"))
    (folder / "hf" / "id2label.json").write_text(json.dumps(dict(enumerate(CLASSES))))
    out, _, changed = there_and_back(folder / "hf", folder, "tree")
    read = load_dataset(
        "parquet", data_files=str(out / "train.parquet"), split="train", cache_dir=str(folder / "cache")
    )
    assert read.features == features
    expected = labels.copy()
    expected[changed] = 2
    assert (np.asarray(read[0]["label"]) == expected).all() and (np.asarray(read[1]["label"]) == labels).all()


def check_cityscapes(folder: Path) -> None:
    from cityscapesscripts.helpers.labels import labels as theirs

    from a2lc.datasets.cityscapes import CLASSES as OURS

    table = {
        label.name: (label.id, label.color)
        for label in sorted(theirs, key=lambda x: x.trainId)
        if 0 <= label.trainId < 19
    }
    assert list(table.items()) == list(OURS.items())


# ------------------------------------------------------------------------------------------------ inside
def plain_dataset(root: Path, image: np.ndarray, names: tuple[str, ...] = CLASSES) -> None:
    (root / "images").mkdir(parents=True)
    Image.fromarray(image).save(root / "images" / "a.png")
    (root / "classes.json").write_text(json.dumps(list(names)))


def datumaro_dataset(dm: Any, kind: str) -> Any:
    items = []
    for number, name in enumerate(("a", "b")):
        image, objects = scene(number)
        masks = [
            dm.Mask(mask.astype(np.uint8), label=label, id=k + 1, group=k + 1)
            for k, (label, mask) in enumerate(objects)
        ]
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        items.append(
            dm.DatasetItem(
                id=name, subset="train", media=dm.Image.from_bytes(out.getvalue(), ext=".png"), annotations=masks
            )
        )
    return dm.Dataset.from_iterable(items, categories=list(CLASSES))


def assert_datumaro_sees(dm: Any, path: Path, format: str, name: str, changed: np.ndarray) -> None:
    """The changed object is a tree, all others are what they were; drawn by Datumaro."""
    dataset = dm.Dataset.import_from(str(path), format)
    names = [label.name for label in dataset.categories()[dm.AnnotationType.label]]
    for item in dataset:
        expected = np.full(SIZE, -1)
        for label, mask in scene(["a", "b"].index(item.id))[1]:
            expected[mask] = names.index(CLASSES[label])
        if item.id == name:
            expected[changed] = names.index("tree")
        found = np.full(SIZE, -1)
        for annotation in item.annotations:
            if annotation.type == dm.AnnotationType.mask:
                found[np.asarray(annotation.image).astype(bool)] = annotation.label
        assert (found[expected >= 0] == expected[expected >= 0]).all()


def module(package: str, path: str) -> ModuleType:
    """One module of a package, without what the package imports besides."""
    file = distribution(package).locate_file(path)
    spec = importlib.util.spec_from_file_location(Path(path).stem, str(file))
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


CHECKS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "COCO instances": ("pycocotools", check_pycocotools),
    "COCO instances, Datumaro": ("datumaro", check_datumaro_coco),
    "COCO panoptic": ("datumaro", check_datumaro_panoptic),
    "VOC with labelmap.txt (CVAT)": ("datumaro", check_datumaro_voc),
    "VOC, written here": ("datumaro", check_datumaro_reads_our_voc),
    "Panoptic, brushes, outlines, Parquet, written here": ("datumaro", check_what_is_written_from_nothing),
    "YOLO segments": ("supervision", check_supervision_yolo),
    "labelme shapes": ("labelme", check_labelme),
    "Label Studio brushes": ("label-studio-sdk", check_label_studio),
    "Hugging Face Parquet": ("datasets", check_hugging_face),
    "Cityscapes ids": ("cityscapesscripts", check_cityscapes),
}


def main() -> None:
    warnings.simplefilter("ignore")
    failed = 0
    for title, (package, check) in CHECKS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(Path(folder))
                print(f"agrees  {title}: {package} {version(package)}")
            except Exception:
                failed += 1
                print(f"FAILS   {title}: {package} {version(package)}\n{traceback.format_exc()}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
