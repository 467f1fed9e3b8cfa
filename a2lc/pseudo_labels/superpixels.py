"""Superpixels: another object map, all of it unlabelled. What the baselines Spx, MerSpx and MulSpx start from.

SEEDS is called as in the code of Cai et al. 2021 (`scripts/extract_superpixels.py`), which MerSpx and MulSpx took
over: the histogram equalised over all channels at once, HSV as OpenCV gives it for floats (H 0..360, S and V 0..1;
SEEDS takes every H above 0.9 for the last of its ten bins), five levels, prior 3, ten bins a channel, double step, ten
iterations.

How many to ask for: SEEDS starts from a grid of blocks whose sides are a whole number of pixels times a power of two,
so it returns what fits: of 169 wanted in 480 x 360 pixels, 70. `_number_to_ask` therefore asks for the number whose
grid has the mean area nearest to side x side, and among equals the one nearest to H W / side^2: 2048 and 8192 for a
frame of Cityscapes, as published. The grid is computed (`_seeds_grid`) and not read off candidate SEEDS objects:
OpenCV's constructor crashes the process where the grid would be empty, and takes 75 ms on such a frame.
tests/test_superpixels.py compares the two.

Memory: SEEDS keeps a histogram of 1,000 floats for every block of every level. With side 16 the smallest blocks of a
2048 x 1024 frame are single pixels: 11 GiB and 32 seconds; with side 32: 3 GiB and 4 to 9 seconds. (Asked for 8580
instead of 8192, SEEDS makes the same grid with smallest blocks of 2 x 2 pixels, in 4 seconds and 3 GiB. These are other
superpixels than the published ones, so it is not done.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from skimage.exposure import equalize_hist
from skimage.segmentation import slic
from tqdm.auto import tqdm

from a2lc.datasets.base import Classes, Split
from a2lc.ending import Born, end_with, this_process
from a2lc.machine import JOBLIB, SEEDS, require
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.settings import SuperpixelSettings

LEVELS, PRIOR, BINS, ITERATIONS = 5, 3, 10, 10  # of SEEDS
SLIC_TRIES = 4
WORKER_BYTES = 2**29  # Python, PyTorch and an image in a process of its own
FEW_PIXELS = 2**21  # of a split: cut in this process before others have started


def partition(
    split: Split, classes: Classes, settings: SuperpixelSettings, jobs: int = -1, progress: bool = True
) -> MaskSet:
    """Cut every image of a split; no superpixel has a label yet. The result does not depend on `jobs`.

    Args:
        split: the images; read where they are cut. Ground truth is not looked at.
        classes: the class list; its ignore index stands for "unlabelled".
        settings: how to cut.
        jobs: processes; 1: none but this one; -1: one per core, or none but this one where the split is small. Never
            more than there are images, nor, for SEEDS, than three quarters of the machine's memory hold. All images
            are taken to be as large as the first.
        progress: show a bar.

    Returns:
        Masks that cover every pixel, ids 1..n in each image, in memory (one or two bytes a pixel, four beyond 65,535
        ids); `MaskSet.save` keeps them.

    Raises:
        MissingExtraError: joblib or OpenCV's contrib modules are missing.
        ValueError: an image is too small, or cannot be read; `jobs` is 0.
    """
    require(JOBLIB, *([SEEDS] if settings.algorithm == "seeds" else []))
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=_processes(split, settings, jobs), return_as="generator")
    me = this_process()
    maps = parallel(delayed(_object_map)(split, name, settings, me) for name in split.names)
    bar = tqdm(maps, desc="superpixels", total=len(split), disable=not progress)
    object_maps = dict(zip(split.names, bar, strict=True))
    most = max(int(objects.max()) for objects in object_maps.values())
    unlabelled = dict.fromkeys(range(1, most + 1), classes.ignore_index)  # one table serves all images
    return MaskSet.from_maps(classes, split.names, object_maps, dict.fromkeys(split.names, unlabelled))


def superpixels(image: NDArray[np.uint8], settings: SuperpixelSettings) -> NDArray[np.int32]:
    """Cut one image.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: how to cut.

    Returns:
        (H, W) int32 ids; each of 1..n occurs. The mean area is near side^2 where the image is much larger than that.

    Raises:
        MissingExtraError: SEEDS without OpenCV's contrib modules.
        ValueError: no such image, or one that SEEDS cannot lay a grid over (a side of a few pixels).
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"superpixels: expected an image (H, W, 3) uint8, found {image.shape} {image.dtype}")
    labels = (_seeds if settings.algorithm == "seeds" else _slic)(image, settings.side)
    occurs = np.bincount(labels.ravel()) > 0  # some blocks of SEEDS lose all their pixels
    return np.cumsum(occurs, dtype=np.int32)[labels]


