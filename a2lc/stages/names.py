"""What the masks that runs share are called, and what the name stands for. A look at it needs no PyTorch."""

from __future__ import annotations

import hashlib

from a2lc.datasets import Dataset
from a2lc.files import fingerprint
from a2lc.pseudo_labels.own_labels import labels_hash
from a2lc.pseudo_labels.settings import PseudoLabels

LABEL_HASHES = (
    "labels.json"  # beside the masks of one's own labels: image name -> hash of the labels they were cut from
)


def masks_name(given: PseudoLabels, dataset: Dataset) -> str:
    """Name of the folder in which these masks are kept. Labels that came with the images are part of it: when their
    files change, the masks are made anew.

    Raises:
        FileNotFoundError, ValueError: such a label file is missing or damaged.
    """
    source = given.model_dump(mode="json", exclude_none=True)  # where the folders lie is part of it
    if given.kind == "own_labels":
        source |= {"content": labels_hash(dataset.train)}
    else:
        del source["min_area"]  # means nothing there, and masks kept by earlier versions keep their names
    if not given.void:  # likewise
        del source["void"]
    return f"{dataset.name}-masks-{fingerprint({'data': data_hash(dataset), 'pseudo_labels': source})}"


def data_hash(dataset: Dataset) -> str:
    """SHA-256 over the names of a dataset, its classes and its images, the first 16 hexadecimal digits; also over the
    number of void where it is not the usual one."""
    lists = [dataset.name, *dataset.classes.names, "", *dataset.train.names, "", *dataset.val.names]
    if (void := dataset.classes.ignore_index) != 255:  # masks and runs with the usual one keep their names
        lists += ["", str(void)]
    return hashlib.sha256("\n".join(lists).encode()).hexdigest()[:16]
