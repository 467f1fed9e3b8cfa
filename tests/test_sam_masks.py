"""Masks of Segment Anything alone: its real classes, small and with random weights, on real photographs."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typer.testing import CliRunner

pytest.importorskip("segment_anything")

from small_runs import files_of
from tiny_grounded_sam import pass_for_published, tiny_sam

from a2lc.cli import app
from a2lc.datasets import load_dataset
from a2lc.datasets.listing import index_files
from a2lc.files import read_image, read_json, read_label_png, read_parquet
from a2lc.machine import MissingExtraError
from a2lc.pseudo_labels import mask_folder
from a2lc.pseudo_labels.mask_folder import UNLABELLED, MaskFolder
from a2lc.pseudo_labels.own_labels import own_label_masks
from a2lc.pseudo_labels.sam_masks import GridSegmenter, GridSettings, sam_object_maps
from a2lc.pseudo_labels.weights import WEIGHTS

CPU = torch.device("cpu")
GRID: dict[str, Any] = {"points_per_side": 12, "min_score": 0.0, "min_stability": 0.0}
SETTINGS = GridSettings("sam_vit_h", **GRID, precision="auto")
NAMES = ("a", "b", "c")


def spotty_sam() -> torch.nn.Module:
    """A tiny Sam whose masks are the few percent of pixels that answer most, so that they differ."""
    sam = tiny_sam()
    with torch.no_grad():
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:  # logits as wide as real ones
            mlp.layers[-1].weight *= 1000
            mlp.layers[-1].bias *= 1000
        sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.5  # scores above 0
    sam.mask_threshold = 60.0
    return sam


@pytest.fixture(scope="module")
def sam() -> torch.nn.Module:
    return spotty_sam()


@pytest.fixture(scope="module")
def images(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real photographs, made small."""
    folder = tmp_path_factory.mktemp("images")
    for name, path in zip(NAMES, index_files(data_root / "CamVid" / "train").values(), strict=False):
        Image.fromarray(read_image(path)).resize((160, 120)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def image(images: Path) -> np.ndarray:
    return read_image(images / "a.png")


@pytest.fixture(scope="module")
def made(images: Path, sam: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "out"
    assert sam_object_maps(images, out, **GRID, model=sam, progress=False) == out / "obj_jpg"
    return out


# ------------------------------------------------------------------------------------------------------------ masks
def test_the_packages_masks_are_painted_largest_first(image: np.ndarray, sam: torch.nn.Module) -> None:
    from segment_anything import SamAutomaticMaskGenerator

    generator = SamAutomaticMaskGenerator(sam, points_per_side=12, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    wanted, found = np.zeros(image.shape[:2], np.int32), [m for m in generator.generate(image) if m["area"]]
    for k in sorted(range(len(found)), key=lambda k: -found[k]["area"]):
        wanted[found[k]["segmentation"]] = k + 1
    objects, table = GridSegmenter(sam, SETTINGS, CPU)(image)
    assert objects.shape == image.shape[:2] and objects.dtype == np.int32 and len(found) > 10
    assert (objects == wanted).mean() > 0.999  # points are float32 here
    assert sum(m["area"] for m in found) > (objects > 0).sum()  # masks overlap
    assert table["mask_id"].tolist() == list(range(1, len(found) + 1))
    assert table["mask_area"].tolist() == pytest.approx([m["area"] for m in found], abs=3)
    assert table["area"].tolist() == [(objects == k).sum() for k in table["mask_id"]]
    assert table["score"].is_monotonic_decreasing
    for row in table[table["area"] > 0].itertuples():
        ys, xs = np.nonzero(objects == row.mask_id)
        assert row.x0 <= xs.min() <= xs.max() <= row.x1 and row.y0 <= ys.min() <= ys.max() <= row.y1


def test_scores_and_stability_choose(image: np.ndarray, sam: torch.nn.Module) -> None:
    _, every = GridSegmenter(sam, SETTINGS, CPU)(image)
    for column, name in (("score", "min_score"), ("stability", "min_stability")):
        middle = round(float(every[column].median()), 4)
        assert every[column].min() < middle < every[column].max()
        _, fewer = GridSegmenter(sam, GridSettings("sam_vit_h", **GRID | {name: middle}, precision="auto"), CPU)(image)
        assert len(fewer) > 0 and (fewer[column] >= middle).all()


def test_ids_beyond_255(image: np.ndarray, sam: torch.nn.Module, tmp_path: Path) -> None:
    segmenter = GridSegmenter(sam, GridSettings("sam_vit_h", **GRID | {"points_per_side": 24}, precision="auto"), CPU)
    segmenter._generator.box_nms_thresh = 1.0  # duplicates stay
    objects, table = segmenter(image)
    assert objects.max() > 255 and len(table) > 255
    folder = MaskFolder(tmp_path, {})
    folder.write("a", objects, table)
    np.testing.assert_array_equal(read_label_png(folder.object_map_file("a")), objects)
    with Image.open(folder.object_map_file("a")) as png:
        assert png.mode == "I;16"


def test_an_image_without_masks(images: Path, sam: torch.nn.Module, tmp_path: Path) -> None:
    maps = sam_object_maps(images, tmp_path, **GRID | {"min_score": 0.999}, model=sam, progress=False)
    assert all((read_label_png(maps / f"{name}.png") == 0).all() for name in NAMES)
    counts = read_json(tmp_path / "manifest.json")["counts"]
    assert counts == {"images": 3, "skipped": 0, "without_masks": 3, "masks": 0}
    assert list(read_parquet(tmp_path / "masks.parquet")) == ["image", *UNLABELLED]


def test_points_halve_when_memory_runs_out(image: np.ndarray, sam: torch.nn.Module) -> None:
    segmenter = GridSegmenter(sam, SETTINGS, CPU)
    predictor = segmenter._generator.predictor
    predict, tried = predictor.predict_torch, []

    def small_memory(points: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        tried.append(len(points))
        if len(points) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return predict(points, *args, **kwargs)

    predictor.predict_torch = small_memory
    objects, _ = segmenter(image)
    assert tried == [64, 32, *[16] * 9] and segmenter.chunk == 16
    assert (objects == GridSegmenter(sam, SETTINGS, CPU)(image)[0]).mean() > 0.999  # sums in another order

    def none_at_all(*_: Any, **__: Any) -> Any:
        raise RuntimeError("MPS backend out of memory")

    predictor.predict_torch = none_at_all
    with pytest.raises(RuntimeError, match="cpu: not enough memory for the masks of one point"):
        segmenter(image)


def test_the_device_sees_no_float64(image: np.ndarray, sam: torch.nn.Module) -> None:
    """Apple's devices have none; the package's own list of points, (n, 2), is float64 but stays on the CPU."""

    class No64(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            double = [x for x in tree_leaves((args, out)) if isinstance(x, torch.Tensor) and x.dtype == torch.float64]
            assert not double or any(x.ndim == 2 and x.shape[1] == 2 for x in double), func
            return out

    segmenter = GridSegmenter(sam, SETTINGS, CPU)
    predictor = segmenter._generator.predictor
    predict, seen = predictor.predict_torch, []

    def watch(points: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(points.dtype)
        return predict(points, *args, **kwargs)

    predictor.predict_torch = watch
    with No64():
        segmenter(image)
    assert set(seen) == {torch.float32}


def test_half_precision(image: np.ndarray, sam: torch.nn.Module) -> None:
    whole = GridSegmenter(sam, SETTINGS, CPU)
    half = GridSegmenter(sam, SETTINGS, CPU, torch.bfloat16)
    for segmenter in (whole, half):
        segmenter._generator.predictor.set_image(image)
    features = [segmenter._generator.predictor.features for segmenter in (whole, half)]
    assert features[1].dtype == torch.float32 and not torch.equal(*features)
    torch.testing.assert_close(*features, atol=0.1, rtol=0.1)
    assert len(half(image)[1]) > 10


# --------------------------------------------------------------------------------------------------- a whole folder
def test_the_folder(made: Path) -> None:
    table, manifest = read_parquet(made / "masks.parquet"), read_json(made / "manifest.json")
    assert sorted(path.name for path in made.iterdir()) == ["manifest.json", "mask_json", "masks.parquet", "obj_jpg"]
    for name in NAMES:
        objects = read_label_png(made / "obj_jpg" / f"{name}.png")
        rows = table[table["image"] == name]
        assert rows["area"].tolist() == [(objects == k).sum() for k in rows["mask_id"]]
    assert manifest["finished"] and manifest["versions"]["segment-anything"]
    assert manifest["counts"] == {
        "images": 3,
        "skipped": 0,
        "without_masks": 0,
        "masks": int((table["area"] > 0).sum()),
    }


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"settings": [], "finished": true}', "{"])
def test_a_damaged_manifest_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json: (damaged|expected)"):
        MaskFolder(tmp_path, {})


def test_a_split_without_images_is_refused(images: Path, tmp_path: Path) -> None:
    empty = mask_folder.as_split(images).subset([])
    with pytest.raises(ValueError, match="split 'train': expected at least one image, found none"):
        sam_object_maps(empty, tmp_path)


def test_a_second_run_does_nothing(made: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GridSegmenter, "__init__", None)  # would fail if it were used
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    sam_object_maps(images, made, **GRID, model=spotty_sam(), progress=False)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_a_stopped_run_goes_on(
    made: Path, images: Path, sam: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = mask_folder.write_label_png

    def full(path: Path, *args: Any) -> None:
        if path.stem == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, *args)

    monkeypatch.setattr(mask_folder, "write_label_png", full)
    with pytest.raises(OSError, match="masks of image 'b' could not be written .*make room and run this again"):
        sam_object_maps(images, tmp_path, **GRID, model=sam, progress=False)
    monkeypatch.undo()
    first = tmp_path / "obj_jpg" / "a.png"
    then = first.stat().st_mtime_ns
    assert not read_json(tmp_path / "manifest.json")["finished"]
    sam_object_maps(images, tmp_path, **GRID, model=sam, progress=False)
    assert first.stat().st_mtime_ns == then and files_of(tmp_path) == files_of(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points_per_side": 0}, "points_per_side: expected 1 to 128, found 0"),
        ({"min_score": 1.0}, r"min_score: expected a number in \[0, 1\), found 1.0"),
        ({"min_stability": -0.1}, "min_stability: expected a number"),
        ({"sam": "vit_b"}, "sam: expected one of sam_vit_h, sam_vit_l, sam_vit_b, found 'vit_b'"),
        ({"precision": "half"}, "precision: expected one of auto"),
        ({"device": "gpu"}, "device: expected one of"),
    ],
)
def test_what_cannot_be_used_is_named_before_anything_is_written(
    change: dict, message: str, images: Path, sam: torch.nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        sam_object_maps(images, tmp_path / "out", **{**GRID, "model": sam, "progress": False, **change})
    assert not (tmp_path / "out").exists()


def test_other_settings_and_weights_are_refused(made: Path, images: Path, sam: torch.nn.Module) -> None:
    refused = "holds masks of other settings: "
    with pytest.raises(ValueError, match=f"{refused}points_per_side: wanted 8, found 12"):
        sam_object_maps(images, made, **GRID | {"points_per_side": 8}, model=sam, progress=False)
    with pytest.raises(ValueError, match=f"{refused}weights.given: wanted None, found '[0-9a-f]{{16}}'"):
        sam_object_maps(images, made, **GRID, progress=False)
    other = spotty_sam()
    torch.nn.init.zeros_(other.mask_decoder.iou_token.weight)
    with pytest.raises(ValueError, match=f"{refused}weights.given: wanted"):
        sam_object_maps(images, made, **GRID, model=other, progress=False)


def test_missing_weights_and_images(images: Path, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"sam_vit_l_0b3195\.pth: no such file\. Put sam_vit_l_0b3195\.pth there"
    ):
        sam_object_maps(images, tmp_path / "out", sam="sam_vit_l", weights=tmp_path, offline=True, progress=False)
    assert not (tmp_path / "out").exists()
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="expected at least one jpg or png image, .* some in its folder images/"):
        sam_object_maps(tmp_path, tmp_path / "out")


def test_text_packages_are_not_needed(
    images: Path, sam: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "groundingdino.models", None)  # importing it fails now
    monkeypatch.setitem(sys.modules, "transformers", None)
    sam_object_maps(images, tmp_path / "out", **GRID, model=sam, progress=False)
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(ImportError, match=r"segment_anything.*; .* -m pip install 'a2lc\[grounded-sam\]'"):
        sam_object_maps(images, tmp_path / "other", **GRID, model=sam, progress=False)


# ----------------------------------------------------------------------------------- command line, own labels' masks
@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Sam's weights under the published name."""
    from segment_anything import sam_model_registry

    monkeypatch.setitem(sam_model_registry, "vit_b", spotty_sam)
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(spotty_sam().state_dict(), folder / WEIGHTS["sam_vit_b"].file)
    pass_for_published(monkeypatch, "sam_vit_b", folder)
    return folder


def test_from_images_to_masks_of_ones_own_labels(stored: Path, images: Path, made: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "mydata", tmp_path / "mydata" / "sam"
    (root / "labels").mkdir(parents=True)
    (root / "images").mkdir()
    (root / "classes.txt").write_text("left\nright\n")
    for name in NAMES:
        (root / "images" / f"{name}.png").write_bytes((images / f"{name}.png").read_bytes())
        labels = np.zeros((120, 160), np.uint8)
        labels[:, 80:] = 1
        Image.fromarray(labels).save(root / "labels" / f"{name}.png")
    (root / "images" / "broken.png").write_bytes(b"no image")
    call = ["sam-masks", root / "images", out, "--sam", "sam_vit_b", "--points-per-side", "12", "--min-score", "0"]
    call += ["--min-stability", "0", "--weights", stored, "--offline", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in call])
    assert isinstance(result.exception, ValueError) and "broken.png" in str(result.exception)
    result = CliRunner().invoke(app, [str(word) for word in [*call, "--skip-bad"]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "images: 3, skipped: 1, without masks: 0, masks: " in result.output
    assert "skipped broken: " in result.output and f"a2lc correct DATA --masks {out / 'obj_jpg'}" in result.output
    assert files_of(out / "obj_jpg") == files_of(made / "obj_jpg")

    with pytest.warns(UserWarning, match="1 images have no label and are left out: broken"):
        data = load_dataset("folder", root)
    masks = own_label_masks(
        data.train.subset(NAMES), data.classes, object_maps=out / "obj_jpg", min_area=1, progress=False
    )
    assert masks.names == NAMES and len(masks) == read_json(out / "manifest.json")["counts"]["masks"]
    np.testing.assert_array_equal(masks.object_map("a"), read_label_png(out / "obj_jpg" / "a.png"))
    assert set(masks.table["label"]) == {0, 1}

    result = CliRunner().invoke(app, [str(word) for word in [*call[:3], "--weights", tmp_path, "--offline"]])
    assert "holds masks of other settings" in str(result.exception)
    call = ["sam-masks", images, tmp_path / "other", "--weights", tmp_path, "--offline"]
    result = CliRunner().invoke(app, [str(word) for word in call])
    assert "Put sam_vit_h_4b8939.pth there (2.39 GiB" in str(result.exception)


def test_a_missing_package_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    with pytest.raises(MissingExtraError, match=r"a2lc\[grounded-sam\]"):
        sam_object_maps(tmp_path / "images", tmp_path / "out" / "masks", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
