"""The files of one round of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2lc.files import atomic, damaged, read_parquet, write_parquet
from a2lc.masks.cuts import Cut
from a2lc.runs.answers import Answer, answers_table, label_in, whole_in
from a2lc.runs.stage_folder import AUDITED, STAGES, StageFolder

PROPENSITY = "propensity"


class RoundFolder(StageFolder):
    """The files of one round.

    Attributes:
        run: the folder of the run.
        number: of the round, 0 = before any correction.

    Raises:
        ValueError: ``state.json`` is damaged, or names a stage as finished whose predecessor is not.
    """

    def __init__(self, run: Path, number: int) -> None:
        super().__init__(run / f"round_{number:02d}")
        self.run = run
        self.number = number
        stages = STAGES if number else STAGES[-1:]  # round 0 is training only
        if self.done(AUDITED):
            stages = (*stages[:3], AUDITED, *stages[3:])
        if (finished := self.state.finished.keys()) != set(stages[: len(finished)]):
            what = f"expected finished stages without a gap, of {', '.join(stages)}; found {', '.join(finished)}"
            raise damaged(self.path / "state.json", what)

    def sibling(self, number: int) -> RoundFolder:
        """The folder of another round of the same run."""
        return RoundFolder(self.run, number)

    def scores(self) -> np.ndarray:
        """(M,) float32 scores of this round; -inf for masks that cannot be asked about."""
        scores = read_parquet(self.path / "scores.parquet", "score")["score"].to_numpy()
        if scores.dtype.kind != "f" or np.isnan(scores).any():
            found = scores.dtype if scores.dtype.kind != "f" else f"NaN for {np.isnan(scores).sum()} masks"
            raise damaged(self.path / "scores.parquet", f"expected scores, found {found}")
        return scores

    def queried_rows(self) -> np.ndarray:
        """(B,) int32 row numbers of the masks queried in this round, highest score first."""
        path, total = self.path / "queries.parquet", len(self.scores())
        rows = read_parquet(path, "row")["row"].to_numpy()
        if rows.dtype.kind != "i" or (rows < 0).any() or (rows >= total).any():
            raise damaged(path, f"expected row numbers in 0..{total - 1}")
        return rows

    def audits(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the masks queried in this round those that were audits of corrections: (a,) row numbers, and (a,) the
        probability with which each was to be drawn."""
        table = read_parquet(self.path / "queries.parquet", "row")
        if PROPENSITY not in table:
            return np.empty(0, np.int32), np.empty(0)
        table = table[table[PROPENSITY].notna()]
        return table["row"].to_numpy(), table[PROPENSITY].to_numpy(np.float64)

    def regions(self) -> np.ndarray:
        """(M,) int64 row of the root of each superpixel's region in this round (superpixel baselines only)."""
        return read_parquet(self.path / "scores.parquet", "region")["region"].to_numpy(np.int64)

    def named_classes(self, num_classes: int) -> np.ndarray:
        """(B, K + 1) bool: the classes named in each answer, the last one void, where all classes were asked for.

        Raises:
            ValueError: something else was asked for, or a class is outside 0..K.
        """
        path, answers = self.path / "answers.jsonl", self.read_answers()
        if "classes" not in answers:
            raise damaged(path, "expected the classes of each answer, found none")
        named = np.zeros((len(answers), num_classes + 1), dtype=bool)
        for row, classes in zip(named, answers["classes"], strict=True):
            if max(classes, default=0) > num_classes:
                raise damaged(path, f"expected classes 0..{num_classes}, found {max(classes)}")
            row[classes] = True
        return named

    def clicks(self) -> int:
        """Clicks of this round: one per answer, or one per class where all classes were asked for."""
        answers = self.read_answers()
        return int(answers["classes"].map(len).sum()) if "classes" in answers else len(answers)

    def answered_labels(self, table: pd.DataFrame | None = None) -> np.ndarray:
        """(B,) uint8 answers to `queried_rows`, the ignore index = void.

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

    def discarded_rows(self) -> np.ndarray:
        """(n,) row numbers of the queries of which a person said that no label of their image is of use."""
        return self._rows_said("whole_image")

    def mixed_rows(self) -> np.ndarray:
        """(n,) row numbers of the queries in which a person found several classes."""
        return self._rows_said("mixed")

    def cuts(self) -> dict[int, Cut]:
        """Row number -> how a person has cut a mask, of some of the `mixed_rows`."""
        answers = self.read_answers()
        said = answers["cut"] if "cut" in answers else [None] * len(answers)
        return {int(row): cut for row, cut in zip(self.queried_rows(), said, strict=True) if cut is not None}

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a Parquet file of this round."""
        write_parquet(self.path / name, table)

    def write_queries(self, rows: np.ndarray, audits: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """Write the queries of this round: (B,) row numbers, highest score first; their scores are looked up.

        Args:
            rows: all of them, audits last.
            audits: which are audits, as `audits` returns; None: none.
        """
        table = pd.DataFrame({"row": rows.astype(np.int32), "score": self.scores()[rows]})
        if audits is not None and len(audits[0]):
            propensity = pd.Series(audits[1], index=audits[0]).reindex(rows).to_numpy(np.float64)
            purpose = np.where(np.isnan(propensity), "score", "audit")
            table = table.assign(purpose=purpose, **{PROPENSITY: propensity})
        self.write_table("queries.parquet", table)

    def write_answers(self, answers: pd.DataFrame) -> None:
        """Write answers as JSON lines: image, mask_id, label (the ignore index = void), and where all classes were
        asked for their list."""
        with atomic(self.path / "answers.jsonl") as temporary:
            answers.to_json(temporary, orient="records", lines=True)

    def read_answers(self) -> pd.DataFrame:
        """Read the answers: image, mask_id, label (the ignore index = void), and classes where all classes were asked
        for. Of a person's answers (`a2lc.runs.answers`) those that stand, in the order of the queue, with
        whole_image, mixed and cut.

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
                answer = (str(record["image"]), whole_in(record["mask_id"], "mask_id"), label_in(record["label"]))
                if records and ("classes" in record) != (len(records[0]) == 4):
                    raise ValueError("some answers have classes, others have not")
                records.append((*answer, [*map(label_in, record["classes"])]) if "classes" in record else answer)
            except (KeyError, TypeError, ValueError, RecursionError) as error:  # ValueError: also of json
                what = f"expected image, mask_id and label, found {line[:80].decode(errors='replace')!r} ({error})"
                raise damaged(path, what, number) from error
        if from_person:
            return answers_table(from_person)
        columns = ["image", "mask_id", "label", "classes"]
        return pd.DataFrame(records, columns=columns[: len(records[0]) if records else 3])

    def _rows_said(self, flag: str) -> np.ndarray:
        answers = self.read_answers()
        said = answers[flag].to_numpy(bool) if flag in answers else np.zeros(len(answers), bool)
        return self.queried_rows()[said]
