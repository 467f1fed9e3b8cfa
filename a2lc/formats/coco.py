"""COCO: instances (polygons, run lengths, crowds) and panoptic (segments in PNGs)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2lc.files import LabelFile, below, file_bytes
from a2lc.formats.json_text import parsed
from a2lc.formats.rasters import check_size
from a2lc.formats.shapes import coco_polygons, run_lengths_as_mask
from a2lc.formats.source import Colour, Edit, Files, Found, Picture, Source, found_pictures


def claims(content: Any) -> str | None:
    """The format of a file with this content, if it is one of COCO's."""
    fields = ("images", "annotations", "categories")
    if not (isinstance(content, dict) and all(isinstance(content.get(name), list) for name in fields)):
        return None
    first: Any = next(iter(content["annotations"]), {})
    return "panoptic" if isinstance(first, dict) and "segments_info" in first else "coco"


def read_instances(file: Path, root: Path) -> Source:
    """Instances: each annotation is an object.

    Args:
        file: the JSON file.
        root: the folder below which the images lie.

    Raises:
        ValueError: a damaged file; the message names the annotation.
        FileNotFoundError: no image is there.
    """
    content = parsed(file_bytes(file), file)
    of_category, ids = _categories(content, file), _image_ids(content, file)
    of_image: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    seen: set[Any] = set()
    repeated = 0
    for position, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict) or not {"image_id", "category_id"} <= annotation.keys():
            raise ValueError(f"{file}: annotations[{position}]: expected image_id and category_id, found none")
        if _key(annotation["category_id"]) not in of_category:
            found = f"found {annotation['category_id']!r}"
            raise ValueError(f"{file}: annotations[{position}]: expected the id of a category, {found}")
        _is_crowd(annotation, f"{file}: annotations[{position}]")
        if annotation.get("id") is not None:
            repeated += _key(annotation["id"]) in seen
            seen.add(_key(annotation["id"]))
        of_image[_key(annotation["image_id"])].append((position, annotation))
    notes = _of_others({image_id: len(found) for image_id, found in of_image.items()}, ids, file)
    if repeated:
        notes.append(f"{repeated} annotations have the id of another: each is an object here, not so for pycocotools")

    def picture(entry: dict[str, Any], path: Path) -> Picture:
        found = of_image.get(_key(entry.get("id")), [])

        def objects(height: int, width: int) -> Iterator[Found]:
            for position, annotation in found:
                try:
                    mask = _mask(annotation.get("segmentation"), height, width)
                except ValueError as error:
                    raise ValueError(f"annotations[{position}].segmentation: {error}") from error
                label = of_category[_key(annotation["category_id"])]
                yield Found(position, label, mask, _is_crowd(annotation, f"annotations[{position}]"))

        return Picture(entry["file_name"], path, objects, _size_of(entry))

    pictures = _pictures(content, file, root, picture, notes)
    categories = content["categories"]
    keys = [category["id"] for category in categories]
    return Source("coco", _names(categories), keys, pictures, {file.name: file}, _colours(categories), notes)


def edits_of_instances(file: str, key: Any, value: Any) -> list[Edit]:
    """What changes where annotation `key` has category `value`."""
    return [Edit(file, ("annotations", key, "category_id"), value)]


