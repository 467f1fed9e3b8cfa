"""Bad input, searched for: whatever a file holds, the package takes it or refuses it by the file's name.

Each test changes good files at random, the same way each time, and counts what happened. A refusal is a `ValueError` or
an `OSError` (as a file that is missing) that names the file. Any other exception is a fault, and so are an input that
takes longer than `SECONDS`, a file written outside the folder of the test and a program started.
"""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import re
import shutil
import signal
import struct
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import NAMES, dataset_folder, files_of
from test_kill import SETTINGS, Colours, go_on, look, values

import a2lc
from a2lc import Experiment, Run, load_dataset
from a2lc.config import METHODS, read_fields
from a2lc.datasets.base import Classes
from a2lc.files import (
    LabelFile,
    read_arrays,
    read_image,
    read_json,
    read_label_png,
    read_parquet,
    write_json,
    write_label_png,
    write_parquet,
)
from a2lc.human import Queue, next_round
from a2lc.human.approval import Approval
from a2lc.human.queue_csv import read_queue, write_queue
from a2lc.human.undo import automatic_corrections, undo_corrections
from a2lc.human.write_back import CHANGES, apply_changes, write_changes
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.weights import load_state
from a2lc.runs import RoundFolder
from a2lc.segmenter import build_segmenter
from a2lc.segmenter.released import from_released_checkpoint

SECONDS = 20  # for one input
LONG = "n" * 5000
NAMES_OF_FILES = ("../../etc/passwd", "/etc/passwd", "a\0b", LONG, "", ".", "..", "a/../../b", "\udcff", "ä")
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class")
WRITING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


def searching(inputs: int) -> settings:
    """So many inputs, the same every time."""
    checks = list(HealthCheck)
    return settings(max_examples=inputs, derandomize=True, database=None, deadline=None, suppress_health_check=checks)


# ------------------------------------------------------------------------------------------------ what may not happen
class TooLong(BaseException):
    """An input on which the package would hang."""


class Watch:
    """Looks at what Python does (PEP 578) while it is on."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, said: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in STARTING:
            self.seen.append(f"{event} {said}")
        elif event == "open" and isinstance(said[2], int) and said[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.check(event, said[:1])
        elif event in WRITING:
            self.check(event, said)

    def check(self, event: str, said: tuple[Any, ...]) -> None:
        for path in said:
            if isinstance(path, (str, bytes, os.PathLike)):
                place = os.path.realpath(os.fsdecode(path))
                if not f"{place}{os.sep}".startswith(f"{self.folder}{os.sep}") and place != os.devnull:
                    self.seen.append(f"{event} {place}")

    @contextmanager
    def on(self, folder: Path) -> Iterator[None]:
        self.folder, self.seen = folder.resolve(), []
        signal.signal(signal.SIGALRM, self.too_long)
        signal.alarm(SECONDS)
        try:
            yield
        finally:
            signal.alarm(0)
            self.folder = None
        assert self.seen == []

    def too_long(self, *_: Any) -> None:
        raise TooLong(f"more than {SECONDS} s")


WATCH = Watch()


class Tally:
    """What happened to the inputs of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()

    def take(self, call: Callable[[], Any], *names: object) -> Any:
        """What `call` returns, or None where it refuses; then one of `names` is in the message."""
        with WATCH.on(self.folder), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a damaged last line, for one
            try:
                found = call()
            except (ValueError, OSError) as error:
                assert any(str(name) in str(error) for name in names), f"{names} not named: {error!r}"
                self.counts[f"refused by {type(error).__name__}"] += 1
                return None
        self.counts["accepted"] += 1
        return found

    def tell(self, what: str) -> None:
        total = self.counts.total()
        parts = ", ".join(f"{count} {name}" for name, count in self.counts.most_common())
        print(f"{what}: {total} inputs: {parts}, 0 faults")
        assert total > 0


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


# ------------------------------------------------------------------------------------------------ what is put in
KINDS = ("flip", "set", "cut", "drop", "repeat", "swap", "insert", "end")
EDITS = st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 0.999), st.binary(min_size=1, max_size=6)), max_size=3)


