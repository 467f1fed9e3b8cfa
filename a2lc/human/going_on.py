"""Going on with a run that waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2lc.files import is_locked
from a2lc.human.approval import APPROVED, REJECTED, UNDECIDED, Approval
from a2lc.human.moving import dataset_of
from a2lc.human.queue import Queue
from a2lc.runs import Run, place_of

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
        FileNotFoundError: its dataset is gone, and nothing is closed; or as `a2lc.run`.
        ValueError: the run is finished, or its folder is not the one of its configuration; or there is something left
            to answer or decide, and not `enough`; or this machine lacks the device; or as `a2lc.run`.
    """
    import a2lc.rounds  # needs PyTorch, which answering does not
    from a2lc.segmenter import resolve_device

    if segmenter is None:
        resolve_device(device)
    if run.finished:
        raise ValueError(f"{run.path}: {run.status}; for more, begin it again with more rounds")
    if (place := place_of(run.config, run.path.parent)) != run.path:
        raise ValueError(f"{run.path}: this configuration belongs into a folder of name {place.name}")
    dataset_of(run)  # first of all: without it nothing would come of what is closed
    if run.waits_for == "answers":
        Queue(run).close(enough)
    elif run.waits_for == "approval":
        Approval(run).close(enough)
    return a2lc.rounds.run(run.config, run.path.parent, device=device, segmenter=segmenter, progress=progress)


def what_came_of(closed: Queue | Approval | None, run: Run) -> list[str]:
    """What happened in a round, in sentences.

    Args:
        closed: the queue or approval that `next_round` has closed.
        run: what it returned.
    """
    if closed is None:
        return []
    head = f"round {closed.round}:"
    if isinstance(closed, Approval):
        counts = closed.table["decision"].value_counts()
        approved, rejected, undecided = (int(counts.get(said, 0)) for said in (APPROVED, REJECTED, UNDECIDED))
        return [f"{head} {approved} corrections made, {rejected} rejected, {undecided} undecided and not made"]
    back = len(closed.pending)
    told = [f"{head} {closed.answered} answers counted, {closed.skipped} skipped"]
    if void := closed.masks.table["image"].iloc[closed.discarded_rows].nunique():
        told[0] += f", {void} images void as a whole"
    told[0] += f", {mixed} masks of several classes" if (mixed := len(closed.mixed_rows)) else ""
    told[0] += f", {len(closed.found)} more that nobody asked about" if closed.found else ""
    told[0] += f", {back} of {len(closed)} masks had no answer and are back in the pool" if back else ""
    if run.waits_for == "approval" and (approval := Approval(run)).round == closed.round:
        told.append(f"{head} {len(approval.table)} corrections of other masks are proposed")
    elif run.config.lcm and run.finished_rounds >= closed.round:
        made = 0 if run.config.approval else int(run.metrics(closed.round)["n_auto"])
        why = f"the LCM is at least {run.config.correction.threshold(closed.round):g} sure of no other label"
        if run.config.is_instant:
            why = "the answers are not sure enough of any other label" if closed.answered else "nothing was answered"
        nothing = f"{head} nothing is proposed: {why}, so there is nothing to approve of"
        told.append(f"{head} {made} other masks corrected" if made else nothing)
    return told


def state_of(run: Run) -> str:
    """What a run waits for, and how much of it is there, in a few words, as ``a2lc status`` prints them.

    Raises:
        FileNotFoundError, ValueError: as `Queue` and `Approval`.
    """
    if run.waits_for == "answers":
        queue = Queue(run)
        skipped = f", {queue.skipped} skipped" if queue.skipped else ""
        return f"answers of round {queue.round}: {queue.answered} of {len(queue)}{skipped}"
    if run.waits_for == "approval":
        approval = Approval(run)
        decided = int((approval.table["decision"] != UNDECIDED).sum())
        return f"approval of round {approval.round}: {decided} of {len(approval.table)}"
    if run.finished:
        return "finished"
    return "is being played" if is_locked(run.path) else "goes on when started again"
