"""A person at the keyboard: `Annotator` and `Approver` in a real JupyterLab, whose kernel is killed meanwhile."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from scripted import lcm_of, told
from small_notebooks import write_notebook
from small_runs import QUICK

import a2lc
from a2lc.config import Experiment
from a2lc.datasets import load_dataset
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.human.exports import export_folder
from a2lc.human.own_dataset import own_experiment
from a2lc.paper.clicks import truth_of
from a2lc.pseudo_labels.simulated import simulate_pseudo_labels
from a2lc.runs import Run, find_runs
from a2lc.widgets.keys import class_keys
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

QUESTIONS = 100
NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "correct_your_own_dataset.ipynb"


class Page:
    """A widget on the page: keys that wait for the view that answers them."""

    def __init__(self, lab: Lab, root: str) -> None:
        self.lab, self.page, self.root = lab, lab.page, root
        self.page.wait_for_function(f"() => +document.querySelector('{root} .a2lc-stage')?.dataset.replies > 0")
        self.stage = self.page.locator(f"{root} .a2lc-stage")
        self.stage.scroll_into_view_if_needed()
        self.stage.focus()

    def after(self, act: Any) -> None:
        """Do something and wait for the view that answers it."""
        stage = f"document.querySelector('{self.root} .a2lc-stage')"
        # a key is refused before its mask can be seen
        seen = f"() => !{stage}.classList.contains('a2lc-behind') && {stage}.dataset.replies"
        before = int(self.page.wait_for_function(seen).json_value())
        act()
        done = f"n => +{stage}.dataset.replies > n && {stage}.dataset.waiting === '0'"
        self.page.wait_for_function(done, arg=before)

    def press(self, *keys: str) -> None:
        """Press keys, each after the view of the one before."""
        for key in keys:
            self.after(lambda key=key: self.page.keyboard.press(key))

    @property
    def status(self) -> Any:
        """The status line."""
        return self.page.locator(f"{self.root} .a2lc-status")


# -------------------------------------------------------------------------------------------------------- answering
@pytest.fixture(scope="module")
def dataset(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images of CamVid with labels spoilt on purpose, as somebody's own folder."""
    camvid, folder = load_dataset("camvid", data_root / "CamVid"), tmp_path_factory.mktemp("mine") / "camvid"
    some = camvid.train.subset(camvid.train.names[::8][:30])
    export_folder(simulate_pseudo_labels(some, camvid.classes, progress=False), some, folder)
    return folder


