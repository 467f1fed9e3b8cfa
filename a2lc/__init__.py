"""a2lc: active and automated label correction for semantic segmentation (A²LC, AAAI 2026), reproducible round by
round."""

from a2lc.config import Experiment
from a2lc.datasets import Classes, Dataset, load_dataset
from a2lc.many import run_many
from a2lc.masks import MaskSet
from a2lc.metrics import data_miou
from a2lc.rounds import run
from a2lc.runs import Run, find_runs

__version__ = "0.1.0"
__all__ = [
    "Classes",
    "Dataset",
    "Experiment",
    "MaskSet",
    "Run",
    "data_miou",
    "find_runs",
    "load_dataset",
    "run",
    "run_many",
]
