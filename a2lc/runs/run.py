"""A run on disk: one folder, one subfolder per round, stages that are finished one after the other and never done
twice.

    runs/<dataset>-<method>-s<seed>-<hash8>/   (which folder: `a2lc.runs.places`)
        config.json  provenance.json  of one's own data also pictures.json (`a2lc.runs.pictures`)
        round_00/  masks.parquet  segmenter.safetensors  metrics.json  state.json
        round_01/  scores.parquet  queries.parquet  answers.jsonl  lcm.safetensors  masks.parquet
        segmenter.safetensors ...
        of a person's runs also:  proposals.parquet  approvals.jsonl  approved.parquet  (`a2lc.stages.proposals`)
        undone.jsonl  automatic corrections taken back (`a2lc.runs.decisions`)
    runs/shared/   initial masks of a dataset, round-0 model of a dataset and seed: what does not depend on the method

Every file is renamed into place when whole, and `state.json` names a stage only after its files are there: a process
killed anywhere is continued by the same command and ends with the same numbers. How far a round is, and whom it waits
for, stands in its `state.json` and nowhere else (`a2lc.runs.stage_folder.State`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from a2lc.config import Experiment
from a2lc.files import below, check_whole, damaged, differences, locked, missing, read_json, read_parquet, write_json
from a2lc.masks import MaskSet
from a2lc.runs.decisions import labels_after
from a2lc.runs.places import CONFIG, place_of, read_config, run_folders
from a2lc.runs.round_folder import RoundFolder
from a2lc.runs.stage_folder import STAGES, WaitsFor

if TYPE_CHECKING:
    from a2lc.segmenter import Segmenter

SHARED = "shared"
FORMAT = 2  # of run folders; one that does not say which belongs to the first


class Run:
    """A run, finished or not: what `a2lc.run` returns and `Run.open` finds.

    Attributes:
        path: the run's folder.
        config: the `Experiment`. Rounds beyond its ``rounds``, played for someone who asked for more, are not seen.
    """

    def __init__(self, path: Path, config: Experiment) -> None:
        self.path = path
        self.config = config

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """Open an existing run folder.

        Raises:
            FileNotFoundError: `path` is no run folder.
            ValueError: a file is damaged or not understood; the folder was written in another `FORMAT`; or the run's
                acquisition function is not registered here.
        """
        folder = Path(path)
        if folder.name in ("", ".."):  # such as "."; the folder's name and what lies beside it belong to a run
            folder = folder.resolve()
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"{folder}: no run here (expected config.json)")
        run = cls(folder, read_config(folder / CONFIG))
        run.check_format()
        return run

    @classmethod
    def create(cls, config: Experiment, runs_dir: str | os.PathLike[str], provenance: dict[str, Any]) -> Run:
        """Open the folder of this configuration, making it where it does not exist; one of fewer rounds becomes one of
        more, and data at another place are found there from now on.

        Args:
            config: the experiment.
            runs_dir: the folder of all runs.
            provenance: package versions, device and data hashes; the hashes must equal those of an existing folder.

        Raises:
            ValueError: the folder belongs to another configuration or to other data, every differing field is named
                with both values; or it was written in another `FORMAT`, or a file of it is damaged.
        """
        run = cls(place_of(config, runs_dir, lambda: provenance["masks"]), config)
        if not (run.path / CONFIG).is_file():
            with locked(Path(runs_dir) / f"{config.name}.new", quiet=True):  # two of one name get two folders
                run = cls(place_of(config, runs_dir, lambda: provenance["masks"]), config)
                if not (run.path / CONFIG).is_file():
                    write_json(run.path / "provenance.json", provenance | {"format": FORMAT})
                    run.save_config()
                    return run
        file = run.path / CONFIG
        run.check_format()
        found = read_config(file)
        wrong, proof = differences(config.identity(), found.identity()), run.path / "provenance.json"
        data: list[str] = []
        if proof.is_file():
            data = differences({"data": provenance["data"]}, {"data": read_json(proof, "data")["data"]})
        if wrong := wrong + data:
            why = "Choose"
            if data:
                why = "The data have changed since it began: put them back, say where they lie now (--root), or choose"
            raise ValueError(f"{run.path}: holds another run: {'; '.join(wrong)}. {why} another runs_dir (--runs-dir).")
        if config.rounds > found.rounds:
            run.save_config()
        elif config.root != found.root:
            with suppress(PermissionError):  # a finished run may be read-only
                cls(run.path, found.model_copy(update={"root": config.root})).save_config()
        return run

    def save_config(self) -> None:
        """Write ``config.json``."""
        write_json(self.path / CONFIG, self.config.model_dump(mode="json"))

    def check_format(self) -> None:
        """Raise `ValueError` when the folder was written in another `FORMAT`, both are named, or ``provenance.json`` is
        missing or damaged; with the way out."""
        file = self.path / "provenance.json"
        if not file.is_file():
            raise damaged(file, "missing")
        found = read_json(file, "data").get("format", 1)
        if found != FORMAT:
            remedy = f"Read it with the a2lc that is named in {file}, or remove the folder to play the run again"
            raise ValueError(f"{self.path}: a run in format {found}, this a2lc knows format {FORMAT}. {remedy}")

    def folder(self, round: int) -> RoundFolder:
        """The files of a round, 0 = before any correction.

        Raises:
            TypeError: `round` is no whole number.
            ValueError: it is negative; or as `RoundFolder`.
        """
        check_whole(round, "round")
        return RoundFolder(self.path, round)

    @property
    def finished_rounds(self) -> int:
        """Number of finished correction rounds; -1 when even round 0 is not there."""
        finished = -1
        while finished < self.config.rounds and self.folder(finished + 1).done("trained"):
            finished += 1
        return finished

    @property
    def finished(self) -> bool:
        """Whether all rounds are done, or no mask is left to ask about."""
        played = self.finished_rounds
        return played >= self.config.rounds or (played >= 0 and self.folder(played).state.exhausted)

    @property
    def waits_for(self) -> WaitsFor | None:
        """What a person has to do before the next round can be finished: answer its queue (`a2lc.human.Queue`) or
        look at the LCM's corrections (`a2lc.human.Approval`); None where nobody is waited for."""
        return None if self.finished else self.folder(self.finished_rounds + 1).state.waits_for

    @property
    def last_labels(self) -> int:
        """The last round whose labels are there, -1 when there are none; its model may still have to be trained."""
        following = self.finished_rounds + 1
        played = following <= self.config.rounds and self.folder(following).done("corrected")
        return following if played else following - 1

    @property
    def status(self) -> str:
        """Where the run stands, in a few words."""
        if self.finished:
            return f"finished after round {self.finished_rounds}"
        what = f"waits for {self.waits_for}" if self.waits_for else "goes on when it is started again"
        return f"round {self.finished_rounds + 1} of {self.config.rounds} {what}"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.status})"

    @property
    def summary(self) -> pd.DataFrame:
        """A row per finished round: round, clicks, queried, data_miou, model_miou, n_auto, lcm_oa_before, lcm_oa_after
        (shares in [0, 1]), what else the round noted as a number, and seconds_<stage> for each stage; NaN where there
        is nothing to measure (superpixels have neither labels nor model in round 0).

        Raises:
            FileNotFoundError, ValueError: a round's metrics are missing or damaged; the message names the file.
        """
        rows = []
        for number in range(self.finished_rounds + 1):
            folder = self.folder(number)
            metrics = read_json(file := self._existing(number, "metrics.json"), "round")
            seconds = {f"seconds_{stage}": folder.state.finished.get(stage, float("nan")) for stage in STAGES}
            numbers = {name: value for name, value in metrics.items() if not isinstance(value, (list, dict))}
            if wrong := {name: value for name, value in numbers.items() if isinstance(value, str)}:
                raise damaged(file, f"expected numbers, found {wrong}")
            rows.append({name: float("nan") if value is None else value for name, value in numbers.items()} | seconds)
        return pd.DataFrame(rows)

    def metrics(self, round: int) -> dict[str, Any]:
        """Everything measured in a round, per class where it has classes.

        Raises:
            FileNotFoundError: the round is not finished.
            ValueError: its file is damaged.
        """
        return read_json(self._existing(round, "metrics.json"))

    def masks(self, round: int | None = None) -> MaskSet:
        """The masks after a round (None: after the last finished one), less what was undone since.

        Raises:
            FileNotFoundError: the round has no masks yet.
            ValueError: a file is damaged.
        """
        number = self.finished_rounds if round is None else round
        if round is None and number < 0:
            why = f"as {self.folder(0).path / 'state.json'} says of no round that it is finished"
            raise FileNotFoundError(f"{self.path}: no masks yet, {why}; start the run again, and it goes on")
        self._existing(number, "masks.parquet")
        return labels_after(MaskSet.load(self.initial), self.folder(number))

    def scores(self, round: int) -> pd.DataFrame:
        """Score of every mask in a round: image, mask_id, score; -inf for superpixels merged into another's region.

        Raises:
            FileNotFoundError: the round has no scores yet.
            ValueError: a file is damaged.
        """
        self._existing(round, "scores.parquet")
        return self.masks(0).table[["image", "mask_id"]].assign(score=self.folder(round).scores())

    def queries(self, round: int) -> pd.DataFrame:
        """The masks queried in a round, highest score first: image, mask_id, row, score, label (before) and answer;
        also classes, the list of all answered, where a query asks for them (K = void; `answer` is then void unless one
        class was answered). Labels are numbers, the ignore index = void. Of a person's queue those that were answered.

        Raises:
            FileNotFoundError: the round has no queries, or they have no answers yet.
            ValueError: a file is damaged, or the answers are about other masks.
        """
        queries, folder = read_parquet(self._existing(round, "queries.parquet"), "row", "score"), self.folder(round)
        if not folder.done("answered") or folder.state.waits_for == "answers":  # to audits
            raise FileNotFoundError(f"{folder.path}: the queries of this round have no answers yet")
        rows, masks, answers = folder.queried_rows(), self.masks(round - 1).table, folder.read_answers()
        before = masks.iloc[rows][["image", "mask_id", "label"]].reset_index(drop=True)
        more = {"classes": answers["classes"]} if "classes" in answers else {}
        return before.assign(row=rows, score=queries["score"].to_numpy(), answer=folder.answered_labels(masks), **more)

    def segmenter(self, round: int, device: str = "auto") -> Segmenter:
        """The segmentation model trained in a round, with its weights.

        Args:
            round: from 0, the model trained on the first labels.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            FileNotFoundError: the round has no model (yet).
            ValueError: its file is damaged or of a network of the user's own, or this machine lacks the device.
        """
        from a2lc.segmenter import build_segmenter  # needs PyTorch, which a look at a run does not

        weights = self._existing(round, "segmenter.safetensors")
        settings = self.config.segmenter.model_copy(update={"keep": "last"})  # nothing is trained here
        outputs = self.config.outputs(len(self.masks(0).classes))
        model = build_segmenter(settings, outputs, device, shared=self.path.parent / SHARED)
        model.load(weights)
        return model

    @property
    def initial(self) -> Path:
        """The folder of the masks that the run began with, and of what is known of them; other runs share it.

        Raises:
            ValueError: the provenance is damaged.
        """
        file = self.path / "provenance.json"
        name = read_json(file, "masks")["masks"]
        if not isinstance(name, str):
            raise damaged(file, f"expected the name of the masks, found {name!r}")
        return below(self.path.parent / SHARED, name)

    def _existing(self, round: int, name: str) -> Path:
        folder = self.folder(round)
        path = folder.path / name
        if not path.is_file():
            writes = {"masks.parquet": "corrected" if round else "trained", "metrics.json": "trained"}
            if folder.done(writes.get(name, "")):
                raise missing(path)
            raise FileNotFoundError(
                f"{path}: round {round} has no {name}; finished are rounds 0 to {self.finished_rounds}"
            )
        return path


def find_runs(runs_dir: str | os.PathLike[str]) -> list[Run]:
    """All runs below a folder, by name.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: one cannot be read.
    """
    return [Run.open(folder) for folder in run_folders(runs_dir) if (folder / CONFIG).exists()]
