"""Tables: from finished runs to the rows the paper prints, ours beside the paper's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from a2lc.files import read_json, write_text
from a2lc.paper.clicks import truth_of
from a2lc.paper.escaping import markdown_cell, markdown_text, tex_text
from a2lc.paper.origin import NOT_IN_PAPER, fewer_images, origin, other_network
from a2lc.runs import STAGES, Run

METRICS = ("data_miou", "model_miou")


def reference_results(name: str) -> pd.DataFrame:
    """A table of published numbers that ships with the package: ``paper_tables`` or ``a2lc_released_results``.

    Raises:
        FileNotFoundError: there is no other.
    """
    with (files("a2lc") / "reference_results" / f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream)


def paper_table(item: str) -> pd.DataFrame:
    """The paper's numbers of one item (``table1`` ... ``table5``): dataset, metric, method, round, value, std
    (percent), note.

    Raises:
        ValueError: the paper has no such item.
    """
    table = reference_results("paper_tables")
    if item not in set(table["item"]):
        raise ValueError(f"item: expected one of {', '.join(sorted(set(table['item'])))}, found {item!r}")
    return table[table["item"] == item].drop(columns="item").reset_index(drop=True)


def paper_values(item: str, metric: str, paper_dataset: str) -> dict[str, float]:
    """The last number of a metric that the paper prints in each row of an item: row -> percent; empty where it prints
    none.

    Raises:
        ValueError: the paper has no such item.
    """
    paper = paper_table(item)
    chosen = paper[(paper["dataset"] == paper_dataset) & (paper["metric"] == metric)]
    last = chosen.drop_duplicates("method", keep="last")
    return dict(zip(last["method"], last["value"], strict=True))


def rounds_table(runs: Iterable[Run] | Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """Table 1: Data and Model mIoU of every round, mean and standard deviation over seeds.

    Args:
        runs: finished runs of any number of methods and seeds; or row name -> runs, where rows are not methods
            (`experiments.run_rows`).

    Returns:
        Columns dataset, metric (data_miou or model_miou), method, round, mean, std (percent; the sample standard
        deviation, NaN for one seed), n_seeds; methods in the order in which they come. Where no model was trained its
        mean is NaN, of 0 seeds.

    Raises:
        ValueError: no runs, or one of them is not finished.
    """
    parts = []
    for name, run in _named(runs):
        check_finished(run)
        long = run.summary.melt(id_vars="round", value_vars=METRICS, var_name="metric", value_name="value")
        parts.append(long.assign(dataset=run.config.dataset, method=name, value=100 * long["value"].astype(float)))
    if not parts:
        raise ValueError("a table needs at least one finished run, found none")
    keys = ["dataset", "metric", "method", "round"]
    table = pd.concat(parts).groupby(keys, sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
    table = table.sort_values(["dataset", "metric"], kind="stable", ignore_index=True)
    return table.rename(columns={"count": "n_seeds"})


def check_rounds(table: pd.DataFrame, runs: Mapping[str, Iterable[Run]]) -> None:
    """Whether a table of rounds is complete: numbers of every seed and round, Model mIoU where a model was trained.

    Args:
        table: what `rounds_table` returns.
        runs: row name -> its runs, which start from labels.

    Raises:
        ValueError: names what is missing or too much, or a number outside [0, 100].
    """
    wanted: Counter[Any] = Counter(
        (metric, name, number)
        for name, run in _named(runs)
        for number in range(run.finished_rounds + 1)
        for metric in METRICS
        if metric == "data_miou" or run.config.trains(number)
    )
    measured = table[table["mean"].notna()].set_index(["metric", "method", "round"])
    found: Counter[Any] = Counter(measured["n_seeds"].to_dict())
    for key in [*wanted, *found]:
        if wanted[key] != found[key]:
            where = " ".join(map(str, key))
            raise ValueError(f"{where}: expected numbers of {wanted[key]} seeds, found {found[key]}")
    if not measured["mean"].between(0, 100).all():
        raise ValueError(f"expected percent, found {measured['mean'].min()} to {measured['mean'].max()}")


def check_finished(run: Run) -> None:
    """Raise ValueError for a run that is not finished."""
    if not run.finished:
        done = f"{run.finished_rounds} of {run.config.rounds} rounds"
        raise ValueError(f"{run.path}: not finished ({done}); run it to the end first")


def final_table(runs: Mapping[str, Iterable[Run]], item: str, paper_dataset: str) -> pd.DataFrame:
    """The last round of every row beside the paper's, as Tables 2, 4 and 5 are printed.

    Args:
        runs: row name -> finished runs (`experiments.run_rows`).
        item: ``table2``, ``table4`` or ``table5``.
        paper_dataset: whose numbers of the paper stand beside ours.

    Returns:
        Columns row, rounds, clicks (mean over seeds, rounded), n_seeds; for each of data_miou and model_miou, in
        percent, its mean, ``_std``, ``_paper`` (the last number the paper prints) and ``_difference``, ours minus the
        paper's. Columns without any value are left out.

    Raises:
        ValueError: no runs, one of them is not finished, or the paper has no such item.
    """
    last = rounds_table(runs).groupby(["metric", "method"], sort=False).tail(1).set_index(["metric", "method"])
    means, stds = last["mean"].to_dict(), last["std"].to_dict()
    printed = {metric: paper_values(item, metric, paper_dataset) for metric in METRICS}
    rows = []
    for name, of_row in runs.items():
        ends = [run.summary.iloc[-1] for run in of_row]
        row: dict[str, Any] = {"row": name, "rounds": int(ends[0]["round"])}
        row |= {"clicks": round(sum(int(end["clicks"]) for end in ends) / len(ends)), "n_seeds": len(ends)}
        for metric in METRICS:
            ours, theirs = means[(metric, name)], printed[metric].get(name, float("nan"))
            row |= {metric: ours, f"{metric}_std": stds[(metric, name)]}
            row |= {f"{metric}_paper": theirs, f"{metric}_difference": ours - theirs}
        rows.append(row)
    return pd.DataFrame(rows).dropna(axis=1, how="all")


def headline(table: pd.DataFrame, metric: str) -> dict[str, tuple[float, float | None]]:
    """The rows of a table for `summary.save_headline`: what is measured -> ours and the paper's, in percent.

    Args:
        table: what `final_table` returns.
        metric: data_miou or model_miou.
    """
    title = {"data_miou": "Data mIoU", "model_miou": "Model mIoU"}[metric]
    return {
        f"{row['row']}: {title}, round {row['rounds']} (%)": (row[metric], row.get(f"{metric}_paper"))
        for row in table.to_dict("records")
    }


def _named(runs: Iterable[Run] | Mapping[str, Iterable[Run]]) -> list[tuple[str, Run]]:
    if isinstance(runs, Mapping):
        return [(name, run) for name, of_row in runs.items() for run in of_row]
    return [(run.config.method, run) for run in runs]


def ceiling(run: Run) -> float:
    """Data mIoU in [0, 1] if an annotator answered every mask of this run: what relabelling whole masks can reach.

    Raises:
        ValueError: an image has no ground truth.
    """
    return truth_of(run).ceiling(run.masks(0)).miou


def caption(runs: Iterable[Run] | Mapping[str, Iterable[Run]]) -> str:
    """One sentence on what a table or figure was computed from; says so when pseudo-labels are simulated, images a part
    of the paper's, or the network another than `light`. A second one where rows are not in the paper."""
    every = [run for _, run in _named(runs)]
    config, total = every[0].config, len(every[0].masks(0))
    seeds = len({run.config.seed for run in every})
    beside = any(run.config.is_instant for run in every)
    return (
        f"{config.dataset}{fewer_images(every[0])}: {config.rounds} round{'s' if config.rounds > 1 else ''} of "
        f"{config.masks_per_round(total)} of {total} masks, {seeds} seed{'s' if seeds > 1 else ''}; "
        f"pseudo-labels {origin(config)}{other_network(config)}.{NOT_IN_PAPER if beside else ''}"
    )


