"""One process at a time works on a folder, or adds to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm.auto import tqdm


def lock_of(path: Path) -> FileLock:
    """The lock of a file or folder, not taken yet; it lies beside it, in ``.locks``.

    Raises:
        OSError: nothing can be written there.
    """
    file = _file(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file, poll_interval=0.01)


def _file(path: Path) -> Path:
    return path.parent / ".locks" / f"{path.name}.lock"


def is_locked(folder: str | os.PathLike[str]) -> bool:
    """Whether another process works on `folder`, or this one does; nothing is written."""
    if not (file := _file(Path(folder))).is_file():
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # it cannot be opened, so nobody here works
        return False
    lock.release()
    return False


@contextmanager
def locked(folder: str | os.PathLike[str], quiet: bool = False) -> Iterator[None]:
    """Keep other processes from working on `folder`, or a file; where one already does, say so and wait for it.

    The operating system gives the lock back when a process dies.

    Args:
        folder: what is worked on.
        quiet: say nothing, as it takes no time.

    Raises:
        PermissionError: nothing can be written there.
        OSError: nor on the whole disk, which is read-only or full.
    """
    path = Path(folder)
    try:
        lock = lock_of(path)
        lock.acquire(timeout=0)
    except Timeout:
        if not quiet:
            tqdm.write(f"{path}: another process works on it, waiting until it is done", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"{path}: cannot be written ({error})") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def alone(file: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from doing the same, and tell them at once; afterwards nothing is left of it.

    Args:
        file: a hidden file that stands for the work; a folder that is missing is made. One that a killed process left
            is taken over.

    Raises:
        BlockingIOError: another process is at work.
        OSError: nothing can be written there.
    """
    path = Path(file)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            lock = FileLock(path)
            lock.acquire(timeout=0)
            if stands_at(path):
                break
            lock.release()  # the one before removed this file just after it was opened
    except Timeout:
        raise BlockingIOError(f"{path.parent}: another process is writing there; begin again when it is done") from None
    except OSError as error:
        raise OSError(f"{path.parent}: cannot be written ({error.strerror})") from error
    try:
        yield
    finally:
        if os.name == "nt":  # what is open cannot be removed
            lock.release()
        with suppress(OSError):
            path.unlink(missing_ok=True)  # while it is locked: afterwards it may be the next one's
        lock.release()


def stands_at(path: str | os.PathLike[str]) -> bool:
    """Whether the file that this process has locked is the one of that name, so that nobody else can lock it."""
    other = FileLock(path)
    try:
        other.acquire(timeout=0)
    except Timeout:
        return True
    other.release()
    return False
