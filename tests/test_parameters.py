"""Parameters of notebooks: what they declare, what is made of what was given, and what is refused."""

from __future__ import annotations

import ast
import errno
import linecache
import logging
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import nbformat
import papermill
import pytest

from a2lc.files import read_yaml
from a2lc.notebook import begin, last_parameters
from a2lc.notebook import project as in_kernel
from a2lc.notebook.parameters import (
    PROFILE,
    declared,
    item_of,
    parameters_by_item,
    parameters_of,
    profile_for,
    read_profile,
    settle,
)
from a2lc.notebook.runner import typed_path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "notebooks" / "params").glob("*.yaml"))
ITEMS = parameters_by_item(ROOT / "notebooks")

CELL = """
rounds: int = 2
budget: float = 0.09  # a share
seeds: list[int] = [0]
methods: list[str] = ["alc", "a2lc"]
images: list[str] = []
shares: list[float] = [0.5]
log_scale: bool = False
root: str = ""
segmenter: dict = {"scale": 2.0}
profile: dict = {}
"""
PARAMETERS = declared(CELL)
KNOWN = {"table1": PARAMETERS, "table2": {**PARAMETERS, "share": None, "rows": None}}


def settled(**given: Any) -> dict[str, Any]:
    """What differs from the defaults after papermill has set `given`."""
    defaults = {name: about.default for name, about in PARAMETERS.items()}
    found = settle("table1", PARAMETERS, defaults | given, given, KNOWN)
    assert list(found) == list(PARAMETERS)
    return {name: value for name, value in found.items() if value != defaults[name] and name != PROFILE}


# ------------------------------------------------------------------------------------------------ single values
@pytest.mark.parametrize(
    ("name", "text", "meant"),
    [
        ("log_scale", "true", True),
        ("log_scale", "True", True),
        ("rounds", "3", 3),
        ("budget", 100, 100),  # masks, where a float is a share
        ("budget", "100", 100),
        ("budget", "1e-2", 0.01),
        ("seeds", 1, [1]),
        ("seeds", "1", [1]),
        ("seeds", "[1]", [1]),
        ("seeds", "[1, 2]", [1, 2]),
        ("seeds", "1,2", [1, 2]),
        ("methods", "a2lc", ["a2lc"]),
        ("methods", "[spx, 'alc']", ["spx", "alc"]),
        ("methods", "alc,spx", ["alc", "spx"]),
        ("images", "0016", ["0016"]),
        ("shares", "[0.1, 1]", [0.1, 1]),
        ("shares", 1e-2, [0.01]),
        ("root", "12", "12"),
        ("segmenter", "{iterations: 5}", {"iterations": 5}),
        ("segmenter", '{"iterations": 5}', {"iterations": 5}),
    ],
)
def test_what_papermill_makes_of_a_value_becomes_what_was_meant(name: str, text: Any, meant: Any) -> None:
    assert settled(**{name: text}) == {name: meant}
    assert type(settled(**{name: text})[name]) is type(meant)


def test_false_is_false() -> None:
    found = settle("table1", PARAMETERS, {"log_scale": "false"}, ["log_scale"], KNOWN)
    assert found["log_scale"] is False


