"""The closed loop of Learning to Label, after its published description: propose, reward, decide, train, evolve, round
after round. Start reading here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from a2lc.files import (
    locked,
    missing,
    read_arrays,
    read_json,
    read_parquet,
    remove_leftovers,
    write_arrays,
    write_json,
    write_parquet,
)
from a2lc.referring.config import SIMULATED, Experiment
from a2lc.referring.context import Context, NetworkFactory, load_network, make_context, provenance_of, save_network
from a2lc.referring.data import ReferringDataset
from a2lc.referring.gates import accepted, is_balanced, pseudo_weights
from a2lc.referring.maps import SHARD, Maps
from a2lc.referring.measure import measure, truth_of_decisions
from a2lc.referring.network import Sesm
from a2lc.referring.pairs import Batch, Pairs
from a2lc.referring.policy import Rewarded, decide
from a2lc.referring.priors.base import Locator, Shaper
from a2lc.referring.priors.shapes import as_bytes
from a2lc.referring.proposals import (
    REWARDS,
    Proposal,
    choose_fusion,
    predict_all,
    propose,
    reward_table,
)
from a2lc.referring.runs import FOLDER, LABELLED, ReferringRun
from a2lc.referring.state import NAMES, Standard, fuse
from a2lc.referring.text import Tokens
from a2lc.referring.training import predict, train
from a2lc.runs import StageFolder
from a2lc.segmenter import resolve_device

MODEL, FUSED, TEACHER = "model.safetensors", "fused", "teacher"


def run(
    config: Experiment,
    runs_dir: str | os.PathLike[str] = "runs",
    *,
    device: str = "auto",
    data: ReferringDataset | None = None,
    locator: Locator | None = None,
    shaper: Shaper | None = None,
    network: NetworkFactory | None = None,
    weights: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> ReferringRun:
    """Run an experiment on referring expressions, or continue it where it stopped; a finished one returns at once, and
    its frozen model is not loaded.

    Args:
        config: the experiment.
        runs_dir: where runs are kept, these in its subfolder ``referring``, beside runs of A²LC; priors, which runs
            share, lie in ``referring/shared``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        data: in place of ``config.dataset``.
        locator, shaper: a frozen model in place of ``config.prior`` and ``config.shape``.
        network: makes a network in place of ``config.training.network``.
        weights: folder of pretrained weights; see `a2lc.pseudo_labels.weights`.
        progress: whether to show bars.

    Raises:
        TypeError: `config` is no `a2lc.referring.Experiment`.
        ValueError: the folder holds another run, or a file is damaged.
        FileNotFoundError: data or weights are missing.
    """
    if not isinstance(config, Experiment):
        raise TypeError(f"config: expected an a2lc.referring.Experiment, found {config!r}")
    where = Path(runs_dir) / FOLDER
    kept = None
    if locator is None and config.prior != SIMULATED and (known := ReferringRun(where / config.name, config)).finished:
        kept = known.provenance.get("prior")
    context = make_context(
        config, where, resolve_device(device), data, locator, shaper, network, weights, progress, kept
    )
    result = ReferringRun.create(config, where, provenance_of(context, network))
    if result.finished:
        return result
    with locked(result.path):
        remove_leftovers(result.path)
        write_json(result.path / LABELLED, sorted(context.labelled))
        if context.store is not None:
            for split in context.data.splits.values():
                context.store.fill(split, progress=progress)
        teacher, tokens = start(context, result.folder(0))
        for number in range(1, config.rounds + 1):
            teacher = play_round(context, teacher, tokens, result, number)
    return result


def start(context: Context, folder: StageFolder) -> tuple[Sesm | None, Tokens]:
    """Round 0: train on the labelled images, less those of the first rewards; or measure the frozen model alone."""
    network, tokens = context.new_network()
    if not context.config.trains:
        if folder.begin("trained"):
            write_metrics(context, None, tokens, folder, 0, {})
            folder.end("trained")
        return None, tokens
    if folder.begin("trained"):
        pairs = context.pairs(context.learnt_from(0), tokens)
        training, seed = context.config.training, context.seeds(0)["training"]
        teacher, log = train(network, pairs, training, seed, context.device, progress=context.progress)
        save_network(teacher.network, folder.path / MODEL)
        write_metrics(context, teacher.network, tokens, folder, 0, {"loss_labelled": log.labelled})
        folder.end("trained")
    return load_network(network, folder.path / MODEL, context.device), tokens


def play_round(
    context: Context, teacher: Sesm | None, tokens: Tokens, result: ReferringRun, number: int
) -> Sesm | None:
    """One round: the teacher of round r-1 in, that of round r out. A finished stage is read, not repeated."""
    assert teacher is not None, "rounds without a network"
    folder, seeds = result.folder(number), context.seeds(number)
    evolved = evolved_before(context, result.folder(number - 1))
    pairs = context.pairs(context.unknown, tokens, evolved)

    # 1. The teacher looks at every unlabelled pair, in a weak and in a strong view, under the prior as it has evolved.
    if folder.begin("proposed"):
        propose_all(context, teacher, pairs, folder, "proposals", seeds["views"])
        folder.end("proposed")

    # 2. The same on labelled images that it has not learnt from: there, every gate's worth is known.
    if folder.begin("rewarded"):
        reward(context, teacher, tokens, folder, number, seeds["views"])
        folder.end("rewarded")

    # 3. A policy is learnt from these rewards, and chooses the gate of every unlabelled pair.
    if folder.begin("decided"):
        decide_all(context, pairs, folder, number, seeds["policy"])
        folder.end("decided")

    # 4. A student learns from labelled images and from accepted cells; the teacher is its average.
    network, _ = context.new_network()
    if folder.begin("trained"):
        about = train_round(context, network, tokens, pairs, folder, number, seeds["training"])
        write_json(folder.path / "losses.json", about)
        folder.end("trained")
    teacher = load_network(network, folder.path / MODEL, context.device)

    # 5. Where a pair was accepted, its prior moves towards what the new teacher says; elsewhere it stays as it was.
    if folder.begin("evolved"):
        evolve(context, teacher, pairs, folder)
        write_metrics(context, teacher, tokens, folder, number, read_json(folder.path / "losses.json", "accepted"))
        for name in (FUSED, TEACHER):
            shutil.rmtree(folder.path / name, ignore_errors=True)
        folder.end("evolved")
    return teacher


def propose_all(context: Context, teacher: Sesm, pairs: Pairs, folder: StageFolder, name: str, seed: int) -> None:
    """Write the teacher's maps, and the IoU of its two views in a table of this name."""
    views = np.zeros(len(pairs))
    Maps.write(folder.path / TEACHER / name, predict_all(context, teacher, pairs, seed, views))
    write_parquet(folder.path / f"{name}.parquet", pd.DataFrame({"sentence_id": pairs.numbers, "views": views}))


