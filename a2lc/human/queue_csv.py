"""The queue without a browser: a table to fill in, for a spreadsheet or an editor, and pictures of its masks."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from a2lc.files import atomic, below, nearest, write_text
from a2lc.human import SKIP, WORDS, Query, Queue
from a2lc.human.boxes import boxes_of
from a2lc.human.checked_csv import Row, read_checked, whole_number
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.masks import label_names


def write_queue(queue: Queue, path: str | os.PathLike[str], pictures: bool = False) -> None:
    """Write a row per query: image, mask_id, label (current), top (the model's likeliest classes with their
    probabilities), box (left top right bottom, in pixels), area (pixels) and answer (a class, void, skip; empty where
    there is none).

    Args:
        queue: what is asked.
        path: the CSV file.
        pictures: whether to draw each mask with its outline and surroundings, ``q_pictures/<image>_<mask_id>.png``
            beside ``q.csv``, and to name these files in a column picture. A warning says which images cannot be read:
            one is grey then, and where all are missing there are no pictures.

    Raises:
        ValueError: the file is there and holds answers that were never read, or is another table.
    """
    if Path(path).is_file() and (unread := _unread(queue, path)):
        raise ValueError(f"{path}: holds {unread} answers that are not in the queue: import them, or remove the file")
    table = queue.table
    boxes = boxes_of(queue.masks, table["row"].to_numpy(np.int64))
    top = [" | ".join(f"{name} {p:.2f}" for name, p in queue.top_classes(query)) for query in queue.queries]
    answers = table["answer"].where(table["state"] != "skipped", "skip")
    filled = table[["image", "mask_id", "label"]].assign(
        top=top, box=[" ".join(map(str, box)) for box in boxes.tolist()], area=table["area"], answer=answers
    )
    if pictures and (names := _write_pictures(queue, Path(path))):
        filled.insert(filled.shape[1] - 1, "picture", names)
    write_text(path, filled.to_csv(index=False, lineterminator="\n"))


def _write_pictures(queue: Queue, path: Path) -> list[str]:
    """Draw all queries into a folder beside the file; the pictures as seen from there, none without images."""
    split, notes = training_images(queue.run)
    drawn = MaskPictures(queue.masks, split)
    asked = sorted(queue.queries, key=lambda query: query.row) if split is not None else []  # each image is read once
    names = {query.position: f"{path.stem}_pictures/{query.image}_{query.mask_id}.png" for query in asked}
    for query in asked:
        with atomic(below(path.parent, names[query.position])) as temporary:
            Image.fromarray(drawn.close_up(query.image, query.mask_id)).save(temporary)
    for note in (*notes, *drawn.notes.values()):
        warnings.warn(note, stacklevel=3)
    return [names[position] for position in sorted(names)]


def _unread(queue: Queue, path: str | os.PathLike[str]) -> int:
    """How many masks that may be answered have an answer in this table that does not stand, be it a good one or not."""

    def check(row: Row) -> bool:
        mask_id, said = row["mask_id"], row["answer"]
        query = queue.find(row["image"], int(mask_id)) if mask_id.isdecimal() else None
        if query is None or said in ("", SKIP):  # skipped in an earlier round, and asked about again
            return False
        stands = queue.answer_to(query)
        known = said in WORDS or said in queue.classes.names
        return stands is None or not known or stands.label != queue.label_of(said, query)

    return sum(read_checked(path, ("image", "mask_id", "label", "answer"), check))


def read_queue(queue: Queue, path: str | os.PathLike[str]) -> int:
    """Take the answers of such a table: a class name, ``confirm``, ``void``, ``skip``, or nothing. Rows whose answer
    stands already are left out.

    Returns:
        How many answers were new.

    Raises:
        FileNotFoundError, ValueError: as `read_checked`; rows are bad that name an unknown image, mask or class, a mask
            that is not in the queue, another current label than the queue's (a file of another round), or two answers
            for one mask. Nothing is recorded then. A table of another queue is refused as a whole.
        PermissionError: the run's folder cannot be written.
    """
    names = label_names(queue.classes)
    seen: dict[int, str] = {}

    def check(row: Row) -> tuple[Query, str]:
        image, mask_id = row["image"], whole_number(row["mask_id"], "mask_id")
        if image not in queue.masks.names:
            raise ValueError(f"unknown image {image!r}{nearest(image, queue.masks.names)}")
        queue.masks.row(image, mask_id)
        if (query := queue.find(image, mask_id)) is None:
            raise ValueError(f"image {image!r}, mask {mask_id} is not in the queue of round {queue.round}")
        if row["label"] != (current := names[query.label]):
            found = f"the file says {row['label']!r}: is it of another round?"
            raise ValueError(f"image {image!r}, mask {mask_id} is labelled {current!r} here, {found}")
        if row["answer"]:
            queue.label_of(row["answer"], query)
            if seen.setdefault(query.row, row["answer"]) != row["answer"]:
                raise ValueError(f"two answers for image {image!r}, mask {mask_id}")
        return query, row["answer"]

    known: list[bool] = []  # of each row, whether its mask may be answered

    def checked(row: Row) -> tuple[Query, str]:
        known.append(row["mask_id"].isdecimal() and queue.find(row["image"], int(row["mask_id"])) is not None)
        return check(row)

    try:
        given = read_checked(path, ("image", "mask_id", "label", "answer"), checked)
    except ValueError as error:
        if len(known) < 2 or any(known):
            raise
        of = f"none of its {len(known)} masks is in the queue of round {queue.round}"
        raise ValueError(f"{path}: {of}; is it the table of another?") from error
    new: dict[Query, str] = {}
    for query, said in given:
        stands = queue.answer_to(query)
        if said and (stands is None or stands.label != queue.label_of(said, query)):
            new[query] = said
    if new:
        queue.answer_many(new.items())
    return len(new)
