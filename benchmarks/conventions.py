"""Is every convention of label files read, corrected and written back exactly? `python benchmarks/conventions.py --out
paper_figures`; `--random N` tries N datasets drawn at random instead (`conventions_random.py`).

Each of `conventions_cases.py` and `conventions_formats.py` is a small dataset whose labels are known, made here by
Pillow, tifffile, pycocotools, PyArrow or byte by byte:

- reads: the package's labels, and pictures where they are in question, are the known ones;
- corrects: one of its masks is answered in a run's folder, and in the files exactly the pixels of this mask are others,
  by Pillow or tifffile as well; applied to the dataset itself and taken back, it is the same bytes, modes and links;
- identically: written back without an answer, all files are the same bytes.

What cannot be exact has to be refused, with a sentence that names the file, what was found, what was expected and what
to type. Ends with status 1 where one of them fails. Writes conventions.csv and conventions.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from conventions_cases import PLAIN, REFUSED, Refusal
from conventions_formats import FORMATS, Source
from conventions_made import VOID, Made, Maker
from PIL import Image

from a2lc.datasets import Dataset, load_dataset
from a2lc.files import write_json, write_text
from a2lc.formats import export_source, import_dataset
from a2lc.human.exports import labels_of_run
from a2lc.human.own_dataset import own_experiment
from a2lc.human.write_back import apply_changes, revert_changes, write_back
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.own_labels import label_hashes, own_label_masks
from a2lc.runs import SHARED, STAGES, Run
from a2lc.stages.names import LABEL_HASHES

QUICK = {"instant": {"features": "colour"}, "lcm": False, "rounds": 1, "budget": 0.99}
STEPS = ("reads", "corrects", "writes back identically")
Row = dict[str, str]


def check(holds: bool | np.bool_, what: str) -> None:
    """Raise `ValueError` where something does not hold."""
    if not holds:
        raise ValueError(what)


# ------------------------------------------------------------------------------------------------ plain folders
def try_plain(make: Maker, folder: Path) -> None:
    """Raise `ValueError`, which begins with the step that failed."""
    root = folder / "data"
    made = make(root)
    check_reads(load_dataset("folder", root), made)
    run, name, mask, label = one_answer(root)
    before, modes = files_of(root), modes_of(root)

    write_back(run, folder / "same", round=0)
    check(files_of(folder / "same") == before, f"{STEPS[2]}: other bytes")

    out = folder / "out"
    write_back(run, out)
    changed = check_corrected(load_dataset("folder", out), made, name, mask, label)
    after = files_of(out)
    check(after.keys() == before.keys(), "corrects: other files")
    others = [file for file in before if before[file] != after[file]]
    check(len(others) == 1, f"corrects: expected one file with other bytes, found {others}")
    check(
        (stored_differently(root / others[0], out / others[0]) == changed).all(), "corrects: other pixels in the file"
    )

    if root.stat().st_mode & 0o200:
        apply_changes(out / "changes", root)
        check(files_of(root) == after, "corrects: the dataset itself became something else than the copy")
        check(modes_of(root) == modes, "corrects: other modes or links")
        revert_changes(out / "changes", root)
    check(files_of(root) == before and modes_of(root) == modes, f"{STEPS[2]}: other bytes after --revert")


def check_reads(dataset: Dataset, made: Made) -> None:
    check(set(dataset.train.names) == set(made.labels), f"reads: found images {dataset.train.names}")
    for name, labels in made.labels.items():
        found = dataset.train.pseudo_labels(name)
        check(found is not None and np.array_equal(found, void_as(labels, dataset)), f"reads: other labels of {name}")
    for name, picture in made.pictures.items():
        check(np.array_equal(dataset.train.image(name), picture), f"reads: another picture of {name}")


def check_corrected(dataset: Dataset, made: Made, name: str, mask: np.ndarray, label: int) -> np.ndarray:
    """All labels are what they were, but for the mask; the pixels that are others."""
    for other, labels in made.labels.items():
        wanted = void_as(labels, dataset)
        if other == name:
            wanted = np.where(mask, label, wanted)
        check(np.array_equal(dataset.train.pseudo_labels(other), wanted), f"corrects: other labels of {other}")
    changed: np.ndarray = mask & (void_as(made.labels[name], dataset) != label)
    return changed


def one_answer(root: Path, object_maps: Path | None = None) -> tuple[Run, str, np.ndarray, int]:
    """A finished run with one answer: image, (H, W) bool mask, and the class that it was given."""
    data = load_dataset("folder", root)
    masks = own_label_masks(data.train, data.classes, object_maps=object_maps, progress=False)
    row = max(range(len(masks)), key=lambda row: (masks.table["label"].iloc[row] == 1, -row))
    label = 0 if masks.table["label"].iloc[row] == 1 else 1
    run = run_by_hand(root, data, masks, np.array([row]), np.array([label]))
    name, mask_id = masks.table.iloc[row][["image", "mask_id"]]
    return run, str(name), masks.object_map(str(name)) == mask_id, label


def run_by_hand(root: Path, data: Dataset, masks: MaskSet, rows: np.ndarray, labels: np.ndarray) -> Run:
    """The folder of a finished run in which these masks, rows of the table, were answered; nothing is trained."""
    runs = root.parent / "runs"
    run = Run.create(own_experiment(root, **QUICK), runs, {"data": {}, "masks": "masks"})
    masks.save(runs / SHARED / "masks")
    write_json(runs / SHARED / "masks" / LABEL_HASHES, label_hashes(data.train))
    masks.save_state(run.folder(0).path / "masks.parquet")
    masks.relabel(rows, labels, source="annotator", round=1).save_state(run.folder(1).path / "masks.parquet")
    for number, stages in ((0, ("trained",)), (1, STAGES)):
        for stage in stages:
            run.folder(number).begin(stage)
            run.folder(number).end(stage)
    return run


def void_as(labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """With the ignore index of the dataset for void."""
    return np.where(labels == VOID, dataset.classes.ignore_index, labels).astype(np.uint8)


def files_of(folder: Path) -> dict[str, bytes]:
    """Those of a dataset: name -> content."""
    extra = ("changes/", ".git/", "film.mp4", ".a2lc", "images/Thumbs.db", "images/.DS_Store", "labels/notes.md")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(extra)}


def modes_of(folder: Path) -> dict[str, tuple[int, bool]]:
    """File -> permissions, and whether it is a link."""
    return {name: ((folder / name).stat().st_mode, (folder / name).is_symlink()) for name in files_of(folder)}


def stored_differently(one: Path, two: Path) -> np.ndarray:
    """(H, W) bool, where two label files differ, read without this package."""
    before, after = (stored(path) for path in (one, two))
    check(before.shape == after.shape and before.dtype == after.dtype, "corrects: another size or depth")
    different: np.ndarray = before != after
    return different if different.ndim == 2 else different.any(axis=-1)


def stored(path: Path) -> np.ndarray:
    if path.suffix.lower() in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as file:
            if file.pages[0].compression not in (5, 32773):  # LZW and packbits, for which it asks for another package
                return np.asarray(file.asarray())
    with Image.open(path) as image:
        return np.asarray(image)


# ------------------------------------------------------------------------------------------------ other programs
def try_format(make: Callable[[Path], Source], folder: Path) -> None:
    """As `try_plain`, of a dataset that is imported, and exported again."""
    source, plain = make(folder / "source"), folder / "data"
    import_dataset(source.path, plain, progress=False)
    check_source(plain, source, source.labels)
    run, name, mask, label = one_answer(plain, plain / "objects")
    answer = source.names.index(run.masks(0).classes.names[label])
    for round, labels in ((0, source.labels), (1, np.where(mask, answer, source.labels))):
        masks, out = run.masks(round), folder / f"out{round}"
        single = next(source.root.glob("*.json"), None) if name.startswith("1a2b3c4d") else None
        target = out / single.name if single else out
        if (source.root / "annotations").is_dir():
            target = out / "annotations" / "instances.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        export_source(plain, labels_of_run(run, masks), masks.names, masks.classes.names, target)
        if round == 0:
            for path in (path for path in out.rglob("*") if path.is_file()):
                same = path.read_bytes() == (source.root / path.relative_to(out)).read_bytes()
                check(same, f"{STEPS[2]}: other bytes of {path.name}")
        again = folder / f"again{round}"
        shutil.copytree(source.root, again)
        shutil.copytree(out, again, dirs_exist_ok=True)
        import_dataset(again, folder / f"data{round}", progress=False)
        check_source(folder / f"data{round}", source, labels, STEPS[1] if round else STEPS[2])


def check_source(plain: Path, source: Source, labels: np.ndarray, step: str = STEPS[0]) -> None:
    dataset = load_dataset("folder", plain)
    (name,) = dataset.train.names
    table = np.full(256, dataset.classes.ignore_index, np.uint8)
    for k, class_name in enumerate(source.names):
        table[k] = dataset.classes.index(class_name)
    check(np.array_equal(dataset.train.pseudo_labels(name), table[labels]), f"{step}: other labels")


# ------------------------------------------------------------------------------------------------ refusals
def try_refusal(refusal: Refusal, folder: Path) -> str:
    """The sentence.

    Raises:
        ValueError: there is none, or something is missing in it.
    """
    root = folder / "data"
    refusal.make(root)
    told: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            train = load_dataset("folder", root).train
            for name in train.names:
                train.image(name)
            one_answer(root)
    except (ValueError, FileNotFoundError) as error:
        left_out = dict.fromkeys(f"{warning.message}; " for warning in told)
        said = " ".join(f"{''.join(left_out)}{error}".replace(f"{root}/", "").replace(str(root), "data").split())
        wanted = {
            "the file": refusal.file,
            "what was found": refusal.found,
            "what was expected": refusal.expected,
            "what to type": refusal.remedy,
        }
        if missing := [f"{what} ({word})" for what, word in wanted.items() if word not in said]:
            raise ValueError(f"does not name {', '.join(missing)}: {said}") from error
        check("\n" not in str(error).strip(), f"more than a sentence: {error}")
        return said
    raise ValueError("was taken without a word")


# ------------------------------------------------------------------------------------------------ table
def row_of(kind: str, name: str, attempt: Callable[[Path], str | None]) -> Row:
    """A row of the table: what was done, and what became of it."""
    row = {"kind": kind, "convention": name} | dict.fromkeys(STEPS, "yes" if kind != "refused" else "") | {"said": ""}
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)  # of pycocotools
        try:
            said = attempt(Path(temporary))
            row["said"] = said or ""
        except Exception as error:
            if not isinstance(error, (ValueError, FileNotFoundError)):
                traceback.print_exc()
            step = next((step for step in STEPS if str(error).startswith(step)), STEPS[0])
            row |= {step: "NO", "said": str(error)}
    print(kind, name, "NO: " + row["said"] if "NO" in row.values() else row["said"] or "yes", sep=" | ", flush=True)
    return row


def table_of(only: str = "") -> pd.DataFrame:
    """All conventions whose name contains `only`."""
    rows = [row_of("own files", name, lambda at, m=make: try_plain(m, at)) for name, make in chosen(PLAIN, only)]
    rows += [row_of("format", name, lambda at, m=make: try_format(m, at)) for name, make in chosen(FORMATS, only)]
    rows += [row_of("refused", name, lambda at, r=what: try_refusal(r, at)) for name, what in chosen(REFUSED, only)]
    return pd.DataFrame(rows)


def chosen(cases: dict[str, Any], only: str) -> list[tuple[str, Any]]:
    return [(name, case) for name, case in cases.items() if only.lower() in name.lower()]


def write_tables(table: pd.DataFrame, out: Path) -> None:
    """conventions.csv, and conventions.md for people."""
    write_text(out / "conventions.csv", table.to_csv(index=False, lineterminator="\n"))
    taken, refused = table[table["kind"] != "refused"], table[table["kind"] == "refused"]
    lines = [
        f"{len(taken)} conventions of label files, each two small images or one of another program. *Corrects*: one "
        "mask is answered in a run, and exactly its pixels change. *Identically*: without an answer all files stay "
        "byte for byte. `python benchmarks/conventions.py --out paper_figures`.",
        "",
        f"| convention | {' | '.join(STEPS)} |",
        f"| --- |{' --- |' * len(STEPS)}",
        *("| " + " | ".join([row["convention"], *(row[step] for step in STEPS)]) + " |" for _, row in taken.iterrows()),
        "",
        f"{len(refused)} datasets that cannot be exact are refused:",
        "",
        "| what | the sentence |",
        "| --- | --- |",
        *(f"| {row['convention']} | {str(row['said']).replace('|', chr(92) + '|')} |" for _, row in refused.iterrows()),
    ]
    write_text(out / "conventions.md", "\n".join(lines) + "\n")


def main() -> int:
    """Try, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for conventions.csv and conventions.md")
    parser.add_argument("--only", default="", help="conventions whose names contain this; nothing is written")
    parser.add_argument("--random", type=int, metavar="N", help="N datasets drawn at random instead")
    parser.add_argument("--seed", type=int, default=0, help="number of the first of them")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of them: stop after this time")
    arguments, began = parser.parse_args(), time.perf_counter()
    if arguments.random:
        from conventions_random import try_many

        return try_many(arguments.random, arguments.seed, arguments.seconds)
    table = table_of(arguments.only)
    wrong = table[(table[list(STEPS)] == "NO").any(axis=1)]
    print(f"{len(table)} conventions, {len(wrong)} wrong, {time.perf_counter() - began:.0f} s")
    if arguments.out is not None and not arguments.only:
        write_tables(table, arguments.out)
    return int(len(wrong) > 0)


if __name__ == "__main__":
    sys.exit(main())
