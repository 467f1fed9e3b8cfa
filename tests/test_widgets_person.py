"""What an Annotator and an Approver show and do, without a front end; and what stands where there is none."""

from __future__ import annotations

import io
import json
import random
import shutil
import string
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scripted import lcm_of, told
from small_runs import QUICK, hand_made_run

import a2lc
from a2lc import Experiment, Run
from a2lc.datasets import load_dataset
from a2lc.files import is_locked
from a2lc.human import Queue, next_round
from a2lc.human.approval import APPROVED, REJECTED, UNDECIDED
from a2lc.human.look_alikes import MOST
from a2lc.human.mask_pictures import CLOSE, CONTEXT, OUTSIDE, MaskPictures
from a2lc.human.sessions import this_session
from a2lc.runs.decisions import vetoed
from a2lc.widgets import Annotator, Approver
from a2lc.widgets.annotator_state import AHEAD, AnnotatorState
from a2lc.widgets.approver_state import TILES, ApproverState
from a2lc.widgets.browser_view import BrowserView
from a2lc.widgets.keys import ALSO, KEYS, class_keys, keys_of, set_keys


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made at once: a test in a browser, before in the same process, leaves a loop that runs, as a kernel
    has one."""
    monkeypatch.setattr("a2lc.widgets.annotator._running_loop", lambda: None)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that waits for the answers of round 1."""
    config = Experiment(**QUICK, annotator="human")
    return a2lc.run(config, tmp_path_factory.mktemp("asked"), device="cpu", progress=False)


