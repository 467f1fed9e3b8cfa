"""Where a notebook runs and with what: its project folder, its first line of code (`begin`), and the notebooks that
came with a2lc."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a2lc.files import atomic, check_writable, only_writer
from a2lc.notebook.parameters import INJECTED, PROFILE, declared, parameters_by_item, settle
from a2lc.notebook.runner import lies_at, papermill_process

PROJECT = "A2LC_PROJECT"  # an environment variable: the project of the kernels that `a2lc regenerate` starts
RUNS = "runs_dir"  # the parameter whose folder finished runs are read from
PACKAGED = Path(__file__).resolve().parents[1] / "notebooks"  # put there by setup.py, when a wheel is built
NOTEBOOKS = PACKAGED if PACKAGED.is_dir() else PACKAGED.parents[1] / "notebooks"


def project_folder(notebook: str | os.PathLike[str] | None = None) -> Path:
    """The project: the folder that holds ``notebooks/``. Relative paths in notebooks' parameters start there.

    It is the folder that the environment variable ``A2LC_PROJECT`` names; else the nearest one above the notebook, or
    at or above the current folder, that holds ``notebooks/params``; else the checkout that a2lc is imported from; else
    the current folder.

    Args:
        notebook: where a runner says that the notebook lies, if it does.
    """
    if named := os.environ.get(PROJECT):
        return Path(named).resolve()
    here, checkout = Path.cwd(), Path(__file__).resolve().parents[2]
    above = [folder for file in (notebook,) if file for folder in Path(file).resolve().parents]
    return next((folder for folder in (*above, here, *here.parents, checkout) if _is_project(folder)), here)


def _is_project(folder: Path) -> bool:
    return (folder / "notebooks" / "params").is_dir()


def notebooks_of(project: Path) -> Path:
    """The notebooks of a project; where it has none, those that came with a2lc."""
    return project / "notebooks" if _is_project(project) else NOTEBOOKS


def copy_notebooks(dest: Path) -> int:
    """Copy the notebooks that came with a2lc to ``<dest>/notebooks``; files that are there already stay.

    Args:
        dest: the project's folder; made where it does not exist.

    Returns:
        How many files were copied.

    Raises:
        FileExistsError: files are there already and have another content; each is named, and nothing is copied.
        BlockingIOError: another process is copying them.
    """
    target, files = dest / "notebooks", [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("params/*.yaml")]
    contents = {path.relative_to(NOTEBOOKS): path.read_bytes() for path in files}
    there = {name: (target / name).read_bytes() for name in contents if (target / name).exists()}
    if changed := sorted(str(target / name) for name, found in there.items() if found != contents[name]):
        raise FileExistsError(f"{', '.join(changed)}: changed since; move them away or name another folder")
    new = contents.keys() - there.keys()
    with only_writer(target, *(target / name for name in contents)):
        for name in sorted(new):
            with atomic(target / name) as temporary:
                temporary.write_bytes(contents[name])
    return len(new)


def begin(item: str, namespace: dict[str, Any]) -> None:
    """What a notebook does first, after its parameters: check and complete them, and work in the project's folder.

    Names that the notebook does not have and values of a wrong type are refused, strings that ``papermill -p`` makes
    are read as what they spell, and `profile` fills in what nobody set. The current folder becomes `project_folder`, so
    that relative paths mean the same whoever runs the notebook. It can be called again.

    Args:
        item: the notebook, as `a2lc.notebook.parameters.item_of` calls it.
        namespace: ``globals()`` of the notebook; the checked values are written to it.

    Raises:
        ValueError: in one line, what is wrong and what to type; also where papermill hides the notebook's folder.
        OSError: results cannot be written where a parameter says.
    """
    source, given = last_parameters(_cells_run())
    notebook = lies_at(namespace)
    project = project_folder(notebook)
    known = parameters_by_item(notebooks_of(project)) if namespace.get(PROFILE) or given else {}
    settled = settle(item, declared(source), namespace, given, known)
    places = [Path(place).is_absolute() for name, place in settled.items() if name.endswith("_dir")]
    if notebook is None and (given or papermill_process()[0]) and not (places and all(places)):
        _check_current_folder(item)
    _check_places(item, project, settled)
    namespace.update(settled)
    os.chdir(project)


def current_parameters(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a notebook's parameters, after `begin`.

    Args:
        namespace: ``globals()`` of the notebook.

    Raises:
        ValueError: no parameters cell was run.
    """
    return {name: namespace[name] for name in declared(last_parameters(_cells_run())[0])}


def _check_current_folder(item: str) -> None:
    """Papermill runs a notebook and does not say where it lies: the current folder has to say whose files are meant."""
    here = Path.cwd()
    if PROJECT not in os.environ and not any(map(_is_project, (here, *here.parents))):
        raise ValueError(
            f"{item}: papermill does not say where the notebook lies, and {here} lies in no project; type the "
            "notebook's whole path, --cwd and the project (the folder that holds notebooks/), or whole paths of *_dir"
        )


def _check_places(item: str, project: Path, parameters: Mapping[str, Any]) -> None:
    """Raise OSError for a folder of results that cannot be written; one that holds runs may be read only."""
    for name, place in parameters.items():
        folder = project / str(place)
        if name.endswith("_dir") and not (name == RUNS and folder.is_dir() and any(folder.iterdir())):
            try:
                check_writable(folder)
            except OSError as error:
                raise OSError(f"{item}: {name}: {error}; name another with -p {name} FOLDER") from error


def last_parameters(cells: Sequence[str]) -> tuple[str, list[str]]:
    """The parameters cell that was run last, and the names that papermill's cell set after it.

    Args:
        cells: sources of cells in the order in which they were run.

    Raises:
        ValueError: no parameters cell was run.
    """
    for i in reversed(range(len(cells))):
        if PROFILE in cells[i] and PROFILE in _assigned(cells[i], ast.AnnAssign):
            after = [cell for cell in cells[i + 1 :] if cell.startswith(INJECTED)]
            return cells[i], _assigned(after[-1], ast.Assign) if after else []
    raise ValueError("run the notebook's first cell of code, which holds its parameters, before this one")


def _assigned(source: str, kind: type[ast.AnnAssign] | type[ast.Assign]) -> list[str]:
    try:
        lines = [line for line in ast.parse(source).body if isinstance(line, kind)]
    except SyntaxError:  # a cell that failed, or a file that is no Python
        return []
    targets = [target for line in lines for target in (line.targets if isinstance(line, ast.Assign) else [line.target])]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _cells_run() -> list[str]:
    """Sources of the cells that this kernel has run, the oldest first."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    history = list(shell.history_manager.input_hist_parsed) if shell else []
    if any(history):
        return history
    # nbval keeps no history; IPython keeps the sources for its tracebacks
    return ["".join(entry[2]) for entry in linecache.cache.values() if len(entry) == 4]
