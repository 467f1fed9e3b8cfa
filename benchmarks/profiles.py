"""The masks of a notebooks' profile, for benchmarks that play no run of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from a2lc.config import Experiment
from a2lc.datasets import Dataset, load_dataset
from a2lc.masks import MaskSet
from a2lc.stages.initial import initial_masks


def profile_masks(
    profile: str, root: str | Path | None, runs: Path, **fields: Any
) -> tuple[Experiment, Dataset, MaskSet, Path]:
    """An experiment of a profile with `fields` in place of its own, its dataset (in `root`; None: where the profile
    says), the masks before any correction, and the folder in which they are kept."""
    if root is not None:
        fields["root"] = root
    config = Experiment.from_file(f"notebooks/params/{profile}.yaml", **fields)
    dataset = load_dataset(config.dataset, config.root)
    return config, dataset, *initial_masks(config, dataset, runs, True)


def profile_arguments(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark of a profile is told: which, where data and runs are, where results go, how many seeds."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="toy, camvid or voc")
    parser.add_argument("root", nargs="?", default=None, help="of the data")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where masks, features and models are kept")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    return parser
