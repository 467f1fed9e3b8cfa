"""`Annotator`: a person answers the queue of a round in JupyterLab, a key per answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import traitlets
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from a2lc.datasets import Dataset
from a2lc.human import Query
from a2lc.paper.tables import caption
from a2lc.runs import Run
from a2lc.widgets.annotator_state import AHEAD, AnnotatorState
from a2lc.widgets.cards import Message
from a2lc.widgets.front_end import Dialogue, Page, script, style, wrapped
from a2lc.widgets.keys import keys_of
from a2lc.widgets.panels import class_name

PAUSE = 0.25
"""Seconds without an answer after which the order of the questions is renewed."""


class Questions(Page):
    """The questions on the page."""

    _esm = script("drawing.js", "cutting.js", "annotator.js")
    _css = style("annotator.css")
    classes = traitlets.List(traitlets.Dict()).tag(sync=True)  # name, key, colour
    also = traitlets.Dict().tag(sync=True)  # other keys -> what they do


class Annotator(Dialogue):
    """Answer the questions of the round that a run waits in.

    As the last line of a notebook cell it is a widget: the mask in its image and close up, its label, what the model
    sees, and a key per answer. Each answer is in ``answers.jsonl`` before the next question appears: close the tab,
    restart the kernel or kill it, then make the annotator again, and it goes on where you stopped.
    `a2lc.human.next_round` goes on with the run. Where nobody sits at a front end it is a figure of the first question.

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

    state: AnnotatorState

    def __init__(
        self, run: Run, dataset: Dataset | None = None, *, source: str = "person", live: bool | None = None
    ) -> None:
        super().__init__(live)
        self.state = AnnotatorState(run, dataset, source=source)
        self._timer: asyncio.TimerHandle | None = None
        self._worker = ThreadPoolExecutor(1, "a2lc-cards")
        self._unrenewed = 0  # answers since the order of the questions was renewed

    def __repr__(self) -> str:
        return f"Annotator({self.state.queue!r})"

    # ---------------------------------------------------------------------------------------------- inside
    def _new_page(self) -> Questions:
        classes = self.state.queue.classes
        keys = keys_of(classes.names)
        columns = zip(classes.names, keys.classes, map(to_hex, classes.palette / 255), strict=True)
        shown = [dict(zip(("name", "key", "colour"), row, strict=True)) for row in columns]
        return Questions(classes=shown, key_of=keys.acts, also=keys.also)

    def _on_message(self, message: dict[str, Any]) -> None:
        if "want" in message:
            self._send_card(message)
        else:
            super()._on_message(message)

    def _send_card(self, message: dict[str, Any]) -> None:
        """Send the page the pictures that it asks for, ahead of their question. In a kernel a thread makes them, and
        then, while the image is in memory, those of other questions about it: answers do not wait for large images."""
        wanted, loop, cards = message["want"], _running_loop(), self.state.cards

        def make() -> Message:
            try:
                return cards.card(*_mask(wanted), with_scene=bool(message.get("scene", True)))
            except (OSError, ValueError) as error:
                return {"card": wanted, "failed": str(error)}, []

        if loop is None:
            self.widget.send(*make())
            return

        def send(task: Future[Message]) -> None:
            with suppress(RuntimeError):  # the kernel ends
                loop.call_soon_threadsafe(lambda: self.widget.send(*task.result()))

        def prepare(left: list[int]) -> None:
            with suppress(OSError, ValueError, RuntimeError):  # said when it is asked for; or the kernel ends
                if left and cards.prepare(wanted[0], left.pop()):
                    self._worker.submit(prepare, left)  # behind what the page has asked for meanwhile

        others = [query.mask_id for query in reversed(self.state.queue.queries) if query.image == wanted[0]]
        self._worker.submit(make).add_done_callback(send)
        self._worker.submit(prepare, others)

    def _act(self, message: dict[str, Any]) -> str:
        said, state = message.get("do"), self.state
        acts: dict[str, Callable[[], str]] = {"undo": state.undo, "enough": state.enough}
        acts |= {"back": partial(state.step, -1), "on": partial(state.step, 1)}
        if (about := message.get("about")) is not None:
            acts["alike"] = partial(state.look_alikes, self._asked(about))
            acts["cut"] = partial(self._cut, message)
        acts["whole"] = state.leave_whole
        act = acts.get(said) if isinstance(said, str) else None
        if act is not None:
            return act()
        took: float | None = None
        if type(seconds := message.get("seconds")) in (int, float) and 0 <= float(seconds or 0) < math.inf:
            took = seconds
        if "pieces" in message:
            return state.answer_pieces([*message["pieces"]], int(message.get("number", -1)), seconds=took)
        answer: Any = said  # whatever it is: the queue says which are none
        if "group" in message:
            return state.answer_group(answer, [self._asked(one) for one in message["group"] or ()], seconds=took)
        loop = _running_loop()
        self._unrenewed += 1
        at_once = loop is None or self._unrenewed >= AHEAD
        words = state.answer(answer, self._asked(message.get("of")), seconds=took, renew=at_once)
        self._renew_later(None if at_once else loop)
        return words

    def _cut(self, message: dict[str, Any]) -> str:
        """Cut a mask, and send the page its pieces."""
        line, pieces = message.get("line") or (), message.get("count")
        if not isinstance(line, list | tuple) or (not line and type(pieces) is not int):
            raise ValueError(f"expected a line or a number of pieces, found {line!r:.40} and {pieces!r:.40}")
        words = self.state.cut(self._asked(message["about"]), pieces or 0, line)
        if self.state.cutting is not None:
            self.widget.send(*self.state.cards.pieces(self.state.cutting))
        return words

    def _renew_later(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Renew the order of the questions when no answer has come for a moment: many may be on their way."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if loop is None else loop.call_later(PAUSE, self._renew)
        self._unrenewed = 0 if loop is None else self._unrenewed

    def _renew(self) -> None:
        said = str(self.widget.status)
        self._renew_later(None)
        try:
            self.state.renew()
        except (OSError, ValueError) as error:
            said = f"✗ {error}"
        self.refresh(said)

    def _asked(self, said: Any) -> Query:
        """The question that a message is about."""
        image, mask_id = _mask(said)
        if (query := self.state.queue.find(image, mask_id)) is None:
            raise ValueError(f"image {image!r}, mask {mask_id} is not asked about")
        return query

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
        title += [*([view["outlook"]] if view["outlook"] else []), *view["notes"], caption([self.state.queue.run])]
        fig.suptitle(wrapped(title, 110), fontsize=8)
        return fig


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of the kernel; None elsewhere."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _mask(said: Any) -> tuple[str, int]:
    """Image and mask id as a message names them. Raises `ValueError` where it names none."""
    if isinstance(said, list) and len(said) == 2 and isinstance(said[0], str) and type(said[1]) is int:
        return said[0], said[1]
    raise ValueError(f"expected an image and a mask's number, found {said!r}")
