"""Sums over the pixels of masks, in blocks that fit the cache: the tensor code under `statistics.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from skimage.measure import label as connected_components

_BLOCK = 1 << 15  # pixels per block: fits the cache, and float32 sums stay exact to about 1e-5
_TINY = 1e-12


@dataclass(frozen=True)
class Block:
    """Some covered pixels of an image, b of them."""

    where: torch.Tensor  # (b,) int64 flat positions y * W + x
    mask: torch.Tensor  # (b,) int64 mask of each pixel
    p: torch.Tensor  # (b, K) float32 probabilities
    inverse_norm: torch.Tensor  # (b, 1) 1 / |p|
    predicted: torch.Tensor  # (b,) int64 class of the largest probability; ties go to the lowest class
    given: torch.Tensor  # (b,) int64 effective label: the pseudo-label, or the prediction where that is void


@dataclass(frozen=True)
class Pixels:
    """An image's pixels with what is known of each, on one device."""

    probs: torch.Tensor  # (H*W, K) float32
    index: torch.Tensor  # (H*W,) int64 mask of each pixel, -1 = none
    labels: torch.Tensor  # (H*W,) int64 pseudo-label of each pixel
    predicted: torch.Tensor  # (H*W,) int64 class of the largest probability
    scalars: torch.Tensor  # (H*W, 4) float32: entropy / log K, margin, bvsb, 1

    @staticmethod
    def of(probs: torch.Tensor, index_map: np.ndarray, label_map: np.ndarray) -> Pixels:
        """From a softmax map (K, H, W), positions of masks (H, W) and pseudo-labels (H, W)."""
        flat = probs.detach().float().reshape(probs.shape[0], -1)  # (K, H*W)
        index, labels = (torch.from_numpy(a.ravel().astype(np.int64)).to(probs.device) for a in (index_map, label_map))
        best = flat.max(0)  # much faster than argmax; of equal values the first as well
        second = flat.scatter(0, best.indices[None], 0.0).amax(0)
        entropy = torch.special.entr(flat).sum(0) / max(np.log(len(flat)), _TINY)
        scalars = [entropy, 1 - (best.values - second), second / best.values.clamp_min(_TINY), torch.ones_like(second)]
        return Pixels(flat.t().contiguous(), index, labels, best.indices, torch.stack(scalars, 1))

    def blocks(self) -> Iterator[Block]:
        """Yield the covered pixels in raster order."""
        for where in torch.nonzero(self.index >= 0).squeeze(1).split(_BLOCK):
            p, labels, predicted = self.probs[where], self.labels[where], self.predicted[where]
            given = torch.where(labels == 255, predicted, labels)
            inverse_norm = (p * p).sum(1, keepdim=True).clamp_min(_TINY**2).rsqrt()
            yield Block(where, self.index[where], p, inverse_norm, predicted, given)


def segment_sums(pixels: Pixels, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the pixels of each of n masks, float64.

    Returns:
        (n, K, K + 4) per predicted class: probabilities, entropy, margin, bvsb, number of pixels; and
        (n, K, K + 1) per effective label: CIL times unit vector p/|p|, CIL (Eq. 10).
    """
    k, device = pixels.probs.shape[1], pixels.probs.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's backend has no float64
    totals = [torch.zeros(n * k, width, dtype=exact, device=device) for width in (k, 4, k, 1)]
    for block in pixels.blocks():
        by_predicted, by_given = block.mask * k + block.predicted, block.mask * k + block.given
        cil = 1 - block.p.gather(1, block.given[:, None])  # (b, 1)
        parts = (
            (by_predicted, block.p),
            (by_predicted, pixels.scalars[block.where]),
            (by_given, block.p * (cil * block.inverse_norm)),
            (by_given, cil),
        )
        for total, (key, values) in zip(totals, parts, strict=True):
            total += torch.zeros(n * k, values.shape[1], device=device).index_add_(0, key, values).to(exact)
    sums = [total.reshape(n, k, total.shape[1]).cpu().double().numpy() for total in totals]
    return np.concatenate(sums[:2], 2), np.concatenate(sums[2:], 2)


def representative_pixels(
    pixels: Pixels, mu: np.ndarray, dominant: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ALC's representative pixel of each mask: of those that predict D(m) the most similar to mu, the first of equals.

    Source: ``acq_on_sam.py:61-78`` of ml-postech/active-label-correction.

    Returns:
        Flat index (n,), the pixel's unit vector (n, K) and its CIL (n,).
    """
    n, device, none = len(mu), pixels.probs.device, pixels.index.numel()
    centre = torch.nn.functional.normalize(torch.from_numpy(mu).float().to(device), dim=1)
    target = torch.from_numpy(dominant).to(device)
    best = torch.full((n,), -1.0, device=device)
    position = torch.full((n,), -1, dtype=torch.int64, device=device)
    for block in pixels.blocks():
        cosine = (centre[block.mask] * block.p).sum(1) * block.inverse_norm[:, 0]
        cosine = torch.where(block.predicted == target[block.mask], cosine, -1.0)
        here = torch.full((n,), -1.0, device=device).scatter_reduce_(0, block.mask, cosine, "amax")
        candidates = torch.where((cosine == here[block.mask]) & (cosine >= 0), block.where, none)
        first = torch.full((n,), none, device=device).scatter_reduce_(0, block.mask, candidates, "amin")
        better = (here > best) & (first < none)  # strict: the earlier block keeps a tie
        best, position = torch.where(better, here, best), torch.where(better, first, position)
    p, given = pixels.probs[position], pixels.labels[position]
    given = torch.where(given == 255, pixels.predicted[position], given)
    cil = 1 - p.gather(1, given[:, None]).squeeze(1)
    unit = torch.nn.functional.normalize(p, dim=1)
    return position.cpu().numpy(), unit.cpu().double().numpy(), cil.cpu().double().numpy()


def plurality(index_map: np.ndarray, label_map: np.ndarray, inside: np.ndarray, n: int) -> np.ndarray:
    """(n,) most frequent label of each mask's pixels among `inside` (H, W) bool; ties go to the lowest label."""
    pairs = index_map[inside] * 256 + label_map[inside]
    return np.bincount(pairs, minlength=n * 256).reshape(n, 256).argmax(1)


def adjusted_iou(predicted: np.ndarray, index_map: np.ndarray, label_map: np.ndarray, given: np.ndarray) -> np.ndarray:
    """|m & Q| / (|m| + pixels of Q whose label is not m's class), Q = predicted components of that class touching m.

    Source: ``IoU_adj`` of Rottmann & Reese (2023), ``src/metrics.pyx``, with label and prediction in swapped roles;
    components are 8-connected.

    Args:
        predicted: (H, W) predicted classes.
        index_map: (H, W) position of each pixel's mask, -1 = none.
        label_map: (H, W) pseudo-labels.
        given: (n,) class of each mask.
    """
    components = connected_components(predicted, background=-1, connectivity=2)  # (H, W), 1..C
    n, c = len(given), int(components.max()) + 1
    foreign = np.bincount(components[label_map != predicted], minlength=c)  # (C + 1,) pixels with another pseudo-label
    inside = (index_map >= 0) & (predicted == np.append(given, -1)[index_map])
    pairs = np.unique(index_map[inside].astype(np.int64) * c + components[inside])
    charged = np.bincount(pairs // c, weights=foreign[pairs % c], minlength=n)
    hits = np.bincount(index_map[inside], minlength=n)
    area = np.bincount(index_map[index_map >= 0], minlength=n)
    return hits / np.maximum(area + charged, 1)
