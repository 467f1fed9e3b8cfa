"""A folder in which stages are finished one after the other and never done twice: `state.json` says how far it is."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from tqdm.auto import tqdm

from a2lc.files import atomic, check_plain, damaged, missing, read_arrays, read_json, write_arrays, write_json
from a2lc.metrics import SegmentationMetrics

STAGES = ("scored", "queried", "answered", "corrected", "trained")
AUDITED = "audited"
"""A stage after ``answered`` in runs that audit corrections (`LCMSettings.audit`)."""
WaitsFor = Literal["answers", "approval"]
_WORKING = "working.safetensors"
_NOTES = "notes.json"


@dataclass
class State:
    """What ``state.json`` says: all that is known of how far a folder is.

    Attributes:
        finished: stage -> the seconds it took, of those that are finished, in order.
        waits_for: what a person has to do before the next stage can be finished; None where nobody is waited for.
        approved: whether a person is done with the corrections that were laid before them.
        exhausted: whether every mask has been queried, so that no round follows.
        noted: names of what the finished stages have noted for the metrics.
        truth: of round 0, a hash of the ground truth by which the run is measured; None: not noted, or there is none.
    """

    finished: dict[str, float] = field(default_factory=dict)
    waits_for: WaitsFor | None = None
    approved: bool = False
    exhausted: bool = False
    noted: list[str] = field(default_factory=list)
    truth: str | None = None

    @classmethod
    def read(cls, path: Path) -> State:
        """Read the file; a new state where there is none.

        Raises:
            ValueError: it is damaged; the message names it.
        """
        if not path.is_file():
            return cls()
        found = read_json(path, "finished")
        seconds = found["finished"]
        if not isinstance(seconds, dict) or any(type(value) not in (int, float) for value in seconds.values()):
            raise damaged(path, f"expected the seconds of each finished stage, found {str(seconds)[:60]}")
        state = cls(**{name: found[name] for name in asdict(cls()) if name in found})
        if state.waits_for not in (None, *get_args(WaitsFor)):
            raise damaged(
                path, f"waits_for: expected {', '.join(get_args(WaitsFor))} or null, found {state.waits_for!r}"
            )
        for name in ("approved", "exhausted"):
            if not isinstance(getattr(state, name), bool):
                raise damaged(path, f"{name}: expected true or false, found {getattr(state, name)!r}")
        if not isinstance(state.noted, list) or not all(isinstance(name, str) for name in state.noted):
            raise damaged(path, f"noted: expected names, found {state.noted!r:.60}")
        if not isinstance(state.truth, str | None):
            raise damaged(path, f"truth: expected a text or null, found {state.truth!r}")
        return state


class StageFolder:
    """A folder of stages, a round's or that of a model of round 0. What reads a file raises `FileNotFoundError` where
    it is missing, and `ValueError`, which names it and the way out, where it is damaged; a link in place of the folder
    is refused.

    Args:
        path: the folder.
        stages: all of them, in order.

    Attributes:
        path: the folder.
        state: how far it is.
    """

    def __init__(self, path: Path, stages: tuple[str, ...] = STAGES) -> None:
        check_plain(path, folder=True)
        self.path = path
        self._last = stages[-1]
        self.state = State.read(path / "state.json")
        self._bar: tqdm | None = None
        self._start = 0.0

    def done(self, stage: str) -> bool:
        """Whether a stage is finished."""
        return stage in self.state.finished

    def begin(self, stage: str, bar: tqdm | None = None) -> bool:
        """Whether a stage still has to be done; starts its clock and names it in the progress bar."""
        if bar is not None:
            bar.set_postfix_str(f"{self.path.name} {stage}")
            bar.update(self.done(stage))
        self._bar, self._start = bar, time.perf_counter()
        self.clean()
        return not self.done(stage)

    def end(self, stage: str, seconds: float | None = None) -> None:
        """Record that a stage is finished: its files are whole, and nobody is waited for any more. `seconds` where it
        was not this process's time."""
        self.state.finished[stage] = round(time.perf_counter() - self._start if seconds is None else seconds, 3)
        self.change(waits_for=None, noted=sorted(self._notes()))
        self.clean()
        if self._bar is not None:
            self._bar.update()

    def change(self, **fields: Any) -> None:
        """Set fields of the `State`, on the disk as well."""
        for name, value in fields.items():
            setattr(self.state, name, value)
        write_json(self.path / "state.json", asdict(self.state))

    def clean(self) -> None:
        """Remove what only the stages needed, once all of them are finished."""
        for name in (_WORKING, _NOTES):
            if self.done(self._last) and (self.path / name).is_file():  # looked at first: the folder may be read-only
                (self.path / name).unlink(missing_ok=True)

    def take_over(self, other: StageFolder) -> None:
        """Finish with the model, the metrics and the seconds of another folder."""
        for name in ("segmenter.safetensors", "metrics.json"):
            if not (other.path / name).is_file():
                raise missing(other.path / name)
        with atomic(self.path / "segmenter.safetensors") as temporary:
            shutil.copyfile(other.path / "segmenter.safetensors", temporary)
        write_json(self.path / "metrics.json", read_json(other.path / "metrics.json", "round"))
        self.change(finished=dict(other.state.finished))

    def note(self, **values: Any) -> None:
        """Keep numbers of a stage for the metrics."""
        write_json(self.path / _NOTES, self._notes() | values)

    def _notes(self) -> dict[str, Any]:
        path = self.path / _NOTES
        notes = read_json(path) if path.is_file() else {}
        if not isinstance(notes, dict):
            raise damaged(path, f"expected a JSON object, found {str(notes)[:60]}")
        if gone := [name for name in self.state.noted if name not in notes]:  # copied while the run was played
            raise damaged(path, f"expected {gone[0]}, which a finished stage has noted, found none")
        return notes

    def write_metrics(
        self, *, data: SegmentationMetrics | None, model: SegmentationMetrics | None, **values: Any
    ) -> None:
        """Write ``metrics.json``: the round's numbers, and IoU per class (null where a class does not occur)."""
        measured = {"data": data, "model": model}
        mious = {f"{name}_miou": metrics.miou if metrics else None for name, metrics in measured.items()}
        per_class = {
            f"{name}_iou": [None if np.isnan(iou) else float(iou) for iou in metrics.per_class]
            for name, metrics in measured.items()
            if metrics
        }
        lcm = {"n_auto": 0, "lcm_oa_before": None, "lcm_oa_after": None}
        write_json(self.path / "metrics.json", values | mious | lcm | self._notes() | per_class)

    def write_working(self, **arrays: np.ndarray) -> None:
        """Keep arrays that later stages need; removed with the last stage."""
        write_arrays(self.path / _WORKING, arrays)

    def working(self, name: str) -> np.ndarray:
        """An array kept by `write_working`.

        Raises:
            FileNotFoundError: it is gone, although the round is scored.
            ValueError: the file is damaged, or holds no such array.
        """
        path = self.path / _WORKING
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: missing, although the round is scored; to score it again, remove {self.path / 'state.json'}"
            )
        arrays = read_arrays(path)
        if name not in arrays:
            raise damaged(path, f"expected an array {name!r}, found {', '.join(arrays)}")
        return arrays[name]
