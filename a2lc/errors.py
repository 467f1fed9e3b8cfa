"""One place for the sentence that helps with a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, options: Iterable[str]) -> str:
    """Suggest the options closest to a misspelt name.

    Args:
        name: what the user wrote.
        options: the names that exist.

    Returns:
        ``"; did you mean 'camvid'?"`` or, when nothing is close, an empty string: made to end an error message.
    """
    close = difflib.get_close_matches(str(name).lower(), list(options), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
