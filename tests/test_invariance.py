"""Scores and queries are the same whatever the order of images, the size of blocks or the number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from a2lc import Experiment
from a2lc.acquisition import ACQUISITION_FUNCTIONS
from a2lc.datasets import Classes, Dataset, Split
from a2lc.masks import MaskSet
from a2lc.rounds import score
from a2lc.runs import RoundFolder
from a2lc.stages.context import Context, select_queries


class Fixed:
    """A segmenter that predicts what it is given; images are arrays of one number, their position."""

    num_classes = 4

    def __init__(self, probs: list[np.ndarray]) -> None:
        self.probs = probs

    def predict(self, image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.probs[int(image.flat[0])])


class Numbered(Split):
    """Images that say only which they are."""

    def image(self, name: str) -> np.ndarray:
        return np.full((40, 50, 3), int(name[1:]), np.uint8)

    def ground_truth(self, name: str) -> np.ndarray | None:
        return None


@pytest.mark.parametrize("name", ACQUISITION_FUNCTIONS)
def test_scores_depend_on_neither_image_order_nor_blocks_nor_threads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    probs = [rng.dirichlet(np.ones(4), (40, 50)).transpose(2, 0, 1).astype(np.float32) for _ in range(3)]
    maps = {f"n{i}": np.repeat(np.repeat(rng.integers(0, 5, (8, 10)), 5, 0), 5, 1).astype(np.int32) for i in range(3)}
    labels = {n: {int(i): int(rng.integers(4)) for i in np.unique(m) if i} for n, m in maps.items()}
    classes = Classes(("a", "b", "c", "d"), np.zeros((4, 3), np.uint8))

    def scored(order: list[str]) -> tuple[dict[tuple[str, int], float], list[tuple[str, int]]]:
        masks = MaskSet.from_maps(classes, order, maps, labels)
        config = Experiment(acquisition=name, budget=3, similarity="representative" if name == "cil" else "mean")
        dataset = Dataset("toy", classes, Numbered("train", order), Numbered("val", []))
        context = Context(config, dataset, *[None] * 3, False)  # neither truth nor annotator nor new models are needed
        folder = RoundFolder(tmp_path / "-".join(order), 1)
        score(context, masks, Fixed(probs), folder, seed=7)
        keys = list(zip(masks.table["image"].astype(str), masks.table["mask_id"].astype(int), strict=True))
        rows = select_queries(masks, folder.scores(), config, 3)
        return dict(zip(keys, folder.scores().tolist(), strict=True)), [keys[row] for row in rows]

    wanted, queried = scored(["n0", "n1", "n2"])
    assert scored(["n2", "n0", "n1"]) == (wanted, queried)
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        assert scored(["n0", "n1", "n2"])[0] == pytest.approx(wanted, rel=1e-6)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr("a2lc.acquisition.pixels.CPU_BLOCK", 37)
    assert scored(["n0", "n1", "n2"])[0] == pytest.approx(wanted, rel=1e-5)
