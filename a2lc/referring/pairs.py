"""Pairs of image and sentence as tensors, fetched when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from a2lc.referring.data import ReferringSplit
from a2lc.referring.priors.base import STRIDE
from a2lc.referring.text import Tokens

PriorOf = Callable[[int], tuple[np.ndarray, float]]
"""A row of the table -> the prior that the network is to see, (h, w) uint8, and its score in [0, 1]."""


@dataclass(frozen=True)
class Batch:
    """N pairs.

    Attributes:
        images: (N, 3, H, W) float32 in [0, 1].
        words: (N, T) int64.
        prior: (N, h, w) float32 in [0, 1], at stride 4.
        score: (N,) float32.
        target: (N, h, w) float32, the share of each cell that belongs to the object; or what a pseudo-label says.
        weight: (N, h, w) float32 of each cell in the loss.
    """

    images: torch.Tensor
    words: torch.Tensor
    prior: torch.Tensor
    score: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class Pairs:
    """The sentences of a split as a network reads them.

    Args:
        split: sentences and images.
        tokens: turns sentences into numbers.
        prior_of: what the network is to see as the prior.
        size: H, W that images are brought to, multiples of 4; None: their own, which must be equal within a batch.
    """

    def __init__(
        self, split: ReferringSplit, tokens: Tokens, prior_of: PriorOf, size: tuple[int, int] | None = None
    ) -> None:
        self.split, self.tokens, self.prior_of, self.size = split, tokens, prior_of, size
        self.images = split.table["image"].to_list()
        self.sentences = split.table["sentence"].to_list()
        self.refs = split.table["ref_id"].to_numpy()
        self.numbers = split.table["sentence_id"].to_numpy()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.sentences)

    def inputs(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images, words, priors and scores of some rows, as of `Batch`."""
        images = torch.stack([self._image(row) for row in rows])
        size = (-(-images.shape[2] // STRIDE), -(-images.shape[3] // STRIDE))
        shown = [self.prior_of(row) for row in rows]
        prior = torch.stack([at_size(tensor_of(p).float() / 255, size) for p, _ in shown])
        words = self.tokens([self.sentences[row] for row in rows])
        return images, words, prior, torch.tensor([score for _, score in shown], dtype=torch.float32)

    def labelled(self, rows: Sequence[int]) -> Batch:
        """Some rows with what is true of them; every cell weighs the same."""
        inputs = self.inputs(rows)
        target = torch.stack([self.truth(row, (inputs[2].shape[-2], inputs[2].shape[-1])) for row in rows])
        return Batch(*inputs, target, torch.ones_like(target))

    def truth(self, row: int, size: tuple[int, int]) -> torch.Tensor:
        """(h, w) float32, the share of each cell that belongs to the object."""
        mask = tensor_of(self.split.checked_mask(int(self.refs[row]))).float()
        return F.adaptive_avg_pool2d(mask[None, None], size)[0, 0]

    def _image(self, row: int) -> torch.Tensor:
        image = tensor_of(self.split.checked_image(self.images[row])).permute(2, 0, 1).float() / 255
        if self.size is None or tuple(image.shape[1:]) == self.size:
            return image
        return F.interpolate(image[None], self.size, mode="bilinear", align_corners=False, antialias=True)[0]


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """A copy of an array that may be read-only or turned round, which PyTorch does not share."""
    return torch.from_numpy(np.array(array))


def at_size(values: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """An (h, w) map brought to another size, bilinear."""
    if tuple(values.shape) == tuple(size):
        return values
    return F.interpolate(values[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def endless(count: int, batch: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Batches of row numbers: all rows in a random order, then again in another; a batch may hold a row twice only
    where there are fewer rows than it takes."""
    order: list[int] = []
    while True:
        while len(order) < batch:
            order += rng.permutation(count).tolist()
        yield order[:batch]
        order = order[batch:]
