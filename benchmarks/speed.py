"""Speed and memory as ratios within one run: `python benchmarks/speed.py [--run runs/<run>]`.

1. Scoring all masks of a 1024 x 2048 frame, K = 19, about 60 masks: against the per-pixel loop of tests/oracles.py
   (timed on a crop, scaled by pixels) and against the DeepLabV3+ ResNet-101 forward pass of the same frame on the same
   device.
2. Memory: peak while scoring 400 images against 40.
3. A finished run, if named: share of its rounds outside training and prediction, and its size without weights against
   its images.

Prints a table and writes benchmarks/speed.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import oracles

from a2lc.acquisition import ACQUISITION_FUNCTIONS, gather_statistics, mask_statistics
from a2lc.datasets import load_dataset
from a2lc.files import read_json, write_json
from a2lc.pseudo_labels import simulate_pseudo_labels
from a2lc.runs import Run
from a2lc.segmenter import SegmenterSettings, build_segmenter, resolve_device
from a2lc.segmenter.deeplab import DeepLabV3Plus

K, HEIGHT, WIDTH, CELL = 19, 1024, 2048, 192  # cells of 192 x 192 pixels: 66 masks


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Best of some repeats, the device's queue emptied."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


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

    def score_abc() -> None:
        ACQUISITION_FUNCTIONS["abc"].score(mask_statistics(probs, index, labels, weights), rng)

    def score_all() -> None:
        statistics = mask_statistics(probs, index, labels, weights, representative=True, components=True)
        for function in ACQUISITION_FUNCTIONS.values():
            function.score(statistics, rng)

    crop = (slice(0, 128), slice(0, 128))
    start = time.perf_counter()
    p = probs[(slice(None), *crop)].cpu().numpy()
    for mask_id in np.unique(index[crop]):
        mask = oracles.Mask(p, index[crop] + 1, labels[crop], mask_id + 1)
        oracles.mask_score("abc", mask, weights)
    loop = (time.perf_counter() - start) * HEIGHT * WIDTH / 128**2
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


def _peak_of_scoring(images: int, pipe: Any) -> None:
    """In a process of its own: peak memory in MiB after scoring some toy images."""
    data = load_dataset("toy", n_train=images, n_val=1)
    masks = simulate_pseudo_labels(data.train, data.classes, progress=False)
    segmenter = build_segmenter(SegmenterSettings(iterations=1), len(data.classes), device="cpu")
    segmenter.fit(data.train, masks.label_map, seed=0, progress=False)
    gather_statistics(segmenter, data.train, masks, np.ones(len(data.classes)), progress=False)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory() -> dict[str, float]:
    """Peak memory of scoring 40 and 400 images."""
    peaks = {}
    for images in (40, 400):
        mine, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_peak_of_scoring, args=(images, theirs))
        process.start()
        peaks[images] = mine.recv()
        process.join()
    return {"peak_40_mib": peaks[40], "peak_400_mib": peaks[400], "peak_400_over_40": peaks[400] / peaks[40]}


def finished_run(path: Path) -> dict[str, float]:
    """Share of a run's rounds outside training and prediction, and its size against its images."""
    run = Run.open(path)
    data = load_dataset(run.config.dataset, run.config.root)
    total = other = 0.0
    for number in range(1, run.finished_rounds + 1):
        stages = run.folder(number).seconds
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
    parser.add_argument("--run", type=Path, help="a finished run folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("speed.json"))
    arguments = parser.parse_args()
    device = resolve_device("auto")
    found: dict[str, Any] = {"machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {device}"}
    found |= scoring(device) | memory() | (finished_run(arguments.run) if arguments.run else {})
    for name, value in found.items():
        print(f"{name:26} {value:.4g}" if isinstance(value, float) else f"{name:26} {value}")
    write_json(arguments.out, (read_json(arguments.out) if arguments.out.is_file() else {}) | found)


if __name__ == "__main__":
    main()
