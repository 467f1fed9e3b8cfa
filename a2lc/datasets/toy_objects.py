"""What stands in a toy street scene: cars, buses, people, trees, posts. Lengths are in cm."""

from __future__ import annotations

from a2lc.datasets.toy_canvas import (
    BICYCLE,
    BUS,
    CAR,
    LIGHT,
    NO_CLASS,
    PERSON,
    POLE,
    RIDER,
    SIGN,
    TRUCK,
    VEGETATION,
    Colour,
    Figure,
)

LEAVES: tuple[Colour, ...] = ((70, 112, 48), (98, 128, 52), (52, 92, 52), (140, 130, 50), (150, 104, 44))
SIGN_FACES: tuple[Colour, ...] = (
    (196, 40, 44),
    (44, 80, 168),
    (222, 186, 50),
    (224, 224, 220),
    (96, 98, 100),
)
SIGN_INNERS: tuple[Colour, ...] = ((232, 232, 228), (60, 60, 64), (222, 186, 50), (120, 122, 124))
PAINTS: tuple[Colour, ...] = (
    (178, 34, 40),
    (40, 70, 140),
    (205, 205, 200),
    (60, 62, 66),
    (130, 135, 140),
    (34, 90, 70),
    (190, 160, 60),
    (95, 45, 40),
    (225, 225, 228),
)
BUS_PAINTS: tuple[Colour, ...] = ((206, 170, 60), (176, 44, 44), (216, 214, 206), (60, 120, 90))
TRUCK_PAINTS: tuple[Colour, ...] = (*BUS_PAINTS[:3], (150, 150, 148), (60, 90, 140))
CLOTHES: tuple[Colour, ...] = (
    (160, 40, 50),
    (40, 60, 120),
    (70, 75, 80),
    (200, 190, 170),
    (60, 110, 80),
    (190, 120, 50),
    (110, 70, 120),
    (35, 35, 40),
)
SKINS: tuple[Colour, ...] = ((224, 184, 156), (188, 140, 108), (120, 84, 62))
GLASS: Colour = (62, 78, 92)
RUBBER: Colour = (28, 28, 30)
METAL: Colour = (110, 112, 112)


