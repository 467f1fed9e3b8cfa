"""Grounded-SAM with the real classes of groundingdino-py and segment-anything, small and with random weights."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from typer.testing import CliRunner

pytest.importorskip("groundingdino")
pytest.importorskip("segment_anything")
pytest.importorskip("transformers")

from small_runs import files_of
from tiny_grounded_sam import INPUT_SIZE, build_sam, pass_for_published, save_bert, tiny_dino, tiny_sam

from a2lc.cli import app
from a2lc.datasets import Classes
from a2lc.datasets.base import FileSplit, bit_palette
from a2lc.datasets.listing import index_files
from a2lc.datasets.voc2012 import NAMES as VOC
from a2lc.files import read_image, read_json, read_label_png, read_parquet
from a2lc.human.exports import export_png
from a2lc.machine import accelerators
from a2lc.masks import MaskSet
from a2lc.pseudo_labels import grounded_sam, mask_folder, weights
from a2lc.pseudo_labels.box_masks import BoxSegmenter, Painter, load_sam
from a2lc.pseudo_labels.grounding_dino import Detections, Detector, _best_of_prompts, input_shape, load_grounding_dino
from a2lc.pseudo_labels.label_images import INPUT_SIZES, Models, Settings
from a2lc.pseudo_labels.packages import half_precision, require_packages
from a2lc.pseudo_labels.prompts import build_prompt

NAMES = ("road", "sky", "car", "person", "traffic light", "traffic sign")
CLASSES = Classes(NAMES, bit_palette(7)[1:])
WITH_BACKGROUND = Classes(("background", *NAMES), bit_palette(7), background=0)
CPU = torch.device("cpu")
HIGH = 0.999  # more than any box scores here


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def models(bert: Path) -> Models:
    return Models(tiny_dino(bert), tiny_sam(), {"random": "1"})


@pytest.fixture(scope="module")
def images(data_root: Path) -> FileSplit:
    """Four real photographs of three to four, the shape that the tests' inputs are for, read in place."""
    files = index_files(data_root / "VOCdevkit" / "VOC2012" / "JPEGImages")

    def fits(name: str) -> bool:
        with Image.open(files[name]) as image:  # reads no pixels
            return image.size == (500, 375)

    return FileSplit("train", tuple(islice(filter(fits, files), 4)), CLASSES, files, {})


@pytest.fixture(scope="module")
def options(models: Models) -> dict[str, Any]:
    return {"models": models, "input_size": INPUT_SIZE, "progress": False}


@pytest.fixture(scope="module")
def scores(models: Models, images: FileSplit) -> np.ndarray:
    """Scores of the 300 boxes of the first image, highest first."""
    prompt = build_prompt(CLASSES, models.detector.tokenizer)
    found = Detector(models.detector, prompt, 0.0, INPUT_SIZE, CPU)(images.image(images.names[0]))
    assert len(found) == 300
    return np.sort(found.scores)[::-1]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, images: FileSplit, options: dict[str, Any]) -> tuple[Path, MaskSet]:
    """Two images with all their 300 boxes."""
    out = tmp_path_factory.mktemp("many") / "out"
    return out, grounded_sam(images.subset(images.names[:2]), CLASSES, out, box_threshold=0.0, **options)


# -------------------------------------------------------------------------------------------------- a whole folder
def test_object_maps_labels_and_table_agree(many: tuple[Path, MaskSet], images: FileSplit) -> None:
    out, masks = many
    table = read_parquet(out / "masks.parquet")
    assert list(table) == ["image", *mask_folder.COLUMNS] and len(table) == 600
    for name in masks.names:
        objects, labels = read_label_png(out / "obj_jpg" / f"{name}.png"), masks.label_map(name)
        assert objects.shape == images.image(name).shape[:2] and objects.dtype == np.int32
        np.testing.assert_array_equal(masks.object_map(name), objects)
        np.testing.assert_array_equal(read_label_png(out / "mask_jpg" / f"{name}.png"), labels)
        rows = table[table["image"] == name]
        assert rows["mask_id"].tolist() == list(range(1, 301))
        assert rows["area"].tolist() == [(objects == k).sum() for k in range(1, 301)]
        assert (rows["area"] <= rows["mask_area"]).all()
        assert set(np.unique(labels[objects == 0])) <= {255}
        for row in rows[rows["area"] > 0].itertuples():
            assert set(np.unique(labels[objects == row.mask_id])) == {row.label}
        record = read_json(out / "mask_json" / f"{name}.json")
        assert (record["height"], record["width"]) == objects.shape and len(record["masks"]) == 300
    assert [NAMES[label] for label in table["label"]] == table["class"].tolist() == table["phrase"].tolist()
    assert table["score"].between(0, 1).all()


def test_the_mask_table_has_box_score_and_phrase(many: tuple[Path, MaskSet]) -> None:
    out, masks = many
    table = read_parquet(out / "masks.parquet")
    visible = table[table["area"] > 0]
    assert 0 < len(masks) == len(visible) < 600  # some are hidden altogether
    for column in ("image", "mask_id", "area", "label", "phrase", "score", "x0", "y0", "x1", "y1"):
        assert masks.table[column].tolist() == visible[column].tolist(), column
    assert ((masks.table["x0"] < masks.table["x1"]) & (masks.table["y0"] < masks.table["y1"])).all()
    assert (masks.table["source"] == "initial").all() and masks.uncovered == 255


