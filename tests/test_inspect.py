"""`a2lc inspect`: one small dataset per fault; what is said about it, and that the advice works."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.human.inspection import Inspection, Suspicion
from a2lc.human.inspection.overlays import overlays
from a2lc.human.inspection.page import write_page
from a2lc.human.inspection.proposal import proposed_files, write_proposal

SIZE = (24, 32)  # height, width
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
ORIENTATION = 274  # EXIF tag


def label(*values: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) uint8, a stripe per value."""
    return np.array(values, np.uint8)[np.arange(size[1]) * len(values) // size[1]][None].repeat(size[0], 0)


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def save(image: Image.Image | np.ndarray, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)


def dataset(
    root: Path,
    labels: list[np.ndarray | Image.Image],
    classes: str | None = "grass\nrock\n",
    image: str = "images/s{}.png",
    file: str = "labels/s{}.png",
) -> Path:
    for i, values in enumerate(labels):
        save(picture(i), root / image.format(i))
        save(values, root / file.format(i))
    if classes is not None:
        (root / "classes.txt").write_text(classes)
    return root


def look(root: Path) -> Inspection:
    return a2lc.inspect(root, progress=False)


def only(root: Path) -> Suspicion:
    """The one suspicion about a dataset."""
    found = look(root).suspicions
    assert len(found) == 1, [str(suspicion) for suspicion in found]
    return found[0]


def labels_read(root: Path) -> list[set[int]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = load_dataset("folder", root).train
    found = [(train.image(name), train.pseudo_labels(name)) for name in train.names]
    return [{*np.unique(values).tolist()} for _, values in found if values is not None]


def palette(values: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def coloured(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.array(colours, np.uint8)[label(*range(len(colours)))]


# --- nothing to say


def test_a_clean_dataset(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1, 1, 255), label(0, 1)])
    found = look(root)
    assert found.suspicions == () and found.left_out == () and not proposed_files(found)
    assert "nothing suspicious in files and classes; which labels look wrong says: a2lc find" in str(
        found
    ) and "2 pictures, 2 with labels" in str(found)
    rows = found.classes.set_index("class")
    assert rows["pixels"].to_dict() == pytest.approx({"grass": 0.375, "rock": 0.5, "void": 0.125})
    assert rows["images"].to_dict() == {"grass": 2, "rock": 2, "void": 1}
    assert found.images["void"].tolist() == [0.25, 0] and found.images["width"].tolist() == [32, 32]
    assert found.short.splitlines()[-1] == "pixels: rock 50 %, grass 38 %, void 12 %"


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)])
    (root / "notes.md").write_text("mine")
    save(picture(7), root / "old/old.png")
    save(picture(8), root / "images/deep/er.png")
    save(label(0, 1), root / "labels/deep/er.png")
    found = look(root)
    assert found.images["image"].tolist() == ["deep/er", "s0"] and not found.suspicions
    assert found.left_out == (
        "left out: 1 file, no pictures: notes.md",
        "left out: 1 file in old/, pictures that belong to nothing: old.png",
    )


# --- values


def test_black_and_white_masks(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 255), label(255, 0)])
    found = only(root)
    assert found.certain and "hold nothing but 0 and 255" in found.what
    assert found.lines == ("ids: {0: grass, 255: rock}",)
    write_proposal(look(root))
    assert labels_read(root) == [{0, 1}, {0, 1}] and not look(root).suspicions


def test_one_class_in_white(tmp_path: Path) -> None:
    found = only(dataset(tmp_path / "d", [label(0, 255)], "object\n"))
    assert found.lines == ("ids: {0: void, 255: object}",) and not found.decided


def test_a_class_that_never_occurs(tmp_path: Path) -> None:
    found = only(dataset(tmp_path / "d", [label(0, 1)], "grass\nrock\nsnow\n"))
    assert not found.certain and found.what == "1 class of the list never occurs: snow"


def test_most_is_void(tmp_path: Path) -> None:
    found = only(dataset(tmp_path / "d", [label(0, 1, 255, 255, 255)]))
    assert not found.certain and found.what.startswith("59% of the pixels are void (255)")


def test_ids_that_begin_with_1(tmp_path: Path) -> None:
    """Or class 0 never occurs, and void is the number behind the last class: a person knows."""
    root = dataset(tmp_path / "d", [label(1, 2)])
    found = only(root)
    assert found.certain and not found.decided and "ids begin with 1" in found.what
    assert found.lines == ("ids: {1: grass, 2: rock}", "ids: {0: grass, 1: rock, 2: void}")
    for line, read in zip(found.lines, ({0, 1}, {1, 255}), strict=True):
        (root / "dataset.yaml").write_text(line)
        assert labels_read(root) == [read] and not [s for s in look(root).suspicions if s.certain]


