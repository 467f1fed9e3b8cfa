"""Masks in the formats of other tools: the released code's folders, PASCAL VOC, COCO (run lengths), and as a dataset of
one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a2lc.datasets.base import Split
from a2lc.files import atomic, atomic_folder, write_json, write_label_png, write_text
from a2lc.human.moving import dataset_of
from a2lc.masks import MaskSet
from a2lc.pseudo_labels.own_labels import labels_of
from a2lc.runs import Run

VOC_VOID = 255  # in every label file of PASCAL VOC, whatever value a dataset gives to void


Labels = Callable[[str], np.ndarray]
"""Image name -> (H, W) uint8 labels."""


def labels_of_run(run: Run, masks: MaskSet) -> Labels:
    """The labels of a run's masks; pixels that no mask covers, such as regions too small to be asked about, keep the
    label that they came with where the run corrects one's own labels.

    Args:
        run: where the labels came from.
        masks: of one of its rounds.

    Returns:
        Image name -> (H, W) uint8, 0..K-1 or the ignore index.

    Raises:
        FileNotFoundError, ValueError: the labels that the run began with are missing or damaged.
    """
    if run.config.pseudo_labels.kind != "own_labels":
        return masks.label_map
    split = dataset_of(run).train

    def labels(name: str) -> np.ndarray:
        return np.where(masks.object_map(name) > 0, masks.label_map(name), labels_of(split, name))

    return labels


def export_png(masks: MaskSet, folder: str | os.PathLike[str], labels: Labels | None = None) -> None:
    """Write ``mask_jpg/`` (label PNGs with the palette) and ``obj_jpg/`` (object maps, 16 bits where ids exceed 255),
    the layout of the released code, which `MaskSet.from_folders` reads.

    Args:
        masks: what to write.
        folder: new or empty; it is whole or not there.
        labels: in place of those of the masks alone, see `labels_of_run`.

    Raises:
        FileExistsError: there is something already, which may be a person's.
        ValueError: a mask id > 65535, which no PNG holds.
    """
    label_map = labels or masks.label_map
    with atomic_folder(folder) as target:
        for name in masks.names:
            write_label_png(target / "obj_jpg" / f"{name}.png", masks.object_map(name))
            write_label_png(target / "mask_jpg" / f"{name}.png", label_map(name), masks.classes.palette)


def export_voc(masks: MaskSet, folder: str | os.PathLike[str], labels: Labels | None = None) -> None:
    """Write label maps as PASCAL VOC has them: ``SegmentationClass/<name>.png`` with the palette (255 = no label),
    ``SegmentationObject/<name>.png`` with the mask ids, ``ImageSets/Segmentation/train.txt``, and ``labelmap.txt``, the
    class list with colours as CVAT and Datumaro read it.

    Args:
        masks: what to write.
        folder: new or empty; it is whole or not there.
        labels: as for `export_png`.

    Raises:
        FileExistsError: there is something already, which may be a person's.
        ValueError: a mask id > 65535, which no PNG holds.
    """
    label_map = labels or masks.label_map
    classes = masks.classes
    colours = (",".join(map(str, colour)) for colour in classes.palette.tolist())
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{colour}::" for name, colour in zip(classes.names, colours, strict=True)]
    texts = {"ImageSets/Segmentation/train.txt": list(masks.names), "labelmap.txt": lines}
    with atomic_folder(folder) as target:
        for name in masks.names:
            of_image = label_map(name)
            of_image[of_image == classes.ignore_index] = VOC_VOID
            write_label_png(target / "SegmentationClass" / f"{name}.png", of_image, classes.palette)
            write_label_png(target / "SegmentationObject" / f"{name}.png", masks.object_map(name))
        for path, content in texts.items():
            write_text(target / path, "\n".join(content) + "\n")


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
    source (initial, annotator, lcm, overruled), round and confidence. Category ids are class ids plus 1.

    Args:
        masks: what to write.
        path: the JSON file, a new one.
        file_names: image name -> file name; the image name with ``.png`` where it is not given.

    Returns:
        The numbers of images and annotations.

    Raises:
        FileExistsError: there is a file already, which may be a person's.
    """
    if Path(path).exists():
        raise FileExistsError(f"{path}: is there already, expected a new file")
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
    write_text(path, json.dumps(found, ensure_ascii=False, separators=(",", ":")))
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
