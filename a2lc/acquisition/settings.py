"""How masks are scored where the paper, the released code and the cited works leave a choice."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from a2lc.settings import Deviation, Settings

Need = Literal["uncertainty", "representative", "components", "softmin"]
"""What is computed of masks only where somebody reads it: entropy, margin and bvsb; ALC's representative pixel;
connected components of the prediction for the adjusted IoU; CIL pooled by softmin."""


UNCERTAINTY: Need = "uncertainty"

PIXBAL = "pixbal"
"""MulSpx' own acquisition function: it needs the whole dataset's predictions at once, so it is not registered."""


class ScoringSettings(Settings):
    """Choices in scoring; the defaults score as the released code does, at the images' own size.

    Attributes:
        features: what Eq. 1 and 12 take for f(x): class ``probabilities``, or what the network's last layer sees
            (``penultimate``; needs a segmenter with a method ``features``). SIM, ABC and the LCM's input follow it.
        uniform_over: classes of the uniform distribution in Eq. 8: those ``present`` among the counted masks, or
            ``all`` K. The minimum of Eq. 7 runs over the classes present either way: over all of them it would be 0
            as soon as one class is absent, and every weight with it.
        counted_masks: whose pixels the class counts of Eq. 7-8 are taken from: the ``pool``, which leaves out masks
            answered in earlier rounds, or ``all`` masks.
        ref_squash: whether scores come from images squashed to 384 x 384, as in the released Cityscapes code
            (`a2lc.acquisition.squash`). Representative pixels too; the LCM's features stay those of the image's own
            size, so each image is predicted twice.
        lcil_pooling: how LCIL pools the CIL of a mask's pixels: ``mean``, or ``softmin`` with weights proportional to
            exp(CIL / 0.1), so that the worst pixels decide (Lad & Mueller 2023).
        merspx_shares: what MerSpx' shares of pixels add up to: the ``whole``, 1, or a ``quarter``, because the
            released code of Kim et al. (2023) counts at half resolution and divides by pixels at full resolution.
    """

    features: Annotated[
        Literal["probabilities", "penultimate"],
        Deviation("D1", "features f_θ(x), f_θ(m) (Eq. 1, 12)", "softmax probabilities"),
    ] = "probabilities"
    uniform_over: Annotated[
        Literal["present", "all"],
        Deviation("D3", "KL divergence over all classes (Eq. 8)", "over the classes present, as the minimum of Eq. 7"),
    ] = "present"
    counted_masks: Annotated[
        Literal["pool", "all"],
        Deviation("D5", "Eq. 7, 8 count all masks", "masks answered in earlier rounds do not count"),
    ] = "pool"
    ref_squash: Annotated[
        bool,
        Deviation(
            "D4",
            "one prediction per image",
            "Cityscapes: scores from the image squashed to 384², black around it; LCM features at native size",
            profile="`true` for Cityscapes (presumably behind the printed numbers), else `false`",
        ),
    ] = Field(False, strict=True)
    lcil_pooling: Annotated[
        Literal["mean", "softmin"],
        Deviation("Table 4", "LCIL is not defined", "ALC: mean over the mask; an older version also names a softmin"),
    ] = "mean"
    merspx_shares: Annotated[
        Literal["whole", "quarter"],
        Deviation("Table 4", "shares of pixels that add up to 1", "MerSpx: to ¼, by a slip between two resolutions"),
    ] = "whole"
