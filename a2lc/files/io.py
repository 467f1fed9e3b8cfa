"""Reading and writing files: temporary name first, then rename, so that a killed process leaves no half-written
file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from a2lc.files.locks import alone
from a2lc.files.wording import one_line

LONGEST_NAME = 255  # bytes, on all usual file systems
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it onto `path`, on failure remove it.

    The temporary name keeps the suffix, because Pillow and Matplotlib choose the format by it.

    Raises:
        OSError: the disk is full; `path` is as it was.
        PermissionError: the folder cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{_stem_of_temporary(target)}.{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as written:  # Windows syncs only what may be written
            os.fsync(written.fileno())
        # safetensors makes files that only their owner may read; a file that is replaced keeps its permissions
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_UMASK)
        os.replace(temporary, target)
    except FileNotFoundError:  # of another file, which `path` is made from
        raise
    except (OSError, SafetensorError) as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"{target}: could not be written, so it is as it was ({error})") from error
    finally:
        with suppress(OSError):  # a read-only folder, where there is none
            temporary.unlink(missing_ok=True)


def _stem_of_temporary(target: Path) -> str:
    """The stem of a file's name, shortened where it would be too long with what is added to it."""
    room = LONGEST_NAME - len(os.fsencode(f"..{'0' * 8}{target.suffix}"))
    return os.fsencode(target.stem)[: max(room, 1)].decode(errors="ignore")


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, ``.NAME.partial``; on success rename it to `path`, on failure remove it,
    and at the start what a killed process left of it.

    Args:
        path: must not exist, or be an empty folder.

    Raises:
        FileExistsError: there is something already.
        BlockingIOError: another process is writing it.
        OSError: it cannot be written; before anything is made.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target}: is there already, expected a new folder")
    check_writable(target)
    partial = target.with_name(f".{target.name}.partial")
    with alone(target.with_name(f".{target.name}.lock")):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            if target.exists():
                target.rmdir()  # not everywhere can a folder be renamed to one that is there
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Delete, in `folder` and below, the temporary files of `atomic` that a killed process could not."""
    for path in Path(folder).rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}(\.\w+)?", path.name) and path.is_file():
            path.unlink()


def remove_leftovers_of(files: Iterable[Path]) -> None:
    """Delete what a process that was killed while it replaced one of these files (`atomic`) left beside it; in a folder
    of somebody's own, where nothing else may be touched."""
    endings = {(file.parent, f".{_stem_of_temporary(file)}.", file.suffix) for file in files}
    for folder in {folder for folder, *_ in endings}:
        for path in folder.iterdir() if folder.is_dir() else ():
            found = re.fullmatch(r"(\..+\.)[0-9a-f]{8}(\.\w+)?", path.name)
            if found and (folder, found[1], found[2] or "") in endings and path.is_file():
                path.unlink()


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Whether files can be written to a folder or, where it does not exist, to the nearest one above it. Nothing is
    made.

    Raises:
        OSError: they cannot; says why.
    """
    path = Path(folder).absolute()
    try:
        TemporaryFile(dir=next(above for above in (path, *path.parents) if above.exists())).close()
    except OSError as error:
        raise OSError(f"{folder}: cannot be written ({error.strerror})") from error


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


def read_json(path: str | os.PathLike[str], *fields: str) -> Any:
    """Read JSON; with `fields` an object that has these.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or no such object; the message names it, and of a run's file the way out.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # damaged text, no UTF-8, endless digits, endless brackets
        raise damaged(path, f"damaged JSON ({error})") from error
    if fields and not (isinstance(value, dict) and set(fields) <= value.keys()):
        raise damaged(path, f"expected a JSON object with {', '.join(fields)}, found {str(value)[:60]}")
    return value


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a YAML or JSON file of parameters.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, holds an alias, or is no mapping of names.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of parameters")
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("expected values, found an alias, *name")  # a few of these can mean billions of values
    except Exception as error:  # PyYAML raises KeyError, AttributeError, RecursionError ... for some texts
        raise ValueError(f"{path}: damaged YAML ({one_line(error)})") from error
    if not (isinstance(values, dict) and all(isinstance(name, str) for name in values)):
        raise ValueError(f"{path}: expected a mapping of names to values, found {type(values).__name__}")
    return values


def read_parquet(path: str | os.PathLike[str], *columns: str) -> pd.DataFrame:
    """Read a Parquet table; with `columns` one that has these.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, or no such table; the message names it, and of a run's file the way out.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
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
    folder = file.parent if file.parent.name not in ("object_maps", "targets") else file.parent.parent
    if file.name in ("config.json", "provenance.json"):
        remove = [file.with_name("config.json"), file.with_name("provenance.json")]
    elif re.fullmatch(r"round_\d+|model-s\d+-[0-9a-f]{8}", folder.name):
        remove.append(folder / "state.json")
    elif (folder / "masks.json").is_file():
        remove.append(folder / "masks.json")
    else:
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
        save_file(whole, temporary, metadata={"crc32": _checksum(whole)})


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a safetensors file; its checksum is verified where it has one.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged; the message names it, and of a run's file the way out.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
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
