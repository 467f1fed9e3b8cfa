"""Training samples: images at training size with their labels, augmented together, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from a2lc.datasets import Split
from a2lc.segmenter.settings import SegmenterSettings

IGNORE = 255
CACHE_BYTES = 2**30  # scaled images and labels kept in memory; what does not fit is read whenever it is needed
READERS = 4  # threads that read images while the network is busy
BATCHES_AHEAD = 2

Labels = Callable[[str], np.ndarray]
Sample = tuple[torch.Tensor, torch.Tensor]  # (3, h, w) and (h, w), uint8


def scaled_size(size: Sequence[int], scale: float) -> list[int]:
    """Height and width times `scale`, at least 1."""
    return [max(1, round(side * scale)) for side in size]


class Samples:
    """Training samples of a split: read ahead by threads, resized once, kept in memory as far as they fit, and
    augmented anew whenever they are taken.

    Random numbers are drawn by `take` only, so that the timing of the reading threads changes nothing.

    Args:
        settings: sizes and augmentation.
        num_classes: K; None: labels are not checked (targets of a loss of one's own).
        split: the images.
        labels: image name -> (H, W) uint8, or int32 targets; 255 is ignored.
        readers: threads that read files.
        cache_bytes: memory for scaled images and labels; the others are read whenever they are needed.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        num_classes: int | None,
        split: Split,
        labels: Labels,
        readers: Executor,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.settings, self.num_classes, self.split, self.labels = settings, num_classes, split, labels
        self.readers, self.free_bytes = readers, cache_bytes
        self.coming: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}
        self.cache: dict[int, Sample] = {}

    def request(self, index: int) -> None:
        """Begin to read a sample that will be needed soon."""
        if index not in self.cache and index not in self.coming:
            self.coming[index] = self.readers.submit(self._read, self.split.names[index])

    def take(self, index: int) -> Sample:
        """A randomly transformed crop (3, h, w) uint8 and its labels (h, w) uint8.

        Raises:
            ValueError: the labels differ from the image in size or hold another id.
        """
        self.request(index)
        image, labels = self.cache[index] if index in self.cache else self._keep(index)
        crop = self.settings.crop or (image.shape[-2], image.shape[-1])
        image, labels = augmentation(self.settings, crop)(tv_tensors.Image(image), tv_tensors.Mask(labels))
        return image.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor)

    def _keep(self, index: int) -> Sample:
        pixels, classes = self.coming.pop(index).result()
        size = scaled_size(pixels.shape[:2], self.settings.scale)
        image = v2.functional.resize(tv_tensors.Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())), size)
        labels = v2.functional.resize(tv_tensors.Mask(torch.from_numpy(classes.copy())), size)
        if image.nbytes + labels.nbytes <= self.free_bytes:
            self.free_bytes -= image.nbytes + labels.nbytes
            self.cache[index] = image, labels
        return image, labels

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        pixels, classes = self.split.image(name), self.labels(name)
        if classes.shape != pixels.shape[:2]:
            expected = "x".join(map(str, pixels.shape[:2]))
            raise ValueError(f"labels of {name!r}: expected {expected}, found {'x'.join(map(str, classes.shape))}")
        if self.num_classes is None:
            return pixels, classes
        wrong = classes[(classes >= self.num_classes) & (classes != IGNORE)]
        if wrong.size:
            raise ValueError(f"labels of {name!r}: expected 0..{self.num_classes - 1} or {IGNORE}, found {wrong[0]}")
        return pixels, classes


def load_batches(
    settings: SegmenterSettings, num_classes: int | None, split: Split, labels: Labels
) -> Iterator[Sample]:
    """`settings.iterations` batches of (N, 3, h, w) uint8 images and (N, h, w) labels.

    The order runs through all images before any comes again.
    """
    needed = settings.iterations * settings.batch_size
    order = torch.cat([torch.randperm(len(split.names)) for _ in range(math.ceil(needed / len(split.names)))])
    batches = order[:needed].view(-1, settings.batch_size).tolist()
    readers = ThreadPoolExecutor(READERS)
    try:
        samples = Samples(settings, num_classes, split, labels, readers)
        for number, batch in enumerate(batches):
            for soon in batches[number : number + BATCHES_AHEAD + 1]:
                for index in soon:
                    samples.request(index)
            yield collate([samples.take(index) for index in batch])
    finally:
        readers.shutdown(cancel_futures=True)


def collate(samples: Sequence[Sample]) -> Sample:
    """Stack samples; smaller ones are padded at the right and bottom with black pixels that are ignored."""
    height = max(image.shape[1] for image, _ in samples)
    width = max(image.shape[2] for image, _ in samples)
    images = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    labels = torch.full((len(samples), height, width), IGNORE, dtype=samples[0][1].dtype)
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
