"""Cutting a mask of several classes in pieces: along borders in the picture, or along a drawn line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from scipy import ndimage

from a2lc.human.mask_pictures import CLOSE, MaskPictures
from a2lc.human.query import Query

PIECES = (2, 60)
"""Fewest and most pieces along borders in the picture."""
SLIVER = 0.004  # of the mask: a part that a line cuts off is at least so large
_FAR = 20  # times the picture: a line that leads farther out is none that anybody has drawn
_numbers = count(1)


class Cutting:
    """A mask as it is being cut, close up.

    Args:
        pictures: of the masks.
        query: the mask.

    Attributes:
        query: the mask.
        picture: (h, w, 3) uint8, the image around it, its longest side `CLOSE` pixels at most.
        pieces: (h, w) int32: of each pixel of the mask its piece, counted from 0; -1 elsewhere.
        drawn: whether the pieces come from drawn lines.
        number: of these pieces, in this process: other pieces, other number.

    Raises:
        FileNotFoundError, ValueError: as `MaskPictures.plain`.
    """

    def __init__(self, pictures: MaskPictures, query: Query) -> None:
        self.query = query
        self.picture, _, self._part = pictures.plain(query.image, query.mask_id, CLOSE)
        self._mask = pictures.objects(query.image) == query.mask_id
        at = np.nonzero(self._mask[self._part])
        self._inside = np.zeros(self.picture.shape[:2], dtype=bool)
        self._inside[self._close_up(at)] = True  # of a thin mask, too
        self._set(np.zeros(self._inside.shape, dtype=np.int64), drawn=True)

    @property
    def count(self) -> int:
        """Number of pieces."""
        return int(self.pieces.max()) + 1

    def along_borders(self, pieces: int) -> None:
        """Cut the mask into about so many superpixels (SLIC, Achanta et al. 2012), or in halves where it finds none.

        Raises:
            ValueError: the mask is too small.
        """
        from skimage.segmentation import slic  # takes a second, which answering does not need

        wanted = min(max(pieces, PIECES[0]), PIECES[1])
        if self._inside.sum() < 2:
            raise ValueError("a mask of one pixel cannot be cut")
        settings = {"n_segments": wanted, "mask": self._inside, "sigma": 1, "start_label": 1, "channel_axis": -1}
        found = slic(self.picture, **settings)
        if len(np.unique(found[self._inside])) < 2:
            rows, columns = np.nonzero(self._inside)
            along = rows if np.ptp(rows) > np.ptp(columns) else columns
            found[rows, columns] = along > (along.min() + along.max()) // 2
        self._set(found, drawn=False)

    def along_line(self, line: Sequence[tuple[float, float]]) -> None:
        """Cut the mask, or the pieces that came from lines, where a line parts them.

        Args:
            line: its points, x and y as shares of the picture; it may lead out of it.

        Raises:
            ValueError: it parts nothing, or is no line.
        """
        points = np.array(line, dtype=np.float64)
        if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 2 or not (abs(points) < _FAR).all():
            raise ValueError("expected a line of two points or more, not far from the picture")
        ink = self._inked(points)
        after = self.pieces.astype(np.int64) if self.drawn else np.where(self._inside, 0, -1)
        following, least = int(after.max()) + 1, SLIVER * self._inside.sum()
        for piece in np.unique(after[ink & self._inside]):
            parts, _ = ndimage.label(after == piece)
            boxes = ndimage.find_objects(parts)
            for part in np.unique(parts[ink & (parts > 0)]):
                here = parts[box := boxes[part - 1]] == part
                sides, _ = ndimage.label(here & ~ink[box])
                large = np.flatnonzero(np.bincount(sides.ravel())[1:] >= least) + 1
                if len(large) < 2:
                    continue
                far = ~np.isin(sides, large)
                nearest = ndimage.distance_transform_edt(far, return_distances=False, return_indices=True)
                for side in large[1:]:
                    after[box][here & (sides[tuple(nearest)] == side)] = following
                    following += 1
        if following == (self.count if self.drawn else 1):
            raise ValueError("this line parts nothing: draw it from one edge of the mask to another")
        self._set(after, drawn=True)

    def in_image(self) -> np.ndarray:
        """(H, W) int32: the pieces in the image's own size; -1 outside the mask."""
        at = np.nonzero(self._mask[self._part])
        pieces = np.full(self._mask.shape, -1, dtype=np.int32)
        pieces[self._part][at] = self.pieces[self._close_up(at)]
        return pieces

    # ---------------------------------------------------------------------------------------------- inside
    def _close_up(self, at: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Where pixels of the part of the image lie close up: each close-up pixel of the mask has one at least."""
        sizes = zip(at, self._mask[self._part].shape, self.picture.shape[:2], strict=True)
        return tuple(along * new // old for along, old, new in sizes)

    def _inked(self, points: np.ndarray) -> np.ndarray:
        """(h, w) bool: the pixels of a line, closed for steps to the four neighbours."""
        height, width = self.picture.shape[:2]
        steps = np.ceil(abs(np.diff(points, axis=0) * [width, height]).max(1) * 2).astype(int) + 1
        each = zip(points[:-1], points[1:], steps, strict=True)
        drawn = np.concatenate([np.linspace(first, last, number + 1) for first, last, number in each])
        at = np.floor(drawn * [width, height]).astype(int)
        at = at[((at >= 0) & (at < [width, height])).all(1)]
        ink = np.zeros_like(self._inside)
        ink[at[:, 1], at[:, 0]] = True
        return ndimage.binary_dilation(ink)

    def _set(self, found: np.ndarray, drawn: bool) -> None:
        """Pieces by any numbers, in the order of their first pixels."""
        _, first, number = np.unique(found[self._inside], return_index=True, return_inverse=True)
        self.pieces = np.full(self._inside.shape, -1, dtype=np.int32)
        self.pieces[self._inside] = np.argsort(np.argsort(first))[number]
        self.drawn, self.number = drawn, next(_numbers)
