"""A notebook with a widget, saved, and opened again where no kernel runs; and the page that is made of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_notebooks import write_notebook
from test_cuts import make_run
from test_person import Page

from a2lc.runs import Run
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SAVE = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.save(); return panel.context.path; }"""
REOPEN = """async ([path]) => {
  const app = window.jupyterapp;
  const panel = await app.commands.execute('docmanager:open',
    {path, factory: 'Notebook', kernel: {shouldStart: false, autoStartDefault: false, canStart: false}});
  await panel.context.ready; await panel.revealed; }"""
STILL = ".jp-RenderedImage img"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("own"))


@pytest.fixture
def saved(lab: Lab, run: Run, tmp_path: Path) -> Iterator[Path]:
    """The notebook in the server's folder."""
    for name, path in {"Annotator": run.path}.items():
        lines = ["from a2lc.runs import Run", f"from a2lc.widgets import {name}"]
        lines += [f"widget = {name}(Run.open({str(path)!r}))", "widget"]
        lab.open(write_notebook(tmp_path / "still.ipynb", "\n".join(lines)))
    lab.run_all()
    Page(lab, ".a2lc-annotator")
    still = lab.page.locator(STILL)
    expect(still).to_have_count(1)
    expect(still).to_be_hidden()
    file = lab.root / "work" / lab.page.evaluate(SAVE)
    lab.close()
    yield file


def test_without_a_kernel_stands_the_picture(lab: Lab, saved: Path) -> None:
    lab.page.evaluate(REOPEN, [saved.name])
    expect(lab.page.locator(STILL)).to_be_visible()
    lab.screenshot("without_kernel")
    lab.close()


def test_a_page_made_of_it_needs_no_network(lab: Lab, saved: Path, tmp_path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_filename(str(saved))
    file = shutil.copy(saved, tmp_path / "page.html")
    Path(file).write_text(page, encoding="utf-8")
    view = lab.page.context.browser.new_page()
    view.route("http**", lambda route: route.abort())
    view.goto(Path(file).as_uri())
    expect(view.locator(STILL)).to_be_visible()
    view.close()
