"""Adaptive merging of superpixels (Kim et al. 2023, "Adaptive Superpixel for Active Learning in Semantic Segmentation",
ICCV; released code `scripts/gen_adaptive_spx.py`): neighbours that the model predicts alike become one region."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]


def adjacency(index_map: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which regions of one image touch: have pixels side by side or one above the other.

    Args:
        index_map: (H, W) region 0..n-1 of every pixel, -1 where there is none (as `MaskSet.index_map`).

    Returns:
        (E, 2) pairs u < v, each once, sorted.

    Raises:
        ValueError: not two-dimensional, not integers, or below -1.
    """
    if index_map.ndim != 2 or index_map.dtype.kind not in "iu":
        raise ValueError(f"adjacency: expected (H, W) integers, found {index_map.shape} {index_map.dtype}")
    low = int(index_map.min(initial=0))
    if low < -1:
        raise ValueError(f"adjacency: expected regions 0..n-1, or -1 for none, found {low}")
    index = index_map.astype(np.int64, copy=False)
    keys, n = [], int(index.max(initial=0)) + 1
    for a, b in ((index[:, :-1], index[:, 1:]), (index[:-1], index[1:])):
        border = (a != b) & (a >= 0) & (b >= 0)
        here, there = a[border], b[border]
        keys.append(np.minimum(here, there) * n + np.maximum(here, there))
    return np.stack(np.divmod(np.unique(np.concatenate(keys)), n), axis=1)


def merge(
    mean_probs: NDArray[np.floating], uncertainty: NDArray[np.floating], edges: NDArray[np.int64], epsilon: float = 0.1
) -> NDArray[np.int64]:
    """Merge the regions of one image.

    Regions are visited by falling uncertainty, equal ones by index. One that belongs to nobody yet becomes a root and
    floods: it absorbs every neighbour v of what it has so far that belongs to nobody and has JS(f_root, f_v) < epsilon,
    where JS is the Jensen-Shannon distance (the square root of the divergence, natural logarithm, as
    `scipy.spatial.distance.jensenshannon`) and f_root stays the root's own prediction.

    The order of absorbing does not matter: whether v is alike depends on v and the root only, and who is free only on
    earlier roots. So the flood ends with the connected component of the root among the free regions that are alike. It
    is run in rings instead of depth first, with one vectorised comparison a ring.

    Args:
        mean_probs: (n, K) mean probabilities f of each region; each row is brought to a sum of 1.
        uncertainty: (n,) of each region (the paper's: mean BvSB).
        edges: (E, 2) pairs of touching regions, from `adjacency`.
        epsilon: largest distance, exclusive, >= 0. 0 merges nothing; above sqrt(ln 2) = 0.83 everything that touches.

    Returns:
        (n,) root of each region, a region's own index where it is a root: ``roots[index_map]`` is the merged map.

    Raises:
        ValueError: sizes do not fit, a row is negative somewhere or all 0, an uncertainty is NaN, an edge names no
            region, epsilon is negative or NaN.
    """
    f, edges = _checked(np.asarray(mean_probs, np.float64), uncertainty, np.asarray(edges), epsilon)
    negentropy = xlogy(f, f).sum(1)  # (n,)
    limit = epsilon**2  # of the divergence
    alike = _divergence(f, negentropy, edges[:, 0], edges[:, 1]) < limit
    near, neighbours = _neighbours(edges[alike], len(f)), _neighbours(edges, len(f))
    roots = [-1] * len(f)
    for root in np.argsort(-np.asarray(uncertainty), kind="stable").tolist():
        if roots[root] >= 0:
            continue
        roots[root] = root
        frontier = [v for v in near[root] if roots[v] < 0]  # the first ring; most roots end here
        tested = {*neighbours[root]} if frontier else set()
        while frontier:
            for v in frontier:
                roots[v] = root
            ring = {w for v in frontier for w in neighbours[v] if roots[w] < 0} - tested
            tested |= ring
            candidates = np.fromiter(ring, np.int64, len(ring))
            frontier = candidates[_divergence(f, negentropy, root, candidates) < limit].tolist()
    return np.array(roots, dtype=np.int64)


def _divergence(f: Floats, negentropy: Floats, a: NDArray[np.int64] | int, b: NDArray[np.int64]) -> Floats:
    """(m,) Jensen-Shannon divergence of rows a and b of `f`: the entropy of the mean less the mean of the entropies.

    Rounding may leave a zero slightly negative, which no limit of 0 must accept.
    """
    mean = (f[a] + f[b]) / 2  # (m, K)
    return np.maximum((negentropy[a] + negentropy[b]) / 2 - xlogy(mean, mean).sum(1), 0)


def _neighbours(edges: NDArray[np.int64], n: int) -> list[list[int]]:
    """For each of n regions those it has an edge with."""
    both = np.concatenate([edges, edges[:, ::-1]])
    targets = both[np.argsort(both[:, 0], kind="stable"), 1].tolist()
    bounds = np.concatenate([[0], np.bincount(both[:, 0], minlength=n).cumsum()])
    return [targets[start:stop] for start, stop in pairwise(bounds.tolist())]


def _checked(
    f: Floats, uncertainty: NDArray[np.floating], edges: NDArray[np.int64], epsilon: float
) -> tuple[Floats, NDArray[np.int64]]:
    """Distributions that sum to 1, and edges (E, 2), for `merge`."""
    if f.ndim != 2 or uncertainty.shape != (len(f),):
        raise ValueError(f"merge: expected (n, K) and (n,), found {f.shape} and {uncertainty.shape}")
    total = f.sum(1, keepdims=True)
    if not ((f >= 0).all() and (total > 0).all() and np.isfinite(total).all()):
        raise ValueError("merge: expected probabilities >= 0 with a positive sum in each row")
    if np.isnan(uncertainty).any():
        raise ValueError("merge: expected uncertainties, found NaN")
    if edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu":
        raise ValueError(f"merge: expected edges (E, 2) of integers, found {edges.shape} {edges.dtype}")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(f):
        raise ValueError(f"merge: expected edges between regions 0..{len(f) - 1}, found {edges.min()}..{edges.max()}")
    if not epsilon >= 0:
        raise ValueError(f"merge: epsilon must be >= 0, found {epsilon}")
    return f / total, edges


def members_of(rows: NDArray[np.int64], regions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The superpixels of some regions, and for each of these the position of its region's root in `rows`.

    Args:
        rows: (B,) roots of the regions.
        regions: (M,) root of each superpixel's region.

    Returns:
        (m,) row numbers of superpixels, ascending, and (m,) positions in `rows`.
    """
    position = np.full(len(regions), -1)
    position[rows] = np.arange(len(rows))
    members = np.flatnonzero(position[regions] >= 0)
    return members, position[regions[members]]
