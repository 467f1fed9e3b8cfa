"""A page of suspicious masks: one file and its pictures, to be looked at without a network, with mouse or keyboard."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from a2lc.datasets import Split
from a2lc.files import write_text
from a2lc.human.mask_pictures import MaskPictures
from a2lc.masks import MaskSet

PICTURES = "pictures"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="a2lc">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 62rem; padding: 0 1rem; }}
figure {{ margin: 0 0 1rem; padding: .6rem; border: 1px solid #bbb; border-radius: 4px; scroll-margin: 1rem; }}
figure:focus {{ outline: 3px solid #2563eb; }}
figure div {{ display: flex; gap: .6rem; align-items: flex-start; }}
figure img {{ max-width: calc(50% - .3rem); max-height: 26rem; object-fit: contain; }}
kbd {{ border: 1px solid #bbb; border-radius: 3px; padding: 0 .3em; }}
</style>
<h1>{title}</h1>
<p>{words} <kbd>↓</kbd> or <kbd>j</kbd>: next, <kbd>↑</kbd> or <kbd>k</kbd>: previous.</p>
<main>
{figures}
</main>
<script>
const all = [...document.querySelectorAll("figure")];
const go = step => {{
  const at = all.findIndex(figure => figure.contains(document.activeElement));
  all[Math.min(Math.max(at + step, 0), all.length - 1)]?.focus();
}};
addEventListener("keydown", event => {{
  const step = {{ArrowDown: 1, j: 1, ArrowUp: -1, k: -1}}[event.key];
  if (!step || event.target.matches("select") || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go(step);
}});
{script}</script>
</html>
"""
_FIGURE = """<figure tabindex="0">
<figcaption><b>{number}.</b> {image}, mask {mask_id}: labelled <b>{label}</b>, looks like <b>{suggestion}</b>
(wrong {wrong:.2f}, {area:,} pixels)</figcaption>
<div><img loading="lazy" src="{context}" alt="{image}: mask {mask_id}, labelled {label}, in its image">
<img loading="lazy" src="{close}" alt="{image}: mask {mask_id} close up"></div>
</figure>"""


def write_gallery(found: pd.DataFrame, masks: MaskSet, split: Split, folder: Path, title: str, words: str) -> list[str]:
    """Write ``index.html`` and ``pictures/`` into a folder.

    Args:
        found: some rows of what `a2lc.find` returns, in the order in which they are shown.
        masks: the masks.
        split: where the images are read.
        folder: an existing one.
        title: of the page.
        words: what it shows, in a sentence or two.

    Returns:
        What could not be shown, a sentence each.
    """
    (folder / PICTURES).mkdir()
    drawn, figures = MaskPictures(masks, split), {}
    for number, row in sorted(enumerate(found.to_dict("records")), key=lambda item: item[1]["row"]):
        mask = row["image"], row["mask_id"]
        files = {}
        for what, picture in (("context", drawn.context(*mask)), ("close", drawn.close_up(*mask))):
            files[what] = f"{PICTURES}/{number + 1:04d}_{what}.jpg"
            Image.fromarray(picture).save(folder / files[what], quality=85)
        told = {str(name): escape(value) if isinstance(value, str) else value for name, value in row.items()}
        figures[number] = _FIGURE.format(number=number + 1, **told, **files)
    write_text(folder / "index.html", page(title, escape(words), (figures[number] for number in sorted(figures))))
    return list(drawn.notes.values())


def page(title: str, words: str, figures: Iterable[str], script: str = "") -> str:
    """A page of figures, which the arrow keys go through.

    Args:
        title: of the page.
        words: what it shows, HTML.
        figures: an HTML element ``figure`` each.
        script: more JavaScript; it finds the figures in ``all``, and ``go(1)`` goes to the next.
    """
    return _PAGE.format(title=escape(title), words=words, figures="\n".join(figures), script=script)
