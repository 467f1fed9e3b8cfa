"""Networks of other libraries behind one interface: real classes at tiny size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_segmenter import Halves
from tiny_backbones import NAME, save_weights

import a2lc
from a2lc import Experiment
from a2lc.machine import SMP, TRANSFORMERS, MissingExtraError
from a2lc.segmenter import SegmenterSettings, build_segmenter, families
from a2lc.segmenter.model import TorchSegmenter

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = {"iterations": 30, "batch_size": 4, "optimizer": "adamw_poly", "lr": 3e-3, "rescale": (1, 1)}


def learns(settings: SegmenterSettings, tmp_path: Path, anew: dict[str, Any], share: float = 0.7) -> TorchSegmenter:
    """It learns, predicts maps of the image's size, and comes back from its file without what it started from."""
    split, model = Halves(4, (40, 50)), build_segmenter(settings, 3, "cpu")
    assert isinstance(model, TorchSegmenter)
    log = model.fit(split, split.ground_truth, seed=0, progress=False)
    assert log.losses[-1] < log.losses[0] * share
    image = split.image("image0")
    probs = model.predict(image)
    assert probs.shape == (3, 40, 50)
    torch.testing.assert_close(probs.sum(0), torch.ones(40, 50))
    assert model.features(image).shape[1:] == (40, 50)
    model.save(tmp_path / "saved.safetensors")
    again = build_segmenter(settings.model_copy(update=anew), 3, "cpu")
    again.load(tmp_path / "saved.safetensors")
    torch.testing.assert_close(again.predict(image), probs)
    return model


@pytest.mark.parametrize("architecture", ["unet", "fpn"])
def test_smp(architecture: str, tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    file = save_weights(tmp_path)
    settings = SegmenterSettings(
        network="smp", architecture=architecture, backbone=NAME, pretrained=True, weights=file, **FAST
    )
    model = learns(settings, tmp_path, {"weights": None, "offline": True})
    assert model.pretrained_from["weights"] == str(file)


def test_smp_starts_from_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    from a2lc.segmenter.pretrained import find_backbone

    weights = find_backbone(NAME, save_weights(tmp_path))
    network = families.SmpNetwork(SegmenterSettings(network="smp", backbone=NAME), 3, weights)
    state, kept = network.backbone.model.state_dict(), weights.state()
    assert len(state) > 50 and all(torch.equal(state[key], kept[key]) for key in state)
    assert network.backbone.mean.tolist() == pytest.approx(weights.mean)


def tiny_folder(kind: str, folder: Path) -> Path:
    """A tiny SegFormer or Mask2Former with weights, as the library saves it."""
    transformers = pytest.importorskip("transformers")
    if kind == "segformer":
        small = {"hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2], "depths": [1, 1, 1, 1]}
        config = transformers.SegformerConfig(**small, decoder_hidden_size=16, num_labels=5)
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    else:
        swin = transformers.SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4)
        swin.out_features = ["stage1", "stage2", "stage3", "stage4"]
        sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 32}
        sizes |= {"dim_feedforward": 32, "num_attention_heads": 2, "encoder_layers": 1, "decoder_layers": 2}
        config = transformers.Mask2FormerConfig(swin, **sizes, num_queries=8, num_labels=5)
        transformers.Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # of transformers about its own ways
@pytest.mark.parametrize("kind", ["segformer", "mask2former"])
def test_transformers(kind: str, tmp_path: Path) -> None:
    folder = tiny_folder(kind, tmp_path / "tiny")
    settings = SegmenterSettings(network=kind, pretrained=True, weights=folder, **{**FAST, "lr": 1e-2})
    share = 0.7 if kind == "segformer" else 0.98  # queries begin slowly
    model = learns(settings, tmp_path, {"weights": None, "pretrained": False, "offline": True}, share)
    assert model.network is not None and isinstance(model.network, families.TransformersNetwork)
    slow = {id(parameter) for parameter in model.network.backbone.parameters()}
    assert 0 < len(slow) < len(list(model.network.parameters()))
    found = model.pretrained_from
    assert (
        found["weights"] == str(folder) and len(str(found["sha256"])) == 64 and found["mean"] == [0.485, 0.456, 0.406]
    )


@pytest.mark.filterwarnings("ignore")
def test_transformers_start_from_the_weights(tmp_path: Path) -> None:
    folder = tiny_folder("segformer", tmp_path / "tiny")
    settings = SegmenterSettings(network="segformer", pretrained=True, weights=folder)
    from safetensors.torch import load_file

    network, kept = families.TransformersNetwork(settings, 3, True), load_file(folder / "model.safetensors")
    state = network.model.state_dict()
    differing = [key for key in kept if not torch.equal(state[key], kept[key])]
    assert sorted(differing) == ["decode_head.classifier.bias", "decode_head.classifier.weight"]


@pytest.mark.filterwarnings("ignore")
def test_mask2former_says_which_query_claims_a_pixel(tmp_path: Path) -> None:
    """Its logits are the logarithm of the sum over queries of class probability times mask, as its authors do."""
    folder = tiny_folder("mask2former", tmp_path / "tiny")
    network = families.TransformersNetwork(
        SegmenterSettings(network="mask2former", pretrained=True, weights=folder), 3, True
    ).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        out, logits = network.model(images), network(images)
    expected = torch.zeros(3, *logits.shape[2:])
    for query in range(8):
        classes = out.class_queries_logits[0, query].softmax(0)[:3]
        expected += classes[:, None, None] * out.masks_queries_logits[0, query].sigmoid()
    torch.testing.assert_close(logits[0].exp(), expected)


@pytest.mark.parametrize(
    ("network", "module"), [("smp", SMP), ("segformer", TRANSFORMERS), ("mask2former", TRANSFORMERS)]
)
def test_a_missing_package_names_the_command(
    network: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work: not even the folder of runs is made."""
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"^networks? .*'{network}'.* needs? [\w-]+: .* 'a2lc\[networks\]'$"
    settings = SegmenterSettings(network=network, iterations=1)
    with pytest.raises(MissingExtraError, match=message):
        build_segmenter(settings, 3, "cpu").fit(Halves(2), Halves(2).ground_truth, seed=0, progress=False)
    with pytest.raises(MissingExtraError, match=message):
        a2lc.run(Experiment(segmenter={"network": network}), tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


def test_weights_that_are_nowhere_or_damaged(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    offline = SegmenterSettings(network="segformer", backbone="nobody/nothing", pretrained=True, offline=True)
    with pytest.raises(FileNotFoundError, match=r"no weights of 'nobody/nothing' in the hub's cache.*\(now offline\)"):
        families.TransformersNetwork(offline, 3, True)
    empty = offline.model_copy(update={"weights": tmp_path})
    with pytest.raises(FileNotFoundError, match=rf"segmenter.weights: {tmp_path}: "):
        families.TransformersNetwork(empty, 3, True)
    folder = tiny_folder("segformer", tmp_path / "tiny")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=rf"{folder}: no weights of segformer"):
        families.TransformersNetwork(offline.model_copy(update={"weights": folder}), 3, True)


@pytest.mark.parametrize("text", ["os.system", "builtins:eval", "package.module:Network"])
def test_no_import_path_is_ever_followed(text: str) -> None:
    with pytest.raises(ValueError, match="segmenter.network"):
        Experiment(segmenter={"network": text})
    with pytest.raises(ValueError, match="segmenter.architecture"):
        Experiment(segmenter={"network": "smp", "architecture": text})
