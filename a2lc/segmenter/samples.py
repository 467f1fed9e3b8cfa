"""Training samples: images at training size with their labels, augmented together, in batches.

torchvision is imported where an image is resized: it takes seconds, which what trains nothing need not wait.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from a2lc.datasets import Classes, Split
from a2lc.files import check_limit
from a2lc.segmenter.settings import SegmenterSettings

IGNORE = 255
"""The target that no loss counts, whatever value a dataset gives to void."""
CACHE_BYTES = 2**30  # scaled images and labels kept in memory; what does not fit is read whenever it is needed
WORKERS = min(16, max(4, os.cpu_count() or 4))  # threads that read and augment while the network is busy
BATCHES_AHEAD = 2

Labels = Callable[[str], np.ndarray]
Sample = tuple[torch.Tensor, torch.Tensor]  # (3, h, w) and (h, w), uint8


def scaled_size(size: Sequence[int], scale: float) -> list[int]:
    """Height and width times `scale`, at least 1.

    Raises:
        ValueError: more pixels than a picture may have, or `scale` is infinite.
    """
    if not math.isfinite(scale):
        raise ValueError(f"scale: expected a number, found {scale}")
    height, width = (max(1, round(side * scale)) for side in size)
    check_limit("pixels", height * width, f"an image of {size[0]} x {size[1]} at scale {scale:g}")
    return [height, width]


def read_sample(split: Split, labels: Labels, name: str, num_classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) uint8 and its labels (H, W), which are checked when `num_classes` is given.

    Raises:
        ValueError: the labels differ from the image in size or hold another id.
    """
    pixels, classes = split.image(name), labels(name)
    if classes.shape != pixels.shape[:2]:
        expected = "x".join(map(str, pixels.shape[:2]))
        raise ValueError(f"labels of {name!r}: expected {expected}, found {'x'.join(map(str, classes.shape))}")
    if num_classes is not None:
        wrong = classes[(classes >= num_classes) & (classes != IGNORE)]
        if wrong.size:
            raise ValueError(f"labels of {name!r}: expected 0..{num_classes - 1} or {IGNORE}, found {wrong[0]}")
    return pixels, classes


def scaled_pixels(image: np.ndarray, scale: float, device: torch.device) -> torch.Tensor:
    """(H, W, 3) uint8 RGB -> (1, 3, h, w) uint8 at `scale`.

    Raises:
        ValueError: not an RGB image of bytes.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: expected (H, W, 3) uint8, found {image.shape} {image.dtype}")
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).to(device)  # (3, H, W)
    return resized(pixels, scaled_size(image.shape[:2], scale))[None]


def resized(pixels: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Bytes (..., H, W) at another size: images bilinear with antialiasing, labels (a `Mask`) nearest."""
    from torchvision.transforms.v2.functional import resize
    from torchvision.tv_tensors import Image, Mask, wrap

    if size != [1, 1] or isinstance(pixels, Mask):
        return resize(pixels, size)
    mean = resize(pixels.float(), size).round().to(pixels.dtype)  # PyTorch refuses to make one pixel of bytes
    return wrap(mean, like=pixels) if isinstance(pixels, Image) else mean


class Samples:
    """Training samples of a split: read ahead and resized by threads, and kept in memory as far as they fit.

    Args:
        settings: sizes and augmentation.
        num_classes: K; None: labels are not checked (targets of a loss of one's own).
        split: the images.
        labels: image name -> (H, W) uint8, or int32 targets; 255 is ignored.
        workers: a pool of threads that read files.
        cache_bytes: memory for scaled images and labels; the others are read whenever they are needed.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        num_classes: int | None,
        split: Split,
        labels: Labels,
        workers: Executor,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.settings, self.num_classes, self.split, self.labels = settings, num_classes, split, labels
        self.workers, self.free_bytes = workers, cache_bytes
        self.coming: dict[int, Future[Sample]] = {}
        self.cache: dict[int, Sample] = {}
        self.sizes: dict[int, tuple[int, int]] = {}

    def request(self, index: int) -> None:
        """Begin to read a sample that will be needed soon."""
        if index not in self.cache and index not in self.coming:
            self.coming[index] = self.workers.submit(self._read, self.split.names[index])

    def take(self, index: int) -> Sample:
        """An image (3, h, w) uint8 at training size and its labels (h, w), not augmented.

        Raises:
            ValueError: the labels differ from the image in size or hold another id; or what `split` and `labels` raise.
        """
        if index in self.cache:
            return self.cache[index]
        self.request(index)
        image, labels = sample = self.coming.pop(index).result()
        self.sizes[index] = (image.shape[-2], image.shape[-1])
        if image.nbytes + labels.nbytes <= self.free_bytes:
            self.free_bytes -= image.nbytes + labels.nbytes
            self.cache[index] = sample
        return sample

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of a sample; it is read unless it was taken before."""
        if index not in self.sizes:
            self.take(index)
        return self.sizes[index]

    def _read(self, name: str) -> Sample:
        from torchvision.tv_tensors import Image, Mask

        pixels, classes = read_sample(self.split, self.labels, name, self.num_classes)
        size = scaled_size(pixels.shape[:2], self.settings.scale)
        image = resized(Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())), size)
        return image, resized(Mask(torch.from_numpy(classes.copy())), size)