def test_an_id_beyond_the_list_is_for_a_person_to_decide(tmp_path: Path) -> None:
    """CamVid's void is such a one: 11 classes, and 11."""
    root = dataset(tmp_path / "d", [label(0, 1, 2), label(0, 1)])
    found = only(root)
    assert found.certain and not found.decided and "1 value of no class" in found.what and "(s0): 2" in found.what
    assert found.lines == ("ids: {0: void, 1: grass, 2: rock}", "ids: {0: grass, 1: rock, 2: void}")
    write_proposal(look(root))
    text = (root / "dataset.yaml").read_text()
    assert all(f"\n# {line}\n" in text for line in found.lines)
    assert only(root).certain, "a comment decides nothing"
    (root / "dataset.yaml").write_text(text.replace("# ids: {0: grass", "ids: {0: grass"))
    assert labels_read(root) == [{0, 1, 255}, {0, 1}]
    (root / "dataset.yaml").write_text(text.replace("# ids: {0: void", "ids: {0: void"))
    assert labels_read(root) == [{255, 0, 1}, {255, 0}]


def test_ids_with_gaps(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 7, 26)], "grass\nrock\nsnow\n")
    found = look(root).errors
    assert len(found) == 1 and found[0].lines == ("ids: {0: grass, 7: rock, 26: snow}",)
    (root / "dataset.yaml").write_text(found[0].lines[0])
    assert labels_read(root) == [{0, 1, 2}] and not look(root).suspicions


def test_values_that_are_told_but_not_all(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 9, 3)])
    (root / "dataset.yaml").write_text("ids: {0: grass, 9: rock}")
    found = only(root)
    assert found.certain and found.advice == "add them to ids in dataset.yaml, each with its class or void"


def test_a_palette_that_contradicts_the_list(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [palette(label(0, 1), BLUE, RED)], "red 255 0 0\nblue 0 0 255\n")
    found = only(root)
    assert found.certain and "id 0, red, is drawn in the colour of blue" in found.what
    assert found.lines == ("ids: {0: blue, 1: red}",)
    (root / "dataset.yaml").write_text(found.lines[0])
    assert not look(root).suspicions
    assert load_dataset("folder", root).train.pseudo_labels("s0")[0, 0] == 1  # type: ignore[index]


def test_colours_of_no_class(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [coloured(RED, RED, BLUE)])
    found = only(root)
    assert found.certain and found.what.endswith("(s0): (255 0 0), (0 0 255)")  # the most frequent first
    assert found.lines == ("colours: {grass: [255, 0, 0], rock: [0, 0, 255]}",) and not found.decided
    (root / "dataset.yaml").write_text(found.lines[0])
    assert labels_read(root) == [{0, 1}] and not look(root).suspicions


def test_smoothed_colours(tmp_path: Path) -> None:
    smooth = Image.fromarray(coloured(RED, BLUE)).resize((400, 24), Image.Resampling.BICUBIC).resize((32, 24))
    blurred = np.random.default_rng(0).integers(0, 99, (*SIZE, 3), dtype=np.uint8)
    root = dataset(tmp_path / "d", [blurred, smooth], "red 255 0 0\nblue 0 0 255\n")
    found = [error.what for error in look(root).errors]
    assert any(what.startswith("1 label file of very many colours, such as s0: 768") for what in found)


def test_ids_of_objects(tmp_path: Path) -> None:
    ids = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)
    found = look(dataset(tmp_path / "d", [ids])).errors
    assert found[0].what == "1 label file of more than 255 ids, such as s0: 768"


def test_labels_of_one_value(tmp_path: Path) -> None:
    found = only(dataset(tmp_path / "d", [label(0, 1), label(1)]))
    assert not found.certain and found.what == "1 label file of one value alone (1): s1"
    found = look(dataset(tmp_path / "all", [label(0), label(0)])).errors[0]
    assert found.what == "all label files hold nothing but 0"


def test_colours_beside_ids(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [coloured(RED, BLUE), label(0, 1)], "red 255 0 0\nblue 0 0 255\n")
    assert only(root).what == "1 label file of colours (s0) beside 1 of ids (s1)"


# --- files


