"""One's own labels: cut into masks, corrected, and written back without touching anything else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, PngImagePlugin
from small_runs import files_of, network, seeded
from typer.testing import CliRunner

import a2lc
from a2lc import Classes, Experiment, Run, load_dataset
from a2lc.cli import app
from a2lc.files import LabelFile, read_label_png, write_text
from a2lc.files.png import SIGNATURE, with_pixels
from a2lc.files.png import png_chunk as packed
from a2lc.files.png import png_chunks as chunks
from a2lc.human import Queue, next_round
from a2lc.human.exports import export_coco, export_png, export_voc, run_lengths
from a2lc.human.write_back import CHANGES, apply_changes, revert_changes, write_back, write_changes
from a2lc.pseudo_labels.own_labels import cut, own_label_masks
from a2lc.stages.names import LABEL_HASHES

SIZE = (48, 64)
NAMES = ("grass", "rock", "water")
FIELDS = {
    "dataset": "folder",
    "seed": seeded(),
    "annotator": "human",
    "pseudo_labels": {"kind": "own_labels"},
    "rounds": 1,
    "budget": 5,
    "lcm": False,
    "segmenter": network(iterations=2, batch_size=2),
}
MODES = ("P", "P4", "L", "I;16", "P", "L")


def label_image(ids: np.ndarray, mode: str) -> tuple[Image.Image, dict]:
    """A label picture as different programs write it, and what is said when it is saved."""
    if mode == "I;16":
        return Image.fromarray(ids.astype(np.uint16)), {}
    if mode == "L":
        return Image.fromarray(ids), {}
    picture = Image.fromarray(ids)
    picture.putpalette(np.random.default_rng(1).integers(0, 256, 16 * 3 if mode == "P4" else 768).tolist())
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "drawn by hand")
    return picture, {"pnginfo": info, "transparency": 1, "dpi": (72, 72)} | ({"bits": 4} if mode == "P4" else {})


def draw(root: Path) -> Path:
    """Six images of three classes; labels in several kinds of PNG, some with void, one without any region at all."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("grass 30 160 30\nrock 120 120 120\nwater 20 60 200\n")
    (root / "dataset.yaml").write_text("correct: train  # without the labels of val.txt\n")
    (root / "val.txt").write_text("s4\n")  # without ground truth
    for i, mode in enumerate(MODES):
        ids = np.zeros(SIZE, np.uint8)
        ids[:, 32:] = 1
        ids[8:24, 8:24] = 2
        ids[30:40, 40:60] = 2 if mode == "P4" else i % 2 * 255
        if i == 5:
            ids[:] = 255
        colours = np.array([[30, 160, 30], [120, 120, 120], [20, 60, 200], [0, 0, 0]])[np.minimum(ids, 3)]
        image = np.clip(colours + rng.normal(0, 12, (*SIZE, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(root / "images" / f"s{i}.jpg")
        picture, options = label_image(ids, mode)
        picture.save(root / "labels" / f"s{i}.png", **options)
    return root


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on such a dataset: five masks answered, one of them confirmed, one void."""
    folder = tmp_path_factory.mktemp("own")
    config = Experiment(**FIELDS, root=draw(folder / "data"))
    run = a2lc.run(config, folder / "runs", device="cpu", progress=False)
    queue = Queue(run)
    for position, query in enumerate(queue.queries):
        queue.answer(("confirm", "void", *[(query.label + 1) % 3] * 3)[position])
    return next_round(run, device="cpu", progress=False)


def read_ids(data: bytes) -> np.ndarray:
    return LabelFile(data, "label file").ids()


def with_ids(data: bytes, ids: np.ndarray) -> bytes:
    return LabelFile(data, "label file").with_ids(ids)


def header(data: bytes) -> tuple[int, ...]:
    """Width, height, bit depth, colour type of a PNG."""
    return struct.unpack(">IIBB", data[16:26])


def without_pixels(data: bytes) -> bytes:
    return re.sub(rb"....IDAT.*(?=....IEND)", b"", data, flags=re.DOTALL)


# ------------------------------------------------------------------------------------------------ a run on own labels
def test_no_ground_truth_is_needed(answered: Run) -> None:
    assert answered.finished and answered.finished_rounds == 1
    assert answered.summary["clicks"].tolist() == [0, 5] and answered.summary["data_miou"].isna().all()
    metrics = answered.metrics(1)
    assert metrics["data_miou"] is None and metrics["model_miou"] is None and metrics["lcm_oa_before"] is None
    with pytest.raises(ValueError, match="has no ground truth, so neither an oracle nor Data mIoU is possible"):
        config = Experiment(**FIELDS | {"annotator": "oracle", "root": answered.config.root})
        a2lc.run(config, answered.path.parent, device="cpu", progress=False)


def test_connected_regions_are_masks_and_void_is_none(answered: Run) -> None:
    split = load_dataset("folder", answered.config.root).train
    masks = answered.masks(0)
    for name in masks.names:
        labels = split.pseudo_labels(name)
        assert (masks.label_map(name) == labels).all() and ((masks.object_map(name) == 0) == (labels == 255)).all()
    assert len(range(*masks.rows("s5").indices(len(masks)))) == 0
    assert len(masks.table[masks.table["image"] == "s1"]) == 4


def test_small_regions_belong_to_no_mask(tmp_path: Path) -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[0, 0:3], labels[5, 5], labels[9, 9] = 1, 2, 255
    classes = Classes(NAMES, np.zeros((3, 3), np.uint8))
    objects = np.arange(1, 101).reshape(10, 10)
    assert cut(labels, objects, classes, 2)[1] == {}
    every, found = cut(labels, objects, classes, 1)
    assert len(found) == 99 and every.dtype == np.uint8 and every[9, 9] == 0 and found[1] == 1 and found[56] == 2
    blocks = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((5, 5), int))
    assert cut(labels, blocks, classes)[1] == {1: 0, 2: 0, 3: 0, 4: 0}
    labels[:5, :5] = [0, 1, 1, 2, 2]
    assert cut(labels, blocks, classes)[1][1] == 1, "ties go to the lower class"


def test_areas_without_a_label_are_masks_where_wanted(answered: Run) -> None:
    """Then every pixel belongs to a mask, and the others are cut as before."""
    data = load_dataset("folder", answered.config.root)
    plain, every = (
        own_label_masks(data.train, data.classes, void=void, min_area=1, progress=False) for void in (False, True)
    )
    of_class = every.table["label"] < 3
    assert set(every.table["label"][~of_class]) == {255} and (
        every.table["label"][of_class].tolist() == plain.table["label"].tolist()
    )
    for name in every.names:
        labels, objects = data.train.pseudo_labels(name), every.object_map(name)
        assert (objects > 0).all() and (every.label_map(name) == labels).all()
    labels, blocks = np.zeros((10, 10), np.uint8), np.kron([[1, 2], [0, 3]], np.ones((5, 5), int))
    labels[:3], labels[5:, 5:] = 255, 255
    objects, label_of = cut(labels, blocks, data.classes, 1, void=True)
    assert label_of == {1: 0, 2: 0, 4: 255, 5: 255, 6: 255}, "each in its part with a label and its part without"
    assert (objects[3:5, :5] == 1).all() and (objects[:3, :5] == 4).all() and (objects[5:, :5] == 0).all()
    with pytest.raises(ValueError, match="kind: 'simulated' takes no void"):
        Experiment(pseudo_labels={"void": True})


@pytest.mark.parametrize("given", ["slic", "object_maps"])
def test_other_masks_carry_the_most_frequent_label(given: str, answered: Run, tmp_path: Path) -> None:
    data = load_dataset("folder", answered.config.root)
    settings = Experiment(
        pseudo_labels={"kind": "superpixels", "superpixels": {"algorithm": "slic", "side": 12}}, method="spx"
    ).pseudo_labels.superpixels
    for name in data.train.names:
        Image.fromarray(np.kron(np.arange(1, 13).reshape(3, 4), np.ones((16, 16))).astype(np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    given_masks = {"superpixel_settings": settings} if given == "slic" else {"object_maps": tmp_path}
    masks = own_label_masks(data.train, data.classes, **given_masks, min_area=8, progress=False)
    for name in masks.names:
        labels, objects = data.train.pseudo_labels(name), masks.object_map(name)
        assert (objects[labels == 255] == 0).all()
        for row in masks.table[masks.table["image"] == name].itertuples():
            inside = labels[objects == row.mask_id]
            assert row.area == len(inside) >= 8 and (inside == row.label).sum() == np.bincount(inside).max()
    Image.fromarray(np.ones((3, 3), np.uint8)).save(tmp_path / "s2.png")
    with pytest.raises(ValueError, match=r"s2\.png: object map is \(3, 3\), the labels \(48, 64\)"):
        own_label_masks(data.train, data.classes, object_maps=tmp_path, progress=False)


def test_settings_that_contradict_are_refused() -> None:
    for fields in ({"labels": "here"}, {"object_maps": "here", "superpixels": {"side": 8}}):
        with pytest.raises(
            ValueError, match=r"pseudo_labels\.kind: 'own_labels' takes object_maps or superpixels or none, no labels"
        ):
            Experiment(pseudo_labels={"kind": "own_labels"} | fields)


def test_labels_that_are_missing_or_have_changed_are_named(answered: Run, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(answered.config.root, root)
    moved = Run(answered.path, answered.config.model_copy(update={"root": root}))
    assert len(write_changes(moved, tmp_path / "moved")) == 4, "the same files elsewhere"
    names = pd.read_csv(tmp_path / "moved" / CHANGES)["image"].unique()
    label, gone = (root / "labels" / f"{name}.png" for name in names[:2])
    ids = read_label_png(label)
    label.write_bytes(with_ids(label.read_bytes(), np.where(ids == 0, 1, ids)))
    gone.unlink()
    for name in names[2:]:  # an image that was added since is in nobody's way
        for old in (root / "images" / f"{name}.jpg", root / "labels" / f"{name}.png"):
            shutil.copy(old, old.with_stem("added"))
    with pytest.warns(UserWarning, match=rf"1 images have no label and are left out: {names[1]}; train\.txt"):
        told = rf"^2 label files cannot .* or have changed .* left alone, .*{names[0]}\.png: has other .*{names[1]}"
        with pytest.raises(ValueError, match=told):
            write_back(moved, tmp_path / "out")
    assert {*pd.read_csv(tmp_path / "out" / "changes" / CHANGES)["image"]} == {*names[2:]}
    for name in names[2:]:
        assert (read_label_png(tmp_path / "out" / "labels" / f"{name}.png") == answered.masks().label_map(name)).all()
    assert (tmp_path / "out" / "labels" / label.name).read_bytes() == label.read_bytes()
    (root / "train.txt").write_text(f"{names[1]}\n{names[0]}\n")
    with pytest.raises(ValueError, match=rf"{names[1]}: has no labels to correct \(of dataset 'folder': labels/"):
        a2lc.run(moved.config, tmp_path / "runs", device="cpu", progress=False)


def test_a_run_that_kept_no_hashes_is_written_back_where_nothing_changed(answered: Run, tmp_path: Path) -> None:
    """Runs of earlier versions."""
    shutil.copytree(answered.path.parent, tmp_path / "runs")
    for kept in [*(tmp_path / "runs").rglob(LABEL_HASHES)]:
        kept.unlink()
    root = tmp_path / "data"
    shutil.copytree(answered.config.root, root)
    moved = Run(tmp_path / "runs" / answered.path.name, answered.config.model_copy(update={"root": root}))
    assert len(write_changes(moved, tmp_path / "changes")) == 4
    label = root / "labels" / "s0.png"
    label.write_bytes(with_ids(label.read_bytes(), 2 - read_label_png(label) % 3))
    with pytest.raises(ValueError, match=r"data: these are not the labels that folder-data-a2lc-s\d+-.* began"):
        write_changes(moved, tmp_path / "others")


# ------------------------------------------------------------------------------------------------ the list of changes
def test_the_list_of_changes_equals_the_answers(answered: Run, tmp_path: Path) -> None:
    found = write_changes(answered, tmp_path / "changes")
    asked = answered.queries(1)
    changed = asked[asked["label"] != asked["answer"]]
    assert len(found) == len(changed) == 4
    names = [*NAMES, *["void"] * 253]
    wanted = {(q.image, q.mask_id): (names[q.label], names[q.answer]) for q in changed.itertuples()}
    table = pd.read_csv(tmp_path / "changes" / CHANGES)
    assert {(r.image, r.mask_id): (r.before, r.after) for r in table.itertuples()} == wanted
    assert (table["source"] == "annotator").all() and (table["round"] == 1).all() and table["confidence"].isna().all()
    masks = answered.masks()
    for row in table.itertuples():
        left, top, right, bottom = map(int, row.box.split())
        inside = masks.object_map(row.image) == row.mask_id
        assert inside.sum() == row.area == inside[top:bottom, left:right].sum()
        assert (
            row.sha256
            == hashlib.sha256((answered.config.root / "labels" / f"{row.image}.png").read_bytes()).hexdigest()
        )
        with Image.open(tmp_path / "changes" / "overlays" / f"{row.image}.png") as overlay:
            assert overlay.width >= 2 * SIZE[1] and overlay.height > SIZE[0]
    with pytest.raises(ValueError, match="expected an empty folder for the changes"):
        write_changes(answered, tmp_path / "changes")


def test_changes_that_could_not_be_written_leave_nothing(
    answered: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "changes"
    out.mkdir()

    def fail(*_: object) -> None:
        raise OSError("a picture is damaged")

    with monkeypatch.context() as patched:
        patched.setattr("a2lc.human.write_back.draw_changes", fail)
        with pytest.raises(OSError, match="a picture is damaged"):
            write_changes(answered, out)
    assert not list(out.iterdir())
    assert len(write_changes(answered, out)) and (out / CHANGES).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["changes"]


def test_a_corrected_copy(answered: Run, tmp_path: Path) -> None:
    """Only pixels of changed masks differ; all else is byte for byte the same, and the files are of the same kind."""
    root, out = answered.config.root, tmp_path / "corrected"
    before = files_of(root)
    found = write_back(answered, out)
    after = files_of(out)
    changed = {f"labels/{name}.png" for name in found["image"]}
    assert files_of(root) == before, "the dataset itself is as it was"
    assert {name for name in before if before[name] != after[name]} == changed and len(changed) >= 2
    assert set(after) - set(before) == {name for name in after if name.startswith("changes/")}
    masks = answered.masks()
    for name in masks.names:
        key = f"labels/{name}.png"
        old, new = read_label_png(root / key), read_label_png(out / key)
        assert old.dtype == new.dtype and (new == masks.label_map(name)).all()
        with Image.open(root / key) as one, Image.open(out / key) as two:
            assert (one.mode, one.size, one.info) == (two.mode, two.size, two.info)
            if 255 not in new or 255 in old:
                assert one.getpalette() == two.getpalette() and header(before[key]) == header(after[key])
                assert without_pixels(before[key]) == without_pixels(after[key])
    assert load_dataset("folder", out).train.names == masks.names
    for wrong, message in ((out, "exists already"), (root / "copy", "lies in the dataset")):
        with pytest.raises(ValueError, match=message):
            write_back(answered, wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["corrected"]
    with pytest.raises(OSError, match=r"copy: cannot be written \(.+\)"):
        write_back(answered, out / "classes.txt" / "copy")  # a file where a folder should be


def test_apply_and_revert(answered: Run, tmp_path: Path) -> None:
    root, changes = tmp_path / "data", tmp_path / "changes"
    shutil.copytree(answered.config.root, root)
    before = files_of(root)
    files = write_changes(answered, changes)["image"].nunique()
    assert revert_changes(changes, root) == 0 and files_of(root) == before
    assert apply_changes(changes, root) == files and apply_changes(changes, root) == 0
    applied = files_of(root)
    assert all(
        (read_label_png(root / "labels" / f"{n}.png") == answered.masks().label_map(n)).all()
        for n in answered.masks().names
    )
    assert revert_changes(changes, root) == files and files_of(root) == before
    first = pd.read_csv(changes / CHANGES)["image"][0]
    (root / "labels" / f"{first}.png").write_bytes(applied[f"labels/{first}.png"])  # killed in the middle
    assert apply_changes(changes, root) == files - 1 and files_of(root) == applied


def test_only_the_rows_that_a_reviewer_left_are_applied(answered: Run, tmp_path: Path) -> None:
    root, changes = tmp_path / "data", tmp_path / "changes"
    shutil.copytree(answered.config.root, root)
    before = files_of(root)
    write_changes(answered, changes)
    table = pd.read_csv(changes / CHANGES).iloc[:1]
    after = next(name for name in NAMES if name not in table[["before", "after"]].to_numpy())
    table.assign(after=after).to_csv(changes / CHANGES, index=False)
    assert apply_changes(changes, root) == 1
    name, mask_id = table[["image", "mask_id"]].iloc[0]
    inside = answered.masks().object_map(name) == mask_id
    ids = read_label_png(root / "labels" / f"{name}.png")
    assert (ids[inside] == NAMES.index(after)).all()
    assert (ids[~inside] == answered.masks(0).label_map(name)[~inside]).all()
    assert revert_changes(changes, root) == 1 and files_of(root) == before


def test_files_that_the_list_was_not_made_from_are_never_touched(answered: Run, tmp_path: Path) -> None:
    root, changes = tmp_path / "data", tmp_path / "changes"
    shutil.copytree(answered.config.root, root)
    names = write_changes(answered, changes)["image"].unique()
    label = root / "labels" / f"{names[-1]}.png"
    original = label.read_bytes()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(label)
    before, others = files_of(root), len(names) - 1
    told = rf"1 files are not the label files that the list was made from.* {others} others were ch.*{names[-1]}\.png"
    with pytest.raises(ValueError, match=told):
        apply_changes(changes, root)
    after = files_of(root)
    assert {name for name in after if after[name] != before[name]} == {f"labels/{name}.png" for name in names[:-1]}
    with pytest.raises(
        ValueError, match=f"1 files are not what these changes make.* and {others} others were put back"
    ):
        revert_changes(changes, root)
    assert files_of(root) == before
    label.unlink()
    with pytest.raises(ValueError, match=rf"alone, and {others} others were .*: {names[-1]}, which has no label file"):
        apply_changes(changes, root)
    label.write_bytes(original)
    (changes / "before" / f"{names[0]}.png").write_bytes(original[:-1])
    with pytest.raises(ValueError, match=rf"sha256 is not that of .*{names[0]}\.png"):
        apply_changes(changes, root)


def test_labels_that_two_images_share_are_never_touched(answered: Run, tmp_path: Path) -> None:
    """What is said of one image must not change another's labels."""
    root, changes = tmp_path / "data", tmp_path / "changes"
    shutil.copytree(answered.config.root, root)
    name = write_changes(answered, changes)["image"].iloc[0]
    table = pd.read_csv(changes / CHANGES, dtype={"image": str})
    table[table["image"] == name].to_csv(changes / CHANGES, index=False)
    other = root / "labels" / f"{next(n for n in answered.masks().names if n != name)}.png"
    other.unlink()
    other.symlink_to(f"{name}.png")
    before = files_of(root)
    with pytest.raises(ValueError, match=rf"{name}\.png, a link to the labels of '{other.stem}', too"):
        apply_changes(changes, root)
    assert files_of(root) == before


def test_a_folder_of_the_name_of_the_changes_is_refused(tmp_path: Path) -> None:
    root = draw(tmp_path / "data")
    (root / "labels").rename(root / "changes")
    (root / "dataset.yaml").write_text("labels: changes\ncorrect: train\n")
    run = a2lc.run(Experiment(**FIELDS, root=root), tmp_path / "runs", device="cpu", progress=False)
    Queue(run).answer(1)
    run = next_round(run, enough=True, device="cpu", progress=False)
    with pytest.raises(ValueError, match="data/changes: the copy keeps its changes in a folder of this name"):
        write_back(run, tmp_path / "corrected")
    assert not (tmp_path / "corrected").exists()


def test_bad_rows_of_a_reviewed_list_are_named(answered: Run, tmp_path: Path) -> None:
    root, changes = tmp_path / "data", tmp_path / "changes"
    shutil.copytree(answered.config.root, root)
    write_changes(answered, changes)
    good = pd.read_csv(changes / CHANGES, dtype=str, keep_default_na=False)
    bad = good.copy()
    bad.loc[0, "image"], bad.loc[1, "after"], bad.loc[2, "mask_id"] = "nowhere", "raod", "x"
    bad.to_csv(changes / CHANGES, index=False)
    with pytest.raises(ValueError, match="3 bad rows") as raised:
        apply_changes(changes, root)
    assert re.search(
        r"line 2: unknown image 'nowhere'\n.*line 3: unknown class 'raod'\n.*line 4: mask_id: ", str(raised.value)
    )
    twice = pd.concat([good, good.iloc[[0, 0]]], ignore_index=True)  # as of another image, and as another class
    twice.loc[len(good), "sha256"] = "0" * 64
    twice.loc[len(good) + 1, "after"] = next(name for name in (*NAMES, "void") if name != good.loc[0, "after"])
    twice.to_csv(changes / CHANGES, index=False)
    with pytest.raises(ValueError, match=r"2 bad rows(.|\n)*sha256 is not(.|\n)*expected one change, found two"):
        apply_changes(changes, root)
    assert files_of(root) == files_of(answered.config.root)
    good.loc[0, "mask_id"] = "4096"
    good.to_csv(changes / CHANGES, index=False)
    with pytest.raises(ValueError, match=r"changes\.csv has changes for mask 4096, which this image does not have"):
        apply_changes(changes, root)
    assert files_of(root) == files_of(answered.config.root)


def test_a_run_on_other_labels_has_nothing_to_write_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a run with pseudo_labels of kind 'own_labels', found 'simulated'"):
        write_changes(Run(tmp_path, Experiment()), tmp_path / "changes")


@pytest.mark.parametrize(
    "params", ["instant: {features: colour}", "method: a2lc\nsegmenter: {iterations: 2, batch_size: 2}"]
)
def test_from_folder_to_corrected_copy_on_the_command_line(params: str, tmp_path: Path) -> None:
    root, runs = draw(tmp_path / "data"), tmp_path / "runs"
    (tmp_path / "p.yaml").write_text(f"{params}\nlcm: false\n")
    options = ["--budget", "3", "--rounds", "1", "--params", str(tmp_path / "p.yaml"), "--runs-dir", str(runs)]
    begun = CliRunner().invoke(app, ["correct", str(root), *options, "--device", "cpu"])
    assert begun.exit_code == 0, begun.output
    assert "round 1 of 1 waits for answers" in begun.output and "a2lc queue" in begun.output
    folder = next(runs.glob("folder-*"))
    early = CliRunner().invoke(app, ["write-back", str(folder), str(tmp_path / "early")])
    assert "early: a copy without changes; round 1 of 1 waits for answers" in early.output
    CliRunner().invoke(app, ["queue", str(folder), "--export", str(tmp_path / "q.csv")])
    table = pd.read_csv(tmp_path / "q.csv", dtype=str, keep_default_na=False)
    table.assign(answer=["rock" if label != "rock" else "water" for label in table["label"]]).to_csv(
        tmp_path / "q.csv", index=False
    )
    CliRunner().invoke(app, ["queue", str(folder), "--import", str(tmp_path / "q.csv")])
    between = CliRunner().invoke(app, ["write-back", str(folder), str(tmp_path / "between")])
    assert "not in these labels yet. To let it count: a2lc next" in between.output
    assert "not in these labels yet" not in early.output
    ended = CliRunner().invoke(app, ["next", str(folder), "--device", "cpu"])
    assert "finished after round 1" in ended.output and "a2lc write-back" in ended.output
    copied = CliRunner().invoke(app, ["write-back", str(folder), str(tmp_path / "out")])
    assert "3 masks changed in" in copied.output
    there = [str(tmp_path / "out" / "changes")]
    reverted = CliRunner().invoke(app, ["changes", *there, "--revert", str(tmp_path / "out")])
    assert "put back" in reverted.output
    shutil.rmtree(tmp_path / "out" / "changes")
    assert files_of(tmp_path / "out") == files_of(root)
    made = CliRunner().invoke(app, ["changes", str(tmp_path / "changes"), "--run", str(folder)])
    assert "3 changes in" in made.output
    applied = CliRunner().invoke(app, ["changes", str(tmp_path / "changes"), "--apply", str(root)])
    assert "changed" in applied.output
    assert "expected one of" in str(CliRunner().invoke(app, ["changes", str(tmp_path / "changes")]).exception)
    coco = CliRunner().invoke(app, ["export", str(folder), str(tmp_path / "coco.json"), "--format", "coco"])
    assert coco.exit_code == 0 and "of 5 images" in coco.output
    assert json.loads((tmp_path / "coco.json").read_text())["images"][0]["file_name"] == "s0.jpg"
    with pytest.warns(UserWarning, match="its label file has changed since the run began"):  # by what was applied
        done = CliRunner().invoke(app, ["export", str(folder), str(tmp_path / "voc"), "--format", "voc"])
        plain = CliRunner().invoke(app, ["export", str(folder), str(tmp_path / "png")])
    assert done.exit_code == 0
    assert "object maps in" in plain.output and (tmp_path / "png" / "mask_jpg" / "s0.png").is_file()


def test_correct_keeps_the_number_of_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(config: Experiment, runs_dir: Path, device: str) -> Run:
        return Run.create(config, runs_dir, {"data": {}})

    def typed(*options: str) -> Any:
        return CliRunner().invoke(app, ["correct", str(tmp_path), "--runs-dir", str(tmp_path / "runs"), *options])

    monkeypatch.setattr("a2lc.rounds.run", create)
    assert "round 0 of 3" in typed("--rounds", "3").output
    (folder,) = (tmp_path / "runs").glob("folder-*")
    assert typed().output == typed("--rounds", "3").output, "as many as the run has, and nothing to tell"
    assert f"{folder}: 4 rounds from now on, 3 before\n" in typed("--rounds", "4").output
    assert "round 0 of 4" in typed().output
    (tmp_path / "fields.yaml").write_text("rounds: 2")
    for fewer in (typed("--rounds", "2"), typed("--params", str(tmp_path / "fields.yaml"))):
        assert "has 4, expected as many or more, found 2" in str(fewer.exception)
    assert Run.open(folder).config.rounds == 4
    (tmp_path / "fields.yaml").write_text("rounds: 7\nbudget: 3")
    assert "round 0 of 5" in typed("--params", str(tmp_path / "fields.yaml"), "--rounds", "5").output, "options win"
    (tmp_path / "fields.yaml").write_text("pseudo_labels: {kind: own_labels}")
    both = typed("--params", str(tmp_path / "fields.yaml"), "--masks", "slic")
    assert "has pseudo_labels, so expected neither --masks nor --side" in str(both.exception)


# ------------------------------------------------------------------------------------------------ PNG
IDS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=19), elements=st.integers(0, 255))


@settings(deadline=None)
@given(ids=IDS, mode=st.sampled_from(["1", "L", "L2", "L4", "P", "P1", "P2", "P4", "I;16"]), seed=st.integers(0, 99))
def test_any_ids_in_any_kind_of_png(ids: np.ndarray, mode: str, seed: int) -> None:
    """What is written is read again; mode, depth and all other chunks stay where the ids fit."""
    rng, bits = (
        np.random.default_rng(seed),
        {"1": 1, "P1": 1, "L2": 2, "P2": 2, "L4": 4, "P4": 4, "I;16": 16}.get(mode, 8),
    )
    old = rng.integers(0, min(2**bits, 256), ids.shape).astype(np.uint8)
    data = encoded(old, mode, bits)
    if bits < 8 and seed % 2:
        ids = ids % 2**bits
    new = with_ids(data, ids)
    assert (read_ids(data) == old).all() and (read_ids(new) == ids).all()
    assert with_ids(new, ids) == new
    if ids.max() < 2**bits:
        assert header(new) == header(data) and without_pixels(new) == without_pixels(data)
    else:
        assert header(new)[2] == 8 and header(new)[3] == header(data)[3]
    if mode.startswith("P"):  # an id without a colour would be an error
        at = new.index(b"PLTE")
        assert struct.unpack(">I", new[at - 4 : at])[0] >= 3 * (int(ids.max()) + 1)
        assert new[at + 4 :].startswith(data[data.index(b"PLTE") + 4 :][: 3 * 2 ** min(bits, 8)])


def encoded(ids: np.ndarray, mode: str, bits: int) -> bytes:
    import io

    file = io.BytesIO()
    if mode == "1":
        Image.fromarray(ids.astype(bool)).save(file, "PNG")
    elif mode in ("L2", "L4"):  # grey, which Pillow writes with 8 bits only: a palette taken away
        kept = [chunk for chunk in chunks(encoded(ids, "P", bits)) if chunk[0] not in (b"PLTE", b"tRNS")]
        (kind, content), *others = kept
        grey = (kind, content[:9] + b"\0" + content[10:])
        file.write(SIGNATURE + b"".join(packed(*chunk) for chunk in (grey, *others)))
    elif mode.startswith("P"):
        picture = Image.fromarray(ids)
        picture.putpalette(list(range(3 * 2**bits)) if bits < 8 else [*range(256)] * 3)
        picture.save(file, "PNG", bits=bits, transparency=1)
    else:
        Image.fromarray(ids if mode == "L" else ids.astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


def test_large_ids_in_16_bits_and_what_is_no_label_png() -> None:
    ids = np.array([[0, 65535], [256, 255]])
    data = encoded(np.zeros((2, 2), np.uint8), "I;16", 16)
    assert (read_ids(with_ids(data, ids)) == ids).all()
    with pytest.raises(ValueError, match="id 65536 does not fit into 16 bits"):
        with_ids(data, ids + 1)
    with pytest.raises(ValueError, match="id 65535 does not fit into 8 bits"):
        with_ids(encoded(np.zeros((2, 2), np.uint8), "L", 8), ids)
    with pytest.raises(ValueError, match=r"expected ids of 2 x 2 pixels, found \(3, 2\)"):
        with_ids(data, np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="expected a PNG file"):
        with_pixels(b"BM", ids)
    with pytest.raises(ValueError, match="damaged or truncated PNG"):
        with_pixels(data[:-12], ids)
    with pytest.raises(ValueError, match="damaged or truncated image"):
        read_ids(data[:40])


# ------------------------------------------------------------------------------------------------ other formats
@settings(deadline=None)
@given(index=hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 3)))
def test_run_lengths_are_those_of_coco(index: np.ndarray) -> None:
    """Decoded as COCO says: runs of 0 and 1 in turn, columns first."""
    present = np.unique(index[index >= 0])
    index = np.where(index >= 0, np.searchsorted(present, index), -1)
    found = run_lengths(index)
    assert len(found) == len(present)
    for position, runs in enumerate(found):
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        assert (flat.reshape(index.shape, order="F") == (index == position)).all()
        assert (runs[1:] > 0).all()


