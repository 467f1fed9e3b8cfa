"""Sums over the pixels of masks, in blocks that fit the cache: the tensor code under `one_pass`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse import csc_array
from skimage.measure import label as connected_components

from a2lc.files import is_whole
from a2lc.machine import while_memory_lasts

T = TypeVar("T")
CPU_BLOCK, GPU_BLOCK = 1 << 15, 1 << 18  # pixels
_TINY = 1e-12
_ROUNDING = 1e-2  # of probabilities in half precision, after interpolation
_SOFTMIN_TEMPERATURE = 0.1  # of Lad & Mueller (2023)


def checked_weights(class_weights: np.ndarray | None, k: int) -> np.ndarray:
    """(K,) float64 weights of the classes, 1 each where none are given.

    Raises:
        ValueError: another shape, or a weight that is negative or not finite.
    """
    weights = np.ones(k) if class_weights is None else np.asarray(class_weights, dtype=np.float64)
    if weights.shape != (k,):
        raise ValueError(f"class_weights: expected ({k},), a weight per class, found {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"class_weights: expected finite weights >= 0, found {weights.tolist()}")
    return weights


def check_probabilities(probs: torch.Tensor) -> None:
    """Raise `ValueError` where probabilities lie outside [0, 1] by more than rounding, or are NaN."""
    low, high = (float(end) for end in probs.detach().aminmax()) if probs.numel() else (0.0, 1.0)
    if not (low >= 0 and high <= 1 + _ROUNDING):
        raise ValueError(f"probs: expected probabilities in [0, 1], found {low:g}..{high:g}")


def check_label_map(label_map: np.ndarray, k: int, ignore_index: int) -> None:
    """Raise `ValueError` when labels are no integers, or neither in 0..K-1 nor `ignore_index`, or that is not in
    K..255."""
    if not (is_whole(ignore_index) and k <= ignore_index <= 255):
        raise ValueError(f"ignore_index: expected {k}..255, found {ignore_index!r}")
    if label_map.dtype.kind not in "iu":
        raise ValueError(f"label_map: expected integers, found {label_map.dtype}")
    wrong = label_map[((label_map < 0) | (label_map >= k)) & (label_map != ignore_index)]
    if wrong.size:
        raise ValueError(f"labels must lie in 0..{k - 1} or be {ignore_index}, found {int(wrong[0])}")


@dataclass(frozen=True)
class Block:
    """Some pixels of an image, b of them, in raster order."""

    where: torch.Tensor  # (b,) int64 flat positions y * W + x
    mask: torch.Tensor  # (b,) int64 mask of each pixel, n = none
    p: torch.Tensor  # (b, K) float32 probabilities
    inverse_norm: torch.Tensor  # (b,) 1 / |p|
    first: torch.Tensor  # (b,) float32 largest probability
    predicted: torch.Tensor  # (b,) int64 its class; ties go to the lowest class
    given: torch.Tensor  # (b,) int64 effective label: the pseudo-label, or the prediction where that is void


@dataclass(frozen=True)
class Pixels:
    """An image's pixels on one device. What no mask covers counts as one more mask, n, which is cheaper than to leave
    it out."""

    n: int  # masks
    probs: torch.Tensor  # (K, H*W) float32
    index: torch.Tensor  # (H*W,) int64 mask of each pixel, n = none
    labels: torch.Tensor  # (H*W,) int64 pseudo-label of each pixel
    first: torch.Tensor  # (H*W,) float32 largest probability
    predicted: torch.Tensor  # (H*W,) int64 its class; ties go to the lowest class
    block: int  # pixels per block

    @staticmethod
    def of(probs: torch.Tensor, index_map: np.ndarray, label_map: np.ndarray) -> Pixels:
        """From a softmax map (K, H, W), positions of masks (H, W), -1 = none, and pseudo-labels (H, W), >= K = void."""
        n = int(index_map.max(initial=-1)) + 1
        flat = probs.detach().float().reshape(probs.shape[0], -1)  # (K, H*W)
        maps = (np.where(index_map < 0, n, index_map), label_map)
        index, labels = (torch.from_numpy(a.ravel().astype(np.int64)).to(probs.device) for a in maps)
        block = CPU_BLOCK if probs.device.type == "cpu" else GPU_BLOCK
        best = [part.max(0) for part in flat.split(block, 1)]  # much faster than argmax; of equals the first as well
        first, predicted = torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])
        return Pixels(n, flat, index, labels, first, predicted, block)

    def reduced(self, function: Callable[..., T], *arguments: Any) -> T:
        """``function(pixels, *arguments)``, in smaller blocks where memory runs out.

        Raises:
            RuntimeError: not enough memory for one pixel.
        """
        device = self.probs.device
        return while_memory_lasts(
            lambda block: function(replace(self, block=block), *arguments), self.block, device, "scoring a pixel"
        )

    def blocks(self) -> Iterator[Block]:
        """Yield the pixels in blocks that stay in a processor's cache.

        Float32 sums over a block are exact to about 1e-5, sums of blocks are taken in float64 (float32 on MPS).
        """
        pixels = (self.index, self.labels, self.first, self.predicted)
        for start in range(0, len(self.index), self.block):
            mask, labels, first, predicted = (t[start : start + self.block] for t in pixels)
            p = self.probs[:, start : start + self.block].t().contiguous()  # (b, K)
            where = torch.arange(start, start + len(mask), device=mask.device)
            given = torch.where(labels >= len(self.probs), predicted, labels)
            inverse_norm = (p * p).sum(1).clamp_min(_TINY**2).rsqrt()
            yield Block(where, mask, p, inverse_norm, first, predicted, given)


def segment_sums(pixels: Pixels, uncertainty: bool, softmin: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the pixels of each of n masks, float64.

    Returns:
        (n, K, K + 1) per predicted class: probabilities, number of pixels; with `uncertainty` (n, K, K + 4), after
        these entropy / log K, margin and bvsb; and (n, K, K + 1) per effective label: CIL times unit vector p/|p|,
        CIL (Eq. 10); with `softmin` (n, K, K + 3), after these exp(CIL / 0.1) and CIL times that.
    """
    n, k, device = pixels.n, len(pixels.probs), pixels.probs.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's backend has no float64
    widths = (k, 4 if uncertainty else 1, k, 3 if softmin else 1)
    totals = [torch.zeros((n + 1) * k, width, dtype=exact, device=device) for width in widths]
    for block in pixels.blocks():
        by_predicted, by_given = block.mask * k + block.predicted, block.mask * k + block.given
        one, cil = torch.ones_like(block.first), 1 - block.p.gather(1, block.given[:, None])[:, 0]  # (b,)
        parts = (
            (by_predicted, one, block.p),
            (by_predicted, one, torch.stack([one, *_uncertainty(block)], 1) if uncertainty else one[:, None]),
            (by_given, cil * block.inverse_norm, block.p),
            (by_given, one, _with_softmin(cil) if softmin else cil[:, None]),
        )
        for total, part in zip(totals, parts, strict=True):
            total += sums_of(*part, len(total)).to(exact)
    sums = [total.reshape(n + 1, k, -1)[:n].cpu().double().numpy() for total in totals]
    return np.concatenate(sums[:2], 2), np.concatenate(sums[2:], 2)


