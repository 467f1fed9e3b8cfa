"""dataset.yaml: where the files of your own dataset lie, and what the values in its label files mean.

All keys are optional::

    images: images/{name}.jpg        # pattern or folder; {name} may contain folders: a/b
    labels: labels/{name}_mask.png   # pattern or folder
    ground_truth: truth/{name}.png   # pattern or folder
    pairs: train.lst                 # in place of images and labels: a line "image label" each
    ids: {7: road, 24-33: vehicle, else: void}     # values of label files -> class or void
    colours: {road: [128, 64, 128], void: [0, 0, 0]}  # label files are pictures in these colours
    orientation: upright             # or stored: whether pictures are turned as their EXIF orientation says
    window: [0, 4095]                # of grey pictures of 16 bits: the values that become black and white
    correct: train                   # or all: whether labels of val.txt may be corrected, too
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from a2lc.datasets.base import VOID
from a2lc.datasets.listing import IMAGE_SUFFIXES, LABEL_SUFFIXES, is_there
from a2lc.files import nearest, read_yaml
from a2lc.files.label_file import Colour

DATASET = "dataset.yaml"
MISSPELT = ("dataset.yml", "Dataset.yaml", "Dataset.yml", "DATASET.YAML", "DATASET.YML")
NAME = "{name}"
LARGEST = 65535  # id that a label file may hold


@dataclass(frozen=True)
class Layout:
    """What dataset.yaml says.

    Attributes:
        images, labels, ground_truth: folder, or pattern with `NAME`, each below the dataset's folder.
        pairs: a list of images with their labels, in place of `images` and `labels`; None: there is none.
        ids: (first, last, name) of values that mean a class or void, in the order of the file; None: not said.
        rest: class or void that all other values mean; None: they must not occur.
        colours: (name, (r, g, b)) of classes and void; None: not said.
        upright: whether pictures are turned as their EXIF orientation says.
        window: values of grey pictures of 16 bits that become black and white; None: 0 and 65535.
        correct: ``train``, ``all`` or, where nothing is said, None, which is ``train``.
        lines: key -> line, from 1, of the keys that are said.
    """

    images: str = "images"
    labels: str = "labels"
    ground_truth: str = "ground_truth"
    pairs: str | None = None
    ids: tuple[tuple[int, int, str], ...] | None = None
    rest: str | None = None
    colours: tuple[tuple[str, Colour], ...] | None = None
    upright: bool = True
    window: tuple[int, int] | None = None
    correct: str | None = None
    lines: tuple[tuple[str, int], ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """The keys that are written down."""
        return tuple(key for key, _ in self.lines)

    def where(self, root: Path, key: str) -> str:
        """``.../dataset.yaml, line 3: labels``, for errors about a key; ``.../labels`` of one that is not said."""
        if key in self.said:
            return f"{root / DATASET}, line {dict(self.lines)[key]}: {key}"
        return str(root / str(getattr(self, key)))


def read_layout(root: Path, classes: Sequence[str] | None = None) -> Layout:
    """Read dataset.yaml; without one, all is as usual.

    Args:
        root: the dataset's folder.
        classes: names of its classes; None: names in the file are not looked at.

    Raises:
        ValueError: the file is damaged or no file, or has nearly its name; or a key or value is wrong: says which, in
            which line, and what was expected.
    """
    path = root / DATASET
    if not is_there(path):
        if misspelt := next((root / name for name in MISSPELT if (root / name).exists()), None):
            raise ValueError(f"{misspelt}: expected the name {DATASET}; nothing is read from a file of another name")
        return Layout()
    try:
        tree = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except Exception:  # `read_yaml` says what is wrong
        tree = None
        read_yaml(path)
    if tree is None:  # nothing but comments
        return Layout()
    read_yaml(path)
    keys = _Keys(path, classes)
    found: dict[str, Any] = {}
    for key, at, value in keys.items(tree, "dataset.yaml"):
        if key not in READERS:
            raise keys.wrong(at, key, f"no such key{nearest(key, READERS)}; expected {', '.join(READERS)}")
        found |= READERS[key](keys, value)
        found["lines"] = (*found.get("lines", ()), (key, at.start_mark.line + 1))
    layout = Layout(**found)
    for key, other in (("ids", "colours"), ("pairs", "images"), ("pairs", "labels")):
        if {key, other} <= {*layout.said}:
            raise ValueError(f"{layout.where(root, other)}: expected {key} or {other}, found both: leave one out")
    return layout


def ids_line(meaning: Mapping[int, str]) -> str:
    """Value -> class or void, as it is typed: ``ids: {0: background, 255: object}``"""
    return f"ids: {{{', '.join(f'{value}: {quoted(name)}' for value, name in meaning.items())}}}"


def colours_line(colours: Mapping[str, Colour]) -> str:
    """Class or void -> colour, as it is typed: ``colours: {road: [128, 64, 128]}``"""
    return f"colours: {{{', '.join(f'{quoted(name)}: {list(colour)}' for name, colour in colours.items())}}}"


def quoted(text: str) -> str:
    """A text as YAML reads it inside brackets."""
    return text if re.fullmatch(r"\w([\w ./-]*\w)?", text) else json.dumps(text, ensure_ascii=False)


class _Keys:
    """Reading the tree of a YAML text, in which every value knows its line and its own spelling (a class may be called
    ``no``, which YAML takes for False)."""

    def __init__(self, path: Path, classes: Sequence[str] | None) -> None:
        self.path, self.classes = path, classes

    def wrong(self, at: yaml.Node, key: str, what: str) -> ValueError:
        return ValueError(f"{self.path}, line {at.start_mark.line + 1}: {key}: {what}")

    def items(self, node: yaml.Node, key: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Key, its node and value of a mapping; each key once."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, key, f"expected a mapping, found {self.text(node)}")
        seen: set[str] = set()
        for at, value in node.value:
            name = self.text(at)
            if name in seen:
                raise self.wrong(at, key, f"expected each key once, found {name} twice: leave one out")
            seen.add(name)
            yield name, at, value

    def text(self, node: yaml.Node) -> str:
        """A value as it is written."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"

    def choice(self, node: yaml.Node, key: str, options: Sequence[str]) -> str:
        if (found := self.text(node)) not in options:
            raise self.wrong(node, key, f"expected {' or '.join(options)}, found {found!r}{nearest(found, options)}")
        return found

    def name(self, node: yaml.Node, key: str) -> str:
        """A class or void."""
        name = self.text(node)
        known = None if self.classes is None else (*self.classes, VOID)
        if not isinstance(node, yaml.ScalarNode) or (known is not None and name not in known):
            raise self.wrong(node, key, f"expected a class or void, found {name!r}{nearest(name, known or ())}")
        return name

    def whole_numbers(self, node: yaml.Node, key: str, count: int, most: int) -> list[int]:
        given = node.value if isinstance(node, yaml.SequenceNode) else []
        texts = [self.text(item) for item in given]
        if len(texts) != count or not all(re.fullmatch(r"\d{1,9}", text) and int(text) <= most for text in texts):
            found = f"[{', '.join(texts)}]" if texts else self.text(node)
            raise self.wrong(node, key, f"expected [{', '.join(['0..' + str(most)] * count)}], found {found}")
        return [int(text) for text in texts]

    def all_said(self, node: yaml.Node, key: str, names: Sequence[str]) -> None:
        """Every class has a value of its own, or an answer could not be written."""
        if missing := [name for name in self.classes or () if name not in names]:
            raise self.wrong(node, key, f"expected a value for every class, found none for {missing[0]!r}")


