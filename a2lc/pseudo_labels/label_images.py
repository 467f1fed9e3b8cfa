"""Grounded-SAM: from images and class names to masks with pseudo-labels, resumable image by image.

Text prompt from the class list -> boxes (GroundingDINO) -> one mask per box (Segment Anything) -> an object map that is
painted largest mask first. What no mask covers is background where the class list has one (PASCAL VOC), else unlabelled
(Cityscapes); that holds for images without any box, too (the released code makes those one void mask, deviation D9).

The parts: `prompts`, `grounding_dino`, `box_masks`, `mask_folder`, `weights`. The packages of ``a2lc[grounded-sam]``
are imported where they are used: ``import a2lc`` works without them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from a2lc.datasets.base import Classes, Split, bit_palette
from a2lc.files import locked
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.box_masks import BoxSegmenter, Painter, check_sam, load_sam
from a2lc.pseudo_labels.grounding_dino import Detector, input_shape, load_grounding_dino
from a2lc.pseudo_labels.mask_folder import COLUMNS, PseudoLabelFolder, as_split, shape_columns, table_of
from a2lc.pseudo_labels.packages import Machine, half_precision, quiet, require_packages
from a2lc.pseudo_labels.prompts import ClassPrompt, build_prompt, written_names
from a2lc.pseudo_labels.weights import WEIGHTS, find_bert, weights_status

DETECTOR = "groundingdino_swint_ogc"
BOX_THRESHOLD = 0.2  # of the released code, both datasets
INPUT_SIZE = (800, 1333)  # of GroundingDINO and of the released code for PASCAL VOC
INPUT_SIZES = {"cityscapes": (512, 1024)}  # dataset -> the size in the released code, where it is another


@dataclass(frozen=True)
class Models:
    """Networks that are built already, such as fine-tuned ones.

    Attributes:
        detector: a GroundingDINO with its tokenizer.
        sam: a Sam.
        identity: says which weights these are; a folder begun with others is refused.
    """

    detector: torch.nn.Module
    sam: torch.nn.Module
    identity: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """What decides the masks, apart from images and classes; see `grounded_sam`."""

    rule: str
    box_threshold: float
    input_size: Sequence[int]
    sam: str
    precision: str
    synonyms: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        if not 0 <= self.box_threshold < 1:
            raise ValueError(f"box_threshold: expected a probability in [0, 1), found {self.box_threshold}")
        if len(self.input_size) != 2 or not 32 <= self.input_size[0] <= self.input_size[1]:
            raise ValueError(f"input_size: expected shorter side >= 32 and longest side, found {self.input_size}")
        check_sam(self.sam)

    def identity(self, classes: Classes, models: Models | None) -> dict[str, Any]:
        """As JSON values, with classes and weights."""
        weights = {name: WEIGHTS[name].sha256 for name in (DETECTOR, self.sam)}
        return {
            "classes": list(classes.names),
            "background": classes.background,
            "ignore_index": classes.ignore_index,
            "synonyms": {name: list(names) for name, names in self.synonyms.items()},
            "rule": self.rule,
            "box_threshold": self.box_threshold,
            "input_size": list(self.input_size),
            "precision": self.precision,
            "weights": weights if models is None else dict(models.identity),
        }


def grounded_sam(
    images: Split | str | os.PathLike[str],
    classes: Classes | Sequence[str],
    out: str | os.PathLike[str],
    *,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    rule: str = "spans",
    box_threshold: float = BOX_THRESHOLD,
    input_size: Sequence[int] = INPUT_SIZE,
    sam: str = "sam_vit_h",
    precision: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    offline: bool = False,
    device: str = "auto",
    skip_bad: bool = False,
    progress: bool = True,
    models: Models | None = None,
) -> MaskSet:
    """Label images with Grounded-SAM, or continue where it stopped; a finished folder is returned at once.

    Args:
        images: a split of a dataset, or a folder of jpg and png images (grey ones and alpha channels are taken as RGB).
        classes: the class list; names alone mean that uncovered pixels have no label.
        out: where object maps, labels, the mask table and a manifest go; layout in `a2lc.pseudo_labels.mask_folder`.
        synonyms: class -> further names to ask for.
        rule: how tokens become classes: ``spans``, or ``argmax`` as released (`a2lc.pseudo_labels.prompts`).
        box_threshold: boxes that score higher are kept, in [0, 1).
        input_size: pixels of the shorter side of the detector's input, and at most of the longer one (`INPUT_SIZES`).
        sam: ``sam_vit_h`` as released, or the smaller ``sam_vit_l``, ``sam_vit_b``.
        precision: ``auto`` (bfloat16 or float16 on an NVIDIA GPU, else float32), ``float32`` (as released),
            ``bfloat16`` or ``float16``.
        weights: folder of pretrained weights (`a2lc.pseudo_labels.weights`); missing ones are downloaded into it.
        offline: never download.
        device: auto, cpu, cuda or mps.
        skip_bad: leave unreadable images out, and count them in the manifest, instead of stopping.
        progress: print the prompt -> class table and show a bar.
        models: networks to use in place of the published weights.

    Returns:
        The masks of all images that could be read. Their table has more columns than usual: phrase (the name a box
        answers to), score in [0, 1], and x0, y0, x1, y1 (the box in pixels). Boxes whose masks smaller ones hide are in
        ``masks.parquet`` only, with area 0.

    Raises:
        ValueError: a setting or a class name cannot be used; an image is unreadable; `out` holds masks of other
            settings; weights have the wrong checksum.
        FileNotFoundError: an image or weights are missing; says where to put them.
        ImportError: the packages of ``a2lc[grounded-sam]`` are missing.
        OSError: the disk is full.
        RuntimeError: memory does not suffice for a single box.
    """
    split, classes = as_split(images), _as_classes(classes)
    settings = Settings(rule, box_threshold, input_size, sam, precision, synonyms or {})
    written_names(classes, settings.synonyms, rule)
    with locked(out):
        folder = PseudoLabelFolder(out, classes, settings.identity(classes, models))
        work = _Labeller(classes, settings, models, Machine(device, precision, weights, offline, progress))
        return folder.masks(folder.fill(split, work, "Grounded-SAM", skip_bad, progress))


def grounded_sam_status(
    weights: str | os.PathLike[str] | None = None, device: torch.device | None = None
) -> dict[str, str]:
    """What of Grounded-SAM is usable on this machine, and what to do about the rest: for ``a2lc doctor``."""
    where = torch.device("cpu") if device is None else device
    try:
        require_packages()
        precision = str(half_precision("auto", where)).removeprefix("torch.")
        slow = " (slow, a minute or two an image; --sam sam_vit_b is the quickest)" if where.type == "cpu" else ""
        rows = {"Grounded-SAM": f"usable with its weights on {where} in {precision}{slow}"}
    except ImportError as error:
        rows = {"Grounded-SAM": f"not usable: {error}"}
    return rows | weights_status(weights)


class _Labeller:
    """Turns images into object maps and tables; loads the networks when the first image comes."""

    def __init__(self, classes: Classes, settings: Settings, models: Models | None, machine: Machine) -> None:
        self.classes = classes
        self.settings = settings
        self.models = models
        self.machine = machine

    def check(self, image: NDArray[np.uint8]) -> None:
        """Raise ValueError where the detector cannot read an (H, W, 3) image."""
        input_shape(image.shape, self.settings.input_size)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], pd.DataFrame]:
        """(H, W, 3) uint8 -> object map (H, W) int32 and a table with a row per box."""
        detector, segmenter = self._networks
        found = detector(image)
        painter = Painter(image.shape[0], image.shape[1], self.machine.device)
        if len(found):
            for masks in segmenter.masks(image, found.boxes):
                painter.add(masks)
        objects = painter.object_map()
        answers = {
            "label": found.labels,
            "class": [self.classes.names[label] for label in found.labels],
            "phrase": list(found.phrases),
            "score": found.scores,
        }
        shapes = shape_columns(found.boxes.numpy().round(2), painter.areas, objects)
        return objects, table_of(answers | shapes, COLUMNS)

    @property
    def about(self) -> dict[str, Any]:
        """What a manifest says of this machine and of the prompt."""
        prompt = self._networks[0].prompt
        return {**self.machine.about, "captions": list(prompt.captions), "prompt": prompt.table.to_dict("records")}

    @cached_property
    def _networks(self) -> tuple[Detector, BoxSegmenter]:
        require_packages()
        machine = self.machine
        if self.models is not None:
            prompt = self._prompt(self.models.detector.tokenizer)
            detector, sam = self.models.detector, self.models.sam
        else:
            from transformers import AutoTokenizer

            bert = find_bert(machine.weights, offline=machine.offline)
            with quiet():
                tokenizer = AutoTokenizer.from_pretrained(bert)
            prompt = self._prompt(tokenizer)
            files = [machine.file(name) for name in (DETECTOR, self.settings.sam)]  # both are found before one is read
            detector, sam = load_grounding_dino(files[0], bert), load_sam(files[1], self.settings.sam)
        limits, run_on = (self.settings.box_threshold, self.settings.input_size), (machine.device, machine.dtype)
        return Detector(detector, prompt, *limits, *run_on), BoxSegmenter(sam, *run_on)

    def _prompt(self, tokenizer: Any) -> ClassPrompt:
        prompt = build_prompt(self.classes, tokenizer, self.settings.synonyms, self.settings.rule)
        if self.machine.progress:
            tqdm.write(prompt.report())
        return prompt


def _as_classes(classes: Classes | Sequence[str]) -> Classes:
    if isinstance(classes, Classes):
        return classes
    if isinstance(classes, str):
        raise ValueError(f"classes: expected a list of names, found the text {classes!r}")
    return Classes(tuple(classes), bit_palette(len(classes) + 1)[1:])
