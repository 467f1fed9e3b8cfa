"""Weights from files: the check that they fit a network, and the checkpoints of VainF's DeepLabV3Plus-Pytorch."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from a2lc.files import nearest
from a2lc.segmenter.deeplab import HIGH_LEVEL_CHANNELS, DeepLabV3Plus

CLASSIFIER = "classifier.classifier.3.weight"


def from_released_checkpoint(
    path: str | os.PathLike[str], backbone: str = "resnet101", num_classes: int = 19
) -> DeepLabV3Plus:
    """DeepLabV3+ with the weights of a checkpoint in the format of VainF's DeepLabV3Plus-Pytorch.

    Such a file is a dict whose ``model_state`` holds ``backbone.*`` and ``classifier.*``; optimiser state and scores
    beside it are skipped. Nothing in it is executed (``weights_only=True``).

    Args:
        path: the file, as the A²LC and ALC code writes it.
        backbone: ``resnet18``, ``resnet50``, ``resnet101`` or ``mobilenet_v2``.
        num_classes: K, 19 for Cityscapes and 21 for PASCAL VOC.

    Returns:
        The network in evaluation mode, on the CPU; its forward gives logits (N, K, H, W) at input size.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: unknown backbone; damaged file, no ``model_state``, another number of classes or other parameters.
    """
    if backbone not in HIGH_LEVEL_CHANNELS:
        known = ", ".join(HIGH_LEVEL_CHANNELS)
        hint = nearest(backbone, HIGH_LEVEL_CHANNELS)
        raise ValueError(f"backbone: expected one of {known}, found {backbone!r}{hint}")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: damaged, or it holds more than tensors and numbers ({error})") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model_state"), dict):
        found = sorted(map(str, checkpoint)) if isinstance(checkpoint, dict) else type(checkpoint).__name__
        raise ValueError(f"{path}: expected a dict with 'model_state', found {found}")
    network = DeepLabV3Plus(num_classes, backbone)
    load_weights(network, checkpoint["model_state"], path)
    return network.eval()


def load_weights(network: nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Copy `state` into `network` when names and shapes agree.

    Raises:
        ValueError: they do not; the message names the file, the parameters and both shapes.
    """
    wanted = network.state_dict()
    differing = [
        f"{name} (expected {tuple(wanted[name].shape)}, found {tuple(state[name].shape)})"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    if CLASSIFIER in wanted and CLASSIFIER in state and len(wanted[CLASSIFIER]) != len(state[CLASSIFIER]):
        raise ValueError(f"{path}: expected {len(wanted[CLASSIFIER])} classes, found {len(state[CLASSIFIER])}")
    problems = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("missing", [name for name in wanted if name not in state]),
            ("unexpected", [name for name in state if name not in wanted]),
            ("of another shape", differing),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{path}: these weights belong to another network; {'; '.join(problems)}")
    network.load_state_dict(state)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _numpy_scalars() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What a NumPy number in a checkpoint is made of (the best score is one), under the names of NumPy 1 and 2."""
    scalar: Any = np.float64(0).__reduce__()[0]  # the function that NumPy itself names in a pickle
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]
