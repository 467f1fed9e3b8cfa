"""From a configuration to a segmenter."""

from __future__ import annotations

from pathlib import Path

import torch

from a2lc.files import not_one_of
from a2lc.segmenter.backbones import Backbone, strides_of
from a2lc.segmenter.families import CLASSES
from a2lc.segmenter.frozen import FrozenSegmenter
from a2lc.segmenter.frozen_parts import OUTPUT_STRIDE, STRIDES
from a2lc.segmenter.model import TorchSegmenter, Validate
from a2lc.segmenter.networks import new_network
from a2lc.segmenter.pretrained import find_backbone
from a2lc.segmenter.settings import SegmenterSettings

DEVICES = ("auto", "cpu", "cuda", "mps")


def build_segmenter(
    settings: SegmenterSettings,
    num_classes: int,
    device: str = "auto",
    validate: Validate | None = None,
    shared: Path | None = None,
) -> TorchSegmenter | FrozenSegmenter:
    """A segmenter without weights, ready for `fit` or `load`.

    Args:
        settings: network, sizes and training.
        num_classes: K, at least 2.
        device: see `resolve_device`.
        validate: scores the weights of the moment, the higher the better, for ``settings.keep == "best"``.
        shared: the folder in which what is computed once for all models is kept (features of ``frozen``); None: a
            temporary one.

    Raises:
        ValueError: fewer than two classes; an unknown or absent device; nothing to validate with.
        TypeError: `device` is no text.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes: expected at least 2, found {num_classes}")
    if settings.keep == "best" and validate is None:
        raise ValueError("segmenter.keep: 'best' needs a validation split with images, expected 'last' here")
    if settings.network == "frozen":
        return FrozenSegmenter(settings, num_classes, resolve_device(device), shared)
    return TorchSegmenter(settings, num_classes, resolve_device(device), validate)


def check_network(settings: SegmenterSettings) -> None:
    """See, before any work, that the network can be made: its packages are there, its backbone is known and serves, and
    pretrained weights are there and fit. They are downloaded where they are nowhere; only torchvision's are left to the
    first training.

    Raises:
        MissingExtraError: a package is missing.
        ValueError: the backbone is unknown or does not serve; its weights are damaged or of another architecture.
        FileNotFoundError: its weights are nowhere and may or can not be downloaded.
    """
    if settings.network in CLASSES:
        new_network(settings, 2, settings.pretrained)
    elif settings.from_timm:
        with torch.device("meta"):
            if settings.network == "frozen":
                Backbone(settings.backbone, strides_of(settings.backbone, STRIDES), OUTPUT_STRIDE)
            else:
                new_network(settings, 2, pretrained=False)
        if settings.pretrained:
            find_backbone(settings.backbone, settings.weights, offline=settings.offline).state()


def resolve_device(device: str = "auto") -> torch.device:
    """``auto``: CUDA, else Apple's MPS, else the CPU; any other name as it is (``cuda:1`` too).

    Raises:
        ValueError: an unknown name or number, or a device that this machine lacks.
        TypeError: `device` is no text.
    """
    if not isinstance(device, str):
        raise TypeError(f"device: expected one of {', '.join(DEVICES)}, found {device!r}")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    kind = device.partition(":")[0]
    if kind not in present:
        raise ValueError(f"device: {not_one_of(device, DEVICES)}")
    if not present[kind]:
        there = ", ".join(kind for kind, there in present.items() if there)
        raise ValueError(f"device: this machine has {there}, found {device!r}")
    try:
        found = torch.device(device)
    except RuntimeError as error:  # cpu:x
        raise ValueError(f"device: expected {kind}, or {kind}:0, found {device!r}") from error
    if kind == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: this machine has {torch.cuda.device_count()} GPUs, found {device!r}")
    return found
