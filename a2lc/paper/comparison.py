"""Two folders of results side by side: every number with its difference, its tolerance and a verdict.

A number is a headline (``<item>_headline.json``) or a cell of a table (``<item>*.csv``); the other files of an item
show these again or illustrate them, and are compared by their bytes. Tolerances are measured, one per number, and lie
beside the results that they belong to (``tolerances.csv``, written by ``benchmarks/spread.py``). Minutes, the page with
them and executed copies are not compared.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from a2lc.files import damaged, decoded, one_line, read_json
from a2lc.paper.summary import HEADLINE, MINUTES, REFERRING

TOLERANCES = "tolerances.csv"
ROUNDING = 1e-4  # one unit of the last place that tables are written with
FAILED = ("differs", "missing")
BY_CHANCE = 0.02  # so many numbers may be further off on another processor, see `reproduced`
PROVENANCE = "_provenance.json"
_NOT_COMPARED = (MINUTES, TOLERANCES, "README.md")
_KEYS = ("round", "seed", "budget", "percent", "gate")  # numbers that say which row of a table it is, as all texts do


def compare(committed: str | os.PathLike[str], now: str | os.PathLike[str]) -> pd.DataFrame:
    """Whether the results in one folder are those in another.

    Args:
        committed: a folder of results, such as ``paper_figures/toy``; its tolerances are used.
        now: the other folder. Items in the ``minutes.json`` of neither were not made by ``a2lc regenerate`` and are
            left out; where neither has such a file, all are compared. Those on referring expressions, which are
            played only when named, are compared where both have them.

    Returns:
        A row per number and a row per file without numbers, in the order of the items, headlines first: item; file;
        number, empty for a file; committed, now and difference (now minus committed), NaN where there is none;
        tolerance, NaN where none is known; verdict:

        - ``identical``: the two files are the same, byte by byte;
        - ``reproduced``: the difference is within the tolerance, or the numbers are equal;
        - ``differs``: neither; or a table without any number has other bytes, or another file whose item has no
          numbers to judge by;
        - ``missing``: one of the folders does not have it, or `now` has an empty or damaged file in its place;
        - ``varies``: the same, of a row of a table that only some of the measured runs had;
        - ``other bytes``: of a picture or text whose item has numbers with verdicts of their own.

    Raises:
        FileNotFoundError: one of them is no folder.
        ValueError: a folder holds no results, or a damaged file.
    """
    here, there = _files(Path(committed)), _files(Path(now))
    before, after = _made(Path(committed)), _made(Path(now))
    made = (before | after) - {item for item in REFERRING if item not in before & after}
    names = sorted(here.keys() | there.keys(), key=_order)
    names = [name for name in names if not made or item_of_file(name) in made]
    numbers = {name: [read_numbers(at[name]) for at in (here, there) if name in at] for name in names if is_table(name)}
    judged = {item_of_file(name) for name, found in numbers.items() if any(found)}
    tolerances = read_tolerances(Path(committed) / TOLERANCES)
    rows: list[dict[str, Any]] = []
    for name in names:
        about = {"item": item_of_file(name), "file": name}
        if name not in here or name not in there:
            rows.append(about | {"number": "", "verdict": "missing"})
            continue
        same = here[name].read_bytes() == there[name].read_bytes()
        if not same and not _is_whole(there[name]):
            rows.append(about | {"number": "", "verdict": "missing"})
            continue
        if any(numbers.get(name, [])):
            found = _numbers(numbers[name][0], numbers[name][1], tolerances.get(name))
            rows += [about | row | ({"verdict": "identical"} if same else {}) for row in found]
        else:  # a table of texts is no picture of numbers that are judged elsewhere
            other = "other bytes" if about["item"] in judged and name not in numbers else "differs"
            rows.append(about | {"number": "", "verdict": "identical" if same else other})
    columns = ["item", "file", "number", "committed", "now", "difference", "tolerance", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of results")
    found = {path.name: path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    found = {name: path for name, path in found.items() if name not in _NOT_COMPARED}
    if not any(path.suffix in (".csv", ".json") for path in found.values()):
        raise ValueError(f"{folder}: expected results such as table1.csv or table1{HEADLINE}, found none")
    return found


def _is_whole(file: Path) -> bool:
    """Whether a picture or a text can be looked at; tables are read anyway."""
    data = file.read_bytes()
    if file.suffix == ".png":
        try:
            decoded(data, file)
        except ValueError:
            return False
    return data.startswith(b"%PDF") if file.suffix == ".pdf" else bool(data.strip())


def _made(folder: Path) -> set[str]:
    return set(_object(folder / MINUTES)) if (folder / MINUTES).is_file() else set()


def _object(file: Path) -> dict[str, Any]:
    if not isinstance(value := read_json(file), dict):
        raise damaged(file, f"expected a JSON object, found {str(value)[:60]}")
    return value


def item_of_file(name: str) -> str:
    """``table1`` of ``table1_rounds.csv``, ``figure_instant`` of ``figure_instant_headline.json``: what the item's name
    and those of all its files begin with."""
    return re.findall("(?:figure_)?[^_]+", Path(name).stem)[0]


def _order(name: str) -> tuple[object, ...]:
    item = item_of_file(name)
    return item.startswith("figure"), item, not name.endswith(HEADLINE), not is_table(name), name


def is_table(name: str) -> bool:
    """Whether a file of this name holds numbers: a headline or a table."""
    return name.endswith((HEADLINE, ".csv"))


def read_numbers(file: Path) -> dict[str, float]:
    """The numbers of a headline or a table: what they are called -> value. A cell is called by the texts, round, seed,
    budget, percent and gate of its row, and its column; an empty one is left out. Of rows of one name the second is
    called "(2)".

    Raises:
        ValueError: the file is damaged.
    """
    try:
        if file.name.endswith(HEADLINE):
            rows = read_json(file, "rows")["rows"]
            named = zip(_counted(str(row["what"]) for row in rows), rows, strict=True)
            return {name: float(row["ours"]) for name, row in named if row["ours"] is not None}
        table = pd.read_csv(file)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(file, f"damaged results ({one_line(error)})") from error
    plain = {name for name in table if is_numeric_dtype(table[name]) or is_bool_dtype(table[name])}
    keys = [name for name in table if name in _KEYS or name not in plain]
    found: dict[str, float] = {}
    records = table.to_dict("records")
    called = (
        " ".join(f"{key} {row[key]}" if key in _KEYS else str(row[key]) for key in keys if not pd.isna(row[key]))
        for row in records
    )
    for where, row in zip(_counted(called), records, strict=True):
        cells = {f"{where}: {name}": row[name] for name in table if name not in keys}
        found |= {name: float(value) for name, value in cells.items() if not pd.isna(value)}
    return found


def _counted(names: Iterable[str]) -> Iterator[str]:
    times: Counter[str] = Counter()
    for name in names:
        times[name] += 1
        yield f"{name} ({times[name]})" if times[name] > 1 else name


def read_tolerances(file: Path) -> dict[str, pd.DataFrame]:
    """The measured tolerances beside some results; none where there is no such file.

    Returns:
        File -> table indexed by number: ``runs``, how many of the measured runs have this number, ``of`` how many;
        ``low`` and ``high``, between which it was; ``tolerance``.

    Raises:
        ValueError: the file is damaged.
    """
    if not file.is_file():
        return {}
    try:
        table = pd.read_csv(file, comment="#", dtype={"tolerance": float})[
            ["file", "number", "runs", "of", "low", "high", "tolerance"]
        ]
    except (ValueError, KeyError) as error:
        raise damaged(file, f"damaged tolerances ({one_line(error)})") from error
    if not table["tolerance"].between(0, sys.float_info.max).all():
        raise damaged(file, "damaged tolerances (expected finite numbers >= 0)")
    return {str(name): part.set_index("number") for name, part in table.groupby("file")}


def _numbers(
    committed: dict[str, float], now: dict[str, float], tolerances: pd.DataFrame | None
) -> list[dict[str, Any]]:
    """The rows of one file, whose bytes differ."""
    tolerance = {} if tolerances is None else dict(zip(tolerances.index, tolerances["tolerance"], strict=True))
    sometimes = set() if tolerances is None else set(tolerances.index[tolerances["runs"] < tolerances["of"]])
    rows = []
    for name in dict.fromkeys([*committed, *now]):
        ours, theirs, within = committed.get(name, nan), now.get(name, nan), tolerance.get(name, nan)
        difference = 0.0 if theirs == ours else theirs - ours  # infinity less infinity is no number
        if isnan(difference):  # a row that no measured run has is like those that some have
            verdict = "varies" if name in sometimes or (sometimes and name not in tolerance) else "missing"
        else:
            verdict = "reproduced" if difference == 0 or abs(difference) <= within else "differs"
        values = {"committed": ours, "now": theirs, "difference": difference, "tolerance": within}
        rows.append({"number": name, **values, "verdict": verdict})
    return rows


def made_differently(committed: str | os.PathLike[str], now: str | os.PathLike[str]) -> dict[str, list[str]]:
    """In what the provenances of two folders differ, as sentences: ``computed`` (versions, code, processor, threads,
    precision, data) and ``config``, the settings that all runs of an item share.

    Raises:
        ValueError: a provenance is damaged.
    """
    found: dict[str, dict[str, None]] = {"computed": {}, "config": {}}
    for path in sorted(Path(committed).glob(f"*{PROVENANCE}")):
        if (Path(now) / path.name).is_file():
            pair = [_proof(file, found) for file in (path, Path(now) / path.name)]
            for part, sentences in found.items():
                ours, theirs = (proof[part] for proof in pair)
                for name in sorted(ours.keys() | theirs.keys()):
                    if ours.get(name) != theirs.get(name):
                        values = (ours.get(name, "not recorded"), theirs.get(name, "not recorded"))
                        sentences[f"{name.removeprefix('packages.')} {values[0]}, now {values[1]}"] = None
    return {part: list(sentences) for part, sentences in found.items()}


def _proof(file: Path, parts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Part -> its fields, of a provenance."""
    proof, found = _object(file), {}
    for name in parts:
        if not isinstance(part := proof.get(name, {}), dict):
            raise damaged(file, f"{name}: expected a JSON object, found {str(part)[:60]}")
        found[name] = _flat(part)
    return found


