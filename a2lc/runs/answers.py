"""What a line of a person's ``answers.jsonl`` says, and which answers stand.

The oracle's lines hold image, mask_id and label, and where all classes were asked for their list, classes. A person's
hold more:

    {"image": "a", "mask_id": 7, "label": 3, "position": 0, "time": "2025-...", "seconds": 2.1, "source": "person"}

``label`` is null where the mask was skipped, and in a line with ``"undo": true``, which takes back the latest answer
that the same source gave about this mask in the same ``session``, which is that of a process. A line with
``"whole_image": true`` says void, and that no label of the image is of use; with ``"mixed": true`` it repeats the label
that the mask has, and says that there are several classes in it, with ``cut`` also which of its pixels are of which
(`a2lc.masks.cuts`); with ``"found": true`` it is about a mask that nobody asked about. The later answer about a mask
wins, whoever gave it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pandas as pd

from a2lc.files import Record
from a2lc.masks.cuts import Cut

_FLAGS = ("undo", "whole_image", "mixed", "found")
_SELDOM = (*_FLAGS, "batch", "cut", "session")  # left out of a line where they are false, empty or null


def label_in(value: object) -> int:
    """A label as a line says it: 0..255. Raises `ValueError` where it is none."""
    if type(value) is not int or not 0 <= value <= 255:
        raise ValueError(f"label: expected 0..255, found {value!r:.40}")
    return value


def whole_in(value: object, name: str) -> int:
    """A whole number >= 0 as a line says it. Raises `ValueError`, beginning with `name`, where it is none."""
    if type(value) is not int or value < 0:
        raise ValueError(f"{name}: expected a whole number, found {value!r:.40}")
    return value


def seconds_in(value: object) -> float | None:
    """How long an answer took as a line says it. Raises `ValueError` where it is neither null nor a number >= 0 that a
    double holds."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < float("inf"):  # type: ignore[operator]
        raise ValueError(f"seconds: expected a number or null, found {value!r:.40}")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError("seconds: expected a number, found one of too many digits") from None


def _session_in(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-zA-Z]{0,32}", value):
        raise ValueError(f"session: expected letters and digits, found {value!r:.40}")
    return value


@dataclass(frozen=True)
class Answer:
    """One line.

    Attributes:
        image, mask_id: the mask.
        label: 0..K-1, the ignore index = void; None: skipped or, in an undo, nothing.
        position: of the mask in the round's queue, counted from 0.
        time: when, UTC in ISO 8601.
        seconds: how long it took, None where nobody measured and in an undo.
        source: who answered.
        undo: whether this takes an answer back.
        whole_image: whether the image's other masks that are not answered are void, too; the label is the ignore index.
        mixed: whether there are several classes in the mask; the label is the one that it has.
        found: whether nobody asked about the mask: somebody saw it while looking around.
        cut: where a person has cut a mixed mask: how.
        session: of which process it is, as far as that was noted; of an undo, that of the answer that it takes back.
        batch: what answers that were given at once have in common; empty: this one was given alone.
    """

    image: str
    mask_id: int
    label: int | None
    position: int
    time: str
    seconds: float | None
    source: str
    undo: bool = False
    whole_image: bool = False
    mixed: bool = False
    found: bool = False
    cut: Cut | None = None
    batch: str = ""
    session: str = ""

    @property
    def mask(self) -> tuple[str, int]:
        """Image and mask id."""
        return self.image, self.mask_id

    def record(self) -> Record:
        """As a line of ``answers.jsonl``."""
        told = asdict(self) | {"cut": self.cut and self.cut.to_json()}
        return {name: value for name, value in told.items() if name not in _SELDOM or value}

    @classmethod
    def of(cls, record: Record) -> Answer:
        """Read a line.

        Raises:
            ValueError, KeyError, TypeError: a field is missing or wrong.
        """
        label, seconds = record["label"], seconds_in(record["seconds"])
        undo, whole_image, mixed, found = (record.get(name, False) for name in _FLAGS)
        label = None if label is None else label_in(label)
        if not isinstance(undo, bool) or (undo and label is not None):
            raise ValueError(f"undo: expected true, without a label, found {undo!r} and label {label!r}")
        for name, flag in (("whole_image", whole_image), ("mixed", mixed)):
            if not isinstance(flag, bool) or (flag and label is None):
                raise ValueError(f"{name}: expected true, with a label, found {flag!r} and label {label!r}")
        if not isinstance(found, bool) or (found and label is None and not undo):
            raise ValueError(f"found: expected true, with a label, found {found!r} and label {label!r}")
        cut = None if record.get("cut") is None else Cut.from_json(record["cut"])
        if cut is not None and not mixed:
            raise ValueError("cut: expected it of a mixed mask, found it of another answer")
        return cls(
            image=str(record["image"]),
            mask_id=whole_in(record["mask_id"], "mask_id"),
            label=label,
            position=whole_in(record["position"], "position"),
            time=str(record["time"]),
            seconds=seconds,
            source=str(record["source"]),
            undo=undo,
            whole_image=whole_image,
            mixed=mixed,
            found=found,
            cut=cut,
            batch=str(record.get("batch", "")),
            session=_session_in(record.get("session", "")),
        )


def kept(answers: Iterable[Answer]) -> list[Answer]:
    """The answers and skips that no undo has taken back, oldest first."""
    left: list[Answer | None] = []
    given = defaultdict[tuple[tuple[str, int], str, str], list[int]](list)  # mask, who -> where their answers are
    for answer in answers:
        places = given[answer.mask, answer.source, answer.session]
        if not answer.undo:
            places.append(len(left))
            left.append(answer)
        elif places:
            left[places.pop()] = None
    return [answer for answer in left if answer is not None]


def standing(answers: Iterable[Answer]) -> dict[tuple[str, int], Answer]:
    """The answer or skip that counts for each mask: the latest of those kept."""
    return {answer.mask: answer for answer in kept(answers)}


def answers_table(answers: Iterable[Answer]) -> pd.DataFrame:
    """What a person's answers come to: image, mask_id, label, whole_image, mixed and cut (`Cut` or None) of each mask
    answered, in the queue's order, and then those that nobody asked about."""
    given = (answer for answer in standing(answers).values() if answer.label is not None)
    final = sorted(given, key=lambda answer: (answer.found, answer.position))
    columns = ["image", "mask_id", "label", "whole_image", "mixed", "cut"]
    return pd.DataFrame([[getattr(answer, name) for name in columns] for answer in final], columns=columns)
