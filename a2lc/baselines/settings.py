"""Settings of the superpixel baselines."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BaselineSettings(BaseModel):
    """Settings of MerSpx and MulSpx (methods.md 6.2 and 6.3).

    Attributes:
        epsilon: MerSpx merges neighbours whose Jensen-Shannon distance is below this, >= 0; none is above 0.83.
        merged_area: MerSpx sieves the pixels of regions of at least so many pixels: twice a superpixel's area.
        nu: MulSpx: how much less PixBal counts frequent classes; 6 on Cityscapes, 12 on PASCAL VOC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(0.1, ge=0)
    merged_area: int = Field(512, ge=1)
    nu: float = Field(6.0, ge=0)
