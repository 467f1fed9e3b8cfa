"""Files that are whole or not there: JSON, YAML, Parquet, arrays and images, logs that only grow, and locks; and the
sentences that say what is wrong."""

from a2lc.files.append_log import AppendLog, Record, timestamp
from a2lc.files.images import FORMATS, decoded, file_bytes, read_image, write_label_png
from a2lc.files.io import (
    below,
    check_size,
    check_yaml,
    damaged,
    fingerprint,
    json_value,
    linked,
    missing,
    read_arrays,
    read_json,
    read_parquet,
    read_yaml,
    write_arrays,
    write_json,
    write_parquet,
    write_text,
)
from a2lc.files.label_file import LabelFile, colour_of, read_label_png
from a2lc.files.limits import check_limit, limit_of
from a2lc.files.locks import alone, is_locked, locked
from a2lc.files.plain import check_plain
from a2lc.files.whole import (
    atomic,
    atomic_folder,
    atomic_new,
    check_new_file,
    check_writable,
    only_writer,
    remove_leftovers,
    remove_leftovers_of,
    sync_folder,
)
from a2lc.files.wording import check_whole, differences, is_whole, nearest, one_line

__all__ = [
    "FORMATS",
    "AppendLog",
    "LabelFile",
    "Record",
    "alone",
    "atomic",
    "atomic_folder",
    "atomic_new",
    "below",
    "check_limit",
    "check_new_file",
    "check_plain",
    "check_size",
    "check_whole",
    "check_writable",
    "check_yaml",
    "colour_of",
    "damaged",
    "decoded",
    "differences",
    "file_bytes",
    "fingerprint",
    "is_locked",
    "is_whole",
    "json_value",
    "limit_of",
    "linked",
    "locked",
    "missing",
    "nearest",
    "one_line",
    "only_writer",
    "read_arrays",
    "read_image",
    "read_json",
    "read_label_png",
    "read_parquet",
    "read_yaml",
    "remove_leftovers",
    "remove_leftovers_of",
    "sync_folder",
    "timestamp",
    "write_arrays",
    "write_json",
    "write_label_png",
    "write_parquet",
    "write_text",
]
