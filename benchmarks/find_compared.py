"""`a2lc find` beside cleanlab and beside a trained network, on the same masks before any answer:
`python benchmarks/find_compared.py voc --out paper_figures/voc`. It needs `pip install cleanlab`.

A mask is wrong where its label is not the most frequent ground truth of its pixels, void included. Each way below puts
all masks in an order, the most suspicious first; equal scores are ordered by chance.

Without a network that is trained on these labels:

- ``a2lc find``: square root of the pixels times the probability that the label is wrong (`a2lc.find`). The probability
  comes from logistic regressions on mask features that know ImageNet, and none of them has seen the mask's image.
- ``a2lc find, probability alone``. It is what cleanlab calls self-confidence, from our probabilities.
- ``order of method: instant``: what that method asks about first.
- ``cleanlab on mask features``: each mask is an ordinary item. `cleanlab.rank.get_label_quality_scores` gets the
  probabilities of scikit-learn's logistic regression with its default prior on the same features, standardised, from
  five folds of images.
- ``largest first`` and ``random``.

With θ, the frozen backbone of A²LC and a head that is trained on the initial labels (``segmenter: {network: frozen}``).
Every row of θ is there twice. ``all images``: θ has learnt the labels that it judges, as in round 0 of every run of
SIM or ABC. ``other images``: each image is judged by the one of three networks that has not seen it, which is what
cleanlab asks its users for.

- ``SIM``, ``ABC``, ``CIL``: the acquisition functions of this package.
- ``cleanlab.segmentation, softmin``: `cleanlab.segmentation.rank.get_label_quality_scores`, made for whole images, of
  each mask's pixels.
- ``cleanlab.segmentation, share`` and ``number of issues``: pixels of the mask that
  `cleanlab.segmentation.filter.find_label_issues` would flag. Images differ in size and do not fit into memory at once,
  so its own `LabelInspector` is led over them one by one; the uncovered pixels of VOC count as background.
- ``cleanlab on θ's mean``: `cleanlab.rank.get_label_quality_scores` of θ's probabilities averaged over the mask, with
  its self-confidence or its normalized margin. This stands for `cleanlab.object_detection`, which judges the class of
  a box by how sure a model is of others, but needs the boxes that a detector predicts.

``× √pixels``: what is missing to 1, times the square root of the pixels, as `a2lc find` does.

Writes find_compared.{csv,md,tex} (precision), find_compared_recall.{csv,md,tex} (of wrong masks, of their pixels, and
the mean over present labels) and a figure. Means over seeds of θ, of folds and of chance; `a2lc find` has no seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from profiles import profile_arguments, profile_masks
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import a2lc
from a2lc.acquisition import MaskStatistics, class_weights, get_acquisition_function, mask_statistics
from a2lc.config import Experiment
from a2lc.datasets import Dataset, Split
from a2lc.figures import save_figure
from a2lc.instant import Instant, mask_features
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.paper.origin import origin, other_network
from a2lc.paper.tables import save_table
from a2lc.segmenter import Segmenter, build_segmenter, ignoring_void

LOOKED = (30, 84, 251, 502, 1255)  # masks that somebody looks at
TYPICAL = 251  # whose median size is told
FEATURES = "tf_efficientnet_lite0"
THETA_FOLDS, ITEM_FOLDS = 3, 5
RECALLS = {"recall": "masks", "recall_area": "pixels", "recall_class": "labels"}

Predict = Callable[[str], torch.Tensor]
"""Name of an image -> (K, H, W) float32 probabilities."""
Key = tuple[str, str]
"""What orders the masks, and which images θ has learnt from."""

FIND, ALONE, ASKED = "a2lc find", "a2lc find, probability alone", "order of method: instant"
ITEMS, SEGMENTATION, OBJECTS = "cleanlab on mask features", "cleanlab.segmentation", "cleanlab on θ's mean"
SEEN, UNSEEN = "all images", "other images"
DRAWN: dict[Key, tuple[str, str]] = {  # colour and line of a figure
    (FIND, ""): ("#0072B2", "-"),
    (ALONE, ""): ("#0072B2", "--"),
    (f"{ITEMS}, self-confidence", ""): ("#56B4E9", "--"),
    ("SIM", SEEN): ("#D55E00", "-"),
    ("ABC", SEEN): ("#E69F00", "-"),
    (f"{SEGMENTATION}, softmin", UNSEEN): ("#009E73", "-"),
    (f"{OBJECTS}, self-confidence", UNSEEN): ("#CC79A7", "--"),
    (f"{OBJECTS}, self-confidence × √pixels", UNSEEN): ("#CC79A7", "-"),
    ("largest first", ""): ("#777777", "-."),
    ("random", ""): ("#000000", ":"),
}


# ------------------------------------------------------------------------------------------------- how good an order is
def curves(order: np.ndarray, labels: np.ndarray, truth: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    """What has been found after each mask of an order.

    Args:
        order: (M,) row numbers, the most suspicious first.
        labels: (M,) present labels.
        truth: (M,) what they should be; at least one differs.
        area: (M,) pixels.

    Returns:
        precision: (M,) share of wrong masks among the first 1..M; recall: (M,) share of the wrong masks that are among
        them; recall_area: (M,) of their pixels; recall_class: (M,) mean over the labels that wrong masks carry; area:
        (M,) pixels of each in turn.
    """
    wrong = labels != truth
    hit = wrong[order]
    carried = labels[order][:, None] == np.unique(labels[wrong])  # (M, c)
    by_label, pixels = (hit[:, None] * carried).cumsum(0), (hit * area[order]).cumsum()
    number = hit.cumsum()
    return {
        "precision": number / np.arange(1, len(hit) + 1),
        "recall": number / number[-1],
        "recall_area": pixels / pixels[-1],
        "recall_class": (by_label / by_label[-1]).mean(1),
        "area": area[order],
    }


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Mean over the wrong masks of the precision where each is found."""
    return float(precision @ np.diff(recall, prepend=0))


