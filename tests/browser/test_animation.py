"""The animation of the documentation: a person answers, in a real JupyterLab, on CamVid with labels spoilt on purpose.

It is written into the folder of the screenshots; ``A2LC_ANIMATION=paper_figures/widgets/answering.webp`` puts it there.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_notebooks import write_notebook

import a2lc
from a2lc.datasets import load_dataset
from a2lc.human.exports import export_folder
from a2lc.human.own_dataset import own_experiment
from a2lc.paper.clicks import truth_of
from a2lc.pseudo_labels.simulated import simulate_pseudo_labels
from a2lc.widgets.keys import class_keys
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ROOT = ".a2lc-annotator"
SEEN = ":is(.a2lc-class-key, .a2lc-confirm, .a2lc-find, .a2lc-question, canvas)"
OUT_OF_SIGHT = f"""() => [...document.querySelectorAll('{ROOT} {SEEN}')]
  .filter(e => e.getClientRects().length && !e.closest('.a2lc-grid')).filter(e => {{
    const box = e.getBoundingClientRect(), stage = e.closest('.a2lc-stage')?.getBoundingClientRect();
    return box.top < 0 || box.bottom > innerHeight || box.right > (stage?.right ?? innerWidth); }})
  .map(e => e.className + e.textContent)"""


def save_animation(frames: list[Image.Image], path: Path) -> None:
    """Write frames as an animation of 900 pixels of width, one and a half per second."""
    width, height = (max(frame.size[i] for frame in frames) for i in (0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheets = []
    for frame in frames:
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(frame.convert("RGB"))
        sheets.append(sheet.resize((900, round(900 * height / width)), Image.Resampling.LANCZOS))
    sheets[0].save(path, save_all=True, append_images=sheets[1:], duration=650, loop=0, quality=60, method=4)


def test_a_short_animation(lab: Lab, data_root: Path, tmp_path: Path) -> None:
    """At 1280 x 720, and at 1440 x 900 and 150 %, all is in sight; a class is found by name; then nine answers, the
    truth each, and look-alikes: the picture of every question is another one."""
    camvid = load_dataset("camvid", data_root / "CamVid")
    some = camvid.train.subset(camvid.train.names[::30][:10])
    export_folder(simulate_pseudo_labels(some, camvid.classes, progress=False), some, tmp_path / "data")
    fields = {"method": "instant", "instant": {"features": "colour"}, "budget": 60, "rounds": 1}
    run = a2lc.run(own_experiment(tmp_path / "data", **fields), tmp_path / "runs", progress=False)
    masks, truth = run.masks(0), truth_of(run).majority
    keys = class_keys(len(masks.classes))
    lines = [
        "from a2lc.runs import Run",
        "from a2lc.widgets import Annotator",
        f"Annotator(Run.open({str(run.path)!r}))",
    ]
    lab.open(write_notebook(tmp_path / "animation.ipynb", "\n".join(lines)))
    lab.run_all()
    page, stage = lab.page, lab.page.locator(f"{ROOT} .a2lc-stage")
    page.wait_for_function(f"() => document.querySelector('{ROOT} .a2lc-stage')?.dataset.shown")
    page.set_viewport_size({"width": 1280, "height": 720})
    stage.focus()
    frames = []

    def frame() -> None:
        expect(stage).to_have_attribute("data-waiting", "0", timeout=60_000)
        expect(page.locator(f"{ROOT} .a2lc-behind")).to_have_count(0, timeout=60_000)
        frames.append(Image.open(io.BytesIO(page.locator(ROOT).screenshot())))

    frame()
    lab.screenshot("annotator_1280x720")
    assert page.evaluate(OUT_OF_SIGHT) == [], "pictures and all keys are in one view"
    page.set_viewport_size({"width": 960, "height": 600})  # 1440 x 900 at 150 %
    page.wait_for_timeout(500)
    lab.screenshot("annotator_at_150_percent")
    assert page.evaluate(OUT_OF_SIGHT) == [], "with the file browser beside it, too"
    page.set_viewport_size({"width": 1280, "height": 720})
    shown = stage.get_attribute("data-shown")
    for keys_of_one in (["/", *"bicyc", "Enter"], [","]):  # a class by its name, the model's first choice
        for key in keys_of_one:
            page.keyboard.press(key)
        expect(page.locator(f"{ROOT} .a2lc-counts")).to_contain_text("1 answered")
        page.keyboard.press("u")
        expect(page.locator(f"{ROOT} .a2lc-counts")).to_contain_text("0 answered")
        expect(stage).to_have_attribute("data-shown", shown or "")
    frames.clear()
    for _ in range(9):
        frame()
        mask, _, image = (stage.get_attribute("data-shown") or "").partition(" ")
        true = int(truth[masks.row(image, int(mask))])
        page.keyboard.press("v" if true == 255 else keys[true])
    frame()
    page.keyboard.press("g")
    expect(page.locator(".a2lc-like").first).to_be_visible()
    expect(page.locator(".a2lc-like:not([data-drawn])")).to_have_count(0, timeout=60_000)
    frame()
    page.set_viewport_size({"width": 1440, "height": 1500})
    lab.close()
    pictures = [np.asarray(one.convert("L"), float)[60:300, :300] for one in frames]
    changes = [np.abs(one - other).max() > 20 for one, other in zip(pictures, pictures[1:], strict=False)]
    assert all(changes) and len(frames) == 11
    path = Path(os.environ.get("A2LC_ANIMATION") or lab.pictures / "answering.webp")
    save_animation(frames, path)
    assert 20_000 < path.stat().st_size < 1e6
