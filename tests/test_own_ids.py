"""What the values in label files mean: dataset.yaml, black and white masks, palettes that contradict the class list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_runs import network, seeded
from typer.testing import CliRunner

import a2lc
from a2lc.cli import app
from a2lc.config import Experiment
from a2lc.datasets import load_dataset
from a2lc.files import read_label_png
from a2lc.human import Queue, next_round
from a2lc.human.own_dataset import own_experiment
from a2lc.human.write_back import apply_changes, revert_changes, write_back
from a2lc.runs import Run

SIZE = (48, 64)


def dataset(root: Path, values: tuple[int, ...], classes: str = "background\nobject\n", ids: str = "") -> Path:
    """Two images of two halves; files hold `values` in place of 0, 1 and, in a corner, 2."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text(classes)
    if ids:
        (root / "dataset.yaml").write_text(ids)
    places = np.zeros(SIZE, np.uint8)
    places[:, 32:] = 1
    places[:16, :16] = 2
    for i in range(2):
        shades = np.array([[200, 30, 30], [30, 30, 200], [30, 200, 30]], np.uint8)
        Image.fromarray(shades[places]).save(root / "images" / f"s{i}.png")
        Image.fromarray(np.array(values, np.uint8)[places]).save(root / "labels" / f"s{i}.png")
    return root


def begun(root: Path, runs: str = "runs") -> Run:
    fields = {"annotator": "human", "pseudo_labels": {"kind": "own_labels"}, "lcm": False, "rounds": 1, "budget": 0.99}
    config = Experiment(
        dataset="folder", root=root, seed=seeded(), segmenter=network(iterations=1, batch_size=2), **fields
    )
    return a2lc.run(config, root.parent / runs, device="cpu", progress=False)


def answered(root: Path, answers: dict[str, str]) -> Run:
    """Every mask answered: the class that it has -> what is said, else confirmed."""
    run = begun(root)
    queue, names = Queue(run), run.masks(0).classes.names
    for query in queue.queries:
        queue.answer(answers.get(names[query.label], "confirm"), query.position)
    return next_round(run, device="cpu", progress=False)


def test_black_and_white_masks_are_asked_about(tmp_path: Path) -> None:
    """0 and 255 mean background and object far more often than a dataset without any object."""
    root = dataset(tmp_path / "data", (0, 255, 0))
    told = r"nothing but 0, 'background', and 255, void\. Say in dataset\.yaml.* 'ids: \{0: background, 255: object\}'"
    with pytest.raises(ValueError, match=told):
        begun(root)
    (root / "dataset.yaml").write_text("ids: {0: background, 255: object}")
    assert set(begun(root).masks(0).table["label"]) == {0, 1}
    (root / "dataset.yaml").write_text("ids: {0: background, 1: object, 255: void}")
    assert set(begun(root, "others").masks(0).table["label"]) == {0}, "where nothing but background is what was meant"


def test_void_in_the_class_list_is_no_class(tmp_path: Path) -> None:
    """As class 0 it was written back as 255. What the message says to write is right."""
    root = dataset(tmp_path / "data", (0, 1, 2), "void\nroad\ncar\n")
    with pytest.raises(
        ValueError, match=r"classes\.txt: void, no label, is no class: take it out .* ids: \{.*\}$"
    ) as told:
        load_dataset("folder", root)
    (root / "classes.txt").write_text("road\ncar\n")
    (root / "dataset.yaml").write_text(str(told.value)[str(told.value).index("ids: ") :])
    write_back(answered(root, {"road": "car", "car": "void"}), tmp_path / "out")
    before, after = (read_label_png(folder / "labels" / "s0.png") for folder in (root, tmp_path / "out"))
    assert (after == np.array([0, 2, 0])[before]).all()


