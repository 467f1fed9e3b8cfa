"""One picture or label file, read once: what `inspect` has to know about it. Nothing is raised here: what is wrong with
a file is part of what is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from a2lc.datasets.label_values import LabelValues
from a2lc.files import FORMATS, UPRIGHT, LabelFile, decoded, one_line, opened, orientation_of, stored_size
from a2lc.files.label_file import Colour

KINDS = {"1": "1 bit", "L": "grey", "LA": "grey with alpha", "P": "palette", "F": "floating point", "I": "grey 32 bit"}
MOST = 256  # values of a label file that are kept, the most frequent


@dataclass(frozen=True)
class PictureLook:
    """A picture.

    Attributes:
        size: height and width as stored; (0, 0) where it cannot be read.
        kind: format and mode in words.
        orientation: EXIF orientation, 1..8.
        brightest: largest value of grey of 16 bits; None: of other pictures, or not looked at.
        digest: of the file's content; empty: not looked at.
        trouble: why it cannot be read; empty: it can.
    """

    size: tuple[int, int] = (0, 0)
    kind: str = ""
    orientation: int = UPRIGHT
    brightest: int | None = None
    digest: str = ""
    trouble: str = ""

    @property
    def turned(self) -> bool:
        """Whether height and width change places where it is shown upright."""
        return self.orientation >= 5

    def shown_size(self, upright: bool) -> tuple[int, int]:
        """Height and width as it is shown."""
        return self.size[::-1] if upright and self.turned else self.size


@dataclass(frozen=True)
class LabelLook:
    """A label file.

    Attributes:
        size: height and width; (0, 0) where it cannot be read.
        kind: format and mode in words.
        is_colour: whether `values` are colours, 0xRRGGBB; else they are ids.
        values: value -> number of pixels, at most `MOST`.
        distinct: how many values there are.
        palette: id -> colour, of ids that occur in a file with a palette.
        lossy: whether its format blurs ids.
        trouble: why it cannot be read; empty: it can.
    """

    size: tuple[int, int] = (0, 0)
    kind: str = ""
    is_colour: bool = False
    values: Mapping[int, int] = field(default_factory=dict)
    distinct: int = 0
    palette: Mapping[int, Colour] = field(default_factory=dict)
    lossy: bool = False
    trouble: str = ""


def look_at_picture(path: Path, thorough: bool) -> PictureLook:
    """What is known of a picture.

    Args:
        path: its file.
        thorough: whether to read its pixels as well, which shows whether it is whole, and its content for duplicates.
    """
    try:
        if not thorough:
            with opened(path) as image:
                return PictureLook(stored_size(image), _kind(image), orientation_of(image))
        data = path.read_bytes()
        with opened(data) as image:
            size, kind, orientation = stored_size(image), _kind(image), orientation_of(image)
            brightest = None
            if image.format == "JPEG":
                image.draft(None, (1, 1))  # an eighth of each side: enough to see whether it is whole
                image.load()
            elif (whole := decoded(data, path)).mode.startswith("I;16"):
                brightest = int(np.asarray(whole).max())
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        return PictureLook(size, kind, orientation, brightest, digest)
    except Exception as error:  # see a2lc.files.decoded
        return PictureLook(trouble=_why(error, path))


def look_at_label(path: Path, values: LabelValues | None) -> LabelLook:
    """What is known of a label file.

    Args:
        path: its file.
        values: what its values are said to mean; None: nobody has said it.
    """
    size, kind, lossy = (0, 0), "", False
    try:
        data = path.read_bytes()
        with opened(data) as image:
            size, kind = (image.height, image.width), _kind(image)
            lossy = image.format == "JPEG" or (image.format == "WEBP" and b"VP8L" not in data)
        file = LabelFile(data, path.name)
        pixels, is_colour = _pixels(file, values)
        counts = _counts(pixels)
        kept = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST])
        palette = file.palette
        drawn = {} if palette is None or is_colour else {k: palette[k] for k in kept if k < len(palette)}
        named = {k: (int(r), int(g), int(b)) for k, (r, g, b) in drawn.items()}
        return LabelLook(size, kind, is_colour, kept, len(counts), named)
    except Exception as error:  # see a2lc.files.decoded
        return LabelLook(size, kind, lossy=lossy, trouble=_why(error, path))


def label_pixels(path: Path, values: LabelValues | None) -> np.ndarray:
    """(H, W) int32, the value of every pixel, as `look_at_label` counts them.

    Raises:
        ValueError, OSError: it cannot be read.
    """
    return _pixels(LabelFile(path.read_bytes(), path.name), values)[0]


def _pixels(file: LabelFile, values: LabelValues | None) -> tuple[np.ndarray, bool]:
    """The value of every pixel, and whether these are colours."""
    if values is not None and values.written.reads_colours(file):
        return file.colours(), True
    if file.is_coloured:
        try:
            return file.ids(), False  # red, green and blue are the same everywhere
        except ValueError:
            return file.colours(), True
    return file.ids(), False


def _counts(values: np.ndarray) -> dict[int, int]:
    """Value -> number of pixels. Neighbours are mostly alike, so runs of them are counted."""
    flat = values.ravel()
    if not flat.size:
        return {}
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size)
    present, which = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(which.ravel(), weights=lengths).astype(np.int64)
    return dict(zip(present.tolist(), pixels.tolist(), strict=True))


def _kind(image: Image.Image) -> str:
    mode = f"grey {image.mode[2:4]} bit" if image.mode.startswith("I;") else KINDS.get(image.mode, image.mode)
    return f"{image.format} {mode}"


def _why(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror})"
    told = one_line(error) or type(error).__name__
    if "cannot identify image" in told:
        return f"no picture that can be read ({', '.join(FORMATS)})"
    return re.sub(rf"^(({re.escape(str(path))}|{re.escape(path.name)}): )+", "", told)
