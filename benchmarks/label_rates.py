"""Referring expressions over label rates: every preset of `a2lc.referring`, on the same images, seeds and steps.

    python benchmarks/label_rates.py --out FOLDER                       # 5 %, all presets, seed 0, drawn scenes
    python benchmarks/label_rates.py --rates 0.01 0.05 0.1 --seeds 0 1 2 --presets supervised fixed rple full
    python benchmarks/label_rates.py --fields '{"training": {"steps": 100}}'   # fields of a2lc.referring.Experiment

Finished runs are found again, and one that was stopped goes on. The frozen model of drawn scenes is simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from a2lc.paper.referring import about, data_of, play_presets, results
from a2lc.paper.tables import save_table
from a2lc.referring import METHODS


def compare(
    fields: dict[str, Any], rates: list[float], presets: list[str], seeds: list[int], runs_dir: str
) -> pd.DataFrame:
    """`a2lc.paper.referring.results` with a column ``rate`` in front; full supervision has one rate."""
    data, parts = data_of(fields), []
    for rate in rates:
        names = [name for name in presets if name != "full_supervision" or rate == rates[-1]]
        runs = play_presets(fields | {"rate": rate}, names, seeds, runs_dir, data, progress=True)
        parts.append(results(runs).assign(rate=rate))
    table = pd.concat(parts, ignore_index=True)
    table.loc[table["method"] == "full_supervision", "rate"] = 1.0
    return table[["rate", *(name for name in table if name != "rate")]]


def main() -> None:
    """Play what is asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05])
    parser.add_argument("--presets", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--fields", type=yaml.safe_load, default={})
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    table = compare(given.fields, given.rates, given.presets, given.seeds, given.runs)
    print(table.round(1).to_string(index=False))
    if given.out:
        caption = about(given.fields | {"rate": given.rates[0]}, given.seeds)
        save_table(table, "label_rates", given.out, f"Label rates, in percent. {caption}")


if __name__ == "__main__":
    main()
