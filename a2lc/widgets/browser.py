"""`MaskBrowser`: looking at the masks of a run, round by round, in JupyterLab."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from a2lc.datasets import Dataset
from a2lc.figures import save_figure
from a2lc.masks import VOID
from a2lc.runs import Run
from a2lc.widgets.browser_view import BrowserView
from a2lc.widgets.controls import ANY, LAYER_KEYS, Controls
from a2lc.widgets.front_end import WidgetOrFigure
from a2lc.widgets.naming import meant
from a2lc.widgets.panels import history_html, legend_html, message_html, why_html
from a2lc.widgets.pictures import encode
from a2lc.widgets.view_figure import view_figure

_LAYER_OF = {key: layer for layer, key in LAYER_KEYS.items()}


class MaskBrowser(WidgetOrFigure):
    """Browse the masks of a run: images that fit filters, layers, rounds, and the history of a mask.

    As the last line of a notebook cell it is a widget; where nobody sits at a front end (papermill, nbval, nbconvert)
    a figure of the current view is shown instead, which is also what a saved notebook shows on GitHub.

    Args:
        run: a run, finished or not; the rounds that are there are shown.
        dataset: where images and ground truth are read; None: the run's own dataset.
        device: of the models that explain scores, as in `a2lc.run`.
        figures_dir: where "Save this view" writes.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        state: a `BrowserView`: everything that is shown, which can also be changed from code, followed by `refresh`.

    Raises:
        ValueError: not even round 0 of the run is there.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset | None = None,
        *,
        device: str = "auto",
        figures_dir: str | os.PathLike[str] = "figures",
        live: bool | None = None,
    ) -> None:
        self.state = BrowserView(run, dataset, device=device)
        super().__init__(live)
        self.figures_dir = figures_dir
        self._controls: Controls | None = None
        self._busy = False  # while controls follow the state, what they report is not news

    def __repr__(self) -> str:
        rounds, images = self.state.rounds[-1], len(self.state.masks.names)
        return f"MaskBrowser({self.state.run.path.name}: {images} images, rounds 0 to {rounds})"

    @property
    def widget(self) -> ipywidgets.Box:
        """The widget, made when it is first asked for."""
        return self._made().box

    def _drawn(self) -> Figure:
        return view_figure(self.state)

    def _described(self, fig: Figure) -> str:
        return _described(self.state.view())

    def save(self, name: str | None = None) -> str:
        """Write `figure` as PNG and PDF, and what it shows as JSON.

        Args:
            name: file name without suffix; None: image and round.

        Returns:
            The path without suffix.
        """
        name = name or f"{self.state.image}_round{self.state.round}".replace("/", "_")
        save_figure(self.figure(), name, self.figures_dir, self.state.view())
        return os.path.join(self.figures_dir, name)

    def refresh(self, said: str = "") -> None:
        """Show the state as it is now, with a sentence in the status line."""
        if self._controls is None:
            return
        state, view, controls = self.state, self.state.view(), self._controls
        notes = "".join(message_html(note, "a2lc-note") for note in view["notes"])
        history = history_html(view["mask"], state.events(), state.classes, state.round)
        with self._following():
            controls.show(state, legend=legend_html(state.legend()), history=history, notes=notes)
        hover, lines = state.hover()
        with controls.picture.hold_sync():
            controls.picture.picture, controls.picture.hover = encode(state.picture()), hover
            controls.picture.lines, controls.picture.focus_at = lines, self._focus()
            controls.picture.round, controls.picture.alt = state.round, _described(view)
            controls.picture.status = said or _described(view)
            controls.picture.answered += 1

    # ---------------------------------------------------------------------------------------------- events
    def _made(self) -> Controls:
        if self._controls is None:
            controls = self._controls = Controls(self.state)
            controls.picture.on_msg(lambda _, message, __: self._on_message(message))
            controls.layers.observe(lambda change: self._on_layers(change["new"]), "layers")
            controls.name.observe(lambda change: self._on_name(change["new"]), "value")
            controls.images.observe(lambda change: self._do(lambda: self._go_to(change["new"])), "value")
            for name, control in controls.filters.items():
                control.observe(lambda change, name=name: self._on_filter(name, change["new"]), "value")
            buttons = {
                controls.everything: self._on_show_all,
                controls.previous: lambda: self._step(-1),
                controls.next: lambda: self._step(1),
                controls.why: self._on_why,
                controls.undo: self.state.undo_correction,
                controls.save: lambda: f"Saved {self.save()}: .png, .pdf and .json",
            }
            for button, act in buttons.items():
                button.on_click(lambda _, act=act: self._do(act))
            self.refresh()
        return self._controls

    def _do(self, act: Callable[[], str | None]) -> None:
        """Do what a control asks for and show it; what goes wrong is said in the status line."""
        if self._busy:
            return
        before = (self.state.image, self.state.selected, self.state.round)
        try:
            said = act() or ""
        except (OSError, ValueError) as error:
            said = f"✗ {error}"
        if before != (self.state.image, self.state.selected, self.state.round) and self._controls is not None:
            self._controls.reasons.value = ""
        self.refresh(said)

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "click":
            self._do(lambda: self._click(float(message["x"]), float(message["y"])))
        elif kind == "round":
            self._do(lambda: self.state.show_round(int(message["round"])))
        elif kind == "key":
            self._do(lambda: self._on_key(str(message["key"])))
        elif kind == "name":
            self._do(lambda: self.state.name(meant(str(message["key"]), self.state.classes.names)))

    def _on_key(self, key: str) -> str | None:
        state = self.state
        if key in _LAYER_OF:
            if _LAYER_OF[key] in state.layers:
                state.show_layer(_LAYER_OF[key])
                return None
            return "This dataset has no ground truth"
        if key.isdigit() or key in "+-":
            state.show_round(int(key) if key.isdigit() else state.round + (1 if key == "+" else -1))
        elif key in ("ArrowDown", "ArrowUp"):
            if not state.step_mask(1 if key == "ArrowDown" else -1):
                return "No mask of this image fits the filters" if state.filters.active else "No mask here"
        elif key == "w":
            return self._on_why()
        elif key in "cu":
            return self.state.name(None) if key == "u" else self._why_no_name()
        elif key == "Escape":
            state.select(None)
        else:
            return self._step(1 if key in ("ArrowRight", "n") else -1)
        return None

    def _on_name(self, value: Any) -> None:
        if value != ANY:
            said = VOID if value == self.state.classes.ignore_index else value
            self._do(lambda: self.state.name(said))

    def _why_no_name(self) -> str:
        """What C has to say where it cannot ask for a class."""
        return (
            "Select a mask first" if self.state.naming.possible else "Labels can be said while a run waits for answers"
        )

    def _step(self, steps: int) -> str | None:
        if self.state.step(steps):
            return None
        if not self.state.images:
            return "No image fits these filters"
        return f"This is the {'last' if steps > 0 else 'first'} image of the list"

    def _go_to(self, image: str | None) -> None:
        if image is not None:
            self.state.go_to(image)

    def _click(self, x: float, y: float) -> str | None:
        return None if self.state.select_at(x, y) is not None else "No mask here"

    def _on_filter(self, name: str, value: Any) -> None:
        def progress(done: int, of: int) -> None:
            self._say(f"Counting the ground truth of each mask, once: {done:,} of {of:,} images …")

        def act() -> str | None:
            self.state.filter(progress, **{name: None if value == ANY else value})
            return None if self.state.images else "No image fits these filters"

        self._do(act)

    def _on_show_all(self) -> None:
        self.state.filter()

    def _on_layers(self, rows: list[dict[str, Any]]) -> None:
        def change() -> None:
            for row in rows:
                self.state.show_layer(row["name"], bool(row["shown"]), row["opacity"] / 100)

        self._do(change)

    def _on_why(self) -> str | None:
        state, controls = self.state, self._made()
        if state.selected is None:
            return "Select a mask first"
        number = state.why_round()
        if not state.explainer.ready(state.image, number):
            text = f"Asking the model of round {number - 1} about this image; that can take some seconds …"
            self._say(text)
            controls.reasons.value = message_html(text)
        try:
            controls.reasons.value = why_html(state.why(), state.classes)
        except (OSError, ValueError) as error:
            controls.reasons.value = message_html(f"Why this mask? Cannot be said: {error}")
        return None

    # ---------------------------------------------------------------------------------------------- inside
    def _say(self, text: str) -> None:
        self._made().picture.status = text

    @contextmanager
    def _following(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _focus(self) -> list[float]:
        if (at := self.state.position) is None:
            return []
        y, x = np.nonzero((index := self.state.scene().index) == at)
        return [float(x.mean() / index.shape[1]), float(y.mean() / index.shape[0])] if len(x) else []


def _described(view: dict[str, Any]) -> str:
    """The view in a sentence: the picture's text for those who do not see it, and the status line."""
    place = f"{view['position']:,} of {view['images']:,}" if view["position"] else "not in the list"
    after = f"after round {view['round']}" if view["round"] else "before any correction"
    masks = f"{view['masks']:,} masks"
    if view["filters"]:
        masks = f"{view['fitting_masks']:,} of {masks} fit the filters (thin outlines)"
    chosen = f" Mask {view['mask']['mask_id']} is selected: {view['mask']['label']}." if view["mask"] else ""
    return f"{view['image']} ({place}), {after}: {masks}.{chosen}"
