"""Florence-2: a small model that writes the outline of what a sentence names as marks of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from a2lc.referring.priors.base import Located, Request
from a2lc.referring.priors.batched import BatchedLocator
from a2lc.referring.priors.generating import first_lines, generate
from a2lc.referring.priors.reading import read_location_marks

TASK = "<REFERRING_EXPRESSION_SEGMENTATION>"
WORDINGS = ("{sentence}", "{sentence} in this picture")
NEW_TOKENS = 256


class FlorenceLocator(BatchedLocator):
    """Asks a ``Florence2ForConditionalGeneration`` with its ``Florence2Processor``."""

    kind = "florence-2"
    asked: ClassVar[dict[str, Any]] = {"prompts": [TASK + wording for wording in WORDINGS], "new_tokens": NEW_TOKENS}

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
