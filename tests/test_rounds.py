"""The whole loop at small size: what a run leaves behind, resuming, and refusing to mix runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scripted import ByColour
from small_runs import EAGER, contents, dataset_folder, hand_made_run, network, seeded

import a2lc
from a2lc import Experiment
from a2lc.acquisition import ACQUISITION_FUNCTIONS, acquisition_function
from a2lc.files import write_label_png
from a2lc.masks import MaskSet
from a2lc.paper.tables import beside_paper, caption, provenance, rounds_table, save_table
from a2lc.pseudo_labels import simulate_pseudo_labels
from a2lc.rounds import select_queries
from a2lc.runs import STAGES, RoundFolder, Run, StageFolder, find_runs

SMALL = {
    "seed": seeded(),
    "rounds": 2,
    "budget": 0.05,
    "segmenter": network(iterations=4),
    "correction": {"epochs": 10, **EAGER},
}


def small_run(folder: Path, **fields: object) -> Run:
    return a2lc.run(Experiment(**{**SMALL, **fields}), folder, device="cpu", progress=False)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A²LC and ALC on toy, two rounds each."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("a2lc", "alc"):
        small_run(folder, method=method)
    return folder


def test_summary_and_files(runs_dir: Path) -> None:
    run = small_run(runs_dir)
    total = len(run.masks(0))
    budget = round(0.05 * total)
    assert run.summary["round"].tolist() == [0, 1, 2]
    assert run.summary["clicks"].tolist() == [0, budget, 2 * budget]
    wanted = {"data_miou", "model_miou", "n_auto", "lcm_oa_before", "lcm_oa_after", *(f"seconds_{s}" for s in STAGES)}
    assert wanted <= set(run.summary)
    assert run.summary["data_miou"].between(0, 1).all() and run.summary["model_miou"].between(0, 1).all()
    names = {p.name for p in (run.path / "round_02").iterdir()}
    assert names == {
        *("scores.parquet", "queries.parquet", "answers.jsonl", "masks.parquet", "metrics.json", "state.json"),
        *("segmenter.safetensors", "lcm.safetensors"),
    }
    assert json.loads((run.path / "config.json").read_text())["method"] == "a2lc"


def test_a_part_that_was_computed_elsewhere_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of round 0 that another run trained, and rounds that are played by another number of threads."""

    def threads(count: int) -> None:
        for module in ("a2lc.rounds", "a2lc.stages.initial"):
            monkeypatch.setattr(f"{module}.surroundings", lambda: {"python": "3.14.0", "threads": count})

    def noted(run: Run) -> dict[str, Any]:
        found = json.loads((run.path / "provenance.json").read_text())
        return {name: found[name] for name in ("threads", "also") if name in found}

    first, second = {"method": "alc", "rounds": 0}, {"method": "a2lc", "rounds": 0}
    threads(1)
    assert noted(small_run(tmp_path, **first)) == {"threads": 1}
    threads(2)
    other = small_run(tmp_path, **second)
    assert noted(other) == {"threads": 2, "also": [{"threads": 1}]}
    assert provenance([other], "")["computed"]["also"] == [{"threads": 1}], "so that a comparison says it"
    threads(4)
    for _ in range(2):  # nothing is noted twice
        assert noted(small_run(tmp_path, **second | {"rounds": 1})) == {
            "threads": 2,
            "also": [{"threads": 1}, {"threads": 4}],
        }


