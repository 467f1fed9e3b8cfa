"""Suspicious labels of a dataset, without a question or a training: `a2lc.find`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.datasets import Dataset
from a2lc.human.own_dataset import default_features
from a2lc.instant import Instant, mask_features
from a2lc.masks import MaskSet, label_names
from a2lc.pseudo_labels.own_labels import own_label_masks
from a2lc.pseudo_labels.sam_features import any_image_features
from a2lc.segmenter import resolve_device


def find(
    dataset: Dataset,
    masks: MaskSet | None = None,
    *,
    features: str | None = None,
    kept: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """All masks of a labelled dataset, the most suspicious first: score = square root of the pixels, times how likely
    the label is wrong (`a2lc.instant.Instant.suspicion`).

    A mask is suspicious where masks of other images that look like it are labelled otherwise. Labels that are wrong in
    the same way everywhere are not found. (By the likelihood alone, specks come first; by all pixels, large masks of
    which the label is right. What `method: instant` asks about first is another order, which looks at mIoU.)

    Args:
        dataset: its training images, and without `masks` their labels (`Split.pseudo_labels`).
        masks: what is looked at; None: the connected regions of the labels.
        features: see `InstantSettings`; None: the default backbone where its weights are on this machine, else
            ``colour``.
        kept: a folder in which features are kept for the next time; None: nowhere.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress: whether to show bars.

    Returns:
        A row per mask: image, mask_id, row (of the mask table), area (pixels), label and suggestion (class names, or
        void; the suggestion is the likeliest other class), wrong (in [0, 1], how likely the label does not fit; it
        ranks, and is no measured probability) and score (what rows are sorted by).

    Raises:
        TypeError: `dataset` is no Dataset.
        ValueError: an image has no labels, or the device is absent.
        MissingExtraError, FileNotFoundError, OSError: as `mask_features`.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset: expected a Dataset (a2lc.load_dataset), found {type(dataset).__name__}")
    if masks is None:
        masks = own_label_masks(dataset.train, dataset.classes, progress=progress)
    found = mask_features(
        features or default_features(),
        masks,
        dataset.train,
        device=resolve_device(device),
        shared=None if kept is None else kept.parent,
        kept=kept,
        progress=progress,
        source=any_image_features,
    )
    table, names = masks.table, label_names(masks.classes)
    labels, k, every = table["label"].to_numpy(), len(masks.classes), np.arange(len(masks))
    suspicion = Instant(found, masks).suspicion(labels, masks.queried)
    others = suspicion.probabilities.copy()
    others[every, np.minimum(labels, k)] = -1
    best = others.argmax(1)
    suggested = np.where(best == k, masks.classes.ignore_index, best)
    rows = pd.DataFrame(
        {
            "image": table["image"].astype(str),
            "mask_id": table["mask_id"],
            "row": every,
            "area": table["area"],
            "label": [names[label] for label in labels],
            "suggestion": [names[label] for label in suggested],
            "wrong": suspicion.wrong,
            "score": np.sqrt(table["area"]) * suspicion.wrong,
        }
    )
    order = np.lexsort((np.argsort(masks.canonical_order), -rows["score"].to_numpy()))
    return rows.iloc[order].reset_index(drop=True)
