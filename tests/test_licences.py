"""The licences of the packages that a2lc stands on are listed, and none asks for what a2lc's own does not give."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
LISTED = dict(re.findall(r"^\| ([\w.-]+) \| (.+) \|$", PAGE, re.MULTILINE))


def test_every_pinned_package_is_listed() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in pinned if "==" in line}
    assert names - LISTED.keys() == set() and not [name for name, licence in LISTED.items() if "GPL" in licence.upper()]


def test_the_page_says_what_the_packages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import licences

    found = licences.licences()
    del sys.modules["licences"]
    assert len(found) > 50
    for name, licence in found.items():
        assert LISTED.get(name) == licence.replace("|", "/"), f"{name}: python docs/licences.py"
