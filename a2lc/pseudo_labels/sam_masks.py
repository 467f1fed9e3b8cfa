"""Masks without labels: Segment Anything alone, asked about a grid of points, for labels of one's own to be corrected
mask by mask (`a2lc.pseudo_labels.own_labels`).

The masks are those of the package's SamAutomaticMaskGenerator; they overlap, so each image gets one object map that is
painted largest mask first.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from a2lc.datasets.base import Split
from a2lc.files import locked
from a2lc.machine import empty_cache, halved
from a2lc.pseudo_labels.box_masks import CHUNK, Painter, check_sam, load_sam, sam_predictor
from a2lc.pseudo_labels.mask_folder import UNLABELLED, MaskFolder, as_split, shape_columns, table_of
from a2lc.pseudo_labels.packages import SAM_ONLY, Machine, require_packages
from a2lc.pseudo_labels.weights import WEIGHTS

MOST_POINTS = 128  # per side: with three masks each the ids fit into 16 bits


@dataclass(frozen=True)
class GridSettings:
    """What decides the masks, apart from the images; see `sam_object_maps`.

    Raises:
        ValueError: an unknown network, or a number out of its range.
    """

    sam: str
    points_per_side: int
    min_score: float
    min_stability: float
    precision: str

    def __post_init__(self) -> None:
        check_sam(self.sam)
        if not 1 <= self.points_per_side <= MOST_POINTS:
            raise ValueError(f"points_per_side: expected 1 to {MOST_POINTS}, found {self.points_per_side}")
        for name in ("min_score", "min_stability"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number in [0, 1), found {getattr(self, name)}")

    def identity(self, model: torch.nn.Module | None) -> dict[str, Any]:
        """As JSON values, with the weights."""
        weights = {self.sam: WEIGHTS[self.sam].sha256} if model is None else {"given": _hash(model)}
        return {
            "points_per_side": self.points_per_side,
            "min_score": self.min_score,
            "min_stability": self.min_stability,
            "precision": self.precision,
            "weights": weights,
        }


def sam_object_maps(
    images: Split | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    sam: str = "sam_vit_h",
    points_per_side: int = 32,
    min_score: float = 0.88,
    min_stability: float = 0.95,
    precision: str = "auto",
    weights: str | os.PathLike[str] | None = None,
    offline: bool = False,
    device: str = "auto",
    skip_bad: bool = False,
    progress: bool = True,
    model: torch.nn.Module | None = None,
) -> Path:
    """Cut images into Segment Anything's masks, or continue where it stopped; a finished folder is returned at once.

    Args:
        images: a split of a dataset, or a folder of jpg and png images (grey ones and alpha channels are taken as RGB).
        out: where object maps, the table of masks and a manifest go; layout in `a2lc.pseudo_labels.mask_folder`.
        sam: ``sam_vit_h``, or the smaller ``sam_vit_l``, ``sam_vit_b``.
        points_per_side: 1 to `MOST_POINTS`; the grid has the square of this; up to three masks for each point,
            duplicates left out.
        min_score: masks whose quality the network expects to be higher (IoU) are kept, in [0, 1).
        min_stability: masks that change less with the cut-off (IoU) are kept, in [0, 1).
        precision: ``auto`` (bfloat16 or float16 on an NVIDIA GPU, else float32), ``float32``, ``bfloat16`` or
            ``float16``.
        weights: folder of pretrained weights (`a2lc.pseudo_labels.weights`); missing ones are downloaded into it.
        offline: never download.
        device: auto, cpu, cuda or mps.
        skip_bad: leave unreadable images out, and count them in the manifest, instead of stopping.
        progress: show a bar.
        model: a Sam to use in place of the published weights, such as a fine-tuned one.

    Returns:
        The folder of object maps, ``out/obj_jpg``: what ``a2lc correct --masks`` and `PseudoLabels.object_maps` take.

    Raises:
        ValueError: a setting cannot be used; an image is missing or unreadable; `out` holds masks of other settings;
            weights have the wrong checksum.
        FileNotFoundError: the folder of images or the weights are missing; says where to put them.
        ImportError: the package segment-anything is missing.
        OSError: the disk is full.
        RuntimeError: memory does not suffice for a single point.
    """
    split = as_split(images)
    if model is None:
        require_packages(SAM_ONLY)
    settings = GridSettings(sam, points_per_side, min_score, min_stability, precision)
    with locked(out):
        folder = MaskFolder(out, settings.identity(model), UNLABELLED)
        work = _Cutter(settings, model, Machine(device, precision, weights, offline, progress))
        folder.fill(split, work, "SAM", skip_bad, progress)
    return folder.object_map_file("-").parent


class GridSegmenter:
    """All masks of an image.

    Args:
        sam: a Sam network, moved to `device`.
        settings: grid and thresholds.
        device: where it runs.
        dtype: of matrix products in the image encoder; masks are decoded in float32.

    Attributes:
        chunk: points asked about at once; halved whenever memory runs out, and kept so for the images that follow.
    """

    def __init__(
        self, sam: torch.nn.Module, settings: GridSettings, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        from segment_anything import SamAutomaticMaskGenerator

        self.device = device
        self.chunk = CHUNK
        self._generator = SamAutomaticMaskGenerator(
            sam,
            points_per_side=settings.points_per_side,
            pred_iou_thresh=settings.min_score,
            stability_score_thresh=settings.min_stability,
            output_mode="uncompressed_rle",
        )
        self._generator.predictor = sam_predictor(sam, device, dtype)

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], pd.DataFrame]:
        """(H, W, 3) uint8 -> object map (H, W) int32 and a table with a row per mask, the highest score first.

        Raises:
            RuntimeError: memory does not even suffice for one point.
        """
        from segment_anything.utils.amg import rle_to_mask

        found = None
        while found is None:
            found = self._generate(image)
        found = [mask for mask in found if mask["area"] > 0]
        painter = Painter(image.shape[0], image.shape[1], torch.device("cpu"))
        for mask in found:  # one at a time: all of a large image's would need gigabytes
            painter.add(torch.from_numpy(np.ascontiguousarray(rle_to_mask(mask["segmentation"])))[None])
        objects = painter.object_map()
        corners = np.array([mask["bbox"] for mask in found], dtype=np.float32).reshape(-1, 4)  # x, y, width, height
        corners[:, 2:] += corners[:, :2]
        scores = {
            "score": [mask["predicted_iou"] for mask in found],
            "stability": [mask["stability_score"] for mask in found],
        }
        return objects, table_of(scores | shape_columns(corners, painter.areas, objects), UNLABELLED)

    def _generate(self, image: NDArray[np.uint8]) -> list[dict[str, Any]] | None:
        """The package's records; None where memory ran out: the next try takes half as many points at once."""
        self._generator.points_per_batch = self.chunk
        try:
            with torch.inference_mode():
                return self._generator.generate(image)
        except RuntimeError as error:
            self.chunk = halved(self.chunk, error, self.device, "the masks of one point")
        empty_cache(self.device)
        return None


class _Cutter:
    """Cuts images; the network is loaded when the first one comes."""

    def __init__(self, settings: GridSettings, model: torch.nn.Module | None, machine: Machine) -> None:
        self.settings = settings
        self.model = model
        self.machine = machine
        self._segmenter: GridSegmenter | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What a manifest says of this machine. The network is loaded first: without weights no manifest is written."""
        self._load()
        return self.machine.about

    def check(self, image: NDArray[np.uint8]) -> None:
        """Every image that can be read can be cut."""

    def __call__(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.int32], pd.DataFrame]:
        """As `GridSegmenter`."""
        return self._load()(image)

    def _load(self) -> GridSegmenter:
        """The network, loaded once."""
        if self._segmenter is None:
            require_packages(SAM_ONLY)
            name, sam = self.settings.sam, self.model
            if sam is None:
                sam = load_sam(self.machine.file(name), name)
            self._segmenter = GridSegmenter(sam, self.settings, self.machine.device, self.machine.dtype)
        return self._segmenter


def _hash(model: torch.nn.Module) -> str:
    """SHA-256 over a network's weights, shortened."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
