"""Features of masks that need no weights: colours, edges, size and place."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_gradient_magnitude
from skimage.color import rgb2lab

from a2lc.acquisition.sums import sums_of

BINS = 8  # of lightness and of hue
SIGMAS = (1, 3)  # of edges, in pixels
MARGIN = 4 * max(SIGMAS)  # rows that an edge is made of on each side
SPREAD = 3 + len(SIGMAS) + 2  # values with a deviation
STRIP = 2**21  # pixels at a time, so that an image of a hundred million takes no more memory than one of two


def colour_features(image: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """What an image's masks look like.

    Args:
        image: (H, W, 3) uint8 RGB.
        index: (H, W) int64 position of each pixel's mask, 0..n-1, or -1.
        n: number of masks.

    Returns:
        (n, 33) float32: means and deviations of CIELAB's three channels; shares of lightness and of hue, weighted by
        chroma, in `BINS` bins; means and deviations of edges at two scales; centre and deviation of rows and columns,
        as shares of the image's height and width; logarithms of area and of how far the mask fills its deviations;
        share of its pixels at the image's border.
    """
    height, width = index.shape
    rows = max(STRIP // width, 1)
    area, total = np.zeros(n, np.int64), np.zeros((n, 2 * SPREAD + 2 * BINS + 1))
    for top in range(0, height, rows):
        columns, masks = _pixels(image, index, slice(top, min(top + rows, height)))
        area += np.bincount(masks, minlength=n)
        total += sums_of(torch.from_numpy(masks), torch.ones(len(masks)), torch.from_numpy(columns), n).numpy()
    mean = total / np.maximum(area, 1)[:, None]
    s = SPREAD
    deviation = np.sqrt(np.maximum(mean[:, s : 2 * s] - mean[:, :s] ** 2, 0))
    size = np.log(np.maximum(area, 1) / (height * width))
    room = np.log(deviation[:, -2] * deviation[:, -1] + 1 / (height * width))
    shapes = np.stack([size, size - room], 1)
    return np.hstack([mean[:, :s], deviation, mean[:, 2 * s :], shapes]).astype(np.float32)


def _pixels(image: np.ndarray, index: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels of these rows that belong to a mask: (pixels, F) float32 values to be averaged, and (pixels,) int64
    masks."""
    height, width = index.shape
    first, last = max(rows.start - MARGIN, 0), min(rows.stop + MARGIN, height)  # with the neighbours that edges need
    here = slice(rows.start - first, rows.stop - first)
    lab = rgb2lab(image[first:last]).astype(np.float32)  # (H, W, 3)
    edges = [gaussian_gradient_magnitude(lab[..., 0] / 100, sigma)[here] for sigma in SIGMAS]
    lab = lab[here]
    light, chroma = lab[..., 0] / 100, np.hypot(lab[..., 1], lab[..., 2]) / 100
    hue = np.arctan2(lab[..., 2], lab[..., 1]) / (2 * np.pi) % 1
    y, x = np.broadcast_arrays(np.arange(height)[rows, None] / height, np.arange(width) / width)
    border = np.zeros((height, width), np.float32)
    border[[0, -1]] = border[:, [0, -1]] = 1
    spread = [*(lab / 100).transpose(2, 0, 1), *edges, y, x]
    values = [
        *spread,
        *(value**2 for value in spread),
        *_binned(light, np.ones_like(light)),
        *_binned(hue, chroma),
        border[rows],
    ]
    inside = (index[rows] >= 0).ravel()
    columns = np.stack([value.ravel()[inside] for value in values], 1).astype(np.float32)
    return columns, index[rows].ravel()[inside]


def _binned(values: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """The weights (H, W) of the pixels whose values in [0, 1] lie in each bin."""
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    return [np.where(bins == number, weights, 0) for number in range(BINS)]
