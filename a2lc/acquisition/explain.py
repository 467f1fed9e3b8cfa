"""Why this mask? Its ABC score (Eq. 12) taken apart into confidence in label, class weight and similarity, pixel by
pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from a2lc.acquisition.checking import check_label_map, check_probabilities, checked_weights
from a2lc.files import is_whole


@dataclass(frozen=True)
class Explanation:
    """The factors of one mask's score; the score is the sum over its pixels of cil * weight * similarity.

    Attributes:
        row: area (pixels), label (the most frequent one), dominant (the class predicted most), the means over the mask
            of cil, weight and similarity (each in [0, 1]), and the score (in [0, area]).
        cil: (H, W) 1 - p[label] of each pixel (Eq. 10), NaN outside the mask.
        weight: (H, W) adaptive class weight of each pixel's label (Eq. 9), NaN outside.
        similarity: (H, W) cosine similarity to the mean over m' (Eq. 12), NaN outside.
    """

    row: dict[str, float]
    cil: np.ndarray
    weight: np.ndarray
    similarity: np.ndarray

    @property
    def contribution(self) -> np.ndarray:
        """(H, W) what each pixel adds to the score, NaN outside the mask."""
        return self.cil * self.weight * self.similarity


def explain_mask(
    probs: torch.Tensor | np.ndarray,
    object_map: np.ndarray,
    label_map: np.ndarray,
    mask_id: int,
    class_weights: np.ndarray | None = None,
    ignore_index: int = 255,
) -> Explanation:
    """Take the ABC score of one mask apart; with `class_weights` None it is the SIM score.

    Args:
        probs: (K, H, W) softmax probabilities.
        object_map: (H, W) integer mask ids.
        label_map: (H, W) uint8 pseudo-labels, 0..K-1 or void (then each pixel's prediction takes its place).
        mask_id: an id of `object_map`, > 0.
        class_weights: (K,) weights of Eq. 9.
        ignore_index: the label of void, K..255.

    Raises:
        ValueError: as `mask_statistics`, or the object map has no such mask; probabilities outside [0, 1].
        TypeError: `mask_id` is no whole number.
    """
    if not is_whole(mask_id):
        raise TypeError(f"mask_id: expected a whole number, found {mask_id!r}")
    tensor = torch.as_tensor(probs)
    check_probabilities(tensor)
    p = tensor.detach().cpu().double().numpy()
    if p.ndim != 3 or not p.shape[1:] == object_map.shape == label_map.shape:
        shapes = f"{p.shape}, {object_map.shape} and {label_map.shape}"
        raise ValueError(f"expected probs (K, H, W), object map (H, W) and label map (H, W), found {shapes}")
    check_label_map(label_map, len(p), ignore_index)
    weights = checked_weights(class_weights, len(p))
    inside = object_map == mask_id
    if mask_id <= 0 or not inside.any():
        raise ValueError(f"mask_id: expected an id > 0 of the object map, found {mask_id}")
    pixels = p[:, inside].T  # (n, K)
    predicted = pixels.argmax(1)
    dominant = int(np.bincount(predicted).argmax())
    mu = pixels[predicted == dominant].mean(0)
    given = np.where(label_map[inside] >= len(p), predicted, label_map[inside])
    factors = {
        "cil": 1 - pixels[np.arange(len(pixels)), given],
        "weight": weights[given],
        "similarity": pixels @ mu / np.maximum(np.linalg.norm(pixels, axis=1) * np.linalg.norm(mu), 1e-12),
    }
    maps = {name: np.full(object_map.shape, np.nan) for name in factors}
    for name, values in factors.items():
        maps[name][inside] = values
    row = {"area": len(pixels), "label": int(np.bincount(label_map[inside]).argmax()), "dominant": dominant}
    means = {name: float(values.mean()) for name, values in factors.items()}
    score = float((factors["cil"] * factors["weight"] * factors["similarity"]).sum())
    return Explanation({**row, **means, "score": score}, **maps)
