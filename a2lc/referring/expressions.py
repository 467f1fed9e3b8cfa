"""Sentences about drawn scenes: a small grammar, and what each sentence is true of.

A sentence is an `Expression`, a predicate over the figures that can be seen; it is used only where exactly one figure
satisfies it, so what it names is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

MARGIN = 6  # columns in 96 of the picture: less apart, one is neither left nor right of the other
ORDINALS = ("first", "second", "third")

Relation = Literal["left of", "right of", "behind", "in front of"]
RELATIONS: tuple[Relation, ...] = ("left of", "right of", "behind", "in front of")


@dataclass(frozen=True)
class Seen:
    """A figure of which enough can be seen.

    Attributes:
        number: of the figure in its scene.
        kind: such as ``car``.
        colour: such as ``red``; None: it has none that a word stands for.
        x: mean column of the pixels that are seen, as a share of the width, in [0, 1].
        depth: rows below the horizon where it stands; more is nearer.
        left, right: first and last column that is seen, as shares of the width.
        area: pixels that are seen.
    """

    number: int
    kind: str
    colour: str | None
    x: float
    depth: int
    left: float
    right: float
    area: int


@dataclass(frozen=True)
class Expression:
    """A sentence of the grammar.

    Attributes:
        kind: what it is about.
        colour: "the {colour} {kind}", or with `negated` "the {kind} that is not {colour}".
        side: "the {kind} on the left|right".
        extreme: "the nearest|farthest {kind}".
        relation: "the {kind} left of|right of|behind|in front of the {anchor}".
        anchor: (colour or None, kind) of the figure that the relation is to.
        ordinal: 0-based: "the {ordinal} {kind} from the left".
    """

    kind: str
    colour: str | None = None
    negated: bool = False
    side: Literal["left", "right"] | None = None
    extreme: Literal["nearest", "farthest"] | None = None
    relation: Relation | None = None
    anchor: tuple[str | None, str] | None = None
    ordinal: int | None = None

    def __str__(self) -> str:
        """The sentence."""
        kind = self.kind
        if self.negated:
            return f"the {kind} that is not {self.colour}"
        if self.side:
            return f"the {kind} on the {self.side}"
        if self.extreme:
            return f"the {self.extreme} {kind}"
        if self.ordinal is not None:
            return f"the {ORDINALS[self.ordinal]} {kind} from the left"
        if self.relation and self.anchor:
            return f"the {kind} {self.relation} the {' '.join(filter(None, self.anchor))}"
        return f"the {self.colour} {kind}" if self.colour else f"the {kind}"

    @property
    def is_relation(self) -> bool:
        """Whether it takes more than kind and colour to know what is meant."""
        return bool(self.side or self.extreme or self.relation) or self.ordinal is not None

    def satisfied_by(self, seen: list[Seen]) -> list[Seen]:
        """The figures that the sentence is true of, of all that are seen."""
        same = [figure for figure in seen if figure.kind == self.kind]
        if self.negated:
            return [figure for figure in same if figure.colour is not None and figure.colour != self.colour]
        if self.colour:
            return [figure for figure in same if figure.colour == self.colour]
        if self.side:
            return [figure for figure in same if (figure.x < 0.5) == (self.side == "left")]
        if self.extreme:
            best = (max if self.extreme == "nearest" else min)((figure.depth for figure in same), default=0)
            return [figure for figure in same if figure.depth == best]
        if self.ordinal is not None:
            return [figure for figure in same if sum(_is_left(other, figure) for other in same) == self.ordinal]
        if self.relation and self.anchor:
            colour, kind = self.anchor
            anchors = [figure for figure in seen if figure.kind == kind and colour in (None, figure.colour)]
            if len(anchors) != 1:  # nobody knows what the relation is to
                return []
            return [figure for figure in same if figure != anchors[0] and holds(self.relation, figure, anchors[0])]
        return same


def holds(relation: Relation, figure: Seen, anchor: Seen) -> bool:
    """Whether a figure stands so to another; one is behind the other where it is farther away in the same columns."""
    if relation == "left of":
        return _is_left(figure, anchor)
    if relation == "right of":
        return _is_left(anchor, figure)
    if figure.right < anchor.left or anchor.right < figure.left:
        return False
    return figure.depth < anchor.depth if relation == "behind" else figure.depth > anchor.depth


def _is_left(figure: Seen, other: Seen) -> bool:
    return figure.x + MARGIN / 96 < other.x


def expressions_about(figure: Seen, seen: list[Seen]) -> list[Expression]:
    """All sentences of the grammar that are true of a figure and of no other; those that say more than is needed to
    tell it from others of its kind are left out where nothing is there to be told from."""
    kept = (expression for expression in _candidates(figure, seen) if expression.satisfied_by(seen) == [figure])
    return list(dict.fromkeys(kept))


def _candidates(figure: Seen, seen: list[Seen]) -> Iterator[Expression]:
    kind = figure.kind
    same = [other for other in seen if other.kind == kind]
    yield Expression(kind)
    if figure.colour:
        yield Expression(kind, colour=figure.colour)
    if len(same) > 1:
        yield Expression(kind, side="left" if figure.x < 0.5 else "right")
        yield Expression(kind, extreme="nearest")
        yield Expression(kind, extreme="farthest")
        for colour in sorted({other.colour for other in same if other.colour} - {figure.colour}):
            yield Expression(kind, colour=colour, negated=True)
        for ordinal in range(min(len(same), len(ORDINALS))):
            yield Expression(kind, ordinal=ordinal)
    for other in seen:
        if other != figure and (other.kind != kind or other.colour != figure.colour):
            for relation in RELATIONS:
                if other.kind != kind:
                    yield Expression(kind, relation=relation, anchor=(None, other.kind))
                if other.colour:
                    yield Expression(kind, relation=relation, anchor=(other.colour, other.kind))
