"""Composes one toy street scene: sky, houses, ground, what stands on it from far to near, then the light.

Perspective in one rule: at a point of the ground `depth` rows below the horizon, a length of c cm takes
c * depth / camera pixels, where `camera` is the height of the camera in cm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from a2lc.datasets import toy_objects as things
from a2lc.datasets.toy_canvas import (
    BUILDING,
    NO_CLASS,
    ROAD,
    SIDEWALK,
    SKY,
    VEGETATION,
    Canvas,
    Colour,
    Dice,
    Figure,
    Scene,
    Standing,
)
from a2lc.datasets.toy_objects import LEAVES, PAINTS

FACADES: tuple[Colour, ...] = (
    (196, 172, 140),
    (158, 98, 80),
    (150, 148, 144),
    (206, 196, 172),
    (126, 136, 150),
    (178, 142, 118),
    (112, 100, 96),
    (186, 160, 96),
)
SKIES: dict[str, tuple[Colour, Colour]] = {  # at the top, at the horizon
    "day": ((104, 158, 214), (204, 224, 236)),
    "overcast": ((168, 174, 180), (206, 208, 208)),
    "dusk": ((112, 104, 150), (246, 176, 122)),
}
GAINS: dict[str, Colour] = {  # of 256
    "day": (264, 260, 250),
    "overcast": (222, 228, 234),
    "dusk": (222, 194, 196),
}
ROUGHNESS = np.full(256, 10, dtype=np.int32)  # how strong the texture of a class is
ROUGHNESS[[SIDEWALK, BUILDING, SKY, VEGETATION]] = (12, 16, 3, 44)


@dataclass(frozen=True)
class Street:
    """The numbers that fix a scene's perspective; lengths in cm where nothing else is said."""

    horizon: int  # row
    middle: int  # column of the vanishing point
    camera: int  # height of the camera
    road: int  # half the width of the road
    houses: int  # from the middle of the road to the houses
    time: str  # a key of SKIES

    def column(self, cm: int, depth: int) -> int:
        """Column of the point `cm` right of the road's middle, `depth` rows below the horizon."""
        return self.middle + cm * depth // self.camera


