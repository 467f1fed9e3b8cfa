"""What the LCM makes of a round's answers: the changes that it proposes, who decides on them, and audits of some."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from a2lc.correction import (
    Corrections,
    Evidence,
    accept_corrections,
    every_change,
    guard_corrections,
    learn_corrections,
)
from a2lc.files import write_arrays
from a2lc.masks import MaskSet
from a2lc.runs import RoundFolder
from a2lc.runs.decisions import vetoed
from a2lc.stages.audits import answer_audits, choose_what_to_audit
from a2lc.stages.context import Context


def unaudited(folder: RoundFolder) -> np.ndarray:
    """(n,) row numbers of the masks queried in this round for their score."""
    rows = folder.queried_rows()
    return rows[~np.isin(rows, folder.audits()[0])]


def propose(
    context: Context, before: MaskSet, masks: MaskSet, folder: RoundFolder, seed: int
) -> tuple[Corrections, Evidence]:
    """Train the LCM on this round's answers, but for those to audits and about whole images, and apply its criteria or,
    where something else decides, collect all that it would change.

    Args:
        context: configuration and data.
        before: M masks without this round's answers.
        masks: the same with them.
        folder: of the round.
        seed: of the LCM.
    """
    config, rows = context.config, unaudited(folder)
    lcm, proposed, evidence = learn_corrections(
        folder.working("feature"),
        before,
        masks,
        rows[~masks.silent[rows]],
        config.correction,
        seed,
        round=folder.number,
        pooled=context.pooled,
        probabilities=config.scoring.features == "probabilities",
    )
    write_arrays(folder.path / "lcm.safetensors", {name: x.numpy() for name, x in lcm.state_dict().items()})
    if config.correction.learns_acceptance:
        proposed = every_change(proposed, masks)
    proposed = replace(proposed, accepted=proposed.accepted & ~vetoed(folder.run, masks))
    audited, propensity = folder.audits()
    return proposed, replace(evidence, audited=audited, propensity=propensity)


def judge(proposed: Corrections, evidence: Evidence, folder: RoundFolder) -> Corrections:
    """What is accepted of the proposed corrections (`LCMSettings.acceptance`)."""
    if evidence.settings.acceptance == "guard":
        proposed, guarded = guard_corrections(proposed, evidence)
        folder.note(
            lcm_proposed=guarded.proposed,
            lcm_oa_before_estimated=guarded.estimated_before,
            lcm_oa_after_estimated=guarded.estimated_accuracy,
        )
    elif evidence.settings.acceptance != "published":
        proposed, report = accept_corrections(proposed, evidence)
        if report.why:
            warnings.warn(f"round {folder.number}: nothing is corrected: {report.why}", stacklevel=2)
        folder.note(**report.numbers())
    return proposed


def audit(context: Context, masks: MaskSet, folder: RoundFolder, seeds: dict[str, int]) -> None:
    """Ask about some of what the LCM would change after this round's answers.

    Args:
        context: configuration, data and annotator.
        masks: M masks with the labels of round r-1.
        folder: of round r.
        seeds: of the round.

    Raises:
        Waiting: a person has to answer.
    """
    rows, said = folder.queried_rows(), folder.read_answers()
    if len(rows) == len(said):  # nothing is chosen yet
        answered = masks.relabel(rows, folder.answered_labels(masks.table), source="annotator", round=folder.number)
        answered = answered.discard(folder.discarded_rows(), folder.number)
        answered = answered.mix(folder.mixed_rows(), folder.number)  # a label map is not needed here
        some = (answered.table["label"].to_numpy()[rows] < len(masks.classes)).any()
        found = propose(context, masks, answered, folder, seeds["lcm"]) if some else None
        choose_what_to_audit(context, answered, found, folder, seeds["ties"])
    answer_audits(context, masks, folder)
