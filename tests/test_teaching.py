"""Drawing and sliders of the tutorials."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from a2lc.acceptance.value import Estimate
from a2lc.acquisition import explain_mask
from a2lc.datasets import load_dataset
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram
from a2lc.paper.teaching import (
    bar_rows,
    highlight,
    image_accuracy,
    real_data,
    real_images,
    show_explanation,
    show_matrices,
    show_numbers,
    shuffled,
    sliders,
    verdicts,
    window,
)
from a2lc.paper.trust import by_confidence, show_bounds, show_confidence, show_payoffs, show_pessimism


def test_a_window_holds_every_pixel_and_stays_in_the_image() -> None:
    inside = np.zeros((20, 30), dtype=bool)
    inside[5:7, 12] = True
    assert window(inside, margin=2) == (slice(3, 9), slice(10, 15))
    assert inside[window(inside, margin=99)].shape == inside.shape
    with pytest.raises(ValueError, match="at least one True"):
        window(np.zeros((2, 2), dtype=bool))


def test_numbers_get_a_colour_bar_and_their_limits() -> None:
    values = np.array([[0.0, np.nan], [2.0, 4.0]])
    fig = show_numbers({"image": np.zeros((2, 2, 3), np.uint8), "a": values, "b": values}, "t", limits={"b": (0, 4)})
    panels = {axis.get_title(): axis for axis in fig.axes if axis.get_title()}
    assert list(panels) == ["image", "a", "b"] and len(fig.axes) == 6  # a colour bar each, the image's unseen
    assert [panels[name].images[0].get_clim() for name in "ab"] == [(0, 1), (0, 4)]
    plt.close(fig)


def test_only_pixels_outside_get_pale() -> None:
    image, inside = np.full((1, 2, 3), 100, np.uint8), np.array([[True, False]])
    assert highlight(image, inside).tolist() == [[[100] * 3, [215] * 3]]
    assert highlight(image, inside, (1, 2, 3))[0, 0].tolist() == [1, 2, 3]


def test_an_explanation_names_label_and_factors() -> None:
    classes = load_dataset("toy").classes
    probs = np.zeros((len(classes), 4, 6))
    probs[1] = 1
    objects = np.repeat([[1, 1, 1, 0, 0, 0]], 4, axis=0)
    for label, said in ((0, classes.names[0]), (255, "void")):
        why = explain_mask(probs, objects, np.full((4, 6), label, np.uint8), 1, np.ones(len(classes)))
        fig = show_explanation(why, np.zeros((4, 6, 3), np.uint8), classes)
        title = fig.get_suptitle().replace("\n", " ")
        assert f"labelled {said}: score {12 * (label == 0):.1f}" in title and "12 pixels" in title
        plt.close(fig)


def test_matrices_name_rows_and_columns_and_write_their_numbers() -> None:
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    fig = show_matrices({"a": values, "b": -values / 2}, ["x", "y"], [0.5, 1, 2], ("row", "column"), digits=1)
    assert [text.get_text() for text in fig.axes[1].texts][:2] == ["-0.5", "-1.0"] and len(fig.axes) == 2
    assert fig.axes[0].texts[5].get_text() == "6"  # whole numbers stay whole
    assert [tick.get_text() for tick in fig.axes[0].get_xticklabels()] == ["0.5", "1", "2"]
    plt.close(fig)
    fig = show_matrices({"a": values}, ["x", "y"], [0.5, 1, 2], ("row", "column"))
    assert not fig.axes[0].texts and len(fig.axes) == 2  # a colour bar
    plt.close(fig)


def test_accuracy_of_an_image_counts_pixels_of_its_masks() -> None:
    classes = load_dataset("toy").classes
    maps = {name: np.array([[1, 1, 2, 0]]) for name in "ab"} | {"c": np.zeros((1, 4), np.int32)}
    labels = {"a": {1: 0, 2: 1}, "b": {1: 255, 2: 0}, "c": {}}
    counts = np.zeros((4, len(classes) + 1), dtype=np.int64)
    counts[0, 0], counts[1, 0], counts[2, -1], counts[3, 0] = 2, 1, 2, 1
    truth = TruthHistogram(counts, np.array([0, 0, 255, 0], np.uint8), np.zeros(len(classes) + 1, np.int64))
    found = image_accuracy(MaskSet.from_maps(classes, "abc", maps, labels), truth)
    assert found.tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_shuffling_keeps_the_other_labels_and_the_frequencies() -> None:
    labels = np.arange(50, dtype=np.uint8)
    dealt = shuffled(labels, labels % 2 == 1, seed=3)
    assert (dealt[::2] == labels[::2]).all() and sorted(dealt) == labels.tolist() and (dealt != labels).sum() > 10
    assert (dealt == shuffled(labels, np.flatnonzero(labels % 2), seed=3)).all()


def test_verdicts_paint_masks_and_nothing_else() -> None:
    maps = {"a": np.array([[1, 1]]), "b": np.array([[0, 2, 7, 9]])}
    masks = MaskSet.from_maps(load_dataset("toy").classes, ["a", "b"], maps, {"a": {1: 0}, "b": {2: 0, 7: 1, 9: 2}})
    picture = verdicts(masks, "b", np.array([True, True, False, False]), np.array([False, False, True, False]))
    assert picture[0].tolist() == [[230] * 3, [0, 150, 60], [220, 30, 30], [230] * 3]


def test_bars_carry_their_values_and_leave_gaps() -> None:
    fig = bar_rows({"a": {"x": 12.34, "y": float("nan")}, "b": {"x": 0.0, "y": 5.0}}, "%")
    axis = fig.axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["x", "y"]
    assert [text.get_text() for text in axis.texts] == ["12.3", "", "0.0", "5.0"]
    plt.close(fig)


def test_the_figure_follows_the_sliders() -> None:
    drawn = []

    def draw(tau: float, mask: int) -> None:
        drawn.append((tau, mask))

    widget = sliders(draw, tau=(0.9, 0.99), mask=range(3))
    widget.update()
    widget.children[1].value = 2
    assert drawn[0] == (0.9, 0) and drawn[-1] == (0.9, 2)
    with pytest.raises(ValueError, match="none for mask"):
        sliders(draw, tau=(1,), mask=())


def test_a_folder_of_real_masks_that_is_given_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, empty = tmp_path / "there", tmp_path / "project"
    (there / "grounded_sam_voc").mkdir(parents=True)
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("A2LC_DATA", str(there))
    assert real_data() == there
    for given in (tmp_path / "nope", empty):
        with pytest.raises(FileNotFoundError, match=f"data: expected a folder with grounded_sam_voc .*{given.name}$"):
            real_data(str(given))
    monkeypatch.setenv("A2LC_DATA", str(empty))
    assert real_data() is None and real_data(str(there)) == there
    monkeypatch.delenv("A2LC_DATA")
    assert real_data() is None
    (tmp_path / "shared" / "data" / "grounded_sam_voc").mkdir(parents=True)
    assert real_data() == Path("../shared/data")


def test_real_masks_are_shown_on_pictures_where_there_are_any(data_root: Path) -> None:
    voc, pictures = real_images(data_root, "train38")
    assert pictures and len(voc.train) == 38
    name = voc.train.names[0]
    assert voc.train.image(name).shape[:2] == voc.train.ground_truth(name).shape
    voc, pictures = real_images(data_root, "train_labels_only")
    assert not pictures and len(voc.train) == 752
    with pytest.raises(FileNotFoundError, match="train83"):
        real_images(data_root, "train83")


# ------------------------------------------------------------------------------------------------ acceptance
def test_proposals_are_counted_by_confidence() -> None:
    found = by_confidence(np.array([0.2, 0.4, 0.99, 1.0]), np.array([True, False, True, True]))
    assert found["number"].tolist() == [2, 1, 1] and found["right"].tolist() == [0.5, 1, 1]
    assert found["confidence"].tolist() == pytest.approx([0.3, 0.99, 1])
    fig = show_confidence(found, pd.DataFrame({"masks": [3, 1], "points": [-1.0, 0.5]}, index=[0.5, 0.9]))
    assert [text.get_text() for text in fig.axes[0].texts] == ["2", "1", "1"]
    assert fig.axes[1].lines[0].get_ydata().tolist() == [-1, 0.5] and len(fig.axes) == 3


def test_payoffs_pessimism_and_bounds_are_drawn() -> None:
    new, old = np.array([True, False, False]), np.array([False, True, False])
    fig = show_payoffs(np.array([1.0, -1, 0]), np.array([0.9, -0.8, 0.1]), new, old)
    assert [text.get_text() for text in fig.axes[0].get_legend().get_texts()] == [
        "new label right (1)",
        "old label right (1)",
        "neither (1)",
    ]
    fig = show_pessimism(pd.DataFrame({"corrections": [9, 1], "points": [-1.0, 2]}, index=[0.0, 1.6]))
    assert [len(axis.lines) for axis in fig.axes] == [1, 2]  # and a line at 0
    fig = show_bounds({"expected": Estimate(0.5, 0.2, 0.7, 9), "audited": None}, [0.6, 0.6])
    assert list(fig.axes[0].lines[0].get_xdata()) == [0.2, 0.7] and len(fig.axes[0].lines) == 4
