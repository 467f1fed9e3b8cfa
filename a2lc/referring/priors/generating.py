"""Greedy generation, and how sure a model was of what it wrote."""

from __future__ import annotations

from typing import Any

import torch

LONGEST = 60  # words of a sentence that a model is asked about


def first_lines(sentence: str) -> str:
    """A sentence without marks that a tokenizer reads as commands, of at most `LONGEST` words."""
    return " ".join(sentence.replace("<", " ").replace(">", " ").replace("|", " ").split()[:LONGEST])


@torch.inference_mode()
def generate(
    model: Any, tokenizer: Any, inputs: Any, new_tokens: int, skip_special: bool = True
) -> tuple[list[str], list[float]]:
    """Continue n prompts greedily.

    Returns:
        The texts, and of each the mean probability of the tokens that have a digit in them (of all, where none has).
    """
    options = {"do_sample": False, "num_beams": 1, "max_new_tokens": new_tokens}
    made = model.generate(**inputs, **options, return_dict_in_generate=True, output_scores=True)
    logits = torch.stack(made.scores, 1).float()  # (n, t, vocabulary)
    tokens = made.sequences[:, -logits.shape[1] :]  # (n, t)
    chances = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].exp()  # (n, t)
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
    scores = []
    for row, sure in zip(tokens.tolist(), chances.tolist(), strict=True):
        said = [any(c.isdigit() for c in text) for text in tokenizer.convert_ids_to_tokens(row) if text is not None]
        kept = [value for value, digit in zip(sure, said, strict=False) if digit] or sure
        scores.append(float(sum(kept) / len(kept)))
    return texts, scores
