"""Datasets drawn at random, each by its number, through load, masks, answers and write-back: does anything change that
nobody asked for? `python benchmarks/conventions.py --random 10000`; `--random 1 --seed NUMBER` is one of them again.

Drawn are format, mode and bit depth, ids with gaps and ranges, palettes, colours, void and its value, names of images
and classes (spaces, umlauts, a leading ``=``, folders), the order of all of them, sizes from 1 x 1, regions of any
size, and which masks are answered with what. Runs are made by hand: nothing is trained.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from conventions import check, files_of, run_by_hand, stored
from conventions_made import grey_png, picture, put, save
from PIL import Image
from skimage.measure import label as connected_regions

from a2lc.datasets import load_dataset
from a2lc.files import LabelFile
from a2lc.human.write_back import write_back
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.own_labels import own_label_masks

KINDS = (
    *("png 1", "png 2", "png 4", "png 8", "png 16", "png P2", "png P4", "png P8", "png LA", "png RGB", "png RGBA"),
    *("tif 8", "tif 16", "tif P8", "tif RGB", "tif LA", "bmp 1", "bmp 8", "bmp P8", "bmp RGB", "webp RGB", "webp RGBA"),
)
LETTERS = "abAZ09 _-=+@.,;'()äßñ日é#%&{}$~"
REFUSED = "the labels hold nothing but 0"  # of two classes: is the other value void, or the second class?
CLASSES = (
    "road",
    "no",
    "=1+1",
    "traffic light",
    "Straße",
    "a, b",
    "0",
    "yes",
    "树",
    "confirm it",
    "x: y",
    "- z",
    "null",
)


@dataclass(frozen=True)
class Drawn:
    """A dataset that was drawn.

    Attributes:
        kind: one of `KINDS`.
        names: of the K classes.
        values: of the classes, and behind them of void where it has one: an id, or 0xRRGGBB.
        others: further values that mean the same, (value, class).
        maps: image name -> (H, W) positions in `values`.
        said: dataset.yaml; "" where there is none.
        palette: (n, 3) of files that have one.
    """

    kind: str
    names: tuple[str, ...]
    values: tuple[int, ...]
    maps: dict[str, np.ndarray]
    said: str
    listed: str
    palette: np.ndarray
    tiff: dict[str, object]

    @property
    def suffix(self) -> str:
        return self.kind.partition(" ")[0]

    @property
    def mode(self) -> str:
        return self.kind.partition(" ")[2]


def draw(number: int) -> Drawn:
    """The dataset of this number."""
    rng = np.random.default_rng(number)
    kind = str(rng.choice(KINDS))
    mode = kind.partition(" ")[2]
    coloured = mode.startswith("RGB") or (mode.startswith("P") and rng.random() < 0.3)
    bits = 8 if mode.startswith("RGB") or mode == "LA" else int(mode.lstrip("P"))
    room = min(2**bits, 65536)
    palette = rng.permutation(4096)[:room] * 4093 % (1 << 24)  # of room distinct colours
    k = int(rng.integers(1, min(room, 6)) if room > 2 else rng.integers(1, 3))
    has_void = bool(rng.random() < 0.7) and k < room
    names = tuple(str(name) for name in rng.choice(CLASSES, k, replace=False))
    plain = not coloured and rng.random() < 0.4
    if coloured:
        values = palette[rng.permutation(min(room, len(palette)))[: k + has_void]]
    elif plain:  # positions in the list, and void 255 or a value of its own
        has_void = has_void and room > k
        own = int(rng.integers(k, min(room, 256))) if room > k else 255
        void = 255 if room > 255 and rng.random() < 0.5 else own
        values = np.array([*range(k), void][: k + has_void])
    else:
        values = rng.choice(room, k + has_void, replace=False)
    found = [int(value) for value in values]
    said, listed = written_down(rng, names, found, has_void, coloured, bool(plain))
    maps = {name: regions(rng, len(found), first=not i) for i, name in enumerate(image_names(rng))}
    colours = np.stack([palette >> 16, palette >> 8 & 255, palette & 255], -1).astype(np.uint8)
    tiff = {"byteorder": rng.choice(["<", ">"]), "compression": rng.choice([None, "zlib"])}
    tiff |= {"tile": (16, 16)} if rng.random() < 0.3 else {"rowsperstrip": int(rng.integers(1, 9))}
    return Drawn(kind, names, tuple(found), maps, said, listed, colours, tiff)


def written_down(
    rng: np.random.Generator, names: tuple[str, ...], values: list[int], has_void: bool, coloured: bool, plain: bool
) -> tuple[str, str]:
    """dataset.yaml and classes.json, its entries in any order."""
    every = [*names, "void"][: len(values)]
    order = rng.permutation(len(values)).tolist()
    if plain:
        void = values[-1] if has_void else 255
        return "", json.dumps({"classes": names, "ignore_index": void} if void != 255 else names)
    if coloured:
        entries = {every[i]: [values[i] >> 16, values[i] >> 8 & 255, values[i] & 255] for i in order}
        return "colours:\n" + "".join(f"  {json.dumps(name)}: {c}\n" for name, c in entries.items()), json.dumps(names)
    lines = []
    for i in order:
        free = min((value for value in values if value > values[i]), default=65536) - 1
        last = int(rng.integers(values[i], free + 1)) if rng.random() < 0.3 else values[i]
        key = f"{values[i]}-{last}" if last > values[i] else f"{values[i]}"
        lines.append(f"  {key}: {json.dumps(every[i])}\n")
    if rng.random() < 0.3:
        lines.insert(int(rng.integers(len(lines) + 1)), f"  else: {json.dumps(str(rng.choice([*names, 'void'])))}\n")
    return "ids:\n" + "".join(lines), json.dumps(names)


def image_names(rng: np.random.Generator) -> list[str]:
    """One to three, some in folders; none is another's folder, or begins with a dot."""
    names: list[str] = []
    while len(names) < 1 + number_of(rng, 3):
        parts = ["".join(rng.choice(list(LETTERS), int(rng.integers(1, 9)))) for _ in range(1 + number_of(rng, 2))]
        if all(part.strip(".") and not part.startswith(".") for part in parts):
            names = [*names, "/".join(parts)] if "/".join(parts) not in names else names
    return names


