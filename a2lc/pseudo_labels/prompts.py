"""From a class list to the detector's text prompt, and from the prompt's tokens back to a class.

GroundingDINO reads one sentence, "aeroplane. bicycle. ...", and gives every box one probability per token of it. Two
rules turn those into a class:

``spans``
    A name scores the mean probability of its tokens (as GroundingDINO's own evaluation on COCO does), a class the
    highest of its names.
``argmax``
    As the code released with ALC and A2LC: names are written as one word ("trafficlight"), the strongest token alone
    decides, and a table of token ids gives the class. A token that two classes share means the later class, so
    "traffic" is always a traffic sign (deviation D11).

Under both, a box's score is its strongest token's probability, among tokens of names; the text threshold is unused
(deviation D12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from a2lc.datasets.base import Classes
from a2lc.files import not_one_of

MAX_TOKENS = 256  # of a prompt, [CLS] and [SEP] included: what the detector reads
RULES = ("spans", "argmax")
SEPARATORS = ".?"  # end a name in the detector's eyes


@dataclass(frozen=True)
class Name:
    """One name of a class and where it stands: tokens `start` to `stop` of prompt number `prompt`."""

    text: str
    class_id: int
    token_ids: tuple[int, ...]
    prompt: int
    start: int

    @property
    def stop(self) -> int:
        """The position after the last token."""
        return self.start + len(self.token_ids)


@dataclass(frozen=True)
class Assigned:
    """Of n boxes: class ids (n,) int64, scores (n,) float32 in [0, 1], and which name each one answers to."""

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    phrases: tuple[str, ...]


class ClassPrompt:
    """The prompts of a class list, and what their tokens mean.

    Attributes:
        captions: the prompts; one, unless the names have more tokens than the detector reads.
        names: every name, in order.
        rule: ``spans`` or ``argmax``.
        table: a row per name: prompt, name, class, class_id, tokens (list of str), positions ("start:stop").
        shared: token -> the classes that share it, in order.
    """

    def __init__(self, classes: Classes, names: Sequence[Name], tokenizer: Any, rule: str) -> None:
        self.rule = rule
        self.names = tuple(names)
        count = names[-1].prompt + 1
        self.captions = tuple(". ".join(n.text for n in names if n.prompt == p) + "." for p in range(count))
        self._class_of_token = {token: name.class_id for name in names for token in name.token_ids}  # the later wins
        words = {token: str(tokenizer.convert_ids_to_tokens(token)) for token in self._class_of_token}
        self.table = pd.DataFrame(
            {
                "prompt": [n.prompt for n in names],
                "name": [n.text for n in names],
                "class": [classes.names[n.class_id] for n in names],
                "class_id": [n.class_id for n in names],
                "tokens": [[words[token] for token in n.token_ids] for n in names],
                "positions": [f"{n.start}:{n.stop}" for n in names],
            }
        )
        users = {token: {n.class_id for n in names if token in n.token_ids} for token in words}
        self.shared = {
            words[token]: tuple(classes.names[c] for c in sorted(ids)) for token, ids in users.items() if len(ids) > 1
        }

    def report(self) -> str:
        """The table as text, then the tokens that classes share and what becomes of them."""
        shown = self.table.assign(tokens=[" ".join(tokens) for tokens in self.table["tokens"]])
        lines = [shown.to_string(index=False)]
        for token, classes in self.shared.items():
            outcome = f"always means {classes[-1]!r}" if self.rule == "argmax" else "told apart by its position"
            lines.append(f"token {token!r} is shared by {', '.join(map(repr, classes))}: {outcome}")
        if len(self.captions) > 1:
            lines.append(f"{len(self.captions)} prompts: the names have more than {MAX_TOKENS} tokens")
        return "\n".join(lines)

    def assign(self, prompt: int, probs: NDArray[np.float32]) -> Assigned:
        """The class of each box.

        Args:
            prompt: which of the captions was asked.
            probs: (n, T) probabilities of the prompt's first T tokens, in [0, 1].
        """
        names = [name for name in self.names if name.prompt == prompt]
        mean = np.zeros((probs.shape[1], len(names)), dtype=np.float32)  # (T, names)
        for k, name in enumerate(names):
            mean[name.start : name.stop, k] = 1 / len(name.token_ids)
        positions = np.flatnonzero(mean.any(1))  # of tokens that belong to a name
        inside = probs[:, positions]
        scores = inside.max(1, initial=0.0)
        if self.rule == "spans":
            best = (probs @ mean).argmax(1)
            labels = np.array([name.class_id for name in names])[best]
        else:
            strongest = inside.argmax(1)
            meaning = [self._class_of_token[token] for name in names for token in name.token_ids]
            best, labels = mean[positions].argmax(1)[strongest], np.array(meaning)[strongest]
        return Assigned(labels.astype(np.int64), scores, tuple(names[k].text for k in best))


def build_prompt(
    classes: Classes,
    tokenizer: Any,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    rule: str = "spans",
) -> ClassPrompt:
    """Write the prompts of a class list.

    Args:
        classes: all but the background are asked for, in order.
        tokenizer: BERT's, from transformers.
        synonyms: class -> further names of it.
        rule: how tokens become classes, see the module's text.

    Raises:
        ValueError: an unknown rule or class; a name that is empty, given twice, contains a full stop or question mark,
            has words unknown to BERT, or is longer than a whole prompt.
    """
    written = written_names(classes, synonyms, rule)
    names: list[Name] = []
    prompt, end = 0, 1  # position 0 is [CLS]
    for text, class_id in written.items():
        tokens = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        if not tokens or tokenizer.unk_token_id in tokens:
            raise ValueError(f"class {classes.names[class_id]!r}: BERT has no tokens for the name {text!r}")
        if len(tokens) + 3 > MAX_TOKENS:
            raise ValueError(f"class {classes.names[class_id]!r}: {len(tokens)} tokens, expected < {MAX_TOKENS - 2}")
        if end + len(tokens) + 2 > MAX_TOKENS:  # its full stop and [SEP]
            prompt, end = prompt + 1, 1
        names.append(Name(text, class_id, tokens, prompt, end))
        end += len(tokens) + 1
    return ClassPrompt(classes, names, tokenizer, rule)


def written_names(
    classes: Classes, synonyms: Mapping[str, Sequence[str]] | None = None, rule: str = "spans"
) -> dict[str, int]:
    """Name as the prompt writes it -> class id, in order; arguments are those of `build_prompt`.

    Raises:
        ValueError: an unknown rule or class, synonyms that are no lists of names, or names for the background; a name
            that is empty, given twice, or contains a full stop or question mark; no class to ask for.
    """
    if rule not in RULES:
        raise ValueError(f"rule: {not_one_of(rule, RULES)}")
    synonyms = synonyms or {}
    for name, more in synonyms.items():
        if isinstance(more, str) or not isinstance(more, Sequence) or not all(isinstance(text, str) for text in more):
            raise ValueError(f"synonyms: expected a list of names for {name!r}, found {more!r}")
        if classes.index(name) == classes.background:
            raise ValueError(f"synonyms: the background {name!r} is not asked for, expected no names for it")
    written: dict[str, int] = {}
    for class_id, class_name in enumerate(classes.names):
        if class_id == classes.background:
            continue
        for given in (class_name, *synonyms.get(class_name, ())):
            text = ("" if rule == "argmax" else " ").join(given.lower().split())
            if not text:
                raise ValueError(f"class {class_name!r}: expected names with letters, found the empty name {given!r}")
            if set(text) & set(SEPARATORS):
                raise ValueError(f"class {class_name!r}: a name holds no '.' or '?' (they end it), found {given!r}")
            if text in written:
                first = classes.names[written[text]]
                raise ValueError(f"class {class_name!r}: the name {text!r} is given twice, first for {first!r}")
            written[text] = class_id
    if not written:
        raise ValueError("classes: expected at least one class besides the background")
    return written
