"""The conventions that `conventions.py` tries: plain folders, and what has to be refused."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from conventions_made import (
    COLOURS,
    GEO,
    LISTED,
    SAID,
    SIZE,
    Made,
    Maker,
    bmp_four_bits,
    encoded,
    full_palette,
    grey_alpha,
    grey_png,
    meant,
    one_bit,
    paletted,
    picture,
    places,
    plain,
    put,
    rgb,
    rgba,
    save,
    tiff,
    values,
    with_chunks,
    without_void,
)
from PIL import Image

BINARY = "background\nobject\n"
TIF, BMP, WEBP = "labels/{}.tif", "labels/{}.bmp", "labels/{}.webp"


# ------------------------------------------------------------------------------------------------ pictures
def orientations(said: str = "") -> Maker:
    """Photographs in all eight EXIF orientations; labels lie on the upright picture, or on the stored one."""
    ways = (None, 0, 3, 1, 5, 2, 6, 4)  # what was done to the upright picture, of `Image.Transpose`

    def make(root: Path) -> Made:
        put(root / "classes.txt", "road\ncar\n")
        if said:
            put(root / "dataset.yaml", said)
        labels, pictures = {}, {}
        for orientation, way in enumerate(ways, start=1):
            upright = Image.fromarray(picture(places()))
            stored = upright if way is None else upright.transpose(Image.Transpose(way))
            label = Image.fromarray(meant(places()))
            label = label if way is None or not said else label.transpose(Image.Transpose(way))
            exif = Image.Exif()
            exif[0x0112] = orientation
            name = f"o{orientation}"
            save(root / "images" / f"{name}.png", stored, exif=exif)
            save(root / "labels" / f"{name}.png", label)
            labels[name], pictures[name] = np.asarray(label), np.asarray(stored if said else upright)
        return Made(labels, pictures)

    return make


def deep_pictures(root: Path) -> Made:
    """Grey pictures of 16 bits that hold 12."""
    made = plain(values(0, 1), said="window: [0, 4095]\n")(root)
    shades = {}
    for name, labels in made.labels.items():
        deep = np.where(labels == 1, 4095, np.where(labels == 0, 1024, 0)).astype(np.uint16)
        save(root / "images" / f"{name}.png", deep)
        shades[name] = np.repeat((deep / 4095 * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    return Made(made.labels, shades)


# ------------------------------------------------------------------------------------------------ files
def linked(root: Path) -> None:
    """One label and one image lie elsewhere."""
    for name in ("labels/a.png", "images/b.png"):
        store = root.parent / "store" / name
        store.parent.mkdir(parents=True, exist_ok=True)
        (root / name).rename(store)
        (root / name).symlink_to(store)


def private(root: Path) -> None:
    (root / "labels" / "a.png").chmod(0o600)


def read_only(root: Path) -> None:
    """Files and folders; who is root may write all the same."""
    for path in [*root.rglob("*"), root]:
        path.chmod(path.stat().st_mode & 0o555)


def in_val(root: Path) -> None:
    put(root / "train.txt", "a\n")
    put(root / "val.txt", "b\n")


def loose_files(root: Path) -> None:
    """What lies in any folder of somebody's."""
    for name in ("images/Thumbs.db", "images/.DS_Store", "labels/notes.md", ".git/config", "film.mp4"):
        put(root / name, "x")


def nested() -> Maker:
    def make(root: Path) -> Made:
        made = plain(values(0, 1), image="images/day/{}.png", label="labels/day/{}.png")(root)
        return Made({f"day/{name}": labels for name, labels in made.labels.items()})

    return make


def paired(root: Path) -> Made:
    made = plain(values(0, 1), image="in/{}.png", label="out/{}_x.png", said="pairs: train.lst\n")(root)
    put(root / "train.lst", "in/a.png out/a_x.png\nin/b.png out/b_x.png\n")
    return Made({f"in/{name}": labels for name, labels in made.labels.items()})


def listed(classes: str | bytes, json: bool = False, colours: bool = False) -> Maker:
    """Another way to write the class list."""
    kind = "classes.json" if json else "classes.txt"
    write = rgb if colours else values(0, 1)
    return plain(write, classes=None, void=not colours, more=lambda root: put(root / kind, classes))


own_void = '{"classes": ["road", "car"], "ignore_index": 200}'
CVAT = "# label:color_rgb:parts:actions\nroad:128,64,128::\ncar:0,0,142::\n"
IDS = "ids: {7: road, 26-33: car, 0: void}\n"
ELSE = "ids: {7: road, 26: car, else: void}\n"
SHARED = "images: all/{name}.png\nlabels: all/{name}_gt.png\n"

