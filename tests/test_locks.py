"""One process at a time works on a folder, and none is left waiting for one that died."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock
from small_runs import network, seeded

import a2lc
from a2lc.config import Experiment
from a2lc.files import alone, locked
from a2lc.segmenter.model import TorchSegmenter

HOLD = """
import sys, time
from a2lc.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
TINY = {"seed": seeded(), "rounds": 1, "budget": 0.03, "segmenter": network(iterations=2), "correction": {"epochs": 1}}


def test_the_second_waits_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    order = []

    def second() -> None:
        with locked(tmp_path / "run"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with locked(tmp_path / "run"):
        waiting.start()
        time.sleep(0.3)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"] and not (tmp_path / "run").exists()
    assert f"{tmp_path / 'run'}: another process works on it" in capfd.readouterr().err


def test_other_folders_do_not_wait(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with locked(tmp_path / "a"), locked(tmp_path / "b"):
        pass
    assert capfd.readouterr().err == ""


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    process.stdout.close()
    start = time.monotonic()
    with locked(tmp_path / "run"):
        assert time.monotonic() - start < 5


def test_two_at_one_run_play_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and returns what that has made."""
    trained, found, fit = [], [], TorchSegmenter.fit

    def counted(self: TorchSegmenter, *args: object, **kwargs: object) -> object:
        trained.append(self)
        time.sleep(0.5)  # long enough for the other to come
        return fit(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchSegmenter, "fit", counted)

    def play() -> None:
        found.append(a2lc.run(Experiment(**TINY), tmp_path, device="cpu", progress=False))

    both = [threading.Thread(target=play) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert [run.finished for run in found] == [True, True]
    assert len(trained) == 2, "once in round 0 and once in round 1, not twice each"


def test_the_end_of_one_writer_lets_one_other_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next begins while the one before is still being released; a third is refused."""
    file, release, second = tmp_path / ".x.lock", FileLock.release, ExitStack()

    def late(self: FileLock, *args: object, **more: object) -> None:
        release(self, *args, **more)
        if not begun:
            begun.append(True)
            second.enter_context(alone(file))

    begun: list[bool] = []
    with alone(file):
        monkeypatch.setattr(FileLock, "release", late)
    with second:
        with pytest.raises(BlockingIOError, match="another process is writing there"), alone(file):
            pass
        assert begun == [True] and file.exists()
    assert not file.exists()
