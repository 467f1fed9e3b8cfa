"""The paper's numbers and ours: the reference values agree with each other, our committed results have the paper's
directions, and what does not reproduce is said and flips when it changes.

Levels are compared for the profiles `paper` and `voc` only: `toy` and `camvid` are other data, with a small network and
simulated noise.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from a2lc.paper.comparison import TOLERANCES
from a2lc.paper.figure1 import STATEMENTS
from a2lc.paper.summary import HEADLINE, MINUTES
from a2lc.paper.tables import paper_table, paper_values

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "paper_figures"
REFERENCE = ROOT / "a2lc" / "reference_results"
ITEMS = ("table1", "table2", "table3", "table4", "table5", "figure1", "figure4", "figure5", "figure6")
COMMITTED = {
    "toy": ITEMS,
    "camvid": ITEMS,
    "voc": ("table1", "table2", "table3", "table4", "table5", "figure1", "figure4", "figure5", "figure6"),
}
"""Profile -> the items whose results are committed."""
LABELS = {"toy": "simulated", "camvid": "simulated", "voc": "real Grounded-SAM output"}
"""What every caption says of a profile's pseudo-labels."""


# ----------------------------------------------------------------------------------------------- reference values
@pytest.fixture(scope="module")
def printed() -> pd.DataFrame:
    return pd.read_csv(REFERENCE / "paper_tables.csv")


@pytest.fixture(scope="module")
def released() -> pd.DataFrame:
    """The authors' per-seed results of A²LC, mIoU in percent."""
    table = pd.read_csv(REFERENCE / "a2lc_released_results.csv")
    table = table[table["metric"] == "mean_iou"]
    return table.assign(metric=table["split"] + "_miou", value=100 * table["value"])


@pytest.mark.parametrize("name", ["paper_tables.csv", "a2lc_released_results.csv"])
def test_reference_values_are_those_that_came_with_the_data(name: str, data_root: Path) -> None:
    source = data_root.parent / "reference_results" / name
    if not source.is_file():
        pytest.skip(f"needs the reference results beside the data: {source} is absent")
    assert (REFERENCE / name).read_bytes() == source.read_bytes()


def test_the_papers_tables_are_well_formed(printed: pd.DataFrame) -> None:
    assert set(printed["item"]) == {f"table{i}" for i in range(1, 6)}
    assert not printed.duplicated(["item", "dataset", "metric", "method", "round"]).any()
    percent = printed[printed["metric"].str.contains("miou|oa_")]
    assert percent["value"].between(0, 100).all() and (printed["value"] > 0).all()
    table1 = printed[printed["item"] == "table1"]
    assert table1["std"].notna().all() and table1.groupby(["dataset", "metric", "method"]).size().eq(6).all()
    assert printed.groupby("item").size().to_dict() == {
        "table1": 2 * 2 * 2 * 6,  # datasets, metrics, methods, rounds
        "table2": 6,
        "table3": 2 * 5,
        "table4": 2 * 12,
        "table5": 2 * 5 * 5,  # metrics, rows, rounds
    }


def test_released_results_are_well_formed() -> None:
    table = pd.read_csv(REFERENCE / "a2lc_released_results.csv")
    keys = ["dataset", "split", "seed", "round"]
    assert not table.duplicated([*keys, "metric", "class"]).any()
    ious = table[table["metric"] == "iou"]
    assert ious["value"].between(0, 1).all() and ious["class"].notna().all()
    means = table[table["metric"] == "mean_iou"].set_index(keys)["value"]
    assert np.allclose(ious.groupby(keys)["value"].mean()[means.index], means, atol=1e-9)
    classes = ious.groupby(keys)["class"].nunique().groupby("dataset").unique().to_dict()
    assert {name: list(counts) for name, counts in classes.items()} == {"cityscapes": [19], "voc2012": [21]}


