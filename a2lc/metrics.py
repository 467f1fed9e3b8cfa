"""Data mIoU, Model mIoU and overall accuracy.

Because a mask carries one label, the confusion matrix of a whole dataset is a sum over masks of their ground-truth
histograms. These are counted once (`truth_histogram`); after that the Data mIoU of any round costs one small matrix
product and no image is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from a2lc.datasets.base import Classes, Dataset, Split
from a2lc.masks import MaskSet


@dataclass(frozen=True)
class SegmentationMetrics:
    """What a confusion matrix says of labels or predictions.

    Attributes:
        miou: mean IoU in [0, 1] over the classes that occur in labels or ground truth; NaN where no pixel is counted.
        per_class: (K,) IoU in [0, 1]; NaN for classes that occur in neither.
        accuracy: share of counted pixels that are right, in [0, 1]; NaN where none is counted.
    """

    miou: float
    per_class: np.ndarray
    accuracy: float


def confusion_matrix(labels: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64 pixel counts, rows = ground truth, columns = labels; pixels where either is outside 0..K-1 are
    left out.

    Source: the released code, ``metrics/stream_metrics.py`` of ngbrjyj/A2LC.

    Args:
        labels: (H, W) integers.
        truth: (H, W) integers.
        num_classes: K.

    Raises:
        ValueError: labels and ground truth differ in size, or are no integers.
    """
    for name, found in (("labels", labels), ("truth", truth)):
        if found.dtype.kind not in "iu":
            raise ValueError(f"{name}: expected integers, found {found.dtype}")
    if labels.shape != truth.shape:
        raise ValueError(f"labels and ground truth differ in size: {labels.shape} and {truth.shape}")
    valid = (labels >= 0) & (labels < num_classes) & (truth >= 0) & (truth < num_classes)
    pairs = truth[valid].astype(np.int64) * num_classes + labels[valid].astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def segmentation_metrics(confusion: np.ndarray) -> SegmentationMetrics:
    """IoU = intersection / union per class and their mean (Everingham et al. 2015), of a `confusion_matrix` (K, K)."""
    hits = np.diag(confusion).astype(float)
    union = confusion.sum(0) + confusion.sum(1) - hits
    per_class = np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
    total = confusion.sum()
    miou = float(np.nanmean(per_class)) if (union > 0).any() else float("nan")
    return SegmentationMetrics(miou, per_class, float(hits.sum() / total) if total else float("nan"))


@dataclass(frozen=True)
class TruthHistogram:
    """Ground truth counted per mask: what the oracle answers and what every Data mIoU is computed from.

    Attributes:
        counts: (M, K+1) int32 pixels of each class in each mask; the last column is void.
        majority: (M,) uint8 most frequent ground truth of each mask, the ignore index for void; ties go to the class
            met first in raster order.
        uncovered: (K+1,) int64 pixels of each class that no mask covers.
    """

    counts: np.ndarray
    majority: np.ndarray
    uncovered: np.ndarray

    def data_metrics(self, masks: MaskSet) -> SegmentationMetrics:
        """Data mIoU of the current labels of the M masks against the ground truth, without reading an image."""
        k = self.counts.shape[1] - 1
        by_label = np.zeros((256, k), dtype=np.int64)  # (label, ground truth)
        np.add.at(by_label, masks.table["label"].to_numpy(), self.counts[:, :k])
        by_label[masks.uncovered] += self.uncovered[:k]
        return segmentation_metrics(by_label[:k].T)

    def ceiling(self, masks: MaskSet) -> SegmentationMetrics:
        """What correcting whole masks can reach: the metrics when each mask carries its most frequent ground truth."""
        every = np.arange(len(masks))
        return self.data_metrics(masks.relabel(every, self.majority, source="annotator", round=1))


def truth_histogram(masks: MaskSet, split: Split) -> TruthHistogram:
    """Count the ground truth inside every mask, reading each image's ground truth once.

    Args:
        masks: M masks over N images.
        split: the split these images come from.

    Raises:
        ValueError: an image has no ground truth, or its size differs from the object map's.
        TypeError: `split` is a whole dataset.
    """
    if isinstance(split, Dataset):
        raise TypeError("split: expected a Split such as dataset.train, found a Dataset")
    counts = np.zeros((len(masks), len(masks.classes) + 1), dtype=np.int32)  # kept during the whole run
    majority = np.full(len(masks), masks.classes.ignore_index, dtype=np.uint8)
    uncovered = np.zeros(counts.shape[1], dtype=np.int64)
    for name in masks.names:
        truth = split.ground_truth(name)
        if truth is None:
            raise ValueError(f"{name}: has no ground truth, so neither an oracle nor Data mIoU is possible")
        of_image = image_histogram(masks, name, truth)
        counts[masks.rows(name)], majority[masks.rows(name)] = of_image.counts, of_image.majority
        uncovered += of_image.uncovered
    return TruthHistogram(counts, majority, uncovered)


def image_histogram(masks: MaskSet, name: str, truth: np.ndarray) -> TruthHistogram:
    """The same for the n masks of one image, in table order.

    Args:
        masks: the masks.
        name: the image.
        truth: (H, W) uint8 its ground truth.

    Raises:
        ValueError: no such image, or sizes differ.
    """
    index, rows = masks.index_map(name), masks.rows(name)
    if truth.shape != index.shape:
        raise ValueError(f"{name}: ground truth is {truth.shape}, its object map is {index.shape}")
    return TruthHistogram(*_count(index.ravel(), truth.ravel(), rows.stop - rows.start, masks.classes))


def _count(index: np.ndarray, truth: np.ndarray, n: int, classes: Classes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k, void = len(classes), classes.ignore_index
    values = np.minimum(truth, k).astype(np.int64)  # void becomes the last column
    counts = np.bincount((index + 1) * (k + 1) + values, minlength=(n + 1) * (k + 1)).reshape(n + 1, k + 1)
    best = counts[1:].max(1, keepdims=True)
    majority = counts[1:].argmax(1)
    tied = np.flatnonzero((counts[1:] == best).sum(1) > 1)
    for row in tied:  # rare: the first of the tied classes in raster order
        inside = values[index == row]
        candidates = np.flatnonzero(counts[1 + row] == best[row])
        majority[row] = inside[np.isin(inside, candidates)][0]
    return counts[1:], np.where(majority == k, void, majority).astype(np.uint8), counts[0]


def data_miou(masks: MaskSet, split: Split) -> float:
    """Mean IoU in [0, 1] of the pseudo-labels against the ground truth of `split`; void and unlabelled pixels are not
    counted, and where nothing is left the result is NaN.

    Raises:
        ValueError: an image has no ground truth, or its size differs from the object map's.
        TypeError: `split` is a whole dataset.
    """
    return truth_histogram(masks, split).data_metrics(masks).miou


def prediction_metrics(
    predictions: Iterable[tuple[str, np.ndarray]], split: Split, num_classes: int
) -> SegmentationMetrics:
    """Model mIoU: predicted label maps against the ground truth of `split`.

    Args:
        predictions: image name and (H, W) integers; those outside 0..K-1 are not counted.
        split: where the ground truth is read.
        num_classes: K.

    Raises:
        ValueError: an image has no ground truth, or its prediction another size.
    """
    total = np.zeros((num_classes, num_classes), dtype=np.int64)
    for name, labels in predictions:
        truth = split.ground_truth(name)
        if truth is None:
            raise ValueError(f"{name}: has no ground truth, so Model mIoU cannot be computed")
        total += confusion_matrix(labels, truth, num_classes)
    return segmentation_metrics(total)
