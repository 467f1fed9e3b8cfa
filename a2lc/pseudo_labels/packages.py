"""What the two networks of Grounded-SAM share: the packages they come from, and the precision they run in."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

DISTRIBUTIONS = ("groundingdino-py", "segment-anything", "transformers")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def require_packages() -> None:
    """Import what Grounded-SAM needs.

    Raises:
        ImportError: a package is missing, or transformers is too new; says what to install.
    """
    try:
        found = version("transformers")
        if int(found.partition(".")[0]) >= 5:
            raise ImportError(f"transformers {found} has lost what groundingdino calls, expected a version before 5")
        with quiet():
            for module in ("transformers", "segment_anything", "groundingdino.models"):
                import_module(module)
    except ImportError as error:  # PackageNotFoundError is one
        missing = f"no package {error.name}" if isinstance(error, PackageNotFoundError) else str(error)
        raise ImportError(f"Grounded-SAM: {missing}; pip install 'a2lc[grounded-sam]'") from error


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