def test_another_ground_truth_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds measured by two truths would stand beside each other without a word."""
    small_run(tmp_path, method="alc", rounds=0)
    known = a2lc.rounds.known_truth

    def changed(*about: Any) -> Any:
        found = known(*about)
        return replace(found, counts=found.counts[:, ::-1].copy())

    monkeypatch.setattr("a2lc.rounds.known_truth", changed)
    with pytest.raises(
        ValueError, match="its ground truth has changed since it began .*: put it back, or choose another"
    ):
        small_run(tmp_path, method="alc", rounds=1)
    monkeypatch.undo()
    assert small_run(tmp_path, method="alc", rounds=1).finished


def test_metrics_agree_with_the_masks_on_disk(runs_dir: Path) -> None:
    run = small_run(runs_dir)
    train = a2lc.load_dataset("toy").train
    for number in (0, 2):
        assert run.summary["data_miou"][number] == pytest.approx(a2lc.data_miou(run.masks(number), train))


def test_queries_are_the_highest_scores_and_never_repeat(runs_dir: Path) -> None:
    run = small_run(runs_dir)
    first, second = run.queries(1), run.queries(2)
    assert not set(first["row"]) & set(second["row"])
    scores = run.scores(1)["score"].to_numpy()
    assert sorted(first["score"])[0] >= np.delete(scores, first["row"]).max()
    truth = a2lc.load_dataset("toy").train
    for image, mask_id, answer in first[["image", "mask_id", "answer"]].head(5).itertuples(index=False):
        inside = truth.ground_truth(image)[run.masks(0).object_map(image) == mask_id]
        assert answer == np.bincount(inside).argmax()


def test_masks_keep_their_answers(runs_dir: Path) -> None:
    """A queried mask carries the annotator's label for ever; corrections by the LCM come with a confidence."""
    run = small_run(runs_dir)
    asked = run.queries(1)
    table = run.masks(2).table
    assert (table["label"].to_numpy()[asked["row"]] == asked["answer"]).all()
    assert (table["source"].iloc[asked["row"]] == "annotator").all()
    automatic = table[table["source"] == "lcm"]
    assert automatic["confidence"].between(0, 1, inclusive="right").all() and automatic["round"].isin([1, 2]).all()
    assert run.summary["n_auto"].sum() >= len(automatic) > 0


def test_both_methods_start_from_the_same_masks_and_model(runs_dir: Path) -> None:
    ours, baseline = small_run(runs_dir), small_run(runs_dir, method="alc")
    assert ours.masks(0).table.equals(baseline.masks(0).table)
    weights = [(r.path / "round_00" / "segmenter.safetensors").read_bytes() for r in (ours, baseline)]
    assert weights[0] == weights[1]
    assert len(list((runs_dir / "shared").glob("toy-masks-*"))) == 1


def test_saved_model_predicts(runs_dir: Path) -> None:
    run = small_run(runs_dir)
    image = a2lc.load_dataset("toy").val.image("val_0000")
    probs = run.segmenter(2, device="cpu").predict(image)
    assert tuple(probs.shape[1:]) == image.shape[:2]
    assert np.allclose(probs.sum(0).numpy(), 1, atol=1e-4)


def test_a_finished_run_returns_at_once(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(small_run(runs_dir).path)
    monkeypatch.setattr("a2lc.rounds.play_round", lambda *a: pytest.fail("a finished run was played again"))
    assert contents(small_run(runs_dir).path) == before


@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_in_any_stage_and_continued(
    stage: str, runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped just before a stage of round 1 is recorded as finished; continued, every file is the same."""
    end = RoundFolder.end

    def stop(self: RoundFolder, finished: str) -> None:
        if finished == stage and self.path.name == "round_01":
            raise KeyboardInterrupt
        end(self, finished)

    with monkeypatch.context() as patch:
        patch.setattr(RoundFolder, "end", stop)
        with pytest.raises(KeyboardInterrupt):
            small_run(tmp_path)
    assert Run.open(next(tmp_path.glob("toy-*"))).finished_rounds == 0
    assert contents(small_run(tmp_path).path) == contents(small_run(runs_dir).path)


def test_more_rounds_continue_the_same_run(runs_dir: Path, tmp_path: Path) -> None:
    """One round and then another: the files of two rounds at once. Who asks for one round again sees one."""
    first = small_run(tmp_path, rounds=1)
    assert first.finished and Run.open(first.path).config.rounds == 1
    both = small_run(tmp_path)
    assert both.path == first.path and both.finished_rounds == 2 and Run.open(both.path).config.rounds == 2
    assert contents(both.path) == contents(small_run(runs_dir).path)
    again = small_run(tmp_path, rounds=1)
    assert again.finished_rounds == 1 and len(again.summary) == 2 and Run.open(again.path).config.rounds == 2


def test_killed_and_continued(runs_dir: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of round 1; the same command ends with the same files."""
    code = (
        "import sys, json, a2lc; "
        "a2lc.run(a2lc.Experiment(**json.loads(sys.argv[1])), sys.argv[2], device='cpu', progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, json.dumps(SMALL), str(tmp_path)])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("toy-*/round_01/queries.parquet")) and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left_over = next(tmp_path.glob("toy-*")) / "round_01" / ".answers.0123abcd.jsonl"  # the kill may have left none
    left_over.write_text("half a li")
    assert contents(small_run(tmp_path).path) == contents(small_run(runs_dir).path)


def test_folder_of_another_configuration_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path, rounds=1)
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"budget": 0.25}))
    with pytest.raises(ValueError, match=r"holds another run: budget: wanted 0\.05, found 0\.25"):
        small_run(tmp_path, rounds=1)


