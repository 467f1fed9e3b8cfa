"""SESM, the self-evolving segmentation module: a pyramid of image features, guided by the prior and by the words.

At every level the prior says where to look: what it points at has a mean feature, and each place is compared with that.
How much of this guidance gets in is decided channel by channel, from the sentence and from how good the prior looks.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from a2lc.referring.text import PADDING, GruText

Guidance = Literal["learnt", "concat", "none"]
Words = Literal["attention", "film"]
WIDTHS = (24, 48, 96, 128)  # channels of the small pyramid at strides 4, 8, 16, 32
TEXT_WIDTH = 64  # d of the small network
SHUT = -1.0  # log-odds with which the guidance's gates begin: it has to earn its influence
WITH_WORDS = (1, 2)  # levels at which places attend to words: strides 8 and 16


class SmallPyramid(nn.Module):
    """Features at strides 4, 8, 16 and 32 from scratch, of depthwise convolutions."""

    channels = WIDTHS

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, 2, 1, bias=False),
            _norm(WIDTHS[0]),
            nn.ReLU(),
            Separable(WIDTHS[0], WIDTHS[0], 2),
        )
        self.levels = nn.ModuleList(
            nn.Sequential(Separable(before, width, 1 if before == width else 2), Separable(width, width))
            for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False)
        )

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) float in [0, 1] -> four maps."""
        x, found = self.stem(2 * images - 1), []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found


