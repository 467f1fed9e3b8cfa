"""Figure 6: what is compared, which images are shown, and what the pictures show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from scripted import lcm_of, told
from small_runs import EAGER, network, seeded

import a2lc
from a2lc.acquisition import class_weights
from a2lc.config import Experiment
from a2lc.datasets import Dataset, toy
from a2lc.figures import colour, save_figure, show_maps
from a2lc.files import write_label_png
from a2lc.masks import MaskSet
from a2lc.paper.experiments import run_rows
from a2lc.paper.figure6 import (
    _changes,
    choose_images,
    compare_classes,
    compare_images,
    show_classes,
    show_comparison,
    shrink,
)
from a2lc.runs import Run

SIZES = {"wide": (48, 600), "tall": (128, 64), "usual": (96, 128)}  # (height, width) in pixels
ROWS = {"alc": {"method": "alc"}, "a2lc": {"method": "a2lc"}}
SMALL = {"rounds": 1, "budget": 0.5, "segmenter": network(iterations=3), "correction": EAGER}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn scenes of three sizes as a folder of one's own data."""
    root = tmp_path_factory.mktemp("scenes")
    (root / "images").mkdir()
    for kind, (height, width) in SIZES.items():
        drawn = toy.load(n_train=2, n_val=1, height=height, width=width)
        for name in drawn.train.names:
            Image.fromarray(drawn.train.image(name)).save(root / "images" / f"{kind}-{name}.png")
            write_label_png(root / "ground_truth" / f"{kind}-{name}.png", drawn.train.ground_truth(name))
    (root / "classes.txt").write_text("\n".join(name.replace(" ", "_") for name in drawn.classes.names))
    return root


def every_other(masks: MaskSet, scores: np.ndarray, config: Experiment, seed: int, budget: int) -> np.ndarray:
    return np.arange(config.method == "a2lc", len(masks), 2)


