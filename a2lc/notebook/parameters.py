"""Parameters of notebooks: what is declared, what was given, and the values that a notebook goes on with.

papermill only warns about a misspelt name, and makes a string of ``-p seeds "[1]"``. Here each value either becomes
what was meant or is refused, in one line that says what to type.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from a2lc.files import nearest, read_yaml

PROFILE = "profile"  # the parameter that every notebook has, and the one name in a profile's file
TYPES: dict[str, type | tuple[type, ...]] = {"bool": bool, "int": int, "float": (int, float), "str": str, "dict": dict}
INJECTED = "# Parameters"  # the first line of the cell that papermill adds
OF_TUTORIALS = {"06": "figure_instant"}  # what the files of a tutorial that makes a figure begin with
OF_PAPERMILL = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")  # with `papermill --inject-paths`


@dataclass(frozen=True)
class Parameter:
    """One line ``name: type = default`` of a parameters cell.

    Attributes:
        name: the parameter.
        kind: bool, int, float (takes whole numbers too), str, dict, list[int], list[float] or list[str].
        default: a literal of that type. A list that is not empty by default must not be empty.
    """

    name: str
    kind: str
    default: Any

    @property
    def to_type(self) -> str:
        """What a command line may say, for papermill."""
        if self.name == PROFILE:
            return "-f notebooks/params/toy.yaml"
        default = ["NAME" if self.kind == "list[str]" else 0] if self.default == [] else self.default
        if isinstance(default, (dict, list)):
            text = f'"{yaml.safe_dump(default, default_flow_style=True, width=1000).strip()}"'
        else:
            text = json.dumps(default) if default == "" or isinstance(default, bool) else str(default)
        return f"-{'r' if 'str' in self.kind else 'p'} {self.name} {text}"

    def convert(self, value: Any) -> Any:
        """`value` in the declared type: of text what it spells, of a single element a list.

        Raises:
            ValueError: it is of another type; says what to type.
        """
        kind, of = (self.kind.removesuffix("]").split("[") + [None])[:2]
        try:
            if kind != "list" or of is None:
                return _of_type(value, self.kind)
            values = _parts(value) if isinstance(value, str) else value if isinstance(value, list) else [value]
            if not values and self.default:
                raise ValueError
            return [_of_type(item, of) for item in values]
        except (ValueError, yaml.YAMLError):
            like = f"expected {self.kind} like {self.default!r}"
            raise ValueError(f"{self.name}: {like}, found {value!r} (with papermill: {self.to_type})") from None


def _of_type(value: Any, kind: str) -> Any:
    if isinstance(value, str) and kind != "str":
        value = _spelt(value.strip(), kind)
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError
    return value


def _spelt(text: str, kind: str) -> Any:
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "dict":
        return yaml.safe_load(text)
    return float(text) if kind == "float" and not text.lstrip("+-").isdigit() else int(text)


def _parts(text: str) -> list[str]:
    """Elements of ``[alc, a2lc]``, ``alc,a2lc`` or ``alc``."""
    text = text.strip()
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return [part.strip().strip("\"'") for part in inside.split(",")] if inside.strip() else []


def declared(source: str) -> dict[str, Parameter]:
    """The parameters that a parameters cell declares, in its order; what is neither an assignment nor a declaration may
    stand beside them.

    Raises:
        ValueError: an assignment is no ``name: type = literal``, of a type that `Parameter` names.
    """
    found = {}
    for line in ast.parse(source).body:
        if not isinstance(line, (ast.Assign, ast.AnnAssign)):
            continue
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
            raise ValueError(f"expected name: type = literal, found {ast.unparse(line)}")
        name, kind = line.target.id, ast.unparse(line.annotation)
        if kind not in (known := (*TYPES, "list[int]", "list[float]", "list[str]")):
            raise ValueError(f"{name}: expected a type of {', '.join(known)}, found {kind}")
        try:
            default = ast.literal_eval(line.value)
        except ValueError as error:
            raise ValueError(f"{name}: expected a literal, found {ast.unparse(line.value)}") from error
        found[name] = Parameter(name, kind, default)
        if type(default) is not type(found[name].convert(default)):
            raise ValueError(f"{name}: expected {kind}, found {default!r}")
    return found


def parameters_of(notebook: str | os.PathLike[str]) -> dict[str, Parameter]:
    """The parameters of a notebook's file, from its cell tagged ``parameters``.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: it is no notebook, has no such cell, or an assignment in it is no ``name: type = literal``.
    """
    if not Path(notebook).is_file():
        raise FileNotFoundError(f"{notebook}: no such notebook")
    try:
        cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{notebook}: damaged, or no notebook ({error})") from error
    if not tagged:
        raise ValueError(f"{notebook}: expected one cell tagged 'parameters' with literals, found none")
    try:
        return declared("".join(tagged[0]["source"]))
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{notebook}: {error}") from error


def item_of(notebook: Path) -> str:
    """What a notebook's files begin with, and a profile calls it: ``table1`` of ``table1_rounds.ipynb``, ``quickstart``
    of ``00_quickstart.ipynb``, ``tutorial01`` of ``01_pseudo_labels.ipynb``, ``figure_instant`` of
    ``06_corrections_in_seconds.ipynb``."""
    first, _, rest = notebook.stem.partition("_")
    if first == "00":
        return rest
    return OF_TUTORIALS.get(first, f"tutorial{first}" if first.isdigit() else first)


def parameters_by_item(notebooks: Path) -> dict[str, dict[str, Parameter]]:
    """Item -> parameters, of all notebooks in a folder that have any; empty where there is none."""
    found = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        with suppress(ValueError):  # somebody's own notebook
            found[item_of(path)] = parameters_of(path)
    return found


def read_profile(file: str | os.PathLike[str]) -> dict[str, Any]:
    """The values of a profile: names of parameters, and items with their own.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or holds anything but one mapping named ``profile``.
    """
    values = read_yaml(file)
    if set(values) != {PROFILE} or not isinstance(values[PROFILE], dict):
        found = ", ".join(name for name in values if name != PROFILE) or repr(values.get(PROFILE))
        raise ValueError(f"{file}: expected '{PROFILE}:' and all parameters indented below it, found {found}")
    return values[PROFILE]


def profile_for(item: str, profile: Mapping[str, Any], known: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """The parameters that a profile gives to one notebook: its own, before those of all.

    Args:
        item: the notebook (`item_of`).
        profile: names of parameters, which every notebook takes that has them; names of items, whose mappings only
            that notebook takes.
        known: item -> its parameters. Of one item alone, names that it does not have may be others', and are left out.

    Raises:
        ValueError: names every key that no notebook has, and every name that an item does not have.
    """
    every = _every(known)
    problems = []
    for name, value in profile.items():
        if name in known and not isinstance(value, Mapping):
            problems.append(f"{name}: expected a mapping of its parameters, found {value!r}")
        elif name in known:
            problems += [f"{name}.{problem}" for problem in _unknown(value, set(known[name]) - {PROFILE})]
        elif name not in every and len(known) > 1:
            problems.append(f"{name}: no notebook has this parameter{nearest(name, [*every, *known])}")
    if problems:
        raise ValueError("; ".join(problems))
    common = {name: value for name, value in profile.items() if name in known[item] and name not in known}
    return common | profile.get(item, {})


def _every(known: Mapping[str, Collection[str]]) -> list[str]:
    return sorted({name for names in known.values() for name in names} - {PROFILE})


def _unknown(names: Iterable[str], known: Collection[str]) -> list[str]:
    return [f"{name}: no such parameter{nearest(name, known)}" for name in names if name not in known]


def settle(
    item: str,
    parameters: Mapping[str, Parameter],
    values: Mapping[str, Any],
    given: Collection[str],
    known: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """What a notebook goes on with: what was given, else the profile's, else the defaults.

    Args:
        item: the notebook (`item_of`).
        parameters: what its parameters cell declares.
        values: name -> value, of parameters and perhaps others.
        given: the names that somebody set on purpose. A value that is not its parameter's default counts as set.
        known: item -> the names of its parameters, of all notebooks that there are; this one may be missing.

    Raises:
        ValueError: names all that are unknown, with the nearest name, or else all that are of a wrong type.
    """
    if problems := _unknown([name for name in given if name not in OF_PAPERMILL], parameters):
        others = any(name in _every(known) and name not in parameters for name in given)
        hint = f"; what many notebooks share belongs below '{PROFILE}:'" if others else ""
        raise ValueError(f"{item}: {'; '.join(problems)} (known: {', '.join(parameters)}){hint}")
    held = _converted(item, parameters, {name: values[name] for name in parameters if name in values})
    own = {name: value for name, value in held.items() if name in given or value != parameters[name].default}
    try:
        found = profile_for(item, own.get(PROFILE, {}), {**known, item: parameters})
    except ValueError as error:
        raise ValueError(f"{item}: {PROFILE}: {error}") from None
    return {name: about.default for name, about in parameters.items()} | _converted(item, parameters, found) | own


def _converted(item: str, parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    good, problems = {}, []
    for name, value in values.items():
        try:
            good[name] = parameters[name].convert(value)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(f"{item}: {'; '.join(problems)}")
    return good
