"""Masks in the formats of other tools: the released code's folders, PASCAL VOC, COCO (run lengths), and as a dataset of
one's own."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a2lc.datasets.base import VOID, Split, bit_palette
from a2lc.files import (
    atomic,
    atomic_folder,
    atomic_new,
    check_new_file,
    read_json,
    write_json,
    write_label_png,
    write_text,
)
from a2lc.human.moving import dataset_of
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.own_labels import hash_of, labels_of
from a2lc.runs import SHARED, Run
from a2lc.stages.names import LABEL_HASHES

PALETTE = 255  # the largest id that a palette has a colour for
VOC_VOID_COLOUR = (224, 224, 192)
VOC_VOID = 255  # in every label file of PASCAL VOC, whatever value a dataset gives to void


Labels = Callable[[str], np.ndarray]
"""Image name -> (H, W) uint8 labels."""


def labels_of_run(run: Run, masks: MaskSet) -> Labels:
    """The labels of a run's masks. Where the run corrects one's own labels, pixels that no mask covers, such as regions
    too small to be asked about, keep the label that they came with; so do those of a mask whose label has not changed,
    which may be of several classes, unless the label file has changed since, of which a warning tells.

    Args:
        run: where the labels came from.
        masks: of one of its rounds, `a2lc.masks.pieces.in_pieces`.

    Returns:
        Image name -> (H, W) uint8, 0..K-1 or the ignore index.

    Raises:
        FileNotFoundError, ValueError: the labels that the run began with are missing or damaged.
    """
    if run.config.pseudo_labels.kind != "own_labels":
        return masks.label_map
    split = dataset_of(run).train
    kept = run.path.parent / SHARED / read_json(run.path / "provenance.json", "masks")["masks"] / LABEL_HASHES
    began = read_json(kept) if kept.is_file() else {}
    changed = masks.changed
    ids = masks.table["mask_id"].to_numpy()

    def labels(name: str) -> np.ndarray:
        came, objects, rows = labels_of(split, name), masks.object_map(name), masks.rows(name)
        as_it_began = began.get(name) == hash_of(came)
        if name in began and not as_it_began:
            told = "its label file has changed since the run began, so each mask is exported with the one class it has"
            warnings.warn(f"{name}: {told}", stacklevel=2)
        inside = np.isin(objects, ids[rows][changed[rows]]) if as_it_began else objects > 0
        return np.where(inside, masks.label_map(name), came)

    return labels


def export_png(masks: MaskSet, folder: str | os.PathLike[str], labels: Labels) -> None:
    """Write ``mask_jpg/`` (label PNGs with the palette) and ``obj_jpg/`` (object maps, 16 bits where ids exceed 255),
    the layout of the released code, which `MaskSet.from_folders` reads.

    Args:
        masks: what to write.
        folder: new or empty; it is whole or not there.
        labels: of a run, `labels_of_run`; of masks alone, their `label_map`, in which pixels of no mask are void.

    Raises:
        FileExistsError: there is something already, which may be a person's.
        ValueError: a mask id > 65535, which no PNG holds.
    """
    with atomic_folder(folder) as target:
        for name in masks.names:
            write_label_png(target / "obj_jpg" / f"{name}.png", masks.object_map(name))
            write_label_png(target / "mask_jpg" / f"{name}.png", labels(name), masks.classes.palette)


def export_voc(masks: MaskSet, folder: str | os.PathLike[str], labels: Labels) -> list[str]:
    """Write label maps as PASCAL VOC has them: ``SegmentationClass/<name>.png`` with the palette (255 = no label),
    ``SegmentationObject/<name>.png`` with the mask ids in VOC's colours (above 255 counted anew),
    ``ImageSets/Segmentation/train.txt``, and ``labelmap.txt``, the class list with colours, void among them, as CVAT
    and Datumaro read it.

    Args:
        masks: what to write.
        folder: new or empty; it is whole or not there.
        labels: as for `export_png`.

    Returns:
        What a person should know: the classes that have other names there, as no name may hold a colon,
        and images with more masks than such files can tell apart.

    Raises:
        FileExistsError: there is something already, which may be a person's.
    """
    names, colours = _voc_names(masks.classes.names), _voc_colours(masks.classes.palette)
    rows = zip([*names, VOID], colours[[*range(len(names)), VOC_VOID]].tolist(), strict=True)
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{','.join(map(str, colour))}::" for name, colour in rows]
    texts = {"ImageSets/Segmentation/train.txt": list(masks.names), "labelmap.txt": lines}
    notes: list[str] = []
    with atomic_folder(folder) as target:
        for name in masks.names:
            of_image = labels(name)
            of_image = np.where(of_image == masks.classes.ignore_index, VOC_VOID, of_image)
            write_label_png(target / "SegmentationClass" / f"{name}.png", of_image, colours)
            if (objects := _instances(masks, name)) is None:
                notes.append(f"{name}: more than {PALETTE} masks, so it is written without instances")
            else:
                write_label_png(target / "SegmentationObject" / f"{name}.png", objects, bit_palette(256))
        for path, content in texts.items():
            write_text(target / path, "\n".join(content) + "\n")
    changed = [(old, new) for old, new in zip(masks.classes.names, names, strict=True) if old != new]
    notes += [f"class {old!r} is called {new!r} in labelmap.txt, where a colon ends a name" for old, new in changed]
    return notes


def _instances(masks: MaskSet, name: str) -> np.ndarray | None:
    """(H, W) mask ids in 0..255, those above counted anew; None: there are more masks than a palette has colours."""
    objects = masks.object_map(name)
    if objects.max(initial=0) > PALETTE:
        objects = masks.index_map(name) + 1
    return None if objects.max(initial=0) > PALETTE else objects


def _voc_names(names: Sequence[str]) -> list[str]:
    """Names without a colon, each once, and none that would make its line a comment."""
    found: list[str] = []
    for name in names:
        new = name.replace(":", "-").replace("#", "-", int(name.startswith("#")))
        while new in found or (new != name and new in names):
            new += "-"
        found.append(new)
    return found


def _voc_colours(palette: np.ndarray) -> np.ndarray:
    """(256, 3) uint8 colours, void's last: each class has one of its own, as readers tell them apart by it."""
    free = [VOC_VOID_COLOUR, *map(tuple, bit_palette(600).tolist())]
    given = [tuple(colour) for colour in palette.tolist()]
    seen: list[tuple[int, ...]] = []
    for colour in [*given, VOC_VOID_COLOUR]:
        if colour in seen:
            colour = next(other for other in free if other not in seen and other not in given)
        seen.append(colour)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(given)], colours[VOC_VOID] = seen[:-1], seen[-1]
    return colours


