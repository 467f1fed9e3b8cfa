"""A small head on the features of a frozen backbone: trained in seconds on a CPU, round after round."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.files import read_arrays, write_arrays
from a2lc.segmenter.frozen_parts import FrozenBackbone, FrozenHead, enlarged, joined, likeliest
from a2lc.segmenter.processes import kernels
from a2lc.segmenter.released import load_weights
from a2lc.segmenter.samples import IGNORE, Labels, read_sample
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.training import LOG_POINTS, Loss, TrainingLog, check_loss, check_weights, enough_memory, pixel_loss

PIXELS = 4096  # of a training step
SAMPLED_BYTES = 2**30  # of all features that a training sees
IMAGES = 4  # of a training step with a loss of one's own
WEIGHT_DECAY = 1e-4


SHA256 = "backbone_sha256"  # in a saved head: of the weights on whose features it was trained


class FrozenSegmenter:
    """Features of a pretrained backbone that never changes, kept per image, and a head that learns.

    Attributes:
        num_classes: K.
        settings: backbone, scale, steps and learning rate.
        device: where it runs.
        head: None before `fit` or `load`.

    Args:
        shared: the folder in which features are kept, see `FeatureStore`; None: a temporary one.
    """

    def __init__(
        self, settings: SegmenterSettings, num_classes: int, device: torch.device, shared: Path | None = None
    ) -> None:
        self.num_classes, self.settings, self.device, self.shared = num_classes, settings, device, shared
        self.head: FrozenHead | None = None
        self._extractor: FrozenBackbone | None = None
        self._trained_on: str | None = None  # SHA-256 of the backbone's weights

    @property
    def pretrained_from(self) -> dict[str, object]:
        """Which weights the features come from, for a run's provenance.

        Raises:
            ValueError, FileNotFoundError: as `find_backbone`.
        """
        return self.extractor.weights.about

    @property
    def precision(self) -> str:
        """Of the convolutions."""
        return "float32"

    @property
    def extractor(self) -> FrozenBackbone:
        """The backbone and its kept features; its weights are looked for when they are first needed.

        Raises:
            ValueError: no such backbone; the head was trained on the features of other weights.
            FileNotFoundError: the weights are nowhere, see `a2lc.segmenter.pretrained`.
        """
        if self._extractor is None:
            self._extractor = FrozenBackbone(self.settings, self.device, self.shared)
        found = self._extractor.weights
        if self._trained_on not in (None, found.sha256):
            expected = f"expected SHA-256 {self._trained_on}, on whose features the head was trained"
            raise ValueError(f"{found.path}: {expected}, found {found.sha256}")
        return self._extractor

    def fit(
        self, split: Split, labels: Labels, *, seed: int, progress: bool = True, loss: Loss | None = None
    ) -> TrainingLog:
        """Train a new head; see `Segmenter.fit`. Labelled cells of all images are drawn once and learnt in random
        order, `PIXELS` a step.

        With `loss`, a function of logits (N, K, h, w) float32 and targets (N, H, W), `labels` may give any int32
        targets in which 255 is ignored; each step then sees `IMAGES` whole images.

        On one CPU with one number of threads, the same seed and data give the same weights bit by bit. The state of
        torch's global random generator is left as it was.

        Raises:
            ValueError: a label map differs from its image in size or holds another id; the weights do not serve.
            FileNotFoundError: the weights of the backbone are nowhere, see `a2lc.segmenter.pretrained`.
            FloatingPointError: training diverged.
            RuntimeError: not enough memory.
        """
        start, steps, self._trained_on = time.perf_counter(), self.settings.iterations, None
        generator = torch.Generator().manual_seed(seed)
        batches = self._images(split, labels, generator) if loss else self._cells(split, labels, generator, progress)
        gpu = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpu), enough_memory(self.device, "training", "scale"):
            torch.manual_seed(seed)
            with kernels(self.settings.deterministic):
                head = FrozenHead(self.extractor.channels, self.num_classes, self.settings.head).to(self.device)
                losses = self._train(head, batches, loss or pixel_loss, progress)
                self.head = head
        self._trained_on = self.extractor.weights.sha256
        seconds = time.perf_counter() - start
        return TrainingLog(tuple(losses), tuple(losses.values()), seconds, len(split) / seconds, steps)

    def _train(
        self, head: FrozenHead, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], loss_of: Loss, progress: bool
    ) -> dict[int, float]:
        """Step -> loss at some fifty of them."""
        steps, rate = self.settings.iterations, self.settings.lr
        head.train()
        optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.1)
        losses, points = {}, {round(p) for p in np.linspace(1, steps, LOG_POINTS)}
        options = {"desc": "training", "unit": "step", "leave": False, "mininterval": 1}
        for step, (inputs, targets) in enumerate(tqdm(batches, total=steps, disable=not progress, **options), start=1):
            value = loss_of(head(inputs.to(self.device)), targets.to(self.device))
            value.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step in points:
                losses[step] = value.item()
                check_loss(losses[step], step, steps)
        head.eval()
        check_weights(head, steps)
        return losses

    def _cells(
        self, split: Split, labels: Labels, generator: torch.Generator, progress: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of features (1, C, 1, PIXELS) float32 and classes (1, 1, PIXELS) of labelled cells: a wide
        image each, of which a convolution makes one product of matrices."""
        steps = self.settings.iterations
        wanted = min(steps * PIXELS, SAMPLED_BYTES // (2 * self.extractor.channels))
        per_image = math.ceil(wanted / len(split))
        seen = torch.empty(per_image * len(split), self.extractor.channels, dtype=torch.float16)
        truth, count = torch.empty(len(seen), dtype=torch.uint8), 0
        options = {"desc": "features", "unit": "image", "leave": False, "mininterval": 1}
        for name in tqdm(split.names, disable=not progress, **options):
            image, labelled = read_sample(split, labels, name, self.num_classes)
            maps = self.extractor.maps(image)
            at_cells = self._at_cells(labelled, maps[0].shape[-2:]).flatten()  # (h*w,)
            known = (at_cells != IGNORE).nonzero()[:, 0]
            chosen = known[torch.randperm(len(known), generator=generator)[:per_image]]
            seen[count : count + len(chosen)] = joined(maps)[0].flatten(1)[:, chosen].T  # (n, C)
            truth[count : count + len(chosen)] = at_cells[chosen]
            count += len(chosen)
        for rows in _shuffled(count, steps, PIXELS, generator):
            yield seen[rows].float().T[None, :, None], truth[rows][None, None]

    def _images(
        self, split: Split, labels: Labels, generator: torch.Generator
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of features (IMAGES, C, h, w) float32 and targets (IMAGES, h, w) of whole images; what is smaller
        than others of its batch is padded with zeros that are ignored."""
        for rows in _shuffled(len(split), self.settings.iterations, IMAGES, generator):
            samples = [read_sample(split, labels, split.names[row], None) for row in rows]
            maps = [joined(self.extractor.maps(image))[0] for image, _ in samples]
            height, width = (max(sides) for sides in zip(*(stage.shape[1:] for stage in maps), strict=True))
            inputs = torch.zeros(len(rows), len(maps[0]), height, width)
            targets = torch.full((len(rows), height, width), IGNORE, dtype=torch.int32)
            for number, ((_, labelled), stage) in enumerate(zip(samples, maps, strict=True)):
                h, w = stage.shape[1:]
                inputs[number, :, :h, :w] = stage
                targets[number, :h, :w] = self._at_cells(labelled, (h, w))
            yield inputs, targets

    @torch.inference_mode()
    def predict(self, image: np.ndarray) -> torch.Tensor:
        """Softmax map (K, H, W) float32 of an (H, W, 3) uint8 RGB image, on `device`; see `Segmenter.predict`.

        Raises:
            ValueError: not an RGB image of bytes; the weights of the backbone are damaged, or others than in training.
            FileNotFoundError: the weights of the backbone are nowhere.
            RuntimeError: there is no head yet.
        """
        with kernels(self.settings.deterministic):
            logits = self._at_pixels(self._logits(image), image.shape[:2])  # (K, H, W)
            logits -= logits.amax(0)  # softmax, without 16 MB more of memory
            return logits.exp_().div_(logits.sum(0))

    @torch.inference_mode()
    def likeliest(self, image: np.ndarray, classes: int) -> torch.Tensor:
        """Which of the first `classes` outputs is likeliest: (H, W) int64, as `predict` says, in a third of the time.

        Raises:
            ValueError, FileNotFoundError, RuntimeError: as `predict`.
        """
        with kernels(self.settings.deterministic):
            logits = self._logits(image)[0, :classes]
            return likeliest(logits, self._whole(logits.shape[-2:], image.shape[:2]), image.shape[:2])

    @torch.inference_mode()
    def features(self, image: np.ndarray) -> torch.Tensor:
        """What the last layer sees of an image, brought to its own size bilinearly: (192, H, W) float32, on `device`.

        Raises:
            ValueError, FileNotFoundError, RuntimeError: as `predict`.
        """
        head = self._ready()
        with kernels(self.settings.deterministic):
            return self._at_pixels(head.features(self.extractor.maps(image)), image.shape[:2])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the head as safetensors, atomically, with the SHA-256 of the backbone's weights and the normalisation.

        Raises:
            RuntimeError: there is no head yet.
        """
        head, weights = self._ready(), self.extractor.weights
        state = {name: tensor.cpu().numpy() for name, tensor in head.state_dict().items()}
        sha256 = np.frombuffer(bytes.fromhex(weights.sha256), np.uint8)
        write_arrays(path, state | {SHA256: sha256, "mean": np.array(weights.mean), "std": np.array(weights.std)})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read a head that `save` wrote for the same backbone and number of classes.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: it is damaged or holds another network; the differences are named.
        """
        state = read_arrays(path)
        sha256 = state.pop(SHA256, np.empty(0, np.uint8))
        channels = len(state.get("norm.running_mean", "."))
        head = FrozenHead(channels, self.num_classes, self.settings.head)
        kept = {name: torch.from_numpy(array) for name, array in state.items() if name not in ("mean", "std")}
        load_weights(head, kept, path)
        self.head, self._trained_on = head.to(self.device).eval(), bytes(sha256).hex()

    def _ready(self) -> FrozenHead:
        if self.head is None:
            raise RuntimeError("the segmenter has no weights yet: call fit or load first")
        return self.head

    def _at_cells(self, labels: np.ndarray, size: torch.Size | tuple[int, int]) -> torch.Tensor:
        """Labels (H, W) at the centres of the cells: (h, w)."""
        side = self.extractor.strides[0] / self.settings.scale
        rows, columns = (
            np.minimum(((np.arange(cells) + 0.5) * side).astype(int), pixels - 1)
            for cells, pixels in zip(size, labels.shape, strict=True)
        )
        return torch.from_numpy(labels[rows][:, columns])

    def _logits(self, image: np.ndarray) -> torch.Tensor:
        """(1, K, h, w) float32 of an image's cells."""
        head = self._ready()
        logits: torch.Tensor = head.classifier(head.features(self.extractor.maps(image)))
        return logits.float()

    def _at_pixels(self, maps: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        """Maps (1, C, h, w) of cells -> (C, H, W) float32, bilinear."""
        return enlarged(maps.float(), self._whole(maps.shape[-2:], size), size)[0]

    def _whole(self, cells: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
        """How many pixels all cells have, of which the image (H, W) has the upper left."""
        side = self.extractor.strides[0] / self.settings.scale
        return tuple(max(pixels, round(count * side)) for count, pixels in zip(cells, size, strict=True))


def _shuffled(count: int, steps: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """`steps` times `size` numbers below `count`; all come before any comes again. Nothing where there are none."""
    waiting = torch.empty(0, dtype=torch.long)
    for _ in range(steps if count else 0):
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(count, generator=generator)])
        yield waiting[:size]
        waiting = waiting[size:]
