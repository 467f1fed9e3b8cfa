"""The training pipeline: equal to plain loops, on one process or several, and what happens when memory runs out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import plain_lcm, plain_training
from small_runs import network, seeded
from torch import nn

from a2lc import Experiment
from a2lc.acquisition import mask_statistics
from a2lc.acquisition.pixels import Pixels
from a2lc.correction import LCMSettings, train_lcm
from a2lc.correction.lcm import predict
from a2lc.datasets import load_dataset
from a2lc.files import read_arrays
from a2lc.machine import halved
from a2lc.runs import Run
from a2lc.segmenter import SegmenterSettings, build_segmenter
from a2lc.segmenter.processes import kernels
from a2lc.segmenter.samples import load_batches
from a2lc.segmenter.training import pixel_loss

pytestmark = pytest.mark.usefixtures("one_thread")
DATA = load_dataset("toy", n_train=5, n_val=1)
K, CPU = len(DATA.classes), torch.device("cpu")
TINY = SegmenterSettings(
    **{"precision": "float32"} | network(iterations=3, batch_size=2, scale=0.5, lr=0.05, colour_jitter=0.3)
)
DEEP = {"network": "deeplabv3plus", "optimizer": "sgd_poly", "iterations": 2, "crop": (64, 64)}  # dropout draws as well
RUN = {"seed": seeded(), "rounds": 1, "budget": 5, "segmenter": network(iterations=2, batch_size=4, scale=0.5)}
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def fitted(settings: SegmenterSettings) -> tuple[dict[str, torch.Tensor], tuple[float, ...]]:
    model = build_segmenter(settings, K, "cpu")
    log = model.fit(DATA.train, DATA.train.ground_truth, seed=seeded(4), progress=False)
    assert model.network is not None
    return model.network.state_dict(), log.losses


def plain(settings: SegmenterSettings, parts: int = 1) -> tuple[dict[str, torch.Tensor], list[float]]:
    with torch.random.fork_rng():
        torch.manual_seed(seeded(4))
        network = build_segmenter(settings, K, "cpu")._new_network(pretrained=False)
        losses = plain_training(network, settings, DATA.train, parts)
    return network.state_dict(), losses


@pytest.mark.parametrize("fields", [{}, {"precision": "bfloat16", "crop": (64, 96)}, DEEP], ids=str)
def test_training_equals_a_plain_loop_bit_by_bit(fields: dict[str, Any]) -> None:
    settings = TINY.model_copy(update=fields)
    (found, losses), (wanted, plain_losses) = fitted(settings), plain(settings)
    assert list(losses) == plain_losses
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_batches_ahead_and_parts_of_batches_hold_the_same_crops() -> None:
    settings = TINY.model_copy(update={"batch_size": 4, "iterations": 5})

    def batches(ahead: int = 0, part: tuple[int, int] = (0, 1)) -> list[torch.Tensor]:
        torch.manual_seed(0)
        loaded = load_batches(settings, K, DATA.train, DATA.train.ground_truth, ahead, part)
        return [torch.cat([x, y[:, None]], 1) for x, y in loaded]

    wanted = batches()
    assert all(torch.equal(a, b) for a, b in zip(wanted, batches(ahead=3), strict=True))
    parts = zip(batches(part=(0, 2)), batches(part=(1, 2)), strict=True)
    assert all(torch.equal(a, torch.cat(b)) for a, b in zip(wanted, parts, strict=True))


def test_deterministic_changes_nothing_on_a_cpu_and_is_undone_afterwards() -> None:
    def state() -> tuple[Any, ...]:
        cudnn = torch.backends.cudnn
        tf32 = torch.backends.cuda.matmul.fp32_precision
        return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark, tf32

    before, seen = state(), []

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(state())
        return pixel_loss(logits, targets)

    weights = []
    for deterministic in (True, False):
        model = build_segmenter(TINY.model_copy(update={"deterministic": deterministic}), K, "cpu")
        model.fit(DATA.train, DATA.train.ground_truth, seed=seeded(4), progress=False, loss=loss)
        assert model.network is not None
        weights.append(model.network.state_dict())
        assert state() == before
    assert set(seen) == {(True, True, False, "ieee"), (False, False, True, "tf32")}
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(KeyError), kernels(True):
        raise KeyError
    assert state() == before


def test_the_loss_that_cuda_computes_the_same_way_every_time() -> None:
    """Maps are flattened first: what a CUDA tensor would do, by one that says that it is one."""

    class OnCuda(torch.Tensor):
        is_cuda = True

    logits, labels = torch.randn(2, K, 4, 5), torch.randint(0, K, (2, 8, 10), dtype=torch.uint8)
    labels[0, :3] = 255
    with kernels(deterministic=True):
        flat = pixel_loss(logits.as_subclass(OnCuda), labels)
    assert flat.item() == pytest.approx(pixel_loss(logits, labels).item(), rel=1e-6)


def test_a_compiled_network_has_the_same_names_and_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))  # compiles in no time
    compiled = build_segmenter(TINY.model_copy(update={"compile": True, "iterations": 1}), K, "cpu")
    compiled.fit(DATA.train, DATA.train.ground_truth, seed=seeded(4), progress=False)
    compiled.save(tmp_path / "compiled.safetensors")
    again = build_segmenter(TINY, K, "cpu")
    again.load(tmp_path / "compiled.safetensors")
    image = DATA.train.image(DATA.train.names[0])
    torch.testing.assert_close(compiled.predict(image), again.predict(image))


def test_new_settings_leave_the_names_of_runs_alone() -> None:
    chosen = {"deterministic": False, "compile": False}
    assert Experiment(segmenter=chosen).name == Experiment().name
    assert Experiment(segmenter={"deterministic": True}).identity()["segmenter"]["deterministic"] is True


# --- several processes ------------------------------------------------------------------------------------------------

TWO = """
import sys
from pathlib import Path
import numpy as np
import pytest
import torch
sys.path.insert(0, {tests!r})
import a2lc
from a2lc.acquisition import gather_statistics
from a2lc.datasets import load_dataset
from small_runs import seeded
from test_pipeline import DATA, K, RUN, TINY
from a2lc.segmenter import build_segmenter
from a2lc.segmenter.processes import first_process_plays
torch.set_num_threads(1)
out, rank = Path({out!r}), int(__import__("os").environ["RANK"])
with pytest.raises(ValueError, match="batch_size: expected a multiple of the number of processes, found 3 for 2"):
    model = build_segmenter(TINY.model_copy(update={{"batch_size": 3}}), K, "cpu")
    model.fit(DATA.train, DATA.train.ground_truth, seed=seeded(4), progress=False)
