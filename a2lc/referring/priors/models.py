"""Which frozen models there are, where their weights are looked for, and how they are loaded: never with remote code,
and from safetensors only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2lc.files import not_one_of
from a2lc.referring.priors.base import Locator, Shaper
from a2lc.segmenter.weight_files import weights_folder


@dataclass(frozen=True)
class FrozenModel:
    """One published model: where it is on the hub, its class in transformers, and roughly its size in GB."""

    repository: str
    model_class: str
    gigabytes: float


MODELS = {
    "qwen2.5-vl-7b": FrozenModel("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2_5_VLForConditionalGeneration", 16.6),
    "qwen2.5-vl-3b": FrozenModel("Qwen/Qwen2.5-VL-3B-Instruct", "Qwen2_5_VLForConditionalGeneration", 7.5),
    "florence-2": FrozenModel("florence-community/Florence-2-base", "Florence2ForConditionalGeneration", 0.5),
    "grounding-dino": FrozenModel("IDEA-Research/grounding-dino-tiny", "GroundingDinoForObjectDetection", 0.7),
    "clipseg": FrozenModel("CIDAS/clipseg-rd64-refined", "CLIPSegForImageSegmentation", 0.6),
    "sam": FrozenModel("facebook/sam-vit-base", "SamModel", 0.4),
}
"""Name here -> the published model."""
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "*.jinja"]


def find_model(name: str, folder: str | os.PathLike[str] | None = None, *, offline: bool = True) -> Path:
    """The folder of a frozen model: ``<weights>/<name>``, else the hub's cache, else downloaded into that.

    Args:
        name: a key of `MODELS`.
        folder: of all weights; see `a2lc.pseudo_labels.weights`.
        offline: never download.

    Raises:
        ValueError: an unknown name.
        FileNotFoundError: it is nowhere, or incomplete; says where to put it, or how to download it.
    """
    if name not in MODELS:
        raise ValueError(f"prior: {not_one_of(name, MODELS)}")
    local, wanted = weights_folder(folder) / name, MODELS[name]
    if local.is_dir():
        if not ((local / "config.json").is_file() and any(local.glob("*.safetensors"))):
            raise FileNotFoundError(
                f"{local}: incomplete, expected config.json and *.safetensors of {wanted.repository}"
            )
        return local
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(wanted.repository, local_files_only=True))
        if any(found.glob("*.safetensors")):
            return found
    except FileNotFoundError:
        pass
    where = f"{local}: no such folder; put the files of {wanted.repository} ({wanted.gigabytes:g} GB) there"
    if offline:
        load = "load_sam" if name == "sam" else "load_locator"
        raise FileNotFoundError(f"{where}, or download them once: {load}({name!r}, offline=False) of {__name__}")
    try:
        return Path(snapshot_download(wanted.repository, allow_patterns=_FILES))
    except OSError as error:
        raise FileNotFoundError(f"{where}; the download failed: {error}") from error


def load_locator(
    name: str, folder: str | os.PathLike[str] | None = None, *, device: str = "auto", offline: bool = True
) -> Locator:
    """A frozen model that finds what sentences name.

    Args:
        name: a key of `MODELS` but ``sam``.
        folder: see `find_model`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        offline: never download.

    Raises:
        ValueError, FileNotFoundError: as `find_model`.
        MissingExtraError: transformers is missing.
    """
    from a2lc.referring.priors.detecting import ClipSegLocator, DinoLocator
    from a2lc.referring.priors.florence import FlorenceLocator
    from a2lc.referring.priors.qwen import QwenLocator

    if name == "sam":
        raise ValueError("prior: sam turns boxes into masks and reads no sentence; expected another model to find them")
    path = find_model(name, folder, offline=offline)
    model, processor, place = _loaded(name, path, device)
    kinds: dict[str, Any] = {"florence-2": FlorenceLocator, "grounding-dino": DinoLocator, "clipseg": ClipSegLocator}
    found: Locator = kinds.get(name, QwenLocator)(model, processor, _revision(name, path), place)
    return found


def load_sam(folder: str | os.PathLike[str] | None = None, *, device: str = "auto", offline: bool = True) -> Shaper:
    """Segment Anything, to turn boxes into soft proposals; arguments and errors as of `load_locator`."""
    from a2lc.referring.priors.sam import SamShaper

    path = find_model("sam", folder, offline=offline)
    model, processor, place = _loaded("sam", path, device)
    return SamShaper(model, processor, _revision("sam", path), place)


def models_status(folder: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """For ``a2lc doctor``: which frozen models are there, and where the others go."""
    rows = {}
    for name in MODELS:
        try:
            rows[f"prior {name}"] = f"there: {find_model(name, folder)}"
        except (OSError, ImportError) as error:
            rows[f"prior {name}"] = f"missing: {error}"
    return rows


def _loaded(name: str, path: Path, device: str) -> tuple[Any, Any, Any]:
    from a2lc.machine import TRANSFORMERS, require
    from a2lc.segmenter import resolve_device

    require(TRANSFORMERS)
    import transformers

    where = resolve_device(device)
    options = {"local_files_only": True, "trust_remote_code": False}
    precision = "bfloat16" if where.type == "cuda" and name.startswith("qwen") else "float32"
    made = getattr(transformers, MODELS[name].model_class)
    model = made.from_pretrained(path, use_safetensors=True, dtype=precision, **options)
    return model, transformers.AutoProcessor.from_pretrained(path, **options), where


def _revision(name: str, path: Path) -> str:
    """Which weights these are: the hub's revision, or of a folder of one's own the sizes of its files."""
    if path.parent.name == "snapshots":
        return f"{MODELS[name].repository}@{path.name}"
    sizes = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return f"{MODELS[name].repository}, {sizes} bytes"
