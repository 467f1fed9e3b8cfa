"""What people and machines do to an `Annotator` beside answering: other keyboards, fingers, many classes, odd images, a
round that goes on elsewhere, a connection that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_notebooks import write_notebook
from test_person import Page

import a2lc
from a2lc.human import Queue, next_round
from a2lc.human.own_dataset import own_experiment
from a2lc.runs import Run
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LONG = "a class whose name " + "goes on and on " * 18
STAGE = ".a2lc-annotator .a2lc-stage"
PRESS = """([selector, event]) => document.querySelector(selector)
  .dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, cancelable: true, ...event}))"""
DROP = "() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel._ws.close(); }"


def waiting_run(folder: Path, classes: list[str], sizes: list[tuple[int, int]]) -> Run:
    """A run that waits for answers about images of (height, width): two halves each, of the first two classes."""
    for sub in ("images", "labels"):
        (folder / "data" / sub).mkdir(parents=True)
    (folder / "data" / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    for number, (height, width) in enumerate(sizes):
        labels = np.zeros((height, width), np.uint8)
        labels[:, width // 2 :] = 1
        picture = np.array([[200, 40, 40], [40, 40, 200]], np.uint8)[labels]
        Image.fromarray(picture).save(folder / "data" / "images" / f"{number}.jpg")
        Image.fromarray(labels).save(folder / "data" / "labels" / f"{number}.png")
    masks = 2 * sum(height * width > 32 for height, width in sizes)
    more = {"instant": {"features": "colour"}, "budget": min(12, masks), "rounds": 1, "approval": False}
    return a2lc.run(own_experiment(folder / "data", method="instant", **more), folder / "runs", progress=False)


@pytest.fixture
def opened(lab: Lab, tmp_path: Path) -> Iterator[Callable[..., tuple[Page, Run]]]:
    """Opens an Annotator of such a run."""

    def open_one(classes: list[str], sizes: list[tuple[int, int]]) -> tuple[Page, Run]:
        run = waiting_run(tmp_path, classes, sizes)
        lines = ["from a2lc.runs import Run", "from a2lc.widgets import Annotator"]
        lines += [f"widget = Annotator(Run.open({str(run.path)!r}))", "widget"]
        lab.open(write_notebook(tmp_path / "annotator.ipynb", "\n".join(lines)))
        lab.run_all()
        return Page(lab, ".a2lc-annotator"), run

    yield open_one
    lab.close()


def said(run: Run) -> list[Any]:
    """What was recorded so far, in this order."""
    return Queue(run).table.query("state != 'pending'")["answer"].tolist()


def test_other_keyboards_and_fingers(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    page, run = opened(["road", "car", "tree"], [(40, 60)] * 6)
    for event in (
        {"code": "Digit2", "key": "é"},  # AZERTY: digits need Shift there
        {"code": "KeyV", "key": "Dead"},  # a key that waits for the next one
        {"code": "KeyS", "key": "Process"},  # an input method is at work
        {"code": "KeyS", "key": "S"},  # Caps Lock
        {"code": "Numpad3", "key": "3"},
    ):
        page.after(lambda event=event: page.page.evaluate(PRESS, [STAGE, event]))
    assert sorted(map(str, said(run))) == ["", "", "car", "tree", "void"]
    assert Queue(run).skipped == 2
    for event in ({"code": "Digit2", "key": "2", "ctrlKey": True}, {"code": "Digit2", "key": "2", "repeat": True}):
        page.page.evaluate(PRESS, [STAGE, event])
    session = page.page.context.new_cdp_session(page.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    box = page.page.locator(".a2lc-annotator .a2lc-class-key").first.bounding_box()
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}

    def tap() -> None:
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    page.after(tap)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert said(run).count("road") == 1 and Queue(run).answered == 4


def test_as_many_classes_as_labels_hold_and_a_long_name(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    page, run = opened([f"kind {number}" for number in range(249)] + [LONG], [(40, 60)] * 4)
    find = page.page.locator(".a2lc-annotator .a2lc-find")
    page.page.keyboard.press("/")
    find.fill("ind 24")
    find.press("Enter")  # of ten
    expect(page.page.locator(".a2lc-annotator .a2lc-refused")).to_contain_text("10 classes")
    find.fill("kind 247")
    page.after(lambda: find.press("Enter"))
    assert said(run) == ["kind 247"]
    page.page.keyboard.press("/")
    find.fill("goes on and on")
    page.after(lambda: find.press("Enter"))
    assert said(run) == ["kind 247", LONG.strip()]
    heights = page.page.locator(".a2lc-annotator .a2lc-class-key").evaluate_all("all => all.map(e => e.offsetHeight)")
    assert max(heights) <= 60, "a long name makes no tall row"
    lab.screenshot("many_classes", of=".a2lc-annotator")


def test_images_of_one_pixel_beside_others(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    """Regions of so few pixels are no masks, so nobody is asked about them."""
    page, run = opened(["road", "car"], [(1, 1), (1, 2), (2, 1), (40, 60)])
    page.press("1", "1")
    assert said(run) == ["road", "road"] and not Queue(run).pending


def test_a_round_that_somebody_else_moves_on(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    page, run = opened(["road", "car"], [(40, 60)] * 4)
    page.press("1")
    run = next_round(run, enough=True, progress=False)
    log = (run.path / "round_01" / "answers.jsonl").read_bytes()
    for key in ("2", "u", "m"):
        page.press(key)
        expect(page.page.locator(".a2lc-annotator .a2lc-status")).to_contain_text("this round has gone on")
    assert (run.path / "round_01" / "answers.jsonl").read_bytes() == log


def test_a_connection_that_is_lost_in_the_middle(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    page, run = opened(["road", "car"], [(40, 60)] * 5)
    page.page.wait_for_timeout(1500)  # the pictures ahead are there
    page.press("1")
    page.page.evaluate(DROP)
    for key in ("2", "1", "2"):
        page.page.keyboard.press(key)
    expect(page.stage).to_have_attribute("data-waiting", "0", timeout=60_000)
    refused = int(page.stage.get_attribute("data-refused"))
    assert len(said(run)) == 4 - refused, "what was not refused is recorded, once"
    page.press("1")
    assert len(said(run)) == 5 - refused


@pytest.mark.long
def test_an_image_of_a_hundred_megapixels(opened: Callable[..., tuple[Page, Run]], lab: Lab) -> None:
    page, run = opened(["road", "car"], [(10_000, 10_000), (40, 60)])
    for _ in range(len(Queue(run))):
        page.press("1")
    assert set(said(run)) == {"road"} and not Queue(run).pending