def edited(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """A file with some bytes changed, lost, repeated, moved or added."""
    content = bytearray(data)
    for kind, share, what in edits:
        at, size = int(share * len(content)), len(what)
        piece = bytes(content[at : at + size])
        if kind == "flip" and piece:
            content[at] ^= 1 << what[0] % 8
        elif kind == "set":
            content[at : at + size] = what
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + size]
        elif kind == "repeat":
            content[at:at] = piece * 4
        elif kind == "swap":
            content[at : at + size], content[:size] = content[:size], piece
        elif kind == "insert":
            content[at:at] = what
        else:
            content += what
    return bytes(content)


NUMBERS = st.one_of(st.integers(-3, 300), st.integers(), st.floats(), st.just(10**400))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(NAMES_OF_FILES))
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def changed(value: Any, path: list[int], new: Any) -> Any:
    """JSON with something else at one place: `path` leads there, one step into a list or an object each."""
    if not path or not isinstance(value, (list, dict)) or not value:
        return new
    if isinstance(value, list):
        at = path[0] % len(value)
        return [*value[:at], changed(value[at], path[1:], new), *value[at + 1 :]]
    name = list(value)[path[0] % len(value)]
    if isinstance(new, str) and new == "gone" and len(path) == 1:
        return {key: item for key, item in value.items() if key != name}
    return value | {name: changed(value[name], path[1:], new)}


PLACES = st.lists(st.integers(0, 30), max_size=3)


