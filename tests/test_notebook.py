"""Checked parameters, running notebooks, and the command line."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from small_notebooks import write_notebook
from small_runs import network, seeded
from typer.testing import CliRunner

from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.cli import app
from a2lc.config import Experiment
from a2lc.notebook import project_folder
from a2lc.notebook.parameters import item_of, parameters_by_item, parameters_of, profile_for, read_profile, settle
from a2lc.paper.execution import run_notebook
from a2lc.paper.experiments import INSTANT_ROWS, table2
from a2lc.paper.regenerate import plan
from a2lc.paper.switches import switches_of

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROFILES = sorted((ROOT / "notebooks" / "params").glob("*.yaml"))
ITEMS = parameters_by_item(ROOT / "notebooks")


def small_notebook(folder: Path, *cells: str) -> Path:
    parameters = 'rounds: int = 2\nshare: float = 0.5\nroot: str = ""'
    return write_notebook(folder / "small.ipynb", *cells, parameters=parameters)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_profile_fits_every_notebook(path: Path) -> None:
    item, parameters = item_of(path), parameters_of(path)
    for profile in PROFILES:
        given = profile_for(item, read_profile(profile), ITEMS)
        assert given and settle(item, parameters, given, given, ITEMS).items() >= given.items()


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_profile_is_an_experiment_and_lists_known_rows(path: Path) -> None:
    values = read_profile(path)
    if "dataset" not in values:  # of referring expressions alone
        assert len(plan(path.stem, ROOT / "notebooks")) >= 1  # every run of it is checked
        with pytest.raises(ValueError, match="is of referring expressions: a2lc regenerate --profile"):
            Experiment.from_file(path)
        return
    assert Experiment.from_file(path).dataset == values["dataset"]  # `a2lc run --params` takes the same file
    assert set(values.get("table2", {}).get("rows", [])) <= set(table2(2))
    table4 = values.get("table4", {})
    functions = {*table4.get("functions", ()), *table4.get("without_lcm", ())}
    assert functions - INSTANT_ROWS.keys() <= set(ACQUISITION_FUNCTIONS)


@pytest.mark.parametrize("dataset", ["cityscapes", "voc2012"])
def test_the_paper_profile_takes_the_switches_that_readme_says(dataset: str) -> None:
    """`Deviation.profile` where it is given, else the default."""
    paper = Experiment.from_file(ROOT / "notebooks" / "params" / f"paper_{dataset}.yaml")
    wanted = {"segmenter.keep": "best", "scoring.ref_squash": dataset == "cityscapes"}
    wanted["correction.thresholds"] = (0.99, 0.99, 0.999, 0.9999, 0.9999999) if dataset == "cityscapes" else (0.99,)
    said = {path: (field, deviation) for path, field, deviation in switches_of(Experiment)}
    assert {path for path, (_, deviation) in said.items() if deviation.profile} == set(wanted)
    for path, (field, _) in said.items():
        found: object = paper
        for part in path.split("."):
            found = getattr(found, part)
        if not field.is_required():
            assert found == wanted.get(path, field.default), path
    assert (
        paper.segmenter.iterations == 30000 and paper.segmenter.backbone == "resnet101" and paper.segmenter.pretrained
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_tiny_runs_unless_told_otherwise(path: Path) -> None:
    defaults = {name: about.default for name, about in parameters_of(path).items()}
    assert defaults.get("dataset", "toy") == "toy" and defaults.get("rounds", 1) <= 2
    assert defaults.get("segmenter", {}).get("iterations", 0) <= 50  # or none is trained
    assert defaults.get("expressions", {}).get("training", {}).get("steps", 0) <= 200
    assert defaults["figures_dir"] == "paper_figures/smoke"  # results of profiles are never overwritten


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_kept_executed_without_progress_bars(path: Path) -> None:
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    streams = [output for cell in code for output in cell.outputs if output.output_type in ("stream", "error")]
    assert all(output.get("name") == "stdout" for output in streams)
    assert not any("execution" in cell.metadata for cell in code), "times change with every run: make notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_picture_says_what_it_shows(path: Path) -> None:
    cells, pictures = nbformat.read(path, 4).cells, 0
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        for kind in (kind for kind in output.get("data", {}) if kind.startswith("image/")):
            assert len(output.metadata.get(kind, {}).get("alt", "")) > 20, "save_figure(..., alt)"
            pictures += 1
    assert pictures and "![](" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"round": 3}, "round: no such parameter; did you mean 'rounds'"),
        ({"rounds": "x"}, "rounds: expected int like 2, found 'x'"),
        ({"rounds": True}, "rounds: expected int like 2, found True"),
        ({"share": "x", "rounds": 1.5}, "rounds: expected int.*share: expected float"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(given: dict, message: str, tmp_path: Path) -> None:
    notebook = small_notebook(tmp_path, "open('ran', 'w')")
    with pytest.raises(ValueError, match=message):
        run_notebook(notebook, tmp_path / "out.ipynb", given)
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_runs_and_keeps_the_executed_copy(tmp_path: Path) -> None:
    notebook = small_notebook(tmp_path, "assert rounds == 3 and share == 1 and root == 'x', (rounds, share)")
    run_notebook(notebook, tmp_path / "out.ipynb", {"rounds": 3, "share": 1, "root": "x"})
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].execution_count
    with pytest.raises(papermill.PapermillExecutionError):
        run_notebook(notebook, tmp_path / "failed.ipynb", {"rounds": 4})
    assert (tmp_path / "failed.ipynb").exists()


def a2lc_command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2lc.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_command_line_from_run_to_export(tmp_path: Path) -> None:
    params = tmp_path / "p.yaml"
    fields = {"dataset": "toy", "seed": seeded(), "rounds": 1, "budget": 20, "correction": {"epochs": 1}}
    params.write_text(yaml.safe_dump(fields | {"segmenter": network(iterations=2)}))
    ran = a2lc_command("run", "--params", params, "--runs-dir", "r", "--device", "cpu", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    folder = ran.stdout.splitlines()[-1]
    status = a2lc_command("status", "--runs-dir", "r", cwd=tmp_path)
    assert Path(folder).name in status.stdout and "1/1" in status.stdout
    exported = a2lc_command("export", folder, "out", cwd=tmp_path)
    assert exported.returncode == 0 and len(list((tmp_path / "out" / "mask_jpg").glob("*.png"))) == 96


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--dataset", "toi"], "did you mean 'toy'"),
        (["run", "--budget", "many"], "budget: expected a whole number or a share"),
        (["run", "--rounds", "-1"], "rounds"),
        (["run", "--dataset", "camvid", "--root", "nowhere"], "nowhere"),
        (["regenerate", "--only", ","], "--only: expected names with commas between them, found ','"),
        (["regenerate", "--profile", "/params/toy.yaml"], "no profile '/params/toy.yaml'"),
        (["regenerate", "--notebooks", "x" * 300], f"{'x' * 300}: cannot be read or written (File name too long)"),
        (["export", "nowhere", "out"], "no run in nowhere nor in runs/nowhere"),
        (["status", "--runs-dir", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    failed = a2lc_command(*arguments, cwd=tmp_path)
    assert failed.returncode == 2 and message in failed.stderr and "Traceback" not in failed.stderr
    assert list(tmp_path.iterdir()) == []  # nothing half-made stays behind


def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    told = a2lc_command("doctor", cwd=tmp_path).stdout
    assert "torch" in told and "device" in told and "groundingdino" in told


def test_doctor_lists_a_package_without_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "papermill":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr("a2lc.machine.version", version)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0 and re.search(r"papermill +not installed", done.output)


@pytest.mark.parametrize("shape", ["profile", "fields"])
def test_an_experiment_reads_a_profile_or_its_own_fields(shape: str, tmp_path: Path) -> None:
    """Of a profile, what only notebooks know is left out; a misspelt name is refused all the same."""
    fields = {"dataset": "toy", "rounds": 3}
    values = {"profile": {**fields, "seeds": [1], "table1": {"methods": ["alc"]}}} if shape == "profile" else fields
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(values))
    assert Experiment.from_file(file) == Experiment(**fields)
    (values["profile"] if shape == "profile" else values)["round"] = 4
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match="round: no such field; did you mean 'rounds'"):
        Experiment.from_file(file)


def test_an_experiment_refuses_a_profile_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("dataset: toy\nseeds: [0]\nmethods: [alc]\n")
    with pytest.raises(ValueError, match=r"old\.yaml: expected 'profile:' and all parameters indented below it"):
        Experiment.from_file(tmp_path / "old.yaml")


def project(folder: Path) -> Path:
    (folder / "notebooks" / "params").mkdir(parents=True)
    return folder


def test_the_project_is_the_nearest_folder_with_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = project(tmp_path / "outer")
    inner, elsewhere = project(outer / "inner"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for start, wanted in ((outer, outer), (inner / "notebooks" / "params", inner), (elsewhere, ROOT)):
        monkeypatch.chdir(start)
        assert project_folder() == wanted
    assert project_folder(inner / "notebooks" / "x.ipynb") == inner  # where the runner says so
    monkeypatch.setenv("A2LC_PROJECT", str(outer))
    assert project_folder(inner / "notebooks" / "x.ipynb") == outer  # the name of a folder wins


def test_without_any_project_it_is_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "a2lc.notebook.project.__file__", str(tmp_path / "site-packages" / "a2lc" / "notebook" / "project.py")
    )
    monkeypatch.chdir(tmp_path)
    assert project_folder() == tmp_path
