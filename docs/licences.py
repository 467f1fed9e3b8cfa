"""Writes docs/licences.md: under which licence each package of constraints.txt stands, as the package itself says it.
`python docs/licences.py`, in the environment of `make setup`; a test compares."""

from __future__ import annotations

import re
from collections import Counter
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Licences of what a2lc stands on

Packages that `make setup` installs, with the licence that each names itself; `python docs/licences.py` writes this
page. a2lc itself stands under the licence in `LICENSE`. Weights and data have licences of their own, see
[backbones](backbones.md) and [pseudo-labels](pseudo_labels.md).

"""
SAYS_NONE = "(says none)"
LONG = 60  # characters; longer ones are whole texts


def plain(name: str) -> str:
    """The name of a distribution as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(package: Distribution) -> str:
    """The licence that a package names: its SPDX expression, else its classifiers, else its own words."""
    about = package.metadata
    if said := about.get("License-Expression"):
        return said
    found = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    if found := [name for name in found if name != "OSI Approved"]:
        return ", ".join(dict.fromkeys(found))
    said = (about.get("License") or "").strip()
    first = said.splitlines()[0].strip() if said else ""
    return first if first and len(first) <= LONG and first.upper() != "UNKNOWN" else SAYS_NONE


def licences() -> dict[str, str]:
    """Name -> licence of every package of constraints.txt that is installed here."""
    pinned = {plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    found = {plain(package.metadata["Name"]): licence_of(package) for package in distributions()}
    return {name: found[name] for name in sorted(pinned & found.keys())}


def page(found: dict[str, str]) -> str:
    """The page of these licences."""
    counts = Counter(found.values())
    rows = "".join(f"| {name} | {licence.replace('|', '/')} |\n" for name, licence in found.items())
    none = f"{counts[SAYS_NONE]} of {len(found)} packages say none"
    return f"{HEAD}{none}.\n\n| package | licence |\n| --- | --- |\n{rows}"


if __name__ == "__main__":
    (ROOT / "docs" / "licences.md").write_text(page(licences()), encoding="utf-8", newline="\n")
