"""`Approver`: a person looks at what would be corrected, and decides, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import traitlets
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from a2lc.datasets import Dataset
from a2lc.human.approval import APPROVED, REJECTED, UNDECIDED
from a2lc.paper.tables import caption
from a2lc.runs import Run
from a2lc.widgets.approver_state import KEYS, TILES, ApproverState
from a2lc.widgets.front_end import Dialogue, Page, script, style, wrapped
from a2lc.widgets.pictures import encode


class Proposals(Page):
    """The corrections on the page."""

    _esm = script("approver.js")
    _css = style("approver.css")
    colours = traitlets.Dict().tag(sync=True)  # class name -> "#rrggbb"
    context = traitlets.Bytes().tag(sync=True)  # JPEG, the selected one in its image
    tiles = traitlets.List(traitlets.Bytes()).tag(sync=True)  # JPEG, those of the gallery's page


class Approver(Dialogue):
    """Look at the corrections that are proposed, and approve or reject them: all, by classes, or one by one.

    As the last line of a notebook cell it is a widget: how many are expected to be right, which classes become which,
    and a gallery, the least confident first. Each decision is in ``approvals.jsonl`` before the next view appears.
    Nothing is corrected until `a2lc.human.next_round` goes on. Where nobody sits at a front end it is a figure of the
    first page.

    Args:
        run: a run that waits for approval.
        dataset: where images are read; None: the run's own dataset.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        state: an `ApproverState`.

    Raises:
        ValueError: the run does not wait for approval.
    """

    state: ApproverState

    def __init__(self, run: Run, dataset: Dataset | None = None, *, live: bool | None = None) -> None:
        super().__init__(live)
        self.state = ApproverState(run, dataset)
        self._sent: tuple[Any, ...] = ()  # group and page whose tiles are on the page

    def __repr__(self) -> str:
        counts = self.state.view()["counts"]
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"Approver(round {self.state.approval.round}: {words})"

    # ---------------------------------------------------------------------------------------------- inside
    def _new_page(self) -> Proposals:
        classes = self.state.approval.classes
        colours = dict(zip(classes.names, map(to_hex, classes.palette / 255), strict=True))
        return Proposals(colours=colours, key_of=KEYS)

    def _new_pictures(self) -> dict[str, Any]:
        state = self.state
        new: dict[str, Any] = {"context": encode(state.context())}
        if (page := (state.group, state.page.start)) != self._sent:
            self._sent, new["tiles"] = page, [encode(tile) for tile in state.tiles()]
        return new

    def _act(self, message: dict[str, Any]) -> str:
        state = self.state
        acts: dict[str, Callable[[], str]] = {"enough": state.enough, "undo": state.undo}
        for word, decision in (("approve", APPROVED), ("reject", REJECTED), ("leave", UNDECIDED)):
            acts[word] = partial(state.decide, decision)
            acts[f"{word}_group"] = partial(state.decide_group, decision)
        for word, steps in (("back", -1), ("on", 1), ("page_back", -TILES), ("page_on", TILES)):
            acts[word] = partial(state.select, state.at + steps)
        acts["group"] = lambda: state.show_group(*(message.get("group") or ()))
        acts["select_to"] = lambda: state.select_to(int(message["at"]))
        acts["select"] = lambda: state.select(int(message["at"]))
        return acts[str(message.get("do"))]()

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
            f"Round {view['round']}, proposed corrections: {counts}. The least confident are shown.",
            *(view["expected"], *view["notes"], caption([self.state.run])),
        ]
        fig.suptitle(wrapped(lines, 110), fontsize=8)
        return fig
