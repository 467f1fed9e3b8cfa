"""Acceptance in runs: who decides, audits by oracle and person, what is refused, and that names of runs stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Unmoved, lcm_of, nearest
from small_runs import QUICK, contents

import a2lc
from a2lc import Experiment, Run
from a2lc.files import read_parquet
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.runs import STAGES
from a2lc.stages import audits

PLAY: dict[str, Any] = {"segmenter": Unmoved, "device": "cpu", "progress": False}
AUDIT = {"acceptance": "bandit", "audit": 0.5, "audit_choice": "stake", "pessimism": 0.5}
AUDITED = {**QUICK, "rounds": 1, "budget": 120, "method": "a2lc_bandit_audit", "correction": AUDIT}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with lcm_of(nearest):
        return a2lc.run(Experiment(**AUDITED), tmp_path_factory.mktemp("runs"), **PLAY)


def test_audits_are_a_part_of_the_clicks_and_keep_their_propensity(oracle: Run) -> None:
    folder = oracle.folder(1)
    assert list(folder.state.finished) == [*STAGES[:3], "audited", *STAGES[3:]]
    table = read_parquet(folder.path / "queries.parquet", "row", "score", "purpose", "propensity")
    assert len(table) == 120 == oracle.metrics(1)["clicks"] and (table["purpose"] == "audit").sum() == 60
    audited = table[table["purpose"] == "audit"]
    assert audited["propensity"].between(0, 1, inclusive="right").all()
    assert table.loc[table["purpose"] == "score", "propensity"].isna().all()
    masks = oracle.masks(1).table.iloc[table["row"]]
    assert (masks["source"] == "annotator").all() and table["row"].is_unique
    metrics = oracle.metrics(1)
    assert 0 <= metrics["lcm_oa_after_audited_low"] <= metrics["lcm_oa_after_audited_high"] <= 1
    assert len(oracle.queries(1)) == 120 and oracle.summary["clicks"].iloc[-1] == 120


def test_a_person_s_audits_come_in_the_same_queue(oracle: Run) -> None:
    run = a2lc.run(Experiment(**AUDITED, annotator="human"), oracle.path.parent, **PLAY)
    wanted = oracle.queries(1)
    names = [*run.masks(0).classes.names, *["void"] * 256]
    answers = dict(zip(wanted["row"], wanted["answer"], strict=True))
    with lcm_of(nearest):
        queue = Queue(run)
        assert len(queue) == 60 and queue.audits == 0 and "LCM" not in repr(queue)
        queue.answer_many((query, names[answers[query.row]]) for query in queue.queries)
        run = next_round(run, **PLAY)
        assert run.waits_for == "answers" and run.folder(1).done("answered")
        queue = Queue(run)
        assert [query.row for query in queue.queries] == wanted["row"].tolist()
        assert queue.audits == len(queue.pending) == 60 and "60 of them about what the LCM wants" in repr(queue)
        with pytest.raises(FileNotFoundError, match="no answers yet"):
            run.queries(1)
        queue.answer_many((query, names[answers[query.row]]) for query in queue.pending[1:])
        run = next_round(run, enough=True, **PLAY)  # one audit is left out
    assert run.waits_for == "approval" and list(run.folder(1).state.finished) == [*STAGES[:3], "audited"]
    rows, propensity = run.folder(1).audits()
    assert len(rows) == 59 and propensity.tolist() == oracle.folder(1).audits()[1][1:].tolist()
    expected = Approval(run).expected()
    assert expected.audited is not None and "Audits say" in str(expected)


@pytest.mark.parametrize("after", ["chosen", "answered"])
def test_a_run_that_was_stopped_during_audits_ends_the_same(
    oracle: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    name = "answer_audits" if after == "chosen" else "choose_what_to_audit"
    with lcm_of(nearest):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"a2lc.stages.corrections.{name}", stop)
            a2lc.run(Experiment(**AUDITED), tmp_path, **PLAY)
        run = a2lc.run(Experiment(**AUDITED), tmp_path, **PLAY)
    assert contents(run.path) == contents(oracle.path)


def test_clicks_without_a_proposal_go_to_the_next_scores(
    oracle: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = (np.empty(0, np.int64), np.empty(0))
    monkeypatch.setattr(audits, "choose_audits", lambda *_: nothing)
    with lcm_of(nearest):
        run = a2lc.run(Experiment(**AUDITED), tmp_path, **PLAY)
    scores = run.folder(1).scores()
    assert sorted(run.queries(1)["row"]) == sorted(np.argsort(-scores, kind="stable")[:120])
    assert len(run.folder(1).audits()[0]) == 0


@pytest.mark.parametrize("features", ["pooled", "both"])
def test_an_lcm_that_reads_pooled_features_plays_a_round(tmp_path: Path, features: str) -> None:
    correction = {"features": features, "pooled_from": "colour", "model": "logistic", "void": "outcome"}
    fields = {**QUICK, "rounds": 1, "correction": {"acceptance": "bandit", "pessimism": 0.0, **correction}}
    run = a2lc.run(Experiment(**fields), tmp_path, **PLAY)
    assert run.finished and run.metrics(1)["lcm_proposed"] > 0
    assert a2lc.run(Experiment(**fields), tmp_path, **PLAY).finished


# ------------------------------------------------------------------------------------------------ configuration
def test_names_of_runs_stay_and_the_guard_has_one() -> None:
    default, guard = Experiment(), Experiment(correction={"guard": True})
    assert Experiment(correction={"acceptance": "published", "audit": 0.0}).name == default.name
    assert guard.name == Experiment(correction={"acceptance": "guard"}).name == "toy-a2lc-s0-89a87ae4"
    assert guard.correction.acceptance == "guard" and Experiment(correction={"acceptance": "guard"}).correction.guard
    kept = Experiment(**guard.model_dump(mode="json"))
    assert kept == guard and "acceptance" not in guard.model_dump(mode="json")["correction"]
    assert Experiment(method="a2lc_bandit").correction.acceptance == "bandit"
    assert Experiment(method="a2lc_bandit_audit").correction.audit == 0.25
    assert Experiment(method="a2lc_bandit").audits(10_000) == 0 < Experiment(method="a2lc_bandit_audit").audits(10_000)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"correction": {"guard": True, "acceptance": "bandit"}}, "guard: true contradicts acceptance 'bandit'"),
        ({"method": "a2lc_bandit", "correction": {"guard": True}}, "guard: true contradicts acceptance 'bandit'"),
        ({"correction": {"guard": False, "acceptance": "guard"}}, "guard: false contradicts acceptance 'guard'"),
        ({"correction": {"audit": 0.25}}, "audit: belongs to acceptance 'bandit'"),
        ({"correction": {"guard": True, "pessimism": 1.0}}, "pessimism: belongs to acceptance 'bandit'"),
        ({"correction": {"acceptance": "bandit", "gradient": "reinforce"}}, "gradient: belongs to acceptance 'policy_"),
        ({"correction": {"acceptance": "policy_gradient", "pessimism": 1.0}}, "pessimism: belongs to acceptance 'ban"),
        ({"correction": {"acceptance": "bandit", "audit_choice": "stake"}}, "audit_choice: belongs to audit > 0"),
        ({"correction": {"pooled_from": "colour"}}, "pooled_from: belongs to features 'pooled'"),
        ({"correction": {"acceptance": "bandid"}}, "correction.acceptance: expected 'published'"),
        ({"method": "a2lc_bandit_audit", "lcm": False}, "correction.audit: asks about what the LCM wants to change"),
        ({"method": "instant", "correction": {"acceptance": "bandit"}}, "correction.acceptance: belongs to the LCM"),
        ({"method": "instant", "correction": {"features": "both"}}, "correction.features: belongs to the LCM"),
        (
            {"method": "a2lc_bandit", "scoring": {"features": "penultimate"}},
            "correction.acceptance: reads probabilities, found scoring.features 'penultimate'",
        ),
        ({"method": "alc_lcm", "correction": AUDIT}, "correction.audit: asks about masks, found query 'pixel'"),
    ],
)
def test_contradictions_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(**fields)
