"""Nothing is left running: however the process ends that was started, what it has started ends with it.

Processes are found by a variable that they inherit; deadlines are generous, as this machine may be busy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from small_notebooks import write_notebook
from small_runs import EAGER, dataset_folder, network, seeded

import a2lc
from a2lc import Experiment, Run, ending
from a2lc.runs import place_of

MARK = "A2LC_TEST_MARK"
STARTS, ENDS = 600, 60  # seconds
SIGNALS = [[signal.SIGTERM], [signal.SIGKILL], [signal.SIGINT, signal.SIGINT]]
STUCK = """
import os, threading, time
from pathlib import Path
import numpy as np
from a2lc.datasets import Classes
from a2lc.pseudo_labels.settings import SuperpixelSettings
from a2lc.pseudo_labels.superpixels import partition

here = os.getpid()


class Split:
    names = ("a", "b")

    def __len__(self):
        return 2

    def image(self, name):
        if os.getpid() != here:
            Path(folder, f"loky-{name}").touch()
            time.sleep(600)
        return np.zeros((40, 60, 3), np.uint8)


def cut(folder):
    classes, settings = Classes(("x",), np.zeros((1, 3), np.uint8)), SuperpixelSettings(algorithm="slic", side=16)
    partition(Split(), classes, settings, 2, False)
"""
MANY = """
import sys
import a2lc
from a2lc import Experiment

if __name__ == "__main__":
    experiments = [Experiment(**fields | {"method": method}) for method in ("alc", "a2lc")]
    a2lc.run_many(experiments, runs, workers=2, device="cpu", progress=False)
"""


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C counts, also where the tests run in the background, which ignores it and hands that down."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Started:
    """A process, and all that inherit its mark."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.mark, self.log = uuid.uuid4().hex, folder / "log"
        environment = os.environ | {MARK: self.mark, "OMP_NUM_THREADS": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def alive(self) -> dict[int, str]:
        self.process.poll()
        found = {}
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())[-100:]
            except psutil.Error:
                pass
        return found

    def wait(self, for_what: Callable[[], bool], seconds: float = STARTS) -> None:
        end = time.monotonic() + seconds
        while not for_what():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, (self.alive(), self.log.read_text()[-3000:])
            time.sleep(0.05)

    def end(self, signals: list[signal.Signals]) -> float:
        """Send them, half a second between two, as a terminal does it: Ctrl-C goes to the whole group. The seconds
        until nothing is left."""
        start = time.monotonic()
        for number in signals:
            time.sleep(0.5 if number != signals[0] or time.monotonic() - start > 0.1 else 0)
            try:
                (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)
            except ProcessLookupError:
                break  # one was enough
            if number == signals[0] and len(signals) > 1:
                time.sleep(0.5)
        while left := self.alive():
            assert time.monotonic() - start < ENDS, f"{len(left)} live on: {left}; {self.log.read_text()[-3000:]}"
            time.sleep(0.1)
        seconds = time.monotonic() - start
        print(f"\n{' '.join(number.name for number in signals)}: nothing is left after {seconds:.1f} s")
        return seconds

    def kill(self) -> None:
        for pid in self.alive():
            psutil.Process(pid).kill()
        self.process.wait(30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[list[str]], Started]]:
    """Starts processes of which nothing is left, even where a test fails."""
    made: list[Started] = []

    def begin(words: list[str]) -> Started:
        made.append(Started(words, tmp_path))
        return made[-1]

    yield begin
    for each in made:
        each.kill()


def fields_of(folder: Path, **more: object) -> dict[str, object]:
    """Of a run that takes some seconds."""
    if not (folder / "data").exists():
        dataset_folder(folder / "data", (40, 60))
    own = {"root": str(folder / "data"), "segmenter": network(iterations=40, batch_size=2)}
    fields = {"dataset": "folder", "seed": seeded(), "rounds": 1, "budget": 2, "correction": {"epochs": 5, **EAGER}}
    return fields | own | more


def finishes(folder: Path, runs: Path) -> None:
    """The runs go on to their end."""
    for method in ("alc", "a2lc"):
        experiment = Experiment(**fields_of(folder, method=method))
        assert place_of(experiment, runs).is_dir()
        assert a2lc.run(experiment, runs, device="cpu", progress=False).finished


# ------------------------------------------------------------------------------------------------------- one process
def test_a_child_ends_with_its_parent(tmp_path: Path, start: Callable[[list[str]], Started]) -> None:
    """A parent, a child that looks for it, and a grandchild that does not."""
    child = "import sys, time, subprocess, a2lc.ending as e; e.end_with((int(sys.argv[1]), float(sys.argv[2])));"
    child += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); open('ready', 'w');"
    child += "time.sleep(600)"
    parent = "import sys, time, subprocess, a2lc.ending as e;"
    parent += f"subprocess.Popen([sys.executable, '-c', {child!r}, *map(repr, e.this_process())]); time.sleep(600)"
    process = start([sys.executable, "-c", parent])
    process.wait((tmp_path / "ready").exists)
    assert len(process.alive()) == 3
    process.end([signal.SIGKILL])


