"""What the rounds of every method share: the context of a run, seeds, choosing the highest scores, measuring."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.config import Experiment
from a2lc.correction import Oracle, Person
from a2lc.datasets import Dataset
from a2lc.instant import Instant
from a2lc.masks import MaskSet
from a2lc.masks.pieces import in_pieces
from a2lc.metrics import SegmentationMetrics, TruthHistogram, prediction_metrics, truth_histogram
from a2lc.runs import RoundFolder
from a2lc.segmenter import Segmenter, build_segmenter, resolve_device, with_features
from a2lc.segmenter.model import likeliest

SegmenterFactory = Callable[[int], Segmenter]
"""Number of outputs -> a model without weights: how users bring a model of their own."""


@dataclass(frozen=True)
class Context:
    """What stays the same in all rounds of a run.

    Attributes:
        config: the experiment.
        dataset: its images.
        known_truth: ground truth counted per mask; None where a person annotates images without it.
        annotator: who answers.
        new_model: makes a model without weights, with an output for every class.
        progress: whether to show bars.
        instant: what scores and corrects masks without a model; None where models do.
        pooled: (M, P) features of masks that the LCM may read; None where it reads probabilities.
    """

    config: Experiment
    dataset: Dataset
    known_truth: TruthHistogram | None
    annotator: Oracle | Person
    new_model: Callable[[], Segmenter]
    progress: bool
    instant: Instant | None = None
    pooled: np.ndarray | None = None

    @property
    def truth(self) -> TruthHistogram:
        """The ground truth counted per mask, where an oracle answers.

        Raises:
            ValueError: there is none.
        """
        if self.known_truth is None:
            raise ValueError(f"dataset {self.dataset.name!r}: has no ground truth")
        return self.known_truth

    def data_metrics(self, masks: MaskSet) -> SegmentationMetrics | None:
        """Data mIoU of these masks' labels, or of their pieces' where they were cut; None without ground truth."""
        if self.known_truth is not None and (pieces := in_pieces(masks)) is not masks:
            return truth_histogram(pieces, self.dataset.train).data_metrics(pieces)
        return None if self.known_truth is None else self.known_truth.data_metrics(masks)


def model_factory(
    config: Experiment, dataset: Dataset, device: str, segmenter: SegmenterFactory | None, shared: Path | None = None
) -> Callable[[], Segmenter]:
    """What makes the run's models: the user's own `segmenter`, or the network of the configuration, which keeps in the
    folder `shared` (None: a temporary one) what it computes once for all models.

    The function raises `ValueError` where a model lacks a method that the configuration needs, or where there is
    nothing to validate it with.

    Raises:
        ValueError: without a `segmenter`, an unknown device, or one that this machine lacks.
    """
    outputs = config.outputs(len(dataset.classes))
    if segmenter is None:
        resolve_device(device)

    def new_model() -> Segmenter:
        model: Segmenter
        if segmenter is None:
            model = build_segmenter(config.segmenter, outputs, device, model_miou(dataset), shared)
        else:
            model = segmenter(outputs)
        return with_features(model) if config.needs_features else model

    return new_model


def known_truth(config: Experiment, dataset: Dataset, masks: MaskSet) -> TruthHistogram | None:
    """The ground truth counted per mask. An oracle needs it; a person does not see it, it only measures, and None
    where an image has none.

    Raises:
        ValueError: an image has no ground truth for the oracle, or one of another size.
    """
    train = dataset.train
    if config.annotator == "human" and any(train.ground_truth(name) is None for name in masks.names):
        return None
    return truth_histogram(masks, train)


def choose_annotator(config: Experiment, dataset: Dataset, truth: TruthHistogram | None) -> Oracle | Person:
    """Who answers; an oracle needs the ground truth."""
    if config.annotator == "human" or truth is None:
        return Person()
    return Oracle(dataset.train, truth, "pixel" if config.query == "pixel" else "mask", config.keep_if_mostly_right)


def select_queries(
    masks: MaskSet, scores: np.ndarray, config: Experiment, seed: int, budget: int | None = None
) -> np.ndarray:
    """(B,) row numbers of the highest scores (Eq. 13), highest first; equal scores by image name, then mask id, or at
    random where the function says so (`AcquisitionFunction.random_ties`).

    Masks with a score of -inf are left out, and those answered in earlier rounds when ``config.non_redundant``. When
    fewer masks are left than the budget asks for, all of them are taken and a warning says so.

    Args:
        masks: M masks with the labels of the last round.
        scores: (M,) their scores.
        config: decides the budget and whether masks may come again.
        seed: of random ties.
        budget: in place of the one in `config`.
    """
    budget = config.masks_per_round(len(masks)) if budget is None else budget
    pool = np.flatnonzero((scores > -np.inf) & ~(masks.queried & config.non_redundant))
    if budget > len(pool):
        warnings.warn(
            f"the budget asks for {budget} masks, {len(pool)} are left: all of them are queried", stacklevel=2
        )
    canonical = masks.canonical_order
    ties, rank = np.zeros(len(masks)), np.argsort(canonical)
    function = ACQUISITION_FUNCTIONS.get(config.acquisition)  # PixBal is not among them
    if function is not None and function.random_ties:
        ties[canonical] = np.random.default_rng(seed).random(len(masks))
    order = np.lexsort((rank[pool], ties[pool], -scores[pool]))
    return pool[order[:budget]]


def measure(context: Context, masks: MaskSet, model: Segmenter | None, folder: RoundFolder) -> None:
    """Write Data mIoU and, of a trained `model`, Model mIoU of this round to ``metrics.json``."""
    clicks = sum(folder.sibling(r).clicks() for r in range(1, folder.number + 1))
    folder.write_metrics(
        round=folder.number,
        clicks=clicks,
        queried=len(folder.queried_rows()),
        data=context.data_metrics(masks),
        model=None if model is None else evaluate(model, context.dataset),
    )


def evaluate(model: Segmenter, dataset: Dataset) -> SegmentationMetrics | None:
    """Model mIoU on the validation images that have ground truth; None where none has. An output for void is never a
    prediction."""
    split, k = dataset.val, len(dataset.classes)
    split = split.subset([name for name in split.names if split.ground_truth(name) is not None])
    if len(split) == 0:
        return None
    found = (likeliest(model, split.image(name), k).cpu().numpy() for name in split.names)
    return prediction_metrics(zip(split.names, found, strict=True), split, k)


def model_miou(dataset: Dataset) -> Callable[[Segmenter], float] | None:
    """Model mIoU as a function of the model; None where there is nothing to score on."""

    def miou(model: Segmenter) -> float:
        score = evaluate(model, dataset)
        return float("nan") if score is None else score.miou

    return miou if any(dataset.val.ground_truth(name) is not None for name in dataset.val.names) else None


def round_seeds(seed: int, number: int) -> dict[str, int]:
    """Independent seeds, 32 bits, for each random thing of a round: scores, ties, lcm and training."""
    names = ("scores", "ties", "lcm", "training")
    return dict(zip(names, np.random.SeedSequence([seed, number]).generate_state(len(names)).tolist(), strict=True))
