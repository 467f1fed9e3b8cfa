"""One pass over an image: from a softmax map to the statistics and scores of its masks.

Two identities turn the formulas into a few sums over segments (`a2lc.acquisition.pixels`), without loops over pixels:

- sums are taken per pair of (mask, predicted class); over all pairs of a mask they give the mean over the mask, the
  pair of the dominant prediction gives the mean over m';
- a sum weighted by cosine similarity to one vector is a dot product:
  sum_x cos(p_x, v) s_x = <sum_x s_x p_x/|p_x|, v/|v|>.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from a2lc.acquisition.functions import checked_needs, get_acquisition_function
from a2lc.acquisition.pixels import (
    Pixels,
    adjusted_iou,
    check_label_map,
    check_probabilities,
    checked_weights,
    plurality,
    representative_pixels,
    segment_sums,
)
from a2lc.acquisition.settings import UNCERTAINTY, Need, ScoringSettings
from a2lc.acquisition.statistics import MaskStatistics


def mask_statistics(
    probs: torch.Tensor,
    index_map: np.ndarray,
    label_map: np.ndarray,
    class_weights: np.ndarray | None = None,
    needs: Collection[Need] = (UNCERTAINTY,),
    ignore_index: int = 255,
) -> MaskStatistics:
    """Reduce one image's softmax map to per-mask statistics.

    Args:
        probs: (K, H, W) float softmax probabilities on any device.
        index_map: (H, W) int64, position 0..n-1 of each pixel's mask, -1 where there is none (`MaskSet.index_map`).
        label_map: (H, W) uint8 current pseudo-labels, 0..K-1 or void.
        class_weights: (K,) weights in [0, 1] of Eq. 9; None means 1 for all.
        needs: what to compute besides; of the rest the columns hold NaN, or -1.
        ignore_index: the label of void, K..255.

    Raises:
        ValueError: shapes do not fit, also of the weights; a weight is negative or not finite; a label is no integer,
            or neither a class nor `ignore_index`; or that is not in K..255; `index_map` holds no integers, or one of
            0..n-1 nowhere; or no such statistic in `needs`.
        TypeError: `needs` is a text.
        RuntimeError: not enough memory for one pixel.
    """
    needs = checked_needs(needs)
    if probs.ndim != 3 or not tuple(probs.shape[1:]) == index_map.shape == label_map.shape:
        shapes = f"{tuple(probs.shape)}, {index_map.shape} and {label_map.shape}"
        raise ValueError(f"expected probs (K, H, W), object map (H, W) and label map (H, W), found {shapes}")
    if index_map.dtype.kind not in "iu":
        raise ValueError(f"index_map: expected integers, found {index_map.dtype}")
    k = probs.shape[0]
    check_label_map(label_map, k, ignore_index)
    weights = checked_weights(class_weights, k)
    pixels = Pixels.of(probs, index_map, label_map)
    # (n, K, K + 1 or K + 4) and (n, K, K + 1 or K + 3)
    by_predicted, by_given = pixels.reduced(segment_sums, "uncertainty" in needs, "softmin" in needs)
    n = pixels.n
    rows, counts = np.arange(n), by_predicted[:, :, k]  # (n, K) pixels per (mask, predicted class)
    dominant, area = counts.argmax(1), counts.sum(1)
    if not area.all():
        raise ValueError(f"index_map: expected positions 0..{n - 1}, found {int(area.argmin())} nowhere")
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
    given = np.where(given >= k, dominant, given)
    missing = np.full(n, np.nan)
    pixel, unit, cil_pixel = np.full(n, -1), np.full((n, k), np.nan), missing
    if "representative" in needs:
        pixel, unit, cil_pixel = pixels.reduced(representative_pixels, mu, dominant)
    entropy, margin, bvsb = mean[:, k + 1 :].T if "uncertainty" in needs else (missing, missing, missing)
    iou = missing
    if "components" in needs:
        iou = adjusted_iou(predicted, index_map, label_map, np.where(label >= k, dominant, label))
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
        lcil_softmin=cil_sum[:, k + 2] / np.maximum(cil_sum[:, k + 1], 1e-12) if "softmin" in needs else missing,
    )


def _mixed(label: np.ndarray, index_map: np.ndarray, label_map: np.ndarray) -> bool:
    """Whether some mask carries several labels."""
    return bool(((index_map >= 0) & (np.append(label, 255)[index_map] != label_map)).any())


def score_masks(
    probs: torch.Tensor,
    object_map: np.ndarray,
    label_map: np.ndarray,
    function: str = "abc",
    class_weights: np.ndarray | None = None,
    seed: int = 0,
    scoring: ScoringSettings | None = None,
    ignore_index: int = 255,
) -> dict[int, float]:
    """Score every mask of one image.

    Args:
        probs: (K, H, W) float softmax probabilities (tensor, or an array that becomes one).
        object_map: (H, W) integers, 0 = covered by no mask.
        label_map: (H, W) uint8 current pseudo-labels, 0..K-1 or void.
        function: a name in `ACQUISITION_FUNCTIONS`. Shares of ``clsbal`` and ``merspx`` are counted over this image.
        class_weights: (K,) weights of Eq. 9 for ``abc``; None means 1 for all.
        seed: seed of ``random``.
        scoring: which alternative of ``lcil`` and ``merspx``; None means the defaults. (Its other fields choose class
            weights and predictions, which the caller brings here.)
        ignore_index: the label of void, K..255.

    Returns:
        A dictionary from mask id to score, for every id > 0.

    Raises:
        ValueError: unknown function, ids that are no integers, a negative id; probabilities outside [0, 1]; as
            `mask_statistics`; or `function` returned NaN or something else than a score per mask.
    """
    chosen, probs = get_acquisition_function(function, scoring), torch.as_tensor(probs)
    if object_map.dtype.kind not in "iu":
        raise ValueError(f"object_map: expected integers, found {object_map.dtype}")
    check_probabilities(probs)
    if np.min(object_map, initial=0) < 0:
        raise ValueError(f"object_map: expected ids >= 0, found {np.min(object_map)}")
    ids, index = np.unique(object_map, return_inverse=True)
    index = index.reshape(object_map.shape).astype(np.int64)
    if ids.size and ids[0] == 0:
        ids, index = ids[1:], index - 1
    statistics = mask_statistics(
        probs,
        index,
        label_map,
        class_weights,
        chosen.needs,
        ignore_index,
    )
    scores = chosen.scores(statistics, np.random.default_rng(seed))
    return dict(zip(ids.tolist(), scores.tolist(), strict=True))
