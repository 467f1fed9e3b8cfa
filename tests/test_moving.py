"""Data of one's own: moved, copied, twice in a folder; and the commands of README, typed whatever happens."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_runs import files_of
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment, Run
from a2lc.human import Queue, move_dataset, next_round
from a2lc.human.cli import app
from a2lc.human.own_dataset import own_experiment
from a2lc.human.queue_csv import read_queue, write_queue
from a2lc.human.write_back import write_back
from a2lc.runs import find_runs, place_of, places

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])


def own_data(root: Path, classes: str = "sky road car", names: str = "000001 b", seed: int = 0) -> Path:
    """Two pictures in colours of their labels, in squares of 16 pixels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in classes.split()))
    rng = np.random.default_rng(seed)
    for name in names.split():
        labels = np.kron(rng.integers(0, 3, (3, 4)), np.ones((16, 16))).astype(np.uint8)
        Image.fromarray(labels).save(root / "labels" / f"{name}.png")
        Image.fromarray(COLOURS[labels].astype(np.uint8)).save(root / "images" / f"{name}.png")
    return root


def settings(root: Path, **fields: object) -> Experiment:
    return own_experiment(root, **{"instant": {"features": "colour"}, "budget": 3, "rounds": 1} | fields)


def begun(root: Path, runs_dir: Path, **fields: object) -> Run:
    return a2lc.run(settings(root, **fields), runs_dir, progress=False)


def typed(*words: object) -> str:
    """What a command says; it must not fail."""
    said = CliRunner().invoke(app, [*map(str, words)])
    assert said.exit_code == 0, (said.output, said.exception)
    return said.output


def test_a_dataset_may_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    run = begun(Path("data"), tmp_path / "runs")
    monkeypatch.chdir("/")
    assert Run.open(run.path).config.root == tmp_path / "data", "a relative folder works from anywhere"
    Queue(run).answer("car", 0)
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(
        FileNotFoundError, match="data: no such folder, expected the data of .*if they have moved.*--ro"
    ):
        next_round(run, enough=True, progress=False)
    assert Run.open(run.path).waits_for == "answers", "nothing was closed"
    refused = CliRunner().invoke(app, ["next", str(run.path), "--enough", "--root", str(tmp_path / "nowhere")])
    assert "nowhere: no such folder" in str(refused.exception)
    monkeypatch.chdir(tmp_path)
    assert "1 answers counted" in typed("next", run.path, "--enough", "--root", "moved")
    monkeypatch.chdir("/")
    assert Run.open(run.path).config.root == tmp_path / "moved", "said once"
    while run.waits_for:
        run = next_round(Run.open(run.path), enough=True, progress=False)
    (tmp_path / "moved").rename(tmp_path / "again")
    with pytest.raises(FileNotFoundError, match="if they have moved, say where: --root DIR"):
        write_back(Run.open(run.path), tmp_path / "corrected")
    assert len(write_back(move_dataset(run, tmp_path / "again"), tmp_path / "corrected"))
    assert len(find_runs(tmp_path / "runs")) == 1


def test_other_data_are_refused_with_what_differs(tmp_path: Path) -> None:
    run = begun(own_data(tmp_path / "data"), tmp_path / "runs")
    others = {
        "of the 2 images of .* it misses 1, 'b' for one": own_data(tmp_path / "few", names="000001"),
        "has 2 images, and here are 1 more, 'c' for one": own_data(tmp_path / "more", names="000001 b c"),
        "expected the classes sky, road, car, found sky, way, car": own_data(tmp_path / "named", "sky way car"),
        "expected the labels that .* began with, found others": own_data(tmp_path / "labelled", seed=1),
    }
    for what, root in others.items():
        with pytest.raises(
            ValueError, match=f"{root.name}: these are other data: .*{what}; `a2lc correct {root}` begins"
        ):
            move_dataset(run, root)
    assert Run.open(run.path).config.root == tmp_path / "data"


def test_two_datasets_in_one_folder_get_two_runs(tmp_path: Path) -> None:
    runs, first = tmp_path / "runs", own_data(tmp_path / "a" / "my data!")
    run = begun(first, runs)
    Queue(run).answer("car", 0)
    other = begun(own_data(tmp_path / "b" / "my data!", seed=1), runs)
    third = begun(own_data(tmp_path / "streets"), runs)  # of the same labels
    assert re.fullmatch(r"folder-my-data-instant-s0-\w{8}", run.path.name)
    assert other.path.name == f"{run.path.name}-2" and third.path.name.startswith("folder-streets-instant-s0-")
    assert [Queue(found).answered for found in (run, other, third)] == [1, 0, 0]
    for found, root in ((run, first), (other, tmp_path / "b" / "my data!"), (third, tmp_path / "streets")):
        assert begun(root, runs).path == found.path == place_of(settings(root), runs)
    (tmp_path / "b").rename(tmp_path / "c")  # begun again with data that have moved
    assert begun(tmp_path / "c" / "my data!", runs).path == other.path
    assert Run.open(other.path).config.root == tmp_path / "c" / "my data!"
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(first / "labels" / "b.png")
    with pytest.raises(
        ValueError, match=r"The data have changed since it began: put them back, .*--runs-dir"
    ) as raised:
        begun(first, runs)
    assert not re.search("delete|remove", str(raised.value)), "a person's answers lie there"


