"""The acquisition functions of Table 4: from per-mask statistics to one score per mask; the highest scores are
queried first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from a2lc.acquisition.settings import PIXBAL, Need, ScoringSettings
from a2lc.acquisition.statistics import MaskStatistics
from a2lc.files import nearest

ScoreFunction = Callable[[MaskStatistics, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class AcquisitionFunction:
    """A named acquisition function.

    Attributes:
        name: its name in `ACQUISITION_FUNCTIONS`.
        score: ``score(statistics, rng) -> (n,) float64``; `rng` is seeded by (seed, round).
        needs: which of the statistics that are computed on demand it reads (`Need`).
        random_ties: equal scores are ordered by a seeded random number instead of by (image, mask id).
    """

    name: str
    score: ScoreFunction
    needs: frozenset[Need] = frozenset()
    random_ties: bool = False

    def scores(self, statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
        """(n,) float64 scores of n masks, looked at before anything is made of them.

        Raises:
            ValueError: the function returned another shape, something that is no number, or NaN; it is named.
        """
        found = np.asarray(self.score(statistics, rng))
        if found.shape != (len(statistics),) or found.dtype.kind not in "biuf":
            what = f"expected ({len(statistics)},) numbers, a score per mask, found {found.shape} {found.dtype}"
            raise ValueError(f"acquisition function {self.name!r}: {what}")
        if nan := int(np.isnan(found).sum()):
            what = f"expected numbers, found NaN for {nan} of {len(found)} masks; `needs` must name what it reads"
            raise ValueError(f"acquisition function {self.name!r}: {what}")
        return found.astype(np.float64)


ACQUISITION_FUNCTIONS: dict[str, AcquisitionFunction] = {}
"""Name -> function: the eleven of Table 4, and what `acquisition_function` adds."""


def acquisition_function(
    name: str, *, needs: Iterable[Need] = (), random_ties: bool = False
) -> Callable[[ScoreFunction], ScoreFunction]:
    """Register an acquisition function under `name`; from then on experiments and `score_masks` accept it.

    Args:
        name: what a configuration calls it.
        needs: which of the costly statistics it reads.
        random_ties: whether equal scores are ordered by chance, not by position.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        ValueError: the name is taken, also when the decorator is applied, or no such statistic.
        TypeError: `needs` is a text.
    """
    wanted = checked_needs(needs)

    def check_name() -> None:
        if name == PIXBAL or name in ACQUISITION_FUNCTIONS:
            raise ValueError(f"acquisition function {name!r}: this name is taken")

    def register(score: ScoreFunction) -> ScoreFunction:
        check_name()
        ACQUISITION_FUNCTIONS[name] = AcquisitionFunction(name, score, wanted, random_ties)
        return score

    check_name()
    return register


def checked_needs(needs: Iterable[Need]) -> frozenset[Need]:
    """The same as a set. Raises `ValueError` for what is no such statistic, `TypeError` for a text."""
    if isinstance(needs, str):
        raise TypeError(f"needs: expected a set of names, found the text {needs!r}")
    known, wanted = get_args(Need), frozenset(needs)
    for need in wanted.difference(known):
        raise ValueError(f"needs: expected some of {', '.join(known)}, found {need!r}{nearest(need, known)}")
    return wanted


def get_acquisition_function(name: str, scoring: ScoringSettings | None = None) -> AcquisitionFunction:
    """Look an acquisition function up.

    Args:
        name: a name in `ACQUISITION_FUNCTIONS`.
        scoring: which alternative of ``lcil`` and ``merspx``; None means the defaults.

    Raises:
        ValueError: unknown name; the nearest ones are suggested.
    """
    if name not in ACQUISITION_FUNCTIONS:
        known = ", ".join(ACQUISITION_FUNCTIONS)
        raise ValueError(
            f"expected one of the acquisition functions {known}, found {name!r}{nearest(name, ACQUISITION_FUNCTIONS)}"
        )
    function = ACQUISITION_FUNCTIONS[name]
    if name == "lcil" and scoring and scoring.lcil_pooling == "softmin":
        return replace(function, score=_lcil_softmin, needs=frozenset({"softmin"}))
    if name == "merspx" and scoring and scoring.merspx_shares == "quarter":
        return replace(function, score=_merspx_quarter)
    return function


@acquisition_function("random")
def random(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Uniform in [0, 1): the control."""
    return rng.random(len(statistics))


@acquisition_function("entropy", needs={"uncertainty"})
def entropy(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Mean Shannon entropy over log K, in [0, 1]; reads no label (cited in the paper as Safaei et al. 2024)."""
    return statistics.entropy


@acquisition_function("margin", needs={"uncertainty"})
def margin(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Mean of 1 - (p1 - p2), in [0, 1] (Roth & Small 2006)."""
    return statistics.margin


@acquisition_function("cil")
def cil(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Confidence in label of one representative vector, 1 - mu[label], in [0, 1] (Lad & Mueller 2023)."""
    return statistics.cil


@acquisition_function("lcil")
def lcil(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Mean of the pixel CIL, in [0, 1] (Eq. 10; Kim et al. 2024)."""
    return statistics.lcil


def _lcil_softmin(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    return statistics.lcil_softmin


@acquisition_function("aiou", needs={"components"}, random_ties=True)
def aiou(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """1 - adjusted IoU between mask and predicted components, in [0, 1] (Rottmann & Reese 2023); many masks tie at
    1."""
    return 1 - statistics.adjusted_iou


@acquisition_function("bvsb", needs={"uncertainty"})
def bvsb(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Best versus second best: mean of p2 / p1, in [0, 1] (Cai et al. 2021)."""
    return statistics.bvsb


def _balanced(statistics: MaskStatistics, weights: np.ndarray, total: float = 1.0) -> np.ndarray:
    """BvSB over its maximum, times exp(-share of the dominant prediction), the share counted with `weights` over all
    masks; shares add up to `total`."""
    counts = np.bincount(statistics.dominant, weights=weights, minlength=statistics.feature.shape[1])
    share = counts / max(weights.sum(), 1)
    return statistics.bvsb / max(statistics.bvsb.max(initial=0), 1e-12) * np.exp(-total * share[statistics.dominant])


@acquisition_function("clsbal", needs={"uncertainty"})
def clsbal(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """BvSB x exp(-share of masks that predict the same class), in [0, 1] (Cai et al. 2021, ClassBal)."""
    return _balanced(statistics, np.ones(len(statistics)))


@acquisition_function("merspx", needs={"uncertainty"})
def merspx(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """BvSB x exp(-share of pixels in masks that predict the same class), in [0, 1] (Kim et al. 2023)."""
    return _balanced(statistics, statistics.area.astype(float))


def _merspx_quarter(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    return _balanced(statistics, statistics.area.astype(float), total=0.25)


@acquisition_function("sim")
def sim(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Sum over the mask of CIL x similarity, in [0, area] (Kim et al. 2024; Eq. 12 with w = 1)."""
    return statistics.sim


@acquisition_function("abc")
def abc(statistics: MaskStatistics, rng: np.random.Generator) -> np.ndarray:
    """Adaptively balanced CIL: SIM with each pixel's adaptive class weight, in [0, area] (Eq. 11-12)."""
    return statistics.abc
