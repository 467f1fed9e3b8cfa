"""MulSpx (Hwang et al. 2023): one query asks for all classes in a superpixel; three losses learn from such partial
labels, and prototypes turn them into labels of pixels.

Source of every formula: sehyun03/MulActSeg; files are named at each function.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import maximum_filter
from skimage.segmentation import find_boundaries

from a2lc.segmenter import IGNORE

EPSILON = 1e-8
COEFFICIENTS = (16.0, 8.0, 1.0)  # of the losses below, in order

FIRST_TARGET = 256  # targets: `IGNORE` = not selected, 256 + row of the superpixel in the answers


def classes_inside(index_map: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Which classes an annotator names in each superpixel (``dataloader/region_cityscapes_tensor.py:41-84``).

    Pixels near borders of superpixels do not count (thick boundaries grown by a 5x5 square); where nothing else is
    left, all count.

    Args:
        index_map: (H, W) superpixel 0..n-1 of each pixel, -1 = none.
        truth: (H, W) uint8 ground truth, void >= K.
        num_classes: K.

    Returns:
        (n, K + 1) bool; the last column says that void is present.
    """
    n = int(index_map.max(initial=-1)) + 1
    border = maximum_filter(find_boundaries(index_map, mode="thick"), size=5)
    pairs = np.where(index_map < 0, 0, index_map * (num_classes + 1) + np.minimum(truth, num_classes) + 1)

    def present(where: np.ndarray) -> np.ndarray:
        counts = np.bincount(pairs[where], minlength=n * (num_classes + 1) + 1)[1:]
        return counts.reshape(n, num_classes + 1) > 0

    inner, everywhere = present(~border), present(np.ones_like(border))
    return np.where(inner.any(1, keepdims=True), inner, everywhere)


def multiclass_loss(answers: np.ndarray) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of stage 1: 16 x cross-entropy + 8 x merged positive + 1 x prototypical pixel
    (``trainer/active_joint_multi_predignore_lossdecomp.py:21-104``).

    Args:
        answers: (n, C) bool, the classes named in each selected superpixel.

    Returns:
        (logits (N, C, h, w) float32, targets (N, H, W): `IGNORE`, or 256 + row of `answers`) -> loss. Targets of
        another
        size are read at the centres of the logits' cells.
    """
    named = torch.from_numpy(np.asarray(answers, dtype=bool))

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if targets.shape[-2:] != logits.shape[-2:]:
            exact = targets[:, None].float()  # up to 2^24 rows
            targets = F.interpolate(exact, logits.shape[-2:], mode="nearest-exact")[:, 0].long()
        return sum(a * part for a, part in zip(COEFFICIENTS, loss_parts(logits, targets, named), strict=True))  # type: ignore[return-value]

    return loss


def loss_parts(
    logits: torch.Tensor, targets: torch.Tensor, named: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The three losses, each a sum over a number of terms plus one.

    - cross-entropy over pixels of superpixels with one class: -log p[y];
    - merged positive over pixels of the others: -log of the sum of p over the classes named;
    - prototypical pixel over pairs of such a superpixel and a class named in it: -log of the largest p of that class
      among its pixels (``active_joint_multi_predignore_mclossablation2.py:47-75``).

    Args:
        logits: (N, C, h, w) float32.
        targets: (N, h, w) integers: `IGNORE`, or 256 + row of `named`.
        named: (n, C) bool.
    """
    c = logits.shape[1]
    named = named.to(logits.device)
    chosen = targets >= FIRST_TARGET  # (N, h, w)
    p = logits.softmax(1).permute(0, 2, 3, 1)[chosen]  # (m, C)
    rows = targets[chosen].long() - FIRST_TARGET  # (m,)
    classes = named[rows]  # (m, C)
    single = classes.sum(1) == 1
    surprise = -((p * classes).sum(1) + EPSILON).log()  # (m,)
    image = torch.nonzero(chosen)[:, 0]
    keys, group = torch.unique((image * len(named) + rows)[~single], return_inverse=True)  # superpixels of this batch
    best = torch.zeros(len(keys), c, device=p.device)
    best = best.scatter_reduce(0, group[:, None].expand(-1, c), p[~single], "amax", include_self=False)
    wanted = named[keys % len(named)]  # (groups, C)
    prototypical = -(best[wanted] + EPSILON).log()
    parts = (surprise[single], surprise[~single], prototypical)
    return tuple(part.sum() / (len(part) + 1) for part in parts)  # type: ignore[return-value]