class Separable(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution, around a shortcut where the shape stays."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
            _norm(before),
            nn.Conv2d(before, width, 1, bias=False),
            _norm(width),
        )
        self.stays = before == width and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride), rounded up."""
        y: torch.Tensor = self.body(x)
        return F.relu(x + y if self.stays else y)


class Level(nn.Module):
    """One level of the pyramid under sentence, words and prior."""

    def __init__(self, channels: int, text: int, guidance: Guidance, words: Words, attends: bool) -> None:
        super().__init__()
        self.film = nn.Linear(text, 2 * channels)
        self.guidance = guidance
        if guidance == "learnt":
            self.guide = nn.Conv2d(4, channels, 3, padding=1)
            self.gate = nn.Linear(text + 5, channels)
            nn.init.constant_(self.gate.bias, SHUT)
        elif guidance == "concat":
            self.guide = nn.Conv2d(channels + 4, channels, 1)
        self.attends = attends and words == "attention"
        if self.attends:
            self.query, self.answer = nn.Conv2d(channels, text, 1), nn.Linear(text, channels)

    def forward(
        self,
        features: torch.Tensor,
        words: torch.Tensor,
        sentence: torch.Tensor,
        there: torch.Tensor,
        prior: torch.Tensor,
        about: torch.Tensor,
    ) -> torch.Tensor:
        """(N, C, h, w) features -> the same shape.

        Args:
            features: of this level.
            words: (N, T, d).
            sentence: (N, d).
            there: (N, T) bool, which words are there.
            prior: (N, 1, h, w) in [0, 1].
            about: (N, 5) numbers that say how good the prior looks.
        """
        scale, shift = self.film(sentence)[..., None, None].chunk(2, 1)
        found = features * (1 + scale) + shift
        if self.attends:
            asked = self.query(features).flatten(2).transpose(1, 2)  # (N, h*w, d)
            fit = asked @ words.transpose(1, 2) / math.sqrt(words.shape[-1])  # (N, h*w, T)
            weights = fit.masked_fill(~there[:, None], -torch.inf).softmax(-1)
            found = found + self.answer(weights @ words).transpose(1, 2).reshape_as(features)
        if self.guidance == "none":
            return found
        signals = signals_of(features, prior)
        if self.guidance == "concat":
            joined: torch.Tensor = self.guide(torch.cat([found, signals], 1))
            return joined
        gate = self.gate(torch.cat([sentence, about], 1)).sigmoid()[..., None, None]
        return found + gate * self.guide(signals)


class Sesm(nn.Module):
    """The network.

    Args:
        pyramid: images -> four maps, with ``channels``.
        text: word numbers -> words, with ``width``.
        width: channels of the decoder.
        guidance: ``learnt``, gated signals; ``concat``, the same signals beside the features; ``none``.
        words: ``attention`` at strides 8 and 16 beside the sentence's scale and shift, or ``film``: these alone.
    """

    def __init__(
        self, pyramid: nn.Module, text: nn.Module, width: int, guidance: Guidance = "learnt", words: Words = "attention"
    ) -> None:
        super().__init__()
        self.pyramid, self.text = pyramid, text
        d, channels = int(text.width), tuple(pyramid.channels)  # type: ignore[arg-type]
        self.levels = nn.ModuleList(
            Level(count, d, guidance, words, level in WITH_WORDS) for level, count in enumerate(channels)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.ModuleList(Separable(width, width) for _ in channels)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(
        self, images: torch.Tensor, words: torch.Tensor, prior: torch.Tensor, score: torch.Tensor
    ) -> torch.Tensor:
        """Logits of each cell of 4 x 4 pixels belonging to what is named.

        Args:
            images: (N, 3, H, W) float in [0, 1].
            words: (N, T) int64 word numbers, at least one that is no padding.
            prior: (N, h, w) float in [0, 1], of any size; all 0: there is none.
            score: (N,) float in [0, 1], how good the prior says it is.

        Returns:
            (N, H/4, W/4), sides rounded up.
        """
        there = words != PADDING
        said = self.text(words)  # (N, T, d)
        sentence = said.sum(1) / there.sum(1, keepdim=True)
        about = torch.cat([looks_of(prior), score[:, None]], 1)
        y = None
        guided = []
        for level, features in zip(self.levels, self.pyramid(images), strict=True):
            small = F.adaptive_avg_pool2d(prior[:, None], features.shape[-2:])
            guided.append(level(features, said, sentence, there, small, about))
        for lateral, smooth, features in reversed(list(zip(self.lateral, self.smooth, guided, strict=True))):
            x = lateral(features)
            if y is not None:
                x = x + F.interpolate(y, x.shape[-2:], mode="bilinear", align_corners=False)
            y = smooth(x)
        logits: torch.Tensor = self.last(y)[:, 0]
        return logits


def signals_of(features: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    """(N, 4, h, w): the prior, how much each place is like what the prior points at (cosine), and where it is, x and y
    in [-1, 1]; of (N, C, h, w) features and (N, 1, h, w) prior."""
    weight = prior / (prior.sum((2, 3), keepdim=True) + 1e-6)
    pointed_at = (weight * features).sum((2, 3), keepdim=True)  # (N, C, 1, 1)
    alike = F.cosine_similarity(features, pointed_at, dim=1, eps=1e-6)[:, None]
    high, wide = features.shape[-2:]
    y = torch.linspace(-1, 1, high, device=features.device)[:, None].expand(high, wide)
    x = torch.linspace(-1, 1, wide, device=features.device)[None, :].expand(high, wide)
    places = torch.stack([x, y])[None].expand(len(features), 2, high, wide)
    return torch.cat([prior, alike, places], 1)


def looks_of(prior: torch.Tensor) -> torch.Tensor:
    """(N, 4) mean, largest, mean entropy in [0, 1] and share over one half of (N, h, w) priors."""
    p = prior.flatten(1)
    q = p.clamp(1e-4, 1 - 1e-4)
    entropy = -(q * q.log() + (1 - q) * (1 - q).log()) / math.log(2)
    return torch.stack([p.mean(1), p.amax(1), entropy.mean(1), (p > 0.5).float().mean(1)], 1)


def small_network(vocabulary: int, guidance: Guidance = "learnt", words: Words = "attention") -> Sesm:
    """The small network, for two cores: about 0.2 million weights and 64 for each of the vocabulary's words."""
    return Sesm(SmallPyramid(), GruText(vocabulary, TEXT_WIDTH), TEXT_WIDTH, guidance, words)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)
