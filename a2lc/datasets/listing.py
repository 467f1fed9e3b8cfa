"""Finding a dataset's files: folders, list files, and clear words when something is missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LABEL_SUFFIXES = (".png",)
JUNK = ("Thumbs.db", "desktop.ini", "__MACOSX")

Root = str | os.PathLike[str] | None


def check_root(root: Root, dataset: str, layout: str) -> Path:
    """The dataset's folder as a path.

    Raises:
        ValueError: no root was given.
        FileNotFoundError: there is no such folder.
    """
    if root is None:
        raise ValueError(f"dataset {dataset!r} is read from disk: give root=..., a folder with {layout}")
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root}: no such folder; dataset {dataset!r} expects one with {layout}")
    return Path(root)


def index_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Name without suffix -> file, sorted by name, for every image directly in `folder`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: two files differ in their suffix only, or a name is no text.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected {', '.join(suffixes)} files in it")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):  # the same order on every system
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if any("\ud800" <= character <= "\udfff" for character in path.name):  # bytes that are no UTF-8
            raise ValueError(f"{folder}: expected file names in UTF-8, found {ascii(path.name)}")
        if path.stem in files:
            raise ValueError(f"{path}: expected one file per name, found {files[path.stem].name} as well")
        files[path.stem] = path
    return files


def left_out(folder: Path, suffixes: Sequence[str]) -> str | None:
    """What `index_files` takes no notice of, as a sentence: files of other kinds, and folders with files in them; None
    where there is nothing but what systems leave behind."""
    if not folder.is_dir():
        return None
    others = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.name not in JUNK]
    others = [path for path in others if path.suffix.lower() not in suffixes or path.is_dir()]
    others = [path for path in others if not path.is_dir() or any(path.rglob("*.*"))]
    if not others:
        return None
    names = ", ".join(path.name + "/" * path.is_dir() for path in others[:3])
    kinds = " or ".join(suffix.removeprefix(".") for suffix in suffixes)
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"{folder}: left out, as they are no {kinds} files in this folder: {names}{more}"


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file, stripped, without the blank ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a list of {what}, one per line")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a text file of {what}, found bytes that are no text") from error
    return [line for line in lines if line]


def read_names(path: Path) -> tuple[str, ...]:
    """Image names from a list file, one per line, image suffixes dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the list is empty or not text, or names an image twice.
    """
    lines = read_lines(path, "image names")
    if not lines:
        raise ValueError(f"{path}: expected at least one image name, found none")
    names = tuple(line[: -len(Path(line).suffix)] if _is_image(line) else line for line in lines)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path}: expected distinct image names, found {repeated[0]!r} twice")
    return names


def check_listed(names: Sequence[str], files: Mapping[str, Path], listed_in: Path, folder: Path) -> None:
    """Every listed name must have a file.

    Raises:
        FileNotFoundError: naming the first that has none.
    """
    missing = [name for name in names if name not in files]
    if missing:
        count = f"{len(missing)} of {len(names)} missing"
        raise FileNotFoundError(f"{folder / missing[0]}.*: no such file, but {listed_in} lists it ({count})")


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES
