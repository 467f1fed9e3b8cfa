"""A small encoder-decoder that learns from scratch in a minute on two CPU cores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from a2lc.segmenter.backbones import Backbone
from a2lc.segmenter.head import last_layer

WIDTHS = (32, 64, 128, 192)  # channels at strides 4, 8, 16, 32: multiples of 32 suit matrix units
BLOCKS = (1, 2, 2)  # residual blocks at strides 8, 16, 32
DECODER_WIDTH = 64
CONTEXT_RATES = (1, 3)
STEM = 8  # pixels, side of the first kernel


class LightNetwork(nn.Module):
    """Residual encoder (strides 4 to 32), a little context, and a decoder that adds its way back to stride 8; sides are
    rounded up.

    No layer is wide at a high resolution, where batch norm and memory traffic cost more than the convolutions do.

    Args:
        num_classes: K.
        head: the last layer, ``linear`` or ``cosine``.
        backbone: in place of the encoder; gives maps at strides 8, 16 and 32.
    """

    def __init__(self, num_classes: int, head: str = "linear", backbone: Backbone | None = None) -> None:
        super().__init__()
        self.backbone, channels = backbone, list(WIDTHS[1:])
        if backbone is None:
            stem = nn.Conv2d(3, WIDTHS[0], STEM, stride=STEM // 2, padding=STEM // 4, bias=False)
            self.stem = nn.Sequential(stem, nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True))
            self.stages = nn.ModuleList(
                nn.Sequential(Residual(before, width, stride=2), *(Residual(width, width) for _ in range(blocks - 1)))
                for before, width, blocks in zip(WIDTHS, WIDTHS[1:], BLOCKS, strict=False)
            )
        else:
            channels = backbone.channels
        width, coarsest = WIDTHS[-1], channels[-1]
        self.context = nn.ModuleList(_conv_bn(coarsest, width, 3, dilation=rate) for rate in CONTEXT_RATES)
        self.image_context = nn.Conv2d(coarsest, width, 1)
        self.mix = nn.Sequential(nn.ReLU(), *_conv_bn(width, width, 1), nn.ReLU())
        self.lateral = nn.ModuleList(
            nn.Conv2d(before, DECODER_WIDTH, 1, bias=False) for before in (*channels[:-1], width)
        )
        self.smooth = nn.ModuleList(
            nn.Sequential(*_conv_bn(DECODER_WIDTH, DECODER_WIDTH, 3), nn.ReLU()) for _ in WIDTHS[2:]
        )
        self.classifier = last_layer(head, DECODER_WIDTH, num_classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> what the last layer sees, (N, 64, H/8, W/8)."""
        features = self._encoded(images)
        x = features[-1]
        context = sum(branch(x) for branch in self.context) + self.image_context(x.mean((2, 3), keepdim=True))
        y = self.lateral[-1](self.mix(context))
        for level in reversed(range(len(self.smooth))):
            skip = self.lateral[level](features[level])
            y = self.smooth[level](skip + F.interpolate(y, skip.shape[-2:], mode="bilinear", align_corners=False))
        return y

    def _encoded(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Maps at strides 8, 16 and 32."""
        if self.backbone is not None:
            return self.backbone(images)
        if min(images.shape[-2:]) < STEM // 2:  # smaller than a step of the first kernel, with its padding
            height, width = (max(0, STEM // 2 - side) for side in images.shape[-2:])
            images = F.pad(images, (0, width, 0, height))
        features, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, K, H/8, W/8), float32 also under autocast."""
        features = self.features(images)
        with torch.autocast(features.device.type, enabled=False):
            return self.classifier(features.float())


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut; a strided one averages 2x2 pixels in the shortcut."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_bn(before, width, 3, stride), nn.ReLU(inplace=True), *_conv_bn(width, width, 3)
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), *_conv_bn(before, width, 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride), rounded up."""
        return F.relu(self.body(x) + self.shortcut(x))


def _conv_bn(before: int, width: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(before, width, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width))
