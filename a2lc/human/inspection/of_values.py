"""What is suspicious about the values in label files, beside the class list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from a2lc.datasets.base import VOID
from a2lc.datasets.layout import colours_line, ids_line
from a2lc.datasets.listing import some_of
from a2lc.files import colour_of
from a2lc.human.inspection.found import Found, Row
from a2lc.human.inspection.looks import LabelLook
from a2lc.human.inspection.suspicion import (
    Suspicion,
    plural,
    some_values,
    write_command,
)

MOST_VOID = 0.5  # share of the pixels
WHITE = 255
MOST_CLASSES = 255
BLURRED = 64  # colours of a label file that was smoothed or saved lossily
Pixels = Mapping[tuple[bool, int], tuple[int, int]]


def of_values(found: Found) -> Iterator[Suspicion]:
    """All of them."""
    if not found.labelled:
        if found.rows and found.told.classes is None:
            yield from _without_classes(found, {})
        return
    pixels = found.pixels()
    yield from _mixed(found)
    yield from _blurred(found)
    if found.told.classes is None:
        yield from _without_classes(found, pixels)
    elif found.told.values is not None:
        yield from _black_and_white(found, pixels)
        yield from _unknown(found, pixels)
        yield from _palettes(found)
        yield from _never(found, pixels)
        yield from _void(found, pixels)
    yield from _one_value(found)


def only_black_and_white(found: Found, pixels: Pixels) -> bool:
    """Whether labels are 0 and 255, and nobody has said what these mean."""
    return pixels.keys() == {(False, 0), (False, WHITE)} and not (found.told.values and found.told.values.told)


def unknown_values(found: Found, pixels: Pixels) -> dict[tuple[bool, int], tuple[int, int]]:
    """Those of `Found.pixels` that mean nothing."""
    coloured, plain = LabelLook(is_colour=True), LabelLook()
    return {
        value: counts
        for value, counts in pixels.items()
        if found.meaning(coloured if value[0] else plain, value[1]) is None
    }


def _with(found: Found, values: set[tuple[bool, int]]) -> list[str]:
    """Images whose labels hold one of these."""
    return [row.name for row, look in found.labelled if any((look.is_colour, value) in values for value in look.values)]


def _mixed(found: Found) -> Iterator[Suspicion]:
    coloured = [row.name for row, look in found.labelled if look.is_colour]
    ids = [row.name for row, look in found.labelled if not look.is_colour and set(look.values) - {0, WHITE}]
    if coloured and ids:
        what = f"{plural(len(coloured), 'label file')} of colours ({some_of(coloured)}) beside {len(ids)} of ids"
        yield Suspicion(f"{what} ({some_of(ids)})", "look whether they belong to one dataset")


def _blurred(found: Found) -> Iterator[Suspicion]:
    if many := [(row, look) for row, look in found.labelled if look.is_colour and look.distinct > BLURRED]:
        row, look = many[0]
        five = sum([*look.values.values()][:5]) / (look.size[0] * look.size[1])
        what = f"{plural(len(many), 'label file')} of very many colours, such as {row.name}: {look.distinct:,}, "
        what += f"of which 5 cover {five:.0%} of the pixels"
        advice = "made anew without smoothing (anti-aliasing, interpolation) they hold the colours of classes alone"
        yield Suspicion(what, advice, certain=True)
    if deep := [(row, look) for row, look in found.labelled if not look.is_colour and look.distinct > MOST_CLASSES]:
        row, look = deep[0]
        what = (
            f"{plural(len(deep), 'label file')} of more than {MOST_CLASSES} ids, such as {row.name}: {look.distinct:,}"
        )
        yield Suspicion(what, "these may be ids of objects, or pictures; labels hold ids of classes", certain=True)


def _without_classes(found: Found, pixels: Pixels) -> Iterator[Suspicion]:
    if any((found.root / name).is_file() for name in ("classes.txt", "classes.json")):
        return  # what is wrong with it has been said
    if not pixels:
        yield Suspicion("no class list", "write classes.txt, the name of a class a line", certain=True)
        return
    what = f"no class list; the label files hold {plural(len(pixels), 'value')}, the most frequent first: "
    ids = sorted(value for is_colour, value in pixels if not is_colour and value != WHITE)
    gaps = bool(ids) and ids != [*range(len(ids))] and not only_black_and_white(found, pixels)
    what += some_values(pixels) + (", with gaps between the ids" if gaps else "")
    yield Suspicion(what, f"to write one, whose names you fill in: {write_command(found.root)}", certain=True)


def _black_and_white(found: Found, pixels: Pixels) -> Iterator[Suspicion]:
    classes = found.told.classes
    if classes is None or not only_black_and_white(found, pixels):
        return
    names = classes.names
    zero, white = (VOID, names[0]) if len(names) == 1 else (names[0], names[1])
    what = f"the label files hold nothing but 0 and {WHITE}, which may be black and white, or class 0 and void"
    void = ids_line(dict(enumerate(names)) | {WHITE: VOID})
    advice = f"if they are {zero} and {white}, say so; if {WHITE} is void: {void}"
    yield Suspicion(
        what,
        advice,
        certain=True,
        lines=(ids_line({0: zero, WHITE: white}),),
        decided=len(names) == 2,
    )


def _unknown(found: Found, pixels: Pixels) -> Iterator[Suspicion]:
    unknown = unknown_values(found, pixels)
    total = sum(count for count, _ in pixels.values())
    for is_colour in (False, True):
        some = {value: counts for value, counts in unknown.items() if value[0] is is_colour}
        if not some or found.told.classes is None:
            continue
        images = _with(found, set(some))
        share = sum(count for count, _ in some.values()) / total
        kind = "colour" if is_colour else "value"
        what = (
            f"{plural(len(some), kind)} of no class, {share:.1%} of the pixels, in {plural(len(images), 'label file')} "
        )
        what += f"({some_of(images)}): {some_values(some)}"
        yield (_colours if is_colour else _ids)(found, what, pixels, [value for _, value in some])


def _ids(found: Found, what: str, pixels: Pixels, unknown: list[int]) -> Suspicion:
    """Ids beyond the class list: shifted by one, stretched over 0..255, or unheard of."""
    classes, values = found.told.classes, found.told.values
    assert classes is not None and values is not None
    names, k = classes.names, len(classes)
    what += f"; the class list has {plural(k, 'class')}"
    if values.told:
        return Suspicion(what, "add them to ids in dataset.yaml, each with its class or void", certain=True)
    ids = sorted(value for is_colour, value in pixels if not is_colour)
    inner = [value for value in ids if value != classes.ignore_index]
    if unknown == [k]:  # one more than there are classes: each from 1 on, or void as the number behind the last
        from_one = {i + 1: name for i, name in enumerate(names)}
        shifted = ids_line(from_one if 0 not in inner else {0: VOID} | from_one)
        last_is_void = ids_line(dict(enumerate(names)) | {k: VOID})
        advice = "add the class that the list lacks; or say that the first class has id 1, or that the last id is void"
        if 0 not in inner and len(inner) == k:
            what, advice = f"{what}; ids begin with 1", "say that the first class has id 1, or that the last id is void"
        return Suspicion(what, advice, certain=True, lines=(shifted, last_is_void), decided=False)
    if len(ids) == k:
        line = ids_line(dict(zip(ids, names, strict=True)))
        advice = "if these are the classes in their order, say so"
        return Suspicion(f"{what}, as many as there are values", advice, certain=True, lines=(line,), decided=False)
    line = ids_line(dict(enumerate(names)) | dict.fromkeys(sorted(unknown)[:20], VOID))
    advice = "add classes to the list, or say which class each is, or that it is void"
    return Suspicion(what, advice, certain=True, lines=(line,), decided=False)


def _colours(found: Found, what: str, pixels: Pixels, unknown: list[int]) -> Suspicion:
    """Colours that the class list does not know."""
    classes, values = found.told.classes, found.told.values
    assert classes is not None and values is not None
    known = {classes.names[k] if k < len(classes) else VOID: colour for k, colour in values.colours.items()}
    if known:
        near = min(known, key=lambda name: _distance(known[name], unknown[0]))
        what += f"; the nearest to the first is {near} ({' '.join(map(str, known[near]))})"
        return Suspicion(
            what, "add them to colours in dataset.yaml or to the class list, or mend the files", certain=True
        )
    names = [*classes.names, VOID] if len(unknown) > len(classes) else [*classes.names]
    line = colours_line(dict(zip(names, map(colour_of, [*unknown, *[0] * len(names)]), strict=False)))
    return Suspicion(what, "say which colour is which class", certain=True, lines=(line,), decided=False)


def _distance(colour: tuple[int, int, int], value: int) -> int:
    return sum((a - b) ** 2 for a, b in zip(colour, colour_of(value), strict=True))


def _palettes(found: Found) -> Iterator[Suspicion]:
    """Palettes that draw a class in the colour of another one."""
    classes, listed = found.told.classes, found.told.listed
    of_colour = {colour: k for k, colour in listed.items()}
    contradicted: dict[int, int] = {}  # id -> class whose colour it has
    rows: list[Row] = []
    for row, look in found.labelled:
        wrong = {}
        for value, colour in look.palette.items():
            label = found.meaning(look, value)
            if label is not None and label in listed and colour != listed[label] and colour in of_colour:
                wrong[value] = of_colour[colour]
        contradicted |= wrong
        rows += [row] if wrong else []
    if classes is None or not contradicted:
        return
    value, k = next(iter(contradicted.items()))
    meant = found.meaning(LabelLook(), value) or 0  # a class: it has a colour in the list
    what = f"the palette of {plural(len(rows), 'label file')} ({some_of([row.name for row in rows])}) contradicts the "
    what += f"class list: id {value}, {classes.names[meant]}, is drawn in the colour of {classes.names[k]}"
    advice = "put the classes in the order of the ids, or leave their colours out; if the palettes are right, say so"
    by_palette = {v: classes.names[contradicted.get(v, v)] for v in range(len(classes))}
    complete = len({*by_palette.values()}) == len(classes) and not (found.told.values and found.told.values.told)
    yield Suspicion(what, advice, certain=True, lines=(ids_line(by_palette),) if complete else (), decided=False)


def _never(found: Found, pixels: Pixels) -> Iterator[Suspicion]:
    classes = found.told.classes
    if classes is None or only_black_and_white(found, pixels) or unknown_values(found, pixels):
        return
    present = {found.meaning(LabelLook(is_colour=is_colour), value) for is_colour, value in pixels}
    never = [name for k, name in enumerate(classes.names) if k not in present]
    if never and len(never) < len(classes):
        what = f"{plural(len(never), 'class')} of the list never occur{'s' * (len(never) == 1)}: {some_of(never)}"
        advice = "look at the pictures whether others are called so: a list in another order looks like this"
        yield Suspicion(what, advice)


def _void(found: Found, pixels: Pixels) -> Iterator[Suspicion]:
    classes = found.told.classes
    if classes is None or only_black_and_white(found, pixels):
        return
    total = sum(count for count, _ in pixels.values())
    void = {
        value: count
        for value, (count, _) in pixels.items()
        if found.meaning(LabelLook(is_colour=value[0]), value[1]) == classes.ignore_index
    }
    if sum(void.values()) > MOST_VOID * total:
        what = f"{sum(void.values()) / total:.0%} of the pixels are void ({some_values(void)}): they have no label"
        yield Suspicion(
            what, "right where these areas were left out; if the value is a class, say so by ids or colours"
        )


def _one_value(found: Found) -> Iterator[Suspicion]:
    single = [(row, look) for row, look in found.labelled if look.distinct == 1]
    if not single:
        return
    values = {(look.is_colour, value) for _, look in single for value in look.values}
    names = some_of([row.name for row, _ in single])
    if len(single) == len(found.labelled) and len(values) == 1:
        what = f"all label files hold nothing but {some_values(values)}"
        yield Suspicion(what, "look whether these are the labels: nothing can be learnt from them", certain=True)
    else:
        what = f"{plural(len(single), 'label file')} of one value alone ({some_values(sorted(values))}): {names}"
        yield Suspicion(what, "right where a picture shows one class alone; else they were left empty")
