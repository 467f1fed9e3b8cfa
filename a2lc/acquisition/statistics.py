"""One pass over an image: every number that any acquisition function, the annotator or the LCM needs, per mask.

Two identities make this a handful of segment sums instead of loops over pixels:

- all sums are taken per (mask, predicted class) pair; the sum over pairs gives the mean over the mask, the pair of the
  dominant prediction gives the mean over m';
- a sum weighted by cosine similarity to one vector is a dot product:
  sum_x cos(p_x, v) s_x = <sum_x s_x p_x/|p_x|, v/|v|>.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from skimage.measure import label as connected_components
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.masks import MaskSet
from a2lc.segmenter import Segmenter

_BLOCK = 1 << 15  # pixels per block: fits the cache, and short float32 sums stay exact to about 1e-6


@dataclass(frozen=True)
class MaskStatistics:
    """Per-mask statistics, one row per mask in table order; numbers as defined in Eq. 1 and 10-12 and methods of the
    baselines.

    Attributes:
        area: (n,) int64 pixels.
        label: (n,) uint8 current label, 255 = void.
        dominant: (n,) int64 most frequent predicted class D(m); ties go to the lowest class.
        entropy: (n,) mean over the mask of the Shannon entropy divided by log K, in [0, 1].
        margin: (n,) mean of 1 - (largest - second largest probability), in [0, 1].
        bvsb: (n,) mean of second largest / largest probability, in (0, 1].
        lcil: (n,) mean of the pixel CIL 1 - p[label], in [0, 1] (Eq. 10); void masks take each pixel's own prediction
            as label.
        cil: (n,) 1 - mu[label], mu the mean probability over m' = pixels that predict D(m); in [0, 1].
        sim: (n,) sum of CIL x cosine similarity to mu, in [0, area] (Eq. 12 with w = 1).
        abc: (n,) the same with each pixel's class weight, in [0, area] (Eq. 12).
        feature: (n, K) mean probability over the mask: the LCM's input (Eq. 1).
        representative: (n,) flat index y * W + x of the pixel of m' most similar to mu (ALC's queried pixel); -1 when
            not asked for.
        cil_pixel: (n,) CIL at the representative pixel; NaN when not asked for.
        sim_pixel: (n,) sum of CIL x cosine similarity to the representative pixel (SIM as in ALC); NaN when not asked
            for.
        adjusted_iou: (n,) adjusted IoU of the mask with the predicted components of its label, in [0, 1]; NaN when
            not asked for.
    """

    area: np.ndarray
    label: np.ndarray
    dominant: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray
    bvsb: np.ndarray
    lcil: np.ndarray
    cil: np.ndarray
    sim: np.ndarray
    abc: np.ndarray
    feature: np.ndarray
    representative: np.ndarray
    cil_pixel: np.ndarray
    sim_pixel: np.ndarray
    adjusted_iou: np.ndarray

    def __len__(self) -> int:
        return len(self.area)

    def with_representative_similarity(self) -> MaskStatistics:
        """The same with SIM and CIL taken at the representative pixel, as in ALC (Kim et al. 2024)."""
        return replace(self, sim=self.sim_pixel, cil=self.cil_pixel)

    @staticmethod
    def concatenate(parts: Iterable[MaskStatistics]) -> MaskStatistics:
        """Stack the statistics of several images."""
        parts = list(parts)
        return MaskStatistics(
            *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(MaskStatistics))
        )


def mask_statistics(
    probs: torch.Tensor,
    index_map: np.ndarray,
    label_map: np.ndarray,
    class_weights: np.ndarray | None = None,
    representative: bool = False,
    adjusted_iou: bool = False,
) -> MaskStatistics:
    """Reduce one image's softmax map to per-mask statistics.

    Args:
        probs: (K, H, W) float softmax probabilities on any device.
        index_map: (H, W) int64, position 0..n-1 of each pixel's mask, -1 where there is none (`MaskSet.index_map`).
        label_map: (H, W) uint8 current pseudo-labels, 0..K-1 or 255 = void.
        class_weights: (K,) weights in [0, 1] of Eq. 9; None means 1 for all.
        representative: also find ALC's representative pixel and what depends on it.
        adjusted_iou: also compute the adjusted IoU (connected components of the prediction, on the CPU).

    Raises:
        ValueError: shapes do not fit, or a label is neither a class nor 255.
    """
    if probs.ndim != 3 or not tuple(probs.shape[1:]) == index_map.shape == label_map.shape:
        shapes = f"{tuple(probs.shape)}, {index_map.shape} and {label_map.shape}"
        raise ValueError(f"expected probs (K, H, W), object map (H, W) and label map (H, W), found {shapes}")
    k, n = probs.shape[0], int(index_map.max(initial=-1)) + 1
    wrong = label_map[(label_map >= k) & (label_map != 255)]
    if wrong.size:
        raise ValueError(f"labels must lie in 0..{k - 1} or be 255, found {int(wrong[0])}")
    weights = torch.ones(k) if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
    pixels = _Pixels.of(probs, index_map, label_map)
    sums = _segment_sums(pixels, n, k, weights.to(probs.device))  # (n, K, 3K + 5) float64

    counts = sums[:, :, -1]  # pixels per (mask, predicted class)
    dominant = counts.argmax(1)
    rows = np.arange(n)
    area = counts.sum(1)
    safe = np.maximum(area, 1)
    mu = sums[rows, dominant, :k] / np.maximum(counts[rows, dominant], 1)[:, None]  # (n, K) mean over m'
    whole = sums.sum(1)  # (n, 3K + 5) sums over the mask
    direction = mu / np.maximum(np.linalg.norm(mu, axis=1, keepdims=True), 1e-12)
    label = _plurality(index_map, label_map, index_map >= 0, n)
    predicted = probs.argmax(0).cpu().numpy()
    agreeing = (index_map >= 0) & (predicted == np.append(dominant, -1)[index_map])  # m'
    inner = _plurality(index_map, label_map, agreeing, n)
    pixel, cosine_vector, cil_pixel = (
        _representative(pixels, mu, dominant, n, k) if representative else (None, None, None)
    )
    missing = np.full(n, np.nan)
    return MaskStatistics(
        area=area.astype(np.int64),
        label=label.astype(np.uint8),
        dominant=dominant,
        entropy=whole[:, 3 * k] / safe,
        margin=whole[:, 3 * k + 1] / safe,
        bvsb=whole[:, 3 * k + 2] / safe,
        lcil=whole[:, 3 * k + 3] / safe,
        cil=1 - mu[rows, np.where(inner == 255, dominant, inner)],
        sim=(whole[:, k : 2 * k] * direction).sum(1),
        abc=(whole[:, 2 * k : 3 * k] * direction).sum(1),
        feature=(whole[:, :k] / safe[:, None]).astype(np.float32),
        representative=np.full(n, -1) if pixel is None else pixel,
        cil_pixel=missing if cil_pixel is None else cil_pixel,
        sim_pixel=missing if cosine_vector is None else (whole[:, k : 2 * k] * cosine_vector).sum(1),
        adjusted_iou=_adjusted_iou(predicted, index_map, label_map, np.where(label == 255, dominant, label))
        if adjusted_iou
        else missing,
    )


def gather_statistics(
    model: Segmenter,
    split: Split,
    masks: MaskSet,
    class_weights: np.ndarray,
    representative: bool = False,
    adjusted_iou: bool = False,
    progress: bool = True,
) -> tuple[MaskStatistics, float]:
    """Predict every image once and reduce it to per-mask statistics at once; no softmax map outlives its image.

    Args:
        model: the segmenter of the last round.
        split: where the images are read.
        masks: M masks with their current labels.
        class_weights: (K,) weights of Eq. 9.
        representative, adjusted_iou: as in `mask_statistics`.
        progress: whether to show a progress bar.

    Returns:
        Statistics of all M masks in table order, and the seconds spent in reading and predicting images.
    """
    parts, predicting = [], 0.0
    for name in tqdm(masks.names, desc="scoring", leave=False, unit="image", disable=not progress):
        start = time.perf_counter()
        probs = model.predict(split.image(name))
        predicting += time.perf_counter() - start
        index = masks.index_map(name)
        parts.append(
            mask_statistics(probs, index, masks.label_map(name, index), class_weights, representative, adjusted_iou)
        )
    return MaskStatistics.concatenate(parts), predicting


@dataclass(frozen=True)
class _Pixels:
    """The covered pixels of an image, handed out in cache-sized blocks."""

    probs: torch.Tensor  # (K, H*W) float32
    index: torch.Tensor  # (H*W,) int64 mask of each pixel, -1 = none
    labels: torch.Tensor  # (H*W,) int64 pseudo-label of each pixel
    covered: torch.Tensor  # (c,) int64 flat positions of covered pixels, ascending

    @staticmethod
    def of(probs: torch.Tensor, index_map: np.ndarray, label_map: np.ndarray) -> _Pixels:
        device = probs.device
        index = torch.from_numpy(index_map.ravel()).to(device)
        labels = torch.from_numpy(label_map.ravel().astype(np.int64)).to(device)
        covered = torch.nonzero(index >= 0).squeeze(1)
        return _Pixels(probs.detach().float().reshape(probs.shape[0], -1), index, labels, covered)

    def blocks(self) -> Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield per block: flat positions (b,), masks (b,), probabilities (b, K), predictions (b,), effective labels
        (b,)."""
        for where in self.covered.split(_BLOCK):
            p = self.probs[:, where].t().contiguous()  # (b, K)
            predicted = p.argmax(1)  # ties go to the lowest class
            labels = self.labels[where]
            yield where, self.index[where], p, predicted, torch.where(labels == 255, predicted, labels)


