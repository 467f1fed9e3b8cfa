"""What is written to is what it seems to be: a file, a folder, and no link to somewhere else."""

from __future__ import annotations

import os
from pathlib import Path


def check_plain(path: str | os.PathLike[str], folder: bool = False) -> None:
    """Whether a file, or a `folder`, of a run is one, or not there yet. A link in a folder that somebody has sent may
    lead anywhere, and what is written would go there; a pipe would be waited for.

    Raises:
        ValueError: it is something else.
    """
    file, kind = Path(path), "folder" if folder else "file"
    if file.is_symlink():
        found = f"a link to {os.readlink(file)}"
    elif not file.exists() or (file.is_dir() if folder else file.is_file()):
        return
    else:
        found = "a folder" if file.is_dir() else "something that is neither file nor folder"
    raise ValueError(f"{path}: expected a {kind}, found {found}; put a {kind} in its place")
