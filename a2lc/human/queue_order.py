"""Which masks a queue asks about, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import suppress
from functools import cached_property

import numpy as np

from a2lc.human.query import Query
from a2lc.masks import MaskSet
from a2lc.runs.answers import Answer


class QueueOrder:
    """The queries of a round, in an order that stays, or follows the answers.

    Args:
        masks: all masks with the labels before the round.
        scores: (M,) of all masks.
        rows: (n,) row numbers of the masks that were chosen when the round began, in order.
        moves: whether the order follows the answers, so that any mask may come.

    Attributes:
        queries: all queries, in order.
    """

    def __init__(self, masks: MaskSet, scores: np.ndarray, rows: np.ndarray, moves: bool) -> None:
        self._masks, self._scores, self._moves = masks, scores, moves
        self._waiting, self._budget = rows.tolist(), len(rows)
        self._set(rows)

    def asked(self, image: str, mask_id: int) -> Query | None:
        """The query about a mask of the queue."""
        return self._query_of.get((image, mask_id))

    def find(self, image: str, mask_id: int) -> Query | None:
        """The same; where the order moves, of a mask that is not in the queue and was not asked about in an earlier
        round, as if it came last."""
        asked = self.asked(image, mask_id)
        return asked if asked is not None or not self._moves else self.free(image, mask_id, len(self.queries))

    def free(self, image: str, mask_id: int, position: int) -> Query | None:
        """A mask that was not asked about in an earlier round, as a query in this position; None: it was, or there is
        none of that name."""
        with suppress(ValueError):  # no such mask
            if not self._asked_before[row := self._masks.row(image, mask_id)]:
                return self._of(np.array([row]), first=position)[0]
        return None

    def put_first(self, rows: list[int]) -> None:
        """Let these masks come first of those that wait, when the order is next arranged."""
        self._waiting = list(dict.fromkeys([*rows, *self._waiting]))

    def arrange(self, answers: Mapping[tuple[str, int], Answer], discarded: Set[str]) -> None:
        """Where the order moves, put what was answered or skipped before what waits, and leave out what is beyond the
        budget.

        Args:
            answers: image and mask id -> what stands; masks that nobody asked about use no budget.
            discarded: images that are void as a whole.
        """
        if not self._moves:
            return
        asked = sorted((a for a in answers.values() if not a.found), key=lambda answer: answer.position)
        said = [self._masks.row(*answer.mask) for answer in asked]
        settled = {self._masks.row(*mask) for mask in answers}
        waiting = np.array([row for row in dict.fromkeys(self._waiting) if row not in settled], dtype=np.int64)
        left = waiting[~self._masks.table["image"].iloc[waiting].isin(discarded).to_numpy()].tolist()
        self._set(np.array([*said, *left[: max(0, self._budget - len(said))]], dtype=np.int64))

    # ---------------------------------------------------------------------------------------------- inside
    @cached_property
    def _asked_before(self) -> np.ndarray:
        """(M,) bool: masks answered in earlier rounds."""
        return self._masks.queried

    def _of(self, rows: np.ndarray, first: int = 0) -> tuple[Query, ...]:
        """Queries about these masks, in positions from `first` on."""
        table = self._masks.table.iloc[rows]
        columns = (table[name].tolist() for name in ("image", "mask_id", "label", "area"))
        return tuple(
            Query(position, int(row), image, mask_id, label, float(self._scores[row]), area)
            for position, (row, image, mask_id, label, area) in enumerate(zip(rows, *columns, strict=True), first)
        )

    def _set(self, rows: np.ndarray) -> None:
        self.queries = self._of(rows)
        self._query_of = {(query.image, query.mask_id): query for query in self.queries}
