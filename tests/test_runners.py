"""Whoever runs a notebook, from whatever folder: its files go to the same place, and nothing appears elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from small_notebooks import write_notebook

from a2lc.files import read_json

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = """
name: str = "written"  # of the file
count: int = 1  # lines in it
seeds: list[int] = [0]  # in each line
figures_dir: str = "results"  # where it is written
profile: dict = {}  # parameters of many notebooks at once
"""
BEGIN = 'from a2lc.notebook import begin\n\nbegin("table1", globals())'
WRITE = """
from a2lc.files import write_json
write_json(f"{figures_dir}/{name}.json", [seeds] * count)
"""
NOTEBOOK = "table1_small.ipynb"

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkout, ``project``, of one small notebook, another project and a folder that is none."""
    for name in ("project", "other"):
        (tmp_path / name / "notebooks" / "params").mkdir(parents=True)
        write_notebook(tmp_path / name / "notebooks" / NOTEBOOK, BEGIN, WRITE, parameters=PARAMETERS)
    profile = "profile: {name: of_the_profile, figures_dir: results}\n"
    (tmp_path / "project" / "notebooks" / "params" / "toy.yaml").write_text(profile)
    (tmp_path / "foreign").mkdir()
    shutil.copytree(ROOT / "a2lc", tmp_path / "project" / "a2lc")  # as compiled: each process would do so anew
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "project"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return tmp_path


def python(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As from a shell, which says in PWD where it is."""
    command, environment = [sys.executable, "-m", *map(str, arguments)], {"PWD": str(cwd), **environment}
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=300)


def kernel(cwd: Path, *cells: str, **environment: str) -> None:
    """A kernel of a server or an editor, which keep it and run cells again."""
    manager, client = start_new_kernel(cwd=str(cwd), env=os.environ | environment)
    try:
        for cell in cells:
            reply = client.execute_interactive(cell, timeout=120, output_hook=lambda message: None)
            assert reply["content"]["status"] == "ok", "\n".join(reply["content"]["traceback"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def papermill(cwd: str, *arguments: object) -> Callable[[Path], None]:
    def run(place: Path) -> None:
        notebook = place / "project" / "notebooks" / NOTEBOOK
        path = notebook if cwd == "foreign" else os.path.relpath(notebook, place / cwd)
        ran = python("papermill", path, place / "foreign" / "out.ipynb", *arguments, cwd=place / cwd)
        assert ran.returncode == 0, ran.stderr

    return run


def others(cwd: str, *arguments: str) -> Callable[[Path], None]:
    def run(place: Path) -> None:
        given = [argument.format(notebooks=place / "project" / "notebooks") for argument in arguments]
        ran = python(*given, cwd=place / cwd)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    return run


def jupyterlab(place: Path) -> None:
    """The server starts the kernel in the notebook's folder; the first cells are run twice."""
    path = place / "project" / "notebooks" / NOTEBOOK
    kernel(path.parent, PARAMETERS, BEGIN, WRITE, BEGIN, WRITE, PARAMETERS, BEGIN, WRITE, JPY_SESSION_NAME=str(path))


def vs_code(place: Path) -> None:
    """The editor says where the notebook lies; its kernel may start anywhere."""
    said = f"__vsc_ipynb_file__ = {str(place / 'project' / 'notebooks' / NOTEBOOK)!r}"
    kernel(place / "other", said, PARAMETERS, BEGIN, WRITE)


WAYS: dict[str, Callable[[Path], None]] = {
    "papermill from the project": papermill("project"),
    "papermill from notebooks": papermill("project/notebooks"),
    "papermill from elsewhere": papermill("foreign"),
    "papermill --cwd notebooks": papermill("project", "--cwd", "notebooks"),
    "papermill --cwd elsewhere": papermill("project/notebooks", "--cwd", "../../foreign"),
    "papermill --inject-input-path": papermill("foreign", "--inject-input-path", "--cwd", "../other"),
    "jupyter execute": others("project", "jupyter", "execute", f"notebooks/{NOTEBOOK}"),
    "jupyter execute from elsewhere": others("foreign", "jupyter", "execute", f"{{notebooks}}/{NOTEBOOK}"),
    "nbval": others("project", "pytest", "-p", "no:cacheprovider", "--nbval-lax", f"notebooks/{NOTEBOOK}"),
    "nbval from elsewhere": others(
        "foreign", "pytest", "-p", "no:cacheprovider", "--nbval-lax", f"{{notebooks}}/{NOTEBOOK}"
    ),
    "JupyterLab": jupyterlab,
    "VS Code": vs_code,
}


@pytest.fixture
def appeared(place: Path) -> Callable[[], set[str]]:
    def files() -> set[str]:
        return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}

    before = files()
    return lambda: files() - before


@pytest.mark.parametrize("way", WAYS)
def test_files_go_to_the_project_and_nowhere_else(way: str, place: Path, appeared: Callable[[], set[str]]) -> None:
    WAYS[way](place)
    copy = {"foreign/out.ipynb"} if way.startswith("papermill") else set()
    assert appeared() == {"project/results/written.json"} | copy


