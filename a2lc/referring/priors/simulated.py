"""A frozen model that is made up: it errs systematically, in ways that depend on the sentence and on the scene, and is
too sure of itself. For drawn scenes only, and every table made from it says so.

Its errors are fixed numbers (below), chosen before any training and pinned by a test; nothing is tuned so that one
method wins. What it says of a sentence depends on this sentence alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from a2lc.referring.data import mirrored_sentence
from a2lc.referring.expressions import Expression, Seen
from a2lc.referring.priors.base import Located, Request
from a2lc.referring.toy import ToyReferringSplit

IGNORES_RELATION = 0.45  # and takes the nearest other figure of the kind
IGNORES_NOT = 0.7  # and takes one of the colour that was ruled out
CONFUSES_COLOUR = 0.25  # within these pairs
COLOUR_PAIRS = {"grey": "white", "white": "grey", "red": "brown", "brown": "red"}
SMALL = 60  # pixels: smaller figures are
MISSES_SMALL, TAKES_LARGER = 0.5, 0.2  # not found, or taken for the nearest larger one
HIDDEN = 0.5  # share of its box behind a nearer figure, from which on it gets that one's box
JITTER = 0.08  # of a box's sides
CROWD, GROWN = 7, 0.15  # from so many figures on, boxes are so much too large
ANOTHER_MOOD = 0.3  # how often another asking is answered independently
SURE, SURE_OF_SIZE, SURE_IF_RIGHT = 1.2, 0.5, 0.3  # log-odds: in general, per doubling of the size, if right
SURE_OF_KIND = {"car": 0.4, "bus": 0.4, "person": 0.2, "traffic light": -0.4, "sign": -0.4}
USUAL_SIZE = 250  # pixels


class SimulatedLocator:
    """Answers about scenes of the splits it is given.

    Args:
        splits: drawn ones.
        seed: another seed errs elsewhere; >= 0.

    Raises:
        TypeError: a split is not drawn, so nobody knows what stands in its images.
    """

    def __init__(self, splits: Sequence[object], seed: int = 0) -> None:
        self._said: dict[tuple[str, str], tuple[ToyReferringSplit, Expression]] = {}
        self._seed = seed
        for split in splits:
            if not isinstance(split, ToyReferringSplit):
                raise TypeError(f"the simulated prior knows drawn scenes only, found {type(split).__name__}")
            for row in split.table.itertuples():
                self._said[str(row.image), str(row.sentence)] = (split, split.said[int(str(row.sentence_id))])

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        return {"model": "simulated", "version": 1, "seed": self._seed}

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """See `Locator.locate`.

        Raises:
            KeyError: a sentence that none of the splits has.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Located:
        sentence = mirrored_sentence(request.sentence) if request.mirrored else request.sentence
        split, said = self._said[request.name, sentence]
        seen, figures = split.seen(request.name), split.figures(request.name)
        moods = self._moods(request.name, sentence, request.asking)
        (meant,) = said.satisfied_by(seen)
        boxes = {figure.number: box_of(figures == figure.number) for figure in seen}
        taken = _hiding(_taken(meant, said, seen, moods), seen, boxes)
        if taken is None:
            return Located.nothing()
        size = (figures.shape[0], figures.shape[1])
        box = _shaken(boxes[taken.number], moods[5:9], len(seen) >= CROWD)
        odds = SURE + SURE_OF_SIZE * np.log2(taken.area / USUAL_SIZE) + SURE_OF_KIND.get(taken.kind, 0.0)
        odds += SURE_IF_RIGHT * (taken.number == meant.number) + 0.5 * (moods[9] - 0.5)
        if request.mirrored:
            box = np.array([size[1] - box[2], box[1], size[1] - box[0], box[3]], np.float32)
        return Located.of(box[None], np.array([1 / (1 + np.exp(-odds))], np.float32), size)

    def _moods(self, name: str, sentence: str, asking: int) -> np.ndarray:
        """(10,) numbers in [0, 1) that decide the errors; those of another asking are mostly the same."""
        text = hashlib.sha256(f"{self._seed}\n{name}\n{sentence}".encode()).digest()
        number = int.from_bytes(text[:8], "little")
        first = np.random.default_rng([number, 0]).random(10)
        if not asking:
            return first
        rng = np.random.default_rng([number, asking])
        return np.where(rng.random(10) < ANOTHER_MOOD, rng.random(10), first)


def _taken(meant: Seen, said: Expression, seen: list[Seen], moods: np.ndarray) -> Seen | None:
    """The figure that the sentence is taken to mean."""
    taken = meant
    others = [figure for figure in seen if figure.kind == said.kind and figure != meant]
    if said.is_relation and moods[0] < IGNORES_RELATION and others:
        taken = max(others, key=lambda figure: figure.depth)
    elif said.negated and moods[1] < IGNORES_NOT:
        ruled_out = [figure for figure in others if figure.colour == said.colour]
        taken = max(ruled_out, key=lambda figure: figure.depth, default=taken)
    elif said.colour in COLOUR_PAIRS and not said.negated and moods[2] < CONFUSES_COLOUR:
        alike = [figure for figure in others if figure.colour == COLOUR_PAIRS[said.colour]]
        taken = max(alike, key=lambda figure: figure.depth, default=taken)
    if taken.area < SMALL:
        if moods[3] < MISSES_SMALL:
            return None
        larger = [figure for figure in seen if figure.area >= SMALL]
        if moods[3] < MISSES_SMALL + TAKES_LARGER and larger:
            return min(larger, key=lambda figure: abs(figure.x - taken.x))
    return taken


def _hiding(taken: Seen | None, seen: list[Seen], boxes: dict[int, np.ndarray]) -> Seen | None:
    """What hides the figure, where more than `HIDDEN` of its box is behind it; else the figure itself."""
    if taken is None:
        return None
    box = boxes[taken.number]
    for other in sorted(seen, key=lambda figure: -figure.depth):
        if other.depth > taken.depth:
            low, high = np.maximum(box[:2], boxes[other.number][:2]), np.minimum(box[2:], boxes[other.number][2:])
            if np.prod(np.maximum(high - low, 0)) > HIDDEN * np.prod(box[2:] - box[:2]):
                return other
    return taken


def box_of(mask: np.ndarray) -> np.ndarray:
    """x0 y0 x1 y1 of the pixels of a mask (H, W), which has some."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def _shaken(box: np.ndarray, moods: np.ndarray, crowded: bool) -> np.ndarray:
    sides = box[2:] - box[:2]
    shake = (2 * moods - 1) * JITTER * np.tile(sides, 2)
    grow = GROWN / 2 * np.concatenate([-sides, sides]) if crowded else 0
    return np.asarray(box + shake + grow, np.float32)