def reproduced(table: pd.DataFrame, elsewhere: bool) -> tuple[bool, str]:
    """Whether what `compare` found is a reproduction, and in words.

    Made with the same processor, versions and code, nothing may differ. Made with others (`elsewhere`), nothing may be
    missing, but of the numbers, of which there are thousands, up to `BY_CHANCE` may differ: tolerances are twice the
    range of a few runs. A further normally distributed number is that far from one of six in 0.7 % of cases, one of
    Student's t with three degrees of freedom in 1.9 %.

    Args:
        table: of `compare`.
        elsewhere: whether the two were made differently (``computed`` of `made_differently`).
    """
    if table.empty:
        return False, "NOT reproduced: there is nothing to compare"
    fails, numbers = table["verdict"].isin(FAILED), table["number"] != ""
    n, beyond = int(fails.sum()), int((numbers & (table["verdict"] == "differs")).sum())
    if not n:
        return True, "reproduced"
    if elsewhere and n == beyond and beyond <= BY_CHANCE * numbers.sum():
        return True, f"reproduced: {beyond} of {int(numbers.sum())} numbers differ, as some do by chance"
    return False, f"NOT reproduced, {n} of {len(table)} fail"


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, inside in value.items():
        flat |= _flat(inside, f"{prefix}{key}.") if isinstance(inside, dict) else {prefix + key: inside}
    return flat
