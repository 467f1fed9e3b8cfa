"""Simulated pseudo-labels for datasets that have no Grounded-SAM output: SAM-like masks with systematic wrong labels.

This is a noise model, not a detector: it reads the ground truth. `regions.draw_objects` draws the masks; the label
of a mask whose true class is t is the class c with the largest

    score[c] =   evidence[size]  if c = t
               + LOOK  * how much the mask looks like class c     (linear discriminant on the dataset's own masks)
               + SIZE  * how usual the mask's size is for class c
               + KIN   * how much class t looks like class c      (LOOK's value averaged over the masks of class t)
               + FIELD * a random smooth function of the appearance (one per class and seed)
               + SCENE * a random number per image and class
               + COIN  * a random number per mask and class.

Masks that look alike thus get the same wrong label; only SCENE and COIN follow no appearance. No constant is fitted
on a Data mIoU. What looks alike is decided by colour, place and shape (`mask_appearance`), or, with `looks`, by
features of a network, as among real masks (benchmarks/look_alikes.py).

Which accuracy is met: `evidence` is solved for each size bin, so that as many masks are right as among the real masks
*whose majority is a class*: 40, 17, 34, 68, 81, 82 %. Over all real masks it is 9, 5, 15, 36, 52, 60 %, because
half of them lie on VOC's background or on void. A fully labelled scene has no background for a false detection to
fall on, so that second table does not carry over: it would leave 53 % of the pixels right, while the authors'
released Grounded-SAM labels of Cityscapes have 90.3 % (Data mIoU 50.7 %). Masks on void (or on the background
class, where there is one) are always wrong, as they are in the real data.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_gradient_magnitude
from tqdm.auto import tqdm

from a2lc.datasets.base import Classes, Split
from a2lc.instant.features import ImageFeatures
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.regions import draw_objects
from a2lc.pseudo_labels.statistics import SIZE_EDGES

# Calibration. benchmarks/calibration.py prints the real values and what these constants give.
RIGHT_BY_SIZE = np.array([0.403, 0.175, 0.341, 0.680, 0.809, 0.816])  # real masks on a class, by size bin
# Chosen on CamVid to meet five numbers of the real wrong masks on a class: top_confusion 0.50, alike_in_image 0.58,
# alike_anywhere 0.38, label_follows_size 0.14 (`error_structure`) and 0.22 explained by the label alone (`learnable`).
LOOK, SIZE, KIN, FIELD, SCENE, COIN = 0.5, 1.5, 2.0, 1.6, 0.65, 0.1
FREQUENCIES = 256  # random Fourier features of the field
FIELD_LENGTH = 3.0  # distance over which the field changes, in standard deviations of the features
# With `looks`, chosen on PASCAL VOC to meet how often real wrong masks that look alike to a network agree.
COMPONENTS = 16  # principal components of the network's features
LOOKS_FIELD, LOOKS_LENGTH = 3.0, 6.0  # in place of FIELD and FIELD_LENGTH

COLOUR_FEATURES = ("red", "green", "blue", "contrast", "edges")
FEATURES = (*COLOUR_FEATURES, "row", "column", "log area", "log aspect", "fill", "raggedness")


def simulate_pseudo_labels(
    split: Split, classes: Classes, *, seed: int = 0, looks: ImageFeatures | None = None, progress: bool = True
) -> MaskSet:
    """Draw SAM-like masks with wrong labels over every image of a split.

    Args:
        split: images with ground truth.
        classes: the class list; where it has a background class, no mask is labelled so.
        seed: >= 0; the draw is a function of (seed, split name, position of the image in the split).
        looks: what decides which masks look alike, in place of colour, place and shape.
        progress: show a bar.

    Returns:
        Masks with one label in 0..K-1 each. An image may have none.

    Raises:
        ValueError: an image has no ground truth.
    """
    object_maps, appearance, size, majority = {}, [], [], []
    for position, name in enumerate(tqdm(split.names, desc="simulated pseudo-labels", disable=not progress)):
        image, truth = split.image(name), split.ground_truth(name)
        if truth is None:
            raise ValueError(f"{name}: has no ground truth, which simulated pseudo-labels are made from")
        rng = _generator(seed, split, position)
        objects = draw_objects(image, truth, rng, ignore_index=classes.ignore_index, background=classes.background)
        object_maps[name] = objects.astype(np.uint8 if objects.max() < 256 else np.uint16)  # MaskSet hands out int32
        here = mask_appearance(image, objects)
        size.append(here[:, FEATURES.index("log area")])
        appearance.append(here if looks is None else looks(image, objects.astype(np.int64) - 1, len(here)))
        majority.append(_majority(objects, truth, len(classes)))
    scene = np.repeat(np.arange(len(split.names)), [len(part) for part in majority])
    x, field = _standardised(np.concatenate(appearance)), (FIELD, FIELD_LENGTH)
    if looks is not None:
        x, field = _components(x), (LOOKS_FIELD, LOOKS_LENGTH)
    rng = _generator(seed, split, -1)
    labels = _labels(x, np.concatenate(size), np.concatenate(majority), scene, classes, field, rng)
    tables = {name: dict(enumerate(labels[scene == i].tolist(), start=1)) for i, name in enumerate(split.names)}
    return MaskSet.from_maps(classes, split.names, object_maps, tables)


def mask_appearance(image: NDArray[np.uint8], objects: NDArray[np.int32]) -> NDArray[np.float64]:
    """What a mask looks like, without its class.

    Args:
        image: (H, W, 3) uint8 RGB.
        objects: (H, W) int32 ids 0..n; all of 1..n occur.

    Returns:
        (n, 11) features in the order of `FEATURES`: mean colour in [0, 1], standard deviation and mean gradient of the
        brightness, centre in [0, 1], log10 of the area share, log of width / height, share of the bounding box, log of
        (border pixels + 1) / sqrt(area).
    """
    ids, n = objects.ravel(), int(objects.max()) + 1
    area = np.maximum(np.bincount(ids, minlength=n), 1).astype(np.float64)

    def mean(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(ids, weights=values.ravel(), minlength=n) / area

    colour = image.astype(np.float32) / 255  # (H, W, 3)
    grey = colour.mean(2)
    contrast = np.sqrt(np.maximum(mean(grey**2) - mean(grey) ** 2, 0))
    edges = mean(gaussian_gradient_magnitude(grey, 1.0))
    rows, columns = (
        mean(np.broadcast_to(grid, objects.shape)) for grid in np.ogrid[: objects.shape[0], : objects.shape[1]]
    )
    boxes = [box or (slice(0, 1), slice(0, 1)) for box in find_objects(objects, max_label=n - 1)]
    sides = [[1, 1]] + [[s.stop - s.start for s in box] for box in boxes]  # height, width
    extent = np.array(sides, dtype=np.float64)  # (n+1, 2)
    border = np.zeros(objects.shape, dtype=bool)
    border[:-1] |= objects[:-1] != objects[1:]
    border[:, :-1] |= objects[:, :-1] != objects[:, 1:]
    place = [rows / objects.shape[0], columns / objects.shape[1]]
    ragged = np.log((mean(border) * area + 1) / np.sqrt(area))
    shape = [np.log10(area / ids.size), np.log(extent[:, 1] / extent[:, 0]), area / extent.prod(1), ragged]
    return np.stack([*(mean(colour[..., k]) for k in range(3)), contrast, edges, *place, *shape], axis=1)[1:]


def _generator(seed: int, split: Split, position: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(split.name.encode()), position + 1])


def _majority(objects: NDArray[np.int32], truth: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
    """(n,) most frequent ground truth of masks 1..n; void is class K; ties go to the lowest class."""
    pairs = objects.ravel().astype(np.int64) * (k + 1) + np.minimum(truth.ravel(), k)
    return np.bincount(pairs, minlength=(int(objects.max()) + 1) * (k + 1)).reshape(-1, k + 1)[1:].argmax(1)


def _standardised(appearance: NDArray) -> NDArray[np.float64]:
    """Features (M, F) with mean 0 and deviation 1."""
    x = appearance.astype(np.float64)
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-9) if len(x) else x


def _components(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, C) principal components of standardised features (M, F), with the total variance that `FEATURES` have."""
    if not len(x):
        return x
    parts = x @ np.linalg.svd(x, full_matrices=False)[2][:COMPONENTS].T
    return parts * np.sqrt(len(FEATURES) / max(float(parts.var(0).sum()), 1e-9))


