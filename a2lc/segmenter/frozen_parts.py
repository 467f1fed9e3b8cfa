"""The two parts of `FrozenSegmenter`: a backbone whose features are kept, and the head that learns from them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from a2lc.segmenter.backbones import Backbone, folded, stages_at, strides_of
from a2lc.segmenter.feature_store import FeatureStore, Maps
from a2lc.segmenter.head import last_layer
from a2lc.segmenter.pretrained import find_backbone
from a2lc.segmenter.processes import kernels
from a2lc.segmenter.samples import scaled_pixels
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.training import enough_memory, normalise

STRIDES = (8, 16, 32)
OUTPUT_STRIDE = 16  # of the coarsest stage, by dilation
WIDTH = 192


class FrozenBackbone:
    """Features of images at strides 8, 16 and, dilated, 32, of a plain transformer at its only one: kept ones, else
    computed in float32.

    Attributes:
        strides: before dilation, the finest first.
        weights: that were found.
        channels: of all stages together.
        store: where features are kept.

    Args:
        settings: backbone, scale, and where weights are looked for.
        device: where features are computed.
        shared: see `FeatureStore`.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: no such backbone, or it does not serve.
        FileNotFoundError: its weights are nowhere.
    """

    def __init__(self, settings: SegmenterSettings, device: torch.device, shared: Path | None) -> None:
        self.weights = find_backbone(settings.backbone, settings.weights, offline=settings.offline)
        self.settings = settings.model_copy(update={"mean": self.weights.mean, "std": self.weights.std})
        self.strides = strides_of(settings.backbone, STRIDES)
        self.device, self.channels = device, sum(stages_at(settings.backbone, self.strides).values())
        pixels = (*self.weights.mean, *self.weights.std)
        about = (self.weights.sha256, f"{pixels} x{settings.scale}", f"timm {version('timm')}")
        self.store = FeatureStore(shared, settings.backbone, about)
        self._network: Backbone | None = None  # only where an image is new

    def maps(self, image: np.ndarray) -> list[torch.Tensor]:
        """(H, W, 3) uint8 RGB -> a map (1, C, h, w) float32 per stage, on the device.

        Raises:
            ValueError: not an RGB image of bytes.
            RuntimeError: not enough memory for the image.
        """
        kept = self.store.get(image, self._compute)
        return [torch.from_numpy(stage).to(self.device)[None] for stage in kept]

    @torch.inference_mode()
    def _compute(self, image: np.ndarray) -> Maps:
        if self._network is None:
            network = Backbone(self.settings.backbone, self.strides, OUTPUT_STRIDE, self.weights)
            self._network = folded(network.to(self.device).to(memory_format=torch.channels_last).eval())
        what = f"features of an image of {'x'.join(map(str, image.shape[:2]))}"
        with kernels(self.settings.deterministic), enough_memory(self.device, what, "scale"):
            maps = self._network(normalise(scaled_pixels(image, self.settings.scale, self.device), self.settings))
            return [stage[0].float().cpu().numpy() for stage in maps]


class FrozenHead(nn.Module):
    """Batch norm (without weights), 1x1 to 192 channels, ReLU, 1x1 to the classes.

    It sees no mean over the image, although that makes better models from right labels: a head that knows each image
    learns its wrong labels by heart, and scores then find fewer of them.

    Args:
        channels: see `FrozenBackbone`.
        num_classes: K.
        head: the last layer, ``linear`` or ``cosine``.
    """

    def __init__(self, channels: int, num_classes: int, head: str = "linear") -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)  # what follows scales and shifts
        self.mix = nn.Conv2d(channels, WIDTH, 1)
        self.classifier = last_layer(head, WIDTH, num_classes)

    def forward(self, joined: torch.Tensor) -> torch.Tensor:
        """Features of all stages (N, C, h, w) -> logits (N, K, h, w)."""
        return self.classifier(F.relu(self.mix(self.norm(joined))))

    def features(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """What the last layer sees of maps (1, C, h, w), in evaluation mode: (1, 192, h, w) at the size of the first.

        Mixing channels and enlarging maps can change places, so that coarse stages are mixed while they are small.

        Raises:
            ValueError: the maps have another number of channels than in training.
        """
        channels = [stage.shape[1] for stage in maps]
        if sum(channels) != self.norm.num_features:
            found = " + ".join(map(str, channels))
            raise ValueError(f"the head was trained on {self.norm.num_features} features, found {found}")
        assert self.norm.running_mean is not None and self.norm.running_var is not None and self.mix.bias is not None
        scale = (self.norm.running_var + self.norm.eps).rsqrt()  # (C,)
        kernel = self.mix.weight[:, :, 0, 0]  # (192, C)
        parts = (kernel * scale).split(channels, dim=1)
        bias = self.mix.bias - kernel @ (scale * self.norm.running_mean)
        mixed: dict[torch.Size, torch.Tensor] = {}
        for stage, part in zip(maps, parts, strict=True):
            size = stage.shape[-2:]
            mixed[size] = mixed.get(size, 0) + F.conv2d(stage, part[:, :, None, None])
        total = sum(enlarged(part, maps[0].shape[-2:]) for part in mixed.values())
        return F.relu(total + bias[:, None, None])


def joined(maps: list[torch.Tensor]) -> torch.Tensor:
    """Maps (1, C, h, w) of all stages at the size of the first: (1, sum of C, h, w)."""
    size = maps[0].shape[-2:]
    return torch.cat([enlarged(stage, size) for stage in maps], dim=1)


def enlarged(maps: torch.Tensor, size: tuple[int, ...], shown: tuple[int, ...] | None = None) -> torch.Tensor:
    """Maps (N, C, h, w) at another size, bilinear as `F.interpolate`, by two products of matrices: half the time.

    Args:
        maps: float32.
        size: (H, W), not smaller.
        shown: (rows, columns) that are wanted of it, from the upper left; all by default.

    Returns:
        (N, C, rows, columns) float32.
    """
    shown = shown or size
    if maps.shape[-2:] == size == shown:
        return maps
    height, width = (
        _weights(cells, pixels, seen).to(maps.device)
        for cells, pixels, seen in zip(maps.shape[-2:], size, shown, strict=True)
    )
    return height @ (maps @ width.T)


def likeliest(logits: torch.Tensor, size: tuple[int, ...], shown: tuple[int, ...]) -> torch.Tensor:
    """The class whose logit is largest after `enlarged`: (rows, columns) int64 of logits (K, h, w).

    Where four neighbouring cells agree, so do all pixels between them: their logits are means of the cells'. Only the
    other pixels are computed.
    """
    (y, down), (x, right) = (
        (part.to(logits.device) for part in _places(cells, pixels, seen))
        for cells, pixels, seen in zip(logits.shape[-2:], size, shown, strict=True)
    )
    classes, (h, w) = logits.max(0).indices, logits.shape[-2:]
    below, beside = ((torch.arange(cells, device=logits.device) + 1).clamp_max(cells - 1) for cells in (h, w))
    mixed = (classes != classes[below]) | (classes != classes[:, beside]) | (classes != classes[below][:, beside])
    found = classes[y][:, x]
    rows, columns = mixed[y][:, x].nonzero(as_tuple=True)
    of_cells = logits.flatten(1).T.contiguous()  # (h * w, K)
    upper, lower = (
        torch.lerp(of_cells[row * w + x[columns]], of_cells[row * w + beside[x[columns]]], right[columns, None])
        for row in (y[rows], below[y[rows]])
    )
    found[rows, columns] = torch.lerp(upper, lower, down[rows, None]).max(1).indices
    return found


def _places(cells: int, pixels: int, shown: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Between which cells the first `shown` pixels lie: the lower one (shown,) int64, and how far they are on the way
    to the next, (shown,) float32 in [0, 1)."""
    at = ((torch.arange(shown) + 0.5) * (cells / pixels) - 0.5).clamp_min(0)
    low = at.long()
    return low, at - low


def _weights(cells: int, pixels: int, shown: int) -> torch.Tensor:
    """(shown, cells) float32: how much of each cell is in each of the first pixels."""
    low, part = _places(cells, pixels, shown)
    rows, weights = torch.arange(shown), torch.zeros(shown, cells)
    weights[rows, low] = 1 - part
    weights[rows, (low + 1).clamp_max(cells - 1)] += part
    return weights