PLAIN: dict[str, Maker] = {
    "PNG grey 1 bit": plain(one_bit, void=False, classes=BINARY),
    "PNG grey 2 bits": plain(grey_png(2), said="ids: {0: road, 1: car, 2: void}\n"),
    "PNG grey 4 bits": plain(grey_png(4), said="ids: {0: road, 1: car, 2: void}\n"),
    "PNG grey 8 bits, void 255": plain(values(0, 1)),
    "PNG grey 16 bits": plain(values(0, 1, 255, np.uint16)),
    "PNG grey 16 bits, ids to 65535": plain(
        values(300, 65535, 1000, np.uint16), said="ids: {300: road, 65535: car, 1000: void}\n"
    ),
    "PNG palette": plain(paletted(full_palette())),
    "PNG palette 2 bits": plain(paletted(bits=2), said="ids: {0: road, 1: car, 2: void}\n"),
    "PNG palette, transparency, texts, gamma, own chunk": plain(with_chunks),
    "PNG palette by its colours": plain(paletted(COLOURS[[0, 1, 2]]), said=SAID),
    "PNG palette that agrees with the list": plain(paletted(full_palette()), classes=LISTED),
    "PNG grey + alpha": plain(grey_alpha),
    "PNG RGB, colours of the list": plain(rgb, void=False, classes=LISTED),
    "PNG RGB, colours of dataset.yaml": plain(rgb, said=SAID),
    "PNG RGBA": plain(rgba, said=SAID),
    "PNG interlaced RGB of ids": plain(lambda path, found: save(path, np.repeat(meant(found)[..., None], 3, axis=2))),
    "0 and 255, with ids": plain(values(0, 255), void=False, classes=BINARY, said="ids: {0: background, 255: object}"),
    "void 0": plain(values(1, 2, 0), said="ids: {0: void, 1: road, 2: car}\n"),
    "own void, classes.json": plain(
        values(0, 1, 200), classes=None, more=lambda root: put(root / "classes.json", own_void)
    ),
    "own void, ids": plain(values(0, 1, 250), said="ids: {0: road, 1: car, 250: void}\n"),
    "ids with gaps": plain(values(7, 26, 0), said="ids: {7: road, 26: car, 0: void}\n"),
    "ids in ranges": plain(values(7, 30, 0), said=IDS),
    "everything else is void": plain(values(7, 26, 99), said=ELSE),
    "several values of a class": plain(values(8, 26, 255), said="ids: {7: road, 8: road, 26: car}\n"),
    "TIFF": plain(tiff(), TIF),
    "TIFF LZW": plain(values(0, 1, compression="tiff_lzw"), TIF),
    "TIFF deflate": plain(values(0, 1, compression="tiff_adobe_deflate"), TIF),
    "TIFF packbits": plain(values(0, 1, compression="packbits"), TIF),
    "TIFF tiles": plain(tiff(tile=(16, 16), compression="zlib"), TIF),
    "TIFF big endian": plain(tiff(byteorder=">"), TIF),
    "TIFF 16 bits": plain(tiff(lambda found: meant(found).astype(np.uint16)), TIF),
    "TIFF 16 bits, big endian, deflate": plain(
        tiff(lambda found: meant(found).astype(np.uint16), byteorder=">", compression="zlib"), TIF
    ),
    "TIFF RGB": plain(tiff(lambda found: COLOURS[found], photometric="rgb"), TIF, said=SAID),
    "TIFF palette": plain(paletted(full_palette()), TIF),
    "TIFF with GeoTIFF tags": plain(tiff(extratags=GEO, compression="zlib"), TIF),
    "BMP 1 bit": plain(one_bit, BMP, void=False, classes=BINARY),
    "BMP 4 bits": plain(bmp_four_bits, BMP, said="ids: {0: road, 1: car, 2: void}\n"),
    "BMP 8 bits": plain(paletted(full_palette()), BMP),
    "BMP 24 bits": plain(rgb, BMP, said=SAID),
    "WebP lossless": plain(lambda path, found: rgb(path, found, lossless=True), WEBP, said=SAID),
    "WebP lossless, alpha": plain(lambda path, found: rgba(path, found, lossless=True, exact=True), WEBP, said=SAID),
    "nested folders": nested(),
    "labels/{name}_mask.png": plain(values(0, 1), "labels/{}_mask.png", said="labels: labels/{name}_mask.png\n"),
    "list of pairs": paired,
    "images and labels in one folder": plain(values(0, 1), "all/{}_gt.png", "all/{}.png", said=SHARED),
    "labels in a folder of the images": plain(
        values(0, 1), "photos/masks/{}.png", "photos/{}.png", said="images: photos\nlabels: photos/masks\n"
    ),
    "a folder per image": plain(values(0, 1), "gt/{0}/{0}_labels.png", said="labels: gt/{name}/{name}_labels.png\n"),
    "labels .tif beside images .jpg": plain(tiff(), TIF, "images/{}.jpg"),
    "upper-case suffixes": plain(values(0, 1), "labels/{}.PNG", "images/{}.JPG"),
    "names with spaces, umlauts, =": plain(values(0, 1), names=("=a +b", "Straße 7 ")),
    "other files beside the data": plain(values(0, 1), more=loose_files),
    "classes.txt with comments": listed("# mine\n\nroad\n# more\ncar\n"),
    "classes.txt with a BOM, CRLF": listed(b"\xef\xbb\xbfroad\r\ncar\r\n"),
    "classes.txt with ids first": listed("0 road\n1 car\n"),
    "classes.txt with colours": listed(LISTED, colours=True),
    "class list as CSV with a heading": listed("name,r,g,b\nroad,128,64,128\ncar,0,0,142\n", colours=True),
    "class list of CVAT (labelmap)": listed(CVAT, colours=True),
    "class list of CamVid": listed("128 64 128\troad\n0 0 142\tcar\n", colours=True),
    "classes.json, names": listed('["road", "car"]', json=True),
    "classes.json, colours": listed('{"road": [128, 64, 128], "car": [0, 0, 142]}', json=True, colours=True),
    "a class that is called no": plain(values(0, 1), classes="no\nyes\n", said="ids: {0: no, 1: yes, 255: void}\n"),
    "EXIF orientations 1 to 8, labels upright": orientations(),
    "EXIF orientations 1 to 8, labels as stored": orientations("orientation: stored\n"),
    "pictures of 16 bits with a window": deep_pictures,
    "links to labels and images": plain(values(0, 1), more=linked),
    "mode 600": plain(values(0, 1), more=private),
    "read-only folder": plain(values(0, 1), more=read_only),
    "labels of val.txt, correct: all": plain(values(0, 1), said="correct: all\n", more=in_val),
}


