"""`a2lc regenerate`: what it executes, in which order, what it refuses, and the page it writes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
import yaml
from small_notebooks import write_notebook

import a2lc.cli
from a2lc.files import read_json
from a2lc.notebook.parameters import item_of
from a2lc.notebook.project import NOTEBOOKS
from a2lc.paper.regenerate import ITEMS, execute, plan, profile_files
from a2lc.paper.summary import save_headline, write_minutes, write_summary

PARAMETERS = 'rounds: int = 2\nroot: str = ""\nfigures_dir: str = "f"'
HEADLINE = """
from a2lc.paper.summary import save_headline
save_headline("table1", figures_dir, "Simulated.", {"Data mIoU (%)": (80.5, 85.25), "masks": (1234.0, None)})
"""


def write_profile(folder: Path, name: str = "toy", **values: object) -> None:
    (folder / "params").mkdir(exist_ok=True)
    (folder / "params" / f"{name}.yaml").write_text(yaml.safe_dump({"profile": values}))


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """A failing table, a figure, a table, two tutorials, one that makes a figure, and a notebook of few parameters."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = {
        "figure1_curves": "assert (rounds, root) == (3, 'x')",
        "table2_other": "rows = 1\nassert rounds == 4, f'{rounds} rounds'",
        "table1_rounds": HEADLINE,
        "01_tutorial": "1 / 0",
        "06_seconds": "",
    }
    for name, cell in cells.items():
        write_notebook(folder / f"{name}.ipynb", cell, parameters=PARAMETERS)
    write_notebook(folder / "00_quickstart.ipynb", "assert rows == ['a']", parameters="rows: list[str] = []")
    write_profile(folder, rounds=3, root="x", rows=["a"], figures_dir=str(tmp_path / "results"))
    return folder


def items(tasks: list) -> list[str]:
    return [item_of(task.notebook) for task in tasks]


def test_help_names_the_items_that_are_played_only_when_named() -> None:
    found = [*NOTEBOOKS.glob("table*.ipynb"), *NOTEBOOKS.glob("figure*.ipynb")]
    own = [item_of(path) for path in found if not any(path.match(pattern) for pattern in ITEMS)]
    assert own and all(item in (a2lc.cli.regenerate.__doc__ or "") for item in own)


def test_tables_come_before_figures_and_tutorials_only_when_named(notebooks: Path) -> None:
    assert items(plan("toy", notebooks)) == ["quickstart", "figure_instant", "table1", "table2", "figure1"]
    assert items(plan("toy", notebooks, ["figure1", "table2"])) == ["table2", "figure1"]
    assert items(plan("toy", notebooks, ["01", "00"])) == ["quickstart", "tutorial01"]
    assert plan("toy", notebooks, ["00"])[0].parameters == {"rows": ["a"]}


def test_an_item_takes_its_own_values_before_those_of_all(notebooks: Path) -> None:
    write_profile(notebooks, rounds=3, figures_dir="f", table2={"rounds": "7"})
    one, two = plan("toy", notebooks, ["table"])
    assert (one.parameters, two.parameters) == ({"rounds": 3, "figures_dir": "f"}, {"rounds": 7, "figures_dir": "f"})
    assert one.project == notebooks.parent and one.folder == notebooks.parent / "f"


def test_a_profile_of_other_items_alone_executes_those(notebooks: Path) -> None:
    write_profile(notebooks, "other", figures_dir="f", rounds=3, tutorial01={"rounds": 4})
    assert items(plan("other", notebooks)) == ["tutorial01"]
    assert items(plan("other", notebooks, ["table1"])) == ["table1"]
    write_profile(notebooks, "other", figures_dir="f", rounds=3, tutorial01={"rounds": 4}, table1={"rounds": 5})
    assert items(plan("other", notebooks)) == ["quickstart", "figure_instant", "table1", "table2", "figure1"]


def test_a_profile_may_have_several_datasets(notebooks: Path) -> None:
    for name in ("paper_voc2012", "paper_cityscapes"):
        write_profile(notebooks, name, rounds=1, figures_dir=name)
    tasks = plan("paper", notebooks, ["table"])
    assert [(task.folder.name, item_of(task.notebook)) for task in tasks] == [
        ("paper_cityscapes", "table1"),
        ("paper_cityscapes", "table2"),
        ("paper_voc2012", "table1"),
        ("paper_voc2012", "table2"),
    ]
    assert [path.stem for path in profile_files(notebooks / "params", "paper_voc2012")] == ["paper_voc2012"]


