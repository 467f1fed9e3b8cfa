"""Which runs a notebook's parameters ask for, known before any is played: wrong values and missing packages are told at
once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from a2lc.config import Experiment
from a2lc.files import nearest
from a2lc.human.own_dataset import own_experiment, own_fields
from a2lc.machine import require
from a2lc.notebook import current_parameters
from a2lc.paper.experiments import (
    ALC_AND_A2LC,
    FULL,
    INSTANT_ROWS,
    QUICKSTART,
    TABLE1,
    TABLE4,
    TABLE5,
    WITHOUT_LCM,
    Rows,
    experiment_of,
    table2,
)
from a2lc.rounds import check_packages
from a2lc.runs import Run, run_folders

FIELDS = ("dataset", "root", "rounds", "budget", "segmenter", "scoring", "correction", "pseudo_labels")
LISTS: Mapping[str, Rows] = {
    "methods": TABLE1,
    "rows": table2(2),
    "functions": {**TABLE4, **INSTANT_ROWS},
    "beside": INSTANT_ROWS,
    "without_lcm": WITHOUT_LCM,
}
"""Parameters that list rows of a table: name of the parameter -> the rows that there are."""
OF_ITEMS: Mapping[str, Rows] = {
    "quickstart": {name: {"method": name} for name in QUICKSTART},
    "table5": TABLE5,
    "figure1": {**ALC_AND_A2LC, **FULL},
    "figure6": ALC_AND_A2LC,
}
"""Item -> the rows of `a2lc.paper.experiments` that it always has; one that is not named here and lists none has A²LC
alone."""
MOST_PRESETS = 3
"""Of the tutorial: more have no colour of their own in `a2lc.figures.bars`."""
TELLING, LEARNING = ("tutorial10", "figure9"), ("figure7", "figure8")
"""Items on referring expressions that tell of the last preset, which has rounds; and those of which all have."""
ASKING = ("quickstart", "tutorial02", "tutorial03", "tutorial04", "tutorial05", "explore", "figure5", "figure_instant")
"""They look at a round's questions."""


def planned_runs(item: str, values: Mapping[str, Any]) -> list[Experiment]:
    """The runs that a notebook is going to play. Of Table 2 their budget is not known yet, and is 2.

    Args:
        item: the notebook (`a2lc.notebook.parameters.item_of`).
        values: all of its parameters.

    Returns:
        One per row and seed; none of a notebook without a parameter ``dataset``, as one on referring expressions, of
        which ``presets``, ``percents``, ``scenes`` and ``expressions`` are checked all the same.

    Raises:
        ValueError: names the item, the parameter or field that is wrong, what was expected and what was found.
    """
    try:
        if "expressions" in values:
            _check_expressions(item, values)
        if "dataset" not in values:
            return []
        _check_values(item, values)
        fields = {name: values[name] for name in FIELDS if name in values}
        if item == "correct":
            chosen = own_experiment(values["root"], values["masks"], values["side"], **own_fields(values))
            return [Experiment(**fields), chosen]
        listed = [rows[name] for key, rows in LISTS.items() for name in values.get(key, ())]
        rows = [*OF_ITEMS.get(item, {}).values(), *listed] or [{}]
        return [experiment_of(fields, own, seed) for seed in values.get("seeds", [0]) for own in rows]
    except ValueError as error:
        raise ValueError(f"{item}: {error}") from None


def _check_expressions(item: str, values: Mapping[str, Any]) -> None:
    """Refuse values that no run on referring expressions can be made of."""
    from a2lc.paper.referring import preset_of
    from a2lc.referring import METHODS

    presets, percents = values["presets"], values.get("percents", [])
    most = MOST_PRESETS if item == "tutorial10" else len(METHODS)
    if len(set(presets)) < len(presets) or len(presets) > most:
        raise ValueError(f"presets: expected at most {most} different names, found {presets}")
    if len(set(percents)) < len(percents) or not all(0 < percent <= 100 for percent in percents):
        raise ValueError(f"percents: expected different numbers above 0, at most 100, found {percents}")
    fields = {"options": values.get("scenes", {}), **values["expressions"]}
    if percents and "rate" in fields:
        raise ValueError("expressions.rate: expected none, as percents says it")
    rates = [{"rate": percent / 100} for percent in percents] or [{}]
    configs = [preset_of(fields | rate, name, seed) for rate in rates for name in presets for seed in values["seeds"]]
    if item in TELLING and configs and not configs[-1].rounds:
        raise ValueError(f"presets: expected one with rounds last, which is told, found {presets[-1]!r}")
    if item in LEARNING and (without := [config.method for config in configs if not config.rounds]):
        raise ValueError(f"presets: expected those with rounds, found {without[0]!r}")


def check_parameters(item: str, namespace: Mapping[str, Any]) -> None:
    """Refuse values that no run can be made of, in a notebook's first cell of code, after `a2lc.notebook.begin`.

    Args:
        item: the notebook.
        namespace: its ``globals()``.

    Raises:
        ValueError: as `planned_runs`.
        FileNotFoundError: there is no folder ``root``.
    """
    values = current_parameters(namespace)
    planned_runs(item, values)
    if (root := values.get("root")) and not Path(root).is_dir():
        raise FileNotFoundError(f"root: {root}: no such folder (in {Path.cwd()})")


def check_extras(item: str, values: Mapping[str, Any], project: Path) -> None:
    """Refuse runs whose packages are not installed; finished ones need none.

    Args:
        item: the notebook.
        values: all of its parameters.
        project: the folder from which they are relative.

    Raises:
        MissingExtraError: names what is missing, and the command that installs it.
    """
    runs_dir, planned = project / values.get("runs_dir", "runs"), planned_runs(item, values)
    if "share" not in values:
        check_packages(planned, runs_dir)
        return
    finished = [_but_budget(run.config) for run in _runs_in(runs_dir) if run.finished]
    for config in planned:
        if _but_budget(config) not in finished:
            require(*config.optional_modules)


def _but_budget(config: Experiment) -> dict[str, Any]:
    return config.identity() | {"budget": None}


def _runs_in(runs_dir: Path) -> list[Run]:
    found = []
    for folder in run_folders(runs_dir) if runs_dir.is_dir() else []:
        with suppress(ValueError, OSError):  # a damaged one hides no other
            found.append(Run.open(folder))
    return found


def _check_values(item: str, values: Mapping[str, Any]) -> None:
    for key, rows in LISTS.items():
        for name in values.get(key, ()):
            if name not in rows:
                raise ValueError(f"{key}: expected names of {', '.join(rows)}, found {name!r}{nearest(name, rows)}")
    if not 0 < values.get("share", 0.5) < 1:
        raise ValueError(f"share: expected a share of the superpixels in (0, 1), found {values['share']!r}")
    seeds = values.get("seeds", [0])
    if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
        raise ValueError(f"seeds: expected different whole numbers >= 0, found {seeds}")
    if values.get("dataset") == "toy" and values.get("root"):
        raise ValueError(f"root: dataset 'toy' is drawn, not read, so expected none, found {values['root']!r}")
    if item == "figure_instant" and (told := values["methods"][-1]) not in INSTANT_ROWS:
        raise ValueError(f"methods: expected one of {', '.join(INSTANT_ROWS)} last, which is told, found {told!r}")
    if item in ASKING and values.get("rounds", 1) < 1:
        raise ValueError(f"rounds: expected at least 1, found {values['rounds']!r}: this notebook looks at the first")
