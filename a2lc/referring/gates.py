"""Gates: how much of a pseudo-label a sentence is allowed to teach. 0 rejects the pair; a higher gate accepts more of
its cells, those that the fused map is less sure of; and what each gate would have been worth where the truth is
known."""

from __future__ import annotations

import numpy as np

CERTAINTY = (0.9, 0.8, 0.6, 0.3)
"""Gate 1, 2, ... accepts the cells whose |2m - 1| is at least this."""
ACTIONS = len(CERTAINTY)
NEEDED_PRECISION = 0.8
"""Share of right cells from which on accepting pays."""
AROUND = 0.5  # of its sides: how far the box reaches in which background counts


def accepted(fused: np.ndarray, gate: int) -> np.ndarray:
    """(h, w) bool, the cells of a fused map (h, w) in [0, 1] that a gate accepts; gate 0: none."""
    if not 0 <= gate <= ACTIONS:
        raise ValueError(f"gate: expected 0..{ACTIONS}, found {gate}")
    if gate == 0:
        return np.zeros(fused.shape, bool)
    return np.asarray(np.abs(2 * fused - 1) >= CERTAINTY[gate - 1] - 1e-6)


def near(*maps: np.ndarray) -> np.ndarray:
    """(h, w) bool: the box around what is over one half in any of some (h, w) maps, grown by `AROUND` of its sides; all
    of it where nothing is."""
    there = np.any([one > 0.5 for one in maps], axis=0)
    inside = np.zeros(there.shape, bool)
    if not there.any():
        return ~inside
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    high, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    up, aside = int(np.ceil(AROUND * high)), int(np.ceil(AROUND * wide))
    inside[max(rows[0] - up, 0) : rows[-1] + 1 + up, max(columns[0] - aside, 0) : columns[-1] + 1 + aside] = True
    return inside


def cell_weights(object_: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(h, w) float64 weights: half of them on the object's cells, half on the others in the box; both are (h, w) bool.
    They add up to 1, or to one half where either has no cell."""
    background = box & ~object_
    return np.asarray(object_ / (2 * max(object_.sum(), 1)) + background / (2 * max(background.sum(), 1)))


def gate_rewards(fused: np.ndarray, truth: np.ndarray, box: np.ndarray, needed: float = NEEDED_PRECISION) -> np.ndarray:
    """What each gate is worth on a pair whose truth is known: right cells by their weights, less wrong ones times
    needed / (1 - needed), so that `needed` of them right is worth nothing.

    Args:
        fused: (h, w) in [0, 1].
        truth: (h, w) bool.
        box: (h, w) bool, where background counts (`near`).
        needed: precision that breaks even, in [0, 1).

    Returns:
        (ACTIONS,) at most 1; background alone earns at most one half, also where there is no object. Rejecting is
        worth 0.
    """
    weights, price = cell_weights(truth, box), needed / (1 - needed)
    right = (fused > 0.5) == truth
    worth = np.where(right, weights, -price * weights) / (weights.sum() if truth.any() else 1.0)
    return np.array([(worth * accepted(fused, gate)).sum() for gate in range(1, ACTIONS + 1)])


def is_balanced(fused: np.ndarray, cells: np.ndarray) -> bool:
    """Whether accepted cells (h, w) bool hold both object and background, and of the object a share that is between
    half of and twice that of the whole map: a brake against teaching background alone."""
    object_ = fused > 0.5
    inside = int((object_ & cells).sum())
    if inside == 0 or inside == int(cells.sum()):
        return False
    share, whole = inside / cells.sum(), object_.mean()
    return bool(0.5 * whole <= share <= 2 * whole)


def pseudo_weights(fused: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(h, w) float32 weights of accepted cells in the loss: object and background near it count alike, by what the
    fused map takes for them."""
    return np.asarray(cell_weights(fused > 0.5, near(fused)) * cells, np.float32)
