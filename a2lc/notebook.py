"""Where a notebook runs and with what: its project folder, its first line of code (`begin`), and executing it."""

from __future__ import annotations

import ast
import json
import linecache
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2lc.notebook_files import notebooks_of
from a2lc.parameters import INJECTED, PROFILE, declared, item_of, parameters_by_item, parameters_of, settle

PROJECT = "A2LC_PROJECT"  # an environment variable: the project of the kernels that `a2lc regenerate` starts
SAID_BY_RUNNERS = ("__vsc_ipynb_file__", "PAPERMILL_INPUT_PATH")  # of VS Code, `papermill --inject-input-path`
CELL_TIMEOUT = 24 * 3600  # seconds; a stuck kernel must not hold a batch for ever


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
    here, checkout = Path.cwd(), Path(__file__).resolve().parents[1]
    above = [folder for file in (notebook,) if file for folder in Path(file).resolve().parents]
    for folder in (*above, here, *here.parents, checkout):
        if (folder / "notebooks" / "params").is_dir():
            return folder
    return here


def begin(item: str, namespace: dict[str, Any]) -> None:
    """What a notebook does first, after its parameters: check and complete them, and work in the project's folder.

    Names that the notebook does not have and values of a wrong type are refused, strings that ``papermill -p`` makes
    are read as what they spell, and `profile` fills in what nobody set. The current folder becomes `project_folder`, so
    that relative paths mean the same whoever runs the notebook. It can be called again.

    Args:
        item: the notebook, as `a2lc.parameters.item_of` calls it.
        namespace: ``globals()`` of the notebook; the checked values are written to it.

    Raises:
        ValueError: in one line, what is wrong and what to type.
    """
    source, given = last_parameters(_cells_run())
    project = project_folder(next((namespace[name] for name in SAID_BY_RUNNERS if namespace.get(name)), None))
    known = parameters_by_item(notebooks_of(project)) if namespace.get(PROFILE) or given else {}
    namespace.update(settle(item, declared(source), namespace, given, known))
    os.chdir(project)


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


def run_notebook(notebook: str | os.PathLike[str], output: str | os.PathLike[str], parameters: dict[str, Any]) -> None:
    """Execute a notebook with checked parameters; the executed copy is kept, also when a cell fails.

    Raises:
        ValueError: a parameter is unknown or of the wrong type, or there is no such kernel; nothing is started.
        papermill.PapermillExecutionError: a cell failed; `output` shows which.
    """
    import papermill

    settle(item_of(Path(notebook)), parameters_of(notebook), parameters, parameters, {})
    check_kernel(notebook)
    _wake_up_output_widgets()
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        str(notebook), str(output), parameters, progress_bar=False, execution_timeout=CELL_TIMEOUT
    )


def check_kernel(notebook: str | os.PathLike[str]) -> None:
    """Whether the kernel that a notebook names is installed.

    Raises:
        ValueError: it is not; says which there are, and what to type.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    about = json.loads(Path(notebook).read_text(encoding="utf-8")).get("metadata", {})
    name, known = about.get("kernelspec", {}).get("name", "python3"), sorted(KernelSpecManager().find_kernel_specs())
    if name not in known:
        install = f"{sys.executable} -m ipykernel install --user --name {name}"
        raise ValueError(
            f"{notebook}: no kernel {name!r} here (there are: {', '.join(known) or 'none'}); type: {install}"
        )


def _wake_up_output_widgets() -> None:
    """Work around https://github.com/jupyter/nbclient/issues/312: printing into an Output widget can leave the client
    waiting for ever.

    nbclient sends on the shell socket behind asyncio's back; rescheduling the socket's events wakes the reader.
    """
    from nbclient.output_widget import OutputWidget

    publish = OutputWidget._publish_msg
    if getattr(publish, "wakes", False):
        return

    def publish_and_wake(self: OutputWidget, *args: Any, **kwargs: Any) -> None:
        publish(self, *args, **kwargs)
        wake = getattr(self.kernel_client.shell_channel.socket, "_schedule_remaining_events", None)
        if wake:
            wake()

    publish_and_wake.wakes = True  # type: ignore[attr-defined]
    OutputWidget._publish_msg = publish_and_wake  # type: ignore[method-assign]
