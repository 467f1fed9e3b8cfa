"""Correcting labels: the annotators that answer queries, and the Label Correction Module that learns from the
answers."""

from a2lc.correction.annotators import Annotator, Oracle, Person, Waiting
from a2lc.correction.guard import GuardReport, LearntFrom, guard_corrections
from a2lc.correction.lcm import (
    Corrections,
    LabelCorrectionModule,
    LCMSettings,
    propose_corrections,
    tail_ranking,
    train_lcm,
)

__all__ = [
    "Annotator",
    "Corrections",
    "GuardReport",
    "LCMSettings",
    "LabelCorrectionModule",
    "LearntFrom",
    "Oracle",
    "Person",
    "Waiting",
    "guard_corrections",
    "propose_corrections",
    "tail_ranking",
    "train_lcm",
]