@pytest.mark.parametrize(
    ("name", "value", "to_type"),
    [
        ("log_scale", 1, "-p log_scale false"),
        ("log_scale", "no", "-p log_scale false"),
        ("rounds", 3.0, "-p rounds 2"),
        ("rounds", True, "-p rounds 2"),
        ("rounds", "three", "-p rounds 2"),
        ("budget", "many", "-p budget 0.09"),
        ("budget", False, "-p budget 0.09"),
        ("seeds", "a", '-p seeds "[0]"'),
        ("seeds", [0, "a"], '-p seeds "[0]"'),
        ("seeds", [True], '-p seeds "[0]"'),
        ("seeds", "[]", '-p seeds "[0]"'),  # a notebook without any run shows nothing
        ("seeds", None, '-p seeds "[0]"'),
        ("shares", "a half", '-p shares "[0.5]"'),
        ("methods", 3, '-r methods "[alc, a2lc]"'),
        ("images", 16, '-r images "[NAME]"'),  # was perhaps 0016: papermill makes a number of it
        ("root", 12, '-r root ""'),
        ("root", None, '-r root ""'),
        ("segmenter", "fast", '-p segmenter "{scale: 2.0}"'),
        ("segmenter", "{a: ", '-p segmenter "{scale: 2.0}"'),
        ("profile", "toy", "-f notebooks/params/toy.yaml"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_says_what_to_type(name: str, value: Any, to_type: str) -> None:
    with pytest.raises(ValueError) as refused:
        settled(**{name: value})
    message = str(refused.value)
    assert message.startswith(f"table1: {name}: expected {PARAMETERS[name].kind} like ")
    assert message.endswith(f"found {value!r} (with papermill: {to_type})") and "\n" not in message


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"table1: seed: no such parameter; did you mean 'seeds'\?; rnds: .*'rounds'"):
        settled(seed=1, rnds=2)
    with pytest.raises(ValueError, match=r"rows: no such parameter.*belongs below 'profile:'"):
        settled(rows=["a"])  # a flat file of parameters, as they were before there was `profile`
    assert settled(PAPERMILL_INPUT_PATH="x") == {}


# ------------------------------------------------------------------------------------------------------ profiles
def test_a_profile_fills_in_what_nobody_set() -> None:
    profile = {"rounds": 5, "share": 0.1, "seeds": [1], "table1": {"seeds": [2, 3]}, "table2": {"rows": ["a"]}}
    assert settled(profile=profile) == {"rounds": 5, "seeds": [2, 3]}
    assert settled(profile=profile, seeds=[4]) == {"rounds": 5, "seeds": [4]}
    assert settled(profile=profile, rounds=2) == {"seeds": [2, 3]}  # said on purpose, though it is the default
    assert settled(profile="{rounds: 5}") == {"rounds": 5}


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"round": 5}, "profile: round: no notebook has this parameter; did you mean 'rounds'"),
        ({"tabel1": {}}, "profile: tabel1: no notebook has this parameter; did you mean 'table1'"),
        ({"table2": {"row": ["a"]}}, "profile: table2.row: no such parameter; did you mean 'rows'"),
        ({"table1": {"share": 0.1}}, "profile: table1.share: no such parameter"),
        ({"table1": 3}, "profile: table1: expected a mapping of its parameters, found 3"),
        ({"profile": {}}, "profile: profile: no notebook has this parameter"),
        ({"rounds": "x"}, "table1: rounds: expected int like 2, found 'x'"),
    ],
)
def test_a_wrong_profile_is_refused(profile: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settled(profile=profile)


def test_a_notebook_alone_takes_what_it_knows() -> None:
    """Copied out of its project: which names the others have cannot be known."""
    assert profile_for("table1", {"rounds": 5, "rows": ["a"]}, {"table1": PARAMETERS}) == {"rounds": 5}


@pytest.mark.parametrize("text", ["rounds: 3\nseeds: [0]", "profile: {}\nrounds: 3", "profile: 3", "{}"])
def test_a_file_of_another_version_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"old\.yaml: expected 'profile:' and all parameters indented below it, found"):
        read_profile(tmp_path / "old.yaml")