# ------------------------------------------------------------------------------------------------ pictures
def pictures() -> dict[str, bytes]:
    """Good files of many kinds, and kinds that are not taken."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (7, 9), dtype=np.uint8)
    modes = {"L": ids, "1": ids > 1, "I;16": ids.astype(np.uint16) * 300, "RGB": np.stack([ids] * 3, -1)}
    found = {}
    for name, array in modes.items():
        image = Image.fromarray(array)
        for kind in ("png", "jpeg", "webp", "gif", "tiff", "bmp", "eps") if name in ("L", "RGB") else ("png",):
            buffer = io.BytesIO()
            image.save(buffer, kind)
            found[f"{name}.{kind}"] = buffer.getvalue()
    palette = Image.fromarray(ids)
    palette.putpalette([*range(12)])
    buffer = io.BytesIO()
    palette.save(buffer, "png", bits=2, transparency=1)
    return found | {"P.png": buffer.getvalue()}


PICTURES = pictures()


def mended(data: bytes) -> bytes:
    """A PNG whose checksums fit what it says, so that readers look further."""
    at, content = 8, bytearray(data)
    while at + 12 <= len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        if at + 12 + length > len(content):
            break
        content[at + 8 + length : at + 12 + length] = struct.pack(">I", zlib.crc32(content[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(content)


def test_pictures(tmp_path: Path) -> None:
    tally, file = Tally(tmp_path), tmp_path / "picture.png"

    @searching(1200)
    @given(st.sampled_from(sorted(PICTURES)), EDITS, st.booleans())
    def search(kind: str, edits: list[tuple[str, float, bytes]], mend: bool) -> None:
        data = edited(PICTURES[kind], edits)
        data = mended(data) if mend else data
        file.write_bytes(data)
        picture = tally.take(lambda: read_image(file), file)
        assert picture is None or (picture.ndim, picture.shape[2], picture.dtype) == (3, 3, np.uint8)
        ids = tally.take(lambda: read_label_png(file), file)
        assert ids is None or (ids.ndim == 2 and ids.dtype in (np.uint8, np.int32))
        label = tally.take(lambda: LabelFile(data, "label file"), "label file")
        if label is not None and ids is not None:
            new = tally.take(lambda: label.with_ids(ids[::-1]), "")
            assert new is None or (tally.take(lambda: LabelFile(new, "").ids(), "") == ids[::-1]).all()

    search()
    tally.tell("pictures")
    assert tally.counts["accepted"] > 100
    file.write_bytes(PICTURES["RGB.eps"])
    with pytest.raises(ValueError, match=r"picture\.png: damaged or truncated image \(none of PNG, JPEG,"):
        read_image(file)  # Pillow would start Ghostscript


def test_a_picture_that_would_fill_the_memory(tmp_path: Path) -> None:
    data = bytearray(PICTURES["L.png"])
    data[16:24] = bytes([0x7F, 0xFF, 0xFF, 0xFF] * 2)
    (tmp_path / "x.png").write_bytes(mended(bytes(data)))
    for read in (read_image, read_label_png):
        with pytest.raises(ValueError, match=r"x\.png: expected at most 134,217,728 pixels in one picture, found"):
            read(tmp_path / "x.png")


def test_another_bit_in_a_label_png_is_seen(tmp_path: Path) -> None:
    """Pillow reads pixels without looking at their checksum."""
    write_label_png(tmp_path / "x.png", np.random.default_rng(0).integers(0, 200, (20, 20)))
    data = (tmp_path / "x.png").read_bytes()
    for at in range(0, len(data) - 12, 3):  # the last twelve say that this is the end
        (tmp_path / "x.png").write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        with pytest.raises(ValueError, match=r"x\.png: damaged"):
            read_label_png(tmp_path / "x.png")


# ------------------------------------------------------------------------------------------------ folders of images
def test_class_lists_and_lists_of_images(tmp_path: Path) -> None:
    root = tmp_path / "data"
    tally = Tally(tmp_path)
    dataset_folder(root)
    good = {
        "classes.txt": b"road\ncar 1 2 3\ntree house 0 255 7\n",
        "classes.json": b'{"road": [1, 2, 3], "car": [4, 5, 6]}',
        "train.txt": b"a\nb.png\n",
        "val.txt": b"c\n",
    }
    lines = st.lists(st.text(max_size=12) | st.sampled_from((*NAMES_OF_FILES, "a", "b", "road 1 2 3")), max_size=300)
    values = JSON | st.lists(st.text(), max_size=300)

    @searching(1200)
    @given(st.sampled_from(sorted(good)), EDITS, st.none() | lines, st.none() | values)
    @example("classes.txt", [], ["road 1 2 " + "9" * 5000], None)
    @example("classes.json", [], None, ["\ud800"])
    @example("classes.json", [("end", 0.0, b"[" * 6)], None, None)
    def search(name: str, edits: list[Any], text: list[str] | None, value: Any) -> None:
        for file in good:
            (root / file).unlink(missing_ok=True)
        data = edited(good[name], edits)
        if name == "classes.json" and value is not None:
            data = as_json(value)
        elif name != "classes.json" and text is not None:
            data = "\n".join(text).encode("utf-8", "surrogatepass")
        (root / name).write_bytes(data)
        if not name.startswith("classes"):
            (root / "classes.txt").write_bytes(good["classes.txt"])
        dataset = tally.take(lambda: load_dataset("folder", root), root / name, root / "images")
        if dataset is not None:
            assert isinstance(dataset.classes, Classes) and set(dataset.train.names) <= set(NAMES)
            write_json(tmp_path / "names.json", [*dataset.classes.names, *dataset.train.names])

    search()
    tally.tell("class lists and lists of images")


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    dataset_folder(tmp_path / "data")
    os.rename(tmp_path / "data" / "images" / "a.png", os.fsencode(tmp_path / "data" / "images") + b"/\xff.png")
    with pytest.raises(ValueError, match=r"images: expected file names in UTF-8, found '\\udcff\.png'"):
        load_dataset("folder", tmp_path / "data")


# ------------------------------------------------------------------------------------------------ parameters
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
YAML = (
    *(BOMB, BOMB + "thresholds: *a9\nbudget: *a11\n", "correction: {thresholds: &a [*a]}", "a: &a {b: *a}"),
    *("[" * 9999, "{" * 3000, "a: " + "9" * 6000, "a: !!int x", "a: !!float x", "a: !!bool x", "a: !!timestamp x"),
    *("a: 2001-13-45", "a: !!python/object/apply:os.system ['touch hacked']", "!!python/name:os.system ''", "1: 2"),
    *("? [a]\n: 1", "a: !!binary x", "a: !!set 1", "- 1", "null", "", "\0", "a: \ud800", "<<: [1]", "<<: 1", "a: b: c"),
    *("method: [a]", "method: {}", "method: null", "dataset: [1]", "acquisition: {a: 1}", "budget: .nan"),
    *("root: 'a\\0b'", f"root: {LONG}", "segmenter: 3", "correction: {thresholds: 3}", "pseudo_labels: {kind: [1]}"),
    *("scoring: null", "budget: 1e400", "seed: 9" + "9" * 50, "rounds: 1" + "0" * 400, "budget: [[[[1]]]]"),
)


def test_files_of_parameters(tmp_path: Path) -> None:
    good = [path.read_bytes() for path in sorted(Path("notebooks/params").glob("*.yaml"))]
    assert good
    tally, file = Tally(tmp_path), tmp_path / "p.yaml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        fields = tally.take(lambda: read_fields(file), file)
        config = tally.take(lambda: Experiment.from_file(file), file)
        assert config is None or fields is not None
        if config is not None:
            again = Experiment(**json.loads(json.dumps(config.model_dump(mode="json"))))
            assert again == config and Path(config.name).name == config.name and len(config.name) < 100

    @searching(400)
    @given(st.sampled_from(good), EDITS)
    def search(data: bytes, edits: list[tuple[str, float, bytes]]) -> None:
        read(edited(data, edits))

    for text in YAML:
        read(text.encode("utf-8", "surrogatepass"))
    search()
    tally.tell("files of parameters")
    assert not Path("hacked").exists()


def test_fields_of_an_experiment(tmp_path: Path) -> None:
    whole = Experiment().model_dump(mode="json") | {"root": "x"}
    tally = Tally(tmp_path)
    names = (*whole, *whole["segmenter"], *whole["correction"], *whole["scoring"], *whole["pseudo_labels"])

    def make(fields: dict[str, Any]) -> None:
        config = tally.take(lambda: Experiment(**fields), *names, *fields)
        if config is not None:
            assert Experiment(**config.model_dump(mode="json")).name == config.name
            assert config.masks_per_round(1000) >= 1

    @searching(1500)
    @given(PLACES.filter(bool), JSON, st.sampled_from(sorted(METHODS)))
    def search(path: list[int], new: Any, method: str) -> None:
        make({**changed(whole, path, new), **({"method": method} if path[0] % 3 == 0 else {})})

    search()
    tally.tell("fields of an experiment")
    with pytest.raises(ValueError, match=r"superpixels\.sides: no such field; did you mean 'side'\? \(known: algo"):
        Experiment(pseudo_labels={"kind": "superpixels", "superpixels": {"sides": 3}})


# ------------------------------------------------------------------------------------------------ run folders
class Stop(Exception):
    """Ends a run before its last stage."""


def put_back(folder: Path, files: dict[str, bytes]) -> None:
    """The folder as it was."""
    now = files_of(folder)
    for name in now.keys() - files.keys():
        (folder / name).unlink()
    for name, content in files.items():
        if now.get(name) != content:
            (folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    dataset_folder(folder / "data")
    (folder / "data" / "val.txt").write_text("c\n")
    go_on(SETTINGS | {"root": str(folder / "data")}, folder / "runs")
    return folder


@pytest.fixture
def finished(played: Path) -> Iterator[Path]:
    """A finished run and its dataset, put back after the test."""
    files = files_of(played / "runs")
    yield played
    put_back(played / "runs", files)


OTHER = st.sampled_from(("edit", "edit", "edit", "json", "json", "swap", "empty", "zeros"))


def damage(files: dict[str, bytes], name: str, how: str, edits: Any, path: list[int], new: Any, other: str) -> bytes:
    """What the file `name` holds instead."""
    if how == "swap":
        return files[other]
    if how == "json" and name.endswith(".json"):
        return as_json(changed(json.loads(files[name]), path, new))
    if how == "json" and name.endswith(".jsonl"):
        lines = changed([json.loads(line) for line in files[name].splitlines()], path, new)
        return b"\n".join(map(as_json, lines if isinstance(lines, list) else [lines]))
    return {"empty": b"", "zeros": bytes(len(files[name]))}.get(how, edited(files[name], edits))


def test_files_of_a_finished_run(finished: Path) -> None:
    """Reading all of it. What has a checksum is either read as it was or refused."""
    runs, fields = finished / "runs", SETTINGS | {"root": str(finished / "data")}
    files, run = files_of(runs), Run.open(runs / Experiment(**fields).name)
    tally, names = Tally(finished), sorted(files)

    def read() -> None:
        look(Run.open(run.path))
        go_on(fields, runs)

    @searching(130)
    @given(st.sampled_from(names), OTHER, EDITS, PLACES, JSON, st.sampled_from(names))
    def search(name: str, how: str, edits: Any, path: list[int], new: Any, other: str) -> None:
        put_back(runs, files)
        before, content = values(runs / name), damage(files, name, how, edits, path, new, other)
        (runs / name).write_bytes(content)
        tally.take(read, runs / name, run.path, runs / PurePath(name).parent)
        if how == "edit" and name.endswith((".parquet", ".png", ".safetensors")):
            now = tally.take(lambda: values(runs / name), runs / name)
            assert now is None or now == before

    search()
    tally.tell("files of a finished run")


def test_files_of_a_run_that_goes_on(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the second round was begun and all its stages but the last are there."""
    runs, fields = finished / "begun", SETTINGS | {"root": str(finished / "data")}
    end = RoundFolder.end

    def stop(folder: RoundFolder, stage: str, seconds: float | None = None) -> None:
        if (folder.path.name, stage) == ("round_02", "trained"):
            raise Stop
        end(folder, stage, seconds)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(RoundFolder, "end", stop)
        go_on(fields, runs)
    files, run = files_of(runs), runs / Experiment(**fields).name
    tally, names = Tally(finished), sorted(files)
    stages = json.loads(files[f"{run.name}/round_02/state.json"])["finished"]

    @searching(70)
    @given(st.sampled_from(names), st.integers(0, 4), OTHER, EDITS, PLACES, JSON, st.sampled_from(names))
    def search(name: str, done: int, how: str, edits: Any, path: list[int], new: Any, other: str) -> None:
        put_back(runs, files)
        write_json(run / "round_02" / "state.json", {"finished": dict(list(stages.items())[:done])})
        (runs / name).write_bytes(damage(files, name, how, edits, path, new, other))
        tally.take(lambda: go_on(fields, runs), runs / name, run, runs / PurePath(name).parent)

    search()
    tally.tell("files of a run that goes on")


