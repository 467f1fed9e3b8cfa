"""The pictures that a run of one's own data began with, by a fingerprint each: labels alone do not tell that a folder
is another one."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from a2lc.config import OWN_DATA, Experiment
from a2lc.datasets import Split
from a2lc.files import read_json, write_json
from a2lc.runs.places import CONFIG, read_config, same_root

PICTURES = "pictures.json"  # in a run's folder: image name -> fingerprint


def check_pictures(place: Path, config: Experiment, split: Split, progress: bool = True) -> None:
    """Compare the pictures of a run whose data lie in another folder now; where they lie as ever, keep their
    fingerprints before anything else, unless they are kept.

    Args:
        place: the run's folder.
        config: its configuration; nothing is done where the data are not one's own.
        split: its images.
        progress: whether to show a bar.

    Raises:
        ValueError: the pictures are others; or one, or the list of them, is damaged.
        FileNotFoundError: an image is missing.
    """
    if config.dataset != OWN_DATA:
        return
    here = not (place / CONFIG).is_file() or same_root(read_config(place / CONFIG), config)
    if here and not _kept(place, split):
        found = _fingerprints(split, progress)
        # a run of an earlier version may be for reading only
        with suppress(OSError) if (place / CONFIG).is_file() else nullcontext():
            write_json(place / PICTURES, found)
    elif not here and (wrong := other_pictures(place, split, progress)):
        what = f"{config.root}: these are other data: {wrong}"
        raise ValueError(f"{what}; put the former pictures there, or begin a run of these with --runs-dir elsewhere")


def other_pictures(place: Path, split: Split, progress: bool = True) -> str | None:
    """In what pictures are not those that a run began with; None: they are, or an earlier version has not kept them.

    Args:
        place: the run's folder.
        split: the pictures, of the same names.
        progress: whether to show a bar.

    Raises:
        ValueError: a picture or the list is damaged.
        FileNotFoundError: an image is missing.
    """
    if not (began := _kept(place, split)):
        return None
    others = [name for name, found in _fingerprints(split, progress).items() if began[name] != found]
    if not others:
        return None
    return (
        f"{len(others)} of the {len(began)} pictures are not those that {place.name} began with, {others[0]!r} for one"
    )


def _kept(place: Path, split: Split) -> dict[str, str]:
    """Image name -> fingerprint, as kept when the run began; empty where an earlier version has kept none."""
    path = place / PICTURES
    return read_json(path, *split.names) if path.is_file() else {}


def _fingerprints(split: Split, progress: bool) -> dict[str, str]:
    """Image name -> SHA-256 over its size and pixels as they are shown, the first 16 hexadecimal digits."""
    found = {}
    for name in tqdm(split.names, "pictures", unit="image", leave=False, disable=not progress):
        image = np.ascontiguousarray(split.image(name))
        found[name] = hashlib.sha256(f"{image.shape}\n".encode() + image.data).hexdigest()[:16]
    return found
