"""Which network a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from a2lc.segmenter.backbones import Backbone
from a2lc.segmenter.deeplab import DeepLabV3Plus
from a2lc.segmenter.families import CLASSES, SmpNetwork, TransformersNetwork
from a2lc.segmenter.light import LightNetwork
from a2lc.segmenter.pretrained import BackboneWeights
from a2lc.segmenter.settings import SegmenterSettings

Network = LightNetwork | DeepLabV3Plus | SmpNetwork | TransformersNetwork


def new_network(
    settings: SegmenterSettings,
    num_classes: int,
    pretrained: bool,
    weights: BackboneWeights | None = None,
    saved: Mapping[str, torch.Tensor] | None = None,
) -> Network:
    """A network with random weights, its backbone pretrained where asked for.

    Args:
        settings: network, backbone and head.
        num_classes: K.
        pretrained: whether the backbone starts from ImageNet weights.
        weights: of a backbone of timm.
        saved: what the network will be given, of which it may need to know sizes.

    Raises:
        MissingExtraError: a package is missing.
        ValueError: an unknown backbone, or one that does not serve.
    """
    k, head = num_classes, settings.head
    if settings.network == "smp":
        return SmpNetwork(settings, k, weights)
    if settings.network in CLASSES:
        return TransformersNetwork(settings, k, pretrained, saved)
    if not settings.from_timm:
        if settings.network == "light":
            return LightNetwork(k, head)
        return DeepLabV3Plus(k, settings.backbone, pretrained, head)
    if settings.network == "light":
        return LightNetwork(k, head, _backbone(settings, (8, 16, 32), 32, weights))
    return DeepLabV3Plus(k, _backbone(settings, (4, 32), 16, weights), head=head)


def _backbone(
    settings: SegmenterSettings, strides: tuple[int, ...], output_stride: int, weights: BackboneWeights | None
) -> Backbone:
    return Backbone(settings.backbone, strides, output_stride, weights, settings.mean, settings.std)


def with_pixels_of(network: nn.Module, settings: SegmenterSettings) -> SegmenterSettings:
    """`settings` with the normalisation that a network brings with its weights, where it does."""
    for part in (network, getattr(network, "backbone", None)):
        mean, std = getattr(part, "mean", None), getattr(part, "std", None)
        if isinstance(mean, torch.Tensor) and isinstance(std, torch.Tensor):
            pixels: dict[str, Any] = {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
            return settings.model_copy(update=pixels)
    return settings
