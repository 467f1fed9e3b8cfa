"""New pixels for a PNG of ids: everything else in the file stays, byte for byte.

A PNG is a list of chunks. Mode, bit depth, palette, transparency, resolution and text are chunks of their own; pixels
are in IDAT. Replacing only those keeps what a library that decodes and encodes again would lose.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from a2lc.files import label_ids

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3  # colour types
Chunk = tuple[bytes, bytes]


def read_ids(data: bytes) -> np.ndarray:
    """(H, W) uint8 or int32 ids of a PNG, as `a2lc.files.read_label_png` reads a file.

    Raises:
        ValueError: damaged, or not one id per pixel.
    """
    return label_ids(data, "label PNG")


def with_ids(data: bytes, ids: np.ndarray) -> bytes:
    """The PNG with other ids in it.

    The bit depth stays, unless an id does not fit (16 colours, and 255 for void): then it becomes 8. A palette that is
    too short is continued with white.

    Args:
        data: a grey or palette PNG.
        ids: (H, W) integers >= 0.

    Raises:
        ValueError: no such PNG, or a damaged one; another size, or an id above what its pixels hold (255 or 65535).
    """
    chunks = _chunks(data)
    width, height, depth, colour_type, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    if ids.shape != (height, width):
        raise ValueError(f"expected ids of {height} x {width} pixels, found {ids.shape}")
    if colour_type not in (GREY, PALETTE):
        raise ValueError(f"expected a grey or palette PNG, found colour type {colour_type}")
    largest = int(ids.max(initial=0))
    if largest >= 2**depth:
        depth = max(depth, 8)
    if largest >= 2**depth:
        raise ValueError(f"id {largest} does not fit into {depth} bits")
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, *rest[:2], 0)  # not interlaced
    pixels = (b"IDAT", zlib.compress(_scanlines(ids, depth), 9))
    new: list[Chunk] = [(b"IHDR", header)]
    for kind, content in chunks[1:]:
        if kind == b"PLTE":
            content = content.ljust(3 * (largest + 1), b"\xff")
        if kind != b"IDAT":
            new.append((kind, content))
        elif pixels not in new:
            new.append(pixels)
    return SIGNATURE + b"".join(_packed(*chunk) for chunk in new)


def _scanlines(ids: np.ndarray, depth: int) -> bytes:
    """Rows of pixels, each after a zero: no filter."""
    if depth == 16:
        packed = ids.astype(">u2").view(np.uint8).reshape(len(ids), -1)
    else:
        bits = (ids[..., None].astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1  # (H, W, depth)
        packed = np.packbits(bits.reshape(len(ids), -1), axis=1)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()


def _chunks(data: bytes) -> list[Chunk]:
    if not data.startswith(SIGNATURE):
        raise ValueError("expected a PNG file, found another format")
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += length + 12
    if not found or found[0][0] != b"IHDR" or len(found[0][1]) != 13 or found[-1][0] != b"IEND":
        raise ValueError("damaged or truncated PNG file")
    return found


def _packed(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
