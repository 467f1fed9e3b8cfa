"""Datasets behind one interface: `load_dataset(name, root=..., **options)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from a2lc.datasets import camvid, cityscapes, folder, toy, voc2012
from a2lc.datasets.base import Classes, Dataset, Split
from a2lc.datasets.listing import Root
from a2lc.files import nearest

DATASETS: dict[str, Callable[..., Dataset]] = {
    "toy": toy.load,
    "camvid": camvid.load,
    "voc2012": voc2012.load,
    "cityscapes": cityscapes.load,
    "folder": folder.load,
}
"""Name -> the function that opens a dataset, with the options that `load_dataset` passes on."""


def load_dataset(name: str, root: Root = None, **options: Any) -> Dataset:
    """Open a dataset.

    Args:
        name: a key of `DATASETS`.
        root: the dataset's folder; needed by all that are read from disk, refused by those that are drawn. An empty
            string is none.
        options: keyword arguments of that dataset's `load`.

    Raises:
        ValueError: unknown name or option (the nearest are suggested), a wrong root, an empty split.
        FileNotFoundError: the root, a list or a listed file is missing.
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise ValueError(f"unknown dataset {name!r}, expected one of {known}{nearest(name, DATASETS)}")
    loader, root = DATASETS[name], None if root == "" else root
    allowed = inspect.signature(loader).parameters
    for option in options:
        if option not in allowed:
            known = ", ".join(allowed)
            hint = nearest(option, allowed)
            raise ValueError(f"dataset {name!r} has no option {option!r}, only {known}{hint}")
    if "root" in allowed:
        return loader(root, **options)
    if root is not None:
        raise ValueError(f"dataset {name!r} is drawn, not read: expected no root, found root={str(root)!r}")
    return loader(**options)


__all__ = ["DATASETS", "Classes", "Dataset", "Split", "load_dataset"]
