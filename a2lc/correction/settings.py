"""Settings of the Label Correction Module."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from a2lc.files import check_whole
from a2lc.settings import Deviation, Settings

FEWEST_AUDITS = 50  # of a round: fewer cost more than they tell


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
        acceptance: who decides what is corrected: the ``published`` criteria; or, beyond the paper, of what they accept
            the ``guard`` (`a2lc.correction.guard`) what held-out answers support; or of all that the LCM would change
            the ``bandit`` or a ``policy_gradient`` (`a2lc.correction.acceptance`). ``guard: true`` is the guard, too.
        audit: share of a round's clicks that are spent on corrections that the LCM would make, in [0, 0.5], to learn
            when it is right; none where they would be fewer than 50.
        audit_choice: which: where the new label is likelier right than the old one (``frontier``) or anywhere
            (``stake``), by what is at stake; or all alike (``uniform``).
        pessimism: standard deviations by which the bandit's estimates may err against a correction, >= 0.
        payoff: what it counts: points of ``miou``, or ``masks``.
        state: what it judges by: what is much alike for queried and other masks (``stable``), what the LCM says, too
            (``full``), or this with audits only (``auto``); see `a2lc.correction.evidence.covariates`.
        gradient: of the policy gradient: ``exact``, or sampled as ``reinforce`` does.
        features: what the LCM reads of a mask: the segmentation model's ``probabilities``; features ``pooled`` over it
            by a frozen backbone, its size, place and present label; or ``both``.
        pooled_from: that backbone, of timm, or ``colour``, as `InstantSettings.features`.
        model: the LCM itself: the paper's ``mlp``, or ``logistic`` regression, which takes no epochs.
        void: what the LCM learns from the answer void: nothing, ``left_out``, or an ``outcome`` of its own, "none of
            these"; masks of which it says so keep their label.
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
    acceptance: Annotated[
        Literal["published", "guard", "bandit", "policy_gradient"],
        Deviation("ours", "corrects by Eq. 4–6", "as the paper; beyond both: learn from held-out answers what pays"),
    ] = "published"
    audit: Annotated[
        float, Deviation("ours", "all clicks go to suspicious masks", "as the paper; beyond both: some go to proposals")
    ] = Field(0.0, ge=0, le=0.5, strict=True)
    audit_choice: Literal["frontier", "stake", "uniform"] = "frontier"
    pessimism: float = Field(1.645, ge=0, strict=True)
    payoff: Literal["miou", "masks"] = "miou"
    state: Literal["stable", "full", "auto"] = "auto"
    gradient: Literal["exact", "reinforce"] = "exact"
    features: Annotated[
        Literal["probabilities", "pooled", "both"],
        Deviation("ours", "the LCM reads mean softmax", "as the paper; beyond both: features of a frozen backbone"),
    ] = "probabilities"
    pooled_from: str = Field("tf_efficientnet_lite0", pattern=r"^\w[\w.-]*$")
    model: Annotated[
        Literal["mlp", "logistic"], Deviation("ours", "the LCM is an MLP", "as the paper; beyond both: a regression")
    ] = "mlp"
    void: Annotated[
        Literal["left_out", "outcome"],
        Deviation("ours", "–", "void answers teach the LCM nothing; beyond both: void is an outcome"),
    ] = "left_out"

    @model_validator(mode="before")
    @classmethod
    def _guard_is_an_acceptance(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        guard, acceptance = fields.get("guard"), fields.get("acceptance")
        if guard is True and acceptance not in (None, "guard"):
            raise ValueError(f"guard: true contradicts acceptance {acceptance!r}; leave one of them out")
        if guard is False and acceptance == "guard":
            raise ValueError("guard: false contradicts acceptance 'guard'; leave one of them out")
        both = {"guard": True, "acceptance": "guard"}
        return fields | both if guard is True or acceptance == "guard" else fields

    @model_validator(mode="after")
    def _fits_together(self) -> LCMSettings:
        if not self.learns_acceptance:
            self._alone("audit", "audit_choice", "pessimism", "payoff", "state", of="acceptance 'bandit'")
        if self.acceptance != "policy_gradient":
            self._alone("gradient", of="acceptance 'policy_gradient'")
        else:
            self._alone("pessimism", of="acceptance 'bandit'")
        if self.audit == 0:
            self._alone("audit_choice", of="audit > 0")
        if self.features == "probabilities":
            self._alone("pooled_from", of="features 'pooled' and 'both'")
        return self

    def _alone(self, *names: str, of: str) -> None:
        """Refuse fields that mean nothing without another one."""
        for name in names:
            if (found := getattr(self, name)) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: belongs to {of}, found {found!r}")

    @model_serializer(mode="wrap")
    def _one_name_of_the_guard(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A guarded run keeps its name: it is ``guard: true``, and says it once."""
        found: dict[str, Any] = fields(self)
        if self.guard:
            found.pop("acceptance", None)
        return found

    @property
    def outputs_void(self) -> bool:
        """Whether the LCM may say void."""
        return self.void == "outcome"

    @property
    def learns_acceptance(self) -> bool:
        """Whether answers decide which of all the LCM's changes are made."""
        return self.acceptance in ("bandit", "policy_gradient")

    def audits(self, budget: int) -> int:
        """How many of a round's clicks are audits: none where that would be fewer than `FEWEST_AUDITS`."""
        number = round(self.audit * budget)
        return number if number >= FEWEST_AUDITS else 0

    def threshold(self, round: int) -> float:
        """Tau of a round, counted from 1. Raises `TypeError` or `ValueError` where that is no whole number >= 1."""
        check_whole(round, "round", 1)
        return self.thresholds[min(round, len(self.thresholds)) - 1]
