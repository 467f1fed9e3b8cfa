"""Runs, tables and pictures on referring expressions (`a2lc.referring`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from a2lc.figures import bars
from a2lc.referring import METHODS, Experiment, Look, ReferringDataset, ReferringRun, load_dataset, run
from a2lc.referring.config import SIMULATED

SPLITS = ("val", "test_uni", "test_rel", "test", "testA", "testB")
"""Splits in the order of tables; a dataset has some of them."""
NUMBERS = {"oiou": "oIoU", "miou": "mIoU", "pr50": "Pr@0.5", "pr70": "Pr@0.7", "pr90": "Pr@0.9"}
"""Metric -> how tables call it."""
SHADES, BOX, LEFT_OUT = "viridis", "#D55E00", "0.7"
"""Colours of maps, of a frozen model's boxes, of cells that are not accepted."""
KEYS = {1.0: "1: the object", 0.5: "one half: unsure", 0.0: "0: background"}
"""Value of a map -> what it means."""
Runs = Mapping[str, Sequence[ReferringRun]]


def play_presets(
    fields: Mapping[str, Any],
    presets: Iterable[str],
    seeds: Sequence[int],
    runs_dir: str,
    data: ReferringDataset | None = None,
    progress: bool = False,
) -> dict[str, list[ReferringRun]]:
    """Play presets of `a2lc.referring.METHODS` with the same fields, or read what is there.

    Args:
        fields: of `a2lc.referring.Experiment`; ``rounds`` and ``rate`` where the preset says otherwise are its own.
        presets: names.
        seeds: one run each.
        runs_dir: the folder of all runs.
        data: of the fields' dataset, where it is loaded already.
        progress: show bars.

    Raises:
        ValueError: an unknown preset or a wrong field.
    """
    configs = {name: [preset_of(fields, name, seed) for seed in seeds] for name in presets}
    return {name: [run(c, runs_dir, data=data, progress=progress) for c in of] for name, of in configs.items()}


def preset_of(fields: Mapping[str, Any], name: str, seed: int) -> Experiment:
    """The configuration of a preset with these fields.

    Raises:
        ValueError: as `a2lc.referring.Experiment`.
    """
    own = METHODS.get(name, {})
    return Experiment(**{key: value for key, value in fields.items() if key not in own}, method=name, seed=seed)


def data_of(fields: Mapping[str, Any]) -> ReferringDataset:
    """The data of these fields."""
    config = Experiment(**fields)
    return load_dataset(config.dataset, config.root, split_by=config.split_by, **config.options)


def tested_splits(data: ReferringDataset) -> list[str]:
    """The splits of a dataset that nothing is chosen by, in the order of `SPLITS`."""
    return [name for name in SPLITS if name in data.splits and name != "val"]


def about(fields: Mapping[str, Any], seeds: Sequence[int], percents: Sequence[float] = ()) -> str:
    """What a caption has to say of numbers made from these fields, where so many percent of the images are labelled, or
    what ``rate`` says."""
    config = Experiment(**fields)
    shares = ", ".join(f"{percent:g}" for percent in percents) or f"{100 * config.rate:g}"
    seeded = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    made = f"{config.dataset}, {shares} % of the images labelled, {seeded}"
    if config.prior == SIMULATED:
        shaped = "frozen model and Segment Anything are" if config.shape == "sam" else "the frozen model is"
        frozen = f"{shaped} simulated"
    else:
        frozen = f"frozen model {config.prior}"
    return f"{made}; {frozen}. After the published description of Learning to Label, not the authors' method."


def last_rounds(runs: Runs) -> pd.DataFrame:
    """A row per run and split after the last round: ``method``, ``seed``, ``split``, each of `NUMBERS` in percent."""
    rows = []
    for name, of in runs.items():
        for one in of:
            last = one.summary.iloc[-1]
            for split in (split for split in SPLITS if f"{split}_oiou" in last):
                numbers = {label: 100 * float(last[f"{split}_{key}"]) for key, label in NUMBERS.items()}
                rows.append({"method": name, "seed": one.config.seed, "split": split, **numbers})
    return pd.DataFrame(rows)


