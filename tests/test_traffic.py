"""What scoring copies between a device and the host, counted on a pretended device: no graphics card is needed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from a2lc.acquisition import gather_statistics
from a2lc.datasets import Classes
from a2lc.masks import MaskSet

AWAY = torch.device("lazy")  # one that needs no driver, and that this package has no code for
K, SHAPE = 5, (96, 128)
PIXELS = SHAPE[0] * SHAPE[1]


class Away(torch.Tensor):
    """A tensor that says it lies on `AWAY` and keeps its numbers here: NumPy refuses it, as it does a card's."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Away:
        options = {"strides": inner.stride(), "dtype": inner.dtype, "device": AWAY}
        made: Away = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **options)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> Any:
        raise AssertionError("a tensor on the device was used after its traffic was counted")


class Traffic(TorchDispatchMode):
    """Computes here what is asked of `AWAY`, and notes the bytes of every copy.

    Attributes:
        to, back: bytes of each copy to the device, and to the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to: list[int] = []
        self.back: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors: list[Away] = []

        def inner(value: Any) -> Any:
            if isinstance(value, Away):
                tensors.append(value)
                return value.inner
            return value

        here, options = tree_map(inner, args), tree_map(inner, kwargs)
        device = options.get("device")
        target = device if device is not None else (AWAY if tensors else torch.device("cpu"))
        if device is not None:
            options["device"] = "cpu"
        found = function(*here, **options)
        if function is torch.ops.aten._to_copy.default and bool(tensors) != (target == AWAY):
            (self.to if target == AWAY else self.back).append(found.nbytes)
        if function is torch.ops.aten._local_scalar_dense.default and tensors:
            self.back.append(here[0].nbytes)
        known = {id(tensor.inner): tensor for tensor in tensors}

        def outer(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and target == AWAY:
                return known.get(id(value)) if id(value) in known else Away(value)
            return value

        return tree_map(outer, found)


class Model:
    """Predicts something else for every image."""

    num_classes = K

    def __init__(self, place: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.place = place

    def predict(self, image: np.ndarray) -> torch.Tensor:
        coarse = np.random.default_rng(int(image[0, 0, 0])).normal(size=(1, K, 6, 8)).astype(np.float32) * 3
        logits = torch.nn.functional.interpolate(torch.from_numpy(coarse), SHAPE, mode="bilinear")
        return self.place(logits[0].softmax(0))


def masks_and_images() -> tuple[MaskSet, Any]:
    rng = np.random.default_rng(0)
    classes = Classes(tuple(f"c{k}" for k in range(K)), np.zeros((K, 3), np.uint8))
    objects = {
        name: np.kron(rng.integers(0, 7, (6, 8)), np.ones((16, 16), int)).astype(np.int32) for name in ("a", "b", "c")
    }
    labels = {name: {int(i): int(rng.choice([*range(K), 255])) for i in np.unique(objects[name])} for name in objects}
    masks = MaskSet.from_maps(classes, list(objects), objects, labels)
    return masks, SimpleNamespace(image=lambda name: np.full((*SHAPE, 3), ord(name), np.uint8))


@pytest.mark.parametrize(
    ("needs", "maps_back"),
    [
        ((), []),
        (("uncertainty", "softmin"), []),
        (("representative",), []),
        (("components",), [2 * PIXELS, 4 * PIXELS]),  # which are found on the host: predictions, and whose they are
    ],
)
def test_an_image_sends_its_index_map_and_gets_rows_of_masks(needs: Any, maps_back: list[int]) -> None:
    """No copy of a pixel's size or more, but for one map of 32 bits an image; and the numbers are those of the CPU."""
    masks, split = masks_and_images()
    wanted, _ = gather_statistics(Model(lambda p: p), split, masks, np.ones(K), needs, progress=False)
    with Traffic() as traffic:
        found, _ = gather_statistics(Model(Away), split, masks, np.ones(K), needs, progress=False)
    images = len(masks.names)
    assert [size for size in traffic.to if size >= PIXELS] == images * [4 * PIXELS]
    assert [size for size in traffic.back if size >= PIXELS] == images * maps_back
    assert traffic.back and sum(size for size in traffic.back if size < PIXELS) < images * PIXELS
    for name, column in vars(wanted).items():
        if name == "representative":
            np.testing.assert_array_equal(getattr(found, name), column)
        np.testing.assert_allclose(getattr(found, name), column, rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_map_that_comes_back_is_noticed() -> None:
    with Traffic() as traffic:
        Away(torch.zeros(SHAPE)).max(0).values.cpu()
        torch.zeros(SHAPE, device=AWAY).cpu()
        torch.ones(3).to(AWAY).sum().item()
    assert (traffic.to, traffic.back) == ([12], [4 * SHAPE[1], 4 * PIXELS, 4])
    with pytest.raises((RuntimeError, TypeError), match="numpy"):  # unlike on the CPU
        Away(torch.zeros(3)).numpy()
