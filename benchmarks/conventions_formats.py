"""Small datasets as other programs write them, for `conventions.py`: four objects of two classes, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conventions_made import COLOURS, SIZE, VOID, encoded, put, save
from PIL import Image
from pycocotools import mask as coco_mask

from a2lc.formats.label_studio import encoded_brush

NAMES = ("road", "car")
HEIGHT, WIDTH = SIZE
BOXES = ((2, 2, 11, 9), (14, 12, 29, 21), (16, 1, 27, 8), (1, 14, 9, 22))  # x, y of the first and of the last pixel
CLASS_OF = (0, 1, 1, 0)  # of the boxes: each class is still there when one of them has another


@dataclass(frozen=True)
class Source:
    """A dataset of another program.

    Attributes:
        path: what is imported.
        root: its folder.
        names: of the classes that `labels` are positions in.
        labels: (H, W) uint8 of its one image; void, and what is in no object, is 255.
    """

    path: Path
    root: Path
    labels: np.ndarray
    names: tuple[str, ...] = NAMES


def masks() -> list[np.ndarray]:
    """(H, W) bool of each box."""
    found = [np.zeros(SIZE, bool) for _ in BOXES]
    for mask, (left, top, right, bottom) in zip(found, BOXES, strict=True):
        mask[top : bottom + 1, left : right + 1] = True
    return found


def labels(background: int = VOID) -> np.ndarray:
    found = np.full(SIZE, background, np.uint8)
    for label, mask in zip(CLASS_OF, masks(), strict=True):
        found[mask] = label
    return found


def image(path: Path) -> None:
    save(path, np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8))


def corners(box: tuple[int, int, int, int], end: float = 0.0) -> list[list[float]]:
    """x, y of a box's corners; `end` is added to the last ones."""
    left, top, right, bottom = box[0], box[1], box[2] + end, box[3] + end
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


