"""Regions as Segment Anything leaves them: ground truth and image in, an object map out.

Real Grounded-SAM masks have three traits that are kept here: most are small (parts and details, painted over the large
ones), borders are a little ragged, and some objects are missed. Constants are shares of the image's area or of its
side sqrt(H * W), so that one set serves every resolution; masks below `SMALLEST` pixels cannot exist, so on small
images the smallest of the real sizes are missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import label as connected_components

# Calibration. benchmarks/calibration.py prints each number, real beside simulated.
# (1) Read off the 5,670 real masks: log10 of a mask's share of the image at its quantiles 0, 5, ..., 100 %; void and
# background left uncovered (52 % of void and 14 % of VOC's background are covered).
LOG_AREA_SHARE = np.array(
    [-5.40, -4.57, -3.94, -3.60, -3.39, -3.20, -3.03, -2.88, -2.72, -2.56, -2.39]
    + [-2.22, -2.02, -1.82, -1.64, -1.46, -1.25, -1.04, -0.82, -0.58, -0.04]
)
MISSED_VOID, MISSED_BACKGROUND = 0.48, 0.86
# (2) Chosen on CamVid so that size and coverage (94 % of the foreground) come near the real ones, and so that with
# every label corrected the masks would score as the real ones would: Data mIoU 0.90, pixel accuracy 0.978. Purity
# is compared without void (0.976): VOC draws void around every object, other datasets do not.
OBJECT_SHARE = 5e-3  # connected components of the truth above this are objects; smaller masks come from a pool
CUT = 0.15  # share of objects that come in parts
PART_SHARE = 4e-2  # a part of at least this stands for itself
MISSED = 0.02  # share of other objects missed; small ones that are never drawn make up the rest of the 6 %
MERGED = 0.03  # share of objects swallowed by a neighbour
BORDER_SHIFT = 0.0015  # displacement of borders (standard deviation), in sqrt(H * W)
SHIFT_SCALE = 0.008  # length over which the displacement changes
COMPONENT, INSIDE = 0.5, 0.4  # small masks: whole small objects, parts within an object; the rest: parts across objects
PART_SCALES = (0.003, 0.008, 0.02)  # smoothing of the image that yields parts of different sizes
PART_LEVELS = 7  # brightness levels at which parts are cut
SMALLEST = 3  # pixels


def draw_objects(
    image: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    ignore_index: int,
    background: int | None,
) -> NDArray[np.int32]:
    """Draw one image's object map.

    Args:
        image: (H, W, 3) uint8 RGB.
        truth: (H, W) uint8 ground truth.
        rng: decides everything that the image and the truth do not.
        ignore_index: void in `truth`.
        background: the class that real masks seldom cover, or None.

    Returns:
        (H, W) int32: 0 = covered by no mask, ids 1, 2, ... without gaps.
    """
    components = _components(truth)
    parts = [_parts(image, scale, rng) for scale in PART_SCALES]
    objects = _large_objects(components, parts[-1], rng)
    areas = np.bincount(objects.ravel())[1:]
    small = _share_of_small() / (1 - _share_of_small()) * len(areas)  # how many small masks the real sizes ask for
    rates = {ignore_index: MISSED_VOID, -1 if background is None else background: MISSED_BACKGROUND}
    canvas = _merge(_miss(objects, truth, rates, rng), rng)
    canvas = _paint_small(canvas, components, parts, small, rng)
    return _consecutive(_ragged(canvas, rng))


def _components(values: NDArray) -> NDArray[np.int32]:
    """Connected patches of equal value, (H, W) ids from 1; no value is special."""
    return connected_components(values.astype(np.int64), background=-1, connectivity=1).astype(np.int32)


def _consecutive(ids: NDArray) -> NDArray[np.int32]:
    """Renumber to 0, 1, 2, ... without gaps; 0 stays 0."""
    present = np.bincount(ids.ravel()) > 0
    present[0] = False
    return np.where(present, np.cumsum(present), 0).astype(np.int32)[ids]


def _quantile(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area share at quantile u of the real masks."""
    return 10 ** np.interp(u, np.linspace(0, 1, len(LOG_AREA_SHARE)), LOG_AREA_SHARE)


def _share_of_small() -> float:
    """Share of the real masks that are smaller than OBJECT_SHARE."""
    return float(np.interp(np.log10(OBJECT_SHARE), LOG_AREA_SHARE, np.linspace(0, 1, len(LOG_AREA_SHARE))))


