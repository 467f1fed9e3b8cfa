"""The folder that Grounded-SAM fills, image by image: the layout of the released code, with a manifest.

obj_jpg/<name>.png      object map, 0 = covered by no mask; 16 bits where ids exceed 255 (the released code wraps
                        them, deviation D10; despite the names these are PNGs)
mask_jpg/<name>.png     pseudo-labels with the palette
mask_json/<name>.json   every box with its class, score, phrase and areas; written last: it means done
masks.parquet           all of mask_json as one table
manifest.json           settings, versions, prompt, counts, skipped images
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from a2lc.datasets.base import Classes
from a2lc.errors import differences
from a2lc.files import read_json, read_parquet, remove_leftovers, write_json, write_label_png, write_parquet
from a2lc.mask_table import new_table
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.packages import DISTRIBUTIONS

BOX = ("x0", "y0", "x1", "y1")
COLUMNS = {
    "mask_id": np.int32, "label": np.uint8, "class": object, "phrase": object, "score": np.float32,
    **dict.fromkeys(BOX, np.float32), "mask_area": np.int64, "area": np.int64,
}  # fmt: skip


class MaskFolder:
    """Masks of one class list, made with one set of settings.

    Args:
        path: the folder; made where it is missing.
        classes: the class list.
        settings: JSON values; a folder that was begun with others is refused.

    Raises:
        ValueError: the folder holds masks of other settings (each difference is named) or a damaged manifest.
    """

    def __init__(self, path: str | os.PathLike[str], classes: Classes, settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.classes = classes
        self._manifest = self.path / "manifest.json"
        remove_leftovers(self.path)
        self.manifest: dict[str, Any] = {"settings": settings, "finished": False}
        if self._manifest.is_file():
            self.manifest = read_json(self._manifest)
            if wrong := differences(settings, self.manifest["settings"]):
                raise ValueError(f"{self.path}: holds masks of other settings: {'; '.join(wrong)}; take another")

    def begin(self, **about: Any) -> None:
        """Write the manifest before the first image; `about` is what it should say besides the settings."""
        self.manifest |= {"finished": False, **about, "versions": _versions()}
        write_json(self._manifest, self.manifest)

    def object_map_file(self, name: str) -> Path:
        """Where the object map of an image lies."""
        return self.path / "obj_jpg" / f"{name}.png"

    def done(self, name: str) -> bool:
        """Whether an image has all its files."""
        return all(file(name).is_file() for file in (self._record_file, self.object_map_file, self._labels))

    def write(self, name: str, objects: NDArray[np.int32], table: pd.DataFrame) -> None:
        """Write one image.

        Args:
            name: of the image.
            objects: (H, W) object map.
            table: a row per box with `COLUMNS`; row k is mask k + 1.

        Raises:
            OSError: the disk is full; what was written before is whole.
        """
        labels = np.append(np.uint8(self.classes.uncovered), table["label"].to_numpy(np.uint8))
        record = {
            "height": objects.shape[0],
            "width": objects.shape[1],
            "masks": table.astype(dict.fromkeys(("score", *BOX), float)).round(6).to_dict("records"),
        }
        try:
            write_label_png(self.object_map_file(name), objects)
            write_label_png(self._labels(name), labels[objects], self.classes.palette)
            write_json(self._record_file(name), record)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(f"{self.path}: the disk is full at image {name!r}; make room and run this again") from error

    def finish(self, skipped: dict[str, str]) -> None:
        """Write the table of all images that are done and their counts, unless both are up to date.

        Args:
            skipped: image -> why it was left out.
        """
        if self.manifest["finished"] and skipped == self.manifest["skipped"]:
            return
        names = sorted(path.stem for path in (self.path / "mask_json").glob("[!.]*.json"))
        frames = [table_of(read_json(self._record_file(name))["masks"]).assign(image=name) for name in names]
        table = pd.concat(frames, ignore_index=True)
        write_parquet(self.path / "masks.parquet", table[["image", *COLUMNS]])
        visible = table[table["area"] > 0]
        counts = {
            "images": len(names),
            "skipped": len(skipped),
            "without_boxes": len(set(names) - set(table["image"])),
            "boxes": len(table),
            "masks": len(visible),
            "masks_per_class": {name: int((visible["class"] == name).sum()) for name in self.classes.names},
        }
        self.manifest |= {"finished": True, "counts": counts, "skipped": skipped}
        write_json(self._manifest, self.manifest)

    def masks(self, names: Iterable[str]) -> MaskSet:
        """The masks of these images that are visible in the object maps, with columns for phrase, score and box."""
        names = tuple(names)
        table = read_parquet(self.path / "masks.parquet")
        table = table[(table["area"] > 0) & table["image"].isin(names)]
        table = table.assign(image=pd.Categorical(table["image"], categories=list(names)))
        table = table.sort_values(["image", "mask_id"])  # images in the order of `names`
        frames = [
            (rows["mask_id"].to_numpy(), rows["area"].to_numpy(), rows["label"].to_numpy())
            for _, rows in table.groupby("image", observed=False)
        ]
        more = {column: table[column].to_numpy() for column in ("phrase", "score", *BOX)}
        files = {name: self.object_map_file(name) for name in names}
        rows = new_table(self.classes, names, frames).assign(**more)
        return MaskSet(self.classes, names, rows, files, self.classes.uncovered)

    def _labels(self, name: str) -> Path:
        return self.path / "mask_jpg" / f"{name}.png"

    def _record_file(self, name: str) -> Path:
        return self.path / "mask_json" / f"{name}.json"


def table_of(records: list[dict[str, Any]] | dict[str, Any]) -> pd.DataFrame:
    """A table with `COLUMNS`, also where there is no box."""
    return pd.DataFrame(records, columns=list(COLUMNS)).astype(COLUMNS)


def _versions() -> dict[str, str]:
    found = {}
    for package in ("a2lc", "torch", "torchvision", *DISTRIBUTIONS, "numpy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
