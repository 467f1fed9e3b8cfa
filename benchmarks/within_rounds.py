"""Is `method: instant` ahead of A²LC at every number of answers? `python benchmarks/within_rounds.py voc --out FOLDER`.

Table 1 compares where rounds end. Here both are measured after every `reorder_every` answers: A²LC with the labels of
its last round and the answers given since (its LCM corrects when a round ends), instant with what it corrects by then.
A²LC's runs are those of Table 1 in `--runs`, and are played where they are missing. Writes instant_within.{csv,md,tex}
and prints the smallest margin from 3 % of the masks on.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from instant import play
from profiles import profile_arguments, profile_masks

from a2lc.instant import mask_features
from a2lc.metrics import TruthHistogram, truth_histogram
from a2lc.paper.origin import origin
from a2lc.paper.tables import save_table
from a2lc.rounds import run
from a2lc.runs import Run

FROM = 0.03  # of the masks; so many answers are asked about before the two are compared


def within_rounds(result: Run, truth: TruthHistogram, every: int) -> pd.Series:
    """Data mIoU in [0, 1] of a run after every so many answers of each of its rounds, by the number of all answers.

    Args:
        result: finished, of whole masks that are answered once.
        truth: of its masks.
        every: answers.
    """
    found, given = {}, 0
    for number in range(1, result.finished_rounds + 1):
        before, rows = result.masks(number - 1), result.folder(number).queried_rows()
        for count in range(0, len(rows), every):
            answered = before.relabel(rows[:count], truth.majority[rows[:count]], source="annotator", round=number)
            found[given + count] = truth.data_metrics(answered).miou
        given += len(rows)
    found[given] = truth.data_metrics(result.masks(result.finished_rounds)).miou
    return pd.Series(found)


def main() -> None:
    arguments = profile_arguments(__doc__).parse_args()
    config, dataset, masks, kept = profile_masks(arguments.profile, arguments.root, arguments.runs, method="a2lc")
    truth = truth_histogram(masks, dataset.train)
    features = mask_features(config.instant.features, masks, dataset.train, shared=kept.parent, kept=kept)
    every, curves = config.instant.reorder_every, []
    for seed in range(arguments.seeds):
        result = run(config.model_copy(update={"seed": seed}), arguments.runs)
        ours = within_rounds(result, truth, every)
        steps = round(ours.index[-1] / every)
        answers, miou = play(masks, truth, features, seed, steps, True)[0].T
        curves.append(pd.DataFrame({"a2lc": 100 * ours, "instant": 100 * np.interp(ours.index, answers, miou)}))
    table = (sum(curves) / len(curves)).rename_axis("answers").reset_index()
    table["margin"] = table["instant"] - table["a2lc"]
    caption = (
        f"Data mIoU (%) within rounds: {arguments.profile}, {len(masks.names)} images, {len(masks)} masks; "
        f"pseudo-labels {origin(config)}; mean of {len(curves)} seed(s)."
    )
    save_table(table.round(2), "instant_within", arguments.out, caption)
    compared = table[table["answers"] >= FROM * len(masks)]
    least = compared.loc[compared["margin"].idxmin()]
    print(f"from {FROM:.0%} of the masks on: smallest margin {least['margin']:+.2f} at {least['answers']:.0f} answers")


if __name__ == "__main__":
    main()
