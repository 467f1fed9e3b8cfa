"""`a2lc.inspect`: what a dataset of your own holds, what is wrong with it, and what to type."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.datasets.base import VOID
from a2lc.datasets.listing import check_root
from a2lc.human.inspection.found import Found, look_into
from a2lc.human.inspection.left_out import left_out
from a2lc.human.inspection.looks import LabelLook
from a2lc.human.inspection.of_files import of_files
from a2lc.human.inspection.of_values import of_values
from a2lc.human.inspection.suspicion import Suspicion, plural, shown

SHOWN = 20  # values without a class that are listed
IMAGE_COLUMNS = [
    *("image", "file", "height", "width", "kind", "orientation"),
    *("label", "label_kind", "label_height", "label_width", "values", "void"),
]


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found. As text it is the whole report.

    Attributes:
        root: the dataset's folder.
        images: a row per picture: image (its name), file, height, width (as stored), kind, orientation (EXIF), label
            (its file, or empty), label_kind, label_height, label_width, values (number of different ones), void (share
            of its pixels in [0, 1]; nan without label or class list).
        classes: a row per class in the list's order, then void, then values that mean nothing, the most frequent first:
            class (its name; empty: it means nothing), values (in label files), pixels (share of all, in [0, 1]), images
            (number of label files it occurs in).
        left_out: files that are not read and why, a sentence each.
        suspicions: what is wrong, then what may be.
        found: all that is known.
    """

    root: Path
    images: pd.DataFrame
    classes: pd.DataFrame
    left_out: tuple[str, ...]
    suspicions: tuple[Suspicion, ...]
    found: Found = field(repr=False, compare=False)

    @property
    def errors(self) -> tuple[Suspicion, ...]:
        """The suspicions that are certain."""
        return tuple(suspicion for suspicion in self.suspicions if suspicion.certain)

    @property
    def short(self) -> str:
        """Three to five lines: counts, classes, the first of the suspicions."""
        lines = [*self.counts[:2], *([self._classes_in_a_line()] if self.found.labelled else [])]
        if self.suspicions:
            lines += [self.suspicions[0].headline, f"{self.verdict}: a2lc inspect {shlex.quote(str(self.root))}"]
        return "\n".join(lines)

    def __str__(self) -> str:
        parts = ["\n".join(self.counts)]
        if self.found.labelled:
            parts += [classes_as_text(self.classes)]
        parts += ["\n".join(self.left_out)] if self.left_out else []
        parts += [str(suspicion) for suspicion in self.suspicions]
        return "\n\n".join([*parts, self.verdict])

    @property
    def verdict(self) -> str:
        """How many errors there are, and things to look at."""
        doubts = len(self.suspicions) - len(self.errors)
        if not self.suspicions:
            look = (
                f"; which labels look wrong says: a2lc find {shlex.quote(str(self.root))}"
                if self.found.labelled
                else ""
            )
            return f"nothing suspicious in files and classes{look}"
        return " and ".join(
            text
            for count, text in (
                (len(self.errors), plural(len(self.errors), "error")),
                (doubts, f"{plural(doubts, 'thing')} to look at"),
            )
            if count
        )

    @property
    def counts(self) -> list[str]:
        """How many pictures and labels there are, and of which sizes and kinds: a line each."""
        found = self.found
        labelled = sum(row.name in found.files.labels for row in found.rows)
        lists = [f"{split}.txt {len(names):,}" for split, names in found.lists.items()]
        truth = [f"{len(found.files.ground_truth):,} with ground truth"] if found.files.ground_truth else []
        first = [plural(len(found.rows), "picture"), f"{labelled:,} with labels", *truth, *lists]
        lines = [f"{self.root}: {', '.join(first)}"]
        if len(self.images):
            sizes = Counter(row.picture.size[::-1] for row in found.rows if not row.picture.trouble)
            lines += [f"pictures: {_most(self.images['kind'])}{f'; {_sizes(sizes)}' if sizes else ''}"]
        if any(row.label_file for row in found.rows):
            lines += [f"labels: {_most(self.images['label_kind'][self.images['label'] != ''])}"]
        return lines

    def _classes_in_a_line(self) -> str:
        table = self.classes[self.classes["pixels"] > 0].sort_values("pixels", ascending=False, kind="stable")
        names = table["class"].where(table["class"] != "", "value " + table["values"])
        told = [f"{name} {percent(share)}" for name, share in zip(names, table["pixels"], strict=True)]
        return f"pixels: {', '.join(told[:8])}{f' and {len(told) - 8} more' if len(told) > 8 else ''}"