def test_lossy_and_damaged_files(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)] * 4)
    save(label(0, 1), root / "labels/s0.png", format="JPEG")
    (root / "labels/s1.png").write_bytes((root / "labels/s1.png").read_bytes()[:60])
    save(picture(2, (200, 200)), root / "whole.jpg")
    (root / "images/s2.png").write_bytes((root / "whole.jpg").read_bytes()[:4000])
    (root / "whole.jpg").unlink()
    found = [error.what for error in look(root).errors]
    assert [what.partition(" (")[0] for what in found if "s2" in what] == ["1 picture cannot be read: s2"]
    assert "1 label file of a format that blurs ids (JPEG grey): s0" in found
    assert any(what.startswith("1 label file cannot be read: s1 (damaged or truncated image") for what in found)


@pytest.mark.parametrize(
    ("size", "what"),
    [
        (SIZE[::-1], "1 label is transposed: s1: picture 32 x 24, label 24 x 32"),
        ((12, 16), "1 label is of another size: s1: picture 32 x 24, label 16 x 12"),
    ],
)
def test_labels_of_another_size(size: tuple[int, int], what: str, tmp_path: Path) -> None:
    found = only(dataset(tmp_path / "d", [label(0, 1), label(0, 1, size=size)]))
    assert found.certain and found.what == what


def _turned(root: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    save(picture(0), root / "images/s0.png", exif=exif)
    return root


def test_labels_that_were_drawn_on_pictures_as_stored(tmp_path: Path) -> None:
    root = _turned(dataset(tmp_path / "d", [label(0, 1), label(0, 1)]), 6)
    found = only(root)
    assert found.certain and found.lines == ("orientation: stored",) and ": s0" in found.what
    write_proposal(look(root))
    assert labels_read(root) == [{0, 1}] * 2 and not look(root).suspicions


def test_orientations_that_sizes_do_not_show(tmp_path: Path) -> None:
    root = _turned(dataset(tmp_path / "d", [label(0, 1)]), 3)
    found = only(root)
    assert not found.certain and not found.decided and found.lines == ("orientation: stored",)
    (root / "dataset.yaml").write_text("orientation: upright")
    assert not look(root).suspicions, "somebody has decided"
    turned = dataset(tmp_path / "e", [label(0, 1, size=SIZE[::-1])])
    assert not look(_turned(turned, 6)).suspicions, "the label fits the picture as it is shown"


def test_labels_and_pictures_alone(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)] * 3)
    (root / "images/s2.png").unlink()
    found = only(root)
    assert found.certain and found.what == "1 label file without a picture of that name: labels/s2.png"
    (root / "labels/s2.png").unlink()
    (root / "labels/s1.png").unlink()
    found = only(root)
    assert not found.certain and found.what == "1 picture without a label: s1"
    (root / "labels/s0.png").unlink()
    assert only(root).what == "no label files: none fits the names of the 2 pictures"
    (root / "classes.txt").rename(root / "mine.txt")
    assert look(root).errors[0].what == "no class list" and not write_proposal(look(root))
    (root / "mine.txt").rename(root / "classes.txt")
    (root / "coco.json").write_text("{}")
    assert only(root).advice == f"if coco.json has labels of another program: a2lc import {root} NEW_FOLDER"


def test_lists(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)] * 3)
    (root / "train.txt").write_text("s0\ns1\ngone\n")
    (root / "val.txt").write_text("s1\ns2\n")
    (root / "dataset.yaml").write_text("correct: train")
    error, doubt = look(root).suspicions
    assert error.certain and error.what == "train.txt lists 1 image without a file: gone"
    assert not doubt.certain and doubt.what == "1 image in train.txt and in val.txt: s1"
    (root / "train.txt").write_text("s0\ns1\n")
    (root / "val.txt").write_text("s2\n")
    (root / "dataset.yaml").unlink()
    found = only(root)
    assert found.what == "the labels of 1 image of val.txt are not corrected" and found.lines == ("correct: all",)


def test_pictures_that_are_the_same(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)] * 3)
    (root / "images/s2.png").write_bytes((root / "images/s0.png").read_bytes())
    assert only(root).what == "2 pictures with the content of another one, such as s0 = s2"
    (root / "train.txt").write_text("s0\ns1\n")
    (root / "val.txt").write_text("s2\n")
    (root / "dataset.yaml").write_text("correct: train")
    assert only(root).what.endswith("; 1 in train.txt and in val.txt")
    assert not a2lc.inspect(root, thorough=False, progress=False).suspicions


def test_pictures_of_12_bits(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)])
    save(np.linspace(0, 4050, 24 * 32).reshape(SIZE).astype(np.uint16), root / "images/s0.png")
    found = only(root)
    assert found.what == "1 picture of 16 bits with values up to 4,050, so of 12 bits: nearly black"
    write_proposal(look(root))
    assert not look(root).suspicions
    assert load_dataset("folder", root).train.image("s0").max() > 250


