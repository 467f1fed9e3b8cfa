"""RefCOCO, RefCOCO+ and RefCOCOg: imported once from their archives into Parquet, then read without any pickle.

ROOT/<dataset>-<split_by>/sentences.parquet     a row per sentence, with its split
                          objects.parquet       a row per referent: size of the image, polygons or RLE as JSON
ROOT/train2014/           COCO's images, or a link to them
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from a2lc.files import (
    atomic_folder,
    below,
    check_limit,
    damaged,
    json_value,
    not_one_of,
    read_image,
    read_json,
    read_parquet,
    write_parquet,
)
from a2lc.machine import PYCOCO, require
from a2lc.referring.coco_shapes import pixels_of, run_lengths
from a2lc.referring.data import COLUMNS, ReferringDataset, ReferringSplit
from a2lc.referring.safe_refs import brief, number_of, read_refs, text_of, whole

SPLITS: dict[str, dict[str, tuple[str, ...]]] = {
    "refcoco": {"unc": ("train", "val", "testA", "testB")},
    "refcoco+": {"unc": ("train", "val", "testA", "testB")},
    "refcocog": {"umd": ("train", "val", "test"), "google": ("train", "val")},
}
"""Dataset -> who split it -> its splits; the first is taken where none is named."""
IMAGES = "train2014"
_TABLES = ("images", "annotations", "categories")
_LONGEST_NAME = 255
_LONGEST_SIDE = 2**16 - 1


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
        ValueError: an unknown dataset or split; a file is damaged or has a number twice, or a record refers to what is
            not there or has no pixel in its image; the message names file and record.
        MissingExtraError: pycocotools, which makes pixels of polygons, is missing.
        FileNotFoundError: a file is missing.
        FileExistsError: it has been imported already.
        OSError: it cannot be written.
    """
    split_by = _checked(dataset, split_by)
    require(PYCOCO)
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
            raise ValueError(f"{where}: split: expected one of {expected}, found {brief(ref['split'])}")
        thing = _referred(where, "ann_id", ref["ann_id"], objects, instances_file)
        image = _referred(where, "image_id", ref["image_id"], images, instances_file)
        if thing.get("image_id") != ref["image_id"]:
            what = f"object {ref['ann_id']} is in image {brief(thing.get('image_id'))}"
            raise ValueError(f"{where}: expected an object in image {ref['image_id']}, {what} of {instances_file}")
        about = f"{instances_file}, annotation {ref['ann_id']}"
        category = _referred(about, "category_id", thing.get("category_id"), categories, instances_file)
        shared = _described(instances_file, thing, image, category)
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
    file = folder / "objects.parquet"
    objects = read_parquet(file, "ref_id", "height", "width", "segmentation").set_index("ref_id")
    if not objects.index.is_unique:
        twice = objects.index[objects.index.duplicated()][0]
        raise damaged(file, f"expected every ref_id once, found {twice} twice; import it again")
    splits: dict[str, ReferringSplit] = {}
    for name in SPLITS[dataset][split_by]:
        rows = table[table["split"] == name].drop(columns="split")
        splits[name] = CocoSplit(name, folder.name, rows, (file, objects), Path(root) / IMAGES)
    return ReferringDataset(dataset, splits)


class CocoSplit(ReferringSplit):
    """One split of imported data; images are read in place.

    Args:
        name, source, table: as of `ReferringSplit`.
        objects: the file with a row per referent, and what it holds, by ``ref_id``.
        images: the folder of COCO's images.
    """

    def __init__(
        self, name: str, source: str, table: pd.DataFrame, objects: tuple[Path, pd.DataFrame], images: Path
    ) -> None:
        super().__init__(name, source, table)
        self._objects, self._images = objects, images
        self._known = dict(zip(table["image"], table["ref_id"], strict=True))  # a referent of each image

    def image(self, name: str) -> np.ndarray:
        """Read the file, which must be as large as the annotations say; see `ReferringSplit.image`."""
        if name not in self._known:
            raise KeyError(f"{self.name}: no image {name!r}")
        path = below(self._images, name)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such image; put COCO's {IMAGES}, or a link to it, into {path.parent}")
        image, wanted = read_image(path), self._size(self._known[name])
        if image.shape[:2] != wanted:
            said = f"the annotations, {wanted[0]} x {wanted[1]} pixels (height x width)"
            found = f"found {image.shape[0]} x {image.shape[1]}"
            raise ValueError(f"{path}: expected an image as large as {said}, {found}; put COCO's own file there")
        return image

    def mask(self, ref_id: int) -> np.ndarray:
        """Rasterise polygons or RLE as published IoUs do (pycocotools); see `ReferringSplit.mask`.

        Raises:
            KeyError: no referent of this split has this number.
            ValueError: what is kept of it is damaged; the message names file and referent.
        """
        require(PYCOCO)
        size, (file, objects) = self._size(ref_id), self._objects
        where = f"{file}, referent {ref_id}"
        try:
            shape = json_value(str(objects.loc[ref_id, "segmentation"]))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{where}: segmentation: damaged JSON ({error}); remove {file.parent}, import it again"
            ) from error
        return pixels_of(run_lengths(where, shape, size))

    def _size(self, ref_id: int) -> tuple[int, int]:
        """Height and width of the image of a referent."""
        file, objects = self._objects
        if ref_id not in objects.index:
            raise KeyError(f"{self.name}: no referent {ref_id}")
        sides = [objects.loc[ref_id, side] for side in ("height", "width")]
        high, wide = (value.item() if isinstance(value, np.generic) else value for value in sides)
        return _checked_size(f"{file}, referent {ref_id}", high, wide)

    def restricted(self, name: str, table: pd.DataFrame) -> CocoSplit:
        """See `ReferringSplit.restricted`."""
        return CocoSplit(name, self.source, table, self._objects, self._images)


