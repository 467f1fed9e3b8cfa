"""Referring data: drawn scenes and their sentences, the importer of RefCOCO, shares of images, metrics."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from a2lc import referring
from a2lc.cli import app
from a2lc.datasets import toy_objects
from a2lc.datasets.toy_scene import draw
from a2lc.referring.data import COLUMNS, is_relational, table_of
from a2lc.referring.expressions import Seen
from a2lc.referring.safe_refs import read_refs
from a2lc.referring.toy import LEAST, WORD_OF, ToyReferringSplit

# --- drawn scenes


def test_scenes_of_toy_are_what_they_were_before_figures_were_noted() -> None:
    digest = hashlib.sha256()
    for number in range(20):
        image, labels = draw((number, 1, number), 48 + 7 * number, 64 + 9 * number)
        digest.update(image.tobytes() + labels.tobytes())
    assert digest.hexdigest() == "ffbb87d64b7c251f369b79106b1a1c14d31e1def871b5f6b3b0256a3b6e4fd8f"


def test_every_paint_has_one_word() -> None:
    paints = [*toy_objects.PAINTS, *toy_objects.BUS_PAINTS, *toy_objects.TRUCK_PAINTS]
    assert set([*paints, *toy_objects.CLOTHES, *toy_objects.SIGN_FACES]) == set(WORD_OF)


@pytest.fixture(scope="module")
def toy() -> referring.ReferringDataset:
    return referring.load_dataset("toy_referring", n_train=24, n_val=4, n_test=12)


def true_of(sentence: str, seen: list[Seen]) -> list[int]:
    """The figures a sentence is true of, from its words alone: the grammar read a second time."""
    kinds = "|".join(sorted({figure.kind for figure in seen}, key=len, reverse=True))
    colours = "|".join(sorted({figure.colour for figure in seen if figure.colour}))

    def named(text: str) -> list[Seen]:
        match = re.fullmatch(rf"the (?:({colours}) )?({kinds})", text)
        assert match, text
        return [f for f in seen if f.kind == match[2] and (match[1] is None or f.colour == match[1])]

    def numbers(figures: list[Seen]) -> list[int]:
        return [figure.number for figure in figures]

    if match := re.fullmatch(r"(the .+) that is not (\w+)", sentence):
        return numbers([f for f in named(match[1]) if f.colour and f.colour != match[2]])
    if match := re.fullmatch(r"(the .+) on the (left|right)", sentence):
        return numbers([f for f in named(match[1]) if (f.x < 0.5) is (match[2] == "left")])
    if match := re.fullmatch(r"the (nearest|farthest) (.+)", sentence):
        same = named(f"the {match[2]}")
        depths = [f.depth for f in same]
        return numbers([f for f in same if f.depth == (max(depths) if match[1] == "nearest" else min(depths))])
    if match := re.fullmatch(r"the (first|second|third) (.+) from the left", sentence):
        same, place = named(f"the {match[2]}"), ["first", "second", "third"].index(match[1])
        return numbers([f for f in same if len([o for o in same if o.x + 1 / 16 < f.x]) == place])
    if match := re.fullmatch(r"(the .+?) (left of|right of|behind|in front of) (the .+)", sentence):
        (anchor,) = named(match[3])
        fits = {
            "left of": lambda f: f.x + 1 / 16 < anchor.x,
            "right of": lambda f: anchor.x + 1 / 16 < f.x,
            "behind": lambda f: f.depth < anchor.depth and f.left <= anchor.right and anchor.left <= f.right,
            "in front of": lambda f: f.depth > anchor.depth and f.left <= anchor.right and anchor.left <= f.right,
        }[match[2]]
        return numbers([f for f in named(match[1]) if f is not anchor and fits(f)])
    return numbers(named(sentence))


def test_every_sentence_is_true_of_exactly_its_figure(toy: referring.ReferringDataset) -> None:
    forms = set()
    for split in toy.splits.values():
        assert isinstance(split, ToyReferringSplit)
        for row in split.table.itertuples():
            found = true_of(row.sentence, split.seen(row.image))
            assert found == [row.ref_id % 64], (row.image, row.sentence)
            forms |= {word for word in ("not", "on", "nearest", "from", "of", "behind") if word in row.sentence.split()}
    assert len(forms) == 6


def test_masks_boxes_and_areas_agree(toy: referring.ReferringDataset) -> None:
    table = toy.train.table
    assert dict(table.dtypes.astype(str)) == COLUMNS | {
        k: table[k].dtype.name for k in ("image", "sentence", "category")
    }
    for row in table.drop_duplicates("ref_id").itertuples():
        mask = toy.train.mask(row.ref_id)
        ys, xs = np.nonzero(mask)
        assert mask.shape == toy.train.image(row.image).shape[:2] == (96, 128)
        assert mask.sum() == row.area >= LEAST
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (row.x0, row.y0, row.x1, row.y1)


def test_test_splits_part_by_relation(toy: referring.ReferringDataset) -> None:
    plain, related = toy.splits["test_uni"], toy.splits["test_rel"]
    assert len(plain) and len(related)
    assert not {*plain.table["sentence_id"]} & {*related.table["sentence_id"]}
    assert all(is_relational(sentence) for sentence in related.table["sentence"])
    assert not any(is_relational(s) for s in plain.table["sentence"] if "not" not in s)


def test_first_scenes_do_not_depend_on_how_many_there_are(toy: referring.ReferringDataset) -> None:
    few = referring.load_dataset("toy_referring", n_train=3, n_val=1, n_test=1).train.table
    assert few.equals(toy.train.table[toy.train.table["image"].isin(few["image"])])
    other = referring.load_dataset("toy_referring", seed=1, n_train=3, n_val=1, n_test=1).train.table
    assert list(other["sentence"]) != list(few["sentence"])


def test_wrong_names_and_options_are_named(toy: referring.ReferringDataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_train must be an integer >= 1, found 0"):
        referring.load_dataset("toy_referring", n_train=0)
    with pytest.raises(ValueError, match="did you mean 'refcoco'"):
        referring.load_dataset("refcocoo")
    with pytest.raises(ValueError, match=r"toy_referring: options: .* found 'n_trian'; did you mean 'n_train'"):
        referring.load_dataset("toy_referring", n_trian=3)
    with pytest.raises(TypeError, match="root: expected a folder, found 3"):
        referring.load_dataset("refcoco", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"split_by: .* found \[\]"):
        referring.load_dataset("refcoco", tmp_path, split_by=[])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected root"):
        referring.load_dataset("refcoco")
    with pytest.raises(FileNotFoundError, match="a2lc referring import"):
        referring.load_dataset("refcocog", tmp_path)
    with pytest.raises(ValueError, match="split_by: expected one of umd, google, found 'unc'"):
        referring.load_dataset("refcocog", tmp_path, split_by="unc")
    with pytest.raises(KeyError, match="train_9999"):
        toy.train.image("train_9999")
    with pytest.raises(KeyError, match="no referent 7777777"):
        toy.train.mask(7777777)


# --- shares of images


def test_a_dataset_says_what_it_holds(toy: referring.ReferringDataset) -> None:
    sentences = {name: len(split) for name, split in toy.splits.items()}
    assert repr(toy.train) == f"ToyReferringSplit('train', {sentences['train']} sentences about 24 images)"
    start = f"ReferringDataset('toy_referring': train of {sentences['train']} sentences about 24 images, val of "
    assert repr(toy).startswith(start) and repr(toy).count("sentences") == 4


def test_labelled_images_are_nested(toy: referring.ReferringDataset) -> None:
    shares = [set(referring.labelled_images(toy.train, rate, seed=2)) for rate in (0.01, 0.1, 0.5, 1.0)]
    assert [len(share) for share in shares] == [1, 2, 12, 24]
    assert shares[0] < shares[1] < shares[2] < shares[3] == set(toy.train.names)
    assert shares[2] != set(referring.labelled_images(toy.train, 0.5, seed=3))
    anew = set(referring.labelled_images(toy.train, 0.5, seed=2, nested=False))
    assert len(anew) == 12 and anew != shares[2]
    assert set(toy.train.of_images(shares[1]).names) == shares[1]


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, float("nan")])
def test_a_rate_outside_its_range_is_refused(toy: referring.ReferringDataset, rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate: expected a share of images in \(0, 1\]"):
        referring.labelled_images(toy.train, rate)


@pytest.mark.parametrize(
    ("given", "named"),
    [({"rate": "0.5"}, "rate"), ({"rate": True}, "rate"), ({"seed": True}, "seed"), ({"seed": 0.5}, "seed")],
)
def test_a_rate_or_seed_that_is_no_number_is_refused(
    toy: referring.ReferringDataset, given: dict[str, Any], named: str
) -> None:
    with pytest.raises(TypeError, match=f"{named}: expected a .*number .*found {next(iter(given.values()))!r}"):
        referring.labelled_images(toy.train, **{"rate": 0.5, **given})
    with pytest.raises(ValueError, match="seed: expected"):
        referring.labelled_images(toy.train, 0.5, -1)
    half = (np.float32(0.5), np.int64(2))
    assert referring.labelled_images(toy.train, *half) == referring.labelled_images(toy.train, 0.5, 2)


# --- metrics


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def test_metrics_of_masks_made_by_hand() -> None:
    pairs = [
        (mask("##..", "...."), mask("##..", "....")),  # 2 of 2
        (mask("###.", "...."), mask("##..", "....")),  # 2 of 3
        (mask("....", "...."), mask("#...", "#...")),  # nothing found
        (mask("#...", "...."), mask("....", "....")),  # found where nothing is there
        (mask("....", "...."), mask("....", "....")),  # rightly nothing found
    ]
    found = referring.score_masks(pairs)
    assert found.overall_iou == pytest.approx(4 / 8)
    assert found.mean_iou == pytest.approx((1 + 2 / 3 + 1) / 5)
    assert found.precision == {0.5: 0.6, 0.6: 0.6, 0.7: 0.4, 0.8: 0.4, 0.9: 0.4}
    assert found.numbers()["pr60"] == 0.6 and found.number == 5


def test_nothing_found_where_nothing_is_there_is_right() -> None:
    found = referring.score_masks([(mask("...."), mask("...."))])
    assert found.numbers() == dict.fromkeys(("oiou", "miou", "pr50", "pr60", "pr70", "pr80", "pr90"), 1)


def test_metrics_refuse_what_is_no_pair() -> None:
    with pytest.raises(ValueError, match="masks of one size"):
        referring.score_masks([(np.ones((2, 2), bool), np.ones((2, 3), bool))])
    with pytest.raises(ValueError, match="n >= 1"):
        referring.score_masks([])
    with pytest.raises(ValueError, match="intersection <= union"):
        referring.ReferringMetrics.of(np.array([3]), np.array([2]))


# --- own data


class Own(referring.ReferringSplit):
    """One image with one object, given as `made` says."""

    made: tuple[Any, Any] = (None, None)

    def image(self, name: str) -> np.ndarray:
        return self.made[0]

    def mask(self, ref_id: int) -> np.ndarray:
        return self.made[1]

    def restricted(self, name: str, table: pd.DataFrame) -> Own:
        found = Own(name, self.source, table)
        found.made = self.made
        return found


def own(image: Any, mask: Any) -> Own:
    split = Own("train", "own", table_of([(0, 7, "a.png", "the dot", "dot", 4, 0, 0, 2, 2)]))
    split.made = (image, mask)
    return split


IMAGE, MASK = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), bool)


def test_own_data_are_what_they_say_they_are() -> None:
    split = own(IMAGE, MASK)
    assert split.checked_mask(7) is MASK and split.checked_image("a.png") is IMAGE


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (IMAGE / 255, MASK, r"train, image 'a.png': expected an \(H, W, 3\) uint8 array, found float64 \(4, 6, 3\)"),
        (IMAGE[..., 0], MASK, r"image 'a.png': .* found uint8 \(4, 6\)"),
        (None, MASK, "image 'a.png': .* found NoneType"),
        (IMAGE, 255 * MASK.astype(np.uint8), r"mask of referent 7: expected an \(H, W\) bool array, found uint8"),
        (IMAGE, None, "mask of referent 7: .* found NoneType"),
        (IMAGE, MASK[:3], r"mask of referent 7: expected \(4, 6\) as its image 'a.png', found \(3, 6\)"),
    ],
)
def test_own_data_that_are_something_else_are_named(image: Any, mask: Any, message: str, tmp_path: Path) -> None:
    data = referring.ReferringDataset("own", {"train": own(image, mask), "val": own(image, mask)})
    config = referring.Experiment(
        dataset="given", method="supervised", rate=1.0, training={"size": (32, 32), "steps": 1, "batch": 1}
    )
    with pytest.raises((TypeError, ValueError), match=message):
        referring.run(config, tmp_path, data=data, progress=False)


def test_a_row_of_another_length_is_named() -> None:
    with pytest.raises(ValueError, match=r"row 1: expected 10 values \(sentence_id, ref_id, image, .* found 2"):
        table_of([(0, 7, "a.png", "the dot", "dot", 4, 0, 0, 2, 2), (1, 7)])


# --- RefCOCO's archives


def instances(**changes: Any) -> dict[str, Any]:
    square = [2, 1, 6, 1, 6, 5, 2, 5]
    rle = {"size": [8, 10], "counts": [8, 4, 68]}
    return {
        "images": [{"id": 7, "file_name": "COCO_train2014_7.jpg", "height": 8, "width": 10}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {"id": 70, "image_id": 7, "category_id": 1, "area": 16, "bbox": [2, 1, 4, 4], "segmentation": [square]},
            {"id": 71, "image_id": 7, "category_id": 1, "area": 4, "bbox": [1, 0, 1, 4], "segmentation": rle},
        ],
    } | changes


def refs(**changes: Any) -> list[dict[str, Any]]:
    def ref(number: int, split: str, *texts: str) -> dict[str, Any]:
        sentences = [{"sent_id": 10 * number + i, "sent": text, "raw": text} for i, text in enumerate(texts)]
        shared = {"image_id": 7, "category_id": 1, "file_name": f"COCO_train2014_7_{number}.jpg"}
        return {"ref_id": number, "ann_id": 69 + number, "split": split, "sentences": sentences, **shared}

    long = " ".join(["very"] * 500)
    found = [ref(1, "train", "left  man", "", "mężczyzna z lewej"), ref(2, "val", f"the {long} thin one")]
    found[0] |= changes
    return found


def archive(folder: Path, records: Any = None, found: Any = None, protocol: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs() if records is None else records, protocol))
    (folder / "instances.json").write_text(json.dumps(instances() if found is None else found))
    return folder


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_an_archive_is_imported_once_and_read_without_pickle(tmp_path: Path, protocol: int) -> None:
    pytest.importorskip("pycocotools")
    source, root = archive(tmp_path / "refcoco", protocol=protocol), tmp_path / "data"
    assert (
        "train2014 goes into it"
        in CliRunner().invoke(app, ["referring", "import", "--help"], env={"COLUMNS": "200"}).output
    )
    told = CliRunner().invoke(app, ["referring", "import", str(source), str(root)])
    assert told.exit_code == 0, told.output
    assert "train: 2 sentences about 1 objects in 1 images" in told.output
    with pytest.raises(FileExistsError):
        referring.import_refcoco(source, root, "refcoco")
    (source / "refs(unc).p").unlink()
    (root / "train2014").mkdir()
    Image.new("RGB", (10, 8), (1, 2, 3)).save(root / "train2014" / "COCO_train2014_7.jpg")
    data = referring.load_dataset("refcoco", root)
    assert list(data.splits) == ["train", "val", "testA", "testB"]
    row = data.train.table.iloc[0]
    assert (row["sentence"], row["category"], row["area"]) == ("left man", "person", 16)
    assert tuple(row[["x0", "y0", "x1", "y1"]]) == (2, 1, 6, 5)
    assert data.train.image("COCO_train2014_7.jpg").shape == (8, 10, 3)
    wanted = np.zeros((8, 10), bool)
    wanted[1:5, 2:6] = True
    assert (data.train.mask(1) == wanted).all()
    column = np.zeros((8, 10), bool)
    column[:4, 1] = True
    assert (data.val.mask(2) == column).all()
    assert len(data.val.table["sentence"][0].split()) == 503


class Program:
    """A pickle of it runs a program."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_could_run_a_program_is_refused_and_does_not_run_it(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "made by the pickle"
    source = archive(tmp_path / "refcoco", [*refs(), Program(trap)], protocol=protocol)
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p: .*instruction \w+ at byte \d+"):
        referring.import_refcoco(source, tmp_path / "data", "refcoco")
    assert not trap.exists() and not (tmp_path / "data").exists()
    pickle.loads((source / "refs(unc).p").read_bytes())
    assert trap.is_dir()  # it would have


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # GLOBAL, REDUCE
        b"(ios\nsystem\n.",  # INST
        b"\x80\x02\x82\x01.",  # EXT1
        b"Pid\n.",  # PERSID
        b"\x80\x02]Qb.",  # BINPERSID, BUILD
        b"\x80\x05\x97.",  # NEXT_BUFFER
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a place in memory 2 GB away
        b"",
        b"no pickle at all",
    ],
)
def test_other_instructions_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "refs(unc).p").write_bytes(content)
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p: "):
        read_refs(tmp_path / "refs(unc).p")