# --- other layouts


@pytest.mark.parametrize(
    ("image", "file", "lines"),
    [
        ("x{}.png", "x{}_mask.png", ('images: "{name}.png"', 'labels: "{name}_mask.png"')),
        ("images/x{}.png", "labels/x{}_mask.png", ("images: images", "labels: labels/{name}_mask.png")),
        ("JPEGImages/{}.png", "SegmentationClass/{}.png", ("images: JPEGImages", "labels: SegmentationClass")),
        ("pics/a/x{}.png", "gt/a/x{}_gt.png", ("images: pics/a", "labels: gt/a/{name}_gt.png")),
        ("d/img_{}.png", "d/mask_{}.png", ("images: d/img_{name}.png", "labels: d/mask_{name}.png")),
        ("x{}.jpg", "x{}.png", ('images: "{name}.jpg"', 'labels: "{name}.png"')),
    ],
)
def test_files_that_lie_otherwise(image: str, file: str, lines: tuple[str, ...], tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1), label(1, 0)], image=image, file=file)
    found = only(root)
    assert found.certain and found.lines == lines
    write_proposal(look(root))
    assert labels_read(root) == [{0, 1}] * 2 and not look(root).suspicions


def test_a_folder_per_split(tmp_path: Path) -> None:
    root = tmp_path / "d"
    dataset(root / "train", [label(0, 1), label(1, 0)], None)
    dataset(root / "val", [label(0, 1)] * 3, None)
    (root / "classes.txt").write_text("grass\nrock\n")
    for i in range(3):
        save(picture(10 + i), root / f"val/images/s{i}.png")
    assert only(root).lines == ("pairs: pairs.txt",)
    assert sorted(write_proposal(look(root))) == ["dataset.yaml", "pairs.txt"]
    assert len(labels_read(root)) == 5 and not look(root).suspicions


def test_pictures_that_people_look_at_are_no_labels(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 1)] * 2, image="{}.jpg", file="{}_labelIds.png")
    for i in range(2):
        save(coloured(RED, BLUE), root / f"{i}_color.png")
    assert only(root).lines[1] == 'labels: "{name}_labelIds.png"'