@pytest.mark.parametrize(
    ("values", "only", "message"),
    [
        (
            {"rounds": 3, "row": ["a"], "figures_dir": "f"},
            ["figure"],
            r"row: no notebook has this parameter; did you mean 'rows'",
        ),
        ({"rounds": "x", "figures_dir": "f"}, [], "rounds: expected int like 2, found 'x'"),
        ({"rounds": 3}, [], r"toy\.yaml: expected figures_dir, a folder, found None"),
        ({"table1": {"row": 1}, "figures_dir": "f"}, ["figure"], r"toy\.yaml: table1\.row: no such parameter"),
    ],
)
def test_wrong_parameters_are_refused(values: dict, only: list[str], message: str, notebooks: Path) -> None:
    write_profile(notebooks, **values)
    with pytest.raises(ValueError, match=message):
        plan("toy", notebooks, only)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds: [3", r"toy\.yaml: damaged YAML"),
        ("3: 4", r"toy\.yaml: expected a mapping"),
        ("rows: &rows [*rows]", r"toy\.yaml: damaged YAML .*found an alias"),
    ],
)
def test_a_damaged_profile_is_named(text: str, message: str, notebooks: Path) -> None:
    (notebooks / "params" / "toy.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        plan("toy", notebooks)


def test_unknown_names_are_refused_with_the_nearest(notebooks: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no profile 'tooy'; did you mean 'toy'"):
        plan("tooy", notebooks)
    with pytest.raises(
        FileNotFoundError, match="no notebook begins with 'tabel1_rounds'; did you mean 'table1_rounds'"
    ):
        plan("toy", notebooks, ["table2", "tabel1_rounds"])


def regenerate(notebooks: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2lc.cli", "regenerate", "--notebooks", str(notebooks), *arguments]
    return subprocess.run(command, cwd=notebooks.parent, capture_output=True, text=True, timeout=300)


def test_a_failure_keeps_its_copy_and_the_others_go_on(notebooks: Path) -> None:
    ran, folder = regenerate(notebooks, "--jobs", "2"), notebooks.parent / "results"
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert "table2: FAILED" in ran.stdout and "AssertionError: 3 rounds" in ran.stdout
    copies = {path.stem for path in (folder / "executed").iterdir()}
    assert copies == {"00_quickstart", "06_seconds", "table1_rounds", "table2_other", "figure1_curves"}
    failed = nbformat.read(folder / "executed" / "table2_other.ipynb", 4)
    assert any(output.output_type == "error" for output in failed.cells[-1].outputs)
    assert set(read_json(folder / "minutes.json")) == {"quickstart", "figure_instant", "table1", "figure1"}
    page = (folder / "README.md").read_text()
    assert "| table1 | Data mIoU (%) | 80.50 | 85.25 | -4.75 |" in page and "|  | masks | 1234 |  |  |" in page
    assert "**table2 failed**: AssertionError: 3 rounds" in page and "*table1*: Simulated." in page
    again = regenerate(notebooks, "--only", "table1")
    assert again.returncode == 0 and "failed" not in (folder / "README.md").read_text()


def test_nothing_is_started_when_a_parameter_is_wrong(notebooks: Path) -> None:
    write_profile(notebooks, rounds=2.5, figures_dir=str(notebooks.parent / "results"))
    refused = regenerate(notebooks)
    assert refused.returncode == 2 and "rounds: expected int like 2, found 2.5" in refused.stderr
    assert not (notebooks.parent / "results").exists()


def test_a_reproduction_leaves_the_profiles_folders_alone(notebooks: Path) -> None:
    root = notebooks.parent
    ran = regenerate(notebooks, "--only", "table1", "--out", "again")
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in (root / "again" / "results").iterdir()} >= {"table1_headline.json", "README.md"}
    assert {path.name for path in root.iterdir()} == {"notebooks", "again"}


def test_nothing_is_started_where_results_cannot_be_written(notebooks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only checkout: told before the first hour of training, not after it."""
    refused = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("a2lc.files.whole.TemporaryFile", Mock(side_effect=refused))
    with pytest.raises(OSError, match=r"results: cannot be written \(Permission denied\)"):
        next(execute(plan("toy", notebooks), progress=False))
    monkeypatch.undo()
    assert not (notebooks.parent / "results").exists(), "nothing is made"
    (notebooks.parent / "results").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"results: cannot be written \(.+\)"):
        next(execute(plan("toy", notebooks), progress=False))


def test_a_dead_kernel_is_a_failure(notebooks: Path) -> None:
    write_notebook(notebooks / "table1_rounds.ipynb", "import os\nos._exit(1)", parameters=PARAMETERS)
    (outcome,) = execute(plan("toy", notebooks, ["table1"]), progress=False)
    assert outcome.error is not None and "died" in outcome.error.lower()


def test_a_summary_shows_the_figures_and_keeps_other_items(tmp_path: Path) -> None:
    save_headline("figure5", tmp_path, "B.", {"share (%)": (float("nan"), float("nan"))})
    save_headline("table3", tmp_path, "A.", {"masks": (7.0, 8.0)})
    (tmp_path / "table3_bars.png").write_bytes(b"")
    (tmp_path / "table3_provenance.json").write_text('{"minutes": 12.4}')
    write_minutes(tmp_path, {"table3": 1.234})
    write_minutes(tmp_path, {"figure5": 2})
    page = write_summary(tmp_path, "toy", {}, "cpu").read_text()
    assert "| table3 | masks | 7.00 | 8.00 | -1.00 | 1.2 | 12 |" in page and "![table3_bars](table3_bars.png)" in page
    assert "| figure5 | share (%) |  |  |  | 2.0 |  |" in page and page.index("table3") < page.index("figure5")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL here")
def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    """As the system does it for want of memory: the notebook kills the process that executes it."""
    write_notebook(tmp_path / "table1_x.ipynb", "import os\nos.kill(os.getppid(), 9)", parameters=PARAMETERS)
    write_profile(tmp_path, rounds=3, root="x", figures_dir=str(tmp_path / "results"))
    with pytest.raises(OSError, match="a process that executes notebooks was ended from outside.* the same command"):
        list(execute(plan("toy", tmp_path), progress=False))
