"""Training a segmentation network on a split and the label maps of the moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.machine import is_shortage
from a2lc.segmenter.processes import distributed, kernels, mean_over_processes
from a2lc.segmenter.recipes import RECIPES, Recipe
from a2lc.segmenter.samples import BATCHES_AHEAD, IGNORE, Labels, Sample, load_batches
from a2lc.segmenter.settings import SegmenterSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOG_POINTS = 50


@dataclass(frozen=True)
class TrainingLog:
    """What happened during training.

    Attributes:
        iterations: some fifty iterations, counted from 1; the last is always among them.
        losses: cross-entropy at those iterations, in nats per labelled pixel; or the loss given instead.
        seconds: wall-clock time of the whole training.
        images_per_second: crops per second.
        kept: iteration whose weights were kept, the last one unless ``settings.keep`` is ``best``; 0: not said.
    """

    iterations: tuple[int, ...]
    losses: tuple[float, ...]
    seconds: float
    images_per_second: float
    kept: int = 0


def train(
    network: nn.Module,
    settings: SegmenterSettings,
    num_classes: int,
    split: Split,
    labels: Labels,
    fabric: Fabric,
    progress: bool,
    loss_of: Loss | None = None,
    validate: Callable[[], float] | None = None,
) -> TrainingLog:
    """Train `network` in place; random numbers come from torch's global generator.

    Args:
        network: normalised images (N, 3, H, W) -> logits (N, K, h, w); labels are compared at the logits' resolution.
        settings: sizes, optimiser and augmentation.
        num_classes: K.
        split: the images.
        labels: image name -> (H, W) uint8, 0..K-1 or 255 (ignored), as large as the image.
        fabric: where to train; of several processes, each takes its share of every batch.
        progress: whether to show a bar.
        loss_of: (logits, targets) -> loss, in place of `pixel_loss`; then labels may be any int32 targets.
        validate: Model mIoU of the network as it is, for ``settings.keep == "best"``.

    Raises:
        ValueError: a label map differs from its image in size or holds another id; the processes cannot share a batch.
        FloatingPointError: the loss, or a weight, is no longer finite.
        RuntimeError: not enough memory.
    """
    if settings.batch_size % fabric.world_size:
        found = f"found {settings.batch_size} for {fabric.world_size} processes"
        raise ValueError(f"segmenter.batch_size: expected a multiple of the number of processes, {found}")
    start, recipe = time.perf_counter(), RECIPES[settings.optimizer](network, settings)
    best = Best(network, validate if settings.keep == "best" else None)
    network.train()
    step = partial(_step, distributed(network, fabric), recipe, loss_of or pixel_loss, settings, fabric)
    on_gpu = fabric.device.type == "cuda"
    share = (fabric.global_rank, fabric.world_size)
    data = (num_classes if loss_of is None else None, split, labels)
    batches = load_batches(settings, *data, BATCHES_AHEAD if on_gpu else 0, share, pin=on_gpu)
    options = {"desc": "training", "unit": "batch", "leave": False, "mininterval": 1}
    with (
        kernels(settings.deterministic, benchmark=True),
        enough_memory(fabric.device, f"training on batches of {settings.batch_size}", "batch_size, crop or scale"),
        tqdm(batches, total=settings.iterations, disable=not progress or fabric.global_rank > 0, **options) as bar,
    ):
        losses = _iterate(bar, step, best, settings)
    network.eval()
    best.restore()
    check_weights(network, settings.iterations)
    if fabric.world_size > 1:  # running statistics of batch norm, and the best weights, are those of the first process
        network.load_state_dict(fabric.broadcast(network.state_dict()))
    seconds = time.perf_counter() - start
    return TrainingLog(
        tuple(losses),
        tuple(losses.values()),
        seconds,
        settings.iterations * settings.batch_size / seconds,
        best.iteration or settings.iterations,
    )


def _iterate(
    bar: tqdm, step: Callable[[Sample], torch.Tensor], best: Best, settings: SegmenterSettings
) -> dict[int, float]:
    """One step per batch of `bar`; iteration -> loss at some fifty of them."""
    losses: dict[int, float] = {}
    points = {round(p) for p in np.linspace(1, settings.iterations, LOG_POINTS)}
    for iteration, batch in enumerate(bar, start=1):
        loss = step(batch)
        if iteration in points:
            losses[iteration] = mean_over_processes(loss).item()  # elsewhere the GPU is not waited for
            bar.set_postfix(loss=f"{losses[iteration]:.3f}", refresh=False)
            check_loss(losses[iteration], iteration, settings.iterations)
        if iteration % settings.validate_every == 0 or iteration == settings.iterations:
            best.look(iteration)
    return losses


def check_loss(loss: float, iteration: int, iterations: int) -> None:
    """Raise `FloatingPointError` where the loss of an iteration is no number."""
    if not math.isfinite(loss):
        found = f"found loss {loss} at iteration {iteration} of {iterations}"
        raise FloatingPointError(f"training diverged: {found}, expected a number; lower segmenter.lr")


def check_weights(network: nn.Module, iterations: int) -> None:
    """Raise `FloatingPointError` where a weight is no number: after the last iteration nobody asks for a loss."""
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            found = f"found NaN or infinity in {name} after {iterations} iterations"
            raise FloatingPointError(f"training diverged: {found}, expected numbers; lower segmenter.lr")


def _step(
    network: nn.Module, recipe: Recipe, loss_of: Loss, settings: SegmenterSettings, fabric: Fabric, batch: Sample
) -> torch.Tensor:
    """One update of the weights from a batch; its loss, detached."""
    images, targets = (tensor.to(fabric.device, non_blocking=True) for tensor in batch)
    loss = loss_of(network(normalise(images, settings)).float(), targets)
    fabric.backward(loss)
    recipe.step()
    return loss.detach()


@contextmanager
def enough_memory(device: torch.device, what: str, settings: str) -> Iterator[None]:
    """Say what to do where memory runs out: a smaller batch would train another model (batch norm), so it is left to
    the user.

    Raises:
        RuntimeError: not enough memory for `what`; names the `settings` to lower.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_shortage(error):
            raise
        raise RuntimeError(f"{device}: not enough memory for {what} ({error}); lower segmenter.{settings}") from error


