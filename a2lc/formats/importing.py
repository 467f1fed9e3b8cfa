"""Which format a dataset has, and reading it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a2lc.files import file_bytes, nearest
from a2lc.formats import cityscapes, coco, hugging_face, label_studio, labelme, voc, yolo
from a2lc.formats.json_text import parsed
from a2lc.formats.plain import write_plain
from a2lc.formats.source import Source

FORMATS = ("coco", "panoptic", "labelme", "yolo", "voc", "label-studio", "hugging-face", "cityscapes")
"""The formats that are read and written."""
ONE_FILE: dict[str, Callable[[Path, Path], Source]] = {
    "coco": coco.read_instances,
    "panoptic": coco.read_panoptic,
    "label-studio": label_studio.read,
}
"""Formats of one JSON file for all images."""
UNCLEAR = f"say which with --format: {', '.join(FORMATS)}"


def import_dataset(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    format: str | None = None,
    progress: bool = True,
) -> list[str]:
    """Make a plain dataset of one of another program; what it is like says `a2lc.formats.plain`.

    Args:
        source: its folder, or its JSON file with the images below the same folder or the one above.
        folder: the plain dataset; new or empty.
        format: one of `FORMATS`; None: it is looked for.
        progress: show a bar.

    Returns:
        What a person should know, a sentence each; the format is the first word of the first.

    Raises:
        FileNotFoundError: no such source, or none of its images.
        FileExistsError: there is something in `folder`.
        ValueError: an unknown, unclear or damaged format; the message names the file and the place in it.
        MissingExtraError: a package is missing that draws its polygons.
    """
    path = Path(source)
    if format is not None and format not in FORMATS:
        raise ValueError(f"format: expected {', '.join(FORMATS)}, found {format!r}{nearest(format, FORMATS)}")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    found = read_source(path, format)
    notes = write_plain(found, folder, progress)
    return [f"{found.format}: {notes[0]}", *notes[1:]]


def read_source(path: Path, format: str | None = None) -> Source:
    """What is in a folder or file; arguments and errors are those of `import_dataset`."""
    root = path if path.is_dir() else path.parent
    jsons = [path] if path.is_file() else []
    if path.is_dir():
        if format in (None, "voc") and (path / voc.CLASSES).is_dir():
            return voc.read(path)
        if format in (None, "cityscapes") and (path / cityscapes.GROUND).is_dir():
            return cityscapes.read(path)
        if format in (None, "yolo") and (listing := yolo.find(path)) is not None:
            return yolo.read(listing, path)
        if format in (None, "hugging-face") and hugging_face.claims(path):
            return hugging_face.read(path)
        jsons = [file for file in sorted(path.rglob("*.json")) if not _hidden(file.relative_to(path))]
    kinds: dict[str, list[Path]] = {}
    for file in jsons:
        kinds.setdefault(_kind(parsed(file_bytes(file), file)), []).append(file)
    kinds = {kind: files for kind, files in kinds.items() if kind and format in (None, kind)}
    if not kinds:
        raise ValueError(f"{path}: expected a dataset in a known format, found none; {UNCLEAR}")
    if len(kinds) > 1:
        some = ", ".join(f"{kind} ({files[0].name})" for kind, files in kinds.items())
        raise ValueError(f"{path}: expected one format, found {some}; {UNCLEAR}")
    (kind, files), *_ = kinds.items()
    if kind == "labelme":
        return labelme.read(files, root)
    if len(files) > 1:
        names = ", ".join(str(file) for file in files[:5])
        raise ValueError(f"{path}: expected one file with annotations, found {len(files)}: name one of {names}")
    if path.is_file() and path.parent.name.startswith("annotation"):
        root = path.parent.parent
    return ONE_FILE[kind](files[0], root)


def _kind(content: Any) -> str:
    """The format of a JSON file's content, or nothing."""
    if labelme.claims(content):
        return "labelme"
    return coco.claims(content) or ("label-studio" if label_studio.claims(content) else "")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
