"""The words and tables of a MaskBrowser, as HTML: the legend, the history of a mask, the reasons for its score."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import pandas as pd

from a2lc.datasets.base import Classes
from a2lc.figures import confidence_text
from a2lc.masks import label_names
from a2lc.widgets.history import Event
from a2lc.widgets.pictures import DIFFERENCES, swatch
from a2lc.widgets.why import Why

LegendEntry = tuple[str, np.ndarray | str]
"""Words, and the colour, (3,) uint8, or the code of a difference with its pattern."""

WHO = {
    "initial": "first label",
    "annotator": "annotator",
    "lcm": "LCM",
    "overruled": "LCM, over the annotator",
    "discarded": "annotator, who found no label of the image of use",
    "mixed": "annotator, who found several classes in it",
    "undone": "a person, who undid it",
}
"""Sources of labels in words."""

_PARTS = {"cil": "1 − confidence in its label", "weight": "class weight of its label", "similarity": "similarity"}


def class_name(classes: Classes, label: int) -> str:
    """Name of a class; void for any other label in 0..255."""
    return str(label_names(classes)[label])


def mask_line(classes: Classes, first: int, label: int, source: str, round: int, truth: int) -> str:
    """One line about a mask, for the pointer: label, first label, who set it, and the ground truth where it differs.

    Args:
        classes: the class list.
        first, label: labels, the ignore index = void.
        source, round: as in the table of masks.
        truth: most frequent ground truth, the ignore index = void or unknown.
    """
    was = f", was {class_name(classes, first)}" if label != first else ""
    who = WHO.get(source, source) + (f", round {round}" if round else "")
    wrong = label != truth and truth < len(classes) and label < len(classes)
    return f"{class_name(classes, label)}{was} · {who}" + (f" · ✗ truth: {classes.names[truth]}" if wrong else "")


def legend_entries(classes: Classes, labels: Iterable[int], codes: Mapping[str, np.ndarray]) -> list[LegendEntry]:
    """Words and paint of the classes among `labels`, in the order of the class list, and of the codes of
    `pictures.differences` that occur."""
    found: list[LegendEntry] = [(classes.names[c], classes.palette[c]) for c in sorted(labels) if c < len(classes)]
    return found + [(DIFFERENCES[code][0], code) for code, where in codes.items() if where.any()]


def legend_html(entries: Iterable[LegendEntry]) -> str:
    """The legend: a swatch and words per entry."""
    items = "".join(f"<li>{_swatch(paint)}<span>{escape(words)}</span></li>" for words, paint in entries)
    return f'<ul class="a2lc-legend">{items}</ul>' if items else message_html("No label layer is shown.")


def history_html(mask: dict[str, object] | None, events: list[Event], classes: Classes, shown: int) -> str:
    """The history of the selected mask as a table; how to select one where none is.

    Args:
        mask: ``view()["mask"]`` of a `BrowserView`.
        events: what happened to it.
        classes: the class list.
        shown: the round that is shown; later events say so.
    """
    if mask is None:
        return '<p class="a2lc-text">Click a mask, or choose one with ↓ and ↑, to see what happened to it.</p>'
    label, truth = str(mask["label"]), mask["ground_truth"]
    head = f"<h3>Mask {mask['mask_id']}: {escape(label)}</h3>"
    sizes = f"{mask['area']:,} pixels"
    if truth is None:
        against = ""
    elif truth == label:
        against = " · ✓ as most of its ground truth"
    elif label == class_name(classes, classes.ignore_index):
        against = f" · no label; most of its ground truth is {escape(str(truth))}"
    else:
        against = f" · ✗ most of its ground truth is {escape(str(truth))}"
    columns = "".join(f'<th scope="col">{name}</th>' for name in ("Round", "Set by", "Label", "Score"))
    rows = "".join(_event_row(event, classes, shown) for event in events)
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="a2lc-mask">{head}<p class="a2lc-text">{sizes}{against}</p>{table}</div>'


def event_table(events: Iterable[Event], classes: Classes) -> pd.DataFrame:
    """The history of a mask as a table: round, set_by, before, after (class names; before is empty for the first
    label), score, place (among the masks that could be asked about), asked, confidence."""
    rows = [
        {
            "round": event.round,
            "set_by": WHO.get(event.source, event.source),
            "before": "" if event.before is None else class_name(classes, event.before),
            "after": class_name(classes, event.after),
            "score": event.score,
            "place": event.rank,
            "asked": event.asked,
            "confidence": event.confidence,
        }
        for event in events
    ]
    return pd.DataFrame(rows).astype({"place": "Int64"})


def why_html(why: Why, classes: Classes) -> str:
    """The parts of a score in words and bars."""
    place = f"place {why.rank:,} of {why.of:,}" if why.rank else "could not be asked about"
    asked = f"; the first {why.asked:,} were asked about" if why.rank else ""
    label = class_name(classes, why.label)
    if why.label >= len(classes):
        label += ", so that each pixel's own prediction stands for it"
    parts = why.parts
    head = f"<h3>Why, in round {why.round}</h3>"
    text = f"Score {number(why.score)} ({escape(why.function)}): {place}{asked}."
    bars = "".join(_bar(name, parts[key]) for key, name in _PARTS.items() if key != "weight" or why.function == "abc")
    sees = ", ".join(f"{escape(name)} {100 * share:.0f}\u00a0%" for name, share in why.classes)
    product = f"{parts['area']:,} pixels × these means ≈ {number(parts['score'])}, summed pixel by pixel."
    took = f" Took {why.seconds:.1f} s." if why.seconds >= 0.1 else ""
    if not why.exact:
        what = "ABC" if why.function == "abc" else "SIM at mask level"
        product += f" The run scored in another way; these are the parts of {what}, to compare."
    return (
        f'<div class="a2lc-mask">{head}<p class="a2lc-text">{text}</p>'
        f'<p class="a2lc-text">Labelled {escape(label)}; the model saw {sees}.</p>'
        f'<table class="a2lc-bars"><tbody>{bars}</tbody></table>'
        f'<p class="a2lc-text">{product}{took}</p></div>'
    )


def message_html(text: str, style: str = "a2lc-text") -> str:
    """A sentence in a panel."""
    return f'<p class="{style}">{escape(text)}</p>'


def number(value: float) -> str:
    """A score with three digits that matter; a dash where there is none."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _event_row(event: Event, classes: Classes, shown: int) -> str:
    after = _class_html(classes, event.after)
    if event.before is None:
        label = after
    elif event.before == event.after:
        label = f"{after} (as before)"
    else:
        label = f"{_class_html(classes, event.before)} → {after}"
    if event.answer and event.answer != (event.after,):
        label += f"; answered {escape(', '.join(class_name(classes, c) for c in event.answer))}"
    who = WHO.get(event.source, event.source)
    if event.source == "annotator" and not event.asked:
        who += ", asked about the region around it"
    if np.isfinite(event.confidence):
        who += f", confidence {confidence_text(event.confidence)}"
    place = f" (place {event.rank:,} of {event.of:,})" if event.rank else ""
    later = event.round > shown
    cells = (
        f"{event.round}{' (later)' if later else ''}",
        escape(who),
        label,
        number(event.score) + place,
    )
    return f"<tr{' class=a2lc-later' if later else ''}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _class_html(classes: Classes, label: int) -> str:
    name = f'<span class="a2lc-class">{escape(class_name(classes, label))}</span>'
    return (_swatch(classes.palette[label]) if label < len(classes) else "") + name


def _bar(name: str, share: float) -> str:
    filled = f'<span class="a2lc-bar"><span style="width:{100 * min(max(share, 0), 1):.0f}%"></span></span>'
    return f'<tr><th scope="row">{name}</th><td>{filled}</td><td>{share:.2f}</td></tr>'


def _swatch(paint: np.ndarray | str) -> str:
    data = base64.b64encode(swatch(paint)).decode()
    return f'<img class="a2lc-swatch" alt="" src="data:image/png;base64,{data}">'
