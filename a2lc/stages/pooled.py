"""What an LCM may read of masks beside the segmentation model's probabilities (`LCMSettings.features`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2lc.correction.inputs import places
from a2lc.datasets import Dataset
from a2lc.masks import MaskSet
from a2lc.runs import Run
from a2lc.stages.instant import features_of


def pooled_of(run: Run, dataset: Dataset, masks: MaskSet, device: str, shared: Path, progress: bool) -> np.ndarray:
    """(M, P + 2) float32: features of a frozen backbone averaged over each mask, which are kept beside the run's masks,
    and its place. They do not hang on any label.

    Args:
        run, dataset, masks, device, shared, progress: as of `a2lc.stages.instant.instant_of`.

    Raises:
        ValueError, MissingExtraError, FileNotFoundError, OSError: as there.
    """
    features = features_of(run, run.config.correction.pooled_from, dataset, masks, device, shared, progress)
    return np.column_stack([features.astype(np.float32), places(masks)])
