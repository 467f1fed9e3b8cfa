"""The superpixel baselines of Table 2 on the same rounds, stages and files as A²LC: score, query, annotate, label,
retrain. They start from images without labels, so the first round asks about random superpixels.

- Spx (Cai et al. 2021): the most frequent class of a superpixel, one click.
- MerSpx (Kim et al. 2023): the same for regions merged by the model; each label is kept where the model agrees most.
- MulSpx (Hwang et al. 2023): all classes in a superpixel, a click each; see `multiclass`.

A model that starts from its initial weights in every round learns from the answers of all rounds; images without an
answer are left out. The table of masks holds whole superpixels with one label each: what sieving takes away (MerSpx)
and what prototypes add (MulSpx) is in no file once the round is trained. Data mIoU counts answered superpixels only.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from a2lc.acquisition import get_acquisition_function
from a2lc.baselines import multiclass
from a2lc.baselines.merging import members_of
from a2lc.baselines.regions import merged_regions, superpixel_statistics
from a2lc.baselines.sieving import sieve
from a2lc.datasets import Split
from a2lc.files import read_label_png, write_label_png
from a2lc.masks import MaskSet
from a2lc.runs import RoundFolder
from a2lc.segmenter import IGNORE, Segmenter, ignoring_void, with_features
from a2lc.segmenter.head import TEMPERATURE
from a2lc.stages.context import Context, measure, round_seeds, select_queries

TARGETS = "targets"  # label maps that no table of masks can hold, kept until the round is trained
STAGE_1 = "segmenter_stage1.safetensors"


def play_superpixel_round(
    context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, bar: tqdm
) -> tuple[MaskSet, Segmenter]:
    """One round, as `a2lc.rounds.play_round`; `masks` are superpixels, and `model` has no weights in the first."""
    config, seeds = context.config, round_seeds(context.config.seed, folder.number)
    if folder.begin("scored", bar):
        score(context, masks, model, folder, seeds["scores"])
        folder.end("scored")
    if folder.begin("queried", bar):
        budget = config.masks_per_round(len(masks))
        if config.query == "classes":  # clicks; each query takes at least one, and the last exceeds the budget
            budget = min(budget + 1, int((~(masks.queried & config.non_redundant)).sum()))
        folder.write_queries(select_queries(masks, folder.scores(), config, seeds["ties"], budget))
        folder.end("queried")
    if folder.begin("answered", bar):
        answer(context, masks, folder)
        folder.end("answered")
    if folder.begin("corrected", bar):
        apply_answers(masks, folder).save_state(folder.path / "masks.parquet")
        folder.end("corrected")
    masks = masks.with_state(folder.path / "masks.parquet")
    previous, model = model, context.new_model()
    if folder.begin("trained", bar):
        train(context, masks, previous, model, folder, seeds["training"])
        measure(context, masks, model, folder)
        shutil.rmtree(folder.path / TARGETS, ignore_errors=True)
        folder.end("trained")
    stage_1 = folder.path / STAGE_1  # MulSpx asks its next questions with the model of stage 1
    model.load(stage_1 if stage_1.is_file() else folder.path / "segmenter.safetensors")
    return masks, model


def score(context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, seed: int) -> None:
    """Write ``scores.parquet``: score and region of every superpixel; a region's score stands at its root, others have
    -inf. In the first round there is no model yet and scores are random."""
    config, rng = context.config, np.random.default_rng(seed)
    regions, canonical, scores = np.arange(len(masks)), masks.canonical_order, np.full(len(masks), -np.inf)
    if folder.number == 1:
        scores[canonical] = rng.random(len(masks))
    else:
        statistics = superpixel_statistics(model, context.dataset.train, masks, context.progress)
        if config.query == "classes":
            share = statistics.probs.sum(0, dtype=np.float64) / statistics.area.sum(dtype=np.float64)
            scores = multiclass.pixbal(statistics.bvsb, statistics.counts, share, config.baseline.nu)
        else:
            if config.query == "merged":
                regions = merged_regions(statistics, masks, config.baseline.epsilon, context.progress)
                statistics = statistics.merged(regions)
            roots = canonical[regions[canonical] == canonical]
            chosen = get_acquisition_function(config.acquisition, config.scoring)
            scores[roots] = chosen.scores(statistics.as_masks().take(roots), rng)
    table = pd.DataFrame({"score": scores.astype(np.float32), "region": regions.astype(np.int32)})
    folder.write_table("scores.parquet", table)


def answer(context: Context, masks: MaskSet, folder: RoundFolder) -> None:
    """Write the answers, a row per query, and cut the queries to those that were paid for (MulSpx).

    Raises:
        ValueError: an image has no ground truth.
    """
    config, truth, rows = context.config, context.truth, folder.queried_rows()
    about, void = masks.table.iloc[rows][["image", "mask_id"]], masks.classes.ignore_index
    if config.query != "classes":
        members, position = members_of(rows, folder.regions())
        counts = np.zeros((len(rows), truth.counts.shape[1]), dtype=np.int64)
        np.add.at(counts, position, truth.counts[members])
        labels = counts.argmax(1)  # ties: the lowest class, void last
        folder.write_answers(about.assign(label=np.where(labels == len(masks.classes), void, labels)))
        return
    named = named_classes(context.dataset.train, masks, rows)
    budget, costs = config.masks_per_round(len(masks)), named.sum(1)
    paid = multiclass.within_budget(costs, budget)
    if (clicks := int(costs[:paid].sum())) < budget:
        warnings.warn(f"the budget asks for {budget} clicks, {clicks} are left: all of them are made", stacklevel=2)
    single = (costs == 1) & ~named[:, -1]
    labels = np.where(single, named.argmax(1), void)
    lists = pd.Series([np.flatnonzero(classes).tolist() for classes in named], index=about.index)
    folder.write_queries(rows[:paid])
    folder.write_answers(about.assign(label=labels, classes=lists)[:paid])
    folder.note(classes_per_query=float(costs[:paid].mean()))


def named_classes(split: Split, masks: MaskSet, rows: np.ndarray) -> np.ndarray:
    """(len(rows), K + 1) bool: what the oracle says is in each superpixel; the last column is void.

    Raises:
        ValueError: an image has no ground truth.
    """
    k = len(masks.classes)
    named = np.zeros((len(rows), k + 1), dtype=bool)
    for name, chosen in by_image(masks, rows):
        truth = split.ground_truth(name)
        if truth is None:
            raise ValueError(f"{name}: has no ground truth for the oracle to look at")
        every = multiclass.classes_inside(masks.index_map(name), truth, k)
        named[chosen] = every[rows[chosen] - masks.rows(name).start]
    return named


def by_image(masks: MaskSet, rows: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
    """Image names and, of `rows`, the positions that belong to each."""
    codes = masks.table["image"].cat.codes.to_numpy()[rows]
    for code in np.unique(codes):
        yield masks.names[code], np.flatnonzero(codes == code)


def apply_answers(masks: MaskSet, folder: RoundFolder) -> MaskSet:
    """The table after this round's answers: every superpixel of a queried region carries its answer, several classes
    count as void. A region whose answer is void leaves labels of earlier rounds as they are (MerSpx)."""
    members, position = members_of(folder.queried_rows(), folder.regions())
    labels, before = folder.answered_labels(masks.table)[position], masks.table["label"].to_numpy()[members]
    new = (labels < len(masks.classes)) | (before >= len(masks.classes))
    return masks.relabel(members[new], labels[new], source="annotator", round=folder.number)


def train(
    context: Context, masks: MaskSet, previous: Segmenter, model: Segmenter, folder: RoundFolder, seed: int
) -> None:
    """Train `model` on what the answers so far say of pixels, and save it; images without any answer are left out.

    `previous` is the model of the last round, which sieves (MerSpx).
    """
    if context.config.query == "classes":
        train_on_classes(context, masks, model, folder, seed)
        return
    if context.config.query == "merged" and folder.number > 1:
        names = write_sieved(context, masks, previous, folder)
        fit(model, context, names, folder, seed)
    else:
        answered = set(masks.table["image"][masks.queried])
        split = context.dataset.train.subset([name for name in masks.names if name in answered])
        model.fit(split, ignoring_void(masks.label_map, masks.classes), seed=seed, progress=context.progress)
    model.save(folder.path / "segmenter.safetensors")


def fit(model: Segmenter, context: Context, names: list[str], folder: RoundFolder, seed: int) -> None:
    """Train on the label maps kept in this round's folder."""
    targets = folder.path / TARGETS
    model.fit(
        context.dataset.train.subset(names),
        lambda name: read_label_png(targets / f"{name}.png").astype(np.uint8),
        seed=seed,
        progress=context.progress,
    )


