"""Running notebooks with checked parameters: papermill only warns about a misspelt name and turns ``false`` into a
string."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import papermill

from a2lc.errors import nearest

PROJECT = "A2LC_PROJECT"  # an environment variable: the project of the kernels that `a2lc regenerate` starts
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


def parameters_of(notebook: str | os.PathLike[str]) -> dict[str, Any]:
    """Names and default values of a notebook's parameters.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: it has no cell tagged ``parameters``, or a default is no literal.
    """
    if not Path(notebook).is_file():
        raise FileNotFoundError(f"{notebook}: no such notebook")
    found = papermill.inspect_notebook(str(notebook))
    if not found:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters' with literals, found none")
    try:
        return {name: ast.literal_eval(about["default"]) for name, about in found.items()}
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{notebook}: every parameter must be a literal ({error})") from error


def check_parameters(notebook: str | os.PathLike[str], given: dict[str, Any]) -> None:
    """Refuse parameters that a notebook does not have, or that have another type than its defaults.

    A default of None accepts anything; a whole number is accepted where the default is a float.

    Raises:
        ValueError: names every wrong parameter, with the nearest name or the expected type.
    """
    defaults = parameters_of(notebook)
    problems = []
    for name, value in given.items():
        if name not in defaults:
            problems.append(f"{name}: no such parameter{nearest(name, defaults)} (known: {', '.join(defaults)})")
            continue
        wanted, found = type(defaults[name]), type(value)
        if defaults[name] is not None and not (found is wanted or (wanted is float and found is int)):
            problems.append(f"{name}: expected {wanted.__name__} like {defaults[name]!r}, found {value!r}")
    if problems:
        raise ValueError(f"{notebook}: {'; '.join(problems)}")


def run_notebook(notebook: str | os.PathLike[str], output: str | os.PathLike[str], parameters: dict[str, Any]) -> None:
    """Execute a notebook with checked parameters; the executed copy is kept, also when a cell fails.

    The kernel starts in the current folder, so relative paths in parameters mean what they mean on the command line.

    Raises:
        ValueError: a parameter is unknown or of the wrong type; nothing is started.
        papermill.PapermillExecutionError: a cell failed; `output` shows which.
    """
    check_parameters(notebook, parameters)
    _wake_up_output_widgets()
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        str(notebook), str(output), parameters, progress_bar=False, execution_timeout=CELL_TIMEOUT
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
