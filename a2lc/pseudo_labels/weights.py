"""Pretrained weights by name: from a local folder, else from their official address, always checked by SHA-256.

One folder holds everything that Grounded-SAM needs: ``weights_folder()``, the one given, else ``$A2LC_WEIGHTS``, else
``~/.cache/a2lc``.

    groundingdino_swint_ogc.pth                         boxes from text
    sam_vit_h_4b8939.pth                                masks from boxes (or _l_0b3195, _b_01ec64: smaller)
    bert-base-uncased/                                  optional: config.json, vocab.txt, model.safetensors; without
                                                        this folder the cache of the Hugging Face hub serves
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from a2lc.files import nearest
from a2lc.machine import show_bars
from a2lc.segmenter.weight_files import Folder, file_hash, load_state, weights_folder

__all__ = ["BERT", "WEIGHTS", "Weights", "find_bert", "find_weights", "load_state", "weights_folder", "weights_status"]


@dataclass(frozen=True)
class Weights:
    """One file of published weights: its name here, official address, SHA-256 and size in bytes."""

    name: str
    url: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """The official file name."""
        return self.url.rpartition("/")[2]


_DINO = "https://github.com/IDEA-Research/GroundingDINO/releases/download/v0.1.0-alpha"
_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
WEIGHTS = {
    "groundingdino_swint_ogc": Weights(
        "groundingdino_swint_ogc",
        f"{_DINO}/groundingdino_swint_ogc.pth",
        "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        693_997_677,
    ),
    "sam_vit_h": Weights(
        "sam_vit_h",
        f"{_SAM}/sam_vit_h_4b8939.pth",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
    ),
    "sam_vit_l": Weights(
        "sam_vit_l",
        f"{_SAM}/sam_vit_l_0b3195.pth",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
    ),
    "sam_vit_b": Weights(
        "sam_vit_b",
        f"{_SAM}/sam_vit_b_01ec64.pth",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
    ),
}

BERT = "bert-base-uncased"
BERT_BYTES = 441_000_000
_BERT_ON_HUB = (BERT, f"google-bert/{BERT}")  # the old name, which groundingdino uses, and the new one
_BERT_NEEDS = (("config.json",), ("vocab.txt", "tokenizer.json"), ("model.safetensors", "pytorch_model.bin"))
_BERT_HELP = "config.json, vocab.txt and model.safetensors"
_BERT_FILES = ["config.json", "tokenizer_config.json", "tokenizer.json", "vocab.txt", "model.safetensors"]


def find_weights(name: str, folder: Folder = None, *, offline: bool = False, progress: bool = True) -> Path:
    """The checked file of published weights; downloaded where it is missing.

    Args:
        name: a key of `WEIGHTS`.
        folder: see `weights_folder`.
        offline: True: never download.
        progress: show a bar while downloading.

    Raises:
        ValueError: an unknown name; the file, or what was downloaded, has another SHA-256 than the official one.
        FileNotFoundError: the file is missing and `offline`, or the download failed; says where to put it.
        OSError: the disk has too little room for the download.
    """
    if name not in WEIGHTS:
        raise ValueError(f"unknown weights {name!r}, expected one of {', '.join(WEIGHTS)}{nearest(name, WEIGHTS)}")
    wanted, target = WEIGHTS[name], weights_folder(folder)
    path = target / wanted.file
    if path.is_file():
        _check(path, wanted)
        return path
    if offline:
        raise FileNotFoundError(f"{_put_it_there(path, wanted)}, or allow the download (now offline)")
    _check_disk(target, wanted.file, wanted.size)
    import pooch

    try:
        pooch.retrieve(wanted.url, f"sha256:{wanted.sha256}", wanted.file, target, progressbar=show_bars(progress))
    except OSError as error:
        raise FileNotFoundError(f"{_put_it_there(path, wanted)}; the download failed: {error}") from error
    path.chmod(0o644)  # pooch makes files that only their owner may read
    return path


def find_bert(folder: Folder = None, *, offline: bool = False) -> Path:
    """The folder of BERT (config, tokenizer, weights): ``bert-base-uncased/`` among the weights, else the hub's cache,
    else downloaded into that cache.

    Raises:
        FileNotFoundError: BERT is nowhere, or incomplete; says where to put it.
        OSError: the disk has too little room for the download.
    """
    local = weights_folder(folder) / BERT
    if local.is_dir():
        if missing := _missing_in(local):
            raise FileNotFoundError(f"{local}: incomplete, expected {missing} in it as well")
        return local
    from huggingface_hub import constants, snapshot_download

    for name in _BERT_ON_HUB:
        try:
            found = Path(snapshot_download(name, local_files_only=True))
        except FileNotFoundError:
            continue
        if not _missing_in(found):
            return found
    where = f"{local}: no such folder, and BERT is not in the hub's cache. Put {_BERT_HELP} of {BERT} there"
    if offline:
        raise FileNotFoundError(f"{where}, or download it once (now offline): find_bert() of {__name__}")
    _check_disk(Path(constants.HF_HUB_CACHE), BERT, BERT_BYTES)
    try:
        return Path(snapshot_download(BERT, allow_patterns=_BERT_FILES))
    except OSError as error:
        raise FileNotFoundError(f"{where}; the download failed: {error}") from error


def weights_status(folder: Folder = None) -> dict[str, str]:
    """For ``a2lc doctor``: which weights are usable, and what to do about the rest. Files are read in whole."""
    target = weights_folder(folder)
    rows = {"weights folder": f"{target} (another: --weights or A2LC_WEIGHTS)"}
    for name, wanted in WEIGHTS.items():
        rows[name] = f"missing: put {wanted.file} ({_gib(wanted.size)}) there, or let a2lc pseudo-label download it"
        if (target / wanted.file).is_file():
            try:
                rows[name] = f"usable: {find_weights(name, folder)}"
            except (ValueError, OSError) as error:
                rows[name] = f"not usable: {error}"
    try:
        rows[BERT] = f"usable: {find_bert(folder, offline=True)}"
    except (OSError, ImportError) as error:
        advice = f"missing: put {_BERT_HELP} into {BERT}/ there, or let a2lc pseudo-label download it"
        rows[BERT] = f"not usable: {error}" if (target / BERT).is_dir() else advice
    return rows


def _check(path: Path, wanted: Weights) -> None:
    found = file_hash(path)
    if found != wanted.sha256:
        size = "" if path.stat().st_size == wanted.size else f" ({path.stat().st_size:,} bytes of {wanted.size:,})"
        raise ValueError(
            f"{path}: wrong checksum{size}: expected SHA-256 {wanted.sha256}, found {found}. Remove it to download it "
            f"again, or put {wanted.url} in its place"
        )


def _check_disk(folder: Path, what: str, size: int) -> None:
    """`folder` need not exist yet."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < size:
        raise OSError(f"{folder}: {what} needs {_gib(size)}, {_gib(free)} are free on this disk")


def _missing_in(folder: Path) -> str:
    """What BERT's folder lacks, as a list in words; empty where it is complete."""
    absent = [files for files in _BERT_NEEDS if not any((folder / file).is_file() for file in files)]
    return ", ".join(" or ".join(files) for files in absent)


def _put_it_there(path: Path, wanted: Weights) -> str:
    return (
        f"{path}: no such file. Put {wanted.file} there ({_gib(wanted.size)}, from {wanted.url}), name the folder that "
        "holds it (weights, --weights or A2LC_WEIGHTS)"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
