"""Other heads on the features of a frozen backbone: `python benchmarks/heads.py voc --every 4 --out FOLDER`.

Each learns twice: from the ground truth, judged by val mIoU, and from the profile's pseudo-labels, judged by how well
the probability that it gives to the labels of masks tells right from wrong ones (area under the ROC curve, and how many
of the 9 % least probable are wrong). The first is what a good model is, the second what label correction needs.
Writes frozen_heads.{csv,md,tex}; means over seeds, processor seconds of one training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from frozen import every, truth
from measuring import clock, machine
from profiles import profile_arguments, profile_masks
from sklearn.metrics import roc_auc_score
from torch import nn

from a2lc.datasets import Dataset, Split
from a2lc.masks import MaskSet
from a2lc.metrics import truth_histogram
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table
from a2lc.segmenter import frozen, resolve_device
from a2lc.segmenter.frozen import FrozenSegmenter, _shuffled
from a2lc.segmenter.frozen_parts import FrozenBackbone, FrozenHead
from a2lc.segmenter.training import pixel_loss
from a2lc.stages.context import evaluate

SHARE = 0.09  # of the masks, that are asked about in a round
FLIPPED = " flipped"  # at the end of an image's name

Maps = list[torch.Tensor]


def with_neighbours(backbone: FrozenBackbone, image: np.ndarray) -> Maps:
    """Beside each cell's features the mean of the 3x3 cells around it."""
    maps = backbone.maps(image)
    return maps + [F.avg_pool2d(stage, 3, 1, 1, count_include_pad=False) for stage in maps]


def with_image(backbone: FrozenBackbone, image: np.ndarray) -> Maps:
    """Beside each cell's features the mean over the image."""
    maps = backbone.maps(image)
    return maps + [stage.mean((2, 3), keepdim=True).expand_as(stage) for stage in maps]


def with_half(backbone: FrozenBackbone, image: np.ndarray) -> Maps:
    """Beside each cell's features those of the image at half its size."""
    half = F.interpolate(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float(), scale_factor=0.5, mode="area")
    return backbone.maps(image) + backbone.maps(half[0].permute(1, 2, 0).round().byte().numpy())


class DepthwiseHead(FrozenHead):
    """A 3x3 depthwise layer after the mixing, so that a cell sees its neighbours."""

    def __init__(self, channels: int, num_classes: int, head: str = "linear") -> None:
        super().__init__(channels, num_classes, head)
        width = self.mix.out_channels
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, joined: torch.Tensor) -> torch.Tensor:
        """Features of all stages (N, C, h, w) -> logits (N, K, h, w)."""
        return self.classifier(F.relu(self.depthwise(F.relu(self.mix(self.norm(joined))))))

    def features(self, maps: Maps) -> torch.Tensor:
        """See `FrozenHead.features`."""
        return F.relu(self.depthwise(super().features(maps)))


class Both(Split):
    """A split whose images come as they are and mirrored."""

    def __init__(self, split: Split) -> None:
        super().__init__(split.name, [*split.names, *(name + FLIPPED for name in split.names)])
        self._split = split

    def image(self, name: str) -> np.ndarray:
        """See `Split.image`."""
        return _mirrored(self._split.image, name)

    def ground_truth(self, name: str) -> np.ndarray | None:
        """See `Split.ground_truth`."""
        raise NotImplementedError


def _mirrored(read: Callable[[str], np.ndarray], name: str) -> np.ndarray:
    array = read(name.removesuffix(FLIPPED))
    return array[:, ::-1].copy() if name.endswith(FLIPPED) else array


HEADS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "384 channels": {"width": 384},
    "mean of the 3×3 cells around": {"maps": with_neighbours},
    "mean of the image": {"maps": with_image},
    "the image at half its size": {"maps": with_half},
    "mirrored images too": {"flip": True},
    "100 steps": {"steps": 100},
    "900 steps": {"steps": 900},
    "cells of 16 images in a step": {"images": 16},
    "cells of 8 images in a step": {"images": 8},
    "cells of 4 images in a step": {"images": 4},
    "cells of 2 images in a step": {"images": 2},
    "whole images": {"whole": True},
    "whole images, 100 steps": {"whole": True, "steps": 100},
    "whole images, 3×3 depthwise": {"whole": True, "head": DepthwiseHead},
}
"""Row of the table -> what differs: `width` of the head, `maps` that it sees, the `head`; whether a step sees four
`whole` images instead of cells of all; the number of `steps`; of how many `images` the cells of a
step are; whether it learns from mirrored images too."""


def of_few_images(count: int, steps: int, size: int, generator: torch.Generator, images: int) -> Iterator[torch.Tensor]:
    """As `frozen._shuffled`, but each batch has rows that follow one another in `images` places: cells lie image by
    image, those of an image in random order."""
    length = size // images
    starts = torch.arange(0, count - length + 1, length)
    for places in _shuffled(len(starts), steps, images, generator):
        yield (starts[places][:, None] + torch.arange(length)).flatten()


