"""Command line of what makes masks from images: ``pseudo-label | sam-masks``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)

Sam = Annotated[str, typer.Option(help="sam_vit_h, or the smaller sam_vit_l, sam_vit_b.")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Weights = Annotated[
    Path | None, typer.Option(help="Folder of pretrained weights; A2LC_WEIGHTS or ~/.cache/a2lc by default.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never download.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unreadable images out and count them.")]


@app.command("pseudo-label")
def pseudo_label(
    dataset: Annotated[str, typer.Option(help="camvid, voc2012, cityscapes, or folder: your own images and classes.")],
    out: Annotated[Path, typer.Option(help="Where obj_jpg/, mask_jpg/, masks.parquet and manifest.json go.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    split: Annotated[str, typer.Option(help="train or val.")] = "train",
    background: Annotated[
        str | None, typer.Option(help="Of dataset folder: the class of pixels that no mask covers.")
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option(help=r"YAML or JSON file: class to further names, {car: \[van, pickup truck]}.")
    ] = None,
    rule: Annotated[str, typer.Option(help="Class of a box: spans, or argmax as in the released code.")] = "spans",
    box_threshold: Annotated[float, typer.Option(help="Boxes that score higher are kept.")] = 0.2,
    input_size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Shorter side and longest side of the detector's input; as released by default."),
    ] = None,
    sam: Sam = "sam_vit_h",
    precision: Precision = "auto",
    weights: Weights = None,
    offline: Offline = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Label images with Grounded-SAM, or continue where it stopped. Needs the extra grounded-sam and its weights."""
    from a2lc.datasets import load_dataset
    from a2lc.files import read_yaml
    from a2lc.pseudo_labels.label_images import INPUT_SIZE, INPUT_SIZES, grounded_sam

    if split not in ("train", "val"):
        raise ValueError(f"split: expected train or val, found {split!r}")
    data = load_dataset(dataset, root, **({} if background is None else {"background": background}))
    with _in_one_line():
        grounded_sam(
            getattr(data, split),
            data.classes,
            out,
            synonyms=None if synonyms is None else read_yaml(synonyms),
            rule=rule,
            box_threshold=box_threshold,
            input_size=input_size or INPUT_SIZES.get(dataset, INPUT_SIZE),
            sam=sam,
            precision=precision,
            weights=weights,
            offline=offline,
            device=device,
            skip_bad=skip_bad,
        )
    _say_counts(out)
    typer.echo(f"object maps in {out / 'obj_jpg'}, labels in {out / 'mask_jpg'}")


@app.command("sam-masks")
def sam_masks(
    images: Annotated[Path, typer.Argument(help="Folder of jpg and png images, e.g. images/ of your own data.")],
    out: Annotated[Path, typer.Argument(help="Where obj_jpg/, masks.parquet and manifest.json go.")],
    sam: Sam = "sam_vit_h",
    points_per_side: Annotated[
        int, typer.Option(help="SAM is asked about a grid of points; time goes with the square.")
    ] = 32,
    min_score: Annotated[float, typer.Option(help="Masks that SAM itself scores higher are kept.")] = 0.88,
    min_stability: Annotated[float, typer.Option(help="Masks that change less with the cut-off are kept.")] = 0.95,
    precision: Precision = "auto",
    weights: Weights = None,
    offline: Offline = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Cut images into SAM's masks for `a2lc correct --masks`, or continue where it stopped. Needs the extra
    grounded-sam and the weights of SAM."""
    from a2lc.pseudo_labels.sam_masks import sam_object_maps

    with _in_one_line():
        maps = sam_object_maps(
            images,
            out,
            sam=sam,
            points_per_side=points_per_side,
            min_score=min_score,
            min_stability=min_stability,
            precision=precision,
            weights=weights,
            offline=offline,
            device=device,
            skip_bad=skip_bad,
        )
    _say_counts(out)
    typer.echo(f"object maps in {maps}; to correct labels by these masks: a2lc correct DATA --masks {maps}")


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Missing packages and too little memory become what `a2lc.cli.main` prints without a traceback."""
    try:
        yield
    except (ImportError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def _say_counts(out: Path) -> None:
    from a2lc.files import read_json

    manifest = read_json(out / "manifest.json")
    counts = {name: count for name, count in manifest["counts"].items() if isinstance(count, int)}
    typer.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items()))
    for name, reason in manifest["skipped"].items():
        typer.echo(f"skipped {name}: {reason}")
