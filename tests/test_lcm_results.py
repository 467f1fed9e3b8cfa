"""Table 3 and Figure 4: what the LCM corrected, whether it was right, and how it is shown."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scripted import ByColour, lcm_of, told
from small_runs import seeded

import a2lc
from a2lc.figures import confidence_text, save_figure
from a2lc.human.mask_pictures import crop_around
from a2lc.paper import figure4
from a2lc.paper.clicks import answers_only
from a2lc.paper.figure4 import correction_gallery, gallery_caption, gallery_classes, gallery_tiles
from a2lc.paper.table3 import (
    accuracy_bars,
    corrections_of,
    label_flows,
    lcm_accuracy,
    lcm_beside_paper,
    lcm_effect,
    over_seeds,
    reliability,
    right_by_confidence,
)
from a2lc.runs import Run

SMALL = {
    "dataset": "toy",
    "seed": seeded(),
    "rounds": 3,
    "budget": 60,
    "correction": {  # answers of earlier rounds may be overruled; nothing passes in round 3
        "thresholds": [0.0, 0.0, 1.0],
        "tail_ratio": 0.2,
        "protected_answers": "round",
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nothing in it is trained: the LCM believes the segmenter."""
    folder = tmp_path_factory.mktemp("runs")
    with lcm_of(told(0)):
        return a2lc.run(a2lc.Experiment(**SMALL), folder, segmenter=ByColour, device="cpu", progress=False)


@pytest.fixture(scope="module")
def corrections(run: Run) -> pd.DataFrame:
    return corrections_of(run)


def most_frequent(values: np.ndarray) -> int:
    """The value that occurs most often, 255 for void; of equally frequent ones the first."""
    values = [int(v) for v in values.ravel()]
    return max(dict.fromkeys(values), key=values.count)


# --------------------------------------------------------------------------------------------------------- numbers
def test_corrections_agree_with_what_the_rounds_noted(run: Run, corrections: pd.DataFrame) -> None:
    counts = []
    for number in (1, 2, 3):
        found, noted = corrections[corrections["round"] == number], run.metrics(number)
        counts.append(len(found))
        assert noted["n_auto"] == len(found)
        if len(found):
            assert noted["lcm_oa_before"] == pytest.approx(found["right_before"].mean())
            assert noted["lcm_oa_after"] == pytest.approx(found["right_after"].mean())
        else:
            assert noted["lcm_oa_before"] is None and noted["lcm_oa_after"] is None
    assert counts[0] > 100 and counts[1] > 100 and counts[2] == 0
    assert corrections["right_before"].sum() > 0 and 0 < corrections["right_after"].sum() < len(corrections)
    assert not (corrections["right_before"] & corrections["right_after"]).any()  # a correction changes the label


def test_corrections_are_those_that_the_pixels_show(run: Run, corrections: pd.DataFrame) -> None:
    """Oracle: label maps before and after, and the ground truth, mask by mask, for every image in twelve."""
    train, names = a2lc.load_dataset("toy").train, run.masks(0).classes.names
    for number in (1, 2):
        before, after, asked = run.masks(number - 1), run.masks(number), set(run.queries(number)["row"])
        for image in before.names[::12]:
            objects, truth = before.object_map(image), train.ground_truth(image)
            expected = []
            for row in range(before.rows(image).start, before.rows(image).stop):
                inside = objects == before.table["mask_id"].iloc[row]
                old, new = (int(masks.label_map(image)[inside][0]) for masks in (before, after))
                if old != new and row not in asked:
                    true = most_frequent(truth[inside])
                    labels = [names[label] if label < 255 else "void" for label in (old, new, true)]
                    expected.append((row, inside.sum(), *labels, old == true, new == true))
            found = corrections[(corrections["round"] == number) & (corrections["image"] == image)]
            columns = ["row", "area", "old", "new", "truth", "right_before", "right_after"]
            assert list(found[columns].itertuples(index=False, name=None)) == expected
    assert (corrections["truth"] == "void").any()
    assert corrections["confidence"].between(0.1, 1).all()


