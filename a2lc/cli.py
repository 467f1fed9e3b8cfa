"""Command line: ``a2lc run | status | regenerate``, what makes masks (`cli_masks`), what people do (`cli_human`) and
what is around (`cli_setup`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a2lc import __version__, cli_human, cli_masks, cli_setup
from a2lc.extras import MissingExtraError
from a2lc.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd

    from a2lc.runs import Run

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]


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
        Path | None, typer.Option(help="YAML or JSON file of experiment fields, e.g. notebooks/params/camvid.yaml.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="toy, camvid, voc2012, cityscapes or folder.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    method: Annotated[str | None, typer.Option(help=f"One of {', '.join(METHODS)}.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    rounds: Annotated[int | None, typer.Option(help="Number of rounds.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Masks queried per round: a whole number, or a share of all masks such as 0.09.")
    ] = None,
    acquisition: Annotated[str | None, typer.Option(help="One of the eleven acquisition functions.")] = None,
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
    result = a2lc.run(a2lc.Experiment(**fields), runs_dir, device=device)
    typer.echo(_summary(result.summary))
    typer.echo(result.status)
    typer.echo(result.path)


@app.command()
def status(runs_dir: RunsDir = Path("runs")) -> None:
    """List all runs: rounds done, clicks, Data and Model mIoU of the last finished round. Those that cannot be read are
    marked, and the reasons follow."""
    import pandas as pd

    from a2lc.runs import Run, run_folders

    rows, reasons = [], []
    for folder in run_folders(runs_dir):
        try:
            rows.append({"run": folder.name} | _standing(Run.open(folder)))
        except (ValueError, OSError) as error:
            rows.append({"run": folder.name, "rounds": "unreadable"})
            reasons.append(f"unreadable: {error}")
    table = pd.DataFrame(rows, columns=["run", "rounds", "clicks", "data_miou", "model_miou"])
    table = table.astype({"clicks": "Int64", "data_miou": float, "model_miou": float})
    text = table.to_string(index=False, float_format="{:.4f}".format, na_rep="-")
    typer.echo("\n".join([text, *reasons]) if rows else f"{runs_dir}: no runs")


def _standing(run: Run) -> dict[str, Any]:
    """How far a run is, and its last numbers."""
    summary, numbers = run.summary, ["clicks", "data_miou", "model_miou"]
    last = summary.iloc[-1] if len(summary) else {}
    return {"rounds": f"{max(run.finished_rounds, 0)}/{run.config.rounds}"} | {name: last.get(name) for name in numbers}


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
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks executed at once; runs they share are played once.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Play the runs on a dask cluster that sees the same folders: tcp://HOST:PORT or a scheduler file; or "
            "local: this machine, a worker per GPU. --jobs notebooks wait for their runs at once. Needs extra cluster."
        ),
    ] = None,
) -> None:
    """Execute the notebooks with a profile's parameters, and write results and a summary to its figures_dir.

    Tables come before the figures that read their runs; tutorials are executed only when named. Relative folders in a
    profile are relative to the project, which holds the notebooks' folder, wherever this is typed.
    """
    from tqdm.auto import tqdm

    from a2lc.notebook import project_folder
    from a2lc.notebook_files import notebooks_of
    from a2lc.parameters import item_of
    from a2lc.regenerate import execute, plan
    from a2lc.segmenter import resolve_device
    from a2lc.summary import write_minutes, write_summary

    if scheduler is not None:
        import a2lc.cluster  # noqa: F401 (where it is missing, nothing is begun)
    names = [] if only is None else [name.strip() for name in only.split(",")]
    failures: dict[Path, dict[str, str]] = {}
    tasks = plan(profile, notebooks or notebooks_of(project_folder()), names)
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


for _more in (cli_masks, cli_human, cli_setup):
    app.registered_commands += _more.app.registered_commands


def main() -> None:
    """Entry point: errors that name what is wrong are printed in one line, without a traceback."""
    try:
        app(prog_name="a2lc")
    except (ValueError, OSError, MissingExtraError) as error:
        typer.echo(f"a2lc: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
