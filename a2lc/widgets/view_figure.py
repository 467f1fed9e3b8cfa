"""The current view of a `MaskBrowser` as a figure: what is saved, and what is shown where there is no front end."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from a2lc.figures import confidence_text
from a2lc.paper.tables import caption
from a2lc.widgets.browser_view import BrowserView
from a2lc.widgets.front_end import wrapped
from a2lc.widgets.panels import WHO, class_name, number
from a2lc.widgets.pictures import DIFFERENCES, LAYERS

_HATCH = {"wrong": "\\\\\\\\", "mended": "ooo", "spoilt": "xxxx", "changed": "----"}  # as in `pictures`


def view_figure(state: BrowserView) -> Figure:
    """The picture with a title that says what it is made from, a legend, and the history of the selected mask; a pixel
    of the picture is a pixel of the figure at 150 dpi where it is wider than seven inches."""
    view, picture = state.view(), state.picture()
    height, width = picture.shape[:2]
    inches = max(7.0, width / 150)
    title = wrapped([_title(state, view["layers"])], 100)
    below = _below(state)
    lines = title.count("\n") + below.count("\n") + 5
    fig, axis = plt.subplots(figsize=(inches, inches * height / width + 0.15 * lines), layout="constrained")
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_xlabel(below, fontsize=8, loc="left", linespacing=1.4)
    axis.set_title(title, fontsize=9, loc="left")
    patches = [
        Patch(facecolor="white", edgecolor=DIFFERENCES[paint][1], hatch=_HATCH[paint], label=words)
        if isinstance(paint, str)
        else Patch(facecolor=tuple(paint / 255), edgecolor="#5a5a5a", linewidth=0.6, label=words)
        for words, paint in state.legend()
    ]
    if patches:
        fig.legend(handles=patches, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return fig


def _title(state: BrowserView, layers: dict[str, float]) -> str:
    shown = ", ".join(f"{LAYERS[layer].lower()} {100 * share:.0f} %" for layer, share in layers.items())
    after = f"after round {state.round}" if state.round else "before any correction"
    return f"{state.image}, {after} ({shown}). {caption([state.run])}"


def _below(state: BrowserView) -> str:
    lines = [*state.notes, *state.scene().notes]
    if state.filters.active:
        lines.append(f"thin outlines: {state.images.get(state.image, 0)} masks that fit the filters")
    if state.selected is not None:
        lines.append(f"thick outline: mask {state.selected}")
    for event in state.events():
        before = f"{class_name(state.classes, event.before)} → " if event.before is not None else ""
        more = f", score {number(event.score)}" if event.rank else ""
        more += f", confidence {confidence_text(event.confidence)}" if event.confidence == event.confidence else ""
        who = WHO.get(event.source, event.source)
        lines.append(f"round {event.round}: {who}: {before}{class_name(state.classes, event.after)}{more}")
    return wrapped(lines, 120)
