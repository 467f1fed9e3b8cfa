"""Where initial masks come from: folders of files, the images' own labels, superpixels, the ground truth, or the
simulation."""

from __future__ import annotations

import numpy as np

from a2lc.datasets import Dataset
from a2lc.instant.features import image_features
from a2lc.instant.settings import COLOUR
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.own_labels import own_label_masks
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.pseudo_labels.simulated import simulate_pseudo_labels
from a2lc.pseudo_labels.superpixels import partition


def make_masks(given: PseudoLabels, dataset: Dataset, progress: bool = True) -> MaskSet:
    """Masks of the training images with their first labels, from the source that `given` names.

    Args:
        given: the source; folders of both object maps and labels win over the kind.
        dataset: its training images, with the ground truth or labels that the source needs.
        progress: whether to show progress bars.

    Returns:
        A mask set of the training images, in their order.

    Raises:
        MissingExtraError: timm is missing, which `given.looks` needs.
        FileNotFoundError: a folder or file of masks is missing, or the weights of `given.looks`.
        ValueError: masks or labels do not fit the images (`MaskSet.from_folders`, `own_label_masks`), or an image lacks
            the ground truth or the labels that masks are made from.
    """
    train, classes = dataset.train, dataset.classes
    if given.object_maps is not None and given.labels is not None:
        return MaskSet.from_folders(given.object_maps, given.labels, classes, train.names)
    if given.kind == "own_labels":
        cutting = (given.superpixels, given.object_maps, given.min_area, given.void)
        return own_label_masks(train, classes, *cutting, progress)
    if given.superpixels is not None:
        return partition(train, classes, given.superpixels, progress=progress)
    if given.kind == "ground_truth":
        return true_labels(dataset)
    looks = None if given.looks == COLOUR else image_features(given.looks)[0]
    return simulate_pseudo_labels(train, classes, seed=given.seed, looks=looks, progress=progress)


def true_labels(dataset: Dataset) -> MaskSet:
    """The ground truth of the training images: a mask per class that occurs, its id the class plus 1; void is covered
    by none and unlabelled.

    Raises:
        ValueError: an image has no ground truth.
    """
    maps, k = {}, len(dataset.classes)
    for name in dataset.train.names:
        truth = dataset.train.ground_truth(name)
        if truth is None:
            raise ValueError(f"{name}: has no ground truth to train on")
        maps[name] = np.where(truth < k, truth.astype(np.int32) + 1, 0)
    labels = dict.fromkeys(dataset.train.names, {c + 1: c for c in range(k)})
    masks = MaskSet.from_maps(dataset.classes, dataset.train.names, maps, labels)
    masks.uncovered = dataset.classes.ignore_index
    return masks
