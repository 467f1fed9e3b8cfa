"""The segmenter: networks, training, prediction, weights."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_runs import network, seeded
from torch import nn

from a2lc.datasets import Split
from a2lc.segmenter import SegmenterSettings, build_segmenter, from_released_checkpoint, resolve_device
from a2lc.segmenter.augmentation import augmentation
from a2lc.segmenter.deeplab import DeepLabV3Plus
from a2lc.segmenter.head import CosineClassifier
from a2lc.segmenter.light import LightNetwork
from a2lc.segmenter.model import TorchSegmenter
from a2lc.segmenter.muon import Float32Muon, orthogonalised
from a2lc.segmenter.recipes import SgdPoly
from a2lc.segmenter.samples import Samples, load_batches
from a2lc.segmenter.training import normalise, pixel_loss

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = SegmenterSettings(
    **{"precision": "float32"} | network(iterations=3, batch_size=2, scale=1.0, lr=0.05, colour_jitter=0.3)
)
State = dict[str, torch.Tensor]


class Halves(Split):
    """Pictures whose class shows in the colour: red above (0), green below (1), a blue square somewhere (2)."""

    def __init__(self, count: int = 6, size: tuple[int, int] = (48, 64)) -> None:
        super().__init__("train", [f"image{i}" for i in range(count)])
        self.size = size

    def ground_truth(self, name: str) -> np.ndarray:
        height, width = self.size
        generator = np.random.default_rng(int(name[5:]))
        labels = np.zeros(self.size, dtype=np.uint8)
        labels[generator.integers(height // 3, 2 * height // 3) :] = 1
        top, left = generator.integers(0, height - 16), generator.integers(0, width - 16)
        labels[top : top + 16, left : left + 16] = 2
        return labels

    def image(self, name: str) -> np.ndarray:
        colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])
        noise = np.random.default_rng(99).integers(-30, 30, (*self.size, 3))
        return (colours[self.ground_truth(name)] + noise).astype(np.uint8)


def void(_: str) -> np.ndarray:
    return np.full((48, 64), 255, dtype=np.uint8)


def weights(model: TorchSegmenter) -> State:
    assert model.network is not None
    return model.network.state_dict()


# --- networks ---------------------------------------------------------------------------------------------------------


def reference_block(state: State, name: str, x: torch.Tensor, stride: int, dilation: int) -> torch.Tensor:
    """A residual block of torchvision's layout, basic or bottleneck, written out."""
    if f"{name}.conv3.weight" in state:
        y = bn(state, f"{name}.bn1", conv(state, f"{name}.conv1", x)).relu()
        y = bn(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, stride, dilation, dilation)).relu()
        y = bn(state, f"{name}.bn3", conv(state, f"{name}.conv3", y))
    else:
        y = bn(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, stride, dilation, dilation)).relu()
        y = bn(state, f"{name}.bn2", conv(state, f"{name}.conv2", y, 1, dilation, dilation))
    if f"{name}.downsample.0.weight" in state:
        x = bn(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", x, stride))
    return (x + y).relu()


def conv(
    state: State, name: str, x: torch.Tensor, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> torch.Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding, dilation, groups)


def bn(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def bilinear(x: torch.Tensor, size: torch.Size | tuple[int, ...]) -> torch.Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def reference_resnet(state: State, x: torch.Tensor, blocks: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    x = bn(state, "backbone.bn1", conv(state, "backbone.conv1", x, 2, 3)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if block == 0 and layer in (2, 3) else 1
            dilation = 2 if block > 0 and layer == 4 else 1
            x = reference_block(state, f"backbone.layer{layer}.{block}", x, stride, dilation)
        if layer == 1:
            low = x
    return low, x


def reference_mobilenet(state: State, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = F.relu6(bn(state, "backbone.low_level_features.0.1", conv(state, "backbone.low_level_features.0.0", x, 2)))
    for index in range(1, 18):
        name = f"backbone.{'low' if index < 4 else 'high'}_level_features.{index}.conv"
        stride = 2 if index in (2, 4, 7) else 1
        dilation = 2 if index > 14 else 1
        y = F.pad(x, [dilation] * 4)  # before the expansion, so that its borders are not zero
        expands = f"{name}.3.weight" in state
        if expands:
            y = F.relu6(bn(state, f"{name}.0.1", conv(state, f"{name}.0.0", y)))
        depthwise = f"{name}.{int(expands)}"
        y = conv(state, f"{depthwise}.0", y, stride, 0, dilation, groups=y.shape[1])
        y = F.relu6(bn(state, f"{depthwise}.1", y))
        y = bn(state, f"{name}.{2 + expands}", conv(state, f"{name}.{1 + expands}", y))
        x = x + y if stride == 1 and x.shape == y.shape else y
        if index == 3:
            low = x
    return low, x


def reference_deeplab(
    state: State, x: torch.Tensor, backbone: Callable[[State, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    low, high = backbone(state, x)

    def layer(name: str, features: torch.Tensor, rate: int = 0) -> torch.Tensor:
        return bn(state, f"{name}.1", conv(state, f"{name}.0", features, 1, rate, max(rate, 1))).relu()

    branches = [layer(f"classifier.aspp.convs.{i}", high, rate) for i, rate in enumerate((0, 6, 12, 18))]
    pooled = high.mean((2, 3), keepdim=True)
    pooled = bn(state, "classifier.aspp.convs.4.2", conv(state, "classifier.aspp.convs.4.1", pooled)).relu()
    context = layer("classifier.aspp.project", torch.cat([*branches, pooled.expand_as(branches[0])], 1))
    low = layer("classifier.project", low)
    joined = torch.cat([low, bilinear(context, low.shape[2:])], 1)
    return bilinear(conv(state, "classifier.classifier.3", layer("classifier.classifier", joined, 1)), x.shape[2:])


def released_state(backbone: str, num_classes: int) -> State:
    """Random weights in the released layout; running statistics are random too, so that nothing cancels."""
    torch.manual_seed(3)
    state = DeepLabV3Plus(num_classes, backbone).state_dict()
    for name, value in state.items():
        if name.endswith(("running_var", "running_mean")):
            value.uniform_(0.5, 1.5)
        elif value.ndim == 1 and value.is_floating_point():
            value.uniform_(0.2, 1.0)
    return state


REFERENCES = {
    "resnet18": lambda state, x: reference_resnet(state, x, (2, 2, 2, 2)),
    "resnet50": lambda state, x: reference_resnet(state, x, (3, 4, 6, 3)),
    "mobilenet_v2": reference_mobilenet,
}


@pytest.mark.parametrize("backbone", REFERENCES)
def test_a_released_checkpoint_gives_the_logits_of_a_forward_pass_written_out(backbone: str, tmp_path: Path) -> None:
    state = released_state(backbone, num_classes=7)
    parameters = [torch.nn.Parameter(torch.ones(3))]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    parameters[0].sum().backward()
    optimizer.step()
    path = tmp_path / "released.pth"
    torch.save(
        {
            "cur_itrs": 30000,
            "model_state": state,
            "optimizer_state": optimizer.state_dict(),
            "scheduler_state": {"power": 0.9, "base_lrs": [0.005, 0.05], "last_epoch": 30000},
            "best_score": np.float64(0.71),
        },
        path,
    )
    network = from_released_checkpoint(path, backbone=backbone, num_classes=7)
    images = torch.randn(2, 3, 70, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = network(images)
        expected = reference_deeplab(state, images, REFERENCES[backbone])
    assert logits.shape == (2, 7, 70, 97)
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3 * expected.std().item())


def test_released_parameter_names_are_those_of_the_public_code() -> None:
    names = set(DeepLabV3Plus(19, "resnet101").state_dict())
    assert {
        "backbone.conv1.weight",
        "backbone.layer3.22.conv3.weight",
        "backbone.layer4.0.downsample.1.running_var",
        "classifier.project.0.weight",
        "classifier.aspp.convs.0.0.weight",
        "classifier.aspp.convs.4.1.weight",
        "classifier.aspp.convs.4.2.num_batches_tracked",
        "classifier.aspp.project.1.bias",
        "classifier.classifier.0.weight",
        "classifier.classifier.3.bias",
    } <= names
    assert not any("fc" in name for name in names)
    mobile = DeepLabV3Plus(19, "mobilenet_v2").state_dict()
    assert mobile["classifier.project.0.weight"].shape == (48, 24, 1, 1)
    assert mobile["classifier.aspp.convs.0.0.weight"].shape == (256, 320, 1, 1)
    assert "backbone.high_level_features.17.conv.3.weight" in mobile


def test_a_checkpoint_of_an_old_numpy_loads(tmp_path: Path) -> None:
    """NumPy 1 names the module of its scalars ``numpy.core.multiarray``."""
    path = tmp_path / "old.pth"
    state = {"model_state": released_state("resnet18", 3), "best_score": np.float64(0.5)}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"numpy.core.multiarray" in path.read_bytes()
    from_released_checkpoint(path, backbone="resnet18", num_classes=3)


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"weights": 1}, "expected a dict with 'model_state', found \\['weights'\\]"),
        ([1], "expected a dict with 'model_state', found list"),
        ({"model_state": Harmful()}, "more than tensors"),
    ],
)
def test_other_files_are_refused_by_name(content: object, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"other.pth.*{complaint}"):
        from_released_checkpoint(path, backbone="resnet18")


def test_wrong_weights_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match="weights.pth"):
        from_released_checkpoint(path)
    with pytest.raises(ValueError, match="'resnet11'.*did you mean.*resnet1"):
        from_released_checkpoint(path, backbone="resnet11")
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="weights.pth: damaged"):
        from_released_checkpoint(path)
    state = released_state("resnet18", 5)
    torch.save({"model_state": state}, path)
    with pytest.raises(ValueError, match="expected 19 classes, found 5"):
        from_released_checkpoint(path, backbone="resnet18")
    with pytest.raises(ValueError, match=r"missing: backbone.layer1.0.conv3.weight.*shape.*\(64, 64, 1, 1\)"):
        from_released_checkpoint(path, backbone="resnet50", num_classes=5)
    state["surplus"] = torch.zeros(1)
    torch.save({"model_state": state}, path)
    with pytest.raises(ValueError, match="unexpected: surplus"):
        from_released_checkpoint(path, backbone="resnet18", num_classes=5)


def test_deeplab_has_strides_4_and_16() -> None:
    network = DeepLabV3Plus(5, "resnet18").eval()
    low, high = network.backbone(torch.zeros(1, 3, 64, 96))
    assert low.shape == (1, 64, 16, 24)
    assert high.shape == (1, 512, 4, 6)


@pytest.mark.parametrize("size", [(33, 70), (96, 128), (45, 45), (1, 1), (3, 9)])
def test_the_light_network_takes_any_size(size: tuple[int, int]) -> None:
    logits = LightNetwork(4)(torch.randn(2, 3, *size))
    assert logits.shape == (
        2,
        4,
        *(-(-max(1, side // 4) // 2) for side in size),
    )  # a quarter, and half of that, rounded up
    with torch.autocast("cpu", torch.bfloat16):
        assert LightNetwork(4)(torch.randn(2, 3, *size)).dtype == torch.float32


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [None, (40, 40), (100, 90)])
def test_image_and_labels_stay_aligned(crop: tuple[int, int] | None) -> None:
    split = Halves(2, size=(96, 128))
    settings = TINY.model_copy(update={"crop": crop, "colour_jitter": 0.0, "iterations": 6})
    torch.manual_seed(0)
    for images, labels in load_batches(settings, 3, split, split.ground_truth):
        assert images.dtype == labels.dtype == torch.uint8
        assert images.shape[2:] == labels.shape[1:] == (crop or (96, 128))
        seen = labels != 255
        agree = (images.argmax(1) == labels)[seen].float().mean()  # the brightest channel is the class
        assert agree > 0.95  # pixels between two colours may go either way
        assert (images.sum(1)[~seen] == 0).all()


def test_augmentation_is_random_and_switched_off_by_its_settings() -> None:
    split = Halves(1)
    off = TINY.model_copy(update={"flip": False, "rescale": (1.0, 1.0), "colour_jitter": 0.0, "iterations": 4})
    for images, labels in load_batches(off, 3, split, split.ground_truth):
        for image, classes in zip(images, labels, strict=True):
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), split.image("image0"))
            np.testing.assert_array_equal(classes.numpy(), split.ground_truth("image0"))
    for field in ({"flip": True}, {"rescale": (0.5, 2.0), "crop": (40, 40)}, {"colour_jitter": 0.5}):
        batches = load_batches(off.model_copy(update=field), 3, split, split.ground_truth)
        assert len({image.numpy().tobytes() for images, _ in batches for image in images}) > 1, field
    assert len(augmentation(off, (9, 9))) == 1


def test_the_cache_is_bounded_and_every_image_comes_before_any_comes_again() -> None:
    split, read = Halves(4), []

    def labels(name: str) -> np.ndarray:
        read.append(name)
        return split.ground_truth(name)

    one = 48 * 64 * 4
    with ThreadPoolExecutor() as readers:
        samples = Samples(TINY, 3, split, labels, readers, cache_bytes=2 * one + 1)
        for index in (0, 1, 2, 3, 0, 1, 2, 3):
            samples.take(index)
    assert [read.count(name) for name in split.names] == [1, 1, 2, 2]
    read.clear()
    list(load_batches(TINY.model_copy(update={"iterations": 2}), 3, split, labels))
    assert sorted(read) == sorted(split.names)


def test_images_of_several_sizes_are_padded_with_ignored_pixels() -> None:
    class Mixed(Halves):
        def ground_truth(self, name: str) -> np.ndarray:
            return super().ground_truth(name)[: 48 if name == "image0" else 40]

        def image(self, name: str) -> np.ndarray:
            return np.zeros((48 if name == "image0" else 40, 64, 3), dtype=np.uint8)

    split = Mixed(2)
    batch = load_batches(TINY.model_copy(update={"rescale": (1.0, 1.0)}), 3, split, split.ground_truth)
    for images, labels in batch:
        assert images.shape == (2, 3, 48, 64)
        assert (labels == 255).sum() == 8 * 64


@pytest.mark.parametrize(("side", "scale"), [(1, 1.0), (2, 0.5), (48, 1e-9)])
def test_images_of_one_pixel_are_learnt_and_predicted(side: int, scale: float) -> None:
    """PyTorch cannot resize bytes to a single pixel, and the first kernel is wider than it."""

    class Single(Split):
        def ground_truth(self, name: str) -> np.ndarray:
            return np.full((side, side), int(name), np.uint8)

        def image(self, name: str) -> np.ndarray:
            return np.full((side, side, 3), 200 * int(name), np.uint8)

    split, settings = Single("train", ["0", "1"]), TINY.model_copy(update={"iterations": 2, "scale": scale})
    model = build_segmenter(settings, 3, device="cpu")
    model.fit(split, split.ground_truth, seed=0, progress=False)
    found = model.predict(split.image("0"))
    assert found.shape == (3, side, side) and torch.allclose(found.sum(0), torch.ones(side, side))


def test_slow_readers_change_nothing() -> None:
    split = Halves(4)

    def draw(delay: float) -> list[torch.Tensor]:
        def labels(name: str) -> np.ndarray:
            time.sleep(delay * int(name[5:]))
            return split.ground_truth(name)

        torch.manual_seed(5)
        return [images for images, _ in load_batches(TINY, 3, split, labels)]

    first, second = draw(0), draw(0.02)
    assert len(first) == TINY.iterations
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_labels_that_do_not_fit_are_named() -> None:
    split, model = Halves(2), build_segmenter(TINY, 3, "cpu")
    with pytest.raises(ValueError, match="'image[01]': expected 48x64, found 47x64"):
        model.fit(split, lambda name: split.ground_truth(name)[1:], seed=seeded(), progress=False)
    with pytest.raises(ValueError, match="'image[01]': expected 0..1 or 255, found 2"):
        build_segmenter(TINY, 2, "cpu").fit(split, split.ground_truth, seed=seeded(), progress=False)


# --- training ---------------------------------------------------------------------------------------------------------


def test_loss_of_uniform_logits_is_log_k_over_labelled_pixels() -> None:
    labels = torch.zeros(2, 16, 16, dtype=torch.uint8)
    labels[0] = 255
    assert pixel_loss(torch.zeros(2, 5, 16, 16), labels).item() == pytest.approx(np.log(5))
    assert pixel_loss(torch.zeros(2, 5, 4, 4), labels).item() == pytest.approx(np.log(5))
    assert pixel_loss(torch.zeros(2, 5, 4, 4), torch.full_like(labels, 255)).item() == 0


def test_loss_reads_labels_at_cell_centres() -> None:
    labels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    logits = torch.full((1, 64, 2, 2), -50.0)
    for row, column in np.ndindex(2, 2):
        logits[0, int(labels[0, 4 * row + 2, 4 * column + 2]), row, column] = 50
    assert pixel_loss(logits, labels).item() == pytest.approx(0)


def test_pixels_are_normalised() -> None:
    pixels = normalise(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), TINY)
    expected = (1 - torch.tensor(TINY.mean)) / torch.tensor(TINY.std)
    torch.testing.assert_close(pixels[0, :, 0, 0], expected)


@pytest.mark.parametrize(
    "fields",
    [
        network(iterations=25, batch_size=4, lr=0.05, colour_jitter=0),
        network(network="deeplabv3plus", optimizer="sgd_poly", lr=0.1, iterations=8, batch_size=2, crop=(48, 48)),
    ],
    ids=["light", "deeplabv3plus"],
)
def test_training_learns_and_predicts_softmax_maps(fields: dict[str, Any]) -> None:
    settings = SegmenterSettings(**fields)
    split, model = Halves(), build_segmenter(settings, 3, "cpu")
    log = model.fit(split, split.ground_truth, seed=seeded(1), progress=False)
    assert log.iterations[-1] == settings.iterations
    assert len(log.losses) == len(log.iterations)
    assert log.losses[-1] < 0.7 * log.losses[0]
    assert log.seconds > 0
    assert log.images_per_second == pytest.approx(settings.iterations * settings.batch_size / log.seconds)
    probs = model.predict(split.image("image0"))
    assert probs.shape == (3, 48, 64)
    assert probs.dtype == torch.float32
    torch.testing.assert_close(probs.sum(0), torch.ones(48, 64))
    if settings.network == "light":
        assert (probs.argmax(0).numpy() == split.ground_truth("image0")).mean() > 0.8


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    split = Halves()

    def fit(seed: int) -> State:
        model = build_segmenter(TINY, 3, "cpu")
        model.fit(split, split.ground_truth, seed=seed, progress=False)
        return {name: value.clone() for name, value in weights(model).items()}

    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = fit(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    second, other = fit(0), fit(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_fitting_again_forgets() -> None:
    split, model = Halves(), build_segmenter(TINY, 3, "cpu")
    model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    first = {name: value.clone() for name, value in weights(model).items()}
    model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    assert all(torch.equal(first[name], value) for name, value in weights(model).items())


@pytest.mark.parametrize("optimizer", ["muon_onecycle", "sgd_poly"])
def test_images_without_a_label_do_no_harm(optimizer: str) -> None:
    model = build_segmenter(SegmenterSettings(**network(iterations=2, batch_size=2, optimizer=optimizer)), 3, "cpu")
    log = model.fit(Halves(2), void, seed=seeded(), progress=False)
    assert log.losses == (0.0, 0.0)
    assert all(torch.isfinite(value).all() for value in weights(model).values())


def test_divergence_is_an_error() -> None:
    settings = TINY.model_copy(update={"optimizer": "sgd_poly", "lr": 1e30})
    with pytest.raises(FloatingPointError, match="training diverged: found loss (nan|inf).*segmenter.lr"):
        build_segmenter(settings, 3, "cpu").fit(Halves(2), Halves(2).ground_truth, seed=seeded(), progress=False)


def test_the_authors_recipe() -> None:
    settings = SegmenterSettings(network="deeplabv3plus", optimizer="sgd_poly", lr=0.05, iterations=100)
    network = DeepLabV3Plus(3, "resnet18")
    recipe = SgdPoly(network, settings)
    slow, fast = recipe.optimizer.param_groups
    assert len(slow["params"]) == len(list(network.backbone.parameters()))
    assert len(fast["params"]) == len(list(network.classifier.parameters()))
    assert (slow["lr"], fast["lr"]) == pytest.approx((0.005, 0.05))
    assert (fast["momentum"], fast["weight_decay"]) == (0.9, 1e-4)
    assert network.get_submodule("backbone.bn1").momentum == 0.01
    assert network.get_submodule("classifier.project.1").momentum == 0.1
    for _ in range(50):
        recipe.step()
    assert (slow["lr"], fast["lr"]) == pytest.approx((0.005 * 0.5**0.9, 0.05 * 0.5**0.9))
    for _ in range(50):
        recipe.step()
    assert (slow["lr"], fast["lr"]) == pytest.approx((1e-6, 1e-6))


# --- prediction and weights -------------------------------------------------------------------------------------------


def test_prediction_at_a_scale_equals_the_steps_written_out() -> None:
    split, settings = Halves(), TINY.model_copy(update={"scale": 0.5})
    model = build_segmenter(settings, 3, "cpu")
    model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    image = split.image("image1")
    assert model.network is not None
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).float()[None]
    small = F.interpolate(pixels, (24, 32), mode="bilinear", antialias=True).round()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (settings.mean, settings.std))
    with torch.inference_mode():
        logits = model.network((small / 255 - mean) / std)
    expected = bilinear(logits, (48, 64)).softmax(1)[0]
    torch.testing.assert_close(model.predict(image), expected, rtol=0.05, atol=0.02)  # bytes round differently


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8)])
def test_what_is_no_rgb_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected \\(H, W, 3\\) uint8, found"):
        build_segmenter(TINY, 3, "cpu").predict(image)


