"""Command line of a person's rounds: ``correct | queue | next | approve | undo | changes | write-back``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a2lc.human.run_cli import Root, RunFolder, RunsDir, begun_before, masks_typed, open_run, quoted, say_next

if TYPE_CHECKING:
    from a2lc.runs import Run

app = typer.Typer(no_args_is_help=True, add_completion=False)

Masks = Annotated[list[str] | None, typer.Option("--mask", help="One mask, IMAGE:ID; may be repeated.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Round = Annotated[int | None, typer.Option(help="Which round; the last finished one by default.")]
PAPERS = "`method: a2lc` is the paper's, which trains a network in every round"


@app.command()
def correct(
    root: Annotated[
        Path, typer.Argument(help="Your data: images/, labels/ and classes.txt (a2lc/datasets/folder.py).")
    ],
    budget: Annotated[int | None, typer.Option(min=1, help="Masks asked about per round; 100.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Number of rounds: 5, or as many as the run that is gone on with.")
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="regions (connected, of one label), slic, seeds, or a folder of object maps (a2lc sam-masks); regions."
        ),
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=4, help="Of slic and seeds: square root of the mean area in pixels; 32.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help=f"YAML or JSON file of further experiment fields; options win; {PAPERS}.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    device: Device = "auto",
) -> None:
    """Begin to correct your own labels, or go on: choose the masks to ask about, and stop for the answers."""
    from a2lc.config import read_fields
    from a2lc.human.inspection import inspect
    from a2lc.human.own_dataset import about_method, own_experiment
    from a2lc.machine import show_bars
    from a2lc.rounds import run
    from a2lc.runs import place_of

    fields = {"budget": 100} | (read_fields(params) if params else {})
    fields |= {name: value for name, value in (("budget", budget), ("rounds", rounds)) if value is not None}
    cut: dict[str, Any] = {name: value for name, value in (("masks", masks), ("side", side)) if value is not None}
    if "pseudo_labels" in fields and cut:
        raise ValueError(f"{params}: has pseudo_labels, so expected neither --masks nor --side")
    config = own_experiment(root.absolute(), **cut, **fields)
    config = begun_before(config, runs_dir, "rounds" in fields)
    if not (place_of(config, runs_dir) / "config.json").is_file():
        typer.echo(inspect(root, thorough=False, progress=show_bars(True)).short)
    typer.echo(about_method(config))
    say_next(run(config, runs_dir, device=device))


@app.command()
def queue(
    run_folder: RunFolder,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Write the queue as CSV, to fill in, and pictures beside it.")
    ] = None,
    import_from: Annotated[Path | None, typer.Option("--import", help="Take the answers of such a file.")] = None,
    root: Root = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Say how far the queue is that a run waits for, write it as a table, or read the answers of one.

    An answer is a class; confirm: the label is right; void: these pixels are no class, and get no label; void image:
    no label of the whole image is of use; mixed mask: several classes are in it, its label stays; skip: asked again in
    a later round.
    """
    from a2lc.human import WORDS, Queue
    from a2lc.human.live_order import LiveOrder
    from a2lc.human.queue_csv import read_queue, write_queue

    run = open_run(run_folder, runs_dir, root)
    if run.waits_for != "answers":
        if import_from is not None or export_to is not None:
            raise ValueError(f"{run.path}: asks nothing now: {run.status}; `a2lc next {run.path}` says what follows")
        say_next(run)
        return
    found = Queue(run)
    if import_from is not None:
        typer.echo(f"{import_from}: answers taken from it: {read_queue(found, import_from)}")
    if export_to is not None:
        page = write_queue(found, export_to, pictures=True)
        shown = "" if page is None else f"; {page} shows them, needs no network, and fills in the table"
        typer.echo(f"{len(found)} masks in {export_to}: fill in answer (a class, {', '.join(WORDS)}){shown}")
    left = f"{found.answered} answered, {found.skipped} skipped, {len(found.pending)} left"
    typer.echo(f"round {found.round}: {len(found)} masks, {left}")
    if not found.pending:
        typer.echo(f"a2lc next {quoted(run.path)}")
    if run.config.is_instant and (expected := LiveOrder(found).outlook):
        typer.echo(expected)


@app.command("next")
def next_round(
    run_folder: RunFolder,
    enough: Annotated[bool, typer.Option("--enough", help="Although not everything is answered or decided.")] = False,
    root: Root = None,
    runs_dir: RunsDir = Path("runs"),
    device: Device = "auto",
) -> None:
    """Go on with a run: what is not answered goes back to the pool, what is not approved is not corrected."""
    from a2lc.human.approval import Approval
    from a2lc.human.going_on import next_round as go_on
    from a2lc.human.going_on import what_came_of
    from a2lc.human.queue import Queue

    run = open_run(run_folder, runs_dir, root)
    if run.finished:
        with suppress(PermissionError):  # it may have been killed at the very end
            run.folder(run.finished_rounds).clean()
        say_next(run)
        return
    closed = Queue(run) if run.waits_for == "answers" else Approval(run) if run.waits_for == "approval" else None
    if isinstance(closed, Queue) and enough and not closed.answered and not closed.skipped:
        typer.echo(f"round {closed.round}: nothing is answered or skipped, so nothing would come of it; it stays open")
    else:
        run = go_on(run, enough, device=device)
        for line in what_came_of(closed, run):
            typer.echo(line)
    say_next(run)


