"""Which runs notebooks ask for: wrong values and missing packages are told before anything is played."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from small_notebooks import write_notebook
from small_runs import QUICK

import a2lc
from a2lc.config import Experiment
from a2lc.machine import KNEED, MissingExtraError
from a2lc.notebook.parameters import item_of, parameters_of, profile_for, read_profile, settle
from a2lc.paper.experiments import QUICKSTART
from a2lc.paper.planned import check_extras, planned_runs
from a2lc.paper.regenerate import execute, plan

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {item_of(path): path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
PROFILES = sorted((ROOT / "notebooks" / "params").glob("*.yaml"))


def values_of(item: str, **given: Any) -> dict[str, Any]:
    return {name: about.default for name, about in parameters_of(NOTEBOOKS[item]).items()} | given


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_notebook_can_be_played_with_every_profile(path: Path) -> None:
    for item, notebook in NOTEBOOKS.items():
        parameters = parameters_of(notebook)
        given = profile_for(item, read_profile(path), {name: parameters_of(file) for name, file in NOTEBOOKS.items()})
        planned = planned_runs(item, settle(item, parameters, given, given, {}))
        assert planned or "dataset" not in parameters


def test_they_are_those_that_are_played() -> None:
    by_hand = {"dataset": "toy", "segmenter": {"scale": 1.0, "iterations": 5}, "seed": 3}
    found = planned_runs("table4", values_of("table4", functions=["sim"], without_lcm=["abc"], seeds=[3]))
    own = ({"method": "a2lc", "acquisition": "sim"}, {"method": "a2lc_no_lcm", "acquisition": "abc"})
    assert found == [Experiment(**by_hand, rounds=1, budget=0.03, **fields) for fields in own]
    assert [run.method for run in planned_runs("table1", values_of("table1"))] == ["alc", "a2lc", "instant"]
    assert len(planned_runs("table5", values_of("table5", seeds=[0, 1]))) == 12
    assert planned_runs("table5", values_of("table5", beside=["instant"]))[-1].instant.train == "last"
    assert planned_runs("somebodys_own", {"rows": ["a"]}) == []


def test_rows_of_several_methods_are_written_down_once() -> None:
    """What a notebook plays and what is planned are the same list, of `a2lc.paper.experiments`."""
    for item, path in NOTEBOOKS.items():
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        assert not re.search(r'"method": "(?!a2lc")', code), f"{item} has rows of its own"
    assert [run.method for run in planned_runs("quickstart", values_of("quickstart"))] == [*QUICKSTART]
    figure1 = [(run.method, run.rounds > 0) for run in planned_runs("figure1", values_of("figure1"))]
    assert figure1 == [("alc", True), ("a2lc", True), ("full_supervision", False)]
    assert [run.method for run in planned_runs("figure6", values_of("figure6"))] == ["alc", "a2lc"]


@pytest.mark.parametrize(
    ("item", "given", "message"),
    [
        ("tutorial10", {"presets": ["ful"]}, "method: expected one of .* found 'ful'; did you mean 'full'"),
        ("tutorial10", {"presets": ["full", "full"]}, "presets: expected at most 3 different names"),
        ("tutorial10", {"presets": ["full", "supervised"]}, "presets: expected one with rounds last"),
        ("tutorial10", {"expressions": {"training": {"step": 3}}}, "training.step: no such field"),
        ("table6", {"percents": [0]}, r"percents: expected different numbers above 0, at most 100, found \[0.*\]"),
        ("table6", {"percents": [5, 5]}, "percents: expected different numbers"),
        ("table6", {"expressions": {"rate": 0.5}}, "expressions.rate: expected none, as percents says it"),
        ("table7", {"presets": ["full", "fulll"]}, "method: expected one of .* found 'fulll'; did you mean 'full'"),
        ("figure7", {"presets": ["supervised", "full"]}, "presets: expected those with rounds, found 'supervised'"),
        ("figure9", {"presets": ["full", "supervised"]}, "presets: expected one with rounds last"),
        ("table1", {"methods": ["a2cl"]}, "methods: expected names of a2lc, .* found 'a2cl'; did you mean 'a2lc'"),
        ("table1", {"rounds": -1}, "rounds: expected greater than or equal to 0, found -1"),
        ("table1", {"budget": 0.0}, "budget: expected a whole number of masks >= 1 or a share"),
        ("table1", {"dataset": "toyy"}, "dataset: expected one of .* found 'toyy'; did you mean 'toy'"),
        ("table2", {"rows": ["spix"]}, "rows: expected names of .* found 'spix'"),
        ("table2", {"share": 1.5}, r"share: expected a share of the superpixels in \(0, 1\), found 1.5"),
        ("table3", {"correction": {"epoch": 3}}, "correction.epoch"),
        ("table4", {"functions": ["sin"]}, "functions: expected names of .* found 'sin'; did you mean 'sim'"),
        ("table4", {"without_lcm": ["x"]}, "without_lcm: expected names of .* found 'x'"),
        ("table5", {"beside": ["a2lc"]}, "beside: expected names of instant, instant_colour, found 'a2lc'"),
        ("figure_instant", {"methods": ["instant", "a2lc"]}, "methods: expected one of instant, .* last, .* 'a2lc'"),
        ("figure_instant", {"rounds": 0}, "rounds: expected at least 1, found 0"),
        ("figure6", {"seeds": [-1]}, r"seeds: expected different whole numbers >= 0, found \[-1\]"),
        ("table1", {"seeds": [0, 1, 0]}, r"seeds: expected different whole numbers >= 0, found \[0, 1, 0\]"),
        ("table1", {"root": "data"}, "root: dataset 'toy' is drawn, not read, so expected none, found 'data'"),
        ("quickstart", {"rounds": 0}, "rounds: expected at least 1, found 0"),
        ("tutorial01", {"segmenter": {"iteration": 3}}, "segmenter.iteration"),
        ("correct", {"method": "instanst"}, "method"),
        ("correct", {"method": "a2lc", "features": "colour"}, "features"),
        ("correct", {"masks": "slic", "side": 1}, "side"),
    ],
)
def test_wrong_values_are_refused(item: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{item}: .*{message}") as refused:
        planned_runs(item, values_of(item, **given))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("item", NOTEBOOKS)
def test_notebooks_refuse_them_in_their_first_cell_before_any_other_work(item: str) -> None:
    cells = [cell.source for cell in nbformat.read(NOTEBOOKS[item], 4).cells if cell.cell_type == "code"]
    lines = [line for line in ast.parse(cells[1]).body if not isinstance(line, (ast.Import, ast.ImportFrom))]
    calls = [ast.unparse(line) for line in lines[:2]]
    assert calls == [f"begin('{item}', globals())", f"check_parameters('{item}', globals())"]


@pytest.fixture
def notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A table that needs no extra, and one after it that does."""
    (tmp_path / "notebooks" / "params").mkdir(parents=True)
    parameters = 'dataset: str = "toy"\nroot: str = ""\nfigures_dir: str = "f"\nruns_dir: str = "runs"'
    for name, more in (("table1_a", ""), ("table2_b", '\nshare: float = 0.1\nrows: list[str] = ["merspx"]')):
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", "print()", parameters=parameters + more)
    monkeypatch.setitem(sys.modules, KNEED, None)
    yield tmp_path / "notebooks"


