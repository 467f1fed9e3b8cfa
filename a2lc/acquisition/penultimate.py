"""Eq. 1 and 12 read literally: similarity and the LCM's input in the features before the network's last layer (D1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from a2lc.acquisition.statistics import MaskStatistics


def with_penultimate_features(
    statistics: MaskStatistics,
    features: torch.Tensor,
    probs: torch.Tensor,
    index_map: np.ndarray,
    label_map: np.ndarray,
    class_weights: np.ndarray,
) -> MaskStatistics:
    """The statistics of one image with `sim`, `abc` and `feature` computed from other features; the rest is unchanged.

    Args:
        statistics: of the image's n masks.
        features: (C, H, W) float32.
        probs: (K, H, W) probabilities on the same device, for CIL and the predicted class.
        index_map: (H, W) position of each pixel's mask, -1 = none.
        label_map: (H, W) uint8 pseudo-labels, 0..K-1 or void.
        class_weights: (K,) weights of Eq. 9.

    Returns:
        The same with `feature` of shape (n, C).
    """
    n, device = len(statistics), features.device
    mask, labels, weights, dominant = (
        torch.from_numpy(np.ascontiguousarray(values)).to(device)
        for values in (
            index_map.ravel(),
            label_map.ravel().astype(np.int64),
            class_weights.astype(np.float32),
            statistics.dominant,
        )
    )
    inside = mask >= 0
    mask, labels = mask[inside], labels[inside]
    p, f = probs.flatten(1)[:, inside], features.flatten(1)[:, inside].T  # (K, N), (N, C)
    predicted = p.max(0).indices
    given = torch.where(labels >= len(probs), predicted, labels)
    cil = 1 - p.gather(0, given[None])[0]
    agrees = (predicted == dominant[mask]).float()[:, None]  # m', the pixels that predict D(m)

    def total(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(n, values.shape[1], device=device).index_add_(0, mask, values)

    centre = F.normalize(total(f * agrees))  # its length does not matter
    cosine = (F.normalize(f) * centre[mask]).sum(1)
    scores = total(torch.stack([cil * cosine, cil * cosine * weights[given]], 1)).cpu().double().numpy()
    mean = total(f).cpu().numpy() / np.maximum(statistics.area, 1)[:, None]
    return replace(statistics, sim=scores[:, 0], abc=scores[:, 1], feature=mean.astype(np.float32))
