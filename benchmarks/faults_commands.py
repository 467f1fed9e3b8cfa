"""The commands that `faults.py` tries, and the folders that they start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from a2lc.human import Queue
from a2lc.runs import Run

CLASSES = ("road", "car", "tree")
SETTINGS = "budget: 3\nrounds: 1\napproval: false\ninstant: {features: colour}\n"


@dataclass(frozen=True)
class Command:
    """A command, where it starts from, and its words; ``RUN`` is the run of the folder."""

    name: str
    state: str
    words: tuple[str, ...]


COMMANDS = (
    Command("inspect", "data", ("inspect", "data", "--out", "out")),
    Command("find", "data", ("find", "data", "--out", "out", "--features", "colour", "--runs-dir", "runs")),
    Command("correct", "data", ("correct", "data", "--params", "settings.yaml")),
    Command("queue --export", "asked", ("queue", "RUN", "--export", "new.csv")),
    Command("queue --import", "asked", ("queue", "RUN", "--import", "answers.csv")),
    Command("next", "answered", ("next", "RUN")),
    Command("changes --run", "played", ("changes", "changes", "--run", "RUN")),
    Command("changes --apply", "listed", ("changes", "changes", "--apply", "data")),
    Command("changes --revert", "applied", ("changes", "changes", "--revert", "data")),
    Command("write-back", "played", ("write-back", "RUN", "out")),
    Command("export png", "played", ("export", "RUN", "out")),
    Command("export voc", "played", ("export", "RUN", "out", "--format", "voc")),
    Command("export coco", "played", ("export", "RUN", "out.json", "--format", "coco")),
    Command("import", "coco", ("import", "out.json", "plain")),
)
STATES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # each is made from another by a command
    ("asked", "data", ("correct", "data", "--params", "settings.yaml")),
    ("answered", "asked", ("queue", "RUN", "--import", "answers.csv")),
    ("played", "answered", ("next", "RUN")),
    ("listed", "played", ("changes", "changes", "--run", "RUN")),
    ("applied", "listed", ("changes", "changes", "--apply", "data")),
    ("coco", "played", ("export", "RUN", "out.json", "--format", "coco")),
)


def make_data(root: Path) -> None:
    """Three pictures whose labels are quarters."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8).repeat(10, 0).repeat(10, 1)).save(
            root / "images" / f"{name}.png"
        )
        labels = rng.permutation([0, 1, 2, 1]).astype(np.uint8).reshape(2, 2).repeat(20, 0).repeat(30, 1)
        Image.fromarray(labels).save(root / "labels" / f"{name}.png")
    (root.parent / "settings.yaml").write_text(SETTINGS, encoding="utf-8")


def run_in(place: Path) -> str:
    """The run in a folder, as it is typed; where there is none, nobody asks for it."""
    return next((path.parent.relative_to(place).as_posix() for path in place.glob("runs/*/config.json")), "runs/none")


def fill_in(place: Path) -> None:
    """``answers.csv``: another class for each mask that is asked about."""
    queue = Queue(Run.open(place / run_in(place)))
    lines = ["image,mask_id,label,answer"]
    for query in queue.queries:
        now = CLASSES[query.label]
        lines.append(f"{query.image},{query.mask_id},{now},{CLASSES[(query.label + 1) % len(CLASSES)]}")
    (place / "answers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