def write_profile(notebooks: Path, **values: Any) -> None:
    profile = {"profile": {"figures_dir": "f", **values}}
    (notebooks / "params" / "toy.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")


def test_wrong_values_stop_a_plan(notebooks: Path) -> None:
    write_profile(notebooks, table2={"rows": ["merspix"]})
    with pytest.raises(ValueError, match=r"toy\.yaml: table2: rows: expected names of .*did you mean 'merspx'"):
        plan("toy", notebooks)


def test_a_missing_package_of_a_later_notebook_is_told_before_the_first(notebooks: Path) -> None:
    write_profile(notebooks)
    with pytest.raises(MissingExtraError, match=r"(kneed|SEEDS).* install 'a2lc\[superpixels\]'$"):
        next(execute(plan("toy", notebooks), progress=False))
    assert not (notebooks.parent / "f" / "executed").exists() and not (notebooks.parent / "runs").exists()


def test_missing_data_are_told_once_before_any_notebook(notebooks: Path) -> None:
    write_profile(notebooks, dataset="camvid", root="nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        next(execute(plan("toy", notebooks, ["table1"]), progress=False))
    assert not (notebooks.parent / "f" / "executed").exists() and not (notebooks.parent / "runs").exists()


def test_finished_runs_of_any_budget_need_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**QUICK, "dataset": "toy", "share": 0.1, "rows": ["spx"], "seeds": [QUICK["seed"]], "runs_dir": "runs"}
    (planned,) = planned_runs("table2", {name: value for name, value in values.items() if name != "seed"})
    made = a2lc.Run.create(planned.model_copy(update={"budget": 7, "rounds": 0}), tmp_path / "runs", {"data": {}})
    monkeypatch.setattr("a2lc.machine.missing", lambda module: f"{module} is missing")
    with pytest.raises(MissingExtraError, match="is missing"):
        check_extras("table2", values, tmp_path)
    made.folder(0).begin("trained")
    made.folder(0).end("trained")
    check_extras("table2", values, tmp_path)
