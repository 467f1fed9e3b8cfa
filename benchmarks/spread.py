"""How far results may move on another processor: the measured tolerances that `a2lc compare` judges by.

    python benchmarks/spread.py run --precision float32 --seed 1 --out spread/float32-s1  # also bfloat16; seeds 0, 1, 2
    python benchmarks/spread.py write paper_figures/toy spread/*/toy

The first plays a profile with one precision forced and one seed, which stands for another processor: networks are small
and rounds feed on each other, so other last bits become other masks asked about. The second reads the finished folders
(those of other machines too) and writes ``tolerances.csv`` beside the committed results; with ``--add`` for what these
folders hold, and all else stays as it was measured before.

The rule, per number:

- A number that is the same in all runs, whatever the kernels and the seed, has to be the same (to 0.0001, the last
  place of the tables).
- Any other may be off by FACTOR times its range over all runs, kernels and seeds together: once other last bits have
  become other masks asked about, a run is as far off as one of another seed. A range of few runs can be small by luck,
  so it counts as at least the median range of such numbers in the same column of the same table.
- A committed number that no run has, such as a row added since, may be off as far as numbers of the same name in other
  files (a run that several tables show), or of a name that ends with it (where those name the data, too); else as far
  as the median of its column.
- FACTOR is 2; what that means for normally distributed numbers, `a2lc.paper.comparison.reproduced` says. `write` tells
  how it holds here: every pair of runs of one seed is judged by the runs of the other seeds, and the share of numbers
  that would be called different is printed and kept with the tolerances.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from a2lc.files import atomic, read_json
from a2lc.notebook.parameters import item_of, parameters_of
from a2lc.paper.comparison import PROVENANCE, ROUNDING, TOLERANCES, item_of_file, read_numbers
from a2lc.paper.regenerate import Task, execute, plan, redirected
from a2lc.paper.summary import HEADLINE, MINUTES, write_minutes

FACTOR = 2.0  # times the range


def forced(task: Task, precision: str, seed: int, others: dict[str, Any]) -> Task:
    """The same notebook with this precision and this seed alone, and of `others` what it knows."""
    known = parameters_of(task.notebook)
    network = task.parameters.get("segmenter", known["segmenter"].default)
    own = {"seeds": [seed], **others, "segmenter": {**network, "precision": precision}}
    return replace(task, parameters=task.parameters | {name: own[name] for name in own.keys() & known.keys()})


def run(arguments: argparse.Namespace) -> None:
    """Play a profile; a finished notebook is not executed again."""
    tasks = plan(arguments.profile, Path("notebooks"), arguments.only)
    others = {name: yaml.safe_load(value) for name, value in arguments.parameter}
    tasks = [forced(task, arguments.precision, arguments.seed, others) for task in redirected(tasks, arguments.out)]
    done = {task.folder: read_json(task.folder / MINUTES) for task in tasks if (task.folder / MINUTES).is_file()}
    tasks = [task for task in tasks if item_of(task.notebook) not in done.get(task.folder, {})]
    failed = []
    for outcome in execute(tasks, arguments.jobs):
        item = item_of(outcome.task.notebook)
        if outcome.error is None:
            write_minutes(outcome.task.folder, {item: outcome.minutes})
        else:
            failed.append(item)
        told = "" if outcome.error is None else f", FAILED: {outcome.error}"
        print(f"{item}: {outcome.minutes:.1f} minutes{told}", flush=True)
    raise SystemExit(1 if failed else 0)


@dataclass(frozen=True)
class Measured:
    """A finished folder: the seed of its runs, by what they were computed, and its numbers by file and name."""

    seed: int
    kernels: str
    versions: str
    numbers: pd.Series

    @classmethod
    def read(cls, folder: Path, seed_in_names: int = 0) -> Measured:
        """Read a folder that `run` has written.

        Args:
            folder: with provenances.
            seed_in_names: what stands for the seed in the names of numbers, so that runs of all seeds have the same.

        Raises:
            ValueError: it has no provenance, or runs of several seeds.
        """
        proofs = [read_json(path, "computed", "config") for path in sorted(folder.glob(f"*{PROVENANCE}"))]
        seeds = {proof["config"].get("seed") for proof in proofs}
        if len(seeds) != 1 or None in seeds:
            raise ValueError(f"{folder}: expected provenances of runs of one seed, found the seeds {seeds or 'none'}")
        seed, computed = seeds.pop(), proofs[0]["computed"]
        kernels = " on ".join(computed.get(name, f"{name} not recorded") for name in ("precision", "processor"))
        versions = ", ".join(f"{name} {version}" for name, version in computed["packages"].items())
        items = read_json(folder / MINUTES)  # other files were not made by `a2lc regenerate`
        numbers = {
            (path.name, re.sub(rf"\bseed {seed}\b", f"seed {seed_in_names}", name)): value
            for path in sorted(folder.iterdir())
            if path.name.endswith((HEADLINE, ".csv")) and item_of_file(path.name) in items
            for name, value in read_numbers(path).items()
        }
        return cls(seed, kernels, versions, pd.Series(numbers))


def twins(seeds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of runs of the same seed."""
    return ((a, b) for a, b in combinations(range(len(seeds)), 2) if seeds[a] == seeds[b])


def scales(values: pd.DataFrame) -> pd.Series:
    """What FACTOR multiplies, per number; 0 where all runs agree.

    Args:
        values: a row per number, indexed by file and name, a column per run; NaN where a run has no such number.
    """
    span = values.max(axis=1) - values.min(axis=1)
    span = span.where(span > ROUNDING)
    files, names = (values.index.get_level_values(level) for level in (0, 1))
    usual = span.groupby([files, names.map(_column)]).transform("median")
    return span.clip(lower=usual).fillna(0.0)


