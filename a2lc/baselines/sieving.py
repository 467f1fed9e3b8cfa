"""Sieving (Kim et al. 2023; released code `deeplab/build_data_active_sp_am.py`): of a merged region that got one label,
only pixels that the model believes to have it are labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from a2lc.machine import KNEED, require

POINTS = 20  # of the curve; one or two more where the area is no multiple


def sieve(confidence: NDArray[np.floating], *, merged_area: int = 512) -> NDArray[np.bool_]:
    """Which pixels of one region keep its label.

    The confidences are sorted and every floor(m/20)-th is kept; the threshold is the one at the knee of that curve
    (Kneedle by Satopaa et al. 2011, concave, increasing, S = 1), or the lowest where there is no knee.

    `kneed` 0.8.6 changed which knee it finds: up to 0.8.5, hence presumably behind the published numbers, a curve that
    starts below its chord (few pixels of low confidence) has its knee at its first point, and nothing is sieved out.

    Args:
        confidence: (m,) probability of the region's label at each of its pixels, m >= 1.
        merged_area: regions of fewer pixels keep all of them: twice the mean area of a superpixel before merging.

    Returns:
        (m,) True for the pixels at or above the threshold; at least one.

    Raises:
        MissingExtraError: kneed is missing.
        ValueError: not (m,) floats, none at all, or NaN.
    """
    if confidence.ndim != 1 or not len(confidence) or confidence.dtype.kind != "f":
        found = f"{confidence.shape} {confidence.dtype}"
        raise ValueError(f"sieve: expected (m,) float confidences of at least one pixel, found {found}")
    if np.isnan(confidence).any():
        raise ValueError("sieve: expected confidences, found NaN")
    if len(confidence) < merged_area:
        return np.ones(len(confidence), dtype=bool)
    curve = np.sort(confidence)[:: max(len(confidence) // POINTS, 1)]
    return confidence >= curve[_knee(curve)]


def _knee(curve: NDArray[np.floating]) -> int:
    """Position of the knee of a rising curve, 0 where there is none."""
    require(KNEED)
    from kneed import KneeLocator

    if curve[0] == curve[-1]:  # flat: Kneedle would divide by the height
        return 0
    knee = KneeLocator(np.arange(len(curve)), curve, S=1, curve="concave", direction="increasing").knee
    return 0 if knee is None else int(knee)
