"""Figure 1: published numbers, curves of runs, saturation, and the paper's statements computed from curves."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from small_runs import network, seeded

from a2lc.config import Experiment
from a2lc.paper.experiments import run_rows
from a2lc.paper.figure1 import (
    STATED,
    STATEMENTS,
    effectiveness,
    effectiveness_figure,
    full_supervision,
    published_curves,
    released_results,
    round_curves,
    saturation,
    stated,
)
from a2lc.paper.tables import paper_table, rounds_table
from a2lc.runs import Run

DATASETS = ("cityscapes", "voc2012")
SMALL = {
    "dataset": "toy",
    "rounds": 2,
    "budget": 4000,  # more than there are: A²LC has queried every mask after one round
    "segmenter": network(iterations=1, batch_size=2, scale=0.5),
    "correction": {"epochs": 1},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Run]]:
    """ALC over two rounds, and A²LC, which has nothing left to ask after one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # says that fewer masks are left than the budget asks for
        rows = {name: {"method": name} for name in ("alc", "a2lc")}
        return run_rows(SMALL, rows, [seeded()], runs_dir=tmp_path_factory.mktemp("runs"), device="cpu", progress=False)


def made_up(seed: int, alc_rounds: int = 5, a2lc_rounds: int = 8) -> pd.DataFrame:
    """Random curves that rise and waver, as `round_curves` would return them."""
    rng = np.random.default_rng(seed)
    rows = []
    for metric in ("data_miou", "model_miou"):
        for method, last in (("alc", alc_rounds), ("a2lc", a2lc_rounds)):
            means = 50 + 5 * np.log1p(np.arange(last + 1)) + rng.normal(0, 1.5, last + 1)
            for number, mean in enumerate(means):
                row = {"dataset": "toy", "metric": metric, "method": method, "round": number, "clicks": 10.0 * number}
                rows.append(row | {"mean": mean, "std": float("nan"), "n_seeds": 1, "played": True})
    return pd.DataFrame(rows)


def curve(table: pd.DataFrame, metric: str, method: str) -> dict[int, float]:
    rows = table[(table["metric"] == metric) & (table["method"] == method)]
    return dict(zip(rows["round"], rows["mean"], strict=True))


# ------------------------------------------------------------------------------------------------ published numbers
@pytest.mark.parametrize("dataset", DATASETS)
def test_released_seeds_are_those_of_table1(dataset: str) -> None:
    released = released_results(dataset)
    grouped = released.groupby(["metric", "round"])["value"].agg(["mean", "std", "count"])
    printed = paper_table("table1").query("dataset == @dataset and method == 'a2lc' and round > 0")
    assert len(printed) == 10
    for row in printed.itertuples():
        mean, std, count = grouped.loc[(row.metric, row.round)]
        assert count == 3 and mean == pytest.approx(row.value, abs=0.01)  # they seem to round before they average
        assert std == pytest.approx(row.std, abs=0.01)


@pytest.mark.parametrize("dataset", DATASETS)
def test_only_the_first_seed_was_released_over_ten_rounds(dataset: str) -> None:
    last = released_results(dataset).groupby(["metric", "seed"])["round"].max().unstack()
    assert last.columns.tolist() == [1, 2, 3] and (last.to_numpy() == [[10, 5, 5]] * 2).all()
    assert released_results(dataset)["value"].between(50, 100).all()


def test_unknown_datasets_are_refused() -> None:
    for function in (released_results, published_curves):
        with pytest.raises(ValueError, match="dataset: expected one of cityscapes, voc2012, found 'camvid'"):
            function("camvid")
    assert stated("camvid").empty and np.isnan(full_supervision("camvid"))


def test_published_curves_are_the_published_numbers() -> None:
    curves = published_curves("cityscapes")
    assert list(curve(curves, "model_miou", "alc").items())[-1] == (5, 58.59)
    seed = curve(curves, "model_miou", "a2lc")
    assert list(seed) == list(range(1, 11)) and seed[10] == pytest.approx(71.74, abs=0.005)
    assert list(curve(curves, "data_miou", "a2lc")) == list(range(11))
    table1 = curve(published_curves("cityscapes", "table1"), "data_miou", "a2lc")
    assert table1 == {0: 50.68, 1: 70.01, 2: 75.6, 3: 80.84, 4: 82.69, 5: 85.26}
    assert not published_curves("voc2012")["played"].isna().any()