# ------------------------------------------------------------------------------------------------ refusals
@dataclass(frozen=True)
class Refusal:
    """A dataset that must not be taken, and what the sentence has to name."""

    make: Maker
    file: str
    found: str
    remedy: str = ""  # what to type, or do; a word of it
    expected: str = "expected"


def jpeg_named_png(path: Path, found: np.ndarray) -> None:
    put(path, encoded(Image.fromarray(meant(found)), "JPEG"))


def two_pages(path: Path, found: np.ndarray) -> None:
    page = Image.fromarray(meant(found))
    save(path, page, save_all=True, append_images=[page])


def cut_short(path: Path, found: np.ndarray) -> None:
    put(path, encoded(Image.fromarray(meant(found)), "PNG")[:-30])


def smaller(path: Path, found: np.ndarray) -> None:
    save(path, meant(found)[:-2])


def another_order(path: Path, found: np.ndarray) -> None:
    paletted(np.concatenate([COLOURS[[1, 0]], full_palette()[2:]]))(path, found)


def smoothed(path: Path, found: np.ndarray) -> None:
    image = Image.fromarray(COLOURS[without_void(found)])
    save(path, image.resize((16, 12)).resize(SIZE[::-1], Image.Resampling.BILINEAR))


def without_labels(root: Path) -> None:
    for file in (root / "labels").iterdir():
        file.unlink()


def renamed(old: str, new: str) -> Maker:
    def make(root: Path) -> Made:
        made = plain(values(0, 1))(root)
        os.rename(root / old, root / new)
        return made

    return make


def wrong(said: str, found: str, remedy: str = "") -> Refusal:
    """A dataset.yaml that is wrong."""
    return Refusal(plain(values(0, 1), said=said), "dataset.yaml, line", found, remedy)


