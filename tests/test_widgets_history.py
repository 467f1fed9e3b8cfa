"""What happened to a mask, which masks a filter finds, and why a mask was asked about: no widget, no browser."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_runs import FIRST, NAMES, QUERIES, TRUTH, dataset_folder, hand_made_run, network, scores_of, seeded

from a2lc.config import Experiment
from a2lc.datasets import load_dataset
from a2lc.human.undo import undo_corrections
from a2lc.masks import MaskSet
from a2lc.paper.experiments import run_rows
from a2lc.runs import SHARED, Run
from a2lc.widgets.history import SET_BY, VERDICTS, Event, Filters, RunHistory, fitting
from a2lc.widgets.truth import Truth
from a2lc.widgets.why import Explainer

TRUTHS = np.array([value for name in NAMES for value in TRUTH[name]], dtype=np.uint8)
FIRSTS = [value for name in NAMES for value in FIRST[name]]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> RunHistory:
    return RunHistory(hand_made_run(tmp_path_factory.mktemp("made")))


def same(event: Event, **expected: object) -> bool:
    """Equal fields, NaN equal to NaN; fields that are not named have their defaults."""
    wanted = vars(Event(**expected))  # type: ignore[arg-type]
    return all(value == wanted[name] or value != value != wanted[name] for name, value in vars(event).items())


# --------------------------------------------------------------------------------------------------------- history
def test_a_mask_that_was_answered_and_then_overruled_by_the_lcm(history: RunHistory) -> None:
    first, answered, overruled = history.events(4)
    assert same(first, round=0, source="initial", before=None, after=1)
    said = {"asked": True, "answer": (0,)}
    assert same(answered, round=1, source="annotator", before=1, after=0, score=99.0, rank=2, of=12, **said)
    assert overruled.source == "overruled" and (overruled.before, overruled.after) == (0, 2)
    assert overruled.confidence == pytest.approx(0.99999) and not overruled.asked
    assert overruled.rank is None and overruled.of == 10  # answered before, so not among those to ask


def test_a_mask_that_the_lcm_changed_twice(history: RunHistory) -> None:
    events = history.events(7)
    assert [(e.round, e.source, e.before, e.after) for e in events[1:]] == [(1, "lcm", 1, 0), (2, "lcm", 0, 1)]
    assert [round(e.confidence, 4) for e in events[1:]] == [0.99, 0.9991]


def test_an_answer_that_confirms_the_label_is_an_event_and_so_is_void(history: RunHistory) -> None:
    assert [(e.source, e.before, e.after, e.asked) for e in history.events(10)[1:]] == [("annotator", 0, 2, True)]
    assert [(e.before, e.after, e.answer) for e in history.events(3)[1:]] == [(1, 255, (255,))]
    assert len(history.events(0)) == 1


def test_events_retold_give_the_tables_of_every_round(history: RunHistory) -> None:
    """Oracle: going through the events of each mask one by one gives every round's table."""
    for number in history.rounds:
        table = history.masks(number).table
        for row in range(len(table)):
            past = [event for event in history.events(row) if event.round <= number]
            assert past[-1].after == table["label"][row] and past[-1].round == table["round"][row]
            assert all(a.after == b.before for a, b in zip(past, past[1:], strict=False))


def test_ranks_are_places_among_the_masks_that_could_be_asked(history: RunHistory) -> None:
    asked_before: set[int] = set()
    for number in (1, 2):
        log, scores = history.log(number), scores_of(number).astype(np.float32)
        for row in range(12):
            better = sum(scores[r] > scores[row] for r in range(12) if r not in asked_before)
            assert log.place(row) == (None if row in asked_before else better + 1)
        assert [log.place(row) for row in QUERIES[number]] == [1, 2]
        asked_before |= QUERIES[number].keys()


def test_an_unfinished_run_shows_the_rounds_that_are_there(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path, rounds=1)
    history = RunHistory(run)
    assert history.rounds == (0, 1) and len(history.events(4)) == 2
    with pytest.raises(ValueError, match="round: expected 0 to 1, found 2"):
        history.masks(2)
    (run.folder(0).path / "masks.parquet").unlink()
    with pytest.raises(ValueError, match="no round is there yet"):
        RunHistory(run)


