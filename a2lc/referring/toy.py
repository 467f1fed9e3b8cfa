"""toy_referring: drawn street scenes with sentences that exactly one figure satisfies, from a seed, the same on every
platform.

The scenes are those of `a2lc.datasets.toy` with other numbers; what stands in them is known, so what a sentence names
is certain. A bicycle that is ridden belongs to its rider, the pole of a sign to the sign.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from a2lc.datasets.toy import MIN_HEIGHT, MIN_WIDTH
from a2lc.datasets.toy_canvas import Dice, Scene
from a2lc.datasets.toy_scene import draw_scene
from a2lc.referring.data import ReferringDataset, ReferringSplit, table_of
from a2lc.referring.expressions import Expression, Seen, expressions_about

LEAST = 24  # pixels of a figure that must be seen for a sentence to speak of it
REFERENTS, SENTENCES = 3, 2  # at most, of a scene and of a referent
FIGURES = 64  # more than a scene can have: room for the numbers of its referents
SPLITS = {"train": 16, "val": 17, "test": 18}  # numbers no split of `toy` has
KINDS = {
    "car": "car",
    "car_from_the_side": "car",
    "bus": "bus",
    "truck": "truck",
    "person": "person",
    "rider": "rider",
    "bicycle": "bicycle",
    "tree": "tree",
    "sign_post": "sign",
    "traffic_light": "traffic light",
}
COLOURS = {  # every paint that a figure can have, in words
    "red": ((178, 34, 40), (176, 44, 44), (160, 40, 50), (196, 40, 44)),
    "blue": ((40, 70, 140), (60, 90, 140), (40, 60, 120), (44, 80, 168)),
    "white": ((205, 205, 200), (225, 225, 228), (216, 214, 206), (224, 224, 220), (200, 190, 170)),
    "black": ((60, 62, 66), (70, 75, 80), (35, 35, 40)),
    "grey": ((130, 135, 140), (150, 150, 148), (96, 98, 100)),
    "green": ((34, 90, 70), (60, 120, 90), (60, 110, 80)),
    "yellow": ((190, 160, 60), (206, 170, 60), (222, 186, 50)),
    "brown": ((95, 45, 40),),
    "orange": ((190, 120, 50),),
    "purple": ((110, 70, 120),),
}
WORD_OF = {paint: word for word, paints in COLOURS.items() for paint in paints}
OPTIONS = {"seed": 0, "n_train": 1, "n_val": 1, "n_test": 1, "height": MIN_HEIGHT, "width": MIN_WIDTH}
"""What `load` takes, and the least of each."""


def load(
    *, seed: int = 0, n_train: int = 600, n_val: int = 100, n_test: int = 100, height: int = 96, width: int = 128
) -> ReferringDataset:
    """Drawn scenes with sentences: splits ``train``, ``val``, and of the test scenes ``test_uni``, the sentences for
    which kind and colour suffice, and ``test_rel``, those that need a relation (testA and testB in role only).

    Args:
        seed: another seed draws other scenes; >= 0.
        n_train, n_val, n_test: scenes of each, >= 1; the first ones do not depend on how many there are.
        height: rows of every image, at least 48.
        width: columns of every image, at least 64.

    Raises:
        ValueError: an argument that is no integer or too small.
    """
    found = dict(zip(OPTIONS, (seed, n_train, n_val, n_test, height, width), strict=True))
    for option, value in found.items():
        if type(value) is not int or value < OPTIONS[option]:
            raise ValueError(f"toy_referring: {option} must be an integer >= {OPTIONS[option]}, found {value!r}")
    counts = {"train": n_train, "val": n_val, "test": n_test}
    splits: dict[str, ReferringSplit] = {}
    for name, count in counts.items():
        split = ToyReferringSplit.draw(name, count, seed, (height, width))
        if name != "test":
            splits[name] = split
            continue
        relation = np.array([said.is_relation for said in split.said.values()], bool)
        splits["test_uni"] = split.restricted("test_uni", split.table[~relation])
        splits["test_rel"] = split.restricted("test_rel", split.table[relation])
    return ReferringDataset("toy_referring", splits)


class ToyReferringSplit(ReferringSplit):
    """Scenes of one split, drawn again when asked for.

    Attributes:
        said: sentence_id -> the `Expression` behind the sentence.
    """

    def __init__(
        self, name: str, table: pd.DataFrame, said: dict[int, Expression], drawn: str, seed: int, size: tuple[int, int]
    ) -> None:
        super().__init__(name, f"{drawn}-s{seed}-{size[0]}x{size[1]}", table)
        self.said = said
        self._drawn, self._seed, self._size = drawn, seed, size

    @classmethod
    def draw(cls, name: str, count: int, seed: int, size: tuple[int, int]) -> ToyReferringSplit:
        """Draw `count` scenes and choose their sentences."""
        rows: list[tuple[object, ...]] = []
        said: dict[int, Expression] = {}
        for index in range(count):
            seen, figures = _looked_at(seed, SPLITS[name], index, *size)
            for figure, expression in _chosen(seen, Dice(seed, SPLITS[name], index, 1)):
                ys, xs = np.nonzero(figures == figure.number)
                box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
                said[len(rows)] = expression
                reference = index * FIGURES + figure.number
                text = str(expression)
                rows.append((len(rows), reference, f"{name}_{index:04d}", text, figure.kind, figure.area, *box))
        return cls(name, table_of(rows), said, name, seed, size)

    def image(self, name: str) -> np.ndarray:
        """Draw the picture; see `ReferringSplit.image`."""
        return self._scene(self._index(name)).image.copy()

    def mask(self, ref_id: int) -> np.ndarray:
        """The pixels of the figure that are seen; see `ReferringSplit.mask`."""
        index, number = divmod(int(ref_id), FIGURES)
        if not (self.table["ref_id"] == ref_id).any():
            raise KeyError(f"{self.name}: no referent {ref_id}")
        return np.asarray(self._scene(index).figures == number)

    def seen(self, name: str) -> list[Seen]:
        """The figures of a scene of which enough can be seen: what simulated priors are made from."""
        return _looked_at(self._seed, SPLITS[self._drawn], self._index(name), *self._size)[0]

    def figures(self, name: str) -> np.ndarray:
        """(H, W) int32, which figure each pixel shows, 0 = none."""
        return _looked_at(self._seed, SPLITS[self._drawn], self._index(name), *self._size)[1].copy()

    def restricted(self, name: str, table: pd.DataFrame) -> ToyReferringSplit:
        """See `ReferringSplit.restricted`."""
        said = {int(number): self.said[int(number)] for number in table["sentence_id"]}
        return ToyReferringSplit(name, table, said, self._drawn, self._seed, self._size)

    def _index(self, name: str) -> int:
        if not (self.table["image"] == name).any():
            raise KeyError(f"{self.name}: no image {name!r}")
        return int(name.rpartition("_")[2])

    def _scene(self, index: int) -> Scene:
        return _drawn(self._seed, SPLITS[self._drawn], index, *self._size)


@lru_cache(maxsize=1024)
def _drawn(seed: int, split: int, index: int, height: int, width: int) -> Scene:
    return draw_scene((seed, split, index), height, width)


def _looked_at(seed: int, split: int, index: int, height: int, width: int) -> tuple[list[Seen], np.ndarray]:
    scene = _drawn(seed, split, index, height, width)
    return seen_in(scene), scene.figures


def seen_in(scene: Scene) -> list[Seen]:
    """The figures of a scene that a sentence may speak of: of a kind with a name, `LEAST` pixels of them seen."""
    found = []
    wide = scene.figures.shape[1]
    for standing in scene.standing:
        if standing.kind not in KINDS:
            continue
        columns = np.nonzero(scene.figures == standing.number)[1]
        if len(columns) < LEAST:
            continue
        colour = None if standing.paint is None else WORD_OF[standing.paint]
        place = (float(columns.mean() / wide), standing.depth, float(columns.min() / wide), float(columns.max() / wide))
        found.append(Seen(standing.number, KINDS[standing.kind], colour, *place, len(columns)))
    return found


def _chosen(seen: list[Seen], dice: Dice) -> list[tuple[Seen, Expression]]:
    """Up to `REFERENTS` figures with up to `SENTENCES` sentences each; a referent has at most one that names kind and
    colour only."""
    options = {figure.number: expressions_about(figure, seen) for figure in seen}
    figures = [figure for figure in seen if options[figure.number]]
    chosen: list[tuple[Seen, Expression]] = []
    for _ in range(min(REFERENTS, len(figures))):
        figure = figures.pop(dice.between(0, len(figures) - 1))
        plain = [option for option in options[figure.number] if not option.is_relation]
        related = [option for option in options[figure.number] if option.is_relation]
        for _ in range(SENTENCES):
            of = plain if plain and (not related or dice.chance(50)) else related
            if of:
                chosen.append((figure, of.pop(dice.between(0, len(of) - 1))))
                plain = [] if of is plain else plain
    return chosen
