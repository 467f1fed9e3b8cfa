"""`network: frozen`: features that are computed once, kept and checked, and the head that learns from them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from test_segmenter import Halves
from tiny_backbones import NAME, save_weights

import a2lc
from a2lc.datasets import Split
from a2lc.files import read_arrays, write_arrays
from a2lc.segmenter import FeatureSegmenter, SegmenterSettings, build_segmenter, feature_store
from a2lc.segmenter.backbones import Backbone
from a2lc.segmenter.feature_store import FeatureStore, Maps
from a2lc.segmenter.frozen import FrozenSegmenter
from a2lc.segmenter.frozen_parts import FrozenHead, enlarged, joined, likeliest
from a2lc.segmenter.model import LabelSegmenter
from a2lc.segmenter.training import normalise, pixel_loss

pytest.importorskip("timm")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights"))


def frozen(weights: Path, shared: Path | None = None, **fields: object) -> FrozenSegmenter:
    chosen = {"network": "frozen", "backbone": NAME, "weights": weights, "iterations": 20, "lr": 1e-2, **fields}
    model = build_segmenter(SegmenterSettings(**chosen), 3, "cpu", shared=shared)
    assert isinstance(model, FrozenSegmenter)
    return model


def trained(weights: Path, shared: Path | None = None, seed: int = 0, **fields: object) -> FrozenSegmenter:
    model = frozen(weights, shared, **fields)
    model.fit(Halves(), Halves().ground_truth, seed=seed, progress=False)
    return model


def features_of(model: FrozenSegmenter, image: np.ndarray) -> Maps:
    return [stage.numpy() for stage in model.extractor.maps(image)]


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_learns_and_predicts_softmax_maps(weights: Path) -> None:
    split, model = Halves(size=(96, 128)), frozen(weights)
    assert isinstance(model, FeatureSegmenter)
    log = model.fit(split, split.ground_truth, seed=0, progress=False)
    assert log.iterations == tuple(range(1, 21)) and log.losses[-1] < log.losses[0] / 2
    probs = model.predict(split.image("image0"))
    assert probs.shape == (3, 96, 128) and probs.dtype == torch.float32
    torch.testing.assert_close(probs.sum(0), torch.ones(96, 128))
    found = [(model.predict(split.image(n)).argmax(0).numpy() == split.ground_truth(n)).mean() for n in split.names]
    assert np.mean(found) > 0.8
    assert model.features(split.image("image0")).shape == (192, 96, 128)


def test_the_seed_decides_everything(weights: Path, tmp_path: Path) -> None:
    image, before = Halves().image("image0"), torch.random.get_rng_state()
    one, same, other = (trained(weights, tmp_path, seed).predict(image) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_prediction_is_the_head_on_enlarged_features(weights: Path) -> None:
    """Written out: features of all stages at stride 8, the head cell by cell, bilinear from cells of 8 pixels."""
    model, image = trained(weights), Halves(size=(50, 61)).image("image0")
    assert model.head is not None
    network = Backbone(NAME, (8, 16, 32), 16, model.extractor.weights).eval()
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        maps = network(normalise(pixels, model.extractor.settings))
        assert maps[0].shape[2:] == (7, 8)
        logits = model.head(joined(maps))
        whole = torch.nn.functional.interpolate(logits, (56, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        model.predict(image), whole[0, :, :50, :61].softmax(0), atol=0.02, rtol=0
    )  # kept in bytes


def test_mixing_before_enlarging_changes_nothing() -> None:
    torch.manual_seed(0)
    head = FrozenHead(5 + 7 + 3, 4)
    maps = [torch.randn(1, 5, 6, 9), torch.randn(1, 7, 3, 5), torch.randn(1, 3, 3, 5)]
    for _ in range(3):
        head(torch.randn(8, 15, 2, 2) * 3 + 1)  # statistics of batch norm
    head.eval()
    with torch.inference_mode():
        torch.testing.assert_close(head.classifier(head.features(maps)), head(joined(maps)), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=r"trained on 15 features, found 5 \+ 7"):
        head.features(maps[:2])


@pytest.mark.parametrize(
    ("cells", "size", "shown"),
    [((7, 8), (56, 64), (50, 61)), ((3, 5), (6, 9), None), ((1, 2), (1, 5), None), ((4, 5), (4, 5), (3, 5))],
)
def test_enlarging_is_bilinear(cells: tuple[int, int], size: tuple[int, int], shown: tuple[int, int] | None) -> None:
    maps = torch.randn(2, 3, *cells, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)
    rows, columns = shown or size
    torch.testing.assert_close(enlarged(maps, size, shown), expected[..., :rows, :columns], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("cells", "size", "shown"),
    [((6, 8), (48, 64), None), ((1, 5), (7, 40), (5, 33)), ((7, 4), (7, 4), (7, 3)), ((1, 1), (9, 9), (4, 4))],
)
def test_the_likeliest_class_is_that_of_enlarged_logits(
    cells: tuple[int, int], size: tuple[int, int], shown: tuple[int, int] | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    for sharp in (0.1, 1.0):  # many cells that agree, and few
        logits = torch.randn(4, *cells, generator=generator) * sharp
        logits[:, : cells[0] // 2] += torch.tensor([0.0, 1, 0, 0])[:, None, None]
        expected = enlarged(logits[None], size, shown)[0].argmax(0)
        assert torch.equal(likeliest(logits, size, shown or size), expected)


def test_a_model_is_evaluated_by_its_likeliest_classes(weights: Path) -> None:
    model, image = trained(weights, scale=0.7), Halves(size=(75, 90)).image("image1")
    assert isinstance(model, LabelSegmenter)
    for classes in (3, 2):
        assert torch.equal(model.likeliest(image, classes), model.predict(image)[:classes].max(0).indices)


def test_only_labelled_cells_teach(weights: Path) -> None:
    """The same head whatever lies in the ignored half of the images; without any label it stays as it was made."""
    split = Halves()

    def lower(name: str) -> np.ndarray:
        labels = split.ground_truth(name).copy()
        labels[24:] = 255
        return labels

    model = frozen(weights)
    model.fit(split, lower, seed=0, progress=False)
    assert model.head is not None and model.head.norm.num_batches_tracked == 20
    log = model.fit(split, lambda name: np.full((48, 64), 255, np.uint8), seed=0, progress=False)
    assert log.losses == () and model.predict(split.image("image0")).isfinite().all()


def test_wrong_labels_are_named(weights: Path) -> None:
    split = Halves(2)
    with pytest.raises(ValueError, match="labels of 'image[01]': expected 48x64, found 4x4"):
        frozen(weights).fit(split, lambda name: np.zeros((4, 4), np.uint8), seed=0, progress=False)
    with pytest.raises(ValueError, match=r"labels of 'image[01]': expected 0\.\.2 or 255, found 7"):
        frozen(weights).fit(split, lambda name: np.full((48, 64), 7, np.uint8), seed=0, progress=False)
    with pytest.raises(ValueError, match=r"image: expected \(H, W, 3\) uint8, found \(48, 64\) uint8"):
        trained(weights).predict(np.zeros((48, 64), np.uint8))
    with pytest.raises(RuntimeError, match="no weights yet"):
        frozen(weights).predict(split.image("image0"))


def test_a_loss_of_ones_own_sees_whole_images(weights: Path) -> None:
    """Other targets than classes, images of two sizes in one batch, and the cosine head (MulSpx)."""
    small, large = Halves(2), Halves(2, (64, 96))

    class Both(Split):
        def image(self, name: str) -> np.ndarray:
            return (large if name == "image1" else small).image(name)

        def ground_truth(self, name: str) -> np.ndarray:
            return (large if name == "image1" else small).ground_truth(name)

    split, seen = Both("train", ["image0", "image1"]), []

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(logits.shape), tuple(targets.shape), targets.unique().tolist()))
        return pixel_loss(logits, torch.where(targets == 255, 255, targets - 300))

    model = frozen(weights, head="cosine", iterations=3)
    model.fit(split, lambda name: split.ground_truth(name).astype(np.int32) + 300, seed=0, progress=False, loss=loss)
    assert seen == [((4, 3, 8, 12), (4, 8, 12), [255, 300, 301, 302])] * 3
    assert (model.head.classifier.weight if model.head else torch.empty(0)).shape == (3, 192, 1, 1)


@pytest.mark.parametrize("size", [(7, 5), (1, 1), (33, 8)])
def test_images_smaller_than_a_stride_and_grey_ones(weights: Path, size: tuple[int, int]) -> None:
    model = trained(weights)
    grey = np.full((*size, 3), 90, np.uint8)
    probs = model.predict(grey)
    assert probs.shape == (3, *size) and probs.isfinite().all()


def test_scale_makes_more_cells(weights: Path) -> None:
    image = Halves().image("image0")
    assert features_of(frozen(weights), image)[0].shape[2:] == (6, 8)
    assert features_of(frozen(weights, scale=2.0), image)[0].shape[2:] == (12, 16)
    assert trained(weights, scale=2.0).predict(image).shape == (3, 48, 64)


def test_a_plain_transformer_serves(tmp_path: Path) -> None:
    """One map at its own stride; the head learns on its cells."""
    name = "test_vit.r160_in1k"
    model = trained(save_weights(tmp_path, name), backbone=name)
    image = Halves().image("image0")  # 48 x 64
    assert [stage.shape[2:] for stage in features_of(model, image)] == [(3, 4)] and model.extractor.strides == (16,)
    assert model.predict(image).shape == (3, 48, 64)
    with torch.device("meta"), pytest.raises(ValueError, match="'samvit_base_patch16' takes images of one size only"):
        Backbone("samvit_base_patch16", (16,))


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_head_comes_back(weights: Path, tmp_path: Path) -> None:
    model, image = trained(weights), Halves().image("image0")
    model.save(tmp_path / "head.safetensors")
    again = frozen(weights)
    again.load(tmp_path / "head.safetensors")
    assert torch.equal(again.predict(image), model.predict(image))
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "head.safetensors").read_bytes()
    four = build_segmenter(SegmenterSettings(network="frozen", backbone=NAME, weights=weights), 4, "cpu")
    with pytest.raises(ValueError, match=r"of another shape: classifier.weight \(expected \(4, 192, 1, 1\), found \(3"):
        four.load(tmp_path / "head.safetensors")


def test_a_head_is_never_used_on_features_of_other_weights(weights: Path, tmp_path: Path) -> None:
    trained(weights).save(tmp_path / "head.safetensors")
    others = save_weights(tmp_path / "others", seed=1)
    model = frozen(others)
    model.load(tmp_path / "head.safetensors")
    with pytest.raises(
        ValueError, match=rf"{others}: expected SHA-256 \w{{64}}, on whose features .*, found \w{{64}}$"
    ):
        model.predict(Halves().image("image0"))


# --- the store --------------------------------------------------------------------------------------------------------


class Counted:
    """Counts how often features are computed."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: np.ndarray) -> Maps:
        self.calls += 1
        return [np.full((2, 3, 4), image.mean(), np.float32), np.full((5, 2, 2), image.std(), np.float32)]


IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def kept(store: FeatureStore) -> list[Path]:
    return sorted(store.path.glob("*.safetensors"))


def test_features_are_computed_once_and_shared(tmp_path: Path) -> None:
    compute = Counted()
    first = FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, compute)
    again = FeatureStore(tmp_path, "b", ("w",)).get(IMAGE.copy(), compute)
    assert compute.calls == 1 and all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, again, strict=True)
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_a_byte_per_value_is_within_half_a_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stage = rng.normal(3, 2, (6, 9, 11)).astype(np.float32)
    stage[5] = 7.25  # a channel that is the same everywhere
    (found,) = FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, lambda image: [stage])
    half = np.ptp(stage, axis=(1, 2)) / 255 / 2
    assert found.dtype == np.float32 and (np.abs(found - stage).max((1, 2)) <= half + 1e-6).all()
    assert (found[5] == 7.25).all()


def test_everything_that_decides_features_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted()
    FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, compute)
    other = IMAGE.copy()
    other[0, 0, 0] += 1
    FeatureStore(tmp_path, "b", ("w",)).get(other, compute)
    FeatureStore(tmp_path, "b", ("w",)).get(IMAGE.reshape(6, 4, 3), compute)
    FeatureStore(tmp_path, "c", ("w",)).get(IMAGE, compute)
    FeatureStore(tmp_path, "b", ("v",)).get(IMAGE, compute)
    monkeypatch.setattr(feature_store, "VERSION", 99)
    FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, compute)
    assert compute.calls == 6