def test_values_are_read_and_written_back_as_they_were(tmp_path: Path) -> None:
    """Several values may mean one class; those of masks that nobody changed stay."""
    ids = "ids: {7: road, 8: road, 26: car, 0: void}"
    root = dataset(tmp_path / "data", (8, 26, 0), "road\ncar\n", ids)
    labels = load_dataset("folder", root).train.pseudo_labels("s0")
    assert labels is not None and {labels[40, 5], labels[40, 60], labels[5, 5]} == {0, 1, 255}
    run = answered(root, {"car": "road"})
    write_back(run, tmp_path / "out")
    for name in ("s0", "s1"):
        before, after = (read_label_png(folder / "labels" / f"{name}.png") for folder in (root, tmp_path / "out"))
        wanted = before.copy()
        wanted[before == 26] = 7
        assert (after == wanted).all()
    assert begun(tmp_path / "out", "others").masks(0).table["label"].eq(0).all(), (
        "the copy says what its values mean, too"
    )
    content = (root / "labels" / "s0.png").read_bytes()
    assert apply_changes(tmp_path / "out" / "changes", root) == 2
    assert revert_changes(tmp_path / "out" / "changes", root) == 2
    assert (root / "labels" / "s0.png").read_bytes() == content


def test_a_value_for_void_may_belong_to_a_class(tmp_path: Path) -> None:
    """Classes have their usual values, and 255 means one of them, too."""
    root = dataset(tmp_path / "data", (0, 255, 1), ids="ids: {0: background, 1: object, 255: object}")
    write_back(answered(root, {"object": "background"}), tmp_path / "out")
    for name in ("s0", "s1"):
        assert (read_label_png(tmp_path / "out" / "labels" / f"{name}.png") == 0).all()
    assert apply_changes(tmp_path / "out" / "changes", root) == 2


def test_void_needs_a_value_where_it_is_the_answer(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 255, 0), ids="ids: {0: background, 255: object}")
    run = answered(root, {"object": "void"})
    with pytest.raises(ValueError, match=r"s0\.png: ids: expected a value for void, the answer to some .* VALUE: void"):
        write_back(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (root / "dataset.yaml").write_text("ids: {0: background, 255: object, 9: void}")
    write_back(run, tmp_path / "out")
    assert set(np.unique(read_label_png(tmp_path / "out" / "labels" / "s0.png"))) == {0, 9}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ids: {0: background, 255: objct}", "255: expected a class or void, found 'objct'; did you mean 'object'"),
        ("ids: {0: background}", "expected a value for every class, found none for 'object'"),
        ("ids: {0: background, 65536: object}", r"expected values in 0\.\.65535, ranges .*, found '65536'"),
        ("ids: {background: 0, object: 255}", "background: expected a class or void, found '0'"),
        ("ids: [0, 255]", "expected a mapping, found a list"),
        ("id: {0: background}", "no such key; did you mean 'ids'"),
        ("ids: {0: background, 0: object}", "expected each key once, found 0 twice"),
        ("ids: {0-9: background, 5: object}", "expected each value once, found 5 twice"),
        ("ids: {9-0: background, 5: object}", "ranges such as 24-33, or else, found '9-0'"),
        ("ids: {0: background, else: object}", "found none for 'object'"),
        ("ids: {0: [", "damaged YAML"),
    ],
)
def test_a_wrong_dataset_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 255, 0), ids=text)
    with pytest.raises(ValueError, match=rf"dataset\.yaml(, line 1)?: .*{message}") as refused:
        load_dataset("folder", root)
    assert "\n" not in str(refused.value)


def test_a_value_that_nobody_explained_is_named(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 255, 3), ids="ids: {0: background, 255: object}")
    with pytest.raises(ValueError, match=r"s0\.png: expected label ids in 0, 255 \(2 classes\), found 3"):
        load_dataset("folder", root).train.pseudo_labels("s0")


def test_labels_in_a_lossy_format_are_refused(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 1, 0))
    Image.open(root / "labels" / "s0.png").save(root / "labels" / "s0.png", "JPEG")
    with pytest.raises(ValueError, match=r"s0\.png: expected ids, found a JPEG picture, which blurs them"):
        load_dataset("folder", root).train.pseudo_labels("s0")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 0, 0), "car\n")
    with pytest.raises(ValueError, match=rf"{root}: expected at least two classes, found 'car' alone"):
        begun(root)


