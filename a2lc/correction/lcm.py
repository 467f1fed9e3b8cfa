"""The Label Correction Module (Eq. 1-6): learns from this round's answers and corrects similar masks that nobody was
asked about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from a2lc.correction.mlp import MLPTrainer
from a2lc.correction.settings import LCMSettings
from a2lc.files import is_whole
from a2lc.machine import one_thread, while_memory_lasts
from a2lc.masks import MaskSet

AT_ONCE = 1 << 12  # masks that the LCM is applied to at a time


class LabelCorrectionModule(nn.Module):
    """Fully connected C -> 256 -> 128 -> 64 -> K with ReLU in between and softmax at the end (paper, "Components of
    LCM").

    Args:
        num_classes: K.
        num_features: C; None: K, for features that are class probabilities.
    """

    def __init__(self, num_classes: int, num_features: int | None = None) -> None:
        super().__init__()
        widths = (num_features or num_classes, 256, 128, 64)
        layers = [layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(64, num_classes))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Class probabilities (n, K) in [0, 1] of mask features (n, C) float32; `ValueError` for another C."""
        if feature.shape[1] != (width := self.layers[0].in_features):
            raise ValueError(f"features: expected (n, {width}), found {tuple(feature.shape)}")
        return self.layers(feature).softmax(1)


def train_lcm(
    features: np.ndarray, labels: np.ndarray, num_classes: int, settings: LCMSettings, seed: int
) -> LabelCorrectionModule:
    """Train a new LCM on the masks answered in this round (Eq. 2).

    The class weight lambda_k = (N/N_k) / sum_c(N/N_c) runs over the classes answered; others cannot occur.

    Args:
        features: (n, C) float32 features of the answered masks (Eq. 1), by default their mean probabilities.
        labels: (n,) answers in 0..K-1; void answers are left out by the caller.
        num_classes: K.
        settings: epochs, batch size, learning rate, loss.
        seed: seeds initial weights and the order of batches; the global random state is left alone.

    Returns:
        The LCM in evaluation mode, on the CPU.

    Raises:
        ValueError: no labelled mask to learn from; features that are not (n, C) finite numbers; labels that are not
            (n,) integers, or one outside 0..K-1 (void).
        TypeError: `seed` is no whole number.
    """
    if len(labels) == 0:
        raise ValueError("the LCM needs at least one answered mask that is not void")
    features, labels = np.asarray(features, np.float32), _checked_labels(labels, num_classes)
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(f"features: expected ({len(labels)}, C), a row per label, found {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features: expected finite numbers, found NaN or infinity")
    if not is_whole(seed):
        raise TypeError(f"seed: expected a whole number, found {seed!r}")
    counts = np.bincount(labels, minlength=num_classes)
    inverse = np.divide(len(labels), counts, out=np.zeros(num_classes), where=counts > 0)
    weight = torch.tensor(inverse / inverse.sum(), dtype=torch.float32)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(int(seed))
        model = LabelCorrectionModule(num_classes, features.shape[1])
        x, y = torch.from_numpy(features), torch.from_numpy(labels.astype(np.int64))
        trainer = MLPTrainer(model.layers, settings.learning_rate)
        for _ in range(settings.epochs):
            order = torch.randperm(len(y))
            batches = (ordered.split(settings.batch_size) for ordered in (x[order], y[order]))
            for features_, labels_ in zip(*batches, strict=True):
                trainer.step(features_, partial(_loss, labels=labels_, weight=weight, name=settings.loss))
    return model.eval()


def _checked_labels(labels: np.ndarray, num_classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: expected (n,) integers, found {labels.shape} {labels.dtype}")
    if wrong := sorted({int(label) for label in labels if not 0 <= label < num_classes}):
        raise ValueError(
            f"labels: the LCM learns classes 0..{num_classes - 1}, found {wrong[0]}; leave void answers out"
        )
    return labels


def _loss(logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, name: str) -> torch.Tensor:
    """Eq. 2 of a batch: logits (n, K), labels (n,), class weights (K,)."""
    output = logits.softmax(1)
    if name == "double_softmax":
        return nn.functional.cross_entropy(output, labels, weight)
    return nn.functional.nll_loss(output.clamp_min(1e-12).log(), labels, weight)


@torch.no_grad()
def predict(model: nn.Module, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) int64 most probable class of each mask and (M,) float32 its probability, from (M, C) features; so many
    masks at a time that their hidden layers take 8 MB, or half as many where memory does not suffice.

    Raises:
        RuntimeError: not enough memory for one mask.
    """
    x = torch.from_numpy(np.asarray(features, np.float32))

    def compute(chunk: int) -> list[tuple[torch.Tensor, ...]]:
        return [tuple(model(part).max(1)) for part in x.split(chunk)]

    parts = while_memory_lasts(compute, min(max(len(x), 1), AT_ONCE), x.device, "applying the LCM to a mask")
    confidence, predicted = (torch.cat(values) for values in zip(*parts, strict=True))
    return predicted.numpy(), confidence.numpy()


def tail_ranking(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(K,) classes from rarest to most frequent among this round's answers, (n,) labels in 0..K-1.

    Classes that were never answered come first, in class order; then those answered, by ascending count, ties in
    class order. The reverse is ``rank(c)`` of Eq. 5-6 (``auto_correct.py:206-220`` of ngbrjyj/A2LC).

    Raises:
        ValueError: labels that are not (n,) integers in 0..K-1.
    """
    labels = _checked_labels(labels, num_classes)
    return np.argsort(np.bincount(labels, minlength=num_classes), kind="stable")


@dataclass(frozen=True)
class Corrections:
    """What the LCM says of every mask, and which masks it may correct.

    Attributes:
        predicted: (M,) int64 predicted class.
        confidence: (M,) float64 probability of the predicted class, in [0, 1].
        accepted: (M,) bool, all criteria of Eq. 3-6 hold, the label would change and no answer protects the mask.
        tail: (t,) the classes that must not be predicted (Eq. 5), rarest first; t = alpha K, rounded down.
    """

    predicted: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray
    tail: np.ndarray


def propose_corrections(
    model: LabelCorrectionModule,
    features: np.ndarray,
    masks: MaskSet,
    answered: np.ndarray,
    settings: LCMSettings,
    round: int,
) -> Corrections:
    """Apply the LCM to all masks and the selection criteria to its predictions (Eq. 3-6).

    Args:
        model: the LCM trained in this round.
        features: (M, C) float32 mask features.
        masks: all masks, the answers of this round already applied.
        answered: (n,) this round's answers without void: their counts decide which classes are tail.
        settings: threshold schedule, tail ratio and what is protected.
        round: counted from 1.

    Raises:
        ValueError: features of another number of masks, or of another width than the LCM's; an answer outside 0..K-1;
            a round < 1.
        RuntimeError: not enough memory for one mask.
    """
    if np.ndim(features) != 2 or len(features) != len(masks):
        raise ValueError(f"features: expected ({len(masks)}, C), a row per mask, found {np.shape(features)}")
    predicted, confidence = predict(model, features)
    k = len(masks.classes)
    ranking = tail_ranking(answered, k)
    tail = ranking[: int(settings.tail_ratio * k)]
    labels = masks.table["label"].to_numpy()
    protected = ranking[:1] if settings.protected_labels == "rarest" else tail
    in_time = settings.protected_answers == "ever" or masks.table["round"].to_numpy() == round
    accepted = (
        (confidence.astype(np.float64) >= settings.threshold(round))  # J1, Eq. 4, compared in double precision
        & ~np.isin(predicted, tail)  # J2, Eq. 5
        & ~np.isin(labels, protected)  # J3, Eq. 6
        & (predicted != labels)
        & ~(masks.queried & in_time)  # what a person said in this round or, by default, ever
    )
    return Corrections(predicted, confidence.astype(np.float64), accepted, tail)