# ------------------------------------------------------------------------------------------------ COCO
def coco(shape: Callable[[int], Any], crowd: bool = False) -> Callable[[Path], Source]:
    def make(root: Path) -> Source:
        image(root / "images" / "a.png")
        annotations = [
            {"id": 40 + k, "image_id": 3, "category_id": 5 + 2 * label, "segmentation": shape(k), "iscrowd": int(crowd)}
            for k, label in enumerate(CLASS_OF)
        ]
        content = {
            "info": {"year": 2020},
            "images": [{"id": 3, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
            "annotations": annotations,
            "categories": [{"id": 5 + 2 * k, "name": name} for k, name in enumerate(NAMES)],
        }
        put(root / "annotations" / "instances.json", json.dumps(content, indent=1))
        return Source(root, root, labels())

    return make


def polygon(k: int) -> list[list[float]]:
    return [[value for point in corners(BOXES[k], 1) for value in point]]


def run_lengths(k: int) -> dict[str, Any]:
    """As pycocotools compresses them."""
    found = coco_mask.encode(np.asfortranarray(masks()[k].astype(np.uint8)))
    return {"size": list(SIZE), "counts": found["counts"].decode()}


def plain_run_lengths(k: int) -> dict[str, Any]:
    """As crowds have them: numbers, column by column."""
    flat = masks()[k].T.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return {"size": list(SIZE), "counts": np.diff(edges).tolist()}


def panoptic(root: Path) -> Source:
    image(root / "val" / "a.jpg")
    ids = np.zeros((*SIZE, 3), np.uint8)
    for k, mask in enumerate(masks()):
        ids[mask] = (7, k, 1)
    save(root / "panoptic_val" / "a.png", ids)
    segments = [
        {"id": 7 + 256 * k + 65536, "category_id": 10 * label + 1, "iscrowd": 0} for k, label in enumerate(CLASS_OF)
    ]
    content = {
        "images": [{"id": 4, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [{"image_id": 4, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 10 * k + 1, "name": name, "isthing": 1} for k, name in enumerate(NAMES)],
    }
    put(root / "panoptic_val.json", json.dumps(content))
    return Source(root, root, labels())


# ------------------------------------------------------------------------------------------------ the others
def labelme(root: Path) -> Source:
    image(root / "a.png")
    shapes = [
        {"label": NAMES[label], "points": corners(box), "group_id": None, "shape_type": "polygon", "flags": {}}
        for label, box in zip(CLASS_OF, BOXES, strict=True)
    ]
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None}
    put(root / "a.json", json.dumps(content | {"imageHeight": HEIGHT, "imageWidth": WIDTH}, indent=2))
    return Source(root, root, labels())


def yolo(root: Path) -> Source:
    image(root / "images" / "train" / "a.png")
    lines = []
    for k, box in zip(CLASS_OF, BOXES, strict=True):
        points = [value for x, y in corners(box) for value in (x / WIDTH, y / HEIGHT)]
        lines.append(f"{k} " + " ".join(f"{value:.6f}" for value in points))
    put(root / "labels" / "train" / "a.txt", "\n".join(lines) + "\n")
    put(root / "data.yaml", "path: .\ntrain: images/train\nnames:\n  0: road\n  1: car\n")
    return Source(root, root, labels())


def voc_of_cvat(root: Path) -> Source:
    image(root / "JPEGImages" / "a.png")
    save(root / "SegmentationClass" / "a.png", np.concatenate([COLOURS[:2], np.zeros((254, 3), np.uint8)])[labels(3)])
    put(root / "ImageSets" / "Segmentation" / "default.txt", "a\n")
    put(
        root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:128,64,128::\ncar:0,0,142::\n"
    )
    return Source(root, root, labels(2), (*NAMES, "background"))


def label_studio(kind: str) -> Callable[[Path], Source]:
    """Brushes are written by the package's own encoder, which `formats_check.py` compares with Label Studio's."""

    def make(root: Path) -> Source:
        image(root / "media" / "a.png")
        size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "to_name": "image"}
        results = []
        for k, label in enumerate(CLASS_OF):
            points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners(BOXES[k])]
            shape = {"format": "rle", "rle": encoded_brush(masks()[k])} if kind == "brushlabels" else {"points": points}
            results.append({**size, "id": f"x{k}", "type": kind, "value": {**shape, kind: [NAMES[label]]}})
        task = {
            "id": 1,
            "data": {"image": "/data/upload/3/1a2b3c4d-a.png"},
            "annotations": [{"id": 6, "result": results}],
        }
        put(root / "project.json", json.dumps([task]))
        return Source(root, root, labels())

    return make


def hugging_face(root: Path) -> Source:
    """A parquet file of pictures and label pictures, and id2label.json."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"_type": "Image"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    rows = [
        {
            "image": {"bytes": encoded(Image.new("RGB", (WIDTH, HEIGHT), (90, 80, 70)), "PNG"), "path": "a.png"},
            "label": {"bytes": encoded(Image.fromarray(labels()), "PNG"), "path": "a_label.png"},
        }
    ]
    (root / "data").mkdir(parents=True)
    schema = pa.schema([("image", kind), ("label", kind)], about)
    pq.write_table(pa.Table.from_pylist(rows, schema), root / "data" / "train.parquet")
    put(root / "id2label.json", '{"0": "road", "1": "car"}')
    return Source(root, root, labels())


def cityscapes(root: Path) -> Source:
    image(root / "leftImg8bit" / "train" / "bern" / "bern_0_1_leftImg8bit.png")
    ids = np.where(labels() == 0, 7, np.where(labels() == 1, 26, 4)).astype(np.uint8)  # 4 is none of the 19
    save(root / "gtFine" / "train" / "bern" / "bern_0_1_gtFine_labelIds.png", ids)
    return Source(root, root, labels(), (*NAMES, "sidewalk"))


FORMATS: dict[str, Callable[[Path], Source]] = {
    "COCO polygons": coco(polygon),
    "COCO RLE": coco(run_lengths),
    "COCO crowd": coco(plain_run_lengths, crowd=True),
    "COCO panoptic": panoptic,
    "labelme": labelme,
    "YOLO-seg": yolo,
    "VOC of CVAT": voc_of_cvat,
    "Label Studio brush": label_studio("brushlabels"),
    "Label Studio polygon": label_studio("polygonlabels"),
    "Hugging Face parquet": hugging_face,
    "Cityscapes labelIds": cityscapes,
}