def draw(seed: tuple[int, int, int], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene: image and labels of `draw_scene`."""
    scene = draw_scene(seed, height, width)
    return scene.image, scene.labels


def draw_scene(seed: tuple[int, int, int], height: int, width: int) -> Scene:
    """Draw a scene, and say what stands where.

    Args:
        seed: (seed, split, index), >= 0 each.
        height: rows, at least `toy.MIN_HEIGHT`.
        width: columns, at least `toy.MIN_WIDTH`.
    """
    dice = Dice(*seed)
    canvas = Canvas(height, width, dice)
    road = dice.between(330, 460)
    street = Street(
        horizon=height * dice.between(34, 45) // 100,
        middle=width * dice.between(38, 62) // 100,
        camera=dice.between(240, 320),
        road=road,
        houses=road + dice.between(200, 380),
        time=dice.pick(("day", "day", "day", "overcast", "dusk")),
    )
    _sky(canvas, dice, street)
    _skyline(canvas, dice, street)
    for side in (-1, 1):
        _houses(canvas, dice, street, side)
    _ground(canvas, dice, street)
    _cast_shadow(canvas, dice, street)
    standing = _stand_things(canvas, dice, street)
    _hood(canvas, dice)
    return Scene(_light(canvas, dice, street), canvas.labels, canvas.instances, standing)


def _sky(canvas: Canvas, dice: Dice, street: Street) -> None:
    top, bottom = (np.array(colour, dtype=np.int32) for colour in SKIES[street.time])
    rows = np.minimum(np.arange(canvas.height, dtype=np.int32), street.horizon)[:, None, None]  # (H, 1, 1)
    gradient = (top * (street.horizon - rows) + bottom * rows) // street.horizon  # (H, 1, 3)
    clouds = dice.smooth_noise(canvas.height, canvas.width, max(canvas.width // 8, 8))
    clouds = clouds + dice.smooth_noise(canvas.height, canvas.width, max(canvas.width // 24, 4)) // 2
    cover = np.clip(clouds - dice.between(150, 260), 0, 80)[..., None]  # (H, W, 1)
    white = np.array((250, 214, 200) if street.time == "dusk" else (244, 246, 248), dtype=np.int32)
    canvas.rgb[:] = (gradient * (110 - cover) + white * cover) // 110
    canvas.labels[: street.horizon] = SKY


def _skyline(canvas: Canvas, dice: Dice, street: Street) -> None:
    """Far houses and trees along the horizon, pale with distance."""
    x = dice.between(-8, 0)
    while x < canvas.width:
        wide = canvas.width * dice.between(16, 34) // 100
        high = canvas.height * dice.between(3, 10) // 100
        if dice.chance(50):
            colour = dice.vary((158, 160, 168), 16)
            canvas.box(x, street.horizon - high, x + wide, street.horizon + 1, BUILDING, colour)
        else:
            colour = dice.vary((118, 138, 116), 14)
            canvas.ellipse(x + wide // 2, street.horizon, wide * 2 // 3, high, VEGETATION, colour, rough=50)
        x += wide
    grass = dice.vary((104, 128, 70), 16)
    canvas.box(0, street.horizon, canvas.width, canvas.height, VEGETATION, grass)


def _houses(canvas: Canvas, dice: Dice, street: Street, side: int) -> None:
    """A row of houses and hedges along one side; `depth`, `along` and `above` place each pixel on them."""
    away = (np.arange(canvas.width, dtype=np.int32) - street.middle) * side
    depth = np.maximum(away, 0) * street.camera // street.houses  # (W,) rows below the horizon of its foot
    along = canvas.width * street.camera // np.maximum(depth * 4 // 3, 1)  # (W,) cm down the street
    rows = np.arange(canvas.height, dtype=np.int32)[:, None]
    above = (street.horizon + depth - rows) * street.camera // np.maximum(depth, 1)  # (H, W) cm over the street
    start = 0
    while start < 4500:
        end = start + dice.between(500, 1200)
        here = (along >= start) & (along < end) & (depth >= 4)
        hedge = dice.chance(26)
        high = dice.between(200, 560) if hedge else dice.between(620, 1700)
        base = dice.vary(dice.pick(LEAVES if hedge else FACADES), 18)
        if here.any():
            columns = slice(int(np.argmax(here)), len(here) - int(np.argmax(here[::-1])))
            area = (slice(None), columns)
            if hedge:
                ragged = above[area] + canvas.grain[area] * high // 900
                canvas.paint(area, here[columns] & (above[area] >= 0) & (ragged < high), VEGETATION, base)
            else:
                place = (here[columns], above[area], along[columns] - start)
                _facade(canvas, dice, street, area, place, high, base)
        start = end + (dice.between(100, 300) if dice.chance(25) else 0)


def _facade(
    canvas: Canvas,
    dice: Dice,
    street: Street,
    area: tuple[slice, slice],
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    high: int,
    base: Colour,
) -> None:
    """One house; place: its columns (w,) bool, cm over the street (H, w), cm from the house's start (w,)."""
    here, above, along = place
    front = here & (above >= 0) & (above < high)
    canvas.paint(area, front, BUILDING, base)
    canvas.paint(area, front & (above > high - 45), None, dice.vary((96, 74, 66), 24))
    floor, wide = dice.between(290, 360), dice.between(180, 280)
    storey, across = above % floor, along % wide
    pane = here & (across > 50) & (across < wide - 50)  # (w,)
    window = pane & (above >= 0) & (above < high - 70) & (storey > 100) & (storey < 230)
    lit = (above // floor * 7 + along // wide * 5) % 3 == 0
    canvas.paint(area, window, None, dice.vary((84, 92, 104), 24))
    if street.time == "dusk":
        canvas.paint(area, window & lit, None, (248, 206, 120))
    if dice.chance(45):  # a shop with its awning
        canvas.paint(area, front & (above < 250) & (above > 40), None, dice.vary((92, 96, 100), 30))
        awning = front & (above >= 250) & (above < 310)
        canvas.paint(area, awning, None, dice.vary(dice.pick(PAINTS), 20))


def _ground(canvas: Canvas, dice: Dice, street: Street) -> None:
    """Road, kerbs, sidewalks and markings, from the place in cm of every pixel below the horizon."""
    rows = np.s_[street.horizon + 1 :, :]
    depth = np.arange(1, canvas.height - street.horizon, dtype=np.int32)[:, None]  # (h, 1)
    columns = np.arange(canvas.width, dtype=np.int32)[None, :] - street.middle
    across = columns * street.camera // depth  # (h, w) cm from the middle
    along = canvas.width * street.camera * 3 // (4 * depth)  # (h, 1) cm down the street
    grey = dice.between(84, 128)
    asphalt: Colour = (grey, grey, grey + dice.between(0, 8))
    stone = dice.vary((grey + 22, grey + 18, grey + 12), 14)
    ground = np.abs(across) < street.houses
    walk = ground & (np.abs(across) >= street.road)
    canvas.paint(rows, ground, ROAD, asphalt)
    canvas.paint(rows, walk, SIDEWALK, stone)
    joint = walk & ((across % 90 < 14) | (along % 90 < 16)) & (depth > 12)
    canvas.paint(rows, joint, None, (stone[0] - 14, stone[1] - 14, stone[2] - 14))
    kerb = ground & (np.abs(np.abs(across) - street.road) < 14)
    canvas.paint(rows, kerb, None, dice.vary((168, 166, 160), 16))
    paint = dice.vary((206, 206, 198), 14)
    if dice.chance(75):
        canvas.paint(rows, (np.abs(across + 8) < 9) & (along % 400 < 220), None, paint)
    if dice.chance(35):
        zebra = dice.between(380, 700)
        bars = (np.abs(across) < street.road - 30) & (across % 100 < 50)
        bars &= (along > zebra) & (along < zebra + 220)
        canvas.paint(rows, bars, None, paint)
    for _ in range(dice.between(1, 4)):  # patches, puddles and covers
        y = street.horizon + dice.between(12, canvas.height - street.horizon)
        x = street.column(dice.between(-street.road, street.road) * 2 // 3, y - street.horizon)
        shade = dice.between(-26, 14)
        half = canvas.width * dice.between(2, 7) // 100
        colour = (asphalt[0] + shade, asphalt[1] + shade, asphalt[2] + shade)
        canvas.ellipse(x, y, half, max(half // 3, 1), None, colour, rough=120)


def _cast_shadow(canvas: Canvas, dice: Dice, street: Street) -> None:
    """The houses' shadow over one side of the street, with a ragged edge; none under clouds."""
    if street.time == "overcast" or dice.chance(25):
        return
    side, reach = dice.pick((-1, 1)), dice.between(-street.road, street.road // 2)
    depth = np.arange(1, canvas.height - street.horizon, dtype=np.int32)[:, None]
    across = (np.arange(canvas.width, dtype=np.int32)[None, :] - street.middle) * side * street.camera // depth
    edge = reach + (canvas.width * street.camera // depth // 300 % 3) * 70
    dark = (across > edge) & (across < street.houses)
    below = canvas.rgb[street.horizon + 1 :]
    below[dark] = below[dark] * dice.between(128, 180) // 256


def _stand_things(canvas: Canvas, dice: Dice, street: Street) -> tuple[Standing, ...]:
    """Choose what stands where, then draw it from far to near; each is noted."""
    lane, kerb, walk = street.road // 2, street.road - 90, (street.road + street.houses) // 2
    edge = street.road + 40
    # what, how many at most, chance of each in %, cm from the middle, spread, farthest and nearest depth in %
    plan: list[tuple[Callable[[Figure], None], int, int, int, int, int, int]] = [
        (things.car, 2, 85, kerb, 50, 18, 64),
        (things.car, 2, 85, lane, 70, 16, 72),
        (things.car_from_the_side, 1, 35, lane // 2, 200, 18, 55),
        (things.bus, 1, 34, lane, 80, 16, 52),
        (things.truck, 1, 34, lane, 80, 16, 52),
        (things.person, 2, 90, walk, 90, 26, 78),
        (things.person, 1, 30, lane, 150, 26, 64),
        (things.rider, 2, 45, lane + 40, 120, 26, 70),
        (things.bicycle, 1, 45, edge + 40, 40, 26, 70),
        (things.tree, 3, 85, street.houses - 50, 50, 20, 60),
        (things.lamp_post, 2, 55, edge, 20, 20, 60),
        (things.sign_post, 2, 75, edge, 20, 24, 62),
        (things.traffic_light, 2, 58, edge, 20, 22, 62),
        (things.waste_bin, 1, 40, edge + 30, 40, 20, 60),
    ]
    placed: list[tuple[int, int, Callable[[Figure], None]]] = []
    below = canvas.height - street.horizon
    for thing, most, percent, cm, spread, far, near in plan:
        for _ in range(most):
            if dice.chance(percent):
                depth = below * dice.between(far, near) // 100
                where = dice.pick((-1, 1)) * (cm + dice.between(-spread, spread))
                placed.append((depth, street.column(where, depth), thing))
    standing = []
    for number, (depth, x, thing) in enumerate(sorted(placed, key=lambda item: item[0]), start=1):
        figure = Figure(canvas, dice, x, street.horizon + depth, depth, street.camera, street.time == "dusk")
        canvas.figure = number
        thing(figure)
        standing.append(Standing(number, thing.__name__, figure.paint, x, depth))
    canvas.figure = 0
    return tuple(standing)


def _hood(canvas: Canvas, dice: Dice) -> None:
    """The hood of the car that carries the camera: void."""
    if dice.chance(70):
        wide, high = canvas.width * dice.between(38, 52) // 100, canvas.height * dice.between(4, 7) // 100
        colour = dice.vary((52, 56, 64), 20)
        canvas.ellipse(canvas.width // 2, canvas.height, wide, max(high, 2), NO_CLASS, colour)


def _light(canvas: Canvas, dice: Dice, street: Street) -> np.ndarray:
    """Texture, uneven light, the colour of the hour, a soft lens and sensor noise: (H, W, 3) uint8."""
    height, width = canvas.labels.shape
    rough = ROUGHNESS[canvas.labels]  # (H, W)
    texture = rough * (canvas.grain - 128) // 128
    patches = dice.smooth_noise(height, width, max(height // 8, 4)) - 128
    rgb = canvas.rgb + (texture + patches * rough // 160)[..., None]
    uneven = 256 + (dice.smooth_noise(height, width, height // 2) - 128) * dice.between(10, 50) // 128
    gain = np.array(GAINS[street.time], dtype=np.int32) * dice.between(215, 280) // 256
    rgb = rgb * gain // 256 * uneven[..., None] // 256
    soft = np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = soft[:-2] + 4 * soft[1:-1] + soft[2:]  # (H, W + 2, 3)
    soft = (soft[:, :-2] + 4 * soft[:, 1:-1] + soft[:, 2:]) // 36
    sensor = (dice.noise(height, width) + dice.noise(height, width) - 255) * dice.between(4, 10) // 255
    return np.clip(soft + sensor[..., None], 0, 255).astype(np.uint8)