def results(runs: Runs) -> pd.DataFrame:
    """A row per preset and split after the last round: ``method``, ``split``, ``runs``, and of each of `NUMBERS` the
    mean over seeds in percent, with ``<number> sd`` (NaN of one seed)."""
    grouped = last_rounds(runs).groupby(["method", "split"], sort=False)
    table = grouped.size().rename("runs").to_frame()
    for label in NUMBERS.values():
        table[label], table[f"{label} sd"] = grouped[label].mean(), grouped[label].std(ddof=1)
    return table.reset_index()


def draw_results(table: pd.DataFrame, number: str, title: str) -> Figure:
    """Bars of one of `NUMBERS`' labels, a group per split and a bar per method, of what `results` returns."""
    splits = list(dict.fromkeys(table["split"]))
    by_method = {
        str(name): [float(rows.set_index("split")[number].get(split, np.nan)) for split in splits]
        for name, rows in table.groupby("method", sort=False)
    }
    return bars(by_method, splits, f"{number} (%)", title)


def decisions_by_gate(run: ReferringRun, round: int) -> pd.DataFrame:
    """A row per gate of a round: ``gate``, ``sentences``, mean ``share`` of cells accepted, and where the truth was
    noted mean ``iou`` of the fused map and ``precision`` of accepted cells, in percent."""
    table = run.decisions(round)
    numbers = [name for name in ("share", "iou", "precision") if name in table]
    grouped = table.groupby("gate")
    found = (100 * grouped[numbers].mean()).assign(sentences=grouped.size())
    return found.reset_index()[["gate", "sentences", *numbers]]


def draw_look(found: Look, title: str) -> Figure:
    """One sentence from left to right: image with the frozen model's boxes, its proposal, what the network says, what
    both say together, what was accepted, and the truth; below them what the colours mean."""
    return draw_looks({"": found}, title)


def draw_looks(looks: Mapping[str, Look], title: str) -> Figure:
    """Several sentences, a row each, as `draw_look` draws one.

    Args:
        looks: what a row is called -> what there is to see; all with the same panels.
        title: over the figure.
    """
    rows = {name: _panels(found) for name, found in looks.items()}
    columns = max(map(len, rows.values()))
    size = (2.6 * columns, 2.3 * len(rows) + 0.7)
    fig, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, layout="constrained")
    for line, (found, (name, panels)) in zip(axes, zip(looks.values(), rows.items(), strict=True), strict=True):
        for ax, (of, panel) in zip(line, panels.items(), strict=True):
            ax.set_facecolor(LEFT_OUT)
            ax.imshow(panel, vmin=0, vmax=1, cmap=SHADES, interpolation="nearest")
            ax.set_title(of, fontsize=9)
            ax.set_xticks([])
            ax.set_yticks([])
        line[0].set_ylabel("\n".join(wrap(name, 24)), fontsize=9, parse_math=False)
        for box in found.prior.boxes if found.prior is not None else ():
            x0, y0, x1, y1 = (float(value) for value in box)
            line[0].add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=BOX, linewidth=2))
    shades = plt.get_cmap(SHADES)
    keys = [Patch(fill=False, edgecolor=BOX, linewidth=2, label="the frozen model's box")]
    keys += [Patch(color=shades(at), label=label) for at, label in KEYS.items()]
    if any("accepted" in panels for panels in rows.values()):
        keys.append(Patch(color=LEFT_OUT, label="not accepted"))
    fig.legend(handles=keys, loc="outside lower center", ncols=len(keys), fontsize=9, frameon=False)
    fig.suptitle("\n".join(wrap(title, 26 * columns)), fontsize=10, parse_math=False)
    return fig


def _panels(found: Look) -> dict[str, np.ndarray]:
    panels: dict[str, np.ndarray] = {"image, boxes": found.image}
    if found.prior is not None:
        panels["proposal"] = found.prior.probabilities()
    if found.said is not None and found.fused is not None:
        panels |= {"network": found.said, "fused": found.fused}
        panels["accepted"] = np.where(found.cells, found.fused > 0.5, np.nan)
    panels["truth"] = found.truth.astype(np.float32)
    return panels
