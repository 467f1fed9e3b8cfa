"""What the two networks of Grounded-SAM share: the packages they come from, where and how they run."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from a2lc.machine import MissingExtraError, install_command
from a2lc.pseudo_labels.weights import find_weights
from a2lc.segmenter import resolve_device

DISTRIBUTIONS = ("groundingdino-py", "segment-anything", "transformers")
SAM_ONLY = ("segment_anything",)
MODULES = ("transformers", *SAM_ONLY, "groundingdino.models")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Machine:
    """Where networks run, and where their weights are.

    Args:
        device: auto, cpu, cuda or mps.
        precision: auto, float32, bfloat16 or float16.
        weights: folder of pretrained weights; None: the usual one.
        offline: never download.
        progress: show bars and tables.

    Raises:
        ValueError: an unknown device or precision, or one that this machine lacks.
    """

    def __init__(
        self, device: str, precision: str, weights: str | os.PathLike[str] | None, offline: bool, progress: bool
    ) -> None:
        self.device = resolve_device(device)
        self.dtype = half_precision(precision, self.device)
        self.weights = weights
        self.offline = offline
        self.progress = progress

    @property
    def about(self) -> dict[str, str]:
        """For a manifest."""
        return {"device": str(self.device), "precision": str(self.dtype).removeprefix("torch.")}

    def file(self, name: str) -> Path:
        """The checked file of published weights, see `find_weights`."""
        return find_weights(name, self.weights, offline=self.offline, progress=self.progress)


def require_packages(modules: Sequence[str] = MODULES) -> None:
    """Import what Grounded-SAM needs, or Segment Anything alone (`SAM_ONLY`).

    Raises:
        MissingExtraError: a package is missing, or transformers is too new; says what to install.
    """
    try:
        found = version("transformers") if "transformers" in modules else "0"
        if int(found.partition(".")[0]) >= 5:
            raise ImportError(f"transformers {found} has lost what groundingdino calls, expected a version before 5")
        with quiet():
            for module in modules:
                import_module(module)
    except ImportError as error:  # PackageNotFoundError is one
        missing = f"no package {error.name}" if isinstance(error, PackageNotFoundError) else str(error)
        raise MissingExtraError(f"Grounded-SAM: {missing}; {install_command('a2lc[grounded-sam]')}") from error


def half_precision(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: ``auto`` is bfloat16 or else float16 on an NVIDIA GPU, float32 elsewhere.

    Raises:
        ValueError: an unknown precision, or float16 where there is no GPU.
    """
    if precision == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of auto, {', '.join(PRECISIONS)}, found {precision!r}")
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision: float16 needs a GPU, expected float32 or bfloat16 on a CPU")
    return PRECISIONS[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Context in which matrix products run in `dtype`."""
    reduced = dtype != torch.float32
    return torch.autocast(device.type, dtype if reduced else None, enabled=reduced)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the packages from printing, and from warning about their own use of other packages."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