ROUNDS = [
    pytest.param(
        dataset,
        metric,
        number,
        marks=[]
        if (metric, number) != ("model_miou", 0)
        else pytest.mark.xfail(
            strict=True,
            raises=AssertionError,
            reason="the round-0 model of seed 1 was not released: two seeds have "
            + {"cityscapes": "51.80 ± 0.80, the paper 51.55 ± 0.71", "voc2012": "56.69 ± 0.11, the paper 56.94 ± 0.44"}[
                dataset
            ],
        ),
    )
    for dataset in ("cityscapes", "voc2012")
    for metric in ("data_miou", "model_miou")
    for number in range(6)
]


@pytest.mark.parametrize(("dataset", "metric", "number"), ROUNDS)
def test_released_seeds_give_table1(
    dataset: str, metric: str, number: int, printed: pd.DataFrame, released: pd.DataFrame
) -> None:
    seeds = released.query("dataset == @dataset and metric == @metric and round == @number")["value"]
    chosen = "item == 'table1' and dataset == @dataset and metric == @metric and method == 'a2lc' and round == @number"
    row = printed.query(chosen).iloc[0]
    assert seeds.mean() == pytest.approx(row["value"], abs=0.01)
    assert seeds.std() == pytest.approx(row["std"], abs=0.01)  # the sample standard deviation


@pytest.mark.parametrize("dataset", ["cityscapes", "voc2012"])
def test_a_third_seed_would_explain_the_first_models_of_table1(
    dataset: str, printed: pd.DataFrame, released: pd.DataFrame
) -> None:
    """The value that the third seed must have for the printed mean also gives the printed standard deviation."""
    known = released.query("dataset == @dataset and metric == 'model_miou' and round == 0")["value"]
    row = printed.query(
        "item == 'table1' and dataset == @dataset and metric == 'model_miou' and method == 'a2lc' and round == 0"
    ).iloc[0]
    assert len(known) == 2
    assert np.std([*known, 3 * row["value"] - known.sum()], ddof=1) == pytest.approx(row["std"], abs=0.02)


def test_last_row_of_table5_is_the_released_seed_1(printed: pd.DataFrame, released: pd.DataFrame) -> None:
    rows = printed.query("item == 'table5' and method == 'lcm+abc+mask'").set_index(["metric", "round"])["value"]
    seed = released.query("dataset == 'cityscapes' and seed == 1").set_index(["metric", "round"])["value"]
    assert len(rows) == 10 and np.allclose(seed[rows.index], rows, atol=0.01)


@pytest.mark.parametrize("dataset", ["cityscapes", "voc2012"])
def test_the_papers_numbers_agree_with_each_other(dataset: str) -> None:
    lcm = paper_table("table3").query("dataset == @dataset").set_index("metric")["value"]
    for when in ("before", "after"):
        assert lcm[f"oa_{when}"] == pytest.approx(100 * lcm[f"n_clean_{when}"] / lcm["n_corrected"], abs=0.01)
    first = paper_table("table1").query("dataset == @dataset and metric == 'data_miou' and round == 0")["value"]
    assert set(first) == {paper_values("table4", "data_miou", dataset)["init"]}
    last = paper_values("table1", "data_miou", dataset)
    stated = {"cityscapes": 27.23, "voc2012": 14.30}[dataset]  # "27.23% and 14.30% performance improvements"
    assert 100 * (last["a2lc"] / last["alc"] - 1) == pytest.approx(stated, abs=0.01)