@pytest.mark.parametrize(
    ("cwd", "arguments"),
    [
        ("foreign", ()),
        ("project", ("-p", "count", "2")),  # the checkout that a2lc is imported from
        ("other", ("--cwd", "../foreign")),
        ("foreign", ("--inject-input-path", "-y", "count: 2")),
    ],
)
def test_a_copy_of_the_notebooks_is_a_project_of_its_own(
    cwd: str, arguments: tuple[str, ...], place: Path, appeared: Callable[[], set[str]]
) -> None:
    path = os.path.relpath(place / "other" / "notebooks" / NOTEBOOK, place / cwd)
    ran = python("papermill", *arguments, path, place / "foreign" / "out.ipynb", cwd=place / cwd)
    assert ran.returncode == 0, ran.stderr
    assert appeared() == {"other/results/written.json", "foreign/out.ipynb"}


def test_nothing_is_written_where_papermill_hides_the_notebook(place: Path, appeared: Callable[[], set[str]]) -> None:
    path, wanted = f"notebooks/{NOTEBOOK}", r"type the notebook's whole path, --cwd and the project"
    ran = python("papermill", path, place / "out.ipynb", "--cwd", "../foreign", cwd=place / "other", PWD=str(place))
    assert ran.returncode == 1 and wanted in ran.stderr.strip().splitlines()[-1]
    code = (
        f"import papermill, sys; papermill.execute_notebook(sys.argv[1], {str(place / 'out.ipynb')!r}, dict(count=2))"
    )
    command = [sys.executable, "-c", code, str(place / "other" / path)]
    api = subprocess.run(command, cwd=place / "foreign", capture_output=True, text=True, timeout=300)
    assert api.returncode == 1 and wanted in api.stderr.strip().splitlines()[-1]
    assert appeared() == {"out.ipynb"}


@pytest.mark.parametrize("cwd", ["project", "project/notebooks", "foreign"])
def test_regenerate_works_from_any_folder(cwd: str, place: Path, appeared: Callable[[], set[str]]) -> None:
    ran = python("a2lc.cli", "regenerate", "--only", "table1", cwd=place / cwd)
    assert ran.returncode == 0, ran.stderr
    names = ("of_the_profile.json", "executed/" + NOTEBOOK, "minutes.json", "README.md")
    assert appeared() == {f"project/results/{name}" for name in (*names, ".locks/minutes.json.lock")}


def test_regenerate_keeps_to_the_notebooks_that_are_named(place: Path, appeared: Callable[[], set[str]]) -> None:
    shutil.copy(place / "project" / "notebooks" / "params" / "toy.yaml", place / "other" / "notebooks" / "params")
    ran = python("a2lc.cli", "regenerate", "--notebooks", "../other/notebooks", cwd=place / "project")
    assert ran.returncode == 0, ran.stderr
    assert all(name.startswith("other/") for name in appeared()) and "other/results/of_the_profile.json" in appeared()


# ------------------------------------------------------------------------------------------------ as people type it
def typed(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("papermill", f"notebooks/{NOTEBOOK}", place / "out.ipynb", *arguments, cwd=place / "project")


def test_wrong_parameters_end_in_one_line(place: Path) -> None:
    ran = typed(place, "-p", "seed", "1", "-p", "count", "false")
    assert ran.returncode == 1 and not (place / "project" / "results").exists()
    assert ran.stderr.strip().splitlines()[-1] == (
        "ValueError: table1: seed: no such parameter; did you mean 'seeds'? "
        "(known: name, count, seeds, figures_dir, profile)"
    )
    ran = typed(place, "-p", "count", "false")
    assert ran.stderr.strip().splitlines()[-1] == (
        "ValueError: table1: count: expected int like 1, found 'false' (with papermill: -p count 1)"
    )


def test_values_mean_what_was_typed_and_win_over_the_profile(place: Path) -> None:
    ran = typed(place, "-f", "notebooks/params/toy.yaml", "-p", "seeds", "[1, 2]", "-r", "count", "2")
    assert ran.returncode == 0 and "unknown" not in ran.stderr, ran.stderr
    assert read_json(place / "project" / "results" / "of_the_profile.json") == [[1, 2], [1, 2]]
    ran = typed(place, "-f", "notebooks/params/toy.yaml", "-p", "name", "written")
    assert ran.returncode == 0 and (place / "project" / "results" / "written.json").is_file()


def test_a_kernel_that_does_not_exist(place: Path) -> None:
    path = place / "project" / "notebooks" / NOTEBOOK
    made = nbformat.read(path, 4)
    made.metadata["kernelspec"]["name"] = "nosuch"
    nbformat.write(made, path)
    ran = python("a2lc.cli", "regenerate", cwd=place / "project")
    assert ran.returncode == 2 and not (place / "project" / "results").exists()
    (line,) = ran.stderr.strip().splitlines()
    assert "no kernel 'nosuch' here (there are: " in line
    assert line.endswith(f"type: {sys.executable} -m ipykernel install --user --name nosuch")
