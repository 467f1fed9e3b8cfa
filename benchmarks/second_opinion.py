"""A second opinion on mask-level correction: what other rules of answering reach, and how fast an oracle gets there.

Everything follows from the ground truth counted per mask (`TruthHistogram`); no model and no image is needed. Labels
and answers are (M,) uint8 here, a class 0..K-1 or 255 = void, in the order of ``masks.table``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt, find_objects

from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram

VOID = 255
ORDERS = {  # what `oracle_order` sorts the masks by
    "greedy": "best Data mIoU next (greedy)",
    "pixels": "wrong pixels removed",
    "pixels_per_truth": "… / pixels of the true class",
    "pixels_per_label": "… / pixels of the pseudo-label",
    "random_wrong": "random, wrong masks first",
    "random": "random",
}


# ------------------------------------------------------------------------------------------------- rules of answering
def class_plurality(masks: MaskSet, truth: TruthHistogram) -> np.ndarray:
    """Answers of someone who never says void: each mask's most frequent class among the pixels that have one.

    Where void is the most frequent, ties go to the lowest class; a mask that is void all over keeps its label.
    """
    known = truth.counts[:, :-1]  # (M, K)
    among_classes = np.where(known.any(1), known.argmax(1), _labels(masks))
    return np.where(truth.majority == VOID, among_classes, truth.majority).astype(np.uint8)


def absolute_majority(masks: MaskSet, truth: TruthHistogram) -> np.ndarray:
    """Answers of someone who changes a mask only where one class, or void, holds more than half of its pixels."""
    clear = 2 * truth.counts.max(1) > truth.counts.sum(1)
    return np.where(clear, truth.majority, _labels(masks)).astype(np.uint8)


def keep_if_mostly_right(masks: MaskSet, truth: TruthHistogram, answers: np.ndarray) -> np.ndarray:
    """These answers, but no answer where more than half of the mask's pixels already carry their class.

    Source: the rule of both released codes (``gen_masks_with_acq.py``); void never counts as right.
    """
    labels = _labels(masks)
    hits = np.where(labels == VOID, 0, truth.counts[np.arange(len(masks)), _columns(labels, truth)])
    return np.where(2 * hits > truth.counts.sum(1), labels, answers).astype(np.uint8)


def random_pixel_answers(truth: TruthHistogram, seed: int) -> np.ndarray:
    """The ground truth of one pixel of each mask, all pixels of a mask being equally likely."""
    cumulative = truth.counts.cumsum(1)  # (M, K+1)
    drawn = np.random.default_rng(seed).integers(cumulative[:, -1])  # (M,) position among the pixels sorted by class
    columns = (cumulative <= drawn[:, None]).sum(1)
    return np.where(columns == truth.counts.shape[1] - 1, VOID, columns).astype(np.uint8)


def innermost_pixels(masks: MaskSet) -> np.ndarray:
    """The pixel of each mask that lies farthest from everything outside it, the first in raster order.

    Distances are Euclidean; what lies beyond the edge of the image counts as outside.

    Returns:
        (M,) int64 flat index y * W + x, what `Oracle.answer` takes as `representative`.
    """
    found = np.empty(len(masks), dtype=np.int64)
    for name in masks.names:
        index = masks.index_map(name) + 1  # (H, W), 0 = no mask
        for i, (rows, columns) in enumerate(find_objects(index)):
            depth = distance_transform_edt(np.pad(index[rows, columns] == i + 1, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            found[masks.rows(name).start + i] = (rows.start + y) * index.shape[1] + columns.start + x
    return found


# ---------------------------------------------------------------------------------------------------------- scores
def answered_score(masks: MaskSet, truth: TruthHistogram, answers: np.ndarray) -> dict[str, float]:
    """What these answers do to the labels when every mask gets its answer.

    Pixels labelled void leave Data mIoU, so an annotator can raise it by answering void; ``*_void_wrong`` counts such
    pixels as wrong where the ground truth has a class (and so do pixels without a label that no mask covers).

    Returns:
        ``changed`` and ``made_void``: masks; ``void_pixels``: pixels of the latter, ``void_pixels_with_class``: those
        of them whose ground truth is a class; ``data_miou``, ``pixel_accuracy``, ``miou_void_wrong`` and
        ``accuracy_void_wrong`` in [0, 1].

    Raises:
        ValueError: not one answer per mask.
    """
    answers = _checked(masks, answers)
    voided = (answers == VOID) & (_labels(masks) != VOID)
    return {
        "changed": int((answers != _labels(masks)).sum()),
        "made_void": int(voided.sum()),
        "void_pixels": int(truth.counts[voided].sum()),
        "void_pixels_with_class": int(truth.counts[voided, :-1].sum()),
        **_scores(_parts(answers, truth.counts).sum(0), masks, truth),
    }


def every_pixel_right(masks: MaskSet, truth: TruthHistogram) -> dict[str, float]:
    """The last four of `answered_score` if each *pixel* inside a mask carried its ground truth: no correction inside
    masks can do better."""
    return _scores(np.stack([truth.counts[:, :-1].sum(0)] * 3), masks, truth)


# ---------------------------------------------------------------------------------------------------------- orders
def wrong_pixels_removed(masks: MaskSet, truth: TruthHistogram, answers: np.ndarray) -> np.ndarray:
    """(M,) int64: by how many pixels each answer lowers the number of wrong ones; void pixels are never wrong."""
    before, after = (_parts(labels, truth.counts) for labels in (_labels(masks), _checked(masks, answers)))
    wrong = [parts[:, 1].sum(1) - parts[:, 0].sum(1) for parts in (before, after)]
    return wrong[0] - wrong[1]


def oracle_order(masks: MaskSet, truth: TruthHistogram, answers: np.ndarray, by: str, seed: int = 0) -> np.ndarray:
    """The order in which someone who knows the ground truth, and what would be answered, asks about the masks.

    Args:
        masks: M masks with their labels so far.
        truth: ground truth counted per mask.
        answers: (M,) what would be answered.
        by: a key of `ORDERS`. ``greedy``: next comes the mask whose answer lifts Data mIoU most (M² K operations);
            ``pixels``: `wrong_pixels_removed`, the most first; ``pixels_per_truth``: divided by the pixels of the
            dataset whose ground truth is the answer, void included; ``pixels_per_label``: divided by the masks'
            pixels that carry the mask's present label, as the class weights of ABC count them; ``random_wrong``:
            masks whose answer differs from their label first; ``random``. Ties keep the order of the table.
        seed: of the two random orders.

    Returns:
        (M,) int64 row numbers, each once.

    Raises:
        ValueError: an unknown order, or not one answer per mask.
    """
    labels, answers = _labels(masks), _checked(masks, answers)
    if by == "greedy":
        return _greedy(masks, truth, answers)
    if by in ("random", "random_wrong"):
        order = np.random.default_rng(seed).permutation(len(masks))
        right = (labels == answers)[order] & (by == "random_wrong")
        return np.concatenate([order[~right], order[right]])
    gain = wrong_pixels_removed(masks, truth, answers).astype(float)
    if by == "pixels_per_truth":
        frequency = truth.counts.sum(0) + truth.uncovered
        gain /= np.maximum(frequency[_columns(answers, truth)], 1)
    elif by == "pixels_per_label":
        gain /= np.bincount(labels, weights=truth.counts.sum(1), minlength=256)[labels]
    elif by != "pixels":
        raise ValueError(f"by: expected one of {', '.join(ORDERS)}, found {by!r}")
    return np.argsort(-gain, kind="stable")


def _greedy(masks: MaskSet, truth: TruthHistogram, answers: np.ndarray) -> np.ndarray:
    """Always the answer after which Data mIoU is highest; answers that change nothing come before those that harm."""
    change = _parts(answers, truth.counts) - _parts(_labels(masks), truth.counts)  # (M, 3, K)
    changes = change.any((1, 2))
    state = _parts(_labels(masks), truth.counts).sum(0) + _outside(masks, truth)  # (3, K)
    left, idle = np.flatnonzero(changes), np.flatnonzero(~changes)
    now, order = float(np.nan_to_num(_mean_iou(state), nan=-1)), []  # no pixel counted: worse than any score
    while left.size:
        reached = np.nan_to_num(_mean_iou(state + change[left]), nan=-1)
        best = int(reached.argmax())
        if reached[best] <= now:
            order.append(idle)
            idle = idle[:0]
        now, state = float(reached[best]), state + change[left[best]]
        order.append(left[best : best + 1])
        left = np.delete(left, best)
    return np.concatenate([*order, idle])


def data_miou_curve(
    masks: MaskSet, truth: TruthHistogram, answers: np.ndarray, order: np.ndarray, clicks: np.ndarray
) -> np.ndarray:
    """Data mIoU after the first n answers, for many n at once.

    Args:
        masks: M masks with their labels so far.
        truth: ground truth counted per mask.
        answers: (M,) what is answered.
        order: (m,) row numbers in the order in which they are answered, none twice.
        clicks: (n,) numbers of answers, 0..m.

    Returns:
        (n,) Data mIoU in [0, 1].

    Raises:
        ValueError: not one answer per mask; a row twice or out of range; more clicks than rows.
    """
    answers, order, clicks = _checked(masks, answers), np.asarray(order, dtype=np.int64), np.asarray(clicks)
    if len(np.unique(order)) < len(order) or not np.isin(order, np.arange(len(masks))).all():
        raise ValueError(f"order: expected distinct row numbers in 0..{len(masks) - 1}")
    if clicks.size and not 0 <= clicks.min() <= clicks.max() <= len(order):
        raise ValueError(f"clicks: expected 0..{len(order)}, found {clicks.min()}..{clicks.max()}")
    before = _parts(_labels(masks), truth.counts)  # (M, 3, K)
    change = (_parts(answers, truth.counts) - before)[order]  # (m, 3, K)
    start = before.sum(0) + _outside(masks, truth)
    steps = np.concatenate([start[None], change]).cumsum(0)  # (m+1, 3, K)
    return _mean_iou(steps[clicks])


def oracle_curves(
    masks: MaskSet,
    truth: TruthHistogram,
    answers: np.ndarray,
    clicks: np.ndarray,
    orders: Sequence[str] = tuple(ORDERS),
    seeds: int = 5,
) -> pd.DataFrame:
    """Data mIoU against clicks for several orders; random ones are means over `seeds` seeds from 0 on.

    Returns:
        Columns ``order`` (a key of `ORDERS`), ``clicks``, ``share`` of all masks, ``data_miou`` and its sample
        standard deviation ``std`` over seeds (NaN where nothing is random); the last three in percent.

    Raises:
        ValueError: as `oracle_order` and `data_miou_curve`.
    """
    parts = []
    for by in orders:
        chosen = range(seeds if by.startswith("random") else 1)
        curves = [
            data_miou_curve(masks, truth, answers, oracle_order(masks, truth, answers, by, seed), clicks)
            for seed in chosen
        ]
        std = np.std(curves, axis=0, ddof=1) if len(curves) > 1 else np.nan
        columns = {"clicks": clicks, "share": 100 * clicks / len(masks), "data_miou": 100 * np.mean(curves, axis=0)}
        parts.append(pd.DataFrame({"order": by, **columns, "std": 100 * std}))
    return pd.concat(parts, ignore_index=True)


def _parts(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(M, 3, K) int64: what IoU is made of, per mask and class: hits, pixels so labelled and pixels truly so, among
    the pixels where both label and ground truth are classes; counts (M, K+1)."""
    known = counts[:, :-1]  # (M, K)
    k = known.shape[1]
    carried = (labels[:, None] == np.arange(k)).astype(np.int64)  # (M, K) all 0 where the label is void
    true = known * (labels < k).astype(np.int64)[:, None]
    return np.stack([carried * known, carried * known.sum(1, keepdims=True), true], axis=1)


