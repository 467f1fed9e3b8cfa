"""Where a run's masks and first labels come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from a2lc.instant.settings import COLOUR
from a2lc.settings import Folder, Settings


class SuperpixelSettings(Settings):
    """How images are cut.

    Attributes:
        algorithm: ``seeds`` (all three baselines) or ``slic`` (scikit-image's, without smoothing).
        side: the square root of the mean area wanted, in pixels, >= 4: 32 for Spx and MulSpx, 16 for MerSpx.
    """

    algorithm: Literal["seeds", "slic"] = "seeds"
    side: int = Field(32, ge=4, strict=True)


class PseudoLabels(Settings):
    """Where masks and their first labels come from.

    Attributes:
        kind: ``simulated`` from ground truth and image, ``folders`` of object maps and label maps (real Grounded-SAM
            output), ``own_labels``: those that came with the images, to be corrected (`a2lc.pseudo_labels.own_labels`),
            ``superpixels`` without labels, or the ``ground_truth`` itself.
        seed: of the simulation, >= 0; the same for all runs, so that methods and seeds start from the same labels.
        looks: of the simulation: which masks look alike, and so have the same wrong label: ``colour``, with place and
            shape, or a backbone of timm that knows ImageNet, as real masks do.
        object_maps, labels: the two folders, for ``folders``; for ``own_labels`` the masks may be given as object maps.
        superpixels: how images are cut up, for ``superpixels``, and for ``own_labels`` where wanted.
        min_area: of ``own_labels``: regions of fewer pixels than this, >= 1, belong to no mask and stay as they are.
        void: of ``own_labels``: whether areas without a label are masks, too, so that they may be given one.
    """

    kind: Literal["simulated", "folders", "own_labels", "superpixels", "ground_truth"] = "simulated"
    seed: int = Field(0, ge=0, strict=True)
    looks: str = Field(COLOUR, pattern=r"^\w[\w.-]*$")
    object_maps: Folder | None = None
    labels: Folder | None = None
    superpixels: SuperpixelSettings | None = None
    min_area: int = Field(16, ge=1, strict=True)
    void: bool = Field(False, strict=True)

    @model_validator(mode="after")
    def _folders_are_given(self) -> PseudoLabels:
        if self.looks != COLOUR and self.kind != "simulated":
            raise ValueError(f"kind: {self.kind!r} takes no looks, which the simulation has")
        if self.kind == "own_labels":
            if self.labels is not None or (self.object_maps is not None and self.superpixels is not None):
                raise ValueError("kind: 'own_labels' takes object_maps or superpixels or none, no labels")
            return self
        if self.void:
            raise ValueError(f"kind: {self.kind!r} takes no void, which is of 'own_labels'")
        given = [folder is not None for folder in (self.object_maps, self.labels)]
        if self.kind == "folders" and not all(given):
            raise ValueError("kind: 'folders' needs object_maps and labels")
        if self.kind != "folders" and any(given):
            raise ValueError(f"kind: {self.kind!r} takes no object_maps and labels")
        if (self.superpixels is not None) != (self.kind == "superpixels"):
            needs = "needs" if self.kind == "superpixels" else "takes no"
            raise ValueError(f"kind: {self.kind!r} {needs} superpixels")
        return self
