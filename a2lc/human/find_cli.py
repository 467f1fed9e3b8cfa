"""Command line: ``a2lc find``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from a2lc.human.cli import Device
from a2lc.human.run_cli import RunsDir

FEW = 50  # images: with fewer, what is said of a mask is rough

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def find(
    root: Annotated[
        Path, typer.Argument(help="Your data: images/, labels/ and classes.txt (a2lc/datasets/folder.py).")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")] = Path("found"),
    top: Annotated[int, typer.Option(min=0, help="How many masks the page shows.")] = 100,
    masks: Annotated[
        str, typer.Option(help="regions (connected, of one label), slic, seeds, or a folder of object maps.")
    ] = "regions",
    side: Annotated[int, typer.Option(min=4, help="Of slic and seeds: square root of the mean area in pixels.")] = 32,
    features: Annotated[
        str | None, typer.Option(help="A backbone of timm, or colour, which needs no weights; what is there.")
    ] = None,
    fail_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="End with status 1 where a mask is at least so likely wrong.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    device: Device = "auto",
) -> None:
    """List the masks of a labelled dataset, the most suspicious first: no question is asked, no network trained.

    Writes OUT/masks.csv with all masks and OUT/index.html with pictures of the most suspicious. Masks and features are
    kept in the folder of all runs.
    """
    import a2lc
    from a2lc.datasets import load_dataset
    from a2lc.files import atomic_folder, write_text
    from a2lc.human.gallery import write_gallery
    from a2lc.human.own_dataset import default_features, own_experiment
    from a2lc.machine import show_bars
    from a2lc.stages.initial import initial_masks

    features, bars = features or default_features(), show_bars(True)
    config = own_experiment(root.absolute(), masks, side, instant={"features": features})
    with atomic_folder(out) as folder:
        dataset = load_dataset(config.dataset, config.root)
        found_masks, kept = initial_masks(config, dataset, runs_dir, bars)
        found = a2lc.find(dataset, found_masks, features=features, kept=kept, device=device, progress=bars)
        write_text(folder / "masks.csv", found.drop(columns="row").to_csv(index=False, lineterminator="\n"))
        shown = found.head(top)
        words = f"The {len(shown)} most suspicious of {len(found):,} masks; features: {features}."
        for note in write_gallery(
            shown, found_masks, dataset.train, folder, f"Suspicious labels of {root.absolute().name}", words
        ):
            warnings.warn(note, stacklevel=1)
    likely = int((found["wrong"] > 0.5).sum())
    typer.echo(f"{len(found)} masks of {len(found_masks.names)} images, features: {features}")
    few = f" (roughly: {len(found_masks.names)} images teach little)" if len(found_masks.names) < FEW else ""
    typer.echo(f"{likely} labels are likelier wrong than right{few}; the most suspicious:")
    columns = ["image", "mask_id", "label", "suggestion", "wrong", "area"]
    if top:
        typer.echo(found.head(min(top, 10))[columns].to_string(index=False, float_format="{:.2f}".format))
    typer.echo(f"{out / 'index.html'} shows {len(shown)}, {out / 'masks.csv'} lists all")
    if fail_from is not None and (worst := int((found["wrong"] >= fail_from).sum())):
        typer.echo(f"{worst} masks are wrong with at least {fail_from:g}: status 1", err=True)
        raise typer.Exit(1)
