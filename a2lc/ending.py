"""Nothing left running: what a process has started ends with it, however it ends.

A child looks for its parent, which SIGKILL leaves no other way to tell (`end_with`). A parent that is asked to end
gives its children some seconds (`ending`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import psutil

LOOK = 0.5  # seconds between two looks for a parent
GRACE = 2.5  # seconds that everything has from the first Ctrl-C or SIGTERM on
SET_CHILD_SUBREAPER, GET_CHILD_SUBREAPER = 36, 37  # of Linux's prctl(2)
Born = tuple[int, float]
"""A process: its number, and when it began, since numbers come again."""

_watched: set[Born] = set()


def this_process() -> Born:
    """This process, to be handed to those that it starts."""
    me = psutil.Process()
    return me.pid, me.create_time()


def end_with(parent: Born) -> None:
    """End this process, and all that it has started, soon after `parent` is gone. Called again, or by `parent` itself,
    it does nothing.

    Args:
        parent: what `this_process` said there.
    """
    if parent[0] == os.getpid() or parent in _watched:
        return
    _watched.add(parent)
    threading.Thread(target=_watch, args=(parent,), name="a2lc-end-with", daemon=True).start()


def _watch(parent: Born) -> NoReturn:
    while _lives(parent):
        time.sleep(LOOK)
    _kill(set())
    os._exit(1)


def _lives(process: Born) -> bool:
    try:
        found = psutil.Process(process[0])
        return found.create_time() == process[1] and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it may not be looked at, so it is there
        return True


def _started() -> dict[Born, psutil.Process]:
    """What this process has started and what those have, parents first."""
    with suppress(psutil.Error):
        return {(child.pid, child.create_time()): child for child in psutil.Process().children(recursive=True)}
    return {}


def _kill(besides: set[Born]) -> None:
    """Kill what this process has started, until nothing is left: one may just be starting another."""
    for _ in range(5):
        left = [child for born, child in _started().items() if born not in besides]
        for child in left:
            with suppress(psutil.Error):
                child.kill()
        if not left:
            return
        psutil.wait_procs(left, timeout=0.2)


@contextmanager
def ending(whole: bool = False) -> Iterator[None]:
    """While this lasts: from the first Ctrl-C or SIGTERM on, all processes that were started meanwhile have `GRACE`
    seconds to end, from the second one on none.

    Args:
        whole: this process, too, which somebody has started for nothing else; SIGTERM is left alone without it. A
            signal that goes elsewhere already, as inside another `ending`, or that is ignored, as Ctrl-C is by what
            nohup or a script starts in the background, is left alone; outside the main thread nothing is done.
    """
    plain = (signal.default_int_handler, signal.SIG_DFL)
    kinds = [signal.SIGINT, signal.SIGTERM] if whole else [signal.SIGINT]
    kinds = [kind for kind in kinds if signal.getsignal(kind) in plain]
    if threading.current_thread() is not threading.main_thread() or not kinds:
        yield
        return
    end = _End(whole)
    before = {kind: signal.signal(kind, end.asked) for kind in kinds}
    with _adopting():
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
            end.over()


@contextmanager
def _adopting() -> Iterator[None]:
    """While this lasts, on Linux: a process whose parent has gone becomes a child of this one, so that Ctrl-C, which
    goes to all of them at once, leaves none that is nobody's. Elsewhere such a process looks for its parent itself, as
    soon as it has imported that."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    if prctl is None:
        yield
        return
    before = ctypes.c_int()
    prctl(GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
    try:
        yield
    finally:
        prctl(SET_CHILD_SUBREAPER, ctypes.c_ulong(before.value), 0, 0, 0)


class _End:
    """What happens when this process is asked to end."""

    def __init__(self, whole: bool) -> None:
        self._whole, self._others = whole, set(_started())
        self._timer: threading.Timer | None = None

    def asked(self, number: int, _: FrameType | None) -> Any:
        if self._timer is not None:
            self._at_once(number)
        else:
            self._timer = threading.Timer(GRACE, self._at_once, (number,))
            self._timer.daemon = True
            self._timer.start()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    def _at_once(self, number: int) -> None:
        _kill(self._others)
        if self._whole:
            os._exit(128 + number)

    def over(self) -> None:
        """Everything is closed that was asked to."""
        if self._timer is not None:
            if not self._whole:  # else it sees to it that Python itself comes to an end
                self._timer.cancel()
            _kill(self._others)
