"""What is suspicious about the files of a dataset: their places, names, formats and sizes."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from a2lc.datasets.layout import quoted
from a2lc.datasets.listing import IMAGE_SUFFIXES, some_of
from a2lc.datasets.own_files import LISTS
from a2lc.files import UPRIGHT
from a2lc.human.inspection.found import PAIRS, Found, Row
from a2lc.human.inspection.suspicion import Suspicion, plural, write_command

BRIGHT = 2**14  # values of 16 bits below it are of 14 bits or fewer


def of_files(found: Found) -> Iterator[Suspicion]:
    """All of them."""
    yield from (Suspicion(error, certain=True) for error in found.told.errors)
    if not found.rows:
        pictures = [file for file in found.all_files if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES]
        what = f"no pictures ({', '.join(IMAGE_SUFFIXES)}) in {found.root}"
        if found.told.errors and (pictures or not found.all_files):
            return  # these say why
        if pictures:
            what = f"no folder images/, and no label files that fit the {plural(len(pictures), 'picture')} that are "
            what += f"there: {some_of(pictures)}"
        advice = "expected images/ and labels/ with the same names, or files such as a.jpg with a_mask.png"
        yield Suspicion(what, _import_instead(found) or advice, certain=True)
        return
    for check in (_places, _damaged, _sizes, _orientation, _without, _lists, _duplicates, _window):
        yield from check(found)


def _names(rows: Sequence[Row]) -> str:
    return some_of([row.name for row in rows])


def _places(found: Found) -> Iterator[Suspicion]:
    if not found.guessed:
        return
    count = sum(len(pair.image_files) for pair in found.guessed)
    places = "; ".join(f"{pair.images} with {pair.labels}" for pair in found.guessed)
    what = f"images/ and labels/ hold no pairs of one name, but {plural(count, 'picture')} with labels lie in {places}"
    lines = [f"images: {_place(found.guessed[0].images)}", f"labels: {_place(found.guessed[0].labels)}"]
    if found.told.layout.pairs is not None:
        lines = [f"pairs: {PAIRS}"]
    yield Suspicion(what, f"to write this down: {write_command(found.root)}", certain=True, lines=tuple(lines))


def _place(place: str) -> str:
    """YAML takes a brace at the beginning for a mapping."""
    return f'"{place}"' if place.startswith("{") else quoted(place) if "{" not in place else place


def _damaged(found: Found) -> Iterator[Suspicion]:
    if broken := [row for row in found.rows if row.picture.trouble]:
        what = f"{plural(len(broken), 'picture')} cannot be read: {_names(broken)} ({broken[0].picture.trouble})"
        yield Suspicion(what, "replace the files, or remove them together with their labels", certain=True)
    labels = [(row, row.label) for row in found.rows if row.label is not None and row.label.trouble]
    if lossy := [(row, look) for row, look in labels if look.lossy]:
        what = f"{plural(len(lossy), 'label file')} of a format that blurs ids ({lossy[0][1].kind}): "
        advice = "save the labels as PNG from what they were made with: the values in these files are no longer exact"
        yield Suspicion(what + _names([row for row, _ in lossy]), advice, certain=True)
    reasons: dict[str, list[Row]] = defaultdict(list)
    for row, look in labels:
        if not look.lossy:
            reasons[look.trouble].append(row)
    for reason, rows in reasons.items():
        what = f"{plural(len(rows), 'label file')} cannot be read: {_names(rows)} ({reason})"
        yield Suspicion(what, "replace the files, or remove them: images without a label are left out", certain=True)


def _sizes(found: Found) -> Iterator[Suspicion]:
    upright = found.told.layout.upright
    wrong = [row for row in found.rows if _differs(row, upright)]
    as_stored = [row for row in wrong if row.picture.turned and not _differs(row, not upright)]
    fitting = [row for row in found.rows if row.picture.turned and row.label is not None and row not in as_stored]
    if as_stored:
        how = "stored" if upright else "upright"
        what = f"the labels of {plural(len(as_stored), 'picture')} with an EXIF orientation fit the pictures as they"
        what += f" are {'stored, not as they are shown' if upright else 'shown, not as they are stored'}: "
        clash = f"turn these labels: {plural(len(fitting), 'other')} fit otherwise" if fitting else ""
        lines = () if fitting else (f"orientation: {how}",)
        yield Suspicion(what + _names(as_stored), clash, certain=True, lines=lines)
    rest = [row for row in wrong if row not in as_stored]
    turned = [row for row in rest if row.label and row.label.size[::-1] == row.picture.shown_size(upright)]
    for rows, how, advice in (
        (turned, "transposed", "turn these labels by 90 degrees, or transpose them; look which way"),
        ([row for row in rest if row not in turned], "of another size", "scale these labels without smoothing"),
    ):
        if rows and (label := rows[0].label) is not None:
            (h, w), (label_h, label_w) = rows[0].picture.shown_size(upright), label.size
            first = f"{rows[0].name}: picture {w} x {h}, label {label_w} x {label_h}"
            more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
            nearest = f" (nearest neighbour) to {w} x {h}, or take those that were made for the pictures"
            advice += nearest if how == "of another size" else ""
            what = f"{plural(len(rows), 'label')} {'is' if len(rows) == 1 else 'are'} {how}: {first}{more}"
            yield Suspicion(what, advice, certain=True)


def _differs(row: Row, upright: bool) -> bool:
    look, picture = row.label, row.picture
    if look is None or (look.trouble and not look.lossy) or picture.trouble:
        return False
    return look.size != picture.shown_size(upright)


def _orientation(found: Found) -> Iterator[Suspicion]:
    """Where height and width do not show whether labels are upright."""
    upright = found.told.layout.upright
    if "orientation" in found.told.layout.said:
        return
    unclear = [
        row
        for row in found.rows
        if row.picture.orientation != UPRIGHT
        and not (row.picture.turned and row.picture.size[0] != row.picture.size[1])
        and not _differs(row, upright)
    ]
    if unclear:
        what = f"{plural(len(unclear), 'picture')} with an EXIF orientation, read as it says: {_names(unclear)}"
        advice = "look whether the labels lie on the pictures; if they were drawn on the pictures as stored, say so"
        yield Suspicion(what, advice, lines=("orientation: stored",), decided=False)


def _without(found: Found) -> Iterator[Suspicion]:
    labels = found.files.labels or found.files.ground_truth
    bodiless = [path for name, path in labels.items() if name not in found.files.images]
    strays = [path.relative_to(found.root).as_posix() for path in bodiless]
    if strays:
        what = f"{plural(len(strays), 'label file')} without a picture of that name: {some_of(strays)}"
        yield Suspicion(what, "remove them, or add the pictures", certain=True)
    bare = [row for row in found.rows if row.label_file is None]
    if len(bare) == len(found.rows):
        what = f"no label files: none fits the names of the {plural(len(bare), 'picture')}"
        advice = "put them into labels/, each named as its picture; or make some: a2lc pseudo-label --help"
        yield Suspicion(what, _import_instead(found) or advice)
    elif bare:
        what = f"{plural(len(bare), 'picture')} without a label: {_names(bare)}"
        yield Suspicion(what, "nothing is corrected there; add the labels if there are some")


def _import_instead(found: Found) -> str:
    """What to type where labels seem to be those of another program; empty where there are no files of such."""
    kinds = (".json", ".txt", ".parquet")
    files = [file for file in found.all_files if file not in LISTS and PurePosixPath(file).suffix in kinds]
    what = f"if {some_of(files)} has labels of another program: a2lc import {shlex.quote(str(found.root))} NEW_FOLDER"
    return what if files else ""


def _lists(found: Found) -> Iterator[Suspicion]:
    for split, names in found.lists.items():
        if missing := [name for name in names if name not in found.files.images]:
            what = f"{split}.txt lists {plural(len(missing), 'image')} without a file: {some_of(missing)}"
            inside = next((name for name in found.files.images if name.endswith(f"/{missing[0]}")), None)
            advice = "add the pictures, or remove these lines"
            if inside is not None:
                advice = f"names contain folders: write {inside}"
            yield Suspicion(what, advice, certain=True)
    if both := [name for name in found.lists.get("train", ()) if name in set(found.lists.get("val", ()))]:
        what = f"{plural(len(both), 'image')} in train.txt and in val.txt: {some_of(both)}"
        yield Suspicion(what, "remove them from one: what is trained on cannot be validated on")
    kept = [name for name in found.lists.get("val", ()) if name in found.files.labels]
    if kept and found.told.layout.correct is None:
        what = f"the labels of {plural(len(kept), 'image')} of val.txt are not corrected"
        yield Suspicion(what, "if they should be, say so", lines=("correct: all",), decided=False)


def _duplicates(found: Found) -> Iterator[Suspicion]:
    same: dict[str, list[str]] = defaultdict(list)
    for row in found.rows:
        if row.picture.digest:
            same[row.picture.digest].append(row.name)
    groups = [names for names in same.values() if len(names) > 1]
    if not groups:
        return
    train, val = (set(found.lists.get(split, ())) for split in ("train", "val"))
    across = [names for names in groups if train & {*names} and val & {*names}]
    first = " = ".join((across or groups)[0][:4])
    what = f"{plural(sum(map(len, groups)), 'picture')} with the content of another one, such as {first}"
    what += f"; {len(across)} in train.txt and in val.txt" if across else ""
    yield Suspicion(what, "keep one of each, with the better label")


def _window(found: Found) -> Iterator[Suspicion]:
    deep = [row.picture.brightest for row in found.rows if row.picture.brightest is not None]
    if deep and found.told.layout.window is None and (most := max(deep)) < BRIGHT:
        bits = max(8, most.bit_length())
        what = f"{plural(len(deep), 'picture')} of 16 bits with values up to {most:,}, so of {bits} bits: nearly black"
        yield Suspicion(what, "say which values are black and white", lines=(f"window: [0, {2**bits - 1}]",))
