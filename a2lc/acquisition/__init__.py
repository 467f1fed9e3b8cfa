"""Which masks to ask about: per-mask statistics, the registry of acquisition functions, the adaptive class weights."""

from a2lc.acquisition.class_weights import ClassWeights, class_weights
from a2lc.acquisition.explain import Explanation, explain_mask
from a2lc.acquisition.functions import (
    ACQUISITION_FUNCTIONS,
    acquisition_function,
    get_acquisition_function,
    score_masks,
)
from a2lc.acquisition.gather import gather_statistics
from a2lc.acquisition.settings import ScoringSettings
from a2lc.acquisition.squash import predict_squashed
from a2lc.acquisition.statistics import MaskStatistics, mask_statistics

__all__ = [
    "ACQUISITION_FUNCTIONS",
    "ClassWeights",
    "Explanation",
    "MaskStatistics",
    "ScoringSettings",
    "acquisition_function",
    "class_weights",
    "explain_mask",
    "gather_statistics",
    "get_acquisition_function",
    "mask_statistics",
    "predict_squashed",
    "score_masks",
]
