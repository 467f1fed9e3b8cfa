"""What `benchmarks/instant.py` changes about `method: instant`: features, what judges a label, the order, constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import find_objects, maximum_filter, minimum_filter
from scipy.special import logit
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestNeighbors
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.instant import Instant, Suspicion
from a2lc.instant.features import averages
from a2lc.instant.regressions import ANSWER, FIRST_LABEL, PRESENT
from a2lc.instant.settings import COLOUR
from a2lc.masks import MaskSet
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.backbones import Backbone, features_only
from a2lc.segmenter.frozen import FrozenSegmenter
from a2lc.segmenter.frozen_parts import OUTPUT_STRIDE, STRIDES, FrozenBackbone

LITE0 = "tf_efficientnet_lite0"
NEAREST = 20  # masks of other images that vote
BORDER, RING = 4, 16  # pixels: of a mask within so many from its edge; around it
LEAST = 1e-3  # of a probability whose log-odds are taken
KAPPA = 0.5  # guessed IoU of a class, in the first-order payoff


# ------------------------------------------------------------------------------------------------- what judges a label
class ByNeighbours(Instant):
    """Suspicion by the votes of the most similar masks of other images, by cosine similarity."""

    _near: np.ndarray | None = None  # (M, NEAREST)

    def _likely(self, labels: np.ndarray, answered: np.ndarray, usable: np.ndarray) -> np.ndarray:
        every = np.arange(len(labels))
        if self._near is None:
            self._near = np.zeros((len(labels), NEAREST), np.int64)
            for fold in range(int(self._fold.max()) + 1):
                held, others = np.flatnonzero(self._fold == fold), np.flatnonzero(self._fold != fold)
                index = NearestNeighbors(n_neighbors=NEAREST, metric="cosine").fit(self._inputs(others))
                self._near[held] = others[index.kneighbors(self._inputs(held), return_distance=False)]
        votes = np.full((len(labels), self.void + 1), 1 / (self.void + 1), np.float32)
        weights = np.where(answered, ANSWER, 1.0) * usable
        np.add.at(votes, (every[:, None], labels[self._near]), weights[self._near])
        return votes / votes.sum(1, keepdims=True)


class ByRidge(Instant):
    """Suspicion by ridge regression on the classes' indicators, its predictions cut to [0, 1]."""

    def _likely(self, labels: np.ndarray, answered: np.ndarray, usable: np.ndarray) -> np.ndarray:
        weights, classes = np.where(answered, ANSWER, 1.0) * usable, np.eye(self.void + 1, dtype=np.float32)[labels]
        found = np.zeros_like(classes)
        for fold in range(int(self._fold.max()) + 1):
            held, others = np.flatnonzero(self._fold == fold), np.flatnonzero(self._fold != fold)
            learnt = self._at_most(others, answered)
            model = Ridge(alpha=1 / PRESENT).fit(self._inputs(learnt), classes[learnt], weights[learnt])
            found[held] = np.clip(model.predict(self._inputs(held)), LEAST, 1)
        return found / found.sum(1, keepdims=True)


class Calibrated(Instant):
    """Suspicion whose probabilities are corrected by what answers say of them, by size."""

    def suspicion(self, labels: np.ndarray, answered: np.ndarray, discarded: np.ndarray | None = None) -> Suspicion:
        found = super().suspicion(labels, answered, discarded)
        now, rows = self.classes(labels), np.flatnonzero(answered)
        wrong = now[rows] != self.first[rows]
        if len(rows) < NEAREST or wrong.all() or not wrong.any():
            return found

        def covariates(masks: np.ndarray, classes: np.ndarray) -> np.ndarray:
            likely = np.clip(found.probabilities[masks, classes], LEAST, 1 - LEAST)
            return np.column_stack([-logit(likely), self._size[masks, 0]])

        model = LogisticRegression(C=1.0).fit(covariates(rows, self.first[rows]), wrong)
        chance = model.predict_proba(covariates(np.arange(len(now)), now))[:, 1]
        return replace(found, scores=found.scores / np.maximum(found.wrong, 1e-12) * chance)


