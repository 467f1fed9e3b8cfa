"""A person's answers: what the queue does with them, and that none is ever lost."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import network, seeded
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment, Run
from a2lc.datasets import load_dataset
from a2lc.datasets.base import RESERVED, bit_palette
from a2lc.files import AppendLog
from a2lc.human import WORDS, Queue, next_round
from a2lc.human.boxes import boxes_of
from a2lc.human.checked_csv import check_rows, csv_text, images_meant, read_rows
from a2lc.human.cli import app
from a2lc.human.going_on import state_of, what_came_of
from a2lc.human.mask_pictures import MaskPictures
from a2lc.human.queue_csv import read_queue, write_queue
from a2lc.runs.answers import Answer, kept

CONFIG = {
    "annotator": "human",
    "seed": seeded(),
    "rounds": 2,
    "budget": 12,
    "segmenter": network(iterations=2),
    "correction": {"epochs": 2},
}
K = 14  # classes of toy


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that waits for the answers of round 1."""
    return a2lc.run(Experiment(**CONFIG), tmp_path_factory.mktemp("runs"), device="cpu", progress=False)


@pytest.fixture
def run(waiting: Run) -> Iterator[Run]:
    """The same without answers."""
    folder = waiting.path / "round_01"
    state = (folder / "state.json").read_bytes()
    queries = (folder / "queries.parquet").read_bytes()
    yield waiting
    for path in folder.glob("answers*"):
        path.unlink()
    (folder / "state.json").write_bytes(state)
    (folder / "queries.parquet").write_bytes(queries)


def log_of(run: Run) -> Path:
    return run.path / "round_01" / "answers.jsonl"


# ------------------------------------------------------------------------------------------------ the state machine
def test_the_run_stops_for_answers(run: Run) -> None:
    assert run.waits_for == "answers" and not run.finished and run.finished_rounds == 0
    assert "round 1 of 2 waits for answers" in repr(run)
    again = a2lc.run(Experiment(**CONFIG), run.path.parent, device="cpu", progress=False)
    assert again.waits_for == "answers" and not log_of(run).exists()
    Queue(run).answer_many([(0, "road"), (3, "skip")])
    assert state_of(again) == "answers of round 1: 1 of 12, 1 skipped"
    log_of(run).unlink()
    with pytest.raises(FileNotFoundError, match="round_01: the queries of this round have no answers yet"):
        run.queries(1)


def test_queries_come_in_order_with_what_a_person_needs(run: Run) -> None:
    queue = Queue(run)
    assert len(queue) == 12 == len(queue.pending) == queue.clicks_left
    assert [query.position for query in queue.queries] == list(range(12))
    scores = [query.score for query in queue.queries]
    assert scores == sorted(scores, reverse=True)
    query = queue.current
    assert query is not None and query == queue.queries[0]
    inside = queue.masks.object_map(query.image) == query.mask_id
    left, top, right, bottom = boxes_of(queue.masks, np.array([query.row]))[0]
    assert inside.sum() == query.area == inside[top:bottom, left:right].sum()
    assert inside[top].any() and inside[bottom - 1].any() and inside[:, left].any() and inside[:, right - 1].any()
    assert (queue.masks.label_map(query.image)[inside] == query.label).all()
    top_classes = queue.top_classes(query)
    probs = run.segmenter(0, device="cpu").predict(a2lc.load_dataset("toy").train.image(query.image)).numpy()
    wanted = probs[:, inside].mean(1)
    assert [name for name, _ in top_classes] == [queue.classes.names[k] for k in np.argsort(-wanted)[:3]]
    assert [p for _, p in top_classes] == pytest.approx(sorted(wanted)[:-4:-1], abs=1e-5)


def test_answers_of_every_kind(run: Run) -> None:
    queue = Queue(run)
    second, third, fourth = queue.queries[1:4]
    queue.answer("road", seconds=2.0)
    queue.answer("confirm", seconds=4.0)
    queue.answer("void", seconds=9.0)
    assert queue.current == fourth
    queue.answer("skip", seconds=100.0)
    queue.answer(5, seconds=6.0)
    said = [queue.answer_to(query) for query in queue.queries[:5]]
    assert [answer.label for answer in said if answer] == [queue.classes.index("road"), second.label, 255, None, 5]
    assert (queue.answered, queue.skipped, len(queue.pending), queue.clicks_left) == (4, 1, 7, 8)
    assert queue.seconds_per_answer == 5.0
    assert queue.table["state"].tolist() == ["answered"] * 3 + ["skipped", "answered"] + ["pending"] * 7
    assert queue.table["answer"].tolist()[:4] == ["road", queue.classes.names[second.label], "void", ""]
    queue.answer("car", position=third.position)
    assert queue.answer_to(third).label == queue.classes.index("car")  # type: ignore[union-attr]
    assert (queue.answered, len(log_of(run).read_text().splitlines())) == (4, 6)
    assert "4 answered, 1 skipped, 7 left" in repr(queue)
    wanted = [queue.classes.index("road"), second.label, queue.classes.index("car"), 5]
    assert run.folder(1).read_answers()["label"].tolist() == wanted


def test_undo_takes_back_answers_and_skips_one_by_one(run: Run) -> None:
    queue = Queue(run)
    assert queue.undo() is None
    queue.answer("road")
    queue.answer("skip")
    queue.answer("car", position=0)
    assert queue.undo() == queue.queries[0]
    assert queue.answer_to(queue.queries[0]).label == queue.classes.index("road")  # type: ignore[union-attr]
    assert queue.undo() == queue.queries[1] == queue.current
    assert queue.undo() == queue.queries[0] == queue.current
    assert queue.undo() is None and queue.answered == 0
    lines = [json.loads(line) for line in log_of(run).read_text().splitlines()]
    assert [line.get("undo", False) for line in lines] == [False] * 3 + [True] * 3  # nothing was deleted