def sums_of(key: torch.Tensor, weight: torch.Tensor, values: torch.Tensor, rows: int) -> torch.Tensor:
    """Weighted sums of the values that share a key.

    Args:
        key: (b,) int64 in 0..rows-1.
        weight: (b,) float32.
        values: (b, C) float32.
        rows: number of keys.

    Returns:
        (rows, C) float32 on the same device.
    """
    if values.device.type != "cpu":
        return values.new_zeros(rows, values.shape[1]).index_add_(0, key, values * weight[:, None])
    column = np.arange(len(key) + 1, dtype=np.int32)  # one entry in each: about twice as fast as index_add_
    matrix = csc_array((weight.numpy(), key.int().numpy(), column), (rows, len(key)))
    return torch.from_numpy(matrix @ values.numpy())


def _uncertainty(block: Block) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Entropy / log K, margin and bvsb of each pixel, (b,) each."""
    rows = block.p.t().clone(memory_format=torch.contiguous_format)  # (K, b): maxima over rows are faster
    second = rows.scatter_(0, block.predicted[None], 0.0).amax(0)
    information = block.p.clamp_min(_TINY).log_().mul_(block.p).sum(1)  # three times as fast as torch.special.entr
    entropy = -information / max(np.log(block.p.shape[1]), _TINY)
    return entropy, 1 - (block.first - second), second / block.first.clamp_min(_TINY)


def _with_softmin(cil: torch.Tensor) -> torch.Tensor:
    """(b,) CIL -> (b, 3) with the softmin's weight, in [1, exp(10)], and CIL times it."""
    weight = (cil / _SOFTMIN_TEMPERATURE).exp()
    return torch.stack([cil, weight, weight * cil], 1)


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
    n, device, none = pixels.n, pixels.probs.device, pixels.index.numel()
    means = np.append(mu, np.zeros((1, mu.shape[1])), 0)  # what no mask covers is near nothing
    centre = torch.nn.functional.normalize(torch.from_numpy(means).float().to(device), dim=1)
    target = torch.from_numpy(np.append(dominant, -1)).to(device)
    best = torch.full((n + 1,), -1.0, device=device)
    position = torch.full((n + 1,), -1, dtype=torch.int64, device=device)
    for block in pixels.blocks():
        cosine = (centre[block.mask] * block.p).sum(1) * block.inverse_norm
        cosine = torch.where(block.predicted == target[block.mask], cosine, -1.0)
        here = torch.full_like(best, -1.0).scatter_reduce_(0, block.mask, cosine, "amax")
        candidates = torch.where((cosine == here[block.mask]) & (cosine >= 0), block.where, none)
        first = torch.full_like(position, none).scatter_reduce_(0, block.mask, candidates, "amin")
        better = (here > best) & (first < none)  # strict: the earlier block keeps a tie
        best, position = torch.where(better, here, best), torch.where(better, first, position)
    position = position[:n]
    p, given = pixels.probs[:, position].t(), pixels.labels[position]  # (n, K), (n,)
    given = torch.where(given >= len(pixels.probs), p.max(1).indices, given)
    cil = 1 - p.gather(1, given[:, None]).squeeze(1)
    unit = torch.nn.functional.normalize(p, dim=1)
    return position.cpu().numpy(), unit.cpu().double().numpy(), cil.cpu().double().numpy()


def plurality(index_map: np.ndarray, label_map: np.ndarray, inside: np.ndarray, n: int) -> np.ndarray:
    """(n,) most frequent label of each mask's pixels among `inside`; ties go to the lowest label, and a mask without
    such a pixel has 0.

    Args:
        index_map: (H, W) position of each pixel's mask, -1 = none.
        label_map: (H, W) labels in 0..255.
        inside: (H, W) bool, True for pixels of masks only.
        n: number of masks.
    """
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

    Returns:
        (n,) float64 in [0, 1].
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
