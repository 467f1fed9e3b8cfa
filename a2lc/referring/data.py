"""Referring data: a row per sentence, an object's mask behind it; and which images count as labelled."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from a2lc.files import check_whole

COLUMNS = {
    "sentence_id": "int64",
    "ref_id": "int64",
    "image": "str",
    "sentence": "str",
    "category": "str",
    "area": "int64",
    "x0": "float32",
    "y0": "float32",
    "x1": "float32",
    "y1": "float32",
}
"""Columns of `ReferringSplit.table`; the box is the object's, in pixels, its right and lower edges outside."""
_RELATIONS = """
left right behind front nearest farthest between above below under over near next first second third fourth middle
center centre top bottom closest furthest beside not
"""
RELATIONS = frozenset(_RELATIONS.split())
"""Words that say where something is among others."""


class ReferringSplit(ABC):
    """One split: sentences, images and, of every object that a sentence names (a *referent*), its mask.

    Attributes:
        name: of the split.
        source: names the data whose numbers of sentences and images these are; splits of one test set share it.
        table: a row per sentence with `COLUMNS`; a referent has one or more.
    """

    def __init__(self, name: str, source: str, table: pd.DataFrame) -> None:
        self.name = name
        self.source = source
        self.table = table.reset_index(drop=True)
        self._sizes: dict[str, tuple[int, int]] = {}  # of the images that were read

    def __len__(self) -> int:
        """Number of sentences."""
        return len(self.table)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._counts})"

    @property
    def _counts(self) -> str:
        return f"{len(self)} sentences about {self.table['image'].nunique()} images"

    @property
    def names(self) -> list[str]:
        """Names of the images that have a sentence, sorted."""
        return sorted(self.table["image"].unique())

    @property
    def has_truth(self) -> bool:
        """Whether every referent's mask is known."""
        return True

    @abstractmethod
    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            KeyError: no image of this split has this name.
            FileNotFoundError, ValueError: its file is missing or damaged; the message names it.
        """

    @abstractmethod
    def mask(self, ref_id: int) -> np.ndarray:
        """(H, W) bool, the pixels of a referent, as large as its image.

        Raises:
            KeyError: no referent of this split has this number.
        """

    @abstractmethod
    def restricted(self, name: str, table: pd.DataFrame) -> ReferringSplit:
        """The same images and masks with some of the sentences, under another name."""

    def checked_image(self, name: str) -> np.ndarray:
        """`image`, which has to be what it says it is.

        Raises:
            TypeError: it is no (H, W, 3) uint8 array.
        """
        image = self.image(name)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(f"{self.name}, image {name!r}: expected an (H, W, 3) uint8 array, found {_kind(image)}")
        self._sizes[name] = (image.shape[0], image.shape[1])
        return image

    def checked_mask(self, ref_id: int) -> np.ndarray:
        """`mask`, which has to be what it says it is.

        Raises:
            TypeError: it is no (H, W) bool array.
            ValueError: it is not as large as its image.
        """
        mask = self.mask(ref_id)
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
            raise TypeError(
                f"{self.name}, mask of referent {ref_id}: expected an (H, W) bool array, found {_kind(mask)}"
            )
        name = self._image_of[ref_id]
        if name not in self._sizes:
            self.checked_image(name)
        if mask.shape != self._sizes[name]:
            expected = f"expected {self._sizes[name]} as its image {name!r}"
            raise ValueError(f"{self.name}, mask of referent {ref_id}: {expected}, found {mask.shape}")
        return mask

    @cached_property
    def _image_of(self) -> dict[int, str]:
        return dict(zip(self.table["ref_id"], self.table["image"], strict=True))

    def of_images(self, images: Iterable[str]) -> ReferringSplit:
        """The sentences about some images.

        Raises:
            KeyError: an image is none of this split.
        """
        wanted = set(images)
        if unknown := wanted - set(self.table["image"]):
            raise KeyError(f"{self.name}: expected names of its images, found {min(unknown)!r}")
        return self.restricted(self.name, self.table[self.table["image"].isin(wanted)])


@dataclass(frozen=True)
class ReferringDataset:
    """A dataset of referring expressions.

    Attributes:
        name: what `load_dataset` calls it.
        splits: name -> split; ``train`` and ``val`` are among them.
    """

    name: str
    splits: dict[str, ReferringSplit]

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} of {split._counts}" for name, split in self.splits.items())
        return f"ReferringDataset({self.name!r}: {splits})"

    @property
    def train(self) -> ReferringSplit:
        """The split to learn from."""
        return self.splits["train"]

    @property
    def val(self) -> ReferringSplit:
        """The split to choose by."""
        return self.splits["val"]


def labelled_images(split: ReferringSplit, rate: float, seed: int = 0, *, nested: bool = True) -> tuple[str, ...]:
    """The images whose sentences count as labelled: a share of the *images*, rounded down, at least one.

    Args:
        split: the training split.
        rate: share of its images, in (0, 1].
        seed: of the permutation, >= 0.
        nested: one permutation per seed, so that a smaller share lies in every larger one; False: drawn anew for
            every rate.

    Returns:
        Names, sorted.

    Raises:
        TypeError: the rate is no number, or the seed no whole one.
        ValueError: the rate is outside (0, 1], the seed below 0, or the split has no image.
    """
    _check_rate(rate)
    check_whole(seed, "seed")
    names = split.names
    if not names:
        raise ValueError(f"{split.name}: expected images to choose from, found none")
    seeds = [seed] if nested else [seed, round(rate * 1_000_000)]
    order = np.random.default_rng(seeds).permutation(len(names))
    count = max(1, math.floor(rate * len(names) + 1e-9))
    return tuple(sorted(names[index] for index in order[:count]))


def _kind(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_rate(rate: object) -> None:
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
        raise TypeError(f"rate: expected a number in (0, 1], found {rate!r}")
    if not 0 < rate <= 1:
        raise ValueError(f"rate: expected a share of images in (0, 1], found {rate!r}")


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in small letters, punctuation left out; letters of all scripts are kept."""
    text = "".join(letter if letter.isalnum() or letter in "'-" else " " for letter in sentence.lower())
    return text.split()


def is_relational(sentence: str) -> bool:
    """Whether a sentence says where its object is among others, by a short list of words (`RELATIONS`)."""
    return not RELATIONS.isdisjoint(words_of(sentence))


def table_of(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """A table with `COLUMNS`, of rows in their order.

    Raises:
        ValueError: a row has more or fewer values, or others than their columns can hold.
    """
    for number, row in enumerate(rows):
        if len(row) != len(COLUMNS):
            raise ValueError(f"row {number}: expected {len(COLUMNS)} values ({', '.join(COLUMNS)}), found {len(row)}")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


_SWAPPED = {"left": "right", "right": "left"}
_SIDE = re.compile(
    r"(?<![^\W\d_])(far|top|bottom|upper|lower|)(left|right)(most|hand|handed|side|wards?|y|)(?![^\W\d_])",
    re.IGNORECASE,
)


def mirrored_sentence(sentence: str) -> str:
    """What a sentence has to say of the mirrored image: left for right, also in compounds such as left-hand, leftmost
    and farleft, and back; all else, capitals too, stays."""
    return _SIDE.sub(lambda match: f"{match[1]}{_swapped(match[2])}{match[3]}", sentence)


def _swapped(word: str) -> str:
    other = _SWAPPED[word.lower()]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
