"""What a dataset of another program is to us: classes, pictures with objects, and the files that say so."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.datasets.listing import IMAGE_SUFFIXES, JUNK
from a2lc.files import below

Colour = tuple[int, int, int]
INDEX = "source.json"  # of a plain dataset that was imported
VOID_ID = 255  # of labels in a plain dataset
SPLIT = r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])"


@dataclass(frozen=True)
class Found:
    """An object of a picture.

    Attributes:
        key: where its annotation stands in the source; a JSON value.
        label: its class, a position in `Source.names`.
        mask: (H, W) bool; or a part of it, see `cropped`.
        under: whether it lies under all others, as crowds do.
        corner: top and left of the mask in the image.
    """

    key: Any
    label: int
    mask: np.ndarray
    under: bool = False
    corner: tuple[int, int] = (0, 0)

    def cropped(self) -> Found:
        """The same with the part of its mask that has pixels: a thousand masks of a large image are too much."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        if not len(rows):
            return replace(self, mask=np.zeros((0, 0), bool))
        part = self.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
        top, left = self.corner
        return replace(self, mask=part, corner=(top + int(rows[0]), left + int(columns[0])))


@dataclass(frozen=True)
class Values:
    """What the values in label pictures mean.

    Attributes:
        classes: value -> class, a position in the list of classes; values that it does not have are void.
        void: the value that is written for void; None: void cannot be written.
        coloured: whether values are colours.
    """

    classes: Mapping[int, int]
    void: int | None
    coloured: bool = False

    def as_json(self) -> dict[str, Any]:
        """For source.json."""
        return {"classes": [[*pair] for pair in self.classes.items()], "void": self.void, "coloured": self.coloured}

    @classmethod
    def from_json(cls, value: Any) -> Values:
        """Of source.json; a damaged one raises TypeError, KeyError or ValueError."""
        return cls({int(k): int(v) for k, v in value["classes"]}, value["void"], bool(value["coloured"]))

    def labels(self, values: np.ndarray) -> np.ndarray:
        """(H, W) uint8 classes of (H, W) values, `VOID_ID` elsewhere."""
        different, inverse = np.unique(values, return_inverse=True)
        table = np.array([self.classes.get(value, VOID_ID) for value in different.tolist()], np.uint8)
        return table[inverse].reshape(values.shape)


@dataclass(frozen=True)
class Picture:
    """An image of the source.

    Attributes:
        name: as the source calls it, with folders and suffix.
        file: where it lies.
        objects: takes H and W of the image, and finds its objects in the source's order.
        size: H and W as the source has them; None: it does not say.
        data: reads the image where it is no file of its own; `file` is then the one that it is in.
        labels: where its label picture is: one of `Source.files`, and behind a ``#`` the row in it.
    """

    name: str
    file: Path
    objects: Callable[[int, int], Iterable[Found]]
    size: tuple[int, int] | None = None
    data: Callable[[], bytes] | None = None
    labels: str | None = None


@dataclass
class Source:
    """A dataset of another program.

    Attributes:
        format: its name in `a2lc.formats.FORMATS`.
        names: of the K classes, as the source has them.
        keys: what stands for each class in the source; JSON values.
        pictures: the images.
        files: name -> the files that hold the annotations; they are kept.
        colours: of the classes; None: the source has none.
        values: of formats that are label pictures: what their values mean.
        notes: what a person should know.
    """

    format: str
    names: Sequence[str]
    keys: Sequence[Any]
    pictures: Sequence[Picture]
    files: dict[str, Path]
    colours: Sequence[Colour | None] | None = None
    notes: list[str] = field(default_factory=list)
    values: Values | None = None


@dataclass(frozen=True)
class Edit:
    """A label that became another one, in a file of the source: at `place` stands `value` from now on."""

    file: str
    place: tuple[str | int, ...]
    value: Any


class Files:
    """The images below a folder, but for those in the folder `but`, found by the end of their path."""

    def __init__(self, root: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, but: Path | None = None) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(root):
            if INDEX in names:  # an import of ours that was put here
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in JUNK)
            folders[:] = [name for name in folders if Path(folder, name) != but]
            for name in sorted(names):
                if Path(name).suffix.lower() in suffixes and not name.startswith("."):
                    self._by_name.setdefault(name, []).append(Path(folder, name))

    def find(self, name: str, near: str = "") -> Path | None:
        """The file whose path ends with `name`; of several, the one whose folder is a word of `near`. Where this says
        train, val or test, a file in a folder of another split is none.

        Raises:
            ValueError: the name leads out of the folder, or there are several such files.
        """
        below(self.root, name)
        parts = Path(name).parts
        found = [
            path
            for path in self._by_name.get(parts[-1] if parts else "", [])
            if path.parts[-len(parts) :] == parts and _may_be_of(near, path.relative_to(self.root).parent)
        ]
        if len(found) > 1:
            exact = [path for path in found if path == self.root / name]
            words = {near, *re.split(r"[\W_]+", near)}
            found = exact or [path for path in found if path.parent.name in words] or found
        if len(found) > 1:
            raise ValueError(f"{self.root}: expected one file {name}, found {found[0]} and {found[1]}")
        return found[0] if found else None


def _may_be_of(near: str, folder: Path) -> bool:
    """Whether a text and a folder do not name different splits."""
    one, other = (set(re.findall(SPLIT, text.lower())) for text in (near, folder.as_posix()))
    return not one or not other or bool(one & other)


def found_pictures(pictures: Iterable[tuple[str, Picture | None]], where: Path, notes: list[str]) -> list[Picture]:
    """The pictures that are there; those that are missing are told.

    Raises:
        FileNotFoundError: all are missing.
    """
    listed = list(pictures)
    missing = [name for name, picture in listed if picture is None]
    if len(missing) == len(listed):
        found = f"found none of {len(listed)}, such as {missing[0]}" if listed else "found none"
        raise FileNotFoundError(f"{where}: expected images, {found}: they have to lie below the folder {where.parent}")
    if missing:
        notes.append(f"{len(missing)} of {len(listed)} images have no file and are left out, such as {missing[0]}")
    return [picture for _, picture in listed if picture is not None]
