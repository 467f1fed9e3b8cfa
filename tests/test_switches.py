"""Switches: a row for each departure, every value of every switch is taken, and all alternatives work together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scripted import lcm_of, told
from small_runs import network, seeded

import a2lc
from a2lc import Experiment
from a2lc.acquisition import class_weights, mask_statistics
from a2lc.acquisition.penultimate import with_penultimate_features
from a2lc.paper.switches import COLUMNS, switches_table

ALTERNATIVES = {
    "similarity": "representative",
    "scoring": {
        "features": "penultimate",
        "uniform_over": "all",
        "counted_masks": "all",
        "ref_squash": True,
        "lcil_pooling": "softmin",
        "merspx_shares": "quarter",
    },
    "correction": {"loss": "nll", "protected_labels": "tail", "protected_answers": "round"},
}


NEEDS_METHOD = {"merged": {"method": "merspx"}, "classes": {"method": "mulspx"}}  # values that superpixels alone take


def field_at(path: str, value: Any) -> dict[str, Any]:
    """Fields of an experiment with `value` at a dotted path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def test_every_known_departure_has_one_row() -> None:
    table = switches_table()
    assert list(table.columns) == list(COLUMNS) and (table[list(COLUMNS[:4])] != "").all(axis=None)
    assert table["id"].tolist()[:22] == [f"D{i}" for i in range(1, 23)]
    assert not table["id"][22:].str.startswith("D").any()
    assert table["switch"][table["switch"].str.startswith("`")].is_unique
    assert (table["values"].eq("") == table["switch"].str.startswith("none: ")).all()


def test_each_value_of_each_switch_is_taken_and_is_part_of_the_identity() -> None:
    switched = switches_table().query("switch.str.startswith('`') and values.str.contains('`')")
    assert len(switched) >= 12
    for path, values in zip(switched["switch"].str.strip("`"), switched["values"], strict=True):
        words = re.findall("`(.*?)`", values)
        parsed = [json.loads(word) if word in ("true", "false") else word for word in words]
        names = {Experiment(**field_at(path, value), **NEEDS_METHOD.get(value, {})).name for value in parsed}
        assert len(names) == len(parsed) > 1
        with pytest.raises(ValueError, match=re.escape(path)):
            Experiment(**field_at(path, "neither"))


def test_penultimate_features_against_a_pixel_loop() -> None:
    rng = np.random.default_rng(5)
    k, c, shape = 4, 6, (7, 9)
    probs = rng.dirichlet(np.ones(k), shape).transpose(2, 0, 1).astype(np.float32)
    features = rng.normal(size=(c, *shape)).astype(np.float32)
    index = rng.integers(-1, 3, shape)
    labels = rng.choice([0, 1, 2, 3, 255], shape).astype(np.uint8)
    weights = rng.random(k)
    plain = mask_statistics(torch.from_numpy(probs), index, labels, weights)
    found = with_penultimate_features(
        plain, torch.from_numpy(features), torch.from_numpy(probs), index, labels, weights
    )
    for m in range(3):
        ys, xs = np.nonzero(index == m)
        mine = [(probs[:, y, x], features[:, y, x].astype(float), labels[y, x]) for y, x in zip(ys, xs, strict=True)]
        centre = np.mean([f for p, f, _ in mine if p.argmax() == plain.dominant[m]], axis=0)
        sim = abc = 0.0
        for p, f, label in mine:
            label = p.argmax() if label == 255 else label
            part = (1 - p[label]) * (f @ centre) / np.linalg.norm(f) / np.linalg.norm(centre)
            sim, abc = sim + part, abc + weights[label] * part
        assert found.sim[m] == pytest.approx(sim, rel=1e-4) and found.abc[m] == pytest.approx(abc, rel=1e-4)
        assert np.allclose(found.feature[m], np.mean([f for _, f, _ in mine], axis=0), atol=1e-6)
    assert (found.lcil == plain.lcil).all()


@pytest.mark.parametrize("acquisition", ["lcil", "merspx"])
def test_a_run_with_all_alternatives(acquisition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rounds: nobody is asked twice although the LCM overrules answers; class counts are those of all masks."""
    small = a2lc.load_dataset("toy", n_train=12, n_val=2)
    monkeypatch.setattr("a2lc.rounds.load_dataset", lambda name, root: small)
    segmenter = network(iterations=3, scale=0.25, keep="best", validate_every=2, start="previous")
    tiny = {"seed": seeded(), "budget": 0.25, "acquisition": acquisition, "segmenter": segmenter, "rounds": 3}
    fast = {"epochs": 10, "thresholds": [0.0], "tail_ratio": 0.0}
    config = Experiment(**ALTERNATIVES | tiny | {"correction": ALTERNATIVES["correction"] | fast})
    assert config.name != Experiment(**tiny, correction=fast).name
    with lcm_of(told(1)):
        run = a2lc.run(config, tmp_path, device="cpu", progress=False)
    asked = [run.queries(number)["row"].to_numpy() for number in (1, 2, 3)]
    assert run.finished and len(np.unique(np.concatenate(asked))) == sum(map(len, asked))
    overruled = (run.masks(3).table["source"] == "overruled").to_numpy()
    assert overruled.any() and np.isin(np.flatnonzero(overruled), np.concatenate(asked[:2])).all()
    assert run.masks(3).queried.sum() == sum(map(len, asked))
    assert run.metrics(2)["kl"] == pytest.approx(class_weights(run.masks(1), uniform_over="all").kl)
