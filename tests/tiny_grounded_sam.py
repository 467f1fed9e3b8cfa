"""Grounded-SAM's real classes at small size with random weights: what tests/test_grounded_sam.py builds."""

from __future__ import annotations

import hashlib
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from a2lc.pseudo_labels.weights import WEIGHTS, Weights

WORDS = (
    "road sky car person tree sign light traffic ##light ##sign van a b c d e f g h i j k l m n o p q r s t u v w x y z"
)
INPUT_SIZE = (256, 256)


def save_bert(folder: Path, words: str = WORDS) -> Path:
    """A two-layer BERT with a vocabulary of its own, saved as transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *words.split()]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), **size)).save_pretrained(folder)
    return folder


def pass_for_published(patch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
    """Let the file in `folder` that is named like these weights pass for the published one."""
    published = WEIGHTS[name]
    content = (folder / published.file).read_bytes()
    patch.setitem(WEIGHTS, name, Weights(name, published.url, hashlib.sha256(content).hexdigest(), len(content)))


def tiny_dino(bert: Path, **changes: Any) -> torch.nn.Module:
    """GroundingDINO with Swin-T as published, but one layer each of encoder and decoder and 300 queries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from groundingdino import config
        from groundingdino.models import build_model
        from groundingdino.util.slconfig import SLConfig

        args = SLConfig.fromfile(os.path.join(config.__path__[0], "GroundingDINO_SwinT_OGC.py"))
        small = {"enc_layers": 1, "dec_layers": 1, "dim_feedforward": 64, "num_queries": 300}
        plain = {"use_checkpoint": False, "use_transformer_ckpt": False, "text_encoder_type": str(bert)}
        for name, value in {**small, **plain, **changes}.items():
            setattr(args, name, value)
        torch.manual_seed(1)
        model = build_model(args)
    with torch.no_grad():
        model.transformer.decoder.norm.weight *= 0.1  # else logits are so large that all probabilities are 0 or 1
        torch.nn.init.normal_(model.bbox_embed[0].layers[-1].weight, std=0.5)  # boxes of many sizes
    return model.eval()


def tiny_sam(size: int = 128) -> torch.nn.Module:
    """Segment Anything's own parts, for images of `size` pixels instead of 1024."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(2)
    grid, width = size // 16, 32
    sam = Sam(
        ImageEncoderViT(
            img_size=size, embed_dim=16, depth=2, num_heads=2, out_chans=width, use_rel_pos=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), global_attn_indexes=(1,), window_size=4,
        ),
        PromptEncoder(width, (grid, grid), (size, size), mask_in_chans=4),
        MaskDecoder(transformer_dim=width, transformer=TwoWayTransformer(2, width, 2, 32), iou_head_hidden_dim=16),
    )  # fmt: skip
    return sam.eval()


def build_sam() -> torch.nn.Module:
    """By the package's own builder: images of 1024 pixels, a decoder of full size, one narrow layer of the encoder."""
    from segment_anything.build_sam import _build_sam

    torch.manual_seed(3)
    return _build_sam(16, 1, 2, [])
