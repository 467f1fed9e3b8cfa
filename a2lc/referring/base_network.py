"""The large network: Swin and BERT of transformers under the same guidance and decoder, for a GPU."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from a2lc.referring.network import Guidance, Sesm, Words
from a2lc.referring.text import BertText, BertTokens

SWIN = "microsoft/swin-base-patch4-window12-384-in22k"
SWIN_FOLDER = "swin-base"
STAGES = ["stage1", "stage2", "stage3", "stage4"]
WIDTH = 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as Swin was trained


class SwinPyramid(nn.Module):
    """A ``SwinBackbone`` as a pyramid at strides 4, 8, 16 and 32.

    Args:
        model: the model, all four stages of which it gives out.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.channels = tuple(model.channels)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) float in [0, 1] -> four maps."""
        shown = (images - self.mean) / self.std
        return list(self.model(shown).feature_maps)


def base_network(
    swin: Any, bert: Any, tokenizer: Any, guidance: Guidance = "learnt", words: Words = "attention", width: int = WIDTH
) -> tuple[Sesm, BertTokens]:
    """The large network of a ``SwinBackbone``, a ``BertModel`` and its tokenizer, and what turns sentences into its
    numbers."""
    return Sesm(SwinPyramid(swin), BertText(bert, width), width, guidance, words), BertTokens(tokenizer)


def load_base_network(
    guidance: Guidance, words: Words, folder: str | os.PathLike[str] | None = None
) -> tuple[Sesm, BertTokens]:
    """The large network with published weights, Swin-B (384, ImageNet-22k) and bert-base-uncased; nothing is
    downloaded.

    Args:
        guidance, words: as of `Sesm`.
        folder: of all weights; see `a2lc.pseudo_labels.weights`.

    Raises:
        FileNotFoundError: weights are nowhere; says where to put them.
        MissingExtraError: transformers is missing.
    """
    from a2lc.machine import TRANSFORMERS, require
    from a2lc.pseudo_labels.weights import find_bert
    from a2lc.segmenter.weight_files import weights_folder

    require(TRANSFORMERS)
    import transformers

    local = weights_folder(folder) / SWIN_FOLDER
    if not (local / "config.json").is_file():
        raise FileNotFoundError(f"{local}: no such folder; put config.json and model.safetensors of {SWIN} there")
    bert = find_bert(folder, offline=True)
    options = {"local_files_only": True, "trust_remote_code": False}
    swin = transformers.SwinBackbone.from_pretrained(local, out_features=STAGES, use_safetensors=True, **options)
    text = transformers.BertModel.from_pretrained(bert, add_pooling_layer=False, **options)
    return base_network(swin, text, transformers.AutoTokenizer.from_pretrained(bert, **options), guidance, words)