class Best:
    """The weights of the best validation so far; without `validate` it does nothing."""

    def __init__(self, network: nn.Module, validate: Callable[[], float] | None) -> None:
        self.network, self.validate = network, validate
        self.iteration, self.miou = 0, -math.inf
        self.state: dict[str, torch.Tensor] = {}

    def look(self, iteration: int) -> None:
        """Validate, and keep a copy of the weights when they are better than all before."""
        if self.validate is None:
            return
        self.network.eval()
        miou = self.validate()
        self.network.train()
        if miou > self.miou:
            self.iteration, self.miou = iteration, miou
            self.state = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def restore(self) -> None:
        """Give the network the weights kept."""
        if self.state:
            self.network.load_state_dict(self.state)


def pixel_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits (N, K, h, w) over the labelled pixels; 0 when there is none.

    Labels (N, H, W) uint8 of another size are read at the centres of the logits' cells. Of several processes, each
    divides by the mean number of labelled pixels, so that the mean of their gradients is that of the whole batch.
    """
    if labels.shape[-2:] != logits.shape[-2:]:
        labels = F.interpolate(labels[:, None], logits.shape[-2:], mode="nearest-exact")[:, 0]
    count, targets = (labels != IGNORE).sum(), labels.long()
    if logits.is_cuda and torch.are_deterministic_algorithms_enabled():  # CUDA has no such kernel for maps
        logits, targets = logits.movedim(1, -1).flatten(0, -2), targets.flatten()  # (N*h*w, K), (N*h*w,)
    total = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
    return total / mean_over_processes(count).clamp(min=1)


def normalise(images: torch.Tensor, settings: SegmenterSettings) -> torch.Tensor:
    """(N, 3, H, W) uint8 -> float32, less `settings.mean` and over `settings.std`; channels last in memory."""
    mean, std = (_colour(values, images.device) for values in (settings.mean, settings.std))
    return ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=16)
def _colour(values: tuple[float, float, float], device: torch.device) -> torch.Tensor:
    """(3, 1, 1) in 0..255, kept: a GPU would finish all work before it takes numbers from the CPU."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(3, 1, 1) * 255
