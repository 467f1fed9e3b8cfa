"""Drawing with integers only: dice, a canvas of colours and labels, and figures that stand on it.

Everything is integer arithmetic on raw PCG64 bits: every platform and NumPy version draws the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Colour = tuple[int, int, int]

CLASSES: dict[str, Colour] = {  # Cityscapes' colours
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "sky": (70, 130, 180),
    "vegetation": (107, 142, 35),
    "car": (0, 0, 142),
    "pole": (153, 153, 153),
    "person": (220, 20, 60),
    "bus": (0, 60, 100),
    "truck": (0, 0, 70),
    "bicycle": (119, 11, 32),
    "traffic sign": (220, 220, 0),
    "traffic light": (250, 170, 30),
    "rider": (255, 0, 0),
}
NAMES = tuple(CLASSES)
NO_CLASS = 255
ROAD, SIDEWALK, BUILDING, SKY, VEGETATION, CAR, POLE, PERSON, BUS, TRUCK, BICYCLE, SIGN, LIGHT, RIDER = range(14)


class Dice:
    """Random integers from the raw bits of PCG64, whose stream NumPy guarantees."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))
        self._pool: list[int] = []

    def between(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        if not self._pool:
            self._pool = self._bits.random_raw(512).tolist()
        return low + (self._pool.pop() >> 16) % (high - low + 1)

    def chance(self, percent: int) -> bool:
        """True `percent` times of a hundred."""
        return self.between(0, 99) < percent

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self.between(0, len(options) - 1)]

    def vary(self, colour: Colour, amount: int) -> Colour:
        """A colour near `colour`: brighter or darker as a whole, and a little off in each channel."""
        shift = self.between(-amount, amount)
        red, green, blue = (v + shift + self.between(-amount // 3, amount // 3) for v in colour)
        return red, green, blue

    def noise(self, height: int, width: int) -> np.ndarray:
        """(height, width) int32, uniform in 0..255, independent pixels."""
        raw = self._bits.random_raw((height * width + 7) // 8).astype("<u8").view(np.uint8)
        return raw[: height * width].reshape(height, width).astype(np.int32)

    def smooth_noise(self, height: int, width: int, cell: int) -> np.ndarray:
        """(height, width) int32 in 0..255, interpolated between random values every `cell` pixels."""
        grid = self.noise(height // cell + 2, width // cell + 2)
        top, dy = np.divmod(np.arange(height, dtype=np.int32), cell)
        left, dx = np.divmod(np.arange(width, dtype=np.int32), cell)
        rows = grid[top] * (cell - dy)[:, None] + grid[top + 1] * dy[:, None]  # (height, grid columns)
        return (rows[:, left] * (cell - dx) + rows[:, left + 1] * dx) // (cell * cell)


class Canvas:
    """A picture and its labels under construction.

    Attributes:
        rgb: (H, W, 3) int32 colours, clipped only at the very end.
        labels: (H, W) uint8 class ids, `NO_CLASS` at first.
        instances: (H, W) int32, which figure a label is of, 0 = of none.
        figure: the number of the figure that is drawn now, 0 = none.
        grain: (H, W) int32 noise in 0..255 that roughens edges and textures.
    """

    def __init__(self, height: int, width: int, dice: Dice) -> None:
        self.height, self.width = height, width
        self.rgb = np.zeros((height, width, 3), dtype=np.int32)
        self.labels = np.full((height, width), NO_CLASS, dtype=np.uint8)
        self.instances = np.zeros((height, width), dtype=np.int32)
        self.figure = 0
        self.grain = dice.noise(height, width)

    def box(self, x0: int, y0: int, x1: int, y1: int, label: int | None, colour: Colour) -> None:
        """Fill x0 <= x < x1, y0 <= y < y1; label None keeps the labels (windows, lamps, shadows)."""
        area = np.s_[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        self.rgb[area] = colour
        if label is not None:
            self.labels[area] = label
            self.instances[area] = self.figure

    def ellipse(self, cx: int, cy: int, rx: int, ry: int, label: int | None, colour: Colour, rough: int = 0) -> None:
        """Fill an ellipse; `rough` in 0..255 is how far grain eats into its edge."""
        y0, y1, x0, x1 = max(cy - ry, 0), max(cy + ry + 1, 0), max(cx - rx, 0), max(cx + rx + 1, 0)
        area = np.s_[y0 : min(y1, self.height), x0 : min(x1, self.width)]
        grain = self.grain[area]
        if not grain.size:
            return
        dy = np.arange(y0 - cy, y0 - cy + grain.shape[0], dtype=np.int64)[:, None]
        dx = np.arange(x0 - cx, x0 - cx + grain.shape[1], dtype=np.int64)[None, :]
        reach = (2 * rx + 1) ** 2 * (2 * ry + 1) ** 2 // 4
        left = 256 - (rough * grain.astype(np.int64) >> 8)  # (h, w) of 256, where grain has eaten
        inside = (dx * (2 * ry + 1)) ** 2 + (dy * (2 * rx + 1)) ** 2 <= reach * left // 256
        self.paint(area, inside, label, colour)

    def trapezoid(self, cx: int, y0: int, y1: int, half0: int, half1: int, label: int | None, colour: Colour) -> None:
        """Fill rows y0 <= y < y1, symmetric about cx, reaching half0 to each side at the top, half1 below."""
        for y in range(max(y0, 0), min(y1, self.height)):
            half = half0 + (half1 - half0) * (y - y0) // max(y1 - y0 - 1, 1)
            self.box(cx - half, y, cx + half + 1, y + 1, label, colour)

    def paint(self, area: tuple[slice, slice], inside: np.ndarray, label: int | None, colour: Colour) -> None:
        """Fill the pixels of `area` where `inside`, a mask of its shape, is true."""
        self.rgb[area][inside] = colour
        if label is not None:
            self.labels[area][inside] = label
            self.instances[area][inside] = self.figure

    def shadow(self, cx: int, y: int, half: int, thick: int) -> None:
        """Darken the ground below an object."""
        area = np.s_[max(y - thick, 0) : max(y + thick, 0), max(cx - half, 0) : max(cx + half, 0)]
        self.rgb[area] = self.rgb[area] * 5 // 8


class Figure:
    """Where an object stands: row `y`, column `x`, `depth` rows below the horizon; `camera` is in cm.

    Attributes:
        paint: the main paint as it was chosen, before light and chance change it; None: it has none.
    """

    def __init__(self, canvas: Canvas, dice: Dice, x: int, y: int, depth: int, camera: int, dusk: bool) -> None:
        self.canvas, self.dice, self.x, self.y = canvas, dice, x, y
        self.depth, self.camera, self.dusk = depth, camera, dusk
        self.paint: Colour | None = None

    def main_paint(self, options: Sequence[Colour], amount: int) -> Colour:
        """Choose the main paint, and vary it as `Dice.vary` does."""
        self.paint = self.dice.pick(options)
        return self.dice.vary(self.paint, amount)

    def pixels(self, cm: int) -> int:
        """A length here in pixels, at least 1."""
        return max(1, (cm * self.depth + self.camera // 2) // self.camera)

    def box(self, left: int, bottom: int, right: int, top: int, label: int | None, colour: Colour) -> None:
        """A box in centimetres: left/right of the centre, bottom/top above the ground; at least a pixel."""
        x0, y0 = self.x + left * self.depth // self.camera, self.y - top * self.depth // self.camera
        x1, y1 = self.x + right * self.depth // self.camera, self.y - bottom * self.depth // self.camera
        self.canvas.box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1), label, colour)

    def disc(self, left: int, height: int, radius: int, label: int | None, colour: Colour) -> None:
        """A disc in centimetres, its centre `left` of the middle and `height` above the ground."""
        cx, cy = self.x + left * self.depth // self.camera, self.y - height * self.depth // self.camera
        r = radius * self.depth // self.camera
        self.canvas.ellipse(cx, cy, r, r, label, colour)


@dataclass(frozen=True)
class Standing:
    """A figure of a scene, as it was put there.

    Attributes:
        number: its value in the map of figures, from 1, farthest first.
        kind: the name of what draws it: ``car``, ``car_from_the_side``, ``bus``, ..., ``waste_bin``.
        paint: its main paint, before light and chance change it; None: it has none.
        x: column where it stands; may be outside the picture.
        depth: rows below the horizon where it stands; more is nearer.
    """

    number: int
    kind: str
    paint: Colour | None
    x: int
    depth: int


@dataclass(frozen=True)
class Scene:
    """A drawn scene with its records.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, class ids or 255.
        figures: (H, W) int32, which figure a label is of, 0 = of none.
        standing: all figures, whether anything of them is seen or not.
    """

    image: np.ndarray
    labels: np.ndarray
    figures: np.ndarray
    standing: tuple[Standing, ...]
