"""A dataset's folder as it was found: what is told about it, its files, and a look at each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tqdm.auto import tqdm

from a2lc.datasets.base import Classes
from a2lc.datasets.class_list import read_classes
from a2lc.datasets.label_values import LabelValues
from a2lc.datasets.layout import Layout, read_layout
from a2lc.datasets.listing import files_below, read_names
from a2lc.datasets.own_files import OwnFiles, own_files
from a2lc.files.label_file import Colour, number_of
from a2lc.human.inspection.looks import LabelLook, PictureLook, look_at_label, look_at_picture
from a2lc.human.inspection.places import Pair, guess_places

PLACES = ("images", "labels", "pairs")  # keys of dataset.yaml that say where files lie
PAIRS = "pairs.txt"
THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Told:
    """What is written down about a dataset.

    Attributes:
        classes: the class list; None: there is none that can be read.
        listed: class id -> colour that the list gives it.
        layout: dataset.yaml, or the usual.
        values: what values in label files mean; None: without classes nobody knows.
        errors: what is wrong with it, a sentence each, which names the file.
    """

    classes: Classes | None
    listed: Mapping[int, Colour]
    layout: Layout
    values: LabelValues | None
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """An image: its file and its label's, and a look at both."""

    name: str
    file: Path
    picture: PictureLook
    label_file: Path | None
    label: LabelLook | None


@dataclass(frozen=True)
class Found:
    """All that is known.

    Attributes:
        root: the dataset's folder.
        told: what is written down.
        files: images and labels by name.
        guessed: places of files that nobody has written down, where the usual ones hold nothing that fits.
        rows: the images.
        lists: ``train`` and ``val`` -> image names, of the lists that exist.
        all_files: every file below the folder, as ``a/b.png``.
    """

    root: Path
    told: Told
    files: OwnFiles
    guessed: tuple[Pair, ...]
    rows: tuple[Row, ...]
    lists: Mapping[str, tuple[str, ...]]
    all_files: tuple[str, ...]

    @property
    def labelled(self) -> list[tuple[Row, LabelLook]]:
        """Images that have a label which can be read."""
        return [(row, row.label) for row in self.rows if row.label is not None and not row.label.trouble]

    def meaning(self, look: LabelLook, value: int) -> int | None:
        """Class id or ignore index of a value in a label file; None: it means nothing."""
        values = self.told.values
        if values is None:
            return None
        if look.is_colour:
            return self._of_colour.get(value)
        return next((label for first, last, label in values.ids if first <= value <= last), values.rest)

    @cached_property
    def _of_colour(self) -> Mapping[int, int]:
        values = self.told.values
        return {} if values is None else {number_of(colour): k for k, colour in values.colours.items()}

    def pixels(self) -> dict[tuple[bool, int], tuple[int, int]]:
        """(whether it is a colour, value) -> pixels and images, of all label files, the most frequent first."""
        pixels: Counter[tuple[bool, int]] = Counter()
        images: Counter[tuple[bool, int]] = Counter()
        for _, look in self.labelled:
            for value, count in look.values.items():
                pixels[look.is_colour, value] += count
                images[look.is_colour, value] += 1
        return {value: (count, images[value]) for value, count in pixels.most_common()}


def look_into(root: Path, thorough: bool, progress: bool) -> Found:
    """Read what is told, find the files, and look at each once, several at a time.

    Args:
        root: a folder.
        thorough: see `look_at_picture`.
        progress: whether to show a bar.
    """
    told = _told(root)
    errors = list(told.errors)
    try:
        everything = tuple(files_below(root))
    except (ValueError, OSError) as error:
        errors.append(str(error))
        everything = ()
    layout, files, guessed = _files(root, told.layout, everything, errors)
    lists = {}
    for split in ("train", "val"):
        if (root / f"{split}.txt").is_file():
            try:
                lists[split] = read_names(root / f"{split}.txt")
            except (ValueError, OSError) as error:
                errors.append(str(error))
    told = replace(told, layout=layout, errors=tuple(dict.fromkeys(errors)))
    labels = files.labels or files.ground_truth

    def look(name: str) -> Row:
        file, label_file = files.images[name], labels.get(name)
        label = None if label_file is None else look_at_label(label_file, told.values)
        return Row(name, file, look_at_picture(file, thorough), label_file, label)

    with ThreadPoolExecutor(THREADS) as pool:
        seen = tqdm(pool.map(look, files.images), "looking", len(files.images), disable=not progress, leave=False)
        rows = tuple(seen)
    return Found(root, told, files, guessed, rows, lists, everything)


def _told(root: Path) -> Told:
    errors: list[str] = []
    classes: Classes | None = None
    listed: dict[int, Colour] = {}
    try:
        classes, listed = read_classes(root)
    except FileNotFoundError:
        pass  # said by a suspicion
    except (ValueError, OSError) as error:
        errors.append(str(error))
    layout, values = Layout(), None
    try:
        layout = read_layout(root, None if classes is None else classes.names)
        values = None if classes is None else LabelValues.of(layout, classes, listed)
    except (ValueError, OSError) as error:
        errors.append(str(error))
    return Told(classes, listed, layout, values, tuple(errors))


def _files(
    root: Path, layout: Layout, everything: tuple[str, ...], errors: list[str]
) -> tuple[Layout, OwnFiles, tuple[Pair, ...]]:
    """The files where dataset.yaml says, or as usual; where nothing lies there that fits, where they seem to be."""
    usual, said = OwnFiles({}, {}, {}, (), ()), set(PLACES) & {*layout.said}
    try:
        usual = own_files(root, layout)
    except (ValueError, OSError) as error:
        errors.append(str(error))
    fitting = len(usual.images.keys() & usual.labels.keys())
    strays = usual.labels.keys() - usual.images.keys()
    if said or (usual.images and usual.labels and not strays) or (usual.images and usual.ground_truth):
        return layout, usual, ()
    used = {path.relative_to(root).as_posix() for path in usual.ground_truth.values()}
    pairs = guess_places(root, [file for file in everything if file not in used])
    if sum(len(pair.image_files) for pair in pairs) <= fitting:
        return layout, usual, ()
    if len(pairs) == 1:
        guess = replace(layout, images=pairs[0].images, labels=pairs[0].labels)
        try:
            return guess, own_files(root, guess), tuple(pairs)
        except (ValueError, OSError):
            pass  # two files of one name: the pairs say which
    images = {_stem(file): root / file for pair in pairs for file in pair.image_files.values()}
    labels = {_stem(pair.image_files[name]): root / file for pair in pairs for name, file in pair.label_files.items()}
    return replace(layout, pairs=PAIRS), OwnFiles(images, labels, {}, usual.lists, ()), tuple(pairs)


def _stem(file: str) -> str:
    """An image's name in a list of pairs."""
    return str(Path(file).with_suffix("").as_posix())
