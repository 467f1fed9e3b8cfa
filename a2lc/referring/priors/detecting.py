"""GroundingDINO and CLIPSeg: no language models, so the lower bar; boxes of one, a map of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from a2lc.referring.priors.base import Located, Request
from a2lc.referring.priors.batched import BatchedLocator
from a2lc.referring.priors.generating import first_lines

LEAST_SURE = 0.2  # boxes and cells that score less are none
WORDINGS = ("{sentence}", "a photo of {sentence}")
ASKED: dict[str, Any] = {"prompts": list(WORDINGS), "least": LEAST_SURE}


class DinoLocator(BatchedLocator):
    """Asks a ``GroundingDinoForObjectDetection`` of transformers: the boxes whose best word scores highest."""

    kind = "grounding-dino"
    asked: ClassVar[dict[str, Any]] = ASKED

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request]) -> list[Located]:
        texts = [
            WORDINGS[r.asking == 2].format(sentence=first_lines(r.sentence).lower().rstrip(". ")) for r in requests
        ]
        images = [request.image for request in requests]
        options = {"padding": True, "truncation": True, "return_tensors": "pt"}
        inputs = self.processor(images=images, text=[f"{text}." for text in texts], **options).to(self.device)
        outputs = self.model(**inputs)
        scores = outputs.logits.float().sigmoid().amax(-1).cpu().numpy()  # (n, queries)
        boxes = outputs.pred_boxes.float().cpu().numpy()  # (n, queries, 4) middle and sides, as shares
        found = []
        for request, sure, box in zip(requests, scores, boxes, strict=True):
            high, wide = request.image.shape[:2]
            kept = sure >= LEAST_SURE
            corners = np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1)
            found.append(Located.of(corners[kept] * [wide, high, wide, high], sure[kept], (high, wide)))
        return found


class ClipSegLocator(BatchedLocator):
    """Asks a ``CLIPSegForImageSegmentation``: a map, and the box around its certain part."""

    kind = "clipseg"
    asked: ClassVar[dict[str, Any]] = ASKED

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request]) -> list[Located]:
        texts = [WORDINGS[r.asking == 2].format(sentence=first_lines(r.sentence)) for r in requests]
        images = self.processor.image_processor([request.image for request in requests], return_tensors="pt")
        words = self.processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        logits = self.model(**images.to(self.device), **words.to(self.device)).logits.float()
        heats = logits.reshape(len(requests), *logits.shape[-2:]).sigmoid().cpu().numpy()  # (n, h, w)
        return [_around(heat, (r.image.shape[0], r.image.shape[1])) for r, heat in zip(requests, heats, strict=True)]


def _around(heat: np.ndarray, size: tuple[int, int]) -> Located:
    """A map (h, w) of an image of `size` with the box around where it is over one half."""
    ys, xs = np.nonzero(heat > 0.5)
    if not len(ys):
        return Located.nothing()
    rows, columns = size[0] / heat.shape[0], size[1] / heat.shape[1]
    box = np.array([[xs.min() * columns, ys.min() * rows, (xs.max() + 1) * columns, (ys.max() + 1) * rows]])
    return Located.of(box, np.array([heat[heat > 0.5].mean()]), size, heat)