FOUND = (  # by the searches above
    ("*/provenance.json", {"masks": None}, "expected the name of the masks, found None"),
    ("*/provenance.json", {"data": 3}, "holds another run: data: wanted"),
    ("*/config.json", [], "expected a JSON object with dataset, found"),
    ("*/config.json", {"method": ["a2lc"]}, "method: expected one of .* found"),
    ("*/round_02/state.json", {"finished": ["scored"]}, "expected the seconds of each finished stage, found"),
    ("*/round_02/metrics.json", [1], "expected a JSON object with round, found"),
    ("*/round_02/answers.jsonl", {"image": "a", "mask_id": 1, "label": 1}, "expected 2 answers, found 1"),
    ("*/round_02/answers.jsonl", {"image": "a", "mask_id": 1, "label": 1.5}, "expected image, mask_id and label"),
    ("shared/*/masks.json", {"names": 3}, "expected a list of names, found 3"),
    ("shared/*/model-*/training.json", {"segmenter": 3}, "argument after .* must be a mapping"),
)


@pytest.mark.parametrize(("pattern", "value", "message"), FOUND)
def test_what_was_found_stays_mended(finished: Path, pattern: str, value: Any, message: str) -> None:
    runs, fields = finished / "runs", SETTINGS | {"root": str(finished / "data"), "rounds": 3}
    file = next(runs.glob(pattern))
    whole = read_json(file) if file.suffix == ".json" else {}
    file.write_bytes(as_json(whole | value if isinstance(value, dict) else value))
    with pytest.raises(ValueError, match=f"{re.escape(str(file.parent))}.*{message}"):
        go_on(fields, runs)
        look(Run.open(runs / Experiment(**fields).name))


