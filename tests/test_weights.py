"""Weights by name: checked, found in one folder, downloaded only where that is allowed and possible."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import namedtuple
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
import torch
from pydantic import BaseModel

from a2lc.pseudo_labels import weights as module
from a2lc.pseudo_labels.weights import (
    BERT,
    WEIGHTS,
    Weights,
    find_bert,
    find_weights,
    load_state,
    weights_folder,
    weights_status,
)

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Weights]:
    """Published weights of seven bytes, at an address on this machine."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "small.pth").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        small = Weights("small", f"http://127.0.0.1:{server.server_port}/small.pth", SHA, len(CONTENT))
        monkeypatch.setitem(WEIGHTS, "small", small)
        yield small
        server.shutdown()


def test_the_published_files() -> None:
    """Names and sizes as published."""
    assert list(WEIGHTS) == ["groundingdino_swint_ogc", "sam_vit_h", "sam_vit_l", "sam_vit_b"]
    assert all(name == wanted.name and len(wanted.sha256) == 64 for name, wanted in WEIGHTS.items())
    files = [wanted.file for wanted in WEIGHTS.values()]
    assert files[:2] == ["groundingdino_swint_ogc.pth", "sam_vit_h_4b8939.pth"]
    assert files[2:] == ["sam_vit_l_0b3195.pth", "sam_vit_b_01ec64.pth"]
    assert [wanted.size for wanted in WEIGHTS.values()] == [693997677, 2564550879, 1249524607, 375042383]


def test_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("A2LC_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / ".cache" / "a2lc"
    monkeypatch.setenv("A2LC_WEIGHTS", str(tmp_path / "w"))
    assert weights_folder() == tmp_path / "w"
    assert weights_folder("given") == Path("given")


def test_a_local_file_is_checked_and_used(small: Weights, tmp_path: Path) -> None:
    (tmp_path / "small.pth").write_bytes(CONTENT)
    assert find_weights("small", tmp_path, offline=True) == tmp_path / "small.pth"
    (tmp_path / "small.pth").write_bytes(b"something else")
    wrong = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ValueError, match=rf"small\.pth: wrong checksum \(14 bytes of 7\): .*{SHA}, found {wrong}"):
        find_weights("small", tmp_path)
    assert (tmp_path / "small.pth").read_bytes() == b"something else"  # never replaced unasked
    (tmp_path / "small.pth").write_bytes(b"weightz")
    with pytest.raises(ValueError, match=r"small\.pth: wrong checksum: expected"):
        find_weights("small", tmp_path)


def test_a_missing_file_is_downloaded_once_and_checked(
    small: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "folder"
    found = find_weights("small", folder)
    assert found.read_bytes() == CONTENT and found.stat().st_mode & 0o444 == 0o444
    monkeypatch.setattr(pooch, "retrieve", None)
    assert find_weights("small", folder) == folder / "small.pth"


def test_a_damaged_download_is_refused(small: Weights, tmp_path: Path) -> None:
    (tmp_path / "site" / "small.pth").write_bytes(b"half")
    with pytest.raises(ValueError, match=rf"does not match the known hash: expected .*{SHA} but got"):
        find_weights("small", tmp_path / "new", progress=False)
    assert not (tmp_path / "new" / "small.pth").exists()


def test_a_missing_file_says_where_to_put_it(small: Weights, tmp_path: Path) -> None:
    there = rf"{tmp_path}/small\.pth: no such file\. Put small\.pth there \(0\.00 GiB, from {small.url}\)"
    with pytest.raises(FileNotFoundError, match=rf"{there}, .*A2LC_WEIGHTS\), or allow the download \(now offline\)"):
        find_weights("small", tmp_path, offline=True)

    (tmp_path / "site" / "small.pth").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{there}.*the download failed: 404 Client Error"):
        find_weights("small", tmp_path)
    with pytest.raises(ValueError, match="unknown weights 'smal', expected one of .*; did you mean 'small'"):
        find_weights("smal", tmp_path)


def test_too_little_disk_is_said_before_the_download(
    small: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage(0, 0, 2**29))
    monkeypatch.setitem(WEIGHTS, "small", Weights("small", small.url, SHA, 2**30))
    monkeypatch.setattr(pooch, "retrieve", None)
    folder = tmp_path / "not" / "there"
    with pytest.raises(OSError, match=rf"{folder}: small\.pth needs 1\.00 GiB, 0\.50 GiB are free on this disk"):
        find_weights("small", folder)
    assert not folder.exists()


# ---------------------------------------------------------------------------------------------------------- loading
class Payload(BaseModel):
    """Any object that is no tensor."""


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"model": {"a": torch.ones(2)}}, path)
    assert load_state(path)["model"]["a"].tolist() == [1, 1]
    torch.save({"model": Payload()}, path)
    with pytest.raises(ValueError, match=r"w\.pth: damaged, or holds more than tensors, and is not loaded"):
        load_state(path)
    for damaged in (b"", b"no weights", path.read_bytes()[:100]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"w\.pth: damaged"):
            load_state(path)


