"""Progress bars."""

from __future__ import annotations

import os


def show_bars(progress: bool) -> bool:
    """Whether to show progress bars: tqdm itself does not look at ``TQDM_DISABLE`` where it is told what to do."""
    return progress and os.environ.get("TQDM_DISABLE", "") in ("", "0")
