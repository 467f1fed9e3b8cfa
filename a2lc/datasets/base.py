"""What every dataset offers: a class list and two splits that read (or draw) one image at a time."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from a2lc.files import is_whole, nearest, opened, read_image, read_label_png

FORBIDDEN = -1  # entry of a lookup table: this id must not occur in a label file
VOID = "void"
"""What people read and write where a label is no class."""
RESERVED = ("confirm", VOID, "void image", "mixed mask", "skip")  # answers that name no class (`a2lc.human.Queue`)


@dataclass(frozen=True)
class Classes:
    """The K classes of a dataset.

    Attributes:
        names: K distinct class names; the position is the class id.
        palette: (K, 3) uint8 RGB colours to draw them in.
        ignore_index: id of pixels that have no class, void, in K..255: labels are kept in 8 bits, so files with a
            larger value have to be converted. These pixels count nowhere.
        background: class of pixels that no mask covers (PASCAL VOC: 0); None: they are `ignore_index`.

    Raises:
        ValueError: an empty or repeated name, one of `RESERVED` or one with spaces around it, more than 255 classes, a
            palette of another shape, ids that are no whole numbers or do not fit.
        TypeError: names that are no tuple or list of texts, or a palette that is no array.
    """

    names: tuple[str, ...]
    palette: np.ndarray = field(compare=False, repr=False)
    ignore_index: int = 255
    background: int | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.names, (tuple, list)) and all(isinstance(name, str) for name in self.names)):
            raise TypeError(f"classes.names: expected a tuple of texts, found {self.names!r}")
        if not isinstance(self.palette, np.ndarray):
            raise TypeError(f"classes.palette: expected an array, found {type(self.palette).__name__}")
        count = len(self.names)
        if not 1 <= count <= 255:
            raise ValueError(f"classes: expected 1 to 255 names, found {count}")
        for name in self.names:
            if not name or name in RESERVED or name != name.strip():
                what = f"not empty, none of {', '.join(RESERVED)} and without spaces around them"
                raise ValueError(f"classes: expected names {what}, found {name!r}")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ValueError(f"classes: expected distinct names, found {repeated} more than once")
        if self.palette.shape != (count, 3) or self.palette.dtype != np.uint8:
            found = f"{self.palette.shape} {self.palette.dtype}"
            raise ValueError(f"classes.palette: expected ({count}, 3) uint8, found {found}")
        if not (is_whole(self.ignore_index) and count <= self.ignore_index <= 255):
            why = " (labels are kept in 8 bits)" if is_whole(self.ignore_index) and self.ignore_index > 255 else ""
            raise ValueError(f"classes.ignore_index: expected {count}..255, found {self.ignore_index!r}{why}")
        if self.background is not None and not (is_whole(self.background) and 0 <= self.background < count):
            raise ValueError(f"classes.background: expected 0..{count - 1} or None, found {self.background!r}")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Id of a class.

        Raises:
            ValueError: no class has this name; the nearest are suggested.
        """
        if name not in self.names:
            raise ValueError(f"unknown class {name!r}{nearest(name, self.names)}")
        return self.names.index(name)

    @property
    def uncovered(self) -> int:
        """Label of pixels that no mask covers: the background where there is one, else `ignore_index`."""
        return self.ignore_index if self.background is None else self.background

    def lookup(self, table: Mapping[int, int] | None = None) -> np.ndarray:
        """(256,) int16: class of every id a label file may hold, `FORBIDDEN` where an id must not occur; the ignore
        index stands for itself.

        Args:
            table: file id, 0..255 -> class id or ignore index, for datasets whose files use other ids; None: files hold
                class ids. An id that it does not have is forbidden, but for the ignore index.

        Raises:
            ValueError: an id outside these.
        """
        void = self.ignore_index
        for file_id, class_id in (table or {}).items():
            if not (is_whole(file_id) and 0 <= file_id <= 255):
                raise ValueError(f"table: expected ids of label files in 0..255, found {file_id!r}")
            if not (is_whole(class_id) and (0 <= class_id < len(self) or class_id == void)):
                raise ValueError(f"table: expected classes 0..{len(self) - 1} or {void}, found {class_id!r}")
        values = np.full(256, FORBIDDEN, dtype=np.int16)
        values[void] = void
        for file_id, class_id in (table or {k: k for k in range(len(self))}).items():
            values[file_id] = class_id
        return values


