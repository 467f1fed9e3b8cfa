"""`Annotator`: a person answers the queue of a round in JupyterLab, a key per answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from textwrap import wrap
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import traitlets
from matplotlib.figure import Figure

from a2lc.datasets import Dataset
from a2lc.human import CONFIRM, SKIP
from a2lc.mask_table import VOID
from a2lc.runs import Run
from a2lc.tables import caption
from a2lc.widgets.annotator_state import KEYS, AnnotatorState, class_keys
from a2lc.widgets.front_end import WidgetOrFigure, script, style
from a2lc.widgets.panels import class_name
from a2lc.widgets.pictures import encode


class Questions(anywidget.AnyWidget):
    """The questions on the page; reports what was answered, and to which view."""

    _esm = script("annotator.js")
    _css = style("annotator.css")
    classes = traitlets.List(traitlets.Dict()).tag(sync=True)  # name, key, colour
    key_of = traitlets.Dict().tag(sync=True)  # what is done -> its key: `annotator_state.KEYS`
    view = traitlets.Dict().tag(sync=True)  # `AnnotatorState.view`
    context = traitlets.Bytes().tag(sync=True)  # JPEG
    close_up = traitlets.Bytes().tag(sync=True)  # JPEG
    status = traitlets.Unicode().tag(sync=True)
    replies = traitlets.Int().tag(sync=True)  # views so far; a message about an older one is not heard


class Annotator(WidgetOrFigure):
    """Answer the questions of the round that a run waits in.

    As the last line of a notebook cell it is a widget: the mask in its image and close up, its label, what the model
    sees, and a key per answer. Each answer is in ``answers.jsonl`` before the next question appears: close the tab,
    restart the kernel or kill it, then make the annotator again, and it goes on where you stopped. `Run.next_round`
    goes on with the run. Where nobody sits at a front end it is a figure of the first question.

    Args:
        run: a run that waits for answers.
        dataset: where images are read; None: the run's own dataset.
        source: who answers; written with every answer.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        state: an `AnnotatorState`.

    Raises:
        ValueError: the run does not wait for answers, or ``answers.jsonl`` is damaged but for its last line.
    """

    def __init__(
        self, run: Run, dataset: Dataset | None = None, *, source: str = "person", live: bool | None = None
    ) -> None:
        super().__init__(live)
        self.state = AnnotatorState(run, dataset, source=source)
        self._questions: Questions | None = None

    def __repr__(self) -> str:
        return f"Annotator({self.state.queue!r})"

    @property
    def widget(self) -> Questions:
        """The widget, made when it is first asked for."""
        if self._questions is None:
            classes = self.state.queue.classes
            colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in classes.palette)
            columns = zip(classes.names, class_keys(len(classes)), colours, strict=False)
            shown = [dict(zip(("name", "key", "colour"), row, strict=True)) for row in columns]
            self._questions = Questions(classes=shown, key_of=KEYS)
            self._questions.on_msg(lambda _, message, __: self._on_message(message))
            self.refresh()
        return self._questions

    def refresh(self, said: str = "") -> None:
        """Show the state as it is now, with a sentence in the status line."""
        if (questions := self._questions) is None:
            return
        pictures = self.state.pictures()
        with questions.hold_sync():
            if pictures is not None:
                questions.context, questions.close_up = map(encode, pictures)
            questions.view, questions.status = self.state.view(), said  # the notes of a picture come with it
            questions.replies += 1

    # ---------------------------------------------------------------------------------------------- inside
    def _on_message(self, message: dict[str, Any]) -> None:
        if message.get("view") != self.widget.replies:
            return  # about a question that is no longer shown
        said, state = message.get("do"), self.state
        acts: dict[str, Callable[[], str]] = {word: partial(state.answer, word) for word in (CONFIRM, VOID, SKIP)}
        acts |= {"undo": state.undo, "outline": state.toggle_outline, "enough": state.enough}
        acts |= {"back": partial(state.step, -1), "on": partial(state.step, 1)}
        act = acts.get(said) if isinstance(said, str) else None
        try:
            words = state.answer(said) if act is None else act()  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            words = f"✗ {error}"
        self.refresh(words)

    def _drawn(self) -> Figure:
        view, pictures = self.state.view(), self.state.pictures()
        fig, axes = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1.5, 1), layout="constrained")
        for axis in axes:
            axis.axis("off")
        for axis, picture in zip(axes, pictures or (), strict=False):
            axis.imshow(picture)
        title = [f"Round {view['round']}: {view['answered']} of {view['total']} answered, {view['skipped']} skipped"]
        if (query := view["query"]) is None:
            axes[0].text(0, 0.5, "Nothing is left to ask.")
        else:
            sees = ", ".join(f"{class_name(self.state.queue.classes, c)} {100 * s:.0f} %" for c, s in query["model"])
            question = f"{query['image']}, mask {query['mask_id']}: is this {query['name']}?"
            title.append(question + (f" The model sees {sees}." if sees else ""))
        title += [*view["notes"], caption([self.state.queue.run])]
        fig.suptitle("\n".join(part for line in title for part in wrap(line, 110)), fontsize=8)
        return fig
