"""What the benchmarks share: clocks, peak memory, processes of their own, the machine's name."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def machine(device: torch.device) -> str:
    """Processor, threads of PyTorch, and the device that networks run on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    clocked = "wall" if torch.cuda.is_available() else "processor"
    return f"{platform.machine()}, threads: {torch.get_num_threads()}, device: {name}, {clocked} seconds"


def clock() -> float:
    """Processor seconds of this process, which other processes on the machine hardly change; wall seconds where a GPU
    does the work."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Best of some repeats by `clock`, the GPU's queue emptied before and after."""
    times = []
    for _ in range(repeats):
        wait_for_gpu()
        start = clock()
        call()
        wait_for_gpu()
        times.append(clock() - start)
    return min(times)


def spread(name: str, call: Callable[[], Any], repeats: int = 9) -> dict[str, float]:
    """Median of some warm repeats by `clock` as `name`, with the least and the largest beside it."""
    call()
    times = sorted(seconds(call, repeats=1) for _ in range(repeats))
    return {name: times[repeats // 2], f"{name}_least": times[0], f"{name}_largest": times[-1]}


def wait_for_gpu() -> None:
    """Return when everything that was queued on the GPU is done; at once where there is none."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_mib() -> float:
    """Peak memory of this process in MiB since it started, or since `forget_peak`.

    Linux' ``ru_maxrss`` is not enough: a process that was started by a large one inherits that one's peak.
    """
    if _STATUS.is_file():
        line = next(line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> None:
    """Begin a new peak at the memory in use now (Linux; elsewhere peaks only grow)."""
    if _RESET.is_file():
        _RESET.write_text("5", encoding="utf-8")


def in_child(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `function` of an importable module returns, called in a process of its own.

    Raises:
        RuntimeError: the process died.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, torch.get_num_threads(), function, *arguments))
    process.start()
    theirs.close()
    try:
        found: dict[str, Any] = mine.recv()
    except EOFError:
        process.join()
        what = f"{function.__name__}{arguments}"
        raise RuntimeError(f"{what}: its process ended with code {process.exitcode}") from None
    process.join()
    return found


def _send(pipe: Connection, threads: int, function: Callable[..., dict[str, Any]], *arguments: Any) -> None:
    torch.set_num_threads(threads)
    pipe.send(function(*arguments))


def show(found: dict[str, Any]) -> None:
    """A line per number or text."""
    for name, value in found.items():
        print(f"{name:44} {value:.4g}" if isinstance(value, float) else f"{name:44} {value}", flush=True)
