"""Masks of several classes that a person cuts in pieces: how, what is kept, and what comes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import a2lc
from a2lc import Experiment, Run
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.human import Queue, next_round
from a2lc.human.cutting import PIECES, Cutting
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.human.write_back import apply_changes, revert_changes, write_back, write_changes
from a2lc.masks.cuts import Cut
from a2lc.masks.pieces import in_pieces
from a2lc.metrics import data_miou
from a2lc.widgets.annotator_state import AnnotatorState

RED, BLUE = (220, 40, 30), (30, 60, 220)
CONFIG = {
    "dataset": "folder",
    "method": "instant",
    "rounds": 2,
    "budget": 4,
    "annotator": "human",
    "approval": False,
} | {
    "pseudo_labels": {"kind": "own_labels"},
    "instant": {"features": "colour"},
}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("own"))


def make_run(root: Path, upper: int = 0) -> Run:
    """Of three pictures, red on the left and blue on the right, one is labelled as if it were all red, the upper half
    by this value; the run waits for answers."""
    for folder in ("images", "labels", "ground_truth"):
        (root / "data" / folder).mkdir(parents=True)
    (root / "data" / "classes.txt").write_text("red\nblue\n")
    for number, name in enumerate("abc"):
        where = np.zeros((40, 60), np.uint8)
        where[:, 20 + 5 * number :] = 1
        noise = np.random.default_rng(number).integers(-12, 12, (40, 60, 3))
        picture = (np.array([RED, BLUE])[where] + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(root / "data" / "images" / f"{name}.png")
        Image.fromarray(where).save(root / "data" / "ground_truth" / f"{name}.png")
        labels = where if name != "a" else np.repeat([[upper], [0]], 20, axis=0).repeat(60, axis=1).astype(np.uint8)
        Image.fromarray(labels).save(root / "data" / "labels" / f"{name}.png")
    return a2lc.run(Experiment(**CONFIG, root=root / "data"), root / "runs", device="cpu", progress=False)


@pytest.fixture
def run(waiting: Run, tmp_path: Path) -> Run:
    """The same in a folder of its own, without answers."""
    shutil.copytree(waiting.path.parent, tmp_path / "runs")
    return Run.open(tmp_path / "runs" / waiting.path.name)


def all_red(queue: Queue) -> tuple[object, np.ndarray]:
    """The question about the mask of both colours, and its pieces as they should be."""
    query = queue.find("a", 1)
    assert query is not None
    return query, np.repeat([[0, 1]], 40, axis=0).repeat([20, 40], axis=1)


def pixels_of(run: Run, out: Path, name: str = "a") -> np.ndarray:
    return np.asarray(Image.open(out / "labels" / f"{name}.png"))


# ------------------------------------------------------------------------------------------------ what is kept
def test_pieces_are_labelled_counted_and_written_and_nothing_else_is(run: Run, tmp_path: Path) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["confirm", "blue"], seconds=3.0)
    assert queue.answered == 1 and queue.cuts[query.row].labels == (0, 1) and queue.stands(query, "mixed mask")
    assert Queue(run).cuts == queue.cuts  # a kernel that dies has lost nothing
    assert queue.undo() is not None and not queue.cuts and not Queue(run).answered
    queue.cut(query, pieces, [0, "blue"])
    before, split = run.masks(0), load_dataset("folder", run.config.root).train
    run = next_round(run, enough=True, progress=False)
    masks = run.masks(1)
    truth = split.ground_truth("a")
    assert (masks.label_map("a") == truth).all() and not (before.label_map("a") == truth).all()
    assert masks.table["source"].iloc[query.row] == "mixed" and masks.silent.sum() == 1 and len(masks) == len(before)
    assert run.metrics(1)["data_miou"] == data_miou(in_pieces(masks), split) == 1.0
    parted = in_pieces(masks)
    assert len(parted) == len(masks) + 1 and parted.table["area"].sum() == masks.table["area"].sum()
    assert [parted.table["mask_id"].iloc[row] for row in range(2)] == [2, 3]  # one piece each
    assert (parted.label_map("a") == truth).all() and (parted.object_map("b") == masks.object_map("b")).all()
    assert parted.changed[:2].all() and not parted.changed[2:].any()
    changes = write_back(run, tmp_path / "out")
    assert changes["after"].tolist() == ["blue"] and (pixels_of(run, tmp_path / "out") == truth).all()
    for name in "bc":
        for folder in ("images", "labels"):
            assert (tmp_path / "out" / folder / f"{name}.png").read_bytes() == (
                run.config.root / folder / f"{name}.png"
            ).read_bytes()
    assert (next_round(run, enough=True, progress=False).masks(2).label_map("a") == truth).all()  # and stays so


def test_changes_are_applied_and_reverted_to_the_byte(run: Run, tmp_path: Path) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["red", "void"])
    copy = shutil.copytree(run.config.root, tmp_path / "copy")
    files = {path: path.read_bytes() for path in sorted(copy.rglob("*.png"))}
    run = next_round(run, enough=True, progress=False)
    write_changes(run, tmp_path / "changes")
    assert apply_changes(tmp_path / "changes", copy) == 1
    assert (pixels_of(run, copy)[:, 20:] == 255).all() and not pixels_of(run, copy)[:, :20].any()
    assert apply_changes(tmp_path / "changes", copy) == 0
    assert revert_changes(tmp_path / "changes", copy) == 1
    assert {path: path.read_bytes() for path in sorted(copy.rglob("*.png"))} == files


def test_a_piece_that_keeps_its_label_keeps_its_values(tmp_path: Path) -> None:
    """Several values mean red, as those of single objects do: those of the piece that was right stay."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.yaml").write_text("ids: {0: red, 1: blue, 10-19: red}\n")
    run = make_run(tmp_path, upper=13)
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["confirm", "blue"])
    run = next_round(run, enough=True, progress=False)
    changes = write_back(run, tmp_path / "out")
    before = np.asarray(Image.open(run.config.root / "labels" / "a.png"))
    after = pixels_of(run, tmp_path / "out")
    assert set(np.unique(before)) == {0, 13} and (after[:, :20] == before[:, :20]).all() and (after[:, 20:] == 1).all()
    assert changes[["before", "after"]].to_numpy().tolist() == [["red", "blue"]]


