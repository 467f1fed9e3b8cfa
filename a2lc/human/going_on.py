"""Going on with a run that waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2lc.files import is_locked
from a2lc.human.approval import UNDECIDED, Approval
from a2lc.human.queue import Queue
from a2lc.runs import Run

if TYPE_CHECKING:
    from a2lc.stages.context import SegmenterFactory


def next_round(
    run: Run,
    enough: bool = False,
    *,
    device: str = "auto",
    segmenter: SegmenterFactory | None = None,
    progress: bool = True,
) -> Run:
    """Close the queue or the approval that a run waits for, and play until a person is needed again.

    Args:
        run: unfinished.
        enough: go on although not everything was answered or decided: masks without an answer go back to the pool,
            corrections that were not approved are not made.
        device: as for `a2lc.run`.
        segmenter: as for `a2lc.run`.
        progress: as for `a2lc.run`.

    Returns:
        The run, which waits for answers or for approval of the next round's, or is finished.

    Raises:
        ValueError: the run is finished, or its folder has another name than its configuration; or there is something
            left to answer or decide, and not `enough`; or this machine lacks the device; or as `a2lc.run`.
    """
    import a2lc.rounds  # needs PyTorch, which answering does not
    from a2lc.segmenter import resolve_device

    if segmenter is None:
        resolve_device(device)
    if run.finished:
        raise ValueError(f"{run.path}: {run.status}; for more, begin it again with more rounds")
    if run.path.name != run.config.name:
        raise ValueError(f"{run.path}: this configuration belongs into a folder of name {run.config.name}")
    if run.waits_for == "answers":
        Queue(run).close(enough)
    elif run.waits_for == "approval":
        Approval(run).close(enough)
    return a2lc.rounds.run(run.config, run.path.parent, device=device, segmenter=segmenter, progress=progress)


def state_of(run: Run) -> str:
    """What a run waits for, and how much of it is there, in a few words, as ``a2lc status`` prints them.

    Raises:
        FileNotFoundError, ValueError: as `Queue` and `Approval`.
    """
    if run.waits_for == "answers":
        queue = Queue(run)
        return f"answers of round {queue.round}: {len(queue) - len(queue.pending)} of {len(queue)}"
    if run.waits_for == "approval":
        approval = Approval(run)
        decided = int((approval.table["decision"] != UNDECIDED).sum())
        return f"approval of round {approval.round}: {decided} of {len(approval.table)}"
    if run.finished:
        return "finished"
    return "is being played" if is_locked(run.path) else "goes on when started again"