@app.command()
def approve(
    run_folder: RunFolder,
    everything: Annotated[bool, typer.Option("--all", help="All corrections.")] = False,
    old: Annotated[str | None, typer.Option("--from", help="Those of this class.")] = None,
    new: Annotated[str | None, typer.Option("--to", help="Those to this class.")] = None,
    mask: Masks = None,
    reject: Annotated[bool, typer.Option("--reject", help="Reject instead: they are never corrected again.")] = False,
    root: Root = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Show what would be corrected; with options, approve or reject it."""
    from a2lc.human.approval import CAVEAT, Approval

    run = open_run(run_folder, runs_dir, root)
    if run.waits_for != "approval":
        typer.echo("nothing is proposed now, so there is nothing to approve of")
        say_next(run)
        return
    found = Approval(run)
    if everything or old or new or mask:
        decide = found.reject if reject else found.approve
        count = decide(old, new, masks_typed(mask) if mask else None)
        typer.echo(f"{count} corrections {'rejected' if reject else 'approved'}")
    elif reject:
        raise ValueError("--reject: say what, by --all, --from, --to or --mask")
    typer.echo(f"{found.expected()}\n{CAVEAT}\n")
    shares = {name: "{:.2f}".format for name in ("right", "low", "high", "confidence")}
    typer.echo(found.flows().to_string(index=False, formatters=shares))
    if (found.table["decision"] != "").all():
        typer.echo(f"a2lc next {quoted(run.path)}")


@app.command()
def undo(
    run_folder: RunFolder,
    mask: Annotated[
        list[str] | None, typer.Argument(help="Masks, IMAGE:ID each; none: list what can be undone.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Put labels back that nobody was asked about; these masks are never corrected again."""
    from a2lc.human.undo import automatic_corrections, undo_corrections

    run = open_run(run_folder, runs_dir)
    if mask:
        typer.echo(f"{undo_corrections(run, masks_typed(mask))} labels put back")
    elif len(found := automatic_corrections(run)):
        typer.echo(found.drop(columns="row").to_string(index=False))
    else:
        typer.echo(f"{run.path}: nothing to undo, nothing was corrected without being asked about")


@app.command()
def changes(
    folder: Annotated[Path, typer.Argument(help="The folder of changes.")],
    run_folder: Annotated[Path | None, typer.Option("--run", help="Write the changes of this run into it.")] = None,
    apply_to: Annotated[Path | None, typer.Option("--apply", help="Write them into this dataset's labels.")] = None,
    revert_in: Annotated[Path | None, typer.Option("--revert", help="Put this dataset's labels back.")] = None,
    round: Round = None,
    root: Root = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Make a list of changes, apply it to a dataset or revert it there."""
    from a2lc.human.write_back import CHANGES, apply_changes, revert_changes, write_changes

    if sum(option is not None for option in (run_folder, apply_to, revert_in)) != 1:
        raise ValueError("changes: expected one of --run, --apply and --revert")
    if run_folder is not None:
        run = open_run(run_folder, runs_dir, root)
        typer.echo(f"{len(write_changes(run, folder, round))} changes in {folder / CHANGES}")
        _say_what_waits(run, round)
    if apply_to is not None:
        typer.echo(f"{apply_changes(folder, apply_to)} label files of {apply_to} changed")
    if revert_in is not None:
        typer.echo(f"{revert_changes(folder, revert_in)} label files of {revert_in} put back")


@app.command("write-back")
def write_back(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="The corrected copy; it must not exist.")],
    round: Round = None,
    root: Root = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Copy your dataset with corrected labels; the list of changes lies in it."""
    from a2lc.human.write_back import CHANGES
    from a2lc.human.write_back import write_back as copy

    run = open_run(run_folder, runs_dir, root)
    found = copy(run, out, round)
    if not len(found):
        typer.echo(f"{out}: a copy without changes; {run.status}", err=True)
    files = found["image"].nunique()
    typer.echo(f"{len(found)} masks changed in {files} label files of {out}, see {out / 'changes' / CHANGES}")
    _say_what_waits(run, round)


def _say_what_waits(run: Run, round: int | None) -> None:
    """Say that what was answered in a round that waits does not count yet."""
    if round is None and run.waits_for and (run.folder(run.finished_rounds + 1).path / "answers.jsonl").is_file():
        what = "what was said in it is not in these labels yet. To let it count"
        typer.echo(f"{run.status}: {what}: a2lc next {quoted(run.path)} --enough", err=True)
