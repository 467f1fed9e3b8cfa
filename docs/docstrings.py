"""How the API pages read our code: ``Annotated[type, ...]`` is shown as its type, and ``a, b: text`` in a docstring
as two entries."""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Expr, ExprSubscript, ExprTuple, Extension, Object


class Plain(Extension):
    """Called by griffe for all objects that it finds."""

    def on_attribute(self, *, attr: Attribute, **kwargs: Any) -> None:
        """What else ``Annotated`` holds makes the table of switches."""
        found = attr.annotation
        if isinstance(found, ExprSubscript) and str(found.left) == "Annotated" and isinstance(found.slice, ExprTuple):
            first = found.slice.elements[0]
            attr.annotation = first if isinstance(first, Expr) else str(first)

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Entries that share a text."""
        if obj.docstring:
            pattern = r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 .*)*)"
            obj.docstring.value = re.sub(pattern, _one_each, obj.docstring.value, flags=re.MULTILINE)


def _one_each(shared: re.Match[str]) -> str:
    indent, names, text = shared.groups()
    return "\n".join(f"{indent}{name}: {text}" for name in names.split(", "))
