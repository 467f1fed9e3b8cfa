"""`MaskBrowser` in a real JupyterLab: its notebook is run, clicked and typed into, and the kernel says what it holds.

The tests share one notebook; each begins with whatever view the one before has left."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from small_runs import network

from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "explore_masks.ipynb"
SMALL = {
    "segmenter": network(scale=1.0, iterations=8, batch_size=4),
    "correction": {"epochs": 30, "learning_rate": 0.01, "thresholds": [0.5]},
}
KINDS = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
  .flatMap(cell => (cell.outputs || []).map(output => Object.keys(output.data || {})))"""


class Browser:
    """The browser on the page, and the state in the kernel."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.page, self.stage = lab, lab.page, lab.page.locator(".a2lc-stage")

    def views(self) -> int:
        """How many views have appeared."""
        return int(self.stage.get_attribute("data-answered"))

    def after(self, act: Any) -> float:
        """Do something and wait for the view that answers it; seconds until it is there."""
        before, start = self.views(), time.perf_counter()
        act()
        self.page.wait_for_function("n => +document.querySelector('.a2lc-stage').dataset.answered > n", arg=before)
        return time.perf_counter() - start

    def press(self, *keys: str) -> float:
        """Press keys, each after the view of the one before; seconds of the last."""
        seconds = 0.0
        for key in keys:
            seconds = self.after(lambda key=key: self.page.keyboard.press(key))
        return seconds

    def click(self, x: float, y: float) -> None:
        """Click the picture at shares of its width and height, and wait."""
        box = self.page.locator(".a2lc-paper img").bounding_box()
        self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        self.after(lambda: (self.page.mouse.down(), self.page.mouse.up()))

    def state(self, expression: str) -> Any:
        """An expression about ``state`` in the kernel."""
        return self.lab.ask(expression.replace("state", "browser.state"))


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def browser(lab: Lab, figures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The notebook with a small model, open and executed."""
    notebook, copy = load_notebook_node(str(NOTEBOOK)), tmp_path_factory.mktemp("copy") / NOTEBOOK.name
    given = SMALL | {"runs_dir": str(copy.parent / "runs"), "figures_dir": str(figures)}
    nbformat.write(parameterize_notebook(notebook, given), copy)
    lab.open(copy)
    lab.run_all()
    lab.page.wait_for_function("() => +document.querySelector('.a2lc-stage')?.dataset.answered > 0")
    lab.page.locator(".a2lc-stage").scroll_into_view_if_needed()
    yield Browser(lab)
    lab.close()


def test_the_saved_notebook_holds_widget_and_figure(browser: Browser) -> None:
    kinds = [*map(sorted, browser.page.evaluate(KINDS))]
    assert ["application/vnd.jupyter.widget-view+json", "text/plain"] in kinds and ["image/png", "text/plain"] in kinds


def test_a_click_selects_the_mask_under_the_pointer_and_tells_its_history(browser: Browser) -> None:
    browser.click(0.5, 0.85)
    expect(browser.page.locator(".a2lc-tip")).to_be_visible()
    chosen, label = browser.state("state.selected"), browser.state("state.view()['mask']['label']")
    assert chosen == browser.state("state.select_at(0.5, 0.85)") is not None
    panel = browser.page.locator(".a2lc-mask").first
    expect(panel.locator("h3")).to_have_text(f"Mask {chosen}: {label}")
    expect(panel.locator("tbody tr")).to_have_count(browser.state("len(state.events())"))


def test_no_key_reaches_the_notebook_whose_own_would_delete_cells_or_restart(browser: Browser) -> None:
    browser.stage.focus()
    cells, shown = browser.lab.cells(), browser.state("sorted(state.shown)")
    browser.press("d", "d", "0", "0")
    for key in ("x", "a", "m", "Enter"):
        browser.page.keyboard.press(key)
    assert browser.lab.cells() == cells
    assert browser.state("(state.round, sorted(state.shown))") == (0, shown)


