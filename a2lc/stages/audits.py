"""Some clicks are spent on what the LCM wants to change, so that answers tell when it is right
(`LCMSettings.audit`)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from a2lc.correction import Corrections, Evidence, choose_audits
from a2lc.masks import MaskSet
from a2lc.runs import RoundFolder
from a2lc.stages.context import Context, select_queries


def choose_what_to_audit(
    context: Context, masks: MaskSet, found: tuple[Corrections, Evidence] | None, folder: RoundFolder, seed: int
) -> None:
    """Add to a round's queries what is audited; clicks for which there is no proposal go to the next highest scores.

    Args:
        context: configuration.
        masks: M masks with the answers so far.
        found: what the LCM would change, and what it has learnt from; None: it has learnt nothing.
        folder: of the round.
        seed: of ties.
    """
    rows, number = folder.queried_rows(), context.config.audits(len(masks))
    audits = (np.empty(0, np.int64), np.empty(0)) if found is None else choose_audits(*found, number)
    scores = folder.scores().copy()
    scores[np.concatenate([rows, audits[0]]).astype(np.int64)] = -np.inf
    left = number - len(audits[0])
    free = int(((scores > -np.inf) & ~(masks.queried & context.config.non_redundant)).sum())
    others = select_queries(masks, scores, context.config, seed, budget=min(left, free))
    folder.write_queries(np.concatenate([rows, others, audits[0]]).astype(np.int64), audits)


def answer_audits(context: Context, masks: MaskSet, folder: RoundFolder) -> None:
    """Have the queries answered that have no answer yet.

    Args:
        context: the annotator.
        masks: M masks with the labels of round r-1.
        folder: of the round.

    Raises:
        Waiting: a person has to answer.
    """
    said, rows = folder.read_answers(), folder.queried_rows()
    later = rows[len(said) :]
    if len(later):
        answers = context.annotator.answer(later, masks, folder.working("representative"))
        more = masks.table.iloc[later][["image", "mask_id"]].assign(label=answers)
        folder.write_answers(pd.concat([said, more], ignore_index=True))
