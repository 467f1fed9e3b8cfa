"""Where the folder of a run is: its name says which run it is, and of own data its configuration says it."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.acquisition.settings import PIXBAL
from a2lc.config import OWN_DATA, Experiment
from a2lc.files import damaged, read_json
from a2lc.instant.settings import INSTANT

CONFIG = "config.json"


def place_of(config: Experiment, runs_dir: str | os.PathLike[str], masks: Callable[[], object] = lambda: None) -> Path:
    """The folder of the run of a configuration, there already or to be made: `runs_dir` / `Experiment.name`.

    Data of one's own have no name that tells them apart, so their run is the one of this configuration that was begun
    with the same folder of data, whatever it is called; or, where that folder is gone, with the same data. Where none
    is there and another run has the name, a number is added to it.

    Args:
        config: the experiment.
        runs_dir: the folder of all runs.
        masks: gives the name of the masks that these data begin with (`a2lc.stages.names.masks_name`); asked for where
            data may have moved. None: not known, so that no run is taken for that of moved data.

    Raises:
        ValueError: the run in the folder of this name cannot be read.
    """
    named = Path(runs_dir) / config.name
    if config.dataset != OWN_DATA or not Path(runs_dir).is_dir():
        return named
    same: dict[Path, Experiment] = {}
    for folder in (known := sorted(run_folders(runs_dir), key=lambda folder: folder != named)):
        try:
            if (folder / CONFIG).is_file() and (found := read_config(folder / CONFIG)).identity() == config.identity():
                same[folder] = found
        except ValueError:
            if folder == named:
                raise
    for folder, found in same.items():
        if same_root(found, config):
            return folder
    for folder in (folder for folder, found in same.items() if found.root is None or not found.root.exists()):
        proof = folder / "provenance.json"
        if proof.is_file() and read_json(proof, "masks")["masks"] == masks():
            return folder
    for folder in (named if number == 1 else named.with_name(f"{named.name}-{number}") for number in count(1)):
        if not (folder / CONFIG).is_file():
            return folder
        if folder not in known:  # another process has just begun it; it may be this one
            return place_of(config, runs_dir, masks)
    raise AssertionError  # there is no last number


def same_root(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments name the same folder of data, by whatever way; relative ones start here."""
    places = [None if config.root is None else config.root.resolve() for config in (one, other)]
    return places[0] == places[1]


def run_folders(runs_dir: str | os.PathLike[str]) -> list[Path]:
    """The folders of all runs below a folder, by name, readable or not: those with a configuration or with rounds.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: it is a run itself.
    """
    if not Path(runs_dir).is_dir():
        raise FileNotFoundError(f"{runs_dir}: no such folder of runs")
    if (Path(runs_dir) / CONFIG).is_file():
        above = Path(runs_dir).absolute().parent
        raise ValueError(f"{runs_dir}: expected a folder of runs, found a run; did you mean {above}?")
    marks = [path for name in (CONFIG, "round_[0-9]*") for path in Path(runs_dir).glob(f"*/{name}")]
    return sorted({path.parent for path in marks}, key=lambda folder: folder.name)


def read_config(file: Path) -> Experiment:
    """The configuration of a run.

    Raises:
        ValueError: it is damaged, or its acquisition function is not registered here.
    """
    fields = read_json(file, "dataset")
    name = fields.get("acquisition", PIXBAL)
    if isinstance(name, str) and name not in (PIXBAL, INSTANT, *ACQUISITION_FUNCTIONS):
        remedy = "Import the module that registers it, and open the run again; nothing has to be removed"
        raise ValueError(f"{file}: the acquisition function {name!r} is not registered in this process. {remedy}")
    try:
        return Experiment(**fields)
    except ValueError as error:
        if str(file) in str(error):
            raise
        raise damaged(file, str(error)) from error
