"""Reading and writing images, and maps of ids as PNG."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from a2lc.files.io import atomic, damaged

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # Pillow would hand others, PostScript for one, to other programs


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an RGB image, (H, W, 3) uint8, upright: turned as its EXIF orientation says, as browsers and OpenCV show it.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is truncated or no image, or has 32 bits per channel; the message names it.
    """
    return np.asarray(decoded(_data(path), path, rgb=True), dtype=np.uint8)


def read_label_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of class ids or mask ids: (H, W), uint8 for 8-bit (grey or palette) files, int32 for 16-bit ones.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is truncated, no image, or has colour channels instead of one id per pixel.
    """
    return label_ids(_data(path), path)


def label_ids(data: bytes, name: object) -> np.ndarray:
    """(H, W) uint8 or int32 ids of an image file's content, see `read_label_png`.

    Raises:
        ValueError: damaged, a JPEG, or colour channels instead of one id per pixel; the message begins with `name`.
    """
    image = decoded(data, name)
    if image.format == "JPEG":
        raise ValueError(f"{name}: expected ids, found a JPEG picture, which blurs them: save labels as PNG")
    if image.mode not in ("L", "P", "1", "I", "I;16"):
        raise ValueError(f"{name}: expected one id per pixel (grey or palette PNG), found mode {image.mode}")
    values = np.asarray(image)
    if image.format == "PNG" and (depth := data[24]) in (2, 4) and data[25] == 0:  # grey: Pillow stretches it to 0..255
        values = values // (255 // (2**depth - 1))
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


def decoded(data: bytes, name: object, rgb: bool = False) -> Image.Image:
    """An image with its pixels; upright and converted to 8 bits of red, green and blue where asked for.

    Raises:
        ValueError: damaged, truncated or no image; the message begins with `name`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.verify()  # the checksums of pixels, at which Pillow does not look when it reads them
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return _as_rgb(ImageOps.exif_transpose(image)) if rgb else image
    except UnidentifiedImageError as error:  # whose text is an address in memory
        raise damaged(str(name), f"damaged or truncated image (none of {', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow has many ways to say it: SyntaxError of a broken chunk, struct.error ...
        raise damaged(str(name), f"damaged or truncated image ({error})") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError("expected 8 or 16 bits per channel, found 32")
    if image.mode.startswith("I;16"):  # Pillow would make white of nearly all values
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _data(path: str | os.PathLike[str]) -> bytes:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path).read_bytes()
