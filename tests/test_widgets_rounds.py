"""`Rounds`: a run from its first question to its end in one widget, without a front end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import seeded

import a2lc
from a2lc import Experiment, Run
from a2lc.human.approval import APPROVED
from a2lc.widgets import Annotator, Approver, Rounds
from a2lc.widgets import rounds as module
from a2lc.widgets.rounds import expected_seconds, in_words

FIELDS: dict[str, Any] = {"method": "instant", "seed": seeded(), "rounds": 2, "budget": 24, "annotator": "human"}
COLOUR = {"instant": {"features": "colour", "reorder_every": 25}}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that waits for answers, and will correct whatever they are."""
    monkeypatch.setattr("a2lc.instant.regressions.SURE", (0.0,))
    monkeypatch.setattr("a2lc.instant.regressions.DOUBT", -1e6)
    return a2lc.run(Experiment(dataset="toy", **FIELDS, **COLOUR), tmp_path, progress=False)


def answer_all(rounds: Rounds, said: str = "") -> None:
    """Answer every question: with two classes in turn."""
    assert isinstance(rounds.part, Annotator)
    queue = rounds.part.state.queue
    queue.answer_many((query.position, said or query.position % 2) for query in queue.pending)
    rounds.part.refresh()


def decide_all(rounds: Rounds) -> None:
    assert isinstance(rounds.part, Approver)
    rounds.part.state.decide_group(APPROVED)
    rounds.part.refresh()


def test_what_is_shown_stays_where_it_is_while_questions_are_answered(run: Run) -> None:
    """Children that are set again are drawn anew: the page would lose the focus, the pictures and what it waits for."""
    rounds = Rounds(run, live=True)
    set_again: list[Any] = []
    rounds.widget.observe(set_again.append, "children")
    rounds.part.state.queue.answer(0, 1)  # type: ignore[union-attr]
    rounds.part.refresh()  # type: ignore[union-attr]
    assert not rounds.done and not set_again


def test_a_run_is_played_to_its_end_in_one_place(run: Run) -> None:
    """And a second widget, as after the kernel was killed, shows the same."""
    rounds = Rounds(run, live=True)
    box = rounds.widget
    button = box.children[0].children[0]
    for number in (1, 2):
        assert rounds.part is not None and box.children[1] is rounds.part.widget and button.disabled
        assert rounds.go_on().startswith("Not yet") and rounds.run.finished_rounds == number - 1
        answer_all(rounds)
        assert rounds.done and not button.disabled and rounds.part.widget.view["query"] is not None
        button.click()
        assert f"Round {number}: 24 answers counted" in box.children[0].children[2].value
        assert isinstance(rounds.part, Approver) and box.children[1] is rounds.part.widget and button.disabled
        again = Rounds(Run.open(run.path), live=True)
        assert isinstance(again.part, Approver) and again.part.state.view() == rounds.part.state.view()
        decide_all(rounds)
        made = len(rounds.part.state.approval.table)
        assert rounds.go_on() == f"Round {number}: {made} corrections made, 0 rejected, 0 undecided and not made."
    assert rounds.run.finished and rounds.part is None and len(box.children) == 1 and not rounds.done
    assert "All rounds are played" in box.children[0].children[2].value
    assert Rounds(Run.open(run.path), live=True).part is None
    assert rounds.run.summary["clicks"].tolist() == [0, 24, 48]


def test_the_questions_say_what_to_press(run: Run) -> None:
    rounds = Rounds(run, live=True)
    answer_all(rounds, "skip")
    assert isinstance(rounds.part, Annotator) and "Go on" in rounds.part.state.enough()
    assert "Go on" in rounds.part.widget.view["follows"] and rounds.done and Run.open(run.path).waits_for is None
    again = Rounds(Run.open(run.path), live=True)  # the kernel died when the queue was closed
    assert again.part is None and again.done
    again.go_on()
    assert again.run.finished_rounds == 1 and isinstance(again.part, Annotator), "nothing to approve of"


def test_what_goes_wrong_is_said_and_can_be_tried_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(run, live=True)
    answer_all(rounds)
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("out of memory.")

        patch.setattr(module, "next_round", fail)
        rounds.widget.children[0].children[0].click()
        said = rounds.widget.children[0].children[2].value
        assert "✗ out of memory." in said and "Nothing is lost" in said
    button = rounds.widget.children[0].children[0]
    assert rounds.done and not button.disabled
    button.click()
    assert isinstance(rounds.part, Approver)


def test_a_bar_moves_while_the_run_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = Rounds(run, live=True)
    answer_all(rounds)
    bar, seen = rounds.widget.children[0].children[1], []
    monkeypatch.setattr(module, "expected_seconds", lambda *_: 2.0)
    really = module.next_round

    def slow(*args: Any, **options: Any) -> Run:
        time.sleep(1.0)
        seen.append((bar.value, bar.layout.display, rounds.widget.children[0].children[2].value))
        return really(*args, **options)

    monkeypatch.setattr(module, "next_round", slow)
    rounds.go_on()
    ((value, display, words),) = seen
    assert 0.1 < value <= 0.97 and display == "" and "s of less than a minute" in words
    assert bar.layout.display == "none"


def test_how_long_it_will_take(run: Run) -> None:
    """What the same stages took before; nobody knows of stages that were never finished."""
    assert expected_seconds(run, "answers") is None
    folder = run.folder(1)
    assert expected_seconds(run, "approval") == pytest.approx(
        sum(folder.state.finished[stage] for stage in ("scored", "queried")) + run.folder(0).state.finished["trained"]
    )
    words = [in_words(seconds) for seconds in (None, 3, 55, 100, 150, 3600)]
    assert words[0] == "a time not known yet" and words[1] == "less than a minute" and words[2] == "about a minute"
    assert words[3:] == ["about 2 minutes", "about 2 minutes", "about 60 minutes"]


def test_without_a_front_end_stands_a_figure(run: Run) -> None:
    bundle, about = Rounds(run)._repr_mimebundle_()
    assert sorted(bundle) == ["image/png", "text/plain"] and "is this" in about["image/png"]["alt"]
    assert bundle["text/plain"] == f"Rounds({run!r})"
    run.folder(1).change(waits_for=None)
    fig = Rounds(run).figure()
    assert "goes on when it is started again" in fig.get_suptitle() and np.isfinite(fig.get_figwidth())