def read_panoptic(file: Path, root: Path) -> Source:
    """Panoptic: each segment is an object; its pixels are those of its id in the PNG, R + 256 G + 65536 B.

    Arguments and errors are those of `read_instances`.
    """
    content = parsed(file_bytes(file), file)
    of_category, listed = _categories(content, file), _image_ids(content, file)
    of_image: dict[Any, int] = {}
    files = {file.name: file}
    for position, annotation in enumerate(content["annotations"]):
        where = f"{file}: annotations[{position}]"
        if not isinstance(annotation, dict) or not isinstance(annotation.get("segments_info"), list):
            raise ValueError(f"{where}: expected segments_info, found none")
        _check_segments(annotation["segments_info"], of_category, where)
        if (image_id := _key(annotation.get("image_id"))) in of_image:
            both = f"found image_id {image_id!r} in annotations[{of_image[image_id]}], too"
            raise ValueError(f"{where}: expected the segments of an image in one place, {both}")
        of_image[image_id] = position
    notes = _of_others(dict.fromkeys(of_image, 1), listed, file)
    maps = Files(root, (".png",))

    def picture(entry: dict[str, Any], path: Path) -> Picture:
        position = of_image.get(_key(entry.get("id")))
        if position is None:
            return Picture(entry["file_name"], path, lambda height, width: (), _size_of(entry))
        annotation = content["annotations"][position]
        name = str(annotation.get("file_name", Path(entry["file_name"]).with_suffix(".png")))
        png = _map_file(maps, file, name)
        kept = f"{file.stem}/{name}"
        below(root, kept)
        files[kept] = png

        def objects(height: int, width: int) -> Iterator[Found]:
            ids = segment_ids(png)
            check_size(ids, height, width, png)
            told = {segment["id"] for segment in annotation["segments_info"]}
            if stray := sorted(set(np.unique(ids).tolist()) - told - {0}):
                what = f"expected the segments of annotations[{position}] and 0 for none"
                raise ValueError(f"{png}: {what}, found {stray[0]} ({len(stray)} such)")
            for number, segment in enumerate(annotation["segments_info"]):
                label, crowd = of_category[_key(segment["category_id"])], _is_crowd(segment, "")
                yield Found([position, number], label, ids == segment["id"], crowd)

        return Picture(entry["file_name"], path, objects, _size_of(entry))

    pictures = _pictures(content, file, root, picture, notes)
    categories = content["categories"]
    keys = [category["id"] for category in categories]
    return Source("panoptic", _names(categories), keys, pictures, files, _colours(categories), notes)


def edits_of_panoptic(file: str, key: Any, value: Any) -> list[Edit]:
    """What changes where segment `key`, positions of annotation and segment, has category `value`."""
    return [Edit(file, ("annotations", key[0], "segments_info", key[1], "category_id"), value)]


def segment_ids(png: Path) -> np.ndarray:
    """(H, W) int32 ids of the segments in a PNG of COCO panoptic.

    Raises:
        ValueError: damaged, lossy, or without red, green and blue of 8 bits each.
    """
    file = LabelFile(file_bytes(png), png)
    if not file.is_coloured:
        raise ValueError(f"{png}: expected red, green and blue, which hold a segment's id, found grey or a palette")
    colours = file.colours()
    return colours >> 16 | colours & 0xFF00 | (colours & 255) << 16


# ------------------------------------------------------------------------------------------------ inside
def _pictures(content: dict[str, Any], file: Path, root: Path, make: Any, notes: list[str]) -> list[Picture]:
    images, listed = Files(root, but=file.with_suffix("")), []
    for position, entry in enumerate(content["images"]):
        if not (isinstance(entry, dict) and isinstance(entry.get("file_name"), str)):
            raise ValueError(f"{file}: images[{position}]: expected a file_name, found {str(entry)[:60]}")
        path = images.find(entry["file_name"], file.stem)
        listed.append((entry["file_name"], None if path is None else make(entry, path)))
    return found_pictures(listed, file, notes)


def _mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    if segmentation is None:  # a box without an outline
        return np.zeros((height, width), bool)
    if isinstance(segmentation, dict):
        return run_lengths_as_mask(segmentation, height, width)
    return coco_polygons(segmentation, height, width)


def _map_file(maps: Files, file: Path, name: str) -> Path:
    """The PNG of a panoptic annotation: in the folder that is called as the JSON file, else the only one there is."""
    below(file.parent, name)
    if (beside := file.with_suffix("") / name).is_file():
        return beside
    if (path := maps.find(name, file.stem)) is None:
        raise FileNotFoundError(f"{file.with_suffix('') / name}: no such file, but {file} has segments of it")
    return path


