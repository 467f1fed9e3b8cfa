"""What a SentenceBrowser shows: split, decision, sentence, round and layers. No widget here."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import ImageColor

from a2lc.files import nearest
from a2lc.human.mask_pictures import GREY, nearest_pixels, outline, smooth
from a2lc.widgets.pictures import blend, shown_size

if TYPE_CHECKING:
    from a2lc.referring import Look, ReferringDataset, ReferringRun

SENTENCE_LAYERS = {
    "image": "Image",
    "prior": "Frozen model",
    "network": "Network",
    "fused": "Both, fused",
    "accepted": "Accepted cells",
    "truth": "Ground truth",
}
"""The layers from bottom to top, and what they are called."""
COLOURS = {"prior": "#E69F00", "network": "#0072B2", "fused": "#CC79A7", "object": "#009E73", "background": "#56B4E9"}
"""Of maps, and of accepted cells that are taken for object or for background."""
DECISIONS = ("labelled", "accepted", "rejected")
_KEPT = 64  # sentences kept in memory


class SentenceState:
    """Everything that a browser of a run on referring expressions shows, without a front end.

    Args:
        run: as far as it has come; at least its first training.
        data: what it was played with.
        device: where the network computes.

    Attributes:
        rounds: the rounds whose network there is.
        round: the one that is shown; at first the first.
        split: name of the split.
        decision: one of `DECISIONS`, what has become of a sentence in the round after `round`; None: any.
        sentences: table of the sentences that fit, in the split's order: ``sentence_id``, ``image``, ``sentence``, and
            ``decision`` where the split is ``train``.
        number: ``sentence_id`` of the one that is shown; None where none fits.
        opacity: layer -> share in [0, 1].
        shown: the layers that are switched on.

    Raises:
        ValueError: the run has trained no network yet.
    """

    layers = tuple(SENTENCE_LAYERS)

    def __init__(self, run: ReferringRun, data: ReferringDataset, *, device: str = "auto") -> None:
        self.run, self.data, self._device = run, data, device
        done = [number for number in range(run.config.rounds + 1) if run.folder(number).done("trained")]
        if not done:
            raise ValueError(f"{run.path}: has trained no network yet; play it first")
        self.rounds, self.round, self.split = done, done[0], "train"
        self.decision: str | None = None
        self.opacity = dict.fromkeys(self.layers, 0.6) | {"image": 1.0, "truth": 1.0}
        self.shown = {"image", "prior", "truth"}
        self._kept_look = lru_cache(maxsize=_KEPT)(self._look)
        self.number: int | None = None
        self.sentences = pd.DataFrame()
        self.find()

    # ---------------------------------------------------------------------------------------------- doing
    def find(self, split: str | None = None, decision: str | None = None) -> None:
        """Show the sentences of a split (None: the present one), of which such a thing has become (None: any).

        Raises:
            ValueError: no such split or decision; or decisions are asked for of a split that has none.
        """
        name = split or self.split
        if name not in self.data.splits:
            raise ValueError(f"split: expected one of {', '.join(self.data.splits)}, found {name!r}")
        if decision is not None and decision not in DECISIONS:
            found = f"expected one of {', '.join(DECISIONS)}, found {decision!r}"
            raise ValueError(f"decision: {found}{nearest(str(decision), DECISIONS)}")
        table = self.data.splits[name].table[["sentence_id", "image", "sentence"]]
        if name == "train":
            table = table.assign(decision=self._decisions(table))
        elif decision is not None:
            raise ValueError(f"decision: only sentences of train are decided on, found split {name!r}")
        if decision is not None:
            table = table[table["decision"] == decision]
        self.split, self.decision, self.sentences = name, decision, table.reset_index(drop=True)
        if self.number not in set(self.sentences["sentence_id"]):
            self.number = int(self.sentences["sentence_id"].iloc[0]) if len(self.sentences) else None

    def go_to(self, sentence_id: int) -> None:
        """Show a sentence of the list.

        Raises:
            ValueError: it is not in the list.
        """
        if sentence_id not in set(self.sentences["sentence_id"]):
            raise ValueError(f"{self.split}: no sentence {sentence_id!r} in this list")
        self.number = int(sentence_id)

    def step(self, steps: int) -> bool:
        """Go on in the list; False where it ends."""
        numbers = self.sentences["sentence_id"].tolist()
        at = numbers.index(self.number) + steps if self.number in numbers else -1
        if not 0 <= at < len(numbers):
            return False
        self.number = numbers[at]
        return True

    def show_round(self, round: int) -> None:
        """Show the network of another round, and what was decided in the round after it.

        Raises:
            ValueError: no such round.
        """
        if round not in self.rounds:
            raise ValueError(f"expected a round from 0 to {self.rounds[-1]}, found {round}")
        self.round = round
        self.find(decision=self.decision)

    def show_layer(self, layer: str, shown: bool | None = None, opacity: float | None = None) -> None:
        """Switch a layer on or off (None: the other way), or change its opacity in [0, 1].

        Raises:
            ValueError: no such layer, or an opacity outside [0, 1].
        """
        if layer not in self.layers:
            raise ValueError(f"expected one of {', '.join(self.layers)}, found {layer!r}")
        if opacity is not None:
            if not 0 <= opacity <= 1:
                raise ValueError(f"opacity: expected 0 to 1, found {opacity!r}")
            self.opacity[layer] = opacity
        if layer not in self.shown if shown is None else shown:
            self.shown.add(layer)
        else:
            self.shown.discard(layer)

    # ---------------------------------------------------------------------------------------------- looking
    def look(self) -> Look | None:
        """What there is to see of the sentence; None where none fits."""
        if self.number is None:
            return None
        return self._kept_look(self.split, self.number, self.round)

    def _look(self, split: str, number: int, round: int) -> Look:
        from a2lc.referring import look  # with PyTorch, which other widgets need not

        return look(self.run, self.data, split, number, round, self._device)

    def picture(self) -> np.ndarray:
        """(h, w, 3) uint8: all layers that are shown, in one."""
        found = self.look()
        if found is None:
            return nothing()
        return compose_sentence(found, {layer: self.opacity[layer] for layer in self.shown})

    def described(self) -> str:
        """The view in a sentence."""
        found = self.look()
        if found is None:
            return "No sentence fits"
        at = self.sentences["sentence_id"].tolist().index(self.number)
        row = self.sentences.iloc[at]
        place = f"“{found.sentence}” ({row['image']}, {at + 1:,} of {len(self.sentences):,})"
        parts = [place, f"network of round {self.round}" if self.run.config.trains else "the frozen model alone"]
        if found.prior is not None:
            parts.append(f"frozen model {found.prior.score:.2f} sure" if len(found.prior.boxes) else "nothing found")
        if "decision" in row:
            after = f" in round {self.round + 1}" if row["decision"] in DECISIONS[1:] else ""
            parts.append(f"{row['decision'] or 'not decided on'}{after}")
        return ": ".join([parts[0], ", ".join(parts[1:])]) + "."

    def view(self) -> dict[str, Any]:
        """What is shown, as JSON values."""
        layers = {layer: self.opacity[layer] for layer in self.layers if layer in self.shown}
        where = {"split": self.split, "decision": self.decision, "sentence_id": self.number, "round": self.round}
        return {"run": self.run.path.name, **where, "sentences": len(self.sentences), "layers": layers}

    def _decisions(self, table: pd.DataFrame) -> np.ndarray:
        """(n,) what has become of the sentences of train in the round after the one that is shown; empty: nothing."""
        said = pd.Series("labelled", index=table["sentence_id"])
        labelled = set(self.run.labelled)
        said[~table["image"].isin(labelled).to_numpy()] = ""
        if self.round < self.run.config.rounds and self.run.folder(self.round + 1).done("decided"):
            found = self.run.decisions(self.round + 1).set_index("sentence_id")["gate"]
            if not found.index.isin(said.index).all():
                raise ValueError(
                    f"{self.run.path}: decides on sentences that these data have not; were they played with it?"
                )
            said.loc[found.index] = np.where(found > 0, "accepted", "rejected")
        return said.to_numpy()


def compose_sentence(found: Look, opacity: dict[str, float]) -> np.ndarray:
    """Layers of one sentence in one picture, (h, w, 3) uint8: maps as colours, the stronger the surer; boxes and truth
    as outlines; accepted cells in two colours, cells that are left out as they are.

    Args:
        found: what there is.
        opacity: layer -> share in [0, 1]; layers that are not named are not shown.
    """
    size = shown_size(*found.truth.shape)
    picture = np.full((*size, 3), GREY, np.uint8)
    if (share := opacity.get("image", 0)) > 0:
        picture = blend(picture, smooth(found.image, size), share)
    maps = {"prior": found.prior.probabilities() if found.prior else None, "network": found.said, "fused": found.fused}
    for layer, values in maps.items():
        if values is not None and (share := opacity.get(layer, 0)) > 0:
            picture = blend(picture, _paint(layer), share * nearest_pixels(values, size))
    if found.fused is not None and (share := opacity.get("accepted", 0)) > 0:
        cells, object_ = nearest_pixels(found.cells, size), nearest_pixels(found.fused, size) > 0.5
        picture = blend(picture, _paint("background"), share * (cells & ~object_))
        picture = blend(picture, _paint("object"), share * (cells & object_))
    if found.prior is not None and opacity.get("prior", 0) > 0:
        for x0, y0, x1, y1 in found.prior.boxes.tolist():
            high, wide = size[0] / found.truth.shape[0], size[1] / found.truth.shape[1]
            _frame(picture, *(round(edge * scale) for edge, scale in ((y0, high), (y1, high), (x0, wide), (x1, wide))))
    if opacity.get("truth", 0) > 0 and found.truth.any():
        outline(picture, np.where(nearest_pixels(found.truth, size), 0, -1), width=2)
    return picture


def nothing() -> np.ndarray:
    """(h, w, 3) uint8: where there is no sentence to show."""
    return np.full((*shown_size(360, 480), 3), GREY, np.uint8)


def legend(shown: Collection[str]) -> list[tuple[str, str]]:
    """Words and colour of what `compose_sentence` paints of the layers that are shown."""
    words = {name: [(SENTENCE_LAYERS[name].lower(), COLOURS[name])] for name in ("prior", "network", "fused")}
    words["accepted"] = [(f"accepted as {name}", COLOURS[name]) for name in ("object", "background")]
    return [entry for layer, entries in words.items() if layer in shown for entry in entries]


def _paint(name: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(COLOURS[name]), np.uint8)


def _frame(picture: np.ndarray, top: int, bottom: int, left: int, right: int, width: int = 2) -> None:
    """A box in the colour of the frozen model, in place."""
    inside = picture[top:bottom, left:right]
    for edge in (inside[:width], inside[-width:], inside[:, :width], inside[:, -width:]):
        edge[...] = _paint("prior")