def test_answers_that_were_overruled_count_as_corrections(run: Run, corrections: pd.DataFrame) -> None:
    table = run.masks(2).table
    overruled = np.flatnonzero((table["source"] == "overruled") & (table["round"] == 2))
    assert len(overruled) > 0 and set(overruled) <= set(corrections.loc[corrections["round"] == 2, "row"])


def test_table_counts_rounds_and_their_sum(run: Run, corrections: pd.DataFrame) -> None:
    table = lcm_accuracy([run]).set_index("round")
    assert list(table.index) == ["1", "2", "3", "all"] and (table["seed"] == seeded()).all()
    counts = ["n_corrected", "n_clean_before", "n_clean_after", "n_void"]
    assert table.loc["all", counts].tolist() == table.loc[["1", "2", "3"], counts].sum().tolist()
    assert table.loc["1", "n_masks"] == table.loc["1", "n_corrected"]
    different = corrections[["image", "mask_id"]].drop_duplicates()
    assert table.loc["all", "n_masks"] == len(different) < table.loc["all", "n_corrected"] == len(corrections)
    assert table.loc["all", "oa_after"] == pytest.approx(100 * corrections["right_after"].mean())
    assert table.loc["3", "n_corrected"] == 0 and table.loc["3", ["oa_before", "oa_after"]].isna().all()


def test_a_run_without_the_lcm_is_refused(run: Run) -> None:
    without = Run(run.path, run.config.model_copy(update={"method": "a2lc_no_lcm", "lcm": False}))
    with pytest.raises(ValueError, match="expected a run with the LCM, found method 'a2lc_no_lcm' without it"):
        lcm_accuracy([without])


def made_up_table(*counts: tuple[int, int, int]) -> pd.DataFrame:
    """`lcm_accuracy` of several seeds with one round: corrected, right before, right after."""
    columns = ["n_corrected", "n_clean_before", "n_clean_after"]
    rows = [
        dict(zip(columns, numbers, strict=True)) | {"seed": seed, "round": name, "n_masks": numbers[0], "n_void": 0}
        for seed, numbers in enumerate(counts)
        for name in ("1", "all")
    ]
    table = pd.DataFrame(rows)
    return table.assign(
        oa_before=100 * table["n_clean_before"] / table["n_corrected"],
        oa_after=100 * table["n_clean_after"] / table["n_corrected"],
    )


def test_seeds_share_counts_not_percentages() -> None:
    both = over_seeds(made_up_table((100, 10, 50), (300, 70, 270))).set_index("round").loc["all"]
    assert both[["n_corrected", "n_clean_before", "n_clean_after"]].tolist() == [200, 40, 160]
    assert (both["oa_before"], both["oa_after"]) == (20, 80)  # means of percentages would be 16.7 and 70


def test_ours_beside_the_papers() -> None:
    table = lcm_beside_paper(made_up_table((1000, 200, 700))).set_index("numbers")
    columns = ["n_corrected", "oa_before", "oa_after", "gain", "n_clean_before", "n_clean_after"]
    assert list(table.columns) == columns
    assert table.loc["ours"].tolist() == [1000, 20, 70, 50, 200, 700]
    assert table.loc["paper, Cityscapes"].tolist() == pytest.approx([22105, 19.13, 60.99, 41.86, 4229, 13481])
    assert table.loc["paper, PASCAL VOC"].tolist() == pytest.approx([1629, 4.85, 82.26, 77.41, 79, 1340])
    thirds = lcm_beside_paper(made_up_table((101, 1, 1), (100, 1, 1), (101, 1, 1)))
    assert thirds["n_corrected"].tolist()[:2] == [101, 22105]  # rounded, not cut
    assert table.loc["difference to PASCAL VOC"].tolist() == pytest.approx([-629, 15.15, -12.26, -27.41, 121, -640])


