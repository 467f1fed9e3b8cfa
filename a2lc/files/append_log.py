"""A file of JSON lines that is only ever added to: what a person said is on disk before the next question is asked."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from a2lc.files.io import check_size
from a2lc.files.locks import lock_of
from a2lc.files.plain import check_plain
from a2lc.files.whole import sync_folder

Record = dict[str, Any]


class AppendLog:
    """JSON objects, one per line, in the order in which they were recorded.

    A line is written at once and flushed to the disk before `append` returns. Processes that write to one file take
    turns; the operating system lets the next one in when one dies. Nothing is ever deleted: who wants to take a
    record back adds another one that says so.

    A last line that a power failure has damaged is named in a warning, and the lines before it are kept. With the next
    `update` it is moved to a file beside, ``<name>.damaged``.

    Args:
        path: the file; it need not exist.
        fields: names that each record must have, and the types of their values; a line of others is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], **fields: type | tuple[type, ...]) -> None:
        self.path = Path(path)
        self.fields = fields
        self._seen: tuple[bytes, list[Record]] = b"", []  # whole lines that were read before, and their records

    def read(self) -> list[Record]:
        """All records, oldest first; none where there is no file. They belong to this object: not to be changed.

        Raises:
            ValueError: a line other than the last one is damaged; the message names file and line. Or it is a link,
                which may lead anywhere, or no file.
        """
        self._check()
        if not self.path.is_file():
            return []
        check_size(self.path)
        content = self.path.read_bytes()
        if not content.endswith(b"\n"):  # somebody is writing, or was when the power failed
            with suppress(OSError), lock_of(self.path):  # a folder that cannot be written has nobody who writes
                content = self.path.read_bytes()
        return self._parse(content)[0]

    def append(self, records: Iterable[Record]) -> list[Record]:
        """Add records; see `update`."""
        return self.update(lambda _: list(records))

    def update(self, new: Callable[[list[Record]], list[Record]]) -> list[Record]:
        """Look at all records and add some, while nobody else writes.

        Args:
            new: called with the records so far, returns those to add; when it raises, nothing is added.

        Returns:
            All records, the new ones last.

        Raises:
            ValueError: as `read`.
            PermissionError: the file cannot be written, for instance in a read-only folder; nothing was recorded.
            OSError: the disk is full; nothing was recorded.
        """
        with self._opened() as file:
            file.seek(0)
            content = file.read()
            records, whole = self._parse(content)
            added = new(records)
            self._set_aside(file, content[whole:])
            if added:
                lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in added]
                start = "\n" if whole and not content[:whole].endswith(b"\n") else ""  # an editor took the last one
                self._write(file, (start + "\n".join(lines) + "\n").encode())
        return records + added

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        """The file, while no other process has it."""
        self._check()
        with ExitStack() as stack:
            try:
                stack.enter_context(lock_of(self.path))
                file = stack.enter_context(open(self.path, "ab+", buffering=0))
            except OSError as error:
                raise PermissionError(f"{self.path}: cannot be written, so nothing was recorded ({error})") from error
            yield file

    def _check(self) -> None:
        check_plain(self.path)
        check_plain(self._beside)

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.damaged")

    def _parse(self, content: bytes) -> tuple[list[Record], int]:
        """The records, and how many bytes they take: all but a damaged last line."""
        before, known = self._seen
        if not content.startswith(before):  # somebody has edited it
            before, known = b"", []
        records, whole = [*known], len(before)
        lines = content[whole:].splitlines(keepends=True)
        last = len(records) + len(lines)
        for number, line in enumerate(lines, start=len(records) + 1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not a JSON object")
                for name, kind in self.fields.items():
                    if not isinstance(record.get(name), kind):
                        raise ValueError(f"expected a value of {name}, found {record.get(name)!r}")
            except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, endless brackets
                found = line[:80].decode(errors="replace").rstrip("\n")
                if number < last:
                    what = f"damaged ({error}), found {found!r}; mend or remove this line"
                    raise ValueError(f"{self.path}, line {number}: {what}") from error
                warnings.warn(
                    f"{self.path}, line {number}: damaged, so it does not count; the {number - 1} lines before it do. "
                    f"Found {found!r}",
                    stacklevel=4,
                )
                return records, whole
            records.append(record)
            whole += len(line)
        if content.endswith(b"\n"):
            self._seen = content, [*records]
        return records, whole

    def _set_aside(self, file: FileIO, damaged: bytes) -> None:
        if damaged:
            with open(self._beside, "ab") as beside:
                beside.write(damaged.rstrip(b"\n") + b"\n")
            file.truncate(os.fstat(file.fileno()).st_size - len(damaged))

    def _write(self, file: FileIO, lines: bytes) -> None:
        size = os.fstat(file.fileno()).st_size
        try:
            if file.write(lines) != len(lines):
                raise OSError("the disk took a part only")
            os.fsync(file.fileno())
            if not size:  # its name is new
                sync_folder(self.path.parent)
        except OSError as error:
            file.truncate(size)
            raise OSError(f"{self.path}: could not be written, so nothing was recorded ({error})") from error


def timestamp() -> str:
    """The time of a record: now, UTC in ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
