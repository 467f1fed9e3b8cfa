"""Reading and writing files: temporary name first, then rename, so that a killed process leaves no half-written
file."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it onto `path`, on failure remove it.

    The temporary name keeps the suffix, because Pillow and Matplotlib choose the format by it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # safetensors makes files that only their owner may read
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete, in `folder` and below, the temporary files of `atomic` that a killed process could not."""
    for path in Path(folder).rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}(\.\w+)?", path.name) and path.is_file():
            path.unlink()


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically; numbers that are not finite, which JSON does not know, as null."""
    with atomic(path) as temporary:
        text = json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged JSON ({error})") from error


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a Parquet table.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: damaged Parquet file ({error})") from error


def write_parquet(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically and small: zstd, and float32 columns split into their bytes first."""
    floats = [name for name in table if table[name].dtype == np.float32]
    with atomic(path) as temporary:
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False),
            temporary,
            compression="zstd",
            compression_level=9,
            use_dictionary=[name for name in table if name not in floats],
            use_byte_stream_split=floats,
        )


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an RGB image, (H, W, 3) uint8.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is truncated or no image; the message names it.
    """
    return _read(path, lambda image: np.asarray(image.convert("RGB"), dtype=np.uint8))


def read_label_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of class ids or mask ids: (H, W), uint8 for 8-bit (grey or palette) files, int32 for 16-bit ones.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is truncated, no image, or has colour channels instead of one id per pixel.
    """
    return _read(path, lambda image: pixel_ids(image, path))


def pixel_ids(image: Image.Image, name: object) -> np.ndarray:
    """(H, W) uint8 or int32 ids of an open image, see `read_label_png`; the error's message begins with `name`."""
    if image.mode not in ("L", "P", "1", "I", "I;16"):
        raise ValueError(f"{name}: expected one id per pixel (grey or palette PNG), found mode {image.mode}")
    values = np.asarray(image)
    return values.astype(np.uint8 if values.dtype in (np.uint8, np.bool_) else np.int32)


def write_label_png(path: str | os.PathLike[str], values: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write ids as PNG, atomically: 8-bit (with a palette where given) when they fit, else 16-bit.

    Args:
        path: the file, ending in ``.png``.
        values: (H, W) integers in [0, 65535].
        palette: (K, 3) uint8 RGB colours of ids 0..K-1; later ids are white.

    Raises:
        ValueError: an id is outside [0, 65535].
    """
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 65535:
        raise ValueError(f"{path}: ids must lie in [0, 65535] to be stored as PNG, found [{low}, {high}]")
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.uint8 if high <= 255 else np.uint16))
    if palette is not None and high <= 255:
        colours = np.full((256, 3), 255, dtype=np.uint8)
        colours[: len(palette)] = palette
        image.putpalette(colours.tobytes())
    with atomic(path) as temporary:
        image.save(temporary, optimize=True)


def _read(path: str | os.PathLike[str], convert: Any) -> np.ndarray:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with Image.open(path) as image:
            return convert(image)
    except (OSError, SyntaxError) as error:  # Pillow reports a broken PNG chunk as SyntaxError
        raise ValueError(f"{path}: damaged or truncated image ({error})") from error
