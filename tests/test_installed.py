"""a2lc away from a checkout: what its distributions carry, and an installed wheel that regenerates an item."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path

import pytest

from a2lc.cli import main
from a2lc.files import read_json
from a2lc.notebook import NOTEBOOKS, copy_notebooks, notebooks_of

ROOT = Path(__file__).parents[1]
GENERATED = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", "smoke", "executed", ".*_cache")
RUNS = {ROOT / "runs", ROOT / "notebooks" / "runs"}
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


def build(what: str, source: Path, out: Path) -> Path:
    """What pip and build call, without their environments, which need a network."""
    out.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", BUILD, what, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout, unpacked."""
    place = tmp_path_factory.mktemp("sdist")
    generated = shutil.ignore_patterns(*GENERATED)
    shutil.copytree(
        ROOT,
        place / "checkout",
        ignore=lambda folder, files: generated(folder, files) | {name for name in files if Path(folder, name) in RUNS},
    )
    shutil.unpack_archive(build("build_sdist", place / "checkout", place / "dist"), place, filter="data")
    shutil.rmtree(place / "checkout")
    (folder,) = place.glob("a2lc-*")
    return folder


@pytest.fixture(scope="module")
def installed(unpacked: Path) -> Path:
    """The wheel of that source distribution, installed into a folder of its own."""
    wheel, target = build("build_wheel", unpacked, unpacked.parent / "dist"), unpacked.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    done = subprocess.run([*pip, "--target", str(target), str(wheel)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def a2lc(installed: Path, cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m a2lc` of the installed one."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "a2lc", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------ distributions
def test_the_source_distribution_can_be_tested(unpacked: Path) -> None:
    wanted = {"Makefile", "environment.yml", "CITATION.cff", "CHANGELOG.md", "LICENSE", ".ci/run", "setup.py"}
    for folder in ("tests", "notebooks", "benchmarks", "a2lc"):
        files = {name for name in names(ROOT / folder) if name.endswith((".py", ".ipynb", ".yaml", ".cfg"))}
        wanted |= {f"{folder}/{name}" for name in files}
    wanted |= {f"paper_figures/toy/{path.name}" for path in (ROOT / "paper_figures" / "toy").glob("*.json")}
    left_out = {
        name for name in wanted if re.search(r"(^|/)(\.ipynb_checkpoints|smoke|executed)/|^notebooks/runs/", name)
    }
    assert wanted - left_out <= names(unpacked)


def test_the_wheel_carries_notebooks_and_types(installed: Path) -> None:
    files = names(installed / "a2lc")
    ours = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks").glob("params/*.yaml")]
    assert {path.relative_to(ROOT).as_posix() for path in ours} <= files
    # what were missing would be found in the checkout, which an editable installation knows
    assert {name for name in names(ROOT / "a2lc") if name.endswith((".py", ".js", ".css", ".csv"))} <= files
    assert {"py.typed", "__init__.pyi", "widgets/static/annotator.js", "reference_results/paper_tables.csv"} <= files
    assert not [name for name in names(installed) if name.startswith(("tests", "benchmarks", "notebooks"))]


def test_its_page_shows_nothing_that_only_the_repository_has(installed: Path) -> None:
    (metadata,) = installed.glob("a2lc-*.dist-info/METADATA")
    about = message_from_bytes(metadata.read_bytes())
    assert about["Description-Content-Type"] == "text/markdown"
    page = about.get_payload(decode=True).decode()  # type: ignore[union-attr]
    assert page.startswith("# a2lc\n") and "| Table 5, ablation |" in page and "a2lc/rounds.py" in page
    assert [link for link in re.findall(r"\]\(([^)\s]*)\)", page) if not link.startswith(("http", "#"))] == []


# ------------------------------------------------------------------------------------------------------- installed
def test_version_and_help(installed: Path, tmp_path: Path) -> None:
    (metadata,) = installed.glob("a2lc-*.dist-info/METADATA")
    version = message_from_bytes(metadata.read_bytes())["Version"]
    assert a2lc(installed, tmp_path, "--version").stdout == f"a2lc {version}\n"
    text = a2lc(installed, tmp_path, "--help").stdout
    assert "Usage: a2lc" in text and "--install-completion" in text and "notebooks" in text


@pytest.mark.slow
def test_an_item_is_regenerated_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    before = names(installed)
    ran = a2lc(installed, tmp_path, "regenerate", "--profile", "smoke", "--only", "table5")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    results = tmp_path / "paper_figures" / "smoke"
    assert read_json(results / "table5_headline.json")["rows"]
    assert "| table5 |" in (results / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"paper_figures", "runs"}
    assert names(installed) == before, "nothing is written beside the package"
    listed = a2lc(installed, tmp_path, "status")
    assert listed.returncode == 0 and re.search(r"toy-a2lc-s0-\w{8} +1/1", listed.stdout)


# ---------------------------------------------------------------------------------------------------- a2lc notebooks
def test_notebooks_are_copied_once_and_never_over_changed_ones(tmp_path: Path) -> None:
    count = sum(re.fullmatch(r"[^/]+\.ipynb|params/[^/]+\.yaml", name) is not None for name in names(NOTEBOOKS))
    assert copy_notebooks(tmp_path) == count > 15 and copy_notebooks(tmp_path) == 0
    assert notebooks_of(tmp_path) == tmp_path / "notebooks" and notebooks_of(tmp_path / "elsewhere") == NOTEBOOKS
    copied = tmp_path / "notebooks"
    (copied / "params" / "toy.yaml").write_text("rounds: 1\n", encoding="utf-8")
    (copied / "00_quickstart.ipynb").write_text("{}", encoding="utf-8")
    (copied / "table1_rounds.ipynb").unlink()
    with pytest.raises(FileExistsError, match=r"00_quickstart\.ipynb, .*toy\.yaml: changed since") as refused:
        copy_notebooks(tmp_path)
    assert "table2" not in str(refused.value) and not (copied / "table1_rounds.ipynb").exists()
    assert (copied / "params" / "toy.yaml").read_bytes() == b"rounds: 1\n"


def test_what_a_killed_copy_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    copied = tmp_path / "notebooks"
    copied.mkdir()
    left = copied / ".04_one_round.117980f9.ipynb"
    for hidden in (left, copied / ".mine.117980f9.ipynb"):
        hidden.write_text("{", encoding="utf-8")
    copy_notebooks(tmp_path)
    assert not left.exists() and (copied / ".mine.117980f9.ipynb").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["notebooks"]


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["a2lc", "notebooks", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as ended:
        main()
    said, folder = capsys.readouterr().out, tmp_path / "new" / "notebooks"
    assert ended.value.code == 0 and f"jupyter lab {folder / '00_quickstart.ipynb'}" in said
    (folder / "00_quickstart.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and capsys.readouterr().err.startswith(
        f"a2lc: {folder / '00_quickstart.ipynb'}: changed"
    )
