"""`SentenceBrowser`: looking at the sentences of a run on referring expressions, layer by layer, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from a2lc.widgets.controls import ANY, Layers, Picture, box, dropdown, layer_rows
from a2lc.widgets.front_end import WidgetOrFigure, wrapped
from a2lc.widgets.panels import message_html
from a2lc.widgets.pictures import encode
from a2lc.widgets.sentence_state import DECISIONS, SENTENCE_LAYERS, SentenceState, legend, nothing

if TYPE_CHECKING:
    from a2lc.referring import ReferringDataset, ReferringRun

SENTENCE_KEYS = {"image": "i", "prior": "f", "network": "l", "fused": "b", "accepted": "d", "truth": "g"}
"""The key that switches a layer on and off."""
_LAYER_OF = {key: layer for layer, key in SENTENCE_KEYS.items()}
_TOLD = (("← →", "sentence"), ("0 … 9", "round"), ("Z", "or wheel: zoom, drag: pan"))


class SentenceBrowser(WidgetOrFigure):
    """Browse the sentences of a run: what the frozen model says, the network of a round, both fused, which cells were
    accepted, and the truth, as layers over the image.

    As the last line of a notebook cell it is a widget; where nobody sits at a front end a figure of the current view.

    Args:
        run: as far as it has come; at least its first training.
        data: what it was played with.
        device: where the network computes.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        state: a `SentenceState`: everything that is shown, which can also be changed from code, followed by `refresh`.

    Raises:
        ValueError: the run has trained no network yet.
    """

    def __init__(
        self,
        run: ReferringRun,
        data: ReferringDataset,
        *,
        device: str = "auto",
        live: bool | None = None,
    ) -> None:
        self.state = SentenceState(run, data, device=device)
        super().__init__(live)
        self._box: ipywidgets.Box | None = None
        self._busy = False  # while controls follow the state, what they report is not news

    def __repr__(self) -> str:
        return f"SentenceBrowser({self.state.run.path.name}: {len(self.state.sentences)} sentences)"

    @property
    def widget(self) -> ipywidgets.Box:
        """The widget, made when it is first asked for."""
        if self._box is None:
            self._make()
        assert self._box is not None
        return self._box

    def refresh(self, said: str = "") -> None:
        """Show the state as it is now, with a sentence in the status line."""
        if self._box is None:
            return
        state, table = self.state, self.state.sentences
        self._busy = True
        options = [(f"{row.image}: {row.sentence}", row.sentence_id) for row in table.itertuples()]
        if tuple(options) != tuple(self._list.options):
            self._list.options = options
        self._list.value, self._list.description = state.number, f"{len(table):,} sentences"
        self._split.value, self._decision.value = state.split, state.decision or ANY
        self._decision.disabled = state.split != "train"
        self._layers.layers, self._legend.value = _rows(state), _legend_html(state.shown)
        self._busy = False
        try:
            picture, about = state.picture(), state.described()
        except (OSError, ValueError, KeyError) as error:  # an image, a prior or a network that is gone
            picture, about = nothing(), f"✗ {error}"
        with self._picture.hold_sync():
            self._picture.picture, self._picture.round = encode(picture), state.round
            self._picture.alt, self._picture.status = about, said or about
            self._picture.answered += 1

    def _make(self) -> None:
        state = self.state
        told = [[key, words] for key, words in _TOLD]
        self._picture, self._layers = Picture(rounds=state.rounds[-1], told=told), Layers(layers=_rows(state))
        self._list = ipywidgets.Select(rows=14)
        self._list.add_class("a2lc-images")
        self._split = dropdown("Split", [(name, name) for name in state.data.splits], None)
        self._decision = dropdown("Decision", [(name, name) for name in DECISIONS])
        self._picture.on_msg(lambda _, message, __: self._on_message(message))
        self._layers.observe(lambda change: self._do(lambda: self._on_layers(change["new"])), "layers")
        self._list.observe(lambda change: self._do(lambda: self._go_to(change["new"])), "value")
        self._split.observe(lambda change: self._do(lambda: state.find(change["new"])), "value")
        self._decision.observe(lambda change: self._do(lambda: self._on_decision(change["new"])), "value")
        heads = {name: ipywidgets.HTML(f"<h3>{name}</h3>") for name in ("Find sentences", "Layers", "Legend")}
        top = box("row", heads["Find sentences"], self._split, self._decision)
        self._legend = ipywidgets.HTML()
        groups = (self._list,), (heads["Layers"], self._layers), (heads["Legend"], self._legend)
        side = box("side", *(box("group", *group) for group in groups))
        self._box = box("browser", top, box("columns", box("main", self._picture), side))
        self._box.add_class("a2lc-widget")
        self.refresh()

    # ---------------------------------------------------------------------------------------------- events
    def _do(self, act: Callable[[], str | None]) -> None:
        """Do what a control asks for and show it; what goes wrong is said in the status line."""
        if self._busy:
            return
        try:
            said = act() or ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f"✗ {error}"
        self.refresh(said)

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "round":
            self._do(lambda: self.state.show_round(int(message["round"])))
        elif kind == "key":
            self._do(lambda: self._on_key(str(message["key"])))

    def _on_key(self, key: str) -> str | None:
        state = self.state
        if key in _LAYER_OF:
            state.show_layer(_LAYER_OF[key])
        elif key.isdigit() or key in "+-":
            state.show_round(int(key) if key.isdigit() else state.round + (1 if key == "+" else -1))
        elif key in ("ArrowRight", "ArrowDown", "n", "ArrowLeft", "ArrowUp", "p"):
            steps = 1 if key in ("ArrowRight", "ArrowDown", "n") else -1
            if not state.step(steps):
                return f"This is the {'last' if steps > 0 else 'first'} sentence of the list"
        return None

    def _go_to(self, number: int | None) -> None:
        if number is not None:
            self.state.go_to(number)

    def _on_decision(self, value: str) -> str | None:
        self.state.find(decision=None if value == ANY else value)
        return None if len(self.state.sentences) else "No sentence fits"

    def _on_layers(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            self.state.show_layer(row["name"], bool(row["shown"]), row["opacity"] / 100)

    # ---------------------------------------------------------------------------------------------- figure
    def _drawn(self) -> Figure:
        picture = self.state.picture()
        height = 7 * picture.shape[0] / picture.shape[1] + 1
        fig, axis = plt.subplots(figsize=(7, height), layout="constrained")
        axis.imshow(picture, interpolation="nearest")
        axis.set(xticks=[], yticks=[])
        title = wrapped([self.state.described(), self._origin()], 90)
        axis.set_title(title, fontsize=9, loc="left", parse_math=False)
        keys = [Patch(facecolor=colour, label=words) for words, colour in legend(self.state.shown)]
        if "truth" in self.state.shown:
            keys.append(Patch(facecolor="white", edgecolor="black", label="outline: ground truth"))
        fig.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
        return fig

    def _described(self, fig: Figure) -> str:
        return self.state.described()

    def _origin(self) -> str:
        model = self.state.run.frozen_model
        if model is None:
            return "No frozen model is asked."
        return f"The frozen model is {model}." if model == "simulated" else f"Frozen model: {model}."


def _rows(state: SentenceState) -> list[dict[str, Any]]:
    return layer_rows(SENTENCE_LAYERS, SENTENCE_KEYS, state.opacity, state.shown)


def _legend_html(shown: Collection[str]) -> str:
    swatch = '<span style="display:inline-block;width:14px;height:11px;background:{}"></span>'
    items = "".join(f"<li>{swatch.format(colour)}<span>{words}</span></li>" for words, colour in legend(shown))
    return f'<ul class="a2lc-legend">{items}</ul>' + message_html("White outline: the ground truth.")
