"""What the LCM makes of a round's answers, from arrays alone: training, proposals, and what is known of them."""

from __future__ import annotations

import numpy as np

from a2lc.correction.evidence import Evidence, classes_of
from a2lc.correction.inputs import lcm_inputs
from a2lc.correction.lcm import (
    Corrections,
    LabelCorrectionModule,
    probabilities_of,
    propose_corrections,
    train_lcm,
)
from a2lc.correction.settings import LCMSettings
from a2lc.masks import MaskSet


def learn_corrections(
    feature: np.ndarray,
    before: MaskSet,
    answered: MaskSet,
    rows: np.ndarray,
    settings: LCMSettings,
    seed: int,
    *,
    round: int = 1,
    pooled: np.ndarray | None = None,
    probabilities: bool = True,
) -> tuple[LabelCorrectionModule, Corrections, Evidence]:
    """Train the LCM on answers and apply the published criteria to what it says (Eq. 1-6).

    Args:
        feature: (M, C) float32 mask features of the segmentation model.
        before: the M masks without this round's answers.
        answered: the same with them.
        rows: (n,) int64 row numbers of the masks whose answers it learns from; of those answered void it learns nothing
            where void is no outcome.
        settings: of the LCM.
        seed: of its training, and of the folds in which answers are held out.
        round: counted from 1.
        pooled: (M, P) float32 what it may read besides, see `lcm_inputs`.
        probabilities: whether the features are class probabilities (C = K).

    Returns:
        The LCM, what the published criteria accept (`every_change` has all that it would change), and what it has
        learnt from.

    Raises:
        ValueError: no answer to learn from; or as `lcm_inputs`, `train_lcm` and `propose_corrections`.
        TypeError, RuntimeError: as `train_lcm` and `propose_corrections`.
    """
    labels, k = classes_of(answered), len(answered.classes)
    void = rows[(labels[rows] == k) & (not settings.outputs_void)]
    rows = rows[~np.isin(rows, void)]
    inputs = lcm_inputs(feature, before, pooled, settings)
    lcm = train_lcm(inputs[rows], labels[rows], k + settings.outputs_void, settings, seed)
    proposed = propose_corrections(lcm, inputs, answered, labels[rows][labels[rows] < k], settings, round)
    said = probabilities_of(lcm, inputs) if settings.learns_acceptance else None
    evidence = Evidence(
        feature, before, answered, rows, settings, seed, probabilities, inputs=inputs, said=said, void=void
    )
    return lcm, proposed, evidence