def made_up_corrections(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """Corrections of masks 1, 2, ... of one image: old, new, truth, confidence."""
    table = pd.DataFrame(rows, columns=["old", "new", "truth", "confidence"])
    table = table.assign(seed=0, round=1, row=range(len(rows)), image="a", mask_id=range(1, len(rows) + 1), area=9)
    return table.assign(right_before=table["old"] == table["truth"], right_after=table["new"] == table["truth"])


def test_flows_are_counted_by_class() -> None:
    corrections = made_up_corrections(
        ("car", "bus", "bus", 0.9),
        ("car", "bus", "car", 0.9),
        ("car", "bus", "void", 0.9),
        ("car", "bus", "sky", 0.9),
        ("sky", "car", "car", 0.9),
    )
    flows = label_flows(corrections)
    assert flows.to_dict("records") == [
        {"old": "car", "new": "bus", "n": 4, "share": 80, "right_before": 25, "right_after": 25},
        {"old": "sky", "new": "car", "n": 1, "share": 20, "right_before": 0, "right_after": 100},
    ]
    assert label_flows(corrections, ["new"])[["new", "n"]].values.tolist() == [["bus", 4], ["car", 1]]
    assert label_flows(corrections.iloc[:0]).empty


@pytest.mark.parametrize(
    ("confidence", "interval"),
    [
        (0.0, "0 to 0.5"),
        (0.5, "0.5 to 0.9"),
        (0.9899, "0.9 to 0.99"),
        (0.99, "0.99 to 0.999"),
        (0.9999999, "0.99999 to 1"),
        (1.0, "0.99999 to 1"),
    ],
)
def test_confidences_fall_into_half_open_intervals(confidence: float, interval: str) -> None:
    table = right_by_confidence(made_up_corrections(("car", "bus", "bus", confidence)))
    assert table["interval"].tolist() == [interval] and table["n"].tolist() == [1]


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 10), (137, 137), (400, 1000)])
def test_intervals_are_wilsons(right: int, n: int) -> None:
    """Oracle: the shares p from which the seen share is 1.96 standard deviations away."""
    rows = [("car", "bus", "bus" if i < right else "car", 0.995) for i in range(n)]
    row = right_by_confidence(made_up_corrections(*rows)).iloc[0]
    seen = right / n

    def distance(p: float) -> float:
        return abs(seen - p) - 1.959964 * np.sqrt(p * (1 - p) / n)

    low = 0.0 if right == 0 else brentq(distance, 1e-12, seen - 1e-9)
    high = 1.0 if right == n else brentq(distance, seen + 1e-9, 1 - 1e-12)
    assert row[["right_low", "right_high"]].tolist() == pytest.approx([100 * low, 100 * high], abs=1e-6)
    assert row["right_after"] == pytest.approx(100 * seen) and row["right_before"] == pytest.approx(100 - 100 * seen)


def test_data_miou_before_and_after_the_corrections(run: Run, corrections: pd.DataFrame) -> None:
    effect, train = lcm_effect([run]).set_index("round"), a2lc.load_dataset("toy").train
    noted = 100 * run.summary["data_miou"]
    assert effect.loc[["1", "2", "3"], "before"].tolist() == pytest.approx(noted[:3].tolist())
    assert effect.loc[["1", "2", "3"], "corrected"].tolist() == pytest.approx(noted[1:].tolist())
    undone = run.masks(2)  # round 2 with every correction taken back
    rows = corrections.loc[corrections["round"] == 2, "row"].to_numpy()
    old = run.masks(1).table["label"].to_numpy()[rows]
    undone = undone.relabel(rows, old, source="annotator", round=2)
    assert effect.loc["2", "answers"] == pytest.approx(100 * a2lc.data_miou(undone, train))
    assert effect.loc["2", "by_lcm"] == pytest.approx(noted[2] - effect.loc["2", "answers"])
    assert effect.loc["2", "by_lcm"] != 0 and effect.loc["3", "by_lcm"] == 0
    whole = effect.loc["all"]
    assert whole[["before", "answers", "corrected"]].tolist() == pytest.approx(
        [noted[0], 100 * answers_only(run), noted[3]]
    )


# --------------------------------------------------------------------------------------------------------- figures
def test_bars_are_the_numbers_and_the_papers(run: Run, tmp_path: Path) -> None:
    table = lcm_accuracy([run])
    fig = accuracy_bars(table, "A title.")
    axis = fig.axes[0]
    before, after = ([bar.get_height() for bar in bars] for bars in axis.containers)
    ours = table.fillna(0)
    assert before == pytest.approx([*ours["oa_before"], 19.13, 4.85])
    assert after == pytest.approx([*ours["oa_after"], 60.99, 82.26])
    texts = [label.get_text() for label in axis.get_xticklabels()]
    assert (
        texts[2:4] == ["3\n0", f"all\n{table['n_corrected'].iloc[-1]:,}"] and texts[-1] == "paper:\nPASCAL VOC\n1,629"
    )
    save_figure(fig, "bars", tmp_path, table.to_dict("records"))
    assert json.loads((tmp_path / "bars.json").read_text())[0]["n_corrected"] == table["n_corrected"].iloc[0]


