"""Segment Anything turns boxes into soft proposals: its three masks, weighed by how good it thinks they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from a2lc.referring.priors.base import cells
from a2lc.referring.priors.shapes import box_cover

TEMPERATURE, SHARPNESS = 1.0, 0.1  # of the masks' logits, and of the weights of the three
GROW = 0.1  # of a box's sides: outside there is nothing


class SamShaper:
    """Asks a ``SamModel`` of transformers.

    Args:
        model: the model.
        processor: its ``SamProcessor``.
        name: of the weights, with their revision.
        device: where to run it.
    """

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device) -> None:
        self.model, self.processor, self.name, self.device = model.to(device).eval(), processor, name, device
        self._seen: tuple[np.ndarray, torch.Tensor] | None = None

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        from transformers import __version__

        about = {"model": "sam", "weights": self.name, "transformers": __version__}
        return about | {"temperature": TEMPERATURE, "sharpness": SHARPNESS, "grow": GROW}

    @torch.inference_mode()
    def shape(self, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Shaper.shape`; an image is encoded once for all sentences about it that follow each other."""
        inputs = self.processor(images=image, input_boxes=[boxes.tolist()], return_tensors="pt").to(self.device)
        if self._seen is None or self._seen[0] is not image:
            self._seen = (image, self.model.get_image_embeddings(inputs["pixel_values"]))
        boxes_in = inputs["input_boxes"].to(torch.float32)
        out = self.model(image_embeddings=self._seen[1], input_boxes=boxes_in, multimask_output=True)
        logits, sure = out.pred_masks[0].float(), out.iou_scores[0].float()  # (k, 3, h', w'), (k, 3)
        weights = (sure / SHARPNESS).softmax(-1)
        soft = (weights[..., None, None] * (logits / TEMPERATURE).sigmoid()).sum(1)  # (k, h', w')
        high, wide = (int(value) for value in inputs["reshaped_input_sizes"][0])
        whole = inputs["pixel_values"].shape[-2:]  # the image fills its upper left part
        rows, columns = (round(soft.shape[i + 1] * (high, wide)[i] / whole[i]) for i in (0, 1))
        size = (image.shape[0], image.shape[1])
        found = F.interpolate(soft[:, None, :rows, :columns], cells(size), mode="bilinear", align_corners=False)[:, 0]
        inside = np.stack([box_cover(box[None], size, GROW) for box in boxes])
        best = (weights * sure).sum(-1).clamp(0, 1)
        return np.asarray(found.cpu().numpy() * inside, np.float32), best.cpu().numpy()
