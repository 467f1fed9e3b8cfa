"""Boxes and maps -> soft proposals, in closed form: no weights are needed."""

from __future__ import annotations

import numpy as np

from a2lc.referring.priors.base import STRIDE, cells

SPREAD = 0.35  # standard deviation of a proposal, in widths and heights of its box


def gauss_proposal(box: np.ndarray, size: tuple[int, int], score: float = 1.0, stride: int = STRIDE) -> np.ndarray:
    """A bell over a box: ``score * exp(-((x - x0) / (0.35 w))^2 / 2 - ((y - y0) / (0.35 h))^2 / 2)`` at the middle of
    each cell.

    Args:
        box: x0 y0 x1 y1 in pixels, with an area.
        size: H, W of the image.
        score: its height, in [0, 1].
        stride: pixels a side of a cell.

    Returns:
        (h, w) float32 in [0, 1], h and w rounded up.
    """
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    x0, y0, x1, y1 = (float(value) for value in box)
    y = (np.arange(rows) + 0.5) * stride - (y0 + y1) / 2
    x = (np.arange(columns) + 0.5) * stride - (x0 + x1) / 2
    along_y = np.exp(-0.5 * (y / (SPREAD * (y1 - y0))) ** 2)
    along_x = np.exp(-0.5 * (x / (SPREAD * (x1 - x0))) ** 2)
    return np.asarray(score * along_y[:, None] * along_x[None, :], np.float32)


def box_cover(boxes: np.ndarray, size: tuple[int, int], grow: float = 0.0) -> np.ndarray:
    """(h, w) bool at `STRIDE`: cells whose middle is in one of (k, 4) boxes, each grown by a share of its sides."""
    rows, columns = cells(size)
    y = ((np.arange(rows) + 0.5) * STRIDE)[None, :, None]
    x = ((np.arange(columns) + 0.5) * STRIDE)[None, None, :]
    half = np.maximum((boxes[:, 2:] - boxes[:, :2]) * (0.5 + grow), STRIDE / 2)[:, :, None, None]  # (k, 2, 1, 1)
    middle = ((boxes[:, 2:] + boxes[:, :2]) / 2)[:, :, None, None]
    inside = (np.abs(x - middle[:, 0]) <= half[:, 0]) & (np.abs(y - middle[:, 1]) <= half[:, 1])
    return np.asarray(inside.any(0))


def combine(proposals: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """One proposal of several: ``1 - prod(1 - share_b p_b)`` with the scores' shares.

    Args:
        proposals: (k, h, w) in [0, 1], k >= 1.
        scores: (k,) >= 0; all 0 count alike.

    Returns:
        (h, w) float32 in [0, 1].
    """
    total = float(scores.sum())
    shares = scores / total if total > 0 else np.full(len(scores), 1 / len(scores))
    return np.asarray(1 - np.prod(1 - shares[:, None, None] * proposals, axis=0), np.float32)


def resized(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A (h', w') map over the whole image, at the cells of a proposal, (h, w) float32; bilinear."""
    import torch
    import torch.nn.functional as F

    whole = torch.from_numpy(np.ascontiguousarray(heat, np.float32))[None, None]
    found = F.interpolate(whole, cells(size), mode="bilinear", align_corners=False)
    return np.asarray(found[0, 0].numpy(), np.float32)


def as_bytes(proposal: np.ndarray) -> np.ndarray:
    """A proposal in [0, 1] as uint8, times 255 and rounded."""
    return np.rint(np.clip(proposal, 0, 1) * 255).astype(np.uint8)
