"""Intervals of the LCM's confidence, one rule for all tables and figures."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

CONFIDENCE_EDGES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0)


def confidence_intervals(confidence: np.ndarray) -> pd.Categorical[str]:
    """The interval of each confidence, ``"0.99 to 0.999"``: the lower end is inside, as it passes tau (Eq. 4), the
    upper one is not, unless it is 1.

    Args:
        confidence: (n,) floats in [0, 1].

    Returns:
        (n,) ordered categories, those of `CONFIDENCE_EDGES`, whether or not they occur.

    Raises:
        ValueError: a confidence is NaN or outside [0, 1].
    """
    values = np.asarray(confidence, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"confidence: expected numbers in [0, 1], found {values.min()}..{values.max()}")
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(CONFIDENCE_EDGES)]
    codes = np.searchsorted(CONFIDENCE_EDGES[1:-1], values, side="right")
    return pd.Categorical.from_codes(codes, categories=pd.Index(names), ordered=True)
