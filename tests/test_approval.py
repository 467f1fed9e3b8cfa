"""The LCM under approval: nothing is corrected that a person has not approved, and what is undone stays undone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scripted import Unmoved, lcm_of, told
from small_runs import QUICK
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment, Run
from a2lc.files import read_arrays, read_parquet, write_arrays, write_parquet
from a2lc.human import Queue, next_round
from a2lc.human.approval import CAVEAT, Approval
from a2lc.human.cli import app
from a2lc.human.going_on import state_of
from a2lc.human.undo import automatic_corrections, undo_corrections
from a2lc.paper.clicks import truth_of
from a2lc.runs.decisions import vetoed

PLAY: dict[str, Any] = {"segmenter": Unmoved, "device": "cpu", "progress": False}


def go_on(run: Run, **options: bool) -> Run:
    return next_round(run, **PLAY, **options)


def answer_like(queue: Queue, oracle: pd.DataFrame) -> None:
    """The answers that the oracle gave to the same queries."""
    assert oracle["row"].tolist() == [query.row for query in queue.queries]
    names = [*queue.classes.names, *["void"] * 256]
    queue.answer_many((p, names[label]) for p, label in enumerate(oracle["answer"]))


@pytest.fixture(scope="module", autouse=True)
def scripted() -> Iterator[None]:
    """What is corrected does not hang on a training: the LCM says the class after the one that the model sees."""
    with lcm_of(told(1)):
        yield


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One round without a person."""
    return a2lc.run(Experiment(**QUICK | {"rounds": 1}), tmp_path_factory.mktemp("runs"), **PLAY)


@pytest.fixture(scope="module")
def proposed(oracle: Run) -> Run:
    """The same round with a person, who has given the oracle's answers and sees the corrections."""
    run = a2lc.run(Experiment(**QUICK, annotator="human"), oracle.path.parent, **PLAY)
    answer_like(Queue(run), oracle.queries(1))
    return go_on(run)


@pytest.fixture
def run(proposed: Run) -> Iterator[Run]:
    folder = proposed.path / "round_01"
    state = (folder / "state.json").read_bytes()
    yield proposed
    (folder / "state.json").write_bytes(state)
    for name in ("approvals.jsonl", "approved.parquet"):
        (folder / name).unlink(missing_ok=True)


@pytest.fixture
def own(proposed: Run, tmp_path: Path) -> Run:
    """A copy to play with."""
    shutil.copytree(proposed.path.parent, tmp_path / "runs")
    return Run.open(tmp_path / "runs" / proposed.path.name)


# ------------------------------------------------------------------------------------------------ looking
def test_the_round_stops_before_anything_is_corrected(run: Run, oracle: Run) -> None:
    assert run.waits_for == "approval" and "round 1 of 2 waits for approval" in repr(run)
    assert not (run.path / "round_01" / "masks.parquet").exists()
    with pytest.raises(ValueError, match="expected a run that waits for answers, found: round 1 of 2 waits"):
        Queue(run)
    with pytest.raises(ValueError, match="expected a run that waits for approval, found: finished"):
        Approval(oracle)


def test_the_preview_is_what_the_lcm_does_without_approval(run: Run, oracle: Run) -> None:
    table, after, before = Approval(run).table, oracle.masks(1).table, oracle.masks(0).table
    rows = np.flatnonzero(after["source"] == "lcm")
    names = np.array(run.masks(0).classes.names)
    assert len(rows) > 20 and sorted(table["row"]) == rows.tolist()
    assert (table["new"] == names[after["label"].to_numpy()[table["row"]]]).all()
    assert (table["old"] == names[before["label"].to_numpy()[table["row"]]]).all()
    assert (table["confidence"] == after["confidence"].to_numpy()[table["row"]]).all()
    assert table["confidence"].is_monotonic_increasing and (table["decision"] == "").all()
    assert (table["low"] < table["right"]).all() and (table["right"] < table["high"]).all()
    assert table[["right", "low", "high"]].stack().between(0, 1).all()


def test_flows_and_confidence_add_up(run: Run) -> None:
    approval = Approval(run)
    flows, table = approval.flows(), approval.table
    assert (
        flows["corrections"].sum()
        == flows["undecided"].sum()
        == len(table)
        == approval.by_confidence()["corrections"].sum()
    )
    first = flows.iloc[0]
    part = table[(table["old"] == first["old"]) & (table["new"] == first["new"])]
    assert (first["corrections"], first["pixels"]) == (len(part), part["area"].sum())
    assert first["right"] == pytest.approx(part["right"].mean()) == pytest.approx(approval.expected(part).right)
    assert flows["corrections"].is_monotonic_decreasing


