"""MaskSet: a label map is a lookup table over an object map.

Every step of the method (annotator, LCM, undo) writes labels of *masks*, never of pixels. So the state of a whole
dataset is one table with a row per mask; the object maps are written once and never change.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc.datasets.base import Classes
from a2lc.files import below, damaged, read_label_png, write_label_png, write_parquet
from a2lc.masks.cuts import Cut, read_cuts, write_cuts
from a2lc.masks.table import (
    ANSWERED,
    DISCARDED,
    MIXED,
    SILENT,
    SOURCES,
    STATE,
    areas_of,
    categorical,
    check_changes,
    check_labels,
    labels_of,
    new_table,
    positions_of,
    read_description,
    read_state,
    read_table,
    write_description,
)

CUTS = "cuts.json"


class MaskSet:
    """Object maps of N images and one table with a row per mask.

    It is made by `from_maps`, `from_folders` or `load`.

    Attributes:
        classes: class names, palette, ignore index.
        names: the N image names, in the dataset's order.
        table: a DataFrame with M rows sorted by (image, mask_id); row numbers serve as mask indices everywhere. Its
            columns: ``image`` (category), ``mask_id`` int32 > 0, ``area`` int64 pixels, ``label`` uint8 (0..K-1, or
            the ignore index = void), ``initial_label`` uint8, ``source`` (initial, annotator, lcm, overruled
            or discarded, see `SOURCES`), ``round`` int16 (of the last change, 0 = never), ``confidence`` float32 (of
            the LCM, NaN elsewhere).
        uncovered: the label of pixels that no mask covers (object id 0).
        cuts: image and mask id -> how a person has cut a mask; while its source is ``mixed``, its pixels carry the
            labels of its pieces. In the table it stays one mask, so that row numbers stay (`a2lc.masks.pieces`).
        pieces: image and mask id of those masks that are pieces of one that was cut.
    """

    def __init__(
        self,
        classes: Classes,
        names: Iterable[str],
        table: pd.DataFrame,
        object_maps: Mapping[str, np.ndarray | Path],
        uncovered: int,
        cuts: Mapping[tuple[str, int], Cut] | None = None,
        pieces: Iterable[tuple[str, int]] = (),
    ) -> None:
        self.classes = classes
        self.names = tuple(names)
        self.table = table
        self.uncovered = int(uncovered)
        self.cuts = dict(cuts or {})
        self.pieces = frozenset(pieces)
        self._object_maps = object_maps
        codes = table["image"].cat.codes.to_numpy()
        self._bounds = np.searchsorted(codes, np.arange(len(self.names) + 1))  # image i: rows _bounds[i].._bounds[i+1]
        self._position = {name: i for i, name in enumerate(self.names)}

    # ---------------------------------------------------------------------------------------------- construction
    @classmethod
    def from_maps(
        cls,
        classes: Classes,
        names: Iterable[str],
        object_maps: Mapping[str, np.ndarray | Path],
        labels: Mapping[str, Mapping[int, int]],
    ) -> MaskSet:
        """Build from object maps and one label per mask.

        Args:
            classes: the class list; uncovered pixels get ``classes.uncovered``.
            names: image names, in order.
            object_maps: per image (H, W) integers >= 0, or the PNG file that holds them.
            labels: per image ``{mask_id: label}`` for every id > 0 of its object map.

        Raises:
            ValueError: no image, an image twice or without object map, an object map that is not (H, W) integers, a
                mask without a label, a label that is no integer in 0..K-1 or the ignore index, or a negative id; or a
                PNG file is damaged.
            FileNotFoundError: a PNG file is missing.
        """
        names = tuple(names)
        frames = []
        for name in names:
            if (source := object_maps.get(name)) is None:
                raise ValueError(f"{name}: expected an object map, found none")
            objects = source if isinstance(source, np.ndarray) else read_label_png(source)
            ids, sizes = areas_of(objects, name)
            of_mask = labels.get(name, {})
            missing = [int(i) for i in ids if int(i) not in of_mask]
            if missing:
                raise ValueError(f"{name}: masks {missing[:5]} of the object map have no label")
            values = np.array([of_mask[int(i)] for i in ids])
            frames.append((ids, sizes, values))
        return cls(classes, names, new_table(classes, names, frames), object_maps, classes.uncovered)

    @classmethod
    def from_folders(
        cls,
        object_maps: str | os.PathLike[str],
        labels: str | os.PathLike[str],
        classes: Classes,
        names: Iterable[str] | None = None,
    ) -> MaskSet:
        """Read the authors' layout: a folder of object maps (``obj_jpg``) and a folder of label maps (``mask_jpg``),
        PNG files of equal names.

        Args:
            object_maps: folder of 8- or 16-bit PNGs, 0 = covered by no mask.
            labels: folder of label PNGs; each mask carries one label.
            classes: the class list.
            names: the images to read, or None for every file of `object_maps`.

        Raises:
            FileNotFoundError: a folder or file is missing.
            ValueError: there is no PNG; a file is damaged, sizes differ, a mask carries two labels, a label (also of
                uncovered pixels) is outside the class list, or uncovered pixels carry several labels.
        """
        object_folder, label_folder = Path(object_maps), Path(labels)
        for folder in (object_folder, label_folder):
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder}: no such folder of PNG files")
        names = tuple(sorted(path.stem for path in object_folder.glob("*.png")) if names is None else names)
        if not names:
            raise ValueError(f"{object_folder}: expected at least one PNG object map, found none")
        frames, outside, paths = [], set(), {}
        for name in names:
            paths[name] = object_folder / f"{name}.png"
            objects, label_map = read_label_png(paths[name]), read_label_png(label_folder / f"{name}.png")
            if objects.shape != label_map.shape:
                raise ValueError(f"{paths[name]}: object map is {objects.shape}, its labels are {label_map.shape}")
            ids, sizes = areas_of(objects, name)
            outside |= set(np.unique(label_map[objects == 0]).tolist())
            frames.append((ids, sizes, labels_of(ids, objects, label_map, f"{label_folder / name}.png")))
        if len(outside) > 1:
            raise ValueError(
                f"{label_folder}: uncovered pixels (object id 0) must carry one label, found {sorted(outside)}"
            )
        check_labels(np.array([*outside]), classes, f"{label_folder}, uncovered pixels")
        uncovered = outside.pop() if outside else classes.uncovered
        return cls(classes, names, new_table(classes, names, frames), paths, uncovered)

    # ---------------------------------------------------------------------------------------------- looking
    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"MaskSet({len(self.names)} images, {len(self)} masks, {len(self.classes)} classes)"

    def rows(self, name: str) -> slice:
        """Row numbers of one image's masks in the table, in order of mask id.

        Raises:
            ValueError: no such image.
        """
        i = self._at(name)
        return slice(int(self._bounds[i]), int(self._bounds[i + 1]))

    def row(self, name: str, mask_id: int) -> int:
        """Row number of one mask.

        Raises:
            ValueError: no such image, or it has no such mask.
        """
        rows = self.rows(name)
        ids = self.table["mask_id"].to_numpy()[rows]
        position = int(np.searchsorted(ids, mask_id))
        if position == len(ids) or ids[position] != mask_id:
            raise ValueError(f"image {name!r} has no mask {mask_id}")
        return rows.start + position

    @property
    def queried(self) -> np.ndarray:
        """(M,) bool: the masks an annotator has answered so far, whether or not the LCM has overruled the answer
        since."""
        return self.table["source"].isin(ANSWERED).to_numpy()

    @property
    def silent(self) -> np.ndarray:
        """(M,) bool: the masks that are among those `queried`, but tell nothing of others: void because an annotator
        found no label of their image of use, or of several classes."""
        return self.table["source"].isin(SILENT).to_numpy()

    @property
    def canonical_order(self) -> np.ndarray:
        """(M,) int64 row numbers sorted by (image name, mask id): random numbers drawn in this order do not depend on
        the order of images."""
        name_rank = np.argsort(np.argsort(np.array(self.names)))
        return np.argsort(name_rank[self.table["image"].cat.codes.to_numpy()], kind="stable")

    def object_map(self, name: str) -> np.ndarray:
        """(H, W) int32 mask ids, 0 = covered by no mask.

        Raises:
            FileNotFoundError: the image's object map is missing.
            ValueError: no such image, or its object map is damaged.
        """
        self._at(name)
        source = self._object_maps[name]
        return (source if isinstance(source, np.ndarray) else read_label_png(source)).astype(np.int32, copy=False)

    def index_map(self, name: str) -> np.ndarray:
        """(H, W) int32: for each pixel the position of its mask among the image's rows, or -1 where there is none;
        errors are those of `object_map`."""
        objects = self.object_map(name)
        ids = self.table["mask_id"].to_numpy()[self.rows(name)]
        return positions_of(objects, ids)

    def labels_of(self, name: str) -> np.ndarray:
        """(n + 1,) uint8 labels of the image's masks in order and, last, of pixels that no mask covers: what
        `index_map` is looked up in.

        Raises:
            ValueError: no such image.
        """
        return np.append(self.table["label"].to_numpy()[self.rows(name)], np.uint8(self.uncovered))

    def label_map(self, name: str, index_map: np.ndarray | None = None) -> np.ndarray:
        """(H, W) uint8 labels: each pixel carries its mask's label, uncovered pixels carry `uncovered`; errors are
        those of `object_map`.

        Args:
            name: the image.
            index_map: (H, W) of `index_map`, so that the object map is not read again.
        """
        index = self.index_map(name) if index_map is None else index_map
        labels = self.labels_of(name)[index]  # index -1 takes the last
        for mask_id, cut in self.cuts_of(name).items():
            inside = index == self.row(name, mask_id) - self.rows(name).start
            labels[inside] = np.array(cut.labels, np.uint8)[cut.pieces()]
        return labels

    def cuts_of(self, name: str) -> dict[int, Cut]:
        """Mask id -> cut, of one image, as far as they hold."""
        if not (found := self._cuts_in.get(name)):
            return {}
        sources = self.table["source"].array
        return {mask_id: cut for mask_id, cut in found.items() if sources[self.row(name, mask_id)] == MIXED}

    @cached_property
    def _cuts_in(self) -> dict[str, dict[int, Cut]]:
        """Image -> mask id -> cut."""
        found: dict[str, dict[int, Cut]] = {}
        for (image, mask_id), cut in sorted(self.cuts.items()):
            found.setdefault(image, {})[mask_id] = cut
        return found

    @property
    def changed(self) -> np.ndarray:
        """(M,) bool: the masks whose label is no longer the first one, and all pieces of masks that were cut."""
        changed = self.table["label"].to_numpy() != self.table["initial_label"].to_numpy()
        changed[[self.row(*piece) for piece in self.pieces]] = True
        return changed

    # ---------------------------------------------------------------------------------------------- changing
    def relabel(
        self, rows: np.ndarray, labels: np.ndarray, *, source: str, round: int, confidence: np.ndarray | float = np.nan
    ) -> MaskSet:
        """A new MaskSet in which the given masks carry new labels (the object maps are shared, this one is unchanged).

        Args:
            rows: (n,) row numbers of the table, each once.
            labels: (n,) labels in 0..K-1, or the ignore index for void.
            source: who says so: ``annotator`` or ``lcm``. Where the LCM changes a mask that an annotator has answered,
                the table says ``overruled``.
            round: the round of the change, 1..32767.
            confidence: (n,) confidences in [0, 1] of the LCM, or one for all; NaN for an annotator.

        Raises:
            ValueError: another source, rows that the table has not or that come twice, another number of labels or
                confidences than rows, a label outside the class list, or a round or confidence outside its range.
        """
        if source not in ("annotator", "lcm"):
            raise ValueError(f"source: expected annotator or lcm, found {source!r}")
        rows, labels, confidence = np.asarray(rows), np.asarray(labels), np.asarray(confidence, np.float64)
        check_changes(rows, labels, round, confidence, self.classes, len(self))
        rows = rows.astype(np.int64)  # of an empty list, too
        overrules = (source == "lcm") & self.queried[rows]
        sources = np.where(overrules, SOURCES.index("overruled"), SOURCES.index(source))
        return self._with(rows, label=labels, source=sources, round=round, confidence=confidence)

    def discard(self, rows: np.ndarray, round: int) -> MaskSet:
        """A new MaskSet without the labels of whole images: the given masks, and all others of their images that no
        annotator has answered, are void, and nobody is asked about them again.

        Args:
            rows: (n,) int64 row numbers of the table.
            round: the round of the change, 1..32767.

        Raises:
            IndexError: rows that the table has not.
        """
        images = self.table["image"].cat.codes.to_numpy()
        useless = np.isin(images, images[rows]) & ~self.queried
        useless[rows] = True
        values = {"label": self.classes.ignore_index, "source": SOURCES.index(DISCARDED), "confidence": np.nan}
        return self._with(np.flatnonzero(useless), round=round, **values)

    def mix(self, rows: np.ndarray, round: int, cuts: Mapping[int, Cut] | None = None) -> MaskSet:
        """A new MaskSet in which an annotator has found several classes in each of the given masks: their labels stay,
        or are those of their pieces, nothing is learnt from them, and nobody is asked about them again.

        Args:
            rows: (n,) int64 row numbers of the table.
            round: the round of the change, 1..32767.
            cuts: of some of these rows: how they were cut.

        Raises:
            IndexError: rows that the table has not.
            ValueError: a cut of another number of pixels than its mask has.
        """
        labels = self.table["label"].to_numpy()[rows]
        mixed = self._with(rows, label=labels, source=SOURCES.index(MIXED), round=round, confidence=np.nan)
        masks = self.table[["image", "mask_id", "area"]].astype({"image": object}).iloc[rows]
        for row, image, mask_id, area in zip(rows.tolist(), *(masks[name].tolist() for name in masks), strict=True):
            mixed.cuts.pop((image, mask_id), None)
            if (cut := (cuts or {}).get(row)) is None:
                continue
            if cut.area != area:
                raise ValueError(f"image {image!r}, mask {mask_id}: expected a cut of {area} pixels, found {cut.area}")
            mixed.cuts[image, mask_id] = cut
        return mixed

    def restored(self, rows: np.ndarray, earlier: pd.DataFrame) -> MaskSet:
        """A new MaskSet in which the given masks are as they were: (n,) row numbers, and a table with their label,
        source, round and confidence, n rows."""
        sources = [SOURCES.index(source) for source in earlier["source"]]
        return self._with(rows, **{name: earlier[name] for name in STATE if name != "source"}, source=sources)

    def of_other_masks(
        self, table: pd.DataFrame, object_maps: Mapping[str, np.ndarray], pieces: Iterable[tuple[str, int]]
    ) -> MaskSet:
        """These images with other masks in some of them (`a2lc.masks.pieces`).

        Args:
            table: of all masks, with the columns of `table` and sorted like it.
            object_maps: (H, W) int32 mask ids of the images whose masks are others.
            pieces: image and mask id of those masks that are pieces of one that was cut.
        """
        maps = {**self._object_maps, **object_maps}
        return MaskSet(self.classes, self.names, table, maps, self.uncovered, pieces=pieces)

    def _with(self, rows: np.ndarray, **values: Any) -> MaskSet:
        """Other values of the columns `STATE` in some rows; sources as positions in `SOURCES`."""
        state = self._state()
        for name, column in state.items():
            column[rows] = values[name]
        return self._in_state(state)

    def _state(self) -> dict[str, np.ndarray]:
        """Copies of the columns that change, (M,) each; sources as positions in `SOURCES`."""
        columns = {name: self.table[name] for name in STATE} | {"source": self.table["source"].cat.codes}
        return {name: column.to_numpy().copy() for name, column in columns.items()}

    @property
    def _is_mixed(self) -> bool:
        return bool((self.table["source"] == MIXED).any())

    def _in_state(self, state: dict[str, Any]) -> MaskSet:
        """These masks with such columns."""
        table = self.table.assign(**state | {"source": categorical(state["source"], SOURCES)})
        return MaskSet(self.classes, self.names, table, self._object_maps, self.uncovered, self.cuts, self.pieces)

    # ---------------------------------------------------------------------------------------------- files
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write object maps (PNG), the table (Parquet) and the classes (JSON) into `folder`, the JSON last: where it
        is, the rest is whole.

        Raises:
            ValueError: a mask id > 65535, which no PNG holds, or a name that leads out of `folder`.
        """
        target = Path(folder)
        for name in self.names:
            write_label_png(below(target / "object_maps", f"{name}.png"), self.object_map(name))
        write_parquet(target / "masks.parquet", self.table)
        write_description(target / "masks.json", self.names, self.classes, self.uncovered)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> MaskSet:
        """Read what `save` wrote; object maps are read when asked for.

        Raises:
            FileNotFoundError: `folder` holds no saved MaskSet, or not all of it.
            ValueError: a file is damaged; the message names it.
        """
        source = Path(folder)
        if not (source / "masks.json").is_file():
            raise FileNotFoundError(
                f"{source}: no saved masks here (expected masks.json, masks.parquet and object_maps/)"
            )
        names, classes, uncovered = read_description(source / "masks.json")
        table = read_table(source / "masks.parquet", names, classes)
        paths = {name: source / "object_maps" / f"{name}.png" for name in names}
        return cls(classes, names, table, paths, uncovered)

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write only the columns that change, in row order: a few kilobytes for thousands of masks; and beside it,
        where masks are mixed, ``cuts.json``: how they were cut."""
        write_cuts(Path(path).with_name(CUTS), self.cuts, self._is_mixed)
        write_parquet(path, pd.DataFrame(self._state()))

    def with_state(self, path: str | os.PathLike[str]) -> MaskSet:
        """This mask set with the labels that `save_state` wrote.

        Raises:
            FileNotFoundError: the file is missing, or how its mixed masks were cut.
            ValueError: a file is damaged, has another number of masks, labels outside the class list, or cuts of masks
                that are not there.
        """
        state = self._in_state(read_state(path, self.classes, len(self)))
        state.cuts = read_cuts(file := Path(path).with_name(CUTS), state._is_mixed)
        for mask, cut in state.cuts.items():
            try:
                check_labels(np.array(cut.labels), self.classes, "cut")
                if cut.area != self.table["area"].iloc[self.row(*mask)]:
                    raise ValueError(f"{mask} has another number of pixels")
            except ValueError as error:
                raise damaged(file, f"expected cuts of these masks: {error}") from error
        return state

    def _at(self, name: str) -> int:
        if name not in self._position:
            raise ValueError(
                f"image {name!r} is not among these masks ({len(self.names)} images, the first is {self.names[0]!r})"
            )
        return self._position[name]
