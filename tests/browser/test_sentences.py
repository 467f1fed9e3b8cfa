"""`SentenceBrowser` in a real JupyterLab: keys, layers, filters and rounds on the page, and what the kernel holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_notebooks import write_notebook
from small_runs import seeded

from a2lc import referring
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

OPTIONS = {"n_train": 6, "n_val": 1, "n_test": 1, "height": 96, "width": 128}


def test_sentences_are_browsed_by_keys_layers_and_filters(lab: Lab, tmp_path: Path) -> None:
    config = referring.Experiment(options=OPTIONS, rate=0.7, rounds=1, seed=seeded(), training={"steps": 2, "batch": 4})
    run = referring.run(config, tmp_path / "runs", progress=False)
    lines = ["from a2lc import referring", "from a2lc.widgets import SentenceBrowser"]
    lines += [f"run = referring.ReferringRun.open({str(run.path)!r})"]
    lines += [f"browser = SentenceBrowser(run, referring.load_dataset('toy_referring', **{OPTIONS!r}))", "browser"]
    page, stage, status = lab.page, lab.page.locator(".a2lc-stage"), lab.page.locator(".a2lc-status")
    lab.open(write_notebook(tmp_path / "sentences.ipynb", "\n".join(lines)))
    lab.run_all()
    page.wait_for_function("() => +document.querySelector('.a2lc-stage')?.dataset.answered > 0")
    expect(page.locator(".a2lc-keys")).to_contain_text("sentence")
    expect(page.locator(".a2lc-keys")).not_to_contain_text("take that back")
    numbers = lab.ask("browser.state.sentences['sentence_id'].tolist()")
    stage.focus()
    for number in numbers[1:4]:
        page.keyboard.press("ArrowRight")
        expect(status).to_contain_text(f"{numbers.index(number) + 1} of {len(numbers)}")
    assert lab.ask("browser.state.number") == numbers[3]
    expect(page.locator(".a2lc-layer input[type=checkbox]").nth(4)).not_to_be_checked()
    page.keyboard.press("d")
    expect(page.locator(".a2lc-layer input[type=checkbox]").nth(4)).to_be_checked()
    page.locator(".a2lc-layer input[type=checkbox]").nth(2).check()
    expect(page.locator(".a2lc-legend li")).to_have_count(4)
    lab.screenshot("sentences", of=".a2lc-browser")
    page.set_viewport_size({"width": 1280, "height": 720})
    lab.screenshot("sentences_1280x720")
    page.set_viewport_size({"width": 1440, "height": 1500})
    page.locator(".a2lc-browser select").nth(1).select_option("labelled")
    expect(status).to_contain_text("labelled")
    expect(page.locator(".a2lc-images option")).to_have_count(lab.ask("len(browser.state.sentences)"))
    assert lab.ask("set(browser.state.sentences['decision'])") == {"labelled"}
    stage.focus()
    page.keyboard.press("1")
    expect(status).to_contain_text("network of round 1")
    page.keyboard.press("0")
    expect(status).to_contain_text("network of round 0")
    lab.close()