def test_the_estimate_says_what_it_rests_on(run: Run, oracle: Run) -> None:
    expected = Approval(run).expected()
    asked = oracle.queries(1)
    assert 0 < expected.tried <= len(asked) and 0 <= expected.tried_right <= expected.tried
    assert 0 <= expected.low <= expected.right <= expected.high <= 1
    assert f"Of {expected.tried} answered masks that would have been corrected" in str(expected)
    assert "may be too high" in CAVEAT
    nothing = Approval(run)
    nothing._about["tried"] = 0
    assert str(nothing.expected()).endswith("the answers do not say how many are right.")


def test_bounds_are_those_of_worlds_and_rounds_of_earlier_versions_have_none(own: Run) -> None:
    file = own.path / "round_01" / "worlds.safetensors"
    found = read_parquet(own.path / "round_01" / "proposals.parquet", "row")
    right = dict(zip(found["row"], np.unpackbits(read_arrays(file)["right"], axis=1), strict=True))
    approval = Approval(own)
    flow = approval.flows().iloc[0]
    part = approval.table[(approval.table["old"] == flow["old"]) & (approval.table["new"] == flow["new"])]
    for rows, shown in ((part["row"], flow), (approval.table["row"], vars(approval.expected()))):
        low, high = np.quantile(np.mean([right[row] for row in rows], axis=0), (0.05, 0.95))
        assert (shown["low"], shown["high"]) == pytest.approx((min(low, shown["right"]), max(high, shown["right"])))
    assert approval.by_confidence()["corrections"].sum() == len(approval.table)
    file.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"worlds\.safetensors"):
        Approval(own)
    write_arrays(file, {"right": np.zeros((1, 50), np.uint8)})
    with pytest.raises(ValueError, match=r"worlds\.safetensors.*expected worlds of \d+ corrections"):
        Approval(own)
    file.unlink()
    expected = Approval(own).expected()
    assert (expected.low, expected.high) == pytest.approx(approval.table[["low", "high"]].mean().tolist())


# ------------------------------------------------------------------------------------------------ deciding
def test_decisions_by_class_and_by_mask_are_kept_and_the_later_one_wins(run: Run) -> None:
    approval = Approval(run)
    table = approval.table
    new = table["new"].value_counts().index[0]
    old = table["old"].value_counts().index[0]
    assert approval.approve(new=new) == (table["new"] == new).sum()
    assert approval.reject(old=old, new=new) == ((table["new"] == new) & (table["old"] == old)).sum()
    mask = tuple(table.loc[table["old"] == old, ["image", "mask_id"]].iloc[0])
    assert approval.approve(masks=[mask]) == 1
    wanted = np.where(
        (table["old"] == old) & (table["new"] == new), "rejected", np.where(table["new"] == new, "approved", "")
    )
    wanted[(table["image"] == mask[0]) & (table["mask_id"] == mask[1])] = "approved"
    for again in (approval, Approval(run)):  # as after a restart
        assert again.table["decision"].tolist() == wanted.tolist()
    assert approval.leave(masks=[mask]) == 1
    assert (Approval(run).table["decision"] == "").sum() == (wanted == "").sum() + 1


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"old": "raod"}, "unknown class 'raod'; did you mean 'road'"),
        ({"old": "road", "new": "road"}, r"no such correction is proposed \(from road to road\)"),
        ({"masks": [("train_0000", 4096)]}, "no correction of image 'train_0000', mask 4096 is proposed"),
    ],
)
def test_what_is_not_proposed_cannot_be_approved(selection: dict, message: str, run: Run) -> None:
    with pytest.raises(ValueError, match=message):
        Approval(run).approve(**selection)
    assert not (run.path / "round_01" / "approvals.jsonl").exists()


def test_one_undo_takes_back_one_decision_where_a_line_was_removed(run: Run) -> None:
    """As the message about a damaged line asks for."""
    approval = Approval(run)
    masks = list(zip(approval.table["image"], approval.table["mask_id"], strict=True))
    for mask in masks[:3]:
        approval.approve(masks=[mask])
    log = run.folder(1).path / "approvals.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    approval = Approval(run)
    before = approval.table["decision"].tolist()
    approval.reject(masks=[masks[3]])
    assert approval.undo() == 1 and approval.table["decision"].tolist() == before


