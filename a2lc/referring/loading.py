"""The datasets of referring expressions by name."""

from __future__ import annotations

import os
from collections.abc import Collection

from a2lc.files import not_one_of
from a2lc.referring import refcoco, toy
from a2lc.referring.data import ReferringDataset

TOY, GIVEN = "toy_referring", "given"
DATASETS = (TOY, *refcoco.SPLITS, GIVEN)


def load_dataset(
    name: str, root: str | os.PathLike[str] | None = None, *, split_by: str | None = None, **options: int
) -> ReferringDataset:
    """A dataset of referring expressions.

    Args:
        name: ``toy_referring`` (drawn, nothing is downloaded), ``refcoco``, ``refcoco+`` or ``refcocog``.
        root: of the RefCOCO family, the folder that `a2lc.referring.import_refcoco` has written to.
        split_by: of the RefCOCO family, ``unc`` (refcoco, refcoco+), ``umd`` or ``google`` (refcocog).
        options: of ``toy_referring``, see `a2lc.referring.toy.load`.

    Raises:
        TypeError: `root` is no path.
        ValueError: an unknown name, option or `split_by`; ``given``, which is nowhere to be loaded from; or a file is
            damaged.
        FileNotFoundError: a file is missing.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset: {not_one_of(name, DATASETS)}")
    if not isinstance(root, str | os.PathLike | None):
        raise TypeError(f"root: expected a folder, found {root!r}")
    if wrong := unknown_options(name, options):
        raise ValueError(f"{name}: {'; '.join(wrong)}")
    if name == TOY:
        if root is not None or split_by is not None:
            raise ValueError(f"{TOY}: it is drawn: expected neither root nor split_by, found {root or split_by!r}")
        return toy.load(**options)
    if name == GIVEN:
        raise ValueError(f"{name}: expected data=, your own or those of by_class_names(dataset), found none")
    if root is None:
        raise ValueError(f"{name}: expected root, the folder that `a2lc referring import` has written to, found none")
    return refcoco.load(name, root, split_by)


def unknown_options(name: str, options: Collection[str]) -> list[str]:
    """What is wrong with the names of a dataset's options, a sentence each."""
    if name != TOY:
        return [f"options: expected none, found {', '.join(options)}"] if options else []
    return [f"options: {not_one_of(option, toy.OPTIONS)}" for option in options if option not in toy.OPTIONS]
