"""What should the LCM read, and who should decide on what it says? `python benchmarks/lcm_inputs.py voc --out
paper_figures/voc` (also `toy`, `camvid`).

Two rounds of a profile's masks, without run folders: θ is trained on the first labels, the masks with the highest ABC
scores are answered by an oracle, and LCMs that read different things each correct what is left, from the same answers
and the same θ. What they correct is measured and forgotten: the second round goes on from the answers alone, with a θ
trained on them. What each LCM says is accepted by the published rule (Eq. 4-6), where it is surer than 0.8 or 0.9, and
by bandits. Writes lcm_inputs.{csv,md,tex}: points of Data mIoU above the answers alone, and how many of the corrections
are right, mean over seeds of θ, LCM and folds. What a seed came to is kept in the folder of `--runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from lcm_neighbours import neighbours
from profiles import profile_arguments, profile_masks

from a2lc.acquisition import class_weights, gather_statistics
from a2lc.config import Experiment
from a2lc.correction import Corrections, Evidence, accept_corrections, every_change, learn_corrections
from a2lc.correction.inputs import places
from a2lc.correction.settings import LCMSettings
from a2lc.datasets import Dataset
from a2lc.files import write_text
from a2lc.instant import mask_features
from a2lc.masks import MaskSet
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.paper.origin import origin, other_network
from a2lc.paper.tables import save_table
from a2lc.segmenter import build_segmenter, ignoring_void

BUDGETS = (0.03, 0.09, 0.15)
LOGISTIC = {"features": "both", "model": "logistic"}
VOID = LOGISTIC | {"void": "outcome"}
VARIANTS: dict[str, dict[str, Any]] = {
    "probabilities, MLP (published)": {},
    "probabilities, logistic": {"model": "logistic"},
    "pooled, MLP": {"features": "pooled"},
    "pooled, logistic": {"features": "pooled", "model": "logistic"},
    "both, MLP": {"features": "both"},
    "both, logistic": LOGISTIC,
    "both, logistic, void": VOID,
    "the same, answers of both rounds": VOID | {"earlier": True},
    "the same, labels of neighbours": VOID | {"neighbours": True},
    "the same, probabilities of two θ": VOID | {"second": True},
}
"""Fields of `LCMSettings`; and what the LCM reads, or learns from, besides."""
SURE = (0.8, 0.9)
BANDITS: dict[str, dict[str, Any]] = {
    "bandit": {},
    "bandit, q = 1": {"pessimism": 1.0},
    "bandit, q = 0.5": {"pessimism": 0.5},
    "bandit, full state": {"state": "full"},
}


@dataclass(frozen=True)
class Stand:
    """A round that was answered: what its LCMs have to learn from.

    Attributes:
        number: of the round.
        before, answered: the masks without and with this round's answers.
        rows: (n,) those answered in this round.
        feature, second: (M, K) mean probabilities of two θ.
        earlier: the round before; None of the first.
    """

    number: int
    before: MaskSet
    answered: MaskSet
    rows: np.ndarray
    feature: np.ndarray
    second: np.ndarray
    earlier: Stand | None = None


def probabilities(
    config: Experiment, dataset: Dataset, masks: MaskSet, seed: int, shared: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Of a θ trained on the masks' labels: (M, K) mean probabilities, and (M,) ABC scores."""
    model = build_segmenter(config.segmenter, config.outputs(len(masks.classes)), "cpu", shared=shared)
    model.fit(dataset.train, ignoring_void(masks.label_map, dataset.classes), seed=seed, progress=False)
    weights = class_weights(masks, exclude=masks.queried).weights
    statistics, _ = gather_statistics(model, dataset.train, masks, weights, (), progress=False)
    return statistics.feature, statistics.abc


def answered_rounds(
    config: Experiment, dataset: Dataset, masks: MaskSet, truth: TruthHistogram, seed: int, shared: Any
) -> Iterator[tuple[float, Stand]]:
    """Two rounds of answers alone, for every budget."""
    first = [probabilities(config, dataset, masks, 2 * seed + of, shared) for of in range(2)]
    for budget in BUDGETS:
        stand = asked(masks, truth, budget, first, None)
        yield budget, stand
        then = [probabilities(config, dataset, stand.answered, 100 + 2 * seed + of, shared) for of in range(2)]
        yield budget, asked(stand.answered, truth, budget, then, stand)


def asked(
    masks: MaskSet,
    truth: TruthHistogram,
    budget: float,
    found: list[tuple[np.ndarray, np.ndarray]],
    earlier: Stand | None,
) -> Stand:
    """Have the share `budget` of the masks answered, those of the highest scores that never were."""
    (feature, scores), (second, _) = found
    left, number = np.flatnonzero(~masks.queried), 1 if earlier is None else 2
    rows = left[np.argsort(-scores[left], kind="stable")][: round(budget * len(masks))]
    answered = masks.relabel(rows, truth.majority[rows], source="annotator", round=number)
    return Stand(number, masks, answered, rows, feature, second, earlier)


