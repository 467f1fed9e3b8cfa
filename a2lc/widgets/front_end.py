"""What all widgets share: a widget where somebody sits at a front end, a figure elsewhere, and their static files."""

from __future__ import annotations

import base64
import io
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

_STATIC = Path(__file__).parent / "static"


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


def script(name: str) -> str:
    """A module of ours for the browser, after the functions that all of them share."""
    return "\n".join((_STATIC / file).read_text() for file in ("common.js", name))


def style(name: str) -> str:
    """A style sheet of ours, after the rules that all widgets share."""
    return "\n".join((_STATIC / file).read_text() for file in ("common.css", name))


class WidgetOrFigure(ABC):
    """Shown as the last line of a cell: a widget where there is a front end for it; and everywhere a figure of the same
    view, which is what a saved notebook shows on a page that cannot run Python.

    Args:
        live: whether to show the widget; None: where there is a front end.
    """

    def __init__(self, live: bool | None = None) -> None:
        self._live = live

    @property
    @abstractmethod
    def widget(self) -> ipywidgets.DOMWidget:
        """The widget, made when it is first asked for."""

    @abstractmethod
    def _drawn(self) -> Figure:
        """A new figure of the current view."""

    def figure(self) -> Figure:
        """The current view as a figure."""
        fig = self._drawn()
        plt.close(fig)  # else a notebook would show it twice
        return fig

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if has_front_end() if self._live is None else self._live:
            view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        return bundle | {"image/png": base64.b64encode(figure_png(self.figure())).decode()}


def figure_png(fig: Figure) -> bytes:
    """A figure as PNG for a notebook's output, in 256 colours: a third of the bytes."""
    buffer, small = io.BytesIO(), io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    Image.open(buffer).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()
