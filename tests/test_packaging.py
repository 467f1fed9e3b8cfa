"""The files around the code agree with each other and with the code."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import a2lc

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# import name -> distribution, where they differ
DISTRIBUTIONS = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
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
    editable, *lines = pip["pip"]
    python = Requirement(next(line for line in conda if line.startswith("python=")).replace("=", "=="))
    version = next(iter(python.specifier)).version

    assert environment["name"] == project["name"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(version)
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert editable == "-e ."
    assert requirements(lines) == declared(project, *project["optional-dependencies"])


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
    known = declared(project, "grounded-sam", "superpixels", "cluster")
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
    assert "a2lc.cli_masks" in loaded and not {"torch", "pandas", "numpy"} & set(loaded)


def test_the_public_address_is_the_same_everywhere() -> None:
    """CITATION.cff says where the repository is; the badges and what to type on Colab follow it."""
    address = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["repository-code"]
    place = address.removeprefix("https://github.com/")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    quickstart = json.loads((ROOT / "notebooks" / "00_quickstart.ipynb").read_text(encoding="utf-8"))
    assert f"mybinder.org/v2/gh/{place}/HEAD?urlpath=lab/tree/notebooks/00_quickstart.ipynb" in text
    assert f"colab.research.google.com/github/{place}/blob/HEAD/notebooks/00_quickstart.ipynb" in text
    assert f"%pip install git+{address}" in "".join(quickstart["cells"][0]["source"])
