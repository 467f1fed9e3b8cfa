"""Command line: ``a2lc run | status | regenerate | doctor``, what makes masks (`cli_masks`) and what people do
(`cli_human`)."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a2lc import cli_human, cli_masks
from a2lc.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]


@app.callback()
def _root() -> None:
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
    """List runs: rounds done, clicks, Data and Model mIoU of the last finished round."""
    import pandas as pd

    from a2lc.runs import find_runs

    rows = []
    for found in find_runs(runs_dir):
        row: dict[str, Any] = {
            "run": found.path.name,
            "rounds": f"{max(found.finished_rounds, 0)}/{found.config.rounds}",
        }
        if len(found.summary):
            last = found.summary.iloc[-1]
            row |= {"clicks": int(last["clicks"]), "data_miou": last["data_miou"], "model_miou": last["model_miou"]}
        rows.append(row)
    table = pd.DataFrame(rows)
    typer.echo(
        table.to_string(index=False, float_format=lambda v: f"{v:.4f}", na_rep="-") if rows else f"{runs_dir}: no runs"
    )


@app.command()
def regenerate(
    profile: Annotated[str, typer.Option(help="A file in notebooks/params: smoke, toy, camvid, paper, ...")] = "toy",
    notebooks: Annotated[
        Path | None, typer.Option(help="Folder of the notebooks and their params/, where not the project's.")
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
    from a2lc.parameters import item_of
    from a2lc.regenerate import execute, plan
    from a2lc.segmenter import resolve_device
    from a2lc.summary import write_minutes, write_summary

    if scheduler is not None:
        try:
            import a2lc.cluster  # noqa: F401
        except ImportError as error:
            raise ValueError(str(error)) from error
    names = [] if only is None else [name.strip() for name in only.split(",")]
    failures: dict[Path, dict[str, str]] = {}
    tasks = plan(profile, notebooks or project_folder() / "notebooks", names)
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
def doctor(
    weights: Annotated[Path | None, typer.Option(help="Folder of pretrained weights, where not the usual one.")] = None,
) -> None:
    """Say what this machine has: packages, device, cores, memory, disk, optional parts, pretrained weights."""
    import torch

    from a2lc.pseudo_labels.grounded_sam import grounded_sam_status
    from a2lc.segmenter import resolve_device

    rows = {"python": platform.python_version()}
    rows |= {
        name: version(name) for name in ("a2lc", "torch", "torchvision", "numpy", "pandas", "papermill", "jupyterlab")
    }
    device = resolve_device("auto")
    rows |= {"device": f"{device} (what auto takes)", **_accelerators()}
    rows["cores"] = f"{os.cpu_count()}, torch uses {torch.get_num_threads()} threads"
    rows["free disk here"] = f"{shutil.disk_usage('.').free / 2**30:.0f} GiB"
    optional = {
        "cv2.ximgproc": ("createSuperpixelSEEDS", "SEEDS superpixels"),
        "kneed": ("KneeLocator", "sieving of MerSpx"),
        "joblib": ("Parallel", "superpixels in parallel"),
    }
    for module, (name, use) in optional.items():
        try:
            present = hasattr(importlib.import_module(module), name)
        except ImportError:
            present = False
        rows[module] = "installed" if present else f"not installed ({use}; pip install 'a2lc[superpixels]')"
    rows |= grounded_sam_status(weights, device)
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:{width}} {value}")


def _accelerators() -> dict[str, str]:
    """Which devices besides the CPU are usable, and what to do where they are not."""
    import torch

    if torch.cuda.is_available():
        cuda = f"usable: {torch.cuda.get_device_name()}"
    elif torch.version.cuda is None:
        cuda = "not usable: this torch is built without CUDA; the wheel of PyPI for Linux has it"
    else:
        cuda = f"not usable: torch for CUDA {torch.version.cuda} finds no NVIDIA GPU; ask nvidia-smi about the driver"
    mps = "usable" if torch.backends.mps.is_available() else "not usable: needs an Apple computer with its own GPU"
    return {"cuda": cuda, "mps": mps}


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


app.registered_commands += cli_masks.app.registered_commands + cli_human.app.registered_commands


def main() -> None:
    """Entry point: errors that name what is wrong are printed in one line, without a traceback."""
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"a2lc: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
