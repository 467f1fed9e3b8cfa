"""Training speed, for `speed.py`: our loop against a plain one, against its parts; the LCM against a plain loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measuring import clock, seconds
from oracles import plain_lcm
from torch import nn

from a2lc.correction import LCMSettings, train_lcm
from a2lc.datasets import load_dataset
from a2lc.datasets.base import Split
from a2lc.segmenter import SegmenterSettings, build_segmenter
from a2lc.segmenter.processes import in_bfloat16
from a2lc.segmenter.samples import IGNORE, load_batches

Batch = tuple[torch.Tensor, torch.Tensor]  # (N, 3, h, w) uint8 images, (N, h, w) labels
LIGHT = {"network": "light", "crop": (360, 480), "batch_size": 8, "iterations": 10}
RESNET101 = {"network": "deeplabv3plus", "backbone": "resnet101", "lr": 0.05, "rescale": (1.0, 1.0)}
CASES = {  # name -> settings on the CPU, settings on a GPU
    "light_360x480": (LIGHT, LIGHT | {"iterations": 300}),
    "resnet101": (
        RESNET101 | {"crop": (192, 192), "batch_size": 2, "iterations": 3},
        RESNET101 | {"crop": (768, 768), "batch_size": 8, "iterations": 40, "colour_jitter": 0.5},
    ),
}
IMAGES = 16


class Scenes(Split):
    """Drawn scenes, kept in memory: reading costs nothing, resizing and augmenting cost what they always do."""

    def __init__(self, height: int, width: int, count: int = IMAGES) -> None:
        scenes = load_dataset("toy", n_train=count, n_val=1, height=height, width=width).train
        super().__init__("train", scenes.names)
        self.images = {name: scenes.image(name) for name in scenes.names}
        self.labels = {name: np.asarray(scenes.ground_truth(name)) for name in scenes.names}

    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8."""
        return self.images[name]

    def ground_truth(self, name: str) -> np.ndarray:
        """(H, W) uint8."""
        return self.labels[name]


def training(device: torch.device, cases: list[str] | None = None) -> dict[str, Any]:
    """Images per second (`clock`) of our loop, and what it is to be compared with; all learn by SGD.

    - ``plain``: the same network and batches in float32, channels first, nothing else that is clever.
    - ``loading``: the same batches and no network.
    - ``resident``: the network on one batch that lies on the device, in our precision and memory layout: the bound
      where loading costs nothing. Our loop's share of it is how busy the device is.
    """
    found: dict[str, Any] = {}
    for name in cases or CASES:
        on_cpu, on_gpu = CASES[name]
        chosen = on_cpu if device.type == "cpu" else on_gpu
        settings = SegmenterSettings(**chosen, optimizer="sgd_poly")
        assert settings.crop is not None
        split = Scenes(*settings.crop) if device.type == "cpu" else Scenes(1024, 2048)
        images = settings.iterations * settings.batch_size
        rates = {way: images / took for way, took in _loops(settings, split, device).items()}
        found[f"{name}_settings"] = (
            f"{settings.batch_size} crops of {settings.crop[0]}x{settings.crop[1]}, {settings.iterations} steps,"
            f" {'bfloat16' if in_bfloat16(settings, device) else 'float32'} on {device}"
        )
        found |= {f"{name}_{way}_images_s": rate for way, rate in rates.items()}
        found[f"{name}_over_plain"] = rates["ours"] / rates["plain"]
        found[f"{name}_over_loading"] = rates["ours"] / rates["loading"]
        found[f"{name}_over_resident"] = rates["ours"] / rates["resident"]
    return found


def _loops(settings: SegmenterSettings, split: Scenes, device: torch.device) -> dict[str, float]:
    """Seconds of each way, alternating, the better of two; a short training before them warms up."""
    k = len(load_dataset("toy").classes)
    few = settings.model_copy(update={"iterations": 2})
    build_segmenter(few, k, str(device)).fit(split, split.ground_truth, seed=0, progress=False)
    network = new_network(settings, k, device)
    images, labels = next(batches(few, split, k))
    batch = images.to(device), labels.to(device)

    def ours() -> float:
        start, before = time.perf_counter(), clock()
        log = build_segmenter(settings, k, str(device)).fit(split, split.ground_truth, seed=0, progress=False)
        return log.seconds * (clock() - before) / (time.perf_counter() - start)  # the log is without building, by wall

    def plain() -> float:
        return seconds(lambda: train_plainly(network, batches(settings, split, k), settings, device), repeats=1)

    def loading() -> float:
        return seconds(lambda: sum(1 for _ in batches(settings, split, k)), repeats=1)

    def resident() -> float:
        again = (batch for _ in range(settings.iterations))
        return seconds(lambda: train_plainly(network, again, settings, device, clever=True), repeats=1)

    ways: dict[str, Callable[[], float]] = {"ours": ours, "plain": plain, "loading": loading, "resident": resident}
    tries = [{name: way() for name, way in ways.items()} for _ in range(2)]
    return {name: min(times[name] for times in tries) for name in ways}