def _categories(content: dict[str, Any], file: Path) -> dict[Any, int]:
    """Id of a category -> position."""
    found: dict[Any, int] = {}
    for position, category in enumerate(content["categories"]):
        if not isinstance(category, dict) or "id" not in category:
            raise ValueError(f"{file}: categories[{position}]: expected id and name, found {str(category)[:60]}")
        if _key(category["id"]) in found:
            raise ValueError(f"{file}: categories: expected every id once, found {category['id']!r} twice")
        found[_key(category["id"])] = position
    return found


def _image_ids(content: dict[str, Any], file: Path) -> set[Any]:
    """The ids of all images, each once."""
    found: set[Any] = set()
    for position, entry in enumerate(content["images"]):
        if not isinstance(entry, dict) or entry.get("id") is None:
            raise ValueError(f"{file}: images[{position}]: expected an id, found {str(entry)[:60]}")
        if (key := _key(entry["id"])) in found:
            raise ValueError(f"{file}: images[{position}]: expected every id once, found {key!r} twice")
        found.add(key)
    return found


def _of_others(annotations: Mapping[Any, int], listed: set[Any], file: Path) -> list[str]:
    """A note on the annotations of images that are not listed: image id -> how many."""
    stray = {image_id: count for image_id, count in annotations.items() if image_id not in listed}
    texts = {str(image_id): image_id for image_id in listed}
    if alike := [image_id for image_id in stray if str(image_id) in texts]:
        both = f"found {alike[0]!r} in annotations and {texts[str(alike[0])]!r} in images"
        raise ValueError(f"{file}: image_id: expected ids of one kind, {both}")
    if not stray:
        return []
    return [f"{sum(stray.values())} annotations are of images that the file does not list, and stay as they are"]


def _check_segments(segments: list[Any], of_category: Mapping[Any, int], where: str) -> None:
    """Whether each has an id of its own, and a category that is listed."""
    seen: set[int] = set()
    for number, segment in enumerate(segments):
        at = f"{where}.segments_info[{number}]"
        if not isinstance(segment, dict) or _key(segment.get("category_id")) not in of_category:
            raise ValueError(f"{at}: expected the id of a category, found {str(segment)[:60]}")
        if type(found := segment.get("id")) is not int or found <= 0 or found in seen:
            raise ValueError(f"{at}: expected an id of its own, a whole number above 0, found {found!r}")
        seen.add(found)
        _is_crowd(segment, at)


def _is_crowd(annotation: dict[str, Any], where: str) -> bool:
    """Whether an annotation is of a crowd; as text, "0" is not."""
    found = annotation.get("iscrowd", 0)
    if found is None or (not isinstance(found, (list, dict)) and found in (0, 1, "0", "1")):
        return found in (1, "1")
    raise ValueError(f"{where}.iscrowd: expected 0 or 1, found {str(found)[:60]!r}")


def _names(categories: list[dict[str, Any]]) -> list[str]:
    return [str(category.get("name", category["id"])) for category in categories]


def _colours(categories: list[dict[str, Any]]) -> list[Colour | None]:
    found: list[Colour | None] = []
    for category in categories:
        colour: Any = category.get("color")
        fits = isinstance(colour, list) and len(colour) == 3 and all(type(v) is int and 0 <= v < 256 for v in colour)
        found.append((colour[0], colour[1], colour[2]) if fits else None)
    return found


def _size_of(entry: dict[str, Any]) -> tuple[int, int] | None:
    return (entry["height"], entry["width"]) if {"height", "width"} <= entry.keys() else None


def _key(value: Any) -> Any:
    """An id that can be looked up, whatever a damaged file has in its place."""
    return value if isinstance(value, (int, str, float)) else str(value)