def test_texts_of_python_2_are_read(tmp_path: Path) -> None:
    """Protocol 2 with byte texts and unicode ones, as Python 2 has written the published files."""
    record = b"(dU\x06ref_idK\x01sU\x06ann_idK\x46sU\x08image_idK\x07sU\x05splitU\x05trains"
    sentence = b"U\x09sentences](dU\x07sent_idK\x03sU\x04sentX\x04\x00\x00\x00caf\xc3sas"
    sentence = sentence.replace(b"X\x04\x00\x00\x00caf\xc3", b"X\x05\x00\x00\x00caf\xc3\xa9")
    (tmp_path / "refs(unc).p").write_bytes(b"\x80\x02]" + record + sentence + b"a.")
    (found,) = read_refs(tmp_path / "refs(unc).p")
    assert found["split"] == "train" and found["sentences"] == [(3, "café")]


def test_lists_in_lists_are_not_written_out(tmp_path: Path) -> None:
    value: Any = "x"
    for _ in range(60):  # written out, 2 ** 60 texts
        value = [value, value]
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([refs()[0] | {"split": value}]))
    with pytest.raises(ValueError, match="record 0: split: expected a text, found list"):
        read_refs(tmp_path / "refs(unc).p")


def test_tuples_are_refused_as_nested_ones_would_end_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "refs(unc).p").write_bytes(b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.")
    with pytest.raises(ValueError, match="instruction EMPTY_TUPLE at byte 3, which makes a tuple"):
        read_refs(tmp_path / "refs(unc).p")


def test_a_text_that_is_named_many_times_is_no_more_than_the_file(tmp_path: Path) -> None:
    text = "x" * 100_000  # kept once in the file, a thousand times in the table
    many = [{"sent_id": number, "sent": text} for number in range(1000)]
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps(refs(sentences=many)))
    with pytest.raises(ValueError, match="record 0: .* texts used many times"):
        read_refs(tmp_path / "refs(unc).p")


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    root = tmp_path / "data"
    referring.import_refcoco(archive(tmp_path / "refcoco"), root, "refcoco")
    (root / "train2014").mkdir()
    Image.new("RGB", (8, 10)).save(root / "train2014" / "COCO_train2014_7.jpg")
    data = referring.load_dataset("refcoco", root)
    with pytest.raises(ValueError, match=r"COCO_train2014_7\.jpg: expected an image as large as .* found 10 x 8"):
        data.train.image("COCO_train2014_7.jpg")
    with pytest.raises(KeyError, match="no image"):
        data.train.image("../secret.jpg")


