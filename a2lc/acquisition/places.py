"""What needs to know where pixels lie: ALC's representative pixel, and the adjusted IoU with predicted components."""

from __future__ import annotations

import numpy as np
import torch
from skimage.measure import label as connected_components

from a2lc.acquisition.pixels import Pixels


def representative_pixels(
    pixels: Pixels, mu: np.ndarray, dominant: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ALC's representative pixel of each mask: of those that predict D(m) the most similar to mu, the first of equals.

    Source: ``acq_on_sam.py:61-78`` of ml-postech/active-label-correction.

    Args:
        pixels: of one image.
        mu: (n, K) mean probability over the pixels of each mask that predict D(m).
        dominant: (n,) D(m).

    Returns:
        Flat index (n,) int64, the pixel's unit vector (n, K) and its CIL (n,) in [0, 1], float64.
    """
    n, device, none = pixels.n, pixels.probs.device, pixels.part.numel()
    means = np.append(mu, np.zeros((1, mu.shape[1])), 0)  # what no mask covers is near nothing
    centre = torch.nn.functional.normalize(torch.from_numpy(means).float().to(device), dim=1)
    target = torch.from_numpy(np.append(dominant, -1)).to(device)
    mask_of, label_of = (torch.from_numpy(table).to(device) for table in (pixels.mask_of, pixels.label_of))
    best = torch.full((n + 1,), -1.0, device=device)
    position = torch.full((n + 1,), -1, dtype=torch.int64, device=device)
    for block in pixels.blocks():
        mask = mask_of[block.part]
        cosine = (centre[mask] * block.p).sum(1) * block.inverse_norm
        cosine = torch.where(block.predicted == target[mask], cosine, -1.0)
        here = torch.full_like(best, -1.0).scatter_reduce_(0, mask, cosine, "amax")
        candidates = torch.where((cosine == here[mask]) & (cosine >= 0), block.where, none)
        first = torch.full_like(position, none).scatter_reduce_(0, mask, candidates, "amin")
        better = (here > best) & (first < none)  # strict: the earlier block keeps a tie
        best, position = torch.where(better, here, best), torch.where(better, first, position)
    position = position[:n]
    p, given = pixels.probs[:, position].t(), label_of[pixels.part[position].long()]  # (n, K), (n,)
    given = torch.where(given >= len(pixels.probs), p.max(1).indices, given)
    cil = 1 - p.gather(1, given[:, None]).squeeze(1)
    unit = torch.nn.functional.normalize(p, dim=1)
    return position.cpu().numpy(), unit.cpu().double().numpy(), cil.cpu().double().numpy()


def adjusted_iou(pixels: Pixels, shape: tuple[int, ...], given: np.ndarray) -> np.ndarray:
    """|m & Q| / (|m| + pixels of Q whose label is not m's class), Q = predicted components of that class touching m.

    Source: ``IoU_adj`` of Rottmann & Reese (2023), ``src/metrics.pyx``, with label and prediction in swapped roles;
    components are 8-connected.

    Args:
        pixels: of one image.
        shape: (H, W).
        given: (n,) class of each mask.

    Returns:
        (n,) float64 in [0, 1].
    """
    predicted, part = pixels.predicted.cpu().numpy(), pixels.part.cpu().numpy()
    components = connected_components(predicted.reshape(shape), background=-1, connectivity=2).ravel()  # 1..C
    n, c = len(given), int(components.max()) + 1
    foreign = np.bincount(components[pixels.label_of.astype(np.int16)[part] != predicted], minlength=c)  # (C + 1,)
    mask = pixels.mask_of.astype(np.int32)[part]
    inside = predicted == np.append(given, -1).astype(np.int16)[mask]
    mask, here = mask[inside], components[inside]
    new = np.flatnonzero((np.diff(mask, prepend=-1) != 0) | (np.diff(here, prepend=0) != 0))  # few, to sort
    pairs = np.unique(mask[new].astype(np.int64) * c + here[new])
    charged = np.bincount(pairs // c, weights=foreign[pairs % c], minlength=n)
    hits = np.bincount(mask, minlength=n)
    return hits / np.maximum(pixels.area + charged, 1)
