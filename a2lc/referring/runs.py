"""A run on referring expressions on disk: a folder, a subfolder per round, stages that are never done twice.

RUNS/referring/<dataset>-<method>-r<rate>-s<seed>-<hash8>/
    config.json  provenance.json  labelled.json
    round_00/  model.safetensors  metrics.json  state.json
    round_01/  proposals.parquet  rewards.parquet  decisions.parquet  policy.json  evolved/  model.safetensors
               truth.parquet      what decisions came to; training never reads it
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from a2lc.files import damaged, differences, is_locked, read_json, read_parquet, write_json
from a2lc.referring.config import Experiment
from a2lc.runs import StageFolder

STAGES = ("proposed", "rewarded", "decided", "trained", "evolved")
FIRST = ("trained",)
FOLDER = "referring"
"""In the folder of all runs: A²LC's own commands look at what lies directly in that."""
CONFIG, PROVENANCE, LABELLED = "config.json", "provenance.json", "labelled.json"


class ReferringRun:
    """A run, finished or not.

    Attributes:
        path: its folder.
        config: the `Experiment`.
    """

    def __init__(self, path: Path, config: Experiment) -> None:
        self.path, self.config = path, config

    @classmethod
    def create(cls, config: Experiment, runs_dir: str | os.PathLike[str], provenance: dict[str, Any]) -> ReferringRun:
        """Open the folder of a configuration, or make it.

        Args:
            config: the experiment.
            runs_dir: the folder of runs on referring expressions.
            provenance: of what the run is made; its ``data`` must equal that of an existing folder.

        Raises:
            ValueError: the folder holds another run, or other data; every difference is named.
        """
        run = cls(Path(runs_dir) / config.name, config)
        if not (run.path / CONFIG).is_file():
            write_json(run.path / PROVENANCE, provenance)
            write_json(run.path / CONFIG, config.model_dump(mode="json"))
            return run
        found = read_json(run.path / CONFIG, "dataset")
        wanted = config.model_dump(mode="json")
        wrong = [text for text in differences(wanted, found) if not text.startswith("root")]
        known = read_json(run.path / PROVENANCE, "data")["data"]
        if wrong := wrong + differences({"data": provenance["data"]}, {"data": known}):
            raise ValueError(
                f"{run.path}: holds another run: {'; '.join(wrong)}. Choose another runs_dir, or remove it"
            )
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ReferringRun:
        """Open an existing folder.

        Raises:
            FileNotFoundError: there is no run.
            ValueError: its configuration is damaged.
        """
        file = Path(path) / CONFIG
        if not file.is_file():
            raise FileNotFoundError(f"{path}: no run on referring expressions here (expected {CONFIG})")
        try:
            return cls(Path(path), Experiment(**read_json(file, "dataset", "rate")))
        except (TypeError, ValueError) as error:
            raise damaged(file, str(error)) from error

    def folder(self, round: int) -> StageFolder:
        """The files of a round, 0 = before any pseudo-label."""
        return StageFolder(self.path / f"round_{round:02d}", STAGES if round else FIRST)

    def __repr__(self) -> str:
        played = f"{self.finished_rounds} of {self.config.rounds} rounds" if self.finished_rounds >= 0 else "not begun"
        return f"ReferringRun({str(self.path)!r}: {self.config.method}, {played})"

    @property
    def finished_rounds(self) -> int:
        """Number of finished rounds of pseudo-labels; -1 when even round 0 is not there."""
        finished = -1
        while finished < self.config.rounds and self._is_done(finished + 1):
            finished += 1
        return finished

    @property
    def finished(self) -> bool:
        """Whether all rounds are played."""
        return self._is_done(self.config.rounds)

    def _is_done(self, round: int) -> bool:
        return self.folder(round).done((STAGES if round else FIRST)[-1])

    @property
    def status(self) -> str:
        """Where the run stands, in a few words."""
        if self.finished:
            return "finished"
        return "is being played" if is_locked(self.path) else "goes on when started again"

    @property
    def seconds(self) -> float:
        """Spent on all stages of all finished rounds."""
        return sum(sum(self.folder(n).state.finished.values()) for n in range(self.finished_rounds + 1))

    @property
    def labelled(self) -> tuple[str, ...]:
        """Names of the labelled images, sorted.

        Raises:
            FileNotFoundError, ValueError: the run has not begun, or its file is damaged.
        """
        return tuple(read_json(self.path / LABELLED))

    @property
    def provenance(self) -> dict[str, Any]:
        """Of what the run is made.

        Raises:
            FileNotFoundError, ValueError: the run has not begun, or its file is damaged.
        """
        return read_json(self.path / PROVENANCE, "data")

    @property
    def frozen_model(self) -> str | None:
        """What the frozen model calls itself; None where none is asked.

        Raises:
            FileNotFoundError, ValueError: the run has not begun, or its file is damaged.
        """
        identity = self.provenance.get("prior")
        return None if identity is None else str(identity["locator"].get("model", "unnamed"))

    @property
    def summary(self) -> pd.DataFrame:
        """A row per finished round: ``round``, ``accepted`` (share of unlabelled pairs), the losses, the metrics of
        each split that was measured (``val_oiou``, ``val_miou``, ``val_pr50``, ...), and of rounds after the first
        training ``seconds_proposed`` and so on, of the stages but the last.

        Raises:
            ValueError: a round's metrics are damaged; the message names the file.
        """
        rows = []
        for number in range(self.config.rounds + 1):
            file = self.path / f"round_{number:02d}" / "metrics.json"
            if file.is_file():
                rows.append(metrics := read_json(file, "round"))
                if wrong := {name: value for name, value in metrics.items() if isinstance(value, str | list | dict)}:
                    raise damaged(file, f"expected numbers, found {wrong}")
        return pd.DataFrame(rows)

    def decisions(self, round: int) -> pd.DataFrame:
        """A row per unlabelled sentence of a round: its state, gate, propensity, value, share of cells accepted; and
        where the truth was noted, IoU of the fused map and precision of the accepted cells.

        Raises:
            FileNotFoundError: the round has not come so far.
        """
        folder = self.path / f"round_{round:02d}"
        table = read_parquet(folder / "decisions.parquet", "sentence_id", "gate")
        if (folder / "truth.parquet").is_file():
            truth = read_parquet(folder / "truth.parquet", "sentence_id", "iou", "precision")
            table = table.merge(truth, on="sentence_id", how="left")
        return table
