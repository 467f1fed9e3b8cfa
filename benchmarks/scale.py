"""What a round costs against images, masks, classes, image size and answers: `python benchmarks/scale.py`.

Plays round 1 on generated datasets (`generated.py`) with a model that costs nothing, so that what is measured is our
own work: scoring, selection, the oracle's answers, the LCM, writing. Each case has a process of its own. Then fits
seconds, peak memory and bytes on disk (least squares on relative errors, no negative coefficient), and computes from
the fits what `TARGET` would need.

Seconds are processor seconds on a CPU, so that other processes change little; wall seconds with a GPU.

Prints tables, writes benchmarks/scale.json and paper_figures/scale/scale.{png,pdf,json}. `--only sizes masks` measures
some sweeps again and keeps the others; `--only` with nothing behind it measures nothing.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from generated import Case, Constant, make_dataset, one_round
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from measuring import in_child, machine
from scale_fit import case_of, fits, held_out, predicted, sizes_of, value_of

from a2lc.acquisition import gather_statistics
from a2lc.datasets import load_dataset
from a2lc.figures import save_figure
from a2lc.files import read_json, write_json
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.segmenter import resolve_device

FEW = 0.01  # share of masks queried where the LCM is not what is measured: its training costs the same per answer
SMALL = Case(100, 96, 128, masks=64, budget=FEW)
SWEEPS = {
    "images": [Case(n, budget=FEW) for n in (10, 100, 1_000, 10_000)],
    "sizes": [replace(SMALL, images=10, height=h, width=2 * h) for h in (64, 128, 256, 512, 1024)],
    "masks": [replace(SMALL, masks=m) for m in (4, 16, 64, 256, 1024)],
    "classes": [replace(SMALL, classes=k) for k in (14, 40, 80, 160)],
    "answers": [replace(SMALL, budget=b) for b in (0.03, 0.09, 0.27)],
    "network": [replace(SMALL, images=n, masks=16, budget=0.09, network="light") for n in (10, 100, 1_000)],
}
TARGET = Case(1_000_000, 1024, 2048, masks=64, budget=0.09)  # Cityscapes' size; its number of masks is not published

LABELS = {  # in the figure
    "prepare": "prepare, once",
    "start": "start a process",
    "predicted": "read images",
    "scored": "score",
    "queried": "query",
    "answered": "answer",
    "corrected": "LCM",
    "trained": "measure",
    "object_maps": "object maps",
    "table": "mask table",
    "round": "one round",
}
STAGE_STYLE = {  # colour-blind safe
    "prepare": ("#999999", "x", ":"),
    "start": ("#000000", "d", ":"),
    "predicted": ("#E69F00", "v", "--"),
    "scored": ("#0072B2", "s", "-"),
    "queried": ("#56B4E9", "^", "--"),
    "answered": ("#009E73", "P", "-."),
    "corrected": ("#D55E00", "o", "-"),
    "trained": ("#CC79A7", "*", "-."),
}


# ------------------------------------------------------------------------------------------------ measuring
def measure(case: Case, folder: Path, device: str = "auto") -> dict[str, Any]:
    """One case, in a process of its own; small ones are played twice."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place)
        make_dataset(case, root / "data")
        repeats = 2 if case.images <= 100 and case.network == "none" and case.budget < 0.05 else 1
        return in_child(one_round, case, root / "data", root / "runs", repeats, device)


