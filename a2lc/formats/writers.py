"""A run's masks in formats of other programs, written from nothing: for datasets that were not imported from them.
Masks that are void have no annotation."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.ndimage import binary_fill_holes, find_objects
from skimage.measure import find_contours
from skimage.measure import label as connected_regions

from a2lc.datasets.base import Split
from a2lc.datasets.cityscapes import CLASSES, LABEL_END
from a2lc.files import atomic, atomic_folder, atomic_new, check_new_file, write_label_png, write_text
from a2lc.formats.hugging_face import NAMES
from a2lc.formats.label_studio import BRUSH, encoded_brush
from a2lc.masks import MaskSet

Labels = Callable[[str], np.ndarray]
Part = tuple[int, int, np.ndarray, int, int]
"""Mask id, class, and what the mask has in its box: (h, w) bool, and the box's top and left."""


def write_panoptic(masks: MaskSet, out: Path, file_names: Mapping[str, str]) -> str:
    """``panoptic.json`` and ``panoptic/<name>.png``; the id of a segment is that of its mask."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    count = 0
    with atomic_folder(out) as folder:
        for number, name in enumerate(masks.names, start=1):
            objects, segments = np.zeros_like(masks.object_map(name)), []
            for mask_id, label, part, top, left in parts(masks, name):
                height, width = part.shape
                objects[top : top + height, left : left + width][part] = mask_id
                about = {"area": int(part.sum()), "bbox": [left, top, width, height], "iscrowd": 0}
                segments.append({"id": mask_id, "category_id": label + 1, **about})
            count += len(segments)
            height, width = objects.shape
            images.append({"id": number, "file_name": _file(name, file_names), "height": height, "width": width})
            annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
            colours = np.stack([objects & 255, objects >> 8 & 255, objects >> 16], axis=-1).astype(np.uint8)
            with atomic(folder / "panoptic" / f"{name}.png") as temporary:
                Image.fromarray(colours).save(temporary, optimize=True)
        categories = [
            {"id": k + 1, "name": name, "supercategory": "", "isthing": 1, "color": colour}
            for k, (name, colour) in enumerate(zip(masks.classes.names, masks.classes.palette.tolist(), strict=True))
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_text(folder / "panoptic.json", _dumped(content))
    return f"{count} masks of {len(images)} images in {out}"


def write_labelme(masks: MaskSet, out: Path, file_names: Mapping[str, str]) -> str:
    """``<image file>.json`` with shapes of type mask, which labelme has since 5.3: to be put beside the images."""
    count = 0
    with atomic_folder(out) as folder:
        for name in masks.names:
            shapes = []
            for mask_id, label, part, top, left in parts(masks, name):
                stored = base64.b64encode(_png(part.astype(np.uint8) * 255)).decode()
                corners = [[left, top], [left + part.shape[1] - 1, top + part.shape[0] - 1]]
                shape: dict[str, Any] = {
                    "label": masks.classes.names[label],
                    "points": corners,
                    "group_id": None,
                    "flags": {},
                }
                shapes.append({**shape, "description": f"mask {mask_id}", "shape_type": "mask", "mask": stored})
            height, width = masks.object_map(name).shape
            content: dict[str, Any] = {"version": "5.4.1", "flags": {}, "shapes": shapes}
            file = PurePosixPath(_file(name, file_names))
            content |= {"imagePath": file.name, "imageData": None, "imageHeight": height, "imageWidth": width}
            write_text(folder / file.with_suffix(".json"), _dumped(content))
            count += len(shapes)
    return f"{count} masks of {len(masks.names)} images in {out}"


def write_yolo(masks: MaskSet, out: Path, file_names: Mapping[str, str]) -> str:
    """``labels/<image file>.txt`` and ``data.yaml``: the outline of each part of a mask is a line, holes are filled."""
    lines_in_all = several = holes = 0
    with atomic_folder(out) as folder:
        for name in masks.names:
            lines, (height, width) = [], masks.object_map(name).shape
            for _, label, part, top, left in parts(masks, name):
                filled = binary_fill_holes(part)
                holes += bool((filled & ~part).any())
                numbered = np.asarray(connected_regions(filled, connectivity=2))
                several += numbered.max() > 1
                for k in range(1, numbered.max() + 1):
                    points = (outline(numbered == k) + (left, top)) / (width, height)
                    lines.append(" ".join([str(label), *(f"{share:.6f}" for share in points.ravel())]))
            file = PurePosixPath(_file(name, file_names)).with_suffix(".txt")
            write_text(folder / "labels" / file, "".join(f"{line}\n" for line in lines))
            lines_in_all += len(lines)
        names = _dumped(list(masks.classes.names))  # JSON is YAML
        write_text(folder / "data.yaml", f"path: .\ntrain: images\nval: images\nnames: {names}")
    lost = f"; {holes} masks with holes, which are filled, {several} of several parts, a line each"
    return f"{lines_in_all} outlines of {len(masks.names)} images in {out}{lost}"


def write_label_studio(masks: MaskSet, out: Path, file_names: Mapping[str, str]) -> str:
    """A list of tasks with a brush per mask, for a project with ``<Image name="image" value="$image"/>`` and
    ``<BrushLabels name="tag" toName="image">``."""
    check_new_file(out)
    tasks, count = [], 0
    for number, name in enumerate(masks.names, start=1):
        height, width = masks.object_map(name).shape
        size = {"original_width": width, "original_height": height, "image_rotation": 0}
        results = []
        for mask_id, label, part, top, left in parts(masks, name):
            whole = np.zeros((height, width), bool)
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
            value = {"format": "rle", "rle": encoded_brush(whole), BRUSH: [masks.classes.names[label]]}
            about = {"id": f"mask-{mask_id}", "from_name": "tag", "to_name": "image", "type": BRUSH}
            results.append({**about, **size, "value": value})
        annotations = [{"id": number, "was_cancelled": False, "result": results}]
        tasks.append({"id": number, "data": {"image": _file(name, file_names)}, "annotations": annotations})
        count += len(results)
    with atomic_new(out) as temporary:
        temporary.write_bytes(_dumped(tasks).encode())
    return f"{count} masks of {len(tasks)} images in {out}"


def write_hugging_face(masks: MaskSet, out: Path, split: Split, labels: Labels) -> str:
    """``train.parquet`` with columns image and label, 255 = void, and ``id2label.json``."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"image": {"_type": "Image"}, "label": {"_type": "Image"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    schema = pa.schema([("image", kind), ("label", kind)], about)
    k = len(masks.classes)
    with atomic_folder(out) as folder:
        with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
            for name in masks.names:
                of_image = labels(name)
                pictures = {"image": split.image(name), "label": np.where(of_image < k, of_image, 255).astype(np.uint8)}
                row = {column: {"bytes": _png(values), "path": f"{name}.png"} for column, values in pictures.items()}
                writer.write_table(pa.Table.from_pylist([row], schema))
        write_text(folder / NAMES, _dumped(dict(enumerate(masks.classes.names))))
    return f"{len(masks.names)} images with labels in {out / 'train.parquet'}"


