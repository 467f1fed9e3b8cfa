"""Everything between a person and a run: queue and approval, undo, CSV files, and the way back into a dataset."""

from a2lc.human.approval import Approval
from a2lc.human.next_round import next_round
from a2lc.human.queue import CONFIRM, SKIP, WORDS, Query, Queue
from a2lc.human.undo import automatic_corrections, undo_corrections

__all__ = [
    "CONFIRM",
    "SKIP",
    "WORDS",
    "Approval",
    "Query",
    "Queue",
    "automatic_corrections",
    "next_round",
    "undo_corrections",
]