@pytest.mark.parametrize(
    ("file", "content", "finished", "message"),
    [
        ("answers.jsonl", b'{"image": "train_0000", "mask', STAGES[:3], r"answers\.jsonl, line 1: expected image"),
        ("scores.parquet", b"PAR1", STAGES[:1], r"scores\.parquet: damaged Parquet"),
        ("state.json", b"{", (), r"state\.json: damaged JSON"),
    ],
)
def test_a_damaged_file_is_named(
    file: str, content: bytes, finished: tuple[str, ...], message: str, runs_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs_dir, tmp_path, dirs_exist_ok=True)
    folder = next(tmp_path.glob("toy-a2lc-*")) / "round_01"
    (folder / "state.json").write_text(json.dumps({"finished": dict.fromkeys(finished, 1.0)}))
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        small_run(tmp_path)
    assert (folder / file).read_bytes() == content  # nothing is rebuilt over it


def test_budget_above_the_masks_left(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the budget asks for \d+ masks, \d+ are left"):
        run = small_run(tmp_path, budget=0.7, lcm=False)
    assert run.summary["clicks"].iloc[-1] == len(run.masks(0))
    ending, short = "every mask was queried: the run ends after round 2", r"\d+ are left"
    with pytest.warns(UserWarning, match=ending), pytest.warns(UserWarning, match=short):
        ended = small_run(tmp_path / "more", budget=0.9, rounds=5, lcm=False)
    assert ended.finished and ended.finished_rounds == 2


def test_ties_go_by_image_and_mask_id(runs_dir: Path) -> None:
    masks = small_run(runs_dir).masks(0)
    scores = np.zeros(len(masks), dtype=np.float32)
    assert select_queries(masks, scores, Experiment(budget=3), 0).tolist() == [0, 1, 2]
    scores[7] = 1
    assert select_queries(masks, scores, Experiment(budget=2), 0).tolist() == [7, 0]
    random_ties = select_queries(masks, scores, Experiment(budget=3, acquisition="aiou"), 0).tolist()
    assert random_ties[0] == 7 and random_ties[1:] != [0, 1]


def test_tables_from_runs(runs_dir: Path, tmp_path: Path) -> None:
    table = rounds_table(find_runs(runs_dir))
    assert list(table.columns) == ["dataset", "metric", "method", "round", "mean", "std", "n_seeds"]
    assert len(table) == 2 * 2 * 3 and (table["n_seeds"] == 1).all() and table["mean"].between(0, 100).all()
    both = beside_paper(table, "table1", "cityscapes")
    assert both.loc[("data_miou", "a2lc", "paper (cityscapes)"), 5] == "85.26 ± 0.55"
    save_table(table, "table1", tmp_path, "A caption.")
    assert {p.name for p in tmp_path.iterdir()} == {"table1.csv", "table1.md", "table1.tex"}
    assert (tmp_path / "table1.md").read_text().startswith("A caption.")
    with pytest.raises(ValueError, match="at least one finished run"):
        rounds_table([])


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    """Anything with fit, predict, save and load takes the segmenter's place."""
    from a2lc.segmenter import build_segmenter

    class Mine:
        def __init__(self, num_classes: int) -> None:
            self.inner = build_segmenter(Experiment(**SMALL).segmenter, num_classes, device="cpu")
            self.num_classes = num_classes

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    run = a2lc.run(Experiment(**SMALL | {"rounds": 1}), tmp_path, segmenter=Mine, progress=False)
    assert run.finished
    with pytest.raises(ValueError, match=r"data\.segmenter: wanted '.*', found '.*Mine'"):
        small_run(tmp_path, rounds=1)


@pytest.mark.parametrize("config", ["toy", {"dataset": "toy"}, None, Experiment])
def test_what_is_no_experiment_is_refused(config: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="config: expected an Experiment, found"):
        a2lc.run(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("round", "error", "found"), [("1", TypeError, "'1'"), (1.5, TypeError, "1.5"), (-1, ValueError, "-1")]
)
def test_wrong_rounds_are_refused(round: Any, error: type[Exception], found: str, runs_dir: Path) -> None:
    run = Run.open(next(runs_dir.glob("toy-a2lc-*")))
    for ask in (run.folder, run.masks, run.metrics, run.scores, run.queries, run.segmenter):
        with pytest.raises(error, match=f"round: expected a whole number >= 0, found {found}"):
            ask(round)
    with pytest.raises(TypeError, match="round: expected a whole number >= 0, found None"):
        run.metrics(None)


def test_a_model_without_features_is_refused_where_they_are_needed(tmp_path: Path) -> None:
    class Plain:
        def __init__(self, num_classes: int) -> None:
            self.num_classes = num_classes

    config = Experiment(**SMALL | {"rounds": 1, "scoring": {"features": "penultimate"}})
    with pytest.raises(ValueError, match="need a method features, found Plain"):
        a2lc.run(config, tmp_path, segmenter=Plain, progress=False)
    assert not (tmp_path / config.name).exists()


def test_a_guarded_lcm_corrects_a_part_of_what_it_proposes(tmp_path: Path) -> None:
    guarded = SMALL["correction"] | {"guard": True}
    run = small_run(tmp_path, correction=guarded, rounds=1)
    found = run.metrics(1)
    assert 0 <= found["n_auto"] <= found["lcm_proposed"] and found["lcm_proposed"] > 0
    assert (run.masks(1).table["source"] == "lcm").sum() == found["n_auto"]


def test_masks_from_folders_over_voc(tmp_path: Path) -> None:
    """Real Grounded-SAM output comes as two folders of PNGs: a small tree in VOC's layout, with drawn pictures."""
    toy = a2lc.load_dataset("toy")
    names, root = toy.train.names[:6], tmp_path / "VOC2012"
    masks = simulate_pseudo_labels(toy.train, toy.classes, progress=False)
    for name in names:
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(toy.train.image(name)).save(root / "JPEGImages" / f"{name}.jpg")
        write_label_png(root / "SegmentationClass" / f"{name}.png", toy.train.ground_truth(name))
        write_label_png(tmp_path / "o" / f"{name}.png", masks.object_map(name))
        labels = np.where(masks.object_map(name) == 0, 0, masks.label_map(name))  # uncovered = background
        write_label_png(tmp_path / "l" / f"{name}.png", labels)
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(names[:4]))
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names[4:]))
    folders = {"kind": "folders", "object_maps": str(tmp_path / "o"), "labels": str(tmp_path / "l")}
    run = small_run(tmp_path / "runs", dataset="voc2012", root=str(tmp_path), pseudo_labels=folders, rounds=1)
    assert run.finished and run.masks(0).uncovered == 0
    assert "real Grounded-SAM output" in caption([run])
    shutil.copytree(tmp_path / "l", tmp_path / "l2", dirs_exist_ok=True)
    changed = np.where(masks.object_map(names[0]) == 0, 0, 1)
    write_label_png(tmp_path / "l2" / f"{names[0]}.png", changed)
    with pytest.raises(ValueError, match=r"data\.masks: wanted"):  # other labels must not pass for these
        other = folders | {"labels": str(tmp_path / "l2")}
        small_run(tmp_path / "runs", dataset="voc2012", root=str(tmp_path), pseudo_labels=other, rounds=1)