# ------------------------------------------------------------------------------------------------ a running kernel
def test_the_last_parameters_cell_counts_and_what_was_injected_after_it() -> None:
    injected = '# Parameters\nrounds = 3\nseeds = float("nan")\n'
    other = "x: int = 3\nget_ipython().run_line_magic('time', '')"
    assert last_parameters(["", CELL, injected, other]) == (CELL, ["rounds", "seeds"])
    assert last_parameters(["", CELL, injected, CELL]) == (CELL, [])  # run again
    assert last_parameters(["", injected, "profile (", CELL.replace("2", "4"), other])[0] == CELL.replace("2", "4")
    with pytest.raises(ValueError, match="run the notebook's first cell of code"):
        last_parameters(["", other, "profile = 3"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks" / "params").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *cells: str, **later: Any) -> dict[str, Any]:
    """A namespace after cells, something set by hand, and `begin`."""
    namespace: dict[str, Any] = {}
    for cell in cells:
        exec(compile(cell, "cell", "exec", dont_inherit=True), namespace)
    namespace |= later
    monkeypatch.setattr(in_kernel, "_cells_run", lambda: ["", *cells])
    begin("table1", namespace)
    return namespace


def test_begin_writes_checked_values_and_works_in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    injected = "# Parameters\nseeds = 1\nprofile = {'rounds': 5, 'seeds': [7]}\n"
    found = run(monkeypatch, CELL, injected)
    assert (found["rounds"], found["seeds"], found["methods"]) == (5, [1], ["alc", "a2lc"])
    assert Path.cwd() == project
    begin("table1", found)  # the cell is run again
    assert (found["rounds"], found["seeds"]) == (5, [1]) and Path.cwd() == project
    assert run(monkeypatch, CELL, log_scale="true")["log_scale"] is True  # set in a cell of one's own
    with pytest.raises(ValueError, match=r"table1: seed: no such parameter; did you mean 'seeds'"):
        run(monkeypatch, CELL, "# Parameters\nseed = 1\n")


def test_a_runner_that_keeps_no_history_is_read_through_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """nbval: IPython keeps each cell's source in `linecache`."""
    monkeypatch.setattr(linecache, "cache", {"<cell 1>": (len(CELL), None, CELL.splitlines(True), "<cell 1>")})
    assert last_parameters(in_kernel._cells_run()) == (CELL, [])


def test_folders_that_cannot_be_written_are_named_before_any_work(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, here = CELL + '\nruns_dir: str = "runs"\nfigures_dir: str = "figures/new"', Path.cwd()
    (project / "figures").touch()
    wanted = r"table1: figures_dir: .*new: cannot be written \(.+\); name another with -p figures_dir FOLDER"
    with pytest.raises(OSError, match=wanted):
        run(monkeypatch, cell)
    assert Path.cwd() == here and not (project / "runs").exists()
    (project / "figures").unlink()
    refused = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("a2lc.files.whole.TemporaryFile", Mock(side_effect=refused))
    with pytest.raises(OSError, match=r"runs_dir: .*runs: cannot be written \(Permission denied\)"):
        run(monkeypatch, cell)
    (project / "runs" / "toy").mkdir(parents=True)  # finished runs are read there
    with pytest.raises(OSError, match="figures_dir"):
        run(monkeypatch, cell)
    monkeypatch.undo()
    assert {path.name for path in project.iterdir()} == {"notebooks", "runs"}


def test_what_was_typed_says_where_the_notebook_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    file = tmp_path / "x.ipynb"
    file.touch()
    monkeypatch.setenv("PWD", str(tmp_path))
    for words in ("x.ipynb out.ipynb", "-p name y.ipynb -r other y.ipynb x.ipynb", f"{file} --cwd /", "./x.ipynb -"):
        assert typed_path(words.split(), tmp_path) == (None if words.endswith("-") else file), words
    for moved in (["--cwd", "there"], ["--cwd=there"]):
        assert typed_path(["x.ipynb", *moved], tmp_path / "there") == file
        assert typed_path(["x.ipynb", *moved], tmp_path) is None  # typed in another shell
    assert typed_path(["y.ipynb"], tmp_path) is typed_path([], tmp_path) is typed_path(["x.ipynb"], None) is None


# ---------------------------------------------------------------------------------------------------- declarations
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rounds = 2", "expected name: type = literal, found rounds = 2"),
        ("rounds: int", "expected name: type = literal"),
        ("root: Path = ''", "root: expected a type of bool, int, .* found Path"),
        ("rounds: int = 1 + n", "rounds: expected a literal, found 1 \\+ n"),
        ("rounds: int = '2'", "rounds: expected int, found '2'"),
        ("seeds: list[int] = 0", "seeds: expected list\\[int\\], found 0"),
    ],
)
def test_a_parameters_cell_holds_typed_literals(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declared(line)


def test_statements_may_stand_beside_declarations() -> None:
    """Tests shift seeds there, below the declarations."""
    assert declared(CELL + "\nif seeds:\n    seeds = [seed + 1 for seed in seeds]\n") == PARAMETERS


def test_a_file_that_is_no_such_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.ipynb: no such notebook"):
        parameters_of(tmp_path / "x.ipynb")
    for text in ("{", "[]", '{"cells": [1]}', '{"cells": []}'):
        (tmp_path / "x.ipynb").write_text(text)
        with pytest.raises(ValueError, match=r"x\.ipynb: (damaged|expected one cell)"):
            parameters_of(tmp_path / "x.ipynb")
    assert parameters_by_item(tmp_path) == {}  # somebody's own notebook stops no other


# ------------------------------------------------------------------------------------------- the committed notebooks
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_begin_alike(path: Path) -> None:
    """A parameters cell that papermill can list with types and help, then `begin`; and none is assigned later."""
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    parameters, found = parameters_of(path), papermill.inspect_notebook(str(path))
    assert list(found) == list(parameters) and list(found)[-1] == PROFILE
    for name, about in found.items():
        assert about["inferred_type_name"] == parameters[name].kind and about["help"], name
    assert code[1].source.startswith(f'from a2lc.notebook import begin\n\nbegin("{item_of(path)}", globals())\n')
    stored = {
        node.id
        for cell in code[1:]
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not stored & set(parameters), "running the first cell again would find another value there"


def test_one_name_for_one_idea() -> None:
    kinds: dict[str, set[str]] = {}
    for parameters in ITEMS.values():
        for name, about in parameters.items():
            kinds.setdefault(name, set()).add(about.kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}
    assert not {"seed", "row_seeds", "curve_rounds"} & set(kinds)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.stem)
def test_papermill_warns_about_nothing(profile: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = read_yaml(profile)
    with caplog.at_level(logging.WARNING, logger="papermill"):
        for path in NOTEBOOKS:
            papermill.execute_notebook(str(path), str(tmp_path / path.name), values, prepare_only=True)
        assert not [record for record in caplog.records if "unknown" in record.getMessage()]
        papermill.execute_notebook(str(NOTEBOOKS[0]), str(tmp_path / "x.ipynb"), {"sed": 1}, prepare_only=True)
    assert "Passed unknown parameter: sed" in caplog.text  # what this test looks for is what papermill says
