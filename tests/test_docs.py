"""The documentation site: it builds without a warning and without a network, and every public name has a page."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from a2lc.paper.switches import switches_table

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = [
    "a2lc",
    "a2lc.acquisition",
    "a2lc.correction",
    "a2lc.datasets",
    "a2lc.figures",
    "a2lc.formats",
    "a2lc.human",
    "a2lc.metrics",
    "a2lc.pseudo_labels",
    "a2lc.referring",
    "a2lc.runs",
    "a2lc.segmenter",
    "a2lc.widgets",
]
NOWHERE = "http://127.0.0.1:9"  # a proxy that does not answer


def names_of(module_name: str) -> set[str]:
    """What a module offers: `__all__`, or what it defines itself."""
    module = importlib.import_module(module_name)
    mine = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module_name)
    return set(getattr(module, "__all__", None) or (name for name in mine if not name.startswith("_")))


class References(HTMLParser):
    """Anchors of a page, its links, and what a browser loads with it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Called for each tag."""
        found = dict(attributes)
        self.anchors |= {value for name, value in attributes if name in ("id", "name") and value}
        if tag == "img":
            self.pictures.append(found)
        target = found.get("href") or found.get("src")
        if target:
            (self.links if tag == "a" else self.loaded).append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, References]:
    """Page of the built site -> what it refers to."""
    folder = tmp_path_factory.mktemp("site")
    offline = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=os.environ | offline, capture_output=True, text=True)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return {page: References(page) for page in sorted(folder.rglob("*.html")) if page.name != "404.html"}


def page_of(site: dict[Path, References], ending: str) -> Path:
    return next(page for page in site if page.as_posix().endswith(ending))


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_has_a_place(module: str) -> None:
    page = ROOT / "docs" / "api" / f"{module.removeprefix('a2lc.')}.md"
    listed = re.findall(rf"^::: {re.escape(module)}\.(\w+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(names_of(module))


@pytest.mark.slow
def test_public_names_are_rendered_from_their_docstrings(site: dict[Path, References]) -> None:
    for module in PUBLIC:
        anchors = site[page_of(site, f"docs/api/{module.removeprefix('a2lc.')}.html")].anchors
        assert {f"{module}.{name}" for name in names_of(module)} <= anchors


@pytest.mark.slow
def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site: dict[Path, References]) -> None:
    outside = set()
    for page, found in site.items():
        for target in found.links + found.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert target in found.links, f"{page}: loads {target}"
                outside.add(parts.netloc)
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert file.is_file(), f"{page}: no {target}"
            if parts.fragment and file in site and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in site[file].anchors, f"{page}: no {target}"
    assert "github.com" in outside


@pytest.mark.slow
def test_notebooks_pictures_and_switches_are_there(site: dict[Path, References]) -> None:
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pictures = site[page_of(site, f"notebooks/{notebook.stem}.html")].pictures
        assert pictures and all(picture.get("alt") for picture in pictures), notebook
    table = page_of(site, "docs/deviations.html").read_text(encoding="utf-8")
    assert all(f"<td>{identity}</td>" in table for identity in switches_table()["id"])
    assert "<math" in page_of(site, "02_acquisition.html").read_text(encoding="utf-8")
