"""Command line: ``a2lc run | status | regenerate | compare | notebooks | doctor``, what makes masks
(`a2lc.pseudo_labels.cli`), what people do (`a2lc.human.cli`) and labels of other programs (`a2lc.formats.cli`)."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm.auto import tqdm

from a2lc import __version__
from a2lc.ending import ending
from a2lc.formats import cli as cli_formats
from a2lc.human import cli as cli_human
from a2lc.human import find_cli as cli_find
from a2lc.human import inspect_cli as cli_inspect
from a2lc.human.run_cli import RunsDir
from a2lc.machine import MissingExtraError
from a2lc.pseudo_labels import cli as cli_masks
from a2lc.referring import cli as cli_referring

if TYPE_CHECKING:
    import pandas as pd

    from a2lc.referring.runs import ReferringRun
    from a2lc.runs import Run

LONGEST = 4000  # characters of an error that are printed
SLOW_CPU = "`segmenter: {network: light, iterations: 50}` helps a slow CPU"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"a2lc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Active and automated label correction for semantic segmentation (A²LC)."""


@app.command()
def run(
    params: Annotated[
        Path | None,
        typer.Option(help=f"YAML or JSON file of experiment fields, e.g. notebooks/params/camvid.yaml; {SLOW_CPU}."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="toy, camvid, voc2012, cityscapes or folder.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    method: Annotated[
        str | None, typer.Option(help="A preset of a2lc.config.METHODS: a2lc, alc, spx and so on.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    rounds: Annotated[int | None, typer.Option(help="Number of rounds.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Masks queried per round: a whole number, or a share of all masks such as 0.09.")
    ] = None,
    acquisition: Annotated[str | None, typer.Option(help="One of the eleven acquisition functions.")] = None,
    weights: Annotated[Path | None, typer.Option(help="File or folder of the backbone's pretrained weights.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download weights.")] = False,
    runs_dir: RunsDir = Path("runs"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Run an experiment, or continue it where it stopped."""
    import a2lc
    from a2lc.config import read_fields

    given: dict[str, Any] = {
        "dataset": dataset,
        "root": root,
        "method": method,
        "seed": seed,
        "rounds": rounds,
        "budget": None if budget is None else _number(budget),
        "acquisition": acquisition,
    }
    fields = (read_fields(params) if params else {}) | {
        name: value for name, value in given.items() if value is not None
    }
    places = {"weights": weights, "offline": offline or None}
    if chosen := {name: value for name, value in places.items() if value is not None}:
        fields["segmenter"] = {**fields.get("segmenter", {}), **chosen}
    config = a2lc.Experiment(**fields)  # before PyTorch is imported: a wrong word is answered at once
    result = a2lc.run(config, runs_dir, device=device)
    typer.echo(_summary(result.summary))
    typer.echo(result.status)
    typer.echo(result.path)


@app.command()
def status(runs_dir: RunsDir = Path("runs")) -> None:
    """List all runs: rounds done, clicks, Data and Model mIoU of the last finished round, and what a run waits for;
    then those on referring expressions, with the mIoU of val. Those that cannot be read are marked, and the reasons
    follow."""
    from a2lc.referring.runs import FOLDER
    from a2lc.runs import run_folders

    runs_dir = runs_dir.absolute()
    told = _listed(runs_dir, run_folders(runs_dir), _standing, ["clicks", "data_miou", "model_miou"])
    if (referring := runs_dir / FOLDER).is_dir():
        told += _listed(referring, run_folders(referring), _referring_standing, ["val_miou"])
    typer.echo("\n".join(told) or f"{runs_dir}: no runs")


def _listed(
    where: Path, folders: Sequence[Path], standing: Callable[[Path], dict[str, Any]], numbers: Sequence[str]
) -> list[str]:
    """A table of runs, in lines, and why some cannot be read; nothing where there is no run."""
    import pandas as pd

    rows, reasons = [], []
    for folder in folders:
        try:
            rows.append({"run": folder.name} | standing(folder))
        except (ValueError, OSError) as error:
            rows.append({"run": folder.name, "rounds": "unreadable"})
            reasons.append(f"unreadable: {error}")
    if not rows:
        return []
    table = pd.DataFrame(rows, columns=["run", "rounds", *numbers, "state"])
    if "clicks" in numbers:
        table["clicks"] = ["-" if pd.isna(clicks) else f"{clicks:.0f}" for clicks in table["clicks"]]
    table = table.astype(dict.fromkeys([name for name in numbers if name != "clicks"], float))
    text = table.to_string(index=False, float_format="{:.4f}".format, na_rep="-")
    return [f"runs in {where}:", text, *reasons]


def _standing(folder: Path) -> dict[str, Any]:
    """How far a run is, its last numbers, and what it waits for."""
    from a2lc.human.going_on import state_of
    from a2lc.runs import Run

    run = Run.open(folder)
    return _last(run) | {"rounds": f"{max(run.finished_rounds, 0)}/{run.config.rounds}", "state": state_of(run)}


def _referring_standing(folder: Path) -> dict[str, Any]:
    """The same of a run on referring expressions; its name says method, rate and seed."""
    from a2lc.referring.runs import ReferringRun

    run = ReferringRun.open(folder)
    return _last(run) | {"rounds": f"{max(run.finished_rounds, 0)}/{run.config.rounds}", "state": run.status}


def _last(run: Run | ReferringRun) -> dict[str, Any]:
    summary = run.summary
    return {str(name): value for name, value in summary.iloc[-1].items()} if len(summary) else {}


@app.command()
def regenerate(
    profile: Annotated[str, typer.Option(help="A file in notebooks/params: smoke, toy, camvid, paper, ...")] = "toy",
    notebooks: Annotated[
        Path | None,
        typer.Option(help="Folder of the notebooks and their params/; else the project's, else a2lc's own."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Comma-separated beginnings of notebook names, e.g. table4,figure5.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Reproduce: write results to OUT/<name of the profile's figures_dir>, play all runs anew in OUT/runs, "
            "and leave the profile's own folders alone. Killed, the same command goes on."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks executed at once; runs they share are played once.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Play the runs on a dask cluster that sees the same folders: tcp://HOST:PORT or a scheduler file; or "
            "local: this machine, a worker per GPU, which listens to 127.0.0.1 alone, on ports that are free. --jobs "
            "notebooks wait for their runs at once. Needs extra cluster."
        ),
    ] = None,
) -> None:
    """Execute the notebooks with a profile's parameters, and write results and a summary to its figures_dir, or below
    --out.

    Tables come before the figures that read their runs. Tutorials are executed only when named, and so are table6,
    table7, figure7, figure8 and figure9, of referring expressions, but by a profile of them alone (refcoco). Relative
    folders in a profile are relative to the project, which holds the notebooks' folder, wherever this is typed. Kernels
    listen to 127.0.0.1 alone, on five free ports each.
    """
    names = _names(only)
    from a2lc.notebook import notebooks_of, project_folder
    from a2lc.notebook.parameters import item_of
    from a2lc.paper.regenerate import execute, plan, redirected
    from a2lc.paper.summary import write_minutes, write_summary
    from a2lc.segmenter import resolve_device

    if scheduler is not None:
        import a2lc.paper.cluster  # noqa: F401 (where it is missing, nothing is begun)
    failures: dict[Path, dict[str, str]] = {}
    tasks = plan(profile, notebooks or notebooks_of(project_folder()), names)
    if out is not None:
        tasks = redirected(tasks, out)
    for outcome in execute(tasks, jobs, scheduler=scheduler):
        task, item = outcome.task, item_of(outcome.task.notebook)
        failed = failures.setdefault(task.folder, {})
        if outcome.error is None:
            write_minutes(task.folder, {item: outcome.minutes})
            tqdm.write(f"{item}: {outcome.minutes:.1f} minutes, executed copy {task.output}")
        else:
            failed[item] = outcome.error
            tqdm.write(f"{item}: FAILED after {outcome.minutes:.1f} minutes: {outcome.error}; see {task.output}")
        write_summary(task.folder, profile, failed, str(resolve_device("auto")))
    for folder in failures:
        typer.echo(f"summary: {folder / 'README.md'}")
    if any(failures.values()):
        raise typer.Exit(1)


@app.command()
def compare(
    committed: Annotated[Path, typer.Argument(help="Folder of results to compare with, e.g. paper_figures/toy.")],
    now: Annotated[Path, typer.Argument(help="The other folder, e.g. reproduced/toy.")],
    only: Annotated[
        str | None, typer.Option(help="Comma-separated beginnings of items, e.g. table1,figure5; none: all.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every number and file, not only what matters most.")
    ] = False,
) -> None:
    """Say of two folders of results, number by number, whether one reproduces the other.

    Tolerances are those measured for the first folder (its tolerances.csv); a number without one has to be equal. Shown
    are all headline numbers, and of each table the number that is furthest off. Ends with status 1 where a number
    differs or something is missing; on another processor or with other versions, up to 2 % of the numbers may.
    """
    import a2lc
    from a2lc.paper.comparison import made_differently, reproduced
    from a2lc.paper.comparison_report import report

    table = a2lc.compare(committed, now)
    names = _names(only)
    for name in names:
        if not table["item"].str.startswith(name).any():
            raise ValueError(f"--only {name}: expected one of {', '.join(table['item'].unique())}")
    if names:
        table = table[table["item"].str.startswith(tuple(names))]
    typer.echo(report(table, every))
    made = made_differently(committed, now)
    for part, sentences in made.items():
        if sentences:
            typer.echo(f"{'made with' if part == 'computed' else 'other settings'}: {'; '.join(sentences)}")
    yes, words = reproduced(table, elsewhere=bool(made["computed"]))
    typer.echo(f"{now}: {f'{only} of ' if only else ''}{committed} is {words}")
    raise typer.Exit(int(not yes))


@app.command()
def notebooks(
    dest: Annotated[Path, typer.Argument(help="The project's folder: they go to DEST/notebooks, results beside it.")],
) -> None:
    """Copy the notebooks and their parameter files. What is there and differs is never overwritten."""
    from a2lc.notebook import copy_notebooks

    count, folder = copy_notebooks(dest), dest / "notebooks"
    typer.echo(f"{folder}: {count} files copied" if count else f"{folder}: all files are there already")
    typer.echo(f"next: jupyter lab {folder / '00_quickstart.ipynb'}")
    typer.echo(f"or, without a browser: a2lc regenerate --notebooks {folder} --profile smoke --only 00")


@app.command()
def doctor(
    weights: Annotated[Path | None, typer.Option(help="Folder of pretrained weights, where not the usual one.")] = None,
) -> None:
    """Say what this machine has: packages, device, cores, memory, disk, optional parts, pretrained weights."""
    import torch

    from a2lc.machine import OPTIONAL, accelerators, missing, versions_of
    from a2lc.pseudo_labels.label_images import grounded_sam_status
    from a2lc.referring.priors.models import models_status
    from a2lc.segmenter import resolve_device
    from a2lc.segmenter.pretrained import backbone_status

    rows = {"python": platform.python_version()}
    rows |= versions_of(("a2lc", "torch", "torchvision", "numpy", "pandas", "papermill", "jupyterlab"))
    device = resolve_device("auto")
    rows |= {"device": f"{device} (what auto takes)", **accelerators()}
    rows["cores"] = f"{os.cpu_count()}, torch uses {torch.get_num_threads()} threads"
    rows["free disk here"] = f"{shutil.disk_usage('.').free / 2**30:.0f} GiB"
    rows |= {module: missing(module) or "installed" for module in OPTIONAL}
    rows |= backbone_status(weights)
    rows |= grounded_sam_status(weights, device)
    rows |= models_status(weights)
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:{width}} {value}")


def _names(only: str | None) -> list[str]:
    """The names in the option ``--only``; nothing where it is not given."""
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    if only is not None and not names:
        raise ValueError(f"--only: expected names with commas between them, found {only!r}")
    return names


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"budget: expected a whole number or a share such as 0.09, found {text!r}") from None


def _summary(table: pd.DataFrame) -> str:
    columns = ["round", "clicks", "data_miou", "model_miou", "n_auto", "lcm_oa_before", "lcm_oa_after"]
    return table[columns].to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep="-")


for _more in (cli_masks, cli_inspect, cli_find, cli_human, cli_formats):
    app.registered_commands += _more.app.registered_commands
app.add_typer(cli_referring.app, name="referring")


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """In place of `warnings.showwarning`: one line, above the progress bars."""
    from a2lc.files import one_line

    tqdm.write(f"warning: {one_line(message)}", sys.stderr)


def main() -> None:
    """Entry point: warnings, and errors that name what is wrong, are printed in one line each, without a traceback."""
    try:
        with ending(whole=True), warnings.catch_warnings():
            warnings.showwarning = _warn
            app(prog_name="a2lc")
    except (ValueError, OSError, FloatingPointError, MissingExtraError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename is not None:  # the system's own words
            told = f"{error.filename}: cannot be read or written ({error.strerror})"
        told = told if len(told) <= LONGEST else f"{told[:LONGEST]} … ({len(told):,} characters)"
        typer.echo(f"a2lc: {told}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
