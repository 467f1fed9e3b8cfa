"""Tiny backbones of timm with weights of our own, in files: what pretrained ones are tested with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

NAME = "test_efficientnet.r160_in1k"  # 0.4 million parameters, maps at strides 2 to 32


def save_weights(folder: Path, name: str = NAME, seed: int = 0) -> Path:
    """Random weights of a timm model as ``<folder>/<name>.safetensors``, with statistics of batch norm of their own."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = timm.create_model(name)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"
