"""Where pictures and their label files lie in a folder that nobody has described: found by their names and content.

A place is what dataset.yaml calls one (`a2lc.datasets.layout`): a folder, or a pattern with {name}. Every file fits
many; the two that pair most files are taken.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from a2lc.datasets.layout import NAME
from a2lc.datasets.listing import IMAGE_SUFFIXES, LABEL_SUFFIXES
from a2lc.human.inspection.looks import look_at_label

LABEL_WORDS = re.compile(r"mask|label|annot|truth|target|(?<![a-z])(gt|seg|ids?)|segm|ids(?![a-z])", re.IGNORECASE)
PICTURE_WORDS = re.compile(r"image|img|photo|picture|jpeg|frame|raw|input|rgb", re.IGNORECASE)
OTHER_WORDS = re.compile(r"colou?r|instance|vis|overlay|preview|thumb", re.IGNORECASE)  # beside labels, for people
FEW = 64  # values of a label file; a photograph has more
SAMPLE = 3  # files of a place that are looked into
PLACES = 60  # that are compared, those of most files
_Looks = Callable[[str], bool]  # whether the content of a file looks like labels
PARTS = 8  # pairs of places, such as a folder each for training and validation


@dataclass(frozen=True)
class Pair:
    """A place of pictures and the place of their labels: image name -> file below the dataset's folder, with the same
    names."""

    images: str
    labels: str
    image_files: Mapping[str, str]
    label_files: Mapping[str, str]


def guess_places(root: Path, files: Sequence[str]) -> list[Pair]:
    """Places of pictures and of their labels, those with most files first, each file in one of them.

    Args:
        root: the dataset's folder.
        files: the files below it, as ``a/b.png``.
    """
    left = [file for file in files if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES]
    looks_labelled = cache(lambda file: _looks_labelled(root / file))
    pairs: list[Pair] = []
    while len(pairs) < PARTS and (best := _best(left, looks_labelled)) is not None:
        pairs.append(best)
        folders = tuple(_folder(place) for place in (best.images, best.labels))
        left = [file for file in left if not file.startswith(folders)]  # what lies beside them belongs to them
    return pairs


def _folder(place: str) -> str:
    """What files of a place begin with, up to a slash."""
    before, name, _ = place.partition(NAME)
    if not name:
        return "" if place == "." else f"{place}/"
    return before[: before.rfind("/") + 1]


def _best(files: Sequence[str], looks_labelled: _Looks) -> Pair | None:
    places = _places(files)
    shared: dict[int, list[tuple[str, str]]] = defaultdict(list)  # number of names -> places of pictures and labels
    for images, pictures in places.items():
        for labels, masks in places.items():
            if images != labels and (count := len(pictures.keys() & masks.keys())):
                shared[count].append((images, labels))
    for count in sorted(shared, reverse=True):
        pairs = [_pair(images, labels, places) for images, labels in shared[count]]
        rated = [
            (rating, _plainness(pair), pair)
            for pair in pairs
            if pair is not None and (rating := _rating(pair, looks_labelled)) > 0
        ]
        if rated:
            return max(rated, key=lambda item: item[:2])[2]
    return None


def _pair(images: str, labels: str, places: Mapping[str, Mapping[str, str]]) -> Pair | None:
    """What two places share; None where that cannot be pictures and labels."""
    names = sorted(places[images].keys() & places[labels].keys())
    pictures, masks = ({name: places[place][name] for name in names} for place in (images, labels))
    if {*pictures.values()} & {*masks.values()} or not all(map(_may_be_labels, masks.values())):
        return None
    return Pair(images, labels, pictures, masks)


def _places(files: Sequence[str]) -> dict[str, dict[str, str]]:
    """Place -> image name -> file, of the places that hold most files."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    ambiguous: set[str] = set()  # a.jpg and a.png in one folder are two files of one name
    for file in files:
        for place, name in _places_of(PurePosixPath(file)):
            if name in found[place]:
                ambiguous.add(place)
            found[place][name] = file
    least = 2 if len(files) > 4 else 1
    kept = [place for place in found if len(found[place]) >= least and place not in ambiguous]
    kept.sort(key=lambda place: -len(found[place]))
    return {place: found[place] for place in kept[:PLACES]}


def _places_of(file: PurePosixPath) -> Iterator[tuple[str, str]]:
    """The places that a file fits, and its name there."""
    stem, suffix = file.stem, file.suffix.lower()
    parts = file.parent.parts
    for depth in range(len(parts) + 1):
        folder, inside = "/".join(parts[:depth]), "/".join((*parts[depth:], ""))
        yield folder or ".", inside + stem
        front = f"{folder}/" if folder else ""
        yield f"{front}{NAME}{suffix}", inside + stem
        for at in (match.start() for match in re.finditer(r"[-_. ]", stem)):
            before, after = stem[: at + 1], stem[at:]
            if at and re.search(r"[A-Za-z]", after):
                yield f"{front}{NAME}{after}{suffix}", inside + stem[:at]
            if stem[at + 1 :] and re.search(r"[A-Za-z]", before) and not inside:
                yield f"{front}{before}{NAME}{suffix}", stem[at + 1 :]


def _rating(pair: Pair, looks_labelled: _Looks) -> float:
    """How much one is labels and the other pictures; not above 0: not at all."""

    def share(files: Mapping[str, str]) -> float:
        sample = [*files.values()][:: max(1, len(files) // SAMPLE)][:SAMPLE]
        return sum(map(looks_labelled, sample)) / len(sample)

    def words(place: str) -> float:
        bare = place.replace(NAME, "")
        found = bool(LABEL_WORDS.search(bare)) - bool(PICTURE_WORDS.search(bare)) - bool(OTHER_WORDS.search(bare))
        return float(found)

    content = share(pair.label_files) - share(pair.image_files)
    return 2 * content + words(pair.labels) - words(pair.images)


def _plainness(pair: Pair) -> tuple[float, ...]:
    """Of places that say the same, the plain ones: folders of their own, deep ones, short."""
    both = (pair.images, pair.labels)

    def folder(place: str, other: str) -> int:
        """1 of a folder of its own, -1 of one that holds the other place as well, 0 of a pattern."""
        is_own = place != "." and not f"{other}/".startswith(f"{place}/")
        return 0 if NAME in place else 1 if is_own else -1

    folders = folder(*both) + folder(*both[::-1])
    depth = sum(place.count("/") for place in both)
    return folders, depth, -len("".join(both))


def _may_be_labels(file: str) -> bool:
    """JPEGs, too: that they are none is to be said about them."""
    return PurePosixPath(file).suffix.lower() in (*LABEL_SUFFIXES, ".jpg", ".jpeg")


def _looks_labelled(path: Path) -> bool:
    look = look_at_label(path, None)
    return not look.trouble and 0 < look.distinct <= FEW
