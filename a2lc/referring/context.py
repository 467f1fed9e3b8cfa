"""What stays the same in a run on referring expressions: data, labelled images, priors, networks, seeds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2lc.files import fingerprint, read_arrays, write_arrays
from a2lc.machine import surroundings
from a2lc.referring.base_network import load_base_network
from a2lc.referring.config import FEW_IMAGES, SIMULATED, Experiment
from a2lc.referring.data import ReferringDataset, ReferringSplit, labelled_images
from a2lc.referring.loading import load_dataset
from a2lc.referring.maps import Maps
from a2lc.referring.network import Sesm, small_network
from a2lc.referring.pairs import Pairs
from a2lc.referring.priors.base import STRIDE, Locator, Prior, Shaper
from a2lc.referring.priors.models import load_locator, load_sam
from a2lc.referring.priors.simulated import SimulatedLocator
from a2lc.referring.priors.simulated_sam import SimulatedSam
from a2lc.referring.priors.store import PriorStore
from a2lc.referring.runs import ReferringRun
from a2lc.referring.text import Tokens, Vocabulary
from a2lc.segmenter import resolve_device

LOOKED_AT = 16  # labelled images by which other data are recognised
PRIORS = Path("shared") / "priors"  # in the folder of runs
PARTS = 4  # one of so many parts of the labelled images is kept for rewards
NetworkFactory = Callable[[ReferringSplit], tuple[Sesm, Tokens]]
"""The training split -> a new network, and what turns sentences into its numbers."""


@dataclass
class Context:
    """What a run is played with.

    Attributes:
        config: the experiment.
        data: its data.
        labelled: names of the labelled images, in the order in which parts of them are kept for rewards.
        known, unknown: the sentences about labelled images, and about the others.
        store: the priors; None: none is needed.
        new_network: see `NetworkFactory`; the first weights depend on the seed alone.
        device: where to compute.
        progress: whether to show bars.
    """

    config: Experiment
    data: ReferringDataset
    labelled: tuple[str, ...]
    known: ReferringSplit
    unknown: ReferringSplit
    store: PriorStore | None
    new_network: Callable[[], tuple[Sesm, Tokens]]
    device: torch.device
    progress: bool

    def prior(self, split: ReferringSplit, row: int) -> Prior | None:
        """The frozen model's prior of a sentence; None where it is not asked."""
        if self.store is None:
            return None
        of = split.table.iloc[row]
        return self.store.of(split, str(of["image"]), int(of["sentence_id"]))

    def pairs(self, split: ReferringSplit, tokens: Tokens, evolved: Maps | None = None) -> Pairs:
        """A split as the network reads it; of the sentences in `evolved`, the prior is what is there."""
        numbers = split.table["sentence_id"].to_numpy()
        nothing = np.zeros((1, 1), np.uint8)

        def shown(row: int) -> tuple[np.ndarray, float]:
            prior = self.prior(split, row) if self.config.is_guided else None
            if prior is None:
                return nothing, 0.0
            number = int(numbers[row])
            return (evolved[number] if evolved is not None and number in evolved else prior.proposal), prior.score

        return Pairs(split, tokens, shown, self.config.training.size)

    def reward_images(self, round: int) -> tuple[str, ...]:
        """The labelled images that no training before round r may learn from, as gates are rewarded there: one of
        `PARTS` parts, another one each round; none where no policy is learnt, or after the last round."""
        config = self.config
        if not config.learns_policy or len(self.labelled) < FEW_IMAGES or not 1 <= round <= config.rounds:
            return ()
        part = (round - 1) % PARTS
        return tuple(np.array_split(np.array(self.labelled, object), PARTS)[part].tolist())

    def learnt_from(self, round: int) -> ReferringSplit:
        """The labelled sentences that the training of round r learns from: all but the next round's rewards."""
        kept = set(self.labelled) - set(self.reward_images(round + 1))
        return self.known.of_images(kept)

    def seeds(self, round: int) -> dict[str, int]:
        """Seeds of a round, by what they are for."""
        names = ("training", "views", "policy")
        found = np.random.SeedSequence([self.config.seed, round]).generate_state(len(names))
        return {name: int(seed) for name, seed in zip(names, found, strict=True)}


