"""A made-up Segment Anything: boxes on drawn scenes -> three masks, weighed by how good it thinks they are, as
`a2lc.referring.priors.sam` does with the real one. It is wrong where a promptable model is: what is in the box may be
something else, with its neighbours, or a part; its errors are fixed numbers (below), chosen before any training and
pinned by a test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from a2lc.referring.priors.base import box_iou, cells
from a2lc.referring.priors.sam import GROW, SHARPNESS
from a2lc.referring.priors.shapes import box_cover
from a2lc.referring.priors.simulated import box_of
from a2lc.referring.toy import ToyReferringSplit

FITS = 0.3  # IoU of a figure's box and the box asked about from which on the figure is what is cut out
THINKS = (0.88, 0.80, 0.72)  # its own guess of IoU: of the figure, of it with what else is in the box, of a half of it
UNSURE = 0.1  # how far each guess is off, at most
SLOPE = 8.0  # log-odds between a cell that is outside and one that is inside


class SimulatedSam:
    """A `Shaper` for scenes of the splits it is given.

    Args:
        splits: drawn ones.
        seed: another seed errs elsewhere; >= 0.

    Raises:
        TypeError: a split is not drawn.
    """

    def __init__(self, splits: Sequence[object], seed: int = 0) -> None:
        self._splits: list[ToyReferringSplit] = []
        self._seed, self._scenes = seed, dict[bytes, tuple[ToyReferringSplit, str]]()
        for split in splits:
            if not isinstance(split, ToyReferringSplit):
                raise TypeError(f"the simulated Segment Anything knows drawn scenes only, found {type(split).__name__}")
            self._splits.append(split)

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        return {"model": "simulated sam", "version": 1, "seed": self._seed}

    def shape(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shaper.shape`.

        Raises:
            KeyError: no split has this image.
        """
        figures, digest = self._figures(image)
        found = [self._of_box(figures, box, digest) for box in np.asarray(boxes, np.float32)]
        return np.stack([soft for soft, _ in found]), np.array([sure for _, sure in found], np.float32)

    def _of_box(self, figures: np.ndarray, box: np.ndarray, digest: bytes) -> tuple[np.ndarray, float]:
        size = (figures.shape[0], figures.shape[1])
        text = hashlib.sha256(f"{self._seed} {np.round(box, 1).tolist()}".encode() + digest).digest()
        moods = np.random.default_rng(int.from_bytes(text[:8], "little")).random(4)
        masks = torch.from_numpy(np.stack(masks_of(figures, box, bool(moods[3] < 0.5)))).float()
        share = F.adaptive_avg_pool2d(masks[None], cells(size))[0]  # (3, h, w)
        sure = torch.tensor(np.array(THINKS) + UNSURE * (2 * moods[:3] - 1), dtype=torch.float32)
        weights = (sure / SHARPNESS).softmax(0)
        soft = (weights[:, None, None] * (SLOPE * (share - 0.5)).sigmoid()).sum(0).numpy()
        return np.asarray(soft * box_cover(box[None], size, GROW), np.float32), float((weights * sure).sum())

    def _figures(self, image: np.ndarray) -> tuple[np.ndarray, bytes]:
        digest = _digest(image)
        if not self._scenes:
            self._scenes = {_digest(split.image(name)): (split, name) for split in self._splits for name in split.names}
        if digest not in self._scenes:
            raise KeyError("the simulated Segment Anything knows drawn scenes only, found another image")
        split, name = self._scenes[digest]
        return split.figures(name), digest


def masks_of(figures: np.ndarray, box: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What may be meant by a box.

    Args:
        figures: (H, W) integers, which figure each pixel shows, 0 = none.
        box: x0 y0 x1 y1.
        upper: whether the half is the upper one, or the left one.

    Returns:
        (H, W) bool each: the figure whose box is most alike, an ellipse in the box where none is alike; it with all
        figures' pixels in the box; half of it.
    """
    ys, xs = np.mgrid[: figures.shape[0], : figures.shape[1]] + 0.5
    inside = (xs >= box[0]) & (xs < box[2]) & (ys >= box[1]) & (ys < box[3])
    alike = {
        int(number): box_iou(box_of(figures == number), box) for number in np.unique(figures[inside & (figures > 0)])
    }
    best = max(alike, key=lambda number: alike[number], default=0)
    if alike.get(best, 0.0) >= FITS:
        whole = figures == best
    else:
        (x0, y0, x1, y1), half = box, 0.5
        whole = ((xs - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((ys - (y0 + y1) / 2) / (y1 - y0)) ** 2 <= half**2
    where = (ys, xs)[0 if upper else 1]
    middle = where[whole].mean() if whole.any() else 0.0
    return whole, whole | (inside & (figures > 0)), whole & (where <= middle)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