def _checked(dataset: str, split_by: str | None) -> str:
    if dataset not in SPLITS:
        raise ValueError(f"dataset: {not_one_of(dataset, SPLITS)}")
    known = SPLITS[dataset]
    if split_by is not None and split_by not in tuple(known):
        raise ValueError(f"{dataset}: split_by: {not_one_of(split_by, known)}")
    return split_by or next(iter(known))


def _by_id(file: Path, name: str, records: Any) -> dict[int, dict[str, Any]]:
    if not isinstance(records, list) or not all(isinstance(r, dict) and type(r.get("id")) is int for r in records):
        raise damaged(file, f"{name}: expected a list of objects with an id")
    found: dict[int, dict[str, Any]] = {}
    for record in records:
        if record["id"] in found:
            raise damaged(file, f"{name}: expected every id once, found {brief(record['id'])} twice")
        found[record["id"]] = record
    return found


def _referred(where: str, field: str, number: Any, records: dict[int, dict[str, Any]], file: Path) -> dict[str, Any]:
    if whole(where, field, number) not in records:
        raise ValueError(f"{where}: {field}: expected one of {file.name}, found {number}, which is not there")
    return records[number]


def _described(file: Path, thing: dict[str, Any], image: dict[str, Any], category: dict[str, Any]) -> dict[str, Any]:
    """What all sentences about an object share, its box and its shape; each is checked."""
    from pycocotools import mask as coco

    where, of_image = f"{file}, annotation {thing['id']}", f"{file}, image {image['id']}"
    name = _file_name(of_image, image.get("file_name"))
    high, wide = size = _checked_size(of_image, image.get("height"), image.get("width"))
    label = text_of(f"{file}, category {category['id']}", "name", category.get("name"), _LONGEST_NAME)
    area = number_of(where, "area", thing.get("area"), 0, 9 * high * wide)  # polygons may leave the image by its size
    box, shape = _box(where, thing.get("bbox"), size), thing.get("segmentation")
    if not coco.area(run_lengths(where, shape, size)):
        raise ValueError(f"{where}: segmentation: expected an object with pixels in its image, found none")
    kept = {"height": high, "width": wide, "segmentation": json.dumps(shape)}
    return {"image": name, "category": label, "area": round(area), "box": box, "shape": kept}


def _file_name(where: str, value: Any) -> str:
    name = text_of(where, "file_name", value, _LONGEST_NAME)
    path = PureWindowsPath(name)  # it parts names at / and \, as the system may on which they are read
    if not path.parts or path.anchor or ".." in path.parts or "\0" in name:
        raise ValueError(f"{where}: file_name: expected the name of a file in {IMAGES}, found {brief(name)}")
    return name


def _checked_size(where: str, high: Any, wide: Any) -> tuple[int, int]:
    size = whole(where, "height", high, 1, _LONGEST_SIDE), whole(where, "width", wide, 1, _LONGEST_SIDE)
    check_limit("pixels", size[0] * size[1], where)
    return size


def _box(where: str, value: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of COCO's x, y, width, height; a box may leave its image, but has a part in it."""
    high, wide = size
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"{where}: bbox: expected x, y, width and height, found {brief(value)}")
    far = {"x": wide, "y": high, "width": 3 * wide, "height": 3 * high}
    x, y, w, h = (number_of(where, f"bbox: {k}", v, -n, n) for (k, n), v in zip(far.items(), value, strict=True))
    if not (w > 0 and h > 0 and x < wide and y < high and x + w > 0 and y + h > 0):
        what = f"found x {x:g}, y {y:g}, width {w:g}, height {h:g}"
        raise ValueError(f"{where}: bbox: expected sides above 0 and a part in the image of {size}, {what}")
    return x, y, x + w, y + h
