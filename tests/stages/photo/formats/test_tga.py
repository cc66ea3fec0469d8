"""TGA files: every kind of them reads as its pixels are, and nothing else is taken for one."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for

from support.photo_files import LIMIT, encoded, file, photo, refused

PIXELS = photo()
ALPHA = np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))
RGBA = np.dstack([PIXELS, ALPHA])
FOOTER = b"TRUEVISION-XFILE.\x00"


def tga(bits: int, body: bytes, flags: int, kind: int = 2) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, 60, 40, bits, flags) + body


def second_version(data: bytes, **fields: tuple[int, bytes]) -> bytes:
    """``data`` with an extension area that holds these bytes at these places."""
    area = bytearray(495)
    area[:2] = struct.pack("<H", 495)
    for at, content in fields.values():
        area[at : at + len(content)] = content
    return data + bytes(area) + struct.pack("<II", len(data), 0) + FOOTER


@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(PIXELS),
        Image.fromarray(RGBA),
        Image.fromarray(PIXELS[..., 0]),
        Image.fromarray(PIXELS).quantize(50),
    ],
    ids=["rgb", "rgba", "grey", "palette"],
)
def test_every_kind_is_read_as_it_is_and_kept_as_png(
    picture: Image.Image, compression: str | None, tmp_path: Path
) -> None:
    source = file(tmp_path, "a.tga", encoded(picture, "TGA", compression=compression))
    found = probe(source)
    frame, meta, warnings = read(source, LIMIT)
    assert (found.container, found.width, found.height) == ("tga", 60, 40)
    assert np.array_equal(frame.rgb_hwc, np.asarray(picture.convert("RGB")))
    assert frame.grey == (picture.mode == "L")
    assert found.has_alpha == (frame.alpha_hw is not None) == (picture.mode == "RGBA")
    if frame.alpha_hw is not None:
        assert np.array_equal(frame.alpha_hw, ALPHA)
    assert warnings == ()
    assert suffix_for(meta.container, "keep", ".tga") == ".png"


@pytest.mark.parametrize(
    ("flags", "stored"),
    [
        (0x20, PIXELS),
        (0x00, PIXELS[::-1]),
        (0x10, PIXELS[::-1, ::-1]),
        (0x30, PIXELS[:, ::-1]),
    ],
)
def test_the_corner_that_a_file_begins_at_is_minded(
    flags: int, stored: np.ndarray, tmp_path: Path
) -> None:
    data = tga(24, stored[..., ::-1].tobytes(), flags)
    frame, _, _ = read(file(tmp_path, "a.tga", data), LIMIT)
    assert np.array_equal(frame.rgb_hwc, PIXELS)


def test_a_fourth_byte_that_is_no_transparency_hides_nothing(tmp_path: Path) -> None:
    body = np.dstack([PIXELS[..., ::-1], np.zeros((40, 60), np.uint8)]).tobytes()
    source = file(tmp_path, "a.tga", tga(32, body, 0x20))
    frame, _, _ = read(source, LIMIT)
    assert frame.alpha_hw is None
    assert not probe(source).has_alpha
    says_so = file(tmp_path, "b.tga", tga(32, body, 0x28))
    assert read(says_so, LIMIT)[0].alpha_hw is not None
    undefined = second_version(tga(32, body, 0x28), alpha=(494, b"\x02"))
    assert read(file(tmp_path, "c.tga", undefined), LIMIT)[0].alpha_hw is None


def test_what_the_second_version_says_of_a_picture_is_kept_or_said(tmp_path: Path) -> None:
    data = second_version(
        tga(24, PIXELS[..., ::-1].tobytes(), 0x20),
        author=(2, b"A. Photographer"),
        comment=(43, b"first line".ljust(81, b"\x00") + b"second line"),
        title=(379, b"box 7"),
        software=(426, b"Scanner"),
        gamma=(478, struct.pack("<HH", 22, 10)),
        thumbnail=(486, struct.pack("<I", 9)),
    )
    source = file(tmp_path, "a.tga", data)
    _, meta, warnings = read(source, LIMIT)
    assert meta.text == {
        "Author": "A. Photographer",
        "Comment": "first line\nsecond line",
        "Title": "box 7",
        "Software": "Scanner",
    }
    assert any("thumbnail" in line for line in warnings)
    assert any("TGA gamma of 2.2" in line for line in warnings)
    assert probe(source).notes == warnings


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = encoded(Image.fromarray(PIXELS), "TGA", compression="tga_rle")
    refused(file(tmp_path, "a.tga", whole[: len(whole) // 2]), "TGA")
    raw = encoded(Image.fromarray(PIXELS), "TGA")
    refused(file(tmp_path, "b.tga", raw[: len(raw) // 2]), "not a picture")


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(PIXELS), "ICO"),
        b"\x00\x00\x02\x00\x01\x00" + bytes(2000),
        b"\x00\x00\x01\xb3" + bytes(2000),
        bytes(2000),
        tga(24, PIXELS.tobytes(), 0xC0),
        tga(24, PIXELS.tobytes(), 0, kind=1),
        tga(17, PIXELS.tobytes(), 0),
    ],
)
def test_other_files_are_not_taken_for_one(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a picture"):
        probe(file(tmp_path, "a.tga", data))


def test_no_other_format_is_taken_for_one(tmp_path: Path) -> None:
    for container in (
        "PNG",
        "JPEG",
        "BMP",
        "TIFF",
        "WEBP",
        "GIF",
        "PPM",
        "PCX",
        "JPEG2000",
        "AVIF",
    ):
        content = io.BytesIO()
        Image.fromarray(PIXELS).save(content, container)
        assert probe(file(tmp_path, "a", content.getvalue())).container not in {"tga", ""}