def ordered(scores: np.ndarray, seed: int) -> np.ndarray:
    """(M,) rows by falling scores, equal ones by chance."""
    return np.lexsort((np.random.default_rng(seed).random(len(scores)), -scores))


# ----------------------------------------------------------------------------------------------------- what orders them
def mask_orders(dataset: Dataset, masks: MaskSet, kept: Path, seed: int) -> dict[Key, np.ndarray]:
    """Orders that need no network trained on these labels: (M,) rows each."""
    labels, area = masks.table["label"].to_numpy(), masks.table["area"].to_numpy()
    features = mask_features(FEATURES, masks, dataset.train, shared=kept.parent, kept=kept)
    rows = a2lc.find(dataset, masks, features=FEATURES, kept=kept)
    wrong = rows.sort_values("row")["wrong"].to_numpy()
    scores = {
        ALONE: wrong,
        ASKED: Instant(features, masks).suspicion(labels, masks.queried).scores,
        **item_scores(features.astype(np.float32), labels, masks.table["image"].cat.codes.to_numpy(), area, seed),
        "largest first": area,
        "random": np.zeros(len(masks)),
    }
    return {(FIND, ""): rows["row"].to_numpy()} | {(name, ""): ordered(found, seed) for name, found in scores.items()}


def item_scores(
    features: np.ndarray, labels: np.ndarray, images: np.ndarray, area: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """cleanlab on masks as ordinary items: (M, C) features, (M,) labels, images and pixels -> (M,) suspicion each."""
    from cleanlab.rank import get_label_quality_scores

    _, given = np.unique(labels, return_inverse=True)  # cleanlab wants 0..c-1
    folds = StratifiedGroupKFold(ITEM_FOLDS, shuffle=True, random_state=seed)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class|Number of classes in training fold")
        probabilities = cross_val_predict(
            regression, features, given, groups=images, cv=folds, method="predict_proba"
        )  # (M, c)
    quality = partial(get_label_quality_scores, given, probabilities)
    confidence = 1 - quality(method="self_confidence")
    return {
        f"{ITEMS}, self-confidence": confidence,
        f"{ITEMS}, normalized margin": 1 - quality(method="normalized_margin"),
        f"{ITEMS}, self-confidence × √pixels": confidence * np.sqrt(area),
    }


def network_scores(predict: Predict, masks: MaskSet) -> dict[str, np.ndarray]:
    """All that is made of θ's probabilities: (M,) suspicion each.

    Raises:
        ValueError: a mask is void, for which θ has no probability.
    """
    from cleanlab.rank import get_label_quality_scores

    labels, area = masks.table["label"].to_numpy().astype(np.int64), masks.table["area"].to_numpy()
    if void := int((labels == masks.classes.ignore_index).sum()):
        raise ValueError(f"masks: expected a class for each, found {void} of {len(masks)} void")
    statistics, softmin, inspector = first_look(predict, masks)
    flagged = issue_pixels(predict, masks, inspector)
    mean = statistics.feature.astype(np.float64)  # (M, K)
    mean /= mean.sum(1, keepdims=True)
    confidence = 1 - get_label_quality_scores(labels, mean)
    rng = np.random.default_rng(0)  # these three functions do not draw
    return {
        **{name.upper(): get_acquisition_function(name).scores(statistics, rng) for name in ("sim", "abc", "cil")},
        f"{SEGMENTATION}, softmin": 1 - softmin,
        f"{SEGMENTATION}, share of issues": flagged / area,
        f"{SEGMENTATION}, number of issues": flagged,
        f"{OBJECTS}, self-confidence": confidence,
        f"{OBJECTS}, normalized margin": 1 - get_label_quality_scores(labels, mean, method="normalized_margin"),
        f"{OBJECTS}, self-confidence × √pixels": confidence * np.sqrt(area),
    }


def first_look(predict: Predict, masks: MaskSet) -> tuple[MaskStatistics, np.ndarray, Any]:
    """Statistics of all masks; (M,) softmin quality of each; and a `LabelInspector` that knows how sure θ is of each
    class."""
    from cleanlab.experimental.label_issues_batched import LabelInspector
    from cleanlab.segmentation.rank import get_label_quality_scores

    every: MaskStatistics | None = None
    softmin, weights = np.empty(len(masks)), class_weights(masks).weights
    inspector = LabelInspector(num_class=len(masks.classes), store_results=False, verbose=False, n_jobs=1)
    for name in masks.names:
        probs, index = predict(name), masks.index_map(name)
        labels, rows = masks.label_map(name, index), masks.rows(name)
        part = mask_statistics(probs, index, labels, weights, (), masks.classes.ignore_index)
        every = MaskStatistics.like(part, len(masks)) if every is None else every
        every.put(rows, part)
        flat, given = probs.flatten(1).cpu().numpy(), labels.ravel().astype(np.int64)  # (K, H*W), (H*W,)
        for row, inside in enumerate(pixels_of(index, rows.stop - rows.start), rows.start):
            image = given[None, None, inside], flat[None, :, None, inside]  # (1, 1, pixels), (1, K, 1, pixels)
            softmin[row] = get_label_quality_scores(*image, verbose=False)[0][0]
        known = given != masks.classes.ignore_index
        inspector.update_confident_thresholds(given[known], flat.T[known])
    assert every is not None  # there is no MaskSet without images
    return every, softmin, inspector


def issue_pixels(predict: Predict, masks: MaskSet, inspector: Any) -> np.ndarray:
    """(M,) int64: how many pixels of each mask are issues, as in `cleanlab.segmentation.filter.find_label_issues`: as
    many as θ is sure to be labelled wrong, those with the least self-confidence, without those that θ calls by their
    label."""
    from cleanlab.rank import find_top_issues

    quality, differs, mask = [], [], []
    for name in masks.names:
        index, flat = masks.index_map(name), predict(name).flatten(1).cpu().numpy()  # (K, H*W)
        given = masks.label_map(name, index).ravel().astype(np.int64)
        known = given != masks.classes.ignore_index
        of_known = flat.T[known]  # (n, K)
        quality.append(inspector.score_label_quality(given[known], of_known))
        differs.append(of_known.argmax(1) != given[known])
        row = np.where(index.ravel() >= 0, index.ravel() + masks.rows(name).start, -1)
        mask.append(row[known].astype(np.int32))
    issues = find_top_issues(np.concatenate(quality), top=int(inspector.get_num_issues(silent=True)))
    rows = np.concatenate(mask)[issues[np.concatenate(differs)[issues]]]
    return np.bincount(rows[rows >= 0], minlength=len(masks))


def pixels_of(index: np.ndarray, n: int) -> list[np.ndarray]:
    """The flat positions of the pixels of each of n masks; index (H, W), -1 = no mask."""
    mask = (index.ravel() + 1).astype(np.min_scalar_type(n))  # of 16 bits at most, which are sorted fast
    return np.split(np.argsort(mask, kind="stable"), np.bincount(mask, minlength=n + 1).cumsum()[:-1])[1:]


# -------------------------------------------------------------------------------------------------------------------- θ
def seen(model: Segmenter, split: Split) -> Predict:
    """Predictions of one model for all images."""
    return lambda name: model.predict(split.image(name))


def unseen(config: Experiment, split: Split, masks: MaskSet, shared: Path) -> Predict:
    """Predictions of models none of which has seen the image."""
    names = np.array(masks.names)
    fold = np.random.default_rng(config.seed).permutation(len(names)) % THETA_FOLDS
    labels, models = ignoring_void(masks.label_map, masks.classes), []
    for held in range(THETA_FOLDS):
        model = build_segmenter(config.segmenter, len(masks.classes), "cpu", shared=shared)
        model.fit(split.subset(names[fold != held].tolist()), labels, seed=config.seed, progress=False)
        models.append(model)
    of_image = dict(zip(names.tolist(), fold.tolist(), strict=True))
    return lambda name: models[of_image[name]].predict(split.image(name))


# ------------------------------------------------------------------------------------------------------------ reporting
def tables(found: Mapping[Key, list[dict[str, np.ndarray]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Precision and recalls in percent, means over seeds, a row per order; and sizes of the first masks."""
    precision, recall = [], []
    for (name, theta), of_seeds in found.items():
        mean = {key: 100 * np.mean([one[key] for one in of_seeds], 0) for key in ("precision", *RECALLS)}
        at = {n: min(n, len(mean["precision"])) - 1 for n in LOOKED}
        first = {"order": name, "θ learnt": theta or "–"}
        values = [100 * average_precision(one["precision"], one["recall"]) for one in of_seeds]
        precision.append(
            first
            | {f"first {n}": mean["precision"][i] for n, i in at.items()}
            | {"average precision": np.mean(values), "its std": np.std(values, ddof=1) if len(values) > 1 else np.nan}
            | {f"median pixels, {TYPICAL}": np.mean([np.median(one["area"][:TYPICAL]) for one in of_seeds])}
        )
        recall.append(first | {f"{RECALLS[key]}, {n}": mean[key][i] for key in RECALLS for n, i in at.items()})
    return pd.DataFrame(precision), pd.DataFrame(recall)


def plotted(found: Mapping[Key, list[dict[str, np.ndarray]]]) -> list[dict[str, Any]]:
    """The numbers of the figure: precision and recall by pixels of each order of `DRAWN`, in percent, against the masks
    looked at."""
    m = len(next(iter(found.values()))[0]["precision"])
    at = np.unique(np.geomspace(10 if m > 10 else 1, m, 80).round().astype(int))
    numbers = []
    for name, theta in DRAWN:
        values = {
            metric: (100 * np.mean([one[metric] for one in found[name, theta]], 0)[at - 1]).round(4).tolist()
            for metric in ("precision", "recall_area")
        }
        numbers.append({"order": name, "theta": theta, "looked": at.tolist(), **values})
    return numbers


def drawn(numbers: list[dict[str, Any]], title: str) -> Figure:
    """Precision and recall by pixels against the masks that are looked at."""
    titles = {"precision": "wrong among the masks looked at (%)", "recall_area": "pixels of wrong masks found (%)"}
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 4.6), layout="constrained")
    for axis, (metric, name) in zip(axes, titles.items(), strict=True):
        for one in numbers:
            colour, line = DRAWN[one["order"], one["theta"]]
            label = one["order"] + (f", θ of {one['theta']}" if one["theta"] else "")
            width = 2.4 if one["order"] == FIND else 1.4
            axis.plot(one["looked"], one[metric], color=colour, linestyle=line, linewidth=width, label=label)
        first, last = (numbers[0]["looked"][i] for i in (0, -1))
        ticks = [n for n in (*LOOKED, last) if n <= last]
        axis.set(xscale="log", xlabel="masks looked at", ylabel=name, ylim=(0, 102), xlim=(first, last))
        axis.set_xticks(ticks, [f"{n:,}" for n in ticks], fontsize=7.5)
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    fig.suptitle("\n".join(wrap(title, 110)), fontsize=8)
    return fig


def main() -> None:
    """Measure, print, write."""
    arguments = profile_arguments(__doc__).parse_args()
    import cleanlab  # noqa: F401  missing: said before minutes of work

    torch.set_num_threads(1)
    found: dict[Key, list[dict[str, np.ndarray]]] = {}
    for seed in range(arguments.seeds):
        fields = {"method": "a2lc", "rounds": 0, "seed": seed, "segmenter": {"network": "frozen"}}
        config, dataset, masks, kept = profile_masks(arguments.profile, arguments.root, arguments.runs, **fields)
        truth = truth_histogram(masks, dataset.train)
        labels, area = masks.table["label"].to_numpy(), masks.table["area"].to_numpy()
        orders = mask_orders(dataset, masks, kept, seed)
        theta = a2lc.run(config, runs_dir=arguments.runs, device="cpu").segmenter(0, "cpu")
        for learnt, predict in (
            (SEEN, seen(theta, dataset.train)),
            (UNSEEN, unseen(config, dataset.train, masks, arguments.runs / "shared")),
        ):
            scores = network_scores(predict, masks)
            orders |= {(name, learnt): ordered(of_masks, seed) for name, of_masks in scores.items()}
        for key, order in orders.items():
            found.setdefault(key, []).append(curves(order, labels, truth.majority, area))
        print(f"seed {seed}\n{tables(found)[0].round(1).to_string(index=False)}", flush=True)
    wrong = 100 * (labels != truth.majority).mean()
    seeds = f"mean of {arguments.seeds} seeds" if arguments.seeds > 1 else "one seed"
    about = (
        f"{arguments.profile}, {len(masks.names)} images, {len(masks):,} masks before any answer, {wrong:.0f} % of "
        f"them wrong; pseudo-labels {origin(config)}{other_network(config)}; {seeds}."
    )
    precision, recall = tables(found)
    save_table(
        precision, "find_compared", arguments.out, f"Share of wrong masks (%) among the first of each order: {about}"
    )
    caption = (
        "Share (%) of the wrong masks, of their pixels, and of the wrong masks of a label (mean over labels) that are "
        f"among the first of each order: {about}"
    )
    save_table(recall, "find_compared_recall", arguments.out, caption)
    numbers = plotted(found)
    fig = drawn(numbers, f"Wrong masks, found without a question: {about}")
    save_figure(fig, "find_compared", arguments.out, numbers)


if __name__ == "__main__":
    main()