def test_damaged_and_foreign_files_are_made_anew(tmp_path: Path) -> None:
    compute, store = Counted(), FeatureStore(tmp_path, "b", ("w",))
    right = store.get(IMAGE, compute)
    (file,) = kept(store)
    good, foreign = file.read_bytes(), FeatureStore(tmp_path / "other", "c", ("w",))
    foreign.get(IMAGE, Counted())
    flipped = bytearray(good)
    flipped[-1] ^= 1
    for number, content in enumerate((b"", b"nothing", good[:-7], bytes(flipped), kept(foreign)[0].read_bytes()), 2):
        file.write_bytes(content)
        found = FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, compute)
        assert compute.calls == number and all(np.array_equal(a, b) for a, b in zip(found, right, strict=True))
        assert file.read_bytes() == good


def test_what_does_not_fit_is_computed_whenever_it_is_needed(tmp_path: Path) -> None:
    compute = Counted()
    store = FeatureStore(tmp_path, "b", ("w",), limit_bytes=200)  # one image's 132 bytes, not two
    for _ in range(3):
        for value in (1, 2):
            assert store.get(np.full((4, 6, 3), value, np.uint8), compute)[0].max() == value
    assert compute.calls == 1 + 3 and len(kept(store)) == 1
    assert FeatureStore(tmp_path, "b", ("w",), limit_bytes=200).get(np.full((4, 6, 3), 2, np.uint8), compute)
    assert compute.calls == 5 and len(kept(store)) == 1


