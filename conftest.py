"""Notebooks under nbval with the seeds and the precision that tests take ("Any processor" in CONTRIBUTING)."""

from __future__ import annotations

import os

import pytest

FORCED = """
if "seed" in globals():
    seed += {shift}
for _name in {{"seeds", "row_seeds"}} & globals().keys():
    globals()[_name] = [s + {shift} for s in globals()[_name]]
if "segmenter" in globals() and {precision!r}:
    segmenter = {{**segmenter, "precision": {precision!r}}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What ``A2LC_TEST_SEED_SHIFT`` and ``A2LC_TEST_PRECISION`` say is written below the parameters of notebooks."""
    shift, precision = (os.environ.get(f"A2LC_TEST_{name}") or "" for name in ("SEED_SHIFT", "PRECISION"))
    if shift or precision:
        for item in items:
            cell = getattr(item, "cell", None)
            if cell is not None and "parameters" in cell.metadata.get("tags", []):
                cell.source += FORCED.format(shift=int(shift or 0), precision=precision)
