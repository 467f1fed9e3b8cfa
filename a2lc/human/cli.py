"""Command line of a person's rounds: ``correct | queue | next | approve | undo | changes | write-back``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from a2lc.config import Experiment
    from a2lc.runs import Run

app = typer.Typer(no_args_is_help=True, add_completion=False)

RunFolder = Annotated[Path, typer.Argument(help="A run's folder, or its name as `a2lc status` lists it.")]
RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]
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

    fields = {"budget": 100} | (read_fields(params) if params else {})
    fields |= {name: value for name, value in (("budget", budget), ("rounds", rounds)) if value is not None}
    cut: dict[str, Any] = {name: value for name, value in (("masks", masks), ("side", side)) if value is not None}
    if "pseudo_labels" in fields and cut:
        raise ValueError(f"{params}: has pseudo_labels, so expected neither --masks nor --side")
    config = own_experiment(root.absolute(), **cut, **fields)
    config = _going_on(config, runs_dir, "rounds" in fields)
    if not (runs_dir / config.name / "config.json").is_file():
        typer.echo(inspect(root, thorough=False, progress=show_bars(True)).short)
    typer.echo(about_method(config))
    _say(run(config, runs_dir, device=device))


@app.command()
def queue(
    run_folder: RunFolder,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Write the queue as CSV, to fill in, and pictures beside it.")
    ] = None,
    import_from: Annotated[Path | None, typer.Option("--import", help="Take the answers of such a file.")] = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Say how far the queue is that a run waits for, write it as a table, or read the answers of one.

    An answer is a class; confirm: the label is right; void: these pixels are no class, and get no label; skip: asked
    again in a later round. A mask of several classes takes the one that most of it is.
    """
    from a2lc.human import Queue
    from a2lc.human.live_order import LiveOrder
    from a2lc.human.queue_csv import read_queue, write_queue

    found = Queue(open_run(run_folder, runs_dir))
    if import_from is not None:
        typer.echo(f"{import_from}: answers taken from it: {read_queue(found, import_from)}")
    if export_to is not None:
        write_queue(found, export_to, pictures=True)
        typer.echo(f"{len(found)} masks in {export_to}: fill in the column answer (a class, confirm, void or skip)")
    left = f"{found.answered} answered, {found.skipped} skipped, {len(found.pending)} left"
    typer.echo(f"round {found.round}: {len(found)} masks, {left}")
    if not found.pending:
        typer.echo(f"a2lc next {found.run.path}")
    if found.run.config.is_instant and (expected := LiveOrder(found).outlook):
        typer.echo(expected)


@app.command("next")
def next_round(
    run_folder: RunFolder,
    enough: Annotated[bool, typer.Option("--enough", help="Although not everything is answered or decided.")] = False,
    runs_dir: RunsDir = Path("runs"),
    device: Device = "auto",
) -> None:
    """Go on with a run: what is not answered goes back to the pool, what is not approved is not corrected."""
    from a2lc.human import Queue
    from a2lc.human import next_round as go_on

    run = open_run(run_folder, runs_dir)
    queue = Queue(run) if run.waits_for == "answers" else None
    if queue is not None and enough and not queue.answered and not queue.skipped:
        raise ValueError(
            f"round {queue.round}: expected an answer or a skipped mask, found none: nothing would come of it"
        )
    run = go_on(run, enough, device=device)
    if queue is not None and queue.pending:
        typer.echo(f"{len(queue.pending)} of {len(queue)} masks had no answer and are back in the pool")
    if queue is not None and run.config.lcm and run.config.approval and run.finished_rounds >= queue.round:
        why = f"the LCM is at least {run.config.correction.threshold(queue.round):g} sure of no other label"
        if run.config.is_instant:
            why = "the answers are not sure enough of any other label" if queue.answered else "nothing was answered"
        typer.echo(f"round {queue.round}: {why}, so there is nothing to approve of")
    _say(run)


