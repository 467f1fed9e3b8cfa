"""A copy of your own dataset: images, labels, ground truth and lists, and nothing else that lies there."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path

from a2lc.datasets.layout import read_layout
from a2lc.datasets.listing import JUNK, some_of
from a2lc.datasets.own_files import own_files
from a2lc.files import linked


def copy_dataset(root: Path, out: Path, besides: Iterable[Path] = ()) -> None:
    """Copy the files of a dataset; they keep their permissions, folders do not: what is in a read-only one can be
    written in the copy. Images that a link brings from elsewhere are linked, labels are files of their own. A warning
    names what is not copied.

    Args:
        root: the dataset's folder.
        out: a folder.
        besides: folders in `root` that need not be named.

    Raises:
        OSError: a file cannot be read or written.
    """
    files = own_files(root, read_layout(root))
    images = set(files.images.values())
    paths = [*files.lists, *files.images.values(), *files.labels.values(), *files.ground_truth.values()]
    home = os.path.realpath(root)
    for path in paths:
        copy = out / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        real = os.path.realpath(path)
        if path in images and not Path(real).is_relative_to(home) and linked(copy, real):
            continue
        shutil.copy2(path, copy)
    taken = {path.relative_to(root).parts[0] for path in paths} | {*JUNK}
    known = [path.resolve() for path in besides]
    if others := sorted(
        path.name
        for path in root.iterdir()
        if not (path.name.startswith(".") or path.name in taken or path.resolve() in known)
    ):
        warnings.warn(f"{root}: not copied, as they are no images, labels or lists: {some_of(others)}", stacklevel=3)
