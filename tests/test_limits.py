"""Sizes are looked at before memory is taken, numbers are numbers, and what is written to is a file."""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from small_runs import hand_made_run

from a2lc.acquisition import gather_statistics
from a2lc.correction import LCMSettings
from a2lc.correction.lcm import train_lcm
from a2lc.datasets import load_dataset
from a2lc.datasets.base import Classes
from a2lc.files import (
    AppendLog,
    check_plain,
    json_value,
    read_image,
    read_json,
    read_label_png,
    read_parquet,
    read_yaml,
)
from a2lc.files.limits import LIMITS, OPTION, check_limit, limit_of
from a2lc.files.png import SIGNATURE, png_chunk
from a2lc.human.boxes import boxes_of
from a2lc.human.checked_csv import check_rows, read_rows, whole_number
from a2lc.masks import MaskSet
from a2lc.masks.table import areas_of, labels_of, positions_of
from a2lc.runs import RoundFolder
from a2lc.runs.answers import Answer
from a2lc.segmenter.samples import scaled_size
from a2lc.segmenter.training import check_loss, check_weights

HUGE = 2_000_000_000
SAID = {"image": "a", "mask_id": 1, "label": 0, "position": 0, "time": "t", "seconds": 1.5, "source": "person"}


# ---------------------------------------------------------------------------------------------------------- limits
def test_one_option_raises_all_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^x\.csv: expected at most 50,000,000 rows in one table, found 150,000,000"):
        check_limit("rows", 150_000_000, "x.csv")
    monkeypatch.setenv(OPTION, "3")
    check_limit("rows", 150_000_000, "x.csv")
    assert {kind: limit_of(kind) for kind in LIMITS} == {kind: 3 * most for kind, (most, _) in LIMITS.items()}
    for wrong in ("many", "0", "nan", "-1"):
        monkeypatch.setenv(OPTION, wrong)
        with pytest.raises(ValueError, match=f"{OPTION}: expected how many times"):
            limit_of("rows")


def lower(monkeypatch: pytest.MonkeyPatch, kind: str, most: int) -> None:
    monkeypatch.setitem(LIMITS, kind, (most, LIMITS[kind][1]))  # type: ignore[index]


def test_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "x.png")
    lower(monkeypatch, "pixels", 599)
    for read in (read_image, read_label_png):
        with pytest.raises(ValueError, match=rf"x\.png: .*at most 599 pixels in one picture, found 600.*{OPTION}=2"):
            read(tmp_path / "x.png")
    monkeypatch.setenv(OPTION, "2")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)  # Pillow has a limit of its own, which is raised with ours
    assert read_label_png(tmp_path / "x.png").shape == (20, 30)


@pytest.mark.parametrize("of_pillow", [599, 200], ids=["it warns", "it fails"])
def test_pixels_between_the_limit_of_pillow_and_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_pillow: int
) -> None:
    """Ours alone is heard: no warning beside a picture that is taken."""
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", of_pillow)
    assert read_image(tmp_path / "x.png").shape == (20, 30, 3)


def test_a_scale_that_makes_pictures_too_large() -> None:
    assert scaled_size((48, 64), 0.5) == [24, 32]
    with pytest.raises(ValueError, match=r"an image of 48 x 64 at scale 1e\+09: expected at most 134,217,728 pixels"):
        scaled_size((48, 64), 1e9)
    with pytest.raises(ValueError, match="scale: expected a number, found inf"):
        scaled_size((48, 64), float("inf"))


