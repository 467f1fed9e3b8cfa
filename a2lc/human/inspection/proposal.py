"""The files that `a2lc inspect --write` makes of what it found: dataset.yaml, and a class list where there is none."""

from __future__ import annotations

import os

from a2lc.datasets.layout import DATASET, ids_line
from a2lc.files import colour_of, write_text
from a2lc.human.inspection.found import PAIRS
from a2lc.human.inspection.inspection import Inspection
from a2lc.human.inspection.of_values import only_black_and_white
from a2lc.human.inspection.suspicion import plural

CLASSES = "classes.txt"
VOID_ID = 255
MOST = 255  # classes
RARE = 0.001  # share of the pixels; a colour below it is taken for a blurred edge


def proposed_files(inspection: Inspection) -> dict[str, str]:
    """File name -> text, of those that would help. What somebody has to decide stands in a comment.

    Args:
        inspection: what `a2lc.inspect` returned.
    """
    listed, ids = _class_list(inspection)
    files = {DATASET: text} if (text := _dataset_yaml(inspection, ids)) else {}
    if listed:
        files[CLASSES] = listed
    if inspection.found.told.layout.pairs == PAIRS and inspection.found.guessed:
        pairs = [
            (image, pair.label_files[name])
            for pair in inspection.found.guessed
            for name, image in pair.image_files.items()
        ]
        files[PAIRS] = "".join(f"{image}\t{label}\n" for image, label in pairs)
    return files


def write_proposal(inspection: Inspection) -> list[str]:
    """Write `proposed_files` into the dataset's folder; nothing is overwritten.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: one of them is there already; none is written. The message holds what it would have said.
    """
    files = proposed_files(inspection)
    for name, text in files.items():
        if os.path.lexists(path := inspection.root / name):
            raise FileExistsError(f"{path}: is there already and stays as it is; to be added to it by hand:\n{text}")
    for name in sorted(files, key=lambda name: name == DATASET):  # last what names the others
        write_text(inspection.root / name, files[name])
    return [*files]


def _dataset_yaml(inspection: Inspection, ids: str) -> str:
    told, lines = set(inspection.found.told.layout.said), []
    for suspicion in inspection.suspicions:
        if suspicion.lines:
            lines += ["", f"# {_one_line(suspicion.what)}"]
            lines += [f"# {_one_line(suspicion.advice)}"] if suspicion.advice and not suspicion.decided else []
        for line in suspicion.lines:
            key = line.partition(":")[0]
            lines += [line if suspicion.decided and key not in told else f"# {line}"]
            told |= {key} if suspicion.decided else set()
    if ids:
        lines += [
            "",
            f"# the values that occur; rename the classes here as in {CLASSES}, and what is void to void",
            ids,
        ]
    if not lines:
        return ""
    head = "# Made by a2lc inspect: what it found, and the lines for it. Those that begin with # are for you to decide."
    return "\n".join([head, *lines, ""])


def _class_list(inspection: Inspection) -> tuple[str, str]:
    """A class list to fill in, and what ids mean where they are not 0, 1, 2 ...; empty where there is a list already,
    or none can be made."""
    found = inspection.found
    if found.told.classes is not None or any((inspection.root / f).exists() for f in (CLASSES, "classes.json")):
        return "", ""
    pixels = found.pixels()
    total = sum(count for count, _ in pixels.values())
    colours = [value for (is_colour, value), (count, _) in pixels.items() if is_colour and count >= RARE * total]
    ids = sorted(value for is_colour, value in pixels if not is_colour)
    if colours and len(colours) <= MOST:
        names = [f"class_{k} {' '.join(map(str, colour_of(colour)))}" for k, colour in enumerate(colours)]
        return _text(names, f"{plural(len(names), 'colour')}, the most frequent first"), ""
    if not only_black_and_white(found, pixels):
        ids = [value for value in ids if value != VOID_ID]
    if colours or not 1 <= len(ids) <= MOST:
        return "", ""
    drawn = {value: colour for _, look in found.labelled for value, colour in look.palette.items()}
    distinct = len({drawn.get(value) for value in ids}) == len(ids)
    names = [
        f"class_{value} {' '.join(map(str, drawn[value]))}" if distinct and value in drawn else f"class_{value}"
        for value in ids
    ]
    in_order = ids == [*range(len(ids))]
    meaning = {value: f"class_{value}" for value in ids}
    return _text(names, "the ids that occur in the label files"), "" if in_order else ids_line(meaning)


def _text(names: list[str], what: str) -> str:
    return "\n".join([f"# A class a line: {what}. Rename them; keep their order.", *names, ""])


def _one_line(text: str) -> str:
    return " ".join(text.split())
