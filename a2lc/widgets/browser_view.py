"""What a MaskBrowser shows, in words: the JSON beside a saved picture, its legend, what lies under the pointer."""

from __future__ import annotations

from typing import Any

from a2lc.widgets.browser_state import BrowserState
from a2lc.widgets.panels import LegendEntry, class_name, legend_entries, mask_line
from a2lc.widgets.pictures import hover_map


class BrowserView(BrowserState):
    """A browser's state that can say what is shown."""

    def hover(self) -> tuple[bytes, list[str]]:
        """The map of what lies under the pointer (`pictures.hover_map`)."""
        return hover_of(self)

    def legend(self) -> list[LegendEntry]:
        """What the picture's colours mean."""
        return legend_of(self)

    def view(self) -> dict[str, Any]:
        """What is shown, as JSON values; what `MaskBrowser.save` writes beside the picture."""
        return describe(self)


def describe(state: BrowserState) -> dict[str, Any]:
    """What is shown, as JSON values; layers with their opacity, the selected mask with its history, or None."""
    names = list(state.images)
    return {
        "run": state.run.path.name,
        "image": state.image,
        "position": names.index(state.image) + 1 if state.image in names else None,
        "images": len(names),
        "round": state.round,
        "rounds": len(state.rounds) - 1,
        "filters": {name: value for name, value in vars(state.filters).items() if value is not None},
        "fitting_masks": state.images.get(state.image, 0),
        "masks": len(state.table),
        "layers": {layer: state.opacity[layer] for layer in state.layers if layer in state.shown},
        "legend": [words for words, _ in legend_of(state)],
        "mask": _selected(state),
        "notes": [*state.notes, *state.scene().notes],
    }


def legend_of(state: BrowserState) -> list[LegendEntry]:
    """What the colours of the layers that are shown mean."""
    scene, layers, labels = state.scene(), dict(zip(("first", "now"), state.labels(), strict=True)), set[int]()
    for layer in state.shown & layers.keys():
        labels.update(layers[layer][scene.positions].tolist())  # -1, no mask, is the last label
    if "truth" in state.shown:
        labels.update(scene.classes.tolist())
    return legend_entries(state.classes, labels, state.codes() if "difference" in state.shown else {})


def hover_of(state: BrowserState) -> tuple[bytes, list[str]]:
    """The map of what lies under the pointer (`pictures.hover_map`)."""
    table = state.table
    columns = [table[name] for name in ("initial_label", "label", "source", "round")]
    rows = zip(*columns, state.image_truth(), strict=True)
    return hover_map(state.scene(), [mask_line(state.classes, *row) for row in rows])


def _selected(state: BrowserState) -> dict[str, Any] | None:
    if (at := state.position) is None:
        return None
    row, true = state.table.iloc[at], int(state.image_truth()[at])
    return {
        "mask_id": state.selected,
        "area": int(row["area"]),
        "label": class_name(state.classes, int(row["label"])),
        "ground_truth": class_name(state.classes, true) if true < len(state.classes) else None,
        "events": [vars(event) for event in state.events()],
    }
