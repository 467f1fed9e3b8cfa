"""Command line of what is around the runs: ``notebooks | doctor``."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def notebooks(
    dest: Annotated[Path, typer.Argument(help="The project's folder: they go to DEST/notebooks, results beside it.")],
) -> None:
    """Copy the notebooks and their parameter files. What is there and differs is never overwritten."""
    from a2lc.notebook_files import copy_notebooks

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

    from a2lc.extras import SUPERPIXELS, missing
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
    rows |= {module: missing(module) or "installed" for module in SUPERPIXELS}
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
