"""A generated dataset on disk, a model that costs nothing, and one whole round on both, measured stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measuring import clock, forget_peak, peak_mib
from PIL import Image

from a2lc import Experiment, load_dataset, run
from a2lc.datasets import Split
from a2lc.files import write_arrays
from a2lc.runs import RoundFolder, Run
from a2lc.segmenter import Segmenter, TrainingLog, build_segmenter, resolve_device
from a2lc.stages.initial import initial_masks

WRONG = 0.4  # share of masks whose pseudo-label is drawn at random
VAL = "val_0000"


@dataclass(frozen=True)
class Case:
    """Sizes of one measurement.

    Attributes:
        images: N, for training; one more is for validation.
        height, width: H and W.
        masks: of each image, in a grid; a square number.
        classes: K, at least the toy scenes' 14.
        budget: share of the masks that are queried.
        network: ``none``, a constant prediction, or ``light``, trained for `iterations`.
        iterations: of each training.
    """

    images: int
    height: int = 48
    width: int = 64
    masks: int = 16
    classes: int = 19
    budget: float = 0.09
    network: str = "none"
    iterations: int = 80

    @property
    def name(self) -> str:
        """For files and tables."""
        size = f"{self.height}x{self.width}"
        return f"N{self.images}-{size}-m{self.masks}-K{self.classes}-B{self.budget:g}-{self.network}"


def make_dataset(case: Case, root: Path) -> None:
    """Draw toy scenes into the layout of dataset ``folder``, and masks into ``obj_jpg`` and ``mask_jpg`` beside it.

    The masks are the cells of a grid. A cell's pseudo-label is its most frequent class, or with a chance of `WRONG`
    any of the K.
    """
    scenes = load_dataset("toy", n_train=case.images, n_val=1, height=case.height, width=case.width)
    names = [*scenes.classes.names, *(f"class_{k}" for k in range(len(scenes.classes), case.classes))]
    for folder in ("images", "ground_truth", "obj_jpg", "mask_jpg"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    (root / "val.txt").write_text(f"{VAL}\n")
    cells = grid(case)
    for split in (scenes.train, scenes.val):
        for i, name in enumerate(split.names):
            truth = split.ground_truth(name)
            assert truth is not None
            Image.fromarray(split.image(name)).save(root / "images" / f"{name}.png")
            Image.fromarray(truth).save(root / "ground_truth" / f"{name}.png")
            if split is scenes.train:
                labels = _labels(cells, truth, case, np.random.default_rng(i))
                Image.fromarray(cells).save(root / "obj_jpg" / f"{name}.png")
                Image.fromarray(labels[cells]).save(root / "mask_jpg" / f"{name}.png")


def grid(case: Case) -> np.ndarray:
    """(H, W) mask ids from 1, uint8 or uint16."""
    side = round(case.masks**0.5)
    assert side * side == case.masks, f"masks: expected a square number, found {case.masks}"
    rows, columns = (np.arange(n) * side // n for n in (case.height, case.width))
    return (rows[:, None] * side + columns + 1).astype(np.uint8 if case.masks < 256 else np.uint16)


def _labels(cells: np.ndarray, truth: np.ndarray, case: Case, rng: np.random.Generator) -> np.ndarray:
    """(masks + 1,) uint8 pseudo-label of each cell; id 0 does not occur."""
    k, inside = case.classes, truth < case.classes
    counts = np.bincount(cells[inside].astype(np.int64) * k + truth[inside], minlength=(case.masks + 1) * k)
    majority = counts.reshape(-1, k).argmax(1)
    wrong = rng.random(case.masks + 1) < WRONG
    return np.where(wrong, rng.integers(0, k, case.masks + 1), majority).astype(np.uint8)


@lru_cache(maxsize=1)
def smooth_probabilities(num_classes: int, height: int, width: int, device: torch.device) -> torch.Tensor:
    """(K, H, W) float32 softmax of a smooth random field, made once."""
    few = np.random.default_rng(0).normal(scale=3, size=(1, num_classes, 12, 16)).astype(np.float32)
    return F.interpolate(torch.from_numpy(few).to(device), (height, width), mode="bilinear")[0].softmax(0)


class Constant:
    """A segmenter without cost: the same smooth probabilities for every image of one size."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.num_classes = num_classes
        self.device = device

    def fit(
        self, split: Split, labels: Callable[[str], np.ndarray], *, seed: int, progress: bool = True
    ) -> TrainingLog:
        """Nothing to learn."""
        return TrainingLog((1,), (0.0,), 0.0, 0.0)

    def predict(self, image: np.ndarray) -> torch.Tensor:
        """(K, H, W) float32 probabilities."""
        return smooth_probabilities(self.num_classes, image.shape[0], image.shape[1], self.device)

    def save(self, path: Any) -> None:
        """A file, because a round ends with one."""
        write_arrays(path, {"nothing": np.zeros(1, np.float32)})

    def load(self, path: Any) -> None:
        """Nothing to read."""


