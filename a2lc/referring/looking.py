"""Looking at what a run has made of a sentence: its prior, what the network of a round says, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from a2lc.referring.context import context_of, load_network
from a2lc.referring.data import ReferringDataset
from a2lc.referring.gates import accepted
from a2lc.referring.maps import Maps
from a2lc.referring.pairs import at_size
from a2lc.referring.priors.base import Prior
from a2lc.referring.priors.shapes import as_bytes
from a2lc.referring.runs import ReferringRun
from a2lc.referring.state import fuse
from a2lc.referring.training import predict


@dataclass(frozen=True)
class Look:
    """What there is to see of one sentence.

    Attributes:
        sentence: the sentence.
        image: (H, W, 3) uint8.
        truth: (H, W) bool.
        prior: the frozen model's; None where the run asks none.
        said: (h, w) float32 in [0, 1], what the network says; None where none was trained.
        fused: (h, w) float32 in [0, 1], prior and network at the run's weight of this sentence, or half and half.
        cells: (h, w) bool, what the run has accepted of it; nothing where it was rejected or never decided on.
    """

    sentence: str
    image: np.ndarray
    truth: np.ndarray
    prior: Prior | None
    said: np.ndarray | None
    fused: np.ndarray | None
    cells: np.ndarray


def look(
    run: ReferringRun,
    data: ReferringDataset,
    split: str,
    sentence_id: int,
    round: int,
    device: str = "auto",
) -> Look:
    """Look at one sentence with the network of a round. The frozen model is not needed: its answers are kept.

    Args:
        run: a run that has come so far.
        data: the data it was played with.
        split: name of the split.
        sentence_id: of the sentence.
        round: its network, under the prior as it had evolved by then; what was accepted is of the round after it.
        device: where to compute.

    Raises:
        KeyError: the split has no such sentence.
        FileNotFoundError: the round is not there yet.
    """
    config = run.config
    context = context_of(run, data, device)
    of = data.splits[split]
    rows = np.flatnonzero(of.table["sentence_id"] == sentence_id)
    if not len(rows):
        raise KeyError(f"{split}: no sentence {sentence_id}")
    row = int(rows[0])
    sentence, image = str(of.table["sentence"].iloc[row]), of.checked_image(str(of.table["image"].iloc[row]))
    truth, prior = of.checked_mask(int(of.table["ref_id"].iloc[row])), context.prior(of, row)
    if not config.trains:
        shape = prior.proposal.shape if prior else (1, 1)
        return Look(sentence, image, truth, prior, None, None, np.zeros(shape, bool))
    network, tokens = context.new_network()
    load_network(network, run.path / f"round_{round:02d}" / "model.safetensors", context.device)
    evolved = Maps(run.path / f"round_{round:02d}" / "evolved") if split == "train" else None
    ((_, logits),) = predict(network, context.pairs(of, tokens, evolved), [row], 1, context.device)
    said = logits.sigmoid().numpy()
    gate, weight = 0, 0.5
    if split == "train" and round < config.rounds:
        found = run.decisions(round + 1)
        mine = found[found["sentence_id"] == sentence_id]
        if len(mine):
            gate, weight = int(mine["gate"].iloc[0]), float(mine["weight"].iloc[0])
    fused = said
    if prior is not None and config.uses_prior:
        fused = fuse(at_size(torch.from_numpy(prior.probabilities()), said.shape).numpy(), said, weight)
    fused = as_bytes(fused).astype(np.float32) / 255  # as runs keep it
    return Look(sentence, image, truth, prior, said, fused, accepted(fused, gate))