@pytest.mark.parametrize("format", ["png", "voc", "coco", "labelme", "yolo", "label-studio"])
def test_every_export_has_the_pieces(run: Run, format: str, tmp_path: Path) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["red", "blue"])
    run = next_round(run, enough=True, progress=False)
    out = tmp_path / ("out.json" if format in ("coco", "label-studio") else "out")
    told = CliRunner().invoke(app, ["export", str(run.path), str(out), "--format", format])
    assert told.exit_code == 0, told.output
    if format == "coco":
        masks = [each for each in json.loads(out.read_text())["annotations"] if each["image_id"] == 1]
        assert [(each["category_id"], each["area"], each["mask_id"]) for each in masks] == [(1, 800, 2), (2, 1600, 3)]
    elif format in ("png", "voc"):
        folder = out / ("mask_jpg" if format == "png" else "SegmentationClass")
        assert (
            np.asarray(Image.open(folder / "a.png")) == load_dataset("folder", run.config.root).train.ground_truth("a")
        ).all()
    elif format == "labelme":
        assert [shape["label"] for shape in json.loads((out / "a.json").read_text())["shapes"]] == ["red", "blue"]
    elif format == "yolo":
        assert [line.split()[0] for line in (out / "labels" / "a.txt").read_text().splitlines()] == ["0", "1"]


def test_a_later_answer_takes_the_place_of_the_pieces(run: Run) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["red", "blue"])
    queue.answer("mixed mask", query)
    assert not queue.cuts and len(queue.mixed_rows) == 1
    queue.cut(query, pieces, ["red", "blue"])
    queue.answer("blue", query)
    assert not queue.cuts and queue.labels == {query.row: 1}
    masks = run.masks(0).mix(np.array([query.row]), 1, {query.row: Cut.of(pieces.ravel(), [0, 1])})
    assert len(in_pieces(masks)) == len(masks) + 1
    assert in_pieces(masks.relabel([query.row], [1], source="annotator", round=2)) is not masks
    assert len(in_pieces(masks.relabel([query.row], [1], source="annotator", round=2))) == len(masks)
    assert len(in_pieces(masks.mix(np.array([query.row]), 2))) == len(masks)


def test_wrong_cuts_are_named(run: Run) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    for wrong, labels, what in [
        (pieces, ["red"], "at least two pieces"),
        (pieces * 0, ["red", "blue"], "each with pixels"),
        (pieces[:20], ["red", "blue"], r"expected \(40, 60\)"),
        (pieces, ["red", "bleu"], "did you mean 'blue'"),
        (pieces, ["red", "skip"], "expected classes, confirm or void, found skip"),
        (pieces, ["red", 9], "unknown class 9"),
        (pieces * 1.0, ["red", "blue"], "expected whole numbers, found float64"),
    ]:
        with pytest.raises(ValueError, match=what):
            queue.cut(query, wrong, labels)
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected a time"):
            queue.cut(query, pieces, ["red", "blue"], seconds=seconds)
    assert not queue.answered
    queue.cut(query, pieces.astype(bool), ["red", "blue"])
    assert Queue(run).cuts == queue.cuts
    masks = run.masks(0)
    with pytest.raises(ValueError, match="expected a cut of 2400 pixels, found 10"):
        masks.mix(np.array([query.row]), 1, {query.row: Cut.of(np.arange(10) > 4, [0, 1])})


