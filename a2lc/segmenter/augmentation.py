"""Joint random transforms of an image and its labels."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from a2lc.segmenter.samples import IGNORE, Sample, resized, scaled_size
from a2lc.segmenter.settings import SegmenterSettings

Steps = list[tuple[v2.Transform, dict[str, Any]]]  # transforms with the random numbers drawn for them


def draw(settings: SegmenterSettings, size: tuple[int, int]) -> tuple[Steps, tuple[int, int]]:
    """The random transform of an image of this size, and the size that comes out.

    The numbers are those that ``v2.Compose`` of the same transforms would draw.
    """
    image, steps = tv_tensors.Image(torch.empty(3, *size, device="meta")), []  # has a size only
    for transform in augmentation(settings, settings.crop or size):
        if not isinstance(transform, v2.RandomHorizontalFlip) or torch.rand(1) < transform.p:
            steps.append((transform, transform.make_params([image])))
            image = transform.transform(image, steps[-1][1])
    return steps, (image.shape[-2], image.shape[-1])


def augment(sample: Sample, steps: Steps, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Transform an image and its labels, and write them to their place in the batch."""
    image, classes = sample
    for transform, numbers in steps:
        image, classes = transform.transform(image, numbers), transform.transform(classes, numbers)
    height, width = classes.shape
    images[:, :height, :width] = image
    labels[:height, :width] = classes


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
        return resized(inpt, params["size"])


def augmentation(settings: SegmenterSettings, crop: tuple[int, int]) -> list[v2.Transform]:
    """Joint random transforms of an image and its labels; what lies outside the image is black and ignored."""
    steps: list[v2.Transform] = []
    if settings.flip:
        steps.append(v2.RandomHorizontalFlip())
    if settings.rescale != (1.0, 1.0):
        steps.append(RandomRescale(*settings.rescale))
    steps.append(v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}))
    if settings.colour_jitter:
        steps.append(v2.ColorJitter(*[settings.colour_jitter] * 3))
    return steps
