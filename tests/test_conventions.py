"""Conventions of label files, as `benchmarks/conventions.py` makes them: each is read, corrected and written back
exactly or refused with a sentence; datasets drawn at random; and the table of them that is committed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from a2lc.files import write_label_png
from a2lc.human.exports import labels_of_run

ROOT = Path(__file__).resolve().parents[1]
STEPS = ["reads", "corrects", "writes back identically"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore:__array__:DeprecationWarning")


@pytest.fixture(scope="module")
def conventions() -> Iterator[ModuleType]:
    """benchmarks/ is no package: its scripts are imported as they import each other."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import conventions
    import conventions_random

    assert conventions_random.check is conventions.check
    yield conventions
    sys.path[:] = before
    for name in set(sys.modules) - known:
        if name.startswith("conventions"):
            del sys.modules[name]


SOME = ["PNG palette, transparency, texts, gamma, own chunk", "TIFF with GeoTIFF tags", "BMP 4 bits", "mode 600"]


@pytest.mark.parametrize("name", SOME)
def test_label_files(name: str, conventions: ModuleType, tmp_path: Path) -> None:
    conventions.try_plain(conventions.PLAIN[name], tmp_path)


def test_a_format_of_another_program(conventions: ModuleType, tmp_path: Path) -> None:
    conventions.try_format(conventions.FORMATS["COCO RLE"], tmp_path)


def test_a_refusal_is_a_sentence(conventions: ModuleType, tmp_path: Path) -> None:
    assert "found 7" in conventions.try_refusal(conventions.REFUSED["ids beyond the list"], tmp_path)


def test_a_table_that_hides_nothing(conventions: ModuleType) -> None:
    """A convention that is not kept, and one that should have been refused, are told."""
    made = conventions.PLAIN["PNG grey 8 bits, void 255"]

    def other(root: Path) -> object:
        found = made(root)
        found.labels["a"][0, -1] = 0
        return found

    row = conventions.row_of("own files", "x", lambda folder: conventions.try_plain(other, folder))
    assert row["reads"] == "NO" and row["said"] == "reads: other labels of a"
    refusal = conventions.Refusal(made, "", "")
    assert (
        "without a word" in conventions.row_of("refused", "x", lambda at: conventions.try_refusal(refusal, at))["said"]
    )


def test_random_datasets_change_where_they_were_answered_alone(conventions: ModuleType) -> None:
    from conventions_random import KINDS, draw, try_many

    drawn = [draw(number) for number in range(100)]
    assert {one.kind for one in drawn} == {*KINDS} and len({one.said for one in drawn}) > 40
    assert any(np.shape(found) == (1, 1) for one in drawn for found in one.maps.values())
    assert try_many(100) == 0


def test_the_table_that_is_committed(conventions: ModuleType) -> None:
    table = pd.read_csv(ROOT / "paper_figures" / "conventions.csv", keep_default_na=False)
    assert {*table["convention"]} == {*conventions.PLAIN, *conventions.FORMATS, *conventions.REFUSED}
    assert (table.loc[table["kind"] != "refused", STEPS] == "yes").all(axis=None) and len(table) > 100
    assert (table[STEPS] != "NO").all(axis=None)


def test_an_export_keeps_the_pixels_of_masks_whose_label_stays(conventions: ModuleType, tmp_path: Path) -> None:
    """Of several classes, too; what has changed in the files since is not taken for it."""
    root = tmp_path / "data"
    made = conventions.PLAIN["PNG grey 8 bits, void 255"](root).labels
    for name in made:
        halves = np.kron([[1, 2]], np.ones((24, 16))).astype(np.uint8)  # both hold road and car
        write_label_png(tmp_path / "objects" / f"{name}.png", halves)
    run, answered, mask, label = conventions.one_answer(root, tmp_path / "objects")
    labels = labels_of_run(run, run.masks())
    for name, came in made.items():
        assert (labels(name) == (np.where(mask, label, came) if name == answered else came)).all()
    (other,) = made.keys() - {answered}
    write_label_png(root / "labels" / f"{other}.png", np.where(made[other] == 255, 255, 1))
    masks = run.masks()
    with pytest.warns(UserWarning, match=f"{other}: its label file has changed since the run began, so each mask is"):
        found = labels(other)
    assert (found == np.where(masks.object_map(other) > 0, masks.label_map(other), 255)).all()
