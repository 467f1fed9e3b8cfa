"""The last layer of a network: an ordinary 1x1 convolution, or one that compares directions only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

TEMPERATURE = 0.1


class CosineClassifier(nn.Module):
    """Cosine of the angle between feature and class vector, over a temperature of 0.1.

    Source: the head of MulSpx (Hwang et al. 2023, ``models/segmentation/deeplabv3.py:73-105`` of sehyun03/MulActSeg).
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, channels, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features (N, C, h, w) -> logits (N, K, h, w) in [-10, 10], float32 also under autocast."""
        with torch.autocast(features.device.type, enabled=False):
            return F.conv2d(F.normalize(features.float()), F.normalize(self.weight)) / TEMPERATURE


def last_layer(head: str, channels: int, num_classes: int) -> nn.Module:
    """Features (N, C, h, w) -> logits (N, K, h, w); `head` is ``linear`` (a 1x1 convolution) or ``cosine``."""
    return CosineClassifier(channels, num_classes) if head == "cosine" else nn.Conv2d(channels, num_classes, 1)
