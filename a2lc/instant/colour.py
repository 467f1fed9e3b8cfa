"""Features of masks that need no weights: colours, edges, size and place."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_gradient_magnitude
from skimage.color import rgb2lab

from a2lc.acquisition.sums import sums_of

BINS = 8  # of lightness and of hue


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
    lab = rgb2lab(image).astype(np.float32)  # (H, W, 3)
    light, chroma = lab[..., 0] / 100, np.hypot(lab[..., 1], lab[..., 2]) / 100
    hue = np.arctan2(lab[..., 2], lab[..., 1]) / (2 * np.pi) % 1
    edges = [gaussian_gradient_magnitude(light, sigma) for sigma in (1, 3)]
    y, x = np.broadcast_arrays(np.arange(height)[:, None] / height, np.arange(width) / width)
    border = np.zeros((height, width), np.float32)
    border[[0, -1]] = border[:, [0, -1]] = 1
    spread = [*(lab / 100).transpose(2, 0, 1), *edges, y, x]
    pixels = [
        *spread,
        *(value**2 for value in spread),
        *_binned(light, np.ones_like(light)),
        *_binned(hue, chroma),
        border,
    ]
    inside = (index >= 0).ravel()
    columns = np.stack([value.ravel()[inside] for value in pixels], 1).astype(np.float32)  # (pixels, F)
    masks = index.ravel()[inside]
    area = np.bincount(masks, minlength=n)
    total = sums_of(torch.from_numpy(masks), torch.ones(len(masks)), torch.from_numpy(columns), n)
    mean = total.numpy() / np.maximum(area, 1)[:, None]
    s = len(spread)
    deviation = np.sqrt(np.maximum(mean[:, s : 2 * s] - mean[:, :s] ** 2, 0))
    size = np.log(np.maximum(area, 1) / (height * width))
    room = np.log(deviation[:, -2] * deviation[:, -1] + 1 / (height * width))
    shapes = np.stack([size, size - room], 1)
    return np.hstack([mean[:, :s], deviation, mean[:, 2 * s :], shapes]).astype(np.float32)


def _binned(values: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """The weights (H, W) of the pixels whose values in [0, 1] lie in each bin."""
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    return [np.where(bins == number, weights, 0) for number in range(BINS)]