# -------------------------------------------------------------------------------------------------- runs and curves
def test_curves_are_the_summaries(runs: dict[str, list[Run]]) -> None:
    curves = round_curves(runs)
    played = curves[curves["played"]]
    table = rounds_table(runs).set_index(["metric", "method", "round"])
    assert len(played) == len(table) == 2 * (3 + 2)
    for row in played.itertuples():
        assert row.mean == table.loc[(row.metric, row.method, row.round), "mean"]
    for name, (run,) in runs.items():
        clicks = played[(played["method"] == name) & (played["metric"] == "data_miou")]["clicks"]
        assert clicks.tolist() == run.summary["clicks"].tolist()


def test_a_run_without_masks_left_stays_where_it_is(runs: dict[str, list[Run]]) -> None:
    run = runs["a2lc"][0]
    assert run.finished and run.finished_rounds == 1 < run.config.rounds and run.masks().queried.all()
    curves = round_curves(runs).query("method == 'a2lc'").set_index(["metric", "round"])
    for metric in ("data_miou", "model_miou"):
        last, carried = curves.loc[(metric, 1)], curves.loc[(metric, 2)]
        assert last["played"] and not carried["played"]
        assert carried["mean"] == last["mean"] == 100 * run.summary[metric].iloc[-1]
        assert carried["clicks"] == last["clicks"] == len(run.masks())
    assert round_curves(runs).query("method == 'alc'")["played"].all()


def test_unfinished_runs_are_refused(runs: dict[str, list[Run]]) -> None:
    run = runs["alc"][0]
    longer = Run(run.path, Experiment(**{**run.config.model_dump(), "rounds": 3}))
    with pytest.raises(ValueError, match="not finished"):
        round_curves({"alc": [longer], "a2lc": runs["a2lc"]})


# ------------------------------------------------------------------------------------------------------- saturation
@pytest.mark.parametrize(
    ("means", "tolerance", "round"),
    [
        ([10, 20, 30, 30.5, 30.4], 0.5, 2),
        ([10, 20, 30, 30.6, 30.4], 0.5, 3),  # half a point and a bit was still to come
        ([10, 20, 30], 0.5, None),  # climbs to the end
        ([10, 20, 30], 10, 1),
        ([30, 20, 10], 0, 0),
        ([10], 0.5, None),
    ],
)
def test_saturation(means: list[float], tolerance: float, round: int | None) -> None:
    assert saturation(pd.Series(means), tolerance) == round


def slow_saturation(means: dict[int, float], tolerance: float) -> int | None:
    for number in list(means)[:-1]:
        if all(means[later] - means[number] <= tolerance for later in means if later > number):
            return number
    return None


def test_saturation_against_its_definition() -> None:
    rng, found = np.random.default_rng(0), set()
    for _ in range(200):
        means = pd.Series(rng.integers(0, 8, size=6) / 4, index=range(1, 7)).sort_values(ignore_index=True)
        means = means.iloc[rng.permutation(6)].reset_index(drop=True).rename(lambda i: i + 1)
        expected = slow_saturation(means.to_dict(), 0.5)
        assert saturation(means, 0.5) == expected
        found.add(expected)
    assert {None, 1, 2, 3, 4, 5} == found


# ------------------------------------------------------------------------------------------------------- statements
def slow_statements(table: pd.DataFrame, metric: str, full: float, tolerance: float) -> dict[str, float]:
    alc, a2lc = curve(table, metric, "alc"), curve(table, metric, "a2lc")
    numbers = dict.fromkeys(STATEMENTS, float("nan"))
    read = slow_saturation(a2lc, tolerance)
    if read is not None:
        beside = read if read in alc else max(alc)
        numbers |= {"saturation_round": read, "miou": a2lc[read], "alc_round": beside}
        numbers["over_alc"] = a2lc[read] - alc[beside]
        numbers["share_of_full"] = a2lc[read] / full * 100 if metric == "model_miou" else float("nan")
    for number, mean in a2lc.items():
        if mean > alc[max(alc)]:
            numbers["clicks_to_pass"] = number / max(alc) * 100  # equally many clicks in every round
            break
    common = max(alc.keys() & a2lc.keys())
    return numbers | {"relative_gain": (a2lc[common] - alc[common]) / alc[common] * 100}


@pytest.mark.parametrize("rounds", [(5, 8), (8, 5), (5, 5)])
def test_statements_against_their_definitions(rounds: tuple[int, int]) -> None:
    unknown = 0
    for seed in range(30):
        table = made_up(seed, *rounds)
        found = effectiveness(table, full=70.0, tolerance=1.0)
        for metric in ("data_miou", "model_miou"):
            expected = slow_statements(table, metric, 70.0, 1.0)
            assert found[metric].to_dict() == pytest.approx(expected, nan_ok=True)
            unknown += np.isnan(expected["saturation_round"])
    assert 0 < unknown < 60  # both cases were met


