"""What a profile's notebooks found, in one page: the headline numbers beside the paper's, minutes, and the figures."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from a2lc.files import locked, read_json, write_json, write_text
from a2lc.paper.tables import markdown_table

REFERRING = ("table6", "table7", "figure7", "figure8", "figure9")
"""Items on referring expressions: a plan of their own, played only when named."""
MINUTES = "minutes.json"
HEADLINE = "_headline.json"


def save_headline(
    item: str, folder: str | os.PathLike[str], caption: str, numbers: Mapping[str, tuple[float, float | None]]
) -> None:
    """Write ``<item>_headline.json``: the numbers that a reader of the paper looks for, for the summary of a profile.

    Args:
        item: ``table1`` ... ``figure6``.
        folder: where the item's tables and figures are.
        caption: what the numbers were computed from.
        numbers: what is measured, with its unit -> ours and the paper's; None or NaN where the paper prints none.
    """
    rows = []
    for what, (ours, paper) in numbers.items():
        printed = None if paper is None or isnan(paper) else float(paper)
        found = None if isnan(ours) else float(ours)
        difference = None if found is None or printed is None else found - printed
        rows.append({"what": what, "ours": found, "paper": printed, "difference": difference})
    write_json(Path(folder) / f"{item}{HEADLINE}", {"caption": caption, "rows": rows})


def write_minutes(folder: Path, minutes: Mapping[str, float]) -> None:
    """Add the minutes of items to ``minutes.json``; those of other items stay, also where several processes do so."""
    file = folder / MINUTES
    with locked(file, quiet=True):
        known = read_json(file) if file.is_file() else {}
        write_json(file, known | {item: round(spent, 2) for item, spent in minutes.items()})


def write_summary(folder: Path, profile: str, failures: Mapping[str, str], device: str) -> Path:
    """Write ``README.md`` of a folder of results: a row per headline number, then the figures.

    Args:
        folder: the ``figures_dir`` of a profile.
        profile: its name.
        failures: item -> what went wrong this time; its numbers of an earlier time stay, marked as such.
        device: where the models were trained.
    """
    found = {path.name.removesuffix(HEADLINE): read_json(path) for path in folder.glob(f"*{HEADLINE}")}
    minutes = read_json(folder / MINUTES) if (folder / MINUTES).is_file() else {}
    items = sorted({*found, *minutes, *failures}, key=lambda item: (item.startswith("figure"), item))
    parts = [
        f"# Profile {profile}",
        "Written by `a2lc regenerate`: ours beside the paper's. *minutes*: of the notebook's last execution, here on "
        f"{os.cpu_count()} cores ({platform.machine()}, {device}); finished runs are reused. *runs*: minutes in which "
        "all its runs were computed, shared ones counted in every item.",
        markdown_table(pd.DataFrame(_rows(items, found, minutes, failures, folder))),
    ]
    parts += [
        f"**{item} failed**: {error}. Its numbers, if any, are of an earlier time." for item, error in failures.items()
    ]
    captions = dict.fromkeys(about["caption"] for about in found.values())  # each once
    parts += [f"*{', '.join(_sharing(caption, found))}*: {caption}" for caption in captions]
    for item in items:
        figures = [*folder.glob(f"{item}.png"), *sorted(folder.glob(f"{item}_*.png"))]
        parts += [f"![{path.stem}]({path.name})" for path in figures]
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")
    return folder / "README.md"


def _rows(
    items: Iterable[str], found: dict[str, Any], minutes: dict[str, float], failures: Mapping[str, str], folder: Path
) -> list[dict[str, object]]:
    rows = []
    for item in items:
        proof = folder / f"{item}_provenance.json"
        runs = f"{read_json(proof)['minutes']:.0f}" if proof.is_file() else ""
        spent = "failed" if item in failures else f"{minutes[item]:.1f}" if item in minutes else ""
        numbers = (
            found[item]["rows"] if item in found else [{"what": "", "ours": None, "paper": None, "difference": None}]
        )
        for i, number in enumerate(numbers):
            row = {"item": item if i == 0 else "", "what": number["what"]}
            row |= {name: _number(number[name], name == "difference") for name in ("ours", "paper", "difference")}
            rows.append(row | {"minutes": spent if i == 0 else "", "runs": runs if i == 0 else ""})
    return rows


def _number(value: float | None, signed: bool) -> str:
    if value is None:
        return ""
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    return re.sub(r"\.00$", "", text) if float(value).is_integer() and abs(value) >= 100 else text


def _sharing(caption: str, found: dict[str, Any]) -> list[str]:
    return sorted(item for item, about in found.items() if about["caption"] == caption)
