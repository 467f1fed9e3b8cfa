"""Hugging Face's folders of images and label pictures: Parquet files, or image files with metadata.jsonl or .csv.
Nothing of such a folder is executed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from a2lc.files import atomic, below, damaged, file_bytes, one_line
from a2lc.formats.json_text import parsed
from a2lc.formats.rasters import check_size, read_values, regions
from a2lc.formats.source import Found, Picture, Source, Values, found_pictures

IMAGES = ("image", "pixel_values", "img")
LABELS = ("label", "labels", "mask", "annotation", "segmentation", "segmentation_mask", "semantic_segmentation")
NAMES = "id2label.json"
METADATA = ("metadata.jsonl", "metadata.csv")
END = "_file_name"


def claims(root: Path) -> bool:
    """Whether a folder is one of these."""
    return any(root.rglob("*.parquet")) or any(path for name in METADATA for path in root.rglob(name))


def read(root: Path) -> Source:
    """A row is an image with its label picture; connected regions of one class are objects.

    Args:
        root: the folder; with id2label.json, ``{"0": "wall", ...}``, the classes have names, else their values. 255
            is void, and so is 0 where the list does not name it.

    Raises:
        ValueError: a damaged file, one without image and label, or a value without a name; the message names it.
        FileNotFoundError: there is no image.
    """
    files: dict[str, Path] = {}
    notes: list[str] = []
    rows: list[tuple[str, Path, Callable[[], bytes] | None, Callable[[], bytes] | None, str]] = []
    for path in sorted(root.rglob("*.parquet")):
        kept = path.relative_to(root).as_posix()
        files[kept] = path
        rows += [
            (f"{kept.removesuffix('.parquet')}/{row}", path, image, label, f"{kept}#{row}")
            for row, image, label in _parquet_rows(path)
        ]
    for path in sorted(path for name in METADATA for path in root.rglob(name)):
        files[path.relative_to(root).as_posix()] = path
        for picture_file, label_file in _listed(path):
            if label_file in files.values():
                raise ValueError(f"{path}: expected a label file for each image, found {label_file} for two")
            kept, name = (file.relative_to(root).as_posix() for file in (label_file, picture_file))
            if label_file.is_file():
                files[kept] = label_file
            rows.append((name, picture_file, None, label_file.read_bytes if label_file.is_file() else None, kept))
    names = _names(root, [(label, kept) for *_, label, kept in rows if label is not None], notes)
    if (root / NAMES).is_file():
        files[NAMES] = root / NAMES
    void = 0 if (root / NAMES).is_file() and 0 not in names else 255
    meaning = Values({value: k for k, value in enumerate(names)}, void)
    listed = []
    for name, file, image, label, kept in rows:
        there = label is not None and (image is not None or file.is_file())
        picture = None
        if there and label is not None:
            picture = Picture(name, file, _objects(label, kept, meaning), None, image, kept)
        listed.append((name, picture))
    pictures = found_pictures(listed, root / "*", notes)
    texts = [names[value] for value in names]
    return Source("hugging-face", texts, texts, pictures, files, None, notes, meaning)


def replaced(path: Path, labels: Mapping[int, bytes], out: Path) -> None:
    """A Parquet file with other label pictures in some rows; all else, and the schema with its metadata, stays.

    Args:
        path: the file.
        labels: row -> the content of its label picture.
        out: the new file.
    """
    file = pq.ParquetFile(path)
    table = file.read()
    column = _columns(table.schema, path)[1]
    values = table[column].to_pylist()
    for row, data in labels.items():
        values[row] = {**values[row], "bytes": data}
    field = table.schema.field(column)
    table = table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))
    about = file.metadata
    kind = about.row_group(0).column(0).compression if about.num_row_groups else "SNAPPY"
    size = max((about.row_group(k).num_rows for k in range(about.num_row_groups)), default=1)
    with atomic(out) as temporary:
        pq.write_table(table, temporary, compression="NONE" if kind == "UNCOMPRESSED" else kind, row_group_size=size)


def label_data(path: Path, row: int) -> bytes:
    """The label picture in a row of a Parquet file."""
    column = _columns(pq.read_schema(path), path)[1]
    return bytes(pq.read_table(path, columns=[column])[column][row].as_py()["bytes"])


# ------------------------------------------------------------------------------------------------ inside
def _columns(schema: pa.Schema, path: Path) -> tuple[str, str]:
    """The columns of images and of label pictures."""
    pictures = [f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
    image = next((name for name in IMAGES if name in pictures), None)
    label = next((name for name in LABELS if name in pictures), None)
    rest = [name for name in pictures if name not in (image, label)]
    if label is None and image is not None and len(rest) == 1:
        label = rest[0]
    if image is None or label is None:
        raise ValueError(f"{path}: expected columns image and label of pictures, found {', '.join(schema.names)}")
    return image, label


def _parquet_rows(path: Path) -> Iterator[tuple[int, Callable[[], bytes], Callable[[], bytes] | None]]:
    try:
        image, label = _columns(pq.read_schema(path), path)
        table = pq.read_table(path, columns=[image, label], page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, f"damaged Parquet file ({one_line(error)})") from error

    def data(column: str, row: int) -> Callable[[], bytes]:
        return lambda: bytes(table[column][row]["bytes"].as_py())

    for row in range(len(table)):
        if table[image][row]["bytes"].as_py() is None:
            raise ValueError(f"{path}, row {row}: expected the bytes of an image, found none (a path is not followed)")
        there = table[label][row].is_valid and table[label][row]["bytes"].is_valid
        yield row, data(image, row), data(label, row) if there else None


def _listed(path: Path) -> Iterator[tuple[Path, Path]]:
    """Image and label file of each row of metadata.jsonl or metadata.csv."""
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".csv":
        rows: list[Any] = list(csv.DictReader(io.StringIO(text)))
    else:
        rows = [parsed(line.encode(), path) for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}: expected an object, found {str(row)[:60]}")
        image = row.get("file_name", next((row[f"{name}{END}"] for name in IMAGES if f"{name}{END}" in row), None))
        label = next((row[key] for name in LABELS for key in (f"{name}{END}", name) if key in row), None)
        if not (isinstance(image, str) and isinstance(label, str)):
            raise ValueError(f"{path}, row {number}: expected file_name and label_file_name, found {str(row)[:60]}")
        yield below(path.parent, image), below(path.parent, label)


def _names(root: Path, labels: list[tuple[Callable[[], bytes], str]], notes: list[str]) -> dict[int, str]:
    """Value -> name of the classes."""
    path = root / NAMES
    if not path.is_file():
        notes.append(f"no {NAMES}: the classes are called by their values")
        values: set[int] = set()
        for label, kept in labels:
            values |= set(np.unique(read_values(label(), kept, False)).tolist())
        return {value: str(value) for value in sorted(values - {255})}
    found = parsed(file_bytes(path), path)
    if not (isinstance(found, dict) and all(key.isdecimal() and int(key[:9]) < 256 for key in found)):
        raise ValueError(f'{path}: expected {{"0": "name", ...}} with ids 0..255, found {str(found)[:60]}')
    if len({int(key) for key in found}) < len(found):
        raise ValueError(f"{path}: expected every id once, found {', '.join(found)[:60]}")
    names = {int(key): str(name) for key, name in sorted(found.items(), key=lambda item: int(item[0]))}
    if 255 in names:
        notes.append(f"{names.pop(255)!r}, id 255 of {NAMES}, is read as void")
    if 0 not in names:
        notes.append(f"{NAMES} has no name for 0, which is read as void")
    return names


def _objects(label: Callable[[], bytes], kept: str, meaning: Values) -> Callable[[int, int], Iterator[Found]]:
    def objects(height: int, width: int) -> Iterator[Found]:
        values = read_values(label(), kept, False)
        check_size(values, height, width, kept)
        if stray := sorted(set(np.unique(values).tolist()) - {*meaning.classes, 0, 255}):
            remedy = "give them names, or shift the ids where 0 is none of the classes"
            raise ValueError(f"{kept}: {NAMES} has no name for {', '.join(map(str, stray[:9]))}: {remedy}")
        yield from regions(meaning.labels(values), None, kept)

    return objects