def test_reliability_shows_the_shares(corrections: pd.DataFrame) -> None:
    table = right_by_confidence(corrections)
    axis = reliability(table, "A title.").axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    claimed, before, right = lines["claimed: confidence"], lines["right before"], axis.containers[0].lines[0]
    assert claimed.get_ydata().tolist() == table["confidence"].tolist()
    assert right.get_ydata().tolist() == table["right_after"].tolist()
    assert before.get_ydata().tolist() == table["right_before"].tolist()
    plt.close("all")


def test_nothing_corrected_is_said_and_not_an_error(run: Run, corrections: pd.DataFrame, tmp_path: Path) -> None:
    nothing = corrections.iloc[:0]
    table = right_by_confidence(nothing)
    assert table.empty
    assert reliability(table, "A title.").axes[0].texts[0].get_text() == "the LCM corrected no mask"
    accuracy_bars(lcm_accuracy([run]).query("round == '3'"), "A title.")
    names = gallery_classes(nothing, run.masks(0).classes)
    assert names == [] and gallery_caption(nothing, names, 5) == "The LCM corrected no mask."
    fig = correction_gallery(run, gallery_tiles(nothing, names, 5), names, "A title.")
    assert fig.axes[0].texts[0].get_text() == "the LCM corrected no mask"
    save_figure(fig, "nothing", tmp_path, {})
    plt.close("all")


# --------------------------------------------------------------------------------------------------------- Figure 4
def test_classes_are_the_most_frequent_or_the_wanted(run: Run) -> None:
    new = ["bus", "bus", "sky", "car", "car", "road", "rider", "rider"]
    corrections = made_up_corrections(*[("pole", name, name, 0.9) for name in new])
    classes = run.masks(0).classes
    assert gallery_classes(corrections, classes, most=4) == ["bus", "car", "rider", "road"]
    assert gallery_classes(corrections, classes, ["truck", "sky", "truck"]) == ["truck", "sky"]
    with pytest.raises(ValueError, match="unknown class 'buss'; did you mean 'bus'"):
        gallery_classes(corrections, classes, ["buss"])


@pytest.mark.parametrize(("per_class", "shown"), [(1, [1]), (2, [1, 10]), (4, [1, 4, 7, 10]), (99, list(range(1, 11)))])
def test_tiles_are_evenly_spaced_by_confidence(per_class: int, shown: list[int]) -> None:
    rising = made_up_corrections(*[("car", "bus", "bus", 0.9 + i / 1000) for i in range(10)])  # masks 1 to 10
    other = made_up_corrections(("car", "sky", "sky", 0.99))
    corrections = pd.concat([rising, other]).sample(frac=1, random_state=0)
    tiles = gallery_tiles(corrections, ["truck", "bus"], per_class)
    assert tiles["mask_id"].tolist() == shown and set(tiles["new"]) == {"bus"}


def test_equal_confidences_are_ordered_by_image_and_mask() -> None:
    corrections = made_up_corrections(*[("car", "bus", "bus", 1.0)] * 5)
    for seed in range(3):
        shuffled = corrections.sample(frac=1, random_state=seed)
        assert gallery_tiles(shuffled, ["bus"], 3)["mask_id"].tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="per_class: expected at least 1 tile, found 0"):
        gallery_tiles(corrections, ["bus"], 0)


def test_caption_gives_the_share_of_all_corrections() -> None:
    right, wrong = ("car", "bus", "bus", 0.9), ("car", "bus", "sky", 0.9)
    corrections = made_up_corrections(right, wrong, wrong, wrong, ("bus", "sky", "sky", 0.9))
    text = gallery_caption(corrections, ["bus", "truck"], 1)
    assert text.startswith("Up to 1 corrections per class")
    assert text.endswith("Right of all corrections: bus 25 % of 4, truck none; of every class 40 % of 5.")