def test_permissions_of_label_files_stay(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 1, 0))
    for file in (root / "labels").iterdir():
        file.chmod(0o600)
    write_back(answered(root, {"object": "background"}), tmp_path / "out")
    apply_changes(tmp_path / "out" / "changes", root)
    modes = {
        file.stat().st_mode & 0o777 for folder in (root, tmp_path / "out") for file in (folder / "labels").iterdir()
    }
    assert modes == {0o600}


def test_another_run_of_the_dataset_is_told(tmp_path: Path) -> None:
    """`a2lc correct` with other options begins a new run; answers lie in the other one."""
    root, runs = dataset(tmp_path / "data", (0, 1, 0)), tmp_path / "runs"

    def correct(*options: str) -> Any:
        typed = ["correct", str(root), "--runs-dir", str(runs), "--device", "cpu", *options]
        done = CliRunner().invoke(app, typed)
        assert done.exit_code == 0, done.exception
        return done.output

    assert "a new run" not in correct("--budget", "3")
    (first,) = (path for path in runs.iterdir() if (path / "config.json").is_file())
    assert "a new run" not in correct("--budget", "3")
    told = (
        f"a new run; {first} of this dataset has other settings and is not finished: a2lc next {first} goes on with it"
    )
    assert told in " ".join(correct("--budget", "2").split())


def test_a_palette_that_contradicts_the_class_list_is_refused(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", (0, 1, 0), "red 255 0 0\nblue 0 0 255\n")
    ids = read_label_png(root / "labels" / "s0.png")
    for palette, fits in (([255, 0, 0, 0, 0, 255], True), ([0, 0, 255, 255, 0, 0], False), ([9, 9, 9, 8, 8, 8], True)):
        picture = Image.fromarray(ids)
        picture.putpalette(palette)
        picture.save(root / "labels" / "s0.png")
        split = load_dataset("folder", root).train
        if fits:
            assert (split.pseudo_labels("s0") == ids).all()
        else:
            told = r"s0\.png: id 0, 'red', is drawn in \(0, 0, 255\), which the class list gives to 'blue'; put"
            with pytest.raises(ValueError, match=told):
                split.pseudo_labels("s0")
    (root / "classes.txt").write_text("red\nblue\n")
    Image.fromarray(ids).save(root / "labels" / "s1.png")
    assert load_dataset("folder", root).train.pseudo_labels("s0") is not None, "only colours that somebody wrote down"


@pytest.mark.parametrize("method", ["a2lc", "instant"])
def test_an_area_without_a_label_is_given_one(method: str, tmp_path: Path) -> None:
    """Only where it was asked for: areas without a label belong to no mask otherwise."""
    root = dataset(tmp_path / "data", (0, 1, 255))
    assert set(begun(root).masks(0).table["label"]) == {0, 1}
    fields: dict[str, Any] = {"budget": 0.99, "rounds": 1, "pseudo_labels": {"kind": "own_labels", "void": True}}
    if method == "instant":
        fields["instant"] = {"features": "colour"}
    else:
        fields |= {"method": method, "segmenter": network(iterations=1, batch_size=2), "lcm": False}
    run = a2lc.run(own_experiment(root, **fields), tmp_path / "runs", device="cpu", progress=False)
    assert sorted(run.masks(0).table["label"]) == [0, 0, 1, 1, 255, 255]
    queue = Queue(run)
    for query in [query for query in queue.queries if query.label == 255]:
        queue.answer("object" if query.image == "s0" else "confirm", query)
    run = next_round(run, enough=True, device="cpu", progress=False)
    run = next_round(run, enough=True, device="cpu", progress=False) if run.waits_for else run
    write_back(run, tmp_path / "out")
    before, after = (read_label_png(folder / "labels" / "s0.png") for folder in (root, tmp_path / "out"))
    assert (after == np.where(before == 255, 1, before)).all()
    assert (root / "labels/s1.png").read_bytes() == (tmp_path / "out/labels/s1.png").read_bytes()
