"""What the values in label files mean, and which value is written for a class: ids or colours.

Values are ids unless dataset.yaml has ``colours``; then they are the colours of pictures, palettes and greys. Where it
says neither, pictures of red, green and blue are read by the colours of the class list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from a2lc.datasets.base import FORBIDDEN, VOID, Classes
from a2lc.datasets.layout import DATASET, LARGEST, Layout
from a2lc.files import LabelFile, colour_of
from a2lc.files.label_file import Colour, number_of


@dataclass(frozen=True)
class WrittenValues:
    """What stands in label files for classes and void; a name without value cannot be written.

    Attributes:
        ids: name -> id.
        colours: name -> (r, g, b), of files that are read by colour.
        by_colour: whether palettes and greys are read by colour as well.
    """

    ids: Mapping[str, int]
    colours: Mapping[str, Colour] = field(default_factory=dict)
    by_colour: bool = False

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Fields for a JSON file: classes, void (its id, or null), values where ids are not those of the classes, and
        where there are any colours, with by_colour."""
        found: dict[str, Any] = {"classes": list(classes), "void": self.ids.get(VOID)}
        if self.colours:
            found |= {"colours": {name: list(colour) for name, colour in self.colours.items()}}
            found |= {"by_colour": self.by_colour}
        values = [self.ids.get(name) for name in classes]
        if not self.by_colour and (VOID not in self.ids or values != [*range(len(classes))]):
            found["values"] = values
        return found

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> WrittenValues:
        """What `to_json` made.

        Raises:
            TypeError, ValueError: it is none.
        """
        classes = [*map(str, about["classes"]), VOID]
        values = [*about.get("values", range(len(classes) - 1)), about["void"]]
        ids = {name: int(value) for name, value in zip(classes, values, strict=True) if value is not None}
        colours = {str(name): _colour(found) for name, found in dict(about.get("colours", {})).items()}
        if not all(0 <= value <= LARGEST for value in ids.values()):
            raise ValueError(f"expected values in 0..{LARGEST}, found {values}")
        return cls(ids, colours, about.get("by_colour") is True)

    def reads_colours(self, file: LabelFile) -> bool:
        """Whether the values of this file are colours."""
        return self.by_colour or (file.is_coloured and bool(self.colours))

    def with_names(self, file: LabelFile, places: Mapping[str, np.ndarray]) -> bytes:
        """The file with other classes in some places.

        Args:
            file: a label file.
            places: class or void -> (H, W) bool, the pixels that get it.

        Raises:
            ValueError: a name has no value, or one that does not fit into the file.
        """
        by_colour = self.reads_colours(file)
        values = (file.colours() if by_colour else file.ids()).copy()
        for name, inside in places.items():
            if (value := self._value(name, by_colour)) is None:
                key, entry = ("colours", f"{name}: [r, g, b]") if by_colour else ("ids", f"VALUE: {name}")
                what = f"{key}: expected a value for {name}, the answer to some masks, found none"
                raise ValueError(f"{file.name}: {what}; name one in {DATASET}, {key}: {{..., {entry}}}")
            values[inside] = value
        return file.with_colours(values) if by_colour else file.with_ids(values)

    def _value(self, name: str, by_colour: bool) -> int | None:
        if not by_colour:
            return self.ids.get(name)
        return number_of(self.colours[name]) if name in self.colours else None


