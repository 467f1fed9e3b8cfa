"""The pixels of an image and whose they are, in blocks that fit the cache: what `sums` and `one_pass` are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from a2lc.machine import while_memory_lasts

T = TypeVar("T")
CPU_BLOCK, GPU_BLOCK = 1 << 15, 1 << 18  # pixels
TINY = 1e-12


@dataclass(frozen=True)
class Block:
    """Some pixels of an image, b of them, in raster order."""

    where: torch.Tensor  # (b,) int64 flat positions y * W + x
    part: torch.Tensor  # (b,) int64 part of each pixel
    rows: torch.Tensor  # (K, b) float32 probabilities, a view
    first: torch.Tensor  # (b,) float32 largest probability
    predicted: torch.Tensor  # (b,) int64 its class; ties go to the lowest class

    @cached_property
    def p(self) -> torch.Tensor:
        """(b, K) float32 probabilities, a pixel's beside each other."""
        return transposed(self.rows)

    @property
    def inverse_norm(self) -> torch.Tensor:
        """(b,) 1 / |p|."""
        return (self.p * self.p).sum(1).clamp_min(TINY**2).rsqrt()


@dataclass(frozen=True)
class Pixels:
    """An image's pixels on one device.

    A part is the pixels of one mask that carry one label, so that labels are a lookup and no map: a mask is one part,
    unless somebody brings a label map that crosses masks. What no mask covers is the mask n.
    """

    n: int  # masks
    probs: torch.Tensor  # (K, H*W) float32
    part: torch.Tensor  # (H*W,) int32 part of each pixel
    mask_of: np.ndarray  # (r,) int64 mask of each part, n = none
    label_of: np.ndarray  # (r,) int64 label of each part, >= K = void
    first: torch.Tensor  # (H*W,) float32 largest probability
    predicted: torch.Tensor  # (H*W,) int16 its class; ties go to the lowest class
    counts: np.ndarray  # (r, K) int64 pixels of each part by predicted class
    block: int  # pixels per block

    @staticmethod
    def of_masks(probs: torch.Tensor, index_map: np.ndarray, labels: np.ndarray) -> Pixels:
        """Of masks that carry one label each: what travels to the device is the index map.

        Args:
            probs: (K, H, W) softmax map.
            index_map: (H, W) integers, position of each pixel's mask, -1 = none.
            labels: (n + 1,) integers, label of each mask, and of the pixels without one; >= K = void.
        """
        n = len(labels) - 1
        part = np.where(index_map < 0, n, index_map).astype(np.int32, copy=False)
        return Pixels._of(probs, part, np.arange(n + 1), labels.astype(np.int64))

    @staticmethod
    def of_label_map(probs: torch.Tensor, index_map: np.ndarray, label_map: np.ndarray) -> Pixels:
        """The same of any label map (H, W), 0..255."""
        n = int(index_map.max(initial=-1)) + 1
        pairs = np.where(index_map < 0, n, index_map).astype(np.int64) * 256 + label_map
        found = np.flatnonzero(np.bincount(pairs.ravel(), minlength=1))
        lookup = np.zeros(found.max(initial=0) + 1, np.int32)
        lookup[found] = np.arange(len(found))
        return Pixels._of(probs, lookup[pairs], found // 256, found % 256, n)

    @staticmethod
    def _of(
        probs: torch.Tensor, part: np.ndarray, mask_of: np.ndarray, label_of: np.ndarray, n: int | None = None
    ) -> Pixels:
        n, k = len(mask_of) - 1 if n is None else n, len(probs)
        flat = probs.detach().float().reshape(k, -1).contiguous()  # (K, H*W)
        parts = torch.from_numpy(part.ravel()).to(flat.device)
        first, predicted, counts = likeliest(flat, parts, len(mask_of))
        block = CPU_BLOCK if flat.device.type == "cpu" else GPU_BLOCK
        return Pixels(n, flat, parts, mask_of, label_of, first, predicted, counts, block)

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
        for start in range(0, len(self.part), self.block):
            part, first, predicted = (t[start : start + self.block] for t in (self.part, self.first, self.predicted))
            rows = self.probs[:, start : start + self.block]
            where = torch.arange(start, start + len(part), device=part.device)
            yield Block(where, part.long(), rows, first, predicted.long())

    @property
    def most_predicted(self) -> np.ndarray:
        """(n,) int64 the class D(m) that most pixels of each mask are predicted to be; ties go to the lowest."""
        return self.by_mask(self.counts).argmax(1)

    @property
    def area(self) -> np.ndarray:
        """(n,) int64 pixels of each mask."""
        return self.by_mask(self.counts.sum(1, keepdims=True))[:, 0]

    @property
    def _whole(self) -> bool:
        """Whether each mask is one part."""
        return np.array_equal(self.mask_of, np.arange(self.n + 1))

    def by_mask(self, counts: np.ndarray) -> np.ndarray:
        """Integers of parts, (r, C), added up over the parts of each mask: (n, C)."""
        if self._whole:
            return counts[: self.n]
        total = np.zeros((self.n + 1, counts.shape[1]), counts.dtype)
        np.add.at(total, self.mask_of, counts)
        return total[: self.n]

    def most_frequent_label(self, counts: np.ndarray) -> np.ndarray:
        """(n,) int64 the label that most pixels of each mask carry; ties go to the lowest, and a mask without pixels
        has its lowest.

        Args:
            counts: (r,) pixels of each part.
        """
        if self._whole:
            return self.label_of[: self.n]
        last = np.lexsort((-self.label_of, counts, self.mask_of))  # of each mask the last is the one
        found = np.zeros(self.n + 1, np.int64)
        found[self.mask_of[last]] = self.label_of[last]
        return found[: self.n]


def likeliest(probs: torch.Tensor, part: torch.Tensor, parts: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """What is likeliest at each pixel, of (K, P) float32 and (P,) int32.

    Returns:
        The largest probability (P,) float32, its class (P,) int16, the first of equals, and how many pixels of each
        part are predicted to be of each class, (parts, K) int64.
    """
    k, pixels = probs.shape
    if probs.device.type != "cpu":
        best = probs.max(0)  # argmax is slower; of equals this gives the first as well
        first, predicted = best.values, best.indices.short()
    else:
        first, predicted = torch.empty(pixels), torch.empty(pixels, dtype=torch.int16)
        _likeliest(probs.numpy(), first.numpy(), predicted.numpy())
    pairs = part.long().mul_(k).add_(predicted)
    return first, predicted, pairs.bincount(minlength=parts * k).reshape(-1, k).cpu().numpy()


def _likeliest(p: np.ndarray, first: np.ndarray, predicted: np.ndarray) -> None:
    """Fill in the largest of each column and where it is, class by class: 16 times as fast as `torch.max`."""
    first[:], predicted[:] = p[0], 0
    for start in range(0, p.shape[1], CPU_BLOCK):
        here = slice(start, start + CPU_BLOCK)
        best, where = first[here], predicted[here]
        for k in range(1, len(p)):
            np.maximum(where, (p[k, here] > best) * np.int16(k), out=where)
            np.maximum(best, p[k, here], out=best)


def transposed(rows: torch.Tensor) -> torch.Tensor:
    """(K, b) -> (b, K), contiguous; on the CPU row by row, four times as fast as PyTorch's copy."""
    if rows.device.type != "cpu":
        return rows.t().contiguous()
    columns = np.empty((rows.shape[1], len(rows)), np.float32)
    for k, row in enumerate(rows.numpy()):
        columns[:, k] = row
    return torch.from_numpy(columns)
