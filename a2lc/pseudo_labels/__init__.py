"""Initial labels: Grounded-SAM, a noise model for datasets without its output, and what is measured on either kind."""

from a2lc.pseudo_labels.grounded_sam import grounded_sam
from a2lc.pseudo_labels.simulated import mask_appearance, simulate_pseudo_labels
from a2lc.pseudo_labels.statistics import (
    best_score,
    coverage,
    error_structure,
    learnable,
    mask_records,
    mask_statistics_table,
)

__all__ = [
    "best_score",
    "coverage",
    "error_structure",
    "grounded_sam",
    "learnable",
    "mask_appearance",
    "mask_records",
    "mask_statistics_table",
    "simulate_pseudo_labels",
]