def check(values: pd.DataFrame, seeds: Sequence[int]) -> tuple[int, int]:
    """Judge every pair of runs of one seed by the runs of the other seeds.

    Returns:
        How many numbers of pairs at least two of the other runs have, too; how many of these would be called different.
    """
    judged = different = 0
    for a, b in twins(seeds):
        rest = values.iloc[:, [i for i, seed in enumerate(seeds) if seed != seeds[a]]]
        off = (values.iloc[:, a] - values.iloc[:, b]).abs()
        known = (rest.notna().sum(axis=1) >= 2) & off.notna()
        judged += int(known.sum())
        different += int((off > (FACTOR * scales(rest)).clip(lower=ROUNDING))[known].sum())
    return judged, different


def tolerances(values: pd.DataFrame) -> pd.DataFrame:
    """The columns of ``tolerances.csv`` (`a2lc.paper.comparison.read_tolerances`)."""
    table = pd.DataFrame({"runs": values.notna().sum(axis=1), "of": values.shape[1]})
    table["low"], table["high"] = values.min(axis=1), values.max(axis=1)
    table["tolerance"] = (FACTOR * scales(values)).clip(lower=ROUNDING)
    return table.round(4).rename_axis(["file", "number"]).reset_index()


def _column(name: str) -> str:
    """Of a number: ``mean`` of ``alc round 1: mean``."""
    return name.rsplit(": ", 1)[-1]


def completed(table: pd.DataFrame, known: pd.DataFrame | None, committed: pd.Index) -> pd.DataFrame:
    """Tolerances with those measured before, and for every number measured never with that of its name or column.

    Args:
        table: `tolerances`.
        known: those measured before, None where nothing is to be kept of them.
        committed: file and number of all committed ones.
    """
    every = table.set_index(["file", "number"])
    if known is not None:
        before = known.set_index(["file", "number"])
        every = pd.concat([every, before[~before.index.isin(every.index)]])
    files, names = every.index.get_level_values(0), every.index.get_level_values(1)
    usual, rows = every["tolerance"].groupby([files, names.map(_column)]).median(), {}
    for file, number in committed.difference(every.index):
        alike = every["tolerance"][(names == number) | names.str.endswith(f" {number}")]
        found = alike.max() if len(alike) else usual.get((file, _column(number)))
        if found is not None:
            rows[file, number] = {"runs": 0, "of": 0, "tolerance": round(found, 4)}
    added = pd.DataFrame.from_dict(rows, orient="index")
    return pd.concat([every, added]).rename_axis(["file", "number"]).reset_index() if rows else every.reset_index()


def write(arguments: argparse.Namespace) -> None:
    """Read finished folders and write the tolerances beside the committed results."""
    ours, file = Measured.read(arguments.committed), arguments.committed / TOLERANCES
    found = {folder: Measured.read(folder, ours.seed) for folder in arguments.folders}
    seeds = [measured.seed for measured in found.values()]
    if len({seeds[a] for a, _ in twins(seeds)}) < 2:
        raise SystemExit("spread: expected two or more seeds with runs on two kinds of kernels each, found fewer")
    values = pd.concat([measured.numbers for measured in found.values()], axis=1)
    judged, different = check(values, seeds)
    head = [
        *(f"{each.kernels}, seed {each.seed}: {each.versions}" for each in found.values()),
        f"FACTOR {FACTOR:g}. Of {judged} numbers of pairs of runs of one seed on two kinds of kernels, {different} "
        f"({different / max(judged, 1):.1%}) would have been called different by the runs of the other seeds.",
    ]
    known = None
    if arguments.add:
        known, lines = pd.read_csv(file, comment="#"), file.read_text(encoding="utf-8").splitlines()
        before = [line.removeprefix("# ") for line in lines if line.startswith("#")]
        head = [*before, f"Later, {', '.join(sorted({item_of_file(name) for name, _ in values.index}))}:", *head]
    else:
        first = (
            "How far a number may be from the committed one; written by benchmarks/spread.py, which states the rule."
        )
        head = [first, *head]
    table = completed(tolerances(values), known, ours.numbers.index)
    with atomic(file) as temporary:
        text = "".join(f"# {line}\n" for line in head) + table.to_csv(index=False)
        temporary.write_text(text, encoding="utf-8")
    print("\n".join(head))
    print(f"{len(table)} numbers, {int((table['tolerance'] > ROUNDING).sum())} of which may move")


def main() -> None:
    """Run or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    play = commands.add_parser("run", help="play a profile with one precision and one seed; killed, it goes on")
    play.add_argument("--precision", choices=("float32", "bfloat16"), required=True)
    play.add_argument("--seed", type=int, required=True)
    play.add_argument("--out", type=Path, required=True, help="results in OUT/<profile's folder>, runs in OUT/runs")
    play.add_argument("--profile", default="toy")
    play.add_argument("--only", nargs="+", default=[], help="beginnings of notebook names")
    play.add_argument("--jobs", type=int, default=1)
    of_notebooks = "of the notebooks that know it, e.g. rows added later alone: -p functions '[abc, instant]'"
    play.add_argument("-p", dest="parameter", nargs=2, action="append", default=[], help=of_notebooks)
    play.set_defaults(call=run)
    derive = commands.add_parser("write", help="tolerances.csv from finished folders")
    derive.add_argument("committed", type=Path, help="e.g. paper_figures/toy")
    derive.add_argument("folders", type=Path, nargs="+", help="e.g. spread/*/toy")
    derive.add_argument("--add", action="store_true", help="keep what was measured before of all other numbers")
    derive.set_defaults(call=write)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
