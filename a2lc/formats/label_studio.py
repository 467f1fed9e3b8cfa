"""Label Studio: the JSON it exports, with brushes (its own run lengths) and polygons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from a2lc.files import file_bytes
from a2lc.formats.json_text import parsed
from a2lc.formats.shapes import corners, filled_polygon
from a2lc.formats.source import Edit, Files, Found, Picture, Source, found_pictures

BRUSH, POLYGON = "brushlabels", "polygonlabels"


def claims(content: Any) -> bool:
    """Whether a file with this content is an export of Label Studio."""
    if not isinstance(content, list) or not content:
        return False
    tasks = [task for task in content if isinstance(task, dict)]
    tasks = [task for task in tasks if isinstance(task.get("data"), dict) and isinstance(task.get("annotations"), list)]
    return len(tasks) == len(content)


def read(file: Path, root: Path) -> Source:
    """Each brush or polygon of an annotation that was not cancelled is an object; of several annotations of a task, of
    the first one, or the one that is marked as ground truth.

    Args:
        file: the exported JSON.
        root: the folder below which the images lie.

    Raises:
        ValueError: a damaged file; the message names the result.
        FileNotFoundError: no image is there.
    """
    content = parsed(file_bytes(file), file)
    images, listed, notes = Files(root), [], list[str]()
    names: dict[str, None] = {}
    more = others = guessed = 0
    for number, task in enumerate(content):
        given = [a for a in task["annotations"] if isinstance(a, dict) and isinstance(a.get("result"), list)]
        kept = [annotation for annotation in given if not annotation.get("was_cancelled")]
        kept.sort(key=lambda annotation: annotation.get("ground_truth") is not True)  # it comes first
        more += max(len(kept) - 1, 0)
        place = (number, task["annotations"].index(kept[0])) if kept else (number, 0)
        results = kept[0]["result"] if kept else []
        guessed += not kept and bool(task.get("predictions"))
        of_task = []
        for position, result in enumerate(results):
            if (label := _label(result)) is None:
                others += 1
            else:
                names[label] = None
                of_task.append((position, label, result))
        _check_one_image([result for _, _, result in of_task], f"{file}: task {number}")
        name, path = _image(images, task["data"], f"{file}: task {number}")
        listed.append((name, None if path is None else _picture(name, path, place, of_task, list(names))))
    if more:
        notes.append(f"{more} further annotations of the same images are not read, and stay as they are")
    if guessed:
        notes.append(f"{guessed} images have predictions only, which are not read: accept them in Label Studio first")
    if others:
        notes.append(f"{others} results are no brushes or polygons with one label, and stay as they are")
    pictures = found_pictures(listed, file, notes)
    return Source("label-studio", list(names), list(names), pictures, {file.name: file}, None, notes)


def edits(file: str, key: Any, value: Any) -> list[Edit]:
    """What changes where object `key`, positions of task, annotation and result, has label `value`."""
    task, annotation, result, kind = key
    return [Edit(file, (task, "annotations", annotation, "result", result, "value", kind, 0), value)]


def decoded_brush(values: Any) -> np.ndarray:
    """(n,) uint8 bytes of Label Studio's run lengths: a stream of bits; the number of values (32 bits), the bits of a
    value minus 1 (5), four sizes of run lengths minus 1 (4 each), then runs: one bit, equal values or not, two bits
    for the size of the length, the length minus 1, and the value or the values.

    Args:
        values: a list of bytes.

    Raises:
        ValueError: no such list, or a stream that ends too early or is longer than it says.
    """
    if not (isinstance(values, list) and all(type(v) is int and 0 <= v < 256 for v in values)):
        raise ValueError(f"expected run lengths as a list of bytes, found {str(values)[:60]}")
    bits = np.unpackbits(np.array(values, np.uint8))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("expected whole run lengths, found an early end")
        at += count
        return int("".join(map(str, bits[at - count : at].tolist())), 2)

    total, size = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if size != 8 or total > 400_000_000:
        raise ValueError(f"expected run lengths of at most 400,000,000 bytes, found {total} values of {size} bits")
    out, done = np.zeros(total, np.uint8), 0
    while done < total:
        equal, count = take(1), take(sizes[take(2)]) + 1
        if done + count > total:
            raise ValueError("expected run lengths as long as they say, found more")
        if equal:
            out[done : done + count] = take(8)
        else:
            if at + 8 * count > len(bits):
                raise ValueError("expected whole run lengths, found an early end")
            out[done : done + count] = np.packbits(bits[at : at + 8 * count])
            at += 8 * count
        done += count
    return out


def encoded_brush(mask: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask: all four channels of a pixel are 255 inside, 0 outside.

    Args:
        mask: (H, W) bool.
    """
    flat = np.ascontiguousarray(mask).ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts, ends = np.concatenate([[0], edges]), np.append(edges, flat.size)
    text = [f"{flat.size * 4:032b}", f"{7:05b}", f"{2:04b}{7:04b}{11:04b}{15:04b}"]  # lengths of 3, 8, 12 and 16 bits
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        left, value = (end - start) * 4, 255 if flat[start] else 0
        while left:
            count = min(left, 65_536)
            size, bits = next((k, b) for k, b in enumerate((3, 8, 12, 16)) if count <= 1 << b)
            text.append(f"1{size:02b}{count - 1:0{bits}b}{value:08b}")
            left -= count
    stream = np.frombuffer("".join(text).encode(), np.uint8) - ord("0")
    return [int(byte) for byte in np.packbits(stream)]


