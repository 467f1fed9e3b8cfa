"""Weak and strong views of an image. Neither ever breaks what a sentence says: left stays left, and nothing is cut off;
colours change together, so a strong view may make a red car pink, but never another's red."""

from __future__ import annotations

import torch
import torch.nn.functional as F

BRIGHTNESS, CONTRAST, SATURATION = 0.3, 0.3, 0.4
GREY, BLURRED = 0.1, 0.3  # how often
_LUMA = (0.299, 0.587, 0.114)


def strong_view(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Other brightness, contrast and saturation, sometimes grey, sometimes blurred; every place stays where it is.

    Args:
        images: (N, 3, H, W) float in [0, 1].
        generator: on the CPU.

    Returns:
        The same shape, in [0, 1].
    """
    count = len(images)
    draws = torch.rand(count, 5, generator=generator).to(images.device)[..., None, None, None]  # (N, 5, 1, 1, 1)
    luma = (images * images.new_tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    colour = torch.where(draws[:, 3] < GREY, 0.0, 1 + SATURATION * (2 * draws[:, 0] - 1))
    found = luma + colour * (images - luma)
    mean = found.mean((1, 2, 3), keepdim=True)
    found = mean + (1 + CONTRAST * (2 * draws[:, 1] - 1)) * (found - mean)
    found = found * (1 + BRIGHTNESS * (2 * draws[:, 2] - 1))
    kernel = images.new_tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(found, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return torch.where(draws[:, 4] < BLURRED, soft, found).clamp(0, 1)


def drop_priors(
    prior: torch.Tensor, score: torch.Tensor, share: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a share of (N, h, w) priors and their (N,) scores away, so that the network learns to do without."""
    kept = (torch.rand(len(prior), generator=generator) >= share).to(prior)
    return prior * kept[:, None, None], score * kept
