"""Killed anywhere and started again: the finished run is the same, file by file; and what happens on a full disk, in a
read-only folder, with damaged files and with two processes on one run.

A run is played in a process of its own, which ends itself by SIGKILL at a place that is counted, not timed: at the n-th
call of a function of the package inside a stage, or at the n-th file that is renamed into place.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import EAGER, TRUTH, contents, dataset_folder, network, seeded
from tqdm import tqdm

import a2lc
from a2lc import Experiment, Run
from a2lc.files import read_arrays, read_json, read_label_png, read_parquet, write_arrays, write_json, write_label_png
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.human.write_back import apply_changes, revert_changes, write_back, write_changes
from a2lc.runs import STAGES, StageFolder
from a2lc.runs.run import FORMAT

SETTINGS = {
    "dataset": "folder",
    "seed": seeded(),
    "rounds": 2,
    "budget": 2,
    "segmenter": network(iterations=1),
    "correction": {"epochs": 2, **EAGER},
}
PACKAGE = str(Path(a2lc.__file__).parent)
WAITS = "another process works on it"
FIRST_STAGE = ("", "before round 0")
CONTEXT = multiprocessing.get_context("forkserver")  # processes that start in no time: PyTorch is imported once
CONTEXT.set_forkserver_preload(
    [
        "a2lc.rounds",
        "a2lc.human",
        "a2lc.human.approval",
        "pyarrow.dataset",
        "joblib",
        "kneed",
        "skimage.morphology",
        "lightning_fabric",  # with the compiler of PyTorch, seconds
        "torchvision.transforms.v2",
        "pytest",
    ]
)


class Colours:
    """A segmenter that takes no time: the mean colour of each class."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.means = np.zeros((num_classes, 3), np.float32)

    def fit(self, split: Any, labels: Callable[[str], np.ndarray], *, seed: int, progress: bool = True) -> None:
        pixels = np.concatenate([split.image(name).reshape(-1, 3) for name in split.names])
        classes = np.concatenate([labels(name).ravel() for name in split.names])
        noise = np.random.default_rng(seed).random((self.num_classes, 3))
        self.means = np.stack([pixels[classes == k].sum(0) / max(1, (classes == k).sum()) for k in range(3)])
        self.means = (self.means + noise).astype(np.float32)

    def predict(self, image: np.ndarray) -> torch.Tensor:
        distance = ((image[None] - self.means[:, None, None]) ** 2).sum(-1)
        return torch.from_numpy(-distance / 1e4).softmax(0)

    def save(self, path: Path) -> None:
        write_arrays(path, {"means": self.means})

    def load(self, path: Path) -> None:
        self.means = read_arrays(path)["means"]


# ------------------------------------------------------------------------------------------------ the process
def go_on(fields: dict[str, Any], runs_dir: Path, tiny: bool = True) -> Run:
    """Play a run to its end; a person answers with the truth and approves of everything."""
    segmenter = Colours if tiny else None
    run = a2lc.run(Experiment(**fields), runs_dir, device="cpu", segmenter=segmenter, progress=False)
    while not run.finished:
        if run.waits_for == "answers":
            queue = Queue(run)
            while query := queue.current:
                label = TRUTH[query.image][query.mask_id - 1]
                queue.answer("void" if label == 255 else label)
        elif run.waits_for == "approval":
            Approval(run).approve()
        run = next_round(run, device="cpu", segmenter=segmenter, progress=False)
    return run


def in_process(fields: dict[str, Any], runs_dir: Path, tiny: bool, prepare: Callable[..., None], *more: Any) -> None:
    """What the child does: something is prepared that will end it, and then the run is played."""
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # not one of the system's, which a killed process cannot give back
    os.fsync = lambda file: None  # type: ignore[assignment]  # what the kernel has survives SIGKILL
    prepare(*more)
    go_on(fields, runs_dir, tiny)


def start(fields: dict[str, Any], runs_dir: Path, tiny: bool, prepare: Callable[..., None], *more: Any) -> BaseProcess:
    process = CONTEXT.Process(target=in_process, args=(fields, runs_dir, tiny, prepare, *more))
    process.start()
    return process


