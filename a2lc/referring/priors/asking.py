"""Asking a frozen model three times, and making one prior of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from a2lc.referring.data import mirrored_sentence
from a2lc.referring.priors.base import Located, Locator, Prior, Request, Shaper, box_iou, cells
from a2lc.referring.priors.shapes import as_bytes, box_cover, combine, gauss_proposal, resized

ASKINGS = 3  # as it is, mirrored left for right, in other words


def ask(
    locator: Locator, image: np.ndarray, rows: Sequence[tuple[int, str]], name: str, shaper: Shaper | None = None
) -> list[Prior]:
    """The priors of some sentences about one image.

    Args:
        locator: the frozen model.
        image: (H, W, 3) uint8 RGB.
        rows: sentence_id and sentence of each.
        name: of the image.
        shaper: turns boxes into proposals by looking at the image; None: bells over boxes, or the model's own map.

    Raises:
        TypeError: the model answers with something else than a list of `Located`.
        ValueError: with more or fewer than it was asked for.
    """
    mirrored = np.ascontiguousarray(image[:, ::-1])
    requests = []
    for number, sentence in rows:
        first = Request(image, sentence, name, number)
        turned = replace(first, image=mirrored, sentence=mirrored_sentence(sentence), asking=1, mirrored=True)
        requests += [first, turned, replace(first, asking=2)]
    answers = locator.locate(requests)
    listed = isinstance(answers, list | tuple)
    wrong = [one for one in answers if not isinstance(one, Located)] if listed else [answers]
    if wrong:
        found = type(wrong[0]).__name__
        raise TypeError(f"{name}: expected the frozen model to answer with a list of Located, found {found}")
    if len(answers) != len(requests):
        raise ValueError(f"{name}: expected {len(requests)} answers of the frozen model, found {len(answers)}")
    size = (image.shape[0], image.shape[1])
    groups = (answers[start : start + ASKINGS] for start in range(0, len(answers), ASKINGS))
    return [_prior(group, image, size, shaper) for group in groups]


def _prior(answers: Sequence[Located], image: np.ndarray, size: tuple[int, int], shaper: Shaper | None) -> Prior:
    first, turned, *others = (Located.of(one.boxes, one.scores, size, one.heat) for one in answers)
    agreement = _agreement([first, _turned_back(turned, size[1]), *others])
    unread = any(answer.unread for answer in answers)
    if not len(first.boxes) and first.heat is None:
        return Prior(first.boxes, first.scores, 0.0, 1.0, np.zeros(cells(size), np.uint8), unread)
    quality = 1.0
    if first.heat is not None:
        proposal = resized(first.heat, size)
        if len(first.boxes):
            proposal = proposal * box_cover(first.boxes, size)
    elif shaper is not None:
        proposals, sure = shaper.shape(image, first.boxes)
        proposal, quality = combine(proposals, first.scores), float(np.clip(sure[0], 0, 1))
    else:
        bells = [gauss_proposal(box, size, float(sure)) for box, sure in zip(first.boxes, first.scores, strict=True)]
        proposal = combine(np.stack(bells), first.scores)
    return Prior(first.boxes, first.scores, agreement, quality, as_bytes(proposal), unread)


def _turned_back(answer: Located, width: int) -> Located:
    boxes = answer.boxes.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return replace(answer, boxes=boxes)


def _agreement(answers: Sequence[Located]) -> float:
    """Mean IoU of the best boxes of all pairs of askings; one that finds nothing agrees with none."""
    pairs = list(combinations(answers, 2))
    return float(np.mean([box_iou(a.boxes[0], b.boxes[0]) if len(a.boxes) and len(b.boxes) else 0.0 for a, b in pairs]))