def test_closing_needs_a_decision_about_each(run: Run) -> None:
    approval = Approval(run)
    approval.reject(masks=[tuple(approval.table[["image", "mask_id"]].iloc[0])])
    left = len(approval.table) - 1
    with pytest.raises(ValueError, match=f"{left} of {left + 1} corrections are neither approved nor rejected"):
        approval.close()
    assert run.waits_for == "approval"
    approval.close(enough=True)
    for late in (approval.approve, approval.reject, approval.close):
        with pytest.raises(ValueError, match=r"round_01: this round has gone on"):
            late()


def test_damaged_files_of_the_round_are_named(own: Run) -> None:
    folder = own.path / "round_01"
    about, proposals = (folder / "proposals.json").read_text(), (folder / "proposals.parquet").read_bytes()
    (folder / "proposals.json").write_text('{"answers": 3}')
    with pytest.raises(ValueError, match=r"proposals\.json: expected a JSON object with tried, tried_right, found"):
        Approval(own)
    (folder / "proposals.json").write_text(about)
    write_parquet(folder / "proposals.parquet", pd.DataFrame({"row": [1], "label": [1]}))
    with pytest.raises(ValueError, match=r"proposals\.parquet: expected the columns row, label, confidence, right"):
        Approval(own)
    (folder / "proposals.parquet").write_bytes(proposals)
    Approval(own).close(enough=True)
    write_parquet(folder / "approved.parquet", pd.DataFrame({"row": [1]}))
    with pytest.raises(ValueError, match=r"approved\.parquet: expected the columns row, label, confidence"):
        go_on(own)


def test_approval_on_the_command_line(run: Run) -> None:
    assert state_of(run) == f"approval of round 1: 0 of {len(Approval(run).table)}"
    shown = CliRunner().invoke(app, ["approve", str(run.path)])
    assert shown.exit_code == 0 and "are expected to be right" in shown.output and "too high" in shown.output
    new = Approval(run).table["new"].value_counts().index[0]
    done = CliRunner().invoke(app, ["approve", str(run.path), "--to", new])
    assert f"{(Approval(run).table['new'] == new).sum()} corrections approved" in done.output
    every = CliRunner().invoke(app, ["approve", str(run.path), "--all", "--reject"])
    assert f"{len(Approval(run).table)} corrections rejected" in every.output
    assert "--reject: say what" in str(CliRunner().invoke(app, ["approve", str(run.path), "--reject"]).exception)


# ------------------------------------------------------------------------------------------------ going on
def test_all_answers_of_the_oracle_and_all_corrections_give_the_oracle_s_run(own: Run, oracle: Run) -> None:
    """A person changes who decides, not what is computed."""
    Approval(own).approve()
    after = go_on(own)
    assert after.finished_rounds == 1 and after.waits_for == "answers"
    for name in ("masks.parquet", "segmenter.safetensors", "lcm.safetensors", "queries.parquet", "scores.parquet"):
        assert (own.path / "round_01" / name).read_bytes() == (oracle.path / "round_01" / name).read_bytes(), name
    ours, theirs = after.metrics(1), oracle.metrics(1)
    assert {name: value for name, value in ours.items() if name in theirs and not name.startswith("seconds")} == {
        name: value for name, value in theirs.items() if not name.startswith("seconds")
    }
    assert ours["lcm_proposed"] == ours["n_auto"]


