"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no failure
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

os.environ["A2LC_KEYS"] = os.devnull  # no key that somebody has set here

LONGEST = ("test_kill", "test_person", "test_runners", "test_installed", "test_many", "test_rounds", "test_fuzz")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first: of several processes, none is left with one of them at the end."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


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
