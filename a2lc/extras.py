"""Optional packages: whether they are here and whole, and the one command that brings them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

CONTRIB = "opencv-contrib-python-headless"
SEEDS, KNEED, JOBLIB = "cv2.ximgproc", "kneed", "joblib"
SUPERPIXELS = {  # module: a name in it, and what it is for
    SEEDS: ("createSuperpixelSEEDS", "SEEDS superpixels need OpenCV with its contrib modules"),
    KNEED: ("KneeLocator", "sieving of MerSpx needs kneed"),
    JOBLIB: ("Parallel", "cutting images in parallel needs joblib"),
}


class MissingExtraError(ImportError):
    """A package of an extra is missing; the message ends with the command that installs it."""


def install_command(*requirements: str) -> str:
    """The command that installs into the interpreter of this process: its own pip, or uv where it has none."""
    pip = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:
        pip = ["uv", "pip", "install", "--python", sys.executable]
    return (subprocess.list2cmdline if os.name == "nt" else shlex.join)([*pip, *requirements])


def missing(module: str) -> str | None:
    """Why a module of `SUPERPIXELS` cannot be used, and the command that helps; None where it can."""
    name, why = SUPERPIXELS[module]
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
    return f"{why}: {install_command('a2lc[superpixels]')}"


def require(*modules: str) -> None:
    """Raise `MissingExtraError` where one of these modules of `SUPERPIXELS` cannot be used."""
    for module in modules:
        if problem := missing(module):
            raise MissingExtraError(problem)
