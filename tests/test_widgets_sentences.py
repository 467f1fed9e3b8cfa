"""The browser of sentences: which are found, what is painted, and what its controls do."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2lc import referring
from a2lc.referring import Look, ReferringDataset, ReferringRun
from a2lc.referring.priors.base import Prior
from a2lc.widgets import SentenceBrowser
from a2lc.widgets.front_end import figure_png
from a2lc.widgets.sentence_browser import SENTENCE_KEYS
from a2lc.widgets.sentence_state import COLOURS, SENTENCE_LAYERS, SentenceState, compose_sentence, legend
from tests.small_runs import seeded

OPTIONS = {"n_train": 6, "n_val": 2, "n_test": 2, "height": 48, "width": 64}


@pytest.fixture(scope="module")
def data() -> ReferringDataset:
    return referring.load_dataset("toy_referring", **OPTIONS)


@pytest.fixture(scope="module")
def run(data: ReferringDataset, tmp_path_factory: pytest.TempPathFactory) -> ReferringRun:
    training = {"steps": 2, "batch": 4}
    config = referring.Experiment(options=OPTIONS, rate=0.7, rounds=1, seed=seeded(), training=training)
    return referring.run(config, tmp_path_factory.mktemp("runs"), data=data, progress=False)


@pytest.fixture
def state(run: ReferringRun, data: ReferringDataset) -> SentenceState:
    return SentenceState(run, data)


def test_sentences_are_found_by_split_and_by_decision(state: SentenceState, run: ReferringRun) -> None:
    every = len(state.sentences)
    assert every == len(state.data.train) and state.number == state.sentences["sentence_id"].iloc[0]
    labelled = state.data.train.table["image"].isin(run.labelled)
    counts = {}
    for decision in ("labelled", "accepted", "rejected"):
        state.find(decision=decision)
        counts[decision] = len(state.sentences)
        assert (state.sentences["decision"] == decision).all()
        assert (state.number is None) == (counts[decision] == 0)
    assert counts["labelled"] == labelled.sum() and sum(counts.values()) == every
    gates = run.decisions(1)["gate"]
    assert (counts["accepted"], counts["rejected"]) == ((gates > 0).sum(), (gates == 0).sum())
    state.find("val")
    assert len(state.sentences) == len(state.data.val) and state.decision is None
    state.find("train")
    state.show_round(1)  # after the last round nothing is decided
    assert set(state.sentences["decision"]) == {"labelled", ""}


def test_a_step_ends_where_the_list_does(state: SentenceState) -> None:
    assert not state.step(-1) and state.step(1)
    assert state.number == state.sentences["sentence_id"].iloc[1]
    last = int(state.sentences["sentence_id"].iloc[-1])
    state.go_to(last)
    assert not state.step(1) and state.number == last


def test_wrong_wishes_are_named(state: SentenceState, data: ReferringDataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split: expected one of train"):
        state.find("trains")
    with pytest.raises(ValueError, match="did you mean|accepted"):
        state.find(decision="acepted")
    with pytest.raises(ValueError, match="only sentences of train"):
        state.find("val", "accepted")
    with pytest.raises(ValueError, match="no sentence 99999"):
        state.go_to(99999)
    with pytest.raises(ValueError, match="0 to 1, found 7"):
        state.show_round(7)
    with pytest.raises(ValueError, match="expected one of image"):
        state.show_layer("picture")
    with pytest.raises(ValueError, match="opacity"):
        state.show_layer("image", opacity=2)
    config = referring.Experiment(options=OPTIONS)
    with pytest.raises(ValueError, match="no network yet"):
        SentenceState(ReferringRun(tmp_path, config), data)


def drawn(opacity: dict[str, float], **changes: object) -> np.ndarray:
    """Eight by eight cells: the prior in the first two columns, the network and both in two other ones; the first row
    is accepted. The image is 800 pixels wide, so that a cell is 100 pixels."""
    maps = {name: np.zeros((8, 8), np.float32) for name in ("prior", "network", "fused")}
    maps["prior"][:, :2], maps["network"][:, 2:4], maps["fused"][:, 4:6] = 1, 1, 1
    cells, truth = np.zeros((8, 8), bool), np.zeros((800, 800), bool)
    cells[0] = True
    truth[300:500, 300:500] = True
    box = np.array([[600, 600, 700, 700]], np.float32)
    prior = Prior(box, np.array([0.9], np.float32), 1.0, 1.0, (maps["prior"] * 255).astype(np.uint8))
    image = np.full((800, 800, 3), 10, np.uint8)
    fields = {"prior": prior, "said": maps["network"], "fused": maps["fused"], "cells": cells, **changes}
    return compose_sentence(Look("the car", image, truth, **fields), opacity)  # type: ignore[arg-type]


def colour(name: str) -> list[int]:
    return [int(COLOURS[name][at : at + 2], 16) for at in (1, 3, 5)]


def test_each_layer_paints_what_it_means() -> None:
    picture = drawn({"image": 1.0, "prior": 1.0})
    assert picture.shape == (800, 800, 3)
    assert picture[450, 50].tolist() == colour("prior") and picture[450, 250].tolist() == [10, 10, 10]
    assert picture[600, 650].tolist() == colour("prior") == picture[650, 699].tolist()  # the box
    assert picture[650, 650].tolist() == [10, 10, 10] == picture[598, 650].tolist() == picture[650, 701].tolist()
    assert drawn({"network": 1.0})[450, 250].tolist() == colour("network")
    assert drawn({"fused": 1.0})[450, 450].tolist() == colour("fused")
    picture = drawn({"image": 1.0, "accepted": 1.0})
    assert picture[50, 450].tolist() == colour("object") and picture[50, 50].tolist() == colour("background")
    assert picture[150, 450].tolist() == [10, 10, 10]  # left out
    picture = drawn({"image": 1.0, "truth": 1.0})
    assert (picture == 255).all(-1).any() and (picture[400, 400] == 10).all() and (picture[50, 50] == 10).all()


def test_half_an_opacity_is_half_the_colour() -> None:
    found = drawn({"image": 1.0, "network": 0.5})[450, 250].astype(int)
    assert np.abs(found - (np.array(colour("network")) + 10) / 2).max() <= 1


def test_what_there_is_not_is_not_painted() -> None:
    every = dict.fromkeys(SENTENCE_LAYERS, 1.0)
    bare = drawn(every, prior=None, said=None, fused=None, cells=np.zeros((8, 8), bool))
    assert (bare[50, 50] == 10).all() and (bare[650, 650] == 10).all()
    nothing = Prior(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.0, 1.0, np.zeros((8, 8), np.uint8))
    assert (drawn({"image": 1.0, "prior": 1.0}, prior=nothing) == 10).all()


def test_the_widget_follows_keys_and_controls(run: ReferringRun, data: ReferringDataset) -> None:
    browser = SentenceBrowser(run, data, live=True)
    picture, state = browser.widget.children[1].children[0].children[0], browser.state
    first, answered = bytes(picture.picture), picture.answered
    assert picture.status == state.described() and first[:2] == b"\xff\xd8"
    browser._on_message({"type": "key", "key": "ArrowRight"})
    assert state.number == state.sentences["sentence_id"].iloc[1] == browser._list.value
    assert picture.answered == answered + 1
    browser._on_message({"type": "key", "key": "ArrowLeft"})
    browser._on_message({"type": "key", "key": "ArrowLeft"})
    assert picture.status == "This is the first sentence of the list"
    for layer, key in SENTENCE_KEYS.items():
        before = layer in state.shown
        browser._on_message({"type": "key", "key": key})
        assert (layer in state.shown) is not before
        rows = {row["name"]: row for row in browser._layers.layers}
        assert rows[layer]["shown"] is not before and rows[layer]["key"] == key.upper()
    browser._on_message({"type": "round", "round": 1})
    assert state.round == 1 == picture.round
    browser._on_message({"type": "key", "key": "9"})
    assert picture.status.startswith("✗") and state.round == 1
    browser._list.value = state.sentences["sentence_id"].iloc[2]
    assert state.number == state.sentences["sentence_id"].iloc[2]
    browser._split.value = "val"
    assert state.split == "val" and browser._decision.disabled
    browser._split.value, browser._decision.value = "train", "labelled"
    assert set(state.sentences["decision"]) == {"labelled"}
    browser._layers.layers = [{**row, "opacity": 35} for row in browser._layers.layers]
    assert set(state.opacity.values()) == {0.35}


def test_without_a_front_end_it_is_a_figure(run: ReferringRun, data: ReferringDataset) -> None:
    browser = SentenceBrowser(run, data, live=False)
    bundle, about = browser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" not in bundle
    assert about["image/png"]["alt"] == browser.state.described()
    fig = browser.figure()
    assert "simulated" in fig.axes[0].get_title(loc="left")
    assert "outline: ground truth" in [text.get_text() for text in fig.legends[0].get_texts()]
    assert repr(browser).startswith(f"SentenceBrowser({run.path.name}")
    assert browser.state.view()["sentences"] == len(data.train)


def test_a_long_title_stays_within_the_picture(run: ReferringRun, data: ReferringDataset) -> None:
    browser = SentenceBrowser(run, data, live=False)
    lengths = browser.state.sentences["sentence"].str.len()
    browser.state.go_to(int(browser.state.sentences["sentence_id"].iloc[lengths.argmax()]))
    for layer in browser.state.layers:
        browser.state.show_layer(layer, True)
    fig = browser.figure()
    fig.canvas.draw()
    texts = [fig.axes[0]._left_title, *fig.legends]  # type: ignore[attr-defined]
    assert all(fig.bbox.x0 <= text.get_window_extent().x0 for text in texts)
    assert all(text.get_window_extent().x1 <= fig.bbox.x1 for text in texts)


def test_the_colours_of_the_legend_survive_in_a_saved_notebook(run: ReferringRun, data: ReferringDataset) -> None:
    browser = SentenceBrowser(run, data, live=False)
    for layer in browser.state.layers:
        browser.state.show_layer(layer, True)
    saved = np.asarray(Image.open(io.BytesIO(figure_png(browser.figure()))).convert("RGB")).reshape(-1, 3).astype(int)
    painted = legend(browser.state.shown)
    assert len(painted) == len(COLOURS)
    for _, code in painted:
        wanted = [int(code[at : at + 2], 16) for at in (1, 3, 5)]
        assert np.abs(saved - wanted).max(1).min() <= 8


def test_a_sentence_that_cannot_be_read_is_said_and_the_others_can(
    run: ReferringRun, data: ReferringDataset, tmp_path: Path
) -> None:
    copy = tmp_path / "referring" / run.path.name
    shutil.copytree(run.path.parent, tmp_path / "referring")
    browser = SentenceBrowser(ReferringRun.open(copy), data, live=True)
    first = browser.state.sentences["image"].iloc[0]
    (gone,) = copy.parent.rglob(f"{first}.safetensors")
    gone.unlink()
    picture = browser.widget.children[1].children[0].children[0]
    assert picture.status.startswith("✗") and str(gone) in picture.status
    other = browser.state.sentences.loc[browser.state.sentences["image"] != first, "sentence_id"].iloc[0]
    browser._list.value = other
    assert picture.status == browser.state.described() and "✗" not in picture.status


def test_a_list_of_nothing_is_said(state: SentenceState) -> None:
    state.show_round(1)
    state.find(decision="accepted")
    assert state.number is None and state.look() is None and state.described() == "No sentence fits"
    assert state.picture().ndim == 3 and not state.step(1)


def test_the_frozen_model_alone_can_be_looked_at(data: ReferringDataset, tmp_path: Path) -> None:
    only = referring.Experiment(options=OPTIONS, method="prior_only")
    state = SentenceState(referring.run(only, tmp_path, data=data, progress=False), data)
    assert "the frozen model alone" in state.described()
    for layer in state.layers:
        state.show_layer(layer, True)
    assert state.picture().shape[2] == 3
