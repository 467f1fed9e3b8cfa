"""The frozen models behind priors, of transformers' real classes, at tiny size with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tiny_grounded_sam import save_bert

CPU = torch.device("cpu")


def byte_vocabulary(folder: Path, special: tuple[str, ...], endings: bool = False) -> tuple[str, str]:
    """The files of a byte-level vocabulary without merges."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters if endings), *special]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return str(folder / "vocab.json"), str(folder / "merges.txt")


def tiny_clipseg(folder: Path) -> tuple[Any, Any]:
    """CLIPSeg for images of 32 pixels."""
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizerFast,
        ViTImageProcessor,
    )

    files = byte_vocabulary(folder, ("<|startoftext|>", "<|endoftext|>"), endings=True)
    tokenizer = CLIPTokenizerFast(*files, model_max_length=40)
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1, "pad_token_id": len(tokenizer) - 1}
    config = CLIPSegConfig(
        text_config=layers | ends | {"vocab_size": len(tokenizer), "max_position_embeddings": 40},
        vision_config=layers | {"image_size": 32, "patch_size": 8},
        projection_dim=16, extract_layers=[0, 1], reduce_dim=8, decoder_num_attention_heads=2,
        decoder_intermediate_size=16, conditional_layer=0,
    )  # fmt: skip
    torch.manual_seed(0)
    shape = ViTImageProcessor(size={"height": 32, "width": 32})
    return CLIPSegForImageSegmentation(config), CLIPSegProcessor(shape, tokenizer)


def tiny_dino(folder: Path) -> tuple[Any, Any]:
    """GroundingDINO of transformers with 20 queries."""
    from transformers import (
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    tokenizer = BertTokenizerFast.from_pretrained(save_bert(folder))
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = {
        "model_type": "bert", "vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16,
    }  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, num_queries=20, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        max_text_len=128, disable_custom_kernels=True,
    )  # fmt: skip
    torch.manual_seed(1)
    model = GroundingDinoForObjectDetection(config)
    shape = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return model, GroundingDinoProcessor(shape, tokenizer)


def tiny_qwen(folder: Path) -> tuple[Any, Any]:
    """Qwen2.5-VL with a byte vocabulary, images of a few cells."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2TokenizerFast,
        Qwen2VLImageProcessorFast,
        Qwen2VLVideoProcessor,
    )

    marks = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
    pads = ("<|image_pad|>", "<|video_pad|>")
    files = byte_vocabulary(folder, (*marks, *pads))
    tokenizer = Qwen2TokenizerFast(*files, additional_special_tokens=[*marks[1:], *pads])
    number = tokenizer.convert_tokens_to_ids
    vision = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16, "patch_size": 14,
        "window_size": 56, "fullatt_block_indexes": [0],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        vision_config=vision, vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
        rope_scaling={"type": "mrope", "mrope_section": [2, 1, 1]},
        bos_token_id=number("<|endoftext|>"), eos_token_id=number("<|im_end|>"), pad_token_id=number("<|endoftext|>"),
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    torch.manual_seed(2)
    shape = Qwen2VLImageProcessorFast(min_pixels=56 * 56, max_pixels=112 * 112)
    return Qwen2_5_VLForConditionalGeneration(config), Qwen2_5_VLProcessor(shape, tokenizer, Qwen2VLVideoProcessor())


def tiny_florence(folder: Path) -> tuple[Any, Any]:
    """Florence-2 with a byte vocabulary and marks of places."""
    from transformers import (
        BartTokenizerFast,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    files = byte_vocabulary(folder, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    tokenizer = BartTokenizerFast(*files, extra_special_tokens={"image_token": "<image>"})
    tokenizer.add_tokens([f"<loc_{place}>" for place in range(1000)])
    vision = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
        "patch_prenorm": [False, True], "embed_dim": [8, 16], "num_heads": [2, 2], "num_groups": [2, 2],
        "window_size": 4, "projection_dim": 16,
    }  # fmt: skip
    number = tokenizer.convert_tokens_to_ids
    text = {
        "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "bos_token_id": number("<s>"), "pad_token_id": number("<pad>"), "eos_token_id": number("</s>"),
        "decoder_start_token_id": number("</s>"), "forced_eos_token_id": None, "max_position_embeddings": 512,
    }  # fmt: skip
    torch.manual_seed(3)
    model = Florence2ForConditionalGeneration(
        Florence2Config(text_config=text, vision_config=vision, image_token_id=tokenizer.image_token_id)
    )
    shape = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    shape.image_seq_length = 4 * 4 + 1
    return model, Florence2Processor(shape, tokenizer)


def tiny_sam() -> tuple[Any, Any]:
    """Segment Anything of transformers for images of 64 pixels."""
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {
        "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 64,
        "patch_size": 16, "window_size": 2, "global_attn_indexes": [0], "mlp_dim": 16, "num_pos_feats": 8,
    }  # fmt: skip
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4, "num_pos_feats": 8}
    decoder = {
        "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
    }  # fmt: skip
    torch.manual_seed(4)
    model = SamModel(SamConfig(vision, prompt, decoder))
    shape = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return model, SamProcessor(shape)