def test_merged_superpixels_take_the_answer_of_their_region(tmp_path: Path) -> None:
    """MerSpx: rows 0 and 1 are one region, asked about at row 1; the answer about row 2 is void and not applied."""
    hand_made_run(tmp_path, rounds=0)
    config = Experiment(dataset="folder", root=tmp_path / "data", method="merspx", rounds=1)
    run = Run.create(config, tmp_path / "runs", {"data": {}, "masks": "masks"})
    masks, folder = MaskSet.load(tmp_path / "runs" / SHARED / "masks"), run.folder(1)
    masks.save_state(run.folder(0).path / "masks.parquet")
    scores = np.array([-np.inf, 8, 9, *range(9)], dtype=np.float32)
    folder.write_table("scores.parquet", pd.DataFrame({"score": scores, "region": [1, 1, *range(2, 12)]}))
    folder.write_queries(np.array([2, 1]))
    folder.write_answers(masks.table.iloc[[2, 1]][["image", "mask_id"]].assign(label=[255, 0]))
    masks = masks.relabel(np.array([0, 1]), np.array([0, 0]), source="annotator", round=1)
    masks.save_state(folder.path / "masks.parquet")
    history = RunHistory(run)
    assert same(history.events(0)[1], round=1, source="annotator", before=0, after=0, score=8.0, rank=2, of=11)
    assert history.events(1)[1].asked and history.events(1)[1].after == 0
    said = {"asked": True, "answer": (255,)}
    assert same(history.events(2)[1], round=1, source="annotator", before=2, after=2, score=9.0, rank=1, of=11, **said)
    assert len(history.events(3)) == 1


