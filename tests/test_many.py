"""`run_many` with real workers: one is killed in the middle, one experiment fails, several share their start."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import yaml
from distributed import Client, Future
from small_notebooks import write_notebook
from small_runs import EAGER, contents, dataset_folder, network, seeded

import a2lc
from a2lc import Experiment, run_many
from a2lc.cli import main
from a2lc.files.io import read_json
from a2lc.paper.cluster import connect, local_cluster, play_on
from a2lc.paper.experiments import run_rows
from a2lc.paper.many import SCHEDULER, FailedRuns

pytestmark = pytest.mark.slow
MISSING = Experiment(dataset="camvid", root="missing", rounds=1)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run that takes a second."""
    root = tmp_path_factory.mktemp("dataset")
    dataset_folder(root / "data", (64, 96))
    return {
        "dataset": "folder",
        "root": str(root / "data"),
        "seed": seeded(),
        "rounds": 2,
        "budget": 2,
        "segmenter": network(iterations=2, batch_size=2),
        "correction": {"epochs": 5, **EAGER},
    }


@pytest.fixture(scope="module")
def good(fields: dict[str, Any]) -> list[Experiment]:
    """Two that start from one model, and one that lasts long enough to be killed."""
    longer = {"seed": seeded(1), "segmenter": network(iterations=6)}
    return [Experiment(**fields | own) for own in ({"method": "alc"}, {"method": "a2lc"}, longer)]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with local_cluster(2) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


class Killer(threading.Thread):
    """Kills the worker that plays a run, as soon as the run's queries of round 1 are there."""

    def __init__(self, client: Client, folder: Path) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.folder = folder
        self.scores = folder / "round_01" / "scores.parquet"
        self.pids = client.run(os.getpid)
        self.killed: list[str] = []

    def run(self) -> None:
        while not self.scores.with_name("queries.parquet").is_file():
            time.sleep(0.005)
        for pid in self.pids.values():  # they wait until it is known which of them it is
            os.kill(pid, signal.SIGSTOP)
        self.inode = self.scores.stat().st_ino
        self.finished_rounds = a2lc.Run.open(self.folder).finished_rounds
        for worker, keys in self.client.processing().items():
            if any(self.folder.name in key for key in keys):
                os.kill(self.pids[worker], signal.SIGKILL)
                self.killed.append(worker)
            else:
                os.kill(self.pids[worker], signal.SIGCONT)


