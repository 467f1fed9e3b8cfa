"""The controls of a `MaskBrowser`: ipywidgets, and two small widgets of our own for picture and layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import anywidget
import ipywidgets
import traitlets

from a2lc.widgets.browser_state import BrowserState
from a2lc.widgets.front_end import script, style
from a2lc.widgets.history import SET_BY, VERDICTS
from a2lc.widgets.naming import keys_told
from a2lc.widgets.pictures import LAYERS

LAYER_KEYS = {"image": "i", "first": "f", "now": "l", "truth": "g", "difference": "d", "borders": "b"}
"""The key that switches a layer on and off."""

MASK_KEYS = [
    ["← →", "image"],
    ["↓ ↑", "mask"],
    ["0 … 9", "round"],
    ["W", "why"],
    ["C", "say what it is"],
    ["U", "take that back"],
    ["Z", "or wheel: zoom, drag: pan"],
    ["Esc", "no mask"],
]
"""Keys of a MaskBrowser on its picture, and what they do."""

ANY = "any"
"""The value of a filter that asks for nothing: to a Dropdown, None is no choice at all."""

_VERDICTS = {"wrong": "wrong", "mended": "mended (was wrong)", "spoilt": "spoilt (was right)"}


class Picture(anywidget.AnyWidget):
    """The picture and the round slider; reports clicks, keys and rounds as messages."""

    _esm = script("picture.js")
    _css = style("browser.css")
    picture = traitlets.Bytes().tag(sync=True)  # JPEG
    hover = traitlets.Bytes().tag(sync=True)  # `pictures.hover_map`: what lies under the pointer
    lines = traitlets.List(traitlets.Unicode()).tag(sync=True)
    focus_at = traitlets.List(traitlets.Float()).tag(sync=True)  # (x, y) of the selected mask, in [0, 1]
    alt = traitlets.Unicode().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    round = traitlets.Int().tag(sync=True)
    rounds = traitlets.Int().tag(sync=True)
    told = traitlets.List(default_value=MASK_KEYS).tag(sync=True)  # keys, and what they do
    naming = traitlets.Unicode().tag(sync=True)  # the keys of what the selected mask may be; empty: nothing can be said
    answered = traitlets.Int().tag(sync=True)  # views so far


class Layers(anywidget.AnyWidget):
    """A row per layer: name, title, key, shown, opacity in percent."""

    _esm = script("layers.js")
    layers = traitlets.List(traitlets.Dict()).tag(sync=True)


class Controls:
    """Makes the controls, and shows a state in them.

    Attributes:
        box: all of them, laid out.
        filters: field of `Filters` -> its Dropdown.
        name: what the selected mask is.
    """

    def __init__(self, state: BrowserState) -> None:
        self.picture, self.layers = Picture(rounds=len(state.rounds) - 1), Layers(layers=_rows(state))
        self.images = ipywidgets.Select(description="Images", rows=8)
        self.filters = {name: dropdown(*choice) for name, choice in _choices(state).items()}
        self.everything = _button("Clear filters", "Show all images again")
        self.previous = _button("← Previous", "Previous image (key: left arrow or P)")
        self.next = _button("Next →", "Next image (key: right arrow or N)")
        self.name = dropdown("This mask is", _labels(state), "…")
        self.why = _button("Why this mask?", "Take its score apart (key: W)")
        self.undo = _button("Undo this correction", "Put back the label that the LCM has changed, for good")
        self.save = _button("Save this view", "As PNG, PDF and JSON")
        self.legend, self.notes, self.history, self.reasons = (ipywidgets.HTML() for _ in range(4))
        self.box = self._laid_out()

    def show(self, state: BrowserState, *, legend: str, history: str, notes: str) -> None:
        """Take over what the state says; pictures are sent apart."""
        options = [(f"{name}  ({n} {'mask' if n == 1 else 'masks'})", name) for name, n in state.images.items()]
        if tuple(options) != tuple(self.images.options):
            self.images.options = options
        self.images.value = state.image if state.image in state.images else None
        count, total = len(state.images), len(state.masks.names)
        self.images.description = f"{count:,} of {total:,} images" if state.filters.active else f"{total:,} images"
        for name, control in self.filters.items():
            value = getattr(state.filters, name)
            control.value = ANY if value is None else value
        self.layers.layers = _rows(state)
        self.everything.disabled = not state.filters.active
        self.why.disabled = state.selected is None
        can_name = state.naming.possible and state.selected is not None
        self.name.value, self.name.disabled = ANY, not can_name
        self.picture.naming = keys_told(state.classes.names) if can_name else ""
        self.undo.disabled = not state.can_undo
        self.legend.value, self.history.value, self.notes.value = legend, history, notes

    def _laid_out(self) -> ipywidgets.VBox:
        self.images.add_class("a2lc-images")
        find, layers, legend = (ipywidgets.HTML(f"<h3>{name}</h3>") for name in ("Find masks", "Layers", "Legend"))
        top = box("row", find, *self.filters.values(), self.everything)
        steps, reasons = (
            box("row", self.previous, self.next),
            box("reasons", box("row", self.name), box("row", self.why, self.undo), self.reasons),
        )
        main = box("main", self.picture, self.notes, box("below", self.history, reasons))
        groups = (self.images, steps), (layers, self.layers), (legend, self.legend, self.save)
        whole = box("browser", top, box("columns", main, box("side", *(box("group", *group) for group in groups))))
        whole.add_class("a2lc-widget")
        return whole


def box(name: str, *children: Any) -> ipywidgets.Box:
    """A row or a column with the style ``a2lc-<name>``."""
    box = (ipywidgets.HBox if name in ("row", "columns", "below") else ipywidgets.VBox)(children)
    box.add_class(f"a2lc-{name}")
    return box


def _button(text: str, hint: str) -> ipywidgets.Button:
    return ipywidgets.Button(description=text, tooltip=hint)


def dropdown(description: str, options: list[tuple[str, Any]], none: str | None = ANY) -> ipywidgets.Dropdown:
    """A choice among words and their values; before them `none` for `ANY`, where it has a name."""
    first = [] if none is None else [(none, ANY)]
    return ipywidgets.Dropdown(
        description=description, options=[*first, *options], style={"description_width": "initial"}
    )


def _labels(state: BrowserState) -> list[tuple[str, Any]]:
    return [*((name, c) for c, name in enumerate(state.classes.names)), ("void", state.classes.ignore_index)]


def _choices(state: BrowserState) -> dict[str, tuple[str, list[tuple[str, Any]]]]:
    names = _labels(state)
    choices: dict[str, tuple[str, list[tuple[str, Any]]]] = {
        "before": ("First label", names),
        "after": ("Label now", names),
        "set_by": ("Set by", [(who, who) for who in SET_BY]),
        "changed_in": ("Set in round", [(str(number), number) for number in state.rounds[1:]]),
    }
    if state.truth.available:
        choices["verdict"] = ("Against truth", [(_VERDICTS[name], name) for name in VERDICTS])
    return choices


def layer_rows(
    titles: Mapping[str, str], keys: Mapping[str, str], opacity: Mapping[str, float], shown: Collection[str]
) -> list[dict[str, Any]]:
    """What `Layers` shows: a row per layer of `opacity`, with its title, its key, and whether it is shown."""
    return [
        {
            "name": layer,
            "title": titles[layer],
            "key": keys[layer].upper(),
            "shown": layer in shown,
            "opacity": round(100 * share),
        }
        for layer, share in opacity.items()
    ]


def _rows(state: BrowserState) -> list[dict[str, Any]]:
    return layer_rows(LAYERS, LAYER_KEYS, state.opacity, state.shown)
