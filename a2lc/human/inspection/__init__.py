"""A look at a dataset before anything runs: what is there, what is wrong, and what to type."""

from a2lc.human.inspection.inspection import Inspection, inspect
from a2lc.human.inspection.suspicion import Suspicion

__all__ = ["Inspection", "Suspicion", "inspect"]
