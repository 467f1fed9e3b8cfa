"""Sentences as numbers: a vocabulary of the training sentences for the small network, BERT's for the large one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from a2lc.referring.data import words_of

LONGEST = 20  # words of a sentence that a network reads
PADDING, UNKNOWN = 0, 1


class Tokens(Protocol):
    """Turns sentences into numbers."""

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        """(N, T) int64 word numbers of N sentences, `PADDING` after the last word."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of some sentences; all others are `UNKNOWN`.

    Attributes:
        words: sorted.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Iterable[str]) -> Vocabulary:
        """All words of these sentences."""
        return cls(tuple(sorted({word for sentence in sentences for word in words_of(sentence)})))

    def __len__(self) -> int:
        """Numbers that occur, padding and unknown included."""
        return len(self.words) + 2

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        """See `Tokens`; a sentence without a word is one unknown word, one of more than `LONGEST` is cut."""
        number = {word: place + 2 for place, word in enumerate(self.words)}
        rows = [[number.get(word, UNKNOWN) for word in words_of(s)[:LONGEST]] or [UNKNOWN] for s in sentences]
        longest = max(map(len, rows))
        return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows], dtype=torch.int64)


class BertTokens:
    """BERT's own word pieces.

    Args:
        tokenizer: a tokenizer of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        """See `Tokens`."""
        found = self.tokenizer(
            list(sentences), padding=True, truncation=True, max_length=LONGEST + 2, return_tensors="pt"
        )
        numbers: torch.Tensor = found["input_ids"]
        return numbers.masked_fill(found["attention_mask"] == 0, PADDING)


class GruText(nn.Module):
    """Embeddings and one bidirectional GRU, trained from scratch.

    Args:
        size: of the vocabulary.
        width: d of every word, even.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(size, width, padding_idx=PADDING)
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """(N, T) word numbers -> (N, T, d); padding is 0."""
        there = words != PADDING
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(words), there.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        found, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=words.shape[1])
        return found


class BertText(nn.Module):
    """A BERT of transformers, its words projected.

    Args:
        model: a ``BertModel``.
        width: d of every word.
    """

    def __init__(self, model: Any, width: int) -> None:
        super().__init__()
        self.width = width
        self.model = model
        self.project = nn.Linear(model.config.hidden_size, width)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """(N, T) word numbers -> (N, T, d); padding is 0."""
        there = words != PADDING
        found = self.model(input_ids=words, attention_mask=there.long()).last_hidden_state
        projected: torch.Tensor = self.project(found)
        return projected * there[..., None]
