"""Maps of many sentences on disk, in files of a thousand: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from a2lc.files import damaged, read_arrays, write_arrays

SHARD = 1024


class Maps:
    """Sentence -> (h, w) uint8 map, all of one size.

    Args:
        folder: of the files; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[int, tuple[Path, int]] = {}
        for file in sorted(folder.glob("shard_*.safetensors")):
            for row, number in enumerate(_shard(file, file.stat().st_mtime_ns)["sentence_id"].tolist()):
                self._places[number] = (file, row)

    def __contains__(self, sentence_id: int) -> bool:
        """Whether there is a map of this sentence."""
        return sentence_id in self._places

    def __len__(self) -> int:
        """How many there are."""
        return len(self._places)

    def __getitem__(self, sentence_id: int) -> np.ndarray:
        """The map of a sentence, (h, w) uint8.

        Raises:
            KeyError: there is none.
        """
        file, row = self._places[sentence_id]
        return np.asarray(_shard(file, file.stat().st_mtime_ns)["map"][row])

    @classmethod
    def write(cls, folder: Path, maps: Iterable[tuple[int, np.ndarray]]) -> Maps:
        """Write maps in place of what is in the folder, file by file.

        Args:
            folder: where to.
            maps: sentence_id and (h, w) uint8 map of each, one after the other.
        """
        for file in folder.glob("shard_*.safetensors"):
            file.unlink()
        numbers: list[int] = []
        kept: list[np.ndarray] = []
        count = 0
        for number, one in maps:
            numbers.append(number)
            kept.append(one)
            if len(kept) == SHARD:
                _write(folder, count, numbers, kept)
                numbers, kept, count = [], [], count + 1
        if kept:
            _write(folder, count, numbers, kept)
        return cls(folder)


def _write(folder: Path, count: int, numbers: list[int], kept: list[np.ndarray]) -> None:
    arrays: dict[str, np.ndarray] = {"sentence_id": np.array(numbers, np.int64), "map": np.stack(kept).astype(np.uint8)}
    write_arrays(folder / f"shard_{count:05d}.safetensors", arrays)


@lru_cache(maxsize=4)
def _shard(file: Path, changed: int) -> Mapping[str, np.ndarray]:
    arrays = read_arrays(file)
    if not {"sentence_id", "map"} <= set(arrays) or len(arrays["sentence_id"]) != len(arrays["map"]):
        raise damaged(file, "expected as many sentences as maps")
    return arrays
