"""What this machine gives: threads, memory, package versions, and a terminal that shows progress bars."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeVar

from tqdm.auto import tqdm

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS; CPU


def show_bars(progress: bool) -> bool:
    """Whether to show progress bars: tqdm itself does not look at ``TQDM_DISABLE`` where it is told what to do."""
    return progress and os.environ.get("TQDM_DISABLE", "") in ("", "0")


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Name of a distribution -> its version, or ``not installed``."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Run small tensor operations on one thread: on several, each waits for the last one.

    Measured with one other busy process on two cores: a bf16 product of 192 x 1728 took 15 ms instead of 0.2 ms.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def is_shortage(error: RuntimeError) -> bool:
    """Whether PyTorch raised this for want of memory."""
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def halved(count: int, error: RuntimeError, device: torch.device, what: str) -> int:
    """How many to try at once after `count` have failed for want of memory; the user is told.

    Args:
        count: how many were tried.
        error: what was raised.
        device: where.
        what: what one of them is, for the message.

    Raises:
        RuntimeError: `error` itself, where it says something else; or memory does not even suffice for one.
    """
    if not is_shortage(error):
        raise error
    if count == 1:
        message = f"{device}: not enough memory for {what} ({error})"
        raise RuntimeError(f"{message}; take a smaller image, or another device") from error
    tqdm.write(f"{device}: not enough memory for {count} at once ({what}), going on with {count // 2}", sys.stderr)
    return count // 2


def while_memory_lasts(compute: Callable[[int], T], size: int, device: torch.device, what: str) -> T:
    """``compute(size)``, or of half of it, and so on, until memory suffices.

    Args:
        compute: takes how many to work on at once.
        size: the first try.
        device: where.
        what: what one of them is, for the messages.

    Raises:
        RuntimeError: see `halved`.
    """
    while True:
        try:
            return compute(size)
        except RuntimeError as error:
            size = halved(size, error, device, what)
        empty_cache(device)


def empty_cache(device: torch.device) -> None:
    """Give memory back that PyTorch keeps for later; not while an exception holds tensors."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
