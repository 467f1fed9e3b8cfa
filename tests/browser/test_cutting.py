"""Cutting a mask of several classes in a real JupyterLab: along borders by keys, along a line by the mouse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_notebooks import write_notebook
from test_cuts import make_run
from test_person import Page

from a2lc.human import Queue
from a2lc.runs import Run
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("own"))


@pytest.fixture
def page(lab: Lab, run: Run, tmp_path: Path) -> Iterator[Page]:
    shutil.copytree(run.path.parent, tmp_path / "runs")
    run = Run.open(tmp_path / "runs" / run.path.name)
    lines = ["from a2lc.runs import Run", "from a2lc.widgets import Annotator"]
    lines += [f"run = Run.open({str(run.path)!r})", "widget = Annotator(run)", "widget"]
    lab.open(write_notebook(tmp_path / "cutting.ipynb", "\n".join(lines)))
    lab.run_all()
    yield Page(lab, ".a2lc-annotator")
    lab.close()


def test_pieces_by_keys_and_a_line_by_mouse(page: Page, lab: Lab, tmp_path: Path) -> None:
    run = next(Run.open(file.parent) for file in (tmp_path / "runs").glob("*/config.json"))
    stage, keys = expect(page.stage), page.page.keyboard
    while "a, mask 1," not in page.stage.inner_text():
        page.press("ArrowRight")
    page.press("c")
    stage.to_contain_text("Piece 1 of")
    page.press("ArrowUp")
    finer = lab.ask("widget.state.cutting.count")
    page.press("ArrowDown", "ArrowDown")
    assert lab.ask("widget.state.cutting.count") < finer
    stage.to_contain_text("Piece 1 of")
    keys.press("1")
    stage.to_contain_text("Piece 2 of")
    lab.screenshot("cutting", of=".a2lc-annotator")
    keys.press("u")
    stage.to_contain_text("Piece 1 of")
    keys.press("i")  # of a whole image, not of a piece
    expect(page.page.locator(".a2lc-refused")).to_contain_text("Esc leaves the mask whole")
    assert lab.ask("widget.state.queue.answered") == 0
    page.press("Escape")
    stage.to_contain_text("Is this red?")
    assert lab.ask("widget.state.cutting is None")

    page.press("c")
    canvas = page.page.locator(".a2lc-pictures canvas").nth(1)
    box, (width, height) = canvas.bounding_box(), canvas.evaluate("c => [c.width, c.height]")
    scale = min(box["width"] / width, box["height"] / height)
    x, top, bottom = box["x"] + scale * width / 3, box["y"] + 2, box["y"] + scale * height - 2

    def draw() -> None:
        page.page.mouse.move(x, top)
        page.page.mouse.down()
        page.page.mouse.move(x, bottom, steps=5)
        page.page.mouse.up()

    page.after(draw)
    stage.to_contain_text("Piece 1 of 2")
    keys.press("1")
    stage.to_contain_text("Piece 2 of 2")
    lab.screenshot("cut_by_a_line", of=".a2lc-annotator")
    page.press("2")
    stage.not_to_contain_text("Piece")
    expect(page.status).to_contain_text("cut in 2 pieces")
    (cut,) = Queue(run).cuts.values()
    assert cut.labels == (0, 1)
    page.press("u")
    stage.to_contain_text("a, mask 1,")
    assert not Queue(run).cuts
    page.press("c", "ArrowDown", "ArrowDown", "ArrowDown")
    assert lab.ask("widget.state.cutting.count") >= 2
