"""The table of switches, made from the fields of the configuration; ``python -m a2lc.paper.switches`` prints it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pandas as pd
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from a2lc.config import METHODS, Experiment
from a2lc.paper.tables import markdown_table
from a2lc.settings import WITHOUT_SWITCH, Deviation

COLUMNS = ("id", "paper", "released code", "switch", "values", "default", "in the `paper` profile")
Row = tuple[str, str, str, str, str, str, str]


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


def switches_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo, Deviation]]:
    """Path, field and departure of every switch of a configuration, those of nested ones included."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from switches_of(field.annotation, f"{prefix}{name}.")
        for deviation in field.metadata:
            if isinstance(deviation, Deviation):
                yield f"{prefix}{name}", field, deviation


def _values(field: FieldInfo) -> str:
    if field.annotation is float:
        return "a share"
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
    print(markdown_table(switches_table()))
