"""Keys at speed: `Annotator` in a real JupyterLab, answered faster than anybody can look.

``A2LC_TEST_KEYS`` says how many keys (40), ``A2LC_TEST_SIZES`` of which images (480x360), as in ``480x360,6000x4000``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_notebooks import write_notebook
from small_runs import seeded

import a2lc
from a2lc.files import write_label_png
from a2lc.human.own_dataset import own_experiment
from a2lc.runs import Run
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

KEYS = int(os.environ.get("A2LC_TEST_KEYS") or 40)
SIZES = (os.environ.get("A2LC_TEST_SIZES") or "480x360").split(",")
GAPS = (0.08, 0.12, 0.16, 0.2, 0.3)  # seconds
CLASSES = ("road", "car", "tree", "sky")
STAGE = ".a2lc-annotator .a2lc-stage"
# what was shown when a key went down, and when another question was on the screen
WATCH = """(selector) => {
  const stage = document.querySelector(selector), log = window.a2lcLog = { keys: [], shown: [] };
  document.addEventListener('keydown', (event) => {
    log.keys.push([event.timeStamp, event.key, stage.dataset.shown, +stage.dataset.refused]);
  }, true);
  const painted = () => requestAnimationFrame(() => setTimeout(() =>
    log.shown.push([performance.now(), stage.dataset.shown])));
  new MutationObserver(painted).observe(stage, { attributeFilter: ["data-shown"] }); }"""


def drawn_dataset(folder: Path, width: int, height: int, images: int) -> Path:
    """Images of patches, each a mask: 6 x 8 of them, in the colour of their class or nearly; some labels are wrong."""
    rng = np.random.default_rng(seeded())
    colours = np.array([[90, 90, 90], [200, 40, 40], [40, 150, 50], [120, 170, 230]])
    for sub in ("images", "labels"):
        (folder / sub).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    rows, columns = (np.arange(n) * parts // n for n, parts in ((height, 6), (width, 8)))
    for number in range(images):
        truth = (2 * np.arange(6)[:, None] + np.arange(8) + rng.integers(0, 4)) % 4  # all eight neighbours differ
        noise = rng.normal(0, 12, (6, 8, 3))
        patches = np.clip(colours[truth] + noise, 0, 255).astype(np.uint8)
        labels = np.where(rng.random((6, 8)) < 0.1, (truth + 2) % 4, truth).astype(np.uint8)
        name = f"{number:03}"
        Image.fromarray(patches[rows[:, None], columns]).save(folder / "images" / f"{name}.jpg", quality=90)
        write_label_png(folder / "labels" / f"{name}.png", labels[rows[:, None], columns])
    return folder


@pytest.fixture(scope="module", params=SIZES)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on images of a size that waits for answers, more than there are keys."""
    width, height = map(int, request.param.split("x"))
    root = tmp_path_factory.mktemp("speed")
    folder = drawn_dataset(root / "data", width, height, images=max(6, (KEYS + 60) // 40))
    config = own_experiment(folder, method="instant", instant={"features": "colour"}, budget=KEYS + 30, rounds=1)
    return a2lc.run(config, root / "runs", progress=False)


@pytest.fixture
def stage(request: pytest.FixtureRequest, lab: Lab, asked: Run, tmp_path: Path) -> Iterator[Any]:
    """The stage of an Annotator, in whose kernel the answers `n`, counted from 1, take so many seconds more."""
    slow = getattr(request, "param", "0")
    lines = ["import time", "from a2lc.runs import Run", "from a2lc.widgets import Annotator"]
    lines += [f"widget = Annotator(Run.open({str(asked.path)!r}))", "answer = widget.state.answer"]
    lines += ["count = iter(range(1, 1000))", f"slow = lambda n: time.sleep({slow})"]
    lines += ["widget.state.answer = lambda *a, **k: (slow(next(count)), answer(*a, **k))[1]", "widget"]
    lab.open(write_notebook(tmp_path / "speed.ipynb", "\n".join(lines)))
    lab.run_all()
    lab.page.wait_for_function(f"() => document.querySelector('{STAGE}')?.dataset.shown")
    lab.page.evaluate(WATCH, STAGE)
    found = lab.page.locator(STAGE)
    found.scroll_into_view_if_needed()
    found.focus()
    yield found
    lab.close()


def lines_of(run: Run) -> list[dict[str, Any]]:
    """What was recorded so far."""
    path = run.path / "round_01" / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def settled(stage: Any) -> None:
    """Wait until every key has been acknowledged."""
    expect(stage).to_have_attribute("data-waiting", "0", timeout=60_000)


MEANS = {"1": 0, "2": 1, "3": 2, "4": 3, "v": 255, "s": None}


def test_no_key_is_lost_and_the_next_picture_is_there(stage: Any, lab: Lab, asked: Run) -> None:
    before, rng = len(lines_of(asked)), np.random.default_rng(seeded())
    for number in range(KEYS):
        lab.page.keyboard.press(str(rng.choice([*MEANS])))
        time.sleep(GAPS[number % len(GAPS)])
    settled(stage)
    log = lab.page.evaluate("window.a2lcLog")
    refused = int(stage.get_attribute("data-refused"))
    counts = [entry[3] for entry in log["keys"]] + [refused]  # refusals before each key, and after the last
    taken = [key for key, after in zip(log["keys"], counts[1:], strict=True) if after == key[3]]
    recorded = [(f"{line['mask_id']} {line['image']}", line["label"]) for line in lines_of(asked)[before:]]
    assert recorded == [(shown, MEANS[key]) for _, key, shown, _ in taken], "each once, for what was shown, in order"
    waits = []
    for pressed, _, shown, _ in taken:
        later = [at for at, now in log["shown"] if at > pressed and now != shown]
        waits += [min(later) - pressed] if later else []
    lost = KEYS - len(recorded) - refused
    with Image.open(asked.path.parent.parent / "data" / "images" / "000.jpg") as image:
        width, height = image.size
    print(
        f"\n{width}x{height}: {KEYS} keys at gaps of 80 to 300 ms, {lost} lost, {refused} refused on the page, "
        f"key to next picture: median {np.median(waits):.0f} ms, nine tenths {np.quantile(waits, 0.9):.0f} ms"
    )
    assert lost == 0 and len(taken) > KEYS // 4 and len({shown for *_, shown, _ in taken}) == len(taken)


@pytest.mark.parametrize("stage", ["8 * (n == 1)"], indirect=True)
def test_a_slow_kernel_takes_no_key_twice_and_undo_keeps_its_place(stage: Any, lab: Lab, asked: Run) -> None:
    before = len(lines_of(asked))
    lab.page.wait_for_timeout(1500)  # the pictures ahead are there
    questions = []
    for key in ("1", "2", "u", "3", "4"):  # the last two are held until the one before is heard
        questions.append(stage.get_attribute("data-shown"))
        lab.page.keyboard.press(key)
    assert int(stage.get_attribute("data-waiting")) >= 3, "the kernel sleeps, the page does not"
    assert questions[0] != questions[1]
    settled(stage)
    said = [(f"{line['mask_id']} {line['image']}", line["label"], line.get("undo", False)) for line in lines_of(asked)]
    first, second = questions[:2]
    assert said[before:-1] == [(first, 0, False), (second, 1, False), (second, None, True), (second, 2, False)]
    assert said[-1][0] not in (first, second) and said[-1][1] == 3
    assert lab.ask("[*widget.widget.heard.values()]") == [5] and stage.get_attribute("data-refused") == "0"


@pytest.mark.parametrize("stage", ["8 * (n == 1)"], indirect=True)
def test_a_key_before_the_next_mask_is_there_is_refused_in_words(stage: Any, lab: Lab, asked: Run) -> None:
    """More keys than pictures are ahead, and the kernel stands still for eight seconds."""
    before = len(lines_of(asked))
    for _ in range(12):
        lab.page.keyboard.press("4")
    expect(lab.page.locator(".a2lc-refused")).to_contain_text("pressed before the next mask was there")
    lab.screenshot("refused", of=".a2lc-annotator")
    settled(stage)
    refused = int(stage.get_attribute("data-refused"))
    recorded = lines_of(asked)[before:]
    assert refused > 0 and len(recorded) == 12 - refused
    assert len({(line["image"], line["mask_id"]) for line in recorded}) == len(recorded)


def test_look_alikes_are_answered_by_one_key(stage: Any, lab: Lab, asked: Run) -> None:
    before, page = len(lines_of(asked)), lab.page
    page.keyboard.press("g")
    expect(page.locator(".a2lc-like canvas").first).to_be_visible()
    tiles = page.locator(".a2lc-like")
    number = tiles.count()
    expect(page.locator(".a2lc-like[data-drawn]")).to_have_count(number)
    lab.screenshot("look_alikes", of=".a2lc-annotator")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    tiles.nth(2).click()
    page.keyboard.press("2")
    settled(stage)
    group = lines_of(asked)[before:]
    assert number > 4 and [line["label"] for line in group] == [1] * (number - 2)
    expect(page.locator(".a2lc-grid")).to_be_hidden()
    page.keyboard.press("z")
    settled(stage)
    undone = lines_of(asked)[before + len(group) :]
    assert {line["mask_id"] for line in undone if line["undo"]} == {line["mask_id"] for line in group}
    expect(page.locator(".a2lc-annotator .a2lc-status")).to_contain_text(f"{number - 2} masks: taken back together")
