"""A queue whose order follows the answers: what `method: instant` asks a person next, and what it expects by then."""

from __future__ import annotations

import numpy as np

from a2lc.human.queue import Queue
from a2lc.instant.settings import FEWEST
from a2lc.masks import MaskSet
from a2lc.runs.decisions import vetoed


class LiveOrder:
    """Puts the queue of a run into a new order as answers come in.

    Args:
        queue: of a run of `method: instant`.

    Attributes:
        outlook: what is expected of all labels by these answers; None while they are fewer than `FEWEST`.

    Raises:
        FileNotFoundError, ValueError: the features of the masks are gone or damaged; `a2lc.run` makes them anew.
    """

    def __init__(self, queue: Queue) -> None:
        from a2lc.instant import Instant, Outlook, kept_features  # needs PyTorch, which a look at a queue does not

        self.outlook: Outlook | None = None
        config = queue.run.config
        self._queue = queue
        self._instant = Instant(kept_features(queue.run.initial, config.instant.features), queue.masks, config.seed)
        self._answers = 0
        self._found = self._instant.suspicion(queue.masks.table["label"].to_numpy(), queue.masks.queried)
        self._look_ahead(queue.masks, queue.masks.table["label"].to_numpy())
        if queue.answered:  # some were given earlier
            self.renew()

    def renew(self) -> None:
        """Put what is left into a new order, where there are `InstantSettings.reorder_every` answers more than last
        time."""
        from a2lc.stages.instant import most_suspicious, next_suspicion  # as above

        queue, config = self._queue, self._queue.run.config
        if abs(queue.answered - self._answers) < config.instant.reorder_every:
            return
        self._answers = queue.answered
        said = {query.row: answer.label for query in queue.queries if (answer := queue.answer_to(query)) is not None}
        given = {row: label for row, label in said.items() if label is not None}  # no skips
        rows, labels = (np.array([*values], dtype=np.int64) for values in (given.keys(), given.values()))
        masks = queue.masks.relabel(rows, labels, source="annotator", round=queue.round)
        protected = vetoed(queue.run.path, masks)
        self._found, labels = next_suspicion(self._instant, masks, self._found, config, protected)
        queue.reorder(most_suspicious(self._found, masks, config, len(queue)))
        self._look_ahead(masks, labels)

    def _look_ahead(self, masks: MaskSet, labels: np.ndarray) -> None:
        """Renew what is expected, of masks with all answers and (M,) labels with corrections."""
        from a2lc.instant import look_ahead  # as above

        answered, known = masks.queried, masks.table["label"].to_numpy()
        enough = answered.sum() >= FEWEST and not answered.all()
        self.outlook = look_ahead(self._instant, labels, known, answered, self._found) if enough else None
