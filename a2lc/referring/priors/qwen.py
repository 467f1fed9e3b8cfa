"""Qwen2.5-VL: a multimodal language model that writes boxes as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from a2lc.referring.priors.base import Located, Request
from a2lc.referring.priors.generating import first_lines, generate
from a2lc.referring.priors.reading import read_json_boxes

PROMPTS = (
    'Locate "{sentence}" in this image and answer with one JSON list: [{{"bbox_2d": [x0, y0, x1, y1]}}]',
    'Where is "{sentence}"? Give its bounding box as a JSON list: [{{"bbox_2d": [x0, y0, x1, y1]}}]',
)
CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><|image_pad|><|vision_end|>{prompt}<|im_end|>\n<|im_start|>assistant\n"
)
NEW_TOKENS = 64


class QwenLocator:
    """Asks a Qwen2.5-VL.

    Args:
        model: a ``Qwen2_5_VLForConditionalGeneration``.
        processor: its ``Qwen2_5_VLProcessor``.
        name: of the weights, with their revision.
        device: where to run it.
        batch: requests answered at once.
    """

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, batch: int = 8) -> None:
        self.model, self.processor, self.name = model.to(device).eval(), processor, name
        self.device, self.batch = device, batch
        processor.tokenizer.padding_side = "left"  # what is generated follows the last word of every prompt

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        from transformers import __version__

        about = {"model": "qwen2.5-vl", "weights": self.name, "transformers": __version__}
        return about | {"prompts": list(PROMPTS), "new_tokens": NEW_TOKENS}

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """See `Locator.locate`; what is no JSON of boxes is nothing found."""
        found: list[Located] = []
        for start in range(0, len(requests), self.batch):
            found += self._batch(requests[start : start + self.batch])
        return found

    def _batch(self, requests: Sequence[Request]) -> list[Located]:
        texts = [CHAT.format(prompt=PROMPTS[r.asking == 2].format(sentence=first_lines(r.sentence))) for r in requests]
        images = [request.image for request in requests]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt").to(self.device)
        answers, scores = generate(self.model, self.processor.tokenizer, inputs, NEW_TOKENS)
        cell = self.processor.image_processor.patch_size
        found = []
        grids = inputs["image_grid_thw"].tolist()
        for request, text, score, (_, rows, columns) in zip(requests, answers, scores, grids, strict=True):
            size = (request.image.shape[0], request.image.shape[1])
            found.append(read_json_boxes(text, (rows * cell, columns * cell), size, score))
        return found
