"""Command line of a person's rounds: ``correct | queue | next | approve | undo | changes | write-back | export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from a2lc.runs import Run

app = typer.Typer(no_args_is_help=True, add_completion=False)

RunFolder = Annotated[Path, typer.Argument(help="A folder below runs/.")]
Masks = Annotated[list[str] | None, typer.Option("--mask", help="One mask, IMAGE:ID; may be repeated.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Round = Annotated[int | None, typer.Option(help="Which round; the last finished one by default.")]


class Format(Enum):
    """What `export` writes."""

    png = "png"
    voc = "voc"
    coco = "coco"


@app.command()
def correct(
    root: Annotated[
        Path, typer.Argument(help="Your data: images/, labels/ and classes.txt (a2lc/datasets/folder.py).")
    ],
    budget: Annotated[int, typer.Option(min=1, help="Masks asked about per round.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 5,
    masks: Annotated[
        str,
        typer.Option(
            help="regions (connected, of one label), slic, seeds, or a folder of object maps (a2lc sam-masks)."
        ),
    ] = "regions",
    side: Annotated[int, typer.Option(min=4, help="Of slic and seeds: square root of the mean area in pixels.")] = 32,
    params: Annotated[Path | None, typer.Option(help="YAML or JSON file of further experiment fields.")] = None,
    runs_dir: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    device: Device = "auto",
) -> None:
    """Begin to correct your own labels, or go on: train, choose the masks to ask about, and stop for the answers."""
    from a2lc.config import read_fields
    from a2lc.human.own_dataset import about_network, own_experiment
    from a2lc.rounds import run

    fields = {"budget": budget, "rounds": rounds} | (read_fields(params) if params else {})
    config = own_experiment(root, masks, side, **fields)
    typer.echo(about_network(config))
    _say(run(config, runs_dir, device=device))


@app.command()
def queue(
    run_folder: RunFolder,
    export_to: Annotated[Path | None, typer.Option("--export", help="Write the queue as CSV, to fill in.")] = None,
    import_from: Annotated[Path | None, typer.Option("--import", help="Take the answers of such a file.")] = None,
) -> None:
    """Show, export or import the queue that a run waits for."""
    from a2lc.human import Queue
    from a2lc.human.queue_csv import read_queue, write_queue

    found = Queue(_open(run_folder))
    if import_from is not None:
        typer.echo(f"{read_queue(found, import_from)} new answers from {import_from}")
    if export_to is not None:
        write_queue(found, export_to)
        typer.echo(f"{len(found)} masks in {export_to}: fill in the column answer (a class, confirm, void or skip)")
    typer.echo(repr(found))


@app.command("next")
def next_round(
    run_folder: RunFolder,
    enough: Annotated[bool, typer.Option("--enough", help="Although not everything is answered or decided.")] = False,
    device: Device = "auto",
) -> None:
    """Go on with a run: what is not answered goes back to the pool, what is not approved is not corrected."""
    from a2lc.human import Queue
    from a2lc.human import next_round as go_on

    run = _open(run_folder)
    queue = Queue(run) if run.waits_for == "answers" else None
    run = go_on(run, enough, device=device)
    if queue is not None and queue.pending:
        typer.echo(f"{len(queue.pending)} of {len(queue)} masks had no answer and are back in the pool")
    if queue is not None and run.config.lcm and run.config.approval and run.finished_rounds >= queue.round:
        typer.echo(f"round {queue.round}: the LCM proposes no correction, so there is nothing to approve of")
    _say(run)


@app.command()
def approve(
    run_folder: RunFolder,
    everything: Annotated[bool, typer.Option("--all", help="All corrections.")] = False,
    old: Annotated[str | None, typer.Option("--from", help="Those of this class.")] = None,
    new: Annotated[str | None, typer.Option("--to", help="Those to this class.")] = None,
    mask: Masks = None,
    reject: Annotated[bool, typer.Option("--reject", help="Reject instead: the LCM never touches them again.")] = False,
) -> None:
    """Show what the LCM would correct; with options, approve or reject it."""
    from a2lc.human.approval import CAVEAT, Approval

    found = Approval(_open(run_folder))
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
) -> None:
    """Put labels back that the LCM has changed; it never touches these masks again."""
    from a2lc.human.undo import automatic_corrections, undo_corrections

    run = _open(run_folder)
    if mask:
        typer.echo(f"{undo_corrections(run, _masks(mask))} labels put back")
    else:
        typer.echo(automatic_corrections(run).drop(columns="row").to_string(index=False))


@app.command()
def changes(
    folder: Annotated[Path, typer.Argument(help="The folder of changes.")],
    run_folder: Annotated[Path | None, typer.Option("--run", help="Write the changes of this run into it.")] = None,
    apply_to: Annotated[Path | None, typer.Option("--apply", help="Write them into this dataset's labels.")] = None,
    revert_in: Annotated[Path | None, typer.Option("--revert", help="Put this dataset's labels back.")] = None,
    round: Round = None,
) -> None:
    """Make a list of changes, apply it to a dataset or revert it there."""
    from a2lc.human.write_back import CHANGES, apply_changes, revert_changes, write_changes

    if sum(option is not None for option in (run_folder, apply_to, revert_in)) != 1:
        raise ValueError("changes: expected one of --run, --apply and --revert")
    if run_folder is not None:
        typer.echo(f"{len(write_changes(_open(run_folder), folder, round))} changes in {folder / CHANGES}")
    if apply_to is not None:
        typer.echo(f"{apply_changes(folder, apply_to)} label files of {apply_to} changed")
    if revert_in is not None:
        typer.echo(f"{revert_changes(folder, revert_in)} label files of {revert_in} put back")


@app.command("write-back")
def write_back(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="The corrected copy; it must not exist.")],
    round: Round = None,
) -> None:
    """Copy your dataset with corrected labels; the list of changes lies in it."""
    from a2lc.human.write_back import CHANGES
    from a2lc.human.write_back import write_back as copy

    found = copy(_open(run_folder), out, round)
    files = found["image"].nunique()
    typer.echo(f"{len(found)} masks changed in {files} label files of {out}, see {out / 'changes' / CHANGES}")


@app.command()
def export(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="A folder; with --format coco a JSON file.")],
    round: Round = None,
    format: Annotated[
        Format, typer.Option(help="png: mask_jpg/ and obj_jpg/; voc: SegmentationClass/ and lists; coco: run lengths.")
    ] = Format.png,
) -> None:
    """Write the label maps and object maps of a run.

    Of superpixels without labels only those have one that were answered with one class.
    """
    from a2lc.human.exports import export_coco, export_png, export_voc

    run = _open(run_folder)
    masks = run.masks(round)
    if format is Format.coco:
        counts = export_coco(masks, out, _file_names(run))
        typer.echo(f"{counts['annotations']} masks of {counts['images']} images in {out}")
    elif format is Format.voc:
        export_voc(masks, out)
        typer.echo(f"{len(masks.names)} label maps in {out / 'SegmentationClass'}")
    else:
        export_png(masks, out)
        typer.echo(f"{len(masks.names)} label maps in {out / 'mask_jpg'}, object maps in {out / 'obj_jpg'}")


def _file_names(run: Run) -> dict[str, str]:
    """The names of the image files, where they lie in one folder ``images``."""
    from a2lc.datasets.listing import index_files

    folder = None if run.config.root is None else run.config.root / "images"
    return {name: path.name for name, path in index_files(folder).items()} if folder and folder.is_dir() else {}


def _open(run_folder: Path) -> Run:
    from a2lc.runs import Run

    return Run.open(run_folder)


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
