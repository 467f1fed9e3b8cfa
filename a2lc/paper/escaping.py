"""Text in tables as it is: what means something in Markdown or TeX is written so that it means itself."""

from __future__ import annotations

import re

_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def tex_text(text: str) -> str:
    """A text as TeX prints it; a bare ``%`` would take the rest of its line away."""
    return "".join(_TEX.get(character, character) for character in text)


def markdown_text(text: str) -> str:
    """A text as Markdown shows it: no HTML, no links and pictures, none of which a class or image can bring by its
    name. Emphasis and code stay."""
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    return re.sub(r"\[(?=[^\]]*\]\()", r"\\[", text)


def markdown_cell(text: str) -> str:
    """The same for a cell of a table, which is one line without the character that ends it."""
    return " ".join(markdown_text(text).replace("|", "&#124;").split("\n"))
