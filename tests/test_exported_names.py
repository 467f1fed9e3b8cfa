"""What exports call images: their files, where dataset.yaml says they lie, and no two the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2lc import Run
from a2lc.datasets import load_dataset
from a2lc.files import read_json
from a2lc.formats.cli import file_names
from a2lc.formats.writers import write_cityscapes, write_label_studio, write_labelme, write_panoptic, write_yolo
from a2lc.human.own_dataset import own_experiment
from a2lc.masks import MaskSet

SIZE = (8, 12)


def masks_of(root: Path) -> MaskSet:
    """Each image a mask."""
    data = load_dataset("folder", root)
    names = list(data.train.names)
    maps = {name: np.ones(SIZE, np.int32) for name in names}
    return MaskSet.from_maps(data.classes, names, maps, {name: {1: 0} for name in names})


@pytest.mark.parametrize(
    ("said", "files", "named"),
    [
        ("", ("images/x/a.png", "images/y/a.png"), ("x/a.png", "y/a.png")),
        ("images: in/{name}_rgb.png", ("in/x/a_rgb.png", "in/b_rgb.png"), ("x/a_rgb.png", "b_rgb.png")),
        ("images: in/rgb_{name}.PNG", ("in/rgb_a.PNG", "in/rgb_b.png"), ("rgb_a.PNG", "rgb_b.png")),
        ("pairs: list.txt", ("in/x/a.png", "in/y/a.png"), ("in/x/a.png", "in/y/a.png")),
        ("images: '{name}.png'", ("x/a.png", "y/a.png"), ("x/a.png", "y/a.png")),
    ],
)
def test_images_are_called_by_their_files(
    said: str, files: tuple[str, ...], named: tuple[str, ...], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / file)
    (root / "classes.txt").write_text("road\ncar\n")
    (root / "dataset.yaml").write_text(said)
    (root / "list.txt").write_text("".join(f"{file}\n" for file in files))
    masks, run = masks_of(root), Run(tmp_path / "run", own_experiment(root, instant={"features": "colour"}))
    names = file_names(run)
    assert sorted(names.values()) == sorted(named)
    write_panoptic(masks, tmp_path / "panoptic", names)
    write_label_studio(masks, tmp_path / "ls.json", names)
    assert sorted(i["file_name"] for i in read_json(tmp_path / "panoptic" / "panoptic.json")["images"]) == sorted(named)
    assert sorted(task["data"]["image"] for task in read_json(tmp_path / "ls.json")) == sorted(named)
    write_yolo(masks, tmp_path / "yolo", names)
    write_labelme(masks, tmp_path / "labelme", names)
    for file in named:
        assert (tmp_path / "yolo" / "labels" / file).with_suffix(".txt").is_file(), "where Ultralytics looks for it"
        content = read_json((tmp_path / "labelme" / file).with_suffix(".json"))
        assert content["imagePath"] == Path(file).name, "from the file that says so"
    root.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match="data: no such folder, expected the data of .*--root"):
        file_names(run)


def test_names_of_cityscapes_have_no_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for file in ("bern/bern_0_1_leftImg8bit.png", "ulm/ulm_0_1_leftImg8bit.png"):
        (root / "images" / file).parent.mkdir(parents=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / "images" / file)
    (root / "classes.txt").write_text("road\ncar\n")
    masks = masks_of(root)
    write_cityscapes(masks, tmp_path / "out", masks.label_map)
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == [f"gtFine/train/{city}/{city}_0_1_gtFine_labelIds.png" for city in ("bern", "ulm")]
    (root / "images" / "ulm" / "ulm_0_1_leftImg8bit.png").rename(root / "images" / "ulm" / "bern_0_1_leftImg8bit.png")
    masks = masks_of(root)
    with pytest.raises(ValueError, match="expected each name once, as it has no folders, found bern/bern.* and ulm/be"):
        write_cityscapes(masks, tmp_path / "again", masks.label_map)
    assert not (tmp_path / "again").exists()
