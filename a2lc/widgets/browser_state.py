"""What a MaskBrowser shows: round, filters, image, layers and the selected mask. No widget here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from a2lc.datasets import Dataset
from a2lc.files import nearest
from a2lc.human.mask_pictures import training_images
from a2lc.human.undo import undo_corrections
from a2lc.masks import AUTOMATIC, MaskSet
from a2lc.runs import Run
from a2lc.widgets.history import Event, Filters, RunHistory, fitting
from a2lc.widgets.naming import Naming
from a2lc.widgets.panels import class_name
from a2lc.widgets.pictures import LAYERS, Scene, compose, differences, load_scene
from a2lc.widgets.truth import Truth
from a2lc.widgets.why import Explainer, Why

_KEPT = 6  # images kept in memory


class BrowserState:
    """Everything that a browser of a run's masks shows and does, without a front end.

    Args:
        run: finished or not; the rounds that are there are shown.
        dataset: where images and ground truth are read; None: the run's own. Where that is missing, the masks are
            shown alone and `notes` says so.
        device: of the models that explain scores, as in `a2lc.run`.

    Attributes:
        classes: the class list.
        rounds: the rounds that can be shown.
        round: the one that is shown; at first the last.
        filters: which masks are looked for.
        images: image name -> number of its masks that fit the filters; images without any are left out.
        image: name of the image that is shown.
        layers: the layers that can be shown, a key of `pictures.LAYERS` each.
        opacity: layer -> share in [0, 1].
        shown: the layers that are switched on.
        selected: id of the selected mask, or None.
        naming: what is said of masks, where the run waits for answers.
        notes: what is missing, in words.

    Raises:
        ValueError: not even round 0 of the run is there, or the answers of a round are damaged.
    """

    def __init__(self, run: Run, dataset: Dataset | None = None, *, device: str = "auto") -> None:
        self.run, self.history = run, RunHistory(run)
        self._split, self.notes = training_images(run, dataset)
        first = self.history.masks(0)
        self.truth, self.explainer = Truth(first, self._split), Explainer(self.history, self._split, device)
        self.rounds, self.classes = self.history.rounds, first.classes
        self.layers = tuple(layer for layer in LAYERS if layer != "truth" or self.truth.available)
        self.opacity = dict.fromkeys(self.layers, 0.5) | {"image": 1.0, "difference": 0.8}
        self.shown, self.naming = {"image", "now"}, Naming(run)
        self.round, self.filters = self.rounds[-1], Filters()
        self.selected: int | None = None
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._codes: tuple[tuple[str, int], dict[str, np.ndarray]] = (("", -1), {})
        self._fits = np.ones(len(first), dtype=bool)
        self.images = self._count()
        self.image = first.names[0]

    # ---------------------------------------------------------------------------------------------- doing
    def filter(self, progress: Callable[[int, int], None] | None = None, **choices: Any) -> None:
        """Change filters (fields of `Filters`), or take all of them back where none is named.

        Args:
            progress: called with the images counted and their number, where ground truth is counted first.
            choices: field -> value, None for no choice.

        Raises:
            ValueError: an unknown value; a verdict without ground truth.
        """
        wanted = replace(self.filters, **choices) if choices else Filters()
        fits = self._fitting(wanted, progress)
        self.filters, self._fits = wanted, fits
        self._look_again()

    def show_round(self, round: int) -> None:
        """Show the labels after another round.

        Raises:
            ValueError: no such round.
        """
        self.history.masks(round)
        self.round = round
        self._fits = self._fitting(self.filters)
        self._look_again()

    def go_to(self, image: str) -> None:
        """Show an image, whether or not it fits the filters.

        Raises:
            ValueError: no such image.
        """
        if image not in (names := self.history.masks(0).names):
            raise ValueError(f"no image {image!r} in this run{nearest(image, names)}")
        if image != self.image:
            self.image, self.selected = image, None

    def step(self, steps: int) -> bool:
        """Go on in the list of images; False where it ends."""
        names = list(self.images)
        at = names.index(self.image) + steps if self.image in names else 0
        if not 0 <= at < len(names):
            return False
        self.go_to(names[at])
        return True

    def select(self, mask_id: int | None) -> None:
        """Select a mask of the image that is shown, or none.

        Raises:
            ValueError: the image has no such mask.
        """
        if mask_id is not None:
            self.masks.row(self.image, mask_id)
        self.selected = mask_id

    def select_at(self, x: float, y: float) -> int | None:
        """Select the mask at a point of the image, (0, 0) = upper left, (1, 1) = lower right; its id, or None where
        there is no mask."""
        index = self.scene().index
        height, width = index.shape
        at = index[min(max(int(y * height), 0), height - 1), min(max(int(x * width), 0), width - 1)]
        self.selected = None if at < 0 else int(self.table["mask_id"].to_numpy()[at])
        return self.selected

    def step_mask(self, steps: int) -> bool:
        """Select the next mask of this image that fits the filters, the largest first; False where there is none."""
        table = self.table[self._fits[self._rows()]]
        ids = list(table.sort_values("area", ascending=False, kind="stable")["mask_id"])
        if not ids:
            return False
        at = (ids.index(self.selected) + steps) % len(ids) if self.selected in ids else (0 if steps > 0 else -1)
        self.selected = int(ids[at])
        return True

    def show_layer(self, layer: str, shown: bool | None = None, opacity: float | None = None) -> None:
        """Switch a layer on or off, or over where neither is said, or change its opacity in [0, 1].

        Raises:
            ValueError: no such layer, or an opacity outside [0, 1].
        """
        if layer not in self.layers:
            raise ValueError(f"layer: expected one of {', '.join(self.layers)}, found {layer!r}")
        if opacity is not None and not 0 <= opacity <= 1:
            raise ValueError(f"opacity: expected 0 to 1, found {opacity}")
        if opacity is not None:
            self.opacity[layer] = float(opacity)
        if shown is None:
            shown = layer not in self.shown if opacity is None else layer in self.shown
        (self.shown.add if shown else self.shown.discard)(layer)

    @property
    def can_undo(self) -> bool:
        """Whether the selected mask's label, after the last round, is a correction of the LCM."""
        if self.selected is None:
            return False
        masks = self.history.masks(self.rounds[-1])
        return str(masks.table["source"].array[masks.row(self.image, self.selected)]) in AUTOMATIC

    def undo_correction(self) -> str:
        """Undo the LCM's latest correction of the selected mask, which the LCM never touches again; what was done, in
        words.

        Raises:
            ValueError: no mask is selected, its label was not set by the LCM, or the run has gone on meanwhile.
            PermissionError: the run's folder cannot be written.
        """
        if self.selected is None:
            raise ValueError("select a mask first")
        undo_corrections(self.run, [(self.image, self.selected)])
        self.history.refresh()
        self._relabelled()
        masks = self.history.masks(self.rounds[-1])
        label = class_name(self.classes, masks.table["label"].array[masks.row(self.image, self.selected)])
        return f"Mask {self.selected} is {label} again; the LCM will not touch it any more"

    def name(self, said: str | int | None) -> str:
        """Say what the selected mask is (`Naming.say`) or, None, take back what was said last (`Naming.undo`), and show
        the labels after the last round with it; what was done, in words. Raises `ValueError` as these."""
        if said is not None and self.selected is None:
            raise ValueError("select a mask first")
        told = self.naming.undo() if said is None else self.naming.say(self.image, self.selected or 0, said)
        self.round = self.rounds[-1]
        self._relabelled()
        return told

    # ---------------------------------------------------------------------------------------------- looking
    def scene(self) -> Scene:
        """The image that is shown and its maps."""
        if self.image not in self._scenes:
            self._scenes[self.image] = load_scene(self.masks, self._split, self.image)
            while len(self._scenes) > _KEPT:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(self.image)
        return self._scenes[self.image]

    @property
    def masks(self) -> MaskSet:
        """All masks with the labels of the round that is shown; after the last one, with the answers since."""
        masks = self.history.masks(self.round)
        return self.naming.masks(masks) if self.round == self.rounds[-1] else masks

    @property
    def table(self) -> pd.DataFrame:
        """The rows of `masks` of the image that is shown."""
        return self.masks.table.iloc[self._rows()]

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """(n + 1,) uint8 each, of the n rows of `table`: first labels and those of the round that is shown; the last
        one is that of pixels without a mask."""
        table, ends = self.table, np.uint8(self.masks.uncovered)
        return np.append(table["initial_label"], ends), np.append(table["label"], ends)

    @property
    def position(self) -> int | None:
        """Position of the selected mask among its image's masks, as in `Scene.index`; None where none is selected."""
        if self.selected is None:
            return None
        return self.masks.row(self.image, self.selected) - self._rows().start

    def picture(self) -> np.ndarray:
        """The view as one picture, (h, w, 3) uint8, at most 1600 pixels wide."""
        first, now = self.labels()
        marked = self._fits[self._rows()] if self.filters.active else None
        opacity = {layer: self.opacity[layer] for layer in self.shown}
        codes = self.codes() if "difference" in self.shown else None
        return compose(self.scene(), first, now, self.classes, opacity, codes, marked, self.position)

    def codes(self) -> dict[str, np.ndarray]:
        """What differs in the shown image (`pictures.differences`)."""
        if self._codes[0] != (self.image, self.round):
            codes = differences(self.scene(), *self.labels(), len(self.classes))
            self._codes = (self.image, self.round), codes
        return self._codes[1]

    def image_truth(self) -> np.ndarray:
        """(n,) uint8 most frequent ground truth of the shown image's masks; the ignore index: void, unknown or
        unreadable."""
        return self.truth.of_readable(self.image)

    def events(self) -> list[Event]:
        """What happened to the selected mask; nothing where none is selected."""
        if self.selected is None:
            return []
        last = self.history.masks(self.rounds[-1])
        row = last.row(self.image, self.selected)
        return [*self.history.events(row), *self.naming.event(last, row)]

    def why_round(self) -> int:
        """The round whose score `why` explains: the last one up to the round shown that asked about the selected mask
        or set its label; where none did, the round shown, or the first."""
        seen = [event.round for event in self.events() if 1 <= event.round <= self.round]
        return seen[-1] if seen else max(self.round, 1)

    def why(self) -> Why:
        """Why the selected mask was asked about, or was not; see `why.Explainer.explain` for what can be missing.

        Raises:
            FileNotFoundError, ValueError: no mask is selected; or as `why.Explainer.explain`.
        """
        if self.selected is None:
            raise ValueError("select a mask first")
        return self.explainer.explain(self.image, self.selected, self.why_round())

    # ---------------------------------------------------------------------------------------------- inside
    def _relabelled(self) -> None:
        self._codes = ("", -1), {}
        self._fits = self._fitting(self.filters)
        self.images = self._count()

    def _fitting(self, filters: Filters, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        truth = self.truth.of_all(progress) if filters.verdict and self.truth.available else None
        return fitting(self.masks, filters, truth)

    def _look_again(self) -> None:
        self.images = self._count()
        if self.images and self.image not in self.images:
            self.go_to(next(iter(self.images)))

    def _count(self) -> dict[str, int]:
        masks = self.history.masks(0)
        counts = np.bincount(masks.table["image"].cat.codes[self._fits], minlength=len(masks.names))
        every = not self.filters.active
        return {name: int(n) for name, n in zip(masks.names, counts, strict=True) if n or every}

    def _rows(self) -> slice:
        return self.masks.rows(self.image)