def test_keys_move_through_images_rounds_and_masks(browser: Browser) -> None:
    browser.stage.focus()
    browser.press("1", "+")
    names, image = browser.state("list(state.images)"), browser.state("state.image")
    seconds = browser.press("n")
    print(f"\nfrom a key to the next image on the page: {seconds:.2f} s")
    assert browser.state("(state.round, state.image)") == (2, names[names.index(image) + 1])
    browser.press("p", "ArrowDown", "w")
    expect(browser.page.locator(".a2lc-bars tr")).to_have_count(3)
    assert browser.state("(state.image, state.selected is None)") == (image, False)
    browser.press("Escape")
    assert browser.state("state.selected") is None


def test_controls_filter_choose_a_round_set_layers_and_save(browser: Browser, figures: Path) -> None:
    page = browser.page
    browser.after(lambda: page.get_by_label("Set by").select_option("annotator"))
    expect(page.locator(".a2lc-status")).to_contain_text("fit the filters")
    assert browser.state("state.filters.set_by") == "annotator"
    page.get_by_label("Round", exact=True).focus()
    browser.press("ArrowLeft")
    assert browser.state("state.round") == 1
    at = browser.state("state.view()['position']")
    page.locator(".a2lc-images select").focus()
    browser.press("ArrowDown")
    assert browser.state("state.view()['position']") == at + 1
    browser.after(lambda: page.locator(".a2lc-layer").get_by_label("Ground truth").first.check())
    page.get_by_label("Opacity of ground truth, percent").focus()
    browser.press("ArrowRight")
    assert browser.state("('truth' in state.shown, state.opacity['truth'])") == (True, 0.55)
    browser.after(lambda: page.get_by_role("button", name="Save this view").click())
    expect(page.locator(".a2lc-status")).to_contain_text("Saved")
    saved = browser.state("state.image") + "_round1"
    assert {f"{saved}.{suffix}" for suffix in ("png", "pdf", "json")} <= {path.name for path in figures.iterdir()}
    browser.after(lambda: page.get_by_role("button", name="Clear filters").click())
    assert browser.state("state.filters.active") is False


def test_the_wheel_zooms_and_a_drag_is_no_click(browser: Browser) -> None:
    page, stage = browser.page, browser.stage
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.get_by_label("Round", exact=True).focus()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.wheel(0, -400)  # the page scrolls: the picture has not got the focus
    page.wait_for_timeout(300)
    assert stage.get_attribute("data-zoom") in (None, "1.00")
    stage.scroll_into_view_if_needed()
    stage.focus()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.wheel(0, -400)
    expect(stage).to_have_attribute("data-zoom", re.compile(r"^[23]\."))
    before, moved = browser.views(), "() => document.querySelector('.a2lc-paper').style.transform"
    there = page.evaluate(moved)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 30)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert page.evaluate(moved) != there and browser.views() == before
    page.keyboard.press("z")
    expect(stage).to_have_attribute("data-zoom", "1.00")
    browser.after(lambda: page.mouse.click(box["x"] + 60, box["y"] + 60))


def test_the_keyboard_alone_reaches_the_picture_sees_the_focus_and_leaves(browser: Browser) -> None:
    active = "() => [document.activeElement.classList[0], getComputedStyle(document.activeElement).outlineWidth]"
    browser.page.get_by_label("Round", exact=True).focus()
    browser.page.keyboard.press("Tab")
    assert browser.page.evaluate(active) == ["a2lc-stage", "3px"]
    browser.press("ArrowDown")
    browser.page.keyboard.press("Tab")
    assert browser.page.evaluate(active)[0] != "a2lc-stage"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_text_is_readable_named_and_not_clipped(browser: Browser, theme: str) -> None:
    browser.stage.focus()
    browser.press("w")
    browser.lab.check_readable(".a2lc-browser", theme, texts=40)
    browser.lab.screenshot(f"mask_browser_{theme.lower()}", of=".a2lc-browser")
