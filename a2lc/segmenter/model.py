"""The segmenter: what the rounds need of a model, and its implementation in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from a2lc.datasets import Split
from a2lc.files import nearest, read_arrays, write_arrays
from a2lc.segmenter.deeplab import DeepLabV3Plus
from a2lc.segmenter.light import LightNetwork
from a2lc.segmenter.processes import call_in_others, in_bfloat16, kernels, make_fabric
from a2lc.segmenter.released import load_weights
from a2lc.segmenter.samples import Labels, scaled_size
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.training import Loss, TrainingLog, enough_memory, normalise, train

Network = LightNetwork | DeepLabV3Plus
DEVICES = ("auto", "cpu", "cuda", "mps")


class Segmenter(Protocol):
    """What the rounds need of a model; write a class with these to plug in your own.

    Attributes:
        num_classes: K, the outputs.
    """

    num_classes: int

    def fit(self, split: Split, labels: Labels, *, seed: int, progress: bool = True) -> TrainingLog:
        """Train from the initial weights, forgetting what was learnt before.

        Args:
            split: the images.
            labels: image name -> (H, W) uint8, 0..K-1 or 255 (ignored); called from several threads at once.
            seed: decides initial weights, order and augmentation.
            progress: whether to show a bar.
        """

    def predict(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> class probabilities (K, H, W) float32 in [0, 1] that sum to 1 at each pixel."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights to one file."""

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the weights from a file that `save` wrote."""


@runtime_checkable
class FeatureSegmenter(Segmenter, Protocol):
    """A segmenter that also shows what its last layer sees, and learns from targets of another kind: what
    ``scoring.features = "penultimate"`` and MulSpx need."""

    def fit(
        self, split: Split, labels: Labels, *, seed: int, progress: bool = True, loss: Loss | None = None
    ) -> TrainingLog:
        """As `Segmenter.fit`; with `loss`, a function of logits (N, K, h, w) float32 and targets (N, H, W), `labels`
        may give any int32 targets in which 255 is ignored."""

    def features(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (C, H, W) float32."""


Validate = Callable[[Segmenter], float]


class TorchSegmenter:
    """A network of this package with its settings.

    Attributes:
        num_classes: K.
        settings: network, sizes and training.
        fabric: where and in which precision it runs (`make_fabric`).
        device: where it runs.
        validate: scores the weights of the moment, the higher the better, for ``settings.keep == "best"``.
        network: the module; None before `fit` or `load`.
    """

    def __init__(
        self, settings: SegmenterSettings, num_classes: int, device: torch.device, validate: Validate | None = None
    ) -> None:
        self.num_classes = num_classes
        self.settings = settings
        self.fabric = make_fabric(device, in_bfloat16(settings, device))
        self.device = self.fabric.device
        self.validate = validate
        self.network: Network | None = None

    @property
    def precision(self) -> str:
        """Of the convolutions: bfloat16 or float32, what ``settings.precision`` comes to on `device`."""
        return "bfloat16" if in_bfloat16(self.settings, self.device) else "float32"

    def fit(
        self,
        split: Split,
        labels: Labels,
        *,
        seed: int,
        progress: bool = True,
        loss: Loss | None = None,
    ) -> TrainingLog:
        """Train from the initial weights (from the present ones where ``settings.start`` is ``previous`` and there
        are any); see `Segmenter.fit`.

        With `loss`, a function of logits (N, K, h, w) float32 and targets (N, H, W), `labels` may give any int32
        targets in which 255 is ignored.

        On one CPU with one number of threads, the same seed and data give the same weights bit by bit. The state of
        torch's global random generator is left as it was. Where ``torchrun`` started several processes, each calls this
        with the same arguments and trains on its share of every batch; inside `a2lc.run` that happens by itself.

        Raises:
            ValueError: a label map differs from its image in size or holds another id; several processes cannot share
                a batch of this size, or not these labels or this loss.
            FloatingPointError: training diverged.
            RuntimeError: not enough memory; names the settings to lower.
        """
        fresh = self.network is None or self.settings.start == "initial"
        call_in_others(
            partial(_join, self.settings, self.num_classes, self.device.type, fresh, split, labels, seed, loss)
        )
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            if self.network is None or fresh:
                self.network = self._new_network(self.settings.pretrained)
            validate = None if self.validate is None else partial(self.validate, self)
            return train(
                self.network, self.settings, self.num_classes, split, labels, self.fabric, progress, loss, validate
            )

    @torch.inference_mode()
    def predict(self, image: np.ndarray) -> torch.Tensor:
        """Softmax map (K, H, W) float32 in [0, 1] of an (H, W, 3) uint8 RGB image, on `device`.

        The image is resized by `settings.scale`; logits are brought back to its own size bilinearly
        (align_corners=False).

        Raises:
            ValueError: not an RGB image of bytes.
            RuntimeError: there are no weights yet; not enough memory for one image.
        """
        with self._predicting(image) as (network, pixels):
            with self.fabric.autocast():
                logits = network(pixels)  # (1, K, h, w)
            logits = F.interpolate(logits.float(), image.shape[:2], mode="bilinear", align_corners=False)
            return logits[0].softmax(0)

    @torch.inference_mode()
    def features(self, image: np.ndarray) -> torch.Tensor:
        """What the last layer sees of an image, brought to its own size bilinearly: (C, H, W) float32, on `device`.

        Raises:
            ValueError, RuntimeError: as `predict`.
        """
        with self._predicting(image) as (network, pixels):
            with self.fabric.autocast():
                features = network.features(pixels)  # (1, C, h, w)
            return F.interpolate(features.float(), image.shape[:2], mode="bilinear", align_corners=False)[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as safetensors, atomically.

        Raises:
            RuntimeError: there are no weights yet.
        """
        write_arrays(path, {name: tensor.cpu().numpy() for name, tensor in self._ready().state_dict().items()})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read weights that `save` wrote for the same network and number of classes.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: it is damaged or holds another network; the differences are named.
        """
        state = {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
        network = self._new_network(pretrained=False)
        load_weights(network, state, path)
        self.network = network.eval()

    @contextmanager
    def _predicting(self, image: np.ndarray) -> Iterator[tuple[Network, torch.Tensor]]:
        """The network and its input (1, 3, h, w), with the kernels of the settings."""
        what = f"predicting an image of {'x'.join(map(str, image.shape[:2]))}"
        with kernels(self.settings.deterministic), enough_memory(self.device, what, "scale"):
            pixels = self._input(image)
            yield self._ready(), pixels

    def _input(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, h, w) float32, resized and normalised."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image: expected (H, W, 3) uint8, found {image.shape} {image.dtype}")
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy()).to(self.device)  # (3, H, W)
        pixels = v2.functional.resize(pixels, scaled_size(image.shape[:2], self.settings.scale))
        return normalise(pixels[None], self.settings)

    def _new_network(self, pretrained: bool) -> Network:
        network: Network
        if self.settings.network == "light":
            network = LightNetwork(self.num_classes, self.settings.head)
        else:
            network = DeepLabV3Plus(self.num_classes, self.settings.backbone, pretrained, self.settings.head)
        if self.settings.compile:
            network.compile()  # in place: its parameters keep their names
        return network.to(self.device)

    def _ready(self) -> Network:
        if self.network is None:
            raise RuntimeError("the segmenter has no weights yet: call fit or load first")
        return self.network