def number_of(rng: np.random.Generator, end: int) -> int:
    return int(rng.integers(end))


def regions(rng: np.random.Generator, count: int, first: bool) -> np.ndarray:
    """(H, W) positions of values, in blocks."""
    height, width = (int(rng.choice([1, 2, 3, 7, 8, 9, 16, 17, 33])) for _ in range(2))
    block = int(rng.choice([1, 2, 5, 8, 40]))
    blocks = rng.integers(0, count, (-(-height // block), -(-width // block)))
    if first:
        blocks[0, 0] = 0  # at least one mask
    return blocks.repeat(block, 0).repeat(block, 1)[:height, :width].astype(np.int64)


# ------------------------------------------------------------------------------------------------ writing and reading
def write_label(path: Path, drawn: Drawn, positions: np.ndarray) -> None:
    """A label file, by Pillow, tifffile or byte by byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.array(drawn.values)[positions]
    kind, mode = drawn.suffix, drawn.mode
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    if mode.startswith("RGB"):
        pixels = np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8)
        if mode == "RGBA":
            pixels = np.dstack([pixels, (ids * 7 % 256).astype(np.uint8)])
        save(path, pixels, **options)
    elif mode == "LA":
        save(path, np.stack([ids, ids * 7 % 256], -1).astype(np.uint8))
    elif mode == "1":
        save(path, Image.fromarray(ids == 1))
    elif mode.startswith("P"):
        packed = drawn.palette.astype(np.int64) @ [65536, 256, 1]
        stored_ids = np.argmax(packed == ids[..., None], -1) if drawn.said.startswith("colours") else ids
        image = Image.fromarray(stored_ids.astype(np.uint8))
        image.putpalette(drawn.palette.tobytes())
        save(path, image, **({"bits": int(mode[1:])} if kind == "png" else {}))
    elif mode in ("2", "4"):
        grey_png(int(mode))(path, ids.astype(np.uint8))
    elif kind == "tif":
        tifffile.imwrite(path, ids.astype(np.uint16 if mode == "16" else np.uint8), metadata=None, **drawn.tiff)
    else:
        save(path, ids.astype(np.uint16 if mode == "16" else np.uint8))


def make(drawn: Drawn, root: Path) -> None:
    for name, positions in drawn.maps.items():
        save(root / "images" / f"{name}.png", picture(positions % 3))
        write_label(root / "labels" / f"{name}.{drawn.suffix}", drawn, positions)
    put(root / "classes.json", drawn.listed)
    if drawn.said:
        put(root / "dataset.yaml", drawn.said)


def try_one(number: int, folder: Path) -> None:
    """Raise `ValueError` where something changed, or was read, that should not."""
    drawn, root = draw(number), folder / "data"
    rng = np.random.default_rng([number, 1])
    make(drawn, root)
    before = files_of(root)
    data = load_dataset("folder", root)
    k, void = len(drawn.names), data.classes.ignore_index
    table = np.array([*range(k), void], np.uint8)
    check(set(data.train.names) == {*drawn.maps}, f"found images {data.train.names}, not {[*drawn.maps]}")
    for name, positions in drawn.maps.items():
        check(np.array_equal(data.train.pseudo_labels(name), table[positions]), f"other labels of {name!r}")
    corner = connected_regions(next(iter(drawn.maps.values())) + 1, connectivity=2)
    least = int(rng.integers(min(16, (corner == corner[0, 0]).sum()))) + 1  # so that one mask is left
    masks = own_label_masks(data.train, data.classes, min_area=least, progress=False)
    rows = np.sort(rng.permutation(len(masks))[: int(rng.integers(0, len(masks) + 1))])
    answers = table[: len(drawn.values)]  # those with a value that fits into the file
    labels = rng.choice(answers, len(rows)).astype(np.int64)
    run = run_by_hand(root, data, masks, rows, labels)
    write_back(run, folder / "same", round=0)
    check(files_of(folder / "same") == before, "without answers: other bytes")
    write_back(run, folder / "out")
    check(files_of(root) == before, "the dataset itself was written to")
    check_answers(drawn, root, folder / "out", masks, dict(zip(rows.tolist(), labels.tolist(), strict=True)), before)


def check_answers(
    drawn: Drawn, root: Path, out: Path, masks: MaskSet, answers: dict[int, int], before: dict[str, bytes]
) -> None:
    """The files hold the values of the answers in their masks, and what they held elsewhere."""
    after, data = files_of(out), load_dataset("folder", out)
    check(after.keys() == before.keys(), "other files")
    position_of = {label: k for k, label in enumerate([*range(len(drawn.names)), data.classes.ignore_index])}
    for name, positions in drawn.maps.items():
        file, new = f"labels/{name}.{drawn.suffix}", positions.copy()
        objects, table = masks.object_map(name), masks.table.iloc[masks.rows(name)]
        for row, mask_id in zip(range(len(masks))[masks.rows(name)], table["mask_id"], strict=True):
            if row in answers:
                new[objects == mask_id] = position_of[answers[row]]
        check(before[f"images/{name}.png"] == after[f"images/{name}.png"], f"another picture of {name!r}")
        check((new != positions).any() or before[file] == after[file], f"{file}: other bytes without an answer")
        label = LabelFile(after[file], file)
        values = label.colours() if drawn.said.startswith("colours") else label.ids()
        check(np.array_equal(values, np.array(drawn.values)[new]), f"{file}: other values")
        one, two = stored(root / file), stored(out / file)
        check(one.shape == two.shape and one.dtype == two.dtype, f"{file}: another depth")
        different = (one != two).any(-1) if one.ndim == 3 else one != two
        check(np.array_equal(different, new != positions), f"{file}: other pixels than those answered")
        wanted = np.array([*range(len(drawn.names)), data.classes.ignore_index])[new]
        check(np.array_equal(data.train.pseudo_labels(name), wanted), f"{file}: reads otherwise")


def try_many(count: int, first: int = 0, seconds: float = float("inf")) -> int:
    """Print what came of them; 1 where something changed silently."""
    began, done, refused = time.perf_counter(), 0, 0
    wrong: list[int] = []
    for number in range(first, first + count):
        if time.perf_counter() - began > seconds:
            break
        done += 1
        with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                try_one(number, Path(temporary))
            except Exception as error:
                if str(error).startswith(REFUSED):
                    refused += 1
                    continue
                wrong.append(number)
                print(f"{number}, {draw(number).kind}: {type(error).__name__}: {error}", flush=True)
    took = time.perf_counter() - began
    told = f"{len(wrong)} with a fault, {refused} refused with a sentence, {took:.0f} s"
    print(f"{done} datasets, numbers {first} to {first + done - 1}: {told}")
    return int(len(wrong) > 0)