# ------------------------------------------------------------------------------------------------------ directions
DIFFERENT_HERE = {
    "test_table1_a2lc_ends_above_alc[voc-model_miou]": "Model mIoU A²LC 31.6, ALC 34.5 (the paper: 68.4 and 65.5)",
    "test_table3_most_corrections_are_right[camvid]": "42.4 % of 3,592 corrected masks (the paper: 61.0 and 82.3 %)",
    "test_table4_the_lcm_adds_to_every_function[toy-abc]": "Data mIoU 88.6 with the LCM, 91.0 without",
    "test_table4_the_lcm_adds_to_every_function[toy-sim]": "Data mIoU 79.3 with the LCM, 82.5 without",
    "test_table2_has_the_order_of_the_paper[voc-a2lc-alc-model_miou]": "Model mIoU A²LC 33.4, ALC 34.3 (the paper on "
    "Cityscapes: 72.4 and 70.7); one seed, answers of one round",
    "test_table2_has_the_order_of_the_paper[voc-mulspx-merspx-model_miou]": "Model mIoU MulSpx 18.6, MerSpx 25.2",
    "test_table2_has_the_order_of_the_paper[camvid-a2lc-alc-model_miou]": "Model mIoU A²LC 53.8, ALC 54.2",
    "test_table2_has_the_order_of_the_paper[camvid-mulspx-merspx-model_miou]": "Model mIoU MulSpx 43.0, MerSpx 47.8",
    "test_table4_abc_is_above_sim[voc]": "Data mIoU ABC 85.4, SIM 86.1 (the paper on PASCAL VOC: 87.2 and 87.3)",
    "test_table4_the_lcm_adds_to_every_function[voc-abc]": "Data mIoU 85.4 with the LCM, 85.9 without",
    "test_figure1_a2lc_passes_the_last_alc_with_fewer_clicks[voc-model_miou]": "A²LC 34.9 after ten rounds, ALC 35.9",
    "test_table5_every_component_adds[toy-lcm-baseline-data_miou]": "Data mIoU 78.6 with the LCM, 82.4 without",
    "test_table5_every_component_adds[toy-lcm+abc-abc-data_miou]": "Data mIoU 88.7 with the LCM, 91.1 without",
    "test_table5_every_component_adds[toy-lcm+abc+mask-lcm+abc-data_miou]": "Data mIoU 88.58 by mask, 88.66 else",
    "test_table4_the_lcm_adds_to_every_function[camvid-sim]": "Data mIoU 83.68 with the LCM, 83.69 without",
    "test_table5_every_component_adds[camvid-lcm-baseline-data_miou]": "Data mIoU 82.8 with the LCM, 82.9 without",
    "test_table5_every_component_adds[camvid-lcm-baseline-model_miou]": "Model mIoU 59.0 with the LCM, 60.1 without",
    "test_table5_every_component_adds[camvid-abc-baseline-model_miou]": "Model mIoU 59.4 with ABC, 60.1 without",
    "test_table5_every_component_adds[voc-lcm-baseline-model_miou]": "Model mIoU 34.3 with the LCM, 35.1 without",
    "test_table5_every_component_adds[voc-abc-baseline-model_miou]": "Model mIoU 33.2 with ABC, 35.1 without",
    "test_table5_every_component_adds[voc-lcm+abc-lcm-data_miou]": "Data mIoU 83.8 with ABC, 84.5 without",
    "test_table5_every_component_adds[voc-lcm+abc-lcm-model_miou]": "Model mIoU 33.5 with ABC, 34.3 without",
    "test_table5_every_component_adds[voc-lcm+abc-abc-data_miou]": "Data mIoU 83.8 with the LCM, 84.9 without",
    "test_table5_every_component_adds[voc-lcm+abc+mask-lcm+abc-model_miou]": "Model mIoU 31.9 by mask, 33.5 else",
}
"""What does not reproduce: test -> the numbers. It fails when it does."""
_FOUND: set[str] = set()
MIOUS = ("data_miou", "model_miou")


def in_every_profile(*rows: tuple) -> Callable:
    """Run a test of an item with (profile, *row) for every profile that has it and every row. What is known to be
    different is a strict xfail of its assertion only: a missing file or row fails. Model mIoU on `toy` is left out: one
    seed of a model trained for seconds moves by a point from run to run, as much as any two rows differ."""

    def decorate(test: Callable) -> Callable:
        cases = []
        item = test.__name__.split("_")[1]
        for profile, row in product([p for p, items in COMMITTED.items() if item in items], rows or ((),)):
            if (profile, "model_miou") in product(["toy"], row):
                continue
            name = "-".join(map(str, (profile, *row)))
            why = DIFFERENT_HERE.get(key := f"{test.__name__}[{name}]")
            _FOUND.add(key)
            marks = [pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)] if why else []
            cases.append(pytest.param(profile, *row, id=name, marks=marks))
        return pytest.mark.parametrize(list(inspect.signature(test).parameters), cases)(test)

    return decorate


