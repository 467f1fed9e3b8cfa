"""labelme: a JSON file per image, with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from a2lc.files import LabelFile, file_bytes
from a2lc.formats.json_text import parsed
from a2lc.formats.shapes import circle, corners, filled_polygon, filled_rectangle
from a2lc.formats.source import Edit, Files, Found, Picture, Source, found_pictures

AREAS = ("polygon", "rectangle", "oriented_rectangle", "circle", "mask")


def claims(content: Any) -> bool:
    """Whether a file with this content is labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(files: list[Path], root: Path) -> Source:
    """Shapes of one label and one group_id are one object; what has no area (points, lines) stays as it is.

    Args:
        files: the JSON files.
        root: the folder below which they and the images lie.

    Raises:
        ValueError: a damaged file; the message names the shape.
        FileNotFoundError: no image is there.
    """
    images, names = Files(root), set[str]()
    listed: list[tuple[str, Picture | None]] = []
    without_area, notes = 0, list[str]()
    kept = {}
    for file in files:
        content, relative = parsed(file_bytes(file), file), file.relative_to(root).as_posix()
        for position, shape in enumerate(content["shapes"]):
            if not (isinstance(shape, dict) and isinstance(shape.get("label"), str)):
                raise ValueError(f"{file}: shapes[{position}]: expected a label, found {str(shape)[:60]}")
            names.add(shape["label"])
            without_area += _kind(shape) not in AREAS
        given = PureWindowsPath(str(content["imagePath"]))  # written on Windows or elsewhere
        name = given.name
        there = Path(os.path.normpath(file.parent / given.as_posix()))
        beside = there if there.is_relative_to(root) and there.is_file() else file.parent / name
        path = beside if beside.is_file() else images.find(name, file.parent.name)
        kept[relative] = file
        where = (beside if beside == there else file.parent / name).relative_to(root).as_posix()
        within = content.get("imageData")
        if path is None and isinstance(within, str):  # the image itself, in base64
            listed.append((where, _picture(where, file, relative, content, partial(_decoded, within, "imageData"))))
        else:
            listed.append((where, None if path is None else _picture(where, path, relative, content)))
    if without_area:
        notes.append(f"{without_area} shapes are no areas ({', '.join(AREAS)}), and stay as they are")
    pictures = found_pictures(listed, root / "*.json", notes)
    ordered = sorted(names)
    pictures = [_with_labels(picture, ordered) for picture in pictures]
    return Source("labelme", ordered, ordered, pictures, kept, None, notes)


def edits(file: str, key: Any, value: Any) -> list[Edit]:
    """What changes where object `key`, its file and the positions of its shapes, has label `value`."""
    return [Edit(key[0], ("shapes", position, "label"), value) for position in key[1]]


def shape_mask(shape: dict[str, Any], height: int, width: int) -> np.ndarray:
    """(H, W) bool of a shape that has an area, drawn as labelme does.

    Raises:
        ValueError: points or a mask that do not fit.
    """
    kind, points = _kind(shape), corners(shape.get("points"))
    if kind in ("polygon", "oriented_rectangle"):
        return filled_polygon(points, height, width)
    if len(points) != 2:
        raise ValueError(f"expected two points of a {kind}, found {len(points)}")
    if kind == "circle":
        return circle(points, height, width)
    if kind == "rectangle":
        return filled_rectangle(points, height, width)
    return _stored_mask(shape, points, height, width)


# ------------------------------------------------------------------------------------------------ inside
def _kind(shape: dict[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")


def _picture(
    name: str, path: Path, file: str, content: dict[str, Any], data: Callable[[], bytes] | None = None
) -> Picture:
    groups: dict[Any, list[int]] = {}
    for position, shape in enumerate(content["shapes"]):
        if _kind(shape) in AREAS:
            group = shape.get("group_id")
            groups.setdefault(position if group is None else (shape["label"], str(group)), []).append(position)

    def objects(height: int, width: int) -> Iterator[Found]:
        for positions in groups.values():
            mask = np.zeros((height, width), bool)
            for position in positions:
                try:
                    mask |= shape_mask(content["shapes"][position], height, width)
                except ValueError as error:
                    raise ValueError(f"{file}: shapes[{position}]: {error}") from error
            yield Found([file, positions, content["shapes"][positions[0]]["label"]], -1, mask)

    height, width = content.get("imageHeight"), content.get("imageWidth")
    return Picture(name, path, objects, None if height is None or width is None else (height, width), data)


def _with_labels(picture: Picture, names: list[str]) -> Picture:
    """The picture with labels as positions in the list of all, which is known when all files have been read."""

    def objects(height: int, width: int) -> Iterator[Found]:
        for found in picture.objects(height, width):
            file, positions, label = found.key
            yield Found([file, positions], names.index(label), found.mask)

    return replace(picture, objects=objects)


def _stored_mask(shape: dict[str, Any], points: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask that is kept as PNG of its box; both corners of the box belong to it."""
    values = LabelFile(_decoded(str(shape.get("mask")), "mask"), "mask").ids()
    (left, top), (right, bottom) = points.round().astype(int).tolist()
    if (
        values.shape != (bottom - top + 1, right - left + 1)
        or left < 0
        or top < 0
        or right >= width
        or bottom >= height
    ):
        raise ValueError(f"expected a mask of its box {left, top, right, bottom} in the image, found {values.shape}")
    mask = np.zeros((height, width), bool)
    mask[top : bottom + 1, left : right + 1] = values > 0
    return mask


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"{what}: expected an image in base64, found {text[:60]!r}") from error
