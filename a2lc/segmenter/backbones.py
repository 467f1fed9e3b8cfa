"""Backbones of timm: features at several strides of one image."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from a2lc.segmenter.pretrained import BackboneWeights, known_backbone
from a2lc.segmenter.settings import Colour

COARSEST = 32  # images are padded to a multiple of this stride, so that cells lie over the same pixels in all networks
LAST = -1  # the last block of a plain transformer


class Backbone(nn.Module):
    """A timm network up to its features (``features_only``), with the normalisation that its weights were trained with.

    Attributes:
        strides: of the stages before dilation.
        channels: of each stage.
        mean, std: (3,) float32, what pixels in [0, 1] are normalised with; saved with the weights.

    Args:
        name: timm's name.
        strides: stages that are given, by their strides before dilation: some of 4, 8, 16, 32; of a network with one
            stride alone, a plain transformer, that one.
        output_stride: of the coarsest stage: 32, or less by dilation.
        weights: to start from; None: random ones.
        mean, std: of random weights.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: timm knows no such backbone, or it gives no maps at these strides for images of any
            size; the weights are damaged or of another architecture.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        name: str,
        strides: Sequence[int],
        output_stride: int = 32,
        weights: BackboneWeights | None = None,
        mean: Colour = (0.485, 0.456, 0.406),
        std: Colour = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        stages = stages_at(name, strides)
        self.strides, self.coarsest = tuple(strides), COARSEST
        if list(stages) == [LAST]:
            output_stride = self.coarsest = strides[0]
            self.network = features_only(name, weights=weights, out_indices=[LAST], dynamic_img_size=True)
        else:
            self.network = features_only(name, output_stride, weights, out_indices=list(stages))
        self.channels = list(stages.values())
        self.register_buffer("mean", torch.tensor(weights.mean if weights else mean))
        self.register_buffer("std", torch.tensor(weights.std if weights else std))
        self.finest = [min(stride, output_stride) for stride in strides]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images (N, 3, H, W) -> maps (N, C, ceil(H / stride), ceil(W / stride)), one per stage."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.coarsest, 0, -height % self.coarsest))
        maps = self.network(padded)
        return [
            features[..., : -(-height // stride), : -(-width // stride)]
            for features, stride in zip(maps, self.finest, strict=True)
        ]


@torch.no_grad()
def folded(backbone: Backbone) -> Backbone:
    """A backbone for inference alone, in which every batch norm is part of the convolution before it: a quarter of the
    time less. Where a network does not compute in the order in which it lists its layers, the backbone itself.

    Args:
        backbone: in evaluation mode.
    """
    found = copy.deepcopy(backbone)
    for module in list(found.modules()):
        before: nn.Module | None = None
        for name, layer in list(module.named_children()):
            if isinstance(before, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
                fold(before, layer)
                after = (part for part in layer.children() if not isinstance(part, nn.Identity))
                setattr(module, name, nn.Sequential(*after))  # of timm's norms: dropping and activating
            before = layer
    image = torch.rand(1, 3, 2 * COARSEST, 2 * COARSEST, generator=torch.Generator().manual_seed(0))
    image = image.to(backbone.mean.device)
    same = all(
        torch.allclose(new, old, rtol=1e-4, atol=1e-4 * float(old.abs().max()))
        for new, old in zip(found(image), backbone(image), strict=True)
    )
    return found if same else backbone


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Make a batch norm in evaluation mode part of the convolution before it."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None, "a batch norm that keeps no statistics"
    of = convolution.weight, convolution.bias, mean, var, norm.eps, norm.weight, norm.bias
    convolution.weight, convolution.bias = fuse_conv_bn_weights(*of)


def strides_of(name: str, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a backbone's features: those wanted, or the only one that a plain transformer has, such as 14 of
    DINOv2.

    Raises:
        MissingExtraError, ValueError: as `stages_at`.
    """
    there = set(_about(name)[0])
    found = tuple(there) if len(there) == 1 else wanted
    stages_at(name, found)
    return found


def stages_at(name: str, strides: Sequence[int]) -> dict[int, int]:
    """Index of the last stage of a backbone at each of these strides, and its channels; `LAST` of a plain transformer.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: timm knows no such backbone, or it has no maps at these strides.
    """
    there, channels, order = _about(name)
    if order == "NCHW" and set(there) == set(strides) and len(strides) == 1:
        return {LAST: channels[-1]}
    if order != "NCHW" or not set(strides) <= set(there):
        found = f"found {', '.join(map(str, there))}"
        raise ValueError(
            f"segmenter.backbone: {name!r}: expected maps at strides {', '.join(map(str, strides))}, {found}"
        )
    stages = [len(there) - 1 - there[::-1].index(stride) for stride in strides]
    return {stage: channels[stage] for stage in stages}


def _about(name: str) -> tuple[list[int], list[int], str]:
    """Strides and channels of the stages of a backbone, and the order of its maps' dimensions."""
    known_backbone(name)
    with torch.device("meta"):
        network = features_only(name)
    about: Any = network.feature_info
    return about.reduction(), about.channels(), str(getattr(network, "output_fmt", "NCHW")).rpartition(".")[2]


def features_only(
    name: str, output_stride: int = 32, weights: BackboneWeights | None = None, **options: Any
) -> nn.Module:
    """timm's network, with the weights where there are any."""
    import timm

    if output_stride != 32:
        options["output_stride"] = output_stride
    if weights is not None:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": weights.state()}}
    try:
        with _quiet():
            network: nn.Module = timm.create_model(name, features_only=True, **options)
    except (TypeError, AssertionError, NotImplementedError) as error:
        what = "takes images of one size only" if "dynamic_img_size" in options else "cannot be dilated to stride"
        stride = "" if "dynamic_img_size" in options else f" {output_stride}"
        raise ValueError(f"segmenter.backbone: {name!r} {what}{stride}") from error
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"segmenter.backbone: {name!r}: its weights do not fit, or it gives no maps ({reason})"
        ) from error
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """timm warns that the classifier's weights are not used."""
    logger = logging.getLogger("timm.models._builder")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