def _labels(
    x: NDArray[np.float64],
    log_area: NDArray[np.float64],
    majority: NDArray[np.int64],
    scene: NDArray[np.int64],
    classes: Classes,
    field: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(M,) pseudo-labels: the largest score.

    Args:
        x: (M, F) what masks look like.
        log_area: (M,) log10 of the area share.
        majority: (M,) true class, K for void.
        scene: (M,) number of the image.
        classes: the class list.
        field: how much the random field weighs, and over which distance it changes.
        rng: draws the field and the noise.
    """
    k, total = len(classes), len(majority)
    if not total:
        return np.zeros(0, dtype=np.int64)
    look = _looks_like(x, majority, k)
    scores = (
        LOOK * look
        + SIZE * _usual_size(log_area, majority, k)
        + KIN * _kin(look, majority)[majority]
        + field[0] * _smooth_field(x, k, field[1], rng)
    )
    scores += SCENE * rng.standard_normal((scene.max() + 1, k))[scene] + COIN * rng.standard_normal((total, k))
    if classes.background is not None and k > 1:
        scores[:, classes.background] = -np.inf
    rows = np.flatnonzero((majority < k) & (majority != classes.background))
    true = majority[rows]
    others = scores[rows].copy()
    others[np.arange(len(rows)), true] = -np.inf
    # (n,) evidence above which a mask is right; -inf where there is no other class
    needed = others.max(1) - scores[rows, true]
    size_bin = np.digitize(10 ** log_area[rows], SIZE_EDGES[1:-1])
    for b, target in enumerate(RIGHT_BY_SIZE):
        here = (size_bin == b) & np.isfinite(needed)
        if here.any():
            scores[rows[here], true[here]] += _evidence(needed[here], target)
    return scores.argmax(1)


def _evidence(needed: NDArray[np.float64], target: float) -> float:
    """Evidence at which the share `target` of masks is right: between the last that is and the first that is not."""
    bounds = np.concatenate([[needed.min() - 2], np.sort(needed), [needed.max() + 2]])
    right = round(target * len(needed))
    return float(bounds[right : right + 2].mean())


def _looks_like(x: NDArray[np.float64], majority: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(M, K) linear discriminant of the true classes with equal priors, zero mean per mask and unit variance overall.

    A class that no mask belongs to looks like nothing: it gets the lowest value of the mask.
    """
    use = majority < k
    known, position = np.unique(majority[use], return_inverse=True)
    if len(known) < 2:
        return np.zeros((len(x), k))
    means = np.stack([x[majority == c].mean(0) for c in known])  # (n, F)
    residual = x[use] - means[position]
    precision = np.linalg.inv(residual.T @ residual / len(residual) + 0.1 * np.eye(x.shape[1]))
    linear = x @ precision @ means.T - 0.5 * ((means @ precision) * means).sum(1)  # (M, n)
    out = np.repeat(linear.min(1, keepdims=True), k, axis=1)
    out[:, known] = linear
    out -= out.mean(1, keepdims=True)
    return out / max(float(out.std()), 1e-9)


def _usual_size(log_area: NDArray[np.float64], majority: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(M, K) log density of a mask's log area among the masks of each class (normal), scaled as `_looks_like`."""
    out = np.full((len(log_area), k), np.nan)
    for c in range(k):
        own = log_area[majority == c]
        if len(own):
            spread = np.hypot(own.std(), 0.3)
            out[:, c] = -0.5 * ((log_area - own.mean()) / spread) ** 2 - np.log(spread)
    out = np.where(np.isnan(out), np.nanmin(out, axis=1, keepdims=True, initial=0), out)
    out -= out.mean(1, keepdims=True)
    return out / max(float(out.std()), 1e-9)


def _kin(look: NDArray[np.float64], majority: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K+1, K) how much the masks of a true class (row K: void) look like the others: 0 for the nearest, else less."""
    k = look.shape[1]
    rows = [look[majority == t].mean(0) if (majority == t).any() else np.zeros(k) for t in range(k + 1)]
    kin = np.stack(rows)
    own = np.eye(k + 1, k, dtype=bool)
    kin -= np.where(own, -np.inf, kin).max(1, keepdims=True, initial=-1e9)
    kin[own] = 0
    return kin / max(float(kin.std()), 1e-9)


def _smooth_field(x: NDArray[np.float64], k: int, length: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(M, K) random smooth functions of unit variance, which change over a distance of `length`: random
    Fourier features (Rahimi and Recht 2007)."""
    omega = rng.standard_normal((x.shape[1], FREQUENCIES)) / length
    waves = np.cos(x @ omega + rng.uniform(0, 2 * np.pi, FREQUENCIES)) * np.sqrt(2 / FREQUENCIES)
    return waves @ rng.standard_normal((FREQUENCIES, k))