def box(rows: slice, columns: slice, shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    inside = np.zeros(shape, dtype=bool)
    inside[rows, columns] = True
    return inside


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [
        (slice(30, 31), slice(40, 41), (10, 10)),  # one pixel: a sixth of the shorter side
        (slice(0, 1), slice(89, 90), (10, 10)),  # in a corner
        (slice(50, 60), slice(0, 20), (30, 30)),  # half as large again, at a border
        (slice(0, 60), slice(30, 31), (60, 90)),  # as high as the image
        (slice(0, 60), slice(0, 90), (60, 90)),  # the whole image
        (slice(20, 22), slice(10, 60), (60, 75)),  # wider than the image is high
    ],
)
def test_crops_are_squares_inside_the_image(rows: slice, columns: slice, size: tuple[int, int]) -> None:
    inside = box(rows, columns)
    crop = inside[crop_around(inside)]
    assert crop.shape == size and crop.sum() == inside.sum()
    where = crop_around(inside)
    assert all(part.start >= 0 and part.stop <= length for part, length in zip(where, inside.shape, strict=True))


def test_crops_are_centred_where_there_is_room() -> None:
    assert crop_around(box(slice(20, 30), slice(40, 50))) == (slice(17, 32), slice(37, 52))


def test_gallery_shows_every_tile_with_a_sign(run: Run, corrections: pd.DataFrame, tmp_path: Path) -> None:
    classes = run.masks(0).classes
    never = str(corrections["new"].iloc[0])
    corrections = corrections[corrections["new"] != never]
    given = gallery_classes(corrections, classes, most=2)
    names = [given[0], never, given[1]]
    tiles = gallery_tiles(corrections, names, 5)
    void = corrections[corrections["truth"] == "void"].assign(new=given[1]).iloc[:1]
    tiny = corrections.sort_values("area").assign(new=given[1]).iloc[:1]
    tiles = pd.concat([tiles, void, tiny])
    fig = correction_gallery(run, tiles, names, "A title.")
    drawn = [axis for axis in fig.axes if axis.images]
    assert len(drawn) == len(tiles) == 12
    for axis, tile in zip(drawn, tiles.to_dict("records"), strict=True):
        text = " ".join(axis.get_title().split())
        sign = "✓ right" if tile["right_after"] else f"✗ truth: {tile['truth']}"
        assert text.startswith(f"{tile['old']} → {tile['new']} {sign}") and text.endswith(f"round {tile['round']}")
    assert "✗ truth: void" in drawn[-2].get_title()
    messages = [text.get_text() for axis in fig.axes for text in axis.texts]
    assert messages == [f"the LCM corrected no mask to {never}"]
    save_figure(fig, "gallery", tmp_path, tiles.to_dict("records"))
    assert len(json.loads((tmp_path / "gallery.json").read_text())) == len(tiles)


@pytest.mark.parametrize("name", ["corner", "everything", "pixel"])
def test_outlines_close_at_the_border(name: str) -> None:
    inside = {
        "corner": box(slice(0, 8), slice(0, 8), (24, 24)),
        "everything": np.ones((24, 24), bool),
        "pixel": box(slice(23, 24), slice(23, 24), (24, 24)),
    }[name]
    fig, axis = plt.subplots()
    tile = {"old": "car", "new": "bus", "truth": "bus", "right_after": True, "confidence": 0.995, "round": 1}
    figure4._draw_tile(axis, np.zeros((24, 24, 3), np.uint8), inside, tile, characters=30)
    paths = [path for lines in axis.collections for path in lines.get_paths() if len(path.vertices)]
    assert len(paths) == 2 and all((path.vertices[0] == path.vertices[-1]).all() for path in paths)
    plt.close(fig)


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (0.5, "0.50"),
        (0.995, "0.9950"),
        (0.99996, "0.999960"),
        (float(np.float32(0.99999994)), "0.999999940"),
        (1.0, "1"),
    ],
)
def test_confidences_are_not_rounded_up_to_one(confidence: float, text: str) -> None:
    assert confidence_text(confidence) == text