def test_a_run_that_another_process_begins_just_now_is_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, root = tmp_path / "runs", own_data(tmp_path / "data")
    runs.mkdir()
    real, others = places.run_folders, []

    def list_then_begin(folder: Path) -> list[Path]:
        found = real(folder)
        if not others:
            others.append(None)
            others.append(begun(root, runs))
        return found

    monkeypatch.setattr(places, "run_folders", list_then_begin)
    assert place_of(settings(root), runs) == others[1].path == begun(root, runs).path
    assert [path.name for path in real(runs)] == [others[1].path.name]


def test_a_run_that_was_begun_under_another_name_is_found(tmp_path: Path) -> None:
    runs, root = tmp_path / "runs", own_data(tmp_path / "data")
    run = begun(root, runs)
    run.path.rename(older := runs / "folder-instant-s0-12345678")
    assert place_of(settings(root), runs) == older == begun(root, runs).path
    assert place_of(settings(root, budget=4), runs).name.startswith("folder-data-instant-s0-"), "another run"


@pytest.mark.parametrize("said", ["confirm", "skip"])
def test_the_commands_of_readme_work_where_nothing_is_proposed(said: str, tmp_path: Path) -> None:
    run, table = begun(own_data(tmp_path / "data"), tmp_path / "runs", rounds=2).path, tmp_path / "q.csv"
    for number in (1, 2):
        typed("queue", run, "--export", table)
        filled = pd.read_csv(table, dtype=str, keep_default_na=False).assign(answer=said)
        filled.to_csv(table, index=False)
        typed("queue", run, "--import", table)
        told = typed("next", run)
        counts = "3 answers counted, 0 skipped" if said == "confirm" else "0 answers counted, 3 skipped"
        assert f"round {number}: {counts}" in told and f"round {number}: nothing is proposed: " in told
        assert ("finished after round 2" if number == 2 else f"a2lc queue {run} --export q.csv") in told
        for again in (("approve", run, "--from", "car", "--to", "road"), ("next", run, "--enough")):
            assert ("a2lc write-back" if number == 2 else "round 2 of 2 waits for answers") in typed(*again)
    assert "for another round" in typed("queue", run)
    refused = CliRunner().invoke(app, ["queue", str(run), "--import", str(table)])
    assert "asks nothing now: finished after round 2" in str(refused.exception), "these answers are not taken"
    assert "0 masks changed" in typed("write-back", run, tmp_path / "corrected")


# ------------------------------------------------------------------------------------------------ the table
def answered(run: Run, path: Path, said: str) -> int | None:
    """The label that an answer to the first query gives."""
    queue = Queue(run)
    write_queue(queue, path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "answer"] = said
    table.to_csv(path, index=False)
    try:
        read_queue(queue, path)
        answer = queue.answer_to(queue.queries[0])
        queue.undo()
        return None if answer is None else answer.label
    finally:
        path.unlink()


def test_numbers_of_classes_are_answers_where_they_mean_one_thing(tmp_path: Path) -> None:
    run, path = begun(own_data(tmp_path / "data"), tmp_path / "runs"), tmp_path / "q.csv"
    first = Queue(run).queries[0].label
    assert answered(run, path, str(other := (first + 1) % 3)) == other == answered(run, path, f"{other}.0")
    with pytest.raises(ValueError, match="unknown class '3'"):
        answered(run, path, "3")
    named = begun(own_data(tmp_path / "named", "02 01 00"), tmp_path / "runs")
    assert answered(named, path, "2") == 0 and answered(named, path, "02") == 0, "the class of that name"
    told = own_data(tmp_path / "told")
    (told / "dataset.yaml").write_text("ids: {0: road, 1: sky, 2: car}\n")
    with pytest.raises(ValueError, match="answer '2': expected the name of a class, as dataset.yaml says what"):
        answered(begun(told, tmp_path / "runs"), path, "2")


