"""What `mkdocs build` does beside rendering: the site mirrors the repository, notebooks and linked source files become
pages, the table of switches is made from the code, and formulas become MathML, which browsers draw without a script."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "benchmarks/README.md", "paper_figures/*/README.md")
PICTURES = tuple(f"paper_figures/**/*.{kind}" for kind in ("png", "jpg", "webp"))
ASSETS = ("LICENSE", "docs/site.css", "docs/iframe-worker.js", *PICTURES)
SOURCES = (
    "a2lc/rounds.py",
    "a2lc/referring/rounds.py",
    "a2lc/datasets/*.py",
    "a2lc/files/limits.py",
    "notebooks/params/*.yaml",
    *(f"tests/test_{name}.py" for name in ("ending", "fuzz", "human", "kill", "limits", "locks", "many", "moving")),
    *(f"tests/test_{name}.py" for name in ("reference", "regenerate", "reliability", "write_back")),
)
# alternative texts of pictures; `get_metadata` is nbconvert's
NOTEBOOK = """{% extends 'markdown/index.md.j2' %}
{% block data_png %}![{{ output | get_metadata('alt', 'image/png') or '' }}]({{
    output.metadata.filenames['image/png'] | path2url }}){% endblock %}
{% block data_jpg %}![{{ output | get_metadata('alt', 'image/jpeg') or '' }}]({{
    output.metadata.filenames['image/jpeg'] | path2url }}){% endblock %}"""
SWITCHES = "<!-- the table of switches -->"


class PageOfAnyName(File):
    """A file that is a page although its name does not end in ``.md``: a notebook, a source file."""

    def is_documentation_page(self) -> bool:
        """Yes."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the repository's files in the place of those of ``docs``, under their paths in the repository."""
    for file in files.documentation_pages() + files.media_files():
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for name, path in repository(*PAGES, *ASSETS):
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, path in repository(*SOURCES):
        text = f"# {name}\n\n```{path.suffix[1:]}\n{path.read_text(encoding='utf-8')}```\n"
        files.append(PageOfAnyName.generated(config, name, content=text))
    for _, path in repository("notebooks/*.ipynb"):
        for file in notebook_files(path, config):
            files.append(file)
    return files


def repository(*patterns: str) -> list[tuple[str, Path]]:
    """Name in the repository and path of the files that match, but for what the smoke profile leaves."""
    paths = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [(path.relative_to(ROOT).as_posix(), path) for path in paths if "smoke" not in path.parts]


def notebook_files(path: Path, config: MkDocsConfig) -> list[File]:
    """The page of a notebook as it was executed, and its pictures beside it."""
    text, resources = MarkdownExporter(raw_template=NOTEBOOK).from_filename(
        str(path), {"output_files_dir": f"{path.stem}_files"}
    )
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.DOTALL)  # of pandas; ours is in site.css
    files: list[File] = [PageOfAnyName.generated(config, f"notebooks/{path.name}", content=text)]
    for name, picture in resources["outputs"].items():
        files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the table of switches; leave out badges, whose pictures lie elsewhere."""
    markdown = re.sub(r"^\[!\[[^\]]*\]\(https:.*\n", "", markdown, flags=re.MULTILINE)
    if SWITCHES not in markdown:
        return markdown
    from a2lc.paper.switches import switches_table
    from a2lc.paper.tables import markdown_table

    return markdown.replace(SWITCHES, markdown_table(switches_table()))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    r"""Formulas, ``\(...\)`` and ``\[...\]`` as arithmatex leaves them, as MathML."""
    pattern = r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>'
    display = {"span": "inline", "div": "block"}
    return re.sub(pattern, lambda m: convert(unescape(m[2]), display=display[m[1]]), html, flags=re.DOTALL)
