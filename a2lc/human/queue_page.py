"""A page beside the table of a queue: every question with its pictures, to be looked at and answered in any browser,
without a network; it gives the answers as the same table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Hashable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from a2lc.files import atomic, below, fingerprint, remove_leftovers_of, write_text
from a2lc.human.checked_csv import BOM, csv_text
from a2lc.human.gallery import page
from a2lc.human.mask_pictures import MaskPictures, training_images
from a2lc.human.query import WORDS
from a2lc.human.queue import Queue
from a2lc.machine import show_bars

_MARK = '<meta name="generator" content="a2lc">'
_KEYS = dict(zip(WORDS, "cvims", strict=True))
_WORDS = """Row by row of {table}. Look at the pictures and fill in the table, or answer here: by mouse, or with
<kbd>c</kbd> the label is right, <kbd>1</kbd> … a likely other class, <kbd>v</kbd> no class, <kbd>i</kbd> no
label of this image is of use, <kbd>m</kbd> several classes in it, <kbd>s</kbd> ask again later. Then
<button id="save">save {table}</button> and <code>a2lc queue {run} --import</code> that file.
<span id="count"></span>"""
_FIGURE = """<figure tabindex="0" data-row="{row}">
<figcaption><b>row {number} of the table:</b>
{image}, mask {mask_id}: labelled <b>{label}</b> ({area:,} pixels){top}</figcaption>
<div><img loading="lazy" src="{context}" alt="{image}: mask {mask_id}, labelled {label}, in its image">
<img loading="lazy" src="{picture}" alt="{image}: mask {mask_id} close up"></div>
<p>{buttons} <select aria-label="answer for {image}, mask {mask_id}">{options}</select></p>
</figure>"""
_SCRIPT = """const kept = {kept}, head = {head}, table = {table}, bom = {bom};
const chosen = figure => figure.querySelector("select");
let saved = true, before = {{}};
try {{ before = JSON.parse(localStorage.getItem(kept)) || {{}}; }} catch {{}}
const count = () => {{
  const done = all.filter(figure => chosen(figure).value).length;
  document.querySelector("#count").textContent = `${{done}} of ${{all.length}} answered.`;
}};
const answer = (figure, said) => {{
  chosen(figure).value = said;
  saved = false;
  before[figure.dataset.row] = said;
  try {{ localStorage.setItem(kept, JSON.stringify(before)); }} catch {{}}
  count();
}};
for (const figure of all) {{
  const select = chosen(figure), said = before[figure.dataset.row];
  if (!select.value && said) {{ select.value = said; saved = false; }}
  select.addEventListener("change", () => answer(figure, select.value));
  for (const button of figure.querySelectorAll("button"))
    button.addEventListener("click", () => answer(figure, button.value));
}}
addEventListener("keydown", event => {{
  const figure = all.find(figure => figure.contains(document.activeElement));
  if (!figure || event.target === chosen(figure) || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = [...figure.querySelectorAll("button")].find(button => button.dataset.key === event.key);
  if (button) {{ answer(figure, button.value); go(1); }}
}});
addEventListener("beforeunload", event => {{ if (!saved) event.preventDefault(); }});
document.querySelector("#save").addEventListener("click", () => {{
  const cell = said => {{
    const safe = /^'*[=+\\-@\\t\\r]/.test(said) ? "'" + said : said;
    return /[",\\r\\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  }};
  const rows = all.map(figure => `${{figure.dataset.row}},${{cell(chosen(figure).value)}}\\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bom, head, "\\n", ...rows], {{type: "text/csv"}}));
  link.download = table;
  link.click();
  saved = true;
}});
count();
"""


def check_page(path: Path) -> None:
    """Raise `ValueError` where the page would replace a file that is none."""
    if path.is_file() and _MARK.encode() not in path.read_bytes()[:1000]:
        raise ValueError(f"{path}: is there already and no page of a2lc; choose another name for the table")


def write_pictures(queue: Queue, path: Path) -> list[str]:
    """Draw all queries into a folder beside the table ``path``, close up and in their images (``..._image.jpg``); the
    former as seen from there, none without images."""
    split, notes = training_images(queue.run)
    drawn = MaskPictures(queue.masks, split)
    asked = sorted(queue.queries, key=lambda query: query.row) if split is not None else []  # each image is read once
    names = {query.position: f"{path.stem}_pictures/{query.image}_{query.mask_id}.png" for query in asked}
    files = [below(path.parent, name) for at in names.values() for name in (at, _in_image(at))]
    remove_leftovers_of(files)
    for query in tqdm(asked, desc="pictures", leave=False, unit="mask", disable=not show_bars(True)):
        mask, name = (query.image, query.mask_id), names[query.position]
        with atomic(below(path.parent, name)) as temporary:
            Image.fromarray(drawn.close_up(*mask)).save(temporary)
        with atomic(below(path.parent, _in_image(name))) as temporary:
            Image.fromarray(drawn.context(*mask)).save(temporary, quality=85)
    for note in (*notes, *drawn.notes.values()):
        warnings.warn(note, stacklevel=3)
    return [names[position] for position in sorted(names)]


def write_page(queue: Queue, table: pd.DataFrame, path: Path, name: str) -> None:
    """Write the page.

    Args:
        queue: what is asked.
        table: a row per query: image, mask_id, label, top, area, picture, and last of all answer.
        path: of the page; pictures are named as seen from its folder.
        name: of the table.
    """
    head, *rows = _lines(table)
    figures = [
        _figure(queue, number, row, cells)
        for number, (row, cells) in enumerate(zip(rows, table.to_dict("records"), strict=True), start=2)
    ]
    run = queue.run.path
    words = _WORDS.format(table=escape(name), run=escape(str(run)))
    about = {"kept": fingerprint([str(run.absolute()), queue.round]), "head": head, "table": name, "bom": BOM}
    script = _SCRIPT.format(**{key: json.dumps(value).replace("<", "\\u003c") for key, value in about.items()})
    write_text(path, page(f"{run.name}, round {queue.round}", words, figures, script))


def _lines(table: pd.DataFrame) -> list[str]:
    """The table without its answers: its first line, and its rows as they stand in the file."""
    rows = table.drop(columns="answer")
    head = csv_text(table.head(0)).strip("\n")
    return [head, *(csv_text(rows.iloc[[at]]).removeprefix(BOM).partition("\n")[2][:-1] for at in range(len(rows)))]


def _figure(queue: Queue, number: int, row: str, cells: Mapping[Hashable, Any]) -> str:
    names = queue.classes.names
    likely = [name for name, _ in queue.top_classes(queue.queries[number - 2]) if name != cells["label"]]
    choices = [("c", WORDS[0], f"{cells['label']} is right"), *((str(n), k, k) for n, k in enumerate(likely, start=1))]
    choices += [(_KEYS[word], word, word) for word in WORDS[1:]]
    buttons = " ".join(
        f'<button value="{escape(said)}" data-key="{key}">{escape(text)} <kbd>{key}</kbd></button>'
        for key, said, text in choices
    )
    options = "".join(
        f'<option value="{escape(said)}"{" selected" * (said == cells["answer"])}>{escape(said)}</option>'
        for said in ("", *WORDS, *names)
    )
    told = {key: escape(str(cells[key])) for key in ("image", "mask_id", "label")}
    top = f", likely {escape(str(cells['top']))}" if cells["top"] else ""
    picture = str(cells["picture"])
    return _FIGURE.format(
        number=number, row=escape(row), top=top, area=cells["area"], buttons=buttons, options=options,
        context=quote(_in_image(picture)), picture=quote(picture), **told
    )  # fmt: skip


def _in_image(picture: str) -> str:
    return f"{picture.removesuffix('.png')}_image.jpg"