def test_statements_of_table1_are_the_papers() -> None:
    """The share of clicks for both metrics, the gain for Data mIoU."""
    for dataset in DATASETS:
        found, paper = effectiveness(published_curves(dataset, "table1")), stated(dataset)
        for metric in ("data_miou", "model_miou"):
            assert found[metric, "clicks_to_pass"] == paper[metric, "clicks_to_pass"]
        assert found["data_miou", "relative_gain"] == pytest.approx(paper["data_miou", "relative_gain"], abs=0.005)


def test_share_of_full_supervision_is_the_papers_in_its_round() -> None:
    rounds = {"model_miou": int(STATED["cityscapes"]["model_miou"]["saturation_round"])}
    found = effectiveness(published_curves("cityscapes"), full_supervision("cityscapes"), at=rounds)["model_miou"]
    assert found["saturation_round"] == 6 and round(found["share_of_full"]) == 94
    assert found["alc_round"] == 5, "ALC's sixth round is not published"


@pytest.mark.xfail(reason="ALC's curve beyond round 5 and the runs drawn in Figure 1 are not published")
@pytest.mark.parametrize("dataset", DATASETS)
def test_distance_to_alc_is_the_papers_in_its_round(dataset: str) -> None:
    rounds = {"model_miou": int(STATED[dataset]["model_miou"]["saturation_round"])}
    found = effectiveness(published_curves(dataset), at=rounds)["model_miou", "over_alc"]
    assert found == pytest.approx(STATED[dataset]["model_miou"]["over_alc"], abs=0.005)


def test_what_cannot_be_read_is_refused() -> None:
    table = made_up(0)
    with pytest.raises(ValueError, match="expected the rows alc and a2lc, alc missing"):
        effectiveness(table[table["method"] == "a2lc"])
    with pytest.raises(ValueError, match="at: expected a round of A²LC's, 0 to 8, found 9"):
        effectiveness(table, at={"data_miou": 9})


# ----------------------------------------------------------------------------------------------------------- figure
def test_the_figure_shows_the_numbers(runs: dict[str, list[Run]]) -> None:
    ours, theirs = round_curves(runs), published_curves("cityscapes")
    fig = effectiveness_figure({"ours": ours, "theirs": theirs}, {"theirs": {"model_miou": 76.31}}, "A title.")
    assert len(fig.axes) == 4
    for axis, table in zip(fig.axes, (ours, ours, theirs, theirs), strict=True):
        metric = "model_miou" if axis.get_ylabel() == "Model mIoU (%)" else "data_miou"
        lines = {line.get_label(): line for line in axis.lines}
        for label, method in (("ALC", "alc"), ("A²LC", "a2lc")):
            drawn = dict(zip(lines[label].get_xdata(), lines[label].get_ydata(), strict=True))
            assert drawn == curve(table, metric, method)
        assert lines["ALC's last level"].get_ydata()[0] == list(curve(table, metric, "alc").values())[-1]
        assert ("full supervision" in lines) == (axis is fig.axes[2])
        end = saturation(pd.Series(curve(table, metric, "a2lc")))
        assert ("A²LC saturates" in lines) == (end is not None)
        assert end is None or lines["A²LC saturates"].get_xdata()[0] == end
    assert fig.axes[0].lines[1].get_markevery() == [0, 1], "no marker where nothing was played"
    assert "no mask was left" in fig.get_suptitle()
    plt.close(fig)


def test_panels_and_legend_do_not_overlap() -> None:
    fig = effectiveness_figure({"a": made_up(0), "b": made_up(1)}, {}, "A long title. " * 20)
    fig.canvas.draw()
    boxes = [axis.get_tightbbox() for axis in fig.axes] + [fig.legends[0].get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(low < high for low, high in pairwise([0, *sorted(box.x1 for box in boxes[:2])]))
    plt.close(fig)


def test_curves_are_kept_as_a_table(runs: dict[str, list[Run]], tmp_path: Path) -> None:
    curves = round_curves(runs)
    curves.to_csv(tmp_path / "curves.csv", index=False)
    again = pd.read_csv(tmp_path / "curves.csv")
    pd.testing.assert_series_equal(effectiveness(again), effectiveness(curves))
