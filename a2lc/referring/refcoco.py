"""RefCOCO, RefCOCO+ and RefCOCOg: imported once from their archives into Parquet, then read without any pickle.

ROOT/<dataset>-<split_by>/sentences.parquet     a row per sentence, with its split
                          objects.parquet       a row per referent: size of the image, polygons or RLE as JSON
ROOT/train2014/           COCO's images, or a link to them
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc.files import atomic_folder, below, damaged, read_image, read_json, read_parquet, write_parquet
from a2lc.machine import PYCOCO, require
from a2lc.referring.data import COLUMNS, ReferringDataset, ReferringSplit
from a2lc.referring.safe_refs import read_refs

SPLITS: dict[str, dict[str, tuple[str, ...]]] = {
    "refcoco": {"unc": ("train", "val", "testA", "testB")},
    "refcoco+": {"unc": ("train", "val", "testA", "testB")},
    "refcocog": {"umd": ("train", "val", "test"), "google": ("train", "val")},
}
"""Dataset -> who split it -> its splits; the first is taken where none is named."""
IMAGES = "train2014"
_TABLES = ("images", "annotations", "categories")


def import_refcoco(
    source: str | os.PathLike[str], root: str | os.PathLike[str], dataset: str, split_by: str | None = None
) -> Path:
    """Read one dataset's archive of lichengunc/refer and write it as Parquet.

    Args:
        source: the unpacked archive: a folder with ``refs(unc).p`` and ``instances.json``.
        root: where to; `a2lc.referring.load_dataset` takes the same folder.
        dataset: ``refcoco``, ``refcoco+`` or ``refcocog``.
        split_by: see `SPLITS`.

    Returns:
        The folder that was written.

    Raises:
        ValueError: an unknown dataset or split; a file is damaged, or a record refers to what is not there; the message
            names file and record.
        FileNotFoundError: a file is missing.
        FileExistsError: it has been imported already.
        OSError: it cannot be written.
    """
    split_by = _checked(dataset, split_by)
    refs_file, instances_file = Path(source) / f"refs({split_by}).p", Path(source) / "instances.json"
    refs = read_refs(refs_file)
    found = read_json(instances_file, "images", "annotations", "categories")
    images, objects, categories = (_by_id(instances_file, name, found[name]) for name in _TABLES)
    sentences: list[dict[str, Any]] = []
    referents: list[dict[str, Any]] = []
    for number, ref in enumerate(refs):
        where = f"{refs_file}, record {number}"
        if ref["split"] not in SPLITS[dataset][split_by]:
            expected = ", ".join(SPLITS[dataset][split_by])
            raise ValueError(f"{where}: split: expected one of {expected}, found {ref['split']!r}")
        thing = _referred(where, "ann_id", ref["ann_id"], objects, instances_file)
        image = _referred(where, "image_id", ref["image_id"], images, instances_file)
        if thing.get("image_id") != ref["image_id"]:
            what = f"object {ref['ann_id']} is in image {thing.get('image_id')}"
            raise ValueError(f"{where}: expected an object in image {ref['image_id']}, {what} of {instances_file}")
        category = _referred(where, "category_id", thing.get("category_id"), categories, instances_file)
        shared = _described(f"{instances_file}, annotation {ref['ann_id']}", thing, image, category)
        box, shape = shared.pop("box"), shared.pop("shape")
        referents.append({"ref_id": ref["ref_id"], "image": shared["image"], **shape})
        for sentence_id, text in ref["sentences"]:
            row = {"sentence_id": sentence_id, "ref_id": ref["ref_id"], "sentence": text, "split": ref["split"]}
            sentences.append(row | shared | dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)))
    folder = Path(root) / f"{dataset}-{split_by}"
    with atomic_folder(folder) as partial:
        table = pd.DataFrame(sentences, columns=[*COLUMNS, "split"]).astype(COLUMNS)
        write_parquet(partial / "sentences.parquet", table)
        columns = ["ref_id", "image", "height", "width", "segmentation"]
        write_parquet(partial / "objects.parquet", pd.DataFrame(referents, columns=columns))
    return folder


def load(dataset: str, root: str | os.PathLike[str], split_by: str | None = None) -> ReferringDataset:
    """The imported dataset; see `a2lc.referring.load_dataset`.

    Raises:
        ValueError: an unknown split; or a file is damaged.
        FileNotFoundError: it has not been imported.
    """
    split_by = _checked(dataset, split_by)
    folder = Path(root) / f"{dataset}-{split_by}"
    if not (folder / "sentences.parquet").is_file():
        command = f"a2lc referring import FOLDER {root} --dataset {dataset} --split-by {split_by}"
        raise FileNotFoundError(f"{folder}: not imported yet; type: {command}")
    table = read_parquet(folder / "sentences.parquet", *COLUMNS, "split")
    objects = read_parquet(folder / "objects.parquet", "ref_id", "height", "width", "segmentation").set_index("ref_id")
    splits: dict[str, ReferringSplit] = {}
    for name in SPLITS[dataset][split_by]:
        rows = table[table["split"] == name].drop(columns="split")
        splits[name] = CocoSplit(name, folder.name, rows, objects, Path(root) / IMAGES)
    return ReferringDataset(dataset, splits)


class CocoSplit(ReferringSplit):
    """One split of imported data; images are read in place."""

    def __init__(self, name: str, source: str, table: pd.DataFrame, objects: pd.DataFrame, images: Path) -> None:
        super().__init__(name, source, table)
        self._objects, self._images = objects, images

    def image(self, name: str) -> np.ndarray:
        """Read the file; see `ReferringSplit.image`."""
        path = below(self._images, name)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such image; put COCO's {IMAGES}, or a link to it, into {path.parent}")
        return read_image(path)

    def mask(self, ref_id: int) -> np.ndarray:
        """Rasterise polygons or RLE as published IoUs do (pycocotools); see `ReferringSplit.mask`."""
        require(PYCOCO)
        from pycocotools import mask as coco

        if ref_id not in self._objects.index:
            raise KeyError(f"{self.name}: no referent {ref_id}")
        row = self._objects.loc[ref_id]
        height, width = (int(str(row[side])) for side in ("height", "width"))
        shape = json.loads(str(row["segmentation"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its arrays know nothing of NumPy 2's `copy`
            parts = coco.frPyObjects(shape, height, width)
            return np.asarray(coco.decode(coco.merge(parts) if isinstance(parts, list) else parts), bool)

    def restricted(self, name: str, table: pd.DataFrame) -> CocoSplit:
        """See `ReferringSplit.restricted`."""
        return CocoSplit(name, self.source, table, self._objects, self._images)


def _checked(dataset: str, split_by: str | None) -> str:
    if dataset not in SPLITS:
        raise ValueError(f"dataset: expected one of {', '.join(SPLITS)}, found {dataset!r}")
    known = SPLITS[dataset]
    if split_by is not None and split_by not in known:
        raise ValueError(f"{dataset}: split_by: expected one of {', '.join(known)}, found {split_by!r}")
    return split_by or next(iter(known))


def _by_id(file: Path, name: str, records: Any) -> dict[int, dict[str, Any]]:
    if not isinstance(records, list) or not all(isinstance(r, dict) and type(r.get("id")) is int for r in records):
        raise damaged(file, f"{name}: expected a list of objects with an id")
    return {record["id"]: record for record in records}


def _referred(where: str, field: str, number: Any, records: dict[int, dict[str, Any]], file: Path) -> dict[str, Any]:
    if number not in records:
        raise ValueError(f"{where}: {field}: expected one of {file.name}, found {number}, which is not there")
    return records[number]


def _described(where: str, thing: dict[str, Any], image: dict[str, Any], category: dict[str, Any]) -> dict[str, Any]:
    """What all sentences about an object share, its box and its shape; each is checked."""
    try:
        name, size = str(image["file_name"]), (int(image["height"]), int(image["width"]))
        x, y, wide, high = (float(value) for value in thing["bbox"])
        area, label = float(thing["area"]), str(category["name"])
        shape = thing["segmentation"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: expected bbox, area, segmentation, and its image's name and size ({error!r})"
        ) from error
    if min(size) < 1 or not np.isfinite([x, y, wide, high, area]).all():
        raise ValueError(f"{where}: expected finite numbers and an image with pixels, found {size}, {thing['bbox']}")
    _check_shape(where, shape, size)
    kept = {"height": size[0], "width": size[1], "segmentation": json.dumps(shape)}
    return {"image": name, "category": label, "area": round(area), "box": (x, y, x + wide, y + high), "shape": kept}


def _check_shape(where: str, shape: Any, size: tuple[int, int]) -> None:
    """Polygons may leave the image, but not by more than its size; a run-length code must be as long as the image."""
    if isinstance(shape, dict):
        counts = shape.get("counts")
        if shape.get("size") != list(size):
            raise ValueError(f"{where}: RLE of size {shape.get('size')}, expected {list(size)}")
        if isinstance(counts, list):
            whole = all(type(count) is int and count >= 0 for count in counts)
            if not whole or sum(counts) != size[0] * size[1]:
                raise ValueError(f"{where}: RLE: expected counts that add up to {size[0] * size[1]} pixels")
        else:
            raise ValueError(f"{where}: RLE: expected a list of counts, found {type(counts).__name__}")
        return
    if not isinstance(shape, list) or not shape:
        raise ValueError(f"{where}: segmentation: expected polygons or RLE, found {type(shape).__name__}")
    for polygon in shape:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"{where}: polygon: expected at least three points x, y")
        if any(type(value) not in (int, float) for value in polygon):
            raise ValueError(f"{where}: polygon: expected numbers")
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        far = np.array([size[1], size[0]])
        if not (np.isfinite(points).all() and (points >= -far).all() and (points <= 2 * far).all()):
            raise ValueError(f"{where}: polygon: expected points in or near an image of {size}, found {points.max()}")
