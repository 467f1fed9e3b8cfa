"""Sums over the pixels of masks: the tensor code under `one_pass`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array

from a2lc.acquisition import compiled
from a2lc.acquisition.pixels import TINY, Block, Pixels

_SOFTMIN_TEMPERATURE = 0.1  # of Lad & Mueller (2023)


@dataclass(frozen=True)
class Sums:
    """Sums over the pixels that share a mask and a class. What does not occur has no row, so that there are never more
    numbers than probabilities."""

    mask: np.ndarray  # (q,) int64, ascending, and below n
    of_class: np.ndarray  # (q,) int64
    values: np.ndarray  # (q, C) float64

    def by_mask(self, n: int, weights: np.ndarray | None = None) -> np.ndarray:
        """Added up over the classes of each of n masks, in their order: (n, C) float64.

        Args:
            n: masks.
            weights: (K,) what each class counts; 1 by default.
        """
        share = np.ones(len(self.mask)) if weights is None else weights[self.of_class]
        bounds = np.searchsorted(self.mask, np.arange(n + 1))
        total: np.ndarray = csr_array((share, np.arange(len(share)), bounds), (n, len(share))) @ self.values
        return total

    def of(self, classes: np.ndarray) -> np.ndarray:
        """(n, C) float64 sums of one class of each mask, which occurs in it."""
        k = int(self.of_class.max(initial=0)) + 1
        return self.values[np.searchsorted(self.mask * k + self.of_class, np.arange(len(classes)) * k + classes)]

    def spread(self, column: int, n: int, k: int) -> np.ndarray:
        """(n, k) float64 one column of the sums, by mask and class."""
        found = np.zeros((n, k))
        found[self.mask, self.of_class] = self.values[:, column]
        return found


@dataclass(frozen=True)
class Groups:
    """Which pixels are added up together: those of one mask that are predicted to be of one class, or carry one.

    Attributes:
        mask: (q,) int64 mask of each group, ascending.
        of_class: (q,) int64 its class.
        lookup: (r * K,) int32 group of each pair of part and predicted class; q where no mask is, or no pixel.
    """

    mask: np.ndarray
    of_class: np.ndarray
    lookup: np.ndarray

    @staticmethod
    def of(pixels: Pixels, by_label: bool) -> Groups:
        """Groups by predicted class; with `by_label` by effective label, which is the prediction where that is void."""
        k = pixels.counts.shape[1]
        pairs = np.flatnonzero(pixels.counts)
        part, found = np.divmod(pairs, k)
        mask, label = pixels.mask_of[part], pixels.label_of[part]
        if by_label:
            found = np.where(label >= k, found, label)
        inside = mask < pixels.n
        groups, position = np.unique(mask[inside] * k + found[inside], return_inverse=True)
        lookup = np.full(pixels.counts.size, len(groups), np.int32)
        lookup[pairs[inside]] = position
        return Groups(groups // k, groups % k, lookup)

    def sums(self, *columns: np.ndarray) -> Sums:
        """Their sums, from columns (q, C) of them."""
        return Sums(self.mask, self.of_class, np.concatenate(columns, 1))


def segment_sums(pixels: Pixels, uncertainty: bool, softmin: bool = False) -> tuple[Sums, Sums]:
    """Sums over the pixels of masks.

    Returns:
        By predicted class, C = K: probabilities; with `uncertainty` C = K + 3, after these entropy / log K, margin and
        bvsb. By effective label, C = K + 1: CIL times unit vector p/|p|, CIL (Eq. 10); with `softmin` C = K + 3, after
        these exp(CIL / 0.1) and CIL times that.
    """
    k, device = len(pixels.probs), pixels.probs.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's backend has no float64
    groups = Groups.of(pixels, by_label=False), Groups.of(pixels, by_label=True)
    lookups = [torch.from_numpy(found.lookup).to(device) for found in groups]
    given = torch.from_numpy(pixels.label_of).to(device)
    sizes = [len(found.mask) + 1 for found in groups]  # the last takes what no mask covers, which is cheap
    widths = ((0, k), (0, 3 if uncertainty else 0), (1, k + 1), (1, 2 if softmin else 0))
    totals = [torch.zeros(sizes[which], width, dtype=exact, device=device) for which, width in widths]
    loops = compiled.available and device.type == "cpu"
    if loops:
        compiled.add_pixels(
            pixels.probs.numpy(),
            pixels.part.numpy(),
            pixels.predicted.numpy(),
            pixels.label_of,
            groups[0].lookup,
            groups[1].lookup,
            totals[0].numpy(),
            totals[2].numpy(),
            pixels.block,
        )
    for block in () if loops and not (uncertainty or softmin) else pixels.blocks():
        pair = block.part * k + block.predicted
        by_predicted, by_given = (lookup[pair].long() for lookup in lookups)
        label = given[block.part]
        label = torch.where(label >= k, block.predicted, label)
        one, cil = torch.ones_like(block.first), 1 - block.rows.gather(0, label[None])[0]  # (b,)
        if not loops:
            _add(totals[0], by_predicted, one, block.p)
            _add(totals[2][:, :k], by_given, cil * block.inverse_norm, block.p)
            _add(totals[2][:, k:], by_given, one, cil[:, None])
        if uncertainty:
            _add(totals[1], by_predicted, one, torch.stack(_uncertainty(block), 1))
        if softmin:
            _add(totals[3], by_given, one, _softmin(cil))
    columns = [total[:-1].cpu().double().numpy() for total in totals]
    return groups[0].sums(*columns[:2]), groups[1].sums(*columns[2:])


def _add(total: torch.Tensor, key: torch.Tensor, weight: torch.Tensor, values: torch.Tensor) -> None:
    """Add `sums_of` a block to the total (q, C); on a CPU only to the rows of the groups that are in it."""
    if total.device.type != "cpu":
        total += sums_of(key, weight, values, len(total)).to(total.dtype)
        return
    here = np.flatnonzero(np.bincount(key.numpy(), minlength=len(total)))
    place = np.empty(len(total), np.int64)
    place[here] = np.arange(len(here))
    total[here] += sums_of(torch.from_numpy(place[key.numpy()]), weight, values, len(here)).to(total.dtype)


def sums_of(key: torch.Tensor, weight: torch.Tensor, values: torch.Tensor, rows: int) -> torch.Tensor:
    """Weighted sums of the values that share a key.

    Args:
        key: (b,) integers in 0..rows-1.
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
    rows = block.rows.clone(memory_format=torch.contiguous_format)  # (K, b): sums and maxima over rows are faster
    second = rows.scatter(0, block.predicted[None], 0.0).amax(0)
    information = rows.clamp_min(TINY).log_().mul_(rows).sum(0)  # three times as fast as torch.special.entr
    entropy = -information / max(np.log(len(rows)), TINY)
    return entropy, 1 - (block.first - second), second / block.first.clamp_min(TINY)


def _softmin(cil: torch.Tensor) -> torch.Tensor:
    """(b,) CIL -> (b, 2) the softmin's weight, in [1, exp(10)], and CIL times it."""
    weight = (cil / _SOFTMIN_TEMPERATURE).exp()
    return torch.stack([weight, weight * cil], 1)
