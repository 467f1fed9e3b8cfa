"""Executing the notebooks of a profile: tables before the figures that read their runs, several at once where asked.
One that fails keeps its executed copy, and the others go on."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from a2lc.datasets import load_dataset
from a2lc.ending import Born, end_with, this_process
from a2lc.files import check_writable, differences, nearest, read_json, write_json
from a2lc.machine import show_bars, surroundings
from a2lc.notebook import PACKAGED, PROJECT, project_folder
from a2lc.notebook.parameters import (
    Parameter,
    item_of,
    parameters_by_item,
    parameters_of,
    profile_for,
    read_profile,
    settle,
)
from a2lc.paper.execution import check_kernel, run_notebook
from a2lc.paper.many import SCHEDULER
from a2lc.paper.planned import check_extras, planned_runs
from a2lc.paper.summary import MINUTES

ITEMS = ("00_*", "06_*", "table[1-5]_*", "figure[1-6]_*")
"""Others are executed only when named: they explain and make no result, or are of referring expressions, a plan of
their own."""


@dataclass(frozen=True, eq=False)
class Task:
    """One notebook to execute.

    Attributes:
        notebook: its file.
        parameters: those of the profile that it has.
        project: the folder that relative paths in parameters start from, which holds the notebooks' folder.
        folder: where its results go, ``figures_dir`` of the profile.
    """

    notebook: Path
    parameters: dict[str, Any]
    project: Path
    folder: Path

    @property
    def output(self) -> Path:
        """The executed copy."""
        return self.folder / "executed" / self.notebook.name


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        task: the task.
        minutes: wall-clock time; finished runs are reused, so this may be far less than computing them took.
        error: the last line of what went wrong, None where nothing did.
    """

    task: Task
    minutes: float
    error: str | None = None


def profile_files(folder: Path, profile: str) -> list[Path]:
    """The files of a profile: ``<profile>.yaml``, or all ``<profile>_*.yaml`` where one profile has several datasets.

    Raises:
        FileNotFoundError: there is none; the nearest name is suggested.
    """
    every = sorted(folder.glob("*.yaml"))
    found = [path for path in every if path.stem == profile]
    found = found or [path for path in every if path.stem.startswith(f"{profile}_")]
    if not found:
        known = sorted({name for path in every for name in (path.stem, path.stem.split("_")[0])})
        raise FileNotFoundError(
            f"{folder}: no profile {profile!r}{nearest(profile, known)} (known: {', '.join(known) or 'none'})"
        )
    return found


def plan(profile: str, notebooks: Path, only: Sequence[str] = ()) -> list[Task]:
    """What a profile executes, in order, every parameter checked before anything starts.

    Args:
        profile: a name in ``<notebooks>/params``.
        notebooks: the folder of the notebooks.
        only: beginnings of notebook names; empty: all of `ITEMS`; of a profile that has parameters for other items
            alone, those.

    Raises:
        FileNotFoundError: no such profile, notebook or folder.
        ValueError: a profile is damaged, names no ``figures_dir``, a parameter that no notebook has, one of a wrong
            type, or a value that no run can be made of; a notebook's kernel is not installed.
    """
    if not notebooks.is_dir():
        raise FileNotFoundError(f"{notebooks}: no such folder; say where the notebooks are with --notebooks")
    notebooks = notebooks.resolve()
    every = sorted(notebooks.glob("*.ipynb"), key=lambda path: (path.name.startswith("figure"), path.name))
    for name in only:
        if not any(path.name.startswith(name) for path in every):
            known = [path.stem for path in every]
            raise FileNotFoundError(
                f"{notebooks}: no notebook begins with {name!r}{nearest(name, known)} (known: {', '.join(known)})"
            )
    project = project_folder() if notebooks == PACKAGED else notebooks.parent
    parameters, tasks = parameters_by_item(notebooks), []
    for file in profile_files(notebooks / "params", profile):
        values = read_profile(file)
        if not isinstance(values.get("figures_dir"), str):
            raise ValueError(f"{file}: expected figures_dir, a folder, found {values.get('figures_dir')!r}")
        for path in _chosen(every, values, only):
            check_kernel(path)
            try:
                given = _given(path, values, parameters)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error
            tasks.append(Task(path, given, project, project / values["figures_dir"]))
    return tasks


def redirected(tasks: Sequence[Task], out: Path) -> list[Task]:
    """The same tasks with results in ``<out>/<name of their folder>`` and all runs in ``<out>/runs``.

    Runs that other versions, other code or another processor made are not taken for this machine's own: `out` notes
    what it belongs to (``made_with.json``), and is refused to others.

    Raises:
        ValueError: `out` belongs to others; the message says in what they differ.
    """
    file, mine = out / "made_with.json", surroundings()
    mine.pop("threads")  # of this process, not of the kernels
    if file.is_file():
        if wrong := differences(mine, read_json(file)):
            raise ValueError(f"{out}: holds runs made otherwise: {'; '.join(wrong)}. Remove it or name another folder")
    elif (out / "runs").exists():
        raise ValueError(f"{out}: holds runs, and {file.name} does not say by what they were made; name another folder")
    else:
        write_json(file, mine)
    moved = []
    for task in tasks:
        folder = out.resolve() / task.folder.name
        places = {"runs_dir": str(out.resolve() / "runs"), "figures_dir": str(folder)}
        known = parameters_of(task.notebook)
        parameters = task.parameters | {name: place for name, place in places.items() if name in known}
        moved.append(replace(task, parameters=parameters, folder=folder))
    return moved