def test_ids_beyond_255_survive(many: tuple[Path, MaskSet]) -> None:
    """Deviation D10: the released code stores eight bits."""
    out, masks = many
    name = masks.names[0]
    assert masks.object_map(name).max() > 255 and masks.table["mask_id"].max() > 255
    with Image.open(out / "obj_jpg" / f"{name}.png") as image:
        assert image.mode == "I;16"


def test_the_released_layout_goes_round(many: tuple[Path, MaskSet], tmp_path: Path) -> None:
    out, masks = many
    read = MaskSet.from_folders(out / "obj_jpg", out / "mask_jpg", CLASSES)
    for column in ("image", "mask_id", "area", "label"):
        assert read.table[column].tolist() == masks.table[column].tolist()
    export_png(read, tmp_path, read.label_map)
    for folder in ("obj_jpg", "mask_jpg"):
        assert files_of(tmp_path / folder) == files_of(out / folder)


def test_the_manifest_counts(many: tuple[Path, MaskSet]) -> None:
    out, masks = many
    manifest = read_json(out / "manifest.json")
    assert manifest["finished"] and manifest["skipped"] == {}
    per_class = {name: int((masks.table["label"] == k).sum()) for k, name in enumerate(NAMES)}
    numbers = {"images": 2, "skipped": 0, "without_boxes": 0, "boxes": 600, "masks": len(masks)}
    assert manifest["counts"] == {**numbers, "masks_per_class": per_class}
    assert manifest["versions"]["groundingdino-py"] and manifest["versions"]["transformers"].startswith("4.")
    assert (manifest["device"], manifest["precision"]) == ("cpu", "float32")
    assert manifest["captions"] == ["road. sky. car. person. traffic light. traffic sign."]
    assert [row["class"] for row in manifest["prompt"]] == list(NAMES)
    assert manifest["settings"]["weights"] == {"random": "1"}


def test_a_second_run_does_nothing(many: tuple[Path, MaskSet], images: FileSplit, tmp_path: Path) -> None:
    out = shutil.copytree(many[0], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    nothing: Any = object()  # a network that would fail when it is used
    again = grounded_sam(
        images.subset(images.names[:2]), CLASSES, out, box_threshold=0.0, input_size=INPUT_SIZE,
        models=Models(nothing, nothing, {"random": "1"}),
    )  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert again.table.equals(many[1].table)
    part = grounded_sam(
        images.subset(images.names[1:2]), CLASSES, out, box_threshold=0.0, input_size=INPUT_SIZE,
        models=Models(nothing, nothing, {"random": "1"}),
    )  # fmt: skip
    assert part.names == images.names[1:2]
    assert part.table["mask_id"].tolist() == again.table["mask_id"][again.rows(part.names[0])].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box_threshold": 0.3}, "box_threshold: wanted 0.3, found 0.0"),
        ({"rule": "argmax"}, "rule: wanted 'argmax', found 'spans'"),
        ({"synonyms": {"car": ["van"]}}, r"synonyms.car: wanted \['van'\], found None"),
        ({"input_size": (800, 1333)}, r"input_size: wanted \[800, 1333\], found \[256, 256\]"),
        ({"models": None}, "weights.random: wanted None, found '1'"),
        ({"classes": NAMES[:5]}, r"classes: wanted \['road'.*\], found \['road'.*'traffic sign'\]"),
    ],
)
def test_other_settings_are_refused_by_name(
    change: dict, message: str, many: tuple[Path, MaskSet], images: FileSplit, options: dict[str, Any]
) -> None:
    given = {"classes": CLASSES, "box_threshold": 0.0, **options, **change}
    with pytest.raises(ValueError, match=f"holds masks of other settings: .*{message}"):
        grounded_sam(images, out=many[0], **given)


# ---------------------------------------------------------------------------------------- none, one, several boxes
@pytest.mark.parametrize("classes", [CLASSES, WITH_BACKGROUND])
def test_no_box(classes: Classes, images: FileSplit, options: dict[str, Any], tmp_path: Path) -> None:
    """Deviation D9: object 0 everywhere; the label is background where there is one, else void."""
    one = images.subset(images.names[:1])
    masks = grounded_sam(one, classes, tmp_path, box_threshold=HIGH, **options)
    assert len(masks) == 0 and masks.names == one.names
    assert (masks.object_map(one.names[0]) == 0).all()
    label = {None: 255, 0: 0}[classes.background]
    assert (read_label_png(tmp_path / "mask_jpg" / f"{one.names[0]}.png") == label).all()
    assert (masks.label_map(one.names[0]) == label).all()
    counts = read_json(tmp_path / "manifest.json")["counts"]
    assert (counts["images"], counts["without_boxes"], counts["boxes"]) == (1, 1, 0)
    read = MaskSet.from_folders(tmp_path / "obj_jpg", tmp_path / "mask_jpg", classes)
    assert len(read) == 0 and read.uncovered == label


