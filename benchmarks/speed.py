"""Speed and memory as ratios within one run: `python benchmarks/speed.py [--run runs/<run>]`.

scoring   All masks of a 1024 x 2048 frame, K = 19, about 60 masks: against the per-pixel loop of tests/oracles.py
          (timed on a crop, scaled by pixels) and against the DeepLabV3+ ResNet-101 forward pass of the same frame on
          the same device.
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
from measuring import clock, in_child, machine, seconds, show
from speed_training import lcm, training

from a2lc.acquisition import ACQUISITION_FUNCTIONS, mask_statistics
from a2lc.datasets import load_dataset
from a2lc.files import read_json, write_json
from a2lc.runs import Run
from a2lc.segmenter import SegmenterSettings, build_segmenter, resolve_device
from a2lc.segmenter.deeplab import DeepLabV3Plus

K, HEIGHT, WIDTH, CELL = 19, 1024, 2048, 192  # cells of 192 x 192 pixels: 66 masks
TOPICS = ("scoring", "training", "lcm", "memory", "run")


def scoring(device: torch.device) -> dict[str, float]:
    """Scoring one large frame against the loop and against the forward pass."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.normal(size=(1, K, HEIGHT // 16, WIDTH // 16)).astype(np.float32)) * 3
    logits = torch.nn.functional.interpolate(small.to(device), (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    probs = logits[0].softmax(0)
    rows, columns = np.indices((HEIGHT, WIDTH)) // CELL
    index = (rows * (WIDTH // CELL + 1) + columns).astype(np.int64)
    labels = rng.integers(0, K, index.max() + 1).astype(np.uint8)[index]
    weights = rng.random(K)

    def score_abc() -> None:  # with what a round computes for it
        function = ACQUISITION_FUNCTIONS["abc"]
        function.score(mask_statistics(probs, index, labels, weights, function.needs), rng)

    def score_all() -> None:
        statistics = mask_statistics(
            probs, index, labels, weights, needs={"uncertainty", "representative", "components"}
        )
        for function in ACQUISITION_FUNCTIONS.values():
            function.score(statistics, rng)

    crop = (slice(0, 128), slice(0, 128))
    start = clock()
    p = probs[(slice(None), *crop)].cpu().numpy()
    for mask_id in np.unique(index[crop]):
        mask = oracles.Mask(p, index[crop] + 1, labels[crop], mask_id + 1)
        oracles.mask_score("abc", mask, weights)
    loop = (clock() - start) * HEIGHT * WIDTH / 128**2
    settings = SegmenterSettings(network="deeplabv3plus", backbone="resnet101", precision="float32")
    segmenter = build_segmenter(settings, K, device=str(device))
    segmenter.network = DeepLabV3Plus(K, "resnet101").to(device).eval()
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    forward = seconds(lambda: segmenter.predict(image), repeats=1)
    abc, every = seconds(score_abc), seconds(score_all)
    return {
        "masks": float(index.max() + 1),
        "score_abc_s": abc,
        "loop_s": loop,
        "forward_resnet101_s": forward,
        "loop_over_score": loop / abc,
        "score_over_forward": abc / forward,
        "eleven_over_abc": every / abc,
    }


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
