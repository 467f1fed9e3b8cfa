"""Text in tables means itself, in Markdown and in TeX; what is committed compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from a2lc.paper.escaping import markdown_cell, markdown_text, tex_text
from a2lc.paper.tables import markdown_table, save_table

ROOT = Path(__file__).parents[1]
COMMITTED = sorted((ROOT / "paper_figures").rglob("*.tex"))
NAMES = ["a|b", "<script>alert(1)</script>", "\\input{/etc/passwd}", "![x](http://e/x.png)", "50 % of_a & b #1 $x$ ~^"]
PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\DeclareUnicodeCharacter{03B8}{\ensuremath{\theta}}
\DeclareUnicodeCharacter{03C4}{\ensuremath{\tau}}
\DeclareUnicodeCharacter{221A}{\ensuremath{\surd}}
\newcommand{\toprule}{\hline}
\newcommand{\midrule}{\hline}
\newcommand{\bottomrule}{\hline}
\begin{document}
"""
"""What a table needs; the lines are those of the package booktabs, which TeX may lack."""


def test_names_in_markdown() -> None:
    lines = markdown_table(pd.DataFrame({"a|b": NAMES, "n": range(5)})).splitlines()
    assert {line.count("|") for line in lines} == {3}, "a name ends no cell"
    text = "\n".join(lines)
    assert "<script" not in text and "&lt;script>" in text
    assert re.search(r"(?<!\\)\[x\]\(", text) is None
    assert markdown_cell("two\nlines") == "two lines"
    assert markdown_text("a < b, *c* and `d`: 3 [see]") == "a < b, *c* and `d`: 3 [see]"


def test_names_in_tex(tmp_path: Path) -> None:
    save_table(pd.DataFrame({"50 %": NAMES}), "a_b", tmp_path, f"5 % of {NAMES[2]}")
    text = (tmp_path / "a_b.tex").read_text(encoding="utf-8")
    assert r"\caption{5 \% of \textbackslash{}input\{/etc/passwd\}}" in text
    assert r"\input" not in text and r"50 \%" in text
    assert tex_text("a^b~c") == r"a\textasciicircum{}b\textasciitilde{}c"
    assert "5 % of" in (tmp_path / "a_b.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_captions_that_are_committed(path: Path) -> None:
    """Nothing in them is a command of TeX, or begins a comment."""
    (caption,) = re.findall(r"^\\caption\{(.*)\}$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.search(r"(?<!\\)[%&_#$^~]", caption) is None, caption


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-base")
def test_what_is_committed_compiles(tmp_path: Path) -> None:
    """All tables, and one of names that are commands, in one document."""
    save_table(pd.DataFrame({"50 %": NAMES}), "names", tmp_path, f"5 % of {NAMES[4]}")
    tables = [path.read_text(encoding="utf-8") for path in (*COMMITTED, tmp_path / "names.tex")]
    document = PREAMBLE + "\n\\clearpage\n".join(tables) + "\n\\end{document}\n"
    (tmp_path / "all.tex").write_text(document, encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=300)
    assert ended.returncode == 0, ended.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
