"""Florence-2: a small model that writes the outline of what a sentence names as marks of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from a2lc.referring.priors.base import Located, Request
from a2lc.referring.priors.generating import first_lines, generate
from a2lc.referring.priors.reading import read_location_marks

TASK = "<REFERRING_EXPRESSION_SEGMENTATION>"
WORDINGS = ("{sentence}", "{sentence} in this picture")
NEW_TOKENS = 256


class FlorenceLocator:
    """Asks a Florence-2.

    Args:
        model: a ``Florence2ForConditionalGeneration``.
        processor: its ``Florence2Processor``.
        name: of the weights, with their revision.
        device: where to run it.
        batch: requests answered at once.
    """

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, batch: int = 8) -> None:
        self.model, self.processor, self.name = model.to(device).eval(), processor, name
        self.device, self.batch = device, batch

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        from transformers import __version__

        about = {"model": "florence-2", "weights": self.name, "transformers": __version__}
        return about | {"prompts": [TASK + wording for wording in WORDINGS], "new_tokens": NEW_TOKENS}

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """See `Locator.locate`; what is no outline is nothing found."""
        found: list[Located] = []
        for start in range(0, len(requests), self.batch):
            found += self._batch(requests[start : start + self.batch])
        return found

    def _batch(self, requests: Sequence[Request]) -> list[Located]:
        texts = [TASK + WORDINGS[r.asking == 2].format(sentence=first_lines(r.sentence)) for r in requests]
        images = [request.image for request in requests]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt").to(self.device)
        answers, scores = generate(self.model, self.processor.tokenizer, inputs, NEW_TOKENS, skip_special=False)
        found = []
        for request, text, score in zip(requests, answers, scores, strict=True):
            size = (request.image.shape[0], request.image.shape[1])
            found.append(read_location_marks(text, size, score))
        return found
