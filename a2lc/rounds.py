"""The whole method in the paper's order (Figure 2): score, query, annotate, correct, retrain, round after round.
Start reading here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from a2lc.acquisition import class_weights, gather_statistics, get_acquisition_function
from a2lc.baselines.rounds import play_superpixel_round
from a2lc.config import Experiment
from a2lc.correction import Waiting
from a2lc.datasets import load_dataset
from a2lc.files import locked, remove_leftovers
from a2lc.machine import require, show_bars, surroundings
from a2lc.masks import MaskSet
from a2lc.runs import SHARED, STAGES, RoundFolder, Run, place_of
from a2lc.runs.decisions import labels_after
from a2lc.runs.pictures import check_pictures
from a2lc.runs.stage_folder import AUDITED
from a2lc.segmenter import Segmenter, ignoring_void
from a2lc.segmenter.build import check_network
from a2lc.segmenter.processes import first_process_plays
from a2lc.stages.context import (
    Context,
    SegmenterFactory,
    choose_annotator,
    known_truth,
    measure,
    model_factory,
    round_seeds,
    select_queries,
)
from a2lc.stages.corrections import audit, judge, propose, unaudited
from a2lc.stages.initial import (
    check_truth,
    initial_masks,
    initial_model,
    note_surroundings,
    run_provenance,
    start_without_model,
)
from a2lc.stages.instant import ask_instantly, instant_of, propose_instantly, score_instantly
from a2lc.stages.pooled import pooled_of
from a2lc.stages.proposals import approved_corrections


@first_process_plays
def run(
    config: Experiment,
    runs_dir: str | os.PathLike[str] = "runs",
    *,
    device: str = "auto",
    segmenter: SegmenterFactory | None = None,
    progress: bool = True,
) -> Run:
    """Run an experiment, or continue it where it stopped; a finished one returns at once, and so does one that waits
    for a person (`Run.waits_for`). Where another process plays the same one, wait for its results.

    Args:
        config: the experiment.
        runs_dir: where run folders are kept; what runs have in common lies in its subfolder ``shared``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        segmenter: makes a new model of so many outputs (`Experiment.outputs`), in place of `config.segmenter`; see the
            `Segmenter` protocol.
        progress: whether to show progress bars; the environment variable ``TQDM_DISABLE=1`` hides them all the same.

    Raises:
        ValueError: the run folder belongs to another configuration, other data or another ground truth; there is one
            class only; the segmenter lacks a method that the configuration needs; this machine lacks the device; the
            backbone is unknown, or its weights damaged or of another architecture.
        TypeError: `config` is no `Experiment`, or `device` no text.
        MissingExtraError: a package that the configuration needs is missing; nothing is begun.
        FileNotFoundError: the weights of the backbone are nowhere (`a2lc.segmenter.pretrained`), and nothing is begun;
            or the dataset is not where `config.root` says.
    """
    if not isinstance(config, Experiment):
        raise TypeError(f"config: expected an Experiment, found {config!r}")
    progress = show_bars(progress)
    check_packages([config], runs_dir)
    dataset = load_dataset(config.dataset, config.root)
    if len(dataset.classes) < 2:
        where, one = config.root or config.dataset, dataset.classes.names[0]
        raise ValueError(f"{where}: expected at least two classes, found {one!r} alone; name what is not {one!r}, too")
    if segmenter is None and config.trains(config.rounds) and not Run(place_of(config, runs_dir), config).finished:
        check_network(config.segmenter)
    new_model = model_factory(config, dataset, device, segmenter, Path(runs_dir) / SHARED)
    masks, shared = initial_masks(config, dataset, Path(runs_dir), progress)
    model = new_model()
    check_pictures(place_of(config, runs_dir, lambda: shared.name), config, dataset.train, progress)
    result = Run.create(config, runs_dir, run_provenance(dataset, masks, shared, model))
    if result.finished or result.waits_for == "approval":
        result.folder(config.rounds).clean()
        return result
    instant = instant_of(result, dataset, masks, device, shared, progress) if config.is_instant else None
    if result.waits_for:
        result.folder(config.rounds).clean()
        return result
    pooled = pooled_of(result, dataset, masks, device, shared, progress) if config.needs_pooled else None
    truth = known_truth(config, dataset, masks)
    annotator = choose_annotator(config, dataset, truth)
    context = Context(config, dataset, truth, annotator, new_model, progress, instant, pooled)
    with locked(result.path):
        remove_leftovers(result.path)
        note_surroundings(result, surroundings())
        if config.trains(0):
            initial_model(model, context, masks, shared, result)
        else:
            start_without_model(masks, context, result.folder(0))
        check_truth(result, truth)
        play_rounds(context, masks, model, result)
    return result


def check_packages(experiments: Iterable[Experiment], runs_dir: str | os.PathLike[str]) -> None:
    """Raise `MissingExtraError` where a package is missing that an unfinished run needs."""
    for config in experiments:
        if config.optional_modules and not Run(place_of(config, runs_dir), config).finished:
            require(*config.optional_modules)


def play_rounds(context: Context, masks: MaskSet, model: Segmenter, result: Run) -> None:
    """All rounds, one after the other, from the masks and the model of round 0, as far as no person is needed."""
    config, play = context.config, play_superpixel_round if context.config.from_superpixels else play_round
    bar = tqdm(
        total=config.rounds * (len(STAGES) + (config.audits(len(masks)) > 0)),
        desc=config.name,
        unit="stage",
        disable=not context.progress,
    )
    with bar:
        for number in range(1, config.rounds + 1):
            if config.non_redundant and masks.queried.all():
                untrained = config.trains(config.rounds) and not config.trains(number - 1)
                last = f", without a model: `rounds: {number - 1}` in another runs_dir trains one" if untrained else ""
                warnings.warn(f"every mask was queried: the run ends after round {number - 1}{last}", stacklevel=3)
                result.folder(number - 1).change(exhausted=True)
                break
            folder = result.folder(number)
            try:
                masks, model = play(context, masks, model, folder, bar)
            except Waiting as waiting:
                folder.change(waits_for=waiting.what)
                break


def play_round(
    context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, bar: tqdm
) -> tuple[MaskSet, Segmenter]:
    """One round: masks and model of round r-1 in, masks and model of round r out. A finished stage is read, not
    repeated.

    Args:
        context: configuration, data and annotator.
        masks: M masks with the labels of round r-1.
        model: the segmenter theta of round r-1.
        folder: the files of round r, counted from 1.
        bar: advances by one per stage.

    Raises:
        Waiting: a person has to answer the queries or to approve of the corrections first.
    """
    config, number = context.config, folder.number
    seeds = round_seeds(config.seed, number)

    # 1. Score every mask with the model of the last round (Eq. 7-12): one forward pass per image serves all below.
    if folder.begin("scored", bar):
        if context.instant:
            score_instantly(context.instant, masks, folder)
        else:
            score(context, masks, model, folder, seeds["scores"])
        folder.end("scored")

    # 2. Query the B most suspicious masks (Eq. 13).
    if folder.begin("queried", bar):
        clicks = config.masks_per_round(len(masks)) - config.audits(len(masks))
        folder.write_queries(select_queries(masks, folder.scores(), config, seeds["ties"], clicks))
        folder.end("queried")

    # 3. The annotator answers, one click per mask. A person does so while the run waits (`a2lc.human.Queue`).
    if folder.begin("answered", bar):
        rows = folder.queried_rows()
        if context.instant:
            rows, answers = ask_instantly(context.instant, context, masks, rows, folder)
        else:
            answers = context.annotator.answer(rows, masks, folder.working("representative"))
        folder.write_answers(masks.table.iloc[rows][["image", "mask_id"]].assign(label=answers))
        folder.end("answered")
    if config.audits(len(masks)) and folder.begin(AUDITED, bar):
        audit(context, masks, folder, seeds)
        folder.end(AUDITED)
    rows = folder.queried_rows()

    # 4. The LCM learns from the answers and corrects masks that nobody was asked about (Eq. 1-6).
    if folder.begin("corrected", bar):
        answered = masks.relabel(rows, folder.answered_labels(masks.table), source="annotator", round=number)
        answered = answered.discard(folder.discarded_rows(), number)
        answered = answered.mix(folder.mixed_rows(), number, folder.cuts())
        corrected = correct(context, masks, answered, rows, folder, seeds["lcm"]) if config.lcm else answered
        corrected.save_state(folder.path / "masks.parquet")
        folder.end("corrected")
    masks = labels_after(masks, folder)

    # 5. Retrain the segmenter from its initial weights on the corrected labels.
    model, trains = context.new_model(), config.trains(number)
    if folder.begin("trained", bar):
        if trains:
            train(context, masks, model, folder, seeds["training"])
        measure(context, masks, model if trains else None, folder)
        folder.end("trained")
    elif trains:
        model.load(folder.path / "segmenter.safetensors")
    return masks, model


def score(context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, seed: int) -> None:
    """Write the score of every mask, and what annotator and LCM need of the same forward pass.

    `masks` carry the labels of the last round, whose model is `model`; `seed` is of random scores.
    """
    config, scoring = context.config, context.config.scoring
    function = get_acquisition_function(config.acquisition, scoring)
    answered = masks.queried if scoring.counted_masks == "pool" else None
    weights = class_weights(masks, exclude=answered, uniform_over=scoring.uniform_over)
    needs = set(function.needs)
    if config.query == "pixel" or config.similarity == "representative":
        needs.add("representative")
    statistics, seconds = gather_statistics(
        model,
        context.dataset.train,
        masks,
        weights.weights,
        needs,
        ref_squash=scoring.ref_squash,
        penultimate=scoring.features == "penultimate",
        progress=context.progress,
    )
    if config.similarity == "representative":
        statistics = statistics.with_representative_similarity()
    canonical, scores = masks.canonical_order, np.empty(len(masks))
    scores[canonical] = function.scores(statistics.take(canonical), np.random.default_rng(seed))
    folder.write_table("scores.parquet", pd.DataFrame({"score": scores.astype(np.float32)}))
    folder.write_working(feature=statistics.feature, representative=statistics.representative)
    folder.note(seconds_predicting=round(seconds, 3), kl=weights.kl, class_weights=weights.weights.tolist())


def correct(
    context: Context, before: MaskSet, masks: MaskSet, rows: np.ndarray, folder: RoundFolder, seed: int
) -> MaskSet:
    """Correct masks that nobody was asked about, as far as they are not protected by a person's veto.

    Args:
        context: configuration and data.
        before: M masks without this round's answers.
        masks: the same with them.
        rows: (B,) row numbers of the masks answered in this round; of those audited, the LCM learns nothing.
        folder: of the round.
        seed: of the LCM.

    Raises:
        Waiting: a person has to approve of the corrections first.
    """
    if context.instant:
        proposed, evidence = propose_instantly(context.instant, context, before, masks, rows, folder)
    elif (masks.table["label"].to_numpy()[unaudited(folder)] < len(masks.classes)).any():
        proposed, evidence = propose(context, before, masks, folder, seed)
        proposed = judge(proposed, evidence, folder)
    else:
        what = "no answer names a class, so the LCM has nothing to learn from"
        warnings.warn(f"round {folder.number}: {what}", stacklevel=2)
        return masks
    if context.config.approval:
        proposed = approved_corrections(proposed, evidence, folder)
    accepted = np.flatnonzero(proposed.accepted)
    old, new = masks.table["label"].to_numpy()[accepted], proposed.predicted[accepted]
    folder.note(n_auto=len(accepted))
    if context.known_truth is not None and len(accepted):
        truth = context.known_truth.majority[accepted]
        folder.note(lcm_oa_before=float((old == truth).mean()), lcm_oa_after=float((new == truth).mean()))
    confidence = proposed.confidence[accepted]
    return masks.relabel(accepted, new, source="lcm", round=folder.number, confidence=confidence)


def train(context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, seed: int) -> None:
    """Train `model` on the labels of `masks` and keep its weights."""
    if context.config.segmenter.start == "previous":
        model.load(folder.sibling(folder.number - 1).path / "segmenter.safetensors")
    labels = ignoring_void(masks.label_map, masks.classes)
    model.fit(context.dataset.train, labels, seed=seed, progress=context.progress)
    model.save(folder.path / "segmenter.safetensors")
