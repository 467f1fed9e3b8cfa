"""What a `MaskBrowser` shows: pictures, state and words, without a front end; and what stands where there is none."""

from __future__ import annotations

import base64
import io
import json
import time
import types
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from small_runs import NAMES, TRUTH, dataset_folder, hand_made_run

import a2lc
from a2lc import Experiment
from a2lc.datasets import Classes, load_dataset
from a2lc.figures import colour
from a2lc.human import Queue, next_round
from a2lc.runs import Run
from a2lc.widgets import MaskBrowser, front_end
from a2lc.widgets.browser_view import BrowserView
from a2lc.widgets.keys import class_keys
from a2lc.widgets.panels import history_html, mask_line, number, why_html
from a2lc.widgets.pictures import (
    DIFFERENCES,
    compose,
    differences,
    encode,
    hover_map,
    load_scene,
    shown_size,
    swatch,
)
from a2lc.widgets.why import Why


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return hand_made_run(tmp_path_factory.mktemp("made"))


@pytest.fixture
def state(run: Run) -> BrowserView:
    return BrowserView(run)


# -------------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1024, 2048), (800, 1600)),
        ((360, 480), (720, 960)),
        ((96, 128), (672, 896)),
        ((900, 800), (900, 800)),
        ((4000, 100), (1600, 40)),
        ((600, 100), (1200, 200)),
    ],
)
def test_pictures_are_at_most_1600_pixels_wide_and_small_ones_grow(size: tuple, shown: tuple) -> None:
    assert shown_size(*size) == shown


def test_each_pixel_is_blended_layer_by_layer(run: Run, state: BrowserView) -> None:
    """Oracle: float arithmetic, pixel by pixel, at some pixels."""
    scene = state.scene()
    first, now = np.array([0, 2, 2, 1, 255], np.uint8), np.array([0, 1, 2, 255, 255], np.uint8)
    opacity = {"image": 0.8, "first": 0.25, "now": 0.5, "truth": 0.4}
    picture = compose(scene, first, now, state.classes, opacity)
    rng = np.random.default_rng(0)
    for y, x in zip(rng.integers(0, picture.shape[0], 50), rng.integers(0, picture.shape[1], 50), strict=True):
        at = scene.index[y, x]
        pixel = 128 + 0.8 * (scene.image[y, x].astype(float) - 128)
        for label, share in ((first[at], 0.25), (now[at], 0.5), (scene.truth[y, x], 0.4)):
            if label < 3:
                pixel += share * (state.classes.palette[label] - pixel)
        assert np.abs(picture[y, x] - pixel).max() <= 3


def test_layers_alone_show_what_they_are_called(run: Run, state: BrowserView) -> None:
    state.show_layer("image", False)
    assert (state.scene().index >= 0).any() and (state.picture()[:, -1] == 128).all()  # of no mask: not painted
    for layer, labels in (("now", run.masks(2)), ("first", run.masks(0))):
        state.shown, state.opacity[layer] = {layer}, 1.0
        shown = labels.label_map("a").repeat(14, 0).repeat(14, 1)
        covered, wanted = (state.scene().index >= 0) & (shown < 255), colour(shown, state.classes)
        assert covered.any() and (state.picture()[covered] == wanted[covered]).all()


def test_differences_are_what_labels_and_truth_say(run: Run) -> None:
    """Oracle: the definition at every pixel of the object map."""
    scene = load_scene(run.masks(0), load_dataset("folder", run.config.root).train, "a")
    first, now = np.array([0, 2, 0, 1, 255], np.uint8), np.array([1, 1, 0, 2, 255], np.uint8)
    codes = differences(scene, first, now, 3)
    for mask, code in enumerate(["spoilt", "mended", "wrong", "changed"]):  # truth 0, 1, 2, void
        inside = scene.index == mask
        assert {name for name, where in codes.items() if where[inside].any()} == {code} and codes[code][inside].all()
    assert not any(where[scene.index < 0].any() for where in codes.values())
    unlabelled = np.array([255, 1, 255, 255, 255], np.uint8)
    assert not differences(scene, np.full(5, 255, np.uint8), unlabelled, 3)["wrong"].any()


def test_each_difference_has_its_own_pattern_so_that_colour_is_not_the_only_sign() -> None:
    inked = {code: np.asarray(Image.open(io.BytesIO(swatch(code, 40, 40)))) for code in DIFFERENCES}
    white = {code: (picture[1:-1, 1:-1] == 255).all(-1) for code, picture in inked.items()}
    for code, pattern in white.items():
        assert 0.2 < pattern.mean() < 0.8
        assert all((pattern != other).mean() > 0.2 for name, other in white.items() if name != code)


