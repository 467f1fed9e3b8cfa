"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: of several processes, the last to finish then has little left to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data: $A2LC_DATA, else ../shared/data beside the repository.

    Skips only where the variable is unset and that folder is absent;
    a variable that points nowhere is an error.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("A2LC_DATA", beside))
    if not root.is_dir():
        if "A2LC_DATA" not in os.environ:
            pytest.skip(f"needs real data: A2LC_DATA is unset and {beside} is absent")
        raise FileNotFoundError(f"A2LC_DATA={root}: no such folder")
    return root


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks gain nothing from threads, and lose much beside other programs; sums are equal to the last bit."""
    from a2lc import machine

    with machine.one_thread():
        yield