@pytest.mark.parametrize(
    "cut",
    [
        1,
        "x",
        {},
        {"labels": [0, 1]},
        {"labels": [0, 1], "runs": [[0, 5], [1, 4]]},
        {"labels": [0, 1], "runs": [[0, 2400]]},
    ]
    + [{"labels": [0, 7], "runs": [[0, 1200], [1, 1200]]}, {"labels": [0, 1], "runs": [[0, 2410], [1, -10]]}]
    + [{"labels": [0, 1], "runs": [[0, 1200.5], [1, 1199.5]]}, {"labels": [0, 300], "runs": [[0, 1200], [1, 1200]]}],
    ids=str,
)
def test_a_damaged_line_is_named(run: Run, cut: object, tmp_path: Path) -> None:
    queue = Queue(run)
    query, pieces = all_red(queue)
    queue.cut(query, pieces, ["red", "blue"])
    log = run.path / "round_01" / "answers.jsonl"
    record = json.loads(log.read_text())
    log.write_text(json.dumps(record | {"cut": cut}) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(ValueError, match="line 1"):
        Queue(run)
    state = run.masks(0).mix(np.array([query.row]), 1, {query.row: Cut.of(pieces.ravel(), [0, 1])})
    state.save_state(tmp_path / "masks.parquet")
    assert run.masks(0).with_state(tmp_path / "masks.parquet").cuts == state.cuts
    (tmp_path / "cuts.json").write_text(
        json.dumps([{"image": "a", "mask_id": 1, **(cut if isinstance(cut, dict) else {})}])
    )
    with pytest.raises(ValueError, match=r"cuts\.json"):
        run.masks(0).with_state(tmp_path / "masks.parquet")


def test_a_lost_file_of_cuts_is_missed(run: Run, tmp_path: Path) -> None:
    query, pieces = all_red(Queue(run))
    row = np.array([query.row])
    for cuts in ({}, {query.row: Cut.of(pieces.ravel(), [0, 1])}):
        state = run.masks(0).mix(row, 1, cuts)
        state.save_state(tmp_path / "masks.parquet")
        assert run.masks(0).with_state(tmp_path / "masks.parquet").cuts == state.cuts
        (tmp_path / "cuts.json").unlink()
        with pytest.raises(FileNotFoundError, match=r"cuts\.json"):
            run.masks(0).with_state(tmp_path / "masks.parquet")
    run.masks(0).save_state(tmp_path / "masks.parquet")
    assert not (tmp_path / "cuts.json").exists() and run.masks(0).with_state(tmp_path / "masks.parquet").cuts == {}


# ------------------------------------------------------------------------------------------------ how it is cut
def cutting_of(run: Run) -> Cutting:
    queue = Queue(run)
    split, _ = training_images(run)
    query = queue.find("a", 1)
    assert query is not None
    return Cutting(MaskPictures(queue.masks, split), query)


@pytest.mark.parametrize("wanted", [0, 2, 6, 20, 500])
def test_borders_in_the_picture_part_the_pieces(run: Run, wanted: int) -> None:
    cutting = cutting_of(run)
    cutting.along_borders(wanted)
    pieces = cutting.in_image()
    assert PIECES[0] <= cutting.count <= 2 * PIECES[1] and (pieces >= 0).all()
    assert set(np.unique(pieces)) == {*range(cutting.count)}
    if wanted >= 6:  # hardly any has both colours
        blue = np.arange(60) >= 20
        both = [min((pieces[:, blue] == piece).sum(), (pieces[:, ~blue] == piece).sum()) for piece in np.unique(pieces)]
        assert sum(both) <= 0.05 * pieces.size


def test_a_line_parts_what_it_crosses(run: Run) -> None:
    cutting = cutting_of(run)
    with pytest.raises(ValueError, match="parts nothing"):
        cutting.along_line([(0.1, 0.5), (0.2, 0.5)])
    for wrong in ([(0.1, 0.5)], [(float("nan"), 0.5), (1, 1)], [(1,)], "line"):
        with pytest.raises((ValueError, TypeError)):
            cutting.along_line(wrong)
    cutting.along_line([(1 / 3, -0.1), (1 / 3, 1.1)])
    pieces = cutting.in_image()
    assert cutting.count == 2 and (pieces >= 0).all()
    assert (pieces == (np.arange(60) >= 20)).mean() > 0.97
    cutting.along_line([(0.0, 0.5), (0.32, 0.5)])  # the left piece again
    pieces = cutting.in_image()
    assert cutting.count == 3 and len(np.unique(pieces[:, 25:])) == 1 and pieces[5, 5] != pieces[35, 5]


def test_a_line_that_leads_far_out_cuts_where_it_was_drawn(run: Run) -> None:
    cutting = cutting_of(run)
    cutting.along_line([(0.0, 0.5), (9.0, 0.9)])
    pieces, rows = cutting.in_image(), np.arange(40)[:, None]
    assert (pieces == (rows >= 20)).mean() > 0.93
    with pytest.raises(ValueError, match="not far from the picture"):
        cutting.along_line([(0.0, 0.5), (1e18, 0.9)])


def test_a_thin_mask_in_a_large_image_can_be_cut(run: Run) -> None:
    masks, objects = run.masks(0), np.zeros((1500, 1500), np.int32)
    objects[701, 10:1400] = 1
    thin = a2lc.masks.MaskSet.from_maps(masks.classes, ["a"], {"a": objects}, {"a": {1: 0}})
    cutting = Cutting(MaskPictures(thin, None), a2lc.human.Query(0, 0, "a", 1, 0, 0.0, 1390))
    cutting.along_line([(0.5, 0.0), (0.5, 1.0)])
    pieces = cutting.in_image()
    assert (pieces >= 0).sum() == 1390 and set(np.unique(pieces)) == {-1, 0, 1}


def test_pieces_get_ids_that_a_png_holds(run: Run) -> None:
    masks, objects = run.masks(0), np.zeros((40, 60), np.int32)
    objects[:20], objects[20:] = 65535, 7
    large = a2lc.masks.MaskSet.from_maps(masks.classes, ["a"], {"a": objects}, {"a": {65535: 0, 7: 1}})
    cut = Cut.of(np.arange(1200) // 400, [0, 1, 0])
    parted = in_pieces(large.mix(np.array([large.row("a", 65535)]), 1, {large.row("a", 65535): cut}))
    assert parted.table["mask_id"].tolist() == [1, 2, 3, 7]
    assert np.bincount(parted.object_map("a").ravel()).tolist()[1:] == [400, 400, 400, 0, 0, 0, 1200]


def test_a_mask_of_a_few_pixels(run: Run) -> None:
    masks = run.masks(0)
    objects = np.zeros((40, 60), np.int32)
    objects[3, 4], objects[10, 10:12] = 1, 2
    small = a2lc.masks.MaskSet.from_maps(masks.classes, ["a"], {"a": objects}, {"a": {1: 0, 2: 1}})
    split, _ = training_images(run)
    pictures, query = MaskPictures(small, split), Queue(run).queries[0]
    one = Cutting(pictures, a2lc.human.Query(0, 0, "a", 1, 0, 0.0, 1))
    with pytest.raises(ValueError, match="one pixel"):
        one.along_borders(4)
    two = Cutting(pictures, a2lc.human.Query(0, 1, "a", 2, 1, 0.0, 2))
    two.along_borders(4)
    assert two.count == 2 and sorted(two.in_image()[10, 10:12]) == [0, 1] and query is not None


def test_the_state_behind_the_page(run: Run) -> None:
    state = AnnotatorState(run)
    query, _ = all_red(state.queue)
    with pytest.raises(ValueError, match="no mask is being cut"):
        state.answer_pieces(["red", "blue"])
    assert "pieces" in state.cut(query, pieces=2)
    assert state.view()["cut"] == [state.cutting.number, state.cutting.count] and state.query == query
    state.cut(query, line=[(1 / 3, 0.0), (1 / 3, 1.0)])
    assert state.view()["cut"][1] == 2 and state.cutting.drawn
    with pytest.raises(ValueError, match="in other pieces by now"):
        state.answer_pieces(["red", "blue"], state.cutting.number - 1)
    with pytest.raises(ValueError, match="at least two pieces"):
        state.answer_pieces(["red"])
    assert "cut in 2 pieces" in state.answer_pieces(["red", "blue"]) and state.cutting is None
    assert state.query != query and state.undo().startswith("Mask") and state.query.mask_id == query.mask_id
    state.cut(query, pieces=4)
    assert state.leave_whole() == "" and state.view()["cut"] is None