def test_the_selected_mask_has_a_closed_outline_of_two_tones(state: BrowserView) -> None:
    plain = state.picture()
    state.select(2)
    changed = (state.picture() != plain).any(-1)
    inside = state.scene().index == state.position
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    picture = state.picture()
    for y, x in ((rows[0], columns[9]), (rows[-1], columns[9]), (rows[9], columns[0]), (rows[9], columns[-1])):
        around = picture[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5].reshape(-1, 3).tolist()
        assert [255, 255, 255] in around and [0, 0, 0] in around
    middle = (slice(rows[20], rows[-20]), slice(columns[20], columns[-20]))
    assert inside[middle].all() and not changed[middle].any()


def test_masks_that_fit_a_filter_are_outlined(state: BrowserView) -> None:
    before = state.picture()
    state.filter(set_by="annotator")
    touched = (state.picture() != before).any(-1)
    assert touched[state.scene().index == 1].any() and not touched[:100, :100].any()  # of mask 2, not inside mask 1


def test_the_hover_map_is_small_and_tells_masks_apart(run: Run) -> None:
    scene = load_scene(run.masks(0), None, "a")
    blob, lines = hover_map(scene, ["x", "y", "x", "z"])
    numbers = np.frombuffer(zlib.decompress(blob), "<u2")
    width, height = map(int, numbers[:2])
    assert (height, width) == (320, 480) and len(blob) < 5000 and lines == ["x", "y", "z"]
    shown = numbers[2 : 2 + width * height].reshape(height, width).astype(int) - 1
    rows, columns = (2 * np.arange(320) + 1) * 560 // 640, (2 * np.arange(480) + 1) * 840 // 960
    assert (shown == scene.index[rows][:, columns]).all()
    assert [lines[place] for place in numbers[2 + width * height :]] == ["x", "y", "x", "z"]


# ----------------------------------------------------------------------------------------------------------- state
def test_the_list_of_images_follows_the_filters(state: BrowserView) -> None:
    assert state.images == {"a": 4, "b": 4, "c": 4} and (state.image, state.round) == ("a", 2)
    state.filter(set_by="LCM")
    assert state.images == {"b": 3} and state.image == "b"
    state.filter(changed_in=1)
    assert state.images == {"b": 1}
    state.show_round(1)
    assert state.images == {"b": 2}
    state.filter(set_by="annotator", changed_in=None)
    assert state.images == {"a": 1, "b": 1}
    state.filter(before=2, after=1)
    assert state.images == {"a": 1} and state.image == "a"
    state.filter(after=0)
    assert state.images == {} and state.image == "a" and not state.step(1)
    assert state.view()["position"] is None
    state.filter()
    assert list(state.images) == list(NAMES)


def test_verdicts_count_the_ground_truth_of_all_images(state: BrowserView) -> None:
    state.filter(verdict="mended")
    assert state.images == {"a": 1, "b": 1, "c": 1}
    state.show_round(0)
    assert state.images == {}


def test_steps_end_where_the_list_ends(state: BrowserView) -> None:
    assert not state.step(-1) and state.step(1) and state.step(1) and state.image == "c" and not state.step(1)
    with pytest.raises(ValueError, match="no image 'd' in this run"):
        state.go_to("d")


def test_masks_are_selected_by_point_and_by_step(state: BrowserView) -> None:
    assert [state.select_at(x, y) for x, y in ((0.1, 0.1), (0.7, 0.1), (0.1, 0.9), (0.7, 0.9))] == [1, 2, 3, 4]
    assert state.select_at(0.99, 0.5) is None and state.selected is None
    visited = []
    for _ in range(5):
        assert state.step_mask(1)
        visited.append(state.selected)
    assert visited == [1, 2, 3, 4, 1]  # of equal size: in order of id
    state.step(1)
    assert state.selected is None
    state.filter(set_by="LCM")
    assert state.step_mask(-1) and state.selected == 4 and state.step_mask(-1) and state.selected == 3
    with pytest.raises(ValueError, match="image 'b' has no mask 77"):
        state.select(77)