def trained(
    backbone: FrozenBackbone, dataset: Dataset, labels: Callable[[str], np.ndarray], seed: int, **how: Any
) -> tuple[FrozenSegmenter, float]:
    """A model that learnt `labels` of the training images, and the seconds that took."""
    maps = how.get("maps", FrozenBackbone.maps)
    settings = backbone.settings.model_copy(update={"iterations": how.get("steps", backbone.settings.iterations)})
    model = FrozenSegmenter(settings, len(dataset.classes), backbone.device)
    channels = sum(stage.shape[1] for stage in maps(backbone, dataset.train.image(dataset.train.names[0])))
    about = {"weights": backbone.weights, "strides": backbone.strides, "channels": channels}
    seen = SimpleNamespace(**about, maps=lambda image: maps(backbone, image))
    model._extractor = seen  # type: ignore[assignment]
    split, read = dataset.train, labels
    if how.get("flip"):
        split, read = Both(split), lambda name: _mirrored(labels, name)
        for name in split.names:
            backbone.maps(split.image(name))  # computed once, as those of the images are
    batches = frozen._shuffled if "images" not in how else partial(of_few_images, images=how["images"])
    start = clock()
    with (
        patch("a2lc.segmenter.frozen._shuffled", batches),
        patch("a2lc.segmenter.frozen_parts.WIDTH", how.get("width", 192)),
        patch("a2lc.segmenter.frozen.FrozenHead", how.get("head", FrozenHead)),
    ):
        model.fit(split, read, seed=seed, progress=False, loss=pixel_loss if how.get("whole") else None)
    return model, clock() - start


def found(model: FrozenSegmenter, masks: MaskSet, split: Split, wrong: np.ndarray) -> dict[str, float]:
    """How well the probability of its label tells a wrong mask: (M,) `wrong`; masks of `split` only."""
    doubt, seen = np.zeros(len(masks)), np.zeros(len(masks), bool)
    labels, columns = masks.table["label"].to_numpy(), len(masks.classes)
    for name in split.names:
        rows, index = masks.rows(name), torch.from_numpy(masks.index_map(name)).flatten()
        own = torch.from_numpy(labels[rows].astype(np.int64)).clamp(max=columns - 1)
        inside = index >= 0
        likely = model.predict(split.image(name)).flatten(1)[own[index[inside]], inside.nonzero()[:, 0]]
        area = torch.bincount(index[inside], minlength=len(own))
        doubt[rows] = 1 - (torch.bincount(index[inside], likely, len(own)) / area.clamp_min(1)).numpy()
        seen[rows] = labels[rows] < columns
    doubt, wrong = doubt[seen], wrong[seen]
    first = np.argsort(-doubt, kind="stable")[: round(SHARE * seen.sum())]
    return {
        "AUROC of wrong masks (%)": 100 * roc_auc_score(wrong, doubt),
        "first 9 % wrong (%)": 100 * wrong[first].mean(),
    }


def main() -> None:
    """Print and write the table."""
    parser = profile_arguments(__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th image only, for a quick look")
    parser.add_argument("--only", nargs="*", choices=HEADS, default=list(HEADS))
    arguments = parser.parse_args()
    config, whole, masks, kept = profile_masks(
        arguments.profile, arguments.root, arguments.runs, segmenter={"network": "frozen"}
    )
    dataset, device, rows = every(whole, arguments.every), resolve_device("auto"), []
    wrong = truth_histogram(masks, whole.train).majority != masks.table["label"].to_numpy()
    backbone = FrozenBackbone(config.segmenter, device, kept.parent)
    for name in arguments.only:
        results = []
        for seed in range(arguments.seeds):
            model, seconds = trained(backbone, dataset, truth(dataset.train), seed, **HEADS[name])
            score = evaluate(model, dataset)
            row = {"training, s": seconds, "val mIoU (%)": np.nan if score is None else 100 * score.miou}
            model, _ = trained(backbone, dataset, masks.label_map, seed, **HEADS[name])
            results.append(row | found(model, masks, dataset.train, wrong))
        rows.append({"head": name, **pd.DataFrame(results).mean().round(2)})
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    caption = (
        f"Heads on frozen features of {config.segmenter.backbone}: {arguments.profile}, {len(dataset.train)} training "
        f"and {len(dataset.val or ())} other images, pseudo-labels {origin(config)}, mean of {arguments.seeds} seeds, "
        f"{machine(device)}. From the ground truth: val mIoU; from the pseudo-labels: which of their masks are wrong."
    )
    save_table(pd.DataFrame(rows), "frozen_heads", arguments.out, caption)


if __name__ == "__main__":
    main()