CUT = {"kind": "superpixels", "superpixels": {"algorithm": "slic", "side": 8}}


@pytest.mark.parametrize(
    ("method", "fields", "named"),
    [("a2lc_no_lcm", {"acquisition": "mine"}, "mine"), ("spx", {"acquisition": "bvsb", "pseudo_labels": CUT}, "bvsb")],
)
def test_functions_of_ones_own(
    method: str, fields: dict, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that returns NaN is named, and the run of one that is not registered is not called damaged."""
    dataset_folder(tmp_path / "data")
    monkeypatch.setitem(ACQUISITION_FUNCTIONS, named, ACQUISITION_FUNCTIONS["abc"])  # put back afterwards
    del ACQUISITION_FUNCTIONS[named]
    acquisition_function(named)(lambda statistics, rng: np.full(len(statistics), np.nan))
    config = Experiment(dataset="folder", root=tmp_path / "data", method=method, rounds=2, budget=2, **fields)
    with pytest.raises(ValueError, match=f"acquisition function '{named}': expected numbers, found NaN"):
        a2lc.run(config, tmp_path / "runs", segmenter=ByColour, progress=False)
    del ACQUISITION_FUNCTIONS[named]
    folder = tmp_path / "runs" / config.name
    with pytest.raises(ValueError, match=f"function '{named}' is not registered in this process. Import") as refused:
        Run.open(folder)
    assert "emove the" not in str(refused.value) and "nothing has to be removed" in str(refused.value)
    ACQUISITION_FUNCTIONS[named] = ACQUISITION_FUNCTIONS["abc"]
    assert Run.open(folder).config == config


@pytest.mark.parametrize(
    ("number", "finished"), [(1, ["scored", "trained"]), (1, ["queried"]), (0, ["scored", "trained"]), (1, ["scord"])]
)
def test_a_state_with_a_gap_is_refused(number: int, finished: list[str], tmp_path: Path) -> None:
    file = hand_made_run(tmp_path).folder(number).path / "state.json"
    file.write_text(json.dumps({"finished": dict.fromkeys(finished, 1.0)}))
    message = (
        rf"expected finished stages without a gap, .*; found {', '.join(finished)}\. Remove .*state\.json, and start"
    )
    with pytest.raises(ValueError, match=message):
        RoundFolder(file.parent.parent, number)


@pytest.mark.parametrize("number", [0, 1])
def test_missing_files_of_a_finished_round_say_the_way_out(number: int, tmp_path: Path) -> None:
    run = hand_made_run(tmp_path)
    folder = run.folder(number).path
    (folder / "masks.parquet").unlink()
    masks = MaskSet.load(run.path.parent / "shared" / "masks")
    for name, look in (
        ("metrics.json", lambda: run.summary),
        ("metrics.json", lambda: run.metrics(number)),
        ("masks.parquet", lambda: run.masks(number)),
        ("masks.parquet", lambda: masks.with_state(folder / "masks.parquet")),
    ):
        with pytest.raises(
            FileNotFoundError, match=rf"{name}: missing, .* Remove .*state\.json, and start the run again"
        ):
            look()


def test_a_model_of_round_0_without_its_metrics_says_the_way_out(tmp_path: Path) -> None:
    kept = StageFolder(tmp_path / "model-s0-00000000")
    kept.path.mkdir()
    with pytest.raises(FileNotFoundError, match=r"safetensors: missing, .* Remove .*state\.json, and start"):
        RoundFolder(tmp_path, 0).take_over(kept)
