"""How good a network, or the frozen model alone, is on the sentences of a split, at the images' own size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from a2lc.referring.context import Context
from a2lc.referring.data import ReferringSplit
from a2lc.referring.gates import accepted
from a2lc.referring.metrics import ReferringMetrics, overlap
from a2lc.referring.network import Sesm
from a2lc.referring.pairs import Pairs, at_size, tensor_of
from a2lc.referring.text import Tokens
from a2lc.referring.training import predict


def measure(context: Context, network: Sesm | None, tokens: Tokens, names: Iterable[str]) -> dict[str, float]:
    """Metrics of splits, ``<split>_oiou`` and so on.

    Args:
        context: data and priors.
        network: in evaluation mode; None: the frozen model alone.
        tokens: of the network.
        names: of the splits.
    """
    found: dict[str, float] = {}
    for name in names:
        split = context.data.splits[name]
        if not len(split):
            continue
        counts = np.zeros((len(split), 2), np.int64)
        pairs = context.pairs(split, tokens)
        for row, logits in _logits(context, network, pairs):
            truth = split.checked_mask(int(pairs.refs[row]))
            counts[row] = overlap(at_size(logits, truth.shape).numpy() > 0, truth)
        numbers = ReferringMetrics.of(counts[:, 0], counts[:, 1]).numbers()
        found |= {f"{name}_{key}": value for key, value in numbers.items()}
    return found


def _logits(context: Context, network: Sesm | None, pairs: Pairs) -> Iterable[tuple[int, torch.Tensor]]:
    rows = list(range(len(pairs)))
    if network is not None:
        yield from predict(network, pairs, rows, context.config.training.batch, context.device)
        return
    for row in rows:
        prior = context.prior(pairs.split, row)
        assert prior is not None, "prior_only without a frozen model"
        yield row, torch.from_numpy(prior.probabilities() - 0.5)


def truth_of_decisions(
    split: ReferringSplit, table: pd.DataFrame, fused: Iterable[tuple[int, np.ndarray]]
) -> pd.DataFrame:
    """What decisions came to, for reports only.

    Args:
        split: of the pairs.
        table: with ``sentence_id`` and ``gate``.
        fused: sentence_id and (h, w) float32 map of each, in the table's order.

    Returns:
        ``sentence_id``; ``iou`` of the fused map at its own size, 1 where nothing is there and nothing was found;
        ``precision`` of the accepted cells, NaN where none.
    """
    refs = split.table.set_index("sentence_id")["ref_id"]
    rows = []
    for (number, one), gate in zip(fused, table["gate"], strict=True):
        mask = split.checked_mask(int(refs[number]))
        truth = torch.nn.functional.adaptive_avg_pool2d(tensor_of(mask).float()[None, None], one.shape)
        true = truth[0, 0].numpy() > 0.5
        both, any_ = overlap(one > 0.5, true)
        iou = both / any_ if any_ else float(not mask.any())  # an object without a cell of its own was not found
        cells = accepted(one, int(gate))
        right = float(((one > 0.5) == true)[cells].mean()) if cells.any() else np.nan
        rows.append((number, iou, right))
    return pd.DataFrame(rows, columns=["sentence_id", "iou", "precision"])