def batches(settings: SegmenterSettings, split: Scenes, num_classes: int) -> Iterator[Batch]:
    """Our loader, its random numbers always the same."""
    torch.manual_seed(0)
    return iter(load_batches(settings, num_classes, split, split.ground_truth))


def new_network(settings: SegmenterSettings, num_classes: int, device: torch.device) -> nn.Module:
    """The module that `fit` would train."""
    tiny = settings.model_copy(update={"iterations": 1, "crop": None, "batch_size": 2})
    segmenter, split = build_segmenter(tiny, num_classes, str(device)), Scenes(64, 64, 2)
    segmenter.fit(split, split.ground_truth, seed=0, progress=False)
    assert segmenter.network is not None
    return segmenter.network


def train_plainly(
    network: nn.Module,
    loader: Iterator[Batch],
    settings: SegmenterSettings,
    device: torch.device,
    clever: bool = False,
) -> None:
    """A training loop as in any tutorial: float32, channels first. `clever`: bfloat16 where it is fast, channels
    last."""
    layout = torch.channels_last if clever else torch.contiguous_format
    optimizer = torch.optim.SGD(network.parameters(), lr=settings.lr * 0.01, momentum=0.9, weight_decay=1e-4)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in (settings.mean, settings.std))
    network = network.train().to(memory_format=layout)
    for images, labels in loader:
        x = ((images.to(device).float() - mean) / std).contiguous(memory_format=layout)
        with torch.autocast(device.type, torch.bfloat16, enabled=clever and in_bfloat16(settings, device)):
            logits = network(x)
        y = labels.to(device)
        if y.shape[-2:] != logits.shape[-2:]:
            y = F.interpolate(y[:, None], logits.shape[-2:], mode="nearest-exact")[:, 0]
        loss = F.cross_entropy(logits.float(), y.long(), ignore_index=IGNORE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# ------------------------------------------------------------------------------------------------ LCM
def lcm(answers: int = 1000, epochs: int = 5, num_classes: int = 19) -> dict[str, Any]:
    """Seconds per epoch of training the LCM on some answers, against the plain loop of tests/oracles.py and against the
    arithmetic alone: 6 operations per weight and mask at the speed of this machine's float32 matrix product.

    Returns:
        Also the largest difference between the weights of both, which should learn the same.
    """
    rng = np.random.default_rng(0)
    features = rng.dirichlet(np.full(num_classes, 0.3), answers).astype(np.float32)  # (answers, K)
    labels = np.where(rng.random(answers) < 0.7, features.argmax(1), rng.integers(0, num_classes, answers))
    settings = LCMSettings(epochs=epochs)
    models: dict[str, nn.Module] = {}

    def ours() -> None:
        models["ours"] = train_lcm(features, labels, num_classes, settings, seed=0)

    def plain() -> None:
        models["plain"] = plain_lcm(features, labels, num_classes, settings, seed=0)

    took = {"ours": seconds(ours), "plain": seconds(plain)}
    steps = epochs * -(-answers // settings.batch_size)
    weights = [torch.cat([p.detach().flatten() for p in models[name].parameters()]) for name in ("ours", "plain")]
    a = torch.randn(512, 512)
    product = seconds(lambda: a @ a, repeats=20)
    operations = 6 * len(weights[0]) * answers
    return {
        "lcm_answers": answers,
        "lcm_epoch_s": took["ours"] / epochs,
        "lcm_step_ms": 1000 * took["ours"] / steps,
        "lcm_plain_step_ms": 1000 * took["plain"] / steps,
        "lcm_plain_over_ours": took["plain"] / took["ours"],
        "lcm_over_arithmetic": took["ours"] / epochs / (operations * product / (2 * 512**3)),
        "lcm_largest_difference_from_plain": float((weights[0] - weights[1]).abs().max()),
    }
