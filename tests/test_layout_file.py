"""dataset.yaml: where files lie and what their values mean, through a whole run and back into the files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_runs import files_of, seeded
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.files import LabelFile, alone, read_image, write_text
from a2lc.human import Queue, next_round
from a2lc.human.own_dataset import own_experiment
from a2lc.human.write_back import apply_changes, revert_changes, write_back, write_changes
from a2lc.runs import Run

SIZE = (48, 64)
NAMES = ("road", "car")
COLOURS = np.array([[128, 64, 128], [0, 0, 142], [0, 0, 0]], np.uint8)  # of road, car and void
SAID = "colours: {road: [128, 64, 128], car: [0, 0, 142], void: [0, 0, 0]}\n"


def places() -> np.ndarray:
    """(H, W) road on the left, car on the right, void in a corner."""
    found = np.zeros(SIZE, np.uint8)
    found[:, 32:], found[:16, :16] = 1, 2
    return found


def dataset(root: Path, said: str = "", classes: str = "road\ncar\n", names: tuple[str, ...] = ("s0", "s1")) -> Path:
    """Pictures and no labels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    write_text(root / "classes.txt", classes)
    if said:
        write_text(root / "dataset.yaml", said)
    for name in names:
        save(
            root / "images" / f"{name}.jpg", np.array([[200, 30, 30], [30, 30, 200], [30, 200, 30]], np.uint8)[places()]
        )
    return root


def save(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)


def labels_of(root: Path, name: str) -> np.ndarray | None:
    return load_dataset("folder", root).train.pseudo_labels(name)


def answered(root: Path, **answers: str) -> Run:
    """Every mask answered: the class that it has -> what is said, else confirmed."""
    fields = {"instant": {"features": "colour"}, "lcm": False, "rounds": 1, "budget": 0.99, "seed": seeded()}
    run = a2lc.run(own_experiment(root, **fields), root.parent / "runs", device="cpu", progress=False)
    queue, names = Queue(run), run.masks(0).classes.names
    for query in queue.queries:
        queue.answer(answers.get(names[query.label], "confirm"), query.position)
    return next_round(run, device="cpu", progress=False)


# ------------------------------------------------------------------------------------------------------ whole ways
def formats(root: Path) -> dict[str, Path]:
    """A label of colours in every way to keep some: what it is -> its file."""
    colours, palette = COLOURS[places()], Image.fromarray(places())
    palette.putpalette(COLOURS.ravel().tolist())
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[places() == 2] = 0
    kinds: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "rgb": (".png", colours, {}),
        "rgba": (".PNG", np.dstack([colours, alpha]), {}),
        "palette": (".png", palette, {"bits": 2}),
        "tiff": (".tif", colours, {"compression": "tiff_lzw", "dpi": (300, 300)}),
        "bmp": (".bmp", colours, {}),
        "night/webp": (".webp", np.dstack([colours, alpha]), {"lossless": True, "exact": True}),
    }
    for name, (suffix, pixels, options) in kinds.items():
        save(root / "labels" / f"{name}{suffix}", pixels, **options)
    return {name: root / "labels" / f"{name}{suffix}" for name, (suffix, *_) in kinds.items()}


