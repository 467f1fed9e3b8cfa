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


def test_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert status(tmp_path, monkeypatch, capsys) == (0, [f"{tmp_path}: no runs"])
