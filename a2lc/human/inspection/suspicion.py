"""One thing that is wrong with a dataset, or may be, and what to type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from a2lc.datasets.layout import DATASET
from a2lc.files import colour_of


@dataclass(frozen=True)
class Suspicion:
    """What was found, and what to do about it.

    Attributes:
        what: a sentence.
        advice: what to do or to type; empty where `lines` say it.
        certain: whether it is wrong in any case, so that corrections cannot begin; else somebody has to decide.
        lines: for dataset.yaml.
        decided: whether these lines are right as they stand; else they are one of several answers.
    """

    what: str
    advice: str = ""
    certain: bool = False
    lines: tuple[str, ...] = ()
    decided: bool = True

    @property
    def headline(self) -> str:
        """What was found, and whether it is certain."""
        return f"{'ERROR' if self.certain else 'LOOK AT'}: {self.what}"

    def __str__(self) -> str:
        told = [self.headline]
        told += [f"  {self.advice}"] if self.advice else []
        told += [f"  {DATASET}: {line}" for line in self.lines]
        return "\n".join(told)


def plural(count: int, what: str) -> str:
    """``1 image``, ``2 images``"""
    many = f"{what}es" if what.endswith("ss") else f"{what}s"
    return f"{count:,} {what if count == 1 else many}"


def write_command(root: Path) -> str:
    """What writes the files that are proposed."""
    return f"a2lc inspect {shlex.quote(str(root))} --write"


def shown(value: int, is_colour: bool) -> str:
    """A value of a label file, for people: an id, or red, green and blue."""
    return " ".join(map(str, colour_of(value))) if is_colour else str(value)


def some_values(values: Iterable[tuple[bool, int]], most: int = 8) -> str:
    """``0, 1, 2 and 3 more``; colours in brackets."""
    texts = [f"({shown(value, True)})" if is_colour else str(value) for is_colour, value in values]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
