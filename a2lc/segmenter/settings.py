"""Everything that decides what a segmenter is and how it is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from a2lc.settings import Deviation, Settings

Positive = Annotated[float, Field(gt=0)]
Colour = tuple[float, float, float]


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
        network: ``light``, an encoder-decoder for training from scratch without a GPU, or ``deeplabv3plus``.
        backbone: of DeepLabV3+.
        pretrained: whether the backbone starts from torchvision's ImageNet weights (downloaded once), in every round.
        scale: size in training and prediction relative to the image, > 0; 1 is the image's own size.
        crop: (height, width) of training crops after rescaling, in scaled pixels; None: whole images (a batch is padded
            to its largest image).
        batch_size: crops per iteration.
        iterations: optimiser steps.
        optimizer: ``sgd_poly``: SGD, momentum 0.9, weight decay 1e-4, learning rate x (1 - t/T)^0.9 down to 1e-6, a
            tenth of it in the backbone, whose batch norm keeps running statistics with momentum 0.01 (the authors'
            recipe); ``muon_onecycle``: Muon for the convolutions, AdamW for the rest, one cycle of the learning rate
            (for training from scratch); ``adamw_poly``: AdamW, weight decay 1e-5, polynomial decay, a tenth of `lr` in
            the backbone (the recipe of MulSpx).
        lr: peak learning rate.
        colour_jitter: strength of random brightness, contrast and saturation, in [0, 1]; 0: none.
        rescale: range of the random enlargement of training images.
        flip: whether images are mirrored at random.
        mean, std: RGB mean and standard deviation that pixels in [0, 1] are normalised with.
        precision: of the convolutions; ``auto``: bfloat16 where the processor multiplies it fast, else float32.
            Weights, losses and probabilities are float32 always.
        deterministic: on a GPU, the same numbers every time on the same machine (strict), or the fastest kernels and
            TF32 (fast). The CPU computes the same either way.
        compile: whether ``torch.compile`` makes kernels for the network, which takes minutes and saves time after that.
    """

    network: Literal["light", "deeplabv3plus"] = "light"
    backbone: Literal["resnet18", "resnet50", "resnet101", "mobilenet_v2"] = "resnet18"
    pretrained: bool = Field(False, strict=True)
    scale: Positive = 1.0
    crop: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] | None = None
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
    colour_jitter: float = Field(0.0, ge=0, le=1)
    rescale: tuple[Positive, Positive] = (0.75, 1.5)
    flip: bool = Field(True, strict=True)
    mean: Colour = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: bool = Field(False, strict=True)
    compile: bool = Field(False, strict=True)

    @model_validator(mode="after")
    def _fits_together(self) -> SegmenterSettings:
        if self.rescale[0] > self.rescale[1]:
            raise ValueError(f"segmenter.rescale: expected (smallest, largest), found {self.rescale}")
        if self.pretrained and self.network == "light":
            raise ValueError("segmenter.pretrained: there are no ImageNet weights for network 'light', expected False")
        return self