def _parts(image: NDArray[np.uint8], scale: float, rng: np.random.Generator) -> NDArray[np.int32]:
    """(H, W) patches of like brightness in the smoothed image: windows, shadows, stripes."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = gaussian_filter(grey, scale * np.sqrt(grey.size))
    cuts = np.quantile(grey, (np.arange(PART_LEVELS) + rng.random()) / PART_LEVELS)
    return _components(np.digitize(grey, cuts))


def _large_objects(
    components: NDArray[np.int32], coarse: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Components of at least OBJECT_SHARE; in some, every part of PART_SHARE stands for itself, the rest stays one."""
    large = np.bincount(components.ravel()) >= OBJECT_SHARE * components.size
    cut = large & (rng.random(len(large)) < CUT)
    pieces = _components(components * np.int64(coarse.max() + 1) + coarse)
    big_piece = np.bincount(pieces.ravel()) >= PART_SHARE * components.size
    own = big_piece[pieces] & cut[components]
    return _consecutive(np.where(own, len(large) + pieces, np.where(large[components], components, 0)))


def _miss(
    objects: NDArray[np.int32], truth: NDArray[np.uint8], rates: dict[int, float], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Leave objects out, at a rate by class."""
    owner = np.zeros(int(objects.max()) + 1, dtype=np.int64)
    owner[objects.ravel()] = truth.ravel()
    rate = np.array([rates.get(int(value), MISSED) for value in owner])
    return np.where((rng.random(len(owner)) >= rate)[objects], objects, 0)


def _merge(objects: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Let some objects be swallowed by the neighbour they share the longest border with."""
    n = int(objects.max()) + 1
    contact = np.zeros((n, n), dtype=np.int64)  # pixels along common borders
    for a, b in ((objects[1:], objects[:-1]), (objects[:, 1:], objects[:, :-1])):
        contact += np.bincount((a.astype(np.int64) * n + b).ravel(), minlength=n * n).reshape(n, n)
    contact = contact + contact.T
    contact[:, 0] = 0
    np.fill_diagonal(contact, 0)
    merged = (rng.random(n) < MERGED) & (contact.max(1) > 0)
    merged[0] = False
    return np.where(merged, contact.argmax(1), np.arange(n)).astype(np.int32)[objects]


def _paint_small(
    canvas: NDArray[np.int32],
    components: NDArray[np.int32],
    parts: list[NDArray[np.int32]],
    number: float,
    rng: np.random.Generator,
) -> NDArray[np.int32]:
    """Paint about `number` masks smaller than OBJECT_SHARE, the largest first, with the real sizes."""
    inside = [_components(components * np.int64(part.max() + 1) + part) for part in parts]
    kinds = [[components], inside, parts]
    areas = [[np.bincount(layer.ravel()) for layer in layers] for layers in kinds]
    wanted = _quantile(rng.random(int(number + rng.random())) * _share_of_small()) * canvas.size
    canvas, next_id = canvas.copy(), int(canvas.max()) + 1
    for size in -np.sort(-wanted):
        kind = int(np.searchsorted([COMPONENT, COMPONENT + INSIDE], rng.random(), side="right"))
        layer = int(rng.integers(len(kinds[kind])))
        region = _nearest_size(areas[kind][layer], size, rng)
        if region is not None:
            canvas[kinds[kind][layer] == region] = next_id
            next_id += 1
    return canvas


def _nearest_size(areas: NDArray[np.int64], size: float, rng: np.random.Generator) -> int | None:
    """A random region within a factor 1.5 of the wanted size, else the nearest; None where all are far from it."""
    distance = np.abs(np.log(np.maximum(areas, 0.5) / max(size, SMALLEST)))
    distance[areas < SMALLEST] = np.inf
    near = np.flatnonzero(distance < max(np.log(1.5), distance.min() + 1e-9))
    return int(rng.choice(near)) if len(near) and distance[near].min() < np.log(4) else None


def _ragged(canvas: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Displace every pixel by a smooth random field: borders become ragged and small fragments appear."""
    side = np.sqrt(canvas.size)
    grid = []
    for axis, length in enumerate(canvas.shape):
        field = gaussian_filter(rng.standard_normal(canvas.shape).astype(np.float32), SHIFT_SCALE * side)
        field *= BORDER_SHIFT * side / max(float(field.std()), 1e-9)
        position = np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1)) + field
        grid.append(np.clip(np.rint(position), 0, length - 1).astype(np.intp))
    return canvas[grid[0], grid[1]]
