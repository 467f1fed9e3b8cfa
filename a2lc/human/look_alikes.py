"""Questions that look alike: masks of one label that a person can answer at once."""

from __future__ import annotations

import numpy as np

from a2lc.human.query import Query
from a2lc.human.queue import Queue

MOST = 24


class LookAlikes:
    """Finds, in a round's queue, the masks most like one of them, by the features that are kept for corrections.

    Args:
        queue: the questions.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._features: np.ndarray | None = None

    def of(self, query: Query) -> list[Query]:
        """The query, then those without an answer that carry the same label, the most similar first; `MOST` at most.

        Similar is what lies near, each feature divided by its standard deviation over these masks.

        Raises:
            FileNotFoundError, ValueError: the features are gone or damaged.
        """
        others = [other for other in self._queue.pending if other.label == query.label and other.row != query.row]
        if not others:
            return [query]
        if self._features is None:
            self._features = self._queue.features()
        found = self._features[[query.row, *(other.row for other in others)]].astype(np.float32)  # (n, C)
        spread = found.std(0)
        scaled = found / np.where(spread > 0, spread, 1)
        near = np.argsort(((scaled[1:] - scaled[0]) ** 2).sum(1), kind="stable")
        return [query, *(others[i] for i in near[: MOST - 1])]