def held_per_mask(case: Case, folder: Path) -> dict[str, float]:
    """Bytes per mask of what a process holds of all masks at once."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        make_dataset(case, Path(place))
        data = load_dataset("folder", place)
        masks = MaskSet.from_folders(Path(place, "obj_jpg"), Path(place, "mask_jpg"), data.classes, data.train.names)
        model = Constant(case.classes, resolve_device("cpu"))
        statistics, _ = gather_statistics(model, data.train, masks, np.ones(case.classes), progress=False)
        truth = truth_histogram(masks, data.train)
        sizes = {
            "mask_table": masks.table.memory_usage(index=False).sum(),
            "ground_truth_counts": truth.counts.nbytes + truth.majority.nbytes,
            "statistics": sum(array.nbytes for array in vars(statistics).values()),
            "of_these_features": statistics.feature.nbytes,
        }
    return {f"{name}_bytes_per_mask": float(size / len(masks)) for name, size in sizes.items()}


# ------------------------------------------------------------------------------------------------ showing
def duration(value: float) -> str:
    """Seconds in a unit that people read."""
    units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next(((u, s) for u, s in units if value >= 1.5 * s), ("ms", 0.001))
    return f"{value / size:.3g} {unit}"


def volume(value: float) -> str:
    """Bytes in a unit that people read."""
    power = min(4, max(0, int(math.log(max(value, 1), 1024))))
    return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def report(fitted: dict[str, Any], target: Case) -> None:
    """Print the fits, and what they say of the target."""
    text = {"seconds": duration, "peak_mib": lambda v: volume(v * 2**20), "bytes": volume}
    print(f"\nfits, and {target.name} computed from them (least and largest when one case is left out)")
    for kind, models in fitted.items():
        for name, model in models.items():
            terms = " + ".join(f"{c:.3g} {term}" for term, c in model["coefficients"].items() if c > 0)
            low, high = (text[kind](v) for v in model["target_range"])
            errors = f"error {model['median_error']:.0%}, worst {model['worst_error']:.0%}"
            print(f"{kind:9}{name:12}{text[kind](model['target']):>10} ({low} to {high}); {errors}; {terms}")


def figure(measured: dict[str, list[dict[str, Any]]], fitted: dict[str, Any]) -> Figure:
    """Measured points and fitted lines: seconds of each stage in four sweeps, memory and disk against masks."""
    fig, axes = plt.subplots(2, 3, figsize=(7, 4.9), layout="constrained")
    panels = (("images", "N", "images N"), ("sizes", "P", "pixels of an image H·W"))
    panels += (("masks", "M", "masks M, of 100 images"), ("classes", "K", "classes K"))
    for axis, (sweep, size, label) in zip(axes.flat, panels, strict=False):
        for stage, (colour, marker, line) in STAGE_STYLE.items():
            _draw(axis, measured[sweep], fitted["seconds"][stage], ("seconds", stage), size, (colour, marker, line))
        axis.set(xlabel=label, ylabel="seconds", xscale="log", yscale="log")
    axes[1, 0].set_xticks(x := [case.classes for case in SWEEPS["classes"]], [str(k) for k in x])
    axes[1, 0].xaxis.set_minor_formatter(NullFormatter())
    every = [m for sweep in ("images", "masks") for m in measured[sweep]]
    for stage in ("prepare", "start", "scored", "corrected", "trained"):
        masks = [sizes_of(case_of(m))["M"] for m in every]
        peaks = [max(value_of(m, "peak_mib", stage), 1.0) for m in every]  # tiny cases may need no more than importing
        axes[1, 1].plot(masks, peaks, STAGE_STYLE[stage][1], color=STAGE_STYLE[stage][0], markersize=4)
    axes[1, 1].set(xlabel="masks M", ylabel="peak memory (MiB above import)", xscale="log", yscale="log")
    axes[1, 1].set_yticks(x := [20, 50, 100, 200, 500], [str(mib) for mib in x])
    axes[1, 1].yaxis.set_minor_formatter(NullFormatter())
    for name, colour, marker in (("object_maps", "#999999", "x"), ("table", "#000000", "d"), ("round", "#0072B2", "s")):
        _draw(axes[1, 2], measured["images"], fitted["bytes"][name], ("bytes", name), "M", (colour, marker, "-"))
    axes[1, 2].set(xlabel="masks M, 16 an image", ylabel="bytes on disk", xscale="log", yscale="log")
    axes[1, 2].legend(fontsize=6, frameon=False)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=6.5)
        axis.xaxis.label.set_size(7.5)
        axis.yaxis.label.set_size(7.5)
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=6.5, frameon=False
    )
    device = measured["images"][0]["case"]["device"]
    title = f"Cost of a round without its network, generated scenes, constant prediction, one process on {device}"
    fig.suptitle(f"{title}\nmarkers: measured; lines: fits over all sweeps", fontsize=8)
    return fig


def _draw(
    axis: Axes,
    sweep: list[dict[str, Any]],
    model: dict[str, Any],
    what: tuple[str, str],
    size: str,
    style: tuple[str, str, str],
) -> None:
    """One number of a sweep, measured and fitted."""
    kind, name = what
    sizes = sorted((sizes_of(case_of(m)) for m in sweep), key=lambda s: s[size])
    terms, coefficients = tuple(model["coefficients"]), np.array(list(model["coefficients"].values()))
    x, colour = [sizes_of(case_of(m))[size] for m in sweep], style[0]
    axis.plot(x, [value_of(m, kind, name) for m in sweep], style[1], color=colour, markersize=4, label=LABELS[name])
    axis.plot(
        [s[size] for s in sizes], [predicted(coefficients, terms, s) for s in sizes], style[2], color=colour, lw=1
    )


def network_table(measured: list[dict[str, Any]]) -> None:
    """With the real small network: what a round spends on it, and on all the rest."""
    print("\nround 1 with the network `light` (prepare and start not counted)")
    for m in measured:
        s = m["seconds"]
        ours = {stage: s[stage] for stage in ("scored", "queried", "answered", "corrected", "trained")}
        network, rest = s["training"] + s["predicted"], sum(ours.values())
        parts = ", ".join(f"{stage} {value:.2f}" for stage, value in ours.items())
        print(
            f"{m['case']['name']:42} network {network:.1f} s, rest {rest:.2f} s, {rest / (rest + network):.0%}: {parts}"
        )


def main() -> None:
    """Measure, fit, print, draw, write."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(SWEEPS), default=list(SWEEPS), help="sweeps to measure")
    parser.add_argument("--out", type=Path, default=here / "scale.json")
    parser.add_argument("--figures", type=Path, default=here.parent / "paper_figures" / "scale")
    parser.add_argument("--work", type=Path, help="folder for generated files (default: the system's temporary one)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    kept = read_json(arguments.out) if arguments.out.is_file() else {}
    measured: dict[str, list[dict[str, Any]]] = dict(kept.get("measured", {}))
    for sweep in arguments.only:
        measured[sweep] = []
        for case in SWEEPS[sweep]:
            measured[sweep].append(measure(case, arguments.work or Path(tempfile.gettempdir()), arguments.device))
            took = measured[sweep][-1]["seconds"]
            print(case.name, " ".join(f"{stage} {value:.3f}" for stage, value in took.items()), flush=True)
        write_json(arguments.out, kept | {"measured": measured})  # what is measured is kept, whatever comes
    if missing := [sweep for sweep in SWEEPS if sweep not in measured]:
        print(f"not fitted yet, still to be measured: {', '.join(missing)}")
        return
    ours = [m for sweep, found in measured.items() if sweep != "network" for m in found]
    fitted, check = fits(ours, TARGET), held_out(ours)
    held = held_per_mask(SMALL, arguments.work or Path(tempfile.gettempdir()))
    report(fitted, TARGET)
    print({name: round(value, 3) for name, value in (check | held).items()})
    network_table(measured["network"])
    found = {"machine": machine(resolve_device(arguments.device)), "target": TARGET.name, **check, **held}
    write_json(arguments.out, found | {"fits": fitted, "measured": measured})
    numbers = {"fits": fitted, "measured": {sweep: measured[sweep] for sweep in SWEEPS if sweep != "network"}}
    save_figure(figure(measured, fitted), "scale", arguments.figures, numbers)


if __name__ == "__main__":
    main()