def test_files_of_another_round_are_refused(finished: Path) -> None:
    """Tables of the same columns and size, but about other masks."""
    runs = finished / "runs"
    files, run = files_of(runs), Run.open(next(runs.glob("folder-*")))
    shutil.copyfile(run.path / "round_02" / "answers.jsonl", run.path / "round_01" / "answers.jsonl")
    with pytest.raises(ValueError, match=r"answers\.jsonl: expected an answer to each query, found another: {'image'"):
        run.queries(1)
    put_back(runs, files)
    shutil.copyfile(run.path / "round_02" / "queries.parquet", run.path / "round_02" / "scores.parquet")
    write_parquet(run.path / "round_02" / "queries.parquet", pd.DataFrame({"row": [7, 10**6], "score": [1.0, 1.0]}))
    with pytest.raises(ValueError, match=r"queries\.parquet: expected row numbers in 0\.\.1\. Remove"):
        run.queries(2)
    put_back(runs, files)


def test_names_in_a_run_stay_in_their_folder(finished: Path) -> None:
    """Names of images and masks in JSON are names of files, too."""
    runs, fields = finished / "runs", SETTINGS | {"root": str(finished / "data")}
    files, run = files_of(runs), runs / Experiment(**fields).name
    masks, classes = next(runs.glob("shared/*/masks.json")), Run.open(run).masks(0).classes
    for name in ("../../../elsewhere", "/elsewhere", "a\0b"):
        write_json(masks, json.loads(masks.read_bytes()) | {"names": [name, "b"]})
        with pytest.raises(ValueError, match="expected the name of a file in it, found"):
            Run.open(run).masks(0)
        with pytest.raises(ValueError, match="expected the name of a file in it, found"):
            MaskSet.from_maps(classes, [name], {name: np.ones((2, 2), int)}, {name: {1: 0}}).save(finished / "x")
        put_back(runs, files)
        write_json(run / "provenance.json", json.loads((run / "provenance.json").read_bytes()) | {"masks": name})
        with pytest.raises(ValueError, match="expected the name of a file in it, found"):
            Run.open(run).masks(0)
        put_back(runs, files)