def _chosen(every: Sequence[Path], profile: Mapping[str, Any], only: Sequence[str]) -> list[Path]:
    """What is executed of all notebooks; arguments as of `plan`."""
    if only:
        return [path for path in every if path.name.startswith(tuple(only))]
    usual = [path for path in every if any(map(path.match, ITEMS))]
    named = [path for path in every if item_of(path) in profile]
    return named if named and not set(named) & set(usual) else usual


def _given(notebook: Path, profile: dict[str, Any], known: dict[str, dict[str, Parameter]]) -> dict[str, Any]:
    """What a profile gives to a notebook, checked and converted."""
    item, parameters = item_of(notebook), parameters_of(notebook)
    given = profile_for(item, profile, {**known, item: parameters})
    settled = settle(item, parameters, given, given, {})
    planned_runs(item, settled)
    return {name: settled[name] for name in given}


def _check_needs(tasks: Sequence[Task]) -> None:
    """Packages and data that the tasks need are here."""
    roots = set()
    for task in tasks:
        item, parameters = item_of(task.notebook), parameters_of(task.notebook)
        values = settle(item, parameters, task.parameters, task.parameters, {})
        check_extras(item, values, task.project)
        if "dataset" in values:
            root = values.get("root", "")
            roots.add((values["dataset"], task.project / root if root else None))
    for dataset, root in roots:
        load_dataset(dataset, root)


def execute(
    tasks: Sequence[Task], jobs: int = 1, progress: bool = True, scheduler: str | None = None
) -> Iterator[Outcome]:
    """Execute tasks in order, `jobs` at once, each in a process of its own, and yield each when it has ended.

    The bar estimates the time left from the minutes that each notebook took last time (``minutes.json``). Kernels show
    no bars of their own; where several run at once they share the cores, unless ``OMP_NUM_THREADS`` says otherwise.

    Args:
        tasks: what to execute.
        jobs: how many at once.
        progress: whether to show a bar.
        scheduler: of the cluster that plays the notebooks' runs (`a2lc.paper.cluster.scheduler_at`); None: each kernel
            plays its own.

    Raises:
        ImportError, OSError: dask.distributed is not installed; nobody answers at `scheduler`.
        OSError: a process that executes notebooks was ended from outside.
        OSError, ValueError, MissingExtraError: a task's folder cannot be written, or a package or dataset that its
            runs need is missing; nothing is started.
    """
    for folder in {task.folder for task in tasks}:
        check_writable(folder)
    if scheduler is None and SCHEDULER not in os.environ:  # else the cluster's machines need them
        _check_needs(tasks)
    weights = {task: _expected(task) for task in tasks}
    waiting, running = deque(tasks), dict[Future[Outcome], tuple[Task, float]]()
    threads = None if jobs == 1 else str(max(1, (os.cpu_count() or 1) // jobs))
    context = multiprocessing.get_context("spawn")
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, about {remaining} left{postfix}"
    bar = tqdm(
        total=sum(weights.values()), desc="notebooks", bar_format=form, disable=not show_bars(progress), smoothing=0
    )
    done = 0.0
    with (
        _cluster(scheduler) as address,
        bar,
        ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_prepare, initargs=(this_process(), threads, address)
        ) as pool,
    ):
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.popleft()
                running[pool.submit(_run, task)] = (task, time.perf_counter())
            ended, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            outcomes = [(_outcome(future), running.pop(future)) for future in ended]
            done += sum(weights[task] for _, (task, _) in outcomes)
            minutes = {task: (time.perf_counter() - start) / 60 for task, start in running.values()}
            bar.n = done + sum(min(spent, 0.95 * weights[task]) for task, spent in minutes.items())
            about = ", ".join(f"{item_of(task.notebook)} {spent:.1f} min" for task, spent in minutes.items())
            bar.set_postfix_str(about)
            yield from (outcome for outcome, _ in outcomes)
        bar.n = bar.total
        bar.refresh()


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor as error:
        why = "a process that executes notebooks was ended from outside, perhaps for want of memory"
        raise OSError(f"{why}; what is finished stays, and the same command goes on") from error


def _expected(task: Task) -> float:
    """Minutes that a task took last time, 1 where it is new."""
    file = task.folder / MINUTES
    return float(read_json(file).get(item_of(task.notebook), 1.0)) if file.is_file() else 1.0


def _cluster(scheduler: str | None) -> AbstractContextManager[str | None]:
    if scheduler is None:
        return nullcontext()
    from a2lc.paper.cluster import scheduler_at

    return scheduler_at(scheduler)


def _prepare(parent: Born, threads: str | None, scheduler: str | None) -> None:
    end_with(parent)  # and with it the kernel
    os.environ["TQDM_DISABLE"] = "1"
    if threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", threads)
    if scheduler is not None:
        os.environ[SCHEDULER] = scheduler


def _run(task: Task) -> Outcome:
    start, error = time.perf_counter(), None
    os.environ[PROJECT] = str(task.project)  # of this process, which starts one kernel after the other
    try:
        run_notebook(task.notebook, task.output, task.parameters)
    except Exception as problem:  # whatever it is, the other notebooks go on
        lines = re.sub(r"\x1b\[[0-9;]*m", "", str(problem)).strip().splitlines()
        error = lines[-1] if lines else type(problem).__name__
    return Outcome(task, (time.perf_counter() - start) / 60, error)
