"""Settings of the method ``instant``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from a2lc.files import nearest
from a2lc.settings import Settings

INSTANT = "instant"
"""As an acquisition function: it learns from all masks at once, so it is not registered with the others."""

COLOUR = "colour"

SAM = ("sam_vit_h", "sam_vit_l", "sam_vit_b")
"""Segment Anything's image encoders, as features of masks (`a2lc.pseudo_labels.sam_features`)."""

FEWEST = 20
"""Answers from which on something is said of all labels (`a2lc.instant.Outlook`)."""


class InstantSettings(Settings):
    """Settings of ``method: instant``.

    Attributes:
        features: what masks are compared by: a small backbone of timm that knows ImageNet, such as the default, whose
            weights are found as those of ``segmenter`` (its ``weights`` and ``offline`` hold here too); Segment
            Anything's image encoder, one of `SAM`; or ``colour``: colours, edges, size and place, which need no
            weights and find less.
        reorder_every: the masks not yet asked about are put into a new order after so many answers, >= 1.
        train: whether a segmentation model is trained: ``never``, or on the labels of the ``last`` round, so that its
            Model mIoU is known.
    """

    features: str = Field("tf_efficientnet_lite0", pattern=r"^\w[\w.-]*$")
    reorder_every: int = Field(25, ge=1, strict=True)
    train: Literal["never", "last"] = "never"

    @field_validator("features")
    @classmethod
    def _nearly_colour_is_no_backbone(cls, value: str) -> str:
        if value != COLOUR and (meant := nearest(value, [COLOUR])):  # no name that timm knows is near it
            raise ValueError(f"expected {COLOUR!r} or a backbone of timm, found {value!r}{meant}")
        return value
