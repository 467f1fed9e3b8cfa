"""Reading and writing images, and maps of ids as PNG."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from a2lc.files.io import check_size, damaged
from a2lc.files.limits import LIMITS, OPTION, TooLargeError, check_limit, limit_of
from a2lc.files.whole import atomic

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # Pillow would hand others, PostScript for one, to other programs
ORIENTATION, UPRIGHT = 0x0112, 1  # the EXIF tag; its value where an image is shown as it is stored
TURNED = "expected labels that are shown as they are stored, found the orientation {} (EXIF): save them without one"


def read_image(path: str | os.PathLike[str], upright: bool = True, window: tuple[int, int] | None = None) -> np.ndarray:
    """Read an RGB image, (H, W, 3) uint8.

    Args:
        path: the file.
        upright: turned as its EXIF orientation says, as browsers and OpenCV show it; else as it is stored.
        window: of grey images of 16 bits: the values that become black and white; else 0 and 65535.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is truncated or no image, has 32 bits per channel, or 16 of colours where there is a
            window, or is a TIFF that says how it is to be turned and shall not be; the message names it.
    """
    return np.asarray(decoded(file_bytes(path), path, _Shown(upright, window)), dtype=np.uint8)


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


@dataclass(frozen=True)
class _Shown:
    """How a picture is shown, see `read_image`."""

    upright: bool
    window: tuple[int, int] | None


def opened(source: bytes | str | os.PathLike[str]) -> Image.Image:
    """An image of which the header is read.

    Args:
        source: what its file holds, or the file.

    Raises:
        PIL.UnidentifiedImageError: it is none of `FORMATS`.
        TooLargeError: it has more pixels than a picture may have.
    """
    most = limit_of("pixels")
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:  # Pillow warns there, fails at twice that
        Image.MAX_IMAGE_PIXELS = most
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # before it says how large it is
        what = f"expected at most {most:,} {LIMITS['pixels'][1]}, found many more"
        raise TooLargeError(f"{what}; where that is right, raise all limits: {OPTION}=32") from error
    try:
        check_limit("pixels", image.width * image.height)
    except TooLargeError:
        image.close()
        raise
    return image


def decoded(data: bytes, name: object, shown: _Shown | None = None) -> Image.Image:
    """An image with its pixels, as they are stored; of `read_image` in 8 bits of red, green and blue.

    Raises:
        ValueError: damaged, truncated or no image; the message begins with `name`.
    """
    try:
        with opened(data) as image:
            image.verify()  # the checksums of pixels, at which Pillow does not look when it reads them
        with opened(data) as image:
            deep, turns = _has_deep_colours(image, data), image.format == "TIFF" and orientation_of(image) != UPRIGHT
            image.load()
            if shown is None:
                return image
            if turns and not shown.upright:  # Pillow has turned it
                raise ValueError("orientation: expected a TIFF without one where images are shown as stored")
            if deep and shown.window is not None:
                raise ValueError("window: expected grey values of 16 bits, found colours of 16 bits")
            return _as_rgb(ImageOps.exif_transpose(image) if shown.upright else image, shown.window)
    except TooLargeError as error:
        raise damaged(str(name), str(error)) from error
    except UnidentifiedImageError as error:  # whose text is an address in memory
        raise damaged(str(name), f"damaged or truncated image (none of {', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow has many ways to say it: SyntaxError of a broken chunk, struct.error ...
        raise damaged(str(name), f"damaged or truncated image ({error})") from error


def orientation_of(image: Image.Image) -> int:
    """How a picture that is not loaded yet is to be turned, 1..8 as EXIF has it."""
    found = image.getexif().get(ORIENTATION, UPRIGHT)
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of a picture as it is stored, before it is loaded: Pillow turns TIFFs, and only these."""
    turned = image.format == "TIFF" and orientation_of(image) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def _has_deep_colours(image: Image.Image, data: bytes) -> bool:
    """Whether the file has several channels of 16 bits, of which Pillow keeps the upper 8."""
    if image.format == "PNG":
        return data[24] == 16 and data[25] != 0
    bits = image.tag_v2.get(258, (8,)) if isinstance(image, TiffImagePlugin.TiffImageFile) else (8,)
    return len(bits) > 1 and max(bits) > 8


def _as_rgb(image: Image.Image, window: tuple[int, int] | None) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ValueError("expected 8 or 16 bits per channel, found 32")
    if image.mode.startswith("I;16"):  # Pillow would make white of nearly all values
        values = np.asarray(image)
        if window is None:
            values = values >> 8
        else:
            black, white = window
            values = ((values.astype(np.float32) - black) / (white - black) * 255).round().clip(0, 255)
        image = Image.fromarray(values.astype(np.uint8))
    return image.convert("RGB")


def file_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: the file is missing; the message names it.
        ValueError: it is too large.
    """
    check_size(path)
    return Path(path).read_bytes()
