"""Two writers at once, names and permissions of files, and a small part of the faults at system calls
(`benchmarks/faults.py`). The contract is docs/reliability.md; what else stands in it is shown by other tests."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_runs import hand_made_run

from a2lc.files import AppendLog, atomic, atomic_folder, atomic_new, read_json, write_arrays, write_json, write_text
from a2lc.files.whole import make_folder
from a2lc.human.exports import export_coco, export_png
from a2lc.paper.summary import write_minutes

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "paper_figures" / "faults.csv"
SPAWN = multiprocessing.get_context("spawn")


# ------------------------------------------------------------------------------------------------------ two at once
def add_minutes(folder: Path, item: str) -> None:
    for number in range(20):
        write_minutes(folder, {f"{item}{number}": 1.0})


def add_answers(path: Path, who: str) -> None:
    log = AppendLog(path, who=str)
    for number in range(50):
        log.append([{"who": who, "number": number}])


@pytest.mark.slow
def test_minutes_of_two_processes(tmp_path: Path) -> None:
    both = [SPAWN.Process(target=add_minutes, args=(tmp_path, item)) for item in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert len(read_json(tmp_path / "minutes.json")) == 40


@pytest.mark.slow
def test_several_importers_at_once(tmp_path: Path) -> None:
    """Every answer of each is a line, in its order."""
    people = [SPAWN.Process(target=add_answers, args=(tmp_path / "answers.jsonl", who)) for who in "abc"]
    for process in people:
        process.start()
    for process in people:
        process.join(300)
    found = AppendLog(tmp_path / "answers.jsonl", who=str).read()
    assert len(found) == 150
    for who in "abc":
        assert [line["number"] for line in found if line["who"] == who] == [*range(50)]


def test_the_second_writer_is_refused(tmp_path: Path) -> None:
    """By name, while the first writes and after it has written; the first is whole."""
    masks = hand_made_run(tmp_path / "run").masks()
    with atomic_folder(tmp_path / "out") as first:
        (first / "a").write_text("1")
        with pytest.raises(BlockingIOError, match="another process is writing there"):
            export_png(masks, tmp_path / "out", masks.label_map)
    with pytest.raises(FileExistsError, match=r"out: is there already, expected a new folder"):
        export_png(masks, tmp_path / "out", masks.label_map)
    assert (tmp_path / "out" / "a").read_text() == "1"
    with atomic_new(tmp_path / "out.json") as first:
        first.write_text("[]")
        with pytest.raises(BlockingIOError, match="another process is writing there"):
            export_coco(masks, tmp_path / "out.json")
    with pytest.raises(FileExistsError, match=r"out\.json: is there already, expected a new file"):
        export_coco(masks, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == "[]"
    for name in (".out.lock", ".out.json.lock"):  # of processes that were killed when their work was done
        (tmp_path / name).touch()
    with pytest.raises(FileExistsError, match=r"out: is there already"):
        export_png(masks, tmp_path / "out", masks.label_map)
    with pytest.raises(FileExistsError, match=r"out\.json: is there already"):
        export_coco(masks, tmp_path / "out.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.json", "run"]


def test_one_that_is_finished_meanwhile_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the lock."""

    def finished(folder: Path) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "whole").touch()

    monkeypatch.setattr("a2lc.files.whole.check_writable", finished)
    with pytest.raises(FileExistsError, match="is there already"), atomic_folder(tmp_path / "out"):
        raise AssertionError("it was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# ----------------------------------------------------------------------------------------------------- what is written
def test_folders_are_synced_in_which_files_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the rename; of folders that are new, the ones above them, too."""
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr("a2lc.files.whole.sync_folder", lambda folder: done.append(f"sync {folder.name}"))
    monkeypatch.setattr(os, "replace", lambda old, new: (replace(old, new), done.append(f"rename {Path(new).name}")))
    write_json(tmp_path / "a" / "b" / "x.json", 1)
    assert done == ["sync a", f"sync {tmp_path.name}", "rename x.json", "sync b"]
    done.clear()
    with atomic_folder(tmp_path / "a" / "out") as partial:
        make_folder(partial / "inside")
    assert done[-1] == "sync a" and "sync .out.partial" in done


@pytest.mark.skipif(os.name != "posix", reason="no permissions like these here")
def test_permissions(tmp_path: Path) -> None:
    """A file that is replaced keeps its own; new ones have what the umask leaves, 077 too."""
    write_text(tmp_path / "x.txt", "1")
    (tmp_path / "x.txt").chmod(0o600)
    write_text(tmp_path / "x.txt", "2")
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o600
    code = (
        "import os, sys; os.umask(0o077); from pathlib import Path; import numpy as np;"
        "from a2lc.files import write_arrays, write_text; folder = Path(sys.argv[1]);"
        "write_text(folder / 'y.txt', '1'); write_arrays(folder / 'y.safetensors', {'a': np.zeros(2)})"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, cwd=ROOT)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("y.txt", "y.safetensors")} == {0o600}
    write_arrays(tmp_path / "z.safetensors", {"a": np.zeros(2)})
    write_text(tmp_path / "z.txt", "1")
    modes = [(tmp_path / name).stat().st_mode for name in ("z.txt", "z.safetensors")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("length", [240, 250, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    """As long as file systems take them, of letters of two bytes, too."""
    name = "ä" * ((length - 4) // 2) + "x" * (length % 2) + ".png"
    with atomic(tmp_path / name) as temporary:
        Image.fromarray(np.zeros((1, 1), np.uint8)).save(temporary)
    with atomic_folder(tmp_path / "f" / name) as folder:
        (folder / "a").touch()
    with atomic_new(tmp_path / "g" / name) as temporary:
        temporary.write_text("1")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert found == sorted([name, "f", f"f/{name}", f"f/{name}/a", "g", f"g/{name}"])


# ------------------------------------------------------------------------------------------------------------- faults
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
def test_a_part_of_the_faults(tmp_path: Path) -> None:
    """Of two commands one call of each kind."""
    words = ["benchmarks/faults.py", "--only", "queue --import,changes --apply", "--most", "1", "--out", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    table = pd.read_csv(tmp_path / "faults.csv")
    assert table["tries"].sum() > 15 and table["lost"].sum() == 0
    assert set(table["fault"]) == {"fails", "kills", "waits"} and (table["calls"] > 0).any()
    assert (table["same result"] + table["refused by name"]).equals(table["tries"])


@pytest.mark.skipif(not TABLE.is_file(), reason="the table is not there")
def test_the_committed_table_shows_no_loss() -> None:
    table = pd.read_csv(TABLE)
    assert table["lost"].sum() == 0 and table["tries"].sum() > 0
    assert (table["same result"] + table["refused by name"]).equals(table["tries"])


# ------------------------------------------------------------------------------------------------------ the contract
def test_tests_that_the_contract_names_are_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    named = {
        name for row in re.findall(r"^\|.*\| (.*) \|$", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    named -= {"shown"}
    assert len(named) > 20
    for name in named:
        found = re.search(rf"def test_{name}\b", tests) or (ROOT / "tests" / f"{name}.py").is_file()
        assert found, f"docs/reliability.md names {name}, and there is no such test"
