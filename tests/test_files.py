"""Writing and reading files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2lc.files import atomic_folder, read_arrays, read_image, read_json, write_arrays, write_json


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_json_has_no_numbers_that_json_does_not_know(tmp_path: Path) -> None:
    value = {"a": [1.5, float("nan"), {"b": (np.float64("inf"), 2, "NaN", None, True)}]}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {"a": [1.5, None, {"b": [None, 2, "NaN", None, True]}]}


def test_a_value_that_is_no_json_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: damaged JSON"):
        read_json(tmp_path / "x.json")


def test_grey_images_of_16_bits_keep_their_shades(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == (ramp >> 8)[..., None]).all()
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(ValueError, match=r"x\.tiff: .*expected 8 or 16 bits per channel, found 32"):
        read_image(tmp_path / "x.tiff")


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    partial.mkdir()
    (partial / "of a killed process").touch()
    with pytest.raises(OSError, match="no"), atomic_folder(out) as folder:
        (folder / "a").touch()
        raise OSError("no")
    assert not list(tmp_path.iterdir())
    out.mkdir()
    with atomic_folder(out) as folder:
        assert folder == partial and not list(folder.iterdir())
        (folder / "a").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["out", "out/a"]


def test_views_of_arrays_are_written_as_they_look(tmp_path: Path) -> None:
    whole = np.arange(12.0).reshape(3, 4)
    views = {"part": whole[:, :2], "turned": whole.T, "number": np.array(3.0)}
    write_arrays(tmp_path / "x.safetensors", views)
    found = read_arrays(tmp_path / "x.safetensors")
    assert all(found[name].shape == view.shape and (found[name] == view).all() for name, view in views.items())
