"""Command line of other programs' formats: ``import | export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a2lc.human.cli import Round
from a2lc.human.run_cli import Root, RunFolder, RunsDir, open_run

if TYPE_CHECKING:
    from a2lc.human.exports import Labels
    from a2lc.masks import MaskSet
    from a2lc.runs import Run

app = typer.Typer(no_args_is_help=True, add_completion=False)


OBJECTS = ("coco", "panoptic", "labelme", "yolo", "label-studio")
"""Formats in which an object has one class."""


class Format(Enum):
    """What `export` writes, and but for png, what `import` reads."""

    png = "png"
    voc = "voc"
    coco = "coco"
    panoptic = "panoptic"
    labelme = "labelme"
    yolo = "yolo"
    label_studio = "label-studio"
    hugging_face = "hugging-face"
    cityscapes = "cityscapes"


@app.command("import")
def import_source(
    source: Annotated[Path, typer.Argument(help="A dataset of another program: its folder, or its JSON file.")],
    folder: Annotated[Path, typer.Argument(help="The dataset to make, a new folder.")],
    format: Annotated[Format | None, typer.Option(help="Looked for by default; docs/formats.md.")] = None,
) -> None:
    """Make a plain dataset of another program's, each of its objects one mask; images are linked."""
    from a2lc.formats import import_dataset

    for note in import_dataset(source, folder, None if format is None else format.value):
        typer.echo(note)
    typer.echo(f"a2lc correct {folder} --masks {folder / 'objects'}")


@app.command()
def export(
    run_folder: RunFolder,
    out: Annotated[Path, typer.Argument(help="A new folder; of coco and label-studio a new JSON file.")],
    round: Round = None,
    root: Root = None,
    format: Annotated[Format, typer.Option(help="png: mask_jpg/ and obj_jpg/; others: docs/formats.md.")] = Format.png,
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """Write the label maps and object maps of a run; of an imported dataset, in its own format, its own files with
    the classes that are other ones now.

    Of superpixels without labels only those have one that were answered with one class.
    """
    from a2lc.formats import export_source, imported_format
    from a2lc.human.exports import export_coco, export_png, export_voc, labels_of_run
    from a2lc.masks.pieces import in_pieces

    run = open_run(run_folder, runs_dir, root)
    masks = in_pieces(run.masks(round))
    labels = labels_of_run(run, masks)
    if run.config.root is not None and imported_format(run.config.root) == format.value:
        for note in export_source(run.config.root, labels, masks.names, masks.classes.names, out):
            typer.echo(note)
        if masks.pieces and format.value in OBJECTS:
            typer.echo(
                f"{len(masks.pieces)} pieces of masks that were cut are not in it: an object has one class there"
            )
        typer.echo(out)
    elif format is Format.coco:
        counts = export_coco(masks, out, file_names(run))
        typer.echo(f"{counts['annotations']} masks of {counts['images']} images in {out}")
    elif format is Format.voc:
        for note in export_voc(masks, out, labels):
            typer.echo(note)
        typer.echo(f"{len(masks.names)} label maps in {out / 'SegmentationClass'}")
    elif format is Format.png:
        export_png(masks, out, labels)
        typer.echo(f"{len(masks.names)} label maps in {out / 'mask_jpg'}, object maps in {out / 'obj_jpg'}")
    else:
        typer.echo(_written(format, run, masks, labels, out))


def _written(format: Format, run: Run, masks: MaskSet, labels: Labels, out: Path) -> str:
    """Write masks in a format that their dataset did not come from, and say what was written."""
    from a2lc.formats import writers
    from a2lc.human.moving import dataset_of

    if format is Format.hugging_face:
        return writers.write_hugging_face(masks, out, dataset_of(run).train, labels)
    if format is Format.cityscapes:
        return writers.write_cityscapes(masks, out, labels)
    write = {
        Format.panoptic: writers.write_panoptic,
        Format.labelme: writers.write_labelme,
        Format.yolo: writers.write_yolo,
        Format.label_studio: writers.write_label_studio,
    }[format]
    return write(masks, out, file_names(run))


def file_names(run: Run) -> dict[str, str]:
    """The image files by name, where the data are one's own: their paths from the folder of images."""
    from a2lc.config import OWN_DATA
    from a2lc.datasets.layout import NAME, read_layout
    from a2lc.datasets.own_files import own_files
    from a2lc.human.moving import check_not_moved

    root = run.config.root
    if run.config.dataset != OWN_DATA or root is None:
        return {}
    check_not_moved(run)
    layout = read_layout(root)
    place = "" if layout.pairs is not None else layout.images
    above = root / (place.partition(NAME)[0].rpartition("/")[0] if NAME in place else place)
    return {name: path.relative_to(above).as_posix() for name, path in own_files(root, layout).images.items()}