def test_a_damaged_table_of_objects_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    root = tmp_path / "data"
    referring.import_refcoco(archive(tmp_path / "refcoco"), root, "refcoco")
    file = root / "refcoco-unc" / "objects.parquet"
    objects = pd.read_parquet(file)
    objects.assign(segmentation="[[1, 2").to_parquet(file)
    with pytest.raises(ValueError, match=r"objects\.parquet, referent 1: segmentation: damaged JSON"):
        referring.load_dataset("refcoco", root).train.mask(1)
    pd.concat([objects, objects]).to_parquet(file)
    with pytest.raises(ValueError, match=r"objects\.parquet.*expected every ref_id once"):
        referring.load_dataset("refcoco", root)


def test_a_truncated_file_is_damaged(tmp_path: Path) -> None:
    file = archive(tmp_path / "refcoco") / "refs(unc).p"
    content = file.read_bytes()
    for end in (1, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:end])
        with pytest.raises(ValueError, match="damaged"):
            read_refs(file)
    with pytest.raises(FileNotFoundError, match=r"refs\(umd\)\.p: no such file"):
        referring.import_refcoco(tmp_path / "refcoco", tmp_path / "data", "refcocog")


def annotated(**changes: Any) -> dict[str, Any]:
    first, *others = instances()["annotations"]
    return instances(annotations=[{**first, **changes}, *others])


