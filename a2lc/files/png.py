"""New pixels for a PNG: everything else in the file stays, byte for byte.

A PNG is a list of chunks. Mode, bit depth, palette, transparency, resolution and text are chunks of their own; pixels
are in IDAT. Replacing only those keeps what a library that decodes and encodes again would lose.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE = 3  # a colour type
CHANNELS = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}  # of grey, RGB, palette, grey with alpha and RGB with alpha
Chunk = tuple[bytes, bytes]


def with_pixels(data: bytes, pixels: np.ndarray, colours: np.ndarray | None = None) -> bytes:
    """The PNG with other pixels in it.

    The bit depth stays, unless a value does not fit (16 colours, and 255 for void): then it becomes 8. A palette that
    is too short is continued with white.

    Args:
        data: a PNG; with several channels of 8 bits each.
        pixels: (H, W) integers >= 0 of a grey or palette PNG, else (H, W, C).
        colours: (n, 3) uint8, a palette in place of the PNG's.

    Raises:
        ValueError: no such PNG, or a damaged one; another size, or a value above what its pixels hold (255 or 65535).
    """
    chunks = png_chunks(data)
    width, height, depth, colour_type, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    size = (height, width) if CHANNELS.get(colour_type) == 1 else (height, width, CHANNELS.get(colour_type))
    if pixels.shape != size:
        raise ValueError(f"expected ids of {' x '.join(map(str, size))} pixels, found {pixels.shape}")
    largest = int(pixels.max(initial=0))
    if largest >= 2**depth:
        depth = max(depth, 8)
    if largest >= 2**depth:
        raise ValueError(f"id {largest} does not fit into {depth} bits")
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, *rest[:2], 0)  # not interlaced
    packed = (b"IDAT", zlib.compress(_scanlines(pixels, depth), 9))
    new: list[Chunk] = [(b"IHDR", header)]
    for kind, content in chunks[1:]:
        if kind == b"PLTE" and colour_type == PALETTE:
            content = content if colours is None else colours.astype(np.uint8).tobytes()
            content = content.ljust(3 * (largest + 1), b"\xff")
        if kind != b"IDAT":
            new.append((kind, content))
        elif packed not in new:
            new.append(packed)
    end = len(SIGNATURE) + sum(len(content) + 12 for _, content in chunks)
    return SIGNATURE + b"".join(png_chunk(*chunk) for chunk in new) + data[end:]


def packed_rows(pixels: np.ndarray, depth: int, big_endian: bool = True) -> np.ndarray:
    """(H, bytes) uint8: pixels of (H, W) or (H, W, C) at 1, 2, 4, 8, 16 or 32 bits, each row filled up to a byte."""
    if depth >= 8:
        return pixels.astype(f"{'>' if big_endian else '<'}u{depth // 8}").view(np.uint8).reshape(len(pixels), -1)
    bits = (pixels[..., None].astype(np.uint8) >> np.arange(depth - 1, -1, -1, dtype=np.uint8)) & 1  # (H, W, depth)
    return np.packbits(bits.reshape(len(pixels), -1), axis=1)


def _scanlines(pixels: np.ndarray, depth: int) -> bytes:
    """Rows of pixels, each after a zero: no filter."""
    return np.pad(packed_rows(pixels, depth), ((0, 0), (1, 0))).tobytes()


def png_chunks(data: bytes) -> list[Chunk]:
    """Kind and content of every chunk.

    What stands behind the last one, as some programs leave it, is none.

    Raises:
        ValueError: no PNG, or a damaged one.
    """
    if not data.startswith(SIGNATURE):
        raise ValueError("expected a PNG file, found another format")
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while at + 8 <= len(data) and (not found or found[-1][0] != b"IEND"):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += length + 12
    if not found or found[0][0] != b"IHDR" or len(found[0][1]) != 13 or found[-1][0] != b"IEND":
        raise ValueError("damaged or truncated PNG file")
    return found


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as it stands in a file, with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
