"""Many runs: one after the other, several at once on this machine, or on a cluster."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from a2lc.config import Experiment
from a2lc.ending import ending
from a2lc.files import check_whole
from a2lc.machine import show_bars
from a2lc.rounds import check_packages, run
from a2lc.runs import Run, place_of
from a2lc.segmenter import resolve_device

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER = "A2LC_SCHEDULER"
"""Environment variable: address or file of the scheduler of a cluster that plays the runs."""

Ended = Iterator[tuple[Experiment, Exception | None]]


class FailedRuns(RuntimeError):
    """Some of several runs failed, the others are finished.

    Attributes:
        errors: name of a failed run -> what went wrong.
    """

    def __init__(self, errors: dict[str, Exception], total: int) -> None:
        names: dict[str, list[str]] = {}  # what went wrong -> the runs
        for name, error in errors.items():
            names.setdefault(f"{type(error).__name__}: {error}", []).append(name)
        reasons = "; ".join(f"{', '.join(of)}: {reason}" for reason, of in names.items())
        super().__init__(f"{len(errors)} of {total} runs failed: {reasons}")
        self.errors = errors


def run_many(
    experiments: Iterable[Experiment],
    runs_dir: str | os.PathLike[str] = "runs",
    client: Client | None = None,
    *,
    workers: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Run]:
    """Run experiments, or continue them where they stopped, several at once: each is a task of dask.distributed.

    Each gives the files that `a2lc.run` gives with as many threads. What several start from (pseudo-labels, the model
    of round 0) is made once. One that fails does not stop the others. One whose worker dies is continued by another,
    until as many have died as ``distributed.scheduler.allowed-failures`` says (after the fourth, unless changed).

    Args:
        experiments: what to run.
        runs_dir: as for `a2lc.run`; on a cluster, a folder that client and workers see under the same path.
        client: of the cluster that plays them, with workers of one thread each (``--nthreads 1``); None: the cluster
            that the environment variable ``A2LC_SCHEDULER`` names; where it is unset, one on this machine that ends
            with the call.
        workers: of the cluster on this machine; None: one per GPU, without GPUs one per four cores; 0: no cluster, one
            run after the other in this process.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress: as for `a2lc.run`; runs in other processes show no bars of their own.

    Returns:
        The runs, in the order of the experiments.

    Raises:
        FailedRuns: some failed; names each with its error. Those that did not are finished, and the same call continues
            with the others. The error itself where there is one experiment only.
        MissingExtraError: dask.distributed is needed and not installed; or, where this process plays the runs, a
            package of theirs.
        OSError: nobody answers at the scheduler's address.
        ValueError: a worker has several threads; `workers` is negative; or, where this process plays the runs, this
            machine lacks the device.
        TypeError: something else than experiments, or `workers` is no whole number.
    """
    container = type(experiments).__name__
    experiments, progress = list(experiments), show_bars(progress)
    if wrong := [type(found).__name__ for found in experiments if not isinstance(found, Experiment)]:
        raise TypeError(f"experiments: expected a list of Experiment, found {container} of {wrong[0]}")
    if workers is not None:
        check_whole(workers, "workers")
    failed: dict[str, Exception] = {}
    scheduler = os.environ.get(SCHEDULER)
    with (
        ending(),
        tqdm(total=len(experiments), desc="runs", unit="run", disable=not progress) as bar,
        ExitStack() as stack,
    ):
        if workers == 0 and not client and not scheduler:
            check_packages(experiments, runs_dir)
            resolve_device(device)
            ended = _play_here(experiments, runs_dir, device, progress)
        else:
            from a2lc.paper.cluster import connect, local_client, play_on

            if not client:
                client = stack.enter_context(connect(scheduler) if scheduler else local_client(workers, device))
            ended = play_on(client, experiments, runs_dir, device)
        for experiment, error in ended:
            bar.update()
            if error is not None:
                failed[experiment.name] = error
    if failed and len(experiments) == 1:
        raise failed.popitem()[1]
    if failed:
        errors = {e.name: failed[e.name] for e in experiments if e.name in failed}
        raise FailedRuns(errors, len(experiments)) from next(iter(errors.values()))
    return [Run(place_of(experiment, runs_dir), experiment) for experiment in experiments]


def _play_here(experiments: Sequence[Experiment], runs_dir: str | os.PathLike[str], device: str, bars: bool) -> Ended:
    for experiment in experiments:
        error = None
        try:
            run(experiment, runs_dir, device=device, progress=bars)
        except Exception as problem:  # whatever it is, the others go on
            error = problem
            traceback.clear_frames(problem.__traceback__)  # their tensors would take the others' memory
        yield experiment, error
