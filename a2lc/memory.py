"""When a device runs out of memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from tqdm.auto import tqdm

T = TypeVar("T")
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS; CPU


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
        torch.cuda.empty_cache()
