"""The files around the code agree with each other and with the code."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import a2lc

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# import name -> distribution, where they differ
DISTRIBUTIONS = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "groundingdino": "groundingdino-py",
    "segment_anything": "segment-anything",
    "cv2": "opencv-contrib-python-headless",
}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(lines: list[str]) -> dict[str, str]:
    """Distribution name -> version specifier."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement in parsed}


def declared(project: dict, *extras: str) -> dict[str, str]:
    optional = project["optional-dependencies"]
    return requirements(project["dependencies"] + [line for extra in extras for line in optional[extra]])


def repository_files() -> list[Path]:
    """What git tracks, or would track after `git add .`."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs git's list of files")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_environment_yml_states_a_supported_python_and_the_same_requirements(project: dict) -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    constraints, editable, *lines = pip["pip"]
    python = Requirement(next(line for line in conda if line.startswith("python=")).replace("=", "=="))
    version = next(iter(python.specifier)).version

    assert environment["name"] == project["name"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(version)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert (constraints, editable) == ("-c constraints.txt", "-e .")
    assert requirements(lines) == declared(project, *project["optional-dependencies"])


def pins() -> dict[str, str]:
    """Distribution name -> the version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if not line.startswith("#"))  # no URLs, paths or ranges
    assert len(found) == sum(not line.startswith("#") for line in lines)
    return {canonicalize_name(name): version for name, version in found.items()}


def test_constraints_pin_every_requirement_within_its_range(project: dict) -> None:
    pinned, wanted = pins(), declared(project, *project["optional-dependencies"])
    assert wanted.keys() <= pinned.keys() and "a2lc" not in pinned
    wrong = {name: (pinned[name], wanted[name]) for name in wanted if pinned[name] not in SpecifierSet(wanted[name])}
    assert not wrong


def test_constraints_can_be_installed_with_the_first_python_that_is_supported(project: dict) -> None:
    """A newer patch of it is not everywhere: Debian 12 has 3.11.2."""
    pinned, first = pins(), f"{project['requires-python'].removeprefix('>=')}.0"
    pythons = {
        name: metadata.metadata(name).get("Requires-Python", "")
        for name in {canonicalize_name(dist.name) for dist in metadata.distributions()} & pinned.keys()
        if metadata.version(name) == pinned[name]
    }
    assert (
        pythons and {name: wanted for name, wanted in pythons.items() if not SpecifierSet(wanted).contains(first)} == {}
    )


def needed(requirement: Requirement) -> set[str]:
    """Names of what an installed distribution needs on this machine, itself among them."""
    found, waiting = {("a2lc", "")}, [requirement]
    while waiting:
        each = waiting.pop()
        for extra in ("", *each.extras):
            key = (canonicalize_name(each.name), extra)
            if key in found:
                continue
            found.add(key)
            lines = map(Requirement, metadata.requires(each.name) or ())
            waiting += [line for line in lines if line.marker is None or line.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def test_constraints_hold_what_is_needed_and_nothing_else(project: dict) -> None:
    pinned, wanted = pins(), declared(project, *project["optional-dependencies"])
    if any(metadata.version(name) != pinned[name] for name in wanted):
        pytest.skip("other versions than those of constraints.txt are installed (make setup LATEST=1)")
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    every = set().union(*(needed(Requirement(line)) for line in lines)) - {"a2lc", "setuptools"}
    installed = {name: metadata.version(name) for name in every}
    assert {name: pinned.get(name) for name in every} == installed, "make constraints"
    if (sys.platform, sys.version_info[:2]) == ("linux", (3, 11)):  # elsewhere less is needed
        assert pinned.keys() <= every


def test_every_file_that_is_installed_has_its_hash() -> None:
    """hashes.txt holds constraints.txt, what other systems need besides, and a SHA-256 of each file."""
    text = (ROOT / "hashes.txt").read_text(encoding="utf-8").replace("\\\n", "")
    entries = [line.partition("--hash=") for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"(sha256:[0-9a-f]{64}( +--hash=)?)+", hashes.strip()) for _, _, hashes in entries)
    found = {canonicalize_name(each.name): each for each in (Requirement(line) for line, _, _ in entries)}
    pinned = pins()
    assert {name: str(found[name].specifier) for name in pinned} == {name: f"=={pinned[name]}" for name in pinned}
    for name in found.keys() - pinned.keys() - {"setuptools"}:  # pip freeze leaves setuptools out
        marker = found[name].marker
        assert marker is not None and not marker.evaluate({"sys_platform": "linux", "os_name": "posix"}), name