class Split(ABC):
    """One split of a dataset. It holds names only; images and labels are read or drawn when asked for.

    Attributes:
        name: "train" or "val".
        names: image names, in the order of the dataset's list.
        ids_are_told: whether somebody has said what the values in its label files mean, or there are no such files.

    Raises:
        ValueError: an image name occurs twice.
    """

    ids_are_told = True

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name = name
        self.names = tuple(names)
        self._known = frozenset(self.names)
        if len(self._known) < len(self.names):
            repeated = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise ValueError(f"split {name!r}: expected distinct image names, found {repeated!r} twice")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} images)"

    @abstractmethod
    def image(self, name: str) -> np.ndarray:
        """The picture: (H, W, 3) uint8 RGB.

        Raises:
            ValueError: the split has no such image; its file is damaged, or differs from its labels in size.
            FileNotFoundError: the file is gone.
        """

    @abstractmethod
    def ground_truth(self, name: str) -> np.ndarray | None:
        """The true classes: (H, W) uint8, 0..K-1 or the ignore index; None where the dataset has none.

        Raises:
            ValueError: the split has no such image; the file is damaged, or holds an id outside the class list.
            FileNotFoundError: the file is gone.
        """

    def pseudo_labels(self, name: str) -> np.ndarray | None:
        """Labels that came with the images, to be corrected: as `ground_truth`, also in what is raised; None where
        there are none."""
        self._check_name(name)
        return None

    def subset(self, names: Sequence[str]) -> Split:
        """The same split with fewer images, in this order.

        Raises:
            ValueError: the split has no such image.
        """
        for name in names:
            self._check_name(name)
        fewer = copy.copy(self)
        fewer.names, fewer._known = tuple(names), frozenset(names)
        return fewer

    def _check_name(self, name: str) -> None:
        if name not in self._known:
            raise ValueError(f"split {self.name!r} has no image {name!r}{nearest(name, self.names)}")


class FileSplit(Split):
    """A split on disk: one image file per name, and label files where there are any.

    Args:
        name: "train" or "val".
        names: image names.
        classes: the class list.
        images: name -> image file.
        ground_truth: name -> label PNG.
        pseudo_labels: name -> label PNG.
        lookup: (256,) int16 from `Classes.lookup`; None: files hold class ids.

    Raises:
        ValueError: an image name occurs twice.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        classes: Classes,
        images: Mapping[str, Path],
        ground_truth: Mapping[str, Path],
        pseudo_labels: Mapping[str, Path] | None = None,
        lookup: np.ndarray | None = None,
    ) -> None:
        super().__init__(name, names)
        self._classes = classes
        self._images = images
        self._ground_truth = ground_truth
        self._pseudo_labels = pseudo_labels or {}
        self._lookup = classes.lookup() if lookup is None else lookup

    def image(self, name: str) -> np.ndarray:
        """Read the picture; see `Split.image`. Raises `FileNotFoundError` where there are labels only, too."""
        self._check_name(name)
        if name not in self._images:
            raise FileNotFoundError(f"split {self.name!r}: {name!r} has labels only, no image file")
        picture = self._read_image(self._images[name])
        for files in (self._ground_truth, self._pseudo_labels):
            if name in files and picture.shape[:2] != (size := _image_size(files[name])):
                found = [
                    f"{path} is {h}x{w}"
                    for path, (h, w) in ((self._images[name], picture.shape[:2]), (files[name], size))
                ]
                turned = size == picture.shape[1::-1] and size == _image_size(self._images[name])  # as it is stored
                meant = "; the picture is to be shown turned (EXIF orientation), turn the label too" if turned else ""
                expected = "image and label must have the same size"
                raise ValueError(f"{expected}: {', '.join(found)} (height x width){meant}")
        return picture

    def ground_truth(self, name: str) -> np.ndarray | None:
        """Read the true classes; see `Split.ground_truth`."""
        return self._labels(name, self._ground_truth)

    def pseudo_labels(self, name: str) -> np.ndarray | None:
        """Read the labels to correct; errors are those of `Split.ground_truth`."""
        return self._labels(name, self._pseudo_labels)

    def _labels(self, name: str, files: Mapping[str, Path]) -> np.ndarray | None:
        self._check_name(name)
        if name not in files:
            return None
        return self._read_labels(files[name])

    def _read_image(self, path: Path) -> np.ndarray:
        return read_image(path)

    def _read_labels(self, path: Path) -> np.ndarray:
        return self._to_classes(read_label_png(path), path)

    def _to_classes(self, ids: np.ndarray, path: Path) -> np.ndarray:
        """File ids (H, W) -> class ids (H, W) uint8."""
        inside = (ids >= 0) & (ids < 256)
        wrong = ids[~inside]
        if wrong.size == 0:
            values = self._lookup[ids]  # (H, W) int16
            wrong = ids[values == FORBIDDEN]
        if wrong.size:
            raise ValueError(f"{path}: expected label ids in {self._allowed()}, found {int(wrong.flat[0])}")
        return values.astype(np.uint8)

    def _allowed(self) -> str:
        allowed = np.flatnonzero(self._lookup != FORBIDDEN)
        runs = np.split(allowed, np.flatnonzero(np.diff(allowed) > 1) + 1)
        ranges = [f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
        return f"{', '.join(ranges)} ({len(self._classes)} classes, void {self._classes.ignore_index})"


@dataclass(frozen=True)
class Dataset:
    """A named dataset: its classes and its two splits; `val` may be empty."""

    name: str
    classes: Classes
    train: Split
    val: Split


def bit_palette(count: int) -> np.ndarray:
    """PASCAL VOC's colours of ids 0..count-1, at most 256: (count, 3) uint8. Bits 0, 1, 2 of the id become the top bits
    of R, G, B, and so on.

    Source: `VOClabelcolormap.m` of the VOC development kit.
    """
    ids = np.arange(count)
    palette = np.zeros((count, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * level + channel)) & 1) << (7 - level)).astype(np.uint8)
    return palette


def _image_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with opened(path) as image:
            return image.height, image.width
    except Exception as error:  # see a2lc.files.decoded
        raise ValueError(f"{path}: damaged or truncated image ({error})") from error
