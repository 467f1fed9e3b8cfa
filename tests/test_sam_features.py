"""Features of masks by Segment Anything's image encoder: the real classes at tiny size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_grounded_sam import pass_for_published, tiny_sam

import a2lc
from a2lc.config import Experiment
from a2lc.pseudo_labels import sam_features
from a2lc.pseudo_labels.sam_features import SamEncoder, any_image_features
from a2lc.pseudo_labels.weights import WEIGHTS
from a2lc.segmenter import SegmenterSettings

pytest.importorskip("segment_anything")
NAME, CPU = "sam_vit_b", torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of published weights, of a network of another size."""
    from segment_anything import sam_model_registry

    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save(tiny_sam().state_dict(), folder / WEIGHTS[NAME].file)
    pass_for_published(monkeypatch, NAME, folder)
    monkeypatch.setitem(sam_model_registry, "vit_b", partial(tiny_sam, 128))
    return folder


def test_features_are_means_of_the_encoders_map(weights: Path) -> None:
    """Pixel by pixel; an image that is not square is padded, and what it is padded with is left out."""
    from segment_anything import SamPredictor

    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8)
    index = np.repeat(np.array([[0, 1, -1]]), 30, axis=1).repeat(60, axis=0)
    of_image, _ = any_image_features(NAME, SegmenterSettings(weights=weights), CPU)
    found = of_image(image, index, 2)
    predictor = SamPredictor(tiny_sam())
    predictor.set_image(image)
    whole = predictor.get_image_embedding()[0, :, :6].numpy()  # 90 pixels become 128, 60 become 85: 6 of 8 rows
    assert found.shape == (2, len(whole))
    cells = np.array([[whole[:, y * 6 // 60, x * 8 // 90] for x in range(90)] for y in range(60)])
    span = np.ptp(whole)
    for mask in range(2):
        np.testing.assert_allclose(found[mask], cells[index == mask].mean(0), atol=span / 255)  # kept in bytes


def test_maps_are_computed_once(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    first = SamEncoder(NAME, weights, True, CPU, tmp_path / "shared").map(image)
    monkeypatch.setattr(sam_features, "load_sam", None)  # would fail
    np.testing.assert_array_equal(SamEncoder(NAME, weights, True, CPU, tmp_path / "shared").map(image), first)


def test_a_run_is_played_with_them(weights: Path, tmp_path: Path) -> None:
    config = Experiment(
        dataset="toy",
        method="instant",
        rounds=1,
        budget=20,
        instant={"features": NAME},
        segmenter={"weights": weights, "offline": True},
    )
    run = a2lc.run(config, tmp_path / "runs", progress=False)
    assert run.finished and (run.initial / f"mask_features-{NAME}.safetensors").is_file()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"sam_vit_b_01ec64.pth.*`features: colour` needs none"):
        config = Experiment(
            dataset="toy",
            method="instant",
            rounds=1,
            budget=20,
            instant={"features": NAME},
            segmenter={"weights": tmp_path, "offline": True},
        )
        a2lc.run(config, tmp_path / "runs", progress=False)
    assert Experiment(dataset="toy", method="instant", instant={"features": NAME}).optional_modules == (
        "segment_anything",
    )
