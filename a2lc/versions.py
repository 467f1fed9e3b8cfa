"""With which packages, which code and on which processor something was computed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("a2lc", "torch", "torchvision", "numpy", "pandas", "pyarrow", "scikit-image", "pillow", "kneed")


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
