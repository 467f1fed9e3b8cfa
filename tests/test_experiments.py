"""The protocols of Tables 1, 2, 4 and 5: which runs make them, and how their tables and figures are made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_runs import EAGER, hand_made_run, network, seeded

import a2lc
from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.config import METHODS, Experiment
from a2lc.figures import METHOD_STYLE, learning_curves, rows_beside_paper, save_figure, style_of
from a2lc.files import read_json, write_json
from a2lc.paper.clicks import answers_only, asked_masks, check_answers, click_costs
from a2lc.paper.experiments import (
    CITYSCAPES_SHARE,
    INSTANT_ROWS,
    TABLE1,
    TABLE4,
    TABLE5,
    run_rows,
    table2,
    table2_clicks,
)
from a2lc.paper.figure_instant import cost_curves, draw_costs, seconds_until_labels
from a2lc.paper.origin import NOT_IN_PAPER
from a2lc.paper.tables import (
    beside_paper,
    caption,
    ceiling,
    check_rounds,
    clicks_caption,
    final_table,
    headline,
    paper_table,
    paper_values,
    provenance,
    rounds_table,
    save_table,
)
from a2lc.runs import Run

SMALL = {
    "dataset": "toy",
    "segmenter": network(iterations=3, batch_size=4),
    "correction": {"epochs": 5, **EAGER},
}
CLICKS, SEEDS = 41, (seeded(0), seeded(1))
ROWS = {name: fields for name, fields in table2(CLICKS).items() if name in ("fully_supervised", "mulspx", "a2lc")}


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(runs_dir: Path) -> dict[str, list[Run]]:
    """Three rows of Table 2 with two seeds each."""
    pytest.importorskip("cv2")
    return run_rows(SMALL, ROWS, SEEDS, runs_dir=runs_dir, device="cpu", progress=False)


# ------------------------------------------------------------------------------------------------------- protocols
def printed_rows(item: str) -> set[str]:
    return set(paper_table(item)["method"]) - {"init"}


def test_rows_are_the_papers() -> None:
    assert printed_rows("table4") == set(TABLE4) == set(ACQUISITION_FUNCTIONS)
    assert printed_rows("table5") == set(TABLE5)
    assert printed_rows("table2") == set(table2(100)) - {"mulspx_halves"}


def test_rows_of_table4_differ_in_nothing_but_the_function() -> None:
    rows = {name: Experiment(**fields).identity() for name, fields in TABLE4.items()}
    assert [row.pop("acquisition") for row in rows.values()] == list(rows)
    assert all(row == rows["abc"] for row in rows.values()) and rows["abc"]["lcm"]


def test_rows_of_table5_add_one_component_after_the_other() -> None:
    rows = {name: Experiment(**fields).identity() for name, fields in TABLE5.items()}
    steps = {
        ("baseline", "lcm"): {"lcm"},
        ("baseline", "abc"): {"acquisition", "similarity"},
        ("abc", "lcm+abc"): {"lcm"},
        ("lcm", "lcm+abc"): {"acquisition", "similarity"},
        ("lcm+abc", "lcm+abc+mask"): {"query"},
    }
    for (a, b), changed in steps.items():
        assert {key for key in rows[a] if rows[a][key] != rows[b][key]} == changed | {"method"}
    assert all(row["non_redundant"] for row in rows.values())


def test_rows_beside_the_papers_differ_in_their_features_and_need_no_weights_for_colour() -> None:
    assert list(INSTANT_ROWS) == ["instant", "instant_colour"]
    assert set(TABLE1) == {*METHODS, "instant_colour"} and TABLE1["a2lc"] == {"method": "a2lc"}
    assert all(TABLE1[name] == fields for name, fields in INSTANT_ROWS.items())
    default, colour = (Experiment(**fields, rounds=3) for fields in INSTANT_ROWS.values())
    assert colour == default.model_copy(update={"instant": default.instant.model_copy(update={"features": "colour"})})
    assert default.optional_modules == ("timm",) and not colour.optional_modules
    assert [colour.trains(number) for number in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(("clicks", "half"), [(2, 1), (3, 1), (100, 50), (101, 50)])
def test_rows_of_table2_share_one_budget(clicks: int, half: int) -> None:
    spent = {name: (row["rounds"], row.get("budget")) for name, row in table2(clicks).items()}
    assert spent.pop("fully_supervised") == (0, None)
    halves = {name for name in spent if spent[name] == (2, half)}
    assert halves == {"spx", "merspx", "mulspx_halves"}
    assert {spent[name] for name in spent.keys() - halves} == {(1, clicks)}


def test_budget_of_table2_is_a_share_of_the_superpixels(runs: dict, runs_dir: Path) -> None:
    total = len(runs["mulspx"][0].masks(0))
    assert total == 96 * 12  # images of 96 x 128 pixels
    assert table2_clicks(SMALL, runs_dir, 0.05) == round(0.05 * total)
    assert table2_clicks(SMALL, runs_dir) == 19 and pytest.approx(0.0164128, abs=5e-8) == CITYSCAPES_SHARE
    assert table2_clicks(SMALL, runs_dir, 1e-6) == 2  # two halves


# ------------------------------------------------------------------------------------------------------------ runs
def test_every_row_is_run_with_every_seed(runs: dict) -> None:
    assert list(runs) == list(ROWS)
    assert all([run.config.seed for run in of_row] == list(SEEDS) for of_row in runs.values())
    assert all(run.finished for run in sum(runs.values(), []))
    kinds = {name: {run.config.pseudo_labels.kind for run in of_row} for name, of_row in runs.items()}
    assert kinds == {"fully_supervised": {"ground_truth"}, "mulspx": {"superpixels"}, "a2lc": {"simulated"}}
    assert all(run.config.segmenter.iterations == 3 for run in sum(runs.values(), []))
    assert {run.config.segmenter.head for run in runs["mulspx"]} == {"cosine"}


def test_finished_rows_are_found_again(runs: dict, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2lc.rounds.play_round", lambda *a: pytest.fail("a finished run was played again"))
    again = run_rows(SMALL, {"mine": ROWS["a2lc"]}, SEEDS, runs_dir=runs_dir, device="cpu", progress=False)
    assert [run.path for run in again["mine"]] == [run.path for run in runs["a2lc"]]


def test_rows_bring_their_own_pseudo_labels(tmp_path: Path) -> None:
    """Those of the shared fields are for the rows that start from labels; here they would be refused."""
    folders = {"kind": "folders", "object_maps": str(tmp_path / "o"), "labels": str(tmp_path / "l")}
    with pytest.raises(FileNotFoundError):
        run_rows(SMALL | {"pseudo_labels": folders}, {"a2lc": ROWS["a2lc"]}, runs_dir=tmp_path, progress=False)
    fields = SMALL | {"pseudo_labels": folders}
    run = run_rows(fields, {"all": ROWS["fully_supervised"]}, runs_dir=tmp_path, device="cpu", progress=False)
    assert run["all"][0].config.pseudo_labels.kind == "ground_truth"


def test_a_wrong_row_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'budget'"):
        run_rows(SMALL, {"good": {"rounds": 0}, "bad": {"budgets": 3}}, runs_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("value", "shown"), [("1", False), ("0", True), ("", True)])
def test_tqdm_disable_is_heard(
    value: str, shown: bool, runs: dict, runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", value)
    run_rows(SMALL, {"a2lc": ROWS["a2lc"]}, SEEDS, runs_dir=runs_dir, device="cpu")
    table2_clicks(SMALL, runs_dir)
    a2lc.run(runs["a2lc"][0].config, runs_dir, device="cpu")
    assert ("runs" in capfd.readouterr().err) == shown


# ---------------------------------------------------------------------------------------------------------- clicks
def test_clicks_are_the_budget(runs: dict) -> None:
    costs = click_costs(runs).set_index("row")
    assert list(costs.index) == ["mulspx"] * 2 + ["a2lc"] * 2  # full supervision clicks nothing
    assert (costs.loc["a2lc", "clicks"] == CLICKS).all() and (costs.loc["a2lc", "answers"] == CLICKS).all()
    assert (costs.loc["a2lc", "classes_per_answer"] == 1).all()
    mulspx = costs.loc["mulspx"]
    assert mulspx["clicks"].between(CLICKS, CLICKS + 14).all()  # its last superpixel may exceed the budget
    assert np.allclose(mulspx["answers"] * mulspx["classes_per_answer"], mulspx["clicks"])


def test_pixels_per_click_are_those_of_the_masks_asked_about(runs: dict) -> None:
    run = runs["a2lc"][0]
    area = run.masks(0).table["area"].to_numpy()[run.queries(1)["row"]]
    costs = click_costs(runs).query("row == 'a2lc'").set_index("seed")
    assert costs.loc[run.config.seed, "pixels_per_click"] == area.sum() / CLICKS


def test_what_the_answers_alone_are_worth(runs: dict) -> None:
    run = runs["a2lc"][0]
    queries = run.queries(1)
    masks = run.masks(0).relabel(queries["row"].to_numpy(), queries["answer"].to_numpy(), source="annotator", round=1)
    train = a2lc.load_dataset("toy").train
    assert answers_only(run) == pytest.approx(a2lc.data_miou(masks, train))
    first = run.summary["data_miou"].iloc[0]
    row = asked_masks({"a2lc": [run]}).iloc[0]
    assert row["answers"] == pytest.approx(100 * answers_only(run)) and row["first"] == pytest.approx(100 * first)
    assert row["last"] == pytest.approx(100 * run.summary["data_miou"].iloc[-1])
    assert row["wrong"] == pytest.approx(100 * (queries["label"] != queries["answer"]).mean())
    with pytest.raises(ValueError, match="expected a run that starts from labels"):
        answers_only(runs["mulspx"][0])
    assert row["median_area"] == run.masks(0).table["area"].iloc[queries["row"]].median()


def test_right_answers_about_wrong_labels_lie_between_the_first_labels_and_the_ceiling(tmp_path: Path) -> None:
    """All four of the hand-made run; its LCM, which spoils labels, is left out."""
    run = hand_made_run(tmp_path)
    first = a2lc.data_miou(run.masks(0), a2lc.load_dataset("folder", run.config.root).train)
    assert first < answers_only(run) < ceiling(run) == 1


def measured(run: Run) -> Run:
    """The hand-made run, and what a run notes while it is played."""
    for number in range(run.finished_rounds + 1):
        write_json(run.folder(number).path / "metrics.json", {"round": number, "clicks": 2 * number, "data_miou": 0.5})
    return run


def test_answers_are_checked_whatever_the_numbers_are(runs: dict, runs_dir: Path, tmp_path: Path) -> None:
    for run in (*runs["a2lc"], *runs["fully_supervised"], measured(hand_made_run(tmp_path))):
        check_answers(run)
    one, ever = (Experiment(**SMALL, method="alc_non_redundant", rounds=2, budget=budget) for budget in (1, 5000))
    check_answers(a2lc.run(one, runs_dir, device="cpu", progress=False))
    with pytest.warns(UserWarning, match="are left|was queried"):
        asked = a2lc.run(ever, runs_dir, device="cpu", progress=False)
    assert asked.finished_rounds == 1  # all masks in the first round, and the run ends
    check_answers(asked)
    with pytest.raises(ValueError, match="expected a run that starts from labels"):
        check_answers(runs["mulspx"][0])


def test_a_lost_answer_a_lost_query_and_a_lost_click_are_found(tmp_path: Path) -> None:
    run = measured(hand_made_run(tmp_path))
    folder = run.folder(2)
    state = folder.path / "masks.parquet"
    kept = state.read_bytes()
    masks = run.masks(2)
    lost = masks.restored(folder.queried_rows()[:1], run.masks(0).table.iloc[folder.queried_rows()[:1]])
    lost.save_state(state)
    with pytest.raises(ValueError, match="round 2: expected every answer as its mask's label, found 1 others"):
        check_answers(run)
    state.write_bytes(kept)
    for name in ("queries.parquet", "answers.jsonl"):  # what was asked before
        shutil.copy(run.folder(1).path / name, folder.path)
    with pytest.raises(ValueError, match="round 2: expected 2 masks that can be asked about"):
        check_answers(run)
    run, metrics = measured(hand_made_run(tmp_path / "again")), "round_02/metrics.json"
    write_json(run.path / metrics, read_json(run.path / metrics) | {"clicks": 3})
    with pytest.raises(ValueError, match="expected a click per query, 4, found 3"):
        check_answers(run)


def test_what_was_asked_about_in_a_run_without_rounds_is_nothing(tmp_path: Path) -> None:
    row = asked_masks({"none": [measured(hand_made_run(tmp_path, rounds=0))]}).iloc[0]
    assert np.isnan(row["wrong"]) and np.isnan(row["median_area"]) and row["first"] == row["last"] == 50


# ---------------------------------------------------------------------------------------------------------- tables
def test_last_round_beside_the_papers(runs: dict, tmp_path: Path) -> None:
    table = final_table(runs, "table2", "cityscapes").set_index("row")
    assert list(table.index) == list(ROWS) and (table["n_seeds"] == 2).all()
    assert table["rounds"].tolist() == [0, 1, 1] and table["clicks"].loc[["fully_supervised", "a2lc"]].tolist() == [
        0,
        41,
    ]
    last = [run.summary["model_miou"].iloc[-1] for run in runs["a2lc"]]
    ours = table.loc["a2lc"]
    assert ours["model_miou"] == pytest.approx(100 * np.mean(last))
    assert ours["model_miou_std"] == pytest.approx(100 * np.std(last, ddof=1))
    assert ours["model_miou_paper"] == 72.37
    assert ours["model_miou_difference"] == pytest.approx(ours["model_miou"] - 72.37)
    assert "data_miou_paper" not in table  # Table 2 prints none
    alone = final_table({"mine": runs["a2lc"][:1]}, "table2", "cityscapes")
    assert not [name for name in alone if name.endswith(("_std", "_paper", "_difference"))]
    about = clicks_caption(runs, CLICKS)
    assert about.startswith("toy: 41 clicks per row, 2 seeds; pseudo-labels of ALC and A²LC simulated from")
    save_table(table.reset_index(), "table2", tmp_path, about)
    assert "72.37" in (tmp_path / "table2.md").read_text(encoding="utf-8")


def test_rows_keep_their_order(runs: dict) -> None:
    """And superpixels, which start without labels, have no round 0."""
    table = rounds_table(runs)
    assert list(table["method"].unique()) == list(runs)
    assert table.query("method == 'mulspx' and round == 0")["mean"].isna().all()
    both = beside_paper(table, "table2", "cityscapes")
    assert both.loc[("model_miou", "mulspx", "ours"), 0] == ""
    assert both.loc[("model_miou", "mulspx", "paper (cityscapes)"), 1] == "66.60"


@pytest.fixture(scope="module")
def beside(runs_dir: Path) -> dict[str, list[Run]]:
    """A row of the paper and one that is not in it, two rounds."""
    rows = {name: TABLE1[name] for name in ("a2lc", "instant_colour")}
    return run_rows(SMALL | {"rounds": 2, "budget": 30}, rows, SEEDS, runs_dir=runs_dir, device="cpu", progress=False)


def test_a_row_that_trains_in_the_last_round_only_has_no_other_model_miou(beside: dict, tmp_path: Path) -> None:
    table = rounds_table(beside)
    check_rounds(table, beside)
    model = table[(table["method"] == "instant_colour") & (table["metric"] == "model_miou")]
    assert model["mean"].isna().tolist() == [True, True, False] and model["n_seeds"].tolist() == [0, 0, 2]
    assert table.drop(model.index)["n_seeds"].eq(2).all()
    both = beside_paper(table, "table1", "cityscapes")
    assert both.loc[("model_miou", "instant_colour", "ours")].tolist()[:2] == ["", ""]
    assert both.loc["data_miou"].loc["instant_colour"].index.tolist() == ["ours"]
    save_table(table, "table1", tmp_path, about := caption(beside))
    assert "instant_colour | 1 | – | – | 0 |" in (tmp_path / "table1.md").read_text(encoding="utf-8")
    assert about.endswith(NOT_IN_PAPER) and caption(beside["a2lc"]) == about.removesuffix(NOT_IN_PAPER)
    last = final_table(beside, "table1", "cityscapes").set_index("row")
    assert last["model_miou"].notna().all() and np.isnan(last["data_miou_paper"]["instant_colour"])
    numbers = headline(last.reset_index(), "data_miou")
    assert np.isnan(numbers["instant_colour: Data mIoU, round 2 (%)"][1] or np.nan)
    assert provenance(beside, about)["runs"].keys() == {run.path.name for of_row in beside.values() for run in of_row}
    fig = learning_curves(table, about)
    assert np.isfinite(fig.axes[1].lines[1].get_ydata()).sum() == 1
    plt.close(fig)


def test_a_missing_number_is_told(beside: dict) -> None:
    table = rounds_table(beside)
    with pytest.raises(ValueError, match="data_miou a2lc 0: expected numbers of 2 seeds, found 0"):
        check_rounds(table.iloc[1:], beside)
    with pytest.raises(ValueError, match="model_miou instant_colour 0: expected numbers of 0 seeds, found 2"):
        check_rounds(table.assign(mean=table["mean"].fillna(50.0), n_seeds=2), beside)
    with pytest.raises(ValueError, match="expected percent, found -1.0"):
        check_rounds(table.assign(mean=table["mean"].where(table["mean"].isna(), -1.0)), beside)


def test_seconds_are_those_until_the_labels_of_a_round_are_there(beside: dict, tmp_path: Path) -> None:
    run = measured(hand_made_run(tmp_path))
    for number, seconds in enumerate(
        [{"trained": 10.0}, {"scored": 1.0, "corrected": 2.0, "trained": 20.0}, {"scored": 4.0}]
    ):
        state = read_json(file := run.folder(number).path / "state.json")
        state["finished"] = {name: seconds.get(name, 0.0) for name in state["finished"]}
        write_json(file, state)
    assert seconds_until_labels(Run(run.path, run.config)).tolist() == [0, 13, 37]
    costs = cost_curves(beside)
    assert list(costs["method"].unique()) == list(beside) and costs["clicks"].tolist() == [0, 30, 60] * 2
    assert (costs["seconds"] == 0).tolist() == [True, False, False] * 2
    wanted = rounds_table(beside).query("metric == 'data_miou'")[["mean", "std", "n_seeds"]]
    assert costs[["mean", "std", "n_seeds"]].equals(wanted.reset_index(drop=True))
    fig = draw_costs(costs, "A title.", ceiling=0.9)
    clicks, seconds = (axis.lines[1] for axis in fig.axes)
    assert clicks.get_xdata().tolist() == [0, 30, 60] and len(seconds.get_xdata()) == 2
    assert clicks.get_ydata()[1:].tolist() == seconds.get_ydata().tolist()
    plt.close(fig)


def made_up(rows: dict[str, float], rounds: int = 2) -> pd.DataFrame:
    """What `rounds_table` would return for rows that climb to a Data mIoU."""
    return pd.DataFrame(
        [
            {"dataset": "toy", "metric": metric, "method": name, "round": r, "mean": end * (1 + r) / (1 + rounds)}
            | {"std": float("nan"), "n_seeds": 1}
            for metric in ("data_miou", "model_miou")
            for name, end in rows.items()
            for r in range(rounds + 1)
        ]
    )


def test_a_number_without_a_round_stands_in_the_last() -> None:
    """Table 4, which also prints the first labels as a row."""
    both = beside_paper(made_up({"random": 60.0, "abc": 80.0}), "table4", "cityscapes")
    assert both.columns.tolist() == [0, 1, 2]
    assert both.loc[("data_miou", "abc", "paper (cityscapes)")].tolist() == ["", "", "84.92"]
    assert both.loc[("data_miou", "abc", "difference")].tolist() == ["", "", "-4.92"]
    assert both.loc["data_miou"].index.get_level_values("method").unique().tolist() == ["random", "abc"]
    assert both.loc["model_miou"].index.get_level_values("source").unique().tolist() == ["ours"]


def test_differences_are_taken_round_by_round() -> None:
    both = beside_paper(made_up(dict.fromkeys(TABLE5, 90.0), rounds=5), "table5", "cityscapes")
    assert both.loc[("data_miou", "baseline", "difference")].tolist() == [
        "",
        "-32.60",
        "-20.20",
        "-6.03",
        "+8.15",
        "+23.14",
    ]
    assert both.loc["data_miou"].index.get_level_values("method").unique().tolist() == list(TABLE5)
    nothing = beside_paper(made_up({"baseline": 90.0}), "table5", "voc2012")
    assert nothing.index.get_level_values("source").unique().tolist() == ["ours"]


def test_last_printed_numbers() -> None:
    assert paper_values("table5", "data_miou", "cityscapes")["lcm+abc+mask"] == 85.57
    assert paper_values("table4", "data_miou", "voc2012")["sim"] == 87.32
    assert paper_values("table2", "data_miou", "cityscapes") == {}


def test_provenance_tells_what_differs(runs: dict) -> None:
    proof = provenance(runs, "A caption.")
    assert proof["caption"] == "A caption." and proof["minutes"] >= 0
    assert set(proof["runs"]) == {run.path.name for of_row in runs.values() for run in of_row}
    assert proof["config"]["dataset"] == "toy" and proof["config"]["segmenter"]["iterations"] == 3
    assert set(proof["computed"]["data"]) == {"images", "segmenter"}  # but not the same masks
    for run in sum(runs.values(), []):
        own, config = proof["runs"][run.path.name], run.config.identity() | {"rounds": run.config.rounds}
        for part, whole in (("config", config), ("computed", read_json(run.path / "provenance.json"))):
            assert together(proof[part], own.get(part, {})) == whole
    same = provenance(runs["a2lc"][:1], "")
    assert same["runs"] == {runs["a2lc"][0].path.name: {}} and "masks" in same["computed"]["data"]
    json.dumps(proof)


def together(shared: dict, own: dict) -> dict:
    inside = {
        key: together(value, own.get(key, {})) if isinstance(value, dict) else value for key, value in shared.items()
    }
    return {**own, **inside}


# --------------------------------------------------------------------------------------------------------- figures
def test_rows_can_be_told_apart() -> None:
    of_table1 = ["alc", "a2lc_no_lcm", "a2lc", *INSTANT_ROWS]
    beside = [[*rows, *INSTANT_ROWS] for rows in (TABLE4, TABLE5)]
    for names in (of_table1, *beside, table2(100), [f"mine {i}" for i in range(28)]):
        styles = [style_of(name, i) for i, name in enumerate(names)]
        assert len({label for label, *_ in styles}) == len({style[1:] for style in styles}) == len(styles)
    assert style_of("a2lc", 3) == METHOD_STYLE["a2lc"]


def test_curves_of_any_rows_show_the_numbers() -> None:
    table = made_up({"mine": 70.0, "random": 60.0, "abc": 80.0})
    fig = learning_curves(table, "A title.", ceiling=0.9, clicks={0: 0.0, 1: 0.09, 2: 0.18})
    lines = {line.get_label(): line for line in fig.axes[0].lines}
    assert list(lines) == ["mine", "Random", "ABC", "every mask answered"]
    assert lines["ABC"].get_ydata()[-1] == 80 and lines["every mask answered"].get_ydata()[0] == 90
    plt.close(fig)


def test_bars_show_ours_and_the_papers(runs: dict, tmp_path: Path) -> None:
    table = final_table(runs, "table2", "cityscapes")
    paper = {"paper": paper_values("table2", "model_miou", "cityscapes"), "nothing": {}}
    fig = rows_beside_paper(table, "model_miou", "A title.", paper, {"a line": 50.0})
    axis = fig.axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx(table["model_miou"].tolist())
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Full supervision", "MulSpx", "A²LC"]
    markers = next(line for line in axis.lines if line.get_label() == "paper")
    assert markers.get_xdata().tolist() == [76.31, 66.6, 72.37] and "nothing" not in str(
        axis.get_legend_handles_labels()
    )
    assert save_figure(fig, "bars", tmp_path, {}) is fig
    assert b"/Producer" in (written := (tmp_path / "bars.pdf").read_bytes()) and b"/CreationDate" not in written