model = build_segmenter(TINY.model_copy(update={{"optimizer": "sgd_poly", "batch_size": 4}}), K, "cpu")
log = model.fit(DATA.train, DATA.train.ground_truth, seed=seeded(4), progress=False)
model.save(out / f"fit{{rank}}.safetensors")
(out / f"losses{{rank}}").write_text(repr(log.losses))
run = a2lc.run(a2lc.Experiment(**RUN), out / "runs", device="cpu", progress=False)
(out / f"run{{rank}}").write_text(repr(run.summary["model_miou"].tolist()))

@first_process_plays
def fails():
    raise KeyError("by design")

class Failing(type(model)):
    def predict(self, image):
        raise FloatingPointError("by design")

@first_process_plays
def score(model):
    data, masks = load_dataset("toy"), run.masks(0)
    return gather_statistics(model, data.train, masks, np.ones(len(data.classes)), progress=False)[0]

np.savez(out / f"scores{{rank}}.npz", **vars(score(model)))
broken = Failing(model.settings, K, torch.device("cpu"))
with pytest.raises(RuntimeError if rank else FloatingPointError):
    score(broken)

error, message = (RuntimeError, "first process stopped") if rank else (KeyError, "by design")
with pytest.raises(error, match=message):
    fails()
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes of ``torchrun`` leave behind."""
    out = tmp_path_factory.mktemp("two")
    script = out / "two.py"
    script.write_text(TWO.format(tests=str(Path(__file__).parent), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def test_two_processes_train_one_network(two: Path) -> None:
    """They end with the same weights: those of a plain loop that adds up the gradients of both halves of a batch."""
    first, second = (read_arrays(two / f"fit{rank}.safetensors") for rank in (0, 1))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert (two / "losses0").read_text() == (two / "losses1").read_text()
    settings = TINY.model_copy(update={"optimizer": "sgd_poly", "batch_size": 4})
    halves, losses = plain(settings, parts=2)
    assert all(np.allclose(first[name], value.numpy(), atol=1e-5) for name, value in halves.items())
    _, alone = plain(settings)  # batch norm sees the whole batch, and not half of it
    assert eval((two / "losses0").read_text()) == pytest.approx(losses, rel=1e-5)
    assert losses == pytest.approx(alone, rel=0.2)


def test_a_run_of_two_processes_is_one_run(two: Path) -> None:
    (folder,) = (two / "runs").glob("toy-*")
    run = Run.open(folder)
    assert run.finished
    assert (two / "run0").read_text() == (two / "run1").read_text() == repr(run.summary["model_miou"].tolist())


def test_two_processes_score_as_one_does(two: Path) -> None:
    """The first has the shares of both, the second has scored all images by itself."""
    shared, alone = (dict(np.load(two / f"scores{rank}.npz")) for rank in (0, 1))
    assert shared.keys() == alone.keys() and len(shared["abc"]) > 100
    assert all(np.array_equal(shared[name], alone[name], equal_nan=True) for name in alone)


# --- the LCM ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["double_softmax", "nll"])
def test_the_lcm_equals_a_plain_loop_bit_by_bit(loss: str) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.dirichlet(np.ones(5), 43).astype(np.float32), rng.integers(0, 4, 43)
    settings = LCMSettings(epochs=3, loss=loss)
    found = train_lcm(features, labels, 5, settings, seed=seeded(2)).state_dict()
    with torch.random.fork_rng():
        wanted = plain_lcm(features, labels, 5, settings, seed=seeded(2)).state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


# --- out of memory ----------------------------------------------------------------------------------------------------


class Small(nn.Module):
    """Has memory for 5 masks, or none."""

    def __init__(self, limit: int = 5) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if len(features) > self.limit:
            raise OUT_OF_MEMORY
        return features.softmax(1)


def test_the_lcm_is_applied_in_halves_where_memory_runs_out(capsys: pytest.CaptureFixture[str]) -> None:
    features = np.random.default_rng(0).normal(size=(18, 4)).astype(np.float32)
    for a, b in zip(predict(Small(), features), predict(Small(18), features), strict=True):
        np.testing.assert_array_equal(a, b)
    notices = capsys.readouterr().err.splitlines()
    assert notices == [
        "cpu: not enough memory for 18 at once (applying the LCM to a mask), going on with 9",
        "cpu: not enough memory for 9 at once (applying the LCM to a mask), going on with 4",
    ]
    with pytest.raises(RuntimeError, match="cpu: not enough memory for applying the LCM to a mask"):
        predict(Small(0), features)
    assert [len(part) for part in predict(Small(), features[:0])] == [0, 0]


def test_the_lcm_is_never_applied_to_all_masks_of_a_large_dataset_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=(18, 4)).astype(np.float32)
    wanted = predict(Small(18), features)
    monkeypatch.setattr("a2lc.correction.lcm.AT_ONCE", 7)
    for a, b in zip(predict(Small(7), features), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scoring_takes_smaller_blocks_where_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    probs = torch.from_numpy(rng.dirichlet(np.ones(4), (20, 30)).transpose(2, 0, 1).astype(np.float32))
    index, labels = np.arange(600).reshape(20, 30) // 60, np.zeros((20, 30), np.uint8)
    wanted, blocks = mask_statistics(probs, index, labels, needs={"representative", "uncertainty"}), Pixels.blocks

    def scarce(self: Pixels) -> Iterator[Any]:
        if self.block > 10_000:
            raise OUT_OF_MEMORY
        return blocks(self)

    monkeypatch.setattr(Pixels, "blocks", scarce)
    found = mask_statistics(probs, index, labels, needs={"representative", "uncertainty"})
    np.testing.assert_allclose(found.abc, wanted.abc, rtol=1e-6)
    np.testing.assert_array_equal(found.representative, wanted.representative)
    assert "32768 at once (scoring a pixel), going on with 16384" in capsys.readouterr().err


def test_training_and_prediction_say_which_setting_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any) -> None:
        raise OUT_OF_MEMORY

    def other_error(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2")

    model = build_segmenter(TINY, K, "cpu")
    fit = {"seed": seeded(), "progress": False}
    wanted = r"training on batches of 2 \(CUDA out.*\); lower segmenter.batch_size, crop or scale"
    with pytest.raises(RuntimeError, match=f"cpu: not enough memory for {wanted}"):
        model.fit(DATA.train, DATA.train.ground_truth, loss=no_memory, **fit)
    with pytest.raises(RuntimeError, match="^mat1 and mat2$"):
        model.fit(DATA.train, DATA.train.ground_truth, loss=other_error, **fit)
    monkeypatch.setattr(type(model.network), "forward", no_memory)
    with pytest.raises(RuntimeError, match="predicting an image of 48x64 .*; lower segmenter.scale"):
        model.predict(np.zeros((48, 64, 3), np.uint8))


def test_other_errors_are_no_shortage() -> None:
    error = RuntimeError("mat1 and mat2")
    with pytest.raises(RuntimeError) as raised:
        halved(8, error, CPU, "a mask")
    assert raised.value is error
