"""What a table was computed from, in words for its caption."""

from __future__ import annotations

from a2lc.config import Experiment
from a2lc.runs import Run

TRAIN_IMAGES = {"voc2012": 1464, "cityscapes": 2975}
"""Training images of the paper's datasets."""
NOT_IN_PAPER = " Rows named instant are not in the paper; they train a network on their last labels only."
"""Follows a caption's first sentence where there are such rows."""


def origin(config: Experiment) -> str:
    """Where the first labels of a run come from, in words that follow "pseudo-labels"."""
    return {
        "simulated": "simulated from the ground truth, not Grounded-SAM output",
        "folders": "real Grounded-SAM output",
        "own_labels": "those that came with the images",
        "superpixels": "none (superpixels start without labels)",
        "ground_truth": "none (the ground truth itself)",
    }[config.pseudo_labels.kind]


def fewer_images(run: Run) -> str:
    """How many of the paper's training images a run has, where it has fewer; follows the dataset's name."""
    images, whole = len(run.masks(0).names), TRAIN_IMAGES.get(run.config.dataset, 0)
    return f", {images:,} of {whole:,} training images" if images < whole else ""


def other_network(config: Experiment) -> str:
    """What learns, where it is not the light network from scratch; follows where the labels come from."""
    chosen = config.segmenter
    return "" if chosen.network == "light" else f"; network {chosen.network} on {chosen.backbone}"
