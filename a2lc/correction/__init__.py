"""Correcting labels: the annotators that answer queries, and the Label Correction Module that learns from the
answers."""

from a2lc.correction.annotators import Oracle, Person, Waiting
from a2lc.correction.guard import Evidence, GuardReport, guard_corrections
from a2lc.correction.lcm import (
    Corrections,
    LabelCorrectionModule,
    LCMSettings,
    propose_corrections,
    tail_ranking,
    train_lcm,
)

__all__ = [
    "Corrections",
    "GuardReport",
    "LCMSettings",
    "LabelCorrectionModule",
    "Evidence",
    "Oracle",
    "Person",
    "Waiting",
    "guard_corrections",
    "propose_corrections",
    "tail_ranking",
    "train_lcm",
]