def pixbal(bvsb: np.ndarray, counts: np.ndarray, share: np.ndarray, nu: float) -> np.ndarray:
    """PixBal: mean over a superpixel of BvSB x (1 + nu P[y])^-2, y the class predicted at each pixel; 0 where void is
    predicted most (``active_selection/my_bvsb_predclsbal_pwr_banignore.py:31-84``).

    Args:
        bvsb: (n, C) sums over pixels of the second largest / largest probability, by predicted class; the last class
            is void.
        counts: (n, C) pixels by predicted class.
        share: (C,) mean predicted probability over the whole dataset.
        nu: how strongly frequent classes count less; 6 on Cityscapes, 12 on PASCAL VOC.

    Returns:
        (n,) float64 in [0, 1].
    """
    weight = (1 + nu * share) ** -2.0
    scores = ((bvsb + EPSILON * counts) @ weight) / np.maximum(counts.sum(1), 1)
    return np.where(counts.argmax(1) == counts.shape[1] - 1, 0.0, scores)


def localise(
    probs: torch.Tensor, features: torch.Tensor, index_map: np.ndarray, selected: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Labels of pixels from the classes named in superpixels, by prototypes
    (``trainer/eval_save_cosplbl_prop_includeonehot.py:179-314``).

    The prototype of (superpixel, class) is the unit feature of the pixel where the class is likeliest. Inside, each
    pixel takes the class of its most similar prototype. Outside, pixels of superpixels that touch this one take the
    class of their most similar prototype where they are more similar to any prototype than the median of the pixels
    that took it inside (the lower one of an even number; 1 where none did). Where several superpixels spread, the last
    one wins. Labels inside selected superpixels win over all that are spread.

    Args:
        probs: (C, H, W) probabilities without temperature.
        features: (D, H, W) features; their directions are used.
        index_map: (H, W) superpixel 0..n-1 of each pixel, -1 = none.
        selected: (s,) superpixels of this image that were answered, in any order.
        answers: (s, C) bool, the classes named in each.

    Returns:
        (H, W) uint8, 0..C-1 or `IGNORE` where nothing is known.
    """
    shape = index_map.shape
    flat = F.normalize(features.flatten(1), dim=0).T  # (H*W, D)
    likely = probs.flatten(1).T  # (H*W, C)
    order = np.argsort(index_map, axis=None, kind="stable")
    starts = np.searchsorted(index_map.ravel()[order], np.arange(int(index_map.max()) + 1))
    pixels = np.split(order, starts)[1:]  # flat positions of each superpixel's
    inside_labels, spread_labels = (np.full(index_map.size, IGNORE, dtype=np.uint8) for _ in range(2))
    for position in np.argsort(selected, kind="stable"):
        inside, classes = pixels[selected[position]], np.flatnonzero(answers[position])
        prototypes = flat[inside[likely[inside][:, classes].argmax(0).cpu().numpy()]]  # (q, D)
        similarity = flat[inside] @ prototypes.T  # (pixels, q)
        nearest = similarity.max(1)
        took = nearest.indices.cpu().numpy()
        inside_labels[inside] = classes[took]
        near = nearest.values.cpu().numpy()
        threshold = np.array([_median(near[took == q]) for q in range(len(classes))])
        around = np.concatenate([inside[:0], *(pixels[s] for s in _touching(index_map, selected[position], inside))])
        outside = (flat[around] @ prototypes.T).cpu().numpy()  # (pixels, q)
        alike = (outside > threshold).any(1)
        spread_labels[around[alike]] = classes[outside[alike].argmax(1)]
    return np.where(inside_labels != IGNORE, inside_labels, spread_labels).reshape(shape)


def _median(similarity: np.ndarray) -> float:
    """As torch's: of an even number the lower one; 1 of none."""
    return float(np.sort(similarity)[(len(similarity) - 1) // 2]) if len(similarity) else 1.0


def _touching(index_map: np.ndarray, superpixel: int, inside: np.ndarray) -> np.ndarray:
    """The other superpixels that have a pixel in the 3x3 neighbourhood of one `inside` (flat positions)."""
    ys, xs = np.divmod(inside, index_map.shape[1])
    window = index_map[max(ys.min() - 1, 0) : ys.max() + 2, max(xs.min() - 1, 0) : xs.max() + 2]
    touched = np.unique(window[maximum_filter(window == superpixel, size=3)])
    return touched[(touched != superpixel) & (touched >= 0)]


def within_budget(costs: np.ndarray, budget: int) -> int:
    """How many queries are made at (n,) `costs` >= 1 in clicks: up to and including the first that makes their sum
    exceed the budget (``dataloader/region_active_dataset.py:56-66``)."""
    return min(len(costs), int(np.searchsorted(np.cumsum(costs), budget, side="right")) + 1)
