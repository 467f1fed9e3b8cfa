"""Training SESM on labelled pairs and on the accepted pixels of others, with a teacher that follows it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from a2lc.machine import show_bars
from a2lc.referring.network import Sesm
from a2lc.referring.pairs import Batch, Pairs, endless
from a2lc.referring.settings import TrainingSettings
from a2lc.referring.views import drop_priors, strong_view

Accepted = Callable[[Sequence[int]], Batch]
"""Row numbers of accepted pairs -> the batch with their pseudo-labels, weight 0 where a pixel is not accepted."""


class Teacher:
    """The exponential average of a network's weights.

    Args:
        student: the network that it follows.
        decay: share of the old average that a step keeps; less at first, so that it does not stay where it began.

    Attributes:
        network: the average, never in training mode.
    """

    def __init__(self, student: Sesm, decay: float) -> None:
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self._decay, self._steps = decay, 0

    @torch.no_grad()
    def follow(self, student: Sesm) -> None:
        """Move towards the student's weights."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 9))
        mine, theirs = self.network.state_dict(), student.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])


@dataclass(frozen=True)
class TrainingLog:
    """What a training came to: mean loss on labelled pairs and on accepted pixels over its last tenth."""

    labelled: float
    accepted: float | None


def train(
    network: Sesm,
    labelled: Pairs,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    accepted: tuple[int, Accepted] | None = None,
    progress: bool = True,
) -> tuple[Teacher, TrainingLog]:
    """Train a network in place.

    Args:
        network: in its first state.
        labelled: pairs whose truth is known.
        settings: steps, batch, rates.
        seed: of all that is random but the network's first weights.
        device: where to.
        accepted: number of accepted pairs, and what gives their pseudo-labels; None: there are none.
        progress: show a bar.

    Returns:
        The teacher, and what the losses came to.

    Raises:
        ValueError: there is no labelled pair.
        FloatingPointError: the loss is no longer finite.
    """
    if not len(labelled):
        raise ValueError("training: expected labelled pairs, found none")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # of dropout, where a network has some
        return _train(network, labelled, settings, seed, device, accepted, progress)


def _train(
    network: Sesm,
    labelled: Pairs,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    accepted: tuple[int, Accepted] | None,
    progress: bool,
) -> tuple[Teacher, TrainingLog]:
    network.to(device).train()
    rng, generator = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
    teacher = Teacher(network, settings.ema)
    fused = device.type != "mps"  # one pass over the weights: a twelfth of a step on a CPU
    options: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": fused}
    optimizer = torch.optim.AdamW(network.parameters(), **options)
    batches = endless(len(labelled), settings.batch, rng)
    others: Iterator[list[int]] | None = None
    if accepted is not None and accepted[0]:
        others = endless(accepted[0], settings.batch, np.random.default_rng([seed, 2]))
    losses: list[tuple[float, float]] = []
    shown = {"desc": "training", "unit": "step", "leave": False, "mininterval": 1}
    for step in tqdm(range(settings.steps), disable=not (progress and show_bars(progress)), **shown):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _pace(step, settings)
        loss = _labelled_loss(network, labelled.labelled(next(batches)).to(device), settings, generator)
        of_others = torch.zeros(())
        if others is not None and accepted is not None:
            batch = accepted[1](next(others)).to(device)
            strong = strong_view(batch.images, generator)
            ramp = min(1.0, (step + 1) / max(1.0, settings.ramp * settings.steps))
            of_others = accepted_loss(_predict(network, batch, strong, settings, generator), batch)
            loss = loss + ramp * settings.weight_of_accepted * of_others
        if not math.isfinite(value := float(loss.detach())):
            raise FloatingPointError(f"training diverged: loss {value} at step {step + 1}; lower training.lr")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        teacher.follow(network)
        losses.append((value, float(of_others.detach())))
    network.eval()
    last = np.array(losses[-max(1, settings.steps // 10) :])
    return teacher, TrainingLog(float(last[:, 0].mean()), float(last[:, 1].mean()) if others is not None else None)


def _labelled_loss(network: Sesm, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> torch.Tensor:
    shown = strong_view(batch.images, generator) if settings.strong_labelled else batch.images
    return labelled_loss(_predict(network, batch, shown, settings, generator), batch.target)


def _predict(
    network: Sesm, batch: Batch, images: torch.Tensor, settings: TrainingSettings, generator: torch.Generator
) -> torch.Tensor:
    prior, score = drop_priors(batch.prior, batch.score, settings.prior_dropout, generator)
    logits: torch.Tensor = network(images, batch.words, prior, score)
    return logits.float()


def _pace(step: int, settings: TrainingSettings) -> float:
    """The share of the learning rate: up over the first twentieth, then down along half a cosine."""
    warm = max(1, settings.steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm)))


def labelled_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and Dice, equally weighed, of (N, h, w) logits and the true share of each cell."""
    return F.binary_cross_entropy_with_logits(logits, target) + dice(logits, target, torch.ones_like(target))


def accepted_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross-entropy over accepted cells by their weights, and Dice over them; 0 where none is."""
    total = batch.weight.sum()
    crossed = F.binary_cross_entropy_with_logits(logits, batch.target, reduction="none")
    entropy = (batch.weight * crossed).sum() / total.clamp(min=1e-6)
    some = (batch.weight > 0).float()
    return entropy + dice(logits, batch.target, some) * (total > 0)


def dice(logits: torch.Tensor, target: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
    """Mean Dice loss over N maps (N, h, w), of the cells where `some` is 1."""
    chance = logits.sigmoid() * some
    wanted = target * some
    shared = (chance * wanted).sum((1, 2))
    return (1 - (2 * shared + 1) / (chance.sum((1, 2)) + wanted.sum((1, 2)) + 1)).mean()


@torch.inference_mode()
def predict(
    network: Sesm, pairs: Pairs, rows: Sequence[int], batch: int, device: torch.device, seed: int | None = None
) -> Iterator[tuple[int, torch.Tensor]]:
    """The logits of some pairs, one after the other.

    Args:
        network: in evaluation mode.
        pairs: all of them.
        rows: of those asked about.
        batch: how many are computed at once.
        device: where.
        seed: of strong views; None: weak ones, the images as they are.

    Yields:
        The row, and (h, w) float32 logits on the CPU.
    """
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        images, words, prior, score = pairs.inputs(some)
        if seed is not None:
            images = strong_view(images, torch.Generator().manual_seed(seed + start))
        logits = network(images.to(device), words.to(device), prior.to(device), score.to(device)).float().cpu()
        yield from zip(some, logits, strict=True)