def test_two_tabs_see_each_other_and_the_later_answer_wins(run: Run) -> None:
    one, two = Queue(run, source="one"), Queue(run, source="two")
    one.answer("road")
    two.answer("car", position=0)
    one.refresh()
    assert one.answer_to(one.queries[0]).source == "two" and len(log_of(run).read_text().splitlines()) == 2  # type: ignore[union-attr]
    assert one.undo() == one.queries[0], "one's own answer is taken back, two's stands"
    assert one.answer_to(one.queries[0]).label == one.classes.index("car")  # type: ignore[union-attr]
    two.undo()
    one.refresh()
    assert one.current == one.queries[0]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("raod", "unknown class 'raod'; did you mean 'road'"),
        (K, r"unknown class 14 \(expected a name, 0..13 or confirm, void, void image, mixed mask, skip\)"),
        (-1, "unknown class -1"),
        (2.5, "unknown class 2.5"),
        (True, "unknown class True"),
        ("confrim", "unknown class 'confrim'; did you mean 'confirm'"),
    ],
)
def test_unknown_classes_are_refused_and_nothing_is_written(said: object, message: str, run: Run) -> None:
    with pytest.raises(ValueError, match=message):
        Queue(run).answer(said)  # type: ignore[arg-type]
    assert not log_of(run).exists()


@pytest.mark.parametrize("name", [*WORDS, " car", "car "])
def test_no_class_is_called_as_an_answer_that_names_none(name: str) -> None:
    with pytest.raises(ValueError, match=f"classes: expected names not empty, none of .*, found '{name}'"):
        a2lc.Classes(("road", name), bit_palette(2))
    assert set(RESERVED) == set(WORDS)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_seconds_that_are_no_time_record_nothing(run: Run, seconds: float) -> None:
    queue = Queue(run)
    before = queue.table
    with pytest.raises(ValueError, match="seconds: expected a time >= 0, found"):
        queue.answer("confirm", seconds=seconds)
    pd.testing.assert_frame_equal(Queue(run).table, before)


def test_positions_and_masks_that_do_not_exist(run: Run) -> None:
    queue = Queue(run)
    with pytest.raises(ValueError, match=r"round 1: expected a position in 0\.\.11, found 12"):
        queue.answer("road", position=12)
    queue.answer("road")
    record = json.loads(log_of(run).read_text())
    for wrong, message in (
        ({"mask_id": 999}, "line 2: image '.*', mask 999 is not asked about"),
        ({"image": "nowhere"}, "line 2: image 'nowhere', mask .* is not asked about"),
        ({"label": 99}, "line 2: label 99 is no class"),
        ({"label": "road"}, "line 2: expected an answer of a person"),
        ({"seconds": "long"}, "line 2: expected an answer of a person"),
    ):
        with open(log_of(run), "a", encoding="utf-8") as file:
            file.write(json.dumps(record | wrong) + "\n")
        with pytest.raises(ValueError, match=rf"answers\.jsonl, {message}"):
            Queue(run)
        log_of(run).write_text(json.dumps(record) + "\n")


def test_a_queue_is_refused_where_nobody_is_asked(run: Run) -> None:
    run.folder(1).change(waits_for=None)
    with pytest.raises(ValueError, match="expected a run that waits for answers, found: round 1 of 2 goes on"):
        Queue(run)
    run.folder(1).change(waits_for="answers")


# ------------------------------------------------------------------------------------------------ the log
ACTIONS = st.lists(
    st.tuples(st.sampled_from("ab"), st.one_of(st.just("undo"), st.tuples(st.integers(0, 3), st.integers(-1, 2)))),
    max_size=25,
)


