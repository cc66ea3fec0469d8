"""However common writers store a photo, the same photo is read, or it is refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import write

from support.photo_files import LIMIT, encoded, file, photo, refused

RGB = photo(48, 64)
DEEP = RGB.astype(np.uint16) * 257
GREY = RGB[..., 0].copy()
ALPHA = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
PLANES = np.moveaxis(RGB, -1, 0).copy()
CMYK = np.asarray(Image.fromarray(RGB).convert("CMYK"))

# Samples as stored, how tifffile is to store them, what is read.
TIFFS: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray]] = {
    "plain": (RGB, {}, RGB),
    "big": (RGB, {"bigtiff": True}, RGB),
    "big-endian": (DEEP, {"byteorder": ">"}, DEEP),
    "planes": (PLANES, {"planarconfig": "separate"}, RGB),
    "tiles": (RGB, {"tile": (32, 32)}, RGB),
    "tiled planes": (PLANES, {"planarconfig": "separate", "tile": (16, 16)}, RGB),
    **{
        name: (RGB, {"compression": name}, RGB)
        for name in ("lzw", "deflate", "packbits", "zstd", "lzma", "png", "jpegxl")
    },
    "predictor": (DEEP, {"compression": "deflate", "predictor": True}, DEEP),
    "JPEG 2000": (RGB, {"compression": "jpeg2000"}, RGB),
    "grey": (GREY, {"photometric": "minisblack"}, GREY),
    "white is zero": (255 - GREY, {"photometric": "miniswhite"}, GREY),
    "black and white": (GREY > 99, {"photometric": "minisblack"}, (GREY > 99) * np.uint8(255)),
    "white is zero, one bit": (
        GREY > 99, {"photometric": "miniswhite"}, (GREY <= 99) * np.uint8(255),
    ),
    "transparent": (np.dstack([RGB, ALPHA]), {"extrasamples": ["unassalpha"]}, RGB),
}  # fmt: skip

REFUSED: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "half": (RGB.astype(np.float16), {}, "floating-point samples"),
    "double": (RGB.astype(np.float64), {}, "floating-point samples"),
    "signed": (RGB.astype(np.int16), {}, "signed samples"),
    "signed bytes": (RGB.astype(np.int8), {}, "signed samples"),
    "32 bits": (RGB.astype(np.uint32), {}, "32-bit samples"),
    "complex": (GREY.astype(np.complex64), {"photometric": "minisblack"}, "64-bit samples"),
    "pages": (np.stack([RGB, RGB]), {}, "holds 2 pages"),
    "LERC": (RGB, {"compression": "lerc"}, "LERC inside"),
}

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def tiff(folder: Path, samples: np.ndarray, options: dict[str, Any]) -> str:
    path = folder / "a.tif"
    tifffile.imwrite(path, samples, **{"photometric": "rgb", "metadata": None, **options})
    return str(path)


def shown(source: str) -> np.ndarray:
    """The picture without a word about it: (H, W, 3), or (H, W) where it is grey."""
    frame, _, warnings = read(source, LIMIT)
    assert warnings == ()
    return frame.rgb_hwc[..., 0] if frame.grey else frame.rgb_hwc


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_is_read_however_it_is_stored(kind: str, tmp_path: Path) -> None:
    samples, options, expected = TIFFS[kind]
    found = shown(tiff(tmp_path, samples, options))
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_tiff_that_cannot_be_kept_is_refused_by_its_header(kind: str, tmp_path: Path) -> None:
    samples, options, why = REFUSED[kind]
    source = tiff(tmp_path, samples, options)
    assert why in probe(source).refusal
    refused(source, why)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_tiff_of_inks_is_read_in_srgb(bits: int, transparent: bool, tmp_path: Path) -> None:
    inks = CMYK if bits == 8 else CMYK.astype(np.uint16) * 257
    options: dict[str, Any] = {"photometric": "separated"}
    if transparent:
        inks = np.dstack([inks, ALPHA if bits == 8 else ALPHA.astype(np.uint16) * 257])
        options["extrasamples"] = ["unassalpha"]
    frame, _, warnings = read(tiff(tmp_path, inks, options), LIMIT)
    assert warnings == ()
    assert frame.rgb_hwc.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert (frame.alpha_hw is not None) == transparent
    seen = frame.rgb_hwc if bits == 8 else frame.rgb_hwc // 257
    assert np.abs(seen.astype(int) - RGB).mean() < 12


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "packbits"])
def test_a_fax_is_read(compression: str, tmp_path: Path) -> None:
    content = encoded(Image.fromarray(GREY > 99), "TIFF", compression=compression)
    assert np.array_equal(shown(file(tmp_path, "a.tif", content)), (GREY > 99) * np.uint8(255))


def png(samples: np.ndarray, bits: int, colour: int, *, interlaced: bool = False) -> bytes:
    """A file of samples (H, W) or (H, W, C), row by row or in seven passes."""

    def rows(part: np.ndarray) -> bytes:
        if bits < 8:
            places = np.arange(bits - 1, -1, -1)
            digits = ((part[..., None] >> places) & 1).reshape(len(part), -1).astype(np.uint8)
            return b"".join(b"\x00" + np.packbits(row).tobytes() for row in digits)
        stored = part.astype(f">u{bits // 8}")
        return b"".join(b"\x00" + row.tobytes() for row in stored)

    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)) if interlaced else ((0, 0, 1, 1),)  # fmt: skip
    body = b"".join(rows(samples[y::down, x::right]) for x, y, right, down in passes)
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(content).to_bytes(4, "big") + name + content
        + zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")
        for name, content in parts
    )  # fmt: skip


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("samples", "bits", "colour", "expected"),
    [
        (GREY >> 7, 1, 0, (GREY >> 7) * np.uint8(255)),
        (GREY >> 6, 2, 0, (GREY >> 6) * np.uint8(85)),
        (GREY >> 4, 4, 0, (GREY >> 4) * np.uint8(17)),
        (GREY, 8, 0, GREY),
        (GREY.astype(np.uint16) * 257, 16, 0, GREY.astype(np.uint16) * 257),
        (RGB, 8, 2, RGB),
        (DEEP, 16, 2, DEEP),
        (np.dstack([GREY, ALPHA]), 8, 4, GREY),
        (np.dstack([RGB, ALPHA]), 8, 6, RGB),
    ],
    ids=["1", "2", "4", "grey", "grey 16", "rgb", "rgb 16", "grey alpha", "rgb alpha"],
)
def test_a_png_is_read_however_it_is_stored(
    samples: np.ndarray,
    bits: int,
    colour: int,
    expected: np.ndarray,
    interlaced: bool,
    tmp_path: Path,
) -> None:
    source = file(tmp_path, "a.png", png(samples, bits, colour, interlaced=interlaced))
    found = shown(source)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_container_is_turned_as_its_exif_says(
    container: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(RGB)
    options: dict[str, Any] = {"quality": 100} if container in {"JPEG", "AVIF", "WEBP"} else {}
    source = file(tmp_path, "a", encoded(stored, container, exif=exif, **options))
    turn = TURNS.get(orientation)
    upright = stored if turn is None else stored.transpose(turn)
    found = shown(source).astype(int)
    assert found.shape == np.asarray(upright).shape
    assert np.abs(found - np.asarray(upright)).mean() < 3


@pytest.mark.parametrize("lengthwise", [False, True])
@pytest.mark.parametrize(
    "format",
    [each for each in catalogue.written() if each.max_side_px < 100_000 and each.can_write],
    ids=lambda each: each.name,
)
def test_the_largest_picture_that_a_format_takes_can_be_read_again(
    format: WrittenFormat, lengthwise: bool, tmp_path: Path
) -> None:
    shape = (32, format.max_side_px, 3) if lengthwise else (format.max_side_px, 32, 3)
    path = tmp_path / f"a{format.written_suffixes[0]}"
    write(Frame(np.full(shape, 99, np.uint8)), PhotoMeta(format.name), path)
    assert read(str(path), LIMIT)[0].rgb_hwc.shape == shape


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (7, 1, 3), (3, 5, 3)])
@pytest.mark.parametrize(
    "format", [each for each in catalogue.written() if each.can_write], ids=lambda each: each.name
)
def test_a_tiny_picture_can_be_read_again(
    format: WrittenFormat, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    path = tmp_path / f"a{format.written_suffixes[0]}"
    write(Frame(np.full(shape, 99, np.uint8)), PhotoMeta(format.name), path)
    again = read(str(path), LIMIT)[0].rgb_hwc
    assert again.shape == shape
    assert np.abs(again.astype(int) - 99).max() <= 2