def test_the_view_says_all_that_is_shown_and_is_json(state: BrowserView) -> None:
    state.go_to("b")
    state.select(1)
    state.show_layer("difference", opacity=0.3, shown=True)
    view = json.loads(json.dumps(state.view()))
    assert (view["image"], view["position"], view["images"], view["round"], view["rounds"]) == ("b", 2, 3, 2, 2)
    assert view["layers"] == {"image": 1.0, "now": 0.5, "difference": 0.3} and view["notes"] == []
    assert view["legend"] == ["road", "car", "tree", "still wrong", "mended"]
    mask = view["mask"]
    assert (mask["mask_id"], mask["area"], mask["label"], mask["ground_truth"]) == (1, 500, "tree", "road")
    assert [event["source"] for event in mask["events"]] == ["initial", "annotator", "overruled"]


def test_layers_switch_and_wrong_ones_are_refused(state: BrowserView) -> None:
    state.show_layer("truth")
    assert "truth" in state.shown
    state.show_layer("truth", opacity=0.2)
    assert "truth" in state.shown and state.opacity["truth"] == 0.2
    state.show_layer("truth")
    assert "truth" not in state.shown
    with pytest.raises(ValueError, match="layer: expected one of image, first, now, truth, difference, borders"):
        state.show_layer("depth")
    with pytest.raises(ValueError, match=r"opacity: expected 0 to 1, found 50"):
        state.show_layer("now", opacity=50)


def test_the_round_whose_score_is_explained(state: BrowserView) -> None:
    state.go_to("b")
    state.select(1)
    assert state.why_round() == 2
    state.show_round(1)
    assert state.why_round() == 1
    state.select(2)  # nothing ever happened to it
    assert state.why_round() == 1
    state.show_round(0)
    assert state.why_round() == 1