def one_round(case: Case, root: Path, runs: Path, repeats: int = 1, device: str = "auto") -> dict[str, Any]:
    """Play round 1 on `make_dataset`'s files: seconds, peak MiB and bytes. To be called in a process of its own.

    Stages: ``prepare``, once for a dataset (reading the folders, keeping the object maps); ``start``, once for a
    process (reading the mask table, counting the ground truth); then those of the round, where ``predicted`` (reading
    images and the network) is taken out of ``scored`` and the network's training out of ``trained``.

    Args:
        case: sizes.
        root: the folder of `make_dataset`.
        runs: where runs are kept.
        repeats: play that often, each time from nothing, and keep the least seconds of each stage; peaks are the
            first's.
        device: as for `a2lc.run`.
    """
    found = [_one_round(case, root, runs / str(i), resolve_device(device)) for i in range(repeats)]
    least = {stage: min(play["seconds"][stage] for play in found) for stage in found[0]["seconds"]}
    return found[0] | {"seconds": least}


def _one_round(case: Case, root: Path, runs: Path, device: torch.device) -> dict[str, Any]:
    folders = {"kind": "folders", "object_maps": root / "obj_jpg", "labels": root / "mask_jpg"}
    sizes = {"rounds": 1, "budget": case.budget, "segmenter": {"iterations": case.iterations}}
    config = Experiment(dataset="folder", root=root, pseudo_labels=folders, **sizes)
    training = [0.0]  # seconds of each fit

    def model(k: int) -> Segmenter:
        made = Constant(k, device) if case.network == "none" else build_segmenter(config.segmenter, k, str(device))
        made.fit = _timed(made.fit, training)  # type: ignore[method-assign]
        return made

    meter = Meter()
    masks, shared = initial_masks(config, load_dataset("folder", root), runs, progress=False)
    count = len(masks)
    del masks
    meter.lap("prepare")
    with meter.reading_stages():
        finished = run(config, runs, device=str(device), segmenter=model, progress=False)
    took, metrics = meter.seconds, finished.metrics(1)
    took["training"] = training[-1]
    took["predicted"] = took["scored"] * metrics["seconds_predicting"] / finished.folder(1).state.finished["scored"]
    took["scored"] -= took["predicted"]
    took["trained"] -= took["training"]
    return {
        "case": asdict(case) | {"name": case.name, "total_masks": count, "device": str(device)},
        "seconds": took,
        "wall_seconds": meter.wall,
        "peak_mib": meter.peaks,
        "bytes": _bytes(finished, shared),
    }


def _timed(fit: Callable[..., TrainingLog], training: list[float]) -> Callable[..., TrainingLog]:
    def timed(*arguments: Any, **options: Any) -> TrainingLog:
        start = clock()
        log = fit(*arguments, **options)
        training.append(clock() - start)
        return log

    return timed


class Meter:
    """Seconds and peak memory of one thing after another, by name.

    Attributes:
        seconds: by `clock`.
        wall: wall seconds.
        peaks: MiB, and under ``process`` that before the first thing.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.wall: dict[str, float] = {}
        self.peaks = {"process": peak_mib()}
        self.begin()

    def begin(self) -> None:
        """Start clocks and a new peak."""
        forget_peak()
        self._start = clock(), time.perf_counter()

    def lap(self, name: str) -> None:
        """What was done since the last call has this name; of equal names the later counts."""
        self.seconds[name], self.wall[name] = clock() - self._start[0], time.perf_counter() - self._start[1]
        self.peaks[name] = peak_mib()
        self.begin()

    @contextmanager
    def reading_stages(self) -> Iterator[None]:
        """While it is open, each stage of a round that ends is a lap; what comes before round 1 is ``start``."""
        begin, end = RoundFolder.begin, RoundFolder.end

        def begun(folder: RoundFolder, stage: str, bar: Any = None) -> bool:
            if folder.path.name == "round_01" and stage == "scored":
                self.lap("start")
            return begin(folder, stage, bar)

        def ended(folder: RoundFolder, stage: str, seconds: float | None = None) -> None:
            end(folder, stage, seconds)
            if folder.path.name == "round_01":
                self.lap(stage)

        RoundFolder.begin, RoundFolder.end = begun, ended  # type: ignore[method-assign]
        try:
            yield
        finally:
            RoundFolder.begin, RoundFolder.end = begin, end  # type: ignore[method-assign]


def _bytes(finished: Run, shared: Path) -> dict[str, int]:
    """Size on disk: object maps and table kept once for a dataset, and one round without its network's weights."""
    maps = sum(path.stat().st_size for path in (shared / "object_maps").iterdir())
    once = sum((shared / name).stat().st_size for name in ("masks.parquet", "masks.json"))
    files = [path for path in finished.folder(1).path.iterdir() if path.name != "segmenter.safetensors"]
    return {"object_maps": maps, "table": once, "round": sum(path.stat().st_size for path in files)}
