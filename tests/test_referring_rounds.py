"""Runs on referring expressions: rounds, files, resume, brakes in the loop, and the truth that training never sees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from a2lc import referring
from a2lc.files import read_arrays
from a2lc.referring import context, rounds
from a2lc.referring.data import ReferringDataset, ReferringSplit, table_of
from a2lc.referring.measure import truth_of_decisions
from a2lc.referring.methods import ABOUT, METHODS
from a2lc.referring.network import Sesm
from a2lc.referring.priors import Located, Request
from a2lc.referring.runs import STAGES, ReferringRun
from a2lc.referring.text import Vocabulary
from a2lc.runs import StageFolder

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
TINY = {"training": {"steps": 2, "batch": 4}, "rate": 0.5}


class Squares(ReferringSplit):
    """A red and a blue square in each image, at places that depend on its number; masks of some images are withheld."""

    def __init__(self, name: str, images: int, withheld: frozenset[str] = frozenset(), table: Any = None) -> None:
        rows: list[tuple[Any, ...]] = []
        for image in range(images):
            for place, colour in enumerate(COLOURS):
                x, y = self.corner(image, place)
                box = (x, y, x + 12, y + 12)
                rows.append((len(rows), len(rows), f"{name}{image}", f"the {colour} square", "square", 144, *box))
        super().__init__(name, name, table_of(rows) if table is None else table)
        self.withheld, self.number = withheld, images
        self.looked_at: set[str] = set()

    @staticmethod
    def corner(image: int, place: int) -> tuple[int, int]:
        return 4 + 4 * (image % 3) + 20 * (place ^ (image % 2)), 4 * (1 + image % 4)

    def image(self, name: str) -> np.ndarray:
        number = int(name.removeprefix(self.source))
        picture = np.random.default_rng(number).integers(90, 130, (32, 48, 3)).astype(np.uint8)
        for place, colour in enumerate(COLOURS.values()):
            x, y = self.corner(number, place)
            picture[y : y + 12, x : x + 12] = colour
        return picture

    def mask(self, ref_id: int) -> np.ndarray:
        image, place = divmod(int(ref_id), 2)
        self.looked_at.add(f"{self.source}{image}")
        if f"{self.source}{image}" in self.withheld:
            raise AssertionError(f"the truth of {self.source}{image} is looked at")
        x, y = self.corner(image, place)
        mask = np.zeros((32, 48), bool)
        mask[y : y + 12, x : x + 12] = True
        return mask

    def restricted(self, name: str, table: pd.DataFrame) -> ReferringSplit:
        split = Squares(self.source, self.number, self.withheld, table.reset_index(drop=True))
        split.name, split.looked_at = name, self.looked_at
        return split


def squares(withheld: frozenset[str] = frozenset(), images: int = 12) -> ReferringDataset:
    splits: dict[str, ReferringSplit] = {"train": Squares("train", images, withheld)}
    return ReferringDataset("squares", splits | {name: Squares(name, 2) for name in ("val", "test")})


class Pointing:
    """A frozen model that points at the right square, or where `right` says so at the other one."""

    def __init__(self, right: Any = lambda request: True) -> None:
        self.right, self.asked = right, 0

    def identity(self) -> dict[str, Any]:
        return {"model": "pointing"}

    def locate(self, requests: Sequence[Request]) -> list[Located]:
        found = []
        for request in requests:
            self.asked += 1
            number = int("".join(letter for letter in request.name if letter.isdigit()))
            place = list(COLOURS).index(request.sentence.split()[1])
            x, y = Squares.corner(number, place if self.right(request) else 1 - place)
            x = 48 - x - 12 if request.mirrored else x
            found.append(Located.of(np.array([[x, y, x + 12, y + 12]]), np.array([0.95]), (32, 48)))
        return found


class Seeing(nn.Module):
    """A network that needs no training: it sees red, blue and the words, and follows the prior where it is told to."""

    def __init__(self, vocabulary: Vocabulary, trust: float = 0.0) -> None:
        super().__init__()
        self.red = vocabulary.words.index("red") + 2
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.trust = trust

    def forward(self, images: Any, words: Any, prior: Any, score: Any) -> Any:
        sign = torch.where((words == self.red).any(1), 1.0, -1.0)[:, None, None]
        tone = nn.functional.avg_pool2d(images[:, 0:1] - images[:, 2:3], 4)[:, 0]
        return self.scale * (sign * tone - 0.3) + self.trust * (prior - 0.5)


def seeing(trust: float = 0.0) -> Any:
    def make(train: ReferringSplit) -> Any:
        vocabulary = Vocabulary.of(train.table["sentence"])
        return Seeing(vocabulary, trust), vocabulary

    return make


@pytest.fixture(scope="module", autouse=True)
def threads(one_thread: None) -> None:
    """On one thread."""


def play(
    folder: Path, data: ReferringDataset | None = None, locator: Any = None, network: Any = None, **fields: Any
) -> ReferringRun:
    config = referring.Experiment(**{**TINY, **fields})
    options = {"device": "cpu", "progress": False}
    return rounds.run(
        config, folder, data=data or squares(), locator=locator or Pointing(), network=network or seeing(), **options
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """What must be the same however a run came to be: all but times."""
    files = {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}
    kept = {
        name: content
        for name, content in files.items()
        if name.rpartition("/")[2] not in ("state.json", "metrics.json")
    }
    for name in files:
        if name.endswith("metrics.json"):
            numbers = json.loads(files[name])
            kept[name] = json.dumps({k: v for k, v in numbers.items() if not k.startswith("seconds")}).encode()
    return {name: content for name, content in kept.items() if ".locks" not in name}


# --- what a run does


def test_a_run_plays_all_stages_and_says_what_came_out(tmp_path: Path) -> None:
    run = play(tmp_path, rounds=2)
    assert run.finished and [run.folder(n).done(STAGES[-1]) for n in (1, 2)] == [True, True]
    assert {"config.json", "provenance.json", "labelled.json"} <= {file.name for file in run.path.iterdir()}
    assert run.status == "finished" and repr(run) == f"ReferringRun({str(run.path)!r}: full, 2 of 2 rounds)"
    assert repr(ReferringRun(tmp_path, run.config)) == f"ReferringRun({str(tmp_path)!r}: full, not begun)"
    table = run.summary
    assert table["round"].tolist() == [0, 1, 2]
    assert table["val_oiou"].notna().all() and table["test_oiou"].isna().tolist() == [True, True, False]
    assert (table["val_miou"] > 0.5).all()  # it sees without training
    decisions = run.decisions(1)
    labelled = set(json.loads((run.path / "labelled.json").read_text()))
    sentences = squares().train.table
    assert set(decisions["sentence_id"]) == set(sentences.loc[~sentences["image"].isin(labelled), "sentence_id"])
    assert (decisions["propensity"] > 0).all() and decisions["iou"].notna().all()
    assert ((decisions["gate"] > 0) == (decisions["share"] > 0)).all()
    assert not (run.folder(1).path / "fused").exists() and not (run.folder(1).path / "teacher").exists()
    assert ReferringRun.open(run.path).config == run.config
    about = json.loads((run.path / "provenance.json").read_text())
    assert "published description" in about["method"] and about["prior"]["locator"] == {"model": "pointing"}
    assert about["network"] == f"{__name__}.seeing.<locals>.make"


def test_what_nothing_is_said_of_and_nothing_is_there_is_right() -> None:
    split, off, on = Squares("train", 2), np.zeros((8, 12), np.float32), np.ones((8, 12), np.float32)
    absent, small = np.zeros((32, 48), bool), np.zeros((32, 48), bool)
    small[0, 0] = True  # it has no cell of its own
    split.mask = {0: absent, 1: absent, 2: small}.__getitem__  # type: ignore[method-assign]
    table = pd.DataFrame({"sentence_id": [0, 1, 2], "gate": [0, 0, 0]})
    found = truth_of_decisions(split, table, [(0, off), (1, on), (2, off)])
    assert found["iou"].tolist() == [1, 0, 0]


def test_arrays_that_are_read_only_are_learnt_from_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shut(made: Any) -> Any:
        def of(self: Squares, key: Any) -> np.ndarray:
            array = np.asarray(made(self, key))
            array.flags.writeable = False
            return array

        return of

    monkeypatch.setattr(Squares, "image", shut(Squares.image))
    monkeypatch.setattr(Squares, "mask", shut(Squares.mask))
    assert play(tmp_path, rounds=1).finished  # warnings are errors


def test_a_finished_run_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = play(tmp_path, rounds=1)
    monkeypatch.setattr(rounds, "train", None)
    monkeypatch.setattr(rounds, "predict_all", None)
    assert play(tmp_path, rounds=1).summary.equals(first.summary)


def test_a_finished_run_is_read_without_its_frozen_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = referring.Experiment(**TINY, rounds=0, prior="clipseg", shape="sam")
    options: dict[str, Any] = {"data": squares(), "network": seeing(), "device": "cpu", "progress": False}
    nowhere: dict[str, Any] = {"weights": tmp_path / "nowhere"}
    monkeypatch.setattr(context, "load_locator", lambda *_, **__: Pointing())
    monkeypatch.setattr(context, "load_sam", lambda *_, **__: None)
    first = rounds.run(config, tmp_path, **options, **nowhere)
    monkeypatch.setattr(context, "load_locator", None)
    monkeypatch.setattr(context, "load_sam", None)
    assert rounds.run(config, tmp_path, **options, **nowhere).summary.equals(first.summary)
    with pytest.raises(ValueError, match="holds another run: data"):
        rounds.run(config, tmp_path, **{**options, "data": squares(images=8)})


@pytest.mark.parametrize(
    "fields",
    [{"method": "supervised"}, {"method": "fixed"}, {"uses_prior": False, "training": {"guidance": "none"}}],
)
def test_where_no_prior_is_looked_at_none_is_needed(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "load_locator", None)
    monkeypatch.setattr(context, "SimulatedLocator", None)
    training = {**TINY["training"], "size": (32, 48), **fields.get("training", {})}
    config = referring.Experiment(**{**fields, "rate": 0.5, "rounds": 0, "dataset": "refcoco", "training": training})
    run = rounds.run(config, tmp_path, data=squares(), network=seeing(), device="cpu", progress=False)
    assert run.finished and run.frozen_model is None


@pytest.mark.parametrize("method", METHODS)
def test_every_method_plays(tmp_path: Path, method: str) -> None:
    locator = Pointing()
    run = play(
        tmp_path, locator=locator, method=method, **({"rounds": 1} if METHODS[method].get("rounds") != 0 else {})
    )
    assert run.finished and method in run.path.name and method in ABOUT
    assert np.isfinite(run.summary["test_miou"].iloc[-1])
    assert bool(locator.asked) is run.config.needs_prior
    assert (run.path / "round_00" / "model.safetensors").is_file() is run.config.trains


def test_the_frozen_model_alone_is_measured(tmp_path: Path) -> None:
    right = play(tmp_path, method="prior_only").summary["val_miou"][0]
    wrong = play(tmp_path / "wrong", locator=Pointing(lambda request: False), method="prior_only").summary["val_miou"][
        0
    ]
    assert right > 0.3 > wrong == 0


# --- who learns from what


def test_rewards_come_from_images_that_the_round_before_has_not_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[set[str]] = []
    original = rounds.train

    def noted(network: Sesm, labelled: Any, *rest: Any, **options: Any) -> Any:
        taught.append(set(labelled.split.names))
        return original(network, labelled, *rest, **options)

    monkeypatch.setattr(rounds, "train", noted)
    run = play(tmp_path, squares(images=16), rounds=2)
    labelled = set(json.loads((run.path / "labelled.json").read_text()))
    seen = []
    for number in (1, 2):
        images = set(pd.read_parquet(run.folder(number).path / "rewards.parquet")["image"])
        assert images and images <= labelled and not images & taught[number - 1]
        assert taught[number - 1] | images == labelled
        seen.append(images)
    assert not seen[0] & seen[1] and taught[2] == labelled  # the last training learns from all


def test_the_truth_of_unlabelled_images_is_never_looked_at(tmp_path: Path) -> None:
    """The same bits whether it is there or not."""
    open_ = play(tmp_path / "open", rounds=2, reports_truth=False)
    labelled = set(json.loads((open_.path / "labelled.json").read_text()))
    hidden = frozenset(set(squares().train.names) - labelled)
    assert hidden
    shut = play(tmp_path / "shut", squares(hidden), rounds=2, reports_truth=False)
    assert files_of(open_.path) == files_of(shut.path)
    assert not (shut.folder(1).path / "truth.parquet").exists()


def test_noting_the_truth_changes_no_decision_and_no_weight(tmp_path: Path) -> None:
    one, other = play(tmp_path, rounds=1), play(tmp_path, rounds=1, reports_truth=False)
    assert one.path != other.path
    with_, without = files_of(one.path), files_of(other.path)
    names = [name for name in without if name.startswith("round_")]
    assert len(names) > 8 and all(with_[name] == without[name] for name in names)


# --- what the loop does to good and bad pseudo-labels


def test_good_proposals_are_accepted_and_rejected_ones_keep_the_frozen_prior(tmp_path: Path) -> None:
    run = play(tmp_path, squares(images=48), rounds=1, rate=0.75, explore=0.0)
    decisions = run.decisions(1)
    assert (decisions["gate"] > 0).mean() > 0.5
    assert decisions.loc[decisions["gate"] > 0, "precision"].mean() > 0.9
    evolved = rounds.Maps(run.folder(1).path / "evolved")
    assert {n for n in decisions["sentence_id"] if n in evolved} == set(
        decisions.loc[decisions["gate"] > 0, "sentence_id"]
    )


def test_proposals_that_are_always_wrong_are_rejected(tmp_path: Path) -> None:
    """Prior and network both point at the other square, surely: only rewards can know."""

    class Wrong(Seeing):
        def forward(self, *inputs: Any) -> Any:
            return -super().forward(*inputs) - 5

    def make(train: ReferringSplit) -> Any:
        vocabulary = Vocabulary.of(train.table["sentence"])
        return Wrong(vocabulary), vocabulary

    wrong = Pointing(lambda request: False)
    options = {"locator": wrong, "network": make, "explore": 0.0, "rounds": 1, "training": {"steps": 1, "lr": 1e-6}}
    run = play(tmp_path, squares(images=32), **options)
    fixed = play(tmp_path, squares(images=32), acceptance="fixed", balanced=False, **options)
    assert (run.decisions(1)["gate"] == 0).all()
    assert (fixed.decisions(1)["gate"] > 0).all()  # which is what a threshold does


def test_a_prior_that_is_always_wrong_weighs_little(tmp_path: Path) -> None:
    run = play(tmp_path, squares(images=32), locator=Pointing(lambda request: False), rounds=1)
    right = play(tmp_path / "right", squares(images=32), rounds=1)
    assert run.decisions(1)["weight"].mean() < 0.2 < right.decisions(1)["weight"].mean()


def test_brake_4_in_the_loop_rejects_background_alone(tmp_path: Path) -> None:
    """A network that is sure of the background and unsure of the object."""

    class Timid(Seeing):
        def forward(self, *inputs: Any) -> Any:
            found = super().forward(*inputs)
            return torch.where(found > 0, 0.1 + 0 * found, found - 8)

    def make(train: ReferringSplit) -> Any:
        vocabulary = Vocabulary.of(train.table["sentence"])
        return Timid(vocabulary), vocabulary

    options = {"method": "fixed", "network": make, "rounds": 1}
    assert (play(tmp_path, **options, balanced=True).decisions(1)["gate"] == 0).all()
    assert (play(tmp_path, **options).decisions(1)["gate"] == 2).all()  # a threshold alone has no such brake


# --- files


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_in_any_stage_is_continued_to_the_same_bits(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = play(tmp_path / "whole", rounds=2)

    class Killed(BaseException):
        pass

    original = rounds.StageFolder.end

    def end(self: Any, name: str, seconds: float | None = None) -> None:
        if name == stage and self.path.name == "round_01":
            raise Killed
        original(self, name, seconds)

    monkeypatch.setattr(rounds.StageFolder, "end", end)
    with pytest.raises(Killed):
        play(tmp_path / "killed", rounds=2)
    monkeypatch.undo()
    again = play(tmp_path / "killed", rounds=2)
    assert files_of(again.path) == files_of(whole.path)


def test_another_configuration_or_other_data_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = play(tmp_path, method="supervised")
    with pytest.raises(ValueError, match=r"holds another run: data\.images.*; data\.sentences"):
        play(tmp_path, squares(images=8), method="supervised")
    show = Squares.image
    monkeypatch.setattr(Squares, "image", lambda self, name: 255 - show(self, name))
    with pytest.raises(ValueError, match=r"holds another run: data\.images: wanted \S+, found \S+\. Choose"):
        play(tmp_path, method="supervised")
    monkeypatch.undo()
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps(config | {"seed": 5}))
    with pytest.raises(ValueError, match="holds another run: seed"):
        play(tmp_path, method="supervised")
    (run.path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json: damaged JSON"):
        ReferringRun.open(run.path)
    with pytest.raises(FileNotFoundError, match="no run on referring expressions"):
        ReferringRun.open(tmp_path)


def test_priors_that_had_moved_and_are_gone_are_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"acceptance": "fixed", "fixed_gate": 4, "balanced": False, "rounds": 2}
    whole = play(tmp_path / "whole", **options)
    begin = rounds.StageFolder.begin

    def stopped(self: StageFolder, name: str, *more: Any) -> bool:
        if self.path.name == "round_02":
            raise KeyboardInterrupt
        return begin(self, name, *more)

    monkeypatch.setattr(rounds.StageFolder, "begin", stopped)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "stopped", **options)
    monkeypatch.undo()
    folder = tmp_path / "stopped" / "referring" / whole.path.name
    shard = folder / "round_01" / "evolved" / "shard_00000.safetensors"
    kept = shard.read_bytes()
    shard.write_bytes(kept[:-9])
    with pytest.raises(ValueError, match=r"shard_00000.*Remove .*shard_00000.* and .*round_01/state.json"):
        play(tmp_path / "stopped", **options)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard_00000.*missing.*round_01/state.json"):
        play(tmp_path / "stopped", **options)
    (folder / "round_01" / "state.json").unlink()
    assert files_of(play(tmp_path / "stopped", **options).path) == files_of(whole.path)


def test_a_look_shows_what_the_run_has_accepted(tmp_path: Path) -> None:
    """Under the prior as it had evolved; and without the frozen model."""
    options: dict[str, Any] = {"acceptance": "fixed", "fixed_gate": 4, "balanced": False, "rounds": 2}
    config, data = referring.Experiment(**{**TINY, **options}), squares()
    run = rounds.run(config, tmp_path, data=data, locator=Pointing(), progress=False)
    for number in (1, 2):
        decided = run.decisions(number)
        for row in decided.itertuples():
            cells = referring.look(run, data, "train", int(str(row.sentence_id)), number - 1, "cpu").cells
            assert cells.mean() == pytest.approx(row.share)
        assert (decided["share"] > 0).any()


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    run = play(tmp_path, rounds=1)
    model = run.folder(0).path / "model.safetensors"
    assert set(read_arrays(model)) == {"scale"}
    (run.folder(1).path / "state.json").unlink()

    def small(train: ReferringSplit) -> Any:
        vocabulary = Vocabulary.of(train.table["sentence"])
        return referring.small_network(len(vocabulary)), vocabulary

    with pytest.raises(ValueError, match=r"model.safetensors: weights of another network"):
        play(tmp_path, network=small, rounds=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "ful"}, "method: expected one of .* found 'ful'"),
        ({"rate": 0.0}, "rate: expected greater than 0"),
        ({"prior": "qwen"}, "prior: expected one of simulated"),
        ({"dataset": "refcoco"}, "prior: 'simulated' knows drawn scenes only"),
        (
            {"dataset": "refcoc"},
            r"^dataset: expected one of .* found 'refcoc'; did you mean 'refcoco' or 'refcocog'\?$",
        ),
        (
            {"dataset": "refcoco", "prior": "clipseg", "options": {"n_train": 2}},
            "options: expected none, found n_train",
        ),
        ({"options": {"n_trian": 2}}, r"options: expected one of seed, .* found 'n_trian'; did you mean 'n_train'"),
        ({"split_by": "unc"}, "split_by: expected none of toy_referring, found 'unc'"),
        (
            {"dataset": "refcocog", "split_by": "umdd"},
            r"split_by: expected one of umd, google, found 'umdd'; did you mean",
        ),
        ({"split_by": 3}, "split_by: expected a valid string, found 3"),
        ({"root": 3}, "root: expected a path, found 3"),
        ({"training": {"size": (48, 30)}}, r"training.size: .* >= 32, multiples of 4, found \[48, 30\]"),
        ({"training": {"size": (48, 50)}}, r"training.size: .* multiples of 4, found \[48, 50\]"),
        ({"dataset": "refcoco", "prior": "clipseg"}, r"training.size: expected height and width such as \[480, 480\]"),
        ({"acceptance": "none"}, "rounds: expected 0 where nothing is accepted"),
        ({"least_accepted": 0.95}, "least_accepted: expected at most most_accepted"),
        ({"training": {"step": 3}}, "training.step: no such field; did you mean 'steps'"),
        ({"pessimism": "high"}, "pessimism"),
    ],
)
def test_fields_that_are_wrong_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        referring.Experiment(**fields)


def test_the_name_says_what_it_is_and_where_data_lie_does_not_matter() -> None:
    fields = {"dataset": "refcoco", "prior": "clipseg", "rate": 0.01, "seed": 2, "training": {"size": (480, 480)}}
    one, other = (referring.Experiment(**fields, method="rple", root=root) for root in ("a", "b"))
    assert one.name == other.name and one.name.startswith("refcoco-rple-r0.01-s2-")
    assert one.name != referring.Experiment(**fields, guides=False).name
    with pytest.raises(TypeError, match="Experiment"):
        rounds.run("full")  # type: ignore[arg-type]


# --- drawn scenes, end to end


@pytest.mark.slow
def test_drawn_scenes_from_nothing(tmp_path: Path) -> None:
    options = {"n_train": 10, "n_val": 2, "n_test": 2, "height": 48, "width": 64}
    config = referring.Experiment(rate=0.5, rounds=1, options=options, training={"steps": 3, "batch": 4})
    run = referring.run(config, tmp_path, device="cpu", progress=False)
    assert run.finished and {"test_uni_oiou", "test_rel_pr90"} <= set(run.summary.columns)
