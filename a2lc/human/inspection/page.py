"""The report of `a2lc inspect` as one page with pictures, to be looked at without a network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from PIL import Image

from a2lc.datasets.layout import DATASET
from a2lc.files import atomic_folder, write_text
from a2lc.files.label_file import Colour
from a2lc.human.inspection.inspection import Inspection, percent
from a2lc.human.inspection.overlays import UNKNOWN, Overlay, overlays
from a2lc.human.inspection.suspicion import Suspicion

PICTURES = "pictures"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8885; --error: #c62828; --doubt: #b26a00; --bar: #4a7fb5; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto 4rem; max-width: 64rem; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .6rem; }}
p {{ margin: .2rem 0; overflow-wrap: anywhere; }}
section > article {{ border: 1px solid var(--line); border-left: 5px solid var(--doubt); border-radius: 4px;
  margin: .6rem 0; padding: .5rem .8rem; }}
section > article.error {{ border-left-color: var(--error); }}
article b {{ color: var(--doubt); }}
article.error b {{ color: var(--error); }}
pre {{ background: #8882; border-radius: 4px; margin: .4rem 0 .2rem; padding: .3rem .6rem; white-space: pre-wrap; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid var(--line); padding: .15rem .8rem .15rem 0; text-align: left; }}
td.number, th.number {{ text-align: right; }}
td.bar {{ width: 16rem; }}
td.bar span {{ background: var(--bar); border-radius: 2px; display: block; height: .7rem; min-width: 1px; }}
i.swatch {{ border: 1px solid #888; border-radius: 2px; display: inline-block; height: .8em; margin-right: .4em;
  vertical-align: -.05em; width: .8em; }}
i.void {{ background: repeating-linear-gradient(45deg, #000, #000 2px, #888 2px, #888 4px); }}
figure {{ margin: 0 0 1.6rem; }}
figure div {{ align-items: flex-start; display: flex; flex-wrap: wrap; gap: .6rem; }}
figure img {{ max-height: 30rem; max-width: calc(50% - .3rem); }}
figcaption {{ margin-bottom: .3rem; }}
figcaption span {{ margin-right: .9rem; white-space: nowrap; }}
</style>
<h1>{title}</h1>
{counts}
<p><strong>{verdict}</strong></p>
<main>
{suspicions}
{classes}
{examples}
{left_out}
</main>
</html>
"""
_FIGURE = """<figure>
<figcaption><strong>{name}</strong><br>{legend}</figcaption>
<div><img src="{picture}" alt="{name}: the picture"><img src="{labelled}" alt="{name}: its labels, {words}"></div>
</figure>"""


def write_page(inspection: Inspection, folder: Path) -> None:
    """Write ``index.html`` and ``pictures/`` into a new folder.

    Args:
        inspection: what `a2lc.inspect` returned.
        folder: must not exist, or be empty.

    Raises:
        FileExistsError: there is something already.
        OSError: it cannot be written.
    """
    with atomic_folder(folder) as new:
        (new / PICTURES).mkdir()
        figures = []
        for number, overlay in enumerate(overlays(inspection), start=1):
            files = {}
            for what, picture in (("picture", overlay.picture), ("labelled", overlay.labelled)):
                files[what] = f"{PICTURES}/{number}_{what}.png"
                Image.fromarray(picture).save(new / files[what])
            figures.append(_figure(overlay, files))
        found = inspection.suspicions
        page = _PAGE.format(
            title=f"A look at {escape(inspection.root.absolute().name)}",
            counts="\n".join(f"<p>{escape(line)}</p>" for line in inspection.counts),
            verdict=escape(inspection.verdict),
            suspicions=_section("What is suspicious", "\n".join(map(_suspicion, found))) if found else "",
            classes=_section("Classes", _table(inspection)) if inspection.found.labelled else "",
            examples=_section("Pictures and labels", "\n".join(figures)) if figures else "",
            left_out=_section("Left out", "\n".join(f"<p>{escape(line)}</p>" for line in inspection.left_out))
            if inspection.left_out
            else "",
        )
        write_text(new / "index.html", page)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>"


def _suspicion(found: Suspicion) -> str:
    kind, word = ("error", "Error") if found.certain else ("doubt", "Look at")
    advice = f"\n<p>{escape(found.advice)}</p>" if found.advice else ""
    lines = "\n".join(map(escape, found.lines))
    lines = f"\n<p>In {DATASET}:</p>\n<pre>{lines}</pre>" if lines else ""
    return f'<article class="{kind}">\n<p><b>{word}</b>: {escape(found.what)}</p>{advice}{lines}\n</article>'


def _table(inspection: Inspection) -> str:
    table, classes = inspection.classes, inspection.found.told.classes
    most = max(table["pixels"].max(), 1e-9)
    rows = []
    for k, row in enumerate(table.to_dict("records")):
        if classes is None:
            swatch = ""
        elif k < len(classes):
            red, green, blue = classes.palette[k].tolist()
            swatch = _swatch((red, green, blue))
        else:
            swatch = _swatch(None if k == len(classes) else UNKNOWN)
        name = row["class"] or ("?" if classes is None else "no class")
        rows.append(
            f"<tr><td>{swatch}{escape(name)}</td><td>{escape(row['values'])}</td>"
            f'<td class="number">{percent(row["pixels"]).replace("<", "&lt;")}</td>'
            f'<td class="bar"><span style="width: {100 * row["pixels"] / most:.1f}%"></span></td>'
            f'<td class="number">{row["images"]:,}</td></tr>'
        )
    head = '<th>class</th><th>value</th><th class="number">pixels</th><th></th><th class="number">images</th>'
    return f"<table>\n<tr>{head}</tr>\n" + "\n".join(rows) + "\n</table>"


def _figure(overlay: Overlay, files: Mapping[str, str]) -> str:
    legend = " ".join(f"<span>{_swatch(colour)}{escape(name)}</span>" for name, colour in overlay.legend.items())
    words = ", ".join(overlay.legend)
    return _FIGURE.format(name=escape(overlay.name), legend=legend, words=escape(words), **files)


def _swatch(colour: Colour | None) -> str:
    if colour is None:
        return '<i class="swatch void"></i>'
    return f'<i class="swatch" style="background: rgb{colour}"></i>'
