"""The LCM under approval: a round lays its corrections before a person and goes on with what was approved.

The round stops with ``proposals.parquet``, a row per correction, and ``worlds.safetensors``, which of them are right in
equally likely worlds. The person decides by `a2lc.human.Approval`, which writes ``approved.parquet``. What was rejected
the LCM never touches again; what was left undecided may be proposed again in a later round.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from a2lc.correction import Corrections, Evidence, Waiting, expected_accuracy
from a2lc.correction.acceptance import WORLDS, audited_accuracy, state_of
from a2lc.correction.evidence import QUANTILE
from a2lc.files import read_parquet, write_arrays, write_json
from a2lc.runs import RoundFolder
from a2lc.runs.decisions import vetoed


def approved_corrections(proposed: Corrections, evidence: Evidence, folder: RoundFolder) -> Corrections:
    """What a person has approved of the proposed corrections. When they are first proposed, they are written down.

    Args:
        proposed: what the criteria accept, and the guard where it is on.
        evidence: what the LCM has learnt from.
        folder: of the round.

    Raises:
        Waiting: the person has still to decide.
        FileNotFoundError, ValueError: what the person approved of is missing or damaged; the message names the file.
    """
    if not folder.state.approved:
        if folder.state.waits_for != "approval":
            if not proposed.accepted.any():
                return proposed
            _write_proposals(proposed, evidence, folder)
        raise Waiting("approval")
    chosen = read_parquet(folder.path / "approved.parquet", "row", "label", "confidence")
    at = chosen["row"].to_numpy()
    predicted, confidence = proposed.predicted.copy(), proposed.confidence.copy()
    accepted = np.zeros(len(evidence.before), dtype=bool)
    predicted[at], confidence[at], accepted[at] = chosen["label"], chosen["confidence"], True
    accepted &= ~vetoed(folder.run, evidence.before)  # something may have been undone meanwhile
    folder.note(lcm_proposed=len(read_parquet(folder.path / "proposals.parquet")))
    return replace(proposed, predicted=predicted, confidence=confidence, accepted=accepted)


def _write_proposals(proposed: Corrections, evidence: Evidence, folder: RoundFolder) -> None:
    at = np.flatnonzero(proposed.accepted)
    table = pd.DataFrame({"row": at.astype(np.int32), "label": proposed.predicted[at].astype(np.uint8)})
    table["confidence"] = proposed.confidence[at].astype(np.float32)
    about: dict[str, float] = {"answers": len(evidence.rows), "tried": 0, "tried_right": 0}
    estimates = dict.fromkeys(("right", "low", "high"), np.full(len(at), np.nan))
    if (expected := expected_accuracy(proposed, evidence, state_of(evidence), to_tell=True)) is not None:
        after = expected.outcomes.after
        estimates = dict(zip(estimates, (after.chance(), after.low(QUANTILE), after.high(QUANTILE)), strict=True))
        about |= {"tried": expected.tried, "tried_right": expected.right}
        worlds = expected.outcomes.worlds(WORLDS, evidence.seed)
        write_arrays(folder.path / "worlds.safetensors", {"right": np.packbits(worlds, axis=1)})
    if (audited := audited_accuracy(proposed, evidence)) is not None:
        about |= {"audits": audited.number, "audited": audited.share}
        about |= {"audited_low": audited.low, "audited_high": audited.high}
    write_json(folder.path / "proposals.json", about)
    folder.write_table("proposals.parquet", table.assign(**{k: v.astype(np.float32) for k, v in estimates.items()}))
