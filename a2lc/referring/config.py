"""The configuration of a run on referring expressions: frozen, typed, refused when wrong; its hash is the run's
identity. What no published description says is this package's choice: every field but the dataset and the rate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from a2lc.files import fingerprint, not_one_of
from a2lc.referring.loading import DATASETS, GIVEN, TOY, unknown_options
from a2lc.referring.methods import METHODS
from a2lc.referring.priors.models import MODELS
from a2lc.referring.refcoco import SPLITS
from a2lc.referring.settings import Share, TrainingSettings
from a2lc.settings import Folder, Settings, WrongSettings

SIMULATED = "simulated"
FEW_IMAGES = 4
"""With fewer labelled images none is kept for rewards: the policy is a rule."""


class Experiment(Settings):
    """One run: a dataset, a share of labelled images, a method."""

    dataset: str = TOY
    """``toy_referring``, ``refcoco``, ``refcoco+``, ``refcocog``; or ``given``: data and frozen model are handed to
    `a2lc.referring.run`, one's own or `a2lc.referring.by_class_names` and `a2lc.referring.MaskLocator`."""
    root: Folder | None = None
    """Folder of the imported data; see `a2lc.referring.load_dataset`."""
    split_by: str | None = None
    """Of the RefCOCO family."""
    options: dict[str, Annotated[int, Field(strict=True)]] = {}
    """Of ``toy_referring``: n_train, n_val, n_test, height, width, seed."""
    rate: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.05
    """Share of the training images that are labelled."""
    method: str = "full"
    """A preset of `a2lc.referring.methods.METHODS`; fields given beside it win."""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """Of labelled images, weights, batches and exploration."""
    rounds: Annotated[int, Field(ge=0, strict=True)] = 3
    """Rounds of pseudo-labels after the first training."""
    trains: bool = True
    """False: the frozen model alone is measured."""
    training: TrainingSettings = TrainingSettings()
    """Every training."""
    prior: str = SIMULATED
    """The frozen model: ``simulated`` (toy only) or one of `a2lc.referring.priors.models.MODELS`."""
    shape: Literal["gauss", "sam"] = "gauss"
    """How boxes become soft proposals: bells over them, or Segment Anything's masks, which are simulated where the
    frozen model is; a model's own map is taken where it gives one."""
    uses_prior: bool = True
    """Whether pseudo-labels are fused with the prior, and decisions look at it."""
    guides: bool = True
    """Whether the prior guides the network, in the way of ``training.guidance``."""
    fusion: Literal["learnt", "fixed"] = "learnt"
    """Weight of the prior beside the teacher: by what both were worth on reward images, or `fusion_weight`."""
    fusion_weight: Share = 0.5
    """The fixed weight."""
    evolve: Share = 0.5
    """How far the prior of an accepted pair moves towards what the teacher says."""
    acceptance: Literal["bandit", "policy_gradient", "reinforce", "fixed", "none"] = "bandit"
    """Who decides on the gate of a pair."""
    fixed_gate: Annotated[int, Field(ge=1, le=4, strict=True)] = 1
    """The gate of ``fixed``: 1 accepts cells that are at least 0.95 or at most 0.05, 3 those of 0.8 or 0.2."""
    pessimism: Annotated[float, Field(ge=0, strict=True)] = 1.645
    """Standard deviations that the bandit counts against a gate; at most 1 with fewer than `few` rewarded pairs."""
    few: Annotated[int, Field(ge=0, strict=True)] = 30
    """See `pessimism`."""
    explore: Share = 0.1
    """Share of pairs whose gate is drawn from the posterior; none in the last round."""
    needed_precision: Annotated[float, Field(ge=0.5, lt=1, strict=True)] = 0.8
    """Share of right cells from which on accepting pays."""
    least_accepted: Share = 0.02
    """Share of pairs below which the bandit drops its pessimism, as far as a gate is still expected to pay."""
    most_accepted: Share = 0.9
    """Share of pairs above which the least valuable ones are left out."""
    balanced: bool = True
    """Whether a pair is rejected whose accepted cells lack object or background."""
    compares_fixed: bool = True
    """Whether the fixed gate acts in a round in which the policy is worth less on reward images."""
    reports_truth: bool = True
    """Whether what decisions came to is noted where truth is known, apart from what training reads."""

    def __init__(self, **fields: Any) -> None:
        method = fields.get("method", "full")
        if not isinstance(method, str) or method not in METHODS:
            raise WrongSettings([f"method: {not_one_of(method, METHODS)}"])
        super().__init__(**{**METHODS[method], **fields})

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, value: str) -> str:
        if value not in DATASETS:
            raise ValueError(not_one_of(value, DATASETS))
        return value

    @model_validator(mode="after")
    def _fits(self) -> Experiment:
        wrong = unknown_options(self.dataset, self.options)
        splitters = SPLITS.get(self.dataset, {})
        if self.split_by is not None and self.split_by not in splitters:
            none = f"expected none of {self.dataset}, found {self.split_by!r}"
            wrong.append(f"split_by: {not_one_of(self.split_by, splitters) if splitters else none}")
        known = [SIMULATED, *(name for name in MODELS if name != "sam")]
        if self.prior not in known:
            wrong.append(f"prior: {not_one_of(self.prior, known)}")
        elif self.needs_prior and self.prior == SIMULATED and self.dataset not in (TOY, GIVEN):
            wrong.append(f"prior: {SIMULATED!r} knows drawn scenes only, found dataset {self.dataset!r}")
        if self.dataset != TOY and self.training.size is None:
            wrong.append(
                "training.size: expected height and width such as [480, 480], as photographs differ, found none"
            )
        if self.least_accepted > self.most_accepted:
            found = f"found {self.least_accepted} and {self.most_accepted}"
            wrong.append(f"least_accepted: expected at most most_accepted, {found}")
        if not self.trains and self.rounds:
            wrong.append(f"rounds: expected 0 where nothing is trained, found {self.rounds}")
        if self.rounds and self.acceptance == "none":
            wrong.append("rounds: expected 0 where nothing is accepted")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        chosen = self.model_dump(mode="json", exclude={"root"}, exclude_defaults=True)
        return "-".join([self.dataset, self.method, f"r{self.rate:g}", f"s{self.seed}", fingerprint(chosen)])

    @property
    def needs_prior(self) -> bool:
        """Whether the frozen model is asked at all."""
        return self.uses_prior or self.is_guided or not self.trains

    @property
    def is_guided(self) -> bool:
        """Whether the network sees the prior."""
        return self.guides and self.training.guidance != "none"

    @property
    def learns_policy(self) -> bool:
        """Whether labelled images are kept for rewards."""
        return self.rounds > 0 and self.acceptance in ("bandit", "policy_gradient", "reinforce")
