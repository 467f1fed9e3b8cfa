"""What the page needs to draw a question by itself: plain pictures, and which mask each of their pixels is of."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import Any

import numpy as np

from a2lc.human.cutting import Cutting
from a2lc.human.mask_pictures import CLOSE, MaskPictures
from a2lc.masks import MaskSet
from a2lc.widgets.pictures import encode

_KEPT = 8  # images whose picture is kept encoded
_CLOSE_UPS = 500  # masks whose close-up is

Message = tuple[dict[str, Any], list[bytes]]
"""JSON values, and the bytes that go with them."""


class Cards:
    """Pictures of questions for the page, which asks for them ahead.

    Args:
        masks: where the masks are, and what they are called in the pictures.
        pictures: of the same masks.
    """

    def __init__(self, masks: MaskSet, pictures: MaskPictures) -> None:
        self._masks, self._pictures = masks, pictures
        self._scenes: OrderedDict[str, Message] = OrderedDict()
        self._made: OrderedDict[tuple[str, int], Message] = OrderedDict()

    def card(self, image: str, mask_id: int, with_scene: bool = True) -> Message:
        """A mask close up and, unless the page has it, its whole image.

        Returns:
            ``card``: image and mask id; ``at``: the number of its pixels in the maps; ``frame``: left, top, right and
            bottom of what is close up, as shares of the image; ``note``: why there is no image, else empty; ``labels``
            of the image's masks, or None without the image. And JPEG and map of what is close up, then of the image. A
            map is zlib-compressed uint16, little-endian: width, height, then for each pixel the place of its mask
            among the image's masks, counted from 1; 0: no mask.

        Raises:
            ValueError: there is no such image or mask, or its object map is damaged.
            FileNotFoundError: the object map is missing.
        """
        told, buffers = self._close_up(image, mask_id)
        if not with_scene:
            return {**told, "labels": None}, buffers
        scene, more = self._scene(image)
        return {**told, "labels": scene["labels"]}, [*buffers, *more]

    def prepare(self, image: str, mask_id: int) -> bool:
        """Make what is close up of another mask of an image, if that is in memory: a large one takes long to decode.
        Whether it was; errors are those of `card`."""
        if here := self._pictures.holds(image):
            self._close_up(image, mask_id)
        return here

    def _close_up(self, image: str, mask_id: int) -> Message:
        if (image, mask_id) not in self._made:
            row = self._masks.row(image, mask_id)
            picture, ids, (rows, columns) = self._pictures.plain(image, mask_id, CLOSE)
            (height, width) = self._scene(image)[0]["size"]
            frame = [columns.start / width, rows.start / height, columns.stop / width, rows.stop / height]
            told = {
                "card": [image, mask_id],
                "at": row - self._masks.rows(image).start + 1,
                "frame": frame,
                "note": self._pictures.notes.get(image, ""),
            }
            self._made[image, mask_id] = told, [encode(picture), self._map(image, ids)]
            while len(self._made) > _CLOSE_UPS:
                self._made.popitem(last=False)
        return self._made[image, mask_id]

    @staticmethod
    def pieces(cutting: Cutting) -> Message:
        """A mask that is being cut: ``cut``: image and mask id, ``number`` of the pieces; JPEG, and a map of them,
        counted from 1."""
        told = {"cut": [cutting.query.image, cutting.query.mask_id], "number": cutting.number}
        return told, [encode(cutting.picture), _packed(cutting.pieces + 1)]

    def _scene(self, image: str) -> Message:
        if image not in self._scenes:
            picture, ids, (rows, columns) = self._pictures.plain(image)
            labels = self._masks.table["label"].to_numpy()[self._masks.rows(image)].tolist()
            told = {"size": [rows.stop, columns.stop], "labels": labels}
            self._scenes[image] = told, [encode(picture), self._map(image, ids)]
            while len(self._scenes) > _KEPT:
                self._scenes.popitem(last=False)
        return self._scenes[image]

    def _map(self, image: str, ids: np.ndarray) -> bytes:
        of_image = self._masks.table["mask_id"].to_numpy()[self._masks.rows(image)]
        lookup = np.zeros(max(int(ids.max()), int(of_image.max(initial=0))) + 1, np.uint16)
        lookup[of_image] = np.arange(1, len(of_image) + 1)
        return _packed(lookup[ids])


def _packed(numbers: np.ndarray) -> bytes:
    """A map as the page reads it: zlib-compressed uint16, width, height, then each pixel of (h, w)."""
    every = np.concatenate([np.array(numbers.shape[::-1]), numbers.ravel()]).astype("<u2")
    return zlib.compress(every.tobytes(), 1)