def test_a_small_parquet_file_of_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words are believed before any row is read."""
    pq.write_table(pa.table({"a": np.zeros(10_000)}), tmp_path / "x.parquet", compression="zstd", use_dictionary=False)
    monkeypatch.setattr("a2lc.files.io.pq.read_table", None)
    for kind, most, found in (("rows", 9_999, "10,000"), ("bytes", 70_000, "80,")):
        with monkeypatch.context() as context:
            lower(context, kind, most)
            with pytest.raises(ValueError, match=rf"x\.parquet: .*expected at most {most:,} .*found {found}"):
                read_parquet(tmp_path / "x.parquet")


def test_yaml_in_yaml_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: " + "[" * 60 + "]" * 60)
    with pytest.raises(ValueError, match=r"x\.yaml: .*at most 50 levels of values in values, found 51"):
        read_yaml(tmp_path / "x.yaml")


def test_long_cells_and_long_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("image,answer\na,car\nb," + "x" * 131_073 + "\n")
    with pytest.raises(ValueError, match=r"x\.csv, line 3, answer .*at most 131,071 characters .*found 131,073"):
        read_rows(tmp_path / "x.csv", ("image", "answer"))
    (tmp_path / "y.csv").write_text("mask_id\n7\n" + "9" * 400 + "\n")
    rows = read_rows(tmp_path / "y.csv", ("mask_id",))
    with pytest.raises(ValueError, match=r"y\.csv: 1 bad rows.*\n.*line 3: mask_id: .*found one of 400 digits"):
        check_rows(tmp_path / "y.csv", rows, lambda row: whole_number(row["mask_id"], "mask_id"))


# ------------------------------------------------------------------------------------------------------------- ids
def test_ids_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id of two milliards takes no more memory than another: as a table it would take 16 GB."""
    objects = np.array([[0, 5, 5], [HUGE, HUGE, 7]], np.int32)
    labels = np.array([[2, 0, 0], [1, 1, 2]], np.uint8)
    ids, areas = areas_of(objects, "x")
    assert (ids.tolist(), areas.tolist()) == ([5, 7, HUGE], [2, 1, 2])
    assert labels_of(ids, objects, labels, "x").tolist() == [0, 2, 1]
    assert positions_of(objects, ids).tolist() == [[-1, 0, 0], [2, 2, 1]]
    assert positions_of(objects, ids[:0]).tolist() == [[-1] * 3] * 2
    classes = Classes(("a", "b", "c"), np.zeros((3, 3), np.uint8))
    masks = MaskSet.from_maps(classes, ["x"], {"x": objects}, {"x": {5: 0, 7: 2, HUGE: 1}})
    assert masks.label_map("x").tolist() == [[masks.uncovered, 0, 0], [1, 1, 2]]
    assert boxes_of(masks, np.array([2, 0])).tolist() == [[0, 1, 2, 2], [1, 0, 3, 1]]
    small = np.minimum(objects, 8)  # both ways give the same
    monkeypatch.setattr("a2lc.masks.table.DENSE", 1)
    sparse = areas_of(small, "x"), positions_of(small, np.array([5, 7, 8]))
    monkeypatch.undo()
    dense = areas_of(small, "x"), positions_of(small, np.array([5, 7, 8]))
    assert all((one == other).all() for one, other in zip(sparse[0], dense[0], strict=True))
    assert (sparse[1] == dense[1]).all()


