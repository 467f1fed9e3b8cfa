"""Cutting a mask of several classes in pieces: along borders in the picture, or along a drawn line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from a2lc.human.mask_pictures import CLOSE, MaskPictures, crop_around
from a2lc.human.query import Query

PIECES = (2, 60)
"""Fewest and most pieces along borders in the picture."""
SLIVER = 0.004  # of the mask: a part that a line cuts off is at least so large


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

    Raises:
        FileNotFoundError, ValueError: as `MaskPictures.plain`.
    """

    def __init__(self, pictures: MaskPictures, query: Query) -> None:
        self.query = query
        self._pictures = pictures
        self.picture, ids, _ = pictures.plain(query.image, query.mask_id, CLOSE)
        self._inside = ids == query.mask_id
        self._whole()

    @property
    def count(self) -> int:
        """Number of pieces."""
        return int(self.pieces.max()) + 1

    def along_borders(self, pieces: int) -> None:
        """Cut the mask into about so many superpixels (SLIC, Achanta et al. 2012).

        Raises:
            ValueError: the mask is too small.
        """
        from skimage.segmentation import slic  # takes a second, which answering does not need

        wanted = min(max(pieces, PIECES[0]), PIECES[1])
        if self._inside.sum() < 2:
            raise ValueError("a mask of one pixel cannot be cut")
        found = slic(self.picture, n_segments=wanted, mask=self._inside, start_label=1, channel_axis=-1) - 1
        if len(np.unique(found[self._inside])) < 2:  # too few pixels, or of one colour
            rows, columns = np.nonzero(self._inside)
            along = rows if np.ptp(rows) > np.ptp(columns) else columns
            found[rows, columns] = along > (along.min() + along.max()) // 2
        self._set(found)
        self.drawn = False

    def along_line(self, line: Sequence[tuple[float, float]]) -> None:
        """Cut the mask, or the pieces that came from lines, where a line parts them.

        Args:
            line: its points, x and y as shares of the picture.

        Raises:
            ValueError: it parts nothing, or is no line.
        """
        from skimage.draw import line as pixels_between  # as above

        points = np.array(line, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise ValueError("expected a line of two points or more")
        (height, width), before = self._inside.shape, self.pieces if self.drawn else np.where(self._inside, 0, -1)
        at = np.clip((points * [width, height]).astype(int), 0, [width - 1, height - 1])
        ink = np.zeros_like(self._inside)
        for (x0, y0), (x1, y1) in zip(at[:-1], at[1:], strict=True):
            ink[pixels_between(y0, x0, y1, x1)] = True
        ink = ndimage.binary_dilation(ink)  # closed for steps to the four neighbours
        after, count = before.copy(), int(before.max()) + 1
        for piece in np.unique(before[ink & self._inside]):
            for part in _parts(before == piece):
                sides = [side for side in _parts(part & ~ink) if side.sum() >= SLIVER * self._inside.sum()]
                if len(sides) < 2:
                    continue
                numbers = np.zeros_like(before)
                for number, side in enumerate(sides):
                    numbers[side] = number + 1
                nearest = ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
                of_side = numbers[tuple(nearest)] - 1
                after[part & (of_side > 0)] = count + of_side[part & (of_side > 0)] - 1
                count += len(sides) - 1
        if count == int(before.max()) + 1:
            raise ValueError("this line parts nothing: draw it from one edge of the mask to another")
        self._set(after)
        self.drawn = True

    def in_image(self) -> np.ndarray:
        """(H, W) int32: the pieces in the image's own size; -1 outside the mask."""
        objects = self._pictures.objects(self.query.image)
        inside = objects == self.query.mask_id
        rows, columns = crop_around(inside)
        part = inside[rows, columns]
        nearest = ndimage.distance_transform_edt(self.pieces < 0, return_distances=False, return_indices=True)
        filled = self.pieces[tuple(nearest)]  # close up, a thin part may have no pixel
        at = [(2 * np.arange(n) + 1) * old // (2 * n) for n, old in zip(part.shape, filled.shape, strict=True)]
        pieces = np.full(inside.shape, -1, dtype=np.int32)
        pieces[rows, columns][part] = filled[np.ix_(*at)][part]
        return pieces

    # ---------------------------------------------------------------------------------------------- inside
    def _whole(self) -> None:
        self.pieces, self.drawn = np.where(self._inside, 0, -1).astype(np.int32), True

    def _set(self, found: np.ndarray) -> None:
        """Pieces by any numbers, in the order of their first pixels."""
        _, first, number = np.unique(found[self._inside], return_index=True, return_inverse=True)
        self.pieces = np.full(self._inside.shape, -1, dtype=np.int32)
        self.pieces[self._inside] = np.argsort(np.argsort(first))[number]


def _parts(where: np.ndarray) -> list[np.ndarray]:
    """The connected parts of (h, w) bool, each as such."""
    numbers, count = ndimage.label(where)
    return [numbers == number for number in range(1, count + 1)]
