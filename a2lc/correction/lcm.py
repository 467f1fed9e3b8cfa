"""The Label Correction Module (Eq. 1-6): learns from this round's answers and corrects similar masks that nobody was
asked about."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
REGRESSION = 0.02  # inverse strength of the prior of the logistic model
NEVER = -1e4  # log-odds of a class that it has not seen


class LabelCorrectionModule(nn.Module):
    """Fully connected C -> 256 -> 128 -> 64 -> K with ReLU in between and softmax at the end (paper, "Components of
    LCM").

    Args:
        num_classes: K.
        num_features: C; None: K, for features that are class probabilities.
        hidden: widths of the layers in between; of a regression, none.
    """

    def __init__(
        self, num_classes: int, num_features: int | None = None, hidden: Sequence[int] = (256, 128, 64)
    ) -> None:
        super().__init__()
        widths = (num_features or num_classes, *hidden)
        layers = [layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

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
    return train_lcms(features, labels, num_classes, settings, seed, [np.arange(len(labels))])[0]


def train_lcms(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    settings: LCMSettings,
    seed: int,
    parts: Sequence[np.ndarray],
) -> list[LabelCorrectionModule]:
    """Train several LCMs side by side, each on a part of the masks and as `train_lcm` would.

    Args:
        features, labels, num_classes, settings, seed: as of `train_lcm`.
        parts: row numbers of the masks that each learns from.

    Raises:
        ValueError, TypeError: as `train_lcm`; also a part without a mask.
    """
    if any(len(part) == 0 for part in parts):
        raise ValueError("the LCM needs at least one answered mask that is not void")
    features, labels = np.asarray(features, np.float32), _checked_labels(labels, num_classes)
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(f"features: expected ({len(labels)}, C), a row per label, found {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features: expected finite numbers, found NaN or infinity")
    if not is_whole(seed):
        raise TypeError(f"seed: expected a whole number, found {seed!r}")
    if settings.model == "logistic":
        return [logistic_lcm(features[part], labels[part], num_classes) for part in parts]
    with torch.random.fork_rng(devices=[]), one_thread():
        return _side_by_side(torch.from_numpy(features), labels, num_classes, settings, seed, parts) if parts else []


def _side_by_side(
    features: torch.Tensor,
    labels: np.ndarray,
    num_classes: int,
    settings: LCMSettings,
    seed: int,
    parts: Sequence[np.ndarray],
) -> list[LabelCorrectionModule]:
    """See `train_lcms`. The smallest part comes first, so that those whose last batch is still to come are the last."""
    ascending = sorted(range(len(parts)), key=lambda i: len(parts[i]))
    y, models, orders, weights = torch.from_numpy(labels.astype(np.int64)), [], [], []
    for part in (parts[i] for i in ascending):
        torch.manual_seed(int(seed))
        models.append(LabelCorrectionModule(num_classes, features.shape[1]))
        rows = torch.from_numpy(part)
        orders.append([rows[torch.randperm(len(rows))] for _ in range(settings.epochs)])
        counts = np.bincount(labels[part], minlength=num_classes)
        inverse = np.divide(len(part), counts, out=np.zeros(num_classes), where=counts > 0)
        weights.append(torch.tensor(inverse / inverse.sum(), dtype=torch.float32))
    trainer = MLPTrainer([model.layers for model in models], settings.learning_rate)
    if len(models) == 1:
        for order in orders[0]:
            for batch in order.split(settings.batch_size):
                loss = partial(_loss, labels=y[batch], weight=weights[0], name=settings.loss)
                trainer.step(features[batch], loss)
    else:
        of_class = torch.stack(weights)
        for epoch in zip(*orders, strict=True):
            order = nn.utils.rnn.pad_sequence(list(epoch), batch_first=True, padding_value=-1)
            for batch in order.split(settings.batch_size, 1):
                first = int((batch[:, 0] < 0).sum())  # the parts before it are through
                batch, given = batch[first:], y[batch[first:]]
                weight = of_class[first:].gather(1, given) * (batch >= 0)
                loss = partial(_losses, labels=given, weight=weight, name=settings.loss)
                trainer.step(features[batch], loss, first)
    if not all(parameter.isfinite().all() for model in models for parameter in model.parameters()):
        found_in = "found NaN or infinity in the LCM's weights"
        raise FloatingPointError(f"training diverged: {found_in}, expected numbers; lower correction.learning_rate")
    found = dict(zip(ascending, models, strict=True))
    return [found[i].eval() for i in range(len(parts))]


def logistic_lcm(features: np.ndarray, labels: np.ndarray, num_classes: int) -> LabelCorrectionModule:
    """Multinomial logistic regression in place of the LCM's network, with the prior of `a2lc.instant`'s corrections.

    Args:
        features: (n, C) float32, about standardised.
        labels: (n,) answers in 0..K-1; the other classes it never says.
        num_classes: K.
    """
    from sklearn.linear_model import LogisticRegression

    model = LabelCorrectionModule(num_classes, features.shape[1], hidden=())
    present = np.unique(labels)
    weight, bias = np.zeros((num_classes, features.shape[1]), np.float32), np.full(num_classes, NEVER, np.float32)
    bias[present] = 0.0
    if len(present) > 1:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # of the first answers
            fitted = LogisticRegression(C=REGRESSION, max_iter=1000).fit(features, labels)
        two = len(present) == 2  # they share their coefficients
        weight[present[1:] if two else present], bias[present[1:] if two else present] = fitted.coef_, fitted.intercept_
    model.layers.load_state_dict({"0.weight": torch.from_numpy(weight), "0.bias": torch.from_numpy(bias)})
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


def _losses(logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, name: str) -> torch.Tensor:
    """The same of F batches side by side, summed: logits (F, n, K), labels (F, n), weights of their classes (F, n), 0
    where a batch has ended."""
    output = logits.softmax(-1)
    log = output.log_softmax(-1) if name == "double_softmax" else output.clamp_min(1e-12).log()
    each = -log.gather(2, labels[..., None])[..., 0] * weight
    return (each.sum(1) / weight.sum(1)).sum()


@torch.no_grad()
def probabilities_of(model: nn.Module, features: np.ndarray) -> np.ndarray:
    """(M, K) float32 probabilities of all classes of each mask, from (M, C) features."""
    parts = torch.from_numpy(np.asarray(features, np.float32)).split(AT_ONCE)
    return np.asarray(torch.cat([model(part) for part in parts]).numpy())


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
        predicted: (M,) int64 predicted class; K where void is an outcome and the LCM says so.
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
    k = len(masks.classes)  # what says void, k, proposes nothing
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
        & (predicted < k)
        & ~(masks.queried & in_time)  # what a person said in this round or, by default, ever
    )
    return Corrections(predicted, confidence.astype(np.float64), accepted, tail)
