"""The stages of a round in which the method ``instant`` differs from A²LC: scoring, asking, and what is corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from a2lc.config import Experiment
from a2lc.correction import Corrections, Evidence
from a2lc.datasets import Dataset
from a2lc.files import read_json, write_json
from a2lc.instant import Instant, Suspicion, features_key, mask_features
from a2lc.instant.settings import COLOUR
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.sam_features import any_image_features
from a2lc.runs import RoundFolder, Run
from a2lc.runs.decisions import vetoed
from a2lc.segmenter import resolve_device
from a2lc.stages.context import Context, select_queries


def instant_of(run: Run, dataset: Dataset, masks: MaskSet, device: str, shared: Path, progress: bool) -> Instant:
    """Suspicion and corrections of a run's masks.

    Args:
        run: its provenance says, or is going to say, from which features.
        dataset: its images.
        masks: its masks.
        device: where a backbone runs, see `a2lc.run`.
        shared: the folder of the run's initial masks; the features lie in it and beside it.
        progress: whether to show a bar.

    Raises:
        ValueError: the run began with features of other weights; or as `mask_features`.
        MissingExtraError, FileNotFoundError, OSError: as `mask_features`.
    """
    features = features_of(run, run.config.instant.features, dataset, masks, device, shared, progress)
    return Instant(features, masks, run.config.seed)


def features_of(
    run: Run, name: str, dataset: Dataset, masks: MaskSet, device: str, shared: Path, progress: bool
) -> np.ndarray:
    """(M, P) float16 features of a run's masks, kept beside them; always those that the run began with.

    Args:
        name: of features, see `InstantSettings`.
        run, dataset, masks, device, shared, progress: as of `instant_of`.

    Raises:
        ValueError, MissingExtraError, FileNotFoundError, OSError: as there.
    """
    features = mask_features(
        name,
        masks,
        dataset.train,
        segmenter=run.config.segmenter,
        device=resolve_device(device),
        shared=shared.parent,
        kept=shared,
        progress=progress,
        source=any_image_features,
    )
    check_features(run, shared, name)
    return features


def check_features(run: Run, shared: Path, features: str) -> None:
    """Note from which features a run's masks are judged, and refuse others later: those of changed images or weights.

    Args:
        run: its provenance says, or is going to say, from which.
        shared: where they are kept.
        features: their name.

    Raises:
        FileNotFoundError: they are gone.
        ValueError: they are others, or a file is damaged.
    """
    file = run.path / "provenance.json"
    key, proof = features_key(shared, features), read_json(file, "data")
    if "features" not in proof:
        write_json(file, proof | {"features": key})
    elif proof["features"] != key:
        what = f"it began with features {proof['features']} of {features}, and these are {key}"
        back = f"put the former images{'' if features == COLOUR else ' and weights'} back"
        raise ValueError(f"{run.path}: {what}: {back}, say where they lie (--root), or choose another runs_dir")


def score_instantly(instant: Instant, masks: MaskSet, folder: RoundFolder) -> None:
    """Write how suspicious every label is, and the probabilities behind it."""
    instant.forget()
    found = instant.suspicion(masks.table["label"].to_numpy(), masks.queried, masks.silent)
    folder.write_table("scores.parquet", pd.DataFrame({"score": found.scores.astype(np.float32)}))
    folder.write_working(feature=found.probabilities[:, : len(masks.classes)])


def ask_instantly(
    instant: Instant, context: Context, masks: MaskSet, rows: np.ndarray, folder: RoundFolder
) -> tuple[np.ndarray, np.ndarray]:
    """Ask about B masks, `InstantSettings.reorder_every` at a time, the others each time in a new order; and write down
    which.

    Args:
        instant: suspicion and corrections.
        context: configuration and annotator.
        masks: M masks with the labels of round r-1.
        rows: (B,) row numbers in the order that the round began with.
        folder: of the round.

    Returns:
        (B,) row numbers of the masks asked about, in order, and (B,) answers.

    Raises:
        Waiting: a person has to answer.
    """
    budget, every, nowhere = len(rows), context.config.instant.reorder_every, np.full(len(masks), -1)
    asked, answers = (np.empty(0, np.int64) for _ in range(2))
    instant.forget()
    found = instant.suspicion(masks.table["label"].to_numpy(), masks.queried, masks.silent)
    while len(asked) < budget:
        some = rows[: min(every, budget - len(asked))]
        asked, answers = np.r_[asked, some], np.r_[answers, context.annotator.answer(some, masks, nowhere)]
        if len(asked) < budget:
            masks = masks.relabel(some, answers[-len(some) :], source="annotator", round=folder.number)
            found, _ = next_suspicion(instant, masks, found, context.config, vetoed(folder.run, masks))
            rows = most_suspicious(found, masks, context.config, budget - len(asked))
    folder.write_queries(asked)
    return asked, answers


def next_suspicion(
    instant: Instant, masks: MaskSet, last: Suspicion, config: Experiment, protected: np.ndarray
) -> tuple[Suspicion, np.ndarray]:
    """What is suspicious once what the answers so far teach is corrected.

    Args:
        instant: suspicion and corrections.
        masks: M masks with all answers so far.
        last: what was suspicious before the last of them.
        config: of the run.
        protected: (M,) bool, masks that must not be corrected.

    Returns:
        That, and (M,) the corrected labels.
    """
    labels = masks.table["label"].to_numpy()
    if config.lcm:
        proposed = instant.corrections(masks, last)
        labels = np.where(proposed.accepted & ~protected, proposed.predicted, labels)
    return instant.suspicion(labels, masks.queried, masks.silent), labels


def most_suspicious(found: Suspicion, masks: MaskSet, config: Experiment, number: int) -> np.ndarray:
    """Which masks to ask about next.

    Args:
        found: what is suspicious.
        masks: M masks with all answers so far.
        config: of the run.
        number: B.

    Returns:
        (B,) int64 row numbers of masks without an answer, the most suspicious first; fewer where no more are left.
    """
    left = int((~masks.queried).sum())
    return select_queries(masks, found.scores.astype(np.float32), config, seed=0, budget=min(number, left))


def propose_instantly(
    instant: Instant, context: Context, before: MaskSet, masks: MaskSet, rows: np.ndarray, folder: RoundFolder
) -> tuple[Corrections, Evidence]:
    """What the answers of all rounds say of the other masks. A correction is never final: it is made anew from the
    first label, which is put back where the answers are no longer sure.

    Args:
        instant: suspicion and corrections.
        context: configuration and data.
        before: M masks without this round's answers.
        masks: the same with them.
        rows: (B,) row numbers of the masks answered in this round.
        folder: of the round.
    """
    instant.forget()
    labels, asked = masks.table["label"].to_numpy(), np.flatnonzero(masks.queried & ~masks.silent)
    present = instant.suspicion(labels, masks.queried, masks.silent)
    proposed = instant.corrections(masks, present)
    proposed = replace(proposed, accepted=proposed.accepted & ~vetoed(folder.run, masks))
    known, held_out = rows[labels[rows] < len(masks.classes)], None
    if context.config.approval:
        said, _ = instant.held_out(asked, labels[asked])
        said = said[np.searchsorted(asked, known)]
        held_out = np.where(said < len(masks.classes), said, -1)
    probabilities = present.probabilities[:, : len(masks.classes)]
    config = context.config
    return proposed, Evidence(probabilities, before, masks, known, config.correction, config.seed, True, held_out)
