"""Linux, macOS and Windows: the rules of systems that are not at hand, simulated or read off the code."""

from __future__ import annotations

import ast
import os
import pathlib
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
import pytest

from a2lc.config import Experiment
from a2lc.datasets.listing import index_files, read_lines
from a2lc.files import AppendLog, below, write_arrays, write_json, write_label_png, write_parquet, write_text
from a2lc.paper.tables import save_table
from a2lc.pseudo_labels.settings import PseudoLabels

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "a2lc").rglob("*.py"))
ONE_SYSTEM = {"fcntl", "grp", "msvcrt", "posix", "pwd", "resource", "termios", "winreg"}
OF_POSIX = {"fork", "getuid", "geteuid", "killpg", "sysconf", "sched_getaffinity", "O_DIRECTORY", "getloadavg"}

SIGNALS = {"SIGINT", "SIGTERM", "SIG_DFL", "default_int_handler", "getsignal", "signal"}  # that all systems have


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


# --------------------------------------------------------------------------------------------------- read off the code
@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_needs_one_system(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not ONE_SYSTEM & {name.partition(".")[0] for name in names}
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "os":
            assert node.attr not in OF_POSIX, f"line {node.lineno}"
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "signal":
            assert node.attr in SIGNALS, f"line {node.lineno}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith(("/tmp", "/proc", "/dev")), f"line {node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_text_files_say_their_encoding_and_their_line_ends(path: Path) -> None:
    """ruff's PLW1514 sees only paths whose type it knows; this sees every call of these names."""
    for name, call in calls(path):
        given = {keyword.arg for keyword in call.keywords}
        where = f"line {call.lineno}"
        if name == "read_text":
            assert "encoding" in given, where
        if name == "write_text":
            assert isinstance(call.func, ast.Name), f"{where}: a2lc.files.write_text writes the same bytes everywhere"
        if name == "to_csv":
            assert "lineterminator" in given, where
        if isinstance(call.func, ast.Name) and name == "open":
            modes = [value.value for value in call.args[1:2] if isinstance(value, ast.Constant)]
            assert modes and "b" in modes[0], f"{where}: a2lc.files reads and writes text"


@pytest.mark.slow
def test_python_says_the_same_of_a_whole_run(tmp_path: Path) -> None:
    code = """
import sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module=r"a2lc(\\.|$)")
import a2lc
import a2lc.human
from a2lc.human.exports import export_coco, export_voc
from a2lc.human.queue_csv import write_queue
from a2lc.paper.tables import reference_results, rounds_table, save_table
from a2lc.widgets.front_end import script, style
quick = {"rounds": 1, "budget": 60, "segmenter": {"iterations": 2}, "correction": {"epochs": 2}}
run = a2lc.run(a2lc.Experiment(**quick), "runs", device="cpu", progress=False)
export_voc(run.masks(), "voc", run.masks().label_map)
export_coco(run.masks(), "coco.json")
save_table(rounds_table([run]), "table", "tables", "A²LC")
waiting = a2lc.run(a2lc.Experiment(annotator="human", **quick), "runs", device="cpu", progress=False)
write_queue(a2lc.human.Queue(waiting), "queue.csv")
a2lc.human.Queue(waiting).answer(0)
assert a2lc.Run.open(waiting.path).waits_for == "answers" and a2lc.human.Queue(waiting).answered == 1
reference_results("paper_tables"), script("annotator.js"), style("annotator.css")
"""
    command = [sys.executable, "-X", "warn_default_encoding", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr
    texts = [path for path in tmp_path.rglob("*") if path.suffix in (".csv", ".json", ".jsonl", ".md", ".tex", ".txt")]
    assert len(texts) > 15 and not [path for path in texts if b"\r" in path.read_bytes()]


# ----------------------------------------------------------------------------------------------------------- simulated
def test_only_handles_that_may_write_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to sync others, and folders, which have nothing to sync there."""
    fcntl = pytest.importorskip("fcntl")
    synced, sync = [], os.fsync

    def checked(handle: int) -> None:
        assert fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        assert stat.S_ISREG(os.fstat(handle).st_mode)
        synced.append(handle)
        sync(handle)

    for module in ("whole", "append_log"):
        monkeypatch.setattr(f"a2lc.files.{module}.sync_folder", lambda folder: None)
    monkeypatch.setattr(os, "fsync", checked)
    write_json(tmp_path / "a.json", {})
    write_text(tmp_path / "a.txt", "a")
    write_arrays(tmp_path / "a.safetensors", {"a": np.zeros(2)})
    write_parquet(tmp_path / "a.parquet", pd.DataFrame({"a": [1]}))
    write_label_png(tmp_path / "a.png", np.zeros((2, 2), np.uint8))
    AppendLog(tmp_path / "a.jsonl").append([{"a": 1}])
    assert len(synced) == 6


def test_text_is_written_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pandas writes ends its lines as the system does, unless told otherwise."""
    monkeypatch.setattr(os, "linesep", "\r\n")
    save_table(pd.DataFrame({"A²LC": [1.5, 2.0]}), "t", tmp_path, "π")
    write_json(tmp_path / "t.json", {"π": 1})
    assert (tmp_path / "t.csv").read_bytes() == "A²LC\n1.5\n2.0\n".encode()
    assert not [path for path in tmp_path.iterdir() if b"\r" in path.read_bytes()]


def test_images_come_in_the_same_order_where_paths_ignore_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "A", "C"):
        (tmp_path / f"{name}.png").touch()
    monkeypatch.setattr(pathlib.PurePath, "__lt__", lambda one, other: str(one).lower() < str(other).lower())
    assert list(index_files(tmp_path)) == ["A", "C", "b"]


def test_a_list_that_an_editor_of_windows_has_saved(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes("\ufeffsky\r\nroad\r\n".encode())
    assert read_lines(tmp_path / "classes.txt", "classes") == ["sky", "road"]


@pytest.mark.parametrize("name", [r"C:\x.png", "C:x.png", r"\x.png", "/x.png", r"..\x.png", r"a\..\..\x.png", "a\0"])
def test_no_stored_name_leads_out_of_a_folder_of_windows(name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a file in it"):
        below(PureWindowsPath("runs"), name)  # type: ignore[arg-type]


def test_names_of_files_in_a_folder() -> None:
    assert below(PurePosixPath("runs"), "a:b.png") == PurePosixPath("runs/a:b.png")  # type: ignore[arg-type]
    assert below(PureWindowsPath("runs"), "a.png") == PureWindowsPath(r"runs\a.png")  # type: ignore[arg-type]


def test_folders_are_kept_with_slashes() -> None:
    root = PureWindowsPath(r"D:\data\voc")
    places = {"object_maps": root / "obj_jpg", "labels": root / "mask_jpg"}
    labels = PseudoLabels().model_copy(update=places)
    assert labels.model_dump(mode="json")["object_maps"] == "D:/data/voc/obj_jpg"
    config = Experiment().model_copy(update={"root": root})
    assert config.model_dump(mode="json")["root"] == "D:/data/voc" and config.model_dump()["root"] == root
