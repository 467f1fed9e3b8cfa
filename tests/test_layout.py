"""The rooms of the package: CONTRIBUTING's map names each, and imports go down it, so there is no circle."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "a2lc"


def room_of(module: str) -> str:
    """The room of a module, ``a2lc.human.queue`` -> human: a package, or a module in front."""
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, wherever in the file it does."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute here"
            names = [f"a2lc.{alias.name}" for alias in node.names] if node.module == "a2lc" else [node.module or ""]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms |= {room_of(name) for name in names if name.startswith("a2lc.")}
    return {room for room in rooms if not room.startswith("__")}


def arrows() -> dict[str, set[str]]:
    """Room -> the rooms it imports."""
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        first = path.relative_to(PACKAGE).parts[0]
        if not first.startswith("__"):  # the face of the package is lazy
            room = first.removesuffix(".py")
            graph.setdefault(room, set()).update(imported(path) - {room})
    return graph


def rooms_of_map() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## The map")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)", table, flags=re.MULTILINE)


def test_the_map_lists_every_room_once() -> None:
    assert sorted(rooms_of_map()) == sorted(arrows())


def test_imports_go_down_the_map() -> None:
    """An order in which every arrow goes down is the proof that no arrows form a circle."""
    height = {room: position for position, room in enumerate(rooms_of_map())}
    climbs = {(room, other) for room, others in arrows().items() for other in others if height[other] <= height[room]}
    assert not climbs, f"imports that climb up CONTRIBUTING's map: {sorted(climbs)}"
    assert "rounds" in arrows()["human"] and "human" not in arrows()["rounds"]
