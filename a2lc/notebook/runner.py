"""Where the notebook lies that this kernel runs, as far as its runner says.

VS Code and ``papermill --inject-input-path`` set a name. Of papermill alone the command line is read, which is that of
the process that started this kernel; other runners start kernels in the notebook's folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SAID_BY_RUNNERS = ("__vsc_ipynb_file__", "PAPERMILL_INPUT_PATH")  # of VS Code, `papermill --inject-input-path`
PAIRS = ("-p", "--parameters", "-r", "--parameters_raw")  # options of papermill that a name and a value follow


def lies_at(namespace: Mapping[str, Any]) -> Path | None:
    """The file of the notebook that this kernel runs, None where nobody says it.

    Args:
        namespace: ``globals()`` of the notebook.
    """
    said = [Path(namespace[name]).resolve() for name in SAID_BY_RUNNERS if namespace.get(name)]
    return next((path for path in said if path.is_file()), None) or typed_path(*papermill_process())


def papermill_process() -> tuple[Sequence[str], Path | None]:
    """What was typed after ``papermill`` and the current folder of that process, where it started this kernel; else
    nothing."""
    import psutil

    try:
        for process in psutil.Process().parents()[:2]:  # on Windows python.exe of an environment starts another one
            words = process.cmdline()
            names = [Path(word).stem.lower() for word in words[:6]]  # python -m papermill, python .../bin/papermill
            if "papermill" in names:
                return words[names.index("papermill") + 1 :], Path(process.cwd())
    except psutil.Error:  # of another user, or ended
        pass
    return (), None


def typed_path(arguments: Sequence[str], current: Path | None) -> Path | None:
    """The notebook among papermill's arguments, None where there is none or it cannot be found any more.

    Args:
        arguments: what was typed after ``papermill``.
        current: the current folder of that process, which is ``--cwd`` while a notebook runs.
    """
    words = [word for i, word in enumerate(arguments) if not {*arguments[max(0, i - 2) : i]} & {*PAIRS}]
    typed = next((word for word in words if word.endswith(".ipynb")), None)
    if typed is None or current is None or "-" in words:  # read from a pipe
        return None
    moved = [word.removeprefix("--cwd=") for word in arguments if word.startswith("--cwd=")]
    moved += [arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word == "--cwd"]
    start = Path(os.environ.get("PWD", current)) if moved else current  # the shell's folder
    if not Path(typed).is_absolute() and moved and (start / moved[-1]).resolve() != current.resolve():
        return None  # the variable is not of the shell in which this was typed
    path = (start / typed).resolve()
    return path if path.is_file() else None
