"""Tables and pictures on referring expressions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from a2lc import referring
from a2lc.files import write_json
from a2lc.paper.referring import (
    about,
    data_of,
    decisions_by_gate,
    draw_look,
    draw_results,
    play_presets,
    preset_of,
    results,
)
from a2lc.paper.referring_rounds import (
    acceptance,
    chosen_sentences,
    draw_acceptance,
    draw_learning,
    draw_presets,
    draw_rates,
    learning,
    looks_at,
    play_rates,
    provenance,
    rates_table,
)
from a2lc.paper.summary import save_headline, write_summary

FIELDS: dict[str, Any] = {
    "options": {"n_train": 6, "n_val": 1, "n_test": 2, "height": 48, "width": 64},
    "rate": 0.7,
    "rounds": 1,
    "explore": 0.5,
    "training": {"steps": 1, "batch": 4},
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Any:
    folder, data = tmp_path_factory.mktemp("runs"), data_of(FIELDS)
    return data, play_presets(FIELDS, ["prior_only", "full"], [0, 1], str(folder), data)


def key_of(fig: Figure) -> tuple[Any, Any]:
    """Texts and patches of a figure's legend."""
    return fig.legends[0].get_texts(), fig.legends[0].get_patches()


def test_a_preset_keeps_what_makes_it() -> None:
    assert preset_of(FIELDS, "supervised", 3).rounds == 0 and preset_of(FIELDS, "full_supervision", 0).rate == 1
    config = preset_of(FIELDS, "full", 3)
    assert (config.rounds, config.seed, config.rate, config.method) == (1, 3, 0.7, "full")
    with pytest.raises(ValueError, match="method: expected one of"):
        preset_of(FIELDS, "ful", 0)


def test_captions_say_what_is_simulated_and_that_the_paper_is_not_reproduced() -> None:
    assert "the frozen model is simulated" in about(FIELDS, [0]) and "70 %" in about(FIELDS, [0])
    assert "After the published description" in about(FIELDS, [0])


@pytest.mark.slow
def test_results_are_means_over_seeds(played: Any) -> None:
    _, runs = played
    table = results(runs)
    assert set(table["method"]) == {"prior_only", "full"} and (table["runs"] == 2).all()
    wanted = [100 * run.summary["test_rel_miou"].iloc[-1] for run in runs["full"]]
    row = table[(table["method"] == "full") & (table["split"] == "test_rel")].iloc[0]
    assert row["mIoU"] == pytest.approx(np.mean(wanted)) and row["mIoU sd"] == pytest.approx(np.std(wanted, ddof=1))
    fig = draw_results(table, "oIoU", about(FIELDS, [0, 1]))
    axis = fig.axes[0]
    heights = [patch.get_height() for patch in axis.patches]
    assert table["oIoU"].iloc[0] == pytest.approx(heights[0])
    fig.canvas.draw()
    assert axis.get_legend() is None, "it would cover bars"
    assert fig.legends[0].get_window_extent().y1 <= axis.get_window_extent().y0
    assert max(map(len, fig.get_suptitle().splitlines())) <= 100
    plt.close(fig)


@pytest.mark.slow
def test_gates_are_counted(played: Any) -> None:
    _, runs = played
    run = runs["full"][0]
    table, decisions = decisions_by_gate(run, 1), run.decisions(1)
    assert table["sentences"].sum() == len(decisions)
    for row in table.itertuples():
        mine = decisions[decisions["gate"] == row.gate]
        assert row.sentences == len(mine) and row.share == pytest.approx(100 * mine["share"].mean())


@pytest.mark.slow
def test_a_sentence_is_looked_at_with_what_was_decided(played: Any, tmp_path: Path) -> None:
    data, runs = played
    run = runs["full"][0]
    decisions = run.decisions(1)
    for row in decisions.itertuples():
        found = referring.look(run, data, "train", int(row.sentence_id), round=0, device="cpu")
        assert found.cells.mean() == pytest.approx(row.share, abs=0.02)
        assert found.said is not None and found.said.shape == found.cells.shape == (12, 16)
    fig = draw_look(found, "title")
    assert [axis.get_title() for axis in fig.axes] == [
        "image, boxes",
        "proposal",
        "network",
        "fused",
        "accepted",
        "truth",
    ]
    keys = {text.get_text(): key for text, key in zip(*key_of(fig), strict=True)}
    drawn = fig.axes[5].images[0]  # the truth
    assert to_rgba(drawn.cmap(1.0)) == keys["1: the object"].get_facecolor()  # type: ignore[attr-defined]
    assert to_rgba(drawn.cmap(0.0)) == keys["0: background"].get_facecolor()  # type: ignore[attr-defined]
    assert to_rgba(fig.axes[4].get_facecolor()) == keys["not accepted"].get_facecolor()  # type: ignore[attr-defined]
    plt.close(fig)
    alone = referring.look(runs["prior_only"][0], data, "val", int(data.val.table["sentence_id"][0]), round=0)
    assert alone.said is None and alone.prior is not None
    fig = draw_look(alone, "title")
    assert [axis.get_title() for axis in fig.axes] == ["image, boxes", "proposal", "truth"]
    assert "not accepted" not in [text.get_text() for text in key_of(fig)[0]]
    plt.close(fig)
    with pytest.raises(KeyError, match="train: no sentence 99999"):
        referring.look(run, data, "train", 99999, round=0)


