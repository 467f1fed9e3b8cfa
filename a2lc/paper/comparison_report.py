"""What `a2lc.compare` found, to be read: one line for each thing that matters."""

from __future__ import annotations

from math import isnan, nan
from typing import Any

import pandas as pd

from a2lc.paper.comparison import FAILED, ROUNDING, is_table
from a2lc.paper.summary import HEADLINE


def report(table: pd.DataFrame, every: bool = False) -> str:
    """What `compare` found, to be read: a line per headline number, per table with the number that is furthest from
    the committed one, and per file that fails; with `every` a line per number and file. Then the counts."""
    lines: list[tuple[str, ...]] = [("item", "what", "committed", "now", "difference", "tolerance", "verdict")]
    for file, part in table.groupby("file", sort=False):
        if every or str(file).endswith(HEADLINE) or (part["number"] == "").all():
            chosen = part if every or is_table(str(file)) else part[part["verdict"].isin(FAILED)]
            lines += [_line(row, row["number"] or row["file"]) for row in _records(chosen)]
        else:
            furthest = _furthest(part)
            lines.append(_line(furthest, furthest["what"]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for cells in lines:
        padded = [
            cell.ljust(width) if column in ("item", "what", "verdict") else cell.rjust(width)
            for cell, width, column in zip(cells, widths, lines[0], strict=True)
        ]
        texts.append("  ".join(padded).rstrip())
    return "\n".join([*texts, "", *_counts(table)])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _line(row: dict[str, Any], what: str) -> tuple[str, ...]:
    tolerance = "" if isnan(row["difference"]) else "unknown" if isnan(row["tolerance"]) else _plain(row["tolerance"])
    values = [_plain(row[name]) for name in ("committed", "now")]
    return (row["item"], what, *values, _plain(row["difference"], "+"), tolerance, row["verdict"])


def _plain(value: float, sign: str = "") -> str:
    return "" if isnan(value) else f"{value:{sign if value else ''}.4f}".rstrip("0").rstrip(".")


_NO_VALUES = dict.fromkeys(("committed", "now", "difference", "tolerance"), nan)


def _furthest(part: pd.DataFrame) -> dict[str, Any]:
    """Of one table: the number that fails first, or is furthest from the committed one by its tolerance."""
    rows = _records(part)
    if all(row["verdict"] == "identical" for row in rows):
        return rows[0] | {"what": f"{rows[0]['file']}, {len(rows)} numbers"} | _NO_VALUES

    def distance(row: dict[str, Any]) -> tuple[bool, float]:
        off, within = abs(row["difference"]), row["tolerance"]
        return row["verdict"] in FAILED, -1 if isnan(off) else off / within if within > 0 else off / ROUNDING

    fails = sum(row["verdict"] in FAILED for row in rows)
    row = max(rows, key=distance)
    of = f"{fails} of {len(rows)} fail" if fails else f"furthest of {len(rows)}"
    return row | {"what": f"{row['file']}, {of}: {row['number']}"}


def _counts(table: pd.DataFrame) -> list[str]:
    headline = table["file"].str.endswith(HEADLINE) & (table["number"] != "")
    cells = (table["number"] != "") & ~headline
    lines = []
    for what, part in (("headline numbers", headline), ("numbers in tables", cells), ("files", table["number"] == "")):
        counts = table.loc[part, "verdict"].value_counts()
        told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
        lines.append(f"{int(part.sum())} {what}{': ' if told else ''}{told}")
    return lines
