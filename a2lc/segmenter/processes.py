"""Where a network runs: on one device, or on one per process where ``torchrun`` started several.

Lightning Fabric moves networks, sets the precision and averages gradients; this module decides which processes there
are. Under ``torchrun`` every process trains on its share of each batch, and scores its share of the images. A whole run
is played by the first process alone, which also writes all files (`first_process_plays`): the others wait for its
trainings and scorings and join in.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from a2lc.segmenter.settings import SegmenterSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would name the precision of every new network

P = ParamSpec("P")
R = TypeVar("R")
_PATIENCE = timedelta(days=30)  # the others wait while the first one scores; torchrun ends them all when one dies
_leading = False  # this process is the first of several, and the others wait for what it sends


def world_size() -> int:
    """How many processes ``torchrun`` started for this training; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def in_bfloat16(settings: SegmenterSettings, device: torch.device) -> bool:
    """Whether convolutions run in bfloat16, and what the optimiser multiplies."""
    return settings.precision == "bfloat16" or (settings.precision == "auto" and _has_fast_bfloat16(device))


def _has_fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


def make_fabric(device: torch.device, bfloat16: bool) -> Fabric:
    """Lightning Fabric on `device`; where ``torchrun`` started several processes, on the one of this process.

    Args:
        device: where to run; of several processes, each takes a device of this type.
        bfloat16: whether convolutions run in bfloat16; weights are float32 always.
    """
    # importing it takes seconds, which what trains nothing need not wait
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision, Precision
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    processes = world_size()
    # given as an object, Fabric does not print a line for every training
    precision = MixedPrecision("bf16-mixed", device.type) if bfloat16 else Precision()
    if processes == 1:  # whatever a cluster says about jobs: this is one process
        devices = 1 if device.index is None or device.type == "cpu" else [device.index]
        return Fabric(accelerator=device.type, devices=devices, plugins=[LightningEnvironment(), precision])
    _connect()
    on_this_machine = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(
        accelerator=device.type,
        strategy="ddp",
        devices=on_this_machine,
        num_nodes=processes // on_this_machine,
        plugins=[TorchElasticEnvironment(), precision],
    )
    fabric.launch()
    return fabric


def distributed(network: nn.Module, fabric: Fabric) -> nn.Module:
    """`network` in the precision of `fabric`; of several processes, one whose gradients are averaged over them.

    On GPUs, batch norm then takes its statistics over all processes. On CPUs, where PyTorch cannot, each process
    normalises its share of the batch by itself, and the running statistics are those of the first.
    """
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # in place: its parameters keep their names
    return fabric.setup_module(network)


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean of a number over all processes; with one process, the number itself."""
    if not dist.is_initialized() or world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


@contextmanager
def kernels(deterministic: bool, benchmark: bool = False) -> Iterator[None]:
    """Choose how the GPU computes, and restore what was chosen before. The CPU computes the same either way.

    Args:
        deterministic: only kernels that give the same numbers every time; an operation without one raises
            `RuntimeError`. Otherwise the fastest, products of float32 in TF32.
        benchmark: unless `deterministic`, try the kernels for each size of input and keep the fastest.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.benchmark, cudnn.deterministic, matmul.fp32_precision
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(deterministic)
    cudnn.benchmark, cudnn.deterministic = benchmark and not deterministic, deterministic
    matmul.fp32_precision = "ieee" if deterministic else "tf32"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic, matmul.fp32_precision = flags


def first_process_plays(play: Callable[P, R]) -> Callable[P, R]:
    """Let the first process of ``torchrun`` alone call `play`, while the others join in its trainings and scorings;
    then they call it too, which has to find everything finished.

    Raises:
        RuntimeError: in the others, where `play` raised in the first.
    """

    @wraps(play)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        global _leading
        if world_size() == 1:
            return play(*args, **kwargs)
        _connect()
        if dist.get_rank() > 0:
            while (task := _shared(None)) is not None:
                task()
            return play(*args, **kwargs)
        _leading = True
        last: Callable[[], Any] | None = _failed
        try:
            result = play(*args, **kwargs)
            last = None
            return result
        finally:
            _leading = False
            _shared(last)

    return wrapper


def call_in_others(task: Callable[[], Any]) -> None:
    """Let the processes that wait in `first_process_plays` call `task`; without any, do nothing.

    Raises:
        ValueError: `task` cannot be sent to another process.
    """
    if _leading:
        try:
            pickle.dumps(task)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"torchrun: this training cannot be shared between processes ({error})") from error
        _shared(task)


def in_all_processes(task: Callable[[int, int], R]) -> list[R]:
    """Call ``task(number, count)`` in each process that waits in `first_process_plays`, the first included, and bring
    what they return here, in order. Where none waits, or `task` cannot be sent to another process (a model of one's own
    that cannot be pickled), it is ``[task(0, 1)]``.

    Raises:
        Exception: what `task` raised in any of them.
    """
    try:
        call_in_others(partial(_in_one_of, task))
    except ValueError:
        return [task(0, 1)]
    return _in_one_of(task) if _leading else [task(0, 1)]


def _in_one_of(task: Callable[[int, int], R]) -> list[R]:
    """What `task` returns in each process, in the first one; elsewhere nothing. Nobody waits for one that raised."""
    number, count = dist.get_rank(), world_size()
    mine: R | Exception
    try:
        mine = task(number, count)
    except Exception as error:
        mine = error
    found: list[R | Exception | None] | None = None if number else [None] * count
    dist.gather_object(mine, found)
    results: list[R] = []
    for result in found or ():
        if isinstance(result, Exception):
            raise result
        results.append(cast(R, result))
    return results


def _shared(task: Callable[[], Any] | None) -> Callable[[], Any] | None:
    """What the first process gives, in all processes; sent over the CPU, by and to processes of our own only."""
    box = [task]
    dist.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def _failed() -> None:
    raise RuntimeError("torchrun: the first process stopped with an error, see its message")


def _connect() -> None:
    if not dist.is_initialized():
        dist.init_process_group(timeout=_PATIENCE)  # gloo for tensors on the CPU, NCCL for those on GPUs
        atexit.register(dist.destroy_process_group)
