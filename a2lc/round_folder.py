"""The files of one round, its stages, and which of them are finished."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from a2lc.answers import Answer, answers_table, label_in
from a2lc.files import atomic, damaged, read_arrays, read_json, read_parquet, write_arrays, write_json, write_parquet
from a2lc.metrics import SegmentationScore

STAGES = ("scored", "queried", "answered", "corrected", "trained")
_WORKING = "working.safetensors"
_NOTES = "notes.json"


class RoundFolder:
    """The files of one round. What reads one raises `FileNotFoundError` where it is missing, and `ValueError`, which
    names it and the way out, where it is damaged.

    Attributes:
        path: the folder ``round_RR``.
        seconds: seconds of each finished stage, in order; the stages named here are done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bar: tqdm | None = None
        self._start = 0.0
        state = path / "state.json"
        found = read_json(state, "finished")["finished"] if state.is_file() else {}
        if not isinstance(found, dict) or any(type(seconds) not in (int, float) for seconds in found.values()):
            raise damaged(state, f"expected the seconds of each finished stage, found {str(found)[:60]}")
        self.seconds: dict[str, float] = found

    def done(self, stage: str) -> bool:
        """Whether a stage is finished."""
        return stage in self.seconds

    def begin(self, stage: str, bar: tqdm | None = None) -> bool:
        """Whether a stage still has to be done; starts its clock and names it in the progress bar."""
        if bar is not None:
            bar.set_postfix_str(f"{self.path.name} {stage}")
            bar.update(self.done(stage))
        self._bar, self._start = bar, time.perf_counter()
        self.clean()
        return not self.done(stage)

    def end(self, stage: str, seconds: float | None = None) -> None:
        """Record that a stage is finished: its files are whole. `seconds` where it was not this process's time."""
        self.seconds[stage] = round(time.perf_counter() - self._start if seconds is None else seconds, 3)
        write_json(self.path / "state.json", {"finished": self.seconds})
        self.clean()
        if self._bar is not None:
            self._bar.update()

    def clean(self) -> None:
        """Remove what only the stages of this round needed, once all of them are finished."""
        for name in (_WORKING, _NOTES):
            if self.done(STAGES[-1]) and (self.path / name).is_file():  # looked at first: the folder may be read-only
                (self.path / name).unlink(missing_ok=True)

    @property
    def proposed(self) -> bool:
        """Whether corrections of this round's LCM were laid before a person (`a2lc.approval`)."""
        return (self.path / "proposals.parquet").is_file()

    @property
    def approved(self) -> bool:
        """Whether the person is done with them."""
        return (self.path / "approved.parquet").is_file()

    def sibling(self, round: int) -> RoundFolder:
        """The folder of another round of the same run."""
        return RoundFolder(self.path.with_name(f"round_{round:02d}"))

    def take_over(self, other: RoundFolder) -> None:
        """Finish this round with the model and metrics of another folder."""
        with atomic(self.path / "segmenter.safetensors") as temporary:
            shutil.copyfile(other.path / "segmenter.safetensors", temporary)
        write_json(self.path / "metrics.json", read_json(other.path / "metrics.json", "round"))
        self.seconds = dict(other.seconds)
        write_json(self.path / "state.json", {"finished": self.seconds})

    def note(self, **values: Any) -> None:
        """Keep numbers of a stage for this round's metrics."""
        path = self.path / _NOTES
        write_json(path, self._notes() | values)

    def _notes(self) -> dict[str, Any]:
        path = self.path / _NOTES
        notes = read_json(path) if path.is_file() else {}
        if not isinstance(notes, dict):
            raise damaged(path, f"expected a JSON object, found {str(notes)[:60]}")
        return notes

    def write_metrics(self, *, data: SegmentationScore | None, model: SegmentationScore | None, **values: Any) -> None:
        """Write ``metrics.json``: the round's numbers, and IoU per class (null where a class does not occur)."""
        scores = {"data": data, "model": model}
        mious = {f"{name}_miou": score.miou if score else None for name, score in scores.items()}
        per_class = {
            f"{name}_iou": [None if np.isnan(iou) else float(iou) for iou in score.per_class]
            for name, score in scores.items()
            if score
        }
        lcm = {"n_auto": 0, "lcm_oa_before": None, "lcm_oa_after": None}
        write_json(self.path / "metrics.json", values | mious | lcm | self._notes() | per_class)

    def write_working(self, **arrays: np.ndarray) -> None:
        """Keep arrays that later stages of this round need; removed with the round's last stage."""
        write_arrays(self.path / _WORKING, arrays)

    def working(self, name: str) -> np.ndarray:
        """An array kept by `write_working`.

        Raises:
            FileNotFoundError: it is gone, although the round is scored.
            ValueError: the file is damaged.
        """
        path = self.path / _WORKING
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: missing, although the round is scored; remove {self.path} to play it again"
            )
        arrays = read_arrays(path)
        if name not in arrays:
            raise damaged(path, f"expected an array {name!r}, found {', '.join(arrays)}")
        return arrays[name]

    def scores(self) -> np.ndarray:
        """(M,) float32 scores of this round."""
        scores = read_parquet(self.path / "scores.parquet", "score")["score"].to_numpy()
        if scores.dtype.kind != "f":
            raise damaged(self.path / "scores.parquet", f"expected scores, found {scores.dtype}")
        return scores

    def queried_rows(self) -> np.ndarray:
        """(B,) row numbers of the masks queried in this round, highest score first."""
        path, total = self.path / "queries.parquet", len(self.scores())
        rows = read_parquet(path, "row")["row"].to_numpy()
        if rows.dtype.kind != "i" or (rows < 0).any() or (rows >= total).any():
            raise damaged(path, f"expected row numbers in 0..{total - 1}")
        return rows

    def regions(self) -> np.ndarray:
        """(M,) row of the root of each superpixel's region in this round (superpixel baselines only)."""
        return read_parquet(self.path / "scores.parquet", "region")["region"].to_numpy(np.int64)

    def named_classes(self, num_classes: int) -> np.ndarray:
        """(B, K + 1) bool: the classes named in each answer, the last one void, where all classes were asked for."""
        named = np.zeros((len(answers := self.read_answers()), num_classes + 1), dtype=bool)
        for row, classes in zip(named, answers["classes"], strict=True):
            row[classes] = True
        return named

    def clicks(self) -> int:
        """Clicks of this round: one per answer, or one per class where all classes were asked for."""
        answers = self.read_answers()
        return int(answers["classes"].map(len).sum()) if "classes" in answers else len(answers)

    def answered_labels(self, table: pd.DataFrame | None = None) -> np.ndarray:
        """(B,) uint8 answers to `queried_rows`, 255 = void.

        Args:
            table: of all masks; where it is given, the answers must be about those queried.

        Raises:
            ValueError: there are more or fewer answers than queries, or they are about others.
        """
        path, answers, rows = self.path / "answers.jsonl", self.read_answers(), self.queried_rows()
        if len(answers) != len(rows):
            raise damaged(path, f"expected {len(rows)} answers, found {len(answers)}")
        if table is not None:
            asked = table.iloc[rows][["image", "mask_id"]].astype({"image": object})
            wrong = (answers[["image", "mask_id"]].to_numpy() != asked.to_numpy()).any(1)
            if wrong.any():
                found = answers[wrong].iloc[0].to_dict()
                raise damaged(path, f"expected an answer to each query, found another: {found}")
        return answers["label"].to_numpy(np.uint8)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a Parquet file of this round."""
        write_parquet(self.path / name, table)

    def write_queries(self, rows: np.ndarray) -> None:
        """Write the queries of this round: (B,) row numbers, highest score first; their scores are looked up."""
        self.write_table("queries.parquet", pd.DataFrame({"row": rows.astype(np.int32), "score": self.scores()[rows]}))

    def write_answers(self, answers: pd.DataFrame) -> None:
        """Write answers as JSON lines: image, mask_id, label (255 = void), and where all classes were asked for their
        list."""
        with atomic(self.path / "answers.jsonl") as temporary:
            answers.to_json(temporary, orient="records", lines=True)

    def read_answers(self) -> pd.DataFrame:
        """Read the answers: image, mask_id, label (255 = void), and classes where all classes were asked for. Of a
        person's answers (`a2lc.answers`) those that stand, in the order of the queue.

        Raises:
            FileNotFoundError: no answers yet.
            ValueError: a line is damaged; the message names file and line.
        """
        path = self.path / "answers.jsonl"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no answers of this round")
        records: list[tuple[Any, ...]] = []
        from_person: list[Answer] = []
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            try:
                record = json.loads(line)
                if "source" in record and not records:
                    from_person.append(Answer.of(record))
                    continue
                if from_person:
                    raise ValueError("some answers have a source, others have not")
                answer = (str(record["image"]), int(record["mask_id"]), label_in(record["label"]))
                if records and ("classes" in record) != (len(records[0]) == 4):
                    raise ValueError("some answers have classes, others have not")
                records.append((*answer, [int(c) for c in record["classes"]]) if "classes" in record else answer)
            except (KeyError, TypeError, ValueError, RecursionError) as error:  # ValueError: also of json
                what = f"expected image, mask_id and label, found {line[:80].decode(errors='replace')!r} ({error})"
                raise damaged(path, what, number) from error
        if from_person:
            return answers_table(from_person)
        columns = ["image", "mask_id", "label", "classes"]
        return pd.DataFrame(records, columns=columns[: len(records[0]) if records else 3])