# ------------------------------------------------------------------------------------------------------------- BERT
def fill(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_text("")
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_bert_in_the_weights_folder(tmp_path: Path) -> None:
    folder = fill(tmp_path / BERT, "config.json", "vocab.txt")
    with pytest.raises(
        FileNotFoundError, match=rf"{BERT}: incomplete, expected model\.safetensors or pytorch_model\.bin in it"
    ):
        find_bert(tmp_path)
    fill(folder, "model.safetensors")
    assert find_bert(tmp_path, offline=True) == folder


@pytest.mark.parametrize("name", ["bert-base-uncased", "google-bert/bert-base-uncased"])
def test_bert_in_the_cache_of_the_hub(name: str, hub: Path, tmp_path: Path) -> None:
    stored, commit = hub / f"models--{name.replace('/', '--')}", "0" * 40
    fill(stored / "refs").joinpath("main").write_text(commit)
    folder = fill(stored / "snapshots" / commit, "config.json", "tokenizer.json")
    with pytest.raises(FileNotFoundError, match="not in the hub's cache"):  # config and tokenizer alone
        find_bert(tmp_path, offline=True)
    fill(folder, "model.safetensors")
    assert find_bert(tmp_path, offline=True) == folder


def test_bert_nowhere(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = (
        rf"{tmp_path / BERT}: no such folder, .* Put config\.json, vocab\.txt and model\.safetensors of {BERT} there"
    )
    with pytest.raises(
        FileNotFoundError, match=rf"{there}, or download it once \(now offline\): find_bert\(\) of a2lc"
    ):
        find_bert(tmp_path, offline=True)
    with pytest.raises(FileNotFoundError, match=rf"{there}; the download failed"):
        find_bert(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    with pytest.raises(OSError, match=rf"{BERT} needs 0\.41 GiB, 0\.00 GiB are free"):
        find_bert(tmp_path)


# ----------------------------------------------------------------------------------------------------------- doctor
def test_the_doctor_names_what_is_usable_and_what_to_do(small: Weights, hub: Path, tmp_path: Path) -> None:
    (tmp_path / "small.pth").write_bytes(CONTENT)
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(CONTENT)
    rows = weights_status(tmp_path)
    assert rows["weights folder"] == f"{tmp_path} (another: --weights or A2LC_WEIGHTS)"
    assert rows["small"] == f"usable: {tmp_path / 'small.pth'}"
    assert "sam_vit_b_01ec64.pth: wrong checksum (7 bytes of 375,042,383): expected SHA-256 ec2df6" in rows["sam_vit_b"]
    download = "there, or let a2lc pseudo-label download it"
    assert rows["sam_vit_h"] == f"missing: put sam_vit_h_4b8939.pth (2.39 GiB) {download}"
    assert rows[BERT] == f"missing: put config.json, vocab.txt and model.safetensors into {BERT}/ {download}"
    fill(tmp_path / BERT, "config.json")
    assert "incomplete, expected vocab.txt or tokenizer.json, model.safetensors or" in weights_status(tmp_path)[BERT]
    fill(tmp_path / BERT, "vocab.txt", "model.safetensors")
    assert weights_status(tmp_path)[BERT] == f"usable: {tmp_path / BERT}"
    assert os.listdir(tmp_path / BERT)
