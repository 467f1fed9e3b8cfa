"""README's table of switches, made from the fields of the configuration; rewritten by
``python -m a2lc.paper.switches``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from a2lc.config import METHODS, Experiment
from a2lc.files import write_text
from a2lc.paper.tables import markdown_table
from a2lc.settings import WITHOUT_SWITCH, Deviation

COLUMNS = ("id", "paper", "released code", "switch", "values", "default", "in the `paper` profile")
Row = tuple[str, str, str, str, str, str, str]
BEGIN, END = "<!-- switches:begin -->", "<!-- switches:end -->"


def switches_table() -> pd.DataFrame:
    """Every known departure of the released code from the paper, D1 to D22 first, and the field that switches it.

    Returns:
        Text columns id, paper, released code, switch, values, default, in the ``paper`` profile, as Markdown; where
        nothing switches a departure, `switch` says why and the last three are empty.
    """
    rows: list[Row] = [(d.id, d.paper, d.code, f"none: {d.no_switch}", "", "", "") for d in WITHOUT_SWITCH]
    for path, field, deviation in switches_of(Experiment):
        default = _default(path, field)
        named = (deviation.id, deviation.paper, deviation.code, f"`{path}`")
        rows.append((*named, _values(field), default, deviation.profile or default))
    rows.sort(key=_order)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def readme_with_table(text: str) -> str:
    """README's `text` with the table of the present code between its two markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"README: expected the markers {BEGIN} and {END}, found {'the first only' if begin else 'none'}"
        )
    return f"{before}{BEGIN}\n{markdown_table(switches_table())}\n{END}{after}"


def update_readme(path: str | os.PathLike[str] = "README.md") -> None:
    """Rewrite the table in a README.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a marker is missing.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such README; run this in the repository")
    write_text(path, readme_with_table(Path(path).read_text(encoding="utf-8")))


def switches_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo, Deviation]]:
    """Path, field and departure of every switch of a configuration, those of nested ones included."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from switches_of(field.annotation, f"{prefix}{name}.")
        for deviation in field.metadata:
            if isinstance(deviation, Deviation):
                yield f"{prefix}{name}", field, deviation


def _values(field: FieldInfo) -> str:
    allowed: tuple[Any, ...] = (False, True) if field.annotation is bool else get_args(field.annotation)
    return ", ".join(map(_code, allowed)) if Ellipsis not in allowed else "a number per round"


def _default(path: str, field: FieldInfo) -> str:
    if not field.is_required():
        return _code(field.default)
    return ", ".join(f"{_code(METHODS[method][path])} ({method})" for method in ("a2lc", "alc"))


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _order(row: Row) -> tuple[bool, int]:
    number = row[0].removeprefix("D")
    return (False, int(number)) if number.isdigit() else (True, 0)  # the others keep their order


if __name__ == "__main__":
    update_readme(*sys.argv[1:2])
