"""New pixels for a BMP, in their place: all other bytes stay."""

from __future__ import annotations

import struct

import numpy as np

from a2lc.files.png import packed_rows

UNCOMPRESSED = (0, 3)  # plain, and with bit masks of the channels
DEPTHS = {1: 1, 4: 1, 8: 1, 24: 3, 32: 4}  # bits of a pixel -> channels


def check_bmp(data: bytes) -> None:
    """Whether this is a BMP of a kind whose pixels can be replaced. Raises `ValueError` where it is not."""
    (header,) = struct.unpack("<I", data[14:18])
    if header < 40:
        raise ValueError("expected a BMP of Windows, found one of OS/2: save labels as PNG")
    depth, compression = struct.unpack("<HI", data[28:34])
    if compression not in UNCOMPRESSED:
        raise ValueError("expected an uncompressed BMP, found a compressed one: save labels as PNG")
    if depth not in DEPTHS:
        raise ValueError(f"expected a BMP of 1, 4, 8, 24 or 32 bits, found {depth}: save labels as PNG")


def with_pixels(data: bytes, pixels: np.ndarray) -> bytes:
    """The BMP with other pixels in it.

    Args:
        data: a BMP that `check_bmp` takes.
        pixels: (H, W) integers >= 0 of one with a palette, else (H, W, C) uint8, red first.

    Raises:
        ValueError: another kind of BMP, or a value above what its pixels hold.
    """
    check_bmp(data)
    offset, (width, height, _, depth) = struct.unpack("<I", data[10:14])[0], struct.unpack("<iiHH", data[18:30])
    channels = DEPTHS[depth]
    if channels == 1 and int(pixels.max(initial=0)) >= 2**depth:
        raise ValueError(f"id {int(pixels.max())} does not fit into {depth} bits")
    stride = (width * depth + 31) // 32 * 4
    rows = np.frombuffer(data, np.uint8, stride * abs(height), offset).reshape(abs(height), stride).copy()
    upright = rows[::-1] if height > 0 else rows  # a view: the last row stands first
    if channels == 1:
        packed = packed_rows(pixels, depth)
        upright[:, : packed.shape[1]] = packed
    else:
        coloured = upright[:, : width * channels].reshape(abs(height), width, channels)
        coloured[..., :3] = pixels[..., 2::-1]  # blue first
        upright[:, : width * channels] = coloured.reshape(abs(height), -1)
    return data[:offset] + rows.tobytes() + data[offset + rows.size :]
