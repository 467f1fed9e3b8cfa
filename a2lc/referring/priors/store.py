"""Priors on disk: a folder per frozen model, a file per image, made once.

ROOT/<fingerprint>/prior.json            what decides the answers
                   <image>.safetensors   its sentences: numbers, boxes, scores, proposals
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from a2lc.files import (
    below,
    damaged,
    differences,
    fingerprint,
    locked,
    read_arrays,
    read_json,
    remove_leftovers,
    write_arrays,
    write_json,
)
from a2lc.machine import show_bars
from a2lc.referring.data import ReferringSplit
from a2lc.referring.priors.asking import ask
from a2lc.referring.priors.base import MOST, Locator, Prior, Shaper

FIELDS = ("sentence_id", "said", "boxes", "scores", "agreement", "quality", "unread", "proposal")


class PriorStore:
    """The priors of one frozen model.

    Args:
        root: the folder of all priors.
        locator: the frozen model.
        shaper: as of `a2lc.referring.priors.ask`.

    Attributes:
        path: the folder of this model's priors, named after what decides them.
        identity: that, as JSON values.

    Raises:
        ValueError: the folder holds priors of something else, or cannot be read.
    """

    def __init__(self, root: str | os.PathLike[str], locator: Locator, shaper: Shaper | None = None) -> None:
        shape = "gauss or heat" if shaper is None else shaper.identity()
        self._ask: Callable[..., list[Prior]] | None = partial(ask, locator, shaper=shaper)
        self._open(root, {"locator": locator.identity(), "shape": shape, "layout": 2})

    @classmethod
    def kept(cls, root: str | os.PathLike[str], identity: dict[str, Any]) -> PriorStore:
        """What is kept of a frozen model with this `identity`, to be read without the model.

        Raises:
            ValueError: as of the class.
        """
        found = cls.__new__(cls)
        found._ask = None
        found._open(root, identity)
        return found

    def _open(self, root: str | os.PathLike[str], identity: dict[str, Any]) -> None:
        self.identity = identity
        self.path = Path(root) / fingerprint(identity)
        if (self.path / "prior.json").is_file():
            found = read_json(self.path / "prior.json", "locator", "shape")
            if wrong := differences(self.identity, found):
                raise ValueError(
                    f"{self.path}: holds priors of another model: {'; '.join(wrong)}. Remove it, or move it"
                )

    def fill(self, split: ReferringSplit, images: Iterable[str] | None = None, progress: bool = True) -> None:
        """Ask about every sentence that has not been asked about in these words; killed anywhere, the same call
        continues.

        Args:
            split: sentences and images.
            images: only these; None: all.
            progress: show a bar.

        Raises:
            ValueError: a kept file is damaged; the message names it.
        """
        with locked(self.path):
            if not (self.path / "prior.json").is_file():
                write_json(self.path / "prior.json", self.identity)
            remove_leftovers(self.path)
            wanted = split.table if images is None else split.of_images(images).table
            groups = wanted.groupby("image", sort=True)
            for image, rows in tqdm(groups, desc="priors", unit="image", disable=not show_bars(progress), leave=False):
                self._fill_image(split, str(image), rows)

    def _fill_image(self, split: ReferringSplit, image: str, rows: pd.DataFrame) -> None:
        file = self._file(split, image)
        kept = self._read(file) if file.is_file() else None
        known = dict(zip(kept["sentence_id"].tolist(), map(bytes, kept["said"]), strict=True)) if kept else {}
        every = [(int(n), str(s)) for n, s in zip(rows["sentence_id"], rows["sentence"], strict=True)]
        asked = [(number, text) for number, text in every if known.get(number) != _digest(text)]
        if not asked:
            return
        assert self._ask is not None, "priors that are only read"
        made = _as_arrays(asked, self._ask(split.checked_image(image), asked, image))
        if kept:
            still = ~np.isin(kept["sentence_id"], made["sentence_id"])  # a number may mean another sentence now
            made = {name: np.concatenate([kept[name][still], made[name]]) for name in FIELDS}
        write_arrays(file, made)

    def of(self, split: ReferringSplit, image: str, sentence_id: int) -> Prior:
        """The prior of a sentence.

        Raises:
            FileNotFoundError: nobody has asked about this image yet.
            KeyError: nor about this sentence.
            ValueError: the file is damaged; the message names it.
        """
        file = self._file(split, image)
        arrays = _kept(file, file.stat().st_mtime_ns) if file.is_file() else self._read(file)
        (rows,) = np.nonzero(arrays["sentence_id"] == sentence_id)
        if not len(rows):
            raise KeyError(f"{file}: no prior of sentence {sentence_id}")
        row = int(rows[0])
        number = int((arrays["scores"][row] >= 0).sum())
        return Prior(
            arrays["boxes"][row, :number],
            arrays["scores"][row, :number],
            float(arrays["agreement"][row]),
            float(arrays["quality"][row]),
            arrays["proposal"][row],
            bool(arrays["unread"][row]),
        )

    def _file(self, split: ReferringSplit, image: str) -> Path:
        return below(self.path / split.source, f"{image}.safetensors")

    @staticmethod
    def _read(file: Path) -> dict[str, np.ndarray]:
        arrays = read_arrays(file)
        if set(arrays) != set(FIELDS) or len({len(array) for array in arrays.values()}) != 1:
            raise damaged(file, f"expected arrays {', '.join(FIELDS)} of one length; remove it to ask again")
        return arrays


@lru_cache(maxsize=512)
def _kept(file: Path, changed: int) -> dict[str, np.ndarray]:
    """A file's arrays; `changed` is when it was, so that a newer file is read anew."""
    return PriorStore._read(file)


def _digest(sentence: str) -> bytes:
    return hashlib.sha256(sentence.encode("utf-8", "surrogatepass")).digest()[:8]


def _as_arrays(asked: list[tuple[int, str]], priors: list[Prior]) -> dict[str, np.ndarray]:
    """(n, ...) arrays of n priors of numbers and sentences; boxes and scores that are not there are -1."""
    boxes, scores = np.full((len(priors), MOST, 4), -1, np.float32), np.full((len(priors), MOST), -1, np.float32)
    for row, prior in enumerate(priors):
        boxes[row, : len(prior.boxes)], scores[row, : len(prior.scores)] = prior.boxes, prior.scores
    return {
        "sentence_id": np.array([number for number, _ in asked], np.int64),
        "said": np.array([list(_digest(text)) for _, text in asked], np.uint8),
        "boxes": boxes,
        "scores": scores,
        "agreement": np.array([prior.agreement for prior in priors], np.float32),
        "quality": np.array([prior.quality for prior in priors], np.float32),
        "unread": np.array([prior.unread for prior in priors], np.uint8),
        "proposal": np.stack([prior.proposal for prior in priors]),
    }
