"""Which process gave an answer, and whether it is still there: what one tab says, another one must not take back."""

from __future__ import annotations

import atexit
import os
import random
import secrets
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from a2lc.files.locks import is_locked, lock_of, stands_at

_names: dict[int, str] = {}  # of this process; one that was forked has another
_held: dict[tuple[Path, int], FileLock] = {}
_LOOKS = 5


def this_session() -> str:
    """The name of this process among all that answer."""
    return _names.setdefault(os.getpid(), secrets.token_hex(4))


def announce(folder: Path) -> None:
    """Tell other processes, as long as this one lives, that it answers in a folder."""
    path = _mark(folder, this_session())
    mine = path, os.getpid()
    with suppress(OSError):  # what is recorded there fails, too, and says so
        if mine in _held:
            if stands_at(_held[mine].lock_file):
                return
            _held.pop(mine).release()  # the folder was made anew
        lock = lock_of(path)
        lock.acquire(timeout=1)  # somebody may be looking
        _held[mine] = lock


def is_elsewhere(folder: Path, session: str) -> bool:
    """Whether a session is that of another process, which is still there."""
    if session in ("", this_session()):
        return False
    for _ in range(_LOOKS):  # who looks has the lock for a moment, and others may look at the same time
        if not is_locked(_mark(folder, session)):
            return False
        time.sleep(random.uniform(0.001, 0.006))
    return True


def _mark(folder: Path, session: str) -> Path:
    return folder / f"session-{session}"


@atexit.register
def _leave() -> None:
    for (_, process), lock in _held.items():
        if process != os.getpid():  # this one was forked
            continue
        with suppress(OSError):
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