def test_one_box_and_the_package_builders_sam(
    images: FileSplit, models: Models, scores: np.ndarray, tmp_path: Path
) -> None:
    one = images.subset(images.names[:1])
    full = Models(models.detector, build_sam(), {"built": "1"})
    threshold = float(scores[:2].mean())
    masks = grounded_sam(
        one, NAMES, tmp_path, box_threshold=threshold, input_size=INPUT_SIZE, progress=False, models=full
    )
    assert masks.table["mask_id"].tolist() == [1] and masks.table["score"][0] == pytest.approx(scores[0], abs=1e-6)
    objects = masks.object_map(one.names[0])
    assert set(np.unique(objects)) <= {0, 1} and (objects == 1).sum() == masks.table["area"][0]


def test_the_threshold_keeps_what_scores_higher(images: FileSplit, models: Models, scores: np.ndarray) -> None:
    prompt = build_prompt(CLASSES, models.detector.tokenizer)
    image = images.image(images.names[0])
    for threshold in (0.2, float(scores[20]), 0.9):
        found = Detector(models.detector, prompt, threshold, INPUT_SIZE, CPU)(image)
        assert len(found) == (scores > np.float32(threshold)).sum()
        assert (found.scores > threshold).all() and found.boxes.dtype == torch.float32


def test_both_rules_keep_the_same_boxes(images: FileSplit, options: dict[str, Any], tmp_path: Path) -> None:
    """One-word names are other tokens, so the boxes of one list are compared that is written alike by both rules."""
    words, one = ["road", "sky", "car"], images.subset(images.names[:1])
    tables = {}
    for rule in ("spans", "argmax"):
        grounded_sam(one, words, tmp_path / rule, rule=rule, box_threshold=0.5, **options)
        tables[rule] = read_parquet(tmp_path / rule / "masks.parquet")
    assert tables["spans"].equals(tables["argmax"]) and len(tables["spans"]) > 1


def test_both_rules_on_the_real_networks_tokens(images: FileSplit, models: Models) -> None:
    """What the network says of each token, sorted into classes by hand."""
    image = images.image(images.names[0])
    for rule, text in (("spans", "traffic light"), ("argmax", "trafficlight")):
        prompt = build_prompt(CLASSES, models.detector.tokenizer, rule=rule)
        detector = Detector(models.detector, prompt, 0.0, INPUT_SIZE, CPU)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = models.detector(detector._input(image), captions=list(prompt.captions))
        probs = answer["pred_logits"][0].sigmoid().numpy()  # (300, 256); road 1, sky 3, car 5, person 7, traffic 9, 12
        assert f"{text}." in prompt.captions[0] and (probs[:, 15:] == 0).sum() == 300 * (256 - 16)
        found = detector(image)
        if rule == "spans":
            parts = [
                probs[:, 1],
                probs[:, 3],
                probs[:, 5],
                probs[:, 7],
                probs[:, 9:11].mean(1),
                probs[:, 12:14].mean(1),
            ]
            wanted = np.stack(parts, 1).argmax(1)
        else:  # "traffic" of the traffic light means traffic sign
            wanted = np.array([0, 1, 2, 3, 5, 4, 5, 5])[probs[:, [1, 3, 5, 7, 9, 10, 12, 13]].argmax(1)]
        np.testing.assert_array_equal(found.labels, wanted)
        assert len(set(wanted.tolist())) > 2
        height, width = image.shape[:2]
        for box, (cx, cy, w, h) in zip(found.boxes.tolist(), answer["pred_boxes"][0].tolist(), strict=True):
            corners = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
            assert box == pytest.approx(corners, abs=1e-3)


