"""One pass over an image: every number that any acquisition function, the annotator or the LCM needs, per mask.

Two identities turn the formulas into a few sums over segments (`pixels.py`), without loops over pixels:

- sums are taken per pair of (mask, predicted class); over all pairs of a mask they give the mean over the mask, the
  pair of the dominant prediction gives the mean over m';
- a sum weighted by cosine similarity to one vector is a dot product:
  sum_x cos(p_x, v) s_x = <sum_x s_x p_x/|p_x|, v/|v|>.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from a2lc.acquisition.pixels import Pixels, adjusted_iou, plurality, representative_pixels, segment_sums


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
        lcil_softmin: (n,) mean of the pixel CIL weighted by exp(CIL / 0.1), in [0, 1]; NaN when not asked for.
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
    lcil_softmin: np.ndarray

    def __len__(self) -> int:
        return len(self.area)

    def with_representative_similarity(self) -> MaskStatistics:
        """The same with SIM and CIL taken at the representative pixel, as in ALC (Kim et al. 2024)."""
        return replace(self, sim=self.sim_pixel, cil=self.cil_pixel)

    def take(self, rows: np.ndarray) -> MaskStatistics:
        """The statistics of some masks, (m,) row numbers; of all in order, these themselves and no copy."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return MaskStatistics(*(getattr(self, f.name)[rows] for f in fields(MaskStatistics)))

    @staticmethod
    def like(part: MaskStatistics, n: int) -> MaskStatistics:
        """Statistics of n masks, not yet filled, whose columns have the dtypes and widths of those of `part`."""
        columns = (getattr(part, f.name) for f in fields(MaskStatistics))
        return MaskStatistics(*(np.empty((n, *column.shape[1:]), column.dtype) for column in columns))

    def put(self, rows: slice, part: MaskStatistics) -> None:
        """Fill in the statistics of one image's masks, which are these rows."""
        for f in fields(MaskStatistics):
            getattr(self, f.name)[rows] = getattr(part, f.name)


def mask_statistics(
    probs: torch.Tensor,
    index_map: np.ndarray,
    label_map: np.ndarray,
    class_weights: np.ndarray | None = None,
    uncertainty: bool = True,
    representative: bool = False,
    components: bool = False,
    softmin: bool = False,
) -> MaskStatistics:
    """Reduce one image's softmax map to per-mask statistics.

    Args:
        probs: (K, H, W) float softmax probabilities on any device.
        index_map: (H, W) int64, position 0..n-1 of each pixel's mask, -1 where there is none (`MaskSet.index_map`).
        label_map: (H, W) uint8 current pseudo-labels, 0..K-1 or 255 = void.
        class_weights: (K,) weights in [0, 1] of Eq. 9; None means 1 for all.
        uncertainty: also compute entropy, margin and bvsb.
        representative: also find ALC's representative pixel and what depends on it.
        components: also compute the adjusted IoU (connected components of the prediction, on the CPU).
        softmin: also pool the CIL by softmin.

    Raises:
        ValueError: shapes do not fit, or a label is neither a class nor 255.
    """
    if probs.ndim != 3 or not tuple(probs.shape[1:]) == index_map.shape == label_map.shape:
        shapes = f"{tuple(probs.shape)}, {index_map.shape} and {label_map.shape}"
        raise ValueError(f"expected probs (K, H, W), object map (H, W) and label map (H, W), found {shapes}")
    k = probs.shape[0]
    wrong = label_map[(label_map >= k) & (label_map != 255)]
    if wrong.size:
        raise ValueError(f"labels must lie in 0..{k - 1} or be 255, found {int(wrong[0])}")
    weights = np.ones(k) if class_weights is None else np.asarray(class_weights, dtype=np.float64)
    pixels = Pixels.of(probs, index_map, label_map)
    # (n, K, K + 1 or K + 4) and (n, K, K + 1 or K + 3)
    by_predicted, by_given = pixels.reduced(segment_sums, uncertainty, softmin)
    n = pixels.n
    rows, counts = np.arange(n), by_predicted[:, :, k]  # (n, K) pixels per (mask, predicted class)
    dominant, area = counts.argmax(1), counts.sum(1)
    mu = by_predicted[rows, dominant, :k] / np.maximum(counts[rows, dominant], 1)[:, None]  # (n, K) mean over m'
    direction = mu / np.maximum(np.linalg.norm(mu, axis=1, keepdims=True), 1e-12)
    mean = by_predicted.sum(1) / np.maximum(area, 1)[:, None]  # (n, K + 1 or K + 4) means over the mask
    cil_sum = by_given.sum(1)  # (n, K + 1 or K + 3)
    weighted = (weights[:, None] * by_given[:, :, :k]).sum(1)  # (n, K): each pixel's CIL times its label's class weight
    inside = index_map >= 0
    label = given = plurality(index_map, label_map, inside, n)
    predicted = pixels.predicted.cpu().numpy().reshape(index_map.shape)
    if _mixed(label, index_map, label_map):  # only in masks with several labels can the label of m' be another one
        given = plurality(index_map, label_map, inside & (predicted == np.append(dominant, -1)[index_map]), n)
    given = np.where(given == 255, dominant, given)
    missing = np.full(n, np.nan)
    pixel, unit, cil_pixel = np.full(n, -1), np.full((n, k), np.nan), missing
    if representative:
        pixel, unit, cil_pixel = pixels.reduced(representative_pixels, mu, dominant)
    entropy, margin, bvsb = mean[:, k + 1 :].T if uncertainty else (missing, missing, missing)
    iou = missing
    if components:
        iou = adjusted_iou(predicted, index_map, label_map, np.where(label == 255, dominant, label))
    return MaskStatistics(
        area=area.astype(np.int64),
        label=label.astype(np.uint8),
        dominant=dominant,
        entropy=entropy,
        margin=margin,
        bvsb=bvsb,
        lcil=cil_sum[:, k] / np.maximum(area, 1),
        cil=1 - mu[rows, given],
        sim=(cil_sum[:, :k] * direction).sum(1),
        abc=(weighted * direction).sum(1),
        feature=mean[:, :k].astype(np.float32),
        representative=pixel,
        cil_pixel=cil_pixel,
        sim_pixel=(cil_sum[:, :k] * unit).sum(1),
        adjusted_iou=iou,
        lcil_softmin=cil_sum[:, k + 2] / np.maximum(cil_sum[:, k + 1], 1e-12) if softmin else missing,
    )


def _mixed(label: np.ndarray, index_map: np.ndarray, label_map: np.ndarray) -> bool:
    """Whether some mask carries several labels."""
    return bool(((index_map >= 0) & (np.append(label, 255)[index_map] != label_map)).any())