def write_cityscapes(masks: MaskSet, out: Path, labels: Labels) -> str:
    """``gtFine/train/<city>/<name>_gtFine_labelIds.png``, 0 (unlabeled) for void.

    Raises:
        ValueError: a class is not one of the 19, or two images have the same name in different folders.
    """
    table = np.zeros(256, np.uint8)
    for k, name in enumerate(masks.classes.names):
        if name not in CLASSES:
            raise ValueError(f"cityscapes: expected classes of its 19, found {name!r}")
        table[k] = CLASSES[name][0]
    with atomic_folder(out) as folder:
        image_of: dict[str, str] = {}
        for name in masks.names:
            plain = PurePosixPath(name).name.removesuffix("_leftImg8bit")
            if (other := image_of.setdefault(plain, name)) != name:
                raise ValueError(f"cityscapes: expected each name once, as it has no folders, found {other} and {name}")
            file = folder / "gtFine" / "train" / plain.partition("_")[0] / f"{plain}{LABEL_END}"
            write_label_png(file, table[labels(name)])
    return f"{len(masks.names)} label files in {out / 'gtFine'}"


def parts(masks: MaskSet, name: str) -> Iterator[Part]:
    """The masks of an image that have a class."""
    table = masks.table.iloc[masks.rows(name)]
    index = masks.index_map(name) + 1
    boxes = find_objects(index)
    for k, (mask_id, label) in enumerate(zip(table["mask_id"].tolist(), table["label"].tolist(), strict=True)):
        if label < len(masks.classes) and boxes[k] is not None:
            yield mask_id, label, index[boxes[k]] == k + 1, boxes[k][0].start, boxes[k][1].start


def outline(mask: np.ndarray) -> np.ndarray:
    """(n, 2) x, y of the pixels around a connected mask without holes, in order; drawn and filled, they are the mask.

    Args:
        mask: (h, w) bool.
    """
    found = find_contours(np.pad(mask, 1).astype(float), 0.999, fully_connected="high")
    points = np.concatenate(found)[:, ::-1].round() - 1
    ahead, behind = np.roll(points, -1, axis=0) - points, points - np.roll(points, 1, axis=0)
    turns = (ahead != behind).any(axis=1)  # the middle of a straight line says nothing
    return points[turns] if turns.sum() >= 3 else np.repeat(points[:1], 3, axis=0) if not turns.any() else points


# ------------------------------------------------------------------------------------------------ inside
def _file(name: str, file_names: Mapping[str, str]) -> str:
    return file_names.get(name, f"{name}.png")


def _dumped(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _png(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()
