"""A person at the keyboard: `Annotator` and `Approver` in a real JupyterLab, whose kernel is killed meanwhile."""

from __future__ import annotations

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
from small_runs import QUICK, network

import a2lc
from a2lc.config import Experiment
from a2lc.datasets import load_dataset
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.human.exports import export_folder
from a2lc.paper.clicks import truth_of
from a2lc.pseudo_labels.simulated import simulate_pseudo_labels
from a2lc.runs import Run, find_runs
from a2lc.widgets.annotator_state import class_keys
from conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)").expect
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

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
        before = int(self.stage.get_attribute("data-replies"))
        act()
        shown = f"+document.querySelector('{self.root} .a2lc-stage').dataset.replies"
        self.page.wait_for_function(f"n => {shown} > n", arg=before)

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
    """The notebook with this folder as its dataset, and a small model."""
    found, copy = load_notebook_node(str(NOTEBOOK)), tmp_path_factory.mktemp("copy") / NOTEBOOK.name
    small = network(scale=0.5, iterations=30, batch_size=4)
    folders = {name: str(copy.parent / name) for name in ("runs_dir", "corrected_dir", "figures_dir")}
    given = {
        "dataset": "folder",
        "root": str(dataset),
        "budget": 50,
        "rounds": 1,
        "segmenter": small,
        "correction": {"epochs": 2},
    } | folders
    nbformat.write(parameterize_notebook(found, given), copy)
    return copy


@pytest.fixture
def opened(lab: Lab, notebook: Path) -> Iterator[Lab]:
    """The notebook, open and executed."""
    lab.open(notebook)
    lab.run_all()
    yield lab
    lab.close()


def keys_of_a_stranger(queue: Queue) -> list[str]:
    """What somebody who knows the truth presses for each mask: Enter where the label is right, V where no class is."""
    truth, keys = truth_of(queue.run).majority, class_keys(len(queue.classes))
    true = [int(truth[query.row]) for query in queue.queries]
    pairs = zip(true, queue.queries, strict=True)
    return ["v" if t == 255 else "Enter" if t == query.label else keys[t] for t, query in pairs]


def test_a_stranger_corrects_50_masks_with_the_keyboard_and_the_kernel_dies_twice(opened: Lab, notebook: Path) -> None:
    (run,) = find_runs(notebook.parent / "runs_dir")
    keys = keys_of_a_stranger(Queue(run))
    assert len(keys) == 50 and len(set(keys)) > 4
    page = Page(opened, ".a2lc-annotator")
    cells = opened.cells()
    page.press(*keys[:10], "s", "u", "ArrowLeft", "ArrowRight", "h", "h", *keys[10:20])
    for shortcut in ("d", "d", "x", "0"):  # JupyterLab's own would delete cells or restart the kernel
        page.page.keyboard.press(shortcut) if shortcut not in class_keys(11) else None
    assert opened.cells() == cells and opened.ask("annotator.state.queue.answered") == 20
    opened.screenshot("annotator", of=".a2lc-annotator")

    opened.kill()
    page.page.keyboard.press(keys[20])  # to a kernel that does not know the widget: nothing may be lost or made up
    opened.run_all()
    page = Page(opened, ".a2lc-annotator")
    assert opened.ask("(annotator.state.queue.answered, annotator.state.query.position)") == (20, 20)
    page.press(*keys[20:35])
    opened.kill()
    opened.run_all()
    page = Page(opened, ".a2lc-annotator")
    page.press(*keys[35:])
    expect(page.stage).to_contain_text("All masks of this round are answered or skipped")
    assert opened.ask("annotator.state.view()['left']") == 0

    opened.run_all()
    assert opened.ask("run.finished") is True
    (corrected,) = (notebook.parent / "corrected_dir").glob("*_round_1")
    changes = pd.read_csv(corrected / "changes" / "changes.csv")
    said = run.queries(1)
    said = said[said["label"] != said["answer"]]
    names = pd.Series([*run.masks(0).classes.names, *["void"] * 256])
    answers = set(zip(said["image"], said["mask_id"], names[said["answer"]], strict=True))
    listed = set(zip(changes["image"], changes["mask_id"], changes["after"], strict=True))
    assert len(answers) > 10 and listed == answers and set(changes["source"]) == {"annotator"}
    log = (run.path / "round_01" / "answers.jsonl").read_text().splitlines()
    assert len(log) == 50 + 2, "50 answers, one skip and its undoing"


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
    widget.after(lambda: page.get_by_role("button", name="sky").click())
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
    widget.press("a", "r", "PageDown", "a")
    assert lab.ask("widget.state.view()['counts']") == {"undecided": total - 3, "approved": 2, "rejected": 1}
    page.locator(".a2lc-flow").nth(1).focus()
    widget.after(lambda: page.keyboard.press("Enter"))
    group = lab.ask("widget.state.group")
    widget.stage.focus()
    widget.press("R", "ArrowRight", "u")
    flow = lab.ask("widget.state.view()['total']")
    lab.restart()
    lab.run_all()
    table = Approval(waiting["approval"]).table
    of_group = (table["old"] == group[0]) & (table["new"] == group[1])
    assert (table["decision"][of_group] == "rejected").sum() == flow - 1
    counts = lab.ask("widget.state.view()['counts']")
    assert counts == {name or "undecided": int(n) for name, n in table["decision"].value_counts().items()}
