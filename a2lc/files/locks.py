"""One process at a time works on a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm.auto import tqdm


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from working on `folder`; where one already does, say so and wait for it.

    The operating system gives the lock back when a process dies. Its file lies in the folder's parent, in ``.locks``.

    Raises:
        PermissionError: nothing can be written there.
        OSError: nor on the whole disk, which is read-only or full.
    """
    path = Path(folder)
    file = path.parent / ".locks" / f"{path.name}.lock"
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        tqdm.write(f"{path}: another process works on it, waiting until it is done", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"{path}: cannot be written ({error})") from error
    try:
        yield
    finally:
        lock.release()
