"""Figure 5: queried masks per class, against counting one mask after the other; shares of the tail; the figures."""

from __future__ import annotations

import json
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scripted import lcm_of, told
from small_runs import EAGER, network, seeded

from a2lc.config import Experiment
from a2lc.files import read_parquet
from a2lc.masks import MaskSet
from a2lc.paper.experiments import TABLE4, run_rows
from a2lc.paper.figure5 import class_distribution, distribution_figure, rounds_figure, tail_shares
from a2lc.runs import Run

SMALL = {
    "dataset": "toy",
    "rounds": 2,
    "budget": 0.05,
    "segmenter": network(iterations=1, batch_size=2, scale=0.5),
    "correction": EAGER,
}
SEEDS = {"random": (seeded(0),), "abc": (seeded(0), seeded(1))}
Runs = dict[str, list[Run]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One seed of one function, two of another; the LCM corrects many masks, so that labels change between rounds."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    with lcm_of(told(1)):
        for name, seeds in SEEDS.items():
            found |= run_rows(SMALL, {name: TABLE4[name]}, seeds, runs_dir=folder, device="cpu", progress=False)
    return found


@pytest.fixture(scope="module")
def distribution(runs: Runs) -> pd.DataFrame:
    return class_distribution(runs)


# ----------------------------------------------------------------------------------------------------------- counts
def test_every_count_one_mask_after_the_other(runs: Runs, distribution: pd.DataFrame) -> None:
    """From the files of each round: the label before it of every queried mask, and the answers."""
    found = distribution.set_index(["row", "seed", "round", "class"])
    names = [*runs["abc"][0].masks(0).classes.names]
    for row, of_row in runs.items():
        for run in of_row:
            for number in (1, 2):
                folder = run.path / f"round_{number:02d}"
                before = read_parquet(run.path / f"round_{number - 1:02d}" / "masks.parquet")["label"]
                asked = read_parquet(folder / "queries.parquet")["row"]
                lines = (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
                answers = [json.loads(line)["label"] for line in lines]
                labels = Counter(int(before[position]) for position in asked)
                for class_id, name in [*enumerate(names), (255, "void")]:
                    counts = found.loc[(row, run.config.seed, number, name)]
                    assert counts["by_label"] == labels[class_id] and counts["by_answer"] == answers.count(class_id)


def test_classes_are_ranked_by_pixels_of_the_first_labels(runs: Runs, distribution: pd.DataFrame) -> None:
    masks = runs["abc"][0].masks(0)
    pixels, counts = Counter[int](), Counter(masks.table["initial_label"].tolist())
    for name in masks.names:
        covered = masks.label_map(name)[masks.object_map(name) > 0]
        pixels.update(covered.tolist())
    expected = sorted(range(len(masks.classes)), key=lambda c: (-pixels[c], c))
    classes = distribution[distribution["rank"] < len(expected)].drop_duplicates("rank")
    assert classes["class"].tolist() == [masks.classes.names[c] for c in expected]
    assert classes["rank"].tolist() == list(range(len(expected)))
    assert classes["pixels"].tolist() == [pixels[c] for c in expected]
    assert classes["masks"].tolist() == [counts[c] for c in expected]
    assert sum(counts.values()) == classes["masks"].sum() == len(masks)
    assert classes["masks"].tolist() != sorted(classes["masks"], reverse=True), "the order by masks is another one"


def test_every_query_is_counted_once(runs: Runs, distribution: pd.DataFrame) -> None:
    per_round = runs["abc"][0].config.masks_per_round(len(runs["abc"][0].masks(0)))
    totals = distribution.groupby(["row", "seed", "round"])[["by_label", "by_answer"]].sum()
    assert len(totals) == 6 and (totals == per_round).all(axis=None)
    assert list(distribution["row"].unique()) == list(SEEDS), "rows keep their order"
    labelled = distribution[distribution["class"] == "void"]["by_label"]
    assert not labelled.any(), "nobody is asked again about a mask that was answered with void"


def test_labels_are_those_of_the_round_not_the_first(runs: Runs, distribution: pd.DataFrame) -> None:
    """The LCM has changed labels before round 2: counting first labels would give other numbers."""
    run = runs["abc"][0]
    initial = run.masks(0).table["initial_label"].to_numpy()[run.queries(2)["row"]]
    first = np.bincount(initial, minlength=len(run.masks(0).classes))
    rows = distribution.query(f"row == 'abc' and seed == {seeded(0)} and round == 2").set_index("class")["by_label"]
    assert rows.reindex(run.masks(0).classes.names).tolist() != first.tolist()


@pytest.mark.parametrize(("ratio", "tail"), [(0.5, 7), (0.25, 3), (0.0, 0), (1.0, 14)])
def test_the_tail_is_the_rarest_classes(ratio: float, tail: int, runs: Runs) -> None:
    table = class_distribution({"abc": runs["abc"][:1]}, ratio)
    classes = table.drop_duplicates("rank").set_index("rank")["tail"]
    assert len(classes) == 15 and classes.tolist() == [False] * (14 - tail) + [True] * tail + [False]  # void is none


class Relabelled(Run):
    """The same run, as if its first ten masks had carried another label."""

    def masks(self, round: int | None = None) -> MaskSet:
        return super().masks(round).relabel(np.arange(10), np.full(10, 3), source="annotator", round=1)


def test_runs_that_cannot_be_counted_are_refused(runs: Runs) -> None:
    run = runs["abc"][0]
    with pytest.raises(ValueError, match="needs at least one finished run, found none"):
        class_distribution({"abc": []})
    for fields, message in (
        ({"rounds": 3}, "not finished \\(2 of 3 rounds\\)"),
        ({"rounds": 0}, "expected at least one round of queries, found none"),
    ):
        with pytest.raises(ValueError, match=message):
            class_distribution({"abc": [Run(run.path, Experiment(**{**run.config.model_dump(), **fields}))]})
    with pytest.raises(ValueError, match="expected a run that starts from labels, found one of superpixels"):
        class_distribution({"spx": [Run(run.path, Experiment(method="spx"))]})
    with pytest.raises(ValueError, match="expected runs that start from the same labels, found others"):
        class_distribution(runs | {"other": [Relabelled(run.path, run.config)]})


# ------------------------------------------------------------------------------------------------------------- tail
def test_tail_shares_one_query_after_the_other(runs: Runs, distribution: pd.DataFrame) -> None:
    tail = set(distribution[distribution["tail"]]["class"])
    shares = tail_shares(distribution).set_index("row")
    by_round = tail_shares(distribution, by_round=True).set_index(["row", "round"])
    for row, of_row in runs.items():
        for column, what in (("by_label", "label"), ("by_answer", "answer")):
            found: dict[tuple[int, int], list[bool]] = {}
            for run in of_row:
                names = dict(enumerate(run.masks(0).classes.names))
                for number in (1, 2):
                    asked = run.queries(number)[what].tolist()
                    found[run.config.seed, number] = [names.get(label) in tail for label in asked]
            per_seed = pd.Series([100 * np.mean(found[seed, 1] + found[seed, 2]) for seed in SEEDS[row]])
            assert shares.loc[row, column] == pytest.approx(per_seed.mean())
            assert shares.loc[row, f"{column}_std"] == pytest.approx(per_seed.std(), nan_ok=True)
            for number in (1, 2):
                expected = np.mean([100 * np.mean(found[seed, number]) for seed in SEEDS[row]])
                assert by_round.loc[(row, number), column] == pytest.approx(expected)
    assert (shares["queries"] == 2 * by_round["queries"].iloc[0]).all() and shares["n_seeds"].to_dict() == {
        "random": 1,
        "abc": 2,
    }


def made_up(counts: dict[str, tuple[int, int, int]]) -> pd.DataFrame:
    """One round of queries about a head class, a tail class and void, by label; twice as many by answer."""
    classes = [("road", 0, False), ("pole", 1, True), ("void", 2, False)]
    return pd.DataFrame(
        [
            {"row": row, "seed": 0, "round": 1, "class": name, "rank": rank, "pixels": 9 - rank, "masks": 9}
            | {"tail": tail, "by_label": count, "by_answer": 2 * count}
            for row, of_row in counts.items()
            for (name, rank, tail), count in zip(classes, of_row, strict=True)
        ]
    )


def test_tail_shares_in_closed_form() -> None:
    shares = tail_shares(made_up({"sim": (9, 1, 0), "abc": (0, 10, 0), "random": (0, 5, 15)})).set_index("row")
    assert shares["by_label"].to_dict() == {"sim": 10, "abc": 100, "random": 25}  # void counts as a query
    assert list(shares) == ["queries", "n_seeds", "by_label", "by_answer"], "no deviation of one seed"
    without = tail_shares(made_up({"sim": (9, 1, 0)}).assign(tail=False))
    assert without["by_label"].tolist() == [0]


# ---------------------------------------------------------------------------------------------------------- figures
def test_bars_are_the_means_over_seeds(distribution: pd.DataFrame) -> None:
    fig = distribution_figure(distribution, "A title.")
    totals = distribution.groupby(["row", "class"])[["by_label", "by_answer"]].sum()
    names = [label.get_text() for label in fig.axes[1].get_xticklabels()]
    assert names[-1] == "void" and names[:2] == distribution["class"].head(2).tolist()
    for axis, counts in zip(fig.axes, ("by_label", "by_answer"), strict=True):
        for row, bars in zip(SEEDS, axis.containers, strict=True):
            expected = [totals.loc[(row, name), counts] / len(SEEDS[row]) for name in names]
            assert [bar.get_height() for bar in bars] == expected
    shares = tail_shares(distribution).set_index("row")
    assert f"ABC {shares.loc['abc', 'by_answer']:.0f} %" in fig.axes[1].get_title(loc="left")
    plt.close(fig)


def test_a_single_mask_is_seen_on_a_logarithmic_scale() -> None:
    fig = distribution_figure(made_up({"sim": (5000, 1, 0), "abc": (1, 400, 0)}), "A title.", log=True)
    for axis in fig.axes:
        assert axis.get_yscale() == "log" and axis.get_ylim()[0] < 1 and "log scale" in axis.get_ylabel()
    assert [label.get_text() for label in fig.axes[1].get_xticklabels()] == ["road", "pole"]  # nobody said void
    plt.close(fig)


def test_groups_of_bars_do_not_touch() -> None:
    fig = distribution_figure(made_up({name: (1, 2, 3) for name in ("random", "sim", "abc", "mine")}), "A title.")
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bars in fig.axes[0].containers for bar in bars)
    assert all(end < start for (_, end), (start, _) in zip(edges, edges[1:], strict=False))
    plt.close(fig)


def test_shares_of_every_round_are_drawn(distribution: pd.DataFrame) -> None:
    fig = rounds_figure(distribution, "A title.")
    for axis, row in zip(fig.axes, SEEDS, strict=False):
        drawn = np.asarray(axis.images[0].get_array())
        assert drawn.shape == (14, 2) and np.allclose(drawn.sum(0), 100)
        rows = distribution[(distribution["row"] == row) & (distribution["rank"] == 3)]
        asked = distribution[distribution["row"] == row].groupby("round")["by_label"].sum()
        expected = 100 * rows.groupby("round")["by_label"].sum() / asked
        assert np.allclose(drawn[3], expected)
    plt.close(fig)
