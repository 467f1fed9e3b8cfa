"""Slow versions written straight from the formulas, pixel by pixel: what the fast code is compared with."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from a2lc.correction import LabelCorrectionModule, LCMSettings
from a2lc.datasets import Split
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.augmentation import RandomRescale
from a2lc.segmenter.recipes import RECIPES


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a, b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


class Mask:
    """One mask of an image, its pixels one by one in raster order."""

    def __init__(self, probs: np.ndarray, object_map: np.ndarray, label_map: np.ndarray, mask_id: int) -> None:
        ys, xs = np.nonzero(object_map == mask_id)
        self.positions = list(zip(ys.tolist(), xs.tolist(), strict=True))
        self.p = [probs[:, y, x].astype(float) for y, x in self.positions]
        self.given = [int(label_map[y, x]) for y, x in self.positions]
        self.predicted = [int(np.argmax(p)) for p in self.p]
        counts = Counter(self.predicted)
        self.dominant = min(c for c in counts if counts[c] == max(counts.values()))
        self.effective = [y if g == 255 else g for g, y in zip(self.given, self.predicted, strict=True)]
        inner = [i for i, y in enumerate(self.predicted) if y == self.dominant]
        self.inner = inner
        self.mu = np.mean([self.p[i] for i in inner], axis=0)

    def plurality(self, values: list[int]) -> int:
        counts = Counter(values)
        return min(v for v in counts if counts[v] == max(counts.values()))

    def cil_of(self, i: int) -> float:
        return 1 - self.p[i][self.effective[i]]

    def representative(self) -> int:
        """Position in raster order (within the mask) of the pixel of m' most similar to mu."""
        return max(self.inner, key=lambda i: (cosine(self.p[i], self.mu), -i))


def mask_score(name: str, mask: Mask, weights: np.ndarray) -> float:
    """The functions whose score depends on one mask only."""
    n, k = len(mask.p), len(mask.mu)
    if name == "entropy":
        return sum(-sum(q * math.log(max(q, 1e-12)) for q in p) / math.log(k) for p in mask.p) / n
    if name in ("margin", "bvsb"):
        tops = [sorted(p, reverse=True)[:2] for p in mask.p]
        return sum(1 - (a - b) if name == "margin" else b / a for a, b in tops) / n
    if name == "cil":
        label = mask.plurality([mask.given[i] for i in mask.inner])
        return 1 - mask.mu[mask.dominant if label == 255 else label]
    if name == "lcil":
        return sum(mask.cil_of(i) for i in range(n)) / n
    if name == "lcil_softmin":  # 1 - sum of omega q, q the confidence in the label, omega ~ exp((1 - q) / 0.1)
        q = [1 - mask.cil_of(i) for i in range(n)]
        omega = [math.exp((1 - v) / 0.1) for v in q]
        return 1 - sum(w * v for w, v in zip(omega, q, strict=True)) / sum(omega)
    if name == "sim":
        return sum(cosine(mask.p[i], mask.mu) * mask.cil_of(i) for i in range(n))
    if name == "abc":
        return sum(cosine(mask.p[i], mask.mu) * weights[mask.effective[i]] * mask.cil_of(i) for i in range(n))
    raise KeyError(name)


def balanced_scores(name: str, masks: dict[int, Mask]) -> dict[int, float]:
    """ClassBal and MerSpx: BvSB over its maximum, times exp(-share of the dominant class in masks or in pixels; with
    ``merspx_quarter`` a quarter of that)."""
    u = {i: mask_score("bvsb", m, np.ones(len(m.mu))) for i, m in masks.items()}
    size = {i: 1 if name == "clsbal" else len(m.p) for i, m in masks.items()}
    same = {i: [j for j in masks if masks[j].dominant == m.dominant] for i, m in masks.items()}
    scale = 4 if name == "merspx_quarter" else 1
    share = {i: sum(size[j] for j in same[i]) / sum(size.values()) / scale for i in masks}
    return {i: u[i] / max(*u.values(), 1e-12) * math.exp(-share[i]) for i in masks}  # 0 where nothing is uncertain


