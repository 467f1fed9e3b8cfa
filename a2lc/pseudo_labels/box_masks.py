"""Segment Anything: its weights, from boxes to masks, and from masks to one object map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a2lc.machine import empty_cache, halved
from a2lc.pseudo_labels.packages import SAM_ONLY, autocast, require_packages
from a2lc.pseudo_labels.weights import load_state

SEGMENTERS = ("sam_vit_h", "sam_vit_l", "sam_vit_b")
CHUNK = 64  # boxes decoded at once, at first


class BoxSegmenter:
    """One mask per box.

    Args:
        sam: a Sam network, moved to `device`.
        device: where it runs.
        dtype: of matrix products in the image encoder; masks are decoded in float32.

    Attributes:
        chunk: boxes decoded at once; halved whenever memory runs out, and kept so for the images that follow.
    """

    def __init__(self, sam: torch.nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device = device
        self.chunk = CHUNK
        self._predictor = sam_predictor(sam, device, dtype)

    def masks(self, image: NDArray[np.uint8], boxes: torch.Tensor) -> Iterator[torch.Tensor]:
        """Masks of an (H, W, 3) RGB image, whose embedding is computed once.

        Args:
            image: (H, W, 3) uint8.
            boxes: (n, 4) float32: x0, y0, x1, y1 in pixels.

        Yields:
            (m, H, W) bool on `device`, chunk after chunk until all n boxes are answered.

        Raises:
            RuntimeError: memory does not even suffice for one box.
        """
        self._predictor.set_image(image)
        scaled = self._predictor.transform.apply_boxes_torch(boxes, image.shape[:2])  # to the network's input
        start = 0
        while start < len(boxes):
            masks = self._decode(scaled[start : start + self.chunk])
            if masks is not None:
                start += len(masks)
                yield masks
        self._predictor.reset_image()

    def _decode(self, boxes: torch.Tensor) -> torch.Tensor | None:
        """(m, H, W) bool; None where memory ran out: the next chunk is half as large."""
        try:
            with torch.inference_mode():
                masks, _, _ = self._predictor.predict_torch(
                    None, None, boxes=boxes.to(self.device), multimask_output=False
                )
            return masks[:, 0]
        except RuntimeError as error:
            self.chunk = halved(len(boxes), error, self.device, "the mask of one box")
        empty_cache(self.device)
        return None


class Painter:
    """An object map that is painted largest mask first, so that small masks stay visible; of masks of equal size the
    later one is on top (as in the released code, which sorts stably). Masks need not be kept: a pixel belongs to the
    smallest mask that covers it.

    Args:
        height, width: of the image.
        device: where the masks are.

    Attributes:
        areas: pixels of each mask added so far, before others hide parts of it.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._ids = torch.zeros(height, width, dtype=torch.int32, device=device)
        self._smallest = torch.full_like(self._ids, torch.iinfo(torch.int32).max)
        self.areas: list[int] = []

    def add(self, masks: torch.Tensor) -> None:
        """Paint (n, H, W) bool masks; the k-th mask of all that were ever added gets the id k, from 1."""
        areas = masks.sum((1, 2), dtype=torch.int32)  # (n,)
        for number, (mask, area) in enumerate(zip(masks, areas, strict=True), start=len(self.areas) + 1):
            on_top = mask & (area <= self._smallest)
            self._smallest = torch.where(on_top, area, self._smallest)
            self._ids.masked_fill_(on_top, number)
        self.areas += areas.tolist()

    def object_map(self) -> NDArray[np.int32]:
        """(H, W) int32 ids; 0 = covered by no mask. A mask that smaller ones hide altogether does not occur."""
        return self._ids.cpu().numpy()


def check_sam(name: str) -> None:
    """Raise ValueError where `name` is none of the published networks."""
    if name not in SEGMENTERS:
        raise ValueError(f"sam: expected one of {', '.join(SEGMENTERS)}, found {name!r}")


def load_sam(weights: Path, name: str) -> torch.nn.Module:
    """Segment Anything with its published weights, on the CPU.

    Args:
        weights: the checked file (`find_weights`).
        name: ``sam_vit_h``, ``sam_vit_l`` or ``sam_vit_b``.

    Raises:
        ImportError: a package is missing.
        ValueError: the file is damaged or holds another network.
    """
    require_packages(SAM_ONLY)
    from segment_anything import sam_model_registry

    sam = sam_model_registry[name.removeprefix("sam_")]()
    try:
        sam.load_state_dict(load_state(weights))
    except RuntimeError as error:
        raise ValueError(f"{weights}: holds another network than {name} ({error})") from error
    return sam.eval()


def sam_predictor(sam: torch.nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
    """The package's SamPredictor, with its image encoder in `dtype` and the rest in float32: points too, which the
    package has in float64, unknown to Apple's devices.
    """
    from segment_anything import SamPredictor
    from segment_anything.utils.transforms import ResizeLongestSide

    class Resize(ResizeLongestSide):
        def apply_coords(self, coords: NDArray[np.floating], original_size: tuple[int, ...]) -> NDArray[np.float32]:
            return super().apply_coords(coords, original_size).astype(np.float32)

    class Predictor(SamPredictor):
        def set_torch_image(self, transformed_image: torch.Tensor, original_image_size: tuple[int, ...]) -> None:
            with torch.inference_mode(), autocast(device, dtype):
                super().set_torch_image(transformed_image, original_image_size)
            self.features: torch.Tensor = self.features.float()

    predictor = Predictor(sam.to(device).eval())
    predictor.transform = Resize(predictor.transform.target_length)
    return predictor
