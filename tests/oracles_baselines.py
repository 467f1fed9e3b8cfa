"""Slow versions of MulSpx and of what the superpixel baselines share, pixel by pixel from the text (methods.md 6)."""

from __future__ import annotations

import math

import numpy as np


def named_inside(index_map: np.ndarray, truth: np.ndarray, num_classes: int) -> list[set[int]]:
    """Classes named in each superpixel, void as number K. Border pixels have a 4-neighbour in another superpixel; what
    lies within two rows and columns of one does not count, unless nothing else is there."""
    height, width = index_map.shape

    def near(y: int, x: int, reach: int, corners: bool) -> list[tuple[int, int]]:
        steps = [
            (v, w) for v in range(-reach, reach + 1) for w in range(-reach, reach + 1) if corners or not v or not w
        ]
        return [(y + v, x + w) for v, w in steps if 0 <= y + v < height and 0 <= x + w < width]

    def on_border(y: int, x: int) -> bool:
        return any(index_map[q] != index_map[y, x] for q in near(y, x, 1, corners=False))

    found = []
    for superpixel in range(int(index_map.max()) + 1):
        pixels = [(y, x) for y in range(height) for x in range(width) if index_map[y, x] == superpixel]
        inner = [q for q in pixels if not any(on_border(*other) for other in near(*q, 2, corners=True))]
        found.append({min(int(truth[q]), num_classes) for q in inner or pixels})
    return found


def losses(logits: np.ndarray, targets: np.ndarray, named: list[set[int]]) -> tuple[float, float, float]:
    """Cross-entropy, merged positive, prototypical pixel: (N, C, h, w) logits, targets 255 or 256 + row of `named`."""
    single, merged, prototypes = [], [], []
    for scores, target in zip(logits.astype(float), targets, strict=True):  # one image of the batch after the other
        p = np.exp(scores - scores.max(0))
        p /= p.sum(0)
        for row in sorted(set(target[target >= 256].tolist())):
            classes, pixels = named[row - 256], [tuple(q) for q in np.argwhere(target == row)]
            for y, x in pixels:
                surprise = -math.log(sum(p[c, y, x] for c in classes) + 1e-8)
                (single if len(classes) == 1 else merged).append(surprise)
            if len(classes) > 1:
                prototypes += [-math.log(max(p[c, y, x] for y, x in pixels) + 1e-8) for c in classes]
    return tuple(sum(part) / (len(part) + 1) for part in (single, merged, prototypes))  # type: ignore[return-value]


def pixbal_scores(images: list[tuple[np.ndarray, np.ndarray]], nu: float) -> list[float]:
    """PixBal of all superpixels of all images, each (probabilities (C, H, W), index map); the last class is void."""
    num = len(images[0][0])
    every = [probs[:, y, x] for probs, index in images for y, x in np.ndindex(index.shape)]
    share = [sum(float(p[c]) for p in every) / len(every) for c in range(num)]
    scores = []
    for probs, index in images:
        for superpixel in range(int(index.max()) + 1):
            values, votes = [], [0] * num
            for y, x in np.argwhere(index == superpixel):
                p = probs[:, y, x].tolist()
                best, second = sorted(p, reverse=True)[:2]
                predicted = p.index(best)
                votes[predicted] += 1
                values.append((second / best + 1e-8) * (1 + nu * share[predicted]) ** -2)
            scores.append(0.0 if votes.index(max(votes)) == num - 1 else sum(values) / len(values))
    return scores


def localised(
    probs: np.ndarray, features: np.ndarray, index_map: np.ndarray, selected: list[int], named: list[set[int]]
) -> np.ndarray:
    """Labels by prototypes: every superpixel spreads in the order of its number, then each labels its own pixels."""
    height, width = index_map.shape

    def similarity(a: tuple[int, int], b: tuple[int, int]) -> float:
        v, w = features[:, *a], features[:, *b]
        return float(v @ w) / math.sqrt(float(v @ v) * float(w @ w))

    def touching(a: int, b: int) -> bool:
        return any(
            index_map[y, x] == a and (index_map[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] == b).any()
            for y, x in np.ndindex(index_map.shape)
        )

    labels = np.full((height, width), 255)
    own = np.full((height, width), 255)
    for s, classes in sorted(zip(selected, map(sorted, named), strict=True)):
        pixels = [(int(y), int(x)) for y, x in np.argwhere(index_map == s)]
        prototype = {c: max(pixels, key=lambda q: (probs[c, *q], -q[0], -q[1])) for c in classes}  # noqa: B023
        taken: dict[int, list[float]] = {c: [] for c in classes}
        for q in pixels:
            nearest = max(classes, key=lambda c: (similarity(q, prototype[c]), -c))  # noqa: B023
            own[q] = nearest
            taken[nearest].append(similarity(q, prototype[nearest]))
        threshold = {c: sorted(v)[(len(v) - 1) // 2] if v else 1.0 for c, v in taken.items()}
        for other in range(int(index_map.max()) + 1):
            if other != s and touching(s, other):
                for q in map(tuple, np.argwhere(index_map == other)):
                    alike = {c: similarity(q, prototype[c]) for c in classes}
                    if any(alike[c] > threshold[c] for c in classes):
                        labels[q] = max(classes, key=lambda c: (alike[c], -c))  # noqa: B023
    return np.where(own != 255, own, labels)


def queries_paid(costs: list[int], budget: int) -> int:
    """How many queries are made: the one that exceeds the budget is the last."""
    clicks = 0
    for number, cost in enumerate(costs, start=1):
        clicks += cost
        if clicks > budget:
            return number
    return len(costs)


def dominant(truth: np.ndarray, inside: np.ndarray, num_classes: int) -> int:
    """Most frequent ground truth among the pixels `inside`; ties go to the lowest class, void (255) counts as one."""
    votes = {c: int((np.minimum(truth, num_classes)[inside] == c).sum()) for c in range(num_classes + 1)}
    best = max(votes, key=lambda c: (votes[c], -c))
    return 255 if best == num_classes else best