def committed(profile: str, name: str, *index: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / profile / f"{name}.csv").set_index(list(index)).sort_index()


@in_every_profile(*product(MIOUS))
def test_table1_a2lc_ends_above_alc(profile: str, metric: str) -> None:
    mean = committed(profile, "table1", "metric", "method", "round")["mean"]
    assert mean[(metric, "a2lc", 5)] > mean[(metric, "alc", 5)]


@in_every_profile(*product(range(1, 5)))
def test_table1_a2lc_is_ahead_in_every_round(profile: str, number: int) -> None:
    mean = committed(profile, "table1", "metric", "method", "round")["mean"]["data_miou"]
    assert mean[("a2lc", number)] > mean[("alc", number)]


@in_every_profile()
def test_table1_a2lc_passes_the_last_alc_with_fewer_clicks(profile: str) -> None:
    """The paper: with 20 % of the clicks on Cityscapes and 60 % on PASCAL VOC."""
    mean = committed(profile, "table1", "metric", "method", "round")["mean"]["data_miou"]
    assert mean[("a2lc", 3)] > mean[("alc", 5)]


@in_every_profile(("mulspx",), ("merspx",), ("spx",))
def test_table2_correcting_beats_labelling_from_nothing(profile: str, superpixels: str) -> None:
    miou = committed(profile, "table2", "row")["model_miou"]
    assert miou["fully_supervised"] > miou[["alc", "a2lc"]].max() >= miou[["alc", "a2lc"]].min() > miou[superpixels]


@in_every_profile(
    *(
        (*rows, "model_miou")
        for rows in [("fully_supervised", "a2lc"), ("a2lc", "alc"), ("mulspx", "merspx"), ("merspx", "spx")]
    )
)
def test_table2_has_the_order_of_the_paper(profile: str, better: str, worse: str, metric: str) -> None:
    miou = committed(profile, "table2", "row")[metric]
    assert miou[better] > miou[worse]


@in_every_profile()
def test_table3_the_lcm_makes_more_masks_right_than_wrong(profile: str) -> None:
    total = committed(profile, "table3_rounds", "round").loc[["all"]].sum()
    assert total["n_clean_after"] > total["n_clean_before"]


@in_every_profile()
def test_table3_most_corrections_are_right(profile: str) -> None:
    total = committed(profile, "table3_rounds", "round").loc[["all"]].sum()
    assert total["n_clean_after"] > total["n_corrected"] / 2


@in_every_profile()
def test_table4_abc_is_above_sim(profile: str) -> None:
    miou = committed(profile, "table4", "row")["data_miou"]
    assert miou["abc"] > miou["sim"]


@in_every_profile(*product(["random", "entropy", "margin", "cil", "lcil", "aiou", "bvsb", "clsbal", "merspx"]))
def test_table4_sim_is_above_all_others(profile: str, other: str) -> None:
    miou = committed(profile, "table4", "row")["data_miou"]
    assert miou["sim"] > miou[other]


@in_every_profile(("sim",), ("abc",))
def test_table4_the_lcm_adds_to_every_function(profile: str, function: str) -> None:
    """The paper shows this for the rows of Table 5."""
    miou = committed(profile, "table4_without_lcm", "row").loc[function]
    assert miou["data_miou_with_lcm"] > miou["data_miou"]