def test_a_correction_that_a_person_undid_is_told_with_the_undoing(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    undo_corrections(run, [("b", 3), ("b", 4)])  # rows 6 and 7
    undo_corrections(run, [("b", 4)])
    history = RunHistory(run)
    told = [(event.round, event.source, event.before, event.after) for event in history.events(6)]
    assert told == [(0, "initial", None, 2), (1, "lcm", 2, 1), (2, "undone", 1, 2)]
    told = [(event.round, event.source, event.before, event.after) for event in history.events(7)]
    assert told == [(0, "initial", None, 1), (1, "lcm", 1, 0), (2, "lcm", 0, 1), (2, "undone", 1, 1)]
    assert history.masks(2).table["label"][6] == 2 and history.masks(2).table["source"][6] == "initial"
    assert len(history.events(4)) == 3


# ------------------------------------------------------------------------------------------------- truth and filters
def test_truth_is_counted_image_by_image(history: RunHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_dataset("folder", history.run.config.root).train
    truth, told, read, reading = Truth(history.masks(0), split), [], [], split.ground_truth
    monkeypatch.setattr(split, "ground_truth", lambda name: read.append(name) or reading(name))
    assert truth.available and truth.of_image("b").tolist() == [0, 0, 1, 1] and read == ["b"]
    assert truth.of_all(lambda done, of: told.append((done, of))).tolist() == TRUTHS.tolist()
    assert told == [(0, 3)] and read == ["b", "a", "c"], "each image once"
    assert truth.of_all().tolist() == TRUTHS.tolist() and len(read) == 3
    run = hand_made_run(tmp_path, truth=False)
    without = Truth(history.masks(0), load_dataset("folder", run.config.root).train)
    assert not without.available and (without.of_all() == 255).all()


def test_a_damaged_ground_truth_counts_as_unknown(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    file = tmp_path / "data" / "ground_truth" / "b.png"
    file.write_bytes(file.read_bytes()[:40])
    truth = Truth(run.masks(0), load_dataset("folder", tmp_path / "data").train)
    with pytest.raises(ValueError, match=r"b\.png: damaged"):
        truth.of_image("b")
    assert truth.of_all().tolist() == [*TRUTHS[:4], 255, 255, 255, 255, *TRUTHS[8:]]


FILTERS = st.builds(
    Filters,
    before=st.sampled_from([None, 0, 1, 2, 255]),
    after=st.sampled_from([None, 0, 1, 2, 255]),
    set_by=st.sampled_from([None, *SET_BY]),
    changed_in=st.sampled_from([None, 0, 1, 2]),
    verdict=st.sampled_from([None, *VERDICTS]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(filters=FILTERS, number=st.sampled_from([0, 1, 2]))
def test_filters_find_what_their_definition_says(history: RunHistory, filters: Filters, number: int) -> None:
    """Oracle: one mask after the other, from what was written by hand."""
    found = fitting(history.masks(number), filters, TRUTHS)
    for row in range(12):
        past = [event for event in history.events(row) if event.round <= number]
        last, first, true = past[-1], FIRSTS[row], int(TRUTHS[row])
        who = {"initial": "nobody", "annotator": "annotator", "lcm": "LCM", "overruled": "LCM"}[last.source]
        right, was_right, judged = last.after == true, first == true, true != 255
        verdicts = {
            None: True,
            "wrong": judged and not right and last.after != 255,
            "mended": judged and right and not was_right,
            "spoilt": judged and was_right and not right,
        }
        assert found[row] == (
            filters.before in (None, first)
            and filters.after in (None, last.after)
            and filters.set_by in (None, who)
            and (filters.changed_in is None or (filters.changed_in == last.round and last.round > 0))
            and verdicts[filters.verdict]
        )


def test_the_hand_made_run_has_masks_of_every_verdict(history: RunHistory) -> None:
    found = {name: np.flatnonzero(fitting(history.masks(2), Filters(verdict=name), TRUTHS)) for name in VERDICTS}
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "wrong": [4],
        "mended": [1, 6, 10],
        "spoilt": [],
    }
    assert np.flatnonzero(fitting(history.masks(1), Filters(verdict="spoilt"), TRUTHS)).tolist() == [7]


def test_wrong_filters_are_refused(history: RunHistory) -> None:
    with pytest.raises(ValueError, match="set_by: expected one of annotator, LCM, nobody, mixed or None, found 'me'"):
        Filters(set_by="me")
    with pytest.raises(ValueError, match="verdict: expected one of wrong, mended, spoilt"):
        Filters(verdict="good")
    with pytest.raises(ValueError, match="needs ground truth, and this dataset has none"):
        fitting(history.masks(2), Filters(verdict="wrong"))
    assert not Filters().active and Filters(after=0).active


# --------------------------------------------------------------------------------------------------------------- why
@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Two tiny runs with models: chosen by ABC, and by one pixel's SIM."""
    folder = tmp_path_factory.mktemp("trained")
    dataset_folder(folder / "data", (48, 64))
    fields = {
        "dataset": "folder",
        "root": folder / "data",
        "rounds": 2,
        "budget": 2,
        "segmenter": network(iterations=2, batch_size=2),
        "correction": {"epochs": 2},
    }
    rows = {"abc": {"method": "a2lc"}, "pixel": {"method": "alc"}}
    runs = run_rows(fields, rows, [seeded()], runs_dir=folder / "runs", device="cpu", progress=False)
    return {name: found[0] for name, found in runs.items()}


def explainer_of(run: Run) -> tuple[RunHistory, Explainer]:
    history = RunHistory(run)
    return history, Explainer(history, load_dataset("folder", run.config.root).train, "cpu")


@pytest.mark.parametrize("number", [1, 2])
def test_the_parts_of_an_abc_score_make_up_what_the_run_wrote(trained: dict[str, Run], number: int) -> None:
    run = trained["abc"]
    history, explainer = explainer_of(run)
    for place, query in enumerate(run.queries(number).to_dict("records"), start=1):
        why = explainer.explain(query["image"], query["mask_id"], number)
        assert why.score == pytest.approx(query["score"]) == pytest.approx(why.parts["score"], rel=1e-3)
        assert why.exact and (why.rank, why.of, why.asked) == (place, len(run.masks(0)) - 2 * (number - 1), 2)
        assert why.label == query["label"] and why.function == "abc"
        assert [share for _, share in why.classes] == sorted((share for _, share in why.classes), reverse=True)
        assert explainer.ready(query["image"], number) and not explainer.ready(query["image"], 3)


def test_parts_that_do_not_make_up_the_score_are_called_so(trained: dict[str, Run]) -> None:
    _, explainer = explainer_of(trained["pixel"])
    query = trained["pixel"].queries(1).iloc[0]
    why = explainer.explain(query["image"], int(query["mask_id"]), 1)
    assert why.function == "sim" and not why.exact and math.isfinite(why.parts["score"])


def test_what_is_missing_is_named(trained: dict[str, Run], history: RunHistory, tmp_path: Path) -> None:
    _, explainer = explainer_of(trained["abc"])
    for number in (0, 3):
        with pytest.raises(ValueError, match="no round has scored this mask"):
            explainer.explain("a", 1, number)
    with pytest.raises(FileNotFoundError, match=r"round_00.segmenter\.safetensors: round 0 has no"):
        Explainer(history, load_dataset("folder", history.run.config.root).train).explain("a", 1, 1)
    with pytest.raises(FileNotFoundError, match="images are missing"):
        Explainer(history, None).explain("a", 1, 1)
