"""Tables: from finished runs to the rows the paper prints, ours beside the paper's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

import pandas as pd

from a2lc.datasets import load_dataset
from a2lc.files import atomic
from a2lc.metrics import truth_histogram
from a2lc.runs import Run

METRICS = ("data_miou", "model_miou")


def paper_table(item: str) -> pd.DataFrame:
    """The paper's numbers of one item (``table1`` ... ``table5``): dataset, metric, method, round, value, std
    (percent), note.

    Raises:
        ValueError: the paper has no such item.
    """
    with (files("a2lc") / "reference_results" / "paper_tables.csv").open(encoding="utf-8") as stream:
        table = pd.read_csv(stream)
    if item not in set(table["item"]):
        raise ValueError(f"item: expected one of {', '.join(sorted(set(table['item'])))}, found {item!r}")
    return table[table["item"] == item].drop(columns="item").reset_index(drop=True)


def rounds_table(runs: Iterable[Run] | Mapping[str, Iterable[Run]]) -> pd.DataFrame:
    """Table 1: Data and Model mIoU of every round, mean and standard deviation over seeds.

    Args:
        runs: finished runs of any number of methods and seeds; or row name -> runs, where rows are not methods
            (`experiments.run_rows`).

    Returns:
        Columns dataset, metric (data_miou or model_miou), method, round, mean, std (percent; the sample standard
        deviation, NaN for one seed), n_seeds.

    Raises:
        ValueError: no runs, or one of them is not finished.
    """
    parts = []
    for name, run in _named(runs):
        if not run.finished:
            done = f"{run.finished_rounds} of {run.config.rounds} rounds"
            raise ValueError(f"{run.path}: not finished ({done}); run it to the end first")
        long = run.summary.melt(id_vars="round", value_vars=METRICS, var_name="metric", value_name="value")
        parts.append(long.assign(dataset=run.config.dataset, method=name, value=100 * long["value"].astype(float)))
    if not parts:
        raise ValueError("a table needs at least one finished run, found none")
    keys = ["dataset", "metric", "method", "round"]
    table = pd.concat(parts).groupby(keys)["value"].agg(["mean", "std", "count"]).reset_index()
    return table.rename(columns={"count": "n_seeds"})


def final_table(runs: Mapping[str, Iterable[Run]], item: str, paper_dataset: str) -> pd.DataFrame:
    """The last round of every row beside the paper's, as Tables 2, 4 and 5 are printed.

    Args:
        runs: row name -> finished runs (`experiments.run_rows`).
        item: ``table2``, ``table4`` or ``table5``.
        paper_dataset: whose numbers of the paper stand beside ours.

    Returns:
        Columns row, rounds, clicks (mean over seeds), data_miou, data_miou_std, model_miou, model_miou_std (percent),
        n_seeds, and paper_data_miou, paper_model_miou (percent; NaN where the paper prints none).
    """
    last = rounds_table(runs).groupby(["metric", "method"], sort=False).tail(1).set_index(["metric", "method"])
    paper = paper_table(item)
    paper = paper[paper["dataset"] == paper_dataset].groupby(["metric", "method"]).tail(1)
    printed = paper.set_index(["metric", "method"])["value"]
    rows = []
    for name, of_row in runs.items():
        clicks = [int(run.summary["clicks"].iloc[-1]) for run in of_row]
        row = {"row": name, "rounds": last.loc[("data_miou", name), "round"], "clicks": sum(clicks) / len(clicks)}
        for metric in METRICS:
            row |= {metric: last.loc[(metric, name), "mean"], f"{metric}_std": last.loc[(metric, name), "std"]}
        row |= {"n_seeds": len(clicks)} | {f"paper_{metric}": printed.get((metric, name)) for metric in METRICS}
        rows.append(row)
    return pd.DataFrame(rows).astype({f"paper_{metric}": float for metric in METRICS})


def _named(runs: Iterable[Run] | Mapping[str, Iterable[Run]]) -> list[tuple[str, Run]]:
    if isinstance(runs, Mapping):
        return [(name, run) for name, of_row in runs.items() for run in of_row]
    return [(run.config.method, run) for run in runs]


def ceiling(run: Run) -> float:
    """Data mIoU in [0, 1] if an annotator answered every mask of this run: what relabelling whole masks can reach."""
    masks = run.masks(0)
    train = load_dataset(run.config.dataset, run.config.root).train
    return truth_histogram(masks, train).ceiling(masks).miou


def caption(runs: Iterable[Run]) -> str:
    """One sentence on what a table or figure was computed from; says so when the pseudo-labels are simulated."""
    runs = list(runs)
    config, total = runs[0].config, len(runs[0].masks(0))
    labels = "simulated from the ground truth, not Grounded-SAM output"
    if config.pseudo_labels.kind == "folders":
        labels = "real Grounded-SAM output"
    seeds = len({run.config.seed for run in runs})
    return (
        f"{config.dataset}: {config.rounds} rounds of {config.masks_per_round(total)} of {total} masks, {seeds} "
        f"seed{'s' if seeds > 1 else ''}; pseudo-labels {labels}."
    )


def beside_paper(table: pd.DataFrame, item: str, paper_dataset: str) -> pd.DataFrame:
    """Our rows beside the paper's of `paper_dataset`, one column per round: ``ours`` and ``paper``, mean ± std in
    percent."""

    def text(mean: float, std: float) -> str:
        return f"{mean:.2f}" if pd.isna(std) else f"{mean:.2f} ± {std:.2f}"

    paper = paper_table(item)
    paper = paper[paper["dataset"] == paper_dataset].rename(columns={"value": "mean"})
    both = pd.concat([table.assign(source="ours"), paper.assign(source=f"paper ({paper_dataset})")])
    both["text"] = [text(m, s) for m, s in zip(both["mean"], both["std"], strict=True)]
    return both.pivot(index=["metric", "method", "source"], columns="round", values="text").fillna("")


def save_table(table: pd.DataFrame, name: str, folder: str | os.PathLike[str], caption: str) -> None:
    """Write `table` as ``<name>.csv``, ``.md`` and ``.tex`` with the caption in the latter two."""
    rounded = table.round(2)
    texts = {
        "csv": table.round(4).to_csv(index=False),
        "md": f"{caption}\n\n{markdown_table(rounded)}\n",
        "tex": rounded.to_latex(
            index=False, caption=caption, label=f"tab:{name}", escape=True, float_format="%.2f", na_rep="–"
        ),
    }
    for suffix, text in texts.items():
        with atomic(Path(folder) / f"{name}.{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def markdown_table(table: pd.DataFrame) -> str:
    """A Markdown table without the index; missing values become a dash."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join("–" if pd.isna(cell) else str(cell) for cell in cells) + " |"  # type: ignore[call-overload]

    rows = [line(row) for row in table.itertuples(index=False)]
    return "\n".join([line(table.columns), line(["---"] * len(table.columns)), *rows])
