"""Datasets of two small images in every convention that people keep labels in; `conventions.py` takes them through a
run. Each maker writes a folder and returns what has to be read from it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

SIZE = (24, 32)
NAMES = ("road", "car")
COLOURS = np.array([[128, 64, 128], [0, 0, 142], [10, 20, 30]], np.uint8)  # of road, car and void
LISTED = "road 128 64 128\ncar 0 0 142\n"
SAID = "colours: {road: [128, 64, 128], car: [0, 0, 142], void: [10, 20, 30]}\n"
VOID = 255


@dataclass(frozen=True)
class Made:
    """What a folder holds: image name -> (H, W) uint8 labels; pictures where they are compared, too."""

    labels: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


Maker = Callable[[Path], Made]
Write = Callable[[Path, np.ndarray], None]
"""Writes a label file; of places: 0 road, 1 car, 2 void."""


def places(turned: bool = False) -> np.ndarray:
    """(H, W) road on the left, car on the right, void in a corner; or the other way round."""
    found = np.zeros(SIZE, np.uint8)
    found[:, 14:], found[:8, :9] = 1, 2
    return np.ascontiguousarray(found[:, ::-1]) if turned else found


def without_void(found: np.ndarray) -> np.ndarray:
    return found % 2


def meant(found: np.ndarray) -> np.ndarray:
    """The labels that places are."""
    return np.array([0, 1, VOID], np.uint8)[found]


def picture(found: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, a photograph of places."""
    return np.array([[200, 30, 30], [30, 30, 200], [30, 200, 30]], np.uint8)[found]


def save(path: Path, pixels: np.ndarray | Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def plain(
    write: Write,
    label: str = "labels/{}.png",
    image: str = "images/{}.png",
    classes: str | None = "road\ncar\n",
    said: str = "",
    void: bool = True,
    names: tuple[str, str] = ("a", "b"),
    more: Callable[[Path], None] | None = None,
) -> Maker:
    """The maker of a folder with label files of one kind.

    Args:
        write: writes one.
        label, image: where they lie.
        classes: classes.txt.
        said: dataset.yaml.
        void: whether a corner has no label.
        names: of the images; the name of an image is the last part of where it lies.
        more: what else is done to the folder.
    """

    def make(root: Path) -> Made:
        labels = {}
        for name, turned in zip(names, (False, True), strict=True):
            found = places(turned) if void else without_void(places(turned))
            save(root / image.format(name), picture(found))
            (root / label.format(name)).parent.mkdir(parents=True, exist_ok=True)
            write(root / label.format(name), found)
            labels[name] = meant(found)
        if classes is not None:
            put(root / "classes.txt", classes)
        if said:
            put(root / "dataset.yaml", said)
        if more is not None:
            more(root)
        return Made(labels)

    return make


# ------------------------------------------------------------------------------------------------ writers of a file
def values(road: int, car: int, void: int = VOID, kind: type = np.uint8, **options: Any) -> Write:
    """Grey with these values."""
    return lambda path, found: save(path, np.array([road, car, void], kind)[found], **options)


def one_bit(path: Path, found: np.ndarray) -> None:
    save(path, Image.fromarray(found == 1))


def paletted(colours: np.ndarray = COLOURS, **options: Any) -> Write:
    """A palette with ids 0, 1 and 2; where it has 256 colours, void is 255."""

    def write(path: Path, found: np.ndarray) -> None:
        image = Image.fromarray(meant(found) if len(colours) == 256 else found)
        image.putpalette(np.ascontiguousarray(colours).tobytes())
        save(path, image, **options)

    return write


def full_palette() -> np.ndarray:
    """(256, 3) colours, those of the classes first."""
    colours = np.random.default_rng(0).integers(150, 256, (256, 3)).astype(np.uint8)
    colours[:2] = COLOURS[:2]
    return colours


def with_chunks(path: Path, found: np.ndarray) -> None:
    """A palette, transparency, texts, gamma, resolution and a chunk of nobody's."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "mine")
    info.add_itxt("Titel", "Straße", "de")
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"prVt", b"private", after_idat=True)
    paletted(full_palette(), transparency=bytes([255, 90, 0]), pnginfo=info, dpi=(72, 72))(path, found)


def rgb(path: Path, found: np.ndarray, **options: Any) -> None:
    save(path, COLOURS[found], **options)


def rgba(path: Path, found: np.ndarray, **options: Any) -> None:
    alpha = np.where(found == 2, 0, 255).astype(np.uint8)
    save(path, np.dstack([COLOURS[found], alpha]), **options)


def grey_alpha(path: Path, found: np.ndarray) -> None:
    alpha = np.where(found == 2, 0, 200).astype(np.uint8)
    save(path, np.stack([meant(found), alpha], -1))


def grey_png(bits: int) -> Write:
    """Grey of 2 or 4 bits, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def write(path: Path, found: np.ndarray) -> None:
        height, width = found.shape
        rows = b"".join(b"\0" + packed_row(row, bits) for row in found)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

    return write


def packed_row(row: np.ndarray, bits: int) -> bytes:
    """Pixels of fewer than 8 bits, several in a byte."""
    one_by_one = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(one_by_one.astype(np.uint8).ravel()).tobytes()


def bmp_four_bits(path: Path, found: np.ndarray) -> None:
    """BMP with a palette of 16 colours, which Pillow does not write."""
    height, width = found.shape
    rows = [packed_row(row, 4) for row in found[::-1]]
    pixels = b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    palette = b"".join(bytes([*colour[::-1], 0]) for colour in full_palette()[:16])
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 4, 0, len(pixels), 2835, 2835, 16, 0)
    path.write_bytes(struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + palette + pixels)


GEO = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (34735, "H", 4, (1, 1, 0, 0), True), (42113, "s", 0, "255", True)]


def tiff(found_as: Callable[[np.ndarray], np.ndarray] = meant, **options: Any) -> Write:
    """As GIS programs write it, by tifffile."""

    def write(path: Path, found: np.ndarray) -> None:
        tifffile.imwrite(path, found_as(found), metadata=None, **options)

    return write


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