def clicks_caption(runs: Mapping[str, Iterable[Run]], clicks: int) -> str:
    """Caption of Table 2 (`experiments.table2`): its first sentence says what was computed from what, the others which
    protocol each row follows."""
    every = [run.config for _, run in _named(runs)]
    seeds = len({config.seed for config in every})
    labels = {origin(config) for config in every if config.pseudo_labels.kind in ("simulated", "folders")}
    return (
        f"{every[0].dataset}: {clicks} clicks per row, {seeds} seed{'s' if seeds > 1 else ''}; pseudo-labels of ALC "
        f"and A²LC {' or '.join(sorted(labels))}, the superpixel methods start without any label. Spx and MerSpx spend "
        "half of the clicks at random and choose the other half; MulSpx spends all at random and retrains on what it "
        "localised (stage 2), mulspx_halves is its control by halves. One network and recipe for all rows, unlike the "
        "papers' own."
    )


def provenance(runs: Iterable[Run] | Mapping[str, Iterable[Run]], caption: str) -> dict[str, Any]:
    """What stands behind a table, as JSON values.

    Returns:
        ``caption``; ``minutes`` of computing, round 0 counted in every run; ``config`` and ``computed`` (packages,
        device, hashes of the data) as far as all runs agree; ``runs``: folder name -> what they do not agree on.
    """
    every = {run.path.name: run for _, run in _named(runs)}
    stages = [f"seconds_{stage}" for stage in STAGES]
    seconds = sum(float(run.summary[stages].sum().sum()) for run in every.values())
    about = {
        name: {
            "config": run.config.identity() | {"rounds": run.config.rounds},
            "computed": read_json(run.path / "provenance.json"),
        }
        for name, run in every.items()
    }
    return {"caption": caption, "minutes": round(seconds / 60, 1), **shared_and_own(about)}


