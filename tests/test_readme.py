"""README and guides: Python blocks run as printed, commands are those of `a2lc`, and README is short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from a2lc.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list:
    """Code blocks of a language; each is named after its page and position."""
    found = []
    for page in PAGES:
        texts = re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [pytest.param(text, id=f"{page.stem}{number}") for number, text in enumerate(texts)]
    return found


def commands() -> list[list[str]]:
    """The calls of ``a2lc`` in bash blocks and in code within sentences, as words."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", pages, flags=re.DOTALL) for line in block.splitlines()]
    lines += re.findall(r"`(a2lc .*?)`", pages)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("a2lc ")]


def test_readme_is_read_in_five_minutes() -> None:
    assert 500 < len(README.read_text(encoding="utf-8").split()) <= 1300


def test_there_are_blocks_and_commands() -> None:
    assert len(blocks("python")) >= 4 and len(commands()) >= 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader types all blocks: a run that one has made, the next one finds."""
    return tmp_path_factory.mktemp("reader")


@pytest.mark.parametrize("block", blocks("python"))
def test_block_runs(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(block, "block", "exec"), {})


def test_commands_and_their_options_exist() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in commands():
        if words[0] == "--help":
            continue
        assert words[0] in known, words
        options = {"--help", *(name for option in known[words[0]].params for name in option.opts)}
        assert {word for word in words if word.startswith("--")} <= options, words
