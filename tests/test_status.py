"""`a2lc status` shows every run, also where one cannot be read."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import hand_made_run

from a2lc.cli import main
from a2lc.files import locked, write_json
from a2lc.referring import Experiment, ReferringRun
from a2lc.referring.runs import FOLDER
from a2lc.runs import find_runs


def status(runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> tuple[object, list[str]]:
    monkeypatch.setattr(sys, "argv", ["a2lc", "status", "--runs-dir", str(runs_dir)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, [re.sub(" +", " ", line).strip() for line in capsys.readouterr().out.splitlines()]


def test_bad_runs_hide_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    run = hand_made_run(tmp_path / "made")
    runs_dir, numbers = run.path.parent, {"clicks": 4, "data_miou": 0.5, "model_miou": None}
    for number in range(run.finished_rounds + 1):
        write_json(run.folder(number).path / "metrics.json", {"round": number, **numbers})
    for name, file, content in (
        ("a-config", "config.json", "{"),
        ("b-field", "config.json", '{"dataset": "toy", "method": "best"}'),
        ("c-state", "round_01/state.json", "[]"),
        ("d-metrics", "round_01/metrics.json", "{"),
        ("d-text", "round_01/metrics.json", '{"round": 1, "clicks": "80", "data_miou": "high"}'),
        ("e-format", "provenance.json", '{"data": {}, "format": 99}'),
    ):
        shutil.copytree(run.path, runs_dir / name)
        (runs_dir / name / file).write_text(content, encoding="utf-8")
    shutil.copytree(run.path, runs_dir / "f-provenance", ignore=shutil.ignore_patterns("provenance.json"))
    shutil.copytree(run.path, runs_dir / "g-no-config", ignore=shutil.ignore_patterns("config.json"))
    code, lines = status(runs_dir, monkeypatch, capsys)
    assert code == 0 and lines[:2] == [f"runs in {runs_dir}:", "run rounds clicks data_miou model_miou state"]
    bad = ["a-config", "b-field", "c-state", "d-metrics", "d-text", "e-format", "f-provenance", "g-no-config"]
    assert [line for line in lines if "unreadable -" in line] == [f"{name} unreadable - - - -" for name in bad]
    (good,) = [line for line in lines if line.startswith(run.path.name)]
    assert good == f"{run.path.name} 2/2 4 0.5000 - finished"
    reasons = [line for line in lines if line.startswith("unreadable: ")]
    assert len(reasons) == 8 and all(name in reason for name, reason in zip(bad, reasons, strict=True))
    assert "damaged JSON" in reasons[0] and "expected one of" in reasons[1] and "expected numbers" in reasons[4]
    assert "format 99" in reasons[5] and "remove the folder" not in reasons[6]  # which may hold a person's answers
    with pytest.raises(ValueError, match="a-config"):
        find_runs(runs_dir)


def test_a_run_is_no_folder_of_runs(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    with pytest.raises(ValueError, match=f"expected a folder of runs, found a run; did you mean {run.path.parent}"):
        find_runs(run.path)


def test_what_a_run_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    run = hand_made_run(tmp_path, rounds=1)
    for number in (0, 1):
        write_json(run.folder(number).path / "metrics.json", {"round": number, "clicks": 2})
    monkeypatch.chdir(tmp_path)
    _, lines = status(Path("runs"), monkeypatch, capsys)
    assert lines[0] == f"runs in {tmp_path / 'runs'}:" and lines[2].endswith("1/2 2 - - goes on when started again")
    with locked(run.path):
        assert status(Path("runs"), monkeypatch, capsys)[1][2].endswith("1/2 2 - - is being played")
    assert "goes on when started again" in status(Path("runs"), monkeypatch, capsys)[1][2]
    folder = run.folder(2)
    folder.write_table("scores.parquet", pd.DataFrame({"score": np.ones(12, np.float32)}))
    folder.write_queries(np.arange(3))
    for stage in ("scored", "queried"):
        folder.begin(stage)
        folder.end(stage)
    folder.change(waits_for="answers")
    assert status(Path("runs"), monkeypatch, capsys)[1][2].endswith("1/2 2 - - answers of round 2: 0 of 3")


def test_runs_on_referring_expressions_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = Experiment(rounds=2, rate=0.5)
    run = ReferringRun.create(config, tmp_path / FOLDER, {"data": {}})
    begun = [f"{run.path.name} 0/2 - goes on when started again"]
    assert run.path.name.startswith("toy_referring-full-r0.5-s0-")
    heading = [f"runs in {tmp_path / FOLDER}:", "run rounds val_miou state"]
    assert status(tmp_path, monkeypatch, capsys) == (0, heading + begun)
    for number in (0, 1):
        write_json(run.folder(number).path / "metrics.json", {"round": number, "val_miou": 0.25 * (number + 1)})
        run.folder(number).end("evolved" if number else "trained")
    bad = tmp_path / FOLDER / "bad"
    shutil.copytree(run.path, tmp_path / FOLDER / "text")
    write_json(tmp_path / FOLDER / "text" / "round_01" / "metrics.json", {"round": 1, "val_miou": "high"})
    bad.mkdir()
    (bad / "config.json").write_text('{"dataset": "toy", "rate": 0.5}')
    other = hand_made_run(tmp_path / "made", rounds=0)
    write_json(other.folder(0).path / "metrics.json", {"round": 0, "clicks": 0})
    shutil.copytree(other.path, tmp_path / other.path.name)
    code, lines = status(tmp_path, monkeypatch, capsys)
    assert code == 0 and lines[1] == "run rounds clicks data_miou model_miou state" and other.path.name in lines[2]
    named = f"{run.path.name} 1/2 0.5000 goes on when started again"
    assert lines[3:8] == [*heading, "bad unreadable - -", "text unreadable - -", named]
    assert len(lines) == 10 and lines[8].startswith(f"unreadable: {bad / 'config.json'}: ")
    assert "text/round_01/metrics.json" in lines[9] and "expected numbers, found {'val_miou': 'high'}" in lines[9]


def test_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert status(tmp_path, monkeypatch, capsys) == (0, [f"{tmp_path}: no runs"])
