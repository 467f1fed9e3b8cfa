"""The labels that came with the images, cut into masks that can be corrected one by one.

A mask is a connected region of one label; or a superpixel, or a mask of given object maps (SAM's, for instance), which
then carries the label that most of its pixels have. Pixels without a label (void) belong to no mask and stay so, unless
asked for: then they are masks of their own, without a label.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from skimage.measure import label as connected_regions
from tqdm.auto import tqdm

from a2lc.datasets.base import VOID, Classes, Split
from a2lc.datasets.layout import ids_line
from a2lc.files import read_label_png
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.settings import SuperpixelSettings
from a2lc.pseudo_labels.superpixels import superpixels


def own_label_masks(
    split: Split,
    classes: Classes,
    superpixel_settings: SuperpixelSettings | None = None,
    object_maps: Path | None = None,
    min_area: int = 16,
    void: bool = False,
    progress: bool = True,
) -> MaskSet:
    """Cut the labels of every image of a split.

    Args:
        split: images with labels (`Split.pseudo_labels`).
        classes: the class list.
        superpixel_settings: cut the images into superpixels; connected regions of the labels where neither this nor
            `object_maps` is given.
        object_maps: folder of PNGs, one per image, 0 = covered by no mask.
        min_area: smaller masks, in pixels, are left out; their pixels stay as they are.
        void: whether areas without a label are masks, too; of a superpixel or given mask its part without one.
        progress: show a bar.

    Raises:
        ValueError: an image has no labels, or its object map has another size; a file is damaged; of two classes only
            the first occurs, and nobody has told what the values in the files mean.
        FileNotFoundError: an object map, or an image that is cut, is missing.
        ImportError: as `superpixels`.
    """
    maps, labels = {}, {}
    for name in tqdm(split.names, desc="masks", unit="image", leave=False, disable=not progress):
        given = labels_of(split, name)
        if object_maps is not None:
            objects = read_label_png(object_maps / f"{name}.png").astype(np.int32)
            if objects.shape != given.shape:
                raise ValueError(f"{object_maps / name}.png: object map is {objects.shape}, the labels {given.shape}")
        elif superpixel_settings is not None:
            objects = superpixels(split.image(name), superpixel_settings)
        else:
            outside = -1 if void else classes.ignore_index
            objects = connected_regions(given.astype(np.int16), background=outside, connectivity=2).astype(np.int32)
        maps[name], labels[name] = cut(given, objects, classes, min_area, void)
    carried = {label for of_image in labels.values() for label in of_image.values()} - {classes.ignore_index}
    if not carried:
        raise ValueError(f"{split.names[0]} and all others: expected labels to correct, found none but void")
    if not split.ids_are_told and len(classes) == 2 and carried == {0}:
        # black and white masks are often 0 and 255
        (first, second), rest = classes.names, classes.ignore_index
        found = f"the labels hold nothing but 0, {first!r}, and {rest}, void"
        meant = f"where {rest} is {second!r}, '{ids_line({0: first, rest: second})}'"
        other = f"'{ids_line({0: first, 1: second, rest: VOID})}'"
        raise ValueError(f"{found}. Say in dataset.yaml, beside the class list, what is meant: {meant}, else {other}")
    masks = MaskSet.from_maps(classes, split.names, maps, labels)
    masks.uncovered = classes.ignore_index
    return masks


def cut(
    labels: np.ndarray, objects: np.ndarray, classes: Classes, min_area: int = 1, void: bool = False
) -> tuple[np.ndarray, dict[int, int]]:
    """Masks of one image.

    Args:
        labels: (H, W) uint8, 0..K-1 or void.
        objects: (H, W) integers >= 0.
        classes: the class list.
        min_area: masks of fewer pixels, counted among those that have a label or among those that have none, are left
            out.
        void: whether what lies in a mask without a label is a mask, too; its id is larger than all of `objects`.

    Returns:
        (H, W) object map with the same ids in the smallest type that holds them, 0 where there is no label or the mask
        is too small; and the label of each mask, the most frequent one inside, ties to the lower class.
    """
    k = len(classes)
    apart = np.where(objects > 0, objects + int(objects.max()), 0) if void else 0
    objects = np.where(labels < k, objects, apart)
    pairs = objects.ravel().astype(np.int64) * (k + 1) + np.minimum(labels.ravel(), k)
    counts = np.bincount(pairs, minlength=(int(objects.max()) + 1) * (k + 1)).reshape(-1, k + 1)  # (ids, K + 1)
    large = counts.sum(1) >= min_area
    large[0] = False
    kept = np.where(large[objects], objects, 0)
    ids = np.flatnonzero(large)
    carried = np.append(np.arange(k), classes.ignore_index)[counts[ids].argmax(1)]
    label_of = dict(zip(ids.tolist(), carried.tolist(), strict=True))
    return kept.astype(np.min_scalar_type(int(kept.max()))), label_of


def labels_of(split: Split, name: str) -> np.ndarray:
    """(H, W) uint8 labels that came with an image, 0..K-1 or the ignore index.

    Raises:
        ValueError: there are none; or as `Split.pseudo_labels`.
    """
    found = split.pseudo_labels(name)
    if found is None:
        raise ValueError(f"{name}: has no labels to correct (of dataset 'folder': labels/{name}.png)")
    return found


def label_hashes(split: Split) -> dict[str, str]:
    """Image name -> SHA-256 over its labels, the first 16 hexadecimal digits; errors are those of `labels_of`."""
    return {name: hash_of(labels_of(split, name)) for name in split.names}


def hash_of(labels: np.ndarray) -> str:
    """SHA-256 over (H, W) uint8 labels, the first 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()[:16]


def labels_hash(split: Split) -> str:
    """SHA-256 over the labels of all images of a split, the first 16 hexadecimal digits; errors are those of
    `labels_of`."""
    digest = hashlib.sha256()
    for name in split.names:
        digest.update(np.ascontiguousarray(labels_of(split, name)).tobytes())
    return digest.hexdigest()[:16]
