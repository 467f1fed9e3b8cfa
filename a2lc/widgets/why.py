"""Why was this mask asked about? Its score taken apart, with the model and the labels that the round scored with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from a2lc.acquisition import class_weights
from a2lc.datasets.base import Split
from a2lc.widgets.history import RunHistory

if TYPE_CHECKING:
    from a2lc.segmenter import Segmenter


@dataclass(frozen=True)
class Why:
    """The parts of one mask's score in one round.

    Attributes:
        round: the round that scored.
        function: the run's acquisition function.
        score: what the run wrote down.
        rank, of: its place among the masks that could be asked about, 1 = the highest; rank None where it could not.
        asked: how many were asked about.
        parts: `Explanation.row` of SIM, or of ABC where that is the function (Eq. 12): area (pixels), cil, weight and
            similarity (means in [0, 1]), score and more.
        classes: the model's three likeliest classes, with mean probabilities over the mask.
        label: the mask's label when it was scored, the ignore index = void.
        exact: whether `parts` make up `score`; False where the run scores otherwise (another function, SIM at a
            representative pixel, or other features).
        seconds: that the answer took.
    """

    round: int
    function: str
    score: float
    rank: int | None
    of: int
    asked: int
    parts: dict[str, float]
    classes: tuple[tuple[str, float], ...]
    label: int
    exact: bool
    seconds: float


class Explainer:
    """Answers "why this mask?" on demand; keeps the last model, and the last image's probabilities.

    Args:
        history: of the run.
        split: where images are read.
        device: of the model, as in `a2lc.run`.
    """

    def __init__(self, history: RunHistory, split: Split | None, device: str = "auto") -> None:
        self._history, self._split, self._device = history, split, device
        self._model: tuple[int, Segmenter] | None = None
        self._probs: tuple[tuple[int, str], np.ndarray] | None = None

    def ready(self, image: str, round: int) -> bool:
        """Whether an answer about this image and round takes no waiting."""
        return self._probs is not None and self._probs[0] == (round, image)

    def explain(self, image: str, mask_id: int, round: int) -> Why:
        """Take the score of a mask in a round apart.

        Raises:
            ValueError: there is no such round or mask, a file is damaged, or the round asked about random superpixels.
            FileNotFoundError: the model of the round before, or the image, is missing; the message says which file.
        """
        from a2lc.acquisition import explain_mask  # needs PyTorch, which a look at masks does not

        start, history, config = time.perf_counter(), self._history, self._history.run.config
        if round < 1 or round not in history.rounds:
            raise ValueError("no round has scored this mask")
        if config.is_instant:
            raise ValueError("this run asks by features of whole masks: no map of probabilities can be taken apart")
        if config.from_superpixels and round == 1:
            raise ValueError("round 1 asks about random superpixels: there is no model yet")
        row, log, masks = history.masks(0).row(image, mask_id), history.log(round), history.masks(round - 1)
        root = log.regions.get(row, row)
        probs = self._probabilities(image, round)  # (K, H, W)
        weights = None
        if config.acquisition == "abc":
            exclude = masks.queried if config.scoring.counted_masks == "pool" else None
            weights = class_weights(masks, exclude, config.scoring.uniform_over).weights
        objects = masks.object_map(image)
        why = explain_mask(probs, objects, masks.label_map(image), mask_id, weights, masks.classes.ignore_index)
        by_parts = config.acquisition in ("abc", "sim") and config.similarity == "mean"
        by_parts &= config.scoring.features == "probabilities"
        score, mean = float(log.scores[root]), probs[:, objects == mask_id].mean(1)
        return Why(
            round,
            config.acquisition,
            score,
            log.place(root),
            len(log.ranked),
            len(log.answers),
            why.row,
            tuple((masks.classes.names[c], float(mean[c])) for c in np.argsort(-mean)[:3]),
            int(masks.table["label"].to_numpy()[row]),
            by_parts and abs(score - why.row["score"]) <= 0.01 * abs(score) + 1e-3,
            time.perf_counter() - start,
        )

    def _probabilities(self, image: str, round: int) -> np.ndarray:
        from a2lc.acquisition import predict_squashed

        if self._probs is None or self._probs[0] != (round, image):
            if self._split is None:
                raise FileNotFoundError("the dataset's images are missing")
            picture, run = self._split.image(image), self._history.run
            if self._model is None or self._model[0] != round - 1:
                self._model = (round - 1, run.segmenter(round - 1, self._device))
            model, k = self._model[1], len(self._history.masks(0).classes)
            probs = predict_squashed(model, picture) if run.config.scoring.ref_squash else model.predict(picture)
            self._probs = ((round, image), probs[:k].float().cpu().numpy())
        return self._probs[1]
