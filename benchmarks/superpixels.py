"""Superpixels and merging: `python benchmarks/superpixels.py [--frames 24] [--jobs 1 2]`.

1. SEEDS with side 32 and 16 on a frame of 480 x 360 and one of 2048 x 1024 pixels (a drawn scene, enlarged, with
   noise): processor seconds, superpixels, peak memory (11 GiB for the last).
2. Adjacency and merging of the finest partition (n about 8,000), K = 19, predictions that follow the drawn classes.
3. `partition` of --frames frames of 480 x 360 pixels by 1, 2, ... processes: wall time, with and without starting them.

Prints a table and writes benchmarks/superpixels.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a2lc.baselines import adjacency, merge
from a2lc.datasets import load_dataset
from a2lc.datasets.base import Split
from a2lc.files import write_json
from a2lc.pseudo_labels.settings import SuperpixelSettings
from a2lc.pseudo_labels.superpixels import partition, superpixels

K = 19
SIZES = {"480x360": (360, 480), "2048x1024": (1024, 2048)}


class Frames(Split):
    """Drawn scenes at a quarter of the size, enlarged to it, with noise that differs from pixel to pixel."""

    def __init__(self, count: int, height: int, width: int) -> None:
        super().__init__("train", [f"frame_{i:04d}" for i in range(count)])
        self.size = (width, height)
        self.scenes = load_dataset("toy", n_train=count, n_val=1, height=height // 4, width=width // 4).train

    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8."""
        i = self.names.index(name)
        drawn = Image.fromarray(self.scenes.image(self.scenes.names[i])).resize(self.size, Image.Resampling.BICUBIC)
        noise = np.random.default_rng(i).normal(0, 6, (*self.size[::-1], 3))
        return (np.asarray(drawn) + noise).clip(0, 255).astype(np.uint8)

    def ground_truth(self, name: str) -> np.ndarray:
        """(H, W) uint8."""
        truth = self.scenes.ground_truth(self.scenes.names[self.names.index(name)])
        assert truth is not None
        return np.asarray(Image.fromarray(truth).resize(self.size, Image.Resampling.NEAREST))


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its processor seconds (of this process) and its wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return value, time.process_time() - cpu, time.perf_counter() - wall


def cutting() -> tuple[dict[str, float], np.ndarray]:
    """One frame of each size with each side, the smallest need of memory first; and the finest partition."""
    found: dict[str, float] = {}
    objects = np.zeros((0, 0), np.int32)
    for size, (height, width) in SIZES.items():
        image = Frames(1, height, width).image("frame_0000")
        for side in (32, 16):
            cut = SuperpixelSettings(side=side)
            objects, cpu, wall = timed(lambda image=image, cut=cut: superpixels(image, cut))
            name = f"seeds_{size}_side{side}"
            found |= {f"{name}_cpu_s": cpu, f"{name}_wall_s": wall, f"{name}_superpixels": int(objects.max())}
            found[f"{name}_peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found, objects


def merging(objects: np.ndarray) -> dict[str, float]:
    """Adjacency and merging of one large frame; f = the share of each class in a superpixel, blurred."""
    truth = Frames(1, *SIZES["2048x1024"]).ground_truth("frame_0000")
    rng = np.random.default_rng(0)
    index = objects.astype(np.int64) - 1
    n = int(objects.max())
    pairs = index.ravel() * K + np.minimum(truth.ravel(), K - 1)
    share = np.bincount(pairs, minlength=n * K).reshape(n, K) / np.bincount(index.ravel())[:, None]  # (n, K)
    f = 0.9 * share + 0.1 * rng.dirichlet(np.ones(K), n)
    first, second = np.sort(f, axis=1)[:, :-3:-1].T
    edges, adjacency_s, _ = timed(lambda: adjacency(index))
    found: dict[str, float] = {"merging_n": n, "merging_edges": len(edges), "adjacency_cpu_s": adjacency_s}
    for epsilon in (0.0, 0.1, 0.2, 1.0):
        tries = [timed(lambda epsilon=epsilon: merge(f, second / first, edges, epsilon)) for _ in range(3)]
        found[f"merge_eps{epsilon}_cpu_s"] = min(cpu for _, cpu, _ in tries)
        found[f"merge_eps{epsilon}_regions"] = len(np.unique(tries[0][0]))
    return found


def parallel(frames: int, jobs: list[int]) -> dict[str, float]:
    """Wall time of cutting some frames; of several processes also once they have started."""
    split, classes = Frames(frames, *SIZES["480x360"]), load_dataset("toy").classes
    found: dict[str, float] = {"partition_frames": frames}
    for number in jobs:
        for state in ("", "_again") if number > 1 else ("",):
            cut = SuperpixelSettings(side=16)
            _, _, wall = timed(lambda cut=cut, n=number: partition(split, classes, cut, jobs=n, progress=False))
            found[f"partition_jobs{number}{state}_wall_s"] = wall
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24, help="frames of 480 x 360 cut by several processes")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="numbers of processes to compare")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("superpixels.json"))
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    found["load_before"] = os.getloadavg()[0]
    times, objects = cutting()
    found |= times | merging(objects) | parallel(arguments.frames, arguments.jobs)
    found["load_after"] = os.getloadavg()[0]
    for name, value in found.items():
        print(f"{name:36} {value:.4g}" if isinstance(value, float) else f"{name:36} {value}")
    write_json(arguments.out, found)


if __name__ == "__main__":
    main()
