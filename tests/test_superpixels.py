"""Superpixels, merging and sieving against the slow versions of tests/oracles_superpixels.py."""

from __future__ import annotations

import ast
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles_superpixels import contacts, merged_map, sieved
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from a2lc.baselines import adjacency, merge, sieve
from a2lc.datasets import load_dataset
from a2lc.datasets.base import Split
from a2lc.masks import MaskSet
from a2lc.pseudo_labels import superpixels as module
from a2lc.pseudo_labels.settings import SuperpixelSettings
from a2lc.pseudo_labels.superpixels import partition, superpixels

cv2 = pytest.importorskip("cv2")
TOY = load_dataset("toy", n_train=3, n_val=1)


def scene(height: int, width: int) -> np.ndarray:
    """A drawn scene, cut out of a larger one where it is too small to be drawn."""
    data = load_dataset("toy", n_train=1, n_val=1, height=max(height, 48), width=max(width, 64))
    return data.train.image(data.train.names[0])[:height, :width]


# ---------------------------------------------------------------------------------------------------- superpixels
@pytest.mark.parametrize("side", [32, 16])
@pytest.mark.parametrize("algorithm", ["seeds", "slic"])
@pytest.mark.parametrize("size", [(96, 128), (360, 480), (101, 163), (40, 50), (17, 64)])
def test_every_pixel_has_one_of_1_to_n(size: tuple[int, int], algorithm: str, side: int) -> None:
    image, cut = scene(*size), SuperpixelSettings(algorithm=algorithm, side=side)
    found = superpixels(image, cut)
    assert found.shape == size and found.dtype == np.int32
    areas = np.bincount(found.ravel())
    assert areas[0] == 0 and (areas[1:] > 0).all()
    np.testing.assert_array_equal(superpixels(image, cut), found)
    if min(size) >= 96:  # much larger than a superpixel
        assert 1 / 1.5 < areas[1:].mean() / side**2 < 1.5


def test_seeds_gets_the_published_numbers_and_picture() -> None:
    """2048 and 8192 are asked for a frame of Cityscapes; SEEDS gets equalised HSV."""
    assert [module._number_to_ask(1024, 2048, side) for side in (32, 16)] == [2048, 8192]
    image = scene(96, 128)
    values = np.sort(image.ravel())
    equal = np.searchsorted(values, image, side="right") / values.size  # share of values, of all channels, up to this
    seeds = cv2.ximgproc.createSuperpixelSEEDS(128, 96, 3, 12, 5, 3, 10, True)
    seeds.iterate(cv2.cvtColor(equal.astype(np.float32), cv2.COLOR_RGB2HSV), 10)
    labels = seeds.getLabels()
    assert seeds.getNumberOfSuperpixels() == 12
    ids = np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + 1
    np.testing.assert_array_equal(superpixels(image, SuperpixelSettings()), ids)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 3000))
def test_grid_is_the_one_opencv_makes(height: int, width: int, number: int) -> None:
    grid = module._seeds_grid(height, width, number)
    assume(grid.blocks)  # else OpenCV would crash
    seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, 3, number, 5, 3, 1, True)
    assert seeds.getNumberOfSuperpixels() == grid.blocks


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([4, 16, 20, 32]))
def test_no_other_number_comes_nearer(height: int, width: int, side: int) -> None:
    wanted = height * width / side**2

    def miss(number: int) -> float:
        blocks = module._seeds_grid(height, width, number).blocks
        return abs(np.log(blocks / wanted)) if blocks else np.inf

    best = min(miss(n) for n in {int(wanted * f) for f in np.geomspace(0.2, 5, 200)})
    try:
        assert miss(module._number_to_ask(height, width, side)) <= best + 1e-9
    except ValueError as error:
        assert "algorithm 'slic' can" in str(error) and best == np.inf


def test_flat_and_noisy_images_are_cut() -> None:
    rng = np.random.default_rng(0)
    for image in (np.full((64, 96, 3), 7, np.uint8), rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)):
        for algorithm in ("seeds", "slic"):
            assert superpixels(image, SuperpixelSettings(algorithm=algorithm, side=16)).min() == 1


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), "u1")]
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected an image \(H, W, 3\) uint8, found"):
        superpixels(image, SuperpixelSettings())