# ------------------------------------------------------------------------------------------------ inside
def _label(result: Any) -> str | None:
    """The one label of a brush or polygon; None: it is something else."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict):
        return None
    labels: Any = value.get(BRUSH, value.get(POLYGON))
    one = isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str)
    return str(labels[0]) if one and ("rle" in value or "points" in value) else None


def _check_one_image(results: list[dict[str, Any]], where: str) -> None:
    """Brushes and polygons of a task have to be of one image, which was not turned while they were drawn."""
    if len(of := sorted({str(result.get("to_name")) for result in results})) > 1:
        raise ValueError(f"{where}: expected results of one image, found those of {', '.join(of)} (to_name)")
    if turned := [result["image_rotation"] for result in results if result.get("image_rotation")]:
        what = f"expected an image that is not turned, found image_rotation {str(turned[0])[:60]}"
        raise ValueError(f"{where}: {what}: turn it back in Label Studio, and export again")


def _image(images: Files, data: dict[str, Any], where: str) -> tuple[str, Path | None]:
    """The image of a task: the one whose path, or else name, one of its fields ends with; a name that Label Studio has
    put eight digits and a hyphen before is found without them, too.

    Raises:
        ValueError: the fields name several images that are there.
    """
    found: dict[Path, str] = {}
    names = []
    for value in data.values():
        if not isinstance(value, str):
            continue
        address = urlparse(value)
        inside = parse_qs(address.query).get("d", [address.path])[0]  # /data/local-files/?d=folder/a.jpg
        parts = [part for part in PurePosixPath(unquote(inside).replace("\\", "/")).parts if part not in ("/", "..")]
        if not parts:
            continue
        names.append(parts[-1])
        ends = ["/".join(parts[k:]) for k in range(len(parts))]  # the longest first
        for known in (*ends, re.sub(r"^[0-9a-f]{8}-", "", parts[-1])):
            if (path := images.find(known)) is not None:
                found.setdefault(path, parts[-1])
                break
    if len(found) > 1:
        raise ValueError(f"{where}: expected one image, found {' and '.join(str(path) for path in found)} in its data")
    return next(((name, path) for path, name in found.items()), (next(iter(names), "?"), None))


def _picture(name: str, path: Path, place: tuple[int, int], results: list[Any], names: list[str]) -> Picture:
    def objects(height: int, width: int) -> Iterator[Found]:
        for position, label, result in results:
            try:
                kind, mask = _mask(result, height, width)
            except ValueError as error:
                raise ValueError(f"task {place[0]}, result {position}: {error}") from error
            yield Found([*place, position, kind], names.index(label), mask)

    given = [(r.get("original_height"), r.get("original_width")) for _, _, r in results]
    sizes = {(height, width) for height, width in given if type(height) is int and type(width) is int}
    return Picture(name, path, objects, sizes.pop() if len(sizes) == 1 else None)


def _mask(result: dict[str, Any], height: int, width: int) -> tuple[str, np.ndarray]:
    value = result["value"]
    if "rle" in value:
        flat = decoded_brush(value["rle"])
        if len(flat) != height * width * 4:
            raise ValueError(f"expected a brush of {height} x {width} pixels, found {len(flat) // 4} pixels")
        return BRUSH if BRUSH in value else POLYGON, flat.reshape(height, width, 4)[..., 3] > 0
    points = corners(value["points"]) * (width / 100, height / 100)  # per cent
    return BRUSH if BRUSH in value else POLYGON, filled_polygon(points, height, width)
