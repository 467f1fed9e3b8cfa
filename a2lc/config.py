"""The configuration of a run: frozen, typed, refused when wrong. Its hash is the run's identity."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from a2lc.acquisition import ScoringSettings, get_acquisition_function
from a2lc.acquisition.settings import PIXBAL
from a2lc.correction import LCMSettings
from a2lc.datasets import DATASETS
from a2lc.files import fingerprint, is_whole, not_one_of, read_yaml
from a2lc.instant.settings import COLOUR, INSTANT, SAM, InstantSettings
from a2lc.machine import JOBLIB, KNEED, SEEDS, SEGMENT_ANYTHING, TIMM
from a2lc.notebook import notebooks_of, project_folder
from a2lc.notebook.parameters import PROFILE, parameters_by_item, read_profile
from a2lc.pseudo_labels.settings import PseudoLabels
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.settings import PLACES
from a2lc.settings import Deviation, Folder, Settings

OWN_DATA = "folder"
"""The dataset that is whatever lies in its root."""
MOST_MASKS = 10**15  # of a budget: what numbers in files and tables hold
LABEL_FREE = ("random", "entropy", "margin", "bvsb", "clsbal", "merspx")  # functions that read no label
_NO_IDENTITY: Any = {  # places, and how long
    "root": True,
    "pseudo_labels": {"object_maps", "labels"},
    "segmenter": PLACES,
    "rounds": True,
}

_A2LC = {"acquisition": "abc", "query": "mask", "lcm": True, "non_redundant": True, "similarity": "mean"}
_ALC = {"acquisition": "sim", "query": "pixel", "lcm": False, "non_redundant": True, "similarity": "representative"}


def _superpixels(side: int) -> dict[str, Any]:
    return {"kind": "superpixels", "superpixels": {"side": side}}


METHODS: dict[str, dict[str, Any]] = {
    "a2lc": _A2LC,
    "a2lc_bandit": _A2LC | {"correction": {"acceptance": "bandit"}},
    "a2lc_bandit_audit": _A2LC | {"correction": {"acceptance": "bandit", "audit": 0.25}},
    "a2lc_no_lcm": _A2LC | {"lcm": False},
    "alc": _ALC | {"non_redundant": False},
    "alc_non_redundant": _ALC,
    "alc_lcm": _ALC | {"lcm": True},
    "alc_abc": _ALC | {"acquisition": "abc", "similarity": "mean"},
    "alc_lcm_abc": _ALC | {"lcm": True, "acquisition": "abc", "similarity": "mean"},
    "spx": _A2LC | {"lcm": False, "acquisition": "clsbal", "pseudo_labels": _superpixels(32)},
    "merspx": _A2LC
    | {
        "lcm": False,
        "acquisition": "merspx",
        "query": "merged",
        "non_redundant": False,
        "pseudo_labels": _superpixels(16),
    },
    "mulspx": _A2LC
    | {
        "lcm": False,
        "acquisition": "pixbal",
        "query": "classes",
        "pseudo_labels": _superpixels(32),
        "segmenter": {"head": "cosine"},
    },
    "instant": _A2LC | {"acquisition": INSTANT},
    "full_supervision": _A2LC | {"lcm": False, "rounds": 0, "pseudo_labels": {"kind": "ground_truth"}},
}
"""The methods and their switches.

