"""One label file, both ways: the value of every pixel, and the same bytes with other values.

A value is what is stored for a pixel, an id; or, of colour pictures, its colour as one number, 0xRRGGBB. What a value
means is none of this module's business (`a2lc.datasets.label_values`).
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from a2lc.files import bmp, png, tiff
from a2lc.files.images import TURNED, UPRIGHT, decoded, file_bytes, orientation_of

GREY, COLOURED = ("1", "L", "I", "I;16", "I;16B", "I;16N", "LA"), ("RGB", "RGBA")
Colour = tuple[int, int, int]


def packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 red, green, blue -> (...) int32 0xRRGGBB."""
    red, green, blue = (colours[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue


def number_of(colour: Colour) -> int:
    """0xRRGGBB of red, green and blue, each in 0..255."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def colour_of(value: int) -> Colour:
    """Red, green and blue of 0xRRGGBB."""
    return value >> 16, value >> 8 & 255, value & 255


@dataclass(frozen=True)
class LabelFile:
    """What stands in a label file: PNG, TIFF, BMP or lossless WebP, of ids (grey or palette, with or without alpha) or
    of colours.

    Attributes:
        data: its bytes.
        name: what errors call it.

    Raises:
        ValueError: damaged; a lossy format, several pictures, an orientation (EXIF), or pixels that are neither ids nor
            colours of 8 bits per channel. The message begins with `name`.
    """

    data: bytes
    name: object

    def __post_init__(self) -> None:
        image = self._image
        try:
            self._check(image)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error

    @cached_property
    def _image(self) -> Image.Image:
        return decoded(self.data, self.name)

    def _check(self, image: Image.Image) -> None:
        kind, mode = image.format, image.mode
        if kind == "JPEG" or (kind == "WEBP" and b"VP8L" not in self.data):
            raise ValueError(f"expected ids, found a {kind} picture, which blurs them: save labels as PNG")
        if kind == "TIFF":
            tiff.check_tiff(self.data)
        elif kind == "BMP":
            bmp.check_bmp(self.data)
        elif (pictures := getattr(image, "n_frames", 1)) != 1:
            raise ValueError(f"expected one picture, found {pictures} in one file: save labels as PNG")
        elif (turn := orientation_of(image)) != UPRIGHT:
            raise ValueError(TURNED.format(turn))
        if kind == "PNG" and self.data[24] == 16 and self.data[25] != 0:
            raise ValueError("expected 8 bits per channel of a colour picture, found 16: save labels as PNG of 8 bits")
        if mode not in (*GREY, *COLOURED, "P"):
            raise ValueError(f"expected one id or one colour per pixel, found mode {mode}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._image.height, self._image.width

    @property
    def is_coloured(self) -> bool:
        """Whether its pixels are red, green and blue."""
        return self._image.mode in COLOURED

    @property
    def is_deep(self) -> bool:
        """Whether its ids have more than 8 bits."""
        return self._image.mode.startswith("I")

    @property
    def palette(self) -> np.ndarray | None:
        """(n, 3) uint8 colours of ids 0..n-1 of a file with a palette."""
        if self._image.mode != "P":
            return None
        return np.array(self._image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)

    @cached_property
    def _pixels(self) -> np.ndarray:
        """(H, W) int32 of grey and palette files, else (H, W, C) uint8."""
        pixels = np.asarray(self._image)
        if pixels.ndim == 3:
            return pixels
        if self._image.mode == "L" and (most := 2**self._grey_bits - 1) < 255:
            pixels = pixels // (255 // most)  # Pillow stretches it to 0..255
        return pixels.astype(np.int32)

    @property
    def _grey_bits(self) -> int:
        """Bits of a pixel of a grey file of at most 8 that Pillow stretches, 8 of others."""
        if self._image.format == "PNG":
            return self.data[24]
        if self._image.format == "TIFF":
            return int(self._image.tag_v2.get(258, (8,))[0])  # type: ignore[attr-defined]
        return 8

    def ids(self) -> np.ndarray:
        """(H, W) int32, the number that is stored for each pixel; of red, green and blue that are all the same, one of
        them.

        Raises:
            ValueError: colours.
        """
        pixels = self._pixels
        if pixels.ndim == 2:
            return pixels
        if self.is_coloured and (pixels[..., :1] != pixels[..., 1:3]).any():
            found = f"found mode {self._image.mode}"
            raise ValueError(f"{self.name}: expected one id per pixel (grey or palette), {found}")
        return pixels[..., 0].astype(np.int32)

    def colours(self) -> np.ndarray:
        """(H, W) int32, the colour of each pixel, 0xRRGGBB; a palette's where there is one.

        Raises:
            ValueError: grey of 16 bits, or an id that the palette has not.
        """
        pixels = self._pixels
        if self.is_coloured:
            return packed(pixels)
        if (palette := self.palette) is not None:
            if int(pixels.max(initial=0)) >= len(palette):
                raise ValueError(f"{self.name}: expected a colour for every id, found none for {int(pixels.max())}")
            return packed(palette)[pixels]
        return self._shades() * 0x010101

    def _shades(self) -> np.ndarray:
        """(H, W) int32 in 0..255 of a grey file."""
        if self.is_deep:
            raise ValueError(f"{self.name}: expected a colour per pixel, found grey of 16 bits or more")
        pixels = self._pixels[..., 0].astype(np.int32) if self._pixels.ndim == 3 else self._pixels
        return pixels * self._step

    @property
    def _step(self) -> int:
        """Between the shades of two ids of a grey file."""
        bits = 1 if self._image.mode == "1" else self._grey_bits if self._image.mode == "L" else 8
        return 255 // (2**bits - 1)

    def with_ids(self, ids: np.ndarray) -> bytes:
        """The file with other ids: (H, W) integers >= 0. Nothing but pixels changes; alpha stays.

        Raises:
            ValueError: an id does not fit in; or as `ids`.
        """
        old = self.ids()
        pixels = self._pixels.copy()
        changed = self._changed(old, ids)
        if pixels.ndim == 2:
            pixels[changed] = ids[changed]
        else:
            if int(ids.max(initial=0)) > 255:
                raise ValueError(f"{self.name}: id {int(ids.max())} does not fit into 8 bits")
            pixels[changed, : 3 if self.is_coloured else 1] = ids[changed][:, None]
        return self._written(pixels)

    def with_colours(self, colours: np.ndarray) -> bytes:
        """The file with other colours: (H, W) integers 0xRRGGBB. Nothing but pixels changes; alpha stays. A colour
        that a palette lacks is added to a PNG's where there is room.

        Raises:
            ValueError: a colour does not fit in; or as `colours`.
        """
        changed = self._changed(self.colours(), colours)
        pixels, palette = self._pixels.copy(), self.palette
        new = np.unique(colours[changed]).tolist()
        if self.is_coloured:
            pixels[changed, :3] = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1)[changed]
        elif palette is not None:
            known = packed(palette).tolist()
            if missing := [colour for colour in new if colour not in known]:
                if self._image.format != "PNG" or len(known) + len(missing) > 256:
                    raise ValueError(f"{self.name}: its palette has no room for {colour_of(missing[0])}")
                known += missing
                palette = np.array([colour_of(colour) for colour in known], dtype=np.uint8)
            for colour in new:
                pixels[changed & (colours == colour)] = known.index(colour)
        else:
            shades = [shade for shade in range(0, 256, self._step)]
            if wrong := [colour for colour in new if colour not in [shade * 0x010101 for shade in shades]]:
                raise ValueError(f"{self.name}: is grey, so it cannot hold the colour {colour_of(wrong[0])}")
            values = ((colours & 255) // self._step)[changed]
            pixels[changed] = values if pixels.ndim == 2 else np.stack([values, pixels[changed, 1]], -1)
        return self._written(pixels, palette)

    def _changed(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        if old.shape != new.shape:
            size = " x ".join(map(str, old.shape))
            raise ValueError(f"{self.name}: expected ids of {size} pixels, found {new.shape}")
        return old != new

    def _written(self, pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
        if (pixels == self._pixels).all():
            return self.data
        try:
            if self._image.format == "PNG":
                data = png.with_pixels(self.data, pixels, palette)
            elif self._image.format == "TIFF":
                data = tiff.with_pixels(self.data, pixels)
            elif self._image.format == "BMP":
                data = bmp.with_pixels(self.data, pixels)
            else:
                data = self._as_webp(pixels)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if (LabelFile(data, self.name)._pixels != pixels).any():
            raise ValueError(f"{self.name}: a {self._image.format} of a kind that cannot be written; save it as PNG")
        return data

    def _as_webp(self, pixels: np.ndarray) -> bytes:
        """Encoded anew, as no other library replaces pixels; `exact` keeps colours below full transparency."""
        kept = {key: self._image.info[key] for key in ("icc_profile", "exif", "xmp") if key in self._image.info}
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "WEBP", lossless=True, exact=True, **kept)
        return content.getvalue()


def read_label_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of class ids or mask ids: (H, W), uint8 for files of at most 8 bits (grey or palette), else int32.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or has colours instead of one id per pixel.
    """
    file = LabelFile(file_bytes(path), path)
    if file.is_coloured:
        raise ValueError(f"{path}: expected one id per pixel (grey or palette PNG), found a picture of colours")
    return file.ids().astype(np.int32 if file.is_deep else np.uint8)