def test_a_file_of_the_right_key_with_other_arrays_is_made_anew(tmp_path: Path) -> None:
    compute, store = Counted(), FeatureStore(tmp_path, "b", ("w",))
    wanted = store.get(IMAGE, compute)[0]
    (file,) = kept(store)
    whole = read_arrays(file)
    nan = whole["range0"] * np.float32(np.nan)
    for wrong in ({"range0": nan}, {"range0": whole["range0"][:1]}, {"stage0": whole["stage0"][0]}, {"range0": None}):
        arrays = {name: array for name, array in (whole | wrong).items() if array is not None}
        write_arrays(file, arrays)
        assert (FeatureStore(tmp_path, "b", ("w",)).get(IMAGE, compute)[0] == wanted).all(), wrong.keys()
    assert compute.calls == 5


def _use(folder: Path, count: int) -> None:
    store = FeatureStore(folder, "b", ("w",))
    for value in range(count):
        found = store.get(np.full((4, 6, 3), value, np.uint8), Counted())
        assert found[0].max() == value


def test_several_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_use, args=(tmp_path, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = FeatureStore(tmp_path, "b", ("w",))
    assert len(kept(store)) == 20 and len(list(store.path.iterdir())) == 20


def test_a_temporary_folder_goes_with_its_store() -> None:
    store = FeatureStore(None, "b", ("w",))
    store.get(IMAGE, Counted())
    path = store.path
    assert path.is_dir()
    del store
    assert not path.exists()


# --- a run ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[a2lc.Run]:
    segmenter = {"network": "frozen", "backbone": NAME, "weights": weights, "iterations": 5}
    config = a2lc.Experiment(dataset="toy", rounds=2, budget=5, segmenter=segmenter)
    yield a2lc.run(config, tmp_path_factory.mktemp("runs"), device="cpu", progress=False)


def test_a_run_computes_every_image_once(run: a2lc.Run, weights: Path) -> None:
    """All rounds and the models read later share one folder; provenance names the weights."""
    from a2lc.files import read_json

    assert run.finished
    folders = list((run.path.parent / "shared").glob(f"features-{NAME}-*"))
    dataset = a2lc.load_dataset("toy")
    assert len(folders) == 1 and len(list(folders[0].iterdir())) == len(dataset.train) + len(dataset.val)
    before = {file: file.stat().st_mtime_ns for file in folders[0].iterdir()}
    start = time.time_ns()
    model = a2lc.Run.open(run.path).segmenter(2, device="cpu")
    assert model.predict(dataset.val.image(dataset.val.names[0])).shape[0] == len(dataset.classes)
    assert {file: file.stat().st_mtime_ns for file in folders[0].iterdir()} == before and max(before.values()) < start
    found = read_json(run.path / "provenance.json")["backbone"]
    assert found["backbone"] == NAME and found["weights"] == str(weights) and len(found["sha256"]) == 64


def test_a_model_that_started_from_other_weights_is_not_taken(run: a2lc.Run, tmp_path: Path) -> None:
    """The one of round 0, which runs share."""
    others = save_weights(tmp_path, seed=1)
    segmenter = run.config.segmenter.model_copy(update={"weights": others})
    config = run.config.model_copy(update={"segmenter": segmenter, "budget": 4})
    with pytest.raises(ValueError, match=r"holds another model: weights: wanted '\w{64}', found '\w{64}'"):
        a2lc.run(config, run.path.parent, device="cpu", progress=False)


def test_a_finished_run_needs_no_weights(run: a2lc.Run, tmp_path: Path) -> None:
    config = run.config.model_copy(
        update={"segmenter": run.config.segmenter.model_copy(update={"weights": tmp_path / "gone", "offline": True})}
    )
    assert a2lc.run(config, run.path.parent, device="cpu", progress=False).finished
