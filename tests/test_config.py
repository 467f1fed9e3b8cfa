"""The configuration: presets, identity, and refusals that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from a2lc import Experiment
from a2lc.config import METHODS
from a2lc.files import differences


def test_presets_are_the_methods_of_table_1() -> None:
    ours, baseline = Experiment(method="a2lc"), Experiment(method="alc")
    assert (ours.acquisition, ours.query, ours.lcm, ours.non_redundant) == ("abc", "mask", True, True)
    assert (baseline.acquisition, baseline.query) == ("sim", "pixel")
    assert not baseline.lcm and not baseline.non_redundant
    assert Experiment(method="alc", lcm=True).lcm


def test_json_round_trip_and_identity() -> None:
    config = Experiment(dataset="camvid", root="/some/where", budget=100, segmenter={"iterations": 7})
    again = Experiment(**config.model_dump(mode="json"))
    assert again == config and again.name == config.name
    assert config.name.startswith("camvid-a2lc-s0-") and len(config.name.split("-")[-1]) == 8
    assert Experiment(dataset="camvid", root="/else/where", budget=100, segmenter={"iterations": 7}).name == config.name
    assert Experiment(dataset="camvid", budget=100, segmenter={"iterations": 8}).name != config.name
    assert Experiment(rounds=7).name == Experiment().name and Experiment(rounds=7).identity() == Experiment().identity()


def test_names_of_runs_survive_new_switches() -> None:
    assert Experiment(lcm=True, correction={"guard": False}).name == Experiment().name == Experiment(seed=0).name
    names = {Experiment(method=method).name for method in METHODS} | {Experiment(correction={"guard": True}).name}
    assert len(names) == len(METHODS) + 1


def test_names_of_finished_runs_are_pinned() -> None:
    """Runs of these names exist: a default that changes, or a field that is renamed, would orphan them."""
    assert Experiment().name == "toy-a2lc-s0-b3569362"
    assert Experiment(method="alc", seed=2).name == "toy-alc-s2-47062c88"
    assert Experiment(correction={"guard": True}).name == "toy-a2lc-s0-89a87ae4"


def test_budget_is_a_number_of_masks_or_a_share() -> None:
    assert Experiment(budget=0.09).masks_per_round(11257) == 1013
    assert Experiment(budget=1000).masks_per_round(11257) == 1000
    assert Experiment(budget=0.001).masks_per_round(10) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "camvit"}, r"dataset: expected one of .*did you mean 'camvid'"),
        ({"method": "a2l"}, r"method: expected one of .*found 'a2l'; did you mean"),
        ({"acquisition": "entropie"}, r"acquisition: .*did you mean 'entropy'"),
        ({"round": 3}, r"round: no such field; did you mean 'rounds'"),
        ({"segmenter": {"iteration": 3}}, r"segmenter\.iteration: no such field; did you mean 'iterations'"),
        ({"rounds": 2.5}, r"rounds: .*integer.*found 2\.5"),
        ({"rounds": -1}, r"rounds: .*found -1"),
        ({"segmenter": {"network": {}}}, r"segmenter\.network: "),
        ({"budget": 0}, r"budget.*expected a whole number of masks >= 1 or a share in \(0, 1\), found 0"),
        ({"budget": 10**400}, r"budget.*expected at most 1,000,000,000,000,000 masks, found a number of 401 digits"),
        ({"budget": -3}, r"found -3"),
        ({"budget": 1.5}, r"found 1\.5"),
        ({"budget": True}, r"budget.*found True"),
        ({"query": "image"}, r"query: .*'mask', 'pixel', 'merged' or 'classes'.*found 'image'"),
        ({"pseudo_labels": {"kind": "folders"}}, r"'folders' needs object_maps and labels"),
        ({"pseudo_labels": {"kind": "folders", "object_maps": "o"}}, r"'folders' needs object_maps and labels"),
        ({"pseudo_labels": {"object_maps": "o"}}, r"'simulated' takes no object_maps and labels"),
        ({"pseudo_labels": {"seed": -1}}, r"pseudo_labels\.seed: .*found -1"),
        ({"pseudo_labels": {"seed": "3"}}, r"pseudo_labels\.seed: .*integer.*found '3'"),
        ({"scoring": {"uniform_over": "every"}}, r"scoring\.uniform_over: .*'present' or 'all'.*found 'every'"),
        ({"scoring": {"squash": True}}, r"scoring\.squash: no such field; did you mean 'ref_squash'"),
        ({"correction": {"protected_labels": "head"}}, r"'rarest' or 'tail'.*found 'head'"),
        ({"correction": {"tail_ratio": 2}}, r"correction\.tail_ratio: .*found 2"),
        ({"correction": {"tail_ratio": "0.5"}}, r"correction\.tail_ratio: .*valid number, found '0\.5'$"),
        ({"correction": {"learning_rate": True}}, r"correction\.learning_rate: .*valid number, found True"),
        ({"correction": {"thresholds": [0.9, 1.5]}}, r"^correction\.thresholds\.1: .*equal to 1, found 1\.5$"),
        ({"correction": {"thresholds": ["0.9"]}}, r"^correction\.thresholds\.0: .*valid number, found '0\.9'$"),
        ({"correction": {"thresholds": []}}, r"^correction\.thresholds: .*at least 1 item"),
        ({"baseline": {"nu": "6"}}, r"baseline\.nu: .*valid number, found '6'"),
        ({"segmenter": {"lr": "1e-4"}}, r"segmenter\.lr: .*found '1e-4'; YAML reads 1e-4 as text, 1\.0e-4 as a number"),
        ({"segmenter": {"scale": True}}, r"segmenter\.scale: .*valid number, found True"),
        ({"segmenter": {"crop": ["64", 64]}}, r"segmenter\.crop\.0: .*valid integer, found '64'"),
        ({"segmenter": {"mean": [0, 0, "1"]}}, r"segmenter\.mean\.2: .*valid number, found '1'"),
        ({"segmenter": {"rescale": [2, 1]}}, r"^segmenter\.rescale: expected"),
        ({"segmenter": {"pretrained": True}}, r"^segmenter\.pretrained: there are no"),
        ({"pseudo_labels": {"kind": "folders"}}, r"^pseudo_labels\.kind: 'folders' needs"),
        ({"acquisition": "entropie"}, r"^acquisition: expected one of the acquisition functions"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experiment(**fields)


def test_parameter_files(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("profile: {paper_dataset: voc2012, dataset: toy, rounds: 3, seeds: [0, 1]}\n")
    assert Experiment.from_file(file, method="alc").rounds == 3
    file.write_text("- 1\n")
    with pytest.raises(ValueError, match=r"p\.yaml: expected a mapping"):
        Experiment.from_file(file)
    file.write_text("a: [1\n")
    with pytest.raises(ValueError, match=r"p\.yaml: damaged YAML"):
        Experiment.from_file(file)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Experiment.from_file(tmp_path / "nowhere.yaml")


def test_differences_name_both_values() -> None:
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}) == ["b.c: wanted 2, found 3"]


def test_whole_numbers_are_numbers() -> None:
    config = Experiment(segmenter={"lr": 1, "rescale": [1, 2]}, correction={"thresholds": [1, 0], "tail_ratio": 0})
    assert config.segmenter.lr == 1.0 and config.correction.thresholds == (1.0, 0.0)