def test_images_too_small_for_seeds_are_refused() -> None:
    tiny = np.zeros((1, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="SEEDS cannot cut an image of 1 x 40 pixels, algorithm 'slic' can"):
        superpixels(tiny, SuperpixelSettings(side=32))
    assert superpixels(tiny, SuperpixelSettings(algorithm="slic")).min() == 1


@pytest.mark.parametrize("wrong", [{"side": 3}, {"side": "16"}, {"algorithm": "felzenszwalb"}, {"sides": 16}])
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SuperpixelSettings(**wrong)


# ------------------------------------------------------------------------------------------------------ partition
def same(a: MaskSet, b: MaskSet) -> bool:
    maps = all(np.array_equal(a.object_map(name), b.object_map(name)) for name in a.names)
    return a.names == b.names and maps and a.table.equals(b.table) and a.uncovered == b.uncovered


@pytest.mark.slow  # two processes import PyTorch
def test_partition_does_not_depend_on_jobs() -> None:
    cut = SuperpixelSettings(side=16)
    one = partition(TOY.train, TOY.classes, cut, jobs=1, progress=False)
    two = partition(TOY.train, TOY.classes, cut, jobs=2, progress=False)
    assert same(one, two)
    for name in one.names:
        np.testing.assert_array_equal(one.object_map(name), superpixels(TOY.train.image(name), cut))
        assert (one.label_map(name) == 255).all()
    assert set(one.table["label"]) == {255} and set(one.table["source"]) == {"initial"}
    assert one.uncovered == TOY.classes.uncovered


def test_partition_can_be_kept(tmp_path: Path) -> None:
    masks = partition(TOY.val, TOY.classes, SuperpixelSettings(side=4), jobs=1, progress=False)
    assert masks.table["mask_id"].max() > 255  # 16-bit files
    masks.save(tmp_path)
    assert same(MaskSet.load(tmp_path), masks)


class Recording(Split):
    """Toy's images; notes the process that reads them, and cannot be sent to another one."""

    def __init__(self) -> None:
        super().__init__("train", TOY.train.names)
        self.readers: list[int] = []

    def image(self, name: str) -> np.ndarray:
        self.readers.append(os.getpid())
        return TOY.train.image(name)

    def ground_truth(self, name: str) -> None:
        raise AssertionError("superpixels need no ground truth")

    def __reduce__(self) -> None:  # type: ignore[override]
        raise pickle.PicklingError("no other process wanted")


def test_one_job_starts_no_process() -> None:
    split = Recording()
    partition(split, TOY.classes, SuperpixelSettings(), jobs=1, progress=False)
    assert split.readers == [os.getpid()] * 3


class Blank(Split):
    """Black frames of one size."""

    def __init__(self, count: int, height: int, width: int) -> None:
        super().__init__("train", [str(i) for i in range(count)])
        self.size = (height, width, 3)

    def image(self, name: str) -> np.ndarray:
        return np.zeros(self.size, np.uint8)

    def ground_truth(self, name: str) -> None:
        return None


def test_processes_fit_images_memory_and_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(total=2**35))  # 32 GiB
    monkeypatch.setattr("joblib.effective_n_jobs", lambda jobs: 16 if jobs == -1 else jobs)  # 16 cores
    frames, fine, coarse = Blank(50, 1024, 2048), SuperpixelSettings(side=16), SuperpixelSettings(side=32)
    assert module._processes(frames, fine, 16) == 2  # 11 GiB each
    assert module._processes(frames, coarse, 16) == module._processes(frames, coarse, -1) == 7
    assert module._processes(frames, SuperpixelSettings(algorithm="slic"), 64) == 50
    assert module._processes(Blank(50, 96, 128), fine, 16) == 16
    assert module._processes(Blank(50, 96, 128), fine, -1) == 1  # done before another process has started


