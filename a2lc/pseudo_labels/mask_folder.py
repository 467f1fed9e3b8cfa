"""The folder that Grounded-SAM fills, image by image: the layout of the released code, with a manifest. Segment
Anything alone (`sam_masks`) fills the same without labels.

obj_jpg/<name>.png      object map, 0 = covered by no mask; 16 bits where ids exceed 255 (the released code wraps
                        them, deviation D10; despite the names these are PNGs)
mask_jpg/<name>.png     pseudo-labels with the palette
mask_json/<name>.json   every mask with its scores, box and areas, and its class and phrase; written last: it means done
masks.parquet           all of mask_json as one table
manifest.json           settings, versions, prompt, counts, skipped images
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from a2lc.datasets.base import Classes, FileSplit, Split
from a2lc.datasets.listing import index_files
from a2lc.files import (
    damaged,
    differences,
    read_json,
    read_parquet,
    remove_leftovers,
    write_json,
    write_label_png,
    write_parquet,
)
from a2lc.machine import show_bars, versions_of
from a2lc.masks import MaskSet
from a2lc.masks.table import new_table
from a2lc.pseudo_labels.packages import DISTRIBUTIONS

_PACKAGES = ("a2lc", "torch", "torchvision", *DISTRIBUTIONS, "numpy", "pillow")
BOX = ("x0", "y0", "x1", "y1")
Columns = Mapping[str, Any]  # name -> dtype
_SHAPE: Columns = {**dict.fromkeys(BOX, np.float32), "mask_area": np.int64, "area": np.int64}
COLUMNS: Columns = {
    "mask_id": np.int32, "label": np.uint8, "class": object, "phrase": object, "score": np.float32, **_SHAPE,
}  # fmt: skip
UNLABELLED: Columns = {"mask_id": np.int32, "score": np.float32, "stability": np.float32, **_SHAPE}


class Worker(Protocol):
    """What makes the masks of an image."""

    @property
    def about(self) -> dict[str, Any]:
        """What the manifest should say besides the settings; asked for once, before the first image."""

    def check(self, image: NDArray[np.uint8]) -> None:
        """Raise ValueError where an (H, W, 3) image cannot be used."""

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], pd.DataFrame]:
        """(H, W, 3) -> object map (H, W) and a table with a row per mask; row k is mask k + 1."""


class MaskFolder:
    """Masks made with one set of settings.

    Args:
        path: the folder; made where it is missing.
        settings: JSON values; a folder that was begun with others is refused.
        columns: of the table of masks.

    Raises:
        ValueError: the folder holds masks of other settings (each difference is named) or a damaged manifest.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], columns: Columns = UNLABELLED) -> None:
        self.path = Path(path)
        self.columns = columns
        self._manifest = self.path / "manifest.json"
        remove_leftovers(self.path)
        self.manifest: dict[str, Any] = {"settings": settings, "finished": False}
        if self._manifest.is_file():
            self.manifest = read_json(self._manifest, "settings", "finished")
            if not isinstance(self.manifest["settings"], dict):
                raise damaged(self._manifest, f"expected settings, found {str(self.manifest['settings'])[:60]}")
            if wrong := differences(settings, self.manifest["settings"]):
                raise ValueError(f"{self.path}: holds masks of other settings: {'; '.join(wrong)}; take another")

    def fill(self, split: Split, work: Worker, title: str, skip_bad: bool, progress: bool) -> tuple[str, ...]:
        """Make the masks of the images that are not done.

        Args:
            split: the images.
            work: makes the masks of one.
            title: of the bar.
            skip_bad: leave out images that cannot be used, instead of stopping.
            progress: show a bar.

        Returns:
            The names of all images that have masks now.

        Raises:
            ValueError: an image cannot be used, or none can, or there is none.
            OSError: the disk is full.
        """
        if not split.names:
            raise ValueError(f"split {split.name!r}: expected at least one image, found none")
        pending = [name for name in split.names if not self.done(name)]
        skipped: dict[str, str] = {}
        begun = False
        bar = tqdm(pending, title, len(split), disable=not show_bars(progress), initial=len(split) - len(pending))
        for name in bar:
            try:
                image = split.image(name)
                work.check(image)
            except (ValueError, OSError) as error:
                if not skip_bad:
                    raise ValueError(f"{name}: {error}; to leave such images out: skip_bad=True, --skip-bad") from error
                skipped[name] = str(error)
                bar.write(f"skipped {name}: {error}", file=sys.stderr)
                continue
            if not begun:
                self.begin(**work.about)
                begun = True
            self.write(name, *work(image))
        done = tuple(name for name in split.names if name not in skipped)
        if not done:
            reason = next(iter(skipped.values()))
            raise ValueError(f"{self.path}: none of the {len(split)} images can be read: {reason}")
        self.finish(skipped)
        return done

    def begin(self, **about: Any) -> None:
        """Write the manifest before the first image; `about` is what it should say besides the settings."""
        self.manifest |= {"finished": False, **about, "versions": versions_of(_PACKAGES)}
        write_json(self._manifest, self.manifest)

    def object_map_file(self, name: str) -> Path:
        """Where the object map of an image lies."""
        return self.path / "obj_jpg" / f"{name}.png"

    def done(self, name: str) -> bool:
        """Whether an image has all its files."""
        return self._record_file(name).is_file() and self.object_map_file(name).is_file()

    def write(self, name: str, objects: NDArray[np.int32], table: pd.DataFrame) -> None:
        """Write one image.

        Args:
            name: of the image.
            objects: (H, W) object map.
            table: a row per mask with `columns`; row k is mask k + 1.

        Raises:
            OSError: the disk is full; what was written before is whole.
            ValueError: more than 65,535 masks.
        """
        numbers = [column for column, kind in self.columns.items() if kind == np.float32]
        record = {
            "height": objects.shape[0],
            "width": objects.shape[1],
            "masks": table.astype(dict.fromkeys(numbers, float)).round(6).to_dict("records"),
        }
        try:
            self._write_maps(name, objects, table)
            write_json(self._record_file(name), record)
        except OSError as error:
            message = f"{self.path}: the masks of image {name!r} could not be written ({error})"
            raise OSError(f"{message}; make room and run this again: what is done stays") from error

    def finish(self, skipped: dict[str, str]) -> None:
        """Write the table of all images that are done and their counts, unless both are up to date.

        Args:
            skipped: image -> why it was left out.
        """
        if self.manifest["finished"] and skipped == self.manifest.get("skipped"):
            return
        names = sorted(path.stem for path in (self.path / "mask_json").glob("[!.]*.json"))
        frames = [self._table(read_json(self._record_file(name))["masks"]).assign(image=name) for name in names]
        table = pd.concat(frames, ignore_index=True)
        write_parquet(self.path / "masks.parquet", table[["image", *self.columns]])
        counts = {"images": len(names), "skipped": len(skipped), **self._counts(table, len(names))}
        self.manifest |= {"finished": True, "counts": counts, "skipped": skipped}
        write_json(self._manifest, self.manifest)

    def _write_maps(self, name: str, objects: NDArray[np.int32], table: pd.DataFrame) -> None:
        write_label_png(self.object_map_file(name), objects)

    def _counts(self, table: pd.DataFrame, images: int) -> dict[str, Any]:
        """What the manifest counts besides images; masks: those that others do not hide altogether."""
        return {"without_masks": images - table["image"].nunique(), "masks": int((table["area"] > 0).sum())}

    def _table(self, records: list[dict[str, Any]]) -> pd.DataFrame:
        return table_of(records, self.columns)

    def _record_file(self, name: str) -> Path:
        return self.path / "mask_json" / f"{name}.json"