def test_a_process_is_no_child_of_its_own_nor_of_one_that_lives() -> None:
    before = threading.active_count()
    ending.end_with(ending.this_process())
    assert threading.active_count() == before
    pid, born = ending.this_process()
    assert ending._lives((pid, born)) and not ending._lives((pid, born - 1000))  # the number has come again


@pytest.mark.parametrize("whole", [True, False])
def test_who_does_not_listen_is_ended(tmp_path: Path, start: Callable[[list[str]], Started], whole: bool) -> None:
    """A process that catches what a signal raises and goes on, with a child that ignores signals."""
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"
    lines = [
        "import subprocess, sys, time",
        "from a2lc.ending import ending",
        f"with ending(whole={whole}):",
        f"    child = subprocess.Popen([sys.executable, '-c', {stubborn!r}])",
        "    try:",
        "        time.sleep(600)",
        "    except KeyboardInterrupt:",
        "        child.wait()" if not whole else "        time.sleep(600)",
    ]
    process = start([sys.executable, "-c", "\n".join(lines)])
    process.wait((tmp_path / "ready").exists)
    process.end([signal.SIGINT])
    assert process.process.wait(5) == (128 + signal.SIGINT if whole else 0)


def test_an_orphan_is_ended_too(tmp_path: Path, start: Callable[[list[str]], Started]) -> None:
    """Ctrl-C ends a child at once, whose own child has not come so far as to look for its parent."""
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); open('ready', 'w'); time.sleep(600)"
    child = "import signal, subprocess, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    child += f"subprocess.Popen([sys.executable, '-c', {stubborn!r}]).wait()"
    lines = [
        "import subprocess, sys, time",
        "from a2lc.ending import ending",
        "with ending(whole=True):",
        f"    child = subprocess.Popen([sys.executable, '-c', {child!r}])",
        "    try:",
        "        child.wait()",
        "    finally:",
        "        time.sleep(0.5)",
    ]
    process = start([sys.executable, "-c", "\n".join(lines)])
    process.wait((tmp_path / "ready").exists)
    assert len(process.alive()) == 3
    process.end([signal.SIGINT])


def test_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with ending.ending(whole=True):
        assert signal.getsignal(signal.SIGTERM) != before[1]
        outer = signal.getsignal(signal.SIGINT)
        with ending.ending():
            assert signal.getsignal(signal.SIGINT) == outer
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_started_in_the_background_ends_by_sigterm_and_goes_on_ignoring_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ending.ending(whole=True):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)


# ------------------------------------------------------------------------------------------------------- many of them
@pytest.mark.long
@pytest.mark.parametrize("signals", SIGNALS, ids=str)
def test_run_many(tmp_path: Path, start: Callable[[list[str]], Started], signals: list[signal.Signals]) -> None:
    runs, fields = tmp_path / "runs", fields_of(tmp_path)
    (tmp_path / "many.py").write_text(f"fields, runs = {fields!r}, {str(runs)!r}\n{MANY}")
    process = start([sys.executable, "many.py"])
    process.wait(lambda: len([*runs.glob("*/config.json")]) > 0)
    assert len(process.alive()) >= 3
    process.end(signals)
    for method in ("alc", "a2lc"):
        assert a2lc.run(Experiment(**fields | {"method": method}), runs, device="cpu", progress=False).finished


@pytest.mark.long
@pytest.mark.parametrize("signals", SIGNALS, ids=str)
def test_regenerate(tmp_path: Path, start: Callable[[list[str]], Started], signals: list[signal.Signals]) -> None:
    """A notebook that has a cluster of its own, and at the same time processes of loky that cut images."""
    notebooks, runs = tmp_path / "notebooks", tmp_path / "runs"
    (notebooks / "params").mkdir(parents=True)
    (notebooks / "params" / "toy.yaml").write_text(yaml.safe_dump({"profile": {"figures_dir": str(tmp_path / "out")}}))
    lines = f"folder, fields, runs = {str(tmp_path)!r}, {fields_of(tmp_path)!r}, {str(runs)!r}\n{STUCK}"
    lines += f"threading.Thread(target=cut, args=(folder,), daemon=True).start()\n{MANY}\ntime.sleep(600)"
    unstuck = f"import os\nif not os.path.exists({str(tmp_path / 'freed')!r}):\n"
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    write_notebook(notebooks / "table1_x.ipynb", unstuck + indented, parameters='figures_dir: str = "f"')
    words = [sys.executable, "-m", "a2lc.cli", "regenerate", "--notebooks", str(notebooks), "--profile", "toy"]
    process = start(words)
    process.wait(lambda: len([*tmp_path.glob("loky-*")]) == 2 and len([*runs.glob("*/config.json")]) > 0)
    names = process.alive().values()
    assert any("ipykernel" in name for name in names) and len(names) >= 7, names
    process.end(signals)
    for folder in runs.glob("*/config.json"):
        Run.open(folder.parent)  # whole, as far as it goes
    if signals == [signal.SIGKILL]:
        (tmp_path / "freed").touch()
        again = start(words)
        assert again.process.wait(STARTS) == 0, again.log.read_text()
