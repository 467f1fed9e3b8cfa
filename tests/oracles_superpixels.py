"""Slow versions of what the superpixel baselines do, written straight from the text (methods.md 6.2)."""

from __future__ import annotations

import math

import numpy as np
from kneed import KneeLocator
from scipy.spatial.distance import jensenshannon


def contacts(index_map: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (smaller, larger) of regions that have 4-neighbouring pixels."""
    height, width = index_map.shape
    found = set()
    for y in range(height):
        for x in range(width):
            for v, w in ((y + 1, x), (y, x + 1)):
                if v < height and w < width and -1 not in (a := index_map[y, x], b := index_map[v, w]) and a != b:
                    found.add((int(min(a, b)), int(max(a, b))))
    return found


def merged_map(
    index_map: np.ndarray, f: np.ndarray, uncertainty: np.ndarray, epsilon: float, rng: np.random.Generator
) -> np.ndarray:
    """The map of merged regions: the whole image is relabelled at every merge, features are copied from the root.

    Neighbours are looked at, and the next region to grow from is taken, in random order.
    """
    touching, merged = contacts(index_map), index_map.copy()
    feature = {s: f[s] for s in range(len(f))}
    visited: set[int] = set()
    for root in sorted(feature, key=lambda s: (-uncertainty[s], s)):
        if root in visited:
            continue
        visited.add(root)
        growing = [root]
        while growing:
            s = growing.pop(int(rng.integers(len(growing))))
            around = [v for v in feature if (min(s, v), max(s, v)) in touching]
            for v in rng.permutation(around).astype(int).tolist():
                with np.errstate(invalid="ignore"):  # scipy: the root of -1e-17
                    distance = jensenshannon(feature[s], feature[v])
                if v not in visited and distance < epsilon:
                    merged[merged == v] = root
                    feature[v] = feature[s]
                    visited.add(v)
                    growing.append(v)
    return merged


def sieved(confidence: list[float], merged_area: int) -> list[bool]:
    """Which pixels of a region keep the label."""
    area = len(confidence)
    step = max(math.floor(area / 20), 1)
    curve = [value for i, value in enumerate(sorted(confidence)) if i % step == 0]
    threshold = curve[0]
    if area >= merged_area and curve[-1] > curve[0]:
        knee = KneeLocator(list(range(len(curve))), curve, S=1, curve="concave", direction="increasing").knee
        threshold = curve[0 if knee is None else knee]
    return [value >= threshold for value in confidence]