def _place(suffixes: Sequence[str]) -> Callable[[_Keys, yaml.Node, str], str]:
    def read(keys: _Keys, node: yaml.Node, key: str) -> str:
        text = keys.text(node)
        place = PurePosixPath(text)
        if not isinstance(node, yaml.ScalarNode) or not text or place.is_absolute() or ".." in place.parts:
            raise keys.wrong(node, key, f"expected a folder or pattern below {keys.path.parent}, found {text!r}")
        if "{" in text.replace(NAME, "") or ("*" in text and NAME not in text):
            raise keys.wrong(node, key, f"expected {NAME} for the part that differs, found {text!r}")
        if NAME in text and place.suffix.lower() not in suffixes:
            known = ", ".join(suffixes)
            raise keys.wrong(node, key, f"expected a pattern that ends in {known}, found {text!r}")
        return str(place)

    return read


def _pairs(keys: _Keys, node: yaml.Node) -> dict[str, Any]:
    return {"pairs": _place(())(keys, node, "pairs")}


def _ids(keys: _Keys, node: yaml.Node) -> dict[str, Any]:
    ids: list[tuple[int, int, str]] = []
    rest = None
    for value, at, meant in keys.items(node, "ids"):
        name = keys.name(meant, f"ids: {value}")
        if value == "else":
            rest = name
            continue
        limits = re.fullmatch(r"(\d{1,9})(?: *- *(\d{1,9}))?", value)
        first, last = (int(limits[1]), int(limits[2] or limits[1])) if limits else (LARGEST + 1, 0)
        if not first <= last <= LARGEST:
            what = f"expected values in 0..{LARGEST}, ranges such as 24-33, or else, found {value!r}"
            raise keys.wrong(at, "ids", what)
        if twice := [other for other in ids if first <= other[1] and other[0] <= last]:
            raise keys.wrong(at, "ids", f"expected each value once, found {max(first, twice[0][0])} twice")
        ids.append((first, last, name))
    keys.all_said(node, "ids", [name for *_, name in ids])
    return {"ids": tuple(ids), "rest": rest}


def _colours(keys: _Keys, node: yaml.Node) -> dict[str, Any]:
    colours: dict[str, Colour] = {}
    for name, at, value in keys.items(node, "colours"):
        keys.name(at, "colours")
        red, green, blue = keys.whole_numbers(value, f"colours: {name}", 3, 255)
        if (red, green, blue) in colours.values():
            raise keys.wrong(value, f"colours: {name}", f"expected each colour once, found {(red, green, blue)} twice")
        colours[name] = red, green, blue
    keys.all_said(node, "colours", [*colours])
    return {"colours": tuple(colours.items())}


def _window(keys: _Keys, node: yaml.Node) -> dict[str, Any]:
    black, white = keys.whole_numbers(node, "window", 2, 65535)
    if black >= white:
        raise keys.wrong(node, "window", f"expected the value of black below that of white, found [{black}, {white}]")
    return {"window": (black, white)}


def _orientation(keys: _Keys, node: yaml.Node) -> dict[str, Any]:
    return {"upright": keys.choice(node, "orientation", ("upright", "stored")) == "upright"}


READERS: dict[str, Callable[[_Keys, yaml.Node], dict[str, Any]]] = {
    "images": lambda keys, node: {"images": _place(IMAGE_SUFFIXES)(keys, node, "images")},
    "labels": lambda keys, node: {"labels": _place(LABEL_SUFFIXES)(keys, node, "labels")},
    "ground_truth": lambda keys, node: {"ground_truth": _place(LABEL_SUFFIXES)(keys, node, "ground_truth")},
    "pairs": _pairs,
    "ids": _ids,
    "colours": _colours,
    "orientation": _orientation,
    "window": _window,
    "correct": lambda keys, node: {"correct": keys.choice(node, "correct", ("train", "all"))},
}
"""Key -> what it says, as fields of `Layout`."""