class PseudoLabelFolder(MaskFolder):
    """Masks with a class each.

    Args:
        path: the folder; made where it is missing.
        classes: the class list.
        settings: JSON values; a folder that was begun with others is refused.

    Raises:
        ValueError: as `MaskFolder`.
    """

    def __init__(self, path: str | os.PathLike[str], classes: Classes, settings: dict[str, Any]) -> None:
        super().__init__(path, settings, COLUMNS)
        self.classes = classes

    def done(self, name: str) -> bool:
        """Whether an image has all its files."""
        return super().done(name) and self._label_file(name).is_file()

    def masks(self, names: Iterable[str]) -> MaskSet:
        """The masks of these images that are visible in the object maps, with columns for phrase, score and box.

        Raises:
            FileNotFoundError, ValueError: ``masks.parquet`` is missing or damaged.
        """
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

    def _write_maps(self, name: str, objects: NDArray[np.int32], table: pd.DataFrame) -> None:
        super()._write_maps(name, objects, table)
        labels = np.append(np.uint8(self.classes.uncovered), table["label"].to_numpy(np.uint8))
        write_label_png(self._label_file(name), labels[objects], self.classes.palette)

    def _counts(self, table: pd.DataFrame, images: int) -> dict[str, Any]:
        visible = table[table["area"] > 0]
        return {
            "without_boxes": images - table["image"].nunique(),
            "boxes": len(table),
            "masks": len(visible),
            "masks_per_class": {name: int((visible["class"] == name).sum()) for name in self.classes.names},
        }

    def _label_file(self, name: str) -> Path:
        return self.path / "mask_jpg" / f"{name}.png"


def as_split(images: Split | str | os.PathLike[str]) -> Split:
    """A split as it is; a folder's jpg and png images as a split.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: there is no image in it.
    """
    if isinstance(images, Split):
        return images
    files = index_files(Path(images))
    if not files:
        inside = "; there are some in its folder images/" if (Path(images) / "images").is_dir() else ""
        raise ValueError(f"{images}: expected at least one jpg or png image, found none{inside}")
    nothing = Classes(("-",), np.zeros((1, 3), np.uint8))
    return FileSplit("train", tuple(files), nothing, files, {})


def table_of(records: list[dict[str, Any]] | dict[str, Any], columns: Columns) -> pd.DataFrame:
    """A table with these columns, also where there is no mask."""
    return pd.DataFrame(records, columns=list(columns)).astype(columns)


def shape_columns(boxes: NDArray[np.floating], mask_areas: Sequence[int], objects: NDArray[np.int32]) -> dict[str, Any]:
    """What every table of masks says of n masks' places.

    Args:
        boxes: (n, 4) x0, y0, x1, y1 in pixels.
        mask_areas: pixels of each mask, before others hide parts of it.
        objects: (H, W) the object map, ids 0..n.

    Returns:
        Columns mask_id (1..n), `BOX`, mask_area, and area: the pixels that the object map shows of it.
    """
    columns = dict(zip(BOX, boxes.T, strict=True))
    area = np.bincount(objects.ravel(), minlength=len(boxes) + 1)[1:]
    return {"mask_id": np.arange(1, len(boxes) + 1), **columns, "mask_area": mask_areas, "area": area}