def write_sieved(context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder) -> list[str]:
    """MerSpx: keep each answered region's label where the last model finds it likeliest; answers of all rounds are
    sieved anew, later rounds win, void answers say nothing. The probabilities are those of the image's own size, where
    the released code looks them up at half of it. Writes label maps and returns the names of images with answers."""
    rounds = [folder.sibling(r) for r in range(1, folder.number + 1)]
    answers = [(f.queried_rows(), f.answered_labels(), f.regions()) for f in rounds]
    wanted = [dict(by_image(masks, rows)) for rows, _, _ in answers]
    names = [name for name in masks.names if any(name in of_round for of_round in wanted)]
    for name in tqdm(names, desc="sieving", leave=False, unit="image", disable=not context.progress):
        probs = model.predict(context.dataset.train.image(name)).flatten(1).cpu().numpy()  # (K, H*W)
        index, here = masks.index_map(name), masks.rows(name)
        target = np.full(index.size, IGNORE, dtype=np.uint8)
        for (rows, labels, regions), of_round in zip(answers, wanted, strict=True):
            region_map = regions[here][index].ravel()  # covers the whole image: superpixels leave nothing out
            for query in of_round.get(name, []):
                pixels = np.flatnonzero(region_map == rows[query])
                if labels[query] < len(masks.classes):
                    likely = sieve(probs[labels[query], pixels], merged_area=context.config.baseline.merged_area)
                    target[pixels[likely]] = labels[query]
        write_label_png(folder.path / TARGETS / f"{name}.png", target.reshape(index.shape))
    return names


