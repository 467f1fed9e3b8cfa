"""The loop over pixels under `sums` on a CPU, compiled by numba: a third of the tensors' time.

Where numba is missing, for one because it does not know this Python yet, `available` is False and tensors do the same.
numba keeps what it compiled beside the package's byte code, or in the user's cache where it may not write there; where
Python is told to write no byte code, each process compiles anew, which takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np

try:
    from numba import njit
except ImportError:
    available = False
else:
    available = True

TILE = 256  # pixels whose probabilities stay in the first cache
LANES = 8  # of a vector of float32
Loop = TypeVar("Loop", bound=Callable[..., None])


def _compiled(loop: Loop) -> Loop:
    """The loop, compiled at its first call, which takes seconds unless an earlier process has kept the result."""
    if not available:
        return loop
    try:
        return cast(Loop, njit(cache=not sys.dont_write_bytecode, nogil=True)(loop))
    except RuntimeError:  # nowhere to keep it
        return cast(Loop, njit(nogil=True)(loop))


@_compiled
def add_pixels(
    probs: np.ndarray,
    part: np.ndarray,
    predicted: np.ndarray,
    label_of: np.ndarray,
    by_predicted: np.ndarray,
    by_given: np.ndarray,
    total_predicted: np.ndarray,
    total_given: np.ndarray,
    block: int,
) -> None:
    """Add up the pixels of an image: what `sums.segment_sums` says of its first columns.

    Sums are float32 within a block, which is exact to about 1e-5, and float64 over blocks.

    Args:
        probs: (K, P) float32.
        part: (P,) int32.
        predicted: (P,) int16.
        label_of: (r,) int64 label of each part, >= K = void.
        by_predicted, by_given: (r * K,) int32 group of each pair of part and predicted class.
        total_predicted: (q, K) float64, to which probabilities are added.
        total_given: (q', K + 1) float64, to which CIL times p/|p| and CIL are added.
        block: pixels per block.
    """
    k, pixels = probs.shape
    wide = (k + LANES - 1) // LANES * LANES
    tile, given = np.zeros((TILE, wide), np.float32), np.empty(TILE, np.int64)
    squares, cil = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    first, second = np.zeros((len(total_predicted), wide), np.float32), np.zeros((len(total_given), wide), np.float32)
    doubt = np.zeros(len(total_given), np.float32)
    seen, met = np.zeros(len(first), np.bool_), np.zeros(len(second), np.bool_)  # in this block
    one, tiny = np.float32(1), np.float32(1e-24)
    for begin in range(0, pixels, block):
        end = min(pixels, begin + block)
        for start in range(begin, end, TILE):
            count = min(TILE, end - start)
            squares[:] = 0
            for c in range(k):
                row = probs[c, start : start + count]
                for x in range(count):
                    tile[x, c] = row[x]
                    squares[x] += row[x] * row[x]
            for x in range(count):
                at, likeliest = part[start + x], predicted[start + x]
                label = label_of[at]
                cil[x] = one - tile[x, likeliest if label >= k else label]
                given[x] = at * k + likeliest
            for x in range(count):
                values, weight = tile[x], cil[x] * (one / np.sqrt(max(squares[x], tiny)))
                group, other = by_predicted[given[x]], by_given[given[x]]
                into, beside = first[group], second[other]
                seen[group], met[other] = True, True
                for c in range(0, wide, LANES):
                    for lane in range(LANES):
                        into[c + lane] += values[c + lane]
                        beside[c + lane] += weight * values[c + lane]
                doubt[other] += cil[x]
        for group in np.flatnonzero(seen):
            for c in range(k):
                total_predicted[group, c] += first[group, c]
            first[group], seen[group] = 0, False
        for group in np.flatnonzero(met):
            for c in range(k):
                total_given[group, c] += second[group, c]
            total_given[group, k] += doubt[group]
            second[group], doubt[group], met[group] = 0, 0, False
