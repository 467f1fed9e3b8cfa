"""New pixels for a TIFF: all tags stay, GeoTIFF's among them, and so do strips or tiles.

tifffile knows where in the file each tag stands. Pixels that are not compressed are replaced where they are; others are
appended, deflated, which all readers know and the standard library writes, and the tags that say where pixels lie are
overwritten.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tifffile

from a2lc.files.images import ORIENTATION, TURNED, UPRIGHT
from a2lc.files.png import packed_rows

LOSSLESS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
DEFLATE, LONG = 8, 4  # a compression, a type of tags
MIN_IS_WHITE = 0


def check_tiff(data: bytes) -> None:
    """Whether this is a TIFF of a kind whose pixels are read and replaced exactly.

    Raises:
        ValueError: several pages, floating point, lossy compression, channels of more than 8 bits or in planes, or an
            orientation.
    """
    with _opened(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        if len(file.pages) != 1 or page.subifds:
            raise ValueError(
                f"expected one picture in the TIFF, found {len(file.pages)} (pages, or overviews): save labels as PNG"
            )
        if page.compression not in LOSSLESS:
            known = ", ".join(dict.fromkeys(LOSSLESS.values()))
            raise ValueError(
                f"expected a TIFF with compression {known}, found {page.compression.name}: save labels as PNG"
            )
        if page.samplesperpixel > 1 and (page.bitspersample != 8 or page.planarconfig != 1):
            raise ValueError("expected channels of 8 bits each, side by side, in the TIFF; save it so")
        if (turn := page.tags.valueof(ORIENTATION, UPRIGHT)) != UPRIGHT:
            raise ValueError(TURNED.format(turn))
        if page.sampleformat == 2 and page.bitspersample == 8:
            raise ValueError("expected ids of 0..255 in the TIFF, found 8 bits with a sign: save labels as PNG")
        if page.photometric == 0 and page.bitspersample > 8:
            raise ValueError("expected a TIFF in which 0 is black, found one in which it is white: save labels as PNG")
        if page.sampleformat not in (1, 2):
            raise ValueError("expected whole numbers in the TIFF, found floating point: save labels as PNG")


def with_pixels(data: bytes, pixels: np.ndarray) -> bytes:
    """The TIFF with other pixels in it.

    Args:
        data: a TIFF that `check_tiff` takes.
        pixels: (H, W) integers >= 0, or (H, W, C) uint8.

    Raises:
        ValueError: a value above what its pixels hold.
    """
    content = io.BytesIO(data)
    with _opened(content) as file:
        page: Any = file.pages[0]
        depth = page.bitspersample
        most = 2 ** (depth - (page.sampleformat == 2)) - 1
        if int(pixels.max(initial=0)) > most:
            raise ValueError(f"id {int(pixels.max())} does not fit into {depth} bits")
        if page.photometric == MIN_IS_WHITE:
            pixels = most - pixels.astype(np.int64)
        parts = [packed_rows(part, depth, file.byteorder == ">").tobytes() for part in _parts(pixels, page)]
        where, sizes = ("TileOffsets", "TileByteCounts") if page.is_tiled else ("StripOffsets", "StripByteCounts")
        if page.compression == 1 and [*map(len, parts)] == [*page.databytecounts]:
            offsets = [*page.dataoffsets]
        else:
            parts = [zlib.compress(part, 9) for part in parts] if page.compression != 1 else parts
            start = len(data) + len(data) % 2
            offsets = [start + sum(map(len, parts[:i])) for i in range(len(parts))]
        for offset, part in zip(offsets, parts, strict=True):
            content.seek(offset)
            content.write(part)
        if offsets != [*page.dataoffsets]:
            page.tags[where].overwrite(offsets, dtype=LONG)
            page.tags[sizes].overwrite([*map(len, parts)], dtype=LONG)
        for tag, value in (
            ("Compression", DEFLATE if page.compression != 1 else 1),
            ("Predictor", 1),
            ("FillOrder", 1),
        ):
            if tag in page.tags and page.tags[tag].value != value:
                page.tags[tag].overwrite(value)
        return content.getvalue()


@contextmanager
def _opened(content: io.BytesIO) -> Iterator[tifffile.TiffFile]:
    """A TIFF; what is wrong with it is one error, and no lines in a log besides."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        with tifffile.TiffFile(content) as file:
            yield file
    except ValueError:
        raise
    except Exception as error:  # of a damaged one, tifffile raises what comes: struct.error, ZeroDivisionError ...
        raise ValueError(f"damaged or truncated TIFF ({error})") from error
    finally:
        log.disabled = before


def _parts(pixels: np.ndarray, page: Any) -> list[np.ndarray]:
    """Its strips, or tiles, which are all of one size: filled up with the last row and column."""
    if not page.is_tiled:
        rows = min(page.rowsperstrip, len(pixels))
        return [pixels[top : top + rows] for top in range(0, len(pixels), rows)]
    height, width = page.tilelength, page.tilewidth
    (h, w), more = pixels.shape[:2], [(0, 0)] * (pixels.ndim - 2)
    filled = np.pad(pixels, [(0, -h % height), (0, -w % width), *more], mode="edge")
    return [
        filled[top : top + height, left : left + width]
        for top in range(0, len(filled), height)
        for left in range(0, filled.shape[1], width)
    ]
