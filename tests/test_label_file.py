"""One label file, both ways: every lossless format and mode, read and written with nothing but the pixels changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from a2lc.files import LabelFile, remove_leftovers_of
from a2lc.files.bmp import check_bmp
from a2lc.files.png import png_chunks

SIZE = (21, 17)
COLOURS = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)
IDS = np.random.default_rng(0).integers(0, 4, SIZE).astype(np.uint8)
LOSSLESS = (None, "tiff_lzw", "packbits", "tiff_adobe_deflate")
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    *(("PNG", mode, {}) for mode in ("1", "L", "P", "I;16", "LA", "RGB", "RGBA")),
    *(("TIFF", mode, {"compression": c}) for mode in ("1", "L", "P", "I;16", "LA", "RGB", "RGBA") for c in LOSSLESS),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("WEBP", mode, {"lossless": True, "exact": True}) for mode in ("RGB", "RGBA")),
]


def picture(mode: str) -> Image.Image:
    if mode == "1":
        return Image.fromarray(IDS > 1)
    if mode == "I;16":
        return Image.fromarray(IDS.astype(np.uint16) * 300)
    if mode in ("L", "P"):
        drawn = Image.fromarray(IDS)
        if mode == "P":
            drawn.putpalette([*COLOURS.ravel().tolist(), *range(244)] + [7] * 512)
        return drawn
    alpha = np.random.default_rng(1).integers(0, 256, SIZE).astype(np.uint8)
    if mode == "LA":
        return Image.fromarray(np.stack([IDS, alpha], -1))
    return Image.fromarray(np.dstack([COLOURS[IDS], alpha] if mode == "RGBA" else [COLOURS[IDS]]))


def encoded(drawn: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    drawn.save(content, kind, **options)
    return content.getvalue()


def stored(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize(("kind", "mode", "options"), KINDS)
def test_other_values_and_nothing_else(kind: str, mode: str, options: dict[str, Any]) -> None:
    """Of ids, of colours, and of a palette and of greys taken by their colours."""
    data = encoded(picture(mode), kind, **options)
    file, before = LabelFile(data, "x"), stored(data)
    ways = [] if mode == "I;16" else [(LabelFile.colours, LabelFile.with_colours)]
    ways += [] if mode in ("RGB", "RGBA") else [(LabelFile.ids, LabelFile.with_ids)]
    for read, write in ways:
        values = read(file)
        assert write(file, values) == data
        new = values.copy()
        new[3:9, 4:12] = values[0, 0]
        new[0, 0] = values[values != values[0, 0]][0]
        found = write(file, new)
        assert (read(LabelFile(found, "y")) == new).all()
        after, same = stored(found), values == new
        assert after.dtype == before.dtype and (after[same] == before[same]).all() and not same.all()
        if after.shape[2:] in ((2,), (4,)):
            assert (after[..., -1] == before[..., -1]).all(), "alpha stays"
        with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(found)) as two:
            kept = [image.info | {"compression": ""} for image in (one, two)]  # LZW becomes deflate
            assert (one.format, one.mode, kept[0]) == (two.format, two.mode, kept[1])
            assert one.getpalette() == two.getpalette()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 999),
    depth=st.sampled_from([1, 8, 16, 32]),
    big=st.booleans(),
    tiled=st.booleans(),
    white=st.booleans(),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_tiff_as_gis_programs_write_it(
    seed: int, depth: int, big: bool, tiled: bool, white: bool, size: tuple[int, int]
) -> None:
    """Tiles, either byte order, tags of GeoTIFF, compressed or not, no-data values, zero as white."""
    rng = np.random.default_rng(seed)
    old, new = (rng.integers(0, min(2**depth, 60000), size) for _ in range(2))
    kind = np.uint32 if depth == 32 else np.uint16 if depth == 16 else np.uint8
    geo = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (34735, "H", 4, (1, 1, 0, 0), True), (42113, "s", 0, "1", True)]
    white, big = white and depth <= 8, big and depth < 32  # Pillow reads no other
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        old.astype(bool if depth == 1 else kind),
        byteorder=">" if big else "<",
        photometric="miniswhite" if white else "minisblack",
        compression="zlib" if seed % 2 else None,
        extratags=geo,
        metadata=None,
        **({"tile": (16, 16)} if tiled and depth > 1 else {"rowsperstrip": 7}),
    )
    data = content.getvalue()
    shown = 2**depth - 1 - old if white else old
    assert (LabelFile(data, "x").ids() == shown).all()
    found = LabelFile(data, "x").with_ids(new)
    assert (LabelFile(found, "x").ids() == new).all()
    with tifffile.TiffFile(io.BytesIO(data)) as one, tifffile.TiffFile(io.BytesIO(found)) as two:
        moved = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}
        tags = [
            {tag.name: tag.value for tag in page.tags if tag.name not in moved} for page in (one.pages[0], two.pages[0])
        ]
        assert tags[0] == tags[1] and len(tags[0]) > 8
        if not white:
            assert (two.pages[0].asarray() == new).all()
    if not seed % 2:
        assert len(found) == len(data), "in place where nothing is compressed"


def test_a_palette_gets_a_colour_that_it_lacks() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "mine")
    drawn = Image.fromarray(IDS)
    drawn.putpalette(COLOURS.ravel().tolist())
    for bits in (2, 8):
        file = LabelFile(encoded(drawn, "PNG", bits=bits, pnginfo=info), "x")
        colours = file.colours()
        colours[5:9, 5:9] = 0x804080
        new = file.with_colours(colours)
        assert (LabelFile(new, "x").colours() == colours).all()
        kinds = [[chunk for chunk in png_chunks(data) if chunk[0] == b"tEXt"] for data in (file.data, new)]
        assert kinds[0] == kinds[1] and len(kinds[0]) == 1
    full = LabelFile(encoded(picture("P"), "TIFF"), "mask.tif")
    with pytest.raises(ValueError, match=r"^mask\.tif: its palette has no room for \(128, 64, 129\)"):
        full.with_colours(np.full(SIZE, 0x804081))
    with pytest.raises(ValueError, match=r"^mask\.png: is grey, so it cannot hold the colour \(128, 64, 128\)"):
        LabelFile(encoded(picture("L"), "PNG"), "mask.png").with_colours(np.full(SIZE, 0x804080))


@pytest.mark.parametrize(
    ("kind", "mode", "options", "told"),
    [
        ("JPEG", "L", {}, "found a JPEG picture, which blurs them"),
        ("WEBP", "RGB", {"lossless": False}, "found a WEBP picture, which blurs them"),
        ("TIFF", "RGB", {"compression": "jpeg"}, "compression none, LZW, .* found JPEG"),
        ("TIFF", "L", {"save_all": True, "append_images": [picture("L")]}, "one picture in the TIFF, found 2"),
        ("TIFF", "L", {"tiffinfo": {339: 2}}, "found 8 bits with a sign"),
        ("PNG", "L", {"save_all": True, "append_images": [picture("L").rotate(180)]}, "one picture, found 2"),
    ],
)
def test_what_cannot_be_exact_is_refused(kind: str, mode: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^mask: .*{told}"):
        LabelFile(encoded(picture(mode), kind, **options), "mask")


def test_what_could_be_read_and_not_written_is_refused() -> None:
    white = io.BytesIO()
    tifffile.imwrite(white, IDS.astype(np.uint16), photometric="miniswhite")
    with pytest.raises(ValueError, match="^mask: expected a TIFF in which 0 is black"):
        LabelFile(white.getvalue(), "mask")
    packed = bytearray(encoded(picture("P"), "BMP"))
    packed[30] = 1  # of the kind RLE8, whatever its pixels are
    with pytest.raises(ValueError, match="expected an uncompressed BMP, found a compressed one"):
        check_bmp(bytes(packed))


def test_what_stands_behind_the_end_of_a_png_stays() -> None:
    for rest in (b"\0" * 50, encoded(picture("L"), "PNG"), b"\n"):
        file = LabelFile(encoded(picture("P"), "PNG") + rest, "mask")
        new = file.with_ids(np.where(IDS == 1, 2, IDS))
        assert new.endswith(rest) and (LabelFile(new, "mask").ids() == np.where(IDS == 1, 2, IDS)).all()


def test_values_that_do_not_fit_are_refused() -> None:
    for kind, mode, most in (("TIFF", "1", 1), ("BMP", "P", 255), ("PNG", "LA", 255), ("TIFF", "I;16", 65535)):
        file = LabelFile(encoded(picture(mode), kind), "mask")
        with pytest.raises(ValueError, match=f"^mask: id {most + 1} does not fit into"):
            file.with_ids(np.full(SIZE, most + 1))
    with pytest.raises(ValueError, match=r"^mask: expected one id per pixel .* found mode RGB"):
        LabelFile(encoded(picture("RGB"), "PNG"), "mask").ids()
    floats = io.BytesIO()
    tifffile.imwrite(floats, np.zeros(SIZE, np.float32))
    with pytest.raises(ValueError, match=r"^mask: expected whole numbers in the TIFF"):
        LabelFile(floats.getvalue(), "mask")
    three = encoded(Image.fromarray(np.dstack([IDS] * 3)), "PNG")
    assert (LabelFile(three, "mask").ids() == IDS).all(), "ids in three channels that are all the same"


def test_tags_of_a_tiff_stay() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[305] = "drawn by hand", "a program"
    data = encoded(picture("P"), "TIFF", tiffinfo=tags, dpi=(300, 300), compression="tiff_lzw")
    found = LabelFile(data, "x").with_ids(IDS[::-1].astype(int))
    with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(found)) as two:
        for tag in (270, 282, 283, 305, 320):
            assert one.tag_v2[tag] == two.tag_v2[tag]  # type: ignore[attr-defined]


def test_only_leftovers_of_these_files_are_removed(tmp_path: Path) -> None:
    for name in (".a.0123abcd.png", ".a.0123abcd.txt", ".b.0123abcd.png", ".a.mine.png", "a.png"):
        (tmp_path / name).touch()
    remove_leftovers_of([tmp_path / "a.png"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".a.0123abcd.txt",
        ".a.mine.png",
        ".b.0123abcd.png",
        "a.png",
    ]
