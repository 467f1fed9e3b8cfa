"""The commands that `faults.py` tries, and the folders that they start from."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from a2lc.human import Queue
from a2lc.human.undo import automatic_corrections
from a2lc.runs import Run

CLASSES = ("road", "car", "vegetation")
SETTINGS = {
    "settings.yaml": "budget: 6\nrounds: 1\napproval: false\ninstant: {features: colour}\n",
    "network.yaml": "method: a2lc\nbudget: 3\nrounds: 1\nsegmenter: {network: light, iterations: 4}\n"
    "correction: {epochs: 20, thresholds: [0.0], tail_ratio: 0.0}\n",  # an LCM that proposes, sure or not
    "small.yaml": "dataset: toy\nrounds: 1\nbudget: 20\nsegmenter: {iterations: 4}\ncorrection: {epochs: 20}\n",
}


@dataclass(frozen=True)
class Command:
    """A command, where it starts from, and its words; ``RUN`` is the run of the folder, ``MASK`` one that it corrected.
    Of long commands so many calls of a kind are tried, evenly spread."""

    name: str
    state: str
    words: tuple[str, ...]
    sample: int | None = None


FORMATS = ("png", "voc", "coco", "panoptic", "labelme", "yolo", "label-studio", "hugging-face", "cityscapes")
ONE_FILE = ("coco", "label-studio")  # the other formats are folders


def exported(kind: str) -> str:
    """The file or folder that an export is written to."""
    return "out.json" if kind in ONE_FILE else "out"


COMMANDS = (
    Command("inspect", "data", ("inspect", "data", "--out", "out"), sample=12),
    Command("find", "data", ("find", "data", "--out", "out", "--features", "colour", "--runs-dir", "runs"), sample=12),
    Command("correct", "data", ("correct", "data", "--params", "settings.yaml"), sample=12),
    Command("correct: a network", "data", ("correct", "data", "--params", "network.yaml"), sample=6),
    Command("queue --export", "asked", ("queue", "RUN", "--export", "new.csv"), sample=12),
    Command("queue --import", "asked", ("queue", "RUN", "--import", "answers.csv")),
    Command("next", "answered", ("next", "RUN"), sample=12),
    Command("next: propose", "told a network", ("next", "RUN"), sample=6),
    Command("next: correct", "approved", ("next", "RUN"), sample=6),
    Command("approve --all", "proposed", ("approve", "RUN", "--all")),
    Command("approve --reject", "proposed", ("approve", "RUN", "--all", "--reject")),
    Command("undo", "corrected", ("undo", "RUN", "MASK")),
    Command("changes --run", "played", ("changes", "changes", "--run", "RUN")),
    Command("changes --apply", "listed", ("changes", "changes", "--apply", "data")),
    Command("changes --revert", "applied", ("changes", "changes", "--revert", "data")),
    Command("write-back", "played", ("write-back", "RUN", "out")),
    *(Command(f"export {kind}", "played", ("export", "RUN", exported(kind), "--format", kind)) for kind in FORMATS),
    Command("import coco", "coco", ("import", "out/out.json", "plain")),
    Command("import labelme", "labelme", ("import", "out", "plain")),
    Command("import yolo", "yolo", ("import", "out", "plain")),
    Command("notebooks", "data", ("notebooks", "copies")),
    Command("run", "data", ("run", "--params", "small.yaml"), sample=3),
)
STATES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # each is made from another by a command
    ("asked", "data", ("correct", "data", "--params", "settings.yaml")),
    ("answered", "asked", ("queue", "RUN", "--import", "answers.csv")),
    ("played", "answered", ("next", "RUN")),
    ("asked by a network", "data", ("correct", "data", "--params", "network.yaml")),
    ("told a network", "asked by a network", ("queue", "RUN", "--import", "answers.csv")),
    ("proposed", "told a network", ("next", "RUN")),
    ("approved", "proposed", ("approve", "RUN", "--all")),
    ("corrected", "approved", ("next", "RUN")),
    ("listed", "played", ("changes", "changes", "--run", "RUN")),
    ("applied", "listed", ("changes", "changes", "--apply", "data")),
    *((kind, "played", ("export", "RUN", exported(kind), "--format", kind)) for kind in ("coco", "labelme", "yolo")),
)


def make_data(root: Path) -> None:
    """Pictures of four coloured quarters; every third has another class as its label."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    for number, name in enumerate("abcd"):
        truth = rng.permutation([0, 1, 2, 1])
        pixels = np.eye(3)[truth].reshape(2, 2, 3).repeat(20, 0).repeat(30, 1) * 150 + rng.integers(0, 100, (40, 60, 3))
        wrong = (truth + ((np.arange(4) + number) % 3 == 0)) % 3
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(wrong.astype(np.uint8).reshape(2, 2).repeat(20, 0).repeat(30, 1)).save(
            root / "labels" / f"{name}.png"
        )
    for name, text in SETTINGS.items():
        (root.parent / name).write_text(text, encoding="utf-8")


def lay_pictures(place: Path, kind: str) -> None:
    """Put the pictures where an importer looks for them: beside the annotations that were exported."""
    out = place / "out"
    if kind == "coco":
        out.mkdir()
        (place / "out.json").rename(out / "out.json")
    shutil.copytree(place / "data" / "images", out / "images" if kind == "yolo" else out, dirs_exist_ok=True)


def run_in(place: Path) -> str:
    """The run in a folder, as it is typed; where there is none, nobody asks for it."""
    return next((path.parent.relative_to(place).as_posix() for path in place.glob("runs/*/config.json")), "runs/none")


def fill_in(place: Path) -> None:
    """``answers.csv``: of each mask that is asked about the class that its picture shows."""
    run = Run.open(place / run_in(place))
    masks, lines = run.masks(0), ["image,mask_id,label,answer"]
    for query in Queue(run).queries:
        with Image.open(place / "data" / "images" / f"{query.image}.png") as picture:
            colour = np.asarray(picture)[masks.object_map(query.image) == query.mask_id].mean(0)
        lines.append(f"{query.image},{query.mask_id},{CLASSES[query.label]},{CLASSES[int(colour.argmax())]}")
    (place / "answers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def mask_in(place: Path) -> str:
    """A mask that the run corrected and nobody was asked about, as ``undo`` wants it; where there is none, so."""
    with suppress(FileNotFoundError, IndexError):
        found = automatic_corrections(Run.open(place / run_in(place)))
        return f"{found.iloc[0]['image']}:{found.iloc[0]['mask_id']}"
    return "a:1"