def test_weights_survive_a_file(tmp_path: Path) -> None:
    split, model = Halves(), build_segmenter(TINY, 3, "cpu")
    with pytest.raises(RuntimeError, match="no weights yet"):
        model.save(tmp_path / "none.safetensors")
    assert not any(tmp_path.iterdir())
    model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    model.save(tmp_path / "model.safetensors")
    again = build_segmenter(TINY, 3, "cpu")
    with pytest.raises(RuntimeError, match="no weights yet"):
        again.predict(split.image("image0"))
    again.load(tmp_path / "model.safetensors")
    assert torch.equal(model.predict(split.image("image0")), again.predict(split.image("image0")))
    with pytest.raises(ValueError, match=r"model.safetensors.*classifier.weight \(expected \(4, 64, 1, 1\), found \(3"):
        build_segmenter(TINY, 4, "cpu").load(tmp_path / "model.safetensors")
    deeplab = TINY.model_copy(update={"network": "deeplabv3plus"})
    with pytest.raises(ValueError, match="another network; missing: backbone.conv1.weight.*unexpected: "):
        build_segmenter(deeplab, 3, "cpu").load(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="model.safetensors: damaged"):
        again.load(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        again.load(tmp_path / "nowhere")


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == resolve_device().type
    with pytest.raises(ValueError, match="'cudda'; did you mean 'cuda'"):
        resolve_device("cudda")
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(ValueError, match=f"this machine has .*cpu, found '{absent}'"):
        resolve_device(absent)
    for device in ("cpu:", "cpu:x"):
        with pytest.raises(ValueError, match=f"device: expected cpu, or cpu:0, found '{device}'"):
            resolve_device(device)
    for device in (None, 3):
        with pytest.raises(TypeError, match=f"device: expected one of auto, cpu, cuda, mps, found {device}"):
            build_segmenter(TINY, 2, device)
    with pytest.raises(ValueError, match="num_classes"):
        build_segmenter(TINY, 1)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1") and resolve_device("cuda") == torch.device("cuda")
    with pytest.raises(ValueError, match="device: this machine has 2 GPUs, found 'cuda:2'"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(
    "fields",
    [
        {"network": "unet"},
        {"backbone": "hf-hub:some/model"},
        {"backbone": "../weights"},
        {"network": "deeplabv3plus", "backbone": "some/model"},
        {"scale": 0},
        {"batch_size": 1},
        {"crop": (8, 8)},
        {"rescale": (2.0, 1.0)},
        {"network": "light", "pretrained": True},
        {"precision": "float16"},
        {"std": (0.0, 1.0, 1.0)},
        {"learning_rate": 0.1},
    ],
)
def test_wrong_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SegmenterSettings(**fields)


def test_settings_are_frozen_and_survive_json() -> None:
    settings = SegmenterSettings(crop=(48, 64), scale=0.5)
    assert SegmenterSettings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValueError):
        settings.scale = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("network", ["light", "deeplabv3plus"])
def test_the_cosine_head_compares_directions(network: str) -> None:
    settings = TINY.model_copy(update={"head": "cosine", "network": network, "optimizer": "adamw_poly", "lr": 1e-3})
    model, split = build_segmenter(settings, 3), Halves(2)
    model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    image = split.image("image0")
    features, probs = model.features(image), model.predict(image)
    assert features.shape[1:] == probs.shape[1:] == image.shape[:2]
    module = CosineClassifier(4, 3)
    x = torch.randn(1, 4, 2, 2)
    assert torch.allclose(module(x), module(7 * x), atol=1e-5) and module(x).abs().max() <= 10 + 1e-4
    expected = (F.normalize(x)[0, :, 0, 0] @ F.normalize(module.weight)[:, :, 0, 0].T) * 10
    assert torch.allclose(module(x)[0, :, 0, 0], expected, atol=1e-5)


def test_the_best_validation_is_kept_on_request() -> None:
    settings = TINY.model_copy(update={"iterations": 6, "validate_every": 1, "keep": "best", "lr": 0.3})
    split, seen = Halves(4), []

    def accuracy(model: TorchSegmenter) -> float:
        right = [model.predict(split.image(n)).argmax(0).numpy() == split.ground_truth(n) for n in split.names]
        return float(np.mean(right))

    def watched(model: TorchSegmenter) -> float:
        seen.append(accuracy(model))
        return seen[-1]

    model = build_segmenter(settings, 3, "cpu", watched)
    log = model.fit(split, split.ground_truth, seed=seeded(), progress=False)
    assert len(seen) == 6 and log.kept == 1 + int(np.argmax(seen))
    assert accuracy(model) == max(seen)
    last = build_segmenter(settings.model_copy(update={"keep": "last"}), 3, "cpu", watched)
    assert last.fit(split, split.ground_truth, seed=seeded(), progress=False).kept == 6
    with pytest.raises(ValueError, match="needs a validation split"):
        build_segmenter(settings, 3)


def test_training_goes_on_from_the_previous_weights_on_request() -> None:
    """A network that says the same of every class begins with a loss of log 3; one with weights of its own does not."""
    split = Halves(4)
    for start in ("previous", "initial"):
        model = build_segmenter(TINY.model_copy(update={"start": start}), 3)
        model.fit(split, split.ground_truth, seed=seeded(), progress=False)
        for name in ("classifier.weight", "classifier.bias"):
            torch.nn.init.zeros_(weights(model)[name])
        again = model.fit(split, split.ground_truth, seed=seeded(), progress=False)
        assert (again.losses[0] == pytest.approx(np.log(3), abs=1e-6)) == (start == "previous")


def test_targets_of_a_loss_of_ones_own_may_be_any_integers() -> None:
    split, seen = Halves(2), set()

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert targets.dtype == torch.int32
        seen.update(targets.unique().tolist())
        return logits.square().mean()

    build_segmenter(TINY, 3).fit(
        split,
        lambda name: split.ground_truth(name).astype(np.int32) + 100_000,
        seed=seeded(),
        progress=False,
        loss=loss,
    )
    assert {100_000, 100_001} <= seen <= {100_000, 100_001, 100_002, 255}


# ------------------------------------------------------------------------------------------------ Muon in float32
def test_muon_in_float32_is_pytorchs_but_for_the_rounding() -> None:
    """Against PyTorch's own step with its iteration replaced by ours, and against the singular values' polynomial."""
    rng = torch.Generator().manual_seed(seeded())
    options = {"lr": 0.1, "weight_decay": 0.05, "momentum": 0.9, "ns_steps": 3}
    starts = [torch.randn(shape, generator=rng) for shape in ((6, 20), (20, 6), (5, 5))]
    ours, theirs = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    optimisers = Float32Muon(ours, **options), torch.optim.Muon(theirs, **options)
    for _ in range(3):
        for mine, pytorchs in zip(ours, theirs, strict=True):
            mine.grad = pytorchs.grad = torch.randn(mine.shape, generator=rng)
        for optimiser in optimisers:
            optimiser.step()
    for start, mine, pytorchs in zip(starts, ours, theirs, strict=True):
        moved, wanted = (x.detach() - start for x in (mine, pytorchs))
        assert (moved - wanted).norm() < 0.03 * wanted.norm()  # bfloat16 has eight bits
        assert torch.equal(mine.float(), mine) and not torch.equal(mine, pytorchs)


def test_newton_schulz_maps_singular_values_by_its_polynomial() -> None:
    rng = torch.Generator().manual_seed(seeded())
    matrix = torch.randn((4, 9), generator=rng, dtype=torch.float64)
    a, b, c = 3.4445, -4.7750, 2.0315
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    wanted = values / values.norm()
    for _ in range(3):
        wanted = a * wanted + b * wanted**3 + c * wanted**5
    for of in (matrix, matrix.T):
        found = orthogonalised(of, (a, b, c), 3, 1e-7)
        expected = (u * wanted) @ v if of is matrix else ((u * wanted) @ v).T
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_only_the_defaults_that_are_built_are_taken() -> None:
    with pytest.raises(ValueError, match="keep their defaults"):
        Float32Muon([nn.Parameter(torch.zeros(2, 2))], nesterov=False)


def test_a_training_in_bfloat16_prints_no_line_of_its_own() -> None:
    """Fabric says what precision it was asked for: a line for every training of a notebook."""
    code = "import torch; from a2lc.segmenter.processes import make_fabric; make_fabric(torch.device('cpu'), True)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == told.stderr == ""
