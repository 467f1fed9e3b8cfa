"""Files and folders that are whole or not there: written under a temporary name, synced, renamed, and the folder synced
in which they were renamed. A killed process leaves no half-written file, a power failure neither.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from safetensors import SafetensorError

from a2lc.files.locks import alone

LONGEST_NAME = 255  # bytes, on all usual file systems
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it onto `path`, on failure remove it.

    The temporary name keeps the suffix, because Pillow and Matplotlib choose the format by it. A new file has the
    permissions that this process's umask leaves, one that is replaced keeps its own; a link is replaced by a file.

    Raises:
        OSError: the disk is full; `path` is as it was.
        PermissionError: the folder cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{_stem_of_temporary(target)}.{secrets.token_hex(4)}{target.suffix}")
    try:
        make_folder(target.parent)
        yield temporary
        with open(temporary, "rb+") as written:  # Windows syncs only what may be written
            os.fsync(written.fileno())
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_UMASK)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except FileNotFoundError:  # of another file, which `path` is made from
        raise
    except (OSError, SafetensorError) as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"{target}: could not be written, so it is as it was ({error})") from error
    finally:
        with suppress(OSError):  # a read-only folder, where there is none
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_new(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic`, for a file that must not be there yet: the second of two processes is refused at once.

    Raises:
        FileExistsError: there is something already.
        BlockingIOError: another process is writing it.
        OSError: it cannot be written; before anything is made.
    """
    with only_writer(path):
        check_new_file(path)
        with atomic(path) as temporary:
            yield temporary


@contextmanager
def only_writer(path: str | os.PathLike[str], *more: Path) -> Iterator[None]:
    """Keep others from writing a file at the same time, and remove what a killed process has left of it.

    Args:
        path: the file.
        more: others that are written with it.

    Raises:
        BlockingIOError: another process is writing it.
        OSError: nothing can be written there.
    """
    target = Path(path)
    check_writable(target.parent)
    with alone(_beside(target, ".lock")):
        remove_leftovers_of([target, *more])
        yield


def check_new_file(path: str | os.PathLike[str]) -> None:
    """Raise `FileExistsError` where there is something of this name."""
    if os.path.lexists(path):
        _tidy(Path(path))
        raise FileExistsError(f"{path}: is there already, expected a new file")


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, ``.NAME.partial``; on success rename it to `path`, on failure remove it,
    and at the start what a killed process left of it.

    Args:
        path: must not exist, or be an empty folder.

    Raises:
        FileExistsError: there is something already.
        BlockingIOError: another process is writing it.
        OSError: it cannot be written; before anything is made.
    """
    target = Path(path)
    _check_new(target)
    check_writable(target)
    partial = _beside(target, ".partial")
    with alone(_beside(target, ".lock")):
        _check_new(target)  # another process may just have finished it
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
        try:
            yield partial
            if target.exists():
                target.rmdir()  # not everywhere can a folder be renamed to one that is there
            partial.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing, so that a power failure leaves them there."""
    if folder.is_dir():
        return
    new = [folder]
    while not new[-1].parent.exists():
        new.append(new[-1].parent)
    folder.mkdir(parents=True, exist_ok=True)
    for made in new:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file's own sync does not. Not everywhere can a folder be synced."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete, in `folder` and below, the temporary files of `atomic` that a killed process could not."""
    for path in Path(folder).rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}(\.\w+)?", path.name) and path.is_file():
            path.unlink()


def remove_leftovers_of(files: Iterable[Path]) -> None:
    """Delete what a process that was killed while it replaced one of these files (`atomic`) left beside it; in a folder
    of somebody's own, where nothing else may be touched."""
    endings = {(file.parent, f".{_stem_of_temporary(file)}.", file.suffix) for file in files}
    for folder in {folder for folder, *_ in endings}:
        for path in folder.iterdir() if folder.is_dir() else ():
            found = re.fullmatch(r"(\..+\.)[0-9a-f]{8}(\.\w+)?", path.name)
            if found and (folder, found[1], found[2] or "") in endings and path.is_file():
                path.unlink()


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Whether files can be written to a folder or, where it does not exist, to the nearest one above it. Nothing is
    made.

    Raises:
        OSError: they cannot; says why.
    """
    path = Path(folder).absolute()
    try:
        TemporaryFile(dir=next(above for above in (path, *path.parents) if above.exists())).close()
    except OSError as error:
        raise OSError(f"{folder}: cannot be written ({error.strerror})") from error


# ------------------------------------------------------------------------------------------------ inside
def _check_new(folder: Path) -> None:
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        _tidy(folder)
        raise FileExistsError(f"{folder}: is there already, expected a new folder")


def _tidy(target: Path) -> None:
    """Remove the lock of a process that was killed after its work was done."""
    lock = _beside(target, ".lock")
    if lock.is_file():
        with suppress(OSError), alone(lock):  # where one is at work, it is its own
            pass


def _stem_of_temporary(target: Path) -> str:
    """The stem of a file's name, shortened where it would be too long with what is added to it."""
    room = LONGEST_NAME - len(os.fsencode(f"..{'0' * 8}{target.suffix}"))
    return os.fsencode(target.stem)[: max(room, 1)].decode(errors="ignore")


def _beside(target: Path, ending: str) -> Path:
    """A hidden name beside `target`, of its own also where it is shortened."""
    name = f".{target.name}{ending}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        own = f"-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}{ending}"
        name = os.fsencode(name)[: LONGEST_NAME - len(own)].decode(errors="ignore") + own
    return target.with_name(name)