def _plurality(index_map: np.ndarray, label_map: np.ndarray, inside: np.ndarray, n: int) -> np.ndarray:
    """(n,) most frequent label of each mask's pixels among `inside` (H, W) bool; ties go to the lowest label."""
    pairs = index_map[inside] * 256 + label_map[inside]
    return np.bincount(pairs, minlength=n * 256).reshape(n, 256).argmax(1)


def _segment_sums(pixels: _Pixels, n: int, k: int, weights: torch.Tensor) -> np.ndarray:
    """(n, K, 3K + 5) float64 sums per (mask, predicted class) of [p | a p/|p| | w a p/|p| | entropy, margin, bvsb, a,
    1]."""
    exact = torch.float32 if pixels.probs.device.type == "mps" else torch.float64  # Apple's backend has no float64
    total = torch.zeros(n * k, 3 * k + 5, dtype=exact, device=pixels.probs.device)
    for _, mask, p, predicted, given in pixels.blocks():
        unit = torch.nn.functional.normalize(p, dim=1)
        top = p.topk(min(2, k), dim=1).values
        second = top[:, 1:] if k > 1 else torch.zeros_like(top)
        a = 1 - p.gather(1, given[:, None])  # (b, 1) pixel CIL, Eq. 10
        entropy = -(p * p.clamp_min(1e-12).log()).sum(1, keepdim=True) / max(np.log(k), 1e-12)
        scalars = [entropy, 1 - (top[:, :1] - second), second / top[:, :1].clamp_min(1e-12), a, torch.ones_like(a)]
        columns = torch.cat([p, a * unit, (weights[given][:, None] * a) * unit, *scalars], 1)  # (b, 3K + 5)
        part = torch.zeros(n * k, 3 * k + 5, device=p.device)
        total += part.index_add_(0, mask * k + predicted, columns).to(exact)
    return total.reshape(n, k, 3 * k + 5).cpu().double().numpy()