def export_folder(masks: MaskSet, split: Split, folder: str | os.PathLike[str]) -> None:
    """Write images and labels as a dataset of one's own (`a2lc.datasets.folder`): ``classes.json``, ``images/``,
    ``labels/`` with the palette, and ``ground_truth/`` where the split has it.

    Args:
        masks: the labels, of images of `split`.
        split: where images and ground truth are read.
        folder: made where it is missing.

    Raises:
        FileNotFoundError, ValueError: as `Split.image` and `Split.ground_truth`.
    """
    target, classes = Path(folder), masks.classes
    for name in masks.names:
        with atomic(target / "images" / f"{name}.png") as temporary:
            Image.fromarray(split.image(name)).save(temporary)
        write_label_png(target / "labels" / f"{name}.png", masks.label_map(name), classes.palette)
        if (truth := split.ground_truth(name)) is not None:
            write_label_png(target / "ground_truth" / f"{name}.png", truth, classes.palette)
    rows = dict(zip(classes.names, classes.palette.tolist(), strict=True))
    write_json(target / "classes.json", {"classes": rows, "ignore_index": classes.ignore_index})


def export_coco(
    masks: MaskSet, path: str | os.PathLike[str], file_names: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Write COCO's JSON: an annotation per mask that has a class, as run lengths.

    The run lengths are those that COCO calls uncompressed, ``{"size": [H, W], "counts": [...]}``: pycocotools reads
    them (`COCO.annToMask`), and writing them needs numpy only. Beside COCO's fields an annotation holds mask_id,
    source (initial, annotator, lcm, overruled, discarded, mixed), round and confidence. Category ids are class ids plus
    1.

    Args:
        masks: what to write.
        path: the JSON file, a new one.
        file_names: image name -> file name; the image name with ``.png`` where it is not given.

    Returns:
        The numbers of images and annotations.

    Raises:
        FileExistsError: there is a file already, which may be a person's.
        BlockingIOError: another process is writing it.
    """
    check_new_file(path)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    labels, table = masks.table["label"].to_numpy(), masks.table
    more = table[["mask_id", "source", "round", "confidence"]].to_dict("list")
    for image_id, name in enumerate(masks.names, start=1):
        index = masks.index_map(name)
        height, width = index.shape
        file_name = (file_names or {}).get(name, f"{name}.png")
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        start, counts = masks.rows(name).start, run_lengths(index)
        for position, runs in enumerate(counts):
            row = start + position
            if labels[row] < len(masks.classes):
                confidence = more["confidence"][row]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": int(labels[row]) + 1,
                        "segmentation": {"size": [height, width], "counts": runs.tolist()},
                        **dict(zip(("area", "bbox"), _extent(runs, height), strict=True)),
                        "iscrowd": 0,
                        "mask_id": more["mask_id"][row],
                        "source": more["source"][row],
                        "round": more["round"][row],
                        "confidence": None if np.isnan(confidence) else confidence,
                    }
                )
    categories = [{"id": k + 1, "name": name, "supercategory": ""} for k, name in enumerate(masks.classes.names)]
    found: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
    with atomic_new(path) as temporary:
        temporary.write_bytes(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode())
    return {"images": len(images), "annotations": len(annotations)}


def run_lengths(index: np.ndarray) -> list[np.ndarray]:
    """COCO's run lengths of every mask of an image: pixels outside and inside in turn, column after column, beginning
    outside.

    Args:
        index: (H, W) position 0..n-1 of each pixel's mask, -1 where there is none.

    Returns:
        n arrays of integers, the sum of each is H W.
    """
    flat = index.T.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends = np.append(starts[1:], flat.size)
    of_mask = flat[starts]
    order = np.argsort(of_mask, kind="stable")
    bounds = np.searchsorted(of_mask[order], np.arange(int(index.max(initial=-1)) + 2))
    found = []
    for first, last in zip(bounds, bounds[1:], strict=False):
        runs = order[first:last]
        edges = np.column_stack([starts[runs], ends[runs]]).ravel()
        rest = [flat.size - int(edges[-1])] if len(edges) and edges[-1] < flat.size else []
        found.append(np.concatenate([np.diff(edges, prepend=0), rest]).astype(np.int64))
    return found


def _extent(runs: np.ndarray, height: int) -> tuple[int, list[int]]:
    """Area, and COCO's box (left, top, width, height), of a mask given by its run lengths."""
    edges = np.cumsum(runs)
    starts, ends = edges[0::2][: len(runs[1::2])], edges[1::2] - 1  # first and last pixel of each run
    left, right = int(starts[0]) // height, int(ends[-1]) // height
    over = (starts // height != ends // height).any()  # a run that goes on in the next column touches both borders
    top, bottom = (0, height - 1) if over else (int((starts % height).min()), int((ends % height).max()))
    return int(runs[1::2].sum()), [left, top, right - left + 1, bottom - top + 1]
