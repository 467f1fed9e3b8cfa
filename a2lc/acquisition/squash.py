"""Prediction as the released Cityscapes code does it for scoring: from a small, squashed copy of the image (D4)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from a2lc.segmenter import Segmenter

SQUASHED, PADDED = 384, 768  # pixels: half of the training crop, and the training crop
_BORDER = (PADDED - SQUASHED) // 2


def predict_squashed(model: Segmenter, image: np.ndarray) -> torch.Tensor:
    """Class probabilities of an image that the model sees squashed to 384 x 384, its aspect ratio lost.

    The squashed copy (Pillow's bilinear filter) lies in the middle of a black square of 768 x 768 pixels, black before
    normalisation. Its probabilities are cut out and resized to the image's own size (bilinear, align_corners=False).
    Source: ``soft_label.py:93-116`` and ``acq_on_sam.py:92-94`` of ngbrjyj/A2LC.

    Args:
        model: anything that predicts.
        image: (H, W, 3) uint8 RGB.

    Returns:
        (K, H, W) float32 in [0, 1] that sum to 1 at each pixel.
    """
    small = Image.fromarray(image).resize((SQUASHED, SQUASHED), Image.Resampling.BILINEAR)
    padded = np.pad(np.asarray(small), ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)))  # (768, 768, 3)
    inside = slice(_BORDER, _BORDER + SQUASHED)
    probs = model.predict(padded)[:, inside, inside].float()  # (K, 384, 384)
    return F.interpolate(probs[None], image.shape[:2], mode="bilinear", align_corners=False)[0]
