"""The paper's protocols: which runs make which table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from a2lc.config import Experiment
from a2lc.rounds import run
from a2lc.runs import Run


def run_all(
    fields: dict[str, Any],
    methods: Iterable[str] = ("alc", "a2lc"),
    seeds: Iterable[int] = (0, 1, 2),
    *,
    runs_dir: str | os.PathLike[str] = "runs",
    device: str = "auto",
    progress: bool = True,
) -> list[Run]:
    """Table 1's protocol: every method with every seed, from the same pseudo-labels and per seed the same round-0
    model.

    Args:
        fields: the fields of `Experiment` that all runs share.
        methods: presets of ``a2lc.config.METHODS``.
        seeds: one run per method and seed.
        runs_dir, device, progress: as in `run`.

    Raises:
        ValueError: a field is unknown or wrong; nothing is started then.
    """
    experiments = [Experiment(**{**fields, "method": method, "seed": seed}) for seed in seeds for method in methods]
    with tqdm(experiments, desc="runs", unit="run", disable=not progress) as bar:
        return [run(experiment, runs_dir, device=device, progress=progress) for experiment in bar]
