"""One pass over an image: from a softmax map to the statistics and scores of its masks.

Two identities turn the formulas into a few sums over segments (`a2lc.acquisition.sums`), without loops over pixels:

- sums are taken per pair of (mask, predicted class); over all pairs of a mask they give the mean over the mask, the
  pair of the dominant prediction gives the mean over m';
- a sum weighted by cosine similarity to one vector is a dot product:
  sum_x cos(p_x, v) s_x = <sum_x s_x p_x/|p_x|, v/|v|>.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from a2lc.acquisition.checking import check_label_map, check_probabilities, checked_weights
from a2lc.acquisition.functions import checked_needs, get_acquisition_function
from a2lc.acquisition.pixels import Pixels
from a2lc.acquisition.places import adjusted_iou, representative_pixels
from a2lc.acquisition.settings import UNCERTAINTY, Need, ScoringSettings
from a2lc.acquisition.statistics import MaskStatistics
from a2lc.acquisition.sums import segment_sums


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
    wanted, weights = _checked(probs, index_map, label_map, class_weights, needs, ignore_index)
    if label_map.shape != index_map.shape:
        raise ValueError(_shapes(probs, index_map, label_map))
    return _reduced(Pixels.of_label_map(probs, index_map, label_map), index_map.shape, weights, wanted)


def statistics_of_masks(
    probs: torch.Tensor,
    index_map: np.ndarray,
    labels: np.ndarray,
    class_weights: np.ndarray | None = None,
    needs: Collection[Need] = (UNCERTAINTY,),
    ignore_index: int = 255,
) -> MaskStatistics:
    """`mask_statistics` of masks that carry one label each, without a label map: what rounds use.

    Args:
        labels: (n + 1,) integers, the label of each mask and, last, of pixels without one (`MaskSet.labels_of`).

    Raises:
        ValueError, TypeError, RuntimeError: as `mask_statistics`.
    """
    wanted, weights = _checked(probs, index_map, labels, class_weights, needs, ignore_index)
    return _reduced(Pixels.of_masks(probs, index_map, labels), index_map.shape, weights, wanted)


def _checked(
    probs: torch.Tensor,
    index_map: np.ndarray,
    labels: np.ndarray,
    class_weights: np.ndarray | None,
    needs: Collection[Need],
    ignore_index: int,
) -> tuple[frozenset[Need], np.ndarray]:
    """What is needed, and (K,) weights."""
    wanted = checked_needs(needs)
    if probs.ndim != 3 or tuple(probs.shape[1:]) != index_map.shape:
        raise ValueError(_shapes(probs, index_map, labels))
    if index_map.dtype.kind not in "iu":
        raise ValueError(f"index_map: expected integers, found {index_map.dtype}")
    check_label_map(labels, len(probs), ignore_index)
    return wanted, checked_weights(class_weights, len(probs))


def _shapes(probs: torch.Tensor, index_map: np.ndarray, labels: np.ndarray) -> str:
    shapes = f"{tuple(probs.shape)}, {index_map.shape} and {labels.shape}"
    return f"expected probs (K, H, W), object map (H, W) and label map (H, W), found {shapes}"


def _reduced(pixels: Pixels, shape: tuple[int, ...], weights: np.ndarray, needs: frozenset[Need]) -> MaskStatistics:
    """Statistics of pixels (H, W), with weights (K,)."""
    n, k, area, dominant = pixels.n, len(pixels.probs), pixels.area, pixels.most_predicted
    if not area.all():
        raise ValueError(f"index_map: expected positions 0..{n - 1}, found {int(area.argmin())} nowhere")
    # C = K or K + 3, and C = K + 1 or K + 3
    by_predicted, by_given = pixels.reduced(segment_sums, "uncertainty" in needs, "softmin" in needs)
    rows, counts = np.arange(n), pixels.by_mask(pixels.counts)  # (n, K) pixels per (mask, predicted class)
    mu = by_predicted.of(dominant)[:, :k] / counts[rows, dominant][:, None]  # (n, K) mean over m'
    direction = mu / np.maximum(np.linalg.norm(mu, axis=1, keepdims=True), 1e-12)
    mean = by_predicted.by_mask(n) / area[:, None]  # (n, K or K + 3) means over the mask
    cil_sum = by_given.by_mask(n)  # (n, K + 1 or K + 3)
    weighted = by_given.by_mask(n, weights)[:, :k]  # (n, K): each pixel's CIL times its label's class weight
    label = pixels.most_frequent_label(pixels.counts.sum(1))
    agreeing = pixels.counts[np.arange(len(pixels.counts)), np.append(dominant, 0)[pixels.mask_of]]  # (r,) pixels of m'
    given = pixels.most_frequent_label(agreeing)
    given = np.where(given >= k, dominant, given)
    missing = np.full(n, np.nan)
    pixel, unit, cil_pixel = np.full(n, -1), np.full((n, k), np.nan), missing
    if "representative" in needs:
        pixel, unit, cil_pixel = pixels.reduced(representative_pixels, mu, dominant)
    entropy, margin, bvsb = mean[:, k:].T if "uncertainty" in needs else (missing, missing, missing)
    iou = adjusted_iou(pixels, shape, np.where(label >= k, dominant, label)) if "components" in needs else missing
    return MaskStatistics(
        area=area,
        label=label.astype(np.uint8),
        dominant=dominant,
        entropy=entropy,
        margin=margin,
        bvsb=bvsb,
        lcil=cil_sum[:, k] / area,
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