# --------------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity", "[1, {'a': 1e400}]".replace("'", '"')])
def test_numbers_in_json_are_finite(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: damaged JSON \(expected numbers, found"):
        read_json(tmp_path / "x.json")
    assert json_value('{"a": 1.5e3}') == {"a": 1500.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [("seconds", 10**400), ("seconds", -1), ("seconds", True), ("position", -5), ("mask_id", -1), ("seconds", "2")],
)
def test_numbers_of_an_answer(field: str, value: object) -> None:
    Answer.of(SAID)
    with pytest.raises(ValueError, match=f"^{field}: expected a"):
        Answer.of(SAID | {field: value})


@pytest.mark.parametrize("value", ["1e999", "NaN", "9" * 400])
def test_a_number_in_an_answer_that_is_none_is_named_by_its_line(tmp_path: Path, value: str) -> None:
    folder = RoundFolder(tmp_path, 1)
    folder.path.mkdir()
    lines = [json.dumps(SAID), json.dumps(SAID | {"seconds": "@"}).replace('"@"', value), json.dumps(SAID)]
    (folder.path / "answers.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 2: "):
        folder.read_answers()


def test_a_score_that_is_no_number_is_named(tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    scores = run.folder(1).scores()
    run.folder(1).write_table("scores.parquet", pd.DataFrame({"score": np.where(scores > 50, np.nan, scores)}))
    with pytest.raises(ValueError, match=r"scores\.parquet: expected scores, found NaN for 2 masks.* Remove "):
        run.folder(1).scores()


def test_weights_and_losses_that_are_no_numbers_are_named() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    check_weights(network, 20)
    network[1].running_var[1] = float("inf")  # type: ignore[index]
    with pytest.raises(FloatingPointError, match=r"diverged: found NaN or infinity in 1\.running_var after 20"):
        check_weights(network, 20)
    with pytest.raises(FloatingPointError, match=r"found loss nan at iteration 3 of 20"):
        check_loss(float("nan"), 3, 20)


def test_an_lcm_that_diverges_is_named() -> None:
    x, y = np.eye(4, dtype=np.float32), np.arange(4) % 2
    with pytest.raises(FloatingPointError, match=r"in the LCM's weights.*lower correction\.learning_rate"):
        train_lcm(x, y, 2, LCMSettings(epochs=3, learning_rate=1e38), 0)


def test_probabilities_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    class Diverged:
        num_classes = 3

        def predict(self, image: np.ndarray) -> torch.Tensor:
            return torch.full((3, *image.shape[:2]), float("nan"))

    run = hand_made_run(tmp_path)
    split = load_dataset("folder", tmp_path / "data").train
    with pytest.raises(FloatingPointError, match=r"^a: expected probabilities of the model, found NaN"):
        gather_statistics(Diverged(), split, run.masks(0), np.ones(3) / 3, progress=False)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- what is no file
def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """In a run that somebody has sent: its folder of a round, or its answers, lead elsewhere."""
    outside = tmp_path / "mine"
    outside.write_text("export Z=1")  # as a damaged last line it would be moved away
    log = tmp_path / "answers.jsonl"
    log.symlink_to(outside)
    for use in (AppendLog(log).read, lambda: AppendLog(log).append([{"a": 1}])):
        with pytest.raises(ValueError, match=r"answers\.jsonl: expected a file, found a link to .*mine; put a file"):
            use()
    log.unlink()
    log.write_text('{"a": 1')
    (tmp_path / "answers.jsonl.damaged").symlink_to(outside)
    with pytest.raises(ValueError, match=r"answers\.jsonl\.damaged: expected a file, found a link"):
        AppendLog(log).append([{"a": 2}])
    assert outside.read_text() == "export Z=1"
    run = hand_made_run(tmp_path / "run", rounds=1)
    (folder := tmp_path / "folder").mkdir()
    (run.path / "round_02").symlink_to(folder)
    with pytest.raises(ValueError, match=r"round_02: expected a folder, found a link to"):
        run.folder(2)
    assert not list(folder.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """Nobody waits for what comes out of it."""
    os.mkfifo(pipe := tmp_path / "x")
    tries = {
        "file": [lambda: check_plain(pipe), AppendLog(pipe).read, lambda: AppendLog(pipe).append([{"a": 1}])],
        "no such file": [lambda: read_image(pipe), lambda: read_json(pipe), lambda: read_parquet(pipe)],
    }
    tries["no such file"] += [lambda: read_yaml(pipe), lambda: read_rows(pipe, ("a",))]
    said: list[str] = []

    def all_of_them() -> None:
        for words, calls in tries.items():
            for call in calls:
                with pytest.raises((ValueError, FileNotFoundError), match=words) as told:
                    call()
                said.append(str(told.value))

    thread = threading.Thread(target=all_of_them, daemon=True)
    thread.start()
    thread.join(60)
    assert len(said) == 8 and all(str(pipe) in words for words in said)


def test_a_picture_far_above_the_limit_is_refused_as_one_above_it(tmp_path: Path) -> None:
    """Pillow refuses it before anybody can ask how large it is."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    file = tmp_path / "large.png"
    file.write_bytes(SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks))
    with pytest.raises(ValueError, match=r"large\.png: expected at most 134,217,728 pixels .* A2LC_LIMITS=32"):
        read_image(file)