def test_no_job_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="n_jobs == 0"):
        partition(TOY.train, TOY.classes, SuperpixelSettings(), jobs=0)


@pytest.mark.parametrize("absent", ["cv2", "ximgproc", "joblib", "kneed"])
def test_missing_packages_are_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2" if absent == "ximgproc" else absent, None)
    if absent == "ximgproc":  # OpenCV without its contrib modules
        monkeypatch.setitem(sys.modules, "cv2", types.ModuleType("cv2"))
    with pytest.raises(ImportError, match=r"pip install 'a2lc\[superpixels\]'"):
        if absent == "kneed":
            sieve(np.linspace(0, 1, 600))
        else:
            partition(TOY.val, TOY.classes, SuperpixelSettings(), jobs=1, progress=False)


def test_optional_packages_are_imported_only_where_they_are_used() -> None:
    for path in Path(module.__file__).parents[1].rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not {name.split(".")[0] for name in names} & {"cv2", "joblib", "kneed"}, path


# -------------------------------------------------------------------------------------------------------- merging
@st.composite
def partitions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """An index map in which 0..n-1 occur, with holes; mean probabilities around a few kinds; uncertainty with ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    raw = rng.integers(draw(st.sampled_from([-1, 0])), draw(st.integers(1, 40)), (height, width))
    raw = np.repeat(np.repeat(raw, draw(st.integers(1, 3)), 0), draw(st.integers(1, 3)), 1)
    ids, index = np.unique(raw, return_inverse=True)
    index = index.reshape(raw.shape) - (ids[0] == -1)
    n, k = int(index.max()) + 1, draw(st.integers(1, 6))
    kinds = rng.dirichlet(np.full(k, 0.5), draw(st.integers(1, 4)))
    spread = draw(st.sampled_from([0.0, 0.01, 0.1]))
    f = kinds[rng.integers(0, len(kinds), n)] * (1 - spread) + spread * rng.dirichlet(np.ones(k), n)
    return index, f, rng.random(n).round(draw(st.sampled_from([0, 1, 9]))), rng


@settings(max_examples=80, deadline=None)
@given(partitions())
def test_adjacency_equals_the_pixel_loop(drawn: tuple) -> None:
    index = drawn[0]
    found = adjacency(index)
    assert found.dtype == np.int64 and found.shape == (len(found), 2)
    assert [tuple(pair) for pair in found.tolist()] == sorted(contacts(index))


@settings(max_examples=80, deadline=None)
@given(partitions(), st.sampled_from([0.02, 0.1, 0.3, 0.6]))
def test_merging_equals_relabelling_the_image(drawn: tuple, epsilon: float) -> None:
    """In whatever order the slow version absorbs, and in whatever order the edges come."""
    index, f, uncertainty, rng = drawn
    assume(len(f))
    edges = adjacency(index)
    roots = merge(f, uncertainty, edges, epsilon)
    assert roots.dtype == np.int64 and roots.shape == (len(f),)
    wanted = merged_map(index, f, uncertainty, epsilon, rng)
    np.testing.assert_array_equal(np.append(roots, -1)[index], wanted)
    shuffled = rng.permutation(rng.permuted(edges, axis=1))
    np.testing.assert_array_equal(merge(f * 3, uncertainty, shuffled, epsilon), roots)  # f need not sum to 1


@settings(max_examples=60, deadline=None)
@given(partitions())
def test_merging_nothing_and_everything(drawn: tuple) -> None:
    """epsilon = 0 returns the base map; epsilon > 1 one region per connected image, the most uncertain its root."""
    index, f, uncertainty, _ = drawn
    edges, n = adjacency(index), len(f)
    np.testing.assert_array_equal(merge(f, uncertainty, edges, 0.0), np.arange(n))
    assume(n)
    part = connected_components(coo_array((np.ones(len(edges)), edges.T), shape=(n, n)), directed=False)[1]
    order = np.lexsort((np.arange(n), -uncertainty))
    first = {int(p): int(order[part[order] == p][0]) for p in np.unique(part)}
    assert merge(f, uncertainty, edges, 1.1).tolist() == [first[int(p)] for p in part]


def test_the_roots_own_prediction_decides() -> None:
    """A chain whose steps are small: it breaks where the distance to the root is large, not the one to the last."""
    f = np.stack([np.linspace(0.5, 0.9, 9), np.linspace(0.5, 0.1, 9)], axis=1)
    edges = np.stack([np.arange(8), np.arange(1, 9)], axis=1)
    assert merge(f, np.linspace(1, 0, 9), edges, 0.1).tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert merge(f, np.linspace(0, 1, 9), edges, 0.1)[-1] == 8


def test_epsilon_is_a_distance_in_natural_units() -> None:
    """Opposite certainties are sqrt(ln 2) = 0.8326 apart."""
    f, edges = np.eye(2), np.array([[0, 1]])
    assert merge(f, np.array([0.0, 1.0]), edges, 0.8325).tolist() == [0, 1]
    assert merge(f, np.array([0.0, 1.0]), edges, 0.8326).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uncertainty": np.ones(3)}, r"expected \(n, K\) and \(n,\), found \(2, 2\) and \(3,\)"),
        ({"uncertainty": np.array([np.nan, 1])}, "found NaN"),
        ({"mean_probs": np.array([[0.5, 0.5], [0, 0]])}, "positive sum in each row"),
        ({"mean_probs": np.array([[0.5, 0.5], [np.nan, 1]])}, "probabilities >= 0"),
        ({"edges": np.array([[0, 2]])}, r"regions 0\.\.1, found 0\.\.2"),
        ({"edges": np.array([0, 1])}, r"edges \(E, 2\) of integers"),
        ({"epsilon": -0.1}, "epsilon must be >= 0, found -0.1"),
    ],
)
def test_what_cannot_be_merged_is_named(change: dict, message: str) -> None:
    good = {"mean_probs": np.eye(2), "uncertainty": np.ones(2), "edges": np.array([[0, 1]]), "epsilon": 0.1}
    with pytest.raises(ValueError, match=message):
        merge(**(good | change))


@pytest.mark.parametrize("index", [np.zeros(3, int), np.zeros((2, 2)), np.full((2, 2), -2)])
def test_what_is_no_index_map_is_named(index: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"adjacency: expected"):
        adjacency(index)


# -------------------------------------------------------------------------------------------------------- sieving
@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 1500),
    st.sampled_from([1, 40, 512]),
    st.sampled_from(["uniform", "bimodal", "sure", "flat", "two"]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
)
def test_sieve_equals_the_slow_version(area: int, merged_area: int, kind: str, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = {
        "uniform": rng.random(area),
        "bimodal": np.where(rng.random(area) < 0.2, rng.beta(1, 9, area), rng.beta(9, 1, area)),
        "sure": 1 - rng.random(area) ** 9,
        "flat": np.full(area, 0.3),
        "two": rng.integers(0, 2, area) / 2,
    }[kind].astype(dtype)
    kept = sieve(confidence, merged_area=merged_area)
    assert kept.dtype == bool and kept.tolist() == sieved(confidence.tolist(), merged_area)
    assert kept.any()
    if area < merged_area or kind == "flat":
        assert kept.all()


def test_sieve_cuts_at_the_corner() -> None:
    """A fifth of the region rises to 0.8, the rest hardly further: the corner is the knee, and the fifth goes."""
    rising = np.concatenate([np.linspace(0, 0.8, 200, endpoint=False), np.linspace(0.8, 0.81, 800)])
    shuffled = np.random.default_rng(0).permutation(rising)
    np.testing.assert_array_equal(sieve(shuffled), shuffled >= 0.8)
    assert sieve(rising[::2]).all()  # 500 pixels are no merged region


@pytest.mark.parametrize("wrong", [np.zeros(0), np.zeros((2, 2)), np.ones(3, int), np.array([0.1, np.nan])])
def test_what_cannot_be_sieved_is_named(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"sieve: expected"):
        sieve(wrong)