@pytest.fixture(scope="module")
def proposed(asked: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same, answered with what the model sees, which waits for approval."""
    runs = tmp_path_factory.mktemp("proposed") / "runs"
    shutil.copytree(asked.path.parent, runs)
    run = Run.open(runs / asked.path.name)
    queue = Queue(run)
    queue.answer_many((query.position, queue.top_classes(query)[0][0]) for query in queue.queries)
    with lcm_of(told(1)):
        return next_round(run, device="cpu", progress=False)


@pytest.fixture
def run(asked: Run, tmp_path: Path) -> Run:
    """A copy to answer."""
    shutil.copytree(asked.path.parent, tmp_path / "runs")
    return Run.open(tmp_path / "runs" / asked.path.name)


@pytest.fixture
def state(run: Run) -> AnnotatorState:
    return AnnotatorState(run)


@pytest.fixture
def approver(proposed: Run, tmp_path: Path) -> ApproverState:
    """Of a copy to decide on."""
    shutil.copytree(proposed.path.parent, tmp_path / "proposed")
    return ApproverState(Run.open(tmp_path / "proposed" / proposed.path.name))


def send(widget: Any, **message: Any) -> str:
    """The next message from the page, an answer about the mask that is shown; the status line that follows."""
    model = widget.widget
    if (query := model.view.get("query")) is not None:
        message = {"of": [query["image"], query["mask_id"]]} | message
    widget._on_message({"client": "page", "id": model.heard.get("page", 0) + 1, "view": model.replies} | message)
    return str(model.status)


# -------------------------------------------------------------------------------------------------------- keys
@pytest.mark.parametrize("k", [2, 11, 21, 60, 150])
def test_each_class_has_a_key_of_its_own_while_there_are_any(k: int) -> None:
    keys = class_keys(k)
    given = [key for key in keys if key]
    assert len(keys) == k and len(set(given)) == len(given) and keys[:k] == given + [""] * (k - len(given))
    assert len(given) >= min(k, 40) and set(given) <= set(string.ascii_letters + string.digits)
    assert not {key.lower() for key in given} & {*KEYS.values(), *ALSO}


def test_own_keys_are_kept_and_the_others_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A2LC_KEYS", str(tmp_path / "config" / "keys.json"))
    names = ("road", "car", "tree", "sky")
    plain = keys_of(names)
    assert plain.classes == class_keys(4) and (plain.acts, plain.also) == (KEYS, ALSO)
    assert set_keys({"car": "c", "confirm": "1", "bus": "b"}) == tmp_path / "config" / "keys.json"
    found = keys_of(names)
    assert found.classes == ["2", "c", "3", "4"] and found.acts == KEYS | {"confirm": "1", "cut": ""}
    set_keys({"sky": "c", "tree": "v", "skip": "z"})  # of car, of void, and another key of undo
    found = keys_of(names)
    assert found.classes == ["2", "3", "v", "c"] and found.acts["void"] == "" and found.acts["skip"] == "z"
    assert "z" not in found.also and found.also[" "] == "confirm"
    every = [*found.classes, *filter(None, found.acts.values()), *found.also]
    assert len(set(every)) == len(every)
    set_keys({"tree": "", "skip": "", "sky": "", "confirm": ""})
    assert keys_of(names) == plain and keys_of(("bus",)).classes == ["b"]
    for wrong in ({"car": "xy"}, {"car": " "}, {"car": "q", "road": "q"}):
        with pytest.raises(ValueError, match=r"^(car|road): expected "):
            set_keys(wrong)
    assert keys_of(names) == plain
    (tmp_path / "config" / "keys.json").write_text('{"car": 7}')
    with pytest.raises(ValueError, match=r"keys\.json: expected names with a sign each"):
        keys_of(names)


# -------------------------------------------------------------------------------------------------------- questions
def test_the_first_question_shows_what_a_person_needs(state: AnnotatorState, run: Run) -> None:
    view, query = state.view(), state.queue.queries[0]
    assert (view["total"], view["answered"], view["skipped"], view["left"], view["clicks_left"]) == (60, 0, 0, 60, 60)
    assert view["seconds"] is None and view["round"] == 1 and not view["closed"] and view["notes"] == []
    shown = view["query"]
    assert (shown["image"], shown["mask_id"], shown["area"]) == (query.image, query.mask_id, query.area)
    assert shown["name"] == state.queue.classes.names[query.label] and shown["said"] == ""
    shares = [share for _, share in shown["model"]]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and 0 <= shares[-1] <= shares[0] <= 1
    json.dumps(view)


def test_answers_go_on_to_the_next_and_are_on_disk_at_once(state: AnnotatorState, run: Run) -> None:
    log = run.path / "round_01" / "answers.jsonl"
    for number, (said, words) in enumerate([("confirm", "confirmed"), ("void", "void"), ("skip", "skipped"), (3, "")]):
        name = state.queue.classes.names[3] if said == 3 else words
        assert state.answer(said).startswith(f"Mask {number + 1}: ") and state.query is not None
        assert name in state._said(state.queue.queries[number])
        assert len(log.read_text().splitlines()) == number + 1 and state.query.position == number + 1
    assert state.view()["clicks_left"] == 57 and state.view()["left"] == 56
    assert 0 <= json.loads(log.read_text().splitlines()[0])["seconds"] < 60


def test_undo_asks_again_and_says_what_stands(state: AnnotatorState) -> None:
    assert state.undo() == "There is nothing to undo"
    state.answer(1)
    state.answer(2)
    assert state.undo() == "Mask 2: taken back" and state.query is not None and state.query.position == 1
    state.step(-1)
    state.answer(4)  # a second answer about mask 1; the next without an answer follows
    assert state.query.position == 1 and state.view()["answered"] == 1
    assert state.undo() == f"Mask 1: taken back; what stood before stands again: {state.queue.classes.names[1]}"


def test_look_alikes_are_answered_at_once_and_taken_back_at_once(state: AnnotatorState, run: Run) -> None:
    """The nearest of the same label come first; what is written are ordinary answers. A new process takes them back."""
    first = state.query
    assert first is not None and state.look_alikes().endswith("then one key answers the rest")
    group = state.group
    assert group[0] == first and 2 < len(group) <= MOST and {query.label for query in group} == {first.label}
    features = state.queue.features().astype(np.float64)
    same = [query for query in state.queue.pending if query.label == first.label]
    scaled = features / features[[query.row for query in same]].std(0).clip(1e-12)
    away = {query.row: ((scaled[query.row] - scaled[first.row]) ** 2).sum() for query in same}
    nearest = sorted(same, key=lambda query: away[query.row])
    assert np.allclose([away[query.row] for query in group], [away[query.row] for query in nearest[:MOST]], rtol=1e-4)
    assert state.answer_group(2, group[1:], seconds=3.0).startswith(f"{len(group) - 1} masks at once")
    assert state.query == first and state.group == [], "what was taken out is asked alone"
    log = [json.loads(line) for line in (run.path / "round_01" / "answers.jsonl").read_text().splitlines()]
    assert [line["mask_id"] for line in log] == [query.mask_id for query in group[1:]]
    assert {(line["label"], line["seconds"]) for line in log} == {(2, round(3 / (len(group) - 1), 3))}
    assert state.answer("confirm").startswith("Mask 1")
    again = AnnotatorState(run)
    assert again.undo().startswith("Mask 1: taken back") and again.queue.answered == len(group) - 1
    assert again.undo() == f"{len(group) - 1} masks: taken back together" and again.queue.answered == 0
    assert again.undo() == "There is nothing to undo"


def test_a_group_is_all_or_nothing(state: AnnotatorState) -> None:
    state.look_alikes()
    group = state.group
    for said, queries in (("void image", group), (2, []), (99, group)):
        with pytest.raises(ValueError, match="expected masks and a class|unknown class 99"):
            state.answer_group(said, queries)
    assert state.queue.answered == 0 and state.look_alikes() == "" and state.group == []


def test_one_can_look_back_and_answer_anew(state: AnnotatorState) -> None:
    state.answer("skip")
    assert state.step(-1) == "" and state.view()["query"]["said"] == "skipped"
    assert state.step(-1) == "This is the first question"
    state.answer("void")
    assert state.view()["skipped"] == 0 and state.view()["answered"] == 1
    state.step(58)
    assert state.step(1) == "This is the last question"
    state.answer("confirm")
    assert state.query is not None and state.query.position == 1, "after the last comes the first without an answer"


def test_the_end_of_the_queue(state: AnnotatorState, run: Run) -> None:
    state.queue.answer_many((position, "confirm") for position in range(59))
    state.step(59)
    state.answer("skip")
    assert state.query is None and state.pictures() is None and state.view()["query"] is None
    with pytest.raises(ValueError, match="nothing is asked"):
        state.answer("void")
    assert state.step(-1) == "" and state.view()["query"]["said"] == "skipped"
    assert state.enough() == "The queue is closed. Go on with a2lc.human.next_round(run) in the next cell."
    assert state.closed and Run.open(run.path).waits_for is None
    with pytest.raises(ValueError, match="this round has gone on"):
        state.undo()


def test_enough_must_be_said_twice(state: AnnotatorState, run: Run) -> None:
    state.answer("void")
    assert state.enough().startswith("59 masks without an answer go back to the pool.")
    state.step(1)  # something else: it is forgotten
    assert state.enough().startswith("59 masks") and run.waits_for == "answers"
    state.enough()
    assert run.waits_for is None and len(run.queries(1)) == 1


def test_a_second_tab_is_heard_when_something_is_answered(run: Run) -> None:
    first, second = AnnotatorState(run), AnnotatorState(run, source="other")
    first.answer(1)
    second.answer(2)  # about the same mask: the later answer stands, both are in the log
    first.answer(3)
    assert first.queue.answer_to(first.queue.queries[0]).label == 2
    assert len((run.path / "round_01" / "answers.jsonl").read_text().splitlines()) == 3
    assert AnnotatorState(run).query == first.queue.queries[2], "where one stopped"


ELSEWHERE = """
import sys
from a2lc.runs import Run
from a2lc.widgets.annotator_state import AnnotatorState
state = AnnotatorState(Run.open(sys.argv[1]))
for line in sys.stdin:
    print(state.undo() if line == "undo\\n" else state.answer(int(line)), "|", state.view()["others"], flush=True)
"""


def test_two_tabs_know_of_each_other_and_take_back_only_their_own(run: Run) -> None:
    """Also of the same person: each in a kernel of its own."""
    here = AnnotatorState(run)
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as there:

        def say(line: str) -> str:
            there.stdin.write(f"{line}\n")
            there.stdin.flush()
            return there.stdout.readline()

        assert "| 0" in say("3")
        said = here.answer(2)  # about the mask that was shown before the other one answered
        assert "Somebody else had just said" in said and "yours, the later answer, counts" in said
        assert here.view()["others"] == 0, "theirs about that mask counts no more"
        assert "| 1" in say("4")
        first, second = here.queue.queries[:2]
        here.queue.refresh()
        assert here.view()["others"] == 1
        assert here.undo().startswith(f"Mask {first.position + 1}")
        assert here.queue.answer_to(first).label == 3, "what stood before stands again"
        assert here.undo() == "There is nothing to undo" and here.queue.answer_to(second).label == 4
        here.answer(1, here.queue.queries[2])
        assert say("undo").startswith(f"Mask {second.position + 1}")
        assert here.queue.answer_to(here.queue.queries[2]).label == 1
        there.stdin.close()
    here.undo()
    assert here.undo().startswith(f"Mask {first.position + 1}"), "that tab is closed: what it said may be taken back"
    assert not [*(run.path / "round_01" / ".locks").glob("session-*")] or here.queue.answered == 0


def test_who_answers_is_still_there_in_a_folder_that_was_made_anew(run: Run) -> None:
    state, mark = AnnotatorState(run), run.path / "round_01" / f"session-{this_session()}"
    state.answer(1)
    assert is_locked(mark)
    shutil.rmtree(run.path / "round_01" / ".locks")
    assert not is_locked(mark)
    state.answer(2)
    assert is_locked(mark)


# -------------------------------------------------------------------------------------------------------- pictures
def test_a_mask_is_outlined_and_its_surroundings_are_darker(tmp_path: Path) -> None:
    """Oracle: pixels far from every border, one by one."""
    made = hand_made_run(tmp_path, size=(60, 90))
    masks, split = made.masks(0), load_dataset("folder", tmp_path / "data").train
    pictures, objects = MaskPictures(masks, split), masks.object_map("a")
    picture, plain = pictures.context("a", 2), pictures.context("a", 2, outlined=False)
    assert picture.shape == plain.shape == (600, CONTEXT, 3)
    for y, x in ((8, 60), (4, 45), (50, 10), (55, 85), (20, 10)):
        at, inside = (10 * y + 5, 10 * x + 5), objects[y, x] == 2
        expected = plain[at] if inside else (plain[at] * OUTSIDE).astype(np.uint8)
        assert picture[at].tolist() == expected.tolist(), (y, x)
    border = picture[280:310, 370:740].reshape(-1, 3)  # the lower edge of mask 2, at row 30
    assert {(0, 0, 0), (255, 255, 255)} <= set(map(tuple, border.tolist()))
    close = pictures.close_up("a", 2)
    assert max(close.shape) == CLOSE and max(pictures.close_up("a", 2, side=100).shape) == 100
    (tmp_path / "data" / "images" / "b.png").unlink()
    assert (pictures.context("b", 2, outlined=False) == 128).mean() > 0.9 and "b.png" in pictures.notes["b"]


def test_missing_images_are_named_and_nothing_else_is_lost(tmp_path: Path) -> None:
    made = hand_made_run(tmp_path)
    shutil.rmtree(tmp_path / "data")
    state = BrowserView(made)
    assert len(state.notes) == 1 and str(tmp_path / "data") in state.notes[0]


# -------------------------------------------------------------------------------------------------------- widgets
def test_messages_of_the_page_answer_and_each_is_heard_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    annotator = Annotator(run, live=True)
    model = annotator.widget
    assert model.view["query"]["position"] == 0 and model.key_of == KEYS and model.also == ALSO
    assert [c["key"] for c in model.classes] == class_keys(14) and model.classes[0]["colour"].startswith("#")
    before = model.replies
    assert send(annotator, do=2).startswith("Mask 1") and model.replies == before + 1
    annotator._on_message({"client": "page", "id": 1, "view": before, "do": "undo"})  # its number was heard
    assert annotator.state.queue.answered == 1 and model.replies == before + 1
    sent: list[object] = []
    with monkeypatch.context() as context:
        context.setattr(model, "send_state", sent.append)
        annotator._on_message({"client": "page", "id": 1, "view": before, "do": "undo"})
    assert len(sent) == 1 and {"heard", "replies", "view"} <= set(sent[0]), "its reply was lost, so it comes again"
    annotator._on_message({"client": "another view", "id": 1, "view": before, "do": "undo"})
    assert annotator.state.queue.answered == 0 and model.heard == {"page": 1, "another view": 1}
    answered = annotator.state.queue.answered
    for number in (4, 3, 2):  # as if the connection had lost the second, and then the page sends all again
        annotator._on_message({"client": "page", "id": number, "view": 0, "do": "on"})
    assert annotator.widget.heard["page"] == 2 and annotator.state.queue.answered == answered
    for number in (3, 4):
        annotator._on_message({"client": "page", "id": number, "view": 0, "do": "back"})
    assert annotator.widget.heard["page"] == 4
    for nobody in ({}, {"client": 3, "id": 9}, {"client": "page", "id": None}, {"client": "page", "id": True}):
        annotator._on_message({"do": 3} | nobody)
    assert send(annotator, do="back").startswith("This is the f") and annotator.state.queue.answered == 0
    for nonsense in (99, "carr", None, ["void"], 1.5, {"a": 1}):
        assert send(annotator, do=nonsense).startswith("✗ "), nonsense
    for nowhere in (None, ["nowhere", 1], ["nowhere"], [1, 1], [model.view["query"]["image"], "1"]):
        assert send(annotator, do="void", of=nowhere).startswith("✗ "), nowhere
    assert annotator.state.queue.answered == 0 and repr(annotator).startswith("Annotator(Queue(round 1: 60 masks")


def test_an_answer_goes_to_the_question_that_it_was_pressed_for(run: Run) -> None:
    """The page is ahead of the kernel: it shows questions that the kernel has not come to."""
    annotator = Annotator(run, live=True)
    view = annotator.widget.view
    shown = [view["query"], *view["ahead"]]
    assert [query["position"] for query in shown] == list(range(AHEAD + 1))
    for query, said in zip(shown[:3], (1, "skip", 2), strict=True):
        send(annotator, do=said, of=[query["image"], query["mask_id"]], seconds=0.5)
    answers = [annotator.state.queue.answer_to(query) for query in annotator.state.queue.queries[:4]]
    assert [answer and answer.label for answer in answers] == [1, None, 2, None] and answers[0].seconds == 0.5
    assert annotator.widget.view["query"] == shown[3] and annotator.widget.view["ahead"][:3] == shown[4:]
    for odd in (-1, "soon", float("nan"), None):
        assert send(annotator, do=1, seconds=odd).startswith("Mask ")
    assert annotator.state.queue.answered == 6 and annotator.state.queue.skipped == 1


def test_what_went_wrong_is_said_until_the_page_has_seen_it(run: Run) -> None:
    annotator = Annotator(run, live=True)
    seen = annotator.widget.replies
    wrong = send(annotator, do=99, view=seen)
    after = send(annotator, do=1, view=seen)
    assert wrong.startswith("✗ ") and after.startswith("Mask 1: ") and after.endswith(f" {wrong}")
    assert send(annotator, do=1).startswith("Mask 2") and "✗" not in annotator.widget.status


def test_the_page_gets_the_pictures_of_a_question(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a map says of each pixel is what the object map says there."""
    annotator = Annotator(run, live=True)
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    monkeypatch.setattr(annotator.widget, "send", lambda told, buffers: sent.append((told, buffers)))
    query, masks = annotator.state.queue.queries[1], annotator.state.queue.masks
    annotator._on_message({"want": [query.image, query.mask_id], "scene": True})
    (told, buffers) = sent[0]
    objects = masks.object_map(query.image)
    height, width = objects.shape
    maps = [np.frombuffer(zlib.decompress(buffers[i]), "<u2") for i in (1, 3)]
    assert maps[1][:2].tolist() == [width, height], "in its own size, which is small"
    ids = np.append(0, masks.table["mask_id"].to_numpy()[masks.rows(query.image)])
    assert np.array_equal(ids[maps[1][2:]].reshape(height, width), objects) and ids[told["at"]] == query.mask_id
    (left, top), (right, bottom) = (
        (round(told["frame"][i] * width), round(told["frame"][i + 1] * height)) for i in (0, 2)
    )
    assert np.array_equal(ids[maps[0][2:]].reshape(maps[0][1], maps[0][0]), objects[top:bottom, left:right])
    assert len(told["labels"]) == len(ids) - 1 and told["labels"][told["at"] - 1] == query.label
    for buffer, size in ((buffers[0], maps[0][:2]), (buffers[2], maps[1][:2])):
        assert Image.open(io.BytesIO(buffer)).size == tuple(size)
    annotator._on_message({"want": [query.image, query.mask_id], "scene": False})
    assert len(sent[1][1]) == 2 and sent[1][0]["labels"] is None and sent[1][1][0] == buffers[0]
    annotator._on_message({"want": ["nowhere", 1]})
    assert sent[2][0]["card"] == ["nowhere", 1] and "nowhere" in sent[2][0]["failed"] and sent[2][1] == []


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    annotator = Annotator(run, live=True)
    send(annotator, do="void")

    def refuse(*_: Any) -> None:
        raise PermissionError(f"{run.path}: cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(annotator.state.queue._log, "update", refuse)
        assert send(annotator, do="void") == f"✗ {run.path}: cannot be written"
        assert annotator.state.query == annotator.state.queue.queries[1]
    assert send(annotator, do="void").startswith("Mask 2")


def test_without_a_front_end_stands_a_figure(run: Run, approver: ApproverState) -> None:
    for widget in (Annotator(run), Approver(approver.run)):
        bundle, about = widget._repr_mimebundle_()
        assert sorted(bundle) == ["image/png", "text/plain"]
        words = about["image/png"]["alt"]
        assert "simulated from the ground truth" in words and "No images" not in words
    live, _ = Annotator(run, live=True)._repr_mimebundle_()
    assert sorted(live) == ["application/vnd.jupyter.widget-view+json", "image/png", "text/plain"]


# -------------------------------------------------------------------------------------------------------- approval
def test_the_gallery_shows_the_least_confident_first_page_by_page(approver: ApproverState) -> None:
    view = approver.view()
    total = len(approver.approval.table)
    assert total > TILES and view["counts"] == {"undecided": total, "approved": 0, "rejected": 0}
    assert view["total"] == total == sum(flow["corrections"] for flow in view["groups"])
    assert len(view["tiles"]) == TILES == len(approver.tiles()) and view["at"] == view["first"] == 0
    approver.select(TILES)
    assert approver.view()["first"] == TILES and approver.page.start == TILES
    approver.select(10**6)
    assert approver.at == total - 1 and 1 <= len(approver.tiles()) <= TILES
    confidence = approver.shown["confidence"]
    assert confidence.is_monotonic_increasing and approver.context().shape[1] == CONTEXT
    json.dumps(view)


def test_groups_are_decided_together_and_masks_one_by_one(approver: ApproverState) -> None:
    flow = approver.view()["groups"][0]
    with pytest.raises(ValueError, match="no correction from here to there"):
        approver.show_group("here", "there")
    approver.show_group(flow["old"], flow["new"])
    assert approver.decide_group(APPROVED).startswith(f"{flow['corrections']} corrections approved. Z takes")
    assert approver.view()["counts"]["approved"] == flow["corrections"]
    assert approver.decide(REJECTED) == f"{flow['old']} → {flow['new']}: rejected" and approver.at == 1
    approver.select(0)
    assert approver.view()["tiles"][0]["decision"] == REJECTED
    assert approver.decide(UNDECIDED) and approver.at == 0, "one sees what one took back"
    assert approver.view()["counts"]["rejected"] == 0
    approver.show_group()
    assert approver.view()["total"] == len(approver.approval.table)


def test_one_key_decides_only_what_is_undecided_and_clears_nothing_unasked(approver: ApproverState) -> None:
    total = len(approver.approval.table)
    approver.decide(REJECTED)
    assert "1 decided before stay" in approver.decide_group(APPROVED)
    assert approver.view()["counts"] == {"undecided": 0, "approved": total - 1, "rejected": 1}
    assert approver.decide_group(REJECTED).startswith("Nothing to do"), "they are decided"
    assert approver.decide_group(UNDECIDED).startswith(f"{total} decisions would be taken back")
    approver.select(0)
    approver.decide(APPROVED)
    assert approver.decide_group(UNDECIDED).startswith(f"{total} decisions would"), "something else came between"
    assert approver.left == 0 and approver.decide_group(UNDECIDED).startswith(f"{total} corrections undecided")
    assert approver.left == total and approver.decide_group(UNDECIDED).startswith("Nothing to do")


def test_several_in_a_row_are_decided_at_once_and_taken_back_at_once(approver: ApproverState) -> None:
    total = len(approver.approval.table)
    assert total > 4
    approver.select(2)
    approver.decide(REJECTED)
    approver.select(3)
    assert approver.select_to(1) == "3 corrections are selected." and approver.view()["chosen"] == [1, 4]
    assert approver.decide(APPROVED).startswith("2 corrections approved; 1 decided before stay")
    assert (approver.at, approver.to) == (min(4, total - 1), None)
    assert approver.shown["decision"].tolist()[:4] == [UNDECIDED, APPROVED, REJECTED, APPROVED]
    approver.select(1)
    approver.select_to(3)
    assert approver.decide(UNDECIDED).startswith("3 decisions would be taken back") and approver.to == 3
    assert approver.decide(UNDECIDED).startswith("3 corrections undecided") and approver.left == total
    approver.undo()
    assert approver.shown["decision"].tolist()[:4] == [UNDECIDED, APPROVED, REJECTED, APPROVED]
    approver.select_to(10**6)
    approver.select(0)
    assert approver.view()["chosen"] == [0, 1], "one is selected again"


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["one", "group", "leave", "undo", "other"]), max_size=12), st.randoms())
def test_undo_restores_exactly_what_was_before_after_any_restart(
    approver: ApproverState, acts: list[str], draw: random.Random
) -> None:
    """Against a pile of all states; each act comes from a widget of its own, as after a restart."""
    log = approver.run.folder(1).path / "approvals.jsonl"
    log.unlink(missing_ok=True)
    pile = [[UNDECIDED] * len(approver.approval.table)]
    for act in acts:
        state = ApproverState(approver.run)
        flow = draw.choice(state.view()["groups"])
        if act == "undo":
            if len(pile) == 1:
                with pytest.raises(ValueError, match="nothing is left to take back"):
                    state.undo()
            else:
                state.undo()
                pile.pop()
        else:
            decision = UNDECIDED if act == "leave" else draw.choice([APPROVED, REJECTED])
            if act == "group":
                state.show_group(flow["old"], flow["new"])
            if act in ("group", "leave"):
                state.decide_group(decision), state.decide_group(decision)
            else:
                state.select(draw.randrange(len(state.shown)))
                state.decide(decision)
            now = ApproverState(approver.run).approval.table["decision"].tolist()
            if now != pile[-1]:
                pile.append(now)
        assert ApproverState(approver.run).approval.table["decision"].tolist() == pile[-1]


