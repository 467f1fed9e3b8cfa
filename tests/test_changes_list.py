"""changes.csv after a spreadsheet, which takes 007 for the number 7: a change goes into the file it was made for, or
into none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2lc.files import read_label_png, write_json, write_label_png
from a2lc.human.write_back import CHANGES, apply_changes

SIZE = (8, 12)
CLASSES = ("sky", "road", "car")


def data(tmp_path: Path, labels: dict[str, int], masks: dict[str, dict[int, int]]) -> tuple[Path, Path, list[str]]:
    """A dataset, a folder of changes, and its rows: image -> the class of its left half, and mask -> new class."""
    root, changes, rows = tmp_path / "data", tmp_path / "changes", []
    (root / "images").mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for name, label in labels.items():
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "images" / f"{name}.png")
        halves, objects = np.zeros(SIZE, np.uint8), np.ones(SIZE, np.uint8)
        halves[:, :6], objects[:, 6:] = label, 2
        for file in (root / "labels" / f"{name}.png", changes / "before" / f"{name}.png"):
            write_label_png(file, halves)
        write_label_png(changes / "masks" / f"{name}.png", objects)
        digest = hashlib.sha256((root / "labels" / f"{name}.png").read_bytes()).hexdigest()
        rows += [f"{name},{mask_id},{CLASSES[new]},{digest}" for mask_id, new in masks[name].items()]
    write_json(changes / "about.json", {"classes": CLASSES, "void": 255})
    return root, changes, rows


def write(changes: Path, rows: list[str], lost: bool = True) -> None:
    """As a spreadsheet saves it."""
    rows = [row.lstrip("0") or "0" for row in rows] if lost else rows
    (changes / CHANGES).write_text("\n".join(["image,mask_id,after,sha256", *rows]) + "\n")


def halves(root: Path, name: str) -> list[int]:
    return read_label_png(root / "labels" / f"{name}.png")[0, [0, -1]].tolist()


@pytest.mark.parametrize("lost", [False, True])
def test_files_that_differ_tell_which_image_is_meant(lost: bool, tmp_path: Path) -> None:
    labels = {"7": 1, "007": 2, "0012": 1}
    root, changes, rows = data(tmp_path, labels, {"7": {1: 2}, "007": {1: 0, 2: 1}, "0012": {2: 2}})
    write(changes, rows, lost)
    assert apply_changes(changes, root) == 3
    assert [halves(root, name) for name in labels] == [[2, 0], [0, 1], [1, 2]]


@pytest.mark.parametrize(
    "masks", [{"7": {1: 2}, "007": {1: 2}}, {"7": {}, "007": {1: 2}}, {"7": {2: 2}, "007": {1: 2}}]
)
def test_equal_files_do_not_and_nothing_is_written(masks: dict[str, dict[int, int]], tmp_path: Path) -> None:
    root, changes, rows = data(tmp_path, {"7": 1, "007": 1}, masks)
    write(changes, rows)
    with pytest.raises(ValueError, match="image '7': expected one, found '007' and '7', which have equal files"):
        apply_changes(changes, root)
    assert halves(root, "7") == halves(root, "007") == [1, 0]
    write(changes, rows, lost=False)
    apply_changes(changes, root)
    for name, new in masks.items():
        assert halves(root, name) == [new.get(1, 1), new.get(2, 0)]


def test_a_row_of_another_file_is_named(tmp_path: Path) -> None:
    """Its name has become that of an image whose labels are others; the last row alone is right."""
    root, changes, rows = data(tmp_path, {"7": 1, "8": 2}, {"7": {1: 2}, "8": {1: 0}})
    write(changes, [rows[1].replace("8,", "7,", 1), rows[0]])
    with pytest.raises(ValueError, match=r"line 2: image '7': sha256 is not that of .*before/7.png"):
        apply_changes(changes, root)
    assert halves(root, "7") == [1, 0]
