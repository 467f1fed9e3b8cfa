"""One mask as a person is asked about it: in its image, and close up; and what pictures of masks are drawn with."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from threading import RLock

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, find_objects

from a2lc.datasets import Dataset, load_dataset
from a2lc.datasets.base import Split
from a2lc.human.moving import dataset_of
from a2lc.masks import MaskSet
from a2lc.masks.table import DENSE
from a2lc.runs import Run

CONTEXT, CLOSE = 900, 480  # pixels: longest side of the image, and of what is close up
GREY = 128  # where there is no image
OUTSIDE = 0.6  # brightness of what does not belong to the mask
_KEPT = 4  # images kept in memory


def training_images(run: Run, dataset: Dataset | None = None) -> tuple[Split | None, list[str]]:
    """Where the images of a run's masks are read: the training split of `dataset`, or of the run's own one, of which
    some images may be missing. None where that is missing, and a note that says why."""
    try:
        return (dataset or dataset_of(run)).train, []
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError, TypeError):  # another dataset takes no `whole`
            return load_dataset(run.config.dataset, run.config.root, whole=False).train, []
        return None, [f"No images and no ground truth: {error}"]


class MaskPictures:
    """Pictures of single masks; keeps the last images. Several threads may ask.

    Args:
        masks: where the masks are; labels are not read.
        split: where the images are read; None: there are none, and grey stands for them.

    Attributes:
        notes: image name -> why it cannot be shown.
    """

    def __init__(self, masks: MaskSet, split: Split | None) -> None:
        self._masks, self._split = masks, split
        self._read: OrderedDict[str, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._boxes: dict[str, list[tuple[slice, slice] | None]] = {}  # of the masks of those images, by id
        self._lock = RLock()
        self.notes: dict[str, str] = {}

    def context(self, name: str, mask_id: int, outlined: bool = True) -> np.ndarray:
        """(h, w, 3) uint8, the whole image, its longest side `CONTEXT` pixels, darker outside the mask; and a
        frame around what `close_up` shows."""
        image, objects = self._image(name)
        inside = objects == mask_id
        rows, columns = crop_around(inside)
        frame = np.full(inside.shape, -1, dtype=np.int32)
        frame[rows, columns] = 0
        size = _fitting(inside.shape, CONTEXT)
        picture = _drawn(image, inside, size, outlined)
        outline(picture, nearest_pixels(frame, size), width=1)
        return picture

    def close_up(self, name: str, mask_id: int, outlined: bool = True, side: int = CLOSE) -> np.ndarray:
        """(h, w, 3) uint8, the image around the mask, its longest side `side` pixels."""
        image, objects = self._image(name)
        inside = objects == mask_id
        rows, columns = crop_around(inside)
        inside = inside[rows, columns]
        return _drawn(image[rows, columns], inside, _fitting(inside.shape, side), outlined)

    def plain(
        self, name: str, mask_id: int | None = None, longest: int = CONTEXT
    ) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
        """What a page draws itself: the image, or the part of it around a mask, in at most its own size.

        Args:
            name: the image.
            mask_id: of the mask; None: the whole image.
            longest: pixels of the longest side, where the part is larger.

        Returns:
            (h, w, 3) uint8, (h, w) int32 mask ids, and the rows and columns of the image that they show.
        """
        image, objects = self._image(name)
        part = (slice(0, objects.shape[0]), slice(0, objects.shape[1]))
        if mask_id is not None:
            part = self._window(name, mask_id)
        objects = objects[part]
        size = objects.shape if max(objects.shape) <= longest else _fitting(objects.shape, longest)
        return smooth(np.ascontiguousarray(image[part]), (size[0], size[1])), nearest_pixels(objects, size), part

    def objects(self, name: str) -> np.ndarray:
        """(H, W) int32 mask ids of an image."""
        return self._image(name)[1]

    def holds(self, name: str) -> bool:
        """Whether an image is in memory."""
        return name in self._read

    def _window(self, name: str, mask_id: int) -> tuple[slice, slice]:
        """What is close up of a mask, as `crop_around` says."""
        objects = self.objects(name)
        with self._lock:
            if name not in self._boxes:
                self._boxes[name] = find_objects(objects) if int(objects.max(initial=0)) <= DENSE else []
            found = self._boxes[name][mask_id - 1 : mask_id]
        if not found or found[0] is None:
            return crop_around(objects == mask_id)
        return window_around(found[0], objects.shape)

    def _image(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) image and (H, W) object map."""
        with self._lock:
            return self._read_image(name)

    def _read_image(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in self._read:
            objects = self._masks.object_map(name)
            image = np.full((*objects.shape, 3), GREY, dtype=np.uint8)
            try:
                if self._split is None:
                    raise FileNotFoundError("the dataset's images are missing")
                found = self._split.image(name)
                if found.shape != image.shape:
                    raise ValueError(f"it is {found.shape[:2]}, the masks {objects.shape}")
                image = found
            except (OSError, ValueError) as error:
                self.notes[name] = f"No image: {error}"
            self._read[name] = image, objects
            while len(self._read) > _KEPT:
                self._boxes.pop(self._read.popitem(last=False)[0], None)
        return self._read[name]


def _drawn(image: np.ndarray, inside: np.ndarray, size: tuple[int, int], outlined: bool) -> np.ndarray:
    """The image in another size, darker outside the mask, which has an outline; or the image alone."""
    picture = smooth(image, size).copy()
    if outlined:
        where = nearest_pixels(np.where(inside, 0, -1), size)
        picture[where < 0] = picture[where < 0] * OUTSIDE
        outline(picture, where, width=2)
    return picture


def _fitting(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Height and width with the same proportions and a longest side of `longest` pixels."""
    height, width = size[0], size[1]
    return max(1, round(height * longest / max(size))), max(1, round(width * longest / max(size)))


def crop_around(inside: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a square around a mask, half as large again as the mask and at least a sixth of the image's
    shorter side; moved into the image where it would reach over the border, and no larger than the image.

    Args:
        inside: (H, W) bool, True somewhere.

    Returns:
        Two slices; of an image narrower than the square, they are of unequal length.
    """
    spans = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]  # rows, columns that the mask touches
    rows, columns = (slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    return window_around((rows, columns), inside.shape)


def window_around(box: tuple[slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The same, where the rows and columns that the mask touches are known, in an image of (H, W)."""
    side = max(*(round(1.5 * (span.stop - span.start)) for span in box), min(shape[:2]) // 6)

    def window(span: slice, length: int) -> slice:
        size = min(side, length)
        start = (span.start + span.stop - size) // 2
        start = min(max(start, 0), length - size)
        return slice(start, start + size)

    return window(box[0], shape[0]), window(box[1], shape[1])


def edges(index: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels whose right or lower neighbour belongs to another mask."""
    edge = np.zeros(index.shape, dtype=bool)
    edge[:, :-1] |= index[:, :-1] != index[:, 1:]
    edge[:-1] |= index[:-1] != index[1:]
    return edge


def outline(picture: np.ndarray, index: np.ndarray, width: int) -> None:
    """Draw a white line with a black rim around the masks of `index` (-1: none), in place."""
    edge = edges(np.pad(index, 1, constant_values=-1))[1:-1, 1:-1]
    edge[:, 0] |= index[:, 0] >= 0
    edge[0] |= index[0] >= 0
    line = _grown(edge, width - 1)
    picture[_grown(line, 1)] = 0
    picture[line] = 255


def _grown(where: np.ndarray, pixels: int) -> np.ndarray:
    """`where` and all pixels up to `pixels` steps beside it."""
    return binary_dilation(where, iterations=pixels) if pixels else where


def smooth(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image, (H, W, 3) uint8, in another size: means where it shrinks, bicubic where it grows."""
    if image.shape[:2] == size:
        return image
    how = Image.Resampling.BOX if image.shape[0] > size[0] else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize(size[::-1], how))


def nearest_pixels(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) ids in another size: of each pixel the one in its middle."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, values.shape, strict=True))
    return values[rows[:, None], columns]