@in_every_profile(
    *(
        (*rows, metric)
        for rows in [("lcm", "baseline"), ("abc", "baseline"), ("lcm+abc", "lcm"), ("lcm+abc", "abc")]
        + [("lcm+abc+mask", "lcm+abc")]
        for metric in MIOUS
    )
)
def test_table5_every_component_adds(profile: str, better: str, worse: str, metric: str) -> None:
    miou = committed(profile, "table5", "row")[metric]
    assert miou[better] > miou[worse]


@in_every_profile(*product(MIOUS))
def test_figure1_a2lc_passes_the_last_alc_with_fewer_clicks(profile: str, metric: str) -> None:
    ours = committed(profile, "figure1_statements", "metric", "statement")["ours"]
    assert ours[(metric, STATEMENTS["clicks_to_pass"])] < 100


@in_every_profile()
def test_figure4_shown_classes_have_more_right_masks_after_than_before(profile: str) -> None:
    shown = committed(profile, "figure4_classes", "new")
    assert (shown["n"] * shown["right_after"]).sum() > (shown["n"] * shown["right_before"]).sum()


@in_every_profile(("by_label",), ("by_answer",))
def test_figure5_abc_asks_for_more_of_the_tail_than_sim(profile: str, counts: str) -> None:
    share = committed(profile, "figure5_tail_shares", "row")[counts]
    assert share["abc"] > share["sim"]


@in_every_profile()
def test_figure6_tail_classes_gain_more_than_the_others(profile: str) -> None:
    gain = committed(profile, "figure6_classes", "class").groupby("tail")["difference"].mean()
    assert gain[True] > max(gain[False], 0)


def test_what_is_different_is_tested() -> None:
    assert DIFFERENT_HERE.keys() <= _FOUND


# ---------------------------------------------------------------------------------------------------------- levels
@pytest.mark.paper
@pytest.mark.parametrize("metric", MIOUS)
@pytest.mark.parametrize("dataset", ["cityscapes", "voc2012"])
def test_paper_profile_has_the_numbers_of_table1(dataset: str, metric: str) -> None:
    path = RESULTS / f"paper_{dataset}" / "table1.csv"
    if not path.is_file():
        pytest.skip(f"the `paper` profile has not been run: {path.relative_to(ROOT)} is absent")
    keys = ["dataset", "metric", "method", "round"]
    paper = paper_table("table1").set_index(keys).loc[[(dataset, metric)]]
    far = beyond_tolerance(pd.read_csv(path).set_index(keys)["mean"], paper)
    assert far.empty, f"ours - paper, beyond max(2 std, 0.5) points:\n{far.to_string()}"


def beyond_tolerance(ours: pd.Series, paper: pd.DataFrame) -> pd.Series:
    """Ours minus the paper's where it is beyond twice the paper's standard deviation and half a point, or missing."""
    difference = ours.reindex(paper.index) - paper["value"]
    return difference[~(difference.abs() <= (2 * paper["std"]).clip(lower=0.5) + 1e-9)]


MODELS = {
    "alc": ((28.4, 32.5, 34.4, 34.2, 34.9, 34.5), (56.9, 62.1, 64.1, 64.2, 65.0, 65.5)),
    "a2lc": ((28.4, 31.0, 32.7, 31.3, 31.4, 31.6), (56.9, 60.9, 64.1, 66.5, 67.8, 68.4)),
}
VOC_DIFFERENT = {
    ("model_miou", method, number): f"Model mIoU {here}, the paper {there}: few images, of few classes; frozen features"
    for method, levels in MODELS.items()
    for number, (here, there) in enumerate(zip(*levels, strict=True))
}
"""Levels of Table 1 that `voc` has not: (metric, method, round) -> the numbers."""
VOC_ROWS = list(product(MIOUS, ("alc", "a2lc"), range(6)))