@pytest.fixture(scope="module")
def played(client: Client, good: list[Experiment], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Three good experiments and one that fails, on two workers, of which one is killed."""
    runs_dir = tmp_path_factory.mktemp("many") / "runs"
    killer = Killer(client, runs_dir / good[2].name)
    killer.start()
    with pytest.raises(FailedRuns) as failed:
        run_many([*good[:2], MISSING, good[2]], runs_dir, client, device="cpu", progress=False)
    killer.join(10)
    return SimpleNamespace(runs_dir=runs_dir, killer=killer, failed=failed.value)


# ---------------------------------------------------------------------------------------------------- on a cluster
def test_a_killed_run_is_resumed_by_another_worker(played: SimpleNamespace, client: Client) -> None:
    killer = played.killer
    assert len(killer.killed) == 1 and killer.finished_rounds == 0
    assert killer.killed[0] not in client.run(os.getpid)
    assert killer.scores.stat().st_ino == killer.inode, "round 1 was played again from its beginning"


def test_the_files_are_those_of_plain_runs(played: SimpleNamespace, good: list[Experiment], tmp_path: Path) -> None:
    for experiment in good:
        a2lc.run(experiment, tmp_path, device="cpu", progress=False)
    expected = contents(tmp_path)
    assert contents(played.runs_dir) == expected and len(expected) > 60


def test_the_failed_one_is_reported_at_the_end(played: SimpleNamespace) -> None:
    error = played.failed.errors[MISSING.name]
    assert list(played.failed.errors) == [MISSING.name] and isinstance(error, FileNotFoundError)
    assert str(played.failed).startswith(f"1 of 4 runs failed: {MISSING.name}: FileNotFoundError: missing: no such")


def test_the_start_is_made_once(played: SimpleNamespace, good: list[Experiment]) -> None:
    """Two runs from one start took over the model that one of them has trained, seconds included."""
    models = list((played.runs_dir / "shared").glob(f"*/model-s{seeded()}-*/state.json"))
    starts = [played.runs_dir / experiment.name / "round_00" / "state.json" for experiment in good[:2]]
    assert len(models) == 1 and starts[0].read_text() == starts[1].read_text()
    assert read_json(starts[0])["finished"] == read_json(models[0])["finished"]


def test_the_cluster_that_the_environment_names(
    fields: dict[str, Any], client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It plays the runs, not this process; relative paths mean what they mean here; rows keep their order."""
    monkeypatch.setattr("a2lc.paper.many.run", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SCHEDULER, client.scheduler.address)
    rows = {name: {"method": name, "rounds": 0} for name in ("a2lc", "alc")}
    found = run_rows(fields, rows, (seeded(0), seeded(1)), runs_dir="here", device="cpu", progress=False)
    assert [(run.config.method, run.config.seed) for row in found.values() for run in row] == [
        (method, seeded(seed)) for method in ("a2lc", "alc") for seed in (0, 1)
    ]
    assert all((tmp_path / run.path).is_dir() and run.finished for row in found.values() for run in row)


def test_a_scheduler_s_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "scheduler.json").write_text(json.dumps({"address": client.scheduler.address}))
    with connect(str(tmp_path / "scheduler.json")) as found:
        assert found.scheduler.address == client.scheduler.address
    with pytest.raises(FileNotFoundError, match=r"sheduler\.json: no such scheduler file \(an address begins with tcp"):
        connect("sheduler.json")