@pytest.fixture(scope="module")
def notebook(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook with this folder as its dataset."""
    found, copy = load_notebook_node(str(NOTEBOOK)), tmp_path_factory.mktemp("copy") / NOTEBOOK.name
    folders = {name: str(copy.parent / name) for name in ("runs_dir", "corrected_dir", "figures_dir")}
    given = {"dataset": "folder", "root": str(dataset), "budget": QUESTIONS, "rounds": 1} | folders
    nbformat.write(parameterize_notebook(found, given), copy)
    return copy


@pytest.fixture
def opened(lab: Lab, notebook: Path) -> Iterator[Lab]:
    """The notebook, open and executed."""
    lab.open(notebook)
    lab.run_all()
    yield lab
    lab.close()


class Stranger:
    """Somebody who knows the truth and presses a key for the mask that the page asks about: Enter where the label is
    right, V where no class is."""

    def __init__(self, run: Run, page: Page) -> None:
        self.masks, self.page, self.truth = run.masks(0), page, truth_of(run).majority
        self.keys = class_keys(len(self.masks.classes))
        self.pressed: list[str] = []

    def answer(self, number: int) -> None:
        for _ in range(number):
            image, mask = re.findall(r"(\S+), mask (\d+), [\d,]+ pixels", self.page.stage.inner_text())[0]
            row = self.masks.row(image, int(mask))
            true, label = int(self.truth[row]), self.masks.table["label"].iloc[row]
            self.pressed.append("v" if true == 255 else "Enter" if true == label else self.keys[true])
            self.page.press(self.pressed[-1])


@pytest.mark.long
def test_a_stranger_corrects_100_masks_with_the_keyboard_and_the_kernel_dies_twice(
    opened: Lab, notebook: Path, dataset: Path, tmp_path: Path
) -> None:
    """Each answer changes what is asked next. In the end they are worth more than as many in the paper's order."""
    (run,) = find_runs(notebook.parent / "runs_dir")
    page = Page(opened, ".a2lc-annotator")
    stranger, cells = Stranger(run, page), opened.cells()
    stranger.answer(10)
    page.press("s", "u", "ArrowLeft", "ArrowRight")
    for shortcut in ("d", "d", "x", "0"):  # JupyterLab's own would delete cells or restart the kernel
        page.page.keyboard.press(shortcut) if shortcut not in class_keys(11) else None
    assert opened.cells() == cells and opened.ask("widget.part.state.queue.answered") == 10
    expect(page.page.locator(".a2lc-outlook")).to_contain_text("After 20 answers")
    stranger.answer(30)
    expect(page.page.locator(".a2lc-outlook")).to_contain_text("of the pixels have the right label")
    opened.screenshot("annotator", of=".a2lc-annotator")

    opened.kill()
    page.page.keyboard.press("Enter")  # to a kernel that does not know the widget: nothing may be lost or made up
    opened.run_all()
    stranger.page = page = Page(opened, ".a2lc-annotator")
    assert opened.ask("(widget.part.state.queue.answered, widget.part.state.query.position)") == (40, 40)
    stranger.answer(20)
    opened.kill()
    opened.run_all()
    stranger.page = page = Page(opened, ".a2lc-annotator")
    stranger.answer(QUESTIONS - 60)
    expect(page.stage).to_contain_text("All masks of this round are answered or skipped")
    assert opened.ask("widget.part.state.view()['left']") == 0 and len(set(stranger.pressed)) > 4

    go_on = page.page.locator(".a2lc-rounds").get_by_role("button", name="Go on", exact=True)
    go_on.click()
    page.page.wait_for_function("() => !document.querySelector('.a2lc-annotator')")
    if not opened.ask("run.finished"):
        Page(opened, ".a2lc-approver").press("Shift+A")  # all that is shown
        go_on.click()
        page.page.wait_for_function("() => !document.querySelector('.a2lc-approver')")
    assert opened.ask("run.finished") is True
    opened.run_all()
    (corrected,) = (notebook.parent / "corrected_dir").glob("*_round_1")
    changes = pd.read_csv(corrected / "changes" / "changes.csv")
    said = run.queries(1)
    said = said[said["label"] != said["answer"]]
    names = pd.Series([*run.masks(0).classes.names, *["void"] * 256])
    answers = set(zip(said["image"], said["mask_id"], names[said["answer"]], strict=True))
    of_person = changes[changes["source"] == "annotator"]
    listed = set(zip(of_person["image"], of_person["mask_id"], of_person["after"], strict=True))
    assert len(answers) > 10 and listed == answers
    log = (run.path / "round_01" / "answers.jsonl").read_text().splitlines()
    assert len(log) == QUESTIONS + 2, "answers, one skip and its undoing"

    fields = {"annotator": "oracle", "approval": False, "budget": QUESTIONS, "rounds": 1}
    paper = a2lc.run(own_experiment(dataset, method="a2lc", **fields), tmp_path, progress=False).summary["data_miou"]
    ours = run.summary["data_miou"]
    assert ours[0] == paper[0] and ours[1] > paper[1], f"instant {ours.tolist()}, A2LC {paper.tolist()}"


# -------------------------------------------------------------------------------------------------------- looks
@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run that waits for answers, and one that waits for approval."""
    config = Experiment(**QUICK, annotator="human")
    answers = a2lc.run(config, tmp_path_factory.mktemp("answers"), device="cpu", progress=False)
    runs = tmp_path_factory.mktemp("approval") / "runs"
    shutil.copytree(answers.path.parent, runs)
    approval = Run.open(runs / answers.path.name)
    queue = Queue(approval)
    queue.answer_many((query.position, queue.top_classes(query)[0][0]) for query in queue.queries)
    with lcm_of(told(1)):
        return {"answers": answers, "approval": next_round(approval, device="cpu", progress=False)}


@pytest.fixture
def widget(request: pytest.FixtureRequest, lab: Lab, waiting: dict[str, Run], tmp_path: Path) -> Iterator[Page]:
    """A widget in a notebook of one cell."""
    name, what = {"annotator": ("Annotator", "answers"), "approver": ("Approver", "approval")}[request.param]
    lines = ["from a2lc.runs import Run", f"from a2lc.widgets import {name}"]
    lines += [f"widget = {name}(Run.open({str(waiting[what].path)!r}))", "widget"]
    lab.open(write_notebook(tmp_path / f"{request.param}.ipynb", "\n".join(lines)))
    lab.run_all()
    yield Page(lab, f".a2lc-{request.param}")
    lab.close()


@pytest.mark.parametrize("widget", ["annotator", "approver"], indirect=True)
def test_text_is_readable_named_and_not_clipped(widget: Page) -> None:
    for theme in ("Dark", "Light"):
        widget.lab.check_readable(widget.root, theme, texts=25)
        widget.lab.screenshot(f"{widget.root[6:]}_{theme.lower()}", of=widget.root)


@pytest.mark.parametrize("widget", ["annotator"], indirect=True)
def test_a_mouse_answers_and_keys_go_on(widget: Page) -> None:
    page = widget.page
    widget.after(lambda: page.locator(".a2lc-class-key", has_text="sky").click())
    expect(widget.status).to_contain_text("Mask 1: sky")
    widget.press("Enter")  # confirms the second mask, and does not press the button again
    assert "confirmed" in widget.lab.ask("widget.state._said(widget.state.queue.queries[1])")
    widget.after(lambda: page.get_by_role("button", name="Enough").click())
    expect(widget.status).to_contain_text("58 masks without an answer go back to the pool")
    page.get_by_role("button", name="Skip").focus()
    widget.after(lambda: page.keyboard.press("Enter"))  # a button that has the focus is pressed
    assert widget.lab.ask("(widget.state.queue.answered, widget.state.queue.skipped)") == (2, 1)


@pytest.mark.parametrize("widget", ["approver"], indirect=True)
def test_corrections_are_approved_by_keyboard_and_survive_a_restart(widget: Page, waiting: dict[str, Run]) -> None:
    page, lab = widget.page, widget.lab
    total = len(Approval(waiting["approval"]).table)
    tiles = page.locator(".a2lc-tile")
    widget.after(lambda: tiles.nth(2).click(modifiers=["Shift"]))
    expect(widget.status).to_contain_text("3 corrections are selected")
    expect(page.locator(".a2lc-tile.a2lc-selected")).to_have_count(3)
    widget.press("a")
    assert lab.ask("widget.state.view()['counts']['approved']") == 3
    widget.press("z")
    widget.after(lambda: tiles.nth(0).click())
    assert lab.ask("(widget.state.left, widget.state.at)") == (total, 0)
    widget.press("a", "r", "PageDown", "a")
    assert lab.ask("widget.state.view()['counts']") == {"undecided": total - 3, "approved": 2, "rejected": 1}
    page.locator(".a2lc-flow").nth(1).focus()
    widget.after(lambda: page.keyboard.press("Enter"))
    group = lab.ask("widget.state.group")
    widget.stage.focus()
    before = lab.ask("widget.state.view()['counts']")
    widget.press("Shift+R", "z")
    assert lab.ask("widget.state.view()['counts']") == before, "many at once, taken back at once"
    widget.press("Shift+U")
    assert lab.ask("widget.state.view()['counts']") == before, "one key clears nothing"
    widget.press("Shift+R", "ArrowRight", "u")
    lab.restart()
    lab.run_all()
    table = Approval(waiting["approval"]).table
    of_group = (table["old"] == group[0]) & (table["new"] == group[1])
    assert (table["decision"][of_group] == "").sum() == 1
    counts = lab.ask("widget.state.view()['counts']")
    assert counts == {name or "undecided": int(n) for name, n in table["decision"].value_counts().items()}