def _object_map(split: Split, name: str, settings: SuperpixelSettings, parent: Born) -> NDArray[Any]:
    """(H, W) ids in the smallest type that holds them: made in a worker process, which ends with its parent, and sent
    there."""
    end_with(parent)
    objects = superpixels(split.image(name), settings)
    return objects.astype(np.min_scalar_type(int(objects.max())))


def _seeds(image: NDArray[np.uint8], side: int) -> NDArray[np.int32]:
    """(H, W) block numbers, not all of which occur."""
    require(SEEDS)
    from cv2 import COLOR_RGB2HSV, cvtColor, ximgproc

    height, width = image.shape[:2]
    number = _number_to_ask(height, width, side)
    equal = equalize_hist(image.reshape(height, width * 3)).reshape(image.shape)  # one histogram for the three channels
    hsv = cvtColor(equal.astype(np.float32), COLOR_RGB2HSV)
    seeds = ximgproc.createSuperpixelSEEDS(
        width, height, 3, number, num_levels=LEVELS, prior=PRIOR, histogram_bins=BINS, double_step=True
    )
    seeds.iterate(hsv, ITERATIONS)
    return seeds.getLabels().astype(np.int32, copy=False)


def _slic(image: NDArray[np.uint8], side: int) -> NDArray[np.int64]:
    """(H, W) numbers. SLIC gives its small fragments to their neighbours, so it returns fewer than it was asked for:
    asked again in proportion, at most `SLIC_TRIES` times, and the nearest is kept."""
    wanted = max(image.shape[0] * image.shape[1] / side**2, 1)
    ask, best, best_miss = wanted, None, np.inf
    for _ in range(SLIC_TRIES):
        labels = slic(image, n_segments=max(round(ask), 1), sigma=0, start_label=1)
        ratio = len(np.unique(labels)) / wanted
        if abs(np.log(ratio)) < best_miss:
            best, best_miss = labels, abs(np.log(ratio))
        if best_miss < 0.05:
            break
        ask = min(ask / ratio, 4 * wanted)
    assert best is not None
    return best


class _Grid(NamedTuple):
    """What SEEDS starts from."""

    blocks: int  # superpixels; 0: OpenCV would crash
    smallest: int  # blocks of the lowest level


@lru_cache(maxsize=1024)
def _number_to_ask(height: int, width: int, side: int) -> int:
    """The number of superpixels to ask SEEDS for, so that their mean area is nearest to `side` squared.

    SEEDS turns the number into a number of rows, so one candidate per number of rows is enough.

    Raises:
        ValueError: the image is too small for any.
    """
    plain = round(height * width / side**2)
    rows = np.arange(1, 2 * (height // side) + 8)
    candidates = [plain, *((rows + 0.5) ** 2 * width / height).astype(int).tolist()]

    def miss(number: int) -> tuple[float, int]:
        blocks = _seeds_grid(height, width, number).blocks
        return abs(np.log(height * width / side**2 / blocks)) if blocks else np.inf, abs(number - plain)

    best = min(candidates, key=miss)
    if not _seeds_grid(height, width, best).blocks:
        raise ValueError(f"superpixels: SEEDS cannot cut an image of {height} x {width} pixels, algorithm 'slic' can")
    return best


def _seeds_grid(height: int, width: int, number: int) -> _Grid:
    """The grid OpenCV's SEEDS lays over an image when asked for `number` superpixels (`initialize` in `seeds.cpp`)."""
    rows = int(np.sqrt(np.float32(max(number, 10)) * np.float32(height) / np.float32(width)))  # OpenCV reckons so, too
    columns = rows * width // height
    halvings = LEVELS - 1
    while halvings and (width < columns << halvings or height < rows << halvings):
        halvings -= 1
    if not rows or not columns or not halvings:
        return _Grid(0, 0)
    down = height // -(-height // (rows << halvings))  # the divisor: pixels of a smallest block, rounded up
    across = width // -(-width // (columns << halvings))
    return _Grid((down >> halvings) * (across >> halvings), down * across)


def _processes(split: Split, settings: SuperpixelSettings, jobs: int) -> int:
    """How many processes `partition` uses when asked for `jobs`."""
    from joblib import effective_n_jobs

    most = min(effective_n_jobs(jobs), len(split))
    if most < 2:
        return 1
    height, width, _ = split.image(split.names[0]).shape
    if jobs < 0 and height * width * len(split) <= FEW_PIXELS:
        return 1
    if settings.algorithm != "seeds":
        return most
    grid = _seeds_grid(height, width, _number_to_ask(height, width, settings.side))
    needed = WORKER_BYTES + 4 * BINS**3 * grid.smallest * 4 // 3  # float32; every level has a quarter of the one below
    return max(min(most, psutil.virtual_memory().total * 3 // 4 // needed), 1)