LABEL = "labels/a.png"
REFUSED: dict[str, Refusal] = {
    "JPEG called .png": Refusal(plain(jpeg_named_png), LABEL, "JPEG", "save labels as PNG"),
    "JPEG labels": Refusal(plain(values(0, 1), "labels/{}.jpg"), "labels", "a.jpg", "png", "are no"),
    "lossy WebP": Refusal(
        plain(lambda path, found: rgb(path, found, quality=80), WEBP, said=SAID), "a.webp", "WEBP", "save labels as PNG"
    ),
    "TIFF of floating point": Refusal(
        plain(tiff(lambda found: meant(found).astype(np.float32)), TIF), "a.tif", "found", "save labels as PNG"
    ),
    "TIFF of two pages": Refusal(plain(two_pages, TIF), "a.tif", "found", "save labels as PNG"),
    "PNG cut short": Refusal(plain(cut_short), LABEL, "damaged", "", "damaged"),
    "label of another size": Refusal(plain(smaller), LABEL, "is 22x32", "same size", "must have the same size"),
    "palette against the list": Refusal(
        plain(another_order, classes=LISTED),
        LABEL,
        "is drawn in (0, 0, 142)",
        "put the classes",
        "which the class list",
    ),
    "smoothed colours": Refusal(plain(smoothed, void=False, classes=LISTED), LABEL, "found (", "list it in", "nearest"),
    "colour that nobody listed": Refusal(
        plain(rgb, classes=LISTED), LABEL, "found (10, 20, 30)", "list it in", "nearest"
    ),
    "colours without a list": Refusal(plain(rgb), LABEL, "found mode RGB", "colours: {"),
    "PNG RGB of 16 bits": Refusal(
        plain(lambda path, found: deep_rgb(path, found)), LABEL, "found 16", "save labels as PNG"
    ),
    "void in the class list": Refusal(
        plain(values(1, 2, 0), classes="void\nroad\ncar\n"),
        "classes.txt",
        "void",
        "ids: {0: void, 1: road, 2: car}",
        "take",
    ),
    "0 and 255 without ids": Refusal(
        plain(values(0, 255), void=False, classes=BINARY), "labels", "255", "ids: {0: background, 255: object}", "Say"
    ),
    "ids beyond the list": Refusal(plain(values(0, 7)), LABEL, "found 7", "ids: {..., 7: NAME}"),
    "ids of objects": Refusal(plain(values(0, 30001, 0, np.uint16)), LABEL, "found 30001", "ids: {..., 30001: NAME}"),
    "no class list": Refusal(plain(values(0, 1), classes=None), "classes.txt", "no such file", "classes.json"),
    "two class lists": Refusal(
        plain(values(0, 1), more=lambda root: put(root / "classes.json", "[]")), "", "classes.txt and classes.json"
    ),
    "a heading taken for a class": Refusal(listed("class\nroad\ncar\n"), "classes.txt", "heading", "remove it"),
    "ids in another order": Refusal(listed("1 road\n0 car\n"), "classes.txt", "found 1", "classes.json"),
    "label without image": Refusal(renamed("images/a.png", "images/c.png"), LABEL, "found none"),
    "no images": Refusal(renamed("images", "photos"), "images", "no such folder", "expected"),
    "no labels": Refusal(plain(values(0, 1), more=without_labels), "a", "no labels", "labels/a.png", ""),
    "two labels of one name": Refusal(
        plain(values(0, 1), more=lambda root: tiff()(root / "labels" / "a.tif", places())), "labels/a", "found a.png"
    ),
    "train.txt names what is not there": Refusal(
        plain(values(0, 1), more=lambda root: put(root / "train.txt", "a\nc\n")),
        "c.*",
        "train.txt lists it",
        "",
        "no such file",
    ),
    "an unknown key": wrong("lables: masks\n", "lables", "did you mean 'labels'"),
    "a folder that is not there": wrong("images: photos\n", "no such folder"),
    "an unknown class in ids": wrong("ids: {0: road, 1: caar}\n", "'caar'", "did you mean 'car'"),
    "a class without value": wrong("ids: {0: road}\n", "none for 'car'"),
    "a value twice": wrong("ids: {0: road, 0-3: car}\n", "found 0 twice"),
    "one colour twice": wrong("colours: {road: [1, 2, 3], car: [1, 2, 3]}\n", "twice"),
    "ids and colours": wrong(f"ids: {{0: road, 1: car}}\n{SAID}", "found both", "leave one out"),
    "a window the wrong way round": wrong("window: [4095, 0]\n", "found [4095, 0]"),
    "no YAML": Refusal(plain(values(0, 1), said="ids: {0: road\n"), "dataset.yaml", "line 1"),
}


def deep_rgb(path: Path, found: np.ndarray) -> None:
    """16 bits per channel, which Pillow does not write."""
    import cv2

    cv2.imwrite(str(path), COLOURS[found].astype(np.uint16) * 257)
