"""What takes the place of networks where a test must know what comes out of a run: nothing here is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from a2lc.datasets.base import Split
from a2lc.segmenter.samples import Labels


class ByColour:
    """A segmenter that learns in no time: the class whose mean colour and height in the picture are nearest."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.means = np.zeros((num_classes, 4))

    def fit(self, split: Split, labels: Labels, *, seed: int, progress: bool = True) -> None:
        seen = np.concatenate([self._look(split.image(name)).reshape(-1, 4) for name in split.names[::4]])
        given = np.concatenate([labels(name).ravel() for name in split.names[::4]])
        for label in range(self.num_classes):
            self.means[label] = seen[given == label].mean(0) if (given == label).any() else 9.0

    def predict(self, image: np.ndarray) -> torch.Tensor:
        distance = ((self._look(image) - self.means[:, None, None]) ** 2).sum(3)  # (K, H, W)
        return torch.from_numpy(-50 * distance).softmax(0).float()

    def save(self, path: Path) -> None:
        with open(path, "wb") as file:
            np.save(file, self.means)

    def load(self, path: Path) -> None:
        self.means = np.load(path)

    @staticmethod
    def _look(image: np.ndarray) -> np.ndarray:
        height = np.linspace(0, 1, len(image))[:, None, None]
        return np.concatenate([image / 255, np.broadcast_to(height, (*image.shape[:2], 1))], axis=2)  # (H, W, 4)


class Unmoved(ByColour):
    """The same, but it has colours of its own and never learns: it sees in every round what it saw in the first."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.means = np.random.default_rng(0).random((num_classes, 4))

    def fit(self, split: Split, labels: Labels, *, seed: int, progress: bool = True) -> None:
        pass


class Told(nn.Module):
    """Takes the LCM's place: says the class that comes `steps` after the one that the segmenter finds most likely, and
    is nine tenths as sure."""

    def __init__(self, steps: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("steps", torch.tensor([steps]))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return 0.9 * feature[:, : self.num_classes].roll(int(self.get_buffer("steps")), 1)


class Nearest(nn.Module):
    """Takes the LCM's place: says the class whose answered masks look most alike in the mean."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
        super().__init__()
        means = [features[labels == k].mean(0) if (labels == k).any() else features[0] + 9 for k in range(num_classes)]
        self.register_buffer("means", torch.from_numpy(np.stack(means).astype(np.float32)))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return (-50 * (feature[:, None] - self.get_buffer("means")) ** 2).sum(2).softmax(1)


Train = Callable[..., nn.Module]


def told(steps: int) -> Train:
    """In place of `train_lcm`: whatever the answers are, `Told`."""
    return lambda features, labels, num_classes, *_: Told(steps, num_classes)


def nearest(features: np.ndarray, labels: np.ndarray, num_classes: int, *_: object) -> nn.Module:
    """In place of `train_lcm`: `Nearest`."""
    return Nearest(features, labels, num_classes)


def held_out(train: Train) -> Callable[..., list[nn.Module]]:
    """In place of `train_lcms`."""
    return lambda features, labels, k, settings, seed, parts: [
        train(features[part], labels[part], k, settings, seed) for part in parts
    ]


@contextmanager
def lcm_of(train: Train) -> Iterator[None]:
    """Rounds, and the estimates from answers held out, take their LCM from here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2lc.correction.learning.train_lcm", train)
        patch.setattr("a2lc.correction.evidence.train_lcms", held_out(train))
        yield