def pictured(**changes: Any) -> dict[str, Any]:
    return instances(images=[{**instances()["images"][0], **changes}])


FAR = [{**instances()["annotations"][0], "segmentation": [[0, 0, 1e9, 0, 5, 5]]}]
OTHER_IMAGE = [{**instances()["annotations"][0], "image_id": 8}]
RLE = [{**instances()["annotations"][0], "segmentation": {"size": [8, 10], "counts": [8, 4]}}]


@pytest.mark.parametrize(
    ("records", "found", "message"),
    [
        (refs(ann_id=99), None, r"record 0: ann_id: .* found 99, which is not there"),
        (refs(image_id=99), None, r"record 0: image_id: .* found 99"),
        (refs(split="test"), None, "record 0: split: expected one of train, val, testA, testB, found 'test'"),
        (refs(ref_id=2), None, "every ref_id once, found 2 twice"),
        (refs(sentences=[{"sent_id": 20, "sent": "x"}]), None, "every sent_id once, found 20 twice"),
        (refs(sentences="many"), None, "record 0: sentences: expected list, found 'many'"),
        (refs(sentences=[{"sent_id": 1, "sent": 4}]), None, "record 0: sentence 1: expected a text, found 4"),
        ({"no": "list"}, None, "expected a list of records, found dict"),
        (None, instances(annotations=FAR), "annotation 70: polygon: expected points in or near an image"),
        (None, instances(annotations=OTHER_IMAGE), "record 0: expected an object in image 7, object 70 is in image 8"),
        (None, instances(annotations=RLE), "annotation 70: RLE: expected counts that add up to 80 pixels"),
        (None, instances(images=[{"id": 7}]), "image 7: file_name: expected a text, found None"),
        (None, {"images": []}, "expected a JSON object with images, annotations, categories"),
        (refs(ref_id=10**5000), None, "record 0: ref_id: .* found a number of about 5,000 digits"),
        (refs(ref_id=2**70), None, "record 0: ref_id: expected a whole number from 0 to"),
        (
            refs(sentences=[{"sent_id": 1, "sent": "half \ud800"}]),
            None,
            "expected whole letters of Unicode",
        ),
        (refs(sentences=[{"sent_id": 1, "sent": "long" * 40_000}]), None, "expected at most 131,071 characters"),
        (refs(sentences=[])[:1], None, "expected records with sentences, found 1 records without any"),
        (None, instances(images=2 * instances()["images"]), "images: expected every id once, found 7 twice"),
        (None, instances(annotations=2 * instances()["annotations"]), "annotations: expected every id once, found 70"),
        (None, annotated(segmentation=[[0, 0, 0, 0, 0, 0]]), "annotation 70: .* an object with pixels in its image"),
        (None, annotated(segmentation=[[0, 0, 10**400, 0, 5, 5]]), "polygon: .* found a number of about 400 digits"),
        (None, annotated(bbox=[2, 1, 4, 10**400]), "annotation 70: bbox: height: expected a number from -24 to 24"),
        (None, annotated(bbox=[2, 1, 0, 4]), "annotation 70: bbox: expected sides above 0"),
        (None, annotated(bbox=[11, 1, 4, 4]), "annotation 70: bbox: x: expected a number from -10 to 10"),
        (None, annotated(bbox="2 1 4 4"), "annotation 70: bbox: expected x, y, width and height"),
        (None, annotated(area=1e30), "annotation 70: area: expected a number from 0 to 720"),
        (None, annotated(category_id=[1]), "annotation 70: category_id: expected a whole number"),
        (None, pictured(height=10**9), "image 7: height: expected a whole number from 1 to 65535"),
        (None, pictured(file_name="../secret.jpg"), "image 7: file_name: expected the name of a file in train2014"),
        (None, pictured(file_name="C:\\secret.jpg"), "image 7: file_name: expected the name of a file in train2014"),
        (None, instances(categories=[{"id": 1, "name": 7}]), "category 1: name: expected a text, found 7"),
    ],
)
def test_records_that_fit_nothing_are_named(tmp_path: Path, records: Any, found: Any, message: str) -> None:
    pytest.importorskip("pycocotools")
    source = archive(tmp_path / "refcoco", records, found)
    with pytest.raises(ValueError, match=message):
        referring.import_refcoco(source, tmp_path / "data", "refcoco")
    assert not (tmp_path / "data" / "refcoco-unc").exists()
