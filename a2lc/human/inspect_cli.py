"""Command line: ``a2lc inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("inspect")
def inspect_folder(
    root: Annotated[
        Path, typer.Argument(help="Your data, best as images/, labels/ and classes.txt (a2lc/datasets/folder.py).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="A folder to write, a page with pictures in it; it must not exist.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write what is proposed, dataset.yaml and a class list; never over a file.")
    ] = False,
) -> None:
    """Look at a dataset before anything runs: what is there, what is wrong, and what to type. Ends with status 1 where
    something is certainly wrong.

    Where files lie otherwise than expected, pictures and label files are searched for.
    """
    from a2lc.human.inspection import inspect
    from a2lc.human.inspection.proposal import proposed_files, write_proposal
    from a2lc.machine import show_bars

    found = inspect(root, progress=show_bars(True))
    typer.echo(str(found))
    if out is not None:
        from a2lc.human.inspection.page import write_page

        write_page(found, out)
        typer.echo(f"{out / 'index.html'} shows it, with pictures")
    if write:
        names = write_proposal(found)
        for name in names:
            typer.echo(f"{root / name} written; look at it, then inspect again")
        if not names:
            typer.echo("nothing to write")
    elif names := [*proposed_files(found)]:
        typer.echo(f"--write makes {' and '.join(names)} of this")
    if found.errors:
        raise typer.Exit(1)
