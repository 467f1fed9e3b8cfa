"""Features of a frozen backbone: computed once per image, kept in a folder, shared by all models and runs.

    runs/shared/features-<backbone>-<hash8>/
        <SHA-256 of the image>.safetensors    the maps of its stages, and the key of what they were made from

Of each channel of an image the lowest value and 255 equal steps are kept, a byte per value: half of float16, and one
cell in 1,500 is then predicted otherwise.

The hash of the folder is that of weights, scale and `VERSION`; the key in a file is that of the folder and the image. A
file that is damaged or has another key is made anew. Files are renamed into place when whole, so that several processes
may share a folder. They are read through a memory map, one image at a time, and no more are kept than
`LIMIT_BYTES`: what does not fit is computed whenever it is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from a2lc.files import read_arrays, write_arrays

VERSION = 1  # of the features; raised whenever the same image and weights give others
LIMIT_BYTES = 20 * 2**30

Maps = list[np.ndarray]  # (C, h, w) float32, a stage each


class FeatureStore:
    """The kept features of one backbone.

    Attributes:
        path: the folder.

    Args:
        folder: where folders of features are kept; None: a temporary one, which is removed with this object.
        backbone: its name.
        about: all that decides the features of an image.
        limit_bytes: how much is kept.
    """

    def __init__(
        self, folder: Path | None, backbone: str, about: tuple[str, ...], limit_bytes: int = LIMIT_BYTES
    ) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="a2lc-features-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.identity = hashlib.sha256("\n".join((backbone, *about, str(VERSION))).encode()).hexdigest()
        self.path = folder / f"features-{backbone}-{self.identity[:8]}"
        self.limit_bytes = limit_bytes
        self._kept: int | None = None

    def get(self, image: np.ndarray, compute: Callable[[np.ndarray], Maps]) -> Maps:
        """The features of an image: the kept ones, else those of `compute`, which are then kept.

        Args:
            image: (H, W, 3) uint8 RGB.
            compute: image -> a map (C, h, w) float32 per stage.

        Returns:
            A map (C, h, w) float32 per stage, the same whether it was kept or computed: each value is one of 256
            between the lowest and highest of its channel in this image.

        Raises:
            OSError: features cannot be written, the disk is full for one.
        """
        content = hashlib.sha256(f"{image.shape}\n".encode() + np.ascontiguousarray(image).data).hexdigest()
        key = np.frombuffer(bytes.fromhex(hashlib.sha256((self.identity + content).encode()).hexdigest()), np.uint8)
        file = self.path / f"{content}.safetensors"
        with suppress(FileNotFoundError, ValueError):  # ValueError: damaged
            arrays = read_arrays(file)
            if np.array_equal(arrays.get("key", np.empty(0)), key) and _is_whole(arrays):
                return _unpacked(arrays)
        arrays = _packed(compute(image)) | {"key": key}
        self._keep(file, arrays)
        return _unpacked(arrays)

    def _keep(self, file: Path, arrays: dict[str, np.ndarray]) -> None:
        """Write the file where it fits."""
        if self._kept is None:
            self._kept = sum(map(_size, self.path.iterdir())) if self.path.is_dir() else 0
        size = sum(array.nbytes for array in arrays.values())
        if self._kept + size <= self.limit_bytes:
            write_arrays(file, arrays)
            self._kept += size


def _size(file: Path) -> int:
    """Bytes; 0 of a temporary file that another process has just renamed."""
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _packed(maps: Maps) -> dict[str, np.ndarray]:
    """Stage by stage: bytes (C, h, w), and lowest value and step of each channel (2, C, 1, 1) float32."""
    arrays = {}
    for number, stage in enumerate(maps):
        low, high = stage.min((1, 2), keepdims=True), stage.max((1, 2), keepdims=True)
        step = np.maximum(high - low, np.float32(1e-6)) / 255
        arrays[f"stage{number}"] = np.rint((stage - low) / step).astype(np.uint8, order="C")  # as it is written
        arrays[f"range{number}"] = np.stack([low, step]).astype(np.float32)
    return arrays


def _is_whole(arrays: dict[str, np.ndarray]) -> bool:
    """Whether they can have come from `_packed`."""
    stages = sum(name.startswith("stage") for name in arrays)
    for number in range(stages):
        stage, ranges = (arrays.get(f"{name}{number}", np.empty(0)) for name in ("stage", "range"))
        if stage.ndim != 3 or stage.dtype != np.uint8 or ranges.shape != (2, len(stage), 1, 1):
            return False
        if ranges.dtype != np.float32 or not np.isfinite(ranges).all():
            return False
    return stages > 0


def _unpacked(arrays: dict[str, np.ndarray]) -> Maps:
    stages = sum(name.startswith("stage") for name in arrays)
    ranges = [arrays[f"range{number}"] for number in range(stages)]
    return [low + step * arrays[f"stage{number}"] for number, (low, step) in enumerate(ranges)]