def car(f: Figure) -> None:
    """A car from the front or from behind."""
    paint = f.main_paint(PAINTS, 24)
    dark: Colour = (paint[0] * 5 // 8, paint[1] * 5 // 8, paint[2] * 5 // 8)
    f.canvas.shadow(f.x, f.y, f.pixels(110), f.pixels(22))
    f.box(-84, 0, -50, 50, CAR, RUBBER)
    f.box(50, 0, 84, 50, CAR, RUBBER)
    roof = f.y - f.pixels(f.dice.between(140, 185))
    f.canvas.trapezoid(f.x, roof, f.y - f.pixels(85), f.pixels(58), f.pixels(80), CAR, paint)
    f.canvas.trapezoid(
        f.x, roof + f.pixels(14), f.y - f.pixels(88), f.pixels(48), f.pixels(66), None, f.dice.vary(GLASS, 20)
    )
    f.box(-92, 22, 92, 92, CAR, paint)
    f.box(-92, 22, 92, 44, CAR, dark)
    front = f.dice.chance(50)
    lamp: Colour = (245, 240, 200) if front else (200 + 55 * f.dusk, 30, 30)
    f.box(-90, 62, -62, 82, None, lamp)
    f.box(62, 62, 90, 82, None, lamp)
    f.box(-22, 46, 22, 60, None, (50, 50, 54) if front else (215, 215, 190))


def car_from_the_side(f: Figure) -> None:
    """A car that crosses the street."""
    paint = f.main_paint(PAINTS, 24)
    f.canvas.shadow(f.x, f.y, f.pixels(225), f.pixels(18))
    f.canvas.trapezoid(f.x, f.y - f.pixels(148), f.y - f.pixels(85), f.pixels(95), f.pixels(150), CAR, paint)
    f.canvas.trapezoid(
        f.x,
        f.y - f.pixels(138),
        f.y - f.pixels(90),
        f.pixels(84),
        f.pixels(130),
        None,
        f.dice.vary(GLASS, 20),
    )
    f.box(-6, 85, 6, 140, CAR, paint)
    f.box(-215, 28, 215, 92, CAR, paint)
    for wheel in (-135, 135):
        f.disc(wheel, 34, 36, CAR, RUBBER)
        f.disc(wheel, 34, 14, CAR, METAL)


def _big_box(f: Figure, label: int, half: int, top: int, paint: Colour) -> None:
    """The body that buses and trucks share."""
    f.canvas.shadow(f.x, f.y, f.pixels(half + 15), f.pixels(25))
    for left in (-half + 10, half - 70):
        f.box(left, 0, left + 60, 60, label, RUBBER)
    f.box(-half, 35, half, top, label, paint)
    f.box(-half, 35, half, 62, label, (52, 52, 56))


def bus(f: Figure) -> None:
    """A bus from behind or, with a row of windows, from the side."""
    paint = f.main_paint(BUS_PAINTS, 22)
    half = f.dice.pick((130, 130, 290))
    _big_box(f, BUS, half, 310, paint)
    if f.dice.chance(80):  # the others wear an advertisement over their windows and look like trucks
        glass = (214, 196, 130) if f.dusk else f.dice.vary(GLASS, 16)
        step = 2 * half - 30 if half == 130 else 110
        for left in range(-half + 15, half - step + 16, step):
            f.box(left, 150, left + step - 12, 255, None, glass)
    f.box(-70, 272, 70, 300, None, (40, 40, 44) if not f.dusk else (250, 170, 60))
    f.box(-half + 8, 75, -half + 34, 95, None, (210, 40, 36))
    f.box(half - 34, 75, half - 8, 95, None, (210, 40, 36))


def truck(f: Figure) -> None:
    """A truck from behind, or from the side with its cab."""
    paint = f.main_paint(TRUCK_PAINTS, 22)
    half = f.dice.pick((125, 125, 260))
    _big_box(f, TRUCK, half, f.dice.between(290, 350), paint)
    rim: Colour = (paint[0] * 3 // 4, paint[1] * 3 // 4, paint[2] * 3 // 4)
    if f.dice.chance(30):  # a dark band that looks like a bus window
        f.box(-half + 15, 170, half - 15, 240, None, f.dice.vary(GLASS, 16))
    for left in range(-half, half - 8, (2 * half - 10) // (2 if half == 125 else 4)):
        f.box(left, 62, left + 10, 290, None, rim)
    if half == 260:  # from the side, with its cab
        cab = f.dice.vary(f.dice.pick(PAINTS), 20)
        side = f.dice.pick((-1, 1))
        left = half if side > 0 else -half - 130
        f.box(left, 35, left + 130, 245, TRUCK, cab)
        f.box(left + 25, 150, left + 115, 220, None, GLASS)
        f.box(left + 35, 0, left + 95, 60, TRUCK, RUBBER)


def _body(f: Figure, label: int, hip: int, shirt: Colour) -> None:
    """Torso, arms and head above `hip` (cm): what persons and riders share."""
    f.box(-26, hip, 28, hip + 62, label, shirt)
    f.box(-18, hip, 20, hip + 70, label, shirt)
    f.disc(0, hip + 84, 15, label, f.dice.pick(SKINS))
    f.box(-14, hip + 90, 16, hip + 100, label, f.dice.vary((60, 44, 34), 30))


def person(f: Figure) -> None:
    """Somebody on foot."""
    f.canvas.shadow(f.x, f.y, f.pixels(34), f.pixels(10))
    trousers = f.dice.vary(f.dice.pick(CLOTHES), 16)
    stride = f.dice.between(2, 12)
    f.box(-22 - stride // 2, 0, -stride // 2 + 1, 90, PERSON, trousers)
    f.box(stride // 2, 0, 22 + stride // 2, 90, PERSON, trousers)
    _body(f, PERSON, 84, f.main_paint(CLOTHES, 24))


def bicycle(f: Figure, ridden: bool = False) -> None:
    """A bicycle, from behind or from the side, with its rider or parked."""
    frame = f.main_paint(PAINTS, 24)
    f.canvas.shadow(f.x, f.y, f.pixels(60), f.pixels(10))
    side = f.dice.chance(60)
    if side:
        for wheel in (-54, 54):
            f.disc(wheel, 36, 38, BICYCLE, RUBBER)
            f.disc(wheel, 36, 22, None, (140, 140, 138))
        f.box(-50, 52, 50, 66, BICYCLE, frame)
        f.box(40, 60, 52, 108, BICYCLE, frame)
    else:
        f.box(-10, 0, 12, 72, BICYCLE, RUBBER)
        f.box(-34, 92, 36, 106, BICYCLE, frame)
    if ridden:
        trousers = f.dice.vary(f.dice.pick(CLOTHES), 16)
        f.box(-22, 38, -2, 96, RIDER, trousers)
        f.box(4, 44, 24, 96, RIDER, trousers)
        _body(f, RIDER, 92, f.main_paint(CLOTHES, 24))
        if f.dice.chance(50):
            f.box(-18, 178, 20, 194, RIDER, f.dice.vary(f.dice.pick(PAINTS), 20))  # helmet


def rider(f: Figure) -> None:
    """Somebody on a bicycle."""
    bicycle(f, ridden=True)


def tree(f: Figure) -> None:
    """A trunk and a crown of leaves."""
    leaf = f.dice.vary(f.dice.pick(LEAVES), 18)
    crown = f.dice.between(380, 620)
    f.box(-14, 0, 16, crown, VEGETATION, f.dice.vary((92, 72, 54), 16))
    for shade in (-16, -6, 6, 16):
        radius = f.pixels(f.dice.between(95, 185))
        x = f.x + f.dice.between(-f.pixels(90), f.pixels(90))
        y = f.y - f.pixels(crown) + f.dice.between(-f.pixels(90), f.pixels(60))
        tint: Colour = (leaf[0] + shade, leaf[1] + shade, leaf[2] + shade)
        f.canvas.ellipse(x, y, radius, radius * 7 // 8, VEGETATION, tint, rough=70)


def lamp_post(f: Figure) -> None:
    """A street lamp that reaches over the road."""
    high = f.dice.between(560, 760)
    arm = 120 if f.x < f.canvas.width // 2 else -120
    f.box(-7, 0, 8, high, POLE, f.dice.vary(METAL, 26))
    f.box(min(arm, 0), high - 16, max(arm, 0), high, POLE, METAL)
    if f.dusk:
        f.box(arm - 20, high - 34, arm + 20, high - 10, None, (255, 232, 170))


def sign_post(f: Figure) -> None:
    """A traffic sign on its pole; a dark tall one looks like a traffic light."""
    high = f.dice.between(230, 320)
    f.box(-6, 0, 7, high, POLE, f.dice.vary(METAL, 26))
    face = f.main_paint(SIGN_FACES, 18)
    inner = f.dice.vary(f.dice.pick(SIGN_INNERS), 14)
    shape = f.dice.pick(("round", "square", "tall"))
    if shape == "round":
        f.disc(0, high, 48, SIGN, face)
        f.disc(0, high, 24, None, inner)
    else:
        half, rise = (42, 84) if shape == "square" else (30, 124)
        f.box(-half, high - 20, half, high + rise, SIGN, face)
        f.box(-half + 18, high + 6, half - 16, high + rise - 26, None, inner)


def traffic_light(f: Figure) -> None:
    """A traffic light on its pole, one lamp lit."""
    high = f.dice.between(250, 360)
    f.box(-7, 0, 8, high, POLE, f.dice.vary(METAL, 26))
    housing = f.dice.vary(f.dice.pick(((44, 46, 48), (44, 46, 48), (88, 90, 88), (150, 128, 50))), 14)
    f.box(-30, high - 20, 30, high + 112, LIGHT, housing)
    lamp = f.dice.between(0, 2)
    colour: Colour = ((60, 220, 120), (250, 190, 60), (244, 50, 44))[lamp]
    f.box(-17, high - 12 + 40 * lamp, 17, high + 22 + 40 * lamp, None, colour)


def waste_bin(f: Figure) -> None:
    """Clutter without a class."""
    f.box(-34, 0, 36, 105, NO_CLASS, f.dice.vary((70, 84, 76), 30))
    f.box(-38, 95, 40, 112, NO_CLASS, (52, 56, 54))