def _outside(masks: MaskSet, truth: TruthHistogram) -> np.ndarray:
    """(3, K) int64: the parts of the pixels that no mask covers."""
    return _parts(np.array([masks.uncovered]), truth.uncovered[None])[0]


def _scores(inside: np.ndarray, masks: MaskSet, truth: TruthHistogram) -> dict[str, float]:
    """Scores of the whole dataset from the summed parts (3, K) of its masks."""
    data = inside + _outside(masks, truth)
    strict = data.copy()
    strict[2] = truth.counts[:, :-1].sum(0) + truth.uncovered[:-1]  # every pixel that has a class
    found: dict[str, float] = {}
    for parts, names in ((data, ("data_miou", "pixel_accuracy")), (strict, ("miou_void_wrong", "accuracy_void_wrong"))):
        hits, _, true = parts.sum(1)
        found |= {names[0]: float(_mean_iou(parts)), names[1]: float(hits / true) if true else float("nan")}
    return found


def _mean_iou(parts: np.ndarray) -> np.ndarray:
    """Mean IoU of (..., 3, K) parts over the classes that occur, NaN where none does."""
    union = parts[..., 1, :] + parts[..., 2, :] - parts[..., 0, :]
    present = (union > 0).sum(-1)
    iou = np.divide(parts[..., 0, :], union, out=np.zeros(union.shape), where=union > 0)
    return np.where(present > 0, iou.sum(-1) / np.maximum(present, 1), np.nan)


def _labels(masks: MaskSet) -> np.ndarray:
    return masks.table["label"].to_numpy()


def _columns(labels: np.ndarray, truth: TruthHistogram) -> np.ndarray:
    """Column of the histogram for each label; void is the last."""
    return np.minimum(labels, truth.counts.shape[1] - 1).astype(np.int64)


def _checked(masks: MaskSet, answers: np.ndarray) -> np.ndarray:
    answers = np.asarray(answers)
    if answers.shape != (len(masks),):
        raise ValueError(f"answers: expected one per mask, ({len(masks)},), found {answers.shape}")
    return answers
