"""How SESM is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from a2lc.referring.priors.base import STRIDE
from a2lc.settings import Settings

SMALLEST = 32
"""Pixels: a side of the smallest image to train on, one cell of a network's coarsest level."""
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]


class TrainingSettings(Settings):
    """What decides a training, besides its data. Every choice is this package's."""

    network: Literal["small", "base"] = "small"
    """``small`` learns from scratch on two cores; ``base`` is Swin-B and BERT, for a GPU."""
    guidance: Literal["learnt", "concat", "none"] = "learnt"
    """How priors guide the network; ``none``: not at all, as with `Experiment.guides` false."""
    words: Literal["attention", "film"] = "attention"
    """How words do."""
    size: tuple[Positive, Positive] | None = None
    """Height and width that images are brought to, multiples of 4, at least 32; none: their own."""
    steps: Positive = 400
    """Steps of every training."""
    batch: Positive = 16
    """Labelled pairs of a step, and accepted ones beside them."""
    lr: Annotated[float, Field(gt=0, strict=True)] = 2e-3
    """Largest learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0, strict=True)] = 1e-2
    """Of AdamW."""
    clip: Annotated[float, Field(gt=0, strict=True)] = 1.0
    """Largest norm of a gradient."""
    ema: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.99
    """Share of its weights that the teacher keeps at every step."""
    prior_dropout: Share = 0.3
    """How often a prior is hidden, so that the network learns to do without."""
    ramp: Share = 0.2
    """Share of a training over which the weight of accepted pixels grows to its whole."""
    weight_of_accepted: Annotated[float, Field(ge=0, strict=True)] = 1.0
    """Of accepted pixels, beside 1 of labelled ones."""
    strong_labelled: bool = True
    """Whether labelled images are shown in strong views, too."""

    @field_validator("size")
    @classmethod
    def _sides_are_whole_cells(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and any(side < SMALLEST or side % STRIDE for side in value):
            raise ValueError(f"expected height and width >= {SMALLEST}, multiples of {STRIDE}, found {list(value)}")
        return value
