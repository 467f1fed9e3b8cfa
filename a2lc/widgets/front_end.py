"""Whether a person sits at a front end that can show widgets."""

from __future__ import annotations

import sys


def has_front_end() -> bool:
    """Whether the running cell was sent by somebody who could answer a question.

    JupyterLab, Notebook, VS Code and Colab allow the kernel to ask (``allow_stdin`` of the execute request); nbclient,
    and so papermill and ``nbconvert --execute``, and nbval do not, and a plain script has no kernel at all.
    """
    ipython = sys.modules.get("IPython")  # in a plain script it is not loaded, and need not be
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    if kernel is None:
        return False
    request = kernel.get_parent() or {}
    return bool(request.get("content", {}).get("allow_stdin", True))
