"""What Segment Anything's image encoder sees of each mask, for `method: instant` and `a2lc find`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2lc.instant.features import ImageFeatures, averages, image_features
from a2lc.instant.settings import SAM
from a2lc.machine import SEGMENT_ANYTHING, require
from a2lc.pseudo_labels.box_masks import load_sam, sam_predictor
from a2lc.pseudo_labels.weights import WEIGHTS, find_weights
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.feature_store import FeatureStore, Maps

STRIDE = 16  # of the encoder's map, in pixels of the image that it is given


def any_image_features(
    features: str,
    segmenter: SegmenterSettings | None = None,
    device: torch.device | None = None,
    shared: Path | None = None,
) -> tuple[ImageFeatures, str]:
    """`a2lc.instant.features.image_features`, which also knows ``sam_vit_h``, ``sam_vit_l`` and ``sam_vit_b``.

    Args:
        features, segmenter, device, shared: as there; of Segment Anything, ``segmenter.weights`` is a folder, or the
            usual one is taken (`a2lc.pseudo_labels.weights`).

    Raises:
        MissingExtraError, ValueError, FileNotFoundError: as there, and as `find_weights`.
    """
    if features not in SAM:
        return image_features(features, segmenter, device, shared)
    given = segmenter or SegmenterSettings()
    folder = given.weights if given.weights is not None and Path(given.weights).is_dir() else None
    encoder = SamEncoder(features, folder, given.offline, device or torch.device("cpu"), shared)

    def of_image(image: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
        return averages(encoder.map(image), index, n)

    return of_image, encoder.store.identity


class SamEncoder:
    """Segment Anything's image encoder: one map per image at 1/16 of the size that it is scaled to, 1,024 pixels on the
    longer side; kept ones, else computed in float32.

    Attributes:
        store: where maps are kept.

    Args:
        name: ``sam_vit_h``, ``sam_vit_l`` or ``sam_vit_b``.
        weights: folder of published weights; None: the usual one.
        offline: never download.
        device: where it runs.
        shared: see `FeatureStore`.

    Raises:
        MissingExtraError: segment-anything is missing.
        FileNotFoundError, ValueError: as `find_weights`.
    """

    def __init__(
        self, name: str, weights: Path | None, offline: bool, device: torch.device, shared: Path | None
    ) -> None:
        require(SEGMENT_ANYTHING)
        self._name, self._device = name, device
        self._file = find_weights(name, weights, offline=offline)
        self.store = FeatureStore(shared, name, (WEIGHTS[name].sha256,))
        self._predictor: Any = None  # only where an image is new

    def map(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (C, h, w) float32, without what the image is padded with.

        Raises:
            ValueError: the weights are damaged or of another network.
        """
        return self.store.get(image, self._compute)[0]

    def _compute(self, image: np.ndarray) -> Maps:
        if self._predictor is None:
            self._predictor = sam_predictor(load_sam(self._file, self._name), self._device)
        self._predictor.set_image(image)
        high, wide = self._predictor.input_size
        found = self._predictor.get_image_embedding()
        return [found[0, :, : -(-high // STRIDE), : -(-wide // STRIDE)].float().cpu().numpy()]
