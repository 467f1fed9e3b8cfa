"""Statistics of a whole dataset: every image is predicted once and reduced to numbers per mask at once."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

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
    """Predict every image once and reduce it to per-mask statistics at once; no softmax map outlives its image.

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
        Statistics of all M masks in table order, and the seconds spent in reading and predicting images.

    Raises:
        FloatingPointError: the model says something that is no number; names the image.
        ValueError: as `mask_statistics`; the split has no such image; `penultimate` of a model without features.
    """
    every: MaskStatistics | None = None
    predicting, void = 0.0, masks.classes.ignore_index
    for name in tqdm(masks.names, desc="scoring", leave=False, unit="image", mininterval=1, disable=not progress):
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
        every = MaskStatistics.like(part, len(masks)) if every is None else every
        every.put(masks.rows(name), part)
    assert every is not None  # there is no MaskSet without images
    return every, predicting