@pytest.fixture(scope="module")
def runs(root: Path) -> dict[str, list[Run]]:
    """ALC and A²LC with two seeds; each is asked about the masks that the other is not, and A²LC's LCM spoils the rest:
    there is something better and something worse in every image."""
    fields = SMALL | {"dataset": "folder", "root": root}
    with lcm_of(told(1)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2lc.rounds.select_queries", every_other)
        return run_rows(fields, ROWS, (seeded(0), seeded(1)), runs_dir=root / "runs", device="cpu", progress=False)


@pytest.fixture(scope="module")
def pair(runs: dict[str, list[Run]]) -> dict[str, Run]:
    return {row: of_row[0] for row, of_row in runs.items()}


@pytest.fixture(scope="module")
def data(root: Path) -> Dataset:
    return a2lc.load_dataset("folder", root)


@pytest.fixture(scope="module")
def scores(pair: dict[str, Run]) -> pd.DataFrame:
    return compare_images(pair)


# ------------------------------------------------------------------------------------------------------ comparing
def iou_from_the_definition(labels: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Mean over the classes that occur, of pixels that both have a class: intersection over union."""
    counted = (labels < k) & (truth < k)
    ious = []
    for c in range(k):
        both, any_ = (labels == c) & (truth == c) & counted, ((labels == c) | (truth == c)) & counted
        if any_.sum():
            ious.append(both.sum() / any_.sum())
    return float(np.mean(ious))


def test_every_image_is_compared_by_the_definition(pair: dict, data: Dataset, scores: pd.DataFrame) -> None:
    assert tuple(scores["image"]) == data.train.names
    masks = {"first": pair["alc"].masks(0), "alc": pair["alc"].masks(1), "a2lc": pair["a2lc"].masks(1)}
    for row in scores.to_dict("records"):
        truth = data.train.ground_truth(row["image"])
        labels = {name: of_run.label_map(row["image"]) for name, of_run in masks.items()}
        known = (truth < len(data.classes)).sum()
        for name, of_run in labels.items():
            expected = iou_from_the_definition(of_run, truth, len(data.classes))
            assert row[f"{name}_miou"] == pytest.approx(100 * expected)
            right = (of_run == truth) & (truth < len(data.classes))
            assert row[f"{name}_right"] == pytest.approx(100 * right.sum() / known)
        fixed = (labels["a2lc"] == truth) & (labels["alc"] != truth) & (truth < len(data.classes))
        assert row["better"] == pytest.approx(100 * fixed.sum() / known)
    assert np.allclose(scores["better"] - scores["worse"], scores["a2lc_right"] - scores["alc_right"])
    assert np.allclose(scores["gain"], scores["a2lc_miou"] - scores["alc_miou"])
    assert (scores[["better", "worse"]] > 0).any().all()  # the two runs do differ


def test_exchanging_the_runs_exchanges_gain_and_loss(pair: dict, scores: pd.DataFrame) -> None:
    other = compare_images(dict(reversed(pair.items())))
    assert np.allclose(other["gain"], -scores["gain"])
    assert np.allclose(other[["better", "worse"]], scores[["worse", "better"]])


def test_only_two_runs_of_the_same_masks_are_compared(pair: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected two runs to compare, the baseline and the other, found 1"):
        compare_images({"alc": pair["alc"]})
    with pytest.raises(ValueError, match="a run cannot be called 'first'"):
        compare_images({"first": pair["alc"], "a2lc": pair["a2lc"]})
    fields = SMALL | {"dataset": "folder", "root": pair["alc"].config.root, "rounds": 0, "pseudo_labels": {"seed": 1}}
    elsewhere = run_rows(fields, {"a2lc": ROWS["a2lc"]}, runs_dir=tmp_path, device="cpu", progress=False)["a2lc"][0]
    with pytest.raises(ValueError, match=r"expected runs of the same masks, found \w{16} and \w{16}"):
        compare_images({"alc": pair["alc"], "a2lc": elsewhere})
    with pytest.raises(ValueError, match="expected runs of the same masks"):
        compare_classes({"alc": [pair["alc"]], "a2lc": [elsewhere]})


# ------------------------------------------------------------------------------------------------------- choosing
def of_gains(*gains: float) -> pd.DataFrame:
    return pd.DataFrame({"image": list("abcdefgh")[: len(gains)], "gain": gains})


@pytest.mark.parametrize(
    ("gains", "images", "rules"),
    [
        ((1, 5, -2, 0, 3), "bac", ["largest gain", "median gain", "largest loss"]),
        ((1, 5, 2, 3), "bca", ["largest gain", "median gain", "smallest gain"]),  # the lower of two in the middle
        ((-1, -5, -2), "acb", ["smallest loss", "median gain", "largest loss"]),
        ((4, 4, 4, 4, 4), "ace", ["largest gain", "median gain", "smallest gain"]),  # ties in the dataset's order
        ((-1, 2), "ba", ["largest gain", "largest loss"]),
        ((0,), "a", ["largest gain"]),
        ((np.nan, 2, -1, np.nan, 7), "ebc", ["largest gain", "median gain", "largest loss"]),
    ],
)
def test_the_rule(gains: tuple, images: str, rules: list[str]) -> None:
    chosen = choose_images(of_gains(*gains))
    assert "".join(chosen["image"]) == images and list(chosen["rule"]) == rules


def test_images_named_by_hand_are_said_to_be(scores: pd.DataFrame) -> None:
    names = ["tall-train_0001", "wide-train_0000"]
    chosen = choose_images(scores, names)
    assert list(chosen["image"]) == names and set(chosen["rule"]) == {"named by hand"}
    assert chosen["gain"].tolist() == scores.set_index("image")["gain"][names].tolist()
    with pytest.raises(ValueError, match="images: no image 'tall-train_01'; did you mean 'tall-train_0001'"):
        choose_images(scores, ["tall-train_01"])


def test_nothing_to_choose_from() -> None:
    with pytest.raises(ValueError, match="no image has labels and ground truth"):
        choose_images(of_gains(np.nan, np.nan))


# -------------------------------------------------------------------------------------------------------- classes
def test_classes_add_up_to_data_miou(runs: dict, data: Dataset) -> None:
    for seed in (0, 1):
        table = compare_classes({row: [of_row[seed]] for row, of_row in runs.items()})
        assert set(table["class"]) == set(data.classes.names) and table["share"].sum() == pytest.approx(100)
        for row, of_row in runs.items():
            assert np.nanmean(table[row]) == pytest.approx(100 * of_row[seed].summary["data_miou"].iloc[-1])
        first = runs["alc"][seed].summary["data_miou"].iloc[0]
        assert np.nanmean(table["first"]) == pytest.approx(100 * first)


def test_classes_are_means_over_seeds(runs: dict) -> None:
    both = compare_classes(runs)
    single = [compare_classes({row: [of_row[seed]] for row, of_row in runs.items()}) for seed in (0, 1)]
    for row in runs:
        assert np.allclose(both[row], (single[0][row] + single[1][row]) / 2, equal_nan=True)
    assert np.allclose(both["difference"], both["a2lc"] - both["alc"], equal_nan=True)


def test_tail_is_the_rarer_half_of_the_first_labels(pair: dict) -> None:
    table = compare_classes({row: [run] for row, run in pair.items()})
    assert table["share"].is_monotonic_decreasing
    assert table["tail"].tolist() == [False] * 7 + [True] * 7  # 14 classes
    pixels = class_weights(pair["alc"].masks(0)).pixel_counts
    rare = set(table["class"][table["tail"]])
    counts = dict(zip(pair["alc"].masks(0).classes.names, pixels, strict=True))
    assert max(counts[name] for name in rare) <= min(counts[name] for name in counts.keys() - rare)


# ------------------------------------------------------------------------------------------------------- pictures
@pytest.fixture(scope="module")
def chosen(scores: pd.DataFrame) -> pd.DataFrame:
    return choose_images(scores, [f"{kind}-train_0000" for kind in SIZES])


@pytest.fixture(scope="module")
def figure(pair: dict, chosen: pd.DataFrame) -> Figure:
    return show_comparison(pair, chosen, "A title that says simulated. " * 8)


def panels(figure: Figure) -> list[list[np.ndarray]]:
    """The five pictures of every row."""
    return [[np.asarray(axis.get_images()[0].get_array()) for axis in part.axes] for part in figure.subfigs]


def test_rows_show_image_labels_and_truth(figure: Figure, pair: dict, data: Dataset, chosen: pd.DataFrame) -> None:
    for row, name in zip(panels(figure), chosen["image"], strict=True):
        maps = [*(pair[of_run].masks().label_map(name) for of_run in ("alc", "a2lc")), data.train.ground_truth(name)]
        assert np.array_equal(row[0], shrink(data.train.image(name), smooth=True))
        for shown, labels in zip(row[1:4], maps, strict=True):
            assert np.array_equal(shown, colour(shrink(labels), data.classes))
    titles = [axis.get_title() for axis in figure.subfigs[0].axes]
    assert titles == ["(a) image", "(b) ALC", "(c) A²LC", "(d) ground truth", "(e) difference"]


def test_difference_paints_what_changed(figure: Figure, data: Dataset, chosen: pd.DataFrame) -> None:
    green = (255 * np.array(to_rgb("#009E73"))).astype(np.uint8)
    for row, about in zip(panels(figure), chosen.to_dict("records"), strict=True):
        if about["image"].startswith("wide"):
            continue  # shrunk: shares of its pixels are only nearly those of the image
        truth, painted = data.train.ground_truth(about["image"]), row[4]
        known = (truth < len(data.classes)).sum()
        better, pale = (painted == green).all(-1), painted.min(-1) >= 200
        assert 100 * better.sum() / known == pytest.approx(about["better"])
        assert 100 * (~better & ~pale).sum() / known == pytest.approx(about["worse"])
        assert (pale | (truth < len(data.classes))).all()  # void is neither
        assert about["better"] > 0 or about["worse"] > 0


def test_void_is_neither_better_nor_worse() -> None:
    void, road = np.full((4, 6), 255, np.uint8), np.zeros((4, 6), np.uint8)
    for maps in ([void, road, void], [road, void, void]):
        assert (_changes(np.zeros((4, 6, 3), np.uint8), maps, 14) == 200).all()


def test_worse_is_told_by_stripes_not_by_colour_alone(pair: dict, scores: pd.DataFrame) -> None:
    """Exchanging the runs makes what was better worse: there are stripes inside one patch then."""
    most = scores.sort_values("better", ascending=False)[:1].assign(rule="named by hand")
    name = most["image"].item()
    forth = panels(show_comparison(pair, choose_images(scores, [name]), ""))[0][4]
    swapped = dict(reversed(pair.items()))
    back = panels(show_comparison(swapped, choose_images(compare_images(swapped), [name]), ""))[0][4]
    was_better = (forth == (255 * np.array(to_rgb("#009E73"))).astype(np.uint8)).all(-1)
    colours, counts = np.unique(back[was_better], axis=0, return_counts=True)
    assert len(colours) == 2 and counts.min() > 0.2 * counts.sum()
    luminance = colours @ np.array([0.299, 0.587, 0.114])
    assert abs(luminance[0] - luminance[1]) > 120  # seen in grey as well


def test_numbers_stand_under_the_panels(figure: Figure, chosen: pd.DataFrame) -> None:
    for part, row in zip(figure.subfigs, chosen.to_dict("records"), strict=True):
        texts = [axis.get_xlabel() for axis in part.axes]
        assert texts[0] == f"first: mIoU {row['first_miou']:.1f}, right {row['first_right']:.1f}"
        assert texts[2] == f"mIoU {row['a2lc_miou']:.1f}, right {row['a2lc_right']:.1f}"
        assert texts[4] == f"+ {row['better']:.1f}, \N{MINUS SIGN} {row['worse']:.1f}"
        assert row["image"] in part.get_suptitle() and part.get_suptitle().startswith("Named by hand")


def test_legend_has_the_classes_that_occur_and_void(figure: Figure, data: Dataset) -> None:
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    shown = {
        tuple(rgb) for row in panels(figure) for panel in row[1:4] for rgb in np.unique(panel.reshape(-1, 3), axis=0)
    }
    occur = [n for n, rgb in zip(data.classes.names, data.classes.palette, strict=True) if tuple(rgb) in shown]
    signs = ["+ only A²LC right", "\N{MINUS SIGN} only ALC right"]
    assert entries == [*occur, "void, no mask", *signs] and (255, 255, 255) in shown


def test_nothing_overlaps_and_the_file_is_small(figure: Figure, tmp_path: Path) -> None:
    save_figure(figure, "figure6", tmp_path, {})
    with Image.open(tmp_path / "figure6.png") as picture:
        assert 1000 <= picture.width <= 1200
    assert (tmp_path / "figure6.png").stat().st_size < 1_000_000 > (tmp_path / "figure6.pdf").stat().st_size
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [axis.get_tightbbox(renderer) for part in figure.subfigs for axis in part.axes]
    boxes += [text.get_window_extent(renderer) for part in figure.subfigs for text in part.texts]
    boxes += [
        figure.legends[0].get_window_extent(renderer),
        *(text.get_window_extent(renderer) for text in figure.texts),
    ]
    overlapping = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shrunk(0.98, 0.9).overlaps(b)]
    assert not overlapping


def test_pictures_are_shrunk_without_new_labels() -> None:
    labels = np.random.default_rng(0).choice(np.array([0, 7, 255], np.uint8), (1024, 2048))
    small = shrink(labels)
    assert small.shape == (240, 480) and set(np.unique(small)) == {0, 7, 255}
    assert shrink(small) is small and shrink(labels[:, :480]).shape == (1024, 480)
    stripes = np.tile(np.array([0, 200], np.uint8), (4, 4))[..., None].repeat(3, 2)  # (4, 8, 3)
    assert (shrink(stripes, width=4, smooth=True) == 100).all()
    assert shrink(np.zeros((1, 1000), np.uint8)).shape == (1, 480)


def test_classes_drawn_with_the_tail_shaded(runs: dict) -> None:
    table = compare_classes(runs)
    axis = show_classes(table, "title").axes[0]
    assert len(axis.patches) == table["tail"].sum()
    shaded = sorted(round(patch.get_y() + 0.5) for patch in axis.patches)
    assert shaded == np.flatnonzero(table["tail"]).tolist()
    drawn = {line.get_label(): np.asarray(line.get_xdata(), float) for line in axis.lines}
    assert list(drawn) == ["first labels", "ALC", "A²LC"]
    assert np.array_equal(drawn["A²LC"], table["a2lc"].to_numpy(), equal_nan=True)
    assert axis.get_yticklabels()[0].get_text().startswith(table["class"][0])


def test_maps_to_show_and_columns_to_show_them_in() -> None:
    panels = {"labels": np.zeros((4, 6), np.uint8)}
    classes = a2lc.load_dataset("toy").classes
    with pytest.raises(ValueError, match="panels: expected at least one image or label map, found none"):
        show_maps({}, classes)
    with pytest.raises(ValueError, match="columns: expected a whole number >= 1, found 0"):
        show_maps(panels, classes, columns=0)