def make_context(
    config: Experiment,
    runs_dir: Path,
    device: torch.device,
    data: ReferringDataset | None,
    locator: Locator | None,
    shaper: Shaper | None,
    network: NetworkFactory | None,
    weights: str | os.PathLike[str] | None,
    progress: bool,
    kept: dict[str, Any] | None = None,
) -> Context:
    """Load data and frozen model, choose the labelled images; arguments as of `a2lc.referring.run`. With `kept`, what a
    run has noted of its frozen model, that model's answers are read and it is not loaded."""
    data = data or load_dataset(config.dataset, config.root, split_by=config.split_by, **config.options)
    chosen = labelled_images(data.train, config.rate, config.seed)
    order = np.random.default_rng([config.seed, 3]).permutation(len(chosen))
    labelled = tuple(chosen[place] for place in order)
    others = set(data.train.names) - set(labelled)
    store = None
    if config.needs_prior and kept is not None:
        store = PriorStore.kept(runs_dir / PRIORS, kept)
    elif config.needs_prior:
        made_up = locator is None and config.prior == SIMULATED
        if shaper is None and config.shape == "sam":
            drawn = list(data.splits.values())
            shaper = SimulatedSam(drawn) if made_up else load_sam(weights, device=str(device))
        if made_up:
            locator = SimulatedLocator(list(data.splits.values()))
        elif locator is None:
            locator = load_locator(config.prior, weights, device=str(device))
        store = PriorStore(runs_dir / PRIORS, locator, shaper)

    def new_network() -> tuple[Sesm, Tokens]:
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            return (network or _network_of(config, weights))(data.train)

    known, unknown = data.train.of_images(labelled), data.train.of_images(others)
    return Context(config, data, labelled, known, unknown, store, new_network, device, progress)


def _network_of(config: Experiment, weights: str | os.PathLike[str] | None) -> NetworkFactory:
    settings = config.training

    def make(train: ReferringSplit) -> tuple[Sesm, Tokens]:
        if settings.network == "base":
            return load_base_network(settings.guidance, settings.words, weights)
        vocabulary = Vocabulary.of(train.table["sentence"])
        return small_network(len(vocabulary), settings.guidance, settings.words), vocabulary

    return make


def context_of(run: ReferringRun, data: ReferringDataset, device: str) -> Context:
    """What a run was played with, without its frozen model, whose answers are kept."""
    where = resolve_device(device)
    return make_context(
        run.config, run.path.parent, where, data, None, None, None, None, False, run.provenance.get("prior")
    )


def provenance_of(context: Context, network: NetworkFactory | None = None) -> dict[str, Any]:
    """Of what a run is made: data, priors, packages, machine; and where it is given, what makes the network."""
    digest = hashlib.sha256()
    for name, split in sorted(context.data.splits.items()):
        table = split.table.to_csv(index=False, lineterminator="\n")
        digest.update(f"{name}\n{table}".encode())
    identity = None if context.store is None else context.store.identity
    data = {"sentences": digest.hexdigest()[:16], "images": _look_of(context), "prior": fingerprint(identity)}
    about = "after the published description of Learning to Label (arXiv 2605.28239v1)"
    made = {"data": data, "method": about, "prior": identity, **surroundings(), "device": str(context.device)}
    if network is not None:
        kind = network if hasattr(network, "__qualname__") else type(network)  # an object that can be called
        made["network"] = f"{kind.__module__}.{kind.__qualname__}"
    return made


def _look_of(context: Context) -> str:
    """16 digits of what some labelled images and the objects on them look like."""
    digest, table = hashlib.sha256(), context.known.table
    for name in sorted(context.labelled)[:LOOKED_AT]:
        image = context.known.checked_image(name)
        digest.update(f"{name} {image.shape}\n".encode() + np.ascontiguousarray(image).tobytes())
        for reference in table.loc[table["image"] == name, "ref_id"].unique():
            digest.update(np.packbits(context.known.checked_mask(int(reference))).tobytes())
    return digest.hexdigest()[:16]


def save_network(network: Sesm, file: Path) -> None:
    """Write a network's weights."""
    write_arrays(file, {name: value.cpu().numpy() for name, value in network.state_dict().items()})


def load_network(network: Sesm, file: Path, device: torch.device) -> Sesm:
    """Give a network weights that `save_network` has written.

    Raises:
        FileNotFoundError, ValueError: the file is missing, damaged, or of another network; the message names it.
    """
    arrays = read_arrays(file)
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except RuntimeError as error:
        raise ValueError(f"{file}: weights of another network ({str(error).splitlines()[0]})") from error
    return network.to(device).eval()


def map_size(image: np.ndarray, size: tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns of a network's maps of an image."""
    high, wide = size or (image.shape[0], image.shape[1])
    return -(-high // STRIDE), -(-wide // STRIDE)
