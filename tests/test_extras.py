"""Optional packages and devices: what is missing is one line, with the command that helps, before any work starts."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
import venv
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from small_runs import QUICK
from tqdm.auto import tqdm

import a2lc
from a2lc import machine
from a2lc.cli import main
from a2lc.human import next_round
from a2lc.machine import CONTRIB, JOBLIB, KNEED, SEEDS, MissingExtraError, install_command, missing, require
from a2lc.paper.experiments import run_rows

ROOT = Path(__file__).parents[1]
HERE = re.escape(shlex.quote(sys.executable))
WHOLE_EXTRA = rf"{HERE} -m pip install 'a2lc\[superpixels\]'$"

Type = Callable[..., tuple[int, str]]


@pytest.fixture
def a2lc_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Type:
    """Type a command line; its exit status and what it says of the error."""

    def typed(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["a2lc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return typed


def without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cv2", "cv2.ximgproc"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(machine, "version", _not_installed)


def _not_installed(name: str) -> str:
    raise machine.PackageNotFoundError(name)


# ------------------------------------------------------------------------------------------------------- the command
def test_a_warning_is_one_line_that_leaves_the_bar_whole(a2lc_says: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    def folders(_: Path) -> list[Path]:
        with tqdm(total=1, file=sys.stderr, disable=False):  # whatever TQDM_DISABLE says
            warnings.warn("the budget is larger\nthan the masks are many", stacklevel=1)
        return []

    monkeypatch.setattr("a2lc.runs.run_folders", folders)
    shown = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, said = a2lc_says("status")
    assert code == 0 and "\rwarning: the budget is larger than the masks are many\n" in said
    assert "UserWarning" not in said and __file__ not in said
    assert warnings.showwarning is shown, "the library says nothing of the command line's"


def test_what_is_there_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, KNEED, types.SimpleNamespace(KneeLocator=None))
    assert missing(KNEED) is None
    require(KNEED)


@pytest.mark.parametrize(("module", "why"), [(SEEDS, "OpenCV"), (KNEED, "kneed"), (JOBLIB, "joblib")])
def test_what_is_missing_is_named_with_the_command(module: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_opencv(monkeypatch)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"{why}.*: {WHOLE_EXTRA}"):
        require(module)


@pytest.mark.parametrize("there", [types.ModuleType("cv2.ximgproc"), None])
def test_another_build_of_opencv_over_the_contrib_one(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the package's folder, empties it, and pip takes the contrib build for installed."""
    monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    monkeypatch.setitem(sys.modules, SEEDS, there)
    monkeypatch.setattr(machine, "version", {CONTRIB: "4.11.0.86"}.__getitem__)
    again = rf"{HERE} -m pip install --force-reinstall --no-deps {CONTRIB}==4\.11\.0\.86$"
    assert re.search(f"another build lies over them: {again}", missing(SEEDS) or "")


def test_the_command_is_of_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shlex.split(install_command("a2lc[x]")) == [sys.executable, "-m", "pip", "install", "a2lc[x]"]
    monkeypatch.setattr(sys, "executable", "/my python")
    monkeypatch.setattr(machine, "find_spec", lambda name: None)  # as in an environment that uv has made
    assert install_command("a2lc[x]") == "uv pip install --python '/my python' 'a2lc[x]'"


def test_doctor_gives_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    without_opencv(monkeypatch)
    module = importlib.import_module("a2lc.pseudo_labels.label_images")  # the package has a function of this name
    monkeypatch.setattr(module, "grounded_sam_status", lambda *_: {})
    monkeypatch.setattr(sys, "argv", ["a2lc", "doctor"])
    with pytest.raises(SystemExit):
        main()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(SEEDS)]
    assert re.search(WHOLE_EXTRA, line)


