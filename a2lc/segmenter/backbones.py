"""Backbones of timm: features at several strides of one image."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2lc.segmenter.pretrained import BackboneWeights, known_backbone
from a2lc.segmenter.settings import Colour

COARSEST = 32  # images are padded to a multiple of this stride, so that cells lie over the same pixels in all networks


class Backbone(nn.Module):
    """A timm network up to its features (``features_only``), with the normalisation that its weights were trained with.

    Attributes:
        strides: of the stages before dilation.
        channels: of each stage.
        mean, std: (3,) float32, what pixels in [0, 1] are normalised with; saved with the weights.

    Args:
        name: timm's name.
        strides: stages that are given, by their strides before dilation: some of 4, 8, 16, 32.
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
        self.strides = tuple(strides)
        self.network = features_only(name, output_stride, weights, out_indices=list(stages))
        self.channels = list(stages.values())
        self.register_buffer("mean", torch.tensor(weights.mean if weights else mean))
        self.register_buffer("std", torch.tensor(weights.std if weights else std))
        self.finest = [min(stride, output_stride) for stride in strides]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images (N, 3, H, W) -> maps (N, C, ceil(H / stride), ceil(W / stride)), one per stage."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % COARSEST, 0, -height % COARSEST))
        maps = self.network(padded)
        return [
            features[..., : -(-height // stride), : -(-width // stride)]
            for features, stride in zip(maps, self.finest, strict=True)
        ]


def stages_at(name: str, strides: Sequence[int]) -> dict[int, int]:
    """Index of the last stage of a backbone at each of these strides, and its channels.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: timm knows no such backbone, or it has no maps at these strides.
    """
    known_backbone(name)
    with torch.device("meta"):
        network = features_only(name)
    about: Any = network.feature_info
    there: list[int] = about.reduction()
    if str(getattr(network, "output_fmt", "NCHW")).rpartition(".")[2] != "NCHW" or not set(strides) <= set(there):
        found = f"found {', '.join(map(str, there))}"
        raise ValueError(
            f"segmenter.backbone: {name!r}: expected maps at strides {', '.join(map(str, strides))}, {found}"
        )
    stages = [len(there) - 1 - there[::-1].index(stride) for stride in strides]
    return {stage: about.channels()[stage] for stage in stages}


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
        raise ValueError(f"segmenter.backbone: {name!r} cannot be dilated to stride {output_stride}") from error
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