@pytest.mark.parametrize(
    ("metric", "method", "number"),
    [
        pytest.param(
            *row,
            marks=[pytest.mark.xfail(strict=True, raises=AssertionError, reason=VOC_DIFFERENT[row])]
            if row in VOC_DIFFERENT
            else [],
        )
        for row in VOC_ROWS
    ],
)
def test_voc_has_the_levels_of_table1(metric: str, method: str, number: int) -> None:
    """How near a level can be expected: as near as the first labels are, on which no method has worked yet. Those of
    our 464 images are 8.2 points worse than those of the paper's 1,464 (50.4 and 58.6 % Data mIoU)."""
    ours = committed("voc", "table1", "metric", "method", "round")["mean"]
    paper = paper_table("table1").set_index(["dataset", "metric", "method", "round"])["value"]["voc2012"]
    tolerance = abs(ours[("data_miou", "alc", 0)] - paper[("data_miou", "alc", 0)])
    assert abs(ours[(metric, method, number)] - paper[(metric, method, number)]) <= tolerance + 1e-9


def test_tolerance_of_the_paper_profile() -> None:
    paper = pd.DataFrame({"value": [50.0, 60.0, 70.0, 80.0], "std": [0.0, 0.4, 0.4, 1.0]})
    assert beyond_tolerance(pd.Series([50.5, 60.8, 69.1, 80.0]), paper).to_dict() == {2: pytest.approx(-0.9)}
    assert list(beyond_tolerance(pd.Series([49.4, 60.9, 70.0]), paper).index) == [0, 1, 3]


# --------------------------------------------------------------------------------------------------- what is saved
SAVED = sorted(path for path in RESULTS.glob("**/[!.]*.json") if "smoke" not in path.parts)
FIGURES = [path for path in SAVED if not path.name.endswith(("_provenance.json", HEADLINE, MINUTES))]
OF_ITEMS = [path for path in SAVED if path.parent.name in COMMITTED and path.stem.split("_")[0] in ITEMS]
TABLES = [path for profile in COMMITTED for path in sorted((RESULTS / profile).glob("[!.]*.csv"))]
TABLES = [path for path in TABLES if path.name != TOLERANCES]


def name_of(path: Path) -> str:
    return path.relative_to(RESULTS).as_posix()


@pytest.mark.parametrize("path", SAVED, ids=name_of)
def test_every_saved_json_has_plain_numbers(path: Path) -> None:
    """NaN and Infinity are no JSON; what is missing is null."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{path}: holds {constant}, expected a number or null")

    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("path", OF_ITEMS, ids=name_of)
def test_every_figure_says_what_it_was_computed_from(path: Path) -> None:
    caption = json.loads(path.read_text(encoding="utf-8"))["caption"]
    assert path.parent.name in caption and LABELS[path.parent.name] in caption  # profiles are named after their data


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_every_table_says_what_it_was_computed_from(path: Path) -> None:
    said = LABELS[path.parent.name]
    assert said in path.with_suffix(".md").read_text(encoding="utf-8").splitlines()[0]
    assert said in path.with_suffix(".tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FIGURES, ids=name_of)
def test_every_figure_is_a_picture(path: Path) -> None:
    with Image.open(path.with_suffix(".png")) as picture:
        assert picture.width >= 300
        low, high = picture.convert("L").getextrema()
    assert low < high  # not blank
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


# ---------------------------------------------------------------------------------------------------- completeness
@pytest.mark.parametrize("item", ITEMS)
def test_every_item_of_the_paper_has_one_notebook(item: str) -> None:
    assert len(list((ROOT / "notebooks").glob(f"{item}_*.ipynb"))) == 1


@pytest.mark.parametrize(("profile", "item"), [(profile, item) for profile in COMMITTED for item in COMMITTED[profile]])
def test_every_item_is_committed_in_every_profile(profile: str, item: str) -> None:
    saved = {path.name for path in (RESULTS / profile).iterdir() if path.stem.split("_")[0] == item}
    assert saved, f"paper_figures/{profile}: nothing of {item}; a2lc regenerate --profile {profile} --only {item}"
    assert f"{item}_provenance.json" in saved


def test_the_items_are_all_that_the_paper_has_numbers_for(printed: pd.DataFrame) -> None:
    assert {item for item in ITEMS if item.startswith("table")} == set(printed["item"])
