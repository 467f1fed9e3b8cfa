"""What answers let expect of all labels (`a2lc.instant.look_ahead`)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mask_world import World
from scipy.optimize import approx_fprime
from scipy.special import expit

from a2lc.instant import Outlook, look_ahead
from a2lc.instant.outlook import AT_MOST, NEXT, PRIOR, SMALL, WORTH, _learn, smallest_counted
from a2lc.masks import MaskSet


def outlook_of(world: World, answered: MaskSet) -> Outlook:
    """Of labels that nothing has corrected."""
    instant, labels = world.instant(), answered.table["label"].to_numpy()
    return look_ahead(instant, labels, labels, answered.queried, instant.suspicion(labels, answered.queried))


def asked_in_order(world: World, number: int) -> MaskSet:
    """The most suspicious masks answered."""
    found = world.instant().suspicion(world.labels, np.zeros(len(world.labels), bool))
    return world.answered(np.argsort(-found.scores, kind="stable")[:number])


def test_it_tells_good_labels_from_bad_ones() -> None:
    """Both worlds' features say what masks are; in one a third of the labels is wrong, in the other none is."""
    worlds = [World(share=share) for share in (0.3, 0.0)]
    answered = [asked_in_order(world, 40) for world in worlds]
    seen = [outlook_of(*both) for both in zip(worlds, answered, strict=True)]
    for world, given, found in zip(worlds, answered, seen, strict=True):
        area = world.instant().area
        wrong = given.table["label"].to_numpy() != world.truth
        assert found.right == pytest.approx(1 - area[wrong].sum() / area.sum(), abs=0.1)
        assert 0 <= found.right_low <= found.right <= found.right_high <= 1
        assert 0 <= found.wrong_low <= found.wrong <= found.wrong_high <= found.larger
        assert (found.answers, found.next) == (40, NEXT) and 0 <= found.next_pixels <= 1 - found.right + 1e-9
    assert seen[0].worth_asking and not seen[1].worth_asking


def test_more_answers_say_more() -> None:
    """Ranges get narrower where the labels stay as they are: no mask is confirmed or changed but those answered."""
    world = World(share=0.3)
    rows = np.random.default_rng(0).permutation(len(world.labels))
    few, many = (outlook_of(world, world.answered(rows[:number])) for number in (10, 120))
    assert (many.wrong_high - many.wrong_low) / many.larger < (few.wrong_high - few.wrong_low) / few.larger


def test_only_larger_masks_are_counted() -> None:
    assert smallest_counted(np.array([1.0, 1, 1, 1, 50, 46])) == 46  # the others hold 4 of 100 pixels
    assert smallest_counted(np.array([1.0, 1, 1, 4, 50, 43])) == 4  # as many would be 7
    assert smallest_counted(np.array([100.0])) == 100
    world = World()
    found = outlook_of(world, world.answered(np.arange(30)))
    small = world.masks.table["area"].to_numpy() < smallest_counted(world.instant().area)
    assert small.sum() > 0 and found.larger == (~small)[30:].sum()
    assert world.instant().area[small].sum() < SMALL * world.instant().area.sum()


def test_the_regression_is_at_its_maximum() -> None:
    rng = np.random.default_rng(3)
    seen = np.column_stack([np.ones(60), rng.normal(size=(60, 2)), rng.integers(0, 2, 60)])
    wrong = rng.integers(0, 2, 60).astype(float)
    mean, covariance = _learn(seen, wrong)

    def loss(w: np.ndarray) -> float:
        p = expit(seen[:, 1] + seen @ w)
        return float(-(wrong * np.log(p) + (1 - wrong) * np.log(1 - p)).sum() + ((w / PRIOR) ** 2).sum() / 2)

    assert approx_fprime(mean, loss, 1e-6) == pytest.approx(np.zeros(4), abs=1e-3)
    hessian = np.array([approx_fprime(mean, lambda w, i=i: approx_fprime(w, loss, 1e-4)[i], 1e-4) for i in range(4)])
    assert np.linalg.inv(covariance) == pytest.approx(hessian, rel=0.02, abs=0.05)


def test_of_many_masks_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(images=20, share=0.3)
    answered = asked_in_order(world, 40)
    every = outlook_of(world, answered)
    assert len(world.labels) < AT_MOST
    monkeypatch.setattr("a2lc.instant.outlook.AT_MOST", 150)
    some = outlook_of(world, answered)
    assert some != every
    # a quarter of 600 masks: of eight seeds the shares differ by up to 0.065, the numbers, counted up, by 21 %
    assert some.right == pytest.approx(every.right, abs=0.15) and some.wrong == pytest.approx(every.wrong, rel=0.5)


def test_words_say_when_to_stop() -> None:
    world = World(share=0.3)
    found = dataclasses.replace(outlook_of(world, asked_in_order(world, 40)), next_wrong=WORTH * NEXT + 0.1)
    assert found.worth_asking and "hardly" not in str(found)
    for few in (
        dataclasses.replace(found, next_wrong=WORTH * NEXT - 0.1),
        dataclasses.replace(found, next=0, next_wrong=0),
    ):
        assert not few.worth_asking and str(few).endswith("Asking on is hardly worth it.")


def test_nothing_can_be_expected_of_nothing() -> None:
    world = World()
    with pytest.raises(ValueError, match="expected masks with and without an answer, found 0 and 240"):
        outlook_of(world, world.masks)
    with pytest.raises(ValueError, match="found 240 and 0"):
        outlook_of(world, world.answered(np.arange(240)))
