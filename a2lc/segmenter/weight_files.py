"""Files of published weights: the folder they are kept in, and how they are read without executing anything."""

from __future__ import annotations

import os
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

Folder = str | os.PathLike[str] | None


def weights_folder(folder: Folder = None) -> Path:
    """Where weights are looked for and downloaded to: `folder`, else ``$A2LC_WEIGHTS``, else ``~/.cache/a2lc``."""
    return Path(folder or os.environ.get("A2LC_WEIGHTS") or Path.home() / ".cache" / "a2lc")


def file_hash(path: Path) -> str:
    """SHA-256 of a file; computed once while the file stays as it is."""
    found = path.stat()
    return _file_hash(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _file_hash(path: Path, size: int, modified: int) -> str:
    import pooch

    return str(pooch.file_hash(str(path), "sha256"))


POINTER = 1024  # bytes that a file has at most which only says where the weights are


def load_state(path: Path) -> dict[str, Any]:
    """What a weights file holds, on the CPU; nothing but tensors and plain values is ever unpickled.

    Raises:
        ValueError: the file is damaged or holds objects of other kinds.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        what = "damaged, or holds more than tensors, and is not loaded"
        if path.stat().st_size < POINTER and path.read_bytes().startswith(b"version https://git-lfs"):
            what = "a Git LFS pointer in place of the weights: git lfs pull brings them"
        raise ValueError(f"{path}: {what} ({type(error).__name__}, {path.stat().st_size} bytes)") from error
