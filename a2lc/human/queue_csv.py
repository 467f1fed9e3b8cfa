"""The queue without a browser: a table to fill in, for a spreadsheet or an editor, with pictures of its masks and a
page that shows them (`a2lc.human.queue_page`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from a2lc.config import OWN_DATA
from a2lc.files import nearest, only_writer, write_text
from a2lc.human import SKIP, WORDS, Query, Queue
from a2lc.human.boxes import boxes_of
from a2lc.human.checked_csv import Row, check_rows, csv_text, images_meant, plain_number, read_rows, whole_number
from a2lc.human.mask_pictures import training_images
from a2lc.human.queue_page import check_page, write_page, write_pictures
from a2lc.masks import label_names

COLUMNS = ("image", "mask_id", "label", "answer")  # that are read
T = TypeVar("T")


def write_queue(queue: Queue, path: str | os.PathLike[str], pictures: bool = False) -> Path | None:
    """Write a row per query: image, mask_id, label (current), top (the model's likeliest classes with their
    probabilities), box (left top right bottom, in pixels), area (pixels) and answer (a class, a word; empty where
    there is none).

    Args:
        queue: what is asked.
        path: the CSV file.
        pictures: whether to draw each mask with its outline and surroundings, ``q_pictures/<image>_<mask_id>.png``
            beside ``q.csv``, to name these files in a column picture, and to write a page ``q.html`` that shows them
            and can fill in the table. A warning says which images cannot be read: one is grey then, and where all are
            missing there are no pictures.

    Returns:
        The page; None where there is none.

    Raises:
        ValueError: the file is there and holds answers that were never read, or is another table; ``q.html`` is another
            page.
        BlockingIOError: another process is writing it.
    """
    path = Path(path)
    if path.is_file() and (unread := _unread(queue, path)):
        raise ValueError(f"{path}: holds {unread} answers that are not in the queue: import them, or choose a new file")
    table = queue.table
    boxes = boxes_of(queue.masks, table["row"].to_numpy(np.int64))
    top = [" | ".join(f"{name} {p:.2f}" for name, p in queue.top_classes(query)) for query in queue.queries]
    answers = table["answer"].where(table["state"] != "skipped", SKIP)
    filled = table[["image", "mask_id", "label"]].assign(
        top=top, box=[" ".join(map(str, box)) for box in boxes.tolist()], area=table["area"], answer=answers
    )
    page = path.with_suffix(".html")
    if pictures:
        check_page(page)
    with only_writer(path, page):
        names = write_pictures(queue, path) if pictures else []
        if names:
            filled.insert(filled.shape[1] - 1, "picture", names)
            write_page(queue, filled, page, path.name)
        write_text(path, csv_text(filled))
    return page if names else None


def read_queue(queue: Queue, path: str | os.PathLike[str]) -> int:
    """Take the answers of such a table, which may have been through a spreadsheet: the name of a class, one of `WORDS`,
    or nothing. The number of a class is taken, too, unless a class has that name, or dataset.yaml gives the values in
    label files other meanings. Rows whose answer stands already are left out.

    An image whose name a spreadsheet has taken for a number (000007 became 7) is found where no other can be meant.

    Returns:
        How many answers were new.

    Raises:
        FileNotFoundError, ValueError: as `read_rows`; rows are bad that name an unknown image, mask or class, a mask
            that is not in the queue, another current label than the queue's (a file of another round), or two answers
            for one mask. Nothing is recorded then. A table of another queue is refused as a whole.
        PermissionError: the run's folder cannot be written.
    """
    names = label_names(queue.classes)
    answer_in, seen = _Answers(queue), dict[int, str | int]()

    def check(row: Row, image: str) -> tuple[Query, str | int]:
        mask_id = whole_number(row["mask_id"], "mask_id")
        queue.masks.row(image, mask_id)
        if (query := queue.find(image, mask_id)) is None:
            raise ValueError(f"image {image!r}, mask {mask_id} is not in the queue of round {queue.round}")
        if plain_number(row["label"]) != plain_number(current := names[query.label]):
            found = f"the file says {row['label']!r}: is it of another round?"
            raise ValueError(f"image {image!r}, mask {mask_id} is labelled {current!r} here, {found}")
        said = answer_in(row)
        if said != "":
            queue.label_of(said, query)
            if seen.setdefault(query.row, said) != said:
                raise ValueError(f"two answers for image {image!r}, mask {mask_id}")
        return query, said

    rows = read_rows(path, COLUMNS)
    try:
        given = _each(queue, path, rows, check)
    except ValueError as error:
        cells = [row for _, row in rows if isinstance(row, dict)]
        meant = images_meant((row["image"] for row in cells), queue.masks.names)
        asked = (_query(queue, row, image) is not None for row in cells for image in meant[row["image"]])
        if len(rows) < 2 or any(asked):
            raise
        of = f"none of its {len(rows)} masks is in the queue of round {queue.round}"
        raise ValueError(f"{path}: {of}; is it the table of another?") from error
    said = {query: answer for query, answer in given if answer != ""}
    if all(queue.stands(query, answer) for query, answer in said.items()):
        return 0  # also where nothing can be written
    return queue.answer_many(said.items(), again=False)


# ------------------------------------------------------------------------------------------------ inside
def _unread(queue: Queue, path: Path) -> int:
    """How many masks have an answer in this table that does not stand, be it a good one or not; those that were
    answered in an earlier round are done with."""
    answer_in = _Answers(queue)

    def check(row: Row, image: str) -> bool:
        if row["answer"] in ("", SKIP):  # skipped in an earlier round, and asked about again
            return False
        if (query := _query(queue, row, image)) is None:
            return not _was_asked(queue, row, image)
        try:
            return not queue.stands(query, answer_in(row))
        except ValueError:
            return True

    return sum(_each(queue, path, read_rows(path, COLUMNS), check, strict=False))


def _each(
    queue: Queue,
    path: str | os.PathLike[str],
    rows: list[tuple[int, Row | ValueError]],
    check: Callable[[Row, str], T],
    strict: bool = True,
) -> list[T]:
    """What `check` makes of each row and the image that is meant; errors are those of `check_rows`. Not `strict`:
    an image that is not known is taken as it is written."""
    meant = images_meant((row["image"] for _, row in rows if isinstance(row, dict)), queue.masks.names)

    def of_row(row: Row) -> T:
        found = meant[cell := row["image"]]
        if len(found) == 1 or not strict:
            return check(row, found[0] if len(found) == 1 else cell)
        if found:
            why = "its name may have lost zeros: save the column image as text"
            raise ValueError(f"image {cell!r}: expected one, found {' and '.join(map(repr, found))}; {why}")
        raise ValueError(f"unknown image {cell!r}{nearest(cell, queue.masks.names)}")

    return check_rows(path, rows, of_row)


def _query(queue: Queue, row: Row, image: str) -> Query | None:
    try:
        return queue.find(image, whole_number(row["mask_id"], "mask_id"))
    except ValueError:
        return None


def _was_asked(queue: Queue, row: Row, image: str) -> bool:
    """Whether a mask was answered in an earlier round."""
    try:
        at = queue.masks.row(image, whole_number(row["mask_id"], "mask_id"))
    except ValueError:
        return False
    return bool(queue.masks.queried[at])


class _Answers:
    """What is said in a row, for `Queue.label_of`: the name of a class or a word, also where a spreadsheet has changed
    its zeros, or the number of a class. "" where nothing is said; an unknown word as it is.

    Raises:
        ValueError: a number that may mean two things.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._against_numbers: str | None = None

    def __call__(self, row: Row) -> str | int:
        said, names = row["answer"], self._queue.classes.names
        if said in ("", *WORDS, *names) or not (number := plain_number(said)).isdecimal():
            return said
        alike = [name for name in names if plain_number(name) == number]
        if len(alike) > 1:
            raise ValueError(f"answer {said!r}: expected one class, found {' and '.join(map(repr, alike))}")
        if alike or int(number) >= len(names):
            return alike[0] if alike else said
        if self._against_numbers is None:
            self._against_numbers = self._why_not_numbers()
        if self._against_numbers:
            raise ValueError(f"answer {said!r}: expected the name of a class, as {self._against_numbers}")
        return int(number)

    def _why_not_numbers(self) -> str:
        """Why a number may mean something else than a class's place in the list; empty: it cannot."""
        if self._queue.run.config.dataset != OWN_DATA:
            return ""
        split, _ = training_images(self._queue.run)
        if split is None:
            return "the data cannot be read, which say whether numbers are classes"
        return "dataset.yaml says what the values in label files mean" if split.ids_are_told else ""