def _representative(
    pixels: _Pixels, mu: np.ndarray, dominant: np.ndarray, n: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ALC's representative pixel: flat index (n,), its unit vector (n, K) and its CIL (n,)."""
    device = pixels.probs.device
    centre = torch.nn.functional.normalize(torch.from_numpy(mu).float().to(device), dim=1)
    target = torch.from_numpy(dominant).to(device)
    best = torch.full((n,), -1.0, device=device)
    position = torch.full((n,), -1, dtype=torch.int64, device=device)
    none = pixels.index.numel()
    for where, mask, p, predicted, _ in pixels.blocks():
        cosine = (centre[mask] * torch.nn.functional.normalize(p, dim=1)).sum(1)
        cosine = torch.where(predicted == target[mask], cosine, -1.0)
        here = torch.full((n,), -1.0, device=device).scatter_reduce_(0, mask, cosine, "amax")
        candidates = torch.where((cosine == here[mask]) & (cosine >= 0), where, none)
        first = torch.full((n,), none, device=device).scatter_reduce_(0, mask, candidates, "amin")
        better = (here > best) & (first < none)  # strict: the earlier block keeps a tie
        best, position = torch.where(better, here, best), torch.where(better, first, position)
    p = pixels.probs[:, position].t()  # (n, K)
    given = pixels.labels[position]
    given = torch.where(given == 255, p.argmax(1), given)
    cil = 1 - p.gather(1, given[:, None]).squeeze(1)
    unit = torch.nn.functional.normalize(p, dim=1)
    return position.cpu().numpy(), unit.cpu().double().numpy(), cil.cpu().double().numpy()


def _adjusted_iou(predicted: np.ndarray, index_map: np.ndarray, label_map: np.ndarray, given: np.ndarray) -> np.ndarray:
    """(n,) |m & Q| / (|m| + pixels of Q whose pseudo-label is not m's class), Q = predicted components of that class
    touching m.

    Source: ``IoU_adj`` of Rottmann & Reese (2023), ``src/metrics.pyx``, with label and prediction in swapped roles;
        8-connected components.
    """
    components = connected_components(predicted, background=-1, connectivity=2)  # 1..C
    n, c = len(given), int(components.max()) + 1
    foreign = np.bincount(
        components[label_map != predicted], minlength=c
    )  # pixels of a component whose pseudo-label disagrees
    inside = (index_map >= 0) & (predicted == np.append(given, -1)[index_map])
    pairs = np.unique(index_map[inside].astype(np.int64) * c + components[inside])
    charged = np.bincount(pairs // c, weights=foreign[pairs % c], minlength=n)
    hits = np.bincount(index_map[inside], minlength=n)
    area = np.bincount(index_map[index_map >= 0], minlength=n)
    return hits / np.maximum(area + charged, 1)
