"""Statistics of a whole dataset: every image is predicted once and reduced to numbers per mask at once."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from tqdm.auto import tqdm

from a2lc.acquisition.one_pass import statistics_of_masks
from a2lc.acquisition.penultimate import with_penultimate_features
from a2lc.acquisition.settings import UNCERTAINTY, Need
from a2lc.acquisition.squash import predict_squashed
from a2lc.acquisition.statistics import MaskStatistics
from a2lc.datasets import Split
from a2lc.masks import MaskSet
from a2lc.segmenter import Segmenter, with_features
from a2lc.segmenter.processes import in_all_processes


def gather_statistics(
    model: Segmenter,
    split: Split,
    masks: MaskSet,
    class_weights: np.ndarray,
    needs: Collection[Need] = (UNCERTAINTY,),
    *,
    ref_squash: bool = False,
    penultimate: bool = False,
    progress: bool = True,
) -> tuple[MaskStatistics, float]:
    """Predict every image once and reduce it to per-mask statistics at once; no softmax map outlives its image. Where
    ``torchrun`` started several processes, each does so for its share of the images.

    Args:
        model: the segmenter of the last round.
        split: where the images are read.
        masks: M masks with their current labels.
        class_weights: (K,) weights of Eq. 9.
        needs: as in `mask_statistics`.
        ref_squash: take everything but the feature from a second prediction, of the squashed image
            (`predict_squashed`).
        penultimate: take SIM, ABC and the feature from what the network's last layer sees
            (`with_penultimate_features`); at the image's own size.
        progress: whether to show a progress bar.

    Returns:
        Statistics of all M masks in table order, and the seconds spent in reading and predicting images, of several
        processes (``torchrun``) those of the slowest.

    Raises:
        FloatingPointError: the model says something that is no number; names the image.
        ValueError: as `mask_statistics`; the split has no such image; `penultimate` of a model without features.
    """
    about = model, split, masks, class_weights, tuple(needs), ref_squash, penultimate, progress
    parts = in_all_processes(partial(_statistics, *about))
    if len(parts) == 1:
        return parts[0]
    every, seconds = MaskStatistics.like(parts[0][0], len(masks)), 0.0
    for number, (part, took) in enumerate(parts):
        every.put(_rows(masks, _share(masks, number, len(parts))), part)
        seconds = max(seconds, took)
    return every, seconds


def _statistics(
    model: Segmenter,
    split: Split,
    masks: MaskSet,
    class_weights: np.ndarray,
    needs: Collection[Need],
    ref_squash: bool,
    penultimate: bool,
    progress: bool,
    number: int,
    count: int,
) -> tuple[MaskStatistics, float]:
    """Those of the masks of one of `count` shares of the images, and the seconds spent in reading and predicting."""
    names = _share(masks, number, count)
    mine, every = _rows(masks, names), None
    predicting, void = 0.0, masks.classes.ignore_index
    shown = progress and number == 0
    for name in tqdm(names, desc="scoring", leave=False, unit="image", mininterval=1, disable=not shown):
        start = time.perf_counter()
        image = split.image(name)
        native = model.predict(image)
        probs = predict_squashed(model, image) if ref_squash else native
        if not all(p.sum(dtype=torch.float32).isfinite() for p in {native, probs}):  # faster than of each pixel
            what = "expected probabilities of the model, found NaN or infinity: have its weights diverged?"
            raise FloatingPointError(f"{name}: {what}")
        predicting += time.perf_counter() - start
        index = masks.index_map(name)
        labels = masks.labels_of(name)
        part = statistics_of_masks(probs, index, labels, class_weights, needs, void)
        if ref_squash:
            part = replace(part, feature=statistics_of_masks(native, index, labels, None, (), void).feature)
        if penultimate:
            features = with_features(model).features(image)
            part = with_penultimate_features(part, features, native, index, labels[index], class_weights)
        every = MaskStatistics.like(part, mine.stop - mine.start) if every is None else every
        rows = masks.rows(name)
        every.put(slice(rows.start - mine.start, rows.stop - mine.start), part)
    assert every is not None  # no share is empty
    return every, predicting


def _share(masks: MaskSet, number: int, count: int) -> tuple[str, ...]:
    """The names of the images of one of `count` shares, which follow each other in the table; with fewer images than
    shares, the last one again for the others."""
    names = masks.names
    first = len(names) * number // count
    return names[first : len(names) * (number + 1) // count] or names[-1:]


def _rows(masks: MaskSet, names: tuple[str, ...]) -> slice:
    return slice(masks.rows(names[0]).start, masks.rows(names[-1]).stop)