def lcm_of(
    stand: Stand, pooled: np.ndarray, around: np.ndarray, seed: int, fields: dict[str, Any], given: LCMSettings
) -> tuple[Corrections, Evidence]:
    """Train the LCM of a variant and apply it.

    An answer of an earlier round teaches with what was known of its mask before it was given: label and probabilities.
    """
    fields = dict(fields)
    extra = {name: fields.pop(name, False) for name in ("earlier", "neighbours", "second")}
    settings = given.model_copy(update=fields)
    feature, second, before, rows, past = stand.feature, stand.second, stand.before, stand.rows, stand.earlier
    if extra["earlier"] and past is not None:
        feature, second, rows = feature.copy(), second.copy(), np.concatenate([past.rows, rows])
        feature[past.rows], second[past.rows] = past.feature[past.rows], past.second[past.rows]
        old = past.before.table["label"].to_numpy()[past.rows]
        before = before.relabel(past.rows, old, source="annotator", round=1)  # only its labels are read
    more = [around] * extra["neighbours"] + [second] * extra["second"]
    known = {"round": stand.number, "pooled": np.column_stack([pooled, *more])}
    _, proposed, evidence = learn_corrections(feature, before, stand.answered, rows, settings, seed, **known)
    return proposed, evidence


def rows_of(stand: Stand, truth: TruthHistogram, proposed: Corrections, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """What each rule accepts, and what comes of it."""
    every, alone = every_change(proposed, stand.answered), truth.data_metrics(stand.answered).miou
    decided = {"τ, tail classes": proposed}
    decided |= {f"surer than {p}": replace(every, accepted=every.accepted & (every.confidence >= p)) for p in SURE}
    tried = replace(evidence, held_out=evidence.tried)  # five LCMs, trained once for all of these
    for name, fields in BANDITS.items():
        given = replace(tried, settings=evidence.settings.model_copy(update=fields))
        decided[name], _ = accept_corrections(every, given)
    right = every.predicted == truth.majority
    decided["every right one"] = replace(every, accepted=every.accepted & right)
    for rule, chosen in decided.items():
        at = np.flatnonzero(chosen.accepted)
        after = stand.answered.relabel(at, chosen.predicted[at], source="lcm", round=stand.number, confidence=1.0)
        gain = 100 * (truth.data_metrics(after).miou - alone)
        share = 100 * right[at].mean() if len(at) else float("nan")
        yield {"accepted": rule, "points": gain, "right": share, "number": len(at), "answers_alone": 100 * alone}


def of_seed(arguments: Any, seed: int) -> tuple[pd.DataFrame, Experiment, int]:
    """All rows of a seed, the experiment and the number of masks."""
    config, dataset, masks, kept = profile_masks(arguments.profile, arguments.root, arguments.runs, seed=seed)
    file = arguments.runs / f"lcm_inputs-{arguments.profile}-s{seed}.csv"
    if file.is_file():
        return pd.read_csv(file), config, len(masks)
    truth, found = truth_histogram(masks, dataset.train), []
    settings = config.correction.model_copy(update={"acceptance": "bandit"})
    backbone = mask_features(settings.pooled_from, masks, dataset.train, shared=kept.parent, kept=kept)
    pooled = np.column_stack([backbone.astype(np.float32), places(masks)])
    for budget, stand in answered_rounds(config, dataset, masks, truth, seed, kept.parent):
        around = neighbours(stand.before)
        for name, fields in VARIANTS.items():
            proposed, evidence = lcm_of(stand, pooled, around, seed, fields, settings)
            about = {"budget": 100 * budget, "round": stand.number, "seed": seed, "LCM": name}
            found += [about | row for row in rows_of(stand, truth, proposed, evidence)]
        print(f"seed {seed}, {budget:.0%}, round {stand.number}", flush=True)
    every = pd.DataFrame(found)
    write_text(file, every.to_csv(index=False))
    return every, config, len(masks)


def main() -> None:
    """Play, write."""
    arguments = profile_arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    parts, keys = [of_seed(arguments, seed) for seed in range(arguments.seeds)], ["budget", "round", "LCM", "accepted"]
    every, config, number = pd.concat([part for part, _, _ in parts]), *parts[0][1:]
    groups = every.groupby(keys, sort=False)
    table = groups.mean(numeric_only=True).drop(columns="seed")
    table.insert(1, "points_std", groups["points"].std())
    caption = (
        f"{arguments.profile}, {number} masks, two rounds of answers alone: what LCMs that read different things "
        "add to Data mIoU (points), by who accepts, and how many of their corrections are right (%); mean of "
        f"{arguments.seeds} seeds; pseudo-labels {origin(config)}{other_network(config)}."
    )
    save_table(table.reset_index().round(2), "lcm_inputs", arguments.out, caption)


if __name__ == "__main__":
    main()