def test_committed_results_were_made_with_the_constraints() -> None:
    pinned, proofs = pins(), sorted((ROOT / "paper_figures" / "toy").glob("*_provenance.json"))
    for path in proofs:
        made = json.loads(path.read_text(encoding="utf-8"))["computed"]["packages"]
        assert made == {name: pinned.get(name, a2lc.__version__) for name in made}, path.name


@pytest.mark.parametrize(
    ("arguments", "stamp", "expected"),
    [
        (["setup"], None, "--require-hashes"),
        (["setup"], "latest", "--require-hashes"),
        (["setup", "LATEST=1"], "pinned", "--upgrade --upgrade-strategy eager"),
        (["lint"], "latest", "--upgrade --upgrade-strategy eager"),  # what is there stays
        (["lint"], "pinned", "--require-hashes"),
        (["lint"], None, "--require-hashes"),
        (["setup"], "pinned", None),
        (["setup", "LATEST=1"], "latest", None),
    ],
)
def test_make_installs_the_versions_that_are_asked_for(
    arguments: list[str], stamp: str | None, expected: str | None, tmp_path: Path
) -> None:
    for name in ("Makefile", "pyproject.toml", "hashes.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for tool in ("python", "pip", "ruff", "mypy"):  # they say what they were asked to do
        (tmp_path / ".venv" / "bin" / tool).write_text('#!/bin/sh\necho "$(basename $0)" "$@"\n')
        (tmp_path / ".venv" / "bin" / tool).chmod(0o755)
    if stamp is not None:
        (tmp_path / ".venv" / ".installed").write_text(f"{stamp}\n")
        if arguments == ["lint"]:
            os.utime(tmp_path / ".venv" / ".installed", (0, 0))  # pyproject.toml has changed since
    command = ["make", *arguments, f"PYTHON={sys.executable}"]
    environment = {name: value for name, value in os.environ.items() if name not in ("LATEST", "MAKEFLAGS", "VERSIONS")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    installed = [line for line in done.stdout.splitlines() if line.startswith("python -m pip install")]
    if expected is None:
        assert not installed
    else:
        what, again = (
            (["--editable .[dev]"], "opencv-contrib-python-headless")
            if "upgrade" in expected
            else (
                ["--requirement hashes.txt", "--no-deps --editable ."],
                "--require-hashes --requirement .venv/again.txt",
            )
        )
        first, *then = (f"python -m pip install --quiet {words}" for words in what)
        assert installed[:-1] == [first.replace("--quiet", f"--quiet {expected}"), *then]
        assert installed[-1] == f"python -m pip install --quiet --force-reinstall --no-deps {again}"
        if "upgrade" not in expected:
            only = (tmp_path / ".venv" / "again.txt").read_text(encoding="utf-8")
            assert only.startswith("opencv-contrib-python-headless==") and only.count("==") == 1 and "sha256:" in only
        assert (tmp_path / ".venv" / ".installed").read_text().strip() == (
            "latest" if "upgrade" in expected else "pinned"
        )


def test_every_imported_package_is_declared(project: dict) -> None:
    imported: dict[str, str] = {}
    for path in (ROOT / "a2lc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported.update({name.split(".")[0]: path.name for name in names})
    third_party = imported.keys() - sys.stdlib_module_names - {"a2lc"}
    known = declared(project, "grounded-sam", "superpixels", "pretrained", "networks", "cluster", "formats")
    missing = {
        name: imported[name] for name in third_party if canonicalize_name(DISTRIBUTIONS.get(name, name)) not in known
    }
    assert "torch" in third_party
    assert not missing, f"imported but not in pyproject.toml: {missing}"


def test_importing_a2lc_needs_no_grounded_sam() -> None:
    heavy = {"groundingdino", "segment_anything", "transformers"}
    code = f"import a2lc, sys; print({heavy} & sys.modules.keys() or 'none')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == ("none", "")


def test_public_names_exist_and_say_what_they_are() -> None:
    a2lc = importlib.import_module("a2lc")
    assert a2lc.__all__
    public = {name: getattr(a2lc, name) for name in a2lc.__all__}
    silent = [
        name
        for name, value in public.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not inspect.getdoc(value)
    ]
    assert not silent, f"public names without a docstring: {silent}"


def test_one_licence(project: dict) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    lines = (ROOT / "LICENSE").read_text(encoding="utf-8").split("\n")
    assert [line.strip() for line in lines if line.strip()][:2] == [
        "Apache License",
        "Version 2.0, January 2004",
    ]
    assert project["license"] == citation["license"] == "Apache-2.0"


def test_citation_and_changelog_name_this_version(project: dict) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert citation["version"] == project["version"]
    assert [author["family-names"] for author in paper["authors"]] == ["Jeon", "Cho", "Woo", "Kim"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"


def test_no_path_of_one_machine() -> None:
    folders = "|".join(["home", "root", "work", "Users"])
    absolute = re.compile(rf"(?<![\w.~$}}{{)-])/(?:{folders})/".encode())
    found = []
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content:  # text
            found += [f"{path.relative_to(ROOT)}: {match.group().decode()}" for match in absolute.finditer(content)]
    assert not found, found


def test_notebooks_are_small_and_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "notebooks" / "00_quickstart.ipynb") in NOTEBOOKS
    assert [path.name for path in NOTEBOOKS if path.name not in readme] == []
    assert [path.name for path in NOTEBOOKS if path.stat().st_size > 1_500_000] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_on_any_python_kernel(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    tags = [tag for cell in notebook["cells"] for tag in cell["metadata"].get("tags", [])]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert tags.count("parameters") == 1


def test_every_public_name_is_there_and_help_does_not_wait_for_pytorch() -> None:
    assert all(callable(getattr(a2lc, name)) for name in a2lc.__all__) and "run" in a2lc.__all__
    code = "import sys, a2lc.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "a2lc.pseudo_labels.cli" in loaded and not {"torch", "pandas", "numpy"} & set(loaded)


def test_the_public_address_is_the_same_everywhere() -> None:
    """CITATION.cff says where the repository is; the badges and what to type on Colab follow it."""
    address = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["repository-code"]
    place = address.removeprefix("https://github.com/")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quickstart = json.loads((ROOT / "notebooks" / "00_quickstart.ipynb").read_text(encoding="utf-8"))
    assert f"mybinder.org/v2/gh/{place}/HEAD?urlpath=lab/tree/notebooks/00_quickstart.ipynb" in text
    assert f"colab.research.google.com/github/{place}/blob/HEAD/notebooks/00_quickstart.ipynb" in text
    assert f"%pip install git+{address}" in "".join(quickstart["cells"][0]["source"])


def test_the_package_is_found_in_the_folder_that_holds_a_clone(tmp_path: Path) -> None:
    """A folder ``a2lc`` without code, as the clone itself is one, does not hide what is installed."""
    (tmp_path / "a2lc" / "notebooks").mkdir(parents=True)
    command = [sys.executable, "-c", "import a2lc; print(a2lc.Experiment.__name__)"]
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert done.stdout == "Experiment\n", done.stderr
