"""Pictures of a view: all layers in one, what lies under the pointer, and the swatches of the legend."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from a2lc.datasets.base import Classes, Split
from a2lc.figures import colour
from a2lc.human.mask_pictures import GREY, edges, nearest_pixels, outline, smooth
from a2lc.masks import MaskSet

LAYERS = {
    "image": "Image",
    "first": "First label",
    "now": "Label at this round",
    "truth": "Ground truth",
    "difference": "Difference",
    "borders": "Mask borders",
}
"""The layers from bottom to top, and what they are called."""

DIFFERENCES = {
    "wrong": ("still wrong", "#D55E00"),
    "mended": ("mended", "#0072B2"),
    "spoilt": ("spoilt", "#CC79A7"),
    "changed": ("changed, no ground truth", "#E69F00"),
}
"""What the difference layer shows: code -> words, colour. Each also has a pattern of its own (`_pattern`)."""

WIDEST, HIGHEST, NARROWEST = 1600, 1600, 800  # pixels of a picture on the screen
_HOVER = 480  # widest map of what lies under the pointer


@dataclass(frozen=True)
class Scene:
    """One image and its maps, in the size they are shown in.

    Attributes:
        image: (h, w, 3) uint8; None where the file cannot be read.
        index: (h, w) int32, position of each pixel's mask among the image's rows, -1 where there is none.
        truth: (h, w) uint8 ground truth; None where there is none.
        size: (H, W) of the image itself.
        notes: files that could not be read, in words.
    """

    image: np.ndarray | None
    index: np.ndarray
    truth: np.ndarray | None
    size: tuple[int, int]
    notes: tuple[str, ...]

    @cached_property
    def positions(self) -> np.ndarray:
        """The values that occur in `index`."""
        return np.flatnonzero(np.bincount(self.index.ravel() + 1)) - 1

    @cached_property
    def classes(self) -> np.ndarray:
        """The values that occur in `truth`."""
        return np.array([], dtype=np.uint8) if self.truth is None else np.flatnonzero(np.bincount(self.truth.ravel()))


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in which an image is shown: at most `WIDEST` and `HIGHEST` pixels; a small one enlarged by a
    whole factor until it is as wide as `NARROWEST`."""
    factor = min(WIDEST / width, HIGHEST / height, -(-NARROWEST // width))
    factor = int(factor) if factor >= 1 else factor
    return max(1, round(height * factor)), max(1, round(width * factor))


def load_scene(masks: MaskSet, split: Split | None, name: str) -> Scene:
    """Read an image and its maps. A file that is missing or damaged is named in `Scene.notes`, and what it holds is
    left out.

    Args:
        masks: the masks; only their object maps are read.
        split: where image and ground truth are read; None: there are none.
        name: the image.
    """
    notes: list[str] = []
    image = _tried(lambda: split.image(name), notes, "No image") if split is not None else None
    index = _tried(lambda: masks.index_map(name), notes, "No masks")
    truth = _tried(lambda: split.ground_truth(name), notes, "No ground truth") if split is not None else None
    maps = {"No image": image, "No masks": index, "No ground truth": truth}
    size = next((found.shape[:2] for found in (index, image, truth) if found is not None), (360, 480))
    for what, found in maps.items():
        if found is not None and found.shape[:2] != size:
            notes.append(f"{what}: it is {found.shape[0]}x{found.shape[1]}, the masks {size[0]}x{size[1]} pixels")
    image, index, truth = (f if f is not None and f.shape[:2] == size else None for f in (image, index, truth))
    shown = shown_size(*size)
    if index is None:
        index = np.full(size, -1)
    return Scene(
        None if image is None else smooth(image, shown),
        nearest_pixels(index.astype(np.int32), shown),
        None if truth is None else nearest_pixels(truth, shown),
        (size[0], size[1]),
        tuple(notes),
    )


def compose(
    scene: Scene,
    first: np.ndarray,
    now: np.ndarray,
    classes: Classes,
    opacity: Mapping[str, float],
    codes: Mapping[str, np.ndarray] | None = None,
    marked: np.ndarray | None = None,
    selected: int | None = None,
) -> np.ndarray:
    """All layers in one picture, (h, w, 3) uint8. Void pixels and those of no mask are not painted.

    Args:
        scene: the image and its maps.
        first: (n + 1,) first labels of the image's n masks, the last one of pixels without mask.
        now: (n + 1,) the same after the round that is shown.
        classes: their colours.
        opacity: layer -> share in [0, 1]; layers that are not named are not shown.
        codes: what `differences` returns; None: nothing differs.
        marked: (n,) bool, masks to draw a thin outline around.
        selected: position of the mask to draw a thick outline around.
    """
    picture = np.full((*scene.index.shape, 3), GREY, dtype=np.uint8)
    if scene.image is not None and (share := opacity.get("image", 0)) > 0:
        picture = blend(picture, scene.image, share)
    for layer, labels in (("first", first), ("now", now)):
        if (share := opacity.get(layer, 0)) > 0:
            painted = np.where(labels < len(classes), share, 0.0)
            picture = blend(picture, colour(labels, classes)[scene.index], painted[scene.index])
    if (truth := scene.truth) is not None and (share := opacity.get("truth", 0)) > 0:
        picture = blend(picture, colour(truth, classes), np.where(truth < len(classes), share, 0.0))
    _paint_differences(picture, codes or {}, opacity.get("difference", 0))
    if (share := opacity.get("borders", 0)) > 0:
        edge = edges(scene.index)
        picture[edge] = blend(picture[edge], np.array([255, 255, 255], dtype=np.uint8), share)
    if marked is not None and marked.any():
        inside = np.append(marked, False)[scene.index]
        outline(picture, np.where(inside, scene.index, -1), width=1)
    if selected is not None:
        outline(picture, np.where(scene.index == selected, 0, -1), width=2)
    return picture


def differences(scene: Scene, first: np.ndarray, now: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Code of `DIFFERENCES` -> (h, w) bool: labels against the ground truth pixel by pixel, and where there is none,
    against the first labels. Arguments as in `compose`."""
    before, after = first[scene.index], now[scene.index]
    truth = np.full(scene.index.shape, 255, np.uint8) if scene.truth is None else scene.truth
    judged, right, was_right = truth < k, after == truth, before == truth
    return {
        "wrong": judged & ~right & ~was_right & (after < k),
        "mended": judged & right & ~was_right,
        "spoilt": judged & ~right & was_right,
        "changed": ~judged & (before != after),
    }


def encode(picture: np.ndarray, kind: str = "JPEG") -> bytes:
    """The bytes of an image file: JPEG with all of its colours, small and the quickest, for the screen, or ``PNG``,
    exact."""
    buffer = io.BytesIO()
    options = {"quality": 85, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def hover_map(scene: Scene, texts: Sequence[str]) -> tuple[bytes, list[str]]:
    """What lies under the pointer, small enough to be sent with every view.

    Args:
        scene: its `index` is shrunk to at most 480 pixels of width.
        texts: n lines, one per mask; many are equal.

    Returns:
        zlib-compressed uint16 numbers, little-endian: width and height of the map, its pixels (position + 1, 0 = no
        mask), and for each of the n masks the place of its line in the list, which comes second. An image of more than
        65,534 masks shows nothing under the pointer.
    """
    height, width = scene.index.shape
    small = nearest_pixels(scene.index, (max(1, round(height * min(1, _HOVER / width))), min(width, _HOVER)))
    lines, place = np.unique(np.array([*texts], dtype=object).astype(str), return_inverse=True)
    if len(texts) > 65534:
        small, place = np.full_like(small, -1), place[:0]
    parts = ([small.shape[1], small.shape[0]], (small + 1).ravel(), place.ravel())
    numbers = np.concatenate([np.asarray(part, dtype="<u2") for part in parts])
    return zlib.compress(numbers.tobytes(), 1), [str(line) for line in lines]


def swatch(paint: np.ndarray | str, height: int = 16, width: int = 26) -> bytes:
    """PNG for the legend: a class colour, (3,) uint8, or a code of `DIFFERENCES` with its pattern."""
    picture = np.full((height, width, 3), 255 if isinstance(paint, str) else paint, dtype=np.uint8)
    if isinstance(paint, str):
        _paint_differences(picture, {paint: np.ones((height, width), dtype=bool)}, 1.0)
    picture[[0, -1]] = picture[:, [0, -1]] = 90
    return encode(picture, "PNG")


def _paint_differences(picture: np.ndarray, codes: Mapping[str, np.ndarray], share: float) -> None:
    for name, where in codes.items():
        if where.any():
            ink = np.array(ImageColor.getrgb(DIFFERENCES[name][1]), dtype=np.uint8)
            at = np.nonzero(where)
            inked = _pattern(name, *at)
            picture[at] = blend(
                picture[at], np.where(inked[:, None], ink, np.uint8(255)), share * np.where(inked, 1, 0.6)
            )


def _pattern(name: str, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,) bool, the inked pixels: stripes that fall, a grid of dots, a lattice, or level stripes."""
    if name == "wrong":
        return (x - y) % 14 < 6
    if name == "mended":
        return (x % 10 - 4) ** 2 + (y % 10 - 4) ** 2 < 10
    if name == "spoilt":
        return ((x - y) % 12 < 3) | ((x + y) % 12 < 3)
    return y % 10 < 4


def blend(below: np.ndarray, above: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """`above` painted over `below` with an opacity in [0, 1], per pixel or everywhere."""
    if np.ndim(share) == 0 and share >= 1:
        return np.array(np.broadcast_to(above, below.shape))
    alpha = np.asarray(np.round(np.asarray(share) * 256), dtype=np.int32)
    if alpha.ndim:
        alpha = alpha[..., None]
    return (below + ((above.astype(np.int32) - below) * alpha >> 8)).astype(np.uint8)


def _tried(read: Callable[[], Any], notes: list[str], what: str) -> Any:
    """What `read` returns, or None and a note."""
    try:
        return read()
    except (OSError, ValueError) as error:
        notes.append(f"{what}: {error}")
        return None
