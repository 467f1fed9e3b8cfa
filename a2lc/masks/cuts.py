"""Masks that a person has cut in pieces, each with a label of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.files import damaged, missing, read_json, write_json


@dataclass(frozen=True)
class Cut:
    """A mask in pieces.

    Attributes:
        labels: of each piece, 0..K-1, or the ignore index = void.
        runs: (piece, number of pixels), of the mask's pixels in raster order one run after the other.
    """

    labels: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, pieces: np.ndarray, labels: Sequence[int]) -> Cut:
        """Cut a mask.

        Args:
            pieces: (n,) integers: of each of the mask's pixels, in raster order, its piece.
            labels: of each piece.

        Raises:
            ValueError: fewer than two pieces, a piece without pixels, or a pixel of no piece.
        """
        if pieces.dtype.kind not in "biu":
            raise ValueError(f"pieces: expected whole numbers, found {pieces.dtype}")
        pieces = pieces.astype(np.int64)
        if len(labels) < 2 or sorted(set(pieces.tolist())) != [*range(len(labels))]:
            raise ValueError(f"expected at least two pieces, each with pixels and a label, found {len(labels)} labels")
        starts = np.flatnonzero(np.diff(pieces, prepend=-1))
        lengths = np.diff(starts, append=len(pieces))
        return cls(tuple(map(int, labels)), tuple(zip(pieces[starts].tolist(), lengths.tolist(), strict=True)))

    @classmethod
    def from_json(cls, value: Any) -> Cut:
        """Read what `to_json` wrote. Raises `ValueError` where it is none."""
        try:
            labels, runs = value["labels"], value["runs"]
            whole = all(type(number) is int for number in (*labels, *(n for run in runs for n in run)))
            cut = cls(tuple(labels), tuple((piece, count) for piece, count in runs))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"cut: expected labels and runs, found {str(value):.40}") from error
        counts = all(count > 0 for _, count in cut.runs) if whole else False
        if not counts or {piece for piece, _ in cut.runs} != {*range(len(cut.labels))} or len(cut.labels) < 2:
            raise ValueError(f"cut: expected two pieces or more, each with pixels and a label, found {str(value):.40}")
        if not all(0 <= label <= 255 for label in cut.labels):
            raise ValueError(f"cut: expected labels in 0..255, found {str(value):.40}")
        return cut

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"labels": [*self.labels], "runs": [[*run] for run in self.runs]}

    @cached_property
    def area(self) -> int:
        """Pixels of all pieces."""
        return sum(count for _, count in self.runs)

    def pieces(self) -> np.ndarray:
        """(n,) int64: of each of the mask's pixels, in raster order, its piece."""
        return np.repeat(*np.array(self.runs, dtype=np.int64).T)


def write_cuts(file: Path, cuts: Mapping[tuple[str, int], Cut], mixed: bool) -> None:
    """Write how masks, image and mask id, were cut. Where a mask is `mixed` there is a file even if none was cut, so
    that a lost one is missed."""
    if cuts or mixed:
        write_json(
            file, [{"image": image, "mask_id": mask_id, **cut.to_json()} for (image, mask_id), cut in cuts.items()]
        )
    else:
        file.unlink(missing_ok=True)


def read_cuts(file: Path, mixed: bool) -> dict[tuple[str, int], Cut]:
    """Read what `write_cuts` wrote.

    Raises:
        FileNotFoundError: it is missing although a mask is `mixed`.
        ValueError: it is damaged.
    """
    if mixed and not file.is_file():
        raise missing(file)
    found: dict[tuple[str, int], Cut] = {}
    records = read_json(file) if file.is_file() else []
    if not isinstance(records, list):
        raise damaged(file, f"expected a list of masks that were cut, found {str(records):.40}")
    for record in records:
        try:
            image, mask_id = str(record["image"]), record["mask_id"]
            if type(mask_id) is not int or (image, mask_id) in found:
                raise ValueError("mask_id: expected a whole number, once")
            found[image, mask_id] = Cut.from_json(record)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(file, f"expected masks that were cut, found {str(record):.40} ({error})") from error
    return found
