"""Masks, the units of correction: object maps, and one table with a row per mask."""

from a2lc.datasets.base import VOID
from a2lc.masks.mask_set import MaskSet
from a2lc.masks.table import ANSWERED, AUTOMATIC, MIXED, SOURCES, label_names

__all__ = ["ANSWERED", "AUTOMATIC", "MIXED", "SOURCES", "VOID", "MaskSet", "label_names", "MIXED"]