def test_decisions_of_earlier_versions_are_taken_back_by_their_time(approver: ApproverState) -> None:
    table, log = approver.approval.table, approver.run.folder(1).path / "approvals.jsonl"
    said = [(0, APPROVED, "a"), (1, APPROVED, "a"), (1, REJECTED, "b"), (2, REJECTED, "b")]
    lines = [
        {"image": table["image"][at], "mask_id": int(table["mask_id"][at]), "decision": decision, "time": time}
        for at, decision, time in said
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    state = ApproverState(approver.run)
    assert state.undo().startswith("2 corrections")
    assert state.approval.table["decision"].tolist()[:3] == [APPROVED, APPROVED, UNDECIDED]
    assert state.undo().startswith("2 corrections") and state.left == len(table)


def test_only_what_is_approved_is_corrected_and_rejections_hold(approver: ApproverState) -> None:
    approver.decide_group(APPROVED)
    approver.select(0)
    approver.decide(REJECTED)
    rejected = approver.approval.table.iloc[0]
    left = len(approver.approval.table) - 1
    assert (
        approver.enough() == f"{left} corrections will be made. Go on with a2lc.human.next_round(run) in the next cell."
    )
    with lcm_of(told(1)):
        after = next_round(approver.run, device="cpu", progress=False).masks(1)
    assert (after.table["source"] == "lcm").sum() == left
    assert vetoed(approver.run.path, after)[after.row(rejected["image"], int(rejected["mask_id"]))]


def test_undecided_corrections_must_be_left_twice(approver: ApproverState) -> None:
    approver.decide(APPROVED)
    assert "are undecided and would not be made" in approver.enough()
    assert approver.run.waits_for == "approval" and approver.enough().startswith("1 corrections will be made")


def test_messages_of_the_approver(approver: ApproverState) -> None:
    widget = Approver(approver.run, live=True)
    model, flow = widget.widget, approver.view()["groups"][0]
    assert len(model.tiles) == TILES and len(model.context) > 1000
    tiles = model.tiles
    assert send(widget, do="approve").endswith(": approved") and model.view["at"] == 1 and model.tiles is tiles
    send(widget, do="page_on")
    assert model.view["first"] == TILES and model.tiles is not tiles
    assert (
        send(widget, do="group", group=[flow["old"], flow["new"]]) == "" and model.view["total"] == flow["corrections"]
    )
    undecided = model.view["groups"][0]["undecided"]
    assert send(widget, do="reject_group").startswith(f"{undecided} corrections rejected")
    assert send(widget, do="undo").startswith(f"{undecided} corrections are as before")
    assert send(widget, do="reject_group").startswith(f"{undecided} corrections rejected")
    send(widget, do="group", group=None)
    send(widget, do="select", at=5)
    assert model.view["group"] is None and model.view["at"] == 5
    for nonsense in ({"do": "fly"}, {"do": "group", "group": ["x", "y"]}, {"do": "select"}, {"do": [1]}, {}):
        assert send(widget, **nonsense).startswith("✗ "), nonsense
    assert repr(widget).startswith("Approver(round 1: ") and "rejected" in repr(widget)


# -------------------------------------------------------------------------------------------------------- undoing
def test_a_correction_is_undone_where_one_looks_at_it(tmp_path: Path) -> None:
    made = hand_made_run(tmp_path)
    state = BrowserView(made)
    masks = state.masks
    row = int(np.flatnonzero(masks.table["source"] == "lcm")[0])
    mask = masks.table.iloc[row]
    assert not state.can_undo
    state.go_to(mask["image"])
    state.select(int(mask["mask_id"]))
    assert state.can_undo
    said = state.undo_correction()
    before = made.masks(int(mask["round"]) - 1).table["label"].iloc[row]
    assert state.masks.table["label"].iloc[row] == before and state.masks.classes.names[before] in said
    assert state.events()[-1].source == "undone" and vetoed(made.path, masks)[row]
    state.select(None)
    with pytest.raises(ValueError, match="select a mask first"):
        state.undo_correction()
