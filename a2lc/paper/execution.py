"""Executing a notebook with checked parameters."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from a2lc.notebook.parameters import item_of, parameters_of, settle

CELL_TIMEOUT = 24 * 3600  # seconds; a stuck kernel must not hold a batch for ever


def run_notebook(notebook: str | os.PathLike[str], output: str | os.PathLike[str], parameters: dict[str, Any]) -> None:
    """Execute a notebook with checked parameters; the executed copy is kept, also when a cell fails.

    Raises:
        FileNotFoundError: no such notebook.
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
