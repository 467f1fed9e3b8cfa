"""Class names as sentences ("the car"), so that Learning to Label makes first labels for A²LC: no part of either paper.

A segmentation dataset becomes one of referring expressions; its first masks are what the frozen model has said; and
what the loop proposes is read back as a label of each mask.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from a2lc.datasets import Dataset, Split
from a2lc.files import below, fingerprint, write_label_png
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.referring.context import context_of, load_network
from a2lc.referring.data import ReferringDataset, ReferringSplit, mirrored_sentence, table_of
from a2lc.referring.pairs import at_size
from a2lc.referring.priors.base import Located, Request
from a2lc.referring.rounds import MODEL
from a2lc.referring.runs import ReferringRun
from a2lc.referring.state import fuse
from a2lc.referring.training import predict

SURE = 0.9  # of itself the frozen model always is, as masks have no scores


class ClassSplit(ReferringSplit):
    """A split of a segmentation dataset: a sentence for every image and class, also where the class is not there; its
    mask is then empty. Sentence ``i * K + c`` is about image i and class c, as is the referent of this number."""

    def __init__(self, split: Split, names: Sequence[str], table: pd.DataFrame | None = None) -> None:
        self._split, self._names = split, tuple(names)
        super().__init__(split.name, split.name, _sentences(split, names) if table is None else table)

    def image(self, name: str) -> np.ndarray:
        """See `ReferringSplit.image`."""
        if name not in self._split.names:
            raise KeyError(f"{self.name}: no image {name!r}")
        return self._split.image(name)

    def mask(self, ref_id: int) -> np.ndarray:
        """See `ReferringSplit.mask`; pixels without a class are no class's.

        Raises:
            ValueError: the image has no ground truth.
        """
        at, label = divmod(ref_id, len(self._names))
        if not 0 <= at < len(self._split.names):
            raise KeyError(f"{self.name}: no referent {ref_id}")
        truth = self._split.ground_truth(self._split.names[at])
        if truth is None:
            raise ValueError(f"{self._split.names[at]}: expected a ground truth, found none")
        return np.asarray(truth == label)

    @property
    def has_truth(self) -> bool:
        """See `ReferringSplit.has_truth`."""
        return all(self._split.ground_truth(name) is not None for name in self.names)

    def restricted(self, name: str, table: pd.DataFrame) -> ClassSplit:
        """See `ReferringSplit.restricted`."""
        found = ClassSplit(self._split, self._names, table)
        found.name = name
        return found


def by_class_names(dataset: Dataset) -> ReferringDataset:
    """A segmentation dataset as one of referring expressions, `ClassSplit` of ``train`` and ``val``; areas and boxes
    are of all their ground truths. Play it with ``Experiment(dataset="given", training={"size": ...})`` and
    ``referring.run(..., data=..., locator=...)``."""
    names = dataset.classes.names
    splits: dict[str, ReferringSplit] = {split.name: ClassSplit(split, names) for split in (dataset.train, dataset.val)}
    return ReferringDataset(dataset.name, splits)


class MaskLocator:
    """The frozen model whose answers A²LC begins with: of "the car" it says where the masks are that are labelled car,
    as a map, in one box around them all; nothing, where no mask is. However it is asked, it says the same.

    Args:
        masks: of all images that may be asked about, of one class list.

    Raises:
        ValueError: no masks, or of several class lists.
    """

    def __init__(self, *masks: MaskSet) -> None:
        lists = {one.classes.names for one in masks}
        if len(lists) != 1:
            raise ValueError(f"masks: expected some of one class list, found {len(lists)} lists")
        self._of = {name: one for one in masks for name in one.names}
        self._classes = {sentence_of(name): label for label, name in enumerate(masks[0].classes.names)}
        labels = [one.table[["image", "mask_id", "label"]].to_csv(index=False, lineterminator="\n") for one in masks]
        self._hash = fingerprint(labels)

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        return {"model": "labels of masks", "version": 1, "labels": self._hash}

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """See `Locator.locate`.

        Raises:
            KeyError: a sentence that names no class, or an image without masks.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Located:
        sentence = mirrored_sentence(request.sentence) if request.mirrored else request.sentence
        there = self._of[request.name].label_map(request.name) == self._classes[sentence]
        if not there.any():
            return Located.nothing()
        there = there[:, ::-1] if request.mirrored else there
        box = np.array([_box_around(there)], np.float32)
        size = (there.shape[0], there.shape[1])
        return Located.of(box, np.array([SURE], np.float32), size, there.astype(np.float32))


