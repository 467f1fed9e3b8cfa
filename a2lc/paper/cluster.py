"""Runs on the workers of dask.distributed: this machine's, or those of a cluster that somebody has started."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path

import torch

from a2lc.config import Experiment
from a2lc.files import fingerprint
from a2lc.machine import MissingExtraError, install_command
from a2lc.rounds import run

try:
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, Future, Nanny, Scheduler, SpecCluster, as_completed
except ImportError as error:
    why = f"several runs at once need dask.distributed ({error})"
    raise MissingExtraError(f"{why}: {install_command('a2lc[cluster]')}") from error

CORES_PER_WORKER = 4
HOST = "127.0.0.1"  # who is asked has no password, and a task is any code
_THREADS = "OMP_NUM_THREADS"
_START = {"dataset", "root", "pseudo_labels"}  # fields that decide the first labels or superpixels
_MODEL = {"segmenter", "seed"}  # and, where there are labels, the model of round 0


@contextmanager
def local_cluster(workers: int | None = None, device: str = "auto") -> Iterator[SpecCluster]:
    """Workers on this machine, each a process of one thread that plays one run at a time: a ``LocalCluster`` of which
    each worker sees one GPU of its own. All ports are free ones of this machine alone (127.0.0.1). The cores are shared
    out among them, unless ``OMP_NUM_THREADS`` is set.

    Args:
        workers: how many; None: one per GPU, without GPUs one per four cores.
        device: as in `a2lc.run`; GPUs are left alone where it is ``cpu``.
    """
    gpus = [] if device == "cpu" else _gpus()
    count = workers or len(gpus) or max(1, CPU_COUNT // CORES_PER_WORKER)
    common = {"host": HOST, "dashboard": False, "dashboard_address": f"{HOST}:0"}
    worker = {**common, "nthreads": 1, "memory_limit": None, "silence_logs": logging.CRITICAL}  # errors are raised here
    nannies = {}
    for i in range(count):
        own = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
        nannies[i] = {"cls": Nanny, "options": {**worker, "env": own}}
    scheduler = {"cls": Scheduler, "options": {**common, "port": 0}}
    settings = {
        "distributed.nanny.pre-spawn-environ": {},  # one thread each, unless emptied
        "distributed.worker.daemon": False,  # a run may start processes of its own
    }
    threads = os.environ.get(_THREADS)
    os.environ[_THREADS] = threads or str(max(1, CPU_COUNT // count))  # workers inherit it, also those started anew
    try:
        # not closed again as Python ends: after a second Ctrl-C it would wait ten seconds for workers that are gone
        cluster = partial(SpecCluster, silence_logs=logging.WARNING, shutdown_on_close=False)
        with dask.config.set(settings), cluster(nannies, scheduler) as started:
            yield started
    finally:
        del os.environ[_THREADS]
        if threads is not None:
            os.environ[_THREADS] = threads


@contextmanager
def local_client(workers: int | None = None, device: str = "auto") -> Iterator[Client]:
    """A client of a `local_cluster`; both end with the context."""
    with local_cluster(workers, device) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


def _gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` calls the GPUs that this process sees."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return [named[i] if named else str(i) for i in range(torch.cuda.device_count())]


def connect(scheduler: str) -> Client:
    """A client of a scheduler that runs already.

    Args:
        scheduler: its address, ``tcp://host:port``, or the file that ``dask scheduler --scheduler-file`` has written.

    Raises:
        FileNotFoundError: no such file.
        OSError: nobody answers there.
    """
    if "://" in scheduler:
        return Client(scheduler, set_as_default=False)
    if not Path(scheduler).is_file():
        raise FileNotFoundError(f"{scheduler}: no such scheduler file (an address begins with tcp://)")
    return Client(scheduler_file=scheduler, set_as_default=False)


@contextmanager
def scheduler_at(where: str) -> Iterator[str]:
    """The address of a scheduler that answers: of the one that `connect` finds, or, for ``local``, of a new
    `local_cluster` that ends with the context."""
    if where == "local":
        with local_cluster() as cluster:
            yield cluster.scheduler_address
    else:
        with connect(where) as client:
            address = client.scheduler.address
        yield address


def play_on(
    client: Client, experiments: Sequence[Experiment], runs_dir: str | os.PathLike[str], device: str
) -> Iterator[tuple[Experiment, Exception | None]]:
    """Play experiments, one task each, and yield each when it has ended, with what went wrong.

    Of those that start from the same pseudo-labels and round-0 model the first plays round 0, and then they all go on:
    nobody waits for the lock of what another makes. Tasks are named by what they do, so that two clients of one
    scheduler that ask for the same run share its task.

    Args:
        client: of the cluster.
        experiments: what to play.
        runs_dir: as the workers see it; a relative one is below this process's folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``, of the workers.

    Raises:
        ValueError: a worker has several threads.
    """
    if several := [address for address, threads in client.nthreads().items() if threads > 1]:
        raise ValueError(f"{several[0]}: a worker must have one thread (--nthreads 1), for it plays one run at a time")

    def submit(experiment: Experiment) -> Future:
        arguments = (str(runs_dir), device, os.getcwd())
        key = f"{experiment.name}-{fingerprint([experiment.model_dump(mode='json'), *arguments])}"
        return client.submit(_play, experiment, *arguments, key=key)

    groups = defaultdict(list)
    for experiment in experiments:
        groups[_start(experiment)].append(experiment)
    starting: dict[Future, list[Experiment]] = {}
    playing: dict[Future, Experiment] = {}
    for group in groups.values():
        if len(group) > 1:
            starting[submit(group[0].model_copy(update={"rounds": 0}))] = group
        else:
            playing[submit(group[0])] = group[0]
    try:
        ended = as_completed([*starting, *playing], loop=client.loop)
        for future in ended:
            if future in starting:  # where it has failed, each of its runs says so
                more = {submit(experiment): experiment for experiment in starting.pop(future)}
                playing |= more
                ended.update(more)
            else:
                lost = ConnectionError("the scheduler is gone, or somebody has cancelled the run")
                yield playing[future], lost if future.cancelled() else future.exception()
    finally:
        client.cancel([*starting, *playing])  # what has not begun when the caller stops is not begun any more


def _start(experiment: Experiment) -> str:
    """Equal for runs that start from the same labels and model, or, without labels, from the same superpixels."""
    fields = _START if experiment.from_superpixels else _START | _MODEL
    return fingerprint(experiment.model_dump(mode="json", include=fields))


def _play(experiment: Experiment, runs_dir: str, device: str, folder: str) -> None:
    with chdir(folder):  # of the client: relative paths mean the same
        run(experiment, runs_dir, device=device, progress=False)