def test_rejected_and_undone_corrections_never_come_again(own: Run) -> None:
    """A whole story: some approved, one rejected, one undone after the round, one undone while the next one waits for
    approval. None of the three is touched again; the labels are what they were."""
    approval = Approval(own)
    table = approval.table
    asked = set(own.queries(1)["row"])
    approved, rejected, left = table.iloc[:-2], table.iloc[-2], table.iloc[-1]
    approval.approve(masks=zip(approved["image"], approved["mask_id"], strict=True))
    approval.reject(masks=[(rejected["image"], rejected["mask_id"])])
    run = go_on(own, enough=True)
    first, before = run.masks(1).table, run.masks(0).table
    assert set(np.flatnonzero(first["source"] == "lcm")) == set(approved["row"])
    assert first["label"][rejected["row"]] == before["label"][rejected["row"]]
    assert first["label"][left["row"]] == before["label"][left["row"]] and run.metrics(1)["n_auto"] == len(approved)

    queue = Queue(run)
    undone = next(row for row in approved["row"] if row not in {query.row for query in queue.queries})
    later = next(row for row in approved["row"] if row not in {undone, *(query.row for query in queue.queries)})
    mask = (first["image"][undone], int(first["mask_id"][undone]))
    metrics = run.metrics(1)
    shown = automatic_corrections(run).set_index("row")
    assert sorted(shown.index) == sorted(approved["row"]) and (shown["round"] == 1).all()
    assert shown.loc[undone, "before"] == run.masks(0).classes.names[before["label"][undone]]
    assert undo_corrections(run, [mask]) == 1
    now = run.masks(1).table
    assert now.iloc[undone].drop("confidence").equals(before.iloc[undone].drop("confidence"))
    assert now.drop(index=undone).equals(first.drop(index=undone)) and run.metrics(1) == metrics
    assert vetoed(run.path, run.masks(1)).nonzero()[0].tolist() == sorted([undone, rejected["row"]])
    with pytest.raises(ValueError, match="no automatic correction to undo, its label comes from: initial"):
        undo_corrections(run, [mask])

    queue, truth = Queue(run), truth_of(run).majority
    names = [*queue.classes.names, *["void"] * 256]
    queue.answer_many((query.position, names[truth[query.row]]) for query in queue.queries)
    with lcm_of(told(2)):  # another class than in the first round, for each mask
        run = go_on(run)
    assert run.waits_for == "approval"
    second = Approval(run)
    assert len(second.table) > 20 and not {undone, rejected["row"]} & set(second.table["row"])
    undo_corrections(run, [(first["image"][later], int(first["mask_id"][later]))])
    second.approve()
    with lcm_of(told(2)):
        run = go_on(run)
    assert run.finished
    last = run.masks().table
    assert not asked & set(np.flatnonzero(last["source"].isin(["lcm", "overruled"])))
    for row in (undone, rejected["row"], later):
        if last["source"][row] != "annotator":  # who may still be asked
            assert last["label"][row] == before["label"][row] and last["source"][row] == "initial"
    assert (last["source"][[undone, later]] == "initial").all()

    twice = second.table["row"].isin(approved["row"]) & (second.table["row"] != later)
    row = int(second.table["row"][twice].iloc[0])  # corrected in both rounds: undone one after the other
    mask = (last["image"][row], int(last["mask_id"][row]))
    labels = [last["label"][row]]
    for source in ("lcm", "initial"):
        undo_corrections(run, [mask])
        labels.append(run.masks().table["label"][row])
        assert run.masks().table["source"][row] == source
    assert labels == [table_["label"][row] for table_ in (last, first, before)]
    put_back = CliRunner().invoke(app, ["undo", str(run.path)])
    assert put_back.exit_code == 0 and mask[0] in put_back.output


def test_undo_refuses_what_is_no_automatic_correction(oracle: Run) -> None:
    answered = oracle.queries(1).iloc[0]
    with pytest.raises(ValueError, match=r"no automatic correction to undo, its label comes from: annotator"):
        undo_corrections(oracle, [(answered["image"], answered["mask_id"])])
    fewer = Run(oracle.path, Experiment(**QUICK | {"rounds": 0}))
    with pytest.raises(ValueError, match="has 1 rounds, not 0; open it by Run.open"):
        undo_corrections(fewer, [(answered["image"], answered["mask_id"])])
    with pytest.raises(ValueError, match="image 'train_0000' has no mask 4096"):
        undo_corrections(oracle, [("train_0000", 4096)])
    refused = CliRunner().invoke(app, ["undo", str(oracle.path), "train_0000"])
    assert "expected a mask as IMAGE:ID, found 'train_0000'" in str(refused.exception)
    assert not (oracle.path / "undone.jsonl").exists() or not (oracle.path / "undone.jsonl").read_text()


def test_approval_can_be_wanted_of_an_oracle_s_run(oracle: Run) -> None:
    config = Experiment(**QUICK | {"rounds": 1}, approval=True)
    run = a2lc.run(config, oracle.path.parent, **PLAY)
    assert run.waits_for == "approval" and len(Approval(run).table) == oracle.metrics(1)["n_auto"]
    with pytest.raises(ValueError, match="corrections are neither approved nor rejected"):
        go_on(run)
