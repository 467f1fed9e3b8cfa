"""Speed and memory as ratios within one run: `python benchmarks/speed.py [--run runs/<run>]`.

scoring   All masks of a 1024 x 2048 frame, K = 19, about 60 masks: against the per-pixel loop of tests/oracles.py
          (timed on a crop, scaled by pixels), against the DeepLabV3+ ResNet-101 forward pass of the same frame on
          the same device, and against reading the probabilities once, which no scoring can undercut; K = 150 and 1,000.
training  Images per second of our loop against a plain float32, channels-first loop of the same network, against data
          loading alone, and against the network alone (`speed_training.py`).
lcm       Training the Label Correction Module against a plain loop and against the arithmetic alone.
memory    Peaks of whole rounds on 100 and 10,000 images, and of scoring against the image size.
run       A finished run, if named: share of its rounds outside training and prediction, and its size without weights
          against its images.

`--only lcm memory` measures some of these. SEEDS and merging are in superpixels.py, what grows with the dataset in
scale.py. Prints a table and writes benchmarks/speed.json, where topics that were not measured stay as they are.
Without a GPU, seconds are processor seconds; OMP_NUM_THREADS=1 keeps two busy processes from waiting for each other.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import oracles
from generated import Case, make_dataset, one_round
from measuring import clock, in_child, machine, show, spread
from speed_training import lcm, training

from a2lc.acquisition import ACQUISITION_FUNCTIONS, Need
from a2lc.acquisition.functions import AcquisitionFunction
from a2lc.acquisition.one_pass import statistics_of_masks
from a2lc.acquisition.pixels import Pixels
from a2lc.acquisition.sums import segment_sums
from a2lc.datasets import load_dataset
from a2lc.files import read_json, write_json
from a2lc.runs import Run
from a2lc.segmenter import SegmenterSettings, build_segmenter, resolve_device
from a2lc.segmenter.deeplab import DeepLabV3Plus

K, HEIGHT, WIDTH, CELL = 19, 1024, 2048, 192  # cells of 192 x 192 pixels: 66 masks
MANY_CLASSES = {150: 2, 1000: 4}  # K: how much smaller each side of the frame is
TOPICS = ("scoring", "training", "lcm", "memory", "run")


def scoring(device: torch.device) -> dict[str, float]:
    """Scoring one large frame against the loop, against the forward pass, and against reading its probabilities once.

    The forward pass is warm, too; every figure is the median of several, beside the least and the largest.
    """
    rng = np.random.default_rng(0)
    probs, index, labels, weights = frame(K, (HEIGHT, WIDTH), rng, device)
    abc, functions = ACQUISITION_FUNCTIONS["abc"], list(ACQUISITION_FUNCTIONS.values())

    def score(functions: list[AcquisitionFunction], more: frozenset[Need] = frozenset()) -> None:
        needs = more.union(*(function.needs for function in functions))
        statistics = statistics_of_masks(probs, index, labels, weights, needs)
        for function in functions:
            function.score(statistics, rng)

    crop = (slice(0, 128), slice(0, 128))
    start = clock()
    p = probs[(slice(None), *crop)].cpu().numpy()
    for mask_id in np.unique(index[crop]):
        mask = oracles.Mask(p, index[crop] + 1, labels[index[crop]], mask_id + 1)
        oracles.mask_score("abc", mask, weights)
    loop = (clock() - start) * HEIGHT * WIDTH / 128**2
    settings = SegmenterSettings(network="deeplabv3plus", backbone="resnet101", precision="float32")
    segmenter = build_segmenter(settings, K, device=str(device))
    segmenter.network = DeepLabV3Plus(K, "resnet101").to(device).eval()
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    found = {"masks": float(len(labels) - 1), "loop_s": loop}
    found |= spread("forward_resnet101_s", lambda: segmenter.predict(image), 3)
    found |= spread("read_probabilities_s", lambda: probs.sum())
    found |= spread("score_abc_s", lambda: score([abc]))
    found |= spread("score_eleven_s", lambda: score(functions))
    found |= spread("score_eleven_and_pixel_s", lambda: score(functions, frozenset({"representative"})))
    for k, divisor in MANY_CLASSES.items():  # ADE20K's number, and more than any label map here holds
        case = frame(k, (HEIGHT // divisor, WIDTH // divisor), rng, device)
        pixels = Pixels.of_masks(*case[:3])
        kept = sum(sums.values.nbytes for sums in segment_sums(pixels, uncertainty=False))
        found[f"K{k}_sums_over_probabilities"] = kept / case[0].nbytes
        found |= spread(f"K{k}_read_probabilities_s", lambda case=case: case[0].sum())
        found |= spread(f"K{k}_sums_s", lambda case=case: segment_sums(Pixels.of_masks(*case[:3]), uncertainty=False))
    return found | {
        "loop_over_score": loop / found["score_abc_s"],
        "score_over_forward": found["score_abc_s"] / found["forward_resnet101_s"],
        "eleven_over_abc": found["score_eleven_s"] / found["score_abc_s"],
        "score_over_read": found["score_abc_s"] / found["read_probabilities_s"],
    }


def frame(
    k: int, size: tuple[int, int], rng: np.random.Generator, device: torch.device
) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (K, H, W) of a random field, and masks in a grid: index map, a label each, weights of classes."""
    few = torch.from_numpy(rng.normal(size=(1, k, size[0] // 16, size[1] // 16)).astype(np.float32)) * 3
    logits = torch.nn.functional.interpolate(few.to(device), size, mode="bilinear", align_corners=False)
    rows, columns = np.indices(size) // CELL
    index = (rows * (columns.max() + 1) + columns).astype(np.int32)
    labels = rng.integers(0, k, index.max() + 2).astype(np.int64 if k > 255 else np.uint8)
    return logits[0].softmax(0), index, labels, rng.random(k)


def memory(counts: tuple[int, int] = (100, 10_000), heights: tuple[int, ...] = (256, 512, 1024)) -> dict[str, float]:
    """Peak memory of whole rounds with the small network against N; of scoring alone against image size.

    A round holds a row per mask, so the growth is also given per mask; per pixel it is compared with the
    probabilities, 4 K bytes.
    """
    few, many = (_peaks(Case(n, budget=0.01, network="light")) for n in counts)
    found = {f"peak_{n}_mib": max(peaks.values()) for n, peaks in zip(counts, (few, many), strict=True)}
    growth = max(many.values()) - max(few.values())
    found["peak_over_peak_of_few_images"] = max(many.values()) / max(few.values())
    found["growth_bytes_per_mask"] = growth * 2**20 / ((counts[1] - counts[0]) * Case(1).masks)
    found |= {f"peak_{stage}_{counts[1]}_over_{counts[0]}": many[stage] / few[stage] for stage in many}
    sizes = [_peaks(Case(2, height, 2 * height, masks=64)) for height in heights]
    above = [peaks["scored"] - peaks["process"] for peaks in sizes]
    found |= {f"scoring_{h}x{2 * h}_mib": mib for h, mib in zip(heights, above, strict=True)}
    pixels = 2 * heights[-1] ** 2 - 2 * heights[0] ** 2
    found["scoring_bytes_per_pixel"] = (above[-1] - above[0]) * 2**20 / pixels
    found["scoring_over_probabilities"] = found["scoring_bytes_per_pixel"] / (4 * Case(1).classes)
    return found


def _peaks(case: Case) -> dict[str, float]:
    """Peak MiB of each stage of a round."""
    with tempfile.TemporaryDirectory() as place:
        make_dataset(case, Path(place, "data"))
        found: dict[str, float] = in_child(one_round, case, Path(place, "data"), Path(place, "runs"))["peak_mib"]
    return found


def finished_run(path: Path) -> dict[str, float]:
    """Share of a run's rounds outside training and prediction, and its size against its images."""
    run = Run.open(path)
    data = load_dataset(run.config.dataset, run.config.root)
    total = other = 0.0
    for number in range(1, run.finished_rounds + 1):
        stages = run.folder(number).state.finished
        total += sum(stages.values())
        other += sum(stages.values()) - stages["trained"] - run.metrics(number)["seconds_predicting"]
    kept = sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file() and f.suffix != ".safetensors")
    raw = sum(data.train.image(name).nbytes for name in data.train.names)
    return {
        "round_s": total / run.finished_rounds,
        "overhead_over_round": other / total,
        "run_without_weights_kib": kept / 1024,
        "run_over_decoded_images": kept / raw,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TOPICS, default=list(TOPICS), help="topics to measure")
    parser.add_argument("--run", type=Path, help="a finished run folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("speed.json"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    device = resolve_device(arguments.device)
    topics: dict[str, Callable[[], dict[str, Any]]] = {
        "scoring": lambda: scoring(device),
        "training": lambda: training(device),
        "lcm": lcm,
        "memory": memory,
    }
    if arguments.run:
        topics["run"] = lambda: finished_run(arguments.run)
    found: dict[str, Any] = read_json(arguments.out) if arguments.out.is_file() else {}
    for topic, measure in topics.items():
        if topic in arguments.only:
            print(f"\n{topic}: {machine(device)}", flush=True)
            found[topic] = {"machine": machine(device)} | measure()
            show(found[topic])
            write_json(arguments.out, found)
    if device.type == "cpu":
        print("\nno GPU here: nothing of a GPU was measured")


if __name__ == "__main__":
    main()