def train_on_classes(context: Context, masks: MaskSet, model: Segmenter, folder: RoundFolder, seed: int) -> None:
    """MulSpx: stage 1 learns from sets of classes; its prototypes give labels of pixels, from which stage 2 learns,
    void as one of the classes. Both have the same settings; the released code doubles the learning rate in stage 2."""
    seen, rounds = with_features(model), [folder.sibling(r) for r in range(1, folder.number + 1)]
    rows = np.concatenate([f.queried_rows() for f in rounds])
    answers = np.concatenate([f.named_classes(len(masks.classes)) for f in rounds])
    target_of = np.full(len(masks), IGNORE, dtype=np.int32)
    target_of[rows] = multiclass.FIRST_TARGET + np.arange(len(rows))
    chosen = dict(by_image(masks, rows))
    split = context.dataset.train.subset([name for name in masks.names if name in chosen])
    if not (stage_1 := folder.path / STAGE_1).is_file():  # half of the work: not done twice
        seen.fit(
            split,
            lambda name: target_of[masks.rows(name)][masks.index_map(name)],
            seed=seed,
            progress=context.progress,
            loss=multiclass.multiclass_loss(answers),
        )
        model.save(stage_1)
    model.load(stage_1)
    for name in tqdm(split.names, desc="localising", leave=False, unit="image", disable=not context.progress):
        image, start = split.image(name), masks.rows(name).start
        cosines = model.predict(image).clamp_min(torch.finfo(torch.float32).tiny).log() * TEMPERATURE
        labels = multiclass.localise(
            cosines.softmax(0),  # probabilities without temperature
            seen.features(image),
            masks.index_map(name),
            rows[chosen[name]] - start,
            answers[chosen[name]],
        )
        write_label_png(folder.path / TARGETS / f"{name}.png", labels)
    fit(model, context, list(split.names), folder, seed + 1)
    model.save(folder.path / "segmenter.safetensors")
