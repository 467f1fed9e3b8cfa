"""`Rounds` in a real JupyterLab: from the questions to the next ones in one place; the kernel is killed meanwhile. And
a `MaskBrowser` of a run that waits for answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_notebooks import write_notebook
from test_speed import drawn_dataset

import a2lc
from a2lc.human.own_dataset import own_experiment
from a2lc.runs import Run
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

STAGE = ".a2lc-rounds .a2lc-stage"
READY = f"() => +document.querySelector('{STAGE}:not(.a2lc-behind)')?.dataset.replies > 0"  # a mask can be seen


def test_rounds_go_on_in_one_place(lab: Lab, tmp_path: Path) -> None:
    folder = drawn_dataset(tmp_path / "data", 480, 360, images=6)
    config = own_experiment(folder, method="instant", instant={"features": "colour"}, budget=8, rounds=2)
    run = a2lc.run(config, tmp_path / "runs", progress=False)
    lines = ["from a2lc.runs import Run", "from a2lc.widgets import Rounds"]
    lines += [f"widget = Rounds(Run.open({str(run.path)!r}))", "widget"]
    page = lab.page
    lab.open(write_notebook(tmp_path / "rounds.ipynb", "\n".join(lines)))
    lab.run_all()
    page.wait_for_function(READY)
    page.set_viewport_size({"width": 1280, "height": 720})
    lab.screenshot("rounds_1280x720")
    page.set_viewport_size({"width": 1440, "height": 1500})
    go_on = page.locator(".a2lc-rounds").get_by_role("button", name="Go on", exact=True)
    expect(go_on).to_be_disabled()
    assert page.locator(".a2lc-rounds").bounding_box()["width"] > 600
    stage = page.locator(STAGE)
    for number in range(8):
        page.wait_for_function(READY)
        stage.focus()
        page.keyboard.press("Enter")
        expect(stage).to_have_attribute("data-waiting", "0", timeout=60_000)
        if number == 3:
            lab.kill()
            lab.run_all()
            page.wait_for_function(READY)
            assert lab.ask("(widget.part.state.queue.answered, widget.part.state.left)") == (4, 4)
    expect(stage).to_contain_text("All masks of this round are answered or skipped")
    expect(page.locator(".a2lc-rounds")).to_contain_text("It takes")
    go_on.click()
    page.wait_for_function("() => document.querySelector('.a2lc-rounds').textContent.includes('8 answers counted')")
    assert lab.ask("widget.run.finished_rounds") == 1 or lab.ask("widget.run.waits_for") == "approval"
    page.wait_for_function(READY)
    lab.screenshot("rounds_next", of=".a2lc-rounds")
    kept = lab.ask("repr(widget.part)")
    lab.restart()
    lab.run_all()
    page.wait_for_function(READY)
    assert lab.ask("repr(widget.part)") == kept and len(Run.open(run.path).queries(1)) == 8
    lab.close()


def test_what_a_mask_is_can_be_said_while_browsing(lab: Lab, tmp_path: Path) -> None:
    folder = drawn_dataset(tmp_path / "data", 480, 360, images=6)
    config = own_experiment(folder, method="instant", instant={"features": "colour"}, budget=2, rounds=1)
    run = a2lc.run(config, tmp_path / "runs", progress=False)
    lines = ["from a2lc.human import Queue", "from a2lc.runs import Run", "from a2lc.widgets import MaskBrowser"]
    lines += [f"run = Run.open({str(run.path)!r})", "browser = MaskBrowser(run)", "browser"]
    page, stage, status = lab.page, lab.page.locator(".a2lc-stage"), lab.page.locator(".a2lc-status")
    lab.open(write_notebook(tmp_path / "browse.ipynb", "\n".join(lines)))
    lab.run_all()
    page.wait_for_function("() => +document.querySelector('.a2lc-stage')?.dataset.answered > 0")
    stage.focus()
    page.keyboard.press("c")
    expect(status).to_have_text("Select a mask first")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".a2lc-mask h3").first).to_be_visible()
    page.keyboard.press("c")
    expect(status).to_contain_text("What is it? 1 ")
    page.keyboard.press("Escape")
    expect(status).not_to_contain_text("What is it?")
    page.keyboard.press("c")
    page.keyboard.press("2")  # of layers and rounds, that is a round
    expect(status).to_contain_text("this counts when round 1 goes on")
    lab.screenshot("naming", of=".a2lc-browser")
    one = "[*Queue(run).labels.values()], browser.state.round"
    assert lab.ask(f"({one})") == ([1], 0)
    page.keyboard.press("u")
    expect(status).to_contain_text("undone")
    assert lab.ask(f"({one})") == ([], 0)
    lab.close()