# ---------------------------------------------------------------------------------------------------- before any work
def test_a_run_without_opencv(tmp_path: Path, a2lc_says: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    without_opencv(monkeypatch)
    status, said = a2lc_says("run", "--method", "spx", "--runs-dir", tmp_path / "runs")
    assert status == 2 and re.fullmatch(rf"a2lc: SEEDS superpixels need OpenCV .*: {WHOLE_EXTRA[:-1]}\n", said)
    assert not (tmp_path / "runs").exists()


def test_what_a_late_round_needs_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, KNEED, None)
    seen = a2lc.Experiment(method="merspx", pseudo_labels={"superpixels": {"algorithm": "slic"}})
    assert set(seen.optional_modules) == {JOBLIB, KNEED}
    with pytest.raises(MissingExtraError, match="kneed"):
        a2lc.run(seen, tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()


def test_a_table_with_one_such_row_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_opencv(monkeypatch)
    rows = {"a2lc": {"method": "a2lc"}, "spx": {"method": "spx"}}
    with pytest.raises(MissingExtraError, match="SEEDS"):
        run_rows(QUICK, rows, runs_dir=tmp_path / "runs", device="cpu", progress=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("device", "message"),
    [("tpu", "device: expected one of auto, cpu, cuda, mps, found 'tpu'"), ("mps", "device: this machine has .*'mps'")],
)
def test_a_run_without_its_device(
    device: str, message: str, tmp_path: Path, a2lc_says: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    status, said = a2lc_says("run", "--device", device, "--runs-dir", tmp_path / "runs")
    assert status == 2 and re.fullmatch(f"a2lc: {message}.*\n", said)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ValueError, match=message):
        run_rows(QUICK, {"a2lc": {"method": "a2lc"}}, runs_dir=tmp_path / "runs", device=device, progress=False)
    assert not (tmp_path / "runs").exists()


def test_the_queue_of_a_run_is_not_closed_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    config = a2lc.Experiment(annotator="human", **QUICK)
    run = a2lc.run(config, tmp_path, device="cpu", progress=False)
    with pytest.raises(ValueError, match="device: expected one of"):
        next_round(run, enough=True, device="tpu")
    assert run.waits_for == "answers"


# --------------------------------------------------------------------------------------------- pip and its order
CONTENT = {CONTRIB: "ximgproc = True", "opencv-python": ""}  # of cv2/__init__.py: both bring this file


def fake_wheel(folder: Path, name: str, version: str, requires: list[str]) -> None:
    """A wheel of metadata, and for builds of OpenCV of the file that they fight for."""
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    extra_names = sorted({marker.split('"')[1] for line in requires if (marker := line.partition(";")[2])})
    about += "".join(f"Provides-Extra: {extra}\n" for extra in extra_names)
    about += "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{stem}.dist-info/METADATA": about,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: a2lc\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if name in CONTENT:
        files["cv2/__init__.py"] = CONTENT[name]
    files[f"{stem}.dist-info/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{stem}.dist-info/RECORD"))
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the two extras require, without content, and groundingdino-py with what brings the trouble."""
    folder = tmp_path_factory.mktemp("wheels")
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    ours = [f'{line}; extra == "{extra}"' for extra in ("superpixels", "grounded-sam") for line in optional[extra]]
    fake_wheel(folder, "a2lc", "1.0", ours)
    for line in [*optional["superpixels"], *optional["grounded-sam"], "opencv-python>=1", "supervision==0.6.0"]:
        wanted = Requirement(line)
        bound = next(iter(wanted.specifier))
        version = "1.0" if bound.operator == "<" else bound.version
        requires = {"groundingdino-py": ["opencv-python", "supervision==0.6.0"]}.get(wanted.name, [])
        if not [*folder.glob(f"{wanted.name.replace('-', '_')}-*.whl")]:
            fake_wheel(folder, wanted.name, version, requires)
    return folder


@pytest.mark.parametrize(
    "commands",
    [
        ["a2lc[superpixels]"],
        ["a2lc[superpixels]", "a2lc[grounded-sam]"],
        ["a2lc[grounded-sam]", "a2lc[superpixels]"],
        ["a2lc[superpixels,grounded-sam]"],
    ],
    ids=" then ".join,
)
def test_pip_keeps_the_contrib_modules_whatever_is_installed_first(
    commands: list[str], wheels: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    for command in commands:
        install = [*pip, "--no-index", "--no-compile", "--find-links", str(wheels), command]
        done = subprocess.run(install, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    code = "import cv2, sys; sys.exit(not cv2.ximgproc)"
    assert subprocess.run([python, "-I", "-c", code], capture_output=True).returncode == 0
