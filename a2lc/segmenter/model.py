"""The segmenter: what the rounds need of a model, and its implementation in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F

from a2lc.datasets import Split
from a2lc.files import read_arrays, write_arrays
from a2lc.segmenter.families import CLASSES, weights_of_transformers
from a2lc.segmenter.networks import Network, new_network, with_pixels_of
from a2lc.segmenter.pretrained import BackboneWeights, find_backbone
from a2lc.segmenter.processes import call_in_others, in_bfloat16, kernels, make_fabric
from a2lc.segmenter.released import load_weights
from a2lc.segmenter.samples import Labels, scaled_pixels
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.training import Loss, TrainingLog, enough_memory, normalise, train


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


@runtime_checkable
class LabelSegmenter(Segmenter, Protocol):
    """A segmenter that names the likeliest class without its probability, which is faster."""

    def likeliest(self, image: np.ndarray, classes: int) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (H, W) int64, which of the first `classes` outputs is largest."""


Validate = Callable[[Segmenter], float]


class TorchSegmenter:
    """A network of this package with its settings.

    Attributes:
        num_classes: K.
        settings: network, sizes and training; mean and std are those of the weights in use.
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
        self.weights: BackboneWeights | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What another process of ``torchrun`` needs to predict the same, on a device of its own."""
        weights = None if self.network is None else {name: x.cpu() for name, x in self.network.state_dict().items()}
        return {
            "settings": self.settings,
            "num_classes": self.num_classes,
            "type": self.device.type,
            "weights": weights,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        TorchSegmenter.__init__(self, state["settings"], state["num_classes"], torch.device(state["type"]))
        if (weights := state["weights"]) is not None:
            self.network = self._new_network(pretrained=False, saved=weights)
            self.network.load_state_dict(weights)
            self.network.eval()

    @property
    def pretrained_from(self) -> dict[str, object]:
        """Which weights the backbone starts from, for a run's provenance; empty where they are torchvision's or random.

        Raises:
            ValueError, FileNotFoundError: as `find_backbone`.
        """
        if self.settings.network in CLASSES:
            return weights_of_transformers(self.settings)
        self._find_weights()
        return self.weights.about if self.weights else {}

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
                a batch of this size, or not these labels or this loss; the backbone is unknown, or its weights damaged.
            FileNotFoundError: the weights of the backbone are nowhere, see `a2lc.segmenter.pretrained`.
            FloatingPointError: training diverged.
            RuntimeError: not enough memory; names the settings to lower.
        """
        fresh = self.network is None or self.settings.start == "initial"
        if fresh:
            self._find_weights()
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
        network = self._new_network(pretrained=False, saved=state)
        load_weights(network, state, path)
        self.network, self.settings = network.eval(), with_pixels_of(network, self.settings)

    @contextmanager
    def _predicting(self, image: np.ndarray) -> Iterator[tuple[Network, torch.Tensor]]:
        """The network and its input (1, 3, h, w), with the kernels of the settings."""
        what = f"predicting an image of {'x'.join(map(str, image.shape[:2]))}"
        with kernels(self.settings.deterministic), enough_memory(self.device, what, "scale"):
            pixels = self._input(image)
            yield self._ready(), pixels

    def _input(self, image: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, h, w) float32, resized and normalised."""
        return normalise(scaled_pixels(image, self.settings.scale, self.device), self.settings)

    def _find_weights(self) -> None:
        """Know the weights of a backbone of timm, and what its pixels look like, before anything is trained."""
        chosen = self.settings
        if chosen.pretrained and chosen.from_timm and self.weights is None:
            self.weights = find_backbone(chosen.backbone, chosen.weights, offline=chosen.offline)
            self.settings = chosen.model_copy(update={"mean": self.weights.mean, "std": self.weights.std})

    def _new_network(self, pretrained: bool, saved: Mapping[str, torch.Tensor] | None = None) -> Network:
        weights = self.weights if pretrained else None
        network = new_network(self.settings, self.num_classes, pretrained, weights, saved)
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
    random = {} if settings.network in CLASSES else {"pretrained": False}  # they need its sizes
    model = TorchSegmenter(settings.model_copy(update=random), num_classes, torch.device(device))
    if not fresh:
        model.network = model._new_network(pretrained=False)
    model.fit(split, labels, seed=seed, progress=False, loss=loss)


def with_features(model: Segmenter) -> FeatureSegmenter:
    """The same model, known to be a `FeatureSegmenter`.

    Raises:
        ValueError: it has no method `features`, or lacks another part of it.
    """
    if not isinstance(model, FeatureSegmenter):
        found = f"found {type(model).__name__} without one"
        raise ValueError(f"segmenter: scoring.features 'penultimate' and MulSpx need a method features, {found}")
    return model


def likeliest(model: Segmenter, image: np.ndarray, classes: int) -> torch.Tensor:
    """(H, W) int64, which of the first `classes` outputs a model finds likeliest in an (H, W, 3) uint8 RGB image."""
    if isinstance(model, LabelSegmenter):
        return model.likeliest(image, classes)
    return model.predict(image)[:classes].max(0).indices  # argmax: 5 times slower