def inspect(root: str | os.PathLike[str], *, thorough: bool = True, progress: bool = True) -> Inspection:
    """Look at a dataset before anything runs: every file is read once, nothing is written.

    Args:
        root: a folder, best as `a2lc.datasets.folder` describes it; where it is otherwise, pictures and label files are
            searched for.
        thorough: whether to read the pixels of pictures, too: without, damaged ones, duplicates and values of 16 bits
            are not noticed.
        progress: whether to show a bar.

    Raises:
        FileNotFoundError: there is no such folder. All else that is wrong is among the suspicions.
    """
    folder = check_root(root, "folder", "pictures and their label files")
    found = look_into(folder, thorough, progress)
    suspicions = sorted((*of_files(found), *of_values(found)), key=lambda suspicion: not suspicion.certain)
    return Inspection(folder, _images(found), _classes(found), left_out(found), tuple(suspicions), found)


def percent(share: float) -> str:
    """``12 %``, ``0.3 %``, ``< 0.1 %`` or ``0 %``"""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.{1 if 0 < share < 0.1 else 0}f} %"


def classes_as_text(table: pd.DataFrame) -> str:
    """`Inspection.classes` for people."""
    rows = pd.DataFrame(
        {
            "class": table["class"].where(table["class"] != "", "?"),
            "values": table["values"],
            "pixels": table["pixels"].map(percent),
            "images": table["images"],
        }
    )
    return rows.to_string(index=False)


def _images(found: Found) -> pd.DataFrame:
    void = None if found.told.classes is None else found.told.classes.ignore_index
    rows = []
    for row in found.rows:
        look = row.label or LabelLook()
        pixels = look.size[0] * look.size[1]
        without = [count for value, count in look.values.items() if found.meaning(look, value) == void]
        rows.append(
            {
                "image": row.name,
                "file": row.file.relative_to(found.root).as_posix(),
                "height": row.picture.size[0],
                "width": row.picture.size[1],
                "kind": row.picture.kind or "not readable",
                "orientation": row.picture.orientation,
                "label": "" if row.label_file is None else row.label_file.relative_to(found.root).as_posix(),
                "label_kind": look.kind if row.label_file is None or not look.trouble else look.kind or "not readable",
                "label_height": look.size[0],
                "label_width": look.size[1],
                "values": look.distinct,
                "void": sum(without) / pixels if void is not None and look.values else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=IMAGE_COLUMNS)


def _classes(found: Found) -> pd.DataFrame:
    classes = found.told.classes
    total = sum(sum(look.values.values()) for _, look in found.labelled)
    names = {} if classes is None else dict(enumerate(classes.names)) | {classes.ignore_index: VOID}
    values: dict[int, list[str]] = {k: [] for k in names}
    pixels: Counter[int] = Counter()
    unknown = []
    for (is_colour, value), (count, number) in found.pixels().items():
        label = found.meaning(LabelLook(is_colour=is_colour), value)
        if label is None:
            unknown.append(("", shown(value, is_colour), count / total, number))
        else:
            values[label].append(shown(value, is_colour))
            pixels[label] += count
    images: Counter[int | None] = Counter()
    for _, look in found.labelled:
        images.update({found.meaning(look, value) for value in look.values})
    rows = [(name, ", ".join(values[k]), pixels[k] / max(total, 1), images[k]) for k, name in names.items()]
    return pd.DataFrame([*rows, *unknown[:SHOWN]], columns=["class", "values", "pixels", "images"])


def _most(kinds: pd.Series) -> str:
    counts = kinds.value_counts()
    told = [f"{count:,} {kind}" for kind, count in counts.items()]
    return ", ".join(told[:4]) + (f" and {len(told) - 4} more kinds" if len(told) > 4 else "")


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    (width, height), _ = sizes.most_common(1)[0]
    if len(sizes) == 1:
        return f"all {width} x {height} (width x height)"
    (low, below), (high, above) = ((end(w for w, _ in sizes), end(h for _, h in sizes)) for end in (min, max))
    return f"{width} x {height} the most frequent of {len(sizes)} sizes, {low} x {below} to {high} x {above}"