def sentence_of(name: str) -> str:
    """The sentence that means a class."""
    return f"the {name}"


def proposed_labels(run: ReferringRun, data: ReferringDataset, masks: MaskSet, device: str = "auto") -> np.ndarray:
    """What a run proposes as labels of masks: of each mask the class whose map is highest on average over its pixels.
    The map is the last network's, fused with the frozen model's where the run does so, in its last round's proportion.

    Args:
        run: a finished run on `by_class_names`.
        data: what it was played with.
        masks: of the training images; their labels are not looked at.
        device: where to compute.

    Returns:
        (M,) uint8 labels in 0..K-1. Of labelled images, of which nothing is proposed, those that `masks` has.

    Raises:
        ValueError: the run is not finished, or trains nothing.
    """
    if not (run.finished and run.config.trains):
        raise ValueError(f"{run.path}: expected a finished run that trains a network")
    labels = masks.table["label"].to_numpy().copy()
    for name, maps in _last_maps(run, data, len(masks.classes), device):
        index = masks.index_map(name)
        whole = F.interpolate(torch.from_numpy(maps)[None], index.shape, mode="bilinear", align_corners=False)[0]
        inside = torch.from_numpy(index.ravel() >= 0)
        of = torch.from_numpy(index.ravel()).long()[inside]
        rows = masks.rows(name)
        sums = torch.zeros(len(maps), rows.stop - rows.start, dtype=torch.float64)
        sums.index_add_(1, of, whole.reshape(len(maps), -1)[:, inside].double())  # areas are the same for all classes
        labels[rows] = sums.argmax(0).numpy()
    return labels


def write_first_labels(masks: MaskSet, labels: np.ndarray, folder: str | os.PathLike[str]) -> PseudoLabels:
    """Write masks with other labels, (M,) integers in 0..255, as A²LC reads them, and return how it is told where they
    are.

    Raises:
        ValueError: there are not as many labels as masks, or they are no such integers; a mask id > 65535, which no PNG
            holds, or a name that leads out of `folder`.
    """
    if labels.shape != (len(masks),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: expected {len(masks)} integers, found {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() > 255:
        raise ValueError(f"labels: expected 0 to 255, found {labels.min()} to {labels.max()}")
    objects, maps = Path(folder) / "object_maps", Path(folder) / "labels"
    for name in masks.names:
        values = np.append(labels[masks.rows(name)], masks.uncovered).astype(np.uint8)
        write_label_png(below(objects, f"{name}.png"), masks.object_map(name))
        write_label_png(below(maps, f"{name}.png"), values[masks.index_map(name)])
    return PseudoLabels(kind="folders", object_maps=objects, labels=maps)


def _last_maps(run: ReferringRun, data: ReferringDataset, count: int, device: str) -> Iterator[tuple[str, np.ndarray]]:
    """Of every image that is not labelled the (count, h, w) float32 maps of its sentences, class by class."""
    config, last = run.config, run.config.rounds
    context = context_of(run, data, device)
    network, tokens = context.new_network()
    load_network(network, run.path / f"round_{last:02d}" / MODEL, context.device)
    pairs, batch = context.pairs(context.unknown, tokens), config.training.batch
    weights = np.zeros(len(pairs))
    if last and config.uses_prior:
        weights = run.decisions(last).set_index("sentence_id")["weight"].loc[pairs.numbers].to_numpy()
    found: list[np.ndarray] = []
    for row, logits in predict(network, pairs, range(len(pairs)), batch, context.device):
        said = logits.sigmoid().numpy()
        prior = context.prior(context.unknown, row) if weights[row] else None
        if prior is not None:
            said = fuse(at_size(torch.from_numpy(prior.probabilities()), said.shape).numpy(), said, weights[row])
        found.append(said)
        if len(found) == count:
            yield pairs.images[row], np.stack(found)
            found = []


def _sentences(split: Split, names: Sequence[str]) -> pd.DataFrame:
    """The table of a `ClassSplit`; area and box are 0 where a class does not occur, or nobody knows."""
    rows: list[tuple[object, ...]] = []
    for image in split.names:
        truth = split.ground_truth(image)
        for label, name in enumerate(names):
            there = np.zeros((1, 1), bool) if truth is None else truth == label
            rows.append((len(rows), len(rows), image, sentence_of(name), name, int(there.sum()), *_box_around(there)))
    return table_of(rows)


def _box_around(there: np.ndarray) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of an (H, W) bool mask, right and lower edges outside; all 0 where it is empty."""
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
