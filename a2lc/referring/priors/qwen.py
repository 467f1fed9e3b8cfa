"""Qwen2.5-VL: a multimodal language model that writes boxes as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from a2lc.referring.priors.base import Located, Request
from a2lc.referring.priors.batched import BatchedLocator
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


class QwenLocator(BatchedLocator):
    """Asks a ``Qwen2_5_VLForConditionalGeneration`` with its ``Qwen2_5_VLProcessor``."""

    kind = "qwen2.5-vl"
    asked: ClassVar[dict[str, Any]] = {"prompts": list(PROMPTS), "new_tokens": NEW_TOKENS}

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, batch: int = 8) -> None:
        super().__init__(model, processor, name, device, batch)
        processor.tokenizer.padding_side = "left"  # what is generated follows the last word of every prompt

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