A²LC, the same with corrections that a bandit accepts, without and with audits (beyond the paper, `a2lc.acceptance`),
and with nobody but the annotator correcting, and the baseline ALC; the rows of Table 5, which lead from ALC
without repetition by LCM, ABC and both to A²LC, which queries at mask level; the superpixel baselines of Table 2
(`a2lc.baselines`), which start from images without labels; beyond the paper, corrections without training a network
(`a2lc.instant`); and the model trained on all of the ground truth.
"""


class BaselineSettings(Settings):
    """Settings of MerSpx and MulSpx (methods.md 6.2 and 6.3).

    Attributes:
        epsilon: MerSpx merges neighbours whose Jensen-Shannon distance is below this, >= 0; none is above 0.833.
        merged_area: MerSpx sieves the pixels of regions of at least so many pixels: twice a superpixel's area.
        nu: MulSpx: how much less PixBal counts frequent classes, >= 0; 6 on Cityscapes, 12 on PASCAL VOC.
    """

    epsilon: float = Field(0.1, ge=0, strict=True)
    merged_area: int = Field(512, ge=1, strict=True)
    nu: float = Field(6.0, ge=0, strict=True)


class Experiment(Settings):
    """One run of one method on one dataset.

    Attributes:
        dataset: a name in ``a2lc.datasets.DATASETS``.
        root: the dataset's folder. Not part of the run's identity: the list of its images is.
        method: a preset of `METHODS`; each of its switches below can be overridden.
        seed: seeds training, the LCM and random scores.
        rounds: R, the number of rounds; 0: the initial model only. Not part of the run's identity: no round depends on
            how many follow, so a run is continued when more are asked for.
        budget: B, masks queried per round: a whole number >= 1, or a share of all masks in (0, 1). The paper's
            budgets are about 9 % of the masks (1,000 of 11,257 on PASCAL VOC).
        acquisition: a name in ``ACQUISITION_FUNCTIONS``, ``pixbal`` (MulSpx), or ``instant`` (`a2lc.instant`).
        query: what one click tells: the label of the ``mask``, or of one representative ``pixel`` that is spread over
            its mask; of superpixels also that of a region ``merged`` from them (MerSpx), or all ``classes`` in one
            (MulSpx).
        lcm: whether masks that nobody was asked about are corrected, too: by the Label Correction Module, or by what
            takes its place in ``instant``.
        non_redundant: whether a mask that was queried is never queried again.
        similarity: what SIM compares pixels with, and where CIL is taken: the ``mean`` over m' (Eq. 12) or the
            ``representative`` pixel (ALC).
        keep_if_mostly_right: at pixel level, leave masks alone that are more than half right, as the released ALC
            code does.
        annotator: who answers: the ``oracle``, who looks at the ground truth, or a ``human``; then the run stops where
            answers are needed (`a2lc.human.Queue`), and needs no ground truth.
        approval: whether the LCM's corrections wait until a person has looked at them (`a2lc.human.Approval`); by
            default where a human answers.
        pseudo_labels: where the masks and first labels come from.
        scoring: choices in the scores that paper and released code make differently.
        correction: settings of the LCM.
        baseline: settings of the superpixel baselines.
        segmenter: network, size and training of the segmentation model.
        instant: settings of the method ``instant``.

    Raises:
        ValueError: fields are unknown or wrong, or do not fit together; each is named.
    """

    dataset: str = "toy"
    root: Folder | None = None
    method: str = "a2lc"
    seed: int = Field(0, ge=0, strict=True)
    rounds: int = Field(5, ge=0, strict=True)
    budget: int | float = 0.09
    acquisition: str
    query: Annotated[
        Literal["mask", "pixel", "merged", "classes"],
        Deviation("ALC", "A²LC's click tells the label of a mask, ALC's of a pixel", "as the paper"),
    ]
    lcm: bool = Field(strict=True)
    non_redundant: Annotated[
        bool, Deviation("ALC", "A²LC never asks twice about a mask; ALC is left open", "ALC may ask twice")
    ] = Field(strict=True)
    similarity: Annotated[
        Literal["mean", "representative"],
        Deviation("ALC", "SIM compares with the mean over m′ (Eq. 12)", "ALC: with its representative pixel"),
    ]
    keep_if_mostly_right: Annotated[
        bool, Deviation("ALC", "ALC's click tells one pixel's label", "ALC: masks more than half right are kept")
    ] = Field(True, strict=True)
    annotator: Literal["oracle", "human"] = "oracle"
    approval: bool = Field(False, strict=True)
    pseudo_labels: PseudoLabels = PseudoLabels()
    scoring: ScoringSettings = ScoringSettings()
    correction: LCMSettings = LCMSettings()
    baseline: BaselineSettings = BaselineSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    instant: InstantSettings = InstantSettings()

    def __init__(self, **fields: Any) -> None:
        """Raises `ValueError` naming every field that is unknown or wrong, with the nearest name or what was
        expected."""
        super().__init__(**fields)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_method(cls, fields: dict[str, Any]) -> dict[str, Any]:
        method = fields.get("method", "a2lc")
        if not isinstance(method, str) or method not in METHODS:
            raise ValueError(f"method: {not_one_of(method, METHODS)}")
        return {"approval": fields.get("annotator") == "human"} | _overridden(METHODS[method], fields)

    @field_validator("root", mode="before")
    @classmethod
    def _no_text_is_no_root(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("dataset")
    @classmethod
    def _dataset_is_known(cls, value: str) -> str:
        if value not in DATASETS:
            raise ValueError(not_one_of(value, DATASETS))
        return value

    @field_validator("acquisition")
    @classmethod
    def _acquisition_is_known(cls, value: str) -> str:
        if value not in (PIXBAL, INSTANT):
            get_acquisition_function(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Experiment:
        if (self.query == "classes") != (self.acquisition == PIXBAL):
            raise ValueError(f"acquisition: query 'classes' and {PIXBAL!r} belong together, found {self.acquisition!r}")
        if self.from_superpixels:
            if self.acquisition not in (known := (PIXBAL, *LABEL_FREE)):
                raise ValueError(f"acquisition: superpixels take {', '.join(known)}, found {self.acquisition!r}")
            if self.lcm or self.query == "pixel":
                raise ValueError("pseudo_labels: superpixels take no lcm and no query 'pixel'")
            if self.query == "classes" and self.segmenter.head != "cosine":
                raise ValueError(f"segmenter.head: query 'classes' needs 'cosine', found {self.segmenter.head!r}")
            if self.segmenter.start != "initial":
                raise ValueError(f"segmenter.start: superpixels take 'initial', found {self.segmenter.start!r}")
            if self.scoring.model_copy(update={"merspx_shares": "whole"}) != ScoringSettings():
                raise ValueError(f"scoring: superpixels take merspx_shares only, found {self.scoring!r}")
        elif self.is_instant:
            if self.query != "mask":
                raise ValueError(f"query: acquisition {INSTANT!r} takes 'mask', found {self.query!r}")
            if (field := self._beyond_published) is not None:
                raise ValueError(f"{field}: belongs to the LCM, which acquisition {INSTANT!r} does without")
        elif self.correction.acceptance != "published" and self.scoring.features != "probabilities":
            raise ValueError(f"{self._beyond_published}: reads probabilities, found scoring.features 'penultimate'")
        elif self.query in ("merged", "classes"):
            raise ValueError(f"query: {self.query!r} needs pseudo_labels of kind 'superpixels'")
        if not self.is_instant and self.instant != InstantSettings():
            raise ValueError(f"instant: belongs to acquisition {INSTANT!r}, found {self.acquisition!r}")
        if self.correction.audit and not self.lcm:
            raise ValueError("correction.audit: asks about what the LCM wants to change, found lcm false")
        if self.correction.audit and self.query != "mask":
            raise ValueError(f"correction.audit: asks about masks, found query {self.query!r}")
        if self.annotator == "human" and (self.from_superpixels or self.query != "mask"):
            where = "pseudo_labels of kind 'superpixels'" if self.from_superpixels else f"query {self.query!r}"
            raise ValueError(f"annotator: a human answers queries of kind 'mask' about labelled masks, found {where}")
        return self

    @field_validator("budget", mode="before")
    @classmethod
    def _budget_is_possible(cls, value: Any) -> int | float:
        share = isinstance(value, float) and 0 < value < 1
        if not share and not (is_whole(value) and value >= 1):
            raise ValueError(f"expected a whole number of masks >= 1 or a share in (0, 1), found {value!r}")
        if value > MOST_MASKS:
            raise ValueError(f"expected at most {MOST_MASKS:,} masks, found a number of {len(str(value))} digits")
        return value

    @property
    def from_superpixels(self) -> bool:
        """Whether the images start without labels, cut up into superpixels (`a2lc.baselines`)."""
        return self.pseudo_labels.kind == "superpixels"

    @property
    def _beyond_published(self) -> str | None:
        """The first field of the correction that the published LCM does not have."""
        chosen = self.correction.model_dump(exclude_defaults=True)
        beyond = ("guard", "acceptance", "features", "model", "void")
        return next((f"correction.{name}" for name in beyond if name in chosen), None)

    @property
    def needs_pooled(self) -> bool:
        """Whether the LCM reads features of a frozen backbone."""
        return self.lcm and not self.is_instant and self.correction.features != "probabilities"

    @property
    def is_instant(self) -> bool:
        """Whether labels are scored and corrected without a segmentation model (`a2lc.instant`)."""
        return self.acquisition == INSTANT

    def trains(self, round: int) -> bool:
        """Whether a segmentation model is trained in this round, 0 = on the first labels."""
        if self.is_instant:
            return round == self.rounds and self.instant.train == "last"
        return round > 0 or not self.from_superpixels

    @property
    def optional_modules(self) -> tuple[str, ...]:
        """What its rounds import of the extras ``superpixels``, ``pretrained`` and ``networks``."""
        cut = self.pseudo_labels.superpixels
        seeds = (SEEDS,) if cut is not None and cut.algorithm == "seeds" else ()
        cutting = (*seeds, *((JOBLIB,) if cut is not None else ()), *((KNEED,) if self.query == "merged" else ()))
        pooled = (
            self.instant.features if self.is_instant else self.correction.pooled_from if self.needs_pooled else COLOUR
        )
        features = () if pooled == COLOUR else (SEGMENT_ANYTHING,) if pooled in SAM else (TIMM,)
        network = self.segmenter.optional_modules if self.trains(self.rounds) else ()
        return (*cutting, *features, *network)

    @property
    def needs_features(self) -> bool:
        """Whether the model must show what its last layer sees (`FeatureSegmenter`)."""
        return self.query == "classes" or self.scoring.features == "penultimate"

    def outputs(self, num_classes: int) -> int:
        """Outputs of the model for K classes: one more, for void, where a query asks for all classes (MulSpx)."""
        return num_classes + (self.query == "classes")

    def identity(self) -> dict[str, Any]:
        """What decides each round's result, as JSON values: every field but the number of rounds and where files lie
        (what they hold is checked by `provenance.json`)."""
        return self.model_dump(mode="json", exclude=_NO_IDENTITY)

    @property
    def name(self) -> str:
        """The run folder's name, ``<dataset>-<method>-s<seed>-<hash8>``; of data of one's own, whose dataset is called
        ``folder`` whatever they are, with the name of their folder: ``folder-<name>-<method>-...``.

        The hash is taken over what differs from the defaults, so that finished runs keep their names when a later
        version adds a switch. Folders of equal name are compared field by field (`Run.create`).
        """
        chosen = self.model_dump(mode="json", exclude=_NO_IDENTITY, exclude_defaults=True)
        given = os.path.basename(os.path.abspath(self.root)) if self.dataset == OWN_DATA and self.root else ""
        slug = re.sub(r"[^\w.]+", "-", given)[:40].strip("-.")
        return "-".join(filter(None, (self.dataset, slug, self.method, f"s{self.seed}", fingerprint(chosen))))

    def masks_per_round(self, total: int) -> int:
        """B for a dataset of `total` masks; of a share at least 1, rounded."""
        return self.budget if isinstance(self.budget, int) else max(1, round(self.budget * total))

    def audits(self, total: int) -> int:
        """How many of a round's clicks are audits, of a dataset of `total` masks."""
        return self.correction.audits(self.masks_per_round(total))

    @classmethod
    def from_file(cls, path: str | Path, **overrides: Any) -> Experiment:
        """Read a YAML or JSON file of fields, or a notebooks' profile; of that the names that only notebooks know
        (``seeds``, ``methods``, ``figures_dir`` and the like) and what single items take are skipped.

        Args:
            path: for instance ``notebooks/params/camvid.yaml``.
            overrides: fields that win over the file's.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is damaged or no mapping, or a field is unknown or wrong.
        """
        fields = {**read_fields(path), **overrides}
        try:
            return cls(**fields)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _overridden(preset: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The preset with `fields` in place of its own; where both have a mapping, the same inside it."""
    both = {name for name in preset.keys() & fields.keys() if isinstance(preset[name], dict)}
    inside = {name: _overridden(preset[name], fields[name]) for name in both if isinstance(fields[name], dict)}
    return {**preset, **fields, **inside}


def read_fields(path: str | Path) -> dict[str, Any]:
    """The fields of an experiment in a YAML or JSON file: all of it, or those in a profile; see `Experiment.from_file`.

    Raises:
        FileNotFoundError, ValueError: as `a2lc.files.read_yaml`, `a2lc.notebook.parameters.read_profile`; or it is a
            profile of referring expressions, of which no `Experiment` can be made.
    """
    values, fields = read_yaml(path), Experiment.model_fields
    known = parameters_by_item(notebooks_of(project_folder(path)))
    of_notebooks = {*known, *(name for names in known.values() for name in names)} - set(fields)
    if PROFILE not in values and not of_notebooks & set(values):
        return values
    profile = read_profile(path)
    if "expressions" in profile:
        raise ValueError(f"{path}: is of referring expressions: a2lc regenerate --profile {Path(path).stem} plays it")
    return {name: value for name, value in profile.items() if name not in of_notebooks}
