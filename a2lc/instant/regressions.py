"""The two regressions of the method ``instant``: which labels do not fit, and what masks should be called instead.

Both are multinomial logistic regressions on standardised features of the mask. `Instant.suspicion` learns the labels
that all masks carry now: where others that look alike disagree, one is suspicious (cleanlab and others call the
opposite label quality). `Instant.corrections` learns from answers only. Each is fitted anew after some answers from
where it was, on a bounded number of masks, so that a person does not wait.

The constants were chosen on PASCAL VOC with real Grounded-SAM masks; CamVid and the toy scenes have judged them
(docs/instant.md).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from a2lc.correction import Corrections
from a2lc.masks import MaskSet

if TYPE_CHECKING:  # takes a second, which methods that train a network need not wait
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

FOLDS = 3  # of images; masks are judged by what others than their own image teach
PRESENT, ANSWERED = 0.01, 0.02  # C, inverse strength of the prior, of suspicion and of corrections
ANSWER = 100.0  # how much more an answer counts than a label that nobody has looked at
FIRST_LABEL = 3.0  # weight of the label that a mask came with
SURE = (0.7, 0.8, 0.9)  # a mask is corrected from one of these probabilities on, which held-out answers choose
DOUBT = 2.0  # standard deviations by which corrections of held-out answers must do more good than harm
FIT_MASKS = 10_000  # that a regression learns from at most
ITERATIONS = 100
TOLERANCE = 1e-3
AT_ONCE = 1 << 14  # masks that are predicted at a time


@dataclass(frozen=True)
class Suspicion:
    """What is suspicious.

    Attributes:
        scores: (M,) float64: pixels of the mask, over the square root of all pixels with its label, times the
            probability that its label is wrong.
        wrong: (M,) float64 that probability, 1 less that of its label, in [0, 1].
        probabilities: (M, K + 1) float32 of all classes and, last, void; from models that have not seen the mask's
            image where there are several images.
    """

    scores: np.ndarray
    wrong: np.ndarray
    probabilities: np.ndarray


class Instant:
    """Suspicion and corrections of a set of masks.

    What they say depends on labels and answers, and in the last digits on what was fitted before; after `forget` on
    labels and answers alone.

    Args:
        features: (M, C) float16 (`mask_features`).
        masks: the M masks.
        seed: of the folds, and of the choice of masks to learn from where there are too many.

    Attributes:
        void: K, the number by which void stands among the classes here.
        ignore_index: its number in labels.
        area: (M,) float64 pixels.
        first: (M,) int64 label that each mask came with, 0..K.

    Raises:
        ValueError: features of another number of masks, or that are no numbers.
    """

    def __init__(self, features: np.ndarray, masks: MaskSet, seed: int = 0) -> None:
        if features.ndim != 2 or len(features) != len(masks):
            raise ValueError(f"features: expected ({len(masks)}, C), a row per mask, found {features.shape}")
        table = masks.table
        self.void, self.ignore_index = len(masks.classes), masks.classes.ignore_index
        self.area = table["area"].to_numpy().astype(np.float64)
        self.first = self.classes(table["initial_label"].to_numpy())
        self._features = features
        self._scaler = _fitted_scaler(features)
        self._size = np.log(self.area).astype(np.float32)[:, None] - np.float32(np.log(self.area).mean())
        rng = np.random.default_rng(seed)
        images = len(masks.names)
        groups = table["image"].cat.codes.to_numpy() if images > 1 else np.arange(len(masks))
        number = int(groups.max(initial=0)) + 1
        self._fold = (rng.permutation(number) % min(FOLDS, number))[groups]
        self._drawn = rng.permutation(len(masks))  # the order in which masks are learnt from where not all can be
        self.forget()

    def forget(self) -> None:
        """Start the regressions from nothing."""
        self._present = [_Regression(PRESENT) for _ in range(int(self._fold.max(initial=0)) + 1)]
        self._answers = _Regression(ANSWERED)
        self._others = [_Regression(ANSWERED) for _ in self._present]

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """(n,) int64 of (n,) uint8 labels: void as the last class."""
        return np.where(labels == self.ignore_index, self.void, labels).astype(np.int64)

    # ------------------------------------------------------------------------------------------ what is suspicious
    def suspicion(self, labels: np.ndarray, answered: np.ndarray, discarded: np.ndarray | None = None) -> Suspicion:
        """How suspicious each mask's label is: with area a_m, label l_m and p_m of the regression that has not learnt
        from the image of m, score_m = a_m / sqrt(sum of a_n over all n with l_n = l_m) * (1 - p_m[l_m]).

        Args:
            labels: (M,) uint8 present labels, the ignore index = void.
            answered: (M,) bool, whose label an annotator has given.
            discarded: (M,) bool, whose label nothing is learnt from (`MaskSet.silent`); None: none.
        """
        labels = self.classes(labels)
        usable = np.ones(len(labels), bool) if discarded is None or discarded.all() else ~discarded
        found = self._likely(labels, answered, usable)
        pixels = np.bincount(labels, weights=self.area, minlength=self.void + 1)
        wrong = 1 - found[np.arange(len(labels)), labels].astype(np.float64)
        return Suspicion(self.area / np.sqrt(pixels[labels]) * wrong, wrong, found)

    # ------------------------------------------------------------------------------------------ what it should be
    def corrections(self, masks: MaskSet, present: Suspicion) -> Corrections:
        """What the other masks should be called: the class that answers make likeliest, where that is sure enough and
        present labels, too, make it likelier than the first label; else the first label.

        How sure is enough the answers say themselves: each is held out, and what would have become of it is counted,
        +1 where a wrong first label would have been made right, -1 the other way round. From the probability of `SURE`
        with the largest sum less `DOUBT` standard deviations on, masks are corrected; where none is above 0, none is.

        Args:
            masks: with all answers.
            present: what present labels make likely, with or without the last answers.

        Returns:
            Of every mask; `predicted` is a class or the ignore index, `confidence` what answers give it; there is no
            tail.
        """
        asked, labels = masks.queried, masks.table["label"].to_numpy()
        rows = np.flatnonzero(asked & ~masks.silent)
        found = self.predictions(rows, labels[rows])
        best, every = found.argmax(1), np.arange(len(found))
        sure = found[every, best] >= self._enough(rows, labels[rows], present)
        sure &= self._agreed(every, best, present)
        wanted = np.where(sure, best, self.first)
        predicted = np.where(wanted == self.void, self.ignore_index, wanted)
        accepted = (predicted != labels) & ~asked
        return Corrections(predicted, found[every, wanted].astype(np.float64), accepted, np.empty(0, np.int64))

    def predictions(self, rows: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What the answers say of all masks.

        Args:
            rows: (n,) row numbers of all answered masks.
            answers: (n,) uint8 their answers, the ignore index = void.

        Returns:
            (M, K + 1) float32 probabilities, the last of void; without an answer all are 0.
        """
        found = np.zeros((len(self.first), self.void + 1), np.float32)
        if len(rows):
            self._answers.fit(self._with_label(rows), self.classes(answers), None)
            self._predict(self._answers, np.arange(len(found)), found, with_label=True)
        return found

    def held_out(self, rows: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What answers about other images say of masks that were answered.

        Args:
            rows: (n,) row numbers of all answered masks.
            answers: (n,) uint8 their answers.

        Returns:
            (n,) int64 likeliest class, K = void, -1 where there are no other answers; (n,) float64 its probability.
        """
        said, sure = np.full(len(rows), -1), np.zeros(len(rows))
        for fold, regression in enumerate(self._others):
            held = self._fold[rows] == fold
            if held.any() and not held.all():
                regression.fit(self._with_label(rows[~held]), self.classes(answers[~held]), None)
                found = regression.probabilities(self._with_label(rows[held]))
                said[held], sure[held] = regression.classes[found.argmax(1)], found.max(1)
        return said, sure

    # ------------------------------------------------------------------------------------------ inside
    def _likely(self, labels: np.ndarray, answered: np.ndarray, usable: np.ndarray) -> np.ndarray:
        """`Suspicion.probabilities` of the classes (M,) that all masks carry now, learnt from those that are usable."""
        weights = np.where(answered, ANSWER, 1.0)
        found = np.zeros((len(labels), self.void + 1), np.float32)
        for fold, regression in enumerate(self._present):
            others = np.flatnonzero(usable & (self._fold != fold))
            learnt = self._at_most(others if len(others) else np.flatnonzero(usable), answered)
            regression.fit(self._inputs(learnt), labels[learnt], weights[learnt])
            self._predict(regression, np.flatnonzero(self._fold == fold), found)
        return found

    def _enough(self, rows: np.ndarray, answers: np.ndarray, present: Suspicion) -> float:
        """The probability from which on masks are corrected, infinite where held-out answers do not allow it."""
        said, sure = self.held_out(rows, answers)
        truth = self.classes(answers)
        would = (said >= 0) & self._agreed(rows, said, present)
        good = (said == truth).astype(int) - (self.first[rows] == truth)
        tried = [would & (sure >= least) for least in SURE]
        values = [good[which].sum() - DOUBT * np.sqrt(which.sum()) for which in tried]
        best = int(np.argmax(values))
        return SURE[best] if values[best] > 0 else np.inf

    def _agreed(self, rows: np.ndarray, classes: np.ndarray, present: Suspicion) -> np.ndarray:
        """(n,) bool: where another class than void is likelier by the present labels than the first label is."""
        likely = present.probabilities[rows]
        at = np.arange(len(rows))
        return (classes < self.void) & (likely[at, np.maximum(classes, 0)] > likely[at, self.first[rows]])

    def _at_most(self, rows: np.ndarray, answered: np.ndarray) -> np.ndarray:
        """`FIT_MASKS` of the rows: answered masks first, then at random, always the same."""
        if len(rows) <= FIT_MASKS:
            return rows
        inside = np.zeros(len(answered), bool)
        inside[rows] = True
        drawn = self._drawn[inside[self._drawn]]
        return np.sort(np.concatenate([drawn[answered[drawn]], drawn[~answered[drawn]]])[:FIT_MASKS])

    def _predict(self, regression: _Regression, rows: np.ndarray, into: np.ndarray, with_label: bool = False) -> None:
        """Probabilities of the masks in `rows`, without a standardised copy of their features."""
        if len(regression.classes) == 1:
            into[rows, regression.classes] = 1
            return
        weights, bias = regression.before_scaling(self._scaler)
        width = self._features.shape[1]
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            z = self._numbers(part) @ weights[:width]
            z += bias
            if with_label:
                z += self._size[part] * weights[width] + FIRST_LABEL * weights[width + 1 + self.first[part]]
            into[part[:, None], regression.classes] = torch.from_numpy(z).softmax(1)

    def _inputs(self, rows: np.ndarray) -> np.ndarray:
        """(n, C) float32: standardised features."""
        return self._scaler.transform(self._numbers(rows))

    def _numbers(self, rows: np.ndarray) -> np.ndarray:
        """(n, C) float32 features. PyTorch makes them of float16 several times as fast as NumPy does."""
        return torch.from_numpy(self._features[rows]).float().numpy()

    def _with_label(self, rows: np.ndarray) -> np.ndarray:
        """(n, C + 1 + K + 1) float32: also size and first label."""
        label = np.zeros((len(rows), self.void + 1), np.float32)
        label[np.arange(len(rows)), self.first[rows]] = FIRST_LABEL
        return np.hstack([self._inputs(rows), self._size[rows], label])


class _Regression:
    """Multinomial logistic regression that goes on from its last fit. A single class is certain.

    Attributes:
        classes: (c,) int64 that occur in what it has learnt from.
    """

    def __init__(self, inverse_strength: float) -> None:
        self._inverse_strength = inverse_strength
        self._model: LogisticRegression | None = None
        self.classes = np.empty(0, np.int64)

    def fit(self, inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> None:
        """Learn (n,) labels from (n, d) inputs with (n,) weights."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        classes = np.unique(labels)
        if self._model is None or not np.array_equal(classes, self.classes):
            self._model = None
            if len(classes) > 1:
                self._model = LogisticRegression(
                    C=self._inverse_strength, max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True
                )
        self.classes = classes
        if self._model is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # bounded on purpose
                warnings.filterwarnings("ignore", "The number of unique classes")  # of the first answers
                self._model.fit(inputs, labels, weights)

    def before_scaling(self, scaler: StandardScaler) -> tuple[np.ndarray, np.ndarray]:
        """(d, c) weights and (c,) bias, float32, for inputs whose features are not standardised; the softmax of what
        they give is `probabilities`."""
        assert self._model is not None, "a single class needs no weights"
        weights, bias = self._model.coef_.T.astype(np.float64), self._model.intercept_.astype(np.float64)
        if len(bias) == 1:  # two classes share theirs
            weights, bias = np.hstack([0 * weights, weights]), np.r_[0.0, bias]
        width = len(scaler.mean_)
        weights[:width] /= scaler.scale_[:, None]
        return weights.astype(np.float32), (bias - scaler.mean_ @ weights[:width]).astype(np.float32)

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """(n, c) probabilities of the classes."""
        if self._model is None:
            return np.ones((len(inputs), 1))
        return self._model.predict_proba(inputs)


def _fitted_scaler(features: np.ndarray) -> StandardScaler:
    """What standardises the features (M, C), learnt from a part at a time."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(copy=False)
    for start in range(0, len(features), AT_ONCE):
        part = features[start : start + AT_ONCE].astype(np.float64)
        if not np.isfinite(part).all():
            raise ValueError("features: expected finite numbers, found NaN or infinity")
        scaler.partial_fit(part)
    return scaler
