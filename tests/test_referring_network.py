"""SESM: what it reads, what guides it, its teacher, its views; the large one of transformers' classes at tiny size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_grounded_sam import save_bert

from a2lc.referring.base_network import STAGES, base_network
from a2lc.referring.data import ReferringSplit, table_of
from a2lc.referring.maps import Maps
from a2lc.referring.network import Level, Sesm, looks_of, signals_of, small_network
from a2lc.referring.pairs import Batch, Pairs, endless
from a2lc.referring.settings import TrainingSettings
from a2lc.referring.text import LONGEST, UNKNOWN, Vocabulary
from a2lc.referring.training import Teacher, accepted_loss, labelled_loss, predict, train
from a2lc.referring.views import drop_priors, strong_view

CPU = torch.device("cpu")
VOCABULARY = Vocabulary.of(["the left square", "the right square"])


class Squares(ReferringSplit):
    """Two bright squares of which a sentence names one."""

    def __init__(self, count: int = 4) -> None:
        rows = []
        for number in range(2 * count):
            side = "left" if number % 2 == 0 else "right"
            box = (4, 8, 20, 24) if side == "left" else (36, 8, 52, 24)
            rows.append((number, number, f"i{number // 2}", f"the {side} square", "square", 256, *box))
        super().__init__("train", "squares", table_of(rows))

    def image(self, name: str) -> np.ndarray:
        image = np.random.default_rng(int(name[1:])).integers(0, 60, (32, 56, 3)).astype(np.uint8)
        image[8:24, 4:20], image[8:24, 36:52] = 220, 220
        return image

    def mask(self, ref_id: int) -> np.ndarray:
        mask = np.zeros((32, 56), bool)
        mask[8:24, slice(4, 20) if ref_id % 2 == 0 else slice(36, 52)] = True
        return mask

    def restricted(self, name: str, table: object) -> ReferringSplit:
        raise NotImplementedError


def no_prior(row: int) -> tuple[np.ndarray, float]:
    return np.zeros((1, 1), np.uint8), 0.0


@pytest.fixture(scope="module", autouse=True)
def threads(one_thread: None) -> None:
    """On one thread."""


def tiny(guidance: str = "learnt", words: str = "attention") -> Sesm:
    torch.manual_seed(0)
    return small_network(len(VOCABULARY), guidance, words).eval()  # type: ignore[arg-type]


def inputs(count: int = 2, size: tuple[int, int] = (32, 56)) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, *size, generator=generator)
    prior = torch.rand(count, size[0] // 4, size[1] // 4, generator=generator)
    return images, VOCABULARY(["the left square", "the right square"][:count]), prior, torch.full((count,), 0.5)


# --- words


def test_words_are_numbers_and_others_are_unknown() -> None:
    found = VOCABULARY(["The left, SQUARE!", "the purple", "", "left " * 500, "квадрат слева"])
    assert found.shape == (5, LONGEST)
    known = [VOCABULARY.words.index(word) + 2 for word in ("the", "left", "square")]
    assert found[0, :4].tolist() == [*known, 0] and found[1, :3].tolist() == [known[0], UNKNOWN, 0]
    assert found[2, :2].tolist() == [UNKNOWN, 0] and (found[3] == known[1]).all()
    assert found[4, :3].tolist() == [UNKNOWN, UNKNOWN, 0]


def test_padding_does_not_change_what_is_said() -> None:
    network, (images, words, prior, score) = tiny(), inputs()
    longer = torch.cat([words, torch.zeros(2, 5, dtype=torch.int64)], 1)
    with torch.inference_mode():
        assert torch.allclose(network(images, words, prior, score), network(images, longer, prior, score), atol=1e-5)


# --- the network


@pytest.mark.parametrize("size", [(32, 56), (48, 64), (33, 50)])
def test_logits_are_at_stride_4(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        found = tiny()(*inputs(2, size))
    assert found.shape == (2, -(-size[0] // 4), -(-size[1] // 4)) and found.isfinite().all()


def test_it_is_small() -> None:
    assert sum(weight.numel() for weight in tiny().parameters()) < 600_000


@pytest.mark.parametrize("guidance", ["learnt", "concat", "none"])
def test_the_prior_guides_it_or_does_not(guidance: str) -> None:
    network, (images, words, prior, score) = tiny(guidance), inputs()
    with torch.inference_mode():
        one, other = network(images, words, prior, score), network(images, words, 1 - prior, score)
        without = network(images, words, torch.zeros_like(prior), torch.zeros(2))
    assert torch.equal(one, other) is (guidance == "none") and without.isfinite().all()


def test_gates_begin_nearly_shut() -> None:
    level = Level(8, 4, "learnt", "film", attends=False)
    assert (level.gate.bias == -1).all()


def test_words_say_where_to_look() -> None:
    images, _, prior, score = inputs()
    for words in ("attention", "film"):
        network = tiny(words=words)
        with torch.inference_mode():
            one = network(images, VOCABULARY(["the left square"] * 2), prior, score)
            other = network(images, VOCABULARY(["the right square"] * 2), prior, score)
        assert not torch.allclose(one, other)


def test_signals_compare_each_place_with_what_the_prior_points_at() -> None:
    features = torch.zeros(1, 2, 2, 4)
    features[0, 0, :, :2], features[0, 1, :, 2:] = 1, 1
    prior = torch.zeros(1, 1, 2, 4)
    prior[..., 0] = 0.5
    signals = signals_of(features, prior)[0]
    assert torch.equal(signals[0], prior[0, 0])
    assert signals[1].tolist() == [[1, 1, 0, 0]] * 2
    assert signals[2, 0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1]) and signals[3, :, 0].tolist() == [-1, 1]
    looks = looks_of(torch.tensor([[[0.5, 1.0]], [[0.0, 0.0]]]))
    assert looks[0].tolist() == pytest.approx([0.75, 1, 0.5007, 0.5], abs=2e-3) and looks[1, :2].tolist() == [0, 0]


@pytest.mark.slow
def test_the_large_network_of_swin_and_bert(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    shape = {"depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "out_features": STAGES}
    config = transformers.SwinConfig(image_size=128, embed_dim=16, **shape)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(save_bert(tmp_path))
    bert = transformers.BertModel.from_pretrained(tmp_path, add_pooling_layer=False)
    torch.manual_seed(0)
    network, tokens = base_network(transformers.SwinBackbone(config), bert, tokenizer, width=16)
    words = tokens(["car left", "a sky " * 100])
    assert words.shape[1] <= LONGEST + 2 and words[0, -1] == 0
    logits = network(torch.rand(2, 3, 128, 128), words, torch.rand(2, 16, 16), torch.ones(2))
    assert logits.shape == (2, 32, 32)
    logits.mean().backward()
    assert all(weight.grad is not None for weight in network.pyramid.parameters() if weight.requires_grad)


# --- views and priors that are hidden


def test_strong_views_leave_every_place_where_it_is() -> None:
    images = torch.zeros(16, 3, 20, 24)
    images[:, :, 4:12, 2:8] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)
    found = strong_view(images, torch.Generator().manual_seed(0))
    assert found.shape == images.shape and found.min() >= 0 and found.max() <= 1
    assert not torch.allclose(found, images)
    assert (found[:, 0, 5:11, 3:7] > found[:, 0, 14:, 12:].amax((1, 2))[:, None, None]).all()
    assert torch.equal(found, strong_view(images, torch.Generator().manual_seed(0)))


def test_priors_are_hidden_as_often_as_told() -> None:
    prior, score = torch.ones(2000, 2, 2), torch.ones(2000)
    hidden, scores = drop_priors(prior, score, 0.3, torch.Generator().manual_seed(0))
    gone = (hidden == 0).all((1, 2))
    assert 0.25 < gone.float().mean() < 0.35 and torch.equal(gone, scores == 0)
    assert torch.equal(drop_priors(prior, score, 0.0, torch.Generator())[0], prior)


# --- losses, teacher, training


def test_losses_in_closed_form() -> None:
    logits, target = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert labelled_loss(logits, target).item() == pytest.approx(np.log(2) + 1 - 3 / 5)
    weight = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    batch = Batch(*inputs(1), target, weight)
    sure = torch.tensor([[[9.0, -9.0], [9.0, 9.0]]])
    found = accepted_loss(sure, batch).item()
    assert found == pytest.approx(0.75 * 9 + 0.25 * 0 + 1 - (2 + 1) / (2 + 1 + 1), abs=1e-3)  # of accepted cells alone
    assert accepted_loss(sure, Batch(*inputs(1), target, torch.zeros_like(weight))).item() == 0


def test_the_teacher_follows_its_student() -> None:
    student = tiny()
    teacher = Teacher(student, 0.9)
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1.0)
    before = [weight.clone() for weight in teacher.network.parameters()]
    teacher.follow(student)  # the first step keeps 1 / 10 of the old
    for old, new in zip(before, teacher.network.parameters(), strict=True):
        assert torch.allclose(new - old, torch.full_like(old, 0.9), atol=1e-5)
    for _ in range(200):
        teacher.follow(student)
    for old, new in zip(student.parameters(), teacher.network.parameters(), strict=True):
        assert torch.allclose(old, new, atol=1e-4) and not new.requires_grad


def test_a_training_is_repeatable_and_learns() -> None:
    pairs = Pairs(Squares(2), VOCABULARY, no_prior)
    settings = TrainingSettings(steps=6, batch=2)
    before = tiny()
    with torch.inference_mode():
        start = labelled_loss(before(*pairs.inputs([0, 1, 2, 3])), pairs.labelled([0, 1, 2, 3]).target).item()
    logs = []
    for _ in range(2):
        network = tiny()
        teacher, log = train(network, pairs, settings, 3, CPU, progress=False)
        logs.append((log, [weight.clone() for weight in teacher.network.parameters()]))
    assert logs[0][0] == logs[1][0] and all(map(torch.equal, logs[0][1], logs[1][1]))
    with torch.inference_mode():
        end = labelled_loss(network(*pairs.inputs([0, 1, 2, 3])), pairs.labelled([0, 1, 2, 3]).target).item()
    assert end < start and logs[0][0].accepted is None


def test_what_is_not_accepted_teaches_nothing() -> None:
    """Pseudo-labels of weight 0 leave the same weights, whatever they say."""
    pairs = Pairs(Squares(2), VOCABULARY, no_prior)
    settings = TrainingSettings(steps=3, batch=2, strong_labelled=False, prior_dropout=0.0)
    found = []
    for value in (0.0, 1.0):

        def batch(rows: object, value: float = value) -> Batch:
            some = pairs.labelled([0, 1])
            return Batch(*pairs.inputs([0, 1]), torch.full_like(some.target, value), torch.zeros_like(some.target))

        teacher, _ = train(tiny(), pairs, settings, 0, CPU, (2, batch), progress=False)
        found.append(list(teacher.network.parameters()))
    assert all(map(torch.equal, *found))


def test_training_without_a_labelled_pair_is_refused() -> None:
    empty = Squares(1)
    empty.table = empty.table.iloc[:0]
    with pytest.raises(ValueError, match="expected labelled pairs, found none"):
        train(tiny(), Pairs(empty, VOCABULARY, no_prior), TrainingSettings(steps=1), 0, CPU)


def test_predictions_do_not_depend_on_the_batch() -> None:
    pairs = Pairs(Squares(2), VOCABULARY, no_prior)
    one, other = (dict(predict(tiny(), pairs, [3, 0, 2], batch, CPU)) for batch in (1, 3))
    assert list(one) == [3, 0, 2] and all(torch.allclose(one[row], other[row], atol=1e-4) for row in one)


def test_images_are_brought_to_one_size() -> None:
    pairs = Pairs(Squares(1), VOCABULARY, no_prior, (48, 48))
    batch = pairs.labelled([0, 1])
    assert batch.images.shape == (2, 3, 48, 48) and batch.target.shape == (2, 12, 12) == batch.prior.shape
    assert batch.target[0, :, :6].sum() > 0 == batch.target[0, :, 7:].sum()


def test_batches_take_every_row_before_any_twice() -> None:
    batches = endless(5, 2, np.random.default_rng(0))
    rows = [row for _ in range(5) for row in next(batches)]
    assert sorted(rows[:5]) == sorted(rows[5:]) == [0, 1, 2, 3, 4]


# --- maps on disk


def test_maps_are_written_in_parts_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2lc.referring.maps.SHARD", 3)
    maps = Maps.write(tmp_path / "maps", ((10 * n, np.full((2, 3), n, np.uint8)) for n in range(7)))
    assert len(list((tmp_path / "maps").iterdir())) == 3 and len(maps) == 7
    assert (Maps(tmp_path / "maps")[60] == 6).all() and 60 in maps and 61 not in maps
    with pytest.raises(KeyError):
        maps[61]
    assert len(Maps.write(tmp_path / "maps", [])) == 0 == len(Maps(tmp_path / "nowhere"))