def end_of(process: BaseProcess) -> int | None:
    """Its exit code."""
    process.join(120)
    code = process.exitcode
    process.close()
    return code


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def as_it_is() -> None:
    """Nothing ends the process."""


def at_rename(number: int, how: str) -> None:
    """Die at the n-th file that is renamed into place: when ``half`` of it is written, or when it is ``renamed``."""
    replace, count = os.replace, 0

    def counted(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == number and how == "half":
            os.truncate(source, os.path.getsize(source) // 2)
            die()
        replace(source, target)
        if count == number:
            die()

    os.replace = counted  # type: ignore[assignment]


def count_renames(connection: Connection) -> None:
    replace = os.replace

    def counted(source: Path, target: Path) -> None:
        connection.send(str(target))
        replace(source, target)

    os.replace = counted  # type: ignore[assignment]


class Stages:
    """Counts the calls of functions of the package in each stage, or in the `wanted` one alone, since counting makes
    everything slow: the round's folder and the stage that it began last."""

    def __init__(self, at: Callable[[tuple[str, str], int], None], wanted: tuple[str, str] | None = None) -> None:
        self.at, self.wanted, self.calls = at, wanted, Counter[tuple[str, str]]()
        begin = StageFolder.begin

        def counted(folder: StageFolder, stage: str, bar: Any = None) -> bool:
            self.enter((folder.path.name.partition("-")[0], stage))  # of a model: without its hash
            return begin(folder, stage, bar)

        StageFolder.begin = counted  # type: ignore[method-assign]
        self.enter(FIRST_STAGE)

    def enter(self, stage: tuple[str, str]) -> None:
        """A stage begins. Calls of this thread are counted, not of those that load images."""
        self.stage = stage
        sys.setprofile(self.profile if self.wanted in (None, stage) else None)

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.calls[self.stage] += 1
            self.at(self.stage, self.calls[self.stage])


def count_calls(connection: Connection) -> None:
    Stages(lambda stage, number: connection.send((stage, number)))


def at_call(wanted: tuple[str, str], number: int) -> None:
    Stages(lambda _, count: die() if count == number else None, wanted)


def said_by(fields: dict[str, Any], runs_dir: Path, tiny: bool, prepare: Callable[[Connection], None]) -> list[Any]:
    """All that an undisturbed run sends."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = start(fields, runs_dir, tiny, prepare, there)
    there.close()
    said = []
    while True:
        try:
            said.append(here.recv())
        except EOFError:
            break
    assert end_of(process) == 0
    here.close()
    return said


# ------------------------------------------------------------------------------------------------ comparing
def differing(runs_dir: Path, wanted: dict[str, Any]) -> list[str]:
    found = contents(runs_dir)
    return [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]


class Undisturbed:
    """One run and its files."""

    def __init__(self, folder: Path, tiny: bool = True, **fields: Any) -> None:
        self.fields, self.folder, self.tiny = SETTINGS | {"root": str(folder / "data")} | fields, folder, tiny
        dataset_folder(folder / "data", (40, 60) if tiny else (64, 96))
        (folder / "data" / "val.txt").write_text("c\n")
        assert end_of(start(self.fields, folder / "runs", tiny, as_it_is)) == 0
        self.files = contents(folder / "runs")

    @property
    def name(self) -> str:
        return Experiment(**self.fields).name

    def said(self, prepare: Callable[[Connection], None], begun: Path | None = None) -> list[Any]:
        """All that another undisturbed run sends, which is the same; `begun` as of `killed`."""
        runs_dir = self.folder / "again"
        if begun:
            shutil.copytree(begun, runs_dir)
        said = said_by(self.fields, runs_dir, self.tiny, prepare)
        assert differing(runs_dir, self.files) == []
        shutil.rmtree(runs_dir)
        return said

    def killed(self, place: str, prepare: Callable[..., None], *more: Any, begun: Path | None = None) -> list[str]:
        """A run that dies in `prepare` and is started again; the names of the files that differ. `begun`: the folder
        of a run with fewer rounds, which it goes on with."""
        runs_dir = self.folder / "killed"
        if begun:
            shutil.copytree(begun, runs_dir)
        assert end_of(start(self.fields, runs_dir, self.tiny, prepare, *more)) == -signal.SIGKILL, place
        assert end_of(start(self.fields, runs_dir, self.tiny, as_it_is)) == 0, place
        found = differing(runs_dir, self.files)
        shutil.rmtree(runs_dir)
        return [f"{place}: {name}" for name in found]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("plain"))


# ------------------------------------------------------------------------------------------------ SIGKILL
@pytest.mark.long
def test_killed_in_every_stage(tmp_path: Path) -> None:
    """With a network, twice in each stage, and in what comes before."""
    whole, begun = Undisturbed(tmp_path, tiny=False, rounds=1), tmp_path / "begun"
    assert end_of(start(whole.fields | {"rounds": 0}, begun, False, as_it_is)) == 0
    calls = dict(whole.said(count_calls))  # the last number of each stage
    assert [stage for number, stage in calls if number == "round_01"] == [*STAGES]
    assert {FIRST_STAGE, ("model", "trained")} < calls.keys()
    found: list[str] = []
    for stage, number in calls.items():
        before = begun if stage[0] == "round_01" else None
        for share in (0.2, 0.8):
            found += whole.killed(f"{stage} at {share:.0%}", at_call, stage, max(1, int(share * number)), begun=before)
    print(f"killed in {len(calls)} stages, {2 * len(calls)} times: {len(found)} differences")
    assert found == []


@pytest.mark.long
def test_killed_at_every_file(plain: Undisturbed) -> None:
    """Two rounds; masks, the model of round 0 and everything after. What is half written in one round is renamed in the
    other."""
    files, found, half_written = plain.said(count_renames), [], 0
    for number, file in enumerate(files, start=1):
        how = ("half", "renamed")[(number + ("round_02" in file)) % 2]
        half_written += how == "half"
        found += plain.killed(f"{file} {how}", at_rename, number, how)
    print(f"killed at {len(files)} files, {half_written} of them half written: {len(found)} differences")
    assert len(files) > 40 and found == []


def copy_torn(number: int, backwards: bool, runs_dir: Path, copy: Path) -> None:
    """Copy the runs while they are played: half of the files at the n-th rename, the others six renames later."""
    replace, count = os.replace, 0

    def counted(source: Path, target: Path) -> None:
        nonlocal count
        replace(source, target)
        count += 1
        if count in (number, number + 6):
            files = sorted((path for path in runs_dir.rglob("*") if path.is_file()), reverse=backwards)
            for path in files[: len(files) // 2] if count == number else files:
                to = copy / path.relative_to(runs_dir)
                if not to.exists():
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, to)

    os.replace = counted  # type: ignore[assignment]


@pytest.mark.long
def test_a_copy_made_while_a_run_is_played(plain: Undisturbed, tmp_path: Path) -> None:
    """Whatever moments its files are from: it becomes the same run, or a sentence names what is wrong with it."""
    counts, wrong = Counter[str](), []
    for number in range(3, len(plain.said(count_renames)) - 6, 4):
        runs_dir, copy = plain.folder / "played", tmp_path / f"copy-{number}"
        assert end_of(start(plain.fields, runs_dir, True, copy_torn, number, number % 8 == 3, runs_dir, copy)) == 0
        shutil.rmtree(runs_dir)
        try:
            go_on(plain.fields, copy)
        except (OSError, ValueError) as error:
            counts["named"] += 1
            if str(copy) not in str(error):
                wrong.append(f"{number}: {error}")
        else:
            counts["same"] += 1
            wrong += [f"{number}: {name}" for name in differing(copy, plain.files)]
    print(f"copies of a run that is played: {dict(counts)}; {len(wrong)} differences")
    assert not wrong and sum(counts.values()) > 5


@pytest.mark.long
@pytest.mark.parametrize("method", ["merspx", "mulspx"])
def test_killed_in_the_rounds_of_superpixels(tmp_path: Path, method: str) -> None:
    """In each stage of the second round; training takes several steps, which are looked at more closely."""
    fields = {"method": method, "pseudo_labels": {"kind": "superpixels", "superpixels": {"algorithm": "slic"}}}
    whole = Undisturbed(tmp_path, tiny=False, **fields)
    begun = tmp_path / "begun"
    assert end_of(start(whole.fields | {"rounds": 1}, begun, False, as_it_is)) == 0
    calls = {stage: number for stage, number in whole.said(count_calls) if stage[0] == "round_02"}
    assert [stage for _, stage in calls] == [*STAGES]
    found, kills = [], 0
    for stage, number in calls.items():
        for share in (0.3, 0.8) if stage[1] == "trained" else (0.6,):
            found += whole.killed(f"{stage} at {share:.0%}", at_call, stage, max(1, int(share * number)), begun=begun)
            kills += 1
    print(f"{method}: killed {kills} times in {len(calls)} stages: {len(found)} differences")
    assert found == []


def test_killed_in_the_rounds_of_instant(tmp_path: Path) -> None:
    """At every file of the second round; the order changes after each answer."""
    fields = {"method": "instant", "instant": {"features": "colour", "reorder_every": 1}, "budget": 3}
    whole, begun = Undisturbed(tmp_path, **fields), tmp_path / "begun"
    assert end_of(start(whole.fields | {"rounds": 1}, begun, True, as_it_is)) == 0
    files, found = whole.said(count_renames, begun), []
    for number, file in enumerate(files, start=1):
        found += whole.killed(file, at_rename, number, ("half", "renamed")[number % 2], begun=begun)
    print(f"instant: killed at {len(files)} files: {len(found)} differences")
    assert len([file for file in files if "round_02" in file]) > 10 and found == []


@pytest.mark.long
def test_killed_while_a_person_is_waited_for(tmp_path: Path) -> None:
    """A person answers and approves; killed at every file of round 1 from the queries on, closing among them."""
    whole = Undisturbed(tmp_path, rounds=1, annotator="human")
    assert {"answers.jsonl", "approvals.jsonl", "approved.parquet"} < {Path(name).name for name in whole.files}
    files = whole.said(count_renames)
    first = next(i for i, file in enumerate(files, start=1) if file.endswith("queries.parquet"))
    found: list[str] = []
    for number in range(first, len(files) + 1):
        found += whole.killed(f"{files[number - 1]}", at_rename, number, ("half", "renamed")[number % 2])
    print(f"killed {len(files) - first + 1} times around a person: {len(found)} differences")
    assert found == []


@pytest.mark.long
def test_killed_again_and_again(plain: Undisturbed, tmp_path: Path) -> None:
    """In one folder: each process gets one file further than the last one did within its stage."""
    kills = 0
    while end_of(start(plain.fields, tmp_path, True, at_rename, kills // 2 + 1, ("half", "renamed")[kills % 2])):
        kills += 1
        assert kills < 60
    found = differing(tmp_path, plain.files)
    print(f"one run killed {kills} times: {len(found)} differences")
    assert kills > 5 and found == []


def write_labels(what: str, number: int, how: str, run_folder: Path, changes: Path, root: Path, out: Path) -> None:
    """What the child does: it writes corrected labels, and dies at the n-th file."""
    at_rename(number, how)
    if what == "write_back":
        write_back(Run.open(run_folder), out)
    elif what == "write_changes":
        write_changes(Run.open(run_folder), out)
    else:
        (apply_changes if what == "apply_changes" else revert_changes)(changes, root)


@pytest.mark.long
@pytest.mark.parametrize("what", ["write_back", "write_changes", "apply_changes", "revert_changes"])
def test_killed_while_labels_are_written(what: str, tmp_path: Path) -> None:
    """At every file, or every third; the same again ends as an undisturbed one does, and leaves nothing behind."""
    root, changes = tmp_path / "data", tmp_path / "changes"
    dataset_folder(root, truth=False)
    for name, labels in TRUTH.items():
        ids = np.repeat(np.repeat(np.array(labels[:4], np.uint8).reshape(2, 2), 20, 0), 30, 1)
        write_label_png(root / "labels" / f"{name}.png", np.where(ids == 255, 0, ids))
    own = {"dataset": "folder", "root": root, "pseudo_labels": {"kind": "own_labels"}, "annotator": "human"}
    config = Experiment(**own, method="instant", instant={"features": "colour"}, rounds=1, budget=6, approval=False)
    run = a2lc.run(config, tmp_path / "runs", device="cpu", progress=False)
    queue = Queue(run)
    queue.answer_many([(query, (query.label + 1) % 3) for query in queue.queries])
    run = next_round(run, device="cpu", progress=False)
    assert run.finished and write_changes(run, changes)["image"].nunique() == len(TRUTH)

    def played(number: int, how: str, place: Path) -> int | None:
        process = CONTEXT.Process(
            target=write_labels, args=(what, number, how, run.path, changes, place / "data", place / "out")
        )
        process.start()
        return end_of(process)

    def begun(place: Path) -> Path:
        shutil.copytree(root, place / "data")
        if what == "revert_changes":
            apply_changes(changes, place / "data")
        return place

    assert played(0, "", whole := begun(tmp_path / "whole")) == 0
    wanted, kills = contents_but_times(whole), 0
    for number in range(1, 100, 3 if what.startswith("write") else 1):  # those write many files
        place = begun(tmp_path / f"{number}")
        if played(number, ("half", "renamed")[number % 2], place) == 0:
            break
        kills += 1
        assert played(0, "", place) == 0 and contents_but_times(place) == wanted, number
    assert kills >= len(TRUTH)


def contents_but_times(folder: Path) -> dict[str, str]:
    """Every file below, but for the one that says when it was made."""
    return {name: data for name, data in contents(folder).items() if not name.endswith("about.json")}


# ------------------------------------------------------------------------------------------------ two at one run
def say_and_wait(connection: Connection) -> None:
    """Tell of every training; before that of round 1 wait for a word."""
    fit = Colours.fit

    def told(*args: Any, **kwargs: Any) -> None:
        connection.send("fit")
        fits.append("fit")
        if len(fits) == 2:
            connection.recv()
        fit(*args, **kwargs)

    fits: list[str] = []
    Colours.fit = told  # type: ignore[method-assign]


def say_to(connection: Connection, errors: Path) -> None:
    """Tell of every training, and write standard error to a file."""
    fit = Colours.fit

    def told(*args: Any, **kwargs: Any) -> None:
        connection.send("fit")
        fit(*args, **kwargs)

    Colours.fit = told  # type: ignore[method-assign]
    sys.stderr = open(errors, "w", encoding="utf-8", buffering=1)  # noqa: SIM115


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("first_is_killed", [False, True])
def test_two_processes_at_one_run(plain: Undisturbed, tmp_path: Path, first_is_killed: bool) -> None:
    """The second says that it waits; then it returns what the first has made, or goes on where the first died."""
    runs_dir, errors = tmp_path / "runs", tmp_path / "errors"
    (one, of_first), (two, of_second) = CONTEXT.Pipe(), CONTEXT.Pipe()
    first = start(plain.fields, runs_dir, True, say_and_wait, of_first)
    assert [one.recv(), one.recv()] == ["fit", "fit"]  # it is in round 1
    second = start(plain.fields, runs_dir, True, say_to, of_second, errors)
    wait_until(lambda: errors.is_file() and WAITS in errors.read_text())
    assert errors.read_text().count("\n") == 1 and str(runs_dir / plain.name) in errors.read_text()
    if first_is_killed:
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
    else:
        one.send("go on")
    assert [end_of(first), end_of(second)] == [-signal.SIGKILL if first_is_killed else 0, 0]
    trained = [0, 0]
    for i, (connection, other) in enumerate(((one, of_first), (two, of_second))):
        other.close()
        while connection.poll():
            try:
                trained[i] += connection.recv() == "fit"
            except EOFError:
                break
        connection.close()
    assert trained == ([0, 2] if first_is_killed else [1, 0])  # after the two of round 0 and 1 above
    assert differing(runs_dir, plain.files) == []


# ------------------------------------------------------------------------------------------------ nowhere to write
@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted at a folder while the test runs; skipped where only root may."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(plain: Undisturbed, tmp_path: Path) -> None:
    """A small disk, on which a little more becomes free every time; nothing is lost in between."""
    disk, errors = tmp_path / "disk", []
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        (disk / "ballast").write_bytes(bytes(2**20))
        for size in range(2**20, 0, -24 * 1024):
            os.truncate(disk / "ballast", size)
            try:
                go_on(plain.fields, disk / "runs")
                break
            except OSError as error:
                errors.append(str(error))
        else:
            pytest.fail(f"never enough: {errors}")
        found = differing(disk / "runs", plain.files)
    assert all(re.match(rf"{disk}/\S+: could not be written, so it is as it was \(.*No space left", e) for e in errors)
    print(f"{len(errors)} times on a full disk, then {len(found)} differences")
    assert len({error.partition(":")[0] for error in errors}) >= 3 and found == []


def limited(fields: dict[str, Any], runs_dir: Path, limit: int, connection: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))  # Python ignores the signal
    try:
        go_on(fields, runs_dir)
        connection.send("")
    except OSError as error:
        connection.send(str(error))


def test_files_that_may_not_grow(plain: Undisturbed, tmp_path: Path) -> None:
    """The same without a disk of its own: larger and larger files are allowed."""
    errors, (here, there) = [], CONTEXT.Pipe(duplex=False)
    for limit in (20, 2000, 50_000, 10**9):
        process = CONTEXT.Process(target=limited, args=(plain.fields, tmp_path, limit, there))
        process.start()
        errors.append(here.recv())
        assert end_of(process) == 0
    assert errors.pop() == ""
    for error in errors:
        assert re.match(rf"{tmp_path}/\S+: could not be written, so it is as it was \(.*File too large", error), error
    assert [Path(error.partition(":")[0]).name for error in errors] == ["a.png", "masks.parquet", "lcm.safetensors"]
    assert differing(tmp_path, plain.files) == []


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """By a mount where that is allowed, else by permissions, which root would not heed."""
    if subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    elif os.geteuid() == 0:
        pytest.skip("root, but without the right to mount")
    else:
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        yield
        for path, mode in modes.items():
            path.chmod(mode)


def test_a_read_only_folder(plain: Undisturbed, tmp_path: Path) -> None:
    """A finished run is read as ever; one that is not says where it cannot write, and goes on when it can."""
    shorter, runs_dir = plain.fields | {"rounds": 1}, tmp_path / "runs"
    go_on(shorter, runs_dir)
    before = contents(runs_dir)
    with read_only(runs_dir):
        run = go_on(shorter, runs_dir)
        assert run.finished and len(run.summary) == 2 and len(Run.open(run.path).masks(1)) > 0
        with pytest.raises(OSError, match=r"config\.json: could not be written, .*(Read-only|Permission)"):
            go_on(plain.fields, runs_dir)
        assert contents(runs_dir) == before
    state = run.path / "round_01" / "state.json"
    write_json(state, {"finished": {"scored": 1}})
    with read_only(runs_dir), pytest.raises(OSError, match=rf"{re.escape(str(run.path))}: cannot be written .*"):
        go_on(shorter, runs_dir)
    state.unlink()
    go_on(plain.fields, runs_dir)
    assert differing(runs_dir, plain.files) == []


# ------------------------------------------------------------------------------------------------ damaged files
def look(run: Run) -> None:
    """Read every file of a run."""
    assert len(run.summary) == run.finished_rounds + 1
    for number in range(run.finished_rounds + 1):
        masks = run.masks(number)
        read_arrays(run.path / f"round_{number:02d}" / "segmenter.safetensors")
        if number:
            assert len(run.scores(number)) == len(masks) and len(run.queries(number))
            read_arrays(run.path / f"round_{number:02d}" / "lcm.safetensors")
    for name in masks.names:
        masks.index_map(name)


def go_on_and_look(fields: dict[str, Any], runs_dir: Path) -> None:
    """Go on with a run and read all of it; then with another one that takes what they share, and is removed."""
    look(go_on(fields, runs_dir))
    other = fields | {"method": "a2lc_no_lcm", "rounds": 0}
    shutil.rmtree(runs_dir / Experiment(**other).name, ignore_errors=True)
    look(go_on(other, runs_dir))
    shutil.rmtree(runs_dir / Experiment(**other).name)


def values(path: Path) -> Any:
    """What a file says, however it is written."""
    if path.suffix == ".parquet":
        return read_parquet(path).to_dict("list").__repr__()
    if path.suffix == ".safetensors":
        return {name: array.tolist() for name, array in read_arrays(path).items()}
    return read_label_png(path).tolist() if path.suffix == ".png" else path.read_bytes()


REMEDY = r"(\S+?)(?:, line \d+)?: .*\. Remove (\S+)(?: and (\S+))?, and start the run again"


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """Another bit in the middle, where data is."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [half, flipped])
def test_a_damaged_file_is_named_with_the_way_out(
    plain: Undisturbed, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Every file of a finished run and of what it shares, one after the other. What the error says is done, until
    there is none: the run is whole again."""
    named, unseen, differences = 0, [], []
    for name in plain.files:
        if damage is flipped and name.endswith((".json", ".jsonl")):
            continue  # is text: another digit is a number as good as the first
        runs_dir = tmp_path / "runs"
        shutil.copytree(plain.folder / "runs", runs_dir)
        before, content = values(runs_dir / name), (runs_dir / name).read_bytes()
        (runs_dir / name).write_bytes(damage(content))
        errors = 0
        while errors < 4:
            try:
                go_on_and_look(plain.fields, runs_dir)
                break
            except ValueError as error:
                found = re.match(REMEDY, str(error))
                assert found and found[1] == str(runs_dir / name), str(error)
                for file in filter(None, found.groups()[1:]):
                    Path(file).unlink()
                errors += 1
        if errors:
            named += 1
        else:
            assert values(runs_dir / name) == before, name  # it was in what Parquet says of itself
            (runs_dir / name).write_bytes(content)
            unseen.append(name)
        differences += differing(runs_dir, plain.files)
        shutil.rmtree(runs_dir)
    print(f"{named} damaged files, each named; then {len(differences)} differences; {len(unseen)} still say the same")
    assert differences == [] and named > 2 * len(unseen)


def test_what_a_person_said_is_never_to_be_removed(tmp_path: Path) -> None:
    whole = Undisturbed(tmp_path, rounds=1, annotator="human")
    log = tmp_path / "runs" / whole.name / "round_01" / "answers.jsonl"
    said = log.read_text()
    log.write_text("{" + said)
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1: expected image, .*\. Remove \S+state\.json, and"):
        Run.open(log.parents[1]).queries(1)
    log.with_name("state.json").unlink()
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1: damaged .*; mend or remove this line"):
        go_on(whole.fields, tmp_path / "runs")
    log.write_text(said)
    go_on(whole.fields, tmp_path / "runs")
    assert differing(tmp_path / "runs", whole.files) == []


def test_runs_of_other_formats(plain: Undisturbed, tmp_path: Path) -> None:
    """A folder that does not say its format is of the first; another one's is refused by its number."""
    shutil.copytree(plain.folder / "runs", tmp_path, dirs_exist_ok=True)
    file = tmp_path / plain.name / "provenance.json"
    assert read_json(file)["format"] == FORMAT == 2
    for found, about in ((1, {}), (3, {"format": 3})):
        write_json(file, {name: value for name, value in read_json(file).items() if name != "format"} | about)
        for play in (lambda: go_on(plain.fields, tmp_path), lambda: Run.open(tmp_path / plain.name)):
            with pytest.raises(ValueError, match=f"{plain.name}: a run in format {found}, this a2lc knows format 2"):
                play()
    shutil.rmtree(tmp_path / plain.name)
    go_on(plain.fields, tmp_path)
    assert read_json(file)["format"] == 2
