"""Training samples: images at training size with their labels, augmented together, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from a2lc.datasets import Split
from a2lc.segmenter.settings import SegmenterSettings

IGNORE = 255
CACHE_BYTES = 2**30  # scaled images and labels kept in memory; what does not fit is read whenever it is needed

Labels = Callable[[str], np.ndarray]


def scaled_size(size: Sequence[int], scale: float) -> list[int]:
    """Height and width times `scale`, at least 1."""
    return [max(1, round(side * scale)) for side in size]


class Samples(TorchDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented training samples: crops (3, h, w) uint8 and their labels (h, w) uint8."""

    def __init__(
        self, settings: SegmenterSettings, num_classes: int, split: Split, labels: Labels, cache_bytes: int
    ) -> None:
        self.settings, self.num_classes, self.split, self.labels = settings, num_classes, split, labels
        self.cache: dict[int, tuple[tv_tensors.Image, tv_tensors.Mask]] = {}
        self.free_bytes = cache_bytes

    def __len__(self) -> int:
        return len(self.split.names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, labels = self.cache[index] if index in self.cache else self._read(index)
        height, width = image.shape[-2:]
        image, labels = augmentation(self.settings, self.settings.crop or (height, width))(image, labels)
        return image.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor)

    def _read(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        name = self.split.names[index]
        pixels, classes = self.split.image(name), self.labels(name)
        if classes.shape != pixels.shape[:2]:
            expected = "x".join(map(str, pixels.shape[:2]))
            raise ValueError(f"labels of {name!r}: expected {expected}, found {'x'.join(map(str, classes.shape))}")
        wrong = classes[(classes >= self.num_classes) & (classes != IGNORE)]
        if wrong.size:
            raise ValueError(f"labels of {name!r}: expected 0..{self.num_classes - 1} or {IGNORE}, found {wrong[0]}")
        size = scaled_size(pixels.shape[:2], self.settings.scale)
        image = tv_tensors.Image(v2.functional.resize(torch.from_numpy(pixels.transpose(2, 0, 1).copy()), size))
        labels = tv_tensors.Mask(v2.functional.resize(tv_tensors.Mask(torch.from_numpy(classes.copy())), size))
        used = image.nbytes + labels.nbytes
        if used <= self.free_bytes:
            self.cache[index], self.free_bytes = (image, labels), self.free_bytes - used
        return image, labels


def load_batches(
    settings: SegmenterSettings, num_classes: int, split: Split, labels: Labels, workers: int = 0
) -> DataLoader[Any]:
    """`settings.iterations` batches of (N, 3, h, w) uint8 images and (N, h, w) uint8 labels.

    The order runs through all images before any comes again. Each of the `workers` processes keeps its own share of the
    cache.
    """
    samples = Samples(settings, num_classes, split, labels, CACHE_BYTES // max(1, workers))
    needed = settings.iterations * settings.batch_size
    order = torch.cat([torch.randperm(len(samples)) for _ in range(math.ceil(needed / len(samples)))])
    return DataLoader(
        samples,
        batch_sampler=order[:needed].view(-1, settings.batch_size).tolist(),
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )


def collate(samples: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack samples; smaller ones are padded at the right and bottom with black pixels that are ignored."""
    height = max(image.shape[1] for image, _ in samples)
    width = max(image.shape[2] for image, _ in samples)
    images = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    labels = torch.full((len(samples), height, width), IGNORE, dtype=torch.uint8)
    for index, (image, classes) in enumerate(samples):
        images[index, :, : image.shape[1], : image.shape[2]] = image
        labels[index, : image.shape[1], : image.shape[2]] = classes
    return images, labels


class RandomRescale(v2.Transform):
    """Resize images and masks by one factor drawn uniformly from `low`..`high`."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor; one for image and labels."""
        factor = torch.empty(()).uniform_(self.low, self.high).item()
        return {"size": scaled_size(v2.functional.get_size(flat_inputs[0]), factor)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Bilinear for images, nearest for masks."""
        return v2.functional.resize(inpt, params["size"])


def augmentation(settings: SegmenterSettings, crop: tuple[int, int]) -> v2.Transform:
    """Joint random transform of an image and its labels; what lies outside the image is black and ignored."""
    steps: list[v2.Transform] = []
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip())
    if settings.rescale != (1.0, 1.0):
        steps.append(RandomRescale(*settings.rescale))
    steps.append(v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}))
    if settings.colour_jitter:
        steps.append(v2.ColorJitter(*[settings.colour_jitter] * 3))
    return v2.Compose(steps)
