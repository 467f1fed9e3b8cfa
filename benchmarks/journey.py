"""The journey of a stranger: a small dataset with many wrong labels, the commands of the guide, and nothing else.
`python benchmarks/journey.py --root ../shared/data --out paper_figures`.

Twelve pictures of CamVid with their true labels, in which 30 % of the masks of one class got another label. Every
command of docs/own_dataset.md is typed in a process of its own; the tables of questions are filled in with the truth,
and of proposed corrections the right ones are approved. Writes journey.csv and journey.md: of the wrong masks, how many
are among the first 20, 40 and 60 questions, how many commands it took, and minutes on this machine, in which nobody
had to think.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from broken_class import MIN_AREA, true_masks

from a2lc.datasets import Split, load_dataset
from a2lc.files import write_text
from a2lc.human import Approval
from a2lc.human.exports import export_folder
from a2lc.masks import VOID, MaskSet
from a2lc.runs import Run

IMAGES, SHARE, BUDGET, ROUNDS = 12, 0.3, 20, 3
BROKEN = ("car:bicyclist", "car:building")  # called what few masks are, and what very many are


@dataclass
class Shell:
    """Commands as they are typed, and how long they take."""

    folder: Path
    typed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def type(self, *words: str) -> str:
        """What `a2lc` with these words prints.

        Raises:
            RuntimeError: it fails.
        """
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "a2lc", *words], cwd=self.folder, capture_output=True, text=True, encoding="utf-8"
        )
        self.seconds += time.perf_counter() - began
        self.typed.append(" ".join(["a2lc", *words]))
        shown = self.typed[-1][:100]
        print(f"{self.seconds:6.0f} s  {shown}: {(done.stdout.strip().splitlines() or [''])[-1][:100]}", flush=True)
        if done.returncode:
            raise RuntimeError(f"{self.typed[-1]}: {done.stderr.strip()[-300:]}")
        return done.stdout


def break_labels(masks: MaskSet, old: str, new: str, seed: int) -> MaskSet:
    """SHARE of the masks of class `old` of at least MIN_AREA pixels are called `new`."""
    names, table = masks.classes.names, masks.table
    rows = np.flatnonzero((table["label"] == names.index(old)) & (table["area"] >= MIN_AREA))
    wrong = np.random.default_rng(seed).choice(rows, max(1, round(SHARE * len(rows))), replace=False)
    return masks.relabel(np.sort(wrong), np.full(len(wrong), names.index(new)), source="lcm", round=1)


def truths(masks: MaskSet, split: Split) -> dict[tuple[str, int], int]:
    """The label that most pixels of each mask have in truth: (image, mask id) -> class, or the ignore index."""
    found: dict[tuple[str, int], int] = {}
    for name in masks.names:
        objects, truth = masks.object_map(name), split.ground_truth(name)
        assert truth is not None
        for mask_id in masks.table.iloc[masks.rows(name)]["mask_id"].tolist():
            found[name, mask_id] = int(np.bincount(truth[objects == mask_id]).argmax())
    return found


def fill_in(table: Path, names: tuple[str, ...], truth: dict[tuple[str, int], int]) -> list[tuple[str, int]]:
    """Answer every question of a table with the truth; the masks that were asked about, in order."""
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    asked = [(row["image"].removeprefix("'"), int(row["mask_id"])) for row in rows]
    for row, mask in zip(rows, asked, strict=True):
        label = truth[mask]
        row["answer"] = VOID if label >= len(names) else "confirm" if names[label] == row["label"] else names[label]
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return asked


def journey(masks: MaskSet, split: Split, old: str, new: str, seed: int, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    export_folder(break_labels(masks, old, new, seed), split, folder / "mydata")
    shutil.rmtree(folder / "mydata" / "ground_truth")  # a stranger has none
    shell = Shell(folder)
    shell.type("inspect", "mydata")
    shell.type("correct", "mydata", "--budget", str(BUDGET), "--rounds", str(ROUNDS))
    (path,) = (file.parent for file in (folder / "runs").glob("*/config.json"))
    run, asked = f"runs/{path.name}", list[tuple[str, int]]()
    first = Run.open(path).masks(0)
    names, truth = first.classes.names, truths(first, split)
    pairs = zip(first.table["image"], first.table["mask_id"], first.table["label"], strict=True)
    wrong = {(str(name), int(mask_id)) for name, mask_id, label in pairs if truth[name, mask_id] != label}
    while not Run.open(path).finished:
        table = f"q{len(asked)}.csv"
        shell.type("queue", run, "--export", table)
        asked += fill_in(folder / table, names, truth)
        shell.type("queue", run, "--import", table)
        shell.type("next", run)
        if Run.open(path).waits_for == "approval":
            approve(shell, run, path, truth)
            shell.type("next", run, "--enough")
    shell.type("write-back", run, "corrected")
    after = Run.open(path).masks().table
    left = sum(
        truth[name, mask_id] != label
        for name, mask_id, label in zip(after["image"], after["mask_id"], after["label"], strict=True)
    )
    shares = {f"first {n}": len(wrong & set(asked[:n])) for n in (20, 40, 60)}
    about = {"wrong": f"{old} called {new}", "seed": seed, "masks": len(first), "wrong masks": len(wrong)}
    ends = {"wrong at the end": left, "commands": len(shell.typed), "minutes": round(shell.seconds / 60, 1)}
    return about | shares | ends


def approve(shell: Shell, run: str, path: Path, truth: dict[tuple[str, int], int]) -> None:
    """Look at what is proposed, and approve of what is right."""
    shell.type("approve", run)
    proposed, names = (found := Approval(Run.open(path))).table, (*found.classes.names, VOID)
    chosen = [
        word
        for name, mask_id, label in zip(proposed["image"], proposed["mask_id"], proposed["new"], strict=True)
        if names[min(truth[name, mask_id], len(names) - 1)] == label
        for word in ("--mask", f"{name}:{mask_id}")
    ]
    if chosen:
        shell.type("approve", run, *chosen)


def main() -> None:
    """Break, type, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds CamVid")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--broken", nargs="+", default=BROKEN, metavar="CLASS:LABEL")
    arguments, rows = parser.parse_args(), []
    dataset = load_dataset("camvid", arguments.root / "CamVid")
    split = dataset.train.subset(dataset.train.names[:: len(dataset.train) // IMAGES][:IMAGES])
    masks = true_masks(split, dataset.classes)
    for pair in arguments.broken:
        old, _, new = pair.partition(":")
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(journey(masks, split, old, new, seed, Path(folder)))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    write(table, arguments.out)


def write(table: pd.DataFrame, out: Path) -> None:
    """journey.csv and journey.md."""
    write_text(out / "journey.csv", table.to_csv(index=False, lineterminator="\n"))
    lines = [
        f"CamVid, {IMAGES} training images with their true labels, cut into connected regions; {SHARE:.0%} of the "
        f"regions of one class, of at least {MIN_AREA} pixels, got another label. {ROUNDS} rounds of {BUDGET} "
        "questions, answered by the truth: how many of the wrong masks were asked about. Wrong regions that touch "
        "others of their new label become one mask with them, which is not counted where most of it is right. Minutes "
        "are those of the commands, on two cores that were busy with other work. "
        "`python benchmarks/journey.py --root ../shared/data --out paper_figures`.",
        "",
        f"| {' | '.join(table)} |",
        f"|{' --- |' * len(table.columns)}",
        *(f"| {' | '.join(map(str, row))} |" for row in table.itertuples(index=False)),
    ]
    write_text(out / "journey.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
