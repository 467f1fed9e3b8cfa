"""What is asked of a frozen model, what it answers, and what is kept of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

MOST = 3  # boxes of a sentence
STRIDE = 4  # pixels a side of a cell of a proposal


@dataclass(frozen=True)
class Request:
    """A sentence about an image.

    Attributes:
        image: (H, W, 3) uint8 RGB, as the model is to see it.
        sentence: what to look for, as the model is to read it.
        name: of the image.
        sentence_id: in its split.
        asking: 0, or the number of another asking about the same.
        mirrored: whether image and sentence are mirrored, left for right.
    """

    image: np.ndarray
    sentence: str
    name: str
    sentence_id: int
    asking: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class Located:
    """An answer; no box and no map: nothing found.

    Attributes:
        boxes: (k, 4) float32, x0 y0 x1 y1 in pixels of the image asked about, best first.
        scores: (k,) float32 in [0, 1].
        heat: (h, w) float32 in [0, 1] over the whole image, where the model gives a map; else None.
        unread: whether the model said something that could not be read.
    """

    boxes: np.ndarray
    scores: np.ndarray
    heat: np.ndarray | None = None
    unread: bool = False

    @classmethod
    def nothing(cls, unread: bool = False) -> Located:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), None, unread)

    @classmethod
    def of(
        cls, boxes: np.ndarray, scores: np.ndarray, size: tuple[int, int], heat: np.ndarray | None = None
    ) -> Located:
        """An answer in order: boxes are cut at the image's edges; those without an area, or with numbers that are not
        finite, are dropped; the `MOST` best are kept.

        Args:
            boxes: (k, 4) x0 y0 x1 y1 in pixels.
            scores: (k,) any numbers; they are cut to [0, 1].
            size: H, W of the image.
            heat: as the attribute; what is not finite counts as 0.
        """
        high, wide = size
        found = np.asarray(boxes, np.float32).reshape(-1, 4)
        sure = np.asarray(scores, np.float32).reshape(-1)
        kept = np.isfinite(found).all(1) & np.isfinite(sure)
        found, sure = found[kept], np.clip(sure[kept], 0, 1)
        found = np.clip(found, 0, np.array([wide, high, wide, high], np.float32))
        real = (found[:, 2] - found[:, 0] > 0) & (found[:, 3] - found[:, 1] > 0)
        order = np.argsort(-sure[real], kind="stable")[:MOST]
        if heat is not None:
            heat = np.clip(np.nan_to_num(np.asarray(heat, np.float32), nan=0, posinf=1, neginf=0), 0, 1)
        return cls(found[real][order], sure[real][order], heat)


class Locator(Protocol):
    """A frozen model that finds what a sentence names."""

    def identity(self) -> dict[str, Any]:
        """What decides its answers, as JSON values: model, revision, prompts, versions."""

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """An answer to each request."""


class Shaper(Protocol):
    """Turns boxes into soft proposals by looking at the image again."""

    def identity(self) -> dict[str, Any]:
        """As `Locator.identity`."""

    def shape(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, h, w) float32 proposals in [0, 1] at `STRIDE`, and (k,) float32 how good each is thought to be, of
        (k, 4) boxes, k >= 1."""


@dataclass(frozen=True)
class Prior:
    """What is kept of a frozen model's answers about one sentence.

    Attributes:
        boxes: (k, 4) float32, x0 y0 x1 y1 in pixels, 0 <= k <= 3; none: nothing found.
        scores: (k,) float32 in [0, 1].
        agreement: mean IoU of the boxes of several askings, in [0, 1].
        quality: how good the proposal's own maker thinks it is, in [0, 1]; 1 where it has no opinion.
        proposal: (h, w) uint8, the soft proposal times 255, in cells of `STRIDE` pixels.
        unread: whether the answer could not be read.
    """

    boxes: np.ndarray
    scores: np.ndarray
    agreement: float
    quality: float
    proposal: np.ndarray
    unread: bool = False

    @property
    def score(self) -> float:
        """The cube root of the best score, `agreement` and `quality`, multiplied; 0 where nothing was found."""
        return float(np.cbrt(self.scores[0] * self.agreement * self.quality)) if len(self.scores) else 0.0

    def probabilities(self) -> np.ndarray:
        """(h, w) float32 soft proposal in [0, 1]."""
        return self.proposal.astype(np.float32) / 255


def cells(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a proposal of an image of H x W pixels, rounded up."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def box_iou(one: np.ndarray, other: np.ndarray) -> float:
    """IoU of two boxes x0 y0 x1 y1; 0 where both have no area."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    total = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / total if total > 0 else 0.0
