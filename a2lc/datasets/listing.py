"""Finding a dataset's files: folders, list files, and clear words when something is missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".webp")
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


def files_below(folder: Path) -> list[str]:
    """The files in `folder` and below as ``a/b.png``, sorted; those that begin with a dot, and folders that do, are not
    looked at. Links are followed, but never back to a folder above.

    Raises:
        ValueError: a name is no text.
    """
    found: list[str] = []

    def look(at: Path, before: str, above: tuple[str, ...]) -> None:
        with os.scandir(at) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in JUNK:
                    continue
                if any("\ud800" <= character <= "\udfff" for character in entry.name):  # bytes that are no UTF-8
                    raise ValueError(f"{at}: expected file names in UTF-8, found {ascii(entry.name)}")
                if not entry.is_dir():
                    found.append(f"{before}{entry.name}")
                    continue
                real = os.path.realpath(entry.path)
                if not any(folder == real or folder.startswith(os.path.join(real, "")) for folder in above):
                    look(Path(entry.path), f"{before}{entry.name}/", (*above, real))

    look(folder, "", (os.path.realpath(folder),))
    return sorted(found)  # the same order on every system


def index_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Name without suffix, ``a`` or ``a/b`` -> file, sorted by name, for every image in `folder` and below.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: two files differ in their suffix only, or a name is no text.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected {', '.join(suffixes)} files in it")
    found = (PurePosixPath(file) for file in files_below(folder))
    return by_name(folder, ((str(file.with_suffix("")), str(file)) for file in found if _ends_in(file, suffixes)))


def by_name(folder: Path, files: Iterable[tuple[str, str]]) -> dict[str, Path]:
    """Name -> file, of names and files in `folder`.

    Raises:
        ValueError: two files of one name.
    """
    found: dict[str, Path] = {}
    for name, file in files:
        if name in found:
            raise ValueError(f"{folder / file}: expected one file per name, found {found[name].name} as well")
        found[name] = folder / file
    return found


def _ends_in(file: PurePath, suffixes: Sequence[str]) -> bool:
    return file.suffix.lower() in suffixes


def some_of(names: Sequence[str]) -> str:
    """``a, b, c and 2 more``"""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def is_there(path: Path) -> bool:
    """Whether there is a file of this name; where a link leads nowhere, or a folder or pipe has the name, nothing would
    be read without a word.

    Raises:
        ValueError: it is no file.
    """
    if os.path.lexists(path) and not path.is_file():
        kind = "a link that leads nowhere" if path.is_symlink() and not path.exists() else "something else"
        raise ValueError(f"{path}: expected a file, found {kind}")
    return path.is_file()


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file, stripped, without the blank ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a list of {what}, one per line")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a text file of {what}, found bytes that are no text") from error
    if "\0" in text:
        raise ValueError(f"{path}: expected a text file of {what} in UTF-8, found zero bytes: is it in UTF-16?")
    lines = [line.strip() for line in text.split("\n")]  # other signs that end a line may stand in a name
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
    names = tuple(line[: -len(Path(line).suffix)] if _ends_in(Path(line), IMAGE_SUFFIXES) else line for line in lines)
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
