"""The dataset of a run: where it is, and that it is still the same where somebody has moved it."""

from __future__ import annotations

import os
from pathlib import Path

from a2lc.config import Experiment
from a2lc.datasets import Dataset, load_dataset
from a2lc.files import read_json
from a2lc.machine import show_bars
from a2lc.runs import Run
from a2lc.runs.pictures import other_pictures
from a2lc.runs.places import same_root


def dataset_of(run: Run) -> Dataset:
    """The dataset of a run.

    Raises:
        FileNotFoundError: its folder is gone; the message says how to tell where it is now.
        ValueError: as `load_dataset`.
    """
    check_not_moved(run)
    return load_dataset(run.config.dataset, run.config.root)


def check_not_moved(run: Run) -> None:
    """Raise `FileNotFoundError`, as `dataset_of`, where the folder of a run's dataset is gone."""
    root = run.config.root
    if root is not None and not root.is_dir():
        told = "if they have moved, say where: --root DIR, in Python a2lc.human.move_dataset(run, DIR)"
        raise FileNotFoundError(f"{root}: no such folder, expected the data of {run.path}; {told}")


def move_dataset(run: Run, root: str | os.PathLike[str]) -> Run:
    """Say where the dataset of a run is now; it is looked for there from then on, wherever one works.

    Args:
        run: the run.
        root: the folder with the same images, classes and labels that the run began with.

    Returns:
        The run with its dataset there.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: it is another one.
        PermissionError: the run's folder cannot be written.
    """
    moved = Run(run.path, run.config.model_copy(update={"root": Path(root).absolute()}))
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root}: no such folder, expected the data of {run.path}")
    if (wrong := _difference(run, dataset_of(moved), moved.config)) is not None:
        raise ValueError(f"{root}: these are other data: {wrong}; `a2lc correct {root}` begins a run of them")
    if not same_root(moved.config, run.config):
        moved.save_config()
    return moved


def _difference(run: Run, dataset: Dataset, config: Experiment) -> str | None:
    """In what a dataset is not the one that a run began with; None where it is the same."""
    from a2lc.stages.names import masks_name  # with what cuts labels, which a look at a run needs not

    masks, classes = run.masks(0), dataset.classes
    ours, theirs = set(masks.names), set(dataset.train.names)
    if missing := sorted(ours - theirs):
        return f"of the {len(ours)} images of {run.path.name} it misses {len(missing)}, {missing[0]!r} for one"
    if more := sorted(theirs - ours):
        return f"{run.path.name} has {len(ours)} images, and here are {len(more)} more, {more[0]!r} for one"
    if (classes.names, classes.ignore_index) != (masks.classes.names, masks.classes.ignore_index):
        return f"expected the classes {', '.join(masks.classes.names)}, found {', '.join(classes.names)}"
    began = read_json(run.path / "provenance.json", "masks")["masks"]
    if masks_name(config.pseudo_labels, dataset) != began:
        return f"expected the labels that {run.path.name} began with, found others"
    return other_pictures(run.path, dataset.train, show_bars(True))
