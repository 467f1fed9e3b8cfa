"""The experiment of somebody who corrects labels of their own: a person answers, and approves what the LCM proposes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from a2lc.config import Experiment
from a2lc.files import nearest
from a2lc.segmenter.pretrained import has_frozen_weights

SUPERPIXELS = ("slic", "seeds")
WAYS = ("regions", *SUPERPIXELS)  # to cut labels into masks


def own_experiment(root: str | os.PathLike[str], masks: str = "regions", side: int = 32, **fields: Any) -> Experiment:
    """The configuration with which labels of one's own are corrected; for `a2lc.run`.

    Args:
        root: the dataset: images/, labels/ and classes.txt (`a2lc.datasets.folder`).
        masks: how labels are cut into masks: ``regions`` (connected, of one label), ``slic`` or ``seeds``
            (superpixels), or a folder of object maps, a PNG per image, such as ``obj_jpg`` of ``a2lc sam-masks``.
        side: of superpixels: square root of their mean area in pixels, >= 4.
        fields: further fields of `Experiment`, such as ``budget`` and ``rounds``; they win. Without ``segmenter``, or
            with an empty one, frozen features are taken where their weights are on this machine
            (`a2lc.segmenter.pretrained`), else the light network (`about_network` says which); to go on with a run that
            was begun without the weights, name its network.

    Raises:
        ValueError: a field is unknown or wrong; `masks` is neither a way to cut nor a folder.
    """
    cut: dict[str, Any] = {"kind": "own_labels"}
    if masks in SUPERPIXELS:
        cut["superpixels"] = {"algorithm": masks, "side": side}
    elif masks != "regions":
        if not Path(masks).is_dir():
            found = f"found {masks!r}{nearest(masks, WAYS)}"
            raise ValueError(f"masks: expected {', '.join(WAYS)} or a folder of object maps, {found}")
        cut["object_maps"] = Path(masks)
    chosen: dict[str, Any] = {"dataset": "folder", "root": Path(root), "annotator": "human", "pseudo_labels": cut}
    if not fields.get("segmenter"):
        fields["segmenter"] = {"network": "frozen" if has_frozen_weights() else "light"}
    return Experiment(**chosen | fields)


def about_network(config: Experiment) -> str:
    """One line: which network learns from the labels, and what brings the weights of frozen features where they are
    missing."""
    if config.is_instant:
        return f"no network is trained; features of masks: {config.instant.features}"
    network = config.segmenter.network
    if network != "light":
        return f"network: {network}, on {config.segmenter.backbone}"
    better = "" if has_frozen_weights() else "; for features that know ImageNet, pip install 'a2lc[pretrained]'"
    return f"network: light, from scratch{better}"