def proposed(context: Context, pairs: Pairs, folder: StageFolder, name: str) -> Iterator[Proposal]:
    """What `propose_all` has kept."""
    views = read_parquet(folder.path / f"{name}.parquet", "views")["views"].to_numpy()
    return propose(context, pairs, Maps(folder.path / TEACHER / name), views)


def reward(context: Context, teacher: Sesm, tokens: Tokens, folder: StageFolder, number: int, seed: int) -> None:
    """Write what every gate is worth on this round's reward images, and how much the prior weighs for every
    unlabelled pair."""
    split = context.known.of_images(context.reward_images(number))
    pairs = context.pairs(split, tokens)
    propose_all(context, teacher, pairs, folder, "reward_pairs", seed)
    every = proposed(context, pairs, folder, "reward_pairs")
    cells = [(one, pairs.truth(one.row, (one.teacher.shape[0], one.teacher.shape[1])).numpy()) for one in every]
    told = [(one, part > 0.5) for one, part in cells if (part > 0.5).any() or not part.any()]  # else it is too small
    known, truths = [one for one, _ in told], [truth for _, truth in told]
    fusion = choose_fusion(context, known, truths)
    write_parquet(folder.path / "rewards.parquet", reward_table(context, split, known, truths, fusion))
    others = context.pairs(context.unknown, tokens)
    weights = np.array([fusion.weight(one) for one in proposed(context, others, folder, "proposals")], np.float64)
    write_arrays(folder.path / "weights.safetensors", {"weight": weights})


def decide_all(context: Context, pairs: Pairs, folder: StageFolder, number: int, seed: int) -> None:
    """Write the gate of every unlabelled pair; brake (4) rejects those whose accepted cells are out of balance."""
    config = context.config
    weights = read_arrays(folder.path / "weights.safetensors")["weight"]
    raw = np.zeros((len(pairs), len(NAMES)))

    def fused() -> Iterator[tuple[int, np.ndarray]]:
        for one, weight in zip(proposed(context, pairs, folder, "proposals"), weights, strict=True):
            raw[one.row] = one.state(float(weight), config.uses_prior)
            yield int(pairs.numbers[one.row]), as_bytes(one.fused(float(weight)))

    maps = Maps.write(folder.path / FUSED, fused())
    table = read_parquet(folder.path / "rewards.parquet", "image", *NAMES, *REWARDS)
    standard = Standard.of(raw)
    rewarded = Rewarded(
        standard(table[list(NAMES)].to_numpy(np.float64)),
        table[REWARDS].to_numpy(np.float64),
        table["image"].to_numpy(str),
    )
    explore = config.explore if number < config.rounds else 0.0
    found = decide(config, standard(raw), raw, rewarded, len(context.labelled), explore, seed)
    gates, shares, unbalanced = found.gates.copy(), np.zeros(len(pairs)), 0
    for row, number_ in enumerate(pairs.numbers.tolist()):
        if gates[row] == 0:
            continue
        one = maps[number_].astype(np.float32) / 255
        cells = accepted(one, int(gates[row]))
        if config.balanced and not is_balanced(one, cells):
            gates[row], unbalanced = 0, unbalanced + 1
        else:
            shares[row] = cells.mean()
    decisions = pd.DataFrame({"sentence_id": pairs.numbers, **dict(zip(NAMES, raw.T, strict=True)), "weight": weights})
    decisions = decisions.assign(
        gate=gates, propensity=found.propensity, value=found.value, share=shares, chosen=found.gates
    )
    write_parquet(folder.path / "decisions.parquet", decisions)
    coverage = float((gates > 0).mean()) if len(gates) else 0.0
    write_json(folder.path / "policy.json", {**found.notes, "unbalanced": unbalanced, "accepted": coverage})
    if config.reports_truth and context.unknown.has_truth:
        shown = ((n, maps[n].astype(np.float32) / 255) for n in pairs.numbers.tolist())
        write_parquet(folder.path / "truth.parquet", truth_of_decisions(context.unknown, decisions, shown))


