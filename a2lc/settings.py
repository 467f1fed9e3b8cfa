"""What all settings have in common: frozen, typed, refused when wrong; and what a field says of paper and code.

`Deviation` tells where the released code departs from the paper, or both leave a choice open; `WITHOUT_SWITCH` lists
the departures that need no field. `a2lc.paper.switches` makes the table of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from a2lc.files import nearest

Folder = Annotated[Path, PlainSerializer(Path.as_posix, return_type=str, when_used="json")]
"""A folder or file, kept with slashes on every system."""


class WrongSettings(ValueError):
    """Fields are wrong; `lines` say which, one each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class Settings(BaseModel):
    """The base of every configuration: its fields cannot be changed, and a wrong one raises a `ValueError` that names
    it, with the nearest name or what was expected. Fields that are numbers are ``strict``: a text or a truth value is
    none, a whole number is fine for a float."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problems = error.errors()
            parents = {problem["loc"][:-1] for problem in problems}  # a list is "too short" without its wrong items
            told = [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in parents]
            lines = [line for problem in told for line in _explained(problem, list(type(self).model_fields))]
            raise WrongSettings(list(dict.fromkeys(lines))) from None


def _explained(problem: Any, known: list[str]) -> list[str]:
    """What is wrong with a field, or with fields inside it."""
    where = ".".join(map(str, problem["loc"]))
    if isinstance(inside := problem.get("ctx", {}).get("error"), WrongSettings):  # of settings inside these settings
        return [f"{where}.{line}" for line in inside.lines]
    if problem["type"] == "extra_forbidden":
        return [f"{where}: no such field{nearest(where, known)} (known: {', '.join(known)})"]
    message = re.sub("^Input should be", "expected", problem["msg"].removeprefix("Value error, "))
    if problem["type"] == "path_type":
        message = "expected a path"
    found = "" if "found" in message else f", found {problem['input']!r}"
    if problem["type"] == "float_type" and re.fullmatch(r"\d+e[+-]?\d+", str(problem["input"])):
        found += "; YAML reads 1e-4 as text, 1.0e-4 as a number"
    return [f"{where}: {message}{found}" if where else message]


@dataclass(frozen=True)
class Deviation:
    """One departure. As metadata of a configuration field, ``Annotated[type, Deviation(...)]``, it makes that field
    its switch.

    Attributes:
        id: ``D1`` to ``D22``, or what the choice belongs to (``ALC``, ``Table 4``).
        paper: what the paper says; ``–`` where it says nothing.
        code: what the released code does.
        profile: the value in the ``paper`` profile where that is not the default, as Markdown.
        no_switch: why no field switches it; for `WITHOUT_SWITCH` only.
    """

    id: str
    paper: str
    code: str
    profile: str | None = None
    no_switch: str = ""


WITHOUT_SWITCH: tuple[Deviation, ...] = (
    Deviation(
        "D7",
        "rank(c) by sample count; of which samples is left open",
        "this round's answers; classes never answered come last",
        no_switch="the code only fills a gap (`correction.tail_ratio` is α)",
    ),
    Deviation(
        "D9",
        "–",
        "an image without detections is one void mask, and void counts as a class",
        no_switch="an artefact; `a2lc pseudo-label` leaves such an image without masks, and void never counts",
    ),
    Deviation(
        "D10",
        "–",
        "mask ids are stored in 8 bits and wrap",
        no_switch="a fault of storage; ids have 32 bits here, and 16 in the PNGs of `a2lc pseudo-label`",
    ),
    Deviation(
        "D11",
        "traffic light is a class",
        "its word always becomes traffic sign",
        no_switch="a run reads its pseudo-labels; `a2lc pseudo-label --rule argmax` makes them as the code does, "
        "`--rule spans` (default) tells the two apart",
    ),
    Deviation(
        "D12",
        "–",
        "class of the strongest word; the text threshold is unused",
        no_switch="as D11: `--rule argmax`, or `spans`, the mean over a name's words; none has a text threshold, and "
        "`--box-threshold` and `--input-size` are the code's by default",
    ),
    Deviation(
        "D13",
        "the annotator gives the true label",
        "kept if more than half is right, else the most frequent ground truth, void included",
        no_switch="both rules give one answer where a mask has one label",
    ),
    Deviation(
        "D15",
        "λ normalised over all classes",
        "0 for classes without an answer",
        no_switch="those classes never occur in the loss, and the scale cancels",
    ),
    Deviation(
        "D16",
        "the LCM learns the annotator's label",
        "the mask's most frequent label after the answers; void is dropped",
        no_switch="the same where a mask has one label",
    ),
    Deviation("D18", "–", "LCM and order of ties are unseeded", no_switch="nobody could repeat it; all is seeded here"),
    Deviation(
        "D19", "weights over all pixels of m (Eq. 12)", "pixels with cosine ≥ 0", no_switch="those are all pixels"
    ),
    Deviation("D20", "the top B masks", "stops at exactly B", no_switch="the same"),
    Deviation(
        "D21",
        "–",
        "PASCAL VOC: the crop back is one pixel off for some sizes",
        no_switch="a slip; offsets are exact here",
    ),
)
"""Departures that nothing switches, by id."""