@pytest.mark.slow
def test_shares_of_labels(played: Any, tmp_path: Path) -> None:
    data, _ = played
    presets = ["prior_only", "full_supervision"]
    by_percent = play_rates(FIELDS, [34, 67], presets, [0], str(tmp_path), data)
    table = rates_table(by_percent)
    labelled = table.drop_duplicates(["percent", "method"])[["percent", "images"]].to_numpy().tolist()
    assert labelled == [[34, 2], [34, 6], [67, 4], [67, 6]], "full supervision has all six"
    assert list(table["method"].unique()) == presets and not table.duplicated(["percent", "method", "split"]).any()
    all_labelled = [runs["full_supervision"][0].path for runs in by_percent.values()]
    assert all_labelled[0] == all_labelled[1], "its rate is its own, so it is one run"
    every = [one for runs in by_percent.values() for of in runs.values() for one in of]
    behind = provenance(every, "Table 6")
    assert len(behind["runs"]) == 3 and behind["config"]["dataset"] == "toy_referring"
    assert all(one.seconds > 0 for one in every if one.config.trains) and behind["minutes"] >= 0
    save_headline("table6", tmp_path / "figures", "Table 6", {"full, oIoU (%)": (50.0, None)})
    write_json(tmp_path / "figures" / "table6_provenance.json", behind)
    page = write_summary(tmp_path / "figures", "toy", {}, "cpu").read_text()
    assert "| table6 | full, oIoU (%) | 50" in page, "`a2lc regenerate` writes its page of these items, too"
    fig = draw_rates(by_percent, "oIoU", ["test_uni", "test_rel"], "title")
    drawn = np.asarray(fig.axes[1].lines[0].get_ydata())
    wanted = table[(table["method"] == "prior_only") & (table["split"] == "test_rel")]["oIoU"]
    assert drawn == pytest.approx(wanted.to_numpy())
    plt.close(fig)


@pytest.mark.slow
def test_rounds_and_what_they_accept(played: Any) -> None:
    data, runs = played
    runs = {"full": runs["full"]}
    table = learning(runs)
    assert table[["seed", "round"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert (table.loc[table["round"] == 0, "accepted"] == 0).all()
    accepted = acceptance(runs)
    for run, row in zip(runs["full"], accepted.itertuples(), strict=True):
        found = run.decisions(1)
        taken = found["gate"] > 0
        assert row.sentences == len(found) and row.accepted == pytest.approx(100 * taken.mean())
        for name in ("share", "iou", "precision"):
            assert getattr(row, name) == pytest.approx(100 * found.loc[taken, name].mean(), nan_ok=True)
        assert row.iou_rejected == pytest.approx(100 * found.loc[~taken, "iou"].mean(), nan_ok=True)
    of_round = accepted.set_index(["seed", "round"])["accepted"]
    assert table.set_index(["seed", "round"])["accepted"].loc[of_round.index].to_numpy() == pytest.approx(of_round)
    for fig in (
        draw_learning(table, "oIoU", "title"),
        draw_acceptance(accepted, "title"),
        draw_presets(runs, "oIoU", ["test_uni"], "title"),
    ):
        fig.canvas.draw()
        plt.close(fig)
    for run in runs["full"]:
        chosen = chosen_sentences(run, 1)
        gates = run.decisions(1).set_index("sentence_id")["gate"]
        assert chosen and len(set(chosen.values())) == len(chosen)
        assert all((gates[number] == 0) == (name == "rejected") for name, number in chosen.items())
        seen = looks_at(run, data, chosen, 1)
        assert [name.split(":")[0] for name in seen] == [*chosen]