def ignoring_void(labels: Labels, classes: Classes) -> Labels:
    """Labels to train on: those of a dataset, with its void as `IGNORE`.

    Args:
        labels: image name -> (H, W) uint8, 0..K-1 or the ignore index of `classes`.
        classes: the class list.

    Returns:
        Image name -> (H, W) uint8, 0..K-1 or 255.
    """
    if classes.ignore_index == IGNORE:
        return labels
    to_target = np.arange(256, dtype=np.uint8)
    to_target[classes.ignore_index] = IGNORE
    return lambda name: to_target[labels(name)]


def load_batches(
    settings: SegmenterSettings,
    num_classes: int | None,
    split: Split,
    labels: Labels,
    ahead: int = 0,
    part: tuple[int, int] = (0, 1),
    pin: bool = False,
) -> Iterator[Sample]:
    """`settings.iterations` batches of (N, 3, h, w) uint8 images and (N, h, w) labels.

    The order runs through all images before any comes again. Threads read images ahead, and augment the images of a
    batch side by side; random numbers come from torch's global generator and are drawn by the calling thread, in the
    order of the samples, so that the timing of the others changes nothing.

    Args:
        settings: sizes and augmentation.
        num_classes, split, labels: as in `Samples`.
        ahead: batches to be drawn and augmented before they are needed. More than 0 only where the network draws its
            own random numbers (dropout) from another generator, as on a GPU.
        part: (i, n): the i-th of n equal parts of each batch, for one of n processes.
        pin: whether batches lie in page-locked memory, from which a GPU copies while the CPU goes on.

    Raises:
        ValueError: as `Samples.take`.
    """
    needed = settings.iterations * settings.batch_size
    order = torch.cat([torch.randperm(len(split.names)) for _ in range(math.ceil(needed / len(split.names)))])
    batches = order[:needed].view(-1, settings.batch_size).tolist()
    share = settings.batch_size // part[1]
    mine = slice(part[0] * share, (part[0] + 1) * share)
    workers = ThreadPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,))
    try:
        samples, drawn = Samples(settings, num_classes, split, labels, workers), deque[Callable[[], Sample]]()
        for number, batch in enumerate(batches):
            for soon in batches[number : number + BATCHES_AHEAD + 1]:
                for index in soon:
                    if index in soon[mine] or index not in samples.sizes:
                        samples.request(index)
            drawn.append(_begin(samples, batch, mine, pin))
            if len(drawn) > ahead:
                yield drawn.popleft()()
        while drawn:
            yield drawn.popleft()()
    finally:
        workers.shutdown(cancel_futures=True)


def _begin(samples: Samples, batch: list[int], mine: slice, pin: bool) -> Callable[[], Sample]:
    """Draw the random numbers of a batch and let the threads augment `mine` of it; call the result to wait for them.

    Smaller images than others of the batch are padded at the right and bottom with black pixels that are ignored.
    """
    from a2lc.segmenter.augmentation import augment, draw

    drawn = [draw(samples.settings, samples.size(index)) for index in batch]
    height, width = (max(sides) for sides in zip(*(size for _, size in drawn), strict=True))
    taken = [samples.take(index) for index in batch[mine]]
    images = torch.zeros(len(taken), 3, height, width, dtype=torch.uint8, pin_memory=pin)
    labels = torch.full((len(taken), height, width), IGNORE, dtype=taken[0][1].dtype, pin_memory=pin)
    places = zip(taken, drawn[mine], images, labels, strict=True)
    jobs = [samples.workers.submit(augment, sample, steps, *place) for sample, (steps, _), *place in places]
    return partial(_wait, jobs, (images, labels))


def _wait(jobs: list[Future[None]], batch: Sample) -> Sample:
    for job in jobs:
        job.result()
    return batch
