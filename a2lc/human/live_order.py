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
        FileNotFoundError, ValueError: the features of the masks are gone or damaged; `a2lc.run` makes them anew. They
            are not those that the run began with.
    """

    def __init__(self, queue: Queue) -> None:
        from a2lc.instant import Instant, Outlook, kept_features  # needs PyTorch, which a look at a queue does not
        from a2lc.stages.instant import check_features  # as above

        config = queue.run.config
        check_features(queue.run, queue.run.initial, config.instant.features)
        self._queue = queue
        self._answers = self._queue.labels
        self._instant = Instant(kept_features(queue.run.initial, config.instant.features), queue.masks, config.seed)
        self.outlook: Outlook | None = None
        masks = self._answered()
        self._found = self._instant.suspicion(masks.table["label"].to_numpy(), masks.queried, masks.silent)
        for _ in range(2 if self._answers else 0):  # corrections need what is suspicious by earlier corrections
            self._renew()
        if not self._answers:
            self._look_ahead(masks, masks.table["label"].to_numpy())

    def renew(self) -> None:
        """Put what is left into a new order, where at least `InstantSettings.reorder_every` answers are others than
        last time: new, changed or taken back."""
        now = self._queue.labels
        if len(now.items() ^ self._answers.items()) >= self._queue.run.config.instant.reorder_every:
            self._answers = now
            self._renew()

    # ------------------------------------------------------------------------------------------------ inside
    def _answered(self) -> MaskSet:
        """All masks with the answers so far."""
        rows, labels = (np.array([*part], np.int64) for part in (self._answers.keys(), self._answers.values()))
        answered = self._queue.masks.relabel(rows, labels, source="annotator", round=self._queue.round)
        return answered.discard(self._queue.discarded_rows, self._queue.round).mix(
            self._queue.mixed_rows, self._queue.round
        )

    def _renew(self) -> None:
        from a2lc.stages.instant import most_suspicious, next_suspicion  # as above

        queue, masks, config = self._queue, self._answered(), self._queue.run.config
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