# ------------------------------------------------------------------------------------------------------- bad input
def test_a_missing_or_damaged_image_is_named_and_browsing_goes_on(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    state = BrowserView(run)
    (tmp_path / "data" / "images" / "a.png").unlink()
    (tmp_path / "data" / "images" / "b.png").write_bytes(b"no image")
    (tmp_path / "runs" / "shared" / "masks" / "object_maps" / "c.png").unlink()
    assert "a.png: no such file" in state.view()["notes"][0] and state.picture().shape == (560, 840, 3)
    assert state.select_at(0.1, 0.1) == 1 and state.step(1)
    assert "b.png: damaged or truncated image" in state.view()["notes"][0] and state.step(1)
    assert "No masks" in state.view()["notes"][0] and "c.png" in state.view()["notes"][0]
    assert state.picture().shape == (560, 840, 3) and state.select_at(0.1, 0.1) is None
    assert MaskBrowser(run).figure() is not None


def test_a_dataset_that_is_gone_leaves_the_masks(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    state = BrowserView(run)
    assert "No images and no ground truth" in state.notes[0] and str(tmp_path / "data") in state.notes[0]
    assert "truth" not in state.layers and state.picture().shape == (560, 840, 3)
    assert BrowserView(run, load_dataset("folder", tmp_path / "elsewhere")).notes == []


def test_without_ground_truth_its_layer_and_filter_are_absent(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path, truth=False)
    browser = MaskBrowser(run)
    assert browser.state.layers == ("image", "first", "now", "difference", "borders")
    assert "verdict" not in browser._made().filters
    browser.state.show_layer("difference", True)
    assert browser.state.view()["legend"][-1] == "changed, no ground truth"
    browser._on_message({"type": "key", "key": "g"})
    assert browser._made().picture.status == "This dataset has no ground truth"
    with pytest.raises(ValueError, match="has none"):
        browser.state.filter(verdict="wrong")


# ------------------------------------------------------------------------------------------------- words and widget
def test_words_about_masks() -> None:
    classes = Classes(("road", "car"), np.zeros((2, 3), np.uint8))
    assert mask_line(classes, 1, 0, "lcm", 2, 1) == "road, was car · LCM, round 2 · ✗ truth: car"
    assert mask_line(classes, 255, 255, "initial", 0, 1) == "void · first label"
    assert [number(value) for value in (float("nan"), -np.inf, 0.01234, 12345.6)] == ["–", "–", "0.0123", "12,346"]


def test_the_history_panel_tells_every_event_and_escapes_names(state: BrowserView) -> None:
    state.go_to("b")
    state.select(1)
    state.show_round(1)
    html = history_html(state.view()["mask"] | {"ground_truth": "<tree>"}, state.events(), state.classes, 1)
    assert "2 (later)" in html and "LCM, over the annotator, confidence 0.9999" in html
    assert "99 (place 2 of 12)" in html and "&lt;tree&gt;" in html and "<tree>" not in html
    assert "Click a mask" in history_html(None, [], state.classes, 1)


def test_the_reasons_say_where_the_run_scored_otherwise(state: BrowserView) -> None:
    parts = {"area": 10, "cil": 0.5, "weight": 0.25, "similarity": 0.75, "score": 1.0}
    why = Why(1, "abc", 1.0, 3, 12, 2, parts, (("road", 0.7),), 1, True, 0.1)
    assert "place 3 of 12; the first 2 were asked about" in why_html(why, state.classes)
    assert "another way" not in why_html(why, state.classes) and "class weight" in why_html(why, state.classes)
    other = Why(1, "random", 0.5, None, 12, 2, parts, (("road", 0.7),), 1, False, 0.1)
    assert "could not be asked about" in why_html(other, state.classes)
    assert "another way" in why_html(other, state.classes) and "class weight" not in why_html(other, state.classes)


def test_the_widget_follows_clicks_keys_and_controls(run: Run, tmp_path: Path) -> None:
    browser = MaskBrowser(run, figures_dir=tmp_path)
    controls, state = browser._made(), browser.state
    press = lambda key: browser._on_message({"type": "key", "key": key})  # noqa: E731
    first = controls.picture.picture
    browser._on_message({"type": "click", "x": 0.7, "y": 0.1})
    assert state.selected == 2 and "Mask 2: car" in controls.history.value and controls.picture.picture != first
    assert controls.picture.focus_at == pytest.approx([0.625, 0.25], abs=0.01) and not controls.why.disabled
    press("n")
    assert state.image == controls.images.value == "b" and controls.why.disabled
    press("ArrowLeft")
    press("ArrowLeft")
    assert controls.picture.status == "This is the first image of the list"
    press("1")
    assert state.round == controls.picture.round == 1
    press("7")
    assert controls.picture.status == "✗ round: expected 0 to 2, found 7" and state.round == 1
    press("-")
    assert state.round == 0 and "before any correction" in controls.picture.status
    browser._on_message({"type": "round", "round": 2})
    controls.filters["set_by"].value = "LCM"
    assert state.image == "b" and controls.images.description == "1 of 3 images"
    press("ArrowDown")
    assert state.selected == 1 and "overruled" not in controls.history.value
    press("w")
    assert (
        "Why this mask? Cannot be said" in controls.reasons.value and "segmenter.safetensors" in controls.reasons.value
    )
    press("Escape")
    assert state.selected is None and controls.reasons.value == ""
    controls.everything.click()
    assert controls.filters["set_by"].value == "any" and len(controls.images.options) == 3
    controls.images.value = "c"
    assert state.image == "c"
    press("d")
    assert "difference" in state.shown and "mended" in controls.legend.value
    controls.layers.layers = [row | {"opacity": 20} for row in controls.layers.layers]
    assert set(state.opacity.values()) == {0.2}
    controls.save.click()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c_round2.json", "c_round2.pdf", "c_round2.png"]
    assert json.loads((tmp_path / "c_round2.json").read_text())["image"] == "c"
    assert controls.picture.answered == 18  # a view for the start and for each of these


def test_what_a_mask_is_can_be_said_while_browsing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    dataset_folder(folder)
    fields = {"dataset": "folder", "root": str(folder), "method": "instant", "instant": {"features": "colour"}}
    experiment = Experiment(**fields, annotator="human", budget=2, rounds=1, approval=False)
    run = a2lc.run(experiment, tmp_path / "runs", device="cpu", progress=False)
    browser, asked = MaskBrowser(run), Queue(run).queries
    controls, state = browser._made(), browser.state
    press = lambda key: browser._on_message({"type": "key", "key": key})  # noqa: E731
    name = lambda key: browser._on_message({"type": "name", "key": key})  # noqa: E731
    press("c")
    assert controls.picture.status == "Select a mask first" and controls.picture.naming == "" and controls.name.disabled
    other = next(row for row in range(len(state.masks)) if row not in {query.row for query in asked})
    image, mask_id = state.masks.table.iloc[other][["image", "mask_id"]]
    state.go_to(image)
    state.select(int(mask_id))
    browser.refresh()
    assert controls.picture.naming.startswith("1 road, 2 car") and not controls.name.disabled
    was = int(state.masks.table["label"].array[other])
    new = (was + 1) % len(state.classes)
    name(class_keys(len(state.classes))[new])
    assert f"Mask {mask_id} is {state.classes.names[new]}: this counts when round 1" in controls.picture.status
    assert state.masks.table["label"].array[other] == new and "1 (later)" in controls.history.value
    assert Queue(run).found == {(image, mask_id): new} and Queue(run).answered == 0
    name("~")
    assert "no class has this key" in controls.picture.status
    controls.name.value = state.classes.ignore_index
    assert state.masks.table["label"].array[other] == 255 and controls.name.value == "any"
    press("u")
    press("u")
    assert state.masks.table["label"].array[other] == was and Queue(run).found == {}
    press("u")
    assert "Nothing was said here" in controls.picture.status
    name("v")
    again = MaskBrowser(run).state
    assert again.masks.table["label"].array[other] == 255, "a browser opened later shows it, too"
    done = next_round(run, enough=True, progress=False)
    assert done.finished and done.masks(1).table["label"].array[other] == 255
    name("v")
    assert "labels can be said while a run waits for answers" in controls.picture.status


def test_the_browser_gets_one_picture_and_a_small_map_per_view(run: Run) -> None:
    browser = MaskBrowser(run)
    sent = [value for value in browser._made().picture.get_state().values() if isinstance(value, bytes)]
    assert len(sent) == 2 and sum(map(len, sent)) < 200_000
    picture = np.asarray(Image.open(io.BytesIO(browser._made().picture.picture)).convert("RGB")).astype(int)
    assert np.abs(picture - browser.state.picture()).mean() < 6


def test_large_images_appear_quickly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The promise is half a second for 1024 x 2048 pixels after the first; the limit leaves room for a busy machine."""
    browser = MaskBrowser(hand_made_run(tmp_path, (1024, 2048)))
    browser._made()
    seconds = []
    for key in ("n", "n", "d", "b", "ArrowDown"):
        start = time.perf_counter()
        browser._on_message({"type": "key", "key": key})
        seconds.append(time.perf_counter() - start)
    with capsys.disabled():
        print(f"\n1024 x 2048: next image {max(seconds[:2]):.2f} s, other layers or mask {max(seconds[2:]):.2f} s")
    assert browser.state.image == "c" and max(seconds) < 5


# -------------------------------------------------------------------------------------------------- no front end
def test_in_a_plain_script_there_is_text_and_a_figure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = MaskBrowser(run)
    assert repr(browser) == f"MaskBrowser({run.path.name}: 3 images, rounds 0 to 2)"
    bundle, about = browser._repr_mimebundle_()
    assert about["image/png"]["alt"].startswith("a") and "\n" not in about["image/png"]["alt"]
    assert sorted(bundle) == ["image/png", "text/plain"] and browser._controls is None
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.width > 600
    assert "application/vnd.jupyter.widget-view+json" in MaskBrowser(run, live=True)._repr_mimebundle_()[0]
    for allowed in (True, False):
        kernel = types.SimpleNamespace(get_parent=lambda allowed=allowed: {"content": {"allow_stdin": allowed}})
        shell = types.SimpleNamespace(get_ipython=lambda kernel=kernel: types.SimpleNamespace(kernel=kernel))
        monkeypatch.setitem(front_end.sys.modules, "IPython", shell)
        assert front_end.has_front_end() is allowed


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_executed_notebook_holds_a_figure_and_no_widget(run: Run) -> None:
    code = f"import a2lc\nfrom a2lc.widgets import MaskBrowser\nMaskBrowser(a2lc.Run.open({str(run.path)!r}))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert sorted(output.data) == ["image/png", "text/plain"]
    assert "widgets" not in notebook.metadata or not notebook.metadata["widgets"]
    assert len(nbformat.writes(notebook)) < 400_000


def test_the_figure_tells_what_it_shows(run: Run) -> None:
    browser = MaskBrowser(run)
    browser.state.go_to("b")
    browser.state.select(1)
    browser.state.show_layer("difference", True)
    fig = browser.figure()
    title, below = fig.axes[0].get_title(loc="left"), fig.axes[0].get_xlabel()
    assert "b, after round 2" in title and "simulated from the ground truth" in title.replace("\n", " ")
    assert "round 1: annotator: car → road, score 99" in below and "confidence 0.99999" in below
    assert [text.get_text() for text in fig.legends[0].get_texts()] == browser.state.view()["legend"]


def test_pictures_are_files_that_browsers_know() -> None:
    picture = np.full((20, 30, 3), 200, dtype=np.uint8)
    assert encode(picture)[:3] == b"\xff\xd8\xff" and encode(picture, "PNG")[:4] == b"\x89PNG"


def test_truths_of_the_hand_made_run_are_read(state: BrowserView) -> None:
    assert state.image_truth().tolist() == list(TRUTH["a"])