@pytest.mark.parametrize(
    ("labels", "listed", "ids"),
    [
        ([label(0, 1, 2, 255)], "class_0\nclass_1\nclass_2\n", ""),
        ([label(0, 255)], "class_0\nclass_255\n", "ids: {0: class_0, 255: class_255}"),
        ([label(7, 26, 255)], "class_7\nclass_26\n", "ids: {7: class_7, 26: class_26}"),
        ([coloured(RED, RED, BLUE)], "class_0 255 0 0\nclass_1 0 0 255\n", ""),
        ([palette(label(0, 1), BLUE, RED)], "class_0 0 0 255\nclass_1 255 0 0\n", ""),
    ],
)
def test_no_class_list(labels: list[Any], listed: str, ids: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", labels, None)
    found = only(root)
    assert found.certain and found.what.startswith("no class list; the label files hold ")
    write_proposal(look(root))
    assert (root / "classes.txt").read_text().partition("\n")[2] == listed
    assert (ids in (root / "dataset.yaml").read_text()) if ids else not (root / "dataset.yaml").exists()
    assert labels_read(root) and not look(root).suspicions


# --- never a crash, never an overwritten file


def _no_files(root: Path) -> None:
    root.mkdir()


def _no_pictures(root: Path) -> None:
    root.mkdir()
    (root / "a.png").mkdir()
    (root / "classes.txt").write_bytes(b"\xff\xfe\x00")
    (root / "dataset.yaml").write_text("[")


def _rubbish(root: Path) -> None:
    dataset(root, [label(0, 1)])
    for name in ("images/s0.png", "labels/s0.png"):
        (root / name).write_bytes(b"")
    save(picture(0), root / "images/s1.png")
    save(Image.new("CMYK", (3, 3)), root / "labels/s1.png", format="TIFF")
    save(picture(1), root / "images/s2.png")
    save(np.zeros(SIZE, np.float32), root / "labels/s2.png", format="TIFF")


def _two_of_one_name(root: Path) -> None:
    dataset(root, [label(0, 1)])
    save(picture(3), root / "images/s0.jpg")


def _bad_words(root: Path) -> None:
    dataset(root, [label(0, 1)], "void\ngrass\n")
    (root / "dataset.yaml").write_text("ids: {0: nothing}\nimagse: x")
    (root / "val.txt").write_text("")


def _bad_yaml(root: Path) -> None:
    dataset(root, [label(0, 1, 7)])
    (root / "dataset.yaml").write_text("ids: {0: gras}")


def _bytes_in_names(root: Path) -> None:
    dataset(root, [label(0, 1)])
    with suppress(OSError):  # not every system takes them
        os.rename(root / "images/s0.png", os.fsencode(root / "images") + b"/\xff.png")


def _missing_list(root: Path) -> None:
    dataset(root, [label(0, 1)])
    (root / "dataset.yaml").write_text("pairs: gone.txt")


def _loop(root: Path) -> None:
    dataset(root, [label(0, 1)])
    (root / "images/again").symlink_to(root, target_is_directory=True)


@pytest.mark.parametrize(
    "make",
    [
        _no_files,
        _no_pictures,
        _rubbish,
        _two_of_one_name,
        _bad_words,
        _bad_yaml,
        _bytes_in_names,
        _missing_list,
        _loop,
    ],
)
def test_it_never_fails(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(root := tmp_path / "d")
    found = look(root)
    assert found.errors or make in (_loop, _bytes_in_names)
    assert str(found) and found.short
    overlays(found)
    write_page(found, tmp_path / "page")
    with suppress(FileExistsError):
        write_proposal(found)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        look(tmp_path / "missing")


def test_the_command(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0, 255)] * 2, "a & <b>\nrock\n")

    def typed(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["inspect", str(root), *options])
        assert done.exception is None or isinstance(done.exception, (SystemExit, FileExistsError)), done.exception
        return done.exit_code, done.output

    code, said = typed("--out", str(tmp_path / "seen"))
    assert code == 1 and "ERROR: the label files hold nothing but 0 and 255" in said and "1 error" in said
    assert not (root / "dataset.yaml").exists()
    page = (tmp_path / "seen/index.html").read_text(encoding="utf-8")
    shown = re.findall(r'<img src="([^"]+)" alt="s\d: ', page)
    assert len(shown) == 4 and all((tmp_path / "seen" / file).is_file() for file in shown)
    assert "http" not in page and "a &amp; &lt;b&gt;" in page and "<b>&gt;" not in page
    code, said = typed("--write")
    assert code == 1 and f"{root / 'dataset.yaml'} written" in said
    code, said = typed()
    assert code == 0 and "nothing suspicious" in said
    (root / "dataset.yaml").write_text("# mine\n")
    code, said = typed("--write")
    assert code == 1 and (root / "dataset.yaml").read_text() == "# mine\n"
    with pytest.raises(FileExistsError, match=r"dataset\.yaml: is there already.*\n(.*\n)*ids: \{0: "):
        write_proposal(look(root))


def test_labels_are_drawn_on_pictures(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", [label(0), label(0, 1), label(255, 0, 1, 9)], "red 255 0 0\nblue 0 0 255\n")
    drawn = overlays(look(root), count=2)
    assert [overlay.name for overlay in drawn] == ["s2", "s0"]
    first = drawn[0]
    assert dict(first.legend) == {"red": RED, "blue": BLUE, "void": None, "9, no class": (255, 0, 255)}
    height, width, _ = first.picture.shape
    assert (height, width) == (480, 640) == first.labelled.shape[:2]
    void, red = first.labelled[:, : width // 4 - 2], first.labelled[:, width // 4 + 2 : width // 2 - 2]
    assert void.mean() < 0.5 * first.picture[:, : width // 4 - 2].mean()
    assert red[..., 0].min() >= 140 and (first.labelled[:, width // 4 - 1] == 255).all()


def test_correct_begins_with_a_look(tmp_path: Path) -> None:
    def typed(root: Path) -> tuple[str, BaseException | None]:
        options = ["--runs-dir", f"{root}_runs", "--budget", "2", "--device", "cpu"]
        done = CliRunner().invoke(app, ["correct", str(root), *options])
        return done.stdout, done.exception

    root = dataset(tmp_path / "d", [label(0, 1), label(1, 0)], "grass\nrock\nsnow\n")
    first = typed(root)[0].splitlines()
    assert first[0] == f"{root}: 2 pictures, 2 with labels" and first[2] == "pixels: grass 50 %, rock 50 %"
    assert first[3:5] == ["LOOK AT: 1 class of the list never occurs: snow", f"1 thing to look at: a2lc inspect {root}"]
    assert "pictures" not in typed(root)[0], "it has been looked at"
    said, error = typed(dataset(tmp_path / "e", [label(0, 255)] * 2))
    assert "ERROR: the label files hold nothing but 0 and 255" in said and isinstance(error, ValueError)
