"""What all frozen models have in common: they are asked in batches, and say which they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from a2lc.referring.priors.base import Located, Request


class BatchedLocator:
    """A model of transformers that is asked `batch` requests at a time.

    Args:
        model: of the class that the subclass names.
        processor: its processor.
        name: of the weights, with their revision.
        device: where to run it.
        batch: requests answered at once.
    """

    kind: ClassVar[str]
    asked: ClassVar[dict[str, Any]]  # what else an answer depends on: prompts and constants

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, batch: int = 8) -> None:
        self.model, self.processor, self.name = model.to(device).eval(), processor, name
        self.device, self.batch = device, batch

    def identity(self) -> dict[str, Any]:
        """See `Locator.identity`."""
        from transformers import __version__

        return {"model": self.kind, "weights": self.name, "transformers": __version__} | self.asked

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        """See `Locator.locate`; an answer that cannot be read is nothing found."""
        found: list[Located] = []
        for start in range(0, len(requests), self.batch):
            found += self._batch(requests[start : start + self.batch])
        return found

    def _batch(self, requests: Sequence[Request]) -> list[Located]:
        raise NotImplementedError
