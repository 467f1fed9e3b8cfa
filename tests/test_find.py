"""`a2lc find`: suspicious labels of a dataset, without questions."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.files import write_label_png
from a2lc.human.finding import default_features

WRONG = {("image2", 1), ("image5", 2)}  # masks whose label is the other class
SKY, ROAD = (90, 140, 220), (60, 60, 60)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, half blue, half grey; regions 1 (upper) and 2 (lower); two labels are swapped, and no label in a
    corner."""
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("sky\nroad & <tracks>\nnever\n")
    rng = np.random.default_rng(0)
    for i in range(8):
        picture = np.empty((40, 60, 3), np.uint8)
        picture[:20], picture[20:] = SKY, ROAD
        Image.fromarray(picture + rng.integers(0, 20, picture.shape, dtype=np.uint8)).save(
            root / f"images/image{i}.png"
        )
        labels = np.repeat([0, 1], 20)[:, None].repeat(60, 1).astype(np.uint8)
        for half in (1, 2):
            if (f"image{i}", half) in WRONG:
                labels[(half - 1) * 20 : half * 20] = 2
        labels[:3, :3] = 255
        write_label_png(root / f"labels/image{i}.png", labels)
    return root


def find(data: Path, tmp_path: Path, *more: str) -> tuple[int, str]:
    command = ["find", str(data), "--out", str(tmp_path / "found"), "--runs-dir", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, [*command, "--features", "colour", *more], catch_exceptions=False)
    return done.exit_code, done.output


def test_wrong_labels_come_first(data: Path) -> None:
    found = a2lc.find(load_dataset("folder", data), features="colour", progress=False)
    assert found.columns.tolist() == ["image", "mask_id", "row", "area", "label", "suggestion", "wrong", "score"]
    assert len(found) == 16 and set(zip(found["image"][:2], found["mask_id"][:2], strict=True)) == WRONG
    assert (found["label"][:2] == "never").all() and found["wrong"].between(0, 1).all()
    assert found["suggestion"][:2].isin(["sky", "road & <tracks>"]).all()
    assert (found["label"] != found["suggestion"]).all() and found["score"].is_monotonic_decreasing
    assert found["score"].to_numpy() == pytest.approx(np.sqrt(found["area"]) * found["wrong"])
    assert (found["area"][found["mask_id"] == 1] == 20 * 60 - 9).all()


def test_the_command_writes_a_table_and_a_page(data: Path, tmp_path: Path) -> None:
    code, said = find(data, tmp_path, "--top", "3")
    assert code == 0 and "16 masks of 8 images, features: colour" in said and "index.html shows 3" in said
    table = pd.read_csv(tmp_path / "found/masks.csv")
    assert len(table) == 16 and "row" not in table
    assert set(zip(table["image"][:2], table["mask_id"][:2], strict=True)) == WRONG
    page = (tmp_path / "found/index.html").read_text(encoding="utf-8")
    shown = re.findall(r'src="([^"]+)"', page)
    assert len(shown) == 6 and all((tmp_path / "found" / file).is_file() for file in shown)
    assert page.count("<figure tabindex") == 3 == page.count(" close up") and "http" not in page
    assert "road &amp; &lt;tracks&gt;" in page and "<tracks>" not in page
    order = [int(n) for n in re.findall(r"<b>(\d+)\.</b>", page)]
    assert order == [1, 2, 3] and f"<b>1.</b> {table['image'][0]}, mask {table['mask_id'][0]}:" in page
    assert (tmp_path / "runs/shared").is_dir()  # features are kept for `a2lc correct`


def test_its_status_is_for_ci(data: Path, tmp_path: Path) -> None:
    worst = a2lc.find(load_dataset("folder", data), features="colour", progress=False)["wrong"].max()
    code, said = find(data, tmp_path, "--fail-from", f"{worst / 2:.3f}", "--top", "0")
    assert code == 1 and re.search(r"\d+ masks are wrong with at least 0\.\d+: status 1", said)
    assert (tmp_path / "found/masks.csv").is_file()  # written all the same
    clean = tmp_path / "clean"
    shutil.copytree(data, clean)
    (clean / "train.txt").write_text("image0\nimage1\nimage3\nimage4\n")
    code, said = find(clean, tmp_path / "other", "--fail-from", "0.5")
    assert code == 0 and "0 labels are likelier wrong than right (roughly: " in said


def test_nothing_is_overwritten_and_nothing_half_written(data: Path, tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found/mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already, expected a new folder"):
        find(data, tmp_path)
    with pytest.raises(ValueError, match="features: timm knows no 'no_such_backbone'"):
        find(data, tmp_path / "third", "--features", "no_such_backbone")
    assert not list((tmp_path / "third").glob("*found*"))
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["mine.txt"]


def test_what_it_cannot_look_at_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"dataset: expected a Dataset \(a2lc.load_dataset\), found ToySplit"):
        a2lc.find(load_dataset("toy").train)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no labels to correct"):
        a2lc.find(load_dataset("toy"), features="colour", progress=False)
    assert default_features() in ("colour", "tf_efficientnet_lite0")


def test_an_image_that_vanished_is_named(data: Path, tmp_path: Path) -> None:
    dataset = load_dataset("folder", data)
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    dataset = load_dataset("folder", copy)
    (copy / "images/image4.png").unlink()
    with pytest.raises((FileNotFoundError, ValueError), match="image4"):
        a2lc.find(dataset, features="colour", progress=False)