def slow_oracle(actions: list[tuple[str, object]]) -> dict[int, int]:
    """Position -> label (-1 = skipped): every undo crosses out the last line of its writer that is not crossed out;
    then the last line that is left about a mask counts."""
    lines: list[list] = []
    for writer, what in actions:
        if what != "undo":
            lines.append([writer, what, False])
            continue
        for line in reversed(lines):
            if line[0] == writer and not line[2]:
                line[2] = True
                break
    state = {}
    for _, (position, label), crossed_out in lines:
        if not crossed_out:
            state[position] = label
    return state


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, cut=st.integers(0, 400))
def test_any_sequence_of_two_writers_gives_the_state_of_the_slow_oracle(
    actions: list[tuple[str, object]], cut: int, waiting: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # for speed
    log_of(waiting).unlink(missing_ok=True)
    queues = {name: Queue(waiting, source=name) for name in "ab"}
    for writer, what in actions:
        if what == "undo":
            queues[writer].undo()
        else:
            position, label = what  # type: ignore[misc]
            queues[writer].answer("skip" if label < 0 else label, position)
    wanted = slow_oracle(actions)
    labels = {position: label for position, label in wanted.items() if label >= 0}
    for queue in (*queues.values(), Queue(waiting)):
        queue.refresh()
        found = {q.position: a.label for q in queue.queries if (a := queue.answer_to(q))}
        assert found == {position: None if label < 0 else label for position, label in wanted.items()}
        assert (queue.answered, queue.skipped) == (len(labels), len(wanted) - len(labels))
        assert [q.position for q in queue.pending] == [p for p in range(12) if p not in wanted]
    if log_of(waiting).exists() and log_of(waiting).read_bytes():
        assert waiting.folder(1).read_answers()["label"].tolist() == [labels[p] for p in sorted(labels)]
        check_a_torn_log(waiting, cut)
    log_of(waiting).unlink(missing_ok=True)
    log_of(waiting).with_name("answers.jsonl.damaged").unlink(missing_ok=True)


def check_a_torn_log(run: Run, cut: int) -> None:
    """The file cut anywhere: whole lines count, the rest is named and set aside by the next answer."""
    content = log_of(run).read_bytes()
    kept = content[: cut % len(content)]
    log_of(run).write_bytes(kept)
    whole, torn = kept[: kept.rfind(b"\n") + 1], kept[kept.rfind(b"\n") + 1 :]
    number = whole.count(b"\n") + 1
    if torn and not torn.endswith(b"}"):
        with pytest.warns(UserWarning, match=rf"answers\.jsonl, line {number}: damaged"):
            queue = Queue(run)
        with pytest.warns(UserWarning, match=rf"the {number - 1} lines before it do"):
            queue.answer(3, position=5)
        assert log_of(run).with_name("answers.jsonl.damaged").read_bytes().rstrip(b"\n") == torn.rstrip(b"\n")
        assert log_of(run).read_bytes().startswith(whole)
    else:
        Queue(run).answer(3, position=5)
        assert log_of(run).read_bytes().startswith(kept)
    assert Queue(run).answer_to(Queue(run).queries[5]).label == 3  # type: ignore[union-attr]
    log_of(run).with_name("answers.jsonl.damaged").unlink(missing_ok=True)


def test_a_damaged_line_in_the_middle_is_an_error(run: Run) -> None:
    queue = Queue(run)
    queue.answer("road")
    queue.answer("car")
    first, second = log_of(run).read_text().splitlines(keepends=True)
    log_of(run).write_text(first[:-10] + "\n" + second)
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1: damaged"):
        Queue(run)
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1: damaged"):
        queue.answer("bus")


def test_a_log_that_is_edited_between_two_looks(tmp_path: Path) -> None:
    """What was read is not parsed again, but only as long as it is there."""
    log = AppendLog(tmp_path / "log.jsonl")
    log.append([{"a": 1}, {"a": 2}])
    before = log.read()
    AppendLog(log.path).append([{"a": 3}])  # somebody else
    after = log.read()
    assert after == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert all(one is another for one, another in zip(before, after, strict=False))
    for now in (b'{"a":9}\n{"a":2}\n{"a":3}\n', b'{"a":9}\n', b'{"a":9}\n{"a":7}', b""):
        log.path.write_bytes(now)
        assert log.read() == [json.loads(line) for line in now.splitlines()]
    log.path.write_bytes(b'{"a":1}\n{"a"')
    with pytest.warns(UserWarning, match="line 2: damaged, so it does not count; the 1 lines before it do"):
        assert log.read() == [{"a": 1}]
    assert log.path.with_name("log.jsonl.damaged").exists() is False
    with pytest.warns(UserWarning, match="line 2: damaged"):
        assert log.append([{"a": 4}]) == [{"a": 1}, {"a": 4}]
    log.path.write_bytes(b'{"a":1}\n{"a":4}\n{"a"\n{"a":5}\n')
    with pytest.raises(ValueError, match="line 3: damaged"):
        log.read()


def test_an_answer_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, read = Queue(run), list[int]()
    whole = Answer.of
    monkeypatch.setattr(Answer, "of", classmethod(lambda _, record: read.append(1) or whole(record)))
    needed = []
    for _ in range(5):
        before = len(read)
        queue.answer("confirm")
        needed.append(len(read) - before)
    assert max(needed[1:]) == needed[1], "the fifth answer costs as much as the second"


def test_writers_take_turns(tmp_path: Path) -> None:
    """Each sees the records of the other before it adds its own: no line is lost or torn."""

    def write(who: str) -> None:
        log = AppendLog(tmp_path / "log")
        for i in range(60):
            log.update(lambda records: [{"who": who, "i": i, "before": len(records)}])  # noqa: B023

    writers = [threading.Thread(target=write, args=(who,)) for who in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = AppendLog(tmp_path / "log").read()
    assert [record["before"] for record in records] == list(range(180))
    assert all([r["i"] for r in records if r["who"] == who] == list(range(60)) for who in "xyz")


def test_a_full_disk_leaves_the_log_as_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(run)
    queue.answer("road")
    before = log_of(run).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written, so nothing was recorded .*No space left"):
            queue.answer("car")
    assert log_of(run).read_bytes() == before and queue.answered == 1
    queue.answer("car")
    assert Queue(run).answered == 2


ANSWER = """
import sys
from a2lc import Run
from a2lc.human import Queue
from a2lc.human.queue_csv import read_queue, write_queue
print("ready", flush=True)
input()
queue = Queue(Run.open(sys.argv[1]), source=sys.argv[2])
while queue.current:
    query = queue.current
    queue.answer(query.position % 14)
    print(query.position, flush=True)
"""


def test_killed_twice_while_answering_nothing_is_lost(run: Run) -> None:
    """SIGKILL in the middle; all that a kernel has acknowledged is there, and the next one goes on after it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", ANSWER, str(run.path)]
    kernels = [subprocess.Popen([*command, name], **pipes) for name in ("first", "second")]  # type: ignore[call-overload]
    said: list[int] = []
    for process, until in zip(kernels, (3, 4), strict=True):
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        said += [int(process.stdout.readline()) for _ in range(until)]
        os.kill(process.pid, signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().splitlines() if line]
        process.communicate()
        recorded = [query.position for query in Queue(run).queries if Queue(run).answer_to(query)]
        assert recorded[: len(said)] == said and len(recorded) <= len(said) + 1
        said = recorded
    queue = Queue(run)
    while queue.current:
        queue.answer(queue.current.position % 14)
    labels = run.folder(1).read_answers()["label"].tolist()
    assert labels == list(range(12))


def test_a_read_only_run_folder(run: Run) -> None:
    """Nothing is recorded, and the message says so; looking is possible."""
    code = (
        "import os, sys; from a2lc import Run; from a2lc.human import Queue\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may write everywhere
        "queue = Queue(Run.open(sys.argv[1])); print(len(queue.pending), flush=True)\n"
        "try: queue.answer('road')\n"
        "except PermissionError as error: print(error)"
    )
    outside = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    outside.chmod(0o755)
    copied = shutil.copytree(run.path.parent, outside / "runs")
    copied.chmod(0o755)
    for path in copied.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", code, str(copied / run.path.name)], capture_output=True, text=True, timeout=60
    )
    for path in copied.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 0, done.stderr
    assert re.match(r"12\n.*answers\.jsonl: cannot be written, so nothing was recorded", done.stdout)
    shutil.rmtree(outside)


# ------------------------------------------------------------------------------------------------ the end of a queue
def test_closing_gives_the_rest_back_to_the_pool(run: Run) -> None:
    queue = Queue(run)
    queue.answer("road", position=4, seconds=1.5)
    queue.answer("skip", seconds=0.5)
    queue.answer("void", position=2, seconds=3.0)
    said = "round 1: 9 of 12 masks are not answered: answer or skip them, or give them back to the pool with --enough"
    with pytest.raises(ValueError, match=said):
        queue.close()
    queue.close(enough=True)
    asked = run.queries(1)
    assert asked["row"].tolist() == [queue.queries[p].row for p in (2, 4)]
    assert asked["answer"].tolist() == [255, queue.classes.index("road")]
    assert run.folder(1).clicks() == 2 and run.folder(1).state.finished["answered"] == 5.0
    for late in (lambda: queue.answer("road"), queue.undo, queue.close):
        with pytest.raises(ValueError, match="round_01: this round has gone on, its queue takes no more answers"):
            late()


def test_an_empty_queue_closes_by_itself_and_skips_are_no_answers(run: Run) -> None:
    queue = Queue(run)
    for position in range(12):
        queue.answer("skip" if position % 3 == 0 else "confirm")
    assert queue.current is None and queue.clicks_left == 4
    with pytest.raises(ValueError, match="round 1: the queue is empty; a position gives a mask a new answer"):
        queue.answer("road")
    queue.close()
    assert (run.queries(1)["label"] == run.queries(1)["answer"]).all() and len(run.queries(1)) == 8


def test_killed_while_closing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the queries that were answered and the stage that says so: the queue is there, and closes again."""
    queue = Queue(run)
    for position, said in ((5, "road"), (1, "skip"), (3, "car")):
        queue.answer(said, position)
    monkeypatch.setattr("a2lc.runs.RoundFolder.end", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        queue.close(enough=True)
    monkeypatch.undo()
    again = Queue(run)
    assert (len(again), again.answered, again.pending) == (2, 2, [])
    again.close()
    assert run.queries(1)["answer"].tolist() == [again.classes.index("car"), again.classes.index("road")]


def test_answers_that_do_not_fit_the_queries_are_refused(run: Run) -> None:
    queue = Queue(run)
    queue.answer("road")
    queue.close(enough=True)
    lines = log_of(run).read_text()
    other = json.loads(lines) | {"image": queue.queries[1].image, "mask_id": queue.queries[1].mask_id}
    log_of(run).write_text(lines + json.dumps(other) + "\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl: expected 1 answers, found 2"):
        run.folder(1).answered_labels()
    log_of(run).write_text(lines + '{"image": "a", "mask_id": 1, "label": 3}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 2: expected image, mask_id and label"):
        run.folder(1).read_answers()


WRONG = [("mask_id", "1e999"), ("mask_id", "7.5"), ("mask_id", "true"), ("position", '"0"'), ("label", "256")]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_numbers_in_a_line_are_named(field: str, value: str, run: Run) -> None:
    good = {"image": '"a"', "mask_id": "1", "label": "3", "position": "0", "time": '"now"', "seconds": "1"}
    lines = [good | {"source": '"me"', field: value}]  # of a person, and of the oracle
    lines += [{name: good[name] for name in ("image", "mask_id", "label")} | {field: value}] * (field != "position")
    for line in lines:
        log_of(run).write_text("{" + ", ".join(f'"{name}": {text}' for name, text in line.items()) + "}\n")
        with pytest.raises(ValueError, match=rf"answers\.jsonl, line 1: .*{field}: expected "):
            run.folder(1).read_answers()
    log_of(run).write_text('{"image": "a", "mask_id": 1, "label": 3, "classes": [15]}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl: expected classes 0\.\.14, found 15"):
        run.folder(1).named_classes(K)


# ------------------------------------------------------------------------------------------------ without a browser
def fill(path: Path, **answers: str) -> pd.DataFrame:
    """Fill in the column `answer` of an exported queue: ``_3="road"`` in row 3."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for key, said in answers.items():
        table.loc[int(key[1:]), "answer"] = said
    table.to_csv(path, index=False)
    return table


def test_csv_there_and_back(run: Run, tmp_path: Path) -> None:
    queue, path = Queue(run), tmp_path / "queue.csv"
    queue.answer("skip")
    write_queue(queue, path)
    table = pd.read_csv(path, keep_default_na=False)
    assert list(table) == ["image", "mask_id", "label", "top", "box", "area", "answer"]
    assert table["answer"].tolist() == ["skip"] + [""] * 11
    assert table["image"].tolist() == [query.image for query in queue.queries]
    boxes = boxes_of(queue.masks, np.array([query.row for query in queue.queries]))
    assert [list(map(int, box.split())) for box in table["box"]] == boxes.tolist()
    assert table["top"][3].startswith(queue.top_classes(queue.queries[3])[0][0])
    fill(path, _1="road", _2="confirm", _3="void", _4=" car ")
    assert read_queue(queue, path) == 4
    labels = [queue.answer_to(queue.queries[p]).label for p in range(1, 5)]  # type: ignore[union-attr]
    assert labels == [queue.classes.index("road"), queue.queries[2].label, 255, queue.classes.index("car")]
    assert read_queue(queue, path) == 0 and len(log_of(run).read_text().splitlines()) == 5, "nothing new"
    assert queue.seconds_per_answer != queue.seconds_per_answer, "nobody measured"
    assert queue.undo() == queue.queries[4]
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    with pytest.raises(ValueError, match=r"expected a CSV file in UTF-8, .*: save it as 'CSV UTF-8'"):
        read_queue(queue, path)


def test_a_csv_that_a_spreadsheet_has_been_through(run: Run, tmp_path: Path) -> None:
    queue, path = Queue(run), tmp_path / "queue.csv"
    write_queue(queue, path)
    table = fill(path, _0="road", _1="car")
    table["mask_id"] = [f"{mask_id}.0" for mask_id in table["mask_id"]]
    rows = [";".join(table), *(";".join(row) for row in table.to_numpy())]
    rows = [f"{row};;" for row in rows] + [";" * 8] * 3  # columns and rows that were empty
    rows[3] = ";".join(table.loc[2, :"area"])  # a row that ends where its last cells are empty
    for text, encoding in (("\r\n".join(rows), "utf-8-sig"), ("\n".join(rows).replace(";", "\t"), "utf-16")):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(ValueError, match=r"holds 2 answers that are not in the queue"):
            write_queue(queue, path)
        assert read_queue(queue, path) == 2
        assert [queue.classes.names[queue.answer_to(q).label] for q in queue.queries[:2]] == ["road", "car"]  # type: ignore
        assert queue.answered == 2 and queue.undo() is not None and queue.undo() is not None


@pytest.mark.parametrize("name", ["=1+1", "-a", "+b", "@c", "'=d", "''-e", "\tf", "'g", " h ", 'i,"j"', "ä"])
def test_no_cell_is_computed_and_every_name_comes_back(name: str, tmp_path: Path) -> None:
    path, table = tmp_path / "q.csv", pd.DataFrame({"image": [name], "n": [-1]})
    path.write_text(csv_text(table), encoding="utf-8")
    ((cell, number),) = pd.read_csv(path, dtype=str).to_numpy()
    assert cell[0] not in "=+-@\t\r" and number == "-1"
    assert check_rows(path, read_rows(path, ("image", "n")), lambda row: row) == [{"image": name, "n": "-1"}]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") is not name.isascii(), "Excel reads nothing else as UTF-8"


def test_names_of_images_that_were_taken_for_numbers() -> None:
    assert images_meant(["7", "8.0", "a ", "b", "9"], ("007", "08", "a", "b")) == {
        "7": ["007"], "8.0": ["08"], "a ": ["a"], "b": ["b"], "9": []
    }  # fmt: skip
    assert images_meant(["7"], ("7", "07")) == {"7": ["7", "07"]}, "it may have been 07"
    assert images_meant(["7", "08"], ("7", "07", "08")) == {"7": ["7"], "08": ["08"]}, "zeros were kept"
    assert images_meant([" a", "a"], (" a", "a", "a ")) == {" a": [" a"], "a": ["a"]}


def test_answers_in_a_csv_that_were_not_read_are_not_overwritten(run: Run, tmp_path: Path) -> None:
    queue, path = Queue(run), tmp_path / "queue.csv"
    write_queue(queue, path)
    write_queue(queue, path)
    fill(path, _1="road", _2="raod")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"queue\.csv: holds 2 answers that are not in the queue: import them"):
        write_queue(queue, path)
    assert path.read_bytes() == before
    fill(path, _2="")
    assert read_queue(queue, path) == 1
    write_queue(queue, path)
    assert pd.read_csv(path, keep_default_na=False)["answer"][1] == "road"
    fill(path, _3="skip")  # of an earlier round: the mask is asked about again
    write_queue(queue, path)
    assert pd.read_csv(path, keep_default_na=False)["answer"][3] == ""
    path.write_text("shopping list\n")
    with pytest.raises(ValueError, match="misses the columns"):
        write_queue(queue, path)
    path.write_text("image,mask_id,label,answer\nnobody,1,road,car\n")  # of another run
    with pytest.raises(ValueError, match="holds 1 answers that are not in the queue: import them, or choose a new fi"):
        write_queue(queue, path)


def test_names_of_images_may_have_spaces_and_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('image,answer\n" a ", car \n')
    found = check_rows(path, read_rows(path, ("image", "answer")), lambda row: row)
    assert found == [{"image": " a ", "answer": "car"}]
    path.write_text("image,answer,answer\na,car,\n")
    with pytest.raises(ValueError, match="expected each column once, found answer more than once"):
        check_rows(path, read_rows(path, ("image", "answer")), lambda row: row)
    path.write_text('image,answer\na,"car\n' + 50_000 * "b,bus\n")
    with pytest.raises(ValueError, match=r"q\.csv, line 50002, answer \(is a quote not closed\?\): expected at most"):
        check_rows(path, read_rows(path, ("image", "answer")), lambda row: row)


def test_a_csv_has_pictures_beside_it(run: Run, tmp_path: Path) -> None:
    queue, path = Queue(run), tmp_path / "round 1.csv"
    write_queue(queue, path, pictures=True)
    table = pd.read_csv(path, keep_default_na=False)
    assert list(table) == ["image", "mask_id", "label", "top", "box", "area", "picture", "answer"]
    assert len(set(table["picture"])) == len(table) == 12
    assert {name for name, _ in map(os.path.split, table["picture"])} == {"round 1_pictures"}
    drawn = MaskPictures(queue.masks, load_dataset("toy").train)
    for name, query in zip(table["picture"], queue.queries, strict=True):
        assert name.endswith(f"/{query.image}_{query.mask_id}.png")
        assert np.array_equal(Image.open(tmp_path / name), drawn.close_up(query.image, query.mask_id))
    assert len(list(tmp_path.rglob("*"))) == 12 + 12 + 3, "no temporary file is left"
    fill(path, _0="road")
    assert read_queue(queue, path) == 1


def test_a_csv_without_images_has_no_pictures(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2lc.human.queue_page.training_images", lambda run: (None, ["No images: they are gone"]))
    with pytest.warns(UserWarning, match="No images: they are gone"):
        write_queue(Queue(run), tmp_path / "q.csv", pictures=True)
    assert "picture" not in pd.read_csv(tmp_path / "q.csv") and len(list(tmp_path.iterdir())) == 1


def test_every_bad_row_of_a_csv_is_named_and_nothing_is_taken(run: Run, tmp_path: Path) -> None:
    queue, path = Queue(run), tmp_path / "queue.csv"
    write_queue(queue, path)
    table = fill(path, _0="road", _1="raod")
    asked = {query.row for query in queue.queries}
    not_asked = next(row for row in range(len(queue.masks)) if row not in asked)
    image, other = (queue.masks.table[column].iloc[not_asked] for column in ("image", "mask_id"))
    table.loc[2, "image"] = "train_9999"
    table.loc[3, ["image", "mask_id"]] = image, str(other)
    table.loc[4, "mask_id"] = "4096"
    table.loc[5, "mask_id"] = "two"
    table.loc[6, "label"] = "sky" if table["label"][6] != "sky" else "road"
    table.loc[12] = [*table.loc[7, :"area"], "bus"]
    table.loc[7, "answer"] = "car"
    table.to_csv(path, index=False)
    path.write_text(path.read_text() + "half a row\n")
    with pytest.raises(ValueError, match="8 bad rows, so none was taken") as raised:
        read_queue(queue, path)
    lines = str(raised.value).splitlines()[1:]
    for line, (number, what) in zip(
        lines,
        [
            (3, "unknown class 'raod'; did you mean 'road'"),
            (4, "unknown image 'train_9999'"),
            (5, rf"image '.*', mask {other} is not in the queue of round 1"),
            (6, "image '.*' has no mask 4096"),
            (7, "mask_id: expected a whole number, found 'two'"),
            (8, "is labelled '.*' here, the file says '.*': is it of another round"),
            (14, "two answers for image"),
            (15, "damaged row, expected 7 cells, found 1"),
        ],
        strict=True,
    ):
        assert re.search(rf"line {number}: .*{what}|line {number}: {what}", line), line
    other = table.assign(mask_id="4096").head(9)
    other.to_csv(path, index=False)
    with pytest.raises(
        ValueError, match="none of its 9 masks is in the queue of round 1; is it the table of another"
    ) as raised:
        read_queue(queue, path)
    assert "\n" not in str(raised.value)
    assert queue.answered == 0 and not log_of(run).exists()
    path.write_text("image,mask_id\n")
    with pytest.raises(ValueError, match="misses the columns label, answer, expected image, mask_id, label, answer"):
        read_queue(queue, path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_queue(queue, tmp_path / "nowhere.csv")


def test_the_queue_on_the_command_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "queue.csv"
    shown = CliRunner().invoke(app, ["queue", str(run.path), "--export", str(path)])
    assert shown.exit_code == 0 and "12 masks in" in shown.output and "0 answered, 0 skipped, 12 left" in shown.output
    assert len(list((tmp_path / "queue_pictures").glob("*.png"))) == 12
    nothing = CliRunner().invoke(app, ["next", str(run.path), "--enough"])
    assert nothing.exit_code == 0 and "round 1: nothing is answered or skipped" in nothing.output
    assert f"a2lc queue {run.path} --export q.csv" in nothing.output
    unasked = CliRunner().invoke(app, ["approve", str(run.path), "--all"])
    assert unasked.exit_code == 0 and "nothing is proposed now" in unasked.output
    assert Run.open(run.path).waits_for == "answers"
    fill(path, _0="road", _1="car")
    taken = CliRunner().invoke(app, ["queue", str(run.path), "--import", str(path)])
    assert "answers taken from" in taken.output and "2 answered" in taken.output
    refused = CliRunner().invoke(app, ["next", str(run.path)])
    assert "10 of 12 masks are not answered" in str(refused.exception)


def test_a_run_goes_by_the_name_that_status_prints(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, elsewhere = run.path.name, ["--runs-dir", str(run.path.parent)]
    assert "12 left" in CliRunner().invoke(app, ["queue", name, *elsewhere]).output
    monkeypatch.chdir(run.path.parent)
    assert "12 left" in CliRunner().invoke(app, ["queue", name]).output, "as a path"
    monkeypatch.chdir(run.folder(0).path)
    assert "12 left" in CliRunner().invoke(app, ["queue", ".."]).output, "from a folder of it"
    monkeypatch.chdir(run.path)
    assert "12 left" in CliRunner().invoke(app, ["queue", "."]).output, "from inside"
    assert Run.open(".").path == run.path.resolve() and Run.open(Path("..", name)).path == Path("..", name)
    monkeypatch.chdir(run.path.parent)
    missed = CliRunner().invoke(app, ["queue", f"runs/{name[:-1]}", *elsewhere]).exception
    assert isinstance(missed, FileNotFoundError)
    both = f"no run in {Path('runs', name[:-1])} nor in {run.path.parent / 'runs' / name[:-1]} "
    assert str(missed).startswith(both) and f"; did you mean '{name}'?; other folders: --runs-dir" in str(missed)
    absolute = CliRunner().invoke(app, ["undo", str(tmp_path / "none"), "--runs-dir", str(tmp_path / "none")])
    assert str(absolute.exception) == f"no run in {tmp_path / 'none'} (expected config.json); other folders: --runs-dir"
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # another folder of this name
    assert "12 left" in CliRunner().invoke(app, ["queue", name, *elsewhere]).output


def test_where_nothing_can_be_undone_a_sentence_says_so(run: Run) -> None:
    said = CliRunner().invoke(app, ["undo", str(run.path)]).output
    assert said == f"{run.path}: nothing to undo, nothing was corrected without being asked about\n"


# ------------------------------------------------------------------------------------------------ configuration
def test_who_answers_is_part_of_the_identity() -> None:
    human = Experiment(annotator="human")
    assert human.approval and not Experiment().approval and human.name != Experiment().name
    assert not Experiment(annotator="human", approval=False).approval
    assert Experiment(**human.model_dump(mode="json")) == human
    assert Experiment(annotator="oracle", approval=False).name == Experiment().name
    with pytest.raises(ValueError, match="a human answers queries of kind 'mask' about labelled masks, found query"):
        Experiment(annotator="human", method="alc")
    with pytest.raises(ValueError, match="found pseudo_labels of kind 'superpixels'"):
        Experiment(annotator="human", method="spx")
    with pytest.raises(ValueError, match="annotator: .*'oracle' or 'human'.*found 'nobody'"):
        Experiment(annotator="nobody")


def test_a_run_folder_of_another_name_is_not_continued(run: Run, tmp_path: Path) -> None:
    moved = Run(tmp_path / "mine", run.config)
    with pytest.raises(ValueError, match=f"belongs into a folder of name {run.config.name}"):
        next_round(moved)


@pytest.mark.parametrize("method", ["a2lc", "instant"])
def test_one_answer_makes_a_whole_image_void(method: str, tmp_path: Path) -> None:
    more = {"method": method, "budget": 100, "approval": False}
    more |= {"instant": {"features": "colour"}} if method == "instant" else {}
    run = a2lc.run(Experiment(**CONFIG | more), tmp_path, device="cpu", progress=False)
    queue = Queue(run)
    assert len(queue.masks.names) < len(queue), "two questions are about one image, whatever the model"
    image = next(name for name, count in Counter(query.image for query in queue.queries).items() if count > 1)
    first, second = [query for query in queue.queries if query.image == image][:2]
    queue.answer("road", second)
    for _ in range(2):
        queue.answer("void image", first)
        assert queue.answered == 2 and image not in {query.image for query in queue.pending}
        left = queue.table[queue.table["image"] == image].set_index("mask_id")
        assert (left["answer"][first.mask_id], left["answer"][second.mask_id]) == ("void image", "road")
        assert set(left["state"].drop([first.mask_id, second.mask_id])) <= {"void"}
        undone = queue.undo()
        assert undone is not None and (undone.image, undone.mask_id) == (image, first.mask_id)
        assert first.mask_id in {query.mask_id for query in queue.pending if query.image == image}
    queue.answer("void image", first)
    write_queue(queue, tmp_path / "q.csv")
    assert "void image" in (tmp_path / "q.csv").read_text() and read_queue(Queue(run), tmp_path / "q.csv") == 0
    closed = Queue(run)
    run = next_round(run, enough=True, progress=False)
    assert run.waits_for == "answers" and run.metrics(1)["clicks"] == 2
    assert "2 answers counted, 0 skipped, 1 images void as a whole" in what_came_of(closed, run)[0]
    masks = run.masks(1)
    here = masks.table.iloc[masks.rows(image)].set_index("mask_id")
    said, rest = here.loc[second.mask_id], here.drop(second.mask_id)
    assert (said["label"], said["source"]) == (masks.classes.index("road"), "annotator")
    assert len(rest) > 1 and set(rest["label"]) == {255} and set(rest["source"]) == {"discarded"}
    assert masks.queried[masks.rows(image)].all() and masks.silent.sum() == len(rest)
    again = Queue(run)
    assert again.queries and image not in {query.image for query in again.queries}


def test_an_lcm_that_knows_void_learns_nothing_from_a_void_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a2lc.correction import learning

    taught, train = [], learning.train_lcm
    monkeypatch.setattr(learning, "train_lcm", lambda x, *more: taught.append(len(x)) or train(x, *more))
    fields = CONFIG | {"approval": False, "correction": {"epochs": 2, "void": "outcome"}}
    queue = Queue(run := a2lc.run(Experiment(**fields), tmp_path, device="cpu", progress=False))
    first = queue.queries[0]
    other = next(query for query in queue.queries if query.image != first.image)
    queue.answer_many([(other, "road"), (first, "void image")])
    next_round(run, enough=True, progress=False)
    assert taught == [1]


@pytest.mark.parametrize("method", ["a2lc", "instant"])
def test_a_mask_that_nobody_asked_about_is_named_while_browsing(method: str, tmp_path: Path) -> None:
    more = {"method": method, "approval": False, "instant": {"features": "colour"}} if method == "instant" else {}
    run = a2lc.run(Experiment(**CONFIG | {"approval": False} | more), tmp_path, device="cpu", progress=False)
    queue, looking = Queue(run), Queue(run, source="browser")
    asked = {query.row for query in queue.queries}
    one, two, three = [row for row in range(len(queue.masks)) if row not in asked][:3]
    place = {row: tuple(queue.masks.table.iloc[row][["image", "mask_id"]]) for row in (one, two, three)}
    for row, said in ((one, "road"), (two, "void"), (three, "road")):
        seen = looking.relabel(*place[row], said)
        assert (seen.row, seen.image, seen.mask_id) == (row, *place[row])
    assert looking.undo() is not None and three not in looking.labels  # the last one, by who said it
    first = queue.queries[0]
    looking.relabel(first.image, first.mask_id, "sky")  # is asked about: an answer like any other
    queue.refresh()
    assert (queue.answered, queue.clicks_left, len(queue)) == (1, len(asked) - 1, len(asked))
    assert queue.found == {place[one]: queue.classes.index("road"), place[two]: 255}
    assert {one, two, first.row} == queue.labels.keys() and queue.pending
    assert queue.undo() is None, "it takes back its own alone"
    for said in ("skip", "void image", "raod"):
        with pytest.raises(ValueError, match="expected a class|did you mean 'road'"):
            looking.relabel(*place[three], said)
    with pytest.raises(ValueError, match="mask 999999"):
        looking.relabel(first.image, 999999, "road")
    closed = Queue(run)
    run = next_round(run, enough=True, progress=False)
    assert "1 answers counted, 0 skipped, 2 more that nobody asked about" in what_came_of(closed, run)[0]
    masks = run.masks(1)
    assert set(masks.table["source"].iloc[[one, two, first.row]]) == {"annotator"} and masks.queried[[one, two]].all()
    assert masks.table["label"].iloc[[one, two]].tolist() == [queue.classes.index("road"), 255]
    assert run.folder(1).queried_rows().tolist() == [first.row, one, two] and run.metrics(1)["clicks"] == 3
    again = Queue(run)
    assert not {one, two, first.row} & {query.row for query in again.queries} and len(again) == len(asked)
    with pytest.raises(ValueError, match="was answered in an earlier round"):
        again.relabel(*place[one], "sky")


def test_a_round_is_closed_once_by_whomever(run: Run) -> None:
    other = Queue(run)
    other.answer("road")
    late = Queue(run)
    other.close(enough=True)
    with pytest.raises(ValueError, match="this round has gone on"):
        late.close(enough=True)
    with pytest.raises(ValueError, match="expected a run that waits for answers"):
        Queue(run)
    assert run.folder(1).state.finished.keys() == {"scored", "queried", "answered"}


def test_a_table_that_two_import_at_once_counts_once(run: Run, tmp_path: Path) -> None:
    first, second = Queue(run), Queue(run)  # both have read the log before either writes
    first.answer_many((query, "road") for query in first.queries[:3])
    write_queue(first, tmp_path / "q.csv")
    log = log_of(run).read_bytes()
    assert read_queue(second, tmp_path / "q.csv") == 0 and second.answered == 3
    assert log_of(run).read_bytes() == log


@pytest.mark.parametrize("method", ["a2lc", "instant"])
def test_a_mixed_mask_keeps_its_label_teaches_nothing_and_is_not_asked_about_again(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a2lc.correction import learning

    taught, train = [], learning.train_lcm
    monkeypatch.setattr(learning, "train_lcm", lambda x, *more: taught.append(len(x)) or train(x, *more))
    more = {"method": method, "instant": {"features": "colour"}} if method == "instant" else {}
    run = a2lc.run(Experiment(**CONFIG | {"approval": False} | more), tmp_path, device="cpu", progress=False)
    queue = Queue(run)
    first, second = queue.queries[:2]
    queue.answer("mixed mask", first)
    assert queue.stands(queue.find(first.image, first.mask_id), "mixed mask")
    assert not queue.stands(queue.find(first.image, first.mask_id), "confirm")
    assert queue.undo() is not None and not len(queue.mixed_rows)
    queue.answer("mixed mask", first)
    queue.answer("road", second)
    said = queue.table.set_index("row")["answer"]
    assert (said[first.row], said[second.row]) == ("mixed mask", "road") and queue.answered == 2
    write_queue(queue, tmp_path / "q.csv")
    assert read_queue(Queue(run), tmp_path / "q.csv") == 0
    closed = Queue(run)
    run = next_round(run, enough=True, progress=False)
    assert "2 answers counted, 0 skipped, 1 masks of several classes" in what_came_of(closed, run)[0]
    masks = run.masks(1)
    here = masks.table.iloc[first.row]
    assert (here["label"], here["source"], here["round"]) == (first.label, "mixed", 1)
    assert masks.silent.sum() == 1 and masks.queried.sum() == 2
    assert first.row not in {query.row for query in Queue(run).queries}
    assert taught == ([1] if method == "a2lc" else [])
    assert run.folder(1).mixed_rows().tolist() == [first.row]


@pytest.mark.parametrize("said", ["road", "void image", "mixed mask"])
@pytest.mark.parametrize(
    "line",
    [{flag: wrong} for flag in ("whole_image", "mixed", "found") for wrong in (1, "yes")]
    + [{flag: True, "label": None} for flag in ("whole_image", "mixed", "found")]
    + [{"found": True, "mask_id": 999999}]
    + [{"session": wrong} for wrong in (7, "../x", "a" * 40)],
    ids=str,
)
def test_a_damaged_line_that_says_more_than_a_label_is_named(run: Run, line: dict[str, object], said: str) -> None:
    Queue(run).answer(said)
    record = json.loads(log_of(run).read_text())
    log_of(run).write_text(json.dumps(record | line) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(ValueError, match="line 1: (expected an answer of a person|image .* is not asked about)"):
        Queue(run)


def test_many_undos_of_nothing_take_no_time() -> None:
    line = Answer("a", 1, 0, 0, "2026-01-01T00:00:00", 1.0, "me")
    lines = [replace(line, mask_id=number) for number in range(20_000)]
    lines += [replace(line, source="you", label=None, undo=True)] * 20_000
    start = time.monotonic()
    assert len(kept(lines)) == 20_000
    assert time.monotonic() - start < 10  # one by one this would be 400 million steps


def test_a_long_damaged_line_is_told_in_short(run: Run) -> None:
    Queue(run).answer("road")
    log_of(run).write_text(f'{{"image": "{"a" * 100_000}"}}\n' * 2)
    with pytest.raises(ValueError, match="line 1: expected an answer of a person") as refused:
        Queue(run)
    assert len(str(refused.value)) < 1000
