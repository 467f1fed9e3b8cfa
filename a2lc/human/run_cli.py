"""Which run is meant on the command line, where its data are, and what to type next."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from a2lc.config import Experiment
    from a2lc.runs import Run

RunFolder = Annotated[Path, typer.Argument(help="A run's folder, or its name as `a2lc status` lists it.")]
RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Where the run's dataset is now, if it has moved; to be said once.")
]


def open_run(run_folder: Path, runs_dir: Path, root: Path | None = None) -> Run:
    """The run in a folder: the one that is typed, else the one of this name in the folder of all runs; with its dataset
    at `root` from now on, where that is given."""
    from a2lc.files import nearest
    from a2lc.human.moving import move_dataset
    from a2lc.runs import Run, run_folders

    places = list(dict.fromkeys((run_folder, runs_dir / run_folder)))
    for folder in places:
        if (folder / "config.json").is_file():
            run = Run.open(folder)
            return run if root is None else move_dataset(run, root)
    names = [folder.name for folder in run_folders(runs_dir)] if runs_dir.is_dir() else []
    where = " nor in ".join(map(str, places))
    raise FileNotFoundError(
        f"no run in {where} (expected config.json){nearest(run_folder.name, names)}; other folders: --runs-dir"
    )


def begun_before(config: Experiment, runs_dir: Path, asked: bool) -> Experiment:
    """The configuration; of a run that is there, with its number of rounds where none was asked for. More are told,
    fewer are refused: `a2lc next` would not keep to them. Where another run of the dataset is not finished, that is
    told: it may be the one that was meant.

    Raises:
        ValueError: the run is there and had more rounds, or its data lie elsewhere now and are of other pictures.
    """
    from a2lc.datasets import load_dataset
    from a2lc.machine import show_bars
    from a2lc.runs import Run, place_of, run_folders
    from a2lc.runs.pictures import check_pictures
    from a2lc.runs.places import same_root
    from a2lc.stages.names import masks_name

    def masks() -> str:
        return masks_name(config.pseudo_labels, load_dataset(config.dataset, config.root))

    folder = place_of(config, runs_dir, masks)
    if not (folder / "config.json").is_file():
        for other in run_folders(runs_dir) if runs_dir.is_dir() else []:
            with suppress(ValueError, OSError):
                if same_root((found := Run.open(other)).config, config) and not found.finished:
                    how = f"has other settings and is not finished: a2lc next {quoted(other)} goes on with it"
                    typer.echo(f"a new run; {other} of this dataset {how}", err=True)
        return config
    if not same_root((began := Run.open(folder).config), config):
        check_pictures(folder, config, load_dataset(config.dataset, config.root).train, show_bars(True))
    before = began.rounds
    if not asked:
        return config.model_copy(update={"rounds": before})
    if config.rounds < before:
        what = f"{folder} has {before}, expected as many or more, found {config.rounds}"
        raise ValueError(f"rounds: {what}; labels can be written back after any round")
    if config.rounds > before:
        typer.echo(f"{folder}: {config.rounds} rounds from now on, {before} before")
    return config


def masks_typed(texts: list[str]) -> list[tuple[str, int]]:
    """Masks typed as IMAGE:ID. Raises `ValueError` for one that is none."""
    found = []
    for text in texts:
        image, _, mask_id = text.rpartition(":")
        if not image or not mask_id.isdecimal():
            raise ValueError(f"expected a mask as IMAGE:ID, found {text!r}")
        found.append((image, int(mask_id)))
    return found


def quoted(path: Path) -> str:
    """A path as it is typed."""
    return shlex.quote(str(path))


def say_next(run: Run) -> None:
    """Where a run stands, and what to type next."""
    typer.echo(f"{run.path}: {run.status}")
    name = quoted(run.path)
    commands = {
        "answers": (
            f"a2lc queue {name} --export q.csv   # fill in the column answer, or choose in q.html",
            f"a2lc queue {name} --import q.csv",
            f"a2lc next {name}",
        ),
        "approval": (
            f"a2lc approve {name}   # shows them; --all, --from CLASS --to CLASS or --mask IMAGE:ID, --reject",
            f"a2lc next {name}",
        ),
    }
    lines = commands[run.waits_for] if run.waits_for else ()
    if run.finished:
        lines = (f"a2lc write-back {name} CORRECTED_COPY",)
        if not run.folder(run.finished_rounds).state.exhausted and run.config.annotator == "human":
            more = f"--rounds {run.finished_rounds + 1}"
            typer.echo(f"for another round, begin it again with the same options and {more}")
    for line in lines:
        typer.echo(f"  {line}")
