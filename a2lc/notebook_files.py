"""The notebooks and parameter files that came with a2lc: in a checkout its ``notebooks/``, else part of the package."""

from __future__ import annotations

from pathlib import Path

from a2lc.files import atomic

PACKAGED = Path(__file__).resolve().parent / "notebooks"  # put there by setup.py, when a wheel is built
NOTEBOOKS = PACKAGED if PACKAGED.is_dir() else PACKAGED.parents[1] / "notebooks"


def notebooks_of(project: Path) -> Path:
    """The notebooks of a project; where it has none, those that came with a2lc."""
    own = project / "notebooks"
    return own if (own / "params").is_dir() else NOTEBOOKS


def copy_notebooks(dest: Path) -> int:
    """Copy the notebooks that came with a2lc to ``<dest>/notebooks``; files that are there already stay.

    Args:
        dest: the project's folder; made where it does not exist.

    Returns:
        How many files were copied.

    Raises:
        FileExistsError: files are there already and have another content; each is named, and nothing is copied.
    """
    target, files = dest / "notebooks", [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("params/*.yaml")]
    contents = {path.relative_to(NOTEBOOKS): path.read_bytes() for path in files}
    there = {name: (target / name).read_bytes() for name in contents if (target / name).exists()}
    if changed := sorted(str(target / name) for name, found in there.items() if found != contents[name]):
        raise FileExistsError(f"{', '.join(changed)}: changed since; move them away or name another folder")
    new = contents.keys() - there.keys()
    for name in new:
        with atomic(target / name) as temporary:
            temporary.write_bytes(contents[name])
    return len(new)
