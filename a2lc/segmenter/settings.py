"""Everything that decides what a segmenter is and how it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from a2lc.machine import SMP, TIMM, TRANSFORMERS
from a2lc.settings import Deviation, Folder, Settings

Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True)]
Side = Annotated[int, Field(ge=16, strict=True)]
Colour = tuple[Number, Number, Number]

TORCHVISION = ("resnet18", "resnet50", "resnet101", "mobilenet_v2")
IMAGENET: Any = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
BACKBONES = {  # of networks that have no weights in torchvision
    "frozen": "tf_efficientnet_lite0",
    "smp": "tf_efficientnet_lite0",
    "segformer": "nvidia/mit-b0",
    "mask2former": "facebook/mask2former-swin-tiny-ade-semantic",
}
PLACES = {"weights", "offline"}  # fields that decide no result
FROZEN: Any = {"pretrained": True, "iterations": 300, "lr": 3e-3}  # defaults of this network
FROZEN_TAKES = ("network", "backbone", "weights", "offline", "scale", "head", *FROZEN, "precision", "deterministic")


class SegmenterSettings(Settings):
    """Network, sizes and training. The defaults train in seconds on the drawn street scenes of ``toy``.

    The authors' settings (methods.md 3.1) are ``network="deeplabv3plus", backbone="resnet101", pretrained=True,
    optimizer="sgd_poly", iterations=30000`` with, for Cityscapes, ``lr=0.05, batch_size=8, crop=(768, 768),
    rescale=(1, 1), colour_jitter=0.5`` and, for PASCAL VOC, ``lr=0.1, batch_size=16, crop=(513, 513), rescale=(0.5, 2),
    colour_jitter=0``.

    Attributes:
        head: last layer of the network: ``linear``, or ``cosine`` for MulSpx (unit features and class vectors,
            temperature 0.1).
        keep: weights of the ``last`` iteration, or the ``best`` of validations every `validate_every` iterations, as
            the released code keeps them; then the validation split chooses the model that is judged on it.
        validate_every: iterations between validations, for ``keep="best"``.
        start: every round trains from the ``initial`` weights (released code), or goes on from the ``previous``
            round's (the paper's "updated").
        network: ``light``, an encoder-decoder for training from scratch without a GPU; ``frozen``, a small head on the
            features of a pretrained backbone, which are computed once per image; ``deeplabv3plus``; ``smp``, of
            segmentation-models-pytorch; ``segformer`` or ``mask2former`` of transformers.
        backbone: of DeepLabV3+ torchvision's ``resnet18``, ``resnet50``, ``resnet101`` and ``mobilenet_v2``, or any
            name of timm, such as ``tf_efficientnet_lite0`` or ``resnet50.a1_in1k``, which ``light`` (in place of its
            own encoder), ``frozen`` and ``smp`` take too; of ``segformer`` and ``mask2former`` a name on the hub.
        architecture: of ``smp``.
        pretrained: whether the backbone starts from ImageNet weights, in every round; where timm's are found says
            `a2lc.segmenter.pretrained`. Always so for ``frozen``.
        weights: file or folder of the backbone's weights; not part of a run's identity, their SHA-256 is checked.
        offline: whether weights are never downloaded; not part of a run's identity.
        scale: size in training and prediction relative to the image, > 0; 1 is the image's own size.
        crop: (height, width) of training crops after rescaling, in scaled pixels, >= 16; None: whole images (a batch is
            padded to its largest image).
        batch_size: crops per iteration, >= 2.
        iterations: optimiser steps, >= 1.
        optimizer: ``sgd_poly``: SGD, momentum 0.9, weight decay 1e-4, learning rate x (1 - t/T)^0.9 down to 1e-6, a
            tenth of it in the backbone, whose batch norm keeps running statistics with momentum 0.01 (the authors'
            recipe); ``muon_onecycle``: Muon for the convolutions, AdamW for the rest, one cycle of the learning rate
            (for training from scratch); ``adamw_poly``: AdamW, weight decay 1e-5, polynomial decay, a tenth of `lr` in
            the backbone (the recipe of MulSpx).
        lr: peak learning rate, > 0.
        colour_jitter: strength of random brightness, contrast and saturation, in [0, 1]; 0: none.
        rescale: (smallest, largest) factor of the random enlargement of training images, > 0.
        flip: whether images are mirrored at random.
        mean, std: RGB mean and standard deviation that pixels in [0, 1] are normalised with; those of timm's pretrained
            backbones come with the weights.
        precision: of the convolutions; ``auto``: bfloat16 where the processor multiplies it fast, else float32.
            Weights, losses and probabilities are float32 always, and so is all of ``frozen``.
        deterministic: whether a GPU gives the same numbers every time on the same machine; False: the fastest kernels
            and TF32. The CPU computes the same either way.
        compile: whether ``torch.compile`` makes kernels for the network, which takes minutes and saves time after that.
    """

    network: Literal["light", "frozen", "deeplabv3plus", "smp", "segformer", "mask2former"] = "light"
    backbone: str = Field("resnet18", pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$")
    architecture: Literal[
        "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet"
    ] = "unet"
    pretrained: bool = Field(False, strict=True)
    weights: Folder | None = None
    offline: bool = Field(False, strict=True)
    scale: Positive = 1.0
    crop: tuple[Side, Side] | None = None
    batch_size: int = Field(8, ge=2, strict=True)
    iterations: int = Field(80, ge=1, strict=True)
    optimizer: Literal["sgd_poly", "adamw_poly", "muon_onecycle"] = "muon_onecycle"
    lr: Positive = 0.1
    head: Literal["linear", "cosine"] = "linear"
    keep: Annotated[
        Literal["last", "best"],
        Deviation("D17", "–", "the best of 300 validations, so the validation split chooses the model", "`best`"),
    ] = "last"
    validate_every: int = Field(100, ge=1, strict=True)
    start: Annotated[
        Literal["initial", "previous"],
        Deviation("D22", "the model is updated", "every round trains from ImageNet weights"),
    ] = "initial"
    colour_jitter: float = Field(0.0, ge=0, le=1, strict=True)
    rescale: tuple[Positive, Positive] = (0.75, 1.5)
    flip: bool = Field(True, strict=True)
    mean: Colour = IMAGENET["mean"]
    std: tuple[Positive, Positive, Positive] = IMAGENET["std"]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: bool = Field(False, strict=True)
    compile: bool = Field(False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_network(cls, fields: Any) -> Any:
        network = fields.get("network") if isinstance(fields, dict) else None
        if isinstance(network, str) and network in BACKBONES:
            fields = {"backbone": BACKBONES[network], **(FROZEN if network == "frozen" else {}), **fields}
        return fields

    @model_validator(mode="after")
    def _fits_together(self) -> SegmenterSettings:
        if self.rescale[0] > self.rescale[1]:
            raise ValueError(f"rescale: expected (smallest, largest), found {self.rescale}")
        if self.pretrained and self.network == "light" and not self.from_timm:
            raise ValueError("pretrained: there are no ImageNet weights for network 'light', expected False")
        if ("/" in self.backbone) and self.network not in ("segformer", "mask2former"):
            raise ValueError(f"backbone: expected a name of timm, found {self.backbone!r}")
        if self.pretrained and self.from_timm and (self.mean, self.std) != (IMAGENET["mean"], IMAGENET["std"]):
            raise ValueError("mean, std: come with the weights of a pretrained backbone, expected none here")
        if self.network == "frozen":
            if not self.pretrained:
                raise ValueError("pretrained: network 'frozen' is made of ImageNet weights, expected True")
            chosen = self.model_dump(exclude_defaults=True)
            if others := [name for name in chosen if name not in FROZEN_TAKES]:
                takes = ", ".join(FROZEN_TAKES[1:])
                raise ValueError(f"network: 'frozen' takes {takes}, found {', '.join(others)}")
        return self

    @property
    def optional_modules(self) -> tuple[str, ...]:
        """What the network imports of the extras ``pretrained`` and ``networks``."""
        if self.network in ("segformer", "mask2former"):
            return (TRANSFORMERS,)
        return (*((TIMM,) if self.from_timm else ()), *((SMP,) if self.network == "smp" else ()))

    @property
    def from_timm(self) -> bool:
        """Whether the backbone is one of timm's. `light` has an encoder of its own under torchvision's names."""
        if self.network in ("light", "deeplabv3plus"):
            return self.backbone not in TORCHVISION
        return self.network in ("frozen", "smp")
