"""What a round proposes: the teacher's map of every pair beside its prior, how the two are fused, and what both were
worth where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from a2lc.acceptance.rewards import RewardModels
from a2lc.referring.context import Context
from a2lc.referring.data import ReferringSplit
from a2lc.referring.gates import ACTIONS, gate_rewards, near
from a2lc.referring.maps import Maps
from a2lc.referring.network import Sesm
from a2lc.referring.pairs import Pairs, at_size
from a2lc.referring.priors.shapes import as_bytes
from a2lc.referring.state import NAMES, OF_PRIORS, PriorLooks, Standard, fuse, soft_iou, state_of
from a2lc.referring.training import predict

REWARDS = [f"reward_{gate}" for gate in range(1, ACTIONS + 1)]


@dataclass(frozen=True)
class Proposal:
    """One pair.

    Attributes:
        row: in its split.
        teacher, prior: (h, w) float32 in [0, 1]; the prior is all 0 where none is used.
        views: IoU of the teacher's weak and strong view.
        looks: what the prior says of itself.
        sentence: the sentence.
    """

    row: int
    teacher: np.ndarray
    prior: np.ndarray
    views: float
    looks: PriorLooks
    sentence: str

    def fused(self, weight: float) -> np.ndarray:
        """(h, w) float32, with this weight of the prior."""
        return fuse(self.prior, self.teacher, weight)

    def state(self, weight: float, uses_prior: bool) -> np.ndarray:
        """(d,) what decisions look at, with this weight of the prior; where no prior is used, what is of it is 0."""
        found = state_of(self.fused(weight), self.teacher, self.views, self.prior, self.looks, self.sentence)
        if not uses_prior:
            found[list(OF_PRIORS)] = 0
        return found


def propose(context: Context, pairs: Pairs, maps: Maps, views: np.ndarray) -> Iterator[Proposal]:
    """The proposals of all pairs, one after the other, from what `predict_all` has kept."""
    for row in range(len(pairs)):
        q = maps[int(pairs.numbers[row])].astype(np.float32) / 255
        prior = context.prior(pairs.split, row) if context.config.uses_prior else None
        if prior is None:
            p, looks = np.zeros_like(q), PriorLooks(0.0, 0.0, 0.0)
        else:
            p = at_size(torch.from_numpy(prior.probabilities()), q.shape).numpy()
            looks = PriorLooks(prior.score, prior.agreement, prior.quality)
        yield Proposal(row, q, p, float(views[row]), looks, pairs.sentences[row])


def predict_all(
    context: Context, teacher: Sesm, pairs: Pairs, seed: int, views: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """What the teacher says of every pair, as `Maps.write` takes it; (n,) `views` gets the IoU of two views."""
    rows, batch = list(range(len(pairs))), context.config.training.batch
    weak = predict(teacher, pairs, rows, batch, context.device)
    strong = predict(teacher, pairs, rows, batch, context.device, seed)
    for (row, logits), (_, other) in zip(weak, strong, strict=True):
        chance = logits.sigmoid().numpy()
        views[row] = soft_iou(chance, other.sigmoid().numpy())
        yield int(pairs.numbers[row]), as_bytes(chance)


class Fusion:
    """How much the prior weighs beside the teacher, pair by pair: by what both are expected to be worth (IoU), from two
    regressions on reward images; one half where nothing is known.

    Attributes:
        models: the regressions, prior first; None: a fixed weight.
    """

    def __init__(self, fixed: float, standard: Standard | None = None, models: RewardModels | None = None) -> None:
        self._fixed, self._standard, self.models = fixed, standard, models

    @classmethod
    def learn(cls, states: np.ndarray, worth: np.ndarray) -> Fusion:
        """From (n, d) states of pairs, fused half and half, and (n, 2) IoU of prior and of teacher."""
        standard = Standard.of(states)
        return cls(0.5, standard, RewardModels.fit(standard(states), worth))

    def weight(self, proposal: Proposal) -> float:
        """The weight of the prior, in [0, 1]."""
        if self._standard is None or self.models is None:
            return self._fixed
        mean, _ = self.models.expected(self._standard(proposal.state(0.5, True)[None]))
        of_prior, of_teacher = np.clip(mean[0], 0.01, 1)
        return float(of_prior / (of_prior + of_teacher))


def choose_fusion(context: Context, known: list[Proposal], truths: list[np.ndarray]) -> Fusion:
    """How a round fuses: as configured, learnt from what prior and teacher were worth on reward images."""
    config = context.config
    if not config.uses_prior:
        return Fusion(0.0)
    if config.fusion == "fixed" or not config.learns_policy:
        return Fusion(config.fusion_weight)
    states = np.array([proposal.state(0.5, True) for proposal in known]).reshape(-1, len(NAMES))
    pairs = zip(known, truths, strict=True)
    worth = [(_worth(one.prior, truth), _worth(one.teacher, truth)) for one, truth in pairs]
    return Fusion.learn(states, np.array(worth).reshape(-1, 2))


def _worth(one: np.ndarray, truth: np.ndarray) -> float:
    """IoU; 1 for a map that rightly says that nothing is there."""
    return soft_iou(one, truth) if truth.any() or (one > 0.5).any() else 1.0


def reward_table(
    context: Context, split: ReferringSplit, known: list[Proposal], truths: list[np.ndarray], fusion: Fusion
) -> pd.DataFrame:
    """A row per pair of a reward image: image, state, and what each gate is worth."""
    rows = []
    for proposal, truth in zip(known, truths, strict=True):
        weight = fusion.weight(proposal)
        fused = proposal.fused(weight)
        worth = gate_rewards(fused, truth, near(fused, proposal.prior), context.config.needed_precision)
        of = split.table.iloc[proposal.row]
        state = dict(zip(NAMES, proposal.state(weight, context.config.uses_prior), strict=True))
        about = {"sentence_id": int(of["sentence_id"]), "image": str(of["image"]), "weight": weight}
        rows.append(about | state | dict(zip(REWARDS, worth, strict=True)))
    return pd.DataFrame(rows, columns=["sentence_id", "image", "weight", *NAMES, *REWARDS])
