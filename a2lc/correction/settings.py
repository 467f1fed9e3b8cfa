"""Settings of the Label Correction Module."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from a2lc.files import check_whole
from a2lc.settings import Deviation, Settings


class LCMSettings(Settings):
    """Settings of the LCM; the defaults are those behind the paper's Cityscapes numbers.

    Attributes:
        thresholds: confidence threshold tau, in [0, 1], of rounds 1, 2, ...; at least one, the last holds from then on.
            Cityscapes' schedule by default (``cityscapes/auto_correct.sh:10-20`` of ngbrjyj/A2LC); PASCAL VOC uses
            ``[0.99]``.
        tail_ratio: alpha of Eq. 5, the share of classes that count as tail, in [0, 1].
        loss: ``double_softmax``: cross-entropy applied to the softmax output, as released; ``nll``: Eq. 2 read
            literally.
        protected_labels: criterion J3, whose masks are left alone: those that carry the single ``rarest`` class (Eq. 6
            and released code) or any ``tail`` class of Eq. 5 (the paper's text).
        protected_answers: which answers of an annotator the LCM never changes: those of any round, ``ever`` (released
            code), or those of the same ``round`` only (the paper). An answer that is changed counts as answered all
            the same: with ``non_redundant`` nobody is asked again, and the table's source says ``overruled``.
        epochs, batch_size, learning_rate: of Adam, > 0; the network is trained anew in every round.
        guard: beyond the paper: correct only where held-out answers say that it helps (`correction/guard.py`).
    """

    thresholds: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1, strict=True)], ...],
        Deviation(
            "D8",
            "τ is 0.99 at first and rises",
            "rises on Cityscapes, is 0.99 always on PASCAL VOC",
            profile="the default for Cityscapes, `[0.99]` for PASCAL VOC",
        ),
    ] = Field((0.99, 0.99, 0.999, 0.9999, 0.9999999), min_length=1)
    tail_ratio: float = Field(0.5, ge=0, le=1, strict=True)
    loss: Annotated[
        Literal["double_softmax", "nll"],
        Deviation("D2", "cross-entropy (Eq. 2)", "cross-entropy of the softmax output, so softmax twice"),
    ] = "double_softmax"
    protected_labels: Annotated[
        Literal["rarest", "tail"],
        Deviation("D6", "a label of a tail class stays (text); of the rarest class (Eq. 6)", "as Eq. 6"),
    ] = "rarest"
    protected_answers: Annotated[
        Literal["ever", "round"],
        Deviation("D14", "this round's answers stay", "answers of all rounds stay"),
    ] = "ever"
    epochs: int = Field(100, gt=0, strict=True)
    batch_size: int = Field(8, gt=0, strict=True)
    learning_rate: float = Field(1e-4, gt=0, strict=True)
    guard: Annotated[
        bool, Deviation("ours", "–", "–; beyond both: the LCM acts only where held-out answers say that it helps")
    ] = Field(False, strict=True)

    def threshold(self, round: int) -> float:
        """Tau of a round, counted from 1. Raises `TypeError` or `ValueError` where that is no whole number >= 1."""
        check_whole(round, "round", 1)
        return self.thresholds[min(round, len(self.thresholds)) - 1]
