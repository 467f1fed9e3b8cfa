"""Small runs: folders made by hand, where every label, answer and score is known and nothing is trained; fields of runs
that take seconds, with their seeds; and the files of a folder, to be compared."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from a2lc.config import Experiment
from a2lc.datasets import load_dataset
from a2lc.files import write_label_png
from a2lc.masks import MaskSet
from a2lc.runs import SHARED, STAGES, RoundFolder, Run


def seeded(seed: int = 0) -> int:
    """The seed of a small run, shifted by ``A2LC_TEST_SEED_SHIFT``: no test may hang on what one seed gives."""
    return seed + int(os.environ.get("A2LC_TEST_SEED_SHIFT") or 0)


def network(**settings: Any) -> dict[str, Any]:
    """Settings of a small network, in the precision that ``A2LC_TEST_PRECISION`` names, if any: float32, bfloat16."""
    precision = os.environ.get("A2LC_TEST_PRECISION")
    return {"precision": precision, **settings} if precision else settings


EAGER = {"thresholds": [0.0], "tail_ratio": 0.0, "learning_rate": 0.003}  # of an LCM that corrects, sure or not
QUICK: dict[str, Any] = {
    "seed": seeded(),
    "rounds": 2,
    "budget": 60,
    "segmenter": network(iterations=4),
    "correction": {"epochs": 20, **EAGER},
}

CLASSES = ("road", "car", "tree")
NAMES = ("a", "b", "c")
TRUTH = {"a": (0, 1, 2, 255), "b": (0, 0, 1, 1), "c": (2, 2, 2, 2)}  # of masks 1 to 4
FIRST = {"a": (0, 2, 2, 1), "b": (1, 0, 2, 1), "c": (2, 2, 0, 2)}
QUERIES = {1: {1: 1, 4: 0}, 2: {10: 2, 3: 255}}  # round -> row -> answer, the highest score first
LCM = {1: {6: (1, 0.993), 7: (0, 0.99)}, 2: {4: (2, 0.99999), 7: (1, 0.9991)}}  # round -> row -> label, confidence
ROUNDS = len(QUERIES)


def dataset_folder(root: Path, size: tuple[int, int] = (40, 60), truth: bool = True, seed: int = 0) -> np.ndarray:
    """Three images in the layout of dataset ``folder``; returns the object map that they share: masks 1 to 4 are the
    quarters of all but the last sixth of the columns, which no mask covers."""
    height, width = size
    objects = np.zeros(size, dtype=np.int32)
    middle, right = height // 2, width * 5 // 6
    for i, mask_id in enumerate((1, 2, 3, 4)):
        objects[(i // 2) * middle : (i // 2 + 1) * middle, (i % 2) * right // 2 : (i % 2 + 1) * right // 2] = mask_id
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for name in NAMES:
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width]).save(root / "images" / f"{name}.png")
        if truth:
            of_mask = np.array([255, *TRUTH[name]], dtype=np.uint8)
            write_label_png(root / "ground_truth" / f"{name}.png", of_mask[objects])
    return objects


def hand_made_run(folder: Path, size: tuple[int, int] = (40, 60), truth: bool = True, rounds: int = ROUNDS) -> Run:
    """A run with the first labels, answers and corrections written above; `rounds` of them are there."""
    objects = dataset_folder(folder / "data", size, truth)
    config = Experiment(dataset="folder", root=folder / "data", rounds=ROUNDS, budget=2)
    run = Run.create(config, folder / "runs", {"data": {}, "masks": "masks"})
    masks = MaskSet.from_maps(
        load_dataset("folder", folder / "data").classes,
        NAMES,
        dict.fromkeys(NAMES, objects),
        {name: dict(zip((1, 2, 3, 4), FIRST[name], strict=True)) for name in NAMES},
    )
    masks.save(folder / "runs" / SHARED / "masks")
    masks.save_state(run.folder(0).path / "masks.parquet")
    end(run.folder(0), "trained")
    for number in range(1, rounds + 1):
        masks = play(run, number, masks)
    return run


def scores_of(number: int) -> np.ndarray:
    """(12,) scores of a round: those queried have the highest, the others fall with their row."""
    scores = np.linspace(1, 0.1, 12) * number
    for place, row in enumerate(QUERIES[number]):
        scores[row] = 100 - place
    return scores


def play(run: Run, number: int, masks: MaskSet) -> MaskSet:
    """Write the files of a round; the masks after it."""
    folder, rows = run.folder(number), np.array(list(QUERIES[number]))
    labels = np.array(list(QUERIES[number].values()))
    folder.write_table("scores.parquet", pd.DataFrame({"score": scores_of(number).astype(np.float32)}))
    folder.write_queries(rows)
    folder.write_answers(masks.table.iloc[rows][["image", "mask_id"]].assign(label=labels))
    masks = masks.relabel(rows, labels, source="annotator", round=number)
    corrected = np.array(list(LCM[number]))
    given, confidence = (np.array(values) for values in zip(*LCM[number].values(), strict=True))
    masks = masks.relabel(corrected, given, source="lcm", round=number, confidence=confidence)
    masks.save_state(folder.path / "masks.parquet")
    end(folder, *STAGES)
    return masks


def end(folder: RoundFolder, *stages: str) -> None:
    """Say that these stages are finished."""
    for stage in stages:
        folder.begin(stage)
        folder.end(stage)


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder but locks: name -> content."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {str(name): path.read_bytes() for name, path in found.items() if ".locks" not in name.parts}


def contents(folder: Path) -> dict[str, str]:
    """Hashes of the same files, without clocks and threads in those of runs: equal wherever the runs are the same."""
    return {
        name: hashlib.sha256(_timeless(Path(name).name, data)).hexdigest() for name, data in files_of(folder).items()
    }


def _timeless(name: str, data: bytes) -> bytes:
    if name == "state.json":
        return json.dumps(list(json.loads(data)["finished"])).encode()
    if name == "metrics.json":
        return json.dumps({k: v for k, v in json.loads(data).items() if not k.startswith("seconds")}).encode()
    if name == "provenance.json":  # workers of a cluster have other threads than the process that asks them
        return json.dumps(json.loads(data) | {"threads": 0, "also": []}).encode()
    if name == "training.json":
        made_with = json.loads(data)["made_with"] | {"threads": 0}
        return json.dumps(json.loads(data) | {"made_with": made_with}).encode()
    if name in ("answers.jsonl", "approvals.jsonl"):
        lines = map(json.loads, data.splitlines())
        return json.dumps(
            [{k: v for k, v in line.items() if k not in ("time", "seconds", "session")} for line in lines]
        ).encode()
    return data