@app.command()
def approve(
    run_folder: RunFolder,
    everything: Annotated[bool, typer.Option("--all", help="All corrections.")] = False,
    old: Annotated[str | None, typer.Option("--from", help="Those of this class.")] = None,
    new: Annotated[str | None, typer.Option("--to", help="Those to this class.")] = None,
    mask: Masks = None,
    reject: Annotated[bool, typer.Option("--reject", help="Reject instead: they are never corrected again.")] = False,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Show what would be corrected; with options, approve or reject it."""
    from a2lc.human.approval import CAVEAT, Approval

    found = Approval(open_run(run_folder, runs_dir))
    if everything or old or new or mask:
        decide = found.reject if reject else found.approve
        count = decide(old, new, _masks(mask) if mask else None)
        typer.echo(f"{count} corrections {'rejected' if reject else 'approved'}")
    elif reject:
        raise ValueError("--reject: say what, by --all, --from, --to or --mask")
    typer.echo(f"{found.expected()}\n{CAVEAT}\n")
    shares = {name: "{:.2f}".format for name in ("right", "low", "high", "confidence")}
    typer.echo(found.flows().to_string(index=False, formatters=shares))


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
        typer.echo(f"{undo_corrections(run, _masks(mask))} labels put back")
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
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Make a list of changes, apply it to a dataset or revert it there."""
    from a2lc.human.write_back import CHANGES, apply_changes, revert_changes, write_changes

    if sum(option is not None for option in (run_folder, apply_to, revert_in)) != 1:
        raise ValueError("changes: expected one of --run, --apply and --revert")
    if run_folder is not None:
        typer.echo(f"{len(write_changes(open_run(run_folder, runs_dir), folder, round))} changes in {folder / CHANGES}")
    if apply_to is not None:
        typer.echo(f"{apply_changes(folder, apply_to)} label files of {apply_to} changed")
    if revert_in is not None:
        typer.echo(f"{revert_changes(folder, revert_in)} label files of {revert_in} put back")


@app.command("write-back")
def write_back(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="The corrected copy; it must not exist.")],
    round: Round = None,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Copy your dataset with corrected labels; the list of changes lies in it."""
    from a2lc.human.write_back import CHANGES
    from a2lc.human.write_back import write_back as copy

    run = open_run(run_folder, runs_dir)
    found = copy(run, out, round)
    if not len(found):
        typer.echo(f"{out}: a copy without changes; {run.status}", err=True)
    files = found["image"].nunique()
    typer.echo(f"{len(found)} masks changed in {files} label files of {out}, see {out / 'changes' / CHANGES}")


def _going_on(config: Experiment, runs_dir: Path, asked: bool) -> Experiment:
    """The configuration; of a run that is there, with its number of rounds where none was asked for. More are told,
    fewer are refused: `a2lc next` would not keep to them. Where another run of the dataset is not finished, that is
    told: it may be the one that was meant."""
    from a2lc.runs import Run, run_folders

    if not ((folder := runs_dir / config.name) / "config.json").is_file():
        for other in run_folders(runs_dir) if runs_dir.is_dir() else []:
            with suppress(ValueError, OSError):
                if (found := Run.open(other)).config.root == config.root and not found.finished:
                    how = f"has other settings and is not finished: a2lc next {other} goes on with it"
                    typer.echo(f"a new run; {other} of this dataset {how}", err=True)
        return config
    before = Run.open(folder).config.rounds
    if not asked:
        return config.model_copy(update={"rounds": before})
    if config.rounds < before:
        what = f"{folder} has {before}, expected as many or more, found {config.rounds}"
        raise ValueError(f"rounds: {what}; labels can be written back after any round")
    if config.rounds > before:
        typer.echo(f"{folder}: {config.rounds} rounds from now on, {before} before")
    return config


def open_run(run_folder: Path, runs_dir: Path) -> Run:
    """The run in a folder: the one that is typed, else the one of this name in the folder of all runs."""
    from a2lc.files import nearest
    from a2lc.runs import Run, run_folders

    places = list(dict.fromkeys((run_folder, runs_dir / run_folder)))
    for folder in places:
        if (folder / "config.json").is_file():
            return Run.open(folder)
    names = [folder.name for folder in run_folders(runs_dir)] if runs_dir.is_dir() else []
    where = " nor in ".join(map(str, places))
    raise FileNotFoundError(
        f"no run in {where} (expected config.json){nearest(run_folder.name, names)}; other folders: --runs-dir"
    )


def _masks(texts: list[str]) -> list[tuple[str, int]]:
    found = []
    for text in texts:
        image, _, mask_id = text.rpartition(":")
        if not image or not mask_id.isdecimal():
            raise ValueError(f"expected a mask as IMAGE:ID, found {text!r}")
        found.append((image, int(mask_id)))
    return found


def _say(run: Run) -> None:
    """What to do next."""
    typer.echo(f"{run.path}: {run.status}")
    commands = {
        "answers": f"a2lc queue {run.path} --export queue.csv, fill it in, --import it; then a2lc next",
        "approval": f"a2lc approve {run.path}; then a2lc next",
    }
    if run.waits_for:
        typer.echo(commands[run.waits_for])
    elif run.finished:
        typer.echo(f"a2lc write-back {run.path} CORRECTED_COPY")