def test_regenerate_on_a_cluster(
    played: SimpleNamespace,
    good: list[Experiment],
    fields: dict[str, Any],
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """The notebook's own process is kept from playing: its run is the workers'."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "toy.yaml").write_text(
        yaml.safe_dump({"profile": {"figures_dir": str(tmp_path / "results")}})
    )
    cells = [
        "from a2lc.paper import many\nfrom a2lc.paper.experiments import run_rows\nmany.run = None",
        f"rows, seeds = {{'alc': {{'method': 'alc'}}}}, [{seeded()}]",
        f"found = run_rows({fields}, rows, seeds, runs_dir={str(played.runs_dir)!r})",
        f"assert found['alc'][0].finished and found['alc'][0].path.name == {good[0].name!r}",
    ]
    write_notebook(tmp_path / "table1_rounds.ipynb", *cells, parameters='figures_dir: str = "f"')
    arguments = ["--notebooks", str(tmp_path), "--scheduler", client.scheduler.address]
    monkeypatch.setattr(sys, "argv", ["a2lc", "regenerate", *arguments])
    with pytest.raises(SystemExit) as exit:
        main()
    assert exit.value.code == 0 and "table1: " in capsys.readouterr().out


def test_a_cancelled_run_is_not_taken_for_a_finished_one(
    good: list[Experiment], client: Client, tmp_path: Path
) -> None:
    """So end all runs where the scheduler dies."""
    running = play_on(client, [good[2]], tmp_path, "cpu")
    ended = threading.Thread(target=lambda: outcome.extend(running))
    outcome: list[tuple[Experiment, Exception | None]] = []
    ended.start()
    while not (keys := [key for keys in client.processing().values() for key in keys]):
        time.sleep(0.005)
    client.cancel([Future(key, client) for key in keys])
    ended.join(30)
    ((experiment, error),) = outcome
    assert experiment is good[2] and isinstance(error, ConnectionError)


# ------------------------------------------------------------------------------------------------- on this machine
def test_a_cluster_of_its_own(
    fields: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs from one start, on two workers: neither waits for the lock of what the other makes."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    slow = fields | {"rounds": 0, "segmenter": network(iterations=20)}
    both = [Experiment(**slow, method=method) for method in ("alc", "a2lc")]
    runs = run_many(both, tmp_path, workers=2, device="cpu", progress=False)
    assert [run.path.name for run in runs] == [experiment.name for experiment in both]
    assert all(run.finished for run in runs) and os.environ["OMP_NUM_THREADS"] == "1"
    assert "another process works on it" not in capfd.readouterr().err


def test_only_this_machine_is_listened_to() -> None:
    """Nobody asks for a password at these ports, the dashboard's among them."""
    with local_cluster(1):
        me = psutil.Process()
        sockets = [socket for process in (me, *me.children(recursive=True)) for socket in process.net_connections()]
    heard = [socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN]
    assert len(heard) >= 4 and set(heard) == {"127.0.0.1"}  # two of the scheduler, two of the worker


def test_a_gpu_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("a2lc.paper.cluster.CPU_COUNT", 12)
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    with local_cluster() as cluster, Client(cluster, set_as_default=False) as client:
        seen = client.run(lambda: tuple(os.environ[name] for name in names))
        assert set(client.nthreads().values()) == {1}
    assert sorted(seen.values()) == [("3", "6"), ("5", "6")] and "OMP_NUM_THREADS" not in os.environ


def test_one_after_the_other_in_this_process(good: list[Experiment], tmp_path: Path) -> None:
    with pytest.raises(FailedRuns, match="1 of 2 runs failed"):
        run_many([MISSING, good[0]], tmp_path, workers=0, device="cpu", progress=False)
    assert a2lc.Run.open(tmp_path / good[0].name).finished
    with pytest.raises(FileNotFoundError, match="missing: no such folder"):
        run_many([MISSING], tmp_path, workers=0, progress=False)


@pytest.mark.parametrize(
    ("experiments", "workers", "error", "message"),
    [
        ([MISSING], -1, ValueError, "workers: expected a whole number >= 0, found -1"),
        ([MISSING], 1.5, TypeError, "workers: expected a whole number >= 0, found 1.5"),
        ([MISSING], True, TypeError, "workers: expected a whole number >= 0, found True"),
        (MISSING, 0, TypeError, "experiments: expected a list of Experiment, found Experiment of tuple"),
        ([MISSING, {"dataset": "toy"}], 0, TypeError, "experiments: expected a list of Experiment, found list of dict"),
        ("toy", 0, TypeError, "experiments: expected a list of Experiment, found str of str"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(
    experiments: Any, workers: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        run_many(experiments, tmp_path, workers=workers, progress=False)


def test_workers_of_several_threads_are_refused() -> None:
    several = SimpleNamespace(nthreads=lambda: {"tcp://a:1": 1, "tcp://b:2": 4})
    with pytest.raises(ValueError, match=r"tcp://b:2: a worker must have one thread \(--nthreads 1\)"):
        next(play_on(several, [MISSING], "runs", "cpu"))


def test_without_distributed(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """What needs it says what to install; one run after the other does not need it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "a2lc.paper.cluster")
    monkeypatch.delattr(a2lc.paper, "cluster")
    with pytest.raises(ImportError, match=r"pip install 'a2lc\[cluster\]'"):
        run_many([MISSING], tmp_path, progress=False)
    monkeypatch.setattr(sys, "argv", ["a2lc", "regenerate", "--scheduler", "local"])
    with pytest.raises(SystemExit) as exit:
        main()
    said = capsys.readouterr().err
    assert exit.value.code == 2 and said.count("\n") == 1 and "pip install 'a2lc[cluster]'" in said
    rows = {"a2lc": {"method": "a2lc", "rounds": 0}}
    assert run_rows(fields, rows, runs_dir=tmp_path, device="cpu", progress=False)["a2lc"][0].finished
