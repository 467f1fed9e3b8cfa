"""Reading and writing files: JSON, YAML, Parquet and arrays."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from a2lc.files.limits import check_limit
from a2lc.files.whole import atomic
from a2lc.files.wording import one_line


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically; numbers that are not finite, which JSON does not know, as null."""
    with atomic(path) as temporary:
        text = json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_bytes(f"{text}\n".encode())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as it is in UTF-8, atomically: the same bytes on every system."""
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode())


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fingerprint(value: Any) -> str:
    """First eight hexadecimal digits of the SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]


def read_json(path: str | os.PathLike[str], *fields: str, distinct: bool = False) -> Any:
    """Read JSON; with `fields` an object that has these.

    Args:
        path: the file.
        fields: what an object has to have.
        distinct: whether to refuse names that stand in an object twice, of which the later one would count alone.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or no such object; the message names it, and of a run's file the way out.
    """
    check_size(path)
    try:
        value = json_value(Path(path).read_bytes(), distinct)
    except (ValueError, RecursionError) as error:  # damaged text, no UTF-8, endless digits, endless brackets
        raise damaged(path, f"damaged JSON ({error})") from error
    if fields and not (isinstance(value, dict) and set(fields) <= value.keys()):
        raise damaged(path, f"expected a JSON object with {', '.join(fields)}, found {str(value)[:60]}")
    return value


def json_value(text: str | bytes, distinct: bool = False) -> Any:
    """A JSON value, whose numbers are finite and, if they are to be `distinct`, whose objects' names differ.

    Raises:
        ValueError: damaged, no UTF-8, or a number that is none, such as NaN or 1e999.
        RecursionError: brackets without end.
    """
    hook = _distinct if distinct else None
    return json.loads(text, parse_float=_finite_float, parse_constant=_finite_float, object_pairs_hook=hook)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected names once each, found {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _finite_float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"expected numbers, found {text:.20}")
    return value


def check_size(path: str | os.PathLike[str]) -> None:
    """Whether a file is one and not too large to be read as a whole.

    Raises:
        FileNotFoundError: there is no such file; a pipe, a device and a folder are none.
        ValueError: it is too large.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    check_limit("bytes", Path(path).stat().st_size, path)


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a YAML or JSON file of parameters.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, holds an alias, or is no mapping of names.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of parameters")
    try:
        check_size(path)
        text = Path(path).read_text(encoding="utf-8")
        check_yaml(text)
        values = yaml.safe_load(text)
    except Exception as error:  # PyYAML raises KeyError, AttributeError, RecursionError ... for some texts
        raise ValueError(f"{path}: damaged YAML ({one_line(error)})") from error
    if not (isinstance(values, dict) and all(isinstance(name, str) for name in values)):
        raise ValueError(f"{path}: expected a mapping of names to values, found {type(values).__name__}")
    return values


def check_yaml(text: str) -> None:
    """Refuse a YAML text that means more than it says, or is too deep.

    Raises:
        ValueError: it holds an alias, of which a few can mean billions of values, or values in values without end.
        yaml.YAMLError: damaged.
    """
    level = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("expected values, found an alias, *name")
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        check_limit("levels", level)


def read_parquet(path: str | os.PathLike[str], *columns: str) -> pd.DataFrame:
    """Read a Parquet table; with `columns` one that has these.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or no such table; the message names it, and of a run's file the way out.
    """
    check_size(path)
    try:
        about = pq.read_metadata(path)
        check_limit("rows", about.num_rows)
        check_limit("bytes", sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups)))
        table = pq.read_table(path, page_checksum_verification=True).to_pandas()
    except Exception as error:  # what is damaged may say anything of its own columns
        raise damaged(path, f"damaged Parquet file ({error})") from error
    if missing := [name for name in columns if name not in table]:
        raise damaged(path, f"expected the columns {', '.join(columns)}, {', '.join(missing)} missing")
    return table


def damaged(path: str | os.PathLike[str], what: str, line: int = 0) -> ValueError:
    """The error about a damaged file, or a line of it, counted from 1. Of a run's file it says which files to remove,
    so that they are made again; never what a person said."""
    file = Path(path)
    where, remove = f"{file}, line {line}" if line else str(file), [] if file.suffix == ".jsonl" else [file]
    rounds = (place for place in list(file.parents)[:3] if re.fullmatch(r"round_\d+", place.name))
    folder = next(rounds, file.parent if file.parent.name not in ("object_maps", "targets") else file.parent.parent)
    if file.name in ("config.json", "provenance.json"):
        remove = [file.with_name("config.json"), file.with_name("provenance.json")]
    elif re.fullmatch(r"round_\d+|model-s\d+-[0-9a-f]{8}", folder.name):
        remove.append(folder / "state.json")
    elif (folder / "masks.json").is_file():
        remove.append(folder / "masks.json")
    elif file.name != "pictures.json":
        return ValueError(f"{where}: {what}")
    names = " and ".join(map(str, dict.fromkeys(remove)))
    return ValueError(f"{where}: {what}. Remove {names}, and start the run again: what they held is made again")


def missing(path: str | os.PathLike[str]) -> FileNotFoundError:
    """The error about a file that is gone although the stage that wrote it is finished, with the way out of
    `damaged`."""
    return FileNotFoundError(str(damaged(path, "missing, although the stage that wrote it is finished")))


def linked(at: Path, file: str | os.PathLike[str]) -> bool:
    """Make a link to a file; False where the system or the disk has none, or not for everybody."""
    try:
        at.symlink_to(file)
    except OSError:
        return False
    return True


def below(folder: Path, name: str) -> Path:
    """A file in `folder` whose name was read somewhere.

    Raises:
        ValueError: the name leads out of the folder.
    """
    path = type(folder)(name)
    if path.anchor or ".." in path.parts or "\0" in name:  # a drive or a root is an anchor
        raise ValueError(f"{folder}: expected the name of a file in it, found {name!r}")
    return folder / name


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as safetensors, atomically, with their checksum."""
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}  # of a view, others would be written
    with atomic(path) as temporary:
        # safetensors' own way to a file leaves another one where it is killed
        temporary.write_bytes(save(whole, metadata={"crc32": _checksum(whole)}))


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a safetensors file; its checksum is verified where it has one.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged; the message names it, and of a run's file the way out.
    """
    check_size(path)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            wanted = (file.metadata() or {}).get("crc32")
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, f"damaged safetensors file ({error})") from error
    if wanted is not None and wanted != _checksum(arrays):
        raise damaged(path, "damaged safetensors file (its checksum is another one)")
    return arrays


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]).data, zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"


def write_parquet(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically and small: zstd, and float32 columns split into their bytes first."""
    floats = [name for name in table if table[name].dtype == np.float32]
    with atomic(path) as temporary:
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False),
            temporary,
            compression="zstd",
            compression_level=9,
            use_dictionary=[name for name in table if name not in floats],
            use_byte_stream_split=floats,
            write_page_checksum=True,
        )