def test_coco(answered: Run, tmp_path: Path) -> None:
    masks = answered.masks()
    counts = export_coco(masks, tmp_path / "coco.json")
    found = json.loads((tmp_path / "coco.json").read_text())
    labelled = masks.table[masks.table["label"] < 3]
    assert counts == {"images": 5, "annotations": len(labelled)} and len(labelled) < len(masks)
    assert [c["name"] for c in found["categories"]] == list(NAMES)
    names = {image["id"]: Path(image["file_name"]).stem for image in found["images"]}
    for annotation, row in zip(found["annotations"], labelled.itertuples(), strict=True):
        runs = annotation["segmentation"]["counts"]
        inside = np.repeat(np.arange(len(runs)) % 2, runs).reshape(annotation["segmentation"]["size"], order="F") == 1
        assert (inside == (masks.object_map(row.image) == row.mask_id)).all()
        down, across = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
        box = [across[0], down[0], across[-1] - across[0] + 1, down[-1] - down[0] + 1]
        assert annotation["bbox"] == box and annotation["area"] == row.area and annotation["iscrowd"] == 0
        assert (names[annotation["image_id"]], annotation["mask_id"]) == (row.image, row.mask_id)
        assert (annotation["category_id"], annotation["source"]) == (row.label + 1, row.source)