def components(predicted: np.ndarray, value: int) -> list[set[tuple[int, int]]]:
    """8-connected components of the pixels equal to `value`, by flood fill."""
    left = {(y, x) for y, x in zip(*np.nonzero(predicted == value), strict=True)}
    found = []
    while left:
        stack, part = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            part.add((y, x))
            for v in range(y - 1, y + 2):
                for w in range(x - 1, x + 2):
                    if (v, w) in left:
                        left.remove((v, w))
                        stack.append((v, w))
        found.append(part)
    return found


def aiou_score(mask: Mask, predicted: np.ndarray, label_map: np.ndarray) -> float:
    """1 - adjusted IoU of Rottmann & Reese, roles swapped."""
    label = mask.plurality(mask.given)
    label = mask.dominant if label == 255 else label
    own = set(mask.positions)
    q = set().union(*[part for part in components(predicted, label) if part & own])
    charged = sum(int(label_map[y, x]) != label for y, x in q)
    return 1 - len(own & q) / (len(own) + charged)


def all_scores(
    name: str, probs: np.ndarray, object_map: np.ndarray, label_map: np.ndarray, weights: np.ndarray
) -> dict[int, float]:
    """Score of every mask of an image by any function but ``random``."""
    masks = {int(i): Mask(probs, object_map, label_map, i) for i in np.unique(object_map) if i != 0}
    if name in ("clsbal", "merspx", "merspx_quarter"):
        return balanced_scores(name, masks)
    if name == "aiou":
        return {i: aiou_score(m, probs.argmax(0), label_map) for i, m in masks.items()}
    return {i: mask_score(name, m, weights) for i, m in masks.items()}


def adaptive_class_weights(pixels_per_class: list[int], uniform_over: str = "present") -> tuple[list[float], float]:
    """Eq. 7-9, Eq. 8 over the classes present or over all, and the KL divergence."""
    present = [n for n in pixels_per_class if n > 0]
    total, uniform = sum(present), 1 / len(present if uniform_over == "present" else pixels_per_class)
    kl = sum(n / total * math.log(n / total / uniform) for n in present)
    return [(min(present) / n) ** (kl**3) if n else 0.0 for n in pixels_per_class], kl


def lcm_tail(labels: list[int], num_classes: int, alpha: float) -> tuple[set[int], int]:
    """Tail classes of Eq. 5 and the single rarest class of Eq. 6: never answered first, then by ascending count."""
    counts = Counter(labels)
    order = sorted(range(num_classes), key=lambda c: (counts[c], c))
    return set(order[: math.floor(alpha * num_classes)]), order[0]


def lcm_corrects(
    label: int,
    predicted: int,
    sure: bool,
    answered_in: int | None,
    round: int,
    tail: set[int],
    rarest: int,
    rules: dict,
) -> bool:
    """Whether the LCM may relabel a mask; `answered_in` is the round of its answer, `rules` are the two protections."""
    if not sure or predicted == label or predicted in tail:
        return False
    if label == rarest if rules["protected_labels"] == "rarest" else label in tail:
        return False
    return answered_in is None or (rules["protected_answers"] == "round" and answered_in < round)


def bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (h, w) by interpolating between the four nearest pixel centres, edges repeated."""
    h, w = values.shape
    found = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * h / height - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / width - 0.5, 0), w - 1)
            for v in (math.floor(y), math.ceil(y)):
                for u in (math.floor(x), math.ceil(x)):
                    share = (1 - abs(y - v)) * (1 - abs(x - u))
                    twice = (2 if math.floor(y) == math.ceil(y) else 1) * (2 if math.floor(x) == math.ceil(x) else 1)
                    found[i, j] += share / twice * values[v, u]
    return found


def iou(labels: np.ndarray, truth: np.ndarray, num_classes: int) -> list[float]:
    """IoU per class over pixels where both are classes; NaN where a class occurs in neither."""
    values = []
    pairs = [(a, b) for a, b in zip(labels.ravel(), truth.ravel(), strict=True) if a < num_classes and b < num_classes]
    for c in range(num_classes):
        union = sum(a == c or b == c for a, b in pairs)
        values.append(sum(a == c and b == c for a, b in pairs) / union if union else math.nan)
    return values


def plain_training(network: nn.Module, settings: SegmenterSettings, split: Split, parts: int = 1) -> list[float]:
    """Train on the ground truth as a tutorial would, sample after sample; the loss of every iteration.

    With `parts`, each batch is cut into as many; each is normalised by itself (the first keeps the running statistics),
    and their gradients are added up.
    """
    samples = settings.batch_size * settings.iterations
    orders = [torch.randperm(len(split)) for _ in range(math.ceil(samples / len(split)))]
    order = torch.cat(orders)[:samples].view(settings.iterations, -1)
    recipe, losses = RECIPES[settings.optimizer](network, settings), []
    network.train()
    for batch in order.tolist():
        images, labels = zip(*(plain_sample(settings, split, split.names[i]) for i in batch), strict=True)
        x, y = torch.stack(images), torch.stack(labels)
        mean, std = (torch.tensor(v).view(3, 1, 1) * 255 for v in (settings.mean, settings.std))
        x = ((x.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        losses.append(0.0)
        buffers = {}
        for part in range(parts):
            here = slice(part * len(x) // parts, (part + 1) * len(x) // parts)
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
                logits = network(x[here]).float()
            buffers = buffers or {name: buffer.clone() for name, buffer in network.named_buffers()}
            small = F.interpolate(y[:, None], logits.shape[-2:], mode="nearest-exact")[:, 0].long()
            total = F.cross_entropy(logits, small[here], ignore_index=255, reduction="sum")
            loss = total / (small != 255).sum()
            loss.backward()
            losses[-1] += loss.item()
        network.load_state_dict(buffers, strict=False)
        recipe.step()
    network.eval()
    return losses


def plain_sample(settings: SegmenterSettings, split: Split, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """An image and its ground truth, resized and augmented by a composed transform."""
    steps = [v2.RandomHorizontalFlip()] if settings.flip else []
    if settings.rescale != (1, 1):
        steps.append(RandomRescale(*settings.rescale))
    pixels, truth = split.image(name), split.ground_truth(name)
    size = [round(side * settings.scale) for side in truth.shape]
    steps.append(
        v2.RandomCrop(settings.crop or size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255})
    )
    if settings.colour_jitter:
        steps.append(v2.ColorJitter(*[settings.colour_jitter] * 3))
    image = v2.functional.resize(tv_tensors.Image(torch.from_numpy(pixels.transpose(2, 0, 1).copy())), size)
    labels = v2.functional.resize(tv_tensors.Mask(torch.from_numpy(truth)), size)
    image, labels = v2.Compose(steps)(image, labels)
    return image.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor)


def plain_lcm(
    features: np.ndarray, labels: np.ndarray, num_classes: int, settings: LCMSettings, seed: int
) -> nn.Module:
    """The LCM as a tutorial would train it: Adam, batch after batch."""
    torch.manual_seed(seed)
    model = LabelCorrectionModule(num_classes, features.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    inverse = [len(labels) / n if n else 0.0 for n in np.bincount(labels, minlength=num_classes)]
    weight = torch.tensor([value / sum(inverse) for value in inverse], dtype=torch.float32)
    for _ in range(settings.epochs):
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            output = model(torch.from_numpy(features)[batch])
            y = torch.from_numpy(labels)[batch]
            if settings.loss == "double_softmax":
                loss = F.cross_entropy(output, y, weight)
            else:
                loss = F.nll_loss(output.clamp_min(1e-12).log(), y, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model
