"""Commands about referring expressions: ``a2lc referring ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Referring expressions: data of sentences and what they name.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Referring expressions: data of sentences and what they name."""


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="Unpacked archive with refs(unc).p and instances.json.")],
    root: Annotated[Path, typer.Argument(help="Folder to write to; COCO's train2014 goes into it.")],
    dataset: Annotated[str, typer.Option(help="refcoco, refcoco+ or refcocog.")] = "refcoco",
    split_by: Annotated[str | None, typer.Option(help="unc; of refcocog umd (default) or google.")] = None,
) -> None:
    """Read RefCOCO, RefCOCO+ or RefCOCOg once, as data only, and write it as Parquet."""
    from a2lc.referring.refcoco import import_refcoco, load

    folder = import_refcoco(source, root, dataset, split_by)
    for name, split in load(dataset, root, split_by).splits.items():
        referents, images = split.table["ref_id"].nunique(), len(split.names)
        typer.echo(f"{name}: {len(split):,} sentences about {referents:,} objects in {images:,} images")
    typer.echo(f"{folder}: written; COCO's images are looked for in {root / 'train2014'}")
