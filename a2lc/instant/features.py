"""What is known of each mask without a label: features averaged over its pixels, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array
from tqdm.auto import tqdm

from a2lc.datasets import Split
from a2lc.files import damaged, locked, read_arrays, remove_leftovers_of, write_arrays
from a2lc.instant.colour import colour_features
from a2lc.instant.settings import COLOUR
from a2lc.masks import MaskSet
from a2lc.segmenter import SegmenterSettings
from a2lc.segmenter.frozen_parts import FrozenBackbone

VERSION = 1  # of the features; raised whenever the same image, masks and weights give others
WITHOUT_WEIGHTS = "; `features: colour` needs none"


def mask_features(
    features: str,
    masks: MaskSet,
    split: Split,
    *,
    segmenter: SegmenterSettings | None = None,
    device: torch.device | None = None,
    shared: Path | None = None,
    kept: Path | None = None,
    progress: bool = True,
    source: Source | None = None,
) -> np.ndarray:
    """Features of every mask, in table order: those kept in a file where image, masks and weights are the same, else
    computed.

    Args:
        features: a backbone of timm, or ``colour``; or what else `source` knows.
        masks: M masks.
        split: where the images are read.
        segmenter: where the weights of the backbone are looked for; None: the usual places.
        device: where the backbone runs; None: the CPU.
        shared: where features of whole images are kept (`a2lc.segmenter.feature_store`); None: a temporary folder.
        kept: the folder in which those of the masks are kept; None: nowhere.
        progress: whether to show a bar.
        source: in place of `image_features`.

    Returns:
        (M, C) float16.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: no such backbone, or it does not serve; the split has no such image.
        FileNotFoundError: its weights are nowhere; the message says what to install.
        OSError: features cannot be written, the disk is full for one.
    """
    try:
        of_image, about = (source or image_features)(features, segmenter, device, shared)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}{WITHOUT_WEIGHTS}") from error
    except ValueError as error:
        raise ValueError(f"features: {str(error).removeprefix('segmenter.backbone: ')}") from error
    if kept is None:
        return _computed(of_image, masks, split, progress)
    file = _file(kept, features)
    key = np.frombuffer(_content(about, masks, split), np.uint8)
    with locked(file):
        found = _read(file, key, len(masks))
        if found is None:
            found = _computed(of_image, masks, split, progress)
            remove_leftovers_of([file])
            write_arrays(file, {"features": found, "key": key})
    return found


def kept_features(kept: Path, features: str) -> np.ndarray:
    """(M, C) float16 as `mask_features` has kept them in a folder, without another look at images and weights.

    Raises:
        FileNotFoundError: they are not there.
        ValueError: the file is damaged.
    """
    return _array(kept, features, "features")


def features_key(kept: Path, features: str) -> str:
    """16 digits that tell apart what kept features were computed from: images, masks and weights.

    Raises:
        FileNotFoundError, ValueError: as `kept_features`.
    """
    return _array(kept, features, "key").tobytes().hex()[:16]


def _array(kept: Path, features: str, name: str) -> np.ndarray:
    try:
        arrays = read_arrays(file := _file(kept, features))
    except FileNotFoundError:
        what = "features of masks are gone: a2lc next RUN or a2lc.run makes them anew"
        raise FileNotFoundError(f"{file}: {what}") from None
    if name not in arrays:
        raise damaged(file, f"expected an array {name!r}, found {', '.join(arrays)}")
    if name == "features" and not _are_features(arrays[name]):
        raise damaged(file, "expected finite numbers of each mask, found others")
    return arrays[name]


def _file(kept: Path, features: str) -> Path:
    return kept / f"mask_features-{features}.safetensors"


def _read(file: Path, key: np.ndarray, count: int) -> np.ndarray | None:
    """The kept features of so many masks; None where there are none, or of other content, or damaged."""
    try:
        arrays = read_arrays(file)
    except (FileNotFoundError, ValueError):
        return None
    found = arrays.get("features")
    if (
        found is None
        or not np.array_equal(arrays.get("key", ()), key)
        or len(found) != count
        or not _are_features(found)
    ):
        return None
    return found


def _are_features(found: np.ndarray) -> bool:
    """Whether these are finite numbers, some of each mask."""
    if found.ndim != 2 or not found.shape[1] or found.dtype != np.float16:
        return False
    parts = range(0, len(found), 1 << 14)  # of all at once there would be as many answers
    return all(np.isfinite(found[start : start + parts.step]).all() for start in parts)


def _content(about: str, masks: MaskSet, split: Split) -> bytes:
    """SHA-256 of all that decides the features."""
    found = hashlib.sha256(f"{about} {VERSION}".encode())
    table = masks.table
    found.update(table["mask_id"].to_numpy().tobytes() + table["area"].to_numpy().tobytes())
    for name in masks.names:
        image = np.ascontiguousarray(split.image(name))
        found.update(f"{name} {image.shape}\n".encode())
        found.update(image.data)
    return found.digest()


ImageFeatures = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(H, W, 3) uint8 image, (H, W) int64 position of each pixel's mask or -1, n masks -> (n, C) float32."""
Source = Callable[[str, SegmenterSettings | None, torch.device | None, Path | None], tuple[ImageFeatures, str]]
"""A function such as `image_features`."""


def image_features(
    features: str,
    segmenter: SegmenterSettings | None = None,
    device: torch.device | None = None,
    shared: Path | None = None,
) -> tuple[ImageFeatures, str]:
    """What computes the features of one image's masks.

    Args:
        features, segmenter, device, shared: as of `mask_features`.

    Returns:
        The function, and a text that is another one where its features are others.

    Raises:
        MissingExtraError, ValueError, FileNotFoundError: as `a2lc.segmenter.frozen_parts.FrozenBackbone`.
    """
    if features == COLOUR:
        return colour_features, COLOUR
    given = segmenter or SegmenterSettings()
    frozen = SegmenterSettings(network="frozen", backbone=features, weights=given.weights, offline=given.offline)
    backbone = FrozenBackbone(frozen, device or torch.device("cpu"), shared)

    def of_image(image: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
        return np.hstack([averages(stage[0].cpu().numpy(), index, n) for stage in backbone.maps(image)])

    return of_image, backbone.store.identity


def _computed(of_image: ImageFeatures, masks: MaskSet, split: Split, progress: bool) -> np.ndarray:
    found: np.ndarray | None = None
    options = {"desc": "features of masks", "unit": "image", "leave": False, "mininterval": 1}
    for name in tqdm(masks.names, disable=not progress, **options):
        rows = masks.rows(name)
        part = of_image(split.image(name), masks.index_map(name), rows.stop - rows.start)
        if found is None:
            found = np.empty((len(masks), part.shape[1]), np.float16)
        found[rows] = part
    assert found is not None  # there is no MaskSet without images
    return found


def averages(stage: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """Averages of a map (C, h, w) over the pixels of n masks, each pixel having the features of its cell: (n, C)
    float32; index (H, W), -1 = no mask."""
    (height, width), (h, w) = index.shape, stage.shape[1:]
    rows, columns = (np.arange(pixels) * cells // pixels for pixels, cells in ((height, h), (width, w)))
    cell = rows[:, None] * w + columns
    inside = index >= 0
    counts = csr_array(
        (np.ones(int(inside.sum()), np.float32), (index[inside], cell[inside])), shape=(n, h * w)
    )  # pixels of each mask in each cell
    return (counts @ stage.reshape(len(stage), -1).T) / np.maximum(counts.sum(1), 1)[:, None]