@dataclass(frozen=True)
class LabelValues:
    """The values in the label files of a dataset.

    Attributes:
        classes: the class list.
        ids: (first, last, label): what values in a range mean, in the order in which they are written down.
        rest: label of all other ids; None: they must not occur.
        colours: label -> its colour.
        by_colour: see `WrittenValues`.
        told: whether somebody has said what the values mean.
    """

    classes: Classes
    ids: tuple[tuple[int, int, int], ...]
    rest: int | None
    colours: Mapping[int, Colour]
    by_colour: bool
    told: bool

    @classmethod
    def of(cls, layout: Layout, classes: Classes, listed: Mapping[int, Colour]) -> LabelValues:
        """Those of a dataset with this dataset.yaml, class list, and colours in the class list.

        Raises:
            ValueError: a class that only ``else`` means: which value is to be written for it?
        """
        void = classes.ignore_index
        label = {name: k for k, name in enumerate(classes.names)} | {VOID: void}
        if layout.colours is not None:
            given = {label[name]: colour for name, colour in layout.colours}
            return cls(classes, (), None, given, by_colour=True, told=True)
        if layout.ids is not None:
            ids = tuple((first, last, label[name]) for first, last, name in layout.ids)
            taken = any(first <= void <= last for first, last, _ in ids)
            if not taken and layout.rest in (None, VOID):
                ids = (*ids, (void, void, void))
            return cls(classes, ids, None if layout.rest is None else label[layout.rest], listed, False, told=True)
        ids = tuple((k, k, k) for k in (*range(len(classes)), void))
        return cls(classes, ids, None, listed, by_colour=False, told=False)

    @property
    def written(self) -> WrittenValues:
        """What is written for each class, and void: of several values the first."""
        names = dict(enumerate(self.classes.names)) | {self.classes.ignore_index: VOID}
        ids = {names[label]: first for first, _, label in reversed(self.ids)}
        colours = {names[label]: colour for label, colour in self.colours.items()}
        return WrittenValues(ids, colours if self._uses_colours else {}, self.by_colour)

    @property
    def _uses_colours(self) -> bool:
        """Colours of the class list are of no use where ids are said, or two classes share one."""
        return self.by_colour or (not self.told and len({*self.colours.values()}) == len(self.colours))

    def labels(self, file: LabelFile) -> np.ndarray:
        """(H, W) uint8 class ids or ignore index of a label file.

        Raises:
            ValueError: a value that means nothing, or a palette that contradicts the colours of the class list; the
                message names the file, the value, its place and what is allowed.
        """
        if self.written.reads_colours(file):
            return self._of_colours(file)
        try:
            ids = file.ids()
        except ValueError as error:
            told = "; of pictures in colours say which is which class, colours: {road: [128, 64, 128], ...}"
            raise ValueError(f"{error}{told} in {DATASET}") from error
        ranges = sorted(self.ids)
        firsts, lasts, labels = (np.array([part[i] for part in ranges]) for i in range(3))
        at = np.maximum(np.searchsorted(firsts, ids, side="right") - 1, 0)
        known = (ids >= firsts[at]) & (ids <= lasts[at])
        if self.rest is None and not known.all():
            value, place = _first(ids, ~known)
            wrong = f"expected label ids in {self._allowed()}, found {value} at {place}"
            said = f"say in {DATASET} which class it is, ids: {{..., {value}: NAME}}, or void"
            if not 0 <= value <= LARGEST:
                said = f"ids of label files are 0..{LARGEST}: save them with others"
            raise ValueError(f"{file.name}: {wrong}; {said}")
        found = np.where(known, labels[at], FORBIDDEN if self.rest is None else self.rest).astype(np.uint8)
        if self.colours and (palette := file.palette) is not None:
            self._check_palette(file, ids, found, palette)
        return found

    def _of_colours(self, file: LabelFile) -> np.ndarray:
        values = file.colours()
        table = sorted((number_of(colour), k) for k, colour in self.colours.items())
        known, labels = (np.array(column) for column in zip(*table, strict=True))
        at = np.minimum(np.searchsorted(known, values), len(known) - 1)
        if (wrong := known[at] != values).any():
            value, place = _first(values, wrong)
            colour = np.array(colour_of(value))
            near = min(self.colours, key=lambda k: int(((colour - self.colours[k]) ** 2).sum()))
            nearest = f"the nearest is {self.colours[near]}, {self._name(near)!r}"
            what = f"found {colour_of(value)} at {place}, which belongs to no class; {nearest}"
            remedy = f"list it in {DATASET}, colours: {{{self._name(near)}: {list(self.colours[near])}, ...}}"
            raise ValueError(f"{file.name}: {what}; {remedy}")
        return labels[at].astype(np.uint8)

    def _check_palette(self, file: LabelFile, ids: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> None:
        """Where a file draws an id in the colour that belongs to another class, one of the two is wrong."""
        class_of = {colour: k for k, colour in self.colours.items()}
        present, first = np.unique(ids, return_index=True)
        for file_id, k in zip(present.tolist(), labels.ravel()[first].tolist(), strict=True):
            drawn = tuple(palette[file_id].tolist()) if file_id < len(palette) else ()
            if k in self.colours and drawn != self.colours[k] and drawn in class_of:
                name, other = self._name(k), self._name(class_of[drawn])
                raise ValueError(
                    f"{file.name}: id {file_id}, {name!r}, is drawn in {drawn}, which the class list gives to "
                    f"{other!r}; put the classes in the order of the ids, or leave their colours out"
                )

    def _name(self, label: int) -> str:
        return VOID if label == self.classes.ignore_index else self.classes.names[label]

    def _allowed(self) -> str:
        runs: list[list[int]] = []
        for first, last, _ in sorted(self.ids):
            if runs and runs[-1][1] == first - 1:
                runs[-1][1] = last
            else:
                runs.append([first, last])
        ranges = ", ".join(f"{first}..{last}" if last > first else f"{first}" for first, last in runs)
        void = "" if self.told else f", void {self.classes.ignore_index}"
        return f"{ranges} ({len(self.classes)} classes{void})"


def _colour(found: Sequence[int]) -> Colour:
    red, green, blue = map(int, found)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"expected colours of three numbers in 0..255, found {found}")
    return red, green, blue


def _first(values: np.ndarray, wrong: np.ndarray) -> tuple[int, str]:
    """The first value of these, and its place."""
    row, column = np.argwhere(wrong)[0].tolist()
    return int(values[row, column]), f"column {column}, row {row}"