def test_colours_in_every_format_and_nested_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "images" / "night").mkdir(parents=True)
    files = formats(dataset(tmp_path / "other", SAID) and (tmp_path / "other"))
    shutil.rmtree(tmp_path / "other" / "images")
    for name in files:
        save(
            tmp_path / "other" / "images" / f"{name}.png",
            np.array([[200, 30, 30], [30, 30, 200], [0, 0, 0]], np.uint8)[places()],
        )
    shutil.rmtree(root)
    (tmp_path / "other").rename(root)
    before, files = files_of(root), {name: root / path.relative_to(tmp_path / "other") for name, path in files.items()}
    wanted = np.array([0, 1, 255])[places()]
    assert all((labels_of(root, name) == wanted).all() for name in files)
    run = answered(root, car="void")
    assert set(run.masks().names) == {*files}
    changes = write_back(run, tmp_path / "out")
    assert set(changes["image"]) == {*files}
    for name, file in files.items():
        old, new = (LabelFile(path.read_bytes(), path) for path in (file, tmp_path / "out" / file.relative_to(root)))
        colours = old.colours()
        colours[places() == 1] = 0
        assert (new.colours() == colours).all(), name
        with Image.open(file) as one, Image.open(tmp_path / "out" / file.relative_to(root)) as two:
            assert (one.mode, one.format, one.info.get("dpi")) == (two.mode, two.format, two.info.get("dpi"))
            if one.mode == "RGBA":
                assert (np.asarray(one)[..., 3] == np.asarray(two)[..., 3]).all()
    assert files_of(root) == before
    assert apply_changes(tmp_path / "out" / "changes", root) == len(files)
    assert revert_changes(tmp_path / "out" / "changes", root) == len(files) and files_of(root) == before
    for format, there in (("png", "mask_jpg/night/webp.png"), ("voc", "SegmentationClass/night/webp.png")):
        done = CliRunner().invoke(app, ["export", str(run.path), str(tmp_path / format), "--format", format])
        assert done.exit_code == 0 and (tmp_path / format / there).is_file(), done.output


