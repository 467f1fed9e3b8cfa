"""What this machine gives: packages and their versions, processor, threads, memory, and a terminal with bars."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm.auto import tqdm

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_PACKAGES = (
    "a2lc",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-image",
    "scikit-learn",
    "pillow",
    "kneed",
)
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # CUDA and MPS; CPU
CONTRIB = "opencv-contrib-python-headless"
SEEDS, KNEED, JOBLIB = "cv2.ximgproc", "kneed", "joblib"
TIMM, SMP, TRANSFORMERS = "timm", "segmentation_models_pytorch", "transformers"
PYCOCO, SEGMENT_ANYTHING = "pycocotools.mask", "segment_anything"
OPTIONAL = {  # module: a name in it, what it is for, and the extra that brings it
    SEEDS: ("createSuperpixelSEEDS", "SEEDS superpixels need OpenCV with its contrib modules", "superpixels"),
    KNEED: ("KneeLocator", "sieving of MerSpx needs kneed", "superpixels"),
    JOBLIB: ("Parallel", "cutting images in parallel needs joblib", "superpixels"),
    TIMM: ("create_model", "pretrained backbones and network 'frozen' need timm", "pretrained"),
    SMP: ("create_model", "network 'smp' needs segmentation-models-pytorch", "networks"),
    PYCOCO: ("frPyObjects", "polygons of COCO need pycocotools", "formats"),
    SEGMENT_ANYTHING: ("sam_model_registry", "features of Segment Anything need segment-anything", "grounded-sam"),
    TRANSFORMERS: ("SegformerConfig", "networks 'segformer' and 'mask2former' need transformers", "networks"),
}


def show_bars(progress: bool) -> bool:
    """Whether to show progress bars: tqdm itself does not look at ``TQDM_DISABLE`` where it is told what to do."""
    return progress and os.environ.get("TQDM_DISABLE", "") in ("", "0")


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Name of a distribution -> its version, or ``not installed``."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def surroundings() -> dict[str, Any]:
    """What decides the last bits of a number besides the configuration, as JSON values.

    Returns:
        ``packages``, name -> version; ``code``, a hash of this package's modules; ``python``; ``machine``;
        ``processor``, its name and what PyTorch's kernels use of it; ``threads`` of PyTorch.
    """
    import torch

    return {
        "packages": versions_of(_PACKAGES),
        "code": _code(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor and which instructions PyTorch's kernels use, such as ``AMD EPYC (AVX512, avx512_bf16)``."""
    import torch

    has = torch.cpu.get_capabilities()
    fast = [name for name in ("avx512_bf16", "amx_bf16") if has.get(name)]
    kernels = ", ".join([torch.backends.cpu.get_cpu_capability(), *fast])
    return f"{has.get('cpu_name') or platform.processor() or 'unknown'} ({kernels})"


@lru_cache(maxsize=1)
def _code() -> str:
    """SHA-256 over names and contents of all modules, shortened."""
    root, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return found.hexdigest()[:16]


class MissingExtraError(ImportError):
    """A package of an extra is missing; the message ends with the command that installs it."""


def install_command(*requirements: str) -> str:
    """The command that installs into the interpreter of this process: its own pip, or uv where it has none."""
    pip = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:
        pip = ["uv", "pip", "install", "--python", sys.executable]
    return (subprocess.list2cmdline if os.name == "nt" else shlex.join)([*pip, *requirements])


def missing(module: str) -> str | None:
    """Why a module of `OPTIONAL` cannot be used, and the command that helps; None where it can."""
    name, why, extra = OPTIONAL[module]
    try:
        if hasattr(import_module(module), name):
            return None
    except ImportError:
        pass
    if module == SEEDS:
        try:  # it was installed, and then another build of OpenCV was unpacked over it
            again = ["--force-reinstall", "--no-deps", f"{CONTRIB}=={version(CONTRIB)}"]
            return f"{why}, and another build lies over them: {install_command(*again)}"
        except PackageNotFoundError:
            pass
    return f"{why}: {install_command(f'a2lc[{extra}]')}"


def require(*modules: str) -> None:
    """Raise `MissingExtraError` where one of these modules of `OPTIONAL` cannot be used."""
    for module in modules:
        if problem := missing(module):
            raise MissingExtraError(problem)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run small tensor operations on one thread: on several, each waits for the last one.

    Measured with one other busy process on two cores: a bf16 product of 192 x 1728 took 15 ms instead of 0.2 ms.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def accelerators() -> dict[str, str]:
    """Which devices besides the CPU are usable, and what to do where they are not."""
    import torch

    if torch.cuda.is_available():
        cuda = f"usable: {torch.cuda.get_device_name()}"
    elif torch.version.cuda is None:
        cuda = "not usable: this torch is built without CUDA; the wheel of PyPI for Linux has it"
    else:
        cuda = f"not usable: torch for CUDA {torch.version.cuda} finds no NVIDIA GPU; ask nvidia-smi about the driver"
    mps = "usable" if torch.backends.mps.is_available() else "not usable: needs an Apple computer with its own GPU"
    return {"cuda": cuda, "mps": mps}


def is_shortage(error: RuntimeError) -> bool:
    """Whether PyTorch raised this for want of memory."""
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def halved(count: int, error: RuntimeError, device: torch.device, what: str) -> int:
    """How many to try at once after `count` have failed for want of memory; the user is told.

    Args:
        count: how many were tried.
        error: what was raised.
        device: where.
        what: what one of them is, for the message.

    Raises:
        RuntimeError: `error` itself, where it says something else; or memory does not even suffice for one.
    """
    if not is_shortage(error):
        raise error
    if count == 1:
        message = f"{device}: not enough memory for {what} ({error})"
        raise RuntimeError(f"{message}; take a smaller image, or another device") from error
    tqdm.write(f"{device}: not enough memory for {count} at once ({what}), going on with {count // 2}", sys.stderr)
    return count // 2


def while_memory_lasts(compute: Callable[[int], T], size: int, device: torch.device, what: str) -> T:
    """``compute(size)``, or of half of it, and so on, until memory suffices.

    Args:
        compute: takes how many to work on at once.
        size: the first try.
        device: where.
        what: what one of them is, for the messages.

    Raises:
        RuntimeError: see `halved`.
    """
    while True:
        try:
            return compute(size)
        except RuntimeError as error:
            size = halved(size, error, device, what)
        empty_cache(device)


def empty_cache(device: torch.device) -> None:
    """Give memory back that PyTorch keeps for later; not while an exception holds tensors."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