class ByPayoff(Instant):
    """The order by the expected gain in Data mIoU, to first order: a mask of a pixels that changes from class o to c
    adds a / N_c + KAPPA a / N_o, where N counts the pixels that carry a class now."""

    def suspicion(self, labels: np.ndarray, answered: np.ndarray, discarded: np.ndarray | None = None) -> Suspicion:
        found, now = super().suspicion(labels, answered, discarded), self.classes(labels)
        pixels = np.bincount(now, weights=self.area, minlength=self.void + 1)
        share = 1 / (pixels + 0.001 * self.area.sum())
        share[self.void] = 0  # void counts nowhere
        likely = found.probabilities.copy()
        likely[np.arange(len(now)), now] = 0
        return replace(found, scores=self.area * (likely @ share + KAPPA * found.wrong * share[now]))


class WithAnswersOfImage(Instant):
    """Corrections that also see which classes were answered about other masks of the image."""

    def __init__(self, features: np.ndarray, masks: MaskSet, seed: int = 0) -> None:
        super().__init__(features, masks, seed)
        self._image, self._own = masks.table["image"].cat.codes.to_numpy(), np.full(len(masks), -1)

    def predictions(self, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
        self._own[rows] = self.classes(answers)
        return super().predictions(rows, answers)

    def _with_label(self, rows: np.ndarray) -> np.ndarray:
        answered = np.flatnonzero(self._own >= 0)
        counts = np.zeros((int(self._image.max()) + 1, self.void + 1), np.float32)
        np.add.at(counts, (self._image[answered], self._own[answered]), 1)
        of_image = counts[self._image[rows]]
        mine = np.flatnonzero(self._own[rows] >= 0)
        of_image[mine, self._own[rows][mine]] -= 1
        return np.hstack([super()._with_label(rows), FIRST_LABEL * (of_image > 0)])

    def _predict(self, regression: Any, rows: np.ndarray, into: np.ndarray, with_label: bool = False) -> None:
        if not with_label:
            return super()._predict(regression, rows, into)
        into[rows[:, None], regression.classes] = regression.probabilities(self._with_label(rows))


# ------------------------------------------------------------------------------------------------------------ features
Pooled = Callable[[list[np.ndarray], np.ndarray, int], np.ndarray]
"""Maps (C, h, w) of an image's stages, (H, W) position of each pixel's mask or -1, n masks -> (n, F)."""


def mean(maps: list[np.ndarray], index: np.ndarray, n: int) -> np.ndarray:
    return np.hstack([averages(stage, index, n) for stage in maps])


def with_deviation(maps: list[np.ndarray], index: np.ndarray, n: int) -> np.ndarray:
    middle, squares = mean(maps, index, n), mean([stage**2 for stage in maps], index, n)
    return np.hstack([middle, np.sqrt(np.maximum(squares - middle**2, 0))])


def border_and_inside(maps: list[np.ndarray], index: np.ndarray, n: int) -> np.ndarray:
    """Of a mask that is all border, both are the border's."""
    size = 2 * BORDER + 1
    inner = minimum_filter(index, size, mode="nearest") == maximum_filter(index, size, mode="nearest")
    border, inside = (mean(maps, np.where(part, index, -1), n) for part in (~inner, inner))
    here, there = (np.bincount(index[part & (index >= 0)], minlength=n)[:, None] > 0 for part in (~inner, inner))
    return np.hstack([np.where(here, border, inside), np.where(there, inside, border)])


def with_ring(maps: list[np.ndarray], index: np.ndarray, n: int) -> np.ndarray:
    """Beside the mask's own, the mean over what lies within `RING` pixels around it."""
    around = np.zeros((n, sum(len(stage) for stage in maps)), np.float32)
    for mask, box in enumerate(find_objects(index + 1, n)):
        box = tuple(slice(max(0, side.start - RING), side.stop + RING) for side in box)
        inside = index[box] == mask
        ring = np.full(index.shape, -1)
        ring[box] = np.where(maximum_filter(inside, 2 * RING + 1) & ~inside, 0, -1)
        if (ring == 0).any():
            around[mask] = mean(maps, ring, 1)[0]
    return np.hstack([mean(maps, index, n), around])


def with_image(maps: list[np.ndarray], index: np.ndarray, n: int) -> np.ndarray:
    whole = np.concatenate([stage.mean((1, 2)) for stage in maps])
    return np.hstack([mean(maps, index, n), np.broadcast_to(whole, (n, len(whole)))])


def pooled(pool: Pooled, masks: MaskSet, split: Split, shared: Path, random: bool = False) -> np.ndarray:
    """(M, F) float16: features of `LITE0` in other ways than `a2lc.instant.mask_features`.

    Args:
        pool: how maps become features of masks.
        masks: the masks.
        split: where the images are read.
        shared: where features of whole images are kept.
        random: whether the backbone has timm's random weights instead of those that know ImageNet.
    """
    backbone = FrozenBackbone(SegmenterSettings(network="frozen", backbone=LITE0), torch.device("cpu"), shared)
    if random:
        network = Backbone(LITE0, STRIDES, OUTPUT_STRIDE, backbone.weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network.network = features_only(
                LITE0, OUTPUT_STRIDE, out_indices=tuple(network.network.feature_info.out_indices)
            )
        backbone._network = network.eval()
    parts = []
    for name in tqdm(masks.names, desc="features of masks", unit="image", leave=False, mininterval=1):
        image, rows = split.image(name), masks.rows(name)
        maps = backbone._compute(image) if random else [stage[0].numpy() for stage in backbone.maps(image)]
        found = pool(maps, masks.index_map(name), rows.stop - rows.start)
        parts.append(found.astype(np.float32 if random else np.float16))
    return np.concatenate(parts)


def fine_tuned(features: np.ndarray, masks: MaskSet, split: Split, shared: Path, seed: int) -> np.ndarray:
    """(M, F + 192) float16: beside the features (M, F), what the last layer sees of a frozen segmenter that was trained
    on the masks' labels as they are; other arguments as of `pooled`."""
    model = FrozenSegmenter(SegmenterSettings(network="frozen"), len(masks.classes), torch.device("cpu"), shared)
    model.fit(split, masks.label_map, seed=seed, progress=False)
    assert model.head is not None
    parts = []
    with torch.inference_mode():
        for name in masks.names:
            seen = model.head.features(model.extractor.maps(split.image(name)))[0].numpy()
            rows = masks.rows(name)
            parts.append(averages(seen, masks.index_map(name), rows.stop - rows.start).astype(np.float16))
    return np.hstack([features, np.concatenate(parts)])


# ------------------------------------------------------------------------------------------------------------ the rows
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "tf_efficientnet_lite1": {"features": "tf_efficientnet_lite1"},
    "tf_efficientnet_lite2": {"features": "tf_efficientnet_lite2"},
    "random weights": {"pool": mean, "random": True},
    "colour": {"features": COLOUR},
    "mean and deviation": {"pool": with_deviation},
    "border and inside apart": {"pool": border_and_inside},
    f"with a ring of {RING} pixels": {"pool": with_ring},
    "with the whole image": {"pool": with_image},
    f"{NEAREST} nearest neighbours": {"judge": ByNeighbours},
    "ridge regression": {"judge": ByRidge},
    "calibrated by answers": {"judge": Calibrated},
    "first-order change of mIoU": {"judge": ByPayoff},
    "answers of the same image": {"judge": WithAnswersOfImage},
    "a tenth of the questions at random": {"explore": 0.1},
    "features fine-tuned once, after round 1": {"tuned": fine_tuned},
    "five folds": {"FOLDS": 5},
    "a stronger prior, answers count less": {"PRESENT": 0.005, "ANSWER": 20.0},
    "answers count as other labels": {"ANSWER": 1.0},
    "without the first label": {"FIRST_LABEL": 0.0},
    "corrections from 0.7, whatever held-out answers say": {"SURE": (0.7,), "DOUBT": -1e6},
    "corrections from 0.5 on": {"SURE": (0.5, 0.6, 0.7, 0.8, 0.9)},
    "corrections from 0.9 on": {"SURE": (0.9,)},
    "without corrections": {"corrects": False},
    "a new order per round": {"steps": 5},
}
"""Row of the table -> what differs: features of a backbone or `colour`; `pool`, and `random` weights; `tuned` ones
after the first round; what judges; the share that is asked at random; how often there is a new order; whether masks are
corrected; constants, in capitals."""