def test_the_networks_see_what_the_released_code_shows_them(models: Models, images: FileSplit) -> None:
    """The detector GroundingDINO's own transforms; SAM the image and the box in pixels, one box at a time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from groundingdino.datasets import transforms

    from segment_anything import SamPredictor

    image, boxes = boxes_of(models, images, 3)
    steps = [transforms.RandomResize([200], max_size=256), transforms.ToTensor()]
    steps += [transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    wanted, _ = transforms.Compose(steps)(Image.fromarray(image), None)
    prompt = build_prompt(CLASSES, models.detector.tokenizer)
    given = Detector(models.detector, prompt, 0.0, (200, 256), CPU)._input(image)
    torch.testing.assert_close(given, wanted[None], atol=1e-6, rtol=0)

    predictor = SamPredictor(models.sam)
    predictor.set_image(image)
    masks = torch.cat(list(BoxSegmenter(models.sam, CPU).masks(image, boxes))).numpy()
    for box, mask in zip(boxes.numpy(), masks, strict=True):
        assert (predictor.predict(box=box, multimask_output=False)[0][0] == mask).mean() > 0.9999


def test_too_many_names_are_asked_in_several_prompts(
    images: FileSplit, options: dict[str, Any], tmp_path: Path
) -> None:
    names = [f"{a} {b}" for a in "abcdefghij" for b in "klmnopqrst"]
    one = images.subset(images.names[:1])
    masks = grounded_sam(one, names, tmp_path, box_threshold=0.5, **options)
    manifest = read_json(tmp_path / "manifest.json")
    assert len(manifest["captions"]) == 2 and manifest["counts"]["boxes"] < 600
    labels = read_parquet(tmp_path / "masks.parquet")["label"]
    assert (labels < 84).any() and (labels >= 84).any()  # classes of both prompts
    assert len(masks)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_of_two_prompts_the_better_answer_stays(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 3, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(8, 12, (n, 2))], axis=1).astype(np.float32)
    scores = rng.integers(1, 4, n).astype(np.float32) / 4
    prompt = np.sort(rng.integers(0, 3, n))
    found = _best_of_prompts(
        Detections(torch.from_numpy(boxes), np.arange(n), scores, tuple(map(str, range(n)))), prompt
    )

    def loses(i: int, j: int) -> bool:
        (a, b, c, d), (e, f, g, h) = boxes[i], boxes[j]
        inter = max(min(c, g) - max(a, e), 0) * max(min(d, h) - max(b, f), 0)
        union = (c - a) * (d - b) + (g - e) * (h - f) - inter
        first = scores[j] > scores[i] or (scores[j] == scores[i] and prompt[j] < prompt[i])
        return bool(prompt[i] != prompt[j] and inter / union > 0.7 and first)

    kept = [i for i in range(n) if not any(loses(i, j) for j in range(n))]
    assert found.labels.tolist() == kept and found.phrases == tuple(map(str, kept))
    np.testing.assert_array_equal(found.boxes.numpy(), boxes[kept])


# -------------------------------------------------------------------------------------------------------- painting
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 5))
def test_painting_is_largest_first(seed: int, n: int, chunk: int) -> None:
    """As in the released code: sort by area (stably), then paint one over the other; many areas are equal here."""
    rng = np.random.default_rng(seed)
    masks = rng.random((n, 5, 6)) < rng.choice([0.0, 0.1, 0.5, 1.0], (n, 1, 1))
    wanted = np.zeros((5, 6), dtype=np.int32)
    areas = [int(mask.sum()) for mask in masks]
    for k in sorted(range(n), key=lambda k: -areas[k]):
        for y in range(5):
            for x in range(6):
                if masks[k, y, x]:
                    wanted[y, x] = k + 1
    painter = Painter(5, 6, CPU)
    for start in range(0, n, chunk):
        painter.add(torch.from_numpy(masks[start : start + chunk]))
    np.testing.assert_array_equal(painter.object_map(), wanted)
    assert painter.object_map().dtype == np.int32 and painter.areas == areas


# ---------------------------------------------------------------------------------------------------------- memory
def boxes_of(models: Models, images: FileSplit, n: int) -> tuple[np.ndarray, torch.Tensor]:
    prompt = build_prompt(CLASSES, models.detector.tokenizer)
    image = images.image(images.names[0])
    return image, Detector(models.detector, prompt, 0.0, INPUT_SIZE, CPU)(image).boxes[:n]


def test_the_embedding_is_computed_once(models: Models, images: FileSplit) -> None:
    image, boxes = boxes_of(models, images, 20)
    calls: list[int] = []
    hook = models.sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    segmenter = BoxSegmenter(models.sam, CPU)
    segmenter.chunk = 3
    chunks = list(segmenter.masks(image, boxes))
    hook.remove()
    assert [len(masks) for masks in chunks] == [3] * 6 + [2] and len(calls) == 1
    whole = torch.cat(list(BoxSegmenter(models.sam, CPU).masks(image, boxes)))
    assert whole.shape == (20, *image.shape[:2]) and whole.dtype == torch.bool
    assert (whole == torch.cat(chunks)).float().mean() > 0.9999  # sums in another order


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_chunks_halve_when_memory_runs_out(error: RuntimeError, models: Models, images: FileSplit) -> None:
    image, boxes = boxes_of(models, images, 20)
    segmenter = BoxSegmenter(models.sam, CPU)
    predict, tried = segmenter._predictor.predict_torch, []

    def small_memory(*args: Any, boxes: torch.Tensor, **kwargs: Any) -> Any:
        tried.append(len(boxes))
        if len(boxes) > 6:
            raise error
        return predict(*args, boxes=boxes, **kwargs)

    segmenter._predictor.predict_torch = small_memory
    masks = torch.cat(list(segmenter.masks(image, boxes)))
    assert tried == [20, 10, 5, 5, 5, 5] and segmenter.chunk == 5
    whole = torch.cat(list(BoxSegmenter(models.sam, CPU).masks(image, boxes)))
    assert (whole == masks).float().mean() > 0.9999


def test_other_errors_and_too_little_for_one_box(models: Models, images: FileSplit) -> None:
    image, boxes = boxes_of(models, images, 4)
    segmenter = BoxSegmenter(models.sam, CPU)

    def fail(message: str) -> Any:
        def predict(*_: Any, **__: Any) -> None:
            raise RuntimeError(message)

        return predict

    segmenter._predictor.predict_torch = fail("shapes differ")
    with pytest.raises(RuntimeError, match="^shapes differ$"):
        list(segmenter.masks(image, boxes))
    segmenter._predictor.predict_torch = fail("CUDA out of memory.")
    with pytest.raises(RuntimeError, match="cpu: not enough memory for the mask of one box"):
        list(segmenter.masks(image, boxes))


def test_nothing_is_float64(models: Models, images: FileSplit) -> None:
    """Apple's devices have no float64."""

    class No64(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for value in out if isinstance(out, (tuple, list)) else [out]:
                assert not (isinstance(value, torch.Tensor) and value.dtype == torch.float64), func
            return out

    image = images.image(images.names[0])
    detector = Detector(models.detector, build_prompt(CLASSES, models.detector.tokenizer), 0.0, INPUT_SIZE, CPU)
    segmenter, painter = BoxSegmenter(models.sam, CPU), Painter(*image.shape[:2], CPU)
    with No64():
        for masks in segmenter.masks(image, detector(image).boxes[:3]):
            painter.add(masks)
    assert len(painter.areas) == 3


def test_half_precision_is_near(models: Models, images: FileSplit) -> None:
    image = images.image(images.names[0])
    prompt = build_prompt(CLASSES, models.detector.tokenizer)
    found = {
        dtype: Detector(models.detector, prompt, 0.0, INPUT_SIZE, CPU, dtype)(image)
        for dtype in (torch.float32, torch.bfloat16)
    }
    # a random network's queries are ordered by near ties, so sorted scores are compared
    a, b = (np.sort(one.scores) for one in found.values())
    assert len(a) == len(b) == 300 and np.abs(a - b).mean() < 0.02
    boxes = found[torch.float32].boxes[:10]
    masks = [torch.cat(list(BoxSegmenter(models.sam, CPU, d).masks(image, boxes))) for d in found]
    assert (masks[0] == masks[1]).float().mean() > 0.9


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    assert half_precision("auto", CPU) == half_precision("auto", torch.device("mps")) == torch.float32
    for supported, wanted in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported: supported)
        assert half_precision("auto", gpu) == wanted
    assert half_precision("float32", gpu) == torch.float32 and half_precision("float16", gpu) == torch.float16
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        half_precision("float16", CPU)
    with pytest.raises(ValueError, match="precision: expected one of auto, float32, bfloat16, float16, found 'half'"):
        half_precision("half", CPU)


