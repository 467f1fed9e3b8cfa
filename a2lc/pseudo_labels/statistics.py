"""What is measured on pseudo-labels, real or simulated: size, purity, accuracy by size, and how systematic errors are.

benchmarks/calibration.py prints it for the real Grounded-SAM masks of VOC and for simulated ones, side by side.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from a2lc.datasets.base import Split
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram

SIZE_EDGES = np.array([0, 1e-4, 1e-3, 5e-3, 2e-2, 8e-2, np.inf])  # bins of a mask's share of the image
SIZE_NAMES = ("< 1e-4", "1e-4 - 1e-3", "1e-3 - 5e-3", "5e-3 - 2e-2", "2e-2 - 8e-2", "> 8e-2")
FOLDS = 10


def mask_records(masks: MaskSet, split: Split) -> pd.DataFrame:
    """One row per mask, in the order of ``masks.table``.

    Returns:
        Columns ``image`` (position of the image), ``area`` in pixels, ``share`` of the image in (0, 1],
        ``size_bin`` 0..5, ``label``, ``truth`` (most frequent ground truth, ties to the lowest class; K for void),
        ``purity`` (share of the mask's pixels that have it) and ``purity_without_void`` (share of the most frequent
        class among the pixels that have one; NaN where none has).

    Raises:
        ValueError: an image has no ground truth, or one of another size.
    """
    histogram, k = truth_histogram(masks, split), len(masks.classes)
    image = masks.table["image"].cat.codes.to_numpy()
    pixels = np.array([masks.object_map(name).size for name in masks.names])
    area = masks.table["area"].to_numpy()
    share = area / pixels[image]
    known = histogram.counts[:, :k]
    return pd.DataFrame(
        {
            "image": image.astype(np.int64),
            "area": area,
            "share": share,
            "size_bin": np.digitize(share, SIZE_EDGES[1:-1]),
            "label": masks.table["label"].to_numpy().astype(np.int64),
            "truth": histogram.counts.argmax(1),
            "purity": histogram.counts.max(1) / histogram.counts.sum(1),
            "purity_without_void": np.where(known.any(1), known.max(1) / np.maximum(known.sum(1), 1), np.nan),
        }
    )


def mask_statistics_table(masks: MaskSet, split: Split) -> pd.DataFrame:
    """Accuracy and purity by size: a row per size bin, and a last row "all".

    Returns:
        Columns ``masks`` (their number) and, as means over them in [0, 1], ``right`` (pseudo-label = majority truth),
        ``background``, ``void`` and ``another_class`` (what wrong masks mostly are), ``purity`` and
        ``purity_without_void`` as in `mask_records`. Bins without masks hold NaN.

    Raises:
        ValueError: as `mask_records`.
    """
    records, classes = mask_records(masks, split), masks.classes
    truth, right = records["truth"], records["truth"] == records["label"]
    background = (truth == (-1 if classes.background is None else classes.background)) & ~right
    void = truth == len(classes)
    columns = {
        "right": right,
        "background": background,
        "void": void,
        "another_class": ~(right | background | void),
        "purity": records["purity"],
        "purity_without_void": records["purity_without_void"],
    }
    by_bin = pd.DataFrame(columns).groupby(records["size_bin"]).mean().reindex(range(len(SIZE_NAMES)))
    counts = records["size_bin"].value_counts().reindex(range(len(SIZE_NAMES)), fill_value=0)
    table = by_bin.assign(masks=counts).set_index(pd.Index(SIZE_NAMES, name="share"))
    table.loc["all"] = pd.DataFrame(columns).mean().to_dict() | {"masks": len(records)}
    return table.astype({"masks": int})[["masks", *columns]]


def coverage(masks: MaskSet, split: Split) -> dict[str, float]:
    """Share of covered pixels in [0, 1]: ``all``, ``foreground`` (neither void nor background), ``background`` and
    ``void``; NaN where there is no such pixel.

    Raises:
        ValueError: as `mask_records`.
    """
    histogram, k = truth_histogram(masks, split), len(masks.classes)
    inside = histogram.counts.sum(0).astype(float)  # (K+1,)
    total = inside + histogram.uncovered
    groups = {name: np.zeros(k + 1, dtype=bool) for name in ("all", "foreground", "background", "void")}
    groups["all"][:] = groups["void"][k:] = groups["foreground"][:k] = True
    if masks.classes.background is not None:
        groups["foreground"][masks.classes.background] = False
        groups["background"][masks.classes.background] = True
    return {
        name: float(inside[g].sum() / total[g].sum()) if total[g].sum() else float("nan") for name, g in groups.items()
    }


def error_structure(records: pd.DataFrame) -> dict[str, float]:
    """How systematic wrong labels are.

    Args:
        records: of M masks, from `mask_records`.

    Returns:
        Shares in [0, 1] (``label_follows_size`` may be a little below 0), entropies in bits, and one mean number:
        ``right`` and ``right_by_area``;
        ``relabel_none``, ``relabel_label``, ``relabel_label_size``: accuracy when every mask gets the most common
        truth of all masks, of its pseudo-label, of its pseudo-label and size bin, learned on the other nine tenths
        of the images;
        ``entropy_truth``, ``entropy_truth_given_label``: of all masks;
        ``explained_wrong``: part of the entropy of wrong masks' truth that the pseudo-label explains;
        ``top_confusion``: share of wrong masks that carry the most common wrong label of their class (void and
        background left out);
        ``labels_per_image``: different pseudo-labels per image that has masks;
        ``label_follows_size``: part of the entropy of wrong labels that the size bin explains (bias-corrected as by
        Miller 1955);
        ``alike_in_image``, ``alike_anywhere``: chance that two wrong masks of equal truth, in one image or
        anywhere, carry the same label; NaN where there are no two.
    """
    label, truth, size = (records[c].to_numpy() for c in ("label", "truth", "size_bin"))
    k = int(max(label.max(), truth.max())) + 1
    right = label == truth
    wrong = records[~right]
    joint = np.zeros((k, k))
    np.add.at(joint, (label, truth), 1)
    wrong_joint = joint - np.diag(np.diag(joint))
    labelled = wrong_joint[:, np.intersect1d(label, truth)]  # truths that are also labels: classes, not void
    return {
        "right": float(right.mean()),
        "right_by_area": float(np.average(right, weights=records["area"])),
        "relabel_none": _relabel(np.zeros_like(label), records),
        "relabel_label": _relabel(label, records),
        "relabel_label_size": _relabel(label * len(SIZE_NAMES) + size, records),
        "entropy_truth": _entropy(joint.sum(0)),
        "entropy_truth_given_label": _conditional_entropy(joint),
        "explained_wrong": 1 - _conditional_entropy(wrong_joint) / max(_entropy(wrong_joint.sum(0)), 1e-12),
        "top_confusion": float(labelled.max(0).sum() / max(labelled.sum(), 1)),
        "labels_per_image": float(records.groupby("image")["label"].nunique().mean()),
        "label_follows_size": _explained(wrong["size_bin"].to_numpy(), wrong["label"].to_numpy()),
        "alike_in_image": _alike(wrong, ["image", "truth"]),
        "alike_anywhere": _alike(wrong, ["truth"]),
    }


def learnable(features: NDArray[np.float64], records: pd.DataFrame) -> dict[str, float]:
    """How well logistic regression tells the truth of wrong masks, learned on wrong masks of other images (10 folds).

    Args:
        features: (M, F) of every mask; the pseudo-label is added as K indicator columns.
        records: of the same masks, from `mask_records`.

    Returns:
        ``accuracy`` and ``accuracy_of_most_common`` truth on wrong masks, in [0, 1], and ``explained``: 1 - cross
        entropy / that of the truth's frequencies (below 0 where the regression is worse than knowing nothing but them).
    """
    wrong = (records["label"] != records["truth"]).to_numpy()
    label, truth = records["label"].to_numpy()[wrong], records["truth"].to_numpy()[wrong]
    fold = _folds(records["image"].to_numpy()[wrong])
    x = features[wrong]
    x = np.hstack([(x - x.mean(0)) / np.maximum(x.std(0), 1e-9), np.eye(label.max() + 1)[label], np.ones((len(x), 1))])
    k = int(truth.max()) + 1
    log_p, prior = np.zeros((len(x), k)), np.zeros((len(x), k))
    for f in range(FOLDS):
        train, test = fold != f, fold == f
        log_p[test] = log_softmax(x[test] @ _fit_logistic(x[train], truth[train], k), axis=1)
        prior[test] = np.log((np.bincount(truth[train], minlength=k) + 0.5) / (train.sum() + 0.5 * k))
    rows = np.arange(len(x))
    return {
        "accuracy": float((log_p.argmax(1) == truth).mean()),
        "accuracy_of_most_common": float((prior.argmax(1) == truth).mean()),
        "explained": float(1 - log_p[rows, truth].mean() / prior[rows, truth].mean()),
    }


def _fit_logistic(
    x: NDArray[np.float64], truth: NDArray[np.int64], k: int, penalty: float = 1.0
) -> NDArray[np.float64]:
    """(F, K) weights of a multinomial logistic regression with a ridge penalty."""
    target = np.eye(k)[truth]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = flat.reshape(x.shape[1], k)
        log_p = log_softmax(x @ w, axis=1)
        gradient = x.T @ (np.exp(log_p) - target) + penalty * w
        return float(-(target * log_p).sum() + 0.5 * penalty * (w**2).sum()), gradient.ravel()

    best = minimize(loss, np.zeros(x.shape[1] * k), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return best.x.reshape(x.shape[1], k)


def _relabel(key: NDArray[np.int64], records: pd.DataFrame) -> float:
    """Accuracy of the most common truth per key, learned on other images; of all masks for keys never seen."""
    truth, fold = records["truth"].to_numpy(), _folds(records["image"].to_numpy())
    hits = np.zeros(len(key), dtype=bool)
    for f in range(FOLDS):
        train = fold != f
        counts = np.zeros((int(key.max()) + 1, int(truth.max()) + 1))
        np.add.at(counts, (key[train], truth[train]), 1)
        counts += 1e-3 * counts.sum(0) / max(counts.sum(), 1)
        hits[~train] = counts.argmax(1)[key[~train]] == truth[~train]
    return float(hits.mean())


def _explained(given: NDArray[np.int64], value: NDArray[np.int64]) -> float:
    """Mutual information over entropy of `value`, less the bias that the number of cells brings."""
    joint = np.zeros((int(given.max(initial=0)) + 1, int(value.max(initial=0)) + 1))
    np.add.at(joint, (given, value), 1)
    rows, columns = ((joint.sum(axis) > 0).sum() for axis in (1, 0))
    bias = (rows - 1) * (columns - 1) / (2 * max(len(value), 1) * np.log(2))
    entropy = _entropy(joint.sum(0))
    return (entropy - _conditional_entropy(joint) - bias) / max(entropy, 1e-12)


def _alike(records: pd.DataFrame, by: list[str]) -> float:
    """Share of pairs with equal label among the pairs of masks within a group; groups weigh by their masks."""
    number = records.groupby(by).size()
    number = number[number > 1]
    same = records.groupby(by)["label"].value_counts().pipe(lambda c: c * (c - 1)).groupby(level=by).sum()
    return float((same[number.index] / (number - 1)).sum() / number.sum()) if len(number) else float("nan")


def _folds(image: NDArray[np.int64]) -> NDArray[np.int64]:
    return image % FOLDS


def _entropy(counts: NDArray[np.float64]) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def _conditional_entropy(joint: NDArray[np.float64]) -> float:
    """Entropy in bits of the columns given the row of a table of counts."""
    return float(sum(row.sum() * _entropy(row) for row in joint if row.sum()) / joint.sum())
