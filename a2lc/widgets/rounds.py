"""`Rounds`: questions, what comes next, and the corrections that are proposed, in one place in JupyterLab."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from a2lc.datasets import Dataset
from a2lc.human import next_round
from a2lc.human.going_on import what_came_of
from a2lc.runs import Run
from a2lc.widgets.annotator import Annotator
from a2lc.widgets.approver import Approver
from a2lc.widgets.front_end import WidgetOrFigure

_FOLLOWS = "Press “Go on” above."
_AFTER: dict[str | None, str] = {
    "answers": "Next: what your answers say of the other masks.",
    "approval": "Next: the corrections that you approved are made, then come new questions.",
    None: "The run stopped on its way; it goes on where it was.",
}


class Rounds(WidgetOrFigure):
    """Answer, let the run go on, approve, and answer again, without another cell.

    As the last line of a notebook cell it is a widget: an `Annotator`; when all is answered a button that goes on with
    the run, with the time expected and a bar; then an `Approver` of what is proposed; and the next questions. Answers,
    decisions and finished stages are on disk: close the tab, restart or kill the kernel, then make it again, and it
    shows where the run is. Where nobody sits at a front end it is a figure of what would be shown.

    Args:
        run: a run of a person (``annotator: human``), wherever it is.
        dataset: where images are read; None: the run's own dataset.
        source: who answers; written with every answer.
        live: whether to show the widget; None: where there is a front end for it.

    Attributes:
        run: the run, as far as it is.
        part: what is shown: an `Annotator`, an `Approver`, or None where nobody is waited for.

    Raises:
        ValueError: a file of the run is damaged.
    """

    def __init__(
        self, run: Run, dataset: Dataset | None = None, *, source: str = "person", live: bool | None = None
    ) -> None:
        super().__init__(live)
        self._dataset, self._source = dataset, source
        self._box: ipywidgets.VBox | None = None
        self._said = ipywidgets.HTML()
        self._button = ipywidgets.Button(description="Go on", tooltip="Go on with the run")
        self._bar = ipywidgets.FloatProgress(max=1.0)
        self._button.on_click(lambda _: self.go_on())
        self._head = ipywidgets.HBox([self._button, self._bar, self._said])
        self.run = run
        self.part: Annotator | Approver | None = None
        self._take(run)

    def __repr__(self) -> str:
        return f"Rounds({self.run!r})"

    @property
    def widget(self) -> ipywidgets.VBox:
        """The widget, made when it is first asked for."""
        if self._box is None:
            self._box = ipywidgets.VBox()
            self._box.add_class("a2lc-rounds")
            self._show("")
        return self._box

    @property
    def done(self) -> bool:
        """Whether the run can go on: nothing that is shown is without an answer or a decision."""
        if self.run.finished:
            return False
        if self.part is None:
            return True
        state = self.part.state
        return bool(state.closed or not state.left)

    def go_on(self) -> str:
        """Go on with the run until a person is needed again, and show that; in words what came of it. Where something
        goes wrong the words say what, and nothing is lost."""
        if not self.done:
            return self._show("Not yet: something has no answer. “Enough” ends the questions all the same.")
        closed = None if self.part is None else self.part.state.of_round
        try:
            with self._moving():
                run = next_round(self.run, progress=False)
                told = what_came_of(closed, run)
            self._take(run)
        except Exception as error:  # whatever it is, it would be seen by nobody: this is a button's callback
            return self._show(f"✗ {error} Nothing is lost; mend that, and press “Go on” again.")
        return self._show(" ".join(f"{line[0].upper()}{line[1:]}." for line in told))

    def _drawn(self) -> Figure:
        if self.part is not None:
            return self.part.figure()
        fig = plt.figure(figsize=(7, 0.6))
        fig.suptitle(f"{self.run.path.name}: {self.run.status}", fontsize=8)
        return fig

    # ---------------------------------------------------------------------------------------------- inside
    @property
    def _kind(self) -> str | None:
        """What the part that is shown is there for: answers, approval, or None."""
        return None if self.part is None else "answers" if isinstance(self.part, Annotator) else "approval"

    def _take(self, run: Run) -> None:
        """Let what the run waits for be what is shown."""
        self.run, self.part = run, None
        if run.waits_for == "answers":
            self.part = Annotator(run, self._dataset, source=self._source, live=self._live)
        elif run.waits_for == "approval":
            self.part = Approver(run, self._dataset, live=self._live)
        if self.part is not None:
            self.part.state.follows = _FOLLOWS

    def _show(self, said: str) -> str:
        if self._box is None:
            return said
        if self.part is not None and self.part.widget not in self._box.children:
            self.part.widget.observe(lambda _: self._show(""), "replies")
        done, words = self.done, [said] if said else []
        if self.run.finished:
            words.append("All rounds are played; go on with the next cell.")
        elif done:
            words += [_AFTER[self._kind], f"It takes {in_words(expected_seconds(self.run, self._kind))}."]
        self._said.value = f'<div class="a2lc-text">{escape(" ".join(words))}</div>'
        self._button.disabled, self._bar.layout.display = not done, "none"
        self._button.layout.display = "none" if self.run.finished else ""
        self._button.button_style = "primary" if done else ""
        shown = (self._head, *([self.part.widget] if self.part is not None else []))
        if shown != self._box.children:  # else the page would draw them anew, and the keys would go elsewhere
            self._box.children = shown
        return said

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """A bar that moves meanwhile: by the clock where it is known how long such rounds take, else by stages."""
        expected, start, over = expected_seconds(self.run, self._kind), time.monotonic(), threading.Event()
        number, names = self.run.finished_rounds + 1, _stages(self._kind, self.run)
        self._button.disabled, self._bar.value, self._bar.layout.display = True, 0.0, ""

        def move() -> None:
            while not over.wait(0.3):
                finished = set()
                with suppress(OSError, ValueError):
                    finished = {*self.run.folder(number).state.finished}
                took, share = time.monotonic() - start, len(finished & {*names}) / (len(names) + 1)
                share = share if expected is None else min(0.97, took / max(expected, 0.1))
                self._bar.value = share
                self._said.value = f'<div class="a2lc-text">{took:.0f} s of {in_words(expected)}</div>'

        clock = threading.Thread(target=move, daemon=True)
        clock.start()
        try:
            yield
        finally:
            over.set()
            clock.join()


def _stages(kind: str | None, run: Run) -> tuple[str, ...]:
    """What a run does until a person is needed again: after answers, after approval, or after it was stopped."""
    if kind == "answers" and run.config.approval:
        return ("corrected",)
    return ("corrected", "trained", "scored", "queried")


def expected_seconds(run: Run, kind: str | None) -> float | None:
    """How long the run needs until a person is needed again: what the same stages took in its latest rounds; None where
    it has finished none of them.

    Args:
        run: the run.
        kind: what it waits for now: answers, approval or None.
    """
    known: dict[str, float] = {}
    with suppress(OSError, ValueError):
        for number in range(run.finished_rounds + 2):
            known |= run.folder(number).state.finished
    seconds = [known[stage] for stage in _stages(kind, run) if stage in known]
    return sum(seconds) if seconds else None


def in_words(seconds: float | None) -> str:
    """A time that is expected, in words."""
    if seconds is None:
        return "a time not known yet"
    if seconds < 50:
        return "less than a minute"
    minutes = round(seconds / 60)
    return "about a minute" if minutes <= 1 else f"about {minutes} minutes"