def train_round(
    context: Context, network: Sesm, tokens: Tokens, pairs: Pairs, folder: StageFolder, number: int, seed: int
) -> dict[str, Any]:
    """Train on labelled images, less those of the next round's rewards, and on accepted cells; keep the teacher."""
    decisions = read_parquet(folder.path / "decisions.parquet", "sentence_id", "gate")
    gates, maps = decisions["gate"].to_numpy(), Maps(folder.path / FUSED)
    rows = np.flatnonzero(gates)

    def batch_of(places: Any) -> Batch:
        some = [int(rows[place]) for place in places]
        inputs = pairs.inputs(some)
        soft = [maps[int(pairs.numbers[row])].astype(np.float32) / 255 for row in some]
        chosen = [accepted(one, int(gates[row])) for one, row in zip(soft, some, strict=True)]
        weight = [pseudo_weights(one, cells) for one, cells in zip(soft, chosen, strict=True)]
        target = np.stack(soft) > 0.5
        return Batch(*inputs, torch.from_numpy(target).float(), torch.from_numpy(np.stack(weight)))

    known = context.pairs(context.learnt_from(number), tokens)
    settings = context.config.training
    teacher, log = train(network, known, settings, seed, context.device, (len(rows), batch_of), context.progress)
    save_network(teacher.network, folder.path / MODEL)
    share = float((gates > 0).mean()) if len(gates) else 0.0
    return {"accepted": share, "loss_labelled": log.labelled, "loss_accepted": log.accepted}


def evolve(context: Context, teacher: Sesm, pairs: Pairs, folder: StageFolder) -> None:
    """Write the priors of accepted pairs for the next round, between what the frozen model said and what the new
    teacher says; a pair that was rejected begins again with the frozen model's."""
    gates = read_parquet(folder.path / "decisions.parquet", "gate")["gate"].to_numpy()
    rows = np.flatnonzero(gates).tolist() if context.config.is_guided else []

    def moved() -> Iterator[tuple[int, np.ndarray]]:
        for row, logits in predict(teacher, pairs, rows, context.config.training.batch, context.device):
            prior = context.prior(pairs.split, row)
            assert prior is not None
            first = torch.from_numpy(prior.probabilities())
            said = logits.sigmoid()[None, None]
            said = torch.nn.functional.interpolate(said, first.shape, mode="bilinear", align_corners=False)[0, 0]
            yield int(pairs.numbers[row]), as_bytes(fuse(first.numpy(), said.numpy(), 1 - context.config.evolve))

    Maps.write(folder.path / "evolved", moved())


def evolved_before(context: Context, folder: StageFolder) -> Maps:
    """The priors that have moved by the end of a round.

    Raises:
        FileNotFoundError: some are gone; says what to remove, so that they are made again.
    """
    found, decisions = Maps(folder.path / "evolved"), folder.path / "decisions.parquet"
    if context.config.is_guided and folder.done("evolved") and decisions.is_file():
        expected = int((read_parquet(decisions, "gate")["gate"] > 0).sum())
        if len(found) != expected:
            raise missing(found.folder / f"shard_{len(found) // SHARD:05d}.safetensors")
    return found


def write_metrics(
    context: Context, network: Sesm | None, tokens: Tokens, folder: StageFolder, number: int, about: dict[str, Any]
) -> None:
    """Write the round's numbers: of ``val``, and after the last round of every split that is no training data."""
    last = number == context.config.rounds
    names = [name for name in context.data.splits if name != "train"] if last else ["val"]
    found = measure(context, network, tokens, names)
    done = {f"seconds_{stage}": seconds for stage, seconds in folder.state.finished.items()}
    write_json(folder.path / "metrics.json", {"round": number, "accepted": 0.0, **about, **found, **done})