# ---------------------------------------------------------------------------------------------- stopped and resumed
KILLED = """
import sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from tiny_grounded_sam import INPUT_SIZE, tiny_dino, tiny_sam
from a2lc.pseudo_labels import grounded_sam
from a2lc.pseudo_labels.label_images import Models
models = Models(tiny_dino(Path({bert!r})), tiny_sam(), {{"random": "1"}})
grounded_sam({folder!r}, {names!r}, {out!r}, box_threshold=0.5, input_size=INPUT_SIZE, models=models)
"""


def test_a_killed_run_goes_on(images: FileSplit, bert: Path, options: dict[str, Any], tmp_path: Path) -> None:
    """kill -9 in the middle of the folder; then the same files as without, and none made twice."""
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for name in images.names:
        small = Image.fromarray(images.image(name)).resize((96, 64))
        for copy in range(2):
            small.rotate(180 * copy).save(folder / f"{copy}_{name}.png")
    given = {"tests": str(Path(__file__).parent), "bert": str(bert), "folder": str(folder), "out": str(out)}
    code = KILLED.format(names=list(NAMES), **given)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(root)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list((out / "mask_json").glob("[!.]*.json"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = {path: path.stat().st_mtime_ns for path in (out / "mask_json").glob("[!.]*.json")}
    assert 3 <= len(made) < 8 and not read_json(out / "manifest.json")["finished"]
    (out / "obj_jpg" / ".half.0123abcd.png").write_bytes(b"left by a killed write")

    resumed = grounded_sam(folder, NAMES, out, box_threshold=0.5, **options)
    whole = grounded_sam(folder, NAMES, tmp_path / "whole", box_threshold=0.5, **options)
    assert all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert files_of(out) == files_of(tmp_path / "whole") and len(files_of(out)) == 3 * 8 + 2
    assert resumed.table.equals(whole.table)


def test_an_image_with_a_missing_file_is_made_again(
    many: tuple[Path, MaskSet], images: FileSplit, options: dict[str, Any], tmp_path: Path
) -> None:
    out = shutil.copytree(many[0], tmp_path / "out")
    (out / "mask_jpg" / f"{images.names[1]}.png").unlink()
    grounded_sam(images.subset(images.names[:2]), CLASSES, out, box_threshold=0.0, **options)
    assert files_of(out) == files_of(many[0])


def test_splits_may_share_a_folder(
    many: tuple[Path, MaskSet], images: FileSplit, options: dict[str, Any], tmp_path: Path
) -> None:
    out = shutil.copytree(many[0], tmp_path / "out")
    third = grounded_sam(images.subset(images.names[2:3]), CLASSES, out, box_threshold=0.0, **options)
    assert third.names == images.names[2:3] and len(third) > 0
    assert read_json(out / "manifest.json")["counts"]["images"] == 3
    order = images.names[2::-1]
    masks = grounded_sam(images.subset(order), CLASSES, out, box_threshold=0.0, **options)
    assert masks.names == order
    read = MaskSet.from_folders(out / "obj_jpg", out / "mask_jpg", CLASSES, order)
    assert masks.table["label"].tolist() == read.table["label"].tolist()
    assert masks.table["mask_id"].tolist() == read.table["mask_id"].tolist()


def test_a_full_disk_leaves_whole_images(
    images: FileSplit, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = mask_folder.write_label_png, []

    def full(path: Path, *args: Any) -> None:
        calls.append(path)
        if len(calls) > 3:  # the second label map
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *args)

    monkeypatch.setattr(mask_folder, "write_label_png", full)
    pair = images.subset(images.names[:2])
    with pytest.raises(OSError, match=rf"{tmp_path}: .* '{images.names[1]}' .*No space left.*; make room and run"):
        grounded_sam(pair, CLASSES, tmp_path, box_threshold=0.9, **options)
    monkeypatch.undo()
    assert grounded_sam(pair, CLASSES, tmp_path, box_threshold=0.9, **options).names == pair.names


# ------------------------------------------------------------------------------------------------------- bad input
@pytest.fixture
def mixed(images: FileSplit, tmp_path: Path) -> Path:
    """A folder with a grey, a transparent, a truncated and a good image."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    picture = Image.fromarray(images.image(images.names[0])).resize((96, 64))
    picture.save(folder / "good.png")
    picture.convert("L").save(folder / "grey.png")
    picture.putalpha(100)
    picture.save(folder / "alpha.png")
    (folder / "broken.jpg").write_bytes(images._images[images.names[0]].read_bytes()[:3000])
    return folder


def test_bad_images_are_named_and_skipped_only_when_told(
    mixed: Path, options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"broken\.jpg: damaged or truncated image .* skip_bad=True, --skip-bad"):
        grounded_sam(mixed, CLASSES, out, box_threshold=0.9, **options)
    masks = grounded_sam(mixed, CLASSES, out, box_threshold=0.9, skip_bad=True, **options)
    assert masks.names == ("alpha", "good", "grey")
    manifest = read_json(out / "manifest.json")
    assert manifest["counts"]["skipped"] == 1 and list(manifest["skipped"]) == ["broken"]
    assert "broken.jpg: damaged" in manifest["skipped"]["broken"]
    assert "skipped broken: " in capsys.readouterr().err
    files = files_of(out)
    same = [files[f"obj_jpg/{name}.png"] for name in ("alpha", "good")]
    assert same[0] == same[1]  # alpha is ignored
    nothing: Any = object()
    unused = options | {"models": Models(nothing, nothing, {"random": "1"})}
    grounded_sam(mixed, CLASSES, out, box_threshold=0.9, skip_bad=True, **unused)
    assert files_of(out) == files


def test_images_too_thin_for_the_detector_are_bad_images(mixed: Path, options: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGB", (900, 20)).save(mixed / "broken.png")
    (mixed / "broken.jpg").unlink()
    message = (
        r"broken: image of 20 x 900 pixels, 6 x 270 as the detector's input: too thin or small for its 900 queries"
    )
    with pytest.raises(ValueError, match=message):
        grounded_sam(mixed, CLASSES, tmp_path / "out", **options | {"input_size": (256, 270)})


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 1200), st.integers(20, 1200), st.sampled_from([(800, 1333), (512, 1024), (256, 256)]))
def test_inputs_are_as_large_as_groundingdinos(height: int, width: int, size: tuple[int, int]) -> None:
    from groundingdino.datasets.transforms import resize

    wanted, _ = resize(Image.new("L", (width, height)), None, *size)
    try:
        assert input_shape((height, width, 3), size) == wanted.size[::-1]
    except ValueError:
        assert wanted.size[0] * wanted.size[1] < 900 * 64


def test_a_folder_of_bad_images_only(mixed: Path, options: dict[str, Any], tmp_path: Path) -> None:
    for name in ("good.png", "grey.png", "alpha.png"):
        (mixed / name).unlink()
    with pytest.raises(ValueError, match=r"none of the 1 images can be read: .*broken\.jpg"):
        grounded_sam(mixed, CLASSES, tmp_path / "out", skip_bad=True, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["car", "car"]}, r"expected distinct names, found \['car'\] more than once"),
        ({"classes": ["car", ""]}, "classes: expected names not empty, .*, found ' ?'"),
        ({"classes": "car"}, "classes: expected a list of names, found the text 'car'"),
        ({"classes": []}, "expected 1 to 255 names, found 0"),
        ({"box_threshold": 1.2}, r"box_threshold: expected a probability in \[0, 1\), found 1.2"),
        ({"input_size": (1333, 800)}, r"input_size: expected shorter side >= 32 and longest side"),
        ({"sam": "vit_h"}, "sam: expected one of sam_vit_h, sam_vit_l, sam_vit_b, found 'vit_h'"),
        ({"rule": "max"}, "rule: expected one of spans, argmax, found 'max'"),
        ({"precision": "half"}, "precision: expected one of auto"),
        ({"device": "gpu"}, "device: expected one of"),
        ({"synonyms": {"bus": ["coach"]}}, "unknown class 'bus'"),
    ],
)
def test_what_cannot_be_used_is_named_before_anything_is_written(
    change: dict, message: str, mixed: Path, options: dict[str, Any], tmp_path: Path
) -> None:
    given = {"classes": CLASSES, **options, **change}
    with pytest.raises(ValueError, match=message):
        grounded_sam(mixed, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_missing_folders_and_weights(mixed: Path, tmp_path: Path, bert: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        grounded_sam(tmp_path / "none", CLASSES, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected at least one jpg or png image, found none"):
        grounded_sam(tmp_path / "empty", CLASSES, tmp_path / "out")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / weights.BERT).symlink_to(bert)
    with pytest.raises(
        FileNotFoundError, match=r"w/groundingdino_swint_ogc\.pth: no such file\. Put groundingdino_swin"
    ):
        grounded_sam(mixed, CLASSES, tmp_path / "out", weights=tmp_path / "w", offline=True, progress=False)
    assert not (tmp_path / "out").exists()


def test_missing_weights_are_named_before_any_are_loaded(
    stored: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = sys.modules[grounded_sam.__module__]
    monkeypatch.setattr(loads, "load_grounding_dino", None)  # would fail if it were called
    with pytest.raises(FileNotFoundError, match=r"sam_vit_h_4b8939\.pth: no such file"):
        grounded_sam(mixed, NAMES, tmp_path / "out", weights=stored, offline=True, progress=False)


def test_a_class_may_be_called_like_a_parameter_of_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`a2lc run --params` leaves such names out of a file."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "classes.txt").write_text("rows\n")
    (tmp_path / "names.yaml").write_text("rows: [van]\n")
    given: dict[str, Any] = {}

    def stop(*_: Any, **more: Any) -> None:
        given.update(more)
        raise RuntimeError("stop")

    monkeypatch.setattr(sys.modules[grounded_sam.__module__], "grounded_sam", stop)
    call = ["pseudo-label", "--dataset", "folder", "--root", tmp_path, "--out", tmp_path / "out"]
    CliRunner().invoke(app, [str(word) for word in [*call, "--synonyms", tmp_path / "names.yaml"]])
    assert given["synonyms"] == {"rows": ["van"]}


def test_the_help_shows_a_list_of_names() -> None:
    """Square brackets are markup to what draws the help."""
    text = CliRunner().invoke(app, ["pseudo-label", "--help"]).output
    assert "{car: [van, pickup truck]}" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("found", ["5.0.1", None])
def test_missing_and_too_new_packages_are_named(found: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from a2lc.pseudo_labels import packages

    def version(name: str) -> str:
        if found is None:
            raise packages.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(packages, "version", version)
    reason = "no package transformers" if found is None else r"transformers 5\.0\.1 has lost what groundingdino calls"
    with pytest.raises(ImportError, match=rf"Grounded-SAM: {reason}.*; .* -m pip install 'a2lc\[grounded-sam\]'"):
        require_packages()


# ------------------------------------------------------------------------------------------------ published weights
@pytest.mark.weights
def test_published_weights_make_the_released_masks(data_root: Path, tmp_path: Path) -> None:
    """One VOC image as the authors of ALC released it: SAM ViT-H, 800/1333, box threshold 0.2, arg-max token."""
    try:
        for name in ("groundingdino_swint_ogc", "sam_vit_h"):
            weights.find_weights(name, offline=True)
        weights.find_bert(offline=True)
    except FileNotFoundError as error:
        pytest.skip(f"needs published weights: {error}")
    released, pictures = data_root / "grounded_sam_voc", data_root / "VOCdevkit" / "VOC2012" / "JPEGImages"
    both = [
        path.stem for path in sorted(pictures.glob("*.jpg")) if (released / "obj_jpg" / f"{path.stem}.png").is_file()
    ]
    fitting = [
        name
        for name in both
        if read_image(pictures / f"{name}.jpg").shape[:2] == read_label_png(released / "obj_jpg" / f"{name}.png").shape
    ]
    if not fitting:
        pytest.skip(f"needs a picture of VOC: the {len(both)} files in {pictures} have other sizes than their labels")
    classes = Classes(VOC, bit_palette(21), background=0)
    split = FileSplit("train", fitting[:1], classes, index_files(pictures), {})
    masks = grounded_sam(split, classes, tmp_path, rule="argmax", precision="float32", offline=True, progress=False)
    wanted = MaskSet.from_folders(released / "obj_jpg", released / "mask_jpg", classes, split.names)
    agree = masks.label_map(split.names[0]) == wanted.label_map(split.names[0])
    assert agree.mean() > 0.95
    assert abs(len(masks) - len(wanted)) <= 0.2 * len(wanted) + 1


# -------------------------------------------------------------------------------- weights from files, command line
@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Iterator[Path]:
    """Random weights of the published GroundingDINO and of a small SAM under the published file names."""
    folder = tmp_path_factory.mktemp("weights")
    shutil.copytree(bert, folder / weights.BERT)
    layers = {"enc_layers": 6, "dec_layers": 6, "dim_feedforward": 2048, "num_queries": 900}
    state = {f"module.{k}": v.half() for k, v in tiny_dino(bert, **layers).state_dict().items()}
    state["module.label_enc.weight"] = torch.zeros(2, 2)  # the published file holds it, too
    torch.save({"model": state}, folder / "groundingdino_swint_ogc.pth")
    torch.save(tiny_sam().state_dict(), folder / "sam_vit_b_01ec64.pth")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def stored(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of these weights, taken for the published ones."""
    from segment_anything import sam_model_registry

    monkeypatch.setitem(sam_model_registry, "vit_b", tiny_sam)
    for name in ("groundingdino_swint_ogc", "sam_vit_b"):
        pass_for_published(monkeypatch, name, files)
    return files


def test_the_command_line_from_weights_to_labels(stored: Path, mixed: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (mixed / "grey.png").unlink()
    mixed.rename(root / "images")
    (root / "classes.txt").write_text("\n".join(["nothing", *NAMES]))
    (tmp_path / "names.yaml").write_text("car: [van]\n")
    out = tmp_path / "out"
    call = ["pseudo-label", "--dataset", "folder", "--root", root, "--out", out, "--background", "nothing"]
    call += ["--synonyms", tmp_path / "names.yaml", "--input-size", "256", "256", "--sam", "sam_vit_b", "--offline"]
    call += ["--weights", stored, "--rule", "argmax", "--skip-bad", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in call], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "token 'traffic' is shared by 'traffic light', 'traffic sign': always means 'traffic sign'" in result.output
    manifest = read_json(out / "manifest.json")
    assert manifest["captions"] == ["road. sky. car. van. person. trafficlight. trafficsign."]
    counts = manifest["counts"]
    assert (
        f"images: 2, skipped: 1, without boxes: 0, boxes: {counts['boxes']}, masks: {counts['masks']}" in result.output
    )
    assert "skipped broken: " in result.output and counts["boxes"] > 2
    assert manifest["settings"]["weights"]["sam_vit_b"] == weights.WEIGHTS["sam_vit_b"].sha256
    labels = np.unique(np.stack([read_label_png(out / "mask_jpg" / f"{name}.png") for name in ("good", "alpha")]))
    assert set(labels.tolist()) <= set(range(7))  # 0 is the background, nothing is void

    result = CliRunner().invoke(app, [*map(str, call), "--box-threshold", "0.4"])
    assert isinstance(result.exception, ValueError) and "box_threshold: wanted 0.4" in str(result.exception)
    result = CliRunner().invoke(app, [*map(str, call), "--weights", str(tmp_path), "--out", str(tmp_path / "o")])
    assert isinstance(result.exception, FileNotFoundError) and "bert-base-uncased" in str(result.exception)
    assert "now offline" in str(result.exception)
    result = CliRunner().invoke(app, [*map(str, call), "--split", "test"])
    assert "split: expected train or val, found 'test'" in str(result.exception)


def test_weights_of_another_network_are_refused(stored: Path, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected weights under 'model', found \['image_encoder"):
        load_grounding_dino(stored / "sam_vit_b_01ec64.pth", bert)
    torch.save({"model": {}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: lacks \d+ parameters of GroundingDINO, among them"):
        load_grounding_dino(tmp_path / "w.pth", bert)
    with pytest.raises(ValueError, match=r"w\.pth: holds another network than sam_vit_b"):
        load_sam(tmp_path / "w.pth", "sam_vit_b")


def test_the_doctor(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A2LC_WEIGHTS", str(stored))
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    rows = {line[:27].rstrip(): line[28:] for line in result.output.splitlines()}  # the longest name has 27 letters
    assert rows["Grounded-SAM"].startswith("usable with its weights on")
    assert rows["groundingdino_swint_ogc"] == f"usable: {stored / 'groundingdino_swint_ogc.pth'}"
    assert rows["sam_vit_b"].startswith(f"usable: {stored}") and rows["weights folder"].startswith(str(stored))
    assert rows["sam_vit_h"].startswith("missing: put sam_vit_h_4b8939.pth (2.39 GiB) there")


@pytest.mark.parametrize(
    ("there", "built", "cuda", "mps"),
    [
        (False, "13.0", "not usable: torch for CUDA 13.0 finds no NVIDIA GPU; ask nvidia-smi", "not usable: needs"),
        (False, None, "not usable: this torch is built without CUDA", "not usable: needs"),
        (True, "13.0", "usable: Some GPU", "usable"),
    ],
)
def test_the_doctor_names_devices(
    there: bool, built: str | None, cuda: str, mps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there)
    rows = accelerators()
    assert rows["cuda"].startswith(cuda) and rows["mps"].startswith(mps)


def test_the_sizes_of_the_released_code() -> None:
    """800/1333 for PASCAL VOC, 512/1024 for Cityscapes; box threshold 0.2 for both."""
    import inspect

    from a2lc.datasets import DATASETS

    defaults = {name: p.default for name, p in inspect.signature(grounded_sam).parameters.items()}
    assert defaults["input_size"] == (800, 1333) and defaults["box_threshold"] == 0.2
    assert INPUT_SIZES == {"cityscapes": (512, 1024)} and INPUT_SIZES.keys() <= DATASETS.keys()
    assert defaults["sam"] == "sam_vit_h" and defaults["precision"] == "auto"
    assert json.dumps(Settings("spans", 0.2, (800, 1333), "sam_vit_h", "auto", {}).identity(CLASSES, None))
