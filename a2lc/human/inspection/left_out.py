"""Files of a dataset's folder that are not read, and why."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath

from a2lc.datasets.listing import IMAGE_SUFFIXES, some_of
from a2lc.datasets.own_files import LISTS
from a2lc.human.inspection.found import Found
from a2lc.human.inspection.suspicion import plural


def left_out(found: Found) -> tuple[str, ...]:
    """A sentence per folder and reason."""
    files = found.files
    read = {*files.images.values(), *files.labels.values(), *files.ground_truth.values(), *files.lists}
    read |= {found.root / f"{split}.txt" for split in found.lists}
    used = {path.relative_to(found.root).as_posix() for path in read} | {*LISTS}
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in found.all_files:
        if file not in used:
            path = PurePosixPath(file)
            is_picture = path.suffix.lower() in IMAGE_SUFFIXES
            top = path.parts[0] + "/" if len(path.parts) > 1 else ""
            why = "pictures that belong to nothing" if is_picture else "no pictures"
            groups[top, why].append(path.name if len(path.parts) <= 2 else file.removeprefix(top))
    return tuple(
        f"left out: {plural(len(names), 'file')}{f' in {top}' if top else ''}, {why}: {some_of(names)}"
        for (top, why), names in sorted(groups.items())
    )