def _join(
    settings: SegmenterSettings,
    num_classes: int,
    device: str,
    fresh: bool,
    split: Split,
    labels: Labels,
    seed: int,
    loss: Loss | None,
) -> None:
    """What the other processes do while the first one is in `TorchSegmenter.fit`; it gives them its weights."""
    model = TorchSegmenter(settings.model_copy(update={"pretrained": False}), num_classes, torch.device(device))
    if not fresh:
        model.network = model._new_network(pretrained=False)
    model.fit(split, labels, seed=seed, progress=False, loss=loss)


def build_segmenter(
    settings: SegmenterSettings, num_classes: int, device: str = "auto", validate: Validate | None = None
) -> TorchSegmenter:
    """A segmenter without weights, ready for `fit` or `load`.

    Args:
        settings: network, sizes and training.
        num_classes: K, at least 2.
        device: see `resolve_device`.
        validate: scores the weights of the moment, the higher the better, for ``settings.keep == "best"``.

    Raises:
        ValueError: fewer than two classes; an unknown or absent device; nothing to validate with.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes: expected at least 2, found {num_classes}")
    if settings.keep == "best" and validate is None:
        raise ValueError("segmenter.keep: 'best' needs a validation split with images, expected 'last' here")
    return TorchSegmenter(settings, num_classes, resolve_device(device), validate)


def with_features(model: Segmenter) -> FeatureSegmenter:
    """The same model, known to be a `FeatureSegmenter`.

    Raises:
        ValueError: it has no method `features`, or lacks another part of it.
    """
    if not isinstance(model, FeatureSegmenter):
        found = f"found {type(model).__name__} without one"
        raise ValueError(f"segmenter: scoring.features 'penultimate' and MulSpx need a method features, {found}")
    return model


def resolve_device(device: str = "auto") -> torch.device:
    """``auto``: CUDA, else Apple's MPS, else the CPU; any other name as it is (``cuda:1`` too).

    Raises:
        ValueError: an unknown name or number, or a device that this machine lacks.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(kind for kind, there in present.items() if there))
    kind = device.partition(":")[0]
    if kind not in present:
        raise ValueError(f"device: expected one of {', '.join(DEVICES)}, found {device!r}{nearest(device, DEVICES)}")
    if not present[kind]:
        there = ", ".join(kind for kind, there in present.items() if there)
        raise ValueError(f"device: this machine has {there}, found {device!r}")
    try:
        found = torch.device(device)
    except RuntimeError as error:  # cpu:x
        raise ValueError(f"device: expected {kind}, or {kind}:0, found {device!r}") from error
    if kind == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: this machine has {torch.cuda.device_count()} GPUs, found {device!r}")
    return found
