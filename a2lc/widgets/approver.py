"""`Approver`: a person looks at what the LCM would correct, and decides, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from textwrap import wrap
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import traitlets
from matplotlib.figure import Figure

from a2lc.approval import APPROVED, REJECTED, UNDECIDED
from a2lc.datasets import Dataset
from a2lc.runs import Run
from a2lc.tables import caption
from a2lc.widgets.approver_state import KEYS, TILES, ApproverState
from a2lc.widgets.front_end import WidgetOrFigure, script, style
from a2lc.widgets.pictures import encode


class Proposals(anywidget.AnyWidget):
    """The corrections on the page; reports what was decided, and on which view."""

    _esm = script("approver.js")
    _css = style("approver.css")
    colours = traitlets.Dict().tag(sync=True)  # class name -> "#rrggbb"
    key_of = traitlets.Dict().tag(sync=True)  # what is done -> its key: `approver_state.KEYS`
    view = traitlets.Dict().tag(sync=True)  # `ApproverState.view`
    tiles = traitlets.List(traitlets.Bytes()).tag(sync=True)  # JPEG, those of the page
    context = traitlets.Bytes().tag(sync=True)  # JPEG, the selected one in its image
    status = traitlets.Unicode().tag(sync=True)
    replies = traitlets.Int().tag(sync=True)  # views so far; a message about an older one is not heard


class Approver(WidgetOrFigure):
    """Look at the corrections that the LCM proposes, and approve or reject them: all, by classes, or one by one.

    As the last line of a notebook cell it is a widget: how many are expected to be right, which classes become which,
    and a gallery, the least confident first. Each decision is in ``approvals.jsonl`` before the next view appears.
    Nothing is corrected until `Run.next_round` goes on. Where nobody sits at a front end it is a figure of the first
    page.

    Args:
        run: a run that waits for approval.
        dataset: where images are read; None: the run's own dataset.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        state: an `ApproverState`.

    Raises:
        ValueError: the run does not wait for approval.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, live: bool | None = None) -> None:
        super().__init__(live)
        self.state = ApproverState(run, dataset)
        self._proposals: Proposals | None = None
        self._sent: tuple[Any, ...] = ()  # group and page whose tiles are on the page

    def __repr__(self) -> str:
        counts = self.state.view()["counts"]
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"Approver(round {self.state.approval.round}: {words})"

    @property
    def widget(self) -> Proposals:
        """The widget, made when it is first asked for."""
        if self._proposals is None:
            classes = self.state.approval.classes
            colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in classes.palette)
            self._proposals = Proposals(colours=dict(zip(classes.names, colours, strict=False)), key_of=KEYS)
            self._proposals.on_msg(lambda _, message, __: self._on_message(message))
            self.refresh()
        return self._proposals

    def refresh(self, said: str = "") -> None:
        """Show the state as it is now, with a sentence in the status line."""
        if (proposals := self._proposals) is None:
            return
        state, page = self.state, (self.state.group, self.state.page.start)
        with proposals.hold_sync():
            if page != self._sent:
                proposals.tiles, self._sent = [encode(tile) for tile in state.tiles()], page
            proposals.context = encode(state.context())
            proposals.view, proposals.status = state.view(), said  # the notes of a picture come with it
            proposals.replies += 1

    # ---------------------------------------------------------------------------------------------- inside
    def _on_message(self, message: dict[str, Any]) -> None:
        if message.get("view") != self.widget.replies:
            return  # about a view that is no longer shown
        state = self.state
        acts: dict[str, Callable[[], str]] = {"enough": state.enough}
        for word, decision in (("approve", APPROVED), ("reject", REJECTED), ("leave", UNDECIDED)):
            acts |= {
                word: partial(state.decide, decision),
                f"{word}_group": partial(state.decide, decision, group=True),
            }
        for word, steps in (("back", -1), ("on", 1), ("page_back", -TILES), ("page_on", TILES)):
            acts[word] = partial(state.select, state.at + steps)
        acts["group"] = lambda: state.show_group(*(message.get("group") or ()))
        acts["select"] = lambda: state.select(int(message["at"]))
        try:
            words = acts[str(message.get("do"))]()
        except (OSError, ValueError, KeyError) as error:
            words = f"✗ {error}"
        self.refresh(words)

    def _drawn(self) -> Figure:
        view, tiles = self.state.view(), self.state.tiles()
        columns = min(6, max(4, len(tiles)))
        rows = -(-len(tiles) // columns)
        fig, axes = plt.subplots(rows, columns, figsize=(7, 1 + 1.55 * rows), squeeze=False, layout="constrained")
        for axis in axes.flat:
            axis.axis("off")
        for axis, tile, picture in zip(axes.flat, view["tiles"], tiles, strict=False):
            axis.imshow(picture)
            about = f"confidence {tile['confidence']}\n{tile['decision'] or 'undecided'}"
            axis.set_title("\n".join([*wrap(f"{tile['old']} → {tile['new']}", 110 // columns), about]), fontsize=6.5)
        counts = ", ".join(f"{count} {name}" for name, count in view["counts"].items())
        lines = [
            f"Round {view['round']}, corrections that the LCM proposes: {counts}. The least confident are shown.",
            *(view["expected"], *view["notes"], caption([self.state.run])),
        ]
        fig.suptitle("\n".join(part for line in lines for part in wrap(line, 110)), fontsize=8)
        return fig
