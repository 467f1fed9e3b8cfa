"""Segmentation models: DeepLabV3+, a light network, and the protocol that lets users plug in their own."""

from a2lc.segmenter.model import FeatureSegmenter, Segmenter, build_segmenter, resolve_device, with_features
from a2lc.segmenter.released import from_released_checkpoint
from a2lc.segmenter.samples import IGNORE, ignoring_void
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.training import TrainingLog

__all__ = [
    "IGNORE",
    "FeatureSegmenter",
    "Segmenter",
    "SegmenterSettings",
    "TrainingLog",
    "build_segmenter",
    "from_released_checkpoint",
    "ignoring_void",
    "resolve_device",
    "with_features",
]