def shared_and_own(about: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Of what each run is made: what all agree on, and ``runs``, name -> what it has beyond that."""
    shared = _agreed(list(about.values()))
    return {**shared, "runs": {name: _beyond(found, shared) for name, found in about.items()}}


def _agreed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What all dictionaries have, inside dictionaries too."""
    agreed: dict[str, Any] = {}
    for key in found[0]:
        values: list[Any] = [each.get(key) for each in found]
        if all(isinstance(value, dict) for value in values):
            agreed[key] = _agreed(values)
        elif all(key in each and each[key] == values[0] for each in found):
            agreed[key] = values[0]
    return agreed


def _beyond(found: dict[str, Any], agreed: dict[str, Any]) -> dict[str, Any]:
    """What a dictionary has beyond `agreed`."""
    inside = {key: _beyond(found[key], agreed[key]) for key in agreed if isinstance(agreed[key], dict)}
    own = {key: value for key, value in found.items() if key not in agreed}
    return {key: value for key, value in inside.items() if value} | own


def beside_paper(table: pd.DataFrame, item: str, paper_dataset: str) -> pd.DataFrame:
    """Our rows beside the paper's of `paper_dataset`, one column per round: ``ours``, ``paper`` and ``difference``
    (ours minus the paper's); mean ± std in percent. A number that the paper prints without a round stands in our last.

    Args:
        table: what `rounds_table` returns; rows of the paper that it does not have are left out.
        item: ``table1`` ... ``table5``.
        paper_dataset: whose numbers of the paper stand beside ours.

    Raises:
        ValueError: the paper has no such item.
    """

    def text(mean: float, std: float) -> str:
        if isnan(mean):
            return ""
        return f"{mean:.2f}" if isnan(std) else f"{mean:.2f} ± {std:.2f}"

    paper = paper_table(item).rename(columns={"value": "mean"})
    paper = paper[(paper["dataset"] == paper_dataset) & paper["method"].isin(table["method"])]
    paper = paper.assign(round=paper["round"].fillna(table["round"].max()).astype(int))
    parts = {"ours": table, f"paper ({paper_dataset})": paper}
    parts = {
        source: part.assign(source=source, text=[text(m, s) for m, s in zip(part["mean"], part["std"], strict=True)])
        for source, part in parts.items()
    }
    met = table.merge(paper, on=["metric", "method", "round"], suffixes=("", "_paper"))
    parts["difference"] = met.assign(source="difference", text=(met["mean"] - met["mean_paper"]).map("{:+.2f}".format))
    wide = pd.concat(parts.values()).pivot(index=["metric", "method", "source"], columns="round", values="text")
    order = [(metric, row, source) for metric in METRICS for row in table["method"].unique() for source in parts]
    return wide.fillna("").loc[[key for key in order if key in wide.index]]


def save_table(table: pd.DataFrame, name: str, folder: str | os.PathLike[str], caption: str) -> None:
    """Write `table` as ``<name>.csv``, with 4 digits, and as ``.md`` and ``.tex``, with 2 and the caption; texts mean
    themselves in each."""
    rounded = table.round(2)
    texts = {
        "csv": table.round(4).to_csv(index=False, lineterminator="\n"),
        "md": f"{markdown_text(caption)}\n\n{markdown_table(rounded)}\n",
        "tex": rounded.to_latex(
            index=False, caption=tex_text(caption), label=f"tab:{name}", escape=True, float_format="%.2f", na_rep="–"
        ),
    }
    for suffix, text in texts.items():
        write_text(Path(folder) / f"{name}.{suffix}", text)


def markdown_table(table: pd.DataFrame) -> str:
    """A Markdown table without the index; missing values become a dash. A text has no HTML, links or ends of cells."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join("–" if pd.isna(cell) else markdown_cell(str(cell)) for cell in cells) + " |"  # type: ignore[call-overload]

    rows = [line(row) for row in table.itertuples(index=False)]
    return "\n".join([line(table.columns), line(["---"] * len(table.columns)), *rows])
