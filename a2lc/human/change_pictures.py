"""Pictures of changed labels: what to look at before a list of changes is applied."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from a2lc.datasets import Classes
from a2lc.masks import VOID

OPACITY = 0.5
MARGIN, MOST_LINES = 6, 40
HEIGHT = 300  # smaller images are enlarged


def draw_changes(image: np.ndarray, objects: np.ndarray, changes: pd.DataFrame, classes: Classes) -> Image.Image:
    """An image with its changed masks in the colours of the labels, before on the left and after on the right; each
    with its outline and its number, which the lines below explain.

    Args:
        image: (H, W, 3) uint8.
        objects: (H, W) mask ids.
        changes: the image's rows of ``changes.csv`` (`a2lc.human.write_back`).
        classes: names and colours; void is white.

    Returns:
        An RGB picture; small images are enlarged by a whole factor, to about `HEIGHT` pixels.
    """
    larger = max(1, round(HEIGHT / image.shape[0]))
    image, objects = (np.repeat(np.repeat(values, larger, 0), larger, 1) for values in (image, objects))
    typeface = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # knows arrows and accents
    font = ImageFont.truetype(str(typeface), max(11, image.shape[0] // 45))
    halves = [_tinted(image, objects, changes, column, classes, font) for column in ("before", "after")]
    width, height = halves[0].size
    lines = [
        f"{row.mask_id}: {row.before} → {row.after} ({row.source}, round {row.round})" for row in changes.itertuples()
    ]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more, see changes.csv"]
    lines = ["left: before, right: after", *lines]
    text = "\n".join(lines)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((MARGIN, MARGIN), text, font)
    canvas = Image.new("RGB", (max(2 * width + MARGIN, int(box[2]) + MARGIN), height + int(box[3]) + MARGIN), "white")
    canvas.paste(halves[0], (0, 0))
    canvas.paste(halves[1], (width + MARGIN, 0))
    ImageDraw.Draw(canvas).multiline_text((MARGIN, height + MARGIN), text, "black", font)
    return canvas


def _tinted(
    image: np.ndarray,
    objects: np.ndarray,
    changes: pd.DataFrame,
    column: str,
    classes: Classes,
    font: ImageFont.FreeTypeFont,
) -> Image.Image:
    ids = changes["mask_id"].to_numpy()
    colours = [(255, 255, 255) if name == VOID else classes.palette[classes.index(name)] for name in changes[column]]
    lookup = np.zeros((int(objects.max()) + 1, 3))
    lookup[ids] = colours
    changed = np.isin(objects, ids)
    picture = image.astype(float)
    picture[changed] = (1 - OPACITY) * picture[changed] + OPACITY * lookup[objects[changed]]
    outline = find_boundaries(np.where(changed, objects, 0), mode="inner")
    picture[outline] = 255
    drawn = Image.fromarray(picture.round().astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for mask_id in ids:
        rows, columns = np.nonzero(objects == mask_id)
        middle = len(rows) // 2  # a pixel of the mask, in the middle of its rows
        at = np.clip((columns[middle], rows[middle]), font.size, np.array(drawn.size) - font.size).tolist()
        pen.text(at, str(mask_id), "white", font, anchor="mm", stroke_width=2, stroke_fill="black")
    return drawn