def test_names_that_a_spreadsheet_takes_for_numbers(tmp_path: Path) -> None:
    queue, path = Queue(begun(own_data(tmp_path / "data"), tmp_path / "runs", budget=0.9)), tmp_path / "q.csv"
    write_queue(queue, path)
    pd.read_csv(path).assign(answer="confirm").replace({"image": {"000001": "1"}}).to_csv(path, index=False)
    assert "000001" not in path.read_text()
    assert read_queue(queue, path) == len(queue) == queue.answered


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.pictures: list[str] = []
        self.answers: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        found = dict(given)
        self.rows += [found["data-row"] or ""] if "data-row" in found else []
        self.pictures += [unquote(found["src"] or "")] if tag == "img" else []
        self.answers += [found["value"] or ""] if tag == "option" else []
        assert not (found.get("src") or "").startswith(("http", "/")), "it needs no network"


def test_a_page_shows_every_question_and_holds_the_table(tmp_path: Path) -> None:
    names = "=1+1 a,b#%20?"
    run = begun(own_data(tmp_path / "data", 'sky road <b>&"car', names), tmp_path / "runs", budget=0.9)
    queue, path = Queue(run), tmp_path / "my #1.csv"
    assert write_queue(queue, path, pictures=True) == tmp_path / "my #1.html"
    page, lines = Page(tmp_path / "my #1.html"), path.read_text().splitlines()
    assert [f"{row}," for row in page.rows] == lines[1:] and len(page.rows) == len(queue)
    assert len(page.pictures) == 2 * len(queue) and all((tmp_path / name).is_file() for name in page.pictures)
    assert page.answers[:9] == ["", "confirm", "void", "void image", "mixed mask", "skip", *queue.classes.names]
    path.write_text("\n".join([lines[0], *(f"{row},void" for row in page.rows)]), encoding="utf-8-sig")
    assert read_queue(queue, path) == len(queue)
    write_queue(queue, path, pictures=True)  # its own page is replaced, that of somebody else is not
    (tmp_path / "mine.html").write_text("<p>mine")
    with pytest.raises(ValueError, match=r"mine\.html: is there already and no page of a2lc"):
        write_queue(queue, tmp_path / "mine.csv", pictures=True)
    assert (tmp_path / "mine.html").read_text() == "<p>mine" and not (tmp_path / "mine.csv").exists()


def test_one_vanished_image_takes_no_other_picture_away(tmp_path: Path) -> None:
    run = begun(own_data(tmp_path / "data"), tmp_path / "runs", budget=0.9)
    (tmp_path / "data" / "images" / "b.png").unlink()
    with pytest.warns(UserWarning, match="No image: .*'b'") as warned:
        write_queue(Queue(run), tmp_path / "q.csv", pictures=True)
    assert len(warned) == 1
    for name in pd.read_csv(tmp_path / "q.csv")["picture"]:
        picture = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert bool(np.ptp(picture, axis=2).any()) is not (Path(name).name.startswith("b_")), "grey is what is missing"
    shutil.rmtree(tmp_path / "data")
    with pytest.warns(UserWarning, match="No images and no ground truth: .*--root DIR"):
        assert write_queue(Queue(run), tmp_path / "q.csv", pictures=True) is None


def test_other_pictures_are_refused_before_anything_is_saved(tmp_path: Path) -> None:
    """Of the same names, sizes and labels."""
    runs, other = tmp_path / "runs", own_data(tmp_path / "other")
    run = begun(own_data(tmp_path / "data"), runs)
    Queue(run).answer("car", 0)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(other / "images" / "b.png")
    before, told = files_of(runs), "other: these are other data: 1 of the 2 pictures are not those .* 'b' for one"
    with pytest.raises(ValueError, match=told):
        move_dataset(run, other)
    for words in (("next", "--enough"), ("queue", "--export", tmp_path / "q.csv"), ("write-back", tmp_path / "out")):
        command, *more = map(str, words)
        refused = CliRunner().invoke(app, [command, str(run.path), *more, "--root", str(other)])
        assert re.search(told, str(refused.exception)), command
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "p.yaml").write_text("instant: {features: colour}\n")
    options = ["--budget", "3", "--rounds", "1", "--params", str(tmp_path / "p.yaml"), "--runs-dir", str(runs)]
    refused = CliRunner().invoke(app, ["correct", str(other), *options])
    assert re.search(told, str(refused.exception)) and not refused.stdout, "before it is looked at"
    with pytest.raises(ValueError, match=told):
        begun(other, runs)
    assert files_of(runs) == before and not (tmp_path / "q.csv").exists() and not (tmp_path / "out").exists()
    assert begun(tmp_path / "moved", runs).path == run.path == move_dataset(run, tmp_path / "moved").path
