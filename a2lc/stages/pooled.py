"""What an LCM may read of masks beside the segmentation model's probabilities (`LCMSettings.features`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2lc.correction.inputs import places
from a2lc.datasets import Dataset
from a2lc.instant import mask_features
from a2lc.masks import MaskSet
from a2lc.runs import Run
from a2lc.segmenter import resolve_device
from a2lc.stages.instant import check_features


def pooled_of(run: Run, dataset: Dataset, masks: MaskSet, device: str, shared: Path, progress: bool) -> np.ndarray:
    """(M, P + 2) float32: features of a frozen backbone averaged over each mask, which are kept beside the run's masks,
    and its place. They do not hang on any label.

    Args:
        run, dataset, masks, device, shared, progress: as of `a2lc.stages.instant.instant_of`.

    Raises:
        ValueError, MissingExtraError, FileNotFoundError, OSError: as there.
    """
    config = run.config
    features = mask_features(
        config.correction.pooled_from,
        masks,
        dataset.train,
        segmenter=config.segmenter,
        device=resolve_device(device),
        shared=shared.parent,
        kept=shared,
        progress=progress,
    )
    check_features(run, shared, config.correction.pooled_from)
    return np.column_stack([features.astype(np.float32), places(masks)])
