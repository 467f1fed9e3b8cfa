"""What widgets share: a figure where nobody sits at a front end, static files, and a conversation with a page."""

from __future__ import annotations

import base64
import io
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import Any

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import traitlets
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from a2lc.widgets.annotator_state import AnnotatorState
from a2lc.widgets.approver_state import ApproverState

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


def script(*names: str) -> str:
    """A module of ours for the browser, of these files after the functions that all of them share."""
    return "\n".join((_STATIC / file).read_text(encoding="utf-8") for file in ("common.js", *names))


def style(name: str) -> str:
    """A style sheet of ours, after the rules that all widgets share."""
    return "\n".join((_STATIC / file).read_text(encoding="utf-8") for file in ("common.css", name))


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

    def _described(self, fig: Figure) -> str:
        """The text for those who do not see the figure."""
        return fig.get_suptitle()

    def figure(self) -> Figure:
        """The current view as a figure."""
        fig = self._drawn()
        plt.close(fig)  # else a notebook would show it twice
        return fig

    def _ipython_display_(self) -> None:
        """The widget, and after it a picture of the same view, which the style sheet hides while the widget is there: a
        notebook that is opened without a kernel, or a page made of it, shows the picture."""
        if not self._is_live:
            raise NotImplementedError  # IPython then takes what follows
        bundle, about = self._repr_mimebundle_()
        picture, alt = bundle.pop("image/png"), about["image/png"]["alt"]
        display(bundle, raw=True)
        about["needs_background"] = "light"  # a class of the picture, by which the style sheet finds it
        display({"image/png": picture, "text/plain": alt}, metadata=about, raw=True)

    @property
    def _is_live(self) -> bool:
        return has_front_end() if self._live is None else self._live

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        if self._is_live:
            view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        fig = self.figure()
        alt = " ".join(self._described(fig).split())
        return bundle | {"image/png": base64.b64encode(figure_png(fig)).decode()}, {"image/png": {"alt": alt}}


class Page(anywidget.AnyWidget):
    """What a person decides on in the browser; reports what is done, and on which view."""

    key_of = traitlets.Dict().tag(sync=True)  # what is done -> its key: `KEYS` beside the state
    view = traitlets.Dict().tag(sync=True)  # `view` of the state
    status = traitlets.Unicode().tag(sync=True)
    replies = traitlets.Int().tag(sync=True)  # views so far
    heard = traitlets.Dict().tag(sync=True)  # who sends (a page has several views) -> number of its last message heard


_SENDERS = 500  # whose numbers are kept


class Dialogue(WidgetOrFigure):
    """A person decides on a `Page`: every message of it is answered by a new view of `state`.

    A message says who sends it (``client``) and has a number, ``id``, counted from 1: they are heard in this order,
    each once. One that comes before an earlier one, which a lost connection took, is not heard: both are sent again.
    One that comes again gets the view that there is.
    """

    state: AnnotatorState | ApproverState
    _page: Page | None = None

    def __init__(self, live: bool | None = None) -> None:
        super().__init__(live)
        self._wrong: list[tuple[int, str]] = []  # reply, what it said went wrong: until the page has seen it

    @property
    def widget(self) -> Page:
        """The widget, made when it is first asked for."""
        if self._page is None:
            self._page = self._new_page()
            self._page.on_msg(lambda _, message, __: self._on_message(message))
            self.refresh()
        return self._page

    def refresh(self, said: str = "") -> None:
        """Show the state as it is now, with a sentence in the status line."""
        if (page := self._page) is None:
            return
        with page.hold_sync():
            for name, picture in self._new_pictures().items():
                setattr(page, name, picture)
            page.view, page.status = self.state.view(), said  # the notes of a picture come with it
            page.replies += 1

    @abstractmethod
    def _new_page(self) -> Page:
        """The page, with what never changes."""

    def _new_pictures(self) -> dict[str, Any]:
        """Trait of the page -> JPEG, one or several: those that are not as they were."""
        return {}

    @abstractmethod
    def _act(self, message: dict[str, Any]) -> str:
        """Do what a message asks for; in words what was done."""

    def _on_message(self, message: dict[str, Any]) -> None:
        page, client, number = self.widget, message.get("client"), message.get("id")
        if not isinstance(client, str) or type(number) is not int:
            return  # of no page of ours
        if number <= (last := page.heard.get(client, 0)):  # heard before: the reply was lost
            page.send_state([name for name in page.keys if not name.startswith("_")])
        if number != last + 1:
            return  # or ahead of one that is still to come
        seen = message.get("view")
        self._wrong = [(reply, text) for reply, text in self._wrong if type(seen) is int and reply > seen]
        said = []
        try:
            said.append(self._act(message))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            self._wrong.append((page.replies + 1, f"✗ {error}"))
        others = [(name, last) for name, last in page.heard.items() if name != client][-_SENDERS:]
        with page.hold_sync():
            page.heard = {**dict(others), client: number}
            self.refresh(" ".join([*said, *(text for _, text in self._wrong)]))


def wrapped(lines: Iterable[str], width: int) -> str:
    """Lines broken after so many characters at most."""
    return "\n".join(part for line in lines for part in wrap(line, width))


def figure_png(fig: Figure) -> bytes:
    """A figure as PNG for a notebook's output, in 256 colours that cover all there are, those of a legend, too: a third
    of the bytes."""
    buffer, small = io.BytesIO(), io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    Image.open(buffer).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()