# ------------------------------------------------------------------------------------------------ what a person said
@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person has answered two queries, and then one correction was proposed, decided and undone."""
    folder = tmp_path_factory.mktemp("waiting")
    dataset_folder(folder / "data")
    (folder / "data" / "val.txt").write_text("c\n")
    fields = SETTINGS | {"root": str(folder / "data"), "annotator": "human", "budget": 2, "rounds": 2}
    run = go_on(fields | {"rounds": 1}, folder / "runs")
    undo_corrections(run, automatic_corrections(run)[["image", "mask_id"]].head(1).itertuples(index=False, name=None))
    run = a2lc.run(Experiment(**fields), folder / "runs", device="cpu", segmenter=Colours, progress=False)
    queue = Queue(run)
    queue.answer("road", seconds=1.0)
    queue.answer("skip", seconds=1.0)
    queue.undo()
    return folder


LINE: dict[str, Any] = {"image": "a", "mask_id": 1, "label": 1, "position": 0, "time": "2025", "seconds": 1.5}
LINE |= {"source": "me", "undo": False}  # of an answer; and of the two other kinds:
LINE |= {"decision": "rejected", "after_round": 1, "round": 1, "confidence": 0.5}
LINES = st.lists(st.tuples(PLACES, JSON, st.integers(1, 9)), min_size=1, max_size=3)


def lines_of(given: list[tuple[list[int], Any, int]]) -> bytes:
    """JSON lines, each with something else at one place."""
    return b"".join(as_json(changed(LINE | {"mask_id": mask}, path, new)) + b"\n" for path, new, mask in given)


def test_what_a_person_said(waiting: Path) -> None:
    """Answers, approvals and undone corrections, as lines of JSON: the queue, the approval and the next round."""
    runs = waiting / "runs"
    files, run = files_of(runs), Run.open(next(runs.glob("folder-*")))
    first, second = run.path / "round_01", run.path / "round_02"
    tally, table = Tally(waiting), run.masks(0).table
    logs = {"answers": second / "answers.jsonl", "approvals": first / "approvals.jsonl"}
    logs["undone"] = run.path / "undone.jsonl"

    def answers() -> None:
        queue = Queue(run)
        assert queue.answered + queue.skipped + len(queue.pending) == len(queue) == 2
        queue.answer("void", position=0)
        queue.close(enough=True)
        assert set(run.folder(2).answered_labels(table)) <= {0, 1, 2, 255}

    def approvals() -> None:
        state = {"finished": dict.fromkeys(("scored", "queried", "answered"), 1), "waits_for": "approval"}
        (first / "state.json").write_bytes(as_json(state))
        (first / "approved.parquet").unlink(missing_ok=True)
        approval = Approval(run)
        assert set(approval.table["decision"]) <= {"", "approved", "rejected"}
        approval.close(enough=True)

    def undone() -> None:
        assert len(run.masks(1)) == len(table)
        next_round(run, enough=True, device="cpu", segmenter=Colours, progress=False)

    @searching(160)
    @given(st.sampled_from((answers, answers, approvals, undone)), LINES | st.none(), EDITS)
    @example(approvals, [([0], "gone", 1)], [])
    @example(approvals, [([0], [1], 1)], [])
    @example(undone, [([0], "gone", 1)], [])
    @example(undone, [([5], "gone", 1), ([0], {}, 1)], [])
    def search(call: Callable[[], None], lines: Any, edits: Any) -> None:
        log = logs[call.__name__]
        good = files.get(str(log.relative_to(runs)), as_json(LINE) + b"\n")
        put_back(runs, files)
        log.write_bytes(edited(good if lines is None else lines_of(lines), edits))
        tally.take(call, log)

    search()
    put_back(runs, files)
    tally.tell("answers, approvals and undone corrections")


def test_tables_of_answers(waiting: Path) -> None:
    runs = waiting / "runs"
    files, run = files_of(runs), Run.open(next(runs.glob("folder-*")))
    tally, file = Tally(waiting), waiting / "queue.csv"
    write_queue(Queue(run), file)
    good, words = file.read_bytes(), st.sampled_from(("road", "confirm", "void", "skip", "", "x", "7", '"', ";", LONG))

    @searching(160)
    @given(EDITS, st.none() | st.lists(words, max_size=3))
    @example([("set", 0.9, b"\r\r\n")], None)
    @example([("insert", 0.5, b"\0")], None)
    def search(edits: Any, said: list[str] | None) -> None:
        lines = good.splitlines(keepends=True)
        if said is not None:
            filled = zip(lines, ["", *said], strict=False)
            lines = [line.rstrip(b"\r\n") + word.encode() + b"\n" for line, word in filled]
        put_back(runs, files)
        file.write_bytes(edited(b"".join(lines), edits))
        new = tally.take(lambda: read_queue(Queue(run), file), file)
        assert new is not None or files_of(runs) == files  # all of it or nothing
        assert new is None or 0 <= new <= 2

    search()
    tally.tell("tables of answers")


def test_folders_of_changes(tmp_path: Path) -> None:
    """Label files are written, so nothing but those of the dataset may be; all of them or none."""
    root, changes = tmp_path / "data", tmp_path / "changes"
    dataset_folder(root)
    shutil.copytree(root / "ground_truth", root / "labels")
    write_label_png(root / "labels" / "a.png", np.where(read_label_png(root / "labels" / "a.png") == 0, 1, 2))
    shutil.copytree(root / "labels", tmp_path / "elsewhere")
    fields = SETTINGS | {"root": str(root), "pseudo_labels": {"kind": "own_labels"}, "budget": 4, "rounds": 1}
    write_changes(go_on(fields, tmp_path / "runs"), changes)
    labels, files, tally = files_of(root / "labels"), files_of(changes), Tally(root)
    assert apply_changes(changes, root) >= 1
    put_back(root / "labels", labels)
    names = [name for name in files if "overlays" not in name]
    about = json.loads(files["about.json"])

    @searching(400)
    @given(st.sampled_from((CHANGES, *names)), EDITS, st.none() | st.sampled_from(NAMES_OF_FILES), PLACES, JSON)
    @example(CHANGES, [], "../../elsewhere/a", [], None)
    def search(name: str, edits: Any, image: str | None, path: list[int], new: Any) -> None:
        content = edited(files[name], edits)
        if name == "about.json" and path:
            content = as_json(changed(about, path, new))
        if name == CHANGES and image is not None:
            content = content.replace(b"\na,", f"\n{image},".encode("utf-8", "surrogatepass"))
        put_back(root / "labels", labels)
        put_back(changes, files)
        (changes / name).write_bytes(content)
        done = tally.take(lambda: apply_changes(changes, root), changes / name, changes, root)
        assert done is not None or files_of(root / "labels") == labels

    search()
    put_back(root / "labels", labels)
    put_back(changes, files)
    tally.tell("folders of changes")
    for name in ("masks", "before"):  # a list that leads out, with all that it leads to
        shutil.copytree(changes / name, tmp_path / "elsewhere", dirs_exist_ok=True)
    (changes / CHANGES).write_bytes(files[CHANGES].replace(b"\na,", b"\n../../elsewhere/a,"))
    with pytest.raises(ValueError, match=r"(?s)changes\.csv: .*expected the name of a file in it, found '\.\./"):
        apply_changes(changes, root)


# ------------------------------------------------------------------------------------------------ nothing is unpickled
class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_any_file_is_refused(finished: Path, tmp_path: Path) -> None:
    """Each file of a run, pictures and the four kinds of weights; as a pickle and as a checkpoint that holds one."""
    mark, runs, buffer = tmp_path / "hacked", finished / "runs", io.BytesIO()
    torch.save({"model_state": Evil(mark), "model": Evil(mark)}, buffer)
    payloads = {"pickle": pickle.dumps(Evil(mark), protocol=2), "checkpoint": buffer.getvalue()}
    pickle.loads(payloads["pickle"])
    assert mark.is_dir()  # it would
    mark.rmdir()
    files, run = files_of(runs), Run.open(next(runs.glob("folder-*")))
    model = build_segmenter(run.config.segmenter, 3, "cpu")
    refused = 0
    for payload in payloads.values():
        (tmp_path / "x").write_bytes(payload)
        readers: tuple[Callable[[Path], Any], ...] = (
            *(model.load, from_released_checkpoint, load_state, read_arrays, read_parquet, read_json),
            *(read_image, read_label_png, read_fields),
        )
        for read in readers:
            with WATCH.on(tmp_path), pytest.raises(ValueError, match=str(tmp_path / "x")):
                read(tmp_path / "x")
            refused += 1
        for name in files:
            (runs / name).write_bytes(payload)
            with WATCH.on(finished), pytest.raises(ValueError, match=Path(name).name):
                read_any(runs / name)
            put_back(runs, files)
            refused += 1
        assert not mark.exists()
    print(f"{refused} pickles in place of files: all refused, none executed")


def read_any(path: Path) -> None:
    """As the package reads a file of this kind."""
    if path.suffix == ".jsonl":
        RoundFolder(path.parents[1], int(path.parent.name[-2:])).read_answers()
    else:
        readers = {".json": read_json, ".parquet": read_parquet, ".safetensors": read_arrays, ".png": read_label_png}
        readers[path.suffix](path)


FORBIDDEN = {
    "builtins": {"eval", "exec", "compile", "__import__"},
    "os": {"system", "popen"},
    "yaml": {"load", "load_all", "unsafe_load", "full_load"},
    **dict.fromkeys(("pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"), {"load", "loads", "Unpickler"}),
    "pd": {"read_pickle"},
    "pandas": {"read_pickle"},
    "shutil": {"unpack_archive"},
    "tarfile": {"open"},
    "zipfile": {"ZipFile"},
}


def test_no_line_of_the_package_unpickles() -> None:
    """Calls that would run what a file says; `torch.load` only with weights_only, `numpy.load` without pickles."""
    found, loads = [], 0
    for path in sorted(Path(a2lc.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            module, _, name = called.rpartition(".")
            said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            where = f"{path.name}:{node.lineno}: {called}"
            if name in FORBIDDEN.get(module or "builtins", ()) or said.get("shell") == "True":
                found.append(where)
            if called in ("torch.load", "load_state_dict_from_url", "torch.hub.load_state_dict_from_url"):
                loads += 1
                found += [] if said.get("weights_only") == "True" else [where]
            if called in ("np.load", "numpy.load") and said.get("allow_pickle", "False") != "False":
                found.append(where)
    assert found == [] and loads >= 2