def test_colours_of_the_class_list_are_used_where_nothing_is_said(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", classes="road 128 64 128\ncar 0 0 142\n")
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", COLOURS[places() % 2])
    assert (labels_of(root, "s0") == places() % 2).all()
    save(root / "labels" / "s0.png", COLOURS[places()])
    told = r"s0\.png: found \(0, 0, 0\) at column 0, row 0, .* nearest is \(0, 0, 142\), 'car'; list it in"
    with pytest.raises(ValueError, match=told):
        labels_of(root, "s0")
    write_text(root / "dataset.yaml", SAID)
    assert (labels_of(root, "s0") == np.array([0, 1, 255])[places()]).all()
    (root / "dataset.yaml").unlink()
    write_text(root / "classes.txt", "road\ncar\n")
    with pytest.raises(ValueError, match=r"s0\.png: expected one id per pixel .*; of pictures in colours say which"):
        labels_of(root, "s0")


def test_ranges_everything_else_and_values_of_16_bits(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "ids: {7: road, 1000-1999: car, else: void}")
    values = np.array([7, 1234, 55000], np.uint16)[places()]
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", values)
    assert (labels_of(root, "s0") == np.array([0, 1, 255])[places()]).all()
    write_back(answered(root, road="car", car="void"), tmp_path / "out")
    after = LabelFile((tmp_path / "out" / "labels" / "s0.png").read_bytes(), "").ids()
    assert (after == np.array([1000, 255, 55000])[places()]).all()


# -------------------------------------------------------------------------------------------------- places
@pytest.mark.parametrize(
    ("said", "image", "label", "name"),
    [
        ("labels: labels/{name}_mask.png", "images/a.jpg", "labels/a_mask.png", "a"),
        ("images: '{name}.png'\nlabels: '{name}_mask.png'", "x/a.png", "x/a_mask.png", "x/a"),
        ("images: all/{name}.jpg\nlabels: all/{name}.png", "all/a.JPG", "all/a.png", "a"),
        ("images: photos\nlabels: photos/masks", "photos/a.png", "photos/masks/a.png", "a"),
        ("labels: gt/{name}/{name}_labels.tif", "images/a.jpg", "gt/a/a_labels.tif", "a"),
        ("pairs: list.txt", "in/a.jpg", "out/b.png", "in/a"),
    ],
)
def test_patterns_lists_and_one_folder(said: str, image: str, label: str, name: str, tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "road\ncar\n")
    write_text(tmp_path / "dataset.yaml", said)
    write_text(tmp_path / "list.txt", f"{image} {label}\n")
    save(tmp_path / image, COLOURS[places()], format="PNG")
    save(tmp_path / label, places() % 2)
    save(tmp_path / "runs" / "shared" / "object_maps" / "z.png", places())
    for made in ("masks.json", "masks.parquet"):
        write_text(tmp_path / "runs" / "shared" / made, "{}")
    train = load_dataset("folder", tmp_path).train
    found = train.pseudo_labels(name)
    assert train.names == (name,) and found is not None and (found == places() % 2).all()


def test_the_labels_of_val(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", places() % 2)
    write_text(root / "val.txt", "s1\n")
    with pytest.warns(UserWarning, match=r"1 images of val\.txt have labels that are not corrected: s1; say in data"):
        assert load_dataset("folder", root).train.names == ("s0",)
    for said, train, val in (("train", ("s0",), ("s1",)), ("all", ("s0", "s1"), ())):
        write_text(root / "dataset.yaml", f"correct: {said}")
        found = load_dataset("folder", root)
        assert (found.train.names, found.val.names) == (train, val)


def test_how_pictures_are_shown(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "orientation: stored\nwindow: [100, 1100]", names=())
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "images" / "a.jpg", Image.fromarray(COLOURS[places()]), exif=exif)
    save(root / "images" / "b.png", np.array([[0, 100, 600, 1100, 65535]], np.uint16))
    train = load_dataset("folder", root).train
    assert train.image("a").shape[:2] == SIZE and train.image("b")[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert read_image(root / "images" / "a.jpg").shape[:2] == SIZE[::-1]


@pytest.mark.parametrize(
    ("said", "line", "told"),
    [
        ("\nlables: masks", 2, "lables: no such key; did you mean 'labels'"),
        ("labels: labels/{stem}.png", 1, r"labels: expected \{name\} for the part that differs"),
        ("labels: labels/{name}.jpg", 1, r"labels: expected a pattern that ends in \.png"),
        ("images: ../photos", 1, "images: expected a folder or pattern below"),
        ("# mine\n\nimages: photos", 3, "images: no such folder"),
        ("colours:\n  road: [1, 2, 300]", 2, r"colours: road: expected \[0\.\.255, .* found \[1, 2, 300\]"),
        ("colours: {road: [1, 2, 3], car: [1, 2, 3]}", 1, "car: expected each colour once"),
        ("colours: {road: [1, 2, 3]}", 1, "colours: expected a value for every class, found none for 'car'"),
        ("ids: {0: road,\n 1: caar}", 2, "ids: 1: expected a class or void, found 'caar'; did you mean 'car'"),
        (
            "ids: {0: road, 1: car}\ncolours: {road: [1, 2, 3], car: [3, 2, 1]}",
            2,
            "expected ids or colours, found both",
        ),
        ("orientation: up", 1, "orientation: expected upright or stored, found 'up'"),
        ("window: [9, 9]", 1, r"window: expected the value of black below that of white, found \[9, 9\]"),
        ("correct: val", 1, "correct: expected train or all, found 'val'"),
        ("pairs: list.txt", 1, "pairs: no such file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(said: str, line: int, told: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", said)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"dataset\.yaml, line {line}: .*{told}") as refused:
        load_dataset("folder", root)
    assert "\n" not in str(refused.value)


def test_a_class_may_be_called_no(tmp_path: Path) -> None:
    """Which YAML takes for False; and nothing but comments says nothing."""
    root = dataset(tmp_path / "data", "ids: {1: no, 0: yes}", "yes\nno\n")
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", places() % 2)
    assert (labels_of(root, "s0") == places() % 2).all()
    write_text(root / "dataset.yaml", "# ids: {}\n")
    assert (labels_of(root, "s0") == places() % 2).all()


# -------------------------------------------------------------------------------------------------- writing
def test_only_the_dataset_is_copied_and_links_end(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", names=("s0",))
    save(tmp_path / "store" / "s1.jpg", COLOURS[places()])
    (root / "images" / "s1.jpg").symlink_to(tmp_path / "store" / "s1.jpg")
    save(tmp_path / "store" / "s1.png", places() % 2)
    (root / "labels" / "s1.png").symlink_to(tmp_path / "store" / "s1.png")
    save(root / "labels" / "s0.png", places() % 2)
    (root / "images" / "loop").symlink_to("..")
    (root / "all").symlink_to(".")
    write_text(root / ".git" / "config", "x")
    write_text(root / "film.mp4", "x")
    run = answered(root, car="road")
    out = tmp_path / "out"
    with pytest.warns(UserWarning, match=r"data: not copied, as they are no images, labels or lists: all, film\.mp4$"):
        write_back(run, out)
    kept = {"classes.txt", "images/s0.jpg", "images/s1.jpg", "labels/s0.png", "labels/s1.png"}
    assert {name for name in files_of(out) if not name.startswith("changes")} == kept
    assert (out / "images" / "s1.jpg").is_symlink() and not (out / "labels" / "s1.png").is_symlink()
    assert apply_changes(out / "changes", root) == 2
    assert (root / "labels" / "s1.png").is_symlink(), "a link stays one"
    assert (np.asarray(Image.open(tmp_path / "store" / "s1.png")) == 0).all()


def test_the_second_of_two_is_told(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", places() % 2)
    run = answered(root, car="road")
    write_changes(run, tmp_path / "changes")
    before = files_of(root)
    with alone(root / ".a2lc.lock"), pytest.raises(BlockingIOError, match="data: another process is writing there"):
        apply_changes(tmp_path / "changes", root)
    with alone(tmp_path / ".out.lock"), pytest.raises(BlockingIOError, match="another process is writing there"):
        write_back(run, tmp_path / "out")
    assert files_of(root) == before and not (tmp_path / "out").exists()
    (root / "labels" / ".s0.0123abcd.png").touch()  # of one that was killed
    (root / ".a2lc.lock").touch()
    assert apply_changes(tmp_path / "changes", root) == 2
    assert {*files_of(root)} == {*before}, "nothing is left behind"


def test_a_read_only_dataset(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    for name in ("s0", "s1"):
        save(root / "labels" / f"{name}.png", places() % 2)
    run = answered(root, car="road")
    for path in (*root.rglob("*"), root):
        path.chmod(0o555 if path.is_dir() else 0o400)
    write_back(run, tmp_path / "out")
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert os.stat(tmp_path / "out" / "labels").st_mode & 0o200, "files in the copy can be replaced"
    assert os.stat(tmp_path / "out" / "labels" / "s0.png").st_mode & 0o777 == 0o400
    assert os.stat(tmp_path / "out" / "changes" / "before" / "s0.png").st_mode & 0o777 == 0o400


@pytest.mark.parametrize("kind", ["dataset.yml", "Dataset.yaml", "link", "folder", "val.txt"])
def test_what_would_not_be_read_is_named(kind: str, tmp_path: Path) -> None:
    """Nearly the name, or the name of something that is no file: nothing is passed over without a word."""
    root = dataset(tmp_path / "data")
    name = "val.txt" if kind == "val.txt" else "dataset.yaml"
    if kind == "folder":
        (root / name).mkdir()
    elif kind in ("link", "val.txt"):
        (root / name).symlink_to("nowhere")
    else:
        write_text(root / (name := kind), "ids: {0: car, 1: road}\n")
    with pytest.raises(ValueError, match=f"{name}: expected "):
        load_dataset("folder", root)


def test_a_label_file_that_cannot_take_an_answer_is_left_alone_and_the_others_are_written(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data")
    save(root / "labels" / "s0.png", places() % 2)
    save(root / "labels" / "s1.tif", Image.fromarray(places() == 1))  # of one bit: no room for void
    run = answered(root, car="void")
    with pytest.raises(
        ValueError, match=r"1 label files cannot take the changes.* left alone.*s1\.tif: id 255 does not"
    ):
        write_back(run, tmp_path / "out")
    assert (tmp_path / "out/labels/s1.tif").read_bytes() == (root / "labels/s1.tif").read_bytes()
    assert (np.asarray(Image.open(tmp_path / "out/labels/s0.png"))[:, 40:] == 255).all()