@pytest.mark.parametrize(
    ("export", "out", "there"),
    [
        (export_coco, "mine.json", "mine.json"),
        (export_voc, "mine", "mine/ImageSets/Segmentation/train.txt"),
        (export_png, "mine", "mine/notes.txt"),
    ],
)
def test_files_of_a_person_are_never_replaced(export: Any, out: str, there: str, answered: Run, tmp_path: Path) -> None:
    write_text(tmp_path / there, "mine")
    with pytest.raises(FileExistsError, match=f"{out}: is there already, expected a new"):
        export(masks := answered.masks(), tmp_path / out, *([] if export is export_coco else [masks.label_map]))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize(("format", "folder"), [("png", "mask_jpg"), ("voc", "SegmentationClass")])
def test_what_nobody_was_asked_about_is_exported_as_it_came(format: str, folder: str, tmp_path: Path) -> None:
    """Regions too small to be a mask: in a corrected copy they stay, and so they do in other formats."""
    root = draw(tmp_path / "data")
    label = root / "labels" / "s2.png"
    ids = read_label_png(label).astype(np.uint8)
    ids[2:5, 2:6], ids[44, 60] = 1, 255
    Image.fromarray(ids).save(label)
    run = a2lc.run(Experiment(**FIELDS, root=root), tmp_path / "runs", device="cpu", progress=False)
    for query in (queue := Queue(run)).queries:
        queue.answer("confirm", query.position)
    run = next_round(run, device="cpu", progress=False)
    done = CliRunner().invoke(app, ["export", str(run.path), str(tmp_path / "out"), "--format", format])
    assert done.exit_code == 0, done.exception
    for name in run.masks().names:
        exported = read_label_png(tmp_path / "out" / folder / f"{name}.png")
        assert (exported == read_label_png(root / "labels" / f"{name}.png")).all()


def test_voc(answered: Run, tmp_path: Path) -> None:
    masks = answered.masks()
    export_voc(masks, tmp_path, masks.label_map)
    assert (tmp_path / "ImageSets" / "Segmentation" / "train.txt").read_text().split() == list(masks.names)
    assert (tmp_path / "labelmap.txt").read_text().splitlines()[1] == "grass:30,160,30::"
    for name in masks.names:
        with Image.open(tmp_path / "SegmentationClass" / f"{name}.png") as picture:
            assert picture.mode == "P" and picture.getpalette()[:3] == [30, 160, 30]
        assert (read_label_png(tmp_path / "SegmentationClass" / f"{name}.png") == masks.label_map(name)).all()
        assert (read_label_png(tmp_path / "SegmentationObject" / f"{name}.png") == masks.object_map(name)).all()
